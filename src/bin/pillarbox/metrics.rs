//! What those ask who watch a server or a worker: its numbers, whether it works, and whether it takes clients or messages.

use std::io;
use std::net::TcpListener;
use std::sync::Arc;

use pillarbox::{Error, ServerHandle};

use crate::causes::explain;
use crate::http;
use crate::http::accept_loop::{self, Service};
use crate::http::connection::{Body, HttpConnection, Request, Response};

const OPENMETRICS: &str = "application/openmetrics-text";
const TEXT: &str = "text/plain";

/// What is watched.
pub trait Watched: Send + Sync {
    /// Its numbers as OpenMetrics.
    fn openmetrics(&self) -> String;

    /// Its numbers in Prometheus's older format.
    fn prometheus(&self) -> String;

    /// Whether all of its threads come round.
    fn is_responsive(&self) -> bool;

    /// Why nobody should send it anything now, in a few words and a line feed; none if all is well.
    fn unready(&self) -> Option<&'static str>;
}

impl Watched for ServerHandle {
    fn openmetrics(&self) -> String {
        self.stats().openmetrics()
    }

    fn prometheus(&self) -> String {
        self.stats().prometheus()
    }

    fn is_responsive(&self) -> bool {
        ServerHandle::is_responsive(self)
    }

    fn unready(&self) -> Option<&'static str> {
        self.is_shutting_down().then_some("shutting down\n")
    }
}

/// Answers at an address of its own.
struct Metrics(Arc<dyn Watched>);

/// Binds where those who watch ask.
///
/// # Errors
/// What to tell about it.
pub fn bind(place: &str) -> Result<TcpListener, String> {
    http::bind(place).map_err(|source| explain(&Error::Bind { address: place.to_owned(), source }))
}

/// Answers for as long as the process lives, through a shutdown too. Gives the address of the numbers.
///
/// # Errors
/// If there is no thread.
pub fn start(listener: TcpListener, watched: Arc<dyn Watched>) -> io::Result<String> {
    let url = format!("http://{}/metrics", listener.local_addr()?);
    accept_loop::start("metrics", listener, 0, Arc::new(Metrics(watched)))?;
    Ok(url)
}

impl Service for Metrics {
    fn answer(&self, request: &Request, _: &HttpConnection) -> Response {
        let response = if !is_known(&request.path) {
            Response::error(404, "there is no such page: the pages are /metrics, /livez and /readyz")
        } else if !["GET", "HEAD"].contains(&&*request.method) {
            Response::error(405, "the methods are GET, HEAD").with("Allow", "GET, HEAD")
        } else {
            page(request, &*self.0)
        };
        response.with("X-Content-Type-Options", "nosniff").with("Cache-Control", "no-store")
    }
}

/// Whether [`page`] has something at a path.
pub fn is_known(path: &str) -> bool {
    ["/metrics", "/livez", "/readyz"].contains(&path)
}

/// Whether a page says only whether the server works, and nothing of what it does.
pub fn is_health(path: &str) -> bool {
    ["/livez", "/readyz"].contains(&path)
}

/// The page at a path that is known.
pub fn page(request: &Request, watched: &dyn Watched) -> Response {
    match &*request.path {
        "/metrics" if prefers_text(request) => numbers(TEXT, "0.0.4", watched.prometheus()),
        "/metrics" => numbers(OPENMETRICS, "1.0.0", watched.openmetrics()),
        _ if !watched.is_responsive() => verdict(503, "a listener or a handler does not come round\n"),
        "/readyz" => watched.unready().map_or_else(|| verdict(200, "ok\n"), |why| verdict(503, why)),
        _ => verdict(200, "ok\n"),
    }
}

fn numbers(kind: &str, version: &str, text: String) -> Response {
    let kind = format!("{kind}; version={version}; charset=utf-8");
    Response::new(200, &kind, Body::Octets(text.into_bytes(), None)).with("Vary", "Accept")
}

fn verdict(status: u16, text: &'static str) -> Response {
    Response::new(status, "text/plain; charset=utf-8", Body::Fixed(text))
}

/// Whether it would rather have the older format: RFC 9110 section 12.5.1. Who names neither gets the newer one.
fn prefers_text(request: &Request) -> bool {
    let accepted = request.field("Accept").ok().flatten().unwrap_or_default();
    quality(accepted, TEXT) > quality(accepted, OPENMETRICS)
}

/// How much a type is wanted; nothing if it is not named.
fn quality(accepted: &str, kind: &str) -> f32 {
    let qualities = accepted.split(',').filter_map(|range| {
        let mut parts = range.split(';').map(str::trim);
        let is_named = parts.next().is_some_and(|name| name.eq_ignore_ascii_case(kind));
        let weight = parts.find_map(|part| part.strip_prefix("q=").or(part.strip_prefix("Q=")));
        is_named.then(|| weight.map_or(1.0, |weight| weight.parse().unwrap_or(0.0)))
    });
    qualities.fold(0.0, f32::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_clients_want_most() {
        // Prometheus 2 and 3.
        let two = "application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,\
                   text/plain;version=0.0.4;q=0.3,*/*;q=0.1";
        let old = "text/plain;version=0.0.4;q=1,*/*;q=0.1";
        for (accepted, text, openmetrics) in [
            (two, 0.3, 0.5),
            (old, 1.0, 0.0),
            ("", 0.0, 0.0),
            ("*/*", 0.0, 0.0),
            ("Text/Plain, application/openmetrics-text; Q=0.2", 1.0, 0.2),
            ("text/plain; q=much", 0.0, 0.0),
            ("text/plainer", 0.0, 0.0),
        ] {
            assert_eq!((quality(accepted, TEXT), quality(accepted, OPENMETRICS)), (text, openmetrics), "{accepted}");
        }
    }
}
