//! What identifies a message.

use std::fmt::{self, Display, Formatter};
use std::str::FromStr;

/// Identifies a message in the 250 reply, the Received line and the log: unique on this machine, and most likely everywhere.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct MessageId {
    pub(crate) server: u64,
    pub(crate) connection: u64,
    pub(crate) message: u32,
}

impl MessageId {
    /// Has the id as text. Each acceptance contains it, and `fmt` would take more time than the rest of the reply.
    pub(crate) fn with_text<T>(&self, take: impl FnOnce(&str) -> T) -> T {
        // Written from its end, each number with a hyphen before it, into room for the longest of each.
        let mut text = [b'-'; 1 + 16 + 1 + 20 + 1 + 10];
        let mut start = put_before::<10>(&mut text, u64::from(self.message));
        start = put_before::<10>(&mut text[..start], self.connection);
        start = put_before::<16>(&mut text[..start], self.server);
        take(str::from_utf8(&text[start + 1..]).unwrap_or_default())
    }
}

/// Puts a number at the end of `text`, and says where the octet before it is.
fn put_before<const BASE: u64>(text: &mut [u8], number: u64) -> usize {
    let mut rest = number;
    let mut start = text.len();
    loop {
        start -= 1;
        text[start] = b"0123456789abcdef"[(rest % BASE) as usize];
        rest /= BASE;
        if rest == 0 {
            return start - 1;
        }
    }
}

impl Display for MessageId {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.with_text(|text| f.pad(text))
    }
}

impl FromStr for MessageId {
    type Err = MessageIdError;

    /// Parses what [`Display`] writes, and nothing else: no two texts are the same id.
    ///
    /// ```
    /// use pillarbox::MessageId;
    ///
    /// let id: MessageId = "5eb63bbbe01eeed0-7-1".parse()?;
    /// assert_eq!(id.to_string(), "5eb63bbbe01eeed0-7-1");
    /// assert!("5EB63BBBE01EEED0-07-1".parse::<MessageId>().is_err());
    /// # Ok::<(), pillarbox::MessageIdError>(())
    /// ```
    fn from_str(text: &str) -> Result<MessageId, MessageIdError> {
        fn numbers(text: &str) -> Option<MessageId> {
            let mut parts = text.splitn(3, '-');
            Some(MessageId {
                server: u64::from_str_radix(parts.next()?, 16).ok()?,
                connection: parts.next()?.parse().ok()?,
                message: parts.next()?.parse().ok()?,
            })
        }
        numbers(text).filter(|id| id.with_text(|only| only == text)).ok_or(MessageIdError(()))
    }
}

/// The text is not a [`MessageId`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MessageIdError(());

impl Display for MessageIdError {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("expected a message id such as 5eb63bbbe01eeed0-7-1")
    }
}

impl std::error::Error for MessageIdError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_as_text() {
        let text = |server, connection, message| MessageId { server, connection, message }.to_string();
        assert_eq!(text(0xabc, 7, 10), "abc-7-10");
        assert_eq!(text(0, 0, 0), "0-0-0");
        assert_eq!(text(u64::MAX, u64::MAX, u32::MAX), "ffffffffffffffff-18446744073709551615-4294967295");
    }

    #[test]
    fn an_id_has_one_text() {
        for text in ["abc-7-10", "0-0-0", "ffffffffffffffff-18446744073709551615-4294967295"] {
            assert_eq!(text.parse::<MessageId>().map(|id| id.to_string()), Ok(text.to_owned()));
        }
        for text in
            ["", "abc", "abc-7", "abc-7-10-1", "ABC-7-10", "abc-07-10", "+abc-7-10", "abc-7-4294967296", "abc-7-1\n"]
        {
            assert_eq!(text.parse::<MessageId>(), Err(MessageIdError(())), "{text:?}");
        }
    }
}
