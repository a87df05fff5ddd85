//! The messages, and waiting for the next.

#[cfg(unix)]
mod batches;
#[cfg(unix)]
mod disk;
#[cfg(unix)]
mod entry;
#[cfg(unix)]
mod folder;
mod kept;
mod log;
mod message;
mod room;

use std::collections::BTreeSet;
use std::io;
#[cfg(unix)]
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use parking_lot::{Condvar, Mutex};
use pillarbox::{Envelope, Reply};

#[cfg(unix)]
use disk::{Disk, Published};
pub use kept::Counts;
use kept::{Full, Kept, Shared};
pub use log::Change;
use message::Cost;
pub use message::StoredMessage;
pub use room::{Room, WhenFull};

use super::summary::Summary;

/// How many messages are looked at without the lock.
const PIECE: usize = 256;

/// How long nothing is removed whose time is over.
const MIN_PAUSE: Duration = Duration::from_millis(50);
const MAX_PAUSE: Duration = Duration::from_secs(60);

/// The messages. When there is no room for another, the oldest go, or it is refused.
pub struct MessageStore {
    room: Room,
    // Octets of all messages that are still there, of those too that somebody reads after they were taken out.
    held: Arc<AtomicU64>,
    kept: Mutex<Kept>,
    changed: Condvar,
    // None if they are in memory.
    #[cfg(unix)]
    disk: Option<Disk>,
}

impl Default for MessageStore {
    fn default() -> MessageStore {
        MessageStore::new(Room::default())
    }
}

/// What happened since a number of a change.
pub struct Changes {
    /// The number of the last of them.
    pub last: u64,
    /// In order; `None` if they are not remembered, or the number is of another process.
    pub all: Option<Vec<Change>>,
}

impl MessageStore {
    pub fn new(room: Room) -> MessageStore {
        MessageStore {
            room,
            held: Arc::default(),
            kept: Mutex::default(),
            changed: Condvar::new(),
            #[cfg(unix)]
            disk: None,
        }
    }

    /// Keeps messages in a folder, with those that are there.
    ///
    /// # Errors
    /// If the folder cannot be used, or another process does.
    #[cfg(unix)]
    pub fn open(room: Room, path: &Path) -> io::Result<MessageStore> {
        let mut store = MessageStore::new(room);
        let (disk, restored) = Disk::open(path, &store.room, &store.held)?;
        store.kept.get_mut().restore(restored.messages, restored.last, restored.dropped);
        store.disk = Some(disk);
        store.expire();
        Ok(store)
    }

    /// Whether storing a message waits for a disk.
    pub fn is_on_disk(&self) -> bool {
        #[cfg(unix)]
        return self.disk.is_some();
        #[cfg(not(unix))]
        false
    }

    /// How much there can be.
    pub fn room(&self) -> &Room {
        &self.room
    }

    /// # Errors
    /// If there is no room: what its client is told, which may try again.
    pub fn push(&self, mut envelope: Envelope) -> Result<(), Reply> {
        let summary = Summary::of(&envelope);
        #[cfg(unix)]
        if let Some(disk) = &self.disk {
            // Before it is written, which may be much.
            let least = Cost { octets: envelope.content().len(), index: 0 };
            self.kept.lock().admit(least, &self.room, self.held.load(Ordering::Relaxed))?;
            let mut gone = Vec::new();
            let outcome = disk.push(envelope, summary, |published| self.take(published, &mut gone));
            // While others write theirs: with the next message it is on disk that they are gone.
            disk.remove(gone.into_iter(), self.counts().last_id);
            return outcome;
        }
        let cost = Cost::in_memory(&envelope, &summary);
        let mut gone = Vec::new();
        let mut kept = self.kept.lock();
        kept.make_room(cost, &self.room, self.held.load(Ordering::Relaxed), &mut gone)?;
        // From here on it counts here.
        envelope.leave_budgets();
        let id = kept.counts().last_id + 1;
        kept.push(Arc::new(StoredMessage::new(id, envelope, summary, cost, &self.held)));
        drop(kept);
        self.changed.notify_all();
        Ok(())
    }

    /// Takes messages that have arrived together, and are on disk. The files of those that are not to be there are `gone`.
    #[cfg(unix)]
    fn take(&self, published: Vec<io::Result<Published>>, gone: &mut Vec<(u64, bool)>) -> Vec<Result<(), Reply>> {
        let mut dropped = Vec::new();
        let mut kept = self.kept.lock();
        let outcomes = published.into_iter().map(|published| {
            let Published { id, envelope, summary, octets } = published?;
            let cost = Cost::in_file(octets, &envelope, &summary);
            if let Err(full) = kept.make_room(cost, &self.room, self.held.load(Ordering::Relaxed), &mut dropped) {
                gone.push((id, false));
                return Err(full.into());
            }
            kept.push(Arc::new(StoredMessage::new(id, envelope, summary, cost, &self.held)));
            Ok(())
        });
        let outcomes = outcomes.collect();
        drop(kept);
        self.changed.notify_all();
        gone.extend(of_files(&dropped));
        outcomes
    }

    pub fn get(&self, id: u64) -> Option<Shared> {
        self.kept.lock().get(id).cloned()
    }

    /// The newest message of those that a filter wants.
    pub fn latest(&self, filter: &dyn Fn(&StoredMessage) -> bool) -> Option<Shared> {
        let newest = self.kept.lock().latest()?.clone();
        if filter(&newest) { Some(newest) } else { self.page(Some(newest.id), 1, filter).pop() }
    }

    /// The newest messages of those that a filter wants, the newest first: with ids below `before`, and at most `limit`.
    pub fn page(&self, before: Option<u64>, limit: usize, filter: &dyn Fn(&StoredMessage) -> bool) -> Vec<Shared> {
        let mut from = before.unwrap_or(u64::MAX);
        collect(limit, filter, || {
            let piece = self.kept.lock().before(from, PIECE);
            from = piece.last().map_or(0, |message| message.id);
            piece
        })
    }

    /// The oldest messages of those that a filter wants, the oldest first: with ids above `after`, and at most `limit`.
    pub fn behind(&self, after: u64, limit: usize, filter: &dyn Fn(&StoredMessage) -> bool) -> Vec<Shared> {
        let mut from = after;
        collect(limit, filter, || {
            let piece = self.kept.lock().behind(from, PIECE);
            from = piece.last().map_or(u64::MAX, |message| message.id);
            piece
        })
    }

    /// The number of the last change.
    pub fn last_change(&self) -> u64 {
        self.kept.lock().log.last()
    }

    /// Waits until something has changed since `seen`, which is a number of a change, or until the deadline. Gives the number
    /// of the last change.
    pub fn wait_change(&self, seen: u64, deadline: Instant) -> u64 {
        let mut kept = self.kept.lock();
        while kept.log.last() == seen {
            if self.changed.wait_until(&mut kept, deadline).timed_out() {
                break;
            }
        }
        kept.log.last()
    }

    /// What has changed since a number of a change, at most so much.
    pub fn changes(&self, after: u64, most: usize) -> Changes {
        let kept = self.kept.lock();
        match kept.log.after(after) {
            None => Changes { last: kept.log.last(), all: None },
            Some(changes) => {
                let all: Vec<Change> = changes.take(most).collect();
                Changes { last: after + all.len() as u64, all: Some(all) }
            }
        }
    }

    /// Whether it was there.
    pub fn delete(&self, id: u64) -> bool {
        self.delete_all(&BTreeSet::from([id])) > 0
    }

    /// How many there were of those that a filter wants. What arrives meanwhile stays.
    pub fn delete_where(&self, filter: &dyn Fn(&StoredMessage) -> bool) -> usize {
        let ids = self.page(None, usize::MAX, filter).iter().map(|message| message.id).collect();
        self.delete_all(&ids)
    }

    fn delete_all(&self, ids: &BTreeSet<u64>) -> usize {
        let gone = self.kept.lock().delete(ids);
        self.are_gone(&gone);
        gone.len()
    }

    /// Messages were taken out.
    fn are_gone(&self, gone: &[Shared]) {
        if gone.is_empty() {
            return;
        }
        self.changed.notify_all();
        #[cfg(unix)]
        if let Some(disk) = &self.disk {
            disk.delete(of_files(gone), self.counts().last_id);
        }
    }

    /// Removes messages when their time is over, if they have one, for as long as the process lives.
    ///
    /// # Errors
    /// If there is no thread.
    pub fn start_expiry(self: &Arc<MessageStore>) -> io::Result<()> {
        let Some(time) = self.room.time else { return Ok(()) };
        let store = self.clone();
        let expire = move || {
            loop {
                store.expire();
                let oldest = store.kept.lock().oldest().unwrap_or_else(SystemTime::now);
                let left = (oldest + time).duration_since(SystemTime::now()).unwrap_or_default();
                // The clock may be set meanwhile.
                thread::sleep(left.clamp(MIN_PAUSE, MAX_PAUSE));
            }
        };
        thread::Builder::new().name("inbox-expiry".to_owned()).spawn(expire).map(drop)
    }

    /// Removes what is older than the room has it.
    pub fn expire(&self) {
        let gone = self.kept.lock().expire(&self.room, SystemTime::now());
        self.are_gone(&gone);
    }

    /// Whether it is there.
    pub fn set_read(&self, id: u64, is_read: bool) -> bool {
        #[cfg(unix)]
        let marking = self.disk.as_ref().map(Disk::marking);
        let changes = self.kept.lock().set_read(id, is_read);
        if changes == Some(true) {
            self.changed.notify_all();
            #[cfg(unix)]
            if let Some(marking) = &marking {
                marking.mark_read(id, is_read);
            }
        }
        changes.is_some()
    }

    pub fn counts(&self) -> Counts {
        self.kept.lock().counts()
    }
}

/// The ids of messages, and whether they were read.
#[cfg(unix)]
fn of_files(messages: &[Shared]) -> impl Iterator<Item = (u64, bool)> + '_ {
    messages.iter().map(|message| (message.id, message.is_read()))
}

/// Those of the messages in each piece that a filter wants, up to a number of them, until a piece is empty.
fn collect(
    limit: usize,
    filter: &dyn Fn(&StoredMessage) -> bool,
    mut next: impl FnMut() -> Vec<Shared>,
) -> Vec<Shared> {
    let mut found = Vec::new();
    while found.len() < limit {
        let piece = next();
        if piece.is_empty() {
            break;
        }
        let wanted = piece.into_iter().filter(|message| filter(message));
        found.extend(wanted.take(limit - found.len()));
    }
    found
}

impl From<Full> for Reply {
    fn from(Full: Full) -> Reply {
        Reply::new(452, "4.3.1", "The inbox is full")
    }
}

#[cfg(test)]
mod tests;
