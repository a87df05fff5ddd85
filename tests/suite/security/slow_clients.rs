//! What many slow clients take of the command.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use crate::support::client::Client;
use crate::support::command::without_options;

struct Server {
    process: Child,
    // Open, so that it can say something.
    _stderr: BufReader<ChildStderr>,
    address: SocketAddr,
}

impl Server {
    fn start() -> Server {
        let mut process = without_options(&mut Command::new(env!("CARGO_BIN_EXE_pillarbox")))
            .args(["-n", "-c", "Sink", "127.0.0.1:0"])
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the command was built");
        let mut stderr = BufReader::new(process.stderr.take().expect("piped"));
        let mut line = String::new();
        stderr.read_line(&mut line).expect("text");
        let address = line.trim_end().strip_prefix("pillarbox: listening on ");
        let address = address.unwrap_or_else(|| panic!("{line}")).parse().expect("an address");
        Server { process, _stderr: stderr, address }
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
    let server = Server::start();
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
