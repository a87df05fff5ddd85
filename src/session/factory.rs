//! What makes the session of each connection.

use std::fmt::{self, Debug, Formatter};
use std::sync::Arc;

use super::Session;
use super::chain::Chain;
use crate::envelope::Endpoint;
use crate::syntax::reply::Reply;

/// What a session factory may return: a [`Session`], or a `Result` that refuses the connection.
///
/// ```
/// use pillarbox::{Context, Reply, Server, Session};
///
/// struct Guest;
/// impl Session for Guest {}
///
/// let inbox = Server::builder()
///     .session(|peer| {
///         if peer.is_loopback() { Ok(Guest) } else { Err(Reply::new(554, "5.7.1", "not for strangers")) }
///     })
///     .inbox("127.0.0.1:0")?;
/// # Ok::<(), pillarbox::Error>(())
/// ```
pub trait IntoSession {
    /// The session, or the reply that the client gets in place of the banner.
    ///
    /// # Errors
    /// The reply of a factory that refuses.
    fn into_session(self) -> Result<Box<dyn Session>, Reply>;
}

impl<S: Session + 'static> IntoSession for S {
    fn into_session(self) -> Result<Box<dyn Session>, Reply> {
        Ok(Box::new(self))
    }
}

impl<S: Session + 'static> IntoSession for Result<S, Reply> {
    fn into_session(self) -> Result<Box<dyn Session>, Reply> {
        self.map(|session| Box::new(session) as Box<dyn Session>)
    }
}

type Make = dyn Fn(&Endpoint) -> Result<Box<dyn Session>, Reply> + Send + Sync;

/// Makes the session of each connection, from the client's address and on the connection's own thread: what
/// [`Handler::session`](crate::Handler::session) returns. Clones are the same factory.
#[derive(Clone)]
pub struct SessionFactory(Arc<Make>);

impl SessionFactory {
    /// A factory by a closure, as [`Builder::session`](crate::Builder::session) takes it.
    pub fn new<R, F>(make: F) -> SessionFactory
    where
        R: IntoSession,
        F: Fn(&Endpoint) -> R + Send + Sync + 'static,
    {
        SessionFactory(Arc::new(move |peer| make(peer).into_session()))
    }

    /// The session for a client.
    ///
    /// # Errors
    /// The reply of a factory that refuses the connection.
    pub fn make(&self, peer: &Endpoint) -> Result<Box<dyn Session>, Reply> {
        (self.0)(peer)
    }
}

impl Debug for SessionFactory {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionFactory").finish_non_exhaustive()
    }
}

/// The sessions of a program and of its handler as one.
pub(crate) fn chained(own: Option<SessionFactory>, handlers: Option<SessionFactory>) -> Option<SessionFactory> {
    match (own, handlers) {
        (Some(own), Some(handlers)) => {
            Some(SessionFactory::new(move |peer| Ok(Chain::new(own.make(peer)?, handlers.make(peer)?))))
        }
        (own, handlers) => own.or(handlers),
    }
}
