//! The words of a script: occasions, and what is done then.

use std::fmt::{self, Display, Formatter};
use std::time::Duration;

use crate::io::tls::Tls;
use crate::syntax::command::Verb;
use crate::syntax::reply::Reply;

/// The conditions of an occasion beside its event and its count.
pub(super) struct Narrowing<'a>(pub &'a On);

impl Display for Narrowing<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let On { from, to, message, .. } = self.0;
        let from = from
            .as_ref()
            .map(|from| if from.is_empty() { "from <>".into() } else { format!("from {}", from.escape_debug()) });
        let to = to.as_ref().map(|to| format!("to {}", to.escape_debug()));
        let message = message.map(|number| format!("in message {number}"));
        let all: Vec<String> = [from, to, message].into_iter().flatten().collect();
        f.write_str(&all.join(" "))
    }
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
    /// A TLS handshake is about to begin, after STARTTLS or at the start of the connection. There is no reply to replace:
    /// a scripted one is sent in clear, and the connection ends.
    Handshake,
    /// So many octets of a message's content have come, or all of a message that has exactly so many. See
    /// [`On::content_after`].
    ContentAfter(u64),
    /// The content of a message was read to its end, and not yet delivered.
    Content,
    /// A message was accepted and is in the inbox; the client does not know yet. Sender and recipients are compared before the
    /// message is delivered, so a rule that is added later cannot depend on them.
    Accepted,
    /// The reply for one recipient is about to be sent, after the content: over LMTP, or with PRDR. See [`On::verdict`].
    Verdict,
}

/// Which of the occasions, counted from 1 over the whole server. Only those that meet all other conditions count.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
#[non_exhaustive]
pub enum Occurrence {
    /// All.
    #[default]
    Each,
    /// This one.
    Nth(u64),
    /// The first so many.
    First(u64),
    /// This one and all after it.
    From(u64),
    /// Every so many.
    Every(u64),
}

/// An occasion, with the conditions for it.
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
    /// The reverse-path: an address, `@` and a domain, or nothing for the null reverse-path.
    pub from: Option<String>,
    /// The recipient that RCPT names, or elsewhere one of those accepted so far: an address, or `@` and a domain.
    pub to: Option<String>,
    /// The number of the transaction on the server, from 1. Each MAIL begins one, even if it is refused.
    pub message: Option<u64>,
    /// The probability that it then happens.
    pub chance: Option<Chance>,
}

/// A probability. The same seed gives the same sequence, so that a failure can be repeated.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Chance {
    /// From 0 (never) to 1 (always).
    pub probability: f64,
    /// The start of the sequence.
    pub seed: u64,
}

impl On {
    /// On each occurrence of an event, without further conditions.
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

    /// When exactly this many octets of a message's content have been read; the server has looked at none after them. The
    /// message is not delivered if the fault ends the connection or replaces the reply.
    ///
    /// After DATA, all counts that the client sends: doubled dots, and the line with the final dot. With BDAT the octets of all
    /// chunks of the message count, without the commands. 0 is before the first octet. A message with fewer octets is not
    /// affected.
    ///
    /// There is no reply to cut here, so a hang-up or reset happens at once, whatever its [`Moment`]. A reply or garbage is sent
    /// at once; the rest of the content is read and thrown away, except after a 421, which ends the connection.
    ///
    /// ```
    /// use pillarbox::testing::{Do, Faults, Moment, On};
    /// use pillarbox::{Reply, Server};
    ///
    /// let faults = Faults::new()
    ///     .when(On::content_after(10_000).nth(1), Do::Reset(Moment::Before))
    ///     .when(On::content_after(1_000_000), Do::Reply(Reply::new(421, "4.3.2", "going down")));
    /// let inbox = Server::builder().faults(faults).inbox("127.0.0.1:0")?;
    /// # Ok::<(), pillarbox::Error>(())
    /// ```
    pub fn content_after(octets: u64) -> On {
        On::event(Event::ContentAfter(octets))
    }

    /// The reply for one recipient over LMTP, or over SMTP for a client that asks for PRDR. Each recipient is an occasion, so
    /// [`to`](On::to) chooses one of them; the others get their real replies. What the handler was given does not change.
    ///
    /// ```
    /// use pillarbox::testing::{Do, Faults, On};
    /// use pillarbox::{Reply, Server};
    ///
    /// let full = Do::Reply(Reply::new(452, "4.2.2", "mailbox full"));
    /// let faults = Faults::new().when(On::verdict().to("bob@example.org"), full);
    /// let inbox = Server::builder().lmtp(true).faults(faults).inbox("127.0.0.1:0")?;
    /// # Ok::<(), pillarbox::Error>(())
    /// ```
    pub fn verdict() -> On {
        On::event(Event::Verdict)
    }

    /// [`Event::Accepted`].
    pub fn accepted() -> On {
        On::event(Event::Accepted)
    }

    /// Whether it asks for more than its event and a count.
    fn is_narrowed(&self) -> bool {
        self.from.is_some() || self.to.is_some() || self.message.is_some()
    }

    /// Only the `n`th time, counted from 1.
    pub fn nth(self, n: u64) -> On {
        On { occurrence: Occurrence::Nth(n), ..self }
    }

    /// Only the first `n` times.
    pub fn first(self, n: u64) -> On {
        On { occurrence: Occurrence::First(n), ..self }
    }

    /// From the `n`th time on.
    pub fn since(self, n: u64) -> On {
        On { occurrence: Occurrence::From(n), ..self }
    }

    /// Every `n`th time.
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

    /// Only with this probability, from 0 to 1. The same seed gives the same sequence.
    pub fn chance(self, probability: f64, seed: u64) -> On {
        On { chance: Some(Chance { probability, seed }), ..self }
    }
}

impl Event {
    /// Whether no reply is due, so that nothing can happen within it or after it.
    pub(crate) fn is_without_reply(self) -> bool {
        matches!(self, Event::Handshake | Event::ContentAfter(_))
    }
}

impl Display for Event {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Event::Connect => f.write_str("connection"),
            Event::Command => f.write_str("command"),
            Event::Verb(verb) => f.write_str(verb.as_str()),
            Event::Handshake => f.write_str("TLS handshake"),
            Event::ContentAfter(octets) => write!(f, "content of {octets} octets or more"),
            Event::Content => f.write_str("content read to its end"),
            Event::Accepted => f.write_str("accepted message"),
            Event::Verdict => f.write_str("reply for one recipient"),
        }
    }
}

impl Display for Occurrence {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Occurrence::Each => f.write_str("each time"),
            Occurrence::Nth(n) => write!(f, "only time {n}"),
            Occurrence::First(n) => write!(f, "the first {n} times"),
            Occurrence::From(n) => write!(f, "from time {n} on"),
            Occurrence::Every(n) => write!(f, "every {n} times"),
        }
    }
}

/// What it describes, as in `RCPT to bob@example.org, only time 3`.
impl Display for On {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        Display::fmt(&self.event, f)?;
        if self.is_narrowed() {
            write!(f, " {}", Narrowing(self))?;
        }
        if self.occurrence != Occurrence::Each {
            write!(f, ", {}", self.occurrence)?;
        }
        match self.chance {
            Some(chance) => write!(f, ", with a probability of {}", chance.probability),
            None => Ok(()),
        }
    }
}

/// When a fault ends the connection.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Moment {
    /// Instead of the reply.
    Before,
    /// After half of the reply.
    Within,
    /// After the reply.
    After,
}

/// What goes wrong. If it replaces the reply, a command has no effect and a message is not delivered, unless that has
/// happened before: see [`Event::Accepted`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Do {
    /// Replaces the reply; a `\n` in its text begins a further line. After 221 and 421 the connection ends, and after any
    /// refusal that replaces the banner. A 3xx becomes a 451, since nothing would read what it asks for.
    Reply(Reply),
    /// Replaces the reply with these octets.
    Garbage(Vec<u8>),
    /// Delays the reply.
    Delay(Duration),
    /// Sends the reply octet by octet, with this pause before each.
    Drip(Duration),
    /// From here to the end of the connection, reads content and sends replies no faster than this many octets per second; 0
    /// counts as 1. The time for it does not count as the client's, and a client that goes is noticed when what it has sent is read. It ends with [`Faults::clear`](super::Faults::clear), and
    /// when the server shuts down.
    Bandwidth(u64),
    /// Closes the connection.
    HangUp(Moment),
    /// Resets the connection: the client gets an error and may lose what it has not read.
    Reset(Moment),
    /// Sends nothing more until the client goes or the server ends.
    Stall,
    /// Hides these keywords from the reply to EHLO. The extensions themselves still work.
    Without(Vec<String>),
    /// Fails the handshake with an alert. Only at [`Event::Handshake`].
    FailHandshake,
    /// Does the handshake with another certificate, for example an expired one. Only at [`Event::Handshake`].
    Certificate(Tls),
    /// Refuses each combination of client, sender and recipient with `450 4.7.1` until this long after it first came. A rule
    /// remembers the last 65,536 of them.
    Greylist(Duration),
    /// Replaces the reply, except for so many times in any period of this length. If more than 16,384 may pass, each counts
    /// for at most a 16,384th of the period longer.
    Limit {
        /// How many are let through.
        times: usize,
        /// The length of the period.
        per: Duration,
        /// The reply to the others.
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
            Do::Delay(_)
            | Do::Drip(_)
            | Do::Bandwidth(_)
            | Do::HangUp(_)
            | Do::Reset(_)
            | Do::Without(_)
            | Do::Certificate(_) => 0,
        }
    }

    /// Whether it decides over the reply, so that nothing behind it can.
    pub(super) fn is_decisive(&self) -> bool {
        match self {
            Do::Reply(_) | Do::Garbage(_) | Do::Stall | Do::FailHandshake => true,
            Do::HangUp(moment) | Do::Reset(moment) => *moment == Moment::Before,
            Do::Delay(_)
            | Do::Drip(_)
            | Do::Bandwidth(_)
            | Do::Without(_)
            | Do::Certificate(_)
            | Do::Greylist(_)
            | Do::Limit { .. } => false,
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
            Do::Bandwidth(rate) => write!(f, "{rate} octets per second"),
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
