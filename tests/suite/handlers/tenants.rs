//! The example that stores many messages in one transaction: what it has acknowledged is in a database, whenever it is killed.

/// The program's own tests.
#[path = "../../../examples/tenants.rs"]
#[expect(dead_code, reason = "it is run as a program of its own")]
mod program;

use std::collections::{HashMap, HashSet};
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crate::support::client::Client;
use crate::support::{example, wait_until};
use rusqlite::Connection;

const TENANTS: [&str; 2] = ["one.example", "two.example"];
const ROUNDS: usize = 8;
const CLIENTS: usize = 24;

/// Killed with the value, so that its clients end.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        self.0.kill().expect("it runs");
        self.0.wait().expect("our own child");
    }
}

fn start(folder: &Path) -> Option<(Server, SocketAddr)> {
    let mut command = example("tenants")?;
    command.arg("127.0.0.1:0").arg(folder).arg("1000000000").stdin(Stdio::null()).stderr(Stdio::piped());
    let mut process = command.spawn().expect("the example runs");
    let mut line = String::new();
    BufReader::new(process.stderr.take().expect("piped")).read_line(&mut line).expect("text");
    let address = line.trim_end().strip_prefix("listening on ").unwrap_or_else(|| panic!("{line}"));
    Some((Server(process), address.parse().expect("an address")))
}

/// Sends messages until the server is gone; notes those that were acknowledged.
fn send(server: SocketAddr, numbers: &AtomicUsize, acknowledged: &Mutex<HashSet<usize>>) {
    let Ok(mut client) = Client::try_raw(server) else { return };
    if !client.reply().starts_with("220") || !client.try_send("HELO client.example\r\n") {
        return;
    }
    let mut said = client.reply();
    while said.starts_with("250") {
        let number = numbers.fetch_add(1, Ordering::Relaxed);
        let to = TENANTS[number % TENANTS.len()];
        let commands = format!("MAIL FROM:<>\r\nRCPT TO:<a@{to}>\r\nDATA\r\n");
        if !client.try_send(commands) || ["250", "250", "354"].iter().any(|code| !client.reply().starts_with(code)) {
            return;
        }
        if !client.try_send(format!("{number}\r\n.\r\n")) {
            return;
        }
        said = client.reply();
        if said.starts_with("250") {
            acknowledged.lock().unwrap().insert(number);
        }
    }
}

/// How often each message is in a tenant's database.
fn stored(folder: &Path, tenant: &str) -> HashMap<usize, usize> {
    let db = Connection::open(folder.join(format!("{tenant}.db"))).unwrap();
    let mut rows = db.prepare("SELECT content FROM mail").unwrap();
    let contents = rows.query_map([], |row| row.get::<_, Vec<u8>>(0)).unwrap();
    let mut stored = HashMap::new();
    for content in contents {
        let content = String::from_utf8(content.unwrap()).unwrap();
        *stored.entry(content.trim_end().parse().expect("a whole message")).or_default() += 1;
    }
    stored
}

#[test]
fn what_was_acknowledged_outlives_kill_9() {
    let folder = tempfile::tempdir().unwrap();
    TENANTS.iter().for_each(|tenant| std::fs::write(folder.path().join(format!("{tenant}.db")), "").unwrap());
    let numbers = AtomicUsize::new(0);
    let acknowledged = Mutex::new(HashSet::new());
    for round in 1..=ROUNDS {
        let Some((server, address)) = start(folder.path()) else { return };
        let (numbers, acknowledged) = (&numbers, &acknowledged);
        thread::scope(move |scope| {
            (0..CLIENTS).for_each(|_| drop(scope.spawn(move || send(address, numbers, acknowledged))));
            let before = acknowledged.lock().unwrap().len();
            wait_until("no message is acknowledged", || acknowledged.lock().unwrap().len() >= before + 10 * round);
            drop(server);
        });
    }
    let stored = TENANTS.map(|tenant| stored(folder.path(), tenant));
    let acknowledged = acknowledged.into_inner().unwrap();
    let lost: Vec<_> =
        acknowledged.iter().filter(|number| !stored[*number % TENANTS.len()].contains_key(number)).collect();
    assert!(lost.is_empty(), "{lost:?} of {} were lost", acknowledged.len());
    assert!(stored.iter().flat_map(HashMap::values).all(|count| *count == 1), "some are there twice");
}
