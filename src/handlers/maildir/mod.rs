//! A handler that stores messages, on disk before it accepts them.

use std::fmt::{self, Debug, Formatter};
use std::io;
use std::path::Path;
use std::sync::Arc;

use crate::delivery::handler::Handler;
use crate::delivery::{Delivery, Response};
use crate::envelope::{Envelope, Recipient};
use crate::syntax::reply::Reply;

mod flush;
mod folders;
pub(super) mod mailboxes;
mod names;
pub(super) mod quota;
mod writer;

use super::delivery_pool::{Answer, DeliveryPool};
use folders::Folders;
use quota::{Quota, QuotaSetting};
use writer::{Settings, Writer};

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
        let store = Writer::new(path.to_owned(), Some(Arc::new(folders)), Settings::default());
        Ok(Maildir { store: Arc::new(store), writers: DeliveryPool::new(MAX_WRITERS) })
    }

    /// Whether lines are stored with CRLF, exactly as they arrived, instead of LF. Default: false.
    pub fn crlf(mut self, crlf: bool) -> Maildir {
        self.store = Arc::new(self.store.with(|settings| settings.crlf = crlf));
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
    ///
    /// So each message is stored exactly once only where all who may store it share this one Maildir, and readers leave its files in
    /// `new` and `cur`.
    pub fn once(mut self, once: bool) -> Maildir {
        self.store = Arc::new(self.store.with(|settings| settings.once = once));
        self
    }

    /// How much the Maildir may hold, its folders (`.Sent`) included. A message for which there is no room is refused with
    /// `452 4.2.2`, or with `552 5.2.2` if there never can be. Default: unlimited.
    ///
    /// What it holds is kept in its file `maildirsize`, as Courier and Dovecot keep it (Maildir++), and counted anew if that is
    /// missing, was made for another quota, or says that the mailbox is full and is older than fifteen minutes. So a message
    /// costs a look into a small file, and not through the mailbox; where a mail reader that does not keep the file has deleted
    /// messages, room may be found up to fifteen minutes late.
    pub fn quota(mut self, quota: Quota) -> Maildir {
        self.store = Arc::new(self.store.with(|settings| settings.quota = QuotaSetting::Of(quota)));
        self
    }

    /// Stores a message for one of its recipients, whom the file's `Delivered-To:` then names alone. It is on disk when this
    /// returns.
    ///
    /// # Errors
    /// The reply that this recipient gets: `452 4.2.2` or `552 5.2.2` over [`quota`](Maildir::quota), `452 4.3.1` if the disk
    /// is full, else `451 4.3.0`.
    ///
    /// ```
    /// use pillarbox::handlers::Maildir;
    /// use pillarbox::{Envelope, Reply, Response, Server};
    ///
    /// # let folder = tempfile::tempdir()?;
    /// # let (bob, carol) = (folder.path().join("bob"), folder.path().join("carol"));
    /// let (bob, carol) = (Maildir::create(bob)?, Maildir::create(carol)?);
    /// let server = Server::builder().lmtp(true).serve("127.0.0.1:0", move |mail: Envelope| {
    ///     Response::each(mail.recipients().iter().map(|to| match to.as_str() {
    ///         "bob@example.org" => bob.deliver(&mail, to),
    ///         "carol@example.org" => carol.deliver(&mail, to),
    ///         _ => Err(Reply::new(550, "5.1.1", "no such mailbox")),
    ///     }))
    /// })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn deliver(&self, mail: &Envelope, to: &Recipient) -> Result<(), Reply> {
        self.store.take(mail, Some(to))
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
