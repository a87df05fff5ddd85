//! HELO, EHLO and LHLO, and what is offered now.

use std::io;
use std::sync::Arc;
use std::time::SystemTime;

use parking_lot::Mutex;

use super::{Channel, Flow};
use crate::config::Config;
use crate::envelope::values::Values;
use crate::io::stream::Stream;
use crate::session::extension::{self, Facts};
use crate::syntax::command::Verb;
use crate::syntax::reply::Reply;

impl<S: Stream> Channel<S> {
    /// The mechanisms of AUTH for EHLO.
    #[cfg(feature = "auth")]
    fn mechanism_names(&self) -> String {
        // So that who has none pays nothing.
        if self.shared.can_authenticate() { self.auth_offer(&self.shared).names(&self.context) } else { String::new() }
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
            auth: self.shared.can_authenticate(),
            xclient: self.may_xclient,
            xforward: self.may_xforward,
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
            Verb::Xforward => self.may_xforward,
            Verb::Expn => false,
            _ => true,
        }
    }

    #[inline(never)]
    pub(super) fn greet(&mut self, name: &str, extended: bool) -> io::Result<Flow> {
        if let Err(refusal) = self.session.helo(&self.context, name) {
            return self.answer(refusal.into_refusal());
        }
        self.take_identity();
        self.context.values = Values::default();
        self.context.state.greet(self.xclient_helo.as_deref().unwrap_or(name), extended);
        self.forget_chunks();
        if !extended {
            return self.answer(Reply::bare(250, self.context.hostname().to_owned().into()));
        }
        let offer = self.shared.offers.offer(&self.shared.config, self.facts(), self.mechanism_names());
        self.say_rendered(&offer.reply, &offer.wire)?;
        self.judge(&offer.reply)
    }
}

/// How many are kept.
const MAX_OFFERS: usize = 8;

/// Replies to EHLO that were made once: of most clients of a server the same is true.
#[derive(Default)]
pub(crate) struct Offers(Mutex<Vec<Arc<Offer>>>);

/// A reply to EHLO, and what it says.
struct Offer {
    facts: Facts,
    mechanisms: String,
    reply: Reply,
    /// The reply as it goes over the wire.
    wire: Vec<u8>,
}

impl Offers {
    #[inline(never)]
    fn offer(&self, config: &Config, facts: Facts, mechanisms: String) -> Arc<Offer> {
        let mut made = self.0.lock();
        if let Some(offer) = made.iter().find(|offer| offer.facts == facts && offer.mechanisms == mechanisms) {
            return offer.clone();
        }
        let reply = Reply::bare(250, extension::ehlo(config, facts, &mechanisms).into());
        let mut wire = Vec::new();
        reply.render(&mut wire);
        let offer = Arc::new(Offer { facts, mechanisms, reply, wire });
        // One that says the time will not be the same again.
        if facts.now.is_none() {
            // The oldest is of mechanisms that may be offered no more.
            if made.len() == MAX_OFFERS {
                made.remove(0);
            }
            made.push(offer.clone());
        }
        offer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_the_same_is_made_once_and_the_number_is_bounded() {
        let (offers, config) = (Offers::default(), Config::default());
        let offer = |encrypted, mechanisms: &str| {
            offers.offer(&config, Facts { encrypted, ..Facts::default() }, mechanisms.to_owned())
        };
        let first = offer(false, "PLAIN");
        assert!(Arc::ptr_eq(&first, &offer(false, "PLAIN")));
        assert!(String::from_utf8_lossy(&first.wire).contains("AUTH PLAIN\r\n"));
        assert!(!offer(false, "").reply.text().contains("AUTH"));
        assert!(!Arc::ptr_eq(&first, &offer(true, "PLAIN")));
        for n in 0..2 * MAX_OFFERS {
            assert!(offer(false, &format!("X{n}")).reply.text().contains(&format!("AUTH X{n}")));
        }
        let now = Facts { now: Some(SystemTime::UNIX_EPOCH), ..Facts::default() };
        offers.offer(&config, now, String::new());
        assert_eq!(offers.0.lock().len(), MAX_OFFERS);
    }
}
