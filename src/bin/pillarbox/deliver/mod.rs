//! `pillarbox deliver`: takes messages off a Redis stream, and stores or relays them, or gives each to a program.

use std::ffi::OsString;
use std::path::Path;
use std::sync::Arc;
use std::thread;

use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{ArgMatches, Command, CommandFactory, FromArgMatches};
use pillarbox::handlers::{self, RedisTls, RedisWorker};
use pillarbox::{Handler, Upstream};

mod arguments;
mod watch;

#[cfg(unix)]
use crate::options::PIPE;
use crate::options::{self, Words};
use crate::redis::{self, Trouble};
use crate::stderr::{start_log, tell};
use crate::{metrics, privileges, service_manager, signals};
use arguments::{DeliverArguments, PROGRAM, RELAY};
use watch::Watch;

/// The word after the command's name. No address to listen at is one.
pub const NAME: &str = "deliver";

/// The command line as clap has it.
pub fn command() -> Command {
    let command = DeliverArguments::command();
    #[cfg(unix)]
    let command = command.mut_args(|argument| match argument.get_help_heading() {
        Some(PIPE) => argument.help_heading(PROGRAM),
        _ => argument,
    });
    command
}

/// Works until a signal ends it. `words` are those of the command line, without the first.
pub fn run(words: Vec<OsString>) -> Result<(), String> {
    let arguments = read(words);
    start_log(arguments.debug);
    options::warn_of_unknown_variables(&[options::command(), command()]);
    let tls = told(redis::tls(&arguments.place))?;
    let metrics = arguments.metrics.as_deref().map(metrics::bind).transpose()?;
    if !arguments.nosetuid {
        privileges::drop()?;
        // Now, and not on the day on which a certificate is renewed.
        told(redis::tls(&arguments.place))?;
    }
    let worker = told(worker(&arguments, tls.as_ref()))?;
    let work = Work { worker, metrics, tls };
    if let Some(folder) = &arguments.maildir {
        return work.run(maildir(folder)?, arguments);
    }
    if let Some(address) = &arguments.relay {
        let relay = relay(address, &arguments);
        return work.run(relay, arguments);
    }
    #[cfg(unix)]
    return work.run_programs(arguments.pipe.handler(&arguments.program)?, arguments);
    #[cfg(not(unix))]
    Ok(())
}

/// The words of the command line. It ends the process if they are invalid.
fn read(words: Vec<OsString>) -> DeliverArguments {
    options::read(
        command(),
        |command| command,
        words,
        |command, given, words| match unused(command, given, words) {
            Some(problem) => Err(command.clone().error(ErrorKind::ArgumentConflict, problem)),
            None => DeliverArguments::from_arg_matches(given),
        },
    )
}

fn usage(kind: ErrorKind, message: &str) -> ! {
    options::usage_of(command(), kind, message)
}

/// What to tell about an option that the destination does not use.
fn unused(command: &Command, given: &ArgMatches, words: &Words) -> Option<String> {
    let is_given = |id: &str| {
        let source = given.value_source(id);
        matches!(source, Some(ValueSource::CommandLine | ValueSource::EnvVariable))
    };
    command.get_arguments().filter(|argument| is_given(argument.get_id().as_str())).find_map(|argument| {
        let (destination, name) = match argument.get_help_heading()? {
            RELAY => ("relay", "--relay"),
            PROGRAM => ("program", "-- PROGRAM"),
            _ => return None,
        };
        (!is_given(destination)).then(|| format!("{} is for {name}", words.name(argument)))
    })
}

/// What went well; errors of usage end the process.
fn told<T>(result: Result<T, Trouble>) -> Result<T, String> {
    result.map_err(|trouble| match trouble {
        Trouble::Usage(kind, problem) => usage(kind, &problem),
        Trouble::File(problem) => problem,
    })
}

fn worker(arguments: &DeliverArguments, tls: Option<&RedisTls>) -> Result<RedisWorker, Trouble> {
    let url = arguments.place.url("pillarbox deliver")?;
    if arguments.dead_letters.as_ref() == Some(&arguments.place.stream) {
        let problem = "--dead-letters is the stream itself, which would be read again for ever";
        return Err(Trouble::Usage(ErrorKind::ArgumentConflict, problem.to_owned()));
    }
    let worker =
        RedisWorker::new(url).map_err(|e| Trouble::Usage(ErrorKind::ValueValidation, redis::invalid_url(&e)))?;
    let mut worker = worker
        .stream(&arguments.place.stream)
        .group(&arguments.group)
        .in_flight(arguments.in_flight)
        .max_attempts(arguments.max_attempts as u64)
        .take_over_after(arguments.take_over_after)
        .grace(signals::GRACE);
    if let Some(name) = &arguments.consumer {
        worker = worker.consumer(name);
    }
    if let Some(key) = &arguments.dead_letters {
        worker = worker.dead_letters(key);
    }
    if let Some(time) = arguments.once_for {
        worker = worker.once_for(time);
    }
    if let Some(tls) = tls {
        worker = worker.tls(tls.clone());
    }
    Ok(worker)
}

#[cfg(unix)]
fn maildir(folder: &Path) -> Result<handlers::Maildir, String> {
    let maildir = handlers::Maildir::create(folder);
    let maildir = maildir.map_err(|e| format!("cannot use the Maildir {}: {e}", folder.display()))?;
    // A worker that was killed does not know what it has stored.
    Ok(maildir.once(true))
}

fn relay(address: &str, arguments: &DeliverArguments) -> handlers::Proxy {
    let mut upstream = Upstream::from(address).rustls();
    if let Some(timeout) = arguments.next_server.upstream_timeout {
        upstream = upstream.timeout(timeout);
    }
    // Whether they may be relayed was decided by the server that took them.
    handlers::Proxy::to(upstream.tls(arguments.next_server.upstream_tls))
        .x_peer(!arguments.next_server.no_x_peer)
        .open_relay(true)
}

/// All but what becomes of the messages.
struct Work {
    worker: RedisWorker,
    metrics: Option<std::net::TcpListener>,
    tls: Option<RedisTls>,
}

impl Work {
    fn run(self, handler: impl Handler, arguments: DeliverArguments) -> Result<(), String> {
        let no_thread = |e| format!("cannot start a thread: {e}");
        let handle = self.worker.handle();
        // Before the worker is ready: whoever reads that it is may send a signal at once.
        let signals = signals::take(self.tls.is_some()).map_err(|e| format!("cannot handle signals: {e}"))?;
        let renew = move || {
            if let Some(tls) = &self.tls {
                redis::renew(tls, &arguments.place);
            }
        };
        let end = signals::heed(signals, renew).map_err(no_thread)?;
        let stopped = handle.clone();
        let stop = move || {
            // An error would mean that no signal can come any more.
            let _ = end.recv();
            service_manager::is_stopping();
            stopped.stop();
        };
        thread::Builder::new().spawn(stop).map_err(no_thread)?;
        tell(format_args!("delivering from {}", self.worker));
        let watch = Arc::new(Watch::new(handle));
        if let Some(listener) = self.metrics {
            tell(format_args!("metrics at {}", metrics::start(listener, watch.clone()).map_err(no_thread)?));
        }
        service_manager::watch(move || metrics::Watched::is_responsive(&*watch)).map_err(no_thread)?;
        service_manager::is_ready();
        self.worker.run(handler);
        Ok(())
    }

    /// As [`run`](Work::run), until the last program has ended.
    #[cfg(unix)]
    fn run_programs(self, pipe: handlers::Pipe, arguments: DeliverArguments) -> Result<(), String> {
        signals::lock_programs().replace(pipe.clone());
        let done = self.run(pipe, arguments);
        signals::lock_programs().iter().for_each(handlers::Pipe::stop);
        done
    }
}
