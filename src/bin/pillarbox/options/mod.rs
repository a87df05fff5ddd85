//! The command line: options and their help.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::{Arg, ArgGroup, ArgMatches, CommandFactory, FromArgMatches, Parser};
use pillarbox::Network;

mod class;
mod environment;
mod help;
mod inbox;
mod limits;
mod logins;
mod named;
mod nearest;
mod page;
#[cfg(unix)]
mod pipe;
mod redis;
mod relay;
mod tls;

use class::CLASS;
pub use class::Class;
#[cfg(unix)]
pub use class::PIPE;
use environment::Environment;
pub use environment::Words;
use help::{CLASSES, ENVIRONMENT, EXAMPLES, LISTENERS, MORE, OFTEN};
use inbox::InboxOptions;
use limits::LimitOptions;
use logins::LoginOptions;
use page::{Generated, parse_generated};
#[cfg(unix)]
pub use pipe::PipeOptions;
pub use redis::{RedisOptions, RedisPlace};
use relay::RelayOptions;
pub use relay::{UpstreamOptions, parse_remote};
use tls::TlsOptions;

use crate::listen::Listen;
#[cfg(unix)]
use crate::values::parse_mode;
use crate::values::{parse_size, parse_tcp};

/// Receives mail by SMTP and prints, shows, stores, relays or discards it.
#[derive(Parser)]
#[command(name = "pillarbox", version, disable_version_flag = true, disable_help_flag = true, max_term_width = 100)]
#[command(after_help = [CLASSES, LISTENERS, ENVIRONMENT, EXAMPLES].join("\n\n"))]
#[command(group = ArgGroup::new("authenticators").args(["users", "client_ca", "accept_any_login"]).multiple(true))]
pub struct Arguments {
    /// Where to listen: HOST:PORT, [IPV6]:PORT, unix:PATH, or systemd: for a socket passed in; port 0 takes any free one
    /// [default: localhost:8025, if there is no --listen]
    #[arg(value_name = "LOCALADDR", value_parser = Listen::parse)]
    pub local: Option<Listen>,

    /// Where PureProxy and MailmanProxy relay to: HOST:PORT or unix:PATH; lmtp: in front selects LMTP
    #[arg(value_name = "REMOTEADDR", default_value = "localhost:25", value_parser = parse_remote)]
    pub remote: String,

    /// The program that the class Pipe runs for each message, and its arguments
    #[cfg(unix)]
    #[arg(last = true, value_name = "PROGRAM")]
    pub program: Vec<OsString>,

    /// Listen here as well, with options of its own; repeatable
    #[arg(short = 'l', long, value_name = "ADDR,OPTION,...", value_parser = Listen::parse)]
    pub listen: Vec<Listen>,

    /// Permissions of the socket at unix:PATH, as for chmod: 660
    #[cfg(unix)]
    #[arg(long, value_name = "MODE", value_parser = parse_mode)]
    pub socket_mode: Option<u32>,

    /// Share the port with other processes that share it as well
    #[arg(long)]
    pub reuse_port: bool,

    /// Stay root instead of becoming the user nobody
    #[arg(short = 'n', long)]
    pub nosetuid: bool,

    /// Print the version
    #[arg(short = 'V', long, action = clap::ArgAction::Version)]
    pub version: Option<bool>,

    /// Print help; -h: the options that are used most
    #[arg(short = 'h', long, action = clap::ArgAction::Help)]
    pub help: Option<bool>,

    /// What happens to messages; see Classes [default: DebuggingServer]
    #[arg(short = 'c', long, value_name = "NAME", default_value = "DebuggingServer", hide_default_value = true)]
    #[arg(value_parser = CLASS, hide_possible_values = true)]
    pub class: Class,

    /// Largest message, in octets; 0 is unlimited [default: 33554432]
    #[arg(short = 's', long, value_name = "BYTES", value_parser = parse_size)]
    pub size: Option<u64>,

    /// Offer SMTPUTF8
    #[arg(short = 'u', long)]
    pub smtputf8: bool,

    /// Print the conversation on stderr
    #[arg(short = 'd', long)]
    pub debug: bool,

    /// The server's name in its banner [default: the machine's]
    #[arg(long, value_name = "NAME")]
    pub hostname: Option<String>,

    /// Speak LMTP
    #[arg(long)]
    pub lmtp: bool,

    /// Ignore unknown parameters of MAIL and RCPT instead of refusing
    #[arg(long)]
    pub ignore_unknown_parameters: bool,

    /// Serve /metrics, /livez and /readyz over HTTP here: HOST:PORT
    #[arg(long, value_name = "ADDR", value_parser = parse_tcp)]
    pub metrics: Option<String>,

    #[command(flatten)]
    pub inbox: InboxOptions,

    /// The folder; created if missing
    #[arg(long, value_name = "DIR", help_heading = class::MAILDIR)]
    pub maildir: Option<PathBuf>,

    #[cfg(unix)]
    #[command(flatten)]
    pub pipe: PipeOptions,

    #[command(flatten)]
    pub redis: RedisOptions,

    #[command(flatten)]
    pub relay: RelayOptions,

    #[command(flatten)]
    pub tls: TlsOptions,

    #[command(flatten)]
    pub logins: LoginOptions,

    #[command(flatten)]
    pub limits: LimitOptions,

    /// Expect a PROXY header from this machine, or from NETWORKS
    #[arg(long, value_name = "NETWORKS", num_args = 0..=1, require_equals = true, value_delimiter = ',')]
    #[arg(help_heading = "Trusted clients")]
    pub proxy_protocol: Option<Vec<Network>>,

    /// Accept XCLIENT from these networks
    #[arg(long, value_name = "NETWORKS", value_delimiter = ',', help_heading = "Trusted clients")]
    pub xclient: Vec<Network>,

    /// Accept XFORWARD from these networks; PureProxy passes it on
    #[arg(long, value_name = "NETWORKS", value_delimiter = ',', help_heading = "Trusted clients")]
    pub xforward: Vec<Network>,

    /// Print the manual page or a shell's completions: man, bash, elvish, fish, powershell, zsh
    #[arg(long, value_name = "WHAT", hide = true, value_parser = parse_generated)]
    pub generate: Option<Generated>,
}

impl Arguments {
    /// The arguments of the process, in its words and its environment. It ends if they are invalid.
    pub fn read() -> Arguments {
        let words = with_networks_joined(std::env::args_os());
        read(command(), short, words, |command, given, words| {
            let arguments = Arguments::from_arg_matches(given)?;
            class::check(arguments.class, command, given, |argument| words.name(argument))
                .map_err(|problem| command.clone().error(ErrorKind::ArgumentConflict, problem))?;
            Ok(arguments)
        })
    }
}

/// What `make` makes of a command's words and the environment. The process ends if they are invalid, or ask for help: that of `-h`
/// is the one of what `short` makes of the command.
pub fn read<T>(
    command: clap::Command,
    short: impl Fn(clap::Command) -> clap::Command,
    words: Vec<OsString>,
    make: impl Fn(&clap::Command, &ArgMatches, &Words) -> Result<T, clap::Error>,
) -> T {
    let environment = Environment::read();
    let mut command = environment.with_addresses(command);
    command.build();
    let all = match environment.add_to(&words, &command) {
        Ok(all) => all,
        Err(problem) => usage_of(command, ErrorKind::ValueValidation, &problem),
    };
    let parsed = command.clone().try_get_matches_from(&all.all).and_then(|given| make(&command, &given, &all));
    match parsed {
        Ok(arguments) => arguments,
        // Not by clap's own short help, with which the long one would have three lines for each option.
        Err(e) if e.kind() == ErrorKind::DisplayHelp && !words.iter().any(|word| word == "--help") => {
            short(command).try_get_matches_from(["pillarbox", "--help"]).map_or_else(|e| e.exit(), |_| e.exit())
        }
        Err(e) => all.explain(e).exit(),
    }
}

/// Warns of variables in the environment that look like options and are none.
pub fn warn_of_unknown_variables(commands: &[clap::Command]) {
    Environment::read().warnings(commands).iter().for_each(|warning| log::warn!("{warning}"));
}

/// The command line as clap has it.
pub fn command() -> clap::Command {
    let is_number = |argument: &Arg| {
        let names = argument.get_value_names().unwrap_or_default();
        names.iter().any(|name| ["BYTES", "N", "SECONDS"].contains(&name.as_str()))
    };
    // So that its own message says what is wrong with -1: else that would be an unknown option.
    <Arguments as CommandFactory>::command()
        .mut_args(|argument| if is_number(&argument) { argument.allow_negative_numbers(true) } else { argument })
}

/// With the help that `-h` prints.
fn short(command: clap::Command) -> clap::Command {
    let is_seldom = |argument: &Arg| !OFTEN.contains(&argument.get_id().as_str());
    command.mut_args(|argument| if is_seldom(&argument) { argument.hide(true) } else { argument }).after_help(MORE)
}

pub fn usage(kind: ErrorKind, message: &str) -> ! {
    usage_of(command(), kind, message)
}

/// An error in the words of a command.
pub fn usage_of(mut command: clap::Command, kind: ErrorKind, message: &str) -> ! {
    let tips = Environment::read().tips(&command, message);
    let mut message = message.to_owned();
    for tip in tips {
        message += &format!("\n\n  tip: {tip}");
    }
    command.error(kind, message).exit()
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
