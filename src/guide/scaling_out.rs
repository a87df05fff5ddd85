//! More than one process or machine: how to set it up, and what is lost when one fails.
//!
//! You need this page only if one process is not enough. One process uses all cores, and writes to a disk as fast as the
//! disk can flush. Several processes can survive the loss of a machine, be replaced without a pause, and use more than one
//! disk. To set them up:
//!
//! 1. Put a Redis where all of them reach it, with [the settings below](#redis): its defaults lose mail.
//! 2. Run one pillarbox a machine: `pillarbox -c RedisStream`, or a program with [`handlers::RedisStream`] as its handler.
//! 3. Put HAProxy in front and list its address in [`proxy_protocol`](Builder::proxy_protocol), or publish an MX record for
//!    each machine.
//! 4. Run workers that store or relay each message, on as many machines as you like: `pillarbox deliver`, or a program with a
//!    [`handlers::RedisWorker`].
//! 5. Read [what is lost](#what-is-lost-when-what-fails), and decide about replicas.
//!
//! ```text
//!                         ┌─▶ pillarbox ─┐                ┌─▶ worker ─▶ Maildir
//!  clients ─▶ HAProxy(s) ─┤              ├─▶ Redis stream ┤
//!                         └─▶ pillarbox ─┘                └─▶ worker ─▶ next server
//! ```
//!
//! The processes that receive mail have no state of their own. Each answers 250 once the message is in a Redis stream, and
//! workers on any machine take the messages off it. The tests run all of them with a real HAProxy and a real Redis, and kill and
//! restart each under load.
//!
//! # With the command
//!
//! ```text
//! export PILLARBOX_REDIS=redis://:SECRET@redis.example.org
//! pillarbox -c RedisStream --metrics 0.0.0.0:8027 0.0.0.0:2525        # receives
//! pillarbox deliver --maildir /var/mail/incoming                      # stores
//! pillarbox deliver --relay lmtp:unix:/run/dovecot/lmtp               # or gives to a mail store or another server
//! pillarbox deliver -- ./accept.py                                    # or has a program decide
//! ```
//!
//! - The URL is better in the environment than on the command line, which everybody on the machine can read. No message shows
//!   its password.
//! - `--redis-ca`, `--redis-cert` and `--redis-key` have the certificates for a `rediss://` URL; SIGHUP reads them again.
//! - Both have `--metrics`: [`operations`](crate::guide::operations) lists the numbers. `/readyz` says 503 while Redis takes or gives
//!   no messages.
//! - On SIGTERM a worker finishes what it has, within fifteen seconds, gives back the rest, and exits with 0.
//! - `examples/deploy/` has units for systemd (`pillarbox-receiver`, `pillarbox-deliver`) and `compose-redis.yaml` with HAProxy, two
//!   servers, Redis and two workers.
//!
//! # In a program
//!
//! `examples/redis_server.rs` and `examples/redis_worker.rs` are complete.
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
//! Each process has its own limits: [`max_connections`](Builder::max_connections), those for an address or a network, the
//! budgets. Behind a balancer that spreads connections evenly, N processes allow N times as much.
//!
//! # On one machine
//!
//! With [`reuse_port`](Builder::reuse_port), or `--reuse-port` for the command, several processes of one user listen at one port
//! (`SO_REUSEPORT`), and Linux gives each connection to one of them by a hash of its addresses, whatever their load. To replace a
//! program, start the new one, then stop the old one with [`shutdown`](Server::shutdown), or SIGTERM. Connections that wait in the
//! old one's backlog when its socket closes are reset, and their clients try again.
//!
//! # Behind HAProxy
//!
//! This is `examples/haproxy.cfg`, with which the tests run:
//!
//! ```text
#![doc = include_str!("../../examples/haproxy.cfg")]
//! ```
//!
//! - `send-proxy-v2` names the client; [`proxy_protocol`](Builder::proxy_protocol) lists the addresses whose headers are
//!   believed. Without it every client would seem to be HAProxy, which breaks limits and relays.
//!   Others who can connect to the processes are ordinary clients: keep them off with a firewall.
//! - TLS passes through: pillarbox does STARTTLS and has the certificates.
//! - The health check sends EHLO, after a PROXY header of its own, so it finds a process that hangs as well as one that is
//!   gone. It does not check Redis: while Redis fails, clients get a 4xx from each process, before they send a content.
//!   To have it see Redis as well, ask for `/readyz`, which needs `--metrics` and takes no connection of SMTP: replace
//!   `option smtpchk ...` by `option httpchk GET /readyz`, and `check check-send-proxy` by `check port 8027`. While Redis is away
//!   from all servers at once, clients are then not connected at all, instead of getting a 4xx.
//! - Sessions take seconds or minutes, so `leastconn` spreads them better than `roundrobin` does.
//! - HAProxy itself is one process on one machine. Run two, at two addresses, with an MX record each. A server's `maxconn`
//!   times the number of HAProxies must stay some twenty below [`max_connections`](Builder::max_connections): a health check
//!   is a connection too, and a full process that refuses it would be marked DOWN although it works.
//! - `on-marked-down shutdown-sessions` disconnects the clients of a process that hangs, so that they try again elsewhere.
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
//! Mail servers choose at random among MX records of equal preference, and try the next if one does not answer (RFC 5321
//! section 5.1). That spreads the load without a balancer; when a machine is gone, its clients wait for one timeout.
//! Mail servers ignore SRV records. Programs that submit mail may use them (RFC 6186 and RFC 8314), by priority and weight.
//!
//! # Redis
//!
//! A 250 promises no more than Redis keeps, and its defaults keep less than mail needs:
//!
//! | setting | value | otherwise |
//! |---|---|---|
//! | `appendonly` | `yes` | a crash loses all since the last snapshot: minutes, or everything |
//! | `appendfsync` | `always` | `everysec` loses up to two seconds of acknowledged mail when the machine fails, and may when the process does: while a flush takes long it answers before it has written. `no` loses what the kernel has not written yet, often half a minute |
//! | `no-appendfsync-on-rewrite` | `no` (its default) | `always` does not hold while the file is rewritten |
//! | `maxmemory-policy` | `noeviction` (its default) | Redis makes room by deleting the stream |
//! | `maxmemory` | well below the machine's | the kernel kills Redis. With the limit, clients get `452 4.3.1` |
//! | `proto-max-bulk-len` | at least [`data_size_limit`](Builder::data_size_limit) | larger messages always get a 451. Redis's default is 512 MiB |
//!
//! `always` costs one flush of the disk for all messages that arrive meanwhile, as a Maildir does. `everysec` costs no time,
//! and loses the mail above. Redis holds all waiting messages in memory, and an arriving one several times for a moment.
//!
//! A message of 1 MiB takes Redis somewhat over a millisecond: a quarter is its way through the socket, half is the file that
//! `appendonly` writes, and a quarter the stream. While a stream has room for less than 30,000 more entries, or
//! [`capacity_octets`](handlers::RedisStream::capacity_octets) or `wait_replicas` is set, a script looks at each message, which copies
//! it and doubles that.
//!
//! Choose [`capacity`](handlers::RedisStream::capacity) so that the stream fills up only when workers have stopped: the number
//! of messages that arrive until somebody notices, if their content fits into `maxmemory`.
//!
//! ## Rights
//!
//! Give servers, workers and HAProxy a user each, with these rights and no others. The tests run with exactly these; paste
//! them into `redis-cli`, with passwords of your own, and `ACL SAVE` or `CONFIG REWRITE` afterwards:
//!
//! ```text
#![doc = include_str!("../../examples/deploy/redis-acl.txt")]
//! ```
//!
//! If the stream has another name, it stands in the place of `pillarbox`; a URL with a database needs `+select` as well. A right
//! that is missing is named in the log. Whoever has `XADD` can put any message into the stream.
//!
//! ## Replication and failover
//!
//! Replication is asynchronous: the primary answers first, and its replicas get the data afterwards. If the primary fails and
//! a replica replaces it, acknowledged mail that had not reached the replica is lost. When the old primary comes back, it
//! discards what the new one does not have.
//!
//! [`wait_replicas`](handlers::RedisStream::wait_replicas) makes each message wait (`WAIT`) until that many replicas have it,
//! and refuses a message for which too few answer; no worker sees one that was refused. That narrows the gap but does not close it,
//! since `WAIT` is not a consensus protocol:
//!
//! - replicas confirm that they have received the message, not that it is on their disks;
//! - a failover chooses among the replicas that can be reached. Sentinel prefers the one with the most data, but if those
//!   that have the message are cut off, it chooses another;
//! - a primary that is cut off without knowing goes on. With `wait_replicas` it acknowledges nothing that no replica
//!   has; without it, or without `min-replicas-to-write`, all that it acknowledges is lost.
//!
//! With two replicas and `wait_replicas(2, ...)` you can lose any one machine for good; but then no replica may be down, or
//! mail waits. Consider not failing over automatically: mail servers keep trying for days (RFC 5321 section 4.5.4.1). If
//! you restart the primary with its disk, mail was late and none is lost.
//!
//! After a failover the URL must lead to the new primary: by a name, an address that moves, or an HAProxy that asks each
//! Redis for its role. pillarbox drops a connection to a primary that has become a replica, and sends the message on a new
//! one.
//!
//! ### A failover by hand, with two Redis and HAProxy
//!
//! Both have [the settings above](#redis) and `min-replicas-to-write 1`, the second also `replicaof 192.0.2.21 6379`. Each machine
//! with a pillarbox or a worker runs an HAProxy with `examples/deploy/haproxy-redis.cfg`, and uses `redis://127.0.0.1:6380`
//! with [`wait_replicas(1, ...)`](handlers::RedisStream::wait_replicas). When the first one is gone for good, or for too long:
//!
//! 1. Make sure that it stays off: stop its service, or its machine.
//! 2. Promote the second: `redis-cli -h 192.0.2.22 REPLICAOF NO ONE`, then `CONFIG REWRITE`. Within two seconds HAProxy sends all
//!    to it. Workers go on; clients get a 451, because there is one copy of a message, and you ask for two.
//! 3. Write `replicaof 192.0.2.22 6379` into the first one's configuration, or a new machine's, **before** you start it. When it has
//!    caught up, mail is accepted again. If you cannot wait for it, set `min-replicas-to-write` to 0 and start the processes without
//!    `wait_replicas`.
//!
//! If you forget step 3, there are two primaries. Both refuse mail, because neither has a replica: that is what
//! `min-replicas-to-write` is for. Sentinel does the three steps by itself; the configuration of HAProxy stays as it is.
//! The tests do them with two real Redis and this file, under load, and count what was acknowledged:
//!
//! ```text
#![doc = include_str!("../../examples/deploy/haproxy-redis.cfg")]
//! ```
//!
//! ## Cluster
//!
//! A stream is one key, a key is in one slot, and a slot is on one node: a Cluster makes one stream neither larger nor faster.
//! Give the processes streams with different keys, whose slots are on different nodes, and give each the URL of its node.
//! Redirections are not followed: clients get a 451, and a line in the log names the node. Messages are independent of each
//! other, so several Redis servers without a Cluster, each with its own stream and workers, do the same and are simpler.
//!
//! # Workers
//!
//! A [`handlers::RedisWorker`] gives each message to a handler of your choice, and deletes its entry once the handler has accepted it:
//!
//! ```no_run
//! # #[cfg(all(feature = "redis", unix))]
//! # {
//! use pillarbox::handlers::{Maildir, RedisWorker};
//!
//! let worker = RedisWorker::new("redis://redis.example.org")?.consumer("store-1");
//! let handle = worker.handle(); // stops it, and has its statistics
//! worker.run(Maildir::create("/var/mail/incoming")?.once(true));
//! # }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! - It reads as a member of a consumer group, has the message where it belongs, and only then deletes and acknowledges the entry
//!   (XDEL, then XACK: an entry that is acknowledged alone is nobody's, and stays for ever).
//! - After a kill, the next worker with the same consumer name gets its unfinished entries at once, and any other worker after
//!   [`take_over_after`](handlers::RedisWorker::take_over_after), a minute. A worker that is stopped gives back what it has not finished.
//! - What cannot be delivered now is tried again after growing pauses, and holds up nothing else. What is refused for good, is no
//!   message, or was tried too often goes to a stream of [dead letters](handlers::RedisWorker::dead_letters) with the reason. Watch its
//!   length: somebody has to look at them.
//! - Redis at its `maxmemory` can be emptied by workers, also by those that start then, and from Redis 7 on by the first that there ever
//!   was. Dead letters have no room until it is.
//! - Upgrade workers before servers: a worker reads entries of its own version and the next.
//!
//! The worker itself takes some microseconds for a small message and less than half a millisecond for one of 1 MiB: what the handler
//! does decides. With a Maildir it stores as many messages as a server that stores them itself at the same disk, for no more processor
//! time. A disk flushes each file of a Maildir, and a stream only once for all messages that wait, so on one disk a receiver is several
//! times faster: put the Maildirs of several workers on several disks.
//!
//! # Once, or twice
//!
//! A message is handled at least once, whatever fails. It may be handled twice if a worker is killed between the handler's
//! acceptance and the deletion of the entry, if a failover of Redis loses the deletion, or if a worker hangs for longer than
//! `take_over_after` and then goes on.
//!
//! | where it goes | exactly once |
//! |---|---|
//! | one Maildir that all workers share, with [`once`](handlers::Maildir::once) | yes, as long as mail readers leave its files in `new` and `cur` |
//! | several Maildirs, or one whose readers move or delete files | not quite: [`once_for`](handlers::RedisWorker::once_for) has Redis remember ids, and leaves the milliseconds between the file and the id. A worker that is killed in them leaves a message that comes twice |
//! | a relay | not quite: the same, and SMTP itself cannot tell whether a message whose reply was lost has arrived |
//! | a program of yours | if it recognizes a message by its `id` |
//!
//! [`entry_format`](crate::guide::entry_format) says what an entry has, for workers in other languages, and in which order to
//! upgrade.
//!
//! If a client sends a message twice, because it cannot know that the first copy arrived, these are two messages with two
//! ids, as with any mail server.
//!
//! # What is lost when what fails
//!
//! | what fails | acknowledged messages that are lost | what may come twice | what clients see |
//! |---|---|---|---|
//! | a pillarbox process, or its machine | none | what it had not yet answered for: its clients send that again | connections end; the others are there |
//! | HAProxy, or its machine | none | the same | connections end; the other MX is there |
//! | a worker | none: it or another handles its entries again | what it had accepted and not yet deleted; nothing in one Maildir with `once` | nothing |
//! | all workers | none | the same | `452 4.3.1` once the stream is full |
//! | the next server, of a worker that relays | none: entries wait, and are tried again | what it had taken without an answer | the same |
//! | Redis's process, `appendfsync always` | none | what it had not yet answered for, from clients; what workers had not yet deleted | `451 4.3.0` until it is back |
//! | Redis's process, `everysec` | up to two seconds' | what workers had deleted in these two seconds | the same |
//! | Redis's process, no `appendonly` | all since the last snapshot | what workers had deleted since the last snapshot | the same |
//! | Redis's machine, back with its disk | as its process | as its process | the same |
//! | Redis's machine for good, no replica | all that no worker had finished | nothing | the same |
//! | the same, replicas, a failover | what had not reached the new primary: usually some milliseconds' | deletions that had not reached it | the same, until the URL leads to the new one |
//! | the same, and `wait_replicas(n, ...)` | none, if the new primary is one of the n, and stayed up; some may be five minutes late | the same | the same |
//! | primary and replicas at once (power) | none if the primary comes back as the primary, with its disk; else what was not on the new one's | deletions that were not on its disk | the same |
//! | a network between primary and replicas, no `wait_replicas` | all that the old primary acknowledged from then on, if it is replaced | what workers at the old primary deleted from then on | nothing |
//! | the same, and `wait_replicas` | none that a replica on the new primary's side has | the same | `451 4.3.0` |
//!
//! A message that was not acknowledged is still at its client.

#[cfg(doc)]
use crate::{Builder, Server, handlers};
