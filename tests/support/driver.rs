//! ChromeDriver as a process, with whatever it starts and writes: nothing of it is left over, however the tests end.

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use serde_json::Value;

use super::web::Answer;

/// How long an answer may take. Only what does not happen gets there.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A shell's commands: they make a folder and print its name, read the id of a process group, and wait for the end of their
/// input, which comes when the tests have ended, even if they were killed. Then they kill the group and remove the folder.
const CLEAN_UP: &str = "folder=$(mktemp -d) || exit; echo \"$folder\"; group=; while read -r line; do group=$line; done; \
    [ -z \"$group\" ] || kill -s KILL -- \"-$group\"; \
    for _ in 1 2 3 4 5 6 7 8 9; do rm -rf \"$folder\" && break; sleep 0.1; done";

/// A shell's commands: they become ChromeDriver once they are told to. Without a line they end.
const START: &str = "read -r _ && exec \"$@\" 2>&1";

/// How often it is started, as it may end at its start where much else is started.
const ATTEMPTS: usize = 3;

pub struct Driver {
    /// None once it has ended.
    process: Option<Child>,
    address: SocketAddr,
    /// All that it and Chromium write is within.
    folder: Folder,
}

/// A folder that a process outside the tests removes.
struct Folder {
    path: PathBuf,
    cleaner: Child,
}

impl Driver {
    /// Starts it at any free port, and waits until it listens.
    pub fn start(program: &Path) -> Driver {
        let mut printed = String::new();
        for _ in 0..ATTEMPTS {
            match Driver::attempt(program) {
                Ok(driver) => return driver,
                Err(words) => printed += &words,
            }
        }
        panic!("ChromeDriver does not say where it listens, but\n{printed}");
    }

    /// Or what it printed before it ended.
    fn attempt(program: &Path) -> Result<Driver, String> {
        let mut folder = Folder::make();
        let mut command = Command::new("sh");
        command.args(["-c", START, "sh"]).arg(program).arg("--port=0");
        command.env("HOME", &folder.path).env("TMPDIR", &folder.path).process_group(0);
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("a shell");
        let mut stdin = process.stdin.take().expect("piped");
        let stdout = BufReader::new(process.stdout.take().expect("piped"));
        folder.kill_first(process.id());
        // Killed with the value, also if it never says its port.
        let mut driver = Driver { process: Some(process), address: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), folder };
        stdin.write_all(b"start\n").expect("a shell that reads");
        let mut printed = String::new();
        let mut lines = stdout.lines().map_while(Result::ok);
        for line in lines.by_ref() {
            printed = printed + &line + "\n";
            if let Some((_, port)) = line.split_once("successfully on port ") {
                driver.address.set_port(port.trim_end_matches('.').parse().expect("a port"));
                // It must be able to write on.
                thread::spawn(move || lines.for_each(drop));
                return Ok(driver);
            }
        }
        Err(format!("{printed}and ended: {:?}\n", driver.end()))
    }

    pub fn folder(&self) -> &Path {
        &self.folder.path
    }

    /// What it answers to a command, or what it says is wrong.
    pub fn ask(&self, method: &str, path: &str, body: &Value) -> Result<Value, String> {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let fields = format!("Host: {}\r\nContent-Length: {}\r\n", self.address, body.len());
        let answer = self.answer(&format!("{method} {path} HTTP/1.1\r\n{fields}\r\n{body}"));
        let answer = answer.map_err(|e| format!("no answer: {e}"))?;
        let value: Value = serde_json::from_slice(&answer.body).map_err(|e| format!("no JSON: {e}"))?;
        match answer.status {
            200 => Ok(value["value"].clone()),
            _ => Err(format!("{}: {}", value["value"]["error"], value["value"]["message"])),
        }
    }

    fn answer(&self, request: &str) -> std::io::Result<Answer> {
        let mut stream = TcpStream::connect(self.address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(request.as_bytes())?;
        Answer::receive(stream)
    }

    /// Kills it, and whatever it has started and not ended yet, which is of its group.
    fn end(&mut self) -> Option<ExitStatus> {
        let mut process = self.process.take()?;
        if let Ok(id) = i32::try_from(process.id()) {
            let _ = killpg(Pid::from_raw(id), Signal::SIGKILL);
        }
        // Before it is waited for: until then nothing else gets the id that the cleaner knows.
        self.folder.remove();
        process.wait().ok()
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.end();
    }
}

impl Folder {
    fn make() -> Folder {
        // Of a group of its own: what ends the tests from a terminal does not end it.
        let mut command = Command::new("sh");
        command.args(["-c", CLEAN_UP]).process_group(0);
        let cleaner = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
        let mut folder = Folder { path: PathBuf::new(), cleaner: cleaner.expect("a shell") };
        let mut line = String::new();
        let stdout = folder.cleaner.stdout.take().expect("piped");
        BufReader::new(stdout).read_line(&mut line).expect("text");
        assert!(!line.is_empty(), "no temporary folder can be made");
        folder.path = line.trim_end_matches('\n').into();
        folder
    }

    /// Has a process group killed before the folder is removed.
    fn kill_first(&mut self, group: u32) {
        let stdin = self.cleaner.stdin.as_mut().expect("piped");
        stdin.write_all(format!("{group}\n").as_bytes()).expect("a shell that reads");
    }

    fn remove(&mut self) {
        drop(self.cleaner.stdin.take());
        let _ = self.cleaner.wait();
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        self.remove();
    }
}
