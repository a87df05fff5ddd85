//! The octets of a message, in memory or on disk.

pub(crate) mod budget;
pub(crate) mod collector;
mod head;
mod rewrite;
pub(crate) mod segments;
pub(crate) mod spool;
pub(crate) mod store;
pub(crate) mod writer;

use std::borrow::Cow;
use std::fmt::{self, Debug, Display, Formatter};
use std::io::{self, BufRead, BufReader, ErrorKind, Read};
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use crate::content::head::Head;
use crate::content::segments::{SEGMENT, Segments};
use crate::content::spool::{NamedFile, NamedFileReader, SpoolFile, SpoolReader, is_out_of_resources};
use crate::content::store::{ContentReservation, ContentStore};
use crate::syntax::reply::{Reply, Status};

/// The octets of the longest character.
const MAX_UTF8: usize = 4;

/// The octets of a message: with CRLF line ends, dots unstuffed, and without the final dot.
///
/// They are in memory, or in an unnamed file that is deleted with this value: see
/// [`Builder::spool_threshold`](crate::Builder::spool_threshold); or in [a file of yours](crate::Envelope::with_content_in).
/// You read all of them the same way, but reading from disk may fail.
pub struct Content {
    place: Storage,
    // What was put before it; of most messages nothing.
    head: Option<Box<Head>>,
}

/// Where content is.
#[derive(Debug)]
enum Storage {
    Memory(ContentReservation),
    // The room has no octets, but they count against its budget.
    Disk(SpoolFile, ContentReservation),
    // Octets that came from elsewhere than a client, and count against no budget.
    Elsewhere(Segments),
    // The same in a file that somebody else keeps.
    Named(NamedFile),
    // The same for several envelopes, and given back with the last of them.
    Shared(Arc<Storage>),
}

/// A file with content.
enum OnDisk<'a> {
    Spooled(&'a SpoolFile),
    Named(&'a NamedFile),
}

impl OnDisk<'_> {
    fn len(&self) -> u64 {
        match self {
            OnDisk::Spooled(file) => file.len(),
            OnDisk::Named(file) => file.len(),
        }
    }
}

impl Storage {
    /// What is in memory, or else the file.
    fn segments(&self) -> Result<&Segments, OnDisk<'_>> {
        match self {
            Storage::Memory(room) => Ok(&room.segments),
            Storage::Disk(file, _) => Err(OnDisk::Spooled(file)),
            Storage::Named(file) => Err(OnDisk::Named(file)),
            Storage::Elsewhere(segments) => Ok(segments),
            Storage::Shared(storage) => storage.segments(),
        }
    }

    fn room(&self) -> Option<&ContentReservation> {
        match self {
            Storage::Memory(room) | Storage::Disk(_, room) => Some(room),
            Storage::Elsewhere(_) | Storage::Named(_) => None,
            Storage::Shared(storage) => storage.room(),
        }
    }

    /// What it has of the budgets, unless others have it as well.
    fn room_mut(&mut self) -> Option<&mut ContentReservation> {
        match self {
            Storage::Memory(room) | Storage::Disk(_, room) => Some(room),
            Storage::Elsewhere(_) | Storage::Named(_) => None,
            Storage::Shared(storage) => Arc::get_mut(storage)?.room_mut(),
        }
    }
}

impl Default for Content {
    fn default() -> Content {
        Content::at(Storage::Elsewhere(Segments::default()))
    }
}

impl Content {
    fn at(place: Storage) -> Content {
        Content { place, head: None }
    }

    pub(crate) fn in_memory(room: ContentReservation) -> Content {
        Content::at(Storage::Memory(room))
    }

    /// Octets that did not come from a client, and count against no budget.
    pub(crate) fn from_octets(octets: Vec<u8>) -> Content {
        Content::at(Storage::Elsewhere(Segments::whole(octets)))
    }

    pub(crate) fn on_disk(file: SpoolFile, room: ContentReservation) -> Content {
        Content::at(Storage::Disk(file, room))
    }

    /// Octets in a file that somebody else keeps.
    pub(crate) fn in_file(path: PathBuf, range: Range<u64>) -> Content {
        Content::at(Storage::Named(NamedFile::new(path, range)))
    }

    /// The same content once more, without a copy.
    pub(crate) fn share(&mut self) -> Content {
        let shared = match std::mem::replace(&mut self.place, Storage::Elsewhere(Segments::default())) {
            Storage::Shared(shared) => shared,
            own => Arc::new(own),
        };
        self.place = Storage::Shared(shared.clone());
        Content { place: Storage::Shared(shared), head: self.head.clone() }
    }

    /// Puts a header field, with its CRLF, before all that is there.
    pub(crate) fn prepend(&mut self, field: &[u8]) {
        let separator = if self.head.is_none() { self.separator() } else { "" };
        let head = self.head.get_or_insert_default();
        if !separator.is_empty() {
            head.push(separator.as_bytes());
        }
        head.push(field);
        if let Some(room) = self.place.room_mut() {
            room.add((separator.len() + field.len()) as u64);
        }
    }

    /// What has to stand between header fields and this content: an empty line if it begins with a blank, which would go on
    /// with the last of them. Such a message has no header of its own.
    pub(crate) fn separator(&self) -> &'static str {
        let mut reader = self.reader();
        // What cannot be read does not get far.
        let first = reader.fill_buf().ok().and_then(|octets| octets.first());
        if matches!(first, Some(b' ' | b'\t')) { "\r\n" } else { "" }
    }

    /// Where its server keeps content, if one received it.
    fn store(&self) -> Option<&Arc<ContentStore>> {
        self.place.room().map(ContentReservation::store)
    }

    /// One more handle to the file and what is before it, if there is one.
    ///
    /// # Errors
    /// If there is no further handle.
    #[cfg(feature = "mime")]
    pub(crate) fn spooled(&self) -> io::Result<Option<(Vec<u8>, SpoolFile)>> {
        let file = match self.place.segments() {
            Ok(_) => return Ok(None),
            Err(OnDisk::Spooled(file)) => file.try_clone()?,
            Err(OnDisk::Named(file)) => file.open()?,
        };
        Ok(Some((self.head_fields().iter().rev().flat_map(|field| field.iter().copied()).collect(), file)))
    }

    /// The length in octets.
    pub fn len(&self) -> u64 {
        let head = self.head.as_ref().map_or(0, |head| head.len());
        head + self.place.segments().map_or_else(|file| file.len(), Segments::len)
    }

    /// How many octets of memory it takes, unused room included; 0 if it is on disk.
    pub fn memory_octets(&self) -> u64 {
        let head = self.head.as_ref().map_or(0, |head| head.memory_octets());
        head + self.place.segments().map_or(0, Segments::memory_octets)
    }

    /// No longer counts it against the budgets of the server that received it.
    pub(crate) fn leave_budgets(&mut self) {
        if let Some(room) = self.place.room_mut() {
            room.leave_budgets();
        }
    }

    fn head_fields(&self) -> &[Arc<[u8]>] {
        self.head.as_ref().map_or(&[], |head| head.fields())
    }

    /// All of it in one slice, if it is.
    fn as_slice(&self) -> Option<&[u8]> {
        match self.place.segments().map(Segments::as_slices) {
            Ok((only, [])) if self.head.is_none() => Some(only),
            _ => None,
        }
    }

    /// Whether the message is empty, which is allowed.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All of the content. Up to 64 KiB are borrowed; larger content, and content with a header
    /// [before it](crate::Envelope::prepend_header), is copied into one piece of memory, or read from disk. Use
    /// [`reader`](Content::reader) to avoid the copy.
    ///
    /// # Errors
    /// Reading content that is on disk may fail.
    pub fn bytes(&self) -> io::Result<Cow<'_, [u8]>> {
        if let Some(only) = self.as_slice() {
            return Ok(Cow::Borrowed(only));
        }
        let mut octets = Vec::with_capacity(usize::try_from(self.len()).unwrap_or(0));
        self.reader().read_to_end(&mut octets)?;
        Ok(Cow::Owned(octets))
    }

    /// A reader from the start, to process the content without having all of it in memory. Each reader is independent.
    pub fn reader(&self) -> ContentReader<'_> {
        let content = match self.place.segments() {
            Ok(segments) => {
                let (first, others) = segments.as_slices();
                Source::Memory(first, others)
            }
            Err(OnDisk::Spooled(file)) => Source::Disk(BufReader::with_capacity(SEGMENT, file.reader())),
            Err(OnDisk::Named(file)) => Source::Named(BufReader::with_capacity(SEGMENT, file.reader())),
        };
        let mut reader = ContentReader { field: &[], behind: self.head_fields(), content };
        reader.begin_field();
        reader
    }

    /// Whether it is UTF-8, checked without having all of it in memory.
    pub(crate) fn is_utf8(&self) -> io::Result<bool> {
        match self.as_slice() {
            Some(only) => Ok(str::from_utf8(only).is_ok()),
            None => is_utf8(self.reader(), SEGMENT),
        }
    }

    /// All of the content as text with `\n` line ends.
    ///
    /// # Errors
    /// [`TextError::NotUtf8`] if it is not UTF-8; [`TextError::Io`] if it cannot be read.
    pub fn text(&self) -> Result<String, TextError> {
        let bytes = self.bytes().map_err(TextError::Io)?;
        let text = str::from_utf8(&bytes).map_err(TextError::NotUtf8)?;
        Ok(text.replace("\r\n", "\n"))
    }
}

impl Debug for Content {
    /// How much, not what: mail is private, and debug output ends up in logs.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("Content").field("len", &self.len()).finish_non_exhaustive()
    }
}

fn is_utf8(mut from: impl Read, segment: usize) -> io::Result<bool> {
    let mut octets = vec![0; segment + MAX_UTF8];
    // The beginning of a character whose end has not been read.
    let mut held = 0;
    loop {
        let read = match from.read(&mut octets[held..]) {
            Ok(0) => return Ok(held == 0),
            Ok(read) => read,
            Err(e) if e.kind() == ErrorKind::Interrupted => continue,
            Err(e) => return Err(e),
        };
        let filled = held + read;
        let valid = match str::from_utf8(&octets[..filled]) {
            Ok(text) => text.len(),
            Err(e) if e.error_len().is_none() => e.valid_up_to(),
            Err(_) => return Ok(false),
        };
        octets.copy_within(valid..filled, 0);
        held = filled - valid;
    }
}

/// Reads a message's [`Content`] in segments. A line or a character may begin in one segment and end in the next.
#[derive(Debug)]
pub struct ContentReader<'a> {
    // What was not read of a field before the content, and the fields behind it, from their end.
    field: &'a [u8],
    behind: &'a [Arc<[u8]>],
    content: Source<'a>,
}

#[derive(Debug)]
enum Source<'a> {
    // What was not read of a segment, and the segments behind it.
    Memory(&'a [u8], &'a [Vec<u8>]),
    Disk(BufReader<SpoolReader<'a>>),
    Named(BufReader<NamedFileReader<'a>>),
}

impl ContentReader<'_> {
    fn begin_field(&mut self) {
        if let (true, Some((next, others))) = (self.field.is_empty(), self.behind.split_last()) {
            (self.field, self.behind) = (next, others);
        }
    }
}

impl Read for ContentReader<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        // Large reads go past its buffer.
        match &mut self.content {
            Source::Disk(file) if self.field.is_empty() => return file.read(buf),
            Source::Named(file) if self.field.is_empty() => return file.read(buf),
            _ => {}
        }
        let read = self.fill_buf()?.read(buf)?;
        self.consume(read);
        Ok(read)
    }
}

impl BufRead for ContentReader<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if !self.field.is_empty() {
            return Ok(self.field);
        }
        match &mut self.content {
            Source::Memory(segment, _) => Ok(segment),
            Source::Disk(file) => file.fill_buf(),
            Source::Named(file) => file.fill_buf(),
        }
    }

    fn consume(&mut self, amount: usize) {
        if !self.field.is_empty() {
            self.field = &self.field[amount..];
            return self.begin_field();
        }
        match &mut self.content {
            Source::Memory(segment, behind) => {
                *segment = &segment[amount..];
                if let (true, Some((next, others))) = (segment.is_empty(), behind.split_first()) {
                    (*segment, *behind) = (next, others);
                }
            }
            Source::Disk(file) => file.consume(amount),
            Source::Named(file) => file.consume(amount),
        }
    }
}

/// Why content could not be returned as text.
#[derive(Debug)]
#[non_exhaustive]
pub enum TextError {
    /// It is not UTF-8.
    NotUtf8(std::str::Utf8Error),
    /// It could not be read.
    Io(io::Error),
}

impl Display for TextError {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TextError::NotUtf8(_) => "the message is not UTF-8",
            TextError::Io(_) => "the message could not be read",
        })
    }
}

impl std::error::Error for TextError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            TextError::NotUtf8(e) => Some(e),
            TextError::Io(e) => Some(e),
        }
    }
}

impl From<io::Error> for Reply {
    /// `452 4.3.1` if the disk is full or no file descriptor is left, otherwise `451 4.3.0`: the client tries again
    /// later. The error is logged and not sent, since it may contain what clients should not know. This is what lets
    /// `?` work in handlers.
    ///
    /// ```
    /// use pillarbox::{Envelope, Server};
    ///
    /// # let folder = tempfile::tempdir()?;
    /// # let path = folder.path().join("last");
    /// let server = Server::builder().serve("127.0.0.1:0", move |mail: Envelope| {
    ///     std::fs::write(&path, mail.bytes()?)?;
    ///     Ok(())
    /// })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    fn from(error: io::Error) -> Reply {
        log::error!("a message or command is refused for now: {error}");
        if is_out_of_resources(&error) { Reply::NO_STORAGE } else { Reply::LOCAL_ERROR }
    }
}

impl From<TextError> for Reply {
    /// `554 5.6.0` for a message that is not UTF-8; for an error of the system as from [`io::Error`].
    fn from(error: TextError) -> Reply {
        match error {
            TextError::NotUtf8(_) => Reply::fixed(554, Status::new(5, 6, 0), "Message is not UTF-8"),
            TextError::Io(error) => error.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::content::store::ContentStore;
    use proptest::prelude::*;
    use std::io::Write;

    fn in_memory(octets: &[u8]) -> Content {
        let mut room = ContentReservation::of(&ContentStore::new(&Config::default()));
        for (at, segment) in octets.chunks(SEGMENT).enumerate() {
            if at > 0 {
                room.segments.begin();
            }
            room.enlarge_last(segment.len());
            room.segments.extend(segment);
        }
        Content::in_memory(room)
    }

    fn on_disk(octets: &[u8]) -> Content {
        let room = ContentReservation::of(&ContentStore::new(&Config::default()));
        let mut file = room.store().spool.create().unwrap();
        file.write_all(octets).unwrap();
        Content::on_disk(file, room)
    }

    #[test]
    fn it_reads_the_same_wherever_it_is() {
        let long: Vec<u8> = (0..SEGMENT * 2 + 100).map(|n| (n / 251) as u8).collect();
        for octets in [&b""[..], b"abc", &long[..SEGMENT], &long] {
            let mut named = tempfile::NamedTempFile::new().unwrap();
            named.write_all(&[b"before", octets, b"after"].concat()).unwrap();
            let range = 6..6 + octets.len() as u64;
            let in_file = Content::in_file(named.path().to_owned(), range);
            for content in [in_memory(octets), on_disk(octets), in_file] {
                assert_eq!((content.len(), content.is_empty()), (octets.len() as u64, octets.is_empty()));
                assert!(content.bytes().unwrap() == octets);
                for _ in 0..2 {
                    let (mut all, mut segments) = (Vec::new(), Vec::new());
                    content.reader().read_to_end(&mut all).unwrap();
                    let mut reader = content.reader();
                    while !reader.fill_buf().unwrap().is_empty() {
                        let segment = reader.fill_buf().unwrap();
                        let taken = segment.len().div_ceil(2);
                        segments.extend_from_slice(&segment[..taken]);
                        reader.consume(taken);
                    }
                    assert!(all == octets && segments == octets);
                }
            }
        }
    }

    #[test]
    fn text_has_newlines() {
        for make in [in_memory, on_disk] {
            assert_eq!(make(b"a\r\nb\r\n").text().unwrap(), "a\nb\n");
            assert!(matches!(make(b"\xff").text(), Err(TextError::NotUtf8(_))));
        }
    }

    #[test]
    fn utf8_that_the_end_cuts_off_is_none() {
        for (octets, expected) in [(&b"\xe2\x82\xac"[..], true), (b"\xe2\x82", false), (b"", true), (b"a\xff", false)] {
            for make in [in_memory, on_disk] {
                assert_eq!(make(octets).is_utf8().unwrap(), expected, "{}", octets.escape_ascii());
            }
        }
    }

    proptest! {
        #[test]
        fn utf8_in_any_pieces(text in "\\PC{0,20}", damage in prop::option::of((any::<prop::sample::Index>(), any::<u8>()))) {
            let mut octets = text.into_bytes();
            if let (Some((at, octet)), false) = (damage, octets.is_empty()) {
                let at = at.index(octets.len());
                octets[at] = octet;
            }
            for segment in 1..6 {
                prop_assert_eq!(is_utf8(BufReader::with_capacity(1, &octets[..]), segment).unwrap(), str::from_utf8(&octets).is_ok());
            }
        }
    }

    #[test]
    fn what_it_shared_is_given_back() {
        let store = ContentStore::new(&Config::default());
        let mut room = ContentReservation::of(&store);
        assert!(room.hold(10) && room.grow_in_memory(7));
        let content = Content::in_memory(room);
        assert_eq!((store.held.used(), store.in_memory()), (10, 7));
        drop(content);
        assert_eq!((store.held.used(), store.in_memory()), (0, 0));
    }

    #[test]
    fn debug_shows_no_content() {
        assert!(!format!("{:?}", in_memory(b"secret")).contains("secret"));
    }

    #[test]
    fn it_can_be_sent_and_shared() {
        fn check<T: Send + Sync>() {}
        check::<Content>();
        check::<ContentReader<'_>>();
    }

    #[test]
    fn errors_of_the_system_are_for_now_and_tell_nothing() {
        let reply = Reply::from(io::Error::other("/var/lib/secret: no"));
        assert_eq!((reply.code(), reply.status()), (451, Some(Status::new(4, 3, 0))));
        assert!(!reply.text().contains("secret"));
        for kind in [ErrorKind::StorageFull, ErrorKind::QuotaExceeded] {
            assert_eq!(Reply::from(io::Error::from(kind)).status(), Some(Status::new(4, 3, 1)));
        }
    }
}
