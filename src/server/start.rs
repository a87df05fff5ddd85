//! How a server starts: its sockets, what its connections share, its threads.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, SystemTime};

use crossbeam_channel::{Receiver, Sender, bounded};
use parking_lot::{Condvar, Mutex};

use super::accept_loop::AcceptLoop;
use super::listener::{Bound, Listener, Policy};
use super::pool::{Pool, Threads};
use super::worker::{AcceptedConnection, Live, Worker};
use super::{Core, Running, Server};
use crate::config::Config;
use crate::connection::channel::{Offers, Shared};
use crate::connection::shutdown::Shutdown;
use crate::content::store::ContentStore;
use crate::delivery::Delivery;
use crate::delivery::handler::{Handler, consume};
use crate::envelope::transcript::Transcripts;
use crate::error::Error;
use crate::faults::Faults;
use crate::io::tls::Tls;
use crate::limits::clients::Addresses;
use crate::limits::stress::Stress;
use crate::session::observer::Observer;
use crate::session::{ListenerId, SessionFactory};
use crate::stats::counters::Counters;
use crate::stats::pulse::{Pulse, Watch};

/// What a builder has gathered.
pub(crate) struct Settings {
    pub config: Config,
    pub session: Option<SessionFactory>,
    pub transcripts: bool,
    pub faults: Option<Faults>,
    pub observer: Option<Arc<dyn Observer>>,
    pub tls: Option<Tls>,
    #[cfg(feature = "auth")]
    pub authenticator: Option<Arc<dyn crate::auth::Authenticator>>,
    #[cfg(feature = "auth")]
    pub sasl_mechanisms: Vec<crate::auth::OwnMechanism>,
}

/// What a listener takes at most for a connection, which it gives to another thread: it never waits for a client. Far more than
/// any machine needs.
const LONGEST_HAND_OVER: Duration = Duration::from_secs(10);

/// A socket, and what its connections share.
struct Served {
    bound: Arc<Bound>,
    shared: Arc<Shared>,
}

impl Server {
    pub(crate) fn start(
        settings: Settings,
        listeners: Vec<Listener>,
        handlers: Vec<Box<dyn Handler>>,
    ) -> Result<(Server, Receiver<Delivery>), Error> {
        let served = bind_all(listeners, &settings)?;
        let (deliveries, receiver) = bounded(settings.config.queue_capacity);
        let watches = watches(&settings.config, served.len(), handlers.len());
        let pulses: Vec<_> = watches.iter().map(Watch::pulse).collect();
        let (listener_pulses, consumer_pulses) = pulses.split_at(served.len());
        // From here on an early return drops the server, which ends what was started.
        let server = Server { core: Arc::new(Core::new(settings, &served, watches, deliveries)) };
        server.core.start_consumers(handlers, consumer_pulses, &receiver)?;
        server.core.start_listeners(served, listener_pulses)?;
        Ok((server, receiver))
    }
}

/// Those of the listeners' threads, then those of the consumers'.
fn watches(config: &Config, listeners: usize, consumers: usize) -> Vec<Watch> {
    let listening = (0..listeners).map(|_| Watch::new(LONGEST_HAND_OVER));
    listening.chain((0..consumers).map(|_| Watch::new(2 * config.handler_timeout))).collect()
}

fn bind_all(listeners: Vec<Listener>, settings: &Settings) -> Result<Vec<Served>, Error> {
    let bound = listeners
        .into_iter()
        .map(|listener| listener.into_bound(settings.config.reuse_port))
        .collect::<Result<Vec<_>, _>>()?;
    let common = Common::new(settings);
    let served = bound.into_iter().enumerate().map(|(index, (bound, policy))| Served {
        bound: Arc::new(bound),
        shared: Arc::new(common.shared(settings, index, &policy)),
    });
    Ok(served.collect())
}

/// What the connections of all listeners share.
struct Common {
    store: Arc<ContentStore>,
    counters: Arc<Counters>,
    stress: Arc<Stress>,
    addresses: Arc<Addresses>,
    server: u64,
    transcripts: Option<Arc<Transcripts>>,
}

impl Common {
    fn new(Settings { config, transcripts, .. }: &Settings) -> Common {
        Common {
            store: ContentStore::new(config),
            counters: Arc::default(),
            stress: Arc::new(Stress::new(config.max_connections, config.stress_timeout)),
            addresses: Arc::new(Addresses::new(config)),
            server: server_id(),
            transcripts: transcripts.then(Arc::default),
        }
    }

    /// What the connections of one listener share.
    fn shared(&self, settings: &Settings, index: usize, policy: &Policy) -> Shared {
        Shared {
            config: Arc::new(policy.apply(&settings.config)),
            listener: ListenerId { index, name: policy.name.clone() },
            tls: policy.tls.as_ref().or(settings.tls.as_ref()).cloned(),
            implicit_tls: policy.implicit_tls,
            #[cfg(feature = "auth")]
            authenticator: settings.authenticator.clone().filter(|_| policy.offers_auth()),
            #[cfg(feature = "auth")]
            sasl_mechanisms: if policy.offers_auth() { settings.sasl_mechanisms.clone() } else { Vec::new() },
            offers: Offers::default(),
            store: self.store.clone(),
            counters: self.counters.clone(),
            stress: self.stress.clone(),
            addresses: self.addresses.clone(),
            server: self.server,
            transcripts: self.transcripts.clone(),
            faults: settings.faults.clone(),
            observer: settings.observer.clone(),
        }
    }
}

impl Core {
    fn new(settings: Settings, served: &[Served], watches: Vec<Watch>, deliveries: Sender<Delivery>) -> Core {
        let (shutdown, live) = (Arc::<Shutdown>::default(), Arc::<Live>::default());
        let worker = Worker {
            shutdown: shutdown.clone(),
            live: live.clone(),
            session: settings.session,
            deliveries: deliveries.clone(),
        };
        let pool = Arc::new(pool(&settings.config, worker));
        Core {
            shared: served[0].shared.clone(),
            shutdown,
            live,
            watches,
            jobs: pool.jobs(),
            endpoints: served.iter().map(|served| served.bound.local().clone()).collect(),
            scheme: scheme(served),
            accepting: Threads::default(),
            consuming: Threads::default(),
            running: Mutex::new(Some(Running {
                listeners: served.iter().map(|served| served.bound.clone()).collect(),
                pool,
                deliveries,
            })),
            has_begun: AtomicBool::new(false),
            report: Mutex::new(None),
            ended: Condvar::new(),
        }
    }

    fn start_consumers(
        &self,
        handlers: Vec<Box<dyn Handler>>,
        pulses: &[Arc<Pulse>],
        receiver: &Receiver<Delivery>,
    ) -> Result<(), Error> {
        for (mut handler, pulse) in handlers.into_iter().zip(pulses.iter().cloned()) {
            let (receiver, shutdown, counters) =
                (receiver.clone(), self.shutdown.clone(), self.shared.counters.clone());
            let thread = thread::Builder::new().name("pillarbox-consumer".into());
            let work = move || {
                shutdown.adopt_thread();
                consume(&mut *handler, &receiver, &counters.panics, &pulse);
            };
            self.consuming.spawn(thread, work).map_err(Error::Thread)?;
        }
        Ok(())
    }

    fn start_listeners(&self, served: Vec<Served>, pulses: &[Arc<Pulse>]) -> Result<(), Error> {
        // Nobody has seen the server yet who could have ended it.
        let Some(pool) = self.running.lock().as_ref().map(|running| running.pool.clone()) else { return Ok(()) };
        let serial = Arc::new(AtomicU64::new(0));
        for (Served { bound, shared }, pulse) in served.into_iter().zip(pulses.iter().cloned()) {
            let accept_loop = AcceptLoop {
                bound,
                shared,
                shutdown: self.shutdown.clone(),
                pool: pool.clone(),
                live: self.live.clone(),
                serial: serial.clone(),
                pulse,
            };
            let thread = thread::Builder::new().name("pillarbox-listener".into());
            self.accepting.spawn(thread, move || accept_loop.run()).map_err(Error::Thread)?;
        }
        Ok(())
    }
}

/// The threads that serve connections.
fn pool(config: &Config, worker: Worker) -> Pool<AcceptedConnection> {
    let worker = Arc::new(worker);
    Pool::hiring(config.max_connections, config.worker_stack, move || {
        worker.shutdown.adopt_thread();
        let (worker, mut buffers) = (worker.clone(), None);
        Box::new(move |connection| worker.serve(connection, &mut buffers))
    })
}

/// That of the first TCP listener's URL.
fn scheme(served: &[Served]) -> &'static str {
    let first = served.iter().find(|served| served.bound.local().socket_addr().is_some());
    match first.map(|first| (first.shared.config.lmtp, first.shared.implicit_tls)) {
        Some((true, _)) => "lmtp",
        Some((false, true)) => "smtps",
        _ => "smtp",
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
