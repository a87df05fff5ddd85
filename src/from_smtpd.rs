//! Coming from Python's `smtpd`: what takes the place of each thing that it had.
//!
//! | smtpd | pillarbox |
//! |---|---|
//! | `SMTPServer(localaddr, remoteaddr, ...)` | [`Server::builder`](crate::Server::builder), then [`serve`](crate::Builder::serve) with the address and a handler. `remoteaddr` was for the relaying subclasses: it is [`Proxy::to`](crate::handlers::Proxy::to) now |
//! | `process_message(peer, mailfrom, rcpttos, data, **kwargs)` | [`Handler::process_message`](crate::Handler::process_message), or a closure; all of the arguments are in the [`Envelope`](crate::Envelope) |
//! | `mail_options`, `rcpt_options` | [`Envelope::mail_options`](crate::Envelope::mail_options), and typed [`mail_parameters`](crate::Envelope::mail_parameters); each [`Recipient`](crate::Recipient) has its own |
//! | its return value: `None` or a reply | [`Response`](crate::Response): `()`, `None`, a [`Reply`](crate::Reply), or a `Result` |
//! | `data_size_limit` | [`Builder::data_size_limit`](crate::Builder::data_size_limit) |
//! | `enable_SMTPUTF8` | [`Builder::smtputf8`](crate::Builder::smtputf8) |
//! | `decode_data` | [`Builder::decode_data`](crate::Builder::decode_data); both views of the content are always there: [`bytes`](crate::Envelope::bytes) and [`text`](crate::Envelope::text) |
//! | `map` (asyncore's sockets) | nothing: a thread serves each connection, and no loop has to run |
//! | `channel_class` | [`Builder::session`](crate::Builder::session) makes a [`Session`](crate::Session) for each connection |
//! | `smtp_COMMAND` methods | the hooks of [`Session`](crate::Session); [`Session::command`](crate::Session::command) adds and replaces verbs |
//! | `SMTPChannel`'s `smtp_server`, `conn`, `addr`, `peer` | [`Context::peer`](crate::Context::peer), [`local`](crate::Context::local), [`connection_id`](crate::Context::connection_id); the socket itself stays with the library, and the program's own state travels in the `Session` |
//! | `smtp_state` | [`Context::phase`](crate::Context::phase) |
//! | `seen_greeting`, `extended_smtp` | [`Context::helo`](crate::Context::helo), [`is_extended`](crate::Context::is_extended) |
//! | `mailfrom`, `rcpttos` | [`Context::mail_from`](crate::Context::mail_from), [`recipients`](crate::Context::recipients) |
//! | `received_lines`, `received_data` | nothing: content is seen when it is complete, as an [`Envelope`](crate::Envelope) |
//! | `fqdn` | [`Context::hostname`](crate::Context::hostname), set by [`Builder::hostname`](crate::Builder::hostname); it is never looked up in the DNS |
//! | `DebuggingServer` | [`handlers::Debugging`](crate::handlers::Debugging) |
//! | `PureProxy` | [`handlers::Proxy`](crate::handlers::Proxy) |
//! | `MailmanProxy` | [`handlers::Mailman`](crate::handlers::Mailman), for Mailman 3 over LMTP |
//! | `asyncore.loop()` | [`Server::join`](crate::Server::join), or nothing: the server runs by itself |
//! | `close()` | [`Server::shutdown`](crate::Server::shutdown), or dropping the server |
//! | `python -m smtpd` | the `pillarbox` command, with the same words; its default class is DebuggingServer |
//!
//! # What is different on the wire
//!
//! Where smtpd departed from the RFCs, pillarbox does not:
//!
//! - HELO and EHLO may be repeated, and end a transaction; smtpd answered 503.
//! - NOOP takes an argument; HELP answers 214; a tab ends a verb as well as a blank.
//! - Replies carry enhanced status codes.
//! - The null reverse-path is [`ReversePath::Null`](crate::ReversePath::Null), which prints as the empty text; smtpd stored `<>`.
//! - Content has CRLF line ends and its last one; smtpd's had `\n`, and the last was missing.
//!   [`Envelope::text`](crate::Envelope::text) gives `\n`.
//! - A message over the size limit is read to its end and then refused, and what follows it is commands again.
//! - Addresses that are none (`a@b@c`, `@`, other octets than UTF-8) are refused with a reply; smtpd dropped the connection. So
//!   are addresses with a control character or without the closing `>`.
//! - A handler that panics costs its client a `451`; smtpd dropped the connection.
//! - Recipients, connections, commands and times have limits: see [`Builder`](crate::Builder).
//!
//! What smtpd let pass and many clients send is still taken, unless
//! [`strict_syntax`](crate::Builder::strict_syntax) is set: a path without angle brackets, blanks behind the colon.
//!
//! # What is different in relaying
//!
//! smtpd's `PureProxy` answered 250 even if the upstream had refused every recipient, or was down. The one here asks the
//! upstream about each recipient while the client waits, and says what the upstream says. It is no open relay: see
//! [`handlers::Proxy`](crate::handlers::Proxy). `X-Peer` is there as before, and a `Received` line with it.
//!
//! # What is different in the output of DebuggingServer
//!
//! Text is printed as text, not as Python's bytes literals, with control characters made visible.
