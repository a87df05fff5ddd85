//! A handler that relays messages.

use std::fmt::{self, Debug, Formatter};
use std::sync::Arc;

use super::Relay;
use super::route::{IDLE_CONNECTIONS, Route};
use crate::delivery::handler::Handler;
use crate::delivery::{Delivery, Response};
use crate::envelope::Envelope;
use crate::session::SessionFactory;
use crate::syntax::network::Network;
use crate::upstream::Upstream;

/// Relays each message to another server and passes that server's answer back: what smtpd's `PureProxy` was meant to do.
///
/// The client's transaction runs on the upstream at the same time. MAIL and each RCPT go there while the client waits,
/// and the replies come back word for word, refusals included. The client gets 250 to its message only after the
/// upstream has sent it. If the upstream does not answer, the client gets `451 4.4.1`; if it falls silent later, `451
/// 4.4.2`: the client keeps the message and tries again.
///
/// Parameters are passed on if the upstream offers them: BODY, SMTPUTF8, SIZE, RET, ENVID, NOTIFY, ORCPT, REQUIRETLS
/// and, if [the server offers them](crate::Builder::mt_priority), MT-PRIORITY, BY and HOLDFOR. If a message needs what
/// the upstream cannot do, it is refused as the RFCs require: UTF-8 addresses `553 5.6.7`, UTF-8 headers `554 5.6.9`,
/// octets above 127 without 8BITMIME or BINARYMIME content `554 5.6.3`, REQUIRETLS `550 5.7.30`, or `550 5.7.10`
/// without TLS by a verified certificate. It sends no notices about delivery itself: if the upstream has no DSN, a
/// client's request for them is lost.
///
/// Two headers are added before the content: `Received:` (RFC 5321 section 4.4) and, unless you turn it
/// [off](Proxy::x_peer), smtpd's `X-Peer:` with the client's address. A message with more than 100 Received lines is in a
/// loop, and refused with `554 5.4.6`. A lone CR or LF is never sent, except within BINARYMIME.
///
/// # Who may relay
///
/// It relays to anybody for clients on this machine, in [listed networks](Proxy::from_networks), or authenticated; for
/// all others only to [listed domains](Proxy::to_domains), and anything else is refused with `550 5.7.1`. So is a local
/// part that might make the upstream, which trusts this server, send the message elsewhere: one that contains `@`, `%`,
/// `!` or `:`, quoted or not, as in `<user%elsewhere.example@listed.example>`. Behind a load balancer on this machine
/// every client seems to be on this machine, unless the balancer names the clients by the PROXY protocol: see
/// [`proxy_protocol`](crate::Builder::proxy_protocol).
///
/// # An upstream that stops
///
/// Each step waits up to [`Upstream::timeout`] for the upstream; then the client gets a 4xx. Clients do not wait for
/// each other: each asks on its own thread, and each message is sent by a thread of its own. While the upstream is
/// known to be silent, one client at a time waits for it, and the others get `451 4.4.1` at once. Only a handler of
/// your own that calls `process_message` blocks its consumer: give such a server several
/// [`consumers`](crate::Builder::consumers).
///
/// # Mail stores
///
/// An upstream that speaks [LMTP](Upstream::lmtp), such as Dovecot or Cyrus, answers for each recipient. A server that
/// [speaks LMTP](crate::Builder::lmtp) too passes these answers on; one that speaks SMTP has a single reply: the first
/// refusal if there is one.
///
/// ```no_run
/// use pillarbox::{Server, handlers::Proxy};
///
/// Server::builder().serve("localhost:8025", Proxy::to("mail.example.org:25"))?.join();
/// # Ok::<(), pillarbox::Error>(())
/// ```
#[derive(Clone)]
pub struct Proxy {
    pub(super) relay: Relay,
}

impl Proxy {
    /// Relays to a server.
    pub fn to(upstream: impl Into<Upstream>) -> Proxy {
        Proxy { relay: Relay::new(Route::new(upstream.into(), IDLE_CONNECTIONS)) }
    }

    /// Relays to anybody for clients in these networks, in addition to those on this machine. Default: none.
    pub fn from_networks(mut self, networks: impl IntoIterator<Item = Network>) -> Proxy {
        Arc::make_mut(&mut self.relay.policy).networks.extend(networks);
        self
    }

    /// Relays for all clients to recipients of these domains, without their subdomains. The case of ASCII letters does
    /// not matter; list an internationalised domain in each form that clients may write, as a U-label and as an A-label
    /// (`xn--...`). Default: none.
    pub fn to_domains<D: Into<String>>(mut self, domains: impl IntoIterator<Item = D>) -> Proxy {
        Arc::make_mut(&mut self.relay.policy).add_domains(domains.into_iter().map(Into::into));
        self
    }

    /// Whether messages get an `X-Peer:` header, as smtpd's had. It shows everybody who reads a message the address of
    /// the client that submitted it. So does `Received:`, unless a later server removes it. Default: true.
    pub fn x_peer(mut self, added: bool) -> Proxy {
        self.relay.x_peer = added;
        self
    }

    /// Relays to anybody for all clients. On a network that others can reach, such a relay is found within hours, used
    /// for spam, and then blocked everywhere. Default: false.
    pub fn open_relay(mut self, open: bool) -> Proxy {
        Arc::make_mut(&mut self.relay.policy).is_open = open;
        self
    }

    /// How many idle connections to the upstream are kept for the next message, each for at most half a minute.
    /// Default: 10.
    pub fn idle_connections(mut self, connections: usize) -> Proxy {
        self.relay.upstream = Arc::new(Route::new(self.relay.upstream.upstream.clone(), connections));
        self
    }
}

handle_by_relay!(Proxy);
