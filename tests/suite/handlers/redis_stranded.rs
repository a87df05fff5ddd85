//! Nothing is stranded in the stream, whatever is wrong with Redis, with an entry, or with another worker.

use std::collections::HashMap;
use std::fs;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crate::support::client::Client;
use crate::support::logged;
use crate::support::redis::{Fields, Redis};
use crate::support::wait_until;
use parking_lot::Mutex;
use pillarbox::handlers::{Maildir, RedisStream, RedisWorker, RedisWorkerHandle};
use pillarbox::{Envelope, Handler, Reply, Response, Server};

const KEY: &str = "pillarbox";

/// A worker on a thread of its own, which is stopped with the value.
struct Running(RedisWorkerHandle, Option<thread::JoinHandle<()>>);

impl Running {
    fn start(worker: RedisWorker, handler: impl Handler + 'static) -> Running {
        let handle = worker.handle();
        Running(handle, Some(thread::spawn(move || worker.run(handler))))
    }

    fn stop(mut self) {
        self.0.stop();
        self.1.take().expect("it was not stopped").join().expect("it does not panic");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.stop();
    }
}

fn worker(redis: &Redis) -> RedisWorker {
    RedisWorker::new(&redis.url()).expect("a URL").take_over_after(Duration::from_secs(1))
}

/// Puts messages with these subjects into the stream, each for these recipients.
fn fill(redis: &Redis, subjects: impl IntoIterator<Item = usize>, recipients: &[&str]) {
    let stream = RedisStream::new(&redis.url()).expect("a URL");
    let server = Server::builder().serve("127.0.0.1:0", stream).expect("a free port");
    let mut client = Client::ehlo(server.local_addr());
    for subject in subjects {
        client.expect("MAIL FROM:<a@client.example>", "250");
        recipients.iter().for_each(|to| drop(client.expect(format!("RCPT TO:<{to}>"), "250")));
        client.expect("DATA", "354");
        client.expect(format!("Subject: {subject}\r\n\r\nx\r\n."), "250 ");
    }
}

fn add(redis: &Redis, key: &str, fields: &Fields) -> String {
    redis::cmd("XADD").arg(key).arg("*").arg(fields).query(&mut redis.connection()).expect("an entry")
}

fn subject(mail: &Envelope) -> usize {
    let text = mail.text().expect("text");
    text.trim_start_matches("Subject: ").lines().next().and_then(|line| line.parse().ok()).expect("a number")
}

fn length(redis: &Redis, key: &str) -> usize {
    redis.say(&format!("XLEN {key}"))
}

fn pending(redis: &Redis) -> usize {
    let pending: (usize, redis::Value, redis::Value, redis::Value) = redis.say("XPENDING pillarbox pillarbox");
    pending.0
}

#[track_caller]
fn wait_until_empty(redis: &Redis) {
    wait_until("the stream is not emptied", || length(redis, KEY) == 0);
    assert_eq!(pending(redis), 0);
}

/// What a dead letter says of itself.
fn reason(fields: &Fields) -> String {
    let of = |name: &str| {
        let found = fields.iter().find(|(field, _)| field == name.as_bytes()).expect(name);
        String::from_utf8_lossy(&found.1).into_owned()
    };
    format!("{} {}", of("dead_attempts"), of("dead_reason"))
}

/// Its handler's messages, by subject, with the recipients of each attempt.
#[derive(Clone, Default)]
struct Seen(Arc<Mutex<HashMap<usize, Vec<Vec<String>>>>>);

impl Seen {
    fn note(&self, mail: &Envelope) -> usize {
        let recipients = mail.recipients().iter().map(ToString::to_string).collect();
        let mut seen = self.0.lock();
        let attempts = seen.entry(subject(mail)).or_default();
        attempts.push(recipients);
        attempts.len()
    }

    fn attempts(&self, subject: usize) -> usize {
        self.0.lock().get(&subject).map_or(0, Vec::len)
    }

    fn subjects(&self) -> Vec<usize> {
        let mut subjects: Vec<usize> = self.0.lock().keys().copied().collect();
        subjects.sort_unstable();
        subjects
    }
}

#[test]
fn a_full_redis_is_emptied_by_workers_that_start_anew() {
    let Some(redis) = Redis::start(&[]) else { return };
    fill(&redis, 0..50, &["b@example.org"]);
    let seen = Seen::default();
    let handler = || {
        let seen = seen.clone();
        move |mail: Envelope| _ = seen.note(&mail)
    };
    // A worker of before has made the group, and left some.
    redis.say::<()>("XGROUP CREATE pillarbox pillarbox 0");
    let taken: redis::Value = redis.say("XREADGROUP GROUP pillarbox dead COUNT 10 STREAMS pillarbox >");
    assert!(taken != redis::Value::Nil);
    redis.say::<()>("CONFIG SET maxmemory 1");
    let refused =
        redis::cmd("XGROUP").arg("CREATE").arg(KEY).arg("other").arg("0").query::<()>(&mut redis.connection());
    assert!(refused.is_err_and(|e| e.to_string().contains("memory")));
    let running = Running::start(worker(&redis).in_flight(5).once_for(Duration::from_secs(60)), handler());
    wait_until("nothing is taken", || seen.subjects().len() > 10);
    running.stop();
    let running = Running::start(worker(&redis), handler());
    wait_until_empty(&redis);
    running.stop();
    assert_eq!(seen.subjects(), (0..50).collect::<Vec<_>>());
}

/// The group takes memory, too.
#[test]
fn a_full_redis_is_emptied_by_the_first_worker_that_there_ever_was() {
    let Some(redis) = Redis::start(&[]) else { return };
    fill(&redis, 0..50, &["b@example.org"]);
    redis.say::<()>("CONFIG SET maxmemory 1");
    let seen = Seen::default();
    let note = seen.clone();
    let running = Running::start(worker(&redis), move |mail: Envelope| _ = note.note(&mail));
    wait_until_empty(&redis);
    running.stop();
    assert_eq!(seen.subjects(), (0..50).collect::<Vec<_>>());
}

#[test]
fn a_dead_workers_mail_is_found_behind_what_nobody_can_read() {
    let Some(redis) = Redis::start(&[]) else { return };
    fill(&redis, [0], &["b@example.org"]);
    let [(_, message)] = &redis.entries(KEY)[..] else { panic!("one entry") };
    redis.say::<usize>("DEL pillarbox");
    let later = message.iter().map(|(name, value)| match &name[..] {
        b"version" => (name.clone(), b"3".to_vec()),
        _ => (name.clone(), value.clone()),
    });
    let later: Fields = later.collect();
    (0..180).for_each(|_| drop(add(&redis, KEY, &later)));
    fill(&redis, 1..4, &["b@example.org"]);
    redis.say::<()>("XGROUP CREATE pillarbox pillarbox 0");
    let taken: redis::Value = redis.say("XREADGROUP GROUP pillarbox dead COUNT 1000 STREAMS pillarbox >");
    assert!(taken != redis::Value::Nil);
    let seen = Seen::default();
    let note = seen.clone();
    let running = Running::start(worker(&redis), move |mail: Envelope| _ = note.note(&mail));
    wait_until("they are not taken over", || seen.subjects() == [1, 2, 3]);
    fill(&redis, [4], &["b@example.org"]);
    wait_until("what cannot be read holds others up", || length(&redis, KEY) == 180);
    running.stop();
    assert_eq!((seen.subjects(), length(&redis, "pillarbox:dead")), (vec![1, 2, 3, 4], 0));
    // Once later workers are there they read them; here nobody ever does.
    let running = Running::start(worker(&redis).max_attempts(1), |_: Envelope| ());
    wait_until_empty(&redis);
    running.stop();
    let dead = redis.entries("pillarbox:dead");
    assert_eq!(dead.len(), 180);
    assert!(dead.iter().all(|(_, fields)| fields.iter().any(|(name, value)| name == b"version" && value == b"3")));
}

#[test]
fn what_is_refused_for_good_is_put_aside_at_once_and_told_once() {
    logged::listen(log::LevelFilter::Trace);
    let Some(redis) = Redis::start(&[]) else { return };
    fill(&redis, 0..10, &["b@example.org", "c@example.org"]);
    let before = redis.entries(KEY);
    let seen = Seen::default();
    let note = seen.clone();
    let running = Running::start(worker(&redis).dead_letters("undelivered"), move |mail: Envelope| {
        note.note(&mail);
        if subject(&mail) == 3 { Err(Reply::new(550, "5.7.1", "not that one")) } else { Ok(()) }
    });
    wait_until_empty(&redis);
    wait_until("the numbers are late", || running.0.stats().dead_letters == 1);
    let stats = running.0.stats();
    running.stop();
    assert_eq!((stats.delivered, stats.refused, stats.dead_lettered, stats.stream_length), (9, 1, 1, 0));
    assert!((0..10).all(|subject| seen.attempts(subject) == 1));
    let [(_, dead)] = &redis.entries("undelivered")[..] else { panic!("one entry") };
    assert_eq!(reason(dead), "1 550 5.7.1 not that one");
    // As it was, so that it can be put back.
    assert!(before[3].1.iter().all(|field| dead.contains(field)));
    assert_eq!(subject(&RedisStream::read::<Vec<u8>, Vec<u8>>(dead.clone()).unwrap()), 3);
    assert_eq!(logged::lines("is in undelivered now: 550 5.7.1 not that one").len(), 1);
}

#[test]
fn what_is_refused_for_now_waits_while_others_go_on_and_has_an_end() {
    let Some(redis) = Redis::start(&[]) else { return };
    fill(&redis, 0..40, &["b@example.org"]);
    let seen = Seen::default();
    let note = seen.clone();
    let slow = worker(&redis).in_flight(2).max_attempts(3).max_pause(Duration::from_secs(1));
    let running = Running::start(slow, move |mail: Envelope| match (subject(&mail), note.note(&mail)) {
        (0, _) => Err(Reply::temporary("never")),
        // Nor is a panic the end.
        (1, 1) => panic!("on purpose"),
        (2, 1) => Err(Reply::temporary("later")),
        _ => Ok(()),
    });
    wait_until("others are held up", || seen.subjects().len() == 40);
    wait_until_empty(&redis);
    running.stop();
    assert_eq!([0, 1, 2, 3].map(|subject| seen.attempts(subject)), [3, 2, 2, 1]);
    let [(_, dead)] = &redis.entries("pillarbox:dead")[..] else { panic!("one entry") };
    assert!(reason(dead).starts_with("3 451 4.3.0 never"), "{}", reason(dead));
}

#[test]
fn each_recipient_has_its_message_once() {
    let Some(redis) = Redis::start(&[]) else { return };
    let all = ["yes@example.org", "no@example.org", "later@example.org", "never@example.org"];
    fill(&redis, [0], &all);
    let seen = Seen::default();
    let handler = || {
        let note = seen.clone();
        move |mail: Envelope| {
            let attempt = note.note(&mail);
            Response::each(mail.recipients().iter().map(|to| match to.as_str() {
                "yes@example.org" => Ok(()),
                "later@example.org" if attempt > 1 => Ok(()),
                "no@example.org" => Err(Reply::permanent("no")),
                _ => Err(Reply::temporary("later")),
            }))
        }
    };
    let running = Running::start(worker(&redis).max_pause(Duration::from_secs(1)).max_attempts(3), handler());
    wait_until("there is no first attempt", || seen.attempts(0) == 1 && length(&redis, "pillarbox:dead") == 1);
    // Another worker knows as well who has it.
    running.stop();
    let running = Running::start(worker(&redis).max_pause(Duration::from_secs(1)).max_attempts(3), handler());
    wait_until_empty(&redis);
    running.stop();
    let attempts = seen.0.lock().remove(&0).unwrap();
    assert_eq!(attempts, [&all[..], &[all[2], all[3]], &[all[3]]]);
    let dead = redis.messages("pillarbox:dead");
    assert_eq!(dead.iter().map(|mail| mail.recipients()).collect::<Vec<_>>(), [[all[1]], [all[3]]]);
    assert_eq!(redis.say::<usize>("EXISTS pillarbox:settled"), 0);
}

/// A dead letter that cannot be written does not let its message go.
#[test]
fn a_dead_letter_without_room_stays_where_it_is() {
    let Some(redis) = Redis::start(&[]) else { return };
    fill(&redis, 0..3, &["b@example.org"]);
    redis.say::<()>("XGROUP CREATE pillarbox pillarbox 0");
    redis.say::<()>("CONFIG SET maxmemory 1");
    let seen = Seen::default();
    let note = seen.clone();
    let patient = worker(&redis).max_pause(Duration::from_secs(1));
    let running = Running::start(patient, move |mail: Envelope| {
        note.note(&mail);
        if subject(&mail) == 1 { Err(Reply::permanent("no")) } else { Ok(()) }
    });
    wait_until("it is not tried again", || seen.attempts(1) > 1);
    assert_eq!((length(&redis, KEY), length(&redis, "pillarbox:dead")), (1, 0));
    redis.say::<()>("CONFIG SET maxmemory 0");
    wait_until_empty(&redis);
    running.stop();
    assert_eq!((length(&redis, "pillarbox:dead"), seen.attempts(0), seen.attempts(2)), (1, 1, 1));
}

#[test]
fn a_message_that_kills_its_worker_is_given_up() {
    let Some(redis) = Redis::start(&[]) else { return };
    fill(&redis, 0..2, &["b@example.org"]);
    redis.say::<()>("XGROUP CREATE pillarbox pillarbox 0");
    let _: redis::Value = redis.say("XREADGROUP GROUP pillarbox dead COUNT 1 STREAMS pillarbox >");
    let [(id, _), _] = &redis.entries(KEY)[..] else { panic!("two entries") };
    redis.say::<redis::Value>(&format!("XCLAIM pillarbox pillarbox dead 0 {id} RETRYCOUNT 7 IDLE 100000 JUSTID"));
    let seen = Seen::default();
    let note = seen.clone();
    let running = Running::start(worker(&redis).max_attempts(7), move |mail: Envelope| _ = note.note(&mail));
    wait_until_empty(&redis);
    running.stop();
    assert_eq!(seen.subjects(), [1]);
    let [(_, dead)] = &redis.entries("pillarbox:dead")[..] else { panic!("one entry") };
    assert!(reason(dead).starts_with("7 given up after 7 attempts"), "{}", reason(dead));
}

#[test]
fn a_stop_leaves_nothing_for_others_to_wait_for() {
    let Some(redis) = Redis::start(&[]) else { return };
    fill(&redis, 0..6, &["b@example.org"]);
    let (seen, unanswered) = (Seen::default(), Arc::new(Mutex::new(Vec::new())));
    let (note, kept) = (seen.clone(), unanswered.clone());
    /// Answers for some now, and for others never.
    struct Slow(Seen, Arc<Mutex<Vec<pillarbox::Delivery>>>);
    impl Handler for Slow {
        fn process_message(&mut self, _: Envelope) -> Response {
            ().into()
        }

        fn process_delivery(&mut self, delivery: pillarbox::Delivery) {
            self.0.note(delivery.envelope());
            if subject(delivery.envelope()) < 2 { delivery.accept() } else { self.1.lock().push(delivery) }
        }
    }
    let slow =
        worker(&redis).take_over_after(Duration::from_secs(600)).grace(Duration::from_millis(100)).consumer("slow");
    let running = Running::start(slow, Slow(note, kept));
    wait_until("they are not taken", || seen.subjects().len() == 6);
    running.stop();
    assert_eq!((length(&redis, KEY), pending(&redis)), (4, 4));
    let others = seen.clone();
    let other = worker(&redis).take_over_after(Duration::from_secs(600)).consumer("other");
    let running = Running::start(other, move |mail: Envelope| _ = others.note(&mail));
    // Long before ten minutes are over.
    wait_until_empty(&redis);
    running.stop();
    assert_eq!([0, 1, 2, 5].map(|subject| seen.attempts(subject)), [1, 1, 2, 2]);
    let consumers: Vec<redis::Value> = redis.say("XINFO CONSUMERS pillarbox pillarbox");
    // The first had something pending when it left.
    assert_eq!(consumers.len(), 1, "{consumers:?}");
}

#[test]
fn consumers_that_are_gone_are_deleted_unless_they_have_something() {
    let Some(redis) = Redis::start(&[]) else { return };
    redis.say::<()>("XGROUP CREATE pillarbox pillarbox 0 MKSTREAM");
    for name in ["gone", "busy"] {
        redis.say::<usize>(&format!("XGROUP CREATECONSUMER pillarbox pillarbox {name}"));
    }
    redis.say::<String>("XADD pillarbox * version 3");
    let _: redis::Value = redis.say("XREADGROUP GROUP pillarbox busy COUNT 1 STREAMS pillarbox >");
    let names = || {
        let consumers: Vec<HashMap<String, redis::Value>> = redis.say("XINFO CONSUMERS pillarbox pillarbox");
        let name =
            |consumer: HashMap<String, redis::Value>| redis::from_redis_value::<String>(consumer["name"].clone());
        let mut names: Vec<String> = consumers.into_iter().map(|consumer| name(consumer).unwrap()).collect();
        names.sort_unstable();
        names
    };
    // Who has something may be alive: it takes longer than this until it is taken over.
    let running = Running::start(worker(&redis).consumer("own").max_pause(Duration::from_secs(3600)), |_: Envelope| ());
    wait_until("it is not deleted", || !names().contains(&"gone".to_owned()));
    wait_until("the entry is not taken over", || names() == ["own"]);
    assert_eq!(pending(&redis), 1);
    running.stop();
    assert_eq!((names(), pending(&redis)), (vec!["own".to_owned()], 1));
}

#[test]
fn a_message_of_a_host_with_a_long_name_is_stored_once() {
    let Some(redis) = Redis::start(&[]) else { return };
    let name = format!("{}.example", ["a".repeat(60), "b".repeat(60), "c".repeat(60), "d".repeat(52)].join("."));
    let stream = RedisStream::new(&redis.url()).unwrap();
    let server = Server::builder().hostname(&name).serve("127.0.0.1:0", stream).unwrap();
    let mut client = Client::ehlo(server.local_addr());
    for content in ["one", "two"] {
        client.begin();
        client.expect("DATA", "354");
        client.expect(format!("{content}\r\n."), "250 ");
    }
    redis.entries(KEY).iter().for_each(|(_, fields)| drop(add(&redis, KEY, fields)));
    let folder = tempfile::tempdir().unwrap();
    let running = Running::start(worker(&redis), Maildir::create(folder.path()).unwrap().once(true));
    wait_until_empty(&redis);
    running.stop();
    assert_eq!(fs::read_dir(folder.path().join("new")).unwrap().count(), 2);
}

#[test]
fn what_is_done_is_remembered_over_several_places() {
    let Some(redis) = Redis::start(&[]) else { return };
    fill(&redis, 0..30, &["b@example.org"]);
    // As after a failover that has lost the deletions, at once and later.
    let entries = redis.entries(KEY);
    entries.iter().for_each(|(_, fields)| drop(add(&redis, KEY, fields)));
    let seen = Seen::default();
    let workers = ["one", "two"].map(|name| {
        let note = seen.clone();
        let once = worker(&redis).consumer(name).in_flight(8).once_for(Duration::from_secs(600));
        Running::start(once.max_pause(Duration::from_secs(1)), move |mail: Envelope| _ = note.note(&mail))
    });
    wait_until_empty(&redis);
    entries.iter().for_each(|(_, fields)| drop(add(&redis, KEY, fields)));
    wait_until_empty(&redis);
    workers.into_iter().for_each(Running::stop);
    assert!((0..30).all(|subject| seen.attempts(subject) == 1), "{:?}", seen.0.lock());
    let remembered: Vec<String> = redis.say("KEYS pillarbox:once:*");
    assert!(remembered.len() == 30 && remembered.iter().all(|key| redis.say::<i64>(&format!("TTL {key}")) > 500));
}

#[test]
fn an_outage_of_redis_is_two_lines_in_the_log() {
    logged::listen(log::LevelFilter::Trace);
    let Some(mut redis) = Redis::start(&[]) else { return };
    let running = Running::start(worker(&redis).stream("outage"), |_: Envelope| ());
    wait_until("it does not connect", || running.0.is_ready());
    redis.kill();
    wait_until("it is not noticed", || !running.0.is_ready());
    let lines = || logged::lines("the stream outage at ");
    wait_until("it is not told", || lines().len() == 1);
    redis.restart();
    wait_until("it does not connect again", || running.0.is_ready());
    running.stop();
    let lines = lines();
    assert!(lines.len() == 2 && lines[0].contains("cannot take") && lines[1].contains("again"), "{lines:#?}");
}

/// The rights that the documentation names are enough.
#[test]
fn a_worker_with_its_rights_alone() {
    logged::listen(log::LevelFilter::Trace);
    let Some(redis) = Redis::start(&[]) else { return };
    redis.say::<()>(
        "ACL SETUSER worker on >sesame ~pillarbox* +ping +xreadgroup +xack +xdel +xclaim +xpending +xrange +xadd +xlen +xinfo +xgroup \
         +eval +time +multi +exec +hmget +hset +hdel +mget +set +del",
    );
    fill(&redis, 0..20, &["b@example.org", "c@example.org"]);
    let seen = Seen::default();
    let note = seen.clone();
    let worker = RedisWorker::new(&format!("{}?user=worker&pass=sesame", redis.url())).unwrap();
    let worker =
        worker.take_over_after(Duration::from_secs(1)).once_for(Duration::from_secs(60)).consumer("with rights");
    let running = Running::start(worker, move |mail: Envelope| match (subject(&mail), note.note(&mail)) {
        (3, 1) => Response::Each(vec![Reply::ok(), Reply::temporary("later")]),
        (4, _) => Response::Each(vec![Reply::ok(), Reply::permanent("no")]),
        _ => ().into(),
    });
    wait_until_empty(&redis);
    // It comes to cleaning.
    redis.say::<usize>("XGROUP CREATECONSUMER pillarbox pillarbox gone");
    let gone = || redis.say::<Vec<redis::Value>>("XINFO CONSUMERS pillarbox pillarbox").len() == 1;
    wait_until("a consumer stays", gone);
    running.stop();
    assert_eq!((length(&redis, "pillarbox:dead"), seen.attempts(3)), (1, 2));
    let refused = |line: &String| line.contains("NOPERM") || line.contains("consumers that are gone");
    assert!(!logged::lines(&redis.socket().display().to_string()).iter().any(refused));
}

/// Somebody has emptied Redis.
#[test]
fn a_stream_that_is_deleted_is_made_anew() {
    let Some(redis) = Redis::start(&[]) else { return };
    let seen = Seen::default();
    let note = seen.clone();
    let running = Running::start(worker(&redis), move |mail: Envelope| _ = note.note(&mail));
    for round in 0..3 {
        fill(&redis, [round], &["b@example.org"]);
        wait_until("nothing is taken", || seen.attempts(round) == 1);
        redis.say::<redis::Value>(if round == 1 { "FLUSHALL" } else { "XGROUP DESTROY pillarbox pillarbox" });
    }
    wait_until("it is not there again", || running.0.is_ready());
    running.stop();
}
