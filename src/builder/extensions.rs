//! Which extensions are offered beside those that always are.

use std::time::Duration;

use super::Builder;
use crate::config::FOREVER;

/// # Extensions
///
/// Which extensions are offered beside those that always are.
impl Builder {
    /// Whether SMTPUTF8 (RFC 6531) is offered: addresses may then hold UTF-8. Not together with
    /// [`decode_data`](Builder::decode_data). Default: false.
    pub fn smtputf8(mut self, offered: bool) -> Builder {
        self.config.smtputf8 = offered;
        self
    }

    /// Whether DSN (RFC 3461) is offered: clients may ask for notices about delivery. The handler sees what they ask for, and
    /// must act on it if it relays or delivers. Default: true.
    pub fn dsn(mut self, offered: bool) -> Builder {
        self.config.dsn = offered;
        self
    }

    /// Whether PRDR (an expired draft) is offered: a client that asks for it gets a reply for each recipient, if the handler's
    /// [`Response`](crate::Response) has one, and then one for the message. Default: false.
    pub fn prdr(mut self, offered: bool) -> Builder {
        self.config.prdr = offered;
        self
    }

    /// Whether MT-PRIORITY (RFC 6710) is offered: clients may say how urgent a message is. Default: false.
    pub fn mt_priority(mut self, offered: bool) -> Builder {
        self.config.mt_priority = offered;
        self
    }

    /// Offers DELIVERBY (RFC 2852) with this minimum time, in whole seconds, after which a client may have a message returned.
    /// Default: not offered.
    pub fn deliver_by(mut self, min: impl Into<Option<Duration>>) -> Builder {
        self.config.deliver_by = min.into();
        self
    }

    /// Offers FUTURERELEASE (RFC 4865): clients may ask that a message be held back, at most for this time. Default: not
    /// offered.
    pub fn future_release(mut self, max: impl Into<Option<Duration>>) -> Builder {
        self.config.future_release = max.into().map(|max| max.min(FOREVER));
        self
    }
}
