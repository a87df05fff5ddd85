//! Handlers that come with the crate: print, throw away, store.

mod debugging;
mod sink;

pub use debugging::Debugging;
pub use sink::Sink;
