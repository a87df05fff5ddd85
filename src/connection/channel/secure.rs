//! What makes a connection more than a stranger's: STARTTLS, XCLIENT and XFORWARD.

use std::io;
use std::mem;
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use super::{Channel, Flow, NOT_OFFERED, WITHIN_TRANSACTION};
use crate::config::HANDSHAKE_TIMEOUT;
use crate::connection::shutdown::Wait;
use crate::envelope::Endpoint;
use crate::io::stream::Stream;
use crate::session::transaction::SessionState;
use crate::stats::guard::guarded;
use crate::syntax::reply::{Reply, Status};
use crate::syntax::xclient::Xclient;

const READY: Reply = Reply::fixed(220, Status::new(2, 0, 0), "Ready to start TLS");
const TLS_ALREADY: Reply = Reply::fixed(503, Status::new(5, 5, 1), "TLS is in use already");
const INJECTED: Reply = Reply::fixed(501, Status::new(5, 5, 1), "Nothing may follow STARTTLS");

impl<S: Stream> Channel<S> {
    /// STARTTLS: RFC 3207.
    #[inline(never)]
    pub(super) fn start_tls(&mut self) -> io::Result<Flow> {
        if self.context.tls.is_some() {
            return self.answer(TLS_ALREADY);
        }
        if self.shared.tls.is_none() {
            return self.answer(NOT_OFFERED);
        }
        // Commands behind it in clear are somebody's who wants them run within the TLS session of somebody else.
        if !self.input.buffered().is_empty() {
            log::warn!("[{}] octets behind STARTTLS: connection closed", self.context.connection);
            self.say(&INJECTED)?;
            return Ok(Flow::Close);
        }
        self.say(&READY)?;
        self.flush()?;
        self.handshake()?;
        // RFC 3207 section 4.2: what was learnt in clear is forgotten.
        self.reset();
        self.context.state = SessionState::default();
        self.context.identity = None;
        Ok(Flow::Next)
    }

    /// Goes over to TLS. If that fails there is nobody who could read a reply.
    pub(super) fn handshake(&mut self) -> io::Result<()> {
        let Some(tls) = self.fault_at_handshake()?.or_else(|| self.shared.tls.clone()) else {
            return Err(io::ErrorKind::Unsupported.into());
        };
        let acceptor = tls.acceptor();
        let now = Instant::now();
        let begun = self.observed_now();
        let deadline = now + self.shared.command_timeout().min(HANDSHAKE_TIMEOUT);
        self.activity.set_wait(Wait::Read(now));
        let stream = self.input.stream_mut();
        stream.set_read_deadline(deadline);
        stream.set_write_deadline(deadline);
        // Not for the session's guard, which says something: in the middle of a handshake nobody could read that.
        let who = format_args!("[{}] TLS acceptor", self.context.connection);
        let established = guarded(&self.shared.counters.panics, who, || stream.start_tls(&*acceptor))
            .unwrap_or_else(|| Err(io::Error::other("the TLS acceptor panicked")));
        let was_given_up = !self.activity.set_wait(Wait::None);
        let info = established.inspect_err(|e| {
            // TLS libraries do not say that it was the time, or each in a way of its own.
            let is_late = was_given_up || Instant::now() >= deadline;
            self.account_for_handshake(Some(e), is_late, begun);
        })?;
        log::debug!("[{}] TLS established", self.context.connection);
        self.record.event(format_args!("TLS established"));
        self.context.tls = Some(info.into());
        self.account_for_handshake(None, false, begun);
        Ok(())
    }

    /// XCLIENT: what it says about the client replaces what the connection says, and the session begins anew.
    #[inline(never)]
    pub(super) fn xclient(&mut self, argument: &[u8]) -> io::Result<Flow> {
        if !self.may_xclient {
            return self.answer(NOT_OFFERED);
        }
        if self.context.state.transaction.is_some() {
            return self.answer(WITHIN_TRANSACTION);
        }
        let Xclient { address, port, helo, login, local_address, local_port } = match Xclient::parse(argument) {
            Ok(attributes) => attributes,
            Err(reply) => return self.answer(reply),
        };
        // It was said of somebody else.
        self.context.proxy = None;
        let before = self.context.peer.ip();
        replace(&mut self.context.peer, address, port);
        if self.context.peer.ip() != before {
            match self.shared.addresses.take(&self.context.peer) {
                Ok(permit) => self.permit = permit,
                Err(why) => {
                    let reply = why.reply();
                    log::info!("[{}] XCLIENT for {} refused: {reply}", self.context.connection, self.context.peer);
                    why.counter(&self.shared.counters).add(1);
                    self.say(&reply)?;
                    return Ok(Flow::Close);
                }
            }
        }
        // A proxy that passes on what its clients say is not to pass on their XFORWARD.
        self.may_xforward = self.may_xforward && self.context.peer.is_in(&self.shared.config.xforward);
        replace(&mut self.context.local, local_address, local_port);
        // What a hook knew is of the client that has spoken for this one so far; it is asked again below.
        if mem::take(&mut self.is_identity_from_hook) {
            self.context.identity = None;
        }
        if let Some(login) = login {
            self.context.identity = login.map(Into::into);
        }
        if let Some(helo) = helo {
            self.xclient_helo = helo;
        }
        self.reset();
        self.context.state = SessionState::default();
        log::debug!("[{}] XCLIENT: the client is {}", self.context.connection, self.context.peer);
        if let Err(reply) = self.session.connect(&self.context) {
            self.shared.counters.refused_connections.session.add(1);
            self.say(&reply.into_refusal())?;
            return Ok(Flow::Close);
        }
        self.take_identity();
        self.say_banner()?;
        Ok(Flow::Next)
    }

    /// XFORWARD: what it says is of the next message only.
    #[inline(never)]
    pub(super) fn xforward(&mut self, argument: &[u8]) -> Result<Reply, Reply> {
        if !self.may_xforward {
            return Err(NOT_OFFERED);
        }
        let state = &mut self.context.state;
        if state.transaction.is_some() {
            return Err(WITHIN_TRANSACTION);
        }
        let mut all = state.xforward.take().unwrap_or_default();
        let updated = all.update(argument);
        state.xforward = Some(all);
        updated.map(|()| Reply::ok())
    }
}

/// Replaces what was known of one end with what XCLIENT says.
fn replace(end: &mut Endpoint, address: Option<Option<IpAddr>>, port: Option<Option<u16>>) {
    let before = end.socket_addr();
    let ip = match (address, before) {
        // The one before is the proxy's own, or an earlier client's, and may be trusted where this client is not.
        (Some(None), _) => return *end = Endpoint::Unknown,
        (Some(Some(ip)), _) => ip,
        (None, Some(before)) => before.ip(),
        // A port alone is nobody's.
        (None, None) => return,
    };
    // Unless it is told as well, the port of another address means nothing.
    let same = before.filter(|_| address.is_none()).map_or(0, |before| before.port());
    *end = Endpoint::named(SocketAddr::new(ip, port.map_or(same, Option::unwrap_or_default)));
}
