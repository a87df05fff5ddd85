//! Not part of the API, and free to change at any time: what the crate's own benchmarks need of its inside.

use crate::command::{Command, Line};
use crate::config::LineEnds;
use crate::wire::data::DataReader;

/// Parses a command line without its CRLF; true if it is well formed.
pub fn parse_command(line: &[u8]) -> bool {
    Command::parse(Line::new(line), true).is_ok()
}

/// Reads content as it comes behind DATA, in pieces of `piece` octets; true if its end was there.
pub fn read_data(octets: &[u8], piece: usize, line_ends: LineEnds, content: &mut Vec<u8>) -> bool {
    let mut reader = DataReader::new(line_ends);
    octets.chunks(piece.max(1)).any(|octets| reader.feed(octets, content).1)
}
