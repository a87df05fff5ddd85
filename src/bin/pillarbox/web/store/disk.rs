//! Messages that are kept in a folder.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{Mutex, MutexGuard};
use pillarbox::{Envelope, Reply};

use super::batches::Batches;
pub use super::folder::Published;
use super::folder::{Draft, Folder, Found};
use super::kept::{MAX_INDEX, Shared};
use super::message::{Cost, StoredMessage};
use super::room::{Room, WhenFull};
use crate::web::summary::Summary;

/// Where the messages of a store are.
pub struct Disk {
    folder: Folder,
    arriving: Batches<Draft, Result<(), Reply>>,
    // Whoever changes whether a message was read, in memory and on disk.
    marking: Mutex<()>,
}

/// The right to change whether messages were read.
pub struct Marking<'a> {
    folder: &'a Folder,
    _alone: MutexGuard<'a, ()>,
}

impl Marking<'_> {
    pub fn mark_read(&self, id: u64, is_read: bool) {
        self.folder.mark_read(id, is_read);
    }
}

/// What is in a folder at the start.
pub struct Restored {
    /// By growing id.
    pub messages: Vec<Shared>,
    /// The greatest id that there was.
    pub last: u64,
    /// How many others there were, for which there is no room.
    pub dropped: u64,
}

impl Disk {
    /// Opens a folder, or creates it. Messages that are there count in `held`; those for which there is no room are removed.
    ///
    /// # Errors
    /// If the folder cannot be used, or another process does.
    pub fn open(path: &Path, room: &Room, held: &Arc<AtomicU64>) -> io::Result<(Disk, Restored)> {
        let (folder, found) = Folder::open(path)?;
        let (messages, gone) = load(&folder, &found, room, held);
        folder.remove(gone.iter().map(|id| (*id, found.read.contains(id))), found.last);
        folder.flush()?;
        let restored = Restored { messages, last: found.last, dropped: gone.len() as u64 };
        Ok((Disk { folder, arriving: Batches::default(), marking: Mutex::default() }, restored))
    }

    /// Stores a message. Once it is on disk, `take` is given it together with others that are, in the order of their ids, by
    /// one thread at a time.
    ///
    /// # Errors
    /// If it cannot be stored, or what `take` gives for it.
    pub fn push(
        &self,
        envelope: Envelope,
        summary: Summary,
        take: impl FnOnce(Vec<io::Result<Published>>) -> Vec<Result<(), Reply>>,
    ) -> Result<(), Reply> {
        let draft = self.folder.write(&envelope, summary)?;
        // Its memory is for others.
        drop(envelope);
        let published = self.arriving.run(draft, |drafts| take(self.folder.publish(drafts)));
        published.unwrap_or_else(|| Err(Reply::new(451, "4.3.0", "Local error in processing")))
    }

    pub fn marking(&self) -> Marking<'_> {
        Marking { folder: &self.folder, _alone: self.marking.lock() }
    }

    /// Removes messages, of which `last` is the greatest id that there was.
    pub fn remove(&self, gone: impl Iterator<Item = (u64, bool)>, last: u64) {
        self.folder.remove(gone, last);
    }

    /// Removes messages for good.
    pub fn delete(&self, gone: impl Iterator<Item = (u64, bool)>, last: u64) {
        self.folder.remove(gone, last);
        if let Err(e) = self.folder.flush() {
            log::warn!("{}: messages that were removed may come again: {e}", self.folder.path().display());
        }
    }
}

/// The messages of a folder for which there is room, and the ids of the others. What is damaged is none of them.
fn load(folder: &Folder, found: &Found, room: &Room, held: &Arc<AtomicU64>) -> (Vec<Shared>, Vec<u64>) {
    let (mut messages, mut gone) = (Vec::new(), Vec::new());
    let (mut cost, mut is_full) = (Cost::default(), false);
    let damaged = |id: u64, e: io::Error| {
        log::warn!("{}: message {id} cannot be read, and is left alone: {e}", folder.path().display());
    };
    for id in found.ids.iter().copied().rev() {
        if is_full {
            match folder.is_message(id) {
                Ok(()) => gone.push(id),
                Err(e) => damaged(id, e),
            }
            continue;
        }
        let loaded = match folder.read(id) {
            Ok(loaded) => loaded,
            Err(e) => {
                damaged(id, e);
                continue;
            }
        };
        let own = Cost::in_file(loaded.octets, &loaded.envelope, &loaded.summary);
        let has_room = messages.len() < room.messages
            && cost.octets.saturating_add(own.octets) <= room.octets
            && cost.index + own.index <= MAX_INDEX;
        // What was accepted stays, if that was asked for.
        if room.when_full == WhenFull::DropOldest && !messages.is_empty() && !has_room {
            is_full = true;
            gone.push(id);
            continue;
        }
        cost.octets += own.octets;
        cost.index += own.index;
        let message = StoredMessage::new(id, loaded.envelope, loaded.summary, own, held);
        message.is_read.store(found.read.contains(&id), Ordering::Relaxed);
        messages.push(Arc::new(message));
    }
    messages.reverse();
    (messages, gone)
}
