//! One conversation: reads commands, asks transaction and session, writes replies.

use std::io;
use std::mem;
use std::sync::Arc;
use std::time::Instant;

use crate::config::{Config, MAX_AUTH_LINE};
use crate::connection::shutdown::Activity;
use crate::content::store::ContentStore;
use crate::delivery::Dispatch;
use crate::envelope::transcript::{Record, Transcripts};
use crate::envelope::{Endpoint, MessageId};
use crate::faults::Faults;
use crate::io::stream::Stream;
use crate::io::tls::Tls;
use crate::io::wire::input::Input;
use crate::io::wire::line::{Line, LineReader};
use crate::limits::clients::{Addresses, ClientPermit};
use crate::limits::stress::Stress;
use crate::session::observer::{ObservedMessage, Observer};
use crate::session::{Context, ListenerId, Session};
use crate::stats::counters::Counters;
use crate::stats::guard::guarded;
use crate::syntax::command;
use crate::syntax::proxy_info::ProxyInfo;
use crate::syntax::reply::{Reply, Status};

mod account;
#[cfg(feature = "auth")]
mod authenticate;
mod buffers;
mod chunks;
mod commands;
mod faults;
mod greeting;
mod identity;
mod limits;
mod lines;
#[cfg(any(test, feature = "internals"))]
pub(crate) mod memory;
mod message;
mod replies;
mod scripted;
mod secure;
mod watched;

pub(crate) use buffers::ConnectionBuffers;
use chunks::Chunks;
pub(crate) use greeting::Offers;
use scripted::Scripted;

const SHUTTING_DOWN: Reply = Reply::fixed(421, Status::new(4, 3, 2), "Service shutting down");
const IDLE: Reply = Reply::fixed(421, Status::new(4, 4, 2), "Timeout");
const LINE_TOO_LONG: Reply = Reply::fixed(500, Status::new(5, 5, 2), "Line too long");
const FLOOD: Reply = Reply::fixed(421, Status::new(4, 7, 0), "Line too long");
pub(crate) const BROKEN: Reply = Reply::fixed(421, Status::new(4, 3, 0), "Local error in processing");
const WITHIN_TRANSACTION: Reply = Reply::fixed(503, Status::new(5, 5, 1), "Not within a transaction");
const NOT_OFFERED: Reply = Reply::fixed(502, Status::new(5, 5, 1), "Command not offered");

/// What all connections of a listener share.
pub(crate) struct Shared {
    /// The settings as they hold on this listener.
    pub config: Arc<Config>,
    pub listener: ListenerId,
    pub tls: Option<Tls>,
    pub implicit_tls: bool,
    #[cfg(feature = "auth")]
    pub authenticator: Option<Arc<dyn crate::auth::Authenticator>>,
    #[cfg(feature = "auth")]
    pub sasl_mechanisms: Vec<crate::auth::OwnMechanism>,
    pub offers: Offers,
    // The rest is the same for all listeners of a server.
    pub store: Arc<ContentStore>,
    pub counters: Arc<Counters>,
    pub stress: Arc<Stress>,
    pub addresses: Arc<Addresses>,
    /// The part of message ids that tells this server from others.
    pub server: u64,
    pub transcripts: Option<Arc<Transcripts>>,
    pub faults: Option<Faults>,
    pub observer: Option<Arc<dyn Observer>>,
}

/// One connection, from banner to QUIT.
//
// On the heap, and with functions that are not inlined where they need much of the stack: a page of it that a thread has touched
// stays, and what comes before a client's first message touches two. So its worker's frames that wait are small, and so are those
// below them up to the reply to EHLO.
pub(crate) struct Channel<S> {
    shared: Arc<Shared>,
    input: Input<S>,
    line: LineReader,
    replies: Vec<u8>,
    session: Box<dyn Session>,
    // Whether that is more than the empty one of a server that was given none: then it sees the content.
    has_session: bool,
    // There is no session, and the client gets this instead of the banner.
    refused: Option<Reply>,
    context: Context,
    dispatch: Dispatch,
    activity: Arc<Activity>,
    errors: usize,
    #[cfg(feature = "auth")]
    auth_failures: usize,
    junk: usize,
    // Whether the command that is answered adds to that.
    is_junk: bool,
    overshoot: usize,
    messages: u32,
    // The message of which chunks have come.
    chunks: Option<Chunks>,
    // Whether the client is trusted to speak for others.
    may_xclient: bool,
    // Whether the client is believed where its messages come from.
    may_xforward: bool,
    // Of the client that XCLIENT has named.
    permit: ClientPermit,
    // Not AUTH or XCLIENT has said who the client is, but a hook.
    is_identity_from_hook: bool,
    // The name by which XCLIENT calls the client; it goes before what HELO and EHLO say.
    xclient_helo: Option<String>,
    // The message whose 250 is not on its way yet.
    unconfirmed: Option<MessageId>,
    // The last line was AUTH, or may have been a part of it.
    is_behind_auth: bool,
    record: Record,
    // Where somebody observes: when the connection began, when what is answered next had come, and the message of now.
    since: Option<Instant>,
    asked: Option<Instant>,
    observed: ObservedMessage,
    scripted: Option<Box<Scripted>>,
}

/// How the conversation goes on after a command.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Flow {
    Next,
    /// The client asked for the end and has nothing more to say.
    Quit,
    /// The last reply was sent, while the client may still send.
    Close,
}

/// What came instead of a command.
enum Waited {
    Line(Line),
    EndOfStream,
    Late,
    Shutdown,
}

impl<S: Stream> Channel<S> {
    /// A channel over a stream that is connected and has said nothing yet.
    #[inline(never)]
    pub fn new(
        shared: Arc<Shared>,
        stream: S,
        session: Result<Option<Box<dyn Session>>, Reply>,
        ends: (Endpoint, Endpoint),
        connection: u64,
        buffers: ConnectionBuffers,
        activity: Arc<Activity>,
    ) -> Box<Channel<S>> {
        let (session, refused) = match session {
            Ok(session) => (session, None),
            Err(reply) => (None, Some(reply)),
        };
        let has_session = session.is_some();
        let session = session.unwrap_or_else(|| Box::new(()));
        let ConnectionBuffers { dispatch, input, line, replies } = buffers;
        let scripted = shared.faults.clone().map(Scripted::new);
        let record = shared.transcripts.as_ref().map_or_else(Record::default, |all| all.begin(connection, &ends.0));
        let may_xclient = ends.0.is_in(&shared.config.xclient);
        let may_xforward = ends.0.is_in(&shared.config.xforward);
        // In its place from the start: `Box::new` makes it on the stack first.
        Box::write(
            Box::new_uninit(),
            Channel {
                input: Input::new(stream, input),
                line,
                replies,
                session,
                has_session,
                refused,
                context: Context::new(shared.config.clone(), shared.listener.clone(), connection, ends, record.clone()),
                dispatch,
                activity,
                errors: 0,
                #[cfg(feature = "auth")]
                auth_failures: 0,
                junk: 0,
                is_junk: false,
                overshoot: 0,
                messages: 0,
                chunks: None,
                may_xclient,
                may_xforward,
                permit: ClientPermit::default(),
                is_identity_from_hook: false,
                xclient_helo: None,
                unconfirmed: None,
                is_behind_auth: false,
                record,
                since: None,
                asked: None,
                observed: ObservedMessage::default(),
                scripted,
                shared,
            },
        )
    }

    /// The connection comes by a proxy, which has said this of it.
    pub fn set_proxy(&mut self, proxy: Option<Box<ProxyInfo>>) {
        self.context.proxy = proxy;
    }

    /// Holds the whole conversation, beginning with a TLS handshake if the listener is of implicit TLS.
    #[inline(never)]
    pub fn run(&mut self) {
        let mut line = mem::take(&mut self.line);
        let id = self.context.connection;
        log::debug!("[{id}] connection from {}", self.context.peer);
        let shared = self.shared.clone();
        let panics = &shared.counters.panics;
        let who = format_args!("[{id}] session");
        self.begin_observing();
        let ended = guarded(panics, who, || self.converse(&mut line)).unwrap_or_else(|| {
            self.dispatch.abandon();
            // What panicked may have been the stream, which is then written to again.
            guarded(panics, who, || self.close_after(BROKEN)).unwrap_or(Ok(()))
        });
        self.take_leave(ended);
        self.forget(&mut line);
        self.line = line;
    }

    /// Accounts for a connection that has ended.
    #[inline(never)]
    fn take_leave(&mut self, ended: io::Result<()>) {
        let id = self.context.connection;
        if let Err(e) = ended {
            log::info!("[{id}] connection to {} lost: {e}", self.context.peer);
            self.record.event(format_args!("connection lost: {e}"));
            if let Some(message) = self.unconfirmed {
                log::warn!("[{id}] {message} was accepted, but its reply may not have arrived");
            }
        }
        if let Some(chunks) = self.chunks.take() {
            self.account_for_content(chunks.collector.total(), chunks.since + chunks.paused.elapsed());
            self.account_for_message(None);
        }
        self.context.verb = None;
        let panics = &self.shared.counters.panics;
        guarded(panics, format_args!("[{id}] session"), || self.session.disconnect(&self.context));
        self.observe(|observer, context, since| observer.disconnected(context, since(self.since)));
        log::debug!("[{id}] connection closed");
        self.record.event(format_args!("connection closed"));
    }

    /// Closes the connection, and gives what is left for the next one.
    #[expect(clippy::boxed_local, reason = "unboxed, it would be copied to the stack of its worker while that waits")]
    #[inline(never)]
    pub fn into_buffers(self: Box<Self>) -> ConnectionBuffers {
        let Channel { shared, dispatch, input, line, replies, session, context, .. } = *self;
        let Context { connection, values, connection_values, .. } = context;
        let panics = &shared.counters.panics;
        let who = format_args!("[{connection}] session");
        // Each by itself: a second panic while the first one unwinds would end the process.
        let input = guarded(panics, who, || input.into_buffer()).unwrap_or_default();
        guarded(panics, who, || drop(session));
        guarded(panics, who, || drop(values));
        guarded(panics, who, || drop(connection_values));
        ConnectionBuffers { dispatch, input, line, replies }.cleared()
    }

    fn converse(&mut self, line: &mut LineReader) -> io::Result<()> {
        let implicit_tls = self.shared.implicit_tls;
        if implicit_tls {
            self.handshake()?;
        }
        if let Some(refusal) = self.welcome(implicit_tls)? {
            return self.close_with(refusal.into_refusal());
        }
        loop {
            let flow = match self.wait_for_line(line, MAX_AUTH_LINE)? {
                Waited::Line(Line::Complete) => self.command(line.line())?,
                Waited::Line(Line::TooLong) => {
                    self.record.event(format_args!("the client's line is too long"));
                    self.too_long(command::Line::new(line.line()))?
                }
                ending => return self.end(&ending),
            };
            match flow {
                Flow::Next => {}
                Flow::Quit if self.input.buffered().is_empty() => return self.hang_up(),
                Flow::Quit | Flow::Close => return self.close(),
            }
            self.forget(line);
        }
    }

    /// Sends the banner, or gives the refusal that the client gets instead.
    #[inline(never)]
    fn welcome(&mut self, implicit_tls: bool) -> io::Result<Option<Reply>> {
        let refused = self.refused.take().map_or_else(|| self.session.connect(&self.context), Err);
        if let Err(reply) = refused {
            self.shared.counters.refused_connections.session.add(1);
            return Ok(Some(reply));
        }
        self.take_identity();
        // RFC 5321 section 3.1: the server speaks first. It takes system calls to know, so only if somebody wants to.
        if log::log_enabled!(log::Level::Info) && !implicit_tls && self.input.has_more()? {
            log::info!("[{}] {} did not wait for the banner", self.context.connection, self.context.peer);
        }
        match self.fault_at_connect()? {
            None => self.say_banner()?,
            Some(reply) if reply.is_positive() => self.say(&reply)?,
            refusal => return Ok(refusal),
        }
        Ok(None)
    }

    fn say_banner(&mut self) -> io::Result<()> {
        let protocol = if self.shared.config.lmtp { "LMTP" } else { "ESMTP" };
        self.say(&Reply::bare(220, [self.context.hostname(), " ", protocol, " pillarbox"].concat().into()))
    }

    /// Ends the connection because no command will come.
    #[inline(never)]
    fn end(&mut self, ending: &Waited) -> io::Result<()> {
        match ending {
            Waited::Line(_) => self.close_with(FLOOD),
            Waited::Shutdown => self.close_with(SHUTTING_DOWN),
            Waited::Late => {
                log::info!("[{}] no command in time", self.context.connection);
                self.shared.counters.timeouts.command.add(1);
                self.close_with(IDLE)
            }
            Waited::EndOfStream => {
                self.record.event(format_args!("the client says no more"));
                self.flush()
            }
        }
    }

    /// Makes ready for the next line. One that held a secret does not stay in memory.
    fn forget(&mut self, line: &mut LineReader) {
        #[cfg(feature = "auth")]
        if self.is_behind_auth {
            line.wipe();
            self.input.wipe();
        }
        line.clear();
    }
}

#[cfg(test)]
mod tests;
