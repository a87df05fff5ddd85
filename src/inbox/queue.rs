//! Where an inbox's messages wait to be taken, in any order.

use std::collections::VecDeque;
use std::fmt::{self, Debug, Formatter};
use std::sync::Arc;
use std::time::Instant;

use parking_lot::{Condvar, Mutex};

use super::error::Arrived;
use crate::delivery::handler::Handler;
use crate::delivery::{Delivery, Response};
use crate::envelope::Envelope;
use crate::syntax::reply::{Reply, Status};

const FULL: Reply = Reply::fixed(452, Status::new(4, 3, 1), "Inbox is full");
const GONE: Reply = Reply::fixed(451, Status::new(4, 3, 0), "Inbox is gone");

/// The messages of an inbox.
pub(crate) struct MessageQueue<M> {
    capacity: usize,
    kept: Mutex<Kept<M>>,
    changed: Condvar,
}

struct Kept<M> {
    // Numbered as they came: who waits for a certain one knows which it has seen, whatever others take.
    messages: VecDeque<(u64, M)>,
    next: u64,
    closed: bool,
}

/// Why there is no message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Absent {
    /// The time is over.
    Late,
    /// No more can come.
    Closed,
}

impl<M> MessageQueue<M> {
    pub fn new(capacity: usize) -> Arc<MessageQueue<M>> {
        let kept = Kept { messages: VecDeque::new(), next: 0, closed: false };
        Arc::new(MessageQueue { capacity, kept: Mutex::new(kept), changed: Condvar::new() })
    }

    /// Takes a message in, or says why not. Nobody sees it before it is accepted: who has seen it may end the server at
    /// once, and the client must not hear of that instead.
    pub fn put<A>(&self, message: M, answer: A, accept: impl FnOnce(A)) -> Result<(), (M, A, Reply)> {
        let mut kept = self.kept.lock();
        if kept.closed {
            return Err((message, answer, GONE));
        }
        if kept.messages.len() >= self.capacity {
            return Err((message, answer, FULL));
        }
        let serial = kept.next;
        kept.messages.push_back((serial, message));
        kept.next += 1;
        accept(answer);
        drop(kept);
        // All, since each may wait for another one.
        self.changed.notify_all();
        Ok(())
    }

    /// No message is taken in any more.
    pub fn close(&self) {
        self.kept.lock().closed = true;
        self.changed.notify_all();
    }

    /// Lets go of all that is left.
    pub fn clear(&self) {
        let messages = std::mem::take(&mut self.kept.lock().messages);
        drop(messages);
    }

    pub fn len(&self) -> usize {
        self.kept.lock().messages.len()
    }

    /// Takes the first message that matches, each of which is looked at once.
    pub fn take(&self, mut matches: impl FnMut(&M) -> bool, deadline: Instant) -> Result<M, Absent> {
        let mut seen = 0;
        self.wait(deadline, |kept| {
            let unseen = kept.messages.partition_point(|(serial, _)| *serial < seen);
            let at = kept.messages.iter().skip(unseen).position(|(_, message)| matches(message));
            seen = kept.next;
            kept.messages.remove(unseen + at?).map(|(_, message)| message)
        })
    }

    /// Takes the first `n` messages, all at once or none.
    pub fn take_n(&self, n: usize, deadline: Instant) -> Result<Vec<M>, Absent> {
        self.wait(deadline, |kept| {
            (kept.messages.len() >= n).then(|| kept.messages.drain(..n).map(|(_, message)| message).collect())
        })
    }

    /// Whether a message is there before the deadline.
    pub fn wait_for_any(&self, deadline: Instant) -> bool {
        self.wait(deadline, |kept| (!kept.messages.is_empty()).then_some(())).is_ok()
    }

    fn wait<T>(&self, deadline: Instant, mut find: impl FnMut(&mut Kept<M>) -> Option<T>) -> Result<T, Absent> {
        let mut kept = self.kept.lock();
        loop {
            if let Some(found) = find(&mut kept) {
                return Ok(found);
            }
            if kept.closed {
                return Err(Absent::Closed);
            }
            if self.changed.wait_until(&mut kept, deadline).timed_out() {
                return find(&mut kept).ok_or(Absent::Late);
            }
        }
    }
}

impl<M: AsRef<Envelope>> MessageQueue<M> {
    /// What is there, for a report.
    pub fn describe(&self) -> Vec<Arrived> {
        self.kept.lock().messages.iter().map(|(_, message)| Arrived::of(message.as_ref())).collect()
    }
}

impl<M> Debug for MessageQueue<M> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("MessageQueue").field("messages", &self.len()).finish_non_exhaustive()
    }
}

/// The handler that fills a store, which is closed when no more can come.
pub(crate) struct Keep<M>(pub Arc<MessageQueue<M>>);

impl<M> Drop for Keep<M> {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// Accepts what it can keep.
impl Handler for Keep<Envelope> {
    fn process_message(&mut self, mail: Envelope) -> Response {
        match self.0.put(mail, (), drop) {
            Ok(()) => ().into(),
            Err((_, (), refusal)) => refusal.into(),
        }
    }

    fn process_delivery(&mut self, delivery: Delivery) {
        let (mail, answer) = delivery.take();
        if let Err((_, answer, refusal)) = self.0.put(mail, answer, |answer| answer.respond(())) {
            answer.respond(refusal);
        }
    }
}

/// Keeps each with the answer that its client waits for.
impl Handler for Keep<Delivery> {
    fn process_delivery(&mut self, delivery: Delivery) {
        if let Err((delivery, (), refusal)) = self.0.put(delivery, (), drop) {
            delivery.respond(refusal);
        }
    }

    /// A message that comes without its delivery is one that no test could answer.
    fn process_message(&mut self, _: Envelope) -> Response {
        GONE.into()
    }
}
