//! The options of the class Inbox.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::class;
use super::named::Named;
use crate::values::{parse_name, parse_octets, parse_positive, parse_tcp, parse_time};
use crate::web::{Pattern, Room, WhenFull};

#[derive(Args)]
#[command(next_help_heading = class::INBOX)]
pub struct InboxOptions {
    /// Serve page and API here: HOST:PORT [default: localhost:8026]
    #[arg(long, value_name = "ADDR", default_value = "localhost:8026", hide_default_value = true)]
    #[arg(value_parser = parse_tcp)]
    pub http: String,

    /// Let other machines reach page and API
    #[arg(long)]
    pub http_public: bool,

    /// Ask for a password; FILE has USER:SECRET lines, SIGHUP reloads it
    #[arg(long, value_name = "FILE")]
    pub http_users: Option<PathBuf>,

    /// Further host names of page and API, as behind a proxy
    #[arg(long, value_name = "NAMES", value_delimiter = ',', value_parser = parse_name)]
    pub http_host: Vec<String>,

    /// Keep at most N messages [default: 10000]
    #[arg(long, value_name = "N", value_parser = parse_positive)]
    pub keep: Option<usize>,

    /// Keep at most BYTES octets of messages [default: 268435456]
    #[arg(long, value_name = "BYTES", value_parser = parse_octets)]
    pub keep_octets: Option<u64>,

    /// Delete messages after a time: 90s, 30m, 12h, 7d [default: never]
    #[arg(long, value_name = "TIME", allow_hyphen_values = true, value_parser = parse_time)]
    pub keep_for: Option<Duration>,

    /// When full: drop-oldest (default), or refuse further messages
    #[arg(long, value_name = "WHAT", hide_possible_values = true, value_parser = WHEN_FULL)]
    pub when_full: Option<WhenFull>,

    /// Allow sending messages on to this server: HOST:PORT
    #[arg(long, value_name = "ADDR", requires = "release_pattern", value_parser = parse_tcp)]
    pub release_to: Option<String>,

    /// Only to these recipients, as *@example.org; repeatable
    #[arg(long, value_name = "PATTERN", requires = "release_to", value_delimiter = ',', value_parser = Pattern::parse)]
    pub release_pattern: Vec<Pattern>,

    /// Keep the messages in this folder, also over a restart
    #[cfg(unix)]
    #[arg(long, value_name = "DIR")]
    pub inbox_dir: Option<PathBuf>,
}

impl InboxOptions {
    /// How much it keeps.
    pub fn room(&self) -> Room {
        let usual = Room::default();
        Room {
            messages: self.keep.unwrap_or(usual.messages),
            octets: self.keep_octets.unwrap_or(usual.octets),
            time: self.keep_for,
            when_full: self.when_full.unwrap_or(usual.when_full),
        }
    }
}

const WHEN_FULL: Named<WhenFull> = Named { names: &["drop-oldest", "refuse"], parse: parse_when_full };

fn parse_when_full(text: &str) -> Result<WhenFull, String> {
    match text {
        "drop-oldest" => Ok(WhenFull::DropOldest),
        "refuse" => Ok(WhenFull::Refuse),
        _ => Err("expected drop-oldest or refuse".to_owned()),
    }
}
