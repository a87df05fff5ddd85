//! The `pillarbox` command: a mail server from the command line, with the words of `python -m smtpd`.

use std::fmt::Display;
use std::io::Write;
use std::net::TcpListener;
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, channel};
#[cfg(unix)]
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use clap::error::ErrorKind;
use pillarbox::{Builder, Error, Escaped, Handler, Listener, Network, Server, Upstream, Users, handlers};
use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGTERM, SIGXFSZ};
use signal_hook::iterator::Signals;

mod causes;
mod certificate;
mod descriptors;
mod digits;
mod http;
mod metrics;
mod options;
mod privileges;
mod service_manager;
mod web;

use causes::chain;
use certificate::Certificate;
use descriptors::possible_connections;
use options::{Arguments, Class, PASSED_IN, usage};
use web::{Refused, Web};

/// How long a shutdown lets messages in progress finish.
const GRACE: Duration = Duration::from_secs(15);

fn main() -> ExitCode {
    let arguments = Arguments::read();
    start_log(arguments.debug);
    let done = match arguments.generate {
        Some(what) => what.write(&mut std::io::stdout().lock()).map_err(|e| format!("cannot print it: {e}")),
        None => run(arguments),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            tell(message);
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> Result<(), String> {
    let folder = match (arguments.class, &arguments.maildir) {
        (Class::Maildir, None) => usage(ErrorKind::MissingRequiredArgument, "-c Maildir needs --maildir DIR"),
        (Class::Maildir, Some(folder)) => Some(folder.clone()),
        _ => None,
    };
    #[cfg(unix)]
    match (arguments.class, arguments.program.is_empty()) {
        (Class::Pipe, true) => usage(ErrorKind::MissingRequiredArgument, "-c Pipe needs -- PROGRAM"),
        (Class::Pipe, false) | (_, true) => {}
        (_, false) => usage(ErrorKind::ArgumentConflict, "-- PROGRAM is for -c Pipe"),
    }
    // Both may be files that only root can read.
    let tls = match (&arguments.tls_cert, &arguments.tls_key) {
        (Some(cert), Some(key)) => Some(Certificate::read(cert, key)?),
        _ => None,
    };
    let users = match &arguments.users {
        Some(file) => {
            Some(Users::from_file(file).map_err(|e| format!("cannot use {}: {}", file.display(), chain(&e)))?)
        }
        None => None,
    };
    let mut listener = match &*arguments.local {
        PASSED_IN => passed_in()?,
        address => Listener::from(address),
    };
    if arguments.smtps {
        listener = listener.implicit_tls();
    }
    #[cfg(unix)]
    if let Some(mode) = arguments.socket_mode {
        if !arguments.local.starts_with("unix:") {
            usage(ErrorKind::ArgumentConflict, "--socket-mode is for unix:PATH");
        }
        listener = listener.mode(mode);
    }
    let listener = listener.bind().map_err(|e| explain(&e))?;
    let web = inbox(&arguments)?;
    let metrics = arguments.metrics.as_deref().map(bind_http).transpose()?;
    if !arguments.nosetuid {
        privileges::drop()?;
        // Now, and not on the day on which the certificate is renewed.
        tls.as_ref().map_or(Ok(()), Certificate::check_that_it_can_be_renewed)?;
    }
    // Made only now: it belongs to the user that will write to it.
    let builder = builder(&arguments, tls.as_ref(), users);
    let handler: Box<dyn Handler> = match arguments.class {
        Class::Debugging => Box::new(handlers::Debugging::stdout()),
        // There is one: else that was an error of usage.
        Class::Inbox => return web.map_or(Ok(()), |web| show(web, builder, listener, tls, metrics)),
        Class::Sink => Box::new(handlers::Sink),
        Class::Maildir => {
            let folder = folder.unwrap_or_default();
            let maildir = handlers::Maildir::create(&folder)
                .map_err(|e| format!("cannot use the Maildir {}: {e}", folder.display()))?;
            Box::new(maildir)
        }
        #[cfg(unix)]
        Class::Pipe => return run_for_each(pipe(&arguments)?, builder, listener, tls, metrics),
        Class::PureProxy => Box::new(proxy(&arguments)),
        Class::MailmanProxy => {
            let lists = upstream(&arguments.mailman, &arguments);
            Box::new(handlers::Mailman::at(lists, proxy(&arguments)))
        }
    };
    serve(builder, listener, tls, handler, metrics, |_| Ok(()))
}

/// The socket that systemd has opened: see sd_listen_fds(3).
fn passed_in() -> Result<Listener, String> {
    let none = || "no socket was passed in: start it from a systemd socket unit".to_owned();
    let mut sockets = listenfd::ListenFd::from_env();
    match sockets.take_tcp_listener(0) {
        Ok(socket) => socket.map(Listener::from).ok_or_else(none),
        #[cfg(unix)]
        Err(_) => match sockets.take_unix_listener(0) {
            Ok(socket) => socket.map(Listener::from).ok_or_else(none),
            Err(e) => Err(format!("what was passed in is no listening socket: {e}")),
        },
        #[cfg(not(unix))]
        Err(e) => Err(format!("what was passed in is no listening socket: {e}")),
    }
}

/// The web inbox, if it is that which was asked for.
fn inbox(arguments: &Arguments) -> Result<Option<Web>, String> {
    let place = match (arguments.class, &arguments.http) {
        (Class::Inbox, None) => usage(ErrorKind::MissingRequiredArgument, "-c Inbox needs --http ADDR"),
        (Class::Inbox, Some(place)) => place,
        (_, Some(_)) => usage(ErrorKind::ArgumentConflict, "--http is for -c Inbox"),
        (_, None) => return Ok(None),
    };
    match Web::bind(place, arguments.http_public, arguments.http_host.clone()) {
        Ok(web) => Ok(Some(web)),
        Err(Refused::Public(address)) => usage(
            ErrorKind::ValueValidation,
            &format!("everybody who reaches {address} could read the mail: --http-public allows that"),
        ),
        Err(Refused::Bind(source)) => Err(explain(&Error::Bind { address: place.clone(), source })),
    }
}

/// Binds where those who watch the server ask.
fn bind_http(place: &str) -> Result<TcpListener, String> {
    http::bind(place).map_err(|source| explain(&Error::Bind { address: place.to_owned(), source }))
}

/// The program of the class Pipe. Whoever runs this is its user already.
#[cfg(unix)]
fn pipe(arguments: &Arguments) -> Result<handlers::Pipe, String> {
    let [program, own @ ..] = &arguments.program[..] else { return Err("no program".to_owned()) };
    let pipe = handlers::Pipe::new(program)
        .args(own)
        .lf(arguments.lf)
        .timeout(arguments.pipe_timeout)
        .processes(arguments.pipe_processes)
        .each_recipient(arguments.pipe_each);
    pipe.check().map_err(|e| format!("cannot run {}: {e}", Escaped::new(program.as_encoded_bytes())))?;
    Ok(pipe)
}

#[cfg(unix)]
fn descriptors_of_programs(arguments: &Arguments) -> u64 {
    match arguments.class {
        Class::Pipe => (arguments.pipe_processes as u64).saturating_mul(descriptors::OF_A_PROGRAM),
        _ => 0,
    }
}

#[cfg(not(unix))]
fn descriptors_of_programs(_: &Arguments) -> u64 {
    0
}

/// The programs of the class Pipe, for whoever ends the process.
#[cfg(unix)]
static PROGRAMS: Mutex<Option<handlers::Pipe>> = Mutex::new(None);

/// As [`serve`], until the last program has ended: the shutdown itself does not wait for a handler for long.
#[cfg(unix)]
fn run_for_each(
    pipe: handlers::Pipe,
    builder: Builder,
    listener: Listener,
    certificate: Option<Certificate>,
    metrics: Option<TcpListener>,
) -> Result<(), String> {
    lock_programs().replace(pipe.clone());
    let served = serve(builder, listener, certificate, pipe, metrics, |_| Ok(()));
    lock_programs().iter().for_each(handlers::Pipe::stop);
    served
}

#[cfg(unix)]
fn lock_programs() -> MutexGuard<'static, Option<handlers::Pipe>> {
    PROGRAMS.lock().unwrap_or_else(PoisonError::into_inner)
}

fn upstream(address: &str, arguments: &Arguments) -> Upstream {
    let upstream = Upstream::from(address).rustls();
    match arguments.upstream_timeout {
        Some(timeout) => upstream.timeout(timeout),
        None => upstream,
    }
}

fn proxy(arguments: &Arguments) -> handlers::Proxy {
    handlers::Proxy::to(upstream(&arguments.remote, arguments).tls(arguments.upstream_tls))
        .x_peer(!arguments.no_x_peer)
        .from_networks(arguments.relay_networks.iter().copied())
        .to_domains(&arguments.relay_domains)
        .open_relay(arguments.open_relay)
}

fn builder(arguments: &Arguments, tls: Option<&Certificate>, users: Option<Users>) -> Builder {
    let mut builder = Server::builder()
        .data_size_limit(arguments.size)
        .smtputf8(arguments.smtputf8)
        .lmtp(arguments.lmtp)
        .require_tls(arguments.require_tls)
        .require_auth(arguments.require_auth)
        .max_recipients(arguments.max_recipients)
        .max_connections(possible_connections(arguments.max_connections, descriptors_of_programs(arguments)))
        .max_connections_per_address(arguments.max_per_address);
    if let Some(timeout) = arguments.timeout {
        builder = builder.command_timeout(timeout).data_timeout(timeout.min(Duration::from_secs(180)));
    }
    if let Some(proxies) = &arguments.proxy_protocol {
        builder = match proxies[..] {
            [] => builder.proxy_protocol(Network::loopback()),
            _ => builder.proxy_protocol(proxies.iter().copied()),
        };
    }
    if let Some(tls) = tls {
        builder = builder.tls(tls.tls.clone());
    }
    if let Some(users) = users {
        builder = builder.authenticator(users);
    }
    if let Some(hostname) = &arguments.hostname {
        builder = builder.hostname(hostname);
    }
    builder
}

fn show(
    web: Web,
    builder: Builder,
    listener: Listener,
    certificate: Option<Certificate>,
    metrics: Option<TcpListener>,
) -> Result<(), String> {
    let (builder, handler) = (web.prepare(builder), web.handler());
    serve(builder, listener, certificate, handler, metrics, |server| {
        let url = web.start(server).map_err(|e| format!("cannot start a thread: {e}"))?;
        tell(format_args!("inbox at {url}"));
        Ok(())
    })
}

fn serve(
    builder: Builder,
    listener: Listener,
    certificate: Option<Certificate>,
    handler: impl Handler + 'static,
    metrics: Option<TcpListener>,
    when_it_listens: impl FnOnce(&Server) -> Result<(), String>,
) -> Result<(), String> {
    // Before the server is ready: whoever reads that it is may send a signal at once.
    let renewal = certificate.is_some().then_some(SIGHUP);
    let signals = Signals::new([SIGINT, SIGTERM, SIGXFSZ, SIGCHLD].into_iter().chain(renewal))
        .map_err(|e| format!("cannot handle signals: {e}"))?;
    let server = builder.serve(listener, handler).map_err(|e| match e {
        Error::Setting(problem) => usage(ErrorKind::ValueValidation, &problem.to_string()),
        e => explain(&e),
    })?;
    let end = heed(signals, certificate)?;
    for endpoint in server.local_endpoints() {
        tell(format_args!("listening on {endpoint}"));
    }
    when_it_listens(&server)?;
    let no_thread = |e| format!("cannot start a thread: {e}");
    if let Some(listener) = metrics {
        tell(format_args!("metrics at {}", metrics::start(listener, server.handle()).map_err(no_thread)?));
    }
    service_manager::watch(server.handle()).map_err(no_thread)?;
    service_manager::is_ready();
    // An error would mean that no signal can come any more.
    let _ = end.recv();
    service_manager::is_stopping();
    // By its owner, so that a Unix socket is removed before the process ends. How many connections had to be cut is logged.
    server.shutdown(GRACE);
    Ok(())
}

/// SIGHUP renews the certificate; the first SIGINT or SIGTERM is passed on, and a second one ends the process.
fn heed(mut signals: Signals, certificate: Option<Certificate>) -> Result<Receiver<()>, String> {
    let (sender, end) = channel();
    let wait = move || {
        let mut is_ending = false;
        for signal in signals.forever() {
            match (signal, &certificate) {
                (SIGHUP, Some(certificate)) => service_manager::reload(|| certificate.renew()),
                // A file over the limit (ulimit -f): a message that cannot be stored, and no reason to end.
                (SIGXFSZ, _) => {}
                // A program has ended. Were the signal ignored, as a parent may have it, nobody would learn with which status.
                (SIGCHLD, _) => {}
                _ if is_ending => {
                    // Locked to the end: nobody else ends the process meanwhile, and says that all is well.
                    #[cfg(unix)]
                    let programs = lock_programs();
                    #[cfg(unix)]
                    programs.iter().for_each(handlers::Pipe::stop);
                    std::process::exit(1)
                }
                _ => {
                    is_ending = true;
                    // The receiver waits for this.
                    let _ = sender.send(());
                }
            }
        }
    };
    std::thread::Builder::new().spawn(wait).map_err(|e| format!("cannot start a thread: {e}"))?;
    Ok(end)
}

/// Says it on stderr. That nobody hears it, as on a full disk, must not end a server: `eprintln!` would panic.
fn tell(message: impl Display) {
    let _ = writeln!(std::io::stderr(), "pillarbox: {message}");
}

/// Lines like `pillarbox: [1] C: QUIT`; RUST_LOG has the last word.
fn start_log(debug: bool) {
    let filter = env_logger::Env::default().default_filter_or(if debug { "pillarbox=trace" } else { "warn" });
    env_logger::Builder::from_env(filter).format(|out, record| writeln!(out, "pillarbox: {}", record.args())).init();
}

/// An error with its causes and what to do about it.
fn explain(error: &Error) -> String {
    let hint = error.hint().map_or_else(String::new, |hint| format!("; {hint}"));
    format!("{}{hint}", chain(error))
}
