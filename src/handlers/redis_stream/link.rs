//! The receiver's connections to Redis, and what is asked over them.

use std::time::{Duration, Instant};

use parking_lot::Mutex;
use redis::{Value, cmd};

use super::connection::Connection;
use super::entry;
use super::fault::{AddError, Fault};
use super::scripts;
use super::settings::Settings;
use crate::envelope::Envelope;

/// After which a connection is asked whether it still is one: what has been asked of it before cannot be asked again, since
/// nobody knows whether it was done.
const FRESH: Duration = Duration::from_secs(1);
/// As many entries as all receivers together cannot add within [`FRESH`].
const MUCH_ROOM: u64 = 30_000;
/// How often entries are looked for that have lost their receiver.
const RESCUE_EVERY: Duration = Duration::from_secs(60);
/// Entries that were refused and could not be taken out again, to be tried again. There are more only if Redis fails all the time.
const MAX_REVOKED: usize = 1000;
/// In milliseconds: how long replicas have for a token, where it is known that they were missing.
const TOKEN_WAIT: u64 = 1000;

/// The connections that nobody uses now, and what they have in common.
#[derive(Default)]
pub(super) struct Links {
    idle: Mutex<Vec<Connection>>,
    replication: Mutex<Replication>,
    // Of the stream, and when it was that.
    length: Mutex<Option<(u64, Instant)>>,
}

/// What is known of entries that wait for replicas.
#[derive(Default)]
struct Replication {
    // Whether replicas were missing at last.
    is_in_doubt: bool,
    revoked: Vec<Vec<u8>>,
    rescued_at: Option<Instant>,
}

impl Links {
    /// Puts a message into the stream.
    pub fn add(&self, settings: &Settings, mail: &Envelope) -> Result<(), AddError> {
        let words = settings.add.get_or_init(|| scripts::add(settings));
        let first = words.direct.as_ref().filter(|_| self.has_much_room(settings)).unwrap_or(&words.checked);
        let entry = entry::Command::new(first, mail, &words.length).map_err(AddError::Unreadable)?;
        if let Some(mut connection) = self.living(settings) {
            match self.add_over(&mut connection, settings, &entry) {
                // Certainly not done, as it says itself.
                Err(trouble) if trouble.leads_elsewhere() => self.idle.lock().clear(),
                outcome => return self.keep(connection, outcome),
            }
        }
        let mut connection = settings.server.connect()?;
        let outcome = self.add_over(&mut connection, settings, &entry);
        self.keep(connection, outcome)
    }

    /// How many entries there are, and what they take of Redis's memory.
    pub fn stats(&self, settings: &Settings) -> Result<(u64, u64), AddError> {
        let mut connection = match self.living(settings) {
            Some(connection) => connection,
            None => settings.server.connect()?,
        };
        let (mut length, mut usage) = (cmd("XLEN"), cmd("MEMORY"));
        length.arg(&settings.key);
        usage.arg("USAGE").arg(&settings.key).arg("SAMPLES").arg(100);
        let answers = connection.ask_all(&[length, usage], settings.server.response_timeout);
        // Whatever the answers are, there are no others under way.
        let answers = answers.map_err(AddError::from)?;
        self.keep(connection, Ok(()))?;
        let mut answers = answers.into_iter();
        let length = match answers.next().unwrap_or(Value::Nil).extract_error().map_err(Fault::Refused)? {
            Value::Int(length) => u64::try_from(length).unwrap_or(0),
            _ => return Err(Fault::odd("an odd answer to XLEN").into()),
        };
        // Nothing if there is no stream, or no right to ask.
        let octets = match answers.next() {
            Some(Value::Int(octets)) => u64::try_from(octets).unwrap_or(0),
            _ => 0,
        };
        Ok((length, octets))
    }

    /// Whether an entry could be added now, without adding one.
    pub fn probe(&self, settings: &Settings) -> Result<(), AddError> {
        let mut connection = match self.living(settings) {
            Some(connection) => connection,
            None => settings.server.connect()?,
        };
        let outcome = self.probe_over(&mut connection, settings);
        self.keep(connection, outcome)
    }

    fn probe_over(&self, connection: &mut Connection, settings: &Settings) -> Result<(), AddError> {
        let within = settings.server.response_timeout;
        let (mut write, mut length, mut more) = (cmd("XADD"), cmd("XLEN"), cmd("XLEN"));
        // Redis asks whether it may write at all before it sees that nothing has such an id.
        write.arg(&settings.key).arg("0-0").arg("probe").arg("");
        length.arg(&settings.key);
        more.arg(settings.unconfirmed());
        let mut commands = vec![write, length];
        commands.extend(settings.replicas.map(|_| more));
        let mut answers = connection.ask_all(&commands, within)?.into_iter();
        match answers.next().unwrap_or(Value::Nil).extract_error() {
            Err(e)
                if e.detail().is_some_and(|detail| detail.contains("0-0") || detail.contains("equal or smaller")) => {}
            Err(e) => return Err(Fault::Refused(e).into()),
            Ok(_) => return Err(Fault::odd("an odd answer to XADD").into()),
        }
        let mut entries = 0;
        for answer in answers {
            match answer.extract_error().map_err(Fault::Refused)? {
                Value::Int(length) => entries += u64::try_from(length).unwrap_or(0),
                _ => return Err(Fault::odd("an odd answer to XLEN").into()),
            }
        }
        if entries >= settings.capacity {
            return Err(AddError::Full);
        }
        if let Some(limit) = settings.capacity_octets {
            let mut usage = cmd("MEMORY");
            usage.arg("USAGE").arg(&settings.key).arg("SAMPLES").arg(100);
            if let Value::Int(octets) = connection.ask(&usage, within)?
                && u64::try_from(octets).is_ok_and(|octets| octets >= limit)
            {
                return Err(AddError::Full);
            }
        }
        let is_in_doubt = self.replication.lock().is_in_doubt;
        if let (Some((wanted, _)), true) = (settings.replicas, is_in_doubt) {
            connection.ask(&scripts::token(settings), within)?;
            self.wait(connection, settings, wanted, TOKEN_WAIT)?;
        }
        Ok(())
    }

    /// A connection that has nothing to do, if there is one that is more than a memory. It is asked at most once: where
    /// one is dead the others hardly live.
    fn living(&self, settings: &Settings) -> Option<Connection> {
        let mut connection = self.idle.lock().pop()?;
        let is_alive = connection.idle_time() < FRESH
            || (connection.is_quiet() && connection.ask(&cmd("PING"), settings.server.connect_timeout).is_ok());
        if is_alive {
            return Some(connection);
        }
        self.idle.lock().clear();
        None
    }

    /// Keeps the connection unless an answer may still be under way on it: that would be taken for the next message's.
    fn keep(&self, connection: Connection, outcome: Result<(), AddError>) -> Result<(), AddError> {
        if outcome.as_ref().err().is_none_or(AddError::leaves_in_step) {
            self.idle.lock().push(connection);
        }
        outcome
    }

    fn add_over(
        &self,
        connection: &mut Connection,
        settings: &Settings,
        entry: &entry::Command<'_>,
    ) -> Result<(), AddError> {
        if let Some((wanted, timeout)) = settings.replicas {
            return self.add_replicated(connection, settings, entry, wanted, timeout);
        }
        self.add_entry(connection, settings, entry).map(drop)
    }

    /// Whether the stream was far from its capacity a moment ago: then nothing that others add since can fill it. A script, which
    /// would look in the same step, copies what it adds, and takes Redis a third more time for a small message and twice as much
    /// for a large one.
    fn has_much_room(&self, settings: &Settings) -> bool {
        let known = *self.length.lock();
        known.is_some_and(|(length, at)| at.elapsed() < FRESH && length.saturating_add(MUCH_ROOM) < settings.capacity)
    }

    /// The new entry's id.
    fn add_entry(
        &self,
        connection: &mut Connection,
        settings: &Settings,
        entry: &entry::Command<'_>,
    ) -> Result<Vec<u8>, AddError> {
        let within = settings.server.response_timeout;
        entry.write(connection, within)?;
        let added = connection.read(within)?.extract_error().map_err(Fault::Refused);
        // Redis closes behind a protocol error.
        let is_last = added.as_ref().is_err_and(|fault| fault.says("Protocol error"));
        if entry.asks_for_length() && !is_last {
            let known = match connection.read(within)? {
                Value::Int(length) => u64::try_from(length).ok().map(|length| (length, Instant::now())),
                // Without the right to ask for it each message is looked at.
                _ => None,
            };
            *self.length.lock() = known;
        }
        match added? {
            Value::Nil => Err(AddError::Full),
            Value::BulkString(entry) => Ok(entry),
            _ => Err(Fault::odd("an odd answer to XADD").into()),
        }
    }

    /// Adds an entry where no worker looks, and moves it once replicas have it: so no worker has one that its client was
    /// refused.
    fn add_replicated(
        &self,
        connection: &mut Connection,
        settings: &Settings,
        entry: &entry::Command<'_>,
        wanted: usize,
        timeout: Duration,
    ) -> Result<(), AddError> {
        let within = settings.server.response_timeout;
        self.tidy(connection, settings)?;
        if self.replication.lock().is_in_doubt {
            // Those that are connected are told at once.
            self.wait(connection, settings, wanted, 1)?;
        }
        let entry = self.add_entry(connection, settings, entry)?;
        let millis = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX).max(1);
        let confirmed = self.wait(connection, settings, wanted, millis).and_then(|()| {
            let moved = connection.ask(&scripts::confirm(settings, &entry), within)?;
            match moved {
                Value::Int(_) => Ok(()),
                _ => Err(Fault::odd("an odd answer to EVAL").into()),
            }
        });
        confirmed.inspect_err(|trouble: &AddError| {
            log::debug!("{trouble}: the entry is taken out again");
            let mut revoke = cmd("XDEL");
            revoke.arg(settings.unconfirmed()).arg(&entry);
            if !trouble.leaves_in_step() || connection.ask(&revoke, within).is_err() {
                let mut replication = self.replication.lock();
                if replication.revoked.len() < MAX_REVOKED {
                    replication.revoked.push(entry);
                }
            }
        })
    }

    /// Waits until replicas have what was written before over this connection.
    fn wait(
        &self,
        connection: &mut Connection,
        settings: &Settings,
        wanted: usize,
        millis: u64,
    ) -> Result<(), AddError> {
        let within = settings.server.response_timeout.saturating_add(Duration::from_millis(millis));
        let got = match connection.ask(cmd("WAIT").arg(wanted).arg(millis), within)? {
            Value::Int(got) => usize::try_from(got).unwrap_or(0),
            _ => return Err(Fault::odd("an odd answer to WAIT").into()),
        };
        let is_enough = got >= wanted;
        self.replication.lock().is_in_doubt = !is_enough;
        if is_enough { Ok(()) } else { Err(AddError::Unreplicated { got, wanted }) }
    }

    /// Takes out what could not be taken out before, and has entries found that have lost their receiver.
    fn tidy(&self, connection: &mut Connection, settings: &Settings) -> Result<(), Fault> {
        let within = settings.server.response_timeout;
        let (revoked, is_time) = {
            let mut replication = self.replication.lock();
            let is_time = replication.rescued_at.is_none_or(|at| at.elapsed() >= RESCUE_EVERY);
            if is_time {
                replication.rescued_at = Some(Instant::now());
            }
            (std::mem::take(&mut replication.revoked), is_time)
        };
        if !revoked.is_empty() {
            let mut revoke = cmd("XDEL");
            revoke.arg(settings.unconfirmed()).arg(&revoked);
            if let Err(fault) = connection.ask(&revoke, within) {
                self.replication.lock().revoked.extend(revoked);
                return Err(fault);
            }
        }
        if is_time {
            connection.ask(&scripts::rescue(&settings.key), within)?;
        }
        Ok(())
    }
}
