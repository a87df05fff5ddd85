//! Who may look: users with a password, by HTTP's Basic authentication (RFC 7617).
//!
//! Browsers and test suites send the password with each request, and checking it costs as much as its hash is meant to. So each
//! right one is checked once, and wrong ones are limited for each client.

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

use base64ct::{Base64, Encoding};
use hmac::{Hmac, KeyInit, Mac};
use parking_lot::Mutex;
use pillarbox::AuthFailure;
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::accounts::Accounts;
use crate::http::connection::{HttpConnection, Request, Response};

/// How many pairs of name and password are remembered as right, and as many as wrong.
const REMEMBERED: usize = 256;

/// How many wrong ones a client may send at once, and how long it takes until it may send another.
const WRONG: f64 = 10.0;
const ANOTHER: Duration = Duration::from_secs(5);

/// How many clients are remembered for that.
const CLIENTS: usize = 1024;

/// How long a request waits for those of others to be checked.
const PATIENCE: Duration = Duration::from_secs(10);

/// The users of the page and of the API.
pub struct Passwords {
    accounts: Accounts,
    /// Nothing is remembered but what this makes of it.
    key: [u8; 64],
    remembered: Mutex<Remembered>,
    /// One at a time: what a check takes of processor and memory is the whole server's.
    checking: Mutex<()>,
}

type Digest = [u8; 32];

#[derive(Default)]
struct Remembered {
    right: VecDeque<Digest>,
    wrong: VecDeque<Digest>,
    clients: HashMap<IpAddr, Attempts>,
    /// Changes with the users.
    generation: u64,
}

/// How many wrong ones a client may still send, as of then.
#[derive(Clone, Copy)]
struct Attempts {
    left: f64,
    at: Instant,
}

impl Passwords {
    /// # Errors
    /// If there are no random numbers.
    pub fn new(accounts: Accounts) -> Result<Passwords, String> {
        let mut key = [0; 64];
        getrandom::fill(&mut key).map_err(|e| format!("cannot make a random number: {e}"))?;
        Ok(Passwords { accounts, key, remembered: Mutex::default(), checking: Mutex::default() })
    }

    /// Reads the file again, and forgets what was right and wrong before.
    pub fn reload(&self) {
        self.accounts.reload();
        let mut remembered = self.remembered.lock();
        remembered.right.clear();
        remembered.wrong.clear();
        remembered.generation += 1;
    }

    pub fn accounts(&self) -> &Accounts {
        &self.accounts
    }

    /// Whether the request may be answered.
    pub fn check(&self, request: &Request, client: &HttpConnection) -> Result<(), Response> {
        let given = request.field("Authorization")?.and_then(credentials).ok_or_else(unauthorized)?;
        let digest = self.digest(&given);
        if let Some(known) = self.remembered.lock().find(&digest) {
            return known;
        }
        if !client.may_wait() {
            return Err(busy());
        }
        let _turn = self.checking.try_lock_for(PATIENCE).ok_or_else(busy)?;
        let address = network(client.address());
        let generation = {
            let remembered = self.remembered.lock();
            // Another request may have come with the same meanwhile.
            if let Some(known) = remembered.find(&digest) {
                return known;
            }
            if !remembered.may_guess(address, Instant::now()) {
                return Err(Response::error(429, "too many wrong passwords: try again later")
                    .with("Retry-After", ANOTHER.as_secs().to_string()));
            }
            remembered.generation
        };
        let (user, password) = given.split_once(':').ok_or_else(unauthorized)?;
        let verdict = self.accounts.users.verify(user, password);
        let mut remembered = self.remembered.lock();
        let is_current = remembered.generation == generation;
        match verdict {
            Ok(_) => {
                if is_current {
                    remember(&mut remembered.right, digest);
                }
                Ok(())
            }
            Err(AuthFailure::Credentials) => {
                if is_current {
                    remember(&mut remembered.wrong, digest);
                }
                remembered.has_guessed(address, Instant::now());
                log::info!("a wrong name or password for the inbox from {address}");
                Err(unauthorized())
            }
            Err(e) => {
                log::warn!("cannot check a password for the inbox: {e}");
                Err(busy())
            }
        }
    }

    fn digest(&self, given: &str) -> Digest {
        let mut mac = Hmac::<Sha256>::new(&self.key.into());
        mac.update(given.as_bytes());
        mac.finalize().into_bytes().into()
    }
}

impl Remembered {
    /// What is known of a pair, without a check. How long the search takes says nothing: nobody can choose a digest.
    fn find(&self, digest: &Digest) -> Option<Result<(), Response>> {
        if self.right.contains(digest) {
            return Some(Ok(()));
        }
        self.wrong.contains(digest).then(|| Err(unauthorized()))
    }

    fn may_guess(&self, client: IpAddr, now: Instant) -> bool {
        self.clients.get(&client).is_none_or(|attempts| attempts.at(now) >= 1.0)
    }

    fn has_guessed(&mut self, client: IpAddr, now: Instant) {
        if self.clients.len() >= CLIENTS && !self.clients.contains_key(&client) {
            self.clients.retain(|_, attempts| attempts.at(now) < WRONG);
        }
        if self.clients.len() >= CLIENTS && !self.clients.contains_key(&client) {
            // Whoever has guessed least.
            let least = self.clients.iter().max_by(|(_, a), (_, b)| a.at(now).total_cmp(&b.at(now)));
            if let Some(least) = least.map(|(client, _)| *client) {
                self.clients.remove(&least);
            }
        }
        let left = self.clients.get(&client).map_or(WRONG, |attempts| attempts.at(now));
        self.clients.insert(client, Attempts { left: left - 1.0, at: now });
    }
}

impl Attempts {
    fn at(self, now: Instant) -> f64 {
        let since = now.saturating_duration_since(self.at);
        (self.left + since.as_secs_f64() / ANOTHER.as_secs_f64()).min(WRONG)
    }
}

fn remember(digests: &mut VecDeque<Digest>, digest: Digest) {
    if digests.len() >= REMEMBERED {
        digests.pop_front();
    }
    digests.push_back(digest);
}

/// Name, colon and password from the field: RFC 7617 section 2.
fn credentials(field: &str) -> Option<Zeroizing<String>> {
    let (scheme, encoded) = field.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("Basic") {
        return None;
    }
    let octets = Base64::decode_vec(encoded.trim_start_matches(' ')).ok()?;
    String::from_utf8(octets).ok().map(Zeroizing::new)
}

/// Whose guesses count together: whoever has one address of IPv6 has all of its network.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into(),
        v4 => v4,
    }
}

fn unauthorized() -> Response {
    Response::error(401, "the inbox asks for a name and a password")
        .with("WWW-Authenticate", "Basic realm=\"pillarbox\", charset=\"UTF-8\"")
}

fn busy() -> Response {
    Response::error(503, "too many passwords are being checked")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_passwords_in_the_field() {
        for (field, expected) in [
            ("Basic Ym9iOmJ1aWxkZXI=", Some("bob:builder")),
            ("basic  Ym9iOmJ1aWxkZXI=", Some("bob:builder")),
            ("Bearer Ym9iOmJ1aWxkZXI=", None),
            ("Basic", None),
            ("Basic ?", None),
            ("Basic /w==", None),
        ] {
            assert_eq!(credentials(field).as_ref().map(|given| given.as_str()), expected, "{field}");
        }
    }

    #[test]
    fn guesses_are_limited_for_each_client_and_clients_in_number() {
        let mut remembered = Remembered::default();
        let (now, client) = (Instant::now(), IpAddr::from([192, 0, 2, 1]));
        for _ in 0..WRONG as usize {
            assert!(remembered.may_guess(client, now));
            remembered.has_guessed(client, now);
        }
        assert!(!remembered.may_guess(client, now) && remembered.may_guess([192, 0, 2, 2].into(), now));
        assert!(!remembered.may_guess(client, now + ANOTHER / 2) && remembered.may_guess(client, now + ANOTHER));
        // Of all that come, whoever has guessed most is not forgotten.
        for n in 0..2 * CLIENTS as u32 {
            remembered.has_guessed(IpAddr::from((0x0a00_0000 + n).to_be_bytes()), now);
        }
        assert_eq!(remembered.clients.len(), CLIENTS);
        assert!(!remembered.may_guess(client, now));
    }

    #[test]
    fn what_is_remembered_is_limited() {
        let mut digests = VecDeque::new();
        for n in 0..=REMEMBERED as u16 {
            let mut digest = [0; 32];
            digest[..2].copy_from_slice(&n.to_be_bytes());
            remember(&mut digests, digest);
        }
        assert!(digests.len() == REMEMBERED && !digests.contains(&[0; 32]));
    }

    #[test]
    fn a_network_of_ipv6_is_one_client() {
        let network = |text: &str| super::network(text.parse().expect("an address")).to_string();
        assert_eq!(network("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
        assert_eq!(network("::ffff:192.0.2.1"), "192.0.2.1");
    }
}
