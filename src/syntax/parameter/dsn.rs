//! What a client wants to be told about its message: the parameters of RFC 3461.

use std::fmt::{self, Display, Formatter};

use crate::syntax::heap::allocation;
use crate::syntax::xtext;

/// How much of the message a notice about its failure brings back: `RET=` (RFC 3461 section 4.3).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Ret {
    /// `RET=FULL`: the whole message.
    Full,
    /// `RET=HDRS`: its headers only.
    Headers,
}

impl Ret {
    pub(super) fn parse(value: &str) -> Option<Ret> {
        match value {
            v if v.eq_ignore_ascii_case("FULL") => Some(Ret::Full),
            v if v.eq_ignore_ascii_case("HDRS") => Some(Ret::Headers),
            _ => None,
        }
    }
}

/// RFC 3461 section 4.4: at most 100 characters, as encoded, that stand for printable ASCII.
pub(super) fn parse_envid(value: &str) -> Option<String> {
    (value.len() <= 100).then(|| xtext::decode(value)).flatten().filter(|id| id.is_ascii())
}

/// When the sender wants a notice about this recipient: `NOTIFY=` (RFC 3461 section 4.1).
///
/// Without the parameter it is on failure, and on delay if the server likes: see [`Notify::default`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Notify {
    success: bool,
    failure: bool,
    delay: bool,
}

impl Notify {
    /// `NOTIFY=NEVER`: no notice at all.
    pub const NEVER: Notify = Notify { success: false, failure: false, delay: false };

    /// Whether to tell that the message was delivered.
    pub fn on_success(self) -> bool {
        self.success
    }

    /// Whether to tell that it could not be delivered.
    pub fn on_failure(self) -> bool {
        self.failure
    }

    /// Whether to tell that it is not delivered yet.
    pub fn on_delay(self) -> bool {
        self.delay
    }

    /// RFC 3461: NEVER alone, or a list of the others.
    pub(super) fn parse(value: &str) -> Option<Notify> {
        if value.eq_ignore_ascii_case("NEVER") {
            return Some(Notify::NEVER);
        }
        let mut notify = Notify::NEVER;
        for word in value.split(',') {
            let wanted = match word {
                w if w.eq_ignore_ascii_case("SUCCESS") => &mut notify.success,
                w if w.eq_ignore_ascii_case("FAILURE") => &mut notify.failure,
                w if w.eq_ignore_ascii_case("DELAY") => &mut notify.delay,
                _ => return None,
            };
            *wanted = true;
        }
        Some(notify)
    }
}

impl Default for Notify {
    /// What RFC 3461 has a server do where the client says nothing.
    fn default() -> Notify {
        Notify { success: false, failure: true, delay: true }
    }
}

impl Display for Notify {
    /// The value of the parameter: `NEVER`, or a list such as `SUCCESS,FAILURE`.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let words = [(self.success, "SUCCESS"), (self.failure, "FAILURE"), (self.delay, "DELAY")];
        let words: Vec<&str> = words.iter().filter(|(wanted, _)| *wanted).map(|(_, word)| *word).collect();
        f.write_str(if words.is_empty() { "NEVER".to_owned() } else { words.join(",") }.as_str())
    }
}

/// The address that the sender wrote to, before anybody changed it: `ORCPT=` (RFC 3461 section 4.2).
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct OriginalRecipient {
    address_type: String,
    address: String,
}

impl OriginalRecipient {
    /// What kind of address it is, as sent; usually `rfc822`.
    pub fn address_type(&self) -> &str {
        &self.address_type
    }

    /// The address, decoded.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// What it takes in memory beside itself.
    pub(super) fn heap_octets(&self) -> u64 {
        allocation(self.address_type.capacity()) + allocation(self.address.capacity())
    }

    /// `addr-type ";" xtext`, of at most 500 characters: an atom, and what stands for printable ASCII. A client of SMTPUTF8
    /// may say `utf-8;` and mean what RFC 6533 section 3 lets that hold.
    pub(super) fn parse(value: &str, smtputf8: bool) -> Option<OriginalRecipient> {
        let (address_type, address) = value.split_once(';').filter(|_| value.len() <= 500)?;
        let is_atom = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-/?^_`{|}~".contains(&b);
        let type_ok = !address_type.is_empty() && address_type.bytes().all(is_atom);
        let address = match address_type.eq_ignore_ascii_case("utf-8") {
            true => decode_utf8_address(address, smtputf8)?,
            false => xtext::decode(address).filter(|address| address.is_ascii())?,
        };
        (type_ok && !address.is_empty()).then(|| OriginalRecipient { address_type: address_type.to_owned(), address })
    }
}

impl Display for OriginalRecipient {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{};{}", self.address_type, self.address)
    }
}

/// RFC 6533 section 3: characters as `\x{HEX}`, and with SMTPUTF8 as themselves.
fn decode_utf8_address(text: &str, smtputf8: bool) -> Option<String> {
    let mut address = String::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        if let Some(escape) = rest.strip_prefix("\\x{") {
            let (digits, behind) = escape.split_once('}')?;
            let digits_ok = (2..=6).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_hexdigit());
            address.push(digits_ok.then(|| u32::from_str_radix(digits, 16).ok()).flatten().and_then(char::from_u32)?);
            rest = behind;
        } else if (c.is_ascii_graphic() && !matches!(c, '\\' | '+' | '=')) || (smtputf8 && !c.is_ascii()) {
            address.push(c);
            rest = &rest[c.len_utf8()..];
        } else {
            return None;
        }
    }
    (!address.chars().any(char::is_control)).then_some(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notices() {
        let notify = Notify::parse("success,DELAY").unwrap();
        assert!(notify.on_success() && !notify.on_failure() && notify.on_delay());
        assert_eq!(notify.to_string(), "SUCCESS,DELAY");
        assert_eq!(Notify::parse("never"), Some(Notify::NEVER));
        assert_eq!(
            (Notify::NEVER.to_string(), Notify::default().to_string()),
            ("NEVER".into(), "FAILURE,DELAY".into())
        );
        for bad in ["", "NEVER,SUCCESS", "SUCCESS,", "ALWAYS", "SUCCESS;FAILURE"] {
            assert_eq!(Notify::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn original_recipients() {
        let orcpt = OriginalRecipient::parse("rfc822;Bob+2Blist@example.org", false).unwrap();
        assert_eq!((orcpt.address_type(), orcpt.address()), ("rfc822", "Bob+list@example.org"));
        assert_eq!(orcpt.to_string(), "rfc822;Bob+list@example.org");
        let utf8 = OriginalRecipient::parse("utf-8;b\\x{FC}b@example.org", false).unwrap();
        assert_eq!(utf8.address(), "b\u{fc}b@example.org");
        assert!(OriginalRecipient::parse("utf-8;b\u{fc}b@example.org", true).is_some());
        assert!(OriginalRecipient::parse("x_local;bob", false).is_some());
        for bad in [
            "rfc822",
            ";a@b",
            "rfc822;",
            "rfc822;+C3+BC@b",
            "r f;a",
            "r(f;a",
            "rfc822;a=b",
            "utf-8;b\u{fc}b@b",
            "utf-8;\\x{D800}",
            "utf-8;\\x{0A}",
        ] {
            assert_eq!(OriginalRecipient::parse(bad, false), None, "{bad}");
        }
        assert_eq!(OriginalRecipient::parse(&format!("rfc822;{}", "a".repeat(494)), false), None);
    }

    #[test]
    fn envelope_ids_and_returns() {
        assert_eq!(parse_envid("QQ314159").as_deref(), Some("QQ314159"));
        for bad in ["a".repeat(101), "+C3+BC".into(), "+0A".into()] {
            assert_eq!(parse_envid(&bad), None, "{bad}");
        }
        assert_eq!(Ret::parse("full"), Some(Ret::Full));
        assert_eq!(Ret::parse("HDRS"), Some(Ret::Headers));
        assert_eq!(Ret::parse("HALF"), None);
    }
}
