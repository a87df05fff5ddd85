//! What hostile clients may do, and what it costs the others: nothing.

mod early_talkers;
#[cfg(all(feature = "cli", unix))]
mod forging;
#[cfg(all(feature = "tls", unix))]
mod haproxy;
mod limits;
#[cfg(all(feature = "cli", target_os = "linux"))]
mod secrets;
#[cfg(all(feature = "cli", unix))]
mod slow_clients;
mod smuggling;
mod stress;
mod trust;
