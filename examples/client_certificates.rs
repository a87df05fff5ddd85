//! Clients that authenticate by their certificate: AUTH EXTERNAL (RFC 4422 appendix A) within TLS by rustls.
//!
//! `cargo run --example client_certificates --features rustls [ADDRESS:PORT]` makes its own certificates and writes them to
//! the current folder. Connect with
//! `openssl s_client -connect localhost:8465 -cert client.pem -key client.pem -CAfile server.pem -quiet`, then say
//! `AUTH EXTERNAL =`.

use std::error::Error;

use pillarbox::{AuthFailure, Authenticator, ClientCertificates, Context, Envelope, Listener, Mechanism, Server, Tls};
use rcgen::{CertifiedKey, KeyPair};

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
fn serve(at: &str, server: &CertifiedKey<KeyPair>, client: &CertifiedKey<KeyPair>) -> Result<Server, Box<dyn Error>> {
    let tls = Tls::rustls()
        .certificate(server.cert.pem().as_bytes(), server.signing_key.serialize_pem().as_bytes())?
        .client_certificates(ClientCertificates::Asked, client.cert.pem().as_bytes())?
        .build()?;
    let handler = |mail: Envelope| {
        let version = mail.tls().and_then(|tls| tls.version.as_deref()).unwrap_or("no TLS");
        println!("{} from {:?} by {version}", mail.id(), mail.identity());
    };
    let server = Server::builder()
        .tls(tls)
        .authenticator(OneClient(client.cert.der().to_vec()))
        .serve(Listener::from(at).implicit_tls(), handler)?;
    Ok(server)
}

fn certificate(name: &str) -> Result<CertifiedKey<KeyPair>, rcgen::Error> {
    rcgen::generate_simple_self_signed([name.to_owned()])
}

fn main() -> Result<(), Box<dyn Error>> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "localhost:8465".to_owned());
    let (server, client) = (certificate("localhost")?, certificate("client")?);
    std::fs::write("server.pem", server.cert.pem())?;
    std::fs::write("client.pem", client.cert.pem() + &client.signing_key.serialize_pem())?;
    let server = serve(&address, &server, &client)?;
    eprintln!("listening on {}", server.local_addr());
    server.join();
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Write};
    use std::net::TcpStream;
    use std::sync::Arc;

    use pillarbox::rustls::crypto::ring::default_provider;
    use pillarbox::rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
    use pillarbox::rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

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
        let server = serve("127.0.0.1:0", &own, &client).unwrap();
        let provider = || Arc::new(default_provider());
        let builder = || ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions().unwrap();
        let known = |roots| {
            let chain = vec![client.cert.der().clone()];
            let key = PrivatePkcs8KeyDer::from(client.signing_key.serialize_der());
            builder().with_root_certificates(roots).with_client_auth_cert(chain, key.into()).unwrap()
        };
        assert!(converse(&server, own.cert.der(), known)[2].starts_with("235 2.7.0"));
        let unknown = |roots| builder().with_root_certificates(roots).with_no_client_auth();
        assert!(converse(&server, own.cert.der(), unknown)[2].starts_with("504 5.5.4"));
    }
}
