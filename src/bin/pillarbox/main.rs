//! The `pillarbox` command: a mail server from the command line, with the words of `python -m smtpd`.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::io::Write;
use std::net::TcpListener;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
#[cfg(unix)]
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use clap::error::ErrorKind;
use pillarbox::{Builder, Error, Escaped, Handler, Listener, Network, Server, Tls, Upstream, handlers};
use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGTERM, SIGXFSZ};
use signal_hook::iterator::Signals;

mod accounts;
mod causes;
mod certificate;
mod descriptors;
mod digits;
mod http;
mod listen;
mod listeners;
mod logins;
mod metrics;
mod options;
mod passed_in;
mod privileges;
mod self_signed;
mod service_manager;
mod values;
mod web;

use accounts::Accounts;
use causes::explain;
use certificate::Certificate;
use descriptors::possible_connections;
use listeners::Listeners;
use logins::Logins;
use options::{Arguments, Class, usage};
use web::{Refused, Web};

/// How long a shutdown lets messages in progress finish.
const GRACE: Duration = Duration::from_secs(15);

fn main() -> ExitCode {
    let arguments = Arguments::read();
    start_log(arguments.debug);
    let done = match arguments.generate {
        Some(what) => {
            what.write(options::command(), &mut std::io::stdout().lock()).map_err(|e| format!("cannot print it: {e}"))
        }
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
    // It may be a file that only root can read.
    let accounts = arguments.logins.users.as_deref().map(Accounts::read).transpose()?;
    let Listeners { listeners, tls, certificates, authority } = listeners::open(&arguments)?;
    let web = inbox(&arguments)?.map(|web| web.authority(authority));
    let metrics = arguments.metrics.as_deref().map(bind_http).transpose()?;
    if !arguments.nosetuid {
        privileges::drop()?;
        // Now, and not on the day on which the certificate is renewed.
        certificates.iter().try_for_each(Certificate::check_that_it_can_be_renewed)?;
        if let Some(accounts) = &accounts {
            accounts.warn_unless_it_can_be_read_again();
        }
    }
    // Listeners may share the files.
    let problems: BTreeSet<String> = certificates.iter().flat_map(Certificate::problems).collect();
    problems.iter().for_each(tell);
    certificate::watch(certificates.clone()).map_err(|e| format!("cannot start a thread: {e}"))?;
    // Made only now: it belongs to the user that will write to it.
    let builder = builder(&arguments, tls, accounts.as_ref());
    let renewable = Renewable { certificates, accounts };
    let handler: Box<dyn Handler> = match arguments.class {
        Class::Debugging => Box::new(handlers::Debugging::stdout()),
        // There is one: else that was an error of usage.
        Class::Inbox => return web.map_or(Ok(()), |web| show(web, builder, listeners, renewable, metrics)),
        Class::Sink => Box::new(handlers::Sink),
        Class::Maildir => {
            let folder = folder.unwrap_or_default();
            let maildir = handlers::Maildir::create(&folder)
                .map_err(|e| format!("cannot use the Maildir {}: {e}", folder.display()))?;
            Box::new(maildir)
        }
        #[cfg(unix)]
        Class::Pipe => return run_for_each(pipe(&arguments)?, builder, listeners, renewable, metrics),
        Class::PureProxy => Box::new(proxy(&arguments)),
        Class::MailmanProxy => {
            let lists = upstream(&arguments.relay.mailman, &arguments);
            Box::new(handlers::Mailman::at(lists, proxy(&arguments)))
        }
    };
    serve(builder, listeners, renewable, handler, metrics, |_| Ok(()))
}

/// What comes from files that SIGHUP reads again.
struct Renewable {
    certificates: Vec<Certificate>,
    accounts: Option<Accounts>,
}

impl Renewable {
    fn is_any(&self) -> bool {
        !self.certificates.is_empty() || self.accounts.is_some()
    }

    fn renew(&self) {
        self.certificates.iter().for_each(Certificate::renew);
        if let Some(accounts) = &self.accounts {
            accounts.reload();
        }
    }
}

/// The web inbox, if it is that which was asked for.
fn inbox(arguments: &Arguments) -> Result<Option<Web>, String> {
    let place = match (arguments.class, &arguments.inbox.http) {
        (Class::Inbox, None) => usage(ErrorKind::MissingRequiredArgument, "-c Inbox needs --http ADDR"),
        (Class::Inbox, Some(place)) => place,
        (_, Some(_)) => usage(ErrorKind::ArgumentConflict, "--http is for -c Inbox"),
        (_, None) => return Ok(None),
    };
    match Web::bind(place, arguments.inbox.http_public, arguments.inbox.http_host.clone()) {
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
        .lf(arguments.pipe.lf)
        .timeout(arguments.pipe.pipe_timeout)
        .processes(arguments.pipe.pipe_processes)
        .each_recipient(arguments.pipe.pipe_each);
    pipe.check().map_err(|e| format!("cannot run {}: {e}", Escaped::new(program.as_encoded_bytes())))?;
    Ok(pipe)
}

#[cfg(unix)]
fn descriptors_of_programs(arguments: &Arguments) -> u64 {
    match arguments.class {
        Class::Pipe => (arguments.pipe.pipe_processes as u64).saturating_mul(descriptors::OF_A_PROGRAM),
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
    listeners: Vec<Listener>,
    renewable: Renewable,
    metrics: Option<TcpListener>,
) -> Result<(), String> {
    lock_programs().replace(pipe.clone());
    let served = serve(builder, listeners, renewable, pipe, metrics, |_| Ok(()));
    lock_programs().iter().for_each(handlers::Pipe::stop);
    served
}

#[cfg(unix)]
fn lock_programs() -> MutexGuard<'static, Option<handlers::Pipe>> {
    PROGRAMS.lock().unwrap_or_else(PoisonError::into_inner)
}

fn upstream(address: &str, arguments: &Arguments) -> Upstream {
    let upstream = Upstream::from(address).rustls();
    match arguments.relay.upstream_timeout {
        Some(timeout) => upstream.timeout(timeout),
        None => upstream,
    }
}

fn proxy(arguments: &Arguments) -> handlers::Proxy {
    handlers::Proxy::to(upstream(&arguments.remote, arguments).tls(arguments.relay.upstream_tls))
        .x_peer(!arguments.relay.no_x_peer)
        .xforward(!arguments.xforward.is_empty())
        .from_networks(arguments.relay.relay_networks.iter().copied())
        .to_domains(&arguments.relay.relay_domains)
        .open_relay(arguments.relay.open_relay)
}

fn builder(arguments: &Arguments, tls: Option<Tls>, accounts: Option<&Accounts>) -> Builder {
    let mut builder = Server::builder()
        .data_size_limit(arguments.size)
        .smtputf8(arguments.smtputf8)
        .lmtp(arguments.lmtp)
        .ignore_unknown_parameters(arguments.ignore_unknown_parameters)
        .require_tls(arguments.tls.require_tls)
        .require_auth(arguments.logins.require_auth)
        .max_recipients(arguments.limits.max_recipients)
        .max_connections(possible_connections(arguments.limits.max_connections, descriptors_of_programs(arguments)))
        .max_connections_per_address(arguments.limits.max_per_address)
        .xclient(arguments.xclient.iter().copied())
        .xforward(arguments.xforward.iter().copied());
    if let Some(timeout) = arguments.limits.timeout {
        builder = builder.command_timeout(timeout).data_timeout(timeout.min(Duration::from_secs(180)));
    }
    if let Some(proxies) = &arguments.proxy_protocol {
        builder = match proxies[..] {
            [] => builder.proxy_protocol(Network::loopback()),
            _ => builder.proxy_protocol(proxies.iter().copied()),
        };
    }
    if let Some(tls) = tls {
        builder = builder.tls(tls);
    }
    let users = accounts.map(|accounts| accounts.users.clone());
    let logins = Logins { users, by_certificate: arguments.logins.client_ca.is_some() };
    if logins.users.is_some() || logins.by_certificate {
        builder = builder.authenticator(logins);
    }
    if let Some(hostname) = &arguments.hostname {
        builder = builder.hostname(hostname);
    }
    builder
}

fn show(
    web: Web,
    builder: Builder,
    listeners: Vec<Listener>,
    renewable: Renewable,
    metrics: Option<TcpListener>,
) -> Result<(), String> {
    let (builder, handler) = (web.prepare(builder), web.handler());
    serve(builder, listeners, renewable, handler, metrics, |server| {
        let url = web.start(server).map_err(|e| format!("cannot start a thread: {e}"))?;
        tell(format_args!("inbox at {url}"));
        Ok(())
    })
}

fn serve(
    builder: Builder,
    listeners: Vec<Listener>,
    renewable: Renewable,
    handler: impl Handler + 'static,
    metrics: Option<TcpListener>,
    when_it_listens: impl FnOnce(&Server) -> Result<(), String>,
) -> Result<(), String> {
    // Before the server is ready: whoever reads that it is may send a signal at once.
    let renewal = renewable.is_any().then_some(SIGHUP);
    let signals = Signals::new([SIGINT, SIGTERM, SIGXFSZ, SIGCHLD].into_iter().chain(renewal))
        .map_err(|e| format!("cannot handle signals: {e}"))?;
    let mut listeners = listeners.into_iter();
    let first = listeners.next().ok_or("there is nothing to listen at")?;
    let server = listeners.fold(builder, Builder::listen).serve(first, handler).map_err(|e| match e {
        Error::Setting(problem) => usage(ErrorKind::ValueValidation, &problem.to_string()),
        e => explain(&e),
    })?;
    let end = heed(signals, renewable)?;
    for endpoint in server.local_endpoints() {
        tell(format_args!("listening on {endpoint}"));
    }
    when_it_listens(&server)?;
    let no_thread = |e| format!("cannot start a thread: {e}");
    if let Some(listener) = metrics {
        tell(format_args!("metrics at {}", metrics::start(listener, Arc::new(server.handle())).map_err(no_thread)?));
    }
    let handle = server.handle();
    service_manager::watch(move || handle.is_responsive()).map_err(no_thread)?;
    service_manager::is_ready();
    // An error would mean that no signal can come any more.
    let _ = end.recv();
    service_manager::is_stopping();
    // By its owner, so that a Unix socket is removed before the process ends. How many connections had to be cut is logged.
    server.shutdown(GRACE);
    Ok(())
}

/// SIGHUP, which comes only if there is something to renew, reads it again; the first SIGINT or SIGTERM is passed on, and a
/// second one ends the process.
fn heed(mut signals: Signals, renewable: Renewable) -> Result<Receiver<()>, String> {
    let (sender, end) = channel();
    let wait = move || {
        let mut is_ending = false;
        for signal in signals.forever() {
            match signal {
                SIGHUP => service_manager::reload(|| renewable.renew()),
                // A file over the limit (ulimit -f): a message that cannot be stored, and no reason to end.
                SIGXFSZ => {}
                // A program has ended. Were the signal ignored, as a parent may have it, nobody would learn with which status.
                SIGCHLD => {}
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
    // rustls warns of what clients get wrong, which may be any number of them.
    let filter =
        env_logger::Env::default().default_filter_or(if debug { "pillarbox=trace" } else { "warn,rustls=error" });
    env_logger::Builder::from_env(filter).format(|out, record| writeln!(out, "pillarbox: {}", record.args())).init();
}
