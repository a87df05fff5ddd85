//! The command's receivers and workers around one Redis: `pillarbox -c RedisStream` and `pillarbox deliver`.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{ChildStderr, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Instant;

use super::client::PATIENCE;
use super::command::Process;
use super::web::Answer;

/// Either of the two. It is killed with the value.
pub struct Member {
    process: Process,
    /// Where it listens; none of a worker.
    endpoint: Option<SocketAddr>,
    metrics: Option<SocketAddr>,
    said: Arc<Mutex<String>>,
}

impl Member {
    /// `pillarbox -n -c RedisStream --redis URL OPTIONS ADDRESS`.
    pub fn receiver(url: &str, options: &[&str], address: &str) -> Member {
        let words = [&["-n", "-c", "RedisStream", "--redis", url], options, &[address]].concat();
        Member::start(super::command::command(&words), words.contains(&"--metrics"))
    }

    /// `pillarbox deliver -n --redis URL OPTIONS`.
    pub fn worker(url: &str, options: &[&str]) -> Member {
        let words = [&["deliver", "-n", "--redis", url], options].concat();
        Member::start(super::command::command(&words), words.contains(&"--metrics"))
    }

    /// Runs it until it says that it is ready.
    pub fn start(mut command: Command, has_metrics: bool) -> Member {
        let mut process = Process::start(command.stdout(Stdio::null()));
        let mut stderr = BufReader::new(process.0.stderr.take().expect("piped"));
        let (mut before, mut endpoint, mut metrics) = (String::new(), None, None);
        let mut is_ready = false;
        while !is_ready || (has_metrics && metrics.is_none()) {
            let mut line = String::new();
            assert!(stderr.read_line(&mut line).expect("text") > 0, "it ended: {before}");
            let text = line.trim_end();
            if let Some(address) = text.strip_prefix("pillarbox: listening on ") {
                endpoint = Some(address.parse().expect("an address"));
                is_ready = true;
            } else if let Some(url) = text.strip_prefix("pillarbox: metrics at http://") {
                metrics = url.strip_suffix("/metrics").map(|address| address.parse().expect("an address"));
            } else {
                is_ready |= text.starts_with("pillarbox: delivering from ");
            }
            before += &line;
        }
        let said = Arc::new(Mutex::new(before));
        let heard = said.clone();
        thread::spawn(move || listen(stderr, &heard));
        Member { process, endpoint, metrics, said }
    }

    pub fn address(&self) -> SocketAddr {
        self.endpoint.expect("it is a receiver")
    }

    /// Where those who watch it ask.
    pub fn metrics(&self) -> SocketAddr {
        self.metrics.expect("--metrics")
    }

    pub fn id(&self) -> u32 {
        self.process.0.id()
    }

    /// What it has said on stderr until now.
    pub fn said(&self) -> String {
        self.said.lock().expect("no panic").clone()
    }

    /// A page of those who watch it.
    pub fn get(&self, target: &str) -> Answer {
        let mut stream = TcpStream::connect(self.metrics()).expect("it listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
        let request = format!("GET {target} HTTP/1.1\r\nHost: metrics.example\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).expect("it reads");
        Answer::read(&mut stream)
    }

    pub fn signal(&self, name: &str) {
        self.process.signal(name);
    }

    /// SIGKILL, and its end.
    pub fn kill(mut self) {
        self.process.0.kill().expect("it runs");
        self.process.0.wait().expect("our own child");
    }

    /// SIGTERM; gives all that it said.
    ///
    /// # Panics
    /// If it does not end well.
    #[track_caller]
    pub fn end(self) -> String {
        self.signal("TERM");
        self.wait()
    }

    /// Waits for its end; gives all that it said.
    ///
    /// # Panics
    /// If it does not end well.
    #[track_caller]
    pub fn wait(mut self) -> String {
        let status = self.process.0.wait().expect("our own child");
        assert!(status.success(), "{status}: {}", self.said());
        self.said()
    }
}

fn listen(mut stderr: BufReader<ChildStderr>, heard: &Mutex<String>) {
    let mut octets = [0; 4096];
    while let Ok(length @ 1..) = stderr.read(&mut octets) {
        heard.lock().expect("no panic").push_str(&String::from_utf8_lossy(&octets[..length]));
    }
}
