//! Entries that a worker has had before: they are tried again, or taken over from another worker.

use std::time::{Duration, Instant};

use super::super::super::connection::Connection;
use super::super::super::fault::Fault;
use super::super::queue::Pending;
use super::super::record::{DeadLetter, is_refused};
use super::super::task::pause;
use super::{PAGE, Run, Walk};

/// How often all pending entries are looked at.
const WALK_EVERY: Duration = Duration::from_secs(1);
/// The shortest pause. Entries that were touched more recently are not looked at.
const YOUNGEST: Duration = Duration::from_secs(1);

impl Run<'_> {
    /// Looks for entries to take over, or to try again.
    pub(super) fn walk(&mut self, connection: &mut Connection) -> Result<(), Fault> {
        let now = Instant::now();
        if let Walk::Rest(until) = self.walk {
            if now < until {
                return Ok(());
            }
            self.walk = Walk::All("-".to_owned());
        }
        let room = self.room();
        if room == 0 || self.shared.is_stopped() {
            return Ok(());
        }
        let own = self.settings.consumer.as_str();
        let (page, is_first) = match &self.walk {
            Walk::Own(after) => {
                (self.recorder.queue.pending(connection, (after, Duration::ZERO, PAGE), Some(own))?, true)
            }
            Walk::All(after) => (self.recorder.queue.pending(connection, (after, YOUNGEST, PAGE), None)?, false),
            Walk::Rest(_) => return Ok(()),
        };
        let is_last = page.len() < PAGE;
        let mut last = None;
        let mut wanted = Vec::new();
        let mut given_up = Vec::new();
        for pending in page {
            if wanted.len() + given_up.len() >= room {
                break;
            }
            last = Some(pending.id.clone());
            let Some(idle) = self.due(&pending, is_first) else { continue };
            if pending.attempts >= self.settings.max_attempts {
                given_up.push((pending, idle));
            } else {
                wanted.push((pending, idle));
            }
        }
        let is_through = is_last && wanted.len() + given_up.len() < room;
        self.walk = match (is_through, is_first, last) {
            (true, true, _) => Walk::All("-".to_owned()),
            // Where many are pending it takes Redis some time.
            (true, false, _) => Walk::Rest(now + WALK_EVERY.max(now.elapsed() * 20)),
            (false, true, Some(last)) => Walk::Own(format!("({last}")),
            (false, _, Some(last)) => Walk::All(format!("({last}")),
            (false, _, None) => Walk::Rest(now + WALK_EVERY),
        };
        for (pending, idle) in given_up {
            if self.recorder.queue.claim_id(connection, &pending.id, idle)? {
                let reason = format!("given up after {} attempts, the last without an answer", pending.attempts);
                let letter = DeadLetter { id: &pending.id, attempts: pending.attempts, places: None, reason: &reason };
                let message = format!("the entry {}", pending.id);
                match self.recorder.bury(connection, &letter, &message, None) {
                    Err(fault) if !is_refused(&fault) => return Err(fault),
                    _ => {}
                }
            }
        }
        if wanted.is_empty() {
            return Ok(());
        }
        let entries = self.recorder.queue.claim(connection, &wanted)?;
        self.take(connection, entries)
    }

    /// For how long nobody may have cared for an entry that this worker takes; nothing if it is not its turn.
    fn due(&self, pending: &Pending, is_first: bool) -> Option<Duration> {
        if self.held.contains(&pending.id) {
            return None;
        }
        let pause = pause(pending.attempts, self.settings.max_pause);
        let threshold = match pending.consumer == self.settings.consumer {
            true if is_first => Duration::ZERO,
            true => pause.max(YOUNGEST),
            false => pause.max(self.settings.take_over_after),
        };
        (pending.idle >= threshold).then_some(threshold)
    }
}
