//! The part of Mailpit's API (v1) that this inbox can answer too, for clients that were made for it: their paths, their fields.
//! What it has besides is not there, and says so.

mod body;
mod chaos;
mod shapes;

use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;
use pillarbox::ServerHandle;
use serde::Deserialize;
use serde_json::json;

use self::body::{body, or_default};
use super::answers::{absent, bad, busy, json, json_with, reserve, unreadable};
use super::filter::{self, Filter};
use super::mail::{MAX_SHORT, bodies, without_bodies};
use super::messages::whole;
use super::query::Query;
use super::release::{Release, unavailable};
use super::routes::{self, Method, Route};
use super::rules::Rules;
use super::store::{MessageStore, StoredMessage};
use super::{content, download};
use crate::digits::parse_digits;
use crate::http::connection::{Body, HttpConnection, Request, Response};
use crate::http::memory::MemoryReservation;

/// How many messages a list has, if nothing is said.
const LIMIT: usize = 50;

/// In octets, of a list: it has no way to say where it goes on.
const MAX_LIST: usize = 64 * 1024 * 1024;

/// Words of Mailpit's searches that are none here, where they would be looked for as words.
const OTHER_WORDS: [&str; 6] = ["tag:", "before:", "after:", "larger:", "smaller:", "is:tagged"];

const LATEST: &[&str] = &["query", "tz"];

const ROUTES: &[Route] = &[
    Route { path: "/api/v1/info", methods: &[Method("GET", &[])] },
    Route { path: "/api/v1/webui", methods: &[Method("GET", &[])] },
    Route {
        path: "/api/v1/messages",
        methods: &[Method("GET", &["start", "limit"]), Method("PUT", &["tz"]), Method("DELETE", &[])],
    },
    Route {
        path: "/api/v1/search",
        methods: &[Method("GET", &["query", "start", "limit", "tz"]), Method("DELETE", &["query", "tz"])],
    },
    Route { path: "/api/v1/message/{id}", methods: &[Method("GET", LATEST)] },
    Route { path: "/api/v1/message/{id}/headers", methods: &[Method("GET", LATEST)] },
    Route { path: "/api/v1/message/{id}/raw", methods: &[Method("GET", &["query", "tz", "dl"])] },
    Route { path: "/api/v1/message/{id}/part/{part}", methods: &[Method("GET", LATEST)] },
    Route { path: "/api/v1/message/{id}/release", methods: &[Method("POST", &[])] },
    Route { path: "/api/v1/chaos", methods: &[Method("GET", &[]), Method("PUT", &[])] },
    Route { path: "/view/{id}", methods: &[Method("GET", &["query", "tz", "embed"])] },
];

/// What the answers are made of.
pub struct Mailpit<'a> {
    pub store: &'a MessageStore,
    pub room: &'a Arc<MemoryReservation>,
    pub rules: &'a Mutex<Rules>,
    pub release: Option<&'a Release>,
    pub server: &'a ServerHandle,
    pub begun: Instant,
}

/// Whether a path belongs to Mailpit's API.
pub fn has(path: &str) -> bool {
    path.starts_with("/api/v1/") || path.starts_with("/view/")
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Marks {
    #[serde(rename = "Read", alias = "read", deserialize_with = "or_default")]
    is_read: bool,
    #[serde(rename = "IDs", alias = "ids", deserialize_with = "or_default")]
    ids: Vec<String>,
    #[serde(rename = "Search", alias = "search", deserialize_with = "or_default")]
    search: String,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Deletion {
    #[serde(rename = "IDs", alias = "ids", deserialize_with = "or_default")]
    ids: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Recipients {
    #[serde(rename = "To", alias = "to")]
    to: Vec<String>,
}

impl Mailpit<'_> {
    pub fn answer(&self, request: &Request, client: &HttpConnection) -> Result<Response, Response> {
        let query = &routes::check(ROUTES, request)?;
        let path: Vec<&str> = request.path[1..].split('/').skip(2).collect();
        match (request.method.as_str(), &path[..]) {
            (_, ["info"]) => Ok(json(&shapes::info(self.store.counts(), &self.server.stats(), self.begun))),
            (_, ["webui"]) => Ok(json(&shapes::configuration(self.release.is_some()))),
            ("PUT", ["messages"]) => self.mark(body(&request.body)?),
            ("DELETE", ["messages"]) => self.delete(&body::<Deletion>(&request.body)?.ids),
            (_, ["messages"]) => self.list(query, None, client),
            ("DELETE", ["search"]) => {
                let filter = wanted(query)?;
                self.store.delete_where(&|message| filter.matches(message));
                Ok(done())
            }
            (_, ["search"]) => self.list(query, Some(wanted(query)?), client),
            ("PUT", ["chaos"]) => Ok(json(&chaos::put(&mut self.rules.lock(), body(&request.body)?).map_err(bad)?)),
            (_, ["chaos"]) => Ok(json(&chaos::show(&mut self.rules.lock()))),
            (_, ["message", id, rest @ ..]) => self.about(&self.find(id, query)?, rest, request, query, client),
            _ => self.view(request, query, client),
        }
    }

    /// Something of one message.
    fn about(
        &self,
        message: &Arc<StoredMessage>,
        what: &[&str],
        request: &Request,
        query: &Query,
        client: &HttpConnection,
    ) -> Result<Response, Response> {
        match what {
            ["raw"] => Ok(raw(message, query)),
            ["headers"] => {
                let _room = reserve(self.room, MAX_SHORT, client)?;
                Ok(json(&shapes::headers(message).map_err(unreadable)?))
            }
            ["part", part] => self.part(message, part, client),
            ["release"] => {
                let release = self.release.ok_or_else(unavailable)?;
                let Recipients { to } = body(&request.body)?;
                match release.send(message, to, self.room, client)?.refusal() {
                    None => Ok(done()),
                    Some(refusal) => Err(bad(refusal)),
                }
            }
            _ => {
                let room = reserve(self.room, whole(message), client)?;
                let shown = shapes::message(message).map_err(unreadable)?.to_string();
                if request.method == "GET" {
                    self.store.set_read(message.id, true);
                }
                Ok(json_with(room, shown.into_bytes()))
            }
        }
    }

    fn list(&self, query: &Query, filter: Option<Filter>, client: &HttpConnection) -> Result<Response, Response> {
        let start = query.number("start", 0..=usize::MAX).map_err(bad)?.unwrap_or(0);
        let limit = query.number("limit", 0..=usize::MAX).map_err(bad)?.unwrap_or(LIMIT);
        let counts = self.store.counts();
        let is_wanted = |message: &StoredMessage| filter.as_ref().is_none_or(|filter| filter.matches(message));
        let found = self.store.page(None, usize::MAX, &is_wanted);
        let unread = found.iter().filter(|message| !message.is_read()).count();
        let mut room = reserve(self.room, MAX_SHORT, client)?;
        let mut text = b"{\"messages\":[".to_vec();
        for (at, message) in found.iter().skip(start).take(limit).enumerate() {
            if at > 0 {
                text.push(b',');
            }
            text.extend_from_slice(shapes::listed(message).to_string().as_bytes());
            if text.len() > MAX_LIST || !room.grow(text.capacity() as u64 + MAX_SHORT) {
                return Err(busy());
            }
        }
        let count = found.len().saturating_sub(start).min(limit);
        let end = json!({
            "total": counts.total, "unread": counts.unread, "count": count, "messages_count": found.len(),
            "messages_unread": unread, "start": start, "tags": [],
        });
        text.extend_from_slice(b"],");
        text.extend_from_slice(&end.to_string().as_bytes()[1..]);
        Ok(json_with(room, text))
    }

    fn mark(&self, Marks { is_read, ids, search }: Marks) -> Result<Response, Response> {
        if !ids.is_empty() && !search.is_empty() {
            return Err(bad("expected IDs or a Search, not both"));
        }
        let filter = if search.is_empty() { None } else { Some(search_for("Search", &search)?) };
        let is_wanted = |message: &StoredMessage| filter.as_ref().is_none_or(|filter| filter.matches(message));
        match ids.is_empty() {
            true => self.store.page(None, usize::MAX, &is_wanted).iter().for_each(|message| {
                self.store.set_read(message.id, is_read);
            }),
            false => ids.iter().filter_map(|id| parse_digits(id)).for_each(|id| {
                self.store.set_read(id, is_read);
            }),
        }
        Ok(done())
    }

    /// Deletes messages, or all if none is named.
    fn delete(&self, ids: &[String]) -> Result<Response, Response> {
        let ids: Vec<Option<u64>> = ids.iter().map(|id| parse_digits(id)).collect();
        self.store.delete_where(&|message| ids.is_empty() || ids.contains(&Some(message.id)));
        Ok(done())
    }

    /// A message by its id, or the latest, of those that a query finds if there is one.
    fn find(&self, id: &str, query: &Query) -> Result<Arc<StoredMessage>, Response> {
        let found = match (id, query.value("query")) {
            ("latest", None) => self.store.latest(&|_| true),
            ("latest", Some(search)) => {
                let filter = search_for("query", search)?;
                self.store.latest(&|message| filter.matches(message))
            }
            (id, _) => parse_digits(id).and_then(|id| self.store.get(id)),
        };
        found.ok_or_else(|| absent("message"))
    }

    fn part(&self, message: &StoredMessage, part: &str, client: &HttpConnection) -> Result<Response, Response> {
        let index: usize = parse_digits(part).ok_or_else(|| absent("part"))?;
        let mut room = reserve(self.room, 2 * message.envelope.content().len(), client)?;
        let mail = without_bodies(&message.envelope).map_err(unreadable)?;
        let part = mail.attachments().get(index).ok_or_else(|| absent("part"))?;
        let octets = part.bytes().map_err(unreadable)?;
        room.shrink(octets.len() as u64);
        // Its own type, which clients ask for: it is stored and not shown, and the policy of all answers lets it do nothing.
        let response = Response::new(200, part.content_type(), Body::Octets(octets, Some(room)));
        Ok(response.with("Content-Disposition", download::disposition(&download::name(part, &index.to_string()))))
    }

    /// `/view/ID.html` and `/view/ID.txt`.
    fn view(&self, request: &Request, query: &Query, client: &HttpConnection) -> Result<Response, Response> {
        let name = request.path.rsplit('/').next().unwrap_or_default();
        match name.rsplit_once('.') {
            Some((id, "html")) => content::html(&*self.find(id, query)?, None, &Query::default(), self.room, client),
            Some((id, "txt")) => {
                let message = self.find(id, query)?;
                let room = reserve(self.room, whole(&message), client)?;
                let text = bodies(&message.envelope).map_err(unreadable)?.text().unwrap_or_default().to_owned();
                Ok(Response::new(200, "text/plain; charset=utf-8", Body::Octets(text.into_bytes(), Some(room))))
            }
            _ => Err(absent("view: there are ID.html and ID.txt")),
        }
    }
}

fn raw(message: &Arc<StoredMessage>, query: &Query) -> Response {
    let response = Response::new(200, "text/plain; charset=utf-8", Body::Stored(message.clone()));
    match query.value("dl") {
        Some("1") => response.with("Content-Disposition", download::disposition(&format!("{}.eml", message.id))),
        _ => response,
    }
}

fn wanted(query: &Query) -> Result<Filter, Response> {
    search_for("query", query.value("query").ok_or_else(|| bad("query: it is missing"))?)
}

fn search_for(parameter: &str, search: &str) -> Result<Filter, Response> {
    match OTHER_WORDS.into_iter().find(|word| filter::begins_a_word(search, word)) {
        Some(word) => Err(bad(format!("{parameter}: there is no {word} here"))),
        None => Filter::search(parameter, search).map_err(bad),
    }
}

fn done() -> Response {
    Response::new(200, "text/plain; charset=utf-8", Body::Fixed("ok"))
}
