//! How a stream is reached, and what is asked of it.

use std::time::Duration;

#[derive(Clone)]
pub(super) struct Settings {
    pub client: redis::Client,
    pub key: String,
    pub capacity: u64,
    pub connect_timeout: Duration,
    pub response_timeout: Duration,
    pub replicas: Option<(usize, Duration)>,
}
