//! The class Pipe: a program answers for each message.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::client::{Client, PATIENCE};
use crate::support::command::{Process, Running, command};
use crate::support::process::{children, runs};
use crate::support::program;

fn example(name: &str) -> String {
    format!("{}/examples/pipe/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// The exit status and stderr of a command that is not to become a server.
fn refused(arguments: &[&str]) -> (Option<i32>, String) {
    let mut process = Process::start(&mut command(arguments));
    let mut err = String::new();
    let mut stderr = BufReader::new(process.0.stderr.take().expect("piped"));
    while stderr.read_line(&mut err).expect("text") > 0 {
        assert!(!err.contains("listening on"), "{arguments:?} serves");
    }
    (process.0.wait().expect("a child").code(), err)
}

fn send(client: &mut Client, content: &str, reply: &str) {
    client.begin();
    client.expect("DATA", "354");
    client.expect(format!("{content}."), reply);
}

#[test]
fn a_program_with_arguments_decides() {
    let folder = tempfile::tempdir().unwrap();
    let script = "cat > \"$1/$2\"; echo trouble >&2; exit 75";
    let path = folder.path().to_str().unwrap();
    // Whatever follows the two hyphens is the program's, even if it looks like an option of the server.
    let arguments = ["-n", "-c", "Pipe", "--lf", "127.0.0.1:0", "--", "sh", "-c", script, "--smtputf8", path, "--lf"];
    let server = Running::start(&arguments);
    send(&mut Client::ehlo(server.address()), "Subject: x\r\n\r\nbody\r\n", "451 4.3.0");
    assert_eq!(fs::read(folder.path().join("--lf")).unwrap(), b"Subject: x\n\nbody\n");
    server.signal("TERM");
    let (status, _, err) = server.finish();
    assert!(status.success() && err.contains(": sh: trouble"), "{err}");
}

#[test]
fn the_exit_status_is_known_even_if_the_parent_ignores_the_end_of_children() {
    let mut shell = Command::new("sh");
    shell.args(["-c", "trap '' CHLD; exec \"$0\" -n -c Pipe 127.0.0.1:0 -- sh -c 'exit 75'"]);
    shell.arg(env!("CARGO_BIN_EXE_pillarbox")).stderr(std::process::Stdio::piped());
    let server = Running::start_command(shell);
    send(&mut Client::ehlo(server.address()), "x\r\n", "451 4.3.0 Try again later");
    let mut shell = Command::new("sh");
    shell.args(["-c", "trap '' CHLD; exec \"$0\" -n -c Pipe 127.0.0.1:0 -- true"]);
    shell.arg(env!("CARGO_BIN_EXE_pillarbox")).stderr(std::process::Stdio::piped());
    let server = Running::start_command(shell);
    send(&mut Client::ehlo(server.address()), "x\r\n", "250 2.0.0 OK");
}

#[cfg(target_os = "linux")]
#[test]
fn each_run_leaves_nothing_in_the_server() {
    let script = "sleep 1000 & cat; echo trouble >&2";
    let server = Running::start(&["-n", "-c", "Pipe", "127.0.0.1:0", "--", "sh", "-c", script]);
    let process = server.process.0.id();
    let open = || fs::read_dir(format!("/proc/{process}/fd")).unwrap().count();
    let threads = || fs::read_dir(format!("/proc/{process}/task")).unwrap().count();
    let mut client = Client::ehlo(server.address());
    let mut before = None;
    for number in 0..60 {
        send(&mut client, "x\r\n", "250 2.0.0");
        if number == 9 {
            before = Some((open(), threads()));
        }
    }
    let (open_before, threads_before) = before.expect("ten were sent");
    assert_eq!(open(), open_before);
    // A thread may not be idle yet when the next message comes.
    assert!(threads() <= threads_before + 5);
    assert_eq!(children(process), [] as [&str; 0]);
}

#[test]
fn each_time_and_number() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap();
    let script = "echo $PILLARBOX_RECIPIENTS >> $0/all; case $PILLARBOX_RECIPIENTS in slow@*) exec sleep 1000;; esac";
    let options = ["--lmtp", "--pipe-each", "--pipe-timeout", "2.5", "--pipe-processes", "1"];
    let server = Running::start(
        &[&["-n", "-c", "smtpd.pipe"], &options[..], &["127.0.0.1:0", "--", "sh", "-c", script, path]].concat(),
    );
    let mut client = Client::connect(server.address());
    client.expect("LHLO client.example", "250");
    client.expect("MAIL FROM:<>", "250");
    client.expect("RCPT TO:<slow@example.org>", "250");
    client.expect("RCPT TO:<fast@example.org>", "250");
    client.expect("DATA", "354");
    client.expect("x\r\n.", "451 4.3.0 Processing took too long");
    client.expect_reply("250 2.0.0");
    assert_eq!(fs::read_to_string(folder.path().join("all")).unwrap(), "slow@example.org\nfast@example.org\n");
}

#[test]
fn what_is_wrong_is_told_at_the_start() {
    for (arguments, status, message) in [
        (&["-c", "Pipe"][..], 2, "-c Pipe needs -- PROGRAM"),
        (&["-c", "Pipe", "--"], 2, "-c Pipe needs -- PROGRAM"),
        (&["-c", "Sink", "--", "true"], 2, "-- PROGRAM is for -c Pipe"),
        (&["--", "true"], 2, "-- PROGRAM is for -c Pipe"),
        (&["-c", "Sink", "--lf"], 2, "--lf is for -c Pipe"),
        (&["-c", "Sink", "--pipe-timeout", "5"], 2, "--pipe-timeout is for -c Pipe"),
        (&["-c", "Sink", "--pipe-processes", "5"], 2, "--pipe-processes is for -c Pipe"),
        (&["-c", "Sink", "--pipe-each"], 2, "--pipe-each is for -c Pipe"),
        (&["-c", "Pipe", "--pipe-timeout", "0", "--", "true"], 2, "a number of seconds above 0"),
        (&["-c", "Pipe", "--pipe-processes", "0", "--", "true"], 2, "a number above 0"),
        (&["-c", "Pipe", "--", "/nowhere/accept.py"], 1, "cannot run /nowhere/accept.py: No such file"),
        (&["-c", "Pipe", "--", "/"], 1, "cannot run /: it is not a file"),
        (&["-c", "Pipe", "--", "no-such-program"], 1, "cannot run no-such-program: it is not in PATH"),
        (&["-c", "Pipe", "--", concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")], 1, "denied"),
    ] {
        let (code, err) = refused(&[&["-n", "127.0.0.1:0"], arguments].concat());
        assert!(code == Some(status) && err.contains(message), "{arguments:?}: {code:?} {err}");
    }
}

#[test]
fn two_signals_leave_no_program() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap();
    let script = "trap '' TERM; sleep 1000 & echo $! >> $0/pids; echo $$ >> $0/pids; while :; do wait; done";
    let server = Running::start(&["-n", "-c", "Pipe", "127.0.0.1:0", "--", "sh", "-c", script, path]);
    let mut client = Client::envelope(server.address());
    client.expect("DATA", "354");
    client.send("x\r\n.\r\n");
    let pids = || -> Vec<i32> {
        let text = fs::read_to_string(folder.path().join("pids")).unwrap_or_default();
        text.lines().filter_map(|line| line.parse().ok()).collect()
    };
    let deadline = Instant::now() + PATIENCE;
    while pids().len() < 2 {
        assert!(Instant::now() < deadline, "no program runs");
        thread::sleep(Duration::from_millis(5));
    }
    let mut idle = Client::connect(server.address());
    server.signal("TERM");
    // Only now: two signals that come at once are one.
    idle.expect_reply("421 4.3.2");
    server.signal("TERM");
    let (status, ..) = server.finish();
    assert_eq!(status.code(), Some(1));
    while pids().iter().any(|process| runs(*process)) {
        assert!(Instant::now() < deadline, "{:?} still run", pids());
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn the_script_of_the_page_from_smtpd_takes_the_place_of_its_class() {
    if program("python3").is_none() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut words = command(&["-n", "-c", "Pipe", "--lf", "127.0.0.1:0", "--", &example("accept.py")]);
    words.current_dir(folder.path());
    let server = Running::start_command(words);
    let mut client = Client::ehlo(server.address());
    send(&mut client, "Subject: x\r\n\r\nbody\r\n", "550 5.1.1 no such user");
    client.expect("MAIL FROM:<>", "250");
    client.expect("RCPT TO:<alice@example.org>", "250");
    client.expect("RCPT TO:<bob@example.org>", "250");
    client.expect("DATA", "354");
    let reply = client.expect("Subject: x\r\n\r\nbody\r\n.", "250 2.0.0 OK ");
    let id = reply.rsplit(' ').next().unwrap();
    assert_eq!(fs::read(folder.path().join(format!("{id}.eml"))).unwrap(), b"Subject: x\n\nbody\n");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    // Where it cannot store, the client tries again, and the log says why.
    let limited = ["sh", "-c", "ulimit -f 0; exec \"$0\"", &example("accept.py")];
    let mut words = command(&[&["-n", "-c", "Pipe", "127.0.0.1:0", "--"], &limited[..]].concat());
    words.current_dir(folder.path());
    let server = Running::start_command(words);
    let mut client = Client::ehlo(server.address());
    client.expect("MAIL FROM:<>", "250");
    client.expect("RCPT TO:<bob@example.org>", "250");
    client.expect("DATA", "354");
    client.expect("Subject: x\r\n\r\nbody\r\n.", "451 4.3.0");
    server.signal("TERM");
    let (status, _, err) = server.finish();
    assert!(status.success() && err.contains("File too large"), "{err}");
}

/// A web server that keeps what is posted to it, and now and then is busy.
#[derive(Clone, Default)]
struct Web(Arc<Mutex<HashMap<String, (String, String)>>>);

impl Web {
    fn start(&self) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let web = self.clone();
        thread::spawn(move || {
            for (number, stream) in listener.incoming().enumerate() {
                let web = web.clone();
                thread::spawn(move || web.answer(stream.unwrap(), number % 9 == 8));
            }
        });
        address
    }

    fn answer(&self, stream: TcpStream, is_busy: bool) {
        let mut reader = BufReader::new(stream);
        let mut headers = HashMap::new();
        let mut length = 0;
        for line in reader.by_ref().lines().map(Result::unwrap).take_while(|line| !line.is_empty()) {
            if let Some((name, value)) = line.split_once(": ") {
                headers.insert(name.to_ascii_lowercase(), value.to_owned());
            }
        }
        if let Some(value) = headers.get("content-length") {
            length = value.parse().unwrap();
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        let body = String::from_utf8(body).unwrap();
        let status = if is_busy { "503 Service Unavailable" } else { "201 Created" };
        if body.contains("no, thanks") {
            let _ = reader.get_mut().write_all(b"HTTP/1.1 422 Unprocessable Content\r\nContent-Length: 0\r\n\r\n");
            return;
        }
        if !is_busy {
            let envelope = format!("{} -> {}", headers["mail-from"], headers["mail-to"]);
            self.0.lock().unwrap().insert(headers["mail-id"].clone(), (envelope, body));
        }
        // A program that was killed does not read it.
        let _ = write!(reader.get_mut(), "HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    }
}

/// Sends messages, each until it is acknowledged, until none is left or the server is gone.
fn send_all(server: SocketAddr, left: &Mutex<Vec<usize>>, acknowledged: &Mutex<HashMap<String, usize>>) {
    let Ok(mut client) = Client::try_raw(server) else { return };
    if !client.reply().starts_with("220") || !client.try_send("EHLO client.example\r\n") {
        return;
    }
    client.reply();
    let next = || left.lock().unwrap().pop();
    while let Some(number) = next() {
        let send = |client: &mut Client| {
            for line in [
                "MAIL FROM:<a@client.example>".to_owned(),
                "RCPT TO:<b@example.org>".to_owned(),
                "DATA".to_owned(),
                format!("Subject: {number}\r\n\r\nbody of {number}\r\n."),
            ] {
                if !client.try_send(format!("{line}\r\n")) {
                    return None;
                }
                let reply = client.reply();
                if !reply.starts_with(['2', '3']) {
                    return Some(reply);
                }
                if let Some(id) = reply.strip_prefix("250 2.0.0 OK ").filter(|_| line.ends_with("\r\n.")) {
                    acknowledged.lock().unwrap().insert(id.to_owned(), number);
                }
            }
            Some(String::new())
        };
        match send(&mut client) {
            Some(reply) if reply.is_empty() => {}
            Some(reply) if reply.starts_with("451") => left.lock().unwrap().push(number),
            // 421, or nothing at all.
            _ => {
                left.lock().unwrap().push(number);
                return;
            }
        }
    }
}

#[test]
fn mail_to_http_loses_nothing_through_sigterm() {
    const MESSAGES: usize = 60;
    if program("python3").is_none() {
        return;
    }
    let web = Web::default();
    let url = format!("http://{}/mail", web.start());
    let script = example("to_http.py");
    let arguments = ["-n", "-c", "Pipe", "--pipe-processes", "4", "127.0.0.1:0", "--", &script, &url];
    let (left, acknowledged) = (Arc::new(Mutex::new((0..MESSAGES).collect())), Arc::<Mutex<HashMap<_, _>>>::default());
    let mut server = Running::start(&arguments);
    for stop_after in [10, 25, 45, MESSAGES] {
        let address = server.address();
        let clients: Vec<_> = (0..4)
            .map(|_| {
                let (left, acknowledged) = (left.clone(), acknowledged.clone());
                thread::spawn(move || send_all(address, &left, &acknowledged))
            })
            .collect();
        let (mut before, mut deadline) = (0, Instant::now() + PATIENCE);
        while before < stop_after {
            let now = acknowledged.lock().unwrap().len();
            if now > before {
                (before, deadline) = (now, Instant::now() + PATIENCE);
            }
            assert!(Instant::now() < deadline, "no more than {now} are acknowledged");
            thread::sleep(Duration::from_millis(2));
        }
        server.signal("TERM");
        clients.into_iter().for_each(|client| client.join().unwrap());
        let (status, ..) = server.finish();
        assert!(status.success());
        server = Running::start(&arguments);
    }
    let mut client = Client::ehlo(server.address());
    send(&mut client, "Subject: no, thanks\r\n\r\n", "554 5.6.0 the web server refuses");
    let (stored, acknowledged) = (web.0.lock().unwrap(), acknowledged.lock().unwrap());
    for (id, number) in acknowledged.iter() {
        let (envelope, body) = stored.get(id).unwrap_or_else(|| panic!("{number} was acknowledged and is lost"));
        assert_eq!(envelope, "a@client.example -> b@example.org");
        assert_eq!(*body, format!("Subject: {number}\r\n\r\nbody of {number}\r\n"));
    }
    let numbers: HashSet<_> = acknowledged.values().collect();
    assert_eq!(numbers.len(), MESSAGES);
}

#[test]
fn the_examples_can_be_run() {
    if program("python3").is_none() {
        return;
    }
    for name in ["accept.py", "to_http.py"] {
        let path = PathBuf::from(example(name));
        pillarbox::handlers::Pipe::new(&path).check().unwrap_or_else(|e| panic!("{name}: {e}"));
    }
}
