//! Who the server is, and in which protocol.

use super::Builder;

/// # Identity
///
/// Who the server is, and in which protocol.
impl Builder {
    /// The server's name: in the banner, in the reply to HELO and EHLO, and in Received lines. A domain or an address
    /// literal. Default: the machine's own name, or `localhost` if that is no domain.
    pub fn hostname(mut self, name: impl Into<String>) -> Builder {
        self.hostname = Some(name.into());
        self
    }

    /// Speaks LMTP (RFC 2033) in SMTP's place: clients say LHLO, and after a message they read a reply for each of its
    /// recipients. Meant for a mail system's own machines; not for port 25. Default: false.
    pub fn lmtp(mut self, lmtp: bool) -> Builder {
        self.config.lmtp = lmtp;
        self
    }
}
