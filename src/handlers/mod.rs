//! Handlers that come with the crate: print, throw away, store, send on.
//!
//! | handler | does | accepts a message once |
//! |---|---|---|
//! | [`Debugging`] | prints it | it is printed; nothing is kept |
//! | [`Sink`] | throws it away | it is there |
//! | [`Maildir`] (on Unix) | stores it as a file | it is flushed to the disk |
//! | [`Proxy`] | relays it to another server, SMTP or LMTP | that server has |
//! | [`Mailman`] | gives a Mailman 3 what is for its lists, and relays the rest | that has, or the other server |
//! | `RedisStream` (feature `redis`) | puts it into a Redis stream, for workers | Redis has |
//!
//! One's own is any type that is a [`Handler`](crate::Handler), and any closure that takes an
//! [`Envelope`](crate::Envelope).

mod debugging;
#[cfg(unix)]
mod maildir;
#[cfg(feature = "redis")]
mod redis_stream;
mod relay;
mod sink;

pub use debugging::Debugging;
#[cfg(unix)]
pub use maildir::Maildir;
#[cfg(feature = "redis")]
pub use redis_stream::{RedisEntryError, RedisStream, RedisUrlError};
pub use relay::mailman::Mailman;
pub use relay::proxy::Proxy;
pub use sink::Sink;
