//! Python and node with the packages that tests use: in the folder that `TEST_PILLARBOX_RUNNERS` names, else in `target/runners`, where
//! .ci/run installs them.

use std::env;
use std::path::{Path, PathBuf};

use super::{missing, program};

fn folder() -> PathBuf {
    let folder = env::var_os("TEST_PILLARBOX_RUNNERS").map(PathBuf::from);
    folder.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("target/runners"))
}

/// A Python that has the packages, or none (which is said).
pub fn python() -> Option<PathBuf> {
    let python = folder().join("python/bin/python3");
    if !python.exists() {
        missing("the Python packages of the tests are not installed");
        return None;
    }
    Some(python)
}

/// node, and the folder of the packages of a `package.json`; or none (which is said).
pub fn node(name: &str) -> Option<(PathBuf, PathBuf)> {
    let modules = folder().join(name).join("node_modules");
    let node = program("node")?;
    if !modules.exists() {
        missing(&format!("the npm packages of {name} are not installed"));
        return None;
    }
    Some((node, modules))
}
