//! A handler that gives Mailman what is for its lists, and sends the rest on.

use std::fmt::{self, Debug, Formatter};
use std::sync::Arc;

use super::Relay;
use super::proxy::Proxy;
use super::route::Route;
use crate::delivery::handler::Handler;
use crate::delivery::{Delivery, Response};
use crate::envelope::Envelope;
use crate::session::SessionFactory;
use crate::upstream::Upstream;

const IDLE_CONNECTIONS: usize = 10;

/// Gives Mailman 3 the mail for its lists and relays the rest: what smtpd's `MailmanProxy` did with Mailman 2.
///
/// Each recipient is asked of Mailman's LMTP runner first, which knows its lists and their sub-addresses (`LIST-owner`,
/// `LIST-join` ...), so that lists come and go without a restart; `LIST-admin` means `LIST-owner`. What is Mailman's goes
/// to Mailman, from whomever it comes: whether they may post is its to decide. Local parts that may lead elsewhere (`@`, `%`, `!`,
/// `:`) are refused to strangers here as well. The rest is the [`Proxy`]'s, with its rules
/// of whom it relays for. While Mailman does not answer, every recipient is a `451 4.4.1`: nobody can say whose it is.
///
/// A message has one reply, which has to be true of all its recipients. So lists and others do not go together: the
/// recipients of the second kind read `452 4.5.3`, and their client sends the message to them in a second transaction. A
/// server that [speaks LMTP](crate::Builder::lmtp) takes both at once, and gives a reply for each.
///
/// ```no_run
/// use pillarbox::{Server, handlers::{Mailman, Proxy}};
///
/// let handler = Mailman::at("localhost:8024", Proxy::to("mail.example.org:25"));
/// Server::builder().serve("localhost:8025", handler)?.join();
/// # Ok::<(), pillarbox::Error>(())
/// ```
#[derive(Clone)]
pub struct Mailman {
    relay: Relay,
}

impl Mailman {
    /// Asks the Mailman whose LMTP runner is at `lists` (`mta.lmtp_host` and `lmtp_port` in its `mailman.cfg`; by default
    /// localhost:8024) and leaves the rest to `others`.
    pub fn at(lists: impl Into<Upstream>, others: Proxy) -> Mailman {
        let lists = Arc::new(Route::new(lists.into().lmtp(), IDLE_CONNECTIONS));
        Mailman { relay: others.relay.with_lists(lists) }
    }
}

impl Handler for Mailman {
    fn process_message(&mut self, mail: Envelope) -> Response {
        self.relay.send(&mail)
    }

    fn process_delivery(&mut self, delivery: Delivery) {
        self.relay.send_apart(delivery);
    }

    fn session(&self) -> Option<SessionFactory> {
        Some(self.relay.sessions())
    }
}

impl Debug for Mailman {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mailman")
            .field("lists", &self.relay.lists.as_ref().map(|route| &route.upstream))
            .field("upstream", &self.relay.upstream.upstream)
            .field("policy", &self.relay.policy)
            .finish_non_exhaustive()
    }
}
