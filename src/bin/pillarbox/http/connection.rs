//! HTTP/1.1 on one connection: requests that are small and come in time, and answers that are read in time.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use serde_json::{Value, json};

use super::clients::ConnectionPermit;
use super::memory::Reserved;

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

/// In octets, of a request line with its fields.
const MAX_HEAD: usize = 16 * 1024;

/// How many fields a request may have.
const MAX_FIELDS: usize = 64;

/// In octets.
const MAX_BODY: usize = 64 * 1024;

/// Octets that are taken or sent at a time. An answer that has no more is most likely sent at once, whoever reads it.
const PIECE: usize = 64 * 1024;

pub struct Request {
    pub method: String,
    /// As it was sent: nothing is decoded.
    pub path: String,
    pub query: String,
    fields: Vec<(String, Vec<u8>)>,
    pub body: Vec<u8>,
    is_last: bool,
}

impl Request {
    /// The value of a field that came once.
    ///
    /// # Errors
    /// If it came more often, or is not text.
    pub fn field(&self, name: &str) -> Result<Option<&str>, Response> {
        let mut values =
            self.fields.iter().filter(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value);
        let Some(value) = values.next() else { return Ok(None) };
        match (str::from_utf8(value), values.next()) {
            (Ok(value), None) => Ok(Some(value.trim())),
            _ => Err(Response::error(400, format!("the field {name} must come once, as text"))),
        }
    }
}

pub struct Response {
    pub status: u16,
    pub fields: Vec<(&'static str, String)>,
    pub body: Body,
}

/// Octets that are not in memory as a whole.
pub trait Stored: Send + Sync {
    /// How many there are.
    fn octets(&self) -> u64;

    /// All of them, from the first.
    fn reader(&self) -> Box<dyn Read + '_>;
}

pub enum Body {
    None,
    Fixed(&'static str),
    /// With the room that they take.
    Octets(Vec<u8>, Option<Reserved>),
    /// What is stored elsewhere, read while it is sent.
    Stored(Arc<dyn Stored>),
}

impl Response {
    pub fn new(status: u16, kind: &str, body: Body) -> Response {
        Response { status, fields: vec![("Content-Type", kind.to_owned())], body }
    }

    pub fn empty(status: u16) -> Response {
        Response { status, fields: Vec::new(), body: Body::None }
    }

    pub fn json(value: &Value, room: Option<Reserved>) -> Response {
        Response::new(200, "application/json", Body::Octets(value.to_string().into_bytes(), room))
    }

    pub fn error(status: u16, problem: impl Into<String>) -> Response {
        let text = json!({ "error": problem.into() }).to_string();
        Response::new(status, "application/json", Body::Octets(text.into_bytes(), None))
    }

    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Response {
        self.fields.push((name, value.into()));
        self
    }
}

impl Body {
    fn len(&self) -> u64 {
        match self {
            Body::None => 0,
            Body::Fixed(text) => text.len() as u64,
            Body::Octets(octets, _) => octets.len() as u64,
            Body::Stored(stored) => stored.octets(),
        }
    }
}

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

/// Why there is no request.
pub enum Ended {
    /// The client has closed, was late, or cannot be understood any more.
    Quietly,
    /// And it is told why.
    With(Response),
}

impl From<io::Error> for Ended {
    fn from(_: io::Error) -> Ended {
        Ended::Quietly
    }
}

impl<'a> HttpConnection<'a> {
    pub fn new(permit: &'a ConnectionPermit) -> HttpConnection<'a> {
        HttpConnection { permit, stream: permit.stream(), unread: Vec::new(), is_slow: false, patience: STUCK }
    }

    /// Asks to wait for something on our side before there is an answer; false if too many do that, or read slowly.
    pub fn may_wait(&self) -> bool {
        self.permit.is_held()
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
        let mut head = format!("HTTP/1.1 {} {}\r\n", response.status, reason(response.status));
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
                self.write(head.as_bytes(), deadline)?;
                let mut content = stored.reader();
                let mut piece = vec![0; PIECE];
                loop {
                    match content.read(&mut piece)? {
                        0 => break,
                        read => self.write(&piece[..read], deadline)?,
                    }
                }
            }
        }
        Ok(goes_on)
    }

    /// Takes what a large answer needs while it is sent, before any of it is; or gives the answer that says there is none.
    fn admit(&mut self, mut response: Response) -> Response {
        if response.body.len() <= PIECE as u64 {
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

fn bad(status: u16, problem: &str) -> Ended {
    Ended::With(Response::error(status, problem))
}

/// Where a body ends.
enum Extent {
    Octets(usize),
    Chunked,
}

/// A request whose head is complete, the length of its head, and where its body ends.
fn parse(octets: &[u8]) -> Result<Option<(Request, usize, Extent)>, Ended> {
    let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let mut parsed = httparse::Request::new(&mut fields);
    let head = match parsed.parse(octets) {
        Ok(httparse::Status::Complete(head)) if head <= MAX_HEAD => head,
        Ok(httparse::Status::Complete(_)) | Err(httparse::Error::TooManyHeaders) => {
            return Err(bad(431, "the request's fields are too long"));
        }
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(_) => return Err(bad(400, "this is not HTTP/1.1")),
    };
    let target = parsed.path.unwrap_or_default();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    if !path.starts_with('/') {
        return Err(bad(400, "a request's target must be a path"));
    }
    let fields: Vec<_> = parsed.headers.iter().map(|field| (field.name.to_owned(), field.value.to_vec())).collect();
    let mut request = Request {
        method: parsed.method.unwrap_or_default().to_owned(),
        path: path.to_owned(),
        query: query.to_owned(),
        fields,
        body: Vec::new(),
        is_last: parsed.version != Some(1),
    };
    let field = |name| request.field(name).map_err(Ended::With);
    let extent = match (field("Transfer-Encoding")?, field("Content-Length")?) {
        (None, None) => Extent::Octets(0),
        (None, Some(digits)) if digits.is_empty() || digits.bytes().any(|b| !b.is_ascii_digit()) => {
            return Err(bad(400, "Content-Length must be a number"));
        }
        (None, Some(digits)) => {
            let length = digits.parse().ok().filter(|length| *length <= MAX_BODY);
            Extent::Octets(length.ok_or_else(|| bad(413, "the body is too long"))?)
        }
        // With both, or from HTTP/1.0, what is in front of us may have seen another end: RFC 9112 section 6.1.
        (Some(_), length) if length.is_some() || request.is_last => {
            return Err(bad(400, "Transfer-Encoding must stand alone, in HTTP/1.1"));
        }
        (Some(coding), _) if coding.eq_ignore_ascii_case("chunked") => Extent::Chunked,
        (Some(_), _) => return Err(bad(501, "the only Transfer-Encoding is chunked")),
    };
    let closes =
        field("Connection")?.is_some_and(|options| options.split(',').any(|o| o.trim().eq_ignore_ascii_case("close")));
    request.is_last |= closes;
    Ok(Some((request, head, extent)))
}

/// The size that a chunk's line begins with, in digits to the base of sixteen; behind it there may be extensions.
fn chunk_size(line: &[u8]) -> Option<usize> {
    let digits = line.iter().position(|b| !b.is_ascii_hexdigit()).unwrap_or(line.len());
    let (digits, behind) = line.split_at(digits);
    let behind = behind.trim_ascii_start();
    let size = usize::from_str_radix(str::from_utf8(digits).ok()?, 16).ok()?;
    (behind.is_empty() || behind.starts_with(b";")).then_some(size)
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        204 => "No Content",
        400 => "Bad Request",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        413 => "Content Too Large",
        421 => "Misdirected Request",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        _ => "Service Unavailable",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::clients::Clients;
    use std::net::TcpListener;

    const PATIENCE: Duration = Duration::from_secs(1);

    /// What becomes of an answer of so many octets, with a client that does this meanwhile.
    fn send(octets: usize, client: impl FnOnce(TcpStream) + Send) -> io::Result<bool> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let ours = TcpStream::connect(listener.local_addr()?)?;
        let clients = Arc::new(Clients::default());
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
