//! Content on disk, in files that need no cleaning up.

use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::ops::Range;
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
        tempfile::tempfile_in(&self.folder).map(|file| SpoolFile { file, start: 0, len: 0 })
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

/// An unnamed file, written once from start to end, that is gone with this value; or a part of another file.
#[derive(Debug)]
pub(crate) struct SpoolFile {
    file: File,
    start: u64,
    len: u64,
}

impl SpoolFile {
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Another handle to the same file, which exists as long as either of them.
    #[cfg(feature = "mime")]
    pub fn try_clone(&self) -> io::Result<SpoolFile> {
        Ok(SpoolFile { file: self.file.try_clone()?, start: self.start, len: self.len })
    }

    /// A reader from the start, independent of all others.
    pub fn reader(&self) -> SpoolReader<'_> {
        SpoolReader { file: self, offset: 0 }
    }

    /// Reads octets at an offset, which may be fewer than there is room for; none behind the end.
    pub fn read_at(&self, octets: &mut [u8], offset: u64) -> io::Result<usize> {
        let left = usize::try_from(self.len.saturating_sub(offset)).unwrap_or(usize::MAX);
        let most = left.min(octets.len());
        if most == 0 {
            return Ok(0);
        }
        match read_file_at(&self.file, &mut octets[..most], self.start + offset)? {
            // Half a message must not pass for a whole one.
            0 => Err(ErrorKind::UnexpectedEof.into()),
            read => Ok(read),
        }
    }
}

#[cfg(unix)]
fn read_file_at(file: &File, octets: &mut [u8], offset: u64) -> io::Result<usize> {
    std::os::unix::fs::FileExt::read_at(file, octets, offset)
}

#[cfg(windows)]
fn read_file_at(file: &File, octets: &mut [u8], offset: u64) -> io::Result<usize> {
    std::os::windows::fs::FileExt::seek_read(file, octets, offset)
}

/// Octets in a named file that somebody else keeps. It is opened when they are read.
#[derive(Debug)]
pub(crate) struct NamedFile {
    path: PathBuf,
    start: u64,
    len: u64,
}

impl NamedFile {
    pub fn new(path: PathBuf, range: Range<u64>) -> NamedFile {
        NamedFile { path, start: range.start, len: range.end.saturating_sub(range.start) }
    }

    pub fn len(&self) -> u64 {
        self.len
    }

    pub fn open(&self) -> io::Result<SpoolFile> {
        Ok(SpoolFile { file: File::open(&self.path)?, start: self.start, len: self.len })
    }

    /// A reader from the start, independent of all others, that opens the file when it is first read.
    pub fn reader(&self) -> NamedFileReader<'_> {
        NamedFileReader { file: self, opened: None, offset: 0 }
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
        let read = self.file.read_at(octets, self.offset)?;
        self.offset += read as u64;
        Ok(read)
    }
}

/// Reads a [`NamedFile`] at an offset of its own.
#[derive(Debug)]
pub(crate) struct NamedFileReader<'a> {
    file: &'a NamedFile,
    opened: Option<SpoolFile>,
    offset: u64,
}

impl Read for NamedFileReader<'_> {
    fn read(&mut self, octets: &mut [u8]) -> io::Result<usize> {
        let file = match &mut self.opened {
            Some(file) => file,
            closed => closed.insert(self.file.open()?),
        };
        let read = file.read_at(octets, self.offset)?;
        self.offset += read as u64;
        Ok(read)
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

    #[test]
    fn a_named_file_is_opened_when_it_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let file = NamedFile::new(path.clone(), 2..6);
        let all = || {
            let mut octets = Vec::new();
            file.reader().read_to_end(&mut octets).map(|_| octets)
        };
        assert_eq!(all().unwrap_err().kind(), ErrorKind::NotFound);
        std::fs::write(&path, "0123456789").unwrap();
        assert_eq!((all().unwrap(), file.len()), (b"2345".to_vec(), 4));
        std::fs::write(&path, "01234").unwrap();
        assert_eq!(all().unwrap_err().kind(), ErrorKind::UnexpectedEof);
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
