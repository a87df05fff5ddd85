//! TLS: the acceptor of native-tls, and the trait by which another library replaces it.

use std::fmt::{self, Debug, Formatter};
use std::io::{self, Read, Write};
use std::sync::Arc;

use parking_lot::RwLock;

use crate::envelope::tls_info::TlsInfo;
use crate::io::transport::Transport;

/// Does the server's side of TLS handshakes.
///
/// For native-tls, use [`Tls`]. Implement this trait to use another library, for example if you need client certificates,
/// SNI or certain ciphers; `examples/rustls.rs` shows how.
///
/// The handshake, and all that is read and written afterwards, run on the connection's worker thread with its
/// [stack](crate::Builder::worker_stack) of 1 MiB.
pub trait TlsAcceptor: Send + Sync {
    /// Does the server's side of the handshake. The transport's reads and writes end at the handshake's deadline.
    ///
    /// # Errors
    /// Any reason why the handshake fails. The connection is then closed without a reply.
    fn accept(&self, transport: Transport) -> io::Result<Box<dyn TlsStream>>;
}

/// A connection after the handshake.
pub trait TlsStream: Read + Write + Send {
    /// What is known of the session.
    fn info(&self) -> TlsInfo;

    /// Tells the peer that no more will be written: close_notify.
    ///
    /// # Errors
    /// Those of writing it.
    fn close(&mut self) -> io::Result<()>;

    /// How many octets were decrypted and not yet read: a server must know whether a client has waited for a reply. The
    /// default is 0, for libraries that cannot tell.
    fn buffered_octets(&mut self) -> usize {
        0
    }
}

/// The TLS configuration of a server: a certificate with its key, or any [`TlsAcceptor`].
///
/// Clones share the configuration: [`replace`](Tls::replace) installs a new certificate for all new connections, without
/// a restart.
///
/// ```no_run
/// use pillarbox::{Server, Tls, handlers::Sink};
///
/// let tls = Tls::from_pem(&std::fs::read("cert.pem")?, &std::fs::read("key.pem")?)?;
/// let server = Server::builder().tls(tls.clone()).require_tls(true).serve("0.0.0.0:587", Sink)?;
/// // ... when the certificate was renewed:
/// tls.replace(Tls::from_pem(&std::fs::read("cert.pem")?, &std::fs::read("key.pem")?)?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Tls {
    current: Arc<RwLock<Arc<dyn TlsAcceptor>>>,
}

impl Tls {
    /// TLS by any acceptor.
    pub fn new(acceptor: impl TlsAcceptor + 'static) -> Tls {
        Tls { current: Arc::new(RwLock::new(Arc::new(acceptor))) }
    }

    /// Replaces the certificate: handshakes from now on use the other one.
    pub fn replace(&self, with: Tls) {
        let with = with.acceptor();
        *self.current.write() = with;
    }

    pub(crate) fn acceptor(&self) -> Arc<dyn TlsAcceptor> {
        self.current.read().clone()
    }
}

impl Debug for Tls {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").finish_non_exhaustive()
    }
}

#[cfg(feature = "tls")]
mod native {
    use std::fmt::{self, Display, Formatter};
    use std::io;

    use super::{Tls, TlsAcceptor, TlsStream};
    use crate::envelope::tls_info::TlsInfo;
    use crate::io::transport::Transport;

    /// Why a certificate and its key cannot be used.
    #[derive(Debug)]
    #[non_exhaustive]
    pub enum TlsError {
        /// The key is in a format that native-tls does not accept.
        KeyForm(&'static str),
        /// native-tls refuses them. Its error is a part of this crate's API: see the crate's documentation, "Types of other crates".
        Native(native_tls::Error),
    }

    impl Display for TlsError {
        fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
            match self {
                TlsError::KeyForm(what) => f.write_str(what),
                TlsError::Native(_) => f.write_str("the certificate and key cannot be used"),
            }
        }
    }

    impl std::error::Error for TlsError {
        fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
            match self {
                TlsError::KeyForm(_) => None,
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
        /// it turns TLS 1.3 off in servers. If you need TLS 1.3, bring another [`TlsAcceptor`], such as that of
        /// `examples/rustls.rs`.
        ///
        /// # Errors
        /// [`TlsError::KeyForm`] for a key in another format, with the command that converts it; [`TlsError::Native`] if
        /// they cannot be parsed or do not belong together.
        pub fn from_pem(certificates: &[u8], key: &[u8]) -> Result<Tls, TlsError> {
            let has = |label: &str| memchr::memmem::find(key, label.as_bytes()).is_some();
            if has("BEGIN ENCRYPTED PRIVATE KEY") || has("Proc-Type: 4,ENCRYPTED") {
                return Err(TlsError::KeyForm(DECRYPT));
            }
            if !has("BEGIN PRIVATE KEY") {
                return Err(TlsError::KeyForm(if has("PRIVATE KEY") { CONVERT } else { NO_KEY }));
            }
            Tls::from_identity(native_tls::Identity::from_pkcs8(certificates, key)?)
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
            Ok(Tls::new(acceptor))
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
}

#[cfg(feature = "tls")]
pub use native::TlsError;
