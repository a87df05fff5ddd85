//! The `pillarbox` command, from outside.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use crate::support::client;
use crate::support::client::{Client, PATIENCE};
use crate::support::command::{Process, Running, command};
use crate::support::process::free_descriptors;
use crate::support::{missing, wait_until};
use parking_lot::RwLock;

/// The exit status, stdout and stderr of a command that is not to become a server.
fn ended(command: &mut Command) -> (Option<i32>, String, String) {
    let mut process = Process::start(command);
    let (mut out, mut err) = (String::new(), String::new());
    let mut stderr = BufReader::new(process.0.stderr.take().expect("piped"));
    while stderr.read_line(&mut err).expect("text") > 0 {
        // It would not end by itself.
        assert!(!err.contains("listening on"), "{command:?} serves");
    }
    process.0.stdout.take().expect("piped").read_to_string(&mut out).expect("text");
    (process.0.wait().expect("a child").code(), out, err)
}

fn send(client: &mut Client, content: &str, reply: &str) {
    client.begin();
    client.expect("DATA", "354");
    client.expect(format!("{content}\r\n."), reply);
}

#[test]
fn messages_are_printed() {
    let mut server = Running::start(&["-n", "127.0.0.1:0"]);
    let mut client = Client::ehlo(server.address());
    send(&mut client, "Subject: hello\r\n\r\nbody \x1b[2J", "250 2.0.0 OK");
    assert_eq!(
        server.printed(),
        [
            "---------- MESSAGE FOLLOWS ----------",
            "Subject: hello",
            "X-Peer: 127.0.0.1",
            "",
            "body \\x1b[2J",
            "------------ END MESSAGE ------------"
        ]
    );
}

/// Under smtpd, SIZE was announced only with `-s`, so clients did not declare it otherwise.
#[test]
fn the_declared_size_is_printed_if_a_limit_was_given() {
    for (options, line) in [(&[][..], "Subject: x"), (&["-s", "5000"], "mail options: ['SIZE=100']")] {
        let mut server = Running::start(&[&["-n"], options, &["127.0.0.1:0"]].concat());
        let mut client = Client::ehlo(server.address());
        client.expect("MAIL FROM:<a@client.example> size=100", "250");
        client.expect("RCPT TO:<b@example.org>", "250");
        client.expect("DATA", "354");
        client.expect("Subject: x\r\n.", "250");
        assert_eq!(server.printed()[1], line);
    }
}

#[test]
fn ipv6_and_names() {
    for address in ["[::1]:0", "localhost:0", ":0"] {
        if address == "[::1]:0" && TcpListener::bind(address).is_err() {
            missing("this machine has no IPv6");
            continue;
        }
        let server = Running::start(&["-n", "-c", "smtpd.debuggingserver", address]);
        Client::connect(server.address()).expect("NOOP", "250");
    }
}

#[test]
fn settings() {
    let server = Running::start(&[
        "-n",
        "-u",
        "-s",
        "1000",
        "-c",
        "Sink",
        "--max-recipients",
        "100",
        "--hostname",
        "mx.example",
        "127.0.0.1:0",
    ]);
    let mut client = Client::raw(server.address());
    assert_eq!(client.reply(), "220 mx.example ESMTP pillarbox");
    let reply = client.say("EHLO client.example");
    for line in ["SIZE 1000\n", "SMTPUTF8\n", "RCPTMAX=100\n"] {
        assert!(reply.contains(line), "{reply}");
    }
    client.expect("MAIL FROM:<> SIZE=1001", "552 5.3.4");
    send(&mut client, &"x".repeat(1000), "552 5.3.4");
    send(&mut client, "x", "250");
}

#[test]
fn connections_and_time() {
    let server = Running::start(&["-n", "--max-connections", "1", "127.0.0.1:0"]);
    let mut first = Client::connect(server.address());
    Client::raw(server.address()).expect_reply("421 4.3.2");
    first.expect_in_step();
    let server = Running::start(&["-n", "--timeout", "0.5", "127.0.0.1:0"]);
    let mut silent = Client::connect(server.address());
    silent.expect_reply("421 4.4.2");
    silent.expect_close();
}

#[test]
fn connections_of_one_address() {
    let server = Running::start(&["-n", "--max-per-address", "1", "127.0.0.1:0"]);
    let mut first = Client::connect(server.address());
    Client::raw(server.address()).expect_reply("421 4.7.0");
    first.expect_in_step();
}

#[test]
fn a_maildir() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mail");
    let server = Running::start(&["-n", "-c", "Maildir", "--maildir", path.to_str().unwrap(), "127.0.0.1:0"]);
    send(&mut Client::ehlo(server.address()), "x", "250");
    assert_eq!(std::fs::read_dir(path.join("new")).unwrap().count(), 1);
}

#[test]
fn proxies_are_this_machine_or_those_named() {
    const HEADER: &str = "PROXY TCP4 192.0.2.1 198.51.100.2 1234 25\r\n";
    for (arguments, trusted) in [
        (&["--proxy-protocol"][..], true),
        (&["--proxy-protocol", "127.0.0.0/8,::1"], true),
        (&["--proxy-protocol=192.0.2.0/24"], false),
        (&["--proxy-protocol", "192.0.2.0/24"], false),
    ] {
        let server = Running::start(&[&["-n", "-c", "Sink"], arguments, &["127.0.0.1:0"]].concat());
        let mut client = Client::raw(server.address());
        client.send(HEADER);
        client.expect_reply("220 ");
        assert_eq!(client.say("NOOP").starts_with("250"), trusted, "{arguments:?}");
    }
}

#[test]
fn lmtp_and_users() {
    let server = Running::start(&["-n", "-c", "Sink", "--lmtp", "127.0.0.1:0"]);
    let mut client = Client::raw(server.address());
    assert!(client.reply().contains(" LMTP pillarbox"));
    client.expect("LHLO client.example", "250");
    let users = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(users.path(), "# comment\nbob:builder\n").unwrap();
    let file = users.path().to_str().unwrap();
    let server = Running::start(&["-n", "-c", "Sink", "--users", file, "--require-auth", "127.0.0.1:0"]);
    let mut client = Client::ehlo(server.address());
    client.expect("MAIL FROM:<>", "530 5.7.0");
    client.expect("AUTH PLAIN AGJvYgBidWlsZGVy", "235 2.7.0");
    send(&mut client, "x", "250");
    // The file is read again; one that is wrong changes nothing.
    let said = |server: &mut Running| {
        server.signal("HUP");
        let mut line = String::new();
        server.stderr.read_line(&mut line).unwrap();
        line
    };
    std::fs::write(users.path(), "bob without a colon\n").unwrap();
    let mut server = server;
    let line = said(&mut server);
    assert!(line.contains("the users stay as they were: ") && line.contains(": line 1 of the users: "), "{line}");
    assert!(!line.contains("without"), "{line}");
    Client::ehlo(server.address()).expect("AUTH PLAIN AGJvYgBidWlsZGVy", "235 2.7.0");
    std::fs::write(users.path(), "bob:other\n").unwrap();
    server.signal("HUP");
    wait_until("the users stay as they were", || {
        let mut client = Client::ehlo(server.address());
        client.say("AUTH PLAIN AGJvYgBvdGhlcg==").starts_with("235 ")
    });
    Client::ehlo(server.address()).expect("AUTH PLAIN AGJvYgBidWlsZGVy", "535 5.7.8");
    // What cannot be read again at all.
    let name = users.path().with_extension("moved");
    std::fs::rename(users.path(), &name).unwrap();
    assert!(said(&mut server).contains("the users stay as they were: cannot use "));
    assert!(Command::new("mkfifo").arg(users.path()).status().unwrap().success());
    assert!(said(&mut server).contains("is not a regular file"));
    std::fs::remove_file(users.path()).unwrap();
    std::fs::rename(&name, users.path()).unwrap();
    Client::ehlo(server.address()).expect("AUTH PLAIN AGJvYgBvdGhlcg==", "235 2.7.0");
    std::fs::write(users.path(), "bob without a colon\n").unwrap();
    let (code, _, err) = ended(&mut command(&["-n", "--users", file, "127.0.0.1:0"]));
    assert!(code == Some(1) && err.contains(file) && !err.contains("without"), "{err}");
}

#[test]
fn tls_and_what_is_wrong_with_a_key() {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = |file: &str| folder.path().join(file).to_str().unwrap().to_owned();
    let (cert, key) = (path("cert.pem"), path("key.pem"));
    std::fs::write(&cert, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let tls = ["-n", "-c", "Sink", "--tls-cert", &cert, "--tls-key", &key];
    let server = Running::start(&[&tls[..], &["--require-tls", "127.0.0.1:0"]].concat());
    let mut client = Client::connect(server.address());
    assert!(client.say("EHLO client.example").contains("STARTTLS"));
    client.expect("MAIL FROM:<>", "530 5.7.0");
    client.expect("STARTTLS", "220 2.0.0");
    let server = Running::start(&[&tls[..], &["--smtps", "127.0.0.1:0"]].concat());
    // A renewed certificate needs no restart.
    let renewed = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::fs::write(&cert, renewed.cert.pem()).unwrap();
    std::fs::write(&key, renewed.signing_key.serialize_pem()).unwrap();
    server.signal("HUP");
    let root = native_tls::Certificate::from_pem(renewed.cert.pem().as_bytes()).unwrap();
    let connector = native_tls::TlsConnector::builder().add_root_certificate(root).build().unwrap();
    let deadline = std::time::Instant::now() + client::PATIENCE;
    let is_renewed = || connector.connect("localhost", std::net::TcpStream::connect(server.address()).unwrap()).is_ok();
    while !is_renewed() {
        assert!(std::time::Instant::now() < deadline);
    }
    let mut client = Client::raw(server.address());
    // Not a handshake: no reply in clear.
    client.send("EHLO client.example\r\n");
    assert!(!client.closed().starts_with(b"2"));
    for (wrong, told) in [
        (made.signing_key.serialize_pem(), "the key belongs to another certificate"),
        (made.signing_key.serialize_pem().replace("PRIVATE", "ENCRYPTED PRIVATE"), "openssl pkcs8 -in key.pem"),
        (made.cert.pem(), "no key is in it"),
    ] {
        std::fs::write(&key, wrong).unwrap();
        let (code, _, err) = ended(&mut command(&[&tls[..], &["127.0.0.1:0"]].concat()));
        assert!(code == Some(1) && err.contains(told), "{err}");
    }
}

#[test]
fn a_signal_ends_it_and_messages_in_progress_are_finished() {
    for signal in ["TERM", "INT"] {
        let server = Running::start(&["-n", "-c", "Sink", "127.0.0.1:0"]);
        let mut idle = Client::connect(server.address());
        let mut within = Client::envelope(server.address());
        within.expect("DATA", "354");
        server.signal(signal);
        idle.expect_reply("421 4.3.2");
        idle.expect_close();
        within.expect("x\r\n.", "250 2.0.0 OK");
        within.expect_reply("421 4.3.2");
        let (status, out, err) = server.finish();
        assert_eq!((status.code(), out.as_str(), err.as_str()), (Some(0), "", ""));
    }
}

/// Clients that send messages until the server says that it ends.
#[derive(Default)]
struct Load {
    sent: AtomicUsize,
    // Those within a message, by DATA and in chunks, who wait here to go on with it.
    held: [AtomicUsize; 2],
    gate: RwLock<()>,
}

impl Load {
    /// Gives how many messages were acknowledged.
    ///
    /// # Panics
    /// If a message that has begun is not accepted, or if the end comes without a word.
    fn send_until_told(&self, mut client: Client, in_chunks: bool) -> usize {
        for accepted in 0.. {
            let begin = if in_chunks { "BDAT 4\r\nhalf" } else { "DATA\r\n" };
            client.try_send(format!("MAIL FROM:<a@client.example>\r\nRCPT TO:<b@example.org>\r\n{begin}"));
            for code in ["250", "250", if in_chunks { "250" } else { "354" }] {
                let reply = client.reply();
                if !reply.starts_with(code) {
                    assert!(reply.starts_with("421 4.3.2"), "{reply}");
                    client.expect_close();
                    return accepted;
                }
            }
            self.held[usize::from(in_chunks)].fetch_add(1, Ordering::Relaxed);
            drop(self.gate.read());
            self.held[usize::from(in_chunks)].fetch_sub(1, Ordering::Relaxed);
            if in_chunks {
                client.send("BDAT 4\r\nand ");
                client.expect_reply("250 2.0.0 4 octets");
                client.send("BDAT 4 LAST\r\nhalf");
            } else {
                client.send("half\r\nand half\r\n.\r\n");
            }
            client.expect_reply("250 2.0.0 OK ");
            self.sent.fetch_add(1, Ordering::Relaxed);
        }
        unreachable!("it goes on until it is told")
    }
}

#[test]
fn under_load_no_message_that_has_begun_is_cut() {
    for round in 1..=5 {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mail");
        let server = Running::start(&["-n", "-c", "Maildir", "--maildir", path.to_str().unwrap(), "127.0.0.1:0"]);
        let mut idle = Client::connect(server.address());
        let load = Arc::new(Load::default());
        let clients: Vec<_> = (0..16).map(|_| Client::ehlo(server.address())).collect();
        let sending = |(n, client): (usize, Client)| {
            let load = load.clone();
            thread::spawn(move || load.send_until_told(client, n % 2 == 0))
        };
        let clients: Vec<_> = clients.into_iter().enumerate().map(sending).collect();
        wait_until("no message is sent", || load.sent.load(Ordering::Relaxed) >= round * 20);
        let hold = load.gate.write();
        wait_until("no message is held", || load.held.iter().all(|held| held.load(Ordering::Relaxed) >= 2));
        server.signal("TERM");
        idle.expect_reply("421 4.3.2");
        drop(hold);
        let accepted: usize = clients.into_iter().map(|client| client.join().expect("no message was cut")).sum();
        let (status, _, err) = server.finish();
        assert_eq!((status.code(), err.as_str()), (Some(0), ""));
        assert_eq!(std::fs::read_dir(path.join("new")).unwrap().count(), accepted);
    }
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let server = Running::start(&["-n", "127.0.0.1:0"]);
    let mut idle = Client::connect(server.address());
    let mut within = Client::envelope(server.address());
    within.expect("DATA", "354");
    server.signal("TERM");
    idle.expect_reply("421 4.3.2");
    server.signal("TERM");
    assert_eq!(server.finish().0.code(), Some(1));
}

#[test]
fn output_that_cannot_be_written_is_told_the_client() {
    // A pipe that nobody reads from the start.
    let (reader, closed) = std::io::pipe().expect("a pipe");
    drop(reader);
    let mut outputs = vec![Stdio::from(closed)];
    match File::options().write(true).open("/dev/full") {
        Ok(full) => outputs.push(full.into()),
        Err(e) => missing(&format!("no /dev/full: {e}")),
    }
    for output in outputs {
        let mut command = command(&["-n", "127.0.0.1:0"]);
        command.stdout(output);
        let server = Running::start_command(command);
        let mut client = Client::ehlo(server.address());
        for _ in 0..2 {
            send(&mut client, "x", "451 4.3.0");
        }
        client.expect_in_step();
    }
}

#[test]
fn stderr_that_cannot_be_written_ends_nothing() {
    let closed = || {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        writer
    };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    // No ready line can be read: a path is known beforehand.
    let place = format!("unix:{}", path.display());
    let mut server = Process::start(command(&["-n", "-d", &place]).stderr(closed()));
    let deadline = Instant::now() + client::PATIENCE;
    let mut client = loop {
        match UnixStream::connect(&path) {
            Ok(stream) => break stream,
            Err(e) => assert!(Instant::now() < deadline && server.0.try_wait().unwrap().is_none(), "{e}"),
        }
    };
    client.write_all(b"QUIT\r\n").unwrap();
    let mut said = String::new();
    client.read_to_string(&mut said).unwrap();
    assert!(said.starts_with("220 ") && said.contains("\n221 2.0.0"), "{said}");
    let second = command(&["-n", &place]).stderr(closed()).status().expect("the command was built");
    assert_eq!(second.code(), Some(1));
    server.signal("TERM");
    assert_eq!(server.0.wait().expect("a child").code(), Some(0));
}

#[test]
fn the_conversation_on_stderr() {
    let users = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(users.path(), "bob:builder\n").unwrap();
    let file = users.path().to_str().unwrap();
    let server = Running::start(&["-n", "-d", "-c", "Sink", "--users", file, "127.0.0.1:0"]);
    let mut client = Client::connect(server.address());
    client.expect("NOOP \x1b[2J", "500");
    client.expect("EHLO client.example", "250");
    // Neither what a message says nor a secret is anybody's business.
    client.expect("AUTH PLAIN AGJvYgBidWlsZGVy", "235");
    client.begin();
    client.expect("DATA", "354");
    client.expect("Subject: private matters\r\n\r\nbetween us\r\n.", "250");
    client.expect("QUIT", "221");
    server.signal("TERM");
    let (_, _, err) = server.finish();
    for hidden in ["private", "between us", "AGJvYg", "builder"] {
        assert!(!err.contains(hidden), "{hidden}: {err}");
    }
    assert!(err.contains("[1] C: NOOP \\x1b[2J\n") && err.contains("S: 221 2.0.0 Bye\n"), "{err}");
}

#[test]
fn root_becomes_nobody() {
    if !nix::unistd::geteuid().is_root() {
        return missing("not root");
    }
    let nobody = nix::unistd::User::from_name("nobody").unwrap().expect("there is a user nobody");
    let server = Running::start(&["-c", "Sink", "127.0.0.1:0"]);
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.process.0.id())).expect("Linux");
    for (field, id) in [("Uid", nobody.uid.as_raw()), ("Gid", nobody.gid.as_raw())] {
        assert!(status.contains(&format!("\n{field}:\t{id}\t{id}\t{id}\t{id}\n")), "{status}");
    }
    assert!(status.contains(&format!("\nGroups:\t{} \n", nobody.gid)), "{status}");
    send(&mut Client::ehlo(server.address()), "x", "250");
}

#[test]
fn bad_usage() {
    for (arguments, hint) in [
        (&["--nonsense"][..], "--nonsense"),
        (&["-c", "NoSuchServer"], "DebuggingServer"),
        (&["-c", "PureProxy", "--upstream-tls", "maybe"], "off, offered, required or implicit"),
        (&["-c", "PureProxy", "--relay-networks", "10.0.0.0/99"], "not a network"),
        (&["-c", "Maildir"], "--maildir"),
        (&["-s", "many"], "many"),
        (&["-s", "+5"], "digits"),
        (&["--max-recipients", "0"], "above 0"),
        (&["--max-connections", "+1"], "above 0"),
        (&["--max-per-address", "0"], "above 0"),
        (&["--max-connections-per-address", "0"], "above 0"),
        (&["-n", "--hostname", "two words", "127.0.0.1:0"], "hostname"),
        (&["--timeout", "0"], "seconds"),
        (&["localhost"], "HOST:PORT"),
        (&["8025"], "HOST:PORT"),
        (&["localhost:+1"], "HOST:PORT"),
        (&["[localhost]:0"], "HOST:PORT"),
        (&["two words:0"], "HOST:PORT"),
        (&["unix:"], "unix:PATH"),
        (&["localhost:0", "lmtp:socket"], "HOST:PORT"),
        (&["::1:25"], "HOST:PORT"),
        (&["localhost:99999"], "HOST:PORT"),
        (&["localhost:0", "nowhere"], "HOST:PORT"),
        (&["a:1", "b:2", "c:3"], "c:3"),
        (&["--require-tls"], "--tls-cert"),
        (&["--require-auth"], "--users"),
    ] {
        let (code, out, err) = ended(&mut command(arguments));
        assert_eq!((code, out.as_str()), (Some(2), ""), "{arguments:?}: {err}");
        assert!(err.contains(hint), "{arguments:?}: {err}");
    }
}

/// What is said about a place that cannot be listened at.
fn refused_place(command: &mut Command, place: &str) -> String {
    let (code, _, err) = ended(command);
    assert_eq!(code, Some(1), "{err}");
    assert!(err.starts_with("pillarbox: ") && err.contains(place) && err.lines().count() == 1, "{err}");
    err
}

#[test]
fn a_port_that_is_taken() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let err = refused_place(&mut command(&["-n", &address]), &address);
    assert!(err.contains("another port"), "{err}");
}

#[test]
fn a_port_that_is_for_root() {
    const FIRST_PORT: &str = "/proc/sys/net/ipv4/ip_unprivileged_port_start";
    if !std::fs::read_to_string(FIRST_PORT).is_ok_and(|first| first.trim().parse::<u16>().is_ok_and(|port| port > 1)) {
        return missing("no port is for root only");
    }
    let mut command = command(&["127.0.0.1:1"]);
    if nix::unistd::geteuid().is_root() {
        let nobody = nix::unistd::User::from_name("nobody").unwrap().expect("there is a user nobody");
        command.uid(nobody.uid.as_raw()).gid(nobody.gid.as_raw());
        match command.spawn().map(Process::of) {
            Err(e) if e.kind() == std::io::ErrorKind::PermissionDenied => {
                return missing("the user nobody cannot reach the command");
            }
            spawned => drop(spawned.expect("the command was built")),
        }
    }
    let err = refused_place(&mut command, "127.0.0.1:1");
    assert!(err.contains("below 1024"), "{err}");
}

#[test]
fn unix_sockets() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let place = format!("unix:{}", path.display());
    let server = Running::start(&["-n", &place]);
    assert_eq!(server.endpoint, place);
    let mut banner = String::new();
    BufReader::new(UnixStream::connect(&path).unwrap()).read_line(&mut banner).unwrap();
    assert!(banner.starts_with("220 "), "{banner}");
    let err = refused_place(&mut command(&["-n", &place]), &place);
    assert!(err.contains("another path") && !err.contains("port"), "{err}");
    server.signal("TERM");
    assert_eq!(server.finish().0.code(), Some(0));
    assert!(!path.exists());
    let nowhere = format!("unix:{}/no/socket", folder.path().display());
    let err = refused_place(&mut command(&["-n", &nowhere]), &nowhere);
    assert!(err.contains("folder"), "{err}");
}

#[test]
fn as_many_connections_as_descriptors_allow() {
    let mut limited = Command::new("sh");
    limited.args(["-c", "ulimit -n 40 && exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_pillarbox"), "-n", "127.0.0.1:0"]);
    limited.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).env_remove("RUST_LOG");
    let server = Running::start_command(limited);
    assert!(server.before.contains("ulimit -n") && server.before.lines().count() == 1, "{}", server.before);
    let mut clients: Vec<Client> = (0..8).map(|_| Client::connect(server.address())).collect();
    Client::raw(server.address()).expect_reply("421 4.3.2");
    clients.iter_mut().for_each(Client::expect_in_step);
}

#[cfg(target_os = "linux")]
#[test]
fn without_descriptors_it_waits_for_one() {
    let mut server = Running::start(&["-n", "-c", "Sink", "127.0.0.1:0"]);
    let folder = format!("/proc/{}", server.process.0.id());
    // The numbers count, not how many are open: what it has inherited may leave gaps.
    let limit = free_descriptors(server.process.0.id()).nth(3).expect("there is no end to them");
    let limited = Command::new("prlimit")
        .args([format!("--pid={}", server.process.0.id()), format!("--nofile={limit}:{limit}")])
        .status();
    match limited {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return missing("prlimit is not installed"),
        status => assert!(status.expect("a child").success()),
    }
    let mut inside: Vec<Client> = (0..3).map(|_| Client::connect(server.address())).collect();
    let mut outside = Client::raw(server.address());
    let begun = Instant::now();
    let mut line = String::new();
    server.stderr.read_line(&mut line).expect("text");
    assert!(line.starts_with("pillarbox: cannot accept connections at 127.0.0.1"), "{line}");
    // Hundredths of a second in user and in system mode, behind the name and eleven other fields.
    let ticks = || {
        let stat = std::fs::read_to_string(format!("{folder}/stat")).expect("Linux");
        let (_, fields) = stat.rsplit_once(") ").expect("a name");
        fields.split(' ').skip(11).take(2).map(|field| field.parse::<u64>().expect("a number")).sum::<u64>()
    };
    let (before, from) = (ticks(), Instant::now());
    let second = std::time::Duration::from_secs(1);
    while from.elapsed() < second {
        std::thread::park_timeout(second);
    }
    let used = ticks() - before;
    assert!(used < 10, "{used} hundredths of a second for waiting");
    inside.iter_mut().for_each(Client::expect_in_step);
    inside.truncate(2);
    outside.expect_reply("220 ");
    outside.expect_in_step();
    server.signal("TERM");
    let (status, _, err) = server.finish();
    assert_eq!(status.code(), Some(0));
    assert!(err.matches("cannot accept").count() as u64 <= begun.elapsed().as_secs() / 10, "{err}");
}

#[test]
fn version_and_help() {
    for flag in ["-V", "--version"] {
        let version = format!("pillarbox {}\n", env!("CARGO_PKG_VERSION"));
        assert_eq!(ended(&mut command(&[flag])), (Some(0), version, String::new()));
    }
    let (code, text, _) = ended(&mut command(&["--help"]));
    assert!(code == Some(0) && text.contains("  DebuggingServer  ") && text.contains("[default: localhost:8025"));
    // A line for each option, and none for the rest of one.
    let (_, options) = text.split_once("Options:\n").expect("a list");
    let (options, _) = options.split_once("Classes:\n").expect("what follows it");
    let is_option = |line: &str| line.trim_start().starts_with('-') && line.len() <= 100;
    let is_heading = |line: &str| line.is_empty() || line.ends_with(':') && !line.starts_with(' ');
    assert!(options.lines().all(|line| is_option(line) || is_heading(line)), "{options}");
    assert!(text.lines().all(|line| line.len() <= 100), "{text}");
    // What most people want to know fits a screen.
    let (code, short, _) = ended(&mut command(&["-h"]));
    assert!(code == Some(0) && short.lines().count() < 60 && short.contains("--help shows all"), "{short}");
    assert!(short.contains("-c, --class") && !short.contains("--xclient") && text.contains("--xclient"), "{short}");
}

#[test]
fn a_relay_says_what_its_upstream_says() {
    let mut upstream = Running::start(&["-n", "--max-recipients", "1", "127.0.0.1:0"]);
    let remote = upstream.endpoint.clone();
    let relay = Running::start(&["-n", "-c", "PureProxy", "127.0.0.1:0", &remote]);
    let mut client = Client::ehlo(relay.address());
    client.begin();
    client.expect("RCPT TO:<second@example.org>", "452 4.5.3 Too many recipients");
    client.expect("DATA", "354");
    client.expect("Subject: hello\r\n\r\nbody\r\n.", "250 2.0.0 OK ");
    let printed = upstream.printed();
    assert!(printed.contains(&"X-Peer: 127.0.0.1".to_owned()) && printed.contains(&"Subject: hello".to_owned()));
    drop(upstream);
    send_refused(&relay, "451 4.4.1");
}

/// The relay refuses a message at MAIL or at RCPT.
fn send_refused(relay: &Running, reply: &str) {
    let mut client = Client::ehlo(relay.address());
    let mail = client.say("MAIL FROM:<a@client.example>");
    let last = if mail.starts_with("250") { client.say("RCPT TO:<b@example.org>") } else { mail };
    assert!(last.starts_with(reply), "{last}");
}

#[test]
fn a_relay_is_not_open() {
    let upstream = Running::start(&["-n", "-c", "Sink", "127.0.0.1:0"]);
    let said = |options: &[&str], to: &str| {
        let base = ["-n", "-c", "smtpd.PureProxy", "--proxy-protocol=127.0.0.1"];
        let relay = Running::start(&[&base, options, &["127.0.0.1:0", &upstream.endpoint]].concat());
        let mut client = Client::raw(relay.address());
        client.send("PROXY TCP4 203.0.113.9 127.0.0.1 40000 25\r\n");
        client.expect_reply("220 ");
        client.expect("EHLO client.example", "250");
        client.expect("MAIL FROM:<a@client.example>", "250");
        client.say(format!("RCPT TO:<{to}>")).split_at(3).0.to_owned()
    };
    assert_eq!(said(&[], "b@example.org"), "550");
    assert_eq!(said(&["--open-relay"], "b@example.org"), "250");
    assert_eq!(said(&["--relay-networks=203.0.113.0/24,10.0.0.0/8"], "b@example.org"), "250");
    assert_eq!(said(&["--relay-domains=example.com,example.org"], "b@example.org"), "250");
    assert_eq!(said(&["--relay-domains=example.com"], "b@example.org"), "550");
}

#[test]
fn lists_without_a_mailman() {
    let upstream = Running::start(&["-n", "-c", "Sink", "127.0.0.1:0"]);
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let relay = Running::start(&["-n", "-c", "MailmanProxy", "--mailman", &nobody, "127.0.0.1:0", &upstream.endpoint]);
    send_refused(&relay, "451 4.4.1");
}

#[test]
fn a_relay_hands_on_where_a_message_came_from() {
    let inbox = pillarbox::Server::builder()
        .xforward(pillarbox::Network::loopback())
        .inbox("127.0.0.1:0")
        .expect("a free port");
    let remote = inbox.local_addr().to_string();
    let relay =
        Running::start(&["-n", "-c", "PureProxy", "--xforward", "127.0.0.0/8,::1", "127.0.0.1:0", remote.as_str()]);
    let mut client = Client::ehlo(relay.address());
    client.expect("XFORWARD ADDR=192.0.2.1 HELO=first.example", "250");
    client.begin();
    client.expect("DATA", "354");
    client.expect("body\r\n.", "250");
    let mail = inbox.recv_timeout(PATIENCE).expect("it was relayed");
    let told = mail.xforward().expect("it was told");
    assert_eq!((told.address, told.helo.as_deref()), ("192.0.2.1".parse().ok(), Some("first.example")));
    // Whom XCLIENT names is somebody, but only in the words of those who may say it.
    client.expect("XCLIENT ADDR=192.0.2.1", "502 5.5.1");
    let trusting = Running::start(&["-n", "-c", "Sink", "--xclient", "127.0.0.1", "127.0.0.1:0"]);
    Client::ehlo(trusting.address()).expect("XCLIENT ADDR=192.0.2.1", "220 ");
}
