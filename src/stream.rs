//! The byte stream under a connection, and deadlines on it.

use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::sync::Arc;
use std::time::{Duration, Instant};

use socket2::Socket;

/// What a connection runs over: a socket, or memory in a test.
pub(crate) trait Stream: Read + Write {
    /// Bounds a single read.
    fn set_read_timeout(&self, timeout: Duration) -> io::Result<()>;
    /// Bounds a single write.
    fn set_write_timeout(&self, timeout: Duration) -> io::Result<()>;
    /// Sends the end of the stream; reading goes on.
    fn close_writing(&self) -> io::Result<()>;
    /// What was received so far can be read, then comes the end of the stream.
    fn close_reading(&self) -> io::Result<()>;
}

/// A connected TCP or Unix socket. It is shared so that a shutdown can wake whoever reads from it.
#[derive(Clone, Debug)]
pub(crate) struct SharedSocket(pub Arc<Socket>);

impl Read for SharedSocket {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        (&*self.0).read(buf)
    }
}

impl Write for SharedSocket {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        (&*self.0).write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Stream for SharedSocket {
    fn set_read_timeout(&self, timeout: Duration) -> io::Result<()> {
        self.0.set_read_timeout(Some(timeout))
    }

    fn set_write_timeout(&self, timeout: Duration) -> io::Result<()> {
        self.0.set_write_timeout(Some(timeout))
    }

    fn close_writing(&self) -> io::Result<()> {
        self.0.shutdown(Shutdown::Write)
    }

    fn close_reading(&self) -> io::Result<()> {
        self.0.shutdown(Shutdown::Read)
    }
}

/// How late a read may notice its deadline: setting the socket's timeout exactly, before each read, would double the
/// system calls.
const SLACK: Duration = Duration::from_millis(20);

/// A stream whose reads and writes end by a deadline, however the octets drip.
#[derive(Debug)]
pub(crate) struct Timed<S> {
    stream: S,
    // What the socket's own timeouts are set to now.
    read_timeout: Duration,
    write_timeout: Duration,
}

impl<S: Stream> Timed<S> {
    /// Sets the socket's timeouts, best to the shortest that is usual: then they rarely need to be set again.
    pub fn new(stream: S, read_timeout: Duration, write_timeout: Duration) -> io::Result<Timed<S>> {
        stream.set_read_timeout(read_timeout)?;
        stream.set_write_timeout(write_timeout)?;
        Ok(Timed { stream, read_timeout, write_timeout })
    }

    /// Reads what there is, at least one octet but at the end of the stream.
    ///
    /// # Errors
    /// `TimedOut` past the deadline, and the stream's own.
    pub fn read_by(&mut self, buf: &mut [u8], deadline: Instant) -> io::Result<usize> {
        loop {
            let left = remaining(deadline)?;
            if self.read_timeout > left + SLACK {
                self.read_timeout = left;
                self.stream.set_read_timeout(left)?;
            }
            match self.stream.read(buf) {
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) if is_timeout(&e) => {
                    // A timeout left over from an earlier, shorter deadline would only wake this thread again and again.
                    let left = remaining(deadline)?;
                    if left > self.read_timeout + SLACK {
                        self.read_timeout = left;
                        self.stream.set_read_timeout(left)?;
                    }
                }
                result => return result,
            }
        }
    }

    /// Writes everything.
    ///
    /// # Errors
    /// `TimedOut` past the deadline, and the stream's own.
    pub fn write_all_by(&mut self, mut bytes: &[u8], deadline: Instant) -> io::Result<()> {
        while !bytes.is_empty() {
            let left = remaining(deadline)?;
            if self.write_timeout > left + SLACK {
                self.write_timeout = left;
                self.stream.set_write_timeout(left)?;
            }
            match self.stream.write(bytes) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(n) => bytes = &bytes[n..],
                Err(e) if e.kind() == ErrorKind::Interrupted || is_timeout(&e) => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    /// Ends the connection so that the last reply arrives: without reading what the client still sends, the close would
    /// become a reset, and a reset throws away what was not yet read at the other end. A server in a `hurry` reads what
    /// has come already and waits for nothing.
    pub fn linger(&mut self, hurry: bool) {
        const TIME: Duration = Duration::from_secs(1);
        const OCTETS: usize = 64 * 1024;
        if self.stream.close_writing().is_err() || (hurry && self.stream.close_reading().is_err()) {
            return;
        }
        let deadline = Instant::now() + TIME;
        let mut buf = [0; 2048];
        let mut dropped = 0;
        while dropped < OCTETS {
            match self.read_by(&mut buf, deadline) {
                Ok(0) | Err(_) => return,
                Ok(n) => dropped += n,
            }
        }
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
