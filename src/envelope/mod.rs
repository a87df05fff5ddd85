//! A message, and what is known about how it arrived.

mod endpoint;
mod message_id;
mod protocol;
mod recipient;
pub(crate) mod tls_info;
pub(crate) mod transcript;
pub(crate) mod values;

use std::borrow::Cow;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::SystemTime;

use crate::content::store::EnvelopeReservation;
use crate::content::{Content, TextError};
use crate::envelope::tls_info::TlsInfo;
use crate::envelope::transcript::Transcript;
use crate::envelope::values::Values;
use crate::syntax::address::{ForwardPath, ReversePath, is_helo_name};
use crate::syntax::date;
use crate::syntax::heap::allocation;
use crate::syntax::parameter::MailParameters;

pub use endpoint::{Endpoint, EndpointError};
pub use message_id::{MessageId, MessageIdError};
pub use protocol::{Protocol, ProtocolError};
pub use recipient::Recipient;

#[cfg(feature = "mime")]
mod parsed;

/// A complete message, and what is known about how it arrived. This is what a [`Handler`](crate::Handler) gets.
///
/// The content is as the client sent it, with CRLF line ends, dots unstuffed, and without the final dot. No header is added;
/// [`received_header`](Envelope::received_header) makes the trace line that you need if you store or relay the message.
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
        let known = sender + self.parameters.heap_octets() + names + transcript;
        allocation(size_of::<Envelope>()) + known + list + recipients + self.content.memory_octets()
    }

    /// Takes the envelope out of its server's [`memory_budget`](crate::Builder::memory_budget) and
    /// [`buffer_budget`](crate::Builder::buffer_budget), against which it would count until it is dropped. For a program that
    /// keeps messages for long and has a limit of its own: [`memory_octets`](Envelope::memory_octets) tells what to count.
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
        line += &format!(";\r\n\t{}\r\n", date::rfc5322(self.received_at));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::syntax::parameter::RcptParameters;
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
