//! The options of the classes PureProxy and MailmanProxy: where they relay to, and for whom.

use std::time::Duration;

use clap::Args;
use pillarbox::{Network, UpstreamTls};

use super::class;
use super::named::Named;
use crate::values::{parse_local, parse_seconds};

#[derive(Args)]
#[command(next_help_heading = class::RELAY)]
pub struct RelayOptions {
    /// Also relay for clients in these networks
    #[arg(long, value_name = "NETWORKS", value_delimiter = ',')]
    pub relay_networks: Vec<Network>,

    /// Relay to these domains for everybody
    #[arg(long, value_name = "DOMAINS", value_delimiter = ',')]
    pub relay_domains: Vec<String>,

    /// Relay anything for everybody
    #[arg(long)]
    pub open_relay: bool,

    #[command(flatten)]
    pub upstream: UpstreamOptions,

    /// Address of Mailman's LMTP runner
    #[arg(long, value_name = "ADDR", default_value = "localhost:8024", value_parser = parse_local)]
    #[arg(help_heading = class::MAILMAN)]
    pub mailman: String,
}

/// The server that is relayed to, also by `pillarbox deliver`. The help has them below the heading of what they are flattened into.
#[derive(Args)]
pub struct UpstreamOptions {
    /// TLS to the upstream: off, offered (default), required, implicit
    #[arg(
        long,
        value_name = "WHEN",
        default_value = "offered",
        hide_default_value = true,
        hide_possible_values = true
    )]
    #[arg(value_parser = UPSTREAM_TLS)]
    pub upstream_tls: UpstreamTls,

    /// Longest wait for it at each step; then it counts as a 4xx
    #[arg(long, value_name = "SECONDS", value_parser = parse_seconds)]
    pub upstream_timeout: Option<Duration>,

    /// Add no X-Peer header with the client's address
    #[arg(long)]
    pub no_x_peer: bool,
}

const UPSTREAM_TLS: Named<UpstreamTls> =
    Named { names: &["off", "offered", "required", "implicit"], parse: parse_upstream_tls };

/// What [`parse_local`] takes, as SMTP's or LMTP's.
pub fn parse_remote(text: &str) -> Result<String, String> {
    match text.strip_prefix("lmtp:") {
        Some(address) => parse_local(address).map(|address| format!("lmtp:{address}")),
        None => parse_local(text),
    }
}

fn parse_upstream_tls(text: &str) -> Result<UpstreamTls, String> {
    match text {
        "off" => Ok(UpstreamTls::Off),
        "offered" => Ok(UpstreamTls::WhenOffered),
        "required" => Ok(UpstreamTls::Required),
        "implicit" => Ok(UpstreamTls::Implicit),
        _ => Err("expected off, offered, required or implicit".to_owned()),
    }
}
