//! A message in HTML, for a frame that can neither run anything nor fetch anything.
//!
//! That is what the answer's Content-Security-Policy sees to. Here images of the message itself are put in their places, links
//! lead to a page that asks first ([`super::away`]), and what reaches out before any policy is asked is made harmless: a browser
//! connects to the host of a `link rel=preconnect`, of an `iframe`, or of a link that is clicked, though it may load nothing
//! from there.

use std::collections::HashMap;

use base64ct::{Base64, Encoding};

use pillarbox::mime::{Limits, Message, MimeError};

use super::markup::{self, Piece, Pieces};
use super::scheme::Scheme;
use super::{away, picture, query};

/// How a frame is shown.
#[derive(Clone, Copy, Default)]
pub struct View {
    /// Pictures may be loaded from elsewhere.
    pub with_images: bool,
    /// It is a part of the page, which follows what is clicked and pressed in it.
    pub is_framed: bool,
    /// Which colours the reader prefers; else it is the browser that says.
    pub scheme: Option<Scheme>,
}

impl View {
    /// What the frame may do: show styles, and pictures that are in it. Scripts may run nowhere.
    pub fn policy(self) -> String {
        let images = if self.with_images { "data: http: https:" } else { "data:" };
        let sandbox = match (self.is_framed, self.with_images) {
            (false, _) => "sandbox",
            (true, false) => "sandbox allow-same-origin allow-popups allow-popups-to-escape-sandbox",
            // Of its own origin it tells nobody where it is shown: for pictures of styles, browsers ask no policy for that.
            (true, true) => "sandbox allow-popups allow-popups-to-escape-sandbox",
        };
        format!(
            "default-src 'none'; style-src 'unsafe-inline'; img-src {images}; font-src data:; base-uri 'none'; \
             form-action 'none'; frame-src 'none'; script-src 'none'; frame-ancestors 'self'; {sandbox}"
        )
    }
}

/// In octets, of the body that is shown.
const MAX_BODY: usize = 4 * 1024 * 1024;

/// In octets, of all images put in their places: the same one may stand in many.
const MAX_IMAGES: usize = 32 * 1024 * 1024;

/// In octets, of a reference to an image.
const MAX_REFERENCE: usize = 1000;

/// In octets, the most that a frame takes beside the message.
pub const MAX_FRAME: u64 = (8 * MAX_BODY + 2 * MAX_IMAGES) as u64;

/// Elements for which a browser connects to their host, or looks up its name, before it asks the policy whether it may load
/// them. The fourth is that of a frame set too; the last two can give an element of SVG a link that it does not have.
const REACHING: [&str; 8] = ["link", "meta", "iframe", "frame", "object", "embed", "animate", "set"];

/// Attributes by which a tag, or what is none for certain, leads out of the message or tells others of it: links, the
/// addresses to which a picture is reported, and whether they learn where it is shown.
const LEADING: [&str; 3] = [LINK, "attributionsrc", "referrerpolicy"];
const LINK: &str = "href";

/// What stands before a name that is to mean nothing.
const NOT: &str = "x-";

/// Elements that are links, and their attributes that are not kept: where it leads, and how, is ours to say.
const LINKS: [&str; 2] = ["a", "area"];
const NOT_KEPT: [&str; 6] = [LINK, "target", "rel", "ping", "download", "referrerpolicy"];

/// Names of `meta` by which mail says for which colours it is made.
const COLOURS: [&str; 2] = ["color-scheme", "supported-color-schemes"];

/// A link that cannot be followed looks like one all the same, unless the message says how it looks: this comes last and yields
/// to any rule.
const STYLE: &str = "<style>:where(a[x-href]){color:#0645ad;text-decoration:underline}</style>";

/// What stands for an image that is not there.
const NOTHING: &str = "data:,";

/// The limits within which a message is read for its frame.
pub fn limits() -> Limits {
    let mut limits = Limits::default();
    // Parts in HTML that are read one by one are texts.
    (limits.text, limits.html) = (MAX_BODY, MAX_BODY);
    limits
}

/// The frame's content, if the message is in HTML at all.
pub fn frame(mail: &Message, scheme: Option<Scheme>) -> Result<Option<String>, MimeError> {
    let Some(html) = mail.html() else { return Ok(None) };
    let mut frame = String::with_capacity(html.len());
    let mut images = Images { mail, urls: HashMap::new(), room: MAX_IMAGES };
    for document in documents(mail, html)? {
        render(&document, scheme, &mut images, &mut frame)?;
    }
    frame += STYLE;
    Ok(Some(frame))
}

/// Each part in HTML by itself: one may end where no other can go on. If there is too much for that, all of it as one.
fn documents(mail: &Message, html: &str) -> Result<Vec<String>, MimeError> {
    let parts: Vec<_> =
        mail.parts().iter().filter(|part| part.is_body() && part.content_type() == "text/html").collect();
    let octets: u64 = parts.iter().map(|part| part.encoded_len()).sum();
    if parts.len() < 2 || octets > MAX_BODY as u64 {
        return Ok(vec![html.to_owned()]);
    }
    parts.into_iter().map(|part| part.text().map_err(MimeError::Io)).collect()
}

fn render(html: &str, scheme: Option<Scheme>, images: &mut Images<'_>, frame: &mut String) -> Result<(), MimeError> {
    let styled = |markup: &str| scheme.map_or_else(|| markup.to_owned(), |scheme| scheme.apply(markup));
    let mut pieces = Pieces::of(html);
    let mut is_in_tag = false;
    let mut closing = "";
    while let Some(piece) = pieces.next() {
        let is_last = pieces.is_at_end() && !pieces.is_odd();
        match piece {
            Piece::Text(text) => *frame += text,
            Piece::Tag(tag) => add_tag(&styled(tag), scheme, images, frame)?,
            Piece::Markup(markup) => {
                if is_last {
                    closing = markup::closing(markup).unwrap_or_default();
                    is_in_tag = markup::closing(markup).is_none();
                }
                if !is_in_tag {
                    add(&leading_nowhere(&styled(markup)), images, frame)?;
                }
            }
        }
    }
    *frame += closing;
    Ok(())
}

/// Adds the tag that begins an element of HTML.
fn add_tag(tag: &str, scheme: Option<Scheme>, images: &mut Images<'_>, frame: &mut String) -> Result<(), MimeError> {
    let is_one_of = |names: &[&str], name: &str| names.iter().any(|other| other.eq_ignore_ascii_case(name));
    let name = markup::name(tag);
    if name.eq_ignore_ascii_case("meta")
        && let Some(colours) = colours(tag)
    {
        let is_for_both = colours.contains("light") && colours.contains("dark");
        let colours = scheme.filter(|_| is_for_both).map_or(colours, |scheme| scheme.name());
        *frame += &format!("<meta name=\"color-scheme\" content=\"{colours}\">");
        return Ok(());
    }
    let attributes = if is_one_of(&LINKS, name) { markup::attributes(tag) } else { Vec::new() };
    let Some(link) = attributes.iter().find(|attribute| attribute.name.eq_ignore_ascii_case(LINK)) else {
        return add(&leading_nowhere(tag), images, frame);
    };
    let mut ours = format!("<{name} ");
    ours += &match away::address(link.value) {
        Some(address) => format!("href=\"{}\" target=\"_blank\" rel=\"noopener noreferrer\"", away::link(&address)),
        // To another place in the message itself, or to nowhere.
        None => leading_nowhere(link.source),
    };
    for attribute in attributes.iter().filter(|attribute| !is_one_of(&NOT_KEPT, attribute.name)) {
        ours += " ";
        ours += &leading_nowhere(attribute.source);
    }
    add(&ours, images, frame)?;
    *frame += " >";
    Ok(())
}

/// For which colours a message says that it is made, if that is what this tag says.
fn colours(tag: &str) -> Option<&str> {
    let attributes = markup::attributes(tag);
    let value = |name: &str| Some(attributes.iter().find(|other| other.name.eq_ignore_ascii_case(name))?.value);
    let content = value("content")?;
    let is_plain = content.bytes().all(|b| b.is_ascii_alphabetic() || b == b' ');
    let is_known = COLOURS.iter().any(|name| value("name").is_some_and(|said| said.eq_ignore_ascii_case(name)));
    (attributes.len() == 2 && is_known && is_plain).then_some(content)
}

/// Adds what is no text, with images in the places of references to them, and without elements that reach out.
fn add(markup: &str, images: &mut Images<'_>, frame: &mut String) -> Result<(), MimeError> {
    let mut rest = markup;
    while let Some(at) = memchr::memchr3(b'<', b'c', b'C', rest.as_bytes()) {
        let (before, found) = rest.split_at(at);
        *frame += before;
        let length = if let Some(tag) = reaching(found) {
            *frame += tag;
            *frame += NOT;
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

/// With attributes that lead out of the message made harmless, but links to another place in it. Attributes have no other way to
/// be written, and what is no attribute is text.
fn leading_nowhere(html: &str) -> String {
    let mut harmless = String::with_capacity(html.len());
    let mut rest = html;
    while let Some(at) = rest.bytes().position(|b| matches!(b, b'h' | b'H' | b'a' | b'A' | b'r' | b'R')) {
        let (before, found) = rest.split_at(at);
        harmless += before;
        let name = LEADING.into_iter().find(|name| begins(found, name));
        let length = name.map_or(1, str::len);
        if name.is_some_and(|name| name != LINK || !leads_inside(&found[length..])) {
            harmless += NOT;
        }
        harmless += &found[..length];
        rest = &found[length..];
    }
    harmless + rest
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
            let image = named.filter_map(|part| Some((part, picture::kind(part)?))).next();
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
