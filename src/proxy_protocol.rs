//! The PROXY protocol, versions 1 and 2, by which a proxy says whose connection it passes on.
//!
//! HAProxy's document `proxy-protocol.txt` is its specification.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The longest header of version 1, its CRLF counted.
const MAX_V1: usize = 107;
/// The fixed part of version 2's header, and the longest that may follow it: addresses, and more room for additions than
/// any proxy uses.
const V2: usize = 16;
const MAX_V2_REST: usize = 2048;

const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";

/// What a header says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Source {
    /// The proxy speaks for itself, or does not say for whom: the addresses of the connection stand.
    Connection,
    /// For this client, that connected to this address of the proxy.
    Client { peer: SocketAddr, local: SocketAddr },
}

/// How far the octets that have come are a header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Header {
    /// They may become one.
    Incomplete,
    /// The first so many are.
    Complete(usize, Source),
    /// They are none.
    Invalid,
}

/// Looks for a header at the start of what has come.
pub(crate) fn parse(octets: &[u8]) -> Header {
    let signature = &SIGNATURE[..octets.len().min(SIGNATURE.len())];
    let parsed = if octets.starts_with(signature) { parse_v2(octets) } else { parse_v1(octets) };
    parsed.unwrap_or(Header::Invalid)
}

fn parse_v1(octets: &[u8]) -> Option<Header> {
    let begins = |octets: &[u8]| b"PROXY ".starts_with(&octets[..octets.len().min(6)]);
    let Some(end) = memchr::memchr(b'\n', octets) else {
        return (begins(octets) && octets.len() < MAX_V1).then_some(Header::Incomplete);
    };
    let line = octets[..end].strip_suffix(b"\r").filter(|_| end < MAX_V1)?;
    let line = str::from_utf8(line).ok()?.strip_prefix("PROXY ")?;
    if line == "UNKNOWN" || line.starts_with("UNKNOWN ") {
        return Some(Header::Complete(end + 1, Source::Connection));
    }
    let words: Vec<&str> = line.split(' ').collect();
    let [family, source, destination, source_port, destination_port] = words[..] else { return None };
    let ip = |text: &str| -> Option<IpAddr> {
        match family {
            "TCP4" => text.parse::<Ipv4Addr>().ok().map(IpAddr::from),
            "TCP6" => text.parse::<Ipv6Addr>().ok().map(IpAddr::from),
            _ => None,
        }
    };
    let peer = SocketAddr::new(ip(source)?, parse_port(source_port)?);
    let local = SocketAddr::new(ip(destination)?, parse_port(destination_port)?);
    Some(Header::Complete(end + 1, Source::Client { peer, local }))
}

/// A number without a sign or leading zeros.
fn parse_port(text: &str) -> Option<u16> {
    let plain = text.bytes().all(|b| b.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    plain.then(|| text.parse().ok()).flatten()
}

fn parse_v2(octets: &[u8]) -> Option<Header> {
    let Some((fixed, rest)) = octets.split_first_chunk::<V2>() else { return Some(Header::Incomplete) };
    let [.., version_and_command, family, high, low] = *fixed;
    let length = usize::from(u16::from_be_bytes([high, low]));
    if version_and_command >> 4 != 2 || length > MAX_V2_REST {
        return None;
    }
    let Some(rest) = rest.get(..length) else { return Some(Header::Incomplete) };
    let source = match (version_and_command & 0xf, family) {
        // LOCAL: a check by the proxy itself. What else it says does not count.
        (0, _) => Source::Connection,
        (1, 0x11) => {
            let (peer, rest) = rest.split_first_chunk::<4>()?;
            let (local, rest) = rest.split_first_chunk::<4>()?;
            client((*peer).into(), (*local).into(), rest)?
        }
        (1, 0x21) => {
            let (peer, rest) = rest.split_first_chunk::<16>()?;
            let (local, rest) = rest.split_first_chunk::<16>()?;
            client((*peer).into(), (*local).into(), rest)?
        }
        // Unspecified, and Unix sockets: there is no address that could be told.
        (1, 0x00 | 0x31) => Source::Connection,
        // Datagrams cannot be: this is a stream.
        _ => return None,
    };
    Some(Header::Complete(V2 + length, source))
}

/// The two ports behind the addresses; what follows are additions that nothing here needs.
fn client(peer: IpAddr, local: IpAddr, ports: &[u8]) -> Option<Source> {
    let [a, b, c, d, ..] = *ports else { return None };
    Some(Source::Client {
        peer: SocketAddr::new(peer, u16::from_be_bytes([a, b])),
        local: SocketAddr::new(local, u16::from_be_bytes([c, d])),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn from(peer: &str, local: &str) -> Source {
        Source::Client { peer: peer.parse().unwrap(), local: local.parse().unwrap() }
    }

    fn v2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
        [SIGNATURE, &[0x20 | command, family][..], &length, rest].concat()
    }

    fn headers() -> Vec<(Vec<u8>, Source)> {
        let ipv4 = [192, 0, 2, 1, 198, 51, 100, 2, 0xdc, 0x04, 0x01, 0xbb];
        let mut ipv6 = [0; 40];
        (ipv6[15], ipv6[31], ipv6[33], ipv6[35], ipv6[39]) = (1, 2, 7, 25, 9);
        vec![
            (b"PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\n".to_vec(), from("192.0.2.1:56324", "198.51.100.2:443")),
            (b"PROXY TCP6 2001:db8::1 ::1 1 65535\r\n".to_vec(), from("[2001:db8::1]:1", "[::1]:65535")),
            (b"PROXY UNKNOWN\r\n".to_vec(), Source::Connection),
            (b"PROXY UNKNOWN ffff::1 whatever\r\n".to_vec(), Source::Connection),
            (v2(1, 0x11, &ipv4), from("192.0.2.1:56324", "198.51.100.2:443")),
            (v2(1, 0x21, &ipv6), from("[::1]:7", "[::2]:25")),
            (v2(0, 0x00, b""), Source::Connection),
            (v2(1, 0x31, &[0; 216]), Source::Connection),
        ]
    }

    #[test]
    fn headers_whole_cut_short_and_followed() {
        for (header, source) in headers() {
            for cut in 0..header.len() {
                assert_eq!(parse(&header[..cut]), Header::Incomplete, "{}", header[..cut].escape_ascii());
            }
            assert_eq!(parse(&header), Header::Complete(header.len(), source));
            let followed = [&header[..], b"EHLO a\r\n"].concat();
            assert_eq!(parse(&followed), Header::Complete(header.len(), source));
        }
    }

    #[test]
    fn what_is_none() {
        for bad in [
            "EHLO a\r\n",
            "PROXX",
            "PROXY TCP4 192.0.2.1 198.51.100.2 1 2\n",
            "PROXY TCP4 192.0.2.1 198.51.100.2 01 2\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.2 1 65536\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.2 +1 2\r\n",
            "PROXY TCP4  192.0.2.1 198.51.100.2 1 2\r\n",
            "PROXY TCP4 ::1 ::2 1 2\r\n",
            "PROXY TCP6 192.0.2.1 198.51.100.2 1 2\r\n",
            "PROXY UDP4 192.0.2.1 198.51.100.2 1 2\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.2 1 2 \r\n",
            "proxy TCP4 192.0.2.1 198.51.100.2 1 2\r\n",
        ] {
            assert_eq!(parse(bad.as_bytes()), Header::Invalid, "{bad}");
        }
        assert_eq!(parse(format!("PROXY {}", "x".repeat(200)).as_bytes()), Header::Invalid);
        assert_eq!(parse(format!("PROXY UNKNOWN {}\r\n", "x".repeat(92)).as_bytes()), Header::Invalid);
        assert_eq!(parse(&v2(1, 0x12, &[0; 12])), Header::Invalid);
        assert_eq!(parse(&v2(2, 0x11, &[0; 12])), Header::Invalid);
        assert_eq!(parse(&v2(1, 0x11, &[0; 11])), Header::Invalid);
        assert_eq!(parse(&v2(0, 0, &[0; MAX_V2_REST + 1])), Header::Invalid);
        assert_eq!(parse(&[&SIGNATURE[..], &[0x11, 0x11, 0, 0]].concat()), Header::Invalid);
    }

    proptest! {
        #[test]
        fn no_octets_panic(octets in prop::collection::vec(any::<u8>(), 0..300), signed in any::<bool>()) {
            let octets = if signed { [&SIGNATURE[..], &octets].concat() } else { octets };
            if let Header::Complete(length, _) = parse(&octets) {
                prop_assert!(length <= octets.len());
            }
        }
    }
}
