//! The web inbox with `--http-users`: who may look at it, and what guessing costs.

use std::io::{BufRead, Write};
use std::thread;
use std::time::{Duration, Instant};

use base64ct::{Base64, Encoding};
use tempfile::NamedTempFile;

use crate::support::browser::Browser;
use crate::support::client::PATIENCE;
use crate::support::command::{Running, command};
use crate::support::web::{Answer, Inbox, deliver};

/// `secret`, hashed so that a check takes many times as long as an answer.
const HASHED: &str = "$argon2id$v=19$m=8192,t=3,p=1$c29tZXNhbHRzb21lc2FsdA$Ev4uZjQwdBSwAVbfJVOTz5LLcjz5fkFL1W0gTT2bs/M";

fn users(text: &str) -> NamedTempFile {
    let file = NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), text).expect("room");
    file
}

fn start(users: &NamedTempFile, options: &[&str]) -> Inbox {
    Inbox::start_with(&[&["--http-users", users.path().to_str().expect("text")], options].concat())
}

fn field(credentials: &str) -> String {
    format!("Authorization: Basic {}\r\n", Base64::encode_string(credentials.as_bytes()))
}

fn get(inbox: &Inbox, target: &str, credentials: &str) -> Answer {
    inbox.request("GET", target, &field(credentials), "")
}

#[test]
fn everything_but_health_needs_the_password() {
    let inbox = start(&users("bob:builder\nzoë:d:e\n"), &[]);
    deliver(&mut inbox.client(), b"Subject: private\r\n\r\nbetween us\r\n");
    for target in [
        "/",
        "/app.js",
        "/api/messages",
        "/api/next?after=0",
        "/api/faults",
        "/api/server",
        "/metrics",
        "/ca.pem",
        "/no",
    ] {
        let answer = inbox.request("GET", target, "", "");
        assert_eq!(answer.status, 401, "{target}");
        assert_eq!(answer.field("WWW-Authenticate"), Some("Basic realm=\"pillarbox\", charset=\"UTF-8\""));
        assert!(!answer.text().contains("private") && answer.error().contains("password"), "{answer:?}");
        assert_ne!(get(&inbox, target, "bob:builder").status, 401, "{target}");
    }
    for (method, target) in [("DELETE", "/api/messages"), ("PUT", "/api/faults"), ("POST", "/")] {
        assert_eq!(inbox.request(method, target, "", "").status, 401, "{method} {target}");
    }
    for target in ["/livez", "/readyz"] {
        assert_eq!(inbox.request("GET", target, "", "").status, 200, "{target}");
    }
    assert_eq!(get(&inbox, "/", "zoë:d:e").status, 200);
    let twice = format!("{}{}", field("bob:builder"), field("bob:builder"));
    assert_eq!(inbox.request("GET", "/", &twice, "").status, 400);
    for wrong in ["bob:Builder", "bob:", ":builder", "", "bob", "eve:builder", "bob:builder\0", "bob:builder "] {
        assert_eq!(get(&inbox, "/", wrong).status, 401, "{wrong:?}");
    }
    for other in ["Bearer Ym9iOmJ1aWxkZXI=", "Basic", "Basic !", "Basic Ym9iOmJ1aWxkZXI=, Basic Ym9iOmJ1aWxkZXI="] {
        assert_eq!(inbox.request("GET", "/", &format!("Authorization: {other}\r\n"), "").status, 401, "{other}");
    }
    // A page of another site cannot use what a browser knows.
    let foreign = format!("{}Origin: http://attacker.example\r\n", field("bob:builder"));
    assert_eq!(inbox.request("GET", "/api/messages", &foreign, "").status, 403);
    assert_eq!(get(&inbox, "/api/next?after=0", "bob:builder").json()["subject"], "private");
}

#[test]
fn a_right_password_is_checked_once() {
    let users = users(&format!("bob:{HASHED}\n"));
    let inbox = start(&users, &[]);
    let timed = |count: u32| {
        let begun = Instant::now();
        for _ in 0..count {
            assert_eq!(get(&inbox, "/", "bob:secret").status, 200);
        }
        begun.elapsed() / count
    };
    let first = timed(1);
    // Ratios alone: a hundred checks would take a hundred times as long.
    let others = timed(100);
    assert!(others < first / 2, "{others:?} after {first:?}");
    // As one suite's workers begin, all at once.
    let inbox = start(&users, &[]);
    let request = format!("GET / HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n{}\r\n", inbox.web, field("bob:secret"));
    let mut workers: Vec<_> = (0..16).map(|_| inbox.connect()).collect();
    workers.iter_mut().for_each(|worker| worker.write_all(request.as_bytes()).expect("it reads"));
    assert!(workers.iter_mut().all(|worker| Answer::read(worker).status == 200));
}

#[test]
fn guesses_are_limited_and_keep_nobody_else_out() {
    let inbox = start(&users("bob:secret\n"), &[]);
    assert_eq!(get(&inbox, "/", "bob:secret").status, 200);
    // The same again is no other guess.
    for _ in 0..50 {
        assert_eq!(get(&inbox, "/", "bob:mistyped").status, 401);
    }
    let refused = (0..100).map(|n| get(&inbox, "/", &format!("bob:guess{n}"))).find(|answer| {
        assert!(matches!(answer.status, 401 | 429), "{answer:?}");
        answer.status == 429
    });
    let refused = refused.expect("an end to it");
    assert!(refused.field("Retry-After").is_some() && refused.error().contains("later"), "{refused:?}");
    assert_eq!(get(&inbox, "/", "bob:secret").status, 200);
    assert_eq!(inbox.request("GET", "/readyz", "", "").status, 200);
}

#[test]
fn a_signal_reloads_the_users() {
    let users = users("bob:builder\n");
    let mut inbox = start(&users, &[]);
    assert_eq!(get(&inbox, "/", "bob:builder").status, 200);
    assert_eq!(get(&inbox, "/", "bob:other").status, 401);
    std::fs::write(users.path(), "bob:other\n").expect("room");
    inbox.server.signal("HUP");
    let deadline = Instant::now() + PATIENCE;
    while get(&inbox, "/", "bob:other").status != 200 {
        assert!(Instant::now() < deadline, "the users stay as they were");
        thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(get(&inbox, "/", "bob:builder").status, 401);
    // What is no file of users changes nothing.
    std::fs::write(users.path(), "\n").expect("room");
    inbox.server.signal("HUP");
    let mut line = String::new();
    inbox.server.stderr.read_line(&mut line).expect("text");
    assert!(line.contains("stay as they were: there are no users in "), "{line}");
    assert_eq!(get(&inbox, "/", "bob:other").status, 200);
}

#[test]
fn what_is_open_to_all_says_so() {
    let warning = |options: &[&str]| {
        let base = ["-n", "-c", "Inbox", "--http-public", "--http"];
        let mut server = Running::start(&[&base[..], options, &["127.0.0.1:0"]].concat());
        let mut line = String::new();
        server.stderr.read_line(&mut line).expect("text");
        assert!(line.contains("inbox at"), "{line}");
        server.signal("TERM");
        server.finish().2
    };
    assert!(warning(&["0.0.0.0:0"]).contains("--http-users asks for a password"));
    let users = users("bob:builder\n");
    assert_eq!(warning(&["0.0.0.0:0", "--http-users", users.path().to_str().expect("text")]), "");
    // Nobody but this machine reaches it.
    assert_eq!(warning(&["127.0.0.1:0"]), "");
    let output = command(&["-n", "-c", "Inbox", "--http-users", "/no/such/file", "127.0.0.1:0"]).output();
    let output = output.expect("the command was built");
    let said = String::from_utf8(output.stderr).expect("text");
    assert!(output.status.code() == Some(1) && said.contains("/no/such/file"), "{said}");
}

#[test]
fn the_page_works_with_a_password() {
    let inbox = start(&users("bob:builder\n"), &[]);
    deliver(&mut inbox.client(), b"Subject: first\r\nContent-Type: text/html\r\n\r\n<p id=html>of HTML</p>\r\n");
    let Some(browser) = Browser::start() else { return };
    // From a bookmark. From then on a browser sends it by itself, as it does if somebody has typed it in.
    for url in [format!("http://bob:builder@{}/", inbox.web), format!("http://{}/", inbox.web)] {
        browser.open(&url);
        browser.wait("document.getElementById('state').dataset.state === 'live'");
        browser.wait("document.querySelectorAll('.row:not([hidden])').length === 1");
    }
    browser.wait("document.getElementById('state').dataset.state === 'live'");
    browser.wait("document.querySelectorAll('.row:not([hidden])').length === 1");
    browser.click(".row");
    browser.wait("document.getElementById('subject').textContent === 'first'");
    // The frame asks by itself, from nowhere that could be trusted.
    browser.wait("document.querySelector('iframe') !== null");
    deliver(&mut inbox.client(), b"Subject: second\r\n\r\nwhile it is open\r\n");
    browser.wait("document.querySelectorAll('.row:not([hidden])').length === 2");
}
