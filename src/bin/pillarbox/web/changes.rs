//! What has changed in the inbox, for a page that follows it.

use std::collections::BTreeSet;
use std::time::Instant;

use serde_json::{Value, json};

use super::answers::bad;
use super::mail;
use super::query::Query;
use super::store::{Change, Counts, MessageStore};
use crate::digits::parse_digits;
use crate::http::connection::{HttpConnection, Response};

/// How many seconds a request waits by default.
const WAIT: f64 = 25.0;

/// How many changes are told at once, and how many messages among them.
const MAX_CHANGES: usize = 2000;
const MAX_ARRIVED: usize = 100;

/// What changes beside the messages: numbers that grow.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Others {
    /// Of connections.
    pub connections: u64,
    /// Of rules for faults, and how often they have happened.
    pub faults: u64,
}

/// Answers at once if the request names no change, or if there were some since the one that it names; else when there is one.
pub fn answer(
    store: &MessageStore,
    others: &dyn Fn() -> Others,
    query: &Query,
    client: &HttpConnection,
) -> Result<Response, Response> {
    let after = query
        .value("after")
        .map(|number| parse_digits::<u64>(number).ok_or_else(|| bad("after: expected the number of a change")))
        .transpose()?;
    let wait = query.seconds("timeout", WAIT).map_err(bad)?;
    let Some(after) = after else {
        return Ok(Response::json(&since(store, others(), store.last_change()), None));
    };
    if store.last_change() == after && !wait.is_zero() {
        if !client.may_wait() {
            return Err(Response::error(503, "too many wait for a change"));
        }
        let before = others();
        client.wait(Instant::now() + wait, |until| {
            let is_new = store.wait_change(after, until) != after || others() != before;
            is_new.then_some(())
        });
    }
    Ok(Response::json(&since(store, others(), after), None))
}

/// What is different since a change.
fn since(store: &MessageStore, others: Others, after: u64) -> Value {
    let Counts { total, unread, dropped, refused, .. } = store.counts();
    let told = Told::of(store, after);
    json!({
        "change": told.last,
        "reset": told.is_reset,
        "arrived": told.arrived,
        "deleted": ids(&told.deleted),
        "read": ids(&told.read),
        "unread": ids(&told.unread),
        "dropped": dropped,
        "refused": refused,
        "total": total,
        "unread_total": unread,
        "connections": others.connections,
        "faults": others.faults,
    })
}

#[derive(Default)]
struct Told {
    last: u64,
    is_reset: bool,
    arrived: Vec<Value>,
    deleted: BTreeSet<u64>,
    read: BTreeSet<u64>,
    unread: BTreeSet<u64>,
}

impl Told {
    fn of(store: &MessageStore, after: u64) -> Told {
        let changes = store.changes(after, MAX_CHANGES);
        let Some(all) = changes.all else { return Told { last: changes.last, is_reset: true, ..Told::default() } };
        let mut told = Told { last: after, ..Told::default() };
        for change in all {
            if told.arrived.len() == MAX_ARRIVED {
                break;
            }
            told.take(change, store);
            told.last += 1;
        }
        told
    }

    fn take(&mut self, change: Change, store: &MessageStore) {
        match change {
            // One that is gone by now is told to be.
            Change::Arrived(id) => self.arrived.extend(store.get(id).map(|message| mail::listed(&message))),
            Change::Deleted(id) => {
                self.read.remove(&id);
                self.unread.remove(&id);
                self.deleted.insert(id);
            }
            Change::Read(id) => {
                self.unread.remove(&id);
                self.read.insert(id);
            }
            Change::Unread(id) => {
                self.read.remove(&id);
                self.unread.insert(id);
            }
        }
    }
}

fn ids(ids: &BTreeSet<u64>) -> Vec<String> {
    ids.iter().map(u64::to_string).collect()
}
