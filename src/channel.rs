//! One conversation: reads commands, asks transaction and session, writes replies.

use std::any::Any;
use std::io::{self, BufRead, ErrorKind};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use crate::address::{ForwardPath, ReversePath};
use crate::collector::{Collector, Overflow};
use crate::command::{self, Command, Verb};
use crate::config::{Config, MAX_COMMAND_LINE, RECIPIENT_OVERSHOOT};
use crate::content::{Budget, Content};
use crate::delivery::{Dispatch, Undelivered};
use crate::envelope::{Endpoint, Envelope, MessageId, Protocol};
use crate::escaped::Escaped;
use crate::extension;
use crate::reply::{Reply, Status};
use crate::session::{Context, Phase, Session};
use crate::shutdown::Activity;
use crate::stats::Counters;
use crate::stream::{Stream, Timed};
use crate::transaction::{State, TOO_BIG, TOO_MANY_RECIPIENTS};
use crate::values::Values;
use crate::wire::data::DataReader;
use crate::wire::input::Input;
use crate::wire::line::{Line, LineReader};

/// Replies are sent off at this size even while more commands wait: a client that only writes must not fill memory.
const MAX_REPLIES: usize = 8 * 1024;

const SHUTTING_DOWN: Reply = Reply::fixed(421, Status::new(4, 3, 2), "Service shutting down");
const TOO_MANY_ERRORS: Reply = Reply::fixed(421, Status::new(4, 7, 0), "Too many errors");
const TOO_MUCH_JUNK: Reply = Reply::fixed(421, Status::new(4, 7, 0), "Too many commands without mail");
const NOT_HTTP: Reply = Reply::fixed(421, Status::new(4, 7, 0), "This is not an HTTP server");
const UNASKED: Reply = Reply::fixed(421, Status::new(4, 7, 0), "Content was not asked for");
const IDLE: Reply = Reply::fixed(421, Status::new(4, 4, 2), "Timeout");
const LINE_TOO_LONG: Reply = Reply::fixed(500, Status::new(5, 5, 2), "Line too long");
const FLOOD: Reply = Reply::fixed(421, Status::new(4, 7, 0), "Line too long");
const CONTENT_FLOOD: Reply = Reply::fixed(421, Status::new(4, 7, 0), "Message far too big");
const NO_ROOM: Reply = Reply::fixed(452, Status::new(4, 3, 1), "Insufficient storage, try again later");
const LONE_LINE_END: Reply = Reply::fixed(550, Status::new(5, 5, 2), "Lone CR or LF in message");
const NOT_UTF8: Reply = Reply::fixed(554, Status::new(5, 6, 0), "Message is not UTF-8");
const UNANSWERED: Reply = Reply::fixed(451, Status::new(4, 3, 0), "Local error in processing");
const BROKEN: Reply = Reply::fixed(421, Status::new(4, 3, 0), "Local error in processing");
const GOODBYE: Reply = Reply::fixed(221, Status::new(2, 0, 0), "Bye");
const CANNOT_VERIFY: Reply = Reply::fixed(252, Status::new(2, 5, 2), "Cannot verify, but mail for it is taken");
const NOT_OFFERED: Reply = Reply::fixed(502, Status::new(5, 5, 1), "Command not offered");

/// What all connections of a server share.
pub(crate) struct Shared {
    pub config: Arc<Config>,
    pub budget: Arc<Budget>,
    pub counters: Counters,
    /// The part of message ids that tells this server from others.
    pub server: u64,
}

/// One connection, from banner to QUIT.
pub(crate) struct Channel<S> {
    shared: Arc<Shared>,
    input: Input<S>,
    replies: Vec<u8>,
    session: Box<dyn Session>,
    context: Context,
    dispatch: Dispatch,
    activity: Arc<Activity>,
    errors: usize,
    junk: usize,
    overshoot: usize,
    messages: u32,
    // Octets that came behind a DATA that was refused.
    unasked: usize,
    // Whether the line that is read began with one of them.
    is_unasked: bool,
    // The message whose 250 is not on its way yet.
    unconfirmed: Option<MessageId>,
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
        session: Box<dyn Session>,
        ends: (Endpoint, Endpoint),
        connection: u64,
        dispatch: Dispatch,
        activity: Arc<Activity>,
    ) -> io::Result<Channel<S>> {
        let config = &shared.config;
        let read_timeout = config.command_timeout.min(config.data_timeout);
        let stream = Timed::new(stream, read_timeout, config.command_timeout)?;
        let (peer, local) = ends;
        let context = Context {
            config: config.clone(),
            connection,
            peer,
            local,
            phase: Phase::Command,
            state: State::default(),
            values: Values::default(),
            connection_values: Arc::default(),
        };
        Ok(Channel {
            shared,
            input: Input::new(stream),
            replies: Vec::with_capacity(512),
            session,
            context,
            dispatch,
            activity,
            errors: 0,
            junk: 0,
            overshoot: 0,
            messages: 0,
            unasked: 0,
            is_unasked: false,
            unconfirmed: None,
        })
    }

    /// Holds the whole conversation. When it returns the connection can be dropped.
    pub fn run(&mut self) {
        let id = self.context.connection;
        log::debug!("[{id}] connection from {}", self.context.peer);
        let ended = match catch_unwind(AssertUnwindSafe(|| self.converse())) {
            Ok(ended) => ended,
            Err(panic) => {
                log::error!("[{id}] session panicked: {}", panic_text(&*panic));
                self.close_with(BROKEN)
            }
        };
        if let Err(e) = ended {
            log::info!("[{id}] connection to {} lost: {e}", self.context.peer);
            if let Some(message) = self.unconfirmed {
                log::warn!("[{id}] {message} was accepted, but its reply may not have arrived");
            }
        }
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| self.session.disconnect(&self.context))) {
            log::error!("[{id}] session panicked: {}", panic_text(&*panic));
        }
        log::debug!("[{id}] connection closed");
    }

    fn converse(&mut self) -> io::Result<()> {
        if let Err(reply) = self.session.connect(&self.context) {
            return self.close_with(reply.into_refusal());
        }
        self.say(&Reply::bare(220, format!("{} ESMTP pillarbox", self.context.hostname()).into()))?;
        let mut line = LineReader::default();
        loop {
            let flow = match self.wait_for_line(&mut line)? {
                Waited::Line(Line::Complete) => self.command(line.line())?,
                Waited::Line(Line::TooLong) => self.answer(LINE_TOO_LONG)?,
                Waited::Line(Line::Flood | Line::Partial) => return self.close_with(FLOOD),
                Waited::Late => {
                    log::info!("[{}] no command in time", self.context.connection);
                    return self.close_with(IDLE);
                }
                Waited::Shutdown => return self.close_with(SHUTTING_DOWN),
                Waited::EndOfStream => return self.flush(),
            };
            match flow {
                Flow::Next => {}
                Flow::Quit if self.input.buffered().is_empty() => return self.flush(),
                Flow::Quit | Flow::Close => return self.close(),
            }
            line.clear();
        }
    }

    /// Reads up to the end of a command line. Replies go out before it waits, and only then.
    fn wait_for_line(&mut self, line: &mut LineReader) -> io::Result<Waited> {
        self.is_unasked = self.unasked > 0;
        let mut has_deadline = false;
        loop {
            if self.activity.is_closing() {
                return Ok(Waited::Shutdown);
            }
            if self.input.buffered().is_empty() {
                self.flush()?;
                self.input.shrink();
                if !has_deadline {
                    self.input.set_deadline(Instant::now() + self.shared.config.command_timeout);
                    has_deadline = true;
                }
            }
            let octets = match self.input.fill_buf() {
                Ok([]) if self.activity.is_closing() => return Ok(Waited::Shutdown),
                // A line that the end of the stream cuts off is none.
                Ok([]) => return Ok(Waited::EndOfStream),
                Ok(octets) => octets,
                Err(e) if e.kind() == ErrorKind::TimedOut => return Ok(Waited::Late),
                Err(e) => return Err(e),
            };
            let (taken, state) = line.feed(octets, MAX_COMMAND_LINE);
            self.input.consume(taken);
            self.unasked = self.unasked.saturating_sub(taken);
            if state != Line::Partial {
                return Ok(Waited::Line(state));
            }
        }
    }

    fn command(&mut self, line: &[u8]) -> io::Result<Flow> {
        log::trace!("[{}] C: {}", self.context.connection, Escaped::new(line));
        let line = command::Line::new(line);
        if command::is_http(line.verb) {
            return self.answer(NOT_HTTP);
        }
        if self.is_unasked && !matches!(Verb::parse(line.verb), Some(Verb::Rset | Verb::Noop | Verb::Quit)) {
            return self.answer(UNASKED);
        }
        if let Some(reply) = self.session.command(&self.context, line.verb, line.argument) {
            let valid = reply.code() / 100 != 3;
            return self.answer(if valid { reply } else { reply.into_refusal() });
        }
        let command = match Command::parse(line, self.shared.config.strict_syntax) {
            Ok(command) => command,
            Err(reply) => return self.answer(reply),
        };
        let done = match command {
            Command::Mail(path, parameters) => self.mail(path, parameters),
            Command::Rcpt(path, parameters) => self.rcpt(path, parameters),
            Command::Data => return self.data(),
            Command::Quit => {
                self.say(&GOODBYE)?;
                return Ok(Flow::Quit);
            }
            Command::NotOffered => Err(NOT_OFFERED),
            Command::Helo(name) => self.greet(name, false),
            Command::Ehlo(name) => self.greet(name, true),
            Command::Rset => Ok(self.rset()),
            Command::Noop => Ok(Reply::ok()),
            Command::Vrfy(argument) => Ok(self.session.vrfy(&self.context, argument).unwrap_or(CANNOT_VERIFY)),
            Command::Expn(argument) => Ok(self.session.expn(&self.context, argument).unwrap_or(NOT_OFFERED)),
            Command::Help(argument) => {
                Ok(self.session.help(&self.context, argument).unwrap_or_else(|| command::help(argument)))
            }
        };
        self.answer(done.unwrap_or_else(Reply::into_refusal))
    }

    fn greet(&mut self, name: &str, extended: bool) -> Result<Reply, Reply> {
        self.session.helo(&self.context, name)?;
        self.context.values = Values::default();
        self.context.state.greet(name, extended);
        let text = if extended { extension::ehlo(&self.shared.config) } else { self.context.hostname().to_owned() };
        Ok(Reply::bare(250, text.into()))
    }

    fn rset(&mut self) -> Reply {
        self.session.rset(&self.context);
        self.reset();
        Reply::ok()
    }

    fn reset(&mut self) {
        self.context.values = Values::default();
        self.context.state.reset();
    }

    fn mail(&mut self, path: ReversePath, parameters: &[u8]) -> Result<Reply, Reply> {
        let parameters = self.context.state.check_mail(&self.shared.config, &path, parameters)?;
        if let Err(reply) = self.session.mail(&self.context, &path, &parameters) {
            self.context.values = Values::default();
            return Err(reply);
        }
        self.context.state.begin(path, parameters);
        Ok(Reply::ok())
    }

    fn rcpt(&mut self, path: ForwardPath, parameters: &[u8]) -> Result<Reply, Reply> {
        let recipient = self.context.state.check_rcpt(&self.shared.config, path, parameters)?;
        self.session.rcpt(&self.context, &recipient)?;
        self.context.state.add(recipient);
        Ok(Reply::ok())
    }

    /// DATA, its content, and what becomes of it.
    fn data(&mut self) -> io::Result<Flow> {
        if let Err(reply) = self.may_send_content() {
            // What is behind DATA already is content that nobody asked for, or commands of a client that does not wait
            // as RFC 2920 section 3.1 says. Nobody can tell which, so nothing of it may have an effect.
            self.unasked = self.input.buffered().len();
            return self.answer(reply);
        }
        self.say(&Reply::bare(354, "End data with <CR><LF>.<CR><LF>".into()))?;
        self.context.phase = Phase::Data;
        let flow = self.message();
        self.context.phase = Phase::Command;
        self.reset();
        self.activity.end_message();
        flow
    }

    fn may_send_content(&mut self) -> Result<(), Reply> {
        self.context.state.check_data()?;
        self.session.data(&self.context).map_err(Reply::into_refusal)?;
        if self.shared.budget.is_exhausted() {
            return Err(NO_ROOM);
        }
        if self.activity.begin_message() { Ok(()) } else { Err(SHUTTING_DOWN) }
    }

    fn message(&mut self) -> io::Result<Flow> {
        let refusal = match self.receive() {
            Ok(Received::Content(content)) => match self.deliver(content)? {
                Ok(()) => return Ok(Flow::Next),
                Err(reply) => reply,
            },
            Ok(Received::Refused(reply)) => reply,
            Ok(Received::Cut(reply)) => {
                self.shared.counters.lost_messages.add(1);
                log::info!("[{}] message cut off: {reply}", self.context.connection);
                self.say(&reply)?;
                return Ok(Flow::Close);
            }
            Err(e) => {
                self.shared.counters.lost_messages.add(1);
                return Err(e);
            }
        };
        self.shared.counters.refused_messages.add(1);
        log::info!("[{}] message refused: {refusal}", self.context.connection);
        self.answer(refusal)
    }

    /// Reads content to its end, whatever becomes of it.
    fn receive(&mut self) -> io::Result<Received> {
        let config = self.shared.config.clone();
        let hint = self.context.mail_parameters().and_then(crate::MailParameters::size);
        let mut collector = Collector::new(&self.shared.budget, config.data_size_limit, hint);
        let mut reader = DataReader::new(config.line_ends);
        let start = Instant::now() + config.data_timeout;
        loop {
            if self.input.buffered().is_empty() {
                self.flush()?;
                // Content may drip, but not below the floor rate for long.
                let floor = Duration::from_secs(collector.total() / config.data_rate.max(1));
                self.input.set_deadline((Instant::now() + config.data_timeout).min(start + floor));
            }
            let octets = match self.input.fill_buf() {
                Ok([]) if self.activity.is_cutting() => return Ok(Received::Cut(SHUTTING_DOWN)),
                Ok([]) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(octets) => octets,
                Err(e) if e.kind() == ErrorKind::TimedOut => return Ok(Received::Cut(IDLE)),
                Err(e) => return Err(e),
            };
            let (taken, end) = reader.feed(octets, &mut collector);
            self.input.consume(taken);
            if end {
                break;
            }
            if collector.swallowed() > config.swallow_limit() {
                return Ok(Received::Cut(CONTENT_FLOOD));
            }
        }
        let content = match collector.finish() {
            Ok(content) => content,
            Err(Overflow::TooBig) => return Ok(Received::Refused(TOO_BIG)),
            Err(Overflow::NoBudget) => return Ok(Received::Refused(NO_ROOM)),
        };
        if reader.is_rejected() {
            return Ok(Received::Refused(LONE_LINE_END));
        }
        if config.decode_data && str::from_utf8(&content.bytes()?).is_err() {
            return Ok(Received::Refused(NOT_UTF8));
        }
        Ok(Received::Content(content))
    }

    /// Hands the message to the consumer and says what became of it; `Err` holds the reply of a refusal.
    fn deliver(&mut self, content: Content) -> io::Result<Result<(), Reply>> {
        let Some(envelope) = self.envelope(content) else {
            return Ok(Err(UNANSWERED));
        };
        let (id, octets, recipients) = (envelope.id(), envelope.content().len(), envelope.recipients().len());
        let deadline = Instant::now() + self.shared.config.handler_timeout;
        let reply = match self.dispatch.deliver(Box::new(envelope), deadline) {
            Ok(response) => response.into_one(recipients),
            Err(Undelivered::Cut) => return Ok(Err(SHUTTING_DOWN)),
            Err(why) => {
                // A shutdown has to reach this worker where it waits next.
                self.activity.set_canceller(self.dispatch.canceller());
                match why {
                    Undelivered::Late => log::error!("[{}] {id} was not answered in time", self.context.connection),
                    _ => log::error!("[{}] {id} was dropped unanswered", self.context.connection),
                }
                return Ok(Err(UNANSWERED));
            }
        };
        if !reply.is_positive() {
            return Ok(Err(reply));
        }
        log::info!("[{}] {id} accepted: {octets} octets for {recipients} recipients", self.context.connection);
        self.shared.counters.accepted_messages.add(1);
        self.shared.counters.accepted_octets.add(octets);
        (self.errors, self.junk, self.overshoot) = (0, 0, 0);
        self.unconfirmed = Some(id);
        if reply == Reply::ok() {
            self.say(&Reply::new(250, "2.0.0", format!("OK {id}")))?;
        } else {
            self.say(&reply)?;
        }
        Ok(Ok(()))
    }

    fn envelope(&mut self, content: Content) -> Option<Envelope> {
        let transaction = self.context.state.transaction.take()?;
        let greeting = self.context.state.greeting.as_ref()?;
        self.messages = self.messages.wrapping_add(1);
        let protocol = match (greeting.extended, transaction.parameters.smtputf8()) {
            (false, _) => Protocol::Smtp,
            (true, false) => Protocol::Esmtp,
            (true, true) => Protocol::Utf8Smtp,
        };
        Some(Envelope {
            id: MessageId { server: self.shared.server, connection: self.context.connection, message: self.messages },
            peer: self.context.peer.clone(),
            local: self.context.local.clone(),
            hostname: self.shared.config.hostname.clone(),
            helo: greeting.name.clone(),
            protocol,
            reverse_path: transaction.reverse_path,
            parameters: transaction.parameters,
            recipients: transaction.recipients,
            content,
            received_at: SystemTime::now(),
            values: std::mem::take(&mut self.context.values),
            connection_values: self.context.connection_values.clone(),
        })
    }

    /// Says a reply and counts what speaks against the client; the connection ends if that is too much.
    fn answer(&mut self, reply: Reply) -> io::Result<Flow> {
        self.say(&reply)?;
        if reply.is_closing() {
            return Ok(Flow::Close);
        }
        if reply == TOO_MANY_RECIPIENTS && self.overshoot < RECIPIENT_OVERSHOOT {
            self.overshoot += 1;
        } else if reply.is_transient() || reply.is_permanent() {
            self.errors += 1;
        }
        let config = &self.shared.config;
        let goodbye = if config.max_errors != 0 && self.errors >= config.max_errors {
            TOO_MANY_ERRORS
        } else if config.max_junk != 0 && self.junk >= config.max_junk {
            TOO_MUCH_JUNK
        } else {
            return Ok(Flow::Next);
        };
        log::info!("[{}] {goodbye}", self.context.connection);
        self.say(&goodbye)?;
        Ok(Flow::Close)
    }

    /// Puts a reply behind those that wait to be sent.
    fn say(&mut self, reply: &Reply) -> io::Result<()> {
        log::trace!("[{}] S: {reply}", self.context.connection);
        reply.render(&mut self.replies);
        if self.replies.len() >= MAX_REPLIES { self.flush() } else { Ok(()) }
    }

    /// Sends the replies that wait, in one write.
    fn flush(&mut self) -> io::Result<()> {
        if self.replies.is_empty() {
            return Ok(());
        }
        let deadline = Instant::now() + self.shared.config.command_timeout;
        self.input.stream_mut().write_all_by(&self.replies, deadline)?;
        self.replies.clear();
        self.unconfirmed = None;
        Ok(())
    }

    fn close_with(&mut self, reply: Reply) -> io::Result<()> {
        self.say(&reply)?;
        self.close()
    }

    fn close(&mut self) -> io::Result<()> {
        self.flush()?;
        let hurry = self.activity.is_closing();
        self.input.stream_mut().linger(hurry);
        Ok(())
    }
}

/// What reading content came to.
enum Received {
    Content(Content),
    /// It was read to its end, and is refused.
    Refused(Reply),
    /// Its end will not be waited for: the connection ends with this.
    Cut(Reply),
}

/// What a panic had to say.
pub(crate) fn panic_text(panic: &(dyn Any + Send)) -> &str {
    panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(|s| &**s)).unwrap_or("no text")
}

#[cfg(test)]
mod tests;
