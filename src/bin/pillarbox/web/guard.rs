//! Who may ask: no other site's page, under whatever name it reaches us.
//!
//! A page of another site can make a browser send requests here. It gives itself away by `Origin` and `Sec-Fetch-Site`; and
//! if its name was made to lead here (DNS rebinding), so that the browser takes us for its own server, by `Host`.

use std::net::{IpAddr, SocketAddr};

use crate::digits::parse_digits;
use crate::http::connection::{Request, Response};

/// Under which names the inbox is reached.
pub struct Guard {
    address: SocketAddr,
    is_public: bool,
    names: Vec<String>,
    /// The machine's own name: nobody else's page has it, unless whoever names machines here lets it.
    machine: Option<String>,
}

impl Guard {
    pub fn new(address: SocketAddr, is_public: bool, names: Vec<String>) -> Guard {
        let machine = gethostname::gethostname().into_string().ok().filter(|name| !name.is_empty());
        Guard { address, is_public, names, machine }
    }

    /// Whether the request may be answered.
    pub fn check(&self, request: &Request) -> Result<(), Response> {
        let host = request.field("Host")?.unwrap_or_default();
        // RFC 9112 section 3.2.
        let Some(name) = name_of(host) else {
            return Err(Response::error(400, "a request needs a valid Host"));
        };
        let is_named = self.names.iter().any(|ours| ours.eq_ignore_ascii_case(name));
        if !is_named && !self.is_ours(name) {
            return Err(Response::error(421, "the inbox is not known by this name: see --http-host"));
        }
        if let Some(origin) = request.field("Origin")? {
            // Before a name that was given to us there may be a proxy that speaks TLS.
            let ours = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://").filter(|_| is_named));
            if !ours.is_some_and(|ours| ours.eq_ignore_ascii_case(host)) {
                return Err(Response::error(403, "the inbox is not for other sites"));
            }
        }
        match request.field("Sec-Fetch-Site")? {
            None | Some("same-origin" | "none") => Ok(()),
            // A link to the page.
            Some(_) if is_visit(request)? => Ok(()),
            Some(_) => Err(Response::error(403, "the inbox is not for other sites")),
        }
    }

    fn is_ours(&self, name: &str) -> bool {
        let ip = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(name).parse::<IpAddr>();
        if self.machine.as_ref().is_some_and(|machine| machine.eq_ignore_ascii_case(name)) {
            return true;
        }
        let is_local =
            name.eq_ignore_ascii_case("localhost") || ip.as_ref().is_ok_and(|ip| ip.to_canonical().is_loopback());
        // No name can be made to stand for an address, and whoever forwards a port may have chosen another.
        is_local || ip.is_ok_and(|ip| self.is_public || ip == self.address.ip())
    }
}

/// A browser shows the page by itself, and not within another one; or that which a link in a message leads to, whose frame is of
/// an origin of its own.
fn is_visit(request: &Request) -> Result<bool, Response> {
    Ok(request.method == "GET"
        && matches!(&*request.path, "/" | "/away")
        && request.field("Sec-Fetch-Mode")? == Some("navigate")
        && request.field("Sec-Fetch-Dest")? == Some("document"))
}

/// The name in a `Host` field, with a port behind it or without.
fn name_of(host: &str) -> Option<&str> {
    let name_ends = if host.starts_with('[') { host.find(']')? + 1 } else { host.find(':').unwrap_or(host.len()) };
    let (name, port) = host.split_at(name_ends);
    // A name may end with the dot of the root.
    let name = name.strip_suffix('.').unwrap_or(name);
    match port.strip_prefix(':') {
        Some(digits) => parse_digits::<u16>(digits).map(|_| name),
        None if port.is_empty() && !name.is_empty() => Some(name),
        _ => None,
    }
}
