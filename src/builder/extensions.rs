//! Which extensions are offered beside those that always are.

use std::sync::Arc;
use std::time::Duration;

use super::Builder;
use crate::config::FOREVER;
use crate::syntax::parameter::Extension;

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

    /// Offers an extension of the program's own, with its parameters; can be called several times. Default: none.
    pub fn extension(mut self, extension: Extension) -> Builder {
        Arc::make_mut(&mut self.config.extensions).push(extension);
        self
    }

    /// Whether a parameter of MAIL or RCPT that belongs to no extension the server knows is ignored instead of refused with
    /// `555 5.5.4`, for clients that send what was not offered to them. Hooks and handlers see it
    /// ([`MailParameters::get`](crate::MailParameters::get)); relays drop it. A parameter of an extension that this crate knows
    /// and does not offer now, such as REQUIRETLS without TLS, is still refused, and so is any after HELO: what it asks for
    /// would not be done. Default: false.
    pub fn ignore_unknown_parameters(mut self, ignored: bool) -> Builder {
        self.config.ignore_unknown_parameters = ignored;
        self
    }
}
