//! Faults on purpose: where they come into a conversation, and how they are done.

use std::io::{self, BufRead, ErrorKind};
use std::thread;
use std::time::{Duration, Instant};

use super::Channel;
use super::scripted::End;
use crate::config::{FOREVER, HANDSHAKE_TIMEOUT};
use crate::envelope::MessageId;
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
        let is_true = manner.octets.is_none();
        let octets = manner.octets.unwrap_or_else(|| {
            let mut octets = Vec::new();
            without(reply, &manner.without).render(&mut octets);
            octets
        });
        let is_whole = !matches!(manner.end, Some((Moment::Within, _)));
        let octets = if is_whole { &octets[..] } else { &octets[..octets.len() / 2] };
        self.record.server(octets);
        match manner.drip {
            Some(pause) => octets.chunks(1).try_for_each(|octet| {
                self.pause(pause);
                self.send(octet)
            })?,
            None => self.send(octets)?,
        }
        if is_true && is_whole {
            self.unconfirmed = None;
        }
        match manner.end {
            Some((_, end)) => Err(self.end_as_scripted(end)),
            None => Ok(true),
        }
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

    fn fault(&mut self, event: Event, due: Vec<Do>) -> io::Result<Option<Reply>> {
        for what in due {
            log::info!("[{}] fault: {what}", self.context.connection);
            self.record.event(format_args!("fault: {what}"));
            let at_handshake = event == Event::Handshake;
            let Some(scripted) = &mut self.scripted else { return Ok(None) };
            match what {
                Do::Reply(reply) => return Ok(Some(reply)),
                Do::Garbage(octets) => {
                    scripted.manner().octets = Some(octets);
                    return Ok(Some(Reply::ok()));
                }
                Do::Delay(time) => {
                    self.flush()?;
                    self.pause(time);
                }
                Do::Drip(pause) => scripted.manner().drip = Some(pause),
                Do::HangUp(moment) if at_handshake || moment == Moment::Before => {
                    return Err(self.end_as_scripted(End::Close));
                }
                Do::HangUp(moment) => scripted.manner().end = Some((moment, End::Close)),
                Do::Reset(moment) if at_handshake || moment == Moment::Before => {
                    return Err(self.end_as_scripted(End::Reset));
                }
                Do::Reset(moment) => scripted.manner().end = Some((moment, End::Reset)),
                Do::Stall => return Err(self.stall()),
                Do::Without(keywords) => scripted.manner().without.extend(keywords),
                Do::FailHandshake if at_handshake => {
                    scripted.manner().octets = Some(HANDSHAKE_FAILURE.to_vec());
                    return Ok(Some(Reply::ok()));
                }
                Do::Certificate(tls) if at_handshake => scripted.manner().certificate = Some(tls),
                // Not for this event; or the script has made a reply of it.
                Do::FailHandshake | Do::Certificate(_) | Do::Greylist(_) | Do::Limit { .. } => {}
            }
        }
        Ok(None)
    }

    /// Waits, but not longer than the server lives.
    fn pause(&self, time: Duration) {
        let deadline = Instant::now() + time.min(FOREVER);
        while !self.activity.is_closing() {
            match deadline.saturating_duration_since(Instant::now()) {
                Duration::ZERO => return,
                left => thread::sleep(left.min(TURN)),
            }
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

    fn send(&mut self, octets: &[u8]) -> io::Result<()> {
        let deadline = Instant::now() + self.shared.config.command_timeout;
        let stream = self.input.stream_mut();
        stream.set_write_deadline(deadline);
        stream.write_all(octets)
    }
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
