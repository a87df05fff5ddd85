//! What a relay has to know about a message's content before it passes the message on.

use std::io::{self, BufRead};

use memchr::memchr;

/// RFC 5321 section 6.3 asks for a limit of at least 100.
const MAX_RECEIVED: usize = 100;
const RECEIVED: &[u8] = b"received:";

/// What was found in a message's content.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct Survey {
    /// Whether it has passed so many servers that it must be in a loop.
    pub is_loop: bool,
    /// Whether an octet above 127 is in its headers.
    pub eight_bit_headers: bool,
    /// Whether one is anywhere.
    pub eight_bit: bool,
}

impl Survey {
    /// Reads a message once, whatever the length of its lines.
    pub fn of(mut content: impl BufRead) -> io::Result<Survey> {
        let mut survey = Survey::default();
        let mut received = 0;
        let mut in_headers = true;
        // The beginning of the line that is read, as far as it matters, and how long the line is.
        let mut start: Vec<u8> = Vec::with_capacity(RECEIVED.len());
        let mut length = 0usize;
        loop {
            let octets = content.fill_buf()?;
            if octets.is_empty() {
                return Ok(survey);
            }
            let taken = octets.len();
            survey.eight_bit |= !octets.is_ascii();
            let mut rest = octets;
            while in_headers && !rest.is_empty() {
                let end = memchr(b'\n', rest);
                let piece = &rest[..end.unwrap_or(rest.len())];
                survey.eight_bit_headers |= !piece.is_ascii();
                start.extend_from_slice(&piece[..piece.len().min(RECEIVED.len() - start.len())]);
                length += piece.len();
                if end.is_some() {
                    received += usize::from(start.eq_ignore_ascii_case(RECEIVED));
                    in_headers = !(length == 0 || (length == 1 && start == b"\r"));
                    start.clear();
                    length = 0;
                }
                rest = &rest[end.map_or(rest.len(), |end| end + 1)..];
            }
            survey.is_loop = received > MAX_RECEIVED;
            content.consume(taken);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use super::*;

    fn survey(text: &str) -> Survey {
        let whole = Survey::of(text.as_bytes()).unwrap();
        for size in [1, 2, 3, 7, 10] {
            assert_eq!(Survey::of(BufReader::with_capacity(size, text.as_bytes())).unwrap(), whole, "by {size}");
        }
        whole
    }

    #[test]
    fn loops() {
        let headers = |n: usize| "Received: x\r\n\tfor y\r\n".repeat(n);
        assert!(!survey(&headers(100)).is_loop);
        assert!(survey(&headers(101)).is_loop);
        assert!(survey(&headers(101).to_lowercase()).is_loop);
        // What stands in the body counts for nothing.
        assert!(!survey(&format!("Subject: x\r\n\r\n{}", headers(101))).is_loop);
        assert!(!survey(&"X-Received: x\r\n".repeat(101)).is_loop);
    }

    #[test]
    fn octets_above_127() {
        assert_eq!(survey("Subject: x\r\n\r\nbody"), Survey::default());
        let body = survey("Subject: x\r\n\r\n\u{fc}");
        assert!(body.eight_bit && !body.eight_bit_headers);
        let header = survey("Subject: \u{fc}\r\n\r\nbody");
        assert!(header.eight_bit && header.eight_bit_headers);
    }
}
