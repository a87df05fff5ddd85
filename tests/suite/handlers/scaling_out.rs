//! Several processes take mail for one Redis: behind a real HAProxy, and at one port. One is killed under load, and no
//! message is lost that was acknowledged.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::path::Path;
use std::process::Child;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::support;
use crate::support::client::{Client, PATIENCE};
use crate::support::haproxy::HaProxy;
use crate::support::redis::{Fields, Redis};
use crate::support::wait_until;
use crate::support::{example, serve};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use parking_lot::Mutex;
use pillarbox::Envelope;
use pillarbox::handlers::RedisStream;

const KEY: &str = "pillarbox";

/// One of the processes that take mail.
struct Server {
    process: Child,
    address: SocketAddr,
}

impl Server {
    fn start(at: SocketAddr, redis: &Redis, options: &[&str]) -> Option<Server> {
        let mut command = example("redis_server")?;
        command.args([at.to_string(), redis.url()]).args(options);
        let (process, address) = serve(command);
        Some(Server { process, address })
    }

    /// SIGKILL, and its end.
    fn kill(mut self) -> SocketAddr {
        self.process.kill().expect("it runs");
        self.process.wait().expect("our own child");
        self.address
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.process.id().try_into().expect("a process id")), signal).expect("it runs");
    }

    /// SIGTERM, and its end.
    fn end(mut self) {
        self.signal(Signal::SIGTERM);
        assert!(self.process.wait().expect("our own child").success());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A message that was acknowledged: what it says, and from which address it was sent.
type Acknowledged = (String, SocketAddr);

/// Sends until it is told to stop, over another connection when one is lost; notes what was acknowledged.
fn load(to: SocketAddr, name: usize, acknowledged: &Mutex<Vec<Acknowledged>>, stop: &AtomicBool) {
    let mut number = 0;
    // A test that has failed says nothing.
    let deadline = Instant::now() + 10 * PATIENCE;
    while !stop.load(Ordering::Relaxed) && Instant::now() < deadline {
        let Ok(mut client) = Client::try_raw(to) else { continue };
        let from = client.local_addr();
        if !client.reply().starts_with("220 ") || !client.try_send("EHLO client.example\r\n") {
            continue;
        }
        // A few messages for each connection.
        let mut said = client.reply();
        for _ in 0..5 {
            number += 1;
            let content = format!("Subject: {name}-{number}");
            let whole =
                format!("MAIL FROM:<a@client.example>\r\nRCPT TO:<b@example.org>\r\nDATA\r\n{content}\r\n.\r\n");
            if !said.starts_with("250") || !client.try_send(whole) {
                break;
            }
            if ["250", "250", "354"].iter().any(|code| !client.reply().starts_with(code)) {
                break;
            }
            said = client.reply();
            if said.starts_with("250 ") {
                acknowledged.lock().push((content, from));
            }
            // The checks of health take seconds: a steady stream is enough.
            thread::sleep(Duration::from_millis(5));
        }
    }
}

/// Which processes have taken the last messages: the first part of an id is a server's own.
fn takers(redis: &Redis) -> HashSet<String> {
    let last: Vec<(String, Fields)> = redis.say(&format!("XREVRANGE {KEY} + - COUNT 500"));
    let ids = last.into_iter().map(|(_, fields)| RedisStream::read(fields).expect("a message").id().to_string());
    ids.filter_map(|id| Some(id.split('-').next()?.to_owned())).collect()
}

/// Each acknowledged message is there, from whom sent it, and none is there twice, since nobody sent one again.
#[track_caller]
fn assert_all_there(acknowledged: &[Acknowledged], stored: &[Envelope]) {
    let mut messages: HashMap<String, &Envelope> = HashMap::new();
    for mail in stored {
        let twice = messages.insert(mail.text().expect("text").trim_end().to_owned(), mail);
        assert!(twice.is_none(), "{twice:?}");
    }
    let lost: Vec<_> = acknowledged.iter().filter(|(content, _)| !messages.contains_key(content)).collect();
    assert!(lost.is_empty(), "{lost:?} of {} were lost", acknowledged.len());
    for (content, from) in acknowledged {
        assert_eq!(messages[content].peer().socket_addr(), Some(*from));
    }
}

const ANY: ([u8; 4], u16) = ([127, 0, 0, 1], 0);

const BEHIND_A_PROXY: &[&str] = &["--proxy", "127.0.0.1/32"];

/// Two servers in front of one Redis, behind a HAProxy with the documented configuration.
fn behind_haproxy() -> Option<(Redis, [Server; 2], HaProxy)> {
    let haproxy = support::program("haproxy")?;
    let redis = Redis::start(&[])?;
    let start = || Server::start(ANY.into(), &redis, BEHIND_A_PROXY);
    let servers = [start()?, start()?];
    let haproxy = start_haproxy(&haproxy, servers.each_ref().map(|server| server.address), DOCUMENTED);
    Some((redis, servers, haproxy))
}

#[test]
fn a_process_behind_haproxy_is_killed_and_its_messages_are_not() {
    let Some((redis, [first, second], haproxy)) = behind_haproxy() else { return };

    let (acknowledged, stop) = (Mutex::new(Vec::new()), AtomicBool::new(false));
    thread::scope(|scope| {
        for name in 0..6 {
            let (to, acknowledged, stop) = (haproxy.address, &acknowledged, &stop);
            scope.spawn(move || load(to, name, acknowledged, stop));
        }
        wait_until("nobody takes mail", || acknowledged.lock().len() >= 100);
        for server in ["mx1", "mx2"] {
            wait_until("the health check does not succeed", || haproxy.is(server, "UP", "L7OK"));
        }
        wait_until("one takes no mail", || takers(&redis).len() == 2);
        let address = first.kill();
        let killed = acknowledged.lock().len();
        wait_until("the other does not go on", || acknowledged.lock().len() >= killed + 100);
        wait_until("its end is not seen", || haproxy.is("mx1", "DOWN", "L4CON"));
        let again = Server::start(address, &redis, BEHIND_A_PROXY).expect("it was there");
        wait_until("its return is not seen", || haproxy.is("mx1", "UP", "L7OK"));
        wait_until("it takes no mail again", || takers(&redis).len() == 2);
        stop.store(true, Ordering::Relaxed);
        again.end();
    });
    second.end();
    assert_all_there(&acknowledged.into_inner(), &redis.messages(KEY));
}

const DOCUMENTED: &str = include_str!("../../../examples/haproxy.cfg");

/// HAProxy in front of two servers.
fn start_haproxy(program: &Path, servers: [SocketAddr; 2], config: &str) -> HaProxy {
    let places = [("192.0.2.11:2525", servers[0]), ("192.0.2.12:2525", servers[1])];
    HaProxy::start(program, config, ":25", &places)
}

/// The documentation's configuration with fewer connections: `each` for a server, and as much room as it leaves.
fn smaller(each: usize) -> (String, usize) {
    let limits: Vec<usize> =
        DOCUMENTED.split("maxconn ").skip(1).map_while(|rest| rest.split_whitespace().next()?.parse().ok()).collect();
    let [all, server] = limits[..] else { panic!("two limits: {limits:?}") };
    assert_eq!(all, 2 * server);
    // Two HAProxies, and what a process takes by default.
    let room = 1000 - 2 * server;
    let config = DOCUMENTED.replace(&format!("maxconn {all}\n"), &format!("maxconn {}\n", 2 * each));
    (config.replace(&format!("maxconn {server} "), &format!("maxconn {each} ")), room)
}

#[test]
fn full_processes_pass_the_checks_of_two_haproxies() {
    const EACH: usize = 40;
    let Some(haproxy) = support::program("haproxy") else { return };
    let (config, room) = smaller(EACH);
    let servers = [(); 2].map(|()| {
        pillarbox::Server::builder()
            .max_connections(2 * EACH + room)
            .proxy_protocol(pillarbox::Network::loopback())
            .serve("127.0.0.1:0", pillarbox::handlers::Sink)
            .expect("a free port")
    });
    let addresses = servers.each_ref().map(pillarbox::Server::local_addr);
    let proxies = [(); 2].map(|()| start_haproxy(&haproxy, addresses, &config));
    for proxy in &proxies {
        for name in ["mx1", "mx2"] {
            wait_until("no check succeeds", || proxy.is(name, "UP", "L7OK"));
        }
    }
    let clients: Vec<Client> = (0..4 * EACH).map(|number| Client::ehlo(proxies[number % 2].address)).collect();
    for server in &servers {
        let before = server.stats().connections;
        wait_until("there are no checks", || server.stats().connections >= before + 4);
        assert!(server.stats().open_connections >= 2 * EACH as u64);
        assert_eq!(server.stats().refused_connections_by.too_many, 0);
    }
    for proxy in &proxies {
        for name in ["mx1", "mx2"] {
            assert!(proxy.is(name, "UP", "L7OK"));
            assert_eq!((proxy.value(name, "chkfail"), proxy.value(name, "scur")), ("0".into(), EACH.to_string()));
        }
    }
    drop(clients);
}

#[test]
fn clients_of_a_process_that_hangs_are_let_go() {
    let Some((_redis, [first, second], haproxy)) = behind_haproxy() else { return };
    for name in ["mx1", "mx2"] {
        wait_until("no check succeeds", || haproxy.is(name, "UP", "L7OK"));
    }
    // The servers take turns.
    let mut clients = [(); 2].map(|()| Client::ehlo(haproxy.address));
    wait_until("one has no client", || ["mx1", "mx2"].iter().all(|name| haproxy.value(name, "scur") == "1"));
    first.signal(Signal::SIGSTOP);
    wait_until("it is not seen", || haproxy.value("mx1", "status") == "DOWN");
    let replies: Vec<String> = clients
        .iter_mut()
        .map(|client| {
            // The one that is let go may see a reset.
            if client.try_send("NOOP\r\n") { client.reply() } else { "<closed>".to_owned() }
        })
        .collect();
    assert_eq!(replies.iter().filter(|reply| *reply == "<closed>").count(), 1, "{replies:?}");
    assert_eq!(replies.iter().filter(|reply| reply.starts_with("250 ")).count(), 1, "{replies:?}");
    first.signal(Signal::SIGCONT);
    wait_until("its return is not seen", || haproxy.is("mx1", "UP", "L7OK"));
    [first, second].into_iter().for_each(Server::end);
}

/// The configuration with the check that sees Redis, as the documentation says.
#[cfg(feature = "cli")]
#[test]
fn a_check_of_readiness_sees_that_redis_is_away() {
    use crate::support::chain::Member;
    let Some(haproxy) = support::program("haproxy") else { return };
    let Some(mut redis) = Redis::start(&[]) else { return };
    let receivers = [(); 2].map(|()| {
        Member::receiver(&redis.url(), &["--proxy-protocol=127.0.0.1", "--metrics", "127.0.0.1:0"], "127.0.0.1:0")
    });
    let mut config = DOCUMENTED
        .replace("option smtpchk EHLO haproxy.example.org", "option httpchk GET /readyz")
        .replace("check check-send-proxy", "check");
    for (place, receiver) in ["192.0.2.11:2525", "192.0.2.12:2525"].into_iter().zip(&receivers) {
        config = config.replace(place, &format!("{place} port {}", receiver.metrics().port()));
    }
    let haproxy = start_haproxy(&haproxy, receivers.each_ref().map(Member::address), &config);
    let are = |status: &str| ["mx1", "mx2"].iter().all(|name| haproxy.value(name, "status") == status);
    let takes_mail = || {
        let mut client = Client::envelope(haproxy.address);
        client.expect("DATA", "354");
        client.say("x\r\n.").starts_with("250 ")
    };
    wait_until("the servers are not ready", || are("UP") && haproxy.is("mx1", "UP", "L7OK"));
    assert!(takes_mail());
    redis.kill();
    wait_until("the check does not see it", || are("DOWN"));
    assert_eq!(haproxy.value("mx1", "check_code"), "503");
    redis.restart();
    wait_until("the check does not see its return", || are("UP"));
    assert!(takes_mail());
    receivers.into_iter().for_each(|receiver| drop(receiver.end()));
}

#[test]
fn processes_at_one_port() {
    let Some(redis) = Redis::start(&[]) else { return };
    let Some(first) = Server::start(ANY.into(), &redis, &["--reuse-port"]) else { return };
    let Some(second) = Server::start(first.address, &redis, &["--reuse-port"]) else { return };
    let address = second.address;
    assert_eq!(address, first.address);
    let (acknowledged, stop) = (Mutex::new(Vec::new()), AtomicBool::new(false));
    thread::scope(|scope| {
        for name in 0..4 {
            let (acknowledged, stop) = (&acknowledged, &stop);
            scope.spawn(move || load(address, name, acknowledged, stop));
        }
        wait_until("one takes no mail", || takers(&redis).len() == 2);
        first.kill();
        let killed = acknowledged.lock().len();
        wait_until("the other does not go on", || acknowledged.lock().len() >= killed + 50);
        stop.store(true, Ordering::Relaxed);
    });
    second.end();
    assert_all_there(&acknowledged.into_inner(), &redis.messages(KEY));
}
