//! Messages that one of two readers read wrongly; `expected.json` says what they say, and which RFC or mail program has it so.
//! A program that takes a message apart and the web inbox read the same.

use std::time::Duration;

use pillarbox::mime::{Limits, Message};
use serde_json::Value;

use crate::support::client::{Client, PATIENCE};
use crate::support::web::{Inbox, deliver};

/// What was read of a message.
#[derive(Debug)]
struct Seen {
    by: &'static str,
    subject: Option<String>,
    text: Option<String>,
    html: Option<String>,
    /// Name and type.
    attachments: Vec<(Option<String>, String)>,
}

fn folder() -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/suite/regression/mime/cases")
}

fn cases() -> Vec<(String, Vec<u8>, Value)> {
    let expected = std::fs::read(folder().join("expected.json")).expect("it is there");
    let Value::Object(expected) = serde_json::from_slice(&expected).expect("JSON") else { panic!("no object") };
    let case = |(name, value): (String, Value)| {
        let message = std::fs::read(folder().join(format!("{name}.eml"))).expect("there is one for each");
        (name, message, value)
    };
    expected.into_iter().map(case).collect()
}

fn by_program(mail: &Message) -> Seen {
    let attachments = mail.attachments().iter();
    Seen {
        by: "parsed",
        subject: mail.subject().map(str::to_owned),
        text: mail.text().map(str::to_owned),
        html: mail.html().map(str::to_owned),
        attachments: attachments.map(|part| (part.name().map(str::to_owned), part.content_type().to_owned())).collect(),
    }
}

fn by_inbox(inbox: &Inbox, id: &str) -> Seen {
    let mail = inbox.message(id);
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let attachments = mail["attachments"].as_array().expect("a list").iter();
    Seen {
        by: "web inbox",
        subject: text(&mail["subject"]),
        text: text(&mail["text"]),
        html: text(&mail["html"]),
        attachments: attachments.map(|part| (text(&part["name"]), text(&part["type"]).expect("a type"))).collect(),
    }
}

impl Seen {
    /// All ways in which it is not as expected.
    fn differences(&self, expected: &Value) -> Vec<String> {
        let mut all = Vec::new();
        for (field, seen) in [("subject", &self.subject), ("text", &self.text), ("html", &self.html)] {
            let seen = seen.as_deref().map(str::trim_end);
            if let Some(wanted) = expected[field].as_str()
                && seen != Some(wanted)
            {
                all.push(format!("{field}: {seen:?}"));
            }
            for (wish, is_there) in [("contains", true), ("lacks", false)] {
                for part in expected[format!("{field}_{wish}")].as_array().into_iter().flatten() {
                    let part = part.as_str().expect("text");
                    if seen.unwrap_or_default().contains(part) != is_there {
                        all.push(format!("{field} {wish} {part}: {seen:?}"));
                    }
                }
            }
        }
        if let Some(wanted) = expected["attachments"].as_array() {
            let wanted: Vec<_> =
                wanted.iter().map(|one| (one["name"].as_str(), one["type"].as_str().expect("text"))).collect();
            let seen: Vec<_> = self.attachments.iter().map(|(name, kind)| (name.as_deref(), kind.as_str())).collect();
            if seen != wanted {
                all.push(format!("attachments: {seen:?}"));
            }
        }
        all.into_iter().map(|difference| format!("by {}: {difference}", self.by)).collect()
    }
}

/// Reported of other readers, Python's email, mailparser, go-message, postal-mime, MailHog and Mailpit among them.
#[test]
fn all_are_read_as_they_should_be() {
    let web = Inbox::start();
    let inbox = pillarbox::Server::builder().inbox("127.0.0.1:0").expect("a free port");
    let mut wrong = Vec::new();
    for (name, message, expected) in cases() {
        deliver(&mut Client::ehlo(inbox.local_addr()), &message);
        let envelope = inbox.recv_timeout(PATIENCE).expect("it was sent");
        let mail = envelope.parsed().expect("it is in memory");
        let id = web.receive(&message);
        for seen in
            [by_program(&mail), by_inbox(&web, &id), by_program(&Message::from_octets(message, &Limits::default()))]
        {
            wrong.extend(seen.differences(&expected).into_iter().map(|difference| format!("{name}: {difference}")));
        }
        if mail.html().is_some() {
            let frame = web.get(&format!("/api/messages/{id}/html"));
            let frame = frame.text();
            for id in expected["inline"].as_array().into_iter().flatten() {
                let id = id.as_str().expect("text");
                if frame.contains(&format!("cid:{id}")) || !frame.contains("data:image/jpeg;base64,/9j/") {
                    wrong.push(format!("{name}: {frame}"));
                }
            }
            // Text is text in the frame too.
            for part in expected["html_contains"].as_array().into_iter().flatten() {
                let part = part.as_str().expect("text");
                if !part.contains("cid:p1") && !frame.contains(part) {
                    wrong.push(format!("{name}: {frame}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    inbox.assert_empty(Duration::ZERO);
}

/// Pictures that Mailpit, MailHog and Mailcrab did not show: of types by other names, by no type but a file's name, attached or
/// inline.
#[test]
fn pictures_are_shown_by_whatever_name() {
    let web = Inbox::start();
    for (fields, shown) in [
        ("Content-Type: image/jpg", Some("image/jpeg")),
        ("Content-Type: IMAGE/PNG; name=x", Some("image/png")),
        ("Content-Type: image/avif\r\nContent-Disposition: attachment", Some("image/avif")),
        ("Content-Type: image/bmp\r\nContent-Disposition: inline; filename=a.bmp", Some("image/bmp")),
        ("Content-Type: application/octet-stream; name=a.GIF", Some("image/gif")),
        ("Content-Type: application/octet-stream; name=a.svg", Some("image/svg+xml")),
        ("Content-Type: image/svg+xml", Some("image/svg+xml")),
        ("Content-Type: text/plain; name=a.png\r\nContent-Disposition: attachment", None),
    ] {
        let id = web.receive(format!(
            "Content-Type: multipart/related; boundary=k\r\n\r\n--k\r\nContent-Type: text/html\r\n\r\n\
             cid:p <img title='cid:q is not there' src='cid:p=%31@x'>\r\n--k\r\n{fields}\r\nContent-ID: <p=1@x>\r\n\r\nabc\r\n--k--\r\n"
        ));
        let frame = web.get(&format!("/api/messages/{id}/html"));
        let source = shown.map_or("data:,".to_owned(), |kind| format!("data:{kind};base64,YWJj"));
        assert!(frame.text().contains(&format!("src='{source}'>")), "{fields}: {}", frame.text());
        assert!(frame.text().starts_with("cid:p <img "), "{}", frame.text());
    }
}

/// What is missing is told on the page too, and what a message within the message is.
#[test]
fn the_web_inbox_tells_of_parts_and_of_what_is_missing() {
    let web = Inbox::start();
    let id = web.receive(
        "Content-Type: multipart/digest; boundary=k\r\n\r\n--k\r\n\r\nSubject: =?utf-8?q?=C3=BC?=\r\nFrom: a@b.example\r\n\r\nx\r\n--k--\r\n",
    );
    let mail = web.message(&id);
    let within = &mail["parts"][1]["message"];
    assert_eq!((&within["subject"], &within["from"]), (&"\u{fc}".into(), &"a@b.example".into()));
    assert_eq!((&within["parts"][0]["type"], &mail["cut"]), (&"text/plain".into(), &Value::Array(Vec::new())));
    let id = web
        .receive("Content-Type: multipart/mixed; boundary=k\r\n\r\n".to_owned() + &"--k\r\n\r\nx\r\n".repeat(11_000));
    let cut = &web.message(&id)["cut"][0];
    assert_eq!((&cut["field"], &cut["problem"]), (&"parts".into(), &"too many parts: the last are missing".into()));
}
