//! The parsers of Prometheus's Python client, for what `/metrics` says.
//!
//! They are looked for in the folder that `TEST_PILLARBOX_PROMETHEUS` names, a Python virtual environment; then in
//! `target/prometheus`, where .ci/run installs them.

use std::collections::BTreeMap;
use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support;

/// Parses what it reads, and prints each sample on a line of its own.
const SCRIPT: &str = "
import sys
openmetrics = sys.argv[1] == 'openmetrics'
if openmetrics:
    from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse
else:
    from prometheus_client.parser import text_string_to_metric_families as parse
for family in parse(sys.stdin.read()):
    assert family.documentation and family.type != 'unknown', family
    for sample in family.samples:
        labels = ','.join(name + '=' + value for name, value in sorted(sample.labels.items()))
        print(sample.name + '{' + labels + '}', sample.value)
";

/// The samples of a text, by name with labels; none (which is said) where there is no parser.
///
/// # Panics
/// If the parser refuses the text.
pub fn samples(text: &str, is_openmetrics: bool) -> Option<BTreeMap<String, f64>> {
    let folder = env::var_os("TEST_PILLARBOX_PROMETHEUS").map(PathBuf::from);
    let folder = folder.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("target/prometheus"));
    let python = folder.join("bin/python3");
    if !python.exists() {
        support::missing("the Python package prometheus_client is not installed");
        return None;
    }
    let format = if is_openmetrics { "openmetrics" } else { "text" };
    let parsed = support::run(Command::new(python).args(["-c", SCRIPT, format]), text.as_bytes()).succeeded();
    let samples = parsed.stdout.lines().map(|line| {
        let (name, value) = line.rsplit_once(' ').expect("a name and a value");
        (name.to_owned(), value.parse().expect("a number"))
    });
    Some(samples.collect())
}
