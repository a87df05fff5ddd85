//! The names of the SASL mechanisms.

use std::fmt::{self, Display, Formatter};

/// A SASL mechanism: how a client proves who it is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Mechanism {
    /// PLAIN (RFC 4616): user and password in one message.
    Plain,
    /// LOGIN: user and password one after the other. Not a standard, but older clients know nothing else.
    Login,
    /// SCRAM-SHA-256 (RFC 5802, RFC 7677): both sides prove that they know the password, and neither sends it.
    ScramSha256,
    /// SCRAM-SHA-256-PLUS: the same, bound to its TLS connection.
    ScramSha256Plus,
    /// OAUTHBEARER (RFC 7628): an OAuth 2.0 token.
    OAuthBearer,
    /// XOAUTH2: the same in the form that Google and Microsoft used before the standard.
    XOAuth2,
    /// EXTERNAL (RFC 4422 appendix A): the client's TLS certificate.
    External,
}

impl Mechanism {
    /// All of them, in the order of EHLO: clients that do not choose take the first that they know.
    pub(super) const ALL: [Mechanism; 7] = [
        Mechanism::ScramSha256Plus,
        Mechanism::ScramSha256,
        Mechanism::External,
        Mechanism::OAuthBearer,
        Mechanism::XOAuth2,
        Mechanism::Plain,
        Mechanism::Login,
    ];

    /// The name in EHLO's reply and in AUTH.
    pub const fn name(self) -> &'static str {
        match self {
            Mechanism::Plain => "PLAIN",
            Mechanism::Login => "LOGIN",
            Mechanism::ScramSha256 => "SCRAM-SHA-256",
            Mechanism::ScramSha256Plus => "SCRAM-SHA-256-PLUS",
            Mechanism::OAuthBearer => "OAUTHBEARER",
            Mechanism::XOAuth2 => "XOAUTH2",
            Mechanism::External => "EXTERNAL",
        }
    }

    /// The mechanism of a name, in whichever case it is written.
    ///
    /// ```
    /// use pillarbox::Mechanism;
    ///
    /// assert_eq!(Mechanism::from_name("plain"), Some(Mechanism::Plain));
    /// assert_eq!(Mechanism::from_name("CRAM-MD5"), None);
    /// ```
    pub fn from_name(name: impl AsRef<[u8]>) -> Option<Mechanism> {
        let name = name.as_ref();
        Mechanism::ALL.into_iter().find(|mechanism| mechanism.name().as_bytes().eq_ignore_ascii_case(name))
    }

    /// Whether the secret itself crosses the connection, where others may read it: PLAIN, LOGIN and the
    /// bearer mechanisms. Use them with TLS.
    pub const fn is_clear_text(self) -> bool {
        match self {
            Mechanism::Plain | Mechanism::Login | Mechanism::OAuthBearer | Mechanism::XOAuth2 => true,
            Mechanism::ScramSha256 | Mechanism::ScramSha256Plus | Mechanism::External => false,
        }
    }
}

impl Display for Mechanism {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_found_again() {
        for mechanism in Mechanism::ALL {
            assert_eq!(Mechanism::from_name(mechanism.to_string().to_lowercase()), Some(mechanism));
        }
        assert_eq!(Mechanism::from_name(b"PLAIN\0"), None);
        assert_eq!(Mechanism::from_name(""), None);
    }
}
