//! Certificates made for a test: who has the authority trusts them, and nobody else.

use std::net::SocketAddr;
use std::time::Duration;

use lettre::transport::smtp::client as smtp;
use lettre::{Message, SmtpTransport, Transport};
use pillarbox::testing::{Authority, Do, Faults, On};
use pillarbox::{Inbox, Server, Tls};

const PATIENCE: Duration = Duration::from_secs(30);

fn authority() -> Authority {
    Authority::new().expect("random numbers")
}

fn inbox(tls: Tls) -> Inbox {
    Server::builder().tls(tls).require_tls(true).inbox("127.0.0.1:0").expect("a free port")
}

/// Sends a mail by STARTTLS to a server that must have a certificate of this authority for `name`.
fn send(server: SocketAddr, name: &str, authority: &Authority) -> Result<(), lettre::transport::smtp::Error> {
    let root = smtp::Certificate::from_pem(authority.pem().as_bytes()).expect("PEM");
    let parameters = smtp::TlsParameters::builder(name.to_owned()).add_root_certificate(root).build()?;
    let client = SmtpTransport::builder_dangerous(server.ip().to_string())
        .port(server.port())
        .tls(smtp::Tls::Required(parameters))
        .timeout(Some(PATIENCE))
        .build();
    let to = Message::builder().from("a@example.org".parse().unwrap()).to("b@example.org".parse().unwrap());
    client.send(&to.body("x".to_owned()).expect("a message")).map(drop)
}

#[test]
fn who_trusts_the_authority_trusts_its_servers() {
    let authority = authority();
    let inbox = inbox(authority.server().expect("names that are some"));
    for name in ["localhost", "127.0.0.1"] {
        send(inbox.local_addr(), name, &authority).expect(name);
        assert!(inbox.recv_timeout(PATIENCE).expect("it was sent").tls().is_some());
    }
}

#[test]
fn another_name_is_refused() {
    let authority = authority();
    let inbox = inbox(authority.server_for(["mx.example.org"]).expect("a name"));
    send(inbox.local_addr(), "mx.example.org", &authority).expect("this is its name");
    send(inbox.local_addr(), "localhost", &authority).expect_err("this is not its name");
    assert_eq!(inbox.len(), 1);
}

#[test]
fn another_authority_is_refused() {
    let server = authority();
    let inbox = inbox(server.server().expect("names that are some"));
    send(inbox.local_addr(), "localhost", &authority()).expect_err("another one signed it");
    assert!(inbox.is_empty());
}

#[test]
fn an_expired_certificate_is_refused_until_there_is_a_new_one() {
    let authority = authority();
    let expired = authority.expired().expect("a date that is one");
    let faults = Faults::new().when(On::handshake().first(1), Do::Certificate(expired));
    let good = authority.server().expect("names that are some");
    let inbox = Server::builder().tls(good).faults(faults).inbox("127.0.0.1:0").expect("a free port");
    send(inbox.local_addr(), "localhost", &authority).expect_err("it has expired");
    send(inbox.local_addr(), "localhost", &authority).expect("it is a good one now");
    assert_eq!(inbox.len(), 1);
}

#[test]
fn names_that_are_none_are_errors() {
    let error = authority().server_for(["gr\u{fc}n.example"]).expect_err("it is not ASCII");
    assert!(std::error::Error::source(&error).is_some(), "{error}");
    assert!(!format!("{:?}", authority()).contains("PRIVATE"));
}
