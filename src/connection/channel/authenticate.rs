//! AUTH: RFC 4954.

use std::error::Error;
use std::io;
use std::thread;
use std::time::Duration;

use zeroize::Zeroizing;

use super::{
    BROKEN, Channel, FLOOD, Flow, IDLE, LINE_TOO_LONG, NOT_OFFERED, SHUTTING_DOWN, Shared, WITHIN_TRANSACTION, Waited,
};
use crate::auth::{AuthFailure, AuthOffer, BadBase64, Step, Unavailable, decode, encode};
use crate::config::MAX_AUTH_LINE;
use crate::io::stream::Stream;
use crate::io::wire::line::{Line, LineReader};
use crate::stats::guard::guarded;
use crate::syntax::escaped::Escaped;
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

/// What stands behind AUTH: the mechanism's name and the initial response, which is empty if there is none.
fn split(argument: &[u8]) -> (&[u8], &[u8]) {
    let end = argument.iter().position(|b| matches!(b, b' ' | b'\t')).unwrap_or(argument.len());
    (&argument[..end], argument[end..].trim_ascii())
}

fn decode_initial(initial: &[u8]) -> Result<Option<Zeroizing<Vec<u8>>>, BadBase64> {
    if initial.is_empty() { Ok(None) } else { decode(initial).map(Some) }
}

impl<S: Stream> Channel<S> {
    #[inline(never)]
    pub(super) fn auth(&mut self, argument: &[u8]) -> io::Result<Flow> {
        let state = &self.context.state;
        let refusal = if !self.shared.can_authenticate() {
            NOT_OFFERED
        } else if self.context.identity.is_some() {
            ALREADY
        } else if state.transaction.is_some() {
            WITHIN_TRANSACTION
        } else if !state.greeting.as_ref().is_some_and(|greeting| greeting.extended) {
            if self.shared.config.lmtp { NEEDS_LHLO } else { NEEDS_EHLO }
        } else {
            let outcome = self.exchange(argument)?;
            return self.conclude_auth(outcome);
        };
        self.answer(refusal)
    }

    /// What this connection may use now.
    pub(super) fn auth_offer<'a>(&self, shared: &'a Shared) -> AuthOffer<'a> {
        AuthOffer {
            authenticator: shared.authenticator.as_ref(),
            own: &shared.sasl_mechanisms,
            clear_text: self.allows_clear_text(),
        }
    }

    /// Whether a secret may cross the connection as it is: nobody can read along, or nobody minds.
    fn allows_clear_text(&self) -> bool {
        let config = &self.shared.config;
        self.context.tls.is_some() || config.clear_text_auth || (!config.require_tls && self.context.peer.is_loopback())
    }

    fn exchange(&mut self, argument: &[u8]) -> io::Result<Outcome> {
        let (name, initial) = split(argument);
        let shared = self.shared.clone();
        let mut exchange = match self.auth_offer(&shared).start(&self.context, name) {
            Ok(exchange) => exchange,
            Err(Unavailable::Unknown) => return Ok(Outcome::Refused(UNKNOWN_MECHANISM)),
            Err(Unavailable::NeedsTls) => return Ok(Outcome::Refused(NEEDS_TLS)),
        };
        let Ok(mut response) = decode_initial(initial) else { return Ok(Outcome::Refused(BAD_BASE64)) };
        loop {
            // The exchange is dropped by itself: a second panic while the first one unwinds would end the process.
            let who = format_args!("[{}] authentication", self.context.connection);
            let step = guarded(&shared.counters.panics, who, || {
                exchange.step(&self.context, response.as_ref().map(|response| &response[..]))
            });
            match step {
                None => return Ok(Outcome::Close(BROKEN)),
                Some(Step::Done(Ok(identity))) => return Ok(Outcome::Identity(identity)),
                Some(Step::Done(Err(failure))) => return Ok(Outcome::Failure(failure)),
                Some(Step::Challenge(challenge)) => self.say_challenge(&encode(&challenge))?,
            }
            response = match self.response()? {
                Ok(response) => Some(response),
                // A client that was refused and then gives up, in whichever way, has guessed all the same.
                Err(Outcome::Refused(_)) if exchange.is_refused() => {
                    return Ok(Outcome::Failure(AuthFailure::Credentials));
                }
                Err(outcome) => return Ok(outcome),
            };
        }
    }

    /// Reads the response to a challenge, or how the exchange ends without one. The line does not stay in memory.
    fn response(&mut self) -> io::Result<Result<Zeroizing<Vec<u8>>, Outcome>> {
        let mut line = LineReader::default();
        let waited = self.wait_for_line(&mut line, MAX_AUTH_LINE)?;
        if matches!(waited, Waited::Line(_)) {
            self.record.client(b"...");
        }
        let response = match waited {
            Waited::Line(Line::Complete) if line.line() == b"*" => Err(Outcome::Refused(CANCELLED)),
            Waited::Line(Line::Complete) => decode(line.line()).map_err(|BadBase64| Outcome::Refused(BAD_BASE64)),
            Waited::Line(Line::TooLong) => Err(Outcome::Refused(LINE_TOO_LONG)),
            Waited::Line(Line::Flood | Line::Partial) => Err(Outcome::Close(FLOOD)),
            Waited::Late => {
                self.shared.counters.timeouts.command.add(1);
                Err(Outcome::Close(IDLE))
            }
            Waited::Shutdown => Err(Outcome::Close(SHUTTING_DOWN)),
            Waited::EndOfStream => Err(Outcome::EndOfStream),
        };
        line.wipe();
        self.input.wipe();
        Ok(response)
    }

    fn conclude_auth(&mut self, outcome: Outcome) -> io::Result<Flow> {
        let id = self.context.connection;
        match outcome {
            Outcome::Identity(identity) => {
                // An authenticator has a context too, and is no hook.
                *self.context.granted.get_mut() = None;
                if let Err(reply) = self.session.authenticated(&self.context, &identity) {
                    let reply = reply.into_refusal();
                    self.account_for_login(&reply);
                    log::info!("[{id}] authentication as {} refused: {reply}", Escaped::new(&identity));
                    return self.answer(reply);
                }
                let identity = self.context.granted.get_mut().take().unwrap_or_else(|| identity.into());
                self.identify(identity);
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
