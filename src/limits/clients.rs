//! What each client address may use: connections at once, connections in a time, and errors in a time.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;

use crate::config::Config;
use crate::envelope::Endpoint;
use crate::limits::rate::Windows;
use crate::stats::counters::{Counter, Counters};
use crate::syntax::network::Network;
use crate::syntax::reply::{Reply, Status};

const POLICY: Status = Status::new(4, 7, 0);
const TOO_MANY_FROM_YOU: Reply = Reply::fixed(421, POLICY, "Too many connections from your address");
const TOO_MANY_FROM_NETWORK: Reply = Reply::fixed(421, POLICY, "Too many connections from your network");
const TOO_FAST: Reply = Reply::fixed(421, POLICY, "Too many connections from your network in a short time");
/// The reply to a client whose network has made too many errors.
pub(crate) const TOO_MANY_ERRORS_FROM_YOU: Reply = Reply::fixed(421, POLICY, "Too many errors from your network");

/// What clients' addresses and networks use now, so far as that is limited.
#[derive(Debug)]
pub(crate) struct Addresses {
    per_address: Option<Arc<NetworkPermits>>,
    per_network: Option<Arc<NetworkPermits>>,
    connections: Option<Windows>,
    errors: Option<Windows>,
    // Who may say XCLIENT speaks for others, who are counted when it has said so.
    xclient: Vec<Network>,
}

/// The connections of an address and its network that are open at once; one of them is given back on drop.
#[derive(Default, Debug)]
pub(crate) struct ClientPermit {
    _of_address: Option<Taken>,
    _of_network: Option<Taken>,
}

/// Why a client gets no permit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum TooMuch {
    FromAddress,
    FromNetwork,
    InTime,
    Errors,
}

impl TooMuch {
    /// What the client hears.
    pub fn reply(self) -> Reply {
        match self {
            TooMuch::FromAddress => TOO_MANY_FROM_YOU,
            TooMuch::FromNetwork => TOO_MANY_FROM_NETWORK,
            TooMuch::InTime => TOO_FAST,
            TooMuch::Errors => TOO_MANY_ERRORS_FROM_YOU,
        }
    }

    /// Where connections are counted that are refused for this.
    pub fn counter(self, counters: &Counters) -> &Counter {
        let refused = &counters.refused_connections;
        match self {
            TooMuch::FromAddress => &refused.address,
            TooMuch::FromNetwork => &refused.network,
            TooMuch::InTime => &refused.rate,
            TooMuch::Errors => &refused.errors,
        }
    }
}

impl Addresses {
    pub fn new(config: &Config) -> Addresses {
        let places = |max| Arc::new(NetworkPermits { max, taken: Mutex::default() });
        let windows = |rate| Windows::new(rate, Instant::now());
        Addresses {
            per_address: config.max_connections_per_address.map(places),
            per_network: config.max_connections_per_network.map(places),
            connections: config.max_connection_rate.map(windows),
            errors: config.max_error_rate.map(windows),
            xclient: config.xclient.clone(),
        }
    }

    /// A permit for one more connection, or why there is none.
    pub fn take(&self, peer: &Endpoint) -> Result<ClientPermit, TooMuch> {
        let Some(ip) = self.counted(peer) else { return Ok(ClientPermit::default()) };
        let (network, now) = (Network::of_client(ip), Instant::now());
        if self.connections.as_ref().is_some_and(|connections| !connections.add(network, now)) {
            return Err(TooMuch::InTime);
        }
        if self.errors.as_ref().is_some_and(|errors| errors.is_used_up(network, now)) {
            return Err(TooMuch::Errors);
        }
        let of_address = self.per_address.as_ref().map(|places| places.take(ip.into()).ok_or(TooMuch::FromAddress));
        let of_network = self.per_network.as_ref().map(|places| places.take(network).ok_or(TooMuch::FromNetwork));
        Ok(ClientPermit { _of_address: of_address.transpose()?, _of_network: of_network.transpose()? })
    }

    /// The address of a client that is counted.
    fn counted(&self, peer: &Endpoint) -> Option<IpAddr> {
        // A client whose proxy does not know its address has none: it is not everybody else of whom that is true.
        peer.ip().filter(|_| !peer.is_in(&self.xclient))
    }

    /// Counts an error; true if there are too many now.
    pub fn count_error(&self, peer: &Endpoint) -> bool {
        let (Some(errors), Some(ip)) = (&self.errors, self.counted(peer)) else { return false };
        let (network, now) = (Network::of_client(ip), Instant::now());
        errors.add(network, now);
        errors.is_used_up(network, now)
    }
}

/// How many connections each network has, of which none may have more than `max`.
#[derive(Debug)]
struct NetworkPermits {
    max: usize,
    taken: Mutex<HashMap<Network, usize>>,
}

impl NetworkPermits {
    fn take(self: &Arc<Self>, network: Network) -> Option<Taken> {
        let mut taken = self.taken.lock();
        let count = taken.entry(network).or_default();
        if *count >= self.max {
            return None;
        }
        *count += 1;
        Some(Taken { places: self.clone(), network })
    }
}

#[derive(Debug)]
struct Taken {
    places: Arc<NetworkPermits>,
    network: Network,
}

impl Drop for Taken {
    fn drop(&mut self) {
        let mut taken = self.places.taken.lock();
        if let Some(count) = taken.get_mut(&self.network) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.network);
            }
        }
    }
}
