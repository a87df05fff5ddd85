//! Replies from text, as in a configuration or a test.

use std::fmt::{self, Display, Formatter};
use std::str::FromStr;

use super::parser::split_status;
use super::{Reply, Status, Text};

/// Why text is no [`Reply`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum ReplyError {
    /// A line does not begin with a code from 200 to 599.
    Code,
    /// Neither a blank nor, on any line but the last, a hyphen follows the code.
    Separator,
    /// The lines have different codes or statuses.
    Mixed,
    /// The enhanced status code is of another class than the code, or stands in a 3xx, which has none.
    Status,
    /// A control character is in it.
    ControlCharacter,
}

impl Display for ReplyError {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ReplyError::Code => "a reply begins with a code from 200 to 599",
            ReplyError::Separator => "a blank must follow the code, or a hyphen on each line but the last",
            ReplyError::Mixed => "the lines of a reply must have the same code and status",
            ReplyError::Status => "the enhanced status code does not fit the code",
            ReplyError::ControlCharacter => "a control character is in the text",
        })
    }
}

impl std::error::Error for ReplyError {}

impl FromStr for Reply {
    type Err = ReplyError;

    /// A reply as it is written on the wire: `552 mailbox full`, `552 5.2.2 mailbox full`, or several lines, of which all but
    /// the last have a hyphen behind the code: `"250-one\n250 two"`. Without an enhanced status code it gets the general one
    /// of its class, as [`Reply::new`] does it.
    ///
    /// ```
    /// use pillarbox::Reply;
    ///
    /// assert_eq!("552 5.2.2 mailbox full".parse(), Ok(Reply::new(552, "5.2.2", "mailbox full")));
    /// assert_eq!("552 mailbox full".parse(), Ok(Reply::new(552, "5.0.0", "mailbox full")));
    /// assert!("mailbox full".parse::<Reply>().is_err());
    /// ```
    fn from_str(text: &str) -> Result<Reply, ReplyError> {
        let mut lines = text.lines().peekable();
        let mut first: Option<(u16, Option<Status>)> = None;
        let mut phrase = String::new();
        while let Some(line) = lines.next() {
            let (code, status, words) = parse_line(line, lines.peek().is_none())?;
            match first {
                None => first = Some((code, status)),
                Some(before) if before != (code, status) => return Err(ReplyError::Mixed),
                Some(_) => phrase.push('\n'),
            }
            phrase.push_str(words);
        }
        let (code, status) = first.ok_or(ReplyError::Code)?;
        let status = status.or_else(|| (code / 100 != 3).then_some(Status::new((code / 100) as u8, 0, 0)));
        Ok(Reply { code, status, text: Text::Own(phrase) })
    }
}

fn parse_line(line: &str, is_last: bool) -> Result<(u16, Option<Status>, &str), ReplyError> {
    if line.chars().any(char::is_control) {
        return Err(ReplyError::ControlCharacter);
    }
    let (digits, rest) = line.split_at_checked(3).ok_or(ReplyError::Code)?;
    let code = digits.parse().ok().filter(|code| (200..=599).contains(code)).ok_or(ReplyError::Code)?;
    let words = match rest.strip_prefix(if is_last { ' ' } else { '-' }) {
        Some(words) => words,
        None if rest.is_empty() && is_last => "",
        None => return Err(ReplyError::Separator),
    };
    let (status, phrase) = split_status(words, code);
    let has_other = status.is_none() && words.split(' ').next().is_some_and(|word| word.parse::<Status>().is_ok());
    if has_other { Err(ReplyError::Status) } else { Ok((code, status, phrase)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_are_read_as_they_are_written() {
        let parse = |text: &str| text.parse::<Reply>();
        assert_eq!(parse("250"), Ok(Reply::new(250, "2.0.0", "")));
        assert_eq!(parse("354 go"), Ok(Reply::new(354, "", "go")));
        assert_eq!(parse("250-a\n250 b"), Ok(Reply::new(250, "2.0.0", "a\nb")));
        assert_eq!(parse("550-5.7.1 a\r\n550 5.7.1 b\r\n"), Ok(Reply::new(550, "5.7.1", "a\nb")));
        assert_eq!(parse("421 4.7.0 caf\u{e9} 5.7.1"), Ok(Reply::new(421, "4.7.0", "caf\u{e9} 5.7.1")));
        for reply in [Reply::ok(), Reply::temporary("later"), Reply::permanent("no"), Reply::new(452, "4.2.2", "full")]
        {
            assert_eq!(parse(&reply.to_string()), Ok(reply));
        }
    }

    #[test]
    fn what_is_no_reply_says_why() {
        for (text, error) in [
            ("", ReplyError::Code),
            ("mailbox full", ReplyError::Code),
            ("55", ReplyError::Code),
            ("199 x", ReplyError::Code),
            ("600 x", ReplyError::Code),
            ("+50 x", ReplyError::Code),
            ("5\u{e9}0 x", ReplyError::Code),
            ("5520 x", ReplyError::Separator),
            ("552-x", ReplyError::Separator),
            ("552 x\n552 y", ReplyError::Separator),
            ("552-x\nmore", ReplyError::Code),
            ("552-x\n550 y", ReplyError::Mixed),
            ("552-5.2.2 x\n552 5.2.1 y", ReplyError::Mixed),
            ("450 5.2.2 x", ReplyError::Status),
            ("354 2.0.0 go", ReplyError::Status),
            ("550 a\tb", ReplyError::ControlCharacter),
            ("550 a\rb", ReplyError::ControlCharacter),
            ("550 a\0b", ReplyError::ControlCharacter),
        ] {
            assert_eq!(text.parse::<Reply>(), Err(error), "{text:?}");
        }
    }
}
