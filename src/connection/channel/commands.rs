//! What each command line does, and how it is answered.

use std::io;
use std::mem;

use super::{Channel, Flow, LINE_TOO_LONG, NOT_OFFERED};
use crate::config::MAX_COMMAND_LINE;
use crate::envelope::transcript::without_secret;
use crate::envelope::values::Values;
use crate::io::stream::Stream;
use crate::session::Session;
use crate::syntax::address::{ForwardPath, ReversePath};
use crate::syntax::command::{self, Command, Verb};
use crate::syntax::escaped::Escaped;
use crate::syntax::reply::{Reply, Status};

const NOT_HTTP: Reply = Reply::fixed(421, Status::new(4, 7, 0), "This is not an HTTP server");
const CHUNKS_BEGUN: Reply = Reply::fixed(503, Status::new(5, 5, 1), "Content has begun already");
const GOODBYE: Reply = Reply::fixed(221, Status::new(2, 0, 0), "Bye");
const CANNOT_VERIFY: Reply = Reply::fixed(252, Status::new(2, 5, 2), "Cannot verify, but mail for it is taken");
const WRONG_GREETING: Reply = Reply::fixed(500, Status::new(5, 5, 1), "This is LMTP: send LHLO");
const TLS_REQUIRED: Reply = Reply::fixed(530, Status::new(5, 7, 0), "Must issue a STARTTLS command first");
const AUTH_REQUIRED: Reply = Reply::fixed(530, Status::new(5, 7, 0), "Authentication required");

impl<S: Stream> Channel<S> {
    pub(super) fn command(&mut self, octets: &[u8]) -> io::Result<Flow> {
        let line = command::Line::new(octets);
        self.is_junk = false;
        self.begin_answer();
        self.context.verb = line.verb;
        self.record_line(octets, line);
        if octets.len() + 2 > MAX_COMMAND_LINE
            && octets.len() + 2 > self.shared.config.max_command_line()
            && line.verb != Some(Verb::Auth)
        {
            return self.too_long(line);
        }
        if line.is_http() {
            return self.answer(NOT_HTTP);
        }
        let parsed = Command::parse(line, self.shared.config.strict_syntax);
        if let Some(reply) = self.answer_of_program(line, &parsed)? {
            return self.refuse(line, parsed.as_ref().ok(), reply);
        }
        match parsed {
            Err(reply) => self.refuse(line, None, reply),
            Ok(command) => match self.missing_security(&command) {
                Some(reply) => self.refuse(line, Some(&command), reply),
                None => self.execute(command),
            },
        }
    }

    /// Puts a line into the log and the transcript, without a secret that it may hold.
    #[inline(never)]
    fn record_line(&mut self, octets: &[u8], line: command::Line<'_>) {
        let id = self.context.connection;
        let is_auth = line.verb == Some(Verb::Auth);
        // A client that was told something else than it takes its answer for goes on with its secret.
        let is_secret = mem::take(&mut self.is_behind_auth) && line.verb.is_none();
        self.is_behind_auth = is_auth || is_secret;
        if is_auth {
            let shown = without_secret(line.argument, self.shared.own_mechanisms());
            log::trace!("[{id}] C: {shown}");
            self.record.client(shown.as_bytes());
        } else if is_secret {
            log::trace!("[{id}] C: ...");
            self.record.client(b"...");
        } else {
            log::trace!("[{id}] C: {}", Escaped::new(octets));
            self.record.client(octets);
        }
    }

    /// The reply of a fault or of the session's hook, if one answers the line itself.
    #[inline(never)]
    fn answer_of_program(
        &mut self,
        line: command::Line<'_>,
        parsed: &Result<Command<'_>, Reply>,
    ) -> io::Result<Option<Reply>> {
        // What the hooks of an earlier command said without effect.
        *self.context.granted.get_mut() = None;
        let reply = match self.fault_at_command(line.verb, parsed)? {
            None => self.session.command(&self.context, line.word, line.argument),
            reply => reply,
        };
        if reply.as_ref().is_none_or(Reply::is_positive) {
            self.take_identity();
        }
        // A 3xx would promise what does not happen.
        Ok(reply.map(|reply| if reply.code() / 100 == 3 { reply.into_refusal() } else { reply }))
    }

    /// The refusal of a command that has to wait for TLS or authentication.
    fn missing_security(&self, command: &Command<'_>) -> Option<Reply> {
        let config = &self.shared.config;
        if config.require_tls && self.context.tls.is_none() && !is_allowed_in_clear(command) {
            Some(TLS_REQUIRED)
        } else if config.require_auth && self.context.identity.is_none() && needs_auth(command) {
            Some(AUTH_REQUIRED)
        } else {
            None
        }
    }

    #[inline(never)]
    fn execute(&mut self, command: Command<'_>) -> io::Result<Flow> {
        self.is_junk = is_junk(&command);
        self.junk += usize::from(self.is_junk);
        let is_lmtp = self.shared.config.lmtp;
        let done = match command {
            Command::Lhlo(name) if is_lmtp => return self.greet(name, true),
            Command::Helo(name) if !is_lmtp => return self.greet(name, false),
            Command::Ehlo(name) if !is_lmtp => return self.greet(name, true),
            Command::Lhlo(_) => Err(NOT_OFFERED),
            Command::Helo(_) | Command::Ehlo(_) => Err(WRONG_GREETING),
            Command::StartTls => return self.start_tls(),
            #[cfg(feature = "auth")]
            Command::Auth(argument) => return self.auth(argument),
            #[cfg(not(feature = "auth"))]
            Command::Auth(_) => Err(NOT_OFFERED),
            Command::Xclient(argument) => return self.xclient(argument),
            Command::Xforward(argument) => self.xforward(argument),
            Command::Mail(path, parameters) => self.mail(path, parameters),
            Command::Rcpt(path, parameters) => self.rcpt(path, parameters),
            Command::Data => return self.data(),
            Command::Bdat(octets, last) => return self.bdat(octets, last),
            Command::Rset => Ok(self.rset()),
            Command::Noop => Ok(Reply::ok()),
            Command::Vrfy(argument) => Ok(self.session.vrfy(&self.context, argument).unwrap_or(CANNOT_VERIFY)),
            Command::Expn(argument) => Ok(self.session.expn(&self.context, argument).unwrap_or(NOT_OFFERED)),
            Command::Help(argument) => Ok(self.help(argument)),
            Command::Quit => {
                self.say(&GOODBYE)?;
                return Ok(Flow::Quit);
            }
        };
        self.answer(done.unwrap_or_else(Reply::into_refusal))
    }

    /// Answers a line that has no other effect; the content that may follow it is not to be taken for commands.
    #[inline(never)]
    fn refuse(&mut self, line: command::Line<'_>, command: Option<&Command<'_>>, reply: Reply) -> io::Result<Flow> {
        match command {
            Some(Command::Bdat(octets, _)) => self.drop_chunk(*octets, reply),
            _ if line.announces_chunk() => self.refuse_and_close(reply),
            _ if line.announces_content() => self.refuse_data(reply),
            _ => self.answer(reply),
        }
    }

    /// Refuses a line that is too long, of which `line` is the start and the end, or all.
    #[inline(never)]
    pub(super) fn too_long(&mut self, line: command::Line<'_>) -> io::Result<Flow> {
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
    pub(super) fn reset(&mut self) {
        self.context.values = Values::default();
        self.context.state.reset();
        self.forget_chunks();
    }

    #[inline(never)]
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

    #[inline(never)]
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

    #[inline(never)]
    fn help(&mut self, argument: &[u8]) -> Reply {
        let reply = self.session.help(&self.context, argument);
        reply.unwrap_or_else(|| command::help(argument, |verb| self.is_offered(verb)))
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
        // XFORWARD comes before every message of those who say it.
        _ => !matches!(
            command,
            Command::Mail(..) | Command::Rcpt(..) | Command::Data | Command::Quit | Command::Xforward(_)
        ),
    }
}
