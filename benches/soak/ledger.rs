//! What became of each message, by the word of its client and by what is in the Maildir.

use std::collections::HashMap;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// A message's fate, as far as its client knows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fate {
    /// Its client has read 250: it must be there, once.
    Accepted,
    /// Its client has read a 4xx or 5xx: it must not be there.
    Refused,
    /// Its client gave it up before its end: it must not be there.
    Unfinished,
    /// It went out whole, and its client did not wait for the reply: it may be there, once.
    Unknown,
    /// Its client had begun it and did nothing wrong, but this server (the how many-th) gave no reply. It may be there, once;
    /// and the server must have been killed.
    Cut(usize),
}

#[derive(Default)]
pub struct Ledger {
    next: AtomicU64,
    // Of the servers, those that were told to end. The last one in the list runs.
    told: Mutex<Vec<bool>>,
    fates: Mutex<HashMap<u64, Fate>>,
    found: Mutex<HashMap<u64, u64>>,
    broken: AtomicU64,
}

impl Ledger {
    pub fn number(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    pub fn note(&self, number: u64, fate: Fate) {
        self.fates.lock().expect("no panic").insert(number, fate);
    }

    /// A server is about to start.
    pub fn begin_server(&self) {
        self.told.lock().expect("no panic").push(false);
    }

    /// The server that runs is told to end, and so may leave no message unanswered.
    pub fn end_server(&self) {
        *self.told.lock().expect("no panic").last_mut().expect("a server runs") = true;
    }

    /// Which server runs, if one does.
    pub fn server(&self) -> usize {
        self.told.lock().expect("no panic").len()
    }

    /// Says the sums; true if none of them breaks a promise.
    pub fn settle(&self) -> bool {
        let told = self.told.lock().expect("no panic");
        let settled = |fate: Fate| match fate {
            // Whoever is killed can say nothing.
            Fate::Cut(server) if !told[server - 1] => Fate::Unknown,
            other => other,
        };
        let fates: HashMap<u64, Fate> =
            self.fates.lock().expect("no panic").iter().map(|(number, fate)| (*number, settled(*fate))).collect();
        let found = self.found.lock().expect("no panic");
        let copies = |number: &u64| found.get(number).copied().unwrap_or(0);
        let count = |fate: Fate| fates.values().filter(|other| **other == fate).count();
        let which = |fate: Fate, bad: &dyn Fn(u64) -> bool| {
            fates.iter().filter(|(number, other)| **other == fate && bad(copies(number))).count()
        };
        println!(
            "soak: {} accepted, {} refused, {} unfinished, {} unknown of which {} arrived",
            count(Fate::Accepted),
            count(Fate::Refused),
            count(Fate::Unfinished),
            count(Fate::Unknown),
            which(Fate::Unknown, &|copies| copies > 0)
        );
        let sums = [
            ("accepted and lost", which(Fate::Accepted, &|copies| copies == 0)),
            ("accepted and there twice", which(Fate::Accepted, &|copies| copies > 1)),
            ("refused and there", which(Fate::Refused, &|copies| copies > 0)),
            ("unfinished and there", which(Fate::Unfinished, &|copies| copies > 0)),
            ("unknown and there twice", which(Fate::Unknown, &|copies| copies > 1)),
            (
                "cut by a server that was told to end",
                fates.values().filter(|fate| matches!(fate, Fate::Cut(_))).count(),
            ),
            ("there and never sent", found.keys().filter(|number| !fates.contains_key(number)).count()),
            ("not whole", self.broken.load(Ordering::Relaxed) as usize),
        ];
        for (what, sum) in sums {
            println!("soak: {sum} {what}");
        }
        let is_settled = sums.iter().all(|(_, sum)| *sum == 0) && count(Fate::Accepted) > 0;
        println!("soak: {}", if is_settled { "every message is accounted for" } else { "FAILED" });
        is_settled
    }
}

/// A message that names itself at its beginning and at its end.
pub fn message(number: u64, lines: u64) -> String {
    let line = format!("line of {number} ...............................................................\r\n");
    format!("Subject: {number} {lines}\r\n\r\n{}last of {number}\r\n", line.repeat(lines as usize))
}

/// Takes messages out of the Maildir, as a mail reader does, and looks whether they are whole.
pub struct Reader {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Reader {
    pub fn start(new: PathBuf, ledger: Arc<Ledger>) -> Reader {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = thread::spawn(move || {
            loop {
                // Asked before the look, so that the last look comes after the last message.
                let is_last = stopped.load(Ordering::Relaxed);
                for entry in fs::read_dir(&new).expect("a Maildir").flatten() {
                    take(&entry.path(), &ledger);
                }
                if is_last {
                    return;
                }
                thread::sleep(Duration::from_millis(50));
            }
        });
        Reader { stop, thread }
    }

    /// Takes what is left.
    pub fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("the reader does not panic");
    }
}

fn take(path: &std::path::Path, ledger: &Ledger) {
    let text = fs::read_to_string(path).unwrap_or_default();
    match parse(&text) {
        Some(number) => *ledger.found.lock().expect("no panic").entry(number).or_default() += 1,
        None => {
            println!("soak: {} is not whole", path.display());
            ledger.broken.fetch_add(1, Ordering::Relaxed);
        }
    }
    fs::remove_file(path).expect("our own folder");
}

/// The number of a message that is whole.
fn parse(text: &str) -> Option<u64> {
    let subject = text.lines().find_map(|line| line.strip_prefix("Subject: "))?;
    let (number, lines) = subject.split_once(' ')?;
    let (number, lines) = (number.parse().ok()?, lines.parse().ok()?);
    text.ends_with(&message(number, lines).replace("\r\n", "\n")).then_some(number)
}
