//! The tests through the public API and the command, but for those that must be alone.
//!
//! One program for all: most tests wait, and while some wait others can work. Each group is a folder.

mod clients;
mod command;
mod handlers;
mod regression;
mod relay;
mod security;
mod smtp;
#[path = "../support/mod.rs"]
mod support;
mod testing;
mod web;
