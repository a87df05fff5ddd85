//! How many programs run at once, and the end of all of them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

/// How often somebody who waits looks whether that is still wanted.
pub(super) const TICK: Duration = Duration::from_millis(50);

/// How long the end of all programs is waited for. SIGKILL ends each but those that wait for a disk.
const LONGEST_END: Duration = Duration::from_secs(2);

/// The programs that run.
#[derive(Default, Debug)]
pub(super) struct Permits {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default, Debug)]
struct State {
    running: usize,
    is_stopped: bool,
}

/// One program may run.
pub(super) struct Permit(Arc<Permits>);

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.state.lock().running -= 1;
        self.0.changed.notify_all();
    }
}

impl Permits {
    /// Waits until fewer than `max` run. `None` if it is no longer wanted, or if no more may run.
    pub fn acquire(self: &Arc<Permits>, max: usize, is_wanted: &dyn Fn() -> bool) -> Option<Permit> {
        let mut state = self.state.lock();
        while is_wanted() && !state.is_stopped {
            if state.running < max {
                state.running += 1;
                return Some(Permit(self.clone()));
            }
            self.changed.wait_for(&mut state, TICK);
        }
        None
    }

    pub fn is_stopped(&self) -> bool {
        self.state.lock().is_stopped
    }

    /// No more may run, and those that do are to end: waits until they have.
    pub fn stop(&self) {
        let deadline = Instant::now() + LONGEST_END;
        let mut state = self.state.lock();
        state.is_stopped = true;
        self.changed.notify_all();
        while state.running > 0 {
            if self.changed.wait_until(&mut state, deadline).timed_out() {
                log::error!("{} programs do not end", state.running);
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_over_the_limit_waits() {
        let permits = Arc::<Permits>::default();
        let permit = permits.acquire(1, &|| true).unwrap();
        let asked = std::cell::Cell::new(0);
        let is_wanted = || asked.replace(asked.get() + 1) < 2;
        assert!(permits.acquire(1, &is_wanted).is_none());
        drop(permit);
        drop(permits.acquire(1, &|| true).unwrap());
        permits.stop();
        assert!(permits.acquire(1, &|| true).is_none());
    }
}
