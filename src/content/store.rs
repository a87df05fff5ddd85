//! The memory and disk that all messages share. Each message has reservations in it: a [`ContentReservation`] for its
//! content, and an [`EnvelopeReservation`] for its recipients and everything else.

use std::io::{self, Write};
use std::sync::Arc;

use crate::config::Config;
use crate::content::budget::Budget;
use crate::content::segments::{RecycledBuffers, Segments};
use crate::content::spool::Spool;

/// In octets. A transaction whose recipients take no more is small.
const SMALL: u64 = 16 * 1024;

/// Octets beyond the budget for small transactions, so that a message with few recipients is not refused because of
/// others, nor where the budget is zero to keep all content on disk.
const FOR_SMALL_ONES: u64 = 16 * 1024 * 1024;

/// A reservation grows by at least this many octets, so that it need not grow for each recipient.
const STEP: u64 = 4096;

/// Where a server keeps content.
#[derive(Debug)]
pub(crate) struct ContentStore {
    /// All octets of content that are held.
    pub held: Budget,
    /// Those in memory. Content that could be on disk stays here while this has room.
    memory: Budget,
    /// What is in memory beside content, and cannot go to disk: recipients above all. It has the same limit.
    envelopes: Budget,
    /// The memory that messages hand on to each other.
    pub recycled: RecycledBuffers,
    pub spool: Spool,
}

impl ContentStore {
    pub fn new(config: &Config) -> Arc<ContentStore> {
        Arc::new(ContentStore {
            held: Budget::new(config.buffer_budget),
            memory: Budget::new(config.memory_budget),
            envelopes: Budget::new(config.memory_budget),
            recycled: RecycledBuffers::default(),
            spool: Spool::new(config),
        })
    }

    /// The octets in memory: content, and what surrounds it.
    pub fn in_memory(&self) -> u64 {
        self.memory.used().saturating_add(self.envelopes.used())
    }

    /// Whether further content has to go to disk.
    pub fn is_memory_exhausted(&self) -> bool {
        self.in_memory() >= self.memory.limit()
    }
}

/// The memory that one message takes beside its content, from its first recipient on; given back on drop.
#[derive(Debug)]
pub(crate) struct EnvelopeReservation {
    store: Arc<ContentStore>,
    octets: u64,
}

impl EnvelopeReservation {
    pub fn of(store: &Arc<ContentStore>) -> EnvelopeReservation {
        EnvelopeReservation { store: store.clone(), octets: 0 }
    }

    /// Reserves as many octets in all, if that is more; false if they are more than this message may have, or more than
    /// all may have together.
    ///
    /// One message may have a quarter of the budget. The last quarter of it is for small ones, and so is a little beyond.
    pub fn grow(&mut self, total: u64) -> bool {
        if total <= self.octets {
            return true;
        }
        let envelopes = &self.store.envelopes;
        let limit = envelopes.limit();
        if total <= SMALL {
            return envelopes.grow_within(&mut self.octets, total, limit.saturating_add(FOR_SMALL_ONES));
        }
        if total > limit / 4 {
            return false;
        }
        let for_large = limit - limit / 4;
        let ahead = total.max(self.octets + STEP).min(limit / 4);
        envelopes.grow_within(&mut self.octets, ahead, for_large)
            || envelopes.grow_within(&mut self.octets, total, for_large)
    }

    /// Reserves exactly `total` octets, even beyond the budget.
    pub fn set(&mut self, total: u64) {
        self.store.envelopes.set(&mut self.octets, total);
    }
}

impl Drop for EnvelopeReservation {
    fn drop(&mut self) {
        self.set(0);
    }
}

/// What one message has of a [`ContentStore`]; given back on drop.
#[derive(Debug)]
pub(crate) struct ContentReservation {
    store: Arc<ContentStore>,
    held: u64,
    in_memory: u64,
    /// Those of its octets that are in memory.
    pub segments: Segments,
}

impl ContentReservation {
    pub fn of(store: &Arc<ContentStore>) -> ContentReservation {
        ContentReservation { store: store.clone(), held: 0, in_memory: 0, segments: Segments::default() }
    }

    pub fn store(&self) -> &ContentStore {
        &self.store
    }

    /// Holds as many octets in all, if that is more; false if the budget does not have them.
    pub fn hold(&mut self, total: u64) -> bool {
        self.store.held.grow(&mut self.held, total)
    }

    /// Holds just as many octets in all.
    pub fn set_held(&mut self, total: u64) {
        self.store.held.set(&mut self.held, total);
    }

    /// Has as many octets in memory, if that is more; false if the budget does not have them.
    pub fn grow_in_memory(&mut self, total: u64) -> bool {
        let memory = &self.store.memory;
        let limit = memory.limit().saturating_sub(self.store.envelopes.used());
        memory.grow_within(&mut self.in_memory, total, limit)
    }

    /// Has just as many octets in memory.
    pub fn set_in_memory(&mut self, total: u64) {
        self.store.memory.set(&mut self.in_memory, total);
    }

    /// Makes the last segment large enough for `size` octets.
    pub fn enlarge_last(&mut self, size: usize) {
        self.segments.enlarge_last(size, &self.store.recycled);
    }

    /// Writes what is in memory, and leaves the room of one segment for what is written next.
    pub fn write_to(&mut self, out: &mut impl Write) -> io::Result<()> {
        self.segments.write_to(out, &self.store.recycled)
    }

    /// Gives back what is in memory.
    pub fn clear_memory(&mut self) {
        self.segments.clear(&self.store.recycled);
        self.set_in_memory(0);
    }

    /// Keeps the octets, and no longer counts them.
    pub fn leave_budgets(&mut self) {
        self.set_in_memory(0);
        self.set_held(0);
    }

    /// Gives everything back.
    pub fn clear(&mut self) {
        self.clear_memory();
        self.set_held(0);
    }
}

impl Drop for ContentReservation {
    fn drop(&mut self) {
        self.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1024 * 1024;

    fn store(memory_budget: u64) -> Arc<ContentStore> {
        ContentStore::new(&Config { memory_budget, ..Config::default() })
    }

    #[test]
    fn one_message_has_a_quarter_and_large_ones_three() {
        let store = store(MIB);
        let mut all: Vec<_> = (0..4).map(|_| EnvelopeReservation::of(&store)).collect();
        assert!(!all[0].grow(MIB / 4 + 1));
        for reservation in &mut all[..3] {
            assert!(reservation.grow(MIB / 4) && !reservation.grow(MIB / 4 + 1));
        }
        assert!(!all[3].grow(SMALL + 1) && all[3].grow(SMALL));
        assert_eq!(store.in_memory(), 3 * MIB / 4 + SMALL);
        all.remove(0);
        assert!(all[2].grow(SMALL + 1));
        drop(all);
        assert_eq!(store.in_memory(), 0);
    }

    #[test]
    fn small_ones_have_more_than_the_budget_and_no_more_than_that() {
        let store = store(0);
        let mut all: Vec<_> = (0..FOR_SMALL_ONES / SMALL + 1).map(|_| EnvelopeReservation::of(&store)).collect();
        assert!(!all[0].grow(SMALL + 1));
        let (last, others) = all.split_last_mut().unwrap();
        assert!(others.iter_mut().all(|reservation| reservation.grow(SMALL)));
        assert!(!last.grow(1));
        last.set(100);
        assert_eq!(store.in_memory(), FOR_SMALL_ONES + 100);
    }

    #[test]
    fn large_ones_do_not_ask_for_each_recipient() {
        let store = store(MIB);
        let mut reservation = EnvelopeReservation::of(&store);
        assert!(reservation.grow(SMALL + 1));
        assert!(reservation.grow(SMALL + 100) && reservation.grow(SMALL + 200));
        assert!(store.in_memory() >= SMALL + STEP);
        reservation.set(SMALL + 200);
        assert_eq!(store.in_memory(), SMALL + 200);
    }

    #[test]
    fn content_goes_to_disk_for_what_must_be_in_memory() {
        let store = store(MIB);
        let mut reservation = EnvelopeReservation::of(&store);
        assert!(reservation.grow(MIB / 4));
        let mut room = ContentReservation::of(&store);
        assert!(!room.grow_in_memory(3 * MIB / 4 + 1) && room.grow_in_memory(3 * MIB / 4));
        assert!(store.is_memory_exhausted());
        drop(reservation);
        assert!(!store.is_memory_exhausted());
        room.leave_budgets();
        assert_eq!((store.in_memory(), store.held.used()), (0, 0));
    }
}
