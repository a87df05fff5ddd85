//! Two sessions for one connection.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use super::{Context, Session};
use crate::envelope::Recipient;
use crate::syntax::address::ReversePath;
use crate::syntax::parameter::MailParameters;
use crate::syntax::reply::Reply;

/// A program's own session, and behind it that of its handler: what the first lets be, the second is asked.
pub(crate) struct Chain {
    first: Box<dyn Session>,
    second: Box<dyn Session>,
    // Who was never told of the connection is not told of its end.
    is_second_connected: bool,
}

impl Chain {
    pub fn new(first: Box<dyn Session>, second: Box<dyn Session>) -> Chain {
        Chain { first, second, is_second_connected: false }
    }
}

// A hook that is missing here would be forgotten silently.
#[warn(clippy::missing_trait_methods)]
impl Session for Chain {
    fn connect(&mut self, context: &Context) -> Result<(), Reply> {
        self.first.connect(context)?;
        self.is_second_connected = true;
        self.second.connect(context)
    }

    fn helo(&mut self, context: &Context, name: &str) -> Result<(), Reply> {
        self.first.helo(context, name)?;
        self.second.helo(context, name)
    }

    fn authenticated(&mut self, context: &Context, identity: &str) -> Result<(), Reply> {
        self.first.authenticated(context, identity)?;
        self.second.authenticated(context, identity)
    }

    fn mail(&mut self, context: &Context, from: &ReversePath, parameters: &MailParameters) -> Result<(), Reply> {
        self.first.mail(context, from, parameters)?;
        self.second.mail(context, from, parameters)
    }

    fn rcpt(&mut self, context: &Context, to: &Recipient) -> Result<(), Reply> {
        self.first.rcpt(context, to)?;
        self.second.rcpt(context, to)
    }

    fn data(&mut self, context: &Context) -> Result<(), Reply> {
        self.first.data(context)?;
        self.second.data(context)
    }

    fn content(&mut self, context: &Context, octets: &[u8]) -> Result<(), Reply> {
        self.first.content(context, octets)?;
        self.second.content(context, octets)
    }

    fn content_end(&mut self, context: &Context) -> Result<(), Reply> {
        self.first.content_end(context)?;
        self.second.content_end(context)
    }

    fn rset(&mut self, context: &Context) {
        self.first.rset(context);
        self.second.rset(context);
    }

    fn vrfy(&mut self, context: &Context, argument: &[u8]) -> Option<Reply> {
        self.first.vrfy(context, argument).or_else(|| self.second.vrfy(context, argument))
    }

    fn expn(&mut self, context: &Context, argument: &[u8]) -> Option<Reply> {
        self.first.expn(context, argument).or_else(|| self.second.expn(context, argument))
    }

    fn help(&mut self, context: &Context, argument: &[u8]) -> Option<Reply> {
        self.first.help(context, argument).or_else(|| self.second.help(context, argument))
    }

    fn command(&mut self, context: &Context, verb: &[u8], argument: &[u8]) -> Option<Reply> {
        self.first.command(context, verb, argument).or_else(|| self.second.command(context, verb, argument))
    }

    fn disconnect(&mut self, context: &Context) {
        // The second one's comes even if the first one's panics.
        let first = catch_unwind(AssertUnwindSafe(|| self.first.disconnect(context)));
        if self.is_second_connected {
            self.second.disconnect(context);
        }
        if let Err(panic) = first {
            resume_unwind(panic);
        }
    }
}
