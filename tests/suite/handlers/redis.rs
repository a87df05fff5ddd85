//! The Redis stream: whatever becomes of Redis, what was acknowledged is in it, and clients hear a 4xx for the rest.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::client::{Client, PATIENCE};
use crate::support::logged;
use crate::support::redis::Redis;
#[cfg(feature = "tls")]
use crate::support::tls;
use crate::support::{wait_for, wait_until};
use parking_lot::Mutex;
use pillarbox::handlers::{RedisStream, RedisWorker};
use pillarbox::{Body, Envelope, Server};

const KEY: &str = "pillarbox";
const SHORT: Duration = Duration::from_millis(300);

/// What is logged of one stream.
fn logged_of(key: &str) -> Vec<String> {
    logged::lines(&format!("the stream {key} at "))
}

fn stream(url: &str) -> RedisStream {
    RedisStream::new(url).expect("a URL")
}

fn serve(stream: RedisStream) -> Server {
    Server::builder().serve("127.0.0.1:0", stream).expect("a free port")
}

/// Sends a message; the first reply that refuses it, or the last.
fn send(client: &mut Client, content: impl AsRef<[u8]>) -> String {
    for line in ["MAIL FROM:<sender@client.example>", "RCPT TO:<recipient@example.org>", "DATA"] {
        let said = client.say(line);
        if !said.starts_with(if line == "DATA" { "354" } else { "250" }) {
            return said;
        }
    }
    client.say([content.as_ref(), b"\r\n."].concat())
}

#[track_caller]
fn assert_sent(server: &Server, content: &str, reply: &str) {
    let said = send(&mut Client::ehlo(server.local_addr()), content);
    assert!(said.starts_with(reply), "{said:?}, not {reply}");
}

/// It is noticed within a second that messages are taken again, or refused for another reason.
#[track_caller]
fn await_sent(server: &Server, content: &str, reply: &str) {
    wait_for(|| {
        let said = send(&mut Client::ehlo(server.local_addr()), content);
        if said.starts_with(reply) { Ok(()) } else { Err(format!("{said:?}, not {reply}")) }
    });
}

fn contents(redis: &Redis, key: &str) -> Vec<String> {
    redis.messages(key).iter().map(|mail| mail.text().expect("text").trim_end().to_owned()).collect()
}

#[test]
fn a_message_comes_back_as_it_was() {
    let Some(redis) = Redis::start(&[]) else { return };
    let server = Server::builder().hostname("mx.example").serve("127.0.0.1:0", stream(&redis.url())).unwrap();
    let mut client = Client::ehlo(server.local_addr());
    client.expect("MAIL FROM:<\"a b\"@client.example> BODY=BINARYMIME ENVID=x+2By", "250");
    client.expect("RCPT TO:<\"1:a,\"@example.org> NOTIFY=NEVER", "250");
    client.expect("RCPT TO:<Postmaster>", "250");
    let accepted = client.expect(b"BDAT 11 LAST\r\na\0\xff\r\n\r.\n\r", "250 2.0.0 OK ");
    let [mail] = &redis.messages(KEY)[..] else { panic!("one message") };
    assert!(accepted.contains(&mail.id().to_string()));
    assert_eq!(mail.bytes().unwrap(), &b"a\0\xff\r\n\r.\n\r\r\n"[..]);
    assert_eq!(mail.mail_from(), "\"a b\"@client.example");
    assert_eq!((mail.mail_parameters().body(), mail.mail_parameters().envid()), (Some(Body::BinaryMime), Some("x+y")));
    assert_eq!(mail.recipients(), ["\"1:a,\"@example.org", "Postmaster"]);
    assert_eq!(mail.recipients()[0].parameters().options().collect::<Vec<_>>(), ["NOTIFY=NEVER"]);
    assert_eq!(mail.peer().socket_addr(), Some(client.local_addr()));
    assert_eq!(mail.local().socket_addr(), Some(server.local_addr()));
    let about = (mail.hostname(), mail.helo(), mail.protocol().to_string(), mail.tls(), mail.identity());
    assert_eq!(about, ("mx.example", "client.example", "ESMTP".to_owned(), None, None));
}

#[test]
fn a_message_that_was_spooled() {
    let Some(redis) = Redis::start(&[]) else { return };
    let server = serve(stream(&redis.url()));
    let content = "0123456789abcdef\r\n".repeat(1 << 20);
    let said = send(&mut Client::ehlo(server.local_addr()), &content);
    assert!(said.starts_with("250 "), "{said}");
    assert!(redis.messages(KEY)[0].bytes().unwrap() == format!("{content}\r\n").as_bytes());
}

#[test]
fn a_full_stream_is_full_for_all_servers_together() {
    let Some(redis) = Redis::start(&[]) else { return };
    let servers = [(); 2].map(|()| serve(stream(&redis.url()).capacity(5)));
    let (accepted, refused) = (AtomicUsize::new(0), AtomicUsize::new(0));
    thread::scope(|scope| {
        for number in 0..12 {
            let (server, accepted, refused) = (&servers[number % 2], &accepted, &refused);
            scope.spawn(move || {
                let said = send(&mut Client::ehlo(server.local_addr()), "x");
                match &said[..9] {
                    "250 2.0.0" => accepted.fetch_add(1, Ordering::Relaxed),
                    "452 4.3.1" => refused.fetch_add(1, Ordering::Relaxed),
                    _ => panic!("{said}"),
                };
            });
        }
    });
    assert_eq!((accepted.into_inner(), refused.into_inner()), (5, 7));
    assert_eq!(redis.say::<usize>("XLEN pillarbox"), 5);
    redis.say::<usize>("XTRIM pillarbox MAXLEN 4");
    await_sent(&servers[0], "x", "250 ");
    await_sent(&servers[1], "x", "452 4.3.1");
}

/// Sends until the server is stopped; notes what was acknowledged.
fn load(server: SocketAddr, name: usize, acknowledged: &Mutex<Vec<String>>, stop: &AtomicBool) {
    let mut client = Client::ehlo(server);
    let mut number = 0;
    // A test that has failed says nothing.
    let deadline = Instant::now() + 10 * PATIENCE;
    while !stop.load(Ordering::Relaxed) && Instant::now() < deadline {
        number += 1;
        let content = format!("{name}-{number}");
        let said = send(&mut client, &content);
        match &said[..9] {
            "250 2.0.0" => acknowledged.lock().push(content),
            // A session has a number of errors.
            "451 4.3.0" => {
                thread::sleep(Duration::from_millis(5));
                client = Client::ehlo(server);
            }
            _ => panic!("{said}"),
        }
    }
}

#[test]
fn what_was_acknowledged_outlives_redis() {
    let Some(mut redis) = Redis::start(&[]) else { return };
    let server = serve(stream(&redis.url()));
    let (acknowledged, stop) = (Mutex::new(Vec::new()), AtomicBool::new(false));
    thread::scope(|scope| {
        for name in 0..4 {
            let (server, acknowledged, stop) = (server.local_addr(), &acknowledged, &stop);
            scope.spawn(move || load(server, name, acknowledged, stop));
        }
        for _ in 0..5 {
            let before = acknowledged.lock().len();
            // It comes back to a new Redis by itself.
            wait_until("no message is acknowledged", || acknowledged.lock().len() >= before + 20);
            redis.kill();
            redis.restart();
        }
        stop.store(true, Ordering::Relaxed);
    });
    let stored = contents(&redis, KEY);
    let acknowledged = acknowledged.into_inner();
    let mut times: HashMap<&str, usize> = HashMap::new();
    stored.iter().for_each(|message| *times.entry(message).or_default() += 1);
    let lost: Vec<_> = acknowledged.iter().filter(|message| !times.contains_key(message.as_str())).collect();
    assert!(lost.is_empty(), "{lost:?} of {} were lost", acknowledged.len());
    // An entry more is one whose answer was lost; none is there twice, since nobody sent it again.
    assert!(times.values().all(|count| *count == 1), "{times:?}");
}

#[test]
fn a_redis_that_hangs_is_a_451_and_its_late_answer_nobodys() {
    let Some(redis) = Redis::start(&[]) else { return };
    // Long enough for a Redis that does answer, on a machine that has much else to do.
    let time = Duration::from_secs(2);
    let server = serve(stream(&redis.url()).capacity(2).response_timeout(time).connect_timeout(time));
    // The next message goes over the connection that this one has made.
    assert_sent(&server, "first", "250 ");
    redis.hang();
    assert_sent(&server, "second", "451 4.3.0");
    assert_sent(&server, "third", "451 4.3.0");
    redis.go_on();
    // It was under way, and may be there: nobody was told that it is.
    wait_until("the late entry is not there", || redis.say::<usize>("XLEN pillarbox") == 2);
    // The answer to it would have been taken for this one's.
    await_sent(&server, "fourth", "452 4.3.1");
    redis.say::<usize>("XTRIM pillarbox MAXLEN 1");
    await_sent(&server, "fifth", "250 ");
    assert_eq!(contents(&redis, KEY), ["second", "fifth"]);
}

#[test]
fn a_replica_or_a_redis_without_memory_refuses() {
    logged::listen(log::LevelFilter::Trace);
    let Some(redis) = Redis::start(&[]) else { return };
    let server = serve(stream(&redis.url()).stream("refusals"));
    assert_sent(&server, "x", "250 ");
    redis.say::<()>("REPLICAOF 127.0.0.1 1");
    assert_sent(&server, "x", "451 4.3.0");
    assert_sent(&server, "x", "451 4.3.0");
    redis.say::<()>("REPLICAOF NO ONE");
    await_sent(&server, "x", "250 ");
    redis.say::<()>("CONFIG SET maxmemory 1");
    await_sent(&server, "x", "452 4.3.1");
    redis.say::<()>("CONFIG SET maxmemory 0");
    await_sent(&server, "x", "250 ");
    let log = logged_of("refusals");
    let expected = [
        ("ERROR cannot put messages into the stream refusals at ", "the URL has to lead to the primary"),
        ("WARN the stream refusals at ", " takes messages again"),
        ("ERROR cannot put messages into the stream refusals at ", "workers have to take messages off"),
        ("WARN the stream refusals at ", " takes messages again"),
    ];
    assert_eq!(log.len(), expected.len(), "{log:#?}");
    for (line, (begin, part)) in log.iter().zip(expected) {
        assert!(line.starts_with(begin) && line.contains(part), "{line}");
    }
    assert_eq!(redis.messages("refusals").len(), 3);
}

#[test]
fn after_a_failover_a_connection_to_the_old_primary_costs_nothing() {
    let (Some(old), Some(new)) = (Redis::start(&[]), Redis::start(&[])) else { return };
    let server = serve(stream(&old.url()));
    assert_sent(&server, "before", "250 ");
    old.say::<()>("REPLICAOF 127.0.0.1 1");
    std::fs::rename(new.socket(), old.socket()).unwrap();
    assert_sent(&server, "after", "250 ");
    // The same path, which leads to the other now.
    assert_eq!(contents(&old, KEY), ["after"]);
}

#[test]
fn a_connection_that_broke_while_nobody_used_it_costs_nothing() {
    let Some(mut redis) = Redis::start(&[]) else { return };
    let server = serve(stream(&redis.url()));
    assert_sent(&server, "before", "250 ");
    let begun = Instant::now();
    redis.kill();
    redis.restart();
    // It is asked whether it lives once it has been idle for a second: time is what this is about.
    thread::sleep(Duration::from_millis(1100).saturating_sub(begun.elapsed()));
    assert_sent(&server, "after", "250 ");
    assert_eq!(contents(&redis, KEY), ["before", "after"]);
}

#[test]
fn passwords_are_asked_for_and_told_to_nobody() {
    logged::listen(log::LevelFilter::Trace);
    let Some(redis) = Redis::start(&["--requirepass", "open sesame"]) else { return };
    for (query, key, reply, advice) in [
        ("", "without", "451 4.3.0", "Redis wants a password"),
        ("?pass=opensesame", "wrong", "451 4.3.0", "does not know the user and password"),
        ("?pass=open%20sesame", "right", "250 ", ""),
    ] {
        let stream = stream(&format!("{}{query}", redis.url())).stream(key);
        let shown = format!("{stream} {stream:?}");
        assert!(!shown.contains("sesame") && shown.contains("redis.sock"), "{shown}");
        assert_sent(&serve(stream), "x", reply);
        assert!(logged_of(key).iter().all(|line| line.contains(advice)), "{:#?}", logged_of(key));
        assert_eq!(logged_of(key).len(), usize::from(!advice.is_empty()));
    }
    assert_eq!(logged::lines("sesame"), [""; 0]);
}

#[test]
fn urls_that_are_none() {
    for bad in ["", "localhost", "http://localhost/", "redis://", "redis://localhost/x", "redis://u:sesame@h:99999/"] {
        let error = RedisStream::new(bad).expect_err(bad).to_string();
        assert!(!error.is_empty() && !error.contains("sesame"), "{bad}: {error}");
    }
}

#[test]
fn nobody_there() {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("redis://{}", socket.local_addr().unwrap());
    // It listens and never says a word; and then there is nobody at all.
    let server = serve(stream(&url).connect_timeout(SHORT));
    assert_sent(&server, "x", "451 4.3.0");
    drop(socket);
    assert_sent(&server, "x", "451 4.3.0");
    assert_sent(&serve(stream("redis://nowhere.invalid").connect_timeout(SHORT)), "x", "451 4.3.0");
}

/// Answers each command with the same line, and a connection's first ones with OK.
fn scripted(answer: &'static str) -> String {
    let socket = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = socket.local_addr().expect("a socket");
    thread::spawn(move || {
        for stream in socket.incoming().map_while(Result::ok) {
            let mut lines = BufReader::new(stream.try_clone().expect("a descriptor")).lines();
            let mut stream = stream;
            while let Some(Ok(line)) = lines.next() {
                // The content has lines of its own.
                let Some(words) = line.strip_prefix('*').and_then(|count| count.parse::<usize>().ok()) else {
                    continue;
                };
                let words: Vec<_> = (0..words).map_while(|_| lines.nth(1)?.ok()).collect();
                let said = if words.first().is_some_and(|word| word == "CLIENT") { "+OK" } else { answer };
                if answer.is_empty() || stream.write_all(format!("{said}\r\n").as_bytes()).is_err() {
                    break;
                }
            }
        }
    });
    format!("redis://{address}")
}

#[test]
fn whatever_redis_says_is_a_4xx_and_a_line_in_the_log() {
    logged::listen(log::LevelFilter::Trace);
    for (number, (answer, reply, advice)) in [
        ("-LOADING Redis is loading the dataset in memory", "451 4.3.0", "loads its data"),
        ("-MISCONF Errors writing to the AOF file: No space left on device", "451 4.3.0", "cannot write to its disk"),
        ("-MOVED 3999 127.0.0.1:6381", "451 4.3.0", "the one that does"),
        ("-CLUSTERDOWN The cluster is down", "451 4.3.0", "does not serve this stream"),
        ("-NOREPLICAS Not enough good replicas to write.", "451 4.3.0", "min-replicas-to-write"),
        ("-NOPERM this user has no permissions to run the 'eval' command", "451 4.3.0", "misses a right"),
        // As Redis 6 tells what went wrong in a script.
        ("-ERR Error running script: @user_script:1: -READONLY You can't write", "451 4.3.0", "to the primary"),
        ("-ERR Error running script: @user_script:1: -OOM command not allowed", "452 4.3.1", "maxmemory"),
        ("-ERR \x1b[31mwhat", "451 4.3.0", "\\x1b"),
        (":1", "451 4.3.0", "is not Redis"),
        ("what?", "451 4.3.0", "is not Redis"),
        ("", "451 4.3.0", "ends the connection at once"),
    ]
    .into_iter()
    .enumerate()
    {
        let key = format!("scripted{number}");
        let server = serve(stream(&scripted(answer)).stream(&key));
        assert_sent(&server, "x", reply);
        assert_sent(&server, "x", reply);
        let log = logged_of(&key);
        assert!(log.len() == 1 && log[0].contains(advice), "{answer}: {log:#?}");
    }
}

/// A Redis at a TCP port too: it takes no port 0, so one that was free a moment ago has to do.
fn with_port() -> Option<(Redis, u16)> {
    let port = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port").port();
    // By default it waits some seconds for further replicas before it sends its data.
    let settings = ["--bind", "127.0.0.1", "--port", &port.to_string(), "--repl-diskless-sync-delay", "0"];
    Some((Redis::start(&settings)?, port))
}

#[test]
fn replicas_have_it_or_nobody() {
    logged::listen(log::LevelFilter::Trace);
    let Some((primary, port)) = with_port() else { return };
    let replicated = |patience| serve(stream(&primary.url()).stream("replicated").wait_replicas(1, patience));
    assert_sent(&replicated(SHORT), "alone", "451 4.3.0");
    assert_eq!(primary.say::<usize>("XLEN replicated"), 0);
    assert!(logged_of("replicated").iter().any(|line| line.contains("0 of 1 replicas have it")));

    let Some(replica) = Redis::start(&["--replicaof", &format!("127.0.0.1 {port}")]) else { return };
    let role = || replica.say::<String>("INFO replication");
    wait_until("it does not replicate", || role().contains("master_link_status:up"));
    assert_sent(&replicated(PATIENCE), "together", "250 ");
    assert_eq!(contents(&replica, "replicated"), ["together"]);
    assert_eq!(primary.say::<usize>("XLEN replicated"), 1);

    replica.hang();
    assert_sent(&replicated(SHORT), "hanging", "451 4.3.0");
    assert_eq!(primary.say::<usize>("XLEN replicated"), 1);
    replica.go_on();
}

#[cfg(feature = "tls")]
#[test]
fn within_tls() {
    let certificate = tls::Certificate::new();
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let (cert, key) = (file("cert.pem", &certificate.cert), file("key.pem", &certificate.key));
    let port = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).unwrap().port().to_string();
    let settings = ["--tls-port", &port, "--tls-cert-file", &cert, "--tls-key-file", &key, "--tls-auth-clients", "no"];
    let Some(redis) = Redis::start(&settings) else { return };
    let url = format!("rediss://127.0.0.1:{port}");
    // Nobody vouches for it.
    assert_sent(&serve(stream(&url)), "x", "451 4.3.0");
    assert_sent(&serve(stream(&format!("{url}/#insecure"))), "y", "250 ");
    assert_eq!(contents(&redis, KEY), ["y"]);
}

/// The library that makes the handshake has no limit in time for it.
#[cfg(feature = "tls")]
#[test]
fn a_handshake_that_hangs() {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("rediss://{}", socket.local_addr().unwrap());
    assert_sent(&serve(stream(&url).connect_timeout(SHORT)), "x", "451 4.3.0");
}

/// Refused attempts are nobody's, whatever workers do meanwhile, and what was acknowledged is there once.
#[test]
fn no_worker_sees_what_replicas_have_not_confirmed() {
    let Some((primary, port)) = with_port() else { return };
    let Some(replica) = Redis::start(&["--replicaof", &format!("127.0.0.1 {port}")]) else { return };
    let role = || replica.say::<String>("INFO replication");
    wait_until("it does not replicate", || role().contains("master_link_status:up"));
    let seen = Arc::new(Mutex::new(Vec::new()));
    let worker = RedisWorker::new(&primary.url()).unwrap();
    let (handle, noted) = (worker.handle(), seen.clone());
    let working = thread::spawn(move || {
        worker.run(move |mail: Envelope| noted.lock().push(mail.text().unwrap().trim_end().to_owned()));
    });
    let server = serve(stream(&primary.url()).wait_replicas(1, SHORT));
    // The replica is counted once it has said how far it is.
    await_sent(&server, "first", "250 ");
    let mut acknowledged = vec!["first".to_owned()];
    for number in 0..60 {
        match number {
            20 => replica.hang(),
            40 => replica.go_on(),
            _ => {}
        }
        // A client that tries again has another content here, so that each attempt is known.
        let content = format!("attempt {number}");
        let said = send(&mut Client::ehlo(server.local_addr()), &content);
        match &said[..9] {
            "250 2.0.0" => acknowledged.push(content),
            "451 4.3.0" => {}
            _ => panic!("{said}"),
        }
    }
    await_sent(&server, "last", "250 ");
    acknowledged.push("last".to_owned());
    wait_until("they do not arrive", || seen.lock().len() >= acknowledged.len());
    handle.stop();
    working.join().unwrap();
    let mut seen = std::mem::take(&mut *seen.lock());
    seen.sort_unstable();
    acknowledged.sort_unstable();
    assert_eq!(seen, acknowledged);
    assert_eq!(primary.say::<usize>("XLEN pillarbox:unconfirmed"), 0);
}

/// A receiver may be gone after replicas have it and before it is moved, and so may the move, with a failover.
#[test]
fn what_lost_its_receiver_is_found() {
    let Some((primary, port)) = with_port() else { return };
    let Some(_replica) = Redis::start(&["--replicaof", &format!("127.0.0.1 {port}")]) else { return };
    let server = serve(stream(&primary.url()));
    assert_sent(&server, "lost", "250 ");
    let [(_, fields)] = &primary.entries(KEY)[..] else { panic!("one entry") };
    primary.say::<usize>("DEL pillarbox");
    let add = |id: &str| {
        let mut command = redis::cmd("XADD");
        command.arg("pillarbox:unconfirmed").arg(id).arg(fields);
        command.query::<String>(&mut primary.connection()).unwrap();
    };
    // From long ago; and one whose receiver may still be at it.
    add("1700000000000-0");
    add("*");
    let worker = RedisWorker::new(&primary.url()).unwrap().take_over_after(Duration::from_secs(1));
    let (handle, (sender, receiver)) = (worker.handle(), mpsc::channel());
    let working = thread::spawn(move || worker.run(move |mail: Envelope| sender.send(mail.id()).unwrap()));
    receiver.recv_timeout(PATIENCE).expect("it is found");
    handle.stop();
    working.join().unwrap();
    assert_eq!((receiver.try_iter().count(), primary.say::<usize>("XLEN pillarbox:unconfirmed")), (0, 1));
    // A receiver finds such entries, too.
    primary.say::<usize>("DEL pillarbox:unconfirmed");
    add("1700000000000-0");
    await_sent(&serve(stream(&primary.url()).wait_replicas(1, PATIENCE)), "found", "250 ");
    assert_eq!(contents(&primary, KEY), ["lost", "found"]);
}

/// Clients are told before they send a content, and the log is told once.
#[test]
fn while_none_can_be_taken_mail_is_refused_at_once() {
    logged::listen(log::LevelFilter::Trace);
    let Some(mut redis) = Redis::start(&[]) else { return };
    let stream = stream(&redis.url()).stream("early").capacity(1).connect_timeout(SHORT);
    let check = stream.clone();
    let server = Server::builder().max_errors(None).max_junk(None).serve("127.0.0.1:0", stream).unwrap();
    let mut client = Client::ehlo(server.local_addr());
    assert!(check.check().is_ok());
    assert!(send(&mut client, "x").starts_with("250 "));
    assert!(send(&mut client, "x").starts_with("452 4.3.1"));
    client.expect("RSET", "250");
    client.expect("MAIL FROM:<a@client.example>", "452 4.3.1");
    assert!(check.check().unwrap_err().advice().contains("the stream is full"));
    // It comes and goes.
    for _ in 0..3 {
        redis.say::<usize>("DEL early");
        wait_until("room is not noticed", || {
            client.expect("RSET", "250");
            client.say("MAIL FROM:<a@client.example>").starts_with("250")
        });
        client.expect("RSET", "250");
        assert!(send(&mut client, "x").starts_with("250 "));
        assert!(send(&mut client, "x").starts_with("452 4.3.1"));
        client = Client::ehlo(server.local_addr());
    }
    assert_eq!(
        logged_of("early").iter().filter(|line| line.contains("no room")).count(),
        1,
        "{:?}",
        logged_of("early")
    );
    redis.say::<usize>("DEL early");
    wait_until("room is not noticed", || {
        client.expect("RSET", "250");
        client.say("MAIL FROM:<a@client.example>").starts_with("250")
    });
    // Redis goes while a transaction is open, and another client has found out.
    redis.kill();
    assert!(check.check().is_err());
    client.expect("RCPT TO:<b@example.org>", "250");
    client.expect("DATA", "451 4.3.0");
    redis.restart();
    wait_until("Redis is not noticed", || client.say("DATA").starts_with("354"));
    client.expect("x\r\n.", "250 ");
}

/// Its limit in octets is Redis's own estimate.
#[test]
fn a_stream_has_a_limit_in_octets() {
    let Some(redis) = Redis::start(&[]) else { return };
    let server = serve(stream(&redis.url()).capacity_octets(1_000_000));
    let content = "0123456789abcdef\r\n".repeat(2_000);
    let mut taken = 0;
    while send(&mut Client::ehlo(server.local_addr()), &content).starts_with("250 ") {
        taken += 1;
        assert!(taken < 100);
    }
    assert!((15..30).contains(&taken), "{taken}");
    redis.say::<usize>("XTRIM pillarbox MAXLEN 5");
    await_sent(&server, &content, "250 ");
}

#[cfg(any(feature = "tls", feature = "rustls"))]
mod secure {
    use super::*;
    use pillarbox::handlers::RedisTls;
    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair};
    use std::path::Path;

    /// An authority, and certificates by it: PEM.
    struct Authority(CertifiedIssuer<'static, KeyPair>);

    impl Authority {
        fn new(name: &str) -> Authority {
            let mut params = CertificateParams::default();
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            params.distinguished_name.push(rcgen::DnType::CommonName, name);
            Authority(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
        }

        fn pem(&self) -> String {
            self.0.pem()
        }

        fn issue(&self, names: &[&str], is_expired: bool) -> (String, String) {
            let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            let mut params = CertificateParams::new(names).unwrap();
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
            if is_expired {
                params.not_after = rcgen::date_time_ymd(2020, 1, 1);
            }
            let key = KeyPair::generate().unwrap();
            (params.signed_by(&key, &self.0).unwrap().pem(), key.serialize_pem())
        }
    }

    fn start(folder: &Path, authority: &Authority, own: &(String, String), clients: &str) -> Option<(Redis, u16)> {
        let file = |name: &str, text: &str| {
            let path = folder.join(name);
            std::fs::write(&path, text).unwrap();
            path.display().to_string()
        };
        let (ca, cert, key) = (file("ca.pem", &authority.pem()), file("cert.pem", &own.0), file("key.pem", &own.1));
        let port = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).unwrap().port();
        let settings = ["--tls-port", &port.to_string(), "--tls-cert-file", &cert, "--tls-key-file", &key];
        let more = ["--tls-ca-cert-file", &ca, "--tls-auth-clients", clients, "--requirepass", "sesame"];
        Some((Redis::start(&[&settings[..], &more].concat())?, port))
    }

    #[test]
    fn certificates_of_ones_own() {
        let (folder, own, other) = (tempfile::tempdir().unwrap(), Authority::new("own"), Authority::new("other"));
        let Some((_redis, port)) = start(folder.path(), &own, &own.issue(&["localhost", "127.0.0.1"], false), "yes")
        else {
            return;
        };
        let (cert, key) = own.issue(&["mx"], false);
        let shown = || RedisTls::new().roots(own.pem()).unwrap().certificate(cert.clone(), key.clone()).unwrap();
        let check = |host: &str, tls: RedisTls| {
            let url = format!("rediss://:sesame@{host}:{port}");
            stream(&url).tls(tls).check().map_err(|e| (e.advice().to_owned(), e.to_string()))
        };
        check("localhost", shown()).unwrap();
        check("127.0.0.1", shown()).unwrap();
        let both = format!("{}{}", other.pem(), own.pem());
        check("localhost", RedisTls::new().roots(both).unwrap().certificate(cert.clone(), key.clone()).unwrap())
            .unwrap();
        for (what, tls) in [
            ("asks for a certificate", RedisTls::new().roots(own.pem()).unwrap()),
            ("nobody who is trusted", RedisTls::new().roots(other.pem()).unwrap()),
            ("nobody who is trusted", RedisTls::new()),
        ] {
            let (advice, error) = check("localhost", tls).unwrap_err();
            assert!(advice.contains(what), "{what}: {advice}: {error}");
        }
        // A worker by the same way.
        let url = format!("rediss://:sesame@localhost:{port}");
        let worker = RedisWorker::new(&url).unwrap().tls(shown());
        let handle = worker.handle();
        let working = thread::spawn(move || worker.run(|_: Envelope| ()));
        wait_until("it does not connect", || handle.is_ready());
        handle.stop();
        working.join().unwrap();
        assert!(RedisTls::new().roots("x").is_err() && RedisTls::new().certificate(cert, "x").is_err());
    }

    #[test]
    fn what_is_wrong_with_a_certificate_is_told() {
        let own = Authority::new("own");
        for (names, is_expired, advice) in
            [(&["elsewhere"], false, "is for another name"), (&["localhost"], true, "has expired")]
        {
            let folder = tempfile::tempdir().unwrap();
            let Some((_redis, port)) = start(folder.path(), &own, &own.issue(names, is_expired), "no") else { return };
            let stream = stream(&format!("rediss://:sesame@localhost:{port}"));
            let fault = stream.tls(RedisTls::new().roots(own.pem()).unwrap()).check().unwrap_err();
            assert!(fault.advice().contains(advice), "{advice}: {} {fault}", fault.advice());
        }
    }

    #[test]
    fn a_port_without_tls_and_one_with_it() {
        let Some((_redis, port)) = with_port() else { return };
        let fault = stream(&format!("rediss://127.0.0.1:{port}")).check().unwrap_err();
        assert!(
            fault.advice().contains("TLS there") || fault.advice().contains("no TLS at that port"),
            "{} {fault}",
            fault.advice()
        );
        let (folder, own) = (tempfile::tempdir().unwrap(), Authority::new("own"));
        let Some((_redis, port)) = start(folder.path(), &own, &own.issue(&["localhost"], false), "no") else { return };
        let fault = stream(&format!("redis://127.0.0.1:{port}")).check().unwrap_err();
        assert!(fault.advice().contains("rediss://"), "{} {fault}", fault.advice());
    }
}

#[test]
fn users_rights_and_databases() {
    let Some(redis) = Redis::start(&[]) else { return };
    redis.say::<()>("ACL SETUSER mx on >sesame ~pillarbox* +eval +xadd +xlen");
    redis.say::<()>("ACL SETUSER reader on >sesame ~pillarbox* +xlen +ping");
    redis.say::<()>("ACL SETUSER elsewhere on >sesame ~other* +@all");
    let check = |query: &str| stream(&format!("{}{query}", redis.url())).check();
    check("?user=mx&pass=sesame").unwrap();
    let server = serve(stream(&format!("{}?user=mx&pass=sesame", redis.url())));
    assert_sent(&server, "x", "250 ");
    for (query, what, advice) in [
        ("?user=reader&pass=sesame", "xadd", "misses a right"),
        ("?user=elsewhere&pass=sesame", "key", "misses a right"),
        ("?user=mx&pass=wrong", "WRONGPASS", "does not know the user and password"),
        ("?user=nobody&pass=sesame", "WRONGPASS", "does not know the user and password"),
        ("?db=99", "DB index", "no database of the URL's number"),
    ] {
        let fault = check(query).unwrap_err();
        let said = format!("{fault:?} {fault}").to_lowercase();
        assert!(fault.advice().contains(advice), "{query}: {} {fault}", fault.advice());
        assert!(said.contains(&what.to_lowercase()) || what == "WRONGPASS", "{query}: {said}");
    }
    check("?db=15").unwrap();
}
