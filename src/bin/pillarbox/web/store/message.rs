//! A message that is kept.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::SystemTime;

use pillarbox::Envelope;

use crate::http::response::Stored;
use crate::web::summary::Summary;

/// In octets, what a message takes beside what is counted: the list's own part, what the allocator rounds up.
const OVERHEAD: u64 = 512;

/// In octets, what a message counts for whose content is in a file without a name, beside its size: it takes a descriptor.
const OF_A_DESCRIPTOR: u64 = 64 * 1024;

/// A message that is kept.
pub struct StoredMessage {
    /// Counted from 1.
    pub id: u64,
    pub envelope: Envelope,
    pub summary: Summary,
    pub(super) cost: Cost,
    pub(super) is_read: AtomicBool,
    /// Whoever still reads it is to stop.
    pub(super) is_cut: AtomicBool,
    held: Arc<AtomicU64>,
}

impl StoredMessage {
    /// Counts its octets in `held` for as long as it is there, which may be longer than it is kept.
    pub(super) fn new(
        id: u64,
        envelope: Envelope,
        summary: Summary,
        cost: Cost,
        held: &Arc<AtomicU64>,
    ) -> StoredMessage {
        held.fetch_add(cost.octets, Ordering::Relaxed);
        let (is_read, is_cut) = (AtomicBool::new(false), AtomicBool::new(false));
        StoredMessage { id, envelope, summary, cost, is_read, is_cut, held: held.clone() }
    }

    /// Whether somebody has looked at it, and nobody has taken that back.
    pub fn is_read(&self) -> bool {
        self.is_read.load(Ordering::Relaxed)
    }

    pub(super) fn received_at(&self) -> SystemTime {
        self.envelope.received_at()
    }
}

/// In octets, what a message takes of the room.
#[derive(Clone, Copy, Default)]
pub(super) struct Cost {
    pub octets: u64,
    /// What it takes in memory, if `octets` are on disk.
    pub index: u64,
}

impl Cost {
    /// Of a message that is in memory.
    pub fn in_memory(envelope: &Envelope, summary: &Summary) -> Cost {
        let content = envelope.content();
        let is_on_disk = content.memory_octets() == 0 && !content.is_empty();
        let on_disk = if is_on_disk { content.len() + OF_A_DESCRIPTOR } else { 0 };
        Cost { octets: on_disk + known(envelope, summary), index: 0 }
    }

    /// Of a message in a file of so many octets.
    #[cfg(unix)]
    pub fn in_file(octets: u64, envelope: &Envelope, summary: &Summary) -> Cost {
        Cost { octets, index: known(envelope, summary) }
    }
}

fn known(envelope: &Envelope, summary: &Summary) -> u64 {
    OVERHEAD + envelope.memory_octets() + summary.len() as u64
}

impl Stored for StoredMessage {
    fn octets(&self) -> u64 {
        self.envelope.content().len()
    }

    fn reader(&self) -> Box<dyn Read + '_> {
        Box::new(Reader { message: self, content: self.envelope.content().reader() })
    }
}

/// Reads a message until it is cut.
struct Reader<'a> {
    message: &'a StoredMessage,
    content: pillarbox::ContentReader<'a>,
}

impl Read for Reader<'_> {
    fn read(&mut self, octets: &mut [u8]) -> io::Result<usize> {
        if self.message.is_cut.load(Ordering::Relaxed) {
            return Err(io::Error::other("the message is gone, and its memory is needed"));
        }
        self.content.read(octets)
    }
}

/// It counts until nobody looks at it any more, which may be long after it was deleted.
impl Drop for StoredMessage {
    fn drop(&mut self) {
        self.held.fetch_sub(self.cost.octets, Ordering::Relaxed);
    }
}
