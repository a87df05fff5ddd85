//! What is answered to which request.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use pillarbox::ServerHandle;
use serde_json::json;

use super::changes::Others;
use super::connections::{self, Connections};
use super::guard::Guard;
use super::rules::Rules;
use super::store::{MessageStore, StoredMessage};
use super::{assets, changes, content, download, mail, query};
use crate::digits::parse_digits;
use crate::http::accept_loop::Service;
use crate::http::connection::{Body, HttpConnection, Request, Response};
use crate::http::memory::{MemoryReservation, Reserved};
use crate::metrics;

/// How long they wait, by default and at most.
const WAIT: f64 = 30.0;
const MAX_WAIT: f64 = 300.0;

/// How many words a search may have.
const MAX_WORDS: usize = 16;

/// In octets, what a list takes first, and what one message in it takes while it is written: recipients, subject and sender
/// are cut, and each of their octets may become six.
const LISTED: u64 = 256 * 1024;

/// For what is no page: whatever a browser takes it for, it can do nothing.
const POLICY: &str = "default-src 'none'; frame-ancestors 'none'; sandbox";

pub struct Api {
    pub store: Arc<MessageStore>,
    pub rules: Mutex<Rules>,
    pub guard: Guard,
    /// Where mail is taken.
    pub endpoints: Vec<String>,
    pub room: Arc<MemoryReservation>,
    pub server: ServerHandle,
    pub connections: Arc<Connections>,
    /// Who signed the server's certificate, if it was made at the start: PEM.
    pub authority: Option<String>,
}

impl Service for Api {
    fn answer(&self, request: &Request, client: &HttpConnection) -> Response {
        let answer = self.guard.check(request).and_then(|()| self.route(request, client));
        let mut response = answer.unwrap_or_else(|refusal| refusal);
        if !response.fields.iter().any(|(name, _)| *name == "Content-Security-Policy") {
            response = response.with("Content-Security-Policy", POLICY);
        }
        response
            .with("X-Content-Type-Options", "nosniff")
            .with("Cache-Control", "no-store")
            .with("Referrer-Policy", "no-referrer")
            .with("Cross-Origin-Resource-Policy", "same-origin")
            .with("X-Frame-Options", "SAMEORIGIN")
            .with("X-DNS-Prefetch-Control", "off")
    }
}

impl Api {
    fn route(&self, request: &Request, client: &HttpConnection) -> Result<Response, Response> {
        let path: Vec<&str> = request.path[1..].split('/').collect();
        let allowed = match path[..] {
            [file] if assets::is_known(file) => "GET, HEAD",
            _ if metrics::is_known(&request.path) => "GET, HEAD",
            ["ca.pem"] => "GET, HEAD",
            ["api", "server" | "next" | "changes" | "connections"] | ["api", "connections", _] => "GET, HEAD",
            ["api", "messages", _, "read"] => "PUT, DELETE",
            ["api", "messages"] | ["api", "messages", _] => "GET, HEAD, DELETE",
            ["away"] | ["api", "messages", _, "source" | "html"] | ["api", "messages", _, "attachments", _] => "GET, HEAD",
            ["api", "messages", _, "attachments", _, "html" | "message"] => "GET, HEAD",
            ["api", "faults"] => "GET, HEAD, PUT, DELETE",
            _ => return Err(absent("page")),
        };
        if !allowed.split(", ").any(|method| method == request.method) {
            return Err(Response::error(405, format!("the methods are {allowed}")).with("Allow", allowed));
        }
        match (request.method.as_str(), &path[..]) {
            (method, ["api", "messages", id, "read"]) => {
                match parse_digits(id).is_some_and(|id| self.store.set_read(id, method == "PUT")) {
                    true => Ok(Response::empty(204)),
                    false => Err(absent("message")),
                }
            }
            ("PUT", _) => {
                self.rules.lock().replace(&request.body).map_err(|problem| Response::error(400, problem))?;
                Ok(Response::empty(204))
            }
            ("DELETE", ["api", "faults"]) => {
                self.rules.lock().clear();
                Ok(Response::empty(204))
            }
            ("DELETE", ["api", "messages"]) => {
                self.store.delete_where(&|_| true);
                Ok(Response::empty(204))
            }
            ("DELETE", ["api", "messages", id]) => match parse_digits(id).is_some_and(|id| self.store.delete(id)) {
                true => Ok(Response::empty(204)),
                false => Err(absent("message")),
            },
            (_, ["api", "server"]) => {
                let refused = self.store.counts().refused;
                let about = json!({ "smtp": self.endpoints, "version": env!("CARGO_PKG_VERSION"), "refused": refused });
                Ok(Response::json(&about, None))
            }
            (_, ["api", "connections"]) => connections::list(self, request),
            (_, ["api", "connections", id]) => connections::one(self, id),
            (_, ["api", "faults"]) => Ok(Response::json(self.rules.lock().show(), None)),
            (_, ["api", "next"]) => self.next(request, client),
            (_, ["api", "changes"]) => changes::answer(&self.store, &|| self.others(), request, client),
            (_, ["api", "messages"]) => self.list(request, client),
            (_, ["api", "messages", id, rest @ ..]) => {
                let message = parse_digits(id).and_then(|id| self.store.get(id)).ok_or_else(|| absent("message"))?;
                match rest {
                    ["source"] => Ok(source(message)),
                    ["html"] => content::html(self, &message, None, request, client),
                    ["attachments", name] => content::attachment(self, &message, name, client),
                    ["attachments", name, "html"] => content::html(self, &message, Some(name), request, client),
                    ["attachments", name, _] => content::nested(self, &message, name, client),
                    _ => self.message(&message, client),
                }
            }
            _ if metrics::is_known(&request.path) => Ok(metrics::page(request, &self.server)),
            (_, ["ca.pem"]) => match &self.authority {
                Some(pem) => {
                    let body = Body::Octets(pem.clone().into_bytes(), None);
                    Ok(Response::new(200, "application/x-pem-file", body))
                }
                None => Err(absent("certificate that was made by --self-signed")),
            },
            (_, ["away"]) => content::away(request),
            (_, [file]) => assets::file(file).ok_or_else(|| absent("page")),
            _ => Err(absent("page")),
        }
    }

    fn list(&self, request: &Request, client: &HttpConnection) -> Result<Response, Response> {
        let search = query::value(&request.query, "search").unwrap_or_default().to_lowercase();
        let words: Vec<String> = search.split_whitespace().map(str::to_owned).collect();
        if words.len() > MAX_WORDS {
            return Err(Response::error(400, format!("search: at most {MAX_WORDS} words")));
        }
        let mut room = self.reserve(LISTED, client)?;
        let mut text = b"[".to_vec();
        for message in self.store.page(None, usize::MAX, &|message| message.summary.has(&words)).iter() {
            if text.len() > 1 {
                text.push(b',');
            }
            text.extend_from_slice(mail::listed(message).to_string().as_bytes());
            if !room.grow(text.capacity() as u64 + LISTED) {
                return Err(busy());
            }
        }
        text.push(b']');
        Ok(json_with(room, text))
    }

    fn message(&self, message: &StoredMessage, client: &HttpConnection) -> Result<Response, Response> {
        let room = self.reserve(3 * message.envelope.content().len() + mail::MAX_COMPLETE, client)?;
        let complete = mail::complete(message).map_err(unreadable)?;
        Ok(json_with(room, complete.to_string().into_bytes()))
    }

    fn next(&self, request: &Request, client: &HttpConnection) -> Result<Response, Response> {
        let wait = match query::value(&request.query, "timeout") {
            None => WAIT,
            Some(text) => {
                let seconds = text.parse::<f64>().ok().filter(|seconds| *seconds >= 0.0);
                seconds.ok_or_else(|| Response::error(400, "timeout: expected a number of seconds"))?
            }
        };
        let mut change = self.store.last_change();
        let last = self.store.counts().last_id;
        let after = match query::value(&request.query, "after") {
            None => last,
            // A greater one was given by a server that was here before.
            Some(id) => {
                parse_digits::<u64>(&id).ok_or_else(|| Response::error(400, "after: expected an id"))?.min(last)
            }
        };
        let deadline = Instant::now() + Duration::from_secs_f64(wait.min(MAX_WAIT));
        if !client.may_wait() {
            return Err(Response::error(503, "too many wait for the next message"));
        }
        let found = client.wait(deadline, |until| {
            let found = self.store.behind(after, 1, &|_| true).pop();
            if found.is_none() {
                change = self.store.wait_change(change, until);
            }
            found
        });
        Ok(found.map_or_else(|| Response::empty(204), |message| Response::json(&mail::listed(&message), None)))
    }

    fn others(&self) -> Others {
        Others { connections: self.connections.changes(), faults: self.rules.lock().changes() }
    }

    /// Reserves memory for an answer. A request that has to wait for it counts as one of those that wait.
    pub fn reserve(&self, octets: u64, client: &HttpConnection) -> Result<Reserved, Response> {
        if let Some(reserved) = self.room.try_reserve(octets) {
            return Ok(reserved);
        }
        if client.may_wait() { self.room.reserve(octets).ok_or_else(busy) } else { Err(busy()) }
    }
}

fn source(message: Arc<StoredMessage>) -> Response {
    let name = format!("message-{}.eml", message.id);
    Response::new(200, "message/rfc822", Body::Stored(message))
        .with("Content-Disposition", download::disposition(&name))
}

fn busy() -> Response {
    Response::error(503, "too many large answers at once")
}

pub fn json_with(mut room: Reserved, text: Vec<u8>) -> Response {
    room.shrink(text.capacity() as u64);
    Response::new(200, "application/json", Body::Octets(text, Some(room)))
}

pub fn absent(what: &str) -> Response {
    Response::error(404, format!("there is no such {what}"))
}

pub fn unreadable(e: impl std::error::Error) -> Response {
    let cause = e.source().map(|cause| format!(": {cause}")).unwrap_or_default();
    Response::error(500, format!("{e}{cause}"))
}
