//! A worker's state while it runs: its statistics, and how to stop it.

use std::collections::hash_map::RandomState;
use std::fmt::{self, Debug, Formatter};
use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;

/// What a worker and its handles share.
#[derive(Default)]
pub(super) struct Shared {
    stop: AtomicBool,
    is_connected: AtomicBool,
    pub delivered: AtomicU64,
    pub refused: AtomicU64,
    pub dead_lettered: AtomicU64,
    pub skipped: AtomicU64,
    pub in_flight: AtomicU64,
    stream: Mutex<StreamStats>,
}

/// The state of the stream when Redis was last asked.
#[derive(Clone, Copy, Default)]
pub(super) struct StreamStats {
    pub length: u64,
    pub octets: u64,
    pub lag: Option<u64>,
    pub pending: u64,
    pub dead_letters: u64,
}

impl Shared {
    pub fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    pub fn set_connected(&self, is_connected: bool) {
        self.is_connected.store(is_connected, Ordering::Relaxed);
    }

    pub fn count(&self, counter: &AtomicU64, more: u64) {
        counter.fetch_add(more, Ordering::Relaxed);
    }

    pub fn set(&self, counter: &AtomicU64, number: usize) {
        counter.store(number as u64, Ordering::Relaxed);
    }

    pub fn set_stream(&self, stats: StreamStats) {
        *self.stream.lock() = stats;
    }
}

/// Stops a [`RedisWorker`](super::RedisWorker), and has its statistics. All clones act on the same worker.
#[derive(Clone)]
pub struct RedisWorkerHandle(pub(super) Arc<Shared>);

impl RedisWorkerHandle {
    /// Stops the worker: it takes no more messages, and [`run`](super::RedisWorker::run) returns once the handler has answered for
    /// those that it has, or the [`grace`](super::RedisWorker::grace) period is over. This does not wait. You can call it more than
    /// once, and from any thread.
    pub fn stop(&self) {
        self.0.stop.store(true, Ordering::Relaxed);
    }

    /// Whether the worker has been stopped.
    pub fn is_stopped(&self) -> bool {
        self.0.is_stopped()
    }

    /// Whether the worker runs and Redis answers it. Use it for a readiness check.
    pub fn is_ready(&self) -> bool {
        self.0.is_connected.load(Ordering::Relaxed) && !self.is_stopped()
    }

    /// The worker's counters, and the state of the stream. This does not ask Redis: while the worker is connected, it asks every 2 s.
    pub fn stats(&self) -> RedisWorkerStats {
        let stream = *self.0.stream.lock();
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        RedisWorkerStats {
            delivered: count(&self.0.delivered),
            refused: count(&self.0.refused),
            dead_lettered: count(&self.0.dead_lettered),
            skipped: count(&self.0.skipped),
            in_flight: count(&self.0.in_flight),
            stream_length: stream.length,
            stream_octets: stream.octets,
            lag: stream.lag,
            pending: stream.pending,
            dead_letters: stream.dead_letters,
            is_connected: self.0.is_connected.load(Ordering::Relaxed),
        }
    }
}

impl Debug for RedisWorkerHandle {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisWorkerHandle").field("stats", &self.stats()).finish_non_exhaustive()
    }
}

/// The counters of a [`RedisWorker`](super::RedisWorker) since it was made, and the state of its stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct RedisWorkerStats {
    /// Messages that the handler has accepted for all of their recipients, and that are deleted from the stream.
    pub delivered: u64,
    /// Attempts that the handler has refused for at least one recipient, with a 4xx or a 5xx.
    pub refused: u64,
    /// Entries that went to the dead letters for at least one recipient.
    pub dead_lettered: u64,
    /// Messages that were not handled again because they had been handled before: see [`once_for`](super::RedisWorker::once_for).
    pub skipped: u64,
    /// Messages that the handler has at the moment.
    pub in_flight: u64,
    /// Entries in the stream, of all workers.
    pub stream_length: u64,
    /// How much of Redis's memory the stream takes, in octets. Redis estimates it; 0 without the right to `MEMORY USAGE`.
    pub stream_octets: u64,
    /// Entries that no worker of the group has taken yet; `None` before Redis 7, and when Redis does not know.
    pub lag: Option<u64>,
    /// Entries that workers of the group have taken and not finished.
    pub pending: u64,
    /// Entries in the stream of dead letters.
    pub dead_letters: u64,
    /// Whether Redis answers.
    pub is_connected: bool,
}

/// A consumer's name that nobody else has.
pub(super) fn unique_name() -> String {
    let random = RandomState::new().build_hasher().finish() as u32;
    format!("{}.{}.{random:08x}", gethostname::gethostname().to_string_lossy(), std::process::id())
}
