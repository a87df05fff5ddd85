//! What one client may use: connections and errors by address and network, and less time while the server is under
//! stress.

pub(crate) mod clients;
pub(crate) mod rate;
pub(crate) mod stress;
