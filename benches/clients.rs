//! How long a message takes from clients that others wrote, one after another: where their systems hold small packets back
//! until what was sent before is acknowledged (Nagle's algorithm), a server that acknowledges late costs each message 40 ms.
//!
//! `cargo bench --bench clients`

use std::env;
use std::error::Error;
use std::io::Write;
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use lettre::{Message, SmtpTransport, Transport};
use pillarbox::{Server, handlers::Sink};

fn main() -> Result<(), Box<dyn Error>> {
    // `cargo test` only wants to know whether it runs.
    let messages = if env::args().any(|argument| argument == "--bench") { 100 } else { 1 };
    let server = Server::builder().serve("127.0.0.1:0", Sink)?;
    let address = server.local_addr();
    for octets in [1 << 10, 100 << 10, 1 << 20] {
        let body = "a line of text, as long as lines in messages are\r\n".repeat(octets / 50);
        let message = Message::builder()
            .from("sender@bench.example".parse()?)
            .to("rcpt@bench.example".parse()?)
            .body(body.clone())?;
        let kept = lettre(address);
        report("lettre, one connection", octets, median(messages, || Ok(kept.send(&message).map(drop)?))?);
        let fresh = || Ok(lettre(address).send(&message).map(drop)?);
        report("lettre, a connection each", octets, median(messages, fresh)?);
        if Command::new("msmtp").arg("--version").stdout(Stdio::null()).status().is_ok() {
            report("msmtp, a process each", octets, median(messages, || msmtp(address, &body))?);
        } else {
            println!("msmtp: not measured, since it is not installed");
        }
    }
    Ok(())
}

fn lettre(server: SocketAddr) -> SmtpTransport {
    SmtpTransport::builder_dangerous(server.ip().to_string()).port(server.port()).build()
}

fn msmtp(server: SocketAddr, body: &str) -> Result<(), Box<dyn Error>> {
    let port = format!("--port={}", server.port());
    let mut client = Command::new("msmtp")
        .args(["--host=127.0.0.1", &port, "--from=sender@bench.example", "rcpt@bench.example"])
        .stdin(Stdio::piped())
        .spawn()?;
    client.stdin.take().ok_or("no standard input")?.write_all(body.as_bytes())?;
    match client.wait()? {
        status if status.success() => Ok(()),
        status => Err(format!("msmtp: {status}").into()),
    }
}

/// How long it takes, as a rule.
fn median(times: usize, mut what: impl FnMut() -> Result<(), Box<dyn Error>>) -> Result<Duration, Box<dyn Error>> {
    let mut taken = Vec::with_capacity(times);
    for _ in 0..times {
        let begun = Instant::now();
        what()?;
        taken.push(begun.elapsed());
    }
    taken.sort_unstable();
    Ok(taken[times / 2])
}

fn report(client: &str, octets: usize, time: Duration) {
    println!("{client:<28} {octets:>9} octets {:>9.3} ms a message", time.as_secs_f64() * 1000.0);
}
