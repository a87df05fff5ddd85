//! What is known of a message in each list: its envelope and header, and what it carries.

use std::borrow::Cow;
use std::collections::HashSet;
use std::time::SystemTime;

use pillarbox::Envelope;
use pillarbox::mime::{Address, Cut, Message, Part};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::international::in_ascii;
use super::text::{fold, prefix};
use super::timestamp::timestamp;

/// In octets, of a text that stands in a list.
const MAX_SUBJECT: usize = 2000;
const MAX_NAME: usize = 500;
const MAX_ADDRESS: usize = 500;

/// In octets, the most that the facts of a message with so many entries in each of its lists take as JSON.
pub const fn most_octets(entries: usize) -> u64 {
    let strings = 2 * MAX_SUBJECT + entries * (5 * (MAX_ADDRESS + MAX_NAME) + 4000);
    16 * 1024 + 2 * strings as u64
}

/// An address in the header.
#[derive(Serialize, Deserialize)]
pub struct Mailbox {
    pub name: String,
    pub address: String,
}

/// A part that is no body.
#[derive(Serialize, Deserialize)]
pub struct Attachment {
    pub name: Option<String>,
    pub kind: String,
    pub size: u64,
    pub is_inline: bool,
    pub content_id: Option<String>,
}

/// Something of which there is more.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Missing {
    /// The field that is not complete.
    pub field: Cow<'static, str>,
    pub problem: String,
}

#[derive(Default, Serialize, Deserialize)]
pub struct Facts {
    pub mail_from: String,
    pub rcpt_to: Vec<String>,
    pub from: Option<Mailbox>,
    pub to: Vec<Mailbox>,
    pub cc: Vec<Mailbox>,
    /// The recipients who are neither in To nor in Cc.
    pub bcc: Vec<String>,
    pub reply_to: Vec<Mailbox>,
    pub subject: String,
    pub date: Option<SystemTime>,
    pub message_id: Option<String>,
    /// How many attachments there are, listed or not.
    pub count: usize,
    pub attachments: Vec<Attachment>,
    pub cut: Vec<Missing>,
}

impl Facts {
    /// With so many entries in each of its lists.
    pub fn of(envelope: &Envelope, mail: Option<&Message>, most: usize) -> Facts {
        let mut facts = Facts { mail_from: envelope.mail_from().to_string(), ..Facts::default() };
        let recipients = envelope.recipients();
        facts.rcpt_to = recipients.iter().take(most).map(|to| to.as_str().to_owned()).collect();
        facts.check("rcpt_to", recipients.len(), most);
        let Some(mail) = mail else { return facts };
        facts.from = mail.from().first().map(|from| facts.mailbox("from", from));
        facts.check("from", mail.from().len(), 1);
        facts.to = facts.mailboxes("to", mail.to(), most);
        facts.cc = facts.mailboxes("cc", mail.cc(), most);
        facts.reply_to = facts.mailboxes("reply_to", mail.reply_to(), most);
        let named: HashSet<String> = mail.to().iter().chain(mail.cc()).map(|named| one_form(named.address())).collect();
        let mut blind: Vec<&str> =
            recipients.iter().map(|to| to.as_str()).filter(|to| !named.contains(&one_form(to))).collect();
        let mut seen = HashSet::new();
        blind.retain(|to| seen.insert(*to));
        facts.check("bcc", blind.len(), most);
        facts.bcc = blind.into_iter().take(most).map(str::to_owned).collect();
        let subject = mail.subject().unwrap_or_default();
        facts.subject = facts.shortened("subject", subject, MAX_SUBJECT);
        facts.date = mail.date();
        facts.message_id = mail.message_id().map(str::to_owned);
        facts.count = mail.attachments().len();
        facts.attachments = mail.attachments().iter().take(most).map(Attachment::of).collect();
        facts.check("attachments", facts.count, most);
        for cut in mail.cut() {
            facts.miss(field_of(*cut), cut.to_string());
        }
        facts
    }

    /// As fields of a message in JSON.
    pub fn add_to(&self, json: &mut Value) {
        let fields = json!({
            "mail_from": self.mail_from,
            "rcpt_to": self.rcpt_to,
            "from": self.from.as_ref().map(Mailbox::json),
            "to": mailboxes(&self.to),
            "cc": mailboxes(&self.cc),
            "bcc": self.bcc,
            "reply_to": mailboxes(&self.reply_to),
            "subject": self.subject,
            "date": self.date.map(timestamp),
            "message_id": self.message_id,
            "count": self.count,
            "attachments": self.attachments.iter().enumerate().map(|(index, part)| part.json(index)).collect::<Value>(),
            "cut": self.cut.iter().map(Missing::json).collect::<Value>(),
        });
        if let (Value::Object(json), Value::Object(fields)) = (json, fields) {
            json.extend(fields);
        }
    }

    pub fn miss(&mut self, field: &'static str, problem: String) {
        let missing = Missing { field: field.into(), problem };
        if !self.cut.contains(&missing) {
            self.cut.push(missing);
        }
    }

    /// In octets, what it takes in memory.
    pub fn len(&self) -> usize {
        let of_mailboxes =
            |all: &[Mailbox]| -> usize { all.iter().map(|one| 48 + one.name.len() + one.address.len()).sum() };
        let of_texts = |all: &[String]| -> usize { all.iter().map(|one| 24 + one.len()).sum() };
        let from = self.from.as_ref().map_or(0, |from| from.name.len() + from.address.len());
        let lists = of_mailboxes(&self.to) + of_mailboxes(&self.cc) + of_mailboxes(&self.reply_to);
        let attachments = self.attachments.iter().map(|part| {
            let id = part.content_id.as_ref().map_or(0, String::len);
            104 + part.name.as_ref().map_or(0, String::len) + part.kind.len() + id
        });
        let cut: usize = self.cut.iter().map(|missing| 40 + missing.problem.len()).sum();
        let texts = self.mail_from.len() + self.subject.len() + self.message_id.as_ref().map_or(0, String::len);
        texts + from + lists + of_texts(&self.rcpt_to) + of_texts(&self.bcc) + attachments.sum::<usize>() + cut
    }

    fn check(&mut self, field: &'static str, count: usize, most: usize) {
        if count > most {
            self.miss(field, format!("{most} of {count} are listed"));
        }
    }

    fn shortened(&mut self, field: &'static str, text: &str, most: usize) -> String {
        let begin = prefix(text, most);
        if begin.len() < text.len() {
            self.miss(field, "too long: its end is missing".to_owned());
        }
        begin.to_owned()
    }

    fn mailbox(&mut self, field: &'static str, address: &Address) -> Mailbox {
        let name = self.shortened(field, address.name().unwrap_or_default(), MAX_NAME);
        Mailbox { name, address: self.shortened(field, address.address(), MAX_ADDRESS) }
    }

    fn mailboxes(&mut self, field: &'static str, all: &[Address], most: usize) -> Vec<Mailbox> {
        self.check(field, all.len(), most);
        all.iter().take(most).map(|address| self.mailbox(field, address)).collect()
    }
}

impl Mailbox {
    fn json(&self) -> Value {
        json!({ "name": self.name, "address": self.address })
    }
}

/// What two ways to write an address have in common: a local part in quotes may need none, or have other backslashes, and an
/// international domain has two forms.
fn one_form(address: &str) -> String {
    let address = in_ascii(address).map_or(Cow::Borrowed(address), Cow::Owned);
    match address.parse::<pillarbox::Mailbox>() {
        Ok(parsed) if address.starts_with('"') => {
            fold(&format!("{}@{}", parsed.unquoted_local_part(), parsed.domain()))
        }
        _ => fold(&address),
    }
}

fn mailboxes(all: &[Mailbox]) -> Value {
    all.iter().map(Mailbox::json).collect()
}

impl Attachment {
    fn of(part: &Part) -> Attachment {
        Attachment {
            name: part.name().map(str::to_owned),
            kind: part.content_type().to_owned(),
            // What cannot be read from the disk has no octets; whoever asks for them is told why.
            size: part.write_to(&mut std::io::sink()).unwrap_or_default(),
            is_inline: part.is_inline() || (part.disposition().is_none() && part.content_id().is_some()),
            content_id: part.content_id().map(str::to_owned),
        }
    }

    fn json(&self, index: usize) -> Value {
        json!({
            "index": index,
            "name": self.name,
            "type": self.kind,
            "size": self.size,
            "inline": self.is_inline,
            "content_id": self.content_id,
        })
    }
}

impl Missing {
    pub fn json(&self) -> Value {
        json!({ "field": self.field, "problem": self.problem })
    }
}

fn field_of(cut: Cut) -> &'static str {
    match cut {
        Cut::Fields | Cut::Field | Cut::Header | Cut::EncodedWords | Cut::Addresses => "headers",
        Cut::Text => "text",
        Cut::Html => "html",
        Cut::Name | Cut::Parameters => "attachments",
        _ => "parts",
    }
}
