//! XCLIENT: how a trusted client, a proxy or a content filter, says for whom it speaks.
//!
//! Postfix's document `XCLIENT_README` is its specification.

use std::net::{IpAddr, Ipv6Addr};

use crate::address::is_helo_name;
use crate::reply::{Reply, Status};
use crate::xtext;

/// What EHLO says of it.
pub(crate) const KEYWORD: &str = "XCLIENT ADDR PORT HELO LOGIN PROTO NAME";

const BAD_ATTRIBUTE: Reply = Reply::fixed(501, Status::new(5, 5, 4), "Bad XCLIENT attribute");

/// The attributes that change what is known of the client; the others are read and ignored.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(crate) struct Xclient {
    pub address: Option<IpAddr>,
    pub port: Option<u16>,
    pub helo: Option<String>,
    /// The identity; `Some(None)` takes one away.
    pub login: Option<Option<String>>,
}

impl Xclient {
    /// Parses `NAME=VALUE` after `NAME=VALUE`.
    pub fn parse(argument: &[u8]) -> Result<Xclient, Reply> {
        let mut all = Xclient::default();
        let text = str::from_utf8(argument).map_err(|_| BAD_ATTRIBUTE)?;
        for attribute in text.split_ascii_whitespace() {
            all.take(attribute).ok_or(BAD_ATTRIBUTE)?;
        }
        Ok(all)
    }

    fn take(&mut self, attribute: &str) -> Option<()> {
        let (name, value) = attribute.split_once('=')?;
        let value = xtext::decode(value)?;
        // What the sender does not know, stays as it is.
        let is_known = !matches!(value.to_ascii_uppercase().as_str(), "[UNAVAILABLE]" | "[TEMPUNAVAIL]");
        match name.to_ascii_uppercase().as_str() {
            "ADDR" if is_known => self.address = Some(parse_address(&value)?),
            "PORT" if is_known => self.port = Some(value.parse().ok()?),
            "HELO" if is_known => self.helo = Some(value).filter(|name| name.is_ascii() && name.len() <= 255),
            "LOGIN" => self.login = Some(Some(value).filter(|_| is_known)),
            // What is spoken here decides.
            "PROTO" if is_known && !["SMTP", "ESMTP"].contains(&value.to_ascii_uppercase().as_str()) => return None,
            // The result of a reverse look-up: nothing here depends on it.
            "NAME" if is_known && !is_helo_name(value.as_bytes()) => return None,
            "ADDR" | "PORT" | "HELO" | "PROTO" | "NAME" => {}
            _ => return None,
        }
        Some(())
    }
}

fn parse_address(text: &str) -> Option<IpAddr> {
    match text.split_at_checked(5) {
        Some((tag, address)) if tag.eq_ignore_ascii_case("IPV6:") => address.parse::<Ipv6Addr>().ok().map(IpAddr::from),
        _ => text.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes() {
        let all =
            Xclient::parse(b"NAME=spike.example ADDR=192.0.2.1 port=2525 PROTO=ESMTP HELO=a+20b LOGIN=bob").unwrap();
        assert_eq!((all.address, all.port), (Some("192.0.2.1".parse().unwrap()), Some(2525)));
        assert_eq!((all.helo.as_deref(), all.login), (Some("a b"), Some(Some("bob".to_owned()))));
        let none = Xclient::parse(b"NAME=[UNAVAILABLE] ADDR=[TEMPUNAVAIL] LOGIN=[unavailable]").unwrap();
        assert_eq!(none, Xclient { login: Some(None), ..Xclient::default() });
        assert_eq!(Xclient::parse(b"ADDR=IPV6:2001:db8::1").unwrap().address, Some("2001:db8::1".parse().unwrap()));
    }

    #[test]
    fn what_is_none() {
        for bad in [
            "ADDR",
            "ADDR=",
            "ADDR=host",
            "ADDR=IPV6:1",
            "PORT=x",
            "PORT=65536",
            "PROTO=LMTP",
            "FOO=1",
            "HELO=+0D+0A",
            "NAME=a b",
        ] {
            assert!(Xclient::parse(bad.as_bytes()).is_err(), "{bad}");
        }
        assert!(Xclient::parse(b"HELO=\xff").is_err());
    }
}
