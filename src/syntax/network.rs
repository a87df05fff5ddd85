//! IP networks, for lists of who is trusted.

use std::fmt::{self, Display, Formatter};
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

use crate::syntax::number;

/// An IP network such as `192.0.2.0/24` or `2001:db8::/32`, or a single address.
///
/// An IPv4 address mapped into IPv6 counts as the IPv4 address.
///
/// ```
/// use pillarbox::Network;
///
/// let network: Network = "192.0.2.0/24".parse()?;
/// assert!(network.contains("192.0.2.7".parse().unwrap()));
/// assert!(!network.contains("192.0.3.7".parse().unwrap()));
/// # Ok::<(), pillarbox::NetworkError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

/// The text is not a network: an IP address, optionally with `/` and a prefix length.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NetworkError(());

impl Display for NetworkError {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("not a network such as 192.0.2.0/24 or 2001:db8::1")
    }
}

impl std::error::Error for NetworkError {}

impl Network {
    /// The loopback networks of IPv4 and IPv6: this machine.
    pub fn loopback() -> [Network; 2] {
        [
            Network { address: IpAddr::from([127, 0, 0, 0]), prefix: 8 },
            Network { address: IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1]), prefix: 128 },
        ]
    }

    /// The network that usually belongs to one client: an IPv4 address, or the first 64 bits of an IPv6 address, since a
    /// machine chooses the others itself (RFC 4291 section 2.5.1).
    pub(crate) fn of_client(address: IpAddr) -> Network {
        match address.to_canonical() {
            IpAddr::V6(ip) => Network { address: Ipv6Addr::from_bits(ip.to_bits() >> 64 << 64).into(), prefix: 64 },
            ip => Network::from(ip),
        }
    }

    /// Whether an address is in this network.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                let differing = own.to_bits() ^ other.to_bits();
                differing.leading_zeros() >= u32::from(self.prefix)
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                let differing = own.to_bits() ^ other.to_bits();
                differing.leading_zeros() >= u32::from(self.prefix)
            }
            _ => false,
        }
    }
}

impl From<IpAddr> for Network {
    fn from(address: IpAddr) -> Network {
        let address = address.to_canonical();
        Network { address, prefix: if address.is_ipv4() { 32 } else { 128 } }
    }
}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Network, NetworkError> {
        let Some((address, prefix)) = text.split_once('/') else {
            return text.parse::<IpAddr>().map(Network::from).map_err(|_| NetworkError(()));
        };
        let address: IpAddr = address.parse().map_err(|_| NetworkError(()))?;
        let prefix: u8 = number::parse_canonical(prefix).ok_or(NetworkError(()))?;
        let longest = if address.is_ipv4() { 32 } else { 128 };
        if prefix > longest {
            return Err(NetworkError(()));
        }
        // Addresses are looked up as IPv4 if they are that within, so a network of them must be as well.
        match address.to_canonical() {
            canonical if canonical != address && prefix >= 96 => {
                Ok(Network { address: canonical, prefix: prefix - 96 })
            }
            _ => Ok(Network { address, prefix }),
        }
    }
}

impl Display for Network {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members() {
        let contains =
            |network: &str, address: &str| network.parse::<Network>().unwrap().contains(address.parse().unwrap());
        assert!(contains("0.0.0.0/0", "255.255.255.255") && !contains("0.0.0.0/0", "::1"));
        assert!(contains("10.0.0.0/9", "10.127.255.255") && !contains("10.0.0.0/9", "10.128.0.0"));
        assert!(contains("192.0.2.1", "192.0.2.1") && !contains("192.0.2.1", "192.0.2.2"));
        assert!(contains("192.0.2.0/24", "::ffff:192.0.2.7"));
        assert!(contains("::ffff:192.0.2.0/120", "192.0.2.7") && !contains("::ffff:192.0.2.0/120", "192.0.3.7"));
        assert!(contains("::ffff:192.0.2.0/120", "::ffff:192.0.2.7") && contains("::ffff:0.0.0.0/96", "192.0.2.7"));
        assert!(contains("2001:db8::/33", "2001:db8:7fff::1") && !contains("2001:db8::/33", "2001:db8:8000::1"));
        assert!(Network::loopback().iter().any(|network| network.contains("127.1.2.3".parse().unwrap())));
        assert!(Network::loopback().iter().any(|network| network.contains("::1".parse().unwrap())));
    }

    #[test]
    fn networks_of_clients() {
        let of = |address: &str| Network::of_client(address.parse().unwrap()).to_string();
        assert_eq!(of("192.0.2.7"), "192.0.2.7/32");
        assert_eq!(of("::ffff:192.0.2.7"), "192.0.2.7/32");
        assert_eq!(of("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::/64");
    }

    #[test]
    fn text() {
        assert_eq!("192.0.2.1".parse::<Network>().unwrap().to_string(), "192.0.2.1/32");
        assert_eq!("::ffff:192.0.2.0/120".parse::<Network>().unwrap().to_string(), "192.0.2.0/24");
        for bad in [
            "",
            "/",
            "10.0.0.0/",
            "10.0.0.0/33",
            "10.0.0.0/+8",
            "10.0.0.0/08",
            "::/129",
            "10.0.0/8",
            "host/8",
            "10.0.0.0/8/8",
        ] {
            assert_eq!(bad.parse::<Network>(), Err(NetworkError(())), "{bad}");
        }
    }
}
