//! Python with the package redis, for the worker in Python.
//!
//! It is looked for in the folder that `TEST_PILLARBOX_REDIS_PY` names, a Python virtual environment; then in
//! `target/redis-py`, where .ci/run installs it.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support;

/// The interpreter; none (which is said) where there is none with the package.
pub fn python() -> Option<Command> {
    let folder = env::var_os("TEST_PILLARBOX_REDIS_PY").map(PathBuf::from);
    let folder = folder.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("target/redis-py"));
    let python = folder.join("bin/python3");
    if !python.exists() {
        support::missing("the Python package redis is not installed");
        return None;
    }
    Some(Command::new(python))
}
