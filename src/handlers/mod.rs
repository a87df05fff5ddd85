//! Handlers that come with the crate: print, throw away, store, send on.

mod debugging;
#[cfg(unix)]
mod maildir;
mod mailman;
mod proxy;
mod relay;
mod sink;

pub use debugging::Debugging;
#[cfg(unix)]
pub use maildir::Maildir;
pub use mailman::Mailman;
pub use proxy::Proxy;
pub use sink::Sink;
