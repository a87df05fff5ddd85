//! Which pieces of HTML are text, and which are tags, comments, styles: as the HTML standard's tokenizer has it
//! (section 13.2.5).
//!
//! What is text here must be text for every browser, for nothing in it is made harmless. So a document with elements that change
//! how the tokenizer reads on is no text at all: html5ever would read all of it, but gives no places to put octets back to.
//! What is a tag here must be one as well, since its attributes are taken for what they seem to be.

/// Elements with content that is no HTML, of which the end is known.
const RAW: [&str; 4] = ["style", "title", "textarea", "script"];

/// Elements in or behind which the tokenizer may read otherwise than here.
const ODD: [&str; 7] = ["svg", "math", "xmp", "noembed", "noframes", "plaintext", "select"];

/// Within a script it makes the script's own end uncertain (section 13.2.5.20).
const SCRIPT: &str = "script";
const ESCAPED: &[u8] = b"<!--";

/// A piece of a document.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Piece<'a> {
    Text(&'a str),
    /// The tag that begins an element of HTML, complete.
    Tag(&'a str),
    /// Another tag, a comment, an element whose content is no HTML, or what is none of these for certain.
    Markup(&'a str),
}

/// An attribute in a tag, as it is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Attribute<'a> {
    /// All of it, with its value and the quotes around that.
    pub source: &'a str,
    pub name: &'a str,
    /// Without quotes, its character references as they are.
    pub value: &'a str,
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
        let is_odd = memchr::memchr_iter(b'<', octets).any(begins_odd) || has_odd_script(octets);
        Pieces { rest: html, is_odd }
    }

    /// Whether it is uncertain what is text, so that nothing is.
    pub fn is_odd(&self) -> bool {
        self.is_odd
    }

    /// Whether there is no further piece.
    pub fn is_at_end(&self) -> bool {
        self.rest.is_empty()
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
            Some(0) => {
                let length = markup(octets);
                let is_tag = octets[1].is_ascii_alphabetic() && raw(octets).is_none() && whole(octets).is_some();
                let piece = self.take(length);
                Some(if is_tag { Piece::Tag(piece) } else { Piece::Markup(piece) })
            }
            Some(at) => Some(Piece::Text(self.take(at))),
            None => Some(Piece::Text(self.take(octets.len()))),
        }
    }
}

/// The octets of what begins with a `<`.
fn markup(octets: &[u8]) -> usize {
    let up_to_bracket = || memchr::memchr(b'>', octets).map_or(octets.len(), |at| at + 1);
    match octets {
        [b'<', b'!', b'-', b'-', ..] => comment(octets).unwrap_or(octets.len()),
        [b'<', b'/', b'a'..=b'z' | b'A'..=b'Z', ..] => whole(octets).unwrap_or(octets.len()),
        [b'<', b'!' | b'?' | b'/', ..] => up_to_bracket(),
        _ => {
            let end = whole(octets).unwrap_or(octets.len());
            raw(octets).map_or(end, |name| end + raw_content(&octets[end..], name))
        }
    }
}

/// The element that begins here, if its content is no HTML.
fn raw(octets: &[u8]) -> Option<&'static str> {
    RAW.into_iter().find(|name| begins(&octets[1..], name) && ends_name(octets.get(name.len() + 1)))
}

fn has_odd_script(octets: &[u8]) -> bool {
    let begins_script = |at: &usize| begins(&octets[at + 1..], SCRIPT);
    let first = memchr::memchr_iter(b'<', octets).find(begins_script);
    first.is_some_and(|at| memchr::memmem::find(&octets[at..], ESCAPED).is_some())
}

/// The name of an element, from the tag that begins it.
pub fn name(tag: &str) -> &str {
    let name = &tag[1..];
    &name[..name.bytes().position(|octet| ends_name(Some(&octet))).unwrap_or(name.len())]
}

/// The attributes of a complete tag, in their order. Of those with the same name only the first counts.
pub fn attributes(piece: &str) -> Vec<Attribute<'_>> {
    let mut found = Vec::new();
    tag(piece.as_bytes(), &mut |begin, name_end, end| {
        let source = &piece[begin..end];
        let value = source[name_end - begin..].trim_start_matches(BLANKS);
        let value = value.strip_prefix('=').unwrap_or_default().trim_start_matches(BLANKS);
        let quoted = ['"', '\''].into_iter().find_map(|quote| value.strip_prefix(quote)?.strip_suffix(quote));
        found.push(Attribute { source, name: &piece[begin..name_end], value: quoted.unwrap_or(value) });
    });
    found
}

/// What closes a document that ends within a comment or an element whose content is no HTML, so that something may follow; none
/// if it ends within a tag, which then is none.
pub fn closing(last: &str) -> Option<&'static str> {
    let octets = last.as_bytes();
    match octets {
        [b'<', b'!', b'-', b'-', ..] => Some(if comment(octets).is_some() { "" } else { "-->" }),
        [b'<', b'a'..=b'z' | b'A'..=b'Z', ..] => match raw(octets) {
            Some("style") => Some("</style>"),
            Some("title") => Some("</title>"),
            Some("textarea") => Some("</textarea>"),
            Some(_) => Some("</script>"),
            None => whole(octets).map(|_| ""),
        },
        [b'<', b'/', b'a'..=b'z' | b'A'..=b'Z', ..] => whole(octets).map(|_| ""),
        [b'<', b'!' | b'?' | b'/', ..] => last.ends_with('>').then_some(""),
        _ => Some(""),
    }
}

const BLANKS: [char; 5] = ['\t', '\n', '\u{c}', '\r', ' '];

/// Up to `-->` or `--!>`, whose dashes may be those of the beginning for the first.
fn comment(octets: &[u8]) -> Option<usize> {
    const BEGIN: usize = 4;
    let ends = |at: &usize| {
        let before = &octets[..*at];
        before.ends_with(b"--") && *at >= BEGIN || before.ends_with(b"--!") && *at >= BEGIN + 3
    };
    memchr::memchr_iter(b'>', octets).find(ends).map(|at| at + 1)
}

/// A tag's length, if it has an end.
fn whole(octets: &[u8]) -> Option<usize> {
    tag(octets, &mut |_, _, _| {})
}

/// Up to the bracket that ends it, if there is one, which may not be the first: others may be in quotes. `found` is given where each attribute
/// begins, where its name ends, and where it ends.
fn tag(octets: &[u8], found: &mut dyn FnMut(usize, usize, usize)) -> Option<usize> {
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
    // Where the attribute that is read begins, and where its name ends.
    let (mut begin, mut name_end) = (0, 0);
    for (at, &octet) in octets.iter().enumerate().skip(2) {
        let is_blank = matches!(octet, b'\t' | b'\n' | b'\x0c' | b'\r' | b' ');
        let is_end = octet == b'>';
        state = match state {
            State::Quoted(quote) if octet == quote => {
                found(begin, name_end, at + 1);
                State::BeforeAttribute
            }
            State::Quoted(quote) => State::Quoted(quote),
            State::BeforeValue if is_blank => State::BeforeValue,
            State::BeforeValue if matches!(octet, b'"' | b'\'') => State::Quoted(octet),
            State::BeforeValue if !is_end => State::Unquoted,
            State::Unquoted if !is_blank && !is_end => State::Unquoted,
            State::BeforeValue | State::Unquoted => {
                found(begin, name_end, at);
                State::BeforeAttribute
            }
            State::Attribute if octet == b'=' => {
                name_end = at;
                State::BeforeValue
            }
            State::Attribute if is_blank => {
                name_end = at;
                State::AfterAttribute
            }
            State::Attribute if octet == b'/' || is_end => {
                found(begin, at, at);
                State::BeforeAttribute
            }
            State::AfterAttribute if is_blank => State::AfterAttribute,
            State::AfterAttribute if octet == b'=' => State::BeforeValue,
            State::AfterAttribute if octet == b'/' || is_end => {
                found(begin, name_end, name_end);
                State::BeforeAttribute
            }
            State::AfterAttribute => {
                found(begin, name_end, name_end);
                begin = at;
                State::Attribute
            }
            State::Attribute => State::Attribute,
            State::Name | State::BeforeAttribute if is_blank || octet == b'/' => State::BeforeAttribute,
            State::Name => State::Name,
            State::BeforeAttribute if is_end => State::BeforeAttribute,
            State::BeforeAttribute => {
                begin = at;
                State::Attribute
            }
        };
        if is_end && !matches!(state, State::Quoted(_)) {
            return Some(at + 1);
        }
    }
    None
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
                Piece::Text(piece) | Piece::Tag(piece) | Piece::Markup(piece) => *piece,
            })
            .collect();
        assert_eq!(whole, html);
        pieces
            .iter()
            .filter_map(|piece| match piece {
                Piece::Text(text) => Some(*text),
                Piece::Tag(_) | Piece::Markup(_) => None,
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
            ("a<script>b < \" c</script>d", "ad"),
            ("a<script><!--<script></script>b", ""),
            ("", ""),
        ] {
            assert_eq!(text(html), expected, "{html}");
        }
    }

    #[test]
    fn what_attributes_a_tag_has() {
        for (tag, expected) in [
            ("<a>", &[] as &[(&str, &str)]),
            ("<a href=x>", &[("href", "x")]),
            ("<a href=\"x>y\" b>", &[("href", "x>y"), ("b", "")]),
            ("<a href = 'x\" y'c>", &[("href", "x\" y"), ("c", "")]),
            ("<a/href=x/y/>", &[("href", "x/y/")]),
            ("<a b/c d = e>", &[("b", ""), ("c", ""), ("d", "e")]),
            ("<a =b c=>", &[("=b", ""), ("c", "")]),
            ("<a b= >", &[("b", "")]),
            ("<a\"b=c\nD\n=\n'e'>", &[("D", "e")]),
            ("<a b='\"'>", &[("b", "\"")]),
            ("<A HREF=x HREF=y>", &[("HREF", "x"), ("HREF", "y")]),
        ] {
            let found: Vec<_> = attributes(tag).iter().map(|found| (found.name, found.value)).collect();
            assert_eq!(found, expected, "{tag}");
            assert_eq!(Pieces::of(tag).next(), Some(Piece::Tag(tag)));
        }
        assert_eq!(attributes("<a b = 'c' d>")[0].source, "b = 'c'");
        assert_eq!((name("<a>"), name("<Area/b"), name("<a\"b c>")), ("a", "Area", "a\"b"));
    }

    #[test]
    fn what_closes_a_document() {
        for (last, expected) in [
            ("<p>", Some("")),
            ("<p a=\">", None),
            ("<p a", None),
            ("</p", None),
            ("<!-- a", Some("-->")),
            ("<!-- a -->", Some("")),
            ("<!doctype a", None),
            ("<style>a", Some("</style>")),
            ("<textarea>a", Some("</textarea>")),
            ("a", Some("")),
        ] {
            assert_eq!(closing(last), expected, "{last}");
        }
    }
}
