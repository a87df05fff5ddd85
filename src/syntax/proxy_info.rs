//! What a PROXY header says besides addresses: the additions (TLVs) of version 2.

/// The types of additions.
const ALPN: u8 = 0x01;
const AUTHORITY: u8 = 0x02;
const UNIQUE_ID: u8 = 0x05;
const SSL: u8 = 0x20;
const NETWORK_NAMESPACE: u8 = 0x30;

/// Those within the one about TLS.
const SSL_VERSION: u8 = 0x21;
const SSL_COMMON_NAME: u8 = 0x22;
const SSL_CIPHER: u8 = 0x23;
const SSL_SIGNATURE_ALGORITHM: u8 = 0x24;
const SSL_KEY_ALGORITHM: u8 = 0x25;

/// Whether the client uses TLS, and has sent a certificate on this connection, or in this TLS session before it.
const CLIENT_TLS: u8 = 1;
const CLIENT_CERTIFICATE: u8 = 2 | 4;

/// In octets.
const MAX_UNIQUE_ID: usize = 128;

/// What a proxy says of a client's connection besides its ends, in a PROXY header of version 2.
///
/// The words are the proxy's, which is trusted for them as it is for the address; some of them, such as a certificate's name
/// or the name that was asked for, it has from the client. Texts are UTF-8 without control characters: one that is not is
/// left out. All of it together is at most 2,048 octets. A header whose checksum (CRC32C) is wrong, or in which an addition
/// is cut short or comes twice, is none: the connection is closed.
///
/// It is the client's connection to the proxy that this is about. The one from there to this server is no other because of it:
/// [`Context::tls`](crate::Context::tls) and what depends on it, such as STARTTLS, clear-text passwords and the protocol in
/// Received lines, stay as they are.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub struct ProxyInfo {
    /// The protocol that was agreed on above TLS (ALPN, RFC 7301).
    pub alpn: Option<Vec<u8>>,
    /// The host that the client asked for: with TLS, the name of SNI.
    pub authority: Option<String>,
    /// The proxy's identifier of the connection, of any octets: at most 128.
    pub unique_id: Option<Vec<u8>>,
    /// The network namespace of the proxy.
    pub network_namespace: Option<String>,
    /// The TLS session between client and proxy, if there is one.
    pub tls: Option<ProxyTls>,
    /// Additions of other types, as they came: each type and its value. Clouds have some of their own (0xE0 and above).
    pub others: Vec<(u8, Vec<u8>)>,
}

/// A TLS session between a client and a proxy: see [`ProxyInfo`].
#[derive(Clone, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub struct ProxyTls {
    /// Whether the client has sent a certificate: on this connection, or earlier in the same TLS session.
    pub has_certificate: bool,
    /// Whether it has, and the proxy has verified it.
    pub is_verified: bool,
    /// The protocol's version, such as `TLSv1.3`.
    pub version: Option<String>,
    /// The cipher suite's name.
    pub cipher: Option<String>,
    /// The common name of the client's certificate. Look at [`is_verified`](ProxyTls::is_verified) before you believe it.
    pub common_name: Option<String>,
    /// The algorithm by which the proxy's certificate is signed, such as `SHA256`.
    pub signature_algorithm: Option<String>,
    /// The kind of its key, such as `RSA2048`.
    pub key_algorithm: Option<String>,
}

impl ProxyInfo {
    /// Takes an addition in; `None` if there cannot be such a one.
    pub(crate) fn take(&mut self, kind: u8, value: &[u8]) -> Option<()> {
        match kind {
            ALPN => once(&mut self.alpn, value.to_vec()),
            AUTHORITY => text(&mut self.authority, value),
            UNIQUE_ID if value.len() > MAX_UNIQUE_ID => None,
            UNIQUE_ID => once(&mut self.unique_id, value.to_vec()),
            NETWORK_NAMESPACE => text(&mut self.network_namespace, value),
            SSL => {
                let (tls, is_in_use) = ProxyTls::read(value)?;
                if is_in_use { once(&mut self.tls, tls) } else { Some(()) }
            }
            _ => {
                self.others.push((kind, value.to_vec()));
                Some(())
            }
        }
    }
}

impl ProxyTls {
    /// Reads the addition about TLS, which also says whether there is any.
    fn read(value: &[u8]) -> Option<(ProxyTls, bool)> {
        let (client, rest) = value.split_first()?;
        let (verify, rest) = rest.split_first_chunk::<4>()?;
        let has_certificate = client & CLIENT_CERTIFICATE != 0;
        // What went wrong in verifying it, or nothing.
        let is_verified = has_certificate && *verify == [0; 4];
        let mut tls = ProxyTls { has_certificate, is_verified, ..ProxyTls::default() };
        for_each(rest, |kind, value, _| match kind {
            SSL_VERSION => text(&mut tls.version, value),
            SSL_COMMON_NAME => text(&mut tls.common_name, value),
            SSL_CIPHER => text(&mut tls.cipher, value),
            SSL_SIGNATURE_ALGORITHM => text(&mut tls.signature_algorithm, value),
            SSL_KEY_ALGORITHM => text(&mut tls.key_algorithm, value),
            _ => Some(()),
        })?;
        Some((tls, client & CLIENT_TLS != 0))
    }
}

/// Goes through additions, each of a type, a length and so many octets, which end where `octets` do. `None` if they do not, or
/// one is not taken: `take` gets the type, the value, and how many octets follow it.
pub(crate) fn for_each<'a>(octets: &'a [u8], mut take: impl FnMut(u8, &'a [u8], usize) -> Option<()>) -> Option<()> {
    let mut additions = octets;
    while let [kind, others @ ..] = additions {
        let (length, others) = others.split_first_chunk::<2>()?;
        let (value, rest) = others.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
        take(*kind, value, rest.len())?;
        additions = rest;
    }
    Some(())
}

/// Of two that say different things, neither is to be believed.
fn once<T>(field: &mut Option<T>, value: T) -> Option<()> {
    field.replace(value).is_none().then_some(())
}

fn text(field: &mut Option<String>, value: &[u8]) -> Option<()> {
    match str::from_utf8(value).ok().filter(|text| !text.chars().any(char::is_control)) {
        Some(text) => once(field, text.to_owned()),
        // It may be in a client's certificate.
        None => Some(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addition(kind: u8, value: &[u8]) -> Vec<u8> {
        [&[kind][..], &u16::try_from(value.len()).unwrap().to_be_bytes(), value].concat()
    }

    fn read(additions: &[Vec<u8>]) -> Option<ProxyInfo> {
        let mut info = ProxyInfo::default();
        for_each(&additions.concat(), |kind, value, _| info.take(kind, value)).map(|()| info)
    }

    #[test]
    fn all_of_them() {
        let tls = [
            vec![CLIENT_TLS | 2, 0, 0, 0, 0],
            addition(SSL_VERSION, b"TLSv1.3"),
            addition(SSL_COMMON_NAME, "b\u{fc}b".as_bytes()),
            addition(SSL_CIPHER, b"TLS_AES_256_GCM_SHA384"),
            addition(SSL_SIGNATURE_ALGORITHM, b"SHA256"),
            addition(SSL_KEY_ALGORITHM, b"EC256"),
            addition(0x2f, b"of later"),
        ];
        let info = read(&[
            addition(ALPN, b"smtp"),
            addition(AUTHORITY, b"mx.example"),
            addition(UNIQUE_ID, &[7; 128]),
            addition(NETWORK_NAMESPACE, b"blue"),
            addition(0xea, b"\x01vpce-1"),
            addition(SSL, &tls.concat()),
        ]);
        let text = |text: &str| Some(text.to_owned());
        let expected = ProxyInfo {
            alpn: Some(b"smtp".to_vec()),
            authority: text("mx.example"),
            unique_id: Some(vec![7; 128]),
            network_namespace: text("blue"),
            tls: Some(ProxyTls {
                has_certificate: true,
                is_verified: true,
                version: text("TLSv1.3"),
                cipher: text("TLS_AES_256_GCM_SHA384"),
                common_name: text("b\u{fc}b"),
                signature_algorithm: text("SHA256"),
                key_algorithm: text("EC256"),
            }),
            others: vec![(0xea, b"\x01vpce-1".to_vec())],
        };
        assert_eq!(info, Some(expected));
    }

    #[test]
    fn certificates_are_verified_only_if_there_is_one() {
        let tls = |octets: &[u8]| read(&[addition(SSL, octets)]).unwrap().tls;
        let facts = |octets| tls(octets).map(|tls| (tls.has_certificate, tls.is_verified));
        assert_eq!(facts(&[0, 0, 0, 0, 0]), None);
        // A verdict without a certificate is about nothing.
        assert_eq!(facts(&[1, 0, 0, 0, 0]), Some((false, false)));
        assert_eq!(facts(&[1 | 2, 0, 0, 0, 0]), Some((true, true)));
        assert_eq!(facts(&[1 | 4, 0, 0, 0, 0]), Some((true, true)));
        assert_eq!(facts(&[1 | 2 | 4, 0, 0, 0, 1]), Some((true, false)));
    }

    #[test]
    fn what_is_none() {
        for bad in [
            vec![addition(SSL, b"\x01\0\0\0")],
            vec![addition(SSL, b"\x01\0\0\0\0\x21")],
            vec![addition(SSL, b"\x01\0\0\0\0\x21\0\x02x")],
            vec![addition(SSL, b"\x01\0\0\0\0\x22\0\x01a\x22\0\x01b")],
            vec![addition(SSL, b"")],
            vec![addition(SSL, b"\x01\0\0\0\0"), addition(SSL, b"\x01\0\0\0\0")],
            vec![addition(UNIQUE_ID, &[7; 129])],
            vec![addition(AUTHORITY, b"a"), addition(AUTHORITY, b"a")],
            vec![addition(ALPN, b"a"), addition(ALPN, b"")],
            vec![vec![ALPN, 0]],
        ] {
            assert_eq!(read(&bad), None, "{bad:?}");
        }
        // A client chooses what its certificate says.
        let tls =
            [&b"\x01\0\0\0\0"[..], &addition(SSL_COMMON_NAME, b"a\r\nb"), &addition(SSL_CIPHER, b"\xff")].concat();
        let tls = read(&[addition(SSL, &tls), addition(AUTHORITY, b"a\0")]).unwrap();
        assert_eq!(tls.tls, Some(ProxyTls::default()));
        assert_eq!(tls.authority, None);
    }
}
