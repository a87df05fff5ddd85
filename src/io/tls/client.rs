//! The client's side of TLS, for upstreams.

use std::error::Error;
use std::fmt::{self, Debug, Formatter};
use std::io;
#[cfg(feature = "rustls")]
use std::sync::{Arc, LazyLock};

#[cfg(feature = "tls")]
use native_tls::HandshakeError;
#[cfg(feature = "rustls")]
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
#[cfg(feature = "rustls")]
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
#[cfg(feature = "rustls")]
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
#[cfg(feature = "rustls")]
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, RootCertStore, SignatureScheme};

#[cfg(feature = "rustls")]
use super::RustlsStream;
use super::TlsStream;
use crate::io::transport::Transport;

/// Which library an upstream's TLS is by.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum TlsLibrary {
    #[cfg(feature = "tls")]
    Native,
    #[cfg(feature = "rustls")]
    Rustls,
}

impl Default for TlsLibrary {
    fn default() -> TlsLibrary {
        #[cfg(feature = "tls")]
        return TlsLibrary::Native;
        #[cfg(not(feature = "tls"))]
        return TlsLibrary::Rustls;
    }
}

/// Does the client's side of handshakes.
#[derive(Clone)]
pub(crate) enum TlsClient {
    #[cfg(feature = "tls")]
    Native(native_tls::TlsConnector),
    #[cfg(feature = "rustls")]
    Rustls(Arc<ClientConfig>),
}

impl TlsLibrary {
    /// A client that takes a certificate only if it is valid for the server's name, and leads to what the system trusts.
    pub fn verifying(self) -> Result<TlsClient, Box<dyn Error + Send + Sync>> {
        Ok(match self {
            #[cfg(feature = "tls")]
            TlsLibrary::Native => TlsClient::Native(native_tls::TlsConnector::new()?),
            #[cfg(feature = "rustls")]
            TlsLibrary::Rustls => TlsClient::Rustls(configured(|config| {
                config.with_root_certificates(PLATFORM_ROOTS.clone()).with_no_client_auth()
            })?),
        })
    }

    /// A client that takes any certificate.
    pub fn unverifying(self) -> Result<TlsClient, Box<dyn Error + Send + Sync>> {
        Ok(match self {
            #[cfg(feature = "tls")]
            TlsLibrary::Native => {
                let mut builder = native_tls::TlsConnector::builder();
                builder.danger_accept_invalid_certs(true).danger_accept_invalid_hostnames(true);
                TlsClient::Native(builder.build()?)
            }
            #[cfg(feature = "rustls")]
            TlsLibrary::Rustls => TlsClient::Rustls(configured(|config| {
                let verifier = AnyCertificate(ring::default_provider());
                config.dangerous().with_custom_certificate_verifier(Arc::new(verifier)).with_no_client_auth()
            })?),
        })
    }
}

/// What a client trusts and shows, in PEM.
#[cfg(feature = "redis")]
#[derive(Clone, Default)]
pub(crate) struct ClientPem {
    // The certificates that it trusts, in place of the system's.
    pub roots: Option<Vec<u8>>,
    // Its own certificate chain, and the key.
    pub certificate: Option<(Vec<u8>, Vec<u8>)>,
}

#[cfg(feature = "redis")]
impl TlsLibrary {
    /// A client that takes a certificate only if it is valid for the server's name and leads to what it trusts.
    pub fn with_pem(self, pem: &ClientPem) -> Result<TlsClient, Box<dyn Error + Send + Sync>> {
        Ok(match self {
            #[cfg(feature = "tls")]
            TlsLibrary::Native => {
                let mut builder = native_tls::TlsConnector::builder();
                if let Some(roots) = &pem.roots {
                    // One that stands behind another would be overlooked.
                    let roots = super::native_tls::certificates(roots)?;
                    builder.disable_built_in_roots(true);
                    roots.into_iter().for_each(|root| _ = builder.add_root_certificate(root));
                }
                if let Some((chain, key)) = &pem.certificate {
                    builder.identity(super::native_tls::identity(chain, key)?);
                }
                TlsClient::Native(builder.build()?)
            }
            #[cfg(feature = "rustls")]
            TlsLibrary::Rustls => {
                let roots = match &pem.roots {
                    Some(pem) => Arc::new(super::rustls::roots_from(pem)?),
                    None => PLATFORM_ROOTS.clone(),
                };
                let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
                let config = config.with_safe_default_protocol_versions()?.with_root_certificates(roots);
                TlsClient::Rustls(Arc::new(match &pem.certificate {
                    Some((chain, key)) => {
                        let (chain, key) = super::rustls::chain_and_key(chain, key)?;
                        config.with_client_auth_cert(chain, key)?
                    }
                    None => config.with_no_client_auth(),
                }))
            }
        })
    }
}

impl TlsClient {
    /// # Errors
    /// `TimedOut` past the transport's deadline; else whatever speaks against the server or its certificate.
    pub fn connect(&self, host: &str, transport: Transport) -> io::Result<Box<dyn TlsStream>> {
        match self {
            #[cfg(feature = "tls")]
            TlsClient::Native(connector) => match connector.connect(host, transport) {
                Ok(stream) => Ok(Box::new(stream)),
                Err(HandshakeError::Failure(e)) => Err(io::Error::other(e)),
                // The transport waits by itself, up to the deadline.
                Err(HandshakeError::WouldBlock(_)) => Err(io::ErrorKind::TimedOut.into()),
            },
            #[cfg(feature = "rustls")]
            TlsClient::Rustls(config) => {
                let name = ServerName::try_from(host).map_err(io::Error::other)?.to_owned();
                let connection = ClientConnection::new(config.clone(), name).map_err(io::Error::other)?;
                Ok(Box::new(RustlsStream::handshake(connection, transport)?))
            }
        }
    }
}

impl Debug for TlsClient {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            #[cfg(feature = "tls")]
            TlsClient::Native(_) => "native-tls",
            #[cfg(feature = "rustls")]
            TlsClient::Rustls(_) => "rustls",
        })
    }
}

#[cfg(feature = "rustls")]
fn configured(
    finish: impl FnOnce(rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier>) -> ClientConfig,
) -> Result<Arc<ClientConfig>, rustls::Error> {
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    Ok(Arc::new(finish(config.with_safe_default_protocol_versions()?)))
}

/// What the system trusts; read once.
#[cfg(feature = "rustls")]
static PLATFORM_ROOTS: LazyLock<Arc<RootCertStore>> = LazyLock::new(|| {
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        log::warn!("some of the certificates that the system trusts cannot be read: {error}");
    }
    let mut roots = RootCertStore::empty();
    let (taken, _) = roots.add_parsable_certificates(found.certs);
    if taken == 0 {
        log::warn!("the system trusts no certificate: no upstream's can be verified");
    }
    Arc::new(roots)
});

/// RFC 7435: protects against listeners, and against nobody else.
#[cfg(feature = "rustls")]
#[derive(Debug)]
struct AnyCertificate(CryptoProvider);

#[cfg(feature = "rustls")]
impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
