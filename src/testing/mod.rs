//! What tests of mail clients need besides an [`Inbox`](crate::Inbox): faults on purpose, transcripts, expectations,
//! certificates.
//!
//! | you want to | use |
//! |---|---|
//! | test against a server that is busy, slow, broken or gone | [`Faults`], which pair occasions ([`On`]) with actions ([`Do`]) |
//! | see the conversation on a connection, or the one that brought a message | [`Transcript`]; [`Report`] is what an inbox knows when no message came |
//! | compare a message with what you expect, and see every difference | `Expected` (feature `mime`) |
//! | test TLS, and certificates that a client must not trust | `Authority` (feature `testing-tls`) |
//! | look at a message before the server answers | [`Builder::manual_inbox`](crate::Builder::manual_inbox) |
//!
//! `examples/retries.rs`, `refused_recipients.rs`, `require_tls.rs` and `reset_password.rs` are programs that send mail, each
//! with its tests.

pub use crate::envelope::transcript::{Direction, Entry, Transcript};
pub use crate::faults::{Chance, Do, Event, Faults, Fired, Moment, Occurrence, On, Unfired};
pub use crate::inbox::{Arrived, Messages, Report};

#[cfg(feature = "testing-tls")]
mod authority;
#[cfg(feature = "mime")]
mod expected;
#[cfg(feature = "testing-tls")]
pub use authority::{Authority, AuthorityError};
#[cfg(feature = "mime")]
pub use expected::{Expected, Mismatch};

#[cfg(test)]
pub(crate) mod growth;

#[cfg(feature = "internals")]
pub mod internals;
