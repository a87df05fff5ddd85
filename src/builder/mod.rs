//! The settings of a server, and the ways to start it.

use std::sync::Arc;

use crate::config::Config;
use crate::faults::Faults;
use crate::io::tls::Tls;
use crate::server::Server;
use crate::server::listener::Listener;
use crate::session::SessionFactory;
use crate::session::observer::Observer;

// Apart, so that they stay in the order in which the documentation shows them.
mod identity;

mod limits;

mod time;

mod memory;

mod extensions;

mod security;

mod trust;

mod conversation;

mod serve;

mod start;

impl Server {
    /// The settings of a server, all at their defaults.
    pub fn builder() -> Builder {
        Builder::default()
    }
}

/// The settings of a server: see [`Server::builder`].
///
/// Each method sets what it is named after and says its default. What cannot be true together is found out when the server
/// is started, by one of [`serve`](Builder::serve), [`serve_with`](Builder::serve_with),
/// [`deliveries`](Builder::deliveries), [`inbox`](Builder::inbox) and [`manual_inbox`](Builder::manual_inbox): an
/// [`Error::Setting`](crate::Error::Setting). So are a limit of 0, where nothing else is said of it, and a timeout below a millisecond. `None`
/// stands for "no limit" in every setting that can do without one.
///
/// ```
/// use std::time::Duration;
/// use pillarbox::{Server, handlers};
///
/// let server = Server::builder()
///     .hostname("mx.example.org")
///     .data_size_limit(10 * 1024 * 1024)
///     .command_timeout(Duration::from_secs(60))
///     .listen("[::1]:0")
///     .serve("127.0.0.1:0", handlers::Sink)?;
/// assert_eq!(server.local_endpoints().len(), 2);
/// # Ok::<(), pillarbox::Error>(())
/// ```
#[derive(Default)]
#[must_use = "it does nothing until you start a server with it"]
pub struct Builder {
    config: Config,
    hostname: Option<String>,
    session: Option<SessionFactory>,
    tls: Option<Tls>,
    #[cfg(feature = "auth")]
    authenticator: Option<Arc<dyn crate::auth::Authenticator>>,
    #[cfg(feature = "auth")]
    sasl_mechanisms: Vec<crate::auth::OwnMechanism>,
    listeners: Vec<Listener>,
    // An inbox wants them and a server does not, unless it was said.
    transcripts: Option<bool>,
    faults: Option<Faults>,
    observer: Option<Arc<dyn Observer>>,
}

impl std::fmt::Debug for Builder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Builder")
            .field("config", &self.config)
            .field("listeners", &self.listeners)
            .finish_non_exhaustive()
    }
}
