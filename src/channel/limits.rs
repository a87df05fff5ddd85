//! What ends a connection before its client wants it: too many errors, or too many commands without mail.

use super::Channel;
use crate::addresses::TOO_MANY_ERRORS_FROM_YOU;
use crate::config::RECIPIENT_OVERSHOOT;
use crate::reply::{Reply, Status};
use crate::transaction::TOO_MANY_RECIPIENTS;

const TOO_MANY_ERRORS: Reply = Reply::fixed(421, Status::new(4, 7, 0), "Too many errors");
const TOO_MUCH_JUNK: Reply = Reply::fixed(421, Status::new(4, 7, 0), "Too many commands without mail");

impl<S> Channel<S> {
    /// Counts what speaks against the client; says goodbye if that is too much.
    pub(super) fn count(&mut self, reply: &Reply) -> Option<Reply> {
        let mut is_error = reply.is_transient() || reply.is_permanent();
        if is_overshoot(reply) && self.overshoot < RECIPIENT_OVERSHOOT {
            self.overshoot += 1;
            is_error = false;
        }
        self.errors += usize::from(is_error);
        let (max_errors, max_junk) = (self.shared.config.max_errors, self.shared.config.max_junk);
        if is_error && self.shared.addresses.count_error(&self.context.peer) {
            Some(TOO_MANY_ERRORS_FROM_YOU)
        } else if max_errors != 0 && self.errors >= max_errors {
            Some(TOO_MANY_ERRORS)
        } else if max_junk != 0 && self.junk >= max_junk {
            Some(TOO_MUCH_JUNK)
        } else {
            None
        }
    }
}

/// Whether a recipient is refused for no other reason than that the message should have had fewer.
fn is_overshoot(reply: &Reply) -> bool {
    reply.code() == TOO_MANY_RECIPIENTS.code() && reply.status() == TOO_MANY_RECIPIENTS.status()
}
