//! A worker's numbers as text for a monitoring system.

use super::state::RedisWorkerStats;
use crate::stats::openmetrics::{Exposition, Format};

impl RedisWorkerStats {
    /// The numbers as text of OpenMetrics 1.0, as [`Stats::openmetrics`](crate::Stats::openmetrics) has a server's. The names begin
    /// with `pillarbox_`: [`operations`](crate::guide::operations) explains them.
    ///
    /// ```
    /// use pillarbox::handlers::RedisWorker;
    ///
    /// let text = RedisWorker::new("redis://localhost")?.handle().stats().openmetrics();
    /// assert!(text.contains("\npillarbox_deliveries_total{outcome=\"delivered\"} 0\n") && text.ends_with("# EOF\n"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn openmetrics(&self) -> String {
        self.exposition(Format::OpenMetrics)
    }

    /// The same in the older text format of Prometheus.
    pub fn prometheus(&self) -> String {
        self.exposition(Format::Prometheus)
    }

    fn exposition(&self, format: Format) -> String {
        let mut out = Exposition::new(format);
        out.counters(
            "pillarbox_deliveries",
            "Messages that were taken off the stream, and attempts that failed, by outcome.",
            "outcome",
            &[
                ("delivered", self.delivered),
                ("refused", self.refused),
                ("dead_lettered", self.dead_lettered),
                ("skipped", self.skipped),
            ],
        );
        out.gauge("pillarbox_deliveries_in_flight", "", "Messages that the handler has now.", self.in_flight);
        let is_connected = u64::from(self.is_connected);
        out.gauge("pillarbox_redis_up", "", "1 while Redis answers, else 0.", is_connected);
        out.gauge("pillarbox_stream_entries", "", "Entries in the stream.", self.stream_length);
        out.gauge("pillarbox_stream_bytes", "bytes", "Redis's memory that the stream takes.", self.stream_octets);
        // Redis does not always know. Workers delete what is done, so what is not pending was not taken.
        let lag = self.lag.unwrap_or(self.stream_length.saturating_sub(self.pending));
        out.gauge("pillarbox_stream_lag_entries", "", "Entries that no worker has taken yet.", lag);
        let pending = "Entries that workers have taken and not finished.";
        out.gauge("pillarbox_stream_pending_entries", "", pending, self.pending);
        out.gauge("pillarbox_dead_letter_entries", "", "Entries among the dead letters.", self.dead_letters);
        out.finish()
    }
}
