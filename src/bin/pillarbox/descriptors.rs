//! How many connections the process has file descriptors for.

use crate::http::clients::MAX_CLIENTS;
use crate::web::MAX_WAITING;

/// File descriptors that are needed for other things than connections.
const SPARE_DESCRIPTORS: u64 = 32;

/// How many clients of the web inbox may always wait.
const MIN_WAITING: usize = 64;

/// The pipes of a program that runs, its end, and what is needed to start it.
#[cfg(unix)]
pub const OF_A_PROGRAM: u64 = 6;

/// As many connections as were asked for, or as the process may have descriptors for beside so many others.
#[cfg(unix)]
pub fn possible_connections(wanted: usize, others: u64) -> usize {
    use nix::sys::resource::{Resource, getrlimit};
    let Ok((descriptors, _)) = getrlimit(Resource::RLIMIT_NOFILE) else { return wanted };
    let possible = usize::try_from(descriptors.saturating_sub(SPARE_DESCRIPTORS.saturating_add(others)).max(1))
        .unwrap_or(usize::MAX);
    if wanted > possible {
        log::warn!("only {descriptors} file descriptors allowed (ulimit -n): at most {possible} connections");
    }
    wanted.min(possible)
}

/// How many clients of the web inbox may wait, beside so many connections and those clients that are answered at once. The
/// process allows itself as many descriptors as that needs, if it may.
#[cfg(unix)]
pub fn possible_waiting(connections: usize) -> usize {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let others = SPARE_DESCRIPTORS.saturating_add(connections as u64).saturating_add(MAX_CLIENTS as u64);
    let needed = others.saturating_add(MAX_WAITING as u64);
    let Ok((mut allowed, most)) = getrlimit(Resource::RLIMIT_NOFILE) else { return MAX_WAITING };
    if allowed < needed && setrlimit(Resource::RLIMIT_NOFILE, needed.min(most), most).is_ok() {
        allowed = needed.min(most);
    }
    usize::try_from(allowed.saturating_sub(others)).unwrap_or(MAX_WAITING).clamp(MIN_WAITING, MAX_WAITING)
}

#[cfg(not(unix))]
pub fn possible_waiting(_: usize) -> usize {
    MAX_WAITING
}

#[cfg(not(unix))]
pub fn possible_connections(wanted: usize, _: u64) -> usize {
    wanted
}
