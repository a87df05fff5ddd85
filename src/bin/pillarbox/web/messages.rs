//! The messages as they are asked for: lists, one of them, its parts.

use std::sync::Arc;

use serde_json::json;

use super::answers::{absent, bad, busy, json_with, reserve, unreadable};
use super::filter::Filter;
use super::mail::{self, MAX_SHORT};
use super::query::Query;
use super::store::{MessageStore, StoredMessage};
use super::{download, html};
use crate::digits::parse_digits;
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
    let limit = number(query, "limit", 1..=MAX_LIMIT)?.unwrap_or(LIMIT);
    let before = id(query, "before")?.unwrap_or(u64::MAX);
    let mut room = reserve(room, MAX_SHORT, client)?;
    let all = store.all();
    let mut found =
        all.iter().filter(|message| message.id < before && filter.matches(&message.summary, false)).peekable();
    let mut text = b"{\"messages\":[".to_vec();
    let mut last = None;
    let mut count = 0;
    while count < limit
        && text.len() < MAX_LIST
        && let Some(message) = found.next()
    {
        if count > 0 {
            text.push(b',');
        }
        text.extend_from_slice(mail::listed(message).to_string().as_bytes());
        (count, last) = (count + 1, Some(message.id));
        if !room.grow(text.capacity() as u64 + MAX_SHORT) {
            return Err(busy());
        }
    }
    let next = last.filter(|_| found.peek().is_some()).map(|id| id.to_string());
    let end =
        json!({ "next": next, "total": all.len(), "unread": all.len(), "dropped": 0, "refused": store.refused() });
    text.extend_from_slice(b"],");
    text.extend_from_slice(&end.to_string().as_bytes()[1..]);
    Ok(json_with(room, text))
}

/// Deletes those that the filter selects, all if there is none.
pub fn delete(store: &MessageStore, query: &Query) -> Result<Response, Response> {
    let filter = Filter::of(query).map_err(bad)?;
    for message in store.all() {
        if filter.matches(&message.summary, false) {
            store.delete(message.id);
        }
    }
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

/// In octets, what a message takes while all there is to know about it is written.
pub fn whole(message: &StoredMessage) -> u64 {
    3 * message.envelope.content().len() + mail::MAX_COMPLETE
}

pub fn frame(
    message: &StoredMessage,
    room: &Arc<MemoryReservation>,
    client: &HttpConnection,
) -> Result<Response, Response> {
    let mut room = reserve(room, 2 * message.envelope.content().len() + html::MAX_FRAME, client)?;
    let frame = html::frame(&message.envelope).map_err(unreadable)?.ok_or_else(|| absent("body in HTML"))?;
    room.shrink(frame.len() as u64);
    let response = Response::new(200, "text/html; charset=utf-8", Body::Octets(frame.into_bytes(), Some(room)));
    Ok(response.with("Content-Security-Policy", html::POLICY))
}

pub fn attachment(
    message: &StoredMessage,
    index: &str,
    room: &Arc<MemoryReservation>,
    client: &HttpConnection,
) -> Result<Response, Response> {
    let index: usize = parse_digits(index).ok_or_else(|| absent("attachment"))?;
    let mut room = reserve(room, 2 * message.envelope.content().len(), client)?;
    let mail = mail::without_bodies(&message.envelope).map_err(unreadable)?;
    let part = mail.attachments().get(index).ok_or_else(|| absent("attachment"))?;
    let octets = part.bytes().map_err(unreadable)?;
    room.shrink(octets.len() as u64);
    let response = Response::new(200, download::harmless(part.content_type()), Body::Octets(octets, Some(room)));
    Ok(response.with("Content-Disposition", download::disposition(&download::name(part, index))))
}

pub fn source(message: Arc<StoredMessage>) -> Response {
    let name = format!("message-{}.eml", message.id);
    Response::new(200, "message/rfc822", Body::Stored(message))
        .with("Content-Disposition", download::disposition(&name))
}

/// A parameter that is a whole number.
pub fn number(query: &Query, name: &str, range: std::ops::RangeInclusive<usize>) -> Result<Option<usize>, Response> {
    let Some(text) = query.value(name) else { return Ok(None) };
    let number = parse_digits(text).filter(|number| range.contains(number));
    let (least, most) = (range.start(), range.end());
    number.map(Some).ok_or_else(|| bad(format!("{name}: expected a number from {least} to {most}")))
}

/// A parameter that is a message's id.
pub fn id(query: &Query, name: &str) -> Result<Option<u64>, Response> {
    let Some(text) = query.value(name) else { return Ok(None) };
    parse_digits(text).map(Some).ok_or_else(|| bad(format!("{name}: expected an id")))
}
