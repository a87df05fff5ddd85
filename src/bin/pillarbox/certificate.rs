//! The certificate that the files of the command line hold.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use pillarbox::Tls;

use crate::causes::chain;

/// A certificate, and the files that it came from.
pub struct Certificate {
    pub tls: Tls,
    cert: PathBuf,
    key: PathBuf,
    cert_is_file: bool,
    key_is_file: bool,
}

impl Certificate {
    pub fn read(cert: &Path, key: &Path) -> Result<Certificate, String> {
        let read = |path: &Path| fs::read(path).map_err(|e| format!("cannot read {}: {e}", path.display()));
        let tls = Tls::rustls_from_pem(&read(cert)?, &read(key)?)
            .map_err(|e| format!("cannot use {} with {}: {}", cert.display(), key.display(), chain(&e)))?;
        let is_file = |path: &Path| fs::metadata(path).is_ok_and(|found| found.is_file());
        let (cert_is_file, key_is_file) = (is_file(cert), is_file(key));
        Ok(Certificate { tls, cert: cert.to_owned(), key: key.to_owned(), cert_is_file, key_is_file })
    }

    /// That a user who is not root any more can read the files again, for [`renew`](Certificate::renew). Pipes and the like
    /// hold what they held once, for anybody.
    pub fn check_that_it_can_be_renewed(&self) -> Result<(), String> {
        for (path, is_file) in [(&self.cert, self.cert_is_file), (&self.key, self.key_is_file)] {
            match File::open(path) {
                Err(e) if is_file => {
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
        match Certificate::read(&self.cert, &self.key) {
            Ok(new) => self.tls.replace(new.tls),
            Err(message) => log::error!("the certificate stays as it was: {message}"),
        }
    }
}
