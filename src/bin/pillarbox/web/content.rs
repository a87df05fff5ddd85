//! What a message says, as a browser is to see it: its HTML, its attachments, and messages within it.

use std::sync::Arc;

use pillarbox::mime::{Message, MimeError};

use super::answers::{absent, bad, json_with, reserve, unreadable};
use super::html::{self, View};
use super::query::Query;
use super::scheme::Scheme;
use super::store::StoredMessage;
use super::{away, download, mail, messages, nested};
use crate::http::connection::{Body, HttpConnection, Response};
use crate::http::memory::MemoryReservation;

/// The HTML of a message, or of one that is attached to it.
pub fn html(
    message: &StoredMessage,
    attached: Option<&str>,
    query: &Query,
    room: &Arc<MemoryReservation>,
    client: &HttpConnection,
) -> Result<Response, Response> {
    let view = View {
        with_images: query.word("images", &["load"]).map_err(bad)?.is_some(),
        is_framed: query.word("frame", &["page"]).map_err(bad)?.is_some(),
        scheme: query.word("scheme", &["light", "dark"]).map_err(bad)?.and_then(Scheme::named),
    };
    let mut room = reserve(room, 2 * message.envelope.content().len() + html::MAX_FRAME, client)?;
    let mail = message.envelope.parsed_within(&html::limits()).map_err(unreadable)?;
    let frame = match attached {
        None => html::frame(&mail, view.scheme),
        Some(name) => html::frame(&within(&mail, name)?, view.scheme),
    };
    let frame = frame.map_err(unreadable)?.ok_or_else(|| absent("body in HTML"))?;
    room.shrink(frame.len() as u64);
    let response = Response::new(200, "text/html; charset=utf-8", Body::Octets(frame.into_bytes(), Some(room)));
    Ok(response.with("Content-Security-Policy", view.policy()))
}

/// What a message that is attached says.
pub fn nested(
    message: &StoredMessage,
    name: &str,
    room: &Arc<MemoryReservation>,
    client: &HttpConnection,
) -> Result<Response, Response> {
    let room = reserve(room, messages::whole(message), client)?;
    let mail = message.envelope.parsed_within(&nested::limits()).map_err(unreadable)?;
    let told = nested::told(&within(&mail, name)?).map_err(unreadable)?;
    Ok(json_with(room, told.to_string().into_bytes()))
}

/// An attachment, to be stored.
pub fn attachment(
    message: &StoredMessage,
    name: &str,
    room: &Arc<MemoryReservation>,
    client: &HttpConnection,
) -> Result<Response, Response> {
    let mut room = reserve(room, 2 * message.envelope.content().len(), client)?;
    let mail = mail::without_bodies(&message.envelope).map_err(unreadable)?;
    let part = nested::attachment(&mail, name).map_err(unreadable)?.ok_or_else(|| absent("attachment"))?;
    let octets = part.bytes().map_err(unreadable)?;
    room.shrink(octets.len() as u64);
    let response = Response::new(200, &download::harmless(&part), Body::Octets(octets, Some(room)));
    Ok(response.with("Content-Disposition", download::disposition(&download::name(&part, name))))
}

/// The page on the way to where a link leads.
pub fn away(query: &str) -> Result<Response, Response> {
    let query = Query::parse(query, &["to"]).map_err(bad)?;
    let address = query.value("to").unwrap_or_default();
    let page = away::page(address).ok_or_else(|| bad("to: expected the address of a web page"))?;
    let response = Response::new(200, "text/html; charset=utf-8", Body::Octets(page.into_bytes(), None));
    Ok(response.with("Content-Security-Policy", away::POLICY))
}

fn within(mail: &Message, name: &str) -> Result<Message, Response> {
    let part = nested::attachment(mail, name).map_err(unreadable)?.ok_or_else(|| absent("attachment"))?;
    match part.message() {
        Ok(Some(message)) => Ok(message),
        Ok(None) | Err(MimeError::TooDeep) => Err(absent("message in this one")),
        Err(e) => Err(unreadable(e)),
    }
}
