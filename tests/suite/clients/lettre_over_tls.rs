//! lettre by each of its TLS libraries, with servers by each of ours: STARTTLS and implicit TLS, and AUTH within.

use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate as Root, Tls, TlsParameters, TlsParametersBuilder, TlsVersion};
use lettre::transport::smtp::{Error, response::Response};
use lettre::{Message, SmtpTransport, Transport};
use pillarbox::{Builder, Server};

use super::secure_clients::Secure;
use crate::support::tls::Certificate;

#[derive(Clone, Copy, Debug)]
enum Library {
    NativeTls,
    Rustls,
}

const LIBRARIES: [Library; 2] = [Library::NativeTls, Library::Rustls];

impl Library {
    fn build(self, parameters: TlsParametersBuilder) -> TlsParameters {
        match self {
            Library::NativeTls => parameters.build_native(),
            Library::Rustls => parameters.build_rustls(),
        }
        .expect("parameters")
    }
}

fn strict() -> Builder {
    Server::builder().require_tls(true).require_auth(true)
}

/// Trusts the server's certificate for a name.
fn trusting(secure: &Secure, name: &str, least: TlsVersion) -> TlsParametersBuilder {
    let root = Root::from_pem(&std::fs::read(secure.path("cert.pem")).unwrap()).unwrap();
    TlsParameters::builder(name.to_owned()).add_root_certificate(root).set_min_tls_version(least)
}

/// By STARTTLS, and by implicit TLS.
fn send_both_ways(secure: &Secure, parameters: &TlsParameters) -> [Result<Response, Error>; 2] {
    [
        (secure.inbox.local_addr().port(), Tls::Required(parameters.clone())),
        (secure.implicit.port(), Tls::Wrapper(parameters.clone())),
    ]
    .map(|(port, tls)| {
        let transport = SmtpTransport::builder_dangerous("localhost")
            .port(port)
            .tls(tls)
            .credentials(Credentials::new("bob".into(), "bu:lder\u{fc}".into()))
            .build();
        let message = Message::builder()
            .from("sender@example.org".parse().unwrap())
            .to("recipient@example.org".parse().unwrap())
            .body("hello".to_owned())
            .unwrap();
        transport.send(&message)
    })
}

/// With a version that the server tells, or `None` if its library does not.
#[track_caller]
fn assert_sends(secure: &Secure, library: Library, least: TlsVersion, version: Option<&str>) {
    for sent in send_both_ways(secure, &library.build(trusting(secure, "localhost", least))) {
        sent.unwrap_or_else(|e| panic!("{library:?}: {e:?}"));
        let mail = secure.receive();
        assert_eq!(mail.protocol().to_string(), "ESMTPSA");
        assert_eq!(mail.identity(), Some("bob"));
        assert_eq!(mail.tls().expect("TLS").version.as_deref(), version, "{library:?}");
    }
}

#[track_caller]
fn assert_refuses(secure: &Secure, library: Library, parameters: TlsParametersBuilder) {
    for sent in send_both_ways(secure, &library.build(parameters)) {
        let error = sent.expect_err("a handshake that fails");
        assert!(error.status().is_none(), "{library:?}: {error:?}");
    }
    assert!(secure.inbox.is_empty());
}

/// lettre asks for TLS 1.3 as the least by rustls only. native-tls's servers speak nothing newer than TLS 1.2.
#[test]
fn with_a_server_by_native_tls() {
    let secure = Secure::new(strict(), &Certificate::new());
    for library in LIBRARIES {
        assert_sends(&secure, library, TlsVersion::Tlsv12, None);
    }
    assert_refuses(&secure, Library::Rustls, trusting(&secure, "localhost", TlsVersion::Tlsv13));
}

#[cfg(feature = "rustls")]
#[test]
fn with_a_server_by_rustls() {
    let certificate = Certificate::each().pop().expect("the one for rustls");
    assert!(certificate.is_for_rustls());
    let secure = Secure::new(strict(), &certificate);
    for library in LIBRARIES {
        assert_sends(&secure, library, TlsVersion::Tlsv12, Some("TLSv1.3"));
    }
    assert_sends(&secure, Library::Rustls, TlsVersion::Tlsv13, Some("TLSv1.3"));
}

/// lettre knows no newest version: the server speaks TLS 1.2 alone.
#[cfg(feature = "rustls")]
#[test]
fn tls_1_2_with_a_server_by_rustls() {
    use pillarbox::rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
    use pillarbox::rustls::{ServerConfig, crypto::ring, version::TLS12};

    let certificate = Certificate::new();
    let chain = vec![CertificateDer::from_pem_slice(certificate.cert.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(certificate.key.as_bytes()).unwrap();
    let config = ServerConfig::builder_with_provider(ring::default_provider().into())
        .with_protocol_versions(&[&TLS12])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let secure = Secure::with_tls(strict(), &certificate, pillarbox::Tls::from_rustls(config.into()));
    for library in LIBRARIES {
        assert_sends(&secure, library, TlsVersion::Tlsv12, Some("TLSv1.2"));
    }
    assert_refuses(&secure, Library::Rustls, trusting(&secure, "localhost", TlsVersion::Tlsv13));
}

#[test]
fn certificates_that_it_does_not_trust() {
    for certificate in Certificate::each() {
        let secure = Secure::new(strict(), &certificate);
        for library in LIBRARIES {
            assert_refuses(&secure, library, TlsParameters::builder("localhost".to_owned()));
            assert_refuses(&secure, library, trusting(&secure, "other.example", TlsVersion::Tlsv12));
        }
    }
}
