//! Mailman 3 as it is found: what it answers by LMTP, when it answers once for all recipients, and that a post comes out of
//! it at this server.
//!
//! Where Mailman is missing the tests say so and pass; with `TEST_PILLARBOX_REQUIRE_CLIENTS=1` in the environment they fail
//! instead.

use std::io::ErrorKind;
use std::net::TcpStream;
use std::time::Duration;

use crate::support::client::Client;
use crate::support::mailman;
use crate::support::mailman::Mailman;
use pillarbox::Server;

const UNKNOWN: &str = "550 Requested action not taken: mailbox unavailable";

fn greeted(mailman: &Mailman) -> Client {
    let mut client = Client::connect(mailman.lmtp());
    assert_eq!(client.say("LHLO client.example"), "250-mailman.example\n250-SIZE 33554432\n250-8BITMIME\n250 HELP");
    client
}

/// Goes on to where the content is next.
fn begin(client: &mut Client, recipients: &[&str]) {
    client.expect("MAIL FROM:<sender@client.example>", "250 OK");
    for recipient in recipients {
        assert_eq!(client.say(format!("RCPT TO:<{recipient}>")), "250 Ok", "{recipient}");
    }
    client.expect("DATA", "354 ");
}

fn send(client: &mut Client, subject: &str) {
    client.send(format!("From: sender@client.example\r\nSubject: {subject}\r\n\r\nbody\r\n.\r\n"));
}

#[test]
fn a_post_comes_out_for_the_members() {
    let inbox = Server::builder().inbox("127.0.0.1:0").expect("a free port");
    let lists: &[(&str, &[&str])] = &[("ant@lists.example", &["one@client.example", "two@client.example"])];
    let Some(mailman) = Mailman::start(lists, Some(inbox.local_addr())) else { return };
    let mut client = greeted(&mailman);
    begin(&mut client, &["ant@lists.example"]);
    send(&mut client, "to all");
    client.expect_reply("250 Ok");
    let mail = inbox.recv_timeout(Duration::from_secs(60)).unwrap_or_else(|e| panic!("{e}\n{}", mailman.logs()));
    assert_eq!(mail.mail_from(), "ant-bounces@lists.example");
    let mut recipients: Vec<&str> = mail.recipients().iter().map(|to| to.as_str()).collect();
    recipients.sort_unstable();
    assert_eq!(recipients, ["one@client.example", "two@client.example"]);
    let text = mail.text().expect("ASCII");
    assert!(text.contains("\nSubject: [Ant] to all\n") && text.contains("\n\nbody\n"), "{text}");
}

#[test]
fn rcpt_tells_lists_and_data_has_a_reply_for_each() {
    let lists: &[(&str, &[&str])] = &[("ant@lists.example", &["one@client.example"]), ("bee@lists.example", &[])];
    let Some(mut mailman) = Mailman::start(lists, None) else { return };
    let mut client = greeted(&mailman);

    client.expect("MAIL FROM:<sender@client.example>", "250 OK");
    for (recipient, reply) in [
        ("ant@lists.example", "250 Ok"),
        ("ANT+extension@Lists.Example", "250 Ok"),
        ("ant-owner@lists.example", "250 Ok"),
        ("ant-request@lists.example", "250 Ok"),
        ("ant-admin@lists.example", UNKNOWN),
        ("nobody@lists.example", UNKNOWN),
        ("ant@elsewhere.example", UNKNOWN),
        ("new@lists.example", UNKNOWN),
    ] {
        assert_eq!(client.say(format!("RCPT TO:<{recipient}>")), reply, "{recipient}");
    }
    mailman.add_list("new@lists.example");
    client.expect("RCPT TO:<new@lists.example>", "250 Ok");
    client.expect("RSET", "250 OK");

    // A list that is removed after its RCPT.
    begin(&mut client, &["ant@lists.example", "new@lists.example", "bee@lists.example"]);
    mailman.remove_list("new@lists.example");
    send(&mut client, "to three");
    client.expect_reply("250 Ok");
    client.expect_reply(UNKNOWN);
    client.expect_reply("250 Ok");
    mailman.wait_queued("out", "to three", 2);

    // Once, whatever the count; NOOP's reply is the next.
    let long_line = format!("Subject: long\r\n\r\n{}\r\n", "x".repeat(1000));
    for (message, reply) in [
        (mailman::DEFECTIVE, "501 Message has defects"),
        (&long_line, "500 Line too long"),
        (mailman::FATAL, "500 Error: ("),
    ] {
        begin(&mut client, &["ant@lists.example", "bee@lists.example"]);
        client.send(format!("{message}.\r\n"));
        client.expect_reply(reply);
        client.expect("NOOP", "250 OK");
    }
    client.expect("MAIL FROM:<sender@client.example>", "503 Error: nested MAIL command");

    mailman.kill();
    client.expect_close();
    assert_eq!(TcpStream::connect(mailman.lmtp()).unwrap_err().kind(), ErrorKind::ConnectionRefused);
    mailman.restart();
    let mut client = greeted(&mailman);
    begin(&mut client, &["ant-request@lists.example"]);
    send(&mut client, "a command");
    client.expect_reply("250 Ok");
    assert_eq!((mailman.queued("command", "a command"), mailman.queued("out", "to three")), (1, 2));
}
