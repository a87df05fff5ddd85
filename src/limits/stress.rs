//! Whether so many connections are in use that clients get less time: what Postfix calls stress.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// Stress ends when there have been few connections for this many times a client's timeout: those that were sent away
/// come back, and would begin it again.
const CALM: u32 = 2;

/// How often within a client's timeout connections are looked for that have waited longer.
const SEARCHES: u32 = 32;

/// How many of a server's connections are in use, and whether that is stress.
#[derive(Debug)]
pub(crate) struct Stress {
    permits: usize,
    // A client's time for a command under stress; none if there is never any.
    timeout: Option<Duration>,
    // Looked at for each command, so apart from the lock: under stress, all workers would wait for each other there.
    is_on: AtomicBool,
    // Whether that may end by time alone.
    is_calm: AtomicBool,
    state: Mutex<Usage>,
}

#[derive(Default, Debug)]
struct Usage {
    taken: usize,
    // Since when there are few, while there is stress.
    calm_since: Option<Instant>,
    searched: Option<Instant>,
}

/// One connection among those in use; it leaves them on drop.
#[derive(Debug)]
pub(crate) struct StressPermit(Arc<Stress>);

impl Stress {
    pub fn new(permits: usize, timeout: Option<Duration>) -> Stress {
        let (is_on, is_calm) = (AtomicBool::new(false), AtomicBool::new(false));
        Stress { permits, timeout, is_on, is_calm, state: Mutex::default() }
    }

    /// One connection more.
    pub fn enter(self: &Arc<Self>) -> StressPermit {
        self.change(Instant::now(), |taken| taken + 1);
        StressPermit(self.clone())
    }

    /// A client's time for a command, if there is stress.
    pub fn timeout(&self) -> Option<Duration> {
        if !self.is_on() {
            return None;
        }
        // Nothing else may have happened since there was calm.
        if self.is_calm.load(Ordering::Relaxed) {
            self.review(&mut self.state.lock(), Instant::now());
        }
        self.timeout.filter(|_| self.is_on())
    }

    /// Since when a client may have waited at most, if there is stress and it is time to look for those that have waited
    /// for longer. They were not told to hurry when their wait began.
    pub fn search(&self) -> Option<Instant> {
        let timeout = self.timeout()?;
        let now = Instant::now();
        let mut state = self.state.lock();
        if state.searched.is_some_and(|at| now.saturating_duration_since(at) < timeout / SEARCHES) {
            return None;
        }
        state.searched = Some(now);
        now.checked_sub(timeout)
    }

    fn is_on(&self) -> bool {
        self.is_on.load(Ordering::Relaxed)
    }

    fn change(&self, now: Instant, taken: impl FnOnce(usize) -> usize) {
        let mut state = self.state.lock();
        // What ended by now, this must not prolong.
        self.review(&mut state, now);
        state.taken = taken(state.taken);
        self.review(&mut state, now);
    }

    /// Begins or ends stress, if it is time.
    fn review(&self, state: &mut Usage, now: Instant) {
        let Some(timeout) = self.timeout else { return };
        let free = self.permits.saturating_sub(state.taken);
        let (is_full, is_calm) = (free < self.permits.div_ceil(10), free > self.permits / 4);
        if !self.is_on() {
            if is_full {
                log::warn!(
                    "stress: {} of {} connections in use, {timeout:?} for a command from now on",
                    state.taken,
                    self.permits
                );
                *state = Usage { taken: state.taken, ..Usage::default() };
                self.is_calm.store(false, Ordering::Relaxed);
                self.is_on.store(true, Ordering::Relaxed);
            }
            return;
        }
        state.calm_since = is_calm.then(|| state.calm_since.unwrap_or(now));
        self.is_calm.store(is_calm, Ordering::Relaxed);
        if state.calm_since.is_some_and(|since| now.saturating_duration_since(since) >= timeout * CALM) {
            log::warn!("stress is over: {} of {} connections in use", state.taken, self.permits);
            self.is_on.store(false, Ordering::Relaxed);
        }
    }
}

impl Drop for StressPermit {
    fn drop(&mut self) {
        self.0.change(Instant::now(), |taken| taken - 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(30);

    /// Whether there is stress with `taken` of the permits in use at a moment.
    fn is_on_with(stress: &Stress, taken: usize, at: Instant) -> bool {
        stress.change(at, |_| taken);
        stress.is_on()
    }

    #[test]
    fn begins_over_nine_tenths() {
        for (permits, first) in [(1, 1), (2, 2), (10, 10), (15, 14), (20, 19), (1000, 901)] {
            let stress = Stress::new(permits, Some(TIMEOUT));
            assert!(!is_on_with(&stress, first - 1, Instant::now()), "{permits}");
            assert!(is_on_with(&stress, first, Instant::now()), "{permits}");
        }
    }

    #[test]
    fn ends_when_it_was_calm_for_long_enough() {
        let stress = Stress::new(20, Some(TIMEOUT));
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        assert!(is_on_with(&stress, 19, at(0)));
        // Three quarters are not few yet.
        assert!(is_on_with(&stress, 15, at(1)) && is_on_with(&stress, 15, at(100)));
        assert!(is_on_with(&stress, 14, at(101)) && is_on_with(&stress, 14, at(160)));
        // Not even one connection too many may come in between.
        assert!(is_on_with(&stress, 15, at(160)) && is_on_with(&stress, 0, at(161)) && is_on_with(&stress, 0, at(220)));
        assert!(!is_on_with(&stress, 0, at(221)));
        assert!(!is_on_with(&stress, 18, at(222)) && is_on_with(&stress, 19, at(223)));
        // The calm of before counts no more; what comes behind the calm does not make it shorter.
        assert!(is_on_with(&stress, 0, at(224)));
        assert!(!is_on_with(&stress, 15, at(1000)));
    }

    #[test]
    fn seats_are_counted() {
        let stress = Arc::new(Stress::new(2, Some(TIMEOUT)));
        let first = stress.enter();
        assert_eq!((stress.timeout(), stress.search()), (None, None));
        let second = stress.enter();
        assert_eq!(stress.timeout(), Some(TIMEOUT));
        assert_eq!(stress.state.lock().taken, 2);
        drop((first, second));
        assert_eq!(stress.state.lock().taken, 0);
        assert_eq!(stress.timeout(), Some(TIMEOUT));
        // Turned off, it is never on.
        let none = Arc::new(Stress::new(1, None));
        let _stress_permit = none.enter();
        assert_eq!(none.timeout(), None);
    }

    #[test]
    fn searches_are_not_for_every_connection() {
        let stress = Arc::new(Stress::new(1, Some(Duration::from_millis(1))));
        let _stress_permit = stress.enter();
        assert!(stress.search().is_some_and(|since| since < Instant::now()));
        let stress = Arc::new(Stress::new(1, Some(Duration::from_secs(3600))));
        let _stress_permit = stress.enter();
        stress.search();
        assert_eq!(stress.search(), None);
    }
}
