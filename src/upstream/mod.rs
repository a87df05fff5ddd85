//! The client that relays send with: SMTP and LMTP, over TCP, TLS and Unix sockets.

mod client;
mod resolver;
#[cfg(feature = "_tls")]
mod secure;
mod settings;
mod target;
mod verdicts;

pub(crate) use client::{AWAY, Client, ClientError};
#[cfg(feature = "redis")]
pub(crate) use resolver::Resolver;
pub use settings::Upstream;
#[cfg(feature = "_tls")]
pub use settings::UpstreamTls;
#[cfg(feature = "redis")]
pub(crate) use target::Target;
pub(crate) use verdicts::Verdicts;
