//! What a program reads on its stdin.

use std::io::{self, BufRead};

use crate::content::ContentReader;

/// A message's octets, as they are or with LF in the place of each CRLF.
pub(super) struct Input<'a> {
    content: ContentReader<'a>,
    lines: Option<LfLines>,
}

/// What was read and not written yet, with LF line ends.
#[derive(Default)]
struct LfLines {
    octets: Vec<u8>,
    written: usize,
    /// Whether a CR was read of which the LF may follow.
    holds_cr: bool,
    is_at_end: bool,
}

impl<'a> Input<'a> {
    pub fn new(content: ContentReader<'a>, lf: bool) -> Input<'a> {
        Input { content, lines: lf.then(LfLines::default) }
    }

    /// What is to be written next; nothing at the end.
    pub fn next(&mut self) -> io::Result<&[u8]> {
        match &mut self.lines {
            None => self.content.fill_buf(),
            Some(lines) => lines.next(&mut self.content),
        }
    }

    /// So many octets of that were written.
    pub fn written(&mut self, octets: usize) {
        match &mut self.lines {
            None => self.content.consume(octets),
            Some(lines) => lines.written += octets,
        }
    }
}

impl LfLines {
    fn next(&mut self, content: &mut impl BufRead) -> io::Result<&[u8]> {
        while self.written == self.octets.len() && !self.is_at_end {
            self.octets.clear();
            self.written = 0;
            let read = content.fill_buf()?;
            self.is_at_end = read.is_empty();
            if self.holds_cr && read.first() != Some(&b'\n') {
                self.octets.push(b'\r');
            }
            let mut rest = read;
            while let Some(at) = memchr::memmem::find(rest, b"\r\n") {
                self.octets.extend_from_slice(&rest[..at]);
                self.octets.push(b'\n');
                rest = &rest[at + 2..];
            }
            self.holds_cr = rest.ends_with(b"\r");
            self.octets.extend_from_slice(&rest[..rest.len() - usize::from(self.holds_cr)]);
            let read = read.len();
            content.consume(read);
        }
        Ok(&self.octets[self.written..])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::BufReader;

    #[test]
    fn line_ends_do_not_depend_on_how_the_content_is_read() {
        let content = b"\r\na\r\n\r\r\nb\rc\nd\n\r\r\r\n\r\n\r";
        for piece in 1..=content.len() {
            let mut from = BufReader::with_capacity(piece, &content[..]);
            let (mut lines, mut out) = (LfLines::default(), Vec::new());
            loop {
                let next = lines.next(&mut from).unwrap();
                if next.is_empty() {
                    break;
                }
                // A pipe takes what it has room for.
                let taken = next.len().min(2);
                out.extend_from_slice(&next[..taken]);
                lines.written += taken;
            }
            assert_eq!(out.escape_ascii().to_string(), "\\na\\n\\r\\nb\\rc\\nd\\n\\r\\r\\n\\n\\r", "{piece} at a time");
        }
    }
}
