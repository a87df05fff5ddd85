//! What is at the path of a Unix socket, and who may remove it.

use std::fs::{self, File, Metadata};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;
use std::thread;
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};

/// What is at a path. It stays the same until it is removed, and is nobody else's while its socket is open.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Identity {
    device: u64,
    inode: u64,
}

impl Identity {
    /// None if there is no socket.
    pub fn of(found: &Metadata) -> Option<Identity> {
        let identity = Identity { device: found.dev(), inode: found.ino() };
        found.file_type().is_socket().then_some(identity)
    }

    pub fn at(path: &Path) -> Option<Identity> {
        fs::symlink_metadata(path).ok().as_ref().and_then(Identity::of)
    }
}

/// Removes the socket that was bound here, unless somebody else has replaced it.
pub(super) fn remove(path: &Path, identity: Identity) {
    let _turn = Turn::wait(path);
    remove_if_same(path, identity);
}

pub(super) fn remove_if_same(path: &Path, identity: Identity) {
    if Identity::at(path) == Some(identity) {
        // It may be gone already; nothing depends on it.
        let _ = fs::remove_file(path);
    }
}

/// The turn of one server, among all that make or remove a socket in a folder: a lock on the folder.
pub(super) struct Turn {
    _folder: File,
}

impl Turn {
    /// None if the folder cannot be locked, or somebody keeps the lock.
    pub fn wait(path: &Path) -> Option<Turn> {
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let folder = File::open(parent).ok()?;
        for _ in 0..100 {
            match flock(&folder, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Some(Turn { _folder: folder }),
                Err(rustix::io::Errno::WOULDBLOCK | rustix::io::Errno::INTR) => {
                    thread::sleep(Duration::from_millis(10))
                }
                Err(_) => return None,
            }
        }
        None
    }
}
