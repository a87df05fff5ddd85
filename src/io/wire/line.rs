//! Command lines: RFC 5321 section 2.3.8. Only CRLF ends one.

use crate::config::MAX_SKIPPED;

/// The octets that commands have without extensions: RFC 5321 section 4.5.3.1.4.
const USUAL: usize = 512;

/// Enough of an overlong line's start for the words that it is known by: CONNECT is the longest.
const START: usize = 8;

/// Enough of its end for a blank, HTTP's version, and blanks and a CR after it.
const END: usize = 16;

/// Collects one command line out of what each read brings.
#[derive(Default, Debug)]
pub(crate) struct LineReader {
    // Of an overlong line, its start and its end.
    line: Vec<u8>,
    // Octets of an overlong line.
    skipped: usize,
}

/// How a line stands after it was fed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Line {
    /// Not ended yet.
    Partial,
    /// Ended; [`LineReader::line`] has it without its CRLF.
    Complete,
    /// Ended, but over the limit: of its text, [`LineReader::line`] has the start and the end.
    TooLong,
    /// So far over the limit that waiting for the end, or going on behind it, is not worth it.
    Flood,
}

impl LineReader {
    /// Takes octets up to the line's end and says how many. `limit` counts the CRLF.
    pub fn feed(&mut self, octets: &[u8], limit: usize) -> (usize, Line) {
        let mut searched = 0;
        while let Some(at) = memchr::memchr(b'\n', &octets[searched..]) {
            let end = searched + at + 1;
            let after_cr = match end {
                1 => self.line.last() == Some(&b'\r'),
                _ => octets[end - 2] == b'\r',
            };
            if after_cr {
                self.keep(&octets[..end], limit);
                let state = if self.skipped > 0 { Line::TooLong } else { Line::Complete };
                return (end, self.unless_flood(state));
            }
            searched = end;
        }
        self.keep(octets, limit);
        (octets.len(), self.unless_flood(Line::Partial))
    }

    /// Too much is too much even if the end comes with it: where the pieces of a line begin shall make no difference.
    fn unless_flood(&self, state: Line) -> Line {
        if self.skipped > MAX_SKIPPED { Line::Flood } else { state }
    }

    /// The text of a line that has ended, without its CRLF.
    pub fn line(&self) -> &[u8] {
        self.line.strip_suffix(b"\r\n").unwrap_or(&self.line)
    }

    /// Makes ready for the next line.
    pub fn clear(&mut self) {
        self.line.clear();
        self.skipped = 0;
    }

    /// Gives back the room of a line that was longer than most.
    pub fn shrink(&mut self) {
        self.line.shrink_to(USUAL);
    }

    /// As [`clear`](LineReader::clear), for a line that was a secret.
    #[cfg(feature = "auth")]
    pub fn wipe(&mut self) {
        zeroize::Zeroize::zeroize(&mut self.line);
        self.clear();
    }

    fn keep(&mut self, octets: &[u8], limit: usize) {
        if self.skipped == 0 && self.line.len() + octets.len() <= limit {
            self.line.extend_from_slice(octets);
            return;
        }
        if self.skipped == 0 {
            self.skipped = self.line.len();
        }
        self.skipped += octets.len();
        let missing = START.saturating_sub(self.line.len()).min(octets.len());
        let (start, rest) = octets.split_at(missing);
        self.line.extend_from_slice(start);
        let end = &rest[rest.len().saturating_sub(END)..];
        let start = START.min(self.line.len());
        let surplus = (self.line.len() - start + end.len()).saturating_sub(END);
        self.line.drain(start..start + surplus);
        self.line.extend_from_slice(end);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::syntax::command;

    /// Feeds pieces and gives each line that came out, with how it ended.
    fn lines(pieces: &[&[u8]], limit: usize) -> Vec<(Vec<u8>, Line)> {
        let mut reader = LineReader::default();
        let mut found = Vec::new();
        for piece in pieces {
            let mut rest = *piece;
            while !rest.is_empty() {
                let (taken, state) = reader.feed(rest, limit);
                rest = &rest[taken..];
                if state != Line::Partial {
                    found.push((reader.line().to_vec(), state));
                    reader.clear();
                }
            }
        }
        found
    }

    fn complete(text: &[u8]) -> (Vec<u8>, Line) {
        (text.to_vec(), Line::Complete)
    }

    #[test]
    fn only_crlf_ends_a_line() {
        let found = lines(&[b"a\nb\rc\r\n\r\n\n\r\n"], 100);
        assert_eq!(found, [complete(b"a\nb\rc"), complete(b""), complete(b"\n")]);
        assert_eq!(lines(&[b"QUIT\n", b"QUIT\r", b"QUIT"], 100), []);
    }

    #[test]
    fn any_split_gives_the_same_lines() {
        let text = b"one\r\ntwo\r\r\n\nthree\r\n";
        let whole = lines(&[text], 100);
        for cut in 0..=text.len() {
            assert_eq!(lines(&[&text[..cut], &text[cut..]], 100), whole, "cut at {cut}");
        }
        let single: Vec<&[u8]> = text.chunks(1).collect();
        assert_eq!(lines(&single, 100), whole);
    }

    #[test]
    fn the_limit_counts_the_crlf_and_the_next_line_is_whole() {
        assert_eq!(lines(&[b"12345678\r\nNOOP\r\n"], 10), [complete(b"12345678"), complete(b"NOOP")]);
        for pieces in [&[&b"123456789\r\nNOOP\r\n"[..]][..], &[b"1234567890123", b"4\r", b"\nNOOP\r\n"]] {
            let found = lines(pieces, 10);
            assert_eq!(found.len(), 2);
            assert_eq!(found[0].1, Line::TooLong);
            assert_eq!(found[1], complete(b"NOOP"));
        }
    }

    #[test]
    fn an_overlong_line_is_known_by_its_start_and_its_end() {
        for (start, end, is_http, has_content) in [
            ("GET /", "", true, false),
            ("connect x", "", true, false),
            ("CONNECTED x", "", false, false),
            ("NOOP GET /", "", false, false),
            ("PATCH /", " HTTP/1.1", true, false),
            ("NOOP ", "\thttp/1.0 \t ", true, false),
            ("NOOP ", "HTTP/1.1", false, false),
            ("NOOP ", " HTTP/1.1.", false, false),
            ("bdat 1", "", false, true),
            ("DATA\t", " HTTP/1.1", true, true),
            ("BDAT1", "", false, true),
            ("BDATA 1", "", false, false),
            ("NOOP BDAT ", "", false, false),
        ] {
            let line = format!("{start}{}{end}\r\n", "x".repeat(100));
            for piece in [1, 7, 50, 51, 200] {
                let mut reader = LineReader::default();
                let states: Vec<Line> = line.as_bytes().chunks(piece).map(|octets| reader.feed(octets, 50).1).collect();
                assert_eq!(states.last(), Some(&Line::TooLong));
                let known = command::Line::new(reader.line());
                assert_eq!((known.is_http(), known.announces_content()), (is_http, has_content), "{line} by {piece}");
                reader.clear();
                assert_eq!(reader.line(), b"");
            }
        }
    }

    #[test]
    fn a_flood_is_one_in_whichever_pieces_it_comes() {
        for (over, state) in [(0, Line::TooLong), (1, Line::Flood)] {
            let line = [&vec![b'x'; MAX_SKIPPED + over - 2][..], b"\r\n"].concat();
            for piece in [line.len(), 65_000, 4096, 1] {
                let mut reader = LineReader::default();
                let states: Vec<Line> = line.chunks(piece).map(|octets| reader.feed(octets, 2048).1).collect();
                assert_eq!(states.last(), Some(&state), "{over} over, {piece} at a time");
            }
        }
    }

    #[test]
    fn a_flood_is_noticed_and_nothing_of_it_is_kept() {
        for block in [&[b'x'; 4096][..], b"x"] {
            let mut reader = LineReader::default();
            let mut fed = 0;
            loop {
                let (taken, state) = reader.feed(block, 2048);
                fed += taken;
                assert!(reader.line.capacity() <= 4096);
                if state == Line::Flood {
                    break;
                }
                assert!(fed <= MAX_SKIPPED);
            }
            assert!((MAX_SKIPPED + 1..=MAX_SKIPPED + block.len()).contains(&fed));
        }
    }
}
