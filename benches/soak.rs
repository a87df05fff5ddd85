//! Numbered messages to the command's Maildir, under faults: each must be accounted for at the end.
//!
//!     cargo bench --all-features --bench soak -- --seconds 600 --connections 16 --seed 7
//!
//! Clients send by single steps, pipelined and in chunks; they reset, hang up within messages and pause. The server is
//! killed, or told to end, and started again. Meanwhile a reader takes what has arrived. The sums at the end say what became
//! of the messages; those that would mean a broken promise must be zero, or the exit code is 1.

#[cfg(all(feature = "cli", unix))]
#[path = "../tests/support/chance.rs"]
mod chance;
#[cfg(all(feature = "cli", unix))]
#[path = "soak/client.rs"]
mod client;
#[cfg(all(feature = "cli", unix))]
#[path = "soak/ledger.rs"]
mod ledger;
#[cfg(all(feature = "cli", unix))]
#[path = "soak/server.rs"]
mod server;

#[cfg(not(all(feature = "cli", unix)))]
fn main() {
    println!("the soak drives the command: it needs the feature cli, and Unix");
}

#[cfg(all(feature = "cli", unix))]
fn main() -> std::process::ExitCode {
    soak::run()
}

#[cfg(all(feature = "cli", unix))]
mod soak {
    use std::process::ExitCode;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::thread;
    use std::time::{Duration, Instant};

    use crate::chance::Chance;
    use crate::client::send_until;
    use crate::ledger::{Ledger, Reader};
    use crate::server::Server;

    /// What the command line says, or does not.
    struct Options {
        seconds: u64,
        connections: u64,
        seed: u64,
    }

    fn options() -> Options {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |d| d.as_secs());
        let mut options = Options { seconds: 5, connections: 16, seed: now };
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            let target = match word.as_str() {
                "--seconds" => &mut options.seconds,
                "--connections" => &mut options.connections,
                "--seed" => &mut options.seed,
                // What cargo adds.
                _ => continue,
            };
            *target = words.next().and_then(|n| n.parse().ok()).unwrap_or_else(|| panic!("{word} needs a number"));
        }
        options
    }

    pub fn run() -> ExitCode {
        let Options { seconds, connections, seed } = options();
        println!("soak: {seconds} s, {connections} connections, seed {seed}");
        let folder = tempfile::tempdir().expect("a temporary folder");
        let ledger = Arc::new(Ledger::default());
        ledger.begin_server();
        let mut server = Server::start(folder.path());
        let address = server.address;
        let fresh = server.resources();
        let stop = Arc::new(AtomicBool::new(false));
        let clients: Vec<_> = (0..connections)
            .map(|n| {
                let (ledger, stop) = (ledger.clone(), stop.clone());
                let chance = Chance(seed.wrapping_add(n + 1));
                thread::spawn(move || send_until(&stop, address, &ledger, chance))
            })
            .collect();
        let reader = Reader::start(folder.path().join("new"), ledger.clone());

        // Two thirds of the time with restarts, and then one server that has to stay as it was.
        let begin = Instant::now();
        let mut chance = Chance(seed);
        let (mut kills, mut ends) = (0, 0);
        while begin.elapsed() < Duration::from_secs(seconds) * 2 / 3 {
            thread::sleep(Duration::from_millis(200 + chance.below(1500)));
            if chance.below(2) == 0 {
                server.kill();
                kills += 1;
            } else {
                ledger.end_server();
                server.end();
                ends += 1;
            }
            ledger.begin_server();
            server = Server::start_at(folder.path(), address);
        }
        thread::sleep(Duration::from_secs(seconds) / 12);
        let warm = server.resources();
        thread::sleep(Duration::from_secs(seconds) / 4);
        stop.store(true, Ordering::Relaxed);
        clients.into_iter().for_each(|client| client.join().expect("no client panics"));
        let cold = server.cooled(&fresh);
        ledger.end_server();
        server.end();
        reader.stop();

        println!("soak: {kills} kills, {ends} ends; {fresh} at first, {warm} under load, {cold} when all had gone");
        let is_lean = cold.has_no_more(&fresh) && cold.has_not_grown(&warm);
        if !is_lean {
            println!("soak: FAILED: the server keeps what it does not need");
        }
        if ledger.settle() && is_lean { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}
