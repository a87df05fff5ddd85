//! A handler that runs a program for each message.

use std::ffi::{OsStr, OsString};
use std::fmt::{self, Debug, Formatter};
use std::io::{self, ErrorKind};
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::config::{Config, FOREVER};
use crate::delivery::handler::Handler;
use crate::delivery::{Delivery, Response};
use crate::envelope::{Envelope, Recipient};
use crate::server::pool::Pool;
use crate::syntax::parameter::Body;
use crate::syntax::reply::{Reply, Status};

mod environment;
mod input;
mod output;
mod permits;
mod program;
mod run;

use environment::{fitting, inherited, variables};
use input::Input;
use permits::{Permit, Permits};
use program::Program;
use run::{Ending, Reason, Terms, run};

/// The exit status EX_TEMPFAIL of sysexits.h.
const TEMPORARY_FAILURE: i32 = 75;
/// There are no more threads than programs, whose number has a limit of its own.
const MAX_THREADS: usize = 10_000;

const LATER: Reply = Reply::fixed(451, Status::new(4, 3, 0), "Try again later");
const REFUSED: Reply = Reply::fixed(554, Status::new(5, 0, 0), "Message refused");
const TOO_LATE: Reply = Reply::fixed(451, Status::new(4, 3, 0), "Processing took too long, try again later");
const FAILED: Reply = Reply::fixed(451, Status::new(4, 3, 0), "Local error in processing");

/// Runs a program for each message, in any language, and accepts the message if its exit status is 0.
///
/// ```no_run
/// use pillarbox::{Server, handlers::Pipe};
///
/// let program = Pipe::new("./accept.py").arg("--verbose");
/// program.check()?;
/// let server = Server::builder().serve("localhost:8025", program)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// No shell has a part in it. A path is taken from the folder in which the server was started; a name without a slash is
/// looked for in `PATH`.
///
/// # What the program gets
///
/// The message is on its stdin, with CRLF line ends (see [`lf`](Pipe::lf)). It sees the end of its stdin only when it has the
/// whole message, unless the server is killed; a program that must be sure compares with `PILLARBOX_SIZE`. It may leave the
/// message unread.
///
/// The envelope is in its environment. Each of these variables is there, and empty if there is nothing to say:
///
/// | variable | has |
/// |---|---|
/// | `PILLARBOX_SENDER` | the reverse-path without angle brackets; empty for the null reverse-path |
/// | `PILLARBOX_RECIPIENTS` | the recipients that were accepted, each on a line, without angle brackets |
/// | `PILLARBOX_SENDER_OPTIONS` | the parameters of MAIL with blanks between: `BODY=8BITMIME SMTPUTF8` |
/// | `PILLARBOX_RECIPIENT_OPTIONS` | the parameters of each RCPT, in as many lines as there are recipients |
/// | `PILLARBOX_PEER`, `PILLARBOX_PEER_ADDRESS` | the client's end of the connection, `192.0.2.1:40212`, and its IP address |
/// | `PILLARBOX_LOCAL` | the server's end |
/// | `PILLARBOX_HELO` | the name that the client gave in HELO, EHLO or LHLO |
/// | `PILLARBOX_PROTOCOL` | `SMTP`, `ESMTPSA`, `LMTP`: see [`Protocol`](crate::Protocol) |
/// | `PILLARBOX_IDENTITY` | the user, if the client has authenticated |
/// | `PILLARBOX_TLS` | the version of TLS, or `TLS` if the library does not tell; empty without TLS |
/// | `PILLARBOX_TLS_CIPHER`, `PILLARBOX_TLS_SERVER_NAME` | the cipher suite, and the name that the client asked for, if the library tells |
/// | `PILLARBOX_ID` | the message's id, as in the log and in the client's 250 |
/// | `PILLARBOX_SIZE` | the message's octets, with CRLF line ends |
/// | `PILLARBOX_HOSTNAME` | the server's name |
///
/// No value has a control character, and a client chooses most of them: quote them in a shell. A recipient or sender may begin
/// with a hyphen, so put `--` before one that becomes an argument.
///
/// Of the server's own environment it gets `PATH`, `HOME`, `USER`, `LOGNAME`, `TMPDIR`, `LANG`, `LC_ALL`, `LC_CTYPE` and `TZ`;
/// [`env`](Pipe::env) adds others. The working folder (see [`current_dir`](Pipe::current_dir)), the umask, the user, the
/// priority and the limits are the server's. No signal is blocked. Of the files and sockets of the library it has none.
///
/// # What the client is told
///
/// | the program | the client reads |
/// |---|---|
/// | exits with 0 | `250` |
/// | exits with 75 (`EX_TEMPFAIL`) | `451`: it tries again later |
/// | exits with another status | `554`: it gives up |
/// | is killed, takes too long, or cannot be started | `451` |
///
/// If the last line on stdout that is not blank is a reply such as `550 5.7.1 no spam, please`, the client reads that
/// instead. A refusal (4xx, 5xx) counts whatever the exit status. An acceptance (`250`) counts only with exit status 0: nothing
/// makes a message accepted but that. Other replies are ignored.
///
/// Interpreters exit with 1 if a script has a fault, so the client would give up: catch what may pass, and exit with 75.
///
/// What is on stderr is logged as warnings: up to 100 lines, with control characters made visible.
///
/// # Time and number
///
/// A program gets SIGTERM when its [`timeout`](Pipe::timeout) is over, when its client was told to try again because
/// [`handler_timeout`](crate::Builder::handler_timeout) was over, or when a shutdown has cut the connection. Two seconds later,
/// or 0.2 s if nobody waits for it any longer, it gets SIGKILL. All this goes to the program's process group, so it reaches what the program has
/// started. What still runs when the program exits is killed as well; only a process that has left the group, as a daemon does
/// with setsid(2), goes on, and nobody waits for it. Dropping the last clone of a `Pipe` ends all of its programs.
///
/// A service manager must leave the programs to the server at a stop: `KillMode=mixed` with systemd. In a container, something
/// has to reap what a program leaves behind: `docker run --init`.
///
/// At most [`processes`](Pipe::processes) run at once. Further messages wait, in the order in which they came, and their
/// clients with them; those whose client no longer waits are not given to the program.
///
/// # Several recipients
///
/// The program runs once for all recipients of a message, and its answer is for all. Only if their list is longer than
/// 98,304 octets, as a thousand long addresses make it, it runs several times, each time with some of them. With
/// [`each_recipient`](Pipe::each_recipient) it runs for each.
#[derive(Clone)]
pub struct Pipe {
    runner: Runner,
    threads: Arc<Pool<Job>>,
    // The last one ends the programs.
    _owner: Arc<Owner>,
}

/// What a thread needs to run a program.
#[derive(Clone)]
struct Runner {
    settings: Arc<Settings>,
    permits: Arc<Permits>,
}

#[derive(Clone)]
struct Settings {
    program: Program,
    variables: Vec<(OsString, OsString)>,
    folder: Option<PathBuf>,
    timeout: Duration,
    processes: usize,
    lf: bool,
    each_recipient: bool,
}

/// A message for which a program runs on a thread of its own.
struct Job {
    runner: Runner,
    delivery: Delivery,
    _permit: Permit,
}

struct Owner(Arc<Permits>);

impl Drop for Owner {
    fn drop(&mut self) {
        self.0.stop();
    }
}

impl Pipe {
    /// Runs this program: a path, or a name that is in `PATH`.
    pub fn new(program: impl AsRef<OsStr>) -> Pipe {
        let settings = Settings {
            program: Program::new(program.as_ref()),
            variables: Vec::new(),
            folder: None,
            timeout: Duration::from_secs(60),
            processes: 16,
            lf: false,
            each_recipient: false,
        };
        let permits = Arc::<Permits>::default();
        let work = |Job { runner, delivery, _permit }: Job| runner.answer(delivery);
        Pipe {
            runner: Runner { settings: Arc::new(settings), permits: permits.clone() },
            threads: Arc::new(Pool::new(MAX_THREADS, Config::default().worker_stack, work)),
            _owner: Arc::new(Owner(permits)),
        }
    }

    fn set(mut self, set: impl FnOnce(&mut Settings)) -> Pipe {
        set(Arc::make_mut(&mut self.runner.settings));
        self
    }

    /// Adds an argument.
    pub fn arg(self, argument: impl Into<OsString>) -> Pipe {
        self.set(|settings| settings.program.arguments.push(argument.into()))
    }

    /// Adds arguments.
    pub fn args<A: Into<OsString>>(self, arguments: impl IntoIterator<Item = A>) -> Pipe {
        self.set(|settings| settings.program.arguments.extend(arguments.into_iter().map(Into::into)))
    }

    /// Sets a variable in the program's environment. Those that begin with `PILLARBOX_` are the message's.
    pub fn env(self, name: impl Into<OsString>, value: impl Into<OsString>) -> Pipe {
        self.set(|settings| settings.variables.push((name.into(), value.into())))
    }

    /// The program's working folder. Default: the server's.
    pub fn current_dir(self, folder: impl Into<PathBuf>) -> Pipe {
        self.set(|settings| settings.folder = Some(folder.into()))
    }

    /// Whether the message's lines end with LF on stdin instead of CRLF. A message sent as BINARYMIME stays as it is, since it
    /// has no lines. Default: false.
    pub fn lf(self, lf: bool) -> Pipe {
        self.set(|settings| settings.lf = lf)
    }

    /// How long a run may take. It should be shorter than [`handler_timeout`](crate::Builder::handler_timeout). Default: 60 s.
    pub fn timeout(self, timeout: Duration) -> Pipe {
        self.set(|settings| settings.timeout = timeout.min(FOREVER))
    }

    /// How many messages have a program running at once, at least 1. Clones count together. Default: 16.
    pub fn processes(self, processes: usize) -> Pipe {
        self.set(|settings| settings.processes = processes.max(1))
    }

    /// Whether the program runs for each recipient, one after the other, and answers for that one. In LMTP each recipient gets
    /// its own reply; SMTP has one for all, as [`Response::Each`] says. Default: false.
    pub fn each_recipient(self, each_recipient: bool) -> Pipe {
        self.set(|settings| settings.each_recipient = each_recipient)
    }

    /// Whether the program can be run, as far as that can be known before: call it at the start, when the process has the user
    /// under which it will run.
    ///
    /// # Errors
    /// It is missing, no file, or not executable; it is a script that does not begin with `#!`, or the interpreter that it
    /// names is missing; or its working folder is missing. Otherwise each message would be answered with `451`.
    pub fn check(&self) -> io::Result<()> {
        match &self.runner.settings.folder {
            Some(folder) if !folder.is_dir() => {
                Err(io::Error::new(ErrorKind::NotADirectory, "its working folder is not there"))
            }
            _ => self.runner.settings.program.check(),
        }
    }

    /// Ends the programs that run, as dropping the last clone does, and starts no more. Returns when they have ended.
    pub fn stop(&self) {
        self.runner.permits.stop();
    }
}

impl Handler for Pipe {
    fn process_message(&mut self, mail: Envelope) -> Response {
        match self.runner.permits.acquire(self.runner.settings.processes, &|| true) {
            Some(_permit) => self.runner.deliver(&mail, &|| true),
            None => FAILED.into(),
        }
    }

    fn process_delivery(&mut self, delivery: Delivery) {
        let runner = self.runner.clone();
        match runner.permits.acquire(runner.settings.processes, &|| delivery.is_awaited()) {
            Some(_permit) => {
                if let Err((job, _)) = self.threads.submit(Job { runner, delivery, _permit }) {
                    job.runner.answer(job.delivery);
                }
            }
            // If anybody hears it, the programs were stopped.
            None => delivery.respond(FAILED),
        }
    }
}

impl Debug for Pipe {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let program = &self.runner.settings.program;
        f.debug_struct("Pipe")
            .field("program", &program.path)
            .field("arguments", &program.arguments)
            .finish_non_exhaustive()
    }
}

impl Runner {
    fn answer(&self, delivery: Delivery) {
        let response = self.deliver(delivery.envelope(), &|| delivery.is_awaited());
        delivery.respond(response);
    }

    /// Runs the program as often as it takes for all recipients.
    fn deliver(&self, mail: &Envelope, is_wanted: &dyn Fn() -> bool) -> Response {
        let mut rest = mail.recipients();
        let mut replies = Vec::with_capacity(rest.len());
        while !rest.is_empty() {
            let mut count = if self.settings.each_recipient { 1 } else { fitting(rest) };
            let reply = loop {
                match self.run(mail, &rest[..count], is_wanted) {
                    // The room for arguments depends on the limit of the stack.
                    Err(e) if e.kind() == ErrorKind::ArgumentListTooLong && count > 1 => count = count.div_ceil(2),
                    Err(e) => {
                        log::error!("{}: cannot run {}: {e}", mail.id(), self.settings.program.name);
                        break FAILED;
                    }
                    Ok(reply) => break reply,
                }
            };
            let (_, others) = rest.split_at(count);
            rest = others;
            if rest.is_empty() && replies.is_empty() {
                return reply.into();
            }
            replies.extend(std::iter::repeat_n(reply.shared(), count));
        }
        Response::Each(replies)
    }

    /// One run, for these recipients.
    fn run(&self, mail: &Envelope, recipients: &[Recipient], is_wanted: &dyn Fn() -> bool) -> io::Result<Reply> {
        let Settings { program, lf, timeout, .. } = &*self.settings;
        let (id, name) = (mail.id(), &program.name);
        if !is_wanted() {
            return Ok(FAILED);
        }
        let variables = match variables(mail, recipients) {
            Ok(variables) => variables,
            Err(e) => {
                log::error!("{id}: {} has a control character, and {name} does not get the message", e.0);
                return Ok(FAILED);
            }
        };
        let mut command = self.command();
        command.envs(variables);
        let has_lines = mail.mail_parameters().body() != Some(Body::BinaryMime);
        let input = Input::new(mail.content().reader(), *lf && has_lines);
        let terms = Terms { deadline: Instant::now() + *timeout, is_wanted, is_stopped: &|| self.permits.is_stopped() };
        let ending = run(&mut command, input, format_args!("{id}: {name}"), &terms)?;
        Ok(match ending {
            Ending::Exited(status, said) => verdict(status, said),
            Ending::Killed(signal) => {
                log::error!("{id}: {name} was killed by signal {signal}");
                FAILED
            }
            Ending::Ended(Reason::Late) => {
                log::error!("{id}: {name} was ended: it took more than {timeout:?}");
                TOO_LATE
            }
            Ending::Ended(Reason::Unwanted) => {
                log::error!("{id}: {name} was ended: its client does not wait any longer");
                FAILED
            }
            Ending::Ended(Reason::Stopped) => {
                log::warn!("{id}: {name} was ended by the shutdown");
                FAILED
            }
            Ending::Ended(Reason::Unreadable(e)) => {
                log::error!("{id}: {name} was ended: the message cannot be read back: {e}");
                FAILED
            }
        })
    }

    fn command(&self) -> Command {
        let Settings { program, variables, folder, .. } = &*self.settings;
        let mut command = Command::new(&program.path);
        command.args(&program.arguments).env_clear().envs(inherited());
        command.envs(variables.iter().map(|(name, value)| (name, value)));
        if let Some(folder) = folder {
            command.current_dir(folder);
        }
        command
    }
}

/// What the client is told. Nothing but exit status 0 accepts a message, and not even that if the program says no.
fn verdict(status: i32, said: Option<Reply>) -> Reply {
    // A 221 would end the connection.
    let said = said.filter(|reply| match reply.is_positive() {
        true => status == 0 && reply.code() == 250,
        false => reply.is_transient() || reply.is_permanent(),
    });
    match (said, status) {
        (Some(reply), _) => reply.passed_on(),
        (None, 0) => Reply::ok(),
        (None, TEMPORARY_FAILURE) => LATER,
        (None, _) => REFUSED,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_exit_status_0_accepts() {
        let said = |text: &str| Some(text.parse::<Reply>().unwrap());
        for (status, line, code) in [
            (0, None, 250),
            (75, None, 451),
            (1, None, 554),
            (255, None, 554),
            (0, said("250 2.6.0 queued"), 250),
            (0, said("550 5.7.1 no"), 550),
            (0, said("450 busy"), 450),
            (1, said("250 fine"), 554),
            (75, said("250 fine"), 451),
            (1, said("450 busy"), 450),
            (75, said("552 full"), 552),
            // What is no answer to a message, or would end the connection.
            (0, said("354 go on"), 250),
            (0, said("221 bye"), 250),
            (0, said("421 bye"), 451),
            (1, said("354 go on"), 554),
        ] {
            assert_eq!(verdict(status, line.clone()).code(), code, "{status} {line:?}");
        }
        assert_eq!(verdict(0, said("250 2.6.0 queued")).to_string(), "250 2.6.0 queued");
    }
}
