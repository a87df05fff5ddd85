//! The PROXY protocol, versions 1 and 2, by which a proxy says whose connection it passes on.
//!
//! HAProxy's document `proxy-protocol.txt` is its specification.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::syntax::number;

/// The longest header of version 1, its CRLF counted.
const MAX_V1: usize = 107;
/// The fixed part of version 2's header, and the longest that may follow it: addresses, and more room for additions than
/// any proxy uses.
const V2: usize = 16;
const MAX_V2_REST: usize = 2048;

const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";

/// The type of the addition that is a checksum of the whole header.
const CRC32C: u8 = 3;

/// What a header says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Source {
    /// The proxy speaks for itself, or does not say for whom. The connection's own address, the proxy's, is not the client's.
    Unknown,
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
///
/// While it is `Incomplete` the caller reads more and asks again with all of it: never more than `MAX_V1` octets, or `V2`
/// and `MAX_V2_REST`, are waited for. What follows the header is the client's own, and for whoever reads next.
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
        return Some(Header::Complete(end + 1, Source::Unknown));
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
    let peer = SocketAddr::new(ip(source)?, number::parse_canonical(source_port)?);
    let local = SocketAddr::new(ip(destination)?, number::parse_canonical(destination_port)?);
    Some(Header::Complete(end + 1, Source::Client { peer, local }))
}

fn parse_v2(octets: &[u8]) -> Option<Header> {
    // What can be none is told as soon as it can be known, not when the rest of it has come.
    if octets.get(SIGNATURE.len()).is_some_and(|version_and_command| !matches!(version_and_command, 0x20 | 0x21)) {
        return None;
    }
    let Some((fixed, rest)) = octets.split_first_chunk::<V2>() else { return Some(Header::Incomplete) };
    let [.., version_and_command, family, high, low] = *fixed;
    let length = usize::from(u16::from_be_bytes([high, low]));
    if length > MAX_V2_REST {
        return None;
    }
    let Some(rest) = rest.get(..length) else { return Some(Header::Incomplete) };
    let header = &octets[..V2 + length];
    let source = match (version_and_command & 0xf, family) {
        // LOCAL: a check by the proxy itself. What else it says does not count.
        (0, _) => Source::Unknown,
        (1, 0x11) => {
            let (peer, rest) = rest.split_first_chunk::<4>()?;
            let (local, rest) = rest.split_first_chunk::<4>()?;
            client((*peer).into(), (*local).into(), rest, header)?
        }
        (1, 0x21) => {
            let (peer, rest) = rest.split_first_chunk::<16>()?;
            let (local, rest) = rest.split_first_chunk::<16>()?;
            client((*peer).into(), (*local).into(), rest, header)?
        }
        // A Unix socket: there is no address that could be told.
        (1, 0x31) => {
            check_additions(rest.get(2 * 108..)?, header)?;
            Source::Unknown
        }
        // Unspecified: how long its addresses are, and so where additions begin, cannot be known.
        (1, 0x00) => Source::Unknown,
        // Datagrams cannot be: this is a stream.
        _ => return None,
    };
    Some(Header::Complete(V2 + length, source))
}

/// The two ports behind the addresses, and additions.
fn client(peer: IpAddr, local: IpAddr, rest: &[u8], header: &[u8]) -> Option<Source> {
    let [a, b, c, d, ref additions @ ..] = *rest else { return None };
    check_additions(additions, header)?;
    Some(Source::Client {
        peer: SocketAddr::new(peer, u16::from_be_bytes([a, b])),
        local: SocketAddr::new(local, u16::from_be_bytes([c, d])),
    })
}

/// Additions, each of a type, a length and so many octets, end where the header does, and a checksum among them is right.
/// Nothing here needs the others.
fn check_additions(mut additions: &[u8], header: &[u8]) -> Option<()> {
    let mut checksum = None;
    while let [kind, others @ ..] = additions {
        let (length, others) = others.split_first_chunk::<2>()?;
        let (value, rest) = others.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
        // One covers the whole header, so that there cannot be another.
        if *kind == CRC32C && checksum.replace((header.len() - rest.len() - value.len(), value)).is_some() {
            return None;
        }
        additions = rest;
    }
    let Some((at, value)) = checksum else { return Some(()) };
    let told = u32::from_be_bytes(value.try_into().ok()?);
    // It is made with zeros in its own place.
    let made = crc32c([&header[..at], &[0; 4], &header[at + 4..]].into_iter().flatten());
    (made == told).then_some(())
}

/// RFC 4960 appendix B. Headers are short and come once a connection: no table is worth its room.
fn crc32c<'a>(octets: impl Iterator<Item = &'a u8>) -> u32 {
    !octets.fold(!0, |crc, octet| {
        (0..8).fold(crc ^ u32::from(*octet), |crc, _| (crc >> 1) ^ (0x82f6_3b78 & (crc & 1).wrapping_neg()))
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

    const IPV4: [u8; 12] = [192, 0, 2, 1, 198, 51, 100, 2, 0xdc, 0x04, 0x01, 0xbb];

    /// A header with a checksum between other additions, `wrong` by so much.
    fn summed(wrong: u32) -> Vec<u8> {
        let mut header = v2(1, 0x11, &[&IPV4[..], b"\x04\0\x02..\x03\0\x04\0\0\0\0\x05\0\x01i"].concat());
        let sum = crc32c(header.iter()) ^ wrong;
        header[V2 + 12 + 5 + 3..][..4].copy_from_slice(&sum.to_be_bytes());
        header
    }

    fn headers() -> Vec<(Vec<u8>, Source)> {
        let mut ipv6 = [0; 40];
        // Behind the addresses, an addition of one octet.
        (ipv6[15], ipv6[31], ipv6[33], ipv6[35], ipv6[36], ipv6[38]) = (1, 2, 7, 25, 4, 1);
        vec![
            (b"PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\n".to_vec(), from("192.0.2.1:56324", "198.51.100.2:443")),
            (b"PROXY TCP6 2001:db8::1 ::1 1 65535\r\n".to_vec(), from("[2001:db8::1]:1", "[::1]:65535")),
            (b"PROXY UNKNOWN\r\n".to_vec(), Source::Unknown),
            (b"PROXY UNKNOWN ffff::1 whatever\r\n".to_vec(), Source::Unknown),
            (v2(1, 0x11, &IPV4), from("192.0.2.1:56324", "198.51.100.2:443")),
            (v2(1, 0x21, &ipv6), from("[::1]:7", "[::2]:25")),
            (v2(0, 0x00, b""), Source::Unknown),
            (v2(0, 0x11, b"not looked at"), Source::Unknown),
            (v2(1, 0x00, b"not looked at"), Source::Unknown),
            (v2(1, 0x31, &[0; 216]), Source::Unknown),
            (summed(0), from("192.0.2.1:56324", "198.51.100.2:443")),
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
        assert_eq!(parse(&v2(1, 0x31, &[0; 215])), Header::Invalid);
        for begun in [0x11, 0x22, 0x2f] {
            assert_eq!(parse(&[&SIGNATURE[..], &[begun]].concat()), Header::Invalid);
        }
    }

    #[test]
    fn additions() {
        // RFC 3720 appendix B.4, and the check value of the catalogues.
        assert_eq!(crc32c([0; 32].iter()), 0x8a91_36aa);
        assert_eq!(crc32c(b"123456789".iter()), 0xe306_9283);
        for bad in [
            &b"\x04"[..],
            b"\x04\0",
            b"\x04\0\x01",
            b"\x04\xff\xff.",
            b"\x04\0\0\x04",
            b"\x03\0\x03...",
            b"\x03\0\x05.....",
        ] {
            assert_eq!(parse(&v2(1, 0x11, &[&IPV4, bad].concat())), Header::Invalid, "{}", bad.escape_ascii());
        }
        for bit in 0..32 {
            assert_eq!(parse(&summed(1 << bit)), Header::Invalid);
        }
        let twice = v2(1, 0x11, &[&IPV4[..], &[3, 0, 4, 0, 0, 0, 0].repeat(2)].concat());
        assert_eq!(parse(&twice), Header::Invalid);
    }

    proptest! {
        #[test]
        fn no_octets_panic(octets in prop::collection::vec(any::<u8>(), 0..300), signed in any::<bool>()) {
            let octets = if signed { [&SIGNATURE[..], &octets].concat() } else { octets };
            if let Header::Complete(length, _) = parse(&octets) {
                prop_assert!(length <= octets.len());
            }
        }

        #[test]
        fn any_addresses_are_read_back(peer in any::<SocketAddr>(), local in any::<SocketAddr>(), junk in any::<Vec<u8>>()) {
            // An address's zone and flow are not told.
            let plain = |address: SocketAddr| SocketAddr::new(address.ip(), address.port());
            let (peer, local) = (plain(peer), plain(local));
            prop_assume!(peer.is_ipv4() == local.is_ipv4());
            let (word, family) = if peer.is_ipv4() { ("TCP4", 0x11) } else { ("TCP6", 0x21) };
            let v1 = format!("PROXY {word} {} {} {} {}\r\n", peer.ip(), local.ip(), peer.port(), local.port());
            let octets = |address: SocketAddr| match address.ip() {
                IpAddr::V4(ip) => ip.octets().to_vec(),
                IpAddr::V6(ip) => ip.octets().to_vec(),
            };
            let ports = [peer.port().to_be_bytes(), local.port().to_be_bytes()].concat();
            let v2 = v2(1, family, &[octets(peer), octets(local), ports].concat());
            for header in [v1.into_bytes(), v2] {
                for cut in 0..header.len() {
                    prop_assert_eq!(parse(&header[..cut]), Header::Incomplete);
                }
                let whole = Header::Complete(header.len(), Source::Client { peer, local });
                prop_assert_eq!(parse(&[&header[..], &junk].concat()), whole);
            }
        }

        #[test]
        fn no_more_than_its_bound_is_waited_for(octets in prop::collection::vec(any::<u8>(), 107..200)) {
            let v1 = [b"PROXY ", &octets[..]].concat();
            prop_assert_ne!(parse(&v1), Header::Incomplete);
            let v2 = [&SIGNATURE[..], &[0x21, 0x11, 8, 0], &octets.repeat(20)].concat();
            prop_assert_ne!(parse(&v2), Header::Incomplete);
        }
    }
}
