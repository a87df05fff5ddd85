//! The numbers of a server.

pub(crate) mod counters;
pub(crate) mod guard;
pub(crate) mod openmetrics;
pub(crate) mod outage;
pub(crate) mod pulse;

use crate::syntax::command::Verb;

/// The numbers of a server since it was started: see [`Server::stats`](crate::Server::stats).
///
/// They are read one after the other while the server runs, so sums may be off by what happens meanwhile.
/// [`openmetrics`](Stats::openmetrics) shows them to a monitoring system; an [`Observer`](crate::Observer) is called for each
/// reply and message.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub struct Stats {
    /// Connections that were given to a worker.
    pub connections: u64,
    /// Connections that are open now.
    pub open_connections: u64,
    /// The most connections that were open at once.
    pub most_connections: u64,
    /// Connections that were refused, for whichever reason.
    pub refused_connections: u64,
    /// The same connections by the reason.
    pub refused_connections_by: RefusedConnections,
    /// Whether nearly all connections are in use, so that clients get less time: see
    /// [`stress_timeout`](crate::Builder::stress_timeout).
    pub is_under_stress: bool,
    /// Messages that were answered with a 2xx.
    pub accepted_messages: u64,
    /// Messages whose content was read to its end and that were answered with a 4xx or 5xx.
    pub refused_messages: u64,
    /// Those of the refused messages that were answered with a 4xx: their clients try again.
    pub temporarily_refused_messages: u64,
    /// Those of the refused messages that were answered with a 5xx.
    pub permanently_refused_messages: u64,
    /// Messages whose connection ended before their content did; nothing of them was delivered.
    pub lost_messages: u64,
    /// Octets of content that came, whatever became of their messages; counted as envelopes have them, with dots undone.
    pub received_octets: u64,
    /// Octets of content in the accepted messages.
    pub accepted_octets: u64,
    /// How often each command or message was refused, by the code of the reply; in the order of verbs and codes. In LMTP each
    /// recipient's refusal of a message counts.
    pub refusals: Vec<Refusals>,
    /// Logins that succeeded: each is an AUTH that was answered with a 235.
    pub logins: u64,
    /// Logins that failed for a wrong name or secret, for what the session said of the user, or since they could not be
    /// checked. An AUTH that the client gave up, or that was not allowed, is none.
    pub failed_logins: u64,
    /// TLS handshakes that succeeded.
    pub handshakes: u64,
    /// TLS handshakes that failed, including those that were not done in time.
    pub failed_handshakes: u64,
    /// What was not done in time, by what was waited for.
    pub timeouts: Timeouts,
    /// Panics in the program's own code that were caught: handlers, sessions and what makes them, observers, authenticators
    /// and TLS acceptors. Each is logged with its text.
    pub panics: u64,
    /// Messages that wait for a consumer now, of at most [`queue_capacity`](crate::Builder::queue_capacity). In a server of
    /// [`deliveries`](crate::Builder::deliveries), those that were not received yet.
    pub queued_messages: u64,
    /// Messages that were handed over and whose clients wait for the answer now, including those in the queue.
    pub unanswered_messages: u64,
    /// Octets of content held now, in memory or on disk: what counts towards
    /// [`buffer_budget`](crate::Builder::buffer_budget).
    pub buffered_octets: u64,
    /// Octets of messages in memory now: of content, with the room kept there for what is written to disk, and of what
    /// surrounds it, recipients above all. It is what counts towards [`memory_budget`](crate::Builder::memory_budget).
    pub memory_octets: u64,
}

/// Connections that were refused, by the reason: see [`Stats::refused_connections_by`].
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub struct RefusedConnections {
    /// All connections were in use: [`max_connections`](crate::Builder::max_connections).
    pub too_many: u64,
    /// The system had no thread for it.
    pub no_thread: u64,
    /// Too many were open from its address:
    /// [`max_connections_per_address`](crate::Builder::max_connections_per_address).
    pub address: u64,
    /// Too many were open from its network:
    /// [`max_connections_per_network`](crate::Builder::max_connections_per_network).
    pub network: u64,
    /// Too many came from its network in a time: [`max_connection_rate`](crate::Builder::max_connection_rate).
    pub rate: u64,
    /// Too much from its network was refused: [`max_error_rate`](crate::Builder::max_error_rate).
    pub errors: u64,
    /// The [session](crate::Builder::session) refused it, or what makes the sessions. It counts as a connection, too.
    pub session: u64,
}

/// What was not done in time, by what was waited for: see [`Stats::timeouts`].
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub struct Timeouts {
    /// A command, or a line of AUTH: [`command_timeout`](crate::Builder::command_timeout), or the
    /// [`stress_timeout`](crate::Builder::stress_timeout).
    pub command: u64,
    /// Content: [`data_timeout`](crate::Builder::data_timeout).
    pub content: u64,
    /// That the client reads its replies.
    pub reply: u64,
    /// A TLS handshake.
    pub handshake: u64,
    /// A PROXY header.
    pub proxy_header: u64,
    /// The answer of the handler: [`handler_timeout`](crate::Builder::handler_timeout).
    pub handler: u64,
}

/// How often a command was refused with a code: see [`Stats::refusals`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Refusals {
    /// The command's verb; DATA or BDAT for a message that was refused. `None` is a verb that the server does not know, a line
    /// that is none, and what was said without a command: in place of the banner, or at the end of a connection.
    pub verb: Option<Verb>,
    /// The code of the reply, of 400 to 599.
    pub code: u16,
    /// How often.
    pub count: u64,
}
