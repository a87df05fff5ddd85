//! Messages within a message, and what is attached to them.
//!
//! An attachment is named by its number; one of a message that is itself attached by both, as in `2.0`, however deep.

use pillarbox::mime::{Address, Limits, Message, MimeError, Part};
use serde_json::{Value, json};

use super::html;
use crate::digits::parse_digits;

/// In octets, of the text that is shown.
const MAX_TEXT: usize = 1024 * 1024;

/// How many levels deep it may be: as a message is read.
const MAX_LEVELS: usize = 20;

/// How many addresses of a field are told.
const MAX_ADDRESSES: usize = 100;

/// The attachment with this name.
pub fn attachment(mail: &Message, name: &str) -> Result<Option<Part>, MimeError> {
    let numbers: Option<Vec<usize>> = name.split('.').take(MAX_LEVELS + 1).map(parse_digits).collect();
    let Some((last, outer)) = numbers.as_deref().and_then(<[usize]>::split_last) else { return Ok(None) };
    let mut within = None;
    for number in outer {
        let Some(part) = within.as_ref().unwrap_or(mail).attachments().get(*number) else { return Ok(None) };
        let Some(message) = part.message()? else { return Ok(None) };
        within = Some(message);
    }
    Ok(within.as_ref().unwrap_or(mail).attachments().get(*last).cloned())
}

/// The limits within which a message is read whose attachments may be messages that are shown.
pub fn limits() -> Limits {
    let mut limits = html::limits();
    limits.text = MAX_TEXT;
    limits
}

/// What is shown of a message within another.
pub fn told(mail: &Message) -> Result<Value, MimeError> {
    let attachments = mail.attachments().iter().enumerate().map(|(index, part)| {
        Ok(json!({
            "index": index,
            "name": part.name(),
            "type": part.content_type(),
            "size": part.write_to(&mut std::io::sink()).map_err(MimeError::Io)?,
            "inline": part.is_inline(),
        }))
    });
    let attachments: Vec<Value> = attachments.collect::<Result<_, MimeError>>()?;
    Ok(json!({
        "subject": mail.subject(),
        "from": addresses(mail.from()).first(),
        "to": addresses(mail.to()),
        "cc": addresses(mail.cc()),
        "date": mail.header("Date"),
        "text": mail.text(),
        "has_html": mail.html().is_some(),
        "attachments": attachments,
        "cut": mail.cut().iter().map(ToString::to_string).collect::<Vec<_>>(),
    }))
}

fn addresses(all: &[Address]) -> Vec<Value> {
    let told = all.iter().take(MAX_ADDRESSES);
    told.map(|address| json!({ "name": address.name(), "address": address.address() })).collect()
}
