//! A server that does not answer, and who waits for it meanwhile.

use std::sync::atomic::{AtomicBool, Ordering};

/// Whether a server was silent when it was last asked. While it is, one client at a time waits to see whether it still is;
/// the others are told at once that it does not answer. So it is known to be back as soon as it is, and nobody waits in a
/// row for a server that is not there.
#[derive(Default, Debug)]
pub(super) struct Silence {
    is_silent: AtomicBool,
    is_probed: AtomicBool,
}

/// The right to ask the server, until it is dropped.
pub(super) struct Turn<'a> {
    silence: &'a Silence,
    is_probe: bool,
}

impl Silence {
    /// None if somebody else is waiting for a server that was silent.
    pub fn turn(&self) -> Option<Turn<'_>> {
        if !self.is_silent.load(Ordering::Relaxed) {
            return Some(Turn { silence: self, is_probe: false });
        }
        let is_first = !self.is_probed.swap(true, Ordering::Acquire);
        is_first.then(|| Turn { silence: self, is_probe: true })
    }
}

impl Turn<'_> {
    /// The server has answered, or has let the time for that pass.
    pub fn note(&self, is_silent: bool) {
        self.silence.is_silent.store(is_silent, Ordering::Relaxed);
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if self.is_probe {
            self.silence.is_probed.store(false, Ordering::Release);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_at_a_time_waits_for_a_silent_server() {
        let silence = Silence::default();
        let (one, two) = (silence.turn().unwrap(), silence.turn().unwrap());
        one.note(true);
        drop((one, two));
        let probe = silence.turn().unwrap();
        assert!(silence.turn().is_none() && silence.turn().is_none());
        probe.note(true);
        drop(probe);
        let probe = silence.turn().unwrap();
        probe.note(false);
        assert!(silence.turn().is_some());
        drop(probe);
        assert!(silence.turn().is_some() && silence.turn().is_some());
    }
}
