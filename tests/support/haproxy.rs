//! HAProxy, with a configuration of the documentation or of a test.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::client::PATIENCE;

/// It is killed with the value.
pub struct HaProxy {
    process: Child,
    pub address: SocketAddr,
    folder: tempfile::TempDir,
}

impl HaProxy {
    /// With an address of its own in the place of `bind`, and each of the servers at its place in the configuration.
    pub fn start(program: &Path, documented: &str, bind: &str, servers: &[(&str, SocketAddr)]) -> HaProxy {
        let replaced = |config: String, theirs: &str, ours: SocketAddr| {
            let ends = [format!(" {theirs}\n"), format!(" {theirs} ")];
            let [line, word] = ends.each_ref().map(|end| config.matches(end).count());
            assert_eq!(line + word, 1, "{theirs}");
            config.replace(&ends[0], &format!(" {ours}\n")).replace(&ends[1], &format!(" {ours} "))
        };
        let (proxy, _) = HaProxy::start_at(program, |[address]| {
            let config = replaced(documented.to_owned(), bind, address);
            servers.iter().fold(config, |config, (theirs, ours)| replaced(config, theirs, *ours))
        });
        proxy
    }

    /// With the configuration for so many addresses of its own.
    pub fn start_at<const N: usize>(
        program: &Path,
        config: impl Fn([SocketAddr; N]) -> String,
    ) -> (HaProxy, [SocketAddr; N]) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let stats = folder.path().join("stats");
        // It takes no port 0: those that were free a moment ago have to do, and others if somebody was faster.
        for _ in 0..20 {
            let free = [(); N].map(|()| TcpListener::bind("127.0.0.1:0").expect("a free port"));
            let addresses = free.each_ref().map(|listener| listener.local_addr().expect("a TCP socket"));
            drop(free);
            let config = format!("global\n stats socket {}\n{}", stats.display(), config(addresses));
            let mut process = Command::new(program)
                .args(["-db", "-f", "/dev/stdin"])
                .stdin(Stdio::piped())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .expect("haproxy starts");
            process.stdin.take().expect("piped").write_all(config.as_bytes()).expect("it reads");
            let deadline = Instant::now() + PATIENCE;
            while process.try_wait().expect("our own child").is_none() && Instant::now() < deadline {
                // Not at its address, where somebody else may listen who was faster; and it answers once it listens everywhere.
                if ask(&stats, "show info").is_ok_and(|answer| !answer.is_empty()) {
                    return (HaProxy { process, address: addresses[0], folder }, addresses);
                }
                thread::sleep(Duration::from_millis(1));
            }
            let _ = process.kill();
            let _ = process.wait();
        }
        panic!("haproxy does not start");
    }

    /// Whether it sends clients to a server, and what came of the last health check: `UP` and `L7OK`.
    pub fn is(&self, server: &str, status: &str, check: &str) -> bool {
        // A star says that another check is under way.
        self.value(server, "status") == status && self.value(server, "check_status").trim_start_matches("* ") == check
    }

    /// What its table says of a server.
    pub fn value(&self, server: &str, column: &str) -> String {
        let table = ask(&self.folder.path().join("stats"), "show stat").expect("haproxy runs");
        let mut rows = table.lines().map(|line| line.trim_start_matches("# ").split(',').collect::<Vec<_>>());
        let names = rows.next().expect("a head");
        let row = rows.find(|row| row.get(1) == Some(&server)).expect("the server");
        row[names.iter().position(|name| *name == column).expect("a column")].to_owned()
    }
}

impl Drop for HaProxy {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// What it answers at its socket for such questions.
fn ask(socket: &Path, question: &str) -> io::Result<String> {
    let mut stream = UnixStream::connect(socket)?;
    writeln!(stream, "{question}")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}
