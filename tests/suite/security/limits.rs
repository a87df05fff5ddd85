//! Each limit: what is within it passes, what is beyond gets its reply, and others are not harmed.

use std::io::{ErrorKind, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::support::client::{Client, PATIENCE};
use pillarbox::{Builder, Envelope, Inbox, Network, Server};

fn inbox(builder: Builder) -> Inbox {
    builder.inbox("127.0.0.1:0").expect("a free port")
}

/// Connects again and again until a client is not refused.
fn until_served(mut connect: impl FnMut() -> Client) -> Client {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let mut client = connect();
        if client.reply().starts_with("220") {
            return client;
        }
        assert!(Instant::now() < deadline, "nobody is served any more");
    }
}

/// Connects through a proxy, with nothing read.
fn proxied(inbox: &Inbox, family: &str, address: &str) -> Client {
    let mut client = Client::raw(inbox.local_addr());
    client.send(format!("PROXY {family} {address} {address} 1234 25\r\n"));
    client
}

const HOUR: Duration = Duration::from_secs(3600);

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
    // Beyond the fifth each counts as an error.
    let mut client = Client::connect(inbox.local_addr());
    for _ in 0..5 + 3 {
        client.expect("NOOP", "250");
    }
    client.expect_reply("421 4.7.0 Too many commands without mail");
    client.expect_close();
    let mut client = Client::connect(inbox.local_addr());
    for _ in 0..5 + 2 {
        client.expect("NOOP", "250");
    }
    client.expect("NONSENSE", "500");
    client.expect_reply("421 4.7.0 Too many errors");
    client.expect_close();
    // EHLO was the first.
    let mut client = Client::envelope(inbox.local_addr());
    client.send("BDAT 1\r\nxBDAT 1\r\nx");
    client.expect_reply("250");
    client.expect_reply("250");
    for _ in 0..4 + 3 {
        client.expect("BDAT 0", "250 2.0.0 0 octets");
    }
    client.expect_reply("421 4.7.0");
    client.expect_close();
}

#[test]
fn a_message_refused_for_many_is_one_error() {
    let refuse = |mail: Envelope| {
        pillarbox::Response::each(mail.recipients().iter().map(|_| pillarbox::Reply::new(550, "5.2.1", "no")))
    };
    let server = Server::builder().lmtp(true).max_errors(3).data_size_limit(10).serve("127.0.0.1:0", refuse);
    let mut client = Client::connect(server.as_ref().expect("a free port").local_addr());
    client.expect("LHLO client.example", "250");
    for (content, refusal) in [(".", "550"), ("far too much\r\n.", "552"), (".", "550")] {
        client.expect("MAIL FROM:<>", "250");
        for _ in 0..5 {
            client.expect("RCPT TO:<a@example.org>", "250");
        }
        client.expect("DATA", "354");
        client.send(format!("{content}\r\n"));
        for _ in 0..5 {
            client.expect_reply(refusal);
        }
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
    until_served(|| Client::raw(inbox.local_addr()));
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
fn connections_of_one_network() {
    let inbox = inbox(Server::builder().max_connections_per_network(1).proxy_protocol(Network::loopback()));
    let mut first = proxied(&inbox, "TCP6", "2001:db8::1");
    first.expect_reply("220 ");
    let mut second = proxied(&inbox, "TCP6", "2001:db8::ffff:ffff:ffff:ffff");
    second.expect_reply("421 4.7.0");
    second.expect_close();
    proxied(&inbox, "TCP6", "2001:db8:0:1::1").expect_reply("220 ");
    let _fourth = until_served(|| proxied(&inbox, "TCP4", "192.0.2.1"));
    proxied(&inbox, "TCP4", "192.0.2.1").expect_reply("421 4.7.0");
    proxied(&inbox, "TCP4", "192.0.2.2").expect_reply("220 ");
    // A place that is given up is free again.
    first.expect("QUIT", "221");
    until_served(|| proxied(&inbox, "TCP6", "2001:db8::2"));
}

#[test]
fn connections_in_a_time() {
    let limited = inbox(Server::builder().max_connection_rate(3, HOUR));
    for _ in 0..3 {
        Client::connect(limited.local_addr()).expect("QUIT", "221");
    }
    let mut fourth = Client::raw(limited.local_addr());
    fourth.expect_reply("421 4.7.0");
    fourth.expect_close();
    assert_eq!(limited.server().stats().refused_connections, 1);
    let short = inbox(Server::builder().max_connection_rate(1, Duration::from_millis(100)));
    for _ in 0..3 {
        until_served(|| Client::raw(short.local_addr()));
    }
    // Each client of a proxy for itself, and the proxy not at all.
    let behind = inbox(Server::builder().max_connection_rate(1, HOUR).proxy_protocol(Network::loopback()));
    for n in 1..=3 {
        proxied(&behind, "TCP4", &format!("192.0.2.{n}")).expect_reply("220 ");
        let mut proxy = Client::raw(behind.local_addr());
        proxy.send("PROXY UNKNOWN\r\n");
        proxy.expect_reply("220 ");
    }
    proxied(&behind, "TCP4", "192.0.2.1").expect_reply("421 4.7.0");
}

#[test]
fn errors_in_a_time() {
    let inbox = inbox(Server::builder().max_error_rate(3, HOUR).proxy_protocol(Network::loopback()));
    let mut client = proxied(&inbox, "TCP6", "2001:db8::1");
    client.expect_reply("220 ");
    let mut other = proxied(&inbox, "TCP6", "2001:db8::2");
    other.expect_reply("220 ");
    client.expect("NONSENSE", "500");
    client.expect("NONSENSE", "500");
    client.expect("QUIT", "221");
    // From whichever of its connections and addresses they come.
    other.expect("NONSENSE", "500");
    other.expect_reply("421 4.7.0 Too many errors from your network");
    other.expect_close();
    let mut third = proxied(&inbox, "TCP6", "2001:db8::3");
    third.expect_reply("421 4.7.0 Too many errors from your network");
    third.expect_close();
    let mut elsewhere = proxied(&inbox, "TCP6", "2001:db8:0:1::1");
    elsewhere.expect_reply("220 ");
    elsewhere.expect("NONSENSE", "500");
    elsewhere.expect_in_step();
}

#[test]
fn clients_named_by_xclient() {
    let builder = Server::builder().max_connections_per_address(1).max_error_rate(2, HOUR);
    let inbox = inbox(builder.xclient(Network::loopback()));
    // Whoever speaks for others is not counted.
    let named = |address: &str, reply: &str| {
        let mut client = Client::ehlo(inbox.local_addr());
        client.expect(format!("XCLIENT ADDR={address}"), reply);
        client
    };
    let mut first = named("192.0.2.1", "220 ");
    named("192.0.2.1", "421 4.7.0").expect_close();
    let _unknown = [named("[UNAVAILABLE]", "220 "), named("[UNAVAILABLE]", "220 ")];
    // The next client's turn is the end of the one before.
    first.expect("XCLIENT ADDR=192.0.2.2", "220 ");
    let mut second = named("192.0.2.1", "220 ");
    second.expect("NONSENSE", "500");
    second.expect("NONSENSE", "500");
    second.expect_reply("421 4.7.0");
    second.expect_close();
    named("192.0.2.1", "421 4.7.0 Too many errors").expect_close();
    first.expect_in_step();
}

#[cfg(feature = "auth")]
#[test]
fn failed_authentications_are_errors() {
    let users = pillarbox::Users::parse("bob:builder\n").expect("a list of users");
    let inbox = inbox(Server::builder().authenticator(users).max_error_rate(1, HOUR));
    let mut client = Client::ehlo(inbox.local_addr());
    client.expect("AUTH PLAIN AGJvYgB3cm9uZw==", "535");
    client.expect_reply("421 4.7.0");
    Client::raw(inbox.local_addr()).expect_reply("421 4.7.0");
}

#[test]
fn no_thread_for_a_connection() {
    // More than any machine has addresses for.
    let inbox = inbox(Server::builder().worker_stack(1 << 56).max_connections(2));
    for _ in 0..5 {
        let mut client = Client::raw(inbox.local_addr());
        client.expect_reply("421 4.3.2 Out of resources");
        client.expect_close();
    }
    assert_eq!(inbox.server().stats().refused_connections, 5);
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
fn the_time_between_chunks_is_not_that_of_content() {
    let limit = Duration::from_millis(200);
    let inbox = inbox(Server::builder().data_timeout(limit));
    let mut client = Client::envelope(inbox.local_addr());
    client.send("BDAT 1\r\nx");
    client.expect_reply("250");
    // It may take as long as any command.
    std::thread::sleep(limit);
    client.send("NOOP\r\nBDAT 1 LAST\r\ny");
    client.expect_reply("250 2.0.0 OK");
    client.expect_reply("250 2.0.0 OK ");
    // Within a chunk it is content's time, in total.
    client.begin();
    client.send("BDAT 2\r\nx");
    client.expect_reply("421 4.4.2");
}

#[test]
fn a_client_that_reads_nothing_is_given_up() {
    let inbox = inbox(Server::builder().command_timeout(Duration::from_millis(500)).max_junk(None).max_errors(None));
    for line in ["HELP\r\n", "NOOP\r\n", "NONSENSE\r\n"] {
        let mut client = TcpStream::connect(inbox.local_addr()).expect("the server listens");
        client.set_write_timeout(Some(PATIENCE)).expect("a TCP socket");
        let lines = line.repeat(10_000);
        let sent = std::iter::repeat_with(|| client.write_all(lines.as_bytes())).take(10_000);
        let end = sent.filter_map(Result::err).next().expect("the server keeps more than fits anywhere");
        assert_ne!(end.kind(), ErrorKind::WouldBlock, "the server waits for its client to read for ever");
    }
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
        Server::builder().max_connections_per_network(0),
        Server::builder().max_connection_rate(0, HOUR),
        Server::builder().max_error_rate(1, Duration::ZERO),
        Server::builder().stress_timeout(Duration::ZERO),
        Server::builder().max_recipients(0),
        Server::builder().hostname("not a domain"),
        Server::builder().consumers(2),
        Server::builder().require_tls(true),
        Server::builder().inbox_capacity(0),
    ] {
        assert!(matches!(builder.inbox("127.0.0.1:0"), Err(pillarbox::Error::Setting(_))));
    }
}
