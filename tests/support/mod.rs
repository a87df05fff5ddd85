//! What the tests share.

#![allow(dead_code, unused_imports, reason = "each program of tests uses its part")]

#[cfg(all(feature = "cli", unix))]
pub mod axe;
#[cfg(all(feature = "cli", unix))]
pub mod browser;
#[cfg(all(feature = "cli", unix))]
pub mod chain;
pub mod chance;
#[cfg(all(feature = "cli", unix))]
pub mod chromium;
pub mod client;
#[cfg(feature = "cli")]
pub mod command;
#[cfg(all(feature = "cli", unix))]
pub mod devtools;
#[cfg(unix)]
pub mod disk;
#[cfg(all(feature = "cli", unix))]
pub mod driver;
#[cfg(unix)]
pub mod exim;
#[cfg(unix)]
pub mod haproxy;
pub mod logged;
#[cfg(unix)]
pub mod mailman;
#[cfg(all(feature = "redis", unix))]
pub mod nats;
#[cfg(target_os = "linux")]
pub mod netns;
#[cfg(feature = "tls")]
pub mod nonconforming;
#[cfg(all(feature = "cli", unix))]
pub mod page;
#[cfg(unix)]
pub mod postfix;
pub mod process;
#[cfg(unix)]
mod programs;
#[cfg(unix)]
pub mod prometheus;
#[cfg(all(feature = "redis", unix))]
pub mod redis;
#[cfg(all(feature = "redis", unix))]
pub mod redis_py;
#[cfg(feature = "rustls")]
pub mod revocation;
#[cfg(unix)]
pub mod runners;
pub mod scripted;
pub mod skip;
#[cfg(feature = "tls")]
pub mod tls;
#[cfg(all(feature = "cli", feature = "redis", unix))]
pub mod trial;
#[cfg(unix)]
pub mod upstream;
mod wait;
#[cfg(feature = "cli")]
pub mod web;

#[cfg(unix)]
pub use programs::*;
pub use skip::missing;
pub use wait::{wait_for, wait_until};
