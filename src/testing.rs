//! What tests of mail clients need beside an [`Inbox`](crate::Inbox): faults on purpose, what was said, and what arrived.
//!
//! | to | there is |
//! |---|---|
//! | have a server that is busy, slow, broken or gone | [`Faults`], made of occasions ([`On`]) and what is done then ([`Do`]) |
//! | see what was said on a connection, or what brought a message | [`Transcript`]; [`Report`] is what an inbox tells when no message came |
//! | say what a message should be, and read how it differs | `Expected` (feature `mime`) |
//! | test TLS, and certificates that must not be trusted | `Authority` (feature `testing-tls`) |
//! | look at a message before its client is answered | [`Builder::manual_inbox`](crate::Builder::manual_inbox) |
//!
//! `examples/retries.rs`, `refused_recipients.rs`, `require_tls.rs` and `reset_password.rs` are programs that send mail, each
//! with the tests that its author would write.

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
