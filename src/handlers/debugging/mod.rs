//! A handler that prints messages.

use std::io::{self, BufWriter, ErrorKind, Read, Stdout, Write};

use crate::delivery::Response;
use crate::delivery::handler::Handler;
use crate::envelope::Envelope;
use crate::syntax::escaped::Escaped;
use crate::syntax::reply::Reply;

mod forgery;

use forgery::Reads;

const HEAD: &str = "---------- MESSAGE FOLLOWS ----------";
const FOOT: &str = "------------ END MESSAGE ------------";

/// How much is read at once.
const PIECE: usize = 64 * 1024;

/// So many octets of a line are held back while it may become one that reads like ours. One that still may is printed
/// as if it did.
const HELD: usize = 1024;

/// Prints each message and discards it: what smtpd's `DebuggingServer` did.
///
/// Between the two frame lines that smtpd printed, it prints the options of MAIL if there are any, the headers, an
/// `X-Peer:` line with the client's address, and the body. What the client sent is [`Escaped`], line by line. A line of
/// the message that looks like a frame line is printed with its first dash as `\x2d`, even if it differs in blanks,
/// zero-width characters, other dashes, or letters of other scripts. An `X-Peer:` header of the client comes after the
/// server's. So a message can neither forge output nor control the terminal.
///
/// It accepts the message when the output is flushed. If that fails (a full disk, a closed pipe), the client gets
/// `451 4.3.0`. Nothing is durable.
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
    size_option: bool,
}

impl Debugging<Stdout> {
    /// Prints to the standard output.
    pub fn stdout() -> Debugging<Stdout> {
        Debugging::new(io::stdout())
    }
}

impl<W: Write> Debugging<W> {
    /// Prints to any writer.
    pub fn new(writer: W) -> Debugging<W> {
        Debugging { writer, size_option: true }
    }

    /// Whether the size that clients declare (SIZE, RFC 1870) is among the options of MAIL that are printed. Nearly all clients
    /// declare it, if the server announces SIZE; under `python -m smtpd` it did not. Default: true.
    pub fn size_option(self, shown: bool) -> Debugging<W> {
        Debugging { size_option: shown, ..self }
    }

    fn print(&mut self, mail: &Envelope) -> io::Result<()> {
        // A buffer for each message: after an error, what is left of one must not come out with the next.
        let mut out = BufWriter::with_capacity(64 * 1024, &mut self.writer);
        let printed = print(&mut out, mail, self.size_option).and_then(|()| out.flush());
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

fn print(out: &mut impl Write, mail: &Envelope, shows_size: bool) -> io::Result<()> {
    writeln!(out, "{HEAD}")?;
    let options = mail.mail_options();
    let shown = options.iter().filter(|option| shows_size || !option.starts_with("SIZE="));
    let quoted: Vec<String> = shown.map(|option| format!("'{}'", Escaped::new(*option))).collect();
    if !quoted.is_empty() {
        writeln!(out, "mail options: [{}]", quoted.join(", "))?;
    }
    print_content(out, mail.content().reader(), &mail.peer_name())?;
    writeln!(out, "{FOOT}")
}

/// Prints line by line, with the client's address where the headers end, or above a header of the client's own that
/// claims to be it. A line may be as long as the message, so it is not gathered first; and a piece of the content may
/// end anywhere, within a character too.
fn print_content(out: &mut impl Write, mut content: impl Read, peer: &str) -> io::Result<()> {
    let mut printer = Printer { out, peer: Some(peer), at: At::Start };
    let mut buffer = vec![0; HELD + 1 + PIECE];
    // What was not printed yet, since it depends on what follows.
    let mut held = 0;
    loop {
        let read = match content.read(&mut buffer[held..]) {
            Err(e) if e.kind() == ErrorKind::Interrupted => continue,
            read => read?,
        };
        let octets = &buffer[..held + read];
        let mut rest = octets;
        while let Some(end) = memchr::memchr(b'\n', rest) {
            printer.line_end(rest[..end].strip_suffix(b"\r").unwrap_or(&rest[..end]))?;
            rest = &rest[end + 1..];
        }
        if read == 0 {
            // The last line may have no end, and gets one.
            if !rest.is_empty() || printer.at != At::Start {
                printer.line_end(rest)?;
            }
            return printer.peer();
        }
        held = printer.part(rest, false)?;
        let from = octets.len() - held;
        buffer.copy_within(from..from + held, 0);
    }
}

/// What of a line was printed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum At {
    /// Nothing yet.
    Start,
    /// Nothing that can be seen: what follows looks like a line of its own.
    Lead,
    /// So much that what follows can pose as nothing.
    Middle,
}

struct Printer<'a, W> {
    out: &'a mut W,
    // The client's address, until it is printed.
    peer: Option<&'a str>,
    at: At,
}

impl<W: Write> Printer<'_, W> {
    fn peer(&mut self) -> io::Result<()> {
        match self.peer.take() {
            Some(peer) => writeln!(self.out, "X-Peer: {peer}"),
            None => Ok(()),
        }
    }

    /// Prints a line, or what is left of one.
    fn line_end(&mut self, line: &[u8]) -> io::Result<()> {
        if self.at == At::Start && line.is_empty() {
            self.peer()?;
        }
        self.part(line, true)?;
        self.at = At::Start;
        writeln!(self.out)
    }

    /// Prints a part of a line that nothing was held back of before, or all that is left of it if it `is_whole`. Gives
    /// how many octets at its end are held back until it is known what follows.
    fn part(&mut self, mut octets: &[u8], is_whole: bool) -> io::Result<usize> {
        while self.at != At::Middle {
            // One more may be the CR of the line end.
            let is_long = octets.len() > HELD + usize::from(!is_whole);
            let start = if is_long { &octets[..HELD] } else { octets };
            let reads = forgery::read(start, is_whole && !is_long);
            if reads == Reads::Begun && !is_long {
                return Ok(octets.len());
            }
            let poses = matches!(reads, Reads::Peer | Reads::Begun);
            if poses && self.at == At::Start {
                self.peer()?;
            }
            let dash = if matches!(reads, Reads::Frame | Reads::Begun) { forgery::first_dash(start) } else { None };
            if let Some((at, dash)) = dash {
                write!(self.out, "{}", Escaped::new(&octets[..at]))?;
                match dash {
                    '-' => self.out.write_all(b"\\x2d")?,
                    dash => write!(self.out, "{}", dash.escape_unicode())?,
                }
                octets = &octets[at + dash.len_utf8()..];
            }
            if reads == Reads::Begun && dash.is_none() {
                let seen = HELD - undecided(start);
                write!(self.out, "{}", Escaped::new(&octets[..seen]))?;
                octets = &octets[seen..];
                self.at = At::Lead;
            } else {
                self.at = At::Middle;
            }
        }
        let left = if is_whole { 0 } else { undecided(octets) };
        write!(self.out, "{}", Escaped::new(&octets[..octets.len() - left]))?;
        Ok(left)
    }
}

/// How many octets at the end of a piece without a line end cannot be printed before what follows is known.
fn undecided(piece: &[u8]) -> usize {
    if piece.ends_with(b"\r") {
        return 1;
    }
    // A character of which some octets are there; at most all but its last.
    let is_begun = |tail: &[u8]| str::from_utf8(tail).is_err_and(|e| e.valid_up_to() == 0 && e.error_len().is_none());
    (1..=piece.len().min(3)).find(|n| is_begun(&piece[piece.len() - n..])).unwrap_or(0)
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

    /// Says the same of the content as a whole, if no line is longer than what is held back.
    fn reference(octets: &[u8]) -> String {
        let mut out = String::new();
        let mut in_headers = true;
        for line in octets.split_inclusive(|octet| *octet == b'\n') {
            let text = match line {
                [text @ .., b'\r', b'\n'] | [text @ .., b'\n'] => text,
                text => text,
            };
            let reads = forgery::read(text, true);
            if in_headers && (text.is_empty() || reads == Reads::Peer) {
                out += "X-Peer: 192.0.2.1\n";
                in_headers = false;
            }
            let shown = Escaped::new(text).to_string();
            out += &if reads == Reads::Frame { shown.replacen('-', "\\x2d", 1) } else { shown };
            out += "\n";
        }
        out + if in_headers { "X-Peer: 192.0.2.1\n" } else { "" }
    }

    #[test]
    fn where_pieces_end_does_not_show() {
        let text = format!(
            "A: b\r\nX-Peer: c\r\n{HEAD}\r\n {FOOT}\r\n{FOOT}x\r\n\r\r\n\n\r\n{FOOT}\n{HEAD}\r\r\n\r\n{}\u{20ac}\u{1f4e7}\u{9b}\r{FOOT}",
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

    #[test]
    fn what_is_long_and_unseen_hides_nothing() {
        // Longer than what is held back, of characters of three octets and one.
        for unseen in ["\u{200b}".repeat(3000), " ".repeat(5000), "\u{200b} ".repeat(HELD)] {
            let text = format!("{unseen}X-Peer: 6.6.6.6\r\n\r\n{unseen}{FOOT}\r\n--{unseen}{FOOT}{unseen}x\n");
            let whole = printed(text.as_bytes(), &[usize::MAX]);
            assert!(whole.starts_with("X-Peer: 192.0.2.1\n"), "{whole}");
            assert!(whole.contains("\\x2d----------- END MESSAGE"), "{whole}");
            for length in [1, 7, 500, HELD - 1, HELD, HELD + 1, HELD + 2] {
                assert!(printed(text.as_bytes(), &[length]) == whole, "{length} at a time");
            }
        }
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
                Just("\u{200b}\u{feff} \t".as_bytes().to_vec()),
                Just(b"X-Peer".to_vec()),
                Just(b":".to_vec()),
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
