//! How often something came from a network recently, in bounded memory.

use std::collections::HashMap;
use std::time::Instant;

use parking_lot::Mutex;

use crate::config::Rate;
use crate::syntax::network::Network;

/// At least this many networks are remembered, and at most twice as many. Those beyond may be forgotten early.
const GENERATION: usize = 16_384;

/// Counts what comes from each network, within a window of time that begins with the first.
#[derive(Debug)]
pub(crate) struct Windows {
    rate: Rate,
    generations: Mutex<Generations>,
}

/// The networks, in two maps. When the young map is full, or everything in the old one has expired, the young one
/// replaces the old one. So neither has to be searched for what has expired.
#[derive(Debug)]
struct Generations {
    young: HashMap<Network, Window>,
    old: HashMap<Network, Window>,
    // When the young one was begun.
    since: Instant,
}

#[derive(Clone, Copy, Debug)]
struct Window {
    since: Instant,
    count: usize,
}

impl Windows {
    pub fn new(rate: Rate, now: Instant) -> Windows {
        let generations = Generations { young: HashMap::new(), old: HashMap::new(), since: now };
        Windows { rate, generations: Mutex::new(generations) }
    }

    /// Counts one more; true if that is within the rate.
    pub fn add(&self, network: Network, now: Instant) -> bool {
        let mut generations = self.generations.lock();
        let age = now.saturating_duration_since(generations.since);
        if generations.young.len() >= GENERATION || age >= self.rate.per {
            generations.old = std::mem::take(&mut generations.young);
            generations.since = now;
        }
        let found = generations.young.get(&network).copied().or_else(|| generations.old.remove(&network));
        let mut window = found.filter(|window| self.is_open(window, now)).unwrap_or(Window { since: now, count: 0 });
        window.count = window.count.saturating_add(1);
        generations.young.insert(network, window);
        window.count <= self.rate.max
    }

    /// Whether no more would be within the rate.
    pub fn is_used_up(&self, network: Network, now: Instant) -> bool {
        let generations = self.generations.lock();
        let found = generations.young.get(&network).or_else(|| generations.old.get(&network));
        found.is_some_and(|window| self.is_open(window, now) && window.count >= self.rate.max)
    }

    fn is_open(&self, window: &Window, now: Instant) -> bool {
        now.saturating_duration_since(window.since) < self.rate.per
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{IpAddr, Ipv4Addr};
    use std::time::Duration;

    fn windows(max: usize, now: Instant) -> Windows {
        Windows::new(Rate { max, per: Duration::from_secs(60) }, now)
    }

    fn network(n: u32) -> Network {
        Network::from(IpAddr::V4(Ipv4Addr::from_bits(n)))
    }

    #[test]
    fn a_window_begins_with_the_first() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let windows = windows(2, start);
        // Whenever the generations turn, the windows are each network's own.
        assert!(windows.add(network(1), at(50)) && !windows.is_used_up(network(1), at(50)));
        assert!(windows.add(network(1), at(70)) && windows.is_used_up(network(1), at(70)));
        assert!(!windows.add(network(1), at(109)) && windows.is_used_up(network(1), at(109)));
        assert!(windows.add(network(2), at(109)) && !windows.is_used_up(network(2), at(109)));
        assert!(!windows.is_used_up(network(1), at(110)));
        assert!(windows.add(network(1), at(110)) && windows.add(network(1), at(169)));
        assert!(!windows.add(network(1), at(169)));
        assert!(windows.add(network(1), at(170)));
    }

    #[test]
    fn memory_has_a_bound_and_the_latest_are_kept() {
        let start = Instant::now();
        let windows = windows(1, start);
        let networks = 5 * GENERATION as u32;
        for n in 0..networks {
            assert!(windows.add(network(n), start));
        }
        {
            let generations = windows.generations.lock();
            assert!(generations.young.len() <= GENERATION && generations.old.len() <= GENERATION);
        }
        for n in networks - GENERATION as u32..networks {
            assert!(windows.is_used_up(network(n), start));
        }
        // What is out of date is let go of as time goes by.
        for minute in 1..=2 {
            windows.add(network(0), start + Duration::from_secs(60 * minute));
        }
        let generations = windows.generations.lock();
        assert!(generations.young.len() + generations.old.len() <= 2);
    }
}
