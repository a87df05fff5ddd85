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
    /// How the command begins that adds a message, once one was added.
    pub add: OnceLock<Vec<Vec<u8>>>,
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
