//! What a worker keeps from one connection to the next.

use crossbeam_channel::Sender;

use crate::delivery::{Answer, Delivery, Dispatch};
use crate::io::wire::line::LineReader;

/// Room in memory, and the way to the consumer: to make these for each connection would cost a tenth of a short one.
pub(crate) struct ConnectionBuffers {
    pub(super) dispatch: Dispatch,
    pub(super) input: Vec<u8>,
    pub(super) line: LineReader,
    pub(super) replies: Vec<u8>,
}

impl ConnectionBuffers {
    pub fn new(deliveries: Sender<Delivery>) -> ConnectionBuffers {
        ConnectionBuffers {
            dispatch: Dispatch::new(deliveries),
            input: Vec::new(),
            line: LineReader::default(),
            replies: Vec::new(),
        }
    }

    /// Where a shutdown can reach a worker that waits for a consumer, if it was ever about to.
    pub fn canceller(&self) -> Option<Sender<Answer>> {
        self.dispatch.canceller()
    }

    /// Makes ready for the next connection: nothing is left of the last one, and no more room than is usual.
    pub(super) fn cleared(mut self) -> ConnectionBuffers {
        self.line.clear();
        self.line.shrink();
        self.replies.clear();
        self.replies.shrink_to(REPLIES);
        self
    }
}

/// Enough for the replies to what comes in one read, as a rule.
const REPLIES: usize = 512;
