//! Certificates for connections to Redis.

use std::error::Error;
use std::fmt::{self, Debug, Display, Formatter};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::io::tls::client::{ClientPem, TlsClient, TlsLibrary};

/// What a connection to Redis trusts and shows within TLS, for a `rediss://` URL: certificates of your own, in PEM.
///
/// By default the certificates that the system trusts are trusted, and none is shown. TLS is by native-tls with the feature
/// `tls`, else by rustls.
///
/// ```no_run
/// use pillarbox::handlers::{RedisStream, RedisTls};
///
/// let read = std::fs::read;
/// let tls = RedisTls::new().roots(read("ca.pem")?)?.certificate(read("mx1.pem")?, read("mx1.key")?)?;
/// let stream = RedisStream::new("rediss://mx:secret@redis.example.org")?.tls(tls);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Clones share what they trust and show: see [`replace`](RedisTls::replace).
#[derive(Clone, Default)]
pub struct RedisTls {
    current: Arc<Mutex<Current>>,
}

#[derive(Clone, Default)]
struct Current {
    pem: ClientPem,
    client: Option<TlsClient>,
}

impl RedisTls {
    /// The system's certificates, and none to show.
    pub fn new() -> RedisTls {
        RedisTls::default()
    }

    /// The certificates of authorities in PEM, one or several. Redis's certificate must lead to one of them; those that the
    /// system trusts no longer count.
    ///
    /// # Errors
    /// [`RedisTlsError`] if there is none in it, or one cannot be parsed.
    pub fn roots(self, pem: impl Into<Vec<u8>>) -> Result<RedisTls, RedisTlsError> {
        let mut files = self.current.lock().pem.clone();
        files.roots = Some(pem.into());
        RedisTls::built(files, "the certificates of authorities cannot be used")
    }

    /// The certificate to show (`tls-auth-clients yes` asks for one) with the chain that leads to its authority, and its key, all
    /// PEM. The key has no passphrase; native-tls takes PKCS#8 alone.
    ///
    /// # Errors
    /// [`RedisTlsError`] if one of them cannot be parsed, or they do not belong together.
    pub fn certificate(self, chain: impl Into<Vec<u8>>, key: impl Into<Vec<u8>>) -> Result<RedisTls, RedisTlsError> {
        let mut files = self.current.lock().pem.clone();
        files.certificate = Some((chain.into(), key.into()));
        RedisTls::built(files, "the certificate to show and its key cannot be used")
    }

    /// Replaces what is trusted and shown, for this value and its clones, so that renewed certificates need no restart.
    /// Connections that are open stay.
    pub fn replace(&self, new: RedisTls) {
        let new = new.current.lock().clone();
        *self.current.lock() = new;
    }

    fn built(pem: ClientPem, what: &'static str) -> Result<RedisTls, RedisTlsError> {
        let client = TlsLibrary::default().with_pem(&pem).map_err(|source| RedisTlsError { what, source })?;
        Ok(RedisTls { current: Arc::new(Mutex::new(Current { pem, client: Some(client) })) })
    }

    pub(super) fn client(&self) -> Result<TlsClient, Box<dyn Error + Send + Sync>> {
        match &self.current.lock().client {
            Some(client) => Ok(client.clone()),
            None => TlsLibrary::default().verifying(),
        }
    }

    /// Takes any certificate.
    pub(super) fn unverifying() -> Result<TlsClient, Box<dyn Error + Send + Sync>> {
        TlsLibrary::default().unverifying()
    }
}

impl Debug for RedisTls {
    /// Without the key.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Current { pem, .. } = &*self.current.lock();
        f.debug_struct("RedisTls")
            .field("has_roots", &pem.roots.is_some())
            .field("has_certificate", &pem.certificate.is_some())
            .finish()
    }
}

/// Why [`RedisTls`] cannot use what it was given. The [source](Error::source) says what is wrong with it.
#[derive(Debug)]
pub struct RedisTlsError {
    what: &'static str,
    source: Box<dyn Error + Send + Sync>,
}

impl Display for RedisTlsError {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(self.what)
    }
}

impl Error for RedisTlsError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.source)
    }
}
