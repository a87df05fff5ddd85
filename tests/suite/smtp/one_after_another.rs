//! A worker serves one connection after the other, and nothing of one is left for the next.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::support::client::{Client, PATIENCE};
use pillarbox::{Builder, Context, Reply, Server, Session};

/// A server with a single worker.
fn alone() -> Builder {
    Server::builder().max_connections(1)
}

/// A connection past EHLO, once the one before has ended.
fn next(server: SocketAddr) -> Client {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let mut client = Client::raw(server);
        let banner = client.reply();
        if banner.starts_with("220 ") {
            client.expect("EHLO client.example", "250");
            return client;
        }
        assert!(banner.starts_with("421 4.3.2 Too many connections"), "{banner}");
        assert!(Instant::now() < deadline);
    }
}

#[test]
fn what_a_client_leaves_unfinished() {
    let inbox = alone().inbox("127.0.0.1:0").expect("a free port");
    let begun = "MAIL FROM:<first@client.example>\r\nRCPT TO:<first@example.org>\r\n";
    for left in [
        "MAIL FR".to_owned(),
        "NOOP\r".to_owned(),
        "x".repeat(5000),
        begun.to_owned(),
        format!("{begun}DATA\r\nhalf a line"),
        format!("{begun}BDAT 10\r\n0123456789"),
        format!("{begun}BDAT 100000 LAST\r\n{}", "y".repeat(50_000)),
        format!("{}QUIT\r\n{begun}DATA\r\n.\r\n", "NOOP\r\n".repeat(200)),
    ] {
        let mut first = next(inbox.local_addr());
        first.send(&left);
        first.close_writing();
        first.closed();
        let mut second = next(inbox.local_addr());
        second.expect_in_step();
        second.expect("DATA", "503 5.5.1");
        second.begin();
        second.expect("DATA", "354");
        second.expect("second\r\n.", "250 2.0.0 OK");
        second.expect("QUIT", "221");
        second.expect_close();
        let mail = inbox.recv_timeout(PATIENCE).expect("a message");
        assert_eq!(mail.bytes().expect("it is in memory"), &b"second\r\n"[..]);
        assert_eq!(mail.recipients(), ["recipient@example.org"]);
        assert!(inbox.try_recv().is_err(), "{}", &left[..left.len().min(100)]);
    }
}

#[test]
fn an_answer_that_comes_too_late_is_nobody_elses() {
    let builder = alone().handler_timeout(Duration::from_millis(50));
    let (server, deliveries) = builder.deliveries("127.0.0.1:0").expect("a free port");
    let mut first = next(server.local_addr());
    first.begin();
    first.expect("DATA", "354");
    first.expect(".", "451 4.3.0");
    first.expect("QUIT", "221");
    let late = deliveries.recv_timeout(PATIENCE).expect("a message");
    let mut second = next(server.local_addr());
    late.accept();
    second.begin();
    second.expect("DATA", "354");
    // Nobody answers this one in time either, whatever was said of the other.
    second.expect(".", "451 4.3.0");
}

struct Panicking;

impl Session for Panicking {
    fn vrfy(&mut self, _: &Context, _: &[u8]) -> Option<Reply> {
        panic!("on purpose")
    }
}

#[test]
fn a_panic_ends_one_connection_only() {
    let inbox = alone().session(|_| Box::new(Panicking)).inbox("127.0.0.1:0").expect("a free port");
    for _ in 0..3 {
        let mut first = next(inbox.local_addr());
        first.begin();
        first.expect("VRFY x", "421 4.3.0");
        // Or the server waits a moment for what it still says.
        drop(first);
        let mut second = next(inbox.local_addr());
        second.begin();
        second.expect("DATA", "354");
        second.expect(".", "250 2.0.0 OK");
        assert!(inbox.recv_timeout(PATIENCE).is_ok());
        second.expect("QUIT", "221");
    }
}
