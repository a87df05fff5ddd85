//! Why a server could not start.

use std::fmt::{self, Display, Formatter};
use std::io::{self, ErrorKind};

/// Why a server could not start.
///
/// It displays what failed, and its [`source`](std::error::Error::source) says why. [`hint`](Error::hint) says what to do
/// about the usual causes.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// An address to listen on is invalid.
    Address {
        /// The text.
        address: String,
        /// What is wrong with it.
        problem: AddressProblem,
    },
    /// The host name of an address to listen on could not be resolved.
    Resolve {
        /// The address as it was given.
        address: String,
        /// What the resolver said.
        source: io::Error,
    },
    /// An address could not be listened on: it is in use, not of this machine, or not permitted.
    Bind {
        /// The address.
        address: String,
        /// What the system said.
        source: io::Error,
    },
    /// Settings exclude each other, or a value is out of range.
    Setting(SettingError),
    /// A thread could not be started.
    Thread(io::Error),
}

/// What is wrong with an address to listen on: see [`Error::Address`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum AddressProblem {
    /// No port follows the host.
    NoPort,
    /// The port is not a number from 0 to 65535.
    BadPort,
    /// No host precedes the port.
    NoHost,
    /// An IPv6 address has no square brackets, so that it is unclear where the port begins.
    NoBrackets,
    /// The text in square brackets is not an IPv6 address.
    BadLiteral,
}

impl Display for AddressProblem {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            AddressProblem::NoPort => "no port, as in localhost:8025 or [::1]:8025",
            AddressProblem::BadPort => "bad port: it must be a number from 0 to 65535",
            AddressProblem::NoHost => "no host before the port, as in 0.0.0.0:8025 or [::]:8025",
            AddressProblem::NoBrackets => "an IPv6 address needs square brackets, as in [::1]:8025",
            AddressProblem::BadLiteral => "no IPv6 address in the square brackets",
        })
    }
}

/// Which setting cannot be: see [`Error::Setting`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum SettingError {
    /// [`hostname`](crate::Builder::hostname) is neither a domain nor an address literal.
    Hostname,
    /// A timeout is below a millisecond.
    Timeout,
    /// [`max_connections`](crate::Builder::max_connections), or its limit for an address or a network, is 0.
    MaxConnections,
    /// A rate allows nothing, or its time is 0.
    Rate,
    /// [`max_recipients`](crate::Builder::max_recipients) is 0.
    MaxRecipients,
    /// [`max_errors`](crate::Builder::max_errors) is 0.
    MaxErrors,
    /// [`max_junk`](crate::Builder::max_junk) is 0.
    MaxJunk,
    /// `max_auth_failures` is 0.
    MaxAuthFailures,
    /// [`spool_folder`](crate::Builder::spool_folder) is no folder.
    SpoolFolder,
    /// An [`extension`](crate::Builder::extension) cannot be offered: [`Extension`](crate::Extension) says what it must keep to.
    Extension,
    /// [`decode_data`](crate::Builder::decode_data) and [`smtputf8`](crate::Builder::smtputf8) are both set.
    DecodeDataWithSmtputf8,
    /// [`require_tls`](crate::Builder::require_tls) is set for a listener that has no certificate, neither its own nor
    /// the [server's](crate::Builder::tls).
    RequireTlsWithoutTls,
    /// A listener is of [implicit TLS](crate::Listener::implicit_tls) and has no certificate, neither its own nor the
    /// [server's](crate::Builder::tls).
    ImplicitTlsWithoutTls,
    /// A `sasl_mechanism` has an invalid name, or one that another has too.
    SaslMechanism,
    /// `require_auth` is set without an authenticator, a `sasl_mechanism` or a session that could authenticate clients.
    RequireAuthWithoutAuthenticator,
    /// `offer_auth` is true for a listener, and the server has neither an authenticator nor a `sasl_mechanism`.
    OfferAuthWithoutAuthenticator,
    /// `require_auth` is set for a listener whose `offer_auth` is false, and there is no session that could authenticate
    /// clients.
    RequireAuthWithoutOffer,
    /// [`consumers`](crate::Builder::consumers) is 0.
    Consumers,
    /// [`consumers`](crate::Builder::consumers) is not 1, and the server was started with a single handler.
    ConsumersNeedServeWith,
    /// [`inbox_capacity`](crate::Builder::inbox_capacity) is 0.
    InboxCapacity,
    /// A [mode](crate::Listener::mode) has more than permission bits.
    SocketMode,
    /// A [mode](crate::Listener::mode) is set for a listener that makes no Unix socket.
    SocketModeWithoutPath,
}

impl Display for SettingError {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SettingError::Hostname => "hostname must be a domain or an address literal",
            SettingError::Timeout => "a timeout must be at least a millisecond",
            SettingError::MaxConnections => "max_connections must be at least 1",
            SettingError::Rate => "a rate must be at least 1 in a time above 0",
            SettingError::MaxRecipients => "max_recipients must be at least 1",
            SettingError::MaxErrors => "max_errors must be at least 1; None is no limit",
            SettingError::MaxJunk => "max_junk must be at least 1; None is no limit",
            SettingError::MaxAuthFailures => "max_auth_failures must be at least 1; None is no limit",
            SettingError::SpoolFolder => "spool_folder must be a folder that is there",
            SettingError::Extension => {
                "an extension needs keywords of letters, digits and hyphens that nobody else has, an argument in printable ASCII, \
                 and parameters of at most 10240 octets"
            }
            SettingError::DecodeDataWithSmtputf8 => "decode_data and smtputf8 exclude each other",
            SettingError::RequireTlsWithoutTls => "require_tls needs tls",
            SettingError::ImplicitTlsWithoutTls => "a listener of implicit TLS needs tls",
            SettingError::SaslMechanism => {
                "a sasl_mechanism needs a name of its own, of at most 20 capitals, digits, hyphens and underscores"
            }
            SettingError::RequireAuthWithoutAuthenticator => "require_auth needs an authenticator",
            SettingError::OfferAuthWithoutAuthenticator => "offer_auth needs an authenticator",
            SettingError::RequireAuthWithoutOffer => {
                "a listener with require_auth must offer it: set require_auth(false) or offer_auth(true) there"
            }
            SettingError::Consumers => "consumers must be at least 1",
            SettingError::ConsumersNeedServeWith => {
                "consumers other than 1 need serve_with, which makes a handler for each"
            }
            SettingError::InboxCapacity => "an inbox needs an inbox_capacity of at least 1",
            SettingError::SocketMode => "a socket's mode has permission bits alone: at most 0o777",
            SettingError::SocketModeWithoutPath => "only a Unix socket that is made here can be given a mode",
        })
    }
}

impl Error {
    /// What to do about it, in a few words, if the cause is one of the usual ones.
    ///
    /// ```
    /// let taken = std::net::TcpListener::bind("127.0.0.1:0")?;
    /// let error = pillarbox::Server::builder().inbox(taken.local_addr()?).unwrap_err();
    /// assert_eq!(error.hint(), Some("another server is there: stop it, or choose another port"));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn hint(&self) -> Option<&'static str> {
        let Error::Bind { address, source } = self else { return None };
        Some(match (source.kind(), address.starts_with("unix:")) {
            (ErrorKind::AddrInUse, false) => "another server is there: stop it, or choose another port",
            (ErrorKind::AddrInUse, true) => "something else is there: remove it, or choose another path",
            (ErrorKind::PermissionDenied, false) => {
                "ports below 1024 are root's: choose another port, or start it as root"
            }
            (ErrorKind::PermissionDenied, true) => "choose a path in a folder that you may write to",
            (ErrorKind::NotFound, true) => "make the folder first, or choose another path",
            (ErrorKind::AddrNotAvailable, _) => "choose an address of this machine",
            _ => return None,
        })
    }
}

impl Display for Error {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Error::Address { address, problem } => write!(f, "bad address {address:?}: {problem}"),
            Error::Resolve { address, .. } => write!(f, "cannot resolve {address}"),
            Error::Bind { address, .. } => write!(f, "cannot listen on {address}"),
            Error::Setting(what) => write!(f, "bad setting: {what}"),
            Error::Thread(_) => f.write_str("cannot start a thread"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Resolve { source, .. } | Error::Bind { source, .. } | Error::Thread(source) => Some(source),
            Error::Address { .. } | Error::Setting(_) => None,
        }
    }
}
