//! Replies as another server sends them: RFC 5321 section 4.2.1.

use super::{Reply, Status, Text};

/// In octets, over all lines. Servers send some hundred; what is beyond this is sent to fill memory.
const MAX_TEXT: usize = 64 * 1024;
/// The longest replies are those to EHLO, of some twenty lines.
const MAX_LINES: usize = 512;

/// A line that cannot be part of the reply, or one too many.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct BadReply;

/// Puts a reply together from its lines.
#[derive(Default, Debug)]
pub(crate) struct Parser {
    code: u16,
    status: Option<Status>,
    text: String,
    lines: usize,
}

impl Parser {
    /// Takes a line without its CRLF. Gives the reply if it was the last one, and begins anew.
    ///
    /// The text is taken as it is, but for the enhanced status code (RFC 2034) that begins its lines; lines are parted by
    /// `\n`.
    pub fn line(&mut self, line: &[u8]) -> Result<Option<Reply>, BadReply> {
        // Only CRLF ends a line: what else breaks one is not to be passed on.
        if line.iter().any(|b| matches!(b, b'\r' | b'\n' | b'\0')) {
            return Err(BadReply);
        }
        let (code, is_last, text) = match line {
            [class @ b'2'..=b'5', second @ b'0'..=b'9', third @ b'0'..=b'9', rest @ ..] => {
                let digit = |b: &u8| u16::from(b - b'0');
                let code = digit(class) * 100 + digit(second) * 10 + digit(third);
                match rest {
                    [] => (code, true, rest),
                    [b' ', text @ ..] => (code, true, text),
                    [b'-', text @ ..] => (code, false, text),
                    _ => return Err(BadReply),
                }
            }
            _ => return Err(BadReply),
        };
        // RFC 5321 section 4.2.1: every line of a reply has the same code.
        if self.lines > 0 && code != self.code {
            return Err(BadReply);
        }
        self.code = code;
        let text = String::from_utf8_lossy(text);
        let (status, text) = split_status(&text, code);
        if self.lines > 0 {
            self.text.push('\n');
        }
        self.status = self.status.or(status);
        self.text.push_str(text);
        self.lines += 1;
        if self.text.len() > MAX_TEXT || self.lines > MAX_LINES {
            return Err(BadReply);
        }
        if !is_last {
            return Ok(None);
        }
        let Parser { code, status, text, .. } = std::mem::take(self);
        Ok(Some(Reply { code, status, text: Text::Own(text) }))
    }
}

/// The status that begins a text, if it is of the code's class, and the text behind it.
pub(super) fn split_status(text: &str, code: u16) -> (Option<Status>, &str) {
    let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
    match word.parse::<Status>() {
        Ok(status) if u16::from(status.class) == code / 100 => (Some(status), rest),
        _ => (None, text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(lines: &[&str]) -> Result<Option<Reply>, BadReply> {
        let mut parser = Parser::default();
        let mut last = Ok(None);
        for line in lines {
            assert_eq!(last, Ok(None), "a reply before its last line");
            last = parser.line(line.as_bytes());
        }
        last
    }

    #[test]
    fn replies_of_one_line() {
        let reply = parse(&["550 5.1.1 <x@y>: no such user"]).unwrap().unwrap();
        assert_eq!(reply, Reply::new(550, "5.1.1", "<x@y>: no such user"));
        let bare = parse(&["250"]).unwrap().unwrap();
        assert_eq!((bare.code(), bare.status(), bare.text()), (250, None, ""));
        // A status of another class is mere text.
        let odd = parse(&["450 5.1.1 busy"]).unwrap().unwrap();
        assert_eq!((odd.status(), odd.text()), (None, "5.1.1 busy"));
        assert_eq!(parse(&["354 2.0.0 go"]).unwrap().unwrap().status(), None);
    }

    #[test]
    fn replies_of_several_lines() {
        let reply = parse(&["250-mx.example", "250-SIZE 1000", "250 HELP"]).unwrap().unwrap();
        assert_eq!((reply.code(), reply.text()), (250, "mx.example\nSIZE 1000\nHELP"));
        let reply = parse(&["550-5.7.1 no", "550 5.7.1 never"]).unwrap().unwrap();
        assert_eq!(reply, Reply::new(550, "5.7.1", "no\nnever"));
        assert_eq!(parse(&["250-a", "550 b"]), Err(BadReply));
    }

    #[test]
    fn what_is_no_reply() {
        for bad in ["", "25", "2500 x", "150 x", "600 x", "25x y", "hello", " 250 x", "250\tx", "250 a\rb", "250 a\nb"]
        {
            assert_eq!(parse(&[bad]), Err(BadReply), "{bad:?}");
        }
    }

    #[test]
    fn endless_replies_end() {
        let mut parser = Parser::default();
        let lines = (0..).position(|_| parser.line(b"250-x").is_err());
        assert_eq!(lines, Some(MAX_LINES));
        let mut parser = Parser::default();
        let long = [b"250-".as_slice(), &[b'x'; 2000]].concat();
        let lines = (0..).position(|_| parser.line(&long).is_err());
        assert_eq!(lines, Some(MAX_TEXT / 2001));
    }
}
