//! The options for AUTH.

use std::path::PathBuf;

use clap::Args;

#[derive(Args)]
#[command(next_help_heading = "Logins")]
pub struct LoginOptions {
    /// Offer AUTH to users in a file of USER:SECRET; SIGHUP reloads it
    #[arg(long, value_name = "FILE")]
    pub users: Option<PathBuf>,

    /// Offer AUTH EXTERNAL to certificates by these authorities
    #[arg(long, value_name = "PEM")]
    pub client_ca: Option<PathBuf>,

    /// Refuse mail from clients that have not authenticated
    #[arg(long, requires = "authenticators")]
    pub require_auth: bool,
}
