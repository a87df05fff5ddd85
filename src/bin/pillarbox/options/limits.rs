//! The options for limits.

use std::time::Duration;

use clap::Args;

use crate::values::{parse_positive, parse_seconds};

#[derive(Args)]
#[command(next_help_heading = "Limits")]
pub struct LimitOptions {
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
}
