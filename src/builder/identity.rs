//! The server's name, and the protocol that it speaks.

use super::Builder;

/// # Identity
///
/// The server's name, and the protocol that it speaks.
impl Builder {
    /// The server's name, in the banner, in the reply to HELO and EHLO, and in Received lines: a domain or an address
    /// literal. Default: the machine's name, or `localhost` if that is not a domain.
    pub fn hostname(mut self, name: impl Into<String>) -> Builder {
        self.hostname = Some(name.into());
        self
    }

    /// Whether the server speaks LMTP (RFC 2033) instead of SMTP: clients say LHLO, and get a reply for each recipient of a
    /// message. LMTP is for the machines of one mail system, not for port 25. Default: false.
    pub fn lmtp(mut self, lmtp: bool) -> Builder {
        self.config.lmtp = lmtp;
        self
    }
}
