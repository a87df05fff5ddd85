//! What a message costs each process of the chain, and how many of them it does in a second.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::chain::Member;
use crate::support::client::Client;
use crate::support::command::Running;
use crate::support::redis::Redis;

const CLIENTS: usize = 16;

/// Processor time by the kernel's clock, which ticks a hundred times in a second.
fn processor_time(process: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).expect("it runs");
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks: u64 = [11, 12].iter().map(|at| fields[*at].parse::<u64>().expect("a number")).sum();
    Duration::from_millis(10 * ticks)
}

pub fn run() {
    println!("| messages | | messages a second | processor time a message: own | Redis's |");
    println!("|---|---|---|---|---|");
    for (name, size, count) in [("1 KiB", 1024, 20_000), ("1 MiB", 1 << 20, 300)] {
        // Another process for the rewriting of its file would not be counted.
        let Some(redis) = Redis::start(&["--auto-aof-rewrite-percentage", "0"]) else { return };
        let folder = tempfile::tempdir().expect("a temporary folder");
        direct(name, size, count, &folder.path().join("direct"));
        let receiver = Member::receiver(&redis.url(), &[], "127.0.0.1:0");
        let before = [receiver.id(), redis.id()].map(processor_time);
        let begun = Instant::now();
        send(receiver.address(), size, count);
        show(name, "receiver", count, begun, before, [receiver.id(), redis.id()]);
        receiver.end();
        let before = processor_time(redis.id());
        let begun = Instant::now();
        let mail = folder.path().join("mail");
        let worker = Member::worker(&redis.url(), &["--maildir", mail.to_str().expect("a path")]);
        while redis.say::<usize>("XLEN pillarbox") > 0 {
            thread::sleep(Duration::from_millis(20));
        }
        show(name, "worker", count, begun, [Duration::ZERO, before], [worker.id(), redis.id()]);
        worker.end();
    }
}

/// The same messages without a Redis.
fn direct(name: &str, size: usize, count: u64, maildir: &Path) {
    let server =
        Running::start(&["-n", "-c", "Maildir", "--maildir", maildir.to_str().expect("a path"), "127.0.0.1:0"]);
    let id = server.process.0.id();
    let (before, begun) = (processor_time(id), Instant::now());
    send(server.address(), size, count);
    show(name, "one process with a Maildir", count, begun, [before, Duration::ZERO], [id, 0]);
}

fn show(name: &str, who: &str, count: u64, begun: Instant, before: [Duration; 2], processes: [u32; 2]) {
    let rate = count as f64 / begun.elapsed().as_secs_f64();
    let [own, redis] = [0, 1].map(|at| match processes[at] {
        0 => "-".to_owned(),
        process => {
            let micros = (processor_time(process) - before[at]).as_micros() as f64 / count as f64;
            format!("{micros:.0} us")
        }
    });
    println!("| {name} | {who} | {rate:.0} | {own} | {redis} |");
}

fn send(to: SocketAddr, size: usize, count: u64) {
    let left = AtomicU64::new(count);
    let line = "0123456789abcdef".repeat(4) + "\r\n";
    let content = line.repeat(size / line.len()) + ".\r\n";
    thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                let mut client = Client::ehlo(to);
                while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok() {
                    client.begin();
                    client.expect("DATA", "354");
                    client.send(&content);
                    client.expect_reply("250 ");
                }
            });
        }
    });
}
