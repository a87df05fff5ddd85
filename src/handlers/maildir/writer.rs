//! Puts messages into one Maildir.

use std::fs::File;
use std::io::{self, BufRead, BufWriter, Write};
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::Mutex;

use super::folders::Folders;
use super::names;
use super::quota::{self, Admission, Counts, QuotaSetting};
use crate::content::spool::is_out_of_resources;
use crate::delivery::Response;
use crate::envelope::{Envelope, Recipient};
use crate::handlers::delivery_pool::Answer;
use crate::stats::outage::Outage;
use crate::syntax::parameter::Body;
use crate::syntax::reply::{Reply, Status};

const MAILBOX_FULL: Reply = Reply::fixed(452, Status::new(4, 2, 2), "Mailbox is full, try again later");
const OVER_QUOTA: Reply = Reply::fixed(552, Status::new(5, 2, 2), "Message is larger than the mailbox may become");

/// How messages are stored.
#[derive(Clone, Copy)]
pub(super) struct Settings {
    pub crlf: bool,
    pub once: bool,
    pub quota: QuotaSetting,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings { crlf: false, once: false, quota: QuotaSetting::None }
    }
}

/// One Maildir, and how messages are stored in it.
pub(super) struct Writer {
    pub path: PathBuf,
    // None once their paths lead elsewhere: the next message has them opened anew.
    folders: Mutex<Option<Arc<Folders>>>,
    host: String,
    settings: Settings,
    // Of messages that are being stored, and are not yet in `maildirsize`.
    pending: Mutex<Counts>,
    outage: Outage,
}

impl Writer {
    pub fn new(path: PathBuf, folders: Option<Arc<Folders>>, settings: Settings) -> Writer {
        let host = names::of_host(&gethostname::gethostname().to_string_lossy());
        let (folders, pending) = (Mutex::new(folders), Mutex::default());
        Writer { path, folders, host, settings, pending, outage: Outage::default() }
    }

    /// The same with other settings.
    pub fn with(&self, change: impl FnOnce(&mut Settings)) -> Writer {
        let mut settings = self.settings;
        change(&mut settings);
        Writer::new(self.path.clone(), self.folders.lock().clone(), settings)
    }

    /// Stores a message, for one of its recipients or for all.
    pub fn take(&self, mail: &Envelope, to: Option<&Recipient>) -> Result<(), Reply> {
        match self.store(mail, to) {
            Ok(()) => {
                if self.outage.ends() {
                    log::warn!("{} can be written to again", self.path.display());
                }
                Ok(())
            }
            Err(failure) => Err(self.reply(failure)),
        }
    }

    /// Whether there is room for a message of so many octets now.
    pub fn has_room(&self, octets: u64) -> Result<(), Reply> {
        let reserved = self.folders().map_err(Failure::from).and_then(|folders| self.reserve(&folders, octets));
        reserved.map(drop).map_err(|failure| self.reply(failure))
    }

    fn reply(&self, failure: Failure) -> Reply {
        match failure {
            Failure::Refused(reply) => reply,
            Failure::Io(e) => {
                if self.outage.begins("disk") {
                    log::error!("cannot store messages in {}: {e}", self.path.display());
                }
                if is_out_of_resources(&e) { Reply::NO_STORAGE } else { Reply::NOT_STORED }
            }
        }
    }

    /// Asks for room, and takes it: who asks meanwhile does not get the same. `None` where nothing is counted.
    fn reserve(&self, folders: &Folders, octets: u64) -> Result<Option<Reservation<'_>>, Failure> {
        let quota = self.settings.quota;
        if quota == QuotaSetting::None {
            return Ok(None);
        }
        let mut pending = self.pending.lock();
        match quota.admit(folders, &self.host, *pending, octets)? {
            Admission::Uncounted => Ok(None),
            Admission::Full => Err(Failure::Refused(MAILBOX_FULL)),
            Admission::Never => Err(Failure::Refused(OVER_QUOTA)),
            Admission::Counted => {
                let counts = Counts::of(octets);
                *pending += counts;
                Ok(Some(Reservation { pending: &self.pending, counts }))
            }
        }
    }

    fn store(&self, mail: &Envelope, to: Option<&Recipient>) -> Result<(), Failure> {
        let folders = self.folders()?;
        let stored = self.store_in(&folders, mail, to);
        if matches!(stored, Err(Failure::Io(_))) && folders.check().is_err() {
            // Somebody else may have opened them anew already.
            self.folders.lock().take_if(|current| Arc::ptr_eq(current, &folders));
        }
        stored
    }

    fn store_in(&self, folders: &Folders, mail: &Envelope, to: Option<&Recipient>) -> Result<(), Failure> {
        // Whoever else stores the same message has a file of its own until it can be seen.
        let unique = names::unique(&self.host);
        let of_message = self.settings.once.then(|| names::of_message(mail));
        if let Some(name) = &of_message
            && has(folders, name)?
        {
            // Whoever put it there, or moved it, may have been killed before this.
            folders.cur.flush()?;
            return Ok(folders.flush_new()?);
        }
        let reservation = self.reserve(folders, mail.content().len())?;
        let file = folders.tmp.create(&unique)?;
        let written = self.write(file, mail, to).and_then(|file| match reservation {
            None => self.publish(folders, &unique, of_message.as_ref().unwrap_or(&unique)),
            Some(reservation) => {
                let octets = file.metadata()?.len();
                let name = of_message.unwrap_or_else(|| names::with_size(&unique, octets));
                self.publish_counted(folders, &unique, &name, Counts::of(octets), reservation)
            }
        });
        // Only from here on: a file that could not be made is somebody else's.
        if written.is_err() {
            // What cannot be removed is in tmp, where no reader looks.
            let _ = folders.tmp.remove(&unique);
        }
        Ok(written?)
    }

    /// Whether its folders are still where their paths lead, as far as is known.
    pub fn is_open(&self) -> bool {
        self.folders.lock().is_some()
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

    /// Writes the file, and has it on disk.
    fn write(&self, file: File, mail: &Envelope, to: Option<&Recipient>) -> io::Result<File> {
        let mut out = BufWriter::with_capacity(64 * 1024, file);
        let mut head = format!("Return-Path: <{}>\r\n", mail.mail_from());
        for recipient in to.map_or(mail.recipients(), std::slice::from_ref) {
            head += &format!("Delivered-To: {recipient}\r\n");
        }
        head += &mail.received_header();
        head += mail.content().separator();
        self.copy(head.as_bytes(), &mut out)?;
        match mail.mail_parameters().body() {
            // Octets without lines have no line ends that could be changed.
            Some(Body::BinaryMime) => io::copy(&mut mail.content().reader(), &mut out).map(drop)?,
            _ => self.copy(mail.content().reader(), &mut out)?,
        }
        let file = out.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.sync_all()?;
        Ok(file)
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
            if self.settings.crlf {
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
        self.settle(folders, name)
    }

    /// The same where its octets count.
    fn publish_counted(
        &self,
        folders: &Folders,
        unique: &str,
        name: &str,
        counts: Counts,
        reservation: Reservation<'_>,
    ) -> io::Result<()> {
        {
            // Who counts the whole mailbox meanwhile would have it twice, or not at all.
            let mut pending = self.pending.lock();
            folders.tmp.rename(unique, &folders.new, name)?;
            *pending -= reservation.into_counts();
            self.note(folders, counts);
        }
        let published = self.settle(folders, name);
        if published.is_err() && !self.settings.once {
            let _pending = self.pending.lock();
            self.note(folders, counts.negative());
        }
        published
    }

    /// Sees to it that a file in `new` is there for good.
    fn settle(&self, folders: &Folders, name: &str) -> io::Result<()> {
        let published = folders.flush_new();
        // With a name of the message's own it may be another's, who has had it accepted.
        if published.is_err() && !self.settings.once {
            // The client will hear a 4xx and send it again: it should not be there twice, though that is better than never.
            let _ = folders.new.remove(name);
            let _ = folders.new.flush();
        }
        published
    }

    fn note(&self, folders: &Folders, counts: Counts) {
        if let Err(e) = quota::note(folders, counts) {
            // The next count of the whole mailbox is right again.
            log::warn!("cannot note the size of a message in {}: {e}", self.path.display());
        }
    }
}

impl Answer for Arc<Writer> {
    fn answer(&self, mail: &Envelope) -> Response {
        self.take(mail, None).into()
    }
}

/// Why a message is not stored.
enum Failure {
    Refused(Reply),
    Io(io::Error),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        Failure::Io(error)
    }
}

/// Room for one message, given back on drop.
struct Reservation<'a> {
    pending: &'a Mutex<Counts>,
    counts: Counts,
}

impl Reservation<'_> {
    /// What is to be taken from the pending by who has them locked.
    fn into_counts(mut self) -> Counts {
        std::mem::take(&mut self.counts)
    }
}

impl Drop for Reservation<'_> {
    fn drop(&mut self) {
        if self.counts != Counts::default() {
            *self.pending.lock() -= self.counts;
        }
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
        let settings = Settings { crlf, ..Settings::default() };
        let store = Writer::new(PathBuf::new(), None, settings);
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
