//! Octets in memory, in pieces that one message hands on to the next.
//!
//! A large message in one piece would cost more memory than it has octets: when it grows it is moved, and what is given back
//! to the allocator stays with the thread that it came from.

use std::io::{self, Write};
use std::mem;

use parking_lot::Mutex;

use crate::syntax::heap::allocation;

/// The octets in a piece.
pub(crate) const PIECE: usize = 64 * 1024;

/// How many pieces are kept for later messages: 64 MiB.
const MOST_IN_STOCK: usize = 1024;

/// Pieces that no message has now.
#[derive(Default, Debug)]
pub(crate) struct Stock(Mutex<Vec<Vec<u8>>>);

impl Stock {
    fn take(&self) -> Vec<u8> {
        self.0.lock().pop().unwrap_or_else(|| Vec::with_capacity(PIECE))
    }

    fn put_back(&self, pieces: impl Iterator<Item = Vec<u8>>) {
        let mut stock = self.0.lock();
        let room = MOST_IN_STOCK.saturating_sub(stock.len());
        stock.extend(pieces.filter(|piece| piece.capacity() == PIECE).take(room).map(|mut piece| {
            piece.clear();
            piece
        }));
    }
}

/// Octets in memory. All pieces but the last are full; the last may be smaller than the others will be.
#[derive(Default, Debug)]
pub(crate) struct Pieces {
    // Apart from the others: of most messages it is the only one.
    first: Vec<u8>,
    others: Vec<Vec<u8>>,
}

impl Pieces {
    /// Octets that are in one piece already, however large, to which none are added.
    #[cfg(feature = "redis")]
    pub fn whole(octets: Vec<u8>) -> Pieces {
        Pieces { first: octets, others: Vec::new() }
    }

    /// The first piece, and those behind it.
    pub fn as_slices(&self) -> (&[u8], &[Vec<u8>]) {
        (&self.first, &self.others)
    }

    /// The octets that are there.
    pub fn len(&self) -> u64 {
        self.before_last() + self.last().len() as u64
    }

    /// The octets of memory that all pieces take.
    pub fn memory_octets(&self) -> u64 {
        let others: u64 = self.others.iter().map(|piece| allocation(piece.capacity())).sum();
        allocation(self.first.capacity()) + others + allocation(self.others.capacity() * size_of::<Vec<u8>>())
    }

    /// The octets in all pieces but the last.
    pub fn before_last(&self) -> u64 {
        self.others.len() as u64 * PIECE as u64
    }

    /// The last piece.
    pub fn last(&self) -> &Vec<u8> {
        self.others.last().unwrap_or(&self.first)
    }

    fn last_mut(&mut self) -> &mut Vec<u8> {
        self.others.last_mut().unwrap_or(&mut self.first)
    }

    /// Begins another piece; the last one is full.
    pub fn begin(&mut self) {
        self.others.push(Vec::new());
    }

    /// Makes the last piece large enough for `size` octets, at most [`PIECE`].
    pub fn enlarge_last(&mut self, size: usize, stock: &Stock) {
        let last = self.last_mut();
        if size < PIECE {
            last.reserve_exact(size - last.len());
        } else {
            let mut whole = stock.take();
            whole.extend_from_slice(last);
            *last = whole;
        }
    }

    /// Adds octets to the last piece, which is large enough.
    pub fn extend(&mut self, octets: &[u8]) {
        self.last_mut().extend_from_slice(octets);
    }

    /// Writes all, and leaves the room of one piece for what is written next.
    pub fn write_to(&mut self, out: &mut impl Write, stock: &Stock) -> io::Result<()> {
        out.write_all(&self.first)?;
        self.others.iter().try_for_each(|piece| out.write_all(piece))?;
        stock.put_back(self.others.drain(..));
        self.first.clear();
        Ok(())
    }

    /// Gives what others can use to the stock, and the rest to the allocator.
    pub fn clear(&mut self, stock: &Stock) {
        // A small message has nothing that others could use.
        if self.first.capacity() == PIECE {
            stock.put_back([mem::take(&mut self.first)].into_iter().chain(self.others.drain(..)));
        }
        *self = Pieces::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_stock(stock: &Stock) -> Vec<*const u8> {
        stock.0.lock().iter().map(|piece| piece.as_ptr()).collect()
    }

    /// Pieces of these sizes.
    fn filled(sizes: &[usize], stock: &Stock) -> Pieces {
        let mut pieces = Pieces::default();
        for (at, size) in sizes.iter().enumerate() {
            if at > 0 {
                pieces.begin();
            }
            pieces.enlarge_last(*size, stock);
            pieces.extend(&vec![b'x'; *size]);
        }
        pieces
    }

    #[test]
    fn whole_pieces_are_handed_on() {
        let stock = Stock::default();
        let mut pieces = filled(&[PIECE, PIECE, 3], &stock);
        assert_eq!((pieces.len(), pieces.before_last()), (2 * PIECE as u64 + 3, 2 * PIECE as u64));
        let (first, others) = pieces.as_slices();
        let places = [first.as_ptr(), others[0].as_ptr()];
        pieces.clear(&stock);
        assert_eq!((in_stock(&stock), pieces.len()), (places.to_vec(), 0));
        let pieces = filled(&[PIECE], &stock);
        assert_eq!((pieces.last().as_ptr(), pieces.len()), (places[1], PIECE as u64));
        assert_eq!(in_stock(&stock), places[..1]);
    }

    #[test]
    fn a_piece_keeps_its_octets_when_it_becomes_larger() {
        let stock = Stock::default();
        let mut pieces = filled(&[10], &stock);
        for size in [20, PIECE] {
            pieces.enlarge_last(size, &stock);
            assert_eq!((&pieces.last()[..], pieces.last().capacity()), (&b"xxxxxxxxxx"[..], size));
        }
    }

    #[test]
    fn what_was_written_makes_room() {
        let stock = Stock::default();
        let mut pieces = filled(&[PIECE, PIECE, PIECE], &stock);
        let mut out = Vec::new();
        pieces.write_to(&mut out, &stock).unwrap();
        assert_eq!(
            (out.len(), pieces.len(), pieces.last().capacity(), in_stock(&stock).len()),
            (3 * PIECE, 0, PIECE, 2)
        );
        Pieces::default().write_to(&mut out, &stock).unwrap();
    }

    #[test]
    fn the_stock_has_an_end() {
        let stock = Stock::default();
        stock.put_back((0..MOST_IN_STOCK + 1).map(|_| Vec::with_capacity(PIECE)));
        assert_eq!(in_stock(&stock).len(), MOST_IN_STOCK);
    }
}
