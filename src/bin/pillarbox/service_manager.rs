//! What systemd is told of the server's life: sd_notify(3). Without systemd nobody is told.

#[cfg(unix)]
mod socket {
    use std::io;
    use std::thread;
    use std::time::Duration;

    use pillarbox::ServerHandle;
    use sd_notify::NotifyState;

    /// The server listens.
    pub fn is_ready() {
        tell(&[NotifyState::Ready]);
    }

    /// A shutdown begins.
    pub fn is_stopping() {
        tell(&[NotifyState::Stopping]);
    }

    /// Reads what is read again on SIGHUP, between the words that systemd waits for (`Type=notify-reload`).
    pub fn reload(read_again: impl FnOnce()) {
        // When it began tells a reload from one before. There is always such a clock.
        if let Ok(now) = NotifyState::monotonic_usec_now() {
            tell(&[NotifyState::Reloading, now]);
        }
        read_again();
        tell(&[NotifyState::Ready]);
    }

    /// Tells systemd's watchdog, twice in its time, that the server works, for as long as it does.
    pub fn watch(server: ServerHandle) -> io::Result<()> {
        let Some(time) = sd_notify::watchdog_enabled().filter(|time| *time >= Duration::from_micros(2)) else {
            return Ok(());
        };
        let watch = move || {
            loop {
                match server.is_responsive() {
                    true => tell(&[NotifyState::Watchdog]),
                    false => {
                        log::error!("a listener or a handler does not come round: systemd is not told that all is well")
                    }
                }
                thread::sleep(time / 2);
            }
        };
        thread::Builder::new().name("watchdog".to_owned()).spawn(watch).map(drop)
    }

    fn tell(state: &[NotifyState]) {
        if let Err(e) = sd_notify::notify(state) {
            log::warn!("cannot tell systemd: {e}");
        }
    }
}

#[cfg(unix)]
pub use socket::*;

#[cfg(not(unix))]
mod nobody {
    use std::io;

    use pillarbox::ServerHandle;

    pub fn is_ready() {}

    pub fn is_stopping() {}

    pub fn reload(read_again: impl FnOnce()) {
        read_again();
    }

    pub fn watch(_: ServerHandle) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(not(unix))]
pub use nobody::*;
