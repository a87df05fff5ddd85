//! The files that the page is made of.

use crate::http::connection::{Body, Response};

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
    connect-src 'self'; frame-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
    require-trusted-types-for 'script'; trusted-types 'none'";

const HTML: &str = "text/html; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";

/// By name, with type and content. The one without a name is the page.
const FILES: [(&str, &str, &str); 7] = [
    ("", HTML, include_str!("page/index.html")),
    ("app.css", STYLE, include_str!("page/app.css")),
    ("app.js", SCRIPT, include_str!("page/app.js")),
    ("faults.js", SCRIPT, include_str!("page/faults.js")),
    ("icon.svg", "image/svg+xml", include_str!("page/icon.svg")),
    ("message.js", SCRIPT, include_str!("page/message.js")),
    ("page.js", SCRIPT, include_str!("page/page.js")),
];

pub fn is_known(name: &str) -> bool {
    FILES.iter().any(|(file, ..)| *file == name)
}

pub fn file(name: &str) -> Option<Response> {
    let (_, kind, text) = FILES.iter().find(|(file, ..)| *file == name)?;
    Some(Response::new(200, kind, Body::Fixed(text)).with("Content-Security-Policy", POLICY))
}
