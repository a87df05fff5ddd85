//! The content of messages: DATA, BDAT, and what becomes of it.

use std::io::{self, BufRead, ErrorKind};
use std::time::{Duration, Instant, SystemTime};

use super::chunks::Chunks;
use super::watched::{self, Watched};
use super::{Channel, Flow, IDLE, SHUTTING_DOWN, Shared};
use crate::config::LineEnds;
use crate::content::Content;
use crate::content::collector::{Collector, Overflow};
use crate::delivery::{Response, Undelivered};
use crate::envelope::transcript::Transcript;
use crate::envelope::{Envelope, MessageId};
use crate::io::stream::Stream;
use crate::io::wire::data::DataReader;
use crate::session::Phase;
use crate::session::transaction::TOO_BIG;
use crate::syntax::parameter::{Body, MailParameters};
use crate::syntax::reply::{Reply, Status};

const CONTENT_FLOOD: Reply = Reply::fixed(421, Status::new(4, 7, 0), "Message far too big");
const LONE_LINE_END: Reply = Reply::fixed(550, Status::new(5, 5, 2), "Lone CR or LF in message");
const NOT_UTF8: Reply = Reply::fixed(554, Status::new(5, 6, 0), "Message is not UTF-8");
const UNASKED: Reply = Reply::fixed(421, Status::new(4, 7, 0), "Content was not asked for");
const CHUNKS_FIRST: Reply = Reply::fixed(503, Status::new(5, 5, 1), "BDAT and DATA do not mix");

/// A message that a consumer has seen.
struct Delivered {
    id: MessageId,
    octets: u64,
    // Whether the client asked for a reply for each recipient.
    prdr: bool,
}

/// How reading content ended, if neither with its end nor with that of the connection.
enum Cut {
    /// The connection ends with this.
    With(Reply),
    /// The message was answered before its end.
    Answered(Flow),
    /// The connection has ended.
    Lost(io::Error),
}

impl From<io::Error> for Cut {
    fn from(e: io::Error) -> Cut {
        Cut::Lost(e)
    }
}

impl<S: Stream> Channel<S> {
    /// DATA, its content, and what becomes of it: RFC 5321 section 4.1.1.4.
    #[inline(never)]
    pub(super) fn data(&mut self) -> io::Result<Flow> {
        let allowed = if self.chunks.is_some() { Err(CHUNKS_FIRST) } else { self.may_send_content(false) };
        if let Err(reply) = allowed {
            return self.refuse_data(reply);
        }
        self.say(&Reply::bare(354, "End data with <CR><LF>.<CR><LF>".into()))?;
        self.context.phase = Phase::Data;
        let mut message = self.begin(DataReader::new(self.shared.config.line_ends));
        let read = self.read_data(&mut message);
        self.context.phase = Phase::Command;
        self.conclude(message, read)
    }

    /// BDAT, its chunk, and with the last one what becomes of the message: RFC 3030 section 2.
    #[inline(never)]
    pub(super) fn bdat(&mut self, octets: u64, last: bool) -> io::Result<Flow> {
        let mut message = match self.chunks.take() {
            Some(mut message) => {
                message.since += message.paused.elapsed();
                message
            }
            None => match self.may_send_content(true) {
                Ok(()) => {
                    let line_ends = match self.context.mail_parameters().and_then(MailParameters::body) {
                        // No line ends are promised, so none can be wrong.
                        Some(Body::BinaryMime) => LineEnds::Keep,
                        _ => self.shared.config.line_ends,
                    };
                    self.begin(DataReader::for_chunks(line_ends))
                }
                Err(reply) => return self.drop_chunk(octets, reply),
            },
        };
        self.context.phase = Phase::Data;
        let read = self.read_chunk(&mut message, octets);
        self.context.phase = Phase::Command;
        if read.is_ok() && !last {
            message.excuse();
            if let Some(overflow) = message.collector.overflow() {
                let refusal = refusal_of(&mut message, overflow);
                self.account_for_content(message.collector.total(), message.since);
                self.lose(&refusal);
                return self.answer(refusal);
            }
            message.paused = Instant::now();
            self.chunks = Some(message);
            return self.answer(Reply::new(250, "2.0.0", format!("{octets} octets received")));
        }
        self.conclude(message, read)
    }

    /// Refuses DATA. A client that waits for the reply, as RFC 2920 section 3.1 wants, has sent nothing more by now. What
    /// is there all the same is content that nobody asked for, or commands: nobody can tell which, so none of it is run.
    pub(super) fn refuse_data(&mut self, reply: Reply) -> io::Result<Flow> {
        let has_more = self.input.has_more()?;
        let flow = self.answer(reply)?;
        if flow != Flow::Next || !has_more {
            return Ok(flow);
        }
        log::info!("[{}] octets behind DATA, which was refused: connection closed", self.context.connection);
        self.begin_last_word();
        self.answer(UNASKED)
    }

    /// Refuses a line behind which nobody can tell where content ends and commands begin.
    pub(super) fn refuse_and_close(&mut self, reply: Reply) -> io::Result<Flow> {
        log::info!("[{}] content of unknown length: connection closed", self.context.connection);
        self.answer(reply)?;
        Ok(Flow::Close)
    }

    /// Reads a refused chunk off: its octets must not be taken for commands.
    pub(super) fn drop_chunk(&mut self, octets: u64, refusal: Reply) -> io::Result<Flow> {
        let limit = self.shared.config.swallow_limit();
        let deadline = Instant::now() + self.shared.config.data_timeout;
        let mut left = octets.min(limit);
        while left > 0 {
            if self.input.buffered().is_empty() {
                self.flush()?;
                self.input.stream_mut().set_read_deadline(deadline);
            }
            let available = match self.input.fill_buf() {
                // A shutdown does not wait for what is refused.
                Ok([]) if self.activity.is_closing() => return self.answer(SHUTTING_DOWN),
                Ok([]) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(available) => available,
                Err(e) if e.kind() == ErrorKind::TimedOut => {
                    self.shared.counters.timeouts.content.add(1);
                    return self.answer(IDLE);
                }
                // Within TLS the end of the stream is an error.
                Err(_) if self.activity.is_closing() => return self.answer(SHUTTING_DOWN),
                Err(e) => return Err(e),
            };
            let taken = usize::try_from(left).map_or(available.len(), |left| left.min(available.len()));
            self.record.content(&available[..taken]);
            self.input.consume(taken);
            left -= taken as u64;
        }
        self.answer(if octets > limit { CONTENT_FLOOD } else { refusal })
    }

    /// Gives chunks up whose message was given up.
    #[inline(never)]
    pub(super) fn forget_chunks(&mut self) {
        if let Some(chunks) = self.chunks.take() {
            self.shared.counters.received_octets.add(chunks.collector.total());
            self.activity.end_message();
        }
    }

    fn may_send_content(&mut self, chunks: bool) -> Result<(), Reply> {
        self.context.state.check_data(chunks)?;
        self.session.data(&self.context).map_err(Reply::into_refusal)?;
        // Known to be too much before it comes, if the client said how much.
        let announced = self.context.mail_parameters().and_then(MailParameters::size).unwrap_or(0);
        if !self.shared.store.held.has(announced.max(1)) {
            return Err(Reply::NO_STORAGE);
        }
        // Before the message begins, so that a shutdown which sees the message can reach its worker.
        if let Some(canceller) = self.dispatch.prepare() {
            self.activity.set_canceller(canceller);
        }
        self.input.expect_content();
        if self.activity.begin_message() { Ok(()) } else { Err(SHUTTING_DOWN) }
    }

    fn begin(&mut self, reader: DataReader) -> Chunks {
        self.begin_progress();
        let hint = self.context.mail_parameters().and_then(MailParameters::size);
        let Shared { store, config, .. } = &*self.shared;
        let collector = Collector::new(store, config.data_size_limit, hint);
        let now = Instant::now();
        Chunks { collector, reader, since: now, paused: now, arrived: None, refusal: None }
    }

    /// Reads up to CRLF.CRLF, whatever becomes of the message.
    fn read_data(&mut self, message: &mut Chunks) -> Result<(), Cut> {
        self.heed_script(message, 0)?;
        loop {
            self.wait_for_content(message)?;
            let allowed = self.content_allowed();
            let (taken, end) = self.feed(message, allowed)?;
            self.input.consume(taken);
            self.heed_script(message, taken)?;
            if end {
                return self.unless_answered();
            }
        }
    }

    /// Reads as many octets as the chunk has, whatever becomes of the message.
    fn read_chunk(&mut self, message: &mut Chunks, octets: u64) -> Result<(), Cut> {
        self.heed_script(message, 0)?;
        let mut left = octets;
        while left > 0 {
            self.wait_for_content(message)?;
            let limit = usize::try_from(left).unwrap_or(usize::MAX).min(self.content_allowed());
            let (taken, _) = self.feed(message, limit)?;
            self.input.consume(taken);
            left -= taken as u64;
            self.heed_script(message, taken)?;
        }
        self.unless_answered()
    }

    /// Octets of content were read: lets the script of faults have its say, in time that is not the client's.
    fn heed_script(&mut self, message: &mut Chunks, octets: usize) -> Result<(), Cut> {
        if self.scripted.is_none() {
            return Ok(());
        }
        message.arrived.get_or_insert_with(Instant::now);
        self.count_content(octets);
        let Some(reply) = self.fault_within_content()? else { return Ok(()) };
        message.collector.abandon();
        let recipients = self.context.recipients().len();
        let flow = self.answer_message(Response::All(reply), recipients, None)?;
        self.flush()?;
        self.note_answered();
        if flow == Flow::Next { Ok(()) } else { Err(Cut::Answered(flow)) }
    }

    /// The content has come to its end, but its message may have been answered before.
    fn unless_answered(&self) -> Result<(), Cut> {
        if self.is_answered() { Err(Cut::Answered(Flow::Next)) } else { Ok(()) }
    }

    /// Passes on what has come, up to so many octets: past the session, if there is one, into the message. Says how many, and
    /// whether the content's end was there.
    fn feed(&mut self, message: &mut Chunks, limit: usize) -> Result<(usize, bool), Cut> {
        let available = self.input.fill_buf()?;
        let available = &available[..available.len().min(limit)];
        let Chunks { collector, reader, refusal, .. } = message;
        // Content with a line end that is refused is read off as well.
        let (taken, end) = if self.has_session && !reader.is_rejected() {
            let (session, context, panics) = (&mut *self.session, &self.context, &self.shared.counters.panics);
            reader.feed(available, &mut Watched { collector, refusal, session, context, panics })
        } else {
            reader.feed(available, collector)
        };
        self.record.content(&available[..taken]);
        // A farewell waits for nothing.
        match refusal.take_if(|refusal| refusal.is_closing()) {
            Some(farewell) => Err(Cut::With(farewell)),
            None => Ok((taken, end)),
        }
    }

    /// Waits until octets of content are there, within the limits of time and number.
    fn wait_for_content(&mut self, message: &mut Chunks) -> Result<(), Cut> {
        if message.collector.swallowed() > self.shared.config.swallow_limit() {
            return Err(Cut::With(CONTENT_FLOOD));
        }
        if !self.input.buffered().is_empty() {
            return Ok(());
        }
        self.flush()?;
        // One read may be several of the socket: up to the end of a record.
        if self.context.tls.is_some() {
            self.input.acknowledge();
        }
        message.excuse();
        // Content may drip, but not below the floor rate for long.
        let config = &self.shared.config;
        let floor = Duration::from_secs(message.collector.total() / config.data_rate.max(1));
        let now = Instant::now();
        let deadline = (message.since + floor).min(now) + config.data_timeout;
        self.input.stream_mut().allow_read(now, deadline.saturating_duration_since(now));
        match self.input.fill_buf() {
            Ok([]) if self.activity.is_cutting() => Err(Cut::With(SHUTTING_DOWN)),
            Ok([]) => Err(Cut::Lost(ErrorKind::UnexpectedEof.into())),
            Ok(_) => {
                message.arrived = self.has_session.then(Instant::now);
                Ok(())
            }
            Err(e) if e.kind() == ErrorKind::TimedOut => {
                self.shared.counters.timeouts.content.add(1);
                Err(Cut::With(IDLE))
            }
            // Within TLS the end of the stream is an error.
            Err(_) if self.activity.is_cutting() => Err(Cut::With(SHUTTING_DOWN)),
            Err(e) => Err(Cut::Lost(e)),
        }
    }

    /// Delivers a message whose content was read, if it was, and says what became of it. Ends the transaction.
    fn conclude(&mut self, mut message: Chunks, read: Result<(), Cut>) -> io::Result<Flow> {
        message.excuse();
        self.account_for_content(message.collector.total(), message.since);
        let flow = match read {
            Ok(()) => self.deliver(message),
            Err(Cut::With(reply)) => {
                self.account_for_message(None);
                log::info!("[{}] message cut off: {reply}", self.context.connection);
                self.answer(reply)
            }
            Err(Cut::Answered(flow)) => Ok(flow),
            Err(Cut::Lost(e)) => {
                self.account_for_message(None);
                Err(e)
            }
        };
        self.reset();
        self.forget_recipients();
        self.activity.end_message();
        flow
    }

    fn deliver(&mut self, message: Chunks) -> io::Result<Flow> {
        let recipients = self.context.recipients().len();
        let prdr = self.context.mail_parameters().is_some_and(MailParameters::prdr);
        if prdr || self.shared.config.lmtp {
            self.note_recipients();
        }
        let content = match self.check_content(message).and_then(|content| self.ask_at_end().map(|()| content)) {
            Ok(content) => content,
            Err(refusal) => return self.answer_message(Response::All(refusal), recipients, None),
        };
        if let Some(reply) = self.fault_at_content()? {
            return self.answer_message(Response::All(reply), recipients, None);
        }
        let octets = content.len();
        let Some(envelope) = self.envelope(content) else {
            return self.answer_message(Response::All(Reply::LOCAL_ERROR), recipients, None);
        };
        let id = envelope.id();
        let now = Instant::now();
        let deadline = now + self.shared.config.handler_timeout;
        self.shared.counters.unanswered_messages.add(1);
        let delivered = self.dispatch.deliver(envelope, deadline);
        self.shared.counters.unanswered_messages.subtract(1);
        if self.shared.observer.is_some() {
            (self.observed.id, self.observed.handling) = (Some(id), now.elapsed());
        }
        let response = match delivered {
            Ok(response) => response,
            Err(Undelivered::Cut) => {
                self.account_for_message(Some(&SHUTTING_DOWN));
                return self.answer(SHUTTING_DOWN);
            }
            Err(Undelivered::Late) => {
                self.shared.counters.timeouts.handler.add(1);
                log::error!("[{}] {id} was not answered in time", self.context.connection);
                Response::All(Reply::LOCAL_ERROR)
            }
            Err(Undelivered::Dropped) => {
                log::error!("[{}] {id} was dropped unanswered", self.context.connection);
                Response::All(Reply::LOCAL_ERROR)
            }
        };
        if response.accepts()
            && let Some(reply) = self.fault_once_accepted(id)?
        {
            return self.answer_message(Response::All(reply), recipients, None);
        }
        self.answer_message(response, recipients, Some(Delivered { id, octets, prdr }))
    }

    /// The session has seen the last of a message that nothing else speaks against.
    fn ask_at_end(&mut self) -> Result<(), Reply> {
        if !self.has_session {
            return Ok(());
        }
        self.context.phase = Phase::Data;
        let (session, context) = (&mut self.session, &self.context);
        let asked = watched::ask(&self.shared.counters.panics, context, || session.content_end(context));
        self.context.phase = Phase::Command;
        asked
    }

    fn check_content(&mut self, mut message: Chunks) -> Result<Content, Reply> {
        self.finish_reading(&mut message);
        if let Some(overflow) = message.collector.overflow() {
            return Err(refusal_of(&mut message, overflow));
        }
        let content = message.collector.finish().map_err(overflow_reply)?;
        if message.reader.is_rejected() {
            return Err(LONE_LINE_END);
        }
        if !self.shared.config.decode_data {
            return Ok(content);
        }
        match content.is_utf8() {
            Ok(true) => Ok(content),
            Ok(false) => Err(NOT_UTF8),
            Err(e) => {
                log::error!("[{}] message cannot be read back: {e}", self.context.connection);
                Err(Reply::NOT_STORED)
            }
        }
    }

    /// Passes on what only the end of the content decides: a CR that is its last octet.
    fn finish_reading(&mut self, message: &mut Chunks) {
        let Chunks { collector, reader, refusal, .. } = message;
        if self.has_session && !reader.is_rejected() {
            let (session, context, panics) = (&mut *self.session, &self.context, &self.shared.counters.panics);
            reader.finish(&mut Watched { collector, refusal, session, context, panics });
        } else {
            reader.finish(collector);
        }
    }

    /// Says the reply, or in LMTP and with PRDR the replies, to a message that was read to its end.
    fn answer_message(
        &mut self,
        response: Response,
        recipients: usize,
        delivered: Option<Delivered>,
    ) -> io::Result<Flow> {
        let has_each = !matches!(response, Response::All(_)) || self.has_verdicts();
        if self.shared.config.lmtp {
            self.answer_each(response.into_each(recipients), &delivered)
        } else if has_each && delivered.as_ref().is_some_and(|delivered| delivered.prdr) {
            self.answer_prdr(response.into_each(recipients), &delivered)
        } else {
            let reply = response.into_one(recipients);
            self.settle(&reply, recipients, &delivered);
            self.say_outcome(&reply, &delivered)?;
            self.judge(&reply)
        }
    }

    /// RFC 2033 section 4.2: a reply for each recipient that was accepted, in their order.
    fn answer_each(&mut self, replies: Vec<Reply>, delivered: &Option<Delivered>) -> io::Result<Flow> {
        self.settle(&outcome(&replies), replies.len(), delivered);
        match self.say_each(replies, delivered)? {
            Some(said) => self.judge_each(&said),
            None => Ok(Flow::Close),
        }
    }

    /// As in LMTP, between a reply that announces this and one for the message.
    fn answer_prdr(&mut self, replies: Vec<Reply>, delivered: &Option<Delivered>) -> io::Result<Flow> {
        self.settle(&outcome(&replies), replies.len(), delivered);
        self.say(&Reply::bare(353, "A reply for each recipient follows".into()))?;
        let Some(said) = self.say_each(replies, delivered)? else { return Ok(Flow::Close) };
        self.say_outcome(&outcome(&said), delivered)?;
        self.judge_each(&said)
    }

    /// Says replies to one message, and gives them as they were said; none if one of them ends the connection.
    fn say_each(&mut self, mut replies: Vec<Reply>, delivered: &Option<Delivered>) -> io::Result<Option<Vec<Reply>>> {
        for (recipient, reply) in replies.iter_mut().enumerate() {
            if let Some(scripted) = self.fault_at_verdict(recipient)? {
                *reply = scripted;
            }
            self.say_outcome(reply, delivered)?;
            if reply.is_closing() {
                return Ok(None);
            }
        }
        Ok(Some(replies))
    }

    /// However many say no, it is the refusal of one message: the count must not end the connection before the last has
    /// been heard.
    fn judge_each(&mut self, replies: &[Reply]) -> io::Result<Flow> {
        let refusal = replies.iter().find(|reply| !reply.is_positive());
        refusal.map_or(Ok(Flow::Next), |refusal| self.judge(refusal))
    }

    /// Keeps account of a message whose outcome is known, and is about to be said.
    fn settle(&mut self, outcome: &Reply, recipients: usize, delivered: &Option<Delivered>) {
        match delivered {
            Some(Delivered { id, octets, .. }) if outcome.is_positive() => {
                log::info!("[{}] {id} accepted: {octets} octets, {recipients} recipients", self.context.connection);
                self.shared.counters.accepted_octets.add(*octets);
                self.account_for_message(Some(outcome));
                (self.errors, self.junk, self.overshoot) = (0, 0, 0);
                self.unconfirmed = Some(*id);
            }
            _ => self.lose(outcome),
        }
    }

    /// Says one reply to a message; the usual acceptance names it.
    fn say_outcome(&mut self, reply: &Reply, delivered: &Option<Delivered>) -> io::Result<()> {
        match delivered {
            Some(Delivered { id, .. }) if *reply == Reply::ok() => self.say(&id.with_text(Reply::accepted)),
            _ => self.say(reply),
        }
    }

    /// A message is refused after its content was read.
    fn lose(&mut self, refusal: &Reply) {
        log::info!("[{}] message refused: {refusal}", self.context.connection);
        self.account_for_message(Some(refusal));
        self.reset();
        self.activity.end_message();
    }

    fn envelope(&mut self, content: Content) -> Option<Box<Envelope>> {
        let mut transaction = self.context.state.transaction.take()?;
        let transcript = self.record.of_message();
        let xforward = self.context.state.xforward.take();
        let beside = transcript.as_ref().map_or(0, Transcript::heap_octets)
            + xforward.as_ref().map_or(0, |xforward| xforward.heap_octets());
        let reservation = transaction.take_reservation(beside);
        let greeting = self.context.state.greeting.as_ref()?;
        self.messages = self.messages.wrapping_add(1);
        let protocol = self.context.protocol(greeting, &transaction.parameters);
        Some(Box::new(Envelope {
            id: MessageId { server: self.shared.server, connection: self.context.connection, message: self.messages },
            peer: self.context.peer.clone(),
            local: self.context.local.clone(),
            hostname: self.shared.config.hostname.clone(),
            helo: greeting.name.clone(),
            protocol,
            tls: self.context.tls.clone(),
            identity: self.context.identity.clone(),
            xforward,
            reverse_path: transaction.reverse_path,
            parameters: transaction.parameters,
            recipients: transaction.recipients,
            content,
            received_at: SystemTime::now(),
            values: std::mem::take(&mut self.context.values),
            connection_values: self.context.connection_values.clone(),
            transcript,
            reservation,
        }))
    }
}

/// The reply that says what became of a message for which each recipient has one: that it was accepted, if any says so.
fn outcome(replies: &[Reply]) -> Reply {
    let accepted = replies.iter().find(|reply| reply.is_positive());
    accepted.or(replies.first()).cloned().unwrap_or(Reply::LOCAL_ERROR)
}

/// Why the rest of a message was only read off.
fn refusal_of(message: &mut Chunks, overflow: Overflow) -> Reply {
    message.refusal.take().unwrap_or_else(|| overflow_reply(overflow))
}

fn overflow_reply(overflow: Overflow) -> Reply {
    match overflow {
        Overflow::TooBig => TOO_BIG,
        Overflow::NoRoom => Reply::NO_STORAGE,
        Overflow::NotStored => Reply::NOT_STORED,
        // What refused it has said so elsewhere.
        Overflow::Unwanted => Reply::LOCAL_ERROR,
    }
}
