//! The worker of the examples: what was in the stream is in the Maildir once, whatever becomes of the worker.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;

use crate::support::client::Client;
use crate::support::example;
use crate::support::redis as redis_server;
use crate::support::redis::Redis;
use crate::support::wait_until;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use pillarbox::handlers::{Maildir, RedisStream};
use pillarbox::{Handler, Server};

const KEY: &str = "pillarbox";

struct Worker(Child);

impl Worker {
    fn start(redis: &Redis, name: &str, maildir: &Path) -> Option<Worker> {
        let mut command: Command = example("redis_worker")?;
        command.args([redis.url(), name.to_owned()]).arg(maildir).args(["--take-over-after", "1"]).stdin(Stdio::null());
        Some(Worker(command.spawn().expect("the example runs")))
    }

    fn kill(mut self) {
        self.0.kill().expect("it runs");
        self.0.wait().expect("our own child");
    }

    /// SIGTERM, and its end.
    fn end(mut self) {
        kill(Pid::from_raw(self.0.id().try_into().expect("a process id")), Signal::SIGTERM).expect("it runs");
        assert!(self.0.wait().expect("our own child").success());
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Puts messages with these subjects into the stream.
fn fill(redis: &Redis, subjects: impl IntoIterator<Item = usize>) {
    let stream = RedisStream::new(&redis.url()).expect("a URL");
    let server = Server::builder().serve("127.0.0.1:0", stream).expect("a free port");
    let mut client = Client::ehlo(server.local_addr());
    for subject in subjects {
        client.begin();
        client.expect("DATA", "354");
        client.expect(format!("Subject: {subject}\r\n\r\nend of {subject}\r\n."), "250 ");
    }
}

/// The subjects in a part of the Maildir, in order.
fn subjects(maildir: &Path, part: &str) -> Vec<usize> {
    let read = |entry: fs::DirEntry| {
        let text = fs::read_to_string(entry.path()).expect("a file");
        let subject = text.lines().find_map(|line| line.strip_prefix("Subject: ")).expect("a subject").to_owned();
        assert!(text.ends_with(&format!("end of {subject}\n")), "{text:?} is not whole");
        subject.parse().expect("a number")
    };
    let entries = fs::read_dir(maildir.join(part)).into_iter().flatten();
    let mut subjects: Vec<usize> = entries.map(|entry| read(entry.expect("an entry"))).collect();
    subjects.sort_unstable();
    subjects
}

#[track_caller]
fn wait_until_done(redis: &Redis) {
    wait_until("the worker does not end", || redis.say::<usize>("XLEN pillarbox") == 0);
    let pending: (usize, redis::Value, redis::Value, redis::Value) = redis.say("XPENDING pillarbox pillarbox");
    assert_eq!(pending.0, 0);
}

#[test]
fn kills_lose_nothing_and_double_nothing() {
    const MESSAGES: usize = 400;
    let Some(redis) = Redis::start(&[]) else { return };
    let folder = tempfile::tempdir().unwrap();
    let maildir = folder.path().join("mail");
    fill(&redis, 0..MESSAGES);
    let mut stored = 0;
    for _ in 0..12 {
        let Some(worker) = Worker::start(&redis, "one", &maildir) else { return };
        // At some moment within some message.
        wait_until("nothing is stored", || subjects(&maildir, "new").len() > stored);
        worker.kill();
        stored = subjects(&maildir, "new").len();
    }
    assert!(stored < MESSAGES, "it was never killed in the middle");
    let Some(worker) = Worker::start(&redis, "one", &maildir) else { return };
    wait_until_done(&redis);
    worker.end();
    assert!(subjects(&maildir, "new") == (0..MESSAGES).collect::<Vec<_>>(), "{:?}", subjects(&maildir, "new"));
}

#[test]
fn a_dead_workers_messages_go_to_another() {
    let Some(redis) = Redis::start(&[]) else { return };
    let folder = tempfile::tempdir().unwrap();
    fill(&redis, 0..5);
    redis.say::<()>("XGROUP CREATE pillarbox pillarbox 0");
    let taken: redis::Value = redis.say("XREADGROUP GROUP pillarbox dead COUNT 3 STREAMS pillarbox >");
    assert!(taken != redis::Value::Nil);
    let Some(worker) = Worker::start(&redis, "two", folder.path()) else { return };
    wait_until_done(&redis);
    worker.end();
    assert_eq!(subjects(folder.path(), "new"), [0, 1, 2, 3, 4]);
}

#[test]
fn what_is_in_the_maildir_is_not_stored_again() {
    let Some(redis) = Redis::start(&[]) else { return };
    let folder = tempfile::tempdir().unwrap();
    fill(&redis, 0..3);
    let entries = redis.entries(KEY);
    // All of them twice, as if its first worker had died before it could say that it was done.
    let again = |fields: &redis_server::Fields| {
        redis::cmd("XADD").arg(KEY).arg("*").arg(fields).query::<String>(&mut redis.connection()).unwrap()
    };
    entries.iter().for_each(|(_, fields)| drop(again(fields)));
    let Some(worker) = Worker::start(&redis, "one", folder.path()) else { return };
    wait_until_done(&redis);
    assert_eq!(subjects(folder.path(), "new"), [0, 1, 2]);
    // A mail reader has seen them meanwhile.
    for file in fs::read_dir(folder.path().join("new")).unwrap() {
        let file = file.unwrap();
        let seen = folder.path().join("cur").join(format!("{}:2,S", file.file_name().display()));
        fs::rename(file.path(), seen).unwrap();
    }
    entries.iter().for_each(|(_, fields)| drop(again(fields)));
    wait_until_done(&redis);
    worker.end();
    assert_eq!((subjects(folder.path(), "new"), subjects(folder.path(), "cur")), (vec![], vec![0, 1, 2]));
}

#[test]
fn what_is_no_message_is_put_aside_and_holds_up_nobody() {
    let Some(redis) = Redis::start(&[]) else { return };
    let folder = tempfile::tempdir().unwrap();
    redis.say::<String>("XADD pillarbox * version 1 content x");
    fill(&redis, 0..2);
    let Some(worker) = Worker::start(&redis, "one", folder.path()) else { return };
    wait_until("messages are held up", || subjects(folder.path(), "new").len() == 2);
    wait_until_done(&redis);
    worker.end();
    let dead: Vec<(String, redis_server::Fields)> = redis.entries("pillarbox:dead");
    assert!(dead.len() == 1 && dead[0].1.contains(&(b"content".to_vec(), b"x".to_vec())), "{dead:?}");
}

#[test]
fn the_worker_outlives_redis() {
    let Some(mut redis) = Redis::start(&[]) else { return };
    let folder = tempfile::tempdir().unwrap();
    let Some(worker) = Worker::start(&redis, "one", folder.path()) else { return };
    for number in 0..3 {
        fill(&redis, [number]);
        wait_until("nothing is stored", || subjects(folder.path(), "new").len() == number + 1);
        redis.kill();
        redis.restart();
    }
    wait_until_done(&redis);
    worker.end();
    assert_eq!(subjects(folder.path(), "new"), [0, 1, 2]);
}

#[test]
fn workers_that_store_one_message_at_once_leave_one_file() {
    let Some(redis) = Redis::start(&[]) else { return };
    let folder = tempfile::tempdir().unwrap();
    fill(&redis, 0..10);
    // Each a Maildir of its own, as processes have.
    thread::scope(|scope| {
        for _ in 0..4 {
            let mails = redis.messages(KEY);
            scope.spawn(|| {
                let mut maildir = Maildir::create(folder.path()).unwrap().once(true);
                for mail in mails {
                    assert_eq!(maildir.process_message(mail), ().into());
                }
            });
        }
    });
    assert_eq!(subjects(folder.path(), "new"), (0..10).collect::<Vec<_>>());
    assert!(subjects(folder.path(), "tmp").is_empty());
}
