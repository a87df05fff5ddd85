//! A handler that discards messages.

use crate::delivery::handler::Handler;
use crate::delivery::{Delivery, Response};
use crate::envelope::Envelope;

/// Accepts every message and discards it: for measurements, and where programs must not send real mail.
///
/// ```
/// let server = pillarbox::Server::builder().serve("127.0.0.1:0", pillarbox::handlers::Sink)?;
/// # Ok::<(), pillarbox::Error>(())
/// ```
#[derive(Clone, Copy, Default, Debug)]
pub struct Sink;

impl Handler for Sink {
    fn process_message(&mut self, _: Envelope) -> Response {
        ().into()
    }

    fn process_delivery(&mut self, delivery: Delivery) {
        delivery.accept();
    }
}
