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
    wait_for(|| if is_so() { Ok(()) } else { Err(what) });
}

/// Waits until there is something, and gives it.
///
/// # Panics
/// With what there was in its place at last, if that takes too long.
#[track_caller]
pub fn wait_for<T, E: std::fmt::Display>(mut look: impl FnMut() -> Result<T, E>) -> T {
    let begun = Instant::now();
    loop {
        match look() {
            Ok(found) => return found,
            Err(instead) => assert!(begun.elapsed() < 2 * PATIENCE, "{instead}"),
        }
        // What has taken long is looked at less often: a look may cost both sides more than they can spare.
        thread::sleep((begun.elapsed() / 16).clamp(Duration::from_millis(1), Duration::from_millis(250)));
    }
}
