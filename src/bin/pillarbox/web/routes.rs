//! Which paths there are, with which methods and parameters; openapi.json describes what they do.

use crate::http::connection::{Request, Response};

use super::query::Query;

/// A path; what is in braces stands for any word without a slash.
pub struct Route {
    pub path: &'static str,
    pub methods: &'static [Method],
}

/// A method's name, and the parameters of its query.
pub struct Method(pub &'static str, pub &'static [&'static str]);

const GET: Method = Method("GET", &[]);
const HTML: Method = Method("GET", &["images", "frame", "scheme"]);
const PUT: Method = Method("PUT", &[]);
const DELETE: Method = Method("DELETE", &[]);

const LIST: Method = Method("GET", &["to", "from", "subject", "search", "limit", "before"]);
const NEXT: Method = Method("GET", &["to", "from", "subject", "search", "after", "timeout"]);
const WAIT: Method = Method("GET", &["to", "from", "subject", "search", "count", "after", "timeout"]);
const CHANGES: Method = Method("GET", &["after", "timeout"]);
const DELETE_ALL: Method = Method("DELETE", &["to", "from", "subject", "search"]);

pub const ROUTES: &[Route] = &[
    Route { path: "/api/messages", methods: &[LIST, DELETE_ALL] },
    Route { path: "/api/messages/{id}", methods: &[GET, DELETE] },
    Route { path: "/api/messages/{id}/read", methods: &[PUT, DELETE] },
    Route { path: "/api/messages/{id}/release", methods: &[Method("POST", &[])] },
    Route { path: "/api/messages/{id}/source", methods: &[GET] },
    Route { path: "/api/messages/{id}/html", methods: &[HTML] },
    Route { path: "/api/messages/{id}/attachments/{index}", methods: &[GET] },
    Route { path: "/api/messages/{id}/attachments/{index}/html", methods: &[HTML] },
    Route { path: "/api/messages/{id}/attachments/{index}/message", methods: &[GET] },
    Route { path: "/api/connections", methods: &[Method("GET", &["after", "before", "limit"])] },
    Route { path: "/api/connections/{id}", methods: &[GET] },
    Route { path: "/api/next", methods: &[NEXT] },
    Route { path: "/api/wait", methods: &[WAIT] },
    Route { path: "/api/changes", methods: &[CHANGES] },
    Route { path: "/api/faults", methods: &[GET, PUT, DELETE] },
    Route { path: "/api/server", methods: &[GET] },
    Route { path: "/api/openapi.json", methods: &[GET] },
    Route { path: "/ca.pem", methods: &[GET] },
];

/// The parameters of a request for one of the routes.
///
/// # Errors
/// If there is no such path, method or parameter: what there is.
pub fn check(routes: &[Route], request: &Request) -> Result<Query, Response> {
    let Some(route) = routes.iter().find(|route| route.has(&request.path)) else {
        let paths: Vec<&str> = routes.iter().map(|route| route.path).collect();
        return Err(Response::error(404, format!("there is no such path: there are {}", paths.join(", "))));
    };
    // As RFC 9110 section 9.3.2 has it, whatever can be read has a head.
    let wanted = if request.method == "HEAD" { "GET" } else { &request.method };
    let Some(Method(_, parameters)) = route.methods.iter().find(|Method(name, _)| *name == wanted) else {
        return Err(not_allowed(&route.methods.iter().map(|Method(name, _)| *name).collect::<Vec<_>>()));
    };
    // What was meant to select messages, say, must not be overlooked.
    if !request.body.is_empty() && !takes_body(&request.method, route.path) {
        return Err(Response::error(400, "no body is expected here"));
    }
    Query::parse(&request.query, parameters).map_err(|problem| Response::error(400, problem))
}

fn takes_body(method: &str, path: &str) -> bool {
    match path {
        "/api/faults" | "/api/v1/chaos" => method == "PUT",
        "/api/v1/messages" => matches!(method, "PUT" | "DELETE"),
        "/api/messages/{id}/release" | "/api/v1/message/{id}/release" => method == "POST",
        _ => false,
    }
}

/// The answer to a method that is none of these.
pub fn not_allowed(methods: &[&str]) -> Response {
    let allowed = methods.join(", ").replacen("GET", "GET, HEAD", 1);
    Response::error(405, format!("the methods are {allowed}")).with("Allow", allowed)
}

impl Route {
    fn has(&self, path: &str) -> bool {
        let (mut ours, mut theirs) = (self.path.split('/'), path.split('/'));
        loop {
            match (ours.next(), theirs.next()) {
                (None, None) => return true,
                (Some(ours), Some(theirs)) if ours == theirs || ours.starts_with('{') && !theirs.is_empty() => {}
                _ => return false,
            }
        }
    }
}
