//! Ready-made handlers: print, discard, store, relay, run a program.
//!
//! | handler | does | accepts a message when |
//! |---|---|---|
//! | [`Debugging`] | prints it | it is printed; nothing is kept |
//! | [`Sink`] | discards it | it arrives |
//! | [`Maildir`] (on Unix) | stores it as a file | it is flushed to the disk |
//! | [`Mailboxes`] (on Unix) | stores it in a Maildir for each recipient, with quotas | it is flushed to the disk |
//! | [`Proxy`] | relays it to another server, SMTP or LMTP | that server has accepted it |
//! | [`Mailman`] | gives Mailman 3 what is for its lists, and relays the rest | Mailman or the other server has accepted it |
//! | [`Pipe`] (on Unix) | runs a program, in any language | the program exits with status 0 |
//! | `RedisStream` (feature `redis`) | puts it into a Redis stream, for workers | Redis has it |
//!
//! A `RedisWorker` (feature `redis`) takes the messages off that stream and gives them to any of these.
//!
//! A handler of your own is any type that implements [`Handler`](crate::Handler), or a closure that takes an
//! [`Envelope`](crate::Envelope).

mod debugging;
mod delivery_pool;
#[cfg(unix)]
mod maildir;
#[cfg(unix)]
mod pipe;
#[cfg(feature = "redis")]
mod redis_stream;
mod relay;
mod sink;

pub use debugging::Debugging;
#[cfg(unix)]
pub use maildir::Maildir;
#[cfg(unix)]
pub use maildir::mailboxes::Mailboxes;
#[cfg(unix)]
pub use maildir::quota::{Quota, QuotaError};
#[cfg(unix)]
pub use pipe::Pipe;
#[cfg(feature = "redis")]
pub use redis_stream::{
    RedisEntryError, RedisFault, RedisStream, RedisStreamStats, RedisUrlError, RedisWorker, RedisWorkerHandle,
    RedisWorkerStats,
};
#[cfg(all(feature = "redis", feature = "_tls"))]
pub use redis_stream::{RedisTls, RedisTlsError};
pub use relay::mailman::Mailman;
pub use relay::proxy::Proxy;
pub use sink::Sink;
