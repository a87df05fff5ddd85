//! The client's side: what a relay says to prove to its upstream who it is.

use std::fmt::{self, Debug, Formatter};

use base64ct::{Base64, Encoding};
use zeroize::Zeroizing;

use super::Mechanism;
use super::prepare::prepare_password;
use super::verifier::{Hash, MAX_ITERATIONS, MIN_ITERATIONS, ScramProof, is_same};

/// A user and a password.
#[derive(Clone)]
pub(crate) struct Credentials {
    user: String,
    password: Zeroizing<String>,
}

impl Credentials {
    pub fn new(user: &str, password: &str) -> Credentials {
        let password = Zeroizing::new(prepare_password(password).into_owned());
        Credentials { user: prepare_password(user).into_owned(), password }
    }
}

impl Debug for Credentials {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("user", &self.user).finish_non_exhaustive()
    }
}

/// A challenge that does not fit, or a server that does not know the password itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct BadChallenge;

/// What we can do, the best first.
const MECHANISMS: [Mechanism; 3] = [Mechanism::ScramSha256, Mechanism::Plain, Mechanism::Login];

/// One authentication with a server.
pub(crate) struct ClientExchange<'a> {
    mechanism: Mechanism,
    credentials: &'a Credentials,
    state: ClientState,
}

enum ClientState {
    /// Nothing was sent, or of LOGIN one part.
    Start,
    Password,
    /// SCRAM: what was sent, without the header that says that there is no channel binding.
    First(String),
    /// SCRAM: the server's signature, if it knows the password.
    Expected(Hash),
    Done,
}

impl<'a> ClientExchange<'a> {
    /// By the best mechanism of those offered; those that show the password only where that `may_show`.
    pub fn choose(offered: &str, may_show: bool, credentials: &'a Credentials) -> Option<ClientExchange<'a>> {
        let is_offered = |mechanism: &Mechanism| {
            offered.split_ascii_whitespace().any(|word| Mechanism::from_name(word) == Some(*mechanism))
        };
        let usable = |mechanism: &Mechanism| is_offered(mechanism) && (may_show || !mechanism.is_clear_text());
        let mechanism = MECHANISMS.into_iter().find(usable)?;
        Some(ClientExchange { mechanism, credentials, state: ClientState::Start })
    }

    pub fn mechanism(&self) -> Mechanism {
        self.mechanism
    }

    /// What goes along with AUTH itself, if the mechanism begins.
    pub fn initial(&mut self) -> Result<Option<Zeroizing<Vec<u8>>>, BadChallenge> {
        match self.mechanism {
            Mechanism::Login => Ok(None),
            Mechanism::Plain => {
                self.state = ClientState::Done;
                let Credentials { user, password } = self.credentials;
                // RFC 4616 section 2.
                Ok(Some(Zeroizing::new([b"\0", user.as_bytes(), b"\0", password.as_bytes()].concat())))
            }
            _ => {
                let mut nonce = [0; 18];
                getrandom::fill(&mut nonce).map_err(|_| BadChallenge)?;
                let first = self.client_first(&Base64::encode_string(&nonce));
                Ok(Some(Zeroizing::new(first.into_bytes())))
            }
        }
    }

    /// client-first-message of RFC 5802 section 7.
    fn client_first(&mut self, nonce: &str) -> String {
        let user = self.credentials.user.replace('=', "=3D").replace(',', "=2C");
        let bare = format!("n={user},r={nonce}");
        let first = format!("n,,{bare}");
        self.state = ClientState::First(bare);
        first
    }

    /// The answer to a challenge.
    pub fn answer(&mut self, challenge: &[u8]) -> Result<Zeroizing<Vec<u8>>, BadChallenge> {
        let secret = |text: &str| Ok(Zeroizing::new(text.as_bytes().to_vec()));
        match std::mem::replace(&mut self.state, ClientState::Done) {
            ClientState::Start => {
                // What LOGIN's challenges say is custom at best; their order is what all agree on.
                self.state = ClientState::Password;
                secret(&self.credentials.user)
            }
            ClientState::Password => secret(&self.credentials.password),
            ClientState::First(bare) => self.client_final(&bare, challenge).map(Zeroizing::new),
            ClientState::Expected(signature) => {
                let claim = str::from_utf8(challenge).ok().and_then(|text| text.strip_prefix("v="));
                let claim = claim.and_then(|text| Base64::decode_vec(text).ok()).and_then(|v| Hash::try_from(v).ok());
                if claim.is_some_and(|claim| is_same(claim, signature)) { secret("") } else { Err(BadChallenge) }
            }
            ClientState::Done => Err(BadChallenge),
        }
    }

    /// client-final-message of RFC 5802 section 7, and what the server has to answer it.
    fn client_final(&mut self, bare: &str, challenge: &[u8]) -> Result<Vec<u8>, BadChallenge> {
        let server_first = str::from_utf8(challenge).map_err(|_| BadChallenge)?;
        let mut attributes = server_first.split(',');
        let mut attribute = |name: &str| attributes.next().and_then(|a| a.strip_prefix(name)).ok_or(BadChallenge);
        let (nonce, salt, iterations) = (attribute("r=")?, attribute("s=")?, attribute("i=")?);
        let own = bare.rsplit_once(",r=").map_or("", |(_, nonce)| nonce);
        if !nonce.starts_with(own) || nonce.len() == own.len() {
            return Err(BadChallenge);
        }
        let salt = Base64::decode_vec(salt).map_err(|_| BadChallenge)?;
        let iterations: u32 = iterations.parse().map_err(|_| BadChallenge)?;
        // Few make a stolen proof cheap to crack, many our own processor busy for as long as the server likes.
        if !(MIN_ITERATIONS..=MAX_ITERATIONS).contains(&iterations) {
            return Err(BadChallenge);
        }
        // c= is the header "n,,".
        let without_proof = format!("c=biws,r={nonce}");
        let messages = format!("{bare},{server_first},{without_proof}");
        let proof = ScramProof::derive(&self.credentials.password, &salt, iterations, &messages);
        self.state = ClientState::Expected(proof.server_signature);
        Ok(format!("{without_proof},p={}", Base64::encode_string(&proof.client_proof)).into_bytes())
    }

    /// Whether a 235 is to be believed now: SCRAM's server has to prove itself first.
    pub fn is_done(&self) -> bool {
        matches!(self.state, ClientState::Done)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exchange<'a>(mechanism: &str, credentials: &'a Credentials) -> ClientExchange<'a> {
        ClientExchange::choose(mechanism, true, credentials).unwrap()
    }

    #[test]
    fn the_exchange_of_rfc_7677() {
        let credentials = Credentials::new("user", "pencil");
        let mut exchange = exchange("SCRAM-SHA-256", &credentials);
        assert_eq!(exchange.client_first("rOprNGfwEbeRWgbNEkqO"), "n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
        let challenge = b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
        let answer = exchange.answer(challenge).unwrap();
        assert_eq!(
            **answer,
            *b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
               p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
        );
        assert!(!exchange.is_done());
        assert!(exchange.answer(b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=").unwrap().is_empty());
        assert!(exchange.is_done());
    }

    #[test]
    fn servers_that_are_not_believed() {
        let credentials = Credentials::new("user", "pencil");
        let good = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
        for bad in [
            "",
            "r=x",
            &good.replace("rOpr", "xOpr"),
            &good.replace("%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0", ""),
            &good.replace("4096", "4095"),
            &good.replace("4096", "4294967295"),
            &good.replace("Q==", "Q"),
        ] {
            let mut exchange = exchange("SCRAM-SHA-256", &credentials);
            exchange.client_first("rOprNGfwEbeRWgbNEkqO");
            assert_eq!(exchange.answer(bad.as_bytes()), Err(BadChallenge), "{bad}");
        }
        let mut exchange = exchange("SCRAM-SHA-256", &credentials);
        exchange.client_first("rOprNGfwEbeRWgbNEkqO");
        exchange.answer(good.as_bytes()).unwrap();
        assert_eq!(exchange.answer(b"v=7rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="), Err(BadChallenge));
    }

    #[test]
    fn plain_and_login() {
        let credentials = Credentials::new("bob", "open sesame");
        let mut plain = exchange("LOGIN PLAIN", &credentials);
        assert_eq!(**plain.initial().unwrap().unwrap(), *b"\0bob\0open sesame");
        assert!(plain.is_done() && plain.answer(b"").is_err());
        let mut login = exchange("LOGIN", &credentials);
        assert_eq!(login.initial(), Ok(None));
        assert_eq!(**login.answer(b"Username:").unwrap(), *b"bob");
        assert_eq!(**login.answer(b"Password:").unwrap(), *b"open sesame");
        assert!(login.is_done() && login.answer(b"more").is_err());
    }

    #[test]
    fn a_password_is_not_shown_where_it_may_not() {
        let credentials = Credentials::new("bob", "x");
        assert!(ClientExchange::choose("PLAIN LOGIN", false, &credentials).is_none());
        assert!(ClientExchange::choose("CRAM-MD5", true, &credentials).is_none());
        let chosen = ClientExchange::choose("PLAIN scram-sha-256", false, &credentials).unwrap();
        assert_eq!(chosen.mechanism(), Mechanism::ScramSha256);
    }
}
