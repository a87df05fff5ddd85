//! Octets to lines and messages, and replies to octets.
//!
//! The line reader and the content reader are fed what a read brought and say how much they took: they neither read nor
//! wait, so that any split of the stream into packets can be tested.

pub(crate) mod data;
pub(crate) mod input;
pub(crate) mod line;
pub(crate) mod stuffing;
