//! Text in header fields: unfolded octets, and encoded words (RFC 2047).

use memchr::memmem;

use super::charset::{Charset, undeclared};
use super::limits::Bounds;
use super::transfer::Encoding;

/// In octets, of a charset's name in an encoded word.
const MAX_CHARSET: usize = 80;

/// A field's value as text: encoded words decoded, blanks for control characters, none around it.
pub(super) fn text(value: &[u8], bounds: &mut Bounds<'_>) -> String {
    without_controls(decoded(&undeclared(value.trim_ascii()), bounds))
}

/// The same of a piece of a value.
pub(super) fn phrase(text: &str, bounds: &mut Bounds<'_>) -> String {
    without_controls(decoded(text.trim(), bounds))
}

/// Encoded words decoded, wherever they stand: in comments, in quotes, and right behind something else.
pub(super) fn decoded(text: &str, bounds: &mut Bounds<'_>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut run = Run::default();
    let mut ends = Ends { at: Some(0) };
    let mut rest = 0;
    while let Some(found) = memmem::find(&text.as_bytes()[rest..], b"=?") {
        let begin = rest + found;
        match word(text, begin, &mut ends).filter(|_| bounds.word()) {
            Some(word) => {
                let between = &text[rest..begin];
                // Blanks between encoded words are none of the text: RFC 2047 section 6.2.
                if !(run.is_begun() && between.bytes().all(|b| b.is_ascii_whitespace())) {
                    run.end(&mut out);
                    out += between;
                }
                rest = word.end;
                run.add(&word, &mut out);
            }
            None => {
                run.end(&mut out);
                out += &text[rest..begin + 1];
                rest = begin + 1;
            }
        }
    }
    run.end(&mut out);
    out += &text[rest..];
    out
}

/// Blanks for control characters, and none at the end.
fn without_controls(mut text: String) -> String {
    if text.chars().any(char::is_control) {
        text = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    }
    text.truncate(text.trim_end_matches(' ').len());
    text
}

/// Where encoded words end: so that a text in which none does is looked through once.
struct Ends {
    at: Option<usize>,
}

impl Ends {
    fn next(&mut self, text: &str, from: usize) -> Option<usize> {
        if self.at? < from {
            self.at = memmem::find(&text.as_bytes()[from..], b"?=").map(|found| from + found);
        }
        self.at
    }
}

struct Word<'a> {
    charset: &'a str,
    encoding: u8,
    content: &'a str,
    end: usize,
}

fn word<'a>(text: &'a str, begin: usize, ends: &mut Ends) -> Option<Word<'a>> {
    let octets = text.as_bytes();
    let charset = begin + 2;
    let length = octets[charset..].iter().take(MAX_CHARSET).position(|b| *b == b'?')?;
    let encoding = *octets.get(charset + length + 1)?;
    let content = charset + length + 3;
    let is_word = octets[charset..charset + length].iter().all(u8::is_ascii_graphic)
        && matches!(encoding, b'b' | b'B' | b'q' | b'Q')
        && octets.get(content - 1) == Some(&b'?');
    if !is_word {
        return None;
    }
    let end = ends.next(text, content)?;
    let inner = &text[content..end];
    // Another one begins before this one ends, so this one does not end.
    if memmem::find(inner.as_bytes(), b"=?").is_some_and(|at| at > 0) {
        return None;
    }
    Some(Word { charset: &text[charset..charset + length], encoding, content: inner, end: end + 2 })
}

/// Encoded words one behind the other in the same charset, which may split a character between them.
#[derive(Default)]
struct Run<'a> {
    charset: Option<&'a str>,
    octets: Vec<u8>,
}

impl<'a> Run<'a> {
    fn is_begun(&self) -> bool {
        self.charset.is_some()
    }

    fn add(&mut self, word: &Word<'a>, out: &mut String) {
        if self.charset.is_some_and(|charset| !charset.eq_ignore_ascii_case(word.charset)) {
            self.end(out);
        }
        self.charset = Some(word.charset);
        match word.encoding {
            b'b' | b'B' => self.octets.extend(Encoding::Base64.decode(word.content.as_bytes())),
            _ => quoted(word.content.as_bytes(), &mut self.octets),
        }
    }

    fn end(&mut self, out: &mut String) {
        let Some(charset) = self.charset.take() else { return };
        *out += &match Charset::named(charset) {
            Some(charset) => charset.decode(&self.octets),
            None => undeclared(&self.octets),
        };
        self.octets.clear();
    }
}

/// The encoding "Q": RFC 2047 section 4.2.
fn quoted(content: &[u8], out: &mut Vec<u8>) {
    let mut rest = content;
    while let Some((&octet, behind)) = rest.split_first() {
        let digit = |at: usize| behind.get(at).and_then(|b| char::from(*b).to_digit(16));
        rest = behind;
        match (octet, digit(0), digit(1)) {
            (b'=', Some(high), Some(low)) => {
                out.push((high << 4 | low) as u8);
                rest = &behind[2..];
            }
            (b'_', ..) => out.push(b' '),
            _ => out.push(octet),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::limits::{Cut, Limits};
    use super::*;

    fn read(value: &[u8]) -> String {
        text(value, &mut Bounds::new(&Limits::default()))
    }

    #[test]
    fn encoded_words() {
        for (value, expected) in [
            ("=?utf-8?q?Gr=C3=BC=C3=9Fe?=", "Gr\u{fc}\u{df}e"),
            ("=?utf-8?q?a?= =?utf-8?b?w7w=?=  b", "a\u{fc}  b"),
            ("=?utf-8?q?a?==?utf-8?q?b?=", "ab"),
            ("=?utf-8?q?a?=\t =?iso-8859-1?q?=FC?=", "a\u{fc}"),
            ("=?UTF-8?B?4piD?= =?UTF-8?B?IOKY?= =?utf-8?B?gw==?=", "\u{2603} \u{2603}"),
            ("(=?ISO-8859-1?Q?b?=) and =?utf-8?q?=C3=A4?=", "(b) and \u{e4}"),
            ("[SPAM]=?utf-8?B?YWI=?=!", "[SPAM]ab!"),
            ("a =?utf-8?Q??= b", "a  b"),
            ("=?utf-8*en?q?a_b?=", "a b"),
            ("=?utf-8?q?Hello World?=", "Hello World"),
            ("=?utf-8?q?a=3D?=", "a="),
            ("=?utf-8?q?=3Da?=", "=a"),
            ("=?x-none?q?gr=FCn?=", "gr\u{fc}n"),
            ("=?utf-8?x?a?= =?utf-8?q?b?=", "=?utf-8?x?a?= b"),
            ("=?utf-8?q?a =?utf-8?q?b?=", "=?utf-8?q?a b"),
            ("=?utf-8?q?a", "=?utf-8?q?a"),
            ("=?=?=?", "=?=?=?"),
            ("a =?utf-8?q?b=0A?=", "a b"),
            ("=?iso-2022-jp?B?GyRCJDMkcxsoQg==?=", "\u{3053}\u{3093}"),
        ] {
            assert_eq!(read(value.as_bytes()), expected, "{value}");
        }
        assert_eq!(read(b"gr\xfcn\tx "), "gr\u{fc}n x");
        assert_eq!(read("gr\u{fc}n".as_bytes()), "gr\u{fc}n");
    }

    #[test]
    fn so_many_and_no_more() {
        let limits = Limits { encoded_words: 2, ..Limits::default() };
        let mut bounds = Bounds::new(&limits);
        assert_eq!(text(b"=?a?q?x?= =?a?q?y?= =?a?q?z?=", &mut bounds), "xy =?a?q?z?=");
        assert_eq!(bounds.cut, [Cut::EncodedWords]);
    }
}
