//! Counters of a server.

pub(crate) mod guard;
pub(crate) mod outage;

use std::sync::atomic::{AtomicU64, Ordering};

/// Counters of a server: see [`Server::stats`](crate::Server::stats).
///
/// They are read one after the other while the server runs, so sums may be off by what happens meanwhile.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub struct Stats {
    /// Connections that were given to a worker.
    pub connections: u64,
    /// Connections that are open now.
    pub open_connections: u64,
    /// Connections that were refused with a 421: too many at once or in a time, or no thread available.
    pub refused_connections: u64,
    /// Whether nearly all connections are in use, so that clients get less time: see
    /// [`stress_timeout`](crate::Builder::stress_timeout).
    pub is_under_stress: bool,
    /// Messages that were answered with a 2xx.
    pub accepted_messages: u64,
    /// Messages whose content was read to its end and that were answered with a 4xx or 5xx.
    pub refused_messages: u64,
    /// Messages whose connection ended before their content did; nothing of them was delivered.
    pub lost_messages: u64,
    /// Octets of content in the accepted messages.
    pub accepted_octets: u64,
    /// Panics in the program's own code that were caught: handlers, sessions and what makes them, authenticators and TLS
    /// acceptors. Each is logged with its text.
    pub panics: u64,
    /// Octets of content held now, in memory or on disk: what counts towards
    /// [`buffer_budget`](crate::Builder::buffer_budget).
    pub buffered_octets: u64,
    /// Octets of messages in memory now: of content, with the room kept there for what is written to disk, and of what
    /// surrounds it, recipients above all. It is what counts towards [`memory_budget`](crate::Builder::memory_budget).
    pub memory_octets: u64,
}

/// The counters behind [`Stats`].
#[derive(Default, Debug)]
pub(crate) struct Counters {
    pub connections: Counter,
    pub open_connections: Counter,
    pub refused_connections: Counter,
    pub accepted_messages: Counter,
    pub refused_messages: Counter,
    pub lost_messages: Counter,
    pub accepted_octets: Counter,
    pub panics: Counter,
}

/// A number that any thread may change.
#[derive(Default, Debug)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    pub fn subtract(&self, n: u64) {
        self.0.fetch_sub(n, Ordering::Relaxed);
    }

    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
