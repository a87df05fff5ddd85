//! The command, and what it holds of the machine.

use std::fmt::{self, Display, Formatter};
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

pub struct Server {
    process: Child,
    pub address: SocketAddr,
}

impl Server {
    pub fn start(maildir: &Path) -> Server {
        Server::start_at(maildir, SocketAddr::from(([127, 0, 0, 1], 0)))
    }

    pub fn start_at(maildir: &Path, at: SocketAddr) -> Server {
        let mut process = Command::new(env!("CARGO_BIN_EXE_pillarbox"))
            .args(["-n", "-c", "Maildir", "--timeout", "20", "--maildir"])
            .arg(maildir)
            .arg(at.to_string())
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the command was built");
        let mut lines = BufReader::new(process.stderr.take().expect("piped")).lines();
        let line = lines.next().expect("a line").expect("text");
        let address = line.strip_prefix("pillarbox: listening on ").unwrap_or_else(|| panic!("{line}"));
        let address = address.parse().expect("an address");
        // Read on, so that it can write on; what it says would be about the faults.
        thread::spawn(move || lines.for_each(drop));
        Server { process, address }
    }

    /// SIGKILL.
    pub fn kill(mut self) {
        self.process.kill().expect("it runs");
        self.process.wait().expect("our own child");
    }

    /// SIGTERM: it lets messages in progress finish.
    pub fn end(mut self) {
        kill(Pid::from_raw(self.process.id() as i32), Signal::SIGTERM).expect("it was not waited for yet");
        let status = self.process.wait().expect("our own child");
        assert!(status.success(), "the server ended with {status}");
    }

    pub fn resources(&self) -> Resources {
        let folder = format!("/proc/{}", self.process.id());
        let status = fs::read_to_string(format!("{folder}/status")).unwrap_or_default();
        let field = |name: &str| {
            let value = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
            value.split_whitespace().next().and_then(|n| n.parse().ok()).unwrap_or(0)
        };
        let descriptors = fs::read_dir(format!("{folder}/fd")).map_or(0, |entries| entries.count() as u64);
        Resources { resident_kib: field("VmRSS:"), threads: field("Threads:"), descriptors }
    }

    /// What it holds once all clients have gone, and its idle threads after them.
    pub fn cooled(&self, fresh: &Resources) -> Resources {
        let deadline = Instant::now() + Duration::from_secs(40);
        loop {
            let now = self.resources();
            if now.has_no_more(fresh) || Instant::now() > deadline {
                // It still serves.
                TcpStream::connect(self.address).expect("the server listens");
                return now;
            }
            thread::sleep(Duration::from_millis(100));
        }
    }
}

/// Zeros where the system does not tell.
pub struct Resources {
    resident_kib: u64,
    threads: u64,
    descriptors: u64,
}

impl Resources {
    /// Whether nothing is left of what connections needed.
    pub fn has_no_more(&self, fresh: &Resources) -> bool {
        self.threads <= fresh.threads && self.descriptors <= fresh.descriptors
    }

    /// Whether memory has not grown since this, by more than an allocator may keep.
    pub fn has_not_grown(&self, load: &Resources) -> bool {
        self.resident_kib <= load.resident_kib + load.resident_kib / 4 + 16 * 1024
    }
}

impl Display for Resources {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} KiB, {} threads, {} descriptors", self.resident_kib, self.threads, self.descriptors)
    }
}
