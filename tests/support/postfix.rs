//! A running Postfix: a client that hands mail on to a server of ours, and a server that takes mail for `upstream.example`.
//!
//! It runs as an instance of its own, with its files in a scratch folder, and needs root for that. It asks no DNS.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::{Pid, User};
use socket2::{Domain, Socket, Type};

use super::upstream::{DOMAIN, Mailboxes, USERS, await_banner, folder_of, scratch};

/// It is stopped with the value.
pub struct Postfix {
    folder: tempfile::TempDir,
    mailboxes: Mailboxes,
    smtp: SocketAddr,
    /// Bound but not listening, so that nobody else is given the port, and Postfix can still have it.
    _reserved: Socket,
}

impl Postfix {
    /// Starts it with these lines of main.cf in addition: a line there overrides one of its name here, as in
    /// `default_transport = smtp:[127.0.0.1]:2525` for mail that is to leave, which else is thrown away.
    ///
    /// None if there is no Postfix, or no right to start one.
    pub fn start(settings: &str) -> Option<Postfix> {
        Postfix::launch(settings, None)
    }

    /// As [`start`](Postfix::start), with STARTTLS offered for this certificate and key, in PEM.
    pub fn start_with_tls(certificate: &str, key: &str, settings: &str) -> Option<Postfix> {
        Postfix::launch(settings, Some((certificate, key)))
    }

    fn launch(settings: &str, tls: Option<(&str, &str)>) -> Option<Postfix> {
        super::program("postfix")?;
        if !nix::unistd::geteuid().is_root() {
            super::missing("Postfix can be started by root only");
            return None;
        }
        let folder = scratch();
        let mailboxes = Mailboxes::create(folder.path());
        let reserved = reserve();
        let smtp = reserved.local_addr().ok().and_then(|address| address.as_socket()).expect("a TCP socket");
        let postfix = Postfix { folder, mailboxes, smtp, _reserved: reserved };
        for folder in ["conf", "queue"] {
            fs::create_dir(postfix.path(folder)).expect("a new folder");
        }
        folder_of(&postfix.path("data"), &User::from_name("postfix").ok().flatten().expect("Postfix has a user"));
        let mut main = postfix.main();
        if let Some((certificate, key)) = tls {
            let folder = postfix.folder.path().display();
            fs::write(postfix.path("cert.pem"), certificate).expect("room");
            fs::write(postfix.path("key.pem"), key).expect("room");
            main += &format!(
                "smtpd_tls_security_level = may\nsmtpd_tls_cert_file = {folder}/cert.pem\n\
                 smtpd_tls_key_file = {folder}/key.pem\n"
            );
        }
        postfix.configure("main.cf", last_of_each_name(&(main + settings)));
        postfix.configure("master.cf", postfix.master());
        postfix.control("start");
        await_banner(smtp, || postfix.log());
        Some(postfix)
    }

    fn main(&self) -> String {
        let folder = self.folder.path().display();
        let (mail, owner) = (self.mailboxes.folder.display(), &self.mailboxes.owner);
        let users = USERS.map(|user| format!("{user}@{DOMAIN}={user}/")).join(", ");
        format!(
            "compatibility_level = 3.6\nqueue_directory = {folder}/queue\ndata_directory = {folder}/data\n\
             command_directory = /usr/sbin\ndaemon_directory = /usr/lib/postfix/sbin\nmail_owner = postfix\n\
             setgid_group = postdrop\nmyhostname = postfix.example\nmydestination =\nalias_maps =\n\
             inet_interfaces = 127.0.0.1\ninet_protocols = ipv4\nmaillog_file_prefixes = {folder}\n\
             maillog_file = {folder}/log\nsmtputf8_enable = yes\nrelayhost =\ndefault_transport = discard\n\
             mynetworks =\nsmtpd_relay_restrictions = reject_unauth_destination\nsmtpd_peername_lookup = no\n\
             virtual_mailbox_domains = {DOMAIN}\nvirtual_mailbox_base = {mail}\n\
             virtual_mailbox_maps = inline:{{{users}}}\nvirtual_uid_maps = static:{}\nvirtual_gid_maps = static:{}\n",
            owner.uid, owner.gid
        )
    }

    /// The services that Debian's Postfix has, but smtpd at a port of its own, and none in a chroot.
    fn master(&self) -> String {
        let services = fs::read_to_string("/usr/share/postfix/master.cf.dist").expect("it comes with Postfix");
        let services =
            services.lines().filter(|line| !line.starts_with('#') && !line.starts_with("smtp      inet")).map(|line| {
                let mut words: Vec<&str> = line.split_whitespace().collect();
                if let [_, "unix" | "fifo", _, _, chroot, ..] = &mut words[..] {
                    *chroot = "n";
                }
                let indent = if line.starts_with(' ') { "  " } else { "" };
                format!("{indent}{}\n", words.join(" "))
            });
        [format!("{} inet n - n - - smtpd\n", self.smtp)].into_iter().chain(services).collect()
    }

    fn configure(&self, file: &str, text: String) {
        let path = self.path("conf").join(file);
        fs::write(&path, text).expect("room");
        // Postfix waits until a file that has just been written is older than a second.
        let file = fs::File::options().append(true).open(&path).expect("our own file");
        file.set_modified(SystemTime::now() - Duration::from_secs(60)).expect("our own file");
    }

    fn path(&self, file: &str) -> PathBuf {
        self.folder.path().join(file)
    }

    fn control(&self, what: &str) {
        let program = super::program("postfix").expect("it was there");
        super::run(Command::new(program).arg("-c").arg(self.path("conf")).arg(what), b"").succeeded();
    }

    /// Where it takes mail for a@, b@ and c@upstream.example, and for nobody else.
    pub fn smtp(&self) -> SocketAddr {
        self.smtp
    }

    /// Hands a message to it, as a program on its machine does.
    pub fn send(&self, arguments: &[&str], recipients: &[&str], message: &str) {
        let mut command = Command::new(Path::new("/usr/sbin/sendmail"));
        command.arg("-C").arg(self.path("conf")).args(["-f", "sender@example.org"]).args(arguments).args(recipients);
        super::run(&mut command, message.as_bytes()).succeeded();
    }

    /// The messages in a recipient's mailbox, in the order in which they came, once there are so many: each with the fields
    /// that Postfix adds, and with LF line ends.
    #[track_caller]
    pub fn delivered(&self, recipient: &str, at_least: usize) -> Vec<Vec<u8>> {
        self.mailboxes.delivered(recipient, at_least, || self.log())
    }

    /// Sends a signal to all of its processes.
    pub fn signal(&self, signal: Signal) {
        let id = fs::read_to_string(self.path("queue/pid/master.pid")).expect("it runs");
        let id = Pid::from_raw(id.trim().parse().expect("a process id"));
        killpg(id, signal).expect("it leads a group");
    }

    /// Waits until the log says what became of a recipient's copy.
    #[track_caller]
    pub fn await_status(&self, recipient: &str, status: &str) {
        let (to, status) = (format!("to=<{recipient}>"), format!("status={status}"));
        self.await_log(|log| log.lines().any(|line| line.contains(&to) && line.contains(&status)));
    }

    /// Waits until the log is as it should be, which another process writes in its own time.
    #[track_caller]
    pub fn await_log(&self, is_as_meant: impl Fn(&str) -> bool) {
        let deadline = Instant::now() + Duration::from_secs(120);
        loop {
            let log = self.log();
            if is_as_meant(&log) {
                return;
            }
            assert!(Instant::now() < deadline, "{log}");
            thread::yield_now();
        }
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }
}

impl Drop for Postfix {
    fn drop(&mut self) {
        // "abort", since "stop" waits for deliveries; its daemons must not outlive the folder.
        let program = super::program("postfix").expect("it was there");
        let _ = Command::new(program).arg("-c").arg(self.path("conf")).arg("abort").output();
    }
}

/// Without the lines that a later one overrides. Each of Postfix's processes would warn of them, its logger too, which reads what
/// it is sent only then: enough of them at a time, and it waits for itself.
fn last_of_each_name(settings: &str) -> String {
    let name = |line: &str| line.split('=').next().map(|name| name.trim().to_owned());
    let lines: Vec<&str> = settings.lines().filter(|line| !line.trim().is_empty()).collect();
    let is_last = |at: usize| lines[at + 1..].iter().all(|later| name(later) != name(lines[at]));
    (0..lines.len()).filter(|at| is_last(*at)).map(|at| format!("{}\n", lines[at])).collect()
}

/// A port that nobody is given any more, and that a socket with SO_REUSEADDR may listen at as long as this one does not.
fn reserve() -> Socket {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.set_reuse_address(true).expect("a socket");
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).expect("a free port");
    socket
}
