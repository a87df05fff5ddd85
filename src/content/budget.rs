//! Octets that all messages of a server have to share.

use std::sync::atomic::{AtomicU64, Ordering};

/// How many octets may be held at once, over all connections and all envelopes that are still there.
#[derive(Debug)]
pub(crate) struct Budget {
    limit: u64,
    used: AtomicU64,
}

impl Budget {
    pub fn new(limit: u64) -> Budget {
        Budget { limit, used: AtomicU64::new(0) }
    }

    /// The most octets that may be held.
    pub fn limit(&self) -> u64 {
        self.limit
    }

    /// Whether so many octets are left.
    pub fn has(&self, octets: u64) -> bool {
        self.used().saturating_add(octets) <= self.limit
    }

    /// The octets held now.
    pub fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    /// Makes one message's share `total` octets if that is more; false if the budget does not have so many.
    pub fn grow(&self, share: &mut u64, total: u64) -> bool {
        self.grow_within(share, total, self.limit)
    }

    /// As [`grow`](Budget::grow), within another limit than the budget's own.
    pub fn grow_within(&self, share: &mut u64, total: u64, limit: u64) -> bool {
        let more = total.saturating_sub(*share);
        if more == 0 {
            return true;
        }
        let before = self.used.fetch_add(more, Ordering::Relaxed);
        if before.saturating_add(more) > limit {
            self.used.fetch_sub(more, Ordering::Relaxed);
            return false;
        }
        *share += more;
        true
    }

    /// Makes one message's share `total` octets, whether the budget has them or not.
    pub fn set(&self, share: &mut u64, total: u64) {
        match total.checked_sub(*share) {
            Some(0) => {}
            Some(more) => _ = self.used.fetch_add(more, Ordering::Relaxed),
            None => _ = self.used.fetch_sub(*share - total, Ordering::Relaxed),
        }
        *share = total;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_shared_and_given_back() {
        let budget = Budget::new(10);
        let (mut one, mut two) = (0, 0);
        assert!(budget.grow(&mut one, 6) && budget.has(4) && !budget.has(5) && budget.has(1));
        assert!(budget.grow(&mut two, 4) && !budget.has(1));
        assert!(!budget.grow(&mut two, 5) && budget.grow(&mut one, 6) && budget.grow(&mut one, 5));
        assert_eq!((one, two, budget.used()), (6, 4, 10));
        budget.set(&mut one, 0);
        assert_eq!((one, budget.used()), (0, 4));
        assert!(budget.grow(&mut two, 10));
        budget.set(&mut two, 0);
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn another_limit_counts_what_is_there() {
        let budget = Budget::new(10);
        let mut share = 0;
        assert!(!budget.grow_within(&mut share, 6, 5) && budget.grow_within(&mut share, 12, 12));
        assert_eq!((share, budget.used()), (12, 12));
    }

    #[test]
    fn what_cannot_be_refused_counts_all_the_same() {
        let budget = Budget::new(10);
        let mut share = 0;
        budget.set(&mut share, 12);
        assert_eq!((share, budget.used()), (12, 12));
        assert!(!budget.grow(&mut 0, 1));
        budget.set(&mut share, 9);
        assert_eq!((share, budget.used()), (9, 9));
    }
}
