//! What you can rely on, and what you cannot.
//!
//! Three things are yours to do, and the rest of this page depends on them:
//!
//! - Return an acceptance from a handler only when the message is where it must be: on disk, in the database, at the
//!   next server. The client deletes its copy when it sees your `250`.
//! - Answer within [`handler_timeout`](Builder::handler_timeout), and be ready for the same message twice.
//! - Stop a server with [`shutdown`](Server::shutdown), and give clients time to finish.
//!
//! Each promise names what it depends on, and the default numbers; [`defaults`](crate::guide::defaults) has their
//! reasons. [The threat model](crate::guide::threat_model) says who may attack, and what is not defended against.
//!
//! # A message that was acknowledged is safe
//!
//! The server sends `250` to a message after the handler has accepted it, never before. [`handlers::Maildir`] accepts
//! once the file is flushed to the disk, moved to `new`, and the folder flushed too: after `kill -9` or a power cut at
//! any moment, each acknowledged message is there, whole. Nothing partial is ever in `new`. [`handlers::Mailboxes`] does
//! the same for each recipient's Maildir. [`handlers::Proxy`] accepts once the next server has, with that server's
//! reply. `handlers::RedisStream` accepts once Redis has: what that is worth is in
//! [`scaling_out`](crate::guide::scaling_out).
//!
//! A message may arrive twice. If the reply to it is lost on the way, its client sends it again, as RFC 5321 section
//! 6.1 requires. The same happens if the client got a refusal while the handler was still at work, at the end of
//! [`handler_timeout`](Builder::handler_timeout) or of a shutdown's grace time, and the handler then stores the message
//! after all. An acknowledged message never arrives zero times.
//!
//! The folders of a Maildir are held open. They are not links, and belong to the process's user or root. Nothing is
//! written or removed anywhere else, whatever is put in their place. It removes only files that a `Maildir` has named
//! and left unfinished in `tmp` for over 36 hours.
//!
//! Not promised: that a disk, or a network file system, keeps what it said it has flushed. [`Inbox`],
//! [`handlers::Sink`] and [`handlers::Debugging`] keep nothing.
//!
//! # Nothing that has begun is cut short
//!
//! At [`shutdown`](Server::shutdown) clients between messages get `421 4.3.2` at once (RFC 5321 section 3.8). A client
//! that has begun to send its message may finish, and gets its final reply, within the grace time. The command ends on
//! SIGTERM and SIGINT and gives 15 s. After that, what is left is cut with a 421 and counted. A handler or a hook may
//! end its own server with [`begin_shutdown`](Server::begin_shutdown): its message or command is still answered.
//!
//! # A client cannot use up the machine
//!
//! - **Content** is in memory up to [`memory_budget`](Builder::memory_budget) (64 MiB) for all messages together, and
//!   on disk beyond. On disk and in memory it counts against [`buffer_budget`](Builder::buffer_budget) (2 GiB). Past
//!   that messages are refused with `452 4.3.1`, before their content if the client announced its size. One message has
//!   [`data_size_limit`](Builder::data_size_limit) (32 MiB, `552 5.3.4`).
//! - **Recipients** count against `memory_budget` too, by the memory that they take with their parameters, up to a
//!   quarter of it for one message. Past that RCPT is refused with `452 4.3.1`, except for the first 16 KiB of a
//!   message, up to 16 MiB in total. So 300 clients with a thousand recipients each, of the longest paths and
//!   parameters, take some 70 MiB. One message has [`max_recipients`](Builder::max_recipients) (1,000, `452 4.5.3`).
//! - **Commands** have 2,048 octets (`500 5.5.2`). Transcripts, if they are recorded, have 64 KiB for each connection.
//! - **Connections** are limited to [`max_connections`](Builder::max_connections) (1,000). Each has a thread with a
//!   stack of 1 MiB ([`worker_stack`](Builder::worker_stack)), of which only what was used takes memory. The next
//!   client gets `421 4.3.2`, and the listener does not wait for it. If the system has no descriptor or thread left,
//!   the listener waits a little and goes on. One address or network has as many as
//!   [`max_connections_per_address`](Builder::max_connections_per_address) and
//!   [`max_connections_per_network`](Builder::max_connections_per_network) allow: by default, all of them.
//! - **Stress:** while over nine tenths of the connections are in use, clients have
//!   [`stress_timeout`](Builder::stress_timeout) (30 s) for a command, and 3 errors. Beyond the tenth, each command
//!   that brings no mail counts as an error.
//! - **Time:** a command has [`command_timeout`](Builder::command_timeout) (300 s) from the wait for it to its last
//!   octet, and so has a reply until it is read. Content has [`data_timeout`](Builder::data_timeout) (180 s) for each
//!   pause, and must not fall below 500 octets a second for longer. A TLS handshake has 60 s, a PROXY header 10 s.
//!   These are limits on the total, so sending octet by octet gains nothing. The first two are as long as RFC 5321
//!   section 4.5.3.2 asks.
//! - **Logins:** [`Users`](crate::Users) checks as many argon2 hashes and SCRAM secrets at a time as there are
//!   processors. A login waits up to 30 s for its turn, and then gets `454 4.7.0`. A name has 512 octets and a password
//!   9,216, both as sent and as prepared by SASLprep (`535 5.7.8`).
//! - **Work** is linear in the octets that a client sends, and a command costs the same whether a message has ten
//!   recipients or 20,000.
//! - **Errors:** [`max_errors`](Builder::max_errors) (20) end a connection. Beyond [`max_junk`](Builder::max_junk)
//!   (100) each command that brings no mail counts as one. Three failed logins
//!   ([`max_auth_failures`](Builder::max_auth_failures)) end a connection as well, each answered later than the one
//!   before.
//!
//! # A slow handler slows its clients, and nothing else
//!
//! Messages wait in a channel of [`queue_capacity`](Builder::queue_capacity) (1,024); their clients wait with them, up
//! to [`handler_timeout`](Builder::handler_timeout) (600 s, as long as RFC 5321 section 4.5.3.2.6 has clients wait),
//! and then get `451 4.3.0`. If a handler panics, its client gets `451 4.3.0` and the server goes on. If a session
//! panics while it sees [content](crate::Session::content), the message gets `451 4.3.0`. If it panics elsewhere, or its
//! factory, an authenticator or a SASL mechanism panics, the client gets `421 4.3.0`; if a TLS library does, the connection ends.
//! [`Stats::panics`](crate::Stats::panics) counts panics.
//!
//! # No octet of a message is taken for a command
//!
//! Only CRLF ends a line and only CRLF.CRLF ends content (RFC 5321 section 2.3.8): no message can be smuggled inside
//! another. Whatever becomes of a message (too big, refused by a hook, out of budget, late), the server reads its
//! content to the end or closes the connection. Commands sent in clear after STARTTLS never run.
//!
//! Where nobody can tell content from commands, the server closes the connection and runs nothing more of it: when
//! something has already arrived after a DATA that it refuses (a client that waits for the reply, as RFC 2920 section
//! 3.1 requires, has sent nothing), after a BDAT whose number it cannot read, and after a DATA or BDAT line that is too
//! long. An HTTP request, of any method, closes the connection as well.
//!
//! Not promised: that content does not run if a client sends it late, after it got the refusal of its DATA.
//!
//! # No client waits for an acknowledgement
//!
//! On Linux the server acknowledges content at once while its end is still to come. A client whose system holds small
//! packets back until then (Nagle's algorithm) sends the final dot without a delay of 40 ms.
//!
//! # A full disk makes clients wait, not give up
//!
//! [`handlers::Maildir`] answers `452 4.3.1` for lack of room or descriptors, and `451 4.3.0` for anything else that
//! fails. The client keeps the message, and never sees a path or an error text of the system. The log has one line when
//! the failures begin and one when they end. A mailbox that is full by its [`Quota`](handlers::Quota) gets `452 4.2.2`;
//! over LMTP only its own recipient does.
//!
//! # Nothing but exit status 0 accepts
//!
//! A message whose program ([`handlers`]`::Pipe`) was killed, took too long, could not be started or was cut off by a shutdown is
//! answered `451`, whatever it has printed. The program sees the end of a message only when it has all of it. What it writes
//! takes bounded memory. When the server has been shut down, no program of it runs, except those that left their process group.
//!
//! # A relay tells the truth
//!
//! The reply of [`handlers::Proxy`] and [`handlers::Mailman`] is never better than what the next server said. Its
//! refusals are passed on word for word. Silence, and replies that cannot be true, become a 4xx. A message that went to
//! several recipients has the worst of their replies. Of the replies to many recipients, the first 64 KiB are kept
//! whole.
//!
//! Each step waits for the next server up to [`Upstream::timeout`] (by default 60 s for a session, 180 s for a reply,
//! 600 s for a message and as long for the reply to it). While that server is silent one client at a time waits for it,
//! and the others get `451 4.4.1` at once.
//!
//! It does not relay by mistake: not for a stranger whose recipient has a route in its local part
//! (`user%elsewhere.example@listed.example`), and not for a client that its proxy does not name.
//!
//! # What a client sends cannot pose as something else
//!
//! Logs and the output of [`handlers::Debugging`] show what clients send only as [`Escaped`], and replies do not repeat
//! it. `Received` and `X-Peer` are made from parsed values. Control characters are refused in every command, and in
//! every field of an entry that `handlers::RedisStream::read` takes. No line of a message that [`handlers::Debugging`]
//! prints looks like its frame.
//!
//! # Secrets
//!
//! No secret is logged. Lines of AUTH are overwritten after use, and so are decoded passwords. What the TLS library
//! keeps in memory is outside the crate's control.
//!
//! # No unsafe code
//!
//! The crate has none. Some of its dependencies have: bindings to OpenSSL and to the system, and the search for line
//! ends.

#[cfg(doc)]
use crate::{Builder, Escaped, Inbox, Server, Upstream, handlers};
