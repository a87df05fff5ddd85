//! What is kept of a message beside its octets.

use pillarbox::Envelope;
use pillarbox::mime::{Limits, html_to_text};
use serde::{Deserialize, Serialize};

/// How many parts are told about, those of messages within the message among them.
pub const MAX_PARTS: usize = 2000;

/// In octets, of the text that is searched.
const MAX_SEARCHED: usize = 64 * 1024;

/// In characters, of a subject and a sender in a list.
const MAX_LINE: usize = 1000;

/// What a list shows of a message, and what a search looks at.
#[derive(Serialize, Deserialize)]
pub struct Summary {
    pub subject: String,
    pub from: String,
    pub attachments: usize,
    pub searched: String,
}

impl Summary {
    pub fn of(envelope: &Envelope) -> Summary {
        // What cannot be read from the disk shows as empty; whoever asks for it is told why.
        let mail = envelope.parsed_within(&bodies_up_to(MAX_SEARCHED)).ok();
        let header = |name| mail.as_ref().and_then(|mail| mail.header(name)).unwrap_or_default();
        let subject = header("Subject");
        let from = Some(header("From").trim()).filter(|from| !from.is_empty()).map(str::to_owned);
        let from = from.unwrap_or_else(|| envelope.mail_from().to_string());
        let mut searched = format!("{subject}\n{from}\n{}", envelope.mail_from());
        for name in ["To", "Cc", "Reply-To"] {
            searched += "\n";
            searched += header(name);
        }
        searched.extend(envelope.recipients().iter().map(|to| format!("\n{to}")));
        let bodies = mail.as_ref().map(|mail| (mail.text().unwrap_or_default(), mail.html().unwrap_or_default()));
        let (text, html) = bodies.unwrap_or_default();
        searched += &format!("\n{text}\n{}", html_to_text(html));
        let mut cut = searched.len().min(2 * MAX_SEARCHED);
        while !searched.is_char_boundary(cut) {
            cut -= 1;
        }
        Summary {
            subject: subject.chars().take(MAX_LINE).collect(),
            from: from.chars().take(MAX_LINE).collect(),
            attachments: mail.as_ref().map_or(0, |mail| mail.attachments().len()),
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

/// Limits for what is shown.
pub fn bodies_up_to(octets: usize) -> Limits {
    let mut limits = Limits::default();
    (limits.text, limits.html, limits.parts) = (octets, octets, MAX_PARTS);
    limits
}
