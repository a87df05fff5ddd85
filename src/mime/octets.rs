//! The octets of a message, of which any part can be read at any time, and what a part's octets decode to.

use std::io::{self, Read};
use std::sync::Arc;

use super::transfer::{Encoding, Transfer};
use crate::content::Content;
use crate::content::spool::SpoolFile;

/// In octets, of what is decoded at once.
const PIECE: usize = 16 * 1024;

/// A message's octets, whatever becomes of the envelope.
#[derive(Debug)]
pub(super) enum Octets {
    Memory(Vec<u8>),
    // What is before the octets on disk, and those.
    Disk(Vec<u8>, SpoolFile),
}

impl Octets {
    /// Copies what is in memory, or takes one more descriptor of the file.
    pub fn of(content: &Content) -> io::Result<Octets> {
        Ok(match content.spooled()? {
            Some((head, file)) => Octets::Disk(head, file),
            None => Octets::Memory(content.bytes()?.into_owned()),
        })
    }

    pub fn len(&self) -> u64 {
        match self {
            Octets::Memory(octets) => octets.len() as u64,
            Octets::Disk(head, file) => head.len() as u64 + file.len(),
        }
    }

    /// What is in memory, without a copy.
    fn memory(&self, at: u64, most: u64) -> Option<&[u8]> {
        let Octets::Memory(octets) = self else { return None };
        octets.get(usize::try_from(at).ok()?..usize::try_from(at + most).ok()?)
    }

    fn read_at(&self, out: &mut [u8], at: u64) -> io::Result<usize> {
        match self {
            Octets::Memory(octets) => from(octets, at).read(out),
            Octets::Disk(head, file) => match at.checked_sub(head.len() as u64) {
                Some(at) => file.read_at(out, at),
                None => from(head, at).read(out),
            },
        }
    }
}

/// What is left of octets in memory.
fn from(octets: &[u8], at: u64) -> &[u8] {
    &octets[usize::try_from(at).unwrap_or(usize::MAX).min(octets.len())..]
}

/// A range of a message's octets, as they are.
#[derive(Clone, Debug)]
pub(super) struct Range {
    pub octets: Arc<Octets>,
    pub begin: u64,
    pub end: u64,
}

impl Range {
    pub fn len(&self) -> u64 {
        self.end - self.begin
    }
}

impl Read for Range {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.len()).unwrap_or(usize::MAX).min(out.len());
        if most == 0 {
            return Ok(0);
        }
        let read = self.octets.read_at(&mut out[..most], self.begin)?;
        if read == 0 {
            // Half a part must not pass for a whole one.
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.begin += read as u64;
        Ok(read)
    }
}

/// Reads what a part's octets decode to: from [`Part::reader`](super::Part::reader).
#[derive(Debug)]
pub struct PartReader {
    range: Range,
    transfer: Transfer,
    // Decoded, and given out up to here.
    decoded: Vec<u8>,
    given: usize,
    is_at_end: bool,
}

impl PartReader {
    pub(super) fn new(range: Range, encoding: Encoding) -> PartReader {
        PartReader { range, transfer: encoding.decoder(), decoded: Vec::new(), given: 0, is_at_end: false }
    }

    /// Decodes until there is something to give, or nothing more.
    fn fill(&mut self) -> io::Result<()> {
        while self.given == self.decoded.len() && !self.is_at_end {
            self.decoded.clear();
            self.given = 0;
            let (begin, most) = (self.range.begin, self.range.len().min(PIECE as u64));
            let read = match self.range.octets.memory(begin, most) {
                Some(octets) => {
                    self.transfer.decode(octets, most == 0, &mut self.decoded);
                    self.range.begin += most;
                    most as usize
                }
                None => self.fill_from_disk()?,
            };
            self.is_at_end = read == 0;
        }
        Ok(())
    }

    fn fill_from_disk(&mut self) -> io::Result<usize> {
        let mut raw = [0; PIECE];
        loop {
            match self.range.read(&mut raw) {
                Ok(read) => {
                    self.transfer.decode(&raw[..read], read == 0, &mut self.decoded);
                    return Ok(read);
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
    }

    /// Gives the octets to `take`, in pieces, until it says that it has enough.
    pub(super) fn each(&mut self, mut take: impl FnMut(&[u8]) -> bool) -> io::Result<()> {
        loop {
            self.fill()?;
            let piece = &self.decoded[self.given..];
            if piece.is_empty() || !take(piece) {
                return Ok(());
            }
            self.given = self.decoded.len();
        }
    }
}

impl Read for PartReader {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if let Transfer::Identity = self.transfer {
            return self.range.read(out);
        }
        self.fill()?;
        let read = (&self.decoded[self.given..]).read(out)?;
        self.given += read;
        Ok(read)
    }
}
