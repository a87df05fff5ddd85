//! The web inbox: what can be asked of it.

use std::io::Write;
use std::thread;
use std::time::{Duration, Instant};

use crate::support::client::Client;
use crate::support::command::Running;
use crate::support::skip;
use crate::support::web::{Answer, Inbox, deliver};
use serde_json::{Value, json};

fn subject(text: &str) -> String {
    format!("Subject: {text}\r\n\r\n{text}\r\n")
}

#[test]
fn the_page() {
    let inbox = Inbox::start();
    for (target, kind, within) in [
        ("/", "text/html; charset=utf-8", "<!doctype html>"),
        ("/app.js", "text/javascript; charset=utf-8", ""),
        ("/app.css", "text/css; charset=utf-8", ""),
        ("/icon.svg", "image/svg+xml", "<svg"),
    ] {
        let answer = inbox.get(target);
        assert_eq!(answer.field("Content-Type"), Some(kind));
        assert!(answer.text().contains(within), "{target}");
        let policy = answer.field("Content-Security-Policy").expect("a policy");
        assert!(
            policy.starts_with("default-src 'none'; script-src 'self'; ") && !policy.contains("unsafe"),
            "{policy}"
        );
    }
    let server = inbox.get("/api/server").json();
    let keep = json!({"messages": 10_000, "octets": 268_435_456, "seconds": null, "when_full": "drop-oldest"});
    let expected = json!({
        "smtp": [inbox.server.endpoint], "version": env!("CARGO_PKG_VERSION"), "last_id": "0", "total": 0, "unread": 0,
        "octets": 0, "dropped": 0, "refused": 0, "keep": keep,
    });
    assert_eq!(server, expected);
}

#[test]
fn a_recipient_whom_the_header_writes_otherwise_is_not_blind() {
    let inbox = Inbox::start();
    let mut client = inbox.client();
    client.expect("EHLO client.example", "250");
    client.expect("MAIL FROM:<sender@client.example>", "250");
    for to in [r#""a\"b"@example.org"#, r#""c d"@example.org"#, "e@example.org", r#""f"@example.org"#, "g@example.org"]
    {
        client.expect(format!("RCPT TO:<{to}>"), "250");
    }
    client.expect("DATA", "354");
    let to = r#"To: "a\"b"@example.org, <"c\ d"@EXAMPLE.org>, "e"@example.org, f@example.org, h@Bücher.example"#;
    client.expect(format!("{to}\r\n\r\nHi\r\n."), "250");
    assert_eq!(inbox.get("/api/messages/1").json()["bcc"], json!(["g@example.org"]));
    for to in ["h@b%C3%BCcher.example", "h@xn--bcher-kva.example", "@B%C3%9Ccher.example", "@XN--bcher-kva.example"] {
        assert_eq!(inbox.found(&format!("/api/messages?to={to}")), ["1"], "{to}");
    }
}

#[test]
fn messages_the_newest_first() {
    let inbox = Inbox::start();
    let empty = json!({"messages": [], "next": null, "total": 0, "unread": 0, "dropped": 0, "refused": 0});
    assert_eq!(inbox.get("/api/messages").json(), empty);
    assert_eq!(inbox.receive(subject("one")), "1");
    let header = "From: =?utf-8?q?J=C3=BCrgen?= <j@example.org>\r\nTo: Ann <ann@example.org>, recipient@EXAMPLE.org\r\n\
        Cc: c@example.org\r\nReply-To: r@example.org\r\nDate: Fri, 27 Nov 2026 04:00:00 +0100\r\nMessage-ID: <a@b>\r\n";
    inbox.receive(format!("{header}Subject: two\r\n\r\n  Hello\r\n\r\n world "));
    let list = inbox.get("/api/messages").json();
    let [second, first] = &list["messages"].as_array().expect("a list")[..] else { panic!("{list}") };
    let received = first["received"].as_str().expect("a text");
    assert!(received.len() == "2026-01-02T03:04:05.678Z".len() && received.ends_with('Z'), "{received}");
    let expected = json!({
        "id": "1", "received": received, "read": false, "size": subject("one").len(), "snippet": "one",
        "mail_from": "sender@client.example", "rcpt_to": ["recipient@example.org"],
        "from": null, "to": [], "cc": [], "bcc": ["recipient@example.org"], "reply_to": [],
        "subject": "one", "date": null, "message_id": null, "count": 0, "attachments": [], "cut": [],
    });
    assert_eq!(*first, expected);
    // In this order too, for whoever reads it as it is.
    assert_eq!(first.to_string(), expected.to_string());
    let mailbox = |name: &str, address: &str| json!({"name": name, "address": address});
    for (field, expected) in [
        ("from", mailbox("Jürgen", "j@example.org")),
        ("to", json!([mailbox("Ann", "ann@example.org"), mailbox("", "recipient@EXAMPLE.org")])),
        ("cc", json!([mailbox("", "c@example.org")])),
        ("bcc", json!([])),
        ("reply_to", json!([mailbox("", "r@example.org")])),
        ("date", json!("2026-11-27T03:00:00.000Z")),
        ("message_id", json!("a@b")),
        ("snippet", json!("Hello world")),
    ] {
        assert_eq!(second[field], expected, "{field}");
    }
    // The same everywhere.
    let next = inbox.get("/api/next?after=1").json();
    assert_eq!(next, *second);
    let alone = inbox.message("2");
    let waited = inbox.get("/api/wait?after=1").json();
    assert_eq!(waited, json!({"messages": [alone], "more": false}));
    for (field, value) in second.as_object().expect("fields") {
        assert_eq!(alone[field], *value, "{field}");
    }
}

#[test]
fn all_there_is_to_know_about_a_message() {
    let inbox = Inbox::start();
    let mut client = inbox.client();
    client.expect("MAIL FROM:<>", "250");
    client.expect("RCPT TO:<ann@example.org>", "250");
    client.expect("RCPT TO:<bob@example.org>", "250");
    client.expect("DATA", "354");
    client.expect("Subject: hello\r\nX-Odd:  folded\r\n\tvalue\r\n\r\nfirst\r\n..second\r\n.", "250 2.0.0");
    let message = inbox.message("1");
    assert_eq!(message["mail_from"], "");
    assert_eq!(message["from"], Value::Null);
    assert_eq!(message["rcpt_to"], json!(["ann@example.org", "bob@example.org"]));
    assert_eq!(message["client"], client.local_addr().to_string());
    assert_eq!((&message["helo"], &message["protocol"]), (&json!("client.example"), &json!("ESMTP")));
    assert_eq!((&message["tls"], &message["identity"]), (&json!(false), &Value::Null));
    assert_eq!(message["headers"], json!([["Subject", "hello"], ["X-Odd", "folded value"]]));
    assert_eq!(message["text"], "first\n.second\n");
    assert_eq!((&message["html"], &message["attachments"]), (&Value::Null, &json!([])));
    let said = message["conversation"].as_array().expect("a list");
    let lines: Vec<_> =
        said.iter().map(|said| (said["from"].as_str().unwrap(), said["text"].as_str().unwrap())).collect();
    assert_eq!(lines[1], ("C", "EHLO client.example"));
    assert!(lines[2].1.starts_with("250-") && lines[2].1.contains("\n250-PIPELINING\n"), "{lines:?}");
    assert!(lines.contains(&("C", "RCPT TO:<bob@example.org>")));
    assert!(lines.last().expect("content").1.ends_with("\n..second\n."), "{lines:?}");
    assert!(said.iter().all(|said| said["at"].as_f64().is_some_and(|at| (0.0..60.0).contains(&at))));
}

#[test]
fn the_source_is_what_came() {
    let inbox = Inbox::start();
    let octets: Vec<u8> = (0..=255).cycle().take(300_000).collect();
    let message = [b"Subject: all octets\r\n\r\n".to_vec(), octets, b"\r\n".to_vec()].concat();
    let mut client = inbox.client();
    client.expect("MAIL FROM:<a@client.example> BODY=BINARYMIME", "250");
    client.expect("RCPT TO:<b@example.org>", "250");
    client.send(format!("BDAT {} LAST\r\n", message.len()));
    client.send(&message);
    client.expect_reply("250 2.0.0");
    let answer = inbox.get("/api/messages/1/source");
    assert!(answer.body == message, "{} octets of {}", answer.body.len(), message.len());
    assert_eq!(answer.field("Content-Type"), Some("message/rfc822"));
    assert_eq!(answer.field("Content-Disposition"), Some("attachment; filename=\"message-1.eml\""));
}

#[test]
fn a_search_is_for_words_that_all_occur() {
    let inbox = Inbox::start();
    inbox.receive("From: Ann <ann@one.example>\r\nSubject: Gr=?utf-8?q?=C3=BC?=n\r\n\r\nnothing");
    inbox.receive("Content-Type: text/html\r\n\r\n<p title=hidden>Hello <b>W&ouml;rld</b></p>");
    inbox.receive("Content-Transfer-Encoding: base64\r\n\r\nU2VjcmV0IHdvcmQ=");
    for (search, found) in [
        ("recipient%40EXAMPLE.org", &["3", "2", "1"][..]),
        ("ann%20NOTHING", &["1"]),
        ("ann+secret", &[]),
        ("W%C3%96RLD", &["2"]),
        ("secret", &["3"]),
        ("hidden", &[]),
        ("GR%C3%9CN", &["1"]),
        ("from:ann", &["1"]),
        ("from:recipient", &[]),
        ("to:recipient%40exam", &["3", "2", "1"]),
        ("subject:gr%C3%BCn+-nothing", &[]),
        ("-nothing", &["3", "2"]),
        ("%22hello+w%C3%B6rld%22", &["2"]),
        ("%22w%C3%B6rld+hello%22", &[]),
        ("has:attachment", &[]),
        ("-has:attachment", &["3", "2", "1"]),
        ("is:unread", &["3", "2", "1"]),
        ("IS:read", &[]),
        // A word stands for itself, whatever it is.
        (".*", &[]),
        ("%", &[]),
        ("%00%ff", &[]),
        ("'+OR+1=1--", &[]),
    ] {
        assert_eq!(inbox.found(&format!("/api/messages?search={search}")), found, "{search}");
    }
    let many = inbox.request("GET", &format!("/api/messages?search={}", "a+".repeat(17)), "", "");
    assert_eq!((many.status, many.error()), (400, "search: at most 16 words".to_owned()));
}

#[test]
fn messages_are_deleted() {
    let inbox = Inbox::start();
    for n in 1..=4 {
        inbox.receive(subject(&n.to_string()));
    }
    assert_eq!(inbox.request("DELETE", "/api/messages/2", "", "").status, 204);
    assert_eq!(inbox.ids(), ["4", "3", "1"]);
    for target in ["", "/source", "/html", "/attachments/0"] {
        let answer = inbox.request("GET", &format!("/api/messages/2{target}"), "", "");
        assert_eq!((answer.status, answer.error()), (404, "there is no such message".to_owned()));
    }
    assert_eq!(inbox.request("DELETE", "/api/messages/2", "", "").status, 404);
    assert_eq!(inbox.request("DELETE", "/api/messages", "", "").status, 204);
    assert!(inbox.ids().is_empty());
    // Numbers are not given again.
    assert_eq!(inbox.receive(subject("5")), "5");
}

#[test]
fn what_is_not_there() {
    let inbox = Inbox::start();
    inbox.receive(subject("one"));
    for target in [
        "/api",
        "/api/",
        "/index.html",
        "/api/messages/",
        "/api/messages/0",
        "/api/messages/+1",
        "/api/messages/01x",
        "/api/messages/18446744073709551616",
        "/api/messages/1/",
        "/api/messages/1/html",
        "/api/messages/1/attachments",
        "/api/messages/1/attachments/0",
        "/api/messages/1/attachments/-1",
        "/api/messages/../messages/1",
        "/../../etc/passwd",
        "/%2e%2e/etc/passwd",
        "//app.js",
        "/app.js/",
    ] {
        let answer = inbox.request("GET", target, "", "");
        assert_eq!(answer.status, 404, "{target}");
        assert!(answer.error().starts_with("there is no such "), "{target}");
    }
    let nowhere = inbox.request("GET", "/api/message", "", "").error();
    assert!(nowhere.contains("/api/messages, /api/messages/{id}, ") && nowhere.contains("/api/wait"), "{nowhere}");
    for (method, target, allowed) in [
        ("POST", "/api/messages", "GET, HEAD, DELETE"),
        ("DELETE", "/", "GET, HEAD"),
        ("OPTIONS", "/api/faults", "GET, HEAD, PUT, DELETE"),
        ("PUT", "/api/messages/1", "GET, HEAD, DELETE"),
        ("DELETE", "/api/messages/1/source", "GET, HEAD"),
        ("get", "/", "GET, HEAD"),
    ] {
        let answer = inbox.request(method, target, "", "");
        assert_eq!((answer.status, answer.field("Allow")), (405, Some(allowed)), "{method} {target}");
    }
    assert_eq!(inbox.ids(), ["1"]);
}

#[test]
fn head_is_get_without_a_body() {
    let inbox = Inbox::start();
    let mut stream = inbox.connect();
    write!(
        stream,
        "HEAD / HTTP/1.1\r\nHost: {0}\r\n\r\nGET /api/messages HTTP/1.1\r\nHost: {0}\r\nConnection: close\r\n\r\n",
        inbox.web
    )
    .expect("it reads");
    let mut octets = Vec::new();
    std::io::Read::read_to_end(&mut stream, &mut octets).expect("two answers and a close");
    let answers = String::from_utf8(octets).expect("text");
    let (head, second) = answers.split_once("\r\n\r\n").expect("a head");
    let length = format!("\r\nContent-Length: {}", inbox.get("/").body.len());
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n") && head.contains(&length), "{answers}");
    assert_eq!(Answer::parse(second.as_bytes()).json()["messages"], json!([]));
}

/// A request for the next message that is being waited for.
fn waiting(inbox: &Inbox, target: &str) -> thread::JoinHandle<Answer> {
    let mut stream = inbox.connect();
    write!(stream, "GET {target} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", inbox.web).expect("it reads");
    thread::spawn(move || Answer::read(&mut stream))
}

#[test]
fn the_next_message() {
    let inbox = Inbox::start();
    let id = |target: &str| inbox.get(target).json()["id"].as_str().expect("a text").to_owned();
    let empty = inbox.get("/api/next?timeout=0.01&after=0");
    assert_eq!((empty.status, empty.field("Content-Length")), (204, None));
    for n in 1..=3 {
        inbox.receive(subject(&n.to_string()));
    }
    assert_eq!([id("/api/next?after=0"), id("/api/next?after=2&timeout=0")], ["1", "3"]);
    // Those that are there already are not next.
    assert_eq!(inbox.get("/api/next?timeout=0.01").status, 204);
    assert_eq!(inbox.get("/api/next?timeout=0.01&after=3").status, 204);
    assert_eq!(inbox.get("/api/next?timeout=0.01&after=1000").status, 204);
    // An id that another server has given.
    let waiting = waiting(&inbox, "/api/next?after=1000");
    while !waiting.is_finished() {
        deliver(&mut inbox.client(), subject("more").as_bytes());
    }
    let next = waiting.join().expect("an answer").json();
    assert_eq!(next["subject"], "more");
    for (query, problem) in [
        ("timeout=soon", "timeout: expected a number of seconds, at most 300"),
        ("timeout=-1", "timeout: expected a number of seconds, at most 300"),
        ("timeout=NaN", "timeout: expected a number of seconds, at most 300"),
        ("timeout=inf", "timeout: expected a number of seconds, at most 300"),
        ("timeout=301", "timeout: expected a number of seconds, at most 300"),
        ("after=last", "after: expected an id"),
        ("after=-1", "after: expected an id"),
    ] {
        let answer = inbox.request("GET", &format!("/api/next?{query}"), "", "");
        assert_eq!((answer.status, answer.error()), (400, problem.to_owned()), "{query}");
    }
}

#[test]
fn everybody_who_waits_has_the_next_message() {
    let inbox = Inbox::start();
    let all: Vec<_> = (0..40).map(|_| waiting(&inbox, "/api/next?after=0&timeout=300")).collect();
    deliver(&mut inbox.client(), subject("hello").as_bytes());
    for one in all {
        assert_eq!(one.join().expect("an answer").json()["id"], "1");
    }
}

#[test]
fn html_is_in_the_answer_as_it_came_and_in_the_frame_without_what_reaches_out() {
    let inbox = Inbox::start();
    let html = "<p><a class=b HREF=\"https://a.example/?a=1&amp;b=2\">x</a><a href = '#there'>y</a><LINK rel=preconnect \
        href=//a.example><svg><a xlink:href=//a.example><set attributeName=&#104;ref to=//a.example></svg>";
    let id = inbox.receive(format!("Content-Type: text/html\r\n\r\n{html}"));
    let message = inbox.message(&id);
    assert_eq!((&message["html"], &message["cut"]), (&json!(html), &json!([])));
    let frame = inbox.get(&format!("/api/messages/{id}/html"));
    let expected = "<p><a class=b x-HREF=\"https://a.example/?a=1&amp;b=2\">x</a><a href = '#there'>y</a><x-LINK rel=preconnect \
        x-href=//a.example><svg><a xlink:x-href=//a.example><x-set attributeName=&#104;ref to=//a.example></svg>";
    assert!(frame.text().starts_with(expected), "{}", frame.text());
}

#[test]
fn a_signal_ends_it_while_others_wait() {
    for signal in ["TERM", "INT"] {
        let inbox = Inbox::start();
        let idle = Client::connect(inbox.server.address());
        let all: Vec<_> = (0..80).map(|_| waiting(&inbox, "/api/next?timeout=300")).collect();
        // Those before it are taken.
        assert_eq!(inbox.get("/api/next?timeout=0").status, 204);
        let begun = Instant::now();
        inbox.server.signal(signal);
        let (status, out, err) = inbox.server.finish();
        assert_eq!((status.code(), out.as_str(), err.as_str()), (Some(0), "", ""));
        // Sooner than the fifteen seconds that a message in progress has.
        assert!(begun.elapsed() < Duration::from_secs(14), "{:?}", begun.elapsed());
        assert!(all.into_iter().all(|one| one.join().is_err()), "who waits is closed without an answer");
        drop(idle);
    }
}

#[test]
fn the_rest_of_the_command_is_as_for_other_classes() {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = |file: &str| folder.path().join(file).to_str().unwrap().to_owned();
    let (cert, key, users) = (path("cert.pem"), path("key.pem"), path("users"));
    std::fs::write(&cert, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    std::fs::write(&users, "bob:builder\n").unwrap();
    let inbox = Inbox::start_with(&["--tls-cert", &cert, "--tls-key", &key, "--users", &users, "--lmtp", "-u"]);
    let mut client = Client::connect(inbox.server.address());
    let offered = client.say("LHLO client.example");
    assert!(offered.contains("STARTTLS") && offered.contains("SMTPUTF8"), "{offered}");
    client.expect("AUTH PLAIN AGJvYgBidWlsZGVy", "235 2.7.0");
    client.expect("MAIL FROM:<jürgen@example.org> SMTPUTF8", "250");
    client.expect("RCPT TO:<ann@example.org>", "250");
    client.expect("DATA", "354");
    client.expect("Subject: Grün\r\n\r\n.", "250");
    let message = inbox.message("1");
    assert_eq!((&message["protocol"], &message["identity"]), (&json!("UTF8LMTPA"), &json!("bob")));
    assert_eq!((&message["mail_from"], &message["subject"]), (&json!("jürgen@example.org"), &json!("Grün")));
    assert!(!message.to_string().contains("AGJvYg"));
}

#[test]
fn root_becomes_nobody() {
    if !nix::unistd::geteuid().is_root() {
        return skip::missing("not root");
    }
    let nobody = nix::unistd::User::from_name("nobody").unwrap().expect("there is a user nobody");
    let server = Running::start(&["-c", "Inbox", "--http", "127.0.0.1:0", "127.0.0.1:0"]);
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.process.0.id())).expect("Linux");
    assert!(status.contains(&format!("\nUid:\t{0}\t{0}\t{0}\t{0}\n", nobody.uid)), "{status}");
}

#[test]
fn faults_and_how_often_they_have_happened() {
    let inbox = Inbox::start();
    let rules = json!([
        {"on": {"content_after": 10, "nth": 1}, "do": {"hang_up": "before"}},
        {"on": {"event": "connect"}, "do": {"bandwidth": 1_000_000}},
        {"on": {"verb": "RCPT", "to": "bob@example.org"}, "do": {"reply": "550 5.1.1 No such user"}},
    ]);
    assert_eq!(inbox.request("PUT", "/api/faults", "", &rules.to_string()).status, 204);
    let fired = || -> Vec<Option<u64>> {
        let shown = inbox.get("/api/faults").json();
        shown.as_array().expect("rules").iter().map(|rule| rule["fired"].as_u64()).collect()
    };
    assert_eq!(fired(), [Some(0); 3]);
    let mut client = Client::envelope(inbox.server.address());
    client.expect("DATA", "354");
    client.send("Subject: cut\r\n\r\n");
    client.expect_close();
    assert_eq!(fired(), [Some(1), Some(1), Some(0)]);
    let mut client = Client::envelope(inbox.server.address());
    client.expect("RCPT TO:<bob@example.org>", "550 5.1.1 No such user");
    client.expect("DATA", "354");
    client.send("Subject: whole\r\n\r\n.\r\n");
    client.expect_reply("250");
    assert_eq!((fired(), inbox.ids()), (vec![Some(1), Some(2), Some(1)], vec!["1".to_owned()]));
    // What was shown can be put back, and begins anew.
    let shown = inbox.get("/api/faults");
    assert_eq!(inbox.request("PUT", "/api/faults", "", shown.text()).status, 204);
    assert_eq!(fired(), [Some(0); 3]);
    // What is wrong changes nothing.
    let answer = inbox.request("PUT", "/api/faults", "", r#"[{"on":{"content_after":-1},"do":{"stall":true}}]"#);
    assert_eq!(answer.status, 400);
    assert_eq!(answer.error(), "rule 1: on.content_after: invalid value: integer `-1`, expected u64");
    assert_eq!(fired(), [Some(0); 3]);
}

/// The rules were taken back before the new ones were there, and a command between them met none.
#[test]
fn no_command_comes_between_two_sets_of_rules() {
    let inbox = Inbox::start();
    let rules = r#"[{"on":{"verb":"NOOP"},"do":{"reply":"250 2.0.0 scripted"}}]"#;
    let put = || assert_eq!(inbox.request("PUT", "/api/faults", "", rules).status, 204);
    put();
    let server = inbox.server.address();
    thread::scope(|scope| {
        let said = scope.spawn(move || {
            let mut client = Client::connect(server);
            for _ in 0..3000 {
                client.expect("NOOP", "250 2.0.0 scripted");
            }
        });
        while !said.is_finished() {
            put();
        }
    });
}
