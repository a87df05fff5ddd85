//! A client that sends message after message, in every way that there is, and misbehaves now and then.

use std::io::{self, BufRead, BufReader, Error, ErrorKind, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use crate::chance::Chance;
use crate::ledger::{Fate, Ledger, message};

struct Connection {
    stream: BufReader<TcpStream>,
    // Which server it leads to.
    server: usize,
}

impl Connection {
    fn open(address: SocketAddr, ledger: &Ledger) -> io::Result<Connection> {
        let server = ledger.server();
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        stream.set_write_timeout(Some(Duration::from_secs(30)))?;
        let mut connection = Connection { stream: BufReader::new(stream), server };
        connection.expect(220)?;
        if ledger.server() != server {
            return Err(Error::other("which server it leads to is not certain"));
        }
        connection.say("EHLO soak.example\r\n", 250)?;
        Ok(connection)
    }

    fn send(&mut self, text: &str) -> io::Result<()> {
        self.stream.get_mut().write_all(text.as_bytes())
    }

    fn reply(&mut self) -> io::Result<u16> {
        loop {
            let mut line = String::new();
            if self.stream.read_line(&mut line)? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            let code = line.get(..3).and_then(|code| code.parse().ok());
            match (code, line.as_bytes().get(3)) {
                (Some(_), Some(b'-')) => {}
                (Some(code), Some(b' ')) => return Ok(code),
                _ => return Err(Error::new(ErrorKind::InvalidData, line)),
            }
        }
    }

    fn expect(&mut self, code: u16) -> io::Result<()> {
        match self.reply()? {
            reply if reply == code => Ok(()),
            reply => Err(Error::other(reply.to_string())),
        }
    }

    fn say(&mut self, text: &str, code: u16) -> io::Result<()> {
        self.send(text)?;
        self.expect(code)
    }

    /// Closes so that the server gets a reset.
    fn reset(self) {
        let socket = socket2::Socket::from(self.stream.into_inner());
        // Without it the close is an ordinary one, which is a fault as well.
        let _ = socket.set_linger(Some(Duration::ZERO));
    }
}

/// Sends until it shall stop; whatever happens to a connection, there is a next one.
pub fn send_until(stop: &AtomicBool, address: SocketAddr, ledger: &Ledger, mut chance: Chance) {
    while !stop.load(Ordering::Relaxed) {
        let Ok(mut connection) = Connection::open(address, ledger) else {
            // It is being started again.
            thread::sleep(Duration::from_millis(5));
            continue;
        };
        while !stop.load(Ordering::Relaxed) && chance.below(50) != 0 {
            let number = ledger.number();
            let (fate, connection_after) = send(connection, number, &mut chance);
            ledger.note(number, fate);
            match connection_after {
                Some(after) => connection = after,
                None => break,
            }
        }
    }
}

const ENVELOPE: [&str; 2] = ["MAIL FROM:<sender@soak.example>\r\n", "RCPT TO:<recipient@example.org>\r\n"];

/// One message. The connection comes back if it can be used again.
fn send(mut connection: Connection, number: u64, chance: &mut Chance) -> (Fate, Option<Connection>) {
    let lines = if chance.below(100) == 0 { 20_000 } else { chance.below(40) };
    let text = message(number, lines);
    let is_chunked = chance.below(3) == 0;
    let begun = if is_chunked || chance.below(2) == 0 { single(&mut connection) } else { pipelined(&mut connection) };
    let begun = begun.and_then(|()| if is_chunked { Ok(()) } else { connection.say("DATA\r\n", 354) });
    if begun.is_err() {
        return (Fate::Unfinished, None);
    }
    // A server that has said 354, or 250 to a first chunk, has to say what becomes of the message.
    let cut = Fate::Cut(connection.server);
    let lost = if is_chunked { Fate::Unknown } else { cut };
    let whole = if is_chunked { chunks(&text, chance) } else { format!("{text}.\r\n") };
    // The faults come somewhere within.
    match chance.below(40) {
        0 | 1 => {
            let end = chance.below(whole.len() as u64 - 3) as usize;
            let _ = connection.send(&whole[..end]);
            if chance.below(2) == 0 {
                connection.reset();
            }
            return (Fate::Unfinished, None);
        }
        2 => {
            let pause = chance.below(whole.len() as u64 - 3) as usize;
            let sent = connection.send(&whole[..pause]).and_then(|()| {
                thread::sleep(Duration::from_millis(chance.below(300)));
                connection.send(&whole[pause..])
            });
            if sent.is_err() {
                return (lost, None);
            }
        }
        // All of it, and gone without a look at the reply.
        3 => {
            let sent = connection.send(&whole);
            connection.reset();
            return (if sent.is_ok() { Fate::Unknown } else { Fate::Unfinished }, None);
        }
        _ => {
            // What a failed write has sent of it, nobody knows.
            if connection.send(&whole).is_err() {
                return (lost, None);
            }
        }
    }
    if is_chunked {
        match connection.reply() {
            Ok(250) => {}
            Ok(400..=599) => return (Fate::Refused, None),
            _ => return (Fate::Unknown, None),
        }
    }
    match connection.reply() {
        Ok(250) => (Fate::Accepted, Some(connection)),
        Ok(code @ 400..=599) if code != 421 => (Fate::Refused, None),
        _ => (cut, None),
    }
}

fn single(connection: &mut Connection) -> io::Result<()> {
    ENVELOPE.into_iter().try_for_each(|command| connection.say(command, 250))
}

fn pipelined(connection: &mut Connection) -> io::Result<()> {
    connection.send(&ENVELOPE.concat())?;
    ENVELOPE.into_iter().try_for_each(|_| connection.expect(250))
}

/// The content in two chunks, both in flight at once.
fn chunks(text: &str, chance: &mut Chance) -> String {
    let cut = chance.below(text.len() as u64) as usize;
    let (first, rest) = text.split_at(cut);
    format!("BDAT {}\r\n{first}BDAT {} LAST\r\n{rest}", first.len(), rest.len())
}
