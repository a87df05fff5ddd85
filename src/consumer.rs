//! The threads that messages go to.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crossbeam_channel::Receiver;

use crate::channel::panic_text;
use crate::delivery::{Delivery, Response};
use crate::envelope::Envelope;
use crate::receive::receive;
use crate::session::SessionFactory;

/// Takes complete messages and answers for each.
///
/// A handler runs on a consumer thread of its own and owns its state, so a database connection or a file needs no lock.
/// While it works on a message, the client of that message waits, and so do further messages; connections go on.
/// With [`Builder::consumers`](crate::Builder::consumers) there are several threads, each with its own handler.
///
/// To return an acceptance *is* to promise that the message is safe: the client deletes its copy. Return only when the message
/// is on disk, or wherever it must be. A panic is caught: the client gets `451 4.3.0` and tries again later, and the
/// handler goes on with the next message.
///
/// A closure is a handler if its result converts to a [`Response`]:
///
/// ```
/// use pillarbox::{Envelope, Reply, Server};
///
/// let server = Server::builder().serve("127.0.0.1:0", |mail: Envelope| match mail.text() {
///     Ok(text) if text.contains("viagra") => Err(Reply::new(550, "5.7.1", "no, thanks")),
///     _ => Ok(()),
/// })?;
/// # Ok::<(), pillarbox::Error>(())
/// ```
pub trait Handler: Send {
    /// Takes a message and returns the answer to its client.
    fn process_message(&mut self, mail: Envelope) -> Response;

    /// Takes a message and answers it now or later. Implement this if your handler gives messages to threads of its own, so
    /// that a slow one does not delay those after it. By default it answers with
    /// [`process_message`](Handler::process_message).
    fn process_delivery(&mut self, delivery: Delivery) {
        let (mail, answer) = delivery.take();
        answer.respond(self.process_message(mail));
    }

    /// The hooks of this handler in the conversation, if it has any: a relay asks its upstream about each recipient while
    /// the client waits. They run after those of [`Builder::session`](crate::Builder::session). With several consumers,
    /// the first handler's hooks serve all. Default: none.
    fn session(&self) -> Option<SessionFactory> {
        None
    }
}

impl<F, R> Handler for F
where
    F: FnMut(Envelope) -> R + Send,
    R: Into<Response>,
{
    fn process_message(&mut self, mail: Envelope) -> Response {
        self(mail).into()
    }
}

/// Gives messages to a handler until no more can come.
pub(crate) fn consume(handler: &mut dyn Handler, deliveries: &Receiver<Delivery>) {
    while let Ok(delivery) = receive(deliveries, None) {
        let id = delivery.envelope().id();
        // The delivery, dropped by a panic, answers 451. The handler stays in use: whether its own state is in order is
        // its own business, as it would be after any early return.
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| handler.process_delivery(delivery))) {
            log::error!("handler panicked on {id}: {}", panic_text(&*panic));
        }
    }
}
