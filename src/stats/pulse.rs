//! Whether a thread comes round: it has ended one piece of work when it begins the next.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// How often a thread has begun and ended work. It costs that thread two writes to a number of its own, and no clock.
#[derive(Default, Debug)]
// Apart from others' numbers, which would take its line of the cache away.
#[repr(align(128))]
pub(crate) struct Pulse {
    // Odd while it works.
    turns: AtomicU64,
}

/// The thread has ended.
const ENDED: u64 = u64::MAX;

impl Pulse {
    /// Work begins, or ends.
    pub fn beat(&self) {
        // One thread alone writes: no need to add in one step.
        self.turns.store(self.turns.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
    }

    /// Marks the end of the thread when it is dropped, as by a panic.
    pub fn until_dropped(&self) -> impl Drop + '_ {
        EndsOnDrop(self)
    }
}

struct EndsOnDrop<'a>(&'a Pulse);

impl Drop for EndsOnDrop<'_> {
    fn drop(&mut self) {
        self.0.turns.store(ENDED, Ordering::Relaxed);
    }
}

/// When somebody looked, and found a thread at this.
type Seen = Mutex<Option<(u64, Instant)>>;

/// A thread's pulse with how long its work may take, and what was seen of it before.
#[derive(Debug)]
pub(crate) struct Watch {
    pulse: Arc<Pulse>,
    longest: Duration,
    seen: Seen,
}

impl Watch {
    pub fn new(longest: Duration) -> Watch {
        Watch { pulse: Arc::default(), longest, seen: Mutex::default() }
    }

    pub fn pulse(&self) -> Arc<Pulse> {
        self.pulse.clone()
    }

    /// Whether the thread is there and does not seem to be stuck: it was not at the same work when somebody looked longer ago
    /// than that may take.
    pub fn is_alive(&self, now: Instant) -> bool {
        let turns = self.pulse.turns.load(Ordering::Relaxed);
        let mut seen = self.seen.lock();
        match *seen {
            _ if turns == ENDED => false,
            Some((before, since)) if before == turns => {
                turns.is_multiple_of(2) || now.saturating_duration_since(since) <= self.longest
            }
            _ => {
                *seen = Some((turns, now));
                true
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_works_too_long_or_has_ended_is_not_alive() {
        let watch = Watch::new(Duration::from_secs(10));
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let pulse = watch.pulse();
        // It waits for work, for however long.
        assert!(watch.is_alive(at(0)) && watch.is_alive(at(1000)));
        pulse.beat();
        assert!(watch.is_alive(at(1001)) && watch.is_alive(at(1011)) && !watch.is_alive(at(1012)));
        // Late, and done all the same.
        pulse.beat();
        assert!(watch.is_alive(at(1013)));
        pulse.beat();
        assert!(watch.is_alive(at(1014)));
        pulse.beat();
        pulse.beat();
        // Other work than the last time.
        assert!(watch.is_alive(at(1025)) && watch.is_alive(at(1035)) && !watch.is_alive(at(1036)));
        drop(pulse.until_dropped());
        assert!(!watch.is_alive(at(1036)));
    }
}
