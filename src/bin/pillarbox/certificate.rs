//! The certificates that the files of the command line hold.

use std::fs::{self, File, Metadata};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, SystemTime};

use pillarbox::rustls::pki_types::{CertificateRevocationListDer, pem::PemObject};
use pillarbox::{ClientCertificates, RustlsError, Tls};
use x509_cert::crl::CertificateList;
use x509_cert::der::Decode;

use crate::causes::chain;

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(10);

/// What a listener's TLS is made of, and the files that it came from. Clones are the same.
#[derive(Clone)]
pub struct Certificate {
    pub tls: Tls,
    files: Arc<Files>,
}

/// Where certificates and keys are.
#[derive(Clone)]
pub enum Source {
    /// In pairs of files, of which the first is for clients that name no server, or another.
    Files(Vec<(PathBuf, PathBuf)>),
    /// Here, in PEM.
    Made(String, String),
}

/// Where it is that clients' certificates are judged by.
#[derive(Clone, PartialEq, Eq)]
pub struct Clients {
    /// Their authorities.
    pub ca: PathBuf,
    /// What the authorities have revoked.
    pub crl: Option<PathBuf>,
}

struct Files {
    source: Source,
    clients: Option<Clients>,
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
    /// Reads certificates and keys. Clients are asked for a certificate if there is something to judge it by.
    pub fn read(source: Source, clients: Option<Clients>) -> Result<Certificate, String> {
        let mut files = Files { source, clients, seen: Mutex::default() };
        files.seen = Mutex::new(files.look());
        Ok(Certificate { tls: files.read()?, files: Arc::new(files) })
    }

    /// What clients that verify have against the certificates: that one has expired, or is not valid yet. And that clients are
    /// refused since a revocation list has expired.
    pub fn problems(&self) -> Vec<String> {
        let problem = |cert: &PathBuf| {
            let problem = Tls::validity(&fs::read(cert).ok()?, SystemTime::now()).ok()??;
            Some(format!("clients will refuse {}: {problem}", cert.display()))
        };
        let crl = self.files.clients.as_ref().and_then(|clients| clients.crl.as_ref());
        let expired = |crl: &PathBuf| {
            let is_expired = has_expired_list(&fs::read(crl).ok()?, SystemTime::now());
            is_expired.then(|| format!("clients with a certificate will be refused: {} has expired", crl.display()))
        };
        let problems = self.files.pairs().iter().filter_map(|(cert, _)| problem(cert));
        problems.chain(crl.and_then(expired)).collect()
    }

    /// That a user who is not root any more can read the files again, for [`renew`](Certificate::renew). Pipes and the like
    /// hold what they held once, for anybody.
    pub fn check_that_it_can_be_renewed(&self) -> Result<(), String> {
        for (path, seen) in self.files.paths().zip(&*self.seen()) {
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
        *self.seen() = self.files.look();
        match self.files.read() {
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
        self.files.paths().zip(&*self.seen()).any(|(path, seen)| changed(path, seen))
    }

    fn seen(&self) -> MutexGuard<'_, Vec<Option<Seen>>> {
        self.files.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Files {
    fn pairs(&self) -> &[(PathBuf, PathBuf)] {
        match &self.source {
            Source::Files(pairs) => pairs,
            Source::Made(..) => &[],
        }
    }

    fn paths(&self) -> impl Iterator<Item = &PathBuf> {
        let clients = self.clients.iter().flat_map(|clients| [Some(&clients.ca), clients.crl.as_ref()]).flatten();
        self.pairs().iter().flat_map(|(cert, key)| [cert, key]).chain(clients)
    }

    fn look(&self) -> Vec<Option<Seen>> {
        self.paths().map(|path| Seen::of(path)).collect()
    }

    fn read(&self) -> Result<Tls, String> {
        let read = |path: &Path| fs::read(path).map_err(|e| format!("cannot read {}: {e}", path.display()));
        let mut tls = Tls::rustls();
        for (cert, key) in self.pairs() {
            tls = tls
                .certificate(&read(cert)?, &read(key)?)
                .map_err(|e| format!("cannot use {} with {}: {}", cert.display(), key.display(), chain(&e)))?;
        }
        let unusable = |e| format!("cannot use the certificates: {}", chain(&e));
        if let Source::Made(cert, key) = &self.source {
            tls = tls.certificate(cert.as_bytes(), key.as_bytes()).map_err(unusable)?;
        }
        let Some(Clients { ca, crl }) = &self.clients else { return tls.build().map_err(unusable) };
        let unfit = |path: &Path, e| format!("cannot use {} for clients: {}", path.display(), chain(&e));
        tls = tls.client_certificates(ClientCertificates::Asked, &read(ca)?).map_err(|e| unfit(ca, e))?;
        if let Some(crl) = crl {
            tls = tls.client_revocation_lists(&read(crl)?).map_err(|e| unfit(crl, e))?;
        }
        tls.build().map_err(|e| match (e, crl) {
            (e @ RustlsError::RevocationList(_), Some(crl)) => unfit(crl, e),
            (e, _) => unusable(e),
        })
    }
}

/// Whether a revocation list in some PEM is older than it may become.
fn has_expired_list(pem: &[u8], now: SystemTime) -> bool {
    CertificateRevocationListDer::pem_slice_iter(pem).flatten().any(|list| {
        let list: Option<CertificateList> = CertificateList::from_der(&list).ok();
        let next = list.and_then(|list| list.tbs_cert_list.next_update);
        next.is_some_and(|next| next.to_system_time() < now)
    })
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
