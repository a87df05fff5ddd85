//! The worker at work: entries in, answers out, over one connection.

use std::collections::{HashMap, HashSet};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};
use redis::Cmd;

use super::super::connection::Connection;
use super::super::fault::Fault;
use super::super::server::RedisServer;
use super::once::Once;
use super::queue::Queue;
use super::record::{Finished, Recorder};
use super::settings::Settings;
use super::state::Shared;
use super::task::Task;
use crate::delivery::handler::Handler;
use crate::delivery::{NumberedAnswer, Response};
use crate::stats::counters::Counter;
use crate::stats::outage::Outage;
use crate::syntax::escaped::Escaped;

mod give_out;
mod pending;

/// How long Redis waits for a new entry where there is nothing else to do: a stop may take this long to be noticed.
const BLOCK: Duration = Duration::from_millis(500);
/// How long an answer is waited for while the handler has messages and the stream has none.
const LISTEN: Duration = Duration::from_millis(50);
/// How long further answers are waited for, so that many are recorded together.
const GATHER: Duration = Duration::from_millis(2);
/// Pauses between attempts to connect.
const FIRST_RETRY: Duration = Duration::from_millis(100);
const MAX_RETRY: Duration = Duration::from_secs(10);
/// How many pending entries are looked at together.
const PAGE: usize = 64;
const STATS_EVERY: Duration = Duration::from_secs(2);

/// Works until it is stopped.
pub(super) fn run(server: &RedisServer, settings: &Settings, shared: &Shared, name: String, handler: &mut dyn Handler) {
    let (sender, answers) = bounded(settings.in_flight);
    let now = Instant::now();
    let mut run = Run {
        server,
        settings,
        recorder: Recorder {
            queue: Queue { settings, within: server.response_timeout },
            once: Once::new(settings, server.response_timeout),
            shared,
            notes: HashMap::new(),
            has_told_memory: false,
            name,
        },
        shared,
        handler,
        sender,
        answers,
        tasks: HashMap::new(),
        held: HashSet::new(),
        held_once: HashSet::new(),
        octets: 0,
        // Until some have come.
        largest: settings.memory / 8,
        next: 0,
        finished: Vec::new(),
        walk: Walk::Own("-".to_owned()),
        has_more: true,
        next_stats: now,
        next_sign: now,
        next_cleaning: now,
        outage: Outage::default(),
        panics: Counter::default(),
        has_told_version: false,
        may_clean: true,
    };
    run.work();
    shared.set_connected(false);
}

/// Where the search for entries stands that this worker may take over, or try again.
enum Walk {
    /// Its own from before, behind this id.
    Own(String),
    /// All, behind this id.
    All(String),
    /// At its end, until then.
    Rest(Instant),
}

struct Run<'a> {
    server: &'a RedisServer,
    settings: &'a Settings,
    recorder: Recorder<'a>,
    shared: &'a Shared,
    handler: &'a mut dyn Handler,
    sender: Sender<NumberedAnswer>,
    answers: Receiver<NumberedAnswer>,
    // By number; with their entries' ids, and their messages'.
    tasks: HashMap<u64, Task>,
    held: HashSet<String>,
    held_once: HashSet<String>,
    octets: u64,
    largest: u64,
    next: u64,
    finished: Vec<Finished>,
    walk: Walk,
    has_more: bool,
    next_stats: Instant,
    next_sign: Instant,
    next_cleaning: Instant,
    outage: Outage,
    panics: Counter,
    has_told_version: bool,
    may_clean: bool,
}

impl Run<'_> {
    fn work(&mut self) {
        let mut retry = FIRST_RETRY;
        while !self.shared.is_stopped() {
            let fault = match self.server.connect() {
                Ok(mut connection) => loop {
                    match self.turn(&mut connection) {
                        Ok(()) if self.shared.is_stopped() => return self.end(Some(connection)),
                        Ok(()) => {
                            retry = FIRST_RETRY;
                            self.shared.set_connected(true);
                            if self.outage.ends() {
                                log::warn!("messages are taken off {} again", self.recorder.name);
                            }
                        }
                        Err(fault) => break fault,
                    }
                },
                Err(fault) => fault,
            };
            self.shared.set_connected(false);
            if self.outage.begins(fault.cause()) {
                let why = fault.to_string();
                let why = Escaped::new(why.as_bytes());
                log::error!("cannot take messages off {}: {why}; {}", self.recorder.name, fault.advice());
            }
            self.rest(retry);
            retry = (retry * 2).min(MAX_RETRY);
        }
        self.end(None);
    }

    /// Pauses, unless it is stopped, and hears answers meanwhile.
    fn rest(&mut self, time: Duration) {
        let end = Instant::now() + time;
        while !self.shared.is_stopped() {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            if let Ok(answer) = self.answers.recv_timeout(left.min(Duration::from_millis(100))) {
                self.hear(answer);
            }
        }
    }

    /// Records what is finished, takes what there is, and gives it out.
    fn turn(&mut self, connection: &mut Connection) -> Result<(), Fault> {
        self.listen();
        self.care(connection)?;
        let room = self.room();
        let mut commands = Vec::new();
        let sent = self.finished.len();
        self.recorder.plain(&self.finished, &mut commands);
        let records = commands.len();
        let block =
            (self.tasks.is_empty() && matches!(self.walk, Walk::Rest(_)) && !self.shared.is_stopped()).then_some(BLOCK);
        let is_reading = room > 0 && !self.shared.is_stopped();
        if is_reading {
            commands.push(self.recorder.queue.read_new(room, block));
        }
        if commands.is_empty() {
            return self.settle_others(connection, sent);
        }
        let mut octets = Vec::new();
        commands.iter().for_each(|command: &Cmd| command.write_packed_command(&mut octets));
        connection.write(&octets, self.recorder.queue.within)?;
        let mut answers = Vec::with_capacity(records);
        for _ in 0..records {
            answers.push(connection.read(self.recorder.queue.within)?);
        }
        let new = match is_reading {
            true => Some(connection.read(self.recorder.queue.within + block.unwrap_or_default())?),
            false => None,
        };
        let recorded = self.recorder.check(answers);
        let entries = match new.map(Queue::new_entries).transpose() {
            // The stream was deleted while this waited.
            Err(fault) if fault.says("UNBLOCKED") => Vec::new(),
            Err(fault) if fault.says("NOGROUP") => {
                self.recorder.queue.create_group(connection)?;
                Vec::new()
            }
            entries => entries?.unwrap_or_default(),
        };
        recorded?;
        self.settle_others(connection, sent)?;
        if is_reading {
            self.has_more = entries.len() >= room;
        }
        self.take(connection, entries)?;
        match self.walk(connection) {
            // The next turn makes it.
            Err(fault) if fault.says("NOGROUP") => Ok(()),
            walked => walked,
        }
    }

    /// How many messages the handler may have in addition.
    fn room(&self) -> usize {
        let free = self.settings.in_flight - self.tasks.len().min(self.settings.in_flight);
        let left = self.settings.memory.saturating_sub(self.octets);
        let fitting = usize::try_from(left / self.largest.max(1)).unwrap_or(usize::MAX);
        // One is always taken.
        free.min(fitting.max(usize::from(self.tasks.is_empty())))
    }

    /// Hears the answers that there are, and waits for some where there is nothing better to do.
    fn listen(&mut self) {
        while let Ok(answer) = self.answers.try_recv() {
            self.hear(answer);
        }
        let is_full = self.room() == 0;
        if self.tasks.is_empty() || (self.finished.is_empty() && self.has_more && !is_full) {
            return;
        }
        let enough = self.settings.in_flight.div_ceil(4).min(self.finished.len() + self.tasks.len());
        let mut patience = if self.finished.is_empty() { LISTEN } else { GATHER };
        while self.finished.len() < enough {
            match self.answers.recv_timeout(patience) {
                Ok(answer) => self.hear(answer),
                Err(_) => return,
            }
            patience = GATHER;
        }
    }

    fn hear(&mut self, (number, response): (u64, Option<Response>)) {
        let Some(task) = self.tasks.remove(&number) else { return };
        self.octets = self.octets.saturating_sub(task.octets);
        self.count_tasks();
        let outcome = task.outcome(response, self.settings.max_attempts);
        if outcome.failed.is_empty() && outcome.waiting.is_empty() {
            self.finished.push(Finished::Done { task });
        } else {
            self.shared.count(&self.shared.refused, 1);
            self.finished.push(Finished::Again { task, outcome });
        }
    }

    fn count_tasks(&self) {
        self.shared.set(&self.shared.in_flight, self.tasks.len());
    }

    /// Records the others among the first finished, and forgets all of these.
    fn settle_others(&mut self, connection: &mut Connection, mut sent: usize) -> Result<(), Fault> {
        let mut later = Vec::new();
        // In this order, since a fault leaves the rest to be recorded again.
        while sent > 0 {
            match &self.finished[sent - 1] {
                Finished::Done { task } => {
                    self.shared.count(&self.shared.delivered, 1);
                    self.recorder.notes.remove(&task.id);
                }
                Finished::Skipped { .. } => self.shared.count(&self.shared.skipped, 1),
                Finished::Later { id } => later.push(id.clone()),
                Finished::Again { task, outcome } => {
                    if !self.recorder.settle(connection, task, outcome)? {
                        later.push(task.id.clone());
                    }
                }
            }
            let (id, once) = match self.finished.swap_remove(sent - 1) {
                Finished::Done { task } | Finished::Again { task, .. } => (task.id, task.once),
                Finished::Skipped { id } | Finished::Later { id } => (id, None),
            };
            sent -= 1;
            self.held.remove(&id);
            once.map(|key| self.held_once.remove(&key));
        }
        if !later.is_empty() {
            let ids: Vec<&str> = later.iter().map(String::as_str).collect();
            // The pause begins.
            connection.ask(&self.recorder.queue.touch(&ids, Duration::ZERO), self.recorder.queue.within)?;
        }
        Ok(())
    }

    /// Signs of life, statistics, and whatever is due from time to time.
    fn care(&mut self, connection: &mut Connection) -> Result<(), Fault> {
        let now = Instant::now();
        if now >= self.next_sign {
            let third = self.settings.take_over_after / 3;
            self.next_sign = now + third;
            let ids: Vec<&str> = self.held.iter().map(String::as_str).collect();
            if !ids.is_empty() {
                // Not those that somebody else has taken over meanwhile.
                let mut commands = vec![self.recorder.queue.touch(&ids, third / 2)];
                let keys = self.held_once.iter();
                commands.extend(self.recorder.once.iter().flat_map(|once| keys.clone().map(|key| once.touch(key))));
                connection.ask_all(&commands, self.recorder.queue.within)?;
            }
        }
        if now >= self.next_stats {
            self.next_stats = now + STATS_EVERY;
            self.shared.set_stream(self.recorder.queue.stats(connection)?);
        }
        if now >= self.next_cleaning && self.may_clean {
            self.next_cleaning = now + self.settings.take_over_after / 2;
            for cleaned in [self.recorder.queue.clean_up(connection), self.recorder.queue.rescue(connection)] {
                match cleaned {
                    // There is no group yet, or no memory.
                    Err(fault) if fault.says("OOM") || fault.says("NOGROUP") || fault.says("no such key") => {}
                    Err(fault @ Fault::Refused(_)) => {
                        self.may_clean = false;
                        log::warn!("consumers that are gone stay in the group of {}: {fault}", self.recorder.name);
                    }
                    cleaned => cleaned?,
                }
            }
        }
        Ok(())
    }

    /// Waits for what the handler has, records it, and gives the rest back.
    fn end(&mut self, mut connection: Option<Connection>) {
        let deadline = Instant::now() + self.settings.grace;
        loop {
            while !self.tasks.is_empty() {
                match self.answers.recv_deadline(deadline) {
                    Ok(answer) => self.hear(answer),
                    Err(_) => break,
                }
            }
            let connected = match connection.take() {
                Some(connection) => Ok(connection),
                None if self.finished.is_empty() && self.held.is_empty() => return,
                None => self.server.connect(),
            };
            let ended = connected.and_then(|mut connection| self.leave(&mut connection));
            match ended {
                Ok(()) => return,
                Err(fault) if Instant::now() >= deadline => {
                    log::error!(
                        "what is done of {} could not be recorded: {fault}; it may come twice",
                        self.recorder.name
                    );
                    return;
                }
                Err(_) => thread::sleep(FIRST_RETRY),
            }
        }
    }

    fn leave(&mut self, connection: &mut Connection) -> Result<(), Fault> {
        let mut commands = Vec::new();
        let sent = self.finished.len();
        self.recorder.plain(&self.finished, &mut commands);
        let answers = connection.ask_all(&commands, self.recorder.queue.within)?;
        self.recorder.check(answers)?;
        self.settle_others(connection, sent)?;
        for key in &self.held_once {
            connection.ask(&Once::release(key), self.recorder.queue.within)?;
        }
        let mut after = "-".to_owned();
        loop {
            let own = self.settings.consumer.as_str();
            let page = self.recorder.queue.pending(connection, (&after, Duration::ZERO, PAGE), Some(own))?;
            let Some(last) = page.last() else { break };
            after = format!("({}", last.id);
            let ids: Vec<&str> = page.iter().map(|pending| pending.id.as_str()).collect();
            connection.ask(&self.recorder.queue.give_back(&ids), self.recorder.queue.within)?;
        }
        // Another worker may do that later.
        let _ = self.recorder.queue.leave(connection);
        Ok(())
    }
}
