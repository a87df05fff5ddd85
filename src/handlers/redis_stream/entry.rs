//! A message as an entry of a stream, and back.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt::{self, Display, Formatter};
use std::io::{self, BufRead, Read};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::connection::Connection;
use super::fault::{AddError, Fault};
use crate::config::MAX_AUTH_LINE;
use crate::content::Content;
use crate::envelope::tls_info::TlsInfo;
use crate::envelope::values::Values;
use crate::envelope::{Endpoint, Envelope, Recipient};
use crate::session::is_identity;
use crate::syntax::address::is_helo_name;
use crate::syntax::number;
use crate::syntax::parameter::{MailParameters, Offered, RcptParameters};
use crate::syntax::xforward::Xforward;

/// What [`fields`] makes.
const VERSION: &str = "1";
/// What [`read`] understands: also the next, which only adds what a reader may ignore. So those who read can be upgraded after
/// those who write, and before.
const READABLE: [&str; 2] = [VERSION, "2"];

// In octets: what a server that writes entries can have received.
/// The longest argument of HELO.
const MAX_HELO: usize = 255;
/// Names of protocols, cipher suites and hosts.
const MAX_TLS_NAME: usize = 255;
/// The handshake message that a certificate is part of has no more (RFC 8446 section 4.4.2).
const MAX_CERTIFICATE: usize = (1 << 24) - 1;
/// The longest command line, whichever extensions a program adds.
const MAX_PARAMETERS: usize = MAX_AUTH_LINE;

type Field<'a> = (&'static str, Cow<'a, [u8]>);

/// The fields of a message, but for its content.
fn fields(mail: &Envelope) -> Vec<Field<'_>> {
    let owned = |text: String| Cow::Owned(text.into_bytes());
    let received_at = mail.received_at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let mut fields: Vec<Field<'_>> = vec![
        ("version", VERSION.as_bytes().into()),
        ("id", owned(mail.id.to_string())),
        ("received_at", owned(received_at.as_nanos().to_string())),
        ("peer", Cow::Owned(mail.peer.to_octets())),
        ("local", Cow::Owned(mail.local.to_octets())),
        ("hostname", mail.hostname.as_bytes().into()),
        ("helo", mail.helo.as_bytes().into()),
        ("protocol", owned(mail.protocol.to_string())),
        ("mail_from", mail.reverse_path.as_str().as_bytes().into()),
        ("mail_options", owned(mail.mail_options().join(" "))),
        ("recipients", Cow::Owned(recipients(&mail.recipients))),
    ];
    if let Some(identity) = &mail.identity {
        fields.push(("identity", identity.as_bytes().into()));
    }
    if let Some(xforward) = &mail.xforward {
        fields.push(("xforward", owned(xforward.attributes())));
    }
    if let Some(tls) = &mail.tls {
        fields.push(("tls", b"yes".into()));
        let texts = [("tls_version", &tls.version), ("tls_cipher", &tls.cipher), ("tls_server_name", &tls.server_name)];
        fields.extend(texts.into_iter().filter_map(|(name, text)| Some((name, text.as_ref()?.as_bytes().into()))));
        fields.extend(tls.client_certificate.as_ref().map(|der| ("tls_client_certificate", Cow::from(der))));
    }
    fields
}

fn recipients(recipients: &[Recipient]) -> Vec<u8> {
    let mut out = Vec::new();
    for recipient in recipients {
        netstring(&mut out, recipient.as_str());
        netstring(&mut out, &recipient.parameters().options().collect::<Vec<_>>().join(" "));
    }
    out
}

fn netstring(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(format!("{}:{text},", text.len()).as_bytes());
}

/// All fields of a message, its content last: see [`RedisStream::entry`](super::RedisStream::entry).
pub(super) fn entry(mail: &Envelope) -> io::Result<Vec<(&'static str, Vec<u8>)>> {
    check(mail)?;
    let mut entry: Vec<_> = fields(mail).into_iter().map(|(name, value)| (name, value.into_owned())).collect();
    entry.push(("content", mail.bytes()?.into_owned()));
    Ok(entry)
}

/// Whether somebody could read the entry: an authenticator may have made the identity of anything.
fn check(mail: &Envelope) -> io::Result<()> {
    if mail.identity.as_ref().is_none_or(|identity| is_identity(identity)) {
        return Ok(());
    }
    let problem = "the identity is empty, too long or has control characters";
    Err(io::Error::new(io::ErrorKind::InvalidData, problem))
}

/// A command of Redis's protocol whose last arguments are the fields of a message, names and values in turn.
///
/// A small content is copied into it; a large one is written from where it is, and never whole in memory.
pub(super) struct Command<'a> {
    head: Vec<u8>,
    rest: Option<&'a Content>,
    tail: &'a [u8],
}

/// In octets: up to which one write for all costs less than two.
const MAX_COPIED: u64 = 64 * 1024;

impl Command<'_> {
    /// `words`, then the fields; and behind it another command, or none.
    pub fn new<'a>(words: &[Vec<u8>], mail: &'a Envelope, tail: &'a [u8]) -> io::Result<Command<'a>> {
        check(mail)?;
        let fields = fields(mail);
        let length = mail.content.len();
        let is_copied = length <= MAX_COPIED;
        let mut head = Vec::with_capacity(1024 + if is_copied { usize::try_from(length).unwrap_or(0) } else { 0 });
        head.extend_from_slice(format!("*{}\r\n", words.len() + 2 * fields.len() + 2).as_bytes());
        words.iter().for_each(|word| bulk(&mut head, word));
        for (name, value) in &fields {
            bulk(&mut head, name.as_bytes());
            bulk(&mut head, value);
        }
        bulk(&mut head, b"content");
        head.extend_from_slice(format!("${length}\r\n").as_bytes());
        if !is_copied {
            return Ok(Command { head, rest: Some(&mail.content), tail });
        }
        let copied = mail.content.reader().take(length).read_to_end(&mut head)?;
        // Redis would take what follows for content.
        if copied as u64 != length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        head.extend_from_slice(b"\r\n");
        head.extend_from_slice(tail);
        Ok(Command { head, rest: None, tail })
    }

    /// Whether another answer follows its own.
    pub fn asks_for_length(&self) -> bool {
        !self.tail.is_empty()
    }

    /// Writes it. On any error the connection is of no use any more.
    pub fn write(&self, connection: &mut Connection, within: Duration) -> Result<(), AddError> {
        connection.begin_write(within);
        let unanswered = |e| AddError::from(Fault::Unanswered(e));
        connection.go_on_writing(&self.head).map_err(unanswered)?;
        let Some(content) = self.rest else { return Ok(()) };
        let (mut reader, mut left) = (content.reader(), content.len());
        while left > 0 {
            let octets = reader.fill_buf().map_err(AddError::Unreadable)?;
            let octets = &octets[..octets.len().min(usize::try_from(left).unwrap_or(usize::MAX))];
            if octets.is_empty() {
                return Err(AddError::Unreadable(io::ErrorKind::UnexpectedEof.into()));
            }
            connection.go_on_writing(octets).map_err(unanswered)?;
            let taken = octets.len();
            reader.consume(taken);
            left -= taken as u64;
        }
        connection.go_on_writing(&[b"\r\n", self.tail].concat()).map_err(unanswered)
    }
}

/// Whether it is safe in a header or a log, and has at most `max` octets.
fn is_text(text: &str, max: usize) -> bool {
    text.len() <= max && !text.chars().any(char::is_control)
}

fn bulk(out: &mut Vec<u8>, octets: &[u8]) {
    out.extend_from_slice(format!("${}\r\n", octets.len()).as_bytes());
    out.extend_from_slice(octets);
    out.extend_from_slice(b"\r\n");
}

/// Why an entry is not a message: see [`RedisStream::read`](super::RedisStream::read).
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum RedisEntryError {
    /// A field that every message has is missing; its name.
    Missing(&'static str),
    /// A field has an invalid value; its name.
    Invalid(&'static str),
    /// The entry has another format, of a much later version of this crate; its number.
    Version(String),
}

impl Display for RedisEntryError {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            RedisEntryError::Missing(name) => write!(f, "the entry has no field {name}"),
            RedisEntryError::Invalid(name) => write!(f, "the entry's field {name} has a bad value"),
            RedisEntryError::Version(version) => write!(f, "the entry's format is {version:?}, not 1 or 2"),
        }
    }
}

impl std::error::Error for RedisEntryError {}

/// The message of an entry.
pub(super) fn read<N, V>(fields: impl IntoIterator<Item = (N, V)>) -> Result<Envelope, RedisEntryError>
where
    N: AsRef<[u8]>,
    V: Into<Vec<u8>>,
{
    let fields: HashMap<Vec<u8>, Vec<u8>> =
        fields.into_iter().map(|(name, value)| (name.as_ref().to_vec(), value.into())).collect();
    let mut fields = Fields(fields);
    let version = fields.text("version")?;
    if !READABLE.contains(&version.as_str()) {
        return Err(RedisEntryError::Version(version));
    }
    let received_at = fields
        .parsed("received_at", |text| SystemTime::UNIX_EPOCH.checked_add(Duration::from_nanos(number::parse(text)?)))?;
    // A server has accepted the parameters at that time: whatever it offered.
    let offered = Offered::everything(received_at);
    let parameters = fields.parsed("mail_options", |text| {
        let fits = text.len() <= MAX_PARAMETERS;
        fits.then(|| MailParameters::parse(text.as_bytes(), offered).ok()).flatten()
    })?;
    let smtputf8 = parameters.smtputf8();
    let is_tls = fields.optional("tls", |text| text == "yes")?.is_some();
    let tls = is_tls.then(|| fields.tls()).transpose()?.map(Arc::new);
    let mut xforward = None;
    fields.optional("xforward", |text| xforward.insert(Box::<Xforward>::default()).update(text.as_bytes()).is_ok())?;
    Ok(Envelope {
        id: fields.parsed("id", |text| text.parse().ok())?,
        peer: fields.endpoint("peer")?,
        local: fields.endpoint("local")?,
        hostname: fields.parsed("hostname", |name| is_helo_name(name.as_bytes()).then(|| name.into()))?,
        helo: fields.parsed("helo", |name| (name.is_ascii() && name.len() <= MAX_HELO).then(|| name.into()))?,
        protocol: fields.parsed("protocol", |text| text.parse().ok())?,
        tls,
        identity: fields.optional("identity", is_identity)?.map(Into::into),
        xforward,
        reverse_path: fields.parsed("mail_from", |text| text.parse().ok())?,
        parameters,
        recipients: fields.parsed("recipients", |text| read_recipients(text, offered, smtputf8))?,
        content: Content::from_octets(fields.octets("content")?),
        received_at,
        values: Values::default(),
        connection_values: Arc::default(),
        transcript: None,
        reservation: None,
    })
}

fn read_recipients(mut text: &str, offered: Offered<'_>, smtputf8: bool) -> Option<Vec<Recipient>> {
    let mut recipients = Vec::new();
    while !text.is_empty() {
        let path = read_netstring(&mut text)?.parse().ok()?;
        let options = read_netstring(&mut text).filter(|options| options.len() <= MAX_PARAMETERS)?.as_bytes();
        recipients.push(Recipient::new(path, RcptParameters::parse(options, offered, smtputf8).ok()?));
    }
    Some(recipients).filter(|recipients| !recipients.is_empty())
}

/// The field of recipients with some of them alone, by their places; nothing if it is no such field.
pub(super) fn select_recipients(field: &[u8], places: &[usize]) -> Option<Vec<u8>> {
    let mut text = str::from_utf8(field).ok()?;
    let mut out = Vec::new();
    for place in 0.. {
        if text.is_empty() {
            break;
        }
        let (path, options) = (read_netstring(&mut text)?, read_netstring(&mut text)?);
        if places.contains(&place) {
            netstring(&mut out, path);
            netstring(&mut out, options);
        }
    }
    Some(out)
}

fn read_netstring<'a>(text: &mut &'a str) -> Option<&'a str> {
    let (length, rest) = text.split_once(':')?;
    let (value, rest) = rest.split_at_checked(number::parse(length)?)?;
    *text = rest.strip_prefix(',')?;
    Some(value)
}

/// The fields of an entry, in any order, unknown ones included.
struct Fields(HashMap<Vec<u8>, Vec<u8>>);

impl Fields {
    fn octets(&mut self, name: &'static str) -> Result<Vec<u8>, RedisEntryError> {
        self.0.remove(name.as_bytes()).ok_or(RedisEntryError::Missing(name))
    }

    /// A text. It may be put into a header, so it must not have control characters; no field of a message has.
    fn text(&mut self, name: &'static str) -> Result<String, RedisEntryError> {
        let text = String::from_utf8(self.octets(name)?).ok().filter(|text| is_text(text, usize::MAX));
        text.ok_or(RedisEntryError::Invalid(name))
    }

    fn optional(
        &mut self,
        name: &'static str,
        is_valid: impl FnOnce(&str) -> bool,
    ) -> Result<Option<String>, RedisEntryError> {
        if !self.0.contains_key(name.as_bytes()) {
            return Ok(None);
        }
        let text = self.text(name)?;
        if is_valid(&text) { Ok(Some(text)) } else { Err(RedisEntryError::Invalid(name)) }
    }

    fn parsed<T>(&mut self, name: &'static str, parse: impl FnOnce(&str) -> Option<T>) -> Result<T, RedisEntryError> {
        parse(&self.text(name)?).ok_or(RedisEntryError::Invalid(name))
    }

    fn endpoint(&mut self, name: &'static str) -> Result<Endpoint, RedisEntryError> {
        match Endpoint::from_octets(&self.octets(name)?) {
            Ok(Endpoint::Tcp(address)) => Ok(Endpoint::named(address)),
            endpoint => endpoint.map_err(|_| RedisEntryError::Invalid(name)),
        }
    }

    /// The facts of a TLS session, without its channel bindings, which have no meaning elsewhere.
    fn tls(&mut self) -> Result<TlsInfo, RedisEntryError> {
        let is_name = |text: &str| text.len() <= MAX_TLS_NAME;
        let client_certificate = self.0.remove(&b"tls_client_certificate"[..]);
        if client_certificate.as_ref().is_some_and(|der| der.len() > MAX_CERTIFICATE) {
            return Err(RedisEntryError::Invalid("tls_client_certificate"));
        }
        Ok(TlsInfo {
            version: self.optional("tls_version", is_name)?,
            cipher: self.optional("tls_cipher", is_name)?,
            server_name: self.optional("tls_server_name", is_name)?,
            client_certificate,
            ..TlsInfo::default()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::envelope::{MessageId, Protocol};
    use proptest::prelude::*;
    use std::net::SocketAddr;
    use std::path::Path;

    fn envelope(content: &[u8]) -> Envelope {
        let received_at = SystemTime::UNIX_EPOCH + Duration::new(1_800_000_000, 123_456_789);
        let recipient = |path: &str, options: &str| {
            let parameters = RcptParameters::parse(options.as_bytes(), Offered::everything(received_at), true);
            Recipient::new(path.parse().unwrap(), parameters.unwrap())
        };
        let options = "BODY=BINARYMIME SIZE=12 SMTPUTF8 RET=HDRS ENVID=a+2Bb+20c AUTH=x@y.example REQUIRETLS PRDR \
                       MT-PRIORITY=-3 BY=120;RT HOLDUNTIL=2999-01-01T00:00:00Z XTENANT=Blue XFLAG";
        Envelope {
            id: MessageId { server: u64::MAX, connection: 7, message: 1 },
            peer: Endpoint::Tcp("[fe80::1%3]:9".parse().unwrap()),
            local: Endpoint::Unix(Some(Path::new("/run/a b\u{fc}.sock").into())),
            hostname: "mx.example".into(),
            helo: "(what a name)".into(),
            protocol: Protocol::Utf8Lmtpsa,
            tls: Some(Arc::new(TlsInfo {
                version: Some("TLSv1.3".into()),
                client_certificate: Some(vec![0, 255]),
                ..TlsInfo::default()
            })),
            identity: Some("b\u{fc}b".into()),
            xforward: Some(Box::new(Xforward {
                helo: Some("a=b+c".to_owned()),
                address: "::1".parse().ok(),
                ..Xforward::default()
            })),
            reverse_path: "\"a, 1:b\"@client.example".parse().unwrap(),
            parameters: MailParameters::parse(options.as_bytes(), Offered::everything(received_at)).unwrap(),
            recipients: vec![
                recipient("\"3:a,\"@example.org", "NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;Bob+2B@example.org"),
                recipient("Postmaster", "XROUTE=a"),
                recipient("b\u{fc}b@[IPv6:::1]", ""),
            ],
            content: Content::from_octets(content.to_vec()),
            received_at,
            values: Values::default(),
            connection_values: Arc::default(),
            transcript: None,
            reservation: None,
        }
    }

    /// The arguments of a command, as Redis reads them.
    fn arguments(command: &[u8]) -> Vec<Vec<u8>> {
        fn number<'a>(octets: &'a [u8], mark: &[u8]) -> (usize, &'a [u8]) {
            let octets = octets.strip_prefix(mark).unwrap();
            let end = octets.windows(2).position(|pair| pair == b"\r\n").unwrap();
            (str::from_utf8(&octets[..end]).unwrap().parse().unwrap(), &octets[end + 2..])
        }
        let (count, mut rest) = number(command, b"*");
        let arguments = (0..count).map(|_| {
            let (length, octets) = number(rest, b"$");
            rest = octets[length..].strip_prefix(b"\r\n").unwrap();
            octets[..length].to_vec()
        });
        let arguments = arguments.collect();
        assert!(rest.is_empty());
        arguments
    }

    fn entry(mail: &Envelope) -> Vec<(Vec<u8>, Vec<u8>)> {
        let arguments = arguments(&Command::new(&[b"XADD".to_vec()], mail, b"").unwrap().head);
        arguments[1..].chunks(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect()
    }

    #[test]
    fn the_public_entry_is_what_goes_to_redis() {
        let mail = envelope(b"a\0\xff\r\n$3\r\n");
        let own: Vec<(Vec<u8>, Vec<u8>)> =
            super::entry(&mail).unwrap().into_iter().map(|(name, value)| (name.into(), value)).collect();
        assert_eq!(own, entry(&mail));
        let mut mail = envelope(b"");
        mail.identity = Some("bob\n".into());
        assert_eq!(super::entry(&mail).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }

    #[test]
    fn all_of_a_message_comes_back() {
        let mail = envelope(b"a\0\xff\r\n$3\r\n");
        let back = read(entry(&mail)).unwrap();
        // Its Debug shows all fields but for the content.
        assert_eq!(format!("{back:?}"), format!("{mail:?}"));
        assert_eq!(back.bytes().unwrap(), mail.bytes().unwrap());
        assert_eq!(back.received_header(), mail.received_header());
    }

    #[test]
    fn messages_that_a_program_changed_or_made() {
        let mut mail = Envelope::builder().recipient("b@example.org").content("Subject: x\n").build().unwrap();
        mail.prepend_header("X-Scanned", "yes").unwrap();
        let back = read(entry(&mail)).unwrap();
        assert_eq!(back.bytes().unwrap(), &b"X-Scanned: yes\r\nSubject: x\r\n"[..]);
        assert_eq!((back.id(), back.peer(), back.recipients()), (mail.id(), mail.peer(), mail.recipients()));
    }

    #[test]
    fn a_message_that_says_little_of_itself() {
        let mut mail = envelope(b"");
        (mail.tls, mail.identity, mail.xforward) = (None, None, None);
        mail.reverse_path = crate::syntax::address::ReversePath::Null;
        mail.parameters = MailParameters::default();
        mail.protocol = Protocol::Smtp;
        mail.peer = Endpoint::Unix(None);
        let back = read(entry(&mail)).unwrap();
        assert_eq!(format!("{back:?}"), format!("{mail:?}"));
        assert!(back.content().is_empty());
    }

    const NAMES: [&str; 14] = [
        "id",
        "received_at",
        "peer",
        "local",
        "hostname",
        "helo",
        "protocol",
        "mail_from",
        "mail_options",
        "recipients",
        "identity",
        "xforward",
        "tls",
        "tls_version",
    ];

    #[test]
    fn a_client_that_nobody_knows_stays_that() {
        let mut mail = envelope(b"");
        mail.peer = Endpoint::Unknown;
        assert_eq!(*read(entry(&mail)).unwrap().peer(), Endpoint::Unknown);
    }

    #[test]
    fn what_nobody_could_read_is_not_written() {
        for identity in ["", "bob\n", "b\u{85}"] {
            let mut mail = envelope(b"");
            mail.identity = Some(identity.into());
            assert!(Command::new(&[b"XADD".to_vec()], &mail, b"").is_err(), "{identity:?}");
        }
    }

    #[test]
    fn some_recipients_of_an_entry() {
        let entry = entry(&envelope(b"x"));
        let (_, field) = entry.iter().find(|(name, _)| name == b"recipients").unwrap();
        let of = |places: &[usize]| {
            let selected = select_recipients(field, places).unwrap();
            let changed = entry.iter().map(|(name, value)| match &name[..] {
                b"recipients" => (name.clone(), selected.clone()),
                _ => (name.clone(), value.clone()),
            });
            read(changed).unwrap().recipients
        };
        let all = envelope(b"").recipients;
        assert_eq!(of(&[0, 1, 2]), all);
        assert_eq!(of(&[2, 0]), [all[0].clone(), all[2].clone()]);
        assert_eq!(select_recipients(field, &[]), Some(vec![]));
        assert_eq!(select_recipients(b"3:a@b", &[0]), None);
    }

    #[test]
    fn what_is_no_message_is_told_by_its_field() {
        let whole = entry(&envelope(b"x"));
        for (name, _) in &whole {
            let without = whole.iter().filter(|(other, _)| other != name).cloned();
            let optional = ["identity", "xforward", "tls", "tls_version", "tls_client_certificate"];
            let name = str::from_utf8(name).unwrap();
            match read(without) {
                Ok(_) => assert!(optional.contains(&name), "{name}"),
                Err(RedisEntryError::Missing(missing)) => assert_eq!(missing, name),
                Err(e) => panic!("{name}: {e}"),
            }
        }
        for (name, bad) in [
            ("id", &b"12-1"[..]),
            ("id", b"+1-1-1"),
            ("received_at", b"-1"),
            ("received_at", b"99999999999999999999"),
            ("peer", b"192.0.2.1"),
            ("local", b"\xff"),
            ("protocol", b"HTTP"),
            ("mail_from", b"a b"),
            ("mail_options", b"FOO="),
            ("mail_options", b"BODY=9BIT"),
            ("mail_options", b"NOTIFY=NEVER"),
            ("recipients", b""),
            ("recipients", b"3:a@b,"),
            ("recipients", b"9:a@b,0:,"),
            ("recipients", b"3:a@b;0:,"),
            ("recipients", b"18446744073709551616:,"),
            ("helo", b"\xff"),
            ("helo", b"client.example\r\nX-Injected: yes"),
            ("helo", &[b'a'; 256]),
            ("hostname", b"mx\r\nX-Injected: yes"),
            ("hostname", b"mx\nX-Injected: yes"),
            ("hostname", b"mx.example\0"),
            ("hostname", b"mx example"),
            ("hostname", b"../mx"),
            ("hostname", b""),
            ("hostname", &[b'a'; 400]),
            ("hostname", "mx.\u{2028}example".as_bytes()),
            ("id", b"1-1-1\n"),
            ("received_at", b"+1"),
            ("peer", b"192.0.2.1:25\r\n"),
            ("peer", b"unix:/run/\0x"),
            ("local", b"unix:/run/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"),
            ("protocol", b"ESMTP\r\n"),
            ("mail_from", b"a@b.example\r\n"),
            ("mail_from", b"\"a\rb\"@b.example"),
            ("mail_options", b"ENVID=a\r\nb"),
            ("recipients", b"15:a@b.example\r\nX:,0:,"),
            ("recipients", b"+11:a@b.example,0:,"),
            ("identity", b"bob\r\nX-Injected: yes"),
            ("identity", b""),
            ("tls", b"no"),
            ("tls_version", b"TLSv1.3\n"),
        ] {
            let changed = whole.iter().map(|(other, value)| {
                (other.clone(), if other == name.as_bytes() { bad.to_vec() } else { value.clone() })
            });
            let expected = RedisEntryError::Invalid(
                NAMES.into_iter().find(|known| *known == name).unwrap(),
            );
            assert_eq!(read(changed).err(), Some(expected), "{}", bad.escape_ascii());
        }
        let of_version = |version: &str| whole.iter().cloned().chain([(b"version".to_vec(), version.into())]);
        assert!(read(of_version("2").chain([(b"what_is_new".to_vec(), b"\xff".to_vec())])).is_ok());
        for later in ["3", "12", "1.1", ""] {
            assert_eq!(read(of_version(later)).err(), Some(RedisEntryError::Version(later.into())));
        }
    }

    proptest! {
        #[test]
        fn any_content_and_addresses_come_back(
            content in prop::collection::vec(any::<u8>(), 0..300),
            local in "[ -~]{1,20}",
            domain in "[a-z]{1,9}(\\.[a-z0-9]{1,9}){0,3}",
            peer in any::<SocketAddr>(),
            nanos in any::<u64>(),
        ) {
            let mut mail = envelope(&content);
            let address = format!("\"{}\"@{domain}", local.replace('\\', "\\\\").replace('"', "\\\""));
            mail.reverse_path = address.parse().unwrap();
            mail.recipients = vec![Recipient::new(address.parse().unwrap(), RcptParameters::default())];
            mail.received_at = SystemTime::UNIX_EPOCH + Duration::from_nanos(nanos);
            // The flow label is not kept.
            mail.peer = Endpoint::named(SocketAddr::new(peer.ip(), peer.port()));
            let back = read(entry(&mail)).unwrap();
            prop_assert_eq!(back.bytes().unwrap(), content);
            prop_assert_eq!(back.recipients()[0].as_str(), address);
            prop_assert_eq!(format!("{:?}", back.mail_from()), format!("{:?}", mail.mail_from()));
            prop_assert_eq!(back.peer(), mail.peer());
            prop_assert_eq!(back.received_at(), mail.received_at());
        }

        #[test]
        fn no_entry_makes_it_panic(at in any::<prop::sample::Index>(), value in prop::collection::vec(any::<u8>(), 0..40)) {
            let mut entry = entry(&envelope(b"x"));
            let at = at.index(entry.len());
            entry[at].1 = value;
            let _ = read(entry);
        }
    }
}
