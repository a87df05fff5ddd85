//! The servers: this one and others, each a process that ends with its value.

use std::env;
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use pillarbox::handlers::Sink;

use super::Outcome;

/// How long a server may take to answer for the first time.
const PATIENCE: Duration = Duration::from_secs(30);

/// The option by which this program is started as a server.
const SERVE: &str = "--serve-at";

/// A server that takes messages and drops them.
pub struct Server {
    pub name: String,
    /// The program and its arguments, in which `{port}` stands for the port at 127.0.0.1.
    command: Vec<String>,
}

impl Server {
    pub fn named(name: &str, command: &str) -> Server {
        Server { name: name.to_owned(), command: command.split_whitespace().map(str::to_owned).collect() }
    }

    /// Starts it, and waits for its banner.
    pub fn start(&self) -> Outcome<Running> {
        // There is no port 0 for others: one that was free a moment ago has to do.
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        let mut words = self.command.iter().map(|word| word.replace("{port}", &address.port().to_string()));
        let mut child = Command::new(words.next().ok_or("an empty command")?)
            .args(words)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let deadline = Instant::now() + PATIENCE;
        while !has_banner(address) {
            let has_ended = child.try_wait()?.is_some();
            if has_ended || Instant::now() > deadline {
                drop(Running { child, address });
                return Err(if has_ended { "the server has ended" } else { "the server does not listen" }.into());
            }
        }
        Ok(Running { child, address })
    }
}

fn has_banner(address: SocketAddr) -> bool {
    let Ok(stream) = TcpStream::connect(address) else {
        std::thread::yield_now();
        return false;
    };
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).is_ok_and(|_| line.starts_with("220"))
}

/// A server's process, which is killed with the value.
pub struct Running {
    child: Child,
    pub address: SocketAddr,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// This server, and those that are installed.
pub fn installed() -> Vec<Server> {
    let own = env::current_exe().unwrap_or_default();
    let own =
        Server { name: "pillarbox".into(), command: vec![own.display().to_string(), SERVE.into(), "{port}".into()] };
    let mut servers = vec![own];
    let sink = ["smtp-sink", "/usr/sbin/smtp-sink"]
        .into_iter()
        .find(|sink| Command::new(sink).arg("-?").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok());
    match sink {
        Some(sink) => {
            servers.push(Server::named("smtp-sink", &format!("{sink} {}127.0.0.1:{{port}} 100", as_nobody())))
        }
        None => println!("smtp-sink: not measured, since Postfix is not installed"),
    }
    let has_aiosmtpd = Command::new("python3").args(["-c", "import aiosmtpd"]).stderr(Stdio::null()).status();
    if has_aiosmtpd.is_ok_and(|status| status.success()) {
        let command = "python3 -m aiosmtpd -n -c aiosmtpd.handlers.Sink -l 127.0.0.1:{port}";
        servers.push(Server::named("aiosmtpd", command));
    } else {
        println!("aiosmtpd: not measured, since python3 has no module of that name");
    }
    if !env::args().any(|argument| argument == "--server") {
        println!(
            "mailin-embedded, a library, is measured if a program with it is named: --server 'mailin=PROGRAM {{port}}'"
        );
    }
    servers
}

/// What smtp-sink insists on if root starts it.
fn as_nobody() -> &'static str {
    #[cfg(unix)]
    if nix::unistd::geteuid().is_root() {
        return "-u nobody ";
    }
    ""
}

/// The port, if this process is to be the server.
pub fn port_to_serve_at() -> Option<u16> {
    env::args().skip_while(|argument| argument != SERVE).nth(1)?.parse().ok()
}

pub fn serve(port: u16) -> Outcome<()> {
    pillarbox::Server::builder().serve(("127.0.0.1", port), Sink)?.join();
    Ok(())
}
