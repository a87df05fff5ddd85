//! The messages as they are asked for: lists, one of them, its parts.

use std::sync::Arc;

use serde_json::json;

use super::answers::{bad, busy, json_with, reserve, unreadable};
use super::download;
use super::filter::Filter;
use super::mail::{self, MAX_SHORT};
use super::query::Query;
use super::store::{Counts, MessageStore, StoredMessage};
use crate::http::connection::{Body, HttpConnection, Response};
use crate::http::memory::MemoryReservation;

/// How many messages a list has, if nothing is said, and at most.
const LIMIT: usize = 100;
const MAX_LIMIT: usize = 1000;

/// In octets, of a list. It ends before, and says where it goes on.
const MAX_LIST: usize = 16 * 1024 * 1024;

pub fn list(
    store: &MessageStore,
    room: &Arc<MemoryReservation>,
    query: &Query,
    client: &HttpConnection,
) -> Result<Response, Response> {
    let filter = Filter::of(query).map_err(bad)?;
    let limit = query.number("limit", 1..=MAX_LIMIT).map_err(bad)?.unwrap_or(LIMIT);
    let before = query.id("before").map_err(bad)?;
    let mut room = reserve(room, MAX_SHORT, client)?;
    // One more, to see whether there is.
    let mut found = store.page(before, limit + 1, &|message| filter.matches(message)).into_iter().peekable();
    let mut text = b"{\"messages\":[".to_vec();
    let (mut count, mut next) = (0, None);
    while let Some(message) = found.next() {
        if count > 0 {
            text.push(b',');
        }
        text.extend_from_slice(mail::listed(&message).to_string().as_bytes());
        if !room.grow(text.capacity() as u64 + MAX_SHORT) {
            return Err(busy());
        }
        count += 1;
        if count == limit || text.len() > MAX_LIST {
            next = found.peek().map(|_| message.id.to_string());
            break;
        }
    }
    let Counts { total, unread, dropped, refused, .. } = store.counts();
    let end = json!({ "next": next, "total": total, "unread": unread, "dropped": dropped, "refused": refused });
    text.extend_from_slice(b"],");
    text.extend_from_slice(&end.to_string().as_bytes()[1..]);
    Ok(json_with(room, text))
}

/// Deletes those that the filter selects, all if there is none.
pub fn delete(store: &MessageStore, query: &Query) -> Result<Response, Response> {
    let filter = Filter::of(query).map_err(bad)?;
    store.delete_where(&|message| filter.matches(message));
    Ok(Response::empty(204))
}

pub fn message(
    message: &StoredMessage,
    room: &Arc<MemoryReservation>,
    client: &HttpConnection,
) -> Result<Response, Response> {
    let room = reserve(room, whole(message), client)?;
    let complete = mail::complete(message).map_err(unreadable)?;
    Ok(json_with(room, complete.to_string().into_bytes()))
}

/// In octets, what a message takes while all there is to know about it is written: so much for each of its octets, which may stand in
/// several places and be escaped there, but no more than the limits of what is told.
pub fn whole(message: &StoredMessage) -> u64 {
    let length = message.envelope.content().len();
    let of_its_octets = 64 * length + 16 * message.envelope.memory_octets() + 1024 * 1024;
    of_its_octets.min(3 * length + mail::MAX_COMPLETE)
}

pub fn source(message: Arc<StoredMessage>) -> Response {
    let name = format!("message-{}.eml", message.id);
    Response::new(200, "message/rfc822", Body::Stored(message))
        .with("Content-Disposition", download::disposition(&name))
}
