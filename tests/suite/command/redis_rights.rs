//! The rights that the documentation gives to receivers and workers: they need no others.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::net::UnixStream;
use std::path::Path;

use crate::support::chain::Member;
use crate::support::client::Client;
use crate::support::redis::Redis;
use crate::support::wait_until;

const DOCUMENTED: &str = include_str!("../../../examples/deploy/redis-acl.txt");

/// A Redis with the documented users, and a URL for each of them.
fn with_users(settings: &[&str]) -> Option<(Redis, impl Fn(&str, &str) -> String + use<>)> {
    let redis = Redis::start(settings)?;
    for line in DOCUMENTED.lines() {
        redis.say::<()>(line);
    }
    let base = redis.url();
    Some((redis, move |user: &str, password: &str| format!("{base}?user={user}&pass={password}")))
}

/// What somebody wanted to do and may not.
fn denied(redis: &Redis) -> String {
    let log: Vec<redis::Value> = redis.say("ACL LOG");
    log.iter().map(|entry| format!("{entry:?}\n")).collect()
}

fn send(receiver: &Member, content: &str) {
    let mut client = Client::ehlo(receiver.address());
    client.expect("MAIL FROM:<a@client.example>", "250");
    client.expect("RCPT TO:<b@example.org>", "250");
    client.expect("RCPT TO:<c@example.org>", "250");
    client.expect("DATA", "354");
    let said = client.say(format!("{content}\r\n."));
    assert!(said.starts_with("250"), "{said}: {}", receiver.said());
}

#[track_caller]
fn wait_until_empty(redis: &Redis) {
    wait_until("messages stay in the stream", || redis.say::<usize>("XLEN pillarbox") == 0);
}

/// A program that accepts a message for b, and for c what is said.
fn program(folder: &Path, reply_for_c: &str) -> String {
    let calls = folder.join("calls");
    format!(
        "cat > /dev/null; echo \"$PILLARBOX_RECIPIENTS\" >> {}; \
         case \"$PILLARBOX_RECIPIENTS\" in b*) exit 0;; *) {reply_for_c};; esac",
        calls.display()
    )
}

#[test]
fn the_documented_rights_are_enough() {
    let Some((redis, url)) = with_users(&[]) else { return };
    let folder = tempfile::tempdir().unwrap();
    let mail = folder.path().join("mail");
    let (receiver_url, worker_url) = (url("receiver", "SECRET1"), url("worker", "SECRET2"));
    let metrics = ["--metrics", "127.0.0.1:0"];
    let receiver =
        Member::receiver(&receiver_url, &[&metrics[..], &["--stream-octets", "100000000"]].concat(), "127.0.0.1:0");
    wait_until("the receiver is not ready", || receiver.get("/readyz").status == 200);
    // The stream and the group are made, and the numbers read.
    let store = ["--once-for", "600", "--take-over-after", "1", "--maildir", mail.to_str().unwrap()];
    let worker = Member::worker(&worker_url, &[&metrics[..], &store].concat());
    send(&receiver, "Subject: stored");
    wait_until_empty(&redis);
    wait_until("there are no numbers", || worker.get("/metrics").text().contains("\npillarbox_stream_bytes "));
    worker.end();
    // Killed, taken over; refused for a time for one of two; then for good.
    let calls = folder.path().join("calls");
    let words = ["--pipe-each", "--take-over-after", "1", "--"];
    let hangs = Member::worker(&worker_url, &[&words[..], &["sh", "-c", "exec sleep 100"]].concat());
    send(&receiver, "Subject: taken over");
    wait_until("it is not taken", || {
        format!("{:?}", redis.say::<redis::Value>("XPENDING pillarbox pillarbox")).contains("int(1)")
    });
    hangs.kill();
    let script = program(folder.path(), "exit 75");
    let busy = Member::worker(&worker_url, &[&words[..], &["sh", "-c", &script]].concat());
    wait_until("it is not tried", || fs::read_to_string(&calls).unwrap_or_default().contains("c@example.org"));
    busy.end();
    let script = program(folder.path(), "echo 550 5.1.1 nobody; exit 1");
    let strict = Member::worker(&worker_url, &[&words[..], &["sh", "-c", &script]].concat());
    wait_until_empty(&redis);
    wait_until("there is no dead letter", || redis.say::<usize>("XLEN pillarbox:dead") == 1);
    wait_until("consumers that are gone stay", || {
        let consumers: Vec<redis::Value> = redis.say("XINFO CONSUMERS pillarbox pillarbox");
        consumers.len() == 1
    });
    strict.end();
    receiver.end();
    assert_eq!(denied(&redis), "");
}

#[test]
fn with_replicas_as_well() {
    let port = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).unwrap().port();
    let Some((redis, url)) = with_users(&["--bind", "127.0.0.1", "--port", &port.to_string()]) else { return };
    let Some(replica) = Redis::start(&["--replicaof", &format!("127.0.0.1 {port}")]) else { return };
    wait_until("it does not replicate", || replica.say::<String>("INFO replication").contains("master_link_status:up"));
    let folder = tempfile::tempdir().unwrap();
    let receiver = Member::receiver(&url("receiver", "SECRET1"), &["--wait-replicas", "1"], "127.0.0.1:0");
    let worker = Member::worker(&url("worker", "SECRET2"), &["--maildir", folder.path().to_str().unwrap()]);
    send(&receiver, "Subject: copied");
    wait_until("it is not stored", || fs::read_dir(folder.path().join("new")).unwrap().count() == 1);
    wait_until_empty(&redis);
    // Without its replica a message is refused, and taken back.
    drop(replica);
    let mut client = Client::ehlo(receiver.address());
    wait_until("mail is taken without a replica", || {
        let said = client.say("MAIL FROM:<a@client.example>");
        if said.starts_with("250") {
            client.expect("RCPT TO:<b@example.org>", "250");
            client.expect("DATA", "354");
            let said = client.say("x\r\n.");
            assert!(said.starts_with("451"), "{said}");
        }
        said.starts_with("451")
    });
    receiver.end();
    worker.end();
    assert_eq!(denied(&redis), "");
}

#[test]
fn what_haproxy_asks() {
    let Some((redis, _)) = with_users(&[]) else { return };
    let mut stream = UnixStream::connect(redis.socket()).unwrap();
    stream.write_all(b"AUTH haproxy SECRET3\r\nPING\r\nINFO replication\r\nQUIT\r\n").unwrap();
    let mut said = String::new();
    stream.read_to_string(&mut said).unwrap();
    assert!(
        said.starts_with("+OK\r\n+PONG\r\n$") && said.contains("role:master") && said.ends_with("+OK\r\n"),
        "{said}"
    );
    assert_eq!(denied(&redis), "");
}

#[test]
fn a_missing_right_is_named() {
    let Some((redis, url)) = with_users(&[]) else { return };
    redis.say::<()>("ACL SETUSER receiver -xlen");
    redis.say::<()>("ACL SETUSER worker -xreadgroup");
    let receiver = Member::receiver(&url("receiver", "SECRET1"), &[], "127.0.0.1:0");
    let folder = tempfile::tempdir().unwrap();
    let worker = Member::worker(&url("worker", "SECRET2"), &["--maildir", folder.path().to_str().unwrap()]);
    for (member, right) in [(&receiver, "xlen"), (&worker, "xreadgroup")] {
        wait_until("the right is not named", || {
            let said = member.said();
            said.contains("misses a right") && said.to_lowercase().contains(right)
        });
        assert!(!member.said().contains("SECRET"), "{}", member.said());
    }
}
