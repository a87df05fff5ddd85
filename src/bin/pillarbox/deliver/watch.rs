//! What those ask who watch a worker.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use pillarbox::handlers::{RedisWorkerHandle, RedisWorkerStats};

use crate::metrics::Watched;

/// As long as the server's handlers may have a message before they count as hanging.
const HANGING: Duration = Duration::from_secs(20 * 60);

pub struct Watch {
    worker: RedisWorkerHandle,
    progress: Mutex<Progress>,
}

/// How much was done, and since when it has been no more.
struct Progress {
    done: u64,
    since: Instant,
}

impl Watch {
    pub fn new(worker: RedisWorkerHandle) -> Watch {
        Watch { worker, progress: Mutex::new(Progress { done: 0, since: Instant::now() }) }
    }
}

impl Watched for Watch {
    fn openmetrics(&self) -> String {
        self.worker.stats().openmetrics()
    }

    fn prometheus(&self) -> String {
        self.worker.stats().prometheus()
    }

    /// Not if there are messages and nothing comes of any.
    fn is_responsive(&self) -> bool {
        let RedisWorkerStats { delivered, refused, dead_lettered, skipped, in_flight, .. } = self.worker.stats();
        let done = delivered + refused + dead_lettered + skipped;
        let mut progress = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
        if in_flight == 0 || done != progress.done {
            *progress = Progress { done, since: Instant::now() };
        }
        progress.since.elapsed() < HANGING
    }

    fn unready(&self) -> Option<&'static str> {
        match (self.worker.is_stopped(), self.worker.is_ready()) {
            (true, _) => Some("shutting down\n"),
            (false, false) => Some("there is no connection to Redis\n"),
            (false, true) => None,
        }
    }
}
