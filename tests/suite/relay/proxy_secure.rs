//! The proxy's way to its upstream: TLS and login.

use crate::support::client::{Client, PATIENCE};
use crate::support::scripted;
use crate::support::scripted::{Act, say};
use crate::support::tls::{Certificate, TlsClient};
use pillarbox::handlers::Proxy;
use pillarbox::{Builder, Inbox, Listener, Network, Server, Tls, Upstream, UpstreamTls, Users};

fn inbox(builder: Builder) -> Inbox {
    builder.inbox("127.0.0.1:0").unwrap()
}

fn upstream(inbox: &Inbox, certificate: &Certificate, when: UpstreamTls) -> Upstream {
    let upstream = Upstream::from(inbox.local_addr()).tls(when).tls_name("localhost");
    certificate.trusted_by(upstream)
}

/// What the client hears in the end.
fn send(upstream: Upstream) -> String {
    let proxy = Server::builder().serve("127.0.0.1:0", Proxy::to(upstream)).unwrap();
    let mut client = Client::ehlo(proxy.local_addr());
    let reply = client.say("MAIL FROM:<a@client.example>");
    if !reply.starts_with('2') {
        return reply;
    }
    client.expect("RCPT TO:<b@example.org>", "250");
    client.expect("DATA", "354");
    client.say("x\r\n.")
}

#[test]
fn tls_as_it_is_wanted() {
    for certificate in Certificate::each() {
        let server = inbox(Server::builder().tls(certificate.tls()));
        let is_encrypted = || server.recv_timeout(PATIENCE).unwrap().tls().is_some();
        for (when, encrypted) in
            [(UpstreamTls::Off, false), (UpstreamTls::WhenOffered, true), (UpstreamTls::Required, true)]
        {
            assert!(send(upstream(&server, &certificate, when)).starts_with("250 2.0.0 OK"), "{when:?}");
            assert_eq!(is_encrypted(), encrypted, "{when:?}");
        }
        // Whatever the certificate, where that is not asked for.
        assert!(send(certificate.by_library(Upstream::from(server.local_addr()))).starts_with("250 2.0.0 OK"));
        assert!(is_encrypted());
        let implicit = Server::builder().tls(certificate.tls());
        let implicit = implicit.inbox(Listener::from("127.0.0.1:0").implicit_tls()).unwrap();
        assert!(send(upstream(&implicit, &certificate, UpstreamTls::Implicit)).starts_with("250 2.0.0 OK"));
        assert!(implicit.recv_timeout(PATIENCE).unwrap().tls().is_some());
    }
}

#[test]
fn tls_that_is_required_and_cannot_be_had() {
    for certificate in Certificate::each() {
        let clear = inbox(Server::builder());
        let secure = inbox(Server::builder().tls(certificate.tls()));
        let required = |inbox: &Inbox| upstream(inbox, &certificate, UpstreamTls::Required);
        assert!(send(required(&clear)).starts_with("451 4.7.5"));
        // Another name, another authority.
        assert!(send(required(&secure).tls_name("mail.example.org")).starts_with("451 4.7.5"));
        assert!(
            send(certificate.by_library(Upstream::from(secure.local_addr()).tls(UpstreamTls::Required)))
                .starts_with("451 4.7.5")
        );
        assert!(send(upstream(&secure, &Certificate::new(), UpstreamTls::Required)).starts_with("451 4.7.5"));
        assert!(clear.try_recv().is_err() && secure.try_recv().is_err());
    }
}

#[test]
fn a_handshake_that_fails_is_done_without_where_tls_is_not_required() {
    let server = scripted::Scripted::start(|line| match line {
        _ if line.starts_with("EHLO") => Some(say("250-upstream.example\r\n250 STARTTLS")),
        "STARTTLS" => Some(Act::SayAndClose("220 go\r\n".to_owned())),
        _ => None,
    });
    assert_eq!(send(Upstream::from(server.address)), "250 2.0.0 fine");
    assert!(send(Upstream::from(server.address).tls(UpstreamTls::Required)).starts_with("451 4.7.5"));
    assert_eq!(server.contents().len(), 1);
}

#[test]
fn what_follows_the_220_in_clear_is_not_taken_for_the_servers() {
    let server = scripted::Scripted::start(|line| match line {
        _ if line.starts_with("EHLO") => Some(say("250-upstream.example\r\n250 STARTTLS")),
        "STARTTLS" => Some(say("220 go\r\n250 injected")),
        _ => None,
    });
    assert!(send(Upstream::from(server.address)).starts_with("451 4.5.0"));
}

#[test]
fn require_tls_of_a_message_needs_a_verified_upstream() {
    for certificate in Certificate::each() {
        let server = inbox(Server::builder().tls(certificate.tls()));
        for (when, reply) in [(UpstreamTls::Off, "550 5.7.10"), (UpstreamTls::Required, "250 2.0.0")] {
            let to = upstream(&server, &certificate, when);
            let proxy = Server::builder().tls(certificate.tls()).serve("127.0.0.1:0", Proxy::to(to)).unwrap();
            let mut client = TlsClient::start_tls(proxy.local_addr(), &certificate);
            client.expect("EHLO client.example", "250");
            client.expect("MAIL FROM:<a@client.example> REQUIRETLS", reply);
            if reply.starts_with('2') {
                client.expect("RCPT TO:<b@example.org>", "250");
                client.expect("DATA", "354");
                client.expect("x\r\n.", "250");
                assert_eq!(server.recv_timeout(PATIENCE).unwrap().mail_options(), ["REQUIRETLS"]);
            }
        }
    }
}

fn users() -> Users {
    Users::new().add("bob", "open sesame").unwrap()
}

#[test]
fn login() {
    for certificate in Certificate::each() {
        let server = inbox(Server::builder().tls(certificate.tls()).authenticator(users()).require_auth(true));
        let bob = |password: &str| upstream(&server, &certificate, UpstreamTls::Required).login("bob", password);
        assert!(send(bob("open sesame")).starts_with("250 2.0.0 OK"));
        assert_eq!(server.recv_timeout(PATIENCE).unwrap().identity(), Some("bob"));
        assert!(send(bob("wrong")).starts_with("451 4.4.1"));
        // Each mechanism that may be left to it.
        for mechanism in ["PLAIN", "LOGIN"] {
            let plain = |user: &str, password: &str| user == "bob" && password == "open sesame";
            let server = inbox(Server::builder().authenticator(Only(mechanism, plain)).require_auth(true));
            let to = Upstream::from(server.local_addr()).login("bob", "open sesame");
            assert!(send(to).starts_with("250 2.0.0 OK"), "{mechanism}");
        }
    }
}

/// An authenticator of one mechanism.
struct Only(&'static str, fn(&str, &str) -> bool);

impl pillarbox::Authenticator for Only {
    fn mechanisms(&self, _: &pillarbox::Context) -> Vec<pillarbox::Mechanism> {
        match self.0 {
            "PLAIN" => vec![pillarbox::Mechanism::Plain],
            _ => vec![pillarbox::Mechanism::Login],
        }
    }

    fn password(&self, _: &pillarbox::Context, user: &str, password: &str) -> Result<String, pillarbox::AuthFailure> {
        if self.1(user, password) { Ok(user.to_owned()) } else { Err(pillarbox::AuthFailure::Credentials) }
    }
}

#[test]
fn authenticated_strangers_are_relayed_for() {
    for certificate in Certificate::each() {
        let server = inbox(Server::builder());
        let tls: Tls = certificate.tls();
        let proxy = Server::builder()
            .proxy_protocol(Network::loopback())
            .tls(tls)
            .authenticator(users())
            .serve("127.0.0.1:0", Proxy::to(server.local_addr()))
            .unwrap();
        let mut client = TlsClient::connect(proxy.local_addr());
        client.send("PROXY TCP4 203.0.113.9 127.0.0.1 40000 25\r\n");
        client.expect_reply("220 ");
        client.expect("EHLO client.example", "250");
        client.expect("STARTTLS", "220");
        let mut client = client.handshake(&certificate);
        client.expect("EHLO client.example", "250");
        client.expect("MAIL FROM:<a@client.example>", "250");
        client.expect("RCPT TO:<b@example.org>", "550 5.7.1");
        client.expect("RSET", "250");
        client.expect("AUTH PLAIN AGJvYgBvcGVuIHNlc2FtZQ==", "235");
        client.expect("MAIL FROM:<a@client.example>", "250");
        client.expect("RCPT TO:<b@example.org>", "250");
    }
}
