//! Threads for handlers whose work on a message waits: for a disk, or for another server.

use std::sync::Arc;

use crate::config::Config;
use crate::delivery::{Delivery, Response};
use crate::envelope::Envelope;
use crate::server::pool::Pool;

/// What answers for a message, on any thread.
pub(super) trait Answer: Clone + Send + 'static {
    fn answer(&self, mail: &Envelope) -> Response;
}

/// Has messages answered by threads of its own, so that a slow one does not delay those after it. Clones share the threads.
pub(super) struct DeliveryPool<A: Answer> {
    pool: Arc<Pool<(A, Delivery)>>,
}

impl<A: Answer> Clone for DeliveryPool<A> {
    fn clone(&self) -> DeliveryPool<A> {
        DeliveryPool { pool: self.pool.clone() }
    }
}

impl<A: Answer> DeliveryPool<A> {
    /// No thread is started before there is a message.
    pub fn new(max_threads: usize) -> DeliveryPool<A> {
        DeliveryPool { pool: Arc::new(Pool::new(max_threads, Config::default().worker_stack, process)) }
    }

    /// Has a message answered by one of the threads; by this one if there is none for it.
    pub fn process(&self, by: A, delivery: Delivery) {
        if let Err((job, _)) = self.pool.submit((by, delivery)) {
            process(job);
        }
    }
}

fn process<A: Answer>((by, delivery): (A, Delivery)) {
    let response = by.answer(delivery.envelope());
    delivery.respond(response);
}
