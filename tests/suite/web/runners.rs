//! The examples for other languages, by their own test runners.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::command::without_options;
use crate::support::{program, run, runners};
use tempfile::TempDir;

/// A folder with the example's, and with what it shares with others, where a runner may add files of its own.
fn copy(name: &str) -> (TempDir, PathBuf) {
    let copied = tempfile::tempdir().expect("a folder");
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/testing");
    let own = copied.path().join(name);
    fs::create_dir(&own).expect("room");
    for (from, to) in [(examples.clone(), copied.path()), (examples.join(name), &own)] {
        for file in fs::read_dir(from).expect("it is there") {
            let file = file.expect("a file");
            if file.file_type().is_ok_and(|kind| kind.is_file()) {
                fs::copy(file.path(), to.join(file.file_name())).expect("room");
            }
        }
    }
    (copied, own)
}

/// Runs the tests of an example for node, and gives what they said.
fn run_node(name: &str, variables: &[(&str, &Path)]) -> Option<String> {
    let (node, modules) = runners::node(name)?;
    let (_copied, folder) = copy(name);
    symlink(modules, folder.join("node_modules")).expect("a link");
    let mut command = Command::new(node);
    command.arg("--test").current_dir(&folder).env("PILLARBOX", env!("CARGO_BIN_EXE_pillarbox"));
    command.envs(variables.iter().copied());
    Some(run(without_options(&mut command), b"").succeeded().stdout)
}

#[test]
fn pytest() {
    let Some(python) = runners::python() else { return };
    let (_copied, folder) = copy("pytest");
    let mut command = Command::new(python);
    command.args(["-m", "pytest", "-q"]).current_dir(&folder).env("PILLARBOX", env!("CARGO_BIN_EXE_pillarbox"));
    let said = run(without_options(&mut command), b"").succeeded().stdout;
    assert!(said.contains("2 passed"), "{said}");
}

#[test]
fn node_test() {
    let Some(said) = run_node("node", &[]) else { return };
    assert!(said.contains("pass 2\n") && said.contains("fail 0\n"), "{said}");
}

#[test]
fn playwright() {
    let Some(chromium) = program("chromium") else { return };
    let Some(said) = run_node("playwright", &[("CHROMIUM", &chromium)]) else { return };
    assert!(said.contains("pass 1\n") && said.contains("fail 0\n"), "{said}");
}
