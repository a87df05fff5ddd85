//! The options for TLS.

use std::path::PathBuf;

use clap::Args;

#[derive(Args)]
#[command(next_help_heading = "TLS")]
pub struct TlsOptions {
    /// Offer STARTTLS with this certificate chain; once for each name
    #[arg(long, value_name = "PEM", requires = "tls_key")]
    pub tls_cert: Vec<PathBuf>,

    /// The key of each certificate, in the same order
    #[arg(long, value_name = "PEM", requires = "tls_cert")]
    pub tls_key: Vec<PathBuf>,

    /// Make a certificate now, and write its authority to FILE
    #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true, conflicts_with = "tls_cert")]
    pub self_signed: Option<Option<PathBuf>>,

    /// Use implicit TLS instead of STARTTLS
    #[arg(long)]
    pub smtps: bool,

    /// Refuse mail without TLS
    #[arg(long)]
    pub require_tls: bool,
}

impl TlsOptions {
    /// Whether there is a certificate for the listeners that have none of their own.
    pub fn has_certificate(&self) -> bool {
        !self.tls_cert.is_empty() || self.self_signed.is_some()
    }
}
