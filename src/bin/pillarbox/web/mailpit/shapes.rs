//! Messages with the names of Mailpit's fields.

use std::collections::BTreeMap;
use std::io::Read;
use std::time::Instant;

use pillarbox::Stats;
use pillarbox::mime::{Message, MimeError, Part};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::web::facts::{Facts, Mailbox};
use crate::web::mail::{MAX_ENTRIES, bodies};
use crate::web::store::{Counts, StoredMessage};
use crate::web::timestamp::timestamp;

/// In octets, of a header.
const MAX_HEADER: u64 = 2 * 1024 * 1024;

pub fn info(counts: Counts, stats: &Stats, begun: Instant) -> Value {
    json!({
        "Version": concat!("pillarbox ", env!("CARGO_PKG_VERSION")),
        "LatestVersion": "",
        "Database": "",
        "DatabaseSize": counts.octets,
        "Messages": counts.total,
        "Unread": counts.unread,
        "Tags": {},
        "RuntimeStats": {
            "Uptime": begun.elapsed().as_secs(),
            "Memory": counts.octets,
            "MessagesDeleted": counts.last_id.saturating_sub(counts.total as u64),
            "SMTPAccepted": stats.accepted_messages,
            "SMTPAcceptedSize": stats.accepted_octets,
            "SMTPRejected": stats.refused_messages,
            "SMTPIgnored": 0,
        },
    })
}

pub fn configuration(can_release: bool) -> Value {
    json!({
        "Label": "",
        "ChaosEnabled": true,
        "DuplicatesIgnored": false,
        "HideDeleteAllButton": false,
        "SpamAssassin": false,
        "MessageRelay": {
            "Enabled": can_release, "SMTPServer": "", "ReturnPath": "", "AllowedRecipients": "", "BlockedRecipients": "",
            "OverrideFrom": "", "PreserveMessageIDs": true, "RecipientAllowlist": "",
        },
    })
}

/// A message in a list.
pub fn listed(message: &StoredMessage) -> Value {
    let facts = &message.summary.facts;
    let mut shown = addressed(message, facts);
    shown["Read"] = json!(message.is_read());
    shown["Created"] = json!(timestamp(message.envelope.received_at()));
    shown["Attachments"] = json!(facts.count);
    shown["Snippet"] = json!(message.summary.snippet);
    shown
}

/// All of a message.
pub fn message(message: &StoredMessage) -> Result<Value, MimeError> {
    let mail = bodies(&message.envelope)?;
    let facts = Facts::of(&message.envelope, Some(&mail), MAX_ENTRIES);
    let mut shown = addressed(message, &facts);
    let received = message.envelope.received_at();
    shown["Date"] = json!(timestamp(facts.date.unwrap_or(received)));
    shown["ReturnPath"] = json!(facts.mail_from);
    shown["Text"] = json!(mail.text().unwrap_or_default());
    shown["HTML"] = json!(mail.html().unwrap_or_default());
    shown["ListUnsubscribe"] = unsubscription(&mail);
    let (mut inline, mut attached) = (Vec::new(), Vec::new());
    for (index, (part, known)) in mail.attachments().iter().zip(&facts.attachments).enumerate() {
        let list = if known.is_inline { &mut inline } else { &mut attached };
        list.push(attachment(index, part, known.size).map_err(MimeError::Io)?);
    }
    shown["Inline"] = Value::Array(inline);
    shown["Attachments"] = Value::Array(attached);
    Ok(shown)
}

/// What is the same in lists and alone.
fn addressed(message: &StoredMessage, facts: &Facts) -> Value {
    let all = |mailboxes: &[Mailbox]| mailboxes.iter().map(|one| mailbox(&one.name, &one.address)).collect::<Value>();
    json!({
        "ID": message.id.to_string(),
        "MessageID": facts.message_id.as_deref().unwrap_or_default(),
        "From": facts.from.as_ref().map_or_else(|| mailbox("", ""), |from| mailbox(&from.name, &from.address)),
        "To": all(&facts.to),
        "Cc": all(&facts.cc),
        "Bcc": facts.bcc.iter().map(|address| mailbox("", address)).collect::<Value>(),
        "ReplyTo": all(&facts.reply_to),
        "Subject": facts.subject,
        "Username": message.envelope.identity().unwrap_or_default(),
        "Tags": [],
        "Size": message.envelope.content().len(),
    })
}

fn mailbox(name: &str, address: &str) -> Value {
    json!({ "Name": name, "Address": address })
}

fn attachment(index: usize, part: &Part, size: u64) -> std::io::Result<Value> {
    let mut hash = Sha256::new();
    let mut reader = part.reader();
    let mut piece = [0; 8192];
    loop {
        match reader.read(&mut piece)? {
            0 => break,
            read => hash.update(&piece[..read]),
        }
    }
    let hash: String = hash.finalize().iter().map(|b| format!("{b:02x}")).collect();
    Ok(json!({
        "PartID": index.to_string(),
        "FileName": part.name().unwrap_or_default(),
        "ContentType": part.content_type(),
        "ContentID": part.content_id().unwrap_or_default(),
        "Size": size,
        // The others are of no use against changes, and nothing here has them.
        "Checksums": { "MD5": "", "SHA1": "", "SHA256": hash },
    }))
}

/// RFC 2369 and RFC 8058.
fn unsubscription(mail: &Message) -> Value {
    let header = mail.header("List-Unsubscribe").unwrap_or_default();
    let links: Vec<&str> = header.split('<').skip(1).filter_map(|link| Some(link.split_once('>')?.0.trim())).collect();
    let post = mail.header("List-Unsubscribe-Post").unwrap_or_default();
    json!({ "Header": header, "Links": links, "Errors": "", "HeaderPost": post })
}

/// The header fields by name, as Go's `net/mail` gives them: each name in its usual spelling, values unfolded and not decoded.
pub fn headers(message: &StoredMessage) -> std::io::Result<Value> {
    let mut octets = Vec::new();
    message.envelope.content().reader().take(MAX_HEADER).read_to_end(&mut octets)?;
    let text = String::from_utf8_lossy(&octets);
    let mut fields: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut last: Option<String> = None;
    for line in text.split('\n').map(|line| line.strip_suffix('\r').unwrap_or(line)).take_while(|line| !line.is_empty())
    {
        if line.starts_with([' ', '\t']) {
            if let Some(value) = last.as_ref().and_then(|name| fields.get_mut(name)?.last_mut()) {
                value.push(' ');
                value.push_str(line.trim());
            }
        } else if let Some((name, value)) = line.split_once(':') {
            let name = canonical(name.trim());
            fields.entry(name.clone()).or_default().push(value.trim().to_owned());
            last = Some(name);
        }
    }
    Ok(json!(fields))
}

/// `message-ID` as `Message-Id`.
fn canonical(name: &str) -> String {
    let words = name.split('-').map(|word| {
        let mut word = word.to_ascii_lowercase();
        if let Some(first) = word.get_mut(..1) {
            first.make_ascii_uppercase();
        }
        word
    });
    words.collect::<Vec<_>>().join("-")
}
