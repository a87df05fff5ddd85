//! What a check is: a name, the rule behind it, and a conversation in which a server keeps the rule or breaks it.

use std::net::SocketAddr;

/// The server that is examined, and what it may be sent.
#[derive(Clone)]
pub struct Target {
    pub address: SocketAddr,
    /// The host as it was named, for TLS.
    pub host: String,
    /// The reverse-path; empty is the null one, so that nobody gets a bounce.
    pub sender: String,
    /// Who gets the test messages; without one no message is sent.
    pub recipient: Option<String>,
}

/// Why a check ended before its end.
#[derive(Debug)]
pub enum Stop {
    /// The server broke the rule: with what.
    Fail(String),
    /// The rule says nothing about this server: why.
    Skip(String),
}

/// A rule that was kept, and what was seen of it, or why not.
pub type Seen = Result<String, Stop>;

/// A rule of the wire and the conversation that tries it.
pub struct Check {
    /// The area, a colon, and what a server that keeps the rule does.
    pub name: String,
    /// Where the rule is written.
    pub section: &'static str,
    conversation: Box<dyn Fn(&Target) -> Seen>,
}

impl Check {
    pub fn new(
        name: impl Into<String>,
        section: &'static str,
        conversation: impl Fn(&Target) -> Seen + 'static,
    ) -> Check {
        Check { name: name.into(), section, conversation: Box::new(conversation) }
    }

    pub fn run(&self, target: &Target) -> Seen {
        (self.conversation)(target)
    }
}

/// The rule is broken.
pub fn fail<T>(seen: impl Into<String>) -> Result<T, Stop> {
    Err(Stop::Fail(seen.into()))
}

/// The rule says nothing about this server.
pub fn skip<T>(reason: impl Into<String>) -> Result<T, Stop> {
    Err(Stop::Skip(reason.into()))
}
