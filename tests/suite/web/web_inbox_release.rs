//! Messages that are sent on from the web inbox.

use std::net::TcpListener;

use crate::support::command::command;
use crate::support::web::Inbox;
use serde_json::{Value, json};

fn with_release(to: &str, patterns: &[&str]) -> Inbox {
    let mut options = vec!["--release-to", to];
    for pattern in patterns {
        options.extend(["--release-pattern", pattern]);
    }
    Inbox::start_with(&options)
}

/// Asks for the first message to be sent on.
fn release(inbox: &Inbox, to: &[&str]) -> (u16, Value) {
    let answer = inbox.request("POST", "/api/messages/1/release", "", &json!({ "to": to }).to_string());
    (answer.status, answer.json())
}

#[test]
fn each_recipient_has_the_upstreams_answer() {
    let next = Inbox::start();
    let rules = r#"[{"on":{"verb":"RCPT","to":"no@example.org"},"do":{"reply":"550 5.1.1 No such user"}}]"#;
    assert_eq!(next.request("PUT", "/api/faults", "", rules).status, 204);
    let inbox = with_release(&next.server.endpoint, &["*@example.org,bob@other.example", "test-?@*.example"]);
    let message = "Subject: gr\u{fc}n\r\n\r\n.dots\r\n..and 8 bits \u{fc}\r\n";
    let mut client = inbox.client();
    client.expect("MAIL FROM:<a@client.example> BODY=8BITMIME", "250");
    client.expect("RCPT TO:<recipient@anywhere.example>", "250");
    client.send(format!("BDAT {} LAST\r\n{message}", message.len()));
    client.expect_reply("250");
    let (status, answer) =
        release(&inbox, &["ann@example.org", "no@example.org", "BOB@other.example", "test-1@a.example"]);
    let accepted = |address: &str, text: &Value| json!({"address": address, "accepted": true, "code": 250, "status": "2.0.0", "text": text});
    let text = &answer["recipients"][0]["text"];
    let expected = json!({"recipients": [
        accepted("ann@example.org", text),
        {"address": "no@example.org", "accepted": false, "code": 550, "status": "5.1.1", "text": "No such user"},
        accepted("BOB@other.example", text),
        accepted("test-1@a.example", text),
    ]});
    assert_eq!((status, &answer), (200, &expected));
    let released = next.message("1");
    assert_eq!(released["rcpt_to"], json!(["ann@example.org", "BOB@other.example", "test-1@a.example"]));
    assert_eq!(released["mail_from"], "a@client.example");
    // As it came, behind the line of who sent it on.
    let source = next.get("/api/messages/1/source");
    let (received, rest) = source.text().split_at(source.text().len() - message.len());
    assert!(received.starts_with("Received: from ") && rest == message, "{}", source.text());
    assert!(!received.contains("X-Peer"), "{received}");
}

#[test]
fn no_other_recipient_gets_anything() {
    let next = Inbox::start();
    let inbox = with_release(&next.server.endpoint, &["*@example.org"]);
    inbox.receive("Subject: one\r\n\r\n");
    for to in [
        "a@other.example",
        "a@example.org.evil.example",
        "a@sub.example.org",
        "evil%other.example@example.org",
        "other.example!evil@example.org",
        "\"evil@other.example\"@example.org",
        "@other.example:evil@example.org",
        "evil@other.example,@example.org",
        "example.org",
        "",
    ] {
        let (status, answer) = release(&inbox, &["ann@example.org", to]);
        let problem = answer["error"].as_str().expect("a sentence");
        assert!(
            status == 403 && problem == format!("to: no --release-pattern allows {to:?}"),
            "{to}: {status} {problem}"
        );
    }
    for (body, problem) in [
        ("{\"to\":[]}", "to: expected 1 to 100 addresses"),
        ("{\"to\":[\"a b@example.org\"]}", "to: "),
        ("{\"to\":[\"a\\r\\nb@example.org\"]}", "to: "),
        ("{}", "expected {\"to\": [addresses]}: missing field `to`"),
        ("{\"to\":\"a@example.org\"}", "expected {\"to\": [addresses]}: "),
        ("{\"to\":[\"a@example.org\"],\"from\":\"x\"}", "expected {\"to\": [addresses]}: unknown field `from`"),
        ("", "expected {\"to\": [addresses]}: "),
        ("[[\"a@example.org\"]]", "expected {\"to\": [addresses]}: invalid type: sequence, expected a map"),
        ("null", "expected {\"to\": [addresses]}: invalid type: null, expected a map"),
    ] {
        let answer = inbox.request("POST", "/api/messages/1/release", "", body);
        assert!(answer.status == 400 && answer.error().starts_with(problem), "{body}: {answer:?}");
    }
    assert!(next.ids().is_empty());
}

#[test]
fn without_its_option_nothing_is_released() {
    let inbox = Inbox::start();
    inbox.receive("Subject: one\r\n\r\n");
    let (status, answer) = release(&inbox, &["ann@example.org"]);
    let problem = "messages are not released: --release-to names a server for that, and --release-pattern recipients";
    assert_eq!((status, &answer), (403, &json!({ "error": problem })));
    for (options, problem) in [
        (&["--release-to", "localhost:25"][..], "--release-pattern <PATTERN>"),
        (&["--release-pattern", "*@example.org"], "--release-to <ADDR>"),
        (&["--release-to", "localhost:25", "--release-pattern", "example.org"], "such as *@example.org"),
    ] {
        let base = ["-n", "-c", "Inbox", "--http", "127.0.0.1:0"];
        let output = command(&[&base, options, &["127.0.0.1:0"]].concat()).output().expect("it was built");
        let said = String::from_utf8(output.stderr).expect("text");
        assert!(output.status.code() == Some(2) && said.contains(problem), "{said}");
    }
}

#[test]
fn an_upstream_that_does_not_answer_is_told() {
    let closed = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port");
    let inbox = with_release(&closed.to_string(), &["*"]);
    inbox.receive("Subject: one\r\n\r\n");
    let (status, answer) = release(&inbox, &["ann@example.org"]);
    assert_eq!((status, &answer["recipients"][0]["code"]), (200, &json!(451)));
    assert_eq!(answer["recipients"][0]["accepted"], false);
}
