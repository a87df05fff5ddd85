//! Which pieces of HTML are text, and which are tags, comments, styles: as the HTML standard's tokenizer has it
//! (section 13.2.5).
//!
//! What is text here must be text for every browser, for nothing in it is made harmless. So a document with elements that change
//! how the tokenizer reads on is no text at all: html5ever would read all of it, but gives no places to put octets back to.

/// Elements with content that is no HTML, of which the end is known.
const RAW: [&str; 3] = ["style", "title", "textarea"];

/// Elements in or behind which the tokenizer may read otherwise than here.
const ODD: [&str; 8] = ["svg", "math", "script", "xmp", "noembed", "noframes", "plaintext", "select"];

/// A piece of a document.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Piece<'a> {
    Text(&'a str),
    /// A tag, a comment, or an element whose content is no HTML.
    Markup(&'a str),
}

/// All pieces, in order.
pub struct Pieces<'a> {
    rest: &'a str,
    is_odd: bool,
}

impl<'a> Pieces<'a> {
    pub fn of(html: &'a str) -> Pieces<'a> {
        let octets = html.as_bytes();
        let begins_odd = |at: usize| ODD.iter().any(|name| begins(&octets[at + 1..], name));
        Pieces { rest: html, is_odd: memchr::memchr_iter(b'<', octets).any(begins_odd) }
    }

    fn take(&mut self, length: usize) -> &'a str {
        let (piece, rest) = self.rest.split_at(length);
        self.rest = rest;
        piece
    }
}

impl<'a> Iterator for Pieces<'a> {
    type Item = Piece<'a>;

    fn next(&mut self) -> Option<Piece<'a>> {
        if self.rest.is_empty() {
            return None;
        }
        if self.is_odd {
            return Some(Piece::Markup(self.take(self.rest.len())));
        }
        let octets = self.rest.as_bytes();
        let is_markup = |at: &usize| matches!(octets.get(at + 1), Some(b'a'..=b'z' | b'A'..=b'Z' | b'/' | b'!' | b'?'));
        match memchr::memchr_iter(b'<', octets).find(is_markup) {
            Some(0) => Some(Piece::Markup(self.take(markup(octets)))),
            Some(at) => Some(Piece::Text(self.take(at))),
            None => Some(Piece::Text(self.take(octets.len()))),
        }
    }
}

/// The octets of what begins with a `<`.
fn markup(octets: &[u8]) -> usize {
    let up_to_bracket = || memchr::memchr(b'>', octets).map_or(octets.len(), |at| at + 1);
    match octets {
        [b'<', b'!', b'-', b'-', ..] => comment(octets),
        [b'<', b'/', b'a'..=b'z' | b'A'..=b'Z', ..] => tag(octets),
        [b'<', b'!' | b'?' | b'/', ..] => up_to_bracket(),
        _ => {
            let end = tag(octets);
            let raw = RAW.iter().find(|name| begins(&octets[1..], name) && ends_name(octets.get(name.len() + 1)));
            raw.map_or(end, |name| end + raw_content(&octets[end..], name))
        }
    }
}

/// Up to `-->` or `--!>`, whose dashes may be those of the beginning for the first.
fn comment(octets: &[u8]) -> usize {
    const BEGIN: usize = 4;
    let ends = |at: &usize| {
        let before = &octets[..*at];
        before.ends_with(b"--") && *at >= BEGIN || before.ends_with(b"--!") && *at >= BEGIN + 3
    };
    memchr::memchr_iter(b'>', octets).find(ends).map_or(octets.len(), |at| at + 1)
}

/// Up to the bracket that ends it, which may not be the first: others may be in quotes.
fn tag(octets: &[u8]) -> usize {
    enum State {
        Name,
        BeforeAttribute,
        Attribute,
        AfterAttribute,
        BeforeValue,
        Quoted(u8),
        Unquoted,
    }
    let mut state = State::Name;
    for (at, &octet) in octets.iter().enumerate().skip(2) {
        let is_blank = matches!(octet, b'\t' | b'\n' | b'\x0c' | b'\r' | b' ');
        state = match (state, octet) {
            (State::Quoted(quote), octet) if octet == quote => State::BeforeAttribute,
            (State::Quoted(quote), _) => State::Quoted(quote),
            (_, b'>') => return at + 1,
            (State::BeforeValue, _) if is_blank => State::BeforeValue,
            (State::BeforeValue, b'"' | b'\'') => State::Quoted(octet),
            (State::BeforeValue, _) => State::Unquoted,
            (State::Attribute | State::AfterAttribute, _) if is_blank => State::AfterAttribute,
            (State::Attribute | State::AfterAttribute, b'=') => State::BeforeValue,
            (_, _) if is_blank => State::BeforeAttribute,
            (State::Unquoted, _) => State::Unquoted,
            (_, b'/') => State::BeforeAttribute,
            (State::Name, _) => State::Name,
            _ => State::Attribute,
        };
    }
    octets.len()
}

/// Up to the tag that ends an element.
fn raw_content(octets: &[u8], name: &str) -> usize {
    let ends = |at: &usize| begins(&octets[at + 2..], name) && ends_name(octets.get(at + 2 + name.len()));
    memchr::memmem::find_iter(octets, b"</").find(ends).unwrap_or(octets.len())
}

fn ends_name(octet: Option<&u8>) -> bool {
    octet.is_none_or(|octet| matches!(octet, b'\t' | b'\n' | b'\x0c' | b'\r' | b' ' | b'/' | b'>'))
}

fn begins(octets: &[u8], name: &str) -> bool {
    octets.get(..name.len()).is_some_and(|octets| octets.eq_ignore_ascii_case(name.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is text.
    fn text(html: &str) -> String {
        let pieces: Vec<_> = Pieces::of(html).collect();
        let whole: String = pieces
            .iter()
            .map(|piece| match piece {
                Piece::Text(piece) | Piece::Markup(piece) => *piece,
            })
            .collect();
        assert_eq!(whole, html);
        pieces
            .iter()
            .filter_map(|piece| match piece {
                Piece::Text(text) => Some(*text),
                Piece::Markup(_) => None,
            })
            .collect()
    }

    #[test]
    fn what_is_text() {
        for (html, expected) in [
            ("<p>a <b class=x>b</b> < c</p>d", "a b < cd"),
            ("<a title=\"x>y\">z</a>", "z"),
            ("<a title='x>y' b=\"'>\">z</a>", "z"),
            ("<a title=x\"y>z\">w", "z\">w"),
            ("<a =\">x\">y", "x\">y"),
            ("<a\">x\">y", "x\">y"),
            ("<a x = \n\">\" / y>z", "z"),
            ("<a x=\"1\"y=\">\">z", "z"),
            ("<a x=/\">z", "z"),
            ("<a x/=\">z\">w", "z\">w"),
            ("<a", ""),
            ("<a b=\"x>y", ""),
            ("a<!-- <b x=\" > --> b<!---->c<!-->d<!--->e<!----!>f<!--!>g-->h", "a bcdefh"),
            ("a<!-- > b", "a"),
            ("<!doctype html \"x>y", "y"),
            ("a<?x>b</ y>c</>d", "abcd"),
            ("a<STYLE>b \" <i </style>c", "ac"),
            ("a<title>b</titlex></title >c<textarea/>d</textarea\n>e", "ace"),
            ("a<style>b", "a"),
            ("a<styles>b", "ab"),
            ("a<svg>b", ""),
            ("a<plaintext>b", ""),
            ("", ""),
        ] {
            assert_eq!(text(html), expected, "{html}");
        }
    }
}
