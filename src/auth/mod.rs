//! Authentication: the SASL mechanisms of AUTH (RFC 4954, RFC 4422), and the trait by which a program checks users.
//!
//! Nothing here reads or writes a connection. An [`Exchange`] takes what the client answered, already decoded, and says
//! what comes next. Whether a mechanism may be used at all, with or without TLS, is the connection's affair.

mod base64;
mod bearer;
mod client;
mod exchange;
mod mechanism;
mod offer;
mod prepare;
mod sasl;
mod scram;
mod users;
mod verifier;

use std::error::Error;
use std::fmt::{self, Display, Formatter};
use std::sync::Arc;

use crate::session::Context;
use crate::syntax::reply::{Reply, Status};

pub(crate) use base64::{BadBase64, decode, encode};
pub use bearer::Bearer;
pub(crate) use client::{ClientExchange, Credentials};
#[cfg(feature = "internals")]
pub(crate) use exchange::Exchange;
pub(crate) use exchange::Step;
pub use mechanism::Mechanism;
pub(crate) use offer::{AuthOffer, Unavailable};
pub(crate) use sasl::OwnMechanism;
pub use sasl::{SaslExchange, SaslMechanism, SaslStep};
pub use users::{EntryError, Users, UsersError};
pub use verifier::{ScramVerifier, ScramVerifierError};

/// Checks users when clients say AUTH (RFC 4954).
///
/// Implement the methods for the mechanisms that you support; the others refuse by default. With only
/// [`password`](Authenticator::password) a server offers PLAIN and LOGIN:
///
/// ```
/// use pillarbox::{AuthFailure, Authenticator, Context};
///
/// struct Directory;
///
/// impl Authenticator for Directory {
///     fn password(&self, _: &Context, user: &str, password: &str) -> Result<String, AuthFailure> {
///         match bind(user, password) {
///             Ok(true) => Ok(format!("{user}@example.org")),
///             Ok(false) => Err(AuthFailure::Credentials),
///             Err(e) => Err(AuthFailure::temporary(e)), // 454: the client tries again later
///         }
///     }
/// }
/// # fn bind(_: &str, _: &str) -> std::io::Result<bool> { Ok(true) }
/// ```
///
/// A closure `Fn(&str, &str) -> bool` over user and password does the same. For a file of users use [`Users`].
///
/// A successful check returns the client's identity, which the connection and its envelopes have from then on.
///
/// Names are prepared with SASLprep (RFC 4013): composed, never empty, without control characters. They have at most 512
/// octets, both as sent and as prepared, which can make a name eleven times as long. Passwords are never empty, and prepared
/// in the same way if SASLprep knows all their characters; otherwise they are as the client sent them. They have at most
/// 9,216 octets, both as sent and as prepared. Longer ones are refused like wrong ones (`535 5.7.8`), without asking the
/// authenticator.
///
/// Each method sees the [`Context`] of the connection that asks: the peer, TLS, the name in EHLO. So a client from elsewhere can
/// be offered other mechanisms, and a failure be logged with its address.
///
/// The checks run on the connection's own thread, so one that waits delays only its own client. The stack of that thread is
/// 1 MiB by default (see [`worker_stack`](crate::Builder::worker_stack)); a check that needs more ends the process.
pub trait Authenticator: Send + Sync {
    /// The mechanisms that this authenticator supports. Default: PLAIN and LOGIN.
    ///
    /// They are offered as far as the connection allows: EXTERNAL only to a client that came with a certificate,
    /// SCRAM-SHA-256-PLUS only where TLS gives a channel binding. [`Mechanism::ScramSha256`] brings
    /// [`Mechanism::ScramSha256Plus`] with it.
    ///
    /// It is asked at each EHLO and each AUTH, so the answer may differ from client to client and from one time to the next.
    fn mechanisms(&self, context: &Context) -> Vec<Mechanism> {
        let _ = context;
        vec![Mechanism::Plain, Mechanism::Login]
    }

    /// PLAIN (RFC 4616) and LOGIN: whether the password is this user's.
    ///
    /// Refusing an unknown user should take as long as refusing a wrong password. Otherwise clients can find out which names
    /// exist.
    fn password(&self, context: &Context, user: &str, password: &str) -> Result<String, AuthFailure> {
        let _ = (context, user, password);
        Err(AuthFailure::Credentials)
    }

    /// SCRAM-SHA-256 (RFC 7677): the stored verifier of this user's password. The user's name becomes the identity.
    ///
    /// For an unknown user, `None`: the exchange then goes on with a made-up verifier of 4,096 iterations and a salt of
    /// 16 octets, and fails where a wrong password would. The name stays hidden if the verifiers of other users look the
    /// same. The salt is the same for the same name while the process lives; if clients can see several servers, or one
    /// before and after a restart, return a verifier [made up](ScramVerifier::made_up) from a key that stays.
    fn scram(&self, context: &Context, user: &str) -> Result<Option<ScramVerifier>, AuthFailure> {
        let _ = (context, user);
        Ok(None)
    }

    /// OAUTHBEARER (RFC 7628) and XOAUTH2: whether the token is good here, and whose it is.
    ///
    /// The token decides who the client is. The user name that the client sends is only a claim.
    fn bearer(&self, context: &Context, bearer: &Bearer<'_>) -> Result<String, AuthFailure> {
        let _ = (context, bearer);
        Err(AuthFailure::Credentials)
    }

    /// The scope that a token must have, for a client whose token was refused.
    fn bearer_scope(&self, context: &Context) -> Option<&str> {
        let _ = context;
        None
    }

    /// The URL of an OpenID Connect discovery document, for a client of OAUTHBEARER whose token was refused, so
    /// that it can find out where to get one (RFC 7628 section 3.2.2).
    fn openid_configuration(&self, context: &Context) -> Option<&str> {
        let _ = context;
        None
    }

    /// EXTERNAL (RFC 4422 appendix A): the identity of a client certificate.
    ///
    /// The certificate is in DER, and the TLS library has checked it as configured. `acts_as` is the identity
    /// that the client asks for; `None` leaves the choice to the server.
    fn external(&self, context: &Context, certificate: &[u8], acts_as: Option<&str>) -> Result<String, AuthFailure> {
        let _ = (context, certificate, acts_as);
        Err(AuthFailure::Credentials)
    }

    /// Whether a client that has proven with PLAIN or SCRAM to be `identity` may act as somebody else; if so, the
    /// identity to go on with. Default: nobody may.
    fn authorize(&self, context: &Context, identity: &str, acts_as: &str) -> Result<String, AuthFailure> {
        let _ = (context, identity, acts_as);
        Err(AuthFailure::Credentials)
    }
}

/// A function of user and password serves PLAIN and LOGIN; the identity is the user's name.
///
/// ```
/// # fn takes(_: impl pillarbox::Authenticator) {}
/// takes(|user: &str, password: &str| user == "bob" && password == "builder");
/// ```
impl<F: Fn(&str, &str) -> bool + Send + Sync> Authenticator for F {
    fn password(&self, _: &Context, user: &str, password: &str) -> Result<String, AuthFailure> {
        if self(user, password) { Ok(user.to_owned()) } else { Err(AuthFailure::Credentials) }
    }
}

impl<A: Authenticator + ?Sized> Authenticator for Arc<A> {
    fn mechanisms(&self, context: &Context) -> Vec<Mechanism> {
        (**self).mechanisms(context)
    }

    fn password(&self, context: &Context, user: &str, password: &str) -> Result<String, AuthFailure> {
        (**self).password(context, user, password)
    }

    fn scram(&self, context: &Context, user: &str) -> Result<Option<ScramVerifier>, AuthFailure> {
        (**self).scram(context, user)
    }

    fn bearer(&self, context: &Context, bearer: &Bearer<'_>) -> Result<String, AuthFailure> {
        (**self).bearer(context, bearer)
    }

    fn bearer_scope(&self, context: &Context) -> Option<&str> {
        (**self).bearer_scope(context)
    }

    fn openid_configuration(&self, context: &Context) -> Option<&str> {
        (**self).openid_configuration(context)
    }

    fn external(&self, context: &Context, certificate: &[u8], acts_as: Option<&str>) -> Result<String, AuthFailure> {
        (**self).external(context, certificate, acts_as)
    }

    fn authorize(&self, context: &Context, identity: &str, acts_as: &str) -> Result<String, AuthFailure> {
        (**self).authorize(context, identity, acts_as)
    }
}

/// Why a client was not authenticated.
#[derive(Debug)]
#[non_exhaustive]
pub enum AuthFailure {
    /// Unknown user, wrong secret, or an identity that this client may not have: `535 5.7.8`, never saying which.
    Credentials,
    /// The check is not possible at the moment: `454 4.7.0`. The client may try again. The cause goes to the log.
    Temporary(Box<dyn Error + Send + Sync>),
    /// The client's message does not have the mechanism's form: `501 5.5.2`.
    Malformed,
    /// Client and server do not see the same TLS connection, or disagree on what the server can do: somebody may be
    /// between them (RFC 5802 section 6). `535 5.7.8`.
    ChannelBinding,
}

impl AuthFailure {
    /// A temporary failure with its cause.
    pub fn temporary(cause: impl Into<Box<dyn Error + Send + Sync>>) -> AuthFailure {
        AuthFailure::Temporary(cause.into())
    }

    /// Whether this counts against the client as a guess.
    pub(crate) fn is_guess(&self) -> bool {
        !matches!(self, AuthFailure::Temporary(_))
    }

    pub(crate) fn reply(&self) -> Reply {
        match self {
            AuthFailure::Credentials | AuthFailure::ChannelBinding => {
                Reply::fixed(535, Status::new(5, 7, 8), "Authentication credentials invalid")
            }
            AuthFailure::Temporary(_) => Reply::fixed(454, Status::new(4, 7, 0), "Temporary authentication failure"),
            AuthFailure::Malformed => Reply::fixed(501, Status::new(5, 5, 2), "Malformed authentication response"),
        }
    }
}

impl Display for AuthFailure {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            AuthFailure::Credentials => f.write_str("invalid credentials"),
            AuthFailure::Temporary(_) => f.write_str("credentials cannot be checked now"),
            AuthFailure::Malformed => f.write_str("malformed authentication response"),
            AuthFailure::ChannelBinding => f.write_str("channel binding refused: is there a man in the middle?"),
        }
    }
}

impl Error for AuthFailure {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            AuthFailure::Temporary(cause) => Some(&**cause),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_temporary_failures_are_no_guess() {
        let codes = |failure: AuthFailure| (failure.reply().to_string(), failure.is_guess());
        assert!(codes(AuthFailure::Credentials).0.starts_with("535 5.7.8 "));
        assert!(codes(AuthFailure::Malformed).0.starts_with("501 5.5.2 "));
        let (reply, guess) = codes(AuthFailure::temporary("down"));
        assert!(reply.starts_with("454 4.7.0 ") && !reply.contains("down") && !guess);
        // Whoever meddles with the binding learns no more than whoever guesses.
        assert_eq!(codes(AuthFailure::ChannelBinding), codes(AuthFailure::Credentials));
    }

    #[test]
    fn functions_and_shared_authenticators() {
        let shared: Arc<dyn Authenticator> = Arc::new(|user: &str, password: &str| (user, password) == ("bob", "b"));
        let (shared, context) = (Arc::new(shared), Context::of_nobody());
        assert_eq!(shared.mechanisms(&context), [Mechanism::Plain, Mechanism::Login]);
        assert_eq!(shared.password(&context, "bob", "b").unwrap(), "bob");
        assert!(matches!(shared.password(&context, "bob", "c"), Err(AuthFailure::Credentials)));
        assert!(shared.scram(&context, "bob").unwrap().is_none());
        assert!(matches!(shared.authorize(&context, "bob", "root"), Err(AuthFailure::Credentials)));
        assert!(matches!(shared.external(&context, b"", None), Err(AuthFailure::Credentials)));
    }
}
