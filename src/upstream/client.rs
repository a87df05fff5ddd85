//! The client that the proxies relay with: RFC 5321, and RFC 2033 for LMTP.
//!
//! lettre's `SmtpConnection` was looked at first. It greets with EHLO only (no LMTP), reads replies without a bound,
//! has a time limit for each read but none in total, knows no Unix sockets, no pipelining and no BDAT: everything that
//! matters here would have to be added to it.

use std::fmt::{self, Display, Formatter};
use std::io::{self, BufRead, ErrorKind, Write};
use std::time::{Duration, Instant};

use crate::io::stream::{ConnectionStream, Stream};
use crate::io::wire::input::Input;
use crate::io::wire::line::{Line, LineReader};
use crate::io::wire::stuffing::Stuffing;
use crate::syntax::reply::parser::{BadReply, Parser};
use crate::syntax::reply::{Reply, Status};

use super::verdicts::Verdicts;

/// In octets. RFC 5321 section 4.5.3.1.5 allows 512; some servers pass it in a text.
const MAX_REPLY_LINE: usize = 4096;
/// Content goes out in pieces of this size.
const BLOCK: usize = 64 * 1024;
/// How long an upstream that has closed, or has answered for all recipients at once, is listened to for more.
const AFTERTHOUGHT: Duration = Duration::from_secs(3);

pub(crate) const AWAY: Reply = Reply::fixed(451, Status::new(4, 4, 1), "The next mail server does not answer");
const LOST: Reply = Reply::fixed(451, Status::new(4, 4, 2), "Connection to the next mail server lost");
const UNINTELLIGIBLE: Reply = Reply::fixed(451, Status::new(4, 5, 0), "The next mail server is not understood");
#[cfg(any(feature = "_tls", feature = "auth"))]
const INSECURE: Reply = Reply::fixed(451, Status::new(4, 7, 5), "No secure connection to the next mail server");

/// Why something was not done.
#[derive(Debug)]
pub(crate) enum ClientError {
    /// No address could be connected to, or the server did not establish a session.
    Connect(io::Error),
    /// The connection broke, or an answer did not come in time.
    Lost(io::Error),
    /// The server sent something that is not a reply, or a reply to nothing.
    Unintelligible,
    /// The server refused something other than a message: with its greeting, or EHLO, STARTTLS or AUTH.
    Unwelcome(Reply),
    /// The TLS or authentication that is required is not possible.
    #[cfg(any(feature = "_tls", feature = "auth"))]
    Insecure(String),
    /// The content could not be read here.
    Content(io::Error),
}

impl ClientError {
    /// Whether the server did not answer in time.
    pub fn is_silence(&self) -> bool {
        matches!(self, ClientError::Connect(e) | ClientError::Lost(e) if e.kind() == ErrorKind::TimedOut)
    }

    /// The reply for our own client: always to try again, since none of this is about its message.
    pub fn reply(&self) -> Reply {
        match self {
            ClientError::Connect(_) | ClientError::Unwelcome(_) => AWAY,
            ClientError::Lost(_) => LOST,
            ClientError::Unintelligible => UNINTELLIGIBLE,
            #[cfg(any(feature = "_tls", feature = "auth"))]
            ClientError::Insecure(_) => INSECURE,
            ClientError::Content(_) => Reply::LOCAL_ERROR,
        }
    }
}

impl Display for ClientError {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            ClientError::Connect(e) => write!(f, "cannot connect: {e}"),
            ClientError::Lost(e) => write!(f, "connection lost: {e}"),
            ClientError::Unintelligible => f.write_str("unintelligible reply"),
            ClientError::Unwelcome(reply) => write!(f, "not welcome: {reply}"),
            #[cfg(any(feature = "_tls", feature = "auth"))]
            ClientError::Insecure(why) => write!(f, "no secure session: {why}"),
            ClientError::Content(e) => write!(f, "cannot read the content: {e}"),
        }
    }
}

impl From<BadReply> for ClientError {
    fn from(_: BadReply) -> ClientError {
        ClientError::Unintelligible
    }
}

fn lost(e: io::Error) -> ClientError {
    ClientError::Lost(e)
}

/// What is kept of a reply that is only for the log, in octets.
pub(super) const LOGGED: usize = 512;

pub(super) fn unwelcome(reply: Reply) -> ClientError {
    ClientError::Unwelcome(reply.shortened(LOGGED))
}

/// How long to wait for a server.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// To get to a session.
    pub(super) connect: Duration,
    /// For the reply to a command.
    pub(super) command: Duration,
    /// Until it has taken a block of content, and all of it.
    pub(super) block: Duration,
    pub(super) content: Duration,
    /// For its reply to a message.
    pub(super) verdict: Duration,
}

/// A session with another server, past its greeting.
pub(crate) struct Client {
    pub(super) input: Input<ConnectionStream>,
    pub(super) line: LineReader,
    pub(super) is_lmtp: bool,
    // What the reply to EHLO or LHLO offered, a line each.
    pub(super) offers: String,
    // Whether TLS is in use, and whether the server's certificate was checked.
    pub(super) tls: Option<Verified>,
    pub(super) patience: Patience,
    // By when all replies have to be there that are waited for now, if that is limited.
    pub(super) latest: Option<Instant>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Verified(pub bool);

impl Client {
    /// The parameters of an EHLO keyword, if the server offers it.
    pub fn offer(&self, keyword: &str) -> Option<&str> {
        // The first line is the server's name.
        self.offers.lines().skip(1).find_map(|line| {
            let line = line.trim_ascii();
            let (word, rest) = line.split_once([' ', '=']).unwrap_or((line, ""));
            word.eq_ignore_ascii_case(keyword).then_some(rest)
        })
    }

    pub fn offers(&self, keyword: &str) -> bool {
        self.offer(keyword).is_some()
    }

    /// Whether nobody else can read the session, or pose as the server.
    pub fn is_verified(&self) -> bool {
        self.tls == Some(Verified(true))
    }

    /// Whether the server has neither closed nor said anything since its last reply.
    pub fn is_idle(&mut self) -> bool {
        self.input.buffered().is_empty() && self.input.stream_mut().transport().is_quiet()
    }

    /// Sends a command and reads its reply.
    pub fn command(&mut self, line: &str) -> Result<Reply, ClientError> {
        self.commands(&[line]).map(|mut replies| replies.remove(0))
    }

    /// Sends commands, all at once if the server offers PIPELINING (RFC 2920), and reads a reply for each. None of them
    /// may be one that changes the meaning of those behind it.
    pub fn commands(&mut self, lines: &[impl AsRef<str>]) -> Result<Vec<Reply>, ClientError> {
        // Neither side may come to wait for the other to read.
        let group = if self.offers("PIPELINING") { 32 } else { 1 };
        let mut replies = Vec::with_capacity(lines.len());
        for lines in lines.chunks(group) {
            let mut text = String::new();
            for line in lines {
                log::trace!("upstream C: {}", crate::syntax::escaped::Escaped::new(line.as_ref()));
                text += line.as_ref();
                text += "\r\n";
            }
            self.send(text.as_bytes())?;
            for _ in lines {
                replies.push(self.read_reply(self.patience.command)?);
            }
        }
        Ok(replies)
    }

    /// DATA with the content, headers of our own before it. One reply, or in LMTP one for each of `recipients` that the
    /// server had accepted.
    ///
    /// An `Err` means that the server has not said what became of the message, and that the connection is of no more use.
    pub fn data(&mut self, head: &[u8], content: impl BufRead, recipients: usize) -> Result<Vec<Reply>, ClientError> {
        let go_ahead = self.command("DATA")?;
        match go_ahead.code() {
            354 => {}
            _ if go_ahead.is_transient() || go_ahead.is_permanent() => return Ok(vec![go_ahead.shared(); recipients]),
            _ => return Err(ClientError::Unintelligible),
        }
        let deadline = Instant::now() + self.patience.content;
        let last = match self.send_content(head, content, deadline) {
            Ok(last) => last,
            Err(ClientError::Lost(e)) => return self.read_early_refusal(e, recipients),
            Err(e) => return Err(e),
        };
        // A reply to content that has not ended refuses it, or is none.
        if !self.is_idle() {
            return self.read_early_refusal(ErrorKind::InvalidData.into(), recipients);
        }
        match self.write_block(&last, deadline) {
            Err(ClientError::Lost(e)) => self.read_early_refusal(e, recipients),
            Err(e) => Err(e),
            Ok(()) => self.read_verdicts(recipients),
        }
    }

    /// All but the end of the content.
    fn send_content(
        &mut self,
        head: &[u8],
        mut content: impl BufRead,
        deadline: Instant,
    ) -> Result<Vec<u8>, ClientError> {
        let mut stuffing = Stuffing::new();
        let mut block = Vec::with_capacity(BLOCK + BLOCK / 8);
        stuffing.feed(head, &mut block);
        loop {
            let octets = content.fill_buf().map_err(ClientError::Content)?;
            if octets.is_empty() {
                stuffing.finish(&mut block);
                return Ok(block);
            }
            let taken = octets.len().min(BLOCK);
            stuffing.feed(&octets[..taken], &mut block);
            content.consume(taken);
            if block.len() >= BLOCK {
                self.write_block(&block, deadline)?;
                block.clear();
            }
        }
    }

    /// BDAT with all of the content in one chunk (RFC 3030), for content that is no lines. Else as
    /// [`data`](Client::data).
    pub fn bdat(
        &mut self,
        head: &[u8],
        mut content: impl BufRead,
        length: u64,
        recipients: usize,
    ) -> Result<Vec<Reply>, ClientError> {
        let deadline = Instant::now() + self.patience.content;
        let command = format!("BDAT {} LAST\r\n", head.len() as u64 + length);
        self.send(&[command.as_bytes(), head].concat())?;
        loop {
            let octets = content.fill_buf().map_err(ClientError::Content)?;
            if octets.is_empty() {
                return self.read_verdicts(recipients);
            }
            let taken = octets.len().min(BLOCK);
            match self.write_block(&octets[..taken], deadline) {
                Ok(()) => content.consume(taken),
                Err(ClientError::Lost(e)) => return self.read_early_refusal(e, recipients),
                Err(e) => return Err(e),
            }
        }
    }

    /// What became of the message: RFC 5321 section 4.5.3.2.6 has a client wait ten minutes for it.
    fn read_verdicts(&mut self, recipients: usize) -> Result<Vec<Reply>, ClientError> {
        // However many there are, and however short each is waited for.
        self.latest = Some(Instant::now() + self.patience.content.max(self.patience.verdict));
        let replies = self.read_each_verdict(recipients);
        self.latest = None;
        replies
    }

    fn read_each_verdict(&mut self, recipients: usize) -> Result<Vec<Reply>, ClientError> {
        let first = self.read_reply(self.patience.verdict)?;
        if first.code() / 100 == 3 {
            return Err(ClientError::Unintelligible);
        }
        if !self.is_lmtp {
            return Ok(vec![first.shared(); recipients]);
        }
        let is_refused = !first.is_positive();
        let mut verdicts = Verdicts::new();
        verdicts.push(first);
        if recipients > 1 && is_refused {
            return Ok(self.read_refused(verdicts, recipients));
        }
        while verdicts.len() < recipients {
            match self.read_reply(self.patience.verdict) {
                Ok(reply) => verdicts.push(reply),
                Err(e) => return Ok(self.go_without(verdicts, recipients, LOST, &e)),
            }
        }
        Ok(verdicts.into_replies())
    }

    /// The replies behind a first that refuses. Some servers refuse a message as a whole, once for all its recipients
    /// (Mailman: "501 Message has defects", "552 Error: Too much mail data"), and then wait for the next command. That
    /// it is QUIT shows it: 221 is nobody's verdict.
    fn read_refused(&mut self, mut verdicts: Verdicts, recipients: usize) -> Vec<Reply> {
        // A server that does not understand the message may not understand this either.
        let is_lost = verdicts.only().is_some_and(|first| first.code() / 10 == 50);
        let patience = if is_lost { AFTERTHOUGHT.min(self.patience.verdict) } else { self.patience.verdict };
        let mut next = self.write(b"QUIT\r\n", Instant::now() + AFTERTHOUGHT).and_then(|()| self.read_reply(patience));
        while verdicts.len() < recipients {
            match next {
                Ok(reply) if reply.code() != 221 => verdicts.push(reply),
                _ => {
                    let missing = verdicts.only().cloned().unwrap_or(LOST);
                    return self.go_without(verdicts, recipients, missing, &"it has no more to say");
                }
            }
            next = self.read_reply(self.patience.verdict);
        }
        verdicts.into_replies()
    }

    /// Stops waiting for the rest.
    fn go_without(&mut self, got: Verdicts, recipients: usize, missing: Reply, why: &dyn Display) -> Vec<Reply> {
        log::warn!("upstream answered for {} of {recipients} recipients: {why}", got.len());
        self.break_off();
        got.filled(recipients, missing)
    }

    /// The connection broke, or stood still, while content was sent. A server that refuses it may have said so before;
    /// that it accepts what has not ended is not to be believed.
    fn read_early_refusal(&mut self, broken: io::Error, recipients: usize) -> Result<Vec<Reply>, ClientError> {
        // One that had all the time there was, and said nothing, is not waited for again.
        let reply = match broken.kind() == ErrorKind::TimedOut && self.is_idle() {
            true => None,
            false => self.read_reply(AFTERTHOUGHT.min(self.patience.verdict)).ok(),
        };
        self.break_off();
        match reply {
            Some(reply) if reply.is_transient() || reply.is_permanent() => Ok(vec![reply.shared(); recipients]),
            _ => Err(ClientError::Lost(broken)),
        }
    }

    /// Ends the connection for good: what is still to come on it belongs to a message that is over.
    fn break_off(&mut self) {
        // That it is closed already is as good.
        let _ = self.input.stream_mut().transport().close(std::net::Shutdown::Both);
    }

    /// Sends QUIT, and does not wait for the reply, which would change nothing.
    pub fn quit(mut self) {
        let _ = self.write(b"QUIT\r\n", Instant::now() + AFTERTHOUGHT);
    }

    pub(super) fn send(&mut self, text: &[u8]) -> Result<(), ClientError> {
        // What nobody asked for would be taken for the reply to this, and this one's for the next's: acceptance that is
        // meant for something else.
        if !self.input.buffered().is_empty() {
            return Err(ClientError::Unintelligible);
        }
        let deadline = self.deadline(self.patience.command);
        self.write(text, deadline)
    }

    fn deadline(&self, patience: Duration) -> Instant {
        let deadline = Instant::now() + patience;
        self.latest.map_or(deadline, |latest| deadline.min(latest))
    }

    /// Writes a part of the content, all of which has to be written by `latest`.
    fn write_block(&mut self, octets: &[u8], latest: Instant) -> Result<(), ClientError> {
        self.write(octets, latest.min(Instant::now() + self.patience.block))
    }

    fn write(&mut self, octets: &[u8], deadline: Instant) -> Result<(), ClientError> {
        let stream = self.input.stream_mut();
        stream.set_write_deadline(deadline);
        stream.write_all(octets).and_then(|()| stream.flush()).map_err(lost)
    }

    /// Reads a reply to its last line; all of it must come within the time.
    pub(super) fn read_reply(&mut self, patience: Duration) -> Result<Reply, ClientError> {
        let deadline = self.deadline(patience);
        self.input.stream_mut().set_read_deadline(deadline);
        let mut parser = Parser::default();
        loop {
            self.line.clear();
            loop {
                let octets = self.input.fill_buf().map_err(lost)?;
                if octets.is_empty() {
                    return Err(lost(ErrorKind::UnexpectedEof.into()));
                }
                let (taken, state) = self.line.feed(octets, MAX_REPLY_LINE);
                self.input.consume(taken);
                match state {
                    Line::Complete => break,
                    Line::Partial => {}
                    Line::TooLong | Line::Flood => return Err(ClientError::Unintelligible),
                }
            }
            if let Some(reply) = parser.line(self.line.line())? {
                log::trace!("upstream S: {reply}");
                return Ok(reply);
            }
        }
    }
}
