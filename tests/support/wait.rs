//! Waiting for a condition.

use std::thread;
use std::time::{Duration, Instant};

use super::client::PATIENCE;

/// Waits until something is so.
///
/// # Panics
/// With `what`, if that takes too long.
#[track_caller]
pub fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + 2 * PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "{what}");
        thread::sleep(Duration::from_millis(1));
    }
}
