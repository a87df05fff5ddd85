//! A blocking SMTP server library: receive mail in a few lines, without an async runtime.
//!
//! Use it in tests, to look at the mail that your code sends, and in programs that receive mail. Each connection has a
//! thread of its own; your code is plain blocking Rust. If you know Python's `smtpd` or `aiosmtpd`, start at
//! [`guide::from_smtpd`] or [`guide::from_aiosmtpd`].
//!
//! # A first test
//!
//! The server runs in the test's own process, on any free port, and is gone when the inbox is dropped:
//!
//! ```
//! use std::time::Duration;
//! # mod signup {
//! #     pub fn send_welcome_mail(server: std::net::SocketAddr, to: &str) {
//! #         use std::io::Write;
//! #         let mut client = std::net::TcpStream::connect(server).unwrap();
//! #         let to = format!("HELO a\r\nMAIL FROM:<noreply@example.org>\r\nRCPT TO:<{to}>\r\nDATA\r\nWelcome\r\n.\r\n");
//! #         client.write_all(to.as_bytes()).unwrap();
//! #     }
//! # }
//!
//! let inbox = pillarbox::Server::builder().inbox("127.0.0.1:0")?;
//! signup::send_welcome_mail(inbox.local_addr(), "bob@example.org");
//! let mail = inbox.recv_timeout(Duration::from_secs(5))?;
//! assert_eq!(mail.mail_from(), "noreply@example.org");
//! assert_eq!(mail.recipients(), ["bob@example.org"]);
//! assert!(mail.text()?.contains("Welcome"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The inbox accepts a message before the test looks at it, so the code under test never waits. [`Inbox`] has more ways to
//! wait and to assert. [`testing`] has servers that fail on purpose, both sides of each conversation, expectations, and
//! certificates.
//!
//! # A first program
//!
//! Run `cargo new postbox`, `cd postbox` and `cargo add pillarbox` (or `cargo add --path ../pillarbox` if you have a clone
//! beside it). On Linux the default features need OpenSSL's headers: `apt install libssl-dev pkg-config` on Debian. This is
//! all of `src/main.rs`:
//!
//! ```no_run
//! use pillarbox::{Envelope, Server};
//!
//! fn main() -> Result<(), pillarbox::Error> {
//!     let server = Server::builder().serve("localhost:8025", |mail: Envelope| {
//!         println!("{} wrote {} octets to {}", mail.mail_from(), mail.content().len(), mail.recipients()[0]);
//!     })?;
//!     println!("listening on {}", server.local_addr());
//!     server.join();
//!     Ok(())
//! }
//! ```
//!
//! Start it with `cargo run`, and send it a message from another terminal:
//!
//! ```text
//! printf 'Subject: hello\r\n\r\nHello!\r\n' |
//!     curl -T - smtp://localhost:8025 --mail-from alice@example.org --mail-rcpt bob@example.org
//! ```
//!
//! The client gets what the closure returns. `()` accepts the message, and from then on it is your program's to keep. So if
//! your program stores mail, accept a message only when it is stored:
//!
//! ```no_run
//! use pillarbox::{Envelope, Reply, Server};
//!
//! fn store(mail: &Envelope) -> std::io::Result<()> {
//!     // ...
//! #   Ok(())
//! }
//!
//! let server = Server::builder().serve("0.0.0.0:25", |mail: Envelope| match store(&mail) {
//!     Ok(()) => Reply::ok(),
//!     Err(e) => Reply::temporary(format!("cannot store: {e}")), // the client keeps it and tries again
//! })?;
//! server.join();
//! # Ok::<(), pillarbox::Error>(())
//! ```
//!
//! Before you let strangers connect, read the checklist in [`guide::threat_model`].
//!
//! # How it works
//!
//! A listener thread accepts connections and gives each to a worker thread, which holds the conversation: one thread a
//! connection, up to [`max_connections`](Builder::max_connections). A complete message becomes an [`Envelope`] and goes over
//! a bounded channel to a consumer thread, which calls your handler. The worker waits for the answer and sends it to the
//! client. With the default of one consumer your handler sees one message at a time and needs no locks.
//!
//! # Where to find what
//!
//! | you want to | use |
//! |---|---|
//! | set limits, timeouts, extensions | [`Builder`], from [`Server::builder`]; [`guide::defaults`] has all defaults |
//! | read a message | [`Envelope`], its [`Content`], [`Recipient`]s and [`MailParameters`] |
//! | take messages | a [`Handler`] or a closure, by [`Builder::serve`]; several at once by [`Builder::serve_with`]; your own loop by [`Builder::deliveries`] |
//! | answer them | [`Response`] and [`Reply`]; `?` on an [`std::io::Error`] answers `451 4.3.0` |
//! | add a header, change the content, give a message to other handlers | [`Envelope::prepend_header`], [`Envelope::rewrite`], [`Envelope::for_recipients`]; [`Envelope::builder`] makes one |
//! | print, store or relay them | the ready-made [`handlers`] |
//! | decide about clients, senders, recipients and verbs | a [`Session`] for each connection, by [`Builder::session`]; it sees a [`Context`] |
//! | add to EHLO, MAIL and RCPT | an [`Extension`], by [`Builder::extension`] |
//! | use TLS, authenticate users | [`Tls`], [`Authenticator`], [`Users`], [`SaslMechanism`], [`Context::authenticate`] |
//! | listen on several ports, Unix sockets, or sockets passed in, each with its own policy | [`Listener`], [`Builder::listen`] |
//! | watch a server | [`Server::stats`], also as text for monitoring systems; an [`Observer`]; [`guide::operations`] |
//! | stop | [`Server::shutdown`]; [`Server::begin_shutdown`], which hooks and handlers call by a [`handle`](Server::handle) |
//! | test code that sends mail | [`Inbox`]; [`Builder::manual_inbox`], where the test answers; [`testing`] |
//! | know what to rely on, and why | the pages of the [`guide`] |
//!
//! # Features
//!
//! `tls` and `auth` are on by default.
//!
//! | feature | adds |
//! |---|---|
//! | `tls` | STARTTLS and implicit TLS by native-tls, which is OpenSSL on Linux |
//! | `rustls` | the same by rustls: TLS 1.3, certificates for several names, client certificates; it needs no OpenSSL. You can bring yet another library: [`TlsAcceptor`] |
//! | `auth` | AUTH: [`Authenticator`], [`Users`] |
//! | `mime` | `Envelope::parsed`, which decodes subject, addresses, bodies, links and attachments; `testing::Expected`; decoded subjects in transcripts and reports |
//! | `testing-tls` | `testing::Authority`: certificates for tests |
//! | `redis` | `handlers::RedisStream` and `handlers::RedisWorker` |
//! | `cli` | the `pillarbox` command: `cargo install --path . --no-default-features --features cli` in a clone; it speaks TLS by rustls |
//!
//! # Types of other crates
//!
//! These types of other crates stand in signatures on purpose. A new major version of one of those crates (0.2 to 0.3 is one
//! too) means a new major version of this crate. All are re-exported in the version that fits:
//!
//! | crate | where | why |
//! |---|---|---|
//! | [`crossbeam_channel`] 0.5 | [`Builder::deliveries`] returns its `Receiver` | a loop of your own can wait for other things too, with its `select!` |
//! | [`native_tls`] 0.2, with the feature `tls` | its `TlsAcceptor` is a [`TlsAcceptor`] and converts to a [`Tls`]; `TlsError::Native` has its error; `Upstream::tls_connector` takes its `TlsConnector` | all of its settings are at hand, and none has to be repeated here |
//! | [`rustls`] 0.23, with the feature `rustls`, and the crate `rustls-pki-types` 1 that it re-exports | `Tls::from_rustls` takes its `ServerConfig` and `Upstream::rustls_config` its `ClientConfig`; `RustlsError` has its errors | the same |
//!
//! All other dependencies can change without notice: redis, rcgen, encoding_rs, parking_lot, socket2 and the rest stand in no
//! signature. [`log`] is in none either, but its messages go to the logger that your program has set for version 0.4.
//!
//! # What it speaks
//!
//! SMTP as of RFC 5321, or LMTP (RFC 2033), with these extensions:
//!
//! - by default: PIPELINING (RFC 2920), SIZE (RFC 1870), 8BITMIME (RFC 6152), ENHANCEDSTATUSCODES (RFC 2034), CHUNKING and
//!   BINARYMIME (RFC 3030), DSN (RFC 3461), LIMITS (RFC 9422), and REQUIRETLS (RFC 8689) under TLS;
//! - with a certificate or an authenticator: STARTTLS (RFC 3207), AUTH (RFC 4954);
//! - on request: SMTPUTF8 (RFC 6531), MT-PRIORITY (RFC 6710), DELIVERBY (RFC 2852), FUTURERELEASE (RFC 4865), PRDR (a
//!   draft), an [`Extension`] of your own, and for listed networks the PROXY protocol, XCLIENT and XFORWARD.
//!
//! Only CRLF ends a line and only CRLF.CRLF ends a message, so no message can be smuggled inside another. Whatever happens
//! to a message, the server never takes its octets for a command.
//!
//! # Logging
//!
//! The crate logs through [`log`]: faults of the server at `error` and `warn`, the fate of each message and misbehaving
//! clients at `info`, connections at `debug`, every command and reply at `trace`. A number in brackets identifies the
//! connection. It never logs message content, and shows what a client sent only [`Escaped`].

#![cfg_attr(docsrs, feature(doc_cfg))]
#![forbid(unsafe_code)]
#![warn(missing_docs)]

// From the bottom up. A module imports from its own folder and from those below it: `tests/layout.rs` lists the folders in
// their order and fails if an import breaks it.
mod syntax;

mod config;
mod error;
mod stats;

#[cfg(feature = "auth")]
mod auth;
mod content;
mod envelope;
#[cfg(feature = "mime")]
pub mod mime;

mod delivery;
mod faults;
mod io;
mod limits;
mod session;

mod connection;
mod server;
mod upstream;

mod builder;
pub mod handlers;
mod inbox;
pub mod testing;

pub mod guide;

#[cfg(feature = "internals")]
#[doc(hidden)]
pub use testing::internals;

#[cfg(feature = "auth")]
pub use auth::{
    AuthFailure, Authenticator, Bearer, EntryError, Mechanism, SaslExchange, SaslMechanism, SaslStep, ScramVerifier,
    ScramVerifierError, Users, UsersError,
};
pub use builder::Builder;
pub use config::LineEnds;
pub use content::{Content, ContentReader, TextError};
pub use delivery::handler::Handler;
pub use delivery::{Delivery, PendingAnswer, Response};
pub use envelope::build::{EnvelopeBuilder, EnvelopeError};
pub use envelope::tls_info::TlsInfo;
pub use envelope::values::Values;
pub use envelope::{Endpoint, EndpointError, Envelope, MessageId, MessageIdError, Protocol, ProtocolError, Recipient};
pub use error::{AddressProblem, Error, SettingError};
pub use inbox::{Inbox, RecvError};
#[cfg(feature = "tls")]
pub use io::tls::TlsError;
#[cfg(feature = "rustls")]
pub use io::tls::{ClientCertificates, RustlsBuilder, RustlsError};
pub use io::tls::{Tls, TlsAcceptor, TlsStream};
pub use io::transport::Transport;
pub use server::listener::Listener;
pub use server::{Server, ServerHandle, ShutdownReport};
pub use session::observer::{ObservedMessage, Observer};
pub use session::{Context, IntoSession, Phase, Session, SessionFactory};
pub use stats::{Refusals, RefusedConnections, Stats, Timeouts};
pub use syntax::address::{AddressError, AddressLiteral, ForwardPath, Mailbox, ReversePath};
pub use syntax::command::Verb;
pub use syntax::escaped::Escaped;
pub use syntax::header::HeaderError;
pub use syntax::network::{Network, NetworkError};
pub use syntax::parameter::{
    AuthParameter, Body, DeliverBy, DeliverByMode, Extension, Hold, MailParameters, Notify, OriginalRecipient,
    RcptParameters, Ret,
};
pub use syntax::proxy_info::{ProxyInfo, ProxyTls};
pub use syntax::reply::{Reply, ReplyError, Status, StatusError};
pub use syntax::xforward::{Xforward, XforwardSource};
pub use upstream::Upstream;
#[cfg(feature = "_tls")]
pub use upstream::UpstreamTls;

/// The TLS library of the feature `tls`: its acceptor converts to a [`Tls`]. A part of this crate's API.
#[cfg(feature = "tls")]
pub use native_tls;

/// The TLS library of the feature `rustls`: its configurations are for [`Tls::from_rustls`] and
/// [`Upstream::rustls_config`]. A part of this crate's API.
#[cfg(feature = "rustls")]
pub use rustls;

/// The channel crate: [`Builder::deliveries`] returns its [`Receiver`](crossbeam_channel::Receiver). A part of this crate's API.
pub use crossbeam_channel;
