//! A handler that stores messages, on disk before it accepts them.

use std::fmt::{self, Debug, Formatter};
use std::fs::File;
use std::io::{self, BufRead, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::content::spool::is_out_of_resources;
use crate::delivery::handler::Handler;
use crate::delivery::{Delivery, Response};
use crate::envelope::Envelope;
use crate::stats::outage::Outage;
use crate::syntax::parameter::Body;
use crate::syntax::reply::Reply;

mod flush;
mod folders;
mod names;

use super::delivery_pool::{Answer, DeliveryPool};
use folders::Folders;

/// More would wait for the same disk, and gain nothing.
const MAX_WRITERS: usize = 64;

/// Stores each message as a file in a Maildir, and accepts it when it is on disk.
///
/// A message is written to `tmp`, flushed to the disk, moved to `new`, and the folder is flushed as well; only then
/// does the client get its 250. If anything fails, the client gets a 4xx and keeps its copy, and nothing is left in
/// `new`. A crash at any moment leaves each accepted message whole in `new`; at most an unfinished file stays in `tmp`,
/// where no reader looks. If the crash comes before the client has its 250, the client sends the message again. None of
/// this holds on a file system that does not keep what it has flushed.
///
/// A file begins with `Return-Path:`, a `Delivered-To:` for each recipient, and `Received:`; then comes the message.
/// Lines end with LF, as readers of Maildirs expect: see [`crlf`](Maildir::crlf).
///
/// `tmp`, `new` and `cur` are held open and used only through these descriptors, so nobody can divert messages with a
/// link. If one of them is moved or replaced, messages are refused with `451 4.3.0` until the folders are valid again;
/// a folder that takes its place is checked as at the start. The file system cannot be unmounted meanwhile.
///
/// Messages that arrive at the same time are stored in parallel, up to 64 at a time, and flushed together, so that many
/// clients wait little longer than one. Several servers and processes may share one Maildir, since names are unique.
///
/// ```no_run
/// use pillarbox::{Server, handlers::Maildir};
///
/// let maildir = Maildir::create("/var/mail/incoming")?;
/// let server = Server::builder().serve("localhost:8025", maildir)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Maildir {
    store: Arc<Writer>,
    writers: DeliveryPool<Arc<Writer>>,
}

struct Writer {
    path: PathBuf,
    // None once their paths lead elsewhere: the next message has them opened anew.
    folders: Mutex<Option<Arc<Folders>>>,
    host: String,
    crlf: bool,
    once: bool,
    outage: Outage,
}

impl Maildir {
    /// Opens the Maildir at `folder`, or creates it.
    ///
    /// Files that a crash left in its `tmp` over 36 hours ago are removed, but only those that a `Maildir` has named.
    ///
    /// # Errors
    /// Creating and reading the folders may fail. [`InvalidInput`](io::ErrorKind::InvalidInput) if the folder, or its
    /// `tmp`, `new` or `cur`, is a link or not a folder, or belongs to another user than the process's and root. The
    /// path above the Maildir may have links.
    pub fn create(folder: impl AsRef<Path>) -> io::Result<Maildir> {
        let path = folder.as_ref();
        let folders = Folders::create(path)?;
        folders.remove_abandoned()?;
        let store = Writer::new(path.to_owned(), Some(Arc::new(folders)));
        Ok(Maildir { store: Arc::new(store), writers: DeliveryPool::new(MAX_WRITERS) })
    }

    /// Whether lines are stored with CRLF, exactly as they arrived, instead of LF. Default: false.
    pub fn crlf(mut self, crlf: bool) -> Maildir {
        self.store = Arc::new(Writer { crlf, ..self.store.again() });
        self
    }

    /// Whether a message that is stored already is accepted without storing it again. Use this if your program cannot
    /// know whether it stored a message before it was killed, such as a worker that takes messages off a queue.
    /// Default: false.
    ///
    /// Files are then named after the message: the time when it arrived, its [`id`](Envelope::id), and the name of the
    /// server that received it. A message counts as stored if `new` or `cur` has a file of that name, with any flags;
    /// one that was removed does not. If several processes store a message at the same time, there is one file. Each
    /// message needs a search through `cur`, which takes a millisecond for some thousand files.
    pub fn once(mut self, once: bool) -> Maildir {
        self.store = Arc::new(Writer { once, ..self.store.again() });
        self
    }
}

impl Handler for Maildir {
    fn process_message(&mut self, mail: Envelope) -> Response {
        self.store.answer(&mail)
    }

    fn process_delivery(&mut self, delivery: Delivery) {
        self.writers.process(self.store.clone(), delivery);
    }
}

impl Debug for Maildir {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("Maildir").field("folder", &self.store.path).finish_non_exhaustive()
    }
}

impl Answer for Arc<Writer> {
    fn answer(&self, mail: &Envelope) -> Response {
        match self.store(mail) {
            Ok(()) => {
                if self.outage.ends() {
                    log::warn!("{} can be written to again", self.path.display());
                }
                Reply::ok()
            }
            Err(e) => {
                if self.outage.begins("disk") {
                    log::error!("cannot store messages in {}: {e}", self.path.display());
                }
                if is_out_of_resources(&e) { Reply::NO_STORAGE } else { Reply::NOT_STORED }
            }
        }
        .into()
    }
}

impl Writer {
    fn new(path: PathBuf, folders: Option<Arc<Folders>>) -> Writer {
        let host = names::of_host(&gethostname::gethostname().to_string_lossy());
        Writer { path, folders: Mutex::new(folders), host, crlf: false, once: false, outage: Outage::default() }
    }

    /// With the same settings, which are about to be changed.
    fn again(&self) -> Writer {
        Writer { crlf: self.crlf, once: self.once, ..Writer::new(self.path.clone(), self.folders.lock().clone()) }
    }

    fn store(&self, mail: &Envelope) -> io::Result<()> {
        let folders = self.folders()?;
        let stored = self.store_in(&folders, mail);
        if stored.is_err() && folders.check().is_err() {
            // Somebody else may have opened them anew already.
            self.folders.lock().take_if(|current| Arc::ptr_eq(current, &folders));
        }
        stored
    }

    fn store_in(&self, folders: &Folders, mail: &Envelope) -> io::Result<()> {
        // Whoever else stores the same message has a file of its own until it can be seen.
        let unique = names::unique(&self.host);
        let name = if self.once { names::of_message(mail) } else { unique.clone() };
        if self.once && has(folders, &name)? {
            // Whoever put it there, or moved it, may have been killed before this.
            folders.cur.flush()?;
            return folders.flush_new();
        }
        let file = folders.tmp.create(&unique)?;
        let written = self.write(file, mail).and_then(|()| self.publish(folders, &unique, &name));
        // Only from here on: a file that could not be made is somebody else's.
        if written.is_err() {
            // What cannot be removed is in tmp, where no reader looks.
            let _ = folders.tmp.remove(&unique);
        }
        written
    }

    fn folders(&self) -> io::Result<Arc<Folders>> {
        let mut folders = self.folders.lock();
        if let Some(folders) = &*folders {
            return Ok(folders.clone());
        }
        let opened = Arc::new(Folders::open(&self.path)?);
        *folders = Some(opened.clone());
        Ok(opened)
    }

    fn write(&self, file: File, mail: &Envelope) -> io::Result<()> {
        let mut out = BufWriter::with_capacity(64 * 1024, file);
        let mut head = format!("Return-Path: <{}>\r\n", mail.mail_from());
        for recipient in mail.recipients() {
            head += &format!("Delivered-To: {recipient}\r\n");
        }
        head += &mail.received_header();
        self.copy(head.as_bytes(), &mut out)?;
        match mail.mail_parameters().body() {
            // Octets without lines have no line ends that could be changed.
            Some(Body::BinaryMime) => io::copy(&mut mail.content().reader(), &mut out).map(drop)?,
            _ => self.copy(mail.content().reader(), &mut out)?,
        }
        let file = out.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.sync_all()
    }

    /// Copies, with LF in each CRLF's place unless CRLF is wanted.
    fn copy(&self, mut from: impl BufRead, to: &mut impl Write) -> io::Result<()> {
        // A CR at the end of what could be read, of which the LF may follow.
        let mut held = false;
        loop {
            let octets = from.fill_buf()?;
            if octets.is_empty() {
                return if held { to.write_all(b"\r") } else { Ok(()) };
            }
            if self.crlf {
                to.write_all(octets)?;
            } else {
                if held && octets[0] != b'\n' {
                    to.write_all(b"\r")?;
                }
                let mut rest = octets;
                while let Some(at) = memchr::memmem::find(rest, b"\r\n") {
                    to.write_all(&rest[..at])?;
                    to.write_all(b"\n")?;
                    rest = &rest[at + 2..];
                }
                held = rest.ends_with(b"\r");
                to.write_all(&rest[..rest.len() - usize::from(held)])?;
            }
            let taken = octets.len();
            from.consume(taken);
        }
    }

    /// Makes a file that is on disk visible, and sees to it that this is on disk as well.
    fn publish(&self, folders: &Folders, unique: &str, name: &str) -> io::Result<()> {
        // A rename would silently take another's place: the name sees to it that there is none. A link, which would not,
        // is refused by some file systems and costs a call more.
        folders.tmp.rename(unique, &folders.new, name)?;
        let published = folders.flush_new();
        // With a name of the message's own it may be another's, who has had it accepted.
        if published.is_err() && !self.once {
            // The client will hear a 4xx and send it again: it should not be there twice, though that is better than never.
            let _ = folders.new.remove(name);
            let _ = folders.new.flush();
        }
        published
    }
}

/// Whether a message has been stored, and a reader may have seen it since.
fn has(folders: &Folders, name: &str) -> io::Result<bool> {
    folders.cur.check()?;
    // In this order: a reader moves it from one to the other.
    if folders.new.has(name)? {
        return Ok(true);
    }
    for file in folders.cur.names()? {
        let file = file?;
        let rest = file.as_encoded_bytes().strip_prefix(name.as_bytes());
        if rest.is_some_and(|flags| matches!(flags.first(), None | Some(b':'))) {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::BufReader;

    fn copied(content: &[u8], piece: usize, crlf: bool) -> Vec<u8> {
        let mut out = Vec::new();
        let store = Writer { crlf, ..Writer::new(PathBuf::new(), None) };
        store.copy(BufReader::with_capacity(piece, content), &mut out).unwrap();
        out
    }

    #[test]
    fn line_ends_do_not_depend_on_how_the_content_is_read() {
        let content = b"\r\na\r\n\r\r\nb\rc\nd\n\r\r\r\n\r\n\r";
        for piece in 1..=content.len() {
            let lf = copied(content, piece, false);
            assert_eq!(lf.escape_ascii().to_string(), "\\na\\n\\r\\nb\\rc\\nd\\n\\r\\r\\n\\n\\r", "{piece} at a time");
            assert_eq!(copied(content, piece, true), content, "{piece} at a time");
        }
        assert_eq!(copied(b"", 1, false), b"");
    }
}
