//! Content on disk, in files that need no cleaning up.

use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::path::PathBuf;

use crate::config::Config;
use crate::stats::outage::Outage;

/// Where content goes that exceeds the memory.
#[derive(Debug)]
pub(crate) struct Spool {
    folder: PathBuf,
    /// Content of up to this many octets stays in memory.
    pub threshold: u64,
    outage: Outage,
}

impl Spool {
    pub fn new(config: &Config) -> Spool {
        Spool {
            folder: config.spool_folder.clone().unwrap_or_else(std::env::temp_dir),
            threshold: config.spool_threshold,
            outage: Outage::default(),
        }
    }

    /// A file for one message. It has no name, and the system removes it even if this process is killed.
    pub fn create(&self) -> io::Result<SpoolFile> {
        tempfile::tempfile_in(&self.folder).map(|file| SpoolFile { file, len: 0 })
    }

    /// A message could not be written.
    pub fn has_failed(&self, error: &io::Error) {
        if self.outage.begins("disk") {
            log::error!("cannot spool messages to {}: {error}", self.folder.display());
        }
    }

    /// A message was written.
    pub fn has_worked(&self) {
        if self.outage.ends() {
            log::warn!("messages can be spooled to {} again", self.folder.display());
        }
    }
}

/// An unnamed file, written once from start to end, that is gone with this value.
#[derive(Debug)]
pub(crate) struct SpoolFile {
    file: File,
    len: u64,
}

impl SpoolFile {
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Another handle to the same file, which exists as long as either of them.
    #[cfg(feature = "mime")]
    pub fn try_clone(&self) -> io::Result<SpoolFile> {
        Ok(SpoolFile { file: self.file.try_clone()?, len: self.len })
    }

    /// A reader from the start, independent of all others.
    pub fn reader(&self) -> SpoolReader<'_> {
        SpoolReader { file: self, offset: 0 }
    }

    #[cfg(unix)]
    pub fn read_at(&self, octets: &mut [u8], offset: u64) -> io::Result<usize> {
        std::os::unix::fs::FileExt::read_at(&self.file, octets, offset)
    }

    #[cfg(windows)]
    pub fn read_at(&self, octets: &mut [u8], offset: u64) -> io::Result<usize> {
        std::os::windows::fs::FileExt::seek_read(&self.file, octets, offset)
    }
}

impl Write for SpoolFile {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        let written = self.file.write(octets)?;
        self.len += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Reads a [`SpoolFile`] at an offset of its own.
#[derive(Debug)]
pub(crate) struct SpoolReader<'a> {
    file: &'a SpoolFile,
    offset: u64,
}

impl Read for SpoolReader<'_> {
    fn read(&mut self, octets: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.file.len - self.offset).unwrap_or(usize::MAX);
        let most = left.min(octets.len());
        if most == 0 {
            return Ok(0);
        }
        match self.file.read_at(&mut octets[..most], self.offset)? {
            // Half a message must not pass for a whole one.
            0 => Err(ErrorKind::UnexpectedEof.into()),
            n => {
                self.offset += n as u64;
                Ok(n)
            }
        }
    }
}

/// Whether a disk error is a lack of room (ENOSPC, EDQUOT) or of descriptors (EMFILE, ENFILE), which may soon be over.
pub(crate) fn is_out_of_resources(error: &io::Error) -> bool {
    #[cfg(unix)]
    const NO_DESCRIPTORS: &[i32] = &[23, 24];
    #[cfg(not(unix))]
    const NO_DESCRIPTORS: &[i32] = &[4];
    matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded)
        || error.raw_os_error().is_some_and(|code| NO_DESCRIPTORS.contains(&code))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readers_do_not_disturb_each_other() {
        let mut file = Spool::new(&Config::default()).create().unwrap();
        file.write_all(b"abcdef").unwrap();
        assert_eq!(file.len(), 6);
        let (mut one, mut two) = (file.reader(), file.reader());
        let mut octets = [0; 4];
        for expected in [&b"abcd"[..], b"ef", b""] {
            for reader in [&mut one, &mut two] {
                let n = reader.read(&mut octets).unwrap();
                assert_eq!(&octets[..n], expected);
            }
        }
    }

    #[test]
    fn a_file_that_lost_its_end_is_no_whole_message() {
        let mut file = Spool::new(&Config::default()).create().unwrap();
        file.write_all(b"abcdef").unwrap();
        file.file.set_len(3).unwrap();
        let error = file.reader().read_to_end(&mut Vec::new()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
    }

    #[cfg(unix)]
    #[test]
    fn what_may_be_better_soon() {
        let (enoent, eio, enfile, emfile, erofs) = (2, 5, 23, 24, 30);
        for lack in [ErrorKind::StorageFull.into(), ErrorKind::QuotaExceeded.into()] {
            assert!(is_out_of_resources(&lack), "{lack}");
        }
        for (error, expected) in [(enoent, false), (eio, false), (erofs, false), (enfile, true), (emfile, true)] {
            let error = io::Error::from_raw_os_error(error);
            assert_eq!(is_out_of_resources(&error), expected, "{error}");
        }
    }
}
