//! What the library logs in this process, of all tests: a test knows its lines by what stands in them.

use std::sync::{Mutex, PoisonError};

use log::{LevelFilter, Log, Metadata, Record};

struct Collector;

static LINES: Mutex<Vec<String>> = Mutex::new(Vec::new());

impl Log for Collector {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let line = format!("{} {}", record.level(), record.args());
        LINES.lock().unwrap_or_else(PoisonError::into_inner).push(line);
    }

    fn flush(&self) {}
}

/// Collects from now on what is logged at this level and above it.
pub fn listen(level: LevelFilter) {
    // Another test may have been first, or may want more.
    let _ = log::set_logger(&Collector);
    log::set_max_level(log::max_level().max(level));
}

/// The lines so far that contain this, each behind its level.
pub fn lines(part: &str) -> Vec<String> {
    let lines = LINES.lock().unwrap_or_else(PoisonError::into_inner);
    lines.iter().filter(|line| line.contains(part)).cloned().collect()
}
