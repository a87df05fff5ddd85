//! The `pillarbox` command, from outside.

#![cfg(all(feature = "cli", unix))]

mod any_login;
mod certificates;
mod command_line;
mod deployment;
#[cfg(target_os = "linux")]
mod from_another_host;
mod listeners;
mod metrics;
mod options;
mod pipe;
mod redis;
mod redis_rights;
