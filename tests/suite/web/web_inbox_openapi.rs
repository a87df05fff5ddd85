//! `/api/openapi.json` is true: every path, method, parameter and status in it is tried, each answer is valid by its schema, and the
//! server has nothing besides.
//!
//! Schemas are checked by Python's openapi-spec-validator.

use std::collections::BTreeSet;
use std::process::Command;

use crate::support::web::{Answer, Inbox, deliver};
use crate::support::{run, runners};
use serde_json::{Value, json};

const SCRIPT: &str = "
import json, sys
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate
asked = json.load(sys.stdin)
document = asked['document']
validate(document)
for check in asked['checks']:
    schema = {**check['schema'], 'components': document['components']}
    problems = [error.message[:300] for error in Draft202012Validator(schema).iter_errors(check['value'])]
    assert not problems, (check['what'], problems)
print(len(asked['checks']), 'are valid')
";

const HTML: &str = "From: Ann <a@example.org>\r\nTo: b@example.org, c@example.org\r\nSubject: one\r\nMessage-ID: <1@example.org>\r\n\
    Date: Fri, 27 Nov 2026 04:00:00 +0100\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/html\r\n\r\n\
    <p>Your code is 482913, or click <a href='https://example.org/?a=1&amp;b=2'>here</a>\r\n--b\r\n\
    Content-Type: message/rfc822\r\n\r\nFrom: b@example.org\r\nSubject: inner\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n\
    --c\r\nContent-Type: text/html\r\n\r\n<p>x\r\n--c\r\nContent-Type: image/png\r\n\r\nx\r\n--c--\r\n--b\r\nContent-Type: text/csv; name=a.csv\r\n\r\na,b\r\n--b--\r\n";

const NESTED: &str = "/api/messages/{id}/attachments/{index}/message";
const NESTED_HTML: &str = "/api/messages/{id}/attachments/{index}/html";

/// All requests: the operation's path, and a request that brings the status.
fn requests() -> Vec<(&'static str, &'static str, &'static str, String, u16)> {
    let mut all = Vec::new();
    let mut add = |method, path, target: &str, body: &'static str, status| {
        all.push((method, path, body, target.to_owned(), status))
    };
    let filters = "to=b@example.org&from=a@example.org&subject=one&search=code";
    add("GET", "/api/messages", &format!("/api/messages?{filters}&limit=1&before=9"), "", 200);
    add("GET", "/api/messages", "/api/messages?limit=1", "", 200);
    add("GET", "/api/messages", "/api/messages?limit=0", "", 400);
    for what in ["", "/source", "/html", "/attachments/{index}"] {
        let path: &'static str = match what {
            "" => "/api/messages/{id}",
            "/source" => "/api/messages/{id}/source",
            "/html" => "/api/messages/{id}/html",
            _ => "/api/messages/{id}/attachments/{index}",
        };
        let target = |id: u32, index: u32| format!("/api/messages/{id}{}", what.replace("{index}", &index.to_string()));
        add("GET", path, &target(1, 1), "", 200);
        add("GET", path, &target(99, 0), "", 404);
        add("GET", path, &format!("{}?x=1", target(1, 0)), "", 400);
    }
    add("GET", "/api/messages/{id}", "/api/messages/2", "", 200);
    let nested = "/api/messages/{id}/attachments/{index}";
    add("GET", "/api/messages/{id}/html", "/api/messages/1/html?images=load&frame=page&scheme=dark", "", 200);
    add("GET", NESTED_HTML, "/api/messages/1/attachments/0/html?images=load&frame=page&scheme=light", "", 200);
    add("GET", NESTED_HTML, "/api/messages/1/attachments/0/html?scheme=red", "", 400);
    add("GET", NESTED_HTML, "/api/messages/1/attachments/1/html", "", 404);
    add("GET", NESTED, "/api/messages/1/attachments/0/message", "", 200);
    add("GET", NESTED, "/api/messages/1/attachments/0/message?x=1", "", 400);
    add("GET", NESTED, "/api/messages/1/attachments/1/message", "", 404);
    add("GET", nested, "/api/messages/1/attachments/0.0", "", 200);
    add("GET", "/api/connections", "/api/connections?after=0&before=99&limit=1", "", 200);
    add("GET", "/api/connections", "/api/connections?limit=0", "", 400);
    add("GET", "/api/connections/{id}", "/api/connections/1", "", 200);
    add("GET", "/api/connections/{id}", "/api/connections/99", "", 404);
    add("GET", "/api/connections/{id}", "/api/connections/1?x=1", "", 400);
    for method in ["PUT", "DELETE"] {
        add(method, "/api/messages/{id}/read", "/api/messages/1/read", "", 204);
        add(method, "/api/messages/{id}/read", "/api/messages/99/read", "", 404);
        add(method, "/api/messages/{id}/read", "/api/messages/1/read?x=1", "", 400);
    }
    let release = "/api/messages/{id}/release";
    add("POST", release, "/api/messages/1/release", "{\"to\":[\"ok@example.org\"]}", 200);
    add("POST", release, "/api/messages/1/release", "{\"to\":[\"no@elsewhere.example\"]}", 403);
    add("POST", release, "/api/messages/1/release", "{\"to\":[]}", 400);
    add("POST", release, "/api/messages/99/release", "{\"to\":[\"ok@example.org\"]}", 404);
    add("GET", "/api/next", &format!("/api/next?{filters}&after=0&timeout=0"), "", 200);
    add("GET", "/api/next", "/api/next?timeout=0", "", 204);
    add("GET", "/api/next", "/api/next?timeout=-1", "", 400);
    add("GET", "/api/wait", &format!("/api/wait?{filters}&after=0&timeout=0&count=1"), "", 200);
    add("GET", "/api/wait", "/api/wait?count=9&timeout=0", "", 404);
    add("GET", "/api/wait", "/api/wait?count=0", "", 400);
    add("GET", "/api/changes", "/api/changes", "", 200);
    add("GET", "/api/changes", "/api/changes?after=0&timeout=0", "", 200);
    add("GET", "/api/changes", "/api/changes?after=x", "", 400);
    add("PUT", "/api/faults", "/api/faults", r#"[{"on":{"verb":"NOOP"},"do":{"delay":1}}]"#, 204);
    add("PUT", "/api/faults", "/api/faults", "{}", 400);
    add("GET", "/api/faults", "/api/faults", "", 200);
    add("GET", "/api/faults", "/api/faults?x=1", "", 400);
    add("DELETE", "/api/faults", "/api/faults?x=1", "", 400);
    add("DELETE", "/api/faults", "/api/faults", "", 204);
    for (path, query) in [("/api/server", "?x=1"), ("/api/openapi.json", "?x=1"), ("/ca.pem", "?x=1")] {
        add("GET", path, path, "", 200);
        add("GET", path, &format!("{path}{query}"), "", 400);
    }
    add("DELETE", "/api/messages/{id}", "/api/messages/2", "", 204);
    add("DELETE", "/api/messages/{id}", "/api/messages/2", "", 404);
    add("DELETE", "/api/messages/{id}", "/api/messages/1?x=1", "", 400);
    add("DELETE", "/api/messages", "/api/messages?x=1", "", 400);
    add("DELETE", "/api/messages", &format!("/api/messages?{filters}"), "", 204);
    all
}

/// What the document says of an operation, and the parameters of its query.
fn operation<'a>(document: &'a Value, method: &str, path: &str) -> (&'a Value, BTreeSet<String>) {
    let operation = &document["paths"][path][method.to_lowercase()];
    assert!(operation.is_object(), "{method} {path} is not described");
    let parameters =
        operation["parameters"].as_array().into_iter().flatten().map(|parameter| resolved(document, parameter));
    let queries = parameters.filter(|parameter| parameter["in"] == "query");
    (operation, queries.map(|parameter| parameter["name"].as_str().expect("a name").to_owned()).collect())
}

fn resolved<'a>(document: &'a Value, value: &'a Value) -> &'a Value {
    match value["$ref"].as_str() {
        Some(pointer) => document.pointer(&pointer[1..]).expect("it leads somewhere"),
        None => value,
    }
}

#[test]
fn the_description_is_true() {
    let Some(python) = runners::python() else { return };
    let next = Inbox::start();
    let to = next.server.endpoint.clone();
    let folder = tempfile::tempdir().expect("a folder");
    let authority = format!("--self-signed={}", folder.path().join("ca.pem").display());
    let inbox = Inbox::start_with(&["--release-to", &to, "--release-pattern", "*@example.org", &authority]);
    deliver(&mut inbox.client(), HTML.as_bytes());
    deliver(&mut inbox.client(), b"two\r\n");
    let document = inbox.get("/api/openapi.json").json();
    let mut checks = Vec::new();
    let (mut statuses, mut used) = (BTreeSet::new(), BTreeSet::new());
    for (method, path, body, target, status) in requests() {
        let answer = inbox.request(method, &target, "", body);
        assert_eq!(answer.status, status, "{method} {target}: {answer:?}");
        let (operation, parameters) = operation(&document, method, path);
        let response = resolved(&document, &operation["responses"][status.to_string()]);
        let what = format!("{method} {target}: {status}");
        assert!(response.is_object(), "{what} is not described");
        checks.extend(check(&what, response, &answer));
        statuses.insert((method, path, status));
        let query = target.split_once('?').map_or("", |(_, query)| query);
        let names = query.split('&').filter_map(|pair| Some(pair.split_once('=')?.0.to_owned()));
        used.extend(names.filter(|name| parameters.contains(name)).map(|name| (method, path, name)));
    }
    // Without --self-signed there is none.
    assert_eq!(next.request("GET", "/ca.pem", "", "").status, 404);
    statuses.insert(("GET", "/ca.pem", 404));
    let mut described = BTreeSet::new();
    for (path, methods) in document["paths"].as_object().expect("paths") {
        let names: Vec<String> = methods
            .as_object()
            .expect("methods")
            .keys()
            .filter(|name| *name != "parameters")
            .map(|name| name.to_uppercase())
            .collect();
        for method in &names {
            let (operation, parameters) = operation(&document, method, path);
            for status in
                operation["responses"].as_object().expect("responses").keys().filter(|status| *status != "default")
            {
                let status: u16 = status.parse().expect("a status");
                assert!(
                    statuses.contains(&(method.as_str(), path.as_str(), status)),
                    "{method} {path} {status} was not tried"
                );
            }
            for name in &parameters {
                assert!(
                    used.contains(&(method.as_str(), path.as_str(), name.clone())),
                    "{name} of {method} {path} was not tried"
                );
            }
            // The server knows these parameters, and no others.
            let target = path.replace("{id}", "1").replace("{index}", "0");
            let unknown = inbox.request(method, &format!("{target}?unknown=1"), "", "");
            let error = unknown.error();
            let known = error.split_once(": there are ").expect("a list").1;
            let known: BTreeSet<String> =
                known.split(", ").filter(|name| *name != "none here").map(str::to_owned).collect();
            assert_eq!((unknown.status, known), (400, parameters), "{method} {path}");
        }
        // And these methods.
        let target = path.replace("{id}", "1").replace("{index}", "0");
        let refused = inbox.request("PATCH", &target, "", "");
        let allowed: BTreeSet<&str> =
            refused.field("Allow").expect("it is there").split(", ").filter(|name| *name != "HEAD").collect();
        assert_eq!((refused.status, allowed), (405, names.iter().map(String::as_str).collect()), "{path}");
        checks.push(json!({"what": format!("PATCH {path}"), "schema": {"$ref": "#/components/schemas/Error"}, "value": refused.json()}));
        described.insert(path.as_str());
    }
    // And these paths.
    let error = inbox.request("GET", "/api/nowhere", "", "").error();
    let paths: BTreeSet<&str> = error.split_once(": there are ").expect("a list").1.split(", ").collect();
    assert_eq!(paths, described);
    let asked = json!({"document": document, "checks": checks}).to_string();
    let ran = run(Command::new(python).args(["-c", SCRIPT]), asked.as_bytes()).succeeded();
    assert_eq!(ran.stdout, format!("{} are valid\n", checks.len()));
}

/// An answer in JSON with its schema; of any other its type is compared.
fn check(what: &str, response: &Value, answer: &Answer) -> Option<Value> {
    let Some((kind, content)) = response["content"].as_object().and_then(|content| content.iter().next()) else {
        assert!(answer.body.is_empty() && answer.field("Content-Type").is_none(), "{what}: {answer:?}");
        return None;
    };
    let given = answer.field("Content-Type").expect("it has a type");
    assert!(given == kind || kind == "*/*", "{what}: {given}");
    (kind == "application/json").then(|| json!({"what": what, "schema": content["schema"], "value": answer.json()}))
}
