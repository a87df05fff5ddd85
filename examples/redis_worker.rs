//! Takes messages off the Redis stream of `redis_server` and stores them in a Maildir.
//!
//! `cargo run --features redis --example redis_worker URL NAME MAILDIR [--stream KEY] [--take-over-after SECONDS]`
//!
//! Any number of workers may run, each with a NAME of its own, which it keeps when it is restarted. SIGTERM and SIGINT let it
//! finish what it has. The library's `RedisWorker` says what becomes of a message when one fails.

use std::error::Error;
use std::time::Duration;
use std::{io, thread};

use pillarbox::handlers::{Maildir, RedisWorker};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// Prints the library's warnings.
struct Stderr;

impl log::Log for Stderr {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        eprintln!("{}: {}", record.level(), record.args());
    }

    fn flush(&self) {}
}

fn main() -> Result<(), Box<dyn Error>> {
    log::set_logger(&Stderr).map_err(|e| e.to_string())?;
    log::set_max_level(log::LevelFilter::Warn);

    let usage = || io::Error::other("the URL of a Redis, a NAME, a MAILDIR, and options as the source has them");
    let mut arguments = std::env::args().skip(1);
    let mut next = || arguments.next().ok_or_else(usage);
    let mut worker = RedisWorker::new(&next()?)?.consumer(next()?);
    // A message may come twice; the Maildir recognizes it.
    let maildir = Maildir::create(next()?)?.once(true);
    while let Some(option) = arguments.next() {
        let value = arguments.next().ok_or_else(usage)?;
        worker = match option.as_str() {
            "--stream" => worker.stream(value),
            "--take-over-after" => worker.take_over_after(Duration::from_secs(value.parse()?)),
            _ => return Err(usage().into()),
        };
    }

    let (handle, mut signals) = (worker.handle(), Signals::new([SIGINT, SIGTERM])?);
    thread::spawn(move || signals.forever().for_each(|_| handle.stop()));
    worker.run(maildir);
    Ok(())
}
