//! The class RedisStream: the stream, its certificates, and whether messages can go there.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use clap::error::ErrorKind;
use pillarbox::ServerHandle;
use pillarbox::handlers::{RedisStream, RedisStreamStats, RedisTls};

use crate::causes::chain;
use crate::metrics::Watched;
use crate::options::{RedisOptions, RedisPlace};

/// How long replicas may take to have a message.
const REPLICAS_TIME: Duration = Duration::from_secs(5);

/// How often Redis is asked whether it takes messages, for those who watch the server.
const CHECK_EVERY: Duration = Duration::from_secs(2);

/// How old an answer to that may be: a Redis that hangs gives none.
const CHECK_TIME: Duration = Duration::from_secs(10);

/// Why the words of the command line cannot be used, or what they lead to.
pub enum Trouble {
    Usage(ErrorKind, String),
    File(String),
}

impl From<(ErrorKind, String)> for Trouble {
    fn from((kind, problem): (ErrorKind, String)) -> Trouble {
        Trouble::Usage(kind, problem)
    }
}

/// What the class puts messages into.
pub fn stream(options: &RedisOptions) -> Result<(RedisStream, Option<RedisTls>), Trouble> {
    let url = options.place.url("-c RedisStream")?;
    // It does not repeat the URL, which may have a password.
    let stream = RedisStream::new(url).map_err(|e| Trouble::Usage(ErrorKind::ValueValidation, invalid_url(&e)))?;
    let mut stream = stream.stream(&options.place.stream).capacity(options.stream_length as u64);
    if let Some(octets) = options.stream_octets {
        stream = stream.capacity_octets(octets as u64);
    }
    if let Some(replicas) = options.wait_replicas {
        stream = stream.wait_replicas(replicas, REPLICAS_TIME);
    }
    let tls = tls(&options.place)?;
    if let Some(tls) = &tls {
        stream = stream.tls(tls.clone());
    }
    Ok((stream, tls))
}

/// Asks once whether Redis takes messages, without waiting for it: if something is wrong, the log says so before the first
/// message comes.
///
/// # Errors
/// If there is no thread.
pub fn check(stream: RedisStream) -> io::Result<()> {
    let check = move || {
        // The stream itself logs it.
        let _ = stream.check();
    };
    thread::Builder::new().name("redis check".to_owned()).spawn(check).map(drop)
}

pub fn invalid_url(error: &pillarbox::handlers::RedisUrlError) -> String {
    format!("invalid URL in --redis: {error}; expected redis://[[USER:]PASSWORD@]HOST[:PORT][/DATABASE]")
}

/// What is trusted and shown within TLS, if there are files for it.
pub fn tls(place: &RedisPlace) -> Result<Option<RedisTls>, Trouble> {
    let read = |file: &Path| fs::read(file).map_err(|e| Trouble::File(format!("cannot read {}: {e}", file.display())));
    let mut tls = None;
    if let Some(file) = &place.redis_ca {
        let made = RedisTls::new().roots(read(file)?);
        tls = Some(made.map_err(|e| Trouble::File(format!("{}: {}", file.display(), chain(&e))))?);
    }
    if let (Some(file), Some(key)) = (&place.redis_cert, &place.redis_key) {
        let made = tls.unwrap_or_default().certificate(read(file)?, read(key)?);
        let made = made.map_err(|e| Trouble::File(format!("{} and {}: {}", file.display(), key.display(), chain(&e))));
        tls = Some(made?);
    }
    Ok(tls)
}

/// Reads the files again; what cannot be used stays as it was.
pub fn renew(current: &RedisTls, place: &RedisPlace) {
    match tls(place) {
        Ok(new) => current.replace(new.unwrap_or_default()),
        Err(Trouble::Usage(_, problem) | Trouble::File(problem)) => {
            log::error!("the certificates for Redis stay as they were: {problem}");
        }
    }
}

/// A server whose messages go to a stream.
pub struct Receiver {
    server: ServerHandle,
    checked: Arc<Mutex<Option<Checked>>>,
}

/// When Redis last answered, whether it takes messages, and how large the stream is.
struct Checked {
    at: Instant,
    is_ready: bool,
    stats: Option<RedisStreamStats>,
}

impl Receiver {
    /// Asks Redis again and again, for as long as the process lives. What is wrong is logged by the stream itself.
    ///
    /// # Errors
    /// If there is no thread.
    pub fn watch(server: ServerHandle, stream: RedisStream) -> io::Result<Receiver> {
        let checked = Arc::new(Mutex::new(None));
        let noted = checked.clone();
        let check = move || {
            loop {
                let is_ready = stream.check().is_ok();
                let stats = stream.stats().ok();
                let checked = Checked { at: Instant::now(), is_ready, stats };
                noted.lock().unwrap_or_else(PoisonError::into_inner).replace(checked);
                thread::sleep(CHECK_EVERY);
            }
        };
        thread::Builder::new().name("redis check".to_owned()).spawn(check)?;
        Ok(Receiver { server, checked })
    }

    fn is_ready(&self) -> bool {
        let checked = self.checked.lock().unwrap_or_else(PoisonError::into_inner);
        checked.as_ref().is_some_and(|checked| checked.is_ready && checked.at.elapsed() < CHECK_TIME)
    }

    /// A server's numbers with those of Redis.
    fn with_redis(&self, numbers: &str) -> String {
        let (numbers, end) = numbers.strip_suffix("# EOF\n").map_or((numbers, ""), |numbers| (numbers, "# EOF\n"));
        let is_openmetrics = !end.is_empty();
        let mut text = numbers.to_owned();
        let mut gauge = |name: &str, unit: &str, help: &str, value: u64| {
            text += &format!("# TYPE {name} gauge\n");
            if is_openmetrics && !unit.is_empty() {
                text += &format!("# UNIT {name} {unit}\n");
            }
            text += &format!("# HELP {name} {help}\n{name} {value}\n");
        };
        gauge("pillarbox_redis_up", "", "1 while Redis takes messages, else 0.", self.is_ready().into());
        let stats = self.checked.lock().unwrap_or_else(PoisonError::into_inner).as_ref().and_then(|last| last.stats);
        // Of a Redis that is away nobody knows.
        if let Some(RedisStreamStats { entries, octets, .. }) = stats {
            gauge("pillarbox_stream_entries", "", "Entries in the stream.", entries);
            gauge("pillarbox_stream_bytes", "bytes", "Redis's memory that the stream takes.", octets);
        }
        text + end
    }
}

impl Watched for Receiver {
    fn openmetrics(&self) -> String {
        self.with_redis(&self.server.stats().openmetrics())
    }

    fn prometheus(&self) -> String {
        self.with_redis(&self.server.stats().prometheus())
    }

    fn is_responsive(&self) -> bool {
        self.server.is_responsive()
    }

    fn unready(&self) -> Option<&'static str> {
        self.server.unready().or_else(|| (!self.is_ready()).then_some("Redis takes no messages\n"))
    }
}
