//! A connection to Redis: commands are written and answers read, each within a time.
//!
//! The redis crate has its commands, values and errors; its own connections take their TLS from a library of their own choice, have no
//! limit in time for a handshake, and hold an entry in memory several times.

use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::time::{Duration, Instant};

use redis::{Cmd, Value};

use super::fault::Fault;
use crate::io::stream::{ConnectionStream, Stream};

/// What Redis itself allows at most for one string: `proto-max-bulk-len` by default.
const MAX_STRING: u64 = 512 * 1024 * 1024;
/// An answer's arrays within arrays.
const MAX_DEPTH: usize = 16;
/// In octets: an error or a number.
const MAX_LINE: u64 = 16 * 1024;
/// What is reserved before it has arrived.
const MAX_RESERVED: u64 = 1024 * 1024;

pub(super) struct Connection {
    input: BufReader<ConnectionStream>,
    used_at: Instant,
}

impl Connection {
    pub fn new(stream: ConnectionStream) -> Connection {
        Connection { input: BufReader::with_capacity(32 * 1024, stream), used_at: Instant::now() }
    }

    /// How long nothing was asked over it.
    pub fn idle_time(&self) -> Duration {
        self.used_at.elapsed()
    }

    /// Whether the other end may still be there: it has neither closed the connection nor said what nobody asked for.
    pub fn is_quiet(&self) -> bool {
        self.input.buffer().is_empty() && self.input.get_ref().transport().is_quiet()
    }

    /// Asks for one thing. What Redis refuses is an error.
    pub fn ask(&mut self, command: &Cmd, within: Duration) -> Result<Value, Fault> {
        self.write(&command.get_packed_command(), within)?;
        self.read(within)?.extract_error().map_err(Fault::Refused)
    }

    /// Asks for several things at once. What Redis refuses is among the answers.
    pub fn ask_all(&mut self, commands: &[Cmd], within: Duration) -> Result<Vec<Value>, Fault> {
        let mut octets = Vec::new();
        commands.iter().for_each(|command| command.write_packed_command(&mut octets));
        self.write(&octets, within)?;
        commands.iter().map(|_| self.read(within)).collect()
    }

    /// Writes the whole of a command, or of several.
    pub fn write(&mut self, octets: &[u8], within: Duration) -> Result<(), Fault> {
        self.begin_write(within);
        self.go_on_writing(octets).map_err(Fault::Unanswered)
    }

    /// Has what is written from now on written within a time.
    pub fn begin_write(&mut self, within: Duration) {
        self.used_at = Instant::now();
        self.input.get_mut().allow_write(self.used_at, within);
    }

    pub fn go_on_writing(&mut self, octets: &[u8]) -> io::Result<()> {
        self.input.get_mut().write_all(octets)?;
        self.input.get_mut().flush()
    }

    /// The next answer.
    pub fn read(&mut self, within: Duration) -> Result<Value, Fault> {
        let now = Instant::now();
        self.input.get_mut().allow_read(now, within);
        let value = self.value(MAX_DEPTH).map_err(Fault::Unanswered)?;
        self.used_at = Instant::now();
        Ok(value)
    }

    fn value(&mut self, depth: usize) -> io::Result<Value> {
        let mut line = Vec::new();
        (&mut self.input).take(MAX_LINE).read_until(b'\n', &mut line)?;
        if line.is_empty() {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        match line[0] {
            b'$' => match number(&line)? {
                -1 => Ok(Value::Nil),
                length => self.string(u64::try_from(length).map_err(|_| odd())?).map(Value::BulkString),
            },
            b'*' => match number(&line)? {
                -1 => Ok(Value::Nil),
                length => {
                    let length = u64::try_from(length).map_err(|_| odd())?;
                    let depth = depth.checked_sub(1).ok_or_else(odd)?;
                    (0..length).map(|_| self.value(depth)).collect::<io::Result<_>>().map(Value::Array)
                }
            },
            b':' => number(&line).map(Value::Int),
            b'+' | b'-' => redis::parse_redis_value(&line).map_err(|_| odd()),
            _ => Err(odd()),
        }
    }

    fn string(&mut self, length: u64) -> io::Result<Vec<u8>> {
        if length > MAX_STRING {
            return Err(odd());
        }
        let mut octets = Vec::with_capacity(usize::try_from(length.min(MAX_RESERVED)).unwrap_or(0));
        if (&mut self.input).take(length).read_to_end(&mut octets)? as u64 != length {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        let mut end = [0; 2];
        self.input.read_exact(&mut end)?;
        if end == *b"\r\n" { Ok(octets) } else { Err(odd()) }
    }
}

/// The number in a line behind its first octet.
fn number(line: &[u8]) -> io::Result<i64> {
    let digits = line[1..].strip_suffix(b"\r\n").and_then(|digits| str::from_utf8(digits).ok());
    digits.and_then(|digits| digits.parse().ok()).ok_or_else(odd)
}

fn odd() -> io::Error {
    io::Error::new(ErrorKind::InvalidData, "this is not how Redis answers")
}
