//! Which messages are done, remembered in Redis for a time.

use std::collections::HashSet;
use std::time::{Duration, SystemTime};

use redis::{Cmd, Value, cmd};

use super::super::connection::Connection;
use super::super::fault::Fault;
use super::settings::Settings;
use crate::envelope::Envelope;

const DONE: &str = "done";

/// The ids of messages that are done, and of those that workers have now.
pub(super) struct Once<'a> {
    settings: &'a Settings,
    time: Duration,
    within: Duration,
}

/// What is to be done with a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Verdict {
    Deliver,
    /// It is done.
    Skip,
    /// Somebody is at it now.
    Wait,
}

impl Once<'_> {
    pub fn new(settings: &Settings, within: Duration) -> Option<Once<'_>> {
        Some(Once { settings, time: settings.once_for?, within })
    }

    /// What a message is called: as [`Maildir::once`](crate::handlers::Maildir::once) has it, for the id alone might be another
    /// server's, too.
    pub fn key(&self, mail: &Envelope) -> String {
        let at = mail.received_at().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        format!("{}:once:{}:{}:{}", self.settings.key, at.as_nanos(), mail.id(), mail.hostname())
    }

    /// Takes messages for this worker, unless they are done or another one's. `held` are those that this worker has.
    pub fn take(
        &self,
        connection: &mut Connection,
        keys: &[String],
        held: &HashSet<String>,
    ) -> Result<Vec<Verdict>, Fault> {
        let mut commands: Vec<Cmd> = keys.iter().map(|key| self.claim(key, "NX")).collect();
        let mut current = cmd("MGET");
        current.arg(keys);
        commands.push(current);
        let mut answers = connection.ask_all(&commands, self.within)?;
        let current = answers.pop().unwrap_or(Value::Nil).extract_error().map_err(Fault::Refused)?;
        let current: Vec<Option<String>> =
            redis::from_redis_value(current).map_err(|_| Fault::odd("an odd answer to MGET"))?;
        let own = self.settings.consumer.as_str();
        let mut seen = HashSet::new();
        let verdict = |(key, holder): (&String, Option<String>)| match holder.as_deref() {
            Some(DONE) => Verdict::Skip,
            _ if held.contains(key) || !seen.insert(key.clone()) => Verdict::Wait,
            Some(holder) if holder != own => Verdict::Wait,
            // Nothing can be written where Redis has no memory left: then twice is better than never.
            _ => Verdict::Deliver,
        };
        Ok(keys.iter().zip(current).map(verdict).collect())
    }

    fn claim(&self, key: &str, when: &str) -> Cmd {
        let mut command = cmd("SET");
        let time = self.settings.take_over_after.as_millis().to_string();
        command.arg(key).arg(&self.settings.consumer).arg(when).arg("PX").arg(time);
        command
    }

    /// A sign of life for what this worker has.
    pub fn touch(&self, key: &str) -> Cmd {
        self.claim(key, "XX")
    }

    pub fn done(&self, key: &str) -> Cmd {
        let mut command = cmd("SET");
        command.arg(key).arg(DONE).arg("PX").arg(self.time.as_millis().max(1).to_string());
        command
    }

    /// Another attempt, by whomever, may come.
    pub fn release(key: &str) -> Cmd {
        let mut command = cmd("DEL");
        command.arg(key);
        command
    }
}
