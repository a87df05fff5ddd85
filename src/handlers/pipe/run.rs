//! One run of a program: what it reads and writes, and its end, whatever it does.

use std::fmt::Display;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::AsFd;
#[cfg(target_os = "linux")]
use std::os::fd::OwnedFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::process::{Pid, Signal, kill_process_group};

use super::input::Input;
use super::output::{LastLine, LoggedLines};
use super::permits::TICK;
use crate::syntax::reply::Reply;

/// How much is read at once.
const CHUNK: usize = 16 * 1024;
/// Reads after a program's end: more than a pipe holds, and no more if somebody goes on writing.
const LAST_READS: usize = 64;
/// From SIGTERM to SIGKILL, for a program that takes too long.
const GRACE: Duration = Duration::from_secs(2);
/// The same if nobody waits for what it says: a shutdown waits for a handler half a second after it has cut the connections.
const SHORT_GRACE: Duration = Duration::from_millis(200);

/// How a run ended.
#[derive(Debug)]
pub(super) enum Ending {
    /// With this exit status; and the last line on stdout, if it is a reply.
    Exited(i32, Option<Reply>),
    /// By a signal that was not ours.
    Killed(i32),
    /// By us.
    Ended(Reason),
}

/// Why a program had to end.
#[derive(Debug)]
pub(super) enum Reason {
    /// Its time was over.
    Late,
    /// Nobody waits for what becomes of it.
    Unwanted,
    /// All programs are to end.
    Stopped,
    /// The message cannot be read back.
    Unreadable(io::Error),
}

/// What a run has to heed.
pub(super) struct Terms<'a> {
    pub deadline: Instant,
    pub is_wanted: &'a dyn Fn() -> bool,
    pub is_stopped: &'a dyn Fn() -> bool,
}

/// Runs a program to its end.
///
/// # Errors
/// It cannot be started.
pub(super) fn run(
    command: &mut Command,
    input: Input<'_>,
    log_as: impl Display,
    terms: &Terms<'_>,
) -> io::Result<Ending> {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    let mut child = Group::new(command.spawn()?);
    let mut pipes = Pipes {
        stdin: child.process.stdin.take(),
        stdout: child.process.stdout.take(),
        stderr: child.process.stderr.take(),
        input,
        last_line: LastLine::default(),
        logged: LoggedLines::new(log_as),
        chunk: vec![0; CHUNK],
    };
    pipes.make_nonblocking()?;
    let mut end = None;
    while !child.has_exited(&mut pipes, end.is_some()) {
        pipes.read();
        match &mut end {
            Some(end) => child.go_on_ending(end, terms),
            None => {
                let unreadable = pipes.write().err().map(Reason::Unreadable);
                end = unreadable.or_else(|| terms.reason_to_end()).map(|reason| child.begin_to_end(reason));
            }
        }
    }
    // What it has left running would hold its pipes, and outlive the server.
    let status = child.finish()?;
    pipes.read_the_rest();
    let Pipes { last_line, logged, .. } = pipes;
    logged.finish();
    Ok(match (end, status.code()) {
        (Some(end), _) => Ending::Ended(end.reason),
        (None, Some(code)) => Ending::Exited(code, last_line.into_reply()),
        (None, None) => Ending::Killed(status.signal().unwrap_or(0)),
    })
}

impl Terms<'_> {
    fn reason_to_end(&self) -> Option<Reason> {
        if (self.is_stopped)() {
            Some(Reason::Stopped)
        } else if !(self.is_wanted)() {
            Some(Reason::Unwanted)
        } else if Instant::now() >= self.deadline {
            Some(Reason::Late)
        } else {
            None
        }
    }
}

/// A program that was told to end.
struct End {
    reason: Reason,
    kill_at: Instant,
    is_killed: bool,
}

/// A program, and all that it starts and that does not leave its process group.
struct Group {
    process: Child,
    id: Pid,
    is_reaped: bool,
    /// Becomes readable when the process ends; not every system has it.
    #[cfg(target_os = "linux")]
    exit: Option<OwnedFd>,
}

impl Group {
    fn new(process: Child) -> Group {
        let id = Pid::from_child(&process);
        Group {
            process,
            id,
            is_reaped: false,
            #[cfg(target_os = "linux")]
            exit: rustix::process::pidfd_open(id, rustix::process::PidfdFlags::empty()).ok(),
        }
    }

    #[cfg(target_os = "linux")]
    fn exit(&self) -> Option<&OwnedFd> {
        self.exit.as_ref()
    }

    #[cfg(not(target_os = "linux"))]
    fn exit(&self) -> Option<&std::os::fd::OwnedFd> {
        None
    }

    /// Waits until something can be read or written, or for a moment, and says whether the process has ended.
    fn has_exited(&mut self, pipes: &mut Pipes<'_, impl Display>, is_ending: bool) -> bool {
        let mut watched = Vec::with_capacity(4);
        let exit = self.exit();
        watched.extend(exit.map(|exit| PollFd::new(exit, PollFlags::IN)));
        watched.extend(pipes.stdout.as_ref().map(|pipe| PollFd::new(pipe, PollFlags::IN)));
        watched.extend(pipes.stderr.as_ref().map(|pipe| PollFd::new(pipe, PollFlags::IN)));
        // A program that is to end must not take a part of a message for the whole: its stdin stays open.
        watched.extend(pipes.stdin.as_ref().filter(|_| !is_ending).map(|pipe| PollFd::new(pipe, PollFlags::OUT)));
        let tick = Timespec { tv_sec: 0, tv_nsec: TICK.subsec_nanos().into() };
        // An error, as by a signal, is a short wait.
        let _ = poll(&mut watched, Some(&tick));
        match exit {
            Some(_) => watched.first().is_some_and(|exit| !exit.revents().is_empty()),
            // An error would mean that somebody else has reaped it.
            None => self.process.try_wait().map_or(true, |status| status.is_some()),
        }
    }

    fn begin_to_end(&self, reason: Reason) -> End {
        let is_short = matches!(reason, Reason::Stopped | Reason::Unwanted);
        let grace = if is_short { SHORT_GRACE } else { GRACE };
        self.signal(Signal::TERM);
        // One that was stopped hears of it only when it goes on.
        self.signal(Signal::CONT);
        End { reason, kill_at: Instant::now() + grace, is_killed: false }
    }

    fn go_on_ending(&self, end: &mut End, terms: &Terms<'_>) {
        if (terms.is_stopped)() {
            end.kill_at = end.kill_at.min(Instant::now() + SHORT_GRACE);
        }
        if !end.is_killed && Instant::now() >= end.kill_at {
            self.signal(Signal::KILL);
            end.is_killed = true;
        }
    }

    /// Ends what the process has left behind, and takes its exit status.
    fn finish(&mut self) -> io::Result<ExitStatus> {
        // In this order: until it is reaped nobody else can have its number.
        self.signal(Signal::KILL);
        self.is_reaped = true;
        self.process.wait()
    }

    fn signal(&self, signal: Signal) {
        // Nobody may be there any more.
        let _ = kill_process_group(self.id, signal);
    }
}

impl Drop for Group {
    /// For the ways out that are not foreseen.
    fn drop(&mut self) {
        if !self.is_reaped {
            // There is nobody to tell.
            let _ = self.finish();
        }
    }
}

/// What goes to a program and comes from it.
struct Pipes<'a, N> {
    stdin: Option<ChildStdin>,
    stdout: Option<ChildStdout>,
    stderr: Option<ChildStderr>,
    input: Input<'a>,
    last_line: LastLine,
    logged: LoggedLines<N>,
    chunk: Vec<u8>,
}

impl<N: Display> Pipes<'_, N> {
    fn make_nonblocking(&self) -> io::Result<()> {
        self.stdin.as_ref().map_or(Ok(()), make_nonblocking)?;
        self.stdout.as_ref().map_or(Ok(()), make_nonblocking)?;
        self.stderr.as_ref().map_or(Ok(()), make_nonblocking)
    }

    /// Writes as much as the pipe takes, and closes it behind the end.
    ///
    /// # Errors
    /// The message cannot be read back.
    fn write(&mut self) -> io::Result<()> {
        while let Some(stdin) = &mut self.stdin {
            let next = self.input.next()?;
            if next.is_empty() {
                self.stdin = None;
                break;
            }
            match stdin.write(next) {
                Ok(written) => self.input.written(written),
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) if e.kind() == ErrorKind::WouldBlock => break,
                // Whoever reads no more has said what it wants to know.
                Err(_) => self.stdin = None,
            }
        }
        Ok(())
    }

    /// Reads what there is, a part of it if it is much. Says whether there was anything.
    fn read(&mut self) -> bool {
        let Pipes { stdout, stderr, last_line, logged, chunk, .. } = self;
        let said = read(stdout, chunk, |octets| last_line.push(octets));
        read(stderr, chunk, |octets| logged.push(octets)) | said
    }

    fn read_the_rest(&mut self) {
        let _ = (0..LAST_READS).take_while(|_| self.read()).count();
    }
}

/// Closes the pipe at its end.
fn read<R: Read>(pipe: &mut Option<R>, chunk: &mut [u8], take: impl FnOnce(&[u8])) -> bool {
    let Some(from) = pipe else { return false };
    match from.read(chunk) {
        Ok(read @ 1..) => {
            take(&chunk[..read]);
            true
        }
        Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => false,
        Ok(0) | Err(_) => {
            *pipe = None;
            false
        }
    }
}

fn make_nonblocking(pipe: &impl AsFd) -> io::Result<()> {
    let flags = fcntl_getfl(pipe)?;
    Ok(fcntl_setfl(pipe, flags | OFlags::NONBLOCK)?)
}
