//! The web inbox: its page, its API and who keeps it from others.

#![cfg(all(feature = "cli", target_os = "linux"))]

use std::io::Write;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::memory::processor_time;
use crate::memory_of_process;
use crate::support::client::{Client, PATIENCE};
use crate::support::web::{Answer, Inbox};

const MIB: u64 = 1024 * 1024;

fn threads(inbox: &Inbox) -> usize {
    std::fs::read_dir(format!("/proc/{}/task", inbox.server.process.0.id())).expect("it lives").count()
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
        (0..300).map(|n| ask(&inbox, if n % 3 == 0 { "/api/messages/1" } else { "/api/messages/1/source" })).collect();
    for target in ["/", "/app.js", "/api/messages", "/api/server", "/api/faults"] {
        assert_eq!(inbox.get(target).status, 200, "{target}");
    }
    // Nor from what takes time.
    let begun = Instant::now();
    while Answer::receive(ask(&inbox, "/api/messages/1/source")).map_or(0, |answer| answer.body.len()) < 20_000_000 {
        assert!(begun.elapsed() < PATIENCE, "nobody makes room");
    }
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
    while worked != processor_time(inbox.server.process.0.id()) {
        worked = processor_time(inbox.server.process.0.id());
        std::thread::sleep(Duration::from_millis(300));
    }
    for _ in 0..20 {
        assert!(inbox.list("/api/messages").is_empty());
    }
    drop(stuck);
}

/// 804 messages of a thousand recipients took 1.42 GB of an inbox of 256 MiB, which counted their addresses alone.
#[test]
fn an_inbox_of_256_mib_takes_not_much_more() {
    let inbox = Inbox::start_with(&["--when-full", "refuse"]);
    let before = memory_of_process(inbox.server.process.0.id(), "VmRSS");
    let rcpt: String = (0..1000)
        .map(|n| {
            let to = format!("{n:0>60}@{}.{}.{}", "d".repeat(60), "e".repeat(60), "f".repeat(60));
            format!("RCPT TO:<{to}> ORCPT=rfc822;{} NOTIFY=SUCCESS,FAILURE,DELAY\r\n", "o".repeat(473))
        })
        .collect();
    let message = |client: &mut Client| {
        client.expect("MAIL FROM:<sender@client.example>", "250");
        for some in rcpt.split_inclusive('\n').collect::<Vec<_>>().chunks(100) {
            client.send(some.concat());
            some.iter().for_each(|_| _ = client.expect_reply("250"));
        }
        client.send("BDAT 0 LAST\r\n");
        client.reply()
    };
    let mut client = inbox.client();
    let mut taken = 0;
    let refused = loop {
        let reply = message(&mut client);
        if !reply.starts_with("250 ") {
            break reply;
        }
        taken += 1;
        assert!(taken < 500, "the inbox never is full");
    };
    assert!(refused.starts_with("452 4.3.1 "), "{refused}");
    assert!(taken > 100, "{taken}");
    let more = memory_of_process(inbox.server.process.0.id(), "VmRSS") - before;
    assert!(more < 340 * MIB, "{} MiB for {taken} messages", more / MIB);
    // And room is there again when they are gone.
    assert_eq!(inbox.request("DELETE", "/api/messages", "", "").status, 204);
    assert!(message(&mut client).starts_with("250 "));
}
