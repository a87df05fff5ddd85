//! What an inbox reports when a message does not come: what came instead, and the conversations.

use std::fmt::{self, Debug, Display, Formatter};
#[cfg(not(feature = "mime"))]
use std::io::BufRead;
use std::time::Duration;

use crate::envelope::transcript::Transcript;
use crate::envelope::{Endpoint, Envelope, Recipient};
use crate::server::Server;
use crate::syntax::escaped::Escaped;

/// How many conversations a report tells of.
const SHOWN: usize = 5;

/// Why an [`Inbox`](crate::Inbox) gave no message.
///
/// `Display` and `Debug` (which `unwrap` prints) both show what arrived instead and the last conversations.
#[derive(Clone)]
#[non_exhaustive]
pub enum RecvError {
    /// There was no message.
    Empty,
    /// The message did not come in this time.
    Timeout(Duration, Box<Report>),
    /// The server was shut down, and the message is not here.
    Closed(Box<Report>),
    /// After this time a client was still connected.
    Busy(Duration, Box<Report>),
}

impl RecvError {
    /// What the inbox held, and the conversations. `None` for [`RecvError::Empty`], which is not a failure.
    pub fn report(&self) -> Option<&Report> {
        match self {
            RecvError::Empty => None,
            RecvError::Timeout(_, report) | RecvError::Closed(report) | RecvError::Busy(_, report) => Some(report),
        }
    }
}

impl Display for RecvError {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            RecvError::Empty => f.write_str("no message is there"),
            RecvError::Timeout(time, report) => write!(f, "{} did not come within {time:?}\n{report}", report.wanted),
            RecvError::Closed(report) => write!(f, "the server was shut down before {} came\n{report}", report.wanted),
            RecvError::Busy(time, report) => write!(f, "a client was still connected after {time:?}\n{report}"),
        }
    }
}

impl Debug for RecvError {
    /// As `Display`, since a failing test prints this.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        Display::fmt(self, f)
    }
}

impl std::error::Error for RecvError {}

/// What an [`Inbox`](crate::Inbox) held, and the conversations with its server, when a message did not come.
#[derive(Clone)]
pub struct Report {
    wanted: String,
    // How the message differs that comes nearest.
    nearest: Option<String>,
    // Where it would have come.
    endpoints: Vec<Endpoint>,
    messages: Vec<Arrived>,
    connections: u64,
    transcripts: Vec<Transcript>,
}

impl Report {
    pub(super) fn new(wanted: &str, messages: Vec<Arrived>, server: &Server) -> Report {
        let connections = server.stats().connections;
        Report {
            wanted: wanted.to_owned(),
            nearest: None,
            endpoints: server.local_endpoints().to_vec(),
            messages,
            connections,
            transcripts: server.transcripts(),
        }
    }

    /// What else there is to say: how the message differs that comes nearest to what was wanted.
    #[cfg(feature = "mime")]
    pub(crate) fn set_nearest(&mut self, nearest: String) {
        self.nearest = Some(nearest);
    }

    /// The messages that were in the inbox.
    pub fn messages(&self) -> &[Arrived] {
        &self.messages
    }

    /// The conversations of the last hundred connections, the oldest first.
    pub fn transcripts(&self) -> &[Transcript] {
        &self.transcripts
    }
}

impl Display for Report {
    /// The messages, and the last five conversations.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "messages in the inbox: {}", self.messages.len())?;
        self.messages.iter().try_for_each(|message| writeln!(f, "    {message}"))?;
        if let Some(nearest) = &self.nearest {
            writeln!(f, "{nearest}")?;
        }
        if self.connections == 0 {
            let endpoints: Vec<String> = self.endpoints.iter().map(Endpoint::to_string).collect();
            return write!(f, "nobody has connected to {}", endpoints.join(" or "));
        }
        write!(f, "connections: {}", self.connections)?;
        if self.transcripts.is_empty() {
            return f.write_str(", of which no transcript was made");
        }
        let hidden = self.transcripts.len().saturating_sub(SHOWN);
        if self.connections > SHOWN as u64 {
            write!(f, ", of which these are the last")?;
        }
        self.transcripts[hidden..].iter().try_for_each(|transcript| write!(f, "\n{transcript}"))
    }
}

impl Debug for Report {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        Display::fmt(self, f)
    }
}

/// A summary of a message.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Arrived {
    /// The reverse-path; empty for the null one.
    pub mail_from: String,
    /// The recipients.
    pub recipients: Vec<String>,
    /// What the header field Subject says, unfolded, if there is one: decoded with the feature `mime`, else as it was sent.
    pub subject: Option<String>,
}

impl Arrived {
    pub(crate) fn of(mail: &Envelope) -> Arrived {
        Arrived {
            mail_from: mail.mail_from().to_string(),
            recipients: mail.recipients().iter().map(Recipient::to_string).collect(),
            #[cfg(feature = "mime")]
            subject: crate::mime::subject(mail.content().reader()),
            #[cfg(not(feature = "mime"))]
            subject: subject(mail.content().reader()),
        }
    }
}

impl Display for Arrived {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "from <{}> to <{}>", self.mail_from, self.recipients.join(">, <"))?;
        match &self.subject {
            Some(subject) => write!(f, ", Subject: {}", Escaped::new(subject)),
            None => f.write_str(", without a Subject"),
        }
    }
}

/// The Subject of a header: RFC 5322 sections 2.2.3 and 3.6.5.
#[cfg(not(feature = "mime"))]
fn subject(content: impl BufRead) -> Option<String> {
    let mut subject: Option<String> = None;
    for line in content.split(b'\n').map_while(Result::ok) {
        let line = line.strip_suffix(b"\r").unwrap_or(&line);
        let text = String::from_utf8_lossy(line);
        match &mut subject {
            Some(subject) if line.starts_with(b" ") || line.starts_with(b"\t") => *subject += &text,
            Some(_) => break,
            None if line.is_empty() => break,
            None => {
                let field = text.split_once(':').filter(|(name, _)| name.trim_end().eq_ignore_ascii_case("Subject"));
                subject = field.map(|(_, value)| value.trim().to_owned());
            }
        }
    }
    subject
}

#[cfg(all(test, not(feature = "mime")))]
mod tests {
    use super::*;

    #[test]
    fn subjects() {
        let of = |text: &str| subject(text.as_bytes());
        assert_eq!(of("From: a\r\nsubject:  one \r\n\r\n").as_deref(), Some("one"));
        assert_eq!(of("Subject: one\r\n two\r\n\tthree\r\nTo: b\r\n").as_deref(), Some("one two\tthree"));
        assert_eq!(of("Subject:\r\n\r\n").as_deref(), Some(""));
        assert_eq!(of("From: a\r\n\r\nSubject: in the body\r\n"), None);
        assert_eq!(of(""), None);
    }
}
