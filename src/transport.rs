//! A socket whose reads and writes end at a deadline.

use std::fmt::{self, Debug, Formatter};
use std::io::{self, ErrorKind, Read, Write};
use std::mem::MaybeUninit;
use std::net::Shutdown;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use socket2::Socket;

/// The clear-text socket of a connection, with deadlines: what a [`TlsAcceptor`](crate::TlsAcceptor) reads and writes.
///
/// Its clones are the same socket with the same deadlines. A read or write past its deadline fails with
/// [`ErrorKind::TimedOut`]; none fails with [`ErrorKind::WouldBlock`].
#[derive(Clone)]
pub struct Transport {
    socket: Arc<Socket>,
    clock: Arc<Mutex<Clock>>,
}

/// The deadlines, and what the socket's own timeouts are set to now.
#[derive(Debug)]
struct Clock {
    read_deadline: Instant,
    write_deadline: Instant,
    read_timeout: Duration,
    write_timeout: Duration,
    // What was read too much, to be read again first.
    unread: Vec<u8>,
}

/// How late a read may notice its deadline: setting the socket's timeout exactly, before each read, would double the
/// system calls.
const SLACK: Duration = Duration::from_millis(20);

impl Transport {
    /// Sets the socket's timeouts, best to the shortest that is usual: then they rarely need to be set again.
    pub(crate) fn new(socket: Arc<Socket>, read_timeout: Duration, write_timeout: Duration) -> io::Result<Transport> {
        socket.set_read_timeout(Some(read_timeout))?;
        socket.set_write_timeout(Some(write_timeout))?;
        let now = Instant::now();
        let clock = Clock {
            read_deadline: now + read_timeout,
            write_deadline: now + write_timeout,
            read_timeout,
            write_timeout,
            unread: Vec::new(),
        };
        Ok(Transport { socket, clock: Arc::new(Mutex::new(clock)) })
    }

    /// Gives octets back that belong to whoever reads next.
    pub(crate) fn unread(&self, octets: &[u8]) {
        self.clock.lock().unread.extend_from_slice(octets);
    }

    /// Lowers the socket's timeout if it would let a read pass its deadline; gives what was unread, if anything was.
    fn arm_read(&self, buf: &mut [u8], woken: bool) -> io::Result<usize> {
        let mut clock = self.clock.lock();
        if !clock.unread.is_empty() {
            let n = clock.unread.len().min(buf.len());
            buf[..n].copy_from_slice(&clock.unread[..n]);
            clock.unread.drain(..n);
            return Ok(n);
        }
        let left = remaining(clock.read_deadline)?;
        // Once woken too early, by a timeout left over from a shorter deadline, it is raised as well: else this thread
        // would wake again and again.
        if clock.read_timeout > left + SLACK || (woken && left > clock.read_timeout + SLACK) {
            clock.read_timeout = left;
            self.socket.set_read_timeout(Some(left))?;
        }
        Ok(0)
    }

    fn arm_write(&self) -> io::Result<()> {
        let mut clock = self.clock.lock();
        let left = remaining(clock.write_deadline)?;
        if clock.write_timeout > left + SLACK {
            clock.write_timeout = left;
            self.socket.set_write_timeout(Some(left))?;
        }
        Ok(())
    }
}

impl Transport {
    pub(crate) fn set_read_deadline(&self, deadline: Instant) {
        self.clock.lock().read_deadline = deadline;
    }

    pub(crate) fn set_write_deadline(&self, deadline: Instant) {
        self.clock.lock().write_deadline = deadline;
    }

    /// Whether octets are there to be read. Does not wait.
    pub(crate) fn has_input(&self) -> io::Result<bool> {
        Ok(self.peek()?.is_some_and(|octets| octets > 0))
    }

    /// Whether nothing waits to be read: neither octets nor the end of the stream. Does not wait.
    pub(crate) fn is_quiet(&self) -> bool {
        matches!(self.peek(), Ok(None))
    }

    /// How many octets a read of one would bring now; none if it would wait.
    fn peek(&self) -> io::Result<Option<usize>> {
        if !self.clock.lock().unread.is_empty() {
            return Ok(Some(1));
        }
        self.socket.set_nonblocking(true)?;
        let peeked = self.socket.peek(&mut [MaybeUninit::uninit()]);
        self.socket.set_nonblocking(false)?;
        match peeked {
            Err(e) if e.kind() == ErrorKind::WouldBlock => Ok(None),
            peeked => peeked.map(Some),
        }
    }

    /// Whether the other end is on this machine.
    #[cfg(feature = "auth")]
    pub(crate) fn is_local(&self) -> bool {
        let peer = self.socket.peer_addr();
        peer.is_ok_and(|peer| peer.as_socket().is_none_or(|peer| peer.ip().to_canonical().is_loopback()))
    }

    /// Has the last clone, when it is dropped, throw away what was not sent and reset the connection.
    pub(crate) fn reset_at_close(&self) -> io::Result<()> {
        self.socket.set_linger(Some(Duration::ZERO))
    }

    /// Sends the end of the stream, or lets the end come behind what was received, or both.
    pub(crate) fn close(&self, how: Shutdown) -> io::Result<()> {
        self.socket.shutdown(how)
    }
}

impl Read for Transport {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let mut woken = false;
        loop {
            let unread = self.arm_read(buf, woken)?;
            if unread > 0 {
                return Ok(unread);
            }
            match (&*self.socket).read(buf) {
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) if is_timeout(&e) => woken = true,
                result => return result,
            }
        }
    }
}

impl Write for Transport {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        loop {
            self.arm_write()?;
            match (&*self.socket).write(buf) {
                Err(e) if e.kind() == ErrorKind::Interrupted || is_timeout(&e) => {}
                result => return result,
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Debug for Transport {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transport").finish_non_exhaustive()
    }
}

fn remaining(deadline: Instant) -> io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    // A timeout of less than a microsecond would count as none at all.
    if left < Duration::from_micros(1) { Err(ErrorKind::TimedOut.into()) } else { Ok(left) }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use socket2::{Domain, Type};

    #[test]
    fn input_is_seen_and_left_where_it_is() {
        let (own, mut other) = Socket::pair(Domain::UNIX, Type::STREAM, None).unwrap();
        let (own, minute) = (Arc::new(own), Duration::from_secs(60));
        let mut transport = Transport::new(own.clone(), minute, minute).unwrap();
        assert!(!transport.has_input().unwrap());
        other.write_all(b"ab").unwrap();
        assert!(transport.has_input().unwrap());
        // Or its reads would not wait any more.
        assert!(!own.nonblocking().unwrap());
        let mut octets = [0; 2];
        transport.read_exact(&mut octets).unwrap();
        transport.unread(&octets);
        assert!(transport.has_input().unwrap());
        transport.read_exact(&mut octets).unwrap();
        drop(other);
        assert!(!transport.has_input().unwrap());
        assert_eq!(&octets, b"ab");
    }
}
