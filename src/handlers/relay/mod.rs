//! What the relays have in common: a client's transaction runs on the next server at the same time.
//!
//! The session asks the next server about sender and recipients while the client waits; the handler sends the content on
//! when it is complete. What the session has begun travels to the handler among the envelope's values.

use std::fmt::{self, Formatter};
use std::sync::Arc;

use crate::delivery::handler::Handler;
use crate::delivery::{Delivery, Response};
use crate::envelope::{Endpoint, Envelope, Recipient};
use crate::session::{Context, Session, SessionFactory};
use crate::syntax::address::{ForwardPath, ReversePath};
use crate::syntax::parameter::{MailParameters, RcptParameters};
use crate::syntax::reply::{Reply, Status};
use crate::upstream::Verdicts;

/// Makes a handler of a type that has a [`Relay`] with its own settings.
macro_rules! handle_by_relay {
    ($handler:ident) => {
        #[warn(clippy::missing_trait_methods)]
        impl Handler for $handler {
            fn process_message(&mut self, mail: Envelope) -> Response {
                self.relay.process_message(mail)
            }

            fn process_delivery(&mut self, delivery: Delivery) {
                self.relay.process_delivery(delivery);
            }

            fn session(&self) -> Option<SessionFactory> {
                self.relay.session()
            }
        }

        impl Debug for $handler {
            fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
                self.relay.describe(stringify!($handler), f)
            }
        }
    };
}

pub(super) mod mailman;
mod parameters;
pub(super) mod policy;
pub(super) mod proxy;
pub(super) mod route;
mod silence;
mod survey;

use super::delivery_pool::{Answer, DeliveryPool};
use policy::{DENIED, Policy, has_route};
use route::{BeginError, Route, UpstreamTransaction};

/// The threads that send. Each has a client that waits for it, of which there are fewer in all but odd cases.
const MAX_SENDERS: usize = 10_000;

const SEPARATELY: Reply = Reply::fixed(452, Status::new(4, 5, 3), "Lists and other recipients in separate messages");
const NOT_SENT: Reply = Reply::fixed(451, Status::new(4, 5, 3), "Not sent, since others were refused");

/// Where mail is relayed to, and for whom.
#[derive(Clone)]
pub(super) struct Relay {
    pub upstream: Arc<Route>,
    /// Mailman, if its lists are asked for first.
    pub lists: Option<Arc<Route>>,
    pub policy: Arc<Policy>,
    /// Whether the message gets an `X-Peer` header with the client's address.
    pub x_peer: bool,
    senders: DeliveryPool<Relay>,
}

impl Relay {
    pub fn new(upstream: Route) -> Relay {
        Relay {
            upstream: Arc::new(upstream),
            lists: None,
            policy: Arc::default(),
            x_peer: true,
            senders: DeliveryPool::new(MAX_SENDERS),
        }
    }

    /// The same behind a Mailman, which is asked first.
    pub fn with_lists(self, lists: Route) -> Relay {
        Relay { lists: Some(Arc::new(lists)), ..self }
    }

    /// Debug's text for the handler that has this.
    fn describe(&self, handler: &str, f: &mut Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct(handler);
        if let Some(lists) = &self.lists {
            out.field("lists", &lists.upstream);
        }
        out.field("upstream", &self.upstream.upstream).field("policy", &self.policy).finish_non_exhaustive()
    }

    /// A message of which no session has asked.
    fn send_whole(&self, mail: &Envelope) -> Response {
        let sender = Sender {
            hostname: mail.hostname(),
            from: mail.mail_from(),
            parameters: mail.mail_parameters(),
            peer: mail.peer(),
            identity: mail.identity(),
            is_lmtp: mail.protocol().is_lmtp(),
        };
        let mut transaction = RelayTransaction::default();
        // A place for each recipient; what is said of those that are accepted is said of the message.
        let mut refusals = Verdicts::new();
        let mut accepted = Vec::with_capacity(mail.recipients().len());
        for to in mail.recipients() {
            let asked = transaction.add(self, &sender, to);
            accepted.push(asked.is_ok());
            refusals.push(asked.err().unwrap_or(NOT_SENT));
        }
        let refusals = refusals.into_replies();
        let count = accepted.iter().filter(|is_accepted| **is_accepted).count();
        // With one reply for all, those that were accepted would hear of a refusal, and get the message all the same.
        if !sender.is_lmtp && count < accepted.len() {
            return Response::Each(refusals);
        }
        let mut verdicts = transaction.send(mail, self.x_peer).into_each(count).into_iter();
        let replies = accepted.into_iter().zip(refusals);
        Response::Each(
            replies
                .map(
                    |(is_accepted, refusal)| {
                        if is_accepted { verdicts.next().unwrap_or(Reply::LOCAL_ERROR) } else { refusal }
                    },
                )
                .collect(),
        )
    }
}

impl Handler for Relay {
    fn process_message(&mut self, mail: Envelope) -> Response {
        self.answer(&mail)
    }

    /// Sends a message on by another thread, so that a slow server holds up nobody but those who wait for it.
    fn process_delivery(&mut self, delivery: Delivery) {
        self.senders.process(self.clone(), delivery);
    }

    /// The hooks that ask the next server.
    fn session(&self) -> Option<SessionFactory> {
        let relay = self.clone();
        Some(SessionFactory::new(move |_| RelaySession(relay.clone())))
    }
}

impl Answer for Relay {
    /// Sends a message on: by what its session has begun, or from the beginning.
    fn answer(&self, mail: &Envelope) -> Response {
        match mail.values().take::<RelayTransaction>() {
            Some(begun) if begun.destinations.len() == mail.recipients().len() => begun.send(mail, self.x_peer),
            Some(_) => Response::All(Reply::LOCAL_ERROR),
            None => self.send_whole(mail),
        }
    }
}

/// Whose message it is, with which to begin at the next server.
struct Sender<'a> {
    hostname: &'a str,
    from: &'a ReversePath,
    parameters: &'a MailParameters,
    peer: &'a Endpoint,
    identity: Option<&'a str>,
    // Whether the client hears what became of each recipient.
    is_lmtp: bool,
}

/// Where a recipient's copy goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Destination {
    Upstream,
    Lists,
}

/// One transaction of a client, as relayed.
#[derive(Default)]
struct RelayTransaction {
    upstream: Option<UpstreamTransaction>,
    lists: Option<UpstreamTransaction>,
    // What is said of every further recipient, once one of them has waited for a server in vain.
    upstream_silence: Option<Reply>,
    lists_silence: Option<Reply>,
    // What Mailman has against the message, if anything; whether a recipient is a list it tells all the same.
    lists_refusal: Option<Reply>,
    // Of each recipient that was accepted.
    destinations: Vec<Destination>,
}

impl RelayTransaction {
    /// Asks about a recipient: Mailman first, if there is one.
    fn add(&mut self, relay: &Relay, sender: &Sender<'_>, to: &Recipient) -> Result<Reply, Reply> {
        let is_trusted = relay.policy.trusts(sender.peer, sender.identity);
        if !is_trusted && has_route(to) {
            return Err(DENIED);
        }
        if let Some(lists) = &relay.lists
            && let Some(reply) = self.ask_lists(lists, sender, to)?
        {
            if let Some(refusal) = &self.lists_refusal {
                return Err(refusal.clone());
            }
            return self.accept(Destination::Lists, sender, reply);
        }
        if !is_trusted && !relay.policy.is_for_all(to) {
            return Err(DENIED);
        }
        if self.would_mix(Destination::Upstream, sender) {
            return Err(SEPARATELY);
        }
        self.open_upstream(relay, sender)?;
        let upstream = self.upstream.as_mut().ok_or(Reply::LOCAL_ERROR)?;
        let asked = upstream.rcpt(to);
        if upstream.is_silent() {
            self.upstream_silence = asked.as_ref().err().cloned();
        }
        if upstream.is_over() {
            self.upstream = None;
        }
        self.accept(Destination::Upstream, sender, asked?)
    }

    fn accept(&mut self, destination: Destination, sender: &Sender<'_>, reply: Reply) -> Result<Reply, Reply> {
        if self.would_mix(destination, sender) {
            return Err(SEPARATELY);
        }
        self.destinations.push(destination);
        Ok(reply)
    }

    /// Whether two servers would decide about a message whose client gets one reply, which might not be true of both.
    fn would_mix(&self, destination: Destination, sender: &Sender<'_>) -> bool {
        // Where they may not differ, the first stands for all.
        !sender.is_lmtp && self.destinations.first().is_some_and(|first| *first != destination)
    }

    /// Begins the transaction with the upstream, unless it has begun; gives the reply to MAIL.
    fn open_upstream(&mut self, relay: &Relay, sender: &Sender<'_>) -> Result<Option<Reply>, Reply> {
        if self.upstream.is_some() {
            return Ok(None);
        }
        if let Some(reply) = &self.upstream_silence {
            return Err(reply.clone());
        }
        let begun = relay.upstream.begin(sender.hostname, sender.from, sender.parameters);
        let (upstream, reply) = begun.map_err(|why| heeded(why, &mut self.upstream_silence))?;
        self.upstream = Some(upstream);
        Ok(Some(reply))
    }

    /// Mailman's reply to a recipient that is one of its lists; `None` if it is not.
    fn ask_lists(&mut self, route: &Arc<Route>, sender: &Sender<'_>, to: &Recipient) -> Result<Option<Reply>, Reply> {
        let ForwardPath::Mailbox(mailbox) = to.path() else { return Ok(None) };
        // No list has an address of either kind.
        if !mailbox.is_ascii() || to.domain().is_none_or(str::is_empty) {
            return Ok(None);
        }
        if let Some(reply) = &self.lists_silence {
            return Err(reply.clone());
        }
        if self.lists.is_none() {
            let begun = route.begin(sender.hostname, sender.from, sender.parameters).or_else(|why| match why {
                // Mailman can still tell which recipients are its own; the others' mail is not its affair.
                BeginError::Refused(refusal) => {
                    self.lists_refusal = Some(refusal);
                    route.begin(sender.hostname, &ReversePath::Null, &MailParameters::default())
                }
                why => Err(why),
            });
            self.lists = Some(begun.map_err(|why| heeded(why, &mut self.lists_silence))?.0);
        }
        let upstream = self.lists.as_mut().ok_or(Reply::LOCAL_ERROR)?;
        let mut asked = upstream.rcpt(to);
        // Mailman 3 has no -admin any more, but people do.
        if let (Err(refusal), Some(owner)) = (&asked, owner(mailbox.as_str()))
            && refusal.is_permanent()
        {
            asked = upstream.rcpt(&Recipient::new(owner, RcptParameters::default())).or(asked);
        }
        if upstream.is_silent() {
            self.lists_silence = asked.as_ref().err().cloned();
        }
        if upstream.is_over() {
            self.lists = None;
        }
        match asked {
            Ok(reply) => Ok(Some(reply)),
            Err(refusal) if refusal.is_permanent() => Ok(None),
            Err(refusal) => Err(refusal),
        }
    }

    /// Sends the content to where it goes; a reply for each recipient, or one if there is one for all.
    fn send(self, mail: &Envelope, x_peer: bool) -> Response {
        let RelayTransaction { upstream, lists, destinations, .. } = self;
        let mut head = mail.received_header();
        if x_peer {
            head += &format!("X-Peer: {}\r\n", mail.peer_name());
        }
        let send = |upstream: Option<UpstreamTransaction>, destination: Destination| {
            let expected = destinations.iter().filter(|other| **other == destination).count();
            match upstream {
                _ if expected == 0 => Vec::new(),
                Some(upstream) if upstream.accepted() == expected => upstream.send(&head, mail),
                _ => vec![Reply::LOCAL_ERROR; expected],
            }
        };
        let mut to_lists = send(lists, Destination::Lists).into_iter();
        let mut to_upstream = send(upstream, Destination::Upstream).into_iter();
        let replies = destinations.iter().map(|destination| match destination {
            Destination::Lists => to_lists.next(),
            Destination::Upstream => to_upstream.next(),
        });
        Response::Each(replies.map(|reply| reply.unwrap_or(Reply::LOCAL_ERROR)).collect())
    }
}

/// The reply to a transaction that was not begun; kept if the others of its client need not wait for the same.
fn heeded(why: BeginError, silence: &mut Option<Reply>) -> Reply {
    let is_silent = matches!(why, BeginError::Silent(_));
    let reply = why.into_reply();
    if is_silent {
        *silence = Some(reply.clone());
    }
    reply
}

/// LIST-owner for LIST-admin, with the extension after a `+`.
fn owner(address: &str) -> Option<ForwardPath> {
    let (local, domain) = address.rsplit_once('@')?;
    let (name, extension) = local.split_at(local.find('+').unwrap_or(local.len()));
    let list = name.len().checked_sub("-admin".len()).and_then(|at| name.split_at_checked(at))?;
    let is_admin = !list.0.is_empty() && list.1.eq_ignore_ascii_case("-admin");
    is_admin.then(|| format!("{}-owner{extension}@{domain}", list.0).parse().ok())?
}

/// The session's half: it asks while the client waits.
struct RelaySession(Relay);

impl RelaySession {
    fn sender<'a>(context: &'a Context, from: &'a ReversePath, parameters: &'a MailParameters) -> Sender<'a> {
        Sender {
            hostname: context.hostname(),
            from,
            parameters,
            peer: context.peer(),
            identity: context.identity(),
            is_lmtp: context.config.lmtp,
        }
    }
}

impl Session for RelaySession {
    fn mail(&mut self, context: &Context, from: &ReversePath, parameters: &MailParameters) -> Result<(), Reply> {
        let mut transaction = RelayTransaction::default();
        let RelaySession(relay) = self;
        // Strangers, and the upstream where there are lists, wait for a recipient that is worth a connection.
        if relay.lists.is_none() && relay.policy.trusts(context.peer(), context.identity()) {
            let reply = transaction.open_upstream(relay, &RelaySession::sender(context, from, parameters))?;
            reply.into_iter().for_each(|reply| context.accept_with(reply));
        }
        context.values().insert(transaction);
        Ok(())
    }

    fn rcpt(&mut self, context: &Context, to: &Recipient) -> Result<(), Reply> {
        let (Some(from), Some(parameters)) = (context.mail_from(), context.mail_parameters()) else {
            return Err(Reply::LOCAL_ERROR);
        };
        let sender = RelaySession::sender(context, from, parameters);
        let asked = context.values().with(|transaction: &mut RelayTransaction| transaction.add(&self.0, &sender, to));
        context.accept_with(asked.unwrap_or(Err(Reply::LOCAL_ERROR))?);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::growth::expect_linear;

    #[test]
    fn many_recipients_take_linear_time() {
        let sender = Sender {
            hostname: "mx.example",
            from: &ReversePath::Null,
            parameters: &MailParameters::default(),
            peer: &Endpoint::Unix(None),
            identity: None,
            is_lmtp: false,
        };
        expect_linear("recipients", 5_000, |n| {
            let mut transaction = RelayTransaction::default();
            for _ in 0..n {
                transaction.accept(Destination::Upstream, &sender, Reply::ok()).unwrap();
            }
            assert_eq!(transaction.accept(Destination::Lists, &sender, Reply::ok()), Err(SEPARATELY));
        });
    }

    #[test]
    fn admins_are_owners() {
        let owner = |address: &str| owner(address).map(|path| path.to_string());
        assert_eq!(owner("ant-admin@lists.example").as_deref(), Some("ant-owner@lists.example"));
        assert_eq!(owner("ant-ADMIN+x@lists.example").as_deref(), Some("ant-owner+x@lists.example"));
        assert_eq!(owner("ant@lists.example"), None);
        assert_eq!(owner("-admin@lists.example"), None);
    }
}
