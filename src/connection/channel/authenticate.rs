//! AUTH: RFC 4954.

use std::error::Error;
use std::io;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use super::{Channel, Flow, IDLE, LINE_TOO_LONG, NOT_OFFERED, SHUTTING_DOWN, WITHIN_TRANSACTION, Waited};
use crate::auth::{AuthFailure, Authenticator, Exchange, ExchangeFacts, Mechanism, Step, decode, encode, offered};
use crate::config::MAX_AUTH_LINE;
use crate::io::stream::Stream;
use crate::io::wire::line::{Line, LineReader};
use crate::syntax::reply::{Reply, Status};

const SUCCEEDED: Reply = Reply::fixed(235, Status::new(2, 7, 0), "Authentication succeeded");
const NEEDS_EHLO: Reply = Reply::fixed(503, Status::new(5, 5, 1), "Send EHLO first");
const NEEDS_LHLO: Reply = Reply::fixed(503, Status::new(5, 5, 1), "Send LHLO first");
const ALREADY: Reply = Reply::fixed(503, Status::new(5, 5, 1), "Authenticated already");
const UNKNOWN_MECHANISM: Reply = Reply::fixed(504, Status::new(5, 5, 4), "Mechanism not offered");
const NEEDS_TLS: Reply = Reply::fixed(538, Status::new(5, 7, 11), "Encryption required for this mechanism");
const CANCELLED: Reply = Reply::fixed(501, Status::new(5, 7, 0), "Authentication cancelled");
const BAD_BASE64: Reply = Reply::fixed(501, Status::new(5, 5, 2), "Cannot decode response");
const TOO_MANY_FAILURES: Reply = Reply::fixed(421, Status::new(4, 7, 0), "Too many authentication failures");

/// What each failure adds to the wait for its reply: little to who mistyped, much to who guesses.
const DELAY: Duration = Duration::from_millis(500);

/// How an exchange ended.
enum Outcome {
    Identity(String),
    Failure(AuthFailure),
    /// It was given up, which is no failure.
    Refused(Reply),
    /// The connection ends.
    Close(Reply),
    EndOfStream,
}

/// A client that was refused and then gives up, in whichever way, has guessed all the same.
fn given_up(exchange: &Exchange, reply: Reply) -> Outcome {
    if exchange.is_refused() { Outcome::Failure(AuthFailure::Credentials) } else { Outcome::Refused(reply) }
}

impl<S: Stream> Channel<S> {
    pub(super) fn auth(&mut self, argument: &[u8]) -> io::Result<Flow> {
        let Some(authenticator) = self.shared.authenticator.clone() else { return self.answer(NOT_OFFERED) };
        let state = &self.context.state;
        let refusal = if self.context.identity.is_some() {
            ALREADY
        } else if state.transaction.is_some() {
            WITHIN_TRANSACTION
        } else if !state.greeting.as_ref().is_some_and(|greeting| greeting.extended) {
            if self.shared.config.lmtp { NEEDS_LHLO } else { NEEDS_EHLO }
        } else {
            let outcome = self.exchange(authenticator, argument)?;
            return self.conclude_auth(outcome);
        };
        self.answer(refusal)
    }

    /// The mechanisms that this connection may use now, in the order of EHLO.
    pub(super) fn mechanisms(&self) -> Vec<Mechanism> {
        let Some(authenticator) = &self.shared.authenticator else { return Vec::new() };
        let clear_text = self.allows_clear_text();
        let facts = self.exchange_facts();
        offered(&**authenticator, &facts).filter(|mechanism| clear_text || !mechanism.is_clear_text()).collect()
    }

    /// Whether a secret may cross the connection as it is: nobody can read along, or nobody minds.
    fn allows_clear_text(&self) -> bool {
        let config = &self.shared.config;
        self.context.tls.is_some() || config.clear_text_auth || (!config.require_tls && self.context.peer.is_loopback())
    }

    fn exchange_facts(&self) -> ExchangeFacts {
        self.context.tls.as_ref().map_or_else(ExchangeFacts::default, |tls| ExchangeFacts {
            tls_server_end_point: tls.server_end_point.clone(),
            tls_exporter: tls.exporter.clone(),
            client_certificate: tls.client_certificate.clone(),
        })
    }

    fn exchange(&mut self, authenticator: Arc<dyn Authenticator>, argument: &[u8]) -> io::Result<Outcome> {
        let end = argument.iter().position(|b| matches!(b, b' ' | b'\t')).unwrap_or(argument.len());
        let (name, initial) = (&argument[..end], argument[end..].trim_ascii());
        let facts = self.exchange_facts();
        let known = Mechanism::from_name(name).filter(|wanted| offered(&*authenticator, &facts).any(|m| m == *wanted));
        let Some(mechanism) = known else { return Ok(Outcome::Refused(UNKNOWN_MECHANISM)) };
        if mechanism.is_clear_text() && !self.allows_clear_text() {
            return Ok(Outcome::Refused(NEEDS_TLS));
        }
        let mut exchange = Exchange::start(mechanism, authenticator, facts);
        let mut step = match initial {
            b"" => exchange.step(None),
            // An initial response that is there, and empty.
            b"=" => exchange.step(Some(b"")),
            _ => match decode(initial) {
                Ok(response) => exchange.step(Some(&response)),
                Err(_) => return Ok(Outcome::Refused(BAD_BASE64)),
            },
        };
        loop {
            let challenge = match step {
                Step::Done(Ok(identity)) => return Ok(Outcome::Identity(identity)),
                Step::Done(Err(failure)) => return Ok(Outcome::Failure(failure)),
                Step::Challenge(challenge) => challenge,
            };
            self.say_secretly(&Reply::bare(334, encode(&challenge).into()))?;
            let mut line = LineReader::default();
            let waited = self.wait_for_line(&mut line, MAX_AUTH_LINE)?;
            if matches!(waited, Waited::Line(_)) {
                self.record.client(b"...");
            }
            step = match waited {
                Waited::Line(Line::Complete) if line.line() == b"*" => return Ok(given_up(&exchange, CANCELLED)),
                Waited::Line(Line::Complete) => {
                    let response = decode(line.line());
                    line.wipe();
                    self.input.wipe();
                    match response {
                        Ok(response) => exchange.step(Some(&response)),
                        Err(_) => return Ok(given_up(&exchange, BAD_BASE64)),
                    }
                }
                Waited::Line(Line::TooLong) => return Ok(given_up(&exchange, LINE_TOO_LONG)),
                Waited::Line(Line::Flood | Line::Partial) => return Ok(Outcome::Close(super::FLOOD)),
                Waited::Late => {
                    self.shared.counters.timeouts.command.add(1);
                    return Ok(Outcome::Close(IDLE));
                }
                Waited::Shutdown => return Ok(Outcome::Close(SHUTTING_DOWN)),
                Waited::EndOfStream => return Ok(Outcome::EndOfStream),
            };
        }
    }

    fn conclude_auth(&mut self, outcome: Outcome) -> io::Result<Flow> {
        let id = self.context.connection;
        match outcome {
            Outcome::Identity(identity) => {
                if let Err(reply) = self.session.authenticated(&self.context, &identity) {
                    let reply = reply.into_refusal();
                    self.account_for_login(&reply);
                    log::info!(
                        "[{id}] authentication as {} refused: {reply}",
                        crate::syntax::escaped::Escaped::new(&identity)
                    );
                    return self.answer(reply);
                }
                log::info!("[{id}] authenticated as {}", crate::syntax::escaped::Escaped::new(&identity));
                self.context.identity = Some(identity.into());
                self.account_for_login(&SUCCEEDED);
                self.answer(SUCCEEDED)
            }
            Outcome::Failure(failure) => {
                let cause = failure.source().map(|cause| format!(": {cause}")).unwrap_or_default();
                log::info!("[{id}] authentication from {} failed: {failure}{cause}", self.context.peer);
                self.account_for_login(&failure.reply());
                if !failure.is_guess() {
                    return self.answer(failure.reply());
                }
                self.auth_failures += 1;
                // The thread is this client's own: nobody else waits.
                thread::sleep(DELAY * u32::try_from(self.auth_failures).unwrap_or(u32::MAX).min(10));
                let flow = self.answer(failure.reply())?;
                let max = self.shared.config.max_auth_failures;
                if flow == Flow::Next && max != 0 && self.auth_failures >= max {
                    self.begin_last_word();
                    return self.answer(TOO_MANY_FAILURES);
                }
                Ok(flow)
            }
            Outcome::Refused(reply) | Outcome::Close(reply) => self.answer(reply),
            Outcome::EndOfStream => Ok(Flow::Close),
        }
    }
}
