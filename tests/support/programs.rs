//! What tests with programs of others share: finding a program, running it under a deadline, and comparing what arrived.

use std::env;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use super::missing;

/// How long a program may take. Only a program that hangs gets there: the slowest test takes seconds.
const DEADLINE: Duration = Duration::from_secs(120);

/// Where the program is, or none if its tests are to be skipped.
///
/// # Panics
/// If it is missing and the environment asks for every program.
pub fn program(name: &str) -> Option<PathBuf> {
    let found = find(name);
    if found.is_none() {
        missing(&format!("{name} is not installed"));
    }
    found
}

/// Where a program is that tests can do without.
pub fn find(name: &str) -> Option<PathBuf> {
    // Postfix puts its tools where only root's PATH leads.
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = env::split_paths(&path).chain(["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from));
    folders.map(|folder| folder.join(name)).find(|file| is_executable(file))
}

/// A program of the examples, if cargo has built them.
pub fn example(name: &str) -> Option<Command> {
    let test = std::env::current_exe().expect("a test has a file");
    let program = test.parent()?.parent()?.join("examples").join(name);
    if !program.exists() {
        // Cargo builds them when it runs all tests.
        missing(&format!("the example {name} is not built"));
        return None;
    }
    Some(Command::new(program))
}

/// Starts an example that is a server, which says where it listens.
pub fn serve(mut example: Command) -> (Child, SocketAddr) {
    let mut process = example.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().expect("the example runs");
    let mut stderr = BufReader::new(process.stderr.take().expect("piped"));
    let mut line = String::new();
    stderr.read_line(&mut line).expect("text");
    let address = line.trim_end().strip_prefix("listening on ").unwrap_or_else(|| panic!("{line}"));
    let address = address.parse().expect("an address");
    // It may say more, which nobody reads, and must not wait for that.
    thread::spawn(move || std::io::copy(&mut stderr, &mut std::io::sink()));
    (process, address)
}

fn is_executable(file: &Path) -> bool {
    file.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

/// Whether this machine can connect to itself over IPv6; says so if not.
///
/// # Panics
/// As [`missing`].
pub fn has_ipv6() -> bool {
    match TcpListener::bind("[::1]:0") {
        Ok(_) => true,
        Err(e) => {
            missing(&format!("this machine has no IPv6: {e}"));
            false
        }
    }
}

/// A program that ended.
pub struct Finished {
    what: String,
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
}

impl Finished {
    /// # Panics
    /// If it failed, with all that it said.
    #[track_caller]
    pub fn succeeded(self) -> Finished {
        assert!(self.status.success(), "{self}");
        self
    }

    /// # Panics
    /// If it ended with another exit code.
    #[track_caller]
    pub fn exited(self, code: i32) -> Finished {
        assert_eq!(self.status.code(), Some(code), "{self}");
        self
    }
}

impl std::fmt::Display for Finished {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Finished { what, status, stdout, stderr } = self;
        write!(f, "{what}\n{status}\n--- its output\n{stdout}\n--- its errors\n{stderr}")
    }
}

/// Runs a program to its end with `input` on its standard input.
///
/// # Panics
/// If it cannot be started, or has not ended within the deadline; then it is killed.
#[track_caller]
pub fn run(command: &mut Command, input: &[u8]) -> Finished {
    let what = shortened(command);
    // Addresses with umlauts are given as arguments, and programs read those by the locale.
    command.env("LC_ALL", "C.UTF-8").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = Killed(command.spawn().unwrap_or_else(|e| panic!("{what}: {e}")));

    let mut stdin = child.0.stdin.take().expect("stdin is piped");
    let input = input.to_vec();
    // A program that ends without reading its input breaks the pipe, and its exit code tells why.
    thread::spawn(move || stdin.write_all(&input));

    let stdout = reader(child.0.stdout.take().expect("stdout is piped"));
    let stderr = reader(child.0.stderr.take().expect("stderr is piped"));
    let deadline = Instant::now() + DEADLINE;
    let text = |output: mpsc::Receiver<Vec<u8>>| match output.recv_timeout(deadline - Instant::now()) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(_) => panic!("{what}: not done after {DEADLINE:?}"),
    };
    let (stdout, stderr) = (text(stdout), text(stderr));
    // Both outputs are closed: it has ended, or is about to.
    let status = child.0.wait().unwrap_or_else(|e| panic!("{what}: {e}"));
    Finished { what, status, stdout, stderr }
}

/// Kills the program if it is still there when the test leaves it, by a panic too.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Reads all, and hands it over at the end.
fn reader(mut from: impl Read + Send + 'static) -> mpsc::Receiver<Vec<u8>> {
    let (done, output) = mpsc::sync_channel(1);
    thread::spawn(move || {
        let mut all = Vec::new();
        let _ = from.read_to_end(&mut all);
        let _ = done.send(all);
    });
    output
}

/// The command line for messages, without the end of arguments that are whole scripts or a hundred addresses.
fn shortened(command: &Command) -> String {
    let mut line = command.get_program().to_string_lossy().into_owned();
    for arg in command.get_args() {
        line += " ";
        line.extend(arg.to_string_lossy().chars().take(80));
    }
    line
}

/// # Panics
/// If the two differ, showing where: the whole of 30 MiB helps nobody.
#[track_caller]
pub fn assert_same_bytes(got: &[u8], expected: &[u8]) {
    if got == expected {
        return;
    }
    let at = got.iter().zip(expected).take_while(|(a, b)| a == b).count();
    let from = at.saturating_sub(60);
    let near = |bytes: &[u8]| bytes[from.min(bytes.len())..(at + 60).min(bytes.len())].escape_ascii().to_string();
    panic!(
        "{} bytes came, {} were expected; from byte {at} on they differ\n     got: {}\nexpected: {}",
        got.len(),
        expected.len(),
        near(got),
        near(expected)
    );
}
