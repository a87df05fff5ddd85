//! A client that sends messages for some time, and looks at each reply's code.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// How a client spends its time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Habit {
    /// A connection for each message, on which each command waits for its reply.
    Connect,
    /// One connection, on which each command waits.
    Serial,
    /// One connection, on which a message's content goes with the commands of the next.
    Pipelined,
    /// One connection, each message one chunk that goes with its commands.
    Chunks,
}

const MAIL: &[u8] = b"MAIL FROM:<sender@bench.example>\r\n";
const RCPT: &[u8] = b"RCPT TO:<rcpt@bench.example>\r\n";
const DATA: &[u8] = b"DATA\r\n";

/// What a message is: its content as it goes behind DATA, with its end.
pub struct Content(Vec<u8>);

impl Content {
    /// At least so many octets, in lines of 76 of which one in 16 begins with a dot.
    pub fn new(octets: usize) -> Content {
        let mut text = Vec::with_capacity(octets + 100);
        for line in 0.. {
            if text.len() >= octets {
                break;
            }
            text.extend_from_slice(if line % 16 == 15 { b".." } else { b"xx" });
            text.extend_from_slice(&[b'x'; 72]);
            text.extend_from_slice(b"\r\n");
        }
        text.extend_from_slice(b".\r\n");
        Content(text)
    }

    fn as_chunk(&self) -> Vec<u8> {
        let octets = &self.0[..self.0.len() - 3];
        [MAIL, RCPT, format!("BDAT {} LAST\r\n", octets.len()).as_bytes(), octets].concat()
    }
}

/// Sends messages until `end`, and gives how long each took, the last one whole.
pub fn send(server: SocketAddr, habit: Habit, content: &Content, end: Instant) -> io::Result<Vec<Duration>> {
    let mut times = Vec::new();
    let mut connection = match habit {
        Habit::Connect => None,
        _ => Some(Connection::open(server)?),
    };
    let envelope = [MAIL, RCPT, DATA].concat();
    let chunk = if habit == Habit::Chunks { content.as_chunk() } else { Vec::new() };
    let with_next = [&content.0, &envelope[..]].concat();
    if let (Habit::Pipelined, Some(connection)) = (habit, &mut connection) {
        connection.say(&envelope, b"223")?;
    }
    while Instant::now() < end {
        let begun = Instant::now();
        match &mut connection {
            None => {
                let mut connection = Connection::open(server)?;
                connection.send_message(content)?;
                connection.say(b"QUIT\r\n", b"2")?;
            }
            Some(connection) if habit == Habit::Pipelined => connection.say(&with_next, b"2223")?,
            Some(connection) if habit == Habit::Chunks => connection.say(&chunk, b"222")?,
            Some(connection) => connection.send_message(content)?,
        }
        times.push(begun.elapsed());
    }
    Ok(times)
}

pub struct Connection {
    stream: BufReader<TcpStream>,
    line: Vec<u8>,
}

impl Connection {
    /// Connects, and says EHLO.
    pub fn open(server: SocketAddr) -> io::Result<Connection> {
        let stream = TcpStream::connect(server)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        let mut connection = Connection { stream: BufReader::with_capacity(1024, stream), line: Vec::new() };
        connection.say(b"", b"2")?;
        connection.say(b"EHLO bench.example\r\n", b"2")?;
        Ok(connection)
    }

    pub fn send_message(&mut self, content: &Content) -> io::Result<()> {
        self.say(MAIL, b"2")?;
        self.say(RCPT, b"2")?;
        self.say(DATA, b"3")?;
        self.say(&content.0, b"2")
    }

    /// Sends octets, and waits for replies that begin with these digits.
    fn say(&mut self, octets: &[u8], replies: &[u8]) -> io::Result<()> {
        self.stream.get_mut().write_all(octets)?;
        replies.iter().try_for_each(|digit| self.expect(*digit))
    }

    /// Reads one whole reply.
    fn expect(&mut self, digit: u8) -> io::Result<()> {
        loop {
            self.line.clear();
            self.stream.read_until(b'\n', &mut self.line)?;
            if self.line.first() != Some(&digit) {
                return Err(io::Error::other(format!("the server says \"{}\"", self.line.escape_ascii())));
            }
            if self.line.get(3) == Some(&b' ') {
                return Ok(());
            }
        }
    }
}
