//! Certificates for tests of TLS.

use std::fmt::{self, Display, Formatter};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose, date_time_ymd};

use crate::io::tls::{RustlsError, Tls};

/// A certificate authority for one test: it issues servers' certificates, and the client under test can be told to trust it.
///
/// Making it takes a few milliseconds at most, and so does each certificate. Nothing is written to disk, and its key is gone
/// when it is dropped: only a program to which you give [`pem`](Authority::pem) trusts what it signed.
///
/// ```
/// use lettre::transport::smtp::client::{Certificate, Tls, TlsParameters};
/// use lettre::{Message, SmtpTransport, Transport};
/// use pillarbox::testing::Authority;
///
/// let authority = Authority::new()?;
/// let inbox = pillarbox::Server::builder().tls(authority.server()?).require_tls(true).inbox("127.0.0.1:0")?;
///
/// // The client under test.
/// let root = Certificate::from_pem(authority.pem().as_bytes())?;
/// let parameters = TlsParameters::builder("localhost".to_owned()).add_root_certificate(root).build()?;
/// let client = SmtpTransport::builder_dangerous("127.0.0.1")
///     .port(inbox.local_addr().port())
///     .tls(Tls::Required(parameters))
///     .build();
/// # let message = Message::builder().from("a@example.org".parse()?).to("b@example.org".parse()?).body(String::new())?;
/// client.send(&message)?;
/// assert!(inbox.recv()?.tls().is_some());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// To test that a client refuses a server, use a certificate that has [`expired`](Authority::expired), one
/// [for another name](Authority::server_for), or one of an authority that the client does not know.
/// [`Do::Certificate`](crate::testing::Do::Certificate) presents them while a server runs.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    /// A new authority with a new key.
    ///
    /// # Errors
    /// [`AuthorityError`], if the system gives no random numbers.
    pub fn new() -> Result<Authority, AuthorityError> {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        params.distinguished_name.push(DnType::CommonName, "pillarbox test authority");
        let key = KeyPair::generate().map_err(cannot_sign)?;
        let pem = params.self_signed(&key).map_err(cannot_sign)?.pem();
        Ok(Authority { issuer: Issuer::new(params, key), pem })
    }

    /// The authority's own certificate in PEM, for the client that is to trust it.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// A certificate for `localhost`, `127.0.0.1` and `::1`.
    ///
    /// # Errors
    /// [`AuthorityError`], if rustls does not take it.
    pub fn server(&self) -> Result<Tls, AuthorityError> {
        self.server_for(["localhost", "127.0.0.1", "::1"])
    }

    /// A certificate for these names and IP addresses, and no others.
    ///
    /// # Errors
    /// [`AuthorityError`], if one of them is not a valid name, or rustls does not accept the certificate.
    pub fn server_for<N: Into<String>>(&self, names: impl IntoIterator<Item = N>) -> Result<Tls, AuthorityError> {
        let names: Vec<String> = names.into_iter().map(Into::into).collect();
        self.sign(CertificateParams::new(names).map_err(cannot_sign)?)
    }

    /// Like [`server`](Authority::server), but valid in the year 2020 only.
    ///
    /// # Errors
    /// [`AuthorityError`], if rustls does not take it.
    pub fn expired(&self) -> Result<Tls, AuthorityError> {
        let mut params =
            CertificateParams::new(["localhost", "127.0.0.1", "::1"].map(str::to_owned)).map_err(cannot_sign)?;
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2020, 12, 31);
        self.sign(params)
    }

    /// Like [`server_for`](Authority::server_for), but as the PEM of the certificate and of its key: for a server in another
    /// process, or with settings of its own in [`Tls::rustls`].
    ///
    /// # Errors
    /// [`AuthorityError::Sign`], if one of them is not a valid name.
    pub fn pem_for<N: Into<String>>(
        &self,
        names: impl IntoIterator<Item = N>,
    ) -> Result<(String, String), AuthorityError> {
        let names: Vec<String> = names.into_iter().map(Into::into).collect();
        self.sign_pem(CertificateParams::new(names).map_err(cannot_sign)?)
    }

    fn sign(&self, params: CertificateParams) -> Result<Tls, AuthorityError> {
        let (certificate, key) = self.sign_pem(params)?;
        Ok(Tls::rustls_from_pem(certificate.as_bytes(), key.as_bytes())?)
    }

    fn sign_pem(&self, mut params: CertificateParams) -> Result<(String, String), AuthorityError> {
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate().map_err(cannot_sign)?;
        let certificate = params.signed_by(&key, &self.issuer).map_err(cannot_sign)?;
        Ok((certificate.pem(), key.serialize_pem()))
    }
}

impl fmt::Debug for Authority {
    /// Without its key.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority").field("pem", &self.pem).finish_non_exhaustive()
    }
}

/// Why a certificate for a test cannot be made.
#[derive(Debug)]
#[non_exhaustive]
pub enum AuthorityError {
    /// It cannot be signed: a name is invalid, or there are no random numbers.
    Sign(Box<dyn std::error::Error + Send + Sync>),
    /// rustls does not accept it.
    Tls(RustlsError),
}

impl Display for AuthorityError {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            AuthorityError::Sign(_) => f.write_str("the certificate cannot be made"),
            AuthorityError::Tls(_) => f.write_str("the certificate cannot be used"),
        }
    }
}

impl std::error::Error for AuthorityError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            AuthorityError::Sign(e) => Some(&**e),
            AuthorityError::Tls(e) => Some(e),
        }
    }
}

/// Not a `From`, which everybody could use: rcgen is no part of the API.
fn cannot_sign(e: rcgen::Error) -> AuthorityError {
    AuthorityError::Sign(e.into())
}

impl From<RustlsError> for AuthorityError {
    fn from(e: RustlsError) -> AuthorityError {
        AuthorityError::Tls(e)
    }
}
