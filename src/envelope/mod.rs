//! A message, and what is known about how it arrived.

pub(crate) mod build;
mod change;
pub(crate) mod tls_info;
pub(crate) mod transcript;
pub(crate) mod values;

use std::borrow::Cow;
use std::fmt::{self, Debug, Display, Formatter};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;
use std::time::SystemTime;

use crate::content::store::EnvelopeReservation;
use crate::content::{Content, TextError};
use crate::envelope::tls_info::TlsInfo;
use crate::envelope::transcript::Transcript;
use crate::envelope::values::Values;
use crate::syntax::address::{AddressError, ForwardPath, ReversePath, is_helo_name};
use crate::syntax::escaped::Escaped;
use crate::syntax::heap::allocation;
use crate::syntax::network::Network;
use crate::syntax::parameter::{MailParameters, RcptParameters};
use crate::syntax::xforward::Xforward;

#[cfg(feature = "mime")]
mod parsed;

/// One end of a connection.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Endpoint {
    /// An IP address and a port.
    Tcp(SocketAddr),
    /// A Unix socket; clients' ends usually have no path.
    Unix(Option<Arc<Path>>),
    /// An end that a proxy does not name: the client of a PROXY header that is `UNKNOWN`, `UNSPEC`, `AF_UNIX` or `LOCAL`
    /// ([`proxy_protocol`](crate::Builder::proxy_protocol)), and whatever XCLIENT says is unavailable
    /// ([`xclient`](crate::Builder::xclient)). It is on no list of networks, and not on this machine.
    Unknown,
}

impl Endpoint {
    /// An end as a proxy names it. The unspecified address, which is nobody's, names nobody.
    pub(crate) fn named(address: SocketAddr) -> Endpoint {
        if address.ip().to_canonical().is_unspecified() { Endpoint::Unknown } else { Endpoint::Tcp(address) }
    }

    /// The IP address, if it has one.
    pub fn ip(&self) -> Option<IpAddr> {
        self.socket_addr().map(|addr| addr.ip())
    }

    /// The IP address and port, if it has them.
    pub fn socket_addr(&self) -> Option<SocketAddr> {
        match self {
            Endpoint::Tcp(addr) => Some(*addr),
            Endpoint::Unix(_) | Endpoint::Unknown => None,
        }
    }

    /// Whether the other end is on this machine: a loopback address or a Unix socket.
    pub fn is_loopback(&self) -> bool {
        match self {
            Endpoint::Tcp(addr) => addr.ip().to_canonical().is_loopback(),
            Endpoint::Unix(_) => true,
            Endpoint::Unknown => false,
        }
    }

    /// Whether it is an address of one of these networks.
    pub(crate) fn is_in(&self, networks: &[Network]) -> bool {
        self.ip().is_some_and(|ip| networks.iter().any(|network| network.contains(ip)))
    }
}

impl Display for Endpoint {
    /// `127.0.0.1:25`, `[::1]:25`, `unix:/run/mail.sock`, `unix:` for an end without a name, or `unknown`.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Endpoint::Tcp(addr) => Display::fmt(addr, f),
            Endpoint::Unix(Some(path)) => write!(f, "unix:{}", Escaped::new(path.as_os_str().as_encoded_bytes())),
            Endpoint::Unix(None) => f.write_str("unix:"),
            Endpoint::Unknown => f.write_str("unknown"),
        }
    }
}

/// The protocol that brought a message, by its name in Received lines (RFC 3848 and RFC 6531 section 4.3): a final `S` stands
/// for TLS, `A` for an authenticated client, `UTF8` for SMTPUTF8.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the names are the documentation")]
pub enum Protocol {
    /// The client said HELO.
    Smtp,
    Esmtp,
    Esmtps,
    Esmtpa,
    Esmtpsa,
    Lmtp,
    Lmtps,
    Lmtpa,
    Lmtpsa,
    Utf8Smtp,
    Utf8Smtps,
    Utf8Smtpa,
    Utf8Smtpsa,
    Utf8Lmtp,
    Utf8Lmtps,
    Utf8Lmtpa,
    Utf8Lmtpsa,
}

impl Protocol {
    pub(crate) fn of(lmtp: bool, extended: bool, utf8: bool, tls: bool, authenticated: bool) -> Protocol {
        use Protocol::*;
        let [plain, s, a, sa] = match (lmtp, utf8) {
            (false, _) if !extended => return Smtp,
            (false, false) => [Esmtp, Esmtps, Esmtpa, Esmtpsa],
            (false, true) => [Utf8Smtp, Utf8Smtps, Utf8Smtpa, Utf8Smtpsa],
            (true, false) => [Lmtp, Lmtps, Lmtpa, Lmtpsa],
            (true, true) => [Utf8Lmtp, Utf8Lmtps, Utf8Lmtpa, Utf8Lmtpsa],
        };
        match (tls, authenticated) {
            (false, false) => plain,
            (true, false) => s,
            (false, true) => a,
            (true, true) => sa,
        }
    }

    /// Whether a message has a reply for each of its recipients.
    pub(crate) fn is_lmtp(self) -> bool {
        use Protocol::*;
        matches!(self, Lmtp | Lmtps | Lmtpa | Lmtpsa | Utf8Lmtp | Utf8Lmtps | Utf8Lmtpa | Utf8Lmtpsa)
    }
}

impl Display for Protocol {
    /// In upper case, as in a Received line.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&format!("{self:?}").to_ascii_uppercase())
    }
}

/// Identifies a message in the 250 reply, the Received line and the log: unique on this machine, and most likely everywhere.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct MessageId {
    pub(crate) server: u64,
    pub(crate) connection: u64,
    pub(crate) message: u32,
}

impl MessageId {
    /// Has the id as text. Each acceptance contains it, and `fmt` would take more time than the rest of the reply.
    pub(crate) fn with_text<T>(&self, take: impl FnOnce(&str) -> T) -> T {
        // Written from its end, each number with a hyphen before it, into room for the longest of each.
        let mut text = [b'-'; 1 + 16 + 1 + 20 + 1 + 10];
        let mut start = put_before::<10>(&mut text, u64::from(self.message));
        start = put_before::<10>(&mut text[..start], self.connection);
        start = put_before::<16>(&mut text[..start], self.server);
        take(str::from_utf8(&text[start + 1..]).unwrap_or_default())
    }
}

/// Puts a number at the end of `text`, and says where the octet before it is.
fn put_before<const BASE: u64>(text: &mut [u8], number: u64) -> usize {
    let mut rest = number;
    let mut start = text.len();
    loop {
        start -= 1;
        text[start] = b"0123456789abcdef"[(rest % BASE) as usize];
        rest /= BASE;
        if rest == 0 {
            return start - 1;
        }
    }
}

impl Display for MessageId {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.with_text(|text| f.pad(text))
    }
}

impl FromStr for MessageId {
    type Err = MessageIdError;

    /// Takes the text that it prints as, and no other for the same id.
    fn from_str(text: &str) -> Result<MessageId, MessageIdError> {
        let mut parts = text.splitn(3, '-');
        let mut parse = || {
            let server = u64::from_str_radix(parts.next()?, 16).ok()?;
            Some(MessageId { server, connection: parts.next()?.parse().ok()?, message: parts.next()?.parse().ok()? })
        };
        // Two texts for one id would make two messages of one.
        parse().filter(|id| id.to_string() == text).ok_or(MessageIdError(()))
    }
}

/// Why a text is no [`MessageId`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MessageIdError(());

impl Display for MessageIdError {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("a message's id is like 1f2e-7-1: three numbers, the first of them hexadecimal")
    }
}

impl std::error::Error for MessageIdError {}

/// A recipient that was accepted: the forward-path and the parameters of its RCPT.
///
/// Compares with `&str` and `String` by the address.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Recipient {
    path: ForwardPath,
    parameters: RcptParameters,
}

impl Recipient {
    pub(crate) fn new(path: ForwardPath, parameters: RcptParameters) -> Recipient {
        Recipient { path, parameters }
    }

    /// What it takes in memory beside itself.
    pub(crate) fn heap_octets(&self) -> u64 {
        let path = self.path.mailbox().map_or(0, |mailbox| allocation(mailbox.as_str().len()));
        path + self.parameters.heap_octets()
    }

    /// The address.
    pub fn path(&self) -> &ForwardPath {
        &self.path
    }

    /// The address as text, as the client sent it.
    pub fn as_str(&self) -> &str {
        self.path.as_str()
    }

    /// The domain, as the client sent it. `<Postmaster>` has none, and neither has an address such as `<root>`, which only
    /// [`strict_syntax`](crate::Builder::strict_syntax) refuses.
    pub fn domain(&self) -> Option<&str> {
        self.path.domain()
    }

    /// What followed the address in RCPT.
    pub fn parameters(&self) -> &RcptParameters {
        &self.parameters
    }
}

impl FromStr for Recipient {
    type Err = AddressError;

    /// Takes an address with or without angle brackets, and has no parameters.
    fn from_str(text: &str) -> Result<Recipient, AddressError> {
        Ok(Recipient::new(text.parse()?, RcptParameters::default()))
    }
}

impl Display for Recipient {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        Display::fmt(&self.path, f)
    }
}

impl PartialEq<str> for Recipient {
    fn eq(&self, other: &str) -> bool {
        self.path == *other
    }
}

impl PartialEq<&str> for Recipient {
    fn eq(&self, other: &&str) -> bool {
        self.path == **other
    }
}

impl PartialEq<String> for Recipient {
    fn eq(&self, other: &String) -> bool {
        self.path == **other
    }
}

/// A complete message, and what is known about how it arrived. This is what a [`Handler`](crate::Handler) gets.
///
/// The content is as the client sent it, with CRLF line ends, dots unstuffed, and without the final dot. No header is added;
/// [`received_header`](Envelope::received_header) makes the trace line that you need if you store or relay the message.
/// A handler can [put headers before it](Envelope::prepend_header), [change](Envelope::rewrite) it, and give it to other
/// handlers; a program can [make](Envelope::builder) one of its own.
///
/// ```
/// use std::io::Write;
/// use std::net::TcpStream;
/// use std::time::Duration;
///
/// let inbox = pillarbox::Server::builder().inbox("127.0.0.1:0")?;
/// let mut client = TcpStream::connect(inbox.local_addr())?;
/// client.write_all(b"HELO client.example\r\nMAIL FROM:<a@client.example>\r\nRCPT TO:<b@example.org>\r\nDATA\r\n")?;
/// client.write_all(b"Subject: hello\r\n\r\nFirst line\r\n..dotted\r\n.\r\n")?;
///
/// let mail = inbox.recv_timeout(Duration::from_secs(5))?;
/// assert_eq!(mail.mail_from(), "a@client.example");
/// assert_eq!(mail.recipients(), ["b@example.org"]);
/// assert_eq!(mail.bytes()?, &b"Subject: hello\r\n\r\nFirst line\r\n.dotted\r\n"[..]);
/// assert_eq!(mail.text()?, "Subject: hello\n\nFirst line\n.dotted\n");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Envelope {
    pub(crate) id: MessageId,
    pub(crate) peer: Endpoint,
    pub(crate) local: Endpoint,
    pub(crate) hostname: Arc<str>,
    pub(crate) helo: Arc<str>,
    pub(crate) protocol: Protocol,
    pub(crate) tls: Option<Arc<TlsInfo>>,
    pub(crate) identity: Option<Arc<str>>,
    pub(crate) xforward: Option<Box<Xforward>>,
    pub(crate) reverse_path: ReversePath,
    pub(crate) parameters: MailParameters,
    pub(crate) recipients: Vec<Recipient>,
    pub(crate) content: Content,
    pub(crate) received_at: SystemTime,
    pub(crate) values: Values,
    pub(crate) connection_values: Arc<Values>,
    pub(crate) transcript: Option<Transcript>,
    /// Its part of its server's memory, but for the content's.
    pub(crate) reservation: Option<EnvelopeReservation>,
}

impl Envelope {
    /// Identifies this message in the log, in its Received line and in the client's 250.
    pub fn id(&self) -> MessageId {
        self.id
    }

    /// The client's end of the connection; behind a proxy what that says of it, [`Endpoint::Unknown`] if it says nothing.
    pub fn peer(&self) -> &Endpoint {
        &self.peer
    }

    /// The server's end of the connection.
    pub fn local(&self) -> &Endpoint {
        &self.local
    }

    /// The name of the server that received it: the setting [`hostname`](crate::Builder::hostname).
    pub fn hostname(&self) -> &str {
        &self.hostname
    }

    /// The name that the client gave in HELO or EHLO. It is a claim, and may be any printable ASCII.
    pub fn helo(&self) -> &str {
        &self.helo
    }

    /// The protocol that the client used.
    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// The TLS session, if it came over TLS.
    pub fn tls(&self) -> Option<&TlsInfo> {
        self.tls.as_deref()
    }

    /// The user, if the client has authenticated (RFC 4954).
    pub fn identity(&self) -> Option<&str> {
        self.identity.as_deref()
    }

    /// Where it came from before the client, in the client's words, if [it may say so](crate::Builder::xforward) and has.
    pub fn xforward(&self) -> Option<&Xforward> {
        self.xforward.as_deref()
    }

    /// The reverse-path, to which notices about this message go. Compares with `&str`; the null reverse-path equals `""`.
    pub fn mail_from(&self) -> &ReversePath {
        &self.reverse_path
    }

    /// What followed the reverse-path in MAIL.
    pub fn mail_parameters(&self) -> &MailParameters {
        &self.parameters
    }

    /// The parameters of MAIL in upper case, as smtpd's `mail_options` had them: `["BODY=8BITMIME", "SMTPUTF8"]`.
    pub fn mail_options(&self) -> Vec<&str> {
        self.parameters.options().collect()
    }

    /// The recipients that were accepted, in order; at least one. Each compares with `&str`.
    pub fn recipients(&self) -> &[Recipient] {
        &self.recipients
    }

    /// The message.
    pub fn content(&self) -> &Content {
        &self.content
    }

    /// The whole message as octets: short for [`Content::bytes`].
    ///
    /// # Errors
    /// Reading content that is on disk may fail.
    pub fn bytes(&self) -> io::Result<Cow<'_, [u8]>> {
        self.content.bytes()
    }

    /// The whole message as text with `\n` line ends: short for [`Content::text`]. Headers and MIME parts stay encoded as the
    /// client sent them; `parsed` (feature `mime`) decodes them.
    ///
    /// # Errors
    /// [`TextError::NotUtf8`] if it is not UTF-8; [`TextError::Io`] if it cannot be read.
    pub fn text(&self) -> Result<String, TextError> {
        self.content.text()
    }

    /// When its last octet arrived.
    pub fn received_at(&self) -> SystemTime {
        self.received_at
    }

    /// What the session's hooks attached to this transaction.
    pub fn values(&self) -> &Values {
        &self.values
    }

    /// What the session's hooks attached to the connection.
    pub fn connection_values(&self) -> &Values {
        &self.connection_values
    }

    /// The conversation that brought this message: from the end of the previous one, or the start of the connection, to its last
    /// octet. `None` unless [`transcripts`](crate::Builder::transcripts) are recorded.
    pub fn transcript(&self) -> Option<&Transcript> {
        self.transcript.as_ref()
    }

    /// How many octets of memory it takes, with its recipients, its transcript and as much of the content as is not on disk.
    /// The values that hooks attached are not counted.
    ///
    /// Nearly as much counts against [`memory_budget`](crate::Builder::memory_budget) until the envelope is dropped; it is
    /// what a program that keeps envelopes should count.
    pub fn memory_octets(&self) -> u64 {
        let list = allocation(self.recipients.capacity() * size_of::<Recipient>());
        let recipients: u64 = self.recipients.iter().map(Recipient::heap_octets).sum();
        let sender = self.reverse_path.mailbox().map_or(0, |mailbox| allocation(mailbox.as_str().len()));
        let names = allocation(self.helo.len()) + self.identity.as_ref().map_or(0, |name| allocation(name.len()));
        let transcript = self.transcript.as_ref().map_or(0, Transcript::heap_octets);
        let xforward = self.xforward.as_ref().map_or(0, |xforward| xforward.heap_octets());
        let known = sender + self.parameters.heap_octets() + names + transcript + xforward;
        allocation(size_of::<Envelope>()) + known + list + recipients + self.content.memory_octets()
    }

    /// Takes the envelope out of its server's [`memory_budget`](crate::Builder::memory_budget) and
    /// [`buffer_budget`](crate::Builder::buffer_budget), against which it would count until it is dropped. For a program that
    /// keeps messages for long and has a limit of its own: [`memory_octets`](Envelope::memory_octets) tells what to count.
    /// Content that [several envelopes](Envelope::for_recipients) have counts until the last of them is dropped.
    pub fn leave_budgets(&mut self) {
        self.reservation = None;
        self.content.leave_budgets();
    }

    /// The client's address as smtpd's `X-Peer` header has it: without the port.
    pub(crate) fn peer_name(&self) -> String {
        match &self.peer {
            Endpoint::Tcp(addr) => addr.ip().to_string(),
            local => local.to_string(),
        }
    }

    /// The trace line of RFC 5321 section 4.4 for this message, folded, with CRLF line ends. Put it before the content if you
    /// store or relay the message.
    ///
    /// It contains parsed values only. It names the recipient only if there is just one, so that it reveals no blind copy.
    pub fn received_header(&self) -> String {
        let name = if is_helo_name(self.helo.as_bytes()) { Some(&*self.helo) } else { None };
        let mut line = String::from("Received: from ");
        match (name, self.peer.ip()) {
            (Some(name), Some(ip)) => line += &format!("{name} ({})", literal(ip)),
            (Some(name), None) if self.peer == Endpoint::Unknown => line += &format!("{name} (unknown)"),
            (Some(name), None) => line += name,
            // A name that is none stays out, and the address takes its place.
            (None, Some(ip)) => line += &literal(ip),
            (None, None) if self.peer.is_loopback() => line += "localhost",
            (None, None) => line += "unknown",
        }
        line += &format!("\r\n\tby {} with {} id {}", self.hostname, self.protocol, self.id);
        if let [only] = &self.recipients[..]
            && let ForwardPath::Mailbox(only) = only.path()
        {
            line += &format!("\r\n\tfor <{only}>");
        }
        line += &format!(";\r\n\t{}\r\n", date(self.received_at));
        line
    }
}

impl AsRef<Envelope> for Envelope {
    fn as_ref(&self) -> &Envelope {
        self
    }
}

/// An address literal: RFC 5321 section 4.1.3.
fn literal(ip: IpAddr) -> String {
    match ip.to_canonical() {
        IpAddr::V4(ip) => format!("[{ip}]"),
        IpAddr::V6(ip) => format!("[IPv6:{ip}]"),
    }
}

/// RFC 5322 section 3.3 in UTC. What HTTP wants is the same, but for the zone's obsolete name.
fn date(time: SystemTime) -> String {
    // HTTP's dates begin with the epoch, and end with the year 9999.
    let time =
        time.clamp(SystemTime::UNIX_EPOCH, SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(253_402_300_799));
    httpdate::fmt_http_date(time).replace("GMT", "+0000")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn envelope(helo: &str, peer: Endpoint, recipients: &[&str]) -> Envelope {
        Envelope {
            id: MessageId { server: 0xabc, connection: 7, message: 1 },
            peer,
            local: Endpoint::Unix(None),
            hostname: "mx.example".into(),
            helo: helo.into(),
            protocol: Protocol::Esmtp,
            tls: None,
            identity: None,
            xforward: None,
            reverse_path: ReversePath::Null,
            parameters: MailParameters::default(),
            recipients: recipients
                .iter()
                .map(|r| Recipient::new(r.parse().unwrap(), RcptParameters::default()))
                .collect(),
            content: Content::default(),
            received_at: SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777),
            values: Values::default(),
            connection_values: Arc::default(),
            transcript: None,
            reservation: None,
        }
    }

    fn tcp(addr: &str) -> Endpoint {
        Endpoint::Tcp(addr.parse().unwrap())
    }

    #[test]
    fn received() {
        assert_eq!(
            envelope("client.example", tcp("192.0.2.1:9"), &["a@b.example"]).received_header(),
            "Received: from client.example ([192.0.2.1])\r\n\tby mx.example with ESMTP id abc-7-1\r\n\
             \tfor <a@b.example>;\r\n\tSun, 06 Nov 1994 08:49:37 +0000\r\n"
        );
        let two = envelope("[IPv6:::1]", tcp("[::1]:9"), &["a@b.example", "c@d.example"]).received_header();
        assert!(two.starts_with("Received: from [IPv6:::1] ([IPv6:::1])\r\n\tby") && !two.contains("for"), "{two}");
    }

    #[test]
    fn ids_as_text() {
        let text = |server, connection, message| MessageId { server, connection, message }.to_string();
        assert_eq!(text(0xabc, 7, 10), "abc-7-10");
        assert_eq!(text(0, 0, 0), "0-0-0");
        for valid in ["abc-7-10", "0-0-0", "ffffffffffffffff-18446744073709551615-4294967295"] {
            assert_eq!(valid.parse::<MessageId>().unwrap().to_string(), valid);
        }
        for bad in ["", "1-1", "1-1-1-1", "+1-1-1", "01-1-1", "A-1-1", "1-1-4294967296", "1-1-1 ", "1--1"] {
            assert_eq!(bad.parse::<MessageId>(), Err(MessageIdError(())), "{bad}");
        }
        assert_eq!(text(u64::MAX, u64::MAX, u32::MAX), "ffffffffffffffff-18446744073709551615-4294967295");
    }

    #[test]
    fn a_name_that_is_none_stays_out_of_received() {
        let header = envelope("x) by evil (", tcp("192.0.2.1:9"), &["a@b.example"]).received_header();
        assert!(header.starts_with("Received: from [192.0.2.1]\r\n\tby"), "{header}");
        let local = envelope("a b", Endpoint::Unix(None), &["Postmaster"]).received_header();
        assert!(local.starts_with("Received: from localhost\r\n\tby") && !local.contains("for"), "{local}");
        let nobody = envelope("a b", Endpoint::Unknown, &["Postmaster"]).received_header();
        assert!(nobody.starts_with("Received: from unknown\r\n\tby"), "{nobody}");
        // What it says of itself is not to pass for what we know of it.
        let claims = envelope("[127.0.0.1]", Endpoint::Unknown, &["Postmaster"]).received_header();
        assert!(claims.starts_with("Received: from [127.0.0.1] (unknown)\r\n\tby"), "{claims}");
    }

    #[test]
    fn who_is_on_this_machine() {
        let everybody = ["0.0.0.0/0".parse().unwrap(), "::/0".parse().unwrap()];
        for (endpoint, is_here, is_somebody) in [
            (tcp("127.0.0.2:9"), true, true),
            (tcp("[::1]:9"), true, true),
            (tcp("[::ffff:127.0.0.1]:9"), true, true),
            (tcp("192.0.2.1:9"), false, true),
            (Endpoint::Unix(None), true, false),
            (Endpoint::Unknown, false, false),
            (Endpoint::named("0.0.0.0:9".parse().unwrap()), false, false),
            (Endpoint::named("[::]:9".parse().unwrap()), false, false),
            (Endpoint::named("[::ffff:0.0.0.0]:9".parse().unwrap()), false, false),
        ] {
            assert_eq!((endpoint.is_loopback(), endpoint.is_in(&everybody)), (is_here, is_somebody), "{endpoint}");
        }
    }

    #[test]
    fn an_ipv4_client_on_an_ipv6_socket_is_an_ipv4_client() {
        let header = envelope("c.example", tcp("[::ffff:192.0.2.1]:9"), &["a@b.example"]).received_header();
        assert!(header.contains("([192.0.2.1])"), "{header}");
    }

    #[test]
    fn an_envelope_can_be_sent_and_shared() {
        fn check<T: Send + Sync>() {}
        check::<Envelope>();
    }
}
