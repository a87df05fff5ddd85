//! Content that a program makes, within the budgets of the content whose place it takes.

use std::io::{self, ErrorKind, Write};
use std::sync::{Arc, LazyLock};

use memchr::memchr2;

use crate::config::Config;
use crate::content::collector::{Collector, Overflow};
use crate::content::store::ContentStore;
use crate::content::writer::ContentWriter;
use crate::content::{Content, ContentReader};

/// For messages that no server received: they are in memory or on disk as those of a server with the default settings, but
/// are never refused.
static ELSEWHERE: LazyLock<Arc<ContentStore>> =
    LazyLock::new(|| ContentStore::new(&Config { buffer_budget: u64::MAX, ..Config::default() }));

impl Content {
    /// What `write` makes of this content, with the line ends that content has, or if it is `binary` as it is.
    pub(crate) fn rewritten(
        &self,
        binary: bool,
        write: impl FnOnce(ContentReader<'_>, &mut dyn Write) -> io::Result<()>,
    ) -> io::Result<Content> {
        let collector = Collector::new(self.store().unwrap_or(&ELSEWHERE), 0, None);
        let mut out = Rewrite { collector, lines: (!binary).then(LineEnds::default) };
        write(self.reader(), &mut out)?;
        out.finish()
    }

    /// Octets that came from elsewhere than a client, in lines.
    pub(crate) fn from_lines(octets: &[u8]) -> Content {
        let mut normalized = Vec::with_capacity(octets.len());
        let mut lines = LineEnds::default();
        lines.feed(octets, &mut normalized);
        lines.finish(&mut normalized);
        Content::from_octets(normalized)
    }
}

/// Writes new content.
struct Rewrite {
    collector: Collector,
    lines: Option<LineEnds>,
}

impl Rewrite {
    fn finish(mut self) -> io::Result<Content> {
        if let Some(lines) = &mut self.lines {
            lines.finish(&mut self.collector);
        }
        self.collector.finish().map_err(refused)
    }
}

impl Write for Rewrite {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        match &mut self.lines {
            Some(lines) => lines.feed(octets, &mut self.collector),
            None => self.collector.put(octets),
        }
        self.collector.overflow().map_or(Ok(octets.len()), |why| Err(refused(why)))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn refused(why: Overflow) -> io::Error {
    match why {
        Overflow::NoRoom | Overflow::TooBig => io::Error::new(ErrorKind::StorageFull, "no room for the new content"),
        // Nobody gives up what a handler makes.
        Overflow::NotStored | Overflow::Unwanted => io::Error::other("the new content could not be written to disk"),
    }
}

/// Makes each lone CR or LF a CRLF.
#[derive(Default)]
struct LineEnds {
    // A CR that the LF may still follow.
    held: bool,
}

impl LineEnds {
    fn feed(&mut self, octets: &[u8], out: &mut impl ContentWriter) {
        let mut rest = octets;
        if self.held && !rest.is_empty() {
            self.finish(out);
            rest = rest.strip_prefix(b"\n").unwrap_or(rest);
        }
        let mut from = 0;
        while let Some(at) = memchr2(b'\r', b'\n', &rest[from..]).map(|at| from + at) {
            match rest[at..] {
                [b'\r', b'\n', ..] => from = at + 2,
                [b'\r'] => {
                    self.held = true;
                    rest = &rest[..at];
                    from = at;
                }
                _ => {
                    out.put(&rest[..at]);
                    out.put(b"\r\n");
                    rest = &rest[at + 1..];
                    from = 0;
                }
            }
        }
        out.put(rest);
    }

    fn finish(&mut self, out: &mut impl ContentWriter) {
        if std::mem::take(&mut self.held) {
            out.put(b"\r\n");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_ends_do_not_depend_on_how_they_are_written() {
        let text = b"\na\r\nb\rc\r\r\n\nd\r";
        for piece in 1..=text.len() {
            let (mut lines, mut out) = (LineEnds::default(), Vec::new());
            text.chunks(piece).for_each(|octets| lines.feed(octets, &mut out));
            lines.finish(&mut out);
            assert_eq!(
                out.escape_ascii().to_string(),
                "\\r\\na\\r\\nb\\r\\nc\\r\\n\\r\\n\\r\\nd\\r\\n",
                "{piece} at a time"
            );
        }
        assert_eq!(Content::from_lines(b"").len(), 0);
    }

    #[test]
    fn it_counts_against_the_budgets_of_what_it_replaces() {
        let store = ContentStore::new(&Config { buffer_budget: 100, ..Config::default() });
        let mut collector = Collector::new(&store, 0, None);
        collector.put(b"0123456789");
        let old = collector.finish().unwrap();
        let new = old.rewritten(true, |mut from, to| io::copy(&mut from, to).and_then(|_| to.write_all(b"x"))).unwrap();
        assert_eq!(new.bytes().unwrap(), &b"0123456789x"[..]);
        assert!(store.held.used() >= 21);
        drop(old);
        let error = new.rewritten(true, |_, to| to.write_all(&[0; 101])).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::StorageFull);
        drop(new);
        assert_eq!(store.held.used(), 0);
    }
}
