//! The worker in Python of the examples: it reads what the documentation says of entries, and stores each message once, whatever
//! becomes of it, beside what is written in Rust.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Child, Stdio};

use crate::support::client::Client;
use crate::support::redis::Redis;
use crate::support::redis_py::python;
use crate::support::wait_until;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use pillarbox::handlers::{Maildir, RedisStream};
use pillarbox::{Handler, Server};

/// It is killed with the value.
struct Worker(Child);

impl Worker {
    fn start(redis: &Redis, name: &str, maildir: &Path) -> Option<Worker> {
        let mut command = python()?;
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/redis_worker.py");
        let url = format!("unix://{}", redis.socket().display());
        command.arg(script).args([&*url, name]).arg(maildir).env("DEAD_AFTER", "1");
        command.stdin(Stdio::null()).stderr(Stdio::null());
        Some(Worker(command.spawn().expect("python runs")))
    }

    fn end(mut self) {
        kill(Pid::from_raw(self.0.id().try_into().expect("a process id")), Signal::SIGTERM).expect("it runs");
        self.0.wait().expect("our own child");
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
    fill_from("mx.example", redis, subjects);
}

fn fill_from(hostname: &str, redis: &Redis, subjects: impl IntoIterator<Item = usize>) {
    let stream = RedisStream::new(&redis.url()).expect("a URL");
    let server = Server::builder().hostname(hostname).serve("127.0.0.1:0", stream).expect("a free port");
    let mut client = Client::ehlo(server.local_addr());
    for subject in subjects {
        client.begin();
        client.expect("DATA", "354");
        client.expect(format!("Subject: {subject}\r\n\r\nend of {subject}\r\n."), "250 ");
    }
}

/// The subjects in the Maildir's new, in order.
fn subjects(maildir: &Path) -> Vec<usize> {
    let files = fs::read_dir(maildir.join("new")).into_iter().flatten().map(|file| file.expect("an entry").path());
    let mut subjects: Vec<usize> = files
        .map(|file| {
            let text = fs::read_to_string(file).expect("a file");
            let subject = text.lines().find_map(|line| line.strip_prefix("Subject: ")).expect("a subject").to_owned();
            assert!(text.ends_with(&format!("end of {subject}\n")), "{text:?} is not whole");
            subject.parse().expect("a number")
        })
        .collect();
    subjects.sort_unstable();
    subjects
}

#[test]
fn killed_again_and_again_it_stores_each_message_once() {
    const MESSAGES: usize = 300;
    let Some(redis) = Redis::start(&[]) else { return };
    let folder = tempfile::tempdir().unwrap();
    // Of a name for which a file's has no room.
    fill_from(&format!("{}example", "a-long-name.".repeat(12)), &redis, 0..10);
    fill(&redis, 10..MESSAGES);
    // What is stored already by somebody else has the same name, whoever stores it.
    let mut maildir = Maildir::create(folder.path()).unwrap().once(true);
    for mail in redis.messages("pillarbox").into_iter().take(20) {
        assert_eq!(maildir.process_message(mail), ().into());
    }
    let names = || -> BTreeSet<_> {
        fs::read_dir(folder.path().join("new")).unwrap().map(|file| file.unwrap().file_name()).collect()
    };
    let rust = names();
    let mut stored = 20;
    for _ in 0..4 {
        let Some(mut worker) = Worker::start(&redis, "one", folder.path()) else { return };
        wait_until("nothing is stored", || subjects(folder.path()).len() > stored);
        worker.0.kill().unwrap();
        worker.0.wait().unwrap();
        stored = subjects(folder.path()).len();
    }
    assert!(stored < MESSAGES, "it was never killed in the middle");
    // Another one takes over what the first has left.
    let Some(worker) = Worker::start(&redis, "two", folder.path()) else { return };
    wait_until("it does not end", || redis.say::<usize>("XLEN pillarbox") == 0);
    worker.end();
    assert_eq!(subjects(folder.path()), (0..MESSAGES).collect::<Vec<_>>());
    assert!(names().is_superset(&rust));
}

#[test]
fn what_it_cannot_read_stays_and_holds_up_nobody() {
    let Some(redis) = Redis::start(&[]) else { return };
    let folder = tempfile::tempdir().unwrap();
    redis.say::<()>("XGROUP CREATE pillarbox pillarbox 0 MKSTREAM");
    for _ in 0..40 {
        redis.say::<String>("XADD pillarbox * version 7 content x");
    }
    fill(&redis, 0..3);
    // A worker that is gone has all of them.
    let _: redis::Value = redis.say("XREADGROUP GROUP pillarbox gone COUNT 43 STREAMS pillarbox >");
    let Some(worker) = Worker::start(&redis, "one", folder.path()) else { return };
    wait_until("messages are held up", || subjects(folder.path()) == [0, 1, 2]);
    wait_until("they are not deleted", || redis.say::<usize>("XLEN pillarbox") == 40);
    worker.end();
}

#[test]
fn it_empties_a_full_redis_that_nobody_has_read_before() {
    let Some(redis) = Redis::start(&[]) else { return };
    let folder = tempfile::tempdir().unwrap();
    fill(&redis, 0..20);
    redis.say::<()>("CONFIG SET maxmemory 1");
    let Some(worker) = Worker::start(&redis, "one", folder.path()) else { return };
    wait_until("the stream is not emptied", || redis.say::<usize>("XLEN pillarbox") == 0);
    worker.end();
    assert_eq!(subjects(folder.path()), (0..20).collect::<Vec<_>>());
}
