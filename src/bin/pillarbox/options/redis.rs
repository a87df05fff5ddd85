//! The options for Redis: where it is, and how its stream is used.

use std::path::PathBuf;

use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use clap::error::ErrorKind;

use super::class;
use crate::values::parse_positive;

/// Of the class RedisStream.
#[derive(Args)]
#[command(next_help_heading = class::REDIS)]
pub struct RedisOptions {
    #[command(flatten)]
    pub place: RedisPlace,

    /// Most entries in the stream; then clients read 452
    #[arg(long, value_name = "N", default_value_t = 100_000, value_parser = parse_positive)]
    pub stream_length: usize,

    /// Most octets of Redis's memory for the stream
    #[arg(long, value_name = "BYTES", value_parser = parse_positive)]
    pub stream_octets: Option<usize>,

    /// Accept a message only when so many replicas have it
    #[arg(long, value_name = "N", value_parser = parse_positive)]
    pub wait_replicas: Option<usize>,
}

/// What those who put messages into a stream and those who take them off have in common.
#[derive(Args, Clone)]
pub struct RedisPlace {
    // Not parsed here: clap would show an invalid one, with the password in it.
    /// redis://[[USER:]PASSWORD@]HOST[:PORT][/DATABASE]; rediss: for TLS
    #[arg(long, value_name = "URL")]
    pub redis: Option<String>,

    /// The stream's key
    #[arg(long, value_name = "NAME", default_value = "pillarbox", value_parser = NonEmptyStringValueParser::new())]
    pub stream: String,

    /// Trust Redis's certificate by these authorities alone
    #[arg(long, value_name = "PEM")]
    pub redis_ca: Option<PathBuf>,

    /// The certificate to show to Redis
    #[arg(long, value_name = "PEM", requires = "redis_key")]
    pub redis_cert: Option<PathBuf>,

    /// Its key
    #[arg(long, value_name = "PEM", requires = "redis_cert")]
    pub redis_key: Option<PathBuf>,
}

impl RedisPlace {
    /// The URL, if the options fit each other.
    ///
    /// # Errors
    /// What to tell about them.
    pub fn url(&self, who: &str) -> Result<&str, (ErrorKind, String)> {
        let Some(url) = self.redis.as_deref() else {
            return Err((ErrorKind::MissingRequiredArgument, format!("{who} needs --redis URL")));
        };
        let is_secure = ["rediss://", "valkeys://"].iter().any(|scheme| url.starts_with(scheme));
        let files = [(&self.redis_ca, "--redis-ca"), (&self.redis_cert, "--redis-cert")];
        match files.iter().find(|(file, _)| file.is_some() && !is_secure) {
            Some((_, option)) => Err((ErrorKind::ArgumentConflict, format!("{option} is for a URL with rediss://"))),
            None => Ok(url),
        }
    }
}
