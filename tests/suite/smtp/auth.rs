//! AUTH (RFC 4954): the exchange on the wire. The mechanisms themselves are tested where they are.

use crate::support::client::{Client, PATIENCE};
use crate::support::tls::{Certificate, TlsClient};
use pillarbox::{Builder, Inbox, Server, Users};

/// bob, with the password "builder".
const BOB: &str = "AGJvYgBidWlsZGVy";
const WRONG: &str = "AGJvYgB3cm9uZw==";

fn builder() -> Builder {
    Server::builder().authenticator(Users::new().add("bob", "builder").expect("an entry"))
}

fn inbox(builder: Builder) -> Inbox {
    builder.inbox("127.0.0.1:0").expect("a free port")
}

#[test]
fn who_the_client_is_travels_with_its_mail() {
    let inbox = inbox(builder().require_auth(true));
    let mut client = Client::connect(inbox.local_addr());
    let reply = client.say("EHLO client.example");
    assert!(reply.contains("\n250-AUTH SCRAM-SHA-256 PLAIN LOGIN\n"), "{reply}");
    for line in ["MAIL FROM:<a@b.example>", "RCPT TO:<a@b.example>", "DATA", "VRFY bob"] {
        client.expect(line, "530 5.7.0");
    }
    client.expect(format!("AUTH PLAIN {BOB}"), "235 2.7.0");
    client.expect(format!("AUTH PLAIN {BOB}"), "503 5.5.1");
    client.expect("MAIL FROM:<a@b.example> AUTH=bob+40b.example", "250");
    client.expect("RCPT TO:<c@d.example>", "250");
    client.expect("DATA", "354");
    client.expect(".", "250");
    let mail = inbox.recv_timeout(PATIENCE).unwrap();
    assert_eq!((mail.identity(), mail.protocol().to_string().as_str()), (Some("bob"), "ESMTPA"));
}

#[test]
fn challenges_and_what_ends_them() {
    let inbox = inbox(builder().max_auth_failures(None).max_errors(None));
    let mut client = Client::connect(inbox.local_addr());
    client.expect(format!("AUTH PLAIN {BOB}"), "503 5.5.1");
    client.expect("EHLO client.example", "250");
    for (line, reply) in [
        ("AUTH", "501 5.5.4"),
        ("AUTH CRAM-MD5", "504 5.5.4"),
        ("AUTH EXTERNAL =", "504 5.5.4"),
        ("AUTH PLAIN not-base64", "501 5.5.2"),
        ("AUTH PLAIN AGJvYg", "501 5.5.2"),
        ("AUTH PLAIN =", "501 5.5.2"),
        ("AUTH PLAIN", "334 "),
        ("*", "501 5.7.0"),
        ("AUTH PLAIN", "334 "),
        ("!", "501 5.5.2"),
        ("AUTH LOGIN", "334 VXNlcm5hbWU6"),
        ("Ym9i", "334 UGFzc3dvcmQ6"),
        ("d3Jvbmc=", "535 5.7.8"),
    ] {
        client.expect(line, reply);
    }
    client.begin();
    client.expect(format!("AUTH PLAIN {BOB}"), "503 5.5.1");
    client.expect("RSET", "250");
    // Longer than any command may be.
    client.expect(format!("AUTH PLAIN {}", "A".repeat(8000)), "501 5.5.2");
    client.expect(format!("AUTH PLAIN {}", "A".repeat(20_000)), "500 5.5.2");
    client.expect("AUTH LOGIN Ym9i", "334 UGFzc3dvcmQ6");
    client.expect("YnVpbGRlcg==", "235 2.7.0");
}

#[test]
fn failures_end_the_connection() {
    let inbox = inbox(builder().max_auth_failures(1));
    let mut client = Client::ehlo(inbox.local_addr());
    client.expect(format!("AUTH PLAIN {WRONG}"), "535 5.7.8");
    client.expect_reply("421 4.7.0");
    client.expect_close();
}

#[test]
fn secrets_cross_no_clear_connection_that_could_be_another() {
    let certificate = Certificate::new();
    // TLS is required, so even this machine's clients must use it.
    let inbox = inbox(builder().tls(certificate.tls()).require_tls(true));
    let mut client = TlsClient::start_tls(inbox.local_addr(), &certificate);
    let reply = client.expect("EHLO client.example", "250");
    assert!(reply.contains("AUTH SCRAM-SHA-256-PLUS SCRAM-SHA-256 PLAIN LOGIN\n"), "{reply}");
    client.expect(&format!("AUTH PLAIN {BOB}"), "235 2.7.0");
    // A client from elsewhere is offered no mechanism that shows the secret.
    let networks = pillarbox::Network::loopback();
    for (builder, reply) in [(builder(), "538 5.7.11"), (builder().clear_text_auth(true), "235 2.7.0")] {
        let inbox = self::inbox(builder.proxy_protocol(networks));
        let mut client = Client::raw(inbox.local_addr());
        client.send("PROXY TCP4 192.0.2.1 198.51.100.2 1234 25\r\n");
        client.expect_reply("220 ");
        let offered = client.say("EHLO client.example").contains("PLAIN");
        assert_eq!(offered, reply.starts_with('2'));
        client.expect(format!("AUTH PLAIN {BOB}"), reply);
    }
}

#[test]
fn starttls_forgets_who_the_client_is() {
    let certificate = Certificate::new();
    let inbox = inbox(builder().tls(certificate.tls()).require_auth(true));
    let mut client = TlsClient::connect(inbox.local_addr());
    client.expect_reply("220 ");
    client.expect("EHLO client.example", "250");
    client.expect(&format!("AUTH PLAIN {BOB}"), "235 2.7.0");
    client.expect("STARTTLS", "220");
    let mut client = client.handshake(&certificate);
    client.expect("EHLO client.example", "250");
    client.expect("MAIL FROM:<>", "530 5.7.0");
    client.expect(&format!("AUTH PLAIN {BOB}"), "235 2.7.0");
    client.expect("MAIL FROM:<>", "250");
}
