//! How much of everything a client, or all of them together, may have.

use std::time::Duration;

use super::Builder;
use crate::config::Rate;

/// # Limits
///
/// How much of everything a client, or all of them together, may have.
impl Builder {
    /// The largest message, in octets; `None`, or 0 as in smtpd, is no limit. Announced by SIZE (RFC 1870); a larger one
    /// is refused with `552 5.3.4`. Default: 33,554,432.
    pub fn data_size_limit(mut self, octets: impl Into<Option<u64>>) -> Builder {
        self.config.data_size_limit = octets.into().unwrap_or(0);
        self
    }

    /// The maximum number of recipients of a message. Further ones are refused with `452 4.5.3`, so that the client sends them
    /// the message in another transaction. Announced by LIMITS (RFC 9422). RFC 5321 section 4.5.3.1.8 requires at least 100.
    /// Default: 1,000.
    pub fn max_recipients(mut self, recipients: usize) -> Builder {
        self.config.max_recipients = recipients;
        self
    }

    /// The maximum number of connections at once, each of which takes a thread. One more is refused with `421 4.3.2`. When
    /// nearly all are in use, clients get less time: see [`stress_timeout`](Builder::stress_timeout). Default: 1,000.
    pub fn max_connections(mut self, connections: usize) -> Builder {
        self.config.max_connections = connections;
        self
    }

    /// The maximum number of connections at once from one IP address. One more is refused with `421 4.7.0`. Default: unlimited.
    pub fn max_connections_per_address(mut self, connections: impl Into<Option<usize>>) -> Builder {
        self.config.max_connections_per_address = connections.into();
        self
    }

    /// The maximum number of connections at once from one network. One more is refused with `421 4.7.0`. A network is what one
    /// client usually has: an IPv4 address, or the IPv6 addresses with the same first 64 bits, since a machine chooses the
    /// other half itself. Default: unlimited.
    pub fn max_connections_per_network(mut self, connections: impl Into<Option<usize>>) -> Builder {
        self.config.max_connections_per_network = connections.into();
        self
    }

    /// The maximum number of connections from one [network](Builder::max_connections_per_network) within a time that begins
    /// with the first of them, including refused ones. One more is refused with `421 4.7.0`. Networks are remembered for that
    /// time, but never more than 32,768 of them, so that a flood from more can make the server forget earlier ones. Default:
    /// unlimited.
    pub fn max_connection_rate(mut self, connections: usize, per: Duration) -> Builder {
        self.config.max_connection_rate = Some(Rate { max: connections, per });
        self
    }

    /// The maximum number of refused commands, including failed authentications, from one
    /// [network](Builder::max_connections_per_network) within a time that begins with the first of them, over all of its
    /// connections. The connection that reaches it is ended with `421 4.7.0`, and so is each new one for the rest of
    /// that time. Remembered as for [`max_connection_rate`](Builder::max_connection_rate). Default: unlimited.
    pub fn max_error_rate(mut self, errors: usize, per: Duration) -> Builder {
        self.config.max_error_rate = Some(Rate { max: errors, per });
        self
    }

    /// How many refused commands end a connection with `421 4.7.0`; an accepted message sets the count back. `None` is no
    /// limit. Default: 20.
    pub fn max_errors(mut self, errors: impl Into<Option<usize>>) -> Builder {
        self.config.max_errors = errors.into().unwrap_or(usize::MAX);
        self
    }

    /// How many commands that bring no message forward (NOOP, RSET, VRFY, EHLO, an empty BDAT ...) a connection may send;
    /// each further one counts as an error, so that the connection ends with `421 4.7.0` after
    /// [`max_errors`](Builder::max_errors) more. A connection pool that keeps its connections alive by NOOP sends some. An
    /// accepted message sets the count back. `None` is no limit. Default: 100.
    pub fn max_junk(mut self, commands: impl Into<Option<usize>>) -> Builder {
        self.config.max_junk = commands.into().unwrap_or(usize::MAX);
        self
    }

    /// The most messages that an [`Inbox`](crate::Inbox) holds; past it messages are refused with `452 4.3.1`. Default: 10,000.
    ///
    /// They count against [`memory_budget`](Builder::memory_budget) and [`buffer_budget`](Builder::buffer_budget) too, so
    /// that an inbox which nobody empties may be full before: with the default budgets at some 20,000 small messages, or at
    /// 1,000 with long conversations or many recipients each.
    pub fn inbox_capacity(mut self, messages: usize) -> Builder {
        self.config.inbox_capacity = messages;
        self
    }
}
