//! The users that the file of the command line holds.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use pillarbox::Users;

use crate::causes::chain;

/// Users, and the file that they came from.
pub struct Accounts {
    pub users: Users,
    file: PathBuf,
    /// Pipes and the like hold what they held once, and reading one again could wait for ever.
    is_file: bool,
}

impl Accounts {
    pub fn read(file: &Path) -> Result<Accounts, String> {
        let users = Users::from_file(file).map_err(|e| format!("cannot use {}: {}", file.display(), chain(&e)))?;
        if users.is_empty() {
            return Err(format!("there are no users in {}: each line is USER:SECRET", file.display()));
        }
        let is_file = fs::metadata(file).is_ok_and(|found| found.is_file());
        Ok(Accounts { users, file: file.to_owned(), is_file })
    }

    /// That a user who is not root any more may be unable to read the file again is no reason to end: it is good practice
    /// that nobody else can.
    pub fn warn_unless_it_can_be_read_again(&self) {
        if self.is_file
            && let Err(e) = File::open(&self.file)
        {
            log::warn!("SIGHUP will not reload the users: cannot read {} again: {e}", self.file.display());
        }
    }

    /// Reads the file again; logins from now on are checked against what is in it.
    pub fn reload(&self) {
        if !fs::metadata(&self.file).map_or(self.is_file, |found| found.is_file()) {
            return log::error!("the users stay as they were: {} is not a regular file", self.file.display());
        }
        match Accounts::read(&self.file) {
            Ok(new) => self.users.replace(new.users),
            Err(message) => log::error!("the users stay as they were: {message}"),
        }
    }
}
