//! Entries on their way to the handler: which are messages, which are done, and which another worker has.

use super::super::super::connection::Connection;
use super::super::super::entry::{self, RedisEntryError};
use super::super::super::fault::Fault;
use super::super::once::Verdict;
use super::super::queue::Entry;
use super::super::record::{DeadLetter, Finished, is_refused};
use super::super::task::Task;
use super::Run;
use crate::delivery::Delivery;
use crate::envelope::Envelope;
use crate::stats::guard::guarded;

/// A message that can be given out.
struct Ready {
    entry: String,
    attempts: u64,
    mail: Envelope,
    /// The `recipients` of the entry that are settled.
    settled: Vec<usize>,
}

impl Run<'_> {
    /// Has something recorded in the next turn.
    fn finish(&mut self, finished: Finished) {
        let (Finished::Skipped { id } | Finished::Later { id }) = &finished else {
            return self.finished.push(finished);
        };
        self.held.insert(id.clone());
        self.finished.push(finished);
    }

    /// Gives entries to the handler.
    pub(super) fn take(&mut self, connection: &mut Connection, entries: Vec<Entry>) -> Result<(), Fault> {
        let mut ready = Vec::with_capacity(entries.len());
        let mut bad = Vec::new();
        if !entries.is_empty() {
            self.largest -= self.largest / 8;
        }
        for Entry { id, fields, attempts } in entries {
            match entry::read(fields) {
                Ok(mail) => {
                    self.largest = self.largest.max(mail.content().len());
                    ready.push(Ready { entry: id, attempts, mail, settled: Vec::new() });
                }
                Err(e) => bad.push((id, attempts, e)),
            }
        }
        self.recall_settled(connection, &mut ready)?;
        let ready = self.only_once(connection, ready)?;
        ready.into_iter().for_each(|(ready, once)| self.give_out(ready, once));
        for (id, attempts, e) in bad {
            let is_later = matches!(e, RedisEntryError::Version(_)) && attempts < self.settings.max_attempts;
            if is_later {
                if !std::mem::replace(&mut self.has_told_version, true) {
                    log::warn!(
                        "{id} of {}, and perhaps others, wait for a later version of this program: {e}",
                        self.recorder.name
                    );
                }
                self.finish(Finished::Later { id });
                continue;
            }
            let letter = DeadLetter { id: &id, attempts, places: None, reason: &e.to_string() };
            let buried = self.recorder.bury(connection, &letter, &format!("the entry {id}"), None);
            match buried {
                Ok(()) => {}
                // It stays pending.
                Err(fault) if is_refused(&fault) => {
                    log::debug!("{id} cannot be put among the dead letters: {fault}");
                    self.finish(Finished::Later { id });
                }
                Err(fault) => return Err(fault),
            }
        }
        Ok(())
    }

    /// Leaves out the recipients that earlier attempts have settled.
    fn recall_settled(&self, connection: &mut Connection, ready: &mut [Ready]) -> Result<(), Fault> {
        let ids: Vec<&str> =
            ready.iter().filter(|ready| ready.attempts > 1).map(|ready| ready.entry.as_str()).collect();
        if ids.is_empty() {
            return Ok(());
        }
        let noted = self.recorder.queue.settled(connection, &ids)?;
        for (ready, mut settled) in ready.iter_mut().filter(|ready| ready.attempts > 1).zip(noted) {
            settled.extend(self.recorder.notes.get(&ready.entry).into_iter().flatten());
            ready.settled = settled;
        }
        Ok(())
    }

    /// Leaves out the messages that are done, or that another worker has.
    fn only_once(
        &mut self,
        connection: &mut Connection,
        ready: Vec<Ready>,
    ) -> Result<Vec<(Ready, Option<String>)>, Fault> {
        let Some(once) = self.recorder.once.as_ref().filter(|_| !ready.is_empty()) else {
            return Ok(ready.into_iter().map(|ready| (ready, None)).collect());
        };
        let keys: Vec<String> = ready.iter().map(|ready| once.key(&ready.mail)).collect();
        let verdicts = once.take(connection, &keys, &self.held_once)?;
        let mut taken = Vec::with_capacity(ready.len());
        for ((ready, key), verdict) in ready.into_iter().zip(keys).zip(verdicts) {
            match verdict {
                Verdict::Deliver => {
                    self.held_once.insert(key.clone());
                    taken.push((ready, Some(key)));
                }
                Verdict::Skip => self.finish(Finished::Skipped { id: ready.entry }),
                Verdict::Wait => self.finish(Finished::Later { id: ready.entry }),
            }
        }
        Ok(taken)
    }

    fn give_out(&mut self, ready: Ready, once: Option<String>) {
        let Ready { entry: id, attempts, mut mail, settled } = ready;
        let all = mail.recipients.len();
        let recipients: Vec<usize> = (0..all).filter(|place| !settled.contains(place)).collect();
        if recipients.is_empty() {
            // It was settled, and its worker ended before it could say so.
            once.map(|key| self.held_once.remove(&key));
            return self.finish(Finished::Skipped { id });
        }
        if recipients.len() < all {
            let mut place = 0..;
            mail.recipients.retain(|_| place.next().is_some_and(|place| recipients.contains(&place)));
        }
        let (number, octets, message) = (self.next, mail.content().len(), mail.id().to_string());
        self.next += 1;
        self.octets += octets;
        self.held.insert(id.clone());
        self.tasks.insert(number, Task { id, message, once, octets, attempts, recipients, settled });
        self.count_tasks();
        let delivery = Delivery::numbered(mail, number, self.sender.clone());
        // One that is dropped by a panic is answered.
        guarded(&self.panics, format_args!("{}: handler", self.recorder.name), || {
            self.handler.process_delivery(delivery)
        });
    }
}
