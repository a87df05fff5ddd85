//! The octets of a message, and the budget that bounds how many are held.

use std::borrow::Cow;
use std::fmt::{self, Debug, Display, Formatter};
use std::io::{self, BufRead, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The octets of a message: CRLF at the line ends, leading dots undone, without the line that ended it.
///
/// Reading is fallible because large content need not be kept in memory.
#[derive(Default)]
pub struct Content {
    octets: Vec<u8>,
    // Gives the octets back to the budget when the content is dropped.
    _share: Share,
}

impl Content {
    pub(crate) fn new(octets: Vec<u8>, share: Share) -> Content {
        Content { octets, _share: share }
    }

    /// How many octets there are.
    pub fn len(&self) -> u64 {
        self.octets.len() as u64
    }

    /// Whether there are none: a client may send an empty message.
    pub fn is_empty(&self) -> bool {
        self.octets.is_empty()
    }

    /// All of the content.
    ///
    /// # Errors
    /// Those of reading content that is not kept in memory.
    pub fn bytes(&self) -> io::Result<Cow<'_, [u8]>> {
        Ok(Cow::Borrowed(&self.octets))
    }

    /// A reader from the start, for those who copy the content on without having all of it in memory.
    pub fn reader(&self) -> ContentReader<'_> {
        ContentReader(&self.octets)
    }

    /// All of the content as text with `\n` line ends.
    ///
    /// # Errors
    /// [`TextError::NotUtf8`] if it is not UTF-8; [`TextError::Io`] if it cannot be read.
    pub fn text(&self) -> Result<String, TextError> {
        let bytes = self.bytes().map_err(TextError::Io)?;
        let text = str::from_utf8(&bytes).map_err(TextError::NotUtf8)?;
        Ok(text.replace("\r\n", "\n"))
    }
}

impl Debug for Content {
    /// How much, not what: mail is private, and debug output ends up in logs.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("Content").field("len", &self.len()).finish_non_exhaustive()
    }
}

/// Reads a message's [`Content`].
#[derive(Debug)]
pub struct ContentReader<'a>(&'a [u8]);

impl Read for ContentReader<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.read(buf)
    }
}

impl BufRead for ContentReader<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        Ok(self.0)
    }

    fn consume(&mut self, amount: usize) {
        self.0.consume(amount);
    }
}

/// Why content could not be had as text.
#[derive(Debug)]
#[non_exhaustive]
pub enum TextError {
    /// It is not UTF-8.
    NotUtf8(std::str::Utf8Error),
    /// It could not be read.
    Io(io::Error),
}

impl Display for TextError {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TextError::NotUtf8(_) => "the message is not UTF-8",
            TextError::Io(_) => "the message could not be read",
        })
    }
}

impl std::error::Error for TextError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            TextError::NotUtf8(e) => Some(e),
            TextError::Io(e) => Some(e),
        }
    }
}

/// How many octets of content may be in memory at once, over all connections and all envelopes that are still held.
#[derive(Debug)]
pub(crate) struct Budget {
    limit: u64,
    used: AtomicU64,
}

impl Budget {
    pub fn new(limit: u64) -> Arc<Budget> {
        Arc::new(Budget { limit, used: AtomicU64::new(0) })
    }

    /// Whether nothing is left.
    pub fn is_exhausted(&self) -> bool {
        self.used.load(Ordering::Relaxed) >= self.limit
    }

    /// The octets held now.
    pub fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }
}

/// One message's share of the [`Budget`]; given back on drop.
#[derive(Default, Debug)]
pub(crate) struct Share {
    budget: Option<Arc<Budget>>,
    octets: u64,
}

impl Share {
    pub fn of(budget: &Arc<Budget>) -> Share {
        Share { budget: Some(budget.clone()), octets: 0 }
    }

    /// Takes as much more as is needed for `total` octets; false if the budget does not have it.
    pub fn grow_to(&mut self, total: u64) -> bool {
        let Some(budget) = &self.budget else { return true };
        let more = total.saturating_sub(self.octets);
        if more == 0 {
            return true;
        }
        let before = budget.used.fetch_add(more, Ordering::Relaxed);
        if before.saturating_add(more) > budget.limit {
            budget.used.fetch_sub(more, Ordering::Relaxed);
            return false;
        }
        self.octets += more;
        true
    }

    /// Gives back all but `total` octets.
    pub fn shrink_to(&mut self, total: u64) {
        let less = self.octets.saturating_sub(total);
        self.octets -= less;
        if let Some(budget) = &self.budget
            && less > 0
        {
            budget.used.fetch_sub(less, Ordering::Relaxed);
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.shrink_to(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_budget_is_shared_and_given_back() {
        let budget = Budget::new(10);
        let mut one = Share::of(&budget);
        let mut two = Share::of(&budget);
        assert!(one.grow_to(6) && two.grow_to(4) && budget.is_exhausted());
        assert!(!two.grow_to(5) && one.grow_to(6));
        drop(one);
        assert_eq!(budget.used(), 4);
        assert!(two.grow_to(10));
        drop(Content::new(vec![0; 10], two));
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn text_has_newlines() {
        let content = Content::new(b"a\r\nb\r\n".to_vec(), Share::default());
        assert_eq!(content.text().unwrap(), "a\nb\n");
        let content = Content::new(b"\xff".to_vec(), Share::default());
        assert!(matches!(content.text(), Err(TextError::NotUtf8(_))));
    }

    #[test]
    fn readers_begin_at_the_start() {
        let content = Content::new(b"abc".to_vec(), Share::default());
        for _ in 0..2 {
            let mut all = Vec::new();
            content.reader().read_to_end(&mut all).unwrap();
            assert_eq!(all, b"abc");
        }
    }

    #[test]
    fn debug_shows_no_content() {
        let content = Content::new(b"secret".to_vec(), Share::default());
        assert!(!format!("{content:?}").contains("secret"));
    }
}
