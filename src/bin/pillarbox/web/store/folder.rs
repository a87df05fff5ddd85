//! A folder with messages, each in a file of its own, for one process at a time.
//!
//! | file | what |
//! |---|---|
//! | `7.mail` | the message with the id 7 |
//! | `7.read` | it was read |
//! | `last-id` | the id of the newest message that there has been, if that is gone |
//! | `draft-1` | what is being written |
//! | `lock` | locked by the process that uses the folder |

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::ops::Range;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use parking_lot::Mutex;
use pillarbox::{Envelope, Escaped};
use rustix::fs::{FlockOperation, flock};

use super::entry::{self, Loaded};
use crate::digits::parse_digits;
use crate::web::summary::Summary;

/// How many files are named that are not what they should be.
const MAX_NAMED: usize = 10;

/// How many threads remove many files, each of which may wait for the disk, and how many each of them removes at least.
const REMOVERS: usize = 16;
const MIN_REMOVED: usize = 32;

/// The greatest id that a file can have at the start.
const MAX_ID: u64 = 1 << 53;

const MESSAGE: &str = ".mail";
const READ: &str = ".read";
const DRAFT: &str = "draft-";
const LAST: &str = "last-id";
const LOCK: &str = "lock";

pub struct Folder {
    path: PathBuf,
    // The last id that a file has been given, whether or not the file came to be.
    last: AtomicU64,
    // Whoever says that there was a newer message.
    mark: Mutex<()>,
    drafts: AtomicU64,
    // Locked until the process ends.
    _lock: File,
}

/// A message in a file that nobody sees yet.
pub struct Draft {
    path: PathBuf,
    envelope: Envelope,
    content: Range<u64>,
    pub summary: Summary,
    /// Of the file.
    pub octets: u64,
}

/// What a folder has at the start.
pub struct Found {
    /// The ids of the messages, the least first.
    pub ids: Vec<u64>,
    pub read: BTreeSet<u64>,
    /// The greatest id that there was.
    pub last: u64,
}

impl Folder {
    /// Opens the folder, or creates it, and looks through it. What does not belong there is named in the log, and left alone.
    ///
    /// # Errors
    /// If it cannot be used, or another process does.
    pub fn open(path: &Path) -> io::Result<(Folder, Found)> {
        DirBuilder::new().recursive(true).mode(0o700).create(path)?;
        let path = path.canonicalize()?;
        let lock = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path.join(LOCK))?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive).map_err(|e| match e {
            rustix::io::Errno::WOULDBLOCK => io::Error::new(ErrorKind::WouldBlock, "another process uses it"),
            e => e.into(),
        })?;
        let (last, mark, drafts) = (AtomicU64::new(0), Mutex::default(), AtomicU64::new(0));
        let folder = Folder { path, last, mark, drafts, _lock: lock };
        let found = folder.look_through()?;
        folder.last.store(found.last, Ordering::Relaxed);
        // A name of its own in the folder above.
        if let Some(above) = folder.path.parent() {
            // Whoever may not read that has made it by other means.
            let _ = File::open(above).and_then(|above| above.sync_all());
        }
        Ok((folder, found))
    }

    fn look_through(&self) -> io::Result<Found> {
        let (mut ids, mut read, mut strange) = (Vec::new(), BTreeSet::new(), Vec::new());
        let mut last = 0;
        for file in fs::read_dir(&self.path)? {
            let file = file?;
            let name = file.file_name();
            let is_file = file.file_type()?.is_file();
            match name.to_str().filter(|_| is_file).map(Name::of) {
                Some(Name::Message(id)) => ids.push(id),
                Some(Name::Read(id)) => _ = read.insert(id),
                // A message that nobody was told is there.
                Some(Name::Draft) => fs::remove_file(file.path())?,
                Some(Name::Last) => last = self.read_mark(),
                Some(Name::Lock) => {}
                Some(Name::Strange) | None => strange.push(name),
            }
        }
        ids.sort_unstable();
        last = last.max(ids.last().copied().unwrap_or(0));
        let names = strange.iter().take(MAX_NAMED);
        for name in names {
            log::warn!(
                "{}: {} is no message, and is left alone",
                self.path.display(),
                Escaped::new(name.as_encoded_bytes())
            );
        }
        if strange.len() > MAX_NAMED {
            log::warn!("{}: so are {} further files", self.path.display(), strange.len() - MAX_NAMED);
        }
        for id in &read {
            if ids.binary_search(id).is_err() {
                fs::remove_file(self.file(*id, READ))?;
            }
        }
        read.retain(|id| ids.binary_search(id).is_ok());
        Ok(Found { ids, read, last })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    fn file(&self, id: u64, kind: &str) -> PathBuf {
        self.path.join(format!("{id}{kind}"))
    }

    pub fn read(&self, id: u64) -> io::Result<Loaded> {
        entry::read(&self.file(id, MESSAGE))
    }

    /// Whether a file is a message, as far as its length tells.
    pub fn is_message(&self, id: u64) -> io::Result<()> {
        entry::check(&self.file(id, MESSAGE))
    }

    /// Writes a message, and has it on disk.
    pub fn write(&self, mail: &Envelope, summary: Summary) -> io::Result<Draft> {
        let path = self.path.join(format!("{DRAFT}{}", self.drafts.fetch_add(1, Ordering::Relaxed)));
        let file = create(&path)?;
        match entry::write(file, mail, &summary) {
            Ok(written) => {
                let octets = written.content.end;
                Ok(Draft { path, envelope: written.envelope, content: written.content, summary, octets })
            }
            Err(e) => {
                // What cannot be removed is removed at the next start.
                let _ = fs::remove_file(&path);
                Err(e)
            }
        }
    }

    /// Makes messages of drafts, in order, and has that on disk: their ids, and their envelopes with content. Only one thread
    /// may do this at a time.
    pub fn publish(&self, drafts: Vec<Draft>) -> Vec<io::Result<Published>> {
        let renamed: Vec<io::Result<Published>> = drafts.into_iter().map(|draft| self.rename(draft)).collect();
        let Err(e) = self.flush() else { return renamed };
        let undone = renamed.into_iter().map(|published| {
            // It will come again, and should not be there twice, though that is better than never.
            let _ = fs::remove_file(self.file(published?.id, MESSAGE));
            Err(again(&e))
        });
        undone.collect()
    }

    fn rename(&self, draft: Draft) -> io::Result<Published> {
        let id = self.last.fetch_add(1, Ordering::Relaxed) + 1;
        let path = self.file(id, MESSAGE);
        if let Err(e) = fs::rename(&draft.path, &path) {
            let _ = fs::remove_file(&draft.path);
            return Err(e);
        }
        let Draft { envelope, content, summary, octets, .. } = draft;
        Ok(Published { id, envelope: envelope.with_content_in(path, content), summary, octets })
    }

    /// Removes messages. Ids go on behind `last`, which is the greatest that there was.
    pub fn remove(&self, ids: impl Iterator<Item = (u64, bool)>, last: u64) {
        let ids: BTreeMap<u64, bool> = ids.collect();
        if ids.contains_key(&last)
            && let Err(e) = self.write_mark(last)
        {
            log::warn!("{}: ids may come again: {e}", self.path.display());
        }
        let all: Vec<(u64, bool)> = ids.into_iter().collect();
        thread::scope(|scope| {
            let mut parts = all.chunks(all.len().div_ceil(REMOVERS).max(MIN_REMOVED));
            let own = parts.next().unwrap_or_default();
            for part in parts {
                let remove = || self.remove_files(part);
                if thread::Builder::new().spawn_scoped(scope, remove).is_err() {
                    self.remove_files(part);
                }
            }
            self.remove_files(own);
        });
    }

    fn remove_files(&self, messages: &[(u64, bool)]) {
        for (id, is_read) in messages {
            if let Err(e) = fs::remove_file(self.file(*id, MESSAGE)) {
                log::warn!("{}: cannot remove message {id}: {e}", self.path.display());
            }
            if *is_read {
                let _ = fs::remove_file(self.file(*id, READ));
            }
        }
    }

    /// Remembers whether a message was read.
    pub fn mark_read(&self, id: u64, is_read: bool) {
        let path = self.file(id, READ);
        let done = if is_read { create(&path).map(drop) } else { fs::remove_file(&path) };
        match done {
            Err(e) if !matches!(e.kind(), ErrorKind::AlreadyExists | ErrorKind::NotFound) => {
                log::warn!(
                    "{}: cannot remember that message {id} is {}: {e}",
                    self.path.display(),
                    if is_read { "read" } else { "unread" }
                );
            }
            _ => {}
        }
    }

    /// Has on disk which files there are.
    pub fn flush(&self) -> io::Result<()> {
        File::open(&self.path)?.sync_all()
    }

    fn read_mark(&self) -> u64 {
        let text = fs::read_to_string(self.path.join(LAST)).unwrap_or_default();
        to_id(text.trim_end()).unwrap_or_else(|| {
            log::warn!("{}: {LAST} is damaged", self.path.display());
            0
        })
    }

    fn write_mark(&self, last: u64) -> io::Result<()> {
        let _alone = self.mark.lock();
        let path = self.path.join(format!("{DRAFT}{LAST}"));
        let _ = fs::remove_file(&path);
        let mut file = create(&path)?;
        writeln!(file, "{last}")?;
        file.sync_all()?;
        fs::rename(path, self.path.join(LAST))?;
        self.flush()
    }
}

/// A message that is there.
pub struct Published {
    pub id: u64,
    pub envelope: Envelope,
    pub summary: Summary,
    pub octets: u64,
}

/// What a file's name says.
enum Name {
    Message(u64),
    Read(u64),
    Draft,
    Last,
    Lock,
    Strange,
}

impl Name {
    fn of(name: &str) -> Name {
        // As they are written: no two names have the same id.
        let id = |digits: &str| to_id(digits).filter(|id| id.to_string() == digits);
        let is_draft = |rest: &str| rest == LAST || id(rest).is_some() || rest == "0";
        if let Some(id) = name.strip_suffix(MESSAGE).and_then(id) {
            Name::Message(id)
        } else if let Some(id) = name.strip_suffix(READ).and_then(id) {
            Name::Read(id)
        } else if name.strip_prefix(DRAFT).is_some_and(is_draft) {
            Name::Draft
        } else {
            match name {
                LAST => Name::Last,
                LOCK => Name::Lock,
                _ => Name::Strange,
            }
        }
    }
}

/// An id from which there is a long way to go.
fn to_id(digits: &str) -> Option<u64> {
    parse_digits(digits).filter(|id| (1..=MAX_ID).contains(id))
}

/// Makes a file that is not there, for us alone.
fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

/// The same error for somebody else.
fn again(error: &io::Error) -> io::Error {
    error.raw_os_error().map_or_else(|| error.kind().into(), io::Error::from_raw_os_error)
}
