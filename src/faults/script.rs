//! Which faults are due on an occasion.
//!
//! Every command of every connection asks, and nearly always the answer is that there are none. So there is no lock before a
//! rule could be meant, none for all before a rule is, and nothing of a message is copied for the question.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use parking_lot::{Mutex, MutexGuard, RwLock};

use super::memory::{Passed, Triplets};
use super::outcome::{Fired, Unfired};
use super::rule::{Chance, Do, Event, Occurrence, On};
use crate::envelope::Recipient;
use crate::syntax::address::{ForwardPath, ReversePath};
use crate::syntax::reply::{Reply, Status};

const GREYLISTED: Reply = Reply::fixed(450, Status::new(4, 7, 1), "Greylisted, try again later");

/// What happens in a conversation, and what is known of its message.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Occasion<'a> {
    pub event: Event,
    /// None at a Unix socket.
    pub client: Option<IpAddr>,
    pub from: Option<&'a ReversePath>,
    pub to: To<'a>,
    /// 0 before there is any.
    pub message: u64,
}

/// Whom a message is for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum To<'a> {
    /// The recipient that RCPT names.
    Named(&'a ForwardPath),
    /// Those accepted so far.
    Accepted(&'a [Recipient]),
}

impl<'a> To<'a> {
    fn paths(self) -> impl Iterator<Item = &'a ForwardPath> {
        let (named, accepted) = match self {
            To::Named(path) => (Some(path), &[][..]),
            To::Accepted(recipients) => (None, recipients),
        };
        named.into_iter().chain(accepted.iter().map(Recipient::path))
    }
}

/// All faults of a server, and what they have seen.
#[derive(Default, Debug)]
pub(super) struct Script {
    // The events that any rule is for: see `bit`.
    events: AtomicU64,
    rules: RwLock<Vec<Arc<Rule>>>,
    // The number of the next rule.
    next: AtomicU64,
    // How often all rules were taken back.
    epoch: AtomicU64,
    messages: AtomicU64,
}

#[derive(Debug)]
struct Rule {
    number: u64,
    on: On,
    what: Do,
    // Whether the script has it no more.
    is_gone: AtomicBool,
    // The occasions of its event that do not fulfil its other conditions.
    missed: AtomicU64,
    seen: Mutex<Seen>,
}

/// What a rule has seen.
#[derive(Default, Debug)]
struct Seen {
    // Occasions that fulfil everything but the count.
    count: u64,
    // Those of them that fulfil the count as well.
    due: u64,
    fired: u64,
    triplets: Triplets,
    passed: Passed,
}

/// The rules that fulfil their conditions on an occasion which is still to come, once its message can no longer be looked at.
#[derive(Debug)]
pub(crate) struct Foreseen {
    rules: Vec<(Arc<Rule>, Vec<u64>)>,
    // Rules from this number on came later.
    until: u64,
}

impl Script {
    pub fn add(&self, on: On, what: Do) {
        self.push(&mut self.rules.write(), on, what);
    }

    pub fn clear(&self) {
        self.replace(Vec::new());
    }

    /// Puts these rules in the place of all others. No occasion finds some of both, or none.
    pub fn replace(&self, with: Vec<(On, Do)>) {
        let mut rules = self.rules.write();
        for rule in rules.drain(..) {
            rule.is_gone.store(true, Ordering::Release);
        }
        self.epoch.fetch_add(1, Ordering::Release);
        // Who asks whether there is a rule for an event does not wait for this lock, and shall not find a moment without.
        let events = with.iter().fold(0, |events, (on, _)| events | bit(on.event));
        for (on, what) in with {
            self.push(&mut rules, on, what);
        }
        self.events.store(events, Ordering::Release);
    }

    fn push(&self, rules: &mut Vec<Arc<Rule>>, on: On, what: Do) {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let event = bit(on.event);
        rules.push(Arc::new(Rule {
            number,
            on,
            what,
            is_gone: AtomicBool::new(false),
            missed: AtomicU64::new(0),
            seen: Mutex::default(),
        }));
        self.events.fetch_or(event, Ordering::Release);
    }

    /// All rules, in their order.
    pub fn rules(&self) -> Vec<(On, Do)> {
        self.rules.read().iter().map(|rule| (rule.on.clone(), rule.what.clone())).collect()
    }

    /// What changes when rules are taken back.
    pub fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    pub fn count_message(&self) -> u64 {
        self.messages.fetch_add(1, Ordering::Relaxed) + 1
    }

    pub fn fired(&self) -> Vec<Fired> {
        let rules = self.rules.read();
        let fired = rules.iter().map(|rule| (rule, rule.seen.lock().fired)).filter(|(_, times)| *times > 0);
        fired.map(|(rule, times)| Fired { on: rule.on.clone(), what: rule.what.clone(), times }).collect()
    }

    /// How often each rule has fired, in their order.
    pub fn times(&self) -> Vec<u64> {
        self.rules.read().iter().map(|rule| rule.seen.lock().fired).collect()
    }

    pub fn unfired(&self) -> Vec<Unfired> {
        self.rules.read().iter().filter_map(|rule| rule.unfired()).collect()
    }

    /// The first number of octets from `sent` on at which a rule wants to be asked.
    pub fn next_content_mark(&self, sent: u64) -> Option<u64> {
        if !self.is_for(Event::ContentAfter(0)) {
            return None;
        }
        let rules = self.rules.read();
        let marks = rules.iter().filter_map(|rule| match rule.on.event {
            Event::ContentAfter(octets) => Some(octets),
            _ => None,
        });
        marks.filter(|mark| *mark >= sent).min()
    }

    /// Whether any rule is for this event.
    pub fn is_for(&self, event: Event) -> bool {
        let command = if matches!(event, Event::Verb(_)) { bit(Event::Command) } else { 0 };
        self.events.load(Ordering::Acquire) & (bit(event) | command) != 0
    }

    pub fn at(&self, occasion: &Occasion<'_>, now: Instant) -> Vec<Do> {
        if !self.is_for(occasion.event) {
            return Vec::new();
        }
        let rules = self.rules.read();
        let meant = rules.iter().filter(|rule| rule.is_meant(occasion)).map(|rule| (&**rule, None));
        fire(meant, occasion, now)
    }

    /// What of an occasion's rules can be said before it comes.
    pub fn foresee(&self, occasion: &Occasion<'_>) -> Option<Foreseen> {
        if !self.is_for(occasion.event) {
            return None;
        }
        let rules = self.rules.read();
        let meant = rules.iter().filter(|rule| rule.on.describes(occasion));
        let rules = meant.map(|rule| (rule.clone(), rule.triplets(occasion))).collect();
        Some(Foreseen { rules, until: self.next.load(Ordering::Relaxed) })
    }

    /// What is due on an occasion, some of whose rules were foreseen. `occasion` knows no paths any more: a rule that came
    /// meanwhile, and asks for some, is not meant.
    pub fn at_foreseen(&self, foreseen: Option<&Foreseen>, occasion: &Occasion<'_>, now: Instant) -> Vec<Do> {
        if !self.is_for(occasion.event) {
            return Vec::new();
        }
        let (before, until) = foreseen.map_or((&[][..], 0), |foreseen| (&foreseen.rules[..], foreseen.until));
        let rules = self.rules.read();
        let missed = rules.iter().filter(|rule| rule.number < until && rule.on.is_at(occasion.event));
        missed.filter(|rule| before.binary_search_by_key(&rule.number, |(one, _)| one.number).is_err()).for_each(
            |rule| {
                rule.missed.fetch_add(1, Ordering::Relaxed);
            },
        );
        let before = before.iter().filter(|(rule, _)| !rule.is_gone.load(Ordering::Acquire));
        let before = before.map(|(rule, triplets)| (&**rule, Some(&triplets[..])));
        let later = rules.iter().filter(|rule| rule.number >= until && rule.is_meant(occasion));
        fire(before.chain(later.map(|rule| (&**rule, None))), occasion, now)
    }
}

/// Counts an occasion for all rules that are meant, in their order, and says what is due.
fn fire<'a>(
    meant: impl Iterator<Item = (&'a Rule, Option<&'a [u64]>)>,
    occasion: &Occasion<'_>,
    now: Instant,
) -> Vec<Do> {
    // All of them are locked at once, so that what is the first occasion for one is not the second for another. Everybody
    // locks them in their order.
    let mut due: Vec<_> = meant.map(|(rule, triplets)| (rule, triplets, rule.seen.lock())).collect();
    // Each counts, even if another one decides.
    due.retain_mut(|(rule, _, seen)| rule.count(seen));
    // The sort keeps the order of those whose turn is the same.
    due.sort_by_key(|(rule, ..)| rule.what.turn());
    let mut done: Vec<Do> = Vec::new();
    for (rule, triplets, mut seen) in due {
        if let Some(what) = rule.apply(&mut seen, occasion, triplets, now) {
            seen.fired += 1;
            done.push(what);
        }
        if done.last().is_some_and(Do::is_decisive) {
            break;
        }
    }
    done
}

impl Rule {
    /// Whether an occasion fulfils all conditions but those of count and chance. One of the same event that does not is noted.
    fn is_meant(&self, occasion: &Occasion<'_>) -> bool {
        let is_at = self.on.is_at(occasion.event);
        let is_meant = is_at && self.on.describes(occasion);
        if is_at && !is_meant {
            self.missed.fetch_add(1, Ordering::Relaxed);
        }
        is_meant
    }

    /// Counts an occasion; whether it is one of those that are meant.
    fn count(&self, seen: &mut Seen) -> bool {
        seen.count += 1;
        let is_due =
            self.on.occurrence.includes(seen.count) && self.on.chance.is_none_or(|chance| chance.hits(seen.count));
        seen.due += u64::from(is_due);
        is_due
    }

    fn unfired(&self) -> Option<Unfired> {
        let seen = self.seen.lock();
        (seen.fired == 0).then(|| Unfired {
            on: self.on.clone(),
            what: self.what.clone(),
            events: self.missed.load(Ordering::Relaxed) + seen.count,
            counted: seen.count,
            due: seen.due,
        })
    }

    /// What is done, if anything is: some rules let pass.
    fn apply(
        &self,
        seen: &mut MutexGuard<'_, Seen>,
        occasion: &Occasion<'_>,
        triplets: Option<&[u64]>,
        now: Instant,
    ) -> Option<Do> {
        match &self.what {
            Do::Greylist(delay) => {
                let is_new = match triplets {
                    Some(triplets) => seen.triplets.are_new(triplets, *delay, now),
                    None => seen.triplets.are_new(&self.triplets(occasion), *delay, now),
                };
                is_new.then_some(Do::Reply(GREYLISTED))
            }
            Do::Limit { times, per, reply } => {
                (!seen.passed.may_pass(*times, *per, now)).then(|| Do::Reply(reply.clone()))
            }
            what => Some(what.clone()),
        }
    }

    /// By what greylisting knows client, sender and recipients, if this rule wants to.
    fn triplets(&self, occasion: &Occasion<'_>) -> Vec<u64> {
        let (Do::Greylist(_), Some(from)) = (&self.what, occasion.from) else { return Vec::new() };
        occasion.to.paths().map(|to| Triplets::key(&(occasion.client, from, to))).collect()
    }
}

/// An event's bit among those that a script has rules for.
fn bit(event: Event) -> u64 {
    match event {
        Event::Connect => 1,
        Event::Command => 1 << 1,
        Event::Handshake => 1 << 2,
        Event::Content => 1 << 3,
        Event::Accepted => 1 << 4,
        Event::ContentAfter(_) => 1 << 5,
        Event::Verdict => 1 << 6,
        Event::Verb(verb) => 1 << (8 + verb as u32),
    }
}

impl On {
    /// Whether its event is this one.
    fn is_at(&self, event: Event) -> bool {
        match self.event {
            Event::Command => matches!(event, Event::Command | Event::Verb(_)),
            own => own == event,
        }
    }

    /// Whether all conditions are fulfilled but those of count and chance.
    fn describes(&self, occasion: &Occasion<'_>) -> bool {
        let from = |wanted: &String| match (occasion.from, wanted.strip_prefix('@')) {
            (None, _) => false,
            (Some(path), Some(domain)) => path.domain().is_some_and(|d| d.eq_ignore_ascii_case(domain)),
            (Some(path), None) => *path == **wanted,
        };
        let to = |wanted: &String| {
            occasion.to.paths().any(|path| match wanted.strip_prefix('@') {
                Some(domain) => path.domain().is_some_and(|d| d.eq_ignore_ascii_case(domain)),
                None => *path == **wanted,
            })
        };
        // Recipients last: there may be many.
        self.is_at(occasion.event)
            && self.message.is_none_or(|number| number == occasion.message)
            && self.from.as_ref().is_none_or(from)
            && self.to.as_ref().is_none_or(to)
    }
}

impl Occurrence {
    fn includes(self, count: u64) -> bool {
        match self {
            Occurrence::Each => true,
            Occurrence::Nth(n) => count == n,
            Occurrence::First(n) => count <= n,
            Occurrence::From(n) => count >= n,
            Occurrence::Every(n) => n != 0 && count.is_multiple_of(n),
        }
    }
}

impl Chance {
    /// The verdict of the `count`th throw: by SplitMix64, whose numbers can be had in any order.
    fn hits(self, count: u64) -> bool {
        let mut z = self.seed.wrapping_add(count.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
        // The upper 53 bits are a fraction that a double holds exactly.
        ((z >> 11) as f64) / ((1u64 << 53) as f64) < self.probability
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::syntax::command::Verb;
    use std::time::Duration;

    /// A RCPT in the first message; the paths are on loan for ever.
    fn rcpt(from: &str, to: &str) -> Occasion<'static> {
        let from = Box::leak(Box::new(from.parse().unwrap()));
        let to = To::Named(Box::leak(Box::new(to.parse().unwrap())));
        let client = Some(IpAddr::from([127, 0, 0, 1]));
        Occasion { event: Event::Verb(Verb::Rcpt), client, from: Some(from), to, message: 1 }
    }

    fn on_rcpt() -> On {
        On::verb(Verb::Rcpt)
    }

    /// On which of `n` times a rule fires.
    fn fires(on: On, n: u64) -> Vec<u64> {
        let script = Script::default();
        script.add(on, Do::Stall);
        (1..=n).filter(|_| !script.at(&rcpt("a@b.example", "c@d.example"), Instant::now()).is_empty()).collect()
    }

    #[test]
    fn counts() {
        assert_eq!(fires(on_rcpt(), 3), [1, 2, 3]);
        assert_eq!(fires(on_rcpt().nth(2), 4), [2]);
        assert_eq!(fires(on_rcpt().first(2), 4), [1, 2]);
        assert_eq!(fires(on_rcpt().every(2), 5), [2, 4]);
        assert_eq!(fires(on_rcpt().every(0), 5), []);
        assert_eq!(fires(on_rcpt().since(3), 4), [3, 4]);
    }

    #[test]
    fn conditions() {
        let occasion = rcpt("alice@Example.NET", "bob@example.org");
        for on in [
            on_rcpt(),
            On::command(),
            on_rcpt().from("alice@example.net").to("bob@EXAMPLE.org").message(1),
            on_rcpt().from("@example.net").to("@Example.org"),
        ] {
            assert!(on.describes(&occasion), "{on:?}");
        }
        for on in [
            On::verb(Verb::Mail),
            On::accepted(),
            on_rcpt().from(""),
            on_rcpt().from("@net"),
            on_rcpt().to("Bob@example.org"),
            on_rcpt().message(2),
        ] {
            assert!(!on.describes(&occasion), "{on:?}");
        }
        assert!(on_rcpt().from("").describes(&rcpt("", "bob@example.org")));
        let nobody = Occasion { event: Event::Connect, client: None, from: None, to: To::Accepted(&[]), message: 0 };
        assert!(On::connect().describes(&nobody) && !On::connect().from("").describes(&nobody));
        assert!(!On::command().describes(&nobody));
    }

    #[test]
    fn chance_is_the_same_each_time() {
        let sequence = |seed| fires(on_rcpt().chance(0.3, seed), 1000);
        assert_eq!(sequence(1), sequence(1));
        assert_ne!(sequence(1), sequence(2));
        assert!((200..400).contains(&sequence(1).len()), "{}", sequence(1).len());
        assert_eq!(fires(on_rcpt().chance(0.0, 1), 1000), []);
        assert_eq!(fires(on_rcpt().chance(1.0, 1), 1000).len(), 1000);
    }

    #[test]
    fn all_that_are_due_count_and_the_first_decides() {
        let script = Script::default();
        script.add(on_rcpt(), Do::Delay(Duration::from_secs(1)));
        script.add(on_rcpt().first(1), Do::Stall);
        script.add(on_rcpt().nth(1), Do::Garbage(Vec::new()));
        script.add(on_rcpt().nth(2), Do::FailHandshake);
        let occasion = rcpt("a@b.example", "c@d.example");
        let now = Instant::now();
        assert!(matches!(script.at(&occasion, now)[..], [Do::Delay(_), Do::Stall]));
        assert!(matches!(script.at(&occasion, now)[..], [Do::Delay(_), Do::FailHandshake]));
        let fired: Vec<_> = script.fired().iter().map(|fired| fired.times).collect();
        assert_eq!(fired, [2, 1, 1]);
        script.clear();
        assert!(script.at(&occasion, now).is_empty() && script.fired().is_empty());
    }

    #[test]
    fn greylisting_knows_triplets_and_time() {
        let script = Script::default();
        script.add(on_rcpt(), Do::Greylist(Duration::from_secs(60)));
        let now = Instant::now();
        let is_refused = |from, to, seconds| {
            let done = script.at(&rcpt(from, to), now + Duration::from_secs(seconds));
            assert!(done.iter().all(|what| matches!(what, Do::Reply(reply) if *reply == GREYLISTED)));
            !done.is_empty()
        };
        assert!(is_refused("a@b.example", "c@d.example", 0));
        assert!(is_refused("a@b.example", "c@d.example", 59));
        assert!(is_refused("a@b.example", "x@d.example", 60));
        assert!(!is_refused("a@b.example", "c@D.example", 60));
        assert!(is_refused("", "c@d.example", 60));
        let elsewhere = Occasion { client: Some(IpAddr::from([127, 0, 0, 2])), ..rcpt("a@b.example", "c@d.example") };
        assert_eq!(script.at(&elsewhere, now + Duration::from_secs(60)).len(), 1);
    }

    #[test]
    fn limits_hold_for_any_span() {
        let script = Script::default();
        let what = Do::Limit { times: 2, per: Duration::from_secs(10), reply: Reply::temporary("too many") };
        script.add(on_rcpt(), what);
        let now = Instant::now();
        let passes = |seconds| script.at(&rcpt("", "c@d.example"), now + Duration::from_secs(seconds)).is_empty();
        assert!(passes(0) && passes(6) && !passes(7) && !passes(9));
        // The first is old enough, the second is not; what was refused does not count.
        assert!(passes(10) && !passes(11));
        assert!(passes(16) && !passes(17));
    }

    #[test]
    fn events_without_rules_are_known_without_a_look() {
        let script = Script::default();
        let all =
            [Event::Connect, Event::Command, Event::Verb(Verb::Rcpt), Event::Verb(Verb::Xclient), Event::Accepted];
        assert!(!all.iter().any(|event| script.is_for(*event)));
        script.add(on_rcpt(), Do::Stall);
        assert_eq!(all.map(|event| script.is_for(event)), [false, false, true, false, false]);
        script.add(On::command(), Do::Stall);
        assert_eq!(all.map(|event| script.is_for(event)), [false, true, true, true, false]);
        script.clear();
        assert!(!all.iter().any(|event| script.is_for(*event)));
    }

    #[test]
    fn what_is_foreseen_is_done_unless_it_was_taken_back() {
        let script = Script::default();
        let accepted = |from, to| Occasion { event: Event::Accepted, ..rcpt(from, to) };
        let nobody = Occasion { from: None, to: To::Accepted(&[]), ..accepted("", "c@d.example") };
        let now = Instant::now();
        let fires = |foreseen: &Option<Foreseen>| script.at_foreseen(foreseen.as_ref(), &nobody, now).len();
        // No rule then, and one that came while the message was with its handler.
        let before = script.foresee(&accepted("a@b.example", "c@d.example"));
        script.add(On::accepted(), Do::Delay(Duration::ZERO));
        script.add(On::accepted().to("c@d.example"), Do::Delay(Duration::ZERO));
        assert!(before.is_none());
        assert_eq!(fires(&before), 1);
        let one = script.foresee(&accepted("a@b.example", "x@d.example"));
        let both = script.foresee(&accepted("a@b.example", "c@d.example"));
        assert_eq!((fires(&one), fires(&both)), (1, 2));
        script.add(On::accepted(), Do::Greylist(Duration::ZERO));
        let refused = script.foresee(&accepted("a@b.example", "c@d.example"));
        assert_eq!((fires(&refused), fires(&refused)), (3, 2));
        script.clear();
        assert_eq!(fires(&refused), 0);
        script.add(On::accepted(), Do::Stall);
        assert_eq!(fires(&refused), 1);
    }

    #[test]
    fn counts_are_exact_and_the_same_for_all_rules_whoever_counts() {
        let script = Script::default();
        script.add(on_rcpt().nth(1000), Do::Delay(Duration::ZERO));
        script.add(On::command().nth(1000), Do::Delay(Duration::ZERO));
        script.add(on_rcpt().every(10), Do::Delay(Duration::ZERO));
        let (occasion, now) = (rcpt("a@b.example", "c@d.example"), Instant::now());
        let count = || (0..500).map(|_| script.at(&occasion, now).len()).collect::<Vec<_>>();
        let done: Vec<usize> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(count)).collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        });
        let times = |n| done.iter().filter(|done| **done == n).count();
        assert_eq!((times(1), times(2), times(3)), (199, 0, 1));
    }
}
