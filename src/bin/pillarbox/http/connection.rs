//! HTTP/1.1 on one connection: requests that are small and come in time, and answers that are read in time.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Shutdown, TcpStream};
use std::time::{Duration, Instant, SystemTime};

use super::clients::ConnectionPermit;
pub use super::request::{Ended, Request};
use super::request::{Extent, MAX_BODY, MAX_HEAD, bad, chunk_size, parse};
pub use super::response::{Body, Response};

/// How long a connection may wait for the first octet of a request.
const IDLE: Duration = Duration::from_secs(30);

/// How long a request may take from its first octet to its last.
const REQUEST: Duration = Duration::from_secs(10);

/// How long an answer may take, and the least octets in each second beyond.
const ANSWER: Duration = Duration::from_secs(20);
const SLOWEST: u64 = 32 * 1024;

/// How long a client may take no octet of its answer.
const STUCK: Duration = Duration::from_secs(10);

/// How long a client that is told why it is sent away has to stop sending.
const LINGER: Duration = Duration::from_secs(1);

/// How often it is looked whether a client that waits is still there.
const LOOK: Duration = Duration::from_secs(1);

/// Octets that are taken or sent at a time. An answer that has no more is most likely sent at once, whoever reads it.
const PIECE: usize = 64 * 1024;

/// One client.
pub struct HttpConnection<'a> {
    permit: &'a ConnectionPermit,
    stream: &'a TcpStream,
    // Read, and not part of a request yet.
    unread: Vec<u8>,
    // Whether the answer takes as long as the client does to read it.
    is_slow: bool,
    // How long no octet of an answer may be taken.
    patience: Duration,
}

impl<'a> HttpConnection<'a> {
    pub fn new(permit: &'a ConnectionPermit) -> HttpConnection<'a> {
        HttpConnection { permit, stream: permit.stream(), unread: Vec::new(), is_slow: false, patience: STUCK }
    }

    /// Asks to wait for something on our side before there is an answer; false if too many do that, or read slowly.
    pub fn may_wait(&self) -> bool {
        self.permit.is_held()
    }

    /// Where the client is; unspecified if it has gone.
    pub fn address(&self) -> IpAddr {
        self.stream.peer_addr().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |address| address.ip())
    }

    /// Waits until `look` finds something, which is asked again and again for as long as the client is there. It may take until
    /// the time that it is given.
    pub fn wait<T>(&self, deadline: Instant, mut look: impl FnMut(Instant) -> Option<T>) -> Option<T> {
        loop {
            if let Some(found) = look(deadline.min(Instant::now() + LOOK)) {
                return Some(found);
            }
            if Instant::now() >= deadline || !self.is_open() {
                return None;
            }
        }
    }

    /// The next request.
    pub fn request(&mut self) -> Result<Request, Ended> {
        self.is_slow = false;
        let mut deadline = Instant::now() + if self.unread.is_empty() { IDLE } else { REQUEST };
        let (mut request, head, extent) = loop {
            if let Some(parsed) = parse(&self.unread)? {
                break parsed;
            }
            if self.unread.len() > MAX_HEAD {
                return Err(Ended::With(Response::error(431, "the request's fields are too long")));
            }
            let was_idle = self.unread.is_empty();
            self.read(deadline)?;
            if was_idle {
                deadline = Instant::now() + REQUEST;
            }
        };
        self.unread.drain(..head);
        let has_body = !matches!(extent, Extent::Octets(0));
        if has_body && self.unread.is_empty() && request.field("Expect").is_ok_and(|expected| expected.is_some()) {
            self.write(b"HTTP/1.1 100 Continue\r\n\r\n", deadline)?;
        }
        request.body = match extent {
            Extent::Octets(length) => self.octets(length, deadline)?,
            Extent::Chunked => self.chunks(deadline)?,
        };
        Ok(request)
    }

    fn octets(&mut self, length: usize, deadline: Instant) -> Result<Vec<u8>, Ended> {
        while self.unread.len() < length {
            self.read(deadline)?;
        }
        Ok(self.unread.drain(..length).collect())
    }

    /// A body in chunks: RFC 9112 section 7.1. Extensions and trailers are passed over.
    fn chunks(&mut self, deadline: Instant) -> Result<Vec<u8>, Ended> {
        let mut body = Vec::new();
        loop {
            let length =
                chunk_size(&self.line(deadline)?).ok_or_else(|| bad(400, "a chunk must begin with its size"))?;
            if length == 0 {
                break;
            }
            if length > MAX_BODY - body.len() {
                return Err(bad(413, "the body is too long"));
            }
            body.append(&mut self.octets(length, deadline)?);
            if self.octets(2, deadline)? != b"\r\n" {
                return Err(bad(400, "a chunk must have the size that it says"));
            }
        }
        let mut trailers = 0;
        loop {
            match self.line(deadline)?.len() {
                0 => return Ok(body),
                length => trailers += length + 2,
            }
            if trailers > MAX_HEAD {
                return Err(bad(431, "the request's fields are too long"));
            }
        }
    }

    /// A line of a body in chunks, without its CRLF.
    fn line(&mut self, deadline: Instant) -> Result<Vec<u8>, Ended> {
        loop {
            if let Some(end) = memchr::memchr(b'\n', &self.unread) {
                let mut line = self.octets(end + 1, deadline)?;
                line.pop();
                if line.pop() != Some(b'\r') || line.contains(&b'\r') {
                    return Err(bad(400, "a line must end with CRLF"));
                }
                return Ok(line);
            }
            if self.unread.len() > MAX_HEAD {
                return Err(bad(431, "a line is too long"));
            }
            self.read(deadline)?;
        }
    }

    /// Sends the answer. Whether there may be another request.
    pub fn respond(&mut self, request: Option<&Request>, response: Response) -> io::Result<bool> {
        let is_head = request.is_some_and(|request| request.method == "HEAD");
        self.is_slow = false;
        let response = if is_head { response } else { self.admit(response) };
        let goes_on = request.is_some_and(|request| !request.is_last);
        let length = response.body.len();
        let deadline = Instant::now() + ANSWER + Duration::from_secs(length / SLOWEST);
        let mut head = format!("HTTP/1.1 {} {}\r\n", response.status, response.reason());
        head += &format!("Date: {}\r\n", httpdate::fmt_http_date(SystemTime::now()));
        for (name, value) in &response.fields {
            // Whatever a value was made of, it cannot begin another field.
            let value: String = value.chars().map(|c| if matches!(c, ' '..='~') { c } else { '_' }).collect();
            head += &format!("{name}: {value}\r\n");
        }
        if response.status != 204 {
            head += &format!("Content-Length: {length}\r\n");
        }
        head += if goes_on { "\r\n" } else { "Connection: close\r\n\r\n" };
        if is_head {
            self.write(head.as_bytes(), deadline)?;
            return Ok(goes_on);
        }
        match response.body {
            Body::None => self.write(head.as_bytes(), deadline)?,
            Body::Fixed(text) => self.write(&[head.as_bytes(), text.as_bytes()].concat(), deadline)?,
            Body::Octets(octets, _room) => {
                let first = octets.len().min(PIECE);
                self.write(&[head.as_bytes(), &octets[..first]].concat(), deadline)?;
                self.write(&octets[first..], deadline)?;
            }
            Body::Stored(stored) => {
                let mut content = stored.reader();
                let mut piece = vec![0; PIECE];
                let mut read = match content.read(&mut piece) {
                    Ok(read) => read,
                    // Before anything is promised.
                    Err(e) => {
                        let gone = Response::error(500, format!("it cannot be read any more: {e}"));
                        return self.respond(request, gone);
                    }
                };
                self.write(head.as_bytes(), deadline)?;
                while read > 0 {
                    self.write(&piece[..read], deadline)?;
                    read = content.read(&mut piece)?;
                }
            }
        }
        Ok(goes_on)
    }

    /// Takes what a large answer needs while it is sent, before any of it is; or gives the answer that says there is none.
    fn admit(&mut self, mut response: Response) -> Response {
        // One that has reserved no memory is no large one.
        if response.body.len() <= PIECE as u64 || matches!(response.body, Body::Octets(_, None)) {
            // Whatever it waited for is over.
            self.permit.is_answered();
            return response;
        }
        let has_room = match &mut response.body {
            Body::Octets(_, Some(room)) => room.may_be_sent(),
            _ => true,
        };
        self.is_slow = has_room && self.permit.is_slow();
        if self.is_slow {
            return response;
        }
        self.permit.is_answered();
        Response::error(503, "too many large answers at once")
    }

    /// Whether the client is still there.
    pub fn is_open(&self) -> bool {
        let there = self.stream.set_nonblocking(true).and_then(|()| self.stream.peek(&mut [0]));
        let is_blocking = self.stream.set_nonblocking(false).is_ok();
        is_blocking
            && match there {
                Ok(read) => read > 0,
                Err(e) => e.kind() == ErrorKind::WouldBlock,
            }
    }

    /// Closes so that what was sent is not lost, as it is if octets are left unread: that makes a reset of the close.
    pub fn close(mut self) {
        let deadline = Instant::now() + LINGER;
        if self.stream.shutdown(Shutdown::Write).is_ok() {
            while self.unread.len() < MAX_BODY && self.read(deadline).is_ok() {}
        }
    }

    fn read(&mut self, deadline: Instant) -> Result<(), Ended> {
        self.stream.set_read_timeout(Some(left(deadline)?))?;
        let mut piece = [0; 4096];
        match (&mut &*self.stream).read(&mut piece) {
            Ok(0) => Err(Ended::Quietly),
            Ok(read) => {
                self.unread.extend_from_slice(&piece[..read]);
                Ok(())
            }
            Err(e) if e.kind() == ErrorKind::Interrupted => Ok(()),
            Err(_) => Err(Ended::Quietly),
        }
    }

    /// Writes all. What the client's side does not take at once needs one of the places that there are for that.
    fn write(&mut self, octets: &[u8], deadline: Instant) -> io::Result<()> {
        let written = if self.is_slow { 0 } else { self.write_at_once(octets)? };
        let mut rest = &octets[written..];
        while !rest.is_empty() {
            if !self.is_slow && !self.permit.is_slow() {
                return Err(ErrorKind::WouldBlock.into());
            }
            self.is_slow = true;
            self.stream.set_write_timeout(Some(left(deadline)?.min(self.patience)))?;
            match (&mut &*self.stream).write(&rest[..rest.len().min(PIECE)]) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(written) => {
                    rest = &rest[written..];
                    self.permit.moved();
                }
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    /// Writes what needs no waiting, and says how much that was.
    fn write_at_once(&mut self, octets: &[u8]) -> io::Result<usize> {
        let mut written = 0;
        self.stream.set_nonblocking(true)?;
        let ended = loop {
            match (&mut &*self.stream).write(&octets[written..]) {
                Ok(0) => break Ok(()),
                Ok(more) => written += more,
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) if e.kind() == ErrorKind::WouldBlock => break Ok(()),
                Err(e) => break Err(e),
            }
        };
        self.stream.set_nonblocking(false)?;
        ended.map(|()| written)
    }
}

fn left(deadline: Instant) -> io::Result<Duration> {
    match deadline.saturating_duration_since(Instant::now()) {
        Duration::ZERO => Err(ErrorKind::TimedOut.into()),
        left => Ok(left),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::clients::Clients;
    use std::net::TcpListener;
    use std::sync::Arc;

    const PATIENCE: Duration = Duration::from_secs(1);

    /// What becomes of an answer of so many octets, with a client that does this meanwhile.
    fn send(octets: usize, client: impl FnOnce(TcpStream) + Send) -> io::Result<bool> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let ours = TcpStream::connect(listener.local_addr()?)?;
        let clients = Arc::new(Clients::new(0));
        let (stream, _) = listener.accept()?;
        socket2::SockRef::from(&stream).set_send_buffer_size(128 * 1024)?;
        let permit = clients.take(stream).map_err(|_| ErrorKind::Other)?;
        let mut connection = HttpConnection { patience: PATIENCE, ..HttpConnection::new(&permit) };
        std::thread::scope(|scope| {
            scope.spawn(move || client(ours));
            let sent = connection.respond(None, Response::new(200, "x/y", Body::Octets(vec![b'x'; octets], None)));
            let _ = permit.stream().shutdown(Shutdown::Both);
            sent
        })
    }

    #[test]
    fn who_takes_nothing_is_not_waited_for() {
        let mut open = None;
        let error = send(20_000_000, |ours| open = Some(ours)).expect_err("it does not read");
        assert!(matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{error:?}");
    }

    #[test]
    fn who_reads_slowly_gets_all() {
        let sent = send(3_000_000, |mut ours| {
            let (mut piece, mut total) = (vec![0; 60_000], 0);
            while total < 3_000_000 {
                total += ours.read(&mut piece).expect("all of it comes");
                std::thread::sleep(PATIENCE / 30);
            }
        });
        assert!(!sent.expect("each of its pauses is short"));
    }
}
