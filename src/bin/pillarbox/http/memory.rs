//! Memory for answers that are made of messages: so much for all of them together.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

/// In octets. An answer that takes more has all of it for itself.
const ALL: u64 = 256 * 1024 * 1024;

/// In octets, what of it is only for answers that are still made. They are made at once, while sending them may take long.
const FOR_MAKING: u64 = 64 * 1024 * 1024;

/// In octets, of an answer that is small, as a page of a list is.
const SMALL: u64 = 4 * 1024 * 1024;

/// In octets, what there is beyond that for small answers alone, so that no large ones keep them waiting. Half of it is for
/// those that have begun.
const FOR_SMALL: u64 = 64 * 1024 * 1024;

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
        let limit = if octets <= SMALL { ALL + FOR_SMALL / 2 } else { ALL };
        let mut taken = self.taken.lock();
        while taken.octets + octets > limit {
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
        let octets = octets.min(ALL);
        let more = octets.saturating_sub(self.octets);
        let limit = if octets <= SMALL { ALL + FOR_SMALL } else { ALL };
        let mut taken = self.room.taken.lock();
        if more > 0 && taken.octets + more > limit {
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
        let for_small = if self.octets <= SMALL { FOR_SMALL } else { 0 };
        // One that takes more than that is alone.
        if taken.sent > 0 && taken.sent + self.octets > ALL - FOR_MAKING + for_small {
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
        assert!(room.try_reserve(SMALL + 1).is_none() && !made.may_be_sent() && !made.grow(FOR_MAKING + 1));
        made.shrink(SMALL + 1);
        assert!(!made.may_be_sent() && made.grow(FOR_MAKING) && !made.grow(FOR_MAKING + 1));
        drop(sent);
        assert!(made.may_be_sent());
        drop(made);
        let all = room.try_reserve(2 * ALL).map(|mut all| all.may_be_sent());
        assert_eq!(all, Some(true));
        let taken = room.taken.lock();
        assert_eq!((taken.octets, taken.sent), (0, 0));
    }

    #[test]
    fn small_answers_do_not_wait_for_large_ones() {
        let room = Arc::new(MemoryReservation::default());
        let mut sent = room.try_reserve(ALL - FOR_MAKING).unwrap();
        assert!(sent.may_be_sent());
        let _made = room.try_reserve(FOR_MAKING).unwrap();
        let half = FOR_SMALL / 2 / (SMALL / 2);
        let mut small: Vec<_> = (0..half).map(|_| room.try_reserve(SMALL / 2).unwrap()).collect();
        // Those that have begun come to their end.
        assert!(room.try_reserve(1).is_none());
        assert!(small.iter_mut().all(|one| one.grow(SMALL)) && !small[0].grow(SMALL + 1));
        small.iter_mut().for_each(|one| one.shrink(SMALL / 2));
        assert!(small.iter_mut().all(Reserved::may_be_sent));
        drop((sent, small));
        assert!(room.try_reserve(SMALL + 1).is_some());
    }
}
