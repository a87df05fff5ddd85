//! A certificate that is made at the start, of an authority of its own.

use std::fs;
use std::path::Path;

use pillarbox::testing::Authority;

use crate::causes::chain;

pub struct SelfSigned {
    /// It and its key in PEM.
    pub certificate: (String, String),
    /// The authority's certificate in PEM, for clients that are to trust it.
    pub authority: String,
}

impl SelfSigned {
    /// For this machine, by the names that clients on it and in its network have for it, and for `hostname`.
    pub fn make(hostname: Option<&str>) -> Result<SelfSigned, String> {
        let machine = gethostname::gethostname();
        let names = ["localhost", "127.0.0.1", "::1"].into_iter().chain(machine.to_str()).chain(hostname);
        let failed = |e| format!("cannot make a certificate: {}", chain(&e));
        let authority = Authority::new().map_err(failed)?;
        // A name that no certificate can bear is left out: that of a machine may be anything.
        let names: Vec<&str> = names.filter(|name| authority.pem_for([*name]).is_ok()).collect();
        let certificate = authority.pem_for(names).map_err(failed)?;
        Ok(SelfSigned { certificate, authority: authority.pem().to_owned() })
    }

    pub fn write_authority(&self, to: &Path) -> Result<(), String> {
        fs::write(to, &self.authority).map_err(|e| format!("cannot write {}: {e}", to.display()))
    }
}
