//! Octets in memory, in pieces that one message hands on to the next.
//!
//! A large message in one piece would cost more memory than it has octets: when it grows it is moved, and what is given back
//! to the allocator stays with the thread that it came from.

use std::io::{self, Write};
use std::mem;
use std::sync::Arc;

use parking_lot::Mutex;

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
    pieces: Vec<Vec<u8>>,
    stock: Arc<Stock>,
}

impl Pieces {
    pub fn new(stock: &Arc<Stock>) -> Pieces {
        Pieces { pieces: Vec::new(), stock: stock.clone() }
    }

    /// Octets that are in one piece already, however large, to which none are added.
    #[cfg(feature = "redis")]
    pub fn whole(octets: Vec<u8>) -> Pieces {
        Pieces { pieces: vec![octets], stock: Arc::default() }
    }

    pub fn as_slices(&self) -> &[Vec<u8>] {
        &self.pieces
    }

    /// The octets that are there.
    pub fn len(&self) -> u64 {
        self.before_last() + self.last().len() as u64
    }

    /// The octets in all pieces but the last.
    pub fn before_last(&self) -> u64 {
        self.pieces.len().saturating_sub(1) as u64 * PIECE as u64
    }

    /// The last piece, if there is one.
    pub fn last(&self) -> &Vec<u8> {
        static NONE: Vec<u8> = Vec::new();
        self.pieces.last().unwrap_or(&NONE)
    }

    /// Begins another piece; the last one is full.
    pub fn begin(&mut self) {
        self.pieces.push(Vec::new());
    }

    /// Makes the last piece large enough for `size` octets, at most [`PIECE`].
    pub fn enlarge_last(&mut self, size: usize) {
        if self.pieces.is_empty() {
            self.begin();
        }
        let Some(last) = self.pieces.last_mut() else { return };
        if size < PIECE {
            last.reserve_exact(size - last.len());
        } else {
            let mut whole = self.stock.take();
            whole.extend_from_slice(last);
            *last = whole;
        }
    }

    /// Adds octets to the last piece, which is large enough.
    pub fn extend(&mut self, octets: &[u8]) {
        if let Some(last) = self.pieces.last_mut() {
            last.extend_from_slice(octets);
        }
    }

    /// Writes all, and leaves the room of one piece for what is written next.
    pub fn write_to(&mut self, out: &mut impl Write) -> io::Result<()> {
        self.pieces.iter().try_for_each(|piece| out.write_all(piece))?;
        self.stock.put_back(self.pieces.drain(1.min(self.pieces.len())..));
        self.pieces.iter_mut().for_each(Vec::clear);
        Ok(())
    }
}

impl Drop for Pieces {
    fn drop(&mut self) {
        // A small message has nothing that others could use.
        if self.pieces.first().is_some_and(|piece| piece.capacity() == PIECE) {
            self.stock.put_back(mem::take(&mut self.pieces).into_iter());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_stock(stock: &Stock) -> Vec<*const u8> {
        stock.0.lock().iter().map(|piece| piece.as_ptr()).collect()
    }

    fn fill(pieces: &mut Pieces, sizes: &[usize]) {
        for size in sizes {
            pieces.begin();
            pieces.enlarge_last(*size);
            pieces.extend(&vec![b'x'; *size]);
        }
    }

    #[test]
    fn whole_pieces_are_handed_on() {
        let stock = Arc::<Stock>::default();
        let mut pieces = Pieces::new(&stock);
        fill(&mut pieces, &[PIECE, PIECE, 3]);
        assert_eq!((pieces.len(), pieces.before_last()), (2 * PIECE as u64 + 3, 2 * PIECE as u64));
        let places: Vec<*const u8> = pieces.as_slices()[..2].iter().map(|piece| piece.as_ptr()).collect();
        drop(pieces);
        assert_eq!(in_stock(&stock), places);
        let mut pieces = Pieces::new(&stock);
        fill(&mut pieces, &[PIECE]);
        assert_eq!((pieces.last().as_ptr(), pieces.len()), (places[1], PIECE as u64));
        assert_eq!(in_stock(&stock), places[..1]);
    }

    #[test]
    fn a_piece_keeps_its_octets_when_it_becomes_larger() {
        let mut pieces = Pieces::default();
        fill(&mut pieces, &[10]);
        for size in [20, PIECE] {
            pieces.enlarge_last(size);
            assert_eq!((&pieces.last()[..], pieces.last().capacity()), (&b"xxxxxxxxxx"[..], size));
        }
    }

    #[test]
    fn what_was_written_makes_room() {
        let stock = Arc::<Stock>::default();
        let mut pieces = Pieces::new(&stock);
        fill(&mut pieces, &[PIECE, PIECE, PIECE]);
        let mut out = Vec::new();
        pieces.write_to(&mut out).unwrap();
        assert_eq!(
            (out.len(), pieces.len(), pieces.last().capacity(), in_stock(&stock).len()),
            (3 * PIECE, 0, PIECE, 2)
        );
        Pieces::default().write_to(&mut out).unwrap();
    }

    #[test]
    fn the_stock_has_an_end() {
        let stock = Stock::default();
        stock.put_back((0..MOST_IN_STOCK + 1).map(|_| Vec::with_capacity(PIECE)));
        assert_eq!(in_stock(&stock).len(), MOST_IN_STOCK);
    }
}
