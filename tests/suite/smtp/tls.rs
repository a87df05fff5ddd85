//! TLS: STARTTLS (RFC 3207), implicit TLS (RFC 8314), and what must not survive the handshake.

use std::io::Write;
use std::net::Shutdown;
use std::time::Duration;

use crate::support::tls::{Certificate, TlsClient};
use pillarbox::{Inbox, Listener, Server, Tls, TlsError};

const PATIENCE: Duration = Duration::from_secs(30);

fn inbox(certificate: &Certificate) -> Inbox {
    Server::builder().tls(certificate.tls()).inbox("127.0.0.1:0").expect("a free port")
}

fn send<S: std::io::Read + Write>(client: &mut TlsClient<S>) {
    client.expect("EHLO client.example", "250");
    client.expect("MAIL FROM:<a@b.example>", "250");
    client.expect("RCPT TO:<c@d.example>", "250");
    client.expect("DATA", "354");
    client.expect("hello\r\n.", "250 2.0.0 OK");
}

#[test]
fn starttls_forgets_what_was_said_in_clear() {
    for certificate in Certificate::each() {
        let inbox = inbox(&certificate);
        let mut client = TlsClient::connect(inbox.local_addr());
        client.expect_reply("220 ");
        assert!(client.expect("EHLO client.example", "250").contains("\n250-STARTTLS\n"));
        client.expect("STARTTLS now", "501 5.5.4");
        client.expect("MAIL FROM:<a@b.example>", "250");
        client.expect("RCPT TO:<c@d.example>", "250");
        client.expect("STARTTLS", "220 2.0.0");
        let mut client = client.handshake(&certificate);
        client.expect("DATA", "503 5.5.1");
        client.expect("MAIL FROM:<a@b.example>", "503 5.5.1");
        let reply = client.expect("EHLO client.example", "250");
        assert!(!reply.contains("STARTTLS") && reply.contains("\n250-REQUIRETLS\n"), "{reply}");
        client.expect("STARTTLS", "503 5.5.1");
        send(&mut client);
        client.expect("MAIL FROM:<a@b.example> REQUIRETLS", "250");
        client.expect("QUIT", "221");
        // Ended by close_notify: without it reading is an error.
        assert_eq!(std::io::Read::read(&mut client.stream, &mut [0; 1]).unwrap(), 0);
        let mail = inbox.recv_timeout(PATIENCE).unwrap();
        assert_eq!(mail.protocol().to_string(), "ESMTPS");
        assert!(mail.tls().is_some());
    }
}

#[test]
fn commands_injected_behind_starttls_do_not_run() {
    for certificate in Certificate::each() {
        let inbox = inbox(&certificate);
        let mut client = TlsClient::connect(inbox.local_addr());
        client.expect_reply("220 ");
        client.expect("EHLO client.example", "250");
        client.expect("STARTTLS\r\nMAIL FROM:<evil@example.net>", "501 5.5.1");
        assert_eq!(client.reply(), "<closed>");
    }
}

#[test]
fn garbage_in_the_handshakes_place() {
    for certificate in Certificate::each() {
        let inbox = inbox(&certificate);
        let mut client = TlsClient::connect(inbox.local_addr());
        client.expect_reply("220 ");
        client.expect("EHLO client.example", "250");
        client.expect("STARTTLS", "220 2.0.0");
        client.send("MAIL FROM:<evil@example.net>\r\n");
        // An alert of TLS perhaps, but no reply in clear.
        let mut rest = Vec::new();
        let _ = std::io::Read::read_to_end(&mut client.stream, &mut rest);
        assert!(
            !rest.starts_with(b"2") && !rest.starts_with(b"4") && !rest.starts_with(b"5"),
            "{}",
            rest.escape_ascii()
        );
    }
}

#[test]
fn a_handshake_that_stalls_is_given_up() {
    for certificate in Certificate::each() {
        let builder = Server::builder().tls(certificate.tls()).command_timeout(Duration::from_millis(300));
        let inbox = builder.inbox(Listener::from("127.0.0.1:0").implicit_tls()).expect("a free port");
        let mut client = TlsClient::connect(inbox.local_addr());
        assert_eq!(client.reply(), "<closed>");
    }
}

#[test]
fn implicit_tls_beside_clear_text() {
    for certificate in Certificate::each() {
        let builder = Server::builder().tls(certificate.tls()).listen(Listener::from("127.0.0.1:0").implicit_tls());
        let inbox = builder.inbox("127.0.0.1:0").expect("free ports");
        let implicit = inbox.server().local_endpoints()[1].socket_addr().unwrap();
        let mut client = TlsClient::connect(implicit).handshake(&certificate);
        client.expect_reply("220 ");
        send(&mut client);
        assert_eq!(inbox.recv_timeout(PATIENCE).unwrap().protocol().to_string(), "ESMTPS");
        let mut client = TlsClient::connect(inbox.local_addr());
        client.expect_reply("220 ");
        send(&mut client);
        assert_eq!(inbox.recv_timeout(PATIENCE).unwrap().protocol().to_string(), "ESMTP");
    }
}

#[test]
fn required() {
    for certificate in Certificate::each() {
        let builder = Server::builder().tls(certificate.tls()).require_tls(true);
        let inbox = builder.inbox("127.0.0.1:0").expect("a free port");
        let mut client = TlsClient::connect(inbox.local_addr());
        client.expect_reply("220 ");
        client.expect("EHLO client.example", "250");
        for line in ["MAIL FROM:<a@b.example>", "RCPT TO:<a@b.example>", "DATA", "RSET", "VRFY bob", "AUTH PLAIN"] {
            client.expect(line, "530 5.7.0");
        }
        client.expect("NOOP", "250");
        client.send("BDAT 6 LAST\r\nQUIT\r\n");
        client.expect_reply("530 5.7.0");
        client.expect("STARTTLS", "220");
        send(&mut client.handshake(&certificate));
    }
}

#[test]
fn a_message_that_the_end_of_tls_cuts_off_is_not_delivered() {
    for certificate in Certificate::each() {
        let inbox = inbox(&certificate);
        for polite in [true, false] {
            let mut client = TlsClient::start_tls(inbox.local_addr(), &certificate);
            client.expect("EHLO client.example", "250");
            client.expect("MAIL FROM:<a@b.example>", "250");
            client.expect("RCPT TO:<c@d.example>", "250");
            client.expect("DATA", "354");
            client.send("half of it\r\n.\r");
            if polite {
                client.stream.shutdown().unwrap();
            }
            client.stream.get_ref().shutdown(Shutdown::Write).unwrap();
            assert_eq!(client.reply(), "<closed>");
        }
        let mut client = TlsClient::start_tls(inbox.local_addr(), &certificate);
        send(&mut client);
        assert_eq!(inbox.len(), 1);
    }
}

#[test]
fn a_renewed_certificate_needs_no_restart() {
    let (old, new) = (Certificate::new(), Certificate::new());
    let tls = old.tls();
    let inbox = Server::builder().tls(tls.clone()).inbox("127.0.0.1:0").expect("a free port");
    let mut before = TlsClient::start_tls(inbox.local_addr(), &old);
    tls.replace(new.tls());
    let mut after = TlsClient::start_tls(inbox.local_addr(), &new);
    send(&mut before);
    send(&mut after);
    assert_eq!(inbox.len(), 2);
}

#[test]
fn idle_clients_within_tls_are_told_of_a_shutdown() {
    for certificate in Certificate::each() {
        let inbox = inbox(&certificate);
        let mut client = TlsClient::start_tls(inbox.local_addr(), &certificate);
        client.expect("EHLO client.example", "250");
        let report = inbox.server().shutdown(Duration::from_secs(3600));
        assert_eq!((report.cut, report.joined), (0, true));
        client.expect_reply("421 4.3.2");
    }
}

#[test]
fn keys_in_other_forms_are_told_apart() {
    let certificate = Certificate::new();
    let with = |key: &str| Tls::from_pem(certificate.cert.as_bytes(), key.as_bytes());
    for (key, hint) in [
        (certificate.key.replace("PRIVATE", "EC PRIVATE"), "openssl pkcs8 -topk8"),
        (certificate.key.replace("PRIVATE", "ENCRYPTED PRIVATE"), "decrypt"),
        (String::new(), "not PEM"),
    ] {
        match with(&key) {
            Err(TlsError::KeyForm(text)) => assert!(text.contains(hint), "{text}"),
            other => panic!("{other:?}"),
        }
    }
    assert!(matches!(with("-----BEGIN PRIVATE KEY-----\nnonsense"), Err(TlsError::Native(_))));
    assert!(Tls::from_pkcs12(b"nonsense", "").is_err());
}

#[test]
fn implicit_tls_needs_a_certificate() {
    let refused = Server::builder().inbox(Listener::from("127.0.0.1:0").implicit_tls());
    assert!(matches!(refused, Err(pillarbox::Error::Setting(_))));
}

#[test]
fn a_key_of_another_certificate_is_told() {
    let (one, other) = (Certificate::new(), Certificate::new());
    let error = Tls::from_pem(one.cert.as_bytes(), other.key.as_bytes()).unwrap_err();
    assert!(matches!(error, TlsError::OtherKey), "{error:?}");
}
