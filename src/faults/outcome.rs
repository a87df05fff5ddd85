//! What became of the faults of a script: those that have happened, and those that have not.

use std::fmt::{self, Display, Formatter};

use super::rule::{Do, Narrowing, Occurrence, On};

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

/// A fault that has not happened, and how near it came.
///
/// Its `Display` says so in one line: `RCPT to bob@example.org: reply "450 4.2.1 busy" (RCPT came 3 times, but never to
/// bob@example.org)`.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Unfired {
    /// Its occasion.
    pub on: On,
    /// What would have been done.
    pub what: Do,
    /// How often its event came, whatever sender, recipient and transaction.
    pub events: u64,
    /// How often sender, recipient and transaction were right as well, so that the occasion was counted.
    pub counted: u64,
    /// How often count and chance were right as well. Then another fault decided over the reply, or the action let the
    /// client pass, as [`Do::Limit`] does.
    pub due: u64,
}

impl Display for Unfired {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Unfired { on, what, events, counted, due } = self;
        let event = on.event;
        write!(f, "{on}: {what} (")?;
        match (events, counted, due) {
            (0, ..) => write!(f, "no {event} came")?,
            (events, 0, _) => write!(f, "{event} came {}, but never {}", Times(*events), Narrowing(on))?,
            (_, counted, 0) if on.chance.is_some() && on.occurrence == Occurrence::Each => {
                write!(f, "its occasion came {}, and chance spared it", Times(*counted))?
            }
            (_, counted, 0) => write!(f, "its occasion came only {}", Times(*counted))?,
            (_, _, due) if matches!(what, Do::Limit { .. } | Do::Greylist(_)) => {
                write!(f, "its occasion came {}, and all were let pass", Times(*due))?;
            }
            (_, _, due) => write!(f, "it was due {}, but another fault decided over the reply", Times(*due))?,
        }
        f.write_str(")")
    }
}

/// A number of times.
struct Times(u64);

impl Display for Times {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.0 {
            1 => f.write_str("once"),
            n => write!(f, "{n} times"),
        }
    }
}
