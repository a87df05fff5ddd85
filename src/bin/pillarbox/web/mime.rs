//! A message taken apart: its header and the parts of its body, up to limits that no message of good will comes near.
//!
//! What a field or a body says is for mail-parser to decode. The way through the parts is done here, since its own has no
//! limit: of a message with a million parts it makes a hundred times as many octets, and a stack that is not deep enough.

use std::borrow::Cow;

use mail_parser::ContentType;
use mail_parser::decoders::base64::base64_decode;
use mail_parser::decoders::charsets::map::charset_decoder;
use mail_parser::decoders::quoted_printable::quoted_printable_decode;

use super::header::{Header, decoded, line};

/// How many parts a message may have; what is behind them is left out.
const MAX_PARTS: usize = 500;

/// How deep multiparts may be within each other; what is deeper is one part.
const MAX_DEPTH: usize = 16;

/// In octets, of a part's type as it is shown, and of a boundary.
const MAX_TYPE: usize = 127;
const MAX_BOUNDARY: usize = 250;

/// In characters, of a file name.
const MAX_NAME: usize = 200;

const UNKNOWN_TYPE: &str = "application/octet-stream";

/// A message, taken apart.
pub struct Mime<'a> {
    pub header: Header<'a>,
    /// What is not made of parts itself, in order.
    pub parts: Vec<Part<'a>>,
}

/// A part without parts of its own.
pub struct Part<'a> {
    /// Such as `text/plain`: in lower case, and nothing but a valid type.
    pub kind: String,
    /// As the message says, without control characters and folders.
    pub name: Option<String>,
    /// The Content-ID, without its brackets.
    pub id: Option<String>,
    pub is_attachment: bool,
    pub is_inline: bool,
    charset: Option<String>,
    encoding: Encoding,
    body: &'a [u8],
}

#[derive(Clone, Copy)]
enum Encoding {
    Identity,
    Base64,
    QuotedPrintable,
}

impl<'a> Mime<'a> {
    pub fn parse(message: &'a [u8]) -> Mime<'a> {
        let (header, body) = Header::split(message);
        let mut parts = Vec::new();
        collect(&header, body, 0, "text/plain", &mut parts);
        Mime { header, parts }
    }

    /// What is meant to be read as the message's text.
    pub fn texts(&self) -> impl Iterator<Item = &Part<'a>> {
        self.parts.iter().filter(|part| part.is_body("text/plain"))
    }

    /// What is meant to be read as the message in HTML.
    pub fn html(&self) -> Option<&Part<'a>> {
        self.parts.iter().find(|part| part.is_body("text/html"))
    }

    /// All other parts.
    pub fn attachments(&self) -> impl Iterator<Item = &Part<'a>> {
        let html = self.html().map(std::ptr::from_ref);
        self.parts.iter().filter(move |part| !part.is_body("text/plain") && html != Some(std::ptr::from_ref(*part)))
    }
}

impl Part<'_> {
    fn is_body(&self, kind: &str) -> bool {
        self.kind == kind && !self.is_attachment && self.name.is_none()
    }

    /// Its octets; as they are, if they are not what their encoding demands.
    pub fn octets(&self) -> Cow<'_, [u8]> {
        self.encoding.undo(self.body)
    }

    /// Its text, of about as many octets of the body at most, and whether that is all.
    pub fn text(&self, limit: usize) -> (String, bool) {
        let octets = self.encoding.undo(&self.body[..self.body.len().min(limit)]);
        let decoder = self.charset.as_deref().and_then(|charset| match charset {
            // Who says so and sends something else most likely means UTF-8.
            "us-ascii" => None,
            charset => charset_decoder(charset.as_bytes()),
        });
        let text = match decoder {
            Some(decode) => decode(&octets),
            None => String::from_utf8_lossy(&octets).into_owned(),
        };
        (text, self.body.len() <= limit)
    }
}

impl Encoding {
    fn of(said: &str) -> Encoding {
        match said.split([' ', ';', '(']).find(|word| !word.is_empty()) {
            Some(word) if word.eq_ignore_ascii_case("base64") => Encoding::Base64,
            Some(word) if word.eq_ignore_ascii_case("quoted-printable") => Encoding::QuotedPrintable,
            _ => Encoding::Identity,
        }
    }

    fn undo(self, body: &[u8]) -> Cow<'_, [u8]> {
        let decoded = match self {
            Encoding::Identity => None,
            Encoding::Base64 => base64_decode(body),
            Encoding::QuotedPrintable => quoted_printable_decode(body),
        };
        decoded.map_or(Cow::Borrowed(body), Cow::Owned)
    }
}

/// Adds a part, or those that it has.
fn collect<'a>(header: &Header, body: &'a [u8], depth: usize, default: &str, parts: &mut Vec<Part<'a>>) {
    let content_type = header.parameters("Content-Type");
    let attribute = |of: &Option<ContentType>, name| of.as_ref().and_then(|of| of.attribute(name)).map(str::to_owned);
    let kind = content_type.as_ref().map_or_else(|| default.to_owned(), kind);
    let boundary = attribute(&content_type, "boundary").filter(|b| (1..=MAX_BOUNDARY).contains(&b.len()));
    if kind.starts_with("multipart/")
        && depth < MAX_DEPTH
        && let Some(boundary) = boundary
        && let inner = Pieces::of(body, boundary.as_bytes())
        && inner.begins()
    {
        let default = if kind == "multipart/digest" { "message/rfc822" } else { "text/plain" };
        for piece in inner {
            if parts.len() >= MAX_PARTS {
                return;
            }
            let (header, body) = Header::split(piece);
            collect(&header, body, depth + 1, default, parts);
        }
        return;
    }
    let disposition = header.parameters("Content-Disposition");
    let is = |what: &str| disposition.as_ref().is_some_and(|d| d.ctype().eq_ignore_ascii_case(what));
    let id = header.text("Content-ID");
    let id =
        id.map(|id| id.trim().trim_start_matches('<').trim_end_matches('>').to_owned()).filter(|id| !id.is_empty());
    let name = attribute(&disposition, "filename").or_else(|| attribute(&content_type, "name"));
    let (is_attachment, is_inline) = (is("attachment"), is("inline"));
    let is_text = kind.starts_with("text/");
    parts.push(Part {
        kind,
        name: name.and_then(|name| file_name(&name)),
        is_attachment,
        is_inline: is_inline || (!is_attachment && !is_text && id.is_some()),
        id,
        charset: attribute(&content_type, "charset").map(|charset| charset.to_ascii_lowercase()),
        encoding: header.text("Content-Transfer-Encoding").map_or(Encoding::Identity, |said| Encoding::of(&said)),
        body,
    });
}

fn kind(content_type: &ContentType) -> String {
    let kind = format!("{}/{}", content_type.ctype(), content_type.subtype().unwrap_or_default()).to_ascii_lowercase();
    let is_token =
        |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&b));
    match kind.split_once('/') {
        Some((one, other)) if kind.len() <= MAX_TYPE && is_token(one) && is_token(other) => kind,
        _ => UNKNOWN_TYPE.to_owned(),
    }
}

/// The last piece of a path, of what may stand in a name.
fn file_name(name: &str) -> Option<String> {
    // Encoded words do not belong here, and are found here all the same.
    let name = if name.contains("=?") { decoded(name.as_bytes()) } else { name.to_owned() };
    let last = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let name: String = last.chars().filter(|c| !c.is_control() && !is_invisible(*c)).take(MAX_NAME).collect();
    let name = name.trim().trim_start_matches('.');
    (!name.is_empty()).then(|| name.to_owned())
}

/// Characters that turn the direction of text or take no room: with them `exe.png` can be a program.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// What is between the delimiter lines of a multipart: RFC 2046 section 5.1.1.
struct Pieces<'a> {
    rest: Option<&'a [u8]>,
    delimiter: Vec<u8>,
}

impl<'a> Pieces<'a> {
    fn of(body: &'a [u8], boundary: &[u8]) -> Pieces<'a> {
        let mut pieces = Pieces { rest: Some(body), delimiter: [b"--", boundary].concat() };
        // The preamble is nobody's; without a delimiter all of it would be that.
        pieces.rest = pieces.cut(body).and_then(|(_, rest)| rest);
        pieces
    }

    fn begins(&self) -> bool {
        self.rest.is_some()
    }

    /// What is before the first delimiter line, and what is behind it unless it is the last.
    fn cut<'b>(&self, octets: &'b [u8]) -> Option<(&'b [u8], Option<&'b [u8]>)> {
        for at in memchr::memmem::find_iter(octets, &self.delimiter) {
            if at > 0 && octets[at - 1] != b'\n' {
                continue;
            }
            let behind = &octets[at + self.delimiter.len()..];
            let end = line(behind);
            let (is_last, blank) = match &behind[..end] {
                [b'-', b'-', blank @ ..] => (true, blank),
                blank => (false, blank),
            };
            if !blank.trim_ascii().is_empty() {
                continue;
            }
            let before = &octets[..at];
            let before = before.strip_suffix(b"\n").unwrap_or(before);
            let before = before.strip_suffix(b"\r").unwrap_or(before);
            return Some((before, (!is_last).then_some(&behind[end..])));
        }
        None
    }
}

impl<'a> Iterator for Pieces<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let octets = self.rest.take()?;
        // Without a delimiter at its end the rest is the last piece.
        let (piece, rest) = self.cut(octets).unwrap_or((octets, None));
        self.rest = rest;
        Some(piece)
    }
}
