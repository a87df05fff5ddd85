//! A message in JSON.

use std::time::SystemTime;

use pillarbox::mime::{Cut, Message, MimeError};
use pillarbox::testing::{Direction, Entry};
use pillarbox::{Envelope, Escaped};
use serde_json::{Value, json};

use super::store::StoredMessage;
use super::summary::{MAX_PARTS, bodies_up_to};

/// In octets, of the text that is shown, and of the HTML.
const MAX_TEXT: usize = 1024 * 1024;

/// How deep messages within the message are told about.
const MAX_MESSAGES: usize = 3;

/// How many recipients stand in a list.
const MAX_LISTED: usize = 100;

/// In octets, the most that all there is to know takes beside the message's own octets.
pub const MAX_COMPLETE: u64 = 24 * 1024 * 1024;

/// What a list shows.
pub fn listed(message: &StoredMessage) -> Value {
    let StoredMessage { id, envelope, summary, .. } = message;
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

/// What a message is made of.
pub fn without_bodies(envelope: &Envelope) -> Result<Message, MimeError> {
    envelope.parsed_within(&bodies_up_to(0))
}

/// All there is to know.
pub fn complete(message: &StoredMessage) -> Result<Value, MimeError> {
    let envelope = &message.envelope;
    let mail = envelope.parsed_within(&bodies_up_to(MAX_TEXT))?;
    let attachments = mail.attachments().iter().enumerate().map(|(index, part)| {
        Ok(json!({
            "index": index,
            "name": part.name(),
            "type": part.content_type(),
            "size": part.write_to(&mut std::io::sink())?,
            "inline": part.is_inline() || (part.disposition().is_none() && part.content_id().is_some()),
        }))
    });
    let attachments: Vec<Value> = attachments.collect::<Result<_, _>>().map_err(MimeError::Io)?;
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
    all["headers"] = json!(mail.headers().collect::<Vec<_>>());
    all["text"] = json!(mail.text());
    all["text_complete"] = json!(!mail.cut().contains(&Cut::Text));
    all["html_complete"] = json!(!mail.cut().contains(&Cut::Html));
    all["html"] = json!(mail.html());
    all["attachments"] = json!(attachments);
    all["parts"] = parts(&mail, MAX_MESSAGES, &mut { MAX_PARTS });
    // What passes the limits of what is shown is told above.
    let cut = mail.cut().iter().filter(|cut| !matches!(cut, Cut::Text | Cut::Html));
    all["cut"] = cut.map(Cut::to_string).collect();
    all["conversation"] = entries.iter().map(said).collect();
    Ok(all)
}

/// The parts of a message, and of those that are in it down to so many levels, while there is room for more.
fn parts(mail: &Message, levels: usize, room: &mut usize) -> Value {
    let mut all = Vec::new();
    for part in mail.parts() {
        let Some(left) = room.checked_sub(1) else { break };
        *room = left;
        let mut told = json!({
            "type": part.content_type(),
            "depth": part.depth(),
            "name": part.name(),
            "content_id": part.content_id(),
            "disposition": part.disposition(),
            "charset": part.charset(),
            "body": part.is_body(),
        });
        if levels > 0
            && let Ok(Some(within)) = part.message()
        {
            told["message"] = json!({
                "subject": within.subject(),
                "from": within.header("From"),
                "parts": parts(&within, levels - 1, room),
            });
        }
        all.push(told);
    }
    Value::Array(all)
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

/// RFC 3339, in UTC, with milliseconds.
pub fn timestamp(time: SystemTime) -> String {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let millis = time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.subsec_millis());
    // As in `Sun, 06 Nov 1994 08:49:37 GMT`, each part of which has a fixed length.
    let http = httpdate::fmt_http_date(time.max(SystemTime::UNIX_EPOCH));
    let month = MONTHS.iter().position(|month| *month == &http[8..11]).unwrap_or_default() + 1;
    format!("{}-{month:02}-{}T{}.{millis:03}Z", &http[12..16], &http[5..7], &http[17..25])
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn timestamps() {
        for (seconds, expected) in [
            (0, "1970-01-01T00:00:00.005Z"),
            (951_782_399, "2000-02-28T23:59:59.005Z"),
            (951_782_400, "2000-02-29T00:00:00.005Z"),
            (951_868_800, "2000-03-01T00:00:00.005Z"),
            (1_795_424_400, "2026-11-23T09:00:00.005Z"),
            (4_107_542_399, "2100-02-28T23:59:59.005Z"),
            (4_107_542_400, "2100-03-01T00:00:00.005Z"),
        ] {
            assert_eq!(timestamp(SystemTime::UNIX_EPOCH + Duration::from_millis(seconds * 1000 + 5)), expected);
        }
    }
}
