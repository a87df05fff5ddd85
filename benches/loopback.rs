//! Messages over loopback, client and server in one process: the figures hold for comparing two versions on one machine.
//!
//! `cargo bench --bench loopback`

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;

use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};
use pillarbox::{Server, handlers::Sink};

const MESSAGES: usize = 200;

fn main() {
    divan::main();
}

struct Client {
    stream: BufReader<TcpStream>,
    line: String,
}

impl Client {
    fn open(server: SocketAddr) -> Client {
        let stream = TcpStream::connect(server).expect("the server listens");
        stream.set_nodelay(true).expect("a TCP socket");
        let mut client = Client { stream: BufReader::new(stream), line: String::new() };
        client.expect("220");
        client.say(b"EHLO bench.example\r\n", "250");
        client
    }

    fn send(&mut self, octets: &[u8]) {
        self.stream.get_mut().write_all(octets).expect("the server reads");
    }

    /// Reads one whole reply.
    fn expect(&mut self, code: &str) {
        loop {
            self.line.clear();
            self.stream.read_line(&mut self.line).expect("the server answers");
            assert!(self.line.starts_with(code), "{}", self.line);
            if self.line.as_bytes()[3] == b' ' {
                return;
            }
        }
    }

    fn say(&mut self, octets: &[u8], code: &str) {
        self.send(octets);
        self.expect(code);
    }
}

const ENVELOPE: &[u8] = b"MAIL FROM:<sender@bench.example>\r\nRCPT TO:<rcpt@bench.example>\r\nDATA\r\n";

/// About so many octets, in lines, and what ends them.
fn content(octets: usize) -> Vec<u8> {
    let mut content = "x".repeat(74).into_bytes();
    content.extend_from_slice(b"\r\n");
    content = content.repeat(octets / 76);
    content.extend_from_slice(b".\r\n");
    content
}

/// Each command waits for its reply.
fn serial(client: &mut Client, content: &[u8]) {
    for line in ENVELOPE.split_inclusive(|b| *b == b'\n') {
        client.say(line, if line.starts_with(b"DATA") { "354" } else { "250" });
    }
    client.say(content, "250");
}

/// MAIL, RCPT and DATA travel together.
fn pipelined(client: &mut Client, content: &[u8]) {
    client.say(ENVELOPE, "250");
    client.expect("250");
    client.expect("354");
    client.say(content, "250");
}

fn measure(bencher: Bencher, connections: usize, message: fn(&mut Client, &[u8])) {
    let server = Server::builder().serve("127.0.0.1:0", Sink).expect("a free port");
    let content = content(1024);
    bencher
        .counter(ItemsCount::new(MESSAGES * connections))
        .with_inputs(|| (0..connections).map(|_| Client::open(server.local_addr())).collect::<Vec<_>>())
        .bench_local_values(|clients| {
            thread::scope(|scope| {
                for mut client in clients {
                    let content = &content;
                    scope.spawn(move || (0..MESSAGES).for_each(|_| message(&mut client, content)));
                }
            });
        });
}

#[divan::bench(args = [1, 8], sample_count = 10)]
fn serial_messages(bencher: Bencher, connections: usize) {
    measure(bencher, connections, serial);
}

#[divan::bench(args = [1, 8], sample_count = 10)]
fn pipelined_messages(bencher: Bencher, connections: usize) {
    measure(bencher, connections, pipelined);
}

#[divan::bench(sample_count = 10)]
fn a_connection_for_each_message(bencher: Bencher) {
    let server = Server::builder().serve("127.0.0.1:0", Sink).expect("a free port");
    let content = content(1024);
    bencher.counter(ItemsCount::new(MESSAGES)).bench_local(|| {
        for _ in 0..MESSAGES {
            let mut client = Client::open(server.local_addr());
            serial(&mut client, &content);
            client.say(b"QUIT\r\n", "221");
        }
    });
}

/// What it costs that a message goes to disk, by its size in KiB.
#[divan::bench(args = [(1024, "memory"), (1024, "disk"), (10_240, "memory"), (10_240, "disk")], sample_count = 10)]
fn large_messages(bencher: Bencher, (kib, place): (usize, &str)) {
    let budget = if place == "disk" { 0 } else { u64::MAX };
    let server = Server::builder().memory_budget(budget).serve("127.0.0.1:0", Sink).expect("a free port");
    let content = content(kib * 1024);
    let mut client = Client::open(server.local_addr());
    bencher.counter(BytesCount::new(content.len())).bench_local(|| pipelined(&mut client, &content));
}
