//! The options of `pillarbox deliver`.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::NonEmptyStringValueParser;
use clap::{ArgGroup, Parser};

#[cfg(unix)]
use crate::options::PipeOptions;
use crate::options::{RedisPlace, UpstreamOptions, parse_remote};
use crate::values::{parse_positive, parse_seconds, parse_tcp};

// The headings of the help for what one destination uses.
pub const RELAY: &str = "With --relay";
pub const PROGRAM: &str = "With a program";

const USAGE: &str = "pillarbox deliver --redis URL [OPTIONS] (--maildir DIR | --relay ADDR | -- PROGRAM...)";

const EXAMPLES: &str = "\
Examples:
  pillarbox deliver --redis redis://redis.example.org --maildir in
                                        store what is in the stream in the Maildir \"in\"
  pillarbox deliver --redis redis://redis.example.org --relay lmtp:unix:/run/dovecot/lmtp
                                        give it to Dovecot
  pillarbox deliver --redis redis://redis.example.org -- ./accept.py
                                        have a program decide: exit status 0 is done, 75 asks to try again";

/// Takes messages off the Redis stream that pillarbox -c RedisStream fills: stores or relays each, or gives it to a program
#[derive(Parser)]
#[command(
    name = "deliver",
    display_name = "pillarbox deliver",
    bin_name = "pillarbox deliver",
    version,
    disable_version_flag = true
)]
#[command(after_help = EXAMPLES, override_usage = USAGE)]
#[command(group = ArgGroup::new("destination").args(["maildir", "relay", "program"]).required(true))]
pub struct DeliverArguments {
    #[command(flatten)]
    pub place: RedisPlace,

    /// The workers that share the stream
    #[arg(long, value_name = "NAME", default_value = "pillarbox", value_parser = NonEmptyStringValueParser::new())]
    pub group: String,

    /// This worker's name in its group, unique; with a fixed one it goes on at once after a kill
    /// [default: a new one]
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    pub consumer: Option<String>,

    /// Store messages in this Maildir, each once; created if missing
    #[arg(long, value_name = "DIR")]
    pub maildir: Option<PathBuf>,

    /// Relay messages: HOST:PORT or unix:PATH; lmtp: in front selects LMTP
    #[arg(long, value_name = "ADDR", value_parser = parse_remote)]
    pub relay: Option<String>,

    /// The program to run for each message, and its arguments
    #[arg(last = true, value_name = "PROGRAM")]
    pub program: Vec<OsString>,

    /// Most messages at once
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = parse_positive)]
    pub in_flight: usize,

    /// Attempts at a message before it goes to the dead letters
    #[arg(long, value_name = "N", default_value_t = 500, value_parser = parse_positive)]
    pub max_attempts: usize,

    /// The stream for what cannot be delivered [default: the stream's name and :dead]
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    pub dead_letters: Option<String>,

    /// Take over the messages of a worker that gave no sign of life for this time
    #[arg(long, value_name = "SECONDS", default_value = "60", value_parser = parse_seconds)]
    pub take_over_after: Duration,

    /// Skip messages that were done within this time, which Redis remembers
    #[arg(long, value_name = "SECONDS", value_parser = parse_seconds)]
    pub once_for: Option<Duration>,

    /// Serve /metrics, /livez and /readyz over HTTP here: HOST:PORT
    #[arg(long, value_name = "ADDR", value_parser = parse_tcp)]
    pub metrics: Option<String>,

    /// Stay root instead of becoming the user nobody
    #[arg(short = 'n', long)]
    pub nosetuid: bool,

    /// Log at the level trace
    #[arg(short = 'd', long)]
    pub debug: bool,

    /// Print the version
    #[arg(short = 'V', long, action = clap::ArgAction::Version)]
    pub version: Option<bool>,

    #[command(flatten, next_help_heading = RELAY)]
    pub next_server: UpstreamOptions,

    #[cfg(unix)]
    #[command(flatten)]
    pub pipe: PipeOptions,
}
