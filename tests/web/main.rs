//! The web inbox: its API, its page in a browser, and what hostile mail and clients make of both.

#![cfg(all(feature = "cli", unix))]

#[path = "../support/mod.rs"]
mod support;
mod web_inbox;
mod web_inbox_api;
mod web_inbox_browser;
mod web_inbox_guards;
mod web_inbox_hostile;
mod web_inbox_password;
mod web_inbox_store;
mod web_inbox_waiting;
