//! One conversation: reads commands, asks transaction and session, writes replies.

use std::io::{self, BufRead, ErrorKind};
use std::mem;
use std::sync::Arc;
use std::time::Instant;

use crate::config::{Config, MAX_AUTH_LINE, MAX_COMMAND_LINE};
use crate::connection::shutdown::{Activity, Wait};
use crate::content::store::ContentStore;
use crate::delivery::Dispatch;
use crate::envelope::transcript::{Record, Transcripts, without_secret};
use crate::envelope::values::Values;
use crate::envelope::{Endpoint, MessageId};
use crate::faults::Faults;
use crate::io::stream::Stream;
use crate::io::tls::Tls;
use crate::io::wire::input::Input;
use crate::io::wire::line::{Line, LineReader};
use crate::limits::clients::{Addresses, ClientPermit};
use crate::limits::stress::Stress;
use crate::session::{Context, Session};
use crate::stats::Counters;
use crate::stats::guard::guarded;
use crate::syntax::address::{ForwardPath, ReversePath};
use crate::syntax::command::{self, Command, Verb};
use crate::syntax::escaped::Escaped;
use crate::syntax::reply::{Reply, Status};

#[cfg(feature = "auth")]
mod authenticate;
mod buffers;
mod chunks;
mod faults;
mod greeting;
mod identity;
mod limits;
#[cfg(any(test, feature = "internals"))]
pub(crate) mod memory;
mod message;
mod replies;
mod scripted;
mod secure;

pub(crate) use buffers::ConnectionBuffers;
use chunks::Chunks;
pub(crate) use greeting::Offers;
use scripted::Scripted;

const SHUTTING_DOWN: Reply = Reply::fixed(421, Status::new(4, 3, 2), "Service shutting down");
const NOT_HTTP: Reply = Reply::fixed(421, Status::new(4, 7, 0), "This is not an HTTP server");
const IDLE: Reply = Reply::fixed(421, Status::new(4, 4, 2), "Timeout");
const LINE_TOO_LONG: Reply = Reply::fixed(500, Status::new(5, 5, 2), "Line too long");
const FLOOD: Reply = Reply::fixed(421, Status::new(4, 7, 0), "Line too long");
pub(crate) const BROKEN: Reply = Reply::fixed(421, Status::new(4, 3, 0), "Local error in processing");
const CHUNKS_BEGUN: Reply = Reply::fixed(503, Status::new(5, 5, 1), "Content has begun already");
const WITHIN_TRANSACTION: Reply = Reply::fixed(503, Status::new(5, 5, 1), "Not within a transaction");
const GOODBYE: Reply = Reply::fixed(221, Status::new(2, 0, 0), "Bye");
const CANNOT_VERIFY: Reply = Reply::fixed(252, Status::new(2, 5, 2), "Cannot verify, but mail for it is taken");
const WRONG_GREETING: Reply = Reply::fixed(500, Status::new(5, 5, 1), "This is LMTP: send LHLO");
const TLS_REQUIRED: Reply = Reply::fixed(530, Status::new(5, 7, 0), "Must issue a STARTTLS command first");
const AUTH_REQUIRED: Reply = Reply::fixed(530, Status::new(5, 7, 0), "Authentication required");
const NOT_OFFERED: Reply = Reply::fixed(502, Status::new(5, 5, 1), "Command not offered");

/// What all connections of a server share.
pub(crate) struct Shared {
    pub config: Arc<Config>,
    pub store: Arc<ContentStore>,
    pub counters: Counters,
    pub stress: Arc<Stress>,
    pub addresses: Addresses,
    pub offers: Offers,
    /// The part of message ids that tells this server from others.
    pub server: u64,
    pub tls: Option<Tls>,
    pub transcripts: Option<Transcripts>,
    pub faults: Option<Faults>,
    #[cfg(feature = "auth")]
    pub authenticator: Option<Arc<dyn crate::auth::Authenticator>>,
    #[cfg(feature = "auth")]
    pub sasl_mechanisms: Vec<crate::auth::OwnMechanism>,
}

/// One connection, from banner to QUIT.
pub(crate) struct Channel<S> {
    shared: Arc<Shared>,
    input: Input<S>,
    line: LineReader,
    replies: Vec<u8>,
    session: Box<dyn Session>,
    // There is no session: this is said in the banner's permit.
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
    scripted: Option<Box<Scripted>>,
}

/// How it goes on behind a command.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Flow {
    Next,
    /// The client asked for the end and has nothing more to say.
    Quit,
    /// The last reply was said, while the client may still talk.
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
    pub fn new(
        shared: Arc<Shared>,
        stream: S,
        session: Result<Box<dyn Session>, Reply>,
        ends: (Endpoint, Endpoint),
        connection: u64,
        buffers: ConnectionBuffers,
        activity: Arc<Activity>,
    ) -> Channel<S> {
        let (peer, local) = ends;
        let (session, refused) = match session {
            Ok(session) => (session, None),
            Err(reply) => (Box::new(()) as Box<dyn Session>, Some(reply)),
        };
        let ConnectionBuffers { dispatch, input, line, replies } = buffers;
        let scripted = shared.faults.clone().map(|faults| Box::new(Scripted::new(faults)));
        let record = shared.transcripts.as_ref().map_or_else(Record::default, |all| all.begin(connection, &peer));
        let may_xclient = peer.is_in(&shared.config.xclient);
        let context = Context::new(shared.config.clone(), connection, peer, local);
        Channel {
            shared,
            input: Input::new(stream, input),
            line,
            replies,
            session,
            refused,
            context,
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
            permit: ClientPermit::default(),
            is_identity_from_hook: false,
            xclient_helo: None,
            unconfirmed: None,
            is_behind_auth: false,
            record,
            scripted,
        }
    }

    /// Holds the whole conversation, beginning with a TLS handshake if it is `implicit_tls`. When it returns the
    /// connection is closed; what is left can be used for the next one.
    pub fn run(mut self, implicit_tls: bool) -> ConnectionBuffers {
        let id = self.context.connection;
        log::debug!("[{id}] connection from {}", self.context.peer);
        let mut line = mem::take(&mut self.line);
        let shared = self.shared.clone();
        let panics = &shared.counters.panics;
        let who = format_args!("[{id}] session");
        let ended = guarded(panics, who, || self.converse(implicit_tls, &mut line)).unwrap_or_else(|| {
            self.dispatch.renew();
            // What panicked may have been the stream, which is then written to again.
            guarded(panics, who, || self.close_with(BROKEN)).unwrap_or(Ok(()))
        });
        if let Err(e) = ended {
            log::info!("[{id}] connection to {} lost: {e}", self.context.peer);
            self.record.event(format_args!("connection lost: {e}"));
            if let Some(message) = self.unconfirmed {
                log::warn!("[{id}] {message} was accepted, but its reply may not have arrived");
            }
        }
        self.context.verb = None;
        guarded(panics, who, || self.session.disconnect(&self.context));
        log::debug!("[{id}] connection closed");
        self.record.event(format_args!("connection closed"));
        self.forget(&mut line);
        let Channel { dispatch, input, replies, session, context, .. } = self;
        let Context { values, connection_values, .. } = context;
        // Each by itself: a second panic while the first one unwinds would end the process.
        let input = guarded(panics, who, || input.into_buffer()).unwrap_or_default();
        guarded(panics, who, || drop(session));
        guarded(panics, who, || drop(values));
        guarded(panics, who, || drop(connection_values));
        ConnectionBuffers { dispatch, input, line, replies }.cleared()
    }

    fn converse(&mut self, implicit_tls: bool, line: &mut LineReader) -> io::Result<()> {
        if implicit_tls {
            self.handshake()?;
        }
        if let Some(reply) = self.refused.take() {
            return self.close_with(reply.into_refusal());
        }
        if let Err(reply) = self.session.connect(&self.context) {
            return self.close_with(reply.into_refusal());
        }
        self.take_identity();
        // RFC 5321 section 3.1: the server speaks first. It takes system calls to know, so only if somebody wants to.
        if log::log_enabled!(log::Level::Info) && !implicit_tls && self.input.has_more()? {
            log::info!("[{}] {} did not wait for the banner", self.context.connection, self.context.peer);
        }
        match self.fault_at_connect()? {
            None => self.say_banner()?,
            Some(reply) if reply.is_positive() => self.say(&reply)?,
            Some(reply) => return self.close_with(reply.into_refusal()),
        }
        loop {
            let flow = match self.wait_for_line(line, MAX_AUTH_LINE)? {
                Waited::Line(Line::Complete) => self.command(line.line())?,
                Waited::Line(Line::TooLong) => {
                    self.record.event(format_args!("the client's line is too long"));
                    self.too_long(command::Line::new(line.line()))?
                }
                Waited::Line(Line::Flood | Line::Partial) => return self.close_with(FLOOD),
                Waited::Late => {
                    log::info!("[{}] no command in time", self.context.connection);
                    return self.close_with(IDLE);
                }
                Waited::Shutdown => return self.close_with(SHUTTING_DOWN),
                Waited::EndOfStream => {
                    self.record.event(format_args!("the client says no more"));
                    return self.flush();
                }
            };
            match flow {
                Flow::Next => {}
                Flow::Quit if self.input.buffered().is_empty() => return self.hang_up(),
                Flow::Quit | Flow::Close => return self.close(),
            }
            self.forget(line);
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

    fn say_banner(&mut self) -> io::Result<()> {
        let protocol = if self.shared.config.lmtp { "LMTP" } else { "ESMTP" };
        self.say(&Reply::bare(220, [self.context.hostname(), " ", protocol, " pillarbox"].concat().into()))
    }

    /// Reads up to the end of a command line. Replies go out before it waits, and only then.
    fn wait_for_line(&mut self, line: &mut LineReader, limit: usize) -> io::Result<Waited> {
        let mut since = None;
        loop {
            // A message whose first chunk was taken may go on to its last.
            let ending = self.activity.is_closing() && (self.chunks.is_none() || self.activity.is_cutting());
            if ending {
                return Ok(Waited::Shutdown);
            }
            if self.input.buffered().is_empty() {
                self.flush()?;
                self.input.shrink();
                let since = *since.get_or_insert_with(|| {
                    let now = Instant::now();
                    self.input.stream_mut().allow_read(now, self.shared.command_timeout());
                    now
                });
                self.activity.set_wait(Wait::Read(since));
            }
            let has_waited = self.input.buffered().is_empty();
            let read = self.input.fill_buf();
            if has_waited && !self.activity.set_wait(Wait::None) {
                return Ok(Waited::Late);
            }
            let octets = match read {
                Ok([]) if self.activity.is_closing() => return Ok(Waited::Shutdown),
                // A line that the end of the stream cuts off is none.
                Ok([]) => return Ok(Waited::EndOfStream),
                Ok(octets) => octets,
                Err(e) if e.kind() == ErrorKind::TimedOut => return Ok(Waited::Late),
                // Within TLS the end of the stream is an error.
                Err(_) if self.activity.is_closing() => return Ok(Waited::Shutdown),
                Err(e) => return Err(e),
            };
            let (taken, state) = line.feed(octets, limit);
            self.input.consume(taken);
            if state != Line::Partial {
                return Ok(Waited::Line(state));
            }
        }
    }

    fn command(&mut self, line: &[u8]) -> io::Result<Flow> {
        self.is_junk = false;
        let text = line;
        let line = command::Line::new(text);
        let verb = line.verb;
        self.context.verb = verb;
        let is_behind_auth = mem::replace(&mut self.is_behind_auth, verb == Some(Verb::Auth));
        if verb == Some(Verb::Auth) {
            let shown = without_secret(line.argument, self.shared.own_mechanisms());
            log::trace!("[{}] C: {shown}", self.context.connection);
            self.record.client(shown.as_bytes());
        } else if is_behind_auth && verb.is_none() {
            // A client that was told something else than it takes its answer for goes on with its secret.
            self.is_behind_auth = true;
            log::trace!("[{}] C: ...", self.context.connection);
            self.record.client(b"...");
        } else {
            log::trace!("[{}] C: {}", self.context.connection, Escaped::new(text));
            self.record.client(text);
        }
        let parsed = Command::parse(line, self.shared.config.strict_syntax);
        if text.len() + 2 > MAX_COMMAND_LINE
            && text.len() + 2 > self.shared.config.max_command_line()
            && verb != Some(Verb::Auth)
        {
            return self.too_long(line);
        }
        if line.is_http() {
            return self.answer(NOT_HTTP);
        }
        // What the hooks of an earlier command said without effect.
        *self.context.granted.get_mut() = None;
        let answered = match self.fault_at_command(verb, &parsed)? {
            None => self.session.command(&self.context, line.word, line.argument),
            reply => reply,
        };
        if answered.as_ref().is_none_or(Reply::is_positive) {
            self.take_identity();
        }
        if let Some(reply) = answered {
            let valid = reply.code() / 100 != 3;
            return self.refuse(line, parsed, if valid { reply } else { reply.into_refusal() });
        }
        let command = match parsed {
            Ok(command) => command,
            Err(reply) => return self.refuse(line, Err(()), reply),
        };
        if self.shared.config.require_tls && self.context.tls.is_none() && !is_allowed_in_clear(&command) {
            return self.refuse(line, Ok::<_, ()>(command), TLS_REQUIRED);
        }
        if self.shared.config.require_auth && self.context.identity.is_none() && needs_auth(&command) {
            return self.refuse(line, Ok::<_, ()>(command), AUTH_REQUIRED);
        }
        self.is_junk = is_junk(&command);
        self.junk += usize::from(self.is_junk);
        let is_lmtp = self.shared.config.lmtp;
        let done = match command {
            Command::Mail(path, parameters) => self.mail(path, parameters),
            Command::Rcpt(path, parameters) => self.rcpt(path, parameters),
            Command::Data => return self.data(),
            Command::Bdat(octets, last) => return self.bdat(octets, last),
            Command::StartTls => return self.start_tls(),
            Command::Quit => {
                self.say(&GOODBYE)?;
                return Ok(Flow::Quit);
            }
            Command::Lhlo(name) if is_lmtp => return self.greet(name, true),
            Command::Helo(name) if !is_lmtp => return self.greet(name, false),
            Command::Ehlo(name) if !is_lmtp => return self.greet(name, true),
            Command::Lhlo(_) => Err(NOT_OFFERED),
            Command::Helo(_) | Command::Ehlo(_) => Err(WRONG_GREETING),
            #[cfg(feature = "auth")]
            Command::Auth(argument) => return self.auth(argument),
            #[cfg(not(feature = "auth"))]
            Command::Auth(_) => Err(NOT_OFFERED),
            Command::Xclient(argument) => return self.xclient(argument),
            Command::Rset => Ok(self.rset()),
            Command::Noop => Ok(Reply::ok()),
            Command::Vrfy(argument) => Ok(self.session.vrfy(&self.context, argument).unwrap_or(CANNOT_VERIFY)),
            Command::Expn(argument) => Ok(self.session.expn(&self.context, argument).unwrap_or(NOT_OFFERED)),
            Command::Help(argument) => {
                let reply = self.session.help(&self.context, argument);
                Ok(reply.unwrap_or_else(|| command::help(argument, |verb| self.is_offered(verb))))
            }
        };
        self.answer(done.unwrap_or_else(Reply::into_refusal))
    }

    /// Answers a line that has no other effect; the content that may follow it is not to be taken for commands.
    fn refuse<E>(&mut self, line: command::Line<'_>, parsed: Result<Command<'_>, E>, reply: Reply) -> io::Result<Flow> {
        match parsed {
            Ok(Command::Bdat(octets, _)) => self.drop_chunk(octets, reply),
            _ if line.announces_chunk() => self.refuse_and_close(reply),
            _ if line.announces_content() => self.refuse_data(reply),
            _ => self.answer(reply),
        }
    }

    /// Refuses a line that is too long, of which `line` is the start and the end, or all.
    fn too_long(&mut self, line: command::Line<'_>) -> io::Result<Flow> {
        // However long: whoever leads a browser here chooses the path, and what comes behind it.
        if line.is_http() {
            self.answer(NOT_HTTP)
        } else if line.announces_content() {
            self.refuse_and_close(LINE_TOO_LONG)
        } else {
            self.answer(LINE_TOO_LONG)
        }
    }

    fn rset(&mut self) -> Reply {
        self.session.rset(&self.context);
        self.reset();
        Reply::ok()
    }

    /// The end of a transaction, either way.
    fn reset(&mut self) {
        self.context.values = Values::default();
        self.context.state.reset();
        self.forget_chunks();
    }

    fn mail(&mut self, path: ReversePath, parameters: &[u8]) -> Result<Reply, Reply> {
        let parameters = self.context.state.check_mail(&self.shared.config, self.facts(), &path, parameters)?;
        *self.context.acceptance.get_mut() = None;
        let asked = self.session.mail(&self.context, &path, &parameters);
        let acceptance = self.context.acceptance.get_mut().take();
        if let Err(reply) = asked {
            self.context.values = Values::default();
            return Err(reply);
        }
        self.context.state.begin(path, parameters);
        Ok(acceptance.unwrap_or(Reply::ok()))
    }

    fn rcpt(&mut self, path: ForwardPath, parameters: &[u8]) -> Result<Reply, Reply> {
        if self.chunks.is_some() {
            return Err(CHUNKS_BEGUN);
        }
        let recipient = self.context.state.check_rcpt(&self.shared.config, self.facts(), path, parameters)?;
        self.context.state.reserve(&self.shared.store, &recipient)?;
        *self.context.acceptance.get_mut() = None;
        let asked = self.session.rcpt(&self.context, &recipient);
        let acceptance = self.context.acceptance.get_mut().take();
        asked?;
        self.context.state.add(recipient);
        Ok(acceptance.unwrap_or(Reply::ok()))
    }
}

/// RFC 3207 section 4: what may be said before TLS where TLS is required.
fn is_allowed_in_clear(command: &Command<'_>) -> bool {
    matches!(command, Command::Noop | Command::Ehlo(_) | Command::Lhlo(_) | Command::StartTls | Command::Quit)
}

/// What may not be said without authentication where that is required.
fn needs_auth(command: &Command<'_>) -> bool {
    matches!(
        command,
        Command::Mail(..) | Command::Rcpt(..) | Command::Data | Command::Bdat(..) | Command::Vrfy(_) | Command::Expn(_)
    )
}

/// Whether a command brings no message forward.
fn is_junk(command: &Command<'_>) -> bool {
    match command {
        // A chunk without octets, of which there can be any number.
        Command::Bdat(octets, last) => *octets == 0 && !last,
        _ => !matches!(command, Command::Mail(..) | Command::Rcpt(..) | Command::Data | Command::Quit),
    }
}

#[cfg(test)]
mod tests;
