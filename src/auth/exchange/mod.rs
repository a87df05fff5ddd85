//! One authentication in progress.

use std::mem;
use std::sync::Arc;

use super::bearer::{Bearer, Message, oauthbearer_error, xoauth2_error};
use super::prepare::{self, name};
use super::scram::{Binding, ClientFirst, ServerFirst};
use super::verifier::{DecoyKey, MIN_ITERATIONS, SALT};
use super::{AuthFailure, Authenticator, Mechanism, encode};
use crate::session::Context;

/// Whether SCRAM can be bound to the connection's TLS.
fn has_binding(context: &Context) -> bool {
    context.tls.as_ref().is_some_and(|tls| tls.server_end_point.is_some() || tls.exporter.is_some())
}

fn client_certificate(context: &Context) -> Option<&[u8]> {
    context.tls.as_ref()?.client_certificate.as_deref()
}

/// The mechanisms that an authenticator can serve on such a connection, in the order to offer them.
pub(crate) fn offered(authenticator: &dyn Authenticator, context: &Context) -> impl Iterator<Item = Mechanism> {
    let served = authenticator.mechanisms(context);
    let (has_binding, has_certificate) = (has_binding(context), client_certificate(context).is_some());
    Mechanism::ALL.into_iter().filter(move |mechanism| match mechanism {
        Mechanism::ScramSha256Plus => {
            has_binding && (served.contains(mechanism) || served.contains(&Mechanism::ScramSha256))
        }
        Mechanism::External => has_certificate && served.contains(mechanism),
        _ => served.contains(mechanism),
    })
}

/// What comes next.
#[derive(Debug)]
pub(crate) enum Step {
    /// `334` with this in base64; the client's answer is the next step.
    Challenge(Vec<u8>),
    /// The identity of the client, or why it has none. The exchange is over.
    Done(Result<String, AuthFailure>),
}

enum ExchangeState {
    /// The client has not said anything yet.
    Start,
    /// LOGIN: the password is missing.
    Password {
        user: Vec<u8>,
    },
    /// SCRAM: the proof is missing.
    Proof {
        user: String,
        acts_as: Option<String>,
        first: Box<ServerFirst>,
    },
    /// SCRAM: the client is to acknowledge the server's proof, which RFC 4954 section 4 has no other place for.
    Acknowledged {
        identity: String,
    },
    /// OAUTHBEARER, XOAUTH2: the client has been told why not, and is to acknowledge that.
    Refused,
    Over,
}

/// One authentication in progress.
///
/// A client that cancels is the caller's affair. It counts as a guess if [`is_refused`](Exchange::is_refused).
pub(crate) struct Exchange {
    mechanism: Mechanism,
    authenticator: Arc<dyn Authenticator>,
    state: ExchangeState,
}

impl Exchange {
    /// The mechanism must be one of those [`offered`].
    pub fn start(mechanism: Mechanism, authenticator: Arc<dyn Authenticator>) -> Exchange {
        Exchange { mechanism, authenticator, state: ExchangeState::Start }
    }

    /// Takes the initial response of AUTH, `None` if there is none, and then the decoded answer to each challenge.
    pub fn step(&mut self, context: &Context, response: Option<&[u8]>) -> Step {
        match (mem::replace(&mut self.state, ExchangeState::Over), response) {
            (ExchangeState::Start, None) => {
                self.state = ExchangeState::Start;
                match self.mechanism {
                    Mechanism::Login => Step::Challenge(b"Username:".to_vec()),
                    _ => Step::Challenge(Vec::new()),
                }
            }
            (_, None) => Step::Done(Err(AuthFailure::Malformed)),
            (state, Some(response)) => {
                self.advance(context, state, response).unwrap_or_else(|failure| Step::Done(Err(failure)))
            }
        }
    }

    /// Whether the client has been refused already, in a challenge that it did not answer yet.
    pub fn is_refused(&self) -> bool {
        matches!(self.state, ExchangeState::Refused)
    }

    fn advance(&mut self, context: &Context, state: ExchangeState, response: &[u8]) -> Result<Step, AuthFailure> {
        let identity = match state {
            ExchangeState::Start => match self.mechanism {
                Mechanism::Plain => self.plain(context, response)?,
                Mechanism::Login => {
                    self.state = ExchangeState::Password { user: response.to_vec() };
                    return Ok(Step::Challenge(b"Password:".to_vec()));
                }
                Mechanism::ScramSha256 | Mechanism::ScramSha256Plus => return self.scram_first(context, response),
                Mechanism::OAuthBearer | Mechanism::XOAuth2 => return self.bearer(context, response),
                Mechanism::External => self.external(context, response)?,
            },
            ExchangeState::Password { user } => self.password(context, &user, response, None)?,
            ExchangeState::Proof { user, acts_as, first } => {
                let server_final = first.verify(response)?;
                let identity = self.authorize(context, user, acts_as)?;
                self.state = ExchangeState::Acknowledged { identity };
                return Ok(Step::Challenge(server_final.into_bytes()));
            }
            ExchangeState::Acknowledged { identity } if response.is_empty() => identity,
            ExchangeState::Acknowledged { .. } | ExchangeState::Over => return Err(AuthFailure::Malformed),
            ExchangeState::Refused => return Err(AuthFailure::Credentials),
        };
        Ok(Step::Done(Ok(identity)))
    }

    /// RFC 4616 section 2: `[authzid] NUL authcid NUL passwd`.
    fn plain(&self, context: &Context, response: &[u8]) -> Result<String, AuthFailure> {
        let mut parts = response.split(|&octet| octet == 0);
        let (Some(acts_as), Some(user), Some(password), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(AuthFailure::Malformed);
        };
        self.password(context, user, password, Some(acts_as))
    }

    fn password(
        &self,
        context: &Context,
        user: &[u8],
        password: &[u8],
        acts_as: Option<&[u8]>,
    ) -> Result<String, AuthFailure> {
        let acts_as = acts_as.filter(|name| !name.is_empty()).map(name).transpose()?;
        let user = name(user)?;
        let password = prepare::password(password)?;
        let identity = self.authenticator.password(context, &user, &password)?;
        self.authorize(context, identity, acts_as.filter(|acts_as| *acts_as != user))
    }

    fn authorize(&self, context: &Context, identity: String, acts_as: Option<String>) -> Result<String, AuthFailure> {
        match acts_as {
            Some(acts_as) if acts_as != identity => self.authenticator.authorize(context, &identity, &acts_as),
            _ => Ok(identity),
        }
    }

    fn scram_first(&mut self, context: &Context, response: &[u8]) -> Result<Step, AuthFailure> {
        let first = ClientFirst::parse(response)?;
        let binding = self.binding(context, first.binding)?;
        let user = name(first.user.as_bytes())?;
        let acts_as = first.authzid.as_deref().map(|acts_as| name(acts_as.as_bytes())).transpose()?;
        let verifier = match self.authenticator.scram(context, &user)? {
            Some(verifier) => verifier,
            None => DecoyKey::of_process()?.verifier(&user, MIN_ITERATIONS, SALT),
        };
        let mut random = [0; 18];
        getrandom::fill(&mut random).map_err(AuthFailure::temporary)?;
        let (challenge, first) = first.challenge(verifier, &encode(&random), binding);
        self.state = ExchangeState::Proof { user, acts_as, first: Box::new(first) };
        Ok(Step::Challenge(challenge.into_bytes()))
    }

    /// The octets that the client's flag wants bound: RFC 5802 section 6.
    fn binding<'a>(&self, context: &'a Context, flag: Binding<'_>) -> Result<&'a [u8], AuthFailure> {
        let plus = self.mechanism == Mechanism::ScramSha256Plus;
        let tls = context.tls.as_deref();
        match flag {
            Binding::Unsupported if !plus => Ok(b""),
            // If we did offer it, somebody took it out of our reply to EHLO.
            Binding::NotOffered if !plus && !has_binding(context) => Ok(b""),
            Binding::Type(kind) if plus => match kind {
                "tls-server-end-point" => tls.and_then(|tls| tls.server_end_point.as_deref()),
                "tls-exporter" => tls.and_then(|tls| tls.exporter.as_deref()),
                _ => None,
            }
            .ok_or(AuthFailure::ChannelBinding),
            _ => Err(AuthFailure::ChannelBinding),
        }
    }

    fn bearer(&mut self, context: &Context, response: &[u8]) -> Result<Step, AuthFailure> {
        let xoauth2 = self.mechanism == Mechanism::XOAuth2;
        let message = if xoauth2 { Message::xoauth2(response)? } else { Message::oauthbearer(response)? };
        let user = message.user.as_deref().map(|user| name(user.as_bytes())).transpose();
        let checked = match (user, message.token) {
            (Ok(user), Some(token)) => self
                .authenticator
                .bearer(context, &Bearer { user: user.as_deref(), token, host: message.host, port: message.port }),
            _ => Err(AuthFailure::Credentials),
        };
        match checked {
            Err(AuthFailure::Credentials) => {
                self.state = ExchangeState::Refused;
                let error = if xoauth2 { xoauth2_error } else { oauthbearer_error };
                Ok(Step::Challenge(error(&*self.authenticator, context).into_bytes()))
            }
            checked => checked.map(|identity| Step::Done(Ok(identity))),
        }
    }

    fn external(&self, context: &Context, response: &[u8]) -> Result<String, AuthFailure> {
        let certificate = client_certificate(context).ok_or(AuthFailure::Credentials)?;
        let acts_as = match response {
            b"" => None,
            response => Some(name(response)?),
        };
        self.authenticator.external(context, certificate, acts_as.as_deref())
    }
}

#[cfg(test)]
mod tests;
