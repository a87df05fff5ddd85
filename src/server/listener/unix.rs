//! Unix sockets, made at a path.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use socket2::{Domain, SockAddr, Socket, Type};

use super::bound::{BACKLOG, Bound, ListeningSocket, Owned};
use super::path::{Identity, Turn, remove_if_same};
use crate::envelope::Endpoint;

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
    let bound =
        Bound { socket: ListeningSocket::Unix(listener), local: Endpoint::Unix(Some(path.as_path().into())), owned };
    if let Some(mode) = mode {
        let Owned::Path(identity) = bound.owned else { return Err(ErrorKind::NotFound.into()) };
        set_mode(&path, identity, mode)?;
    }
    // Only now can anybody connect.
    if let ListeningSocket::Unix(listener) = &bound.socket {
        socket2::SockRef::from(listener).listen(BACKLOG)?;
    }
    Ok(bound)
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
