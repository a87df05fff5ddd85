//! What tests of mail are written with: inboxes, expectations, faults, certificates.

#[cfg(feature = "testing-tls")]
mod authority;
mod bandwidth;
#[cfg(feature = "mime")]
mod expected;
mod fault_matrix;
mod faults;
#[cfg(feature = "tls")]
mod harness;
mod inbox;
mod unfired;
mod verdicts;
