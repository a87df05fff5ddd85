//! `--metrics`: a server's numbers, whether it works, and whether it takes clients.

use std::io::{BufRead, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use crate::support::client::{Client, PATIENCE};
use crate::support::command::{Running, command};
use crate::support::prometheus;
use crate::support::web::{Answer, Inbox};

struct Server {
    server: Running,
    metrics: SocketAddr,
}

impl Server {
    fn start(options: &[&str]) -> Server {
        let mut server = Running::start(&[&["-n", "--metrics", "127.0.0.1:0"], options, &["127.0.0.1:0"]].concat());
        let mut line = String::new();
        server.stderr.read_line(&mut line).expect("text");
        let address = line.trim_end().strip_prefix("pillarbox: metrics at http://");
        let address = address.and_then(|url| url.strip_suffix("/metrics"));
        let metrics = address.unwrap_or_else(|| panic!("{line}")).parse().expect("an address");
        Server { server, metrics }
    }

    fn request(&self, method: &str, target: &str, fields: &str) -> Answer {
        let mut stream = TcpStream::connect(self.metrics).expect("it listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
        let host = "Host: metrics.example\r\nConnection: close\r\n";
        stream.write_all(format!("{method} {target} HTTP/1.1\r\n{host}{fields}\r\n").as_bytes()).expect("it reads");
        if method == "HEAD" {
            // Its length is that of what GET would bring.
            let mut octets = Vec::new();
            std::io::Read::read_to_end(&mut stream, &mut octets).expect("an answer and a close");
            let head = String::from_utf8(octets).expect("text");
            assert!(head.ends_with("\r\n\r\n") && !head.contains("Content-Length: 0"), "{head}");
            let status = head[9..12].parse().expect("a status");
            return Answer { status, head, body: Vec::new() };
        }
        Answer::read(&mut stream)
    }

    fn get(&self, target: &str) -> Answer {
        self.request("GET", target, "")
    }
}

const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

#[test]
fn numbers_that_prometheus_reads() {
    let server = Server::start(&["-c", "Sink"]);
    let mut client = Client::ehlo(server.server.address());
    client.expect("BOGUS", "500");
    client.expect("RCPT TO:<a@b.example>", "503");
    client.begin();
    client.expect("DATA", "354");
    client.expect("hello\r\n.", "250");
    let prometheus_2 = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
                        text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
    let older = "text/plain;version=0.0.4;q=1,*/*;q=0.1";
    for (accept, kind) in [(prometheus_2, OPENMETRICS), ("*/*", OPENMETRICS), (older, TEXT), ("text/plain", TEXT)] {
        let answer = server.request("GET", "/metrics", &format!("Accept: {accept}\r\n"));
        assert_eq!((answer.status, answer.field("Content-Type")), (200, Some(kind)), "{accept}");
        let Some(samples) = prometheus::samples(answer.text(), kind == OPENMETRICS) else { continue };
        let version = format!("pillarbox_build_info{{version={}}}", env!("CARGO_PKG_VERSION"));
        for (name, value) in [
            (&*version, 1.0),
            ("pillarbox_connections_total{}", 1.0),
            ("pillarbox_open_connections{}", 1.0),
            ("pillarbox_most_connections{}", 1.0),
            ("pillarbox_refused_connections_total{reason=too_many}", 0.0),
            ("pillarbox_messages_total{outcome=accepted}", 1.0),
            ("pillarbox_messages_total{outcome=lost}", 0.0),
            ("pillarbox_accepted_content_bytes_total{}", 7.0),
            ("pillarbox_received_content_bytes_total{}", 7.0),
            ("pillarbox_refusals_total{code=503,verb=RCPT}", 1.0),
            ("pillarbox_refusals_total{code=500,verb=other}", 1.0),
            ("pillarbox_logins_total{outcome=failed}", 0.0),
            ("pillarbox_handshakes_total{outcome=succeeded}", 0.0),
            ("pillarbox_timeouts_total{waited_for=command}", 0.0),
            ("pillarbox_panics_total{}", 0.0),
            ("pillarbox_queued_messages{}", 0.0),
            ("pillarbox_unanswered_messages{}", 0.0),
            ("pillarbox_buffered_bytes{}", 0.0),
            ("pillarbox_under_stress{}", 0.0),
        ] {
            assert_eq!(samples.get(name), Some(&value), "{name}: {samples:#?}");
        }
        assert!(samples.len() < 50, "{samples:#?}");
    }
}

#[test]
fn pages_and_methods() {
    let server = Server::start(&["-c", "DebuggingServer"]);
    for target in ["/livez", "/readyz", "/readyz?verbose=1"] {
        let answer = server.get(target);
        assert_eq!((answer.status, answer.text()), (200, "ok\n"), "{target}");
        assert_eq!(answer.field("Content-Type"), Some("text/plain; charset=utf-8"));
        assert_eq!(answer.field("Cache-Control"), Some("no-store"));
    }
    for target in ["/metrics", "/livez", "/readyz"] {
        assert_eq!(server.request("HEAD", target, "").status, 200);
        for method in ["POST", "PUT", "DELETE", "OPTIONS"] {
            let answer = server.request(method, target, "Content-Length: 0\r\n");
            assert_eq!((answer.status, answer.field("Allow")), (405, Some("GET, HEAD")), "{method} {target}");
        }
    }
    for target in ["/", "/metrics/", "/api/messages", "/livez/x"] {
        let answer = server.get(target);
        assert_eq!(answer.status, 404);
        assert_eq!(answer.error(), "there is no such page: the pages are /metrics, /livez and /readyz");
    }
}

#[test]
fn it_answers_until_the_last_message_is_done() {
    let server = Server::start(&["-c", "Sink"]);
    let mut client = Client::envelope(server.server.address());
    client.expect("DATA", "354");
    server.server.signal("TERM");
    let deadline = Instant::now() + PATIENCE;
    let answer = loop {
        let answer = server.get("/readyz");
        if answer.status != 200 {
            break answer;
        }
        assert!(Instant::now() < deadline);
    };
    assert_eq!((answer.status, answer.text()), (503, "shutting down\n"));
    assert_eq!(server.get("/livez").status, 200);
    assert!(server.get("/metrics").text().contains("\npillarbox_open_connections 1\n"));
    client.expect(".", "250");
    client.expect_reply("421 4.3.2");
    assert!(server.server.finish().0.success());
}

#[test]
fn the_web_inbox_has_them_too() {
    let inbox = Inbox::start();
    assert_eq!(inbox.get("/livez").text(), "ok\n");
    assert_eq!(inbox.get("/readyz").text(), "ok\n");
    let numbers = inbox.get("/metrics");
    assert_eq!(numbers.field("Content-Type"), Some(OPENMETRICS));
    assert!(numbers.text().contains("\npillarbox_connections_total 0\n"));
    assert_eq!(inbox.request("DELETE", "/metrics", "", "").status, 405);
    // Its guard stands before them as well.
    let rebound = inbox.say("GET /metrics HTTP/1.1\r\nHost: elsewhere.example\r\nConnection: close\r\n\r\n");
    assert_eq!(rebound.status, 421);

    // At an address of their own as well, under any name.
    let options = ["-c", "Inbox", "--http", "127.0.0.1:0", "--metrics", "127.0.0.1:0"];
    let mut server = Running::start(&[&["-n"], &options[..], &["127.0.0.1:0"]].concat());
    let mut lines = [String::new(), String::new()];
    lines.iter_mut().for_each(|line| assert!(server.stderr.read_line(line).expect("text") > 0));
    assert!(
        lines[0].starts_with("pillarbox: inbox at ") && lines[1].starts_with("pillarbox: metrics at "),
        "{lines:?}"
    );
}

#[test]
fn a_client_that_stalls_keeps_nobody_else_waiting() {
    let server = Server::start(&["-c", "Sink"]);
    let stalled: Vec<TcpStream> = (0..200).map(|_| TcpStream::connect(server.metrics).expect("it listens")).collect();
    for mut stream in &stalled {
        // Some may have been sent away for others by now.
        let _ = stream.write_all(b"GET /metrics HT");
    }
    assert_eq!(server.get("/livez").status, 200);
}

#[test]
fn where_it_cannot_listen() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("it is bound").to_string();
    let output = command(&["-n", "--metrics", &address, "127.0.0.1:0"]).output().expect("the command was built");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(1) && error.contains(&address) && error.contains("in use"), "{error}");
    let output = command(&["-n", "--metrics", "nowhere", "127.0.0.1:0"]).output().expect("the command was built");
    assert_eq!(output.status.code(), Some(2));
}

#[cfg(target_os = "linux")]
mod systemd {
    use std::ffi::OsStr;
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{SocketAddr, UnixDatagram};
    use std::process::Command;

    use super::*;

    /// What systemd would be told.
    struct Told(UnixDatagram);

    impl Told {
        fn by(socket: UnixDatagram) -> Told {
            socket.set_read_timeout(Some(PATIENCE)).expect("a socket");
            Told(socket)
        }

        /// The next words.
        fn next(&self) -> String {
            let mut octets = [0; 1024];
            let length = self.0.recv(&mut octets).expect("something is told");
            String::from_utf8(octets[..length].to_vec()).expect("text")
        }
    }

    fn told_at(socket: impl AsRef<OsStr>, options: &[&str]) -> Command {
        let mut command = command(&[&["-n", "-c", "Sink"], options, &["127.0.0.1:0"]].concat());
        command.env("NOTIFY_SOCKET", socket).env_remove("WATCHDOG_USEC").env_remove("WATCHDOG_PID");
        command
    }

    #[test]
    fn it_is_told_of_the_beginning_and_the_end() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("notify");
        let told = Told::by(UnixDatagram::bind(&path).expect("a free path"));
        let server = Running::start_command(told_at(&path, &[]));
        assert_eq!(told.next(), "READY=1");
        Client::ehlo(server.address()).expect("QUIT", "221");
        server.signal("TERM");
        assert_eq!(told.next(), "STOPPING=1");
        assert!(server.finish().0.success());
    }

    #[test]
    fn at_an_abstract_socket_too() {
        let name = format!("pillarbox-test-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).expect("a name");
        let told = Told::by(UnixDatagram::bind_addr(&address).expect("a free name"));
        let _server = Running::start_command(told_at(format!("@{name}"), &[]));
        assert_eq!(told.next(), "READY=1");
    }

    #[test]
    fn one_that_is_gone_does_not_matter() {
        let folder = tempfile::tempdir().expect("a folder");
        let server = Running::start_command(told_at(folder.path().join("nobody"), &[]));
        Client::ehlo(server.address());
        server.signal("TERM");
        let (status, _, errors) = server.finish();
        assert!(status.success() && errors.contains("cannot tell systemd"), "{errors}");
    }

    #[test]
    fn it_is_told_of_a_reload() {
        let certificate = crate::support::tls::Certificate::new();
        let folder = tempfile::tempdir().expect("a folder");
        let file = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).expect("room");
            path.to_str().expect("text").to_owned()
        };
        let (cert, key) = (file("cert.pem", &certificate.cert), file("key.pem", &certificate.key));
        let path = folder.path().join("notify");
        let told = Told::by(UnixDatagram::bind(&path).expect("a free path"));
        let server = Running::start_command(told_at(&path, &["--tls-cert", &cert, "--tls-key", &key]));
        assert_eq!(told.next(), "READY=1");
        server.signal("HUP");
        let reloading = told.next();
        let since = reloading.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").and_then(|rest| rest.parse::<u64>().ok());
        assert!(since.is_some_and(|since| since > 0), "{reloading}");
        assert_eq!(told.next(), "READY=1");
    }

    #[test]
    fn the_watchdog_hears_of_a_server_that_works() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("notify");
        let told = Told::by(UnixDatagram::bind(&path).expect("a free path"));
        let mut command = told_at(&path, &[]);
        command.env("WATCHDOG_USEC", "200000");
        let begun = Instant::now();
        let _server = Running::start_command(command);
        let words: Vec<String> = (0..6).map(|_| told.next()).collect();
        assert_eq!(words.iter().filter(|word| *word == "READY=1").count(), 1, "{words:?}");
        assert_eq!(words.iter().filter(|word| *word == "WATCHDOG=1").count(), 5, "{words:?}");
        // Not more often than is wanted.
        assert!(begun.elapsed() >= Duration::from_millis(400));
    }

    #[test]
    fn a_watchdog_of_another_process_hears_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("notify");
        let told = Told::by(UnixDatagram::bind(&path).expect("a free path"));
        let mut command = told_at(&path, &[]);
        command.env("WATCHDOG_USEC", "1000").env("WATCHDOG_PID", "1");
        let server = Running::start_command(command);
        assert_eq!(told.next(), "READY=1");
        server.signal("TERM");
        assert_eq!(told.next(), "STOPPING=1");
        assert!(server.finish().0.success());
    }
}
