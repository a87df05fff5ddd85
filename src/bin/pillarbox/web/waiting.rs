//! Requests that wait for messages.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;

use super::answers::{bad, busy, json, json_with, reserve, unreadable};
use super::filter::Filter;
use super::mail::{self, MAX_SHORT};
use super::messages::{id, number, whole};
use super::query::Query;
use super::store::MessageStore;
use crate::http::connection::{Body, HttpConnection, Response};
use crate::http::memory::MemoryReservation;

/// How many requests may wait for messages.
const MAX_WAITING: usize = 64;

/// How long they wait, in seconds.
const NEXT_TIMEOUT: f64 = 30.0;
const WAIT_TIMEOUT: f64 = 10.0;
const MAX_TIMEOUT: f64 = 300.0;

/// How often it is looked whether who waits is still there.
const LOOK: Duration = Duration::from_secs(1);

/// How many messages an answer to `/api/wait` has, and how many others it tells about that did not match.
const MAX_WAITED: usize = 100;
const MAX_ARRIVED: usize = 20;

/// In octets, of such an answer, beyond its first message.
const MAX_ANSWER: usize = 32 * 1024 * 1024;

/// What those who wait share.
pub struct Waiting<'a> {
    pub store: &'a MessageStore,
    pub room: &'a Arc<MemoryReservation>,
    pub count: &'a AtomicUsize,
}

impl Waiting<'_> {
    /// The oldest message behind `after` that matches.
    pub fn next(&self, query: &Query, client: &HttpConnection) -> Result<Response, Response> {
        let filter = Filter::of(query).map_err(bad)?;
        let deadline = deadline(query, NEXT_TIMEOUT)?;
        let last = self.store.last();
        // A greater one was given by a server that was here before.
        let mut after = id(query, "after")?.unwrap_or(last).min(last);
        let _permit = WaitPermit::take(self.count, client)?;
        while let Some(found) = self.following(after, deadline, client) {
            if filter.matches(&found.summary, false) {
                return Ok(json(&mail::listed(&found)));
            }
            after = found.id;
        }
        Ok(Response::empty(204))
    }

    /// All messages behind `after` that match, once there are enough.
    pub fn wait(&self, query: &Query, client: &HttpConnection) -> Result<Response, Response> {
        let filter = Filter::of(query).map_err(bad)?;
        let deadline = deadline(query, WAIT_TIMEOUT)?;
        let count = number(query, "count", 1..=MAX_WAITED)?.unwrap_or(1);
        let begin = id(query, "after")?.unwrap_or(0).min(self.store.last());
        let mut matching = Vec::new();
        let mut after = begin;
        let permit = WaitPermit::take(self.count, client)?;
        loop {
            // With those that came together with the last that was needed.
            let until = if matching.len() < count { deadline } else { Instant::now() };
            let Some(found) = self.following(after, until, client).filter(|_| matching.len() <= MAX_WAITED) else {
                break;
            };
            after = found.id;
            if filter.matches(&found.summary, false) {
                matching.push(found.id);
            }
        }
        drop(permit);
        match matching.len() < count {
            true => self.nothing(&matching, count, begin, client),
            false => self.whole(&matching, client),
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
    fn nothing(
        &self,
        matching: &[u64],
        count: usize,
        begin: u64,
        client: &HttpConnection,
    ) -> Result<Response, Response> {
        let behind: Vec<_> = self.store.all().into_iter().take_while(|message| message.id > begin).collect();
        let room = reserve(self.room, MAX_ARRIVED as u64 * MAX_SHORT, client)?;
        let arrived: Vec<_> = behind.iter().take(MAX_ARRIVED).map(|message| mail::listed(message)).collect();
        let (matched, came) = (matching.len(), behind.len());
        let error = format!("{matched} of {count} messages matched in time, of {came} that arrived");
        let text = json!({ "error": error, "arrived": arrived, "more": came > arrived.len() }).to_string();
        let mut response = json_with(room, text.into_bytes());
        response.status = 404;
        Ok(response)
    }

    /// The oldest message behind this one, if one comes in time and the client does not go.
    fn following(
        &self,
        after: u64,
        deadline: Instant,
        client: &HttpConnection,
    ) -> Option<Arc<super::store::StoredMessage>> {
        loop {
            if let Some(message) = self.store.next(after, deadline.min(Instant::now() + LOOK)) {
                return Some(message);
            }
            if Instant::now() >= deadline || !client.is_open() {
                return None;
            }
        }
    }
}

fn deadline(query: &Query, usual: f64) -> Result<Instant, Response> {
    let seconds = match query.value("timeout") {
        None => usual,
        Some(text) => {
            let seconds = text.parse::<f64>().ok().filter(|seconds| (0.0..=MAX_TIMEOUT).contains(seconds));
            seconds.ok_or_else(|| bad(format!("timeout: expected a number of seconds, at most {MAX_TIMEOUT}")))?
        }
    };
    Ok(Instant::now() + Duration::from_secs_f64(seconds))
}

/// One of the permits for those who wait.
struct WaitPermit<'a>(&'a AtomicUsize);

impl WaitPermit<'_> {
    fn take<'a>(waiting: &'a AtomicUsize, client: &HttpConnection) -> Result<WaitPermit<'a>, Response> {
        let permit = WaitPermit(waiting);
        let is_free = waiting.fetch_add(1, Ordering::Relaxed) < MAX_WAITING;
        match is_free && client.may_wait() {
            true => Ok(permit),
            false => Err(Response::error(503, "too many wait for messages")),
        }
    }
}

impl Drop for WaitPermit<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
