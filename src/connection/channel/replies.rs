//! Replies on their way out, and the end of a connection.

use std::io::{self, ErrorKind};
use std::time::Instant;

use super::{Channel, Flow};
use crate::connection::shutdown::Wait;
use crate::io::stream::{Stream, linger};
use crate::syntax::reply::Reply;

/// Replies are sent off at this size even while more commands wait: a client that only writes must not fill memory.
const MAX_REPLIES: usize = 8 * 1024;

impl<S: Stream> Channel<S> {
    /// Says a reply and counts what speaks against the client; the connection ends if that is too much.
    pub(super) fn answer(&mut self, reply: Reply) -> io::Result<Flow> {
        self.say(&reply)?;
        self.judge(&reply)
    }

    /// Counts a reply that was said, which may be the last.
    pub(super) fn judge(&mut self, reply: &Reply) -> io::Result<Flow> {
        if reply.is_closing() {
            return Ok(Flow::Close);
        }
        let Some(goodbye) = self.count(reply) else { return Ok(Flow::Next) };
        log::info!("[{}] {goodbye}", self.context.connection);
        self.begin_last_word();
        self.say(&goodbye)?;
        Ok(Flow::Close)
    }

    /// Puts a reply behind those that wait to be sent.
    pub(super) fn say(&mut self, reply: &Reply) -> io::Result<()> {
        self.say_as(reply, |out| reply.render(out))
    }

    /// As [`say`](Channel::say), for a reply of which is known already how it goes over the wire.
    pub(super) fn say_rendered(&mut self, reply: &Reply, wire: &[u8]) -> io::Result<()> {
        self.say_as(reply, |out| out.extend_from_slice(wire))
    }

    fn say_as(&mut self, reply: &Reply, render: impl FnOnce(&mut Vec<u8>)) -> io::Result<()> {
        log::trace!("[{}] S: {reply}", self.context.connection);
        self.account(reply);
        if self.say_as_scripted(reply)? {
            return Ok(());
        }
        let before = self.replies.len();
        render(&mut self.replies);
        self.record.server(&self.replies[before..]);
        self.flush_if_many()
    }

    /// Says a challenge, already in base64, which shall be neither in the log nor in a transcript. It is one line, however long:
    /// RFC 4954 section 4.
    #[cfg(feature = "auth")]
    pub(super) fn say_challenge(&mut self, challenge: &str) -> io::Result<()> {
        self.account(&Reply::bare(334, "".into()));
        for part in ["334 ", challenge, "\r\n"] {
            self.replies.extend_from_slice(part.as_bytes());
        }
        self.record.server(b"334 ...");
        self.flush_if_many()
    }

    fn flush_if_many(&mut self) -> io::Result<()> {
        if self.replies.len() >= MAX_REPLIES { self.flush() } else { Ok(()) }
    }

    /// Sends the replies that wait, in one write.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        if self.replies.is_empty() {
            return Ok(());
        }
        if self.is_slowed() {
            return self.flush_slowly();
        }
        let now = Instant::now();
        self.activity.set_wait(Wait::Write(now));
        self.input.stream_mut().allow_write(now, self.shared.command_timeout());
        let written = self.input.answer(&self.replies);
        self.activity.set_wait(Wait::None);
        if let Err(e) = written {
            if e.kind() == ErrorKind::TimedOut {
                self.shared.counters.timeouts.reply.add(1);
            }
            return Err(e);
        }
        self.replies.clear();
        self.unconfirmed = None;
        Ok(())
    }

    /// The end that the client asked for: nothing more will come from it, so nothing has to be waited for.
    pub(super) fn hang_up(&mut self) -> io::Result<()> {
        self.flush()?;
        if self.context.tls.is_some() {
            // So that the client can tell this end from one that somebody else made.
            self.input.stream_mut().close_writing()?;
        }
        Ok(())
    }

    /// Ends the connection with a reply to nothing that the client has said.
    pub(super) fn close_with(&mut self, reply: Reply) -> io::Result<()> {
        self.begin_last_word();
        self.close_after(reply)
    }

    /// Ends the connection with a reply to the last command.
    pub(super) fn close_after(&mut self, reply: Reply) -> io::Result<()> {
        self.say(&reply)?;
        self.close()
    }

    pub(super) fn close(&mut self) -> io::Result<()> {
        self.flush()?;
        let hurry = self.activity.is_closing();
        linger(self.input.stream_mut(), hurry);
        Ok(())
    }
}
