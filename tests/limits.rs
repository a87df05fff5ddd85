//! Each limit: what is within it passes, what is beyond gets its reply, and others are not harmed.

#[path = "support/client.rs"]
mod client;

use std::time::Duration;

use client::{Client, PATIENCE};
use pillarbox::{Builder, Envelope, Inbox, Server};

fn inbox(builder: Builder) -> Inbox {
    builder.inbox("127.0.0.1:0").expect("a free port")
}

#[test]
fn command_lines() {
    let inbox = inbox(Server::builder());
    let mut client = Client::connect(inbox.local_addr());
    let noop = |octets: usize| format!("NOOP {}", "x".repeat(octets - "NOOP \r\n".len()));
    client.expect(noop(2048), "250 2.0.0");
    client.expect(noop(2049), "500 5.5.2");
    client.expect(noop(20_000), "500 5.5.2");
    client.expect_in_step();
    client.send("x".repeat(200_000));
    client.expect_reply("421 4.7.0");
}

#[test]
fn recipients() {
    let inbox = inbox(Server::builder().max_recipients(100));
    let mut client = Client::ehlo(inbox.local_addr());
    client.expect("MAIL FROM:<>", "250");
    for n in 0..150 {
        client.expect(format!("RCPT TO:<r{n}@example.org>"), if n < 100 { "250 2.0.0" } else { "452 4.5.3" });
    }
    client.expect("DATA", "354");
    client.expect(".", "250");
    let mail = inbox.recv_timeout(PATIENCE).unwrap();
    assert_eq!(mail.recipients().len(), 100);
    assert_eq!(mail.recipients()[99], "r99@example.org");
}

#[test]
fn errors_and_junk_until_a_message_is_accepted() {
    let inbox = inbox(Server::builder().max_errors(3).max_junk(5));
    let mut client = Client::ehlo(inbox.local_addr());
    client.expect("NONSENSE", "500");
    client.expect("NONSENSE", "500");
    client.begin();
    client.expect("DATA", "354");
    client.expect(".", "250");
    client.expect("NONSENSE", "500");
    client.expect("NONSENSE", "500");
    client.expect("NONSENSE", "500");
    client.expect_reply("421 4.7.0");
    client.expect_close();
    let mut client = Client::connect(inbox.local_addr());
    for _ in 0..5 {
        client.expect("NOOP", "250");
    }
    client.expect_reply("421 4.7.0");
    client.expect_close();
}

#[test]
fn connections() {
    let inbox = inbox(Server::builder().max_connections(2));
    let mut first = Client::connect(inbox.local_addr());
    let _second = Client::connect(inbox.local_addr());
    let mut third = Client::raw(inbox.local_addr());
    third.expect_reply("421 4.3.2");
    third.expect_close();
    first.expect("QUIT", "221");
    first.expect_close();
    // The seat is free once the server is through with the one who had it, a moment after its close.
    let deadline = std::time::Instant::now() + PATIENCE;
    loop {
        let mut fourth = Client::raw(inbox.local_addr());
        if fourth.reply().starts_with("220") {
            break;
        }
        assert!(std::time::Instant::now() < deadline);
    }
    assert!(inbox.server().stats().refused_connections >= 1);
}

#[test]
fn connections_of_one_address() {
    let inbox = inbox(Server::builder().max_connections_per_address(1).listen("[::1]:0"));
    let _first = Client::connect(inbox.local_addr());
    let mut second = Client::raw(inbox.local_addr());
    second.expect_reply("421 4.7.0");
    second.expect_close();
    let other = inbox.server().local_endpoints()[1].socket_addr().unwrap();
    Client::connect(other).expect("NOOP", "250");
}

#[test]
fn thirty_idle_clients_keep_nobody_out() {
    let inbox = inbox(Server::builder());
    let idle: Vec<Client> = (0..30).map(|_| Client::connect(inbox.local_addr())).collect();
    let mut client = Client::envelope(inbox.local_addr());
    client.expect("DATA", "354");
    client.expect(".", "250");
    assert!(inbox.server().stats().open_connections >= 31);
    drop(idle);
}

#[test]
fn a_client_that_drips_is_as_late_as_one_that_is_silent() {
    let inbox = inbox(Server::builder().command_timeout(Duration::from_millis(300)));
    let mut silent = Client::connect(inbox.local_addr());
    silent.expect_reply("421 4.4.2");
    silent.expect_close();
    // Each octet comes well within the time, but the line does not.
    let mut dripping = Client::connect(inbox.local_addr());
    let dripped = std::iter::repeat_with(|| {
        std::thread::park_timeout(Duration::from_millis(20));
        dripping.try_send("x")
    });
    assert!(dripped.take(1500).any(|sent| !sent), "the server listens to a drip for ever");
}

#[test]
fn content_that_stops_is_given_up() {
    let inbox = inbox(Server::builder().data_timeout(Duration::from_millis(200)));
    let mut client = Client::envelope(inbox.local_addr());
    client.expect("DATA", "354");
    client.send("half a mess");
    client.expect_reply("421 4.4.2");
    client.expect_close();
    assert!(inbox.is_empty());
    assert_eq!(inbox.server().stats().lost_messages, 1);
}

#[test]
fn content_that_drips_is_given_up() {
    let inbox = inbox(Server::builder().data_timeout(Duration::from_millis(300)));
    let mut client = Client::envelope(inbox.local_addr());
    client.expect("DATA", "354");
    let dripped = std::iter::repeat_with(|| {
        std::thread::park_timeout(Duration::from_millis(20));
        client.try_send("x")
    });
    assert!(dripped.take(1500).any(|sent| !sent), "the server listens to a drip for ever");
}

#[test]
fn a_client_that_reads_nothing_is_given_up() {
    let inbox = inbox(Server::builder().command_timeout(Duration::from_millis(500)).max_junk(0).max_errors(0));
    let mut client = Client::connect(inbox.local_addr());
    let line = "HELP\r\n".repeat(10_000);
    let sent = std::iter::repeat_with(|| client.try_send(&line));
    assert!(sent.take(10_000).any(|sent| !sent), "the server waits for its client to read for ever");
}

#[test]
fn the_budget_is_for_all() {
    let inbox = inbox(Server::builder().buffer_budget(100_000));
    let mut client = Client::envelope(inbox.local_addr());
    client.expect("DATA", "354");
    client.expect(format!("{}\r\n.", "NOOP\r\n".repeat(50_000)), "452 4.3.1");
    client.expect_in_step();
    client.begin();
    client.expect("DATA", "354");
    client.expect(format!("{}\r\n.", "x".repeat(90_000)), "250");
    client.begin();
    client.expect("DATA", "354");
    client.expect(format!("{}\r\n.", "x".repeat(90_000)), "452 4.3.1");
    // It is free again once nobody holds the message.
    assert!(inbox.server().stats().buffered_octets >= 90_000);
    drop(inbox.recv_timeout(PATIENCE).unwrap());
    assert_eq!(inbox.server().stats().buffered_octets, 0);
    client.begin();
    client.expect("DATA", "354");
    client.expect(format!("{}\r\n.", "x".repeat(90_000)), "250");
}

#[test]
fn no_budget_is_told_before_the_content() {
    let inbox = inbox(Server::builder().buffer_budget(1000));
    let mut client = Client::envelope(inbox.local_addr());
    client.expect("DATA", "354");
    client.expect(format!("{}\r\n.", "x".repeat(998)), "250");
    client.begin();
    client.expect("DATA", "452 4.3.1");
    client.expect_in_step();
}

#[test]
fn a_full_inbox() {
    let inbox = inbox(Server::builder().inbox_capacity(1));
    let mut client = Client::ehlo(inbox.local_addr());
    for reply in ["250", "452 4.3.1"] {
        client.begin();
        client.expect("DATA", "354");
        client.expect(".", reply);
        client.expect_in_step();
    }
}

#[test]
fn a_stuck_handler_holds_its_own_messages_only() {
    let (release, gate) = pillarbox::crossbeam_channel::bounded::<()>(0);
    let handler = move |_: Envelope| gate.recv().expect("the test lets it go on");
    let server = Server::builder().queue_capacity(1).serve("127.0.0.1:0", handler).expect("a free port");
    let mut clients: Vec<Client> = (0..4)
        .map(|_| {
            let mut client = Client::envelope(server.local_addr());
            client.expect("DATA", "354");
            client.send(".\r\n");
            client
        })
        .collect();
    Client::connect(server.local_addr()).expect("NOOP", "250");
    for _ in &clients {
        release.send_timeout((), PATIENCE).unwrap();
    }
    for client in &mut clients {
        client.expect_reply("250 2.0.0 OK");
    }
}

#[test]
fn settings_that_cannot_be() {
    for builder in [
        Server::builder().command_timeout(Duration::ZERO),
        Server::builder().max_connections(0),
        Server::builder().max_recipients(0),
        Server::builder().hostname("not a domain"),
        Server::builder().consumers(2),
        Server::builder().require_tls(true),
        Server::builder().inbox_capacity(0),
    ] {
        assert!(matches!(builder.inbox("127.0.0.1:0"), Err(pillarbox::Error::Setting(_))));
    }
}
