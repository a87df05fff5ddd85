//! The buffer between a stream and the readers.

use std::io::{self, BufRead, Read};

use crate::io::stream::Stream;

/// Enough for the commands of most messages: what a connection has before its first.
const TINY: usize = 512;
/// Enough for small messages; an idle connection has no more.
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
    // The last read filled the buffer, so that more room would have saved a call; or content comes.
    wants_room: bool,
    unanswered: Unanswered,
}

/// What was read since something was written: without an acknowledgement, a client whose system has Nagle's algorithm may
/// keep the rest back, and the acknowledgement waits for a reply that waits for the rest.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Unanswered {
    Nothing,
    Octets,
    /// The stream was told to acknowledge them, and has nothing new since.
    Acknowledged,
}

impl<S: Stream> Input<S> {
    /// `buffer` is what [`into_buffer`](Input::into_buffer) gave, or empty.
    pub fn new(stream: S, buffer: Vec<u8>) -> Input<S> {
        let buffer = if [TINY, SMALL].contains(&buffer.len()) { buffer } else { vec![0; TINY] };
        Input { stream, buffer, start: 0, end: 0, wants_room: false, unanswered: Unanswered::Nothing }
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

    /// Has the octets that were read acknowledged. Reads do so by themselves with those of the read before: the system takes a
    /// request to hold for one acknowledgement.
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

    /// Content comes: the next read has room for that of a small message.
    pub fn expect_content(&mut self) {
        self.wants_room |= self.buffer.len() < SMALL;
    }

    /// Gives the room for content back, for a connection that waits for its next command.
    pub fn shrink(&mut self) {
        if self.start == self.end && self.buffer.len() > SMALL {
            self.buffer = vec![0; SMALL];
            (self.start, self.end, self.wants_room) = (0, 0, false);
        }
    }
}

impl<S: Stream> BufRead for Input<S> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.start == self.end {
            if self.wants_room && self.buffer.len() < LARGE {
                // A line that is longer than this may be a secret.
                #[cfg(feature = "auth")]
                if self.buffer.len() < SMALL {
                    self.wipe();
                }
                // Zeroed by the allocator; growing in place would copy as well.
                self.buffer = vec![0; (self.buffer.len() * 4).min(LARGE)];
            }
            // Of as much as fills the large buffer, the system acknowledges enough by itself.
            if self.unanswered == Unanswered::Octets && self.end < LARGE {
                self.acknowledge();
            }
            (self.start, self.end) = (0, 0);
            self.end = self.stream.read(&mut self.buffer)?;
            self.unanswered = Unanswered::Octets;
            self.wants_room = self.end == self.buffer.len();
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

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::io::Write;
    use std::time::{Duration, Instant};

    use super::*;
    use crate::envelope::tls_info::TlsInfo;
    use crate::io::tls::TlsAcceptor;

    /// Tells what is done with it.
    #[derive(Default)]
    struct Watched {
        packets: VecDeque<&'static [u8]>,
        done: Vec<&'static str>,
    }

    impl Read for Watched {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            self.done.push("read");
            let packet = self.packets.pop_front().unwrap_or_default();
            buf[..packet.len()].copy_from_slice(packet);
            Ok(packet.len())
        }
    }

    impl Write for Watched {
        fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
            self.done.push("write");
            Ok(buf.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Stream for Watched {
        fn set_read_deadline(&mut self, _: Instant) {}

        fn set_write_deadline(&mut self, _: Instant) {}

        fn allow_read(&mut self, _: Instant, _: Duration) {}

        fn allow_write(&mut self, _: Instant, _: Duration) {}

        fn close_writing(&mut self) -> io::Result<()> {
            Ok(())
        }

        fn close_reading(&mut self) -> io::Result<()> {
            Ok(())
        }

        fn reset_at_close(&mut self) -> io::Result<()> {
            Ok(())
        }

        fn has_input(&mut self) -> io::Result<bool> {
            Ok(!self.packets.is_empty())
        }

        fn acknowledge(&mut self) {
            self.done.push("acknowledge");
        }

        fn start_tls(&mut self, _: &dyn TlsAcceptor) -> io::Result<TlsInfo> {
            Err(io::ErrorKind::Unsupported.into())
        }
    }

    #[test]
    fn room_grows_with_what_comes_and_for_content_before_it_comes() {
        static PACKET: [u8; LARGE] = [b'x'; LARGE];
        for (reads, expects_content, room) in [
            (&[1, 1, TINY - 1][..], false, TINY),
            (&[TINY, 1], false, SMALL),
            (&[TINY, SMALL, 4 * SMALL, 16 * SMALL, LARGE, 1], false, LARGE),
            (&[1], true, SMALL),
            (&[1, SMALL - 1], true, SMALL),
        ] {
            let packets: Vec<&[u8]> = reads.iter().map(|octets| &PACKET[..*octets]).collect();
            let mut input = input(&packets);
            if expects_content {
                input.expect_content();
            }
            reads.iter().for_each(|_| read_all(&mut input));
            assert_eq!(input.buffer.len(), room, "{reads:?}");
            input.shrink();
            assert_eq!(input.buffer.len(), room.min(SMALL), "{reads:?}");
            // What has come to be usual on this worker is kept.
            let kept = input.into_buffer();
            assert_eq!(Input::new(Watched::default(), kept).buffer.len(), room.min(SMALL), "{reads:?}");
        }
    }

    fn input(packets: &[&'static [u8]]) -> Input<Watched> {
        Input::new(Watched { packets: packets.iter().copied().collect(), done: Vec::new() }, Vec::new())
    }

    fn read_all(input: &mut Input<Watched>) {
        let taken = input.fill_buf().unwrap().len();
        input.consume(taken);
    }

    #[test]
    fn what_waits_for_more_is_acknowledged() {
        let mut input = input(&[b"DATA", b"text", b"more", b"more", b"NOOP"]);
        read_all(&mut input);
        input.answer(b"354").unwrap();
        for _ in 0..3 {
            read_all(&mut input);
        }
        input.answer(b"250").unwrap();
        read_all(&mut input);
        input.answer(b"250").unwrap();
        let more = ["acknowledge", "read"];
        assert_eq!(
            input.stream.done,
            [&["read", "write", "read"][..], &more, &more, &["write", "read", "write"]].concat()
        );
    }

    #[test]
    fn what_fills_the_large_buffer_is_acknowledged_by_the_system() {
        static MUCH: [u8; LARGE] = [b'x'; LARGE];
        let mut input = input(&[&MUCH, b"less", b"more"]);
        input.buffer = vec![0; LARGE];
        for _ in 0..3 {
            read_all(&mut input);
        }
        assert_eq!(input.stream.done, ["read", "read", "acknowledge", "read"]);
    }

    #[test]
    fn nothing_is_acknowledged_twice() {
        let mut input = input(&[b"text", b"more"]);
        input.acknowledge();
        input.acknowledge();
        read_all(&mut input);
        input.acknowledge();
        read_all(&mut input);
        assert_eq!(input.stream.done, ["acknowledge", "read", "acknowledge", "read"]);
    }

    #[test]
    fn more_is_in_the_buffer_or_in_the_stream() {
        let mut input = input(&[b"ab", b"c"]);
        assert!(input.has_more().unwrap());
        input.fill_buf().unwrap();
        input.consume(1);
        assert!(input.has_more().unwrap());
        input.consume(1);
        assert!(input.has_more().unwrap());
        read_all(&mut input);
        assert!(!input.has_more().unwrap());
    }
}
