//! What messages say, and how much it may cost to read them.

#![cfg(feature = "mime")]

#[cfg(all(feature = "cli", unix))]
mod cases;
mod reported;
