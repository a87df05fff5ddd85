//! The ends of a connection.

use std::fmt::{self, Display, Formatter};
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;

use crate::syntax::escaped::Escaped;
use crate::syntax::network::Network;

/// In octets, what the paths of Unix sockets have at most on any system.
const MAX_PATH: usize = 108;

/// One end of a connection.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Endpoint {
    /// An IP address and a port.
    Tcp(SocketAddr),
    /// A Unix socket; clients' ends usually have no path.
    Unix(Option<Arc<Path>>),
    /// An end that a proxy does not name: the client of a PROXY header that is `UNKNOWN`, `UNSPEC`, `AF_UNIX` or `LOCAL`
    /// ([`proxy_protocol`](crate::Builder::proxy_protocol)), and whatever XCLIENT says is unavailable
    /// ([`xclient`](crate::Builder::xclient)). It is on no list of networks, and not on this machine.
    Unknown,
}

impl Endpoint {
    /// An end as a proxy names it. The unspecified address, which is nobody's, names nobody.
    pub(crate) fn named(address: SocketAddr) -> Endpoint {
        if address.ip().to_canonical().is_unspecified() { Endpoint::Unknown } else { Endpoint::Tcp(address) }
    }

    /// The IP address, if it has one.
    pub fn ip(&self) -> Option<IpAddr> {
        self.socket_addr().map(|addr| addr.ip())
    }

    /// The IP address and port, if it has them.
    pub fn socket_addr(&self) -> Option<SocketAddr> {
        match self {
            Endpoint::Tcp(addr) => Some(*addr),
            Endpoint::Unix(_) | Endpoint::Unknown => None,
        }
    }

    /// Whether the other end is on this machine: a loopback address or a Unix socket.
    pub fn is_loopback(&self) -> bool {
        match self {
            Endpoint::Tcp(addr) => addr.ip().to_canonical().is_loopback(),
            Endpoint::Unix(_) => true,
            Endpoint::Unknown => false,
        }
    }

    /// Whether it is an address of one of these networks.
    pub(crate) fn is_in(&self, networks: &[Network]) -> bool {
        self.ip().is_some_and(|ip| networks.iter().any(|network| network.contains(ip)))
    }
}

impl Display for Endpoint {
    /// `127.0.0.1:25`, `[::1]:25`, `unix:/run/mail.sock`, `unix:` for an end without a name, or `unknown`.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Endpoint::Tcp(addr) => Display::fmt(addr, f),
            Endpoint::Unix(Some(path)) => write!(f, "unix:{}", Escaped::new(path.as_os_str().as_encoded_bytes())),
            Endpoint::Unix(None) => f.write_str("unix:"),
            Endpoint::Unknown => f.write_str("unknown"),
        }
    }
}

impl FromStr for Endpoint {
    type Err = EndpointError;

    /// Parses what [`Display`] writes. Of a path this is true if it is UTF-8 without control characters: others are displayed
    /// [`Escaped`], which cannot be undone. The flow label of an IPv6 address is not displayed.
    ///
    /// ```
    /// use pillarbox::Endpoint;
    ///
    /// let peer: Endpoint = "[2001:db8::1]:40212".parse()?;
    /// assert_eq!(peer.to_string(), "[2001:db8::1]:40212");
    /// assert_eq!("unix:".parse(), Ok(Endpoint::Unix(None)));
    /// assert!("mx.example:25".parse::<Endpoint>().is_err());
    /// # Ok::<(), pillarbox::EndpointError>(())
    /// ```
    fn from_str(text: &str) -> Result<Endpoint, EndpointError> {
        if text.chars().any(char::is_control) {
            return Err(EndpointError(()));
        }
        Endpoint::from_octets(text.as_bytes())
    }
}

impl Endpoint {
    /// This as an octet string, in which a path is as it is on the system.
    #[cfg(feature = "redis")]
    pub(crate) fn to_octets(&self) -> Vec<u8> {
        match self {
            Endpoint::Unix(Some(path)) => [b"unix:", path.as_os_str().as_encoded_bytes()].concat(),
            other => other.to_string().into_bytes(),
        }
    }

    /// The endpoint of such an octet string.
    pub(crate) fn from_octets(octets: &[u8]) -> Result<Endpoint, EndpointError> {
        let endpoint = match octets.strip_prefix(b"unix:") {
            Some(b"") => Some(Endpoint::Unix(None)),
            Some(path) if path.len() > MAX_PATH || path.contains(&0) => None,
            Some(path) => to_path(path).map(|path| Endpoint::Unix(Some(path))),
            None if octets == b"unknown" => Some(Endpoint::Unknown),
            None => str::from_utf8(octets).ok().and_then(|text| text.parse().ok()).map(Endpoint::Tcp),
        };
        endpoint.ok_or(EndpointError(()))
    }
}

#[cfg(unix)]
fn to_path(octets: &[u8]) -> Option<Arc<Path>> {
    use std::os::unix::ffi::OsStrExt;
    Some(Path::new(std::ffi::OsStr::from_bytes(octets)).into())
}

#[cfg(not(unix))]
fn to_path(octets: &[u8]) -> Option<Arc<Path>> {
    str::from_utf8(octets).ok().map(|path| Path::new(path).into())
}

/// The text is not an [`Endpoint`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EndpointError(());

impl Display for EndpointError {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("expected an IP address with a port, unix: with a path, or unknown")
    }
}

impl std::error::Error for EndpointError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp(address: &str) -> Endpoint {
        Endpoint::Tcp(address.parse().unwrap())
    }

    #[test]
    fn who_is_on_this_machine() {
        let everybody = ["0.0.0.0/0".parse().unwrap(), "::/0".parse().unwrap()];
        for (endpoint, is_here, is_somebody) in [
            (tcp("127.0.0.2:9"), true, true),
            (tcp("[::1]:9"), true, true),
            (tcp("[::ffff:127.0.0.1]:9"), true, true),
            (tcp("192.0.2.1:9"), false, true),
            (Endpoint::Unix(None), true, false),
            (Endpoint::Unknown, false, false),
            (Endpoint::named("0.0.0.0:9".parse().unwrap()), false, false),
            (Endpoint::named("[::]:9".parse().unwrap()), false, false),
            (Endpoint::named("[::ffff:0.0.0.0]:9".parse().unwrap()), false, false),
        ] {
            assert_eq!((endpoint.is_loopback(), endpoint.is_in(&everybody)), (is_here, is_somebody), "{endpoint}");
        }
    }

    #[test]
    fn what_is_displayed_is_parsed() {
        for text in [
            "192.0.2.1:40212",
            "[2001:db8::1]:25",
            "[fe80::1%3]:9",
            "0.0.0.0:0",
            "unix:",
            "unix:/run/a b\u{fc}",
            "unknown",
        ] {
            assert_eq!(text.parse::<Endpoint>().map(|endpoint| endpoint.to_string()), Ok(text.to_owned()));
        }
        let long = format!("unix:/{}", "a".repeat(MAX_PATH));
        for text in [
            "",
            "192.0.2.1",
            "192.0.2.1:+25",
            "2001:db8::1:25",
            "mx.example:25",
            "UNKNOWN",
            "unix:/a\0",
            "unix:/a\n",
            &long,
        ] {
            assert_eq!(text.parse::<Endpoint>(), Err(EndpointError(())), "{text:?}");
        }
    }
}
