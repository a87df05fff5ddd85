//! Whom relays serve, whom proxies speak for, and what comes out of a queue.

use crate::support::client;
#[cfg(feature = "cli")]
use crate::support::command;

mod frames;
mod peers;
#[cfg(feature = "redis")]
mod redis;
mod routes;
mod upstream;

use std::net::SocketAddr;

use client::Client;

/// Somebody far away, for whom a proxy on this machine speaks.
const STRANGER: &str = "PROXY TCP4 203.0.113.9 127.0.0.1 40000 25\r\n";

/// A client behind that proxy, past EHLO.
fn behind_proxy(server: SocketAddr, header: impl AsRef<[u8]>) -> Client {
    let mut client = Client::raw(server);
    client.send(header);
    client.expect_reply("220 ");
    client.expect("EHLO client.example", "250");
    client
}
