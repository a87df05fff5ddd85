//! Faults on purpose: where they come into a conversation, and how they are done.

use std::io::{self, BufRead, ErrorKind};
use std::thread;
use std::time::{Duration, Instant};

use super::Channel;
use super::scripted::{End, Manner, Progress, Verdicts};
use crate::config::{FOREVER, HANDSHAKE_TIMEOUT};
use crate::envelope::{MessageId, Recipient};
use crate::faults::{Do, Event, Moment, Occasion, To};
use crate::io::stream::{Stream, linger};
use crate::io::tls::Tls;
use crate::syntax::command::{Command, Verb};
use crate::syntax::reply::Reply;

/// How long a thread that waits on purpose may take to notice a shutdown.
const TURN: Duration = Duration::from_millis(10);

/// The alert handshake_failure, fatal: RFC 8446 section 6.
const HANDSHAKE_FAILURE: [u8; 7] = [21, 3, 3, 0, 2, 2, 40];

impl<S: Stream> Channel<S> {
    /// A reply instead of the banner.
    pub(super) fn fault_at_connect(&mut self) -> io::Result<Option<Reply>> {
        self.fault_at(Event::Connect)
    }

    /// A reply instead of the command's own, which then has no effect.
    pub(super) fn fault_at_command<E>(
        &mut self,
        verb: Option<Verb>,
        parsed: &Result<Command<'_>, E>,
    ) -> io::Result<Option<Reply>> {
        let Some(scripted) = &mut self.scripted else { return Ok(None) };
        if verb == Some(Verb::Mail) {
            scripted.message = scripted.faults.count_message();
        }
        let event = verb.map_or(Event::Command, Event::Verb);
        if !scripted.faults.are_for(event) {
            return Ok(None);
        }
        let mut occasion = self.occasion(event);
        match parsed {
            Ok(Command::Mail(path, _)) => occasion.from = Some(path),
            Ok(Command::Rcpt(path, _)) => occasion.to = To::Named(path),
            _ => {}
        }
        let due = self.due(&occasion);
        self.fault(event, due)
    }

    /// A reply instead of delivery.
    pub(super) fn fault_at_content(&mut self) -> io::Result<Option<Reply>> {
        let Some(scripted) = &self.scripted else { return Ok(None) };
        let foreseen = scripted.faults.foresee(&self.occasion(Event::Accepted));
        if let Some(scripted) = &mut self.scripted {
            scripted.foreseen = foreseen;
        }
        self.fault_at(Event::Content)
    }

    /// A reply instead of the one to a message that was accepted.
    pub(super) fn fault_once_accepted(&mut self, id: MessageId) -> io::Result<Option<Reply>> {
        let Some(scripted) = &mut self.scripted else { return Ok(None) };
        let foreseen = scripted.foreseen.take();
        let Some(scripted) = &self.scripted else { return Ok(None) };
        let due = scripted.faults.at_foreseen(foreseen.as_ref(), &self.occasion(Event::Accepted));
        if due.is_empty() {
            return Ok(None);
        }
        self.flush()?;
        self.unconfirmed = Some(id);
        let reply = self.fault(Event::Accepted, due)?;
        self.unconfirmed = None;
        Ok(reply)
    }

    /// Content is about to come.
    pub(super) fn begin_progress(&mut self) {
        if let Some(scripted) = &mut self.scripted {
            scripted.progress = Progress::default();
        }
    }

    /// How many octets of content may be read before the script has its say.
    pub(super) fn content_allowed(&mut self) -> usize {
        let Some(scripted) = &mut self.scripted else { return usize::MAX };
        let octets = scripted.progress.octets;
        let mark = scripted.faults.next_content_mark(octets.saturating_add(1));
        let up_to_mark = mark.map_or(usize::MAX, |mark| usize::try_from(mark - octets).unwrap_or(usize::MAX));
        scripted.slice().min(up_to_mark)
    }

    /// Counts octets of content, which take their time if a bandwidth says so.
    pub(super) fn count_content(&mut self, octets: usize) {
        if let Some(scripted) = &mut self.scripted {
            scripted.progress.octets += octets as u64;
            self.carry(octets);
        }
    }

    /// A reply within content, once its octets are as many as a rule says.
    pub(super) fn fault_within_content(&mut self) -> io::Result<Option<Reply>> {
        let Some(scripted) = &mut self.scripted else { return Ok(None) };
        let Progress { octets, asked, is_answered } = &mut scripted.progress;
        let event = Event::ContentAfter(*octets);
        if *is_answered || asked.replace(*octets) == Some(*octets) || !scripted.faults.are_for(event) {
            return Ok(None);
        }
        self.fault_at(event)
    }

    /// The script has answered the message that is being read.
    pub(super) fn note_answered(&mut self) {
        if let Some(scripted) = &mut self.scripted {
            scripted.progress.is_answered = true;
        }
    }

    pub(super) fn is_answered(&self) -> bool {
        self.scripted.as_ref().is_some_and(|scripted| scripted.progress.is_answered)
    }

    /// Notes whom a message is for, while it can still be looked at, if the script may want to answer for one of them.
    pub(super) fn note_recipients(&mut self) {
        let Some(scripted) = &mut self.scripted else { return };
        scripted.verdicts = scripted.faults.are_for(Event::Verdict).then(|| Verdicts {
            from: self.context.mail_from().cloned(),
            recipients: self.context.recipients().iter().map(Recipient::path).cloned().collect(),
        });
    }

    pub(super) fn forget_recipients(&mut self) {
        if let Some(scripted) = &mut self.scripted {
            scripted.verdicts = None;
        }
    }

    /// Whether the script may want to answer for one of a message's recipients.
    pub(super) fn has_verdicts(&self) -> bool {
        self.scripted.as_ref().is_some_and(|scripted| scripted.verdicts.is_some())
    }

    /// A reply in the place of the one for a recipient.
    pub(super) fn fault_at_verdict(&mut self, recipient: usize) -> io::Result<Option<Reply>> {
        let Some(scripted) = &self.scripted else { return Ok(None) };
        let Some(Verdicts { from, recipients }) = &scripted.verdicts else { return Ok(None) };
        let Some(to) = recipients.get(recipient) else { return Ok(None) };
        let occasion = Occasion { from: from.as_ref(), to: To::Named(to), ..self.occasion(Event::Verdict) };
        let due = scripted.faults.at(&occasion);
        if due.is_empty() {
            return Ok(None);
        }
        let unconfirmed = self.unconfirmed;
        self.flush()?;
        self.unconfirmed = unconfirmed;
        Ok(self.fault(Event::Verdict, due)?.map(Reply::into_final))
    }

    /// What a handshake is done with, if it is another certificate.
    pub(super) fn fault_at_handshake(&mut self) -> io::Result<Option<Tls>> {
        if let Some(reply) = self.fault_at(Event::Handshake)? {
            // The client begins: what came before its turn it would take for more of the reply to STARTTLS.
            let deadline = Instant::now() + self.shared.config.command_timeout.min(HANDSHAKE_TIMEOUT);
            self.input.stream_mut().set_read_deadline(deadline);
            self.input.fill_buf()?;
            self.say(&reply)?;
            self.flush()?;
            return Err(self.end_as_scripted(End::Close));
        }
        // Nothing else of it is for a handshake.
        let manner = self.scripted.as_mut().and_then(|scripted| scripted.manner.take());
        Ok(manner.and_then(|manner| manner.certificate))
    }

    /// Says a reply as the script wants it; false if it wants nothing.
    pub(super) fn say_as_scripted(&mut self, reply: &Reply) -> io::Result<bool> {
        let Some(manner) = self.scripted.as_mut().and_then(|scripted| scripted.manner.take()) else {
            return Ok(false);
        };
        // Those before it are none of its business, and say nothing of the message whose reply this may be.
        let unconfirmed = self.unconfirmed;
        self.flush()?;
        self.unconfirmed = unconfirmed;
        let Manner { octets: other, without: hidden, drip, end, .. } = manner;
        let is_true = other.is_none();
        let octets = other.unwrap_or_else(|| rendered(&without(reply, &hidden)));
        let is_whole = !matches!(end, Some((Moment::Within, _)));
        let octets = if is_whole { &octets[..] } else { &octets[..octets.len() / 2] };
        self.record.server(octets);
        match drip {
            Some(pause) => self.drip(octets, pause)?,
            None => self.send(octets)?,
        }
        if is_true && is_whole {
            self.unconfirmed = None;
        }
        end.map_or(Ok(true), |(_, end)| Err(self.end_as_scripted(end)))
    }

    /// Sends replies in the time that a bandwidth gives them, if there is one.
    pub(super) fn is_slowed(&self) -> bool {
        self.scripted.as_ref().is_some_and(|scripted| scripted.bandwidth.is_some())
    }

    /// Sends the replies that wait no faster than the bandwidth allows.
    pub(super) fn flush_slowly(&mut self) -> io::Result<()> {
        let replies = std::mem::take(&mut self.replies);
        self.send(&replies)?;
        self.replies = replies;
        self.replies.clear();
        self.unconfirmed = None;
        Ok(())
    }

    /// What happens now, with what is known of the message by then.
    fn occasion(&self, event: Event) -> Occasion<'_> {
        Occasion {
            event,
            client: self.context.peer.ip(),
            from: self.context.mail_from(),
            to: To::Accepted(self.context.recipients()),
            message: self.scripted.as_ref().map_or(0, |scripted| scripted.message),
        }
    }

    /// Does what is due at an event, and gives the reply that replaces the true one.
    fn fault_at(&mut self, event: Event) -> io::Result<Option<Reply>> {
        let due = self.due(&self.occasion(event));
        self.fault(event, due)
    }

    fn due(&self, occasion: &Occasion<'_>) -> Vec<Do> {
        self.scripted.as_ref().map_or_else(Vec::new, |scripted| scripted.faults.at(occasion))
    }

    /// Does what is due, in its order, up to what takes the place of the true reply.
    fn fault(&mut self, event: Event, due: Vec<Do>) -> io::Result<Option<Reply>> {
        for what in due {
            log::info!("[{}] fault: {what}", self.context.connection);
            self.record.event(format_args!("fault: {what}"));
            let reply = self.act(event, what)?;
            if reply.is_some() {
                return Ok(reply);
            }
        }
        Ok(None)
    }

    /// Does one thing; gives the reply that takes the place of the true one, if it is such a thing.
    fn act(&mut self, event: Event, what: Do) -> io::Result<Option<Reply>> {
        let Some(scripted) = &mut self.scripted else { return Ok(None) };
        match what {
            Do::Reply(reply) => return Ok(Some(reply)),
            Do::Garbage(_) => {
                scripted.manner().set(what);
                return Ok(Some(Reply::ok()));
            }
            Do::FailHandshake if event == Event::Handshake => {
                scripted.manner().set(Do::Garbage(HANDSHAKE_FAILURE.to_vec()));
                return Ok(Some(Reply::ok()));
            }
            Do::Delay(time) => {
                self.flush()?;
                self.pause(Instant::now() + time.min(FOREVER));
            }
            Do::Bandwidth(rate) => scripted.slow_down(rate),
            Do::HangUp(moment) => self.end_at(event, moment, End::Close)?,
            Do::Reset(moment) => self.end_at(event, moment, End::Reset)?,
            Do::Stall => return Err(self.stall()),
            Do::Drip(_) | Do::Without(_) => scripted.manner().set(what),
            Do::Certificate(_) if event == Event::Handshake => scripted.manner().set(what),
            // Not for this event; or the script has made a reply of it.
            Do::FailHandshake | Do::Certificate(_) | Do::Greylist(_) | Do::Limit { .. } => {}
        }
        Ok(None)
    }

    /// Ends the connection now, or when the reply to come was sent up to where it is to end.
    fn end_at(&mut self, event: Event, moment: Moment, end: End) -> io::Result<()> {
        if moment == Moment::Before || event.is_without_reply() {
            return Err(self.end_as_scripted(end));
        }
        if let Some(scripted) = &mut self.scripted {
            scripted.manner().end = Some((moment, end));
        }
        Ok(())
    }

    /// Waits, but not longer than the server lives.
    fn pause(&self, until: Instant) {
        while !self.activity.is_closing() {
            match until.saturating_duration_since(Instant::now()) {
                Duration::ZERO => return,
                left => thread::sleep(left.min(TURN)),
            }
        }
    }

    /// Waits as long as a bandwidth wants it for octets that were carried.
    fn carry(&mut self, octets: usize) {
        if let Some(free_at) = self.scripted.as_mut().and_then(|scripted| scripted.carry(octets)) {
            self.pause(free_at);
        }
    }

    /// Says nothing more, and reads until the client goes or the server ends.
    fn stall(&mut self) -> io::Error {
        if let Err(e) = self.flush() {
            return e;
        }
        // No shutdown needs to wait for this, but it must find it where it reads.
        self.activity.end_message();
        self.input.stream_mut().set_read_deadline(Instant::now() + FOREVER);
        while !self.activity.is_closing() {
            match self.input.fill_buf() {
                Ok([]) | Err(_) => break,
                Ok(octets) => {
                    let dropped = octets.len();
                    self.input.consume(dropped);
                }
            }
        }
        ErrorKind::ConnectionAborted.into()
    }

    /// Ends the connection; the error is for whoever else would go on.
    fn end_as_scripted(&mut self, end: End) -> io::Error {
        let ended = self.flush().and_then(|()| {
            let hurry = self.activity.is_closing();
            match end {
                End::Close => linger(self.input.stream_mut(), hurry),
                End::Reset => self.input.stream_mut().reset_at_close()?,
            }
            Ok(())
        });
        ended.err().unwrap_or_else(|| io::Error::new(ErrorKind::ConnectionAborted, "a fault on purpose"))
    }

    /// Sends octet by octet, with a pause before each.
    fn drip(&mut self, octets: &[u8], pause: Duration) -> io::Result<()> {
        octets.chunks(1).try_for_each(|octet| {
            self.pause(Instant::now() + pause.min(FOREVER));
            self.send(octet)
        })
    }

    /// Sends as fast as a bandwidth allows.
    fn send(&mut self, octets: &[u8]) -> io::Result<()> {
        let mut rest = octets;
        while !rest.is_empty() {
            let slice = self.scripted.as_mut().map_or(usize::MAX, |scripted| scripted.slice());
            let (now, later) = rest.split_at(rest.len().min(slice));
            self.input.stream_mut().set_write_deadline(Instant::now() + self.shared.config.command_timeout);
            self.input.answer(now)?;
            self.carry(now.len());
            rest = later;
        }
        Ok(())
    }
}

fn rendered(reply: &Reply) -> Vec<u8> {
    let mut octets = Vec::new();
    reply.render(&mut octets);
    octets
}

/// The reply to EHLO without some of its keywords; any other as it is.
fn without(reply: &Reply, keywords: &[String]) -> Reply {
    let is_hidden = |line: &str| {
        let keyword = line.split(' ').next().unwrap_or_default();
        keywords.iter().any(|hidden| hidden.eq_ignore_ascii_case(keyword))
    };
    if keywords.is_empty() || reply.status().is_some() {
        return reply.clone();
    }
    let mut lines = reply.text().split('\n');
    let host = lines.next().into_iter();
    let text: Vec<&str> = host.chain(lines.filter(|line| !is_hidden(line))).collect();
    Reply::bare(reply.code(), text.join("\n").into())
}
