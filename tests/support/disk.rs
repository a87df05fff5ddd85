//! A file system that is soon full.

use std::env;
use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::Path;
use std::process::Command;
use std::thread;

use crate::support::missing;

/// Set for a test that runs in a namespace of its own.
const WITHIN: &str = "PILLARBOX_TEST_NAMESPACE";

/// A file system of its own; gone with the value.
pub struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    /// One of a megabyte.
    ///
    /// None if only root may mount it. Then the test has run, and passed, where it is root: in a namespace of its own. Or it
    /// is skipped, since this system allows that to nobody.
    pub fn mount() -> Option<SmallDisk> {
        SmallDisk::mount_with("size=1m")
    }

    /// As [`mount`](SmallDisk::mount), with options of tmpfs.
    pub fn mount_with(options: &str) -> Option<SmallDisk> {
        let folder = tempfile::tempdir().expect("a folder for temporary files");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(folder.path()).output();
        if mounted.is_ok_and(|output| output.status.success()) {
            return Some(SmallDisk(folder));
        }
        let may_try = env::var_os(WITHIN).is_none();
        assert!(may_try, "no file system can be mounted in a namespace of its own");
        run_in_namespace();
        None
    }

    /// Mounts it once more where it is: `ro`, `rw`.
    pub fn remount(&self, mode: &str) {
        let options = format!("remount,{mode}");
        let mounted = Command::new("mount").args(["-o", &options]).arg(self.path()).status().expect("mount is there");
        assert!(mounted.success(), "{options}");
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Writes a file up to the last octet that there is room for.
    pub fn fill(&self, file: &str) {
        let mut file = File::create(self.path().join(file)).expect("room for a name");
        let full = loop {
            // Of the smallest size that tmpfs gives out, so that nothing is left over.
            if let Err(e) = file.write_all(&[0; 4096]) {
                break e;
            }
        };
        assert_eq!(full.kind(), ErrorKind::StorageFull);
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

/// Runs the test that this is, once more, as the root of a namespace.
fn run_in_namespace() {
    let unshare = || {
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "--mount"]);
        command
    };
    let allowed = unshare().args(["mount", "-t", "tmpfs", "tmpfs", "/tmp"]).output();
    if !allowed.is_ok_and(|output| output.status.success()) {
        return missing("no file system can be mounted here, and no namespace made");
    }
    let thread = thread::current();
    // The harness names a test's thread after it, unless it runs one test at a time.
    let Some(test) = thread.name().filter(|name| *name != "main") else {
        return missing("only root can mount a file system where tests run on the main thread");
    };
    let test_program = env::current_exe().expect("this program");
    let run = unshare().arg(test_program).args(["--exact", test, "--test-threads=2"]).env(WITHIN, "1").output();
    let run = run.expect("unshare has just been there");
    let said = String::from_utf8_lossy(&run.stdout);
    assert!(run.status.success() && said.contains("1 passed"), "{said}{}", String::from_utf8_lossy(&run.stderr));
}
