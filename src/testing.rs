//! What tests of mail clients need beside an [`Inbox`](crate::Inbox): faults on purpose, what was said, and what arrived.

pub use crate::faults::{Chance, Do, Event, Faults, Fired, Moment, Occurrence, On};
pub use crate::inbox::{Arrived, Messages, Report};
pub use crate::transcript::{Direction, Entry, Transcript};

#[cfg(feature = "testing-tls")]
mod authority;
#[cfg(feature = "mime")]
mod expected;
#[cfg(feature = "testing-tls")]
pub use authority::{Authority, AuthorityError};
#[cfg(feature = "mime")]
pub use expected::{Expected, Mismatch};
