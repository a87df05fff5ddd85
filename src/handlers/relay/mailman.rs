//! A handler that gives Mailman the mail for its lists, and relays the rest.

use std::fmt::{self, Debug, Formatter};

use super::Relay;
use super::proxy::Proxy;
use super::route::{IDLE_CONNECTIONS, Route};
use crate::delivery::handler::Handler;
use crate::delivery::{Delivery, Response};
use crate::envelope::Envelope;
use crate::session::SessionFactory;
use crate::upstream::Upstream;

/// Gives Mailman 3 the mail for its lists and relays the rest: what smtpd's `MailmanProxy` did with Mailman 2.
///
/// It asks Mailman's LMTP runner about each recipient first. Mailman knows its lists and their sub-addresses
/// (`LIST-owner`, `LIST-join` ...), so you can add and remove lists without a restart; `LIST-admin` means `LIST-owner`.
/// Mail for lists goes to Mailman, whoever sends it: Mailman decides who may post. Local parts that may lead elsewhere
/// (`@`, `%`, `!`, `:`) are refused to strangers here as well. The [`Proxy`] gets the rest, with its rules for whom it
/// relays. While Mailman does not answer, every recipient gets `451 4.4.1`, because only Mailman knows which are lists.
///
/// A message has one reply, which must be true for all its recipients. So lists and other recipients cannot share a
/// transaction: recipients of the second kind get `452 4.5.3`, and the client sends the message to them in another
/// transaction. A server that [speaks LMTP](crate::Builder::lmtp) takes both at once, with a reply for each.
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
    /// Uses the Mailman whose LMTP runner is at `lists` (`mta.lmtp_host` and `lmtp_port` in its `mailman.cfg`; by default
    /// localhost:8024), and leaves the rest to `others`.
    pub fn at(lists: impl Into<Upstream>, others: Proxy) -> Mailman {
        Mailman { relay: others.relay.with_lists(Route::new(lists.into().lmtp(), IDLE_CONNECTIONS)) }
    }
}

handle_by_relay!(Mailman);
