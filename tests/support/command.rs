//! The `pillarbox` command as a process of a test.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

#[cfg(unix)]
use nix::sys::signal::{Signal, kill};
#[cfg(unix)]
use nix::unistd::Pid;

/// The command with its outputs piped, not started yet.
pub fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pillarbox"));
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).env_remove("RUST_LOG");
    without_options(&mut command);
    command
}

/// Hides options of the command that are set where the tests run. Those that were set for it stay.
pub fn without_options(command: &mut Command) -> &mut Command {
    let own: Vec<_> = command.get_envs().map(|(name, _)| name.to_owned()).collect();
    let tests = std::env::vars_os().map(|(name, _)| name).filter(|name| !own.contains(name));
    for name in tests.filter(|name| name.as_encoded_bytes().starts_with(b"PILLARBOX_")) {
        command.env_remove(name);
    }
    command
}

/// How long a process may run: who reads what one says shall not wait for ever for what it does not say.
const LIFETIME: Duration = Duration::from_secs(300);

/// A process; it is killed with the value.
pub struct Process(pub Child, Watch);

/// Kills a process after its [`LIFETIME`], unless this goes before.
struct Watch(mpsc::Sender<()>);

impl Watch {
    fn start(process: u32) -> Watch {
        let (sender, end) = mpsc::channel();
        thread::spawn(move || {
            if end.recv_timeout(LIFETIME) == Err(RecvTimeoutError::Timeout) {
                eprintln!("process {process} is killed: it has run for {LIFETIME:?}");
                #[cfg(unix)]
                signal(process, "KILL");
            }
        });
        Watch(sender)
    }
}

#[cfg(unix)]
fn signal(process: u32, name: &str) {
    let signal: Signal = format!("SIG{name}").parse().expect("the name of a signal");
    kill(Pid::from_raw(process as i32), signal).expect("the process was not waited for yet");
}

impl Process {
    pub fn start(command: &mut Command) -> Process {
        Process::of(without_options(command).spawn().expect("the command was built"))
    }

    pub fn of(child: Child) -> Process {
        let watch = Watch::start(child.id());
        Process(child, watch)
    }

    #[cfg(unix)]
    pub fn signal(&self, name: &str) {
        signal(self.0.id(), name);
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A server that is ready.
pub struct Running {
    pub process: Process,
    /// What it said on stderr before it was ready.
    pub before: String,
    pub endpoint: String,
    pub stdout: BufReader<Box<dyn Read + Send>>,
    pub stderr: BufReader<ChildStderr>,
}

impl Running {
    pub fn start(arguments: &[&str]) -> Running {
        let server = Running::start_command(command(arguments));
        assert_eq!(server.before, "");
        server
    }

    pub fn start_command(mut command: Command) -> Running {
        let mut process = Process::start(&mut command);
        let stdout: Box<dyn Read + Send> = match process.0.stdout.take() {
            Some(out) => Box::new(out),
            // It was not piped.
            None => Box::new(std::io::empty()),
        };
        let mut stderr = BufReader::new(process.0.stderr.take().expect("piped"));
        let mut before = String::new();
        let endpoint = loop {
            let mut line = String::new();
            assert!(stderr.read_line(&mut line).expect("text") > 0, "it ended: {before}");
            match line.trim_end().strip_prefix("pillarbox: listening on ") {
                Some(endpoint) => break endpoint.to_owned(),
                None => before += &line,
            }
        };
        Running { process, before, endpoint, stdout: BufReader::new(stdout), stderr }
    }

    pub fn address(&self) -> SocketAddr {
        self.endpoint.parse().expect("an address")
    }

    #[cfg(unix)]
    pub fn signal(&self, name: &str) {
        self.process.signal(name);
    }

    /// Waits for its end, and gives all that it still printed.
    pub fn finish(mut self) -> (ExitStatus, String, String) {
        let (mut out, mut err) = (String::new(), String::new());
        self.stdout.read_to_string(&mut out).expect("text");
        self.stderr.read_to_string(&mut err).expect("text");
        (self.process.0.wait().expect("a child"), out, err)
    }

    /// The next message that DebuggingServer prints.
    pub fn printed(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        while lines.last().is_none_or(|line| line != "------------ END MESSAGE ------------") {
            let mut line = String::new();
            assert!(self.stdout.read_line(&mut line).expect("text") > 0, "{lines:?}");
            lines.push(line.trim_end_matches('\n').to_owned());
        }
        lines
    }
}
