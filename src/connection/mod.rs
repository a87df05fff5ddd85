//! One conversation: the channel that drives it, and what it shares with the server, and its end.

pub(crate) mod channel;
pub(crate) mod shutdown;
