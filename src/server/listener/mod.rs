//! Listening sockets: bind and accept.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, ToSocketAddrs};
#[cfg(unix)]
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::sync::Arc;

use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use crate::envelope::Endpoint;
use crate::error::{AddressProblem, Error, SettingError};
use crate::syntax::number;

mod bound;
#[cfg(unix)]
mod path;
mod policy;
mod settings;
#[cfg(unix)]
mod unix;

use bound::{BACKLOG, ListeningSocket, Owned};
pub(crate) use bound::{Bound, reachable};
pub(crate) use policy::{Means, Policy};

/// Where to listen: an address, the path of a Unix socket, or an open listening socket.
///
/// You rarely need to name this type: text like `"localhost:8025"`, `"[::1]:25"` or `"unix:/run/mail.sock"`, a
/// [`SocketAddr`], a `(host, port)` pair, a [`PathBuf`] and std's listeners convert to it. Port 0 takes any free port:
/// see [`Server::local_addr`](crate::Server::local_addr).
///
/// For a host name, it listens on the first of the name's addresses that this machine has, IPv4 before IPv6.
///
/// A Unix socket is removed when the server ends, unless somebody else has replaced it. A socket on which nobody
/// listens any more is replaced. Anybody who may write to its folder can put another socket there, so let nobody else
/// write to it. [`mode`](Listener::mode) says who may connect.
///
/// A socket that was opened elsewhere, for example by systemd, is used as it is and set to blocking.
///
/// Each listener can have [a policy of its own](#a-policy-of-its-own), so that one server receives from other servers, from
/// users and from a local program:
///
/// ```
/// # #[cfg(all(feature = "testing-tls", feature = "auth", unix))] {
/// use pillarbox::{Envelope, Listener, Response, Server, Users};
///
/// # let (tls, users) = (pillarbox::testing::Authority::new()?.server()?, Users::new().add("alice", "secret")?);
/// # let folder = tempfile::tempdir()?;
/// # let socket = folder.path().join("lmtp");
/// let server = Server::builder()
///     .tls(tls)
///     .authenticator(users)
///     .listen(Listener::from("127.0.0.1:0").name("submissions").implicit_tls().require_auth(true))
///     .listen(Listener::from("127.0.0.1:0").name("submission").require_tls(true).require_auth(true))
///     .listen(Listener::unix(&socket).name("lmtp").lmtp(true).mode(0o660).offer_auth(false))
///     .serve(Listener::from("127.0.0.1:0").name("smtp").offer_auth(false), |mail: Envelope| {
///         println!("{} by {}", mail.mail_from(), mail.protocol());
///     })?;
/// assert_eq!(server.local_endpoints().len(), 4);
/// # }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// A socket from elsewhere:
///
/// ```
/// let socket = std::net::TcpListener::bind("127.0.0.1:0")?;
/// let inbox = pillarbox::Server::builder().inbox(socket)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Listener {
    place: ListenAddress,
    mode: Option<u32>,
    reuse_port: bool,
    policy: Policy,
}

#[derive(Debug)]
enum ListenAddress {
    Name(String),
    Address(SocketAddr),
    #[cfg(unix)]
    Path(PathBuf),
    Bound(Bound),
}

impl From<ListenAddress> for Listener {
    fn from(place: ListenAddress) -> Listener {
        Listener { place, mode: None, reuse_port: false, policy: Policy::default() }
    }
}

impl Listener {
    /// A Unix socket at a path.
    #[cfg(unix)]
    pub fn unix(path: impl AsRef<std::path::Path>) -> Listener {
        ListenAddress::Path(path.as_ref().to_owned()).into()
    }

    /// The permissions of the Unix socket, such as `0o660`: those who may write to it may connect. They are set before
    /// anybody can connect. Default: `0o777` without the bits of the process's umask.
    ///
    /// For any other listener, or with more than permission bits, starting fails with [`Error::Setting`].
    #[cfg(unix)]
    pub fn mode(self, mode: u32) -> Listener {
        Listener { mode: Some(mode), ..self }
    }

    /// Whether it is bound with SO_REUSEPORT, so that several processes can share a port; for a Unix socket, or one from elsewhere,
    /// it means nothing. Default: what [`Builder::reuse_port`](crate::Builder::reuse_port) says, and for [`bind`](Listener::bind), which
    /// knows of no builder, false.
    pub fn reuse_port(self, reuse: bool) -> Listener {
        Listener { reuse_port: reuse, ..self }
    }

    /// Binds now rather than when the server starts, so that a program can give up its privileges in between.
    /// Connections wait until the server serves them.
    ///
    /// # Errors
    /// [`Error::Resolve`], [`Error::Bind`], and [`Error::Setting`] for an invalid [`mode`](Listener::mode).
    pub fn bind(self) -> Result<Listener, Error> {
        let (bound, policy) = self.into_bound(false)?;
        Ok(Listener { policy, ..ListenAddress::Bound(bound).into() })
    }

    /// The address or path, once it is bound.
    pub fn local(&self) -> Option<&Endpoint> {
        match &self.place {
            ListenAddress::Bound(bound) => Some(&bound.local),
            _ => None,
        }
    }

    pub(crate) fn policy(&self) -> &Policy {
        &self.policy
    }

    /// The socket, which is opened unless it is already, and what holds for its connections.
    pub(crate) fn into_bound(self, reuse_port: bool) -> Result<(Bound, Policy), Error> {
        self.check_mode().map_err(Error::Setting)?;
        let reuse_port = reuse_port || self.reuse_port;
        let bound = match self.place {
            ListenAddress::Name(name) => bind_name(&name, reuse_port),
            ListenAddress::Address(address) => {
                bind_tcp(address, reuse_port).map_err(|source| Error::Bind { address: address.to_string(), source })
            }
            #[cfg(unix)]
            ListenAddress::Path(path) => {
                let address = format!("unix:{}", path.display());
                unix::bind(path, self.mode).map_err(|source| Error::Bind { address, source })
            }
            ListenAddress::Bound(bound) => match bound.make_wait() {
                Ok(()) => Ok(bound),
                Err(source) => Err(Error::Bind { address: bound.local.to_string(), source }),
            },
        };
        Ok((bound?, self.policy))
    }

    fn check_mode(&self) -> Result<(), SettingError> {
        #[cfg(unix)]
        let has_path = matches!(self.place, ListenAddress::Path(_));
        #[cfg(not(unix))]
        let has_path = false;
        match self.mode {
            Some(mode) if mode > 0o777 => Err(SettingError::SocketMode),
            Some(_) if !has_path => Err(SettingError::SocketModeWithoutPath),
            _ => Ok(()),
        }
    }
}

impl From<&str> for Listener {
    fn from(name: &str) -> Listener {
        #[cfg(unix)]
        if let Some(path) = name.strip_prefix("unix:") {
            return ListenAddress::Path(path.into()).into();
        }
        match name.parse() {
            Ok(address) => ListenAddress::Address(address).into(),
            Err(_) => ListenAddress::Name(name.to_owned()).into(),
        }
    }
}

impl From<&String> for Listener {
    fn from(name: &String) -> Listener {
        Listener::from(name.as_str())
    }
}

impl From<String> for Listener {
    fn from(name: String) -> Listener {
        Listener::from(name.as_str())
    }
}

impl From<SocketAddr> for Listener {
    fn from(address: SocketAddr) -> Listener {
        ListenAddress::Address(address).into()
    }
}

impl From<(IpAddr, u16)> for Listener {
    fn from(address: (IpAddr, u16)) -> Listener {
        ListenAddress::Address(address.into()).into()
    }
}

impl From<(&str, u16)> for Listener {
    fn from((host, port): (&str, u16)) -> Listener {
        match host.parse::<IpAddr>() {
            Ok(ip) => Listener::from((ip, port)),
            Err(_) => ListenAddress::Name(format!("{host}:{port}")).into(),
        }
    }
}

#[cfg(unix)]
impl From<PathBuf> for Listener {
    fn from(path: PathBuf) -> Listener {
        ListenAddress::Path(path).into()
    }
}

#[cfg(unix)]
impl From<&std::path::Path> for Listener {
    fn from(path: &std::path::Path) -> Listener {
        ListenAddress::Path(path.to_owned()).into()
    }
}

impl From<TcpListener> for Listener {
    fn from(listener: TcpListener) -> Listener {
        let local = listener.local_addr().unwrap_or(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)));
        ListenAddress::Bound(Bound {
            socket: ListeningSocket::Tcp(listener),
            local: Endpoint::Tcp(local),
            owned: Owned::Nothing,
        })
        .into()
    }
}

#[cfg(unix)]
impl From<UnixListener> for Listener {
    fn from(listener: UnixListener) -> Listener {
        let path = listener.local_addr().ok().and_then(|addr| addr.as_pathname().map(Arc::from));
        ListenAddress::Bound(Bound {
            socket: ListeningSocket::Unix(listener),
            local: Endpoint::Unix(path),
            owned: Owned::Nothing,
        })
        .into()
    }
}

fn bind_name(name: &str, reuse_port: bool) -> Result<Bound, Error> {
    check_name(name).map_err(|problem| Error::Address { address: name.to_owned(), problem })?;
    let mut addresses: Vec<SocketAddr> =
        name.to_socket_addrs().map_err(|source| Error::Resolve { address: name.to_owned(), source })?.collect();
    // Most clients that are told a name and fail at IPv6 go on to IPv4, but not the other way round.
    addresses.sort_by_key(SocketAddr::is_ipv6);
    let mut last = io::Error::new(ErrorKind::NotFound, "the name has no address");
    for address in addresses {
        match bind_tcp(address, reuse_port) {
            Ok(bound) => return Ok(bound),
            // Only an address that this machine does not have is passed over: one that is taken must be told.
            Err(e) if e.kind() == ErrorKind::AddrNotAvailable || e.kind() == ErrorKind::Unsupported => last = e,
            Err(source) => {
                return Err(Error::Bind { address: address.to_string(), source });
            }
        }
    }
    Err(Error::Bind { address: name.to_owned(), source: last })
}

/// Says what is wrong with an address where the resolver would only say that something is.
fn check_name(name: &str) -> Result<(), AddressProblem> {
    if name.parse::<IpAddr>().is_ok_and(|ip| ip.is_ipv6()) {
        return Err(AddressProblem::NoBrackets);
    }
    let (host, port) = match name.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']').ok_or(AddressProblem::BadLiteral)?;
            host.parse::<Ipv6Addr>().map_err(|_| AddressProblem::BadLiteral)?;
            (host, port.strip_prefix(':'))
        }
        None => match name.rsplit_once(':') {
            Some((host, _)) if host.contains(':') => return Err(AddressProblem::NoBrackets),
            Some((host, port)) => (host, Some(port)),
            None => (name, None),
        },
    };
    let port = port.ok_or(AddressProblem::NoPort)?;
    if host.is_empty() {
        return Err(AddressProblem::NoHost);
    }
    number::parse::<u16>(port).map(drop).ok_or(AddressProblem::BadPort)
}

fn bind_tcp(address: SocketAddr, reuse_port: bool) -> io::Result<Bound> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // A restart must not wait for connections of before to time out. On Windows the option means something else.
    #[cfg(not(windows))]
    socket.set_reuse_address(true)?;
    #[cfg(all(unix, not(any(target_os = "solaris", target_os = "illumos", target_os = "cygwin"))))]
    if reuse_port {
        socket.set_reuse_port(true)?;
    }
    #[cfg(not(all(unix, not(any(target_os = "solaris", target_os = "illumos", target_os = "cygwin")))))]
    if reuse_port {
        return Err(ErrorKind::Unsupported.into());
    }
    socket.bind(&SockAddr::from(address))?;
    socket.listen(BACKLOG)?;
    let listener = TcpListener::from(socket);
    let local = Endpoint::Tcp(listener.local_addr()?);
    Ok(Bound { socket: ListeningSocket::Tcp(listener), local, owned: Owned::Socket })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_with_an_address() {
        for (name, problem) in [
            ("127.0.0.1", AddressProblem::NoPort),
            ("localhost", AddressProblem::NoPort),
            ("", AddressProblem::NoPort),
            ("[::1]", AddressProblem::NoPort),
            ("[::1]25", AddressProblem::NoPort),
            ("localhost:", AddressProblem::BadPort),
            ("localhost:smtp", AddressProblem::BadPort),
            ("127.0.0.1:+25", AddressProblem::BadPort),
            ("127.0.0.1:65536", AddressProblem::BadPort),
            ("[::1]:x", AddressProblem::BadPort),
            (":25", AddressProblem::NoHost),
            ("::1", AddressProblem::NoBrackets),
            ("2001:db8::1:25000", AddressProblem::NoBrackets),
            ("[localhost]:25", AddressProblem::BadLiteral),
            ("[::1", AddressProblem::BadLiteral),
        ] {
            assert_eq!(check_name(name), Err(problem), "{name:?}");
        }
        for name in ["localhost:0", "127.0.0.1:25", "mx_1.example:65535"] {
            assert_eq!(check_name(name), Ok(()), "{name:?}");
        }
    }
}
