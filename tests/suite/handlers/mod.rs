//! What becomes of messages that were accepted: on the screen, on disk, in Redis.

#[cfg(all(feature = "cli", unix))]
mod chain;
mod changed;
mod debugging;
#[cfg(all(feature = "cli", unix))]
mod durability;
#[cfg(all(feature = "redis", unix))]
mod failover;
#[cfg(unix)]
mod mailboxes;
#[cfg(unix)]
mod maildir;
#[cfg(all(feature = "cli", target_os = "linux"))]
mod maildir_faults;
#[cfg(all(feature = "redis", unix))]
mod nats;
#[cfg(unix)]
mod pipe;
#[cfg(all(feature = "redis", unix))]
mod python_worker;
#[cfg(all(feature = "redis", unix))]
mod redis;
#[cfg(all(feature = "redis", unix))]
mod redis_stranded;
#[cfg(all(feature = "redis", unix))]
mod redis_worker;
#[cfg(all(feature = "redis", unix))]
mod scaling_out;
#[cfg(unix)]
mod spooling;
#[cfg(unix)]
mod tenants;
