//! Memory for answers that are made of messages: so much for all of them together.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

/// In octets. An answer that takes more has all of it for itself.
const ALL: u64 = 256 * 1024 * 1024;

/// In octets, what of it is only for answers that are still made. They are made at once, while sending them may take long.
const FOR_MAKING: u64 = 64 * 1024 * 1024;

/// How long an answer waits for others to be sent.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Default)]
pub struct MemoryReservation {
    taken: Mutex<Taken>,
    given_back: Condvar,
}

#[derive(Default)]
struct Taken {
    octets: u64,
    // Those of them that are sent.
    sent: u64,
}

/// A reservation, released when the value is dropped.
pub struct Reserved {
    room: Arc<MemoryReservation>,
    octets: u64,
    is_sent: bool,
}

impl MemoryReservation {
    /// None if there is not enough now.
    pub fn try_reserve(self: &Arc<MemoryReservation>, octets: u64) -> Option<Reserved> {
        self.reserve_until(octets, None)
    }

    /// None if there is not enough for too long.
    pub fn reserve(self: &Arc<MemoryReservation>, octets: u64) -> Option<Reserved> {
        self.reserve_until(octets, Some(Instant::now() + PATIENCE))
    }

    fn reserve_until(self: &Arc<MemoryReservation>, octets: u64, deadline: Option<Instant>) -> Option<Reserved> {
        let octets = octets.min(ALL);
        let mut taken = self.taken.lock();
        while taken.octets + octets > ALL {
            if self.given_back.wait_until(&mut taken, deadline?).timed_out() {
                return None;
            }
        }
        taken.octets += octets;
        Some(Reserved { room: self.clone(), octets, is_sent: false })
    }
}

impl Reserved {
    /// Has as many octets, if they are there now.
    pub fn grow(&mut self, octets: u64) -> bool {
        let more = octets.min(ALL).saturating_sub(self.octets);
        let mut taken = self.room.taken.lock();
        if taken.octets + more > ALL {
            return false;
        }
        taken.octets += more;
        self.octets += more;
        true
    }

    /// Gives back what is beyond.
    pub fn shrink(&mut self, octets: u64) {
        let beyond = self.octets.saturating_sub(octets);
        self.octets -= beyond;
        let mut taken = self.room.taken.lock();
        taken.octets -= beyond;
        if self.is_sent {
            taken.sent -= beyond;
        }
        self.room.given_back.notify_all();
    }

    /// The answer is made, and to be sent for as long as that takes; false if others that are sent leave no room for it.
    pub fn may_be_sent(&mut self) -> bool {
        let mut taken = self.room.taken.lock();
        // One that takes more than that is alone.
        if taken.sent > 0 && taken.sent + self.octets > ALL - FOR_MAKING {
            return false;
        }
        taken.sent += self.octets;
        self.is_sent = true;
        true
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        self.shrink(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sent_leaves_room_for_what_is_made() {
        let room = Arc::new(MemoryReservation::default());
        let mut sent = room.try_reserve(ALL - FOR_MAKING).unwrap();
        assert!(sent.may_be_sent());
        let mut made = room.try_reserve(FOR_MAKING).unwrap();
        assert!(room.try_reserve(1).is_none() && !made.may_be_sent() && !made.grow(FOR_MAKING + 1));
        made.shrink(10);
        assert!(!made.may_be_sent() && made.grow(20) && room.try_reserve(FOR_MAKING - 20).is_some());
        drop(sent);
        assert!(made.may_be_sent());
        drop(made);
        let all = room.try_reserve(2 * ALL).map(|mut all| all.may_be_sent());
        assert_eq!(all, Some(true));
        let taken = room.taken.lock();
        assert_eq!((taken.octets, taken.sent), (0, 0));
    }
}
