//! Content on its way to another server: RFC 5321 sections 2.3.8 and 4.5.2.

use memchr::memchr2;

/// Puts a dot before each line that begins with one, and makes CRLF of every CR or LF that stands alone, so that nothing
/// in the content can end it.
#[derive(Debug)]
pub(crate) struct Stuffing {
    at: At,
}

/// Behind which octet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum At {
    LineStart,
    Text,
    /// Behind a CR, of which a CRLF was made: an LF that follows belongs to it.
    Cr,
}

impl Stuffing {
    pub fn new() -> Stuffing {
        Stuffing { at: At::LineStart }
    }

    /// Appends a piece of content as it goes over the wire.
    pub fn feed(&mut self, mut octets: &[u8], out: &mut Vec<u8>) {
        while let Some(&first) = octets.first() {
            if self.at == At::Cr {
                self.at = At::LineStart;
                if first == b'\n' {
                    octets = &octets[1..];
                    continue;
                }
            }
            if self.at == At::LineStart && first == b'.' {
                out.push(b'.');
            }
            let end = match memchr2(b'\r', b'\n', octets) {
                Some(end) => end,
                None => {
                    out.extend_from_slice(octets);
                    self.at = At::Text;
                    return;
                }
            };
            out.extend_from_slice(&octets[..end]);
            out.extend_from_slice(b"\r\n");
            self.at = if octets[end] == b'\r' { At::Cr } else { At::LineStart };
            octets = &octets[end + 1..];
        }
    }

    /// Appends the end of the content. A last line without an end gets one.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        if self.at == At::Text {
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(b".\r\n");
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::config::LineEnds;
    use crate::io::wire::data::DataReader;

    fn stuffed(pieces: &[&[u8]]) -> Vec<u8> {
        let mut stuffing = Stuffing::new();
        let mut out = Vec::new();
        for piece in pieces {
            stuffing.feed(piece, &mut out);
        }
        stuffing.finish(&mut out);
        out
    }

    #[test]
    fn dots_and_ends() {
        let wire = |content: &str| String::from_utf8(stuffed(&[content.as_bytes()])).unwrap();
        assert_eq!(wire(""), ".\r\n");
        assert_eq!(wire("a\r\n.b\r\n..\r\n"), "a\r\n..b\r\n...\r\n.\r\n");
        assert_eq!(wire("."), "..\r\n.\r\n");
        assert_eq!(wire("no end"), "no end\r\n.\r\n");
    }

    #[test]
    fn lone_line_ends_do_not_go_out() {
        let wire = |content: &str| String::from_utf8(stuffed(&[content.as_bytes()])).unwrap();
        assert_eq!(wire("a\n.\nb\r.\r"), "a\r\n..\r\nb\r\n..\r\n.\r\n");
        assert_eq!(wire("a\r\n.\n"), "a\r\n..\r\n.\r\n");
        assert_eq!(wire("\r\r\n\n"), "\r\n\r\n\r\n.\r\n");
    }

    proptest! {
        #[test]
        fn the_other_side_finds_the_end_and_nothing_before_it(
            text in "[\\r\\n.ab]{0,24}",
            cut in 0usize..24,
        ) {
            let cut = cut.min(text.len());
            let wire = stuffed(&[&text.as_bytes()[..cut], &text.as_bytes()[cut..]]);
            prop_assert_eq!(&wire, &stuffed(&[text.as_bytes()]));
            let mut content = Vec::new();
            let (taken, end) = DataReader::new(LineEnds::Reject).feed(&wire, &mut content);
            prop_assert!(end && taken == wire.len());
            let lines = text.replace("\r\n", "\n").replace('\r', "\n");
            let whole = if lines.is_empty() || lines.ends_with('\n') { lines } else { lines + "\n" };
            prop_assert_eq!(String::from_utf8(content).unwrap(), whole.replace('\n', "\r\n"));
        }
    }
}
