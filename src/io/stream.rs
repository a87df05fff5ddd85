//! The byte stream under a connection: in clear, or within TLS.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::time::{Duration, Instant};

use crate::envelope::tls_info::TlsInfo;
use crate::io::tls::{TlsAcceptor, TlsStream};
use crate::io::transport::Transport;

/// What a connection runs over: a socket, or memory in a test.
///
/// Reads and writes end with `TimedOut` at their deadline, however the octets drip.
pub(crate) trait Stream: Read + Write {
    fn set_read_deadline(&mut self, deadline: Instant);
    fn set_write_deadline(&mut self, deadline: Instant);
    /// As [`set_read_deadline`](Stream::set_read_deadline), for who reads at once and knows what time it is.
    fn allow_read(&mut self, now: Instant, time: Duration);
    /// As [`set_write_deadline`](Stream::set_write_deadline), for who writes at once and knows what time it is.
    fn allow_write(&mut self, now: Instant, time: Duration);
    /// Sends the end of the stream; reading goes on.
    fn close_writing(&mut self) -> io::Result<()>;
    /// What was received so far can be read, then comes the end of the stream.
    fn close_reading(&mut self) -> io::Result<()>;
    /// Lets the connection end with a reset.
    fn reset_at_close(&mut self) -> io::Result<()>;
    /// Whether octets are there to be read, in TLS's buffer or below. Does not wait.
    fn has_input(&mut self) -> io::Result<bool>;
    /// Acknowledges what was read now.
    fn acknowledge(&mut self);
    /// Goes over to TLS.
    fn start_tls(&mut self, acceptor: &dyn TlsAcceptor) -> io::Result<TlsInfo>;
}

/// A connection's stream: in clear, or within TLS.
pub(crate) struct ConnectionStream {
    transport: Transport,
    tls: Option<Box<dyn TlsStream>>,
}

impl ConnectionStream {
    pub fn new(transport: Transport) -> ConnectionStream {
        ConnectionStream { transport, tls: None }
    }

    /// The socket, below TLS if there is any.
    pub fn transport(&self) -> &Transport {
        &self.transport
    }

    /// Goes over to TLS by the client's side of a handshake that was done on the transport.
    #[cfg(feature = "_tls")]
    pub fn set_tls(&mut self, tls: Box<dyn TlsStream>) {
        self.tls = Some(tls);
    }
}

impl Read for ConnectionStream {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match &mut self.tls {
            Some(tls) => tls.read(buf),
            None => self.transport.read(buf),
        }
    }
}

impl Write for ConnectionStream {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        match &mut self.tls {
            Some(tls) => tls.write(buf),
            None => self.transport.write(buf),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.tls {
            Some(tls) => tls.flush(),
            None => Ok(()),
        }
    }
}

impl Stream for ConnectionStream {
    fn set_read_deadline(&mut self, deadline: Instant) {
        self.transport.set_read_deadline(deadline);
    }

    fn set_write_deadline(&mut self, deadline: Instant) {
        self.transport.set_write_deadline(deadline);
    }

    fn allow_read(&mut self, now: Instant, time: Duration) {
        self.transport.allow_read(now, time);
    }

    fn allow_write(&mut self, now: Instant, time: Duration) {
        self.transport.allow_write(now, time);
    }

    fn close_writing(&mut self) -> io::Result<()> {
        if let Some(tls) = &mut self.tls {
            tls.close()?;
        }
        self.transport.close(Shutdown::Write)
    }

    fn close_reading(&mut self) -> io::Result<()> {
        self.transport.close(Shutdown::Read)
    }

    fn reset_at_close(&mut self) -> io::Result<()> {
        self.transport.reset_at_close()
    }

    fn has_input(&mut self) -> io::Result<bool> {
        Ok(self.tls.as_mut().is_some_and(|tls| tls.buffered_octets() > 0) || self.transport.has_input()?)
    }

    fn acknowledge(&mut self) {
        self.transport.acknowledge();
    }

    fn start_tls(&mut self, acceptor: &dyn TlsAcceptor) -> io::Result<TlsInfo> {
        let tls = acceptor.accept(self.transport.clone())?;
        let info = tls.info();
        self.tls = Some(tls);
        Ok(info)
    }
}

/// Ends a connection so that the last reply arrives: without reading what the client still sends, the close would
/// become a reset, and a reset throws away what was not yet read at the other end. A server in a `hurry` reads what has
/// come already and waits for nothing.
pub(crate) fn linger(stream: &mut impl Stream, hurry: bool) {
    const TIME: Duration = Duration::from_secs(1);
    const OCTETS: usize = 64 * 1024;
    let deadline = Instant::now() + TIME;
    stream.set_write_deadline(deadline);
    stream.set_read_deadline(deadline);
    if stream.close_writing().is_err() || (hurry && stream.close_reading().is_err()) {
        return;
    }
    let mut buf = [0; 2048];
    let mut dropped = 0;
    while dropped < OCTETS {
        match stream.read(&mut buf) {
            Ok(0) | Err(_) => return,
            Ok(n) => dropped += n,
        }
    }
}
