//! A message as a file: what is known of it as JSON, then its content as it came.
//!
//! The first line tells the format and how many octets the three parts have: the envelope with the conversation, what a list
//! and a search show, and the content. The second part is made anew from the others if another version wrote it.

use std::fs::File;
use std::io::{self, BufWriter, ErrorKind, IntoInnerError, Read, Write};
use std::ops::Range;
use std::path::Path;
use std::time::{Duration, SystemTime};

use pillarbox::testing::{Direction, Entry, Transcript};
use pillarbox::{Envelope, TlsInfo};
use serde::{Deserialize, Serialize};

use crate::causes::chain;
use crate::digits::parse_digits;
use crate::web::summary::Summary;

/// What a file begins with, in this format.
const FORMAT: &str = "pillarbox-message 1";

/// In octets, of the first line.
const MAX_LINE: usize = 128;

/// In octets, of each part but the content: a thousand recipients, a conversation, a certificate, the text of the message.
const MAX_PART: u64 = 64 * 1024 * 1024;

/// In octets, what is read at once. Most messages have no more that is known of them.
const PIECE: usize = 16 * 1024;

/// What is known of a message.
#[derive(Serialize, Deserialize)]
struct Known {
    id: String,
    received_at: u64,
    peer: String,
    local: String,
    hostname: String,
    helo: String,
    protocol: String,
    tls: Option<KnownTls>,
    identity: Option<String>,
    xforward: Option<String>,
    mail_from: String,
    mail_options: String,
    /// Each with its parameters.
    recipients: Vec<(String, String)>,
    conversation: Option<Conversation>,
}

#[derive(Serialize, Deserialize)]
struct KnownTls {
    version: Option<String>,
    cipher: Option<String>,
    server_name: Option<String>,
    client_certificate: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct Conversation {
    connection: u64,
    peer: String,
    began_at: u64,
    omitted: u64,
    said: Vec<Said>,
}

/// The time in nanoseconds, who, whether it is content, what, and how much of it was left out.
#[derive(Serialize, Deserialize)]
struct Said(u64, char, bool, String, u64);

/// What is shown of a message, and by which version.
#[derive(Serialize, Deserialize)]
struct Shown<S> {
    version: String,
    summary: S,
}

/// A message on disk.
pub struct Written {
    /// Without content.
    pub envelope: Envelope,
    /// Where in the file the content is.
    pub content: Range<u64>,
}

/// A message that was read from a file.
pub struct Loaded {
    /// With its content in the file.
    pub envelope: Envelope,
    pub summary: Summary,
    /// Of the file.
    pub octets: u64,
}

/// Writes a message, and has it on disk.
pub fn write(file: File, mail: &Envelope, summary: &Summary) -> io::Result<Written> {
    let known = serde_json::to_vec(&Known::of(mail))?;
    let shown = serde_json::to_vec(&Shown { version: env!("CARGO_PKG_VERSION").to_owned(), summary })?;
    let parts = [known.len() as u64, shown.len() as u64, mail.content().len()];
    let line = format!("{FORMAT} {} {} {}\n", parts[0], parts[1], parts[2]);
    if parts[0].max(parts[1]) > MAX_PART {
        return Err(invalid("too much is known of the message"));
    }
    // Before it is accepted: what could not be read later would be lost.
    let envelope = parse(&known)?;
    let mut out = BufWriter::with_capacity(64 * 1024, file);
    for part in [line.as_bytes(), &known, &shown] {
        out.write_all(part)?;
    }
    let copied = io::copy(&mut mail.content().reader(), &mut out)?;
    if copied != parts[2] {
        return Err(ErrorKind::UnexpectedEof.into());
    }
    out.into_inner().map_err(IntoInnerError::into_error)?.sync_all()?;
    let start = line.len() as u64 + parts[0] + parts[1];
    Ok(Written { envelope, content: start..start + parts[2] })
}

/// Reads a message, but for its content.
///
/// # Errors
/// If the file cannot be read, or is not as [`write`] makes it.
pub fn read(path: &Path) -> io::Result<Loaded> {
    let Opened { mut file, mut head, line, parts: [known, shown, content], octets } = open(path)?;
    // Both are small now.
    let (known, shown) = (known as usize, shown as usize);
    let missing = (line + known + shown).saturating_sub(head.len()) as u64;
    (&mut file).take(missing).read_to_end(&mut head)?;
    let part = |from: usize, length: usize| {
        head.get(line + from..line + from + length).ok_or_else(|| io::Error::from(ErrorKind::UnexpectedEof))
    };
    let envelope = parse(part(0, known)?)?.with_content_in(path, octets - content..octets);
    let shown: Option<Shown<Summary>> = serde_json::from_slice(part(known, shown)?).ok();
    let shown = shown.filter(|shown| shown.version == env!("CARGO_PKG_VERSION"));
    let summary = shown.map_or_else(|| Summary::of(&envelope), |shown| shown.summary);
    Ok(Loaded { envelope, summary, octets })
}

/// Whether a file is as long as its first line says.
///
/// # Errors
/// If it is not.
pub fn check(path: &Path) -> io::Result<()> {
    open(path).map(drop)
}

/// A file whose first line is true.
struct Opened {
    file: File,
    // What was read of it.
    head: Vec<u8>,
    // How long the first line is.
    line: usize,
    parts: [u64; 3],
    octets: u64,
}

fn open(path: &Path) -> io::Result<Opened> {
    let mut file = File::open(path)?;
    let octets = file.metadata()?.len();
    let mut head = Vec::with_capacity(PIECE);
    (&mut file).take(PIECE as u64).read_to_end(&mut head)?;
    let (line, parts) = first_line(&head).ok_or_else(|| invalid("not a message of this format"))?;
    let all = parts.iter().try_fold(line as u64, |sum, part| sum.checked_add(*part));
    if parts[0].max(parts[1]) > MAX_PART || all != Some(octets) {
        return Err(invalid("not as long as it says"));
    }
    Ok(Opened { file, head, line, parts, octets })
}

/// How long the first line is with its end, and the lengths that it tells.
fn first_line(head: &[u8]) -> Option<(usize, [u64; 3])> {
    let end = memchr::memchr(b'\n', &head[..head.len().min(MAX_LINE)])?;
    let line = str::from_utf8(&head[..end]).ok()?;
    let mut lengths = line.strip_prefix(FORMAT)?.strip_prefix(' ')?.split(' ').map(parse_digits);
    let parts = [lengths.next()??, lengths.next()??, lengths.next()??];
    lengths.next().is_none().then_some((end + 1, parts))
}

impl Known {
    fn of(mail: &Envelope) -> Known {
        Known {
            id: mail.id().to_string(),
            received_at: since_epoch(mail.received_at()),
            peer: mail.peer().to_string(),
            local: mail.local().to_string(),
            hostname: mail.hostname().to_owned(),
            helo: mail.helo().to_owned(),
            protocol: mail.protocol().to_string(),
            tls: mail.tls().map(|tls| KnownTls {
                version: tls.version.clone(),
                cipher: tls.cipher.clone(),
                server_name: tls.server_name.clone(),
                client_certificate: tls.client_certificate.as_deref().map(to_text),
            }),
            identity: mail.identity().map(str::to_owned),
            xforward: mail.xforward().map(ToString::to_string),
            mail_from: mail.mail_from().as_str().to_owned(),
            mail_options: mail.mail_options().join(" "),
            recipients: mail
                .recipients()
                .iter()
                .map(|to| (to.as_str().to_owned(), join(to.parameters().options())))
                .collect(),
            conversation: mail.transcript().map(Conversation::of),
        }
    }
}

/// The envelope of what is known, without content.
fn parse(known: &[u8]) -> io::Result<Envelope> {
    let known: Known = serde_json::from_slice(known)?;
    let mut mail = Envelope::builder()
        .id(known.id.parse().map_err(|e| invalid(chain(&e)))?)
        .received_at(time(known.received_at)?)
        .peer(known.peer.parse().map_err(|e| invalid(chain(&e)))?)
        .local(known.local.parse().map_err(|e| invalid(chain(&e)))?)
        .hostname(known.hostname)
        .helo(known.helo)
        .protocol(known.protocol.parse().map_err(|e| invalid(chain(&e)))?)
        .mail_from(known.mail_from)
        .mail_options(known.mail_options);
    for (address, options) in known.recipients {
        mail = mail.recipient_with(address, options);
    }
    if let Some(tls) = known.tls {
        let mut info = TlsInfo::default();
        (info.version, info.cipher, info.server_name) = (tls.version, tls.cipher, tls.server_name);
        info.client_certificate = tls.client_certificate.as_deref().map(to_octets).transpose()?;
        mail = mail.tls(info);
    }
    if let Some(identity) = known.identity {
        mail = mail.identity(identity);
    }
    if let Some(xforward) = known.xforward {
        mail = mail.xforward(xforward);
    }
    if let Some(conversation) = known.conversation {
        mail = mail.transcript(conversation.transcript()?);
    }
    mail.build().map_err(|e| invalid(chain(&e)))
}

impl Conversation {
    fn of(transcript: &Transcript) -> Conversation {
        let said = transcript.entries().iter().map(|entry| {
            let who = match entry.direction {
                Direction::Client => 'C',
                Direction::Server => 'S',
                Direction::Event => '-',
            };
            Said(nanoseconds(entry.at), who, entry.is_content, to_text(&entry.octets), entry.omitted)
        });
        Conversation {
            connection: transcript.connection_id(),
            peer: transcript.peer().to_owned(),
            began_at: since_epoch(transcript.began_at()),
            omitted: transcript.omitted(),
            said: said.collect(),
        }
    }

    fn transcript(self) -> io::Result<Transcript> {
        let entries = self.said.into_iter().map(|Said(at, who, is_content, text, omitted)| {
            let direction = match who {
                'C' => Direction::Client,
                'S' => Direction::Server,
                '-' => Direction::Event,
                _ => return Err(invalid("nobody has said that")),
            };
            let mut entry = Entry::new(Duration::from_nanos(at), direction, to_octets(&text)?);
            (entry.is_content, entry.omitted) = (is_content, omitted);
            Ok(entry)
        });
        let entries = entries.collect::<io::Result<_>>()?;
        Ok(Transcript::new(self.connection, self.peer, time(self.began_at)?, entries, self.omitted))
    }
}

fn join<'a>(options: impl Iterator<Item = &'a str>) -> String {
    options.collect::<Vec<_>>().join(" ")
}

/// Each octet as the character of its number.
fn to_text(octets: &[u8]) -> String {
    octets.iter().copied().map(char::from).collect()
}

fn to_octets(text: &str) -> io::Result<Vec<u8>> {
    text.chars().map(|c| u8::try_from(c).map_err(|_| invalid("not an octet"))).collect()
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

fn since_epoch(time: SystemTime) -> u64 {
    nanoseconds(time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default())
}

fn time(nanoseconds: u64) -> io::Result<SystemTime> {
    let time = SystemTime::UNIX_EPOCH.checked_add(Duration::from_nanos(nanoseconds));
    time.ok_or_else(|| invalid("no time"))
}

fn invalid(problem: impl Into<String>) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, problem.into())
}
