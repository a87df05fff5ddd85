//! A file system that is soon full.

#![allow(dead_code, reason = "each test binary uses its part")]

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::Path;
use std::process::Command;

/// A file system of its own; gone with the value.
pub struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    /// One of a megabyte. None, and it says so, where none can be mounted: that is root's.
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
        // Not eprintln!: the test harness keeps that to itself when the test passes.
        let _ = writeln!(std::io::stderr(), "skipped: no file system can be mounted here");
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
