//! The words of a script: occasions, and what is done then.

use std::fmt::{self, Display, Formatter};
use std::time::Duration;

use crate::io::tls::Tls;
use crate::syntax::command::Verb;
use crate::syntax::reply::Reply;

/// A fault that has happened.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Fired {
    /// Its occasion.
    pub on: On,
    /// What was done.
    pub what: Do,
    /// How often.
    pub times: u64,
}

/// Where in a conversation a fault can happen.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Event {
    /// A client has connected. The reply is the banner.
    Connect,
    /// Any command, before it takes effect. The reply to DATA is its 354.
    Command,
    /// A command of this verb, before it takes effect.
    Verb(Verb),
    /// A TLS handshake is to begin, behind STARTTLS or at the beginning. There is no reply: what takes its place is sent in
    /// clear, and the connection ends.
    Handshake,
    /// The content of a message was read to its end, and nobody has it yet.
    Content,
    /// A message was accepted by whoever consumes it, and so it is in the inbox; the client does not know. Sender and
    /// recipients are compared before the message is handed on: a rule that is added later must not ask for them.
    Accepted,
}

/// Which of the occasions, counted from 1 over the whole server, and only those that fulfil all other conditions.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
#[non_exhaustive]
pub enum Occurrence {
    /// All.
    #[default]
    Each,
    /// This one.
    Nth(u64),
    /// So many, and no more.
    First(u64),
    /// This one and all behind it.
    From(u64),
    /// Each time that so many have come.
    Every(u64),
}

/// An occasion with the conditions that it has to fulfil.
///
/// ```
/// use pillarbox::testing::On;
/// use pillarbox::Verb;
///
/// // The first two times that somebody at example.org is named by alice.
/// let on = On::verb(Verb::Rcpt).first(2).to("@example.org").from("alice@example.net");
/// ```
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
#[must_use = "it is part of a script"]
pub struct On {
    /// Where in the conversation.
    pub event: Event,
    /// Which one of those that fulfil the rest.
    pub occurrence: Occurrence,
    /// The reverse-path: an address, a domain behind an `@`, or nothing for the null path.
    pub from: Option<String>,
    /// The recipient that RCPT names, or elsewhere one of those accepted so far: an address, or a domain behind an `@`.
    pub to: Option<String>,
    /// The number of the transaction on the server, from 1. Each MAIL begins one, also one that is refused.
    pub message: Option<u64>,
    /// How likely it is to happen then.
    pub chance: Option<Chance>,
}

/// A probability. The same seed brings the same sequence, so that a test fails twice if it fails once.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Chance {
    /// From 0, never, to 1, always.
    pub probability: f64,
    /// Where the sequence starts.
    pub seed: u64,
}

impl On {
    /// At an event, without further conditions.
    pub fn event(event: Event) -> On {
        On { event, occurrence: Occurrence::Each, from: None, to: None, message: None, chance: None }
    }

    /// [`Event::Verb`].
    pub fn verb(verb: Verb) -> On {
        On::event(Event::Verb(verb))
    }

    /// [`Event::Command`].
    pub fn command() -> On {
        On::event(Event::Command)
    }

    /// [`Event::Connect`].
    pub fn connect() -> On {
        On::event(Event::Connect)
    }

    /// [`Event::Handshake`].
    pub fn handshake() -> On {
        On::event(Event::Handshake)
    }

    /// [`Event::Content`].
    pub fn content() -> On {
        On::event(Event::Content)
    }

    /// [`Event::Accepted`].
    pub fn accepted() -> On {
        On::event(Event::Accepted)
    }

    /// Only the `n`th time, counted from 1.
    pub fn nth(self, n: u64) -> On {
        On { occurrence: Occurrence::Nth(n), ..self }
    }

    /// Only the first `n` times.
    pub fn first(self, n: u64) -> On {
        On { occurrence: Occurrence::First(n), ..self }
    }

    /// The `n`th time and from then on.
    pub fn since(self, n: u64) -> On {
        On { occurrence: Occurrence::From(n), ..self }
    }

    /// Every `n` times, first the `n`th time.
    pub fn every(self, n: u64) -> On {
        On { occurrence: Occurrence::Every(n), ..self }
    }

    /// Only for this sender: an address, `@` and a domain, or nothing for the null reverse-path.
    pub fn from(self, sender: impl Into<String>) -> On {
        On { from: Some(sender.into()), ..self }
    }

    /// Only for this recipient: an address, or `@` and a domain.
    pub fn to(self, recipient: impl Into<String>) -> On {
        On { to: Some(recipient.into()), ..self }
    }

    /// Only in this transaction, counted from 1 over the whole server.
    pub fn message(self, number: u64) -> On {
        On { message: Some(number), ..self }
    }

    /// Only with this probability, from 0 to 1. The same seed brings the same sequence.
    pub fn chance(self, probability: f64, seed: u64) -> On {
        On { chance: Some(Chance { probability, seed }), ..self }
    }
}

/// When a connection ends that a fault ends.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Moment {
    /// In the place of the reply.
    Before,
    /// When half of the reply is sent.
    Within,
    /// Behind the reply.
    After,
}

/// What goes wrong. Where the place of the reply is taken, a command has no effect and a message is not delivered, unless it
/// was before: see [`Event::Accepted`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Do {
    /// Another reply takes the reply's place; a `\n` in its text begins a further line. Behind 221 and 421 the connection
    /// ends, and behind any refusal in the banner's place. A 3xx is replaced by a 451: nothing would read what it asks for.
    Reply(Reply),
    /// These octets take the reply's place.
    Garbage(Vec<u8>),
    /// It takes that much longer.
    Delay(Duration),
    /// The reply comes octet by octet, with this pause before each.
    Drip(Duration),
    /// The connection is closed.
    HangUp(Moment),
    /// The connection is reset, so that the client gets an error and may lose what it has not read.
    Reset(Moment),
    /// Nothing is said any more, until the client goes or the server ends.
    Stall,
    /// The reply to EHLO goes without these keywords. What they stand for is not refused.
    Without(Vec<String>),
    /// The handshake fails with an alert. Only at [`Event::Handshake`].
    FailHandshake,
    /// The handshake is done with another certificate: one that has expired, say. Only at [`Event::Handshake`].
    Certificate(Tls),
    /// Each client, sender and recipient that come together are refused with `450 4.7.1`, until this long after they first
    /// did. A rule remembers the last 65,536 of them.
    Greylist(Duration),
    /// This reply takes the reply's place, but for so many times within any span of that length. Where more than 16,384
    /// may pass, each counts for a 16,384th of the span longer at most.
    Limit {
        /// How many pass.
        times: usize,
        /// The length of the span.
        per: Duration,
        /// What is said beyond.
        reply: Reply,
    },
}

impl Do {
    /// In which order those act that are due at once: what changes how a reply goes out, what lets there be none, what is
    /// said in its place.
    pub(super) fn turn(&self) -> u8 {
        match self {
            Do::HangUp(Moment::Before) | Do::Reset(Moment::Before) => 1,
            Do::Reply(_) | Do::Garbage(_) | Do::Stall | Do::FailHandshake | Do::Greylist(_) | Do::Limit { .. } => 2,
            Do::Delay(_) | Do::Drip(_) | Do::HangUp(_) | Do::Reset(_) | Do::Without(_) | Do::Certificate(_) => 0,
        }
    }

    /// Whether it decides over the reply, so that nothing behind it can.
    pub(super) fn is_decisive(&self) -> bool {
        match self {
            Do::Reply(_) | Do::Garbage(_) | Do::Stall | Do::FailHandshake => true,
            Do::HangUp(moment) | Do::Reset(moment) => *moment == Moment::Before,
            Do::Delay(_) | Do::Drip(_) | Do::Without(_) | Do::Certificate(_) | Do::Greylist(_) | Do::Limit { .. } => {
                false
            }
        }
    }
}

impl Display for Do {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Do::Reply(reply) => write!(f, "reply \"{reply}\""),
            Do::Garbage(octets) => write!(f, "{} octets of garbage", octets.len()),
            Do::Delay(time) => write!(f, "delay of {time:?}"),
            Do::Drip(pause) => write!(f, "an octet every {pause:?}"),
            Do::HangUp(moment) => write!(f, "hang up {moment}"),
            Do::Reset(moment) => write!(f, "reset {moment}"),
            Do::Stall => f.write_str("stall"),
            Do::Without(keywords) => write!(f, "no {}", keywords.join(", ")),
            Do::FailHandshake => f.write_str("handshake failure"),
            Do::Certificate(_) => f.write_str("another certificate"),
            Do::Greylist(_) => f.write_str("greylisting"),
            Do::Limit { times, per, .. } => write!(f, "limit of {times} in {per:?}"),
        }
    }
}

impl Display for Moment {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Moment::Before => "before the reply",
            Moment::Within => "within the reply",
            Moment::After => "after the reply",
        })
    }
}
