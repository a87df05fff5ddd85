//! A header field: its name, and its value on as many lines as it takes (RFC 5322 section 2.2).

use std::fmt::{self, Display, Formatter};
use std::io::{self, ErrorKind};

/// The longest line that RFC 5322 section 2.1.1 allows, in octets, without its CRLF.
const MAX_LINE: usize = 998;

/// The length that it asks lines to keep to.
const PREFERRED_LINE: usize = 78;

/// In octets. Header fields beyond this are refused or cut by most mail servers.
const MAX_FIELD: usize = 64 * 1024;

/// Why a text cannot be a header field: see [`Envelope::prepend_header`](crate::Envelope::prepend_header).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum HeaderError {
    /// The name is empty, or has something other than printable ASCII, or a blank or a colon.
    Name,
    /// The value has a control character: a line end would begin another header field, or the body.
    Control,
    /// The value is not ASCII, and the message came without SMTPUTF8 (RFC 6532). Encode it as RFC 2047 says.
    NotAscii,
    /// The field is over 64 KiB, or a word of it does not fit on a line of 998 octets.
    TooLong,
}

impl Display for HeaderError {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            HeaderError::Name => "the name of a header field must be printable ASCII without blanks and colons",
            HeaderError::Control => "the value of a header field cannot have line ends or other control characters",
            HeaderError::NotAscii => "the value of a header field must be ASCII in a message without SMTPUTF8",
            HeaderError::TooLong => "the header field is too long",
        })
    }
}

impl std::error::Error for HeaderError {}

impl From<HeaderError> for io::Error {
    /// [`InvalidInput`](ErrorKind::InvalidInput), for functions that change a message and return an `io::Result`.
    fn from(error: HeaderError) -> io::Error {
        io::Error::new(ErrorKind::InvalidInput, error)
    }
}

/// A field with its CRLF, folded where the value has blanks. Unfolded it is the value again, without blanks around it.
pub(crate) fn field(name: &str, value: &str, is_utf8_allowed: bool) -> Result<String, HeaderError> {
    const BLANK: [char; 2] = [' ', '\t'];
    // ftext: RFC 5322 section 3.6.8.
    if name.is_empty() || !name.bytes().all(|b| b.is_ascii_graphic() && b != b':') {
        return Err(HeaderError::Name);
    }
    if value.chars().any(|c| c.is_control() && c != '\t') {
        return Err(HeaderError::Control);
    }
    if !is_utf8_allowed && !value.is_ascii() {
        return Err(HeaderError::NotAscii);
    }
    if name.len() + value.len() > MAX_FIELD {
        return Err(HeaderError::TooLong);
    }
    let mut field = format!("{name}:");
    let mut line = field.len();
    // Some readers take no first line without a word of the value.
    let mut max = MAX_LINE;
    let mut rest = value.trim_matches(BLANK);
    while !rest.is_empty() {
        let word = rest.trim_start_matches(BLANK);
        let blanks = if max == MAX_LINE { " " } else { &rest[..rest.len() - word.len()] };
        let word = &word[..word.find(BLANK).unwrap_or(word.len())];
        // Each line has a word: one of blanks alone could pass for the end of the header.
        if line + blanks.len() + word.len() > max {
            field += "\r\n";
            line = 0;
        }
        line += blanks.len() + word.len();
        if line > MAX_LINE {
            return Err(HeaderError::TooLong);
        }
        field += blanks;
        field += word;
        rest = rest.trim_start_matches(BLANK);
        rest = &rest[word.len()..];
        max = PREFERRED_LINE;
    }
    if line > MAX_LINE {
        return Err(HeaderError::TooLong);
    }
    field += "\r\n";
    Ok(field)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn short_ones_are_one_line() {
        assert_eq!(field("X-Scanned", "yes", false).unwrap(), "X-Scanned: yes\r\n");
        assert_eq!(field("X", "  a\t b ", false).unwrap(), "X: a\t b\r\n");
        assert_eq!(field("X", "", false).unwrap(), "X:\r\n");
        assert_eq!(field("X", " \t", false).unwrap(), "X:\r\n");
        assert_eq!(field("X", "gr\u{fc}n", true).unwrap(), "X: gr\u{fc}n\r\n");
    }

    #[test]
    fn what_could_begin_another_is_refused() {
        for name in ["", "X Y", "X:", "X\r\nY", "X\0", "Gr\u{fc}n", "X\u{7f}", "X\t"] {
            assert_eq!(field(name, "x", true), Err(HeaderError::Name), "{name:?}");
        }
        for value in ["a\r\nB: c", "a\nB: c", "a\rB: c", "a\r\n b", "\n", "a\0b", "a\u{7f}", "a\u{85}b", "\u{1b}[2J"] {
            assert_eq!(field("X", value, true), Err(HeaderError::Control), "{value:?}");
        }
        assert_eq!(field("X", "gr\u{fc}n", false), Err(HeaderError::NotAscii));
    }

    #[test]
    fn long_ones_are_folded_at_blanks() {
        let words = vec!["word"; 40].join(" ");
        let folded = field("X-Words", &words, false).unwrap();
        assert!(folded.lines().count() == 3 && folded.lines().all(|line| line.len() <= PREFERRED_LINE), "{folded}");
        let long = "x".repeat(MAX_LINE - 3);
        assert_eq!(field("X", &long, false).unwrap(), format!("X: {long}\r\n"));
        assert_eq!(field("XY", &long, false).unwrap(), format!("XY:\r\n {long}\r\n"));
        assert_eq!(field("X", &"x".repeat(MAX_LINE), false), Err(HeaderError::TooLong));
        assert_eq!(field("X", &format!("a{}b", " ".repeat(MAX_LINE)), false), Err(HeaderError::TooLong));
        assert_eq!(field(&"X".repeat(MAX_LINE), "", false), Err(HeaderError::TooLong));
        assert_eq!(field("X", &"x ".repeat(MAX_FIELD / 2), false), Err(HeaderError::TooLong));
        assert!(field("X", &"x ".repeat(MAX_FIELD / 2 - 1), false).is_ok());
    }

    proptest! {
        #[test]
        fn one_field_whatever_it_says(name in "[!-9;-~]{1,80}", words in prop::collection::vec("[ \t]{1,90}[!-~\u{fc}]{1,90}", 0..20)) {
            let value = words.concat();
            let made = field(&name, &value, true).unwrap();
            let lines: Vec<&str> = made.strip_suffix("\r\n").unwrap().split("\r\n").collect();
            prop_assert!(lines.iter().all(|line| line.len() <= MAX_LINE && !line.contains(['\r', '\n'])));
            prop_assert!(lines[1..].iter().all(|line| line.starts_with([' ', '\t']) && !line.trim().is_empty()));
            let unfolded = lines.concat();
            let value_back = unfolded.strip_prefix(&name).unwrap().strip_prefix(':').unwrap();
            prop_assert_eq!(value_back.trim_matches([' ', '\t']), value.trim_matches([' ', '\t']));
        }
    }
}
