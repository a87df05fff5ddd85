//! The options of the class Pipe.

use std::time::Duration;

use clap::Args;

use super::class;
use crate::values::{parse_positive, parse_seconds};

#[derive(Args)]
#[command(next_help_heading = class::PIPE)]
pub struct PipeOptions {
    /// Give the program lines that end with LF instead of CRLF
    #[arg(long)]
    pub lf: bool,

    /// Longest run of the program
    #[arg(long, value_name = "SECONDS", default_value = "60", value_parser = parse_seconds)]
    pub pipe_timeout: Duration,

    /// Most programs at once; further messages wait
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = parse_positive)]
    pub pipe_processes: usize,

    /// Run the program for each recipient, one after the other
    #[arg(long)]
    pub pipe_each: bool,
}
