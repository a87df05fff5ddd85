//! A NATS server of the test's own, with JetStream on disk in a scratch folder.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::client::PATIENCE;

/// It is killed with the value.
pub struct Nats {
    program: PathBuf,
    folder: tempfile::TempDir,
    process: Child,
    /// HOST:PORT.
    pub address: String,
}

impl Nats {
    /// None if there is no NATS.
    pub fn start() -> Option<Nats> {
        let program = super::program("nats-server")?;
        let folder = tempfile::tempdir().expect("a temporary folder");
        // A free port of its own choice, which it writes into a file.
        let (process, address) = spawn(&program, &folder, "-1");
        Some(Nats { program, folder, process, address })
    }

    /// SIGKILL, and its end.
    pub fn kill(&mut self) {
        self.process.kill().expect("it runs");
        self.process.wait().expect("our own child");
    }

    /// At the same place, with what is on disk.
    pub fn restart(&mut self) {
        let port = self.address.rsplit(':').next().expect("a port");
        self.process = spawn(&self.program, &self.folder, port).0;
    }
}

fn spawn(program: &PathBuf, folder: &tempfile::TempDir, port: &str) -> (Child, String) {
    let ports = folder.path().join("ports");
    let _ = fs::remove_dir_all(&ports);
    fs::create_dir(&ports).expect("room");
    let mut process = Command::new(program)
        .args(["--addr", "127.0.0.1", "--port", port, "--jetstream", "--store_dir"])
        .arg(folder.path().join("store"))
        .arg("--ports_file_dir")
        .arg(&ports)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("nats-server starts");
    let deadline = Instant::now() + PATIENCE;
    loop {
        let said =
            fs::read_dir(&ports).expect("a folder").next().and_then(|file| fs::read_to_string(file.ok()?.path()).ok());
        let address =
            said.as_deref().and_then(|said| Some(said.split_once("nats://")?.1.split_once('"')?.0.to_owned()));
        if let Some(address) = address {
            return (process, address);
        }
        assert!(process.try_wait().expect("our own child").is_none() && Instant::now() < deadline, "{said:?}");
        thread::sleep(Duration::from_millis(1));
    }
}

impl Drop for Nats {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
