//! Who is told what happens, to count or time or trace it.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use crate::envelope::MessageId;
use crate::session::Context;
use crate::syntax::reply::Reply;

/// Is told what happens on a server's connections, after it has: for histograms, traces and audit logs.
/// [`Stats`](crate::Stats) has the usual numbers without one.
///
/// One observer serves all connections of a server: see [`Builder::observer`](crate::Builder::observer). It is called on the
/// thread of the connection, which waits meanwhile, so a call shall be short, and count with atomics rather than behind a
/// lock. It cannot change what happens: for that there is the [`Session`](crate::Session). A panic is caught, logged and
/// counted in [`Stats::panics`](crate::Stats::panics), and the connection goes on. Without an observer nothing is timed. An
/// `Arc` of an observer is one, too, so that the program can read what it keeps.
///
/// It is not told of connections that are refused before they have a thread, which only `Stats` counts.
///
/// ```
/// use std::array;
/// use std::sync::Arc;
/// use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
/// use std::time::Duration;
/// use pillarbox::{Context, Observer, Reply, Server, handlers::Sink};
///
/// /// How long replies took: up to 1 ms, 10 ms, 100 ms, 1 s, and longer.
/// #[derive(Default)]
/// struct Histogram([AtomicU64; 5]);
///
/// impl Observer for Histogram {
///     fn reply(&self, _: &Context, _: &Reply, duration: Duration) {
///         let bounds = [1, 10, 100, 1000].map(Duration::from_millis);
///         self.0[bounds.partition_point(|bound| *bound < duration)].fetch_add(1, Relaxed);
///     }
/// }
///
/// let histogram = Arc::new(Histogram::default());
/// let server = Server::builder().observer(histogram.clone()).serve("127.0.0.1:0", Sink)?;
/// # use std::io::{Read, Write};
/// # let mut client = std::net::TcpStream::connect(server.local_addr())?;
/// # client.write_all(b"NOOP\r\nQUIT\r\n")?;
/// # client.read_to_end(&mut Vec::new())?;
/// // ... and whenever somebody asks:
/// let counts: [u64; 5] = array::from_fn(|at| histogram.0[at].load(Relaxed));
/// # assert_eq!(counts.iter().sum::<u64>(), 3);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[expect(unused_variables, reason = "the defaults do nothing, and the names are the documentation")]
pub trait Observer: Send + Sync {
    /// A connection has its thread, and nothing was said yet. Behind a proxy the client is known already.
    fn connected(&self, context: &Context) {}

    /// The connection has ended, for whatever reason, after this time. Called once for each
    /// [`connected`](Observer::connected).
    fn disconnected(&self, context: &Context, duration: Duration) {}

    /// A TLS handshake has ended, by STARTTLS or implicit TLS: after a success [`Context::tls`] tells of the session, and
    /// after a failure the connection ends.
    fn handshake(&self, context: &Context, failure: Option<&io::Error>, duration: Duration) {}

    /// A login has ended, with the reply that its client gets: after a success [`Context::identity`] is the user. An AUTH that
    /// was not allowed or that the client gave up is no login. The duration is that from the AUTH command, without the delay
    /// that follows a failure.
    fn login(&self, context: &Context, reply: &Reply, duration: Duration) {}

    /// A reply was given, and waits to be sent with those before it: to a command, whose [`Context::verb`] this is, to a
    /// message, the banner, or the last word of a connection. The verb is `None` for the latter two, and for lines that are no
    /// command. Challenges of AUTH (334) come without their text.
    ///
    /// The duration is that since the command was read, or the content of the message; zero if the client had said
    /// nothing. A connection that waits for its handler counts that wait.
    fn reply(&self, context: &Context, reply: &Reply, duration: Duration) {}

    /// The outcome of a message whose content was asked for is known; the reply follows.
    fn message(&self, context: &Context, message: &ObservedMessage) {}
}

// A call that is missing here would be forgotten silently.
#[warn(clippy::missing_trait_methods)]
impl<O: Observer + ?Sized> Observer for Arc<O> {
    fn connected(&self, context: &Context) {
        (**self).connected(context);
    }

    fn disconnected(&self, context: &Context, duration: Duration) {
        (**self).disconnected(context, duration);
    }

    fn handshake(&self, context: &Context, failure: Option<&io::Error>, duration: Duration) {
        (**self).handshake(context, failure, duration);
    }

    fn login(&self, context: &Context, reply: &Reply, duration: Duration) {
        (**self).login(context, reply, duration);
    }

    fn reply(&self, context: &Context, reply: &Reply, duration: Duration) {
        (**self).reply(context, reply, duration);
    }

    fn message(&self, context: &Context, message: &ObservedMessage) {
        (**self).message(context, message);
    }
}

/// A message of which an [`Observer`] is told.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct ObservedMessage {
    /// The id, if it was given to the handler.
    pub id: Option<MessageId>,
    /// The octets of content that came.
    pub octets: u64,
    /// The number of its recipients.
    pub recipients: usize,
    /// How long its content took to come, without the pauses between chunks.
    pub receiving: Duration,
    /// How long its handler took, with the time in the queue; zero if it was not given to it.
    pub handling: Duration,
    /// The answer; where each recipient has one of its own (LMTP), the first that accepts, else the first. `None` if the
    /// connection ended before the content did.
    pub outcome: Option<Reply>,
}
