//! The threads that messages go to.

use std::sync::{Arc, Mutex, PoisonError};

use crossbeam_channel::Receiver;

use crate::delivery::receive::receive;
use crate::delivery::{Delivery, Response};
use crate::envelope::Envelope;
use crate::session::SessionFactory;
use crate::stats::counters::Counter;
use crate::stats::guard::guarded;
use crate::stats::pulse::Pulse;

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
///
/// A `Box<dyn Handler>` is one that is chosen when the program runs, and an `Arc<Mutex<_>>` (of [`std::sync`]) one that
/// several consumers or servers share:
///
/// ```
/// use pillarbox::{Handler, Server, handlers};
///
/// # let (dry, folder) = (true, "unused");
/// let handler: Box<dyn Handler> =
///     if dry { Box::new(handlers::Sink) } else { Box::new(handlers::Maildir::create(folder)?) };
/// let server = Server::builder().serve("127.0.0.1:0", handler)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// A handler that wants the server to end calls
/// [`ServerHandle::begin_shutdown`](crate::ServerHandle::begin_shutdown).
pub trait Handler: Send {
    /// Takes a message and returns the answer to its client.
    fn process_message(&mut self, mail: Envelope) -> Response;

    /// Takes a message and answers it now or later. Implement this if your handler gives messages to threads of its own, so
    /// that a slow one does not delay those after it, or if it only looks at messages: one that is [answered](Delivery::respond)
    /// with its delivery is freed by its connection's thread, which is quicker where many connections are busy. By default it
    /// answers with [`process_message`](Handler::process_message).
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

/// Forwards to a handler behind a pointer.
macro_rules! forward {
    ($handler:ty) => {
        // A method that is missing here would be forgotten silently.
        #[warn(clippy::missing_trait_methods)]
        impl Handler for $handler {
            fn process_message(&mut self, mail: Envelope) -> Response {
                (**self).process_message(mail)
            }

            fn process_delivery(&mut self, delivery: Delivery) {
                (**self).process_delivery(delivery);
            }

            fn session(&self) -> Option<SessionFactory> {
                (**self).session()
            }
        }
    };
}

forward!(Box<dyn Handler + '_>);
forward!(Box<dyn Handler + Sync + '_>);

/// One handler for several consumers or several servers. Each message has it to itself, and waits until the one before is
/// done with it; a panic leaves it in use.
#[warn(clippy::missing_trait_methods)]
impl<H: Handler + ?Sized> Handler for Arc<Mutex<H>> {
    fn process_message(&mut self, mail: Envelope) -> Response {
        self.lock().unwrap_or_else(PoisonError::into_inner).process_message(mail)
    }

    fn process_delivery(&mut self, delivery: Delivery) {
        self.lock().unwrap_or_else(PoisonError::into_inner).process_delivery(delivery);
    }

    fn session(&self) -> Option<SessionFactory> {
        self.lock().unwrap_or_else(PoisonError::into_inner).session()
    }
}

/// Gives messages to a handler until no more can come.
pub(crate) fn consume(handler: &mut dyn Handler, deliveries: &Receiver<Delivery>, panics: &Counter, pulse: &Pulse) {
    let _end = pulse.until_dropped();
    while let Ok(delivery) = receive(deliveries, None) {
        let id = delivery.envelope().id();
        // The delivery, dropped by a panic, answers 451. The handler stays in use: whether its own state is in order is
        // its own business, as it would be after any early return.
        pulse.beat();
        guarded(panics, format_args!("{id}: handler"), || handler.process_delivery(delivery));
        pulse.beat();
    }
}
