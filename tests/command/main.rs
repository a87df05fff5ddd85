//! The `pillarbox` command, from outside.

#![cfg(all(feature = "cli", unix))]

mod certificates;
mod command_line;
mod deployment;
mod listeners;
mod metrics;
mod options;
mod pipe;
mod redis;
mod redis_rights;
#[path = "../support/mod.rs"]
mod support;
