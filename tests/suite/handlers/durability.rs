//! What the command has acknowledged outlives `kill -9`, and nothing else is ever to be seen in the Maildir.

use std::collections::HashMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use crate::support;
use crate::support::client::Client;
use crate::support::command::without_options;
use crate::support::wait_until;

const ROUNDS: usize = 20;
const CLIENTS: usize = 6;

struct Server {
    process: Child,
    address: SocketAddr,
}

impl Server {
    fn start(maildir: &Path, at: SocketAddr) -> Server {
        let mut process = without_options(&mut Command::new(env!("CARGO_BIN_EXE_pillarbox")))
            .args(["-n", "-c", "Maildir", "--maildir"])
            .arg(maildir)
            .arg(at.to_string())
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the command was built");
        let mut line = String::new();
        BufReader::new(process.stderr.take().expect("piped")).read_line(&mut line).expect("text");
        let address = line.trim_end().strip_prefix("pillarbox: listening on ");
        let address = address.unwrap_or_else(|| panic!("{line}")).parse().expect("an address");
        Server { process, address }
    }

    /// SIGKILL, and its end.
    fn kill(mut self) {
        self.process.kill().expect("it runs");
        self.process.wait().expect("our own child");
    }
}

/// A message that names itself in its first and in its last line, some of them larger than any buffer.
fn message(number: usize) -> String {
    let lines = if number.is_multiple_of(7) { 4000 } else { 3 };
    format!("Subject: {number}\r\n\r\n{}last of {number}\r\n", format!("line of {number}\r\n").repeat(lines))
}

/// Sends messages until the server is gone; notes those that were acknowledged.
fn send(server: SocketAddr, numbers: &AtomicUsize, acknowledged: &Mutex<Vec<usize>>, stop: &AtomicBool) {
    let Ok(mut client) = Client::try_raw(server) else { return };
    if !client.reply().starts_with("220") || !client.try_send("EHLO client.example\r\n") {
        return;
    }
    let mut said = client.reply();
    while said.starts_with("250") && !stop.load(Ordering::Relaxed) {
        let number = numbers.fetch_add(1, Ordering::Relaxed);
        let commands = "MAIL FROM:<a@client.example>\r\nRCPT TO:<b@example.org>\r\nDATA\r\n";
        if !client.try_send(commands) {
            return;
        }
        if ["250", "250", "354"].iter().any(|code| !client.reply().starts_with(code)) {
            return;
        }
        if !client.try_send(format!("{}.\r\n", message(number))) {
            return;
        }
        said = client.reply();
        if said.starts_with("250") {
            acknowledged.lock().expect("no panic").push(number);
        }
    }
}

#[test]
fn what_was_acknowledged_outlives_kill_9() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let maildir = folder.path().join("mail");
    let numbers = Arc::new(AtomicUsize::new(0));
    let acknowledged = Arc::new(Mutex::new(Vec::new()));
    let mut server = Server::start(&maildir, SocketAddr::from(([127, 0, 0, 1], 0)));
    let address = server.address;
    for round in 0..ROUNDS {
        let stop = Arc::new(AtomicBool::new(false));
        let before = acknowledged.lock().expect("no panic").len();
        let clients: Vec<_> = (0..CLIENTS)
            .map(|_| {
                let (numbers, acknowledged, stop) = (numbers.clone(), acknowledged.clone(), stop.clone());
                thread::spawn(move || send(address, &numbers, &acknowledged, &stop))
            })
            .collect();
        // At some moment within some message: which, the machine's load decides, and the number of those before it.
        wait_until("no message is acknowledged", || acknowledged.lock().expect("no panic").len() >= before + round);
        server.kill();
        stop.store(true, Ordering::Relaxed);
        clients.into_iter().for_each(|client| client.join().expect("no panic"));
        // At once, at the same port.
        server = Server::start(&maildir, address);
    }
    server.kill();

    let mut stored: HashMap<usize, usize> = HashMap::new();
    for entry in fs::read_dir(maildir.join("new")).expect("a Maildir") {
        let path = entry.expect("a file").path();
        let text = fs::read_to_string(&path).expect("a file");
        let number = text.lines().find_map(|line| line.strip_prefix("Subject: ")).and_then(|n| n.parse().ok());
        let number = number.unwrap_or_else(|| panic!("{} is not whole", path.display()));
        let whole = text.ends_with(&message(number).replace("\r\n", "\n"));
        assert!(whole && text.starts_with("Return-Path: <a@client.example>\n"), "{} is not whole", path.display());
        *stored.entry(number).or_default() += 1;
    }
    let acknowledged = acknowledged.lock().expect("no panic");
    let lost: Vec<_> = acknowledged.iter().filter(|number| !stored.contains_key(number)).collect();
    assert!(lost.is_empty(), "{lost:?} of {} were lost", acknowledged.len());
    // Nobody sent one again, so none is there twice.
    assert!(stored.values().all(|count| *count == 1));
    assert!(acknowledged.len() >= ROUNDS * (ROUNDS - 1) / 2);
}

/// The system calls that decide, in their order, as strace shows them.
fn decisive_calls(trace: &str) -> Vec<&'static str> {
    let call = |line: &str| match line {
        _ if line.contains("fsync(") && line.contains("/mail/tmp/") => Some("the file is on disk"),
        _ if line.contains("rename") && line.contains("/mail/new") => Some("it can be seen"),
        _ if line.contains("fsync(") && line.contains("/mail/new>") => Some("its folder is on disk"),
        _ if line.contains("250 2.0.0 OK ") => Some("the client hears of it"),
        _ => None,
    };
    // A call that another thread's interrupts is shown in two parts, of which the first has the arguments.
    trace.lines().filter(|line| !line.contains("resumed>")).filter_map(call).collect()
}

#[test]
fn the_disk_has_it_before_the_client_hears_of_it() {
    let Some(strace) = support::program("strace") else { return };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (maildir, trace) = (folder.path().join("mail"), folder.path().join("trace"));
    let server = Server::start(&maildir, SocketAddr::from(([127, 0, 0, 1], 0)));
    let mut tracer = Command::new(strace)
        .args(["-f", "-y", "-s", "200", "-e", "trace=fsync,rename,renameat,renameat2,write,sendto", "-o"])
        .arg(&trace)
        .args(["-p", &server.process.id().to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("strace starts");
    // Open to the end: it says more, of each thread.
    let mut said = BufReader::new(tracer.stderr.take().expect("piped"));
    let mut line = String::new();
    said.read_line(&mut line).expect("text");
    if !line.contains("attached") {
        tracer.wait().expect("our own child");
        server.kill();
        return support::missing(&format!("this process may not be traced: {}", line.trim_end()));
    }
    let mut client = Client::envelope(server.address);
    client.expect("DATA", "354");
    client.expect("Subject: x\r\n\r\nbody\r\n.", "250 2.0.0 OK ");
    client.expect("QUIT", "221");
    server.kill();
    // It ends with whom it traces.
    tracer.wait().expect("our own child");
    assert_eq!(
        decisive_calls(&fs::read_to_string(&trace).expect("a trace")),
        ["the file is on disk", "it can be seen", "its folder is on disk", "the client hears of it"]
    );
}
