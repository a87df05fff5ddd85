//! The connections of the server, also those that brought no message, and what went wrong on them.
//!
//! Those that are open are read from the server when somebody asks; of those that have ended the conversation is kept here.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;
use pillarbox::testing::{Direction, Entry, Transcript};
use pillarbox::{Context, Escaped, ObservedMessage, Observer, Reply, ServerHandle};
use serde_json::{Value, json};

use super::answers::{absent, bad};
use super::mail::said;
use super::query::Query;
use super::store::{MessageStore, StoredMessage};
use super::timestamp::timestamp;
use crate::digits::parse_digits;
use crate::http::connection::Response;

/// How many are remembered.
const MAX_CONNECTIONS: usize = 1000;

/// In octets, of their conversations; those of the oldest are forgotten first.
const MAX_OCTETS: usize = 16 * 1024 * 1024;

/// How many events of one are told, how many of those in a list, and how long each may be, in characters.
const MAX_EVENTS: usize = 50;
const MAX_LISTED_EVENTS: usize = 8;
const MAX_TEXT: usize = 300;

/// How many are told at once, by default and at most.
const LISTED: usize = 100;

/// How many messages of each.
const MAX_MESSAGES: usize = 100;

/// What the answers are made of.
pub struct Sources<'a> {
    pub connections: &'a Connections,
    pub store: &'a MessageStore,
    pub server: &'a ServerHandle,
}

/// What is known of the connections.
#[derive(Default)]
pub struct Connections {
    kept: Mutex<Kept>,
    changes: AtomicU64,
}

#[derive(Default)]
struct Kept {
    // By the number that the server gave.
    all: BTreeMap<u64, Connection>,
    // Of conversations.
    octets: usize,
    forgotten: u64,
}

struct Connection {
    begun: SystemTime,
    client: String,
    listener: String,
    ended: Option<SystemTime>,
    identity: Option<String>,
    accepted: usize,
    refused: usize,
    failed_logins: usize,
    handshake: Option<String>,
    said: Said,
}

/// What both sides said.
#[derive(Default)]
struct Said {
    // None while it is open, and once it is forgotten.
    transcript: Option<Transcript>,
    facts: Facts,
}

/// What follows from a conversation.
#[derive(Default)]
struct Facts {
    helo: Option<String>,
    is_encrypted: bool,
    is_lost: bool,
    events: Vec<Event>,
    // Of all events, told or not.
    refusals: usize,
    faults: usize,
}

struct Event {
    at: Duration,
    kind: &'static str,
    text: String,
}

impl Connections {
    /// A number that is another one when something has changed.
    pub fn changes(&self) -> u64 {
        self.changes.load(Ordering::Relaxed)
    }

    fn change(&self, id: u64, how: impl FnOnce(&mut Connection)) {
        if let Some(connection) = self.kept.lock().all.get_mut(&id) {
            how(connection);
        }
        self.changes.fetch_add(1, Ordering::Relaxed);
    }
}

impl Observer for Connections {
    fn connected(&self, context: &Context) {
        let connection = Connection {
            begun: SystemTime::now(),
            client: context.peer().to_string(),
            listener: context.listener_name().map_or_else(|| context.local().to_string(), str::to_owned),
            ended: None,
            identity: None,
            accepted: 0,
            refused: 0,
            failed_logins: 0,
            handshake: None,
            said: Said::default(),
        };
        let mut kept = self.kept.lock();
        kept.all.insert(context.connection_id(), connection);
        if kept.all.len() > MAX_CONNECTIONS
            && let Some((_, oldest)) = kept.all.pop_first()
        {
            kept.octets -= octets(&oldest.said);
            kept.forgotten += 1;
        }
        drop(kept);
        self.changes.fetch_add(1, Ordering::Relaxed);
    }

    fn disconnected(&self, context: &Context, _: Duration) {
        let transcript = context.transcript();
        let said = Said { facts: transcript.as_ref().map(facts).unwrap_or_default(), transcript };
        let mut kept = self.kept.lock();
        let more = octets(&said);
        if let Some(connection) = kept.all.get_mut(&context.connection_id()) {
            connection.ended = Some(SystemTime::now());
            connection.identity = context.identity().map(str::to_owned).or(connection.identity.take());
            connection.said = said;
            kept.octets += more;
        }
        kept.forget();
        drop(kept);
        self.changes.fetch_add(1, Ordering::Relaxed);
    }

    fn handshake(&self, context: &Context, failure: Option<&io::Error>, _: Duration) {
        if let Some(failure) = failure {
            let text = clipped(&failure.to_string());
            self.change(context.connection_id(), |connection| connection.handshake = Some(text));
        }
    }

    fn login(&self, context: &Context, reply: &Reply, _: Duration) {
        self.change(context.connection_id(), |connection| match reply.is_positive() {
            true => connection.identity = context.identity().map(str::to_owned),
            false => connection.failed_logins += 1,
        });
    }

    fn message(&self, context: &Context, message: &ObservedMessage) {
        self.change(context.connection_id(), |connection| match &message.outcome {
            Some(reply) if reply.is_positive() => connection.accepted += 1,
            _ => connection.refused += 1,
        });
    }
}

impl Kept {
    /// Forgets what was said on the oldest connections, as far as it is too much.
    fn forget(&mut self) {
        let mut octets_left = self.octets;
        for connection in self.all.values_mut() {
            if octets_left <= MAX_OCTETS {
                break;
            }
            octets_left -= octets(&connection.said);
            connection.said.transcript = None;
        }
        self.octets = octets_left;
    }
}

/// What a conversation takes.
fn octets(said: &Said) -> usize {
    let entries = said.transcript.as_ref().map(Transcript::entries).unwrap_or_default();
    entries.iter().map(|entry| entry.octets.len() + 2 * size_of::<Entry>()).sum()
}

fn facts(transcript: &Transcript) -> Facts {
    let mut facts = Facts::default();
    let mut asked = String::new();
    for entry in transcript.entries() {
        match entry.direction {
            Direction::Client if entry.is_content => "content".clone_into(&mut asked),
            Direction::Client => {
                asked = clipped(&Escaped::new(&entry.octets).to_string());
                let name = asked.split_once(' ').filter(|(verb, _)| is_greeting(verb)).map(|(_, name)| name.trim());
                facts.helo = name.map(str::to_owned).or(facts.helo);
            }
            Direction::Server => {
                if matches!(entry.octets.first(), Some(b'4' | b'5')) {
                    let reply = Escaped::new(last_line(&entry.octets)).to_string();
                    let text = if asked.is_empty() { reply } else { format!("{asked}: {reply}") };
                    facts.refusals += 1;
                    facts.note(entry.at, if asked.starts_with("AUTH") { "login" } else { "refused" }, &text);
                }
            }
            Direction::Event => {
                let text = entry.text();
                if let Some(fault) = text.strip_prefix("fault: ") {
                    facts.faults += 1;
                    facts.note(entry.at, "fault", fault);
                } else if text.starts_with("connection lost") {
                    facts.is_lost = true;
                    facts.note(entry.at, "lost", &text);
                } else if text == "TLS established" {
                    facts.is_encrypted = true;
                } else if text != "connection closed" {
                    facts.note(entry.at, "client", &text);
                }
            }
        }
    }
    facts
}

fn is_greeting(verb: &str) -> bool {
    ["EHLO", "HELO", "LHLO"].iter().any(|other| other.eq_ignore_ascii_case(verb))
}

fn last_line(reply: &[u8]) -> &[u8] {
    reply.rsplit(|b| *b == b'\n').next().unwrap_or(reply).trim_ascii()
}

fn clipped(text: &str) -> String {
    let mut characters = text.chars();
    let clipped: String = characters.by_ref().take(MAX_TEXT).collect();
    if characters.next().is_some() { clipped + "…" } else { clipped }
}

impl Facts {
    fn note(&mut self, at: Duration, kind: &'static str, text: &str) {
        if self.events.len() < MAX_EVENTS {
            self.events.push(Event { at, kind, text: clipped(text) });
        }
    }
}

impl Connection {
    /// How it went, in a few words.
    fn outcome(&self, facts: &Facts) -> &'static str {
        match () {
            () if self.ended.is_none() => "open",
            () if self.handshake.is_some() => "handshake failed",
            () if self.accepted > 0 && (self.refused > 0 || facts.refusals > 0) => "delivered in part",
            () if self.accepted > 0 => "delivered",
            () if self.failed_logins > 0 => "login failed",
            () if self.refused > 0 || facts.refusals > 0 => "refused",
            () if facts.is_lost => "lost",
            () => "no message",
        }
    }

    fn told(&self, id: u64, facts: &Facts, messages: &[u64], most: usize) -> Value {
        let told = |event: &Event| json!({ "at": event.at.as_millis() as f64 / 1000.0, "kind": event.kind, "text": event.text });
        let handshake = self.handshake.iter().map(|text| json!({ "at": null, "kind": "handshake", "text": text }));
        let outcome = self.outcome(facts);
        json!({
            "id": id.to_string(),
            "begun": timestamp(self.begun),
            "ended": self.ended.map(timestamp),
            "client": self.client,
            "listener": self.listener,
            "tls": facts.is_encrypted,
            "helo": facts.helo,
            "identity": self.identity,
            "outcome": outcome,
            "problem": !matches!(outcome, "open" | "delivered" | "no message") || facts.faults > 0,
            "accepted": self.accepted,
            "refused": self.refused,
            "failed_logins": self.failed_logins,
            "faults": facts.faults,
            "messages": messages.iter().map(u64::to_string).collect::<Vec<_>>(),
            "events": handshake.chain(facts.events.iter().take(most).map(told)).collect::<Vec<_>>(),
        })
    }
}

/// The newest connections, or those before or after one.
pub fn list(sources: &Sources<'_>, query: &Query) -> Result<Response, Response> {
    let after = query.id("after").map_err(bad)?.map_or(0, |after| after.saturating_add(1));
    let before = query.id("before").map_err(bad)?.unwrap_or(u64::MAX);
    let limit = query.number("limit", 1..=LISTED).map_err(bad)?.unwrap_or(LISTED);
    let change = sources.connections.changes();
    // Before the lock: it takes one of each.
    let open = open(sources);
    let kept = sources.connections.kept.lock();
    let range = if after < before { kept.all.range(after..before) } else { kept.all.range(0..0) };
    let listed: Vec<_> = range.rev().take(limit).collect();
    let delivered = messages(sources, &listed.iter().map(|(id, _)| **id).collect());
    let told = listed.iter().map(|(id, connection)| {
        let facts = open.get(id).filter(|_| connection.ended.is_none()).map(facts);
        let messages = delivered.get(id).map_or(&[] as &[u64], Vec::as_slice);
        connection.told(**id, facts.as_ref().unwrap_or(&connection.said.facts), messages, MAX_LISTED_EVENTS)
    });
    let told: Vec<Value> = told.collect();
    let next = listed.last().map(|(id, _)| **id).filter(|id| kept.all.range(after..*id).next().is_some());
    let (total, forgotten) = (kept.all.len(), kept.forgotten);
    drop(kept);
    let next = next.map(|id| id.to_string());
    let all = json!({ "connections": told, "total": total, "forgotten": forgotten, "next": next, "change": change });
    Ok(Response::json(&all, None))
}

/// One, with what both sides said.
pub fn one(sources: &Sources<'_>, id: &str) -> Result<Response, Response> {
    let id = parse_digits::<u64>(id).ok_or_else(|| absent("connection"))?;
    let open = open(sources);
    let delivered = messages(sources, &BTreeSet::from([id]));
    let kept = sources.connections.kept.lock();
    let connection = kept.all.get(&id).ok_or_else(|| absent("connection"))?;
    let transcript = connection.said.transcript.as_ref().or_else(|| open.get(&id));
    let live = transcript.filter(|_| connection.ended.is_none()).map(facts);
    let messages = delivered.get(&id).map_or(&[] as &[u64], Vec::as_slice);
    let mut told = connection.told(id, live.as_ref().unwrap_or(&connection.said.facts), messages, MAX_EVENTS);
    told["conversation"] = transcript.map_or(Value::Null, |transcript| transcript.entries().iter().map(said).collect());
    told["omitted"] = transcript.map_or(0, Transcript::omitted).into();
    Ok(Response::json(&told, None))
}

/// What was said on those of the last connections that may be open.
fn open(sources: &Sources<'_>) -> HashMap<u64, Transcript> {
    let open: BTreeSet<u64> = {
        let kept = sources.connections.kept.lock();
        kept.all.iter().filter(|(_, connection)| connection.ended.is_none()).map(|(id, _)| *id).collect()
    };
    if open.is_empty() {
        return HashMap::new();
    }
    let said = sources.server.transcripts().into_iter().map(|transcript| (transcript.connection_id(), transcript));
    said.filter(|(id, _)| open.contains(id)).collect()
}

/// The messages that came on these connections and are still there, the newest first.
fn messages(sources: &Sources<'_>, connections: &BTreeSet<u64>) -> HashMap<u64, Vec<u64>> {
    let connection_of = |message: &StoredMessage| message.envelope.transcript().map(Transcript::connection_id);
    let is_of_one = |message: &StoredMessage| connection_of(message).is_some_and(|id| connections.contains(&id));
    let mut found: HashMap<u64, Vec<u64>> = HashMap::new();
    for message in sources.store.page(None, usize::MAX, &is_of_one) {
        let ids = found.entry(connection_of(&message).unwrap_or_default()).or_default();
        if ids.len() < MAX_MESSAGES {
            ids.push(message.id);
        }
    }
    found
}
