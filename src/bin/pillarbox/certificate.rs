//! The certificates that the files of the command line hold.

use std::fs::{self, File, Metadata};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, SystemTime};

use pillarbox::Tls;

use crate::causes::chain;

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(10);

/// What a listener's TLS is made of, and the files that it came from. Clones are the same.
#[derive(Clone)]
pub struct Certificate {
    pub tls: Tls,
    files: Arc<Files>,
}

struct Files {
    pairs: Vec<(PathBuf, PathBuf)>,
    // What they were when they were read last.
    seen: Mutex<Vec<Option<Seen>>>,
}

/// Whether a file is another one, or was written to.
#[derive(PartialEq, Eq)]
struct Seen {
    is_file: bool,
    len: u64,
    modified: Option<SystemTime>,
}

impl Seen {
    fn of(path: &Path) -> Option<Seen> {
        let seen =
            |found: Metadata| Seen { is_file: found.is_file(), len: found.len(), modified: found.modified().ok() };
        fs::metadata(path).ok().map(seen)
    }
}

impl Certificate {
    /// Reads pairs of certificates and keys, of which the first is for clients that name no server, or another.
    pub fn read(pairs: Vec<(PathBuf, PathBuf)>) -> Result<Certificate, String> {
        let seen = Mutex::new(seen(&pairs));
        let tls = made_from(&pairs)?;
        Ok(Certificate { tls, files: Arc::new(Files { pairs, seen }) })
    }

    /// What clients that verify have against the certificates: that one has expired, or is not valid yet.
    pub fn problems(&self) -> Vec<String> {
        let problem = |cert: &PathBuf| {
            let problem = Tls::validity(&fs::read(cert).ok()?, SystemTime::now()).ok()??;
            Some(format!("clients will refuse {}: {problem}", cert.display()))
        };
        self.files.pairs.iter().filter_map(|(cert, _)| problem(cert)).collect()
    }

    /// That a user who is not root any more can read the files again, for [`renew`](Certificate::renew). Pipes and the like
    /// hold what they held once, for anybody.
    pub fn check_that_it_can_be_renewed(&self) -> Result<(), String> {
        for (path, seen) in self.paths().zip(&*self.seen()) {
            match File::open(path) {
                Err(e) if seen.as_ref().is_some_and(|seen| seen.is_file) => {
                    let path = path.display();
                    return Err(format!(
                        "cannot read {path} again as the user nobody, as SIGHUP asks for: {e}; let nobody read it and enter \
                         the folders above it, start pillarbox as a user who may, or stay root with -n"
                    ));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Reads the files again; connections from now on get what is in them.
    pub fn renew(&self) {
        *self.seen() = seen(&self.files.pairs);
        match made_from(&self.files.pairs) {
            Ok(new) => {
                self.tls.replace(new);
                self.problems().iter().for_each(|problem| log::warn!("{problem}"));
            }
            Err(message) => log::error!("the certificate stays as it was: {message}"),
        }
    }

    /// Whether a file was replaced or written to since it was read. One that is gone may be about to be replaced.
    fn has_changed(&self) -> bool {
        let changed = |path: &Path, seen: &Option<Seen>| {
            let now = Seen::of(path);
            now.as_ref().is_some_and(|now| now.is_file) && now != *seen
        };
        self.paths().zip(&*self.seen()).any(|(path, seen)| changed(path, seen))
    }

    fn paths(&self) -> impl Iterator<Item = &PathBuf> {
        self.files.pairs.iter().flat_map(|(cert, key)| [cert, key])
    }

    fn seen(&self) -> MutexGuard<'_, Vec<Option<Seen>>> {
        self.files.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Renews certificates whose files have changed, for as long as the process lives. While only one of two files is new they do
/// not belong together: the certificate stays, and the other file is a change too.
pub fn watch(certificates: Vec<Certificate>) -> io::Result<()> {
    if certificates.is_empty() {
        return Ok(());
    }
    let look = move || {
        loop {
            thread::sleep(LOOK);
            certificates.iter().filter(|certificate| certificate.has_changed()).for_each(Certificate::renew);
        }
    };
    thread::Builder::new().name("certificates".to_owned()).spawn(look).map(drop)
}

fn seen(pairs: &[(PathBuf, PathBuf)]) -> Vec<Option<Seen>> {
    pairs.iter().flat_map(|(cert, key)| [Seen::of(cert), Seen::of(key)]).collect()
}

fn made_from(pairs: &[(PathBuf, PathBuf)]) -> Result<Tls, String> {
    let read = |path: &Path| fs::read(path).map_err(|e| format!("cannot read {}: {e}", path.display()));
    let mut tls = Tls::rustls();
    for (cert, key) in pairs {
        tls = tls
            .certificate(&read(cert)?, &read(key)?)
            .map_err(|e| format!("cannot use {} with {}: {}", cert.display(), key.display(), chain(&e)))?;
    }
    tls.build().map_err(|e| format!("cannot use the certificates: {}", chain(&e)))
}
