//! What tests of mail clients need beside an [`Inbox`](crate::Inbox): faults on purpose, what was said, and what arrived.
//!
//! - [`Faults`]: what the server does wrong, on an occasion that [`On`] describes. [`Do`] is what.
//! - [`Transcript`]: both sides of a connection, with times; [`Report`] is what an inbox tells when no message came.
//! - `Expected` (feature `mime`): what a message should be, with all differences told at once.
//! - `Authority` (feature `testing-tls`): certificates for the server, and the root for the client under test.

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
