//! Content on its way from the wire into an envelope, within the limits.

use std::sync::Arc;

use crate::budget::{Budget, Share};
use crate::content::{Content, Shares};
use crate::pieces::{PIECE, Pieces};
use crate::spool::{Spool, SpoolFile, is_out_of_resources};
use crate::wire::data::Sink;

/// Why content is no longer kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Overflow {
    /// It is over the limit for one message.
    TooBig,
    /// All messages together are over the budget, or the disk has no room.
    NoRoom,
    /// The disk failed.
    NotStored,
}

/// Collects the octets of one message. Past a limit it lets go of what it had and only counts on: the content must still
/// be read to its end, or what is left of it would be taken for commands.
#[derive(Debug)]
pub(crate) struct Collector {
    // All, or if there is a file those that are not in it yet.
    pieces: Pieces,
    file: Option<SpoolFile>,
    // Whether memory was there for the last piece; else it is taken while the content is small.
    is_granted: bool,
    shares: Shares,
    spool: Arc<Spool>,
    limit: u64,
    hint: usize,
    total: u64,
    overflow: Option<(Overflow, u64)>,
}

impl Collector {
    /// `limit` is in octets, 0 is none; `hint` is the size that the client announced.
    pub fn new(budget: &Arc<Budget>, spool: &Arc<Spool>, limit: u64, hint: Option<u64>) -> Collector {
        Collector {
            pieces: Pieces::new(&spool.stock),
            file: None,
            is_granted: false,
            shares: Shares { held: Share::of(budget), memory: Share::of(&spool.memory) },
            spool: spool.clone(),
            limit,
            // Up to a piece it is believed without proof, and beyond there is no regrowth to be saved.
            hint: hint.and_then(|hint| usize::try_from(hint).ok()).filter(|hint| *hint <= PIECE).unwrap_or(0),
            total: 0,
            overflow: None,
        }
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
    pub fn finish(self) -> Result<Content, Overflow> {
        if let Some(why) = self.overflow() {
            return Err(why);
        }
        // It may have outgrown the threshold within the last piece.
        let is_too_much = self.total > self.spool.threshold && !self.is_granted && self.spool.memory.is_exhausted();
        if self.file.is_some() || is_too_much {
            return self.finish_on_disk();
        }
        Ok(Content::in_memory(self.pieces, self.shares))
    }

    fn finish_on_disk(mut self) -> Result<Content, Overflow> {
        let file = self.write()?;
        self.spool.has_worked();
        self.shares.memory.set_to(0);
        self.shares.held.set_to(self.total);
        Ok(Content::on_disk(file, self.shares))
    }

    fn keep(&mut self, octets: &[u8]) -> Result<(), Overflow> {
        let mut rest = octets;
        while !rest.is_empty() {
            if self.pieces.last().len() == PIECE {
                self.begin_piece()?;
            }
            let (now, later) = rest.split_at(rest.len().min(PIECE - self.pieces.last().len()));
            self.reserve(now.len())?;
            self.pieces.extend(now);
            rest = later;
        }
        Ok(())
    }

    /// The last piece is full, and more is there: in memory, if it may, or on disk.
    fn begin_piece(&mut self) -> Result<(), Overflow> {
        let with_next = self.pieces.len() + PIECE as u64;
        if self.file.is_none() {
            self.is_granted = self.shares.memory.grow_to(with_next);
            if self.is_granted || self.total <= self.spool.threshold {
                self.pieces.begin();
                return Ok(());
            }
        }
        self.file = Some(self.write()?);
        Ok(())
    }

    /// Makes room for `more` octets in the last piece.
    fn reserve(&mut self, more: usize) -> Result<(), Overflow> {
        let (needed, capacity) = (self.pieces.last().len() + more, self.pieces.last().capacity());
        if needed <= capacity {
            return Ok(());
        }
        let before = self.pieces.before_last();
        let preferred = match before {
            0 if self.hint >= needed => self.hint,
            0 => needed.max(capacity * 2).min(PIECE),
            _ => PIECE,
        };
        // Where the budget ends, what is just needed may still fit.
        let fits = |size: &usize| self.shares.held.grow_to(before + *size as u64);
        let sizes = [preferred, (needed + needed / 8).min(preferred), needed];
        let size = sizes.into_iter().find(fits).ok_or(Overflow::NoRoom)?;
        self.shares.memory.set_to(before + size as u64);
        self.pieces.enlarge_last(size);
        Ok(())
    }

    /// Writes to disk what is in memory.
    fn write(&mut self) -> Result<SpoolFile, Overflow> {
        let on_disk = self.file.as_ref().map_or(0, SpoolFile::len);
        let held = &mut self.shares.held;
        if !held.grow_to(on_disk + self.pieces.len() + PIECE as u64) && !held.grow_to(self.total) {
            return Err(Overflow::NoRoom);
        }
        let file = match self.file.take() {
            Some(file) => Ok(file),
            None => self.spool.create(),
        };
        let written = file.and_then(|mut file| {
            self.pieces.write_to(&mut file)?;
            Ok(file)
        });
        let file = written.map_err(|e| {
            self.spool.has_failed(&e);
            if is_out_of_resources(&e) { Overflow::NoRoom } else { Overflow::NotStored }
        })?;
        self.shares.memory.set_to(self.pieces.last().capacity() as u64);
        Ok(file)
    }

    fn give_up(&mut self, why: Overflow) {
        self.pieces = Pieces::default();
        self.file = None;
        self.shares = Shares::default();
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
        } else if let Err(why) = self.keep(octets) {
            self.give_up(why);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use std::path::Path;

    /// A spool for what is over 1,000 octets, once four pieces of memory are in use.
    fn spool(folder: &Path) -> Arc<Spool> {
        let config = Config { spool_threshold: 1000, memory_budget: 4 * PIECE as u64, ..Config::default() };
        Arc::new(Spool::new(&Config { spool_folder: Some(folder.to_owned()), ..config }))
    }

    /// One that has no folder.
    fn no_spool() -> Arc<Spool> {
        spool(Path::new("/does/not/exist"))
    }

    fn collect(collector: &mut Collector, octets: usize) {
        let content: Vec<u8> = (0..octets).map(|n| (n % 251) as u8).collect();
        content.chunks(100).for_each(|piece| collector.put(piece));
    }

    #[test]
    fn exactly_the_limit_passes() {
        let budget = Budget::new(1000);
        let mut collector = Collector::new(&budget, &no_spool(), 10, None);
        collector.put(b"12345");
        collector.put(b"67890");
        assert_eq!(collector.finish().unwrap().len(), 10);
        let mut collector = Collector::new(&budget, &no_spool(), 10, Some(4));
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
        let spool = no_spool();
        let mut one = Collector::new(&budget, &spool, 0, Some(60));
        one.put(b"x");
        assert_eq!((budget.used(), spool.memory.used()), (60, 60));
        let mut two = Collector::new(&budget, &spool, 0, None);
        two.put(&[0; 41]);
        assert_eq!(two.finish().unwrap_err(), Overflow::NoRoom);
        assert_eq!((budget.used(), spool.memory.used()), (60, 60));
        drop(one);
        assert_eq!((budget.used(), spool.memory.used()), (0, 0));
    }

    #[test]
    fn a_large_announcement_is_not_believed() {
        let budget = Budget::new(1 << 30);
        let mut collector = Collector::new(&budget, &no_spool(), 1 << 25, Some(1 << 25));
        collector.put(b"x");
        assert!(budget.used() < 1024);
    }

    #[test]
    fn memory_is_taken_by_the_piece() {
        let budget = Budget::new(1 << 30);
        let spool = Arc::new(Spool::new(&Config::default()));
        let mut collector = Collector::new(&budget, &spool, 0, None);
        for (total, allocated) in [(1, 1), (3, 3), (4, 6), (40_000, 40_000), (40_001, PIECE), (PIECE + 1, 2 * PIECE)] {
            collector.put(&vec![0; total - collector.total() as usize]);
            assert_eq!((budget.used(), spool.memory.used()), (allocated as u64, allocated as u64), "{total}");
        }
        // What is left is less than a piece, and is used to the last octet.
        let budget = Budget::new(100_000);
        let mut collector = Collector::new(&budget, &spool, 0, None);
        collect(&mut collector, 100_000);
        assert_eq!((collector.overflow(), budget.used()), (None, 100_000));
        collector.put(b"x");
        assert_eq!((collector.overflow(), budget.used()), (Some(Overflow::NoRoom), 0));
    }

    #[test]
    fn content_goes_to_disk_when_it_is_large_and_memory_is_used_up() {
        let folder = tempfile::tempdir().unwrap();
        let (budget, spool) = (Budget::new(1 << 30), spool(folder.path()));
        let mut alone = Collector::new(&budget, &spool, 0, None);
        collect(&mut alone, 4 * PIECE);
        assert!(alone.file.is_none(), "it is over the threshold, but memory is there");
        // These are small, and stay in memory whatever is in use.
        let small: Vec<Content> = (0..5)
            .map(|_| {
                let mut small = Collector::new(&budget, &spool, 0, None);
                collect(&mut small, 1000);
                small.finish().unwrap()
            })
            .collect();
        assert!(spool.memory.used() >= 4 * PIECE as u64 + 5000);
        for octets in [1001, PIECE, PIECE + 1, 3 * PIECE + 17] {
            let (held, memory) = (budget.used(), spool.memory.used());
            let mut large = Collector::new(&budget, &spool, 0, None);
            collect(&mut large, octets);
            assert_eq!(large.file.is_some(), octets > PIECE);
            assert!(spool.memory.used() <= memory + PIECE as u64, "more than its buffer");
            let content = large.finish().unwrap();
            assert_eq!((budget.used(), spool.memory.used()), (held + octets as u64, memory), "{octets}");
            assert!(content.bytes().unwrap().iter().enumerate().all(|(n, octet)| usize::from(*octet) == n % 251));
            drop(content);
            assert_eq!(budget.used(), held);
        }
        drop((alone, small));
        assert_eq!((budget.used(), spool.memory.used()), (0, 0));
    }

    #[test]
    fn what_grew_in_memory_goes_to_disk_as_well() {
        let folder = tempfile::tempdir().unwrap();
        let (budget, spool) = (Budget::new(1 << 30), spool(folder.path()));
        let mut collector = Collector::new(&budget, &spool, 0, None);
        collect(&mut collector, 4 * PIECE);
        assert!(collector.file.is_none());
        collector.put(b"x");
        assert_eq!(collector.file.as_ref().map(SpoolFile::len), Some(4 * PIECE as u64));
        assert_eq!(spool.memory.used(), PIECE as u64);
        assert_eq!(collector.finish().unwrap().len(), 4 * PIECE as u64 + 1);
    }

    #[test]
    fn the_budget_holds_on_disk_too() {
        let folder = tempfile::tempdir().unwrap();
        let (budget, spool) = (Budget::new(500_000), spool(folder.path()));
        for (octets, fits) in [(500_000, true), (500_001, false)] {
            let mut collector = Collector::new(&budget, &spool, 0, None);
            collect(&mut collector, 400_000);
            assert!(collector.file.is_some());
            collect(&mut collector, octets - 400_000);
            assert_eq!(collector.finish().err(), if fits { None } else { Some(Overflow::NoRoom) });
            assert_eq!((budget.used(), spool.memory.used()), (0, 0));
        }
    }

    #[test]
    fn a_disk_that_fails() {
        let (budget, spool) = (Budget::new(1 << 30), no_spool());
        let mut collector = Collector::new(&budget, &spool, 0, None);
        collect(&mut collector, 5 * PIECE);
        assert!(collector.swallowed() > 0);
        assert_eq!(collector.finish().unwrap_err(), Overflow::NotStored);
        assert_eq!((budget.used(), spool.memory.used()), (0, 0));
    }
}
