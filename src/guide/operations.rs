//! Watching a server: its numbers, health checks, systemd.
//!
//! For the command, do this:
//!
//! 1. Start it with `--metrics localhost:8027`, and let Prometheus or anything that reads its formats ask `/metrics`.
//! 2. Point the load balancer's check at `/readyz`, and what restarts the process at `/livez`.
//! 3. Under systemd use the unit of `examples/deploy/`: it waits until the server is ready, and restarts one that hangs.
//!
//! # In a program
//!
//! [`Server::stats`] has the numbers, and [`Stats::openmetrics`] shows them as text, which your program's own HTTP server can
//! give to a monitoring system. [`ServerHandle`](crate::ServerHandle) has the same methods and goes to any thread. Counting takes
//! no lock, and of each message a few additions.
//!
//! An [`Observer`] is called for each connection, reply, message, login and handshake, with the time that it took: for
//! histograms and traces. Without one nothing is timed.
//!
//! [`Server::is_shutting_down`] and [`Server::is_responsive`] answer health checks.
//!
//! # Over HTTP
//!
//! `--metrics ADDR` serves three pages with any class, and `-c Inbox` serves them beside the inbox. They go on while a shutdown
//! waits for messages in progress.
//!
//! | page | says |
//! |---|---|
//! | `/metrics` | the numbers, as OpenMetrics 1.0; as Prometheus's older text if the `Accept` field prefers `text/plain` |
//! | `/livez` | 200 while [`is_responsive`](Server::is_responsive) is true, else 503 |
//! | `/readyz` | the same, and 503 once a shutdown has begun, or while the Redis of `-c RedisStream` or `deliver` is away |
//!
//! The pages have no password. Without a host in ADDR only this machine can reach them: `:8027` is `localhost:8027`. They tell
//! how much mail comes and how it fares, and nothing of who sends it.
//!
//! # The numbers
//!
//! Counters only grow, and begin at zero when the server starts.
//!
//! | name | counts |
//! |---|---|
//! | `pillarbox_build_info` | 1; its label is the version |
//! | `pillarbox_connections_total` | connections that were accepted |
//! | `pillarbox_open_connections` | connections that are open now |
//! | `pillarbox_most_connections` | the most that were open at once |
//! | `pillarbox_refused_connections_total` | connections that were refused, by `reason`: see [`RefusedConnections`] |
//! | `pillarbox_under_stress` | 1 while [`stress_timeout`](Builder::stress_timeout) applies |
//! | `pillarbox_messages_total` | messages, by `outcome`: `accepted`, `refused_temporarily` (4xx), `refused_permanently` (5xx), `lost` (cut off) |
//! | `pillarbox_received_content_bytes_total` | octets of content that came |
//! | `pillarbox_accepted_content_bytes_total` | octets of content in the accepted messages |
//! | `pillarbox_queued_messages` | messages that wait for a consumer now |
//! | `pillarbox_unanswered_messages` | messages whose clients wait for the handler now |
//! | `pillarbox_buffered_bytes` | content held now, in memory or on disk, of [`buffer_budget`](Builder::buffer_budget) |
//! | `pillarbox_memory_bytes` | messages in memory now, of [`memory_budget`](Builder::memory_budget) |
//! | `pillarbox_refusals_total` | refused commands and messages, by `verb` (or `other`) and `code` |
//! | `pillarbox_logins_total` | logins, by `outcome`: `succeeded`, `failed` |
//! | `pillarbox_handshakes_total` | TLS handshakes, by `outcome` |
//! | `pillarbox_timeouts_total` | what was not done in time, by what was `waited_for`: see [`Timeouts`] |
//! | `pillarbox_panics_total` | panics that were caught |
//!
//! Those who put messages into a Redis stream (`-c RedisStream`) have also:
//!
//! | name | counts |
//! |---|---|
//! | `pillarbox_redis_up` | 1 while Redis takes messages |
//! | `pillarbox_stream_entries` | entries in the stream, of all servers |
//! | `pillarbox_stream_bytes` | Redis's memory that the stream takes; an estimate by Redis |
//!
//! A worker (`pillarbox deliver`, [`RedisWorkerStats::openmetrics`](crate::handlers::RedisWorkerStats::openmetrics)) has the version, the same
//! three (`pillarbox_redis_up` is 1 while Redis answers), and:
//!
//! | name | counts |
//! |---|---|
//! | `pillarbox_deliveries_total` | messages, by `outcome`: `delivered`, `refused` (attempts that failed), `dead_lettered`, `skipped` (they were done already) |
//! | `pillarbox_deliveries_in_flight` | messages that are being delivered now |
//! | `pillarbox_stream_pending_entries` | entries that workers have taken and not finished |
//! | `pillarbox_stream_lag_entries` | entries that no worker has taken yet |
//! | `pillarbox_dead_letter_entries` | dead letters, which wait for a person |
//!
//! Worth an alert: `pillarbox_panics_total` that grows, `refused_temporarily` in step with the accepted messages,
//! `pillarbox_refused_connections_total` with the reason `too_many`, `pillarbox_queued_messages` that does not come down, and
//! a budget that is nearly used up; with a Redis stream also `pillarbox_redis_up` at 0, `pillarbox_stream_lag_entries` that does
//! not come down, and any `pillarbox_dead_letter_entries`.
//!
//! # systemd
//!
//! The command tells systemd when it is ready, when it reads its certificate again and when it stops (`Type=notify`, or
//! `notify-reload` with a certificate). With `WatchdogSec=` it also tells twice in that time that it works; a server whose
//! listener or handler hangs says nothing, and systemd restarts it. A handler hangs if it has had one message for twice the
//! [`handler_timeout`](Builder::handler_timeout), which is 20 minutes by default: its client was refused long before.

#[cfg(doc)]
use crate::{Builder, Observer, RefusedConnections, Server, Stats, Timeouts};

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use crate::Stats;

    #[test]
    fn the_page_has_every_number() {
        let page = include_str!("operations.rs");
        let rows = || page.lines().filter_map(|line| line.strip_prefix("//! | `pillarbox_"));
        #[cfg(feature = "redis")]
        let workers = crate::handlers::RedisWorkerStats::default().openmetrics();
        #[cfg(not(feature = "redis"))]
        let workers = "";
        let text = format!("{}{workers}", Stats::default().openmetrics());
        let families: BTreeSet<_> = text
            .lines()
            .filter_map(|line| line.strip_prefix("# TYPE pillarbox_")?.split_once(' '))
            .map(|(name, kind)| match kind {
                "counter" => format!("{name}_total"),
                "info" => format!("{name}_info"),
                _ => name.to_owned(),
            })
            .collect();
        for name in &families {
            assert!(rows().any(|row| row.starts_with(&format!("{name}` |"))), "{name} has no row");
        }
        #[cfg(feature = "redis")]
        assert_eq!(rows().count(), families.len());
    }
}
