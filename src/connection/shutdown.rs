//! What a connection knows of those who want it ended, and they of the connection: a shutdown, and a server that needs the
//! connections of clients that it waits for.

use std::cell::Cell;
use std::net;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::time::Instant;

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

    /// The calling thread is one that the end of this server waits for. It must keep `self` alive for as long as it runs.
    pub fn adopt_thread(&self) {
        SERVER_OF_THREAD.set(self.address());
    }

    /// Whether the calling thread would wait for itself if it waited for this server's end.
    pub fn is_waiting_for_this_thread(&self) -> bool {
        SERVER_OF_THREAD.get() == self.address()
    }

    /// What tells this server from any other that runs.
    fn address(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }
}

thread_local! {
    /// The server whose worker or consumer this thread is; 0 is none.
    static SERVER_OF_THREAD: Cell<usize> = const { Cell::new(0) };
}

/// What a worker waits for, if it waits for its client.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Wait {
    /// It is not its client whom it waits for.
    None,
    /// The rest of a command or of a TLS handshake, since then.
    Read(Instant),
    /// That replies are read, since then.
    Write(Instant),
    /// It was not to wait any longer.
    GivenUp,
}

/// Whether a connection has a message in progress that a shutdown has to wait for, and since when its worker waits.
///
/// The worker sets its mark and then looks whether a shutdown has begun; the shutdown begins and then looks at the marks.
/// Both in one order that all threads agree on: so no message is begun that the shutdown did not see.
#[derive(Debug)]
pub(crate) struct Activity {
    shutdown: Arc<Shutdown>,
    has_message: AtomicBool,
    // Where the worker waits for its consumer, once it may.
    canceller: Mutex<Option<Sender<Answer>>>,
    wait: Mutex<Wait>,
}

impl Activity {
    pub fn new(shutdown: Arc<Shutdown>, canceller: Option<Sender<Answer>>) -> Activity {
        Activity {
            shutdown,
            has_message: AtomicBool::new(false),
            canceller: Mutex::new(canceller),
            wait: Mutex::new(Wait::None),
        }
    }

    /// From now on the worker waits for its consumer here. To be set before [a message begins](Activity::begin_message).
    pub fn set_canceller(&self, canceller: Sender<Answer>) {
        *self.canceller.lock() = Some(canceller);
    }

    /// Ends the worker's wait for its consumer, if it waits.
    pub fn cancel(&self) {
        if let Some(canceller) = &*self.canceller.lock() {
            // Full only if it was cancelled before.
            let _ = canceller.try_send(Answer::Cut);
        }
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

    /// The worker waits from now on, or no more. False if it was given up: that does not change again.
    pub fn set_wait(&self, wait: Wait) -> bool {
        let mut current = self.wait.lock();
        let goes_on = *current != Wait::GivenUp;
        if goes_on {
            *current = wait;
        }
        goes_on
    }

    /// Gives up a worker that has waited since `earliest` or for longer, and says how to wake it: by closing its socket.
    /// Either its wait has ended before, and then it is let be, or it finds itself given up when it wakes.
    pub fn give_up(&self, earliest: Instant) -> Option<net::Shutdown> {
        let mut wait = self.wait.lock();
        let how = match *wait {
            // It can still say why.
            Wait::Read(since) if since <= earliest => net::Shutdown::Read,
            Wait::Write(since) if since <= earliest => net::Shutdown::Both,
            _ => return None,
        };
        *wait = Wait::GivenUp;
        Some(how)
    }

    pub fn is_closing(&self) -> bool {
        self.shutdown.is_closing()
    }

    pub fn is_cutting(&self) -> bool {
        self.shutdown.is_cutting()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_thread_knows_its_server() {
        let (own, other) = (Shutdown::default(), Shutdown::default());
        assert!(!own.is_waiting_for_this_thread());
        own.adopt_thread();
        assert!(own.is_waiting_for_this_thread() && !other.is_waiting_for_this_thread());
        std::thread::scope(|scope| scope.spawn(|| assert!(!own.is_waiting_for_this_thread())).join()).unwrap();
    }

    #[test]
    fn only_who_waits_is_given_up_and_for_good() {
        let activity = Activity::new(Arc::default(), None);
        let (now, before) = (Instant::now(), Instant::now() - Duration::from_millis(1));
        assert_eq!(activity.give_up(now), None);
        assert!(activity.set_wait(Wait::Read(now)));
        assert_eq!(activity.give_up(before), None);
        assert!(activity.set_wait(Wait::None));
        assert_eq!(activity.give_up(now), None);
        assert!(activity.set_wait(Wait::Write(before)));
        assert_eq!(activity.give_up(now), Some(net::Shutdown::Both));
        assert!(!activity.set_wait(Wait::Read(now)) && !activity.set_wait(Wait::None));
        assert_eq!(activity.give_up(now), None);
    }
}
