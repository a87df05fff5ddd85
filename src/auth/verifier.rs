//! What a server keeps of a SCRAM password, and the arithmetic of RFC 5802 section 3.

use std::error::Error;
use std::fmt::{self, Debug, Display, Formatter};
use std::str::FromStr;
use std::sync::OnceLock;

use crate::syntax::number;

use base64ct::{Base64, Encoding};
use hmac::digest::CtOutput;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::AuthFailure;
use super::prepare::prepare_password;

/// An output of SHA-256, and a key of HMAC-SHA-256.
pub(super) type Hash = [u8; 32];

/// RFC 7677 section 4 asks for at least this, and clients refuse to prove themselves with less.
pub(super) const MIN_ITERATIONS: u32 = 4096;
/// Some seconds of the client's and, with PLAIN, of the server's time: more is a slip of the keyboard.
pub(super) const MAX_ITERATIONS: u32 = 10_000_000;
/// In octets: what PostgreSQL and most others use.
pub(super) const SALT: usize = 16;
/// In octets. The challenge that carries the salt then fits into a reply line of 512.
const MAX_SALT: usize = 64;

/// What proves to a server that its client knows the password, and to the client that the server knows it as well.
pub(super) struct ScramProof {
    pub client_proof: Hash,
    pub server_signature: Hash,
}

impl ScramProof {
    /// From a password that is prepared.
    pub fn derive(password: &str, salt: &[u8], iterations: u32, auth_message: &str) -> ScramProof {
        let salted = Zeroizing::new(pbkdf2::pbkdf2_hmac_array::<Sha256, 32>(password.as_bytes(), salt, iterations));
        let client_key = Zeroizing::new(hmac(&salted, &[b"Client Key"]));
        let signature = hmac(&sha256(&*client_key), &[auth_message.as_bytes()]);
        let mut client_proof = *client_key;
        client_proof.iter_mut().zip(signature).for_each(|(octet, other)| *octet ^= other);
        let server_key = Zeroizing::new(hmac(&salted, &[b"Server Key"]));
        ScramProof { client_proof, server_signature: hmac(&server_key, &[auth_message.as_bytes()]) }
    }
}

/// The stored form of a password for SCRAM-SHA-256 (RFC 5802 section 3): enough to check a client's proof, or a password
/// in clear, but not enough to log in.
///
/// It is read and written in PostgreSQL's form, `SCRAM-SHA-256$iterations:salt$StoredKey:ServerKey`, with salt and keys
/// in base64. [`Debug`] shows nothing of it but the iterations, of which there may be 4,096 to 10,000,000: the server does
/// as many for each login by PLAIN or LOGIN, some seconds at the upper end.
///
/// ```
/// use pillarbox::ScramVerifier;
///
/// let verifier = ScramVerifier::generate("open sesame", 4096)?;
/// let stored = verifier.encode();
/// assert!(stored.starts_with("SCRAM-SHA-256$4096:"));
/// assert!(stored.parse::<ScramVerifier>()?.matches("open sesame"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct ScramVerifier {
    iterations: u32,
    salt: Vec<u8>,
    stored_key: Hash,
    server_key: Hash,
}

impl ScramVerifier {
    /// Makes a verifier from its parts, as a database may hold them: 4,096 to 10,000,000 iterations, a salt of 1 to 64 octets.
    ///
    /// # Errors
    /// [`ScramVerifierError::Iterations`] and [`ScramVerifierError::Salt`] for fewer or more.
    pub fn new(
        iterations: u32,
        salt: impl Into<Vec<u8>>,
        stored_key: [u8; 32],
        server_key: [u8; 32],
    ) -> Result<ScramVerifier, ScramVerifierError> {
        let salt = salt.into();
        if !(MIN_ITERATIONS..=MAX_ITERATIONS).contains(&iterations) {
            return Err(ScramVerifierError::Iterations);
        }
        if !(1..=MAX_SALT).contains(&salt.len()) {
            return Err(ScramVerifierError::Salt);
        }
        Ok(ScramVerifier { iterations, salt, stored_key, server_key })
    }

    /// The verifier of a new password, with a random salt of 16 octets and 4,096 to 10,000,000 iterations.
    ///
    /// More iterations make a stolen verifier harder to crack, and each login slower in proportion, for the client too.
    ///
    /// # Errors
    /// [`ScramVerifierError::Iterations`] for fewer or more, [`ScramVerifierError::Random`] if the system gives no random
    /// numbers.
    pub fn generate(password: &str, iterations: u32) -> Result<ScramVerifier, ScramVerifierError> {
        let mut salt = [0; SALT];
        getrandom::fill(&mut salt).map_err(|e| ScramVerifierError::Random(e.into()))?;
        let empty = ScramVerifier::new(iterations, salt, [0; 32], [0; 32])?;
        Ok(ScramVerifier::derive(&prepare_password(password), empty.salt, iterations))
    }

    /// From a password that is prepared, and parts that are known to be good.
    pub(super) fn derive(password: &str, salt: Vec<u8>, iterations: u32) -> ScramVerifier {
        let salted = Zeroizing::new(pbkdf2::pbkdf2_hmac_array::<Sha256, 32>(password.as_bytes(), &salt, iterations));
        let client_key = Zeroizing::new(hmac(&salted, &[b"Client Key"]));
        ScramVerifier {
            iterations,
            salt,
            stored_key: sha256(&*client_key),
            server_key: hmac(&salted, &[b"Server Key"]),
        }
    }

    /// A verifier for a name that has none: no password matches it, and what a client sees of it, the iterations and a
    /// salt of 16 octets, looks like a real one's.
    ///
    /// An [`Authenticator`](super::Authenticator) that returns it for unknown names hides which names are known. The same
    /// `key` gives the same salt for the same name, after a restart and on every server that has it. Keep it secret, and
    /// make it of at least 16 random octets: who knows it can tell made-up salts from real ones.
    ///
    /// # Errors
    /// [`ScramVerifierError::Iterations`] for less than 4,096 or more than 10,000,000.
    pub fn made_up(user: &str, key: &[u8], iterations: u32) -> Result<ScramVerifier, ScramVerifierError> {
        let decoy = DecoyKey(sha256(key)).verifier(user, iterations, SALT);
        ScramVerifier::new(iterations, decoy.salt, decoy.stored_key, decoy.server_key)
    }

    /// Whether this is the verifier of a password. Takes as long for a wrong one.
    pub fn matches(&self, password: &str) -> bool {
        let other = ScramVerifier::derive(&prepare_password(password), self.salt.clone(), self.iterations);
        is_same(other.stored_key, self.stored_key)
    }

    /// PostgreSQL's form. Keep it as secret as a password hash.
    pub fn encode(&self) -> String {
        format!(
            "SCRAM-SHA-256${}:{}${}:{}",
            self.iterations,
            Base64::encode_string(&self.salt),
            Base64::encode_string(&self.stored_key),
            Base64::encode_string(&self.server_key),
        )
    }

    pub(super) fn iterations(&self) -> u32 {
        self.iterations
    }

    pub(super) fn salt(&self) -> &[u8] {
        &self.salt
    }

    /// RFC 5802 section 3: whether a client's proof shows that it has the ClientKey.
    pub(super) fn is_proven(&self, auth_message: &str, proof: &Hash) -> bool {
        let signature = hmac(&self.stored_key, &[auth_message.as_bytes()]);
        let mut client_key = Zeroizing::new(*proof);
        for (octet, mask) in client_key.iter_mut().zip(signature) {
            *octet ^= mask;
        }
        is_same(sha256(&*client_key), self.stored_key)
    }

    /// RFC 5802 section 3: the server's own proof.
    pub(super) fn server_signature(&self, auth_message: &str) -> Hash {
        hmac(&self.server_key, &[auth_message.as_bytes()])
    }
}

impl Debug for ScramVerifier {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScramVerifier").field("iterations", &self.iterations).finish_non_exhaustive()
    }
}

impl FromStr for ScramVerifier {
    type Err = ScramVerifierError;

    fn from_str(text: &str) -> Result<ScramVerifier, ScramVerifierError> {
        fn parts(text: &str) -> Option<(&str, &str, &str, &str)> {
            let (head, keys) = text.strip_prefix("SCRAM-SHA-256$")?.split_once('$')?;
            let (iterations, salt) = head.split_once(':')?;
            let (stored_key, server_key) = keys.split_once(':')?;
            Some((iterations, salt, stored_key, server_key))
        }
        fn hash(base64: &str) -> Result<Hash, ScramVerifierError> {
            let octets = Base64::decode_vec(base64).map_err(|_| ScramVerifierError::Form)?;
            octets.try_into().map_err(|_| ScramVerifierError::Form)
        }
        let (iterations, salt, stored_key, server_key) = parts(text).ok_or(ScramVerifierError::Form)?;
        if !number::is_digits(iterations) {
            return Err(ScramVerifierError::Form);
        }
        let iterations = iterations.parse().map_err(|_| ScramVerifierError::Iterations)?;
        let salt = Base64::decode_vec(salt).map_err(|_| ScramVerifierError::Form)?;
        ScramVerifier::new(iterations, salt, hash(stored_key)?, hash(server_key)?)
    }
}

/// Why there is no [`ScramVerifier`].
#[derive(Debug)]
#[non_exhaustive]
pub enum ScramVerifierError {
    /// The text is not `SCRAM-SHA-256$iterations:salt$StoredKey:ServerKey` with salt and keys in base64.
    Form,
    /// Less than 4,096 iterations, which RFC 7677 does not allow, or more than 10,000,000.
    Iterations,
    /// The salt is empty or longer than 64 octets.
    Salt,
    /// The system gave no random numbers.
    Random(Box<dyn Error + Send + Sync>),
}

impl Display for ScramVerifierError {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            ScramVerifierError::Form => {
                f.write_str("not of the form SCRAM-SHA-256$iterations:salt$StoredKey:ServerKey")
            }
            ScramVerifierError::Iterations => f.write_str("not 4096 to 10000000 iterations"),
            ScramVerifierError::Salt => f.write_str("not a salt of 1 to 64 octets"),
            ScramVerifierError::Random(_) => f.write_str("the system gives no random numbers"),
        }
    }
}

impl Error for ScramVerifierError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            ScramVerifierError::Random(source) => Some(&**source),
            _ => None,
        }
    }
}

pub(super) fn sha256(octets: &[u8]) -> Hash {
    Sha256::digest(octets).into()
}

fn hmac(key: &Hash, message: &[&[u8]]) -> Hash {
    // A key shorter than the block is padded with zeros (RFC 2104 section 2); padded here, its length cannot be wrong.
    let mut block = Zeroizing::new([0; 64]);
    block[..32].copy_from_slice(key);
    let mut mac = Hmac::<Sha256>::new((&*block).into());
    for part in message {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

/// Takes as long wherever the two differ.
pub(super) fn is_same(a: Hash, b: Hash) -> bool {
    CtOutput::<Sha256>::new(a.into()) == CtOutput::new(b.into())
}

/// What is made up for names without a verifier of their own comes from such a key.
#[derive(Clone, Copy)]
pub(super) struct DecoyKey(pub Hash);

impl DecoyKey {
    /// A random key that is the same while the process lives.
    pub fn of_process() -> Result<DecoyKey, AuthFailure> {
        static KEY: OnceLock<Hash> = OnceLock::new();
        if let Some(key) = KEY.get() {
            return Ok(DecoyKey(*key));
        }
        let mut fresh = [0; 32];
        getrandom::fill(&mut fresh).map_err(AuthFailure::temporary)?;
        Ok(DecoyKey(*KEY.get_or_init(|| fresh)))
    }

    /// A salt that nothing tells from a random one, always the same for the same name.
    pub fn salt(&self, user: &str, len: usize) -> Vec<u8> {
        let mut salt = Vec::with_capacity(MAX_SALT);
        for round in 0..len.div_ceil(32) {
            salt.extend_from_slice(&hmac(&self.0, &[b"salt\0", &[round as u8], user.as_bytes()]));
        }
        salt.truncate(len);
        salt
    }

    /// A number that is always the same for the same name, and that nobody outside can foretell.
    pub fn number(&self, user: &str) -> u64 {
        let [a, b, c, d, e, f, g, h, ..] = hmac(&self.0, &[b"number\0", user.as_bytes()]);
        u64::from_le_bytes([a, b, c, d, e, f, g, h])
    }

    /// Like a verifier in all that a client gets to see, with keys that no password leads to.
    pub fn verifier(&self, user: &str, iterations: u32, salt_len: usize) -> ScramVerifier {
        ScramVerifier {
            iterations,
            salt: self.salt(user, salt_len),
            stored_key: hmac(&self.0, &[b"StoredKey\0", user.as_bytes()]),
            server_key: hmac(&self.0, &[b"ServerKey\0", user.as_bytes()]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From the regression tests of PostgreSQL, where it stands for the empty password.
    const OF_POSTGRESQL: &str = "SCRAM-SHA-256$4096:hpFyHTUsSWcR7O9P$LgZFIt6Oqdo27ZFKbZ2nV+vtnYM995pDh9ca6WSi120=:\
                                 qVV5NeluNfUPkwm7Vqat25RjSPLkGeoZBQs6wVv+um4=";

    #[test]
    fn as_postgresql_makes_them() {
        let verifier: ScramVerifier = OF_POSTGRESQL.parse().unwrap();
        assert_eq!(verifier.encode(), OF_POSTGRESQL);
        assert_eq!(ScramVerifier::derive("", verifier.salt.clone(), 4096).encode(), OF_POSTGRESQL);
        assert!(verifier.matches("") && !verifier.matches("x"));
    }

    #[test]
    fn bad_forms() {
        let bad = [
            ("", "form"),
            ("SCRAM-SHA-256", "form"),
            (&*OF_POSTGRESQL.replace("SHA-256", "SHA-1"), "form"),
            (&*OF_POSTGRESQL.replace("4096", "+4096"), "form"),
            (&*OF_POSTGRESQL.replace("4096", ""), "form"),
            (&*OF_POSTGRESQL.replace("hpFyHTUsSWcR7O9P", "hpFyHTUsSWcR7O9"), "form"),
            (&*OF_POSTGRESQL.replace("LgZF", ""), "form"),
            (OF_POSTGRESQL, "good"),
            (&*OF_POSTGRESQL.replace("um4=", "um4=:"), "form"),
            (&*OF_POSTGRESQL.replace("4096", "4095"), "iterations"),
            (&*OF_POSTGRESQL.replace("4096", "10000001"), "iterations"),
            (&*OF_POSTGRESQL.replace("4096", "99999999999"), "iterations"),
            (&*OF_POSTGRESQL.replace("hpFyHTUsSWcR7O9P", ""), "salt"),
            (&*OF_POSTGRESQL.replace("hpFyHTUsSWcR7O9P", &"AAAA".repeat(22)), "salt"),
        ];
        for (text, what) in bad {
            let is = match text.parse::<ScramVerifier>() {
                Ok(_) => "good",
                Err(ScramVerifierError::Form) => "form",
                Err(ScramVerifierError::Iterations) => "iterations",
                Err(ScramVerifierError::Salt) => "salt",
                Err(ScramVerifierError::Random(_)) => "random",
            };
            assert_eq!(is, what, "{text}");
        }
    }

    #[test]
    fn generated_ones_differ_and_match() {
        let one = ScramVerifier::generate("I\u{ad}X", 4096).unwrap();
        let other = ScramVerifier::generate("IX", 4096).unwrap();
        assert_ne!(one.salt, other.salt);
        // RFC 4013 section 3: a soft hyphen is nothing.
        assert!(one.matches("IX") && other.matches("I\u{ad}X") && !one.matches("Ix"));
        assert!(matches!(ScramVerifier::generate("x", 1), Err(ScramVerifierError::Iterations)));
    }

    #[test]
    fn passwords_beyond_saslprep_stay_as_they_are() {
        let verifier = ScramVerifier::generate("\u{1f511} key", 4096).unwrap();
        assert!(verifier.matches("\u{1f511} key") && !verifier.matches("key"));
    }

    #[test]
    fn what_is_made_up_is_the_same_for_the_same_key_and_name() {
        let (key, other) = (DecoyKey([1; 32]), DecoyKey([2; 32]));
        let decoy = key.verifier("bob", 4096, 40);
        assert_eq!(decoy.encode(), key.verifier("bob", 4096, 40).encode());
        assert_ne!(decoy.salt, key.verifier("eve", 4096, 40).salt);
        assert_ne!(decoy.salt, other.verifier("bob", 4096, 40).salt);
        assert_eq!((decoy.salt.len(), &decoy.salt[..16]), (40, &*key.salt("bob", 16)));
        assert_eq!(key.number("bob"), DecoyKey([1; 32]).number("bob"));
        let process = [DecoyKey::of_process().unwrap().0, DecoyKey::of_process().unwrap().0];
        assert_eq!(process[0], process[1]);
    }

    #[test]
    fn authenticators_can_make_verifiers_up() {
        let made_up = |user, key| ScramVerifier::made_up(user, key, 5000).unwrap();
        let one = made_up("bob", b"0123456789abcdef");
        assert_eq!(one.encode(), made_up("bob", b"0123456789abcdef").encode());
        assert_ne!(one.salt, made_up("bob", b"0123456789abcdeF").salt);
        assert_eq!((one.iterations, one.salt.len()), (5000, 16));
        assert!(!one.matches("") && !one.matches("bob"));
        assert!(matches!(ScramVerifier::made_up("bob", b"", 1), Err(ScramVerifierError::Iterations)));
    }

    #[test]
    fn debug_is_silent() {
        let verifier: ScramVerifier = OF_POSTGRESQL.parse().unwrap();
        assert_eq!(format!("{verifier:?}"), "ScramVerifier { iterations: 4096, .. }");
    }
}
