//! How long everything may take.

use std::time::Duration;

use super::Builder;
use crate::config::FOREVER;

/// # Time
///
/// How long everything may take.
impl Builder {
    /// How long a client may take for a command, from the moment that the server waits for it to its last octet, and for
    /// reading replies. Then it gets `421 4.4.2` and is disconnected. Default: 300 s, as RFC 5321 section 4.5.3.2.7 asks.
    pub fn command_timeout(mut self, timeout: Duration) -> Builder {
        self.config.command_timeout = timeout;
        self
    }

    /// How long a client may pause within the content of a message. It is also how far content may fall behind 500 octets a
    /// second. Default: 180 s, as RFC 5321 section 4.5.3.2.5 asks.
    pub fn data_timeout(mut self, timeout: Duration) -> Builder {
        self.config.data_timeout = timeout;
        self
    }

    /// How long a client waits for the handler. Then it gets `451 4.3.0`. Default: 600 s, the time that RFC 5321 section
    /// 4.5.3.2.6 tells clients to wait.
    pub fn handler_timeout(mut self, timeout: Duration) -> Builder {
        self.config.handler_timeout = timeout;
        self
    }

    /// What takes the place of a longer [`command_timeout`](Builder::command_timeout) under stress: while over 90 % of
    /// [`max_connections`](Builder::max_connections) are in use, and then until fewer than 75 % have been for twice this
    /// time. Clients that have waited for longer when a further one connects are sent away as if they were late. Under stress
    /// 3 errors end a connection as well, and beyond 10 each command that brings no mail forward counts as one, however many
    /// [`max_errors`](Builder::max_errors) and [`max_junk`](Builder::max_junk) allow. `None` is no such thing. Default:
    /// 30 s.
    pub fn stress_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Builder {
        self.config.stress_timeout = timeout.into().map(|timeout| timeout.min(FOREVER));
        self
    }
}
