//! Replies as they came, octet for octet: RFC 5321 section 4.2.

use std::fmt::{self, Display, Formatter};

use super::probe::{Stop, fail};

/// How much of a reply is shown.
const SHOWN: usize = 64;

/// One reply, of one line or several.
#[derive(Clone, Debug)]
pub struct Reply {
    pub code: u16,
    /// The lines with their ends.
    pub lines: Vec<Vec<u8>>,
}

impl Reply {
    /// Takes the first reply off `octets`, if it is there in full. An LF alone is taken for a line's end too: whether that
    /// is right is a check's business.
    pub fn take(octets: &mut Vec<u8>) -> Result<Option<Reply>, Stop> {
        let mut end = 0;
        let mut lines = Vec::new();
        while let Some(at) = octets[end..].iter().position(|b| *b == b'\n') {
            let line = octets[end..=end + at].to_vec();
            end += at + 1;
            let Some(code) = code(&line) else {
                return fail(format!("not a reply: {}", shown(&line)));
            };
            let is_last = line[3] != b'-';
            lines.push(line);
            if is_last {
                octets.drain(..end);
                return Ok(Some(Reply { code, lines }));
            }
        }
        Ok(None)
    }

    /// The code's first digit.
    pub fn class(&self) -> u16 {
        self.code / 100
    }

    /// Whether the code is among these, where one digit stands for its class.
    pub fn is(&self, codes: &[u16]) -> bool {
        codes.iter().any(|code| [self.code, self.class()].contains(code))
    }

    /// What each line says behind its code.
    pub fn texts(&self) -> impl Iterator<Item = String> {
        self.lines.iter().map(|line| String::from_utf8_lossy(line.get(4..).unwrap_or_default()).trim_end().to_owned())
    }
}

/// The code of a reply's line.
pub fn code(line: &[u8]) -> Option<u16> {
    let (digits, behind) = line.split_at_checked(3)?;
    let separated = matches!(behind.first(), Some(b' ' | b'-' | b'\r' | b'\n'));
    let is_code = separated && digits.iter().all(u8::is_ascii_digit);
    str::from_utf8(digits).ok().filter(|_| is_code)?.parse().ok()
}

/// Octets from the wire for a terminal: escaped, and not too many.
pub fn shown(octets: &[u8]) -> String {
    let line = octets.trim_ascii_end();
    let dots = if line.len() > SHOWN { "..." } else { "" };
    format!("{}{dots}", line[..line.len().min(SHOWN)].escape_ascii())
}

impl Display for Reply {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&shown(self.lines.first().map_or(b"", |line| line)))
    }
}
