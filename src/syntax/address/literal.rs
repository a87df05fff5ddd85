//! Address literals: RFC 5321 section 4.1.3.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use super::error::AddressError;
use crate::syntax::number;

/// An address literal: an IP address, or other text with a tag, instead of a domain (RFC 5321 section 4.1.3).
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum AddressLiteral {
    /// `[192.0.2.1]`
    V4(Ipv4Addr),
    /// `[IPv6:2001:db8::1]`
    V6(Ipv6Addr),
    /// `[tag:content]`
    General {
        /// What kind of address it is.
        tag: String,
        /// The address.
        content: String,
    },
}

impl FromStr for AddressLiteral {
    type Err = AddressError;

    /// Parses the text between the square brackets.
    fn from_str(text: &str) -> Result<AddressLiteral, AddressError> {
        let Some((tag, content)) = text.split_once(':') else {
            return parse_ipv4(text).map(AddressLiteral::V4).ok_or(AddressError::Literal);
        };
        if tag.eq_ignore_ascii_case("IPv6") {
            return parse_ipv6(content).map(AddressLiteral::V6).ok_or(AddressError::Literal);
        }
        let tag_ok =
            !tag.is_empty() && tag.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') && !tag.ends_with('-');
        let content_ok = !content.is_empty() && content.bytes().all(|b| matches!(b, 33..=90 | 94..=126));
        if tag_ok && content_ok {
            Ok(AddressLiteral::General { tag: tag.to_owned(), content: content.to_owned() })
        } else {
            Err(AddressError::Literal)
        }
    }
}

/// Four numbers of one to three digits: unlike std's, leading zeros are part of the grammar.
fn parse_ipv4(text: &str) -> Option<Ipv4Addr> {
    let mut octets = [0; 4];
    let mut parts = text.split('.');
    for octet in &mut octets {
        *octet = number::parse_short(parts.next()?, 3)?;
    }
    parts.next().is_none().then(|| octets.into())
}

/// As std reads it, but for two things of the grammar: an IPv4 address at the end may have leading zeros, and `::` stands
/// for at least two groups.
fn parse_ipv6(text: &str) -> Option<Ipv6Addr> {
    let v4 = text.rsplit_once(':').filter(|(_, last)| last.contains('.'));
    let address = match v4 {
        Some((groups, last)) => format!("{groups}:{}", parse_ipv4(last)?).parse().ok()?,
        None => text.parse().ok()?,
    };
    let groups = text.split(':').filter(|group| !group.is_empty()).count() + usize::from(v4.is_some());
    (!text.contains("::") || groups <= 6).then_some(address)
}
