//! Takes messages off the Redis stream of `redis_server` and stores them in a Maildir.
//!
//! `cargo run --features redis --example redis_worker URL NAME MAILDIR [--stream KEY] [--dead-after SECONDS]`
//!
//! Any number of workers may run, each with a NAME of its own, which it keeps when it is restarted. A message is deleted from
//! the stream once it is on disk. If a worker has had one for a minute (see `--dead-after`), another worker takes it over. So
//! a message may come twice; the Maildir recognizes it by its id.

use std::error::Error;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use pillarbox::handlers::{Maildir, RedisStream};
use pillarbox::{Handler, Response};
use redis::{Connection, RedisResult, Value, cmd};
use signal_hook::consts::{SIGINT, SIGTERM};

const GROUP: &str = "maildir";

/// How many messages are in memory at once.
const BATCH: usize = 8;

/// How long to wait for a message, and to pause after a failure. A signal may take this long to have its effect.
const PAUSE: Duration = Duration::from_secs(1);

/// How long Redis may take to connect and to answer, in addition to the wait for a message.
const PATIENCE: Duration = Duration::from_secs(30);

/// An entry's id and its fields; no fields if it was deleted.
type Entry = (String, Option<Vec<(Vec<u8>, Vec<u8>)>>);

struct Worker {
    client: redis::Client,
    name: String,
    stream: String,
    dead_after: Duration,
    maildir: Maildir,
    stop: Arc<AtomicBool>,
}

impl Worker {
    /// Stores messages until it is told to stop or something fails.
    fn work(&mut self) -> Result<(), Box<dyn Error>> {
        let mut redis = self.client.get_connection_with_timeout(PATIENCE)?;
        redis.set_read_timeout(Some(PATIENCE))?;
        redis.set_write_timeout(Some(PATIENCE))?;
        let mut create = cmd("XGROUP");
        create.arg("CREATE").arg(&self.stream).arg(GROUP).arg("0").arg("MKSTREAM");
        match create.query::<()>(&mut redis) {
            Err(e) if e.code() != Some("BUSYGROUP") => return Err(e.into()),
            _ => {}
        }
        // First the entries that a worker of this name took and did not finish: the entry to go on after.
        let mut unfinished = Some("0".to_owned());
        while !self.is_stopped() {
            let entries = match &unfinished {
                Some(after) => self.take(&mut redis, after)?,
                None if self.claim(&mut redis)? => {
                    unfinished = Some("0".to_owned());
                    continue;
                }
                None => self.take(&mut redis, ">")?,
            };
            if unfinished.is_some() {
                unfinished = entries.last().map(|(id, _)| id.clone());
            }
            for (id, fields) in entries {
                if self.is_stopped() {
                    break;
                }
                if self.store(&id, fields)? {
                    let mut done = redis::pipe();
                    done.atomic().cmd("XACK").arg(&self.stream).arg(GROUP).arg(&id).ignore();
                    done.cmd("XDEL").arg(&self.stream).arg(&id).ignore().query::<()>(&mut redis)?;
                }
            }
        }
        Ok(())
    }

    /// Stores a message. True if it is on disk, so that it may be deleted from the stream.
    fn store(&mut self, id: &str, fields: Option<Vec<(Vec<u8>, Vec<u8>)>>) -> Result<bool, Box<dyn Error>> {
        let Some(fields) = fields else { return Ok(true) };
        let mail = match RedisStream::read(fields) {
            Ok(mail) => mail,
            Err(e) => {
                // It stays in the stream, for a person to look at.
                eprintln!("{id} is no message: {e}");
                return Ok(false);
            }
        };
        match self.maildir.process_message(mail) {
            Response::All(reply) if reply.is_positive() => Ok(true),
            refusal => Err(format!("{id} cannot be stored: {refusal:?}").into()),
        }
    }

    /// Entries for this worker: those after an id that it has taken already, or new ones for `>`.
    fn take(&self, redis: &mut Connection, after: &str) -> RedisResult<Vec<Entry>> {
        let mut command = cmd("XREADGROUP");
        command.arg("GROUP").arg(GROUP).arg(&self.name).arg("COUNT").arg(BATCH);
        command.arg("BLOCK").arg(PAUSE.as_millis().to_string()).arg("STREAMS").arg(&self.stream).arg(after);
        let streams: Option<Vec<(String, Vec<Entry>)>> = command.query(redis)?;
        Ok(streams.into_iter().flatten().flat_map(|(_, entries)| entries).collect())
    }

    /// Takes over the entries that dead workers have not finished.
    fn claim(&self, redis: &mut Connection) -> RedisResult<bool> {
        let mut command = cmd("XAUTOCLAIM");
        command.arg(&self.stream).arg(GROUP).arg(&self.name).arg(self.dead_after.as_millis().to_string());
        command.arg("0").arg("COUNT").arg(BATCH).arg("JUSTID");
        // Where to go on, the entries, and from Redis 7 on the ids of deleted ones.
        let answer: Vec<Value> = command.query(redis)?;
        Ok(matches!(answer.get(1), Some(Value::Array(ids)) if !ids.is_empty()))
    }

    fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let usage = || io::Error::other("the URL of a Redis, a NAME, a MAILDIR, and options as the source has them");
    let mut arguments = std::env::args().skip(1);
    let mut next = || arguments.next().ok_or_else(usage);
    let (client, name, folder) = (redis::Client::open(next()?)?, next()?, PathBuf::from(next()?));
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, stop.clone())?;
    }
    let maildir = Maildir::create(folder)?.once(true);
    let dead_after = Duration::from_secs(60);
    let mut worker = Worker { client, name, stream: "pillarbox".to_owned(), dead_after, maildir, stop };
    while let Some(option) = arguments.next() {
        let mut value = || arguments.next().ok_or_else(usage);
        match option.as_str() {
            "--stream" => worker.stream = value()?,
            "--dead-after" => worker.dead_after = Duration::from_secs(value()?.parse()?),
            _ => return Err(usage().into()),
        }
    }
    while !worker.is_stopped() {
        match worker.work() {
            // A signal ends the wait for a message, too.
            Err(e) if !worker.is_stopped() => {
                eprintln!("{e}");
                thread::sleep(PAUSE);
            }
            _ => {}
        }
    }
    Ok(())
}
