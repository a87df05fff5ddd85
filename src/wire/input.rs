//! The buffer between a stream and the readers.

use std::io::{self, BufRead, Read};

use crate::stream::Stream;

/// Enough for commands and small messages; an idle connection has no more.
const SMALL: usize = 2 * 1024;
/// For content: fewer reads, fewer system calls.
const LARGE: usize = 64 * 1024;

/// A buffered reader over a stream; writing goes through it too, since a stream has one owner.
#[derive(Debug)]
pub(crate) struct Input<S> {
    stream: S,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    // The last read filled the buffer: more room would have saved a call.
    was_full: bool,
    unanswered: Unanswered,
}

/// What was read since something was written: without an acknowledgement, a client whose system has Nagle's algorithm may
/// keep the rest back, and the acknowledgement waits for a reply that waits for the rest.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Unanswered {
    Nothing,
    Octets,
    /// Octets, and the stream acknowledges them at once.
    Acknowledged,
}

impl<S: Stream> Input<S> {
    /// `buffer` is what [`into_buffer`](Input::into_buffer) gave, or empty.
    pub fn new(stream: S, buffer: Vec<u8>) -> Input<S> {
        let buffer = if buffer.len() == SMALL { buffer } else { vec![0; SMALL] };
        Input { stream, buffer, start: 0, end: 0, was_full: false, unanswered: Unanswered::Nothing }
    }

    /// The room that it had, for the next connection.
    pub fn into_buffer(self) -> Vec<u8> {
        self.buffer
    }

    /// What was read and not consumed yet.
    pub fn buffered(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    pub fn stream_mut(&mut self) -> &mut S {
        &mut self.stream
    }

    /// Whether more was sent than was consumed. Does not wait.
    pub fn has_more(&mut self) -> io::Result<bool> {
        Ok(self.start < self.end || self.stream.has_input()?)
    }

    /// Writes replies to what was read.
    pub fn answer(&mut self, replies: &[u8]) -> io::Result<()> {
        self.stream.write_all(replies)?;
        self.unanswered = Unanswered::Nothing;
        Ok(())
    }

    /// Has octets acknowledged as soon as they are read, up to the next answer. Reads do so by themselves from the second
    /// one on.
    pub fn acknowledge(&mut self) {
        if self.unanswered != Unanswered::Acknowledged {
            self.stream.acknowledge();
            self.unanswered = Unanswered::Acknowledged;
        }
    }

    /// Overwrites what was consumed: it was a secret.
    #[cfg(feature = "auth")]
    pub fn wipe(&mut self) {
        zeroize::Zeroize::zeroize(&mut self.buffer[..self.start]);
    }

    /// Gives the room for content back, for a connection that waits for its next command.
    pub fn shrink(&mut self) {
        if self.start == self.end && self.buffer.len() > SMALL {
            self.buffer = vec![0; SMALL];
            (self.start, self.end, self.was_full) = (0, 0, false);
        }
    }
}

impl<S: Stream> BufRead for Input<S> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.start == self.end {
            if self.was_full && self.buffer.len() < LARGE {
                // Zeroed by the allocator; growing in place would copy as well.
                self.buffer = vec![0; (self.buffer.len() * 4).min(LARGE)];
            }
            if self.unanswered == Unanswered::Octets {
                self.acknowledge();
            }
            (self.start, self.end) = (0, 0);
            self.end = self.stream.read(&mut self.buffer)?;
            if self.unanswered == Unanswered::Nothing {
                self.unanswered = Unanswered::Octets;
            }
            self.was_full = self.end == self.buffer.len();
        }
        Ok(&self.buffer[self.start..self.end])
    }

    fn consume(&mut self, amount: usize) {
        self.start = (self.start + amount).min(self.end);
    }
}

impl<S: Stream> Read for Input<S> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let available = self.fill_buf()?;
        let n = available.len().min(buf.len());
        buf[..n].copy_from_slice(&available[..n]);
        self.consume(n);
        Ok(n)
    }
}
