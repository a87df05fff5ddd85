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

    /// Refuse certificates that these lists of the authorities revoke
    #[arg(long, value_name = "PEM", requires = "client_ca")]
    pub client_crl: Option<PathBuf>,

    /// Accept any name and password, also without TLS: for tests only
    #[arg(long, conflicts_with = "users")]
    pub accept_any_login: bool,

    /// Offer PLAIN and LOGIN to --users without TLS as well
    #[arg(long, requires = "users")]
    pub clear_text_auth: bool,

    /// Refuse mail from clients that have not authenticated
    #[arg(long, requires = "authenticators")]
    pub require_auth: bool,
}

impl LoginOptions {
    /// Whether clients can authenticate at all.
    pub fn are_any(&self) -> bool {
        self.users.is_some() || self.client_ca.is_some() || self.accept_any_login
    }
}
