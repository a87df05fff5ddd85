//! A Redis of the test's own, with its files in a scratch folder, which has on disk what it has answered for.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use pillarbox::Envelope;
use pillarbox::handlers::RedisStream;

/// How long it may take to start. Only one that does not start gets there.
const PATIENCE: Duration = Duration::from_secs(60);

/// An entry's fields.
pub type Fields = Vec<(Vec<u8>, Vec<u8>)>;

/// It is killed with the value.
pub struct Redis {
    program: PathBuf,
    folder: tempfile::TempDir,
    arguments: Vec<String>,
    process: Child,
}

impl Redis {
    /// At a Unix socket, with these settings in addition; none if there is no Redis.
    pub fn start(settings: &[&str]) -> Option<Redis> {
        let program = super::program("redis-server")?;
        let folder = tempfile::tempdir().expect("a temporary folder");
        let arguments = settings.iter().map(|setting| (*setting).to_owned()).collect();
        let process = spawn(&program, folder.path(), settings);
        let redis = Redis { program, folder, arguments, process };
        redis.await_start();
        Some(redis)
    }

    /// The folder with all of its files.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("redis.sock")
    }

    pub fn id(&self) -> u32 {
        self.process.id()
    }

    pub fn url(&self) -> String {
        format!("redis+unix://{}", self.socket().display())
    }

    pub fn connection(&self) -> redis::Connection {
        redis::Client::open(self.url()).and_then(|client| client.get_connection()).expect("it runs")
    }

    /// Says a command, with a blank between its words.
    pub fn say<T: redis::FromRedisValue>(&self, command: &str) -> T {
        let mut words = command.split(' ');
        let mut command = redis::cmd(words.next().expect("a command"));
        command.arg(words.collect::<Vec<_>>());
        command.query(&mut self.connection()).unwrap_or_else(|e| panic!("{e}"))
    }

    /// The entries of a stream.
    pub fn entries(&self, key: &str) -> Vec<(String, Fields)> {
        redis::cmd("XRANGE").arg(key).arg("-").arg("+").query(&mut self.connection()).expect("a stream")
    }

    /// The messages of a stream.
    pub fn messages(&self, key: &str) -> Vec<Envelope> {
        let read = |(_, fields)| RedisStream::read::<Vec<u8>, Vec<u8>>(fields as Fields).expect("a message");
        self.entries(key).into_iter().map(read).collect()
    }

    /// SIGKILL, and its end.
    pub fn kill(&mut self) {
        self.process.kill().expect("it runs");
        self.process.wait().expect("our own child");
    }

    /// At the same place, with what is on disk.
    pub fn restart(&mut self) {
        let settings: Vec<&str> = self.arguments.iter().map(String::as_str).collect();
        self.process = spawn(&self.program, self.folder.path(), &settings);
        self.await_start();
    }

    /// As [`restart`](Redis::restart), with these settings in addition.
    pub fn restart_with(&mut self, settings: &[&str]) {
        self.arguments.extend(settings.iter().map(|setting| (*setting).to_owned()));
        self.restart();
    }

    /// It hangs, and its connections with it.
    pub fn hang(&self) {
        self.signal(Signal::SIGSTOP);
    }

    pub fn go_on(&self) {
        self.signal(Signal::SIGCONT);
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.process.id().try_into().expect("a process id")), signal).expect("our own child");
    }

    fn await_start(&self) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let ping = || {
                let mut connection = redis::Client::open(self.url())?.get_connection()?;
                redis::cmd("PING").query::<redis::Value>(&mut connection)
            };
            match ping() {
                Ok(_) => return,
                // It is there, and wants a password.
                Err(e) if e.code() == Some("NOAUTH") => return,
                Err(e) if Instant::now() > deadline => {
                    panic!("{e}\n{}", fs::read_to_string(self.folder.path().join("log")).unwrap_or_default())
                }
                Err(_) => thread::yield_now(),
            }
        }
    }
}

fn spawn(program: &Path, folder: &Path, settings: &[&str]) -> Child {
    // One that was killed leaves it.
    let _ = fs::remove_file(folder.join("redis.sock"));
    Command::new(program)
        .args(["--port", "0", "--unixsocket", "redis.sock", "--appendonly", "yes", "--appendfsync", "always"])
        .args(["--save", "", "--logfile", "log", "--dir"])
        .arg(folder)
        .args(settings)
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .expect("redis-server starts")
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
