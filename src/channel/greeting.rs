//! HELO, EHLO and LHLO, and what is offered now.

use std::time::SystemTime;

use super::Channel;
use crate::command::Verb;
use crate::extension::{self, Facts};
use crate::reply::Reply;
use crate::stream::Stream;
use crate::values::Values;

impl<S: Stream> Channel<S> {
    /// The mechanisms of AUTH for EHLO.
    #[cfg(feature = "auth")]
    fn mechanism_names(&self) -> String {
        self.mechanisms().iter().map(|mechanism| mechanism.name()).collect::<Vec<_>>().join(" ")
    }

    #[cfg(not(feature = "auth"))]
    fn mechanism_names(&self) -> String {
        String::new()
    }

    /// What is true of this connection now, for EHLO.
    pub(super) fn facts(&self) -> Facts {
        let encrypted = self.context.tls.is_some();
        Facts {
            encrypted,
            starttls: self.shared.tls.is_some() && !encrypted,
            #[cfg(feature = "auth")]
            auth: self.shared.authenticator.is_some(),
            #[cfg(not(feature = "auth"))]
            auth: false,
            xclient: self.may_xclient,
            now: self.shared.config.future_release.map(|_| SystemTime::now()),
        }
    }

    pub(super) fn is_offered(&self, verb: Verb) -> bool {
        let is_lmtp = self.shared.config.lmtp;
        match verb {
            Verb::Helo | Verb::Ehlo => !is_lmtp,
            Verb::Lhlo => is_lmtp,
            Verb::StartTls => self.facts().starttls,
            Verb::Auth => !self.mechanism_names().is_empty(),
            Verb::Xclient => self.may_xclient,
            Verb::Expn => false,
            _ => true,
        }
    }

    pub(super) fn greet(&mut self, name: &str, extended: bool) -> Result<Reply, Reply> {
        self.session.helo(&self.context, name)?;
        self.context.values = Values::default();
        self.context.state.greet(self.xclient_helo.as_deref().unwrap_or(name), extended);
        self.forget_chunks();
        let text = match extended {
            true => extension::ehlo(&self.shared.config, self.facts(), &self.mechanism_names()),
            false => self.context.hostname().to_owned(),
        };
        Ok(Reply::bare(250, text.into()))
    }
}
