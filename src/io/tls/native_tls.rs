//! TLS by native-tls: the system's own library, OpenSSL on Linux.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt::{self, Display, Formatter};
use std::io::{self, Read, Write};
use std::rc::Rc;

use native_tls::HandshakeError;

use super::{Tls, TlsAcceptor, TlsStream};
use crate::envelope::tls_info::TlsInfo;
use crate::io::transport::Transport;

/// Why a certificate and its key cannot be used.
#[derive(Debug)]
#[non_exhaustive]
pub enum TlsError {
    /// The key is in a format that native-tls does not accept.
    KeyForm(&'static str),
    /// The key belongs to another certificate.
    OtherKey,
    /// native-tls refuses them. Its error is a part of this crate's API: see the crate's documentation, "Types of other
    /// crates".
    Native(native_tls::Error),
}

impl Display for TlsError {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            TlsError::KeyForm(what) => f.write_str(what),
            TlsError::OtherKey => f.write_str("the key belongs to another certificate"),
            TlsError::Native(_) => f.write_str("the certificate and key cannot be used"),
        }
    }
}

impl std::error::Error for TlsError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            TlsError::KeyForm(_) | TlsError::OtherKey => None,
            TlsError::Native(e) => Some(e),
        }
    }
}

/// An error of native-tls 0.2, as when you build an acceptor yourself.
impl From<native_tls::Error> for TlsError {
    fn from(e: native_tls::Error) -> TlsError {
        TlsError::Native(e)
    }
}

const CONVERT: &str = "the key must be PKCS#8, beginning with BEGIN PRIVATE KEY; \
    convert it with: openssl pkcs8 -topk8 -nocrypt -in key.pem -out pkcs8.pem";
const DECRYPT: &str = "the key is encrypted; decrypt it with: openssl pkcs8 -in key.pem -out pkcs8.pem";
const NO_KEY: &str = "the key is not PEM: nothing in it begins with BEGIN PRIVATE KEY";

impl Tls {
    /// A certificate chain, the server's own first, and its key, both PEM. The key must be PKCS#8 without a
    /// passphrase: `BEGIN PRIVATE KEY`. The server speaks TLS 1.2 and later, as far as native-tls allows: with OpenSSL
    /// it turns TLS 1.3 off in servers, and takes suites without forward secrecy. RFC 9325 asks for better: see
    /// `Tls::rustls_from_pem`, with the feature `rustls`.
    ///
    /// # Errors
    /// [`TlsError::KeyForm`] for a key in another format, with the command that converts it; [`TlsError::Native`] if
    /// they cannot be parsed or do not belong together.
    pub fn from_pem(certificates: &[u8], key: &[u8]) -> Result<Tls, TlsError> {
        Tls::from_identity(identity(certificates, key)?)
    }

    /// A certificate chain with its key, in a PKCS#12 archive. TLS versions are as for [`Tls::from_pem`].
    ///
    /// # Errors
    /// [`TlsError::Native`] if it cannot be parsed, or the passphrase is wrong.
    pub fn from_pkcs12(archive: &[u8], passphrase: &str) -> Result<Tls, TlsError> {
        Tls::from_identity(native_tls::Identity::from_pkcs12(archive, passphrase)?)
    }

    fn from_identity(identity: native_tls::Identity) -> Result<Tls, TlsError> {
        let acceptor = native_tls::TlsAcceptor::builder(identity)
            .min_protocol_version(Some(native_tls::Protocol::Tlsv12))
            .build()?;
        if !proves_itself(&acceptor)? {
            return Err(TlsError::OtherKey);
        }
        Ok(Tls::new(acceptor))
    }
}

/// A certificate chain with its key, both PEM.
pub(super) fn identity(certificates: &[u8], key: &[u8]) -> Result<native_tls::Identity, TlsError> {
    let has = |label: &str| memchr::memmem::find(key, label.as_bytes()).is_some();
    if has("BEGIN ENCRYPTED PRIVATE KEY") || has("Proc-Type: 4,ENCRYPTED") {
        return Err(TlsError::KeyForm(DECRYPT));
    }
    if !has("BEGIN PRIVATE KEY") {
        return Err(TlsError::KeyForm(if has("PRIVATE KEY") { CONVERT } else { NO_KEY }));
    }
    Ok(native_tls::Identity::from_pkcs8(certificates, key)?)
}

/// The certificates of some PEM, one after the other; native-tls reads the first alone.
#[cfg(feature = "redis")]
pub(super) fn certificates(pem: &[u8]) -> Result<Vec<native_tls::Certificate>, TlsError> {
    const BEGIN: &[u8] = b"-----BEGIN CERTIFICATE-----";
    let begins: Vec<usize> = memchr::memmem::find_iter(pem, BEGIN).collect();
    if begins.is_empty() {
        return Err(TlsError::KeyForm("no certificate is in it: nothing begins with BEGIN CERTIFICATE"));
    }
    let ends = begins.iter().skip(1).copied().chain([pem.len()]);
    let blocks = begins.iter().zip(ends).map(|(begin, end)| &pem[*begin..end]);
    Ok(blocks.map(native_tls::Certificate::from_pem).collect::<Result<_, _>>()?)
}

/// Whether a client that takes any certificate comes to an end of its handshake: it does not where the key is another's, which
/// OpenSSL does not look at before.
fn proves_itself(acceptor: &native_tls::TlsAcceptor) -> Result<bool, native_tls::Error> {
    let mut connector = native_tls::TlsConnector::builder();
    connector.danger_accept_invalid_certs(true).danger_accept_invalid_hostnames(true);
    let (client, server) = Pipe::pair();
    let mut client = connector.build()?.connect("localhost", client).map(drop);
    let mut server = acceptor.accept(server).map(drop);
    // Each goes on with what the other has said: some flights, and never many.
    for _ in 0..10 {
        match (client, server) {
            (Ok(()), Ok(())) => return Ok(true),
            (Err(HandshakeError::Failure(_)), _) | (_, Err(HandshakeError::Failure(_))) => return Ok(false),
            (before, now) => {
                client = go_on(before);
                server = go_on(now);
            }
        }
    }
    Ok(false)
}

fn go_on(handshake: Result<(), HandshakeError<Pipe>>) -> Result<(), HandshakeError<Pipe>> {
    match handshake {
        Err(HandshakeError::WouldBlock(waiting)) => waiting.handshake().map(drop),
        done => done,
    }
}

/// One end of a pipe in memory: what was written at the other end can be read here.
#[derive(Debug)]
struct Pipe {
    from: Rc<RefCell<VecDeque<u8>>>,
    to: Rc<RefCell<VecDeque<u8>>>,
}

impl Pipe {
    fn pair() -> (Pipe, Pipe) {
        let (one, other) = (Rc::default(), Rc::default());
        (Pipe { from: Rc::clone(&one), to: Rc::clone(&other) }, Pipe { from: other, to: one })
    }
}

impl Read for Pipe {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self.from.borrow_mut().read(buf)? {
            0 => Err(io::ErrorKind::WouldBlock.into()),
            octets => Ok(octets),
        }
    }
}

impl Write for Pipe {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.to.borrow_mut().write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// An acceptor of native-tls 0.2, whose settings are its own: [`native_tls`](crate::native_tls) is the version that fits.
impl From<native_tls::TlsAcceptor> for Tls {
    fn from(acceptor: native_tls::TlsAcceptor) -> Tls {
        Tls::new(acceptor)
    }
}

impl TlsAcceptor for native_tls::TlsAcceptor {
    fn accept(&self, transport: Transport) -> io::Result<Box<dyn TlsStream>> {
        match native_tls::TlsAcceptor::accept(self, transport) {
            Ok(stream) => Ok(Box::new(stream)),
            Err(native_tls::HandshakeError::Failure(e)) => Err(io::Error::other(e)),
            // The transport waits by itself, up to the deadline.
            Err(native_tls::HandshakeError::WouldBlock(_)) => Err(io::ErrorKind::TimedOut.into()),
        }
    }
}

impl TlsStream for native_tls::TlsStream<Transport> {
    fn info(&self) -> TlsInfo {
        TlsInfo {
            client_certificate: self.peer_certificate().ok().flatten().and_then(|c| c.to_der().ok()),
            server_end_point: self.tls_server_end_point().ok().flatten(),
            ..TlsInfo::default()
        }
    }

    fn close(&mut self) -> io::Result<()> {
        self.shutdown()
    }

    fn buffered_octets(&mut self) -> usize {
        self.buffered_read_size().unwrap_or(0)
    }
}
