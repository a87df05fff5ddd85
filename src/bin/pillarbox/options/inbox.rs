//! The options of the class Inbox.

use clap::Args;

use super::class;
use crate::values::{parse_name, parse_tcp};

#[derive(Args)]
#[command(next_help_heading = class::INBOX)]
pub struct InboxOptions {
    /// Serve it here, as web page and JSON: HOST:PORT
    #[arg(long, value_name = "ADDR", default_value = "localhost:8026", value_parser = parse_tcp)]
    pub http: String,

    /// Let other machines reach it; there is no password
    #[arg(long)]
    pub http_public: bool,

    /// Other names under which it is reached, as through a proxy
    #[arg(long, value_name = "NAMES", value_delimiter = ',', value_parser = parse_name)]
    pub http_host: Vec<String>,
}
