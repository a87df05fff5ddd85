//! How many connections the process has file descriptors for.

/// File descriptors that are needed for other things than connections.
const SPARE_DESCRIPTORS: u64 = 32;

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

#[cfg(not(unix))]
pub fn possible_connections(wanted: usize, _: u64) -> usize {
    wanted
}
