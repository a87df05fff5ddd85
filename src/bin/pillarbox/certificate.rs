//! The certificate that the files of the command line hold.

use std::path::{Path, PathBuf};

use pillarbox::Tls;

use crate::chain;

/// A certificate, and the files that it came from.
pub struct Certificate {
    pub tls: Tls,
    cert: PathBuf,
    key: PathBuf,
}

impl Certificate {
    pub fn read(cert: &Path, key: &Path) -> Result<Certificate, String> {
        let read = |path: &Path| std::fs::read(path).map_err(|e| format!("cannot read {}: {e}", path.display()));
        let tls = Tls::from_pem(&read(cert)?, &read(key)?)
            .map_err(|e| format!("cannot use {} with {}: {}", cert.display(), key.display(), chain(&e)))?;
        Ok(Certificate { tls, cert: cert.to_owned(), key: key.to_owned() })
    }

    /// Reads the files again; connections from now on get what is in them.
    pub fn renew(&self) {
        match Certificate::read(&self.cert, &self.key) {
            Ok(new) => self.tls.replace(new.tls),
            Err(message) => log::error!("the certificate stays as it was: {message}"),
        }
    }
}
