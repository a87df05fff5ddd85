//! What a worker asks of the stream and its group.

use std::time::Duration;

use redis::{Cmd, Value, cmd};

use super::super::connection::Connection;
use super::super::fault::Fault;
use super::super::scripts;
use super::settings::Settings;
use super::state::StreamStats;

/// An entry's fields: their names and values.
pub(super) type Fields = Vec<(Vec<u8>, Vec<u8>)>;

/// An entry as it is read.
pub(super) struct Entry {
    pub id: String,
    pub fields: Fields,
    /// How often it was given to a worker, this time included.
    pub attempts: u64,
}

/// An entry that a worker of the group has, or had.
pub(super) struct Pending {
    pub id: String,
    pub consumer: String,
    pub idle: Duration,
    pub attempts: u64,
}

/// The time for which nobody has cared for an entry that is given back: more than anybody waits.
const GIVEN_BACK: u64 = 30 * 86_400_000;

/// The commands of a worker.
pub(super) struct Queue<'a> {
    pub settings: &'a Settings,
    pub within: Duration,
}

impl Queue<'_> {
    fn key(&self) -> &str {
        &self.settings.key
    }

    fn group(&self, name: &str) -> Cmd {
        let mut command = cmd(name);
        command.arg(self.key()).arg(&self.settings.group);
        command
    }

    /// The group is made only where it is missing. A Redis that has no memory left refuses to, but in a script that says that it may,
    /// from version 7 on.
    pub fn create_group(&self, connection: &mut Connection) -> Result<(), Fault> {
        let mut create = cmd("XGROUP");
        create.arg("CREATE").arg(self.key()).arg(&self.settings.group).arg("0").arg("MKSTREAM");
        let mut created = connection.ask(&create, self.within);
        if let Err(full) = &created
            && full.says("OOM")
        {
            let script = scripts::create_group(self.key(), &self.settings.group);
            match connection.ask(&script, self.within) {
                // Before version 7 there are no such scripts.
                Err(fault) if fault.says("ERR") => {}
                asked => created = asked,
            }
        }
        match created {
            // Another worker was faster.
            Err(fault) if !fault.says("BUSYGROUP") => Err(fault),
            _ => Ok(()),
        }
    }

    pub fn read_new(&self, count: usize, block: Option<Duration>) -> Cmd {
        let mut command = cmd("XREADGROUP");
        command.arg("GROUP").arg(&self.settings.group).arg(&self.settings.consumer).arg("COUNT").arg(count);
        if let Some(block) = block {
            command.arg("BLOCK").arg(millis(block).max(1));
        }
        command.arg("STREAMS").arg(self.key()).arg(">");
        command
    }

    /// What [`read_new`](Queue::read_new) has brought.
    pub fn new_entries(answer: Value) -> Result<Vec<Entry>, Fault> {
        let streams = match answer.extract_error().map_err(Fault::Refused)? {
            Value::Nil => return Ok(Vec::new()),
            Value::Array(streams) => streams,
            _ => return Err(Fault::odd("an odd answer to XREADGROUP")),
        };
        let mut entries = Vec::new();
        for stream in streams {
            let Value::Array(mut parts) = stream else { return Err(Fault::odd("an odd answer to XREADGROUP")) };
            let Some(Value::Array(of_stream)) = parts.pop() else {
                return Err(Fault::odd("an odd answer to XREADGROUP"));
            };
            for value in of_stream {
                entries.extend(entry(value, 1)?);
            }
        }
        Ok(entries)
    }

    /// Up to `count` entries behind `after` that the group's workers have had for `idle` or longer.
    pub fn pending(
        &self,
        connection: &mut Connection,
        (after, idle, count): (&str, Duration, usize),
        consumer: Option<&str>,
    ) -> Result<Vec<Pending>, Fault> {
        let mut command = self.group("XPENDING");
        if !idle.is_zero() {
            command.arg("IDLE").arg(millis(idle));
        }
        command.arg(after).arg("+").arg(count).arg(consumer);
        let odd = || Fault::odd("an odd answer to XPENDING");
        let Value::Array(found) = connection.ask(&command, self.within)? else { return Err(odd()) };
        found
            .into_iter()
            .map(|value| {
                let found: (String, String, u64, u64) = redis::from_redis_value(value).map_err(|_| odd())?;
                let (id, consumer, idle, attempts) = found;
                Ok(Pending { id, consumer, idle: Duration::from_millis(idle), attempts })
            })
            .collect()
    }

    /// Takes entries over that nobody has cared for since, each with what it is not to be younger than.
    pub fn claim(&self, connection: &mut Connection, wanted: &[(Pending, Duration)]) -> Result<Vec<Entry>, Fault> {
        let commands: Vec<Cmd> = wanted
            .iter()
            .map(|(pending, idle)| {
                let mut command = self.group("XCLAIM");
                command.arg(&self.settings.consumer).arg(millis(*idle)).arg(&pending.id);
                command
            })
            .collect();
        let mut entries = Vec::new();
        let mut gone = Vec::new();
        for (answer, (pending, _)) in connection.ask_all(&commands, self.within)?.into_iter().zip(wanted) {
            let Value::Array(claimed) = answer.extract_error().map_err(Fault::Refused)? else {
                return Err(Fault::odd("an odd answer to XCLAIM"));
            };
            for value in claimed {
                match value {
                    // Before Redis 7: it was deleted, and is pending all the same.
                    Value::Nil => gone.push(pending.id.as_str()),
                    value => entries.extend(entry(value, pending.attempts + 1)?),
                }
            }
        }
        if !gone.is_empty() {
            connection.ask(self.group("XACK").arg(gone), self.within)?;
        }
        Ok(entries)
    }

    /// Takes an entry over without reading it; false if somebody else has it now.
    pub fn claim_id(&self, connection: &mut Connection, id: &str, idle: Duration) -> Result<bool, Fault> {
        let mut command = self.group("XCLAIM");
        command.arg(&self.settings.consumer).arg(millis(idle)).arg(id).arg("JUSTID");
        Ok(matches!(connection.ask(&command, self.within)?, Value::Array(ids) if !ids.is_empty()))
    }

    /// A sign of life for entries that nobody else has taken over in the last `idle`; a pause begins anew for them.
    pub fn touch(&self, ids: &[&str], idle: Duration) -> Cmd {
        let mut command = self.group("XCLAIM");
        command.arg(&self.settings.consumer).arg(millis(idle)).arg(ids).arg("JUSTID");
        command
    }

    /// Lets another worker have them at once.
    pub fn give_back(&self, ids: &[&str]) -> Cmd {
        let mut command = self.group("XCLAIM");
        command.arg(&self.settings.consumer).arg(0).arg(ids).arg("IDLE").arg(GIVEN_BACK).arg("JUSTID");
        command
    }

    /// Deletes and acknowledges, in this order: what is deleted and still pending is found and forgotten, while an entry that was
    /// acknowledged alone would be nobody's, and stay for ever. Within MULTI a Redis without memory would refuse both.
    pub fn delete(&self, ids: &[&str]) -> [Cmd; 2] {
        let mut delete = cmd("XDEL");
        delete.arg(self.key()).arg(ids);
        let mut acknowledge = self.group("XACK");
        acknowledge.arg(ids);
        [delete, acknowledge]
    }

    /// An entry, if it is still there.
    pub fn entry(&self, connection: &mut Connection, id: &str) -> Result<Option<Fields>, Fault> {
        match connection.ask(cmd("XRANGE").arg(self.key()).arg(id).arg(id), self.within)? {
            Value::Array(mut found) => match found.pop() {
                Some(value) => Ok(entry(value, 1)?.map(|entry| entry.fields)),
                None => Ok(None),
            },
            _ => Err(Fault::odd("an odd answer to XRANGE")),
        }
    }

    /// Puts a dead letter where it belongs, and, in the same step, forgets the entry or notes which recipients are settled.
    pub fn bury(
        &self,
        connection: &mut Connection,
        id: &str,
        dead_letter: &Fields,
        settled: Option<&[usize]>,
    ) -> Result<(), Fault> {
        let mut add = cmd("XADD");
        add.arg(self.dead_letters()).arg("*");
        for (name, value) in dead_letter {
            add.arg(name).arg(value);
        }
        let mut commands = vec![cmd("MULTI"), add];
        match settled {
            Some(settled) => commands.push(self.note_settled(id, settled)),
            None => {
                commands.extend(self.delete(&[id]));
                commands.push(self.forget_settled(id));
            }
        }
        commands.push(cmd("EXEC"));
        let answers = connection.ask_all(&commands, self.within)?;
        // What is refused first has the reason; EXEC says only that something was.
        for answer in answers {
            answer.extract_error().map_err(Fault::Refused)?;
        }
        Ok(())
    }

    pub fn dead_letters(&self) -> String {
        self.settings.dead_letters.clone().unwrap_or_else(|| format!("{}:dead", self.key()))
    }

    fn settled_key(&self) -> String {
        format!("{}:settled", self.key())
    }

    /// Notes the places of recipients that need no further attempt.
    pub fn note_settled(&self, id: &str, settled: &[usize]) -> Cmd {
        let places: Vec<String> = settled.iter().map(usize::to_string).collect();
        let mut command = cmd("HSET");
        command.arg(self.settled_key()).arg(id).arg(places.join(","));
        command
    }

    pub fn forget_settled(&self, id: &str) -> Cmd {
        let mut command = cmd("HDEL");
        command.arg(self.settled_key()).arg(id);
        command
    }

    /// What [`note_settled`](Queue::note_settled) has noted for each.
    pub fn settled(&self, connection: &mut Connection, ids: &[&str]) -> Result<Vec<Vec<usize>>, Fault> {
        let mut command = cmd("HMGET");
        command.arg(self.settled_key()).arg(ids);
        let answer = connection.ask(&command, self.within)?;
        let noted: Vec<Option<String>> =
            redis::from_redis_value(answer).map_err(|_| Fault::odd("an odd answer to HMGET"))?;
        let places = |text: String| text.split(',').filter_map(|place| place.parse().ok()).collect();
        Ok(noted.into_iter().map(|text| text.map(places).unwrap_or_default()).collect())
    }

    /// Asks how the stream is.
    pub fn stats(&self, connection: &mut Connection) -> Result<StreamStats, Fault> {
        let (mut groups, mut usage) = (cmd("XINFO"), cmd("MEMORY"));
        groups.arg("GROUPS").arg(self.key());
        usage.arg("USAGE").arg(self.key()).arg("SAMPLES").arg(100);
        let length = |key: &str| {
            let mut command = cmd("XLEN");
            command.arg(key);
            command
        };
        let commands = [length(self.key()), length(&self.dead_letters()), groups, usage];
        let mut answers = connection.ask_all(&commands, self.within)?.into_iter();
        // A right that is missing, or a stream, is no reason to stop.
        let mut number = || match answers.next() {
            Some(Value::Int(number)) => u64::try_from(number).unwrap_or(0),
            _ => 0,
        };
        let (length, dead_letters) = (number(), number());
        let groups = answers.next().and_then(|groups| redis::from_redis_value::<Vec<Value>>(groups).ok());
        let own = groups.into_iter().flatten().find_map(|group| self.own_group(group));
        let (pending, lag) = own.unwrap_or_default();
        let octets = match answers.next() {
            Some(Value::Int(octets)) => u64::try_from(octets).unwrap_or(0),
            _ => 0,
        };
        Ok(StreamStats { length, octets, lag, pending, dead_letters })
    }

    /// The number of pending entries, and of those that nobody has taken, if this is the worker's group.
    fn own_group(&self, group: Value) -> Option<(u64, Option<u64>)> {
        let Value::Array(words) = group else { return None };
        let field = |name: &str| {
            let at = words.iter().step_by(2).position(|word| text(word).as_deref() == Some(name))?;
            words.get(2 * at + 1)
        };
        if text(field("name")?)? != self.settings.group {
            return None;
        }
        let number = |value: Option<&Value>| match value {
            Some(Value::Int(number)) => u64::try_from(*number).ok(),
            _ => None,
        };
        Some((number(field("pending")).unwrap_or(0), number(field("lag"))))
    }

    /// Deletes consumers that are gone.
    pub fn clean_up(&self, connection: &mut Connection) -> Result<(), Fault> {
        let gone_for = self.settings.take_over_after.as_millis();
        let command = scripts::clean_up(self.key(), &self.settings.group, &self.settings.consumer, Some(gone_for));
        connection.ask(&command, self.within).map(drop)
    }

    /// Moves entries that have lost their receiver before replicas had confirmed them.
    pub fn rescue(&self, connection: &mut Connection) -> Result<(), Fault> {
        connection.ask(&scripts::rescue(self.key()), self.within).map(drop)
    }

    /// Deletes this consumer, unless something is pending.
    pub fn leave(&self, connection: &mut Connection) -> Result<(), Fault> {
        let command = scripts::clean_up(self.key(), &self.settings.group, &self.settings.consumer, None);
        connection.ask(&command, self.within).map(drop)
    }
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::BulkString(octets) => String::from_utf8(octets.clone()).ok(),
        Value::SimpleString(text) => Some(text.clone()),
        _ => None,
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX / 2)
}

/// An entry in an answer; none if it was deleted.
fn entry(value: Value, attempts: u64) -> Result<Option<Entry>, Fault> {
    let odd = || Fault::odd("this is no entry of a stream");
    let Value::Array(parts) = value else { return Err(odd()) };
    let mut parts = parts.into_iter();
    let (Some(Value::BulkString(id)), Some(fields)) = (parts.next(), parts.next()) else { return Err(odd()) };
    let id = String::from_utf8(id).map_err(|_| odd())?;
    let words = match fields {
        Value::Array(words) => words,
        Value::Nil => return Ok(None),
        _ => return Err(odd()),
    };
    let mut fields = Fields::with_capacity(words.len() / 2);
    let mut words = words.into_iter();
    while let (Some(Value::BulkString(name)), Some(Value::BulkString(value))) = (words.next(), words.next()) {
        fields.push((name, value));
    }
    Ok(Some(Entry { id, fields, attempts }))
}
