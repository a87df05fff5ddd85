//! What is answered to which request.

use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;
use pillarbox::ServerHandle;
use serde_json::{Value, json};

use super::answers::{absent, bad, json};
use super::changes::{self, Others};
use super::connections::{self, Connections, Sources};
use super::guard::Guard;
use super::mailpit::{self, Mailpit};
use super::password::Passwords;
use super::release::{self, Release};
use super::routes::{self, ROUTES};
use super::rules::Rules;
use super::store::{Counts, MessageStore, Room, WhenFull};
use super::waiting::Waiting;
use super::{assets, content, messages, openapi};
use crate::digits::parse_digits;
use crate::http::accept_loop::Service;
use crate::http::connection::{Body, HttpConnection, Request, Response};
use crate::http::memory::MemoryReservation;
use crate::metrics;

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
    pub server: ServerHandle,
    pub connections: Arc<Connections>,
    /// Who signed the server's certificate, if it was made at the start: PEM.
    pub authority: Option<String>,
    pub release: Option<Release>,
    /// When it was started.
    pub begun: Instant,
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
        if let Some(page) = assets::file(&request.path[1..]) {
            return if matches!(&*request.method, "GET" | "HEAD") {
                Ok(page)
            } else {
                Err(routes::not_allowed(&["GET"]))
            };
        }
        if metrics::is_known(&request.path) {
            let is_read = matches!(&*request.method, "GET" | "HEAD");
            return if is_read { Ok(metrics::page(request, &self.server)) } else { Err(routes::not_allowed(&["GET"])) };
        }
        if mailpit::has(&request.path) {
            let release = self.release.as_ref();
            let Api { store, room, rules, server, begun, .. } = self;
            return Mailpit { store, room, rules, release, server, begun: *begun }.answer(request, client);
        }
        if request.path == "/away" {
            let is_read = matches!(&*request.method, "GET" | "HEAD");
            return if is_read { content::away(&request.query) } else { Err(routes::not_allowed(&["GET"])) };
        }
        let query = &routes::check(ROUTES, request)?;
        let path: Vec<&str> = request.path[1..].split('/').collect();
        let waiting = Waiting { store: &self.store, room: &self.room };
        match (request.method.as_str(), &path[..]) {
            ("PUT", ["api", "faults"]) => {
                self.rules.lock().replace(&request.body).map_err(bad)?;
                Ok(Response::empty(204))
            }
            ("DELETE", ["api", "faults"]) => {
                self.rules.lock().clear();
                Ok(Response::empty(204))
            }
            (_, ["api", "faults"]) => Ok(json(self.rules.lock().show())),
            ("DELETE", ["api", "messages"]) => messages::delete(&self.store, query),
            (method @ ("PUT" | "DELETE"), ["api", "messages", id, "read"]) => {
                match parse_digits(id).is_some_and(|id| self.store.set_read(id, method == "PUT")) {
                    true => Ok(Response::empty(204)),
                    false => Err(absent("message")),
                }
            }
            ("DELETE", ["api", "messages", id]) => match parse_digits(id).is_some_and(|id| self.store.delete(id)) {
                true => Ok(Response::empty(204)),
                false => Err(absent("message")),
            },
            (_, ["api", "messages"]) => messages::list(&self.store, &self.room, query, client),
            (_, ["api", "messages", id, rest @ ..]) => {
                let message = parse_digits(id).and_then(|id| self.store.get(id)).ok_or_else(|| absent("message"))?;
                match rest {
                    ["release"] => {
                        let release = self.release.as_ref().ok_or_else(release::unavailable)?;
                        let to = release::recipients(&request.body)?;
                        Ok(json(&release.send(&message, to, &self.room, client)?.json()))
                    }
                    ["source"] => Ok(messages::source(message)),
                    ["html"] => content::html(&message, None, query, &self.room, client),
                    ["attachments", name] => content::attachment(&message, name, &self.room, client),
                    ["attachments", name, "html"] => content::html(&message, Some(name), query, &self.room, client),
                    ["attachments", name, "message"] => content::nested(&message, name, &self.room, client),
                    _ => messages::message(&message, &self.room, client),
                }
            }
            (_, ["api", "connections"]) => connections::list(&self.connected(), query),
            (_, ["api", "connections", id]) => connections::one(&self.connected(), id),
            (_, ["api", "next"]) => waiting.next(query, client),
            (_, ["api", "wait"]) => waiting.wait(query, client),
            (_, ["api", "changes"]) => changes::answer(&self.store, &|| self.others(), query, client),
            (_, ["api", "server"]) => Ok(json(&self.about())),
            (_, ["api", "openapi.json"]) => Ok(openapi::document()),
            _ => match &self.authority {
                Some(pem) => {
                    let body = Body::Octets(pem.clone().into_bytes(), None);
                    Ok(Response::new(200, "application/x-pem-file", body))
                }
                None => Err(absent("certificate that was made by --self-signed")),
            },
        }
    }

    fn connected(&self) -> Sources<'_> {
        Sources { connections: &self.connections, store: &self.store, server: &self.server }
    }

    fn others(&self) -> Others {
        Others { connections: self.connections.changes(), faults: self.rules.lock().changes() }
    }

    fn about(&self) -> Value {
        let Counts { total, unread, octets, last_id, dropped, refused } = self.store.counts();
        let Room { messages, octets: most_octets, time, when_full } = self.store.room();
        json!({
            "smtp": self.endpoints,
            "version": env!("CARGO_PKG_VERSION"),
            "last_id": last_id.to_string(),
            "total": total,
            "unread": unread,
            "octets": octets,
            "dropped": dropped,
            "refused": refused,
            "keep": {
                "messages": messages,
                "octets": most_octets,
                "seconds": time.map(|time| time.as_secs_f64()),
                "when_full": if *when_full == WhenFull::Refuse { "refuse" } else { "drop-oldest" },
            },
        })
    }
}
