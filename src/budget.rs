//! Octets that all messages of a server have to share.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// How many octets of content may be held at once, over all connections and all envelopes that are still there.
#[derive(Debug)]
pub(crate) struct Budget {
    limit: u64,
    used: AtomicU64,
}

impl Budget {
    pub fn new(limit: u64) -> Arc<Budget> {
        Arc::new(Budget { limit, used: AtomicU64::new(0) })
    }

    /// Whether nothing is left.
    pub fn is_exhausted(&self) -> bool {
        !self.has(1)
    }

    /// Whether so many octets are left.
    pub fn has(&self, octets: u64) -> bool {
        self.used().saturating_add(octets) <= self.limit
    }

    /// The octets held now.
    pub fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }
}

/// One message's share of the [`Budget`]; given back on drop.
#[derive(Default, Debug)]
pub(crate) struct Share {
    budget: Option<Arc<Budget>>,
    octets: u64,
}

impl Share {
    pub fn of(budget: &Arc<Budget>) -> Share {
        Share { budget: Some(budget.clone()), octets: 0 }
    }

    /// Takes as much more as is needed for `total` octets; false if the budget does not have it.
    pub fn grow_to(&mut self, total: u64) -> bool {
        let Some(budget) = &self.budget else { return true };
        let more = total.saturating_sub(self.octets);
        if more == 0 {
            return true;
        }
        let before = budget.used.fetch_add(more, Ordering::Relaxed);
        if before.saturating_add(more) > budget.limit {
            budget.used.fetch_sub(more, Ordering::Relaxed);
            return false;
        }
        self.octets += more;
        true
    }

    /// Makes it `total` octets, whether the budget has them or not.
    pub fn set_to(&mut self, total: u64) {
        if let Some(budget) = &self.budget
            && total > self.octets
        {
            budget.used.fetch_add(total - self.octets, Ordering::Relaxed);
            self.octets = total;
        }
        self.shrink_to(total);
    }

    fn shrink_to(&mut self, total: u64) {
        let less = self.octets.saturating_sub(total);
        self.octets -= less;
        if let Some(budget) = &self.budget
            && less > 0
        {
            budget.used.fetch_sub(less, Ordering::Relaxed);
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.shrink_to(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_shared_and_given_back() {
        let budget = Budget::new(10);
        let mut one = Share::of(&budget);
        let mut two = Share::of(&budget);
        assert!(one.grow_to(6) && budget.has(4) && !budget.has(5) && !budget.is_exhausted());
        assert!(two.grow_to(4) && budget.is_exhausted());
        assert!(!two.grow_to(5) && one.grow_to(6));
        drop(one);
        assert_eq!(budget.used(), 4);
        assert!(two.grow_to(10));
        drop(two);
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn what_cannot_be_refused_counts_all_the_same() {
        let budget = Budget::new(10);
        let mut share = Share::of(&budget);
        share.set_to(12);
        assert_eq!(budget.used(), 12);
        assert!(!Share::of(&budget).grow_to(1));
        share.set_to(9);
        assert_eq!(budget.used(), 9);
    }
}
