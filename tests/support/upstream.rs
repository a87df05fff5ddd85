//! What the mail servers that tests relay to have in common: they greet, and they deliver into a Maildir for each of their
//! users in a scratch folder.

use std::fs;
use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use nix::unistd::User;

/// The domain that the server takes mail for.
pub const DOMAIN: &str = "upstream.example";

/// Those in it who have a mailbox.
pub const USERS: [&str; 3] = ["a", "b", "c"];

/// How long a server may take. Only one that does nothing gets there.
const PATIENCE: Duration = Duration::from_secs(60);

pub struct Mailboxes {
    /// With a Maildir in it for each user, named after them, once they have mail.
    pub folder: PathBuf,
    /// The account that delivers.
    pub owner: User,
}

impl Mailboxes {
    pub fn create(scratch: &Path) -> Mailboxes {
        // Mail servers deliver as anybody but root.
        let owner = match nix::unistd::geteuid() {
            root if root.is_root() => User::from_name("nobody"),
            other => User::from_uid(other),
        };
        let owner = owner.ok().flatten().expect("an account");
        let folder = scratch.join("mail");
        folder_of(&folder, &owner);
        Mailboxes { folder, owner }
    }

    /// What has arrived for a recipient, in that order, once it is so many messages.
    ///
    /// # Panics
    /// If they do not come, with the server's log.
    #[track_caller]
    pub fn delivered(&self, recipient: &str, at_least: usize, log: impl FnOnce() -> String) -> Vec<Vec<u8>> {
        let user = USERS.into_iter().find(|user| recipient == format!("{user}@{DOMAIN}"));
        let new = self.folder.join(user.unwrap_or_else(|| panic!("{recipient} has no mailbox"))).join("new");
        let deadline = Instant::now() + PATIENCE;
        loop {
            let messages = messages(&new);
            if messages.len() >= at_least {
                return messages;
            }
            if Instant::now() > deadline {
                panic!("{} of {at_least} messages for {recipient}\n{}", messages.len(), log());
            }
            thread::sleep(Duration::from_millis(10));
        }
    }
}

fn messages(new: &Path) -> Vec<Vec<u8>> {
    let entries = match fs::read_dir(new) {
        // It is made for the first message.
        Err(e) if e.kind() == ErrorKind::NotFound => return Vec::new(),
        entries => entries.expect("root or the owner reads it"),
    };
    let mut files: Vec<(SystemTime, PathBuf)> = entries
        .map(|entry| entry.expect("a file in it"))
        .map(|entry| (entry.metadata().and_then(|meta| meta.modified()).expect("nobody takes mail away"), entry.path()))
        .collect();
    files.sort_unstable();
    files.iter().map(|(_, file)| fs::read(file).expect("nobody takes mail away")).collect()
}

/// Waits until the server greets a client.
///
/// # Panics
/// If it does not, as when it does not like its configuration, with its log.
#[track_caller]
pub fn await_banner(server: SocketAddr, log: impl FnOnce() -> String) {
    let mut banner = String::new();
    let said = TcpStream::connect(server).and_then(|stream| {
        stream.set_read_timeout(Some(PATIENCE))?;
        BufReader::new(&stream).read_line(&mut banner)?;
        (&stream).write_all(b"QUIT\r\n")
    });
    assert!(said.is_ok() && banner.starts_with("220 "), "{said:?} {banner:?}\n{}", log());
}

/// A scratch folder that every account may enter.
pub fn scratch() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).expect("our own folder");
    folder
}

/// A new folder that belongs to an account.
pub fn folder_of(folder: &Path, owner: &User) {
    fs::create_dir(folder).expect("a new folder");
    chown(folder, Some(owner.uid.as_raw()), Some(owner.gid.as_raw())).expect("root may, and others are the owner");
}
