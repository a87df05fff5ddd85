//! Clients made for Mailpit: the npm package mailpit-api, run by node.

use std::io::{Read, Write};
use std::path::Path;
use std::process::Command;

use crate::support::web::{Answer, Inbox, deliver};
use crate::support::{run, runners};
use serde_json::{Value, json};

const FILES: &str = "From: =?utf-8?q?J=C3=BCrgen?= <j@example.org>\r\nTo: ann@example.org\r\nSubject: Files\r\n\
    Date: Fri, 27 Nov 2026 04:00:00 +0100\r\nMessage-ID: <files@example.org>\r\nX-Folded: one\r\n two\r\n\
    List-Unsubscribe: <https://example.org/leave>, <mailto:leave@example.org>\r\n\
    Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nSee below\r\n\r\n--b\r\nContent-Type: text/html\r\n\r\n\
    <p>See <img src=\"cid:dot@example.org\">\r\n\r\n--b\r\nContent-Type: image/png\r\nContent-ID: <dot@example.org>\r\n\r\nimage\r\n\
    --b\r\nContent-Type: text/plain; name=a.txt\r\nContent-Disposition: attachment\r\n\r\nhello\r\n--b--\r\n";

#[test]
fn its_client_from_npm_works_unchanged() {
    let Some((node, modules)) = runners::node("mailpit") else { return };
    let next = Inbox::start();
    let to = next.server.endpoint.clone();
    let inbox = Inbox::start_with(&["--release-to", &to, "--release-pattern", "*@example.org"]);
    inbox.receive("Subject: Welcome Ann\r\n\r\nHello Ann\r\n");
    inbox.receive("Subject: Welcome Bob\r\n\r\nHello Bob\r\n");
    inbox.receive(FILES);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/suite/web/mailpit/client.mjs");
    let ran = run(Command::new(node).arg(script).arg(modules).arg(format!("http://{}/", inbox.web)), b"").succeeded();
    assert_eq!(ran.stdout, "done\n");
    // What it called chaos are faults.
    let rules = inbox.get("/api/faults").json();
    assert_eq!(rules[1]["on"], json!({"verb": "RCPT", "chance": 1.0}));
    let mut client = inbox.client();
    client.expect("RSET", "250");
    client.say("MAIL FROM:<a@client.example>");
    let released = &next.list("/api/messages")[0];
    assert_eq!((&released["subject"], &released["rcpt_to"]), (&json!("Files"), &json!(["ok@example.org"])));
}

#[test]
fn what_is_refused() {
    let inbox = Inbox::start();
    deliver(&mut inbox.client(), b"Subject: one\r\n\r\n");
    for (method, target, body, status, problem) in [
        ("GET", "/api/v1/messages?limit=x", "", 400, "limit: expected a number from 0"),
        ("GET", "/api/v1/messages?page=1", "", 400, "there is no parameter \"page\": there are start, limit"),
        ("GET", "/api/v1/search", "", 400, "query: it is missing"),
        ("DELETE", "/api/v1/search", "", 400, "query: it is missing"),
        ("DELETE", "/api/v1/search?query=tag:x", "", 400, "query: there is no tag: here"),
        ("DELETE", "/api/v1/messages?query=x", "", 400, "there is no parameter \"query\": there are none here"),
        ("DELETE", "/api/v1/messages", "{\"IDS\":[\"7\"]}", 400, "IDS: unknown field `IDS`"),
        ("DELETE", "/api/v1/messages", "[[\"7\"]]", 400, "expected an object"),
        ("DELETE", "/api/v1/messages", "{", 400, "not JSON"),
        ("DELETE", "/api/v1/messages", "{\"ID\":null}", 400, "ID: unknown field `ID`"),
        ("DELETE", "/api/v1/messages", "{\"IDs\":\"1\"}", 400, "IDs: invalid type: string"),
        ("PUT", "/api/v1/messages", "{\"IDs\":[\"1\"],\"Search\":\"x\"}", 400, "expected IDs or a Search, not both"),
        ("PUT", "/api/v1/chaos", "{\"Sender\":{\"ErrorCode\":700,\"Probability\":1}}", 400, "Sender: ErrorCode: "),
        ("PUT", "/api/v1/chaos", "{\"Sender\":{\"ErrorCode\":500,\"Probability\":101}}", 400, "Sender: Probability: "),
        ("PUT", "/api/v1/chaos", "{\"Data\":{}}", 400, "Data: unknown field `Data`"),
        (
            "POST",
            "/api/v1/message/1/release",
            "{\"To\":[\"a@b.example\"]}",
            403,
            "messages are not released: --release-to",
        ),
        ("GET", "/api/v1/message/1/part/0", "", 404, "there is no such part"),
        ("GET", "/api/v1/message/one", "", 404, "there is no such message"),
        ("GET", "/api/v1/", "", 404, "there is no such path: there are /api/v1/info"),
        ("GET", "/view/1.pdf", "", 404, "there is no such view"),
        ("GET", "/view/1.html", "", 404, "there is no such body in HTML"),
        ("PATCH", "/api/v1/messages", "", 405, "the methods are GET, HEAD, PUT, DELETE"),
    ] {
        let answer = inbox.request(method, target, "", body);
        let error = answer.error();
        assert!(answer.status == status && error.starts_with(problem), "{method} {target}: {} {error}", answer.status);
    }
    assert_eq!(inbox.ids(), ["1"]);
}

#[test]
fn chaos_leaves_other_rules_alone() {
    let inbox = Inbox::start();
    let other = json!([{"on": {"verb": "MAIL", "nth": 1}, "do": {"reply": "451 4.3.0 x"}}, {"on": {"verb": "NOOP"}, "do": {"delay": 1}}]);
    assert_eq!(inbox.request("PUT", "/api/faults", "", &other.to_string()).status, 204);
    let put = |chaos: Value| -> Answer { inbox.request("PUT", "/api/v1/chaos", "", &chaos.to_string()) };
    assert_eq!(put(json!({"Recipient": {"ErrorCode": 0, "Probability": 7}})).status, 200);
    assert_eq!(put(json!({"Recipient": {"ErrorCode": 452, "Probability": 100}})).status, 200);
    let rules = inbox.get("/api/faults").json();
    assert_eq!((rules.as_array().map(Vec::len), &rules[0]["on"]), (Some(3), &other[0]["on"]));
    let mut client = inbox.client();
    client.expect("MAIL FROM:<a@client.example>", "451 4.3.0 x");
    client.expect("MAIL FROM:<a@client.example>", "250");
    client.expect("RCPT TO:<a@client.example>", "452 4.3.0 Chaos");
    assert_eq!(put(json!({})).status, 200);
    assert_eq!(inbox.get("/api/faults").json().as_array().map(Vec::len), Some(2));
    client.expect("RCPT TO:<a@client.example>", "250");
}

#[test]
fn null_is_no_value_as_go_writes_it() {
    let inbox = Inbox::start();
    deliver(&mut inbox.client(), b"Subject: one\r\n\r\n");
    let marks = "{\"Read\":true,\"IDs\":null,\"Search\":null}";
    assert_eq!(inbox.request("PUT", "/api/v1/messages", "", marks).status, 200);
    assert_eq!(inbox.message("1")["read"], true);
    assert_eq!(inbox.request("PUT", "/api/v1/chaos", "", "{\"Sender\":null}").status, 200);
    assert_eq!(inbox.request("DELETE", "/api/v1/messages", "", "{\"IDs\":null}").status, 200);
    assert!(inbox.ids().is_empty());
}

#[test]
fn a_head_marks_nothing_as_read() {
    let inbox = Inbox::start();
    deliver(&mut inbox.client(), b"Subject: one\r\n\r\n");
    let mut stream = inbox.connect();
    write!(stream, "HEAD /api/v1/message/latest HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        .expect("sent");
    let mut head = String::new();
    stream.read_to_string(&mut head).expect("an answer and a close");
    assert!(head.starts_with("HTTP/1.1 200 ") && head.ends_with("\r\n\r\n"), "{head}");
    assert_eq!(inbox.message("1")["read"], false);
    assert_eq!(inbox.get("/api/v1/message/latest").status, 200);
    assert_eq!(inbox.message("1")["read"], true);
}
