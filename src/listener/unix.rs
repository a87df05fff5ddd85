//! Unix sockets: made at a path, and removed from there by nobody but who made them.

use std::fs::{self, File, Metadata};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use socket2::{Domain, SockAddr, Socket, Type};

use super::{Acceptor, BACKLOG, Bound, Owned};
use crate::envelope::Endpoint;

/// What stands at a path: the same for as long as it is not removed, and no other's as long as its socket is open.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Identity {
    device: u64,
    inode: u64,
}

impl Identity {
    /// None if there is no socket.
    fn of(found: &Metadata) -> Option<Identity> {
        let identity = Identity { device: found.dev(), inode: found.ino() };
        found.file_type().is_socket().then_some(identity)
    }

    fn at(path: &Path) -> Option<Identity> {
        fs::symlink_metadata(path).ok().as_ref().and_then(Identity::of)
    }
}

pub(super) fn bind(path: PathBuf, mode: Option<u32>) -> io::Result<Bound> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    let address = SockAddr::unix(&path)?;
    // Held until it listens: until then it would seem abandoned to others.
    let turn = Turn::wait(&path);
    if let Err(e) = socket.bind(&address) {
        // Without the turn somebody else may be replacing it, or have done so.
        let abandoned = turn.as_ref().and_then(|_| abandoned(&path)).filter(|_| e.kind() == ErrorKind::AddrInUse);
        let Some(abandoned) = abandoned else { return Err(e) };
        remove_if_same(&path, abandoned);
        socket.bind(&address)?;
    }
    // An abstract address has no path, and nothing to be removed.
    let owned = Identity::at(&path).map_or(Owned::Socket, Owned::Path);
    let listener = UnixListener::from(std::os::fd::OwnedFd::from(socket));
    // Removes it from here on, whatever fails.
    let bound = Bound { socket: Acceptor::Unix(listener), local: Endpoint::Unix(Some(path.as_path().into())), owned };
    if let Some(mode) = mode {
        let Owned::Path(identity) = bound.owned else { return Err(ErrorKind::NotFound.into()) };
        set_mode(&path, identity, mode)?;
    }
    // Only now can anybody connect.
    if let Acceptor::Unix(listener) = &bound.socket {
        socket2::SockRef::from(listener).listen(BACKLOG)?;
    }
    Ok(bound)
}

/// Removes what we have bound, unless somebody else has put something in its place.
pub(super) fn remove(path: &Path, identity: Identity) {
    let _turn = Turn::wait(path);
    remove_if_same(path, identity);
}

fn remove_if_same(path: &Path, identity: Identity) {
    if Identity::at(path) == Some(identity) {
        // It may be gone already; nothing depends on it.
        let _ = fs::remove_file(path);
    }
}

/// A socket that nobody listens at: what a server leaves that was killed.
fn abandoned(path: &Path) -> Option<Identity> {
    let identity = Identity::at(path)?;
    let client = Socket::new(Domain::UNIX, Type::STREAM, None).ok()?;
    // A server that does not come to accept connections is there all the same, and not to be waited for.
    client.set_nonblocking(true).ok()?;
    let connected = client.connect(&SockAddr::unix(path).ok()?);
    connected.is_err_and(|e| e.kind() == ErrorKind::ConnectionRefused).then_some(identity)
}

/// Gives our socket its mode, and nothing that a link in its place could lead to.
#[cfg(target_os = "linux")]
fn set_mode(path: &Path, identity: Identity, mode: u32) -> io::Result<()> {
    use std::os::fd::AsRawFd;

    use rustix::fs::{Mode, OFlags};
    // Linux has no call for this that all kernels in use know, but a name for what is open.
    let socket = File::from(rustix::fs::open(path, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?);
    if Identity::of(&socket.metadata()?) != Some(identity) {
        return Err(ErrorKind::AddrInUse.into());
    }
    let name = format!("/proc/self/fd/{}", socket.as_raw_fd());
    fs::set_permissions(name, PermissionsExt::from_mode(mode))
}

#[cfg(not(target_os = "linux"))]
fn set_mode(path: &Path, identity: Identity, mode: u32) -> io::Result<()> {
    use rustix::fs::{AtFlags, CWD, Mode, chmodat};
    if Identity::at(path) != Some(identity) {
        return Err(ErrorKind::AddrInUse.into());
    }
    Ok(chmodat(CWD, path, Mode::from_bits_truncate(mode as _), AtFlags::SYMLINK_NOFOLLOW)?)
}

/// The turn of one server, among all that make or remove a socket in a folder: a lock on the folder.
struct Turn {
    _folder: File,
}

impl Turn {
    /// None if the folder cannot be locked, or somebody keeps the lock.
    fn wait(path: &Path) -> Option<Turn> {
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
