//! What became of messages, recorded in Redis.

use std::collections::HashMap;
use std::time::SystemTime;

use redis::{Cmd, Value};

use super::super::connection::Connection;
use super::super::entry;
use super::super::fault::Fault;
use super::once::Once;
use super::queue::{Fields, Queue};
use super::state::Shared;
use super::task::{Outcome, Task};
use crate::syntax::escaped::Escaped;

/// How many messages' settled recipients are remembered here, where Redis has no memory for that.
const MAX_NOTES: usize = 10_000;

/// A message that was answered for, to be recorded in Redis.
pub(super) enum Finished {
    Done {
        task: Task,
    },
    Again {
        task: Task,
        outcome: Outcome,
    },
    /// There is nothing to deliver: the message is done already.
    Skipped {
        id: String,
    },
    /// The entry is left for later.
    Later {
        id: String,
    },
}

/// Records what became of messages.
pub(super) struct Recorder<'a> {
    pub queue: Queue<'a>,
    pub once: Option<Once<'a>>,
    pub shared: &'a Shared,
    /// Of settled recipients, where Redis could not take the note.
    pub notes: HashMap<String, Vec<usize>>,
    pub has_told_memory: bool,
    /// Of the stream, to the log.
    pub name: String,
}

impl Recorder<'_> {
    /// Adds what records the messages that are simply done.
    pub fn plain(&self, finished: &[Finished], commands: &mut Vec<Cmd>) {
        let mut ids = Vec::new();
        for finished in finished {
            match finished {
                Finished::Done { task } => {
                    commands.extend(self.once.as_ref().zip(task.once.as_ref()).map(|(once, key)| once.done(key)));
                    if !task.settled.is_empty() {
                        commands.push(self.queue.forget_settled(&task.id));
                    }
                    ids.push(task.id.as_str());
                }
                Finished::Skipped { id } => ids.push(id),
                Finished::Again { .. } | Finished::Later { .. } => {}
            }
        }
        if !ids.is_empty() {
            commands.extend(self.queue.delete(&ids));
        }
    }

    /// Whether all was recorded. What is remembered of done messages may be refused: then a message may come twice.
    pub fn check(&mut self, answers: Vec<Value>) -> Result<(), Fault> {
        for answer in answers {
            match answer.extract_error().map_err(Fault::Refused) {
                Err(fault) if fault.says("OOM") => {
                    if !std::mem::replace(&mut self.has_told_memory, true) {
                        log::warn!(
                            "Redis has no memory to remember what is done of {}: some may come twice",
                            self.name
                        );
                    }
                }
                Err(fault) => return Err(fault),
                Ok(_) => {}
            }
        }
        Ok(())
    }

    /// Records a message that was not accepted for all: dead letters first. Whether nothing more will be done for it.
    pub fn settle(&mut self, connection: &mut Connection, task: &Task, outcome: &Outcome) -> Result<bool, Fault> {
        let mut settled = [&task.settled[..], &outcome.accepted].concat();
        let mut is_over = outcome.waiting.is_empty();
        let mut is_noted = false;
        if !outcome.failed.is_empty() {
            let places: Vec<usize> = outcome.failed.iter().map(|(place, _)| *place).collect();
            let mut reasons: Vec<&str> = outcome.failed.iter().map(|(_, reply)| reply.as_str()).collect();
            reasons.dedup();
            let reason = reasons.join("; ");
            let letter = DeadLetter { id: &task.id, attempts: task.attempts, places: Some(&places), reason: &reason };
            let with_failed = [&settled[..], &places].concat();
            match self.bury(connection, &letter, &task.message, (!is_over).then_some(&with_failed)) {
                Ok(()) => (settled, is_noted) = (with_failed, true),
                // Those that failed are tried again, and may then be buried.
                Err(fault) if is_refused(&fault) => is_over = false,
                Err(fault) => return Err(fault),
            }
        }
        if let (Some(once), Some(key)) = (&self.once, &task.once) {
            let command = if is_over { once.done(key) } else { Once::release(key) };
            self.ask_if_room(connection, &command)?;
        }
        if is_over || is_noted || settled.len() == task.settled.len() {
            return Ok(is_over);
        }
        let has_room = self.ask_if_room(connection, &self.queue.note_settled(&task.id, &settled))?;
        if !has_room && self.notes.len() < MAX_NOTES {
            self.notes.insert(task.id.clone(), settled);
        }
        Ok(is_over)
    }

    /// Asks for what is refused where Redis has no memory left; false if it was.
    fn ask_if_room(&self, connection: &mut Connection, command: &Cmd) -> Result<bool, Fault> {
        match connection.ask(command, self.queue.within) {
            Err(fault) if fault.says("OOM") => Ok(false),
            answer => answer.map(|_| true),
        }
    }

    /// Has an entry among the dead letters; nothing if it is gone, or was buried before the connection broke.
    pub fn bury(
        &self,
        connection: &mut Connection,
        letter: &DeadLetter<'_>,
        message: &str,
        settled: Option<&[usize]>,
    ) -> Result<(), Fault> {
        let Some(fields) = self.queue.entry(connection, letter.id)? else { return Ok(()) };
        self.queue.bury(connection, letter.id, &letter.fields(fields), settled)?;
        self.shared.count(&self.shared.dead_lettered, 1);
        let (dead, reason) = (self.queue.dead_letters(), Escaped::new(letter.reason.as_bytes()));
        log::error!("{message} of {} is not delivered, and is in {dead} now: {reason}", self.name);
        Ok(())
    }
}

/// Whether Redis could not take it: it stays where it is.
pub(super) fn is_refused(fault: &Fault) -> bool {
    matches!(fault, Fault::Refused(_)) && !fault.leads_elsewhere()
}

/// What is put among the dead letters, and why.
pub(super) struct DeadLetter<'a> {
    pub id: &'a str,
    pub attempts: u64,
    /// The recipients that it is about; all by default.
    pub places: Option<&'a [usize]>,
    pub reason: &'a str,
}

impl DeadLetter<'_> {
    /// The fields of the entry, for these recipients, and what is added to them.
    fn fields(&self, mut fields: Fields) -> Fields {
        if let Some(places) = self.places
            && let Some((_, value)) = fields.iter_mut().find(|(name, _)| name == b"recipients")
            && let Some(selected) = entry::select_recipients(value, places)
        {
            *value = selected;
        }
        fields.retain(|(name, _)| !name.starts_with(b"dead_"));
        let at = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let added = [
            ("dead_reason", self.reason.to_owned()),
            ("dead_entry", self.id.to_owned()),
            ("dead_attempts", self.attempts.to_string()),
            ("dead_at", at.as_secs().to_string()),
        ];
        fields.extend(added.map(|(name, value)| (name.as_bytes().to_vec(), value.into_bytes())));
        fields
    }
}
