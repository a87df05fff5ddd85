//! What a real HAProxy says of its clients in PROXY headers of version 2.
//!
//! Where HAProxy is missing the test says so and passes; with `TEST_PILLARBOX_REQUIRE_CLIENTS=1` in the environment it fails
//! instead.

use std::fs;
use std::net::{SocketAddr, TcpStream};

use crate::support;
use crate::support::client::{Client, PATIENCE};
use crate::support::haproxy::HaProxy;
use crate::support::tls::Certificate;
use native_tls::{Identity, TlsConnector};
use pillarbox::{Context, Network, ProxyInfo, Reply, Server, Session};

/// One that takes TLS at the first address and clear connections at the second, and sends both on.
fn start(server: SocketAddr, certificate: &Certificate, authority: &str) -> Option<(HaProxy, [SocketAddr; 2])> {
    let program = support::program("haproxy")?;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).expect("room");
        path.display().to_string()
    };
    let pem = file("server.pem", &format!("{}{}", certificate.cert, certificate.key));
    let ca = file("clients.pem", authority);
    Some(HaProxy::start_at(&program, |[smtps, smtp]| {
        format!(
            "defaults\n mode tcp\n timeout connect 10s\n timeout client 60s\n timeout server 60s\n\
             frontend smtps\n bind {smtps} ssl crt {pem} verify optional ca-file {ca} crt-ignore-err all\n\
             \x20unique-id-format conn-%ci-%cp\n default_backend mail\n\
             frontend smtp\n bind {smtp}\n unique-id-format conn-%ci-%cp\n default_backend mail\n\
             backend mail\n server one {server} send-proxy-v2 proxy-v2-options \
             ssl,cert-cn,ssl-cipher,cert-sig,cert-key,unique-id,crc32c,authority\n"
        )
    }))
}

/// Hands on what the proxy has said.
struct Telling;

impl Session for Telling {
    fn mail(
        &mut self,
        context: &Context,
        _: &pillarbox::ReversePath,
        _: &pillarbox::MailParameters,
    ) -> Result<(), Reply> {
        assert!(context.tls().is_none());
        context.values().insert(context.proxy().cloned());
        Ok(())
    }
}

/// A certificate of this name that is its own authority, and its key.
fn certificate(name: &str) -> Certificate {
    let mut parameters = rcgen::CertificateParams::new([]).expect("no names");
    parameters.distinguished_name.push(rcgen::DnType::CommonName, name);
    let key = rcgen::KeyPair::generate().expect("a key");
    let made = parameters.self_signed(&key).expect("a certificate");
    let mut certificate = Certificate::new();
    (certificate.cert, certificate.key) = (made.pem(), key.serialize_pem());
    certificate
}

#[test]
fn what_it_says_of_tls_and_of_the_connection() {
    let inbox = Server::builder()
        .proxy_protocol(Network::loopback())
        .session(|_| Telling)
        .inbox("127.0.0.1:0")
        .expect("a free port");
    let (server, client) = (Certificate::new(), certificate("bob of client.example"));
    let stranger = certificate("eve");
    let Some((_proxy, [smtps, smtp])) = start(inbox.local_addr(), &server, &client.cert) else { return };
    let send = |certificate: Option<&Certificate>| -> (String, ProxyInfo) {
        let mut builder = TlsConnector::builder();
        builder.disable_built_in_roots(true);
        builder.add_root_certificate(native_tls::Certificate::from_pem(server.cert.as_bytes()).expect("PEM"));
        if let Some(Certificate { cert, key, .. }) = certificate {
            builder.identity(Identity::from_pkcs8(cert.as_bytes(), key.as_bytes()).expect("a certificate and its key"));
        }
        let stream = TcpStream::connect(smtps).expect("haproxy listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a TCP socket");
        let address = stream.local_addr().expect("a TCP socket");
        let stream = builder.build().expect("a connector").connect("localhost", stream).expect("a handshake");
        let mut client = support::tls::TlsClient::within(stream);
        client.expect_reply("220 ");
        client.expect("EHLO client.example", "250");
        client.expect("MAIL FROM:<a@client.example>", "250");
        client.expect("RCPT TO:<b@example.org>", "250");
        client.expect("DATA", "354");
        client.expect(".", "250");
        let mail = inbox.recv_timeout(PATIENCE).expect("it came");
        assert_eq!(mail.peer().socket_addr(), Some(address));
        let said = mail.values().take::<Option<ProxyInfo>>().expect("the session ran").expect("it says something");
        (format!("conn-{}-{}", address.ip(), address.port()), said)
    };
    for (certificate, name, is_verified) in [
        (None, None, false),
        (Some(&client), Some("bob of client.example"), true),
        (Some(&stranger), Some("eve"), false),
    ] {
        let (id, said) = send(certificate);
        assert_eq!(said.unique_id.as_deref(), Some(id.as_bytes()));
        assert_eq!(said.authority.as_deref(), Some("localhost"));
        let tls = said.tls.as_ref().expect("TLS");
        assert!(tls.version.as_ref().is_some_and(|version| version.starts_with("TLSv1.")), "{tls:?}");
        assert!(
            tls.cipher.as_ref().is_some_and(|cipher| cipher.contains("AES") || cipher.contains("CHACHA")),
            "{tls:?}"
        );
        assert!(tls.key_algorithm.is_some() && tls.signature_algorithm.is_some(), "{tls:?}");
        assert_eq!((tls.has_certificate, tls.is_verified), (name.is_some(), is_verified), "{tls:?}");
        assert_eq!(tls.common_name.as_deref(), name, "{tls:?}");
    }
    // In clear.
    let mut client = Client::envelope(smtp);
    client.expect("DATA", "354");
    client.expect(".", "250");
    let mail = inbox.recv_timeout(PATIENCE).expect("it came");
    let said = mail.values().take::<Option<ProxyInfo>>().expect("the session ran").expect("it says something");
    assert_eq!((said.tls, said.authority), (None, None));
    assert!(said.unique_id.is_some_and(|id| id.starts_with(b"conn-127.0.0.1-")));
}
