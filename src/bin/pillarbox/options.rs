//! The command line: options, their help, the manual page.

use std::ffi::{OsStr, OsString};
use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{PossibleValue, TypedValueParser};
use clap::error::ErrorKind;
use clap::{ArgGroup, Parser};
use pillarbox::{Network, UpstreamTls};

use crate::digits::parse_digits;
use crate::listen::Listen;
#[cfg(unix)]
use crate::values::parse_mode;
use crate::values::{parse_local, parse_size, parse_tcp};

/// Receives mail by SMTP and prints, shows, stores, relays or discards it.
#[derive(Parser)]
#[command(name = "pillarbox", version, disable_version_flag = true, after_help = [LISTENERS, "\n\n", EXAMPLES].concat())]
#[command(group = ArgGroup::new("logins").args(["users", "client_ca"]).multiple(true))]
pub struct Arguments {
    /// Where to listen: HOST:PORT, [IPV6]:PORT, unix:PATH, or systemd: for a socket passed in; port 0 takes any free one
    /// [default: localhost:8025, if there is no --listen]
    #[arg(value_name = "LOCALADDR", value_parser = Listen::parse)]
    pub local: Option<Listen>,

    /// Where PureProxy and MailmanProxy relay to: HOST:PORT or unix:PATH; lmtp: in front selects LMTP
    #[arg(value_name = "REMOTEADDR", default_value = "localhost:25", value_parser = parse_remote)]
    pub remote: String,

    /// Listen here as well, with options of its own; repeatable
    #[arg(short = 'l', long, value_name = "ADDR,OPTION,...", value_parser = Listen::parse)]
    pub listen: Vec<Listen>,

    /// Permissions of the socket at unix:PATH, as for chmod: 660
    #[cfg(unix)]
    #[arg(long, value_name = "MODE", value_parser = parse_mode)]
    pub socket_mode: Option<u32>,

    /// Stay root instead of becoming the user nobody
    #[arg(short = 'n', long)]
    pub nosetuid: bool,

    /// Print the version
    #[arg(short = 'V', long, action = clap::ArgAction::Version)]
    pub version: Option<bool>,

    // Without commas, which would leave no room for the last.
    /// DebuggingServer Inbox Maildir Pipe Sink PureProxy MailmanProxy
    #[arg(short = 'c', long, value_name = "NAME", default_value = "DebuggingServer", hide_default_value = true)]
    #[arg(value_parser = CLASS, hide_possible_values = true)]
    pub class: Class,

    /// Largest message, in octets; 0 is unlimited
    #[arg(short = 's', long, value_name = "BYTES", default_value_t = 33_554_432, value_parser = parse_size)]
    pub size: u64,

    /// Offer SMTPUTF8
    #[arg(short = 'u', long)]
    pub smtputf8: bool,

    /// Print the conversation on stderr
    #[arg(short = 'd', long)]
    pub debug: bool,

    /// Serve the class Inbox here, as web page and JSON: HOST:PORT
    #[arg(long, value_name = "ADDR", value_parser = parse_tcp)]
    pub http: Option<String>,

    /// Let other machines reach it; there is no password
    #[arg(long, requires = "http")]
    pub http_public: bool,

    /// Another name under which it is reached, as through a proxy
    #[arg(long, value_name = "NAME", requires = "http", value_parser = parse_name)]
    pub http_host: Vec<String>,

    /// Serve /metrics, /livez and /readyz over HTTP here: HOST:PORT
    #[arg(long, value_name = "ADDR", value_parser = parse_tcp)]
    pub metrics: Option<String>,

    /// The folder of the class Maildir; created if missing
    #[arg(long, value_name = "DIR")]
    pub maildir: Option<PathBuf>,

    /// The program that the class Pipe runs for each message, and its arguments
    #[cfg(unix)]
    #[arg(last = true, value_name = "PROGRAM")]
    pub program: Vec<OsString>,

    /// Give the program lines that end with LF instead of CRLF
    #[cfg(unix)]
    #[arg(long, requires = "program")]
    pub lf: bool,

    /// Longest run of the program
    #[cfg(unix)]
    #[arg(long, value_name = "SECONDS", requires = "program", default_value = "60", value_parser = parse_seconds)]
    pub pipe_timeout: Duration,

    /// Most programs at once; further messages wait
    #[cfg(unix)]
    #[arg(long, value_name = "N", requires = "program", default_value_t = 16, value_parser = parse_positive)]
    pub pipe_processes: usize,

    /// Run the program for each recipient, one after the other
    #[cfg(unix)]
    #[arg(long, requires = "program")]
    pub pipe_each: bool,

    /// Address of Mailman's LMTP runner
    #[arg(long, value_name = "ADDR", default_value = "localhost:8024", value_parser = parse_local)]
    pub mailman: String,

    /// Also relay for clients in these networks
    #[arg(long, value_name = "NETWORKS", value_delimiter = ',')]
    pub relay_networks: Vec<Network>,

    /// Relay to these domains for everybody
    #[arg(long, value_name = "DOMAINS", value_delimiter = ',')]
    pub relay_domains: Vec<String>,

    /// Relay anything for everybody
    #[arg(long)]
    pub open_relay: bool,

    /// TLS to the upstream: off, offered (default), required, implicit
    #[arg(
        long,
        value_name = "WHEN",
        default_value = "offered",
        hide_default_value = true,
        hide_possible_values = true
    )]
    #[arg(value_parser = UPSTREAM_TLS)]
    pub upstream_tls: UpstreamTls,

    /// Longest wait for it at each step, then the client reads a 4xx
    #[arg(long, value_name = "SECONDS", value_parser = parse_seconds)]
    pub upstream_timeout: Option<Duration>,

    /// Add no X-Peer header with the client's address
    #[arg(long)]
    pub no_x_peer: bool,

    /// Maximum connections at once
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = parse_positive)]
    pub max_connections: usize,

    /// Maximum connections at once from one address
    // By the library's name as well, which would leave the list of options no room for what they do.
    #[arg(long, alias = "max-connections-per-address", value_name = "N", value_parser = parse_positive)]
    pub max_per_address: Option<usize>,

    /// Maximum recipients of a message
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = parse_positive)]
    pub max_recipients: usize,

    /// Maximum wait for a client to send or read
    #[arg(long, value_name = "SECONDS", value_parser = parse_seconds)]
    pub timeout: Option<Duration>,

    /// The server's name in its banner [default: the machine's]
    #[arg(long, value_name = "NAME")]
    pub hostname: Option<String>,

    /// Offer STARTTLS with this certificate chain; once for each name
    #[arg(long, value_name = "PEM", requires = "tls_key")]
    pub tls_cert: Vec<PathBuf>,

    /// The key of each certificate, in the same order
    #[arg(long, value_name = "PEM", requires = "tls_cert")]
    pub tls_key: Vec<PathBuf>,

    /// Make a certificate now, and write its authority to FILE
    #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true, conflicts_with = "tls_cert")]
    pub self_signed: Option<Option<PathBuf>>,

    /// Use implicit TLS instead of STARTTLS
    #[arg(long)]
    pub smtps: bool,

    /// Refuse mail without TLS
    #[arg(long)]
    pub require_tls: bool,

    /// Offer AUTH to users in a file of USER:SECRET; SIGHUP reloads it
    #[arg(long, value_name = "FILE")]
    pub users: Option<PathBuf>,

    /// Offer AUTH EXTERNAL to certificates by these authorities
    #[arg(long, value_name = "PEM")]
    pub client_ca: Option<PathBuf>,

    /// Refuse certificates that these lists of the authorities revoke
    #[arg(long, value_name = "PEM", requires = "client_ca")]
    pub client_crl: Option<PathBuf>,

    /// Refuse mail from clients that have not authenticated
    #[arg(long, requires = "logins")]
    pub require_auth: bool,

    /// Speak LMTP
    #[arg(long)]
    pub lmtp: bool,

    /// Ignore unknown parameters of MAIL and RCPT instead of refusing
    #[arg(long)]
    pub ignore_unknown_parameters: bool,

    /// Expect a PROXY header from this machine, or from NETWORKS
    #[arg(long, value_name = "NETWORKS", num_args = 0..=1, require_equals = true, value_delimiter = ',')]
    pub proxy_protocol: Option<Vec<Network>>,

    /// Accept XCLIENT from these networks
    #[arg(long, value_name = "NETWORKS", value_delimiter = ',')]
    pub xclient: Vec<Network>,

    /// Accept XFORWARD from these networks; PureProxy passes it on
    #[arg(long, value_name = "NETWORKS", value_delimiter = ',')]
    pub xforward: Vec<Network>,

    /// Print the manual page or a shell's completions: man, bash, elvish, fish, powershell, zsh
    #[arg(long, value_name = "WHAT", hide = true, value_parser = parse_generated)]
    pub generate: Option<Generated>,
}

const LISTENERS: &str = "\
Listeners:
  Behind an address, LOCALADDR's as well, options for this listener alone may follow, after commas. The
  options above hold for all listeners.
  tls                 implicit TLS, as on port 465
  require-tls         refuse mail without TLS
  require-auth        refuse mail from clients that have not authenticated
  no-auth             offer no AUTH, and require none
  lmtp                speak LMTP
  smtputf8            offer SMTPUTF8
  size=BYTES          largest message
  mode=MODE           permissions of the socket at unix:PATH
  cert=PEM,key=PEM    a certificate of its own; SIGHUP reloads it too
  systemd:NAME        as an address, the socket of this FileDescriptorName";

const EXAMPLES: &str = "\
Examples:
  pillarbox -n                          print what arrives at localhost:8025
  pillarbox -n -c Inbox --http :8026    show what arrives at http://localhost:8026/
  pillarbox -n -c Maildir --maildir in  store it in the Maildir \"in\"
  pillarbox -n -c Pipe -- ./accept.py   have a program decide: exit status 0 accepts, 75 asks to try again
  pillarbox -n -c PureProxy localhost:8025 mail.example.org:25
                                        relay what comes from this machine
  pillarbox -n -c Maildir --maildir in --users users --tls-cert cert.pem --tls-key key.pem
      -l 0.0.0.0:25,no-auth -l 0.0.0.0:465,tls,require-auth -l unix:lmtp,lmtp,mode=660,no-auth
                                        receive from servers, users and local programs";

/// The manual page after the options, in roff.
const MORE_OF_THE_PAGE: &str = r#".SH SIGNALS
.TP
SIGINT, SIGTERM
Stop: idle clients are told, and messages in progress may finish within fifteen seconds. A second signal stops it at once.
.TP
SIGHUP
Reads the certificates, their keys, the authorities of clients, their revocation lists and the file of users again, if there are
any; else it ends it. Whatever cannot be read or used stays as it was, with a line in the log. Files of certificates, keys, authorities
and lists that change are read again within ten seconds without it. Root becomes the user nobody unless \-n is given, so nobody must be able to read
these files, and the start fails otherwise; of users that nobody cannot read it warns.
.SH CLIENT CERTIFICATES
With \-\-client\-ca clients are asked for a certificate, except by listeners with no\-auth. One that no authority in the file
signed ends the handshake; without any a client may connect. AUTH EXTERNAL makes a client the first e\-mail address of its certificate's
subjectAltName, else the first DNS name there, else the common name of its subject; an authorization identity must be the same.
.P
With \-\-client\-crl certificates that are revoked end the handshake too. The file has a list (PEM, of version 2) of each authority in
a client's chain: a client of whom no list speaks is refused, and so are all clients of an authority whose list has expired.
.SH ENVIRONMENT
.TP
RUST_LOG
The level of the log on stderr: off, error, warn (the default), info, debug or trace (as with \-\-debug).
.TP
NOTIFY_SOCKET, WATCHDOG_USEC
Set by systemd, which is then told when the server is ready, reloads or stops, and that it works: see sd_notify(3).
.SH HTTP
With \-\-metrics, and with the class Inbox at \-\-http:
.TP
/metrics
Counters of connections, messages, refusals and more, as OpenMetrics, or as Prometheus's text format by the field Accept.
.TP
/livez
200 while the server works, 503 if a listener or a handler hangs.
.TP
/readyz
The same, and 503 once a shutdown has begun.
.SH THE PROGRAM OF THE CLASS PIPE
It gets the message on its stdin, and the envelope as variables: PILLARBOX_SENDER, PILLARBOX_RECIPIENTS (one a line),
PILLARBOX_PEER, PILLARBOX_HELO, PILLARBOX_PROTOCOL, PILLARBOX_IDENTITY, PILLARBOX_TLS, PILLARBOX_ID, PILLARBOX_SIZE and others. Of the
server's variables it gets PATH, HOME, USER, LOGNAME, TMPDIR, LANG, LC_ALL, LC_CTYPE and TZ; env(1) sets others. Exit status 0 accepts the message,
75 asks the client to try again, any other refuses it. A last line on stdout such as \(dq550 5.7.1 no spam\(dq is the reply
instead; it accepts nothing unless the exit status is 0. What it prints on stderr is logged.
.SH EXIT STATUS
0 after a signal to stop, 1 if it cannot start or got a second signal, 2 for errors in the command line.
.SH SEE ALSO
curl(1), swaks(1), systemd.service(5), systemd.socket(5)"#;

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Class {
    Debugging,
    Inbox,
    Sink,
    Maildir,
    #[cfg(unix)]
    Pipe,
    PureProxy,
    MailmanProxy,
}

/// What is made from the words of the command line.
#[derive(Clone, Copy)]
pub enum Generated {
    Man,
    Completions(clap_complete::Shell),
}

impl Generated {
    pub fn write(self, out: &mut impl Write) -> io::Result<()> {
        let mut command = <Arguments as clap::CommandFactory>::command();
        match self {
            Generated::Man => {
                let page = clap_mangen::Man::new(command);
                page.render_title(out)?;
                page.render_name_section(out)?;
                page.render_synopsis_section(out)?;
                page.render_description_section(out)?;
                page.render_options_section(out)?;
                write_section(out, "LISTENERS", LISTENERS)?;
                write_section(out, "EXAMPLES", EXAMPLES)?;
                writeln!(out, "{MORE_OF_THE_PAGE}")
            }
            Generated::Completions(shell) => {
                // It cannot report what goes wrong.
                let mut script = Vec::new();
                clap_complete::generate(shell, &mut command, "pillarbox", &mut script);
                out.write_all(&script)
            }
        }
    }
}

/// A section of the manual page, from one of the help: not as clap makes it, which fills its lines.
fn write_section(out: &mut impl Write, name: &str, help: &str) -> io::Result<()> {
    writeln!(out, ".SH {name}\n.nf")?;
    for line in help.lines().skip(1) {
        writeln!(out, "{}", line.strip_prefix("  ").unwrap_or(line).replace('-', "\\-"))?;
    }
    writeln!(out, ".fi")
}

impl Arguments {
    /// The arguments of the process, which ends if they are invalid.
    pub fn read() -> Arguments {
        Arguments::parse_from(with_networks_joined(std::env::args_os()))
    }

    /// Whether there is one for the listeners that have none of their own.
    pub fn has_certificate(&self) -> bool {
        !self.tls_cert.is_empty() || self.self_signed.is_some()
    }
}

pub fn usage(kind: ErrorKind, message: &str) -> ! {
    <Arguments as clap::CommandFactory>::command().error(kind, message).exit()
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

fn parse_generated(text: &str) -> Result<Generated, String> {
    match text {
        "man" => Ok(Generated::Man),
        shell => shell.parse().map(Generated::Completions),
    }
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

/// A function that parses, and the names that completions offer for what it takes.
#[derive(Clone)]
struct Named<T> {
    names: &'static [&'static str],
    parse: fn(&str) -> Result<T, String>,
}

const CLASS: Named<Class> = Named { names: CLASSES, parse: parse_class };

#[cfg(unix)]
const CLASSES: &[&str] = &["DebuggingServer", "Inbox", "Maildir", "Pipe", "Sink", "PureProxy", "MailmanProxy"];
#[cfg(not(unix))]
const CLASSES: &[&str] = &["DebuggingServer", "Inbox", "Sink", "PureProxy", "MailmanProxy"];

const UPSTREAM_TLS: Named<UpstreamTls> =
    Named { names: &["off", "offered", "required", "implicit"], parse: parse_upstream_tls };

impl<T: Clone + Send + Sync + 'static> TypedValueParser for Named<T> {
    type Value = T;

    fn parse_ref(
        &self,
        command: &clap::Command,
        argument: Option<&clap::Arg>,
        value: &OsStr,
    ) -> Result<T, clap::Error> {
        self.parse.parse_ref(command, argument, value)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        Some(Box::new(self.names.iter().map(PossibleValue::new)))
    }
}

/// A host's name without a port.
fn parse_name(text: &str) -> Result<String, String> {
    let is_name = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
    match !text.is_empty() && text.bytes().all(is_name) {
        true => Ok(text.to_owned()),
        false => Err("expected a name without a port".to_owned()),
    }
}

fn parse_class(name: &str) -> Result<Class, String> {
    // smtpd took the name of a module before that of its class.
    match name.rsplit_once('.').map_or(name, |(_, class)| class).to_ascii_lowercase().as_str() {
        "debuggingserver" => Ok(Class::Debugging),
        "inbox" => Ok(Class::Inbox),
        "sink" => Ok(Class::Sink),
        "maildir" => Ok(Class::Maildir),
        #[cfg(unix)]
        "pipe" => Ok(Class::Pipe),
        "pureproxy" => Ok(Class::PureProxy),
        "mailmanproxy" => Ok(Class::MailmanProxy),
        _ => Err("the classes are DebuggingServer, Inbox, Sink, Maildir, Pipe, PureProxy and MailmanProxy".to_owned()),
    }
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
