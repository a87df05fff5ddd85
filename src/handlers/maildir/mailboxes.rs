//! A handler that stores messages in a Maildir for each recipient.

use std::collections::HashMap;
use std::fmt::{self, Debug, Formatter};
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crossbeam_channel::{Sender, bounded};
use parking_lot::Mutex;

use super::folders::Folders;
use super::quota::{Quota, QuotaSetting};
use super::writer::{Settings, Writer};
use super::{MAX_WRITERS, Maildir};
use crate::config::Config;
use crate::content::spool::is_out_of_resources;
use crate::delivery::handler::Handler;
use crate::delivery::{Delivery, Response};
use crate::envelope::{Envelope, Recipient};
use crate::handlers::delivery_pool::DeliveryPool;
use crate::server::pool::Pool;
use crate::session::{Context, Session, SessionFactory};
use crate::syntax::address::ForwardPath;
use crate::syntax::reply::{Reply, Status};

/// Maildirs that are held open for the next message, each by five descriptors.
const MAX_OPEN: usize = 32;

/// In octets: the longest name of a file on nearly all file systems.
const MAX_NAME: usize = 255;

/// Where mail for the postmaster of no particular domain goes.
const POSTMASTER: &str = "postmaster";

const UNKNOWN: Reply = Reply::fixed(550, Status::new(5, 1, 1), "No such mailbox here");

/// Stores each message in a [`Maildir`] for each of its recipients, as the last step of delivery in a mail server does.
///
/// The mailbox of `bob@example.org` is the folder `example.org/bob` below a root folder, both in lower case; that of
/// `<Postmaster>` without a domain is `postmaster`. You create a mailbox by making its folder, and remove it by removing that;
/// the folders of a Maildir in it are made when mail comes. A recipient without a folder is refused with `550 5.1.1` as it is
/// named in RCPT. No address leads out of the root: one with a `/`, a control character or a dot at the start of its local part
/// or domain has no mailbox.
///
/// A file is as that of a [`Maildir`], with the one recipient whose mailbox it is in `Delivered-To:`. The recipients of one
/// message are served in parallel, and messages that arrive for one mailbox at the same time are flushed together. A message is
/// accepted when it is on disk in all its mailboxes. A server that [speaks LMTP](crate::Builder::lmtp) says for each recipient
/// what became of it; over SMTP, where one refusal is that of all, those who get the message twice are few, since a full mailbox
/// is refused in RCPT already.
///
/// ```no_run
/// use pillarbox::Server;
/// use pillarbox::handlers::{Mailboxes, Quota};
///
/// let mailboxes = Mailboxes::below("/var/mail")?.quota(Quota::octets(1 << 30)).extension('+');
/// let server = Server::builder().lmtp(true).serve("unix:/run/mail.sock", mailboxes)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Mailboxes {
    root: Arc<Root>,
    // Of messages, and of their copies for further recipients.
    threads: Arc<Pool<Work>>,
    // Of the single Maildirs.
    writers: DeliveryPool<Arc<Writer>>,
}

/// Where the mailboxes are, and how they are kept.
struct Root {
    path: PathBuf,
    extension: Option<char>,
    settings: Settings,
    open: Mutex<HashMap<PathBuf, Arc<Writer>>>,
}

/// What a thread does.
enum Work {
    /// All of a message.
    Message(Mailboxes, Delivery),
    /// What is one recipient's of it.
    Copy(Arc<Root>, Arc<Envelope>, usize, Sender<(usize, Result<(), Reply>)>),
}

impl Work {
    fn run(self) {
        match self {
            Work::Message(mailboxes, delivery) => {
                let (mail, answer) = delivery.take();
                answer.respond(mailboxes.store(mail));
            }
            Work::Copy(root, mail, at, results) => {
                // Who asked is still there, and has room for all.
                let _ = results.send((at, root.store(&mail, at)));
            }
        }
    }
}

impl Mailboxes {
    /// The mailboxes below a folder.
    ///
    /// # Errors
    /// If it cannot be looked into, or is no folder.
    pub fn below(root: impl AsRef<Path>) -> io::Result<Mailboxes> {
        let path = root.as_ref();
        fs::read_dir(path)?;
        let settings = Settings { quota: QuotaSetting::OfFile, ..Settings::default() };
        Ok(Mailboxes {
            root: Arc::new(Root { path: path.to_owned(), extension: None, settings, open: Mutex::default() }),
            threads: Arc::new(Pool::new(MAX_WRITERS, Config::default().worker_stack, Work::run)),
            writers: DeliveryPool::new(MAX_WRITERS),
        })
    }

    fn with(mut self, change: impl FnOnce(&mut Root)) -> Mailboxes {
        let Root { path, extension, settings, .. } = &*self.root;
        let mut root = Root { path: path.clone(), extension: *extension, settings: *settings, open: Mutex::default() };
        change(&mut root);
        self.root = Arc::new(root);
        self
    }

    /// Delivers `bob+lists@example.org` to `bob@example.org`, if there is no mailbox of the whole name. Default: nothing is
    /// cut off.
    pub fn extension(self, separator: char) -> Mailboxes {
        self.with(|root| root.extension = Some(separator))
    }

    /// How much each mailbox may hold: see [`Maildir::quota`]. A recipient whose mailbox is full is refused, in RCPT if the
    /// client has announced the size, and after the content in any case. Default: the quota that the mailbox's file
    /// `maildirsize` names, as Courier and Dovecot leave it, and unlimited without one.
    pub fn quota(self, quota: Quota) -> Mailboxes {
        self.with(|root| root.settings.quota = QuotaSetting::Of(quota))
    }

    /// See [`Maildir::crlf`].
    pub fn crlf(self, crlf: bool) -> Mailboxes {
        self.with(|root| root.settings.crlf = crlf)
    }

    /// See [`Maildir::once`].
    pub fn once(self, once: bool) -> Mailboxes {
        self.with(|root| root.settings.once = once)
    }

    /// The mailbox of a recipient, for a handler that decides more than this one:
    ///
    /// ```no_run
    /// use pillarbox::handlers::Mailboxes;
    /// use pillarbox::{Envelope, Response, Server};
    ///
    /// let mailboxes = Mailboxes::below("/var/mail")?;
    /// let server = Server::builder().lmtp(true).serve("127.0.0.1:8024", move |mail: Envelope| {
    ///     Response::each(mail.recipients().iter().map(|to| mailboxes.maildir(to)?.deliver(&mail, to)))
    /// })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// The reply that this recipient gets: `550 5.1.1` if there is no such mailbox, `451 4.3.0` or `452 4.3.1` if it cannot be
    /// opened.
    pub fn maildir(&self, to: &Recipient) -> Result<Maildir, Reply> {
        Ok(Maildir { store: self.root.find(to)?, writers: self.writers.clone() })
    }

    /// Stores a message for each of its recipients, as many at a time as there are threads.
    fn store(&self, mail: Envelope) -> Response {
        let mail = Arc::new(mail);
        let count = mail.recipients().len();
        let mut replies: Vec<Option<Result<(), Reply>>> = vec![None; count];
        let (results, stored) = bounded(count);
        for at in 1..count {
            let copy = Work::Copy(self.root.clone(), mail.clone(), at, results.clone());
            if let Err((copy, _)) = self.threads.submit(copy) {
                copy.run();
            }
        }
        replies[0] = Some(self.root.store(&mail, 0));
        drop(results);
        stored.iter().for_each(|(at, result)| replies[at] = Some(result));
        // What has panicked has sent nothing.
        Response::each(replies.into_iter().map(|result| result.unwrap_or(Err(Reply::NOT_STORED))))
    }
}

impl Root {
    fn store(&self, mail: &Envelope, at: usize) -> Result<(), Reply> {
        let to = &mail.recipients()[at];
        self.find(to)?.take(mail, Some(to))
    }

    fn find(&self, to: &Recipient) -> Result<Arc<Writer>, Reply> {
        for place in places(to.path(), self.extension) {
            if let Some(writer) = self.open(self.path.join(place)).map_err(|(place, e)| refused(&place, &e))? {
                return Ok(writer);
            }
        }
        Err(UNKNOWN)
    }

    /// The Maildir in a folder, if that is there.
    fn open(&self, place: PathBuf) -> Result<Option<Arc<Writer>>, (PathBuf, io::Error)> {
        match fs::metadata(&place) {
            Ok(found) if found.is_dir() => {}
            Err(e) if !matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return Err((place, e)),
            _ => return Ok(None),
        }
        // One that has lost its folders has them made anew.
        if let Some(writer) = self.open.lock().get(&place).filter(|writer| writer.is_open()) {
            return Ok(Some(writer.clone()));
        }
        let folders = match Folders::create(&place).and_then(|folders| folders.remove_abandoned().map(|()| folders)) {
            Ok(folders) => folders,
            Err(e) => return Err((place, e)),
        };
        let opened = Writer::new(place.clone(), Some(Arc::new(folders)), self.settings);
        let mut open = self.open.lock();
        if open.len() >= MAX_OPEN {
            // Those that nobody uses now.
            open.retain(|_, writer| Arc::strong_count(writer) > 1);
        }
        // Somebody else may have opened it meanwhile.
        let writer = open.get(&place).filter(|writer| writer.is_open()).cloned().unwrap_or_else(|| Arc::new(opened));
        open.insert(place, writer.clone());
        Ok(Some(writer))
    }
}

fn refused(place: &Path, error: &io::Error) -> Reply {
    log::error!("cannot open the mailbox {}: {error}", place.display());
    if is_out_of_resources(error) { Reply::NO_STORAGE } else { Reply::NOT_STORED }
}

/// Where below the root a recipient's mailbox may be: that of the whole name, or else that without its extension.
fn places(to: &ForwardPath, extension: Option<char>) -> Vec<PathBuf> {
    let ForwardPath::Mailbox(mailbox) = to else { return vec![PathBuf::from(POSTMASTER)] };
    // Below that folder are those of its Maildir, and no mailboxes.
    let Some(domain) = name(mailbox.domain()).filter(|domain| domain != POSTMASTER) else {
        return Vec::new();
    };
    let local = mailbox.unquoted_local_part();
    let without_extension = extension.and_then(|separator| Some(local.split_once(separator)?.0));
    let names = [Some(&*local), without_extension].into_iter().flatten().filter_map(name);
    names.map(|local| Path::new(&domain).join(local)).collect()
}

/// A text as the name of a folder, if it is one and cannot be anything else.
fn name(text: &str) -> Option<String> {
    let is_name = !text.is_empty() && text.len() <= MAX_NAME && !text.starts_with('.');
    let is_safe = !text.contains(|c: char| c == '/' || c.is_control());
    (is_name && is_safe).then(|| text.to_ascii_lowercase())
}

impl Handler for Mailboxes {
    fn process_message(&mut self, mail: Envelope) -> Response {
        self.store(mail)
    }

    fn process_delivery(&mut self, delivery: Delivery) {
        if let Err((work, _)) = self.threads.submit(Work::Message(self.clone(), delivery)) {
            work.run();
        }
    }

    fn session(&self) -> Option<SessionFactory> {
        let root = self.root.clone();
        Some(SessionFactory::new(move |_| Asking(root.clone())))
    }
}

/// Refuses recipients without a mailbox, or without room in it, while the client can still leave them out.
struct Asking(Arc<Root>);

impl Session for Asking {
    fn rcpt(&mut self, context: &Context, to: &Recipient) -> Result<(), Reply> {
        let announced = context.mail_parameters().and_then(|parameters| parameters.size());
        // Nearly every message has an octet.
        self.0.find(to)?.has_room(announced.unwrap_or(1))
    }
}

impl Debug for Mailboxes {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mailboxes").field("root", &self.root.path).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places_of(address: &str, extension: Option<char>) -> Vec<String> {
        let places = places(&address.parse().unwrap(), extension);
        places.into_iter().map(|place| place.to_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn addresses_and_folders() {
        assert_eq!(places_of("Bob@Example.ORG", None), ["example.org/bob"]);
        assert_eq!(places_of("bob+a+b@example.org", Some('+')), ["example.org/bob+a+b", "example.org/bob"]);
        assert_eq!(places_of("bob+a@example.org", None), ["example.org/bob+a"]);
        assert_eq!(places_of("+a@example.org", Some('+')), ["example.org/+a"]);
        assert_eq!(places_of("\"bob smith\"@example.org", None), ["example.org/bob smith"]);
        assert_eq!(places_of("Postmaster", None), ["postmaster"]);
        assert_eq!(places_of("gr\u{fc}n@b\u{fc}cher.example", None), ["b\u{fc}cher.example/gr\u{fc}n"]);
        assert_eq!(places_of("b@[127.0.0.1]", None), ["[127.0.0.1]/b"]);
    }

    #[test]
    fn no_address_leads_out_of_the_root() {
        let long = format!("{}@example.org", "x".repeat(256));
        for address in [
            "\"../../etc\"@example.org",
            "\"..\"@example.org",
            "\".\"@example.org",
            "\"a/b\"@example.org",
            "\"/etc\"@example.org",
            "a/b@example.org",
            ".hidden@example.org",
            "\"\\../x\"@example.org",
            "\"\"@example.org",
            "new@postmaster",
            "new@Postmaster",
            "root",
            &long,
        ] {
            if address.parse::<ForwardPath>().is_ok() {
                assert_eq!(places_of(address, None), [""; 0], "{address}");
            }
        }
        // Without its extension a name must be one as well.
        assert_eq!(places_of("..+a@example.org", Some('+')), [""; 0]);
        assert_eq!(places_of("\"a/+b\"@example.org", Some('+')), [""; 0]);
    }
}
