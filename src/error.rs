//! Why a server could not start.

use std::fmt::{self, Display, Formatter};
use std::io;

/// Why a server could not start.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// An address to listen on could not be made sense of, or its host name could not be resolved.
    Resolve {
        /// The address as it was given.
        address: String,
        /// What was wrong with it.
        source: io::Error,
    },
    /// An address could not be listened on: it is taken, not of this machine, or not allowed.
    Bind {
        /// The address.
        address: String,
        /// What the system said.
        source: io::Error,
    },
    /// Settings that cannot be true together, or a value out of range; the text says which.
    Setting(&'static str),
    /// A thread could not be started.
    Thread(io::Error),
}

impl Display for Error {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Error::Resolve { address, source } => write!(f, "cannot resolve {address}: {source}"),
            Error::Bind { address, source } => write!(f, "cannot listen on {address}: {source}"),
            Error::Setting(what) => write!(f, "bad setting: {what}"),
            Error::Thread(source) => write!(f, "cannot start a thread: {source}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Resolve { source, .. } | Error::Bind { source, .. } | Error::Thread(source) => Some(source),
            Error::Setting(_) => None,
        }
    }
}
