//! The description of the API for programs.

use crate::http::connection::{Body, Response};

const DOCUMENT: &str = include_str!("openapi.json");

pub fn document() -> Response {
    Response::new(200, "application/json", Body::Fixed(DOCUMENT))
}
