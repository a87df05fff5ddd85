//! Compared with similar servers: what pillarbox has, what it lacks, and where the others do better.
//!
//! Choose pillarbox if your program or its tests are in Rust, if they need a server that misbehaves exactly as told, or if you
//! want a strict server without an async runtime. Choose another one if you look at mail by hand in a team (Mailpit,
//! smtp4dev), if your program is not in Rust and wants the server in its own process, if you need tens of thousands of
//! connections at once, or if you need code that has been in use for years.
//!
//! The tables show the state of November 2026. "On request" is a setting that is off by default; "no" means that it was
//! looked for and is not there; an empty cell was not checked. If you find an error, or something has changed, please report
//! it. What was looked at:
//!
//! | | version | how |
//! |---|---|---|
//! | aiosmtpd | 1.4.6 | run, and its source read |
//! | smtpd | of CPython 3.11 | run, and its source read |
//! | go-smtp | 0.25.1 | its source as of commit 6944e33 (July 2025), and the release notes of 0.25.0 and 0.25.1 |
//! | chrj/smtpd | 2.4.0 | its source, and Go's `net/textproto`, by which it reads content |
//! | mailin-embedded | 0.8.3 | run, and its source read |
//! | smtp-server | 3.21.6 | run, and its source read |
//! | Mailpit | 1.34.0 | its source as of 1.30.5, and the release notes since |
//! | smtp4dev | 3.15.0 | its source and documentation |
//! | MailDev | 3.0.0 | its packages and documentation |
//! | postcrate-core | 0.1.1 | its source |
//! | MailHog | 1.0 | its source and documentation |
//! | GreenMail | 2.1 | its documentation |
//!
//! # Servers for programs
//!
//! | | pillarbox | aiosmtpd | smtpd | go-smtp | chrj/smtpd | mailin-embedded | smtp-server |
//! |---|---|---|---|---|---|---|---|
//! | language | Rust | Python | Python, until 3.11 | Go | Go | Rust | JavaScript |
//! | concurrency | a thread for each connection | an event loop | an event loop | a goroutine for each connection | a goroutine for each connection | a pool of threads, 4 by default | an event loop |
//! | PIPELINING | yes | not offered, but works | not offered, but works | yes | yes | not offered, but works | yes |
//! | SIZE | yes | yes | yes | yes | yes | no | on request, and enforced on request |
//! | 8BITMIME | yes | yes | yes | yes | yes | yes | yes |
//! | SMTPUTF8 | on request | yes, or on request without a `Controller` | on request | on request | on request | no | yes |
//! | ENHANCEDSTATUSCODES | yes | no | no | yes | yes | no | on request |
//! | CHUNKING; BINARYMIME | yes; yes | no | no | yes; on request | yes; yes | no | no |
//! | DSN | yes | no, parameters of RCPT are refused | no, the same | on request | on request | no | on request |
//! | REQUIRETLS | yes, within TLS | no | no | on request | no | no | on request |
//! | LIMITS RCPTMAX | yes | no | no | yes, if there is a limit | no | no | no |
//! | MT-PRIORITY, DELIVERBY | on request | no | no | on request | no | no | no |
//! | other extensions | PRDR, FUTURERELEASE, XFORWARD on request; your own | no | no | RRVS on request | no | no | XFORWARD on request |
//! | LMTP; a reply for each recipient | yes, yes | LHLO, but one reply | no | yes, yes | yes, yes | no | yes, yes |
//! | PROXY protocol | 1 and 2, with TLVs | 1 and 2, with TLVs | no | no | 1 and 2 | no | 1 |
//! | XCLIENT | yes | no | no | no | on request | no | yes |
//! | STARTTLS; implicit TLS | yes; yes | yes; yes | no | yes; yes | yes; yes | yes; no | yes; yes |
//! | AUTH mechanisms included | PLAIN, LOGIN, SCRAM-SHA-256 and -PLUS, OAUTHBEARER, XOAUTH2, EXTERNAL | PLAIN, LOGIN | no | by go-sasl | PLAIN, LOGIN | PLAIN, LOGIN | PLAIN, LOGIN, XOAUTH2, CRAM-MD5 |
//! | AUTH mechanisms of your own | yes | yes | no | yes | no | no | no |
//! | only CRLF.CRLF ends content | yes | yes | yes | yes | **no**, LF.LF does too | **no**, LF.CRLF does too | yes |
//! | lone CR and LF in content | made CRLF, refused, or kept | kept | kept | kept | all line ends become LF; a lone CR is kept | kept | kept |
//! | a bare LF ends a command | no | yes | no | yes | yes | no | yes |
//! | time for a command, by default | 300 s in total | 300 s in total | unlimited | unlimited; in total if there is one | 60 s in total | 300 s for each read | 60 s without activity |
//! | connections, by default | 1,000 | unlimited | unlimited | unlimited | 100 | as many as threads, others wait | unlimited; on request |
//! | limits for an address or network | on request | no | no | no | a rate for each address, on request | no | no |
//! | recipients, by default | 1,000 | unlimited | unlimited | unlimited; on request | 100 | unlimited | unlimited; on request |
//! | errors that end a connection | 20 of any kind, 3 of AUTH | 5 unknown commands | none | more than 3 unknown or bad commands | none | none | 10 unknown commands |
//! | content | in memory, and on disk when memory runs short; whole, and to a hook as it comes | in memory; whole | in memory; whole | as it comes | as it comes | as it comes | as it comes |
//! | if a handler fails | `451`, the message stays with its client | `500` with the exception's text | connection ends | `421` for a panic | `421` for a panic; an error is a `502`, or the reply that it names | left to the handler | left to the handler |
//! | at shutdown | idle clients are told, messages in progress finish | all are cut | all are cut | waits until clients leave, or until the program stops waiting | waits until clients leave, up to a deadline, then cuts them | no shutdown | waits 30 s, then tells the rest and cuts them |
//! | handlers to print, store and relay | `Debugging`, `Maildir`, `Mailboxes`, `Proxy`, `Mailman`, `RedisStream` | `Debugging`, `Mailbox`, `Proxy` | `DebuggingServer`, `PureProxy`, `MailmanProxy` | no | no | no | no |
//!
//! Where the others do better:
//!
//! - go-smtp, chrj/smtpd, mailin-embedded and smtp-server give content to the program while it arrives. pillarbox gives it
//!   when it is complete.
//! - aiosmtpd and smtp-server need no thread for each connection, and the goroutines of go-smtp and chrj/smtpd are cheaper
//!   than threads. They are the better choice for tens of thousands of connections at once, and in a program that is
//!   asynchronous anyway.
//! - aiosmtpd and go-smtp accept SASL mechanisms of your own.
//! - chrj/smtpd has ready-made SPF checks, DNS lists, greylisting and rate limits.
//! - go-smtp has an SMTP client as well. The one here serves only the relaying handlers.
//! - Most of them have been in use for years. pillarbox is new.
//!
//! A refused chunk of BDAT must still be read, or its octets run as commands. go-smtp does so since 0.25.1; chrj/smtpd did
//! from the version that brought BDAT.
//!
//! # Servers for tests
//!
//! | | pillarbox | postcrate-core | Mailpit | smtp4dev | MailDev | MailHog | GreenMail |
//! |---|---|---|---|---|---|---|---|
//! | in the test's own process | Rust | Rust, with tokio | no | .NET, the SMTP part | Node.js | no | Java |
//! | from any language | HTTP | HTTP | HTTP | HTTP | HTTP | HTTP | |
//! | waits for a message | yes, in Rust and over HTTP | yes, in Rust and over HTTP | no; pushes by WebSocket | no; pushes by SignalR | an event in Node.js | | yes, in Java |
//! | page in a browser | yes | no; a desktop program is built on it | yes | yes | yes | yes | |
//! | faults on purpose | by verb, octet of content, count, sender, recipient, message and chance: replies, also for one of several recipients, delays, dripping, slow links, closes and resets, stalls, TLS, extensions, greylisting | by chance: refusals, delays, garbage, a cut within DATA; refusals by recipient | by chance: refusals of sender, recipient and login | by JavaScript for commands, recipients, logins and messages: replies, delays, slow links, closes | extensions can be hidden | by chance: refusals of connections, senders, recipients and logins, disconnects, slow links | |
//! | transcript of the connection | yes, with times | yes | no | yes | no | | |
//! | certificates made for a test | yes, with their root, also wrong ones | no | a self-signed one | a self-signed one | no | | |
//! | a message answered by the test itself | yes | no | no | by a script | no | | |
//! | IMAP, POP3 | no | no | POP3 | both | no | no | both |
//! | checks of HTML, links, spam | no | yes | yes | of HTML | no | no | |
//! | tags on messages | no | yes | yes | no | no | no | |
//! | release to a real server | no | yes | yes | yes | yes | yes | no, by design |
//! | kept over a restart | no | yes, in SQLite | on request, in a database | yes, in SQLite | on request, as files | yes, in MongoDB or a Maildir | |
//! | password for the page or API | no | a token, on request | on request | on request | on request | on request | |
//!
//! Mailpit and smtp4dev show mail better and check more of it: they are the better choice for looking at mail by hand and for
//! sharing it in a team. smtp4dev and GreenMail also serve programs that fetch mail. postcrate-core has bounce rules by
//! recipient, webhooks, and recordings that can be replayed. MailHog is no longer maintained, as Mailpit's documentation
//! says. pillarbox is for tests that need a server which misbehaves as told, follows the protocol to the letter, and is gone
//! with the test.
