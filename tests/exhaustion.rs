//! What many slow clients take, and what becomes of a server that has no file descriptor left: the command, from outside.

#![cfg(all(feature = "cli", target_os = "linux"))]

#[path = "support/client.rs"]
mod client;
#[expect(dead_code, reason = "other tests use the rest")]
mod support;

use std::fs;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use client::{Client, PATIENCE};

struct Server {
    process: Child,
    stderr: BufReader<ChildStderr>,
    address: SocketAddr,
}

impl Server {
    fn start(arguments: &[&str]) -> Server {
        let mut process = Command::new(env!("CARGO_BIN_EXE_pillarbox"))
            .args(["-n", "-c", "Sink"])
            .args(arguments)
            .arg("127.0.0.1:0")
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the command was built");
        let mut stderr = BufReader::new(process.stderr.take().expect("piped"));
        let mut line = String::new();
        stderr.read_line(&mut line).expect("text");
        let address = line.trim_end().strip_prefix("pillarbox: listening on ");
        let address = address.unwrap_or_else(|| panic!("{line}")).parse().expect("an address");
        Server { process, stderr, address }
    }

    /// What it has taken of the processor, in clock ticks.
    fn ticks(&self) -> u64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.process.id())).expect("our own child");
        let (_, fields) = stat.rsplit_once(')').expect("a name in parentheses");
        fields.split_whitespace().skip(11).take(2).map(|ticks| ticks.parse::<u64>().expect("a number")).sum()
    }

    /// The descriptor that the next file would get.
    fn next_descriptor(&self) -> usize {
        let folder = format!("/proc/{}/fd", self.process.id());
        (0..).find(|n| fs::symlink_metadata(format!("{folder}/{n}")).is_err()).expect("there is no end to them")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn send(server: SocketAddr) {
    let mut client = Client::envelope(server);
    client.expect("DATA", "354");
    client.expect("x\r\n.", "250 2.0.0 OK");
    client.expect("QUIT", "221");
}

#[test]
fn five_hundred_slow_clients_cost_honest_ones_nothing() {
    let server = Server::start(&[]);
    // Within a command, or within content, from which an octet comes now and then.
    let mut slow: Vec<TcpStream> = (0..500)
        .map(|n| {
            let mut stream = TcpStream::connect(server.address).expect("the server listens");
            let begin = "EHLO a\r\nMAIL FROM:<a@client.example>\r\nRCPT TO:<b@example.org>\r\nDATA\r\n";
            stream.write_all(if n % 2 == 0 { b"EHLO " } else { begin.as_bytes() }).expect("the server reads");
            stream
        })
        .collect();
    let done = Arc::new(AtomicBool::new(false));
    let stop = done.clone();
    let dripping = thread::spawn(move || {
        let mut rounds = 0;
        while !stop.load(Ordering::Relaxed) {
            for stream in &mut slow {
                stream.write_all(b"x").expect("the server is patient");
            }
            rounds += 1;
            thread::park_timeout(Duration::from_millis(20));
        }
        (slow, rounds)
    });
    for _ in 0..100 {
        send(server.address);
    }
    done.store(true, Ordering::Relaxed);
    let (slow, rounds) = dripping.join().expect("no one was cut off");
    assert!(slow.len() == 500 && rounds > 0);
}

#[test]
fn without_a_descriptor_it_waits_and_goes_on() {
    let Some(prlimit) = support::program("prlimit") else { return };
    let mut server = Server::start(&[]);
    let idle: Vec<Client> = (0..3).map(|_| Client::ehlo(server.address)).collect();
    let limit = format!("--nofile={0}:{0}", server.next_descriptor());
    let pid = server.process.id().to_string();
    assert!(Command::new(prlimit).args(["--pid", &pid, &limit]).status().expect("it starts").success());

    // The kernel has set one aside already for the connection that is waited for.
    let last = Client::ehlo(server.address);
    // It stays in the kernel's queue: nothing is said to it, and nothing is burnt for it.
    let mut waiting = TcpStream::connect(server.address).expect("the kernel accepts it");
    waiting.set_read_timeout(Some(Duration::from_millis(1500))).expect("a TCP socket");
    let before = server.ticks();
    let error = waiting.read(&mut [0; 1]).expect_err("there is no descriptor for it");
    assert!(matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{error}");
    let burnt = server.ticks() - before;
    assert!(burnt <= 20, "{burnt} ticks of 10 ms in one and a half seconds");
    let mut line = String::new();
    server.stderr.read_line(&mut line).expect("text");
    assert!(line.starts_with("pillarbox: cannot accept connections at "), "{line}");

    // One goes, and its place is the next one's.
    drop((idle, last));
    waiting.set_read_timeout(Some(PATIENCE)).expect("a TCP socket");
    let mut banner = [0; 4];
    waiting.read_exact(&mut banner).expect("its turn has come");
    assert_eq!(banner, *b"220 ");
    drop(waiting);
    send(server.address);
    // It was said once, and not for each try.
    drop(server.process.kill());
    let mut rest = String::new();
    server.stderr.read_to_string(&mut rest).expect("text");
    assert_eq!(rest, "");
}
