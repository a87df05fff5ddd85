//! Test a program in any language by the mail that it sends: the web inbox of the `pillarbox` command.
//!
//! ```text
//! pillarbox -n -c Inbox --http localhost:8026 localhost:8025
//! ```
//!
//! Let the program under test send to localhost:8025. The test then asks for the message over HTTP, and gets it as JSON with
//! everything decoded:
//!
//! ```text
//! curl 'http://localhost:8026/api/wait?to=bob@example.org&timeout=10'
//! ```
//!
//! `examples/testing/` has tests with pytest, node:test and Playwright that start the command, wait for a message, and follow
//! its link or enter its code. `/api/openapi.json` describes all paths, parameters and answers (OpenAPI 3.1). In Rust you need
//! no command: see [`Inbox`](crate::Inbox).
//!
//! # Wait for a message
//!
//! `/api/wait` answers as soon as `count` messages (default 1) match, with all that match, the oldest first. Messages that
//! arrived before the request count too; `after=ID` leaves out those up to ID, and `/api/server` tells the last id. After
//! `timeout` seconds (default 10) the answer is a 404 whose `arrived` lists what did come, so a failing test shows why. If the
//! client goes away, the wait ends.
//!
//! Give each test a recipient of its own, and any number of tests can share one server at the same time.
//!
//! `/api/next` waits for the next new message. It answers in the short form of lists, or with 204 if none comes in time.
//!
//! # Select messages
//!
//! The same parameters select messages for `/api/wait`, `/api/next`, `GET /api/messages` and `DELETE /api/messages`. A message
//! must match all of them; upper and lower case are the same.
//!
//! | parameter | selects by |
//! |---|---|
//! | `to` | a recipient of the envelope, or an address in To or Cc |
//! | `from` | the sender of the envelope, or an address in From; `<>` is the null reverse-path |
//! | `subject` | a part of the subject |
//! | `search` | words that all occur |
//!
//! `to=bob@example.org` is that whole address and no longer one; `to=@example.org` is any address of a domain; `to=bob` is a part of an
//! address or a name. You need not encode a `+` in an address.
//!
//! `search` looks in the subject, addresses, names of files, and the first 64 KiB of text and of HTML. `"two words"` in quotes
//! count as one; `-word` must not occur; `from:`, `to:`, `cc:`, `bcc:`, `addressed:`, `reply-to:`, `subject:` and `message-id:` look in
//! a field; `has:attachment`, `is:read` and `is:unread` are conditions.
//!
//! An unknown parameter, path or method is an error that names the known ones. A parameter that comes twice, an empty value, a bad
//! number and a body where none is expected are errors too. So a misspelt filter never selects, or deletes, everything.
//!
//! # What a message has
//!
//! It has the same fields in lists, in `/api/next` and alone: the envelope (`mail_from`, `rcpt_to`) apart from the header (`from`, `to`, `cc`,
//! `reply_to`, `subject`, `date`, `message_id`), `bcc` for recipients whom the header does not name, `attachments` with their `count`,
//! and `snippet`, `size`, `received` and `read`. `/api/messages/ID` and `/api/wait` add `text`, `html`, `headers`, `parts`, the
//! conversation and more:
//!
//! - `links`: the links of the text, then those of the HTML, of any scheme, with the text that a reader sees. Entities are decoded;
//!   relative links stay relative.
//! - `codes`: one-time codes of 4 to 8 digits or letters, recognized by the words around them, the most certain first. Blanks between
//!   digits are removed (`123 456` is `123456`), hyphens stay. Numbers that are years, prices, orders, telephone numbers or postal
//!   codes are left out. A code that no word calls one is not found.
//! - `cut`: the fields that are not complete, such as a text beyond 1 MiB. It is empty for nearly all messages.
//!
//! # Connections
//!
//! `/api/connections` has the last 1,000 connections, the newest first, also those that brought no message: with an `outcome`, the
//! `messages` that came, and `events` such as a refused recipient, a failed login or TLS handshake, and each fault.
//! `/api/connections/ID` adds the conversation, without secrets, for as many connections as fit in 16 MiB. Connections that were
//! refused because there were too many are only counted, in `/metrics`.
//!
//! # Clients made for Mailpit
//!
//! Such clients work with these paths below `/api/v1/` and `/view/`: information, messages, search, one message (`latest` too), headers, source,
//! parts, deletion, read state, release, and chaos, which sets faults. So the npm package `mailpit-api` works unchanged for these.
//! HTML, link and spam checks, thumbnails, tags, sending over HTTP, and searches by time, size or tag are not supported, and the
//! answer says so. Of an attachment's checksums only SHA-256 is given.
//!
//! # Release a message
//!
//! With `--release-to HOST:PORT` and `--release-pattern '*@example.org'`, `POST /api/messages/ID/release` with
//! `{"to": ["ann@example.org"]}` sends a message on unchanged, except for a Received line before it. The answer has the server's reply for
//! each recipient. Each recipient must match a pattern (`*` is any characters, `?` one), and must have no `%`, `!` or `:` and no
//! quoted local part, because some servers take these for routes to other places. Without the options nothing is ever sent.
