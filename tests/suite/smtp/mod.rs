//! The conversation: commands and replies, extensions, TLS, AUTH, listeners, and how it ends.

#[cfg(all(feature = "auth", feature = "tls"))]
mod auth;
#[cfg(all(feature = "tls", feature = "auth"))]
mod checks;
mod content_hooks;
mod conversation;
mod extensions;
#[cfg(all(feature = "auth", feature = "tls"))]
mod listener_policies;
mod listeners;
mod observer;
mod one_after_another;
mod rfc_examples;
#[cfg(all(feature = "rustls", feature = "auth", unix))]
mod rustls;
#[cfg(all(feature = "auth", feature = "tls"))]
mod sasl;
mod sessions;
mod shutdown;
mod smtp_proto;
mod stats;
#[cfg(feature = "tls")]
mod tls;
