//! Content on its way from the wire into an envelope, within the limits.

use std::sync::Arc;

use crate::content::Content;
use crate::content::segments::SEGMENT;
use crate::content::spool::{SpoolFile, is_out_of_resources};
use crate::content::store::{ContentReservation, ContentStore};
use crate::content::writer::ContentWriter;

/// Why content is no longer kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Overflow {
    /// It exceeds the limit for one message.
    TooBig,
    /// All messages together exceed the budget, or the disk has no room.
    NoRoom,
    /// The disk failed.
    NotStored,
    /// Its message was answered before it had come.
    Unwanted,
}

/// Collects the octets of one message. Past a limit it drops what it has and only counts: the content must still be
/// read to its end, or the rest of it would be taken for commands.
#[derive(Debug)]
pub(crate) struct Collector {
    // With all octets, or if there is a file with those that are not in it yet.
    room: ContentReservation,
    file: Option<SpoolFile>,
    // Whether memory was there for the last segment; else it is taken while the content is small.
    is_granted: bool,
    limit: u64,
    hint: usize,
    total: u64,
    overflow: Option<(Overflow, u64)>,
}

impl Collector {
    /// `limit` is in octets, 0 is none; `hint` is the size that the client announced.
    pub fn new(store: &Arc<ContentStore>, limit: u64, hint: Option<u64>) -> Collector {
        Collector {
            room: ContentReservation::of(store),
            file: None,
            is_granted: false,
            limit,
            // Up to a segment it is believed without proof, and beyond there is no regrowth to be saved.
            hint: hint.and_then(|hint| usize::try_from(hint).ok()).filter(|hint| *hint <= SEGMENT).unwrap_or(0),
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

    /// Nobody wants the content any more: lets go of it, and only counts on.
    pub fn abandon(&mut self) {
        if self.overflow.is_none() {
            self.give_up(Overflow::Unwanted);
        }
    }

    /// The content, or why there is none.
    pub fn finish(self) -> Result<Content, Overflow> {
        if let Some(why) = self.overflow() {
            return Err(why);
        }
        let store = self.room.store();
        // It may have outgrown the threshold within the last segment.
        let is_too_much = self.total > store.spool.threshold && !self.is_granted && store.is_memory_exhausted();
        if self.file.is_some() || is_too_much {
            return self.finish_on_disk();
        }
        Ok(Content::in_memory(self.room))
    }

    fn finish_on_disk(mut self) -> Result<Content, Overflow> {
        let file = self.write()?;
        self.room.store().spool.has_worked();
        self.room.clear_memory();
        self.room.set_held(self.total);
        Ok(Content::on_disk(file, self.room))
    }

    fn keep(&mut self, octets: &[u8]) -> Result<(), Overflow> {
        let mut rest = octets;
        while !rest.is_empty() {
            if self.room.segments.last().len() == SEGMENT {
                self.begin_piece()?;
            }
            let (now, later) = rest.split_at(rest.len().min(SEGMENT - self.room.segments.last().len()));
            self.reserve(now.len())?;
            self.room.segments.extend(now);
            rest = later;
        }
        Ok(())
    }

    /// The last segment is full, and more is there: in memory, if it may, or on disk.
    fn begin_piece(&mut self) -> Result<(), Overflow> {
        let with_next = self.room.segments.len() + SEGMENT as u64;
        if self.file.is_none() {
            self.is_granted = self.room.grow_in_memory(with_next);
            if self.is_granted || self.total <= self.room.store().spool.threshold {
                self.room.segments.begin();
                return Ok(());
            }
        }
        self.file = Some(self.write()?);
        Ok(())
    }

    /// Makes room for `more` octets in the last segment.
    fn reserve(&mut self, more: usize) -> Result<(), Overflow> {
        let (needed, capacity) = (self.room.segments.last().len() + more, self.room.segments.last().capacity());
        if needed <= capacity {
            return Ok(());
        }
        let before = self.room.segments.before_last();
        let preferred = match before {
            0 if self.hint >= needed => self.hint,
            0 => needed.max(capacity * 2).min(SEGMENT),
            _ => SEGMENT,
        };
        // Where the budget ends, what is just needed may still fit.
        let fits = |size: &usize| self.room.hold(before + *size as u64);
        let sizes = [preferred, (needed + needed / 8).min(preferred), needed];
        let size = sizes.into_iter().find(fits).ok_or(Overflow::NoRoom)?;
        self.room.set_in_memory(before + size as u64);
        self.room.enlarge_last(size);
        Ok(())
    }

    /// Writes to disk what is in memory.
    fn write(&mut self) -> Result<SpoolFile, Overflow> {
        let on_disk = self.file.as_ref().map_or(0, SpoolFile::len);
        let room = &mut self.room;
        if !room.hold(on_disk + room.segments.len() + SEGMENT as u64) && !room.hold(self.total) {
            return Err(Overflow::NoRoom);
        }
        let file = match self.file.take() {
            Some(file) => Ok(file),
            None => room.store().spool.create(),
        };
        let written = file.and_then(|mut file| {
            room.write_to(&mut file)?;
            Ok(file)
        });
        let file = written.map_err(|e| {
            room.store().spool.has_failed(&e);
            if is_out_of_resources(&e) { Overflow::NoRoom } else { Overflow::NotStored }
        })?;
        room.set_in_memory(room.segments.last().capacity() as u64);
        Ok(file)
    }

    fn give_up(&mut self, why: Overflow) {
        self.room.clear();
        self.file = None;
        self.overflow = Some((why, self.total));
    }
}

impl ContentWriter for Collector {
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

    /// A store of so many octets that spools what is over 1,000 octets once four segments of memory are in use.
    fn spooling(folder: &Path, octets: u64) -> Arc<ContentStore> {
        let config = Config { spool_threshold: 1000, memory_budget: 4 * SEGMENT as u64, ..Config::default() };
        ContentStore::new(&Config { spool_folder: Some(folder.to_owned()), buffer_budget: octets, ..config })
    }

    /// One that has no folder.
    fn not_spooling(octets: u64) -> Arc<ContentStore> {
        spooling(Path::new("/does/not/exist"), octets)
    }

    fn used(store: &ContentStore) -> (u64, u64) {
        (store.held.used(), store.in_memory())
    }

    fn collect(collector: &mut Collector, octets: usize) {
        let content: Vec<u8> = (0..octets).map(|n| (n % 251) as u8).collect();
        content.chunks(100).for_each(|segment| collector.put(segment));
    }

    #[test]
    fn exactly_the_limit_passes() {
        let store = not_spooling(1000);
        let mut collector = Collector::new(&store, 10, None);
        collector.put(b"12345");
        collector.put(b"67890");
        assert_eq!(collector.finish().unwrap().len(), 10);
        let mut collector = Collector::new(&store, 10, Some(4));
        collector.put(b"1234567890");
        collector.put(b"1");
        collector.put(b"23");
        assert_eq!((collector.total(), collector.swallowed()), (13, 2));
        assert_eq!(collector.finish().unwrap_err(), Overflow::TooBig);
        assert_eq!(used(&store), (0, 0));
    }

    #[test]
    fn the_budget_is_what_is_allocated() {
        let store = not_spooling(100);
        let mut one = Collector::new(&store, 0, Some(60));
        one.put(b"x");
        assert_eq!(used(&store), (60, 60));
        let mut two = Collector::new(&store, 0, None);
        two.put(&[0; 41]);
        assert_eq!(two.finish().unwrap_err(), Overflow::NoRoom);
        assert_eq!(used(&store), (60, 60));
        drop(one);
        assert_eq!(used(&store), (0, 0));
    }

    #[test]
    fn a_large_announcement_is_not_believed() {
        let store = not_spooling(1 << 30);
        let mut collector = Collector::new(&store, 1 << 25, Some(1 << 25));
        collector.put(b"x");
        assert!(store.held.used() < 1024);
    }

    #[test]
    fn memory_is_taken_by_the_piece() {
        let store = ContentStore::new(&Config::default());
        let mut collector = Collector::new(&store, 0, None);
        for (total, allocated) in
            [(1, 1), (3, 3), (4, 6), (40_000, 40_000), (40_001, SEGMENT), (SEGMENT + 1, 2 * SEGMENT)]
        {
            collector.put(&vec![0; total - collector.total() as usize]);
            assert_eq!(used(&store), (allocated as u64, allocated as u64), "{total}");
        }
        // What is left is less than a segment, and is used to the last octet.
        let store = ContentStore::new(&Config { buffer_budget: 100_000, ..Config::default() });
        let mut collector = Collector::new(&store, 0, None);
        collect(&mut collector, 100_000);
        assert_eq!((collector.overflow(), store.held.used()), (None, 100_000));
        collector.put(b"x");
        assert_eq!((collector.overflow(), store.held.used()), (Some(Overflow::NoRoom), 0));
    }

    #[test]
    fn content_goes_to_disk_when_it_is_large_and_memory_is_used_up() {
        let folder = tempfile::tempdir().unwrap();
        let store = spooling(folder.path(), 1 << 30);
        let mut alone = Collector::new(&store, 0, None);
        collect(&mut alone, 4 * SEGMENT);
        assert!(alone.file.is_none(), "it is over the threshold, but memory is there");
        // These are small, and stay in memory whatever is in use.
        let small: Vec<Content> = (0..5)
            .map(|_| {
                let mut small = Collector::new(&store, 0, None);
                collect(&mut small, 1000);
                small.finish().unwrap()
            })
            .collect();
        assert!(store.in_memory() >= 4 * SEGMENT as u64 + 5000);
        for octets in [1001, SEGMENT, SEGMENT + 1, 3 * SEGMENT + 17] {
            let (held, memory) = used(&store);
            let mut large = Collector::new(&store, 0, None);
            collect(&mut large, octets);
            assert_eq!(large.file.is_some(), octets > SEGMENT);
            assert!(store.in_memory() <= memory + SEGMENT as u64, "more than its buffer");
            let content = large.finish().unwrap();
            assert_eq!(used(&store), (held + octets as u64, memory), "{octets}");
            assert!(content.bytes().unwrap().iter().enumerate().all(|(n, octet)| usize::from(*octet) == n % 251));
            drop(content);
            assert_eq!(store.held.used(), held);
        }
        drop((alone, small));
        assert_eq!(used(&store), (0, 0));
    }

    #[test]
    fn what_grew_in_memory_goes_to_disk_as_well() {
        let folder = tempfile::tempdir().unwrap();
        let store = spooling(folder.path(), 1 << 30);
        let mut collector = Collector::new(&store, 0, None);
        collect(&mut collector, 4 * SEGMENT);
        assert!(collector.file.is_none());
        collector.put(b"x");
        assert_eq!(collector.file.as_ref().map(SpoolFile::len), Some(4 * SEGMENT as u64));
        assert_eq!(store.in_memory(), SEGMENT as u64);
        assert_eq!(collector.finish().unwrap().len(), 4 * SEGMENT as u64 + 1);
    }

    #[test]
    fn the_budget_holds_on_disk_too() {
        let folder = tempfile::tempdir().unwrap();
        let store = spooling(folder.path(), 500_000);
        for (octets, fits) in [(500_000, true), (500_001, false)] {
            let mut collector = Collector::new(&store, 0, None);
            collect(&mut collector, 400_000);
            assert!(collector.file.is_some());
            collect(&mut collector, octets - 400_000);
            assert_eq!(collector.finish().err(), if fits { None } else { Some(Overflow::NoRoom) });
            assert_eq!(used(&store), (0, 0));
        }
    }

    #[test]
    fn a_disk_that_fails() {
        let store = not_spooling(1 << 30);
        let mut collector = Collector::new(&store, 0, None);
        collect(&mut collector, 5 * SEGMENT);
        assert!(collector.swallowed() > 0);
        assert_eq!(collector.finish().unwrap_err(), Overflow::NotStored);
        assert_eq!(used(&store), (0, 0));
    }
}
