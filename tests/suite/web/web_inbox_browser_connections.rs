//! The connections of the server, also those that brought no message: as the API tells them, and in a browser.

use std::io::Write;
use std::net::TcpStream;

use crate::support::client::Client;
use crate::support::page::{named, show, wait_for_subject};
use crate::support::wait_for;
use crate::support::web::{Inbox, deliver};
use serde_json::{Value, json};

/// The newest connection, once so many have ended.
#[track_caller]
fn newest(inbox: &Inbox, ended: usize) -> Value {
    wait_for(|| {
        let told = inbox.get("/api/connections").json();
        let all = told["connections"].as_array().expect("a list");
        match all.len() == ended && all.iter().all(|connection| connection["ended"].is_string()) {
            true => Ok(all[0].clone()),
            false => Err(told),
        }
    })
}

fn events(connection: &Value) -> Vec<(String, String)> {
    let text = |event: &Value, field: &str| event[field].as_str().expect("a text").to_owned();
    let events = connection["events"].as_array().expect("a list").iter();
    events.map(|event| (text(event, "kind"), text(event, "text"))).collect()
}

#[test]
fn every_connection_is_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let users = folder.path().join("users");
    std::fs::write(&users, "bob:builder\n").expect("a file");
    let users = users.to_str().expect("text");
    let inbox = Inbox::start_with(&["--self-signed", "--users", users, "-s", "1000"]);
    let address = inbox.server.address();
    // Opened, and not closed.
    let mut open = Client::ehlo(address);
    let told = inbox.get("/api/connections").json();
    assert_eq!(
        (&told["connections"][0]["outcome"], &told["connections"][0]["helo"]),
        (&json!("open"), &json!("client.example"))
    );
    assert_eq!(told["connections"][0]["ended"], json!(null));
    let live = inbox.get("/api/connections/1").json();
    assert_eq!(live["conversation"][1]["text"], "EHLO client.example");
    deliver(&mut open, b"Subject: one\r\n\r\nx");
    open.expect("QUIT", "221");
    let told = newest(&inbox, 1);
    assert_eq!(
        (&told["outcome"], &told["messages"], &told["accepted"]),
        (&json!("delivered"), &json!(["1"]), &json!(1))
    );
    assert_eq!((told["problem"].clone(), events(&told)), (json!(false), vec![]));

    // Nothing but a connection.
    drop(Client::connect(address));
    assert_eq!(newest(&inbox, 2)["outcome"], "no message");

    // Recipients and messages that are refused.
    let mut client = Client::ehlo(address);
    client.expect("MAIL FROM:<a@b.example>", "250");
    client.expect("RCPT TO:<>", "501");
    client.expect("QUIT", "221");
    let told = newest(&inbox, 3);
    assert_eq!((&told["outcome"], &told["problem"]), (&json!("refused"), &json!(true)));
    let [(kind, text)] = &events(&told)[..] else { panic!("{told}") };
    assert!(kind == "refused" && text.starts_with("RCPT TO:<>: 501 5.1.3"), "{text}");

    // A handshake that fails.
    let mut client = Client::ehlo(address);
    client.expect("STARTTLS", "220");
    client.send("this is no handshake\r\n");
    drop(client);
    let told = newest(&inbox, 4);
    assert_eq!(told["outcome"], "handshake failed", "{told}");
    assert!(events(&told).iter().any(|(kind, _)| kind == "handshake"), "{told}");

    // A fault.
    let rules = r#"[{"on":{"verb":"RCPT"},"do":{"reply":"450 4.2.1 busy"}}]"#;
    assert_eq!(inbox.request("PUT", "/api/faults", "", rules).status, 204);
    let mut client = Client::ehlo(address);
    client.expect("MAIL FROM:<a@b.example>", "250");
    client.expect("RCPT TO:<b@example.org>", "450 4.2.1 busy");
    client.expect("QUIT", "221");
    let told = newest(&inbox, 5);
    assert_eq!((&told["outcome"], &told["faults"]), (&json!("refused"), &json!(1)));
    let kinds: Vec<_> = events(&told).into_iter().map(|(kind, _)| kind).collect();
    assert_eq!(kinds, ["fault", "refused"]);
    // What was said, without what is secret.
    let whole = inbox.get("/api/connections/5").json();
    assert!(whole["conversation"].to_string().contains("RCPT TO:<b@example.org>"), "{whole}");
    assert_eq!(inbox.request("GET", "/api/connections/99", "", "").status, 404);
    assert_eq!(inbox.request("GET", "/api/connections?odd=1", "", "").status, 400);
    let pages = inbox.get("/api/connections?limit=2").json();
    assert_eq!((&pages["next"], &pages["total"]), (&json!("4"), &json!(5)));
    let pages = inbox.get("/api/connections?before=4&limit=100").json();
    assert_eq!((pages["connections"].as_array().map(Vec::len), &pages["next"]), (Some(3), &json!(null)));
    assert_eq!(inbox.get("/api/connections?after=4").json()["connections"].as_array().map(Vec::len), Some(1));
}

#[test]
fn failed_logins_are_told_without_their_passwords() {
    let folder = tempfile::tempdir().expect("a folder");
    let users = folder.path().join("users");
    std::fs::write(&users, "bob:builder\n").expect("a file");
    let inbox = Inbox::start_with(&["--lmtp", "--users", users.to_str().expect("text"), "--clear-text-auth"]);
    let mut client = Client::connect(inbox.server.address());
    client.say("LHLO client.example");
    client.expect("AUTH PLAIN AGJvYgB3cm9uZw==", "535");
    client.expect("QUIT", "221");
    let told = newest(&inbox, 1);
    assert_eq!((&told["outcome"], &told["failed_logins"]), (&json!("login failed"), &json!(1)));
    let whole = inbox.get("/api/connections/1").text().to_owned();
    assert!(whole.contains("AUTH PLAIN ...") && !whole.contains("AGJvYgB3cm9uZw"), "{whole}");
}

#[test]
fn a_thousand_are_remembered() {
    let inbox = Inbox::start();
    for _ in 0..1050 {
        let mut stream = TcpStream::connect(inbox.server.address()).expect("it listens");
        stream.write_all(b"QUIT\r\n").expect("it reads");
        // One after the other, so that none is refused.
        let _ = std::io::copy(&mut stream, &mut std::io::sink());
    }
    wait_for(|| {
        let told = inbox.get("/api/connections").json();
        let shown = told["connections"].as_array().map(Vec::len);
        match (&told["total"], &told["forgotten"], shown) {
            (total, forgotten, Some(100)) if *total == 1000 && *forgotten == 50 => Ok(()),
            (total, forgotten, _) => Err(format!("{total}, {forgotten}, {shown:?}")),
        }
    });
}

#[test]
fn connections_in_a_browser() {
    let inbox = Inbox::start();
    let Some(browser) = show(&inbox) else { return };
    inbox.receive(named("a@example.org", "the message"));
    browser.press("c");
    browser.wait("document.querySelectorAll('.connection').length === 1");
    // What comes shows while it is seen.
    let mut client = inbox.client();
    client.expect("MAIL FROM:<a@b.example>", "250");
    client.expect("RCPT TO:<>", "501");
    browser.wait("document.querySelector('.connection .outcome').textContent === 'open'");
    browser.click(".connection");
    browser.wait("document.getElementById('connection').innerText.includes('RCPT TO:<>')");
    client.expect("QUIT", "221");
    browser.wait("document.querySelector('.connection .outcome').textContent === 'refused'");
    browser.wait("document.querySelector('#connection h2').textContent.endsWith('refused')");
    browser.wait("document.getElementById('connection').innerText.includes('221 ')");
    browser.click("#only-problems");
    browser.wait("document.querySelectorAll('.connection').length === 1");
    browser.click("#only-problems");
    browser.wait("document.querySelectorAll('.connection').length === 2");
    // From a connection to its message, and back to the list.
    browser.click("li:nth-child(2) > .connection");
    browser.wait("document.querySelector('#connection .brought button')");
    browser.click("#connection .brought button");
    wait_for_subject(&browser, "the message");
    browser.wait("!document.getElementById('connections').checkVisibility()");
}
