//! Where a server is, and how its socket is reached.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
#[cfg(unix)]
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use socket2::{Domain, SockAddr, Socket, Type};

use super::resolver::Resolver;

/// A server's address.
#[derive(Clone, Debug)]
pub(crate) enum Target {
    Name(String, u16),
    Address(SocketAddr),
    #[cfg(unix)]
    Path(PathBuf),
}

impl Target {
    /// A connected socket, by the deadline.
    pub fn connect(&self, resolver: &Arc<Resolver>, deadline: Instant) -> io::Result<Socket> {
        let addresses: Vec<SocketAddr> = match self {
            Target::Name(host, port) => resolver.look_up(host, *port, deadline)?,
            Target::Address(address) => vec![*address],
            #[cfg(unix)]
            Target::Path(path) => {
                let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
                socket.connect_timeout(&SockAddr::unix(path)?, left(deadline, 1)?)?;
                return Ok(socket);
            }
        };
        let mut last = io::Error::new(ErrorKind::NotFound, "no address");
        for (tried, address) in addresses.iter().enumerate() {
            // Each gets its share, so that one that never answers leaves time for the others.
            let share = left(deadline, addresses.len() - tried)?;
            let socket = Socket::new(Domain::for_address(*address), Type::STREAM, None)?;
            match socket.connect_timeout(&SockAddr::from(*address), share) {
                Ok(()) => {
                    socket.set_tcp_nodelay(true)?;
                    return Ok(socket);
                }
                Err(e) => last = e,
            }
        }
        Err(last)
    }
}

/// What is left until the deadline for each among some.
fn left(deadline: Instant, among: usize) -> io::Result<Duration> {
    let share = deadline.saturating_duration_since(Instant::now()) / u32::try_from(among).unwrap_or(u32::MAX);
    if share.is_zero() { Err(ErrorKind::TimedOut.into()) } else { Ok(share) }
}
