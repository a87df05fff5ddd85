//! A message in HTML, for a frame that can neither run anything nor fetch anything.
//!
//! That is what the answer's Content-Security-Policy sees to. Here images of the message itself are put in their places, and
//! what reaches out before any policy is asked is made harmless: a browser connects to the host of a `link rel=preconnect`, of
//! an `iframe`, or of a link that is clicked, though it may load nothing from there.

use std::collections::HashMap;

use base64ct::{Base64, Encoding};

use pillarbox::Envelope;
use pillarbox::mime::{Limits, Message, MimeError, Part};

use super::markup::{Piece, Pieces};
use super::query;

/// What the frame may do: show styles, and pictures that are in it.
pub const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; font-src data:; base-uri 'none'; \
    form-action 'none'; frame-src 'none'; script-src 'none'; frame-ancestors 'self'; sandbox";

/// In octets, of the body that is shown.
const MAX_BODY: usize = 4 * 1024 * 1024;

/// In octets, of all images put in their places: the same one may stand in many.
const MAX_IMAGES: usize = 32 * 1024 * 1024;

/// In octets, of a reference to an image.
const MAX_REFERENCE: usize = 1000;

/// In octets, the most that a frame takes beside the message.
pub const MAX_FRAME: u64 = (6 * MAX_BODY + 2 * MAX_IMAGES) as u64;

/// Images that are no documents of their own, as SVG is: how browsers call them, and how else mail calls them or their files.
const IMAGES: [(&str, &[&str], &[&str]); 6] = [
    ("image/gif", &[], &["gif"]),
    ("image/jpeg", &["image/jpg", "image/pjpeg"], &["jpg", "jpeg", "jpe", "jfif"]),
    ("image/png", &["image/x-png", "image/apng"], &["png", "apng"]),
    ("image/webp", &[], &["webp"]),
    ("image/avif", &[], &["avif"]),
    ("image/bmp", &["image/x-bmp", "image/x-ms-bmp"], &["bmp"]),
];

/// Elements for which a browser connects to their host, or looks up its name, before it asks the policy whether it may load
/// them. The fourth is that of a frame set too; the last two can give an element of SVG a link that it does not have.
const REACHING: [&str; 8] = ["link", "meta", "iframe", "frame", "object", "embed", "animate", "set"];

/// The attribute of all links, and what stands before it where it leads out of the message.
const LINK: &str = "href";
const UNLINKED: &str = "x-";

/// A link looks like one all the same, unless the message says how it looks: this comes last and yields to any rule.
const LINKS: &str = "<style>:where(a[x-href]){color:#0645ad;text-decoration:underline}</style>";

/// What stands for an image that is not there.
const NOTHING: &str = "data:,";

/// The frame's content, if the message is in HTML at all.
pub fn frame(envelope: &Envelope) -> Result<Option<String>, MimeError> {
    let mut limits = Limits::default();
    (limits.text, limits.html) = (0, MAX_BODY);
    let mail = envelope.parsed_within(&limits)?;
    let Some(html) = mail.html() else { return Ok(None) };
    let mut frame = String::with_capacity(html.len());
    let mut images = Images { mail: &mail, urls: HashMap::new(), room: MAX_IMAGES };
    for piece in Pieces::of(html) {
        match piece {
            Piece::Text(text) => frame += text,
            Piece::Markup(markup) => add(&unlinked(markup), &mut images, &mut frame)?,
        }
    }
    frame += LINKS;
    Ok(Some(frame))
}

/// Adds what is no text, with images in the places of references to them, and without elements that reach out.
fn add(markup: &str, images: &mut Images<'_>, frame: &mut String) -> Result<(), MimeError> {
    let mut rest = markup;
    while let Some(at) = memchr::memchr3(b'<', b'c', b'C', rest.as_bytes()) {
        let (before, found) = rest.split_at(at);
        *frame += before;
        let length = if let Some(tag) = reaching(found) {
            *frame += tag;
            *frame += "x-";
            tag.len()
        } else if begins(found, "cid:") && frame.ends_with(['"', '\'', '(', '=', ' ', '\t', '\n', '\r', ';']) {
            let length = reference(&found[4..]) + 4;
            *frame += images.url(&found[4..length])?;
            length
        } else {
            *frame += &found[..1];
            1
        };
        rest = &found[length..];
    }
    *frame += rest;
    Ok(())
}

/// Without links, but for those to another place in it. Attributes have no other way to be written, and what is no attribute
/// is text.
fn unlinked(html: &str) -> String {
    let mut unlinked = String::with_capacity(html.len());
    let mut rest = html;
    while let Some(at) = memchr::memchr2(b'h', b'H', rest.as_bytes()) {
        let (before, found) = rest.split_at(at);
        unlinked += before;
        let length = if begins(found, LINK) { LINK.len() } else { 1 };
        if length > 1 && !leads_inside(&found[length..]) {
            unlinked += UNLINKED;
        }
        unlinked += &found[..length];
        rest = &found[length..];
    }
    unlinked + rest
}

/// Whether an attribute's value begins as that of a link to another place in the document.
fn leads_inside(behind: &str) -> bool {
    const BLANK: [char; 5] = ['\t', '\n', '\u{c}', '\r', ' '];
    let Some(value) = behind.trim_start_matches(BLANK).strip_prefix('=') else { return false };
    let value = value.trim_start_matches(BLANK);
    value.strip_prefix(['"', '\'']).unwrap_or(value).starts_with('#')
}

/// What stands before the name in a tag of such an element.
fn reaching(text: &str) -> Option<&'static str> {
    let tag = ["</", "<"].into_iter().find(|tag| text.starts_with(tag))?;
    REACHING.iter().any(|element| begins(&text[tag.len()..], element)).then_some(tag)
}

fn begins(text: &str, word: &str) -> bool {
    text.as_bytes().get(..word.len()).is_some_and(|octets| octets.eq_ignore_ascii_case(word.as_bytes()))
}

/// How far a reference goes.
fn reference(text: &str) -> usize {
    let ends = |c: char| c.is_whitespace() || matches!(c, '"' | '\'' | ')' | '>' | '<' | '&' | '\\');
    let mut within = text.char_indices().take_while(|(at, _)| *at < MAX_REFERENCE);
    within.find(|(_, c)| ends(*c)).map_or(0, |(at, _)| at)
}

/// The images of a message, each made a URL once.
struct Images<'a> {
    mail: &'a Message,
    urls: HashMap<String, Option<String>>,
    room: usize,
}

impl Images<'_> {
    /// The image with this Content-ID (RFC 2392) as a data URL, of which no octet is the message's own choice.
    fn url(&mut self, reference: &str) -> Result<&str, MimeError> {
        let id = query::decode(reference);
        if !self.urls.contains_key(&id) {
            let named = self.mail.parts().iter().filter(|part| part.content_id() == Some(&id));
            let image = named.filter_map(|part| Some((part, kind(part)?))).next();
            let made =
                image.map(|(part, kind)| Ok(format!("data:{kind};base64,{}", Base64::encode_string(&part.bytes()?))));
            self.urls.insert(id.clone(), made.transpose().map_err(MimeError::Io)?);
        }
        let Some(Some(url)) = self.urls.get(&id) else { return Ok(NOTHING) };
        match self.room.checked_sub(url.len()) {
            Some(room) => {
                self.room = room;
                Ok(url)
            }
            None => Ok(NOTHING),
        }
    }
}

/// As which image a browser shows a part, if it is one: by its type, or by its name where the type says nothing.
fn kind(part: &Part) -> Option<&'static str> {
    let said = part.content_type();
    let extension = part.name().and_then(|name| Some(name.rsplit_once('.')?.1.to_ascii_lowercase()));
    let is_unsaid = matches!(said, "application/octet-stream" | "application/x-unknown" | "image/*" | "image/unknown");
    let known = IMAGES.iter().find(|(kind, others, extensions)| {
        *kind == said
            || others.contains(&said)
            || is_unsaid && extension.as_ref().is_some_and(|extension| extensions.contains(&extension.as_str()))
    });
    known.map(|(kind, ..)| *kind)
}
