//! The coding of challenges and responses: base64 with padding (RFC 4954 section 4, RFC 4648 section 4).

use base64ct::{Base64, Encoding};
use zeroize::Zeroizing;

/// RFC 4954 section 4: the octets of a line of an exchange, its CRLF included.
const MAX_LINE: usize = 12_288;

/// A response that is no base64, or longer than a line may be: `501 5.5.2`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct BadBase64;

/// What a client sent, without its CRLF. A sole `=` is the empty response.
///
/// Strict: nothing beside the alphabet, padding where it belongs, no bits in it. `*`, with which a client cancels, is
/// for the caller to look for first. The memory is overwritten when it is given up: it may hold a password.
pub(crate) fn decode(line: &[u8]) -> Result<Zeroizing<Vec<u8>>, BadBase64> {
    if line == b"=" {
        return Ok(Zeroizing::default());
    }
    if line.len() > MAX_LINE {
        return Err(BadBase64);
    }
    let text = str::from_utf8(line).map_err(|_| BadBase64)?;
    Base64::decode_vec(text).map(Zeroizing::new).map_err(|_| BadBase64)
}

/// What stands behind `334 `.
pub(crate) fn encode(challenge: &[u8]) -> String {
    Base64::encode_string(challenge)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strict() {
        assert_eq!(**decode(b"dGVzdA==").unwrap(), *b"test");
        assert_eq!(**decode(b"=").unwrap(), *b"");
        assert_eq!(**decode(b"").unwrap(), *b"");
        let bad: [&[u8]; 13] = [
            b"*",
            b"==",
            b"====",
            b"dGVzdA",
            b"dGVzdA=",
            b"dGVzdA===",
            b"dGVzdB==",
            b"dGVz dA==",
            b" dGVzdA==",
            b"dGVzdA==\r\n",
            b"dGVzdA==dGVzdA==",
            b"dGV-dA==",
            b"dGVz\xffA==",
        ];
        for line in bad {
            assert_eq!(decode(line), Err(BadBase64), "{line:?}");
        }
    }

    #[test]
    fn bounded_by_the_line() {
        assert_eq!(decode(&[b'A'; MAX_LINE]).unwrap().len(), MAX_LINE / 4 * 3);
        assert_eq!(decode(&[b'A'; MAX_LINE + 4]), Err(BadBase64));
    }

    #[test]
    fn encoded_with_padding() {
        assert_eq!(encode(b"Username:"), "VXNlcm5hbWU6");
        assert_eq!(encode(b"Password:"), "UGFzc3dvcmQ6");
        assert_eq!(encode(b"v"), "dg==");
        assert_eq!(encode(b""), "");
    }
}
