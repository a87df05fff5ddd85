//! A worker that takes messages off a stream and gives them to a handler.

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
/// You can use any handler: [`Maildir`](super::super::Maildir) stores messages, [`Proxy`](super::super::Proxy) relays them,
/// [`Pipe`](super::super::Pipe) runs a program for each, and a closure is your own code. The worker calls
/// [`process_delivery`](Handler::process_delivery) and has up to [`in_flight`](RedisWorker::in_flight) messages at the handler at
/// the same time, so a Maildir writes them in parallel. Any number of workers on any number of machines can share a stream.
/// [`scaling_out`](crate::guide::scaling_out) shows the whole setup.
///
/// ```no_run
/// use pillarbox::handlers::{Maildir, RedisWorker};
///
/// let worker = RedisWorker::new("redis://:secret@redis.example.org")?.stream("mail").consumer("store-1");
/// let handle = worker.handle(); // stops the worker, and has its statistics
/// # let stop_at_sigterm = |_| {};
/// stop_at_sigterm(handle.clone());
/// worker.run(Maildir::create("/var/mail/incoming")?.once(true));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # What happens to a message
///
/// | the handler | the message |
/// |---|---|
/// | accepts it | is deleted from the stream |
/// | refuses it with a 5xx | goes to the [dead letters](RedisWorker::dead_letters) at once |
/// | refuses it with a 4xx, drops it, or panics | is tried again after a pause, which doubles from a second up to [`max_pause`](RedisWorker::max_pause), while others go on; after [`max_attempts`](RedisWorker::max_attempts) it goes to the dead letters |
/// | answers for each recipient ([`Response::Each`](crate::Response::Each)) | is done for those that were accepted; dead letters, and further attempts, are for the others alone |
/// | is killed, hangs, or loses its machine | is taken over by another worker after [`take_over_after`](RedisWorker::take_over_after), or by the next one with the same [`consumer`](RedisWorker::consumer) name at once |
///
/// An entry that is not a message (a field is missing or invalid) goes to the dead letters at once. An entry in a format that is
/// newer than this worker stays for newer workers: it counts as refused with a 4xx.
///
/// # Once, or twice
///
/// Each message is handled at least once. It is handled again if the worker is killed, or cannot reach Redis for long, in the
/// milliseconds between the handler's acceptance and the deletion; or if the worker hangs for longer than `take_over_after` and
/// then goes on. It is handled exactly once if the destination recognizes messages by their id: one Maildir that all workers
/// share and that keeps its files does, with [`Maildir::once`](super::super::Maildir::once). For several Maildirs, for mail
/// readers that move or delete files, and for relays, [`once_for`](RedisWorker::once_for) makes duplicates rarer.
///
/// # Redis
///
/// The worker connects when it runs. When the connection breaks it connects again, with growing pauses. The log has one line when
/// an outage begins, with advice, and one when it ends. If Redis is at its `maxmemory` the worker goes on: the commands that empty
/// a stream need no memory. The user needs the rights to `PING`, `XREADGROUP`, `XACK`, `XDEL`,
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

    /// The consumer group. The worker creates it if it does not exist. Each message goes to one worker of the group. Workers delete
    /// the entries of handled messages, so use one group for a stream. Default: `pillarbox`.
    pub fn group(mut self, name: impl Into<String>) -> RedisWorker {
        self.settings.group = name.into();
        self
    }

    /// The name of this worker in its group. No two running workers may have the same. If you give it a fixed name, it continues with
    /// its unfinished messages at once when it starts again after a kill. Default: the machine's name, the process id and a random
    /// number, so new for each worker; after a kill other workers take over its messages.
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

    /// The stream for messages that cannot be delivered, for a person to look at. Default: the stream's key followed by `:dead`.
    ///
    /// An entry there has the fields of the message, as [`RedisStream`](super::RedisStream) documents them, with only the recipients
    /// that it was not delivered to, and in addition `dead_reason` (the reply, or what is wrong with the entry),
    /// `dead_entry` (its id in the stream), `dead_attempts` and `dead_at` (seconds since 1970). The log has one line for each. To
    /// try one again, add the entry to the stream and delete it here. Dead letters are never trimmed. While Redis cannot store a dead
    /// letter, its message stays in the stream.
    pub fn dead_letters(mut self, key: impl Into<String>) -> RedisWorker {
        self.settings.dead_letters = Some(key.into());
        self
    }

    /// How many messages the handler may have at the same time: 1 to 10,000; other numbers count as the nearest of these. Default: 64,
    /// as many as a Maildir writes at once.
    pub fn in_flight(mut self, messages: usize) -> RedisWorker {
        self.settings.in_flight = messages.clamp(1, 10_000);
        self
    }

    /// About how many octets of messages may be in memory at the same time. Redis does not tell the size of an entry before it is
    /// read, so the worker expects the next message to be as large as the largest of the recent ones: after many small messages, up
    /// to `in_flight` large ones may exceed this. A single message is always taken. Default: 67,108,864 (64 MiB).
    pub fn memory(mut self, octets: u64) -> RedisWorker {
        self.settings.memory = octets;
        self
    }

    /// How long another worker may give no sign of life before this one takes over its messages. A worker gives a sign three times in
    /// this period for each message that its handler has. Use the same value for all workers. Default: 60 s; minimum: 1 s.
    pub fn take_over_after(mut self, time: Duration) -> RedisWorker {
        self.settings.take_over_after = time.max(Duration::from_secs(1));
        self
    }

    /// How often a message is given to a handler, by all workers together, before it goes to the dead letters. Redis counts the
    /// attempts, so a message that kills its worker is given up too. Default: 500, which is about five days with the default of
    /// [`max_pause`](RedisWorker::max_pause), as long as mail servers try (RFC 5321 section 4.5.4.1); minimum: 1.
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

    /// Redis remembers the ids of handled messages for this long, and the worker skips the messages that it remembers. Default: off;
    /// zero turns it off too.
    ///
    /// The worker writes an id before it deletes the entry. So an entry that is in the stream again, because a failover lost its
    /// deletion, an operator added it again, or another worker took it over while this one hung, is not handled a second time, in
    /// whichever Maildir or upstream it is. A gap of some milliseconds remains between the handler's acceptance and that write: if a
    /// worker is killed in it, the message comes twice, as with an SMTP client that misses the reply to its message.
    /// While Redis is at its `maxmemory` it remembers nothing new. An id takes about 100 octets of Redis's memory.
    pub fn once_for(mut self, time: Duration) -> RedisWorker {
        self.settings.once_for = Some(time).filter(|time| !time.is_zero());
        self
    }

    /// How long the handler may take to finish its messages after the worker is stopped. The worker then gives back the messages
    /// without an answer; one that the handler accepts after that comes twice. Default: 10 s.
    pub fn grace(mut self, time: Duration) -> RedisWorker {
        self.settings.grace = time;
        self
    }

    /// How long connecting may take in total, including name resolution, TLS and login. Default: 5 s; minimum: 1 ms.
    pub fn connect_timeout(mut self, timeout: Duration) -> RedisWorker {
        self.server.connect_timeout = timeout.max(Duration::from_millis(1));
        self
    }

    /// How long Redis may be silent while it reads and while it answers. After that the worker connects again. Default: 30 s;
    /// minimum: 1 ms.
    pub fn response_timeout(mut self, timeout: Duration) -> RedisWorker {
        self.server.response_timeout = timeout.max(Duration::from_millis(1));
        self
    }

    /// A handle that stops the worker while it runs, and has its statistics. It can be cloned and sent to other threads.
    pub fn handle(&self) -> RedisWorkerHandle {
        RedisWorkerHandle(self.shared.clone())
    }

    /// Runs until the worker is [stopped](RedisWorkerHandle::stop); this blocks. The worker starts no threads; the handler may. If it
    /// was stopped before, `run` returns at once.
    ///
    /// When it is stopped it waits for the handler's answers, up to [`grace`](RedisWorker::grace), and gives the rest back, so that
    /// another worker can take those messages at once.
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
