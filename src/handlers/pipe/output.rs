//! What a program writes: bounded, however much that is.

use std::fmt::Display;

use crate::syntax::escaped::Escaped;
use crate::syntax::reply::Reply;

/// Octets of a line that are kept: a reply has no more on the wire, and nobody reads more in a log.
const MAX_LINE: usize = 1000;
/// Lines of one run that are logged.
const MAX_LOGGED: usize = 100;

/// Parts what is written into lines.
#[derive(Default)]
struct Lines {
    current: Vec<u8>,
    /// Octets of the current line beyond those.
    beyond: usize,
}

impl Lines {
    /// Has each line that ends in these octets taken, with how many octets of it are missing.
    fn push(&mut self, octets: &[u8], mut take: impl FnMut(&[u8], usize)) {
        for part in octets.split_inclusive(|octet| *octet == b'\n') {
            let (part, ends) = part.strip_suffix(b"\n").map_or((part, false), |line| (line, true));
            let kept = part.len().min(MAX_LINE - self.current.len());
            self.current.extend_from_slice(&part[..kept]);
            self.beyond += part.len() - kept;
            if ends {
                self.finish(&mut take);
            }
        }
    }

    /// The line that has begun, if it is not empty, is one.
    fn finish(&mut self, mut take: impl FnMut(&[u8], usize)) {
        let line = self.current.trim_ascii_end();
        if !line.is_empty() {
            take(line, self.beyond);
        }
        self.current.clear();
        self.beyond = 0;
    }
}

/// Keeps the last line that is not blank.
#[derive(Default)]
pub(super) struct LastLine {
    lines: Lines,
    last: Vec<u8>,
    is_whole: bool,
}

impl LastLine {
    pub fn push(&mut self, octets: &[u8]) {
        let LastLine { lines, last, is_whole } = self;
        lines.push(octets, |line, missing| keep(last, is_whole, line, missing));
    }

    /// The reply that it is, if it is one.
    pub fn into_reply(self) -> Option<Reply> {
        let LastLine { mut lines, mut last, mut is_whole } = self;
        lines.finish(|line, missing| keep(&mut last, &mut is_whole, line, missing));
        str::from_utf8(&last).ok().filter(|_| is_whole)?.parse().ok()
    }
}

fn keep(last: &mut Vec<u8>, is_whole: &mut bool, line: &[u8], missing: usize) {
    last.clear();
    last.extend_from_slice(line);
    *is_whole = missing == 0;
}

/// Logs lines, the first of them.
pub(super) struct LoggedLines<N> {
    name: N,
    lines: Lines,
    logged: usize,
    skipped: usize,
}

impl<N: Display> LoggedLines<N> {
    /// Each line has a name before it.
    pub fn new(name: N) -> LoggedLines<N> {
        LoggedLines { name, lines: Lines::default(), logged: 0, skipped: 0 }
    }

    pub fn push(&mut self, octets: &[u8]) {
        let LoggedLines { name, lines, logged, skipped } = self;
        lines.push(octets, |line, missing| log(name, logged, skipped, line, missing));
    }

    /// Logs the line that has begun, and how much was not logged.
    pub fn finish(mut self) {
        let LoggedLines { name, lines, logged, skipped } = &mut self;
        lines.finish(|line, missing| log(name, logged, skipped, line, missing));
        if *skipped > 0 {
            log::warn!("{name}: {skipped} more lines");
        }
    }
}

fn log(name: &impl Display, logged: &mut usize, skipped: &mut usize, line: &[u8], missing: usize) {
    if *logged == MAX_LOGGED {
        *skipped += 1;
        return;
    }
    *logged += 1;
    match missing {
        0 => log::warn!("{name}: {}", Escaped::new(line)),
        _ => log::warn!("{name}: {} and {missing} more octets", Escaped::new(line)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::growth::expect_linear;

    fn last(pieces: &[&[u8]]) -> Option<String> {
        let mut last = LastLine::default();
        pieces.iter().for_each(|piece| last.push(piece));
        last.into_reply().map(|reply| reply.to_string())
    }

    #[test]
    fn the_last_line_is_a_reply_or_none() {
        assert_eq!(last(&[b"550 5.7.1 no\n"]).as_deref(), Some("550 5.7.1 no"));
        assert_eq!(last(&[b"working\n55", b"0 no"]).as_deref(), Some("550 5.0.0 no"));
        assert_eq!(last(&[b"550 no\r\n\r\n \n\n"]).as_deref(), Some("550 5.0.0 no"));
        assert_eq!(last(&[b"550 no\ndone\n"]), None);
        assert_eq!(last(&[b""]), None);
        assert_eq!(last(&[b"550 \xff\n"]), None);
        assert_eq!(last(&[b"550 a\x1b[2J\n"]), None);
        // What was cut off might have been anything.
        assert_eq!(last(&[b"250 ", &[b'x'; 2000], b"\n"]), None);
        assert_eq!(last(&[&[b'x'; 2000], b"\n250 fine\n"]).as_deref(), Some("250 2.0.0 fine"));
    }

    #[test]
    fn lines_take_bounded_memory_and_linear_time() {
        for piece in ["x", "\n", "x\n"] {
            expect_linear(piece, 50_000, |n| {
                let mut last = LastLine::default();
                for chunk in piece.repeat(n).as_bytes().chunks(16 * 1024) {
                    last.push(chunk);
                }
                assert!(last.lines.current.capacity() + last.last.capacity() <= 4 * MAX_LINE);
            });
        }
    }
}
