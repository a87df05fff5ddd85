//! TLS, and who may log in.

#[cfg(feature = "auth")]
use std::sync::Arc;

use super::Builder;
use crate::io::tls::Tls;

/// # Security
///
/// TLS, and who may log in.
impl Builder {
    /// The certificate. With it STARTTLS (RFC 3207) is offered, and listeners can use
    /// [implicit TLS](crate::Listener::implicit_tls). Default: none.
    pub fn tls(mut self, tls: impl Into<Tls>) -> Builder {
        self.tls = Some(tls.into());
        self
    }

    /// Whether commands are refused with `530 5.7.0` until TLS is in use, except those that start it. Default: false.
    pub fn require_tls(mut self, required: bool) -> Builder {
        self.config.require_tls = required;
        self
    }

    /// Who may authenticate, and how. With it AUTH (RFC 4954) is offered. Mechanisms that show the secret are offered under TLS,
    /// to clients on this machine while TLS is not required, and everywhere with [`clear_text_auth`](Builder::clear_text_auth).
    /// Default: none.
    #[cfg(feature = "auth")]
    pub fn authenticator(mut self, authenticator: impl crate::auth::Authenticator + 'static) -> Builder {
        self.authenticator = Some(Arc::new(authenticator));
        self
    }

    /// Adds a SASL mechanism of the program's own, beside those of the [`authenticator`](Builder::authenticator), or without
    /// one; can be called several times. It takes the place of one of this crate's mechanisms that has the same name. A name that
    /// is invalid or comes twice is an error when the server is started. Default: none.
    #[cfg(feature = "auth")]
    pub fn sasl_mechanism(mut self, mechanism: impl crate::auth::SaslMechanism + 'static) -> Builder {
        self.sasl_mechanisms.push(crate::auth::OwnMechanism::new(mechanism));
        self
    }

    /// Whether mail is refused with `530 5.7.0` until the client has authenticated: by AUTH, or because a
    /// [session](Builder::session) says who it is ([`Context::authenticate`](crate::Context::authenticate)). Default: false.
    #[cfg(feature = "auth")]
    pub fn require_auth(mut self, required: bool) -> Builder {
        self.config.require_auth = required;
        self
    }

    /// Whether anybody may use mechanisms that show the secret (PLAIN, LOGIN and the bearer mechanisms) without TLS.
    /// Default: false.
    #[cfg(feature = "auth")]
    pub fn clear_text_auth(mut self, allowed: bool) -> Builder {
        self.config.clear_text_auth = allowed;
        self
    }

    /// How many failed authentications end a connection with `421 4.7.0`; `None` is no limit. Each failure is also
    /// answered half a second later than the one before. Default: 3.
    #[cfg(feature = "auth")]
    pub fn max_auth_failures(mut self, failures: impl Into<Option<usize>>) -> Builder {
        self.config.max_auth_failures = failures.into().unwrap_or(usize::MAX);
        self
    }
}
