//! The parts of a message.

use std::io::{self, Read, Write};
use std::sync::Arc;

use super::charset::{self, Charset, Guess};
use super::index::Entry;
use super::limits::{Bounds, Cut, Limits};
use super::octets::{Octets, PartReader, Range};
use crate::syntax::prefix::prefix;

/// In octets, of HTML in which it may say its charset.
const HTML_BEGIN: u64 = 4096;

/// In octets, of a text of which it matters how much memory it takes.
const LONG: u64 = 32 * 1024;

/// What all parts of a message share.
#[derive(Debug)]
pub(super) struct Shared {
    pub octets: Arc<Octets>,
    pub limits: Limits,
    /// In how many messages this one is.
    pub nesting: usize,
}

/// A part of a message: a multipart, a text, a file, a picture for the HTML, or another message.
///
/// Its body is decoded when you ask for it, from the copy that the [`Message`](super::Message) made or from the file on
/// disk. Cloning a part does not copy its body.
///
/// ```
/// use std::io::Read;
/// use pillarbox::mime::{Limits, Message};
///
/// let mail = Message::from_octets(
///     "Content-Type: text/csv; name=a.csv\r\nContent-Transfer-Encoding: base64\r\n\r\nYSxi\r\n",
///     &Limits::default(),
/// );
/// let [file] = mail.attachments() else { panic!("one file") };
/// assert_eq!((file.name(), file.content_type()), (Some("a.csv"), "text/csv"));
/// assert_eq!(file.bytes()?, b"a,b");
///
/// let mut begin = [0; 1];
/// file.reader().read_exact(&mut begin)?; // decodes no more than is read
/// file.write_to(&mut std::io::sink())?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Part {
    pub(super) entry: Arc<Entry>,
    pub(super) shared: Arc<Shared>,
}

impl Part {
    pub(super) fn new(entry: Entry, shared: &Arc<Shared>) -> Part {
        Part { entry: Arc::new(entry), shared: shared.clone() }
    }

    /// The media type in lower case, without parameters, such as `image/png`. It is `text/plain` if none is given or it
    /// is invalid (RFC 2045 section 5.2), and for a multipart without parts.
    pub fn content_type(&self) -> &str {
        &self.entry.kind
    }

    /// The file's name, decoded. If the sender gave a path, it is the last part. Control characters, characters that
    /// change the direction of writing, and dots at the start are removed. At most 255 characters.
    pub fn name(&self) -> Option<&str> {
        self.entry.name.as_deref()
    }

    /// The name by which the HTML refers to it (`cid:`), without angle brackets.
    pub fn content_id(&self) -> Option<&str> {
        self.entry.id.as_deref()
    }

    /// `Content-Disposition` in lower case, without parameters: `inline`, `attachment`, or whatever was sent.
    pub fn disposition(&self) -> Option<&str> {
        self.entry.disposition.as_deref()
    }

    /// Whether it is meant to be shown within the message (`Content-Disposition: inline`).
    pub fn is_inline(&self) -> bool {
        self.disposition() == Some("inline")
    }

    /// The declared charset, in lower case, otherwise as it was sent.
    pub fn charset(&self) -> Option<&str> {
        self.entry.charset.as_deref()
    }

    /// Whether it is a multipart whose parts are among the message's [`parts`](super::Message::parts).
    pub fn is_multipart(&self) -> bool {
        self.entry.is_multipart
    }

    /// Whether it belongs to the [`text`](super::Message::text) or the [`html`](super::Message::html) of the message. A
    /// part that does not, and is not a multipart, is an attachment.
    pub fn is_body(&self) -> bool {
        self.entry.is_body
    }

    /// How many multiparts it is nested in: 0 for the message itself.
    pub fn depth(&self) -> usize {
        self.entry.depth
    }

    /// The multipart that contains it, as an index into [`parts`](super::Message::parts).
    pub fn parent(&self) -> Option<usize> {
        self.entry.parent
    }

    /// Its length in the message, in octets, still encoded.
    pub fn encoded_len(&self) -> u64 {
        self.entry.end - self.entry.begin
    }

    /// A reader of the decoded octets that keeps at most 64 KiB of them in memory. Each call starts from the beginning.
    /// A text is in its own charset. The octets of a multipart are everything in it.
    pub fn reader(&self) -> PartReader {
        self.beginning(u64::MAX)
    }

    fn beginning(&self, most: u64) -> PartReader {
        PartReader::new(self.range(most), self.entry.encoding)
    }

    pub(super) fn range(&self, most: u64) -> Range {
        let Entry { begin, end, .. } = *self.entry;
        Range { octets: self.shared.octets.clone(), begin, end: end.min(begin.saturating_add(most)) }
    }

    /// Writes the decoded octets, and returns how many there are.
    ///
    /// # Errors
    /// Writing may fail, and so may reading a message that is on disk.
    pub fn write_to(&self, out: &mut impl Write) -> io::Result<u64> {
        io::copy(&mut self.reader(), out)
    }

    /// All octets, decoded.
    ///
    /// # Errors
    /// Reading a message that is on disk may fail; for one in memory it never does.
    pub fn bytes(&self) -> io::Result<Vec<u8>> {
        let mut octets = Vec::new();
        self.reader().read_to_end(&mut octets)?;
        Ok(octets)
    }

    /// Its body as text with `\n` line ends, whatever its type, up to [`Limits::text`]. Without a declared charset it
    /// is read as UTF-8 if it is valid, as ISO-2022-JP if it has its escape sequences, and otherwise as windows-1252.
    ///
    /// # Errors
    /// As [`bytes`](Part::bytes).
    pub fn text(&self) -> io::Result<String> {
        let mut text = String::new();
        self.add_text(self.shared.limits.text, &mut text)?;
        Ok(text)
    }

    /// Adds its text, until `out` has `most` octets; whether that was all.
    pub(super) fn add_text(&self, most: usize, out: &mut String) -> io::Result<bool> {
        let charset = self.said_or_guessed()?;
        // Making room step by step takes twice the memory, so a long text is decoded once to be measured.
        let mut expected = 0;
        if self.encoded_len() > LONG {
            self.each_decoded(charset, |decoded| {
                expected += decoded.len();
                expected < most
            })?;
        }
        let expected = expected.min(most.saturating_sub(out.len()));
        // Most texts have nothing that follows them.
        if out.is_empty() {
            out.reserve_exact(expected)
        } else {
            out.reserve(expected)
        }
        let mut lines = LineEnds { is_whole: true, after_cr: false, most };
        self.each_decoded(charset, |decoded| {
            lines.add(decoded, out);
            lines.is_whole
        })?;
        Ok(lines.is_whole)
    }

    /// Gives the text to `take`, in pieces, until it says that it has enough.
    fn each_decoded(&self, charset: Charset, mut take: impl FnMut(&str) -> bool) -> io::Result<()> {
        let mut decoder = charset.decoder();
        let mut decoded = String::new();
        let mut goes_on = true;
        self.reader().each(|octets| {
            decoded.clear();
            decoder.decode(octets, false, &mut decoded);
            goes_on = take(&decoded);
            goes_on
        })?;
        if goes_on {
            decoded.clear();
            decoder.decode(b"", true, &mut decoded);
            take(&decoded);
        }
        Ok(())
    }

    fn said_or_guessed(&self) -> io::Result<Charset> {
        let said = self.charset().and_then(Charset::named);
        if let Some(said) = said.filter(|said| !said.is_7bit()) {
            return Ok(said);
        }
        if said.is_none() && self.content_type() == "text/html" {
            let mut begin = Vec::new();
            self.beginning(2 * HTML_BEGIN).take(HTML_BEGIN).read_to_end(&mut begin)?;
            if let Some(said) = charset::of_html(&begin) {
                return Ok(said);
            }
        }
        let mut guess = Guess::default();
        self.reader().each(|octets| {
            guess.look_at(octets);
            !guess.is_certain()
        })?;
        Ok(said.filter(|_| !guess.has_8bit()).unwrap_or_else(|| guess.charset()))
    }
}

/// Makes all line ends `\n`.
struct LineEnds {
    most: usize,
    after_cr: bool,
    is_whole: bool,
}

impl LineEnds {
    fn add(&mut self, text: &str, out: &mut String) {
        let mut rest = text;
        if !text.is_empty() && std::mem::take(&mut self.after_cr) {
            rest = rest.strip_prefix('\n').unwrap_or(rest);
        }
        // What is not added yet begins here.
        let mut begin = 0;
        for cr in memchr::memchr_iter(b'\r', rest.as_bytes()) {
            self.push(&rest[begin..cr], out);
            begin = cr + 1;
            match rest.as_bytes().get(begin) {
                // It goes with the line that follows.
                Some(b'\n') => {}
                next => {
                    self.push("\n", out);
                    self.after_cr = next.is_none();
                }
            }
        }
        self.push(&rest[begin..], out);
    }

    fn push(&mut self, text: &str, out: &mut String) {
        let room = self.most.saturating_sub(out.len());
        let taken = prefix(text, room);
        *out += taken;
        self.is_whole &= taken.len() == text.len();
    }
}

/// The texts of some parts, one a line behind the other.
pub(super) fn joined<'p>(
    parts: impl Iterator<Item = &'p Part>,
    most: usize,
    what: Cut,
    bounds: &mut Bounds<'_>,
) -> io::Result<Option<String>> {
    let mut all: Option<String> = None;
    for part in parts {
        let text = all.get_or_insert_default();
        if part.encoded_len() == 0 {
            continue;
        }
        let is_first = text.is_empty();
        if !is_first && text.len() < most {
            text.push('\n');
        }
        if !part.add_text(most, text)? {
            bounds.cut(what);
        }
    }
    if let Some(text) = &mut all
        && text.capacity() - text.len() > 4096
    {
        text.shrink_to_fit();
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_ends_in_pieces() {
        for number in 0..3_usize.pow(6) {
            let text: String = (0..6).map(|at| ['x', '\r', '\n'][number / 3_usize.pow(at) % 3]).collect();
            let expected = text.replace("\r\n", "\n").replace('\r', "\n");
            for first in 0..=6 {
                let (begin, end) = text.split_at(first);
                let mut lines = LineEnds { most: 100, after_cr: false, is_whole: true };
                let mut out = String::new();
                [begin, "", end].iter().for_each(|piece| lines.add(piece, &mut out));
                assert_eq!((out, lines.is_whole), (expected.clone(), true), "{text:?} in two at {first}");
            }
        }
    }
}
