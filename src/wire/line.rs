//! Command lines: RFC 5321 section 2.3.8. Only CRLF ends one.

use crate::command;
use crate::config::MAX_SKIPPED;

/// The octets that commands have without extensions: RFC 5321 section 4.5.3.1.4.
const USUAL: usize = 512;

/// The octets of HTTP's CONNECT.
const LONGEST_METHOD: usize = 7;

/// Collects one command line out of what each read brings.
#[derive(Default, Debug)]
pub(crate) struct LineReader {
    line: Vec<u8>,
    // Octets of an overlong line that were thrown away.
    skipped: usize,
    // Whether what was thrown away began as an HTTP request does.
    is_http: bool,
}

/// How a line stands after it was fed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Line {
    /// Not ended yet.
    Partial,
    /// Ended; [`LineReader::line`] has it without its CRLF.
    Complete,
    /// Ended, but over the limit: its text is gone.
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

    /// The text of a complete line, without its CRLF.
    pub fn line(&self) -> &[u8] {
        self.line.strip_suffix(b"\r\n").unwrap_or(&self.line)
    }

    /// Whether an overlong line began as an HTTP request does.
    pub fn is_http(&self) -> bool {
        self.is_http
    }

    /// Makes ready for the next line.
    pub fn clear(&mut self) {
        self.line.clear();
        self.skipped = 0;
        self.is_http = false;
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
            let start: Vec<u8> = self.line.iter().chain(octets).take(LONGEST_METHOD + 1).copied().collect();
            self.is_http = command::Line::new(&start).is_http();
            self.skipped = self.line.len();
        }
        // The last octet alone is kept: it may be the CR of the CRLF that ends this.
        self.skipped += octets.len();
        self.line.clear();
        self.line.extend(octets.last());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn an_overlong_request_of_http_is_told_from_other_lines() {
        for (start, is_http) in [("GET /", true), ("connect x", true), ("CONNECTED x", false), ("NOOP GET /", false)] {
            let line = format!("{start}{}\r\n", "x".repeat(100));
            for piece in [1, 7, 50, 200] {
                let mut reader = LineReader::default();
                for octets in line.as_bytes().chunks(piece) {
                    reader.feed(octets, 50);
                }
                assert_eq!(reader.is_http(), is_http, "{start}");
                reader.clear();
                assert!(!reader.is_http());
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
