//! How much a Maildir may hold, and how much it holds: Maildir++, as Courier's maildirquota(7) and Dovecot's quota driver
//! `maildir` have it.
//!
//! `maildirsize` has the quota in its first line; each further one has octets and messages that came, or with a minus sign
//! went. Whoever delivers or deletes adds a line, and the sum is what the mailbox holds.

use std::ffi::OsStr;
use std::fmt::{self, Display, Formatter};
use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::ops::{AddAssign, SubAssign};
use std::os::unix::ffi::OsStrExt;
use std::str::FromStr;
use std::time::{Duration, SystemTime};

use super::folders::{Folder, Folders};
use super::names;

const FILE: &str = "maildirsize";

/// In octets: a file that has grown beyond is made anew.
const MAX_FILE: u64 = 5120;

/// A full mailbox is counted at most this often.
const COUNTED_AGAIN: Duration = Duration::from_secs(15 * 60);

/// How much a mailbox may hold: see [`Maildir::quota`](super::Maildir::quota).
///
/// As text it is what Maildir++ has: `10485760S,1000C` for octets and messages.
///
/// ```
/// use pillarbox::handlers::Quota;
///
/// let quota = Quota::octets(10 * 1024 * 1024).and_messages(1000);
/// assert_eq!(quota.to_string(), "10485760S,1000C");
/// assert_eq!("10485760S,1000C".parse(), Ok(quota));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Quota {
    octets: Option<u64>,
    messages: Option<u64>,
}

impl Quota {
    /// So many octets, as the files have them.
    pub fn octets(octets: u64) -> Quota {
        Quota { octets: Some(octets), messages: None }
    }

    /// So many messages.
    pub fn messages(messages: u64) -> Quota {
        Quota { octets: None, messages: Some(messages) }
    }

    /// And so many messages.
    pub fn and_messages(self, messages: u64) -> Quota {
        Quota { messages: Some(messages), ..self }
    }

    /// As other programs write it: 0 is no limit.
    fn with_zero_as_none(self) -> Quota {
        Quota { octets: self.octets.filter(|octets| *octets > 0), messages: self.messages.filter(|count| *count > 0) }
    }

    fn allows(self, held: Counts) -> bool {
        let fits = |held: i64, limit: Option<u64>| limit.is_none_or(|limit| i128::from(held) <= i128::from(limit));
        fits(held.octets, self.octets) && fits(held.messages, self.messages)
    }
}

impl Display for Quota {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match (self.octets, self.messages) {
            (Some(octets), Some(messages)) => write!(f, "{octets}S,{messages}C"),
            (Some(octets), None) => write!(f, "{octets}S"),
            (None, Some(messages)) => write!(f, "{messages}C"),
            (None, None) => Ok(()),
        }
    }
}

/// Why a text is no [`Quota`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct QuotaError(());

impl Display for QuotaError {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("a quota is like 10485760S,1000C: octets and messages, or one of them")
    }
}

impl std::error::Error for QuotaError {}

impl FromStr for Quota {
    type Err = QuotaError;

    fn from_str(text: &str) -> Result<Quota, QuotaError> {
        let mut quota = Quota { octets: None, messages: None };
        for part in text.split(',') {
            let (digits, unit) = part.split_at_checked(part.len().saturating_sub(1)).ok_or(QuotaError(()))?;
            let slot = match unit {
                "S" => &mut quota.octets,
                "C" => &mut quota.messages,
                _ => return Err(QuotaError(())),
            };
            // Digits only, since `parse` would take a sign.
            let digits = Some(digits).filter(|digits| digits.bytes().all(|b| b.is_ascii_digit()));
            let number = digits.and_then(|digits| digits.parse().ok()).ok_or(QuotaError(()))?;
            if slot.replace(number).is_some() {
                return Err(QuotaError(()));
            }
        }
        Ok(quota)
    }
}

/// What is in a mailbox, or in a part of it.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct Counts {
    octets: i64,
    messages: i64,
}

impl Counts {
    /// Of one message.
    pub fn of(octets: u64) -> Counts {
        Counts { octets: i64::try_from(octets).unwrap_or(i64::MAX), messages: 1 }
    }

    /// The same, gone.
    pub fn negative(self) -> Counts {
        Counts { octets: -self.octets, messages: -self.messages }
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, more: Counts) {
        self.octets = self.octets.saturating_add(more.octets);
        self.messages = self.messages.saturating_add(more.messages);
    }
}

impl SubAssign for Counts {
    fn sub_assign(&mut self, less: Counts) {
        self.octets = self.octets.saturating_sub(less.octets);
        self.messages = self.messages.saturating_sub(less.messages);
    }
}

/// Whether a Maildir has a quota.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum QuotaSetting {
    /// It has none, and nothing is counted.
    None,
    /// The one that its file names, if it has that file.
    OfFile,
    /// This one, whatever the file says.
    Of(Quota),
}

/// Whether there is room for a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Admission {
    /// There is, and it is to be noted when it is stored.
    Counted,
    /// Nobody counts.
    Uncounted,
    /// There is none now.
    Full,
    /// There is none, not even in an empty mailbox.
    Never,
}

/// What a `maildirsize` says.
struct Size {
    quota: Quota,
    /// `None` if it is too long or cannot be understood.
    held: Option<Counts>,
    /// Nobody has added to it, and it is not old.
    is_fresh: bool,
}

impl QuotaSetting {
    /// Whether a message of so many octets has room beside what is held, and what others are about to store.
    pub fn admit(self, folders: &Folders, host: &str, pending: Counts, octets: u64) -> io::Result<Admission> {
        let size = read(&folders.root)?;
        let (quota, limit) = match (self, &size) {
            (QuotaSetting::None, _) | (QuotaSetting::OfFile, None) => return Ok(Admission::Uncounted),
            (QuotaSetting::Of(quota), _) => (quota, quota),
            (QuotaSetting::OfFile, Some(size)) => (size.quota, size.quota.with_zero_as_none()),
        };
        if !limit.allows(Counts::of(octets)) {
            return Ok(Admission::Never);
        }
        let fits = |mut held: Counts| {
            held += pending;
            held += Counts::of(octets);
            limit.allows(held)
        };
        let known = size.filter(|size| size.quota == quota).and_then(|size| Some((size.held?, size.is_fresh)));
        let has_room = match known {
            Some((held, is_fresh)) if is_fresh || fits(held) => fits(held),
            _ => fits(count_again(folders, host, quota)?),
        };
        Ok(if has_room { Admission::Counted } else { Admission::Full })
    }
}

/// Adds what came, or with a minus sign went.
pub(super) fn note(folders: &Folders, counts: Counts) -> io::Result<()> {
    match folders.root.open_file(FILE)? {
        // In one write, at the end: others do the same.
        Some(mut file) => file.write_all(format!("{} {}\n", counts.octets, counts.messages).as_bytes()),
        // The next message has all counted.
        None => Ok(()),
    }
}

fn read(root: &Folder) -> io::Result<Option<Size>> {
    let Some(file) = root.open_file(FILE)? else { return Ok(None) };
    let mut text = String::new();
    let read = (&file).take(MAX_FILE + 1).read_to_string(&mut text);
    match read {
        Err(e) if e.kind() != ErrorKind::InvalidData => return Err(e),
        _ => {}
    }
    let is_recent = |file: &File| -> io::Result<bool> {
        let written = file.metadata()?.modified()?;
        Ok(SystemTime::now().duration_since(written).is_ok_and(|age| age < COUNTED_AGAIN))
    };
    let mut lines = text.lines();
    let Some(quota) = lines.next().and_then(|line| line.trim().parse().ok()) else { return Ok(None) };
    let is_whole = text.len() as u64 <= MAX_FILE && text.ends_with('\n');
    let (mut held, mut count) = (Counts::default(), 0);
    let mut is_understood = is_whole;
    for line in lines {
        match parse_line(line) {
            Some(more) => held += more,
            None => is_understood = false,
        }
        count += 1;
    }
    let is_sound = is_understood && held.octets >= 0 && held.messages >= 0;
    Ok(Some(Size { quota, held: is_sound.then_some(held), is_fresh: count <= 1 && is_recent(&file)? }))
}

fn parse_line(line: &str) -> Option<Counts> {
    let mut words = line.split_ascii_whitespace();
    let counts = Counts { octets: words.next()?.parse().ok()?, messages: words.next()?.parse().ok()? };
    words.next().is_none().then_some(counts)
}

/// Counts all that is in a mailbox, and makes the file anew.
fn count_again(folders: &Folders, host: &str, quota: Quota) -> io::Result<Counts> {
    let mut held = count(&folders.new)?;
    held += count(&folders.cur)?;
    for name in folders.root.names()? {
        let name = name?;
        if is_subfolder(&name) {
            held += count_subfolder(&folders.root, &name)?;
        }
    }
    let unique = names::unique(host);
    let mut file = folders.tmp.create(&unique)?;
    let written = file.write_all(format!("{quota}\n{} {}\n", held.octets, held.messages).as_bytes());
    let replaced = written.and_then(|()| folders.tmp.rename(&unique, &folders.root, FILE));
    if replaced.is_err() {
        let _ = folders.tmp.remove(&unique);
    }
    replaced.map(|()| held)
}

fn is_subfolder(name: &OsStr) -> bool {
    name.as_bytes().starts_with(b".") && ![&b"."[..], b".."].contains(&name.as_bytes())
}

/// What is in a folder of Maildir++, which is a Maildir with a dot before its name.
fn count_subfolder(root: &Folder, name: &OsStr) -> io::Result<Counts> {
    let mut held = Counts::default();
    // A file or a link is none, and neither is what has no such folders.
    let Ok(folder) = root.folder(name) else { return Ok(held) };
    for part in ["new", "cur"] {
        if let Ok(part) = folder.folder(part) {
            held += count(&part)?;
        }
    }
    Ok(held)
}

fn count(folder: &Folder) -> io::Result<Counts> {
    let mut held = Counts::default();
    for name in folder.names()? {
        let name = name?;
        if name.as_bytes().starts_with(b".") {
            continue;
        }
        let size = match names::size(name.as_bytes()) {
            Some(size) => Some(size),
            None => folder.size_of(&name)?,
        };
        size.into_iter().for_each(|size| held += Counts::of(size));
    }
    Ok(held)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    fn admit(setting: QuotaSetting, maildir: &Path, octets: u64) -> Admission {
        let folders = Folders::create(maildir).unwrap();
        setting.admit(&folders, "host", Counts::default(), octets).unwrap()
    }

    fn file(maildir: &Path) -> String {
        fs::read_to_string(maildir.join(FILE)).unwrap()
    }

    /// Makes the file look as if it were of an hour ago.
    fn age(maildir: &Path) {
        let file = File::options().write(true).open(maildir.join(FILE)).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(3600)).unwrap();
    }

    #[test]
    fn as_text() {
        for text in ["10S", "5C", "10S,5C"] {
            assert_eq!(text.parse::<Quota>().unwrap().to_string(), text);
        }
        assert_eq!("5C,10S".parse(), Ok(Quota::octets(10).and_messages(5)));
        for bad in ["", "S", "10", "+1S", "-1S", "10S,", "10S,11S", "10X", "1 0S", "99999999999999999999S", "10\u{fc}"]
        {
            assert!(bad.parse::<Quota>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_mailbox_is_counted_once_and_then_kept_account_of() {
        let folder = tempfile::tempdir().unwrap();
        let maildir = folder.path();
        Folders::create(maildir).unwrap();
        Folders::create(&maildir.join(".Sent")).unwrap();
        fs::write(maildir.join("new/1.M1P1.host"), "12345").unwrap();
        // The name is believed, as others believe it.
        fs::write(maildir.join("cur/2.M1P1.host,S=20:2,S"), "x").unwrap();
        fs::write(maildir.join(".Sent/cur/3.M1P1.host:2,"), "1234567").unwrap();
        fs::write(maildir.join("tmp/4.M1P1.host"), "not yet").unwrap();
        let setting = QuotaSetting::Of(Quota::octets(100).and_messages(5));
        assert_eq!(admit(setting, maildir, 68), Admission::Counted);
        assert_eq!(file(maildir), "100S,5C\n32 3\n");
        note(&Folders::open(maildir).unwrap(), Counts::of(68)).unwrap();
        assert_eq!(file(maildir), "100S,5C\n32 3\n68 1\n");
        // What it says is believed while there is room, and looked at again when there is none.
        fs::write(maildir.join(FILE), "100S,5C\n32 3\n-20 -1\n").unwrap();
        assert_eq!(admit(setting, maildir, 88), Admission::Counted);
        assert_eq!(admit(setting, maildir, 89), Admission::Full);
        assert_eq!(file(maildir), "100S,5C\n32 3\n");
        assert_eq!(admit(setting, maildir, 101), Admission::Never);
        assert_eq!(admit(QuotaSetting::Of(Quota::messages(3)), maildir, 0), Admission::Full);
    }

    #[test]
    fn a_full_mailbox_is_counted_every_fifteen_minutes() {
        let folder = tempfile::tempdir().unwrap();
        let maildir = folder.path();
        let setting = QuotaSetting::Of(Quota::octets(100));
        Folders::create(maildir).unwrap();
        fs::write(maildir.join(FILE), "100S\n100 1\n").unwrap();
        assert_eq!(admit(setting, maildir, 1), Admission::Full);
        age(maildir);
        assert_eq!(admit(setting, maildir, 1), Admission::Counted);
        assert_eq!(file(maildir), "100S\n0 0\n");
    }

    #[test]
    fn what_cannot_be_believed_is_counted() {
        let folder = tempfile::tempdir().unwrap();
        let maildir = folder.path();
        let setting = QuotaSetting::Of(Quota::octets(100));
        Folders::create(maildir).unwrap();
        let long = format!("100S\n{}", "1 1\n".repeat(2000));
        for bad in
            ["", "x", "99S\n99 1\n", "100S\n99 1", "100S\nx\n", "100S\n-1 1\n", "100S\n1 -1\n", "100S\n1\n", &long]
        {
            fs::write(maildir.join(FILE), bad).unwrap();
            assert_eq!(admit(setting, maildir, 100), Admission::Counted);
            assert_eq!(file(maildir), "100S\n0 0\n", "{bad}");
        }
        fs::write(maildir.join(FILE), b"100S\n\xff 1\n").unwrap();
        assert_eq!(admit(setting, maildir, 100), Admission::Counted);
        // A link would be somebody else's file.
        fs::remove_file(maildir.join(FILE)).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", maildir.join(FILE)).unwrap();
        let folders = Folders::open(maildir).unwrap();
        assert!(setting.admit(&folders, "host", Counts::default(), 1).is_err());
    }

    #[test]
    fn the_file_may_name_the_quota() {
        let folder = tempfile::tempdir().unwrap();
        let maildir = folder.path();
        assert_eq!(admit(QuotaSetting::OfFile, maildir, u64::MAX), Admission::Uncounted);
        fs::write(maildir.join(FILE), "100S\n").unwrap();
        assert_eq!(admit(QuotaSetting::OfFile, maildir, 100), Admission::Counted);
        assert_eq!(admit(QuotaSetting::OfFile, maildir, 101), Admission::Never);
        fs::write(maildir.join(FILE), "0S,2C\n5 1\n").unwrap();
        assert_eq!(admit(QuotaSetting::OfFile, maildir, 1000), Admission::Counted);
        // Dovecot's, for a user without a limit.
        fs::write(maildir.join(FILE), "\n5 1\n").unwrap();
        assert_eq!(admit(QuotaSetting::OfFile, maildir, 1000), Admission::Uncounted);
    }
}
