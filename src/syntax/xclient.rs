//! XCLIENT: how a trusted client, a proxy or a content filter, says for whom it speaks.
//!
//! Postfix's document `XCLIENT_README` is its specification.

use std::net::{IpAddr, Ipv6Addr};

use crate::syntax::number;
use crate::syntax::reply::{Reply, Status};
use crate::syntax::xtext;

/// What EHLO says of it.
pub(crate) const KEYWORD: &str = "XCLIENT NAME ADDR PORT PROTO HELO LOGIN DESTADDR DESTPORT";

const BAD_ATTRIBUTE: Reply = Reply::fixed(501, Status::new(5, 5, 4), "Bad XCLIENT attribute");

/// The attributes that change what is known of the connection; the others are read and ignored.
///
/// `None` was not told, and stays as it is. `Some(None)` is told to be unavailable: what was known of it before was of
/// somebody else, the proxy or the client before this one, and must not be taken for this client's.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(crate) struct Xclient {
    pub address: Option<Option<IpAddr>>,
    pub port: Option<Option<u16>>,
    pub helo: Option<Option<String>>,
    pub login: Option<Option<String>>,
    /// The address and the port of the server that the client connected to.
    pub local_address: Option<Option<IpAddr>>,
    pub local_port: Option<Option<u16>>,
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
        let is_known = !matches!(value.to_ascii_uppercase().as_str(), "[UNAVAILABLE]" | "[TEMPUNAVAIL]");
        match name.to_ascii_uppercase().as_str() {
            "ADDR" => self.address = Some(if is_known { Some(parse_address(&value)?) } else { None }),
            "PORT" => self.port = Some(if is_known { Some(number::parse(&value)?) } else { None }),
            "DESTADDR" => self.local_address = Some(if is_known { Some(parse_address(&value)?) } else { None }),
            "DESTPORT" => self.local_port = Some(if is_known { Some(number::parse(&value)?) } else { None }),
            "HELO" => self.helo = Some(if is_known { Some(name_of(value)?) } else { None }),
            // An empty name would be somebody's, and so pass for authenticated.
            "LOGIN" if value.is_empty() => return None,
            "LOGIN" => self.login = Some(Some(value).filter(|_| is_known)),
            // What is spoken here decides.
            "PROTO" if is_known && !["SMTP", "ESMTP"].contains(&value.to_ascii_uppercase().as_str()) => return None,
            // The result of a reverse look-up: nothing here depends on it, and the DNS holds names that are no host's.
            "NAME" if is_known => name_of(value).map(drop)?,
            "PROTO" | "NAME" => {}
            _ => return None,
        }
        Some(())
    }
}

/// What may stand for a host: its form is judged where it is used, as that of HELO itself is.
fn name_of(value: String) -> Option<String> {
    Some(value).filter(|name| name.is_ascii() && (1..=255).contains(&name.len()))
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
    use proptest::prelude::*;

    #[test]
    fn attributes() {
        let all =
            Xclient::parse(b"NAME=spike.example ADDR=192.0.2.1 port=2525 PROTO=ESMTP HELO=a+20b LOGIN=bob").unwrap();
        assert_eq!((all.address, all.port), (Some("192.0.2.1".parse().ok()), Some(Some(2525))));
        assert_eq!((all.helo, all.login), (Some(Some("a b".to_owned())), Some(Some("bob".to_owned()))));
        let none =
            Xclient::parse(b"NAME=[UNAVAILABLE] ADDR=[TEMPUNAVAIL] HELO=[Unavailable] LOGIN=[unavailable]").unwrap();
        let told = Xclient { address: Some(None), helo: Some(None), login: Some(None), ..Xclient::default() };
        assert_eq!(none, told);
        assert_eq!(Xclient::parse(b"ADDR=IPV6:2001:db8::1").unwrap().address, Some("2001:db8::1".parse().ok()));
        let local = Xclient::parse(b"DESTADDR=198.51.100.2 destport=25").unwrap();
        assert_eq!((local.local_address, local.local_port), (Some("198.51.100.2".parse().ok()), Some(Some(25))));
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
            "NAME=",
            "HELO=",
            "HELO=+C3+BC",
            "LOGIN=",
            "PORT=+2B25",
            "PORT=",
            "=1",
            "NAME==",
        ] {
            assert!(Xclient::parse(bad.as_bytes()).is_err(), "{bad}");
        }
        assert!(Xclient::parse(b"HELO=\xff").is_err());
        for name in ["NAME", "HELO"] {
            assert!(Xclient::parse(format!("{name}={}", "a".repeat(255)).as_bytes()).is_ok());
            assert!(Xclient::parse(format!("{name}={}", "a".repeat(256)).as_bytes()).is_err());
        }
    }

    #[test]
    fn names_as_the_dns_has_them() {
        for name in ["spike.porcupine.org", "under_score.example", "host.example.", "[TEMPUNAVAIL]"] {
            assert_eq!(Xclient::parse(format!("NAME={name}").as_bytes()), Ok(Xclient::default()), "{name}");
        }
    }

    proptest! {
        #[test]
        fn what_is_taken_is_clean(argument in "((NAME|addr|PORT|PROTO|HELO|Login|FOO)=([ -~]|\\+[0-9A-F]{2}){0,12} ?){0,4}") {
            if let Ok(all) = Xclient::parse(argument.as_bytes()) {
                for text in [all.helo.flatten(), all.login.flatten()].into_iter().flatten() {
                    prop_assert!(!text.is_empty() && !text.chars().any(char::is_control));
                }
            }
        }

        #[test]
        fn no_octets_panic(argument in any::<Vec<u8>>()) {
            let _ = Xclient::parse(&argument);
        }
    }
}
