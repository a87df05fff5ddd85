//! What a process must have for itself, such as the number of its threads. The tests take turns.

#[cfg(target_os = "linux")]
mod many_inboxes;
#[cfg(all(feature = "mime", unix))]
mod mime_bombs;
#[path = "../support/mod.rs"]
mod support;
#[cfg(target_os = "linux")]
mod threads;

#[cfg(any(all(feature = "mime", unix), target_os = "linux"))]
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Waits until no other test of this program runs.
#[cfg(any(all(feature = "mime", unix), target_os = "linux"))]
fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}
