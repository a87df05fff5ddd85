//! The handler that puts messages into the store.

use std::sync::Arc;
use std::thread;

use pillarbox::crossbeam_channel::{Receiver, Sender, bounded};
use pillarbox::{Delivery, Envelope, Handler, Response};

use super::store::MessageStore;

/// How many messages are written at the same time, if that waits for a disk.
const WRITERS: usize = 16;

/// Puts messages into the store, by threads of its own if that waits for a disk: what arrives together is flushed together.
pub struct Intake {
    store: Arc<MessageStore>,
    writers: Option<Sender<Delivery>>,
}

impl Intake {
    pub fn new(store: Arc<MessageStore>) -> Intake {
        Intake { store, writers: None }
    }

    /// The threads, which end with the handler.
    fn writers(&mut self) -> Option<&Sender<Delivery>> {
        if self.writers.is_none() && self.store.is_on_disk() {
            let (sender, deliveries) = bounded(0);
            let begun = (0..WRITERS).filter(|_| start(self.store.clone(), deliveries.clone())).count();
            self.writers = (begun > 0).then_some(sender);
        }
        self.writers.as_ref()
    }
}

fn start(store: Arc<MessageStore>, deliveries: Receiver<Delivery>) -> bool {
    let write = move || deliveries.iter().for_each(|delivery| take(&store, delivery));
    thread::Builder::new().name("inbox-writer".to_owned()).spawn(write).is_ok()
}

fn take(store: &MessageStore, delivery: Delivery) {
    let (mail, answer) = delivery.take();
    answer.respond(store.push(mail));
}

impl Handler for Intake {
    fn process_message(&mut self, mail: Envelope) -> Response {
        self.store.push(mail).into()
    }

    fn process_delivery(&mut self, delivery: Delivery) {
        let rest = match self.writers() {
            Some(writers) => writers.send(delivery).err().map(|unsent| unsent.into_inner()),
            None => Some(delivery),
        };
        if let Some(delivery) = rest {
            take(&self.store, delivery);
        }
    }
}
