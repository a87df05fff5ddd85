//! Clients that speak before the server has: they are served, and the log has a line.

use crate::support::client;
use crate::support::client::Client;
use crate::support::logged;
use pillarbox::{Endpoint, Listener, Server, handlers::Sink};

#[test]
fn they_are_served_and_logged() {
    logged::listen(log::LevelFilter::Info);
    let listener = Listener::from("127.0.0.1:0").bind().expect("a free port");
    let Some(Endpoint::Tcp(address)) = listener.local().cloned() else { panic!("a TCP socket") };
    // They are there before the server is, so that the first has spoken for certain.
    let mut early = Client::raw(address);
    early.send("EHLO client.example\r\n");
    let mut patient = Client::raw(address);
    // It says nothing at all.
    let silent = Client::raw(address);
    let others = [patient.local_addr(), silent.local_addr()];
    drop(silent);
    let server = Server::builder().serve(listener, Sink).expect("it is bound");
    early.expect_reply("220 ");
    early.expect_reply("250");
    patient.expect_reply("220 ");
    patient.expect("EHLO client.example", "250");
    assert!(server.shutdown(client::PATIENCE).joined);
    let line = format!("{} did not wait for the banner", early.local_addr());
    assert_eq!(logged::lines(&line), [format!("INFO [1] {line}")]);
    for other in others {
        assert!(logged::lines(&format!("{other} did not wait for the banner")).is_empty());
    }
}
