//! How a stream is reached, and what is asked of it.

use std::sync::OnceLock;
use std::time::Duration;

use super::server::RedisServer;

#[derive(Clone)]
pub(super) struct Settings {
    pub server: RedisServer,
    pub key: String,
    pub capacity: u64,
    pub capacity_octets: Option<u64>,
    pub replicas: Option<(usize, Duration)>,
    /// How a message is added, once one was.
    pub add: OnceLock<Words>,
}

/// The first words of the commands that add a message; its fields follow.
#[derive(Clone)]
pub(super) struct Words {
    /// Looks at the capacity in the same step.
    pub checked: Vec<Vec<u8>>,
    /// Does not look, for a stream that is far from it; nothing where each message has to be looked at.
    pub direct: Option<Vec<Vec<u8>>>,
    /// Behind it, asks for the length.
    pub length: Vec<u8>,
}

impl Settings {
    /// Where entries are that replicas have not confirmed.
    pub fn unconfirmed(&self) -> String {
        unconfirmed(&self.key)
    }
}

/// The key of the entries that replicas have not confirmed, to a stream's key.
pub(super) fn unconfirmed(key: &str) -> String {
    format!("{key}:unconfirmed")
}
