//! What is counted of a connection, and who is told of it.

use std::io;
use std::time::{Duration, Instant};

use super::Channel;
use crate::session::Context;
use crate::session::observer::{ObservedMessage, Observer};
use crate::stats::guard::guarded;
use crate::syntax::reply::Reply;

impl<S> Channel<S> {
    /// Tells the observer, if there is one. The call is given how to know the time since an instant.
    pub(super) fn observe(&self, call: impl FnOnce(&dyn Observer, &Context, fn(Option<Instant>) -> Duration)) {
        let Some(observer) = &self.shared.observer else { return };
        let who = format_args!("[{}] observer", self.context.connection);
        let since = |at: Option<Instant>| at.map_or(Duration::ZERO, |at| at.elapsed());
        guarded(&self.shared.counters.panics, who, || call(&**observer, &self.context, since));
    }

    /// The time, if anybody observes how much of it passes.
    pub(super) fn observed_now(&self) -> Option<Instant> {
        self.shared.observer.as_ref().map(|_| Instant::now())
    }

    /// A connection begins.
    pub(super) fn begin_observing(&mut self) {
        self.since = self.observed_now();
        self.asked = self.since;
        self.observe(|observer, context, _| observer.connected(context));
    }

    /// What the next reply is to has come.
    pub(super) fn begin_answer(&mut self) {
        if self.shared.observer.is_some() {
            self.asked = Some(Instant::now());
        }
    }

    /// The next reply is to nothing that the client has said.
    pub(super) fn begin_last_word(&mut self) {
        self.context.verb = None;
        self.asked = None;
    }

    /// Keeps account of a reply.
    pub(super) fn account(&self, reply: &Reply) {
        if reply.code() >= 400 || self.shared.observer.is_some() {
            self.account_for_more_than_a_success(reply);
        }
    }

    // Apart: most replies are neither refusals nor observed.
    #[cold]
    fn account_for_more_than_a_success(&self, reply: &Reply) {
        self.shared.counters.refusals.count(self.context.verb, reply);
        self.observe(|observer, context, since| observer.reply(context, reply, since(self.asked)));
    }

    /// Keeps account of a handshake that has ended.
    pub(super) fn account_for_handshake(&self, failure: Option<&io::Error>, is_late: bool, begun: Option<Instant>) {
        let counters = &self.shared.counters;
        if is_late {
            counters.timeouts.handshake.add(1);
        }
        if failure.is_some() { &counters.failed_handshakes } else { &counters.handshakes }.add(1);
        self.observe(|observer, context, since| observer.handshake(context, failure, since(begun)));
    }

    /// Keeps account of a login that is about to be answered.
    #[cfg(feature = "auth")]
    pub(super) fn account_for_login(&self, reply: &Reply) {
        let counters = &self.shared.counters;
        if reply.is_positive() { &counters.logins } else { &counters.failed_logins }.add(1);
        self.observe(|observer, context, since| observer.login(context, reply, since(self.asked)));
    }

    /// Keeps account of content that has come, all of it or as much as there will be.
    pub(super) fn account_for_content(&mut self, octets: u64, since: Instant) {
        self.shared.counters.received_octets.add(octets);
        self.begin_answer();
        if let Some(now) = self.asked {
            let receiving = now.saturating_duration_since(since);
            let recipients = self.context.recipients().len();
            self.observed = ObservedMessage { octets, recipients, receiving, ..ObservedMessage::default() };
        }
    }

    /// Keeps account of a message's outcome; none is that of a message whose content did not come to its end.
    pub(super) fn account_for_message(&mut self, outcome: Option<&Reply>) {
        let counters = &self.shared.counters;
        match outcome {
            None => &counters.lost_messages,
            Some(reply) if reply.is_positive() => &counters.accepted_messages,
            Some(reply) if reply.is_transient() => &counters.temporarily_refused_messages,
            Some(_) => &counters.permanently_refused_messages,
        }
        .add(1);
        if self.shared.observer.is_some() {
            self.observed.outcome = outcome.cloned();
            self.observe(|observer, context, _| observer.message(context, &self.observed));
        }
    }
}
