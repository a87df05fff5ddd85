//! Handlers that come with the crate: print, throw away, store.

mod debugging;
#[cfg(unix)]
mod maildir;
mod sink;

pub use debugging::Debugging;
#[cfg(unix)]
pub use maildir::Maildir;
pub use sink::Sink;
