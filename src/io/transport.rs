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
pub struct Transport(Arc<Shared>);

/// What the clones have in common.
struct Shared {
    socket: Socket,
    clocks: Mutex<Clocks>,
}

struct Clocks {
    read: Clock,
    write: Clock,
    // What was read too much, to be read again first.
    unread: Vec<u8>,
}

/// The deadline for one direction, and what the socket's own timeout is set to now.
struct Clock {
    deadline: Instant,
    timeout: Duration,
    // What is left, if that was told just now: to ask for the time costs about as much as all else here.
    left: Option<Duration>,
}

/// How late a read may notice its deadline: setting the socket's timeout exactly, before each read, would double the
/// system calls.
const SLACK: Duration = Duration::from_millis(20);

impl Clock {
    fn new(now: Instant, timeout: Duration) -> Clock {
        Clock { deadline: now + timeout, timeout, left: None }
    }

    fn set(&mut self, deadline: Instant) {
        (self.deadline, self.left) = (deadline, None);
    }

    fn start(&mut self, now: Instant, time: Duration) {
        (self.deadline, self.left) = (now + time, Some(time));
    }

    /// What is left up to the deadline.
    fn left(&mut self) -> io::Result<Duration> {
        let left = match self.left.take() {
            Some(left) => left,
            None => self.deadline.saturating_duration_since(Instant::now()),
        };
        // A timeout of less than a microsecond would count as none at all.
        if left < Duration::from_micros(1) { Err(ErrorKind::TimedOut.into()) } else { Ok(left) }
    }

    /// What the socket's timeout has to be lowered to, if it would let a read or write pass its deadline. Once `woken` too
    /// early, by a timeout left over from a shorter deadline, it is raised as well: else this thread would wake again and
    /// again.
    fn change(&mut self, woken: bool) -> io::Result<Option<Duration>> {
        let left = self.left()?;
        if self.timeout > left + SLACK || (woken && left > self.timeout + SLACK) {
            self.timeout = left;
            return Ok(Some(left));
        }
        Ok(None)
    }
}

impl Transport {
    /// Sets the socket's timeout for reads, best to the shortest that is usual: then it rarely needs to be set again. That for
    /// writes is set when one waits.
    pub(crate) fn new(socket: Socket, read_timeout: Duration, write_timeout: Duration) -> io::Result<Transport> {
        socket.set_read_timeout(Some(read_timeout))?;
        let now = Instant::now();
        let read = Clock::new(now, read_timeout);
        let write = Clock { timeout: Duration::MAX, ..Clock::new(now, write_timeout) };
        let clocks = Mutex::new(Clocks { read, write, unread: Vec::new() });
        Ok(Transport(Arc::new(Shared { socket, clocks })))
    }

    /// Gives octets back that belong to whoever reads next.
    pub(crate) fn unread(&self, octets: &[u8]) {
        self.0.clocks.lock().unread.extend_from_slice(octets);
    }

    /// Lowers the socket's timeout if it would let a read pass its deadline; gives what was unread, if anything was.
    fn arm_read(&self, buf: &mut [u8], woken: bool) -> io::Result<usize> {
        let mut clocks = self.0.clocks.lock();
        let Clocks { read, unread, .. } = &mut *clocks;
        if !unread.is_empty() {
            let n = unread.len().min(buf.len());
            buf[..n].copy_from_slice(&unread[..n]);
            unread.drain(..n);
            return Ok(n);
        }
        if let Some(left) = read.change(woken)? {
            self.0.socket.set_read_timeout(Some(left))?;
        }
        Ok(0)
    }

    /// Writes what the socket has room for, if it has any. That needs no timeout: most connections never have it set.
    fn write_at_once(&self, buf: &[u8]) -> io::Result<Option<usize>> {
        // The same on all of Linux's architectures.
        const MSG_DONTWAIT: i32 = 0x40;
        if !cfg!(target_os = "linux") {
            return Ok(None);
        }
        self.0.clocks.lock().write.left()?;
        match self.0.socket.send_with_flags(buf, MSG_DONTWAIT) {
            Err(e) if e.kind() == ErrorKind::Interrupted || is_timeout(&e) => Ok(None),
            written => written.map(Some),
        }
    }

    fn arm_write(&self) -> io::Result<()> {
        if let Some(left) = self.0.clocks.lock().write.change(false)? {
            self.0.socket.set_write_timeout(Some(left))?;
        }
        Ok(())
    }
}

impl Transport {
    pub(crate) fn set_read_deadline(&self, deadline: Instant) {
        self.0.clocks.lock().read.set(deadline);
    }

    pub(crate) fn set_write_deadline(&self, deadline: Instant) {
        self.0.clocks.lock().write.set(deadline);
    }

    /// As [`set_read_deadline`](Transport::set_read_deadline), for who reads at once and knows what time it is.
    pub(crate) fn allow_read(&self, now: Instant, time: Duration) {
        self.0.clocks.lock().read.start(now, time);
    }

    /// As [`set_write_deadline`](Transport::set_write_deadline), for who writes at once and knows what time it is.
    pub(crate) fn allow_write(&self, now: Instant, time: Duration) {
        self.0.clocks.lock().write.start(now, time);
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
        if !self.0.clocks.lock().unread.is_empty() {
            return Ok(Some(1));
        }
        self.0.socket.set_nonblocking(true)?;
        let peeked = self.0.socket.peek(&mut [MaybeUninit::uninit()]);
        self.0.socket.set_nonblocking(false)?;
        match peeked {
            Err(e) if e.kind() == ErrorKind::WouldBlock => Ok(None),
            peeked => peeked.map(Some),
        }
    }

    /// Has what was read acknowledged now, and what comes next as soon as it is read, if the system sees fit: by default an
    /// acknowledgement waits some 40 ms for a reply that could carry it. Only where the system can do that.
    pub(crate) fn acknowledge(&self) {
        // It is about speed alone, and a Unix socket has nothing to acknowledge.
        #[cfg(any(target_os = "android", target_os = "linux"))]
        let _ = self.0.socket.set_tcp_quickack(true);
    }

    /// Whether the other end is on this machine.
    #[cfg(feature = "auth")]
    pub(crate) fn is_local(&self) -> bool {
        let peer = self.0.socket.peer_addr();
        peer.is_ok_and(|peer| peer.as_socket().is_none_or(|peer| peer.ip().to_canonical().is_loopback()))
    }

    /// Has the last clone, when it is dropped, throw away what was not sent and reset the connection.
    pub(crate) fn reset_at_close(&self) -> io::Result<()> {
        self.0.socket.set_linger(Some(Duration::ZERO))
    }

    /// Sends the end of the stream, or lets the end come behind what was received, or both.
    pub(crate) fn close(&self, how: Shutdown) -> io::Result<()> {
        self.0.socket.shutdown(how)
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
            match (&self.0.socket).read(buf) {
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) if is_timeout(&e) => woken = true,
                result => return result,
            }
        }
    }
}

impl Write for Transport {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        if let Some(written) = self.write_at_once(buf)? {
            return Ok(written);
        }
        loop {
            self.arm_write()?;
            match (&self.0.socket).write(buf) {
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
        let minute = Duration::from_secs(60);
        let mut transport = Transport::new(own, minute, minute).unwrap();
        assert!(!transport.has_input().unwrap());
        other.write_all(b"ab").unwrap();
        assert!(transport.has_input().unwrap());
        // Or its reads would not wait any more.
        assert!(!transport.0.socket.nonblocking().unwrap());
        let mut octets = [0; 2];
        transport.read_exact(&mut octets).unwrap();
        transport.unread(&octets);
        assert!(transport.has_input().unwrap());
        transport.read_exact(&mut octets).unwrap();
        drop(other);
        assert!(!transport.has_input().unwrap());
        assert_eq!(&octets, b"ab");
    }

    /// The system says what it will do with the next octets.
    #[cfg(target_os = "linux")]
    #[test]
    fn acknowledgements_need_not_wait() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let _client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let socket = Socket::from(listener.accept().unwrap().0);
        socket.set_tcp_quickack(false).unwrap();
        let minute = Duration::from_secs(60);
        let transport = Transport::new(socket, minute, minute).unwrap();
        transport.acknowledge();
        assert!(transport.0.socket.tcp_quickack().unwrap());
    }

    #[test]
    fn reads_end_at_their_deadline_however_it_was_told() {
        let (own, _other) = Socket::pair(Domain::UNIX, Type::STREAM, None).unwrap();
        let (short, minute) = (Duration::from_millis(30), Duration::from_secs(60));
        let mut transport = Transport::new(own, minute, minute).unwrap();
        for is_known in [true, false] {
            let now = Instant::now();
            match is_known {
                true => transport.allow_read(now, short),
                false => transport.set_read_deadline(now + short),
            }
            assert_eq!(transport.read(&mut [0]).unwrap_err().kind(), ErrorKind::TimedOut);
            assert!((short..minute).contains(&now.elapsed()));
            // It is over, until another is set.
            assert_eq!(transport.read(&mut [0]).unwrap_err().kind(), ErrorKind::TimedOut);
        }
        transport.allow_write(Instant::now(), Duration::ZERO);
        assert_eq!(transport.write(b"x").unwrap_err().kind(), ErrorKind::TimedOut);
        transport.allow_write(Instant::now(), minute);
        assert_eq!(transport.write(b"x").unwrap(), 1);
    }

    #[test]
    fn writes_that_wait_end_at_their_deadline() {
        let (own, mut other) = Socket::pair(Domain::UNIX, Type::STREAM, None).unwrap();
        let (short, minute) = (Duration::from_millis(30), Duration::from_secs(60));
        let mut transport = Transport::new(own, minute, minute).unwrap();
        let mut written = 0;
        for _ in 0..2 {
            let now = Instant::now();
            transport.allow_write(now, short);
            let failed = loop {
                match transport.write(&[0; 64 * 1024]) {
                    Ok(octets) => written += octets,
                    Err(e) => break e,
                }
            };
            assert_eq!(failed.kind(), ErrorKind::TimedOut);
            assert!((short..minute).contains(&now.elapsed()));
        }
        // With a longer deadline it waits for room again.
        transport.allow_write(Instant::now(), minute);
        std::thread::scope(|scope| {
            scope.spawn(|| other.read_exact(&mut vec![0; written]).unwrap());
            transport.write_all(&[0; 64 * 1024]).unwrap();
        });
    }
}
