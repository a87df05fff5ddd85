//! What faults remember of clients, in memory that has a bound.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

/// How many triplets greylisting knows: some 4 MiB. Those that came first are forgotten first, and greylisted again.
pub(super) const MAX_TRIPLETS: usize = 65_536;

/// Up to so many, what has passed within a limit's span is known one by one; beyond, that many parts of the span are.
pub(super) const MAX_PASSED: usize = 16_384;

/// So that nobody can choose two triplets that are taken for the same.
static HASHER: LazyLock<RandomState> = LazyLock::new(RandomState::new);

/// When which triplets of client, sender and recipient came first. Of each there is a hash, and not the text.
#[derive(Default, Debug)]
pub(super) struct Triplets {
    first: HashMap<u64, Instant>,
    // The same, by age.
    order: VecDeque<u64>,
}

impl Triplets {
    /// By what a triplet is known.
    pub fn key(triplet: &impl Hash) -> u64 {
        HASHER.hash_one(triplet)
    }

    /// Whether any of these came first less than `delay` ago. Notes those that came now.
    pub fn are_new(&mut self, keys: &[u64], delay: Duration, now: Instant) -> bool {
        let mut are_new = false;
        for key in keys {
            match self.first.get(key) {
                Some(first) => are_new |= now.duration_since(*first) < delay,
                None => {
                    are_new = true;
                    self.note(*key, now);
                }
            }
        }
        are_new
    }

    fn note(&mut self, key: u64, now: Instant) {
        if self.order.len() >= MAX_TRIPLETS
            && let Some(oldest) = self.order.pop_front()
        {
            self.first.remove(&oldest);
        }
        self.first.insert(key, now);
        self.order.push_back(key);
    }
}

/// What has passed within a limit's span.
#[derive(Default, Debug)]
pub(super) struct Passed {
    // The time from which on some passed, and how many did.
    parts: VecDeque<(Instant, usize)>,
    count: usize,
}

impl Passed {
    /// Whether one more may pass, of `times` in any span of this length; then it has. Those that are known by parts of the
    /// span count for that much longer, never shorter.
    pub fn may_pass(&mut self, times: usize, per: Duration, now: Instant) -> bool {
        let part = if times > MAX_PASSED { per / MAX_PASSED as u32 } else { Duration::ZERO };
        while let Some((since, count)) = self.parts.front().copied()
            && now.duration_since(since) >= per.saturating_add(part)
        {
            self.parts.pop_front();
            self.count -= count;
        }
        if self.count >= times {
            return false;
        }
        self.count += 1;
        match self.parts.back_mut() {
            Some((since, count)) if now.duration_since(*since) < part => *count += 1,
            _ => self.parts.push_back((now, 1)),
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_triplets_are_forgotten() {
        let mut triplets = Triplets::default();
        let now = Instant::now();
        let keys: Vec<u64> = (0..3 * MAX_TRIPLETS as u64).collect();
        assert!(keys.iter().all(|key| triplets.are_new(&[*key], Duration::ZERO, now)));
        assert_eq!((triplets.first.len(), triplets.order.len()), (MAX_TRIPLETS, MAX_TRIPLETS));
        let (forgotten, known) = keys.split_at(2 * MAX_TRIPLETS);
        assert!(known.iter().all(|key| !triplets.are_new(&[*key], Duration::ZERO, now)));
        assert!(triplets.are_new(&forgotten[..1], Duration::ZERO, now));
        // One message may have more recipients than are known.
        triplets.are_new(&keys, Duration::ZERO, now);
        assert_eq!(triplets.first.len(), MAX_TRIPLETS);
    }

    #[test]
    fn a_large_limit_takes_no_more_memory_and_lets_no_more_pass() {
        let mut passed = Passed::default();
        let start = Instant::now();
        let times = 10 * MAX_PASSED;
        let per = Duration::from_secs(3600);
        let at = |n: usize| start + per / (2 * times) as u32 * n as u32;
        // All of them within half the span; then none for as long, and a part longer.
        assert!((0..times).all(|n| passed.may_pass(times, per, at(n))));
        assert!(!passed.may_pass(times, per, at(2 * times - 1)));
        assert!(passed.parts.len() <= MAX_PASSED, "{}", passed.parts.len());
        let part = per / MAX_PASSED as u32;
        assert!(!passed.may_pass(times, per, start + per));
        assert!(passed.may_pass(times, per, start + per + 2 * part));
    }

    #[test]
    fn a_limit_of_no_time_lets_all_pass() {
        let mut passed = Passed::default();
        let now = Instant::now();
        assert!((0..10 * MAX_PASSED).all(|_| passed.may_pass(usize::MAX, Duration::ZERO, now)));
        assert!(passed.parts.len() <= 1);
        assert!(!passed.may_pass(0, Duration::ZERO, now));
    }
}
