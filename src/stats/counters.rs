//! What is counted while a server runs.

use std::array;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::stats::{Refusals, RefusedConnections, Stats, Timeouts};
use crate::syntax::command::Verb;
use crate::syntax::reply::Reply;

/// The counters behind [`Stats`].
///
/// Aligned to two lines of a processor's cache, as it fetches them: whoever reads what lies beside must not wait for those who
/// count. What is counted for each message stands together at the beginning, on one line that a message needs once.
#[derive(Default, Debug)]
#[repr(align(128), C)]
pub(crate) struct Counters {
    pub accepted_messages: Counter,
    pub received_octets: Counter,
    pub accepted_octets: Counter,
    pub unanswered_messages: Counter,
    pub connections: Counter,
    pub open_connections: Counter,
    pub most_connections: Counter,
    pub temporarily_refused_messages: Counter,
    pub permanently_refused_messages: Counter,
    pub lost_messages: Counter,
    pub logins: Counter,
    pub failed_logins: Counter,
    pub handshakes: Counter,
    pub failed_handshakes: Counter,
    pub panics: Counter,
    pub refused_connections: RefusedConnectionCounters,
    pub timeouts: TimeoutCounters,
    pub refusals: RefusalCounters,
}

#[derive(Default, Debug)]
pub(crate) struct RefusedConnectionCounters {
    pub too_many: Counter,
    pub no_thread: Counter,
    pub address: Counter,
    pub network: Counter,
    pub rate: Counter,
    pub errors: Counter,
    pub session: Counter,
}

#[derive(Default, Debug)]
pub(crate) struct TimeoutCounters {
    pub command: Counter,
    pub content: Counter,
    pub reply: Counter,
    pub handshake: Counter,
    pub proxy_header: Counter,
    pub handler: Counter,
}

impl Counters {
    /// A connection is open from now on.
    pub fn open_connection(&self) {
        let open = self.open_connections.0.fetch_add(1, Ordering::Relaxed) + 1;
        self.most_connections.raise(open);
    }

    /// The numbers as they are now. What is not counted here is left at its default.
    pub fn read(&self) -> Stats {
        let RefusedConnectionCounters { too_many, no_thread, address, network, rate, errors, session } =
            &self.refused_connections;
        let refused = RefusedConnections {
            too_many: too_many.get(),
            no_thread: no_thread.get(),
            address: address.get(),
            network: network.get(),
            rate: rate.get(),
            errors: errors.get(),
            session: session.get(),
        };
        let TimeoutCounters { command, content, reply, handshake, proxy_header, handler } = &self.timeouts;
        let timeouts = Timeouts {
            command: command.get(),
            content: content.get(),
            reply: reply.get(),
            handshake: handshake.get(),
            proxy_header: proxy_header.get(),
            handler: handler.get(),
        };
        let temporarily = self.temporarily_refused_messages.get();
        let permanently = self.permanently_refused_messages.get();
        Stats {
            connections: self.connections.get(),
            open_connections: self.open_connections.get(),
            most_connections: self.most_connections.get(),
            refused_connections: refused.too_many
                + refused.no_thread
                + refused.address
                + refused.network
                + refused.rate
                + refused.errors
                + refused.session,
            refused_connections_by: refused,
            accepted_messages: self.accepted_messages.get(),
            refused_messages: temporarily + permanently,
            temporarily_refused_messages: temporarily,
            permanently_refused_messages: permanently,
            lost_messages: self.lost_messages.get(),
            received_octets: self.received_octets.get(),
            accepted_octets: self.accepted_octets.get(),
            refusals: self.refusals.read(),
            logins: self.logins.get(),
            failed_logins: self.failed_logins.get(),
            handshakes: self.handshakes.get(),
            failed_handshakes: self.failed_handshakes.get(),
            timeouts,
            panics: self.panics.get(),
            unanswered_messages: self.unanswered_messages.get(),
            ..Stats::default()
        }
    }
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

    /// Makes it `n` if that is more. Mostly it is not, and then nothing is written.
    fn raise(&self, n: u64) {
        if self.get() < n {
            self.0.fetch_max(n, Ordering::Relaxed);
        }
    }
}

/// The codes of refusals: 400 to 599.
const CODES: usize = 200;
const FIRST: u16 = 400;

/// How often each verb was refused with each code. A verb that never was takes no memory for its codes.
#[derive(Debug)]
pub(crate) struct RefusalCounters {
    verbs: [OnceLock<Box<[Counter; CODES]>>; Verb::ALL.len()],
    other: OnceLock<Box<[Counter; CODES]>>,
}

impl Default for RefusalCounters {
    fn default() -> RefusalCounters {
        RefusalCounters { verbs: array::from_fn(|_| OnceLock::new()), other: OnceLock::new() }
    }
}

impl RefusalCounters {
    /// Counts a reply if it refuses.
    pub fn count(&self, verb: Option<Verb>, reply: &Reply) {
        let Some(at) = reply.code().checked_sub(FIRST).map(usize::from).filter(|at| *at < CODES) else { return };
        let place = verb.and_then(|verb| Verb::ALL.iter().position(|other| *other == verb));
        let codes = place.map_or(&self.other, |place| &self.verbs[place]);
        codes.get_or_init(|| Box::new(array::from_fn(|_| Counter::default())))[at].add(1);
    }

    fn read(&self) -> Vec<Refusals> {
        let verbs = Verb::ALL.into_iter().map(Some).chain([None]);
        let all =
            verbs.zip(self.verbs.iter().chain([&self.other])).filter_map(|(verb, codes)| Some((verb, codes.get()?)));
        let refusals = all.flat_map(|(verb, codes)| {
            (FIRST..).zip(codes.iter()).map(move |(code, counter)| Refusals { verb, code, count: counter.get() })
        });
        refusals.filter(|refusals| refusals.count > 0).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_by_verb_and_code() {
        let counters = RefusalCounters::default();
        let no = Reply::new(550, "5.1.1", "no such user");
        for (verb, reply) in [
            (None, Reply::permanent("what?")),
            (Some(Verb::Rcpt), no.clone()),
            (Some(Verb::Rcpt), Reply::temporary("later")),
            (Some(Verb::Rcpt), no),
            (Some(Verb::Mail), Reply::ok()),
            (Some(Verb::Xclient), Reply::new(599, "5.0.0", "the last code")),
            (Some(Verb::Helo), Reply::new(400, "4.0.0", "the first code")),
        ] {
            counters.count(verb, &reply);
        }
        let read: Vec<_> = counters.read().into_iter().map(|r| (r.verb, r.code, r.count)).collect();
        assert_eq!(
            read,
            [
                (Some(Verb::Helo), 400, 1),
                (Some(Verb::Rcpt), 451, 1),
                (Some(Verb::Rcpt), 550, 2),
                (Some(Verb::Xclient), 599, 1),
                (None, 554, 1)
            ]
        );
    }

    #[test]
    fn the_most_at_once_stays() {
        let counters = Counters::default();
        counters.open_connection();
        counters.open_connection();
        counters.open_connections.subtract(1);
        counters.open_connection();
        assert_eq!((counters.read().open_connections, counters.read().most_connections), (2, 2));
    }

    #[test]
    fn what_each_message_counts_is_on_one_line() {
        assert_eq!(align_of::<Counters>(), 128);
        assert!(std::mem::offset_of!(Counters, most_connections) < 64);
    }
}
