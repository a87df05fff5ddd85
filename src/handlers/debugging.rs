//! A handler that prints messages.

use std::io::{self, BufWriter, ErrorKind, Read, Stdout, Write};

use crate::consumer::Handler;
use crate::delivery::Response;
use crate::envelope::Envelope;
use crate::escaped::Escaped;
use crate::reply::Reply;

const HEAD: &str = "---------- MESSAGE FOLLOWS ----------";
const FOOT: &str = "------------ END MESSAGE ------------";

/// How much is read at once.
const PIECE: usize = 64 * 1024;

/// A frame line with a CR behind it is no longer; nor is anything else that is held back.
const HELD: usize = if HEAD.len() > FOOT.len() { HEAD.len() + 1 } else { FOOT.len() + 1 };

/// Prints each message and discards it: what smtpd's `DebuggingServer` did.
///
/// A message stands between the two frame lines that smtpd printed: the options of MAIL if there were any, the headers,
/// an `X-Peer:` line with the client's address, and the body. What the client sent is shown [`Escaped`], line by line, and
/// a line of the message that reads like a frame line is printed with its first dash as `\x2d`: output cannot be
/// forged, and no message drives the terminal.
///
/// The message is accepted when it was written and flushed; if that fails (a full disk, a pipe that nobody reads) the
/// client reads `451 4.3.0`. Nothing is durable.
///
/// ```
/// use pillarbox::{Server, handlers::Debugging};
///
/// let server = Server::builder().serve("127.0.0.1:0", Debugging::stdout())?;
/// # Ok::<(), pillarbox::Error>(())
/// ```
#[derive(Debug)]
pub struct Debugging<W> {
    writer: W,
}

impl Debugging<Stdout> {
    /// Prints on the standard output.
    pub fn stdout() -> Debugging<Stdout> {
        Debugging::new(io::stdout())
    }
}

impl<W: Write> Debugging<W> {
    /// Prints on anything that can be written to.
    pub fn new(writer: W) -> Debugging<W> {
        Debugging { writer }
    }

    fn print(&mut self, mail: &Envelope) -> io::Result<()> {
        // A buffer for each message: after an error, what is left of one must not come out with the next.
        let mut out = BufWriter::with_capacity(64 * 1024, &mut self.writer);
        let printed = print(&mut out, mail).and_then(|()| out.flush());
        // Taken apart, since dropping it would try to write once more.
        let (writer, _) = out.into_parts();
        printed.and_then(|()| writer.flush())
    }
}

impl<W: Write + Send> Handler for Debugging<W> {
    fn process_message(&mut self, mail: Envelope) -> Response {
        self.print(&mail)
            .map_err(|e| {
                log::error!("cannot print {}: {e}", mail.id());
                Reply::temporary("Cannot print the message")
            })
            .into()
    }
}

fn print(out: &mut impl Write, mail: &Envelope) -> io::Result<()> {
    writeln!(out, "{HEAD}")?;
    let options = mail.mail_options();
    if !options.is_empty() {
        let quoted: Vec<String> = options.iter().map(|option| format!("'{}'", Escaped::new(*option))).collect();
        writeln!(out, "mail options: [{}]", quoted.join(", "))?;
    }
    print_content(out, mail.content().reader(), &mail.peer_name())?;
    writeln!(out, "{FOOT}")
}

/// Prints line by line, with the client's address where the headers end. A line may be as long as the message, so it is
/// not gathered first; and a piece of the content may end anywhere, within a character too.
fn print_content(out: &mut impl Write, mut content: impl Read, peer: &str) -> io::Result<()> {
    let mut buffer = vec![0; HELD + PIECE];
    // What was not printed yet, since it depends on what follows.
    let mut held = 0;
    let mut in_headers = true;
    let mut at_line_start = true;
    loop {
        let read = match content.read(&mut buffer[held..]) {
            Err(e) if e.kind() == ErrorKind::Interrupted => continue,
            read => read?,
        };
        let octets = &buffer[..held + read];
        let mut rest = octets;
        while let Some(end) = memchr::memchr(b'\n', rest) {
            let line = rest[..end].strip_suffix(b"\r").unwrap_or(&rest[..end]);
            if in_headers && at_line_start && line.is_empty() {
                writeln!(out, "X-Peer: {peer}")?;
                in_headers = false;
            }
            print_line_end(out, line, at_line_start)?;
            at_line_start = true;
            rest = &rest[end + 1..];
        }
        if read == 0 {
            // The last line may have no end, and gets one.
            if !rest.is_empty() || !at_line_start {
                print_line_end(out, rest, at_line_start)?;
            }
            break;
        }
        let (now, later) = rest.split_at(rest.len() - undecided(rest, at_line_start));
        if !now.is_empty() {
            // Longer than a frame line, even if what is printed now is not.
            write!(out, "{}", Escaped::new(now))?;
            at_line_start = false;
        }
        held = later.len();
        let from = octets.len() - held;
        buffer.copy_within(from..from + held, 0);
    }
    if in_headers { writeln!(out, "X-Peer: {peer}") } else { Ok(()) }
}

/// Prints a line, or what is left of one.
fn print_line_end(out: &mut impl Write, line: &[u8], at_line_start: bool) -> io::Result<()> {
    match line {
        [_, rest @ ..] if at_line_start && is_frame(line) => writeln!(out, "\\x2d{}", Escaped::new(rest)),
        _ => writeln!(out, "{}", Escaped::new(line)),
    }
}

/// How many octets at the end of a piece without a line end cannot be printed before what follows is known.
fn undecided(piece: &[u8], at_line_start: bool) -> usize {
    if at_line_start && piece.len() <= HELD {
        // It may become a frame line.
        return piece.len();
    }
    if piece.ends_with(b"\r") {
        return 1;
    }
    // A character of which some octets are there; at most all but its last.
    let is_begun = |tail: &[u8]| str::from_utf8(tail).is_err_and(|e| e.valid_up_to() == 0 && e.error_len().is_none());
    (1..=piece.len().min(3)).find(|n| is_begun(&piece[piece.len() - n..])).unwrap_or(0)
}

fn is_frame(line: &[u8]) -> bool {
    line == HEAD.as_bytes() || line == FOOT.as_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Gives its octets in pieces of these lengths, over and over.
    struct Pieces<'a> {
        octets: &'a [u8],
        lengths: std::iter::Cycle<std::slice::Iter<'a, usize>>,
    }

    impl Read for Pieces<'_> {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            let most = self.lengths.next().map_or(0, |n| (*n).min(buf.len()));
            self.octets.read(&mut buf[..most])
        }
    }

    fn printed(octets: &[u8], lengths: &[usize]) -> String {
        let mut out = Vec::new();
        print_content(&mut out, Pieces { octets, lengths: lengths.iter().cycle() }, "192.0.2.1").unwrap();
        String::from_utf8(out).unwrap()
    }

    /// Says the same of the content as a whole.
    fn reference(octets: &[u8]) -> String {
        let mut out = String::new();
        let mut in_headers = true;
        for line in octets.split_inclusive(|octet| *octet == b'\n') {
            let text = match line {
                [text @ .., b'\r', b'\n'] | [text @ .., b'\n'] => text,
                text => text,
            };
            if in_headers && text.is_empty() {
                out += "X-Peer: 192.0.2.1\n";
                in_headers = false;
            }
            let shown = Escaped::new(text).to_string();
            out += &if is_frame(text) { shown.replacen('-', "\\x2d", 1) } else { shown };
            out += "\n";
        }
        out + if in_headers { "X-Peer: 192.0.2.1\n" } else { "" }
    }

    #[test]
    fn where_pieces_end_does_not_show() {
        let text = format!(
            "A: b\r\n{HEAD}\r\n {FOOT}\r\n{FOOT}x\r\n\r\r\n\n\r\n{FOOT}\n{HEAD}\r\r\n\r\n{}\u{20ac}\u{1f4e7}\u{9b}\r{FOOT}",
            "x".repeat(50)
        );
        let broken = b"\xff\xe2\x82\r\n\xf0\x9f\x93\n\xe2\x82\xac\xac\xc3";
        for octets in [text.as_bytes(), broken, FOOT.as_bytes(), b"\r\n\r", b"\r", b"a\r", b"\n", b"", b"\xe2\x82"] {
            for length in 1..60 {
                assert_eq!(printed(octets, &[length]), reference(octets), "{length} at a time");
            }
        }
    }

    #[test]
    fn a_line_longer_than_the_buffer() {
        let text = format!("{}\r{}\r\n{HEAD}\r\n", "\u{20ac}".repeat(PIECE), "x".repeat(3 * PIECE + 1));
        assert!(printed(text.as_bytes(), &[usize::MAX]) == reference(text.as_bytes()));
    }

    proptest! {
        #[test]
        fn any_pieces_print_the_same(
            parts in prop::collection::vec(prop_oneof![
                Just(HEAD.as_bytes().to_vec()),
                Just(FOOT.as_bytes().to_vec()),
                Just(b"\r\n".to_vec()),
                Just(b"\r".to_vec()),
                Just(b"\n".to_vec()),
                Just("\u{20ac}\u{1f4e7}\u{202e}".as_bytes().to_vec()),
                Just(vec![b'x'; 50]),
                prop::collection::vec(any::<u8>(), 0..6),
            ], 0..12),
            lengths in prop::collection::vec(1usize..80, 1..8),
        ) {
            let octets = parts.concat();
            prop_assert_eq!(printed(&octets, &lengths), reference(&octets));
        }
    }
}
