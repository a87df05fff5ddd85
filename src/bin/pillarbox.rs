//! The `pillarbox` command: a mail server from the command line, with the words of `python -m smtpd`.

use std::ffi::OsString;
use std::fmt::Display;
use std::io::Write;
use std::net::SocketAddrV6;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::str::FromStr;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use clap::Parser;
use clap::error::ErrorKind;
use pillarbox::{Builder, Error, Handler, Listener, Network, Server, Tls, Upstream, UpstreamTls, Users, handlers};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// How long a shutdown lets messages in progress finish.
const GRACE: Duration = Duration::from_secs(15);

/// File descriptors that are needed for other things than connections.
const SPARE_DESCRIPTORS: u64 = 32;

/// Receives mail by SMTP, and prints it, stores it, relays it or throws it away.
#[derive(Parser)]
#[command(name = "pillarbox", version, disable_version_flag = true, after_help = EXAMPLES)]
struct Arguments {
    /// Where to listen: HOST:PORT, [IPV6]:PORT or unix:PATH; port 0 is any free one
    #[arg(value_name = "LOCALADDR", default_value = "localhost:8025", value_parser = parse_local)]
    local: String,

    /// Where the proxies relay to: HOST:PORT or unix:PATH; with lmtp: before it, by LMTP
    #[arg(value_name = "REMOTEADDR", default_value = "localhost:25", value_parser = parse_remote)]
    remote: String,

    /// Stay root; else root becomes the user nobody once it listens
    #[arg(short = 'n', long)]
    nosetuid: bool,

    /// Print the version
    #[arg(short = 'V', long, action = clap::ArgAction::Version)]
    version: Option<bool>,

    /// DebuggingServer, Sink, Maildir, PureProxy or MailmanProxy
    #[arg(short = 'c', long, value_name = "NAME", default_value = "DebuggingServer", hide_default_value = true)]
    #[arg(value_parser = parse_class)]
    class: Class,

    /// Most octets of a message; 0 is no limit
    #[arg(short = 's', long, value_name = "BYTES", default_value_t = 33_554_432, value_parser = parse_size)]
    size: u64,

    /// Offer SMTPUTF8
    #[arg(short = 'u', long)]
    smtputf8: bool,

    /// Print the conversation on stderr
    #[arg(short = 'd', long)]
    debug: bool,

    /// The folder of the class Maildir; made if it is not there
    #[arg(long, value_name = "DIR")]
    maildir: Option<PathBuf>,

    /// Mailman's LMTP runner
    #[arg(long, value_name = "ADDR", default_value = "localhost:8024", value_parser = parse_local)]
    mailman: String,

    /// Relay for the clients of these networks too
    #[arg(long, value_name = "NETWORKS", value_delimiter = ',')]
    relay_networks: Vec<Network>,

    /// Relay for everybody to these domains
    #[arg(long, value_name = "DOMAINS", value_delimiter = ',')]
    relay_domains: Vec<String>,

    /// Relay for everybody to anywhere
    #[arg(long)]
    open_relay: bool,

    /// TLS to it: off, offered, required, implicit
    #[arg(long, value_name = "WHEN", default_value = "offered", value_parser = parse_upstream_tls)]
    upstream_tls: UpstreamTls,

    /// Most connections at once
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = parse_positive)]
    max_connections: usize,

    /// Most connections at once from one address
    // By the library's name as well, which would leave the list of options no room for what they do.
    #[arg(long, alias = "max-connections-per-address", value_name = "N", value_parser = parse_positive)]
    max_per_address: Option<usize>,

    /// Most recipients of a message
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = parse_positive)]
    max_recipients: usize,

    /// Longest wait for a client to send or to read
    #[arg(long, value_name = "SECONDS", value_parser = parse_seconds)]
    timeout: Option<Duration>,

    /// The server's name in its banner [default: the machine's]
    #[arg(long, value_name = "NAME")]
    hostname: Option<String>,

    /// Offer STARTTLS by this certificate chain; SIGHUP renews it
    #[arg(long, value_name = "PEM", requires = "tls_key")]
    tls_cert: Option<PathBuf>,

    /// The certificate's key, in PKCS#8
    #[arg(long, value_name = "PEM", requires = "tls_cert")]
    tls_key: Option<PathBuf>,

    /// Begin with TLS at once, and not by STARTTLS
    #[arg(long, requires = "tls_cert")]
    smtps: bool,

    /// Take no mail without TLS
    #[arg(long, requires = "tls_cert")]
    require_tls: bool,

    /// Offer AUTH to the users in this file of USER:SECRET lines
    #[arg(long, value_name = "FILE")]
    users: Option<PathBuf>,

    /// Take no mail from clients that are not authenticated
    #[arg(long, requires = "users")]
    require_auth: bool,

    /// Speak LMTP
    #[arg(long)]
    lmtp: bool,

    /// Expect a PROXY header from this machine, or from NETWORKS
    #[arg(long, value_name = "NETWORKS", num_args = 0..=1, require_equals = true, value_delimiter = ',')]
    proxy_protocol: Option<Vec<Network>>,
}

const EXAMPLES: &str = "\
Examples:
  pillarbox -n                          print what arrives at localhost:8025
  pillarbox -n -c Maildir --maildir in  store it in the Maildir \"in\"
  pillarbox -n -c PureProxy localhost:8025 mail.example.org:25
                                        relay what comes from this machine";

#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Debugging,
    Sink,
    Maildir,
    PureProxy,
    MailmanProxy,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse_from(with_networks_joined(std::env::args_os()));
    start_log(arguments.debug);
    match run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            tell(message);
            ExitCode::FAILURE
        }
    }
}

/// Lets `--proxy-protocol NETWORKS` be said without an equals sign: what follows it is an address to listen at unless it
/// can only be a list of networks.
fn with_networks_joined(arguments: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let mut joined: Vec<OsString> = Vec::new();
    for argument in arguments {
        let is_networks = |text: &str| text.split(',').all(|network| network.parse::<Network>().is_ok());
        match joined.last_mut() {
            Some(last) if *last == "--proxy-protocol" && argument.to_str().is_some_and(is_networks) => {
                last.push("=");
                last.push(argument);
            }
            _ => joined.push(argument),
        }
    }
    joined
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
    let users = match &arguments.users {
        Some(file) => {
            Some(Users::from_file(file).map_err(|e| format!("cannot use {}: {}", file.display(), chain(&e)))?)
        }
        None => None,
    };
    let mut listener = Listener::from(&arguments.local);
    if arguments.smtps {
        listener = listener.implicit_tls();
    }
    let listener = listener.bind().map_err(|e| explain(&e))?;
    if !arguments.nosetuid {
        privileges::drop()?;
    }
    // Made only now: it belongs to the user that will write to it.
    let builder = builder(&arguments, tls.as_ref(), users);
    match arguments.class {
        Class::Debugging => serve(builder, listener, tls, handlers::Debugging::stdout()),
        Class::Sink => serve(builder, listener, tls, handlers::Sink),
        Class::Maildir => {
            let folder = folder.unwrap_or_default();
            let maildir = handlers::Maildir::create(&folder)
                .map_err(|e| format!("cannot use the Maildir {}: {e}", folder.display()))?;
            serve(builder, listener, tls, maildir)
        }
        Class::PureProxy => serve(builder, listener, tls, proxy(&arguments)),
        Class::MailmanProxy => {
            let mailman = handlers::Mailman::at(&arguments.mailman, proxy(&arguments));
            serve(builder, listener, tls, mailman)
        }
    }
}

fn proxy(arguments: &Arguments) -> handlers::Proxy {
    handlers::Proxy::to(Upstream::from(&arguments.remote).tls(arguments.upstream_tls))
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
    if let Some(users) = users {
        builder = builder.authenticator(users);
    }
    if let Some(hostname) = &arguments.hostname {
        builder = builder.hostname(hostname);
    }
    builder
}

fn serve(
    builder: Builder,
    listener: Listener,
    certificate: Option<Certificate>,
    handler: impl Handler + 'static,
) -> Result<(), String> {
    // Before the server is ready: whoever reads that it is may send a signal at once.
    let renewal = certificate.is_some().then_some(SIGHUP);
    let signals = Signals::new([SIGINT, SIGTERM].into_iter().chain(renewal))
        .map_err(|e| format!("cannot handle signals: {e}"))?;
    let server = builder.serve(listener, handler).map_err(|e| match e {
        Error::Setting(problem) => usage(ErrorKind::ValueValidation, problem),
        e => explain(&e),
    })?;
    let end = heed(signals, certificate)?;
    for endpoint in server.local_endpoints() {
        tell(format_args!("listening on {endpoint}"));
    }
    // An error would mean that no signal can come any more.
    let _ = end.recv();
    // By its owner, so that a Unix socket is removed before the process ends. How many connections had to be cut is logged.
    server.shutdown(GRACE);
    Ok(())
}

/// A certificate, and the files that it came from.
struct Certificate {
    tls: Tls,
    cert: PathBuf,
    key: PathBuf,
}

impl Certificate {
    fn read(cert: &Path, key: &Path) -> Result<Certificate, String> {
        let read = |path: &Path| std::fs::read(path).map_err(|e| format!("cannot read {}: {e}", path.display()));
        let tls = Tls::from_pem(&read(cert)?, &read(key)?)
            .map_err(|e| format!("cannot use {} with {}: {}", cert.display(), key.display(), chain(&e)))?;
        Ok(Certificate { tls, cert: cert.to_owned(), key: key.to_owned() })
    }

    /// Reads the files again; connections from now on get what is in them.
    fn renew(&self) {
        match Certificate::read(&self.cert, &self.key) {
            Ok(new) => self.tls.replace(new.tls),
            Err(message) => log::error!("the certificate stays as it was: {message}"),
        }
    }
}

/// An error with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text += &format!(": {error}");
        cause = error.source();
    }
    text
}

/// SIGHUP renews the certificate; the first other signal is passed on, and a second one ends the process.
fn heed(mut signals: Signals, certificate: Option<Certificate>) -> Result<Receiver<()>, String> {
    let (sender, end) = channel();
    let wait = move || {
        let mut is_ending = false;
        for signal in signals.forever() {
            match (signal, &certificate) {
                (SIGHUP, Some(certificate)) => certificate.renew(),
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

/// An error with what to do about it.
fn explain(error: &Error) -> String {
    use std::io::ErrorKind;
    let hint = match error {
        Error::Bind { address, source } => match (source.kind(), address.starts_with("unix:")) {
            (ErrorKind::AddrInUse, false) => "; another server is there: stop it, or choose another port",
            (ErrorKind::AddrInUse, true) => "; something else is there: remove it, or choose another path",
            (ErrorKind::PermissionDenied, false) => {
                "; ports below 1024 are root's: choose another port, or start it as root"
            }
            (ErrorKind::PermissionDenied, true) => "; choose a path in a folder that you may write to",
            (ErrorKind::NotFound, true) => "; make the folder first, or choose another path",
            (ErrorKind::AddrNotAvailable, _) => "; choose an address of this machine",
            _ => "",
        },
        _ => "",
    };
    format!("{error}{hint}")
}

fn usage(kind: ErrorKind, message: &str) -> ! {
    <Arguments as clap::CommandFactory>::command().error(kind, message).exit()
}

/// What [`parse_local`] takes, as SMTP's or LMTP's.
fn parse_remote(text: &str) -> Result<String, String> {
    match text.strip_prefix("lmtp:") {
        Some(address) => parse_local(address).map(|address| format!("lmtp:{address}")),
        None => parse_local(text),
    }
}

fn parse_upstream_tls(text: &str) -> Result<UpstreamTls, String> {
    match text {
        "off" => Ok(UpstreamTls::Off),
        "offered" => Ok(UpstreamTls::WhenOffered),
        "required" => Ok(UpstreamTls::Required),
        "implicit" => Ok(UpstreamTls::Implicit),
        _ => Err("expected off, offered, required or implicit".to_owned()),
    }
}

/// HOST:PORT with an IPv6 address in brackets; no host is localhost, as smtpd had it.
fn parse_tcp(text: &str) -> Result<String, String> {
    const FORM: &str = "expected HOST:PORT, such as localhost:8025 or [::1]:25";
    let (host, port) = text.rsplit_once(':').ok_or(FORM)?;
    let _: u16 = parse_digits(port).ok_or(FORM)?;
    let is_valid = match host.contains([':', '[', ']']) {
        true => text.parse::<SocketAddrV6>().is_ok(),
        false => !host.contains(char::is_whitespace),
    };
    match host {
        _ if !is_valid => Err(FORM.to_owned()),
        "" => Ok(format!("localhost:{port}")),
        _ => Ok(text.to_owned()),
    }
}

fn parse_local(text: &str) -> Result<String, String> {
    match text.strip_prefix("unix:") {
        Some("") => Err("expected unix:PATH".to_owned()),
        Some(_) => Ok(text.to_owned()),
        None => parse_tcp(text),
    }
}

fn parse_class(name: &str) -> Result<Class, String> {
    // smtpd took the name of a module before that of its class.
    match name.rsplit_once('.').map_or(name, |(_, class)| class).to_ascii_lowercase().as_str() {
        "debuggingserver" => Ok(Class::Debugging),
        "sink" => Ok(Class::Sink),
        "maildir" => Ok(Class::Maildir),
        "pureproxy" => Ok(Class::PureProxy),
        "mailmanproxy" => Ok(Class::MailmanProxy),
        _ => Err("the classes are DebuggingServer, Sink, Maildir, PureProxy and MailmanProxy".to_owned()),
    }
}

/// Numbers without a sign, which std's parsers would take.
fn parse_digits<N: FromStr>(text: &str) -> Option<N> {
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

fn parse_size(text: &str) -> Result<u64, String> {
    parse_digits(text).ok_or_else(|| "expected a number of octets, in digits only".to_owned())
}

fn parse_positive(text: &str) -> Result<usize, String> {
    parse_digits(text).filter(|n| *n > 0).ok_or_else(|| "expected a number above 0".to_owned())
}

fn parse_seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse::<f64>().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    seconds
        .filter(|time| *time >= Duration::from_millis(1))
        .ok_or_else(|| "expected a number of seconds above 0".to_owned())
}

/// As many connections as were asked for, or as the process may have descriptors for.
#[cfg(unix)]
fn possible_connections(wanted: usize) -> usize {
    use nix::sys::resource::{Resource, getrlimit};
    let Ok((descriptors, _)) = getrlimit(Resource::RLIMIT_NOFILE) else { return wanted };
    let possible = usize::try_from(descriptors.saturating_sub(SPARE_DESCRIPTORS).max(1)).unwrap_or(usize::MAX);
    if wanted > possible {
        log::warn!("only {descriptors} file descriptors allowed (ulimit -n): at most {possible} connections");
    }
    wanted.min(possible)
}

#[cfg(not(unix))]
fn possible_connections(wanted: usize) -> usize {
    wanted
}

#[cfg(unix)]
mod privileges {
    use nix::unistd::{User, geteuid, getuid, setgid, setgroups, setuid};

    /// Turns root into nobody, for good.
    pub fn drop() -> Result<(), String> {
        if !geteuid().is_root() {
            return Ok(());
        }
        let hint = "try running with -n";
        let nobody = User::from_name("nobody")
            .map_err(|e| format!("cannot look up the user nobody: {e}; {hint}"))?
            .ok_or_else(|| format!("there is no user nobody; {hint}"))?;
        setgroups(&[nobody.gid])
            .and_then(|()| setgid(nobody.gid))
            .and_then(|()| setuid(nobody.uid))
            .map_err(|e| format!("cannot become the user nobody: {e}; {hint}"))?;
        if getuid() != nobody.uid || geteuid() != nobody.uid || setuid(nix::unistd::Uid::from_raw(0)).is_ok() {
            return Err(format!("did not become the user nobody; {hint}"));
        }
        Ok(())
    }
}

#[cfg(not(unix))]
mod privileges {
    /// There is no root to give up.
    pub fn drop() -> Result<(), String> {
        Ok(())
    }
}
