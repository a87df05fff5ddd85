//! What is done in one step, whoever else does something at the same time.

use redis::{Cmd, cmd};

use super::settings::{Settings, Words, unconfirmed};

/// In milliseconds: an entry that is still unconfirmed has lost its receiver, which would have confirmed it or taken it out
/// long before.
const RESCUE_AFTER: u64 = 300_000;
/// For how many entries one script may hold up everybody else.
const MAX_RESCUED: usize = 20;

/// Adds an entry unless there are too many. It has no other way to fail once the entry is there.
const ADD: &str = "if redis.call('XLEN', KEYS[1]) >= tonumber(ARGV[1]) then return false end \
                   return redis.call('XADD', KEYS[1], '*', unpack(ARGV, 2))";

/// The same with a limit in octets, for the new entry too.
const ADD_BY_OCTETS: &str = "if redis.call('XLEN', KEYS[1]) >= tonumber(ARGV[1]) then return false end \
                             local octets = redis.call('MEMORY', 'USAGE', KEYS[1], 'SAMPLES', 100) or 0 \
                             if octets + #ARGV[#ARGV] > tonumber(ARGV[2]) then return false end \
                             return redis.call('XADD', KEYS[1], '*', unpack(ARGV, 3))";

/// The same to a second key, where no worker looks; both count.
const ADD_UNCONFIRMED: &str = "if redis.call('XLEN', KEYS[1]) + redis.call('XLEN', KEYS[2]) >= tonumber(ARGV[1]) then return false end \
     if tonumber(ARGV[2]) > 0 then \
     local octets = (redis.call('MEMORY', 'USAGE', KEYS[1], 'SAMPLES', 100) or 0) \
     + (redis.call('MEMORY', 'USAGE', KEYS[2], 'SAMPLES', 100) or 0) \
     if octets + #ARGV[#ARGV] > tonumber(ARGV[2]) then return false end end \
     return redis.call('XADD', KEYS[2], '*', unpack(ARGV, 3))";

/// Moves an entry to where workers look. It may be there already, if it took too long.
const CONFIRM: &str = "local found = redis.call('XRANGE', KEYS[2], ARGV[1], ARGV[1]) \
                       if #found == 0 then return 0 end \
                       redis.call('XADD', KEYS[1], '*', unpack(found[1][2])) \
                       return redis.call('XDEL', KEYS[2], ARGV[1])";

/// Moves those that are old. Whoever added them may have said that they are safe, before a failover lost their move.
const RESCUE: &str = "local now = redis.call('TIME') \
                      local old = redis.call('XRANGE', KEYS[2], '-', \
                      string.format('%.0f', tonumber(now[1]) * 1000 - tonumber(ARGV[1])), 'COUNT', tonumber(ARGV[2])) \
                      for _, entry in ipairs(old) do \
                      redis.call('XADD', KEYS[1], '*', unpack(entry[2])) \
                      redis.call('XDEL', KEYS[2], entry[1]) end \
                      return #old";

/// Writes and takes back, so that replicas have something to confirm.
const TOKEN: &str = "local id = redis.call('XADD', KEYS[1], '*', 'token', '') return redis.call('XDEL', KEYS[1], id)";

/// Deletes this consumer, or those that were gone for some time, where nothing is pending that would be lost.
const CLEAN_UP: &str = "local deleted = 0 \
                        for _, consumer in ipairs(redis.call('XINFO', 'CONSUMERS', KEYS[1], ARGV[1])) do \
                        local fields = {} \
                        for at = 1, #consumer, 2 do fields[consumer[at]] = consumer[at + 1] end \
                        local is_own = fields['name'] == ARGV[2] \
                        if fields['pending'] == 0 and ((ARGV[3] == '' and is_own) \
                        or (ARGV[3] ~= '' and not is_own and fields['idle'] > tonumber(ARGV[3]))) then \
                        redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], fields['name']) \
                        deleted = deleted + 1 end end \
                        return deleted";

/// Makes a group, also where no memory is left: a stream that is full was never read before.
const CREATE_GROUP: &str = "#!lua flags=allow-oom\n\
                            return redis.call('XGROUP', 'CREATE', KEYS[1], ARGV[1], '0', 'MKSTREAM')";

/// How messages are added.
pub(super) fn add(settings: &Settings) -> Words {
    let (key, capacity) = (settings.key.clone(), settings.capacity.to_string());
    let checked = match (settings.replicas, settings.capacity_octets) {
        (None, None) => vec!["EVAL".to_owned(), ADD.to_owned(), "1".to_owned(), key, capacity],
        (None, Some(octets)) => {
            vec!["EVAL".to_owned(), ADD_BY_OCTETS.to_owned(), "1".to_owned(), key, capacity, octets.to_string()]
        }
        (Some(_), octets) => {
            let octets = octets.unwrap_or(0).to_string();
            let unconfirmed = settings.unconfirmed();
            vec!["EVAL".to_owned(), ADD_UNCONFIRMED.to_owned(), "2".to_owned(), key, unconfirmed, capacity, octets]
        }
    };
    let may_be_direct = settings.replicas.is_none() && settings.capacity_octets.is_none();
    let mut length = cmd("XLEN");
    length.arg(&settings.key);
    let words = |words: Vec<String>| words.into_iter().map(String::into_bytes).collect();
    Words {
        checked: words(checked),
        direct: may_be_direct.then(|| words(vec!["XADD".to_owned(), settings.key.clone(), "*".to_owned()])),
        length: if may_be_direct { length.get_packed_command() } else { Vec::new() },
    }
}

pub(super) fn confirm(settings: &Settings, entry: &[u8]) -> Cmd {
    let mut command = cmd("EVAL");
    command.arg(CONFIRM).arg(2).arg(&settings.key).arg(settings.unconfirmed()).arg(entry);
    command
}

pub(super) fn rescue(key: &str) -> Cmd {
    let mut command = cmd("EVAL");
    command.arg(RESCUE).arg(2).arg(key).arg(unconfirmed(key)).arg(RESCUE_AFTER).arg(MAX_RESCUED);
    command
}

pub(super) fn token(settings: &Settings) -> Cmd {
    let mut command = cmd("EVAL");
    command.arg(TOKEN).arg(1).arg(settings.unconfirmed());
    command
}

pub(super) fn create_group(key: &str, group: &str) -> Cmd {
    let mut command = cmd("EVAL");
    command.arg(CREATE_GROUP).arg(1).arg(key).arg(group);
    command
}

/// Deletes other consumers that were gone for so many milliseconds; without a time `consumer` itself.
pub(super) fn clean_up(key: &str, group: &str, consumer: &str, gone_for: Option<u128>) -> Cmd {
    let mut command = cmd("EVAL");
    let gone_for = gone_for.map(|millis| millis.to_string()).unwrap_or_default();
    command.arg(CLEAN_UP).arg(1).arg(key).arg(group).arg(consumer).arg(gone_for);
    command
}
