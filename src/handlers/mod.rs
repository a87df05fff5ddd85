//! Handlers that come with the crate: print, throw away, store, send on.

mod debugging;
#[cfg(unix)]
mod maildir;
mod mailman;
mod proxy;
#[cfg(feature = "redis")]
mod redis_stream;
mod relay;
mod sink;

pub use debugging::Debugging;
#[cfg(unix)]
pub use maildir::Maildir;
pub use mailman::Mailman;
pub use proxy::Proxy;
#[cfg(feature = "redis")]
pub use redis_stream::{RedisEntryError, RedisStream, RedisUrlError};
pub use sink::Sink;
