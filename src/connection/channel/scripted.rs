//! What a connection knows of the script of a server's faults.

use std::time::Duration;

use crate::faults::{Faults, Foreseen, Moment};
use crate::io::tls::Tls;

/// A connection's part in the script of a server's faults.
pub(super) struct Scripted {
    pub faults: Faults,
    // The number of the transaction on the server.
    pub message: u64,
    // What is known of the acceptance of the message that was handed on.
    pub foreseen: Option<Foreseen>,
    pub manner: Option<Manner>,
}

/// How the next reply goes out.
#[derive(Default)]
pub(super) struct Manner {
    // Sent instead of the reply.
    pub octets: Option<Vec<u8>>,
    pub without: Vec<String>,
    pub drip: Option<Duration>,
    pub end: Option<(Moment, End)>,
    pub certificate: Option<Tls>,
}

/// How a connection ends.
#[derive(Clone, Copy)]
pub(super) enum End {
    Close,
    Reset,
}

impl Scripted {
    pub fn new(faults: Faults) -> Scripted {
        Scripted { faults, message: 0, foreseen: None, manner: None }
    }

    pub fn manner(&mut self) -> &mut Manner {
        self.manner.get_or_insert_default()
    }
}
