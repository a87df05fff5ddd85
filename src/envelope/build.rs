//! Messages that a program makes.

use std::fmt::{self, Debug, Display, Formatter};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::iter;
use std::sync::Arc;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use super::{Endpoint, Envelope, MessageId, Protocol, Recipient};
use crate::content::Content;
use crate::envelope::tls_info::TlsInfo;
use crate::envelope::transcript::Transcript;
use crate::envelope::values::Values;
use crate::syntax::address::{AddressError, ForwardPath, ReversePath, is_helo_name};
use crate::syntax::parameter::{Body, MailParameters, Offered, RcptParameters};
use crate::syntax::reply::{Reply, Status};
use crate::syntax::xforward::Xforward;

/// In octets: the longest argument of HELO, and the longest name of a user.
const MAX_NAME: usize = 255;

impl Envelope {
    /// Begins an envelope of your own: for a message that a program sends by a [handler](crate::handlers), or for the unit
    /// test of a handler.
    ///
    /// ```
    /// use pillarbox::{Envelope, Handler, handlers};
    ///
    /// let mut handler = handlers::Debugging::new(Vec::new());
    /// let mail = Envelope::builder()
    ///     .mail_from("alice@example.org")
    ///     .recipient("bob@example.org")
    ///     .content("Subject: hello\n\nHello!\n")
    ///     .build()?;
    /// let response = handler.process_message(mail);
    /// # assert_eq!(response, pillarbox::Response::from(()));
    /// # Ok::<(), pillarbox::EnvelopeError>(())
    /// ```
    pub fn builder() -> EnvelopeBuilder {
        EnvelopeBuilder {
            id: None,
            peer: Endpoint::Unix(None),
            local: Endpoint::Unix(None),
            hostname: "localhost".to_owned(),
            helo: "localhost".to_owned(),
            protocol: None,
            tls: None,
            identity: None,
            xforward: None,
            transcript: None,
            mail_from: String::new(),
            mail_options: String::new(),
            recipients: Vec::new(),
            content: Vec::new(),
            received_at: None,
        }
    }
}

/// An envelope that a program makes: from [`Envelope::builder`]. Everything but a recipient has a default.
#[derive(Clone)]
#[must_use = "build() makes the envelope"]
pub struct EnvelopeBuilder {
    id: Option<MessageId>,
    peer: Endpoint,
    local: Endpoint,
    hostname: String,
    helo: String,
    protocol: Option<Protocol>,
    tls: Option<TlsInfo>,
    identity: Option<String>,
    xforward: Option<String>,
    transcript: Option<Transcript>,
    mail_from: String,
    mail_options: String,
    recipients: Vec<(String, String)>,
    content: Vec<u8>,
    received_at: Option<SystemTime>,
}

impl EnvelopeBuilder {
    /// The reverse-path, with or without angle brackets. Default: the null reverse-path.
    pub fn mail_from(mut self, address: impl Into<String>) -> EnvelopeBuilder {
        self.mail_from = address.into();
        self
    }

    /// The parameters of MAIL as a client would send them: `"BODY=8BITMIME SIZE=1000"`. SMTPUTF8 is added if an address needs
    /// it. Default: none.
    pub fn mail_options(mut self, options: impl Into<String>) -> EnvelopeBuilder {
        self.mail_options = options.into();
        self
    }

    /// Adds a recipient, with or without angle brackets. A message needs at least one.
    pub fn recipient(self, address: impl Into<String>) -> EnvelopeBuilder {
        self.recipient_with(address, "")
    }

    /// Adds several recipients.
    pub fn recipients<A: Into<String>>(self, addresses: impl IntoIterator<Item = A>) -> EnvelopeBuilder {
        addresses.into_iter().fold(self, EnvelopeBuilder::recipient)
    }

    /// Adds a recipient and the parameters of its RCPT: `"NOTIFY=NEVER"`.
    pub fn recipient_with(mut self, address: impl Into<String>, options: impl Into<String>) -> EnvelopeBuilder {
        self.recipients.push((address.into(), options.into()));
        self
    }

    /// The message. Lone CRs and LFs become CRLF, unless the options say `BODY=BINARYMIME`. It stays in memory; use
    /// [`Envelope::with_content`] for a large one. Default: empty.
    pub fn content(mut self, content: impl AsRef<[u8]>) -> EnvelopeBuilder {
        self.content = content.as_ref().to_vec();
        self
    }

    /// The client's end of the connection. By it [`Proxy`](crate::handlers::Proxy) decides whether it relays to anybody.
    /// Default: a Unix socket without a name, which is on this machine.
    pub fn peer(mut self, peer: Endpoint) -> EnvelopeBuilder {
        self.peer = peer;
        self
    }

    /// The server's end of the connection. Default: a Unix socket without a name.
    pub fn local(mut self, local: Endpoint) -> EnvelopeBuilder {
        self.local = local;
        self
    }

    /// The name of the server, by which relays greet the next one. Default: `localhost`.
    pub fn hostname(mut self, hostname: impl Into<String>) -> EnvelopeBuilder {
        self.hostname = hostname.into();
        self
    }

    /// The name that the client gave. Default: `localhost`.
    pub fn helo(mut self, name: impl Into<String>) -> EnvelopeBuilder {
        self.helo = name.into();
        self
    }

    /// The protocol. Default: ESMTP as the TLS session, the identity and SMTPUTF8 make it, such as `ESMTPA`. By LMTP a relay
    /// has a reply for each recipient.
    pub fn protocol(mut self, protocol: Protocol) -> EnvelopeBuilder {
        self.protocol = Some(protocol);
        self
    }

    /// The TLS session. Default: none.
    pub fn tls(mut self, tls: TlsInfo) -> EnvelopeBuilder {
        self.tls = Some(tls);
        self
    }

    /// The user who has authenticated. Default: nobody.
    pub fn identity(mut self, user: impl Into<String>) -> EnvelopeBuilder {
        self.identity = Some(user.into());
        self
    }

    /// Where the message came from before its client, as the attributes of an XFORWARD command: `"NAME=host.example ADDR=192.0.2.1"`.
    /// The `Display` of [`Xforward`] writes those of another envelope in this form. Default: unknown.
    pub fn xforward(mut self, attributes: impl Into<String>) -> EnvelopeBuilder {
        self.xforward = Some(attributes.into());
        self
    }

    /// The conversation that brought the message: another envelope's, or one [from parts](Transcript::new). Default: none.
    pub fn transcript(mut self, transcript: Transcript) -> EnvelopeBuilder {
        self.transcript = Some(transcript);
        self
    }

    /// The id: that of another envelope, or one from text, such as `"1f2e-7-1".parse()?`. Default: one of its own.
    pub fn id(mut self, id: MessageId) -> EnvelopeBuilder {
        self.id = Some(id);
        self
    }

    /// When it was received. Default: now.
    pub fn received_at(mut self, at: SystemTime) -> EnvelopeBuilder {
        self.received_at = Some(at);
        self
    }

    /// Makes the envelope.
    ///
    /// # Errors
    /// Nothing is in an envelope that no client could have sent: [`EnvelopeError`] says what is not possible. It converts to
    /// a [`Reply`] (`451 4.3.0`), so that `?` works in a handler.
    pub fn build(self) -> Result<Envelope, EnvelopeError> {
        let received_at = self.received_at.unwrap_or_else(SystemTime::now);
        let offered = Offered::everything(received_at);
        let address = |address: &str, source| EnvelopeError::Address { address: address.to_owned(), source };
        let reverse_path: ReversePath = self.mail_from.parse().map_err(|e| address(&self.mail_from, e))?;
        let mut paths = Vec::with_capacity(self.recipients.len());
        for (text, options) in &self.recipients {
            paths.push((text.parse::<ForwardPath>().map_err(|e| address(text, e))?, options));
        }
        // No command holds one.
        let options = iter::once(&self.mail_options).chain(self.recipients.iter().map(|(_, options)| options));
        if let Some(text) = options.into_iter().find(|text| text.chars().any(char::is_control)) {
            return Err(EnvelopeError::Parameters(text.clone()));
        }
        let parameters = |text: &str| {
            MailParameters::parse(text.as_bytes(), offered).map_err(|_| EnvelopeError::Parameters(text.to_owned()))
        };
        let mut mail_parameters = parameters(&self.mail_options)?;
        let is_ascii = reverse_path.is_ascii() && paths.iter().all(|(path, _)| path.is_ascii());
        if !is_ascii && !mail_parameters.smtputf8() {
            mail_parameters = parameters(&format!("{} SMTPUTF8", self.mail_options))?;
        }
        let mut recipients = Vec::with_capacity(paths.len());
        for (path, options) in paths {
            let parsed = RcptParameters::parse(options.as_bytes(), offered, mail_parameters.smtputf8());
            let parameters = parsed.map_err(|_| EnvelopeError::Parameters(options.to_owned()))?;
            recipients.push(Recipient::new(path, parameters));
        }
        if recipients.is_empty() {
            return Err(EnvelopeError::NoRecipients);
        }
        let is_text = |text: &str| text.len() <= MAX_NAME && !text.chars().any(char::is_control);
        if !(self.helo.is_ascii() && is_text(&self.helo) && is_helo_name(self.hostname.as_bytes())) {
            return Err(EnvelopeError::HostName);
        }
        let mut xforward = None;
        if let Some(attributes) = self.xforward {
            let known = xforward.insert(Box::<Xforward>::default()).update(attributes.as_bytes());
            known.map_err(|_| EnvelopeError::Xforward(attributes))?;
        }
        if self.identity.as_ref().is_some_and(|user| user.is_empty() || !is_text(user)) {
            return Err(EnvelopeError::Identity);
        }
        let protocol = self.protocol.unwrap_or_else(|| {
            Protocol::of(false, true, mail_parameters.smtputf8(), self.tls.is_some(), self.identity.is_some())
        });
        let content = match mail_parameters.body() {
            Some(Body::BinaryMime) => Content::from_octets(self.content),
            _ => Content::from_lines(&self.content),
        };
        Ok(Envelope {
            id: self.id.unwrap_or_else(next_id),
            peer: self.peer,
            local: self.local,
            hostname: self.hostname.into(),
            helo: self.helo.into(),
            protocol,
            tls: self.tls.map(Arc::new),
            identity: self.identity.map(Into::into),
            xforward,
            reverse_path,
            parameters: mail_parameters,
            recipients,
            content,
            received_at,
            values: Values::default(),
            connection_values: Arc::default(),
            transcript: self.transcript,
            reservation: None,
        })
    }
}

impl Debug for EnvelopeBuilder {
    /// Without the content: mail is private, and debug output ends up in logs.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("EnvelopeBuilder")
            .field("mail_from", &self.mail_from)
            .field("recipients", &self.recipients)
            .field("octets", &self.content.len())
            .finish_non_exhaustive()
    }
}

/// An id that no server gives, for its number is chance as theirs is, and counted for this process.
fn next_id() -> MessageId {
    static SERVER: LazyLock<u64> = LazyLock::new(|| RandomState::new().build_hasher().finish());
    static COUNTER: AtomicU64 = AtomicU64::new(1);
    MessageId { server: *SERVER, connection: COUNTER.fetch_add(1, Ordering::Relaxed), message: 1 }
}

/// Why an envelope could not be made: see [`EnvelopeBuilder::build`].
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum EnvelopeError {
    /// An address is invalid.
    Address {
        /// The text.
        address: String,
        /// What is wrong with it.
        source: AddressError,
    },
    /// Parameters of MAIL or RCPT are malformed, or have a bad value; the text.
    Parameters(String),
    /// There is no recipient.
    NoRecipients,
    /// The HELO name is not printable ASCII of up to 255 octets, or the server's name is no domain and no address literal.
    HostName,
    /// The identity is empty, over 255 octets, or has control characters.
    Identity,
    /// The attributes of XFORWARD, which have a malformed attribute or a bad value.
    Xforward(String),
}

impl Display for EnvelopeError {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            EnvelopeError::Address { address, .. } => write!(f, "bad address {address:?}"),
            EnvelopeError::Parameters(text) => write!(f, "bad parameters {text:?}"),
            EnvelopeError::NoRecipients => f.write_str("a message needs a recipient"),
            EnvelopeError::HostName => f.write_str("bad name of the client or the server"),
            EnvelopeError::Identity => f.write_str("bad identity"),
            EnvelopeError::Xforward(text) => write!(f, "bad attributes of XFORWARD {text:?}"),
        }
    }
}

impl std::error::Error for EnvelopeError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            EnvelopeError::Address { source, .. } => Some(source),
            _ => None,
        }
    }
}

impl From<EnvelopeError> for Reply {
    /// `451 4.3.0`: the fault is the server's own. What the error says is logged.
    fn from(error: EnvelopeError) -> Reply {
        log::error!("a message is refused for now: {error}");
        Reply::fixed(451, Status::new(4, 3, 0), "Local error in processing")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::envelope::transcript::{Direction, Entry};
    use std::time::Duration;

    #[test]
    fn what_is_not_said_has_a_default() {
        let mail = Envelope::builder().recipient("<b@example.org>").build().unwrap();
        assert_eq!(*mail.mail_from(), ReversePath::Null);
        assert!(mail.recipients() == ["b@example.org"] && mail.content().is_empty() && mail.peer().is_loopback());
        assert_eq!((mail.protocol(), mail.identity(), mail.tls()), (Protocol::Esmtp, None, None));
        let other = Envelope::builder().recipient("b@example.org").build().unwrap();
        assert_ne!(mail.id(), other.id());
        assert!(!format!("{:?}", Envelope::builder().content("secret")).contains("secret"));
        assert!(mail.received_header().starts_with("Received: from localhost\r\n\tby localhost with ESMTP id "));
    }

    #[test]
    fn all_of_it_can_be_said() {
        let first = Envelope::builder().recipient("x@y.example").build().unwrap();
        let peer = Endpoint::Tcp("192.0.2.1:9".parse().unwrap());
        let mail = Envelope::builder()
            .id(first.id())
            .peer(peer.clone())
            .local(Endpoint::Unknown)
            .hostname("mx.example")
            .helo("client.example")
            .tls(TlsInfo::default())
            .identity("bob")
            .mail_from("gr\u{fc}n@client.example")
            .mail_options("SIZE=12 BODY=8BITMIME")
            .recipients(["a@example.org", "Postmaster"])
            .recipient_with("b@example.org", "NOTIFY=NEVER")
            .content("a\nb")
            .received_at(SystemTime::UNIX_EPOCH)
            .build()
            .unwrap();
        assert_eq!((mail.id(), mail.peer(), mail.local()), (first.id(), &peer, &Endpoint::Unknown));
        assert_eq!((mail.hostname(), mail.helo(), mail.identity()), ("mx.example", "client.example", Some("bob")));
        assert_eq!(mail.protocol(), Protocol::Utf8Smtpsa);
        assert_eq!(mail.mail_options(), ["SIZE=12", "BODY=8BITMIME", "SMTPUTF8"]);
        assert_eq!(mail.recipients()[2].parameters().options().collect::<Vec<_>>(), ["NOTIFY=NEVER"]);
        assert_eq!((mail.bytes().unwrap(), mail.received_at()), (b"a\r\nb"[..].into(), SystemTime::UNIX_EPOCH));
    }

    #[test]
    fn where_it_came_from_and_what_was_said() {
        let mut hello = Entry::new(Duration::from_millis(5), Direction::Client, "HELO a");
        (hello.is_content, hello.omitted) = (true, 7);
        let began = SystemTime::UNIX_EPOCH + Duration::from_secs(1);
        let transcript = Transcript::new(3, "192.0.2.1:9", began, vec![hello.clone()], 2);
        let attributes = "NAME=host.example ADDR=192.0.2.1 PORT=9 PROTO=ESMTP SOURCE=REMOTE";
        let mail = Envelope::builder().recipient("b@example.org").xforward(attributes).transcript(transcript);
        let mail = mail.build().unwrap();
        assert_eq!(mail.xforward().unwrap().to_string(), attributes);
        let said = mail.transcript().unwrap();
        assert_eq!((said.connection_id(), said.peer(), said.began_at()), (3, "192.0.2.1:9", began));
        assert_eq!((said.entries(), said.omitted()), (&[hello][..], 2));
        for bad in ["NAME", "ADDR=x", "NAME=a\r\nRCPT=b"] {
            let error = Envelope::builder().recipient("b@example.org").xforward(bad).build().unwrap_err();
            assert_eq!(error, EnvelopeError::Xforward(bad.to_owned()));
        }
    }

    #[test]
    fn octets_without_lines_stay_as_they_are() {
        let mail = Envelope::builder().recipient("b@example.org").mail_options("BODY=BINARYMIME").content("a\nb\r");
        assert_eq!(mail.build().unwrap().bytes().unwrap(), &b"a\nb\r"[..]);
    }

    #[test]
    fn what_no_client_can_send_is_refused() {
        let valid = || Envelope::builder().recipient("b@example.org");
        assert_eq!(Envelope::builder().build().unwrap_err(), EnvelopeError::NoRecipients);
        for address in ["a b", "a@b\r\nRCPT TO:<c@d>", "", "<>"] {
            let error = valid().recipient(address).build().unwrap_err();
            assert!(matches!(&error, EnvelopeError::Address { address: named, .. } if named == address), "{error:?}");
        }
        assert!(matches!(valid().mail_from("a@b\r\nc").build(), Err(EnvelopeError::Address { .. })));
        for options in ["FOO=", "SIZE=x", "ENVID=a\r\nb"] {
            let error = valid().mail_options(options).build().unwrap_err();
            assert_eq!(error, EnvelopeError::Parameters(options.to_owned()));
        }
        assert!(matches!(valid().recipient_with("c@d.example", "NOTIFY=X").build(), Err(EnvelopeError::Parameters(_))));
        for name in ["a\r\nX: y", "gr\u{fc}n"] {
            assert_eq!(valid().helo(name).build().unwrap_err(), EnvelopeError::HostName);
            assert_eq!(valid().hostname(format!("{name} z")).build().unwrap_err(), EnvelopeError::HostName);
        }
        for user in ["", "a\nb"] {
            assert_eq!(valid().identity(user).build().unwrap_err(), EnvelopeError::Identity);
        }
    }
}
