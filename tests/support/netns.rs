//! Two hosts on one machine: network namespaces with a cable between them, as two containers have.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use super::client::PATIENCE;
use super::{missing, program};

/// Where the server runs, and what it is called by the other host.
pub const SERVER: &str = "192.0.2.1";
pub const SERVER_NAME: &str = "inbox";

/// A server's host and a client's. They are gone with the value.
pub struct TwoHosts {
    server: String,
    client: String,
}

impl TwoHosts {
    /// None, with a reason, where namespaces cannot be made.
    pub fn make() -> Option<TwoHosts> {
        static MADE: AtomicUsize = AtomicUsize::new(0);
        program("ip")?;
        if !nix::unistd::geteuid().is_root() {
            missing("not root, so there are no network namespaces");
            return None;
        }
        let id = format!("{}-{}", std::process::id(), MADE.fetch_add(1, Ordering::Relaxed));
        let hosts = TwoHosts { server: format!("pbx-s{id}"), client: format!("pbx-c{id}") };
        let add = Command::new("ip").args(["netns", "add", &hosts.server]).output().expect("ip is there");
        if !add.status.success() {
            missing(&format!("there are no network namespaces here: {}", String::from_utf8_lossy(&add.stderr)));
            return None;
        }
        // What `ip netns exec` shows as /etc/hosts there.
        fs::create_dir_all(hosts.folder()).expect("root may write there");
        fs::write(hosts.folder().join("hosts"), format!("127.0.0.1 localhost\n{SERVER} {SERVER_NAME}\n"))
            .expect("room");
        let (server, client) = (&*hosts.server, &*hosts.client);
        ip(&["netns", "add", client]);
        ip(&["-n", server, "link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns", client]);
        for (host, address) in [(server, "192.0.2.1/24"), (client, "192.0.2.2/24")] {
            ip(&["-n", host, "address", "add", address, "dev", "eth0"]);
            ip(&["-n", host, "link", "set", "lo", "up"]);
            ip(&["-n", host, "link", "set", "eth0", "up"]);
        }
        // The kernel notices somewhat later that the cable is plugged in, and some clients look for that.
        let deadline = Instant::now() + PATIENCE;
        for host in [server, client] {
            while !ip(&["-n", host, "link", "show", "dev", "eth0"]).contains("state UP") {
                assert!(Instant::now() < deadline, "the network does not come up");
                thread::yield_now();
            }
        }
        Some(hosts)
    }

    /// A command that runs on the server's host, which has the server's name.
    pub fn on_server(&self, program: &str, arguments: &[&str]) -> Command {
        let run = format!("hostname {SERVER_NAME} && exec \"$0\" \"$@\"");
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.server, "unshare", "--uts", "sh", "-c", &run, program]).args(arguments);
        command
    }

    /// A command that runs on the client's host.
    pub fn on_client(&self, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.client, program]);
        command
    }

    /// The file that stands for the client's network.
    pub fn client_namespace(&self) -> PathBuf {
        PathBuf::from("/run/netns").join(&self.client)
    }

    fn folder(&self) -> PathBuf {
        PathBuf::from("/etc/netns").join(&self.client)
    }
}

impl Drop for TwoHosts {
    fn drop(&mut self) {
        for host in [&self.server, &self.client] {
            // Not there if it could not be made.
            let _ = Command::new("ip").args(["netns", "delete", host]).output();
        }
        let _ = fs::remove_dir_all(self.folder());
    }
}

fn ip(arguments: &[&str]) -> String {
    let done = Command::new("ip").args(arguments).output().expect("ip is there");
    assert!(done.status.success(), "ip {arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8_lossy(&done.stdout).into_owned()
}
