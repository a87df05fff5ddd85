//! HAProxy with a configuration of the documentation.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Instant;

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
        let folder = tempfile::tempdir().expect("a temporary folder");
        let global = format!("global\n stats socket {}\n", folder.path().join("stats").display());
        let replaced = |config: String, theirs: &str, ours: SocketAddr| {
            let ends = [format!(" {theirs}\n"), format!(" {theirs} ")];
            let [line, word] = ends.each_ref().map(|end| config.matches(end).count());
            assert_eq!(line + word, 1, "{theirs}");
            config.replace(&ends[0], &format!(" {ours}\n")).replace(&ends[1], &format!(" {ours} "))
        };
        // It takes no port 0: one that was free a moment ago has to do, and another if somebody was faster.
        for _ in 0..20 {
            let address = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port");
            let config =
                servers.iter().fold(replaced(documented.to_owned(), bind, address), |config, (theirs, ours)| {
                    replaced(config, theirs, *ours)
                });
            let mut process = Command::new(program)
                .args(["-db", "-f", "/dev/stdin"])
                .stdin(Stdio::piped())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .expect("haproxy starts");
            process.stdin.take().expect("piped").write_all((global.clone() + &config).as_bytes()).expect("it reads");
            let deadline = Instant::now() + PATIENCE;
            while process.try_wait().expect("our own child").is_none() && Instant::now() < deadline {
                // Not at its address, where somebody else may listen who was faster.
                if UnixStream::connect(folder.path().join("stats")).is_ok() {
                    return HaProxy { process, address, folder };
                }
                thread::yield_now();
            }
            let _ = process.kill();
            let _ = process.wait();
        }
        panic!("haproxy does not start");
    }

    /// Whether it sends clients to a server, and what came of the last health check: `UP` and `L7OK`.
    pub fn is(&self, server: &str, status: &str, check: &str) -> bool {
        self.value(server, "status") == status && self.value(server, "check_status") == check
    }

    /// What its table says of a server.
    pub fn value(&self, server: &str, column: &str) -> String {
        let mut stats = UnixStream::connect(self.folder.path().join("stats")).expect("haproxy runs");
        stats.write_all(b"show stat\n").expect("haproxy reads");
        let mut table = String::new();
        stats.read_to_string(&mut table).expect("text");
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
