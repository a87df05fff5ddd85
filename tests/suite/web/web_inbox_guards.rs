//! The web inbox: whom it does not answer, and who cannot keep it from answering others.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::support;
use crate::support::client::PATIENCE;
use crate::support::command;
use crate::support::command::command;
use crate::support::web::{Answer, Inbox};

const REQUESTS: [(&str, &str); 6] = [
    ("GET", "/"),
    ("GET", "/api/messages"),
    ("GET", "/api/messages/1/source"),
    ("DELETE", "/api/messages"),
    ("PUT", "/api/faults"),
    ("OPTIONS", "/api/messages"),
];

/// An inbox with a message, and what it answers to requests with these fields but without a Host of its own.
fn statuses(inbox: &Inbox, fields: &str) -> Vec<u16> {
    let answer = |(method, target)| {
        let body = if method == "PUT" { "[]" } else { "" };
        let length = format!("Content-Length: {}\r\nConnection: close\r\n", body.len());
        inbox.say(format!("{method} {target} HTTP/1.1\r\n{length}{fields}\r\n{body}"))
    };
    REQUESTS.map(|request| answer(request).status).to_vec()
}

fn usage_error(arguments: &[&str]) -> String {
    let output = command(arguments).output().expect("the command was built");
    let err = String::from_utf8(output.stderr).expect("text");
    assert_eq!(output.status.code(), Some(2), "{arguments:?}: {err}");
    err
}

#[test]
fn names_that_are_not_ours() {
    let inbox = Inbox::start();
    inbox.receive("Subject: secret\r\n\r\n");
    let port = inbox.web.port();
    for host in [
        "evil.example".to_owned(),
        format!("evil.example:{port}"),
        format!("localhost.evil.example:{port}"),
        format!("127.0.0.1.evil.example:{port}"),
        format!("192.0.2.1:{port}"),
        format!("127.1:{port}"),
        format!(":{port}"),
    ] {
        assert_eq!(statuses(&inbox, &format!("Host: {host}\r\n")), [421; 6], "{host}");
    }
    for host in [
        format!("evil.example:{port}@127.0.0.1:{port}"),
        format!("127.0.0.1:{port}, evil.example"),
        format!("[::1:{port}"),
        format!("127.0.0.1:{port}x"),
        format!("127.0.0.1:+{port}"),
        String::new(),
    ] {
        assert_eq!(statuses(&inbox, &format!("Host: {host}\r\n")), [400; 6], "{host}");
    }
    assert_eq!(statuses(&inbox, ""), [400; 6]);
    let twice = format!("Host: 127.0.0.1:{port}\r\nHost: evil.example\r\n");
    assert_eq!(statuses(&inbox, &twice), [400; 6]);
    assert_eq!(inbox.ids(), ["1"]);
    // No other site's page comes by these, whatever the port: that may be one that somebody forwards.
    for host in [
        format!("LocalHost:{port}"),
        format!("127.0.0.1:{port}"),
        format!("[::1]:{port}"),
        format!("127.0.0.1:{}", port ^ 1),
        "127.0.0.1".to_owned(),
        "localhost".to_owned(),
    ] {
        let id = inbox.receive("Subject: one\r\n\r\n");
        let source = if id == "2" { 200 } else { 404 };
        assert_eq!(statuses(&inbox, &format!("Host: {host}\r\n")), [200, 200, source, 204, 204, 405], "{host}");
    }
}

#[test]
fn pages_of_other_sites() {
    let inbox = Inbox::start();
    inbox.receive("Subject: secret\r\n\r\n");
    let host = format!("Host: {}\r\n", inbox.web);
    let port = inbox.web.port();
    for fields in [
        "Origin: http://evil.example".to_owned(),
        "Origin: null".to_owned(),
        "Origin:".to_owned(),
        format!("Origin: https://127.0.0.1:{port}"),
        format!("Origin: http://127.0.0.1:{}", port ^ 1),
        format!("Origin: http://localhost:{port}"),
        format!("Origin: http://127.0.0.1:{port}.evil.example"),
        "Sec-Fetch-Site: cross-site".to_owned(),
        "Sec-Fetch-Site: same-site".to_owned(),
        "Sec-Fetch-Site: something new".to_owned(),
        "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: no-cors\r\nSec-Fetch-Dest: image".to_owned(),
        "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: iframe".to_owned(),
    ] {
        assert_eq!(statuses(&inbox, &format!("{host}{fields}\r\n")), [403; 6], "{fields}");
    }
    // A link to the page, which is all that another site may have.
    let visit = "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document\r\n";
    assert_eq!(statuses(&inbox, &format!("{host}{visit}")), [200, 403, 403, 403, 403, 403]);
    assert_eq!(inbox.ids(), ["1"]);
    for fields in ["Sec-Fetch-Site: none\r\n", "Sec-Fetch-Site: same-origin\r\n"] {
        assert_eq!(statuses(&inbox, &format!("{host}{fields}"))[..2], [200, 200], "{fields}");
    }
    let ours = format!("{host}Origin: http://127.0.0.1:{port}\r\nSec-Fetch-Site: same-origin\r\n");
    assert_eq!(statuses(&inbox, &ours)[3..], [204, 204, 405]);
    assert!(inbox.ids().is_empty());
}

#[test]
fn who_is_let_in_from_outside() {
    let inbox = Inbox::start_with(&["--http-host", "mail.example.test"]);
    let get = |inbox: &Inbox, fields: &str| {
        inbox.say(format!("GET /api/messages HTTP/1.1\r\nConnection: close\r\n{fields}\r\n")).status
    };
    assert_eq!(get(&inbox, "Host: Mail.Example.test\r\nOrigin: https://mail.example.test\r\n"), 200);
    assert_eq!(get(&inbox, "Host: mail.example.test:8080\r\nOrigin: http://mail.example.test:8080\r\n"), 200);
    assert_eq!(get(&inbox, "Host: mail.example.test\r\nOrigin: https://evil.example\r\n"), 403);
    assert_eq!(get(&inbox, "Host: 192.0.2.1\r\n"), 421);
    let inbox = Inbox::start_with(&["--http-public"]);
    // RFC 9112 section 3.2.2: a target that names a host counts more than the field.
    let absolute = |target: &str, host: &str| {
        inbox.say(format!("GET {target} HTTP/1.1\r\nConnection: close\r\nHost: {host}\r\n\r\n")).status
    };
    assert_eq!(absolute("http://localhost/api/messages", "evil.example"), 200);
    assert_eq!(absolute("HTTP://localhost.:8026?x=1", "localhost"), 200);
    assert_eq!(absolute("http://localhost", "localhost"), 200);
    assert_eq!(absolute("http://evil.example/api/messages", "localhost"), 421);
    assert_eq!(absolute("http://localhost@evil.example/", "localhost"), 421);
    for (host, status) in [
        ("localhost.", 200),
        ("192.0.2.1", 200),
        ("[2001:db8::1]:8080", 200),
        ("localhost:1", 200),
        ("mail.example.test", 421),
    ] {
        assert_eq!(get(&inbox, &format!("Host: {host}\r\n")), status, "{host}");
    }
}

#[test]
fn what_is_not_said_by_mistake() {
    for (arguments, hint) in [
        (&["-n", "--http", "127.0.0.1:0", "127.0.0.1:0"][..], "-c Inbox"),
        (&["-n", "-c", "Sink", "--http", "127.0.0.1:0", "127.0.0.1:0"], "-c Inbox"),
        (&["-n", "--http-public", "127.0.0.1:0"], "-c Inbox"),
        (&["-n", "-c", "Inbox", "--http", "0.0.0.0:0", "127.0.0.1:0"], "--http-public"),
        (&["-n", "-c", "Inbox", "--http", "[::]:0", "127.0.0.1:0"], "--http-public"),
        (&["-n", "-c", "Inbox", "--http", "192.0.2.1:0", "127.0.0.1:0"], "--http-public"),
        (&["-n", "-c", "Inbox", "--http", "127.0.0.1", "127.0.0.1:0"], "HOST:PORT"),
        (&["-n", "-c", "Inbox", "--http", "unix:/tmp/x", "127.0.0.1:0"], "HOST:PORT"),
        (&["-n", "-c", "Inbox", "--http", ":0", "--http-host", "a.example:80", "127.0.0.1:0"], "without a port"),
    ] {
        let err = usage_error(arguments);
        assert!(err.contains(hint), "{arguments:?}: {err}");
    }
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output =
        command(&["-n", "-c", "Inbox", "--http", &address, "127.0.0.1:0"]).output().expect("the command was built");
    let err = String::from_utf8(output.stderr).expect("text");
    assert_eq!(output.status.code(), Some(1));
    assert!(err.starts_with("pillarbox: ") && err.contains(&address), "{err}");
    assert!(err.contains("another port: --http says where"), "{err}");
}

#[test]
fn it_can_be_reached_from_outside_if_that_is_said() {
    let mut process = command::Process::start(&mut command(&[
        "-n",
        "-c",
        "Inbox",
        "--http",
        "0.0.0.0:0",
        "--http-public",
        "127.0.0.1:0",
    ]));
    let mut stderr = std::io::BufReader::new(process.0.stderr.take().expect("piped"));
    let url = std::io::BufRead::lines(&mut stderr)
        .map(|line| line.expect("text"))
        .find_map(|line| line.strip_prefix("pillarbox: inbox at http://0.0.0.0:").map(str::to_owned))
        .expect("an address");
    let port = url.trim_end_matches('/').parse().expect("a port");
    let mut stream = TcpStream::connect(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).expect("it listens");
    write!(stream, "GET / HTTP/1.1\r\nHost: 203.0.113.7\r\nConnection: close\r\n\r\n").unwrap();
    assert_eq!(Answer::read(&mut stream).status, 200);
}

#[test]
fn every_answer_has_its_fields() {
    let inbox = Inbox::start();
    inbox.receive("Content-Type: text/html\r\n\r\n<p>hello");
    for (method, target) in [
        ("GET", "/"),
        ("GET", "/app.js"),
        ("GET", "/api/messages"),
        ("GET", "/api/messages/1"),
        ("GET", "/api/messages/1/source"),
        ("GET", "/api/messages/1/html"),
        ("GET", "/api/next?timeout=0"),
        ("GET", "/api/faults"),
        ("GET", "/nowhere"),
        ("POST", "/"),
        ("PUT", "/api/faults"),
        ("DELETE", "/api/messages/1"),
    ] {
        let answer = inbox.request(method, target, "", "");
        for (field, value) in [
            ("X-Content-Type-Options", "nosniff"),
            ("Cache-Control", "no-store"),
            ("Referrer-Policy", "no-referrer"),
            ("Cross-Origin-Resource-Policy", "same-origin"),
            ("X-Frame-Options", "SAMEORIGIN"),
        ] {
            assert_eq!(answer.field(field), Some(value), "{method} {target}");
        }
        let policy = answer.field("Content-Security-Policy").expect("a policy");
        assert!(policy.starts_with("default-src 'none'; ") && policy.contains("frame-ancestors "), "{policy}");
        assert!(!answer.head.to_ascii_lowercase().contains("access-control"), "{}", answer.head);
    }
}

#[test]
fn what_is_no_request() {
    let inbox = Inbox::start();
    let host = format!("Host: {}\r\n", inbox.web);
    let with = |fields: &str| format!("PUT /api/faults HTTP/1.1\r\n{host}{fields}\r\n");
    for (request, status) in [
        ("EHLO client.example\r\n\r\n".to_owned(), 400),
        ("GET /\r\n\r\n".to_owned(), 400),
        ("\x16\x03\x01\x02\x00\x01\x00\x01\r\n\r\n".to_owned(), 400),
        (format!("GET https://{}/ HTTP/1.1\r\n{host}\r\n", inbox.web), 400),
        (format!("GET / HTTP/1.1\r\n{host} folded: x\r\n\r\n"), 400),
        (format!("GET / HTTP/1.1\r\n{host}A b: x\r\n\r\n"), 400),
        (with("Content-Length: +2\r\n"), 400),
        (with("Content-Length: -1\r\n"), 400),
        (with("Content-Length:\r\n"), 400),
        (with("Content-Length: 2\r\nContent-Length: 2\r\n"), 400),
        (with("Content-Length: 65537\r\n"), 413),
        (with("Content-Length: 99999999999999999999999999\r\n"), 413),
        (with("Transfer-Encoding: gzip\r\n"), 501),
        (with("Transfer-Encoding: gzip, chunked\r\n"), 501),
        (with("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"), 400),
        (with("Transfer-Encoding: chunked\r\nContent-Length: 2\r\n"), 400),
        (with("Transfer-Encoding: chunked\r\n").replace("HTTP/1.1", "HTTP/1.0"), 400),
        (with("Transfer-Encoding: chunked\r\n") + "\r\n", 400),
        (with("Transfer-Encoding: chunked\r\n") + "+2\r\n[]\r\n0\r\n\r\n", 400),
        (with("Transfer-Encoding: chunked\r\n") + "0x2\r\n[]\r\n0\r\n\r\n", 400),
        (with("Transfer-Encoding: chunked\r\n") + "2 2\r\n[]\r\n0\r\n\r\n", 400),
        (with("Transfer-Encoding: chunked\r\n") + "2;\r;\r\n[]\r\n0\r\n\r\n", 400),
        (with("Transfer-Encoding: chunked\r\n") + "2\n[]\r\n0\r\n\r\n", 400),
        (with("Transfer-Encoding: chunked\r\n") + "2\r\n[]]\r\n0\r\n\r\n", 400),
        (with("Transfer-Encoding: chunked\r\n") + "10001\r\n", 413),
        (with("Transfer-Encoding: chunked\r\n") + "ffffffffffffffff\r\n", 413),
        (with("Transfer-Encoding: chunked\r\n") + "1ffffffffffffffff\r\n", 400),
        (with("Transfer-Encoding: chunked\r\n") + &format!("0;{}", "x".repeat(20_000)), 431),
        (with("Transfer-Encoding: chunked\r\n") + &format!("0\r\n{}", "X: x\r\n".repeat(4000)), 431),
        (format!("GET /{} HTTP/1.1\r\n{host}\r\n", "x".repeat(20_000)), 431),
        (format!("GET / HTTP/1.1\r\n{host}X: {}\r\n\r\n", "x".repeat(20_000)), 431),
        (format!("GET / HTTP/1.1\r\n{host}{}\r\n", "X: x\r\n".repeat(100)), 431),
    ] {
        let answer = inbox.say(&request);
        assert_eq!(answer.status, status, "{request:.80}");
        assert_eq!(answer.field("Connection"), Some("close"));
        assert!(!answer.error().is_empty());
    }
    // An answer holds nothing of a request that could begin another field or line.
    let answer = inbox.request("GET", "/api/messages/1%0d%0aX-Evil:%20yes", "", "");
    assert!(answer.status == 404 && !answer.head.contains("Evil"), "{}", answer.head);
}

#[test]
fn a_body_that_is_announced_and_a_body_behind_a_refusal() {
    let inbox = Inbox::start();
    let mut stream = inbox.connect();
    let host = format!("Host: {}\r\n", inbox.web);
    write!(stream, "PUT /api/faults HTTP/1.1\r\n{host}Content-Length: 2\r\nExpect: 100-continue\r\n\r\n").unwrap();
    let mut octets = [0; 25];
    stream.read_exact(&mut octets).expect("leave to go on");
    assert_eq!(&octets, b"HTTP/1.1 100 Continue\r\n\r\n");
    // What is a body is never a request, whatever becomes of the request before it.
    let body = format!("DELETE /api/messages HTTP/1.1\r\n{host}\r\n");
    write!(stream, "[]PUT /nowhere HTTP/1.1\r\n{host}Content-Length: {}\r\n\r\n{body}", body.len()).unwrap();
    write!(stream, "GET /api/faults HTTP/1.1\r\n{host}Connection: close\r\n\r\n").unwrap();
    let mut answers = String::new();
    stream.read_to_string(&mut answers).expect("a close");
    let statuses: Vec<_> = answers.split("HTTP/1.1 ").skip(1).map(|answer| &answer[..3]).collect();
    assert_eq!(statuses, ["204", "404", "200"]);
}

#[test]
fn a_body_in_chunks() {
    let inbox = Inbox::start();
    let mut stream = inbox.connect();
    let host = format!("Host: {}\r\n", inbox.web);
    let put = |end| format!("PUT /api/faults HTTP/1.1\r\n{host}Transfer-Encoding: Chunked\r\n\r\n{end}");
    // The second is refused for what it says, and the third request is in its place.
    let chunks = [
        "1;a=b\r\n[\r\n00b \r\n{\"on\":{\"ver\r\n1F\r\nb\":\"NOOP\"},\"do\":{\"stall\":true}}\r\n1\r\n]\r\n0\r\nX: x\r\n\r\n",
        "2\r\n{}\r\n0\r\n\r\n",
    ];
    write!(stream, "{}{}", put(chunks[0]), put(chunks[1])).unwrap();
    write!(stream, "GET /api/faults HTTP/1.1\r\n{host}Connection: close\r\n\r\n").unwrap();
    let mut answers = String::new();
    stream.read_to_string(&mut answers).expect("a close");
    let statuses: Vec<_> = answers.split("HTTP/1.1 ").skip(1).map(|answer| &answer[..3]).collect();
    assert_eq!(statuses, ["204", "400", "200"], "{answers}");
    assert!(answers.ends_with("[{\"on\":{\"verb\":\"NOOP\"},\"do\":{\"stall\":true},\"fired\":0}]"), "{answers}");
}

/// # Panics
/// If it takes long.
fn is_answered(inbox: &Inbox) {
    let begun = Instant::now();
    assert!(inbox.list("/api/messages").is_empty());
    // Sooner than the server gives up any of the others, which it does after ten seconds.
    assert!(begun.elapsed() < Duration::from_secs(9), "{:?}", begun.elapsed());
}

#[test]
fn clients_by_the_hundred_that_never_end_their_request() {
    let inbox = Inbox::start();
    let begun: Vec<_> = (0..300)
        .map(|n| {
            let mut stream = inbox.connect();
            let request: &[u8] = match n % 3 {
                0 => b"GET / HTTP/1.1\r\nX: x",
                1 => b"PUT /api/faults HTTP/1.1\r\nContent-Length: 1000\r\n\r\n[",
                _ => b"\r\n",
            };
            stream.write_all(request).map(|()| stream)
        })
        .collect();
    is_answered(&inbox);
    drop(begun);
}

#[test]
fn a_request_that_drips_is_not_waited_for() {
    let inbox = Inbox::start();
    let mut stream = inbox.connect();
    stream.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    let begun = Instant::now();
    stream.write_all(b"GET / HTTP/1.1\r\nX: ").unwrap();
    loop {
        // Each octet comes in time, and all of them do not.
        let gone = match stream.read(&mut [0]) {
            Ok(n) => n == 0,
            Err(e) => !matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
        };
        if gone || stream.write_all(b"x").is_err() {
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "it is still there");
    }
    assert!(begun.elapsed() > Duration::from_secs(5), "{:?}", begun.elapsed());
}

#[test]
fn clients_that_do_not_read_their_answers() {
    let inbox = Inbox::start();
    inbox.receive(format!("Subject: large\r\n\r\n{}", "x".repeat(20_000_000)));
    let stuck: Vec<_> = (0..100)
        .map(|n| {
            let mut stream = inbox.connect();
            let target = if n % 2 == 0 { "/api/messages/1/source" } else { "/api/messages/1" };
            write!(stream, "GET {target} HTTP/1.1\r\nHost: {}\r\n\r\n", inbox.web).expect("it reads");
            stream
        })
        .collect();
    let begun = Instant::now();
    assert_eq!(inbox.ids(), ["1"]);
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
    #[cfg(target_os = "linux")]
    {
        let peak = crate::support::process::status(inbox.server.process.0.id(), "VmHWM");
        assert!(peak < 700_000, "{peak} KiB");
    }
    drop(stuck);
}

#[test]
fn curl_understands_it() {
    let inbox = Inbox::start();
    inbox.receive("Subject: hello\r\n\r\n");
    let url = |path: &str| format!("http://{}{path}", inbox.web);
    let Some(program) = support::program("curl") else { return };
    let curl = |arguments: &[&str]| {
        let output = Command::new(&program).args(["-q", "-sS", "--fail", "--max-time", "60"]).args(arguments).output();
        let output = output.expect("a child");
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text")
    };
    let rules = format!("[{}]", vec![r#"{"on":{"verb":"NOOP"},"do":{"delay":1}}"#; 1000].join(","));
    let (source, list) = (url("/api/messages/1/source"), url("/api/messages"));
    let both = curl(&[&source, &list]);
    assert!(both.starts_with("Subject: hello\r\n\r\n{\"messages\":[{"), "{both}");
    curl(&["-X", "PUT", "-d", &rules, &url("/api/faults")]);
    assert_eq!(inbox.get("/api/faults").json().as_array().map(Vec::len), Some(1000));
    // Of unknown length, so in chunks.
    curl(&["-X", "PUT", "-H", "Transfer-Encoding: chunked", "-d", "[]", &url("/api/faults")]);
    assert_eq!(inbox.get("/api/faults").text(), "[]");
    curl(&["-X", "DELETE", &list]);
    let empty = curl(&["-4", &list.replace("127.0.0.1", "localhost")]);
    assert!(empty.starts_with("{\"messages\":[],"), "{empty}");
}
