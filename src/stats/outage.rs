//! What may fail for a while, for the log: one line when it begins to fail and one when it works again.

use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

/// Whether something fails now, and for what cause. Otherwise a full disk would be logged for each message that it refuses.
#[derive(Default, Debug)]
pub(crate) struct Outage {
    // So that what works, which is nearly always, needs to look at no more.
    is_on: AtomicBool,
    cause: Mutex<Option<&'static str>>,
}

impl Outage {
    /// It has failed. True if this is to be logged: it worked until now, or failed for another cause.
    pub fn begins(&self, cause: &'static str) -> bool {
        let mut known = self.cause.lock();
        self.is_on.store(true, Ordering::Relaxed);
        known.replace(cause) != Some(cause)
    }

    /// It has worked. True if this is to be logged: it failed until now.
    pub fn ends(&self) -> bool {
        if !self.is_on.load(Ordering::Relaxed) {
            return false;
        }
        let mut known = self.cause.lock();
        self.is_on.store(false, Ordering::Relaxed);
        known.take().is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_beginning_an_end_and_another_cause_are_told_once() {
        let outage = Outage::default();
        assert!(!outage.ends());
        assert_eq!([outage.begins("full"), outage.begins("full")], [true, false]);
        assert_eq!([outage.begins("broken"), outage.begins("broken")], [true, false]);
        assert_eq!([outage.ends(), outage.ends()], [true, false]);
        assert!(outage.begins("broken"));
    }
}
