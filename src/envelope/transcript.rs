//! What both sides said on a connection, for a test that has to find out why.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::fmt::{self, Debug, Display, Formatter};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use memchr::memmem;
use parking_lot::Mutex;

use crate::syntax::escaped::Escaped;
use crate::syntax::heap::allocation;

/// In octets, of a message's content or a chunk's: its header, most likely, and how it begins.
const MAX_CONTENT: usize = 1024;

/// In octets, of one connection. What is older goes first: why something failed stands at the end.
const MAX_OCTETS: usize = 64 * 1024;

/// How many connections are remembered.
const MAX_CONNECTIONS: usize = 100;

/// Those of SASL that clients know. A word that is none of these may be a secret in the wrong place.
const MECHANISMS: [&str; 16] = [
    "PLAIN",
    "LOGIN",
    "CRAM-MD5",
    "DIGEST-MD5",
    "SCRAM-SHA-1",
    "SCRAM-SHA-1-PLUS",
    "SCRAM-SHA-256",
    "SCRAM-SHA-256-PLUS",
    "SCRAM-SHA-512",
    "SCRAM-SHA-512-PLUS",
    "OAUTHBEARER",
    "XOAUTH2",
    "EXTERNAL",
    "ANONYMOUS",
    "NTLM",
    "GSSAPI",
];

/// An AUTH command of this argument with nothing secret: the mechanism, if it is one that is known or one of the program's `own`,
/// and `...` for what follows.
pub(crate) fn without_secret<'a>(argument: &[u8], own: impl Iterator<Item = &'a str>) -> String {
    let (name, rest) = argument.split_at(argument.iter().position(u8::is_ascii_whitespace).unwrap_or(argument.len()));
    match MECHANISMS.into_iter().chain(own).find(|known| name.eq_ignore_ascii_case(known.as_bytes())) {
        Some(known) if rest.trim_ascii().is_empty() => format!("AUTH {known}"),
        Some(known) => format!("AUTH {known} ..."),
        None if argument.is_empty() => "AUTH".to_owned(),
        None => "AUTH ...".to_owned(),
    }
}

/// Who said an [`Entry`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Direction {
    /// The client.
    Client,
    /// The server.
    Server,
    /// Neither: an event, such as a TLS handshake.
    Event,
}

/// One command, reply, run of content or event of a [`Transcript`].
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Entry {
    /// The time since the connection began.
    pub at: Duration,
    /// Who said this.
    pub direction: Direction,
    /// Whether this is content, of DATA or of one or more BDATs. Otherwise it is a command, a reply or an event.
    pub is_content: bool,
    /// A command or reply without its last CRLF; content with all CRLFs and dots, as it arrived.
    pub octets: Vec<u8>,
    /// How many octets of content were left out after these.
    pub omitted: u64,
}

impl Entry {
    /// A command, a reply or an event, at this time after the connection began. For content, also set
    /// [`is_content`](Entry::is_content) and [`omitted`](Entry::omitted).
    pub fn new(at: Duration, direction: Direction, octets: impl Into<Vec<u8>>) -> Entry {
        Entry { at, direction, is_content: false, octets: octets.into(), omitted: 0 }
    }

    /// The octets as text; those that are not UTF-8 are replaced.
    ///
    /// ```
    /// # use std::io::{Read, Write};
    /// # use std::time::Duration;
    /// use pillarbox::testing::Direction;
    ///
    /// # let inbox = pillarbox::Server::builder().inbox("127.0.0.1:0")?;
    /// # let mut client = std::net::TcpStream::connect(inbox.local_addr())?;
    /// # client.write_all(b"HELO a.example\r\nQUIT\r\n")?;
    /// # client.read_to_end(&mut Vec::new())?;
    /// # inbox.wait_until_idle(Duration::from_secs(5))?;
    /// let transcript = &inbox.transcripts()[0];
    /// let mut replies = transcript.entries().iter().filter(|entry| entry.direction == Direction::Server);
    /// assert!(replies.all(|reply| reply.text().starts_with('2')));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.octets)
    }

    /// The Subject in content, if what was sent has to be decoded to be read.
    #[cfg(feature = "mime")]
    fn decoded_subject(&self) -> Option<String> {
        let is_encoded = self.is_content && memmem::find(&self.octets, b"=?").is_some();
        let subject = is_encoded.then(|| crate::mime::subject(&self.octets[..])).flatten()?;
        memmem::find(&self.octets, subject.as_bytes()).is_none().then_some(subject)
    }

    #[cfg(not(feature = "mime"))]
    fn decoded_subject(&self) -> Option<String> {
        None
    }
}

/// Both sides of a conversation with times, as far as it went. `Display` shows what the client sent as [`Escaped`].
///
/// Of AUTH it has only the mechanism, and of content the first KiB, with `...` and a number for the rest. A long connection
/// loses its oldest entries. Commands and replies are in the order in which they took effect, so a client that pipelines seems
/// to wait for each reply.
///
/// Recorded by [`Builder::transcripts`](crate::Builder::transcripts), which an [`Inbox`](crate::Inbox) turns on.
///
/// ```
/// # use std::io::{Read, Write};
/// # use std::time::Duration;
/// let inbox = pillarbox::Server::builder().hostname("mx.example").inbox("127.0.0.1:0")?;
/// # let mut client = std::net::TcpStream::connect(inbox.local_addr())?;
/// # client.write_all(b"HELO a.example\r\nQUIT\r\n")?;
/// # client.read_to_end(&mut Vec::new())?;
/// # inbox.wait_until_idle(Duration::from_secs(5))?;
/// let text = inbox.transcripts()[0].to_string();
/// // connection 1, from 127.0.0.1:51234
/// //     0.000 S: 220 mx.example ESMTP pillarbox
/// //     0.001 C: HELO a.example
/// //     0.001 S: 250 mx.example
/// assert!(text.contains("C: HELO a.example\n"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Transcript {
    connection: u64,
    peer: Arc<str>,
    began_at: SystemTime,
    entries: Vec<Entry>,
    omitted: u64,
}

impl Transcript {
    /// A transcript from its parts; `omitted` is the number of older entries that are missing. For a program that stores messages
    /// with their transcripts and [rebuilds](crate::EnvelopeBuilder::transcript) them later.
    pub fn new(
        connection_id: u64,
        peer: impl Into<Arc<str>>,
        began_at: SystemTime,
        entries: Vec<Entry>,
        omitted: u64,
    ) -> Transcript {
        Transcript { connection: connection_id, peer: peer.into(), began_at, entries, omitted }
    }

    /// The connection's number, as in the log.
    pub fn connection_id(&self) -> u64 {
        self.connection
    }

    /// Where the client connected from, as text: an address and a port, or what is known of the other end of a Unix socket. If
    /// there is a proxy in between, this is the proxy's address.
    pub fn peer(&self) -> &str {
        &self.peer
    }

    /// When the connection began.
    pub fn began_at(&self) -> SystemTime {
        self.began_at
    }

    /// All entries, in order.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The client's commands, without content; its responses within AUTH are `...`.
    ///
    /// ```
    /// # use std::io::{Read, Write};
    /// # use std::time::Duration;
    /// # let inbox = pillarbox::Server::builder().inbox("127.0.0.1:0")?;
    /// # let mut client = std::net::TcpStream::connect(inbox.local_addr())?;
    /// # client.write_all(b"EHLO a.example\r\nMAIL FROM:<a@a.example>\r\nRCPT TO:<b@b.example>\r\nDATA\r\nNOOP\r\n.\r\n")?;
    /// let mail = inbox.recv_timeout(Duration::from_secs(5))?;
    /// let transcript = mail.transcript().ok_or("an inbox records")?;
    /// assert!(transcript.commands().eq([
    ///     "EHLO a.example",
    ///     "MAIL FROM:<a@a.example>",
    ///     "RCPT TO:<b@b.example>",
    ///     "DATA",
    /// ]));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn commands(&self) -> impl Iterator<Item = Cow<'_, str>> {
        let commands = self.entries.iter().filter(|entry| entry.direction == Direction::Client && !entry.is_content);
        commands.map(Entry::text)
    }

    /// What it takes in memory beside itself.
    pub(crate) fn heap_octets(&self) -> u64 {
        let entries: u64 = self.entries.iter().map(|entry| allocation(entry.octets.capacity())).sum();
        entries + allocation(self.entries.capacity() * size_of::<Entry>())
    }

    /// How many older entries were dropped.
    pub fn omitted(&self) -> u64 {
        self.omitted
    }
}

impl Display for Transcript {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "connection {}, from {}", self.connection, self.peer)?;
        if self.omitted > 0 {
            writeln!(f, "          -- {} entries before these are left out", self.omitted)?;
        }
        self.entries.iter().try_for_each(|entry| Display::fmt(entry, f))
    }
}

impl Debug for Transcript {
    /// How much, not what: an envelope's debug output ends up in logs.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transcript")
            .field("connection", &self.connection)
            .field("entries", &self.entries.len())
            .finish_non_exhaustive()
    }
}

impl Display for Entry {
    /// Each of its lines with `C: `, `S: ` or `-- ` before it, and before the first one the seconds. With the feature `mime`
    /// a Subject with encoded words is told once more behind the content, decoded.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let prefix = match self.direction {
            Direction::Client => "C: ",
            Direction::Server => "S: ",
            Direction::Event => "-- ",
        };
        write!(f, "{:9.3} ", self.at.as_secs_f64())?;
        let mut rest = self.octets.strip_suffix(b"\r\n").unwrap_or(&self.octets);
        while let Some(end) = memmem::find(rest, b"\r\n") {
            write!(f, "{prefix}{}\n          ", Escaped::new(&rest[..end]))?;
            rest = &rest[end + 2..];
        }
        writeln!(f, "{prefix}{}", Escaped::new(rest))?;
        if self.omitted > 0 {
            writeln!(f, "          {prefix}... {} octets more", self.omitted)?;
        }
        match self.decoded_subject() {
            Some(subject) => writeln!(f, "          -- Subject: {}", Escaped::new(&subject)),
            None => Ok(()),
        }
    }
}

/// A connection's own end of its transcript; without one it does nothing.
#[derive(Clone, Default)]
pub(crate) struct Record(Option<Arc<Recording>>);

struct Recording {
    connection: u64,
    peer: Arc<str>,
    began: (Instant, SystemTime),
    said: Mutex<Said>,
}

#[derive(Default)]
struct Said {
    entries: VecDeque<Entry>,
    octets: usize,
    omitted: u64,
    // Counted from the first of all, the first entry behind the message before.
    since: u64,
    // The last entry is content, and more of it may come.
    in_content: bool,
}

impl Record {
    /// A command line or a part of one.
    pub fn client(&self, octets: &[u8]) {
        self.push(Direction::Client, octets);
    }

    /// A reply.
    pub fn server(&self, octets: &[u8]) {
        self.push(Direction::Server, octets.strip_suffix(b"\r\n").unwrap_or(octets));
    }

    /// Something that neither side said.
    pub fn event(&self, what: fmt::Arguments<'_>) {
        if self.0.is_some() {
            self.push(Direction::Event, what.to_string().as_bytes());
        }
    }

    /// Content, as it came: run on run becomes one entry.
    pub fn content(&self, octets: &[u8]) {
        let Some(recording) = &self.0 else { return };
        if !recording.said.lock().in_content {
            recording.push(Direction::Client, &[]);
        }
        let mut said = recording.said.lock();
        said.in_content = true;
        let Some(entry) = said.entries.back_mut() else { return };
        entry.is_content = true;
        let kept = octets.len().min(MAX_CONTENT - entry.octets.len());
        let before = cost(&entry.octets);
        entry.octets.extend_from_slice(&octets[..kept]);
        entry.omitted += (octets.len() - kept) as u64;
        let more = cost(&entry.octets) - before;
        said.octets += more;
    }

    /// Everything recorded so far.
    pub fn whole(&self) -> Option<Transcript> {
        let recording = self.0.as_ref()?;
        Some(recording.transcript(&recording.said.lock(), 0))
    }

    /// What was said since the message before, or since the connection began.
    pub fn of_message(&self) -> Option<Transcript> {
        let recording = self.0.as_ref()?;
        let mut said = recording.said.lock();
        let end = said.omitted + said.entries.len() as u64;
        let since = std::mem::replace(&mut said.since, end);
        let mut transcript = recording.transcript(&said, since);
        if since > 0 {
            // The reply to the message before comes behind that, and is no part of this one.
            let begin = transcript.entries.iter().position(|entry| entry.direction == Direction::Client);
            transcript.entries.drain(..begin.unwrap_or(0));
        }
        Some(transcript)
    }

    fn push(&self, direction: Direction, octets: &[u8]) {
        if let Some(recording) = &self.0 {
            recording.push(direction, octets);
        }
    }
}

impl Recording {
    fn push(&self, direction: Direction, octets: &[u8]) {
        let at = self.began.0.elapsed();
        let mut said = self.said.lock();
        said.entries.push_back(Entry::new(at, direction, octets));
        said.octets += cost(octets);
        said.in_content = false;
        while said.octets > MAX_OCTETS
            && let Some(oldest) = said.entries.pop_front()
        {
            said.octets -= cost(&oldest.octets);
            said.omitted += 1;
        }
    }

    fn transcript(&self, said: &Said, since: u64) -> Transcript {
        let skipped = since.saturating_sub(said.omitted);
        Transcript {
            connection: self.connection,
            peer: self.peer.clone(),
            began_at: self.began.1,
            entries: said.entries.iter().skip(skipped as usize).cloned().collect(),
            omitted: said.omitted.saturating_sub(since),
        }
    }
}

/// What an entry takes in memory, which even one octet does.
fn cost(octets: &[u8]) -> usize {
    size_of::<Entry>() + allocation(octets.len()) as usize
}

/// The transcripts of a server's last connections, among them all that are open unless there are too many.
#[derive(Default)]
pub(crate) struct Transcripts(Mutex<VecDeque<Arc<Recording>>>);

impl Transcripts {
    /// Begins that of a new connection.
    #[inline(never)]
    pub fn begin(&self, connection: u64, peer: &dyn Display) -> Record {
        let recording = Arc::new(Recording {
            connection,
            peer: peer.to_string().into(),
            began: (Instant::now(), SystemTime::now()),
            said: Mutex::default(),
        });
        let mut all = self.0.lock();
        if all.len() == MAX_CONNECTIONS {
            all.pop_front();
        }
        all.push_back(recording.clone());
        Record(Some(recording))
    }

    /// As they are now, the oldest first.
    pub fn all(&self) -> Vec<Transcript> {
        let all: Vec<_> = self.0.lock().iter().cloned().collect();
        all.iter().map(|recording| recording.transcript(&recording.said.lock(), 0)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Without the times.
    fn text(transcript: &Transcript) -> String {
        transcript.to_string().lines().skip(1).map(|line| line[10..].to_owned() + "\n").collect()
    }

    #[test]
    fn every_line_tells_whose_it_is() {
        let transcripts = Transcripts::default();
        let record = transcripts.begin(7, &"192.0.2.1:25");
        record.server(b"250-one\r\n250 two\r\n");
        record.client(b"NOOP \x1b[2J");
        record.event(format_args!("TLS"));
        record.content(b"a\r\n");
        record.content(b"\r\n.\r\n");
        let [transcript] = &transcripts.all()[..] else { panic!("one connection") };
        assert_eq!(text(transcript), "S: 250-one\nS: 250 two\nC: NOOP \\x1b[2J\n-- TLS\nC: a\nC: \nC: .\n");
        assert!(transcript.to_string().starts_with("connection 7, from 192.0.2.1:25\n    0.00"), "{transcript}");
        assert_eq!(transcript.entries().len(), 4);
        assert_eq!(
            transcript.entries().iter().map(|entry| entry.is_content).collect::<Vec<_>>(),
            [false, false, false, true]
        );
        assert_eq!((transcript.peer(), transcript.commands().count()), ("192.0.2.1:25", 1));
    }

    #[cfg(feature = "mime")]
    #[test]
    fn a_subject_can_be_read() {
        let transcripts = Transcripts::default();
        let record = transcripts.begin(1, &"");
        record.content(b"Subject: =?utf-8?q?Gr=C3=BCn?=\r\n\r\n");
        record.client(b"NOOP");
        record.content(b"Subject: plain =?\r\n");
        let transcript = &transcripts.all()[0];
        let expected = "C: Subject: =?utf-8?q?Gr=C3=BCn?=\nC: \n-- Subject: Gr\u{fc}n\nC: NOOP\nC: Subject: plain =?\n";
        assert_eq!(text(transcript), expected);
    }

    #[test]
    fn content_is_cut_and_counted() {
        let transcripts = Transcripts::default();
        let record = transcripts.begin(1, &"");
        for _ in 0..3 {
            record.content(&[b'x'; 1000]);
        }
        record.client(b"NOOP");
        record.content(b"y");
        let transcript = &transcripts.all()[0];
        let [long, _, short] = transcript.entries() else { panic!("{transcript}") };
        assert_eq!((long.octets.len(), long.omitted), (MAX_CONTENT, 3000 - MAX_CONTENT as u64));
        assert_eq!((&short.octets[..], short.omitted), (&b"y"[..], 0));
        assert!(text(transcript).contains("C: ... 1976 octets more\nC: NOOP\n"), "{transcript}");
    }

    #[test]
    fn a_message_has_what_was_said_since_the_one_before() {
        let transcripts = Transcripts::default();
        let record = transcripts.begin(1, &"");
        record.client(b"MAIL one");
        assert_eq!(text(&record.of_message().unwrap()), "C: MAIL one\n");
        record.server(b"250 one is accepted");
        record.client(b"MAIL two");
        assert_eq!(text(&record.of_message().unwrap()), "C: MAIL two\n");
        assert_eq!(text(&transcripts.all()[0]), "C: MAIL one\nS: 250 one is accepted\nC: MAIL two\n");
    }

    #[test]
    fn of_auth_there_is_the_mechanism() {
        for (argument, shown) in [
            ("plain AGJvYgBzZWNyZXQ=", "AUTH PLAIN ..."),
            ("LOGIN", "AUTH LOGIN"),
            ("XOAUTH2\tdXNlcg==", "AUTH XOAUTH2 ..."),
            ("x-own AGJvYg==", "AUTH X-OWN ..."),
            ("AGJvYgBzZWNyZXQ=", "AUTH ..."),
            ("", "AUTH"),
        ] {
            assert_eq!(without_secret(argument.as_bytes(), ["X-OWN"].into_iter()), shown);
        }
    }

    #[test]
    fn what_is_old_goes_first() {
        let transcripts = Transcripts::default();
        let record = transcripts.begin(1, &"");
        for n in 0..5000 {
            record.client(format!("NOOP {n}").as_bytes());
        }
        let transcript = record.of_message().unwrap();
        let kept = transcript.entries().len() as u64;
        assert!(kept > 100 && kept < 2000, "{kept}");
        assert_eq!(transcript.omitted(), 5000 - kept);
        assert_eq!(transcript.entries().last().unwrap().octets, b"NOOP 4999");
        record.client(b"MAIL");
        assert_eq!(text(&record.of_message().unwrap()), "C: MAIL\n");
        for n in 2..=2 + MAX_CONNECTIONS as u64 {
            transcripts.begin(n, &"");
        }
        let all = transcripts.all();
        assert_eq!((all.len(), all[0].connection_id()), (MAX_CONNECTIONS, 3));
    }

    #[test]
    fn without_one_nothing_is_kept() {
        let record = Record::default();
        record.client(b"NOOP");
        assert!(record.of_message().is_none());
    }
}
