//! What a server can authenticate its clients with: the mechanisms of its authenticator, and those of the program's own.

use std::sync::Arc;

use super::exchange::{Exchange, Step, offered};
use super::sasl::{OwnExchange, OwnMechanism};
use super::{Authenticator, Mechanism};
use crate::session::Context;

/// The mechanisms of a server.
#[derive(Clone, Copy)]
pub(crate) struct AuthOffer<'a> {
    pub authenticator: Option<&'a Arc<dyn Authenticator>>,
    pub own: &'a [OwnMechanism],
    /// Whether a secret may cross the connection as it is.
    pub clear_text: bool,
}

/// Why a mechanism cannot be used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Unavailable {
    Unknown,
    NeedsTls,
}

impl AuthOffer<'_> {
    /// The names that EHLO shows, in its order: a client that does not choose takes the first that it knows. Those that show
    /// the secret come last.
    #[inline(never)]
    pub fn names(&self, context: &Context) -> String {
        let (shown, hidden): (Vec<Mechanism>, Vec<Mechanism>) =
            self.ours(context).into_iter().partition(|mechanism| mechanism.is_clear_text());
        let own = self
            .own
            .iter()
            .filter(|own| own.mechanism.is_offered(context) && (self.clear_text || !own.mechanism.is_clear_text()));
        let shown = shown.into_iter().filter(|_| self.clear_text);
        let names = hidden.into_iter().map(|mechanism| mechanism.name());
        let names = names.chain(own.map(|own| &*own.name)).chain(shown.map(|mechanism| mechanism.name()));
        names.collect::<Vec<_>>().join(" ")
    }

    /// Begins an exchange by the mechanism of that name.
    pub fn start(&self, context: &Context, name: &[u8]) -> Result<AnyExchange, Unavailable> {
        let is_allowed = |shows: bool| if shows && !self.clear_text { Err(Unavailable::NeedsTls) } else { Ok(()) };
        if let Some(OwnMechanism { mechanism, .. }) = self.own.iter().find(|own| is_named(own, name)) {
            if !mechanism.is_offered(context) {
                return Err(Unavailable::Unknown);
            }
            is_allowed(mechanism.is_clear_text())?;
            return Ok(AnyExchange::Own(OwnExchange::start(&**mechanism, context)));
        }
        let wanted = Mechanism::from_name(name).ok_or(Unavailable::Unknown)?;
        let authenticator = self.authenticator.ok_or(Unavailable::Unknown)?;
        if !offered(&**authenticator, context).any(|mechanism| mechanism == wanted) {
            return Err(Unavailable::Unknown);
        }
        is_allowed(wanted.is_clear_text())?;
        Ok(AnyExchange::Ours(Exchange::start(wanted, authenticator.clone())))
    }

    /// The authenticator's mechanisms, but for those that the program has replaced.
    fn ours(&self, context: &Context) -> Vec<Mechanism> {
        let is_replaced = |mechanism: Mechanism| self.own.iter().any(|own| is_named(own, mechanism.name().as_bytes()));
        let offered = self.authenticator.iter().flat_map(|authenticator| offered(&***authenticator, context));
        offered.filter(|mechanism| !is_replaced(*mechanism)).collect()
    }
}

fn is_named(own: &OwnMechanism, name: &[u8]) -> bool {
    own.name.as_bytes().eq_ignore_ascii_case(name)
}

/// An exchange by either kind of mechanism.
pub(crate) enum AnyExchange {
    Ours(Exchange),
    Own(OwnExchange),
}

impl AnyExchange {
    pub fn step(&mut self, context: &Context, response: Option<&[u8]>) -> Step {
        match self {
            AnyExchange::Ours(exchange) => exchange.step(context, response),
            AnyExchange::Own(exchange) => exchange.step(context, response),
        }
    }

    pub fn is_refused(&self) -> bool {
        match self {
            AnyExchange::Ours(exchange) => exchange.is_refused(),
            AnyExchange::Own(exchange) => exchange.is_refused(),
        }
    }
}
