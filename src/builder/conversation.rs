//! The conversation: what is accepted, and the hooks that decide.

use std::sync::Arc;

use super::Builder;
use crate::config::LineEnds;
use crate::envelope::Endpoint;
use crate::faults::Faults;
use crate::session::observer::Observer;
use crate::session::{IntoSession, SessionFactory};

/// # The conversation
///
/// The conversation: what is accepted, and the hooks that decide.
impl Builder {
    /// Makes a [`Session`](crate::Session) for each connection, on its own thread, from the client's address: hooks for
    /// every command. A handler that has hooks itself ([`Handler::session`](crate::Handler::session)) is asked after them. Default: none.
    ///
    /// The closure may return a `Result`: on `Err` the client gets that reply instead of the banner, and the connection is
    /// closed. If it panics, the client gets `421 4.3.0`.
    pub fn session<S, F>(mut self, make: F) -> Builder
    where
        S: IntoSession,
        F: Fn(&Endpoint) -> S + Send + Sync + 'static,
    {
        self.session = Some(SessionFactory::new(make));
        self
    }

    /// How to treat lone CRs and LFs in a message. Default: [`LineEnds::Normalize`].
    pub fn line_ends(mut self, policy: LineEnds) -> Builder {
        self.config.line_ends = policy;
        self
    }

    /// Whether content must be text: then 8BITMIME is not offered, and a message that is not UTF-8 is refused with `554 5.6.0`,
    /// so that [`Envelope::text`](crate::Envelope::text) cannot fail. Default: false.
    pub fn decode_data(mut self, decoded: bool) -> Builder {
        self.config.decode_data = decoded;
        self
    }

    /// Whether commands must follow the grammar of RFC 5321. By default the server also accepts what smtpd accepted and real
    /// programs send: a path without angle brackets, a blank after `FROM:` or `TO:`, a local part of more than 64 octets or
    /// with dots in odd places, `_` in a domain, an address without a domain (`<root>`), and a name in HELO and EHLO that is
    /// neither a domain nor an address literal. Default: false.
    pub fn strict_syntax(mut self, strict: bool) -> Builder {
        self.config.strict_syntax = strict;
        self
    }

    /// Whether conversations are recorded, for [`Envelope::transcript`](crate::Envelope::transcript) and
    /// [`Server::transcripts`](crate::Server::transcripts). Default: true for an [`Inbox`](crate::Inbox), else false.
    pub fn transcripts(mut self, recorded: bool) -> Builder {
        self.transcripts = Some(recorded);
        self
    }

    /// Who is told of each connection, reply, login, handshake and message, to time or trace them. Default: nobody.
    pub fn observer(mut self, observer: impl Observer + 'static) -> Builder {
        self.observer = Some(Arc::new(observer));
        self
    }

    /// What the server does wrong on purpose, to test its clients. Default: nothing.
    pub fn faults(mut self, faults: Faults) -> Builder {
        self.faults = Some(faults);
        self
    }
}
