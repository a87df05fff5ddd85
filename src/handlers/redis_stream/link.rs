//! Connections to Redis, and what is asked over them.

use std::fmt::{self, Display, Formatter};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::bounded;
use parking_lot::Mutex;
use redis::{Cmd, ConnectionLike, ErrorKind, RedisError, RedisResult, Value};

use super::settings::Settings;

/// After which a connection is asked whether it still is one: what has been asked of it before cannot be asked again, since
/// nobody knows whether it was done.
const FRESH: Duration = Duration::from_secs(1);

/// Threads that may be connecting. One whose time is over stays until the system gives it up.
const MAX_CONNECTING: usize = 64;

const NO_PASSWORD: &str = "Redis wants a password: it belongs into the URL";
const BAD_PASSWORD: &str = "Redis does not know the user and password of the URL";

/// Adds an entry unless there are too many, in one step, whoever else does so. It has no other way to fail once the entry
/// is there.
pub(super) const ADD: &[u8] = b"if redis.call('XLEN', KEYS[1]) >= tonumber(ARGV[1]) then return false end \
                                return redis.call('XADD', KEYS[1], '*', unpack(ARGV, 2))";

/// Why a message is not, or may not be, in the stream.
#[derive(Debug)]
pub(super) enum AddError {
    /// The stream has as many entries as it may.
    Full,
    /// Redis said no: nothing was done.
    Refused(RedisError),
    /// There was no connection: nothing was done.
    Unconnected(RedisError),
    /// There was no answer that can be understood. It may have been done.
    Unanswered(RedisError),
    /// Not enough replicas have it. It was taken out again, unless a worker was faster.
    Unreplicated(String),
    /// The message could not be read.
    Unreadable(io::Error),
}

impl AddError {
    /// What Redis's errors say by their first word, or in the middle of what a script's failure says.
    fn says(&self, code: &str) -> bool {
        let (AddError::Refused(e) | AddError::Unconnected(e)) = self else { return false };
        e.code() == Some(code) || e.detail().is_some_and(|detail| detail.contains(code))
    }

    /// Whether there is no room, where another connection would not help.
    pub fn is_lack_of_room(&self) -> bool {
        matches!(self, AddError::Full) || self.says("OOM")
    }

    /// Whether this server is the wrong one: after a failover an old connection still leads to it.
    fn leads_elsewhere(&self) -> bool {
        ["READONLY", "MASTERDOWN", "MOVED", "CLUSTERDOWN"].iter().any(|code| self.says(code))
    }

    /// Whether the next answer on the same connection will be the next question's. Behind a protocol error Redis closes.
    fn leaves_in_step(&self) -> bool {
        matches!(self, AddError::Full | AddError::Refused(_)) && !self.leads_elsewhere() && !self.says("Protocol error")
    }

    /// What whoever runs it can do about it. Different troubles have different advice.
    pub fn advice(&self) -> &'static str {
        let by_code = [
            ("OOM", "Redis is at its maxmemory: workers have to take messages off, or it has to be raised"),
            ("READONLY", "this Redis is a replica: the URL has to lead to the primary"),
            ("MISCONF", "Redis cannot write to its disk: its log says why"),
            ("LOADING", "Redis has started and loads its data: this passes"),
            ("NOREPLICAS", "Redis misses the replicas that its min-replicas-to-write asks for"),
            ("MASTERDOWN", "this Redis is a replica without its primary"),
            ("NOPERM", "the user needs the right to EVAL, XLEN, XADD, XDEL, WAIT and PING, and to the stream's key"),
            ("NOAUTH", NO_PASSWORD),
            // Whom it does not know it lets have ten arguments.
            ("unauthenticated", NO_PASSWORD),
            ("WRONGPASS", BAD_PASSWORD),
            (
                "MOVED",
                "this node of a Redis Cluster does not have the stream: the URL has to lead to the one that does",
            ),
            ("CLUSTERDOWN", "the Redis Cluster does not serve this stream now"),
            ("WRONGTYPE", "the key holds something else: the stream has to have another"),
        ];
        if let Some((_, advice)) = by_code.into_iter().find(|(code, _)| self.says(code)) {
            return advice;
        }
        match self {
            AddError::Full => "the stream is full: workers have to take messages off, or its capacity has to be raised",
            AddError::Refused(_) => "Redis refuses it",
            AddError::Unconnected(e) if e.kind() == ErrorKind::AuthenticationFailed => BAD_PASSWORD,
            AddError::Unconnected(_) => "there is no connection to Redis: it has to run, and to listen there",
            AddError::Unanswered(_) => "Redis does not answer: it hangs, is overloaded, or was stopped",
            AddError::Unreplicated(_) => "replicas are down or slow",
            AddError::Unreadable(_) => "what was spooled cannot be read",
        }
    }
}

impl Display for AddError {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            AddError::Full => f.write_str("no room"),
            AddError::Refused(e) | AddError::Unconnected(e) | AddError::Unanswered(e) => Display::fmt(e, f),
            AddError::Unreplicated(why) => f.write_str(why),
            AddError::Unreadable(e) => Display::fmt(e, f),
        }
    }
}

/// The connections that nobody uses now, and the making of new ones.
#[derive(Default)]
pub(super) struct Links {
    idle: Mutex<Vec<Link>>,
    connecting: Arc<AtomicUsize>,
}

struct Link {
    connection: redis::Connection,
    used_at: Instant,
}

impl Links {
    /// Puts a message, as a command that [`ADD`]s it, into the stream.
    pub fn add(&self, settings: &Settings, command: &[u8]) -> Result<(), AddError> {
        if let Some(mut link) = self.living(settings) {
            match link.add(settings, command) {
                // Certainly not done, as it says itself.
                Err(trouble) if trouble.leads_elsewhere() => self.idle.lock().clear(),
                outcome => return self.keep(link, outcome),
            }
        }
        let mut link = self.connect(settings)?;
        let outcome = link.add(settings, command);
        self.keep(link, outcome)
    }

    /// A connection that has nothing to do, if there is one that is more than a memory. It is asked at most once: where
    /// one is dead the others hardly live.
    fn living(&self, settings: &Settings) -> Option<Link> {
        let mut link = self.idle.lock().pop()?;
        if link.used_at.elapsed() < FRESH || link.is_alive(settings) {
            return Some(link);
        }
        self.idle.lock().clear();
        None
    }

    /// Keeps the connection unless an answer may still be under way on it: that would be taken for the next message's.
    fn keep(&self, mut link: Link, outcome: Result<(), AddError>) -> Result<(), AddError> {
        if outcome.as_ref().err().is_none_or(AddError::leaves_in_step) {
            link.used_at = Instant::now();
            self.idle.lock().push(link);
        }
        outcome
    }

    /// Connects on a thread of its own: neither looking up a name nor a TLS handshake has a limit in time.
    fn connect(&self, settings: &Settings) -> Result<Link, AddError> {
        let failed = |e: io::Error| AddError::Unconnected(e.into());
        let attempt = Attempt(self.connecting.clone());
        if self.connecting.fetch_add(1, Ordering::Relaxed) >= MAX_CONNECTING {
            return Err(failed(io::Error::other("too many attempts to connect are under way")));
        }
        let (client, timeout) = (settings.client.clone(), settings.connect_timeout);
        let (done, outcome) = bounded(1);
        let connect = move || {
            let connected = client.get_connection_with_timeout(timeout);
            drop(attempt);
            // Nobody may wait for it any more.
            let _ = done.send(connected);
        };
        thread::Builder::new().name("pillarbox redis".to_owned()).spawn(connect).map_err(failed)?;
        let connection = match outcome.recv_timeout(timeout) {
            Ok(connected) => connected.map_err(AddError::Unconnected)?,
            Err(_) => return Err(failed(io::ErrorKind::TimedOut.into())),
        };
        let link = Link { connection, used_at: Instant::now() };
        let limited = link.connection.set_write_timeout(Some(settings.response_timeout));
        limited.and_then(|()| link.limit(settings.response_timeout)).map_err(AddError::Unconnected)?;
        Ok(link)
    }
}

/// One of the threads that are connecting.
struct Attempt(Arc<AtomicUsize>);

impl Drop for Attempt {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Link {
    fn add(&mut self, settings: &Settings, command: &[u8]) -> Result<(), AddError> {
        let entry = match self.answer(command)? {
            Value::Nil => return Err(AddError::Full),
            Value::BulkString(entry) => entry,
            _ => return Err(AddError::Unanswered((ErrorKind::UnexpectedReturnType, "an odd answer to XADD").into())),
        };
        let Some((replicas, timeout)) = settings.replicas else { return Ok(()) };
        self.wait(settings, replicas, timeout).inspect_err(|trouble| {
            log::debug!("{trouble}: the entry is taken out again");
            // The client will send it again: it should not be there twice, though that is better than never.
            let _ = self.ask(redis::cmd("XDEL").arg(&settings.key).arg(entry));
        })
    }

    /// Waits until replicas have what was written before.
    fn wait(&mut self, settings: &Settings, replicas: usize, timeout: Duration) -> Result<(), AddError> {
        let millis = timeout.as_millis().max(1);
        self.limit(settings.response_timeout.saturating_add(timeout)).map_err(AddError::Unanswered)?;
        let answer = self.ask(redis::cmd("WAIT").arg(replicas).arg(millis.to_string()));
        self.limit(settings.response_timeout).map_err(AddError::Unanswered)?;
        match answer {
            Ok(Value::Int(got)) if usize::try_from(got).is_ok_and(|got| got >= replicas) => Ok(()),
            Ok(Value::Int(got)) => Err(AddError::Unreplicated(format!("{got} of {replicas} replicas have it"))),
            Ok(_) => Err(AddError::Unanswered((ErrorKind::UnexpectedReturnType, "an odd answer to WAIT").into())),
            Err(AddError::Refused(e)) => Err(AddError::Unreplicated(e.to_string())),
            Err(trouble) => Err(trouble),
        }
    }

    /// How long an answer may take.
    fn limit(&self, timeout: Duration) -> RedisResult<()> {
        self.connection.set_read_timeout(Some(timeout))
    }

    /// Whether it can be used, as far as can be known. It has no more time for that than a new one would.
    fn is_alive(&mut self, settings: &Settings) -> bool {
        self.limit(settings.connect_timeout).is_ok()
            && self.ask(&redis::cmd("PING")).is_ok()
            && self.limit(settings.response_timeout).is_ok()
    }

    fn ask(&mut self, command: &Cmd) -> Result<Value, AddError> {
        self.answer(&command.get_packed_command())
    }

    fn answer(&mut self, command: &[u8]) -> Result<Value, AddError> {
        let value = self.connection.req_packed_command(command).map_err(AddError::Unanswered)?;
        value.extract_error().map_err(AddError::Refused)
    }
}
