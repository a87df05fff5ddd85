//! What is kept of a message beside its octets.

use pillarbox::Envelope;
use pillarbox::mime::{Limits, Message};
use serde::{Deserialize, Serialize};

use super::document::Document;
use super::facts::Facts;
use super::international::other_form;
use super::text::{add_line, fold, prefix};

/// How many parts are told about, those of messages within the message among them.
pub const MAX_PARTS: usize = 2000;

/// How many recipients, addresses and attachments stand in a list.
pub const MAX_LISTED: usize = 100;

/// In octets, of the text that is searched, and of the HTML.
const MAX_SEARCHED: usize = 64 * 1024;

/// How many addresses of each field are searched.
const MAX_ADDRESSES: usize = 1000;

/// In octets, of the beginning of the text that a list shows.
const MAX_SNIPPET: usize = 240;

/// What a list shows of a message, and what a search looks at.
#[derive(Serialize, Deserialize)]
pub struct Summary {
    pub facts: Facts,
    pub snippet: String,
    // Without case, each field's own part behind that of the one before.
    searched: String,
    ends: [usize; COUNT],
}

/// A field that can be searched by itself, in the order in which they are kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Field {
    Subject,
    From,
    To,
    Cc,
    Bcc,
    ReplyTo,
    MessageId,
    Text,
}

const COUNT: usize = 8;

/// Before each address in what is searched; it occurs in no text.
pub const ADDRESS: char = '\u{1}';

impl Summary {
    pub fn of(envelope: &Envelope) -> Summary {
        // What cannot be read from the disk shows as empty; whoever asks for it is told why.
        let mail = envelope.parsed_within(&bodies_up_to(MAX_SEARCHED)).ok();
        let mut facts = Facts::of(envelope, mail.as_ref(), MAX_LISTED);
        // A list shows none of these: what it misses of them is told by the message itself.
        facts.cut.retain(|missing| !matches!(&*missing.field, "text" | "html"));
        let text = mail.as_ref().and_then(Message::text).unwrap_or_default();
        let document = mail.as_ref().and_then(Message::html).map(Document::of);
        let shown = document.as_ref().map_or("", |document| &document.text);
        let (searched, ends) = searched(envelope, mail.as_ref(), &facts, text, shown);
        Summary { snippet: snippet(text, shown), facts, searched, ends }
    }

    /// How many octets it takes.
    pub fn len(&self) -> usize {
        self.facts.len() + self.snippet.len() + self.searched.len()
    }

    /// What a search in these fields looks at, and all that lies between them.
    pub fn searched(&self, first: Field, last: Field) -> &str {
        let begin = (first as usize).checked_sub(1).map_or(0, |before| self.ends[before]);
        // It may have been read from a file that something else has written.
        self.searched.get(begin..self.ends[last as usize]).unwrap_or_default()
    }
}

/// All that can be found, and where each field ends. Each name and address is on a line of its own.
fn searched(
    envelope: &Envelope,
    mail: Option<&Message>,
    facts: &Facts,
    text: &str,
    shown: &str,
) -> (String, [usize; COUNT]) {
    let mut searched = Searched::default();
    searched.add(mail.and_then(Message::subject).unwrap_or_default());
    searched.end(Field::Subject);
    searched.add_address(&envelope.mail_from().to_string());
    let addresses = |of: fn(&Message) -> &[pillarbox::mime::Address]| mail.map(of).unwrap_or_default();
    searched.add_addresses(addresses(Message::from));
    searched.end(Field::From);
    searched.add_addresses(addresses(Message::to));
    envelope.recipients().iter().take(MAX_ADDRESSES).for_each(|to| searched.add_address(to.as_str()));
    searched.end(Field::To);
    searched.add_addresses(addresses(Message::cc));
    searched.end(Field::Cc);
    facts.bcc.iter().for_each(|to| searched.add_address(to));
    searched.end(Field::Bcc);
    searched.add_addresses(addresses(Message::reply_to));
    searched.end(Field::ReplyTo);
    searched.add(facts.message_id.as_deref().unwrap_or_default());
    searched.end(Field::MessageId);
    facts.attachments.iter().filter_map(|part| part.name.as_deref()).for_each(|name| searched.add(name));
    searched.add(text);
    searched.add(prefix(shown, MAX_SEARCHED));
    searched.end(Field::Text);
    searched.text.shrink_to_fit();
    (searched.text, searched.ends)
}

#[derive(Default)]
struct Searched {
    text: String,
    ends: [usize; COUNT],
}

impl Searched {
    fn add(&mut self, text: &str) {
        let text = fold(text);
        if !text.is_empty() {
            self.text += &text;
            self.text.push('\n');
        }
    }

    fn add_address(&mut self, address: &str) {
        // Whichever form somebody knows finds it.
        for form in [Some(address), other_form(address).as_deref()].into_iter().flatten() {
            self.text.push(ADDRESS);
            self.text += &fold(form);
            self.text.push('\n');
        }
    }

    fn add_addresses(&mut self, all: &[pillarbox::mime::Address]) {
        for one in all.iter().take(MAX_ADDRESSES) {
            self.add(one.name().unwrap_or_default());
            self.add_address(one.address());
        }
    }

    fn end(&mut self, field: Field) {
        self.ends[field as usize] = self.text.len();
    }
}

/// The beginning of what there is to read.
fn snippet(text: &str, shown: &str) -> String {
    // Some texts are no more than blanks.
    let body = [text, shown].into_iter().find(|body| !body.trim().is_empty()).unwrap_or_default();
    let mut line = String::new();
    add_line(prefix(body, 16 * MAX_SNIPPET), &mut line);
    prefix(line.trim_end(), MAX_SNIPPET).to_owned()
}

/// Limits for what is shown.
pub fn bodies_up_to(octets: usize) -> Limits {
    let mut limits = Limits::default();
    (limits.text, limits.html, limits.parts) = (octets, octets, MAX_PARTS);
    limits
}
