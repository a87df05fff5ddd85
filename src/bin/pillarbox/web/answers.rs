//! HTTP responses that several requests share.

use std::sync::Arc;

use serde_json::Value;

use crate::http::connection::{Body, HttpConnection, Response};
use crate::http::memory::{MemoryReservation, Reserved};

/// Reserves memory for an answer. A request that has to wait for it counts as one of those that wait.
pub fn reserve(room: &Arc<MemoryReservation>, octets: u64, client: &HttpConnection) -> Result<Reserved, Response> {
    if let Some(reserved) = room.try_reserve(octets) {
        return Ok(reserved);
    }
    if client.may_wait() { room.reserve(octets).ok_or_else(busy) } else { Err(busy()) }
}

pub fn json_with(mut room: Reserved, text: Vec<u8>) -> Response {
    room.shrink(text.capacity() as u64);
    Response::new(200, "application/json", Body::Octets(text, Some(room)))
}

/// A JSON that is small.
pub fn json(value: &Value) -> Response {
    Response::json(value, None)
}

pub fn absent(what: &str) -> Response {
    Response::error(404, format!("there is no such {what}"))
}

pub fn bad(problem: impl Into<String>) -> Response {
    Response::error(400, problem)
}

pub fn busy() -> Response {
    Response::error(503, "too many large answers at once")
}

pub fn unreadable(e: impl std::error::Error) -> Response {
    let cause = e.source().map(|cause| format!(": {cause}")).unwrap_or_default();
    Response::error(500, format!("{e}{cause}"))
}
