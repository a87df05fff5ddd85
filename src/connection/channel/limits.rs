//! What ends a connection before its client wants it: too many errors, too many commands without mail, too much time.

use std::time::Duration;

use super::{Channel, Shared};
use crate::config::{RECIPIENT_OVERSHOOT, STRESS_ERRORS, STRESS_JUNK};
use crate::limits::clients::TOO_MANY_ERRORS_FROM_YOU;
use crate::session::transaction::{NO_ROOM_FOR_RECIPIENT, TOO_MANY_RECIPIENTS};
use crate::syntax::reply::{Reply, Status};

const TOO_MANY_ERRORS: Reply = Reply::fixed(421, Status::new(4, 7, 0), "Too many errors");
const TOO_MUCH_JUNK: Reply = Reply::fixed(421, Status::new(4, 7, 0), "Too many commands without mail");

impl Shared {
    /// How long a client may take for a command, or to read replies.
    pub(super) fn command_timeout(&self) -> Duration {
        let usual = self.config.command_timeout;
        self.stress.timeout().map_or(usual, |hurried| usual.min(hurried))
    }

    /// How many errors end a connection, and beyond how many commands without mail each counts as one.
    fn max_errors_and_junk(&self) -> (usize, usize) {
        let limit = |setting| if setting == 0 { usize::MAX } else { setting };
        let (errors, junk) = (limit(self.config.max_errors), limit(self.config.max_junk));
        match self.stress.timeout() {
            Some(_) => (errors.min(STRESS_ERRORS), junk.min(STRESS_JUNK)),
            None => (errors, junk),
        }
    }
}

impl<S> Channel<S> {
    /// Counts what speaks against the client; says goodbye if that is too much. What became too much when stress began, the
    /// next of its kind shows.
    pub(super) fn count(&mut self, reply: &Reply) -> Option<Reply> {
        let mut is_error = reply.is_transient() || reply.is_permanent();
        if is_overshoot(reply) && self.overshoot < RECIPIENT_OVERSHOOT {
            self.overshoot += 1;
            is_error = false;
        }
        if !is_error && !self.is_junk {
            return None;
        }
        let (max_errors, max_junk) = self.shared.max_errors_and_junk();
        // A pool that keeps its connections alive says nothing wrong: only for this connection is it as bad as an error.
        let counts = is_error || self.junk > max_junk;
        self.errors += usize::from(counts);
        if is_error && self.shared.addresses.count_error(&self.context.peer) {
            Some(TOO_MANY_ERRORS_FROM_YOU)
        } else if counts && self.errors >= max_errors {
            Some(if is_error { TOO_MANY_ERRORS } else { TOO_MUCH_JUNK })
        } else {
            None
        }
    }
}

/// Whether a recipient is refused for no other reason than that the message should have had fewer, or that there is no
/// memory for it now.
fn is_overshoot(reply: &Reply) -> bool {
    let is_limit = reply.code() == TOO_MANY_RECIPIENTS.code() && reply.status() == TOO_MANY_RECIPIENTS.status();
    is_limit || *reply == NO_ROOM_FOR_RECIPIENT
}
