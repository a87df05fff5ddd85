//! Numbered messages through the whole chain, of which receivers, workers and Redis are killed: each must be accounted for.

use std::collections::HashMap;
use std::fmt::{self, Display, Formatter};
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::chain::Member;
use super::chance::Chance;
use super::client::{Client, PATIENCE};
use super::redis::Redis;
use super::wait_until;

/// What became of the messages.
#[derive(Debug, Default)]
pub struct Sums {
    /// Of receivers, workers and Redis.
    pub kills: [usize; 3],
    pub acknowledged: usize,
    pub acknowledged_and_lost: usize,
    pub acknowledged_and_there_twice: usize,
    /// No 250 was read for them: each may be there, once.
    pub unknown: usize,
    pub unknown_and_there: usize,
    pub unknown_and_there_twice: usize,
}

impl Sums {
    pub fn are_good(&self) -> bool {
        self.acknowledged_and_lost + self.acknowledged_and_there_twice + self.unknown_and_there_twice == 0
    }
}

impl Display for Sums {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let [receivers, workers, redis] = self.kills;
        write!(
            f,
            "kill -9: {receivers} of receivers, {workers} of workers, {redis} of Redis\n\
             {} acknowledged: {} lost, {} there twice\n\
             {} without an answer: {} there, {} there twice",
            self.acknowledged,
            self.acknowledged_and_lost,
            self.acknowledged_and_there_twice,
            self.unknown,
            self.unknown_and_there,
            self.unknown_and_there_twice
        )
    }
}

#[derive(Default)]
struct Ledger {
    next: AtomicU64,
    is_over: AtomicBool,
    /// Whether each was acknowledged.
    fates: Mutex<HashMap<u64, bool>>,
    acknowledged: AtomicU64,
}

/// Kills one of the chain after some acknowledged messages, at most `pause` of them, until `is_over`.
pub fn run(
    redis: &mut Redis,
    maildir: &Path,
    seed: u64,
    pause: u64,
    mut is_over: impl FnMut(&[usize; 3]) -> bool,
) -> Sums {
    let url = redis.url();
    let receiver = |address: &str| Member::receiver(&url, &[], address);
    let folder = maildir.to_str().expect("a path");
    let names = ["one", "two"];
    let worker = |name| Member::worker(&url, &["--consumer", name, "--take-over-after", "1", "--maildir", folder]);
    let mut receivers = [(); 2].map(|()| Some(receiver("127.0.0.1:0")));
    let mut workers = names.map(|name| Some(worker(name)));
    let places = receivers.each_ref().map(|receiver| receiver.as_ref().map(Member::address).expect("it runs"));
    let (ledger, mut chance, mut kills) = (Ledger::default(), Chance(seed), [0; 3]);
    thread::scope(|scope| {
        for client in 0..6 {
            let (ledger, places) = (&ledger, &places);
            scope.spawn(move || send(ledger, places, Chance(seed.wrapping_add(client + 1))));
        }
        // Also if something here fails.
        let _over = Over(&ledger);
        while !is_over(&kills) {
            let enough = ledger.acknowledged.load(Ordering::Relaxed) + 1 + chance.below(pause);
            wait_until("no message is acknowledged", || {
                thread::sleep(Duration::from_millis(1));
                ledger.acknowledged.load(Ordering::Relaxed) >= enough
            });
            let which = chance.below(2) as usize;
            let kind = chance.below(3) as usize;
            kills[kind] += 1;
            match kind {
                0 => {
                    receivers[which].take().expect("it runs").kill();
                    receivers[which] = Some(receiver(&places[which].to_string()));
                }
                1 => {
                    workers[which].take().expect("it runs").kill();
                    workers[which] = Some(worker(names[which]));
                }
                _ => {
                    redis.kill();
                    redis.restart();
                }
            }
        }
    });
    wait_until("the stream is not emptied", || {
        thread::sleep(Duration::from_millis(10));
        redis.say::<usize>("XLEN pillarbox") == 0
    });
    receivers.into_iter().chain(workers).flatten().for_each(|member| drop(member.end()));
    settle(&ledger, maildir, kills)
}

struct Over<'a>(&'a Ledger);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.is_over.store(true, Ordering::Relaxed);
    }
}

/// Sends until it is over, over another connection when one is lost.
fn send(ledger: &Ledger, places: &[SocketAddr], mut chance: Chance) {
    while !ledger.is_over.load(Ordering::Relaxed) {
        let place = places[chance.below(places.len() as u64) as usize];
        let Ok(mut client) = Client::try_raw(place) else {
            thread::sleep(Duration::from_millis(1));
            continue;
        };
        if !client.reply().starts_with("220 ") || !client.try_send("EHLO client.example\r\n") {
            continue;
        }
        let mut said = client.reply();
        for _ in 0..5 {
            let envelope = "MAIL FROM:<a@client.example>\r\nRCPT TO:<b@example.org>\r\nDATA\r\n";
            // While Redis is away mail is refused before its content.
            let is_taken = said.starts_with("250")
                && client.try_send(envelope)
                && ["250", "250", "354"].iter().all(|code| client.reply().starts_with(code));
            if !is_taken {
                thread::sleep(Duration::from_millis(chance.below(20)));
                break;
            }
            let number = ledger.next.fetch_add(1, Ordering::Relaxed);
            said = match client.try_send(format!("Subject: {number}\r\n\r\nend of {number}\r\n.\r\n")) {
                true => client.reply(),
                false => String::new(),
            };
            let is_acknowledged = said.starts_with("250 ");
            ledger.fates.lock().insert(number, is_acknowledged);
            if is_acknowledged {
                ledger.acknowledged.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

fn settle(ledger: &Ledger, maildir: &Path, kills: [usize; 3]) -> Sums {
    let mut copies: HashMap<u64, usize> = HashMap::new();
    for file in fs::read_dir(maildir.join("new")).expect("a Maildir") {
        let text = fs::read_to_string(file.expect("an entry").path()).expect("text");
        let number = text.lines().find_map(|line| line.strip_prefix("Subject: ")).expect("a subject");
        assert!(text.ends_with(&format!("end of {number}\n")), "{text:?} is not whole");
        *copies.entry(number.parse().expect("a number")).or_default() += 1;
    }
    let mut sums = Sums { kills, ..Sums::default() };
    for (number, is_acknowledged) in &*ledger.fates.lock() {
        let copies = copies.get(number).copied().unwrap_or(0);
        if *is_acknowledged {
            sums.acknowledged += 1;
            sums.acknowledged_and_lost += usize::from(copies == 0);
            sums.acknowledged_and_there_twice += usize::from(copies > 1);
        } else {
            sums.unknown += 1;
            sums.unknown_and_there += usize::from(copies > 0);
            sums.unknown_and_there_twice += usize::from(copies > 1);
        }
    }
    sums
}

/// Whether the time is over: for those who go by it.
pub fn for_seconds(seconds: u64) -> impl FnMut(&[usize; 3]) -> bool {
    let begun = Instant::now();
    move |_| begun.elapsed() >= Duration::from_secs(seconds).max(PATIENCE / 100)
}
