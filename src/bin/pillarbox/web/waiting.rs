//! Requests that wait for messages.

use std::sync::Arc;
use std::time::Instant;

use serde_json::json;

use super::answers::{bad, busy, json, json_with, reserve, unreadable};
use super::filter::Filter;
use super::mail::{self, MAX_SHORT};
use super::messages::whole;
use super::query::Query;
use super::store::{MessageStore, StoredMessage};
use crate::http::connection::{Body, HttpConnection, Response};
use crate::http::memory::MemoryReservation;

/// How many seconds they wait by default.
const NEXT_TIMEOUT: f64 = 30.0;
const WAIT_TIMEOUT: f64 = 10.0;

/// How many messages an answer to `/api/wait` has, and how many others it tells about that did not match.
const MAX_WAITED: usize = 100;
const MAX_ARRIVED: usize = 20;

/// In octets, of such an answer, beyond its first message.
const MAX_ANSWER: usize = 32 * 1024 * 1024;

/// What those who wait share.
pub struct Waiting<'a> {
    pub store: &'a MessageStore,
    pub room: &'a Arc<MemoryReservation>,
}

impl Waiting<'_> {
    /// The oldest message behind `after` that matches.
    pub fn next(&self, query: &Query, client: &HttpConnection) -> Result<Response, Response> {
        let filter = Filter::of(query).map_err(bad)?;
        let deadline = Instant::now() + query.seconds("timeout", NEXT_TIMEOUT).map_err(bad)?;
        let last = self.store.counts().last_id;
        // A greater one was given by a server that was here before.
        let after = query.id("after").map_err(bad)?.unwrap_or(last).min(last);
        may_wait(client)?;
        let mut search = Search { store: self.store, filter, after, change: self.store.last_change() };
        let found = client.wait(deadline, |until| search.more(1, until).pop());
        Ok(found.map_or_else(|| Response::empty(204), |message| json(&mail::listed(&message))))
    }

    /// All messages behind `after` that match, once there are enough.
    pub fn wait(&self, query: &Query, client: &HttpConnection) -> Result<Response, Response> {
        let filter = Filter::of(query).map_err(bad)?;
        let deadline = Instant::now() + query.seconds("timeout", WAIT_TIMEOUT).map_err(bad)?;
        let count = query.number("count", 1..=MAX_WAITED).map_err(bad)?.unwrap_or(1);
        let begin = query.id("after").map_err(bad)?.unwrap_or(0).min(self.store.counts().last_id);
        may_wait(client)?;
        let mut search = Search { store: self.store, filter, after: begin, change: self.store.last_change() };
        let mut matching: Vec<u64> = Vec::new();
        let enough = client.wait(deadline, |until| {
            let more = search.more(MAX_WAITED + 1 - matching.len(), until);
            matching.extend(more.iter().map(|message| message.id));
            if matching.len() >= count {
                // Some may have been deleted meanwhile.
                matching.retain(|id| self.store.get(*id).is_some());
            }
            (matching.len() >= count).then_some(())
        });
        match enough {
            Some(()) => self.whole(&matching, client),
            None => self.nothing(matching.len(), count, begin, client),
        }
    }

    fn whole(&self, ids: &[u64], client: &HttpConnection) -> Result<Response, Response> {
        let mut text = b"{\"messages\":[".to_vec();
        let mut room = None;
        let mut told = 0;
        for message in ids.iter().take(MAX_WAITED).filter_map(|id| self.store.get(*id)) {
            let octets = text.capacity() as u64 + whole(&message);
            if told > 0 && text.len() > MAX_ANSWER {
                break;
            }
            let has_room = match &mut room {
                None => reserve(self.room, octets, client).map(|reserved| room = Some(reserved)).is_ok(),
                Some(reserved) => reserved.grow(octets),
            };
            if !has_room {
                return Err(busy());
            }
            if told > 0 {
                text.push(b',');
            }
            text.extend_from_slice(mail::complete(&message).map_err(unreadable)?.to_string().as_bytes());
            told += 1;
        }
        text.extend_from_slice(b"],\"more\":");
        text.extend_from_slice(if told < ids.len() { b"true}" } else { b"false}" });
        match room {
            Some(room) => Ok(json_with(room, text)),
            // All have been deleted meanwhile.
            None => Ok(Response::new(200, "application/json", Body::Octets(text, None))),
        }
    }

    /// So that a failing test explains itself: not 408, which some clients repeat by themselves.
    fn nothing(&self, matched: usize, count: usize, begin: u64, client: &HttpConnection) -> Result<Response, Response> {
        let newest = self.store.page(None, MAX_ARRIVED + 1, &|message| message.id > begin);
        let room = reserve(self.room, MAX_ARRIVED as u64 * MAX_SHORT, client)?;
        let arrived: Vec<_> = newest.iter().take(MAX_ARRIVED).map(|message| mail::listed(message)).collect();
        let has_more = newest.len() > arrived.len();
        let came = if has_more { format!("more than {MAX_ARRIVED}") } else { arrived.len().to_string() };
        let error = format!("{matched} of {count} messages matched in time; {came} arrived");
        let text = json!({ "error": error, "arrived": arrived, "more": has_more }).to_string();
        let mut response = json_with(room, text.into_bytes());
        response.status = 404;
        Ok(response)
    }
}

fn may_wait(client: &HttpConnection) -> Result<(), Response> {
    if client.may_wait() { Ok(()) } else { Err(Response::error(503, "too many wait for messages")) }
}

/// A search that goes on with what arrives, and looks at each message once.
struct Search<'a> {
    store: &'a MessageStore,
    filter: Filter,
    after: u64,
    change: u64,
}

impl Search<'_> {
    /// Some of the next that match, the oldest first. Waits for a change if there are none, and gives what came with it the next
    /// time.
    fn more(&mut self, most: usize, until: Instant) -> Vec<Arc<StoredMessage>> {
        let last = self.store.counts().last_id;
        let found = self.store.behind(self.after, most, &|message| self.filter.matches(message));
        let seen = if found.len() < most { last } else { 0 };
        self.after = self.after.max(seen).max(found.last().map_or(0, |message| message.id));
        if found.is_empty() {
            self.change = self.store.wait_change(self.change, until);
        }
        found
    }
}
