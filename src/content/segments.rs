//! Octets in memory, in segments that are reused for later messages.
//!
//! One large buffer for each message would take more memory than the message has octets: it is moved when it grows, and
//! what is freed stays with the allocator's arena of that thread.

use std::io::{self, Write};
use std::mem;

use parking_lot::Mutex;

use crate::syntax::heap::allocation;

/// The octets in a segment.
pub(crate) const SEGMENT: usize = 64 * 1024;

/// How many segments are kept for later messages: 64 MiB.
const MAX_RECYCLED: usize = 1024;

/// Segments that no message uses now.
#[derive(Default, Debug)]
pub(crate) struct RecycledBuffers(Mutex<Vec<Vec<u8>>>);

impl RecycledBuffers {
    fn take(&self) -> Vec<u8> {
        self.0.lock().pop().unwrap_or_else(|| Vec::with_capacity(SEGMENT))
    }

    fn put_back(&self, segments: impl Iterator<Item = Vec<u8>>) {
        let mut recycled = self.0.lock();
        let room = MAX_RECYCLED.saturating_sub(recycled.len());
        recycled.extend(segments.filter(|segment| segment.capacity() == SEGMENT).take(room).map(|mut segment| {
            segment.clear();
            segment
        }));
    }
}

/// Octets in memory. All segments but the last are full; the last may be smaller than the others will be.
#[derive(Default, Debug)]
pub(crate) struct Segments {
    // Apart from the others: of most messages it is the only one.
    first: Vec<u8>,
    others: Vec<Vec<u8>>,
}

impl Segments {
    /// Octets that are in one segment already, however large, to which none are added.
    #[cfg(feature = "redis")]
    pub fn whole(octets: Vec<u8>) -> Segments {
        Segments { first: octets, others: Vec::new() }
    }

    /// The first segment, and those behind it.
    pub fn as_slices(&self) -> (&[u8], &[Vec<u8>]) {
        (&self.first, &self.others)
    }

    /// The octets that are there.
    pub fn len(&self) -> u64 {
        self.before_last() + self.last().len() as u64
    }

    /// The octets of memory that all segments take.
    pub fn memory_octets(&self) -> u64 {
        let others: u64 = self.others.iter().map(|segment| allocation(segment.capacity())).sum();
        allocation(self.first.capacity()) + others + allocation(self.others.capacity() * size_of::<Vec<u8>>())
    }

    /// The octets in all segments but the last.
    pub fn before_last(&self) -> u64 {
        self.others.len() as u64 * SEGMENT as u64
    }

    /// The last segment.
    pub fn last(&self) -> &Vec<u8> {
        self.others.last().unwrap_or(&self.first)
    }

    fn last_mut(&mut self) -> &mut Vec<u8> {
        self.others.last_mut().unwrap_or(&mut self.first)
    }

    /// Begins another segment; the last one is full.
    pub fn begin(&mut self) {
        self.others.push(Vec::new());
    }

    /// Makes the last segment large enough for `size` octets, at most [`SEGMENT`].
    pub fn enlarge_last(&mut self, size: usize, recycled: &RecycledBuffers) {
        let last = self.last_mut();
        if size < SEGMENT {
            last.reserve_exact(size - last.len());
        } else {
            let mut whole = recycled.take();
            whole.extend_from_slice(last);
            *last = whole;
        }
    }

    /// Adds octets to the last segment, which is large enough.
    pub fn extend(&mut self, octets: &[u8]) {
        self.last_mut().extend_from_slice(octets);
    }

    /// Writes all, and leaves the room of one segment for what is written next.
    pub fn write_to(&mut self, out: &mut impl Write, recycled: &RecycledBuffers) -> io::Result<()> {
        out.write_all(&self.first)?;
        self.others.iter().try_for_each(|segment| out.write_all(segment))?;
        recycled.put_back(self.others.drain(..));
        self.first.clear();
        Ok(())
    }

    /// Keeps what other messages can use, and frees the rest.
    pub fn clear(&mut self, recycled: &RecycledBuffers) {
        // A small message has nothing that others could use.
        if self.first.capacity() == SEGMENT {
            recycled.put_back([mem::take(&mut self.first)].into_iter().chain(self.others.drain(..)));
        }
        *self = Segments::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_stock(recycled: &RecycledBuffers) -> Vec<*const u8> {
        recycled.0.lock().iter().map(|segment| segment.as_ptr()).collect()
    }

    /// Segments of these sizes.
    fn filled(sizes: &[usize], recycled: &RecycledBuffers) -> Segments {
        let mut segments = Segments::default();
        for (at, size) in sizes.iter().enumerate() {
            if at > 0 {
                segments.begin();
            }
            segments.enlarge_last(*size, recycled);
            segments.extend(&vec![b'x'; *size]);
        }
        segments
    }

    #[test]
    fn whole_pieces_are_handed_on() {
        let recycled = RecycledBuffers::default();
        let mut segments = filled(&[SEGMENT, SEGMENT, 3], &recycled);
        assert_eq!((segments.len(), segments.before_last()), (2 * SEGMENT as u64 + 3, 2 * SEGMENT as u64));
        let (first, others) = segments.as_slices();
        let places = [first.as_ptr(), others[0].as_ptr()];
        segments.clear(&recycled);
        assert_eq!((in_stock(&recycled), segments.len()), (places.to_vec(), 0));
        let segments = filled(&[SEGMENT], &recycled);
        assert_eq!((segments.last().as_ptr(), segments.len()), (places[1], SEGMENT as u64));
        assert_eq!(in_stock(&recycled), places[..1]);
    }

    #[test]
    fn a_piece_keeps_its_octets_when_it_becomes_larger() {
        let recycled = RecycledBuffers::default();
        let mut segments = filled(&[10], &recycled);
        for size in [20, SEGMENT] {
            segments.enlarge_last(size, &recycled);
            assert_eq!((&segments.last()[..], segments.last().capacity()), (&b"xxxxxxxxxx"[..], size));
        }
    }

    #[test]
    fn what_was_written_makes_room() {
        let recycled = RecycledBuffers::default();
        let mut segments = filled(&[SEGMENT, SEGMENT, SEGMENT], &recycled);
        let mut out = Vec::new();
        segments.write_to(&mut out, &recycled).unwrap();
        assert_eq!(
            (out.len(), segments.len(), segments.last().capacity(), in_stock(&recycled).len()),
            (3 * SEGMENT, 0, SEGMENT, 2)
        );
        Segments::default().write_to(&mut out, &recycled).unwrap();
    }

    #[test]
    fn the_stock_has_an_end() {
        let recycled = RecycledBuffers::default();
        recycled.put_back((0..MAX_RECYCLED + 1).map(|_| Vec::with_capacity(SEGMENT)));
        assert_eq!(in_stock(&recycled).len(), MAX_RECYCLED);
    }
}
