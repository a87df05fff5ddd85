//! How a server ends: nobody waits who need not, and nothing is lost that was accepted.

use std::thread;
use std::time::Duration;

use crate::support::client::{Client, PATIENCE};
use pillarbox::crossbeam_channel::bounded;
use pillarbox::{Envelope, Server};

#[test]
fn clients_between_commands_are_told_at_once() {
    let inbox = Server::builder().inbox("127.0.0.1:0").expect("a free port");
    let mut silent = Client::connect(inbox.local_addr());
    let mut half = Client::ehlo(inbox.local_addr());
    half.send("MAIL FR");
    let mut within = Client::envelope(inbox.local_addr());
    // Were it to wait for any of them, the test would take an hour.
    let report = inbox.server().shutdown(Duration::from_secs(3600));
    assert_eq!((report.cut, report.joined), (0, true));
    for client in [&mut silent, &mut half, &mut within] {
        client.expect_reply("421 4.3.2");
        client.expect_close();
    }
    assert!(std::net::TcpStream::connect(inbox.local_addr()).is_err());
}

#[test]
fn a_refused_chunk_is_not_waited_for() {
    let inbox = Server::builder().inbox("127.0.0.1:0").expect("a free port");
    let mut client = Client::ehlo(inbox.local_addr());
    client.send("NOOP\r\nBDAT 100 LAST\r\nhalf");
    // It goes out when the rest of the chunk is waited for.
    client.expect_reply("250");
    let report = inbox.server().shutdown(Duration::from_secs(3600));
    assert_eq!((report.cut, report.joined), (0, true));
    client.expect_reply("421 4.3.2");
    client.expect_close();
}

#[test]
fn who_was_told_to_send_may_finish() {
    let inbox = Server::builder().inbox("127.0.0.1:0").expect("a free port");
    let mut data = Client::envelope(inbox.local_addr());
    data.expect("DATA", "354");
    let mut chunks = Client::envelope(inbox.local_addr());
    chunks.send("BDAT 2\r\nhi");
    chunks.expect_reply("250");
    let mut idle = Client::connect(inbox.local_addr());
    let handle = inbox.server().handle();
    let stop = thread::spawn(move || handle.shutdown(Duration::from_secs(3600)));
    // That this one is told shows that the shutdown has begun.
    idle.expect_reply("421 4.3.2");
    data.expect("the rest\r\n.", "250 2.0.0 OK");
    data.expect_reply("421 4.3.2");
    data.expect_close();
    chunks.send("BDAT 2\r\n, ");
    chunks.expect_reply("250 2.0.0 2 octets");
    chunks.send("BDAT 3 LAST\r\nyou");
    chunks.expect_reply("250 2.0.0 OK");
    chunks.expect_reply("421 4.3.2");
    let report = stop.join().unwrap();
    assert_eq!((report.cut, report.joined), (0, true));
    assert_eq!(inbox.len(), 2);
}

#[test]
fn past_the_grace_time_the_rest_is_cut_and_counted() {
    let inbox = Server::builder().inbox("127.0.0.1:0").expect("a free port");
    let mut clients: Vec<Client> = (0..3).map(|_| Client::envelope(inbox.local_addr())).collect();
    for client in &mut clients {
        client.expect("DATA", "354");
        client.send("half of it\r\n");
    }
    let report = inbox.server().shutdown(Duration::ZERO);
    assert_eq!((report.cut, report.joined), (3, true));
    for client in &mut clients {
        client.expect_reply("421 4.3.2");
        client.expect_close();
    }
    assert!(inbox.is_empty());
    assert_eq!(inbox.server().shutdown(Duration::ZERO), report);
}

#[test]
fn a_stuck_handler_is_not_waited_for() {
    let (started, starts) = bounded(1);
    let (release, gate) = bounded::<()>(0);
    let handler = move |_: Envelope| {
        started.send(()).unwrap();
        assert!(gate.recv().is_err());
    };
    let server = Server::builder().serve("127.0.0.1:0", handler).expect("a free port");
    let mut client = Client::envelope(server.local_addr());
    client.expect("DATA", "354");
    client.send(".\r\n");
    starts.recv_timeout(PATIENCE).unwrap();
    let report = server.shutdown(Duration::from_millis(10));
    assert_eq!((report.cut, report.joined), (1, false));
    client.expect_reply("421 4.3.2");
    drop(release);
}

#[test]
fn a_handler_may_finish_what_it_has() {
    let (started, starts) = bounded(1);
    let (release, gate) = bounded::<()>(0);
    let handler = move |_: Envelope| {
        started.send(()).unwrap();
        gate.recv().unwrap();
    };
    let server = Server::builder().serve("127.0.0.1:0", handler).expect("a free port");
    let mut client = Client::envelope(server.local_addr());
    client.expect("DATA", "354");
    client.send(".\r\n");
    starts.recv_timeout(PATIENCE).unwrap();
    let mut idle = Client::connect(server.local_addr());
    let handle = server.handle();
    let stop = thread::spawn(move || handle.shutdown(Duration::from_secs(3600)));
    idle.expect_reply("421 4.3.2");
    release.send_timeout((), PATIENCE).unwrap();
    client.expect_reply("250 2.0.0 OK");
    client.expect_reply("421 4.3.2");
    assert!(stop.join().unwrap().joined);
}

#[test]
fn join_waits_for_a_handles_shutdown() {
    let server = Server::builder().serve("127.0.0.1:0", pillarbox::handlers::Sink).expect("a free port");
    let handle = server.handle();
    let joined = thread::spawn(move || server.join());
    let report = handle.shutdown(PATIENCE);
    assert_eq!(joined.join().unwrap(), report);
}

#[test]
fn the_port_is_free_again_at_once() {
    let inbox = Server::builder().inbox("127.0.0.1:0").expect("a free port");
    let address = inbox.local_addr();
    let mut client = Client::envelope(address);
    client.expect("DATA", "354");
    drop(inbox);
    client.expect_reply("421 4.3.2");
    drop(Server::builder().inbox(address).expect("the port is free"));
}

#[test]
fn the_deliveries_end_with_the_server() {
    let (server, deliveries) = Server::builder().deliveries("127.0.0.1:0").expect("a free port");
    let loop_of_its_own = thread::spawn(move || deliveries.iter().map(|delivery| delivery.accept()).count());
    let mut client = Client::envelope(server.local_addr());
    client.expect("DATA", "354");
    client.expect(".", "250");
    drop(server);
    assert_eq!(loop_of_its_own.join().unwrap(), 1);
}
