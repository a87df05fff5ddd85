//! What can be set for one listener.

use super::Listener;
use super::policy::Policy;
use crate::io::tls::Tls;

/// # A policy of its own
///
/// What you do not set here is as the [`Builder`](crate::Builder) has it. What cannot be true together on a listener is an
/// [`Error::Setting`](crate::Error::Setting) when the server starts. EHLO announces what is true of the listener.
impl Listener {
    fn with(mut self, set: impl FnOnce(&mut Policy)) -> Listener {
        set(&mut self.policy);
        self
    }

    /// A name for hooks to know the listener by: see [`Context::listener_name`](crate::Context::listener_name). Clients do
    /// not see it. Default: none.
    pub fn name(self, name: impl Into<String>) -> Listener {
        let name = name.into();
        self.with(|policy| policy.name = Some(name.into()))
    }

    /// A certificate of its own, in place of [`Builder::tls`](crate::Builder::tls). Replace it later with
    /// [`Tls::replace`].
    pub fn tls(self, tls: impl Into<Tls>) -> Listener {
        let tls = tls.into();
        self.with(|policy| policy.tls = Some(tls))
    }

    /// Starts each connection with a TLS handshake, before the banner: port 465, "smtps" (RFC 8314). The listener needs a
    /// certificate, its own or the [server's](crate::Builder::tls). Default: STARTTLS, where there is a certificate.
    pub fn implicit_tls(self) -> Listener {
        self.with(|policy| policy.implicit_tls = true)
    }

    /// As [`Builder::require_tls`](crate::Builder::require_tls), for this listener.
    pub fn require_tls(self, required: bool) -> Listener {
        self.with(|policy| policy.require_tls = Some(required))
    }

    /// Whether AUTH is offered: false for a port where other servers deliver, so that nobody guesses passwords there. AUTH then
    /// gets `502 5.5.1`. Default: true if the server has an [authenticator](crate::Builder::authenticator) or a
    /// [mechanism of its own](crate::Builder::sasl_mechanism).
    #[cfg(feature = "auth")]
    pub fn offer_auth(self, offered: bool) -> Listener {
        self.with(|policy| policy.offer_auth = Some(offered))
    }

    /// As [`Builder::require_auth`](crate::Builder::require_auth), for this listener.
    #[cfg(feature = "auth")]
    pub fn require_auth(self, required: bool) -> Listener {
        self.with(|policy| policy.require_auth = Some(required))
    }

    /// As [`Builder::smtputf8`](crate::Builder::smtputf8), for this listener.
    pub fn smtputf8(self, offered: bool) -> Listener {
        self.with(|policy| policy.smtputf8 = Some(offered))
    }

    /// As [`Builder::data_size_limit`](crate::Builder::data_size_limit), for this listener: in octets; 0 is unlimited.
    pub fn data_size_limit(self, octets: u64) -> Listener {
        self.with(|policy| policy.data_size_limit = Some(octets))
    }

    /// As [`Builder::lmtp`](crate::Builder::lmtp), for this listener: whether it speaks LMTP (RFC 2033) rather than SMTP. A
    /// handler answers for each recipient there with [`Response::each`](crate::Response::each).
    pub fn lmtp(self, lmtp: bool) -> Listener {
        self.with(|policy| policy.lmtp = Some(lmtp))
    }
}
