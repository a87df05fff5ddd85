//! Relays, between raw clients and upstreams that are scripted, pillarbox itself, or the mail servers of others.

#[cfg(unix)]
mod mailman;
#[cfg(unix)]
mod mailman_proxy;
#[cfg(all(unix, feature = "tls"))]
mod peers;
mod proxy;
#[cfg(all(feature = "tls", feature = "auth"))]
mod proxy_secure;
#[cfg(all(unix, feature = "tls"))]
mod relay_peers;
#[path = "../support/mod.rs"]
mod support;
