//! What systemd is told of the life of a server or a worker: sd_notify(3). Without systemd nobody is told.
//!
//! The protocol is a datagram of a few words. The crate sd-notify would send them too, but not to a socket in the abstract
//! namespace.

use std::io;

/// The server listens, or the worker works.
pub fn is_ready() {
    tell("READY=1");
}

/// A shutdown begins.
pub fn is_stopping() {
    tell("STOPPING=1");
}

/// Reads what is read again on SIGHUP, between the words that systemd waits for (`Type=notify-reload`).
pub fn reload(read_again: impl FnOnce()) {
    // When it began tells a reload from one before.
    tell(&format!("RELOADING=1\nMONOTONIC_USEC={}", monotonic_micros()));
    read_again();
    tell("READY=1");
}

/// Tells systemd's watchdog, twice in its time, that the process works, for as long as it is responsive.
///
/// # Errors
/// If there is no thread.
pub fn watch(is_responsive: impl Fn() -> bool + Send + 'static) -> io::Result<()> {
    #[cfg(unix)]
    if let Some(time) = socket::watchdog_time() {
        let watch = move || {
            loop {
                match is_responsive() {
                    true => tell("WATCHDOG=1"),
                    false => log::error!(
                        "a listener or a handler does not come round: the watchdog is not told that it does"
                    ),
                }
                std::thread::sleep(time / 2);
            }
        };
        return std::thread::Builder::new().name("watchdog".to_owned()).spawn(watch).map(drop);
    }
    drop(is_responsive);
    Ok(())
}

fn tell(words: &str) {
    #[cfg(unix)]
    if let Err(e) = socket::send(words) {
        log::warn!("cannot tell systemd {words:?}: {e}");
    }
    #[cfg(not(unix))]
    let _ = words;
}

#[cfg(unix)]
fn monotonic_micros() -> i128 {
    // There is always such a clock.
    let now = nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC);
    now.map_or(0, |now| i128::from(now.tv_sec()) * 1_000_000 + i128::from(now.tv_nsec()) / 1000)
}

#[cfg(not(unix))]
fn monotonic_micros() -> i128 {
    0
}

#[cfg(unix)]
mod socket {
    use std::env;
    use std::ffi::OsStr;
    use std::io;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::net::{SocketAddr, UnixDatagram};
    use std::time::Duration;

    /// Sends words to whoever started the process and wants to hear them.
    pub fn send(words: &str) -> io::Result<()> {
        let Some(at) = env::var_os("NOTIFY_SOCKET").filter(|at| !at.is_empty()) else { return Ok(()) };
        UnixDatagram::unbound()?.send_to_addr(words.as_bytes(), &address(&at)?).map(drop)
    }

    fn address(at: &OsStr) -> io::Result<SocketAddr> {
        match at.as_bytes().strip_prefix(b"@") {
            #[cfg(target_os = "linux")]
            Some(name) => <SocketAddr as std::os::linux::net::SocketAddrExt>::from_abstract_name(name),
            _ => SocketAddr::from_pathname(at),
        }
    }

    /// How long the watchdog waits, if there is one and it waits for this process: sd_watchdog_enabled(3).
    pub fn watchdog_time() -> Option<Duration> {
        let number = |name| env::var(name).ok()?.parse::<u64>().ok();
        let is_ours =
            env::var_os("WATCHDOG_PID").is_none() || number("WATCHDOG_PID") == Some(std::process::id().into());
        number("WATCHDOG_USEC").filter(|micros| is_ours && *micros > 1).map(Duration::from_micros)
    }
}
