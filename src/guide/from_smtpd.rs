//! Coming from Python's `smtpd`: the replacement for each thing that it had, as of CPython 3.11, the last version with it.
//!
//! To port a program:
//!
//! 1. Turn `process_message` into a closure that takes an [`Envelope`](crate::Envelope). Return `()` for `None`, and a
//!    [`Reply`](crate::Reply) for a string.
//! 2. Turn the constructor's arguments into methods of [`Builder`](crate::Builder), and start with
//!    [`serve`](crate::Builder::serve). No loop has to run.
//! 3. If you had a subclass of `SMTPChannel`, make it a [`Session`](crate::Session).
//! 4. Check what your program does with line ends: content has CRLF here, and [`text`](crate::Envelope::text) has `\n`.
//!
//! To replace `python -m smtpd`, run `pillarbox` with the same arguments. A class of your own can stay in Python: see
//! [below](#a-class-of-your-own-in-python).
//!
//! # Before and after
//!
//! ```python
//! class Store(smtpd.SMTPServer):
//!     def process_message(self, peer, mailfrom, rcpttos, data, **kwargs):
//!         if 'bob@example.org' not in rcpttos:
//!             return '550 no such user'
//!         store(data)
//!
//! Store(('localhost', 8025), None)
//! asyncore.loop()
//! ```
//!
//! ```
//! use pillarbox::{Envelope, Reply, Server};
//!
//! # fn store(_: &[u8]) -> std::io::Result<()> { Ok(()) }
//! # let at = ("localhost", 0);
//! # #[cfg(any())]
//! let at = ("localhost", 8025);
//! let server = Server::builder().serve(at, |mail: Envelope| {
//!     if !mail.recipients().iter().any(|to| to == "bob@example.org") {
//!         return Err(Reply::new(550, "5.1.1", "no such user"));
//!     }
//!     mail.bytes()
//!         .and_then(|data| store(&data))
//!         .map_err(|e| Reply::temporary(format!("cannot store: {e}")))
//! })?;
//! # use std::io::{Read, Write};
//! # let mut client = std::net::TcpStream::connect(server.local_addr())?;
//! # client.write_all(b"HELO c\r\nMAIL FROM:<>\r\nRCPT TO:<a@example.org>\r\nDATA\r\n.\r\n\
//! #     MAIL FROM:<>\r\nRCPT TO:<bob@example.org>\r\nDATA\r\n.\r\nQUIT\r\n")?;
//! # let mut replies = String::new();
//! # client.read_to_string(&mut replies)?;
//! # assert!(replies.contains("550 5.1.1 no such user") && replies.contains("250 2.0.0 OK "), "{replies}");
//! # #[cfg(any())]
//! server.join();
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! It is better to refuse a recipient when it is named, with [`Session::rcpt`](crate::Session::rcpt). In `smtpd` that took a
//! subclass of `SMTPChannel`.
//!
//! # A class of your own, in Python
//!
//! `python -m smtpd -n -c accept.Accept` ran a class of a module. The class Pipe of the command
//! ([`handlers::Pipe`](crate::handlers)) runs a program for each message instead, and what that says is the answer. This is the class:
//!
//! ```python
//! class Accept(smtpd.SMTPServer):
//!     def process_message(self, peer, mailfrom, rcpttos, data, **kwargs):
//!         if 'bob@example.org' not in rcpttos:
//!             return '550 5.1.1 no such user'
//!         with open(str(uuid.uuid4()) + '.eml', 'xb') as file:
//!             file.write(data)
//! ```
//!
//! and this the script that replaces it, run by `pillarbox -n -c Pipe --lf localhost:8025 -- ./accept.py`:
//!
//! ```python
#![doc = include_str!("../../examples/pipe/accept.py")]
//! ```
//!
//! A message is accepted if the script ends with exit status 0 and prints no refusal. Exit status 75 asks the client to try again,
//! any other makes it give up. With `--lf` the lines end with `\n`, as smtpd's did. A class kept its state from one message to the
//! next; a script keeps it in files or a database, since several run at once.
//!
//! # The module
//!
//! | smtpd | pillarbox |
//! |---|---|
//! | `SMTPServer(localaddr, remoteaddr, ...)` | [`Server::builder`](crate::Server::builder), then [`serve`](crate::Builder::serve) with the address and a handler. `remoteaddr`, which the relaying subclasses used, is now [`Proxy::to`](crate::handlers::Proxy::to) |
//! | `process_message(peer, mailfrom, rcpttos, data, **kwargs)` | [`Handler::process_message`](crate::Handler::process_message), or a closure; all of the arguments are in the [`Envelope`](crate::Envelope) |
//! | `mail_options`, `rcpt_options` | [`Envelope::mail_options`](crate::Envelope::mail_options), and typed [`mail_parameters`](crate::Envelope::mail_parameters); each [`Recipient`](crate::Recipient) has its own |
//! | its return value: `None` or a reply | [`Response`](crate::Response): `()`, `None`, a [`Reply`](crate::Reply), or a `Result` |
//! | `data_size_limit` | [`Builder::data_size_limit`](crate::Builder::data_size_limit), with the same default; `None` is 0 here |
//! | `enable_SMTPUTF8` | [`Builder::smtputf8`](crate::Builder::smtputf8); with `decode_data` it is an error of [`serve`](crate::Builder::serve), as it was a `ValueError` |
//! | `decode_data` | [`Builder::decode_data`](crate::Builder::decode_data), with the same effect: no 8BITMIME, and the content is text; a message that is not UTF-8 is refused with `554 5.6.0`, where smtpd lost it in an exception. Without it you have both views of the content: [`bytes`](crate::Envelope::bytes) and [`text`](crate::Envelope::text) |
//! | `map` (asyncore's sockets) | none: a thread serves each connection, and no loop has to run |
//! | `channel_class` | [`Builder::session`](crate::Builder::session) makes a [`Session`](crate::Session) for each connection |
//! | `smtp_HELO`, `smtp_EHLO`, `smtp_MAIL`, `smtp_RCPT`, `smtp_DATA`, `smtp_RSET`, `smtp_VRFY`, `smtp_EXPN`, `smtp_HELP` in a subclass | the hook of that name in [`Session`](crate::Session), for EHLO [`helo`](crate::Session::helo): the hook decides, and the server does the rest |
//! | `smtp_NOOP`, `smtp_QUIT`, and methods for verbs of your own | [`Session::command`](crate::Session::command), which sees every line first; the end of a connection is [`disconnect`](crate::Session::disconnect) |
//! | `SMTPChannel`'s `smtp_server`, `conn`, `addr`, `peer` | [`Context::peer`](crate::Context::peer), [`local`](crate::Context::local), [`connection_id`](crate::Context::connection_id); the socket stays with the library, and your own state goes into the `Session` |
//! | `smtp_state` | [`Context::phase`](crate::Context::phase) |
//! | `seen_greeting`, `extended_smtp` | [`Context::helo`](crate::Context::helo), [`is_extended`](crate::Context::is_extended) |
//! | `require_SMTPUTF8` | [`MailParameters::smtputf8`](crate::MailParameters::smtputf8) of [`Context::mail_parameters`](crate::Context::mail_parameters) |
//! | `mailfrom`, `rcpttos` | [`Context::mail_from`](crate::Context::mail_from), [`recipients`](crate::Context::recipients) |
//! | `command_size_limit`, `command_size_limits` | none: a command line has 2,048 octets, one of AUTH 12,288 |
//! | `push(line)` | the [`Reply`](crate::Reply) that a hook returns |
//! | `received_lines`, `received_data`, `num_bytes` | you get the content when it is complete, as an [`Envelope`](crate::Envelope); [`Session::content`](crate::Session::content) sees it while it comes |
//! | `fqdn` | [`Context::hostname`](crate::Context::hostname), set by [`Builder::hostname`](crate::Builder::hostname); it is never looked up in the DNS |
//! | `DebuggingServer` | [`handlers::Debugging`](crate::handlers::Debugging) |
//! | `PureProxy` | [`handlers::Proxy`](crate::handlers::Proxy) |
//! | `MailmanProxy` | [`handlers::Mailman`](crate::handlers::Mailman), for Mailman 3 over LMTP |
//! | `asyncore.loop()` | [`Server::join`](crate::Server::join), or nothing: the server runs by itself |
//! | `close()` | [`Server::shutdown`](crate::Server::shutdown), or dropping the server |
//!
//! # The command
//!
//! `pillarbox [-n] [-V] [-c NAME] [-s BYTES] [-u] [-d] [LOCALADDR [REMOTEADDR]]` takes the arguments of `python -m smtpd`:
//!
//! | `python -m smtpd` | `pillarbox` |
//! |---|---|
//! | `-n`, `--nosetuid` | the same: without it, a server started by root becomes the user nobody once it listens |
//! | `-V`, `--version` | the same |
//! | `-c`, `--class NAME` | DebuggingServer, PureProxy or MailmanProxy, with or without a module in front, and Maildir, Pipe, Sink and Inbox; in place of a class of your own a [program](#a-class-of-your-own-in-python). The default is DebuggingServer; smtpd's was PureProxy, which has failed at every message since Python 3.5 |
//! | `-s`, `--size BYTES` | the same. The default is 33,554,432, as smtpd's help said; smtpd itself had no limit by default, and so did not announce SIZE. DebuggingServer prints the SIZE that clients declare only with `-s` |
//! | `-u`, `--smtputf8`; `-d`, `--debug` | the same |
//! | `localhost:port`, `remotehost:port` | the same, with the same defaults localhost:8025 and localhost:25. The second is an error for a class that does not relay; smtpd ignored it. Also `[IPV6]:PORT`, `unix:PATH` and `systemd:`, and more places to listen at with `--listen` |
//! | a usage error: exit status 1 | exit status 2 |
//!
//! # What is different on the wire
//!
//! Where smtpd departed from the RFCs, pillarbox does not:
//!
//! - HELO and EHLO may be repeated, and end a transaction; smtpd answered 503.
//! - NOOP takes an argument; HELP answers 214; a tab ends a verb as well as a blank.
//! - Replies carry enhanced status codes.
//! - RCPT may have parameters, such as DSN's `NOTIFY`; smtpd answered 555, and a client that wanted a notice got nowhere.
//! - A message may be empty, its first line being the dot that ends it; smtpd waited for ever.
//! - The null reverse-path is [`ReversePath::Null`](crate::ReversePath::Null), which prints as the empty string; smtpd stored `<>`.
//! - Content has CRLF line ends, the last one included; smtpd's had `\n`, and the last was missing.
//!   [`Envelope::text`](crate::Envelope::text) gives `\n`.
//! - A message over the size limit is read to its end and then refused, and the connection goes on with the next command.
//! - Invalid addresses (`a@b@c`, `@`, octets that are not UTF-8) are refused with a reply; smtpd dropped the connection. So
//!   are addresses with a control character or without the closing `>`.
//! - If a handler panics its client gets a `451`; smtpd dropped the connection.
//! - Recipients, connections, commands and times have limits: see [`defaults`](crate::guide::defaults).
//!
//! Many clients send what RFC 5321 does not allow and smtpd accepted: a path without angle brackets, blanks after the colon,
//! an address without a domain, dots in odd places, `_` in a domain, a local part of more than 64 octets. pillarbox accepts it too, unless [`strict_syntax`](crate::Builder::strict_syntax) is set.
//!
//! # What is different in relaying
//!
//! smtpd's `PureProxy` answered 250 even if the upstream had refused every recipient, or was down. This one asks the
//! upstream about each recipient while the client waits, and passes its replies on. It is not an open relay: see
//! [`handlers::Proxy`](crate::handlers::Proxy). It adds `X-Peer` as before, and a `Received` line.
//!
//! # What is different in the output of DebuggingServer
//!
//! Text is printed as text, not as Python's bytes literals, with control characters made visible.
