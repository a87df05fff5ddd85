//! The proxy between real mail systems: Postfix and Exim behind it, Postfix and raw clients before it.
//!
//! Where one is missing its tests say so and pass; with `TEST_PILLARBOX_REQUIRE_CLIENTS=1` in the environment they fail instead.

use std::net::SocketAddr;

use crate::support::client;
use crate::support::client::Client;
use crate::support::exim::Exim;
use crate::support::postfix::Postfix;
use crate::support::tls::Certificate;
use pillarbox::handlers::Proxy;
use pillarbox::{Server, Upstream, UpstreamTls};

fn proxy(upstream: impl Into<Upstream>) -> Server {
    let server = Server::builder().smtputf8(true).hostname("relay.example");
    server.serve("127.0.0.1:0", Proxy::to(upstream)).unwrap()
}

/// Three recipients, one of whom is refused; the body is 8-bit and has dots and a lone LF.
fn send_to_three(proxy: SocketAddr, refused: &str, accepted: &str) {
    for round in 0..2 {
        let mut client = Client::ehlo(proxy);
        client.expect("MAIL FROM:<sender@client.example> BODY=8BITMIME SIZE=100", "250 ");
        client.expect("RCPT TO:<a@upstream.example> NOTIFY=NEVER", "250 ");
        client.expect("RCPT TO:<nobody@upstream.example>", refused);
        client.expect("RCPT TO:<b@upstream.example>", "250 ");
        client.expect("DATA", "354");
        client.expect(format!("Subject: round {round}\r\n\r\nb\u{f6}dy\n.\r\n..dot\r\n."), accepted);
        client.expect("QUIT", "221");
    }
}

#[track_caller]
fn assert_relayed(delivered: &[Vec<u8>]) {
    // Servers deliver in whichever order.
    let mut rounds = Vec::new();
    for message in delivered {
        let text = String::from_utf8_lossy(message);
        let (head, body) = text.split_once("\n\n").expect("a head and a body");
        assert!(head.contains("from client.example ([127.0.0.1])\n\tby relay.example with ESMTP id "), "{head}");
        let (_, subject) = head.split_once("\nX-Peer: 127.0.0.1\nSubject: round ").expect("both headers");
        rounds.extend(subject.chars().next());
        // The lone LF became a line end on the way in, and its dot did not end anything.
        assert_eq!(body, "b\u{f6}dy\n.\n.dot\n");
    }
    rounds.sort_unstable();
    assert_eq!(rounds, ['0', '1']);
}

#[test]
fn postfix_behind() {
    let Some(postfix) = Postfix::start("") else { return };
    let proxy = proxy(postfix.smtp());
    send_to_three(
        proxy.local_addr(),
        "550 5.1.1 <nobody@upstream.example>: Recipient address rejected",
        "250 2.0.0 Ok: queued as ",
    );
    for recipient in ["a@upstream.example", "b@upstream.example"] {
        assert_relayed(&postfix.delivered(recipient, 2));
    }
    // It does not relay itself, and says so.
    let mut client = Client::ehlo(proxy.local_addr());
    client.expect("MAIL FROM:<sender@client.example>", "250 2.1.0 Ok");
    client.expect("RCPT TO:<a@elsewhere.example>", "554 5.7.1 <a@elsewhere.example>: Relay access denied");
}

#[test]
fn exim_behind() {
    let Some(exim) = Exim::start("") else { return };
    let proxy = proxy(exim.smtp());
    send_to_three(proxy.local_addr(), "550 5.", "250 2.0.0 OK id=");
    for recipient in ["a@upstream.example", "b@upstream.example"] {
        assert_relayed(&exim.delivered(recipient, 2));
    }
}

#[test]
fn a_postfix_that_offers_little() {
    let settings = "smtpd_discard_ehlo_keywords = 8bitmime, smtputf8, dsn, pipelining, chunking, starttls\n\
                    message_size_limit = 3000";
    let Some(postfix) = Postfix::start(settings) else { return };
    let proxy = proxy(postfix.smtp());
    let mut client = Client::ehlo(proxy.local_addr());
    client.expect("MAIL FROM:<gr\u{fc}n@client.example> SMTPUTF8", "553 5.6.7");
    client.expect("MAIL FROM:<a@client.example> BODY=BINARYMIME", "554 5.6.3");
    client.expect("MAIL FROM:<a@client.example> SIZE=4000", "552 5.3.4 Message size exceeds fixed limit");
    for (body, reply) in [("b\u{f6}dy", "554 5.6.3"), ("body", "250 2.0.0 Ok"), (&"x".repeat(4000), "552 5.3.4")] {
        client.expect("MAIL FROM:<a@client.example> BODY=8BITMIME RET=FULL ENVID=x", "250");
        client.expect("RCPT TO:<a@upstream.example> NOTIFY=SUCCESS", "250");
        client.expect("DATA", "354");
        client.expect(format!("Subject: x\r\n\r\n{body}\r\n."), reply);
    }
    assert_eq!(postfix.delivered("a@upstream.example", 1).len(), 1);
}

#[test]
fn within_tls_to_both() {
    for certificate in Certificate::each() {
        let secure = |address: SocketAddr| {
            certificate.trusted_by(Upstream::from(address).tls(UpstreamTls::Required).tls_name("localhost"))
        };
        let (postfix, exim) = (
            Postfix::start_with_tls(&certificate.cert, &certificate.key, "smtpd_tls_security_level = encrypt"),
            Exim::start_with_tls(&certificate.cert, &certificate.key, ""),
        );
        let upstreams = [postfix.as_ref().map(Postfix::smtp), exim.as_ref().map(Exim::smtp)];
        for upstream in upstreams.into_iter().flatten() {
            let proxy = proxy(secure(upstream));
            let mut client = Client::ehlo(proxy.local_addr());
            client.expect("MAIL FROM:<sender@client.example>", "250");
            client.expect("RCPT TO:<c@upstream.example>", "250");
            client.expect("DATA", "354");
            client.expect("Subject: x\r\n\r\nbody\r\n.", "250");
        }
        let delivered = [
            postfix.map(|postfix| postfix.delivered("c@upstream.example", 1)),
            exim.map(|exim| exim.delivered("c@upstream.example", 1)),
        ];
        for message in delivered.into_iter().flatten().flatten() {
            let text = String::from_utf8_lossy(&message).to_lowercase();
            assert!(text.contains("with esmtps"), "{text}");
        }
    }
}

#[test]
fn between_two_mail_systems() {
    let Some(exim) = Exim::start("") else { return };
    let proxy = proxy(exim.smtp());
    let address = proxy.local_addr();
    let Some(postfix) = Postfix::start(&format!(
        "default_transport = smtp:[{}]:{}\nvirtual_mailbox_domains = elsewhere.example",
        address.ip(),
        address.port()
    )) else {
        return;
    };
    // One of them is refused by Exim, through the proxy; the others get it all the same.
    let recipients = ["a@upstream.example", "nobody@upstream.example", "b@upstream.example"];
    postfix.send(&[], &recipients, "Subject: through\n\nbody\n.dotted\n");
    for recipient in ["a@upstream.example", "b@upstream.example"] {
        let message = String::from_utf8(exim.delivered(recipient, 1).remove(0)).unwrap();
        assert!(message.contains("\tby relay.example with ESMTP id ") && message.ends_with("\n\nbody\n.dotted\n"));
    }
    let deadline = std::time::Instant::now() + client::PATIENCE;
    while !postfix.log().contains("to=<nobody@upstream.example>") {
        assert!(std::time::Instant::now() < deadline, "{}", postfix.log());
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let log = postfix.log();
    let bounced = log.lines().find(|line| line.contains("to=<nobody@upstream.example>")).unwrap();
    assert!(bounced.contains("status=bounced") && bounced.contains("said: 550 5."), "{bounced}");
}
