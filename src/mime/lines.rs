//! A message's lines, as they come: what is longer than the buffer comes in pieces.

use std::io::{self, ErrorKind, Read};

/// In octets, of what is read at once, and so of the longest line that comes in one piece.
const BUFFER: usize = 64 * 1024;

/// A line or a piece of one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Piece<'a> {
    /// Without the line's end.
    pub octets: &'a [u8],
    /// Where it begins.
    pub at: u64,
    /// Whether it is a line's beginning.
    pub begins: bool,
    /// The octets of the line's end, or none if more of it comes, or nothing at all.
    pub end: u64,
}

impl Piece<'_> {
    /// Where the next one begins.
    pub fn next(&self) -> u64 {
        self.at + self.octets.len() as u64 + self.end
    }
}

pub(super) struct Lines<R> {
    from: R,
    buffer: Vec<u8>,
    // What was read and not given out.
    begin: usize,
    filled: usize,
    // Where the first of it is.
    at: u64,
    begins: bool,
    is_at_end: bool,
    line_end: u8,
}

impl<R: Read> Lines<R> {
    /// `len` is about how many octets will come.
    pub fn new(from: R, len: u64) -> io::Result<Lines<R>> {
        let size = usize::try_from(len).unwrap_or(BUFFER).saturating_add(1).min(BUFFER);
        let mut lines = Lines {
            from,
            buffer: vec![0; size],
            begin: 0,
            filled: 0,
            at: 0,
            begins: true,
            is_at_end: false,
            line_end: b'\n',
        };
        lines.fill()?;
        let first = &lines.buffer[..lines.filled];
        if memchr::memchr(b'\n', first).is_none() && memchr::memchr(b'\r', first).is_some() {
            lines.line_end = b'\r';
        }
        if first.starts_with(b"\xef\xbb\xbf") {
            (lines.begin, lines.at) = (3, 3);
        }
        Ok(lines)
    }

    /// Fills the buffer, what is in it moved to its front.
    fn fill(&mut self) -> io::Result<()> {
        self.buffer.copy_within(self.begin..self.filled, 0);
        self.filled -= self.begin;
        self.begin = 0;
        while self.filled < self.buffer.len() && !self.is_at_end {
            match self.from.read(&mut self.buffer[self.filled..]) {
                Ok(0) => self.is_at_end = true,
                Ok(read) => self.filled += read,
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    pub fn next(&mut self) -> io::Result<Option<Piece<'_>>> {
        let mut found = memchr::memchr(self.line_end, &self.buffer[self.begin..self.filled]);
        if found.is_none() && !self.is_at_end {
            self.fill()?;
            found = memchr::memchr(self.line_end, &self.buffer[self.begin..self.filled]);
        }
        let rest = &self.buffer[self.begin..self.filled];
        let (octets, end) = match found {
            Some(found) => match &rest[..found] {
                [line @ .., b'\r'] => (line, 2),
                line => (line, 1),
            },
            // So that a line's end is not split.
            None => match rest {
                [] => return Ok(None),
                [line @ .., b'\r'] if !self.is_at_end && !line.is_empty() => (line, 0),
                line => (line, 0),
            },
        };
        let piece = Piece { octets, at: self.at, begins: self.begins, end };
        self.begin += octets.len() + end as usize;
        self.at = piece.next();
        self.begins = found.is_some();
        Ok(Some(piece))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(octets: &[u8]) -> Vec<(Vec<u8>, u64, bool, u64)> {
        let mut lines = Lines::new(octets, octets.len() as u64).unwrap();
        let mut all = Vec::new();
        while let Some(piece) = lines.next().unwrap() {
            all.push((piece.octets.to_vec(), piece.at, piece.begins, piece.end));
        }
        all
    }

    #[test]
    fn lines() {
        assert_eq!(
            read(b"a\r\nb\n\nc"),
            [
                (b"a".to_vec(), 0, true, 2),
                (b"b".to_vec(), 3, true, 1),
                (b"".to_vec(), 5, true, 1),
                (b"c".to_vec(), 6, true, 0)
            ]
        );
        assert_eq!(read(b"a\rb"), [(b"a".to_vec(), 0, true, 1), (b"b".to_vec(), 2, true, 0)]);
        assert_eq!(read(b"\xef\xbb\xbfa"), [(b"a".to_vec(), 3, true, 0)]);
        assert_eq!(read(b""), []);
    }

    #[test]
    fn long_lines_come_in_pieces() {
        for length in [BUFFER - 2, BUFFER - 1, BUFFER, BUFFER + 1, 3 * BUFFER] {
            let text = [b"x\r\n".to_vec(), vec![b'y'; length], b"\r\nz\r\n".to_vec()].concat();
            let pieces = read(&text);
            let long = &pieces[1..pieces.len() - 1];
            assert_eq!(long.iter().map(|piece| piece.0.len()).sum::<usize>(), length);
            assert!(long[0].2 && long[1..].iter().all(|piece| !piece.2));
            assert!(long.iter().all(|piece| piece.0.iter().all(|b| *b == b'y')));
            assert_eq!(pieces.last().unwrap(), &(b"z".to_vec(), 5 + length as u64, true, 2));
        }
    }
}
