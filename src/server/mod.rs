//! A running server: its threads, counters and shutdown.

pub(crate) mod accept_loop;
pub(crate) mod listener;
pub(crate) mod pool;
pub(crate) mod worker;

use std::fmt::{self, Debug, Formatter};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use crossbeam_channel::{Receiver, Sender, bounded};
use parking_lot::{Condvar, Mutex};

use crate::config::{Config, FOREVER};
use crate::connection::channel::{Offers, Shared};
use crate::connection::shutdown::Shutdown;
use crate::content::store::ContentStore;
use crate::delivery::Delivery;
use crate::delivery::handler::{Handler, consume};
use crate::envelope::Endpoint;
use crate::envelope::transcript::{Transcript, Transcripts};
use crate::error::Error;
use crate::faults::Faults;
use crate::io::tls::Tls;
use crate::limits::clients::Addresses;
use crate::limits::stress::Stress;
use crate::server::accept_loop::AcceptLoop;
use crate::server::listener::{Bound, Listener, reachable};
use crate::server::pool::{Jobs, Pool, Threads};
use crate::server::worker::{AcceptedConnection, Live, Worker};
use crate::session::SessionFactory;
use crate::stats::{Counters, Stats};

/// The grace time of a server that is dropped: a message that is on its way may just make it.
const DROP_GRACE: Duration = Duration::from_millis(250);

/// What it takes at most, past the grace time, to say goodbye to the connections that are cut.
const FAREWELL: Duration = Duration::from_secs(2);

/// What a builder has gathered.
pub(crate) struct Settings {
    pub config: Config,
    pub session: Option<SessionFactory>,
    pub transcripts: bool,
    pub faults: Option<Faults>,
    pub tls: Option<Tls>,
    #[cfg(feature = "auth")]
    pub authenticator: Option<Arc<dyn crate::auth::Authenticator>>,
    #[cfg(feature = "auth")]
    pub sasl_mechanisms: Vec<crate::auth::OwnMechanism>,
}

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
    shared: Arc<Shared>,
    shutdown: Arc<Shutdown>,
    live: Arc<Live>,
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
    pub(crate) fn start(
        settings: Settings,
        listeners: Vec<Listener>,
        handlers: Vec<Box<dyn Handler>>,
    ) -> Result<(Server, Receiver<Delivery>), Error> {
        let Settings { config, session, .. } = settings;
        let bound = listeners
            .into_iter()
            .map(|listener| {
                let implicit_tls = listener.is_implicit_tls();
                listener.into_bound(config.reuse_port).map(|bound| (Arc::new(bound), implicit_tls))
            })
            .collect::<Result<Vec<_>, _>>()?;
        let first = bound.iter().find(|(bound, _)| bound.local().socket_addr().is_some());
        let scheme = match first {
            _ if config.lmtp => "lmtp",
            Some((_, true)) => "smtps",
            _ => "smtp",
        };
        let (deliveries, receiver) = bounded(config.queue_capacity);
        let config = Arc::new(config);
        let shared = Arc::new(Shared {
            store: ContentStore::new(&config),
            config: config.clone(),
            counters: Counters::default(),
            stress: Arc::new(Stress::new(config.max_connections, config.stress_timeout)),
            addresses: Addresses::new(&config),
            offers: Offers::default(),
            server: server_id(),
            tls: settings.tls,
            transcripts: settings.transcripts.then(Transcripts::default),
            faults: settings.faults,
            #[cfg(feature = "auth")]
            authenticator: settings.authenticator,
            #[cfg(feature = "auth")]
            sasl_mechanisms: settings.sasl_mechanisms,
        });
        let shutdown = Arc::new(Shutdown::default());
        let live = Arc::new(Live::default());
        let worker = Worker {
            shared: shared.clone(),
            shutdown: shutdown.clone(),
            live: live.clone(),
            session,
            deliveries: deliveries.clone(),
        };
        let worker = Arc::new(worker);
        let pool = Arc::new(Pool::hiring(config.max_connections, config.worker_stack, move || {
            worker.shutdown.adopt_thread();
            let (worker, mut buffers) = (worker.clone(), None);
            Box::new(move |connection| worker.serve(connection, &mut buffers))
        }));
        let server = Server {
            core: Arc::new(Core {
                shared,
                shutdown,
                live,
                jobs: pool.jobs(),
                endpoints: bound.iter().map(|(bound, _)| bound.local().clone()).collect(),
                scheme,
                accepting: Threads::default(),
                consuming: Threads::default(),
                running: Mutex::new(Some(Running {
                    listeners: bound.iter().map(|(bound, _)| bound.clone()).collect(),
                    pool: pool.clone(),
                    deliveries,
                })),
                has_begun: AtomicBool::new(false),
                report: Mutex::new(None),
                ended: Condvar::new(),
            }),
        };
        // From here on an early return drops the server, which ends what was started.
        let core = &server.core;
        for mut handler in handlers {
            let receiver = receiver.clone();
            let thread = thread::Builder::new().name("pillarbox-consumer".into());
            let (shared, shutdown) = (core.shared.clone(), core.shutdown.clone());
            let work = move || {
                shutdown.adopt_thread();
                consume(&mut *handler, &receiver, &shared.counters.panics);
            };
            core.consuming.spawn(thread, work).map_err(Error::Thread)?;
        }
        let serial = Arc::new(AtomicU64::new(0));
        for (bound, implicit_tls) in bound {
            let acceptor = AcceptLoop {
                bound,
                implicit_tls,
                shared: core.shared.clone(),
                shutdown: core.shutdown.clone(),
                pool: pool.clone(),
                live: core.live.clone(),
                serial: serial.clone(),
            };
            let thread = thread::Builder::new().name("pillarbox-listener".into());
            core.accepting.spawn(thread, move || acceptor.run()).map_err(Error::Thread)?;
        }
        Ok((server, receiver))
    }

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
    /// listener is of implicit TLS, and `lmtp` if the server speaks that.
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

    /// The server's counters.
    pub fn stats(&self) -> Stats {
        self.core.stats()
    }

    /// The conversations of the last hundred connections, including open ones; the oldest first. Empty unless
    /// [`transcripts`](crate::Builder::transcripts) are recorded.
    pub fn transcripts(&self) -> Vec<Transcript> {
        self.core.shared.transcripts.as_ref().map_or_else(Vec::new, Transcripts::all)
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
}

impl Debug for ServerHandle {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerHandle").field("endpoints", &self.core.endpoints).finish_non_exhaustive()
    }
}

impl Core {
    fn stats(&self) -> Stats {
        let Counters {
            connections,
            open_connections,
            refused_connections,
            accepted_messages,
            refused_messages,
            lost_messages,
            accepted_octets,
            panics,
        } = &self.shared.counters;
        Stats {
            connections: connections.get(),
            open_connections: open_connections.get(),
            refused_connections: refused_connections.get(),
            is_under_stress: self.shared.stress.timeout().is_some(),
            accepted_messages: accepted_messages.get(),
            refused_messages: refused_messages.get(),
            lost_messages: lost_messages.get(),
            accepted_octets: accepted_octets.get(),
            panics: panics.get(),
            buffered_octets: self.shared.store.held.used(),
            memory_octets: self.shared.store.in_memory(),
        }
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

/// Tells this server's messages from those of any other on the machine, before and after: the time in microseconds, and
/// below it the process and the server within it.
fn server_id() -> u64 {
    static SERVERS: AtomicU64 = AtomicU64::new(0);
    let micros = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |d| d.as_micros() as u64);
    let own = u64::from(std::process::id()) ^ (SERVERS.fetch_add(1, Ordering::Relaxed) << 22);
    (micros << 12).wrapping_add(own)
}
