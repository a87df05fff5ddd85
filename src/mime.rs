//! What a message says: RFC 5322 headers and MIME bodies (RFC 2045 to 2047, RFC 2231).

use std::fmt::{self, Display, Formatter};
use std::io;
use std::time::{Duration, SystemTime};

use mail_parser::{HeaderName, HeaderValue, MessageParser, MimeHeaders, PartType};

use crate::envelope::Envelope;

/// So many messages within a message are taken apart, one in another or side by side: more is no mail but an attempt to
/// make whoever reads it run out of stack or memory.
const MAX_NESTED: usize = 100;

/// A message taken apart: made by [`Envelope::parsed`].
///
/// Everything is decoded: encoded words in headers, charsets, transfer encodings. What a message lacks is `None` or empty,
/// and what is malformed is read as well as can be; it is a message of whoever sent it, and proves nothing.
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
    attachments: Vec<Attachment>,
}

impl Message {
    fn parse(octets: &[u8]) -> Result<Message, MimeError> {
        if nested_messages(octets) > MAX_NESTED {
            return Err(MimeError::TooDeep);
        }
        let parsed = MessageParser::default().parse(octets).ok_or(MimeError::NotAMessage)?;
        // Without a rule for some header the parser would forget the one for all others.
        let decoder = MessageParser::new().header_text(HeaderName::Subject).default_header_text();
        let headers = decoder.parse_headers(octets);
        let headers = headers.map(|headers| headers.headers().iter().map(header).collect()).unwrap_or_default();
        let bodies = |ids: &[u32], is_wanted: fn(&PartType<'_>) -> bool| {
            let parts = ids.iter().filter_map(|id| parsed.part(*id)).filter(|part| is_wanted(&part.body));
            let texts: Vec<&str> = parts.filter_map(|part| part.text_contents()).collect();
            (!texts.is_empty()).then(|| texts.concat().replace("\r\n", "\n"))
        };
        Ok(Message {
            headers,
            from: addresses(parsed.from()),
            to: addresses(parsed.to()),
            cc: addresses(parsed.cc()),
            reply_to: addresses(parsed.reply_to()),
            subject: parsed.subject().map(str::to_owned),
            message_id: parsed.message_id().map(str::to_owned),
            date: parsed.date().and_then(|date| u64::try_from(date.to_timestamp()).ok()).and_then(|seconds| {
                // A year that nobody lives in may be past what the clock can count.
                SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
            }),
            text: bodies(&parsed.text_body, |body| matches!(body, PartType::Text(_))),
            html: bodies(&parsed.html_body, |body| matches!(body, PartType::Html(_))),
            attachments: parsed.attachments().map(Attachment::new).collect(),
        })
    }

    /// The header `Subject`.
    pub fn subject(&self) -> Option<&str> {
        self.subject.as_deref()
    }

    /// The header `From`. Who a message claims to be from need not be [`Envelope::mail_from`].
    pub fn from(&self) -> &[Address] {
        &self.from
    }

    /// The header `To`. Whom a message is for stands in [`Envelope::recipients`].
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

    /// The first header of this name, in any case, decoded and unfolded.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers().find(|(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// All headers, in their order: names as they were sent, values decoded and unfolded.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.headers.iter().map(|(name, value)| (&**name, &**value))
    }

    /// The body as plain text, with `\n` line ends; if it has several such parts, one behind the other.
    pub fn text(&self) -> Option<&str> {
        self.text.as_deref()
    }

    /// The body as HTML, with `\n` line ends. It is somebody else's: never show it where its scripts would run.
    pub fn html(&self) -> Option<&str> {
        self.html.as_deref()
    }

    /// What else the message brings, in its order; pictures that its HTML shows too.
    pub fn attachments(&self) -> &[Attachment] {
        &self.attachments
    }

    /// The web addresses in the text, or if it has none those in the HTML, in their order: that of a "reset your password"
    /// for instance.
    ///
    /// They are found by their look: `http://` or `https://` up to a blank, a quote or an angle bracket, and not with the
    /// full stop, comma or bracket that ends a sentence.
    pub fn links(&self) -> Vec<String> {
        let of_text = links(self.text().unwrap_or_default());
        if !of_text.is_empty() {
            return of_text;
        }
        links(self.html().unwrap_or_default()).into_iter().map(|link| link.replace("&amp;", "&")).collect()
    }
}

impl Envelope {
    /// The message taken apart: subject, addresses, bodies and attachments.
    ///
    /// It takes time and about as much memory as the message has octets, each time that it is called.
    ///
    /// # Errors
    /// [`MimeError`].
    pub fn parsed(&self) -> Result<Message, MimeError> {
        Message::parse(&self.content().bytes().map_err(MimeError::Io)?)
    }
}

/// The web addresses in a text.
fn links(body: &str) -> Vec<String> {
    let mut links = Vec::new();
    let mut rest = body;
    while let Some(at) = rest.find("http") {
        rest = &rest[at..];
        let end = rest.find(|c: char| c.is_whitespace() || "\"'<>".contains(c)).unwrap_or(rest.len());
        let (word, behind) = rest.split_at(end.max("http".len()));
        rest = behind;
        let link = word.trim_end_matches(['.', ',', ';', ':', '!', '?', ')', ']']);
        let address = link.strip_prefix("https://").or(link.strip_prefix("http://"));
        if address.is_some_and(|address| !address.is_empty()) {
            links.push(link.to_owned());
        }
    }
    links
}

/// At least as many messages as there are within this one: each needs a header that says so.
fn nested_messages(octets: &[u8]) -> usize {
    let mut nested = 0;
    let mut rest = octets;
    while let Some(at) = memchr::memchr2(b'm', b'M', rest) {
        let word = &rest[at..];
        let begins_with = |name: &[u8]| word.get(..name.len()).is_some_and(|word| word.eq_ignore_ascii_case(name));
        if begins_with(b"message/") {
            nested += 1;
        } else if begins_with(b"multipart/digest") {
            // All of its parts may be messages without saying so.
            nested += MAX_NESTED / 4;
        }
        rest = &word[1..];
    }
    nested
}

fn header(header: &mail_parser::Header<'_>) -> (String, String) {
    let value = match header.value() {
        HeaderValue::Text(text) => text.to_string(),
        HeaderValue::TextList(texts) => texts.join(", "),
        _ => String::new(),
    };
    (header.name().to_owned(), value)
}

fn addresses(list: Option<&mail_parser::Address<'_>>) -> Vec<Address> {
    let Some(list) = list else { return Vec::new() };
    let known = list.iter().filter(|one| one.address().is_some() || one.name().is_some());
    known
        .map(|one| Address {
            name: one.name().map(str::to_owned),
            address: one.address().unwrap_or_default().to_owned(),
        })
        .collect()
}

/// Somebody in a header: a name, if there is one, and an address.
///
/// Compares with `&str` and `String` by the address.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Address {
    name: Option<String>,
    address: String,
}

impl Address {
    /// The name that is shown, decoded.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// The address, as it was sent; empty where only a name is given.
    pub fn address(&self) -> &str {
        &self.address
    }
}

impl PartialEq<str> for Address {
    fn eq(&self, other: &str) -> bool {
        self.address == other
    }
}

impl PartialEq<String> for Address {
    fn eq(&self, other: &String) -> bool {
        self.address == *other
    }
}

impl PartialEq<&str> for Address {
    fn eq(&self, other: &&str) -> bool {
        self.address == *other
    }
}

impl Display for Address {
    /// `Name <address>`, for people to read.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => write!(f, "{name} <{}>", self.address),
            None => f.write_str(&self.address),
        }
    }
}

/// A part of a message that is not its text: a file, or a picture for the HTML.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Attachment {
    name: Option<String>,
    content_type: String,
    content_id: Option<String>,
    is_inline: bool,
    bytes: Vec<u8>,
}

impl Attachment {
    fn new(part: &mail_parser::MessagePart<'_>) -> Attachment {
        let content_type = part.content_type().map_or_else(
            || "application/octet-stream".to_owned(),
            |kind| format!("{}/{}", kind.ctype(), kind.subtype().unwrap_or("octet-stream")).to_ascii_lowercase(),
        );
        Attachment {
            name: part.attachment_name().map(str::to_owned),
            content_type,
            content_id: part.content_id().map(str::to_owned),
            is_inline: part.content_disposition().is_some_and(|disposition| disposition.is_inline()),
            bytes: part.contents().to_owned(),
        }
    }

    /// The file's name as its sender gave it. It may hold anything: it is no path to write to.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// The media type in small letters, without parameters, such as `image/png`; `application/octet-stream` where none
    /// is given.
    pub fn content_type(&self) -> &str {
        &self.content_type
    }

    /// The name by which the HTML refers to it (`cid:`), without angle brackets.
    pub fn content_id(&self) -> Option<&str> {
        self.content_id.as_deref()
    }

    /// Whether it is meant to be shown within the message (`Content-Disposition: inline`).
    pub fn is_inline(&self) -> bool {
        self.is_inline
    }

    /// The octets, decoded; text is in UTF-8.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// Why a message cannot be taken apart.
#[derive(Debug)]
#[non_exhaustive]
pub enum MimeError {
    /// Its content cannot be read from disk.
    Io(io::Error),
    /// It has no headers, so it is none by RFC 5322.
    NotAMessage,
    /// More than a hundred messages are in it.
    TooDeep,
}

impl Display for MimeError {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            MimeError::Io(_) => f.write_str("the message cannot be read"),
            MimeError::NotAMessage => f.write_str("there are no headers, so this is no message"),
            MimeError::TooDeep => write!(f, "there are more than {MAX_NESTED} messages in this one"),
        }
    }
}

impl std::error::Error for MimeError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            MimeError::Io(e) => Some(e),
            MimeError::NotAMessage | MimeError::TooDeep => None,
        }
    }
}

#[cfg(test)]
mod tests;
