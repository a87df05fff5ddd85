//! xtext: RFC 3461 section 4, a text in which any octet can be had as `+` and two upper-case hexadecimal digits; and what
//! XCLIENT and XFORWARD have in such texts.

use std::fmt::Write;
use std::net::{IpAddr, Ipv6Addr};

/// Undoes xtext; `None` if it is none, or what it stands for is not UTF-8 or has a control character.
pub(crate) fn decode(text: &str) -> Option<String> {
    let mut octets = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, others @ ..] = rest {
        rest = match (*first, others) {
            (b'+', [high, low, rest @ ..]) => {
                octets.push(digit(*high)? << 4 | digit(*low)?);
                rest
            }
            // xchar: printable, but for "+" and "=".
            (b'!'..=b'~', _) if !matches!(first, b'+' | b'=') => {
                octets.push(*first);
                others
            }
            _ => return None,
        };
    }
    String::from_utf8(octets).ok().filter(|text| !text.chars().any(char::is_control))
}

/// A text as xtext.
pub(crate) fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for octet in text.bytes() {
        match octet {
            b'!'..=b'~' if !matches!(octet, b'+' | b'=') => encoded.push(char::from(octet)),
            _ => {
                // A string cannot fail.
                let _ = write!(encoded, "+{octet:02X}");
            }
        }
    }
    encoded
}

/// An address, one of IPv6 with its tag or without.
pub(crate) fn address(text: &str) -> Option<IpAddr> {
    match text.split_at_checked(5) {
        Some((tag, address)) if tag.eq_ignore_ascii_case("IPV6:") => address.parse::<Ipv6Addr>().ok().map(IpAddr::from),
        _ => text.parse().ok(),
    }
}

fn digit(octet: u8) -> Option<u8> {
    match octet {
        b'0'..=b'9' => Some(octet - b'0'),
        b'A'..=b'F' => Some(octet - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decoded() {
        assert_eq!(decode("Joe+20Smith+3Djoe+2Bx@example.org").as_deref(), Some("Joe Smith=joe+x@example.org"));
        assert_eq!(decode("").as_deref(), Some(""));
        assert_eq!(decode("+C3+BC").as_deref(), Some("\u{fc}"));
        for bad in ["+", "+4", "+4x", "+4a", "a=b", "a b", "\u{fc}", "+0D+0A", "+00", "+FF"] {
            assert_eq!(decode(bad), None, "{bad}");
        }
        for text in ["", "Joe Smith=joe+x@example.org", "\u{fc}", "[UNAVAILABLE]"] {
            assert_eq!(decode(&encode(text)).as_deref(), Some(text));
        }
    }
}
