//! How many connections each address has, where that is limited.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::envelope::Endpoint;
use crate::reply::{Reply, Status};

/// What a client hears for which there is no place.
pub(crate) const TOO_MANY_FROM_YOU: Reply =
    Reply::fixed(421, Status::new(4, 7, 0), "Too many connections from your address");

/// How many connections each address has.
pub(crate) struct Addresses {
    max: Option<usize>,
    taken: Mutex<HashMap<IpAddr, usize>>,
}

/// One connection of an address; given back on drop.
pub(crate) struct Place {
    of: Option<(Arc<Addresses>, IpAddr)>,
}

impl Place {
    /// That of a client that is not counted.
    pub fn none() -> Place {
        Place { of: None }
    }
}

impl Addresses {
    /// At most `max` for each, or any number.
    pub fn new(max: Option<usize>) -> Addresses {
        Addresses { max, taken: Mutex::default() }
    }

    /// A place for one more, if there is one.
    pub fn take(self: &Arc<Self>, peer: &Endpoint) -> Option<Place> {
        let (Some(max), Some(ip)) = (self.max, peer.ip()) else {
            return Some(Place::none());
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
