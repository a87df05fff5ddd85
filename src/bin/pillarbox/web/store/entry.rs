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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::web::summary::Field;

    fn written(mail: &Envelope) -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("1.mail");
        write(File::create(&path).unwrap(), mail, &Summary::of(mail)).unwrap();
        (folder, path)
    }

    /// All that is searched.
    fn all_of(summary: &Summary) -> &str {
        summary.searched(Field::Subject, Field::Text)
    }

    /// One of which all is known that there can be.
    fn rich() -> Envelope {
        let all: Vec<u8> = (0..=255).collect();
        let mut content = Entry::new(Duration::new(1, 5), Direction::Client, all.clone());
        (content.is_content, content.omitted) = (true, 9);
        let event = Entry::new(Duration::ZERO, Direction::Event, "TLS");
        let reply = Entry::new(Duration::MAX, Direction::Server, "250 OK");
        let began = SystemTime::UNIX_EPOCH + Duration::from_nanos(7);
        let mut tls = TlsInfo::default();
        (tls.version, tls.client_certificate) = (Some("TLSv1.3".to_owned()), Some(all.clone()));
        Envelope::builder()
            .received_at(SystemTime::UNIX_EPOCH + Duration::from_nanos(1_795_424_400_123_456_789))
            .peer("[fe80::1%3]:9".parse().unwrap())
            .local("unix:/run/a b\u{fc}.sock".parse().unwrap())
            .hostname("mx.example")
            .helo("(what a name)")
            .protocol("UTF8LMTPSA".parse().unwrap())
            .tls(tls)
            .identity("b\u{fc}b")
            .xforward("NAME=host.example ADDR=::1 IDENT=x+2By SOURCE=LOCAL")
            .mail_from("\"a, \\\" b\"@gr\u{fc}n.example")
            .mail_options("BODY=BINARYMIME SIZE=12 RET=HDRS ENVID=a+2Bb XOWN=x SMTPUTF8")
            .recipient_with("b\u{fc}b@[IPv6:::1]", "NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;Bob+2B@example.org")
            .recipient("Postmaster")
            .transcript(Transcript::new(3, "192.0.2.1:9", began, vec![event, content, reply], 2))
            .content(all)
            .build()
            .unwrap()
    }

    #[test]
    fn all_of_a_message_comes_back() {
        for mail in [rich(), Envelope::builder().recipient("a@b.example").build().unwrap()] {
            let (_folder, path) = written(&mail);
            let back = read(&path).unwrap();
            // Debug shows all fields but for the content and what was said.
            assert_eq!(format!("{:?}", back.envelope), format!("{mail:?}"));
            assert_eq!(back.envelope.bytes().unwrap(), mail.bytes().unwrap());
            assert_eq!(all_of(&back.summary), all_of(&Summary::of(&mail)));
            let said = |mail: &Envelope| mail.transcript().map(|said| (said.entries().to_vec(), said.to_string()));
            let expected = said(&mail).map(|(mut entries, _)| {
                // In nanoseconds there is an end.
                entries.iter_mut().for_each(|entry| entry.at = entry.at.min(Duration::from_nanos(u64::MAX)));
                entries
            });
            assert_eq!(said(&back.envelope).map(|(entries, _)| entries), expected);
            check(&path).unwrap();
        }
    }

    #[test]
    fn what_another_version_has_made_of_a_message_is_made_anew() {
        let (_folder, path) = written(&rich());
        let octets = std::fs::read(&path).unwrap();
        let version = format!("\"version\":\"{}\"", env!("CARGO_PKG_VERSION"));
        let at = memchr::memmem::find(&octets, version.as_bytes()).unwrap();
        let mut other = octets.clone();
        other[at + version.len() - 2] = b'x';
        // And in a way that shows.
        let searched = memchr::memmem::rfind(&octets, b"postmaster").unwrap();
        other[searched] = b'_';
        std::fs::write(&path, other).unwrap();
        assert!(all_of(&read(&path).unwrap().summary).contains("postmaster"));
    }

    #[test]
    fn no_file_makes_it_panic_and_half_a_one_is_none() {
        let (_folder, path) = written(&rich());
        let octets = std::fs::read(&path).unwrap();
        let size = octets.len();
        for cut in [0, 1, FORMAT.len(), 30, size / 2, size - 1] {
            std::fs::write(&path, &octets[..cut]).unwrap();
            assert!(read(&path).is_err() && check(&path).is_err(), "{cut}");
        }
        std::fs::write(&path, [&octets[..], b"x"].concat()).unwrap();
        assert!(read(&path).is_err());
        // What is behind the octets that are known is content.
        for at in 0..size - 256 {
            for octet in [b'\n', b'9', b'"', 0xff] {
                let mut other = octets.clone();
                other[at] = octet;
                std::fs::write(&path, other).unwrap();
                if let Ok(read) = read(&path) {
                    let _ = read.envelope.bytes();
                }
            }
        }
        for line in
            ["", "1", "1 2", "0 0 0 0", "+1 0 0", "18446744073709551615 0 1", "99999999999 0 0", " 1 1 1", "1 1 1 "]
        {
            std::fs::write(&path, format!("{FORMAT} {line}\n{{}}")).unwrap();
            assert!(read(&path).is_err(), "{line}");
        }
    }
}
