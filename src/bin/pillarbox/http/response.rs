//! What a client gets.

use std::io::Read;
use std::sync::Arc;

use serde_json::{Value, json};

use super::memory::Reserved;

pub struct Response {
    pub status: u16,
    pub fields: Vec<(&'static str, String)>,
    pub body: Body,
}

/// Octets that are not in memory as a whole.
pub trait Stored: Send + Sync {
    /// How many there are.
    fn octets(&self) -> u64;

    /// All of them, from the first.
    fn reader(&self) -> Box<dyn Read + '_>;
}

pub enum Body {
    None,
    Fixed(&'static str),
    /// With the room that they take.
    Octets(Vec<u8>, Option<Reserved>),
    /// What is stored elsewhere, read while it is sent.
    Stored(Arc<dyn Stored>),
}

impl Response {
    pub fn new(status: u16, kind: &str, body: Body) -> Response {
        Response { status, fields: vec![("Content-Type", kind.to_owned())], body }
    }

    pub fn empty(status: u16) -> Response {
        Response { status, fields: Vec::new(), body: Body::None }
    }

    pub fn json(value: &Value, room: Option<Reserved>) -> Response {
        Response::new(200, "application/json", Body::Octets(value.to_string().into_bytes(), room))
    }

    pub fn error(status: u16, problem: impl Into<String>) -> Response {
        let text = json!({ "error": problem.into() }).to_string();
        Response::new(status, "application/json", Body::Octets(text.into_bytes(), None))
    }

    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Response {
        self.fields.push((name, value.into()));
        self
    }

    /// The status in words.
    pub fn reason(&self) -> &'static str {
        match self.status {
            200 => "OK",
            204 => "No Content",
            400 => "Bad Request",
            401 => "Unauthorized",
            403 => "Forbidden",
            404 => "Not Found",
            405 => "Method Not Allowed",
            413 => "Content Too Large",
            421 => "Misdirected Request",
            429 => "Too Many Requests",
            431 => "Request Header Fields Too Large",
            500 => "Internal Server Error",
            501 => "Not Implemented",
            _ => "Service Unavailable",
        }
    }
}

impl Body {
    pub fn len(&self) -> u64 {
        match self {
            Body::None => 0,
            Body::Fixed(text) => text.len() as u64,
            Body::Octets(octets, _) => octets.len() as u64,
            Body::Stored(stored) => stored.octets(),
        }
    }
}
