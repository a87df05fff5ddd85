//! Which parts a message has, and where: RFC 2046 section 5.1, in one pass, without recursion.

use std::io::{self, Read};

use super::header::{Field, Header};
use super::limits::{Bounds, Cut, MAX_BOUNDARY, MAX_ID, MAX_NAME};
use super::lines::{Lines, Piece};
use super::parameters::Parametrized;
use super::transfer::Encoding;
use super::words;

/// A message's header, and its parts in their order, each before those that are in it.
#[derive(Debug)]
pub(super) struct Index {
    pub fields: Vec<Field>,
    pub parts: Vec<Entry>,
}

/// A part.
#[derive(Debug)]
pub(super) struct Entry {
    /// The multipart that it is in.
    pub parent: Option<usize>,
    pub depth: usize,
    /// In lower case.
    pub kind: String,
    pub name: Option<String>,
    pub id: Option<String>,
    pub disposition: Option<String>,
    pub charset: Option<String>,
    pub encoding: Encoding,
    /// Where the body begins and ends.
    pub begin: u64,
    pub end: u64,
    /// Whether parts of it are parts of the message.
    pub is_multipart: bool,
    /// Whether it is to be read, and no attachment.
    pub is_body: bool,
    // Of multipart/related, which part is the root: RFC 2387.
    root: Option<String>,
    root_kind: Option<String>,
}

/// A multipart whose end has not come.
struct Open {
    part: usize,
    boundary: Vec<u8>,
    is_digest: bool,
}

impl Index {
    /// Reads a message of `len` octets.
    pub fn read(message: impl Read, len: u64, bounds: &mut Bounds<'_>) -> io::Result<Index> {
        let mut reader =
            Reader { index: Index { fields: Vec::new(), parts: Vec::new() }, open: Vec::new(), leaf: None };
        let mut lines = Lines::new(message, len)?;
        let mut header = Some(Header::of_message());
        // The octets of the line end before, which belong to a delimiter.
        let mut before = 0;
        while let Some(piece) = lines.next()? {
            if let Some(mut reading) = header.take() {
                let is_end = piece.begins && piece.octets.is_empty();
                let is_field = !is_end
                    && if piece.begins {
                        reading.line(piece.octets, bounds)
                    } else {
                        reading.more(piece.octets, bounds);
                        true
                    };
                if is_field {
                    header = Some(reading);
                    continue;
                }
                reader.begin(reading, if is_end { piece.next() } else { piece.at }, bounds);
                if is_end {
                    before = piece.end;
                    continue;
                }
            }
            if reader.open.is_empty() {
                break;
            }
            if piece.begins && piece.octets.starts_with(b"--") {
                header = reader.delimiter(&piece, before);
                if reader.index.parts.len() >= bounds.limits.parts && header.take().is_some() {
                    bounds.cut(Cut::Parts);
                    reader.end(piece.at);
                    break;
                }
            }
            before = piece.end;
        }
        if let Some(header) = header {
            reader.begin(header, len, bounds);
        }
        reader.end(len);
        let mut index = reader.index;
        index.classify();
        Ok(index)
    }

    /// What is body, and what is attachment.
    fn classify(&mut self) {
        let mut roots: Vec<Option<(usize, u8)>> = vec![None; self.parts.len()];
        for (at, part) in self.parts.iter().enumerate() {
            let Some(parent) = part.parent.filter(|parent| self.parts[*parent].kind == "multipart/related") else {
                continue;
            };
            let related = &self.parts[parent];
            let fitness = if part.id.is_some() && part.id == related.root {
                3
            } else if related.root_kind.as_ref() == Some(&part.kind) {
                2
            } else {
                u8::from(part.kind.starts_with("text/") || part.is_multipart)
            };
            if roots[parent].is_none_or(|(_, best)| fitness > best) {
                roots[parent] = Some((at, fitness));
            }
        }
        for at in 0..self.parts.len() {
            let part = &self.parts[at];
            let is_attachment = part.disposition.as_ref().is_some_and(|disposition| disposition != "inline");
            let is_root = part.parent.and_then(|parent| roots[parent]).is_none_or(|(root, _)| root == at);
            self.parts[at].is_body = !part.is_multipart
                && matches!(part.kind.as_str(), "text/plain" | "text/html")
                && !is_attachment
                && is_root;
        }
    }
}

struct Reader {
    index: Index,
    // The outermost first.
    open: Vec<Open>,
    // The part without parts whose end has not come.
    leaf: Option<usize>,
}

impl Reader {
    /// A header is complete: a part begins.
    fn begin(&mut self, header: Header, begin: u64, bounds: &mut Bounds<'_>) {
        let fields = header.into_fields();
        let at = self.index.parts.len();
        let parent = self.open.last();
        let default = if parent.is_some_and(|parent| parent.is_digest) { "message/rfc822" } else { "text/plain" };
        let (mut entry, boundary) = Entry::new(&fields, default, bounds);
        entry.parent = parent.map(|parent| parent.part);
        entry.depth = self.open.len();
        (entry.begin, entry.end) = (begin, begin);
        if at == 0 {
            self.index.fields = fields;
        }
        self.leaf = Some(at);
        if let Some(boundary) = boundary {
            if self.open.len() >= bounds.limits.depth {
                bounds.cut(Cut::Depth);
            } else {
                entry.is_multipart = true;
                let is_digest = entry.kind == "multipart/digest";
                self.open.push(Open { part: at, boundary, is_digest });
                self.leaf = None;
            }
        }
        self.index.parts.push(entry);
    }

    /// A line that may be a delimiter; the header of the part that begins with it.
    fn delimiter(&mut self, line: &Piece<'_>, before: u64) -> Option<Header> {
        let (at, is_last) = self.open.iter().enumerate().rev().find_map(|(at, open)| {
            let is_last = ends_with(line.octets.strip_prefix(b"--")?.strip_prefix(&open.boundary[..])?)?;
            Some((at, is_last))
        })?;
        let end = line.at.saturating_sub(before);
        self.end_those_from(at + 1, end);
        if is_last {
            self.end_those_from(at, line.next());
            None
        } else {
            Some(Header::of_part())
        }
    }

    /// Ends multiparts, and what is in them.
    fn end_those_from(&mut self, first: usize, at: u64) {
        let parts = &mut self.index.parts;
        for part in self.leaf.take().into_iter().chain(self.open.drain(first..).map(|open| open.part)) {
            parts[part].end = at.max(parts[part].begin);
        }
    }

    fn end(&mut self, at: u64) {
        self.end_those_from(0, at);
        // Where no delimiter has come, all of it is text.
        let mut has_parts = vec![false; self.index.parts.len()];
        self.index.parts.iter().filter_map(|part| part.parent).for_each(|parent| has_parts[parent] = true);
        for (part, has_parts) in self.index.parts.iter_mut().zip(has_parts) {
            if part.is_multipart && !has_parts {
                part.is_multipart = false;
                "text/plain".clone_into(&mut part.kind);
            }
        }
    }
}

/// What follows a boundary in its line: whether it is the last, or none if it is no delimiter.
fn ends_with(rest: &[u8]) -> Option<bool> {
    let is_blank = |octets: &[u8]| octets.iter().all(u8::is_ascii_whitespace);
    match rest.strip_prefix(b"--") {
        _ if is_blank(rest) => Some(false),
        Some(rest) if is_blank(rest) => Some(true),
        _ => None,
    }
}

impl Entry {
    /// Where it is in the octets of which the message begins at `at`.
    pub fn moved(mut self, at: u64) -> Entry {
        self.begin += at;
        self.end += at;
        self
    }

    /// By the header, and the boundary of the parts in it.
    fn new(fields: &[Field], default: &str, bounds: &mut Bounds<'_>) -> (Entry, Option<Vec<u8>>) {
        let field = |name: &str| fields.iter().find(|field| field.is(name)).map(|field| &field.value[..]);
        let said = field("Content-Type");
        let content_type = said.and_then(|said| Parametrized::media_type(said, bounds));
        let disposition = field("Content-Disposition").and_then(|said| Parametrized::disposition(said, bounds));
        let mut text = |of: &Option<Parametrized>, name| of.as_ref().and_then(|of| of.text(name, bounds));
        let name = text(&disposition, "filename").or_else(|| text(&content_type, "name"));
        let name = name.and_then(|name| file_name(&name, bounds));
        let word = |name| content_type.as_ref().and_then(|of| of.word(name));
        let kind = match (&content_type, said) {
            (Some(parsed), _) => parsed.value.clone(),
            (None, Some(_)) => "text/plain".to_owned(),
            (None, None) => default.to_owned(),
        };
        let is_multipart = kind.starts_with("multipart/");
        let boundary = content_type.as_ref().filter(|_| is_multipart).and_then(|of| of.raw("boundary"));
        let is_long = boundary.as_ref().is_some_and(|boundary| boundary.len() > MAX_BOUNDARY);
        if is_long {
            bounds.cut(Cut::Boundary);
        }
        let encoding = field("Content-Transfer-Encoding").map_or(Encoding::Identity, Encoding::of);
        let boundary = boundary.filter(|boundary| !is_long && !boundary.is_empty());
        let part = Entry {
            parent: None,
            depth: 0,
            name,
            id: field("Content-ID").and_then(|id| content_id(id, bounds)),
            disposition: disposition.map(|parsed| parsed.value).filter(|value| !value.is_empty()),
            charset: word("charset"),
            encoding: if boundary.is_some() { Encoding::Identity } else { encoding },
            begin: 0,
            end: 0,
            is_multipart: false,
            is_body: false,
            root: content_type.as_ref().and_then(|of| of.raw("start")).and_then(|id| content_id(&id, bounds)),
            root_kind: word("type"),
            // Without a boundary it has no parts.
            kind: if is_multipart && boundary.is_none() && !is_long { "text/plain".to_owned() } else { kind },
        };
        (part, boundary)
    }
}

/// A Content-ID without its brackets.
fn content_id(value: &[u8], bounds: &mut Bounds<'_>) -> Option<String> {
    let value = value.trim_ascii();
    let value = value.strip_prefix(b"<").unwrap_or(value);
    let value = value.strip_suffix(b">").unwrap_or(value).trim_ascii();
    if value.len() > MAX_ID {
        bounds.cut(Cut::Name);
        return None;
    }
    Some(words::text(value, bounds)).filter(|id| !id.is_empty())
}

/// The last piece of a path, of what may stand in a name.
fn file_name(name: &str, bounds: &mut Bounds<'_>) -> Option<String> {
    let last = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let mut characters = last.chars().filter(|c| !c.is_control() && !is_deceptive(*c));
    let name: String = characters.by_ref().take(MAX_NAME).collect();
    if characters.next().is_some() {
        bounds.cut(Cut::Name);
    }
    let name = name.trim().trim_start_matches('.');
    (!name.is_empty()).then(|| name.to_owned())
}

/// Characters that turn the direction of text or take no room: with them `exe.png` can be a program. The joiners U+200C and
/// U+200D are none: writing needs them.
fn is_deceptive(c: char) -> bool {
    matches!(c, '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{61c}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}
