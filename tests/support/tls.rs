//! Certificates for a test, and a client within TLS.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
#[cfg(feature = "rustls")]
use std::sync::Arc;

use native_tls::{TlsConnector, TlsStream};
use pillarbox::{Tls, Upstream};

/// A self-signed certificate for `localhost`, and the library that a server uses it with.
pub struct Certificate {
    pub cert: String,
    pub key: String,
    #[cfg(feature = "rustls")]
    by_rustls: bool,
}

impl Certificate {
    /// For native-tls.
    pub fn new() -> Certificate {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a name that is one");
        Certificate {
            cert: made.cert.pem(),
            key: made.signing_key.serialize_pem(),
            #[cfg(feature = "rustls")]
            by_rustls: false,
        }
    }

    /// One for each library.
    pub fn each() -> Vec<Certificate> {
        vec![
            Certificate::new(),
            #[cfg(feature = "rustls")]
            Certificate { by_rustls: true, ..Certificate::new() },
        ]
    }

    pub fn is_for_rustls(&self) -> bool {
        #[cfg(feature = "rustls")]
        return self.by_rustls;
        #[cfg(not(feature = "rustls"))]
        false
    }

    pub fn tls(&self) -> Tls {
        #[cfg(feature = "rustls")]
        if self.by_rustls {
            return Tls::rustls_from_pem(self.cert.as_bytes(), self.key.as_bytes()).expect("a certificate and its key");
        }
        Tls::from_pem(self.cert.as_bytes(), self.key.as_bytes()).expect("a certificate and its key")
    }

    /// That upstream, by the certificate's library, trusting this certificate and no other.
    pub fn trusted_by(&self, upstream: Upstream) -> Upstream {
        #[cfg(feature = "rustls")]
        if self.by_rustls {
            use pillarbox::rustls::pki_types::{CertificateDer, pem::PemObject};
            let mut roots = pillarbox::rustls::RootCertStore::empty();
            roots.add(CertificateDer::from_pem_slice(self.cert.as_bytes()).expect("PEM")).expect("a certificate");
            let provider = Arc::new(pillarbox::rustls::crypto::ring::default_provider());
            let config = pillarbox::rustls::ClientConfig::builder_with_provider(provider)
                .with_safe_default_protocol_versions()
                .expect("ring has both");
            return upstream.rustls_config(Arc::new(config.with_root_certificates(roots).with_no_client_auth()));
        }
        upstream.tls_connector(self.connector())
    }

    /// That upstream, by the certificate's library, trusting what the system does.
    pub fn by_library(&self, upstream: Upstream) -> Upstream {
        #[cfg(feature = "rustls")]
        if self.by_rustls {
            return upstream.rustls();
        }
        upstream
    }

    /// A client that trusts this certificate and no other.
    pub fn connector(&self) -> TlsConnector {
        let root = native_tls::Certificate::from_pem(self.cert.as_bytes()).expect("PEM");
        TlsConnector::builder().disable_built_in_roots(true).add_root_certificate(root).build().expect("a connector")
    }
}

/// A client, in clear and then within TLS.
pub struct TlsClient<S> {
    pub stream: S,
    unread: Vec<u8>,
}

impl TlsClient<TcpStream> {
    pub fn connect(server: SocketAddr) -> TlsClient<TcpStream> {
        let stream = TcpStream::connect(server).expect("the server listens");
        stream.set_read_timeout(Some(std::time::Duration::from_secs(30))).expect("a TCP socket");
        TlsClient { stream, unread: Vec::new() }
    }

    pub fn handshake(self, certificate: &Certificate) -> TlsClient<TlsStream<TcpStream>> {
        self.handshake_by(&certificate.connector())
    }

    /// For many: to make a connector takes longer than its handshake.
    pub fn handshake_by(self, connector: &TlsConnector) -> TlsClient<TlsStream<TcpStream>> {
        assert!(self.unread.is_empty(), "clear text behind the 220");
        let stream = connector.connect("localhost", self.stream).expect("a handshake");
        TlsClient { stream, unread: Vec::new() }
    }

    /// Up to the TLS session behind STARTTLS.
    pub fn start_tls(server: SocketAddr, certificate: &Certificate) -> TlsClient<TlsStream<TcpStream>> {
        let mut client = TlsClient::connect(server);
        client.expect_reply("220 ");
        client.expect("EHLO client.example", "250");
        client.expect("STARTTLS", "220 2.0.0");
        client.handshake(certificate)
    }
}

impl<S: Read + Write> TlsClient<S> {
    /// A client on a connection that is ready.
    pub fn within(stream: S) -> TlsClient<S> {
        TlsClient { stream, unread: Vec::new() }
    }

    pub fn send(&mut self, octets: impl AsRef<[u8]>) {
        self.stream.write_all(octets.as_ref()).expect("the server reads");
    }

    /// Reads one reply, its lines joined by `\n`; what was left and `<closed>` if the server closes.
    pub fn reply(&mut self) -> String {
        let mut lines = Vec::new();
        loop {
            while let Some(end) = self.unread.windows(2).position(|pair| pair == b"\r\n") {
                let line: Vec<u8> = self.unread.drain(..end + 2).collect();
                let line = String::from_utf8(line[..end].to_vec()).expect("replies are ASCII");
                let last = line.as_bytes().get(3) != Some(&b'-');
                lines.push(line);
                if last {
                    return lines.join("\n");
                }
            }
            let mut octets = [0; 4096];
            match self.stream.read(&mut octets) {
                Ok(0) | Err(_) => return lines.join("\n") + "<closed>",
                Ok(n) => self.unread.extend_from_slice(&octets[..n]),
            }
        }
    }

    pub fn expect_reply(&mut self, reply: &str) -> String {
        let said = self.reply();
        assert!(said.starts_with(reply), "{said:?}, not {reply}");
        said
    }

    pub fn expect(&mut self, line: &str, reply: &str) -> String {
        self.send(format!("{line}\r\n"));
        let said = self.reply();
        assert!(said.starts_with(reply), "{line} brought {said:?}, not {reply}");
        said
    }
}
