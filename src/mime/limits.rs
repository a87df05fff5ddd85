//! How much of a message is read, and how a caller learns that there was more.

use std::fmt::{self, Display, Formatter};

/// In octets, of a media type, a charset's name or a disposition; what is longer counts as malformed.
pub(super) const MAX_TOKEN: usize = 127;

/// In octets, of a boundary; RFC 2046 allows 70.
pub(super) const MAX_BOUNDARY: usize = 1000;

/// In octets, of a Content-ID and of a Message-ID.
pub(super) const MAX_ID: usize = 998;

/// In characters, of a file's name.
pub(super) const MAX_NAME: usize = 255;

/// In octets, of a `Content-` field of a part.
pub(super) const MAX_PART_FIELD: usize = 64 * 1024;

/// How many web addresses [`Message::links`](super::Message::links) gives at most.
pub(super) const MAX_LINKS: usize = 10_000;

/// How much of a message is read. Ordinary mail comes nowhere near the defaults.
///
/// What exceeds a limit is left out, the rest is read, and [`Message::cut`](super::Message::cut) tells what is missing.
/// Within the limits, time is linear in a message's octets, and memory at most four times its octets and 32 MiB.
///
/// ```
/// let mut limits = pillarbox::mime::Limits::default();
/// limits.text = 64 * 1024; // enough for a preview
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Limits {
    /// Parts of a message, multiparts among them. Default: 10,000.
    pub parts: usize,
    /// How deep multiparts and messages may be nested. Default: 32. A multipart that is deeper becomes a single part.
    pub depth: usize,
    /// Fields of the header. Default: 10,000.
    pub fields: usize,
    /// Octets of one field of the header. Default: 512 KiB.
    pub field: usize,
    /// Octets of the header. Default: 2 MiB.
    pub header: usize,
    /// Parameters of one `Content-Type` or `Content-Disposition`. Default: 256.
    pub parameters: usize,
    /// Encoded words (RFC 2047) that are decoded. Default: 10,000. Others are left as they are.
    pub encoded_words: usize,
    /// Addresses in `From`, `To`, `Cc` and `Reply-To`, for each. Default: 10,000.
    pub addresses: usize,
    /// Octets of the decoded text, as UTF-8. Default: 32 MiB.
    pub text: usize,
    /// Octets of the decoded HTML, as UTF-8. Default: 32 MiB.
    pub html: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            parts: 10_000,
            depth: 32,
            fields: 10_000,
            field: 512 * 1024,
            header: 2 * 1024 * 1024,
            parameters: 256,
            encoded_words: 10_000,
            addresses: 10_000,
            text: 32 * 1024 * 1024,
            html: 32 * 1024 * 1024,
        }
    }
}

/// What is incomplete because it exceeded one of the [`Limits`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Cut {
    /// The parts after the last that is listed are missing.
    Parts,
    /// A multipart was nested too deep, and is a single part.
    Depth,
    /// Fields of the header are missing, because there are too many.
    Fields,
    /// The end of a field is missing, or the field's name is too long.
    Field,
    /// Fields of the header are missing, because it is too long.
    Header,
    /// A boundary was too long, and the multipart is a single part.
    Boundary,
    /// Parameters of a `Content-Type` or `Content-Disposition` were not read.
    Parameters,
    /// The end of a file's name, or a Content-ID, is missing.
    Name,
    /// Encoded words were left as they are.
    EncodedWords,
    /// Addresses are missing.
    Addresses,
    /// The end of the text is missing.
    Text,
    /// The end of the HTML is missing.
    Html,
}

impl Display for Cut {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Cut::Parts => "too many parts: the last are missing",
            Cut::Depth => "parts too deep within each other: one is not taken apart",
            Cut::Fields => "too many header fields: the last are missing",
            Cut::Field => "a header field too long: its end is missing",
            Cut::Header => "the header too long: fields are missing",
            Cut::Boundary => "a boundary too long: a part is not taken apart",
            Cut::Parameters => "too many parameters: the last are missing",
            Cut::Name => "a name too long: its end is missing",
            Cut::EncodedWords => "too many encoded words: the last are not decoded",
            Cut::Addresses => "too many addresses: the last are missing",
            Cut::Text => "the text too long: its end is missing",
            Cut::Html => "the HTML too long: its end is missing",
        })
    }
}

/// What was cut so far, each once, and what counts against limits of the whole message.
#[derive(Debug)]
pub(super) struct Bounds<'l> {
    pub limits: &'l Limits,
    pub cut: Vec<Cut>,
    pub words: usize,
}

impl<'l> Bounds<'l> {
    pub fn new(limits: &'l Limits) -> Bounds<'l> {
        Bounds { limits, cut: Vec::new(), words: 0 }
    }

    pub fn cut(&mut self, what: Cut) {
        if !self.cut.contains(&what) {
            self.cut.push(what);
        }
    }

    /// Whether one more encoded word may be decoded.
    pub fn word(&mut self) -> bool {
        let is_free = self.words < self.limits.encoded_words;
        if is_free {
            self.words += 1;
        } else {
            self.cut(Cut::EncodedWords);
        }
        is_free
    }
}
