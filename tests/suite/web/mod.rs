//! The web inbox: its API, its page in a browser, and what hostile mail and clients make of both.

#![cfg(all(feature = "cli", unix))]

mod answers;
mod browsers;
mod mailpit;
mod runners;
mod web_inbox;
mod web_inbox_api;
mod web_inbox_browser;
mod web_inbox_browser_attachments;
mod web_inbox_browser_connections;
mod web_inbox_browser_faults;
mod web_inbox_browser_html;
mod web_inbox_browser_keys;
mod web_inbox_browser_list;
mod web_inbox_browser_looks;
mod web_inbox_guards;
mod web_inbox_hostile;
mod web_inbox_openapi;
mod web_inbox_password;
mod web_inbox_release;
mod web_inbox_store;
mod web_inbox_waiting;
