//! Octets of a client made safe for a log, a terminal or a reply.

use std::fmt::{self, Display, Formatter, Write};

/// Displays octets from a client so that they can neither control a terminal nor look like a line of the server.
///
/// Printable text stays as it is, UTF-8 included. Control characters (C0, DEL, and C1 in either form), octets that are not
/// UTF-8, line and paragraph separators, and the controls of writing direction become `\n`, `\t`, `\x1b` or `\u{202e}`. A
/// backslash stays as it is: the result is for people to read, not for programs to parse.
///
/// ```
/// use pillarbox::Escaped;
///
/// assert_eq!(Escaped::new(b"NOOP \x1b[2J\xff").to_string(), r"NOOP \x1b[2J\xff");
/// assert_eq!(Escaped::new("gr\u{fc}n".as_bytes()).to_string(), "gr\u{fc}n");
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Escaped<'a>(&'a [u8]);

impl<'a> Escaped<'a> {
    /// Wraps octets or text for [`Display`].
    pub fn new<B: AsRef<[u8]> + ?Sized>(bytes: &'a B) -> Escaped<'a> {
        Escaped(bytes.as_ref())
    }
}

impl Display for Escaped<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            let text = chunk.valid();
            // Runs of harmless characters go out in one piece.
            let mut written = 0;
            for (at, c) in text.char_indices() {
                if is_harmful(c) {
                    f.write_str(&text[written..at])?;
                    write_escape(f, c)?;
                    written = at + c.len_utf8();
                }
            }
            f.write_str(&text[written..])?;
            for byte in chunk.invalid() {
                write!(f, "\\x{byte:02x}")?;
            }
        }
        Ok(())
    }
}

fn is_harmful(c: char) -> bool {
    // is_control is C0, DEL and C1. The rest: separators that some programs break lines at, and bidirectional controls.
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn write_escape(f: &mut Formatter<'_>, c: char) -> fmt::Result {
    match c {
        '\n' => f.write_str("\\n"),
        '\r' => f.write_str("\\r"),
        '\t' => f.write_str("\\t"),
        c if c.is_ascii() => write!(f, "\\x{:02x}", c as u32),
        c => {
            f.write_char('\\')?;
            write!(f, "u{{{:x}}}", c as u32)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn controls_of_every_kind_are_visible() {
        let bytes = b"a\0\t\r\n\x1b\x7f";
        assert_eq!(Escaped::new(bytes).to_string(), r"a\x00\t\r\n\x1b\x7f");
        // C1 as a character and as a raw byte.
        assert_eq!(Escaped::new("\u{85}\u{9b}").to_string(), r"\u{85}\u{9b}");
        assert_eq!(Escaped::new(b"\x9b2J").to_string(), r"\x9b2J");
        assert_eq!(Escaped::new("\u{202e}x\u{2066}\u{2028}").to_string(), r"\u{202e}x\u{2066}\u{2028}");
    }

    #[test]
    fn text_stays_text() {
        assert_eq!(Escaped::new("Grüße, 日本 \\ ok").to_string(), "Grüße, 日本 \\ ok");
        assert_eq!(Escaped::new("").to_string(), "");
    }
}
