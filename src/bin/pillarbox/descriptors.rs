//! How many connections the process has file descriptors for.

/// File descriptors that are needed for other things than connections.
const SPARE_DESCRIPTORS: u64 = 32;

/// As many connections as were asked for, or as the process may have descriptors for.
#[cfg(unix)]
pub fn possible_connections(wanted: usize) -> usize {
    use nix::sys::resource::{Resource, getrlimit};
    let Ok((descriptors, _)) = getrlimit(Resource::RLIMIT_NOFILE) else { return wanted };
    let possible = usize::try_from(descriptors.saturating_sub(SPARE_DESCRIPTORS).max(1)).unwrap_or(usize::MAX);
    if wanted > possible {
        log::warn!("only {descriptors} file descriptors allowed (ulimit -n): at most {possible} connections");
    }
    wanted.min(possible)
}

#[cfg(not(unix))]
pub fn possible_connections(wanted: usize) -> usize {
    wanted
}
