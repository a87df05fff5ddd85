//! The `pillarbox` command: a mail server from the command line, with the words of `python -m smtpd`.

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::error::ErrorKind;
use pillarbox::handlers::{RedisStream, RedisTls};
use pillarbox::{Builder, Error, Handler, Listener, Network, Server, ServerHandle, Tls, Upstream, handlers};

mod accounts;
mod any_login;
mod causes;
mod certificate;
mod deliver;
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
mod redis;
mod self_signed;
mod service_manager;
mod signals;
mod stderr;
mod values;
mod web;

use accounts::Accounts;
use causes::explain;
use certificate::Certificate;
use descriptors::{possible_connections, possible_waiting};
use listeners::Listeners;
use logins::Logins;
use options::{Arguments, Class, RedisPlace, usage};
use redis::Trouble;
use stderr::{start_log, tell};
use web::{Passwords, Refused, Web};

fn main() -> ExitCode {
    let mut words = std::env::args_os();
    let name = words.next();
    let is_deliver = words.next().is_some_and(|word| word == deliver::NAME);
    let done = if is_deliver { deliver::run(name.into_iter().chain(words).collect()) } else { receive() };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            tell(message);
            ExitCode::FAILURE
        }
    }
}

/// What the command does without a subcommand.
fn receive() -> Result<(), String> {
    let arguments = Arguments::read();
    start_log(arguments.debug);
    options::warn_of_unknown_variables(&[options::command(), deliver::command()]);
    match arguments.generate {
        Some(what) => {
            let out = &mut std::io::stdout().lock();
            what.write(options::command(), deliver::command(), out).map_err(|e| format!("cannot print it: {e}"))
        }
        None => run(arguments),
    }
}

fn run(arguments: Arguments) -> Result<(), String> {
    let folder = match (arguments.class, &arguments.maildir) {
        (Class::Maildir, None) => usage(ErrorKind::MissingRequiredArgument, "-c Maildir needs --maildir DIR"),
        (Class::Maildir, Some(folder)) => Some(folder.clone()),
        _ => None,
    };
    #[cfg(unix)]
    if arguments.class == Class::Pipe && arguments.program.is_empty() {
        usage(ErrorKind::MissingRequiredArgument, "-c Pipe needs -- PROGRAM");
    }
    if arguments.logins.accept_any_login && matches!(arguments.class, Class::PureProxy | Class::MailmanProxy) {
        let problem = "--accept-any-login would make an open relay of it: clients that have logged in may relay";
        usage(ErrorKind::ArgumentConflict, problem);
    }
    // It may be a file that only root can read.
    let accounts = arguments.logins.users.as_deref().map(Accounts::read).transpose()?;
    let passwords = arguments.inbox.http_users.as_deref().map(read_passwords).transpose()?;
    let Listeners { listeners, tls, certificates, authority } = listeners::open(&arguments)?;
    let web = inbox(&arguments)?.map(|web| web.authority(authority).passwords(passwords.clone()));
    let metrics = arguments.metrics.as_deref().map(metrics::bind).transpose()?.map(Monitoring::of_a_server);
    let redis = stream(&arguments)?;
    if !arguments.nosetuid {
        privileges::drop()?;
        // Now, and not on the day on which the certificate is renewed.
        certificates.iter().try_for_each(Certificate::check_that_it_can_be_renewed)?;
        let all = accounts.iter().chain(passwords.iter().map(|passwords| passwords.accounts()));
        all.for_each(Accounts::warn_unless_it_can_be_read_again);
        stream(&arguments)?;
    }
    // Listeners may share the files.
    let problems: BTreeSet<String> = certificates.iter().flat_map(Certificate::problems).collect();
    problems.iter().for_each(tell);
    certificate::watch(certificates.clone()).map_err(|e| format!("cannot start a thread: {e}"))?;
    // Made only now: it belongs to the user that will write to it.
    let builder = builder(&arguments, tls, accounts.as_ref());
    let redis_tls = redis.as_ref().and_then(|(_, tls)| Some((tls.clone()?, arguments.redis.place.clone())));
    let renewable = Renewable { certificates, accounts, passwords, redis_tls };
    let handler: Box<dyn Handler> = match arguments.class {
        // Under smtpd's command line a server announced SIZE, and clients declared it, only if it was given a limit.
        Class::Debugging => Box::new(handlers::Debugging::stdout().size_option(arguments.size.is_some())),
        // There is one: else that was an error of usage.
        Class::Inbox => {
            let Some(web) = web else { return Ok(()) };
            return show(keep(web, &arguments)?, builder, listeners, renewable, metrics);
        }
        // There is one: else that was an error of usage.
        Class::RedisStream => {
            return redis.map_or(Ok(()), |(stream, _)| {
                let monitoring = metrics.map(|monitoring| monitoring.of_redis(stream.clone()));
                redis::check(stream.clone()).map_err(|e| format!("cannot start a thread: {e}"))?;
                serve(builder, listeners, renewable, stream, monitoring, |_| Ok(()))
            });
        }
        Class::Sink => Box::new(handlers::Sink),
        Class::Maildir => {
            let folder = folder.unwrap_or_default();
            let maildir = handlers::Maildir::create(&folder)
                .map_err(|e| format!("cannot use the Maildir {}: {e}", folder.display()))?;
            Box::new(maildir)
        }
        #[cfg(unix)]
        Class::Pipe => {
            return run_for_each(arguments.pipe.handler(&arguments.program)?, builder, listeners, renewable, metrics);
        }
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
    passwords: Option<Arc<Passwords>>,
    redis_tls: Option<(RedisTls, RedisPlace)>,
}

impl Renewable {
    fn is_any(&self) -> bool {
        !self.certificates.is_empty() || self.accounts.is_some() || self.passwords.is_some() || self.redis_tls.is_some()
    }

    fn renew(&self) {
        self.certificates.iter().for_each(Certificate::renew);
        if let Some(accounts) = &self.accounts {
            accounts.reload();
        }
        if let Some(passwords) = &self.passwords {
            passwords.reload();
        }
        if let Some((tls, place)) = &self.redis_tls {
            redis::renew(tls, place);
        }
    }
}

/// Where those who watch the server ask, and what they watch beside it.
struct Monitoring {
    listener: TcpListener,
    stream: Option<RedisStream>,
}

impl Monitoring {
    fn of_a_server(listener: TcpListener) -> Monitoring {
        Monitoring { listener, stream: None }
    }

    fn of_redis(self, stream: RedisStream) -> Monitoring {
        Monitoring { stream: Some(stream), ..self }
    }

    /// Gives the address of the numbers.
    fn start(self, server: ServerHandle) -> std::io::Result<String> {
        match self.stream {
            Some(stream) => metrics::start(self.listener, Arc::new(redis::Receiver::watch(server, stream)?)),
            None => metrics::start(self.listener, Arc::new(server)),
        }
    }
}

/// The stream of the class RedisStream, and its certificates, if it is that which was asked for.
fn stream(arguments: &Arguments) -> Result<Option<(RedisStream, Option<RedisTls>)>, String> {
    if arguments.class != Class::RedisStream {
        return Ok(None);
    }
    redis::stream(&arguments.redis).map(Some).map_err(|trouble| match trouble {
        Trouble::Usage(kind, problem) => usage(kind, &problem),
        Trouble::File(problem) => problem,
    })
}

/// The web inbox, if it is that which was asked for.
fn inbox(arguments: &Arguments) -> Result<Option<Web>, String> {
    if arguments.class != Class::Inbox {
        return Ok(None);
    }
    let place = &arguments.inbox.http;
    match Web::bind(place, arguments.inbox.http_public, arguments.inbox.http_host.clone()) {
        Ok(web) => Ok(Some(web)),
        Err(Refused::Public(address)) => usage(
            ErrorKind::ValueValidation,
            &format!("everybody who reaches {address} could read the mail: --http-public allows that"),
        ),
        Err(Refused::Bind(source)) => {
            let problem = explain(&Error::Bind { address: place.clone(), source });
            Err(format!("{problem}: --http says where page and API are"))
        }
    }
}

/// The users of the web inbox.
fn read_passwords(file: &Path) -> Result<Arc<Passwords>, String> {
    Accounts::read(file).and_then(Passwords::new).map(Arc::new)
}

/// Gives the web inbox its messages.
fn keep(web: Web, arguments: &Arguments) -> Result<Web, String> {
    let room = arguments.inbox.room();
    let web = web.waiting(possible_waiting(arguments.limits.max_connections));
    let web = match &arguments.inbox.release_to {
        Some(server) => web.release(server, arguments.inbox.release_pattern.clone()),
        None => web,
    };
    #[cfg(unix)]
    if let Some(folder) = &arguments.inbox.inbox_dir {
        return web.keep_in(folder, room).map_err(|e| format!("cannot keep messages in {}: {e}", folder.display()));
    }
    Ok(web.keep(room))
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

/// How many descriptors are for other things than connections.
fn other_descriptors(arguments: &Arguments) -> u64 {
    match arguments.class {
        Class::Inbox => (http::clients::MAX_CLIENTS + possible_waiting(arguments.limits.max_connections)) as u64,
        _ => descriptors_of_programs(arguments),
    }
}

/// As [`serve`], until the last program has ended: the shutdown itself does not wait for a handler for long.
#[cfg(unix)]
fn run_for_each(
    pipe: handlers::Pipe,
    builder: Builder,
    listeners: Vec<Listener>,
    renewable: Renewable,
    metrics: Option<Monitoring>,
) -> Result<(), String> {
    signals::lock_programs().replace(pipe.clone());
    let served = serve(builder, listeners, renewable, pipe, metrics, |_| Ok(()));
    signals::lock_programs().iter().for_each(handlers::Pipe::stop);
    served
}

fn upstream(address: &str, arguments: &Arguments) -> Upstream {
    let upstream = Upstream::from(address).rustls();
    match arguments.relay.upstream.upstream_timeout {
        Some(timeout) => upstream.timeout(timeout),
        None => upstream,
    }
}

fn proxy(arguments: &Arguments) -> handlers::Proxy {
    handlers::Proxy::to(upstream(&arguments.remote, arguments).tls(arguments.relay.upstream.upstream_tls))
        .x_peer(!arguments.relay.upstream.no_x_peer)
        .xforward(!arguments.xforward.is_empty())
        .from_networks(arguments.relay.relay_networks.iter().copied())
        .to_domains(&arguments.relay.relay_domains)
        .open_relay(arguments.relay.open_relay)
}

fn builder(arguments: &Arguments, tls: Option<Tls>, accounts: Option<&Accounts>) -> Builder {
    let mut builder = Server::builder()
        .smtputf8(arguments.smtputf8 || arguments.class == Class::Inbox)
        .lmtp(arguments.lmtp)
        .ignore_unknown_parameters(arguments.ignore_unknown_parameters)
        .require_tls(arguments.tls.require_tls)
        .require_auth(arguments.logins.require_auth)
        .clear_text_auth(arguments.logins.clear_text_auth)
        .max_recipients(arguments.limits.max_recipients)
        .max_connections(possible_connections(arguments.limits.max_connections, other_descriptors(arguments)))
        .max_connections_per_address(arguments.limits.max_per_address)
        .xclient(arguments.xclient.iter().copied())
        .xforward(arguments.xforward.iter().copied());
    if let Some(size) = arguments.size {
        builder = builder.data_size_limit(size);
    }
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
    if arguments.logins.accept_any_login {
        builder = any_login::accept(builder);
    }
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
    metrics: Option<Monitoring>,
) -> Result<(), String> {
    let (builder, handler) = (web.prepare(builder), web.handler());
    let is_open = web.is_open();
    serve(builder, listeners, renewable, handler, metrics, |server| {
        let url = web.start(server).map_err(|e| format!("cannot start a thread: {e}"))?;
        tell(format_args!("inbox at {url}"));
        if is_open {
            log::warn!(
                "everybody who reaches the inbox can read and delete its mail: --http-users asks for a password"
            );
        }
        Ok(())
    })
}

fn serve(
    builder: Builder,
    listeners: Vec<Listener>,
    renewable: Renewable,
    handler: impl Handler + 'static,
    metrics: Option<Monitoring>,
    when_it_listens: impl FnOnce(&Server) -> Result<(), String>,
) -> Result<(), String> {
    // Before the server is ready: whoever reads that it is may send a signal at once.
    let signals = signals::take(renewable.is_any()).map_err(|e| format!("cannot handle signals: {e}"))?;
    let mut listeners = listeners.into_iter();
    let first = listeners.next().ok_or("there is nothing to listen at")?;
    let server = listeners.fold(builder, Builder::listen).serve(first, handler).map_err(|e| match e {
        Error::Setting(problem) => usage(ErrorKind::ValueValidation, &problem.to_string()),
        e => explain(&e),
    })?;
    let no_thread = |e| format!("cannot start a thread: {e}");
    let end = signals::heed(signals, move || renewable.renew()).map_err(no_thread)?;
    for endpoint in server.local_endpoints() {
        tell(format_args!("listening on {endpoint}"));
    }
    when_it_listens(&server)?;
    if let Some(monitoring) = metrics {
        tell(format_args!("metrics at {}", monitoring.start(server.handle()).map_err(no_thread)?));
    }
    let handle = server.handle();
    service_manager::watch(move || handle.is_responsive()).map_err(no_thread)?;
    service_manager::is_ready();
    // An error would mean that no signal can come any more.
    let _ = end.recv();
    service_manager::is_stopping();
    // By its owner, so that a Unix socket is removed before the process ends. How many connections had to be cut is logged.
    server.shutdown(signals::GRACE);
    Ok(())
}
