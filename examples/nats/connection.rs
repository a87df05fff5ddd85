//! A connection to a NATS server: publish, subscribe, read.
//!
//! The protocol is lines of text, of which a publisher needs six. The blocking crate `nats` is deprecated, and its successor
//! `async-nats` needs an asynchronous runtime.

use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// How long the server may take to connect, to read and to answer.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// The longest line: the server's INFO.
const MAX_LINE: u64 = 65_536;

/// The longest message that is read: acknowledgements are much shorter.
const MAX_PAYLOAD: usize = 16 << 20;

/// What the server says.
pub enum Event {
    /// A message for a subscription; empty if nobody answers at the subject that was asked.
    Message { subject: String, payload: Vec<u8> },
    /// It wants a [`Writer::pong`].
    Ping,
    /// Nothing came for [`PATIENCE`].
    Silence,
}

pub struct Writer(TcpStream);

pub struct Reader(BufReader<TcpStream>);

/// Connects; gives the longest message that the server takes as well.
pub fn connect(address: &str) -> io::Result<(Writer, Reader, usize)> {
    let stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.set_nodelay(true)?;
    let (mut writer, mut reader) = (Writer(stream.try_clone()?), Reader(BufReader::new(stream)));
    let info = reader.line()?;
    let digits = info.split_once("\"max_payload\":").map(|(_, rest)| rest.split([',', '}']).next().unwrap_or(rest));
    let max_payload = digits.and_then(|digits| digits.trim().parse().ok()).ok_or_else(|| invalid("no INFO"))?;
    let about = r#"{"verbose":false,"pedantic":false,"headers":true,"no_responders":true,"lang":"rust","version":"1"}"#;
    writer.0.write_all(format!("CONNECT {about}\r\n").as_bytes())?;
    Ok((writer, reader, max_payload))
}

impl Writer {
    pub fn subscribe(&mut self, subject: &str) -> io::Result<()> {
        self.0.write_all(format!("SUB {subject} 1\r\n").as_bytes())
    }

    /// Publishes a message whose receiver answers at the subject `answer_to`.
    pub fn publish(&mut self, subject: &str, answer_to: &str, payload: &[u8]) -> io::Result<()> {
        let head = format!("PUB {subject} {answer_to} {}\r\n", payload.len());
        self.0.write_all(&[head.as_bytes(), payload, b"\r\n"].concat())
    }

    pub fn pong(&mut self) -> io::Result<()> {
        self.0.write_all(b"PONG\r\n")
    }
}

impl Reader {
    /// The next of what the server says. An error ends the connection.
    pub fn next(&mut self) -> io::Result<Event> {
        loop {
            match self.0.fill_buf() {
                Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => return Ok(Event::Silence),
                Err(e) if e.kind() == ErrorKind::Interrupted => continue,
                _ => {}
            }
            let line = self.line()?;
            let words: Vec<&str> = line.split_whitespace().collect();
            match words[..] {
                ["PING"] => return Ok(Event::Ping),
                ["PONG" | "+OK"] | ["INFO", ..] => {}
                ["MSG", subject, .., length] => return self.message(subject, "0", length),
                ["HMSG", subject, .., head, length] => return self.message(subject, head, length),
                // `-ERR`, with the reason.
                _ => return Err(invalid(&line)),
            }
        }
    }

    /// A message whose first `head` octets are header fields.
    fn message(&mut self, subject: &str, head: &str, length: &str) -> io::Result<Event> {
        let (Ok(head), Ok(length)) = (head.parse::<usize>(), length.parse::<usize>()) else {
            return Err(invalid("a length that is no number"));
        };
        if length > MAX_PAYLOAD || head > length {
            return Err(invalid("a message that is too long"));
        }
        let mut payload = vec![0; length + 2];
        self.0.read_exact(&mut payload)?;
        payload.truncate(length);
        payload.drain(..head);
        Ok(Event::Message { subject: subject.to_owned(), payload })
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        (&mut self.0).take(MAX_LINE).read_line(&mut line)?;
        match line.strip_suffix("\r\n") {
            Some(line) => Ok(line.to_owned()),
            None if line.is_empty() => Err(ErrorKind::UnexpectedEof.into()),
            None => Err(invalid("a line without an end")),
        }
    }
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, format!("the NATS server says {what:?}"))
}
