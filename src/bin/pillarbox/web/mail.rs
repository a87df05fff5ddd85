//! A message in JSON.

use std::time::{Duration, SystemTime};

use mail_parser::DateTime;
use mail_parser::decoders::html::html_to_text;
use pillarbox::testing::{Direction, Entry};
use pillarbox::{Envelope, Escaped};
use serde_json::{Value, json};

use super::mime::Mime;
use super::store::Stored;

/// In octets, of the text that is shown, and of the HTML.
const MAX_TEXT: usize = 1024 * 1024;

/// In octets, of the text that is searched.
const MAX_SEARCHED: usize = 64 * 1024;

/// In characters, of a subject and a sender in a list.
const MAX_LINE: usize = 1000;

/// How many recipients stand in a list.
const MAX_LISTED: usize = 100;

/// In octets, the most that all there is to know takes beside the message's own octets.
pub const MAX_COMPLETE: u64 = 24 * 1024 * 1024;

/// What a list shows of a message, and what a search looks at.
pub struct Summary {
    subject: String,
    from: String,
    attachments: usize,
    searched: String,
}

impl Summary {
    pub fn of(envelope: &Envelope) -> Summary {
        // What cannot be read from the disk shows as empty; whoever asks for it is told why.
        let octets = envelope.bytes().unwrap_or_default();
        let mime = Mime::parse(&octets);
        let subject = mime.header.text("Subject").unwrap_or_default();
        let from = mime
            .header
            .text("From")
            .filter(|from| !from.trim().is_empty())
            .unwrap_or_else(|| envelope.mail_from().to_string());
        let mut searched = format!("{subject}\n{from}\n{}", envelope.mail_from());
        for name in ["To", "Cc", "Reply-To"] {
            searched.extend(mime.header.text(name).map(|value| format!("\n{value}")));
        }
        searched.extend(envelope.recipients().iter().map(|to| format!("\n{to}")));
        for text in mime.texts() {
            searched += "\n";
            searched += &text.text(MAX_SEARCHED).0;
        }
        if let Some(html) = mime.html() {
            searched += "\n";
            searched += &html_to_text(&html.text(MAX_SEARCHED).0);
        }
        let cut = searched.floor_char_boundary(2 * MAX_SEARCHED);
        Summary {
            subject: subject.chars().take(MAX_LINE).collect(),
            from: from.chars().take(MAX_LINE).collect(),
            attachments: mime.attachments().count(),
            searched: searched[..cut].to_lowercase(),
        }
    }

    /// How many octets it takes.
    pub fn len(&self) -> usize {
        self.subject.len() + self.from.len() + self.searched.len()
    }

    /// Whether all words occur; they are in lower case.
    pub fn has(&self, words: &[String]) -> bool {
        words.iter().all(|word| self.searched.contains(word))
    }
}

/// What a list shows.
pub fn listed(message: &Stored) -> Value {
    let Stored { id, envelope, summary, .. } = message;
    let to: Vec<_> = envelope.recipients().iter().take(MAX_LISTED).map(|to| to.as_str()).collect();
    json!({
        "id": id.to_string(),
        "subject": summary.subject,
        "from": summary.from,
        "to": to,
        "received": timestamp(envelope.received_at()),
        "size": envelope.content().len(),
        "attachments": summary.attachments,
    })
}

/// All there is to know.
pub fn complete(message: &Stored, octets: &[u8]) -> Value {
    let envelope = &message.envelope;
    let mime = Mime::parse(octets);
    let mut room = MAX_TEXT;
    let mut is_whole = true;
    let mut texts = Vec::new();
    for part in mime.texts() {
        let (text, is_all) = part.text(room);
        room = room.saturating_sub(text.len());
        is_whole &= is_all;
        texts.push(text.replace("\r\n", "\n"));
    }
    let attachments = mime.attachments().enumerate().map(|(index, part)| {
        json!({
            "index": index,
            "name": part.name,
            "type": part.kind,
            "size": part.octets().len(),
            "inline": part.is_inline,
        })
    });
    let entries = envelope.transcript().map(|said| said.entries()).unwrap_or_default();
    let mut all = listed(message);
    all["to"] = json!(envelope.recipients().iter().map(|to| to.as_str()).collect::<Vec<_>>());
    all["mail_from"] = json!(envelope.mail_from().to_string());
    all["recipients"] = all["to"].clone();
    all["client"] = json!(envelope.peer().to_string());
    all["helo"] = json!(envelope.helo());
    all["protocol"] = json!(envelope.protocol().to_string());
    all["tls"] = json!(envelope.tls().is_some());
    all["identity"] = json!(envelope.identity());
    all["headers"] = json!(mime.header.decoded().collect::<Vec<_>>());
    all["text"] = if texts.is_empty() { Value::Null } else { json!(texts.join("\n")) };
    all["text_complete"] = json!(is_whole);
    let html = mime.html().map(|part| part.text(MAX_TEXT));
    all["html_complete"] = json!(html.as_ref().is_none_or(|(_, is_all)| *is_all));
    all["html"] = json!(html.map(|(html, _)| html));
    all["attachments"] = attachments.collect();
    all["conversation"] = entries.iter().map(said).collect();
    all
}

fn said(entry: &Entry) -> Value {
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

/// RFC 3339, in UTC, with milliseconds.
fn timestamp(time: SystemTime) -> String {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
    let seconds = DateTime::from_timestamp(i64::try_from(since.as_secs()).unwrap_or(0)).to_rfc3339();
    format!("{}.{:03}Z", seconds.trim_end_matches('Z'), since.subsec_millis())
}
