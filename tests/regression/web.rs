//! The web inbox.
