//! A running server: its threads, its numbers and its end.

use std::collections::HashMap;
use std::fmt::{self, Debug, Formatter};
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use crossbeam_channel::{Receiver, Sender, bounded};
use parking_lot::{Condvar, Mutex};
use socket2::Socket;

use crate::channel::{Channel, Shared};
use crate::config::{Config, PROXY_TIMEOUT};
use crate::consumer::{Handler, consume};
use crate::content::Budget;
use crate::delivery::{Delivery, Dispatch};
use crate::envelope::Endpoint;
use crate::error::Error;
use crate::listener::{Bound, Listener};
use crate::pool::{Pool, Refusal, Threads};
use crate::proxy_protocol::{self, Header, Source};
use crate::reply::{Reply, Status};
use crate::session::Session;
use crate::shutdown::{Activity, Shutdown};
use crate::stats::{Counters, Stats};
use crate::stream::{self, Stream};
use crate::tls::Tls;
use crate::transport::Transport;

/// The grace time of a server that is dropped: a message that is on its way may just make it.
const DROP_GRACE: Duration = Duration::from_millis(250);

/// What it takes at most, past the grace time, to say goodbye to the connections that are cut.
const FAREWELL: Duration = Duration::from_secs(2);

const TOO_MANY: Reply = Reply::fixed(421, Status::new(4, 3, 2), "Too many connections, try again later");
const TOO_MANY_FROM_YOU: Reply = Reply::fixed(421, Status::new(4, 7, 0), "Too many connections from your address");
const NO_THREAD: Reply = Reply::fixed(421, Status::new(4, 3, 2), "Out of resources, try again later");

/// Makes the session of a connection.
pub(crate) type SessionFactory = dyn Fn(&Endpoint) -> Box<dyn Session> + Send + Sync;

/// What a builder has gathered.
pub(crate) struct Settings {
    pub config: Config,
    pub session: Option<Arc<SessionFactory>>,
    pub tls: Option<Tls>,
    #[cfg(feature = "auth")]
    pub authenticator: Option<Arc<dyn crate::auth::Authenticator>>,
}

/// A running SMTP server.
///
/// It is made by [`Server::builder`], serves from then on by threads of its own, and ends with
/// [`shutdown`](Server::shutdown) or when it is dropped.
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
pub struct Server {
    core: Arc<Core>,
}

/// What a shutdown came to.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub struct ShutdownReport {
    /// Connections that still had a message in progress when the grace time was over, and were cut.
    pub cut: usize,
    /// Whether every thread has ended. One that is held up in a handler or a session's hook is left to end by itself.
    pub joined: bool,
}

/// Tells a server to stop, or how it does, from anywhere: see [`Server::handle`].
#[derive(Clone)]
pub struct ServerHandle {
    core: Arc<Core>,
}

struct Core {
    shared: Arc<Shared>,
    shutdown: Arc<Shutdown>,
    live: Arc<Live>,
    listeners: Vec<Arc<Bound>>,
    endpoints: Vec<Endpoint>,
    accepting: Threads,
    consuming: Threads,
    // Present while the server runs.
    running: Mutex<Option<Running>>,
    report: Mutex<Option<ShutdownReport>>,
    ended: Condvar,
}

struct Running {
    pool: Arc<Pool<Connection>>,
    deliveries: Sender<Delivery>,
}

/// The connections that workers serve now, for a shutdown to find.
#[derive(Default)]
struct Live {
    by_id: Mutex<HashMap<u64, LiveConnection>>,
}

struct LiveConnection {
    socket: Arc<Socket>,
    activity: Arc<Activity>,
}

/// A connection on its way from a listener to a worker.
struct Connection {
    id: u64,
    socket: Socket,
    peer: Endpoint,
    local: Endpoint,
    implicit_tls: bool,
    // Gives the address's place free.
    _place: Place,
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
        let (deliveries, receiver) = bounded(config.queue_capacity);
        let config = Arc::new(config);
        let shared = Arc::new(Shared {
            budget: Budget::new(config.buffer_budget),
            config: config.clone(),
            counters: Counters::default(),
            server: server_id(),
            tls: settings.tls,
            #[cfg(feature = "auth")]
            authenticator: settings.authenticator,
        });
        let shutdown = Arc::new(Shutdown::default());
        let live = Arc::new(Live::default());
        let addresses = Arc::new(Addresses { max: config.max_connections_per_address, taken: Mutex::default() });
        let worker = Worker {
            shared: shared.clone(),
            shutdown: shutdown.clone(),
            live: live.clone(),
            session,
            deliveries: deliveries.clone(),
            addresses: addresses.clone(),
        };
        let pool = Arc::new(Pool::new(config.max_connections, config.worker_stack, move |connection| {
            worker.serve(connection)
        }));
        let server = Server {
            core: Arc::new(Core {
                shared,
                shutdown,
                live,
                endpoints: bound.iter().map(|(bound, _)| bound.local().clone()).collect(),
                listeners: bound.iter().map(|(bound, _)| bound.clone()).collect(),
                accepting: Threads::default(),
                consuming: Threads::default(),
                running: Mutex::new(Some(Running { pool: pool.clone(), deliveries })),
                report: Mutex::new(None),
                ended: Condvar::new(),
            }),
        };
        // From here on an early return drops the server, which ends what was started.
        let core = &server.core;
        for mut handler in handlers {
            let receiver = receiver.clone();
            let thread = thread::Builder::new().name("pillarbox-consumer".into());
            core.consuming.spawn(thread, move || consume(&mut *handler, &receiver)).map_err(Error::Thread)?;
        }
        let serial = Arc::new(AtomicU64::new(0));
        for (bound, implicit_tls) in bound {
            let acceptor = Acceptor {
                bound,
                implicit_tls,
                shared: core.shared.clone(),
                shutdown: core.shutdown.clone(),
                pool: pool.clone(),
                addresses: addresses.clone(),
                serial: serial.clone(),
            };
            let thread = thread::Builder::new().name("pillarbox-listener".into());
            core.accepting.spawn(thread, move || acceptor.run()).map_err(Error::Thread)?;
        }
        Ok((server, receiver))
    }

    /// Where the first TCP listener listens, with the port that the system chose if it was asked for port 0.
    ///
    /// A server with Unix sockets only has no such address; it gives `0.0.0.0:0`. See
    /// [`local_endpoints`](Server::local_endpoints).
    pub fn local_addr(&self) -> SocketAddr {
        let tcp = self.core.endpoints.iter().find_map(Endpoint::socket_addr);
        tcp.unwrap_or(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)))
    }

    /// Where each listener listens, in the order in which they were given.
    pub fn local_endpoints(&self) -> &[Endpoint] {
        &self.core.endpoints
    }

    /// What the server has done so far.
    pub fn stats(&self) -> Stats {
        self.core.stats()
    }

    /// Something to shut the server down with from another thread, a signal handler's or a [`Session`]'s.
    pub fn handle(&self) -> ServerHandle {
        ServerHandle { core: self.core.clone() }
    }

    /// Ends the server, and says what had to be cut.
    ///
    /// No connection is taken any more. Clients that are between commands read `421 4.3.2` at once; those that were told
    /// to send a message may finish it within the grace time, and then read the same; what is left is cut. Handlers finish
    /// what they have accepted. A handler or hook that is held up longer is not waited for. A second call waits for the
    /// first one.
    pub fn shutdown(&self, grace: Duration) -> ShutdownReport {
        self.core.shut_down(grace)
    }

    /// Waits until the server was shut down by its [`handle`](Server::handle): the last line of a program that only
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
    /// As [`Server::shutdown`].
    pub fn shutdown(&self, grace: Duration) -> ShutdownReport {
        self.core.shut_down(grace)
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
        } = &self.shared.counters;
        Stats {
            connections: connections.get(),
            open_connections: open_connections.get(),
            refused_connections: refused_connections.get(),
            accepted_messages: accepted_messages.get(),
            refused_messages: refused_messages.get(),
            lost_messages: lost_messages.get(),
            accepted_octets: accepted_octets.get(),
            buffered_octets: self.shared.budget.used(),
        }
    }

    fn shut_down(&self, grace: Duration) -> ShutdownReport {
        let Some(running) = self.running.lock().take() else {
            return self.wait();
        };
        let report = self.end(running, Instant::now() + grace.min(crate::config::FOREVER));
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
        let mut joined = self.end_listeners();
        // Idle workers end when the last sender of connections is gone: the listeners had the others.
        let Ok(pool) = Arc::try_unwrap(running.pool).map(Pool::close).map_err(|_| log::error!("a listener is stuck"))
        else {
            return ShutdownReport { cut: self.live.count(), joined: false };
        };
        self.live.each(|socket, activity| {
            if !activity.has_message() {
                // Wakes a worker that reads, and leaves it the way back to say goodbye.
                let _ = socket.shutdown(std::net::Shutdown::Read);
            }
        });
        let mut cut = 0;
        if !pool.join_by(deadline) {
            cut = self.live.count();
            self.shutdown.cut();
            self.live.each(|socket, activity| {
                activity.cancel();
                let _ = socket.shutdown(std::net::Shutdown::Read);
            });
            let farewell = Instant::now() + FAREWELL;
            if !pool.join_by(farewell - FAREWELL / 2) {
                self.live.each(|socket, _| drop(socket.shutdown(std::net::Shutdown::Both)));
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

    fn end_listeners(&self) -> bool {
        for _ in 0..200 {
            self.listeners.iter().for_each(|bound| bound.wake());
            if self.accepting.join_by(Instant::now() + Duration::from_millis(10)) {
                return true;
            }
        }
        false
    }
}

impl Live {
    fn count(&self) -> usize {
        self.by_id.lock().len()
    }

    fn each(&self, mut act: impl FnMut(&Socket, &Activity)) {
        for LiveConnection { socket, activity } in self.by_id.lock().values() {
            act(socket, activity);
        }
    }
}

/// What every worker needs to serve a connection.
struct Worker {
    shared: Arc<Shared>,
    shutdown: Arc<Shutdown>,
    live: Arc<Live>,
    session: Option<Arc<SessionFactory>>,
    deliveries: Sender<Delivery>,
    addresses: Arc<Addresses>,
}

impl Worker {
    fn serve(&self, connection: Connection) {
        let Connection { id, socket, peer, local, implicit_tls, _place } = connection;
        let socket = Arc::new(socket);
        let dispatch = Dispatch::new(self.deliveries.clone());
        let activity = Arc::new(Activity::new(self.shutdown.clone(), dispatch.canceller()));
        let _entry = Entry::new(self, id, &socket, &activity);
        let transport = match self.transport(socket, &peer) {
            Ok(transport) => transport,
            Err(e) => return log::info!("[{id}] connection lost: {e}"),
        };
        let mut stream = stream::Connection::new(transport.clone());
        let (mut ends, mut _client_place) = ((peer, local), None);
        if is_proxy(&self.shared.config, &ends.0) {
            match read_proxy_header(&mut stream, &transport) {
                Ok(Source::Connection) => {}
                Ok(Source::Client { peer, local }) => ends = (Endpoint::Tcp(peer), Endpoint::Tcp(local)),
                Err(e) => return log::info!("[{id}] no PROXY header from {}: {e}", ends.0),
            }
            _client_place = self.addresses.take(&ends.0);
            if _client_place.is_none() {
                return refuse_client(&self.shared, &mut stream, &ends.0);
            }
        }
        let session: Box<dyn Session> = match &self.session {
            Some(make) => make(&ends.0),
            None => Box::new(()),
        };
        let mut channel = Channel::new(self.shared.clone(), stream, session, ends, id, dispatch, activity);
        channel.run(implicit_tls);
    }

    fn transport(&self, socket: Arc<Socket>, peer: &Endpoint) -> io::Result<Transport> {
        if matches!(peer, Endpoint::Tcp(_)) {
            // Replies are written whole; waiting to fill a segment would only delay them.
            socket.set_tcp_nodelay(true)?;
        }
        let config = &self.shared.config;
        // The shorter of the two that reads are bound by: it rarely has to be set again.
        let read_timeout = config.command_timeout.min(config.data_timeout);
        Transport::new(socket, read_timeout, config.command_timeout)
    }
}

fn is_proxy(config: &Config, peer: &Endpoint) -> bool {
    peer.ip().is_some_and(|ip| config.proxies.iter().any(|network| network.contains(ip)))
}

/// Reads the header that a proxy sends before anything else. What came with it is left for whoever reads next.
fn read_proxy_header(stream: &mut stream::Connection, transport: &Transport) -> io::Result<Source> {
    stream.set_read_deadline(Instant::now() + PROXY_TIMEOUT);
    let mut octets = Vec::with_capacity(256);
    let mut buf = [0; 512];
    loop {
        match stream.read(&mut buf)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            n => octets.extend_from_slice(&buf[..n]),
        }
        match proxy_protocol::parse(&octets) {
            Header::Incomplete => {}
            Header::Complete(length, source) => {
                transport.unread(&octets[length..]);
                return Ok(source);
            }
            Header::Invalid => return Err(io::ErrorKind::InvalidData.into()),
        }
    }
}

/// A client of a proxy has too many connections: the listener could not know.
fn refuse_client(shared: &Shared, stream: &mut stream::Connection, peer: &Endpoint) {
    log::info!("connection from {peer} refused: {TOO_MANY_FROM_YOU}");
    shared.counters.refused_connections.add(1);
    let mut text = Vec::new();
    TOO_MANY_FROM_YOU.render(&mut text);
    stream.set_write_deadline(Instant::now() + Duration::from_secs(1));
    if stream.write_all(&text).is_ok() {
        stream::linger(stream, false);
    }
}

/// A connection's entry among the live ones; gone on drop, so that a panic leaves none behind.
struct Entry<'a> {
    worker: &'a Worker,
    id: u64,
}

impl<'a> Entry<'a> {
    fn new(worker: &'a Worker, id: u64, socket: &Arc<Socket>, activity: &Arc<Activity>) -> Entry<'a> {
        worker.shared.counters.open_connections.add(1);
        let connection = LiveConnection { socket: socket.clone(), activity: activity.clone() };
        worker.live.by_id.lock().insert(id, connection);
        Entry { worker, id }
    }
}

impl Drop for Entry<'_> {
    fn drop(&mut self) {
        self.worker.live.by_id.lock().remove(&self.id);
        self.worker.shared.counters.open_connections.subtract(1);
    }
}

/// What a listener thread needs to give connections to workers.
struct Acceptor {
    bound: Arc<Bound>,
    implicit_tls: bool,
    shared: Arc<Shared>,
    shutdown: Arc<Shutdown>,
    pool: Arc<Pool<Connection>>,
    addresses: Arc<Addresses>,
    serial: Arc<AtomicU64>,
}

impl Acceptor {
    fn run(&self) {
        const SHORTEST: Duration = Duration::from_millis(5);
        const LONGEST: Duration = Duration::from_millis(250);
        const LOG_INTERVAL: Duration = Duration::from_secs(10);
        let mut pause = SHORTEST;
        let mut logged: Option<Instant> = None;
        while !self.shutdown.is_closing() {
            match self.bound.accept() {
                Ok(_) if self.shutdown.is_closing() => return,
                Ok((socket, peer)) => {
                    pause = SHORTEST;
                    self.hand_over(socket, peer);
                }
                // Troubles of a single connection: RFC 793's reset before it was accepted, and signals.
                Err(e) if matches!(e.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::Interrupted) => {}
                Err(_) if self.shutdown.is_closing() => return,
                Err(e) => {
                    // Most likely no file descriptor is left. The connection stays in the kernel's queue; asking for it
                    // again and again would take a processor and help nobody.
                    if logged.is_none_or(|at| at.elapsed() >= LOG_INTERVAL) {
                        log::warn!("cannot accept connections at {}: {e}", self.bound.local());
                        logged = Some(Instant::now());
                    }
                    self.pool.wait_for_end_of_a_job(pause);
                    pause = (pause * 2).min(LONGEST);
                }
            }
        }
    }

    fn hand_over(&self, socket: Socket, peer: Endpoint) {
        let id = self.serial.fetch_add(1, Ordering::Relaxed) + 1;
        // A proxy's connections are counted as its clients', once it has told whose they are.
        let is_proxy = is_proxy(&self.shared.config, &peer);
        let Some(place) = (if is_proxy { Some(Place { of: None }) } else { self.addresses.take(&peer) }) else {
            return self.refuse(&socket, &peer, &TOO_MANY_FROM_YOU);
        };
        let local = self.bound.local_of(&socket);
        match self.pool.submit(Connection { id, socket, peer, local, implicit_tls: self.implicit_tls, _place: place }) {
            Ok(()) => self.shared.counters.connections.add(1),
            Err((connection, Refusal::Full)) => self.refuse(&connection.socket, &connection.peer, &TOO_MANY),
            Err((connection, Refusal::NoThread(e))) => {
                log::warn!("cannot start a thread for a connection: {e}");
                self.refuse(&connection.socket, &connection.peer, &NO_THREAD);
            }
        }
    }

    /// Says why and lets go. The listener never waits for a client: what one write cannot send stays unsaid.
    fn refuse(&self, socket: &Socket, peer: &Endpoint, reply: &Reply) {
        log::info!("connection from {peer} refused: {reply}");
        self.shared.counters.refused_connections.add(1);
        let mut text = Vec::new();
        reply.render(&mut text);
        let said = socket.set_nonblocking(true).and_then(|()| socket.send(&text));
        // The client may have gone: then nobody misses it.
        let _ = said.and_then(|_| socket.shutdown(std::net::Shutdown::Write));
    }
}

/// How many connections each address has.
struct Addresses {
    max: Option<usize>,
    taken: Mutex<HashMap<IpAddr, usize>>,
}

/// One connection of an address; given back on drop.
struct Place {
    of: Option<(Arc<Addresses>, IpAddr)>,
}

impl Addresses {
    fn take(self: &Arc<Self>, peer: &Endpoint) -> Option<Place> {
        let (Some(max), Some(ip)) = (self.max, peer.ip()) else {
            return Some(Place { of: None });
        };
        let ip = ip.to_canonical();
        let mut taken = self.taken.lock();
        let count = taken.entry(ip).or_default();
        if *count >= max {
            return None;
        }
        *count += 1;
        Some(Place { of: Some((self.clone(), ip)) })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Some((addresses, ip)) = &self.of else { return };
        let mut taken = addresses.taken.lock();
        if let Some(count) = taken.get_mut(ip) {
            *count -= 1;
            if *count == 0 {
                taken.remove(ip);
            }
        }
    }
}

/// Tells this server's messages from those of any other on the machine, before and after: the time in microseconds, and
/// below it the process and the server within it.
fn server_id() -> u64 {
    static SERVERS: AtomicU64 = AtomicU64::new(0);
    let micros = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |d| d.as_micros() as u64);
    let own = u64::from(std::process::id()) ^ (SERVERS.fetch_add(1, Ordering::Relaxed) << 22);
    (micros << 12).wrapping_add(own)
}
