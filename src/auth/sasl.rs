//! SASL mechanisms of a program's own.

use std::fmt::{self, Debug, Formatter};
use std::sync::Arc;

use super::AuthFailure;
use super::exchange::Step;
use crate::session::{Context, is_identity};

/// In octets: the longest challenge whose line, in base64, has no more than the 12,288 octets of RFC 4954 section 4.
const MAX_CHALLENGE: usize = 9210;

/// No mechanism that is in use has more than four.
const MAX_CHALLENGES: usize = 32;

/// A SASL mechanism (RFC 4422) that a program adds to those of this crate:
/// [`Builder::sasl_mechanism`](crate::Builder::sasl_mechanism).
///
/// It is offered in EHLO beside the mechanisms of the [`Authenticator`](crate::Authenticator), if there is one. When a client
/// chooses it, [`start`](SaslMechanism::start) makes the exchange that holds the dialogue.
///
/// ```
/// use pillarbox::{AuthFailure, Context, SaslExchange, SaslMechanism, SaslStep, Server};
///
/// /// One message of the client: a ticket that was given out elsewhere.
/// struct Ticket;
///
/// impl SaslMechanism for Ticket {
///     fn name(&self) -> &str {
///         "X-TICKET"
///     }
///
///     fn start(&self, _: &Context) -> Box<dyn SaslExchange> {
///         Box::new(TicketExchange)
///     }
/// }
///
/// struct TicketExchange;
///
/// impl SaslExchange for TicketExchange {
///     fn step(&mut self, _: &Context, response: &[u8]) -> Result<SaslStep, AuthFailure> {
///         match response {
///             b"one for bob" => Ok(SaslStep::Authenticated("bob".to_owned())),
///             _ => Err(AuthFailure::Credentials),
///         }
///     }
/// }
///
/// let inbox = Server::builder().sasl_mechanism(Ticket).require_auth(true).inbox("127.0.0.1:0")?;
/// # Ok::<(), pillarbox::Error>(())
/// ```
///
/// `examples/cram_md5.rs` has one in which the server speaks first.
pub trait SaslMechanism: Send + Sync {
    /// The name in EHLO's reply and in AUTH: at most 20 upper-case letters, digits, hyphens and underscores (RFC 4422 section
    /// 3.1). Clients may write it in lower case. It is asked once, when the mechanism is added.
    fn name(&self) -> &str;

    /// Whether a secret crosses the connection as it is, so that others could read it and use it again. If so, the mechanism
    /// is offered where PLAIN is: under TLS, to clients on this machine while TLS is not required, and everywhere with
    /// [`clear_text_auth`](crate::Builder::clear_text_auth). Default: true, which is never unsafe.
    fn is_clear_text(&self) -> bool {
        true
    }

    /// Whether the client speaks first. If so, it may send its first message along with AUTH (RFC 4954's initial response), or
    /// else is asked for it with the [`prompt`](SaslMechanism::prompt). If not, the first [`step`](SaslExchange::step) has an empty response
    /// and makes the first challenge, and AUTH with an initial response is refused with `501 5.5.2`. Default: true.
    fn is_client_first(&self) -> bool {
        true
    }

    /// The challenge that asks a client which speaks first, and sent nothing along with AUTH, for its first message; at most 9,210
    /// octets. LOGIN has `Username:` there. Default: empty, as in PLAIN.
    fn prompt(&self) -> &[u8] {
        b""
    }

    /// Whether this client can use it now: asked at each EHLO and each AUTH. Default: true.
    fn is_offered(&self, context: &Context) -> bool {
        let _ = context;
        true
    }

    /// Begins one exchange, on the connection's own thread.
    fn start(&self, context: &Context) -> Box<dyn SaslExchange>;
}

/// One authentication in progress by a [`SaslMechanism`].
///
/// It runs on the connection's own thread, so a step that waits delays only its own client; a panic ends the connection with
/// a 421. It is dropped when it has ended, in whichever way: the client may cancel (`501 5.7.0`), be too late (`421 4.4.2`) or
/// close the connection between any two steps.
pub trait SaslExchange {
    /// Takes what the client has sent, decoded from base64, and says what comes next.
    ///
    /// A response has at most 9,216 octets. It is in memory that is overwritten afterwards, and neither it nor the challenges are
    /// logged or recorded in transcripts; copies that the exchange makes are its own to wipe.
    ///
    /// # Errors
    /// [`AuthFailure`] ends the exchange with its reply, and counts towards
    /// [`max_auth_failures`](crate::Builder::max_auth_failures) unless it is temporary.
    fn step(&mut self, context: &Context, response: &[u8]) -> Result<SaslStep, AuthFailure>;
}

/// What follows a client's response.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum SaslStep {
    /// `334` with these octets, at most 9,210; the client's response is the next step. An exchange has at most 32 challenges:
    /// then the client gets `501 5.5.2`. A longer challenge is logged, and the client gets `454 4.7.0`.
    Challenge(Vec<u8>),
    /// As a challenge, but the client is refused already: whatever it responds, it gets `535 5.7.8`. For mechanisms that tell the
    /// client's software why, as OAUTHBEARER does (RFC 7628 section 3.2.3).
    Refusal(Vec<u8>),
    /// `235 2.7.0`: the client is this user. AUTH has no place for octets that come with the success: send them as a challenge,
    /// and succeed when the client's response to it is empty (RFC 4954 section 4).
    ///
    /// An identity that is empty, longer than 16,384 octets or has control characters is logged, and the client gets
    /// `454 4.7.0`.
    Authenticated(String),
}

/// A mechanism and its name.
#[derive(Clone)]
pub(crate) struct OwnMechanism {
    pub name: Arc<str>,
    pub mechanism: Arc<dyn SaslMechanism>,
}

impl OwnMechanism {
    pub fn new(mechanism: impl SaslMechanism + 'static) -> OwnMechanism {
        OwnMechanism { name: mechanism.name().into(), mechanism: Arc::new(mechanism) }
    }

    /// RFC 4422 section 3.1.
    pub fn has_valid_name(&self) -> bool {
        let is_valid = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'-' || b == b'_';
        (1..=20).contains(&self.name.len()) && self.name.bytes().all(is_valid)
    }
}

impl Debug for OwnMechanism {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_tuple("OwnMechanism").field(&self.name).finish()
    }
}

/// An exchange of such a mechanism, within its bounds.
pub(crate) struct OwnExchange {
    exchange: Box<dyn SaslExchange>,
    is_client_first: bool,
    prompt: Vec<u8>,
    is_begun: bool,
    is_refused: bool,
    challenges: usize,
}

impl OwnExchange {
    pub fn start(mechanism: &dyn SaslMechanism, context: &Context) -> OwnExchange {
        OwnExchange {
            exchange: mechanism.start(context),
            is_client_first: mechanism.is_client_first(),
            prompt: mechanism.prompt().to_vec(),
            is_begun: false,
            is_refused: false,
            challenges: 0,
        }
    }

    /// As [`Exchange::step`](super::Exchange::step).
    pub fn step(&mut self, context: &Context, response: Option<&[u8]>) -> Step {
        let begins = !std::mem::replace(&mut self.is_begun, true);
        let next = match response {
            None if self.is_client_first => Ok(SaslStep::Challenge(std::mem::take(&mut self.prompt))),
            None => self.exchange.step(context, b""),
            Some(_) if begins && !self.is_client_first => Err(AuthFailure::Malformed),
            Some(_) if self.is_refused => Err(AuthFailure::Credentials),
            Some(response) => self.exchange.step(context, response),
        };
        next.and_then(|step| self.check(step)).unwrap_or_else(|failure| Step::Done(Err(failure)))
    }

    pub fn is_refused(&self) -> bool {
        self.is_refused
    }

    fn check(&mut self, step: SaslStep) -> Result<Step, AuthFailure> {
        let challenge = match step {
            SaslStep::Authenticated(identity) if is_identity(&identity) => return Ok(Step::Done(Ok(identity))),
            SaslStep::Authenticated(_) => {
                return Err(AuthFailure::temporary(
                    "the mechanism's identity is empty, too long or has control characters",
                ));
            }
            SaslStep::Challenge(challenge) => challenge,
            SaslStep::Refusal(challenge) => {
                self.is_refused = true;
                challenge
            }
        };
        if challenge.len() > MAX_CHALLENGE {
            return Err(AuthFailure::temporary(format!("the mechanism's challenge has {} octets", challenge.len())));
        }
        self.challenges += 1;
        if self.challenges > MAX_CHALLENGES { Err(AuthFailure::Malformed) } else { Ok(Step::Challenge(challenge)) }
    }
}
