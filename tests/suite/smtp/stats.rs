//! What a server counts.

use std::io::Read;
use std::time::Duration;

use crate::support::client::{Client, PATIENCE};
use crate::support::wait_for;
use pillarbox::{Builder, Context, Endpoint, Envelope, Inbox, Network, Reply, Server, Session, Stats, Verb};

fn inbox_of(builder: Builder) -> Inbox {
    builder.inbox("127.0.0.1:0").expect("a free port")
}

/// Waits until the numbers are so, and gives those of then: not of the same reading, which may have seen some of them before.
#[track_caller]
fn until(server: &Server, is_so: impl Fn(&Stats) -> bool) -> Stats {
    wait_for(|| {
        let stats = server.stats();
        if is_so(&stats) { Ok(server.stats()) } else { Err(format!("{stats:?}")) }
    })
}

fn refusals(stats: &Stats) -> Vec<(Option<Verb>, u16, u64)> {
    stats.refusals.iter().map(|refused| (refused.verb, refused.code, refused.count)).collect()
}

#[test]
fn connections_and_why_they_are_refused() {
    let session = |_: &Endpoint| Err::<(), _>(Reply::new(554, "5.7.1", "not you"));
    let refusing = inbox_of(Server::builder().session(session));
    Client::raw(refusing.local_addr()).expect_reply("554 5.7.1");
    let stats = refusing.server().stats();
    assert_eq!((stats.connections, stats.refused_connections, stats.refused_connections_by.session), (1, 1, 1));
    assert_eq!(refusals(&stats), [(None, 554, 1)]);

    let limited = inbox_of(Server::builder().max_connections_per_address(2));
    let clients = [(); 2].map(|()| Client::connect(limited.local_addr()));
    Client::raw(limited.local_addr()).expect_reply("421 4.7.0");
    drop(clients);
    let stats = until(limited.server(), |stats| stats.open_connections == 0);
    assert_eq!((stats.connections, stats.most_connections, stats.refused_connections), (2, 2, 1));
    assert_eq!(stats.refused_connections_by.address, 1);

    let full = inbox_of(Server::builder().max_connections(1).stress_timeout(None));
    let _only = Client::connect(full.local_addr());
    Client::raw(full.local_addr()).expect_reply("421 4.3.2");
    assert_eq!(full.server().stats().refused_connections_by.too_many, 1);

    let hour = Duration::from_secs(3600);
    let hurried = inbox_of(Server::builder().max_connection_rate(1, hour).max_error_rate(1, hour));
    Client::connect(hurried.local_addr());
    Client::raw(hurried.local_addr()).expect_reply("421 4.7.0");
    assert_eq!(hurried.server().stats().refused_connections_by.rate, 1);

    let strict = inbox_of(Server::builder().max_error_rate(1, hour));
    Client::connect(strict.local_addr()).expect("WHAT", "500");
    Client::raw(strict.local_addr()).expect_reply("421 4.7.0");
    assert_eq!(strict.server().stats().refused_connections_by.errors, 1);
    let crowded = inbox_of(Server::builder().max_connections_per_network(1));
    let _only = Client::connect(crowded.local_addr());
    Client::raw(crowded.local_addr()).expect_reply("421 4.7.0");
    assert_eq!(crowded.server().stats().refused_connections_by.network, 1);
}

/// Refuses what its subject says.
fn by_subject(mail: Envelope) -> Result<(), Reply> {
    match mail.text().unwrap_or_default().lines().next() {
        Some("Subject: later") => Err(Reply::temporary("later")),
        Some("Subject: never") => Err(Reply::new(571, "5.7.1", "never")),
        _ => Ok(()),
    }
}

#[test]
fn messages_by_their_outcome() {
    for lmtp in [false, true] {
        let server = Server::builder().lmtp(lmtp).serve("127.0.0.1:0", by_subject).expect("a free port");
        let greeting = if lmtp { "LHLO client.example" } else { "EHLO client.example" };
        let mut client = Client::connect(server.local_addr());
        client.expect(greeting, "250");
        for (content, reply) in [("hello", "250"), ("Subject: later", "451"), ("Subject: never", "571")] {
            client.begin();
            client.expect("DATA", "354");
            client.expect(format!("{content}\r\n."), reply);
        }
        client.begin();
        client.send("BDAT 15 LAST\r\nSubject: later\n");
        client.expect_reply("451");
        // A transaction that its client gives up is none of a message's outcomes.
        client.begin();
        client.send("BDAT 4\r\nhalf");
        client.expect_reply("250");
        client.expect("RSET", "250");
        let stats = server.stats();
        assert_eq!((stats.accepted_messages, stats.refused_messages, stats.lost_messages), (1, 3, 0));
        assert_eq!((stats.temporarily_refused_messages, stats.permanently_refused_messages), (2, 1));
        assert_eq!((stats.accepted_octets, stats.received_octets), (7, 7 + 16 + 16 + 16 + 4));
        let expected = [(Some(Verb::Data), 451, 1), (Some(Verb::Data), 571, 1), (Some(Verb::Bdat), 451, 1)];
        assert_eq!(refusals(&stats), expected);

        // Cut off within its content, and between chunks.
        client.begin();
        client.send("BDAT 4\r\nhalf");
        client.expect_reply("250");
        drop(client);
        let mut client = Client::connect(server.local_addr());
        client.expect(greeting, "250");
        client.begin();
        client.expect("DATA", "354");
        client.send("half a line");
        drop(client);
        let stats = until(&server, |stats| stats.lost_messages == 2 && stats.open_connections == 0);
        assert_eq!((stats.accepted_messages, stats.refused_messages), (1, 3));
    }
}

#[test]
fn refusals_by_verb_and_code() {
    struct Local;
    impl Session for Local {
        fn rcpt(&mut self, _: &Context, to: &pillarbox::Recipient) -> Result<(), Reply> {
            if to.domain() == Some("example.org") { Ok(()) } else { Err(Reply::new(550, "5.7.1", "no relaying")) }
        }
    }
    let inbox = inbox_of(Server::builder().session(|_| Local));
    let mut client = Client::ehlo(inbox.local_addr());
    for line in ["RCPT TO:<a@example.org>", "BOGUS", "XYZZY", "NOOP \u{1}", "MAIL FROM:<a@b"] {
        assert!(client.say(line).starts_with('5'), "{line}");
    }
    client.expect("X".repeat(5000), "500");
    client.begin();
    client.expect("RCPT TO:<a@elsewhere.example>", "550");
    client.expect("RCPT TO:<b@elsewhere.example>", "550");
    let stats = inbox.server().stats();
    let expected = [
        (Some(Verb::Mail), 501, 1),
        (Some(Verb::Rcpt), 503, 1),
        (Some(Verb::Rcpt), 550, 2),
        (Some(Verb::Noop), 500, 1),
    ];
    assert_eq!(refusals(&stats)[..4], expected, "{stats:?}");
    assert_eq!(refusals(&stats)[4..], [(None, 500, 3)]);
    assert_eq!(stats.refused_messages, 0);
}

#[test]
fn the_last_word_is_no_refusal_of_the_last_command() {
    let inbox = inbox_of(Server::builder().max_errors(1));
    let mut client = Client::ehlo(inbox.local_addr());
    client.expect("MAIL FROM:<a@b", "501");
    client.expect_reply("421 4.7.0");
    assert_eq!(refusals(&inbox.server().stats()), [(Some(Verb::Mail), 501, 1), (None, 421, 1)]);
}

#[test]
fn timeouts_by_what_was_waited_for() {
    const SHORT: Duration = Duration::from_millis(50);
    let inbox = inbox_of(Server::builder().command_timeout(SHORT));
    Client::connect(inbox.local_addr()).expect_reply("421 4.4.2");
    assert_eq!(inbox.server().stats().timeouts.command, 1);
    assert_eq!(refusals(&inbox.server().stats()), [(None, 421, 1)]);

    // It sends and reads nothing: as many commands as it takes to fill the buffers on both sides.
    let server = inbox_of(Server::builder().command_timeout(Duration::from_secs(1)).max_junk(None));
    let mut deaf = Client::connect(server.local_addr());
    while deaf.try_send("HELP\r\n".repeat(1000)) {}
    let stats = until(server.server(), |stats| stats.open_connections == 0);
    assert_eq!((stats.timeouts.reply, stats.timeouts.command), (1, 0));

    let inbox = inbox_of(Server::builder().data_timeout(SHORT));
    let mut client = Client::envelope(inbox.local_addr());
    client.expect("DATA", "354");
    client.expect_reply("421 4.4.2");
    let stats = inbox.server().stats();
    assert_eq!((stats.timeouts.content, stats.lost_messages), (1, 1));
    let mut client = Client::ehlo(inbox.local_addr());
    client.send("BDAT 10\r\nhalf");
    client.expect_reply("421 4.4.2");
    assert_eq!(inbox.server().stats().timeouts.content, 2);

    let (server, deliveries) = Server::builder().handler_timeout(SHORT).deliveries("127.0.0.1:0").expect("a free port");
    let mut client = Client::envelope(server.local_addr());
    client.expect("DATA", "354");
    client.expect(".", "451 4.3.0");
    let stats = server.stats();
    assert_eq!((stats.timeouts.handler, stats.temporarily_refused_messages, stats.unanswered_messages), (1, 1, 0));
    drop(deliveries);
}

#[test]
fn messages_that_wait() {
    let (server, deliveries) = Server::builder().deliveries("127.0.0.1:0").expect("a free port");
    let mut clients = [(); 2].map(|()| Client::envelope(server.local_addr()));
    for client in &mut clients {
        client.expect("DATA", "354");
        client.send(".\r\n");
    }
    let stats = until(&server, |stats| stats.queued_messages == 2);
    assert_eq!(stats.unanswered_messages, 2);
    let delivery = deliveries.recv().expect("a message");
    let stats = server.stats();
    assert_eq!((stats.queued_messages, stats.unanswered_messages, stats.accepted_messages), (1, 2, 0));
    delivery.accept();
    until(&server, |stats| stats.unanswered_messages == 1 && stats.accepted_messages == 1);
    deliveries.recv().expect("a message").accept();
    for client in &mut clients {
        client.expect_reply("250 2.0.0");
    }
    let stats = server.stats();
    assert_eq!((stats.queued_messages, stats.unanswered_messages, stats.accepted_messages), (0, 0, 2));
}

#[test]
fn a_proxys_header_that_does_not_come() {
    let inbox = inbox_of(Server::builder().proxy_protocol(Network::loopback()));
    // It has ten seconds.
    let mut client = std::net::TcpStream::connect(inbox.local_addr()).expect("the server listens");
    assert_eq!(client.read_to_end(&mut Vec::new()).expect("a close"), 0);
    let stats = until(inbox.server(), |stats| stats.open_connections == 0);
    assert_eq!((stats.timeouts.proxy_header, stats.connections, stats.refused_connections), (1, 1, 0));
}

#[cfg(all(feature = "auth", feature = "tls"))]
mod secure {
    use std::io::Write;
    use std::net::TcpStream;

    use super::*;
    use crate::support::tls::{Certificate, TlsClient};
    use pillarbox::{Listener, Users};

    #[test]
    fn logins() {
        let users = Users::new().add("bob", "builder").expect("an entry");
        let inbox = inbox_of(Server::builder().authenticator(users));
        let mut client = Client::ehlo(inbox.local_addr());
        client.expect("AUTH PLAIN AGJvYgB3cm9uZw==", "535 5.7.8");
        // What is no try.
        client.expect("AUTH PLAIN", "334");
        client.expect("*", "501");
        client.expect("AUTH NTLM", "504");
        client.expect("AUTH PLAIN AGJvYgBidWlsZGVy", "235 2.7.0");
        client.expect("AUTH PLAIN AGJvYgBidWlsZGVy", "503");
        let stats = inbox.server().stats();
        assert_eq!((stats.logins, stats.failed_logins), (1, 1));
        let auth = Some(Verb::Auth);
        assert_eq!(refusals(&stats), [(auth, 501, 1), (auth, 503, 1), (auth, 504, 1), (auth, 535, 1)]);
    }

    #[test]
    fn a_user_whom_the_session_refuses_has_failed_to_log_in() {
        struct Nobody;
        impl Session for Nobody {
            fn authenticated(&mut self, _: &Context, _: &str) -> Result<(), Reply> {
                Err(Reply::new(535, "5.7.8", "not now"))
            }
        }
        let users = Users::new().add("bob", "builder").expect("an entry");
        let inbox = inbox_of(Server::builder().authenticator(users).session(|_| Nobody));
        let mut client = Client::ehlo(inbox.local_addr());
        client.expect("AUTH PLAIN AGJvYgBidWlsZGVy", "535 5.7.8");
        assert_eq!((inbox.server().stats().logins, inbox.server().stats().failed_logins), (0, 1));
    }

    #[test]
    fn handshakes() {
        let certificate = Certificate::new();
        let implicit = || Listener::from("127.0.0.1:0").implicit_tls();
        let inbox =
            Server::builder().tls(certificate.tls()).listen("127.0.0.1:0").inbox(implicit()).expect("free ports");
        let starttls = inbox.server().local_endpoints()[1].socket_addr().expect("TCP");
        let mut client = TlsClient::start_tls(starttls, &certificate);
        client.expect("QUIT", "221");
        let mut stranger = TcpStream::connect(inbox.local_addr()).expect("it listens");
        stranger.write_all(b"EHLO client.example\r\n").expect("a socket");
        let stats = until(inbox.server(), |stats| stats.failed_handshakes == 1);
        assert_eq!((stats.handshakes, stats.timeouts.handshake), (1, 0));

        let hurried = Server::builder().tls(certificate.tls()).command_timeout(Duration::from_millis(50));
        let inbox = hurried.inbox(implicit()).expect("a free port");
        let _silent = TcpStream::connect(inbox.local_addr()).expect("it listens");
        let stats = until(inbox.server(), |stats| stats.failed_handshakes == 1);
        assert_eq!((stats.handshakes, stats.timeouts.handshake), (0, 1));
    }
}

#[test]
fn a_handler_that_hangs_makes_the_server_unresponsive_until_it_is_done() {
    let (release, gate) = pillarbox::crossbeam_channel::bounded::<()>(0);
    let handler = move |_: Envelope| gate.recv().expect("it is released");
    let builder = Server::builder().handler_timeout(Duration::from_millis(10));
    let server = builder.serve("127.0.0.1:0", handler).expect("a free port");
    assert!(server.is_responsive() && !server.is_shutting_down());
    let mut client = Client::envelope(server.local_addr());
    client.expect("DATA", "354");
    client.expect(".", "451 4.3.0");
    until(&server, |_| !server.is_responsive());
    // Connections go on meanwhile.
    client.expect("NOOP", "250");
    release.send_timeout((), PATIENCE).expect("the handler waits");
    until(&server, |_| server.is_responsive());
    let handle = server.handle();
    assert!(server.shutdown(PATIENCE).joined);
    assert!(handle.is_shutting_down() && handle.is_responsive());
}
