//! Relays, between raw clients and upstreams that are scripted, pillarbox itself, or the mail servers of others.

#[cfg(all(unix, feature = "tls"))]
mod between_mail_servers;
#[cfg(unix)]
mod filter;
#[cfg(all(unix, feature = "tls"))]
mod mail_servers;
#[cfg(unix)]
mod mailman;
#[cfg(unix)]
mod mailman_proxy;
mod proxy;
#[cfg(all(feature = "tls", feature = "auth"))]
mod proxy_secure;
#[cfg(all(unix, feature = "tls", feature = "auth"))]
mod submission;
