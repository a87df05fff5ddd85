//! A handler that prints messages.

use std::io::{self, BufRead, BufWriter, Stdout, Write};

use crate::consumer::Handler;
use crate::delivery::Response;
use crate::envelope::Envelope;
use crate::escaped::Escaped;
use crate::reply::Reply;

const HEAD: &str = "---------- MESSAGE FOLLOWS ----------";
const FOOT: &str = "------------ END MESSAGE ------------";

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
    let mut content = mail.content().reader();
    let mut in_headers = true;
    let mut rest_of_line = false;
    loop {
        // Not line by line into a buffer: a line may be as long as the message.
        let octets = content.fill_buf()?;
        if octets.is_empty() {
            break;
        }
        let end = memchr::memchr(b'\n', octets);
        let piece = &octets[..end.unwrap_or(octets.len())];
        let line = if end.is_some() { piece.strip_suffix(b"\r").unwrap_or(piece) } else { piece };
        if in_headers && !rest_of_line && line.is_empty() && end.is_some() {
            writeln!(out, "X-Peer: {}", mail.peer_name())?;
            in_headers = false;
        }
        // The last line may have no end, and gets one below.
        if !rest_of_line && is_frame(line) {
            write!(out, "\\x2d{}", Escaped::new(&line[1..]))?;
        } else {
            write!(out, "{}", Escaped::new(line))?;
        }
        if end.is_some() {
            writeln!(out)?;
        }
        rest_of_line = end.is_none();
        let taken = end.map_or(octets.len(), |at| at + 1);
        content.consume(taken);
    }
    if rest_of_line {
        writeln!(out)?;
    }
    if in_headers {
        writeln!(out, "X-Peer: {}", mail.peer_name())?;
    }
    writeln!(out, "{FOOT}")
}

fn is_frame(line: &[u8]) -> bool {
    line == HEAD.as_bytes() || line == FOOT.as_bytes()
}
