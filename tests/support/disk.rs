//! A file system that is soon full.

use std::io::Write;
use std::path::Path;
use std::process::Command;

/// A file system of a megabyte; gone with the value.
pub struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    /// None, and it says so, where none can be mounted: that is root's.
    pub fn mount() -> Option<SmallDisk> {
        let folder = tempfile::tempdir().expect("a folder for temporary files");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=1m", "tmpfs"]).arg(folder.path()).output();
        if mounted.is_ok_and(|output| output.status.success()) {
            return Some(SmallDisk(folder));
        }
        // Not eprintln!: the test harness keeps that to itself when the test passes.
        let _ = writeln!(std::io::stderr(), "skipped: no file system can be mounted here");
        None
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}
