//! Replies and enhanced status codes: RFC 5321 section 4.2, RFC 2034, RFC 3463.

use std::borrow::Cow;
use std::fmt::{self, Display, Formatter};
use std::str::FromStr;
use std::sync::Arc;

use crate::syntax::number;
use crate::syntax::prefix::prefix;

mod common;
pub(crate) mod parser;
mod text;

pub use text::ReplyError;

/// The octets of a reply line, CRLF included, that no client can be asked to take more than: RFC 5321 4.5.3.1.5.
const MAX_LINE: usize = 512;

/// An enhanced mail system status code, such as `5.7.1` (RFC 3463).
///
/// ```
/// use pillarbox::Status;
///
/// let status: Status = "5.7.1".parse()?;
/// assert_eq!(status, Status::new(5, 7, 1));
/// assert_eq!(status.to_string(), "5.7.1");
/// # Ok::<(), pillarbox::StatusError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Status {
    class: u8,
    subject: u16,
    detail: u16,
}

impl Status {
    /// A status code of three numbers: class (2 success, 4 temporary failure, 5 permanent failure), subject and detail.
    ///
    /// The numbers are not checked; a [`Reply`] replaces a status that does not match its class.
    pub const fn new(class: u8, subject: u16, detail: u16) -> Status {
        Status { class, subject, detail }
    }

    /// 2, 4 or 5: success, persistent transient failure, permanent failure.
    pub const fn class(self) -> u8 {
        self.class
    }

    /// What the status is about: 1 addressing, 2 mailbox, 3 mail system, 4 network, 5 protocol, 6 content, 7 policy.
    pub const fn subject(self) -> u16 {
        self.subject
    }

    /// The exact condition within the subject.
    pub const fn detail(self) -> u16 {
        self.detail
    }
}

impl Display for Status {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.class, self.subject, self.detail)
    }
}

/// The text is not an enhanced status code: three numbers with dots in between, the first one 2, 4 or 5, the others of at
/// most three digits (RFC 3463 section 2).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StatusError(());

impl Display for StatusError {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("not an enhanced status code such as 5.7.1")
    }
}

impl std::error::Error for StatusError {}

impl FromStr for Status {
    type Err = StatusError;

    fn from_str(text: &str) -> Result<Status, StatusError> {
        let mut parts = text.splitn(3, '.').map(|digits| number::parse_short::<u16>(digits, 3));
        match (parts.next(), parts.next(), parts.next()) {
            (Some(Some(class @ (2 | 4 | 5))), Some(Some(subject)), Some(Some(detail))) => {
                Ok(Status::new(class as u8, subject, detail))
            }
            _ => Err(StatusError(())),
        }
    }
}

/// A reply of the server: a three-digit code, an enhanced status code and a text.
///
/// The text should be one short phrase. Whatever it contains, the reply on the wire is valid: a `\n` begins a further line
/// of a multi-line reply, lines over 512 octets are broken, and anything but printable ASCII becomes `?`, so that
/// text which quotes a client cannot forge a reply.
///
/// ```
/// use pillarbox::Reply;
///
/// let reply = Reply::new(550, "5.7.1", "relaying denied");
/// assert_eq!(reply.to_string(), "550 5.7.1 relaying denied");
/// assert!(reply.is_permanent());
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reply {
    code: u16,
    status: Option<Status>,
    text: Text,
}

/// The text of a reply.
#[derive(Clone, Debug)]
enum Text {
    Fixed(&'static str),
    Own(String),
    /// Its clones have it in common.
    Shared(Arc<str>),
}

impl Text {
    fn as_str(&self) -> &str {
        match self {
            Text::Fixed(text) => text,
            Text::Own(text) => text,
            Text::Shared(text) => text,
        }
    }
}

impl PartialEq for Text {
    fn eq(&self, other: &Text) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Text {}

impl From<Cow<'static, str>> for Text {
    fn from(text: Cow<'static, str>) -> Text {
        match text {
            Cow::Borrowed(text) => Text::Fixed(text),
            Cow::Owned(text) => Text::Own(text),
        }
    }
}

impl Reply {
    /// A reply of `code`, with the enhanced status code `status` ("5.7.1") and a text.
    ///
    /// An invalid status, or one of another class than the code's, is replaced by the class's general one (`5.0.0` for 550):
    /// RFC 2034 wants each reply to carry one and the two to agree. A code outside of 200 to 599, which no client would
    /// understand, makes a `451 4.3.0`.
    pub fn new(code: u16, status: &str, text: impl Into<Cow<'static, str>>) -> Reply {
        if !(200..=599).contains(&code) {
            return Reply::temporary(text);
        }
        let class = (code / 100) as u8;
        let status = match status.parse::<Status>() {
            _ if class == 3 => None,
            Ok(status) if status.class == class => Some(status),
            _ => Some(Status::new(class, 0, 0)),
        };
        Reply { code, status, text: text.into().into() }
    }

    /// A reply known at compile time.
    pub(crate) const fn fixed(code: u16, status: Status, text: &'static str) -> Reply {
        Reply { code, status: Some(status), text: Text::Fixed(text) }
    }

    /// A reply without an enhanced status code: the banner, HELO's and EHLO's, and 3xx (RFC 2034 section 4).
    pub(crate) fn bare(code: u16, text: Cow<'static, str>) -> Reply {
        Reply { code, status: None, text: text.into() }
    }

    /// `250 2.0.0 OK`: accepted. As the answer to a message it also has the envelope's id.
    pub const fn ok() -> Reply {
        Reply::fixed(250, Status::new(2, 0, 0), "OK")
    }

    /// `250 2.0.0` to a message that was accepted, with the name that it has here.
    pub(crate) fn accepted(name: &str) -> Reply {
        Reply { code: 250, status: Some(Status::new(2, 0, 0)), text: Text::Own(["OK ", name].concat()) }
    }

    /// `451 4.3.0` with a text: refused for now; the client will try again later.
    pub fn temporary(text: impl Into<Cow<'static, str>>) -> Reply {
        Reply { code: 451, status: Some(Status::new(4, 3, 0)), text: text.into().into() }
    }

    /// `554 5.0.0` with a text: refused for good; the client will not try again.
    pub fn permanent(text: impl Into<Cow<'static, str>>) -> Reply {
        Reply { code: 554, status: Some(Status::new(5, 0, 0)), text: text.into().into() }
    }

    /// The three-digit code.
    pub fn code(&self) -> u16 {
        self.code
    }

    /// The enhanced status code; a 3xx reply has none, and another server's may have none.
    pub fn status(&self) -> Option<Status> {
        self.status
    }

    /// The text, as given.
    pub fn text(&self) -> &str {
        self.text.as_str()
    }

    /// Whether this is a 2xx: done.
    pub fn is_positive(&self) -> bool {
        self.code / 100 == 2
    }

    /// Whether this is a 4xx: refused for now.
    pub fn is_transient(&self) -> bool {
        self.code / 100 == 4
    }

    /// Whether this is a 5xx: refused for good.
    pub fn is_permanent(&self) -> bool {
        self.code / 100 == 5
    }

    /// Whether the connection ends after this reply: 221 and 421.
    pub(crate) fn is_closing(&self) -> bool {
        matches!(self.code, 221 | 421)
    }

    /// The same reply, whose clones have its text in common: for a reply to many clients.
    pub(crate) fn shared(self) -> Reply {
        match self.text {
            Text::Own(text) => Reply { text: Text::Shared(text.into()), ..self },
            _ => self,
        }
    }

    /// The reply with no more of its text than so many octets.
    pub(crate) fn shortened(self, octets: usize) -> Reply {
        let text = self.text.as_str();
        match text.len() <= octets {
            true => self,
            false => Reply { text: Text::Own(prefix(text, octets).to_owned()), ..self },
        }
    }

    /// Another server's reply, to be said to a client of ours: word for word, but that it gets a status where it has none
    /// (RFC 2034 section 4), and that a 421, which speaks of the other connection, does not end this one.
    pub(crate) fn passed_on(self) -> Reply {
        let code = if self.code == 421 { 451 } else { self.code };
        let class = (code / 100) as u8;
        let status = self.status.or((class != 3).then_some(Status::new(class, 0, 0)));
        Reply { code, status, ..self }
    }

    /// This reply if it refuses, else a 451 in its place: where a program's answer can only be a refusal, a 2xx or 3xx
    /// would promise what does not happen.
    pub(crate) fn into_refusal(self) -> Reply {
        if self.is_transient() || self.is_permanent() {
            return self;
        }
        log::error!("a refusal must be 4xx or 5xx, not \"{self}\": 451 is sent instead");
        Reply::LOCAL_ERROR
    }

    /// This reply if a message can be answered with it (2xx, 4xx, 5xx), else a 451.
    pub(crate) fn into_final(self) -> Reply {
        if self.is_positive() { self } else { self.into_refusal() }
    }

    /// Appends the reply as it goes over the wire.
    pub(crate) fn render(&self, out: &mut Vec<u8>) {
        let mut prefix = Prefix::default();
        prefix.number(self.code % 1000);
        prefix.octet(b' ');
        if let Some(status) = self.status {
            prefix.number(u16::from(status.class % 10));
            prefix.octet(b'.');
            prefix.number(status.subject % 1000);
            prefix.octet(b'.');
            prefix.number(status.detail % 1000);
            prefix.octet(b' ');
        }
        let prefix = prefix.octets();
        let room = MAX_LINE - 2 - prefix.len();
        let mut rest = self.text.as_str().as_bytes();
        loop {
            let (line, next) = first_line(rest, room);
            let start = out.len();
            for part in [prefix, line, b"\r\n"] {
                out.extend_from_slice(part);
            }
            if !is_printable(line) {
                let line = out[start + prefix.len()..].iter_mut().take(line.len());
                line.filter(|octet| !is_printable(&[**octet])).for_each(|octet| *octet = b'?');
            }
            let Some(next) = next else { return };
            out[start + 3] = b'-';
            rest = next;
        }
    }
}

/// Whether all of a text is printable ASCII. Written without a branch, and in blocks, so that the compiler makes it look at
/// many octets at once.
fn is_printable(text: &[u8]) -> bool {
    let all = |octets: &[u8]| octets.iter().fold(true, |all, octet| all & (b' '..=b'~').contains(octet));
    let (blocks, rest) = text.as_chunks::<8>();
    blocks.iter().fold(all(rest), |whole, block| whole & all(block))
}

/// What each line of a reply begins with. Written by hand: `fmt` would take more time than all else that a reply does.
#[derive(Default)]
struct Prefix {
    // Three digits, a blank, the longest status and a blank.
    octets: [u8; 14],
    length: usize,
}

impl Prefix {
    fn octet(&mut self, octet: u8) {
        self.octets[self.length] = octet;
        self.length += 1;
    }

    /// A number of at most three digits.
    fn number(&mut self, number: u16) {
        if number >= 100 {
            self.octet(b'0' + (number / 100 % 10) as u8);
        }
        if number >= 10 {
            self.octet(b'0' + (number / 10 % 10) as u8);
        }
        self.octet(b'0' + (number % 10) as u8);
    }

    fn octets(&self) -> &[u8] {
        &self.octets[..self.length]
    }
}

/// The first line of a text, at most `room` octets of it, and what follows if anything does.
fn first_line(text: &[u8], room: usize) -> (&[u8], Option<&[u8]>) {
    match memchr::memchr(b'\n', &text[..text.len().min(room + 1)]) {
        Some(at) => {
            let line = &text[..at];
            (line.strip_suffix(b"\r").unwrap_or(line), Some(&text[at + 1..]))
        }
        None if text.len() > room => (&text[..room], Some(&text[room..])),
        None => (text, None),
    }
}

impl Display for Reply {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.code)?;
        if let Some(status) = self.status {
            write!(f, "{status} ")?;
        }
        Display::fmt(&crate::syntax::escaped::Escaped::new(self.text.as_str()), f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered(reply: &Reply) -> String {
        let mut out = Vec::new();
        reply.render(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn one_line() {
        assert_eq!(rendered(&Reply::ok()), "250 2.0.0 OK\r\n");
        assert_eq!(rendered(&Reply::bare(354, "go".into())), "354 go\r\n");
        assert_eq!(rendered(&Reply::new(550, "5.7.1", "")), "550 5.7.1 \r\n");
    }

    #[test]
    fn several_lines_each_carry_the_status() {
        let reply = Reply::new(214, "2.0.0", "one\ntwo\r\nthree");
        assert_eq!(rendered(&reply), "214-2.0.0 one\r\n214-2.0.0 two\r\n214 2.0.0 three\r\n");
    }

    #[test]
    fn long_lines_are_broken_at_512_octets() {
        for length in [400, 499, 500, 501, 502, 503, 1000, 5000] {
            let text = "x".repeat(length);
            let out = rendered(&Reply::new(250, "2.123.456", text));
            let mut octets = 0;
            for line in out.split_inclusive("\r\n") {
                assert!(line.len() <= MAX_LINE, "{} octets", line.len());
                octets += line.len() - "250 2.123.456 \r\n".len();
            }
            assert_eq!(octets, length);
        }
    }

    #[test]
    fn long_texts_take_linear_time() {
        for piece in ["x", "x\n", "\n", "\u{e9}"] {
            crate::testing::growth::expect_linear(piece, 10_000, |n| {
                drop(rendered(&Reply::new(250, "2.0.0", piece.repeat(n))))
            });
        }
    }

    #[test]
    fn nothing_but_printable_ascii_goes_out() {
        let reply = Reply::new(550, "5.1.1", "no \r250 ok\x1b\0\u{e9}");
        // Escape, NUL, and the two octets of an accented letter.
        assert_eq!(rendered(&reply), "550 5.1.1 no ?250 ok????\r\n");
    }

    #[test]
    fn clones_of_a_shared_text_are_one_text() {
        let reply = Reply::new(550, "5.1.1", "x".repeat(64 * 1024)).shared();
        let clones = vec![reply.clone(); 1000];
        assert!(clones.iter().all(|clone| std::ptr::eq(clone.text(), reply.text()) && *clone == reply));
        assert_eq!(Reply::new(250, "2.0.0", "gr\u{fc}n").shortened(3).text(), "gr");
        assert_eq!(Reply::ok().shared().shortened(2), Reply::ok());
    }

    #[test]
    fn code_and_status_agree() {
        assert_eq!(Reply::new(550, "4.7.1", "x").status(), Some(Status::new(5, 0, 0)));
        assert_eq!(Reply::new(450, "nonsense", "x").status(), Some(Status::new(4, 0, 0)));
        assert_eq!(Reply::new(354, "3.0.0", "x").status(), None);
        assert_eq!(Reply::new(99, "5.0.0", "x").code(), 451);
        assert_eq!(Reply::new(600, "5.0.0", "x").code(), 451);
    }

    #[test]
    fn a_refusal_never_says_yes() {
        assert_eq!(Reply::ok().into_refusal().code(), 451);
        assert_eq!(Reply::bare(354, "go".into()).into_final().code(), 451);
        assert_eq!(Reply::ok().into_final(), Reply::ok());
    }

    #[test]
    fn statuses_parse_strictly() {
        assert_eq!("5.7.1".parse(), Ok(Status::new(5, 7, 1)));
        assert_eq!("2.999.0".parse(), Ok(Status::new(2, 999, 0)));
        for bad in ["", "5", "5.7", "5.7.1.", "5.7.1.1", "3.0.0", "5.+7.1", "5.1000.0", "x.y.z", "5..1", " 5.7.1"] {
            assert_eq!(bad.parse::<Status>(), Err(StatusError(())), "{bad}");
        }
    }
}
