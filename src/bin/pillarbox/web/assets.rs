//! The files that the page is made of.

use crate::http::connection::{Body, Response};

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
    connect-src 'self'; frame-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
    require-trusted-types-for 'script'; trusted-types 'none'";

const HTML: &str = "text/html; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";

/// By name, with type and content. The one without a name is the page.
const FILES: [(&str, &str, &str); 22] = [
    ("", HTML, include_str!("page/index.html")),
    ("app.css", STYLE, include_str!("page/app.css")),
    ("app.js", SCRIPT, include_str!("page/app.js")),
    ("attachments.js", SCRIPT, include_str!("page/attachments.js")),
    ("body.js", SCRIPT, include_str!("page/body.js")),
    ("calendar.js", SCRIPT, include_str!("page/calendar.js")),
    ("connections.css", STYLE, include_str!("page/connections.css")),
    ("connections.js", SCRIPT, include_str!("page/connections.js")),
    ("deletion.js", SCRIPT, include_str!("page/deletion.js")),
    ("dialogs.js", SCRIPT, include_str!("page/dialogs.js")),
    ("empty.js", SCRIPT, include_str!("page/empty.js")),
    ("faults.js", SCRIPT, include_str!("page/faults.js")),
    ("follow.js", SCRIPT, include_str!("page/follow.js")),
    ("icon.svg", "image/svg+xml", include_str!("page/icon.svg")),
    ("inbox.js", SCRIPT, include_str!("page/inbox.js")),
    ("list.css", STYLE, include_str!("page/list.css")),
    ("message.css", STYLE, include_str!("page/message.css")),
    ("message.js", SCRIPT, include_str!("page/message.js")),
    ("page.js", SCRIPT, include_str!("page/page.js")),
    ("remote.js", SCRIPT, include_str!("page/remote.js")),
    ("selection.js", SCRIPT, include_str!("page/selection.js")),
    ("text.js", SCRIPT, include_str!("page/text.js")),
];

/// A file of the page, if there is one of this name.
pub fn file(name: &str) -> Option<Response> {
    let (_, kind, text) = FILES.iter().find(|(file, ..)| *file == name)?;
    Some(Response::new(200, kind, Body::Fixed(text)).with("Content-Security-Policy", POLICY))
}
