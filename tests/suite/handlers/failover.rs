//! The documentation's failover: two Redis, and an HAProxy that sends everybody to the one that is the primary.

use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::support;
use crate::support::client::{Client, PATIENCE};
use crate::support::haproxy::HaProxy;
use crate::support::redis::Redis;
use crate::support::wait_until;
use parking_lot::Mutex;
use pillarbox::Server;
use pillarbox::handlers::RedisStream;

const DOCUMENTED: &str = include_str!("../../../examples/deploy/haproxy-redis.cfg");

/// A Redis at a TCP port: it takes no port 0, so one that was free a moment ago has to do.
fn start(settings: &[&str]) -> Option<(Redis, SocketAddr)> {
    let address = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port");
    let port = address.port().to_string();
    Some((Redis::start(&[&["--bind", "127.0.0.1", "--port", &port], settings].concat())?, address))
}

/// Sends until it is told to stop; notes what was acknowledged.
fn load(to: SocketAddr, name: usize, acknowledged: &Mutex<Vec<String>>, stop: &AtomicBool) {
    let mut number = 0;
    // A test that has failed says nothing.
    let deadline = Instant::now() + 10 * PATIENCE;
    while !stop.load(Ordering::Relaxed) && Instant::now() < deadline {
        // A session has a number of errors.
        let mut client = Client::ehlo(to);
        for _ in 0..5 {
            number += 1;
            let content = format!("{name}-{number}");
            // While Redis takes nothing, mail is refused before its content.
            let mut said = client.say("MAIL FROM:<a@client.example>");
            if said.starts_with("250") {
                client.expect("RCPT TO:<b@example.org>", "250");
                said = client.say("DATA");
                if said.starts_with("354") {
                    said = client.say(format!("{content}\r\n."));
                }
            }
            if said.starts_with("250 ") {
                acknowledged.lock().push(content);
            } else {
                assert!(said.starts_with("451 4.3.0"), "{said}");
                thread::sleep(Duration::from_millis(5));
                break;
            }
        }
    }
}

#[test]
fn a_failover_by_hand_loses_nothing_that_was_acknowledged() {
    let Some(haproxy) = support::program("haproxy") else { return };
    let safe = ["--min-replicas-to-write", "1"];
    let Some((mut first, first_address)) = start(&safe) else { return };
    let primary = |of: SocketAddr| format!("{} {}", of.ip(), of.port());
    let replica = primary(first_address);
    let Some((second, second_address)) = start(&[safe[0], safe[1], "--replicaof", &replica]) else { return };
    let proxy = HaProxy::start(
        &haproxy,
        DOCUMENTED,
        "127.0.0.1:6380",
        &[("192.0.2.21:6379", first_address), ("192.0.2.22:6379", second_address)],
    );
    wait_until("the roles are not seen", || {
        proxy.is("redis1", "UP", "L7OK") && proxy.value("redis2", "status") == "DOWN"
    });
    let stream = RedisStream::new(&format!("redis://{}", proxy.address)).expect("a URL");
    let stream = stream.wait_replicas(1, Duration::from_secs(5)).connect_timeout(Duration::from_secs(2));
    let server = Server::builder().serve("127.0.0.1:0", stream).expect("a free port");

    let (acknowledged, stop) = (Mutex::new(Vec::new()), AtomicBool::new(false));
    thread::scope(|scope| {
        for name in 0..4 {
            let (to, acknowledged, stop) = (server.local_addr(), &acknowledged, &stop);
            scope.spawn(move || load(to, name, acknowledged, stop));
        }
        wait_until("nothing is acknowledged", || acknowledged.lock().len() >= 50);
        first.kill();
        second.say::<()>("REPLICAOF NO ONE");
        wait_until("its new role is not seen", || proxy.is("redis2", "UP", "L7OK"));
        let before = acknowledged.lock().len();
        // Back as a replica: only then is there a second copy again, and mail is taken.
        first.restart_with(&["--replicaof", &primary(second_address)]);
        wait_until("the new primary takes nothing", || acknowledged.lock().len() >= before + 50);
        assert!(!proxy.is("redis1", "UP", "L7OK"));
        stop.store(true, Ordering::Relaxed);
    });
    let stored: Vec<String> =
        second.messages("pillarbox").iter().map(|mail| mail.text().expect("text").trim_end().to_owned()).collect();
    let acknowledged = acknowledged.into_inner();
    let lost: Vec<_> = acknowledged.iter().filter(|content| !stored.contains(content)).collect();
    assert!(lost.is_empty(), "{lost:?} of {} were lost", acknowledged.len());
}
