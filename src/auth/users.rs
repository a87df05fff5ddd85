//! A file of users.

use std::collections::HashMap;
use std::error::Error;
use std::fmt::{self, Debug, Display, Formatter};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::thread;

use argon2::password_hash::PasswordVerifier;
use argon2::password_hash::phc::PasswordHash;
use argon2::{Argon2, Params};
use parking_lot::{Condvar, Mutex};
use zeroize::Zeroizing;

use super::verifier::{Hash, MIN_ITERATIONS, SALT, is_same, made_up_number, made_up_salt, prepare_password, sha256};
use super::{AuthFailure, Authenticator, Mechanism, ScramVerifier, ScramVerifierError};

/// In KiB. Each check of an argon2 hash takes the memory that the hash asks for.
const MAX_ARGON2_MEMORY: u32 = 1024 * 1024;

/// A fixed set of users, each with a secret, as an [`Authenticator`].
///
/// In text, each line is `user:secret`; blank lines, and lines that begin with `#`, are passed over. A secret is all
/// that follows the first colon, blanks included, and one of
///
/// - the password in clear;
/// - `SCRAM-SHA-256$iterations:salt$StoredKey:ServerKey`: a [`ScramVerifier`], as PostgreSQL stores them;
/// - `$argon2id$…`: an argon2 hash as a PHC string, as the `argon2` program prints it with `-e`.
///
/// What looks like a hash of another kind (`$6$…`, `{SSHA}…`) is refused: it would else be taken for a password, which
/// opens the door to whoever has seen the file. A password that happens to look like one is written with `{PLAIN}`
/// before it.
///
/// PLAIN and LOGIN work with all of them. SCRAM-SHA-256 needs a clear or a SCRAM secret, and is offered if every user
/// has such a one: clients that are offered it use it, and would fail for the others. The identity is the user's name.
///
/// Nothing tells an unknown name from a wrong password, the time included: an unknown name is checked against the
/// secret of another user, always the same one, and then refused. The salts that SCRAM shows for clear-text secrets and
/// for unknown names are made up, and hold while the process lives. Checks of argon2 hashes, which take much memory,
/// run no more than one a processor at a time; the others wait.
///
/// ```
/// use pillarbox::Users;
///
/// let users = Users::parse("
///     ## the two of them
///     alice:correct horse battery staple
///     bob:$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4
/// ")?.add("carol", "in clear")?;
///
/// let error = Users::parse("alice:secret\nbob secret").unwrap_err();
/// assert_eq!(error.to_string(), "line 2: no colon between user and secret");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Default)]
pub struct Users {
    secrets: Vec<Secret>,
    by_name: HashMap<String, usize>,
    /// Those that SCRAM cannot be done with.
    hashed: usize,
    gate: Gate,
}

enum Secret {
    /// Prepared with SASLprep.
    Clear {
        password: Zeroizing<String>,
        digest: Hash,
    },
    Scram(ScramVerifier),
    Argon2(Box<PasswordHash>),
}

const ALL: &[Mechanism] = &[Mechanism::ScramSha256Plus, Mechanism::ScramSha256, Mechanism::Plain, Mechanism::Login];
const CLEAR_TEXT: &[Mechanism] = &[Mechanism::Plain, Mechanism::Login];

impl Users {
    /// Nobody yet.
    pub fn new() -> Users {
        Users::default()
    }

    /// Reads a file, which must be UTF-8. It is read once: later changes are not seen.
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
    /// [`UsersError::Line`] for the first line that is no `user:secret`, names a user a second time, or has a secret of none
    /// of the forms.
    pub fn parse(text: &str) -> Result<Users, UsersError> {
        let mut users = Users::new();
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
        Ok(users)
    }

    /// Adds one user, with a secret of any of the forms.
    ///
    /// ```
    /// # fn takes(_: impl pillarbox::Authenticator) {}
    /// takes(pillarbox::Users::new().add("bob", "builder")?);
    /// # Ok::<(), pillarbox::EntryError>(())
    /// ```
    ///
    /// # Errors
    /// [`EntryError`] for a name that is none or is there already, and for a secret of none of the forms.
    pub fn add(mut self, user: &str, secret: &str) -> Result<Users, EntryError> {
        self.insert(user, secret)?;
        Ok(self)
    }

    fn insert(&mut self, user: &str, secret: &str) -> Result<(), EntryError> {
        let name = match stringprep::saslprep(user) {
            Ok(name) if !name.is_empty() && name.trim() == name => name.into_owned(),
            _ => return Err(EntryError::Name),
        };
        if self.by_name.contains_key(&name) {
            return Err(EntryError::Duplicate);
        }
        let secret = Secret::parse(secret)?;
        self.hashed += usize::from(matches!(secret, Secret::Argon2(_)));
        self.by_name.insert(name, self.secrets.len());
        self.secrets.push(secret);
        Ok(())
    }

    /// The secret to check a user with, and whether it is this user's. Without users there is none.
    fn find(&self, user: &str) -> Result<(Option<&Secret>, bool), AuthFailure> {
        // Computed for known names too, so that both take as long.
        let stand_in = made_up_number(user)? % self.secrets.len().max(1) as u64;
        let known = self.by_name.get(user);
        Ok((self.secrets.get(*known.unwrap_or(&(stand_in as usize))), known.is_some()))
    }
}

impl Authenticator for Users {
    fn mechanisms(&self) -> &[Mechanism] {
        if self.hashed == 0 { ALL } else { CLEAR_TEXT }
    }

    fn password(&self, user: &str, password: &str) -> Result<String, AuthFailure> {
        let (secret, known) = self.find(user)?;
        let matches = match secret {
            Some(Secret::Clear { digest, .. }) => is_same(sha256(prepare_password(password).as_bytes()), *digest),
            Some(Secret::Scram(verifier)) => verifier.matches(password),
            Some(Secret::Argon2(hash)) => {
                let _pass = self.gate.enter();
                Argon2::default().verify_password(prepare_password(password).as_bytes(), &**hash).is_ok()
            }
            None => false,
        };
        if matches && known { Ok(user.to_owned()) } else { Err(AuthFailure::Credentials) }
    }

    fn scram(&self, user: &str) -> Result<Option<ScramVerifier>, AuthFailure> {
        let (secret, known) = self.find(user)?;
        let like = |iterations, salt| ScramVerifier::decoy(user, iterations, salt);
        Ok(Some(match secret {
            Some(Secret::Clear { password, .. }) => {
                let decoy = like(MIN_ITERATIONS, SALT)?;
                // Derived for unknown names too, so that both take as long.
                let verifier = ScramVerifier::derive(password, made_up_salt(user, SALT)?, MIN_ITERATIONS);
                if known { verifier } else { decoy }
            }
            Some(Secret::Scram(verifier)) => {
                let decoy = like(verifier.iterations(), verifier.salt().len())?;
                if known { verifier.clone() } else { decoy }
            }
            Some(Secret::Argon2(_)) | None => like(MIN_ITERATIONS, SALT)?,
        }))
    }
}

impl Debug for Users {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("Users").field("len", &self.secrets.len()).finish_non_exhaustive()
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
        Ok(Secret::Clear { digest: sha256(password.as_bytes()), password })
    }
}

fn argon2(text: &str) -> Option<Secret> {
    let hash = PasswordHash::new(text).ok()?;
    let params = Params::try_from(&hash).ok()?;
    let complete = hash.salt.is_some() && hash.hash.is_some();
    (complete && params.m_cost() <= MAX_ARGON2_MEMORY).then(|| Secret::Argon2(Box::new(hash)))
}

/// Whether a secret looks like a hash that we do not know: `$id$…` of crypt(3), `{SCHEME}…` of LDAP.
fn is_foreign(text: &str) -> bool {
    let id = |id: &str| !id.is_empty() && id.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b));
    let crypt = text.strip_prefix('$').and_then(|text| text.split_once('$'));
    let scheme = text.strip_prefix('{').and_then(|text| text.split_once('}'));
    crypt.or(scheme).is_some_and(|(name, _)| id(name))
}

/// Lets in as many threads at a time as there are processors: more would only take more memory.
struct Gate {
    free: Mutex<usize>,
    freed: Condvar,
}

impl Default for Gate {
    fn default() -> Gate {
        let processors = thread::available_parallelism().map_or(1, usize::from);
        Gate { free: Mutex::new(processors), freed: Condvar::new() }
    }
}

impl Gate {
    fn enter(&self) -> Pass<'_> {
        let mut free = self.free.lock();
        self.freed.wait_while(&mut free, |free| *free == 0);
        *free -= 1;
        Pass(self)
    }
}

struct Pass<'a>(&'a Gate);

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        *self.0.free.lock() += 1;
        self.0.freed.notify_one();
    }
}

/// Why a file of users was not taken. No message shows a secret.
#[derive(Debug)]
#[non_exhaustive]
pub enum UsersError {
    /// The file cannot be read, or is not UTF-8.
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A line makes no sense.
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
            UsersError::Read { path, source } => write!(f, "cannot read {}: {source}", path.display()),
            UsersError::Line { line, source } => write!(f, "line {line}: {source}"),
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

/// Why a user was not taken. No message shows the secret.
#[derive(Debug)]
#[non_exhaustive]
pub enum EntryError {
    /// No colon between user and secret.
    Colon,
    /// The name is empty, has blanks around it, or characters that SASLprep (RFC 4013) forbids.
    Name,
    /// The user is there already, perhaps in another spelling.
    Duplicate,
    /// The secret is empty.
    Empty,
    /// The secret looks like a SCRAM verifier, but is no good one.
    Scram(ScramVerifierError),
    /// The secret looks like an argon2 hash, but is no good one, or asks for more than 1 GiB of memory.
    Argon2,
    /// The secret looks like a hash of a kind that is not known here.
    Foreign,
}

impl Display for EntryError {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            EntryError::Colon => "no colon between user and secret",
            EntryError::Name => "bad user name",
            EntryError::Duplicate => "this user is there already",
            EntryError::Empty => "the secret is empty",
            EntryError::Scram(source) => return write!(f, "bad SCRAM verifier: {source}"),
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
