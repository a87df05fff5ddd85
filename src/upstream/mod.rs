//! The client that relays send with: SMTP and LMTP, over TCP, TLS and Unix sockets.

mod client;
mod resolver;
#[cfg(feature = "_tls")]
mod secure;
mod settings;
mod verdicts;

pub(crate) use client::{AWAY, Client, ClientError};
pub use settings::Upstream;
#[cfg(feature = "_tls")]
pub use settings::UpstreamTls;
pub(crate) use verdicts::Verdicts;
