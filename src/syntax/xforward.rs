//! XFORWARD: how a trusted client, a mail server or a filter, says where a message came from before it.
//!
//! Postfix's document `XFORWARD_README` is its specification.

use std::fmt::{self, Display, Formatter};
use std::net::IpAddr;

use crate::syntax::heap::allocation;
use crate::syntax::number;
use crate::syntax::reply::{Reply, Status};
use crate::syntax::xtext;

/// What EHLO says of it.
pub(crate) const KEYWORD: &str = "XFORWARD NAME ADDR PORT PROTO HELO IDENT SOURCE";

const BAD_ATTRIBUTE: Reply = Reply::fixed(501, Status::new(5, 5, 4), "Bad XFORWARD attribute");

const UNAVAILABLE: &str = "[UNAVAILABLE]";

/// In octets, decoded.
const MAX_VALUE: usize = 255;
const MAX_PROTOCOL: usize = 64;
/// A command line without its CRLF: the specification has no longer ones.
const MAX_LINE: usize = 510;

/// Where a message came from before the client that sends it, in that client's words: Postfix's XFORWARD.
///
/// A mail server tells its content filter, and the filter the next server, which client has brought the message, so that
/// their logs name the same. It is a statement for the record: whoever is trusted is trusted because of
/// [`Context::peer`](crate::Context::peer), which XFORWARD leaves as it is.
///
/// A field is `None` if the client has not told it, or told that it is unavailable. Texts are printable ASCII of at most 255
/// octets; blanks and the characters that mean something in a header, ``<>()\";@`` among them, have become `?`.
///
/// [`Builder::xforward`](crate::Builder::xforward) lists the clients that may say it, and
/// [`handlers::Proxy::xforward`](crate::handlers::Proxy::xforward) says it to the next server.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub struct Xforward {
    /// The name of the host that the message came from, as the DNS has it.
    pub name: Option<String>,
    /// The address of that host. `None` also stands for a message that began on the client itself.
    pub address: Option<IpAddr>,
    /// The port at that host.
    pub port: Option<u16>,
    /// The protocol that brought it, such as `ESMTP`: at most 64 octets.
    pub protocol: Option<String>,
    /// The name that the host gave in HELO or EHLO.
    pub helo: Option<String>,
    /// The message's identifier on the client: with Postfix the queue id.
    pub ident: Option<String>,
    /// Whether the message began on the client, or at a site that it serves.
    pub source: Option<XforwardSource>,
}

/// Whether a message began on the side of the server that sends it on.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum XforwardSource {
    /// It did.
    Local,
    /// It came from elsewhere.
    Remote,
}

impl Xforward {
    /// Takes over `NAME=VALUE` after `NAME=VALUE`: what is not named stays as it is. After an error nothing has changed.
    pub(crate) fn update(&mut self, argument: &[u8]) -> Result<(), Reply> {
        let mut all = self.clone();
        let text = str::from_utf8(argument).map_err(|_| BAD_ATTRIBUTE)?;
        for attribute in text.split_ascii_whitespace() {
            all.take(attribute).ok_or(BAD_ATTRIBUTE)?;
        }
        *self = all;
        Ok(())
    }

    fn take(&mut self, attribute: &str) -> Option<()> {
        let (name, value) = attribute.split_once('=')?;
        let value = xtext::decode(value).filter(|value| (1..=MAX_VALUE).contains(&value.len()))?;
        // XFORWARD has one such word, but its relative XCLIENT two, and clients of both are known.
        let value = Some(value)
            .filter(|value| !value.eq_ignore_ascii_case(UNAVAILABLE) && !value.eq_ignore_ascii_case("[TEMPUNAVAIL]"));
        match name.to_ascii_uppercase().as_str() {
            "NAME" => self.name = value.map(neutral),
            "ADDR" => self.address = value.map(|value| xtext::address(&value).ok_or(())).transpose().ok()?,
            "PORT" => self.port = value.map(|value| number::parse(&value).ok_or(())).transpose().ok()?,
            "PROTO" if value.as_ref().is_some_and(|value| value.len() > MAX_PROTOCOL) => return None,
            "PROTO" => self.protocol = value.map(neutral),
            "HELO" => self.helo = value.map(neutral),
            "IDENT" => self.ident = value.map(neutral),
            "SOURCE" => {
                self.source = match value.map(|value| value.to_ascii_uppercase()).as_deref() {
                    None => None,
                    Some("LOCAL") => Some(XforwardSource::Local),
                    Some("REMOTE") => Some(XforwardSource::Remote),
                    Some(_) => return None,
                }
            }
            _ => return None,
        }
        Some(())
    }

    /// The commands that say it to a server whose EHLO names these attributes: every one of them, since what a server is not
    /// told it takes from whoever tells it.
    pub(crate) fn commands(&self, offered: &str) -> Vec<String> {
        let address = self.address.map(|ip| match ip.to_canonical() {
            IpAddr::V4(ip) => ip.to_string(),
            IpAddr::V6(ip) => format!("IPV6:{ip}"),
        });
        let source = self.source.map(|source| match source {
            XforwardSource::Local => "LOCAL".to_owned(),
            XforwardSource::Remote => "REMOTE".to_owned(),
        });
        let all = [
            ("NAME", self.name.clone()),
            ("ADDR", address),
            ("PORT", self.port.map(|port| port.to_string())),
            ("PROTO", self.protocol.clone()),
            ("HELO", self.helo.clone()),
            ("IDENT", self.ident.clone()),
            ("SOURCE", source),
        ];
        let is_offered = |name: &str| offered.split_ascii_whitespace().any(|word| word.eq_ignore_ascii_case(name));
        let mut lines: Vec<String> = Vec::new();
        for (name, value) in all.into_iter().filter(|(name, _)| is_offered(name)) {
            let value = value.map(|value| xtext::encode(&value)).filter(|value| value.len() < MAX_LINE - 32);
            let attribute = format!(" {name}={}", value.as_deref().unwrap_or(UNAVAILABLE));
            match lines.last_mut() {
                Some(line) if line.len() + attribute.len() <= MAX_LINE => line.push_str(&attribute),
                _ => lines.push(format!("XFORWARD{attribute}")),
            }
        }
        lines
    }

    /// All that is known, as in one command of any length.
    pub(crate) fn attributes(&self) -> String {
        let lines = self.commands(KEYWORD);
        let known =
            lines.iter().flat_map(|line| line.split(' ').skip(1)).filter(|word| !word.ends_with("=[UNAVAILABLE]"));
        known.collect::<Vec<_>>().join(" ")
    }

    /// What it takes in memory, with itself.
    pub(crate) fn heap_octets(&self) -> u64 {
        let texts = [&self.name, &self.protocol, &self.helo, &self.ident];
        let octets: u64 = texts.into_iter().flatten().map(|text| allocation(text.capacity())).sum();
        allocation(size_of::<Xforward>()) + octets
    }
}

impl Display for Xforward {
    /// The attributes that are known, as a client sends them: `NAME=host.example ADDR=192.0.2.1`.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&self.attributes())
    }
}

/// A text that can stand anywhere in a header: the specification forbids others, and Postfix takes them like this.
pub(crate) fn neutral(text: impl AsRef<str>) -> String {
    let is_plain = |c: char| c.is_ascii_graphic() && !matches!(c, '<' | '>' | '(' | ')' | '\\' | '"' | ';' | '@');
    text.as_ref().chars().map(|c| if is_plain(c) { c } else { '?' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parsed(argument: &str) -> Option<Xforward> {
        let mut all = Xforward::default();
        all.update(argument.as_bytes()).ok().map(|()| all)
    }

    #[test]
    fn attributes_are_added_replaced_and_erased() {
        let mut all = parsed("NAME=spike.example ADDR=192.0.2.1 port=25 PROTO=ESMTP").unwrap();
        all.update(b"HELO=spike.example IDENT=3CF6B2AAE8 source=remote name=other.example").unwrap();
        let told = Xforward {
            name: Some("other.example".to_owned()),
            address: "192.0.2.1".parse().ok(),
            port: Some(25),
            protocol: Some("ESMTP".to_owned()),
            helo: Some("spike.example".to_owned()),
            ident: Some("3CF6B2AAE8".to_owned()),
            source: Some(XforwardSource::Remote),
        };
        assert_eq!(all, told);
        let gone = "NAME=[UNAVAILABLE] ADDR=[unavailable] PORT=[Unavailable] PROTO=[UNAVAILABLE] HELO=[TEMPUNAVAIL] \
                    IDENT=[UNAVAILABLE] SOURCE=[UNAVAILABLE]";
        all.update(gone.as_bytes()).unwrap();
        assert_eq!(all, Xforward::default());
        assert_eq!(parsed("ADDR=ipv6:2001:db8::1").unwrap().address, "2001:db8::1".parse().ok());
        assert_eq!(parsed("SOURCE=LOCAL").unwrap().source, Some(XforwardSource::Local));
    }

    #[test]
    fn what_is_none_changes_nothing() {
        let mut all = parsed("NAME=a").unwrap();
        for bad in [
            "NAME",
            "NAME=",
            "=a",
            "FOO=1",
            "ADDR=host",
            "ADDR=",
            "PORT=x",
            "PORT=65536",
            "PORT=+2B1",
            "SOURCE=both",
            "NAME=a=b",
            "HELO=+0D+0A",
            "HELO=+00",
            "IDENT=+FF",
            "LOGIN=bob",
            "HELO=+",
        ] {
            assert!(all.update(format!("HELO=x {bad}").as_bytes()).is_err(), "{bad}");
        }
        assert!(all.update(b"HELO=\xff").is_err());
        assert_eq!(all, parsed("NAME=a").unwrap());
        for (name, max) in [("NAME", 255), ("HELO", 255), ("IDENT", 255), ("PROTO", 64)] {
            assert!(parsed(&format!("{name}={}", "a".repeat(max))).is_some(), "{name}");
            assert!(parsed(&format!("{name}={}", "a".repeat(max + 1))).is_none(), "{name}");
        }
    }

    #[test]
    fn what_means_something_in_a_header_does_not_get_there() {
        let helo = |value: &str| parsed(&format!("HELO={value}")).unwrap().helo.unwrap();
        assert_eq!(helo("a+20b(c)+5C<d>;+22@"), "a?b?c???d????");
        assert_eq!(helo("+C3+BC.example"), "?.example");
    }

    #[test]
    fn commands_are_short_and_say_what_is_not_known() {
        let all = Xforward {
            name: Some("a".repeat(255)),
            helo: Some("+".repeat(200)),
            ident: Some("b".repeat(255)),
            ..Xforward::default()
        };
        let lines = all.commands("NAME ADDR PORT proto HELO IDENT SOURCE FUTURE");
        assert!(lines.iter().all(|line| line.len() <= MAX_LINE), "{lines:?}");
        let text = lines.join("");
        assert!(text.contains(" ADDR=[UNAVAILABLE] PORT=[UNAVAILABLE] PROTO=[UNAVAILABLE]"), "{text}");
        assert!(text.contains(" HELO=[UNAVAILABLE]") && text.contains(" SOURCE=[UNAVAILABLE]"), "{text}");
        assert_eq!(Xforward::default().commands("ADDR"), ["XFORWARD ADDR=[UNAVAILABLE]"]);
        assert!(Xforward::default().commands("").is_empty());
        let mapped = Xforward { address: "::ffff:192.0.2.1".parse().ok(), ..Xforward::default() };
        assert_eq!(mapped.commands("ADDR"), ["XFORWARD ADDR=192.0.2.1"]);
    }

    proptest! {
        #[test]
        fn what_is_taken_is_clean_and_is_said_again_as_it_was(
            argument in "((NAME|addr|PORT|PROTO|HELO|Ident|SOURCE|FOO)=([ -~]|\\+[0-9A-F]{2}){1,12} ?){0,4}",
        ) {
            if let Some(all) = parsed(&argument) {
                let texts = [&all.name, &all.protocol, &all.helo, &all.ident];
                for text in texts.into_iter().flatten() {
                    prop_assert!(!text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic()));
                    prop_assert!(!text.contains(['<', '>', '(', ')', '\\', '"', ';', '@']));
                }
                let mut again = Xforward::default();
                for line in all.commands(KEYWORD) {
                    again.update(line.strip_prefix("XFORWARD").unwrap().trim().as_bytes()).unwrap();
                }
                prop_assert_eq!(&again, &all);
                prop_assert_eq!(parsed(&all.attributes()).unwrap(), all);
            }
        }

        #[test]
        fn no_octets_panic(argument in any::<Vec<u8>>()) {
            let _ = Xforward::default().update(&argument);
        }
    }
}
