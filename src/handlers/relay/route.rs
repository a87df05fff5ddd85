//! A server that mail goes on to, the idle connections to it, and a transaction with it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::parameters::{self, Carried};
use super::silence::Silence;
use super::survey::Survey;
use crate::envelope::{Envelope, Recipient};
use crate::syntax::address::ReversePath;
use crate::syntax::parameter::MailParameters;
use crate::syntax::reply::{Reply, Status};
use crate::upstream::{AWAY, Client, ClientError, Upstream};

/// An idle connection is closed after this time.
const IDLE_TIME: Duration = Duration::from_secs(30);

/// How many idle connections are kept by default.
pub(super) const IDLE_CONNECTIONS: usize = 10;

const BROKEN: Reply = Reply::fixed(451, Status::new(4, 4, 2), "Connection to the next mail server lost");
const ODD_REPLY: Reply = Reply::fixed(451, Status::new(4, 5, 0), "The next mail server is not understood");
const NO_EIGHT_BIT: Reply = Reply::fixed(554, Status::new(5, 6, 3), "The next mail server does not take 8BITMIME");
const NO_UTF8_HEADERS: Reply = Reply::fixed(554, Status::new(5, 6, 9), "The next mail server does not take SMTPUTF8");
const LOOP: Reply = Reply::fixed(554, Status::new(5, 4, 6), "Too many hops: this looks like a mail loop");

/// A server that mail goes on to.
pub(in crate::handlers) struct Route {
    pub upstream: Upstream,
    max_idle: usize,
    idle: Mutex<Vec<(Client, Instant)>>,
    silence: Silence,
}

/// Why no transaction was begun.
pub(super) enum BeginError {
    /// The server cannot carry what the message needs, or has refused its sender for good.
    Refused(Reply),
    /// It may succeed later.
    NotNow(Reply),
    /// The server did not answer in time, or another client is waiting for it.
    Silent(Reply),
}

impl BeginError {
    fn of(refusal: Reply) -> BeginError {
        if refusal.is_permanent() { BeginError::Refused(refusal) } else { BeginError::NotNow(refusal) }
    }

    pub fn into_reply(self) -> Reply {
        match self {
            BeginError::Refused(reply) | BeginError::NotNow(reply) | BeginError::Silent(reply) => reply,
        }
    }
}

impl Route {
    pub fn new(upstream: Upstream, max_idle: usize) -> Route {
        Route { upstream, max_idle, idle: Mutex::default(), silence: Silence::default() }
    }

    /// Begins a transaction, with the server's reply to MAIL. A connection that was kept and turns out to be dead is
    /// replaced: on it, nothing can have been accepted yet.
    pub(super) fn begin(
        self: &Arc<Self>,
        hostname: &str,
        from: &ReversePath,
        parameters: &MailParameters,
    ) -> Result<(UpstreamTransaction, Reply), BeginError> {
        let Some(turn) = self.silence.turn() else { return Err(BeginError::Silent(AWAY)) };
        let begun = self.begin_now(hostname, from, parameters);
        // Where it refuses, or is not there at all, nobody has to wait for that.
        turn.note(matches!(begun, Err(BeginError::Silent(_))));
        begun
    }

    fn begin_now(
        self: &Arc<Self>,
        hostname: &str,
        from: &ReversePath,
        parameters: &MailParameters,
    ) -> Result<(UpstreamTransaction, Reply), BeginError> {
        while let Some(mut client) = self.take_idle() {
            let (mail, carried) = match parameters::mail(&client, from, parameters) {
                Ok(mail) => mail,
                Err(refusal) => {
                    self.keep(client);
                    return Err(BeginError::of(refusal));
                }
            };
            // RSET first: what the one before has begun may still be there.
            match client.commands(&["RSET", &mail]).as_deref() {
                Ok([reset, reply]) if reset.is_positive() && reply.code() != 421 => {
                    return self.began(client, carried, reply.clone());
                }
                Ok(_) => log::debug!("{} gave up a connection that was kept", self.upstream.name()),
                // The others are no better, and another would be a second wait.
                Err(e) if e.is_silence() => {
                    self.idle.lock().clear();
                    return Err(self.failed(e));
                }
                Err(e) => log::debug!("{} gave up a connection that was kept: {e}", self.upstream.name()),
            }
        }
        let mut client = self.upstream.connect(hostname).map_err(|e| self.failed(&e))?;
        let (mail, carried) = match parameters::mail(&client, from, parameters) {
            Ok(mail) => mail,
            Err(refusal) => {
                self.keep(client);
                return Err(BeginError::of(refusal));
            }
        };
        match client.command(&mail) {
            Ok(reply) => self.began(client, carried, reply),
            Err(e) => Err(self.failed(&e)),
        }
    }

    fn failed(&self, error: &ClientError) -> BeginError {
        let reply = self.complain(error);
        if error.is_silence() { BeginError::Silent(reply) } else { BeginError::NotNow(reply) }
    }

    fn began(
        self: &Arc<Self>,
        client: Client,
        carried: Carried,
        reply: Reply,
    ) -> Result<(UpstreamTransaction, Reply), BeginError> {
        let verdict = verdict(reply);
        let upstream =
            UpstreamTransaction { route: self.clone(), client: Some(client), accepted: 0, carried, is_silent: false };
        if verdict.is_positive() { Ok((upstream, verdict)) } else { Err(BeginError::of(verdict)) }
    }

    fn complain(&self, error: &ClientError) -> Reply {
        log::warn!("{}: {error}", self.upstream.name());
        error.reply()
    }

    fn take_idle(&self) -> Option<Client> {
        loop {
            let (mut client, since) = self.idle.lock().pop()?;
            if since.elapsed() < IDLE_TIME && client.is_idle() {
                return Some(client);
            }
        }
    }

    /// Keeps a connection for the next message, whatever state its transaction is in.
    fn keep(&self, client: Client) {
        let now = Instant::now();
        let mut idle = self.idle.lock();
        let too_old = idle.partition_point(|(_, since)| now.duration_since(*since) >= IDLE_TIME);
        let mut surplus: Vec<Client> = idle.drain(..too_old).map(|(client, _)| client).collect();
        if idle.len() < self.max_idle {
            idle.push((client, now));
        } else {
            surplus.push(client);
        }
        drop(idle);
        surplus.into_iter().for_each(Client::quit);
    }
}

impl Drop for Route {
    fn drop(&mut self) {
        self.idle.get_mut().drain(..).for_each(|(client, _)| client.quit());
    }
}

/// A transaction with the next server, from MAIL on. Dropped, it leaves the connection to the next one.
pub(in crate::handlers) struct UpstreamTransaction {
    route: Arc<Route>,
    // None once it is of no more use.
    client: Option<Client>,
    accepted: usize,
    carried: Carried,
    // Whether it has let all the time pass that it had.
    is_silent: bool,
}

impl UpstreamTransaction {
    /// Asks about a recipient; gives the server's own words, a 2xx as the `Ok`.
    pub fn rcpt(&mut self, to: &Recipient) -> Result<Reply, Reply> {
        let Some(client) = &mut self.client else { return Err(BROKEN) };
        let line = parameters::rcpt(client, to)?;
        let reply = match client.command(&line) {
            Ok(reply) if reply.code() != 421 => verdict(reply),
            Ok(farewell) => {
                self.client = None;
                farewell.passed_on()
            }
            Err(e) => {
                self.client = None;
                self.is_silent = e.is_silence();
                self.route.complain(&e)
            }
        };
        if !reply.is_positive() {
            return Err(reply);
        }
        self.accepted += 1;
        Ok(reply)
    }

    /// The recipients that the server has accepted.
    pub fn accepted(&self) -> usize {
        self.accepted
    }

    /// Whether the server did not answer in time.
    pub fn is_silent(&self) -> bool {
        self.is_silent
    }

    /// Whether nothing is left to be gained or lost with it.
    pub fn is_over(&self) -> bool {
        self.client.is_none() && self.accepted == 0
    }

    /// Sends the content, with `head` before it. Gives the server's verdict for each recipient that it had accepted.
    pub fn send(mut self, head: &str, mail: &Envelope) -> Vec<Reply> {
        let recipients = self.accepted;
        if let Err(refusal) = self.check(mail) {
            return vec![refusal; recipients];
        }
        let Some(mut client) = self.client.take() else { return vec![BROKEN; recipients] };
        let content = mail.content();
        let sent = match self.carried.binary {
            true => client.bdat(head.as_bytes(), content.reader(), content.len(), recipients),
            false => client.data(head.as_bytes(), content.reader(), recipients),
        };
        match sent {
            Ok(replies) => {
                self.route.keep(client);
                replies.into_iter().map(verdict).collect()
            }
            Err(e) => vec![self.route.complain(&e); recipients],
        }
    }

    /// Refuses what only the content shows.
    fn check(&self, mail: &Envelope) -> Result<(), Reply> {
        let survey = Survey::of(mail.content().reader()).map_err(|e| {
            log::error!("cannot read {}: {e}", mail.id());
            Reply::LOCAL_ERROR
        })?;
        if survey.is_loop {
            Err(LOOP)
        } else if survey.eight_bit_headers && !self.carried.utf8_headers {
            // RFC 6531 section 3.6.
            Err(NO_UTF8_HEADERS)
        } else if survey.eight_bit && !self.carried.eight_bit {
            // RFC 6152 section 3.
            Err(NO_EIGHT_BIT)
        } else {
            Ok(())
        }
    }
}

impl Drop for UpstreamTransaction {
    fn drop(&mut self) {
        if let Some(client) = self.client.take() {
            self.route.keep(client);
        }
    }
}

/// The server's reply, if it accepts or refuses.
fn verdict(reply: Reply) -> Reply {
    match reply.code() {
        250..=259 | 400..=599 => reply.passed_on(),
        _ => ODD_REPLY,
    }
}
