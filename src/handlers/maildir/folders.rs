//! The folders of a Maildir, held open: what is done in them is done there, wherever their paths lead meanwhile.

use std::ffi::OsStr;
use std::fs::{self, DirBuilder, File};
use std::io::{self, ErrorKind};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags};
use rustix::process::geteuid;

use super::flush::GroupFlush;
use super::names::is_ours;

/// How old a file in `tmp` is that nobody can be writing any more: maildir(5) says 36 hours.
const ABANDONED: Duration = Duration::from_secs(36 * 3600);

/// `tmp`, `new` and `cur` of a Maildir, each a folder of its own that belongs to us or to root.
pub(super) struct Folders {
    pub root: Folder,
    pub tmp: Folder,
    pub new: Folder,
    pub cur: Folder,
    flushes: GroupFlush,
}

impl Folders {
    /// Those that are there.
    pub fn open(root: &Path) -> io::Result<Folders> {
        let root = Folder::open(root)?;
        let (tmp, new, cur) = (root.folder("tmp")?, root.folder("new")?, root.folder("cur")?);
        Ok(Folders { root, tmp, new, cur, flushes: GroupFlush::default() })
    }

    /// Makes those that are not there, and looks at them all.
    pub fn create(root: &Path) -> io::Result<Folders> {
        make_folder(root)?;
        let folder = Folder::open(root)?;
        let mut is_new = false;
        for part in ["tmp", "new", "cur"] {
            match rustix::fs::mkdirat(&folder.file, part, Mode::RWXU) {
                Ok(()) => is_new = true,
                Err(rustix::io::Errno::EXIST) => {}
                // A file system that cannot be written to says so even if it is there.
                Err(e) if folder.folder(part).is_err() => return Err(e.into()),
                Err(_) => {}
            }
        }
        if is_new {
            folder.flush()?;
        }
        Folders::open(root)
    }

    /// Sees to it that what was put into `new` is on disk, and is where readers look; for all who ask at the same time.
    pub fn flush_new(&self) -> io::Result<()> {
        self.flushes.wait(|| {
            self.check()?;
            self.new.flush()
        })
    }

    /// That `tmp` and `new` are still where their paths lead.
    pub fn check(&self) -> io::Result<()> {
        self.tmp.check()?;
        self.new.check()
    }

    /// Removes what a crash left in `tmp`, and nothing that others may have put there.
    pub fn remove_abandoned(&self) -> io::Result<()> {
        for name in self.tmp.names()? {
            let name = name?;
            if is_ours(name.as_bytes()) && self.tmp.is_abandoned(&name)? {
                // It may be gone meanwhile: another process does the same.
                let _ = self.tmp.remove(&name);
            }
        }
        Ok(())
    }
}

/// A folder that is held open.
pub(super) struct Folder {
    file: File,
    path: PathBuf,
    // Of the folder itself.
    device: u64,
    inode: u64,
}

impl Folder {
    /// A folder at a path, in which links may lead to it from above; its own name may be none.
    fn open(path: &Path) -> io::Result<Folder> {
        // A slash or a dot at the end would be followed.
        let path: PathBuf = path.components().collect();
        let folder = rustix::fs::open(&path, flags(), Mode::empty());
        Folder::looked_at(folder, path)
    }

    /// One within it.
    pub fn folder(&self, name: impl AsRef<OsStr>) -> io::Result<Folder> {
        let name = name.as_ref();
        let folder = rustix::fs::openat(&self.file, name, flags(), Mode::empty());
        Folder::looked_at(folder, self.path.join(name))
    }

    fn looked_at(opened: rustix::io::Result<std::os::fd::OwnedFd>, path: PathBuf) -> io::Result<Folder> {
        let refused = |what: String| io::Error::new(ErrorKind::InvalidInput, format!("{} {what}", path.display()));
        let file = match opened {
            Ok(folder) => File::from(folder),
            Err(e) => {
                return Err(match fs::symlink_metadata(&path).map(|found| found.file_type()) {
                    Ok(kind) if kind.is_symlink() => refused("is a link: name the folder that it leads to".to_owned()),
                    Ok(kind) if !kind.is_dir() => refused("is no folder".to_owned()),
                    _ => e.into(),
                });
            }
        };
        let found = file.metadata()?;
        let (owner, we) = (found.uid(), geteuid().as_raw());
        if owner != we && owner != 0 {
            let what = format!("belongs to user {owner}, and not to user {we}, who would write to it, or to root");
            return Err(refused(what));
        }
        Ok(Folder { file, device: found.dev(), inode: found.ino(), path })
    }

    /// A file that was not there before.
    pub fn create(&self, name: &str) -> io::Result<File> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&self.file, name, flags, Mode::RUSR | Mode::WUSR)?;
        Ok(File::from(file))
    }

    /// A file that may be there, and is no link: to be read, and to be written to at its end.
    pub fn open_file(&self, name: &str) -> io::Result<Option<File>> {
        // One that is a pipe would wait for the other end.
        let flags = OFlags::RDWR | OFlags::APPEND | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        match rustix::fs::openat(&self.file, name, flags, Mode::empty()) {
            Ok(file) => Ok(Some(File::from(file)).filter(|file| file.metadata().is_ok_and(|found| found.is_file()))),
            Err(rustix::io::Errno::NOENT) => Ok(None),
            Err(e) => Err(e.into()),
        }
    }

    /// The octets of a file; `None` if it is gone.
    pub fn size_of(&self, name: &OsStr) -> io::Result<Option<u64>> {
        match rustix::fs::statat(&self.file, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(found) => Ok(Some(u64::try_from(found.st_size).unwrap_or(0))),
            Err(rustix::io::Errno::NOENT) => Ok(None),
            Err(e) => Err(e.into()),
        }
    }

    /// Moves a file to another folder.
    pub fn rename(&self, name: &str, to: &Folder, new_name: &str) -> io::Result<()> {
        Ok(rustix::fs::renameat(&self.file, name, &to.file, new_name)?)
    }

    pub fn remove(&self, name: impl AsRef<OsStr>) -> io::Result<()> {
        Ok(rustix::fs::unlinkat(&self.file, name.as_ref(), AtFlags::empty())?)
    }

    pub fn has(&self, name: &str) -> io::Result<bool> {
        match rustix::fs::statat(&self.file, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(_) => Ok(true),
            Err(rustix::io::Errno::NOENT) => Ok(false),
            Err(e) => Err(e.into()),
        }
    }

    /// The names of all that is in it.
    pub fn names(&self) -> io::Result<impl Iterator<Item = io::Result<std::ffi::OsString>>> {
        let entries = Dir::read_from(&self.file)?;
        Ok(entries.map(|entry| Ok(OsStr::from_bytes(entry?.file_name().to_bytes()).to_owned())))
    }

    /// What was done in it is on disk.
    pub fn flush(&self) -> io::Result<()> {
        self.file.sync_all()
    }

    /// That its path still leads to it.
    pub fn check(&self) -> io::Result<()> {
        let found = fs::symlink_metadata(&self.path)?;
        if (found.dev(), found.ino()) == (self.device, self.inode) {
            return Ok(());
        }
        Err(io::Error::new(ErrorKind::NotFound, format!("{} is another folder now", self.path.display())))
    }

    /// Whether a file, and not a link, was last written to so long ago that nobody does any more.
    fn is_abandoned(&self, name: &OsStr) -> io::Result<bool> {
        let found = match rustix::fs::statat(&self.file, name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(rustix::io::Errno::NOENT) => return Ok(false),
            found => found?,
        };
        let written = u64::try_from(found.st_mtime).ok().map(|at| SystemTime::UNIX_EPOCH + Duration::from_secs(at));
        let age = written.and_then(|at| at.elapsed().ok());
        let is_file = FileType::from_raw_mode(found.st_mode).is_file();
        Ok(is_file && age.is_some_and(|age| age > ABANDONED))
    }
}

fn flags() -> OFlags {
    OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC
}

/// Makes a folder and those above it, each on disk before the next.
fn make_folder(folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    let parent = match folder.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    make_folder(parent)?;
    match DirBuilder::new().mode(0o700).create(folder) {
        // Another process may have made it meanwhile; anything else in its place is an error.
        Err(e) if !folder.is_dir() => Err(e),
        _ => File::open(parent)?.sync_all(),
    }
}
