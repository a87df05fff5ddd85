//! Takes the messages off a stream and gives them to a handler.

use std::fmt::{self, Debug, Display, Formatter};
use std::sync::Arc;
use std::time::Duration;

use super::server::{RedisServer, RedisUrlError};
#[cfg(feature = "_tls")]
use super::tls::RedisTls;
use crate::delivery::handler::Handler;
use crate::syntax::escaped::Escaped;

mod numbers;
mod once;
mod queue;
mod record;
mod run;
mod settings;
mod state;
mod task;

use settings::Settings;
use state::Shared;
pub use state::{RedisWorkerHandle, RedisWorkerStats};

/// Takes the messages off a Redis stream that [`RedisStream`](super::RedisStream) fills, gives each to a [`Handler`], and deletes
/// it from the stream once the handler has accepted it.
///
/// Any handler will do: [`Maildir`](super::super::Maildir) stores messages, [`Proxy`](super::super::Proxy) relays them,
/// [`Pipe`](super::super::Pipe) gives them to a program, a closure does what it likes. Messages go to
/// [`process_delivery`](Handler::process_delivery), up to [`in_flight`](RedisWorker::in_flight) of them at a time, so a Maildir
/// stores them side by side and flushes them together. Any number of workers on any machine may share a stream.
/// [`scaling_out`](crate::guide::scaling_out) shows the whole setup.
///
/// ```no_run
/// use pillarbox::handlers::{Maildir, RedisWorker};
///
/// let worker = RedisWorker::new("redis://:secret@redis.example.org")?.stream("mail").consumer("store-1");
/// let handle = worker.handle(); // for whoever stops it, or asks for its statistics
/// # let stop_at_sigterm = |_| {};
/// stop_at_sigterm(handle.clone());
/// worker.run(Maildir::create("/var/mail/incoming")?.once(true));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # What becomes of a message
///
/// | the handler | the message |
/// |---|---|
/// | accepts it | is deleted from the stream |
/// | refuses it with a 5xx | goes to the [dead letters](RedisWorker::dead_letters) at once |
/// | refuses it with a 4xx, drops it, or panics | is tried again after a pause, which doubles from a second up to [`max_pause`](RedisWorker::max_pause), while others go on; after [`max_attempts`](RedisWorker::max_attempts) it goes to the dead letters |
/// | answers for each recipient ([`Response::Each`](crate::Response::Each)) | is done for those that were accepted; dead letters, and further attempts, are for the others alone |
/// | is killed, hangs, or loses its machine | is taken over by another worker after [`take_over_after`](RedisWorker::take_over_after), or by the next one with the same [`consumer`](RedisWorker::consumer) name at once |
///
/// An entry that is no message (a field is missing or invalid) goes to the dead letters at once; one whose format is of a later
/// version of this crate is left to later workers, as if it had been refused with a 4xx.
///
/// # Once, or twice
///
/// A message arrives at least once. It is handled again if a worker ends, or loses Redis for long, between the handler's
/// acceptance and the deletion, some milliseconds later; or if the worker hangs for longer than `take_over_after` and goes on.
/// Exactly once holds where the place that stores messages recognizes them by their id: in one Maildir that all workers share
/// and that keeps its files, by [`Maildir::once`](super::super::Maildir::once). [`once_for`](RedisWorker::once_for) narrows the
/// gap where there are several Maildirs, where mail readers move or delete files, or where messages are relayed.
///
/// # Redis
///
/// It connects when it runs, and again, with growing pauses, whenever the connection breaks; the log has one line when an outage
/// begins, with what to do about it, and one when it ends. Where Redis is at its `maxmemory` the worker goes on, since none of
/// the commands that it needs to empty a stream asks for memory. The user needs the rights to `PING`, `XREADGROUP`, `XACK`, `XDEL`,
/// `XCLAIM`, `XPENDING`, `XRANGE`, `XADD`, `XLEN`, `XINFO`, `XGROUP`, `EVAL`, `TIME`, `MULTI`, `EXEC`, `HMGET`, `HSET` and `HDEL`, with
/// [`once_for`](RedisWorker::once_for) to `MGET`, `SET` and `DEL`; to the stream's key and those that begin with it, and to that of the
/// dead letters. With `MEMORY` it knows the stream's octets.
///
/// A consumer that has been gone for longer than `take_over_after` is deleted from the group once it has nothing pending.
#[derive(Clone)]
pub struct RedisWorker {
    server: RedisServer,
    settings: Settings,
    shared: Arc<Shared>,
}

impl RedisWorker {
    /// A worker for the Redis at this URL, which is as for [`RedisStream::new`](super::RedisStream::new). It does not connect
    /// yet.
    ///
    /// # Errors
    /// [`RedisUrlError`] if the URL is invalid.
    pub fn new(url: &str) -> Result<RedisWorker, RedisUrlError> {
        let settings = Settings {
            key: "pillarbox".to_owned(),
            group: "pillarbox".to_owned(),
            consumer: state::unique_name(),
            dead_letters: None,
            in_flight: 64,
            memory: 64 * 1024 * 1024,
            take_over_after: Duration::from_secs(60),
            max_attempts: 500,
            max_pause: Duration::from_secs(900),
            once_for: None,
            grace: Duration::from_secs(10),
        };
        Ok(RedisWorker { server: RedisServer::new(url)?, settings, shared: Arc::default() })
    }

    /// The stream's key, as in [`RedisStream::stream`](super::RedisStream::stream). Default: `pillarbox`.
    pub fn stream(mut self, key: impl Into<String>) -> RedisWorker {
        self.settings.key = key.into();
        self
    }

    /// The consumer group, which is created if there is none. Each message goes to one worker of its group. A worker deletes what
    /// is done, so a stream has one group. Default: `pillarbox`.
    pub fn group(mut self, name: impl Into<String>) -> RedisWorker {
        self.settings.group = name.into();
        self
    }

    /// The name of this worker in its group. No other worker that runs may have it. Give it a lasting one, and it goes on with
    /// its unfinished messages at once when it starts again after a kill. Default: the machine's name, the process id and
    /// chance, new for each worker; others then take over what it leaves.
    pub fn consumer(mut self, name: impl Into<String>) -> RedisWorker {
        self.settings.consumer = name.into();
        self
    }

    /// Certificates for a `rediss://` URL. Default: those that the system trusts.
    #[cfg(feature = "_tls")]
    pub fn tls(mut self, tls: RedisTls) -> RedisWorker {
        self.server.set_tls(tls);
        self
    }

    /// The stream that messages go to which cannot be delivered, for a person to look at. Default: the stream's key and `:dead`.
    ///
    /// An entry there has the fields of the message, as the contract of [`RedisStream`](super::RedisStream) has them, with those
    /// recipients alone that it was not delivered to, and in addition `dead_reason` (the reply, or what is wrong with the entry),
    /// `dead_entry` (its id in the stream), `dead_attempts` and `dead_at` (seconds since 1970). The log has one line for it. To
    /// try again, add the entry to the stream and delete it here. Nothing is ever trimmed; while Redis cannot take a dead letter,
    /// its message stays in the stream.
    pub fn dead_letters(mut self, key: impl Into<String>) -> RedisWorker {
        self.settings.dead_letters = Some(key.into());
        self
    }

    /// How many messages the handler may have at the same time, from 1 on. Default: 64, as many as a Maildir writes at once.
    pub fn in_flight(mut self, messages: usize) -> RedisWorker {
        self.settings.in_flight = messages.clamp(1, 10_000);
        self
    }

    /// About how many octets of messages may be in memory at the same time. As Redis does not tell an entry's size before it is
    /// read, the largest of the last messages is taken for the size of the next; after many small ones the first large ones
    /// may exceed it, up to `in_flight` of them. A single message is always taken. Default: 67,108,864 (64 MiB).
    pub fn memory(mut self, octets: u64) -> RedisWorker {
        self.settings.memory = octets;
        self
    }

    /// How long another worker may show no sign of life until this one takes its messages over. A worker gives a sign for what
    /// its handler has at a third of this time. All workers should have the same. Default: 60 s; at least 1 s.
    pub fn take_over_after(mut self, time: Duration) -> RedisWorker {
        self.settings.take_over_after = time.max(Duration::from_secs(1));
        self
    }

    /// How often a message is given to a handler, by any worker, until it goes to the dead letters. Redis counts, so a message
    /// that kills its worker is given up as well. Default: 500, about five days with the default of
    /// [`max_pause`](RedisWorker::max_pause), as mail servers try (RFC 5321 section 4.5.4.1).
    pub fn max_attempts(mut self, attempts: u64) -> RedisWorker {
        self.settings.max_attempts = attempts.max(1);
        self
    }

    /// The longest pause between two attempts at a message. The first is a second, and each is twice as long as the one before.
    /// Default: 900 s (15 minutes).
    pub fn max_pause(mut self, pause: Duration) -> RedisWorker {
        self.settings.max_pause = pause;
        self
    }

    /// Has Redis remember the ids of messages that are done, for so long, and skips those that it remembers. Default: it does
    /// not.
    ///
    /// An id is written before its entry is deleted. So an entry that is in the stream again, because a failover lost its
    /// deletion, an operator added it again, or another worker took it over while this one hung, is not handled a second time,
    /// whichever Maildir or upstream has it. What remains is the time between the handler's acceptance and that write, some milliseconds:
    /// whoever is killed in it leaves a message that comes twice, as any SMTP client does that misses the reply to its message.
    /// While Redis is at its `maxmemory` nothing can be remembered. An id takes about 100 octets of Redis's memory.
    pub fn once_for(mut self, time: Duration) -> RedisWorker {
        self.settings.once_for = Some(time).filter(|time| !time.is_zero());
        self
    }

    /// How long the handler may still take for what it has when the worker is stopped. What it has not answered by then is given
    /// back, and may come twice if the handler accepts it all the same. Default: 10 s.
    pub fn grace(mut self, time: Duration) -> RedisWorker {
        self.settings.grace = time;
        self
    }

    /// How long connecting may take in total, including name resolution, TLS and login. Default: 5 s.
    pub fn connect_timeout(mut self, timeout: Duration) -> RedisWorker {
        self.server.connect_timeout = timeout.max(Duration::from_millis(1));
        self
    }

    /// How long Redis may be silent while it reads and while it answers. Then the worker connects anew. Default: 30 s.
    pub fn response_timeout(mut self, timeout: Duration) -> RedisWorker {
        self.server.response_timeout = timeout.max(Duration::from_millis(1));
        self
    }

    /// Stops the worker while it runs, and tells what it does. It can be cloned, and sent to other threads.
    pub fn handle(&self) -> RedisWorkerHandle {
        RedisWorkerHandle(self.shared.clone())
    }

    /// Works until it is [stopped](RedisWorkerHandle::stop): this blocks. It needs no threads of its own; the handler may have
    /// some. If it was stopped before, it returns at once.
    ///
    /// At the end it waits for what the handler has, up to [`grace`](RedisWorker::grace), and gives the rest back, so that another
    /// worker takes it at once.
    pub fn run(self, mut handler: impl Handler) {
        let name = self.to_string();
        run::run(&self.server, &self.settings, &self.shared, name, &mut handler);
    }
}

impl Display for RedisWorker {
    /// The stream and its server, without user and password.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "the stream {} at {}", Escaped::new(self.settings.key.as_bytes()), self.server)
    }
}

impl Debug for RedisWorker {
    /// Without user and password.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisWorker")
            .field("at", &self.server.place())
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}
