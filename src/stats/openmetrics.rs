//! The numbers as text for a monitoring system: OpenMetrics 1.0, and the format that Prometheus had before.

use std::fmt::{self, Display, Formatter, Write};

use crate::stats::Stats;
use crate::syntax::command::Verb;

/// Beside the names, what the two formats write differently.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    OpenMetrics,
    Prometheus,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// It only grows, and its samples' names end with `_total`.
    Counter,
    Gauge,
    /// Its value is in its labels; its sample's name ends with `_info`.
    Info,
}

impl Stats {
    /// The numbers as text of OpenMetrics 1.0, with the content type `application/openmetrics-text; version=1.0.0;
    /// charset=utf-8`.
    ///
    /// The names begin with `pillarbox_`. Labels have few values: refusals have one for each verb that the server knows, and
    /// `other`; and for each code with which something was refused. No label's value is chosen by a client.
    ///
    /// ```
    /// use pillarbox::{Server, handlers::Sink};
    ///
    /// let server = Server::builder().serve("127.0.0.1:0", Sink)?;
    /// let text = server.stats().openmetrics();
    /// assert!(text.contains("\npillarbox_messages_total{outcome=\"accepted\"} 0\n"));
    /// assert!(text.ends_with("# EOF\n"));
    /// # Ok::<(), pillarbox::Error>(())
    /// ```
    pub fn openmetrics(&self) -> String {
        self.exposition(Format::OpenMetrics)
    }

    /// The same in the older text format of Prometheus, with the content type `text/plain; version=0.0.4; charset=utf-8`.
    pub fn prometheus(&self) -> String {
        self.exposition(Format::Prometheus)
    }

    fn exposition(&self, format: Format) -> String {
        let mut out = Exposition::new(format);
        self.write_connections(&mut out);
        self.write_messages(&mut out);
        self.write_troubles(&mut out);
        out.finish()
    }

    fn write_connections(&self, out: &mut Exposition) {
        out.counter("pillarbox_connections", "", "Connections that were accepted.", self.connections);
        out.gauge("pillarbox_open_connections", "", "Connections that are open now.", self.open_connections);
        out.gauge(
            "pillarbox_most_connections",
            "",
            "The most connections that were open at once.",
            self.most_connections,
        );
        let by = &self.refused_connections_by;
        out.counters(
            "pillarbox_refused_connections",
            "Connections that were refused.",
            "reason",
            &[
                ("too_many", by.too_many),
                ("no_thread", by.no_thread),
                ("address", by.address),
                ("network", by.network),
                ("rate", by.rate),
                ("errors", by.errors),
                ("session", by.session),
            ],
        );
        out.gauge(
            "pillarbox_under_stress",
            "",
            "1 while nearly all connections are in use, else 0.",
            u64::from(self.is_under_stress),
        );
    }

    fn write_messages(&self, out: &mut Exposition) {
        out.counters(
            "pillarbox_messages",
            "Messages by their outcome.",
            "outcome",
            &[
                ("accepted", self.accepted_messages),
                ("refused_temporarily", self.temporarily_refused_messages),
                ("refused_permanently", self.permanently_refused_messages),
                ("lost", self.lost_messages),
            ],
        );
        out.counter(
            "pillarbox_received_content_bytes",
            "bytes",
            "Content that came, whatever became of its message.",
            self.received_octets,
        );
        out.counter(
            "pillarbox_accepted_content_bytes",
            "bytes",
            "Content of the accepted messages.",
            self.accepted_octets,
        );
        out.gauge("pillarbox_queued_messages", "", "Messages that wait for a consumer.", self.queued_messages);
        out.gauge(
            "pillarbox_unanswered_messages",
            "",
            "Messages that were handed over and whose clients wait for the answer.",
            self.unanswered_messages,
        );
        out.gauge(
            "pillarbox_buffered_bytes",
            "bytes",
            "Content that is held, in memory or on disk.",
            self.buffered_octets,
        );
        out.gauge(
            "pillarbox_memory_bytes",
            "bytes",
            "Content and envelopes that are held in memory.",
            self.memory_octets,
        );
    }

    fn write_troubles(&self, out: &mut Exposition) {
        let refusals = "pillarbox_refusals";
        out.family(refusals, "", Kind::Counter, "Commands and messages that were refused.");
        for refused in &self.refusals {
            let (verb, code) = (refused.verb.map_or("other", Verb::as_str), refused.code.to_string());
            out.sample(refusals, Kind::Counter, &[("verb", verb), ("code", &code)], refused.count);
        }
        let outcomes = |good, bad| [("succeeded", good), ("failed", bad)];
        out.counters(
            "pillarbox_logins",
            "Logins by their outcome.",
            "outcome",
            &outcomes(self.logins, self.failed_logins),
        );
        out.counters(
            "pillarbox_handshakes",
            "TLS handshakes by their outcome.",
            "outcome",
            &outcomes(self.handshakes, self.failed_handshakes),
        );
        let late = &self.timeouts;
        out.counters(
            "pillarbox_timeouts",
            "What was not done in time.",
            "waited_for",
            &[
                ("command", late.command),
                ("content", late.content),
                ("reply", late.reply),
                ("handshake", late.handshake),
                ("proxy_header", late.proxy_header),
                ("handler", late.handler),
            ],
        );
        out.counter("pillarbox_panics", "", "Panics that were caught.", self.panics);
    }
}

/// The text as far as it is written.
pub(crate) struct Exposition {
    text: String,
    format: Format,
}

impl Exposition {
    /// Begins with the version of pillarbox.
    pub fn new(format: Format) -> Exposition {
        let mut out = Exposition { text: String::with_capacity(8 * 1024), format };
        out.family("pillarbox_build", "", Kind::Info, "The version of pillarbox.");
        out.sample("pillarbox_build", Kind::Info, &[("version", env!("CARGO_PKG_VERSION"))], 1);
        out
    }

    pub fn finish(mut self) -> String {
        if self.format == Format::OpenMetrics {
            self.text += "# EOF\n";
        }
        self.text
    }

    fn counter(&mut self, name: &str, unit: &str, help: &str, value: u64) {
        self.family(name, unit, Kind::Counter, help);
        self.sample(name, Kind::Counter, &[], value);
    }

    pub fn gauge(&mut self, name: &str, unit: &str, help: &str, value: u64) {
        self.family(name, unit, Kind::Gauge, help);
        self.sample(name, Kind::Gauge, &[], value);
    }

    /// A counter for each value of a label.
    pub fn counters(&mut self, name: &str, help: &str, label: &str, values: &[(&str, u64)]) {
        self.family(name, "", Kind::Counter, help);
        for (value, count) in values {
            self.sample(name, Kind::Counter, &[(label, value)], *count);
        }
    }

    /// What comes before a family's samples. In OpenMetrics it has the name without the samples' suffix.
    fn family(&mut self, name: &str, unit: &str, kind: Kind, help: &str) {
        let (suffix, kind) = match (self.format, kind) {
            (Format::OpenMetrics, Kind::Counter) => ("", "counter"),
            (Format::OpenMetrics, Kind::Info) => ("", "info"),
            (Format::Prometheus, Kind::Counter) => ("_total", "counter"),
            (Format::Prometheus, Kind::Info) => ("_info", "gauge"),
            (_, Kind::Gauge) => ("", "gauge"),
        };
        self.line(format_args!("# TYPE {name}{suffix} {kind}"));
        if self.format == Format::OpenMetrics && !unit.is_empty() {
            self.line(format_args!("# UNIT {name} {unit}"));
        }
        self.line(format_args!("# HELP {name}{suffix} {help}"));
    }

    fn sample(&mut self, name: &str, kind: Kind, labels: &[(&str, &str)], value: u64) {
        let suffix = match kind {
            Kind::Counter => "_total",
            Kind::Gauge => "",
            Kind::Info => "_info",
        };
        self.line(format_args!("{name}{suffix}{} {value}", Labels(labels)));
    }

    fn line(&mut self, line: fmt::Arguments<'_>) {
        // A String takes all that memory has room for.
        let _ = writeln!(self.text, "{line}");
    }
}

/// Labels in braces; nothing if there are none.
struct Labels<'a>(&'a [(&'a str, &'a str)]);

impl Display for Labels<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for (at, (name, value)) in self.0.iter().enumerate() {
            write!(f, "{}{name}=\"", if at == 0 { '{' } else { ',' })?;
            for c in value.chars() {
                match c {
                    '\n' => f.write_str("\\n")?,
                    '"' | '\\' => write!(f, "\\{c}")?,
                    _ => f.write_char(c)?,
                }
            }
            f.write_char('"')?;
        }
        if self.0.is_empty() { Ok(()) } else { f.write_char('}') }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::Refusals;

    #[test]
    fn labels_are_escaped() {
        assert_eq!(Labels(&[]).to_string(), "");
        let labels = Labels(&[("a", "plain"), ("b", "\"quoted\" \\ and\nbroken")]);
        assert_eq!(labels.to_string(), r#"{a="plain",b="\"quoted\" \\ and\nbroken"}"#);
    }

    #[test]
    fn both_formats() {
        let refusals =
            [(Some(Verb::Rcpt), 550, 3), (None, 500, 1)].map(|(verb, code, count)| Refusals { verb, code, count });
        let stats = Stats { accepted_octets: 12, refusals: refusals.to_vec(), ..Stats::default() };
        let text = stats.openmetrics();
        for part in [
            "# TYPE pillarbox_build info\n",
            "# TYPE pillarbox_accepted_content_bytes counter\n# UNIT pillarbox_accepted_content_bytes bytes\n",
            "\npillarbox_accepted_content_bytes_total 12\n",
            "\npillarbox_refusals_total{verb=\"RCPT\",code=\"550\"} 3\n",
            "\npillarbox_refusals_total{verb=\"other\",code=\"500\"} 1\n",
        ] {
            assert!(text.contains(part), "{part}{text}");
        }
        assert!(text.ends_with("\n# EOF\n"));
        let text = stats.prometheus();
        for part in ["# TYPE pillarbox_build_info gauge\n", "# TYPE pillarbox_accepted_content_bytes_total counter\n"] {
            assert!(text.contains(part), "{part}{text}");
        }
        assert!(!text.contains("# UNIT") && !text.contains("# EOF"), "{text}");
    }
}
