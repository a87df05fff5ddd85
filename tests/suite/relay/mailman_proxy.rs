//! The Mailman handler: before a real Mailman 3, and before a scripted one that has faults.
//!
//! Where Mailman is missing its tests say so and pass; with `TEST_PILLARBOX_REQUIRE_CLIENTS=1` in the environment they fail
//! instead.

use std::net::SocketAddr;
use std::time::Duration;

use crate::support::client::{Client, PATIENCE};
use crate::support::mailman;
use crate::support::mailman::Mailman;
use crate::support::scripted;
use crate::support::scripted::{Act, say};
use pillarbox::handlers::{self, Proxy};
use pillarbox::{Builder, Network, Server, Upstream};

fn proxy(builder: Builder, lists: impl Into<Upstream>, others: SocketAddr) -> Server {
    builder.serve("127.0.0.1:0", handlers::Mailman::at(lists, Proxy::to(others))).unwrap()
}

fn lmtp(server: &Server) -> Client {
    let mut client = Client::connect(server.local_addr());
    client.expect("LHLO client.example", "250");
    client
}

fn begin(client: &mut Client, recipients: &[&str]) {
    client.expect("MAIL FROM:<sender@client.example>", "250");
    for to in recipients {
        client.expect(format!("RCPT TO:<{to}>"), "250");
    }
    client.expect("DATA", "354");
}

fn post(client: &mut Client, subject: &str) {
    client.send(format!("From: sender@client.example\r\nSubject: {subject}\r\n\r\nbody\r\n.\r\n"));
}

#[test]
fn posts_reach_their_list_and_the_rest_the_upstream() {
    let members = Server::builder().inbox("127.0.0.1:0").unwrap();
    let lists: &[(&str, &[&str])] =
        &[("ant@lists.example", &["member@client.example"]), ("bee@lists.example", &["member@client.example"])];
    let Some(mailman) = Mailman::start(lists, Some(members.local_addr())) else { return };
    let others = Server::builder().inbox("127.0.0.1:0").unwrap();
    let proxy = proxy(Server::builder(), mailman.lmtp(), others.local_addr());
    let mut client = Client::ehlo(proxy.local_addr());

    begin(&mut client, &["ANT@lists.example", "bee@lists.example"]);
    post(&mut client, "to two lists");
    client.expect_reply("250 2.0.0 Ok");
    let mut seen = Vec::new();
    for _ in 0..2 {
        let mail = members.recv_timeout(Duration::from_secs(60)).unwrap_or_else(|e| panic!("{e}\n{}", mailman.logs()));
        assert_eq!(mail.recipients(), ["member@client.example"]);
        let text = mail.text().unwrap();
        assert!(text.contains("\nX-Peer: 127.0.0.1\n"), "{text}");
        seen.push(mail.mail_from().to_string());
    }
    seen.sort();
    assert_eq!(seen, ["ant-bounces@lists.example", "bee-bounces@lists.example"]);

    begin(&mut client, &["someone@example.org"]);
    post(&mut client, "to somebody");
    client.expect_reply("250 2.0.0 OK ");
    assert_eq!(others.recv_timeout(PATIENCE).unwrap().recipients(), ["someone@example.org"]);
}

#[test]
fn a_list_and_others_are_two_messages() {
    let Some(mut mailman) = Mailman::start(&[("ant@lists.example", &[])], None) else { return };
    let others = Server::builder().inbox("127.0.0.1:0").unwrap();
    let proxy = proxy(Server::builder(), mailman.lmtp(), others.local_addr());
    let mut client = Client::ehlo(proxy.local_addr());

    client.expect("MAIL FROM:<sender@client.example>", "250");
    client.expect("RCPT TO:<ant@lists.example>", "250 2.0.0 Ok");
    for _ in 0..30 {
        client.expect("RCPT TO:<someone@example.org>", "452 4.5.3");
    }
    client.expect("RCPT TO:<ant-request@lists.example>", "250");
    client.expect("RSET", "250");
    client.expect("MAIL FROM:<sender@client.example>", "250");
    client.expect("RCPT TO:<someone@example.org>", "250 2.0.0 OK");
    client.expect("RCPT TO:<ant@lists.example>", "452 4.5.3");
    client.expect("DATA", "354");
    post(&mut client, "to the others");
    client.expect_reply("250 2.0.0 OK");
    assert_eq!(others.recv_timeout(PATIENCE).unwrap().recipients(), ["someone@example.org"]);
    assert_eq!(mailman.queued("in", "to the others") + mailman.queued("out", "to the others"), 0);

    // Lists come and go; -admin is -owner, which Mailman takes.
    client.expect("MAIL FROM:<sender@client.example>", "250");
    client.expect("RCPT TO:<new@lists.example>", "250 2.0.0 OK");
    mailman.add_list("new@lists.example");
    client.expect("RSET", "250");
    client.expect("MAIL FROM:<sender@client.example>", "250");
    client.expect("RCPT TO:<new@lists.example>", "250 2.0.0 Ok");
    client.expect("RCPT TO:<new-admin@lists.example>", "250 2.0.0 Ok");
    client.expect("RCPT TO:<gr\u{fc}n@lists.example>", "553 5.6.7");
    mailman.remove_list("new@lists.example");
    client.expect("RSET", "250");

    // What Mailman cannot carry concerns its lists alone.
    mailman.kill();
    client.expect("MAIL FROM:<sender@client.example>", "250");
    client.expect("RCPT TO:<ant@lists.example>", "451 4.4.1");
    client.expect("RCPT TO:<someone@example.org>", "451 4.4.1");
    mailman.restart();
    client.expect("RCPT TO:<ant@lists.example>", "250");
    client.expect("DATA", "354");
    post(&mut client, "behind a restart");
    client.expect_reply("250 2.0.0 Ok");
    mailman.wait_queued("out", "behind a restart", 1);
}

#[test]
fn with_lmtp_both_get_theirs_and_each_has_a_reply() {
    let Some(mailman) = Mailman::start(&[("ant@lists.example", &[])], None) else { return };
    let others = Server::builder().inbox("127.0.0.1:0").unwrap();
    let proxy = proxy(Server::builder().lmtp(true), mailman.lmtp(), others.local_addr());
    let mut client = lmtp(&proxy);
    begin(&mut client, &["someone@example.org", "ant@lists.example", "ant-owner@lists.example", "other@example.org"]);
    post(&mut client, "to all");
    for reply in ["250 2.0.0 OK ", "250 2.0.0 Ok", "250 2.0.0 Ok", "250 2.0.0 OK "] {
        client.expect_reply(reply);
    }
    assert_eq!(others.recv_timeout(PATIENCE).unwrap().recipients(), ["someone@example.org", "other@example.org"]);
    mailman.wait_queued("out", "to all", 2);

    // Mailman has one reply for a message that it does not understand; the upstream understands it.
    begin(&mut client, &["ant@lists.example", "someone@example.org", "ant@lists.example"]);
    client.send(format!("{}.\r\n", mailman::DEFECTIVE));
    for reply in ["501 5.0.0 Message has defects", "250 2.0.0 OK ", "501 5.0.0 Message has defects"] {
        client.expect_reply(reply);
    }
    client.expect_in_step();
}

#[test]
fn a_message_with_defects_is_refused_and_the_client_goes_on() {
    let lists: &[(&str, &[&str])] = &[("ant@lists.example", &[]), ("bee@lists.example", &[])];
    let Some(mailman) = Mailman::start(lists, None) else { return };
    let others = Server::builder().inbox("127.0.0.1:0").unwrap();
    let proxy = proxy(Server::builder(), mailman.lmtp(), others.local_addr());
    let mut client = Client::ehlo(proxy.local_addr());
    let long_line = format!("Subject: long\r\n\r\n{}\r\n", "x".repeat(1000));
    for (broken, reply) in [
        (mailman::DEFECTIVE, "501 5.0.0 Message has defects"),
        (mailman::FATAL, "500 5.0.0 Error: ("),
        (&long_line, "500 5.0.0 Line too long"),
    ] {
        begin(&mut client, &["ant@lists.example", "bee@lists.example"]);
        client.send(format!("{broken}.\r\n"));
        client.expect_reply(reply);
        begin(&mut client, &["ant@lists.example"]);
        post(&mut client, "behind it");
        client.expect_reply("250 2.0.0 Ok");
    }
    mailman.wait_queued("out", "behind it", 3);
}

/// A Mailman of one list.
fn scripted(script: impl Fn(&str) -> Option<Act> + Send + Sync + 'static) -> scripted::Scripted {
    scripted::Scripted::start(move |line| {
        script(line).or_else(|| {
            let is_other = line.starts_with("RCPT") && line != "RCPT TO:<ant@lists.example>";
            is_other.then(|| say("550 Requested action not taken: mailbox unavailable"))
        })
    })
}

#[test]
fn a_mailman_with_faults_loses_nothing() {
    let acts: [Act; 5] =
        [say("451 not now"), Act::SayAndClose("421 bye\r\n".to_owned()), Act::Close, Act::Silence, say("nonsense")];
    for stage in ["CONNECT", "LHLO", "MAIL", "RCPT", "DATA", "."] {
        for act in &acts {
            let to_do = act.clone();
            let mailman = scripted(move |line| line.starts_with(stage).then(|| to_do.clone()));
            let short = Duration::from_millis(300);
            let lists =
                Upstream::from(mailman.address).connect_timeout(short).command_timeout(short).data_timeout(short);
            let others = Server::builder().inbox("127.0.0.1:0").unwrap();
            let proxy = proxy(Server::builder(), lists, others.local_addr());
            let mut client = Client::ehlo(proxy.local_addr());
            client.expect("MAIL FROM:<sender@client.example>", "250");
            let mut said = client.say("RCPT TO:<ant@lists.example>");
            if said.starts_with('2') {
                client.expect("DATA", "354");
                said = client.say("x\r\n.");
            }
            assert!(said.starts_with('4'), "{act:?} at {stage}: {said}");
            client.expect_in_step();
            assert!(others.try_recv().is_err(), "{act:?} at {stage}: a list's post went upstream");
        }
    }
}

#[test]
fn what_mailman_has_against_a_sender_is_for_its_lists_alone() {
    let mailman = scripted(|line| line.starts_with("MAIL FROM:<sender").then(|| say("552 too big")));
    let others = Server::builder().inbox("127.0.0.1:0").unwrap();
    let proxy = proxy(Server::builder(), mailman.address, others.local_addr());
    let mut client = Client::ehlo(proxy.local_addr());
    client.expect("MAIL FROM:<sender@client.example>", "250");
    client.expect("RCPT TO:<ant@lists.example>", "552 5.0.0 too big");
    client.expect("RCPT TO:<someone@example.org>", "250");
    client.expect("DATA", "354");
    client.expect("x\r\n.", "250 2.0.0 OK");
    assert_eq!(others.recv_timeout(PATIENCE).unwrap().recipients(), ["someone@example.org"]);
    assert!(mailman.contents().is_empty());
}

#[test]
fn strangers_may_post_but_not_relay() {
    let mailman = scripted(|_| None);
    let others = Server::builder().inbox("127.0.0.1:0").unwrap();
    let proxy = proxy(Server::builder().proxy_protocol(Network::loopback()), mailman.address, others.local_addr());
    let mut client = Client::raw(proxy.local_addr());
    client.send("PROXY TCP4 203.0.113.9 127.0.0.1 40000 25\r\n");
    client.expect_reply("220 ");
    client.expect("EHLO client.example", "250");
    client.expect("MAIL FROM:<sender@client.example>", "250");
    client.expect("RCPT TO:<someone@example.org>", "550 5.7.1");
    client.expect("RCPT TO:<ant@lists.example>", "250");
    client.expect("DATA", "354");
    client.expect("x\r\n.", "250 2.0.0 fine");
}
