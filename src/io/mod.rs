//! One connection's octets: the transport with its deadlines, the stream above it in clear or by TLS, and the lines
//! and content that are read from it.

pub(crate) mod stream;
pub(crate) mod tls;
pub(crate) mod transport;
pub(crate) mod wire;
