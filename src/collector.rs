//! Content on its way from the wire into an envelope, within the limits.

use std::sync::Arc;

use crate::content::{Budget, Content, Share};
use crate::wire::data::Sink;

/// Up to here the size that a client announces is believed without proof.
const FREE_HINT: usize = 64 * 1024;

/// Why content is no longer kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Overflow {
    /// It is over the limit for one message.
    TooBig,
    /// All messages together are over the budget.
    NoBudget,
}

/// Collects the octets of one message. Past a limit it lets go of what it had and only counts on: the content must still
/// be read to its end, or what is left of it would be taken for commands.
#[derive(Debug)]
pub(crate) struct Collector {
    octets: Vec<u8>,
    share: Share,
    limit: u64,
    hint: usize,
    total: u64,
    overflow: Option<(Overflow, u64)>,
}

impl Collector {
    /// `limit` is in octets, 0 is none; `hint` is the size that the client announced.
    pub fn new(budget: &Arc<Budget>, limit: u64, hint: Option<u64>) -> Collector {
        let most = if limit == 0 { u64::MAX } else { limit };
        let hint = usize::try_from(hint.unwrap_or(0).min(most)).unwrap_or(0);
        Collector { octets: Vec::new(), share: Share::of(budget), limit, hint, total: 0, overflow: None }
    }

    /// All octets so far, kept or not.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// The octets that came after the content was given up.
    pub fn swallowed(&self) -> u64 {
        self.overflow.map_or(0, |(_, at)| self.total - at)
    }

    /// Why the content is no longer kept, if it is not.
    pub fn overflow(&self) -> Option<Overflow> {
        self.overflow.map(|(why, _)| why)
    }

    /// The content, or why there is none.
    pub fn finish(mut self) -> Result<Content, Overflow> {
        match self.overflow {
            Some((why, _)) => Err(why),
            None => {
                // What growth by doubling leaves unused costs less than giving it back: the allocator keeps memory of one
                // size at hand for the next message. Only an announcement can be further off.
                if self.octets.capacity() / 2 > self.octets.len().max(FREE_HINT) {
                    self.octets.shrink_to_fit();
                    self.share.shrink_to(self.octets.capacity() as u64);
                }
                Ok(Content::new(self.octets, self.share))
            }
        }
    }

    /// Makes room for `more` octets; false if the budget has none.
    fn reserve(&mut self, more: usize) -> bool {
        let needed = self.octets.len() + more;
        if needed <= self.octets.capacity() {
            return true;
        }
        let doubled = needed.max(self.octets.capacity() * 2);
        // An announced size saves regrowth, but memory is not given away for the word alone.
        let capacity = match self.hint {
            hint if hint >= needed && (hint <= FREE_HINT || needed > FREE_HINT / 2) => hint,
            _ => doubled,
        };
        // Where the budget ends, what is just needed may still fit.
        let share = &mut self.share;
        let fits = |capacity: &usize| share.grow_to(*capacity as u64);
        let Some(capacity) = [capacity, needed + needed / 8, needed].into_iter().find(fits) else { return false };
        self.octets.reserve_exact(capacity - self.octets.len());
        true
    }

    fn give_up(&mut self, why: Overflow) {
        self.octets = Vec::new();
        self.share.shrink_to(0);
        self.overflow = Some((why, self.total));
    }
}

impl Sink for Collector {
    fn put(&mut self, octets: &[u8]) {
        self.total += octets.len() as u64;
        if self.overflow.is_some() {
            return;
        }
        if self.limit != 0 && self.total > self.limit {
            self.give_up(Overflow::TooBig);
        } else if !self.reserve(octets.len()) {
            self.give_up(Overflow::NoBudget);
        } else {
            self.octets.extend_from_slice(octets);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exactly_the_limit_passes() {
        let budget = Budget::new(1000);
        let mut collector = Collector::new(&budget, 10, None);
        collector.put(b"12345");
        collector.put(b"67890");
        assert_eq!(collector.finish().unwrap().len(), 10);
        let mut collector = Collector::new(&budget, 10, Some(4));
        collector.put(b"1234567890");
        collector.put(b"1");
        collector.put(b"23");
        assert_eq!((collector.total(), collector.swallowed()), (13, 2));
        assert_eq!(collector.finish().unwrap_err(), Overflow::TooBig);
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn the_budget_is_what_is_allocated() {
        let budget = Budget::new(100);
        let mut one = Collector::new(&budget, 0, Some(60));
        one.put(b"x");
        assert_eq!(budget.used(), 60);
        let mut two = Collector::new(&budget, 0, None);
        two.put(&[0; 41]);
        assert_eq!(two.finish().unwrap_err(), Overflow::NoBudget);
        assert_eq!(budget.used(), 60);
        drop(one);
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn a_large_announcement_is_not_believed_at_once() {
        let budget = Budget::new(1 << 30);
        let mut collector = Collector::new(&budget, 1 << 25, Some(1 << 25));
        collector.put(b"x");
        assert!(budget.used() < 1024);
        for _ in 0..80 {
            collector.put(&[0; 1024]);
        }
        // It has been told apart from mere words, and is believed.
        assert_eq!(budget.used(), 1 << 25);
        let content = collector.finish().unwrap();
        assert_eq!((content.len(), budget.used()), (81_921, 81_921));
    }
}
