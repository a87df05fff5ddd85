//! What tests of mail clients need beside an [`Inbox`](crate::Inbox): what was said, and what arrived.

pub use crate::inbox::{Arrived, Messages, Report};
pub use crate::transcript::{Direction, Entry, Transcript};
