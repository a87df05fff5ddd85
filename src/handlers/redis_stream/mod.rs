//! A handler that puts messages into a Redis stream, for workers on any machine to take.

use std::fmt::{self, Debug, Display, Formatter};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crate::delivery::handler::Handler;
use crate::delivery::{Delivery, Response};
use crate::envelope::Envelope;
use crate::session::SessionFactory;
use crate::syntax::escaped::Escaped;
use crate::syntax::reply::Reply;

mod condition;
mod connection;
mod entry;
mod fault;
mod link;
mod scripts;
mod server;
mod settings;
#[cfg(feature = "_tls")]
mod tls;
mod worker;

pub use entry::RedisEntryError;
use fault::AddError;
pub use fault::RedisFault;
use server::RedisServer;
pub use server::RedisUrlError;
use settings::Settings;
#[cfg(feature = "_tls")]
pub use tls::{RedisTls, RedisTlsError};
pub use worker::{RedisWorker, RedisWorkerHandle, RedisWorkerStats};

use super::delivery_pool::{Answer, DeliveryPool};
use condition::Shared;

/// Redis serves one command at a time. What is gained beyond a few is that it flushes once for all who wait.
const MAX_SENDERS: usize = 16;

/// An entry that waits for replicas for much longer has lost its receiver.
const MAX_REPLICATION: Duration = Duration::from_secs(60);

/// Puts each message into a Redis stream, and accepts it when Redis has it.
///
/// Several servers on several machines may share a stream. A [`RedisWorker`] takes the messages off, to store or relay them:
/// [`scaling_out`](crate::guide::scaling_out) shows the whole setup, and what is lost when a part fails. It needs Redis
/// 6.2 or later, or Valkey.
///
/// # What 250 means
///
/// Redis has answered that the entry is in the stream. That is as durable as Redis is: with `appendonly yes` and
/// `appendfsync always` the entry is on Redis's disk by then; with Redis's defaults it may be lost with the process or
/// the machine. `maxmemory-policy` must be `noeviction`, or Redis may delete the stream.
/// [`wait_replicas`](RedisStream::wait_replicas) asks for copies on other machines as well.
///
/// If anything fails, the client gets a 4xx and keeps its copy: `452 4.3.1` if the stream is at its
/// [capacity](RedisStream::capacity) or Redis is at its `maxmemory`; `451 4.3.0` if Redis is down, hangs, refuses
/// the password, is a replica, has a full disk, or for any other reason. While this lasts, clients get it at MAIL or DATA, before
/// they send any content, and the handler asks Redis each second whether it takes messages again. The log has one line when this
/// begins, with advice, and one when it ends; a failure that comes and goes is logged at most once a minute. No entry is ever
/// trimmed, because that would lose accepted mail.
///
/// If Redis takes a message and its answer is lost, the client gets a 451 and sends the message again: it arrives twice,
/// as two messages with an id each. This handler itself tries again only if Redis certainly did nothing.
///
/// # Connections, memory and time
///
/// It connects when there is a message, and again after a connection breaks, so you can start the server before Redis.
/// Messages that arrive at the same time use up to 16 connections, and one more for each of the server's
/// [`consumers`](crate::Builder::consumers): with `appendfsync always` Redis flushes once for all that wait.
/// A message of up to 64 KiB is copied once to send it; a larger one is not copied. [`data_size_limit`](crate::Builder::data_size_limit)
/// must not exceed Redis's `proto-max-bulk-len`, 512 MiB by default.
///
/// The user of the URL needs the rights to `EVAL`, `XADD`, `XLEN` and `PING`, to the stream's key, and with
/// [`wait_replicas`](RedisStream::wait_replicas) also to `WAIT`, `XRANGE`, `XDEL` and `TIME`, and to the key with `:unconfirmed` behind it.
/// [`capacity_octets`](RedisStream::capacity_octets) needs `MEMORY`.
///
/// # An entry
///
/// The entry's fields are those of the message and its envelope: [`entry_format`](crate::guide::entry_format) documents each, for
/// workers in other languages.
///
/// [`read`](RedisStream::read) makes an [`Envelope`] of an entry, and [`RedisWorker`] gives it to a handler. Neither knows the
/// server's own extensions, so a [`Proxy`](crate::handlers::Proxy) that is given such an envelope drops their parameters.
///
/// # Versions
///
/// A reader ignores fields that it does not know, and reads the versions `1` and `2`: a new version may only add what readers of the
/// version before can ignore. So upgrade the workers first, then the servers; if they are one version apart, the order does not
/// matter. A worker leaves an entry of an even newer version to newer workers: see [`RedisWorker`].
///
/// ```no_run
/// use pillarbox::{Server, handlers::RedisStream};
///
/// let stream = RedisStream::new("redis://:secret@redis.example.org")?.stream("mail").capacity(1_000_000);
/// let server = Server::builder().serve("localhost:8025", stream)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct RedisStream {
    settings: Arc<Settings>,
    // Clones share the connections and the threads.
    shared: Arc<Shared>,
    senders: DeliveryPool<RedisStream>,
}

impl RedisStream {
    /// A stream in the Redis at this URL: `redis://[[user]:password@]host[:port][/database]`, or
    /// `redis+unix:///path?db=database&user=user&pass=password`; with the feature `tls` or `rustls` also `rediss://`, which
    /// needs a certificate that the system or [`tls`](RedisStream::tls) trusts. Percent-encode everything in a user or password that is
    /// not a letter, a digit or one of `-._~`. This does not connect yet.
    ///
    /// # Errors
    /// [`RedisUrlError`] if the URL is invalid.
    pub fn new(url: &str) -> Result<RedisStream, RedisUrlError> {
        let settings = Settings {
            server: RedisServer::new(url)?,
            key: "pillarbox".to_owned(),
            capacity: 100_000,
            capacity_octets: None,
            replicas: None,
            add: OnceLock::new(),
        };
        let senders = DeliveryPool::new(MAX_SENDERS);
        Ok(RedisStream { settings: Arc::new(settings), shared: Arc::default(), senders })
    }

    /// The stream's key. Default: `pillarbox`.
    pub fn stream(mut self, key: impl Into<String>) -> RedisStream {
        self.set().key = key.into();
        self
    }

    /// How many entries the stream may have, including those that workers have taken and not yet deleted. Redis counts
    /// and adds in one step, so several servers cannot exceed it together; only while it has room for 30,000 more, which is more
    /// than Redis takes in that time, is the length up to a second old. Default: 100,000.
    ///
    /// A worker must delete an entry when it is done with it (XDEL), not only acknowledge it.
    pub fn capacity(mut self, entries: u64) -> RedisStream {
        self.set().capacity = entries;
        self
    }

    /// About how many octets of Redis's memory the stream may take. A message that would exceed this gets `452 4.3.1`. Redis
    /// estimates the size from the oldest hundred entries (`MEMORY USAGE`). Default: unlimited, except by Redis's own `maxmemory`.
    pub fn capacity_octets(mut self, octets: u64) -> RedisStream {
        self.set().capacity_octets = Some(octets);
        self
    }

    /// Certificates for a `rediss://` URL. Default: those that the system trusts.
    #[cfg(feature = "_tls")]
    pub fn tls(mut self, tls: RedisTls) -> RedisStream {
        self.set().server.set_tls(tls);
        self
    }

    /// How long connecting may take in total, including name resolution, TLS and login. Default: 5 s; minimum: 1 ms.
    pub fn connect_timeout(mut self, timeout: Duration) -> RedisStream {
        self.set().server.connect_timeout = timeout.max(Duration::from_millis(1));
        self
    }

    /// How long Redis may be silent while it reads and while it answers. Then the client gets `451 4.3.0`, and the
    /// connection is closed, so that a late answer is not taken for the next one. Default: 30 s; minimum: 1 ms.
    pub fn response_timeout(mut self, timeout: Duration) -> RedisStream {
        self.set().server.response_timeout = timeout.max(Duration::from_millis(1));
        self
    }

    /// Accepts a message only when this many replicas have it too; after the timeout the client gets `451 4.3.0`. The timeout is at
    /// most 60 s. Default: 0 replicas, so it does not wait.
    ///
    /// The message is first added to another key, the stream's followed by `:unconfirmed`, and moved into the stream in one step once
    /// the replicas have it. So no worker sees a message that was refused to its client. If too few replicas answered the last
    /// time, they are counted before anything is added. This writes each message twice. If the server is killed in between, or a
    /// failover loses the move of an acknowledged message, a worker or another server moves the entry after five minutes.
    /// A refused message is delivered only if the connection breaks before the entry can be removed, and stays broken for these
    /// five minutes.
    ///
    /// The replicas then have it in memory, and on disk only if they flush as well. A failover may still choose a
    /// replica that does not have it: see [`scaling_out`](crate::guide::scaling_out).
    pub fn wait_replicas(mut self, replicas: usize, timeout: Duration) -> RedisStream {
        let timeout = timeout.min(MAX_REPLICATION);
        self.set().replicas = Some((replicas, timeout)).filter(|(replicas, _)| *replicas > 0);
        self
    }

    /// Makes an envelope of an entry's fields, in any order. A worker can give it to a handler such as
    /// [`Maildir`](super::Maildir) or [`Proxy`](super::Proxy); [`RedisWorker`] is one that does.
    ///
    /// Everything is as it was received, except [`values`](Envelope::values), the [`transcript`](Envelope::transcript)
    /// and the channel bindings of TLS, which are not in the stream. Unknown fields are ignored.
    ///
    /// # Errors
    /// [`RedisEntryError`], with the field's name, if a field is missing or no server could have received it. So
    /// anybody who can write to the stream cannot put a line into a header or a path into a file's name.
    pub fn read<N, V>(fields: impl IntoIterator<Item = (N, V)>) -> Result<Envelope, RedisEntryError>
    where
        N: AsRef<[u8]>,
        V: Into<Vec<u8>>,
    {
        entry::read(fields)
    }

    /// The fields of an entry with this message, the content last, as [`read`](RedisStream::read) takes them and as
    /// [`entry_format`](crate::guide::entry_format) documents them. A handler for another broker can carry them, so that
    /// programs that read either need to know one format. `examples/nats/` is such a handler.
    ///
    /// # Errors
    /// If the content was spooled and cannot be read;
    /// [`InvalidData`](std::io::ErrorKind::InvalidData) if an [`Authenticator`](crate::Authenticator) has made an identity that is
    /// empty, too long or has control characters, which no reader would take.
    ///
    /// ```
    /// use pillarbox::Envelope;
    /// use pillarbox::handlers::RedisStream;
    ///
    /// let mail = Envelope::builder().recipient("bob@example.org").content("Subject: hello\r\n\r\nHello!\r\n").build()?;
    /// let entry = RedisStream::entry(&mail)?;
    /// assert_eq!(entry[0], ("version", b"1".to_vec()));
    /// let same = RedisStream::read(entry)?;
    /// assert_eq!((same.id(), same.bytes()?), (mail.id(), mail.bytes()?));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn entry(mail: &Envelope) -> std::io::Result<Vec<(&'static str, Vec<u8>)>> {
        entry::entry(mail)
    }

    /// Asks Redis whether it would take a message now, for a readiness check. It connects if necessary, adds nothing, and takes at
    /// most [`connect_timeout`](RedisStream::connect_timeout) and [`response_timeout`](RedisStream::response_timeout).
    /// On `Err`, clients are refused at MAIL from then on, and Redis is asked each second until it takes messages again.
    ///
    /// # Errors
    /// [`RedisFault`], with advice.
    pub fn check(&self) -> Result<(), RedisFault> {
        let probed = self.shared.probe(&self.settings, &|| self.to_string());
        probed.map_err(|error| {
            self.shared.fails(&error, &self.settings, &|| self.to_string());
            RedisFault(error)
        })
    }

    /// Asks Redis how large the stream is. It connects if need be, and takes at most
    /// [`connect_timeout`](RedisStream::connect_timeout) and [`response_timeout`](RedisStream::response_timeout).
    ///
    /// # Errors
    /// [`RedisFault`], with what to do about it.
    pub fn stats(&self) -> Result<RedisStreamStats, RedisFault> {
        let (entries, octets) = self.shared.links.stats(&self.settings).map_err(RedisFault)?;
        Ok(RedisStreamStats { entries, octets })
    }

    fn set(&mut self) -> &mut Settings {
        let settings = Arc::make_mut(&mut self.settings);
        settings.add = OnceLock::new();
        settings
    }

    fn add(&self, mail: &Envelope) -> Result<(), AddError> {
        self.shared.links.add(&self.settings, mail)
    }
}

/// How large a stream is: see [`RedisStream::stats`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct RedisStreamStats {
    /// Entries in the stream, including those that workers have taken and not yet deleted.
    pub entries: u64,
    /// What the stream takes of Redis's memory, in octets; an estimate by Redis, 0 without the right to `MEMORY USAGE`.
    pub octets: u64,
}

impl Answer for RedisStream {
    fn answer(&self, mail: &Envelope) -> Response {
        match self.add(mail) {
            Ok(()) => {
                self.shared.works(&|| self.to_string());
                Reply::ok()
            }
            Err(e) => {
                self.shared.fails(&e, &self.settings, &|| self.to_string());
                if e.is_lack_of_room() { Reply::NO_STORAGE } else { Reply::NOT_STORED }
            }
        }
        .into()
    }
}

impl Handler for RedisStream {
    fn process_message(&mut self, mail: Envelope) -> Response {
        self.answer(&mail)
    }

    fn process_delivery(&mut self, delivery: Delivery) {
        self.senders.process(self.clone(), delivery);
    }

    /// Refuses mail before its content while Redis takes none.
    fn session(&self) -> Option<SessionFactory> {
        Some(condition::gate(&self.shared))
    }
}

impl Display for RedisStream {
    /// The stream and its server, without user and password.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "the stream {} at {}", Escaped::new(self.settings.key.as_bytes()), self.settings.server)
    }
}

impl Debug for RedisStream {
    /// Without user and password.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Settings { server, key, capacity, capacity_octets, replicas, add: _ } = &*self.settings;
        f.debug_struct("RedisStream")
            .field("at", &server.place())
            .field("key", key)
            .field("capacity", capacity)
            .field("capacity_octets", capacity_octets)
            .field("connect_timeout", &server.connect_timeout)
            .field("response_timeout", &server.response_timeout)
            .field("replicas", replicas)
            .finish_non_exhaustive()
    }
}
