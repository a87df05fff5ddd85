//! What the content of all messages shares, and what one message has of it.

use std::io::{self, Write};
use std::sync::Arc;

use crate::budget::Budget;
use crate::config::Config;
use crate::pieces::{Pieces, Stock};
use crate::spool::Spool;

/// Where a server keeps content.
#[derive(Debug)]
pub(crate) struct Store {
    /// All octets of content that are held.
    pub held: Budget,
    /// Those in memory. Content that could be on disk stays here while this has room.
    pub memory: Budget,
    /// The memory that messages hand on to each other.
    pub stock: Stock,
    pub spool: Spool,
}

impl Store {
    pub fn new(config: &Config) -> Arc<Store> {
        Arc::new(Store {
            held: Budget::new(config.buffer_budget),
            memory: Budget::new(config.memory_budget),
            stock: Stock::default(),
            spool: Spool::new(config),
        })
    }
}

/// What one message has of a [`Store`]; given back on drop.
#[derive(Debug)]
pub(crate) struct Room {
    store: Arc<Store>,
    held: u64,
    in_memory: u64,
    /// Those of its octets that are in memory.
    pub pieces: Pieces,
}

impl Room {
    pub fn of(store: &Arc<Store>) -> Room {
        Room { store: store.clone(), held: 0, in_memory: 0, pieces: Pieces::default() }
    }

    pub fn store(&self) -> &Store {
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
        self.store.memory.grow(&mut self.in_memory, total)
    }

    /// Has just as many octets in memory.
    pub fn set_in_memory(&mut self, total: u64) {
        self.store.memory.set(&mut self.in_memory, total);
    }

    /// Makes the last piece large enough for `size` octets.
    pub fn enlarge_last(&mut self, size: usize) {
        self.pieces.enlarge_last(size, &self.store.stock);
    }

    /// Writes what is in memory, and leaves the room of one piece for what is written next.
    pub fn write_to(&mut self, out: &mut impl Write) -> io::Result<()> {
        self.pieces.write_to(out, &self.store.stock)
    }

    /// Gives back what is in memory.
    pub fn clear_memory(&mut self) {
        self.pieces.clear(&self.store.stock);
        self.set_in_memory(0);
    }

    /// Gives everything back.
    pub fn clear(&mut self) {
        self.clear_memory();
        self.set_held(0);
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.clear();
    }
}
