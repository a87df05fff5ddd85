//! Coming from Python's `aiosmtpd`: the replacement for each of its hooks, classes and arguments.
//!
//! To port a program:
//!
//! 1. Make `handle_DATA` a closure that takes an [`Envelope`], or a [`Handler`].
//! 2. Make the other hooks methods of a [`Session`]. They return `Ok(())` or a [`Reply`], and need not store anything.
//! 3. Replace the `Controller` by [`Builder::serve`], and its arguments by methods of [`Builder`].
//! 4. Remove `async` and `await`: hooks and handlers may block.
//!
//! The page describes aiosmtpd 1.4.6 (May 2024), the latest release at the time of writing. There a handler is an object with
//! hooks that run on an event loop. Here those are two things: a [`Session`] has the hooks of the conversation, one value
//! for each connection, and a [`Handler`] takes complete messages. A hook may wait for a database or another server, and
//! delays only its own client.
//!
//! # Before and after
//!
//! ```python
//! class ExampleHandler:
//!     async def handle_RCPT(self, server, session, envelope, address, rcpt_options):
//!         if not address.endswith('@example.com'):
//!             return '550 not relaying to that domain'
//!         envelope.rcpt_tos.append(address)
//!         return '250 OK'
//!
//!     async def handle_DATA(self, server, session, envelope):
//!         print('Message from', envelope.mail_from)
//!         store(envelope.content)
//!         return '250 Message accepted for delivery'
//!
//! controller = Controller(ExampleHandler(), hostname='127.0.0.1', port=8025)
//! controller.start()
//! ```
//!
//! ```
//! use pillarbox::{Context, Envelope, Recipient, Reply, Server, Session};
//!
//! struct Example;
//!
//! impl Session for Example {
//!     fn rcpt(&mut self, _: &Context, to: &Recipient) -> Result<(), Reply> {
//!         match to.domain() {
//!             Some(domain) if domain.eq_ignore_ascii_case("example.com") => Ok(()), // the recipient is added
//!             _ => Err(Reply::new(550, "5.7.1", "not relaying to that domain")),
//!         }
//!     }
//! }
//!
//! # fn store(_: &[u8]) -> std::io::Result<()> { Ok(()) }
//! # let at = "127.0.0.1:0";
//! # #[cfg(any())]
//! let at = "127.0.0.1:8025";
//! let server = Server::builder().session(|_peer| Example).serve(at, |mail: Envelope| {
//!     println!("Message from {}", mail.mail_from());
//!     match mail.bytes().and_then(|content| store(&content)) {
//!         Ok(()) => Reply::new(250, "2.0.0", "Message accepted for delivery"),
//!         Err(e) => Reply::temporary(format!("cannot store: {e}")),
//!     }
//! })?;
//! # use std::io::{Read, Write};
//! # let mut client = std::net::TcpStream::connect(server.local_addr())?;
//! # client.write_all(b"EHLO c\r\nMAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.net>\r\nRCPT TO:<b@Example.COM>\r\n\
//! #     DATA\r\n.\r\nQUIT\r\n")?;
//! # let mut replies = String::new();
//! # client.read_to_string(&mut replies)?;
//! # assert!(replies.contains("550 5.7.1 not relaying") && replies.contains("250 2.0.0 Message accepted"), "{replies}");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # The hooks
//!
//! A hook of aiosmtpd gives the whole answer, and has to do what the command would have done: `handle_MAIL` sets
//! `envelope.mail_from`, and if it forgets, later commands fail with 503. A hook here only decides: `Ok(())` lets the command
//! have its effect, `Err` refuses it with a [`Reply`]. To accept with a text of your own, see
//! [`Context::accept_with`].
//!
//! | aiosmtpd | pillarbox |
//! |---|---|
//! | `handle_HELO`, `handle_EHLO` | [`Session::helo`]; [`Context::is_extended`] in later hooks tells which it was. The list of extensions follows from the settings; [`Builder::extension`](crate::Builder::extension) adds one of your own |
//! | `handle_MAIL` | [`Session::mail`], with the [`ReversePath`] and typed [`MailParameters`] |
//! | `handle_RCPT` | [`Session::rcpt`], with the [`Recipient`] and its [`RcptParameters`] |
//! | `handle_DATA` | [`Handler::process_message`], or a closure; [`Session::data`] is asked before the content is sent, [`Session::content`] sees it while it comes |
//! | `handle_RSET` | [`Session::rset`] |
//! | `handle_VRFY` | [`Session::vrfy`]; `HELP` and `EXPN` have hooks too, [`Session::help`] and [`Session::expn`] |
//! | `handle_NOOP`, `handle_QUIT` | [`Session::command`], which sees every line and may answer it; a 221 ends the connection. Put what must happen at the end of a connection, with or without QUIT, into [`Session::disconnect`] |
//! | `handle_STARTTLS` | none: after the handshake the session begins anew, and [`Session::helo`] finds [`Context::tls`], with the client's certificate if there is one. It may refuse |
//! | `handle_PROXY` | [`Session::connect`], which sees the client that the header names as [`Context::peer`]. [`Builder::proxy_protocol`] lists the proxies whose headers are believed. The header's additions (TLVs) are in [`Context::proxy`], checked and typed |
//! | `handle_AUTH`, `auth_MECHANISM`, `@auth_mechanism` | an [`Authenticator`](crate::Authenticator), for the mechanisms of [`Mechanism`](crate::Mechanism); a [`SaslMechanism`](crate::SaslMechanism) for any other |
//! | `handle_exception` | none: a panic in a handler, or in [`Session::content`], is a `451 4.3.0`, and one elsewhere in a session a 421, each with a line in the log. Errors are values: return them as a [`Reply`] |
//! | `process_message` (the old form) | [`Handler::process_message`] |
//! | `smtp_COMMAND` methods in a subclass of `SMTP`, `@syntax` | [`Session::command`], which adds, replaces and forbids verbs; [`Session::help`] for their help |
//! | one handler for all connections, with `session` as an argument | a [`Session`] is made for each connection by [`Builder::session`], so its own fields are the connection's state. For what must reach the handler: [`Context::values`], [`Context::connection_values`] |
//!
//! # What hooks return
//!
//! | aiosmtpd | pillarbox |
//! |---|---|
//! | `'250 OK'` | [`Reply::ok`], `Ok(())`, `()`; the reply to a message also has the message's [`id`](Envelope::id) |
//! | `'550 no such user'` | [`Reply::new`]`(550, "5.1.1", "no such user")` |
//! | `MISSING` (no hook) | the default of each hook |
//! | an exception: `500 Error: (ValueError) ...`, with its text | a panic: `451 4.3.0`, without its text; the client keeps its message |
//! | several lines in one string | a `\n` in the reply's text |
//!
//! # Controllers
//!
//! | aiosmtpd | pillarbox |
//! |---|---|
//! | `Controller(handler, hostname, port)`, `start()` | [`Server::builder`], then [`Builder::serve`]: the server listens when that returns. A test that only looks at mail uses [`Builder::inbox`] |
//! | `controller.hostname`, `.port` | [`Server::local_addr`]; port 0 is any free one |
//! | `stop()`, which cuts every connection | [`Server::shutdown`] with a grace time, or dropping the server |
//! | `UnixSocketController` | the address `"unix:/run/mail.sock"`: see [`Listener`]. Other [listeners](Builder::listen) can be added |
//! | `UnthreadedController`, `UnixSocketUnthreadedController` | [`Builder::deliveries`]: your own thread takes messages off a channel when it likes. There is no event loop |
//! | `ssl_context` (SMTPS) | [`Listener::implicit_tls`], with [`Builder::tls`] |
//! | `server_hostname` | [`Builder::hostname`] |
//! | `factory()` | [`Builder::serve_with`] makes handlers, [`Builder::session`] sessions |
//! | `ready_timeout`, `AIOSMTPD_CONTROLLER_TIMEOUT` | none: there is nothing to wait for |
//! | `loop`, `cancel_tasks`, `begin`, `end`, `finalize` | none: threads of the library's own serve |
//! | `SMTP` | what [`Server::builder`] makes |
//! | `LMTP` | [`Builder::lmtp`]; [`Response::each`] has an answer for each recipient, as RFC 2033 requires, where aiosmtpd sends what `handle_DATA` returned |
//!
//! # Arguments of `SMTP`
//!
//! | aiosmtpd | pillarbox |
//! |---|---|
//! | `data_size_limit` (33,554,432) | [`Builder::data_size_limit`], the same; 0 is unlimited, not `None` |
//! | `enable_SMTPUTF8` (false; true with a `Controller`) | [`Builder::smtputf8`] (false) |
//! | `decode_data` (false) | [`Builder::decode_data`]; you have both views of the content without it. A message that is not UTF-8 is refused, not decoded with surrogates |
//! | `hostname` (`socket.getfqdn()`) | [`Builder::hostname`] (the machine's name; the DNS is not asked) |
//! | `ident` | none: the banner says `ESMTP pillarbox` |
//! | `tls_context` | [`Builder::tls`] with a [`Tls`], by native-tls, rustls or [another library](crate::TlsAcceptor) |
//! | `require_starttls` (false) | [`Builder::require_tls`] (false) |
//! | `timeout` (300 s from one good command to the next, content included; then closed without a reply) | [`Builder::command_timeout`] (300 s) and [`Builder::data_timeout`] (180 s), also in total; then `421 4.4.2` |
//! | `auth_required` (false) | [`Builder::require_auth`](crate::Builder::require_auth) (false) |
//! | `auth_require_tls` (true) | [`Builder::clear_text_auth`](crate::Builder::clear_text_auth) (false), which means the opposite. Clients on this machine may log in without TLS unless it is required; SCRAM needs no TLS |
//! | `auth_exclude_mechanism` | [`Authenticator::mechanisms`](crate::Authenticator::mechanisms), for each client |
//! | `auth_callback` | a closure of user and password is an [`Authenticator`](crate::Authenticator), given to [`Builder::authenticator`](crate::Builder::authenticator); [`Users`](crate::Users) reads a file |
//! | `authenticator` | [`Authenticator`](crate::Authenticator): its methods return the identity or an [`AuthFailure`](crate::AuthFailure), in place of `AuthResult` |
//! | `command_call_limit` (none) | [`Builder::max_errors`] (20), and [`Builder::max_junk`] (100), beyond which each command without mail counts as an error; an accepted message resets both; [`Builder::max_auth_failures`](crate::Builder::max_auth_failures) (3) |
//! | `proxy_protocol_timeout` (none: no PROXY protocol) | [`Builder::proxy_protocol`] lists who sends a header; it must arrive within ten seconds |
//! | `loop` | none |
//! | `command_size_limit`, `command_size_limits` (512 octets and what extensions add) | 2,048 octets, 12,288 within AUTH; the parameters of an [`Extension`](crate::Extension) add theirs |
//! | `line_length_limit` (1,001 octets, else `500`) | none: lines of content may have any length |
//! | `local_part_limit` (none) | none: 64 octets under [`Builder::strict_syntax`], else what fits into a path |
//! | `AuthLoginUsernameChallenge`, `AuthLoginPasswordChallenge` | none: `Username:` and `Password:` |
//!
//! # Session and Envelope
//!
//! | aiosmtpd | pillarbox |
//! |---|---|
//! | `session.peer` | [`Context::peer`], [`Envelope::peer`] |
//! | `session.host_name` | [`Context::helo`], [`Envelope::helo`] |
//! | `session.extended_smtp` | [`Context::is_extended`]; [`Envelope::protocol`] |
//! | `session.ssl` | [`Context::tls`], [`Envelope::tls`] |
//! | `session.authenticated`, `auth_data`, `login_data` | [`Context::identity`], [`Envelope::identity`]: the user, if the client has logged in, or a hook has said who it is ([`Context::authenticate`]) |
//! | `session.proxy_data` | [`Context::peer`] and [`Context::local`] come from the header |
//! | `session.loop` | none |
//! | attributes of your own | fields of your [`Session`]; [`Values`] for the handler |
//! | `envelope.mail_from` | [`Envelope::mail_from`]; the null reverse-path equals `""`, and not `"<>"` |
//! | `envelope.mail_options` | [`Envelope::mail_options`], in upper case too, and typed [`Envelope::mail_parameters`] |
//! | `envelope.smtp_utf8` | [`MailParameters::smtputf8`] |
//! | `envelope.rcpt_tos` | [`Envelope::recipients`] |
//! | `envelope.rcpt_options` (always empty: any is answered 555) | [`Recipient::parameters`], for each recipient |
//! | `envelope.content` | [`Envelope::bytes`]; [`Envelope::content`] to read it in pieces, since it may be on disk |
//! | `envelope.content` with `decode_data` | [`Envelope::text`], whose lines end with `\n` |
//! | `envelope.original_content` | [`Envelope::bytes`] |
//! | `envelope.content = ...`, a header in front | [`Envelope::with_content`], [`Envelope::prepend_header`] |
//!
//! # Its handlers
//!
//! | aiosmtpd | pillarbox |
//! |---|---|
//! | `Debugging(stream)` | [`handlers::Debugging`]: `stdout()`, or `new` with any writer. What clients sent is shown escaped |
//! | `Sink` | [`handlers::Sink`] |
//! | `Message`, `AsyncMessage` | a closure, and `Envelope::parsed` (feature `mime`). `X-Peer`, `X-MailFrom` and `X-RcptTo` are not added: the [`Envelope`] has them |
//! | `Mailbox(mail_dir)` | [`handlers::Maildir`], accepted once it is on disk; it has no `reset()` |
//! | `Proxy(host, port)`, which answers `250 OK` even if the other server refuses or is down | [`handlers::Proxy`], which passes the other server's replies on; it is not an open relay |
//! | `aiosmtpd.testing.helpers.ReceivingHandler` | [`Inbox`], on which a test can wait |
//!
//! # The command
//!
//! | `aiosmtpd` | `pillarbox` |
//! |---|---|
//! | `-n`, `--nosetuid` | the same |
//! | `-c`, `--class CLASSPATH` | `-c NAME`, one of its own classes; for a handler of your own write a program of a few lines |
//! | `CLASSARGS` | options: `-c Maildir --maildir DIR` for `-c aiosmtpd.handlers.Mailbox DIR` |
//! | `-c aiosmtpd.handlers.Debugging stderr` | `>&2` |
//! | `-s`, `--size` (unlimited by default, whatever the help says) | the same; 33,554,432 by default |
//! | `-u`, `--smtputf8` | the same |
//! | `-d`, `--debug`, up to three times | the same, once; `RUST_LOG` selects a level |
//! | `-l`, `--listen HOST:PORT` | the first argument: `pillarbox -n localhost:8025` |
//! | `--smtpscert`, `--smtpskey` | `--tls-cert`, `--tls-key` and `--smtps` |
//! | `--tlscert`, `--tlskey` | `--tls-cert`, `--tls-key`; add `--require-tls`, which aiosmtpd implies |
//! | `--no-requiretls` | nothing: TLS is required only by `--require-tls` |
//! | `-v`, `--version` | `-V`, `--version` |
//!
//! # What is different on the wire
//!
//! - PIPELINING, ENHANCEDSTATUSCODES, CHUNKING, BINARYMIME, DSN and LIMITS are offered too. RCPT may have parameters.
//! - Only CRLF ends a command line; aiosmtpd takes a bare LF. Only CRLF.CRLF ends content, in both.
//! - Lone CRs and LFs in a message become CRLF. [`LineEnds::Keep`] leaves them, as aiosmtpd does.
//! - Control characters in a command are refused; aiosmtpd takes them in addresses and repeats them in replies.
//! - HELP answers 214, as in RFC 5321 section 4.2.2, not 250.
//! - AUTH is offered only if there is an authenticator or a mechanism of your own.
//! - Recipients, connections and memory have limits: see [`defaults`](crate::guide::defaults).
//! - A shutdown lets messages in progress finish.

#[cfg(doc)]
use crate::{
    Builder, Context, Envelope, Handler, Inbox, LineEnds, Listener, MailParameters, RcptParameters, Recipient, Reply,
    Response, ReversePath, Server, Session, Tls, Values, handlers,
};
