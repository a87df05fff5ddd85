//! The `pillarbox` command, from outside.

#![cfg(all(feature = "cli", unix))]

#[path = "support/client.rs"]
mod client;

use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpListener};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};

use client::Client;

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pillarbox"));
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).env_remove("RUST_LOG");
    command
}

/// A server that runs; it is killed with the value.
struct Running {
    child: Child,
    address: SocketAddr,
    stdout: BufReader<ChildStdout>,
    stderr: BufReader<std::process::ChildStderr>,
}

impl Running {
    fn start(arguments: &[&str]) -> Running {
        Running::start_command(command(arguments))
    }

    fn start_command(mut command: Command) -> Running {
        let mut child = command.spawn().expect("the command was built");
        let stdout = BufReader::new(child.stdout.take().expect("piped"));
        let mut stderr = BufReader::new(child.stderr.take().expect("piped"));
        let mut line = String::new();
        stderr.read_line(&mut line).expect("text");
        let address = line.trim_end().strip_prefix("pillarbox: listening on ");
        let address = address.unwrap_or_else(|| panic!("{line}")).parse().expect("an address");
        Running { child, address, stdout, stderr }
    }

    fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &id]).status().expect("kill is there").success());
    }

    /// Waits for its end, and gives all that it still printed.
    fn finish(mut self) -> (ExitStatus, String, String) {
        let (mut out, mut err) = (String::new(), String::new());
        self.stdout.read_to_string(&mut out).expect("text");
        self.stderr.read_to_string(&mut err).expect("text");
        (self.child.wait().expect("a child"), out, err)
    }

    /// The next message that DebuggingServer prints.
    fn printed(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        while lines.last().is_none_or(|line| line != "------------ END MESSAGE ------------") {
            let mut line = String::new();
            assert!(self.stdout.read_line(&mut line).expect("text") > 0, "{lines:?}");
            lines.push(line.trim_end_matches('\n').to_owned());
        }
        lines
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn send(client: &mut Client, content: &str, reply: &str) {
    client.begin();
    client.expect("DATA", "354");
    client.expect(format!("{content}\r\n."), reply);
}

#[test]
fn messages_are_printed() {
    let mut server = Running::start(&["-n", "127.0.0.1:0"]);
    let mut client = Client::ehlo(server.address);
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

#[test]
fn ipv6_and_names() {
    for address in ["[::1]:0", "localhost:0", ":0"] {
        let server = Running::start(&["-n", "-c", "smtpd.debuggingserver", address, "localhost:25"]);
        Client::connect(server.address).expect("NOOP", "250");
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
    let mut client = Client::raw(server.address);
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
    let server = Running::start(&["-n", "--max-connections", "1", "--timeout", "0.5", "127.0.0.1:0"]);
    let mut first = Client::connect(server.address);
    Client::raw(server.address).expect_reply("421 4.3.2");
    first.expect_reply("421 4.4.2");
    first.expect_close();
}

#[test]
fn a_maildir() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mail");
    let server = Running::start(&["-n", "-c", "Maildir", "--maildir", path.to_str().unwrap(), "127.0.0.1:0"]);
    send(&mut Client::ehlo(server.address), "x", "250");
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
        let mut client = Client::raw(server.address);
        client.send(HEADER);
        client.expect_reply("220 ");
        assert_eq!(client.say("NOOP").starts_with("250"), trusted, "{arguments:?}");
    }
}

#[test]
fn lmtp_and_users() {
    let server = Running::start(&["-n", "-c", "Sink", "--lmtp", "127.0.0.1:0"]);
    let mut client = Client::raw(server.address);
    assert!(client.reply().contains(" LMTP pillarbox"));
    client.expect("LHLO client.example", "250");
    let users = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(users.path(), "# comment\nbob:builder\n").unwrap();
    let file = users.path().to_str().unwrap();
    let server = Running::start(&["-n", "-c", "Sink", "--users", file, "--require-auth", "127.0.0.1:0"]);
    let mut client = Client::ehlo(server.address);
    client.expect("MAIL FROM:<>", "530 5.7.0");
    client.expect("AUTH PLAIN AGJvYgBidWlsZGVy", "235 2.7.0");
    send(&mut client, "x", "250");
    std::fs::write(users.path(), "bob without a colon\n").unwrap();
    let output = command(&["-n", "--users", file, "127.0.0.1:0"]).output().expect("the command was built");
    let err = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(1) && err.contains(file) && !err.contains("without"), "{err}");
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
    let mut client = Client::connect(server.address);
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
    let is_renewed = || connector.connect("localhost", std::net::TcpStream::connect(server.address).unwrap()).is_ok();
    while !is_renewed() {
        assert!(std::time::Instant::now() < deadline);
    }
    let mut client = Client::raw(server.address);
    // Not a handshake: no reply in clear.
    client.send("EHLO client.example\r\n");
    assert!(!client.closed().starts_with(b"2"));
    std::fs::write(&key, made.signing_key.serialize_pem().replace("PRIVATE", "EC PRIVATE")).unwrap();
    let output = command(&[&tls[..], &["127.0.0.1:0"]].concat()).output().expect("the command was built");
    let err = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(1) && err.contains("openssl pkcs8 -topk8"), "{err}");
}

#[test]
fn a_signal_ends_it_and_messages_in_progress_are_finished() {
    for signal in ["TERM", "INT"] {
        let server = Running::start(&["-n", "-c", "Sink", "127.0.0.1:0"]);
        let mut idle = Client::connect(server.address);
        let mut within = Client::envelope(server.address);
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

#[test]
fn a_second_signal_ends_it_at_once() {
    let server = Running::start(&["-n", "127.0.0.1:0"]);
    let mut idle = Client::connect(server.address);
    let mut within = Client::envelope(server.address);
    within.expect("DATA", "354");
    server.signal("TERM");
    idle.expect_reply("421 4.3.2");
    server.signal("TERM");
    assert_eq!(server.finish().0.code(), Some(1));
}

#[test]
fn output_that_cannot_be_written_is_told_the_client() {
    let mut command = command(&["-n", "127.0.0.1:0"]);
    // Its stdout is read by nobody from the start.
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    command.stdout(writer);
    let mut child = command.spawn().expect("the command was built");
    let mut stderr = BufReader::new(child.stderr.take().expect("piped"));
    let mut line = String::new();
    stderr.read_line(&mut line).expect("text");
    let address = line.trim_end().rsplit(' ').next().unwrap().parse().expect("an address");
    let mut client = Client::ehlo(address);
    for _ in 0..2 {
        send(&mut client, "x", "451 4.3.0");
    }
    client.expect_in_step();
    child.kill().expect("it runs");
    child.wait().expect("a child");
}

#[test]
fn the_conversation_on_stderr() {
    let server = Running::start(&["-n", "-d", "-c", "Sink", "127.0.0.1:0"]);
    let mut client = Client::connect(server.address);
    client.expect("NOOP \x1b[2J", "500");
    client.expect("QUIT", "221");
    server.signal("TERM");
    let (_, _, err) = server.finish();
    assert!(err.contains("[1] C: NOOP \\x1b[2J\n") && err.contains("S: 221 2.0.0 Bye\n"), "{err}");
}

#[test]
fn root_becomes_nobody() {
    if !nix::unistd::geteuid().is_root() {
        return eprintln!("skipped: not root");
    }
    let nobody = nix::unistd::User::from_name("nobody").unwrap().expect("there is a user nobody");
    let server = Running::start(&["-c", "Sink", "127.0.0.1:0"]);
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.child.id())).expect("Linux");
    for (field, id) in [("Uid", nobody.uid.as_raw()), ("Gid", nobody.gid.as_raw())] {
        assert!(status.contains(&format!("\n{field}:\t{id}\t{id}\t{id}\t{id}\n")), "{status}");
    }
    assert!(status.contains(&format!("\nGroups:\t{} \n", nobody.gid)), "{status}");
    send(&mut Client::ehlo(server.address), "x", "250");
}

#[test]
fn bad_usage() {
    for (arguments, hint) in [
        (&["--nonsense"][..], "--nonsense"),
        (&["-c", "NoSuchServer"], "DebuggingServer"),
        (&["-c", "PureProxy"], "not there yet"),
        (&["-c", "MailmanProxy"], "not there yet"),
        (&["-c", "Maildir"], "--maildir"),
        (&["-s", "many"], "many"),
        (&["--timeout", "0"], "seconds"),
        (&["localhost"], "HOST:PORT"),
        (&["::1:25"], "HOST:PORT"),
        (&["localhost:99999"], "HOST:PORT"),
        (&["localhost:0", "nowhere"], "HOST:PORT"),
        (&["a:1", "b:2", "c:3"], "c:3"),
        (&["--require-tls"], "--tls-cert"),
        (&["--require-auth"], "--users"),
    ] {
        let output = command(arguments).output().expect("the command was built");
        let err = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {err}");
        assert!(err.contains(hint) && output.stdout.is_empty(), "{arguments:?}: {err}");
    }
}

#[test]
fn a_port_that_is_taken() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = command(&["-n", &address]).output().expect("the command was built");
    let err = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(err.starts_with("pillarbox: ") && err.contains(&address) && err.contains("another port"), "{err}");
}

#[test]
fn version_and_help() {
    for flag in ["-V", "--version"] {
        let output = command(&[flag]).output().expect("the command was built");
        let text = String::from_utf8(output.stdout).unwrap();
        assert_eq!((output.status.code(), text), (Some(0), format!("pillarbox {}\n", env!("CARGO_PKG_VERSION"))));
    }
    let output = command(&["--help"]).output().expect("the command was built");
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && text.contains("DebuggingServer") && text.contains("[default: localhost:8025]"));
}
