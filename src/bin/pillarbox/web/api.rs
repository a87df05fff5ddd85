//! What is answered to which request.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use pillarbox::ServerHandle;
use serde_json::json;

use super::guard::Guard;
use super::password::Passwords;
use super::rules::Rules;
use super::store::{MessageStore, StoredMessage};
use super::{download, html, mail, query};
use crate::digits::parse_digits;
use crate::http::accept_loop::Service;
use crate::http::connection::{Body, HttpConnection, Request, Response};
use crate::http::memory::{MemoryReservation, Reserved};
use crate::metrics;

/// How many requests may wait for the next message.
const MAX_WAITING: usize = 64;

/// How long they wait, by default and at most.
const WAIT: f64 = 30.0;
const MAX_WAIT: f64 = 300.0;

/// How often it is looked whether who waits is still there.
const LOOK: Duration = Duration::from_secs(1);

/// How many words a search may have.
const MAX_WORDS: usize = 16;

/// In octets, what a list takes first, and what one message in it takes while it is written: recipients, subject and sender
/// are cut, and each of their octets may become six.
const LISTED: u64 = 256 * 1024;

const PAGE_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
    connect-src 'self'; frame-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
    require-trusted-types-for 'script'; trusted-types 'none'";

/// For what is no page: whatever a browser takes it for, it can do nothing.
const POLICY: &str = "default-src 'none'; frame-ancestors 'none'; sandbox";

pub struct Api {
    pub store: Arc<MessageStore>,
    pub rules: Mutex<Rules>,
    pub guard: Guard,
    /// Who may look, if not everybody may.
    pub passwords: Option<Arc<Passwords>>,
    /// Where mail is taken.
    pub endpoints: Vec<String>,
    pub room: Arc<MemoryReservation>,
    pub waiting: AtomicUsize,
    pub server: ServerHandle,
    /// Who signed the server's certificate, if it was made at the start: PEM.
    pub authority: Option<String>,
}

impl Service for Api {
    fn answer(&self, request: &Request, client: &HttpConnection) -> Response {
        let answer = self.guard.check(request).and_then(|()| self.check_password(request, client));
        let answer = answer.and_then(|()| self.route(request, client));
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
    /// Whoever asks only whether the server works, as a container's health check, needs no password.
    fn check_password(&self, request: &Request, client: &HttpConnection) -> Result<(), Response> {
        match &self.passwords {
            Some(passwords) if !metrics::is_health(&request.path) => passwords.check(request, client),
            _ => Ok(()),
        }
    }

    fn route(&self, request: &Request, client: &HttpConnection) -> Result<Response, Response> {
        let path: Vec<&str> = request.path[1..].split('/').collect();
        let allowed = match path[..] {
            [""] | ["app.js" | "faults.js" | "message.js" | "page.js" | "app.css" | "icon.svg"] => "GET, HEAD",
            _ if metrics::is_known(&request.path) => "GET, HEAD",
            ["ca.pem"] => "GET, HEAD",
            ["api", "server" | "next"] => "GET, HEAD",
            ["api", "messages"] | ["api", "messages", _] => "GET, HEAD, DELETE",
            ["api", "messages", _, "source" | "html"] | ["api", "messages", _, "attachments", _] => "GET, HEAD",
            ["api", "faults"] => "GET, HEAD, PUT, DELETE",
            _ => return Err(absent("page")),
        };
        if !allowed.split(", ").any(|method| method == request.method) {
            return Err(Response::error(405, format!("the methods are {allowed}")).with("Allow", allowed));
        }
        match (request.method.as_str(), &path[..]) {
            ("PUT", _) => {
                self.rules.lock().replace(&request.body).map_err(|problem| Response::error(400, problem))?;
                Ok(Response::empty(204))
            }
            ("DELETE", ["api", "faults"]) => {
                self.rules.lock().clear();
                Ok(Response::empty(204))
            }
            ("DELETE", ["api", "messages"]) => {
                self.store.clear();
                Ok(Response::empty(204))
            }
            ("DELETE", ["api", "messages", id]) => match parse_digits(id).is_some_and(|id| self.store.delete(id)) {
                true => Ok(Response::empty(204)),
                false => Err(absent("message")),
            },
            (_, ["api", "server"]) => {
                let refused = self.store.refused();
                let about = json!({ "smtp": self.endpoints, "version": env!("CARGO_PKG_VERSION"), "refused": refused });
                Ok(Response::json(&about, None))
            }
            (_, ["api", "faults"]) => Ok(Response::json(self.rules.lock().show(), None)),
            (_, ["api", "next"]) => self.next(request, client),
            (_, ["api", "messages"]) => self.list(request, client),
            (_, ["api", "messages", id, rest @ ..]) => {
                let message = parse_digits(id).and_then(|id| self.store.get(id)).ok_or_else(|| absent("message"))?;
                match rest {
                    ["source"] => Ok(source(message)),
                    ["html"] => self.html(&message, client),
                    ["attachments", index] => self.attachment(&message, index, client),
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
            (_, [file]) => Ok(page(file)),
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
        for message in self.store.all().iter().filter(|message| message.summary.has(&words)) {
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

    fn html(&self, message: &StoredMessage, client: &HttpConnection) -> Result<Response, Response> {
        let mut room = self.reserve(2 * message.envelope.content().len() + html::MAX_FRAME, client)?;
        let frame = html::frame(&message.envelope).map_err(unreadable)?.ok_or_else(|| absent("body in HTML"))?;
        room.shrink(frame.len() as u64);
        let response = Response::new(200, "text/html; charset=utf-8", Body::Octets(frame.into_bytes(), Some(room)));
        Ok(response.with("Content-Security-Policy", html::POLICY))
    }

    fn attachment(&self, message: &StoredMessage, index: &str, client: &HttpConnection) -> Result<Response, Response> {
        let index: usize = parse_digits(index).ok_or_else(|| absent("attachment"))?;
        let mut room = self.reserve(2 * message.envelope.content().len(), client)?;
        let mail = mail::without_bodies(&message.envelope).map_err(unreadable)?;
        let part = mail.attachments().get(index).ok_or_else(|| absent("attachment"))?;
        let octets = part.bytes().map_err(unreadable)?;
        room.shrink(octets.len() as u64);
        let response = Response::new(200, download::harmless(part.content_type()), Body::Octets(octets, Some(room)));
        Ok(response.with("Content-Disposition", download::disposition(&download::name(part, index))))
    }

    fn next(&self, request: &Request, client: &HttpConnection) -> Result<Response, Response> {
        let wait = match query::value(&request.query, "timeout") {
            None => WAIT,
            Some(text) => {
                let seconds = text.parse::<f64>().ok().filter(|seconds| *seconds >= 0.0);
                seconds.ok_or_else(|| Response::error(400, "timeout: expected a number of seconds"))?
            }
        };
        let last = self.store.last();
        let after = match query::value(&request.query, "after") {
            None => last,
            // A greater one was given by a server that was here before.
            Some(id) => {
                parse_digits::<u64>(&id).ok_or_else(|| Response::error(400, "after: expected an id"))?.min(last)
            }
        };
        let deadline = Instant::now() + Duration::from_secs_f64(wait.min(MAX_WAIT));
        let _place = WaitPermit::take(&self.waiting)?;
        if !client.may_wait() {
            return Err(Response::error(503, "too many wait for the next message"));
        }
        loop {
            if let Some(message) = self.store.next(after, deadline.min(Instant::now() + LOOK)) {
                return Ok(Response::json(&mail::listed(&message), None));
            }
            if Instant::now() >= deadline || !client.is_open() {
                return Ok(Response::empty(204));
            }
        }
    }

    /// Reserves memory for an answer. A request that has to wait for it counts as one of those that wait.
    fn reserve(&self, octets: u64, client: &HttpConnection) -> Result<Reserved, Response> {
        if let Some(reserved) = self.room.try_reserve(octets) {
            return Ok(reserved);
        }
        if client.may_wait() { self.room.reserve(octets).ok_or_else(busy) } else { Err(busy()) }
    }
}

/// One of the places for those who wait.
struct WaitPermit<'a>(&'a AtomicUsize);

impl WaitPermit<'_> {
    fn take(waiting: &AtomicUsize) -> Result<WaitPermit<'_>, Response> {
        let place = WaitPermit(waiting);
        match waiting.fetch_add(1, Ordering::Relaxed) < MAX_WAITING {
            true => Ok(place),
            false => Err(Response::error(503, "too many wait for the next message")),
        }
    }
}

impl Drop for WaitPermit<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn page(file: &str) -> Response {
    let (kind, text) = match file {
        "app.js" => ("text/javascript; charset=utf-8", include_str!("page/app.js")),
        "faults.js" => ("text/javascript; charset=utf-8", include_str!("page/faults.js")),
        "message.js" => ("text/javascript; charset=utf-8", include_str!("page/message.js")),
        "page.js" => ("text/javascript; charset=utf-8", include_str!("page/page.js")),
        "app.css" => ("text/css; charset=utf-8", include_str!("page/app.css")),
        "icon.svg" => ("image/svg+xml", include_str!("page/icon.svg")),
        _ => ("text/html; charset=utf-8", include_str!("page/index.html")),
    };
    Response::new(200, kind, Body::Fixed(text)).with("Content-Security-Policy", PAGE_POLICY)
}

fn source(message: Arc<StoredMessage>) -> Response {
    let name = format!("message-{}.eml", message.id);
    Response::new(200, "message/rfc822", Body::Stored(message))
        .with("Content-Disposition", download::disposition(&name))
}

fn busy() -> Response {
    Response::error(503, "too many large answers at once")
}

fn json_with(mut room: Reserved, text: Vec<u8>) -> Response {
    room.shrink(text.capacity() as u64);
    Response::new(200, "application/json", Body::Octets(text, Some(room)))
}

fn absent(what: &str) -> Response {
    Response::error(404, format!("there is no such {what}"))
}

fn unreadable(e: impl std::error::Error) -> Response {
    let cause = e.source().map(|cause| format!(": {cause}")).unwrap_or_default();
    Response::error(500, format!("{e}{cause}"))
}
