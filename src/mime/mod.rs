//! Reads what a message says: RFC 5322 headers and MIME bodies (RFC 2045 to 2047, RFC 2231).
//!
//! [`Envelope::parsed`](crate::Envelope::parsed) reads a received message, [`Message::from_octets`] any other. Both
//! read as much as [`Limits`] allow and tell what was [`cut`](Message::cut). Time and memory are linear in the
//! message's octets, whatever they are. The web inbox of the `pillarbox` command reads messages with this module too.
//!
//! This module has its own parser because no crate met these requirements. Measured in November 2026 on 26 malformed
//! messages that parsers are known to read wrongly, and on messages made to be expensive:
//!
//! - mail-parser 0.11.9 reads 17 of the 26 wrongly, such as a boundary in the middle of a line or a name in both forms.
//!   It recurses once for each message within a message until the stack overflows, takes 105 times a digest's octets in
//!   memory, and quadratic time for multiparts without an end (4.2 s for 1 MiB) and for parameters (5.2 s for 1 MiB).
//!   Its 1.0 needs a newer compiler than this crate does.
//! - mailparse 0.16 reads 12 of the 26 wrongly, takes 34 times the octets of a digest, and quadratic time for
//!   multiparts within each other (0.9 s for 1 MiB). Both need the whole message in one slice of memory.
//!
//! Charsets are decoded by encoding_rs, entities of HTML by html-escape.

use std::collections::VecDeque;
use std::fmt::{self, Display, Formatter};
use std::io;
use std::sync::Arc;
use std::time::SystemTime;

use crate::content::Content;

mod address;
mod charset;
mod date;
mod header;
mod html;
mod index;
mod limits;
mod lines;
mod links;
mod octets;
mod parameters;
mod part;
mod transfer;
mod words;

use header::{Field, Header};
use index::Index;
use limits::{Bounds, MAX_ID};
use octets::{Octets, Range};
use part::Shared;

pub use address::Address;
pub use html::html_to_text;
pub use limits::{Cut, Limits};
pub use octets::PartReader;
pub use part::Part;

/// A parsed message: see [`Envelope::parsed`](crate::Envelope::parsed).
///
/// Everything is decoded: encoded words in headers, charsets, transfer encodings. What a message lacks is `None` or
/// empty. What is malformed is read as far as possible. All of it is a claim of the sender, and proves nothing.
///
/// ```
/// # use std::io::Write;
/// # use std::time::Duration;
/// # let inbox = pillarbox::Server::builder().inbox("127.0.0.1:0")?;
/// # let mut client = std::net::TcpStream::connect(inbox.local_addr())?;
/// # client.write_all(b"HELO a\r\nMAIL FROM:<>\r\nRCPT TO:<bob@example.org>\r\nDATA\r\nFrom: \"The Shop\" <shop@example.org>\r\n\
/// #     Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n\r\nHello Bob\r\n.\r\n")?;
/// let mail = inbox.recv_timeout(Duration::from_secs(5))?.parsed()?;
/// assert_eq!(mail.subject(), Some("Grüße"));
/// assert_eq!(mail.from()[0].address(), "shop@example.org");
/// assert_eq!(mail.text(), Some("Hello Bob\n"));
/// assert!(mail.attachments().is_empty());
/// assert!(mail.cut().is_empty()); // nothing is missing
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Message {
    headers: Vec<(String, String)>,
    from: Vec<Address>,
    to: Vec<Address>,
    cc: Vec<Address>,
    reply_to: Vec<Address>,
    subject: Option<String>,
    message_id: Option<String>,
    date: Option<SystemTime>,
    text: Option<String>,
    html: Option<String>,
    parts: Vec<Part>,
    attachments: Vec<Part>,
    cut: Vec<Cut>,
}

impl Message {
    /// Parses a message from another source, such as a file. Line ends are CRLF or LF.
    ///
    /// ```
    /// use pillarbox::mime::{Limits, Message};
    ///
    /// let mail = Message::from_octets("Subject: hello\n\nHello Bob\n", &Limits::default());
    /// assert_eq!((mail.subject(), mail.text()), (Some("hello"), Some("Hello Bob\n")));
    /// ```
    pub fn from_octets(octets: impl Into<Vec<u8>>, limits: &Limits) -> Message {
        let octets = Octets::Memory(octets.into());
        let range = Range { begin: 0, end: octets.len(), octets: Arc::new(octets) };
        // Memory can be read.
        Message::read(range, limits, 0).unwrap_or_else(|_| Message::empty())
    }

    /// Parses what came from a client.
    pub(crate) fn of(content: &Content, limits: &Limits) -> Result<Message, MimeError> {
        let octets = Octets::of(content).map_err(MimeError::Io)?;
        let range = Range { begin: 0, end: octets.len(), octets: Arc::new(octets) };
        Message::read(range, limits, 0)
    }

    fn read(range: Range, limits: &Limits, nesting: usize) -> Result<Message, MimeError> {
        let mut bounds = Bounds::new(limits);
        let index = Index::read(range.clone(), range.len(), &mut bounds).map_err(MimeError::Io)?;
        let shared = Arc::new(Shared { octets: range.octets, limits: limits.clone(), nesting });
        let mut message = Message::empty();
        message.read_fields(index.fields, &mut bounds);
        message.parts = index.parts.into_iter().map(|entry| Part::new(entry.moved(range.begin), &shared)).collect();
        let bodies =
            |kind: &'static str| message.parts.iter().filter(move |part| part.is_body() && part.content_type() == kind);
        let text = part::joined(bodies("text/plain"), limits.text, Cut::Text, &mut bounds);
        let html = part::joined(bodies("text/html"), limits.html, Cut::Html, &mut bounds);
        (message.text, message.html) = (text.map_err(MimeError::Io)?, html.map_err(MimeError::Io)?);
        let attachments = message.parts.iter().filter(|part| !part.is_body() && !part.is_multipart());
        message.attachments = attachments.cloned().collect();
        message.cut = bounds.cut;
        Ok(message)
    }

    fn empty() -> Message {
        Message {
            headers: Vec::new(),
            from: Vec::new(),
            to: Vec::new(),
            cc: Vec::new(),
            reply_to: Vec::new(),
            subject: None,
            message_id: None,
            date: None,
            text: None,
            html: None,
            parts: Vec::new(),
            attachments: Vec::new(),
            cut: Vec::new(),
        }
    }

    fn read_fields(&mut self, fields: Vec<Field>, bounds: &mut Bounds<'_>) {
        for field in fields {
            let list = match field.name.to_ascii_lowercase().as_slice() {
                b"from" => Some(&mut self.from),
                b"to" => Some(&mut self.to),
                b"cc" => Some(&mut self.cc),
                b"reply-to" => Some(&mut self.reply_to),
                _ => None,
            };
            if let Some(list) = list {
                address::parse(&field.value, list, bounds);
            }
            let value = words::text(&field.value, bounds);
            self.headers.push((String::from_utf8_lossy(&field.name).into_owned(), value));
        }
        self.subject = self.header("Subject").map(str::to_owned);
        self.message_id = self.ids("Message-ID").into_iter().next();
        self.date = self.header("Date").and_then(date::parse);
    }

    /// The header `Subject`.
    pub fn subject(&self) -> Option<&str> {
        self.subject.as_deref()
    }

    /// The header `From`. It need not be the same as [`Envelope::mail_from`](crate::Envelope::mail_from).
    pub fn from(&self) -> &[Address] {
        &self.from
    }

    /// The header `To`. The recipients of the message itself are in
    /// [`Envelope::recipients`](crate::Envelope::recipients).
    pub fn to(&self) -> &[Address] {
        &self.to
    }

    /// The header `Cc`.
    pub fn cc(&self) -> &[Address] {
        &self.cc
    }

    /// The header `Reply-To`.
    pub fn reply_to(&self) -> &[Address] {
        &self.reply_to
    }

    /// The header `Date`, unless it is before 1970.
    pub fn date(&self) -> Option<SystemTime> {
        self.date
    }

    /// The header `Message-ID`, without its angle brackets.
    pub fn message_id(&self) -> Option<&str> {
        self.message_id.as_deref()
    }

    /// The header `In-Reply-To`: the messages that this one answers, without angle brackets.
    pub fn in_reply_to(&self) -> Vec<String> {
        self.ids("In-Reply-To")
    }

    /// The header `References`: the messages of the same thread before this one, without angle brackets. At most a
    /// thousand.
    pub fn references(&self) -> Vec<String> {
        self.ids("References")
    }

    /// The ids in a header: those in angle brackets, or else its words. Of more than a thousand the last, which are
    /// nearest.
    fn ids(&self, name: &str) -> Vec<String> {
        const MOST: usize = 1000;
        let value = self.header(name).unwrap_or_default();
        let mut ids = VecDeque::new();
        let mut keep = |id: &str| {
            let id: String = id.split_whitespace().collect();
            if ids.len() == MOST {
                ids.pop_front();
            }
            if (1..=MAX_ID).contains(&id.len()) {
                ids.push_back(id);
            }
        };
        if value.contains('<') {
            value.split('<').skip(1).for_each(|id| keep(id.split('>').next().unwrap_or_default()));
        } else {
            value.split_whitespace().for_each(|id| keep(id.trim_matches(['>', ','])));
        }
        ids.into()
    }

    /// The first header of this name, in any case, decoded and unfolded.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers().find(|(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// All headers, in their order: names as they were sent, values decoded and unfolded, with blanks for control
    /// characters.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.headers.iter().map(|(name, value)| (&**name, &**value))
    }

    /// The body as plain text, with `\n` line ends. Several such parts are joined, and each begins on a new line.
    ///
    /// All parts of type `text/plain` are read, except those with `Content-Disposition: attachment` and those of a
    /// `multipart/related` that are not its root. A name does not make an attachment.
    pub fn text(&self) -> Option<&str> {
        self.text.as_deref()
    }

    /// The body as HTML, with `\n` line ends; several such parts are joined as for [`text`](Message::text). Do not
    /// trust it: never show it where its scripts could run.
    pub fn html(&self) -> Option<&str> {
        self.html.as_deref()
    }

    /// All parts, in their order, each before those that are in it: the first is the message itself. A message within
    /// this one is a single part; [`Part::message`] parses it.
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// All parts that are not body text, in order: files, pictures that the HTML shows, other messages.
    pub fn attachments(&self) -> &[Part] {
        &self.attachments
    }

    /// What is missing because it exceeded one of the [`Limits`]. Empty for nearly all messages.
    ///
    /// ```
    /// use pillarbox::mime::{Cut, Limits, Message};
    ///
    /// let mut limits = Limits::default();
    /// limits.text = 5;
    /// let mail = Message::from_octets("\n\nHello Bob\n", &limits);
    /// assert_eq!((mail.text(), mail.cut()), (Some("\nHell"), &[Cut::Text][..]));
    /// ```
    pub fn cut(&self) -> &[Cut] {
        &self.cut
    }

    /// The web addresses in the text, or if there is no text those in the HTML, in order; for example the link that
    /// resets a password. At most 10,000.
    ///
    /// They are found by their form: `http://` or `https://` up to a blank, a quote or an angle bracket, and not with the
    /// full stop, comma or bracket that ends a sentence.
    pub fn links(&self) -> Vec<String> {
        let of_text = links::find(self.text().unwrap_or_default());
        if !of_text.is_empty() {
            return of_text.into_iter().map(str::to_owned).collect();
        }
        links::find(self.html().unwrap_or_default()).into_iter().map(html::unescaped).collect()
    }
}

/// The field Subject of a message, decoded, reading no more than its header.
pub(crate) fn subject(message: impl io::Read) -> Option<String> {
    let limits = Limits::default();
    let mut bounds = Bounds::new(&limits);
    let mut header = Header::of_message();
    let mut lines = lines::Lines::new(message, u64::MAX).ok()?;
    while let Ok(Some(piece)) = lines.next() {
        if !piece.begins {
            header.more(piece.octets, &mut bounds);
        } else if piece.octets.is_empty() || !header.line(piece.octets, &mut bounds) {
            break;
        }
    }
    let subject = header.into_fields().into_iter().find(|field| field.is("Subject"))?;
    Some(words::text(&subject.value, &mut bounds))
}

impl Part {
    /// The message that this part contains, parsed, if its type is `message/rfc822` or `message/global`. Each level is
    /// parsed when you ask for it.
    ///
    /// # Errors
    /// [`MimeError::TooDeep`] if it is nested in more messages than [`Limits::depth`].
    pub fn message(&self) -> Result<Option<Message>, MimeError> {
        if !matches!(self.content_type(), "message/rfc822" | "message/global") {
            return Ok(None);
        }
        let Shared { limits, nesting, .. } = &*self.shared;
        if *nesting >= limits.depth {
            return Err(MimeError::TooDeep);
        }
        // RFC 2046 section 5.2.1 forbids an encoding, and some encode all the same.
        let range = match self.entry.encoding {
            transfer::Encoding::Identity => self.range(u64::MAX),
            _ => {
                let octets = Octets::Memory(self.bytes().map_err(MimeError::Io)?);
                Range { end: octets.len(), octets: Arc::new(octets), begin: 0 }
            }
        };
        Message::read(range, limits, nesting + 1).map(Some)
    }
}

/// Why a message cannot be parsed.
#[derive(Debug)]
#[non_exhaustive]
pub enum MimeError {
    /// Its content cannot be read from disk.
    Io(io::Error),
    /// Messages are nested deeper than [`Limits::depth`].
    TooDeep,
}

impl Display for MimeError {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            MimeError::Io(_) => "the message cannot be read",
            MimeError::TooDeep => "the message is in too many others",
        })
    }
}

impl std::error::Error for MimeError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            MimeError::Io(e) => Some(e),
            MimeError::TooDeep => None,
        }
    }
}

#[cfg(test)]
mod tests;
