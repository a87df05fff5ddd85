//! Waiting for the client's next line.

use std::io::{self, BufRead, ErrorKind};
use std::time::Instant;

use super::{Channel, Waited};
use crate::connection::shutdown::Wait;
use crate::io::stream::Stream;
use crate::io::wire::line::{Line, LineReader};

impl<S: Stream> Channel<S> {
    /// Reads up to the end of a command line. Replies go out before it waits, and only then.
    pub(super) fn wait_for_line(&mut self, line: &mut LineReader, limit: usize) -> io::Result<Waited> {
        let mut since = None;
        loop {
            if self.is_ending() {
                return Ok(Waited::Shutdown);
            }
            if self.input.buffered().is_empty()
                && let Some(ending) = self.wait_for_octets(&mut since)?
            {
                return Ok(ending);
            }
            let (taken, state) = line.feed(self.input.buffered(), limit);
            self.input.consume(taken);
            if state != Line::Partial {
                return Ok(Waited::Line(state));
            }
        }
    }

    /// Whether a shutdown ends the connection before its next line.
    fn is_ending(&self) -> bool {
        // A message whose first chunk was taken may go on to its last.
        self.activity.is_closing() && (self.chunks.is_none() || self.activity.is_cutting())
    }

    /// Waits until there are octets, or gives the reason why there will be none. The time of a line counts from `since`, when
    /// its first octets were waited for.
    fn wait_for_octets(&mut self, since: &mut Option<Instant>) -> io::Result<Option<Waited>> {
        self.flush()?;
        self.input.shrink();
        let since = *since.get_or_insert_with(|| {
            let now = Instant::now();
            self.input.stream_mut().allow_read(now, self.shared.command_timeout());
            now
        });
        self.activity.set_wait(Wait::Read(since));
        let read = self.input.fill_buf();
        if !self.activity.set_wait(Wait::None) {
            return Ok(Some(Waited::Late));
        }
        match read {
            Ok([]) if self.activity.is_closing() => Ok(Some(Waited::Shutdown)),
            // A line that the end of the stream cuts off is none.
            Ok([]) => Ok(Some(Waited::EndOfStream)),
            Ok(_) => Ok(None),
            Err(e) if e.kind() == ErrorKind::TimedOut => Ok(Some(Waited::Late)),
            // Within TLS the end of the stream is an error.
            Err(_) if self.activity.is_closing() => Ok(Some(Waited::Shutdown)),
            Err(e) => Err(e),
        }
    }
}
