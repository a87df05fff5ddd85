//! A running Exim that takes mail for `upstream.example`, with its files in a scratch folder. It asks no DNS.
//!
//! It is the file that `TEST_PILLARBOX_EXIM` in the environment names, else the one below `target/exim`, else one that is
//! installed: Debian's Exim cannot be installed beside Postfix, but it runs from any folder, provided that the account
//! exists which was compiled into it (`Debian-exim`).

use std::env;
use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use super::upstream::{DOMAIN, Mailboxes, USERS, await_banner, folder_of, scratch};

/// It is stopped with the value.
pub struct Exim {
    folder: tempfile::TempDir,
    mailboxes: Mailboxes,
    smtp: SocketAddr,
    daemon: Child,
}

impl Exim {
    /// Starts it with these lines of the main section in addition, each in the place of one of its name here.
    ///
    /// None if there is no Exim that runs.
    pub fn start(settings: &str) -> Option<Exim> {
        Exim::launch(settings, None)
    }

    /// As [`start`](Exim::start), with STARTTLS offered for this certificate and key, in PEM.
    pub fn start_with_tls(certificate: &str, key: &str, settings: &str) -> Option<Exim> {
        Exim::launch(settings, Some((certificate, key)))
    }

    fn launch(settings: &str, tls: Option<(&str, &str)>) -> Option<Exim> {
        let program = program()?;
        let version = super::run(Command::new(&program).args(["-C", "/dev/null", "-bV"]), b"");
        if !version.status.success() {
            super::missing(&format!("Exim does not run: {version}"));
            return None;
        }
        let folder = scratch();
        let path = |file: &str| folder.path().join(file);
        let mailboxes = Mailboxes::create(folder.path());
        for part in ["spool", "log"] {
            folder_of(&path(part), &mailboxes.owner);
        }
        // To deliver, Exim runs itself once more, as an account that may not get at the original; and without set-user-ID
        // it stays that account. By a program, since a file that this process writes cannot be run while other threads fork.
        super::run(Command::new("install").args(["-m", "755"]).arg(program).arg(path("exim")), b"").succeeded();
        let mut settings = settings.to_owned();
        if let Some((certificate, key)) = tls {
            fs::write(path("cert.pem"), certificate).expect("room");
            fs::write(path("key.pem"), key).expect("room");
            let folder = folder.path().display();
            settings += &format!(
                "\ntls_advertise_hosts = *\ntls_certificate = {folder}/cert.pem\ntls_privatekey = {folder}/key.pem"
            );
        }
        fs::write(path("exim.conf"), configuration(folder.path(), &mailboxes, &settings)).expect("room");

        // It takes over a socket that listens already, so that nobody else can have the port.
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let smtp = listener.local_addr().expect("a TCP socket");
        let output = File::create(path("output")).expect("room");
        let daemon = Command::new(path("exim"))
            .arg("-C")
            .arg(path("exim.conf"))
            .arg("-bw")
            .stdin(OwnedFd::from(listener))
            .stdout(output.try_clone().expect("a file"))
            .stderr(output)
            .process_group(0)
            .spawn()
            .expect("the original has run");
        let exim = Exim { folder, mailboxes, smtp, daemon };
        await_banner(smtp, || exim.log());
        Some(exim)
    }

    /// Where it takes mail for a@, b@ and c@upstream.example, and for nobody else.
    pub fn smtp(&self) -> SocketAddr {
        self.smtp
    }

    /// The messages in a recipient's mailbox, in the order in which they came, once there are so many: each with the fields
    /// that Exim adds, and with LF line ends.
    #[track_caller]
    pub fn delivered(&self, recipient: &str, at_least: usize) -> Vec<Vec<u8>> {
        self.mailboxes.delivered(recipient, at_least, || self.log())
    }

    /// What it has logged, and before that what it had to say where it could not log.
    pub fn log(&self) -> String {
        // Exim makes each file for its first line.
        ["output", "log/panic", "log/main"]
            .map(|file| fs::read_to_string(self.folder.path().join(file)).unwrap_or_default())
            .concat()
    }
}

impl Drop for Exim {
    fn drop(&mut self) {
        // The daemon, and with it the processes that hold a connection or deliver: none must outlive the folder.
        let _ = killpg(Pid::from_raw(self.daemon.id().cast_signed()), Signal::SIGKILL);
        let _ = self.daemon.wait();
    }
}

fn program() -> Option<PathBuf> {
    let unpacked = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/exim/usr/sbin/exim4");
    match env::var_os("TEST_PILLARBOX_EXIM") {
        Some(file) if !file.is_empty() => Some(PathBuf::from(file)),
        _ if unpacked.exists() => Some(unpacked),
        _ => super::program("exim"),
    }
}

fn configuration(folder: &Path, mailboxes: &Mailboxes, settings: &str) -> String {
    let name = |line: &str| line.split('=').next().unwrap_or_default().trim().to_owned();
    let overridden: Vec<String> = settings.lines().map(name).collect();
    let (users, folder, mail) = (USERS.join(" : "), folder.display(), mailboxes.folder.display());
    let (uid, gid) = (mailboxes.owner.uid, mailboxes.owner.gid);
    // Without deliver_drop_privilege it would become root to deliver, and of a connection's messages it delivers no more
    // than ten at once unless told otherwise.
    let main = format!(
        "exim_path = {folder}/exim\nexim_user = {uid}\nexim_group = {gid}\ndeliver_drop_privilege = true\n\
         spool_directory = {folder}/spool\nlog_file_path = {folder}/log/%s\nkeep_environment =\n\
         primary_hostname = exim.example\nacl_smtp_rcpt = recipient\nrfc1413_query_timeout = 0s\n\
         smtp_accept_queue_per_connection = 0\nchunking_advertise_hosts = *\ndsn_advertise_hosts = *\n\
         smtputf8_advertise_hosts = *\ntls_advertise_hosts =\n"
    );
    let main: String =
        main.lines().filter(|line| !overridden.contains(&name(line))).map(|line| format!("{line}\n")).collect();
    format!(
        "{main}{settings}\n\
         begin acl\n\
         recipient:\n  accept domains = {DOMAIN}\n    local_parts = {users}\n  \
         deny message = 550 5.1.1 nobody of that name\n\
         begin routers\n\
         mailbox:\n  driver = accept\n  domains = {DOMAIN}\n  local_parts = {users}\n  transport = maildir\n\
         begin transports\n\
         maildir:\n  driver = appendfile\n  maildir_format\n  directory = {mail}/$local_part_data\n  \
         user = {uid}\n  group = {gid}\n  return_path_add\n  envelope_to_add\n"
    )
}
