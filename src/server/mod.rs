//! A running server: its threads, counters and shutdown.

pub(crate) mod accept_loop;
pub(crate) mod listener;
pub(crate) mod pool;
pub(crate) mod start;
pub(crate) mod worker;

use std::fmt::{self, Debug, Formatter};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::Sender;
use parking_lot::{Condvar, Mutex};

use crate::config::FOREVER;
use crate::connection::channel::Shared;
use crate::connection::shutdown::Shutdown;
use crate::delivery::Delivery;
use crate::envelope::Endpoint;
use crate::envelope::transcript::Transcript;
use crate::server::listener::{Bound, reachable};
use crate::server::pool::{Jobs, Pool, Threads};
use crate::server::worker::{AcceptedConnection, Live};
use crate::stats::Stats;
use crate::stats::pulse::Watch;

/// The grace time of a server that is dropped: a message that is on its way may just make it.
const DROP_GRACE: Duration = Duration::from_millis(250);

/// What it takes at most, past the grace time, to say goodbye to the connections that are cut.
const FAREWELL: Duration = Duration::from_secs(2);

/// A running SMTP server.
///
/// [`Server::builder`] makes it. It serves with threads of its own until [`shutdown`](Server::shutdown) or until it is
/// dropped, which is a shutdown with a grace time of a quarter of a second.
///
/// ```
/// use std::time::Duration;
/// use pillarbox::{Envelope, Server};
///
/// let server = Server::builder().serve("127.0.0.1:0", |mail: Envelope| println!("{}", mail.mail_from()))?;
/// println!("listening on {}", server.local_addr());
/// // ... until it is time to go:
/// let report = server.shutdown(Duration::from_secs(15));
/// assert_eq!(report.cut, 0);
/// # Ok::<(), pillarbox::Error>(())
/// ```
#[must_use = "a server ends when it is dropped"]
pub struct Server {
    core: Arc<Core>,
}

/// The result of a shutdown.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub struct ShutdownReport {
    /// Connections that were cut because they still had a message in progress at the end of the grace time.
    pub cut: usize,
    /// Whether every thread has ended. A thread that is blocked in a handler or a hook is left to end by itself.
    /// False as well if [`shutdown`](Server::shutdown) was called from a handler or a hook, and so did not wait.
    pub joined: bool,
}

/// Stops a server, or reads its counters, from anywhere: see [`Server::handle`].
#[derive(Clone)]
pub struct ServerHandle {
    core: Arc<Core>,
}

struct Core {
    // Of the first listener, for what is the same for all.
    shared: Arc<Shared>,
    shutdown: Arc<Shutdown>,
    live: Arc<Live>,
    // Of each listener and each consumer.
    watches: Vec<Watch>,
    jobs: Jobs<AcceptedConnection>,
    endpoints: Vec<Endpoint>,
    scheme: &'static str,
    accepting: Threads,
    consuming: Threads,
    // Present while the server runs.
    running: Mutex<Option<Running>>,
    // Somebody has begun to end it who does not wait.
    has_begun: AtomicBool,
    report: Mutex<Option<ShutdownReport>>,
    ended: Condvar,
}

struct Running {
    // Here, and so gone with the shutdown: a handle may be kept for longer, but no socket with it.
    listeners: Vec<Arc<Bound>>,
    pool: Arc<Pool<AcceptedConnection>>,
    deliveries: Sender<Delivery>,
}

impl Server {
    /// Where the first TCP listener listens, with the port that the system chose if it was asked for port 0.
    ///
    /// # Panics
    /// If the server listens on Unix sockets only: then there is no such address. A program that cannot know uses
    /// [`try_local_addr`](Server::try_local_addr) or [`local_endpoints`](Server::local_endpoints).
    #[track_caller]
    pub fn local_addr(&self) -> SocketAddr {
        self.try_local_addr().unwrap_or_else(|| {
            let endpoints: Vec<String> = self.core.endpoints.iter().map(Endpoint::to_string).collect();
            panic!("this server has no TCP address: it listens on {}", endpoints.join(" and "))
        })
    }

    /// As [`local_addr`](Server::local_addr); `None` if the server listens on Unix sockets only.
    pub fn try_local_addr(&self) -> Option<SocketAddr> {
        self.core.endpoints.iter().find_map(Endpoint::socket_addr)
    }

    /// The first TCP listener as a URL, for clients configured by URL: `smtp://127.0.0.1:40213`, with `smtps` if the
    /// listener is of implicit TLS, and `lmtp` if it speaks that.
    ///
    /// The URL can be connected to from this machine: for a listener at `0.0.0.0` or `[::]` it names the loopback address.
    ///
    /// # Panics
    /// As [`local_addr`](Server::local_addr).
    #[track_caller]
    pub fn url(&self) -> String {
        format!("{}://{}", self.core.scheme, reachable(self.local_addr()))
    }

    /// The address or path of each listener, in the order in which they were given.
    pub fn local_endpoints(&self) -> &[Endpoint] {
        &self.core.endpoints
    }

    /// The server's numbers: what it has counted, and what it holds now.
    pub fn stats(&self) -> Stats {
        self.core.stats()
    }

    /// Whether a shutdown has begun: no connection is accepted any more. For a load balancer, which shall send no more clients.
    pub fn is_shutting_down(&self) -> bool {
        self.core.shutdown.is_closing()
    }

    /// Whether the server does its work, for a watchdog that asks every few seconds: its listeners and consumers are there, and
    /// none of them seems to be stuck. A consumer seems so if its handler has had one message for longer than twice the
    /// [`handler_timeout`](crate::Builder::handler_timeout), counted from the first time that this was asked meanwhile. True
    /// during a shutdown, which has its own limit in time.
    pub fn is_responsive(&self) -> bool {
        self.core.is_responsive()
    }

    /// The conversations of the last hundred connections, including open ones; the oldest first. Empty unless
    /// [`transcripts`](crate::Builder::transcripts) are recorded.
    pub fn transcripts(&self) -> Vec<Transcript> {
        self.core.transcripts()
    }

    /// Waits until no connection is served. False if one still is at the deadline.
    pub(crate) fn wait_until_idle(&self, deadline: Instant) -> bool {
        self.core.jobs.wait_for_none(deadline)
    }

    /// A handle with which another thread, for example one that waits for signals, can shut the server down.
    pub fn handle(&self) -> ServerHandle {
        ServerHandle { core: self.core.clone() }
    }

    /// Stops the server, and reports what had to be cut.
    ///
    /// It accepts no more connections. Clients between commands get `421 4.3.2` at once; those that were told
    /// to send a message may finish it within the grace time, and then get the same reply; what is left is cut. Handlers finish
    /// what they have accepted. A handler or hook that takes longer is not waited for. A second call waits for the
    /// first one.
    ///
    /// **Not for handlers and hooks**: their client's message would be waited for, and so the call for itself. Called
    /// from a thread of the server's own, it does what [`begin_shutdown`](Server::begin_shutdown) does and returns at once
    /// with [`joined`](ShutdownReport::joined) false. A thread that the server does not know, such as a loop over
    /// [`deliveries`](crate::Builder::deliveries), must answer what it holds before it calls this: else it waits for the
    /// whole grace time.
    pub fn shutdown(&self, grace: Duration) -> ShutdownReport {
        self.core.shut_down(grace)
    }

    /// Begins what [`shutdown`](Server::shutdown) does and returns at once: for a handler or a hook that wants the server to
    /// end. The message or command at hand is still answered, within the grace time.
    ///
    /// A shutdown that was begun before goes on as it was. [`join`](Server::join) waits for its end.
    pub fn begin_shutdown(&self, grace: Duration) {
        self.core.begin_shutdown(grace);
    }

    /// Waits until the server is shut down by its [`handle`](Server::handle). Use it as the last line of a program that only
    /// serves.
    pub fn join(self) -> ShutdownReport {
        self.core.wait()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.core.shut_down(DROP_GRACE);
    }
}

impl Debug for Server {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("endpoints", &self.core.endpoints).finish_non_exhaustive()
    }
}

impl ServerHandle {
    /// As [`Server::shutdown`]: not for handlers and hooks, which call [`begin_shutdown`](ServerHandle::begin_shutdown).
    pub fn shutdown(&self, grace: Duration) -> ShutdownReport {
        self.core.shut_down(grace)
    }

    /// As [`Server::begin_shutdown`].
    ///
    /// ```
    /// use std::sync::OnceLock;
    /// use std::time::Duration;
    /// use pillarbox::{Envelope, Server, ServerHandle};
    ///
    /// static SERVER: OnceLock<ServerHandle> = OnceLock::new();
    ///
    /// // Takes one message, and ends.
    /// let server = Server::builder().serve("127.0.0.1:0", |_: Envelope| {
    ///     SERVER.get().inspect(|server| server.begin_shutdown(Duration::from_secs(15)));
    /// })?;
    /// SERVER.set(server.handle()).ok();
    /// # use std::io::{Read, Write};
    /// # let mut client = std::net::TcpStream::connect(server.local_addr())?;
    /// # client.write_all(b"HELO a\r\nMAIL FROM:<>\r\nRCPT TO:<b@example.org>\r\nDATA\r\n.\r\n")?;
    /// server.join();
    /// # let mut replies = String::new();
    /// # client.read_to_string(&mut replies)?;
    /// # assert!(replies.contains("250 2.0.0 OK"), "{replies}");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn begin_shutdown(&self, grace: Duration) {
        self.core.begin_shutdown(grace);
    }

    /// As [`Server::stats`].
    pub fn stats(&self) -> Stats {
        self.core.stats()
    }

    /// As [`Server::transcripts`].
    pub fn transcripts(&self) -> Vec<Transcript> {
        self.core.transcripts()
    }

    /// As [`Server::is_shutting_down`].
    pub fn is_shutting_down(&self) -> bool {
        self.core.shutdown.is_closing()
    }

    /// As [`Server::is_responsive`].
    pub fn is_responsive(&self) -> bool {
        self.core.is_responsive()
    }
}

impl Debug for ServerHandle {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerHandle").field("endpoints", &self.core.endpoints).finish_non_exhaustive()
    }
}

impl Core {
    fn stats(&self) -> Stats {
        let queued = self.running.lock().as_ref().map_or(0, |running| running.deliveries.len());
        Stats {
            is_under_stress: self.shared.stress.timeout().is_some(),
            queued_messages: queued as u64,
            buffered_octets: self.shared.store.held.used(),
            memory_octets: self.shared.store.in_memory(),
            ..self.shared.counters.read()
        }
    }

    fn transcripts(&self) -> Vec<Transcript> {
        self.shared.transcripts.as_ref().map_or_else(Vec::new, |all| all.all())
    }

    fn is_responsive(&self) -> bool {
        let now = Instant::now();
        self.shutdown.is_closing() || self.watches.iter().all(|watch| watch.is_alive(now))
    }

    fn shut_down(self: &Arc<Core>, grace: Duration) -> ShutdownReport {
        if self.shutdown.is_waiting_for_this_thread() {
            self.begin_shutdown(grace);
            return self.report.lock().unwrap_or_default();
        }
        self.end_by(deadline(grace))
    }

    fn begin_shutdown(self: &Arc<Core>, grace: Duration) {
        if self.has_begun.swap(true, Ordering::SeqCst) {
            return;
        }
        let (core, deadline) = (self.clone(), deadline(grace));
        let thread = thread::Builder::new().name("pillarbox-shutdown".into());
        if let Err(e) = thread.spawn(move || core.end_by(deadline)) {
            log::error!("cannot start a thread for the shutdown: {e}");
            // No command is taken any more; whoever comes next may have more luck with the rest.
            self.shutdown.close();
            self.has_begun.store(false, Ordering::SeqCst);
        }
    }

    fn end_by(&self, deadline: Instant) -> ShutdownReport {
        let Some(running) = self.running.lock().take() else {
            return self.wait();
        };
        let report = self.end(running, deadline);
        *self.report.lock() = Some(report);
        self.ended.notify_all();
        report
    }

    fn wait(&self) -> ShutdownReport {
        let mut report = self.report.lock();
        loop {
            match *report {
                Some(report) => return report,
                None => self.ended.wait(&mut report),
            }
        }
    }

    fn end(&self, running: Running, deadline: Instant) -> ShutdownReport {
        self.shutdown.close();
        let mut joined = self.end_listeners(running.listeners);
        // Idle workers end when the last sender of connections is gone: the listeners had the others.
        let Ok(pool) = Arc::try_unwrap(running.pool).map(Pool::close).map_err(|_| log::error!("a listener is stuck"))
        else {
            return ShutdownReport { cut: self.live.count(), joined: false };
        };
        self.live.each(|transport, activity| {
            if !activity.has_message() {
                // Wakes a worker that reads, and leaves it the way back to say goodbye.
                let _ = transport.close(std::net::Shutdown::Read);
            }
        });
        let mut cut = 0;
        if !pool.join_by(deadline) {
            cut = self.live.count();
            self.shutdown.cut();
            self.live.each(|transport, activity| {
                activity.cancel();
                let _ = transport.close(std::net::Shutdown::Read);
            });
            let farewell = Instant::now() + FAREWELL;
            if !pool.join_by(farewell - FAREWELL / 2) {
                self.live.each(|transport, _| drop(transport.close(std::net::Shutdown::Both)));
                joined &= pool.join_by(farewell);
            }
            log::warn!("shutdown: {cut} connections cut");
        }
        // Consumers end when no more deliveries can come: the workers had the other senders.
        drop((pool, running.deliveries));
        joined &= self.consuming.join_by(deadline.max(Instant::now() + FAREWELL / 4));
        if !joined {
            log::warn!("shutdown: a handler or session is held up; its thread is left to end by itself");
        }
        ShutdownReport { cut, joined }
    }

    fn end_listeners(&self, listeners: Vec<Arc<Bound>>) -> bool {
        for _ in 0..200 {
            listeners.iter().for_each(|bound| bound.wake());
            if self.accepting.join_by(Instant::now() + Duration::from_millis(10)) {
                return true;
            }
        }
        false
    }
}

/// When a grace time that begins now is over.
fn deadline(grace: Duration) -> Instant {
    Instant::now() + grace.min(FOREVER)
}
