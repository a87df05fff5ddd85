//! What a client asks for: RFC 9112, as far as a small server needs it.

use std::io;

use super::response::Response;
use crate::digits::is_digits;

/// In octets, of a request line with its fields.
pub const MAX_HEAD: usize = 16 * 1024;

/// How many fields a request may have.
const MAX_FIELDS: usize = 64;

/// In octets.
pub const MAX_BODY: usize = 64 * 1024;

pub struct Request {
    pub method: String,
    /// As it was sent: nothing is decoded.
    pub path: String,
    pub query: String,
    fields: Vec<(String, Vec<u8>)>,
    pub body: Vec<u8>,
    /// Whether the connection ends with its answer.
    pub is_last: bool,
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

    fn read(parsed: &httparse::Request<'_, '_>) -> Result<Request, Ended> {
        let target = parsed.path.unwrap_or_default();
        let (authority, target) = match target.split_at_checked("http://".len()) {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http://") => {
                let (authority, target) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
                (Some(authority), target)
            }
            _ => (None, target),
        };
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let path = if path.is_empty() && authority.is_some() { "/" } else { path };
        if !path.starts_with('/') {
            return Err(bad(400, "a request's target must be a path"));
        }
        // What an absolute target names counts, whatever the field says: RFC 9112 section 3.2.2.
        let fields = parsed.headers.iter().map(|field| {
            let value = match authority {
                Some(authority) if field.name.eq_ignore_ascii_case("Host") => authority.as_bytes(),
                _ => field.value,
            };
            (field.name.to_owned(), value.to_vec())
        });
        Ok(Request {
            method: parsed.method.unwrap_or_default().to_owned(),
            path: path.to_owned(),
            query: query.to_owned(),
            fields: fields.collect(),
            body: Vec::new(),
            is_last: parsed.version != Some(1),
        })
    }

    /// Whether the client wants no further request on the connection.
    fn closes(&self) -> Result<bool, Ended> {
        let options = self.field("Connection").map_err(Ended::With)?.unwrap_or_default();
        Ok(options.split(',').any(|option| option.trim().eq_ignore_ascii_case("close")))
    }

    /// Where the body ends: RFC 9112 section 6.3. Until the field Connection is read, only HTTP/1.0 makes a request the last.
    fn extent(&self) -> Result<Extent, Ended> {
        let field = |name| self.field(name).map_err(Ended::With);
        match (field("Transfer-Encoding")?, field("Content-Length")?) {
            (None, None) => Ok(Extent::Octets(0)),
            (None, Some(digits)) => content_length(digits).map(Extent::Octets),
            // With both, or from HTTP/1.0, what is in front of us may have seen another end: RFC 9112 section 6.1.
            (Some(_), length) if length.is_some() || self.is_last => {
                Err(bad(400, "Transfer-Encoding must stand alone, in HTTP/1.1"))
            }
            (Some(coding), _) if coding.eq_ignore_ascii_case("chunked") => Ok(Extent::Chunked),
            (Some(_), _) => Err(bad(501, "the only Transfer-Encoding is chunked")),
        }
    }
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

pub fn bad(status: u16, problem: &str) -> Ended {
    Ended::With(Response::error(status, problem))
}

/// Where a body ends.
pub enum Extent {
    Octets(usize),
    Chunked,
}

/// A request whose head is complete, the length of its head, and where its body ends.
pub fn parse(octets: &[u8]) -> Result<Option<(Request, usize, Extent)>, Ended> {
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
    let mut request = Request::read(&parsed)?;
    let extent = request.extent()?;
    request.is_last |= request.closes()?;
    Ok(Some((request, head, extent)))
}

/// The value of the field Content-Length.
fn content_length(digits: &str) -> Result<usize, Ended> {
    if !is_digits(digits) {
        return Err(bad(400, "Content-Length must be a number"));
    }
    let length = digits.parse().ok().filter(|length| *length <= MAX_BODY);
    length.ok_or_else(|| bad(413, "the body is too long"))
}

/// The size that a chunk's line begins with, in digits to the base of sixteen; behind it there may be extensions.
pub fn chunk_size(line: &[u8]) -> Option<usize> {
    let digits = line.iter().position(|b| !b.is_ascii_hexdigit()).unwrap_or(line.len());
    let (digits, behind) = line.split_at(digits);
    let behind = behind.trim_ascii_start();
    let size = usize::from_str_radix(str::from_utf8(digits).ok()?, 16).ok()?;
    (behind.is_empty() || behind.starts_with(b";")).then_some(size)
}
