//! The server's side of SCRAM: RFC 5802, with SHA-256 by RFC 7677.

use base64ct::{Base64, Encoding};

use super::AuthFailure;
use super::verifier::{Hash, ScramVerifier};

/// Clients send some 24 characters. With more, the challenge that repeats them might not fit into a reply line.
const MAX_NONCE: usize = 200;

/// Whether the client ties the exchange to its TLS connection: the gs2-cbind-flag of RFC 5802 section 7.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Binding<'a> {
    /// `n`: it cannot.
    Unsupported,
    /// `y`: it can, but was not offered to.
    NotOffered,
    /// `p=`: with this type of binding.
    Type(&'a str),
}

/// The client's first message.
#[derive(Debug)]
pub(super) struct ClientFirst<'a> {
    pub binding: Binding<'a>,
    /// As the client sent it, its escapes undone.
    pub authzid: Option<String>,
    /// As the client sent it, its escapes undone.
    pub user: String,
    gs2_header: &'a str,
    bare: &'a str,
    nonce: &'a str,
}

impl<'a> ClientFirst<'a> {
    /// client-first-message of RFC 5802 section 7.
    pub fn parse(message: &'a [u8]) -> Result<ClientFirst<'a>, AuthFailure> {
        let message = str::from_utf8(message).map_err(|_| AuthFailure::Malformed)?;
        let (binding, authzid, bare) = gs2_header(message)?;
        let mut attributes = bare.split(',');
        // A mandatory extension, `m=`, would stand in front of the name: there are none that we know.
        let user = attribute(attributes.next(), "n=")?;
        let nonce = attribute(attributes.next(), "r=")?;
        // What follows are extensions that may be passed over.
        let printable = nonce.bytes().all(|b| b.is_ascii_graphic());
        if !printable || !(1..=MAX_NONCE).contains(&nonce.len()) {
            return Err(AuthFailure::Malformed);
        }
        Ok(ClientFirst {
            binding,
            authzid,
            user: unescape(user)?,
            gs2_header: &message[..message.len() - bare.len()],
            bare,
            nonce,
        })
    }

    /// server-first-message, and what is to be known when the client answers it. `binding` are the octets that identify
    /// the TLS connection, if the client ties the exchange to it.
    pub fn challenge(&self, verifier: ScramVerifier, server_nonce: &str, binding: &[u8]) -> (String, ServerFirst) {
        let nonce = format!("{}{server_nonce}", self.nonce);
        let salt = Base64::encode_string(verifier.salt());
        let challenge = format!("r={nonce},s={salt},i={}", verifier.iterations());
        let expected = ServerFirst {
            messages: format!("{},{challenge}", self.bare),
            channel: [self.gs2_header.as_bytes(), binding].concat(),
            nonce,
            verifier,
        };
        (challenge, expected)
    }
}

/// What the server said first, waiting for the client's proof.
pub(super) struct ServerFirst {
    /// The two messages that both sides sign.
    messages: String,
    /// cbind-input: what the client must have seen of the connection.
    channel: Vec<u8>,
    nonce: String,
    verifier: ScramVerifier,
}

impl ServerFirst {
    /// Checks client-final-message, and gives server-final-message if it proves the password.
    pub fn verify(self, message: &[u8]) -> Result<String, AuthFailure> {
        let message = str::from_utf8(message).map_err(|_| AuthFailure::Malformed)?;
        let (without_proof, proof) = message.rsplit_once(",p=").ok_or(AuthFailure::Malformed)?;
        let mut attributes = without_proof.split(',');
        let channel = attribute(attributes.next(), "c=")?;
        let nonce = attribute(attributes.next(), "r=")?;
        let channel = Base64::decode_vec(channel).map_err(|_| AuthFailure::Malformed)?;
        let proof = Base64::decode_vec(proof).map_err(|_| AuthFailure::Malformed)?;
        let proof = Hash::try_from(proof).map_err(|_| AuthFailure::Malformed)?;
        if channel != self.channel {
            return Err(AuthFailure::ChannelBinding);
        }
        if nonce != self.nonce {
            return Err(AuthFailure::Credentials);
        }
        let auth_message = format!("{},{without_proof}", self.messages);
        if !self.verifier.is_proven(&auth_message, &proof) {
            return Err(AuthFailure::Credentials);
        }
        let signature = self.verifier.server_signature(&auth_message);
        Ok(format!("v={}", Base64::encode_string(&signature)))
    }
}

/// gs2-header of RFC 5801 section 4, which OAUTHBEARER has too: the flag, the authorization identity, and what follows.
pub(super) fn gs2_header(message: &str) -> Result<(Binding<'_>, Option<String>, &str), AuthFailure> {
    let mut parts = message.splitn(3, ',');
    let (Some(flag), Some(authzid), Some(rest)) = (parts.next(), parts.next(), parts.next()) else {
        return Err(AuthFailure::Malformed);
    };
    let binding = match flag {
        "n" => Binding::Unsupported,
        "y" => Binding::NotOffered,
        _ => Binding::Type(attribute(Some(flag), "p=")?),
    };
    let authzid = match authzid {
        "" => None,
        authzid => Some(unescape(attribute(Some(authzid), "a=")?)?),
    };
    Ok((binding, authzid, rest))
}

fn attribute<'a>(part: Option<&'a str>, name: &str) -> Result<&'a str, AuthFailure> {
    part.and_then(|part| part.strip_prefix(name)).ok_or(AuthFailure::Malformed)
}

/// saslname of RFC 5802 section 7: `=2C` is a comma, `=3D` an equals sign, and no other use of `=` is allowed.
fn unescape(name: &str) -> Result<String, AuthFailure> {
    let mut parts = name.split('=');
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (character, rest) = match (part.strip_prefix("2C"), part.strip_prefix("3D")) {
            (Some(rest), _) => (',', rest),
            (_, Some(rest)) => ('=', rest),
            _ => return Err(AuthFailure::Malformed),
        };
        plain.push(character);
        plain.push_str(rest);
    }
    if plain.is_empty() {
        return Err(AuthFailure::Malformed);
    }
    Ok(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SALT: &str = "W22ZaJ0SNY7soEsUEjb6gQ==";

    fn pencil() -> ScramVerifier {
        ScramVerifier::derive("pencil", Base64::decode_vec(SALT).unwrap(), 4096)
    }

    #[test]
    fn the_exchange_of_rfc_7677() {
        let first = ClientFirst::parse(b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO").unwrap();
        assert_eq!((&*first.user, &first.authzid), ("user", &None));
        assert_eq!(first.binding, Binding::Unsupported);
        let (challenge, expected) = first.challenge(pencil(), "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0", b"");
        assert_eq!(challenge, "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096");
        let last = expected.verify(
            b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
              p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
        );
        assert_eq!(last.unwrap(), "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
    }

    fn expected() -> ServerFirst {
        let first = ClientFirst::parse(b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO").unwrap();
        first.challenge(pencil(), "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0", b"").1
    }

    #[test]
    fn final_messages_that_prove_nothing() {
        let good = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                    p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
        assert!(expected().verify(good.as_bytes()).is_ok());
        let bad = [
            ("", "malformed"),
            (",p=", "malformed"),
            (&*good.replace("c=biws,", ""), "malformed"),
            (&*good.replace("c=biws", "c=biw"), "malformed"),
            (&*good.replace(",p=", ",q="), "malformed"),
            (&*good.replace("VQ=", "VQ=\n"), "malformed"),
            (&*good.replace("VQ=", "=VQ"), "malformed"),
            (&*good.replace("dHzb", ""), "malformed"),
            (&*good.replace("dHzb", "dHzc"), "credentials"),
            // The client's half alone, another server's half, and an earlier exchange's.
            (&*good.replace("%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0", ""), "credentials"),
            (&*good.replace("hNlF$k0", "hNlF$k1"), "credentials"),
            (&*good.replace("hNlF$k0", "hNlF$k0k"), "credentials"),
            // An extension that the proof does not cover.
            (&*good.replace(",p=", ",x=y,p="), "credentials"),
            // `y,,`, `n,a=root,` and a binding that was not asked for.
            (&*good.replace("biws", "eSws"), "binding"),
            (&*good.replace("biws", "bixhPXJvb3Qs"), "binding"),
            (&*good.replace("biws", "biwsAA=="), "binding"),
        ];
        for (message, what) in bad {
            let is = match expected().verify(message.as_bytes()) {
                Ok(_) => "good",
                Err(AuthFailure::Malformed) => "malformed",
                Err(AuthFailure::Credentials) => "credentials",
                Err(AuthFailure::ChannelBinding) => "binding",
                Err(AuthFailure::Temporary(_)) => "temporary",
            };
            assert_eq!(is, what, "{message}");
        }
    }

    #[test]
    fn first_messages() {
        let first = ClientFirst::parse(b"p=tls-exporter,a=ro=3Dot,n=a=2Cb=3D,r=x,e=future,f=").unwrap();
        assert_eq!(first.binding, Binding::Type("tls-exporter"));
        assert_eq!((first.authzid.as_deref(), &*first.user, first.nonce), (Some("ro=ot"), "a,b=", "x"));
        assert_eq!((first.gs2_header, first.bare), ("p=tls-exporter,a=ro=3Dot,", "n=a=2Cb=3D,r=x,e=future,f="));
        assert_eq!(ClientFirst::parse(b"y,,n=u,r=x").unwrap().binding, Binding::NotOffered);
        let long = format!("n,,n=u,r={}", "x".repeat(MAX_NONCE));
        assert!(ClientFirst::parse(long.as_bytes()).is_ok());
        let bad = [
            "",
            ",",
            ",,",
            "n",
            "n,",
            "n,,",
            "n,,,",
            "n,,x",
            "n,a,n=u,r=x",
            "n,a=,n=u,r=x",
            "n,=2C,n=u,r=x",
            "n,b=u,n=u,r=x",
            "x,,n=u,r=x",
            "N,,n=u,r=x",
            "nn,,n=u,r=x",
            "p,,n=u,r=x",
            "n,,n=,r=x",
            "n,,n=u",
            "n,,n=u,",
            "n,,n=u,r=",
            "n,,r=x,n=u",
            "n,,m=a,n=u,r=x",
            "n,,n=a=2cb,r=x",
            "n,,n=a=,r=x",
            "n,,n=a=4,r=x",
            "n,,n=u,r=a b",
            "n,,n=u,r=\u{e9}",
            "n,,n=u,r=\0",
            &format!("{long}x"),
        ];
        for message in bad {
            let first = ClientFirst::parse(message.as_bytes());
            assert!(matches!(first, Err(AuthFailure::Malformed)), "{message} {first:?}");
        }
        assert!(ClientFirst::parse(b"n,,n=\xff,r=x").is_err());
    }

    #[test]
    fn a_challenge_fits_into_a_reply_line() {
        let message = format!("n,,n=u,r={}", "x".repeat(MAX_NONCE));
        let verifier = ScramVerifier::new(10_000_000, [0; 64], [0; 32], [0; 32]).unwrap();
        let (challenge, _) = ClientFirst::parse(message.as_bytes()).unwrap().challenge(verifier, &"y".repeat(24), b"");
        assert!("334 \r\n".len() + Base64::encode_string(challenge.as_bytes()).len() <= 512);
    }
}
