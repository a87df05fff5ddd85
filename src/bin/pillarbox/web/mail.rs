//! A message in JSON.

use pillarbox::mime::{Message, MimeError};
use pillarbox::testing::{Direction, Entry};
use pillarbox::{Envelope, Escaped};
use serde_json::{Value, json};

use super::codes;
use super::document::Document;
use super::facts::{Facts, most_octets};
use super::links::Links;
use super::store::StoredMessage;
use super::summary::{MAX_LISTED, MAX_PARTS, bodies_up_to};
use super::timestamp::timestamp;

/// In octets, of the text that is shown, and of the HTML.
const MAX_TEXT: usize = 1024 * 1024;

/// How deep messages within the message are told about.
const MAX_MESSAGES: usize = 3;

/// How many recipients, addresses and attachments are told about.
pub const MAX_ENTRIES: usize = 10_000;

/// In octets, the most that a message takes in a list.
pub const MAX_SHORT: u64 = most_octets(MAX_LISTED);

/// In octets, the most that all there is to know takes beside the message's own octets.
pub const MAX_COMPLETE: u64 = 40 * 1024 * 1024;

/// What a list shows.
pub fn listed(message: &StoredMessage) -> Value {
    let mut all = begun(message);
    message.summary.facts.add_to(&mut all);
    all
}

/// What no reader of its header can know.
fn begun(message: &StoredMessage) -> Value {
    json!({
        "id": message.id.to_string(),
        "received": timestamp(message.envelope.received_at()),
        "read": message.is_read(),
        "size": message.envelope.content().len(),
        "snippet": message.summary.snippet,
    })
}

/// What a message is made of.
pub fn without_bodies(envelope: &Envelope) -> Result<Message, MimeError> {
    envelope.parsed_within(&bodies_up_to(0))
}

/// A message with as much of its bodies as is shown.
pub fn bodies(envelope: &Envelope) -> Result<Message, MimeError> {
    envelope.parsed_within(&bodies_up_to(MAX_TEXT))
}

/// All there is to know.
pub fn complete(message: &StoredMessage) -> Result<Value, MimeError> {
    let envelope = &message.envelope;
    let mail = bodies(envelope)?;
    let mut facts = Facts::of(envelope, Some(&mail), MAX_ENTRIES);
    let document = mail.html().map(Document::of);
    let links = Links::of(mail.text(), document.as_ref());
    if links.is_cut {
        facts.miss("links", "too many: the last are missing".to_owned());
    }
    let mut parts = Parts { room: MAX_PARTS, cut: Vec::new() };
    let tree = parts.of(&mail, MAX_MESSAGES);
    parts.cut.into_iter().for_each(|problem| facts.miss("parts", problem));
    let entries = envelope.transcript().map(|said| said.entries()).unwrap_or_default();
    let mut all = begun(message);
    facts.add_to(&mut all);
    all["text"] = json!(mail.text());
    all["html"] = json!(mail.html());
    all["links"] = Value::Array(links.all);
    all["codes"] = json!(codes::find(&facts.subject, mail.text(), document.as_ref()));
    all["headers"] = json!(mail.headers().collect::<Vec<_>>());
    all["parts"] = tree;
    all["conversation"] = entries.iter().map(said).collect();
    all["client"] = json!(envelope.peer().to_string());
    all["helo"] = json!(envelope.helo());
    all["protocol"] = json!(envelope.protocol().to_string());
    all["tls"] = json!(envelope.tls().is_some());
    all["identity"] = json!(envelope.identity());
    Ok(all)
}

/// The parts of a message and of those within it, while there is room for more.
struct Parts {
    room: usize,
    cut: Vec<String>,
}

impl Parts {
    /// With the messages that are in it down to so many levels.
    fn of(&mut self, mail: &Message, levels: usize) -> Value {
        let mut all = Vec::new();
        for part in mail.parts() {
            let Some(left) = self.room.checked_sub(1) else {
                self.miss(format!(
                    "more than {MAX_PARTS}, those of messages within the message among them: the last are missing"
                ));
                break;
            };
            self.room = left;
            let mut told = json!({
                "type": part.content_type(),
                "depth": part.depth(),
                "name": part.name(),
                "content_id": part.content_id(),
                "disposition": part.disposition(),
                "charset": part.charset(),
                "body": part.is_body(),
                "message": null,
            });
            if matches!(part.content_type(), "message/rfc822" | "message/global") {
                if levels == 0 {
                    self.miss(format!(
                        "messages more than {MAX_MESSAGES} deep within each other: one is not taken apart"
                    ));
                } else if let Ok(Some(within)) = part.message() {
                    within.cut().iter().for_each(|cut| self.miss(format!("of a message within the message: {cut}")));
                    told["message"] = json!({
                        "subject": within.subject(),
                        "from": within.header("From"),
                        "parts": self.of(&within, levels - 1),
                    });
                }
            }
            all.push(told);
        }
        Value::Array(all)
    }

    fn miss(&mut self, problem: String) {
        if !self.cut.contains(&problem) {
            self.cut.push(problem);
        }
    }
}

pub fn said(entry: &Entry) -> Value {
    let octets = entry.octets.strip_suffix(b"\r\n").unwrap_or(&entry.octets);
    let lines = octets.split(|b| *b == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let mut lines: Vec<_> = lines.map(|line| Escaped::new(line).to_string()).collect();
    if entry.omitted > 0 {
        lines.push(format!("... {} octets more", entry.omitted));
    }
    json!({
        "at": entry.at.as_millis() as f64 / 1000.0,
        "from": match entry.direction {
            Direction::Client => "C",
            Direction::Server => "S",
            Direction::Event => "-",
        },
        "text": lines.join("\n"),
    })
}
