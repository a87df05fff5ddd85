//! The `pillarbox` command: a mail server from the command line, with the words of `python -m smtpd`.

use std::fmt::Display;
use std::io::Write;
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use clap::error::ErrorKind;
use pillarbox::{Builder, Error, Handler, Listener, Network, Server, Upstream, handlers};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGXFSZ};
use signal_hook::iterator::Signals;

mod accounts;
mod causes;
mod certificate;
mod descriptors;
mod options;
mod privileges;
mod web;

use accounts::Accounts;
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
    // Both may be files that only root can read.
    let tls = match (&arguments.tls_cert, &arguments.tls_key) {
        (Some(cert), Some(key)) => Some(Certificate::read(cert, key)?),
        _ => None,
    };
    let accounts = arguments.users.as_deref().map(Accounts::read).transpose()?;
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
    if !arguments.nosetuid {
        privileges::drop()?;
        // Now, and not on the day on which the certificate is renewed.
        tls.as_ref().map_or(Ok(()), Certificate::check_that_it_can_be_renewed)?;
        if let Some(accounts) = &accounts {
            accounts.warn_unless_it_can_be_read_again();
        }
    }
    // Made only now: it belongs to the user that will write to it.
    let builder = builder(&arguments, tls.as_ref(), accounts.as_ref());
    let renewable = Renewable { certificate: tls, accounts };
    let handler: Box<dyn Handler> = match arguments.class {
        Class::Debugging => Box::new(handlers::Debugging::stdout()),
        // There is one: else that was an error of usage.
        Class::Inbox => return web.map_or(Ok(()), |web| show(web, builder, listener, renewable)),
        Class::Sink => Box::new(handlers::Sink),
        Class::Maildir => {
            let folder = folder.unwrap_or_default();
            let maildir = handlers::Maildir::create(&folder)
                .map_err(|e| format!("cannot use the Maildir {}: {e}", folder.display()))?;
            Box::new(maildir)
        }
        Class::PureProxy => Box::new(proxy(&arguments)),
        Class::MailmanProxy => {
            let lists = upstream(&arguments.mailman, &arguments);
            Box::new(handlers::Mailman::at(lists, proxy(&arguments)))
        }
    };
    serve(builder, listener, renewable, handler, |_| Ok(()))
}

/// What comes from files that SIGHUP reads again.
struct Renewable {
    certificate: Option<Certificate>,
    accounts: Option<Accounts>,
}

impl Renewable {
    fn is_any(&self) -> bool {
        self.certificate.is_some() || self.accounts.is_some()
    }

    fn renew(&self) {
        if let Some(certificate) = &self.certificate {
            certificate.renew();
        }
        if let Some(accounts) = &self.accounts {
            accounts.reload();
        }
    }
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

fn upstream(address: &str, arguments: &Arguments) -> Upstream {
    let upstream = Upstream::from(address);
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

fn builder(arguments: &Arguments, tls: Option<&Certificate>, accounts: Option<&Accounts>) -> Builder {
    let mut builder = Server::builder()
        .data_size_limit(arguments.size)
        .smtputf8(arguments.smtputf8)
        .lmtp(arguments.lmtp)
        .ignore_unknown_parameters(arguments.ignore_unknown_parameters)
        .require_tls(arguments.require_tls)
        .require_auth(arguments.require_auth)
        .max_recipients(arguments.max_recipients)
        .max_connections(possible_connections(arguments.max_connections))
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
    if let Some(accounts) = accounts {
        builder = builder.authenticator(accounts.users.clone());
    }
    if let Some(hostname) = &arguments.hostname {
        builder = builder.hostname(hostname);
    }
    builder
}

fn show(web: Web, builder: Builder, listener: Listener, renewable: Renewable) -> Result<(), String> {
    let (builder, handler) = (web.prepare(builder), web.handler());
    serve(builder, listener, renewable, handler, |server| {
        let url = web.start(server.local_endpoints().iter()).map_err(|e| format!("cannot start a thread: {e}"))?;
        tell(format_args!("inbox at {url}"));
        Ok(())
    })
}

fn serve(
    builder: Builder,
    listener: Listener,
    renewable: Renewable,
    handler: impl Handler + 'static,
    when_it_listens: impl FnOnce(&Server) -> Result<(), String>,
) -> Result<(), String> {
    // Before the server is ready: whoever reads that it is may send a signal at once.
    let renewal = renewable.is_any().then_some(SIGHUP);
    let signals = Signals::new([SIGINT, SIGTERM, SIGXFSZ].into_iter().chain(renewal))
        .map_err(|e| format!("cannot handle signals: {e}"))?;
    let server = builder.serve(listener, handler).map_err(|e| match e {
        Error::Setting(problem) => usage(ErrorKind::ValueValidation, &problem.to_string()),
        e => explain(&e),
    })?;
    let end = heed(signals, renewable)?;
    for endpoint in server.local_endpoints() {
        tell(format_args!("listening on {endpoint}"));
    }
    when_it_listens(&server)?;
    // An error would mean that no signal can come any more.
    let _ = end.recv();
    // By its owner, so that a Unix socket is removed before the process ends. How many connections had to be cut is logged.
    server.shutdown(GRACE);
    Ok(())
}

/// SIGHUP reads again what may have changed; the first SIGINT or SIGTERM is passed on, and a second one ends the process.
fn heed(mut signals: Signals, renewable: Renewable) -> Result<Receiver<()>, String> {
    let (sender, end) = channel();
    let wait = move || {
        let mut is_ending = false;
        for signal in signals.forever() {
            match signal {
                // It is not heeded where there is nothing to renew.
                SIGHUP => renewable.renew(),
                // A file over the limit (ulimit -f): a message that cannot be stored, and no reason to end.
                SIGXFSZ => {}
                _ if is_ending => std::process::exit(1),
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
