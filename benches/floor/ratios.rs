//! The two servers, the workloads, and the table.

use std::env;
use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::io::{self, BufRead, BufReader, ErrorKind, Read, stdin};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use pillarbox::{Server, handlers::Sink};

use crate::client::{self, Connection, Content, Habit};
use crate::responder;

/// The first argument of a process that is a server.
const SERVE: &str = "serve";

/// Ticks of the processor's time in a second, as /proc counts it on every Linux.
const TICKS: f64 = 100.0;

const KIB: usize = 1024;

struct Workload {
    name: &'static str,
    habit: Habit,
    connections: usize,
    octets: usize,
    // Connections that say nothing meanwhile.
    idle: usize,
}

const fn workload(name: &'static str, habit: Habit, connections: usize, octets: usize) -> Workload {
    Workload { name, habit, connections, octets, idle: 0 }
}

const WORKLOADS: [Workload; 12] = [
    workload("connect-1", Habit::Connect, 1, KIB),
    workload("connect-8", Habit::Connect, 8, KIB),
    workload("connect-512", Habit::Connect, 512, KIB),
    workload("serial-8", Habit::Serial, 8, KIB),
    workload("serial-64", Habit::Serial, 64, KIB),
    workload("serial-512", Habit::Serial, 512, KIB),
    workload("pipelined-8", Habit::Pipelined, 8, KIB),
    workload("pipelined-64", Habit::Pipelined, 64, KIB),
    workload("pipelined-512", Habit::Pipelined, 512, KIB),
    workload("data-10m", Habit::Serial, 1, 10 * KIB * KIB),
    workload("bdat-10m", Habit::Chunks, 1, 10 * KIB * KIB),
    Workload { idle: 10_000, ..workload("connect-1-idle-10000", Habit::Connect, 1, KIB) },
];

struct Options {
    rounds: usize,
    seconds: f64,
    names: Vec<String>,
}

impl Options {
    fn read() -> Options {
        let mut options = Options { rounds: 5, seconds: 2.0, names: Vec::new() };
        let mut arguments = env::args().skip(1).peekable();
        if !env::args().any(|argument| argument == "--bench") {
            // `cargo test` only wants to know whether it runs.
            options = Options { rounds: 1, seconds: 0.1, names: vec!["-8".into(), "-10m".into()] };
        }
        while let Some(argument) = arguments.next() {
            let value = arguments.peek().and_then(|value| value.parse().ok());
            match (&*argument, value) {
                ("--rounds", Some(rounds)) => options.rounds = rounds as usize,
                ("--seconds", Some(seconds)) => options.seconds = seconds,
                (name, _) if !name.starts_with('-') && name.parse::<f64>().is_err() => options.names.push(argument),
                _ => {}
            }
        }
        options
    }
}

pub fn run() -> io::Result<()> {
    let mut arguments = env::args().skip(1);
    if arguments.next().as_deref() == Some(SERVE) {
        return serve(arguments.next().as_deref() == Some("floor"));
    }
    let options = Options::read();
    raise_file_limit();
    println!(
        "{:<22} {:>8} {:>14} {:>8} {:>12} {:>14}",
        "", "CPU", "CPU (range)", "rate", "99th centile", "KiB resident"
    );
    for workload in WORKLOADS {
        if !options.names.is_empty() && !options.names.iter().any(|name| workload.name.contains(&**name)) {
            continue;
        }
        let mut rounds = Vec::new();
        for _ in 0..options.rounds.max(1) {
            // By chance, since the place in a fixed order changes the figures by up to a third.
            let floor_first = RandomState::new().hash_one(workload.name) % 2 == 0;
            let first = workload.measure(floor_first, options.seconds)?;
            let second = workload.measure(!floor_first, options.seconds)?;
            rounds.push(if floor_first { (second, first) } else { (first, second) });
        }
        let ratio = |of: fn(&Figures) -> f64| {
            let mut ratios: Vec<f64> = rounds.iter().map(|(own, floor)| of(own) / of(floor)).collect();
            ratios.sort_by(f64::total_cmp);
            ratios
        };
        let median = |ratios: &[f64]| ratios[ratios.len() / 2];
        let cpu = ratio(|figures| figures.cpu);
        println!(
            "{:<22} {:>8.2} {:>14} {:>8.2} {:>12.2} {:>14}",
            workload.name,
            median(&cpu),
            format!("{:.2} to {:.2}", cpu[0], cpu[cpu.len() - 1]),
            median(&ratio(|figures| figures.rate)),
            median(&ratio(|figures| figures.slow)),
            rounds.iter().map(|(own, _)| own.resident).max().unwrap_or(0),
        );
    }
    Ok(())
}

/// Serves until nobody holds the standard input any more.
fn serve(floor: bool) -> io::Result<()> {
    raise_file_limit();
    let server = match floor {
        true => None,
        false => Some(Server::builder().max_connections(11_000).serve("127.0.0.1:0", Sink).map_err(io::Error::other)?),
    };
    let address = match &server {
        Some(server) => server.local_addr(),
        None => responder::start()?,
    };
    println!("{address}");
    stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

/// Connections need descriptors; where there are too few, the workload says so.
fn raise_file_limit() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    if let Ok((_, hard)) = getrlimit(Resource::RLIMIT_NOFILE) {
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    }
}

/// What one server did with one workload.
struct Figures {
    /// Seconds of its processor time for each message.
    cpu: f64,
    /// Messages in a second.
    rate: f64,
    /// Seconds that all but the slowest hundredth of the messages took.
    slow: f64,
    /// KiB of memory at the end.
    resident: u64,
}

impl Workload {
    fn measure(&self, floor: bool, seconds: f64) -> io::Result<Figures> {
        let server = Process::start(floor)?;
        let content = Content::new(self.octets);
        let idle = (0..self.idle).map(|_| Connection::open(server.address)).collect::<io::Result<Vec<_>>>()?;
        let turn = |seconds| {
            let end = Instant::now() + Duration::from_secs_f64(seconds);
            let clients = || client::send(server.address, self.habit, &content, end);
            thread::scope(|scope| {
                let all: Vec<_> = (0..self.connections).map(|_| scope.spawn(clients)).collect();
                all.into_iter()
                    .map(|client| client.join().map_err(|_| ErrorKind::Other)?)
                    .collect::<io::Result<Vec<_>>>()
            })
        };
        // Threads are started and pages touched before it counts.
        turn(seconds / 5.0)?;
        let (begun, cpu) = (Instant::now(), server.cpu()?);
        let mut times = turn(seconds)?.concat();
        let (seconds, cpu) = (begun.elapsed().as_secs_f64(), server.cpu()? - cpu);
        times.sort_unstable();
        let resident = server.resident()?;
        drop(idle);
        Ok(Figures {
            cpu: cpu / times.len() as f64,
            rate: times.len() as f64 / seconds,
            slow: times[times.len() * 99 / 100].as_secs_f64(),
            resident,
        })
    }
}

/// A server that is a process.
struct Process {
    child: Child,
    address: SocketAddr,
}

impl Process {
    fn start(floor: bool) -> io::Result<Process> {
        let mut child = Command::new(env::current_exe()?)
            .args([SERVE, if floor { "floor" } else { "pillarbox" }])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        if let Some(output) = child.stdout.take() {
            BufReader::new(output).read_line(&mut line)?;
        }
        let address = line.trim().parse().map_err(io::Error::other)?;
        Ok(Process { child, address })
    }

    /// Seconds of processor time so far, its own and the system's for it.
    fn cpu(&self) -> io::Result<f64> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        // Behind the name, which stands in brackets and may hold anything: utime and stime are fields 14 and 15 of all.
        let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields).split_whitespace();
        let ticks: Vec<f64> = fields.skip(11).take(2).filter_map(|ticks| ticks.parse().ok()).collect();
        Ok(ticks.iter().sum::<f64>() / TICKS)
    }

    fn resident(&self) -> io::Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        Ok(line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        // It ends by itself; if not, nothing is lost by this.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
