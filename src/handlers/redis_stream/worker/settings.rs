//! How a worker works.

use std::time::Duration;

/// How a worker works.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub key: String,
    pub group: String,
    pub consumer: String,
    pub dead_letters: Option<String>,
    pub in_flight: usize,
    pub memory: u64,
    pub take_over_after: Duration,
    pub max_attempts: u64,
    pub max_pause: Duration,
    pub once_for: Option<Duration>,
    pub grace: Duration,
}
