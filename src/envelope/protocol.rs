//! The protocol that brought a message.

use std::fmt::{self, Display, Formatter};
use std::str::FromStr;

/// The protocol that brought a message, by its name in Received lines (RFC 3848 and RFC 6531 section 4.3): a final `S` stands
/// for TLS, `A` for an authenticated client, `UTF8` for SMTPUTF8.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the names are the documentation")]
pub enum Protocol {
    /// The client said HELO.
    Smtp,
    Esmtp,
    Esmtps,
    Esmtpa,
    Esmtpsa,
    Lmtp,
    Lmtps,
    Lmtpa,
    Lmtpsa,
    Utf8Smtp,
    Utf8Smtps,
    Utf8Smtpa,
    Utf8Smtpsa,
    Utf8Lmtp,
    Utf8Lmtps,
    Utf8Lmtpa,
    Utf8Lmtpsa,
}

impl Protocol {
    pub(crate) fn of(lmtp: bool, extended: bool, utf8: bool, tls: bool, authenticated: bool) -> Protocol {
        use Protocol::*;
        let [plain, s, a, sa] = match (lmtp, utf8) {
            (false, _) if !extended => return Smtp,
            (false, false) => [Esmtp, Esmtps, Esmtpa, Esmtpsa],
            (false, true) => [Utf8Smtp, Utf8Smtps, Utf8Smtpa, Utf8Smtpsa],
            (true, false) => [Lmtp, Lmtps, Lmtpa, Lmtpsa],
            (true, true) => [Utf8Lmtp, Utf8Lmtps, Utf8Lmtpa, Utf8Lmtpsa],
        };
        match (tls, authenticated) {
            (false, false) => plain,
            (true, false) => s,
            (false, true) => a,
            (true, true) => sa,
        }
    }

    /// Whether a message has a reply for each of its recipients.
    pub(crate) fn is_lmtp(self) -> bool {
        use Protocol::*;
        matches!(self, Lmtp | Lmtps | Lmtpa | Lmtpsa | Utf8Lmtp | Utf8Lmtps | Utf8Lmtpa | Utf8Lmtpsa)
    }
}

impl Display for Protocol {
    /// In upper case, as in a Received line.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&format!("{self:?}").to_ascii_uppercase())
    }
}

impl FromStr for Protocol {
    type Err = ProtocolError;

    /// Parses a name in upper case, as [`Display`] writes it.
    ///
    /// ```
    /// use pillarbox::Protocol;
    ///
    /// assert_eq!("ESMTPSA".parse(), Ok(Protocol::Esmtpsa));
    /// assert!("esmtp".parse::<Protocol>().is_err());
    /// ```
    fn from_str(name: &str) -> Result<Protocol, ProtocolError> {
        let is = |bits: u8, bit: u8| bits & bit != 0;
        let mut all =
            (0..32).map(|bits| Protocol::of(is(bits, 1), is(bits, 2), is(bits, 4), is(bits, 8), is(bits, 16)));
        all.find(|protocol| protocol.to_string() == name).ok_or(ProtocolError(()))
    }
}

/// The text is not the name of a [`Protocol`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ProtocolError(());

impl Display for ProtocolError {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("expected the name of a mail protocol in upper case, such as ESMTPSA")
    }
}

impl std::error::Error for ProtocolError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_protocol_has_its_name() {
        for bits in 0..32 {
            let one = Protocol::of(bits & 1 != 0, bits & 2 != 0, bits & 4 != 0, bits & 8 != 0, bits & 16 != 0);
            assert_eq!(one.to_string().parse(), Ok(one));
        }
        for name in ["", "esmtp", "HTTP", "SMTPS", "ESMTP ", "ESMTP\r\n"] {
            assert_eq!(name.parse::<Protocol>(), Err(ProtocolError(())), "{name:?}");
        }
    }
}
