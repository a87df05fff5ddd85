//! TLS: native-tls and rustls side by side, and the trait by which another library replaces them.

use std::fmt::{self, Debug, Formatter};
use std::io::{self, Read, Write};
use std::sync::Arc;

use parking_lot::RwLock;

use crate::envelope::tls_info::TlsInfo;
use crate::io::transport::Transport;

#[cfg(feature = "_tls")]
pub(crate) mod client;
#[cfg(feature = "tls")]
mod native_tls;
#[cfg(feature = "rustls")]
mod rustls;

#[cfg(feature = "tls")]
pub use self::native_tls::TlsError;
#[cfg(feature = "rustls")]
pub(crate) use self::rustls::RustlsStream;
#[cfg(feature = "rustls")]
pub use self::rustls::{ClientCertificates, RustlsBuilder, RustlsError};

/// Does the server's side of TLS handshakes.
///
/// For native-tls and rustls, use [`Tls`]. Implement this trait to use another library.
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
