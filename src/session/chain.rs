//! Two sessions for one connection.

use super::{Context, Session};
use crate::address::ReversePath;
use crate::envelope::Recipient;
use crate::parameter::MailParameters;
use crate::reply::Reply;

/// A program's own session, and behind it that of its handler: what the first lets be, the second is asked.
pub(crate) struct Chain(pub Box<dyn Session>, pub Box<dyn Session>);

// A hook that is missing here would be forgotten silently.
#[warn(clippy::missing_trait_methods)]
impl Session for Chain {
    fn connect(&mut self, context: &Context) -> Result<(), Reply> {
        self.0.connect(context)?;
        self.1.connect(context)
    }

    fn helo(&mut self, context: &Context, name: &str) -> Result<(), Reply> {
        self.0.helo(context, name)?;
        self.1.helo(context, name)
    }

    fn authenticated(&mut self, context: &Context, identity: &str) -> Result<(), Reply> {
        self.0.authenticated(context, identity)?;
        self.1.authenticated(context, identity)
    }

    fn mail(&mut self, context: &Context, from: &ReversePath, parameters: &MailParameters) -> Result<(), Reply> {
        self.0.mail(context, from, parameters)?;
        self.1.mail(context, from, parameters)
    }

    fn rcpt(&mut self, context: &Context, to: &Recipient) -> Result<(), Reply> {
        self.0.rcpt(context, to)?;
        self.1.rcpt(context, to)
    }

    fn data(&mut self, context: &Context) -> Result<(), Reply> {
        self.0.data(context)?;
        self.1.data(context)
    }

    fn rset(&mut self, context: &Context) {
        self.0.rset(context);
        self.1.rset(context);
    }

    fn vrfy(&mut self, context: &Context, argument: &[u8]) -> Option<Reply> {
        self.0.vrfy(context, argument).or_else(|| self.1.vrfy(context, argument))
    }

    fn expn(&mut self, context: &Context, argument: &[u8]) -> Option<Reply> {
        self.0.expn(context, argument).or_else(|| self.1.expn(context, argument))
    }

    fn help(&mut self, context: &Context, argument: &[u8]) -> Option<Reply> {
        self.0.help(context, argument).or_else(|| self.1.help(context, argument))
    }

    fn command(&mut self, context: &Context, verb: &[u8], argument: &[u8]) -> Option<Reply> {
        self.0.command(context, verb, argument).or_else(|| self.1.command(context, verb, argument))
    }

    fn disconnect(&mut self, context: &Context) {
        self.0.disconnect(context);
        self.1.disconnect(context);
    }
}
