//! Who clients are: users by their passwords, and others by their certificates.

use std::borrow::Cow;

use pillarbox::{AuthFailure, Authenticator, Context, Escaped, Mechanism, ScramVerifier, Users};
use stringprep::saslprep;
use x509_cert::Certificate;
use x509_cert::der::{self, Decode};
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

/// The longest identity, as that of users.
const MAX_NAME: usize = 512;

/// What clients can authenticate with.
pub struct Logins {
    pub users: Option<Users>,
    /// Whether TLS asks them for a certificate, and verifies it.
    pub by_certificate: bool,
}

impl Authenticator for Logins {
    fn mechanisms(&self, context: &Context) -> Vec<Mechanism> {
        let mut mechanisms = self.users.as_ref().map_or_else(Vec::new, |users| users.mechanisms(context));
        if self.by_certificate {
            mechanisms.push(Mechanism::External);
        }
        mechanisms
    }

    fn password(&self, context: &Context, user: &str, password: &str) -> Result<String, AuthFailure> {
        self.users.as_ref().ok_or(AuthFailure::Credentials)?.password(context, user, password)
    }

    fn scram(&self, context: &Context, user: &str) -> Result<Option<ScramVerifier>, AuthFailure> {
        self.users.as_ref().map_or(Ok(None), |users| users.scram(context, user))
    }

    fn external(&self, _: &Context, certificate: &[u8], acts_as: Option<&str>) -> Result<String, AuthFailure> {
        let name = match name_of(certificate) {
            Ok(name) => name.unwrap_or_default(),
            Err(e) => {
                log::info!("cannot read the certificate of a client: {e}");
                return Err(AuthFailure::Credentials);
            }
        };
        let Some(identity) = saslprep(&name).ok().filter(|name| (1..=MAX_NAME).contains(&name.len())) else {
            log::info!(
                "the certificate of a client has no name that can be an identity: {}",
                Escaped::new(name.as_bytes())
            );
            return Err(AuthFailure::Credentials);
        };
        match acts_as {
            Some(other) if other != identity => Err(AuthFailure::Credentials),
            _ => Ok(identity.into_owned()),
        }
    }
}

/// The first e-mail address of the alternative names, else the first DNS name there, else the subject's common name.
fn name_of(certificate: &[u8]) -> der::Result<Option<String>> {
    let certificate = Certificate::from_der(certificate)?;
    let certificate = certificate.tbs_certificate();
    let names = certificate.get_extension::<SubjectAltName>()?.map_or_else(Vec::new, |(_, names)| names.0);
    let address = |name: &GeneralName| match name {
        GeneralName::Rfc822Name(address) => Some(address.as_str().to_owned()),
        _ => None,
    };
    let host = |name: &GeneralName| match name {
        GeneralName::DnsName(host) => Some(host.as_str().to_owned()),
        _ => None,
    };
    match names.iter().find_map(address).or_else(|| names.iter().find_map(host)) {
        Some(name) => Ok(Some(name)),
        None => Ok(certificate.subject().common_name()?.map(|name| Cow::into_owned(name.value()))),
    }
}
