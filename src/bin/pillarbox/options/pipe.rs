//! The options of the class Pipe.

use std::ffi::OsString;
use std::time::Duration;

use clap::Args;
use pillarbox::{Escaped, handlers};

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

impl PipeOptions {
    /// The handler that runs a program, given with its arguments.
    ///
    /// # Errors
    /// A message for the user, if the program cannot be run. Only the user who will run it can tell.
    pub fn handler(&self, program: &[OsString]) -> Result<handlers::Pipe, String> {
        let [program, own @ ..] = program else { return Err("no program".to_owned()) };
        let pipe = handlers::Pipe::new(program)
            .args(own)
            .lf(self.lf)
            .timeout(self.pipe_timeout)
            .processes(self.pipe_processes)
            .each_recipient(self.pipe_each);
        pipe.check().map_err(|e| format!("cannot run {}: {e}", Escaped::new(program.as_encoded_bytes())))?;
        Ok(pipe)
    }
}
