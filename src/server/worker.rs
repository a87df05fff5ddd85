//! What a worker thread does with a connection: from the PROXY header that may come first to its end.

use std::io::{self, Read, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::Sender;
use parking_lot::Mutex;
use socket2::Socket;

use crate::config::{Config, PROXY_TIMEOUT};
use crate::connection::channel::{BROKEN, Channel, ConnectionBuffers, Shared};
use crate::connection::shutdown::{Activity, Shutdown};
use crate::delivery::Delivery;
use crate::envelope::Endpoint;
use crate::io::stream::{self, Stream};
use crate::io::transport::Transport;
use crate::limits::clients::ClientPermit;
use crate::limits::stress::StressPermit;
use crate::session::{Session, SessionFactory};
use crate::stats::counters::Counters;
use crate::stats::guard::guarded;
use crate::syntax::proxy_info::ProxyInfo;
use crate::syntax::proxy_protocol::{self, Header, Source};
use crate::syntax::reply::Reply;

/// A connection on its way from a listener to a worker.
pub(crate) struct AcceptedConnection {
    pub id: u64,
    pub socket: Socket,
    pub peer: Endpoint,
    pub local: Endpoint,
    // Of its listener.
    pub shared: Arc<Shared>,
    // Each is free again with the connection's end.
    pub permit: ClientPermit,
    pub stress_permit: StressPermit,
}

/// The connections that workers serve now, for those who want them ended.
#[derive(Default)]
pub(crate) struct Live {
    table: Mutex<Table>,
}

/// Each connection has a slot, which is used again after it ends.
#[derive(Default)]
struct Table {
    slots: Vec<Option<LiveConnection>>,
    free: Vec<usize>,
}

struct LiveConnection {
    transport: Transport,
    activity: Arc<Activity>,
}

impl Live {
    pub fn count(&self) -> usize {
        let table = self.table.lock();
        table.slots.len() - table.free.len()
    }

    pub fn each(&self, mut act: impl FnMut(&Transport, &Activity)) {
        for LiveConnection { transport, activity } in self.table.lock().slots.iter().flatten() {
            act(transport, activity);
        }
    }

    /// Adds a connection, and gives its slot.
    fn insert(&self, connection: LiveConnection) -> usize {
        let mut table = self.table.lock();
        if let Some(at) = table.free.pop() {
            table.slots[at] = Some(connection);
            return at;
        }
        table.slots.push(Some(connection));
        table.slots.len() - 1
    }

    fn remove(&self, at: usize) -> Option<LiveConnection> {
        let mut table = self.table.lock();
        table.free.push(at);
        table.slots[at].take()
    }

    /// Ends the connections whose workers have waited for a command, for its reply to be read, or for a TLS handshake,
    /// since `earliest` or for longer.
    pub fn give_up_waiting(&self, earliest: Instant) {
        self.each(|transport, activity| {
            if let Some(how) = activity.give_up(earliest) {
                // It may have ended by itself.
                let _ = transport.close(how);
            }
        });
    }
}

/// What every worker needs to serve a connection.
pub(crate) struct Worker {
    pub shutdown: Arc<Shutdown>,
    pub live: Arc<Live>,
    pub session: Option<SessionFactory>,
    pub deliveries: Sender<Delivery>,
}

impl Worker {
    /// Serves a connection to its end, with the buffers of the one before if there was one.
    pub fn serve(&self, connection: AcceptedConnection, left: &mut Option<ConnectionBuffers>) {
        let AcceptedConnection { id, socket, peer, local, shared, permit: _place, stress_permit: _stress_permit } =
            connection;
        // Before its client can know that it is served.
        shared.counters.connections.add(1);
        let transport = match transport(&shared.config, socket, &peer) {
            Ok(transport) => transport,
            Err(e) => return log::info!("[{id}] connection lost: {e}"),
        };
        let buffers = left.take().unwrap_or_else(|| ConnectionBuffers::new(self.deliveries.clone()));
        let activity = Arc::new(Activity::new(self.shutdown.clone(), buffers.canceller()));
        let _entry = Entry::new(&self.live, &shared.counters, &transport, &activity);
        let mut stream = stream::ConnectionStream::new(transport.clone());
        let mut client = Client { ends: (peer, local), proxy: None, _permit: ClientPermit::default() };
        if is_proxy(&shared.config, &client.ends.0) {
            match client_of_proxy(&mut stream, &shared, id, client.ends) {
                Some(introduced) => client = introduced,
                None => return,
            }
        }
        let session: Result<Option<Box<dyn Session>>, Reply> = match &self.session {
            Some(factory) => {
                let who = format_args!("[{id}] session factory");
                guarded(&shared.counters.panics, who, || factory.make(&client.ends.0)).unwrap_or(Err(BROKEN)).map(Some)
            }
            None => Ok(None),
        };
        let mut channel = Channel::new(shared.clone(), stream, session, client.ends, id, buffers, activity);
        channel.set_proxy(client.proxy);
        channel.run();
        *left = Some(channel.into_buffers());
    }
}

fn transport(config: &Config, socket: Socket, peer: &Endpoint) -> io::Result<Transport> {
    if matches!(peer, Endpoint::Tcp(_)) {
        // Replies are written whole; waiting to fill a segment would only delay them.
        socket.set_tcp_nodelay(true)?;
    }
    // The shorter of the two that reads are bound by: it rarely has to be set again.
    let read_timeout = config.command_timeout.min(config.data_timeout);
    Transport::new(socket, read_timeout, config.command_timeout)
}

pub(crate) fn is_proxy(config: &Config, peer: &Endpoint) -> bool {
    peer.is_in(&config.proxies)
}

/// Who sits at the other end, by a proxy or not.
struct Client {
    ends: (Endpoint, Endpoint),
    proxy: Option<Box<ProxyInfo>>,
    // Free again with the connection's end.
    _permit: ClientPermit,
}

/// The client that a proxy speaks for; none if the connection has ended.
#[inline(never)]
fn client_of_proxy(
    stream: &mut stream::ConnectionStream,
    shared: &Shared,
    id: u64,
    ends: (Endpoint, Endpoint),
) -> Option<Client> {
    let transport = stream.transport().clone();
    match read_proxy_header(stream, &transport) {
        // Trust in the proxy's address is not for whoever sits behind it, nor for its look whether there is a server.
        Ok((Source::Unknown, proxy)) => {
            Some(Client { ends: (Endpoint::Unknown, ends.1), proxy, _permit: ClientPermit::default() })
        }
        Ok((Source::Client { peer, local }, proxy)) => {
            let ends = (Endpoint::named(peer), Endpoint::named(local));
            match shared.addresses.take(&ends.0) {
                Ok(permit) => Some(Client { ends, proxy, _permit: permit }),
                Err(why) => {
                    why.counter(&shared.counters).add(1);
                    refuse_client(stream, &ends.0, &why.reply());
                    None
                }
            }
        }
        Err(e) => {
            if e.kind() == io::ErrorKind::TimedOut {
                shared.counters.timeouts.proxy_header.add(1);
            }
            log::info!("[{id}] no PROXY header from {}: {e}", ends.0);
            None
        }
    }
}

/// Reads the header that a proxy sends before anything else. What came with it is left for whoever reads next.
fn read_proxy_header(
    stream: &mut stream::ConnectionStream,
    transport: &Transport,
) -> io::Result<(Source, Option<Box<ProxyInfo>>)> {
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
            Header::Complete(length, source, info) => {
                transport.unread(&octets[length..]);
                return Ok((source, info));
            }
            Header::Invalid => return Err(io::ErrorKind::InvalidData.into()),
        }
    }
}

/// A proxy's client exceeds its limits, which the listener could not know.
fn refuse_client(stream: &mut stream::ConnectionStream, peer: &Endpoint, reply: &Reply) {
    log::info!("connection from {peer} refused: {reply}");
    let mut text = Vec::new();
    reply.render(&mut text);
    stream.set_write_deadline(Instant::now() + Duration::from_secs(1));
    if stream.write_all(&text).is_ok() {
        stream::linger(stream, false);
    }
}

/// A connection's entry among the live ones; gone on drop, so that a panic leaves none behind.
struct Entry<'a> {
    live: &'a Live,
    counters: &'a Counters,
    at: usize,
}

impl<'a> Entry<'a> {
    fn new(live: &'a Live, counters: &'a Counters, transport: &Transport, activity: &Arc<Activity>) -> Entry<'a> {
        counters.open_connection();
        let connection = LiveConnection { transport: transport.clone(), activity: activity.clone() };
        Entry { live, counters, at: live.insert(connection) }
    }
}

impl Drop for Entry<'_> {
    fn drop(&mut self) {
        // Closes the socket, so not while others wait for the table.
        drop(self.live.remove(self.at));
        self.counters.open_connections.subtract(1);
    }
}
