//! The list of messages, and which of them are deleted to make room.

use std::collections::{BTreeSet, VecDeque};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::SystemTime;

use super::log::{Change, ChangeLog};
use super::message::{Cost, StoredMessage};
use super::room::{Room, WhenFull};

pub type Shared = Arc<StoredMessage>;

/// In octets, what the list of messages that are on disk takes in memory: envelopes, conversations, what is searched.
pub const MAX_INDEX: u64 = 256 * 1024 * 1024;

/// In octets, what messages that are gone may take while somebody still reads them, if the room is smaller than that. Beyond
/// it whoever has read for longest is cut off; and with twice as many, until those have noticed, no message is taken.
const FOR_READERS: u64 = 64 * 1024 * 1024;

/// There is no room for a message.
#[derive(Debug)]
pub struct Full;

#[derive(Default)]
pub struct Kept {
    // By growing id.
    messages: VecDeque<Shared>,
    pub log: ChangeLog,
    last: u64,
    // Of all messages.
    cost: Cost,
    unread: usize,
    dropped: u64,
    // Since there was room.
    refused: u64,
    // Gone while somebody read them; the first to go is the first.
    leaving: Vec<Weak<StoredMessage>>,
}

/// Numbers of a store.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Counts {
    pub total: usize,
    pub unread: usize,
    /// What the messages take of the room.
    pub octets: u64,
    /// The id of the last message that came, or 0.
    pub last_id: u64,
    /// How many messages went to make room, or after their time, since the start.
    pub dropped: u64,
    /// How many were refused for want of room, since the last was deleted.
    pub refused: u64,
}

impl Kept {
    pub fn counts(&self) -> Counts {
        Counts {
            total: self.messages.len(),
            unread: self.unread,
            octets: self.cost.octets,
            last_id: self.last,
            dropped: self.dropped,
            refused: self.refused,
        }
    }

    /// Makes room for a message. Those that go are in `gone`, to be dropped without the lock. `held` are the octets of all
    /// messages that are still there.
    ///
    /// # Errors
    /// If there can be none.
    pub fn make_room(&mut self, cost: Cost, room: &Room, held: u64, gone: &mut Vec<Shared>) -> Result<(), Full> {
        self.admit(cost, room, held)?;
        if room.when_full == WhenFull::DropOldest {
            while !self.fits(cost, room) && self.drop_oldest(gone) {}
        }
        Ok(())
    }

    /// Whether there can be room for a message.
    ///
    /// # Errors
    /// If there can be none, which is counted.
    pub fn admit(&mut self, cost: Cost, room: &Room, held: u64) -> Result<(), Full> {
        // One that is larger than the room can be there alone.
        let has_room = match room.when_full {
            WhenFull::Refuse => {
                self.messages.len() < room.messages
                    && (held == 0 || held.saturating_add(cost.octets) <= room.octets)
                    && (self.messages.is_empty() || self.cost.index + cost.index <= MAX_INDEX)
            }
            WhenFull::DropOldest => self.has_readers_cut_off(room, held),
        };
        if has_room {
            return Ok(());
        }
        self.refused += 1;
        Err(Full)
    }

    fn fits(&self, cost: Cost, room: &Room) -> bool {
        self.messages.len() < room.messages
            && self.cost.octets.saturating_add(cost.octets) <= room.octets
            && self.cost.index + cost.index <= MAX_INDEX
    }

    /// Whether there was one.
    fn drop_oldest(&mut self, gone: &mut Vec<Shared>) -> bool {
        let Some(oldest) = self.messages.pop_front() else { return false };
        self.dropped += 1;
        self.is_gone(&oldest);
        gone.push(oldest);
        true
    }

    /// Sees to it that those who read what is gone give back what is beyond their part; whether that is near enough.
    fn has_readers_cut_off(&mut self, room: &Room, held: u64) -> bool {
        let for_readers = room.octets.max(FOR_READERS);
        let by_readers = held.saturating_sub(self.cost.octets);
        if by_readers > for_readers {
            self.cut_off(by_readers - for_readers);
        }
        by_readers / 2 <= for_readers
    }

    /// Has as many octets be given back by those who read what is gone.
    fn cut_off(&mut self, octets: u64) {
        let mut left = octets;
        for message in self.leaving.iter().filter_map(Weak::upgrade) {
            if left == 0 {
                break;
            }
            message.is_cut.store(true, Ordering::Relaxed);
            left = left.saturating_sub(message.cost.octets);
        }
    }

    /// Adds a message that has arrived, which has the greatest id.
    pub fn push(&mut self, message: Shared) {
        self.log.push(Change::Arrived(message.id));
        self.add(message);
    }

    /// Adds a message, which has the greatest id.
    fn add(&mut self, message: Shared) {
        self.last = message.id;
        self.cost.octets += message.cost.octets;
        self.cost.index += message.cost.index;
        self.unread += usize::from(!message.is_read());
        self.messages.push_back(message);
    }

    /// Begins with messages that were there before, by growing id, and goes on behind the id `last`.
    pub fn restore(&mut self, messages: Vec<Shared>, last: u64, dropped: u64) {
        messages.into_iter().for_each(|message| self.add(message));
        (self.last, self.dropped) = (last, dropped);
    }

    pub fn get(&self, id: u64) -> Option<&Shared> {
        self.position(id).map(|at| &self.messages[at])
    }

    pub fn latest(&self) -> Option<&Shared> {
        self.messages.back()
    }

    /// Some of those with lesser ids, the greatest first.
    pub fn before(&self, id: u64, most: usize) -> Vec<Shared> {
        let end = self.messages.partition_point(|message| message.id < id);
        self.messages.range(end.saturating_sub(most)..end).rev().cloned().collect()
    }

    /// Some of those with greater ids, the least first.
    pub fn behind(&self, id: u64, most: usize) -> Vec<Shared> {
        let begin = self.messages.partition_point(|message| message.id <= id);
        self.messages.range(begin..).take(most).cloned().collect()
    }

    /// Takes messages out that somebody deletes.
    pub fn delete(&mut self, ids: &BTreeSet<u64>) -> Vec<Shared> {
        let mut gone = Vec::new();
        match ids.len() {
            1 => gone.extend(ids.first().and_then(|id| self.position(*id)).and_then(|at| self.messages.remove(at))),
            _ => self.messages.retain(|message| {
                let stays = !ids.contains(&message.id);
                if !stays {
                    gone.push(message.clone());
                }
                stays
            }),
        }
        gone.iter().for_each(|message| self.is_gone(message));
        if !gone.is_empty() {
            self.refused = 0;
        }
        gone
    }

    /// Takes those out that are older than the room has them.
    pub fn expire(&mut self, room: &Room, now: SystemTime) -> Vec<Shared> {
        let mut gone = Vec::new();
        let Some(begin) = room.time.and_then(|time| now.checked_sub(time)) else { return gone };
        while self.oldest().is_some_and(|received| received < begin) && self.drop_oldest(&mut gone) {}
        gone
    }

    /// When the oldest was received.
    pub fn oldest(&self) -> Option<SystemTime> {
        self.messages.front().map(|message| message.received_at())
    }

    /// Whether it is there, and whether that changes anything.
    pub fn set_read(&mut self, id: u64, is_read: bool) -> Option<bool> {
        let message = self.get(id)?;
        if message.is_read.swap(is_read, Ordering::Relaxed) == is_read {
            return Some(false);
        }
        if is_read {
            self.unread -= 1;
            self.log.push(Change::Read(id));
        } else {
            self.unread += 1;
            self.log.push(Change::Unread(id));
        }
        Some(true)
    }

    /// A message was taken out.
    fn is_gone(&mut self, message: &Shared) {
        self.cost.octets -= message.cost.octets;
        self.cost.index -= message.cost.index;
        self.unread -= usize::from(!message.is_read());
        self.log.push(Change::Deleted(message.id));
        if Arc::strong_count(message) > 1 {
            self.leaving.retain(|other| other.strong_count() > 0);
            self.leaving.push(Arc::downgrade(message));
        }
    }

    fn position(&self, id: u64) -> Option<usize> {
        self.messages.binary_search_by_key(&id, |message| message.id).ok()
    }
}
