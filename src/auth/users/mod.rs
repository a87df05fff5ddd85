//! A file of users.

use std::collections::HashMap;
use std::error::Error;
use std::fmt::{self, Debug, Display, Formatter};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

use argon2::password_hash::PasswordVerifier;
use argon2::password_hash::phc::PasswordHash;
use argon2::{Argon2, Params};
use parking_lot::{Condvar, Mutex, RwLock};
use zeroize::Zeroizing;

use super::prepare::{self, MAX_PASSWORD, prepare_name, prepare_password};
use super::verifier::{DecoyKey, Hash, MIN_ITERATIONS, SALT, is_same, sha256};
use super::{AuthFailure, Authenticator, Mechanism, ScramVerifier, ScramVerifierError};
use crate::session::Context;

/// In KiB. Each check of an argon2 hash takes the memory that the hash asks for.
const MAX_ARGON2_MEMORY: u32 = 1024 * 1024;
/// In KiB, of all passes over the memory together: some ten seconds.
const MAX_ARGON2_WORK: u64 = 16 * MAX_ARGON2_MEMORY as u64;
/// How long a login waits for others to be checked before it is told to try again: clients wait little longer.
const PATIENCE: Duration = Duration::from_secs(30);

/// An [`Authenticator`] for a set of users, each with a secret.
///
/// Each line of the text is `user:secret`; blank lines, and lines that begin with `#`, are ignored. The secret is
/// everything after the first colon, blanks included. It is one of
///
/// - the password in clear;
/// - `SCRAM-SHA-256$iterations:salt$StoredKey:ServerKey`: a [`ScramVerifier`], as PostgreSQL stores them;
/// - `$argon2id$…`: an argon2 hash as a PHC string, as the `argon2` program prints it with `-e`.
///
/// A secret that looks like a hash of another kind (`$6$…`, `{SSHA}…`) is refused: taken for a password, it would let in
/// anybody who has seen the file. If a password looks like that, write `{PLAIN}` in front of it.
///
/// PLAIN and LOGIN work with all of them. SCRAM-SHA-256 needs a clear or a SCRAM secret, and is offered only if every
/// user has one: clients use it where it is offered, and would fail for the other users. The identity is the user's
/// name.
///
/// A client cannot tell an unknown name from a wrong password, not even by the time: an unknown name is checked against
/// the secret of another user, always the same one, and then refused. The salts that SCRAM shows for clear-text secrets
/// and for unknown names are made up. If there are SCRAM secrets, whose salts stay, so do those: they come from the
/// names and secrets of all users, and are the same on each server that has these users, in whichever order, and after
/// a restart. They change when a user or a secret does. (Anybody who guesses the secrets of all users at once can check
/// the guess by such a salt; each guess costs a pass of argon2 and the iterations of the SCRAM secrets.) If there are
/// none, all salts hold while the process lives.
///
/// Checks of argon2 hashes and of SCRAM secrets are expensive on purpose. As many run at a time as there are
/// processors. Others wait up to 30 s, and then get `454 4.7.0`. The cost of a check is limited to 10,000,000
/// iterations of SCRAM, and for argon2 to 1 GiB of memory and 16 passes over that much.
///
/// ```
/// use std::error::Error;
/// use pillarbox::Users;
///
/// let users = Users::parse("
///     ## the two of them
///     alice:correct horse battery staple
///     bob:$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4
/// ")?.add("carol", "in clear")?;
///
/// let error = Users::parse("alice:secret\nbob secret").unwrap_err();
/// assert_eq!(error.to_string(), "line 2 of the users");
/// assert_eq!(error.source().unwrap().to_string(), "no colon between user and secret");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Clones share the users: [`replace`](Users::replace) installs other ones for all logins from now on, without a restart.
///
/// ```
/// use pillarbox::{Server, Users, handlers::Sink};
///
/// let users = Users::new().add("alice", "secret")?;
/// let server = Server::builder().authenticator(users.clone()).serve("127.0.0.1:0", Sink)?;
/// // ... when the file has changed:
/// users.replace(Users::parse("alice:another\nbob:builder")?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Default)]
pub struct Users {
    current: Arc<RwLock<Arc<UserSet>>>,
    // Of all sets that there have been: the processors stay the same.
    gate: Arc<Gate>,
}

/// The users at one time.
#[derive(Clone, Default)]
struct UserSet {
    secrets: Vec<Secret>,
    by_name: HashMap<String, usize>,
    /// Those that do not work with SCRAM.
    hashed: usize,
    /// Whether somebody's salt is stored.
    has_scram: bool,
    /// The names and secrets of all, in whichever order they came.
    content: Zeroizing<Hash>,
    decoys: OnceLock<Decoys>,
}

#[derive(Clone)]
enum Secret {
    /// Prepared with SASLprep.
    Clear {
        password: Zeroizing<String>,
        digest: Hash,
    },
    Scram(ScramVerifier),
    Argon2(Box<PasswordHash>),
}

const CLEAR_TEXT: [Mechanism; 2] = [Mechanism::Plain, Mechanism::Login];
const ALL: [Mechanism; 4] = [Mechanism::ScramSha256Plus, Mechanism::ScramSha256, Mechanism::Plain, Mechanism::Login];

impl Users {
    /// An empty set.
    pub fn new() -> Users {
        Users::default()
    }

    /// Reads a file, which must be UTF-8. It is read once; for later changes read it again and [`replace`](Users::replace) the
    /// users.
    ///
    /// # Errors
    /// [`UsersError::Read`] if it cannot be read or is not UTF-8, [`UsersError::Line`] as for [`parse`](Users::parse).
    pub fn from_file(path: impl AsRef<Path>) -> Result<Users, UsersError> {
        let path = path.as_ref();
        match fs::read_to_string(path) {
            Ok(text) => Users::parse(&Zeroizing::new(text)),
            Err(source) => Err(UsersError::Read { path: path.to_owned(), source }),
        }
    }

    /// Reads the text of such a file.
    ///
    /// # Errors
    /// [`UsersError::Line`] for the first line that is not `user:secret`, names a user a second time, or has an invalid
    /// secret.
    pub fn parse(text: &str) -> Result<Users, UsersError> {
        let mut users = UserSet::default();
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        for (number, line) in text.lines().enumerate() {
            let line = line.trim_start();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let added = match line.split_once(':') {
                Some((user, secret)) => users.insert(user, secret),
                None => Err(EntryError::Colon),
            };
            added.map_err(|source| UsersError::Line { line: number + 1, source })?;
        }
        Ok(Users { current: Arc::new(RwLock::new(Arc::new(users))), gate: Arc::default() })
    }

    /// Adds one user, with a secret in any of these forms. Clones have the user too.
    ///
    /// ```
    /// # fn takes(_: impl pillarbox::Authenticator) {}
    /// takes(pillarbox::Users::new().add("bob", "builder")?);
    /// # Ok::<(), pillarbox::EntryError>(())
    /// ```
    ///
    /// # Errors
    /// [`EntryError`] for a name that is invalid or exists already, and for an invalid secret.
    pub fn add(self, user: &str, secret: &str) -> Result<Users, EntryError> {
        Arc::make_mut(&mut *self.current.write()).insert(user, secret)?;
        Ok(self)
    }

    /// Replaces all users: logins from now on, of this one and of its clones, are checked against the others. What EHLO offers
    /// follows. Whoever is logged in stays so, and an exchange of SCRAM that has begun ends with the users that it began with.
    pub fn replace(&self, with: Users) {
        let with = with.current();
        *self.current.write() = with;
    }

    /// Whether there are no users, so that nobody can log in.
    pub fn is_empty(&self) -> bool {
        self.current.read().secrets.is_empty()
    }

    /// Checks a name and a password outside AUTH, for example for a web page. Both are prepared, limited in length and checked as with
    /// PLAIN. Returns the prepared name. Results are not cached: each call costs as much as the kind of secret demands.
    ///
    /// ```
    /// use pillarbox::Users;
    ///
    /// let users = Users::new().add("alice", "secret")?;
    /// assert_eq!(users.verify("alice", "secret").unwrap(), "alice");
    /// assert!(users.verify("alice", "guess").is_err() && users.verify("bob", "secret").is_err());
    /// # Ok::<(), pillarbox::EntryError>(())
    /// ```
    ///
    /// # Errors
    /// [`AuthFailure::Credentials`] if they are wrong; a temporary failure if too many others are being checked at the same time, or
    /// the system gives no random octets.
    pub fn verify(&self, user: &str, password: &str) -> Result<String, AuthFailure> {
        let (name, password) = (prepare::name(user.as_bytes())?, prepare::password(password.as_bytes())?);
        self.check(&name, &password)
    }

    fn check(&self, user: &str, password: &str) -> Result<String, AuthFailure> {
        let users = self.current();
        let Found { secret, is_known, .. } = users.find(user, &self.gate)?;
        let matches = match secret {
            Some(Secret::Clear { digest, .. }) => is_same(sha256(prepare_password(password).as_bytes()), *digest),
            Some(Secret::Scram(verifier)) => {
                let _pass = self.gate.enter()?;
                verifier.matches(password)
            }
            Some(Secret::Argon2(hash)) => {
                let _pass = self.gate.enter()?;
                Argon2::default().verify_password(prepare_password(password).as_bytes(), &**hash).is_ok()
            }
            None => false,
        };
        if matches && is_known { Ok(user.to_owned()) } else { Err(AuthFailure::Credentials) }
    }

    fn current(&self) -> Arc<UserSet> {
        self.current.read().clone()
    }
}

impl UserSet {
    fn insert(&mut self, user: &str, secret: &str) -> Result<(), EntryError> {
        let name = prepare_name(user).filter(|name| name.trim() == name).ok_or(EntryError::Name)?.into_owned();
        if self.by_name.contains_key(&name) {
            return Err(EntryError::Duplicate);
        }
        let secret = Secret::parse(secret)?;
        self.hashed += usize::from(matches!(secret, Secret::Argon2(_)));
        self.has_scram |= matches!(secret, Secret::Scram(_));
        for (octet, other) in self.content.iter_mut().zip(secret.digest(&name)) {
            *octet ^= other;
        }
        self.decoys = OnceLock::new();
        self.by_name.insert(name, self.secrets.len());
        self.secrets.push(secret);
        Ok(())
    }

    /// How a user is checked.
    fn find(&self, user: &str, gate: &Gate) -> Result<Found<'_>, AuthFailure> {
        let decoys = self.decoys(gate)?;
        // Computed for known names too, so that both take as long.
        let stand_in = decoys.key.number(user) % self.secrets.len().max(1) as u64;
        let stand_in = decoys.in_order.get(stand_in as usize).copied().unwrap_or_default();
        let known = self.by_name.get(user);
        let secret = self.secrets.get(*known.unwrap_or(&stand_in));
        Ok(Found { secret, is_known: known.is_some(), decoy_key: &decoys.key })
    }

    fn decoys(&self, gate: &Gate) -> Result<&Decoys, AuthFailure> {
        if let Some(decoys) = self.decoys.get() {
            return Ok(decoys);
        }
        // The first logins may come all at once, and it is costly.
        let _pass = gate.enter()?;
        match self.decoys.get() {
            Some(decoys) => Ok(decoys),
            None => {
                let fresh = Decoys::new(self)?;
                Ok(self.decoys.get_or_init(|| fresh))
            }
        }
    }

    /// From the users alone. Clients get to see salts that are made with it: whoever guesses all secrets could see in
    /// them that the guess is right, without a login. So each guess shall cost as much as one at a good hash would; and
    /// where no salt but made-up ones is ever shown, they come from elsewhere.
    fn key(&self) -> Result<DecoyKey, AuthFailure> {
        let mut key = [0; 32];
        let derived = Argon2::default().hash_password_into(&*self.content, b"pillarbox: unknown names", &mut key);
        derived.map(|()| DecoyKey(key)).map_err(|e| AuthFailure::temporary(e.to_string()))
    }
}

/// A user, or who stands in for one.
struct Found<'a> {
    /// Without users there is none.
    secret: Option<&'a Secret>,
    is_known: bool,
    decoy_key: &'a DecoyKey,
}

/// What unknown names are told.
#[derive(Clone)]
struct Decoys {
    key: DecoyKey,
    /// Whose secrets stand in for those of unknown names: all users, by name.
    in_order: Vec<usize>,
}

impl Decoys {
    fn new(users: &UserSet) -> Result<Decoys, AuthFailure> {
        let key = if users.has_scram { users.key()? } else { DecoyKey::of_process()? };
        let mut by_name: Vec<_> = users.by_name.iter().collect();
        by_name.sort_unstable();
        Ok(Decoys { key, in_order: by_name.into_iter().map(|(_, at)| *at).collect() })
    }
}

impl Authenticator for Users {
    fn mechanisms(&self, _: &Context) -> Vec<Mechanism> {
        if self.current.read().hashed == 0 { ALL.to_vec() } else { CLEAR_TEXT.to_vec() }
    }

    fn password(&self, _: &Context, user: &str, password: &str) -> Result<String, AuthFailure> {
        self.check(user, password)
    }

    fn scram(&self, _: &Context, user: &str) -> Result<Option<ScramVerifier>, AuthFailure> {
        let users = self.current();
        let Found { secret, is_known, decoy_key } = users.find(user, &self.gate)?;
        Ok(Some(match secret {
            Some(Secret::Clear { password, .. }) => {
                let decoy = decoy_key.verifier(user, MIN_ITERATIONS, SALT);
                let _pass = self.gate.enter()?;
                // Derived for unknown names too, so that both take as long.
                let verifier = ScramVerifier::derive(password, decoy_key.salt(user, SALT), MIN_ITERATIONS);
                if is_known { verifier } else { decoy }
            }
            Some(Secret::Scram(verifier)) => {
                let decoy = decoy_key.verifier(user, verifier.iterations(), verifier.salt().len());
                if is_known { verifier.clone() } else { decoy }
            }
            Some(Secret::Argon2(_)) | None => decoy_key.verifier(user, MIN_ITERATIONS, SALT),
        }))
    }
}

impl Debug for Users {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("Users").field("len", &self.current.read().secrets.len()).finish_non_exhaustive()
    }
}

impl Secret {
    fn parse(text: &str) -> Result<Secret, EntryError> {
        if text.starts_with("SCRAM-SHA-") {
            return text.parse().map(Secret::Scram).map_err(EntryError::Scram);
        }
        if text.starts_with("$argon2") {
            return argon2(text).ok_or(EntryError::Argon2);
        }
        let password = match text.strip_prefix("{PLAIN}") {
            Some(password) => password,
            None if is_foreign(text) => return Err(EntryError::Foreign),
            None => text,
        };
        let password = Zeroizing::new(prepare_password(password).into_owned());
        if password.is_empty() {
            return Err(EntryError::Empty);
        }
        if password.len() > MAX_PASSWORD {
            return Err(EntryError::Long);
        }
        Ok(Secret::Clear { digest: sha256(password.as_bytes()), password })
    }

    /// Of the secret and whose it is.
    fn digest(&self, name: &str) -> Hash {
        let secret = Zeroizing::new(match self {
            Secret::Clear { password, .. } => password.to_string(),
            Secret::Scram(verifier) => verifier.encode(),
            Secret::Argon2(hash) => hash.to_string(),
        });
        // No prepared name has a NUL in it.
        sha256(&Zeroizing::new([name.as_bytes(), b"\0", secret.as_bytes()].concat()))
    }
}

fn argon2(text: &str) -> Option<Secret> {
    let hash = PasswordHash::new(text).ok()?;
    let params = Params::try_from(&hash).ok()?;
    let complete = hash.salt.is_some() && hash.hash.is_some();
    let memory = params.m_cost();
    let bounded = memory <= MAX_ARGON2_MEMORY && u64::from(memory) * u64::from(params.t_cost()) <= MAX_ARGON2_WORK;
    (complete && bounded).then(|| Secret::Argon2(Box::new(hash)))
}

/// Whether a secret looks like a hash that we do not know: `$id$…` of crypt(3), `{SCHEME}…` of LDAP.
fn is_foreign(text: &str) -> bool {
    let id = |id: &str| !id.is_empty() && id.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b));
    let crypt = text.strip_prefix('$').and_then(|text| text.split_once('$'));
    let scheme = text.strip_prefix('{').and_then(|text| text.split_once('}'));
    crypt.or(scheme).is_some_and(|(name, _)| id(name))
}

/// Lets in as many threads at a time as there are processors: more would only take more memory, and longer each.
struct Gate {
    free: Mutex<usize>,
    freed: Condvar,
    patience: Duration,
}

impl Default for Gate {
    fn default() -> Gate {
        let processors = thread::available_parallelism().map_or(1, usize::from);
        Gate { free: Mutex::new(processors), freed: Condvar::new(), patience: PATIENCE }
    }
}

impl Gate {
    fn enter(&self) -> Result<Pass<'_>, AuthFailure> {
        let mut free = self.free.lock();
        if self.freed.wait_while_for(&mut free, |free| *free == 0, self.patience).timed_out() {
            return Err(AuthFailure::temporary("too many passwords are being checked"));
        }
        *free -= 1;
        Ok(Pass(self))
    }
}

struct Pass<'a>(&'a Gate);

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        *self.0.free.lock() += 1;
        self.0.freed.notify_one();
    }
}

/// Why a file of users was refused. No message shows a secret.
#[derive(Debug)]
#[non_exhaustive]
pub enum UsersError {
    /// The file cannot be read, or is not UTF-8.
    Read {
        /// The file.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
    /// A line is invalid.
    Line {
        /// Its number, from 1.
        line: usize,
        /// What is wrong with it.
        source: EntryError,
    },
}

impl Display for UsersError {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            UsersError::Read { path, .. } => write!(f, "cannot read {}", path.display()),
            UsersError::Line { line, .. } => write!(f, "line {line} of the users"),
        }
    }
}

impl Error for UsersError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            UsersError::Read { source, .. } => Some(source),
            UsersError::Line { source, .. } => Some(source),
        }
    }
}

/// Why a user was refused. No message shows the secret.
#[derive(Debug)]
#[non_exhaustive]
pub enum EntryError {
    /// There is no colon between user and secret.
    Colon,
    /// The name is empty, longer than 512 octets when prepared, has blanks around it, or characters that SASLprep (RFC
    /// 4013) forbids.
    Name,
    /// The user exists already, perhaps in another spelling.
    Duplicate,
    /// The secret is empty.
    Empty,
    /// The secret is a password of more than 9,216 octets when prepared, which no client could send.
    Long,
    /// The secret looks like a SCRAM verifier, but is invalid.
    Scram(ScramVerifierError),
    /// The secret looks like an argon2 hash, but is invalid, or needs more than 1 GiB of memory or more work than 16
    /// passes over that.
    Argon2,
    /// The secret looks like a hash of an unsupported kind.
    Foreign,
}

impl Display for EntryError {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            EntryError::Colon => "no colon between user and secret",
            EntryError::Name => "bad user name",
            EntryError::Duplicate => "this user is there already",
            EntryError::Empty => "the secret is empty",
            EntryError::Long => "the secret is longer than 9216 octets",
            EntryError::Scram(_) => "bad SCRAM verifier",
            EntryError::Argon2 => "bad argon2 hash",
            EntryError::Foreign => {
                "the secret looks like a hash of an unknown kind; if it is a password, put {PLAIN} before it"
            }
        })
    }
}

impl Error for EntryError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            EntryError::Scram(source) => Some(source),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;
