//! The command's receivers and workers around a Redis, with `appendfsync always`: kills, and what a message costs.
//!
//!     cargo bench --all-features --bench chain -- --seconds 600 --seed 7
//!     cargo bench --all-features --bench chain -- --costs
//!
//! With `--seconds` receivers, workers and Redis are killed (SIGKILL) while clients send numbered messages; the sums say what
//! became of each, and those that would mean a broken promise must be zero, or the exit code is 1. With `--costs` messages go into
//! the stream first and are taken off afterwards, so that the processor time of each process is known for itself.

#[cfg(all(feature = "cli", feature = "redis", unix))]
#[path = "chain/costs.rs"]
mod costs;
#[cfg(all(feature = "cli", feature = "redis", unix))]
#[path = "../tests/support/mod.rs"]
mod support;

#[cfg(not(all(feature = "cli", feature = "redis", unix)))]
fn main() {
    println!("the chain is made of the command: it needs the feature cli, and Unix");
}

#[cfg(all(feature = "cli", feature = "redis", unix))]
fn main() -> std::process::ExitCode {
    use std::process::ExitCode;

    let words: Vec<String> = std::env::args().collect();
    let number = |name: &str| {
        let at = words.iter().position(|word| word == name)?;
        words.get(at + 1)?.parse::<u64>().ok()
    };
    if words.iter().any(|word| word == "--costs") {
        costs::run();
        return ExitCode::SUCCESS;
    }
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |time| time.as_secs());
    let (seconds, seed) = (number("--seconds").unwrap_or(3), number("--seed").unwrap_or(now));
    let Some(mut redis) = support::redis::Redis::start(&[]) else { return ExitCode::SUCCESS };
    let folder = tempfile::tempdir().expect("a temporary folder");
    println!("chain: {seconds} s, seed {seed}");
    let over = support::trial::for_seconds(seconds);
    let sums = support::trial::run(&mut redis, &folder.path().join("mail"), seed, 200, over);
    println!("{sums}");
    if sums.are_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
