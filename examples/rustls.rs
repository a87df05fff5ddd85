//! Another TLS library instead of native-tls: rustls, which asks clients for a certificate and tells more about the session.
//!
//! `cargo run --example rustls [ADDRESS:PORT]` makes its own certificates and writes them to the current folder. Connect with
//! `openssl s_client -connect localhost:8465 -cert client.pem -key client.pem -CAfile server.pem -quiet`, then say
//! `AUTH EXTERNAL =`.

use std::error::Error;
use std::io::{self, Read, Write};
use std::sync::Arc;

use pillarbox::{
    AuthFailure, Authenticator, Context, Envelope, Listener, Mechanism, Server, Tls, TlsAcceptor, TlsInfo, TlsStream,
    Transport,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};

/// What rustls needs for the server's side of a handshake.
struct Rustls(Arc<ServerConfig>);

impl TlsAcceptor for Rustls {
    fn accept(&self, transport: Transport) -> io::Result<Box<dyn TlsStream>> {
        let connection = ServerConnection::new(self.0.clone()).map_err(io::Error::other)?;
        let mut stream = StreamOwned::new(connection, transport);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock)?;
        }
        Ok(Box::new(Session(stream)))
    }
}

/// A connection after the handshake.
struct Session(StreamOwned<ServerConnection, Transport>);

impl Read for Session {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.read(buf)
    }
}

impl Write for Session {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let written = self.0.write(buf)?;
        // rustls keeps encrypted octets until it is flushed.
        self.0.flush()?;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl TlsStream for Session {
    fn info(&self) -> TlsInfo {
        let connection = &self.0.conn;
        let mut info = TlsInfo::default();
        info.version = connection.protocol_version().map(|version| format!("{version:?}"));
        info.cipher = connection.negotiated_cipher_suite().map(|suite| format!("{:?}", suite.suite()));
        info.server_name = connection.server_name().map(str::to_owned);
        info.client_certificate = connection.peer_certificates().and_then(|chain| Some(chain.first()?.to_vec()));
        // RFC 9266: the channel binding for SCRAM-SHA-256-PLUS.
        info.exporter =
            connection.export_keying_material([0; 32], b"EXPORTER-Channel-Binding", None).map(Vec::from).ok();
        info
    }

    fn close(&mut self) -> io::Result<()> {
        self.0.conn.send_close_notify();
        self.0.flush()
    }

    fn buffered_octets(&mut self) -> usize {
        self.0.conn.process_new_packets().map_or(0, |state| state.plaintext_bytes_to_read())
    }
}

/// Accepts AUTH EXTERNAL from clients with the one client certificate.
struct OneClient(Vec<u8>);

impl Authenticator for OneClient {
    fn mechanisms(&self, _: &Context) -> Vec<Mechanism> {
        vec![Mechanism::External]
    }

    fn external(&self, _: &Context, certificate: &[u8], acts_as: Option<&str>) -> Result<String, AuthFailure> {
        match acts_as {
            None | Some("client") if certificate == self.0 => Ok("client".to_owned()),
            _ => Err(AuthFailure::Credentials),
        }
    }
}

/// A server that asks clients for the certificate `client`. Others may connect, but cannot authenticate.
fn serve(
    at: &str,
    server: (CertificateDer<'static>, PrivateKeyDer<'static>),
    client: &CertificateDer<'static>,
) -> Result<Server, Box<dyn Error>> {
    let mut roots = RootCertStore::empty();
    roots.add(client.clone())?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone())
        .allow_unauthenticated()
        .build()?;
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(verifier)
        .with_single_cert(vec![server.0], server.1)?;
    let handler = |mail: Envelope| {
        let version = mail.tls().and_then(|tls| tls.version.as_deref()).unwrap_or("no TLS");
        println!("{} from {:?} by {version}", mail.id(), mail.identity());
    };
    let server = Server::builder()
        .tls(Tls::new(Rustls(Arc::new(config))))
        .authenticator(OneClient(client.to_vec()))
        .serve(Listener::from(at).implicit_tls(), handler)?;
    Ok(server)
}

fn certificate(name: &str) -> Result<rcgen::CertifiedKey<rcgen::KeyPair>, rcgen::Error> {
    rcgen::generate_simple_self_signed([name.to_owned()])
}

fn key(of: &rcgen::CertifiedKey<rcgen::KeyPair>) -> PrivateKeyDer<'static> {
    PrivatePkcs8KeyDer::from(of.signing_key.serialize_der()).into()
}

fn main() -> Result<(), Box<dyn Error>> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "localhost:8465".to_owned());
    let (server, client) = (certificate("localhost")?, certificate("client")?);
    std::fs::write("server.pem", server.cert.pem())?;
    std::fs::write("client.pem", client.cert.pem() + &client.signing_key.serialize_pem())?;
    let server = serve(&address, (server.cert.der().clone(), key(&server)), client.cert.der())?;
    eprintln!("listening on {}", server.local_addr());
    server.join();
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};
    use std::net::TcpStream;

    use rustls::{ClientConfig, ClientConnection};

    use super::*;

    /// Says each line and gives the last line of each reply.
    fn converse(
        server: &Server,
        root: &CertificateDer<'static>,
        config: impl FnOnce(RootCertStore) -> ClientConfig,
    ) -> Vec<String> {
        let mut roots = RootCertStore::empty();
        roots.add(root.clone()).unwrap();
        let connection = ClientConnection::new(Arc::new(config(roots)), "localhost".try_into().unwrap()).unwrap();
        let stream = TcpStream::connect(server.local_addr()).unwrap();
        let mut stream = BufReader::new(StreamOwned::new(connection, stream));
        let mut replies = Vec::new();
        for line in ["", "EHLO client.example\r\n", "AUTH EXTERNAL =\r\n", "QUIT\r\n"] {
            stream.get_mut().write_all(line.as_bytes()).unwrap();
            stream.get_mut().flush().unwrap();
            let mut reply = String::new();
            while reply.get(3..4) != Some(" ") {
                reply.clear();
                assert!(stream.read_line(&mut reply).unwrap() > 0);
            }
            replies.push(reply);
        }
        replies
    }

    #[test]
    fn a_client_is_who_its_certificate_says() {
        let (own, client) = (certificate("localhost").unwrap(), certificate("client").unwrap());
        let server = serve("127.0.0.1:0", (own.cert.der().clone(), key(&own)), client.cert.der()).unwrap();
        let provider = || Arc::new(rustls::crypto::ring::default_provider());
        let builder = || ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions().unwrap();
        let known = |roots| {
            let chain = vec![client.cert.der().clone()];
            builder().with_root_certificates(roots).with_client_auth_cert(chain, key(&client)).unwrap()
        };
        assert!(converse(&server, own.cert.der(), known)[2].starts_with("235 2.7.0"));
        let unknown = |roots| builder().with_root_certificates(roots).with_no_client_auth();
        assert!(converse(&server, own.cert.der(), unknown)[2].starts_with("504 5.5.4"));
    }
}
