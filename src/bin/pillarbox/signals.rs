//! Signals: what ends the process, and what has it read its files again.

use std::io;
use std::sync::mpsc::{Receiver, channel};
#[cfg(unix)]
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

#[cfg(unix)]
use pillarbox::handlers;
use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGTERM, SIGXFSZ};
use signal_hook::iterator::Signals;

use crate::service_manager;

/// How long messages in progress may take when a signal ends the process.
pub const GRACE: Duration = Duration::from_secs(15);

/// The programs that are run for messages, for whoever ends the process.
#[cfg(unix)]
static PROGRAMS: Mutex<Option<handlers::Pipe>> = Mutex::new(None);

#[cfg(unix)]
pub fn lock_programs() -> MutexGuard<'static, Option<handlers::Pipe>> {
    PROGRAMS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Takes the signals from now on. Without anything to read again SIGHUP ends the process, as it does by default.
pub fn take(has_files: bool) -> io::Result<Signals> {
    let renewal = has_files.then_some(SIGHUP);
    Signals::new([SIGINT, SIGTERM, SIGXFSZ, SIGCHLD].into_iter().chain(renewal))
}

/// SIGHUP has `renew` called; the first SIGINT or SIGTERM is passed on, and a second one ends the process.
///
/// # Errors
/// If there is no thread.
pub fn heed(mut signals: Signals, mut renew: impl FnMut() + Send + 'static) -> io::Result<Receiver<()>> {
    let (sender, end) = channel();
    let wait = move || {
        let mut is_ending = false;
        for signal in signals.forever() {
            match signal {
                SIGHUP => service_manager::reload(&mut renew),
                // A file over the limit (ulimit -f): a message that cannot be stored, and no reason to end.
                SIGXFSZ => {}
                // A program has ended. Were the signal ignored, as a parent may have it, nobody would learn with which status.
                SIGCHLD => {}
                _ if is_ending => {
                    // Locked to the end: nobody else ends the process meanwhile, and says that all is well.
                    #[cfg(unix)]
                    let programs = lock_programs();
                    #[cfg(unix)]
                    programs.iter().for_each(handlers::Pipe::stop);
                    std::process::exit(1)
                }
                _ => {
                    is_ending = true;
                    // The receiver waits for this.
                    let _ = sender.send(());
                }
            }
        }
    };
    std::thread::Builder::new().spawn(wait)?;
    Ok(end)
}
