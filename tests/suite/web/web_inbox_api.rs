//! The web inbox's API for tests in any language: filters, waiting, links, codes, and what is refused.

use std::io::Write;
use std::thread;

use crate::support::process;
use crate::support::wait_until;
use crate::support::web::{Answer, Inbox, deliver};
use serde_json::{Value, json};

/// Sends a message within an envelope of its own.
fn send(inbox: &Inbox, from: &str, to: &[&str], message: &str) {
    let mut client = inbox.client();
    client.expect(format!("MAIL FROM:<{from}>"), "250");
    for to in to {
        client.expect(format!("RCPT TO:<{to}>"), "250");
    }
    client.send(format!("BDAT {} LAST\r\n{message}", message.len()));
    client.expect_reply("250 2.0.0");
}

fn ids(answer: &Value, list: &str) -> Vec<String> {
    let all = answer[list].as_array().unwrap_or_else(|| panic!("{answer}")).iter();
    all.map(|message| message["id"].as_str().expect("a text").to_owned()).collect()
}

/// A request whose answer is waited for meanwhile.
fn ask(inbox: &Inbox, target: &str) -> thread::JoinHandle<Answer> {
    let mut stream = inbox.connect();
    write!(stream, "GET {target} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", inbox.web).expect("it reads");
    thread::spawn(move || Answer::read(&mut stream))
}

#[test]
fn unknown_parameters_change_nothing_and_name_the_known() {
    let inbox = Inbox::start();
    inbox.receive("Subject: one\r\n\r\n");
    for (method, target, problem) in [
        ("DELETE", "/api/messages?serach=x", "there is no parameter \"serach\": there are to, from, subject, search"),
        ("DELETE", "/api/messages?limit=1", "there is no parameter \"limit\": there are to, from, subject, search"),
        ("DELETE", "/api/messages?search=", "search: it has no value"),
        ("DELETE", "/api/messages?search", "search: it has no value"),
        ("DELETE", "/api/messages?search=%20+", "search: it has no value"),
        ("DELETE", "/api/messages?search=%22%22", "search: it has no word"),
        ("DELETE", "/api/messages?to=", "to: it has no value"),
        ("DELETE", "/api/messages?to=a&to=b", "to: it can be given only once"),
        ("DELETE", "/api/messages?to=a&%74o=b", "to: it can be given only once"),
        ("DELETE", "/api/messages/1?search=x", "there is no parameter \"search\": there are none here"),
        ("GET", "/api/messages?limit=0", "limit: expected a number from 1 to 1000"),
        ("GET", "/api/messages?limit=1001", "limit: expected a number from 1 to 1000"),
        ("GET", "/api/messages?limit=1.5", "limit: expected a number from 1 to 1000"),
        ("GET", "/api/messages?limit=99999999999999999999999", "limit: expected a number from 1 to 1000"),
        ("GET", "/api/messages?before=x", "before: expected an id"),
        ("GET", "/api/messages?before=-1", "before: expected an id"),
        ("GET", "/api/messages?search=from:", "search: from: it has no word"),
        ("GET", "/api/messages?search=has:stars", "search: there is no has:stars: there is has:attachment"),
        ("GET", "/api/messages?search=is:new", "search: there is no is:new: there are is:read and is:unread"),
        ("GET", "/api/wait?count=0", "count: expected a number from 1 to 100"),
        ("GET", "/api/wait?count=101", "count: expected a number from 1 to 100"),
        ("GET", "/api/wait?timeout=1s", "timeout: expected a number of seconds, at most 300"),
        (
            "GET",
            "/api/wait?TIMEOUT=1",
            "there is no parameter \"TIMEOUT\": there are to, from, subject, search, count, after, timeout",
        ),
        ("GET", "/api/server?x=1", "there is no parameter \"x\": there are none here"),
        ("GET", "/api/messages/1/source?x", "there is no parameter \"x\": there are none here"),
        ("PUT", "/api/faults?x=1", "there is no parameter \"x\": there are none here"),
    ] {
        let answer = inbox.request(method, target, "", "");
        assert_eq!((answer.status, answer.error().as_str()), (400, problem), "{method} {target}");
    }
    for field in ["to", "from", "subject", "search"] {
        let long = inbox.request("DELETE", &format!("/api/messages?{field}={}", "x".repeat(1001)), "", "");
        assert_eq!((long.status, long.error()), (400, format!("{field}: at most 1000 octets")));
    }
    let with_body = inbox.request("DELETE", "/api/messages", "", "{\"search\":\"x\"}");
    assert_eq!((with_body.status, with_body.error().as_str()), (400, "no body is expected here"));
    assert_eq!(inbox.ids(), ["1"]);
    // What has no name is no parameter.
    assert_eq!(inbox.found("/api/messages?&&"), ["1"]);
}

#[test]
fn filters_select_by_envelope_and_header() {
    let inbox = Inbox::start();
    send(
        &inbox,
        "bounce@shop.example",
        &["ann@example.org"],
        "From: The Shop <news@shop.example>\r\nTo: Ann A <ann@example.org>\r\nSubject: Gr\u{fc}\u{df}e\r\n\r\nx",
    );
    send(
        &inbox,
        "bounce@shop.example",
        &["xann@example.org", "b+1@example.org"],
        "To: list@example.org\r\nSubject: Re: one\r\n\r\nx",
    );
    send(
        &inbox,
        "",
        &["ann@example.org.example"],
        "From: ann@example.org\r\nCc: C <c@EXAMPLE.org>\r\nSubject: two\r\n\r\nx",
    );
    for (query, found) in [
        // A whole address is no part of another.
        ("to=ann@example.org", &["1"][..]),
        ("to=ANN%40Example.ORG", &["1"]),
        ("to=%3Cann@example.org%3E", &["1"]),
        ("to=ann", &["3", "2", "1"]),
        ("to=Ann+A", &["1"]),
        ("to=@example.org", &["3", "2", "1"]),
        ("to=@shop.example", &[]),
        ("to=list@example.org", &["2"]),
        // Encoded, or as it is typed.
        ("to=b%2B1@example.org", &["2"]),
        ("to=b+1@example.org", &["2"]),
        ("to=c@example.org", &["3"]),
        ("from=bounce@shop.example", &["2", "1"]),
        ("from=news@shop.example", &["1"]),
        ("from=the%20shop", &["1"]),
        ("from=%3C%3E", &["3"]),
        ("subject=GR%C3%BCSSE", &["1"]),
        ("subject=one", &["2"]),
        ("subject=shop", &[]),
        ("to=ann@example.org&subject=two", &[]),
        ("from=ann@example.org&search=two", &["3"]),
    ] {
        let found: Vec<String> = found.iter().map(|id| (*id).to_owned()).collect();
        assert_eq!(inbox.found(&format!("/api/messages?{query}")), found, "{query}");
        let waited = inbox.request("GET", &format!("/api/wait?{query}&timeout=0"), "", "");
        let oldest_first: Vec<_> = found.iter().rev().cloned().collect();
        match found.is_empty() {
            true => assert_eq!((waited.status, ids(&waited.json(), "arrived")), (404, inbox.ids()), "{query}"),
            false => assert_eq!((waited.status, ids(&waited.json(), "messages")), (200, oldest_first), "{query}"),
        }
        let next = inbox.get(&format!("/api/next?{query}&after=0&timeout=0"));
        match found.last() {
            None => assert_eq!(next.status, 204, "{query}"),
            Some(oldest) => assert_eq!(next.json()["id"], *oldest, "{query}"),
        }
    }
    assert_eq!(inbox.request("DELETE", "/api/messages?to=ann@example.org", "", "").status, 204);
    assert_eq!(inbox.ids(), ["3", "2"]);
    assert_eq!(inbox.request("DELETE", "/api/messages?search=nothing", "", "").status, 204);
    assert_eq!(inbox.ids(), ["3", "2"]);
}

#[test]
fn a_list_goes_on_where_it_ends() {
    let inbox = Inbox::start();
    for n in 1..=7 {
        inbox.receive(format!("Subject: {}\r\n\r\n", ["odd", "even"][usize::from(n % 2 == 0)]));
    }
    let mut target = "/api/messages?search=odd&limit=3".to_owned();
    let mut pages = Vec::new();
    loop {
        let list = inbox.get(&target).json();
        assert_eq!((&list["total"], &list["unread"]), (&json!(7), &json!(7)));
        pages.push(ids(&list, "messages").join(" "));
        let Some(next) = list["next"].as_str() else { break };
        target = format!("/api/messages?search=odd&limit=3&before={next}");
    }
    assert_eq!(pages, ["7 5 3", "1"]);
    // Exactly as many as there are: no page follows.
    assert_eq!(inbox.get("/api/messages?limit=7").json()["next"], Value::Null);
    assert_eq!(inbox.get("/api/messages?limit=6").json()["next"], "2");
    assert!(inbox.found("/api/messages?before=1").is_empty());
    assert_eq!(inbox.get("/api/server").json()["last_id"], "7");
}

#[test]
fn parallel_tests_each_get_theirs() {
    let inbox = Inbox::start();
    let all: Vec<_> =
        (0..20).map(|n| ask(&inbox, &format!("/api/wait?to=user{n}@example.org&count=2&timeout=60"))).collect();
    for text in ["first", "second"] {
        for n in (0..20).rev() {
            send(
                &inbox,
                "a@example.org",
                &[&format!("user{n}@example.org")],
                &format!("Subject: {text} {n}\r\n\r\n{n}"),
            );
        }
    }
    for (n, one) in all.into_iter().enumerate() {
        let answer = one.join().expect("an answer").json();
        let subjects: Vec<_> =
            answer["messages"].as_array().expect("a list").iter().map(|mail| mail["subject"].clone()).collect();
        assert_eq!(subjects, [json!(format!("first {n}")), json!(format!("second {n}"))]);
        assert_eq!((&answer["messages"][0]["text"], &answer["more"]), (&json!(n.to_string()), &json!(false)));
    }
}

#[test]
fn a_wait_in_vain_says_what_did_arrive() {
    let inbox = Inbox::start();
    inbox.receive("Subject: before\r\n\r\n");
    let waiting = ask(&inbox, "/api/wait?after=1&to=bob@example.org&timeout=1.5");
    deliver(&mut inbox.client(), b"Subject: other\r\n\r\n");
    let answer = waiting.join().expect("an answer");
    assert_eq!((answer.status, answer.error().as_str()), (404, "0 of 1 messages matched in time; 1 arrived"));
    let answer = answer.json();
    assert_eq!((ids(&answer, "arrived"), &answer["more"]), (vec!["2".to_owned()], &json!(false)));
    assert_eq!(answer["arrived"][0], inbox.list("/api/messages")[0]);
    for _ in 0..25 {
        deliver(&mut inbox.client(), b"Subject: other\r\n\r\n");
    }
    let answer = inbox.request("GET", "/api/wait?subject=other&count=40&timeout=0", "", "");
    assert_eq!(
        (answer.status, answer.error().as_str()),
        (404, "26 of 40 messages matched in time; more than 20 arrived")
    );
    let answer = answer.json();
    assert_eq!(
        (ids(&answer, "arrived").len(), &answer["arrived"][0]["id"], &answer["more"]),
        (20, &json!("27"), &json!(true))
    );
    let empty = inbox.request("GET", "/api/wait?after=27&timeout=0", "", "");
    assert_eq!(empty.error(), "0 of 1 messages matched in time; 0 arrived");
}

#[test]
fn what_is_there_already_and_what_is_deleted_meanwhile() {
    let inbox = Inbox::start();
    inbox.receive("Subject: a\r\n\r\n");
    inbox.receive("Subject: b\r\n\r\n");
    assert_eq!(ids(&inbox.get("/api/wait").json(), "messages"), ["1", "2"]);
    assert_eq!(ids(&inbox.get("/api/wait?after=1").json(), "messages"), ["2"]);
    let waiting = ask(&inbox, "/api/wait?count=3&timeout=60");
    assert_eq!(inbox.request("DELETE", "/api/messages/1", "", "").status, 204);
    inbox.receive("Subject: c\r\n\r\n");
    inbox.receive("Subject: d\r\n\r\n");
    let got = ids(&waiting.join().expect("an answer").json(), "messages");
    // The first may have been counted before it was deleted, and is not given.
    assert_eq!(got, ["2", "3", "4"]);
    for n in 0..110 {
        deliver(&mut inbox.client(), format!("Subject: many {n}\r\n\r\n").as_bytes());
    }
    let many = inbox.get("/api/wait?subject=many&count=100").json();
    assert_eq!((ids(&many, "messages").len(), &many["more"]), (100, &json!(true)));
}

#[test]
fn who_goes_does_not_wait_on() {
    let inbox = Inbox::start();
    let threads = || process::status(inbox.server.process.0.id(), "Threads");
    let idle = threads();
    for _ in 0..50 {
        let request = format!("GET /api/wait?timeout=300 HTTP/1.1\r\nHost: {}\r\n\r\n", inbox.web);
        inbox.connect().write_all(request.as_bytes()).expect("it reads");
    }
    wait_until("their threads go on", || threads() <= idle + 10);
}

#[test]
fn links_and_codes_of_a_message() {
    let inbox = Inbox::start();
    let html = "<style>a{color:#123456}</style><p>Your code is <b>48<span>2913</span></b>.</p>\
        <a href=3D\"https://shop.example/reset?token=3Dabc&amp;u=3D1\">Reset your=20=\r\n password</a>\
        <a href=3D'/relative'>here</a> <a href=3D\"mailto:help@shop.example\">=E2=9C=89</a>";
    let message = format!(
        "Subject: Reset\r\nMIME-Version: 1.0\r\nContent-Type: multipart/alternative; boundary=b\r\n\r\n--b\r\n\
        Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n\
        Go to https://shop.example/reset?token=3Dabc&u=3D=\r\n1 (or open shop://reset/1).\r\nYour code: 482 913\r\n--b\r\n\
        Content-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n{html}\r\n--b--\r\n"
    );
    let id = inbox.receive(message);
    let message = inbox.message(&id);
    let link = |url: &str, text: &str, source: &str| json!({"url": url, "text": text, "source": source});
    let reset = "https://shop.example/reset?token=abc&u=1";
    let expected = json!([
        link(reset, reset, "text"),
        link("shop://reset/1", "shop://reset/1", "text"),
        link(reset, "Reset your password", "html"),
        link("/relative", "here", "html"),
        link("mailto:help@shop.example", "\u{2709}", "html"),
    ]);
    assert_eq!((&message["links"], &message["codes"]), (&expected, &json!(["482913"])));
}

#[test]
fn what_is_cut_says_so() {
    let inbox = Inbox::start();
    let many: String = (0..150).map(|n| format!("To: n{n}@example.org\r\n")).collect();
    let id = inbox.receive(format!("{many}Subject: {}\r\n\r\nx", "s".repeat(3000)));
    let listed = &inbox.list("/api/messages")[0];
    let cut = json!([
        {"field": "to", "problem": "100 of 150 are listed"},
        {"field": "subject", "problem": "too long: its end is missing"},
    ]);
    assert_eq!((listed["to"].as_array().map(Vec::len), &listed["cut"]), (Some(100), &cut));
    assert_eq!(inbox.message(&id)["to"].as_array().map(Vec::len), Some(150));
    // Messages in messages, the fifth of them.
    let mut nested = "Subject: innermost\r\n\r\nx".to_owned();
    for n in 0..5 {
        nested =
            format!("Subject: {n}\r\nContent-Type: message/rfc822\r\nContent-ID: <id{n}@example.org>\r\n\r\n{nested}");
    }
    let id = inbox.receive(nested);
    let message = inbox.message(&id);
    let cut =
        json!([{"field": "parts", "problem": "messages more than 3 deep within each other: one is not taken apart"}]);
    assert_eq!(message["cut"], cut);
    let mut parts = &message["parts"];
    for _ in 0..3 {
        parts = &parts[0]["message"]["parts"];
    }
    assert_eq!((&parts[0]["type"], &parts[0]["message"]), (&json!("message/rfc822"), &Value::Null));
    let attachment = &inbox.list("/api/messages")[0]["attachments"][0];
    assert_eq!((&attachment["content_id"], &attachment["type"]), (&json!("id4@example.org"), &json!("message/rfc822")));
}
