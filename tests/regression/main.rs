//! A test for each input that failed once, its origin named above it.

#[cfg(all(feature = "cli", unix))]
#[path = "../support/client.rs"]
mod client;
#[cfg(all(feature = "cli", unix))]
#[path = "../support/command.rs"]
mod command;
#[cfg(all(feature = "cli", unix))]
#[path = "../support/web.rs"]
mod web_inbox;

mod api;
mod disk;
mod memory;
mod mime;
mod relay;
mod sasl;
mod web;
mod wire;
