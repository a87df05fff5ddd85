//! More than one process: for those who outgrow one, or one machine.
//!
//! A process of pillarbox uses all cores that it finds, and writes to a disk as fast as that can flush. Several are for what
//! one cannot do: outlive its machine, be replaced without a pause, or take more than one disk does.
//!
//! ```text
//!                         ┌─▶ pillarbox ─┐                ┌─▶ worker ─▶ Maildir
//!  clients ─▶ HAProxy(s) ─┤              ├─▶ Redis stream ┤
//!                         └─▶ pillarbox ─┘                └─▶ worker ─▶ next server
//! ```
//!
//! The processes that take mail have no state of their own. Each says 250 once the message is in a Redis stream, and workers,
//! wherever they are, take the messages off it. `examples/redis_server.rs` and `examples/redis_worker.rs` are two small
//! programs that do this; what is said here of kills and restarts the tests do with them, a real HAProxy and a real Redis.
//!
//! ```no_run
//! # #[cfg(feature = "redis")]
//! # {
//! use pillarbox::{Network, Server, handlers::RedisStream};
//!
//! let stream = RedisStream::new("redis://redis.example.org")?.capacity(500_000);
//! let server = Server::builder()
//!     .proxy_protocol(["192.0.2.1/32".parse::<Network>()?]) // where HAProxy connects from
//!     .serve("192.0.2.11:2525", stream)?;
//! # }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Limits are each process's own: [`max_connections`](Builder::max_connections), those for an address or a network, the
//! budgets. Behind something that spreads connections evenly, N processes allow N times as much.
//!
//! # On one machine
//!
//! With [`reuse_port`](Builder::reuse_port) several processes of one user listen at one port (`SO_REUSEPORT`), and Linux gives
//! each connection to one of them, by a hash of its addresses and not by who has time. To replace a program, start the new
//! one, then stop the old one with [`shutdown`](Server::shutdown). Connections that wait in the old one's queue when its
//! socket closes are reset, and their clients try again.
//!
//! # Behind HAProxy
//!
//! This is `examples/haproxy.cfg`, with which the tests run:
//!
//! ```text
#![doc = include_str!("../../examples/haproxy.cfg")]
//! ```
//!
//! - `send-proxy-v2` tells who the client is; [`proxy_protocol`](Builder::proxy_protocol) believes it of the addresses that it
//!   lists, and of no other. Without it every client would seem to be HAProxy, which matters to limits and to relays.
//!   Whoever else can connect to the processes is a client like any other: let a firewall keep them off.
//! - TLS passes through: STARTTLS and certificates are pillarbox's.
//! - The health check says EHLO, behind a PROXY header of its own. A process that hangs is found as well as one that is gone.
//!   Whether Redis can be written to it does not ask: while it cannot, clients read a 4xx from each process.
//! - Sessions take seconds or minutes, so `leastconn` spreads them better than turns do.
//! - HAProxy itself is one process on one machine. Have two, at two addresses, with an MX record each.
//!
//! # MX and SRV records
//!
//! ```text
//! example.org.                    MX   10 mx1.example.org.
//! example.org.                    MX   10 mx2.example.org.
//! _submissions._tcp.example.org.  SRV  0 50 465 mail1.example.org.
//! _submissions._tcp.example.org.  SRV  0 50 465 mail2.example.org.
//! ```
//!
//! Mail servers choose by chance among MX records of equal preference, and go on to the next if one does not answer (RFC 5321
//! section 5.1): that spreads the load with nothing in between, and a machine that is gone costs its clients a time-out.
//! They know nothing of SRV records. Programs that submit mail may (RFC 6186 and RFC 8314), by priority and weight.
//!
//! # Redis
//!
//! A 250 is worth what Redis keeps. Its defaults keep less than mail needs:
//!
//! | setting | value | else |
//! |---|---|---|
//! | `appendonly` | `yes` | a crash loses all since the last snapshot: minutes, or everything |
//! | `appendfsync` | `always` | `everysec` loses up to two seconds of acknowledged mail when the machine fails, and may when the process does: while a flush takes long it answers before it has written. `no` loses what the kernel has not written yet, often half a minute |
//! | `no-appendfsync-on-rewrite` | `no` (its default) | `always` does not hold while the file is rewritten |
//! | `maxmemory-policy` | `noeviction` (its default) | Redis makes room by throwing away the stream |
//! | `maxmemory` | well below the machine's | the kernel ends Redis. With it clients read `452 4.3.1` |
//! | `proto-max-bulk-len` | at least [`data_size_limit`](Builder::data_size_limit) | larger messages are a 451 for ever. 512 MiB by default |
//!
//! `always` costs one flush of the disk for all messages that arrive meanwhile, which is what a Maildir costs too. `everysec`
//! costs nothing, and the mail above. All messages that wait are in Redis's memory, and one that arrives is there
//! several times for a moment.
//!
//! [`capacity`](handlers::RedisStream::capacity) should be passed only when workers have stopped: the number of messages of
//! the time in which somebody will notice, so far as their content fits into `maxmemory`.
//!
//! ## Replication and failover
//!
//! Replication is asynchronous: the primary answers, and its replicas hear of it afterwards. If it fails and a replica takes
//! its place, what that had not heard yet is lost, although it was acknowledged; and when the old primary comes back, it
//! throws away what the new one does not have.
//!
//! [`wait_replicas`](handlers::RedisStream::wait_replicas) has each message wait (`WAIT`) until so many replicas have it, and
//! a message for which too few answer is refused. That narrows the gap and does not close it, since `WAIT` is no consensus:
//!
//! - replicas say that they have received it, not that it is on their disks;
//! - a failover chooses among the replicas that can be reached. Sentinel prefers the one that has heard most, but if those
//!   that have the message are the ones that are cut off, it chooses another;
//! - a primary that is cut off and does not know it goes on. With `wait_replicas` it acknowledges nothing that none of its
//!   replicas has; without, or without `min-replicas-to-write`, all that it acknowledges is lost.
//!
//! With two replicas and `wait_replicas(2, ...)` any one machine can be lost for good; but then no replica may be down, or mail
//! waits. Consider, too, not to fail over by itself: mail servers keep trying for days (RFC 5321 section 4.5.4.1). A
//! primary that is started again with its disk has lost nothing, and mail was late.
//!
//! After a failover the URL has to lead to the new primary: by a name, an address that moves, or an HAProxy that asks each
//! Redis for its role. A connection to a primary that has become a replica is given up, and the message goes over a new one.
//!
//! ## Cluster
//!
//! A stream is one key, a key is in one slot, and a slot is on one node: a Cluster makes one stream neither larger nor faster.
//! Give processes streams with different keys, whose slots are on different nodes, and each the URL of its node.
//! Redirections are not followed: they are a 451, and a line in the log that names the node. Messages have nothing to do with
//! each other, so several Redises without a Cluster, each with its own stream and workers, do the same with less.
//!
//! # Workers
//!
//! A worker reads as a member of a consumer group, has the message on disk, and only then acknowledges and deletes the entry
//! (XACK and XDEL; without XDEL the stream fills up). What it had not finished when it was killed it is given again, or
//! another takes it over. So the same entry may be handled twice: its `id` says that it is the same, and
//! [`Maildir::once`](handlers::Maildir::once) stores it once.
//!
//! A message that its client sent twice, since it could not know that the first had arrived, is two messages with two ids,
//! as with any mail server.
//!
//! # What is lost when what dies
//!
//! | what | acknowledged messages that are lost | what clients see |
//! |---|---|---|
//! | a pillarbox process, or its machine | none | connections end; the others are there |
//! | HAProxy, or its machine | none | connections end; the other MX is there |
//! | a worker | none: it or another handles its entries again | nothing |
//! | all workers | none | `452 4.3.1` once the stream is full |
//! | Redis's process, `appendfsync always` | none | `451 4.3.0` until it is back |
//! | Redis's process, `everysec` | up to two seconds' | the same |
//! | Redis's process, no `appendonly` | all since the last snapshot | the same |
//! | Redis's machine, back with its disk | as its process | the same |
//! | Redis's machine for good, no replica | all that no worker had finished | the same |
//! | the same, replicas, a failover | what the new primary had not heard: most often some milliseconds' | the same, until the URL leads to the new one |
//! | the same, and `wait_replicas(n, ...)` | none, if the new primary is one of the n, and stayed up | the same |
//! | primary and replicas at once (power) | none if the primary comes back as the primary, with its disk; else what was not on the new one's | the same |
//! | a network between primary and replicas, no `wait_replicas` | all that the old primary acknowledged from then on, if it is replaced | nothing |
//! | the same, and `wait_replicas` | none that a replica on the new primary's side has | `451 4.3.0` |
//!
//! Whatever was not acknowledged is still its client's.

#[cfg(doc)]
use crate::{Builder, Server, handlers};
