//! Servers of which nearly all connections are in use: clients have to hurry.

use std::io::{ErrorKind, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use crate::support::client::{Client, PATIENCE};
use crate::support::logged;
#[cfg(feature = "tls")]
use crate::support::tls;
use pillarbox::{Builder, Inbox, Server};
use socket2::{Domain, Socket, Type};

fn inbox(builder: Builder) -> Inbox {
    builder.inbox("127.0.0.1:0").expect("a free port")
}

/// A client that sends and does not read, up to where the server has waited for it for `time`.
fn deaf(inbox: &Inbox, time: Duration) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    // Little fits between the two.
    socket.set_recv_buffer_size(4096).unwrap();
    socket.connect(&inbox.local_addr().into()).unwrap();
    let mut stream = TcpStream::from(socket);
    stream.set_write_timeout(Some(time)).unwrap();
    let lines = "HELP\r\n".repeat(1000);
    loop {
        match stream.write(lines.as_bytes()) {
            Ok(_) => {}
            Err(e) if e.kind() == ErrorKind::WouldBlock => return stream,
            Err(e) => panic!("it is not waited for: {e}"),
        }
    }
}

#[test]
fn whoever_waits_too_long_is_sent_away_when_places_run_out() {
    const TIMEOUT: Duration = Duration::from_millis(200);
    let inbox = inbox(Server::builder().max_connections(20).stress_timeout(TIMEOUT).max_junk(None));
    let mut idle: Vec<Client> = (0..15).map(|_| Client::connect(inbox.local_addr())).collect();
    let mut halfway = Client::connect(inbox.local_addr());
    halfway.send("NOO");
    let mut within = Client::envelope(inbox.local_addr());
    within.expect("DATA", "354");
    let mut deaf = deaf(&inbox, TIMEOUT);
    // Nine tenths are taken: everybody has their time.
    let begun = Instant::now();
    while begun.elapsed() < TIMEOUT {
        thread::park_timeout(TIMEOUT);
    }
    assert_eq!(inbox.server().stats().open_connections, 18);
    let mut next = Client::raw(inbox.local_addr());
    next.expect_reply("220 ");
    for client in idle.iter_mut().chain([&mut halfway]) {
        client.expect_reply("421 4.4.2");
        client.expect_close();
    }
    // It may have begun to wait only a moment ago; whoever needs its place has it sent away.
    while deaf.write(b"HELP\r\n").is_err_and(|e| e.kind() == ErrorKind::WouldBlock) {
        assert!(begun.elapsed() < PATIENCE, "it is waited for");
        Client::raw(inbox.local_addr());
    }
    // Whoever sends a message is none of them.
    within.expect("x\r\n.", "250");
}

#[cfg(feature = "tls")]
#[test]
fn a_handshake_is_waited_for_no_longer_than_a_command() {
    const TIMEOUT: Duration = Duration::from_millis(200);
    let inbox = Server::builder()
        .tls(tls::Certificate::new().tls())
        .listen(pillarbox::Listener::from("127.0.0.1:0").implicit_tls())
        .max_connections(3)
        .stress_timeout(TIMEOUT)
        .inbox("127.0.0.1:0")
        .expect("free ports");
    let smtps = inbox.server().local_endpoints()[1].socket_addr().expect("a TCP socket");
    let mut silent = Client::raw(smtps);
    let mut halfway = Client::ehlo(inbox.local_addr());
    halfway.expect("STARTTLS", "220 2.0.0");
    let both_end = thread::spawn(move || [&mut silent, &mut halfway].into_iter().for_each(Client::expect_close));
    // Somebody who needs a place comes again and again: the first may be there before their time is over.
    while !both_end.is_finished() {
        Client::raw(inbox.local_addr());
        thread::park_timeout(TIMEOUT / 4);
    }
    both_end.join().expect("nobody is waited for");
}

#[test]
fn time_is_short() {
    let inbox = inbox(Server::builder().max_connections(2).stress_timeout(Duration::from_millis(200)));
    let mut clients = [Client::raw(inbox.local_addr()), Client::raw(inbox.local_addr())];
    clients[1].expect_reply("220 ");
    clients[1].expect_reply("421 4.4.2");
    clients[1].expect_close();
}

#[test]
fn few_errors_and_little_junk() {
    let inbox = inbox(Server::builder().max_connections(2).max_errors(None));
    let mut errs = Client::connect(inbox.local_addr());
    for _ in 0..5 {
        errs.expect("NONSENSE", "500");
    }
    assert!(!inbox.server().stats().is_under_stress);
    let mut idles = Client::connect(inbox.local_addr());
    assert!(inbox.server().stats().is_under_stress);
    // Not for what was before, but for the next.
    errs.expect("EHLO client.example", "250");
    errs.begin();
    errs.expect("NONSENSE", "500");
    errs.expect_reply("421 4.7.0");
    errs.expect_close();
    // Beyond ten each is an error.
    for _ in 0..10 + 3 {
        idles.expect("NOOP", "250");
    }
    idles.expect_reply("421 4.7.0");
    idles.expect_close();
}

#[test]
fn none_if_that_is_so_set() {
    let inbox = inbox(Server::builder().max_connections(1).stress_timeout(None));
    let mut client = Client::connect(inbox.local_addr());
    for _ in 0..4 {
        client.expect("NONSENSE", "500");
    }
    for _ in 0..12 {
        client.expect("NOOP", "250");
    }
}

#[test]
fn it_ends_after_some_calm_and_both_are_logged_once() {
    logged::listen(log::LevelFilter::Warn);
    let inbox = inbox(Server::builder().max_connections(7).stress_timeout(Duration::from_millis(50)));
    let clients: Vec<Client> = (0..7).map(|_| Client::connect(inbox.local_addr())).collect();
    drop(clients);
    // Four errors of one connection are too many until then.
    let deadline = Instant::now() + PATIENCE;
    loop {
        // Those before may still be on their way out, and several together would be stress again.
        inbox.wait_until_idle(PATIENCE).expect("all have gone");
        let mut client = Client::raw(inbox.local_addr());
        let is_served = client.reply().starts_with("220");
        if is_served && (0..4).all(|_| client.try_send("NONSENSE\r\n") && client.reply().starts_with("500")) {
            break;
        }
        assert!(Instant::now() < deadline, "stress does not end");
    }
    assert!(!inbox.server().stats().is_under_stress);
    let lines = logged::lines("of 7 connections");
    assert!(
        matches!(&lines[..], [begin, end] if begin.contains("stress: 7 of 7") && end.contains("stress is over")),
        "{lines:?}"
    );
}
