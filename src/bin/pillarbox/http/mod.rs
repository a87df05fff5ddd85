//! A small HTTP server: for the web inbox, and for those who watch a server.

use std::io;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};

pub mod accept_loop;
pub mod clients;
pub mod connection;
pub mod memory;
pub mod request;
pub mod response;

/// The addresses of a place, IPv4 before IPv6.
///
/// # Errors
/// If its name has none.
pub fn addresses(place: &str) -> io::Result<Vec<SocketAddr>> {
    let mut addresses: Vec<SocketAddr> = place.to_socket_addrs()?.collect();
    addresses.sort_by_key(SocketAddr::is_ipv6);
    Ok(addresses)
}

/// Binds the first of the place's addresses that this machine has.
///
/// # Errors
/// If it has none of them, or they are in use.
pub fn bind(place: &str) -> io::Result<TcpListener> {
    TcpListener::bind(&addresses(place)?[..])
}
