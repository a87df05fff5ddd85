//! A Mailman 3 core of a test's own: mailing lists to post to by LMTP, whose posts may go on by SMTP.
//!
//! It is looked for in the folder that `TEST_PILLARBOX_MAILMAN` names, a Python virtual environment; then in `target/mailman`,
//! where .ci/run installs it; then in the PATH.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};
use std::{env, thread};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use socket2::{Domain, Socket, Type};

use crate::support;

/// How long anything of Mailman's may take: a guard against a test that hangs, on which no result depends.
const PATIENCE: Duration = Duration::from_secs(60);

/// A message that Mailman takes for broken: after its data it says `501 Message has defects`, once for all recipients.
/// Its header ends without an empty line.
pub const DEFECTIVE: &str = "From: sender@client.example\r\nSubject: defective\r\nthis is no header field\r\n";

/// A message that Mailman fails at: after its data it says `500 Error: (TypeError) ...`, once for all recipients, and
/// the transaction stays open, so that the next MAIL is refused (503) unless RSET goes before it.
pub const FATAL: &str = "From: sender@client.example\r\nMessage-ID: <\u{fc}@client.example>\r\n\r\nbody\r\n";

/// A running core. It ends, and its files are gone, with the value.
pub struct Mailman {
    /// None once it is told to end.
    commands: Option<ChildStdin>,
    answers: Receiver<String>,
    core: Child,
    port: ReservedPort,
    folder: tempfile::TempDir,
}

impl Mailman {
    /// Starts a core with these lists and their members, or gives none (and says so) where Mailman is not installed.
    ///
    /// The lists take every post from anybody. What they send to their members goes to the server at `outgoing`; without
    /// one it stays in the queue `out`.
    ///
    /// # Panics
    /// With Mailman's logs, if it does not start.
    pub fn start(lists: &[(&str, &[&str])], outgoing: Option<SocketAddr>) -> Option<Mailman> {
        let python = python()?;
        let folder = tempfile::tempdir().expect("a temporary folder");
        let port = ReservedPort::new();
        let configuration = folder.path().join("mailman.cfg");
        fs::write(&configuration, settings(folder.path(), port.address, outgoing)).expect("room");
        let errors = File::create(folder.path().join("stderr")).expect("a new file");
        let mut core = Command::new(python)
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/mailman_core.py"))
            .arg(configuration)
            .args(["lmtp", "in", "pipeline"])
            .args(outgoing.map(|_| "out"))
            // How many seconds its LMTP server may take to start: 5 are too few on a machine that is busy.
            .env("AIOSMTPD_CONTROLLER_TIMEOUT", PATIENCE.as_secs().to_string())
            .env_remove("MAILMAN_EXTRA_TESTING_CFG")
            .current_dir(folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(errors)
            .process_group(0)
            .spawn()
            .expect("a Python that starts");
        let commands = core.stdin.take();
        let answers = lines(core.stdout.take().expect("stdout is piped"));
        let mut mailman = Mailman { commands, answers, core, port, folder };
        for (name, members) in lists {
            mailman.say(&format!("add {name} {}", members.join(" ")));
        }
        mailman.restart();
        Some(mailman)
    }

    /// Where it takes messages by LMTP. Nobody else gets this port, even while Mailman is away.
    pub fn lmtp(&self) -> SocketAddr {
        self.port.address
    }

    /// Makes a list that has no members.
    pub fn add_list(&self, name: &str) {
        self.say(&format!("add {name}"));
    }

    pub fn remove_list(&self, name: &str) {
        self.say(&format!("remove {name}"));
    }

    /// How many messages with `needle`, which is ASCII, wait in the queue: `in`, `pipeline`, `out`, `archive`, `command`,
    /// `bounces`, `virgin`, `shunt`, `bad`...
    ///
    /// Only `in`, `pipeline` and (where there is an outgoing server) `out` are worked on. What is being worked on does not
    /// count.
    pub fn queued(&self, queue: &str, needle: &str) -> usize {
        let files = fs::read_dir(self.folder.path().join("var/queue").join(queue)).expect("Mailman makes its queues");
        files
            .map(|file| file.expect("a readable folder").path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "pck" || extension == "psv"))
            // A runner may have taken it by now.
            .filter_map(|path| fs::read(path).ok())
            .filter(|message| memchr::memmem::find(message, needle.as_bytes()).is_some())
            .count()
    }

    /// Waits until that many wait in the queue.
    ///
    /// # Panics
    /// With Mailman's logs, if they do not come.
    #[track_caller]
    pub fn wait_queued(&self, queue: &str, needle: &str, count: usize) {
        let deadline = Instant::now() + PATIENCE;
        while self.queued(queue, needle) != count {
            let found = self.queued(queue, needle);
            assert!(Instant::now() < deadline, "{found} of {count} in {queue}\n{}", self.logs());
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Kills what listens for LMTP and all else that runs, as a crash would; lists and queues stay.
    pub fn kill(&mut self) {
        self.say("kill");
    }

    /// Comes back after [`kill`](Mailman::kill), on the same port, and is ready.
    pub fn restart(&mut self) {
        self.say("start");
        let deadline = Instant::now() + PATIENCE;
        while !greets(self.lmtp()) {
            assert!(Instant::now() < deadline, "no LMTP server\n{}", self.logs());
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// All that Mailman has logged.
    pub fn logs(&self) -> String {
        let mut logs = String::new();
        let files = fs::read_dir(self.folder.path().join("var/logs")).into_iter().flatten().flatten();
        for path in files.map(|file| file.path()).chain([self.folder.path().join("stderr")]) {
            let text = fs::read(&path).unwrap_or_default();
            let _ = writeln!(logs, "--- {}\n{}", path.display(), String::from_utf8_lossy(&text));
        }
        logs
    }

    fn say(&self, command: &str) {
        let mut commands = self.commands.as_ref().expect("it has not been told to end");
        // If it has ended, there is no answer.
        let _ = writeln!(commands, "{command}");
        match self.answers.recv_timeout(PATIENCE) {
            Ok(answer) if answer == "done" => {}
            other => panic!("{command}: {other:?}\n{}", self.logs()),
        }
    }
}

impl Drop for Mailman {
    fn drop(&mut self) {
        drop(self.commands.take());
        // Its processes hold the other end: when all have ended nobody writes to the folder any more.
        let deadline = Instant::now() + Duration::from_secs(10);
        let ended = loop {
            match self.answers.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(_) => {}
                Err(e) => break e == RecvTimeoutError::Disconnected,
            }
        };
        if !ended {
            let _ = killpg(Pid::from_raw(self.core.id().cast_signed()), Signal::SIGKILL);
            while self.answers.recv().is_ok() {}
        }
        let _ = self.core.wait();
    }
}

/// The Python that has Mailman, beside the program.
fn python() -> Option<PathBuf> {
    let folder = env::var_os("TEST_PILLARBOX_MAILMAN").map(PathBuf::from);
    let folder = folder.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("target/mailman"));
    let installed = folder.join("bin/mailman");
    let program = if installed.exists() { installed } else { support::program("mailman")? };
    Some(program.with_file_name("python3"))
}

fn settings(folder: &Path, lmtp: SocketAddr, outgoing: Option<SocketAddr>) -> String {
    let folder = folder.display();
    let mut settings = format!(
        "[mailman]\nlayout: scratch\nsite_owner: site@mailman.example\n\
         [paths.scratch]\nvar_dir: {folder}/var\n\
         [database]\nurl: sqlite:///{folder}/mailman.db\n\
         [mta]\nincoming: mailman.mta.null.NullMTA\nlmtp_host: {}\nlmtp_port: {}\n",
        lmtp.ip(),
        lmtp.port()
    );
    if let Some(outgoing) = outgoing {
        let _ = writeln!(settings, "smtp_host: {}\nsmtp_port: {}", outgoing.ip(), outgoing.port());
    }
    // A post goes through all three, and each looks but once a second by default.
    for runner in ["in", "pipeline", "out"] {
        let _ = writeln!(settings, "[runner.{runner}]\nsleep_time: 0.02s");
    }
    settings
}

/// Whether an LMTP server answers there; false if nobody listens yet.
fn greets(server: SocketAddr) -> bool {
    let Ok(mut stream) = TcpStream::connect(server) else { return false };
    stream.set_read_timeout(Some(PATIENCE)).expect("a TCP socket");
    let mut code = [0; 4];
    stream.read_exact(&mut code).is_ok() && code == *b"220 "
}

/// Reads lines until the other end is closed, which the receiver then is too.
fn lines(from: impl Read + Send + 'static) -> Receiver<String> {
    let (line, lines) = mpsc::channel();
    thread::spawn(move || {
        for text in BufReader::new(from).lines().map_while(Result::ok) {
            // Whoever listens wants to know of the end.
            let _ = line.send(text);
        }
    });
    lines
}

/// A port that the system gives to nobody else, but that another program may listen on if it asks for it by number: the
/// socket is bound, with SO_REUSEADDR as most servers set it, and does not listen.
struct ReservedPort {
    address: SocketAddr,
    _socket: Socket,
}

impl ReservedPort {
    fn new() -> ReservedPort {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        socket.set_reuse_address(true).expect("a TCP socket");
        socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).expect("a free port");
        let address = socket.local_addr().ok().and_then(|address| address.as_socket()).expect("it is bound");
        ReservedPort { address, _socket: socket }
    }
}
