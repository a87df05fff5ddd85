//! The mail servers that other tests relay to do what those tests take for granted: they offer the extensions, take mail for
//! those whom they know into their mailboxes, and refuse all others.
//!
//! Where one is missing its test says so and passes; with `TEST_PILLARBOX_REQUIRE_CLIENTS=1` in the environment it fails instead.

use std::net::SocketAddr;

use crate::support::client::Client;
use crate::support::exim::Exim;
use crate::support::postfix::Postfix;
use crate::support::tls::{Certificate, TlsClient};

const EXTENSIONS: [&str; 5] = ["8BITMIME", "CHUNKING", "DSN", "PIPELINING", "SMTPUTF8"];

fn offers(client: &mut Client) -> Vec<String> {
    let reply = client.expect("EHLO client.example", "250");
    let keywords = reply.lines().skip(1).filter_map(|line| line[4..].split(' ').next());
    keywords.filter(|keyword| EXTENSIONS.contains(keyword)).map(str::to_owned).collect()
}

/// One message for a@ and b@, between recipients that are refused.
fn send_to_two(server: SocketAddr, elsewhere: &str) {
    let mut client = Client::connect(server);
    let mut offered = offers(&mut client);
    offered.sort_unstable();
    assert_eq!(offered, EXTENSIONS);
    client.expect("MAIL FROM:<sender@client.example> BODY=8BITMIME", "250");
    client.expect("RCPT TO:<nobody@upstream.example>", "550 5.1.1");
    client.expect("RCPT TO:<a@upstream.example>", "250");
    client.expect("RCPT TO:<a@elsewhere.example>", elsewhere);
    client.expect("RCPT TO:<b@upstream.example>", "250");
    client.expect("DATA", "354");
    client.expect(b"Subject: x\r\n\r\nb\xc3\xb6dy\r\n..dot\r\n.", "250");
    client.expect("QUIT", "221");
}

#[track_caller]
fn assert_arrived(delivered: &[Vec<u8>], recipient: &str) {
    let [message] = delivered else { panic!("{} messages for {recipient}", delivered.len()) };
    let (head, body) =
        message.split_at(message.windows(2).position(|pair| pair == b"\n\n").expect("a head and a body"));
    let head = String::from_utf8_lossy(head).to_ascii_lowercase();
    assert!(head.starts_with("return-path: <sender@client.example>\n"), "{head}");
    assert!(head.contains(recipient) && head.contains("\nsubject: x"), "{head}");
    assert_eq!(body, b"\n\nb\xc3\xb6dy\n.dot\n", "{}", body.escape_ascii());
}

/// A message within TLS for c@.
fn send_within_tls(server: SocketAddr, certificate: &Certificate) {
    let mut client = TlsClient::connect(server);
    client.expect_reply("220 ");
    client.expect("EHLO client.example", "250");
    client.expect("STARTTLS", "220 ");
    let mut client = client.handshake(certificate);
    client.expect("EHLO client.example", "250");
    client.expect("MAIL FROM:<sender@client.example>", "250");
    client.expect("RCPT TO:<c@upstream.example>", "250");
    client.expect("DATA", "354");
    client.expect("Subject: x\r\n\r\nwithin TLS\r\n.", "250");
}

#[test]
fn postfix() {
    let Some(postfix) = Postfix::start("") else { return };
    send_to_two(postfix.smtp(), "554 5.7.1");
    for recipient in ["a@upstream.example", "b@upstream.example"] {
        assert_arrived(&postfix.delivered(recipient, 1), recipient);
    }
    assert!(postfix.delivered("c@upstream.example", 0).is_empty());
}

#[test]
fn postfix_with_settings_of_the_test() {
    let certificate = Certificate::new();
    let settings =
        "smtpd_discard_ehlo_keywords = 8bitmime, chunking, dsn, pipelining, smtputf8\nmessage_size_limit = 20000";
    let Some(postfix) = Postfix::start_with_tls(&certificate.cert, &certificate.key, settings) else { return };
    let mut client = Client::connect(postfix.smtp());
    assert!(offers(&mut client).is_empty());
    client.expect("MAIL FROM:<sender@client.example> SIZE=20001", "552 5.3.4");
    send_within_tls(postfix.smtp(), &certificate);
    assert!(postfix.delivered("c@upstream.example", 1)[0].ends_with(b"\n\nwithin TLS\n"));
}

#[test]
fn exim() {
    let Some(exim) = Exim::start("") else { return };
    send_to_two(exim.smtp(), "550 5.1.1");
    for recipient in ["a@upstream.example", "b@upstream.example"] {
        assert_arrived(&exim.delivered(recipient, 1), recipient);
    }
    assert!(exim.delivered("c@upstream.example", 0).is_empty());
}

#[test]
fn exim_with_settings_of_the_test() {
    let certificate = Certificate::new();
    let settings = "accept_8bitmime = false\nchunking_advertise_hosts =\ndsn_advertise_hosts =\n\
                    pipelining_advertise_hosts =\nsmtputf8_advertise_hosts =\nmessage_size_limit = 20000";
    let Some(exim) = Exim::start_with_tls(&certificate.cert, &certificate.key, settings) else { return };
    let mut client = Client::connect(exim.smtp());
    assert!(offers(&mut client).is_empty());
    client.expect("MAIL FROM:<sender@client.example> SIZE=20001", "552 ");
    send_within_tls(exim.smtp(), &certificate);
    assert!(exim.delivered("c@upstream.example", 1)[0].ends_with(b"\n\nwithin TLS\n"));
}
