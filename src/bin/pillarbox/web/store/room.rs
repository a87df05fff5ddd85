//! How much is kept, and what happens when that is reached.

use std::time::Duration;

/// How much is kept.
#[derive(Clone, Copy)]
pub struct Room {
    /// How many messages.
    pub messages: usize,
    /// Their octets with what is known of them: recipients, conversation, what is searched.
    pub octets: u64,
    /// For how long after they were received; forever by default.
    pub time: Option<Duration>,
    pub when_full: WhenFull,
}

/// What makes room for a message.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum WhenFull {
    /// The oldest messages go.
    DropOldest,
    /// Nothing: it is refused, and its client may try again.
    Refuse,
}

pub const MESSAGES: usize = 10_000;
pub const OCTETS: u64 = 256 * 1024 * 1024;

impl Default for Room {
    fn default() -> Room {
        Room { messages: MESSAGES, octets: OCTETS, time: None, when_full: WhenFull::DropOldest }
    }
}
