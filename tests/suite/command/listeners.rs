//! `--listen`: several listeners of one command, each with options of its own.

use std::fs;
use std::io::{BufRead, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use crate::support;
use crate::support::client::{Client, PATIENCE};
use crate::support::command::{Running, command, without_options};
use crate::support::tls::{Certificate, TlsClient};

/// bob, with the password "builder".
const BOB: &str = "AGJvYgBidWlsZGVy";

/// A folder with a certificate, its key, and a file of users.
struct Files {
    folder: tempfile::TempDir,
    certificate: Certificate,
}

impl Files {
    fn new() -> Files {
        let files = Files { folder: tempfile::tempdir().expect("a folder"), certificate: Certificate::new() };
        files.write_certificate("cert.pem", "key.pem", &files.certificate);
        fs::write(files.path("users"), "bob:builder\n").expect("room");
        files
    }

    fn write_certificate(&self, cert: &str, key: &str, certificate: &Certificate) {
        fs::write(self.path(cert), &certificate.cert).expect("room");
        fs::write(self.path(key), &certificate.key).expect("room");
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).to_str().expect("UTF-8").to_owned()
    }
}

fn start(arguments: &[String]) -> (Running, Vec<String>) {
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    with_endpoints(Running::start(&arguments), arguments.iter().filter(|word| **word == "--listen").count())
}

/// All endpoints that it tells of, of which there are so many.
fn with_endpoints(mut server: Running, count: usize) -> (Running, Vec<String>) {
    let mut endpoints = vec![server.endpoint.clone()];
    while endpoints.len() < count {
        let mut line = String::new();
        assert!(server.stderr.read_line(&mut line).expect("text") > 0, "it ended: {endpoints:?}");
        endpoints.push(line.trim_end().strip_prefix("pillarbox: listening on ").expect("an endpoint").to_owned());
    }
    (server, endpoints)
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// 25, 465, 587 and a Unix socket for LMTP, of the class DebuggingServer.
fn four(files: &Files) -> (Running, Vec<String>) {
    let mut arguments = words(&["-n", "--hostname", "mx.example.org"]);
    for (option, file) in [("--tls-cert", "cert.pem"), ("--tls-key", "key.pem"), ("--users", "users")] {
        arguments.extend([option.to_owned(), files.text(file)]);
    }
    for listener in [
        "127.0.0.1:0,no-auth,size=50000".to_owned(),
        "127.0.0.1:0,tls,require-auth,smtputf8".to_owned(),
        "127.0.0.1:0,require-tls,require-auth".to_owned(),
        format!("unix:{},lmtp,mode=0660,no-auth", files.text("lmtp")),
    ] {
        arguments.extend(["--listen".to_owned(), listener]);
    }
    start(&arguments)
}

fn address(endpoint: &str) -> SocketAddr {
    endpoint.parse().expect("an address")
}

#[test]
fn four_listeners_with_a_policy_each() {
    let files = Files::new();
    let (mut server, endpoints) = four(&files);

    let mut mx = Client::connect(address(&endpoints[0]));
    let said = mx.say("EHLO client.example");
    assert!(said.contains("SIZE 50000\n") && said.contains("STARTTLS") && !said.contains("AUTH"), "{said}");
    mx.expect(format!("AUTH PLAIN {BOB}"), "502 5.5.1");
    mx.begin();
    mx.expect("DATA", "354");
    mx.expect("Subject: from a server\r\n\r\nbody\r\n.", "250 2.0.0 OK");
    assert_eq!(server.printed()[1], "Subject: from a server");

    let mut submissions = TlsClient::connect(address(&endpoints[1])).handshake(&files.certificate);
    submissions.expect_reply("220 mx.example.org ESMTP ");
    let said = submissions.expect("EHLO client.example", "250");
    assert!(said.contains("SMTPUTF8") && said.contains("AUTH ") && said.contains("SIZE 33554432\n"), "{said}");
    submissions.expect("MAIL FROM:<>", "530 5.7.0");

    let mut submission = Client::ehlo(address(&endpoints[2]));
    submission.expect("MAIL FROM:<>", "530 5.7.0");
    let mut submission = TlsClient::start_tls(address(&endpoints[2]), &files.certificate);
    let said = submission.expect("EHLO client.example", "250");
    assert!(!said.contains("SMTPUTF8") && said.contains("AUTH "), "{said}");
    submission.expect("MAIL FROM:<>", "530 5.7.0");
    submission.expect(&format!("AUTH PLAIN {BOB}"), "235 2.7.0");
    submission.expect("MAIL FROM:<>", "250");

    let socket = files.path("lmtp");
    assert_eq!(endpoints[3], format!("unix:{}", socket.display()));
    assert_eq!(fs::metadata(&socket).expect("it is there").permissions().mode() & 0o777, 0o660);
    let mut lmtp = UnixStream::connect(&socket).expect("it listens");
    lmtp.write_all(
        b"LHLO a\r\nMAIL FROM:<>\r\nRCPT TO:<a@b.example>\r\nRCPT TO:<c@b.example>\r\nDATA\r\n\
          Subject: local\r\n\r\nx\r\n.\r\nQUIT\r\n",
    )
    .expect("it reads");
    let mut replies = String::new();
    lmtp.read_to_string(&mut replies).expect("text");
    assert!(replies.starts_with("220 mx.example.org LMTP ") && !replies.contains("AUTH"), "{replies}");
    assert_eq!(replies.matches("\r\n250 2.0.0 OK ").count(), 2, "{replies}");
    assert_eq!(server.printed()[1], "Subject: local");

    server.signal("TERM");
    assert_eq!(server.finish().0.code(), Some(0));
    assert!(!socket.exists());
}

#[test]
fn clients_of_others_at_each_of_them() {
    let files = Files::new();
    let (mut server, endpoints) = four(&files);
    if let Some(curl) = support::program("curl") {
        let send = |url: &str, options: &[&str], subject: &str| {
            let mut curl = Command::new(&curl);
            curl.args([
                "-q",
                "-sS",
                "--noproxy",
                "*",
                url,
                "--mail-from",
                "a@client.example",
                "--mail-rcpt",
                "b@c.example",
            ]);
            curl.args(["--cacert", &files.text("cert.pem"), "-T", "-"]).args(options);
            support::run(&mut curl, format!("Subject: {subject}\r\n\r\nbody\r\n").as_bytes())
        };
        let url =
            |scheme: &str, at: usize| format!("{scheme}://localhost:{}/client.example", address(&endpoints[at]).port());
        let login = ["--user", "bob:builder"];
        send(&url("smtp", 0), &["--ssl-reqd"], "to the port for servers").succeeded();
        assert_eq!(server.printed()[1], "Subject: to the port for servers");
        send(&url("smtps", 1), &login, "within TLS").succeeded();
        assert_eq!(server.printed()[1], "Subject: within TLS");
        send(&url("smtp", 2), &["--ssl-reqd", "--user", "bob:builder"], "by STARTTLS").succeeded();
        assert_eq!(server.printed()[1], "Subject: by STARTTLS");
        // 67: the login was denied; 55 or 56: the server refused.
        assert_ne!(send(&url("smtps", 1), &[], "without a login").status.code(), Some(0));
        assert_ne!(send(&url("smtp", 2), &login, "in clear").status.code(), Some(0));
    }
    if let Some(swaks) = support::program("swaks") {
        let mut swaks = Command::new(swaks);
        swaks.args(["--config", "--protocol", "LMTP", "--socket", &files.text("lmtp"), "--ehlo", "client.example"]);
        swaks.args(["--from", "a@client.example", "--to", "b@c.example,d@c.example", "--header", "Subject: by swaks"]);
        support::run(&mut swaks, b"").succeeded();
        assert!(server.printed().contains(&"Subject: by swaks".to_owned()));
    }
    if let Some(openssl) = support::program("openssl") {
        let mut client = Command::new(openssl);
        client.args(["s_client", "-quiet", "-verify_return_error", "-verify_hostname", "localhost", "-CAfile"]);
        client.args([&files.text("cert.pem"), "-connect", &endpoints[1]]);
        let said = support::run(&mut client, b"QUIT\r\n");
        assert!(said.stdout.contains("220 mx.example.org ESMTP"), "{said}");
    }
}

#[test]
fn each_certificate_is_renewed() {
    let files = Files::new();
    let own = Certificate::new();
    files.write_certificate("own-cert.pem", "own-key.pem", &own);
    let mut arguments = words(&["-n", "-c", "Sink", "--listen", "127.0.0.1:0,tls"]);
    arguments.extend(["--listen".to_owned()]);
    arguments.push(format!("127.0.0.1:0,tls,cert={},key={}", files.text("own-cert.pem"), files.text("own-key.pem")));
    arguments.extend(["--tls-cert".to_owned(), files.text("cert.pem"), "--tls-key".to_owned(), files.text("key.pem")]);
    let (server, endpoints) = start(&arguments);
    let shows = |at: usize, certificate: &Certificate| {
        let stream = TcpStream::connect(address(&endpoints[at])).expect("it listens");
        certificate.connector().connect("localhost", stream).is_ok()
    };
    assert!(shows(0, &files.certificate) && !shows(0, &own));
    assert!(shows(1, &own) && !shows(1, &files.certificate));
    let (general_next, own_next) = (Certificate::new(), Certificate::new());
    files.write_certificate("cert.pem", "key.pem", &general_next);
    files.write_certificate("own-cert.pem", "own-key.pem", &own_next);
    server.signal("HUP");
    let deadline = Instant::now() + PATIENCE;
    while !(shows(0, &general_next) && shows(1, &own_next)) {
        assert!(Instant::now() < deadline, "one is not renewed");
    }
}

#[test]
fn tls_at_one_listener_alone() {
    let files = Files::new();
    let own = format!("127.0.0.1:0,require-tls,cert={},key={}", files.text("cert.pem"), files.text("key.pem"));
    let (server, endpoints) =
        start(&words(&["-n", "-c", "Sink", "--require-auth", "--users", &files.text("users"), "--listen", &own]));
    let mut client = Client::ehlo(address(&endpoints[0]));
    client.expect("MAIL FROM:<>", "530 5.7.0 Must issue a STARTTLS");
    // The signal that renews a certificate does not end it.
    server.signal("HUP");
    client.expect("NOOP", "250");
    let (_server, endpoints) = start(&words(&["-n", "-c", "Sink", "--listen", "127.0.0.1:0", "--listen", &own]));
    assert!(!Client::connect(address(&endpoints[0])).say("EHLO a").contains("STARTTLS"));
    assert!(Client::connect(address(&endpoints[1])).say("EHLO a").contains("STARTTLS"));
}

#[test]
fn options_behind_localaddr_and_options_for_all() {
    let files = Files::new();
    let mut upstream = Running::start(&["-n", "127.0.0.1:0"]);
    let users = files.text("users");
    let arguments = ["-n", "-c", "PureProxy", "-s", "1000", "--users", &users, "--require-auth"];
    let listeners = ["--listen", "127.0.0.1:0,no-auth,size=2000", "127.0.0.1:0,smtputf8", &upstream.endpoint];
    let (_server, endpoints) = with_endpoints(Running::start(&[&arguments[..], &listeners].concat()), 2);
    // LOCALADDR is the first.
    let mut first = Client::connect(address(&endpoints[0]));
    let said = first.say("EHLO client.example");
    assert!(said.contains("SIZE 1000\n") && said.contains("SMTPUTF8") && said.contains("AUTH "), "{said}");
    first.expect("MAIL FROM:<>", "530 5.7.0");
    let mut second = Client::connect(address(&endpoints[1]));
    let said = second.say("EHLO client.example");
    assert!(said.contains("SIZE 2000\n") && !said.contains("SMTPUTF8") && !said.contains("AUTH "), "{said}");
    second.begin();
    second.expect("DATA", "354");
    second.expect("Subject: relayed\r\n\r\nx\r\n.", "250");
    assert!(upstream.printed().contains(&"Subject: relayed".to_owned()));
}

/// The exit status and stderr of a command that does not become a server.
fn refused(arguments: &[&str]) -> (Option<i32>, String) {
    let output = command(arguments).output().expect("the command was built");
    (output.status.code(), String::from_utf8(output.stderr).expect("text"))
}

#[test]
fn what_cannot_be_is_refused_with_what_can() {
    let all = "the options are tls, require-tls, require-auth, no-auth, lmtp, smtputf8, size=BYTES, mode=MODE, \
               cert=PEM and key=PEM";
    for (listen, hint) in [
        ("127.0.0.1:0,starttls", all),
        ("127.0.0.1:0,TLS", all),
        ("127.0.0.1:0,", all),
        ("127.0.0.1:0, tls", all),
        ("127.0.0.1:0,=", all),
        ("", "HOST:PORT"),
        (",tls", "HOST:PORT"),
        ("tls", "HOST:PORT"),
        ("unix:,lmtp", "unix:PATH"),
        ("127.0.0.1:0,size", "size needs a value: size=BYTES"),
        ("127.0.0.1:0,size=", "size needs a value: size=BYTES"),
        ("127.0.0.1:0,size=1k", "digits only"),
        ("127.0.0.1:0,lmtp=no", "lmtp takes no value"),
        ("127.0.0.1:0,lmtp,lmtp", "lmtp is given twice"),
        ("127.0.0.1:0,size=1,size=2", "size is given twice"),
        ("127.0.0.1:0,mode=660", "mode=MODE is for unix:PATH"),
        ("systemd:,mode=660", "mode=MODE is for unix:PATH"),
        ("unix:/x,mode=999", "octal"),
        ("unix:/x,mode=1777", "octal"),
        ("127.0.0.1:0,cert=c", "cert=PEM needs key=PEM"),
        ("127.0.0.1:0,key=k", "key=PEM needs cert=PEM"),
        ("127.0.0.1:0,require-auth,no-auth", "require-auth and no-auth exclude each other"),
        ("127.0.0.1:0,tls", "127.0.0.1:0: tls needs a certificate: --tls-cert and --tls-key"),
        ("127.0.0.1:0,require-tls", "127.0.0.1:0: require-tls needs a certificate: --tls-cert and --tls-key"),
        ("127.0.0.1:0,require-auth", "127.0.0.1:0: require-auth needs --users"),
    ] {
        for arguments in [&["-n", "--listen", listen][..], &["-n", "--listen", "127.0.0.1:0", listen]] {
            let (code, err) = refused(arguments);
            assert!(code == Some(2) && err.contains(hint), "{arguments:?}: {err}");
        }
    }
    let files = Files::new();
    let own = format!("127.0.0.1:0,cert={},key={}", files.text("cert.pem"), files.text("key.pem"));
    // One has a certificate, the other has none.
    let (code, err) = refused(&["-n", "--smtps", "--listen", &own, "--listen", "127.0.0.2:0"]);
    assert!(code == Some(2) && err.contains("127.0.0.2:0: --smtps needs a certificate"), "{err}");
    let (code, err) = refused(&["-n", "--socket-mode", "660", "--listen", "127.0.0.1:0"]);
    assert!(code == Some(2) && err.contains("--socket-mode is for unix:PATH"), "{err}");
    let missing = format!("127.0.0.1:0,tls,cert={},key=/nowhere", files.text("cert.pem"));
    let (code, err) = refused(&["-n", "--listen", &missing]);
    assert!(code == Some(1) && err.contains("cannot read /nowhere"), "{err}");
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let taken = taken.local_addr().expect("it is bound").to_string();
    let (code, err) = refused(&["-n", "--listen", "127.0.0.1:0", "--listen", &taken]);
    assert!(code == Some(1) && err.contains(&taken) && err.contains("another port"), "{err}");
}

/// The command with sockets as systemd passes them on: from descriptor 3, and variables that say so.
fn with_sockets(names: &str, first: TcpListener, second: UnixListener, arguments: &[&str]) -> Command {
    let mut shell = Command::new("sh");
    let run = "LISTEN_FDS=2 LISTEN_PID=$$ exec \"$0\" \"$@\" 3<&0 4>&1 </dev/null >/dev/null";
    shell.args(["-c", run, env!("CARGO_BIN_EXE_pillarbox"), "-n", "-c", "Sink"]).args(arguments);
    shell.env("LISTEN_FDNAMES", names).env_remove("RUST_LOG");
    shell.stdin(Stdio::from(std::os::fd::OwnedFd::from(first)));
    shell.stdout(Stdio::from(std::os::fd::OwnedFd::from(second))).stderr(Stdio::piped());
    without_options(&mut shell);
    shell
}

fn sockets(folder: &Path) -> (TcpListener, UnixListener) {
    let path = folder.join("socket");
    // What an earlier one has left.
    let _ = fs::remove_file(&path);
    (TcpListener::bind("127.0.0.1:0").expect("a free port"), UnixListener::bind(path).expect("a free path"))
}

#[test]
fn sockets_that_systemd_passes_in_by_name() {
    let folder = tempfile::tempdir().expect("a folder");
    for (names, arguments) in [
        // In the order in which they are asked for, whichever that is.
        ("smtp:lmtp", ["--listen", "systemd:lmtp,lmtp", "--listen", "systemd:smtp,size=1"]),
        ("smtp:lmtp", ["--listen", "systemd:lmtp,lmtp", "--listen", "systemd:,size=1"]),
        ("a:a", ["--listen", "systemd:a,size=1", "--listen", "systemd:a,lmtp"]),
        ("", ["--listen", "systemd:,size=1", "--listen", "systemd:,lmtp"]),
    ] {
        let (tcp, unix) = sockets(folder.path());
        let place = tcp.local_addr().expect("it is bound");
        let server = Running::start_command(with_sockets(names, tcp, unix, &arguments));
        let (_server, endpoints) = with_endpoints(server, 2);
        let unix = format!("unix:{}", folder.path().join("socket").display());
        assert!(endpoints.contains(&place.to_string()) && endpoints.contains(&unix), "{names}: {endpoints:?}");
        assert!(Client::connect(place).say("EHLO a").contains("SIZE 1\n"), "{names}");
        let mut banner = [0; 64];
        let n =
            UnixStream::connect(folder.path().join("socket")).expect("it listens").read(&mut banner).expect("a banner");
        assert!(String::from_utf8_lossy(&banner[..n]).contains(" LMTP "), "{names}");
    }
    for (arguments, hint) in [
        (
            &["--listen", "systemd:imap"][..],
            "no other socket of the name imap was passed in; those that were: smtp, lmtp",
        ),
        (&["--listen", "systemd:smtp", "systemd:smtp"], "no other socket of the name smtp"),
        (&["--listen", "systemd:", "--listen", "systemd:", "systemd:"], "fewer sockets were passed in"),
    ] {
        let (tcp, unix) = sockets(folder.path());
        let output = with_sockets("smtp:lmtp", tcp, unix, arguments).output().expect("a shell");
        let err = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(1) && err.contains(hint), "{arguments:?}: {err}");
    }
}

#[test]
fn a_new_process_takes_the_place_of_an_old_one() {
    let old = Running::start(&["-n", "-c", "Sink", "--reuse-port", "127.0.0.1:0"]);
    let address = old.endpoint.clone();
    // Only those that both say so share a port.
    let refused = support::run(&mut command(&["-n", "-c", "Sink", &address]), b"");
    assert!(refused.status.code() == Some(1) && refused.stderr.contains("in use"), "{}", refused.stderr);
    let new = Running::start(&["-n", "-c", "Sink", "--reuse-port", &address]);
    assert_eq!(new.endpoint, address);
    old.signal("TERM");
    assert_eq!(old.finish().0.code(), Some(0));
    for _ in 0..20 {
        Client::ehlo(new.address()).expect("NOOP", "250");
    }
}
