//! Memory for answers that are made of messages: so much for all of them together.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

/// In octets. An answer that takes more has all of it for itself.
const ALL: u64 = 256 * 1024 * 1024;

/// How long an answer waits for others to be sent.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Default)]
pub struct Room {
    taken: Mutex<u64>,
    given_back: Condvar,
}

/// Room that is given back with the value.
pub struct Reserved {
    room: Arc<Room>,
    octets: u64,
}

impl Room {
    /// None if there is not enough for too long.
    pub fn reserve(self: &Arc<Room>, octets: u64) -> Option<Reserved> {
        let octets = octets.min(ALL);
        let deadline = Instant::now() + PATIENCE;
        let mut taken = self.taken.lock();
        while *taken + octets > ALL {
            if self.given_back.wait_until(&mut taken, deadline).timed_out() {
                return None;
            }
        }
        *taken += octets;
        Some(Reserved { room: self.clone(), octets })
    }
}

impl Reserved {
    /// Gives back what is beyond.
    pub fn shrink(&mut self, octets: u64) {
        let beyond = self.octets.saturating_sub(octets);
        self.octets -= beyond;
        *self.room.taken.lock() -= beyond;
        self.room.given_back.notify_all();
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        self.shrink(0);
    }
}
