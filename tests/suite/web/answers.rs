//! Answers that nobody reads. These tests run first, since they wait for the longest limit in time.

#![cfg(target_os = "linux")]

use std::io::Write;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::support::client::PATIENCE;
use crate::support::process;
use crate::support::wait_until;
use crate::support::web::{Answer, Inbox};

fn threads(inbox: &Inbox) -> u64 {
    process::status(inbox.server.process.0.id(), "Threads")
}

/// Asks for something, and reads nothing.
fn ask(inbox: &Inbox, target: &str) -> TcpStream {
    let mut stream = inbox.connect();
    write!(stream, "GET {target} HTTP/1.1\r\nHost: {}\r\n\r\n", inbox.web).expect("it reads");
    stream
}

/// 128 clients that read nothing of a large message had all places: nobody else saw the page for eleven minutes.
#[test]
fn who_does_not_read_keeps_the_page_from_nobody() {
    let inbox = Inbox::start();
    inbox.receive(format!("Subject: large\r\n\r\n{}", "x".repeat(20_000_000)));
    let idle = threads(&inbox);
    let stuck: Vec<TcpStream> =
        (0..300).map(|n| ask(&inbox, if n % 10 == 0 { "/api/messages/1" } else { "/api/messages/1/source" })).collect();
    for target in ["/", "/app.js", "/api/messages", "/api/server", "/api/faults"] {
        assert_eq!(inbox.get(target).status, 200, "{target}");
    }
    // Nor from what takes time.
    wait_until("nobody makes room", || {
        Answer::receive(ask(&inbox, "/api/messages/1/source")).is_ok_and(|answer| answer.body.len() >= 20_000_000)
    });
    // All of them go in the end, though none has done anything.
    let begun = Instant::now();
    while threads(&inbox) > idle {
        assert!(begun.elapsed() < 3 * PATIENCE, "{} threads", threads(&inbox));
        std::thread::sleep(Duration::from_millis(50));
    }
    drop(stuck);
}

/// So did clients that do not read small answers, of which they asked for any number.
#[test]
fn who_asks_for_much_and_reads_nothing() {
    let inbox = Inbox::start();
    let request = format!("GET /app.js HTTP/1.1\r\nHost: {}\r\n\r\n", inbox.web);
    let stuck: Vec<TcpStream> = (0..150)
        .map(|_| {
            let mut stream = inbox.connect();
            stream.set_nonblocking(true).expect("a socket");
            // As much as fits, if the other end has not had enough before.
            let _ = stream.write(request.repeat(3000).as_bytes());
            stream
        })
        .collect();
    // Until all that can be sent is sent.
    let mut worked = 0;
    while worked != process::processor_time(inbox.server.process.0.id()) {
        worked = process::processor_time(inbox.server.process.0.id());
        std::thread::sleep(Duration::from_millis(300));
    }
    for _ in 0..20 {
        assert!(inbox.list("/api/messages").is_empty());
    }
    drop(stuck);
}
