//! Sockets that listen.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
#[cfg(unix)]
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;
use std::time::Duration;

use socket2::Socket;

#[cfg(unix)]
use super::path;
use crate::envelope::Endpoint;

/// Connections that the kernel keeps until they are accepted. std's 128 leaves clients stranded at a few hundred at once.
pub(super) const BACKLOG: i32 = 4096;

/// A socket that listens.
#[derive(Debug)]
pub(crate) struct Bound {
    pub(super) socket: ListeningSocket,
    pub(super) local: Endpoint,
    pub(super) owned: Owned,
}

/// What has to be removed with a listening socket.
#[derive(Debug)]
pub(super) enum Owned {
    /// Nothing: it was passed in, and others may use it too.
    Nothing,
    /// The socket: nobody else listens at it.
    Socket,
    /// The socket, and what is at its path, which is removed with it.
    #[cfg(unix)]
    Path(path::Identity),
}

#[derive(Debug)]
pub(super) enum ListeningSocket {
    Tcp(TcpListener),
    #[cfg(unix)]
    Unix(UnixListener),
}

impl Bound {
    pub fn local(&self) -> &Endpoint {
        &self.local
    }

    /// Makes [`accept`](Bound::accept) wait, which it may not on a socket that was passed in.
    pub(super) fn make_wait(&self) -> io::Result<()> {
        match &self.socket {
            ListeningSocket::Tcp(listener) => listener.set_nonblocking(false),
            #[cfg(unix)]
            ListeningSocket::Unix(listener) => listener.set_nonblocking(false),
        }
    }

    /// Waits for the next connection.
    pub fn accept(&self) -> io::Result<(Socket, Endpoint)> {
        match &self.socket {
            ListeningSocket::Tcp(listener) => {
                let (stream, peer) = listener.accept()?;
                Ok((stream.into(), Endpoint::Tcp(peer)))
            }
            #[cfg(unix)]
            ListeningSocket::Unix(listener) => {
                let (stream, peer) = listener.accept()?;
                let path = peer.as_pathname().map(Arc::from);
                Ok((socket2::Socket::from(std::os::fd::OwnedFd::from(stream)), Endpoint::Unix(path)))
            }
        }
    }

    /// The server's end of an accepted connection.
    pub fn local_of(&self, socket: &Socket) -> Endpoint {
        match &self.local {
            Endpoint::Tcp(local) if local.ip().is_unspecified() => {
                let local = socket.local_addr().ok().and_then(|addr| addr.as_socket()).unwrap_or(*local);
                Endpoint::Tcp(local)
            }
            local => local.clone(),
        }
    }

    /// Makes [`accept`](Bound::accept) return in the thread that waits there. To be repeated until it has.
    pub fn wake(&self) {
        // On Linux this ends the wait at once. It would also end it for whoever else has the same socket.
        if !matches!(self.owned, Owned::Nothing) && cfg!(target_os = "linux") {
            let socket = match &self.socket {
                ListeningSocket::Tcp(listener) => socket2::SockRef::from(listener),
                #[cfg(unix)]
                ListeningSocket::Unix(listener) => socket2::SockRef::from(listener),
            };
            if socket.shutdown(std::net::Shutdown::Both).is_ok() {
                return;
            }
        }
        // Elsewhere a connection wakes it. That none can be made means that nothing waits.
        match &self.local {
            Endpoint::Tcp(local) => {
                let _ = TcpStream::connect_timeout(&reachable(*local), Duration::from_millis(100));
            }
            #[cfg(unix)]
            Endpoint::Unix(Some(path)) => {
                let _ = UnixStream::connect(path);
            }
            Endpoint::Unix(_) | Endpoint::Unknown => {}
        }
    }
}

#[cfg(unix)]
impl Drop for Bound {
    fn drop(&mut self) {
        if let (Owned::Path(identity), Endpoint::Unix(Some(at))) = (&self.owned, &self.local) {
            // Our socket is still open: nothing else can have its inode's number.
            path::remove(at, *identity);
        }
    }
}

/// Where a connection to a listener at `local` can be made from this machine.
pub(crate) fn reachable(mut local: SocketAddr) -> SocketAddr {
    match local.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => local.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => local.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    local
}
