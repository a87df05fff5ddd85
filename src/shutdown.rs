//! What a connection knows of a shutdown, and a shutdown of a connection.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use crossbeam_channel::Sender;
use parking_lot::Mutex;

use crate::delivery::Answer;

const RUNNING: u8 = 0;
const CLOSING: u8 = 1;
const CUTTING: u8 = 2;

/// How far the shutdown of a server has come.
#[derive(Default, Debug)]
pub(crate) struct Shutdown(AtomicU8);

impl Shutdown {
    /// From here on no command is taken; content that has begun may end.
    pub fn close(&self) {
        self.0.fetch_max(CLOSING, Ordering::SeqCst);
    }

    /// From here on nothing may go on.
    pub fn cut(&self) {
        self.0.fetch_max(CUTTING, Ordering::SeqCst);
    }

    pub fn is_closing(&self) -> bool {
        self.0.load(Ordering::SeqCst) != RUNNING
    }

    pub fn is_cutting(&self) -> bool {
        self.0.load(Ordering::SeqCst) == CUTTING
    }
}

/// Whether a connection has a message in progress that a shutdown has to wait for.
///
/// The worker sets its mark and then looks whether a shutdown has begun; the shutdown begins and then looks at the marks.
/// Both in one order that all threads agree on: so no message is begun that the shutdown did not see.
#[derive(Debug)]
pub(crate) struct Activity {
    shutdown: Arc<Shutdown>,
    has_message: AtomicBool,
    // Where the worker waits for its consumer.
    canceller: Mutex<Sender<Answer>>,
}

impl Activity {
    pub fn new(shutdown: Arc<Shutdown>, canceller: Sender<Answer>) -> Activity {
        Activity { shutdown, has_message: AtomicBool::new(false), canceller: Mutex::new(canceller) }
    }

    /// The worker will wait elsewhere from now on.
    pub fn set_canceller(&self, canceller: Sender<Answer>) {
        *self.canceller.lock() = canceller;
    }

    /// Ends the worker's wait for its consumer, if it waits.
    pub fn cancel(&self) {
        // Full only if it was cancelled before.
        let _ = self.canceller.lock().try_send(Answer::Cut);
    }

    /// Content is about to be asked for; false if a shutdown forbids it.
    pub fn begin_message(&self) -> bool {
        self.has_message.store(true, Ordering::SeqCst);
        let allowed = !self.shutdown.is_closing();
        if !allowed {
            self.end_message();
        }
        allowed
    }

    /// The message was answered, or is lost.
    pub fn end_message(&self) {
        self.has_message.store(false, Ordering::SeqCst);
    }

    pub fn has_message(&self) -> bool {
        self.has_message.load(Ordering::SeqCst)
    }

    pub fn is_closing(&self) -> bool {
        self.shutdown.is_closing()
    }

    pub fn is_cutting(&self) -> bool {
        self.shutdown.is_cutting()
    }
}
