//! Whether the stream takes messages now, as far as is known: for clients that are better told before they send a content.

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Weak};
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::fault::AddError;
use super::link::Links;
use super::settings::Settings;
use crate::session::{Context, Session, SessionFactory};
use crate::syntax::address::ReversePath;
use crate::syntax::parameter::MailParameters;
use crate::syntax::reply::Reply;

/// How often Redis is asked while messages are refused.
const PROBE_EVERY: Duration = Duration::from_secs(1);
/// What comes and goes with the same cause within this time is one outage to the log, unless it stays for [`LASTING`].
const FLAPPING: Duration = Duration::from_secs(60);
const LASTING: Duration = Duration::from_secs(10);

const OPEN: u8 = 0;
const NO_ROOM: u8 = 1;
const AWAY: u8 = 2;

/// What the clones of a handler have in common.
#[derive(Default)]
pub(super) struct Shared {
    pub links: Links,
    condition: AtomicU8,
    is_watched: AtomicBool,
    log: Mutex<Log>,
    // So that what works, which is nearly always, needs to look at no more.
    is_failing: AtomicBool,
}

impl Shared {
    /// A message was taken.
    pub fn works(&self, name: &dyn Fn() -> String) {
        if self.is_failing.load(Ordering::Relaxed) {
            self.is_failing.store(false, Ordering::Relaxed);
            self.condition.store(OPEN, Ordering::Relaxed);
            if self.log.lock().ends() {
                log::warn!("{} takes messages again", name());
            }
        }
    }

    /// A message was not taken.
    pub fn fails(self: &Arc<Self>, error: &AddError, settings: &Arc<Settings>, name: &dyn Fn() -> String) {
        self.tell(error, name);
        if matches!(error, AddError::Unreadable(_)) {
            return;
        }
        // Others may be about the one message; the watch will know.
        if matches!(error, AddError::Full) {
            self.condition.store(NO_ROOM, Ordering::Relaxed);
        }
        if !self.is_watched.swap(true, Ordering::Relaxed) {
            let (shared, settings, name) = (Arc::downgrade(self), settings.clone(), name());
            let watch = move || watch(&shared, &settings, &name);
            if thread::Builder::new().name("pillarbox redis".to_owned()).spawn(watch).is_err() {
                // Then each message tries.
                self.condition.store(OPEN, Ordering::Relaxed);
                self.is_watched.store(false, Ordering::Relaxed);
            }
        }
    }

    fn tell(&self, error: &AddError, name: &dyn Fn() -> String) {
        self.is_failing.store(true, Ordering::Relaxed);
        if self.log.lock().begins(error.cause(), Instant::now()) {
            let why = error.to_string();
            let why = crate::syntax::escaped::Escaped::new(why.as_bytes());
            log::error!("cannot put messages into {}: {why}; {}", name(), error.advice());
        }
    }

    fn refusal(&self) -> Option<Reply> {
        match self.condition.load(Ordering::Relaxed) {
            NO_ROOM => Some(Reply::NO_STORAGE),
            AWAY => Some(Reply::NOT_STORED),
            _ => None,
        }
    }

    /// Asks Redis whether it would take a message.
    pub fn probe(self: &Arc<Self>, settings: &Settings, name: &dyn Fn() -> String) -> Result<(), AddError> {
        let probed = self.links.probe(settings);
        match &probed {
            Ok(()) => self.works(name),
            Err(error) => {
                let condition = if error.is_lack_of_room() { NO_ROOM } else { AWAY };
                self.condition.store(condition, Ordering::Relaxed);
                self.tell(error, name);
            }
        }
        probed
    }
}

/// Asks Redis until it takes messages, or nobody has any more.
fn watch(shared: &Weak<Shared>, settings: &Settings, name: &str) {
    while let Some(shared) = shared.upgrade() {
        if shared.probe(settings, &|| name.to_owned()).is_ok() {
            shared.is_watched.store(false, Ordering::Relaxed);
            return;
        }
        drop(shared);
        thread::sleep(PROBE_EVERY);
    }
}

/// Refuses mail at MAIL and DATA while none can be taken.
struct Gate(Arc<Shared>);

impl Gate {
    fn pass(&self) -> Result<(), Reply> {
        self.0.refusal().map_or(Ok(()), Err)
    }
}

impl Session for Gate {
    fn mail(&mut self, _: &Context, _: &ReversePath, _: &MailParameters) -> Result<(), Reply> {
        self.pass()
    }

    fn data(&mut self, _: &Context) -> Result<(), Reply> {
        self.pass()
    }
}

pub(super) fn gate(shared: &Arc<Shared>) -> SessionFactory {
    let shared = shared.clone();
    SessionFactory::new(move |_| Gate(shared.clone()))
}

/// Which outages are told: one line when it begins and one when it ends, for what flaps one in a while.
#[derive(Default)]
struct Log {
    cause: Option<&'static str>,
    began: Option<Instant>,
    is_told: bool,
    told: Option<(&'static str, Instant)>,
}

impl Log {
    /// It fails. True if that is to be told.
    fn begins(&mut self, cause: &'static str, now: Instant) -> bool {
        if self.cause != Some(cause) {
            let flaps = self.told.is_some_and(|(told, at)| told == cause && now.duration_since(at) < FLAPPING);
            (self.cause, self.began, self.is_told) = (Some(cause), Some(now), self.is_told && flaps);
            if flaps {
                return false;
            }
        } else if self.is_told || self.began.is_none_or(|began| now.duration_since(began) < LASTING) {
            return false;
        }
        (self.is_told, self.told) = (true, Some((cause, now)));
        true
    }

    /// It works. True if that is to be told.
    fn ends(&mut self) -> bool {
        (self.cause, self.began) = (None, None);
        std::mem::take(&mut self.is_told)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_is_told_when_it_begins_and_when_it_ends() {
        let (mut log, now) = (Log::default(), Instant::now());
        assert!(!log.ends());
        assert_eq!([log.begins("full", now), log.begins("full", now)], [true, false]);
        assert!(log.begins("away", now));
        assert_eq!([log.ends(), log.ends()], [true, false]);
    }

    #[test]
    fn what_flaps_is_told_once_in_a_while_and_what_stays_always() {
        let (mut log, start) = (Log::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        assert!(log.begins("full", at(0)) && log.ends());
        for second in 1..30 {
            assert!(!log.begins("full", at(second)) && !log.ends(), "{second}");
        }
        // Another cause has a line of its own.
        assert!(log.begins("away", at(30)) && log.ends());
        assert!(log.begins("full", at(31)) && log.ends());
        assert!(!log.begins("full", at(40)) && !log.begins("full", at(49)));
        assert!(log.begins("full", at(50)) && !log.begins("full", at(51)) && log.ends());
        assert!(log.begins("full", at(111)) && log.ends());
    }
}
