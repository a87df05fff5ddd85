//! The web inbox: those who wait for what comes, and what they are told.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use crate::support::client::PATIENCE;
use crate::support::process;
use crate::support::web::{Answer, Inbox, deliver};
use crate::support::{missing, wait_until};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use serde_json::{Value, json};

fn subject(text: &str) -> String {
    format!("Subject: {text}\r\n\r\n{text}\r\n")
}

/// A request that is being waited for.
fn waiting(inbox: &Inbox, target: &str) -> TcpStream {
    let mut stream = inbox.connect();
    write!(stream, "GET {target} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", inbox.web).expect("it reads");
    stream
}

/// What has changed since a change, at the least one of them.
fn changes(inbox: &Inbox, after: &Value) -> Value {
    inbox.get(&format!("/api/changes?after={after}")).json()
}

/// What a request for changes is answered with, or the next if that is about the end of a connection alone.
fn change_of_messages(onlooker: &mut TcpStream, inbox: &Inbox, after: &Value) -> Value {
    let mut told = Answer::read(onlooker).json();
    while told["change"] == *after {
        told = changes(inbox, after);
    }
    told
}

/// Sends a request again that waits no longer: it was refused its place, or told of a connection that has ended.
fn wait_again(stream: &mut TcpStream, inbox: &Inbox, target: &str) {
    stream.set_nonblocking(true).expect("a socket");
    let is_answered = stream.peek(&mut [0]).is_ok();
    stream.set_nonblocking(false).expect("a socket");
    if is_answered {
        let answer = Answer::read(stream);
        assert!([200, 503].contains(&answer.status), "{}", answer.status);
        *stream = waiting(inbox, target);
    }
}

/// Until as many requests wait as can.
fn wait_until_all_wait(inbox: &Inbox, all: &mut [TcpStream], target: impl Fn(usize) -> String) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let answer = inbox.request("GET", "/api/next?timeout=0", "", "");
        if answer.status == 503 {
            assert!(answer.error().contains("wait"), "{}", answer.error());
            return;
        }
        assert!(Instant::now() < deadline);
        // The question may have had the place of one of them.
        all.iter_mut().enumerate().for_each(|(n, stream)| wait_again(stream, inbox, &target(n)));
    }
}

/// Whether this process may have so many file descriptors. The server sees to its own.
fn has_descriptors(count: u64) -> bool {
    let (allowed, most) = getrlimit(Resource::RLIMIT_NOFILE).expect("a limit");
    if most < count {
        missing("too few file descriptors are allowed here");
        return false;
    }
    setrlimit(Resource::RLIMIT_NOFILE, allowed.max(count), most).expect("it is allowed");
    true
}

#[test]
fn a_thousand_wait_and_the_page_is_there() {
    if !has_descriptors(4096) {
        return;
    }
    let inbox = Inbox::start();
    inbox.receive(subject("before"));
    let change = inbox.get("/api/changes").json()["change"].clone();
    let memory = process::status(inbox.server.process.0.id(), "VmRSS");
    let target = |n: usize| match n % 2 {
        0 => "/api/next?after=1&timeout=300".to_owned(),
        _ => format!("/api/changes?timeout=300&after={change}"),
    };
    let mut all: Vec<_> = (0..1024).map(|n| waiting(&inbox, &target(n))).collect();
    // Then one more cannot; but all else is answered.
    wait_until_all_wait(&inbox, &mut all, target);
    let each = (process::status(inbox.server.process.0.id(), "VmRSS") - memory) / 1024;
    assert!(each < 64, "{each} KiB for each");
    for target in ["/", "/app.js", "/api/messages", "/api/messages/1", "/api/server"] {
        assert_eq!(inbox.get(target).status, 200, "{target}");
    }
    let idle: Vec<_> = (0..300).map(|_| inbox.connect()).collect();
    assert_eq!(inbox.get("/").status, 200);
    drop(idle);
    deliver(&mut inbox.client(), subject("hello").as_bytes());
    for (n, stream) in all.iter_mut().enumerate() {
        let id = match n % 2 {
            0 => Answer::read(stream).json()["id"].clone(),
            _ => change_of_messages(stream, &inbox, &change)["arrived"][0]["id"].clone(),
        };
        assert_eq!(id, "2", "{n}");
    }
    // Their places are given back.
    assert_eq!(inbox.get("/api/next?timeout=0").status, 204);
}

#[test]
fn clients_by_the_thousand_that_say_nothing() {
    if !has_descriptors(4096) {
        return;
    }
    let inbox = Inbox::start();
    let mut first = inbox.connect();
    let idle: Vec<_> = (0..1300).map(|_| inbox.connect()).collect();
    let begun = Instant::now();
    assert!(inbox.ids().is_empty());
    // Sooner than the server gives up any of the others, which it does after half a minute.
    assert!(begun.elapsed() < Duration::from_secs(29), "{:?}", begun.elapsed());
    // The one that has waited longest has made room.
    assert!(matches!(first.read(&mut [0]), Ok(0) | Err(_)));
    let threads = process::status(inbox.server.process.0.id(), "Threads");
    assert!(threads < 1300, "{threads} threads");
    drop(idle);
}

#[test]
fn who_waits_and_goes_leaves_a_place() {
    let inbox = Inbox::start();
    for _ in 0..3 {
        let all: Vec<_> = (0..500).map(|_| waiting(&inbox, "/api/next?timeout=300")).collect();
        assert_eq!(inbox.get("/api/next?timeout=0").status, 204);
        drop(all);
        wait_until("their threads have ended", || process::status(inbox.server.process.0.id(), "Threads") <= 50);
    }
    assert_eq!(inbox.get("/api/next?timeout=0").status, 204);
}

#[test]
fn what_changes_is_told_at_once() {
    let inbox = Inbox::start_with(&["--keep", "3"]);
    let start = inbox.get("/api/changes").json();
    let expected = json!({
        "change": start["change"], "reset": false, "arrived": [], "deleted": [], "read": [], "unread": [],
        "dropped": 0, "refused": 0, "total": 0, "unread_total": 0, "connections": start["connections"], "faults": 0,
    });
    assert_eq!(start, expected);
    let mut onlooker = waiting(&inbox, &format!("/api/changes?after={}", start["change"]));
    assert_eq!(inbox.receive(subject("one")), "1");
    let told = change_of_messages(&mut onlooker, &inbox, &start["change"]);
    assert_eq!((&told["arrived"][0]["id"], &told["arrived"][0]["subject"]), (&json!("1"), &json!("one")));
    assert_eq!((&told["total"], &told["unread_total"]), (&json!(1), &json!(1)));
    // Read and unread again, for all who look.
    for (method, read, unread, left) in [("PUT", json!(["1"]), json!([]), 0), ("DELETE", json!([]), json!(["1"]), 1)] {
        let before = inbox.get("/api/changes").json()["change"].clone();
        let mut onlooker = waiting(&inbox, &format!("/api/changes?after={before}"));
        assert_eq!(inbox.request(method, "/api/messages/1/read", "", "").status, 204);
        let told = change_of_messages(&mut onlooker, &inbox, &before);
        assert_eq!((&told["read"], &told["unread"], &told["unread_total"]), (&read, &unread, &json!(left)));
        // Once more is no change.
        assert_eq!(inbox.request(method, "/api/messages/1/read", "", "").status, 204);
        assert_eq!(inbox.get("/api/changes").json()["change"], told["change"]);
    }
    assert_eq!(inbox.request("PUT", "/api/messages/2/read", "", "").status, 404);
    let before = inbox.get("/api/changes").json()["change"].clone();
    let mut onlooker = waiting(&inbox, &format!("/api/changes?after={before}"));
    assert_eq!(inbox.request("DELETE", "/api/messages/1", "", "").status, 204);
    let told = change_of_messages(&mut onlooker, &inbox, &before);
    assert_eq!((&told["deleted"], &told["arrived"], &told["total"]), (&json!(["1"]), &json!([]), &json!(0)));
    // What makes room is told as well, and one that has come and gone is no arrival.
    for n in 2..=6 {
        inbox.receive(subject(&n.to_string()));
    }
    let told = changes(&inbox, &told["change"]);
    let arrived: Vec<_> = told["arrived"].as_array().expect("a list").iter().map(|one| one["id"].clone()).collect();
    assert_eq!(
        (json!(arrived), &told["deleted"], &told["dropped"]),
        (json!(["4", "5", "6"]), &json!(["2", "3"]), &json!(2))
    );
    // All in all, from the start.
    let all = changes(&inbox, &start["change"]);
    assert_eq!((&all["deleted"], &all["change"]), (&json!(["1", "2", "3"]), &told["change"]));
    assert_eq!(inbox.get(&format!("/api/changes?timeout=0&after={}", told["change"])).json()["arrived"], json!([]));
}

#[test]
fn rules_for_faults_are_a_change_too() {
    let inbox = Inbox::start();
    let before = inbox.get("/api/changes").json();
    let mut onlooker = waiting(&inbox, &format!("/api/changes?after={}", before["change"]));
    let rules = r#"[{"on":{"verb":"NOOP"},"do":{"reply":"450 4.3.2 later"}}]"#;
    // What was put before it waits is no change to it.
    while onlooker.set_nonblocking(true).is_ok() && onlooker.peek(&mut [0]).is_err() {
        assert_eq!(inbox.request("PUT", "/api/faults", "", rules).status, 204);
        thread::sleep(Duration::from_millis(10));
    }
    onlooker.set_nonblocking(false).expect("a socket");
    let told = Answer::read(&mut onlooker).json();
    assert!(told["faults"].as_u64() > before["faults"].as_u64() && told["change"] == before["change"], "{told}");
    let before = inbox.get("/api/changes").json()["faults"].as_u64();
    inbox.client().expect("NOOP", "450");
    assert_eq!(inbox.get("/api/changes").json()["faults"].as_u64(), before.map(|faults| faults + 1));
}

#[test]
fn changes_that_are_not_known() {
    let inbox = Inbox::start();
    inbox.receive(subject("one"));
    let present = inbox.get("/api/changes").json()["change"].as_u64().expect("a number");
    for other in [0, 1, present - 2, present + 1, u64::MAX] {
        let told = changes(&inbox, &json!(other));
        assert_eq!((&told["reset"], &told["change"], &told["arrived"]), (&json!(true), &json!(present), &json!([])));
    }
    for (query, problem) in [
        ("after=x", "after: expected the number of a change"),
        ("after=-1", "after: expected the number of a change"),
        ("after=1&timeout=soon", "timeout: expected a number of seconds, at most 300"),
        ("after=1&timeout=-1", "timeout: expected a number of seconds, at most 300"),
    ] {
        let answer = inbox.request("GET", &format!("/api/changes?{query}"), "", "");
        assert!(answer.status == 400 && answer.error().starts_with(problem), "{query}: {}", answer.error());
    }
    // Those of a process that was here before.
    let mut next = Inbox::start();
    while next.get("/api/changes").json()["change"].as_u64() <= Some(present) {
        next = Inbox::start();
    }
    assert_eq!(changes(&next, &json!(present))["reset"], json!(true));
}

#[test]
fn many_arrivals_are_told_in_parts() {
    let inbox = Inbox::start();
    let start = inbox.get("/api/changes").json()["change"].clone();
    let mut client = inbox.client();
    for n in 1..=250 {
        deliver(&mut client, subject(&n.to_string()).as_bytes());
    }
    let (mut change, mut arrived) = (start, Vec::new());
    while arrived.len() < 250 {
        let told = changes(&inbox, &change);
        let these = told["arrived"].as_array().expect("a list");
        assert!((1..=100).contains(&these.len()), "{}", these.len());
        arrived.extend(these.iter().map(|one| one["id"].as_str().expect("a text").parse::<u64>().expect("a number")));
        change = told["change"].clone();
    }
    assert!(arrived.into_iter().eq(1..=250));
}
