//! TLS by rustls: 1.2 and 1.3, with forward secrecy and authenticated encryption only.

use std::fmt::{self, Debug, Display, Formatter};
use std::io::{self, Read, Write};
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::CryptoProvider;
use rustls::crypto::ring;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{
    ClientHello, NoServerSessionStorage, ParsedCertificate, ResolvesServerCert, VerifierBuilderError,
    WebPkiClientVerifier,
};
use rustls::sign::CertifiedKey;
use rustls::{
    CertificateError, ConnectionCommon, InconsistentKeys, ProtocolVersion, RootCertStore, ServerConfig,
    ServerConnection, SideData, StreamOwned,
};

use super::{Tls, TlsAcceptor, TlsStream};
use crate::envelope::tls_info::TlsInfo;
use crate::io::transport::Transport;

/// RFC 9266: the label of the channel binding `tls-exporter`.
const EXPORTER: &[u8] = b"EXPORTER-Channel-Binding";

/// Why [`RustlsBuilder`] cannot use a certificate, a key or a root.
#[derive(Debug)]
#[non_exhaustive]
pub enum RustlsError {
    /// It is not PEM.
    Pem(pem::Error),
    /// No certificate is in it.
    NoCertificate,
    /// No private key is in it: PKCS#8, PKCS#1 or SEC1, each without a passphrase.
    NoKey,
    /// The key is encrypted with a passphrase.
    EncryptedKey,
    /// The key belongs to another certificate.
    OtherKey,
    /// rustls refuses them.
    Rustls(rustls::Error),
    /// rustls refuses the roots of client certificates, or there are none.
    Roots(VerifierBuilderError),
    /// No revocation list is in it.
    NoRevocationList,
    /// rustls refuses a revocation list.
    RevocationList(VerifierBuilderError),
}

impl Display for RustlsError {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            RustlsError::Pem(_) => "this is not PEM",
            RustlsError::NoCertificate => "no certificate is in it: nothing begins with BEGIN CERTIFICATE",
            RustlsError::NoKey => "no key is in it: nothing begins with BEGIN PRIVATE KEY, nor with its RSA or EC form",
            RustlsError::EncryptedKey => {
                "the key is encrypted; decrypt it with: openssl pkcs8 -in key.pem -out pkcs8.pem"
            }
            RustlsError::OtherKey => "the key belongs to another certificate",
            RustlsError::Rustls(_) => "the certificate and key cannot be used",
            RustlsError::Roots(_) => "the roots of client certificates cannot be used",
            RustlsError::NoRevocationList => "no revocation list is in it: nothing begins with BEGIN X509 CRL",
            RustlsError::RevocationList(_) => {
                "the revocation lists of client certificates cannot be used; each has to be whole, and of version 2"
            }
        })
    }
}

impl std::error::Error for RustlsError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            RustlsError::Pem(e) => Some(e),
            RustlsError::Rustls(e) => Some(e),
            RustlsError::Roots(e) | RustlsError::RevocationList(e) => Some(e),
            _ => None,
        }
    }
}

/// Whether clients are asked for a certificate, in [`RustlsBuilder::client_certificates`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum ClientCertificates {
    /// They are asked. A client without one may connect; one that does not verify ends the handshake.
    Asked,
    /// The handshake fails without one.
    Required,
}

/// A server's TLS by rustls: made by [`Tls::rustls`].
///
/// It speaks TLS 1.2 and 1.3 with forward secrecy and authenticated encryption only, as RFC 9325 asks. Clients resume
/// sessions by tickets (RFC 5077, RFC 8446 section 4.6.1), whose key is made anew for each [`Tls`] and every six hours: no
/// session is resumed once a certificate has been [replaced](Tls::replace).
///
/// ```no_run
/// use pillarbox::{ClientCertificates, Server, Tls, handlers::Sink};
///
/// let read = std::fs::read;
/// let tls = Tls::rustls()
///     .certificate(&read("mx.example.org.pem")?, &read("mx.example.org.key")?)? // also for clients that name no server
///     .certificate(&read("mail.example.com.pem")?, &read("mail.example.com.key")?)?
///     .client_certificates(ClientCertificates::Asked, &read("clients.pem")?)?
///     .build()?;
/// let server = Server::builder().tls(tls).serve("0.0.0.0:25", Sink)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
#[must_use = "it does nothing until it is built"]
pub struct RustlsBuilder {
    provider: Arc<CryptoProvider>,
    certificates: Vec<Arc<CertifiedKey>>,
    clients: Option<(ClientCertificates, Arc<RootCertStore>)>,
    revocations: Vec<CertificateRevocationListDer<'static>>,
    alpn: Vec<Vec<u8>>,
}

impl RustlsBuilder {
    /// Adds a certificate chain, the server's own first, and its key, both PEM. The key is PKCS#8, PKCS#1 or SEC1, without a
    /// passphrase.
    ///
    /// A client that names the server (SNI, RFC 6066 section 3) gets the first certificate for that name whose signature it
    /// can check; any other client the first at all.
    ///
    /// # Errors
    /// [`RustlsError`], if they cannot be parsed, do not belong together, or rustls has no use for them.
    pub fn certificate(mut self, certificates: &[u8], key: &[u8]) -> Result<RustlsBuilder, RustlsError> {
        let (chain, key) = chain_and_key(certificates, key)?;
        let certified = CertifiedKey::from_der(chain, key, &self.provider).map_err(|e| match e {
            rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => RustlsError::OtherKey,
            e => RustlsError::Rustls(e),
        })?;
        self.certificates.push(Arc::new(certified));
        Ok(self)
    }

    /// Asks clients for a certificate, which has to lead to one of the PEM `roots`. It then stands in
    /// [`TlsInfo::client_certificate`], and AUTH EXTERNAL can use it.
    ///
    /// # Errors
    /// [`RustlsError`], if the roots cannot be parsed or used.
    pub fn client_certificates(
        mut self,
        asked: ClientCertificates,
        roots: &[u8],
    ) -> Result<RustlsBuilder, RustlsError> {
        self.clients = Some((asked, Arc::new(roots_from(roots)?)));
        Ok(self)
    }

    /// Refuses client certificates that these certificate revocation lists (CRLs, RFC 5280 section 5) revoke. The lists are PEM, of
    /// version 2 and complete: delta CRLs are not supported. Several calls add their lists. Default: no lists, so no certificate
    /// counts as revoked.
    ///
    /// Once you add a list, each authority in a client's chain needs a list that has not expired. A certificate whose authority has
    /// none ends the handshake, as a revoked one does. To use newer lists, [replace](Tls::replace) the TLS; no client can then
    /// resume an older session.
    ///
    /// # Errors
    /// [`RustlsError::NoRevocationList`] if there is no list in `lists`; [`RustlsError::Pem`] if they are not valid PEM. A list that
    /// rustls cannot use is an error of [`build`](RustlsBuilder::build).
    pub fn client_revocation_lists(mut self, lists: &[u8]) -> Result<RustlsBuilder, RustlsError> {
        let before = self.revocations.len();
        for list in CertificateRevocationListDer::pem_slice_iter(lists) {
            self.revocations.push(list.map_err(RustlsError::Pem)?);
        }
        if self.revocations.len() == before { Err(RustlsError::NoRevocationList) } else { Ok(self) }
    }

    /// The verifier of client certificates; `None` if clients are not asked for one.
    fn client_verifier(&self) -> Result<Option<Arc<dyn ClientCertVerifier>>, RustlsError> {
        let Some((asked, roots)) = &self.clients else {
            let has_lists = !self.revocations.is_empty();
            return if has_lists { Err(RustlsError::Roots(VerifierBuilderError::NoRootAnchors)) } else { Ok(None) };
        };
        let verifier = WebPkiClientVerifier::builder_with_provider(roots.clone(), self.provider.clone())
            .with_crls(self.revocations.iter().cloned())
            .enforce_revocation_expiration();
        let verifier = match asked {
            ClientCertificates::Asked => verifier.allow_unauthenticated(),
            ClientCertificates::Required => verifier,
        };
        Ok(Some(verifier.build().map_err(|e| match e {
            VerifierBuilderError::InvalidCrl(_) => RustlsError::RevocationList(e),
            e => RustlsError::Roots(e),
        })?))
    }

    /// The application protocols that are offered by ALPN (RFC 7301), the preferred first. A client that offers others alone
    /// fails at the handshake; one that offers none does not. Default: none, so that whatever a client offers is left unanswered.
    pub fn alpn<P: Into<Vec<u8>>>(mut self, protocols: impl IntoIterator<Item = P>) -> RustlsBuilder {
        self.alpn = protocols.into_iter().map(Into::into).collect();
        self
    }

    /// The finished TLS.
    ///
    /// # Errors
    /// [`RustlsError::NoCertificate`] if there is none; [`RustlsError::RevocationList`] if a list cannot be used, and
    /// [`RustlsError::Roots`] if there are lists but no [client certificates](RustlsBuilder::client_certificates);
    /// [`RustlsError::Rustls`] if the system gives no random octets.
    pub fn build(self) -> Result<Tls, RustlsError> {
        if self.certificates.is_empty() {
            return Err(RustlsError::NoCertificate);
        }
        let verifier = self.client_verifier()?;
        let config = ServerConfig::builder_with_provider(self.provider)
            .with_safe_default_protocol_versions()
            .map_err(RustlsError::Rustls)?;
        let config = match verifier {
            Some(verifier) => config.with_client_cert_verifier(verifier),
            None => config.with_no_client_auth(),
        };
        let mut config = config.with_cert_resolver(Arc::new(Certificates(self.certificates)));
        // Tickets need no memory here, however many clients come.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.ticketer = ring::Ticketer::new().map_err(RustlsError::Rustls)?;
        config.send_tls13_tickets = 1;
        config.alpn_protocols = self.alpn;
        Ok(Tls::from_rustls(Arc::new(config)))
    }
}

impl Debug for RustlsBuilder {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("RustlsBuilder").field("certificates", &self.certificates.len()).finish_non_exhaustive()
    }
}

impl Tls {
    /// TLS by rustls, to which certificates are added: see [`RustlsBuilder`].
    pub fn rustls() -> RustlsBuilder {
        let provider = Arc::new(ring::default_provider());
        RustlsBuilder { provider, certificates: Vec::new(), clients: None, revocations: Vec::new(), alpn: Vec::new() }
    }

    /// TLS by rustls with one certificate chain, the server's own first, and its key, both PEM. The key is PKCS#8, PKCS#1 or
    /// SEC1, without a passphrase.
    ///
    /// # Errors
    /// As [`RustlsBuilder::certificate`] and [`RustlsBuilder::build`].
    pub fn rustls_from_pem(certificates: &[u8], key: &[u8]) -> Result<Tls, RustlsError> {
        Tls::rustls().certificate(certificates, key)?.build()
    }

    /// TLS by a configuration of rustls, for what [`Tls::rustls`] has no setting for: other versions and suites, a resolver or
    /// verifier of your own, or another [`CryptoProvider`].
    ///
    /// pillarbox's own provider is ring, which builds in a sixth of the time of aws-lc-rs. A full handshake with an RSA key of
    /// 2048 bits takes aws-lc-rs three fifths of the processor time: it signs by the processor's vector instructions where it
    /// has them (AVX-512 IFMA), and ring by general code. With an ECDSA key, and where sessions are resumed, there is little
    /// between them. So use an ECDSA certificate if you can choose, and aws-lc-rs if it has to be RSA and handshakes are many:
    ///
    /// ```ignore
    /// // rustls = { version = "0.23", features = ["aws_lc_rs"] }
    /// use rustls::{ServerConfig, crypto::aws_lc_rs, server::NoServerSessionStorage};
    ///
    /// let mut config = ServerConfig::builder_with_provider(aws_lc_rs::default_provider().into())
    ///     .with_safe_default_protocol_versions()?
    ///     .with_no_client_auth()
    ///     .with_single_cert(chain, key)?;
    /// // As Tls::rustls has it: sessions are resumed by tickets, which need no memory here.
    /// config.session_storage = Arc::new(NoServerSessionStorage {});
    /// config.ticketer = aws_lc_rs::Ticketer::new()?;
    /// config.send_tls13_tickets = 1;
    /// let tls = Tls::from_rustls(config.into());
    /// ```
    ///
    /// A configuration as rustls makes it keeps 256 sessions in memory, sends two tickets for each full handshake, and resumes
    /// a session of TLS 1.3 once.
    pub fn from_rustls(config: Arc<ServerConfig>) -> Tls {
        Tls::new(RustlsAcceptor(config))
    }

    /// Whether a certificate, the first in some PEM, is valid at a time: `None` if so, else what is wrong in a few words. Clients
    /// that verify refuse it then.
    ///
    /// # Errors
    /// [`RustlsError`] if it cannot be parsed.
    pub fn validity(certificates: &[u8], at: SystemTime) -> Result<Option<&'static str>, RustlsError> {
        let chain = chain(certificates)?;
        let first = chain.first().ok_or(RustlsError::NoCertificate)?;
        let parsed = ParsedCertificate::try_from(first).map_err(RustlsError::Rustls)?;
        let at = UnixTime::since_unix_epoch(at.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO));
        let algorithms = ring::default_provider().signature_verification_algorithms.all;
        // Nothing is trusted: the validity is looked at before the issuer.
        let verified = verify_server_cert_signed_by_trust_anchor(&parsed, &RootCertStore::empty(), &[], at, algorithms);
        Ok(match verified {
            Err(rustls::Error::InvalidCertificate(
                CertificateError::Expired | CertificateError::ExpiredContext { .. },
            )) => Some("it has expired"),
            Err(rustls::Error::InvalidCertificate(
                CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. },
            )) => Some("it is not valid yet"),
            _ => None,
        })
    }
}

/// The certificates of some PEM.
fn chain(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, RustlsError> {
    let chain: Vec<_> = CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().map_err(RustlsError::Pem)?;
    if chain.is_empty() { Err(RustlsError::NoCertificate) } else { Ok(chain) }
}

/// A certificate chain and its key, from PEM.
pub(crate) fn chain_and_key(
    certificates: &[u8],
    key: &[u8],
) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), RustlsError> {
    let chain = chain(certificates)?;
    match PrivateKeyDer::from_pem_slice(key) {
        Err(pem::Error::NoItemsFound) => {
            let is_encrypted = [&b"BEGIN ENCRYPTED PRIVATE KEY"[..], b"Proc-Type: 4,ENCRYPTED"];
            let is_encrypted = is_encrypted.iter().any(|label| memchr::memmem::find(key, label).is_some());
            Err(if is_encrypted { RustlsError::EncryptedKey } else { RustlsError::NoKey })
        }
        key => Ok((chain, key.map_err(RustlsError::Pem)?)),
    }
}

/// The roots that stand in some PEM.
pub(crate) fn roots_from(pem: &[u8]) -> Result<RootCertStore, RustlsError> {
    let mut roots = RootCertStore::empty();
    for root in chain(pem)? {
        roots.add(root).map_err(RustlsError::Rustls)?;
    }
    Ok(roots)
}

/// The certificates of a server, of which the first is for clients that name none, or another.
#[derive(Debug)]
struct Certificates(Vec<Arc<CertifiedKey>>);

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let schemes = hello.signature_schemes();
        let usable = || self.0.iter().filter(|certified| certified.key.choose_scheme(schemes).is_some());
        let name = hello.server_name().and_then(|name| ServerName::try_from(name).ok());
        let named = name.and_then(|name| usable().find(|certified| is_for(certified, &name)));
        named.or_else(|| usable().next()).cloned()
    }
}

fn is_for(certified: &CertifiedKey, name: &ServerName<'_>) -> bool {
    let parsed = certified.end_entity_cert().ok().and_then(|cert| ParsedCertificate::try_from(cert).ok());
    parsed.is_some_and(|cert| verify_server_name(&cert, name).is_ok())
}

struct RustlsAcceptor(Arc<ServerConfig>);

impl TlsAcceptor for RustlsAcceptor {
    fn accept(&self, transport: Transport) -> io::Result<Box<dyn TlsStream>> {
        let connection = ServerConnection::new(self.0.clone()).map_err(io::Error::other)?;
        let mut stream = RustlsStream::handshake(connection, transport)?;
        let server_name = stream.0.conn.server_name().map(str::to_owned);
        stream.1.server_name = server_name;
        Ok(Box::new(stream))
    }
}

/// A connection after the handshake, of a server or a client, and what is known of it.
pub(crate) struct RustlsStream<C: DerefMut + Deref<Target = ConnectionCommon<S>>, S: SideData>(
    StreamOwned<C, Transport>,
    TlsInfo,
);

impl<C: DerefMut + Deref<Target = ConnectionCommon<S>>, S: SideData> RustlsStream<C, S> {
    /// Does the handshake. The transport's reads and writes end at its deadline.
    pub fn handshake(connection: C, transport: Transport) -> io::Result<RustlsStream<C, S>> {
        let mut stream = StreamOwned::new(connection, transport);
        while stream.conn.is_handshaking() {
            // It tells the other end by an alert what is wrong.
            if stream.conn.complete_io(&mut stream.sock)?.0 == 0 && stream.conn.is_handshaking() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        // A ticket may be left.
        stream.flush()?;
        let info = info(&stream.conn);
        Ok(RustlsStream(stream, info))
    }
}

fn info<S: SideData>(connection: &ConnectionCommon<S>) -> TlsInfo {
    let version = connection.protocol_version();
    let suite = connection.negotiated_cipher_suite().and_then(|suite| suite.suite().as_str());
    TlsInfo {
        version: version.map(|version| match version {
            ProtocolVersion::TLSv1_2 => "TLSv1.2".to_owned(),
            ProtocolVersion::TLSv1_3 => "TLSv1.3".to_owned(),
            other => format!("{other:?}"),
        }),
        // rustls says which suites are 1.3's alone; everybody else names them as RFC 8446 appendix B.4 does.
        cipher: suite.map(|suite| suite.replacen("TLS13_", "TLS_", 1)),
        client_certificate: connection.peer_certificates().and_then(|chain| Some(chain.first()?.to_vec())),
        // RFC 9266 section 4.2: of TLS 1.2 it is unique only with the extended master secret, which rustls does not tell.
        exporter: (version == Some(ProtocolVersion::TLSv1_3))
            .then(|| connection.export_keying_material([0; 32], EXPORTER, None).ok().map(Vec::from))
            .flatten(),
        ..TlsInfo::default()
    }
}

impl<C: DerefMut + Deref<Target = ConnectionCommon<S>>, S: SideData> Read for RustlsStream<C, S> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.read(buf)
    }
}

impl<C: DerefMut + Deref<Target = ConnectionCommon<S>>, S: SideData> Write for RustlsStream<C, S> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let written = self.0.write(buf)?;
        // rustls keeps encrypted octets until it is flushed, and what failed to itself.
        self.0.flush()?;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl<C: DerefMut + Deref<Target = ConnectionCommon<S>> + Send, S: SideData> TlsStream for RustlsStream<C, S> {
    fn info(&self) -> TlsInfo {
        self.1.clone()
    }

    fn close(&mut self) -> io::Result<()> {
        self.0.conn.send_close_notify();
        self.0.flush()
    }

    fn buffered_octets(&mut self) -> usize {
        self.0.conn.process_new_packets().map_or(0, |state| state.plaintext_bytes_to_read())
    }
}
