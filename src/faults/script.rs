//! Which faults are due on an occasion.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::{Chance, Do, Event, Fired, Occurrence, On};
use crate::address::{ForwardPath, ReversePath};
use crate::reply::{Reply, Status};

const GREYLISTED: Reply = Reply::fixed(450, Status::new(4, 7, 1), "Greylisted, try again later");

/// What happens in a conversation, and what is known of its message.
#[derive(Clone, Debug)]
pub(crate) struct Occasion {
    pub event: Event,
    /// None at a Unix socket.
    pub client: Option<IpAddr>,
    pub from: Option<ReversePath>,
    pub to: Vec<ForwardPath>,
    /// 0 before there is any.
    pub message: u64,
}

/// All faults of a server, and what they have seen.
#[derive(Default, Debug)]
pub(super) struct Script {
    rules: Vec<Rule>,
    messages: u64,
}

#[derive(Debug)]
struct Rule {
    on: On,
    what: Do,
    // Occasions that fulfil everything but the count.
    seen: u64,
    fired: u64,
    // When each came first: greylisting.
    triplets: HashMap<(Option<IpAddr>, ReversePath, ForwardPath), Instant>,
    // What passed of late: limits.
    passed: VecDeque<Instant>,
}

impl Script {
    pub fn add(&mut self, on: On, what: Do) {
        self.rules.push(Rule { on, what, seen: 0, fired: 0, triplets: HashMap::new(), passed: VecDeque::new() });
    }

    pub fn clear(&mut self) {
        self.rules.clear();
    }

    pub fn count_message(&mut self) -> u64 {
        self.messages += 1;
        self.messages
    }

    pub fn fired(&self) -> Vec<Fired> {
        let fired = self.rules.iter().filter(|rule| rule.fired > 0);
        fired.map(|rule| Fired { on: rule.on.clone(), what: rule.what.clone(), times: rule.fired }).collect()
    }

    pub fn at(&mut self, occasion: &Occasion, now: Instant) -> Vec<Do> {
        // Each counts, even if another one decides. The sort keeps the order of those whose turn is the same.
        let mut due: Vec<&mut Rule> = self.rules.iter_mut().filter_map(|rule| rule.due(occasion)).collect();
        due.sort_by_key(|rule| rule.what.turn());
        let mut done: Vec<Do> = Vec::new();
        for rule in due {
            if let Some(what) = rule.apply(occasion, now) {
                rule.fired += 1;
                done.push(what);
            }
            if done.last().is_some_and(Do::is_decisive) {
                break;
            }
        }
        done
    }
}

impl Rule {
    fn due(&mut self, occasion: &Occasion) -> Option<&mut Rule> {
        self.is_due(occasion).then_some(self)
    }

    fn is_due(&mut self, occasion: &Occasion) -> bool {
        if !self.on.describes(occasion) {
            return false;
        }
        self.seen += 1;
        self.on.occurrence.includes(self.seen) && self.on.chance.is_none_or(|chance| chance.hits(self.seen))
    }

    /// What is done, if anything is: some rules let pass.
    fn apply(&mut self, occasion: &Occasion, now: Instant) -> Option<Do> {
        match &self.what {
            Do::Greylist(delay) => {
                let delay = *delay;
                self.is_greylisted(occasion, delay, now).then_some(Do::Reply(GREYLISTED))
            }
            Do::Limit { times, per, reply } => {
                while self.passed.front().is_some_and(|at| now.duration_since(*at) >= *per) {
                    self.passed.pop_front();
                }
                if self.passed.len() >= *times {
                    return Some(Do::Reply(reply.clone()));
                }
                self.passed.push_back(now);
                None
            }
            what => Some(what.clone()),
        }
    }

    fn is_greylisted(&mut self, occasion: &Occasion, delay: Duration, now: Instant) -> bool {
        let Some(from) = &occasion.from else { return false };
        let mut greylisted = false;
        for to in &occasion.to {
            let triplet = (occasion.client, from.clone(), to.clone());
            let first = self.triplets.get(&triplet);
            greylisted |= first.is_none_or(|first| now.duration_since(*first) < delay);
            self.triplets.entry(triplet).or_insert(now);
        }
        greylisted
    }
}

impl On {
    /// Whether all conditions are fulfilled but those of count and chance.
    fn describes(&self, occasion: &Occasion) -> bool {
        let event = match self.event {
            Event::Command => matches!(occasion.event, Event::Command | Event::Verb(_)),
            event => event == occasion.event,
        };
        let from = |wanted: &String| match (&occasion.from, wanted.strip_prefix('@')) {
            (None, _) => false,
            (Some(path), Some(domain)) => path.domain().is_some_and(|d| d.eq_ignore_ascii_case(domain)),
            (Some(path), None) => *path == **wanted,
        };
        let to = |wanted: &String| {
            occasion.to.iter().any(|path| match wanted.strip_prefix('@') {
                Some(domain) => path.domain().is_some_and(|d| d.eq_ignore_ascii_case(domain)),
                None => *path == **wanted,
            })
        };
        event
            && self.from.as_ref().is_none_or(from)
            && self.to.as_ref().is_none_or(to)
            && self.message.is_none_or(|number| number == occasion.message)
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
    use crate::command::Verb;

    fn rcpt(from: &str, to: &str) -> Occasion {
        let to = vec![to.parse().unwrap()];
        let client = Some(IpAddr::from([127, 0, 0, 1]));
        Occasion { event: Event::Verb(Verb::Rcpt), client, from: Some(from.parse().unwrap()), to, message: 1 }
    }

    fn on_rcpt() -> On {
        On::verb(Verb::Rcpt)
    }

    /// On which of `n` times a rule fires.
    fn fires(on: On, n: u64) -> Vec<u64> {
        let mut script = Script::default();
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
        let nobody = Occasion { event: Event::Connect, client: None, from: None, to: Vec::new(), message: 0 };
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
        let mut script = Script::default();
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
        let mut script = Script::default();
        script.add(on_rcpt(), Do::Greylist(Duration::from_secs(60)));
        let now = Instant::now();
        let mut is_refused = |from, to, seconds| {
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
        let mut script = Script::default();
        let what = Do::Limit { times: 2, per: Duration::from_secs(10), reply: Reply::temporary("too many") };
        script.add(on_rcpt(), what);
        let now = Instant::now();
        let mut passes = |seconds| script.at(&rcpt("", "c@d.example"), now + Duration::from_secs(seconds)).is_empty();
        assert!(passes(0) && passes(6) && !passes(7) && !passes(9));
        // The first is old enough, the second is not; what was refused does not count.
        assert!(passes(10) && !passes(11));
        assert!(passes(16) && !passes(17));
    }
}
