//! How many instructions and allocations the server spends on a message, by valgrind: figures that another load on the
//! machine does not change.
//!
//! `cargo bench --bench instructions`
//!
//! The server runs under valgrind and the client does not. Each workload is run with some messages and with more of them,
//! so that what starting and stopping cost drops out of the difference.

use std::env;
use std::error::Error;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write, stdin};
use std::net::TcpStream;
use std::process::{Command, Stdio};

use pillarbox::{Observer, Server, handlers::Sink};

/// The argument that makes this program the server.
const SERVE: &str = "serve";

/// The argument that gives that server an observer.
const OBSERVED: &str = "observed";

const MAIL: &str = "MAIL FROM:<sender@bench.example>\r\n";
const RCPT: &str = "RCPT TO:<rcpt@bench.example>\r\n";
const DATA: &str = "DATA\r\n";

fn main() -> Result<(), Box<dyn Error>> {
    if env::args().any(|argument| argument == SERVE) {
        return serve();
    }
    if Command::new("valgrind").arg("--version").stdout(Stdio::null()).status().is_err() {
        println!("instructions: not measured, since valgrind is not installed");
        return Ok(());
    }
    println!("{:<48} {:>12} {:>12}", "for each", "instructions", "allocations");
    // `cargo test` only wants to know whether it runs.
    let is_trial = !env::args().any(|argument| argument == "--bench");
    for workload in workloads().into_iter().take(if is_trial { 1 } else { usize::MAX }) {
        let instructions = workload.measure("callgrind", "Collected :")?;
        let allocations = workload.measure("dhat", "blocks")?;
        println!("{:<48} {instructions:>12.0} {allocations:>12.1}", workload.name);
    }
    Ok(())
}

/// Takes mail until nobody holds its standard input any more.
fn serve() -> Result<(), Box<dyn Error>> {
    // Commands alone are junk to a server, and here there are many.
    let mut builder = Server::builder().max_junk(None);
    if env::args().any(|argument| argument == OBSERVED) {
        builder = builder.observer(Idle);
    }
    let server = builder.serve("127.0.0.1:0", Sink)?;
    println!("{}", server.local_addr());
    stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

/// An observer that does nothing of what it could.
struct Idle;

impl Observer for Idle {}

/// What a client sends at once, and how many replies it then waits for.
struct Step {
    octets: Vec<u8>,
    replies: usize,
}

fn step(octets: impl Into<Vec<u8>>, replies: usize) -> Step {
    Step { octets: octets.into(), replies }
}

struct Workload {
    name: &'static str,
    /// How often in the shorter of two runs.
    few: u32,
    /// What comes first in each connection.
    opening: Vec<Step>,
    steps: Vec<Step>,
    /// Whether each time has a connection of its own.
    connects: bool,
    /// Whether the server has an observer.
    is_observed: bool,
}

fn workloads() -> Vec<Workload> {
    let (small, large) = (content(1024), content(1 << 20));
    let ehlo = || step("EHLO bench.example\r\n", 1);
    let envelope = [MAIL, RCPT, DATA].concat();
    let one_by_one = || vec![step(MAIL, 1), step(RCPT, 1), step(DATA, 1), step(small.clone(), 1)];
    let on_one =
        |name, few, steps| Workload { name, few, opening: vec![ehlo()], steps, connects: false, is_observed: false };
    let (start, end) = small.split_at(512);
    let in_pieces = vec![step(MAIL, 1), step(RCPT, 1), step(DATA, 1), step(start, 0), step(end, 1)];
    let mut whole = vec![ehlo()];
    whole.extend(one_by_one());
    whole.push(step("QUIT\r\n", 1));
    vec![
        on_one("MAIL and RSET", 500, vec![step([MAIL, "RSET\r\n"].concat(), 2)]),
        on_one("message of 1 KiB, each command waits", 300, one_by_one()),
        Workload { is_observed: true, ..on_one("the same, with an observer", 300, one_by_one()) },
        // The first piece is acknowledged at once: TCP_QUICKACK.
        on_one("the same, its content in two pieces", 300, in_pieces),
        Workload {
            opening: vec![ehlo(), step(envelope.clone(), 3)],
            ..on_one(
                "message of 1 KiB, pipelined with the next",
                300,
                vec![step([&small, envelope.as_bytes()].concat(), 4)],
            )
        },
        Workload { opening: vec![], connects: true, ..on_one("connection with a message of 1 KiB", 100, whole) },
        on_one(
            "message to 100 recipients",
            50,
            vec![step([MAIL, &RCPT.repeat(100), DATA].concat(), 102), step(small.clone(), 1)],
        ),
        on_one("message of 1 MiB by DATA", 10, vec![step(envelope.clone(), 3), step(large.clone(), 1)]),
        on_one(
            "message of 1 MiB by BDAT",
            10,
            vec![step([MAIL.as_bytes(), RCPT.as_bytes(), b"BDAT 1048576 LAST\r\n", &large[..1 << 20]].concat(), 3)],
        ),
    ]
}

/// At least so many octets, in lines, and what ends them.
fn content(octets: usize) -> Vec<u8> {
    let line = format!("{}\r\n", "x".repeat(74));
    format!("{}.\r\n", line.repeat(octets.div_ceil(line.len()))).into_bytes()
}

impl Workload {
    /// What valgrind's tool counts for each time: how it says so is told by the word beside the figure.
    fn measure(&self, tool: &str, word: &str) -> Result<f64, Box<dyn Error>> {
        let few = self.few;
        let (less, more) = (self.count(tool, word, few)?, self.count(tool, word, 3 * few)?);
        Ok((more - less) / f64::from(2 * few))
    }

    /// What the tool counts in a whole run of the server.
    fn count(&self, tool: &str, word: &str, times: u32) -> Result<f64, Box<dyn Error>> {
        let log = tempfile::NamedTempFile::new()?;
        let mut server = Command::new("valgrind")
            .arg(format!("--tool={tool}"))
            .arg(format!("--{tool}-out-file=/dev/null"))
            .arg(format!("--log-file={}", log.path().display()))
            .arg(env::current_exe()?)
            .arg(SERVE)
            .args(self.is_observed.then_some(OBSERVED))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut address = String::new();
        let output = server.stdout.take().ok_or("no standard output")?;
        BufReader::new(output).read_line(&mut address)?;
        self.send(address.trim(), times)?;
        drop(server.stdin.take());
        server.wait()?;
        figure(&fs::read_to_string(log.path())?, word)
    }

    fn send(&self, address: &str, times: u32) -> Result<(), Box<dyn Error>> {
        if self.connects {
            return (0..times).try_for_each(|_| self.connection(address, 1));
        }
        self.connection(address, times)
    }

    fn connection(&self, address: &str, times: u32) -> Result<(), Box<dyn Error>> {
        let mut stream = BufReader::new(TcpStream::connect(address)?);
        // A piece that follows one without a reply is to be read alone: Nagle's algorithm holds it until that is acknowledged.
        let is_in_pieces = self.steps.iter().any(|step| step.replies == 0);
        stream.get_ref().set_nodelay(!is_in_pieces)?;
        read_reply(&mut stream)?;
        let steps = self.opening.iter().chain((0..times).flat_map(|_| &self.steps));
        for Step { octets, replies } in steps {
            stream.get_mut().write_all(octets)?;
            (0..*replies).try_for_each(|_| read_reply(&mut stream))?;
        }
        Ok(())
    }
}

/// Reads one reply, which has to be an acceptance.
fn read_reply(stream: &mut impl BufRead) -> Result<(), Box<dyn Error>> {
    loop {
        let mut line = String::new();
        stream.read_line(&mut line)?;
        if !line.starts_with(['2', '3']) {
            return Err(format!("the server says {line:?}").into());
        }
        if line.as_bytes().get(3) == Some(&b' ') {
            return Ok(());
        }
    }
}

/// The number beside the first `word` in a tool's report: behind it if that ends with a colon, else before it.
fn figure(report: &str, word: &str) -> Result<f64, Box<dyn Error>> {
    let missing = || format!("no {word:?} in what valgrind says: {report}");
    let (before, behind) = report.split_once(word).ok_or_else(missing)?;
    let digits = if word.ends_with(':') { behind.split_whitespace().next() } else { before.split_whitespace().last() };
    Ok(digits.ok_or_else(missing)?.replace(',', "").parse()?)
}
