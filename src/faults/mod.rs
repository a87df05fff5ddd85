//! Faults on purpose: what a server does wrong, and when.

use std::fmt::{self, Debug, Formatter};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::syntax::command::Verb;
use crate::syntax::reply::{Reply, Status};

mod memory;
mod outcome;
mod rule;
mod script;

pub use outcome::{Fired, Unfired};
pub use rule::{Chance, Do, Event, Moment, Occurrence, On};
use script::Script;
pub(crate) use script::{Foreseen, Occasion, To};

/// What a server does wrong on purpose, to test how clients cope: see [`Builder::faults`](crate::Builder::faults).
///
/// Each fault is an occasion ([`On`]) and an action ([`Do`]). Clones share one script, which you can change while the server
/// runs. Occasions are counted over the whole server, not for each connection.
///
/// ```
/// use pillarbox::testing::{Do, Faults, On};
/// use pillarbox::{Reply, Server, Verb};
///
/// let faults = Faults::new()
///     .reply(Verb::Rcpt, 1, Reply::new(450, "4.2.1", "busy"))
///     .when(On::verb(Verb::Rcpt).to("bob@example.org"), Do::Reply(Reply::new(550, "5.1.1", "no such user")))
///     .hang_up_after(Verb::Data, 2);
/// let inbox = Server::builder().faults(faults.clone()).inbox("127.0.0.1:0")?;
/// // ... the code under test sends; a rule with a typo in it, which never acts, fails the test:
/// // faults.assert_all_fired();
/// // Later on, all is well:
/// faults.clear();
/// # Ok::<(), pillarbox::Error>(())
/// ```
///
/// If several faults are due at once, all of them count the occasion. Those that change how the reply is sent act together,
/// in whichever order they were added: delays add up, and if a hang-up is due as well as a reply or garbage, both happen.
/// Only one of them can replace the reply: a hang-up or reset before the reply, else the first reply, garbage, stall or
/// failed handshake that was added.
///
/// A command that gets a scripted reply has no other effect, whatever that reply says. The server stays in sync: it reads the
/// content that comes with a refused BDAT, and nothing of a message runs as a command.
#[derive(Clone, Default)]
pub struct Faults {
    script: Arc<Script>,
}

impl Faults {
    /// An empty script.
    pub fn new() -> Faults {
        Faults::default()
    }

    /// Adds a fault: `what` happens on each occasion that `on` describes.
    pub fn when(self, on: On, what: Do) -> Faults {
        self.add(on, what);
        self
    }

    /// Replaces the reply to the `nth` command of this verb, counted from 1. For DATA that is the reply before the content;
    /// for the one after it use [`On::content`].
    pub fn reply(self, verb: Verb, nth: u64, reply: Reply) -> Faults {
        self.when(On::verb(verb).nth(nth), Do::Reply(reply))
    }

    /// Hangs up instead of replying to the `nth` command of this verb.
    pub fn hang_up_before(self, verb: Verb, nth: u64) -> Faults {
        self.when(On::verb(verb).nth(nth), Do::HangUp(Moment::Before))
    }

    /// Hangs up after half of the reply to the `nth` command of this verb.
    pub fn hang_up_within(self, verb: Verb, nth: u64) -> Faults {
        self.when(On::verb(verb).nth(nth), Do::HangUp(Moment::Within))
    }

    /// Hangs up after the reply to the `nth` command of this verb. For DATA, that is before any content is read.
    pub fn hang_up_after(self, verb: Verb, nth: u64) -> Faults {
        self.when(On::verb(verb).nth(nth), Do::HangUp(Moment::After))
    }

    /// Accepts the `nth` message that would be accepted, so that it arrives, and hangs up instead of replying. Its sender
    /// cannot know, and will most likely send it again (RFC 1047).
    pub fn accept_then_hang_up(self, nth: u64) -> Faults {
        self.when(On::accepted().nth(nth), Do::HangUp(Moment::Before))
    }

    /// Refuses each combination of client, sender and recipient the first time, with `450 4.7.1`, and accepts it from then on
    /// (RFC 6647 section 2.4). It remembers the last 65,536 combinations. With [`Do::Greylist`] the client has to wait longer.
    pub fn greylist(self) -> Faults {
        self.when(On::verb(Verb::Rcpt), Do::Greylist(Duration::ZERO))
    }

    /// Accepts this many messages in any period of this length, and refuses further MAIL with `450 4.7.1`.
    pub fn rate_limit(self, messages: usize, per: Duration) -> Faults {
        let reply = Reply::fixed(450, Status::new(4, 7, 1), "Rate limit exceeded, try again later");
        self.when(On::verb(Verb::Mail), Do::Limit { times: messages, per, reply })
    }

    /// Hides these keywords from the reply to EHLO and LHLO, as [`Do::Without`].
    ///
    /// ```
    /// use pillarbox::Server;
    /// use pillarbox::testing::Faults;
    ///
    /// let inbox = Server::builder().faults(Faults::new().without(["SIZE", "PIPELINING"])).inbox("127.0.0.1:0")?;
    /// # Ok::<(), pillarbox::Error>(())
    /// ```
    pub fn without<K: Into<String>>(self, keywords: impl IntoIterator<Item = K>) -> Faults {
        let keywords: Vec<String> = keywords.into_iter().map(Into::into).collect();
        let both = self.when(On::verb(Verb::Ehlo), Do::Without(keywords.clone()));
        both.when(On::verb(Verb::Lhlo), Do::Without(keywords))
    }

    /// Slows each connection down from its banner on, as [`Do::Bandwidth`].
    pub fn bandwidth(self, octets_per_second: u64) -> Faults {
        self.when(On::connect(), Do::Bandwidth(octets_per_second))
    }

    /// Adds a fault as [`when`](Faults::when) does, to a script that is in use.
    pub fn add(&self, on: On, what: Do) {
        self.script.add(on, what);
    }

    /// Removes all faults and their counts: from now on nothing goes wrong.
    pub fn clear(&self) {
        self.script.clear();
    }

    /// Removes all faults and puts those of another script in their place, all at once: no command meets some of both, or none.
    /// Their counts begin at 0.
    pub fn replace(&self, with: &Faults) {
        self.script.replace(with.script.rules());
    }

    /// The faults that have happened, in the order in which they were added.
    pub fn fired(&self) -> Vec<Fired> {
        self.script.fired()
    }

    /// How often each fault has happened, in the order in which they were added; 0 for those that have not.
    pub fn times(&self) -> Vec<u64> {
        self.script.times()
    }

    /// The faults that have not happened, in the order in which they were added, and how near each came.
    pub fn unfired(&self) -> Vec<Unfired> {
        self.script.unfired()
    }

    /// Panics unless each fault has happened at least once: a rule that never acts tests nothing. Call it when the code under
    /// test is done.
    ///
    /// ```should_panic
    /// use pillarbox::testing::{Do, Faults, On};
    /// use pillarbox::{Reply, Verb};
    ///
    /// let busy = Do::Reply(Reply::new(450, "4.2.1", "busy"));
    /// let faults = Faults::new().when(On::verb(Verb::Rcpt).to("bob@example.org"), busy);
    /// // ... nobody writes to bob.
    /// faults.assert_all_fired();
    /// ```
    ///
    /// # Panics
    /// With each fault that has not happened, and how near it came.
    #[track_caller]
    pub fn assert_all_fired(&self) {
        let unfired = self.unfired();
        if !unfired.is_empty() {
            let list: String = unfired.iter().map(|one| format!("\n  {one}")).collect();
            panic!("{} of {} faults have not happened:{list}", unfired.len(), self.times().len());
        }
    }

    /// Whether there are any for this event.
    pub(crate) fn are_for(&self, event: Event) -> bool {
        self.script.is_for(event)
    }

    /// What is to be done on this occasion, in order; at most the last of it decides over the reply.
    pub(crate) fn at(&self, occasion: &Occasion<'_>) -> Vec<Do> {
        self.script.at(occasion, Instant::now())
    }

    /// The first number of octets from `sent` on at which a rule waits for content.
    pub(crate) fn next_content_mark(&self, sent: u64) -> Option<u64> {
        self.script.next_content_mark(sent)
    }

    /// What changes when faults are taken back.
    pub(crate) fn epoch(&self) -> u64 {
        self.script.epoch()
    }

    /// What is known of an occasion that is to come, while its message can still be looked at.
    pub(crate) fn foresee(&self, occasion: &Occasion<'_>) -> Option<Foreseen> {
        self.script.foresee(occasion)
    }

    /// As [`at`](Faults::at), for an occasion that was foreseen, if there were any rules then.
    pub(crate) fn at_foreseen(&self, foreseen: Option<&Foreseen>, occasion: &Occasion<'_>) -> Vec<Do> {
        self.script.at_foreseen(foreseen, occasion, Instant::now())
    }

    /// A transaction begins: its number, from 1.
    pub(crate) fn count_message(&self) -> u64 {
        self.script.count_message()
    }
}

impl Debug for Faults {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("Faults").field("script", &self.script).finish()
    }
}
