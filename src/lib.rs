//! A blocking SMTP server library: receive mail in a few lines, without an async runtime.
//!
//! # A first test
//!
//! A test looks at the mail that its code has sent. The server is in the test's own process, at any free port, and gone when
//! the inbox is dropped:
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
//! # A first program
//!
//! After `cargo new postbox`, `cd postbox` and `cargo add pillarbox` (or, with a clone beside it,
//! `cargo add --path ../pillarbox`) this is all of `src/main.rs`:
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
//! `cargo run` starts it, and in another terminal curl sends it a message:
//!
//! ```text
//! printf 'Subject: hello\r\n\r\nHello!\r\n' |
//!     curl -T - smtp://localhost:8025 --mail-from alice@example.org --mail-rcpt bob@example.org
//! ```
//!
//! What the closure returns is what the client reads: `()` accepts the message, which is then the program's to keep. A program
//! that stores mail says so only once it has:
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
//! # The map
//!
//! A listener thread accepts connections and hands each to a worker thread, which holds the conversation: one thread for
//! each connection, up to [`max_connections`](Builder::max_connections). A message that is complete becomes an
//! [`Envelope`] and goes over a bounded channel to whoever consumes it, while the worker waits for the answer that its
//! client will read.
//!
//! | for | there is |
//! |---|---|
//! | settings, their defaults and units | [`Builder`], from [`Server::builder`] |
//! | a message and how it came | [`Envelope`], its [`Content`], [`Recipient`]s and [`MailParameters`] |
//! | taking messages | a [`Handler`], or a closure, by [`Builder::serve`]; several at once by [`Builder::serve_with`]; a loop of your own by [`Builder::deliveries`] |
//! | answering them | [`Response`] and [`Reply`] |
//! | messages printed, stored, relayed | the ready-made [`handlers`] |
//! | a say in the conversation: clients, senders, recipients, verbs | a [`Session`] for each connection, by [`Builder::session`], which sees a [`Context`] |
//! | TLS and users | [`Tls`], [`Authenticator`], [`Users`] |
//! | several ports, Unix sockets, sockets passed in | [`Listener`], [`Builder::listen`] |
//! | the end | [`Server::shutdown`], [`Server::handle`] |
//! | tests | [`Inbox`]; [`Builder::manual_inbox`], where the test answers; [`testing`]: faults on purpose, transcripts, expectations, certificates |
//!
//! And to read: [`promises`] says what can be relied on, [`threats`] who may attack and what is done about it, [`peers`] what
//! other servers have, [`scaling_out`] how to go beyond one process. Who knows Python's `smtpd` or `aiosmtpd` finds the way in
//! [`from_smtpd`] and [`from_aiosmtpd`].
//!
//! # Features
//!
//! | feature | brings | |
//! |---|---|---|
//! | `tls` | STARTTLS and implicit TLS by native-tls: OpenSSL on Linux | by default |
//! | `auth` | AUTH: [`Authenticator`], [`Users`] | by default |
//! | `mime` | `Envelope::parsed`: subject, addresses, bodies, links, attachments; `testing::Expected`; decoded subjects in transcripts and reports | |
//! | `testing-tls` | `testing::Authority`: certificates for tests | |
//! | `redis` | `handlers::RedisStream` | |
//! | `cli` | the `pillarbox` command: `cargo install --path . --features cli` in a clone | |
//!
//! # What goes over the wire
//!
//! RFC 5321 with PIPELINING (RFC 2920), SIZE (RFC 1870), 8BITMIME (RFC 6152), SMTPUTF8 (RFC 6531),
//! ENHANCEDSTATUSCODES (RFC 2034), CHUNKING and BINARYMIME (RFC 3030), DSN (RFC 3461), STARTTLS (RFC 3207), AUTH
//! (RFC 4954), REQUIRETLS (RFC 8689) and LIMITS (RFC 9422), and on request PRDR, MT-PRIORITY (RFC 6710), DELIVERBY
//! (RFC 2852) and FUTURERELEASE (RFC 4865); LMTP (RFC 2033) in SMTP's place. Only CRLF ends a line and only CRLF.CRLF ends
//! a message, so that no message can be smuggled inside another. Whatever happens to a message, none of its octets is ever
//! taken for a command.
//!
//! # Logging
//!
//! The crate speaks to [`log`]: what goes wrong in the server at `error` and `warn`, what became of each message and which
//! clients misbehaved at `info`, connections at `debug`, every command and reply at `trace`. A number in brackets tells the
//! connections apart. Message content is never logged, and what a client sent is shown [`Escaped`].

#![forbid(unsafe_code)]
#![warn(missing_docs)]

// The ground: grammar, without sockets, threads or clocks.
mod address;
mod command;
mod escaped;
mod network;
mod parameter;
mod proxy_protocol;
mod reply;
mod xclient;
mod xtext;

// The protocol, without input or output but for content that is on disk.
mod budget;
mod config;
mod content;
mod envelope;
mod extension;
#[cfg(feature = "mime")]
pub mod mime;
mod pieces;
mod spool;
mod store;
mod tls_info;
mod transaction;
mod transcript;
mod values;

// One connection.
mod addresses;
#[cfg(feature = "auth")]
mod auth;
mod channel;
mod collector;
mod delivery;
mod faults;
mod rate;
mod receive;
mod session;
mod shutdown;
mod stats;
mod stream;
mod stress;
mod tls;
mod transport;
mod wire;

// The server.
mod acceptor;
mod consumer;
mod error;
mod listener;
mod pool;
mod server;
mod worker;

// What is built from it.
mod builder;
mod client;
pub mod handlers;
mod inbox;
pub mod testing;

pub mod from_aiosmtpd;
pub mod from_smtpd;
pub mod peers;
pub mod promises;
pub mod scaling_out;
pub mod threats;

#[cfg(feature = "internals")]
#[doc(hidden)]
pub mod internals;

pub use address::{AddressError, AddressLiteral, ForwardPath, Mailbox, ReversePath};
#[cfg(feature = "auth")]
pub use auth::{
    AuthFailure, Authenticator, Bearer, EntryError, Mechanism, ScramVerifier, ScramVerifierError, Users, UsersError,
};
pub use builder::Builder;
pub use client::Upstream;
#[cfg(feature = "tls")]
pub use client::UpstreamTls;
pub use command::Verb;
pub use config::LineEnds;
pub use consumer::Handler;
pub use content::{Content, ContentReader, TextError};
pub use delivery::{Delivery, PendingAnswer, Response};
pub use envelope::{Endpoint, Envelope, MessageId, Protocol, Recipient};
pub use error::Error;
pub use escaped::Escaped;
pub use inbox::{Inbox, RecvError};
pub use listener::Listener;
pub use network::{Network, NetworkError};
pub use parameter::{
    AuthParameter, Body, DeliverBy, DeliverByMode, Hold, MailParameters, Notify, OriginalRecipient, RcptParameters, Ret,
};
pub use reply::{Reply, Status, StatusError};
pub use server::{Server, ServerHandle, ShutdownReport};
pub use session::{Context, Phase, Session, SessionFactory};
pub use stats::Stats;
#[cfg(feature = "tls")]
pub use tls::TlsError;
pub use tls::{Tls, TlsAcceptor, TlsStream};
pub use tls_info::TlsInfo;
pub use transport::Transport;
pub use values::Values;

/// The TLS library whose acceptor turns into a [`Tls`].
#[cfg(feature = "tls")]
pub use native_tls;

/// The channel crate whose [`Receiver`](crossbeam_channel::Receiver) comes out of [`Builder::deliveries`].
pub use crossbeam_channel;
