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

    /// Whether DSN (RFC 3461) is offered: clients may say of which recipients they want to hear what. The handler sees
    /// it, and whoever relays or delivers has to act on it. Default: true.
    pub fn dsn(mut self, offered: bool) -> Builder {
        self.config.dsn = offered;
        self
    }

    /// Whether PRDR is offered, of which there is an expired draft and no RFC: a client that asks for it reads a reply for each recipient, if the handler's
    /// [`Response`](crate::Response) has one, and then one for all. Default: false.
    pub fn prdr(mut self, offered: bool) -> Builder {
        self.config.prdr = offered;
        self
    }

    /// Whether MT-PRIORITY (RFC 6710) is offered: clients may say how urgent a message is. Default: false.
    pub fn mt_priority(mut self, offered: bool) -> Builder {
        self.config.mt_priority = offered;
        self
    }

    /// Offers DELIVERBY (RFC 2852) with the least time, in whole seconds, after which a message may be asked back.
    /// Default: not offered.
    pub fn deliver_by(mut self, min: impl Into<Option<Duration>>) -> Builder {
        self.config.deliver_by = min.into();
        self
    }

    /// Offers FUTURERELEASE (RFC 4865): clients may ask that a message be held back, at most for so long. Default: not
    /// offered.
    pub fn future_release(mut self, max: impl Into<Option<Duration>>) -> Builder {
        self.config.future_release = max.into().map(|max| max.min(FOREVER));
        self
    }
}
