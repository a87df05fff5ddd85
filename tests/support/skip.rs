//! What becomes of a test that cannot run here.

use std::env;
use std::io::{self, Write};
use std::thread;

/// If set and not empty, a test that cannot run here fails instead of being skipped.
const REQUIRE: &str = "TEST_PILLARBOX_REQUIRE_CLIENTS";

/// Says that the test, or a part of it, is skipped since something is missing here.
///
/// # Panics
/// If the environment asks for everything.
#[track_caller]
pub fn missing(reason: &str) {
    let required = env::var_os(REQUIRE).is_some_and(|value| !value.is_empty());
    assert!(!required, "{reason}, and {REQUIRE} is set");
    // The test harness names a test's thread after it.
    let thread = thread::current();
    let test = thread.name().unwrap_or("a test");
    // Not eprintln!: the harness keeps that to itself when the test passes.
    let _ = writeln!(io::stderr(), "skipped: {test}: {reason}");
}
