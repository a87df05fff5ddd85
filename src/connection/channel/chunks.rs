//! A message on its way in.

use std::time::Instant;

use crate::content::collector::Collector;
use crate::io::wire::data::DataReader;
use crate::syntax::reply::Reply;

/// A message on its way in, whole or in chunks.
#[derive(Debug)]
pub(super) struct Chunks {
    pub collector: Collector,
    pub reader: DataReader,
    // When the first octet could have come, and with it the floor rate's clock. It stands still between chunks, where the
    // client has the time that it has for any command.
    pub since: Instant,
    // When the last chunk had come.
    pub paused: Instant,
    // When the octets had come that the session or the script of faults looks at now, if either does.
    pub arrived: Option<Instant>,
    // What the session's hook has against the content.
    pub refusal: Option<Reply>,
}

impl Chunks {
    /// The time that a hook or a fault took over what came last is not the client's.
    pub fn excuse(&mut self) {
        if let Some(arrived) = self.arrived.take() {
            self.since += arrived.elapsed();
        }
    }
}
