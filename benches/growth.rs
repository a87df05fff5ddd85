//! Whether cost stays flat: what a message, a recipient or an octet costs the server where there are ten times as many of them
//! in a connection or a message. The ratio should be about 1; where work grows faster than its input, it is more.
//!
//! `cargo bench --bench growth`, or with more patience `cargo bench --bench growth -- --rounds 15`; words behind that choose
//! workloads by their names.
//!
//! Costs are processor time of the server's process, user and system. Both sizes do as many units in all, in a random order
//! each round, and what the connections and messages cost without them is subtracted.

#[cfg(unix)]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    growth::run()
}

#[cfg(not(unix))]
fn main() {
    println!("growth: processor time is measured on Unix only");
}

#[cfg(unix)]
mod growth {
    use std::env;
    use std::error::Error;
    use std::hash::{BuildHasher, RandomState};
    use std::io::{self, BufRead, BufReader, Write, stdin};
    use std::net::TcpStream;
    use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
    use std::time::Duration;

    use nix::time::{ClockId, clock_gettime};
    use pillarbox::{Server, handlers::Sink};

    /// The argument that makes this program the server.
    const SERVE: &str = "serve";

    const MAIL: &str = "MAIL FROM:<sender@bench.example>\r\n";
    const ENVELOPE: &str = "MAIL FROM:<sender@bench.example>\r\nRCPT TO:<rcpt@bench.example>\r\nDATA\r\n";

    /// How many of a message's chunks are sent before their replies are read: both have to fit into sockets' buffers.
    const BATCH: usize = 100;

    struct Workload {
        unit: &'static str,
        within: &'static str,
        /// The smaller number of units; the larger is ten times that.
        few: usize,
        /// How often the larger number.
        times: usize,
        /// Does so many units.
        act: fn(&mut Client, usize) -> io::Result<()>,
    }

    const WORKLOADS: [Workload; 6] = [
        Workload { unit: "message", within: "a connection", few: 1_000, times: 2, act: messages },
        Workload { unit: "recipient", within: "a message", few: 100, times: 100, act: recipients },
        Workload { unit: "octet in lines", within: "a message by DATA", few: 3_355_443, times: 3, act: lines },
        Workload { unit: "octet of one line", within: "a message by DATA", few: 3_355_443, times: 3, act: one_line },
        Workload { unit: "octet", within: "a message by BDAT", few: 3_355_443, times: 3, act: chunk },
        Workload { unit: "chunk", within: "a message by BDAT", few: 1_000, times: 10, act: chunks },
    ];

    pub fn run() -> Result<(), Box<dyn Error>> {
        let mut words: Vec<String> = env::args().skip(1).collect();
        if words.first().is_some_and(|word| word == SERVE) {
            return serve();
        }
        // `cargo test` only wants to know whether it runs.
        let is_trial = !words.iter().any(|word| word == "--bench");
        let mut rounds = if is_trial { 1 } else { 9 };
        if let Some(at) = words.iter().position(|word| word == "--rounds") {
            rounds = words.get(at + 1).ok_or("--rounds needs a number")?.parse()?;
            words.drain(at..=at + 1);
        }
        words.retain(|word| !word.starts_with("--"));
        let is_asked =
            |workload: &&Workload| words.is_empty() || words.iter().any(|word| workload.name().contains(word));
        println!("{:<44} {:>12} {:>12} {:>6}", "for each", "at n, ns", "at 10 n, ns", "ratio");
        for workload in WORKLOADS.iter().filter(is_asked) {
            // Fewer are no different to whether it runs.
            let scale = if is_trial { 100 } else { 1 };
            let few = (workload.few / scale).max(2);
            let mut costs = Vec::with_capacity(rounds);
            for _ in 0..rounds {
                costs.push(workload.costs(few)?);
            }
            let mut ratios: Vec<f64> = costs.iter().map(|(few, many)| many / few).collect();
            ratios.sort_by(f64::total_cmp);
            let cost = |which: fn(&(f64, f64)) -> f64| {
                let mut all: Vec<f64> = costs.iter().map(which).collect();
                all.sort_by(f64::total_cmp);
                all[all.len() / 2]
            };
            println!(
                "{:<44} {:>12.2} {:>12.2} {:>6.2}  ({:.2} to {:.2}), n = {few}",
                workload.name(),
                cost(|costs| costs.0),
                cost(|costs| costs.1),
                ratios[rounds / 2],
                ratios[0],
                ratios[rounds - 1],
            );
        }
        Ok(())
    }

    impl Workload {
        fn name(&self) -> String {
            format!("{} in {}", self.unit, self.within)
        }

        /// The nanoseconds of a unit where there are few, and where there are ten times as many.
        fn costs(&self, few: usize) -> Result<(f64, f64), Box<dyn Error>> {
            let mut server = Process::start()?;
            let sizes = [few, 10 * few];
            // What is done for the first time takes longer.
            self.send(&server, 10 * few, 1)?;
            let mut costs = [0.0; 2];
            let first = (RandomState::new().hash_one(few) & 1) as usize;
            for which in [first, 1 - first] {
                let times = self.times * if which == 0 { 10 } else { 1 };
                let whole = server.cost(|server| self.send(server, sizes[which], times))?;
                let without = server.cost(|server| self.send(server, 1, times))?;
                let units = ((sizes[which] - 1) * times) as f64;
                costs[which] = (whole.as_nanos() as f64 - without.as_nanos() as f64) / units;
            }
            Ok((costs[0], costs[1]))
        }

        /// So many connections with so many units each.
        fn send(&self, server: &Process, units: usize, times: usize) -> io::Result<()> {
            for _ in 0..times {
                let mut client = Client::connect(&server.address)?;
                (self.act)(&mut client, units)?;
                client.say(b"QUIT\r\n", 1)?;
            }
            Ok(())
        }
    }

    fn messages(client: &mut Client, count: usize) -> io::Result<()> {
        let content = format!("{}.\r\n", line().repeat(13));
        (0..count).try_for_each(|_| {
            client.say(ENVELOPE.as_bytes(), 3)?;
            client.say(content.as_bytes(), 1)
        })
    }

    fn recipients(client: &mut Client, count: usize) -> io::Result<()> {
        let recipients: String = (0..count).map(|n| format!("RCPT TO:<rcpt-{n:06}@bench.example>\r\n")).collect();
        client.say(format!("{MAIL}{recipients}DATA\r\n").as_bytes(), count + 2)?;
        client.say(b".\r\n", 1)
    }

    fn lines(client: &mut Client, octets: usize) -> io::Result<()> {
        client.say(ENVELOPE.as_bytes(), 3)?;
        // A message may be of 32 MiB, its last line end included.
        let content = line().repeat(octets / line().len());
        client.say(format!("{content}.\r\n").as_bytes(), 1)
    }

    fn one_line(client: &mut Client, octets: usize) -> io::Result<()> {
        client.say(ENVELOPE.as_bytes(), 3)?;
        client.say(format!("{}\r\n.\r\n", "x".repeat(octets.saturating_sub(2))).as_bytes(), 1)
    }

    fn chunk(client: &mut Client, octets: usize) -> io::Result<()> {
        let commands = ENVELOPE.replace("DATA", &format!("BDAT {octets} LAST"));
        client.say(format!("{commands}{}", "x".repeat(octets)).as_bytes(), 3)
    }

    fn chunks(client: &mut Client, count: usize) -> io::Result<()> {
        client.say(ENVELOPE.replace("DATA\r\n", "").as_bytes(), 2)?;
        let chunk = format!("BDAT {}\r\n{}", line().len(), line());
        for sent in (0..count).step_by(BATCH) {
            let batch = BATCH.min(count - sent);
            client.say(chunk.repeat(batch).as_bytes(), batch)?;
        }
        client.say(b"BDAT 0 LAST\r\n", 1)
    }

    /// 76 octets of text and a line end.
    fn line() -> String {
        format!("{}\r\n", "x".repeat(76))
    }

    /// A client on one connection.
    struct Client(BufReader<TcpStream>);

    impl Client {
        fn connect(address: &str) -> io::Result<Client> {
            let stream = TcpStream::connect(address)?;
            stream.set_nodelay(true)?;
            let mut client = Client(BufReader::new(stream));
            client.say(b"", 1)?;
            client.say(b"EHLO bench.example\r\n", 1)?;
            Ok(client)
        }

        /// Sends octets and reads so many replies, each of which has to be an acceptance.
        fn say(&mut self, octets: &[u8], replies: usize) -> io::Result<()> {
            self.0.get_mut().write_all(octets)?;
            let mut line = String::new();
            for _ in 0..replies {
                loop {
                    line.clear();
                    self.0.read_line(&mut line)?;
                    if !line.starts_with(['2', '3']) {
                        return Err(io::Error::other(format!("the server says {line:?}")));
                    }
                    if line.as_bytes().get(3) == Some(&b' ') {
                        break;
                    }
                }
            }
            Ok(())
        }
    }

    /// Takes mail until nobody holds its standard input any more, and says for each line how much processor time it has used.
    fn serve() -> Result<(), Box<dyn Error>> {
        let server = Server::builder().serve("127.0.0.1:0", Sink)?;
        println!("{}", server.local_addr());
        for line in stdin().lines() {
            line?;
            let used = Duration::from(clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID)?);
            println!("{}", used.as_nanos());
        }
        Ok(())
    }

    /// The server's process, which is killed with the value.
    struct Process {
        child: Child,
        input: ChildStdin,
        output: BufReader<ChildStdout>,
        address: String,
    }

    impl Process {
        fn start() -> Result<Process, Box<dyn Error>> {
            let mut command = Command::new(env::current_exe()?);
            let mut child = command.arg(SERVE).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
            let (input, output) = child.stdin.take().zip(child.stdout.take()).ok_or("no pipes")?;
            let mut server = Process { child, input, output: BufReader::new(output), address: String::new() };
            server.address = server.line()?;
            Ok(server)
        }

        fn line(&mut self) -> io::Result<String> {
            let mut line = String::new();
            self.output.read_line(&mut line)?;
            Ok(line.trim().to_owned())
        }

        fn used(&mut self) -> Result<Duration, Box<dyn Error>> {
            self.input.write_all(b"\n")?;
            Ok(Duration::from_nanos(self.line()?.parse()?))
        }

        /// The processor time that something takes the server.
        fn cost(&mut self, act: impl FnOnce(&Process) -> io::Result<()>) -> Result<Duration, Box<dyn Error>> {
            let before = self.used()?;
            act(self)?;
            Ok(self.used()?.saturating_sub(before))
        }
    }

    impl Drop for Process {
        fn drop(&mut self) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}
