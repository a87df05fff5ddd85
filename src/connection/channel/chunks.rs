//! A message on its way in.

use std::time::Instant;

use crate::content::collector::Collector;
use crate::io::wire::data::DataReader;

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
}
