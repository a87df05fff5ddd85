//! Not part of the API, and free to change at any time: what benchmarks and fuzzing need of the crate's inside.

use crate::config::{Config, LineEnds};
use crate::connection::channel::memory;
use crate::io::wire::data::DataReader;
use crate::io::wire::stuffing::Stuffing;
use crate::syntax::command::{Command, Line};
use crate::syntax::reply::Reply;
use crate::syntax::reply::parser::Parser;

pub use memory::{Message, Outcome};

/// Parses a command line without its CRLF; true if it is well formed.
pub fn parse_command(line: &[u8]) -> bool {
    Command::parse(Line::new(line), true).is_ok()
}

/// Reads content as it comes behind DATA, in pieces of `piece` octets; true if its end was there.
pub fn read_data(octets: &[u8], piece: usize, line_ends: LineEnds, content: &mut Vec<u8>) -> bool {
    read_pieces(octets.chunks(piece.max(1)), line_ends, content).is_some()
}

/// The same in any pieces; how many of their octets were the content and its end, if that was there.
pub fn read_pieces<'a>(
    pieces: impl IntoIterator<Item = &'a [u8]>,
    line_ends: LineEnds,
    content: &mut Vec<u8>,
) -> Option<usize> {
    let mut reader = DataReader::new(line_ends);
    let mut before = 0;
    for piece in pieces {
        let (taken, is_end) = reader.feed(piece, content);
        if is_end {
            return Some(before + taken);
        }
        before += piece.len();
    }
    None
}

/// Reads content as it comes in BDAT's chunks.
pub fn read_chunks<'a>(pieces: impl IntoIterator<Item = &'a [u8]>, line_ends: LineEnds) -> Vec<u8> {
    let mut reader = DataReader::for_chunks(line_ends);
    let mut content = Vec::new();
    for piece in pieces {
        reader.feed(piece, &mut content);
    }
    reader.finish(&mut content);
    content
}

/// Content as a client sends it behind DATA, with its end.
pub fn stuff<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut stuffing = Stuffing::new();
    let mut wire = Vec::new();
    for piece in pieces {
        stuffing.feed(piece, &mut wire);
    }
    stuffing.finish(&mut wire);
    wire
}

/// A conversation over memory with a server that counts no errors.
pub fn converse(packets: &[&[u8]], line_ends: LineEnds) -> Outcome {
    let config = Config { smtputf8: true, line_ends, max_errors: 0, max_junk: 0, ..Config::default() };
    memory::converse(config, packets)
}

/// The replies in an upstream's lines up to one that is none, and how each would be said to a client.
pub fn parse_replies<'a>(lines: impl IntoIterator<Item = &'a [u8]>) -> Vec<(Reply, Vec<u8>)> {
    let mut parser = Parser::default();
    let mut replies = Vec::new();
    for line in lines {
        match parser.line(line) {
            Ok(Some(reply)) => {
                let mut said = Vec::new();
                reply.clone().passed_on().render(&mut said);
                replies.push((reply, said));
            }
            Ok(None) => {}
            Err(_) => break,
        }
    }
    replies
}

/// How many octets of a PROXY header are there, `None` if more have to come or it is none.
pub fn parse_proxy_header(octets: &[u8]) -> Option<usize> {
    match crate::syntax::proxy_protocol::parse(octets) {
        crate::syntax::proxy_protocol::Header::Complete(length, ..) => Some(length),
        _ => None,
    }
}

/// The server's side of an authentication: who it takes the client for, if for anybody.
#[cfg(feature = "auth")]
pub fn authenticate(
    mechanism: crate::Mechanism,
    users: crate::Users,
    initial: Option<&[u8]>,
    responses: &[&[u8]],
) -> Option<String> {
    use crate::auth::{Exchange, Step};
    let mut exchange = Exchange::start(mechanism, std::sync::Arc::new(users));
    let context = crate::session::Context::of_nobody();
    let mut step = exchange.step(&context, initial);
    for response in responses {
        if !matches!(step, Step::Challenge(_)) {
            break;
        }
        step = exchange.step(&context, Some(response));
    }
    match step {
        Step::Done(Ok(identity)) => Some(identity),
        _ => None,
    }
}

/// The client's side: its answers to a server's challenges, and whether it would believe that it is logged in.
#[cfg(feature = "auth")]
pub fn log_in(offered: &str, challenges: &[&[u8]]) -> (Vec<Vec<u8>>, bool) {
    use crate::auth::{ClientExchange, Credentials};
    let credentials = Credentials::new("bob", "open sesame");
    let Some(mut exchange) = ClientExchange::choose(offered, true, &credentials) else { return (Vec::new(), false) };
    let mut answers: Vec<Vec<u8>> = Vec::new();
    answers.extend(exchange.initial().ok().flatten().map(|answer| answer.to_vec()));
    for challenge in challenges {
        match exchange.answer(challenge) {
            Ok(answer) => answers.push(answer.to_vec()),
            Err(_) => return (answers, false),
        }
    }
    (answers, exchange.is_done())
}
