//! Where mail is relayed to, and how a session there is established.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::client::{Client, ClientError, Patience, unwelcome};
use super::resolver::Resolver;
use super::target::Target;
#[cfg(feature = "auth")]
use crate::auth::{ClientExchange, Credentials, decode, encode};
use crate::config::FOREVER;
use crate::io::stream::ConnectionStream;
#[cfg(feature = "_tls")]
use crate::io::tls::client::{TlsClient, TlsLibrary};
use crate::io::transport::Transport;
use crate::io::wire::input::Input;
use crate::io::wire::line::LineReader;
#[cfg(feature = "auth")]
use crate::syntax::reply::Reply;

/// RFC 5321 section 4.5.4.2.
const SMTP_PORT: u16 = 25;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(60);
/// Together with the time to connect less than the five minutes that a client waits for us (RFC 5321 section 4.5.3.2.2).
const COMMAND_TIMEOUT: Duration = Duration::from_secs(180);
/// RFC 5321 section 4.5.3.2.6.
const DATA_TIMEOUT: Duration = Duration::from_secs(600);

const PATIENCE: Patience = Patience {
    connect: CONNECT_TIMEOUT,
    command: COMMAND_TIMEOUT,
    block: DATA_TIMEOUT,
    content: DATA_TIMEOUT,
    verdict: DATA_TIMEOUT,
};

/// A mail server to relay to: its address, and the settings for sessions with it.
///
/// Text such as `"mail.example.org:25"`, `"[2001:db8::1]:25"` or `"unix:/run/lmtp.sock"` and a [`SocketAddr`] convert
/// to it. The default port is 25. `lmtp:` in front selects LMTP. Nothing is resolved or connected before there is mail;
/// a name that cannot be resolved then counts as a server that does not answer.
///
/// ```no_run
/// use pillarbox::{Server, Upstream, UpstreamTls, handlers::Proxy};
///
/// let upstream = Upstream::from("mail.example.org:587").tls(UpstreamTls::Required).login("bob", "open sesame");
/// let server = Server::builder().serve("localhost:8025", Proxy::to(upstream))?;
/// # Ok::<(), pillarbox::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Upstream {
    target: Target,
    is_lmtp: bool,
    pub(super) hostname: Option<String>,
    #[cfg(feature = "_tls")]
    pub(super) tls: UpstreamTls,
    #[cfg(feature = "_tls")]
    pub(super) tls_name: Option<String>,
    #[cfg(feature = "_tls")]
    pub(super) library: TlsLibrary,
    #[cfg(feature = "_tls")]
    pub(super) tls_client: Option<TlsClient>,
    #[cfg(feature = "auth")]
    credentials: Option<Credentials>,
    #[cfg(feature = "auth")]
    clear_text_auth: bool,
    patience: Patience,
    // Clones ask together.
    resolver: Arc<Resolver>,
}

/// When a session with an [`Upstream`] is encrypted.
#[cfg(feature = "_tls")]
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[non_exhaustive]
pub enum UpstreamTls {
    /// Never.
    Off,
    /// If the server offers STARTTLS (RFC 3207), with any certificate; otherwise, and if the handshake fails, in clear.
    /// This protects only against passive listeners (RFC 7435).
    #[default]
    WhenOffered,
    /// By STARTTLS, with a certificate that is valid for the server's name. If that fails, no mail is sent.
    Required,
    /// From the first octet, as on port 465 (RFC 8314), with a certificate that is valid for the server's name.
    Implicit,
}

impl Upstream {
    fn new(target: Target) -> Upstream {
        Upstream {
            target,
            is_lmtp: false,
            hostname: None,
            #[cfg(feature = "_tls")]
            tls: UpstreamTls::default(),
            #[cfg(feature = "_tls")]
            tls_name: None,
            #[cfg(feature = "_tls")]
            library: TlsLibrary::default(),
            #[cfg(feature = "_tls")]
            tls_client: None,
            #[cfg(feature = "auth")]
            credentials: None,
            #[cfg(feature = "auth")]
            clear_text_auth: false,
            patience: PATIENCE,
            resolver: Arc::default(),
        }
    }

    /// A server on a Unix socket.
    #[cfg(unix)]
    pub fn unix(path: impl AsRef<std::path::Path>) -> Upstream {
        Upstream::new(Target::Path(path.as_ref().to_owned()))
    }

    /// Speaks LMTP (RFC 2033), in which the server answers for each recipient: for a mail store such as
    /// Dovecot or Cyrus. Default: SMTP.
    pub fn lmtp(mut self) -> Upstream {
        self.is_lmtp = true;
        self
    }

    /// The name to give in EHLO. Default: the relaying server's [`hostname`](crate::Builder::hostname).
    pub fn hostname(mut self, name: impl Into<String>) -> Upstream {
        self.hostname = Some(name.into());
        self
    }

    /// When the session is encrypted. Default: [`UpstreamTls::WhenOffered`].
    #[cfg(feature = "_tls")]
    pub fn tls(mut self, tls: UpstreamTls) -> Upstream {
        self.tls = tls;
        self
    }

    /// The name for which the server's certificate must be valid. Default: the host in its address.
    #[cfg(feature = "_tls")]
    pub fn tls_name(mut self, name: impl Into<String>) -> Upstream {
        self.tls_name = Some(name.into());
        self
    }

    /// TLS by native-tls with this connector, for authorities other than the system's. It is trusted to check the
    /// certificate. The type is that of native-tls 0.2, which [`native_tls`](crate::native_tls) is. Default: one that trusts
    /// the system's authorities.
    #[cfg(feature = "tls")]
    pub fn tls_connector(mut self, connector: native_tls::TlsConnector) -> Upstream {
        self.tls_client = Some(TlsClient::Native(connector));
        self
    }

    /// TLS by rustls, with the certificates that the system trusts. This is the default without the feature `tls`.
    #[cfg(feature = "rustls")]
    pub fn rustls(mut self) -> Upstream {
        (self.library, self.tls_client) = (TlsLibrary::Rustls, None);
        self
    }

    /// TLS by rustls with this configuration, which is trusted to check the certificate: for a list of authorities of your
    /// own, or a certificate to show.
    #[cfg(feature = "rustls")]
    pub fn rustls_config(mut self, config: Arc<rustls::ClientConfig>) -> Upstream {
        self.tls_client = Some(TlsClient::Rustls(config));
        self
    }

    /// Logs in before any mail, by the best of SCRAM-SHA-256, PLAIN and LOGIN that the server offers. The last two reveal
    /// the password, and are used only within TLS and to this machine, unless
    /// [`clear_text_auth`](Upstream::clear_text_auth) says otherwise. Default: none.
    #[cfg(feature = "auth")]
    pub fn login(mut self, user: &str, password: &str) -> Upstream {
        self.credentials = Some(Credentials::new(user, password));
        self
    }

    /// Whether the password may be sent where others on the network can read it. Default: false.
    #[cfg(feature = "auth")]
    pub fn clear_text_auth(mut self, allowed: bool) -> Upstream {
        self.clear_text_auth = allowed;
        self
    }

    /// How long to wait for the server at each step: to establish a session, for the reply to a command, until it has
    /// read each 64 KiB of a message, and for its reply to the message. If a step takes longer, the client gets a 4xx.
    ///
    /// It sets all of these together; after it, [`connect_timeout`](Upstream::connect_timeout),
    /// [`command_timeout`](Upstream::command_timeout) and [`data_timeout`](Upstream::data_timeout) set them one by one.
    /// The whole message still has 600 s, or this time if it is longer. If the time is too short for a slow server to
    /// reply to a message, that message arrives and its client sends it again. Default: the default of each.
    pub fn timeout(mut self, timeout: Duration) -> Upstream {
        let timeout = timeout.min(FOREVER);
        let content = DATA_TIMEOUT.max(timeout);
        self.patience = Patience { connect: timeout, command: timeout, block: timeout, content, verdict: timeout };
        self
    }

    /// How long it may take to establish a session: name resolution, all addresses, greeting, EHLO, TLS and login.
    /// Default: 60 s.
    pub fn connect_timeout(mut self, timeout: Duration) -> Upstream {
        self.patience.connect = timeout.min(FOREVER);
        self
    }

    /// How long the server may take to reply to a command. Default: 180 s, so that a client that waits five minutes
    /// (RFC 5321 section 4.5.3.2) still gets an answer.
    pub fn command_timeout(mut self, timeout: Duration) -> Upstream {
        self.patience.command = timeout.min(FOREVER);
        self
    }

    /// How long the server may take to read a message, and then to answer it. Default: 600 s each, as in RFC 5321
    /// section 4.5.3.2.6.
    pub fn data_timeout(mut self, timeout: Duration) -> Upstream {
        let timeout = timeout.min(FOREVER);
        self.patience = Patience { block: timeout, content: timeout, verdict: timeout, ..self.patience };
        self
    }

    /// The address, for a log.
    pub(crate) fn name(&self) -> String {
        match &self.target {
            Target::Name(host, port) => format!("{host}:{port}"),
            Target::Address(address) => address.to_string(),
            #[cfg(unix)]
            Target::Path(path) => format!("unix:{}", path.display()),
        }
    }

    /// The host, as a certificate names it.
    #[cfg(feature = "_tls")]
    pub(super) fn host(&self) -> String {
        match (&self.tls_name, &self.target) {
            (Some(name), _) => name.clone(),
            (None, Target::Name(host, _)) => host.clone(),
            (None, Target::Address(address)) => address.ip().to_string(),
            #[cfg(unix)]
            (None, Target::Path(_)) => "localhost".to_owned(),
        }
    }

    /// A session, past EHLO, STARTTLS and AUTH as far as they are wanted.
    pub(crate) fn connect(&self, hostname: &str) -> Result<Client, ClientError> {
        let deadline = Instant::now() + self.patience.connect;
        let mut client = self.begin(hostname, deadline)?;
        #[cfg(feature = "auth")]
        self.log_in(&mut client)?;
        client.latest = None;
        Ok(client)
    }

    /// A session, past EHLO.
    #[cfg(not(feature = "_tls"))]
    fn begin(&self, hostname: &str, deadline: Instant) -> Result<Client, ClientError> {
        let mut client = self.reach(deadline)?;
        client.welcome()?;
        self.greet(&mut client, hostname)?;
        Ok(client)
    }

    /// A connection, on which nothing was said yet.
    pub(super) fn reach(&self, deadline: Instant) -> Result<Client, ClientError> {
        let socket = self.target.connect(&self.resolver, deadline).map_err(ClientError::Connect)?;
        let timeout = self.patience.command.max(Duration::from_millis(1));
        let transport = Transport::new(socket, timeout, timeout).map_err(ClientError::Connect)?;
        Ok(Client {
            input: Input::new(ConnectionStream::new(transport), Vec::new()),
            line: LineReader::default(),
            is_lmtp: self.is_lmtp,
            offers: String::new(),
            tls: None,
            patience: self.patience,
            latest: Some(deadline),
        })
    }

    /// EHLO, and HELO where that is not understood; LHLO has no such fallback.
    pub(super) fn greet(&self, client: &mut Client, hostname: &str) -> Result<(), ClientError> {
        let hostname = self.hostname.as_deref().unwrap_or(hostname);
        let verb = if self.is_lmtp { "LHLO" } else { "EHLO" };
        let mut reply = client.command(&format!("{verb} {hostname}"))?;
        if reply.is_positive() {
            client.offers = reply.text().to_owned();
            return Ok(());
        }
        client.offers.clear();
        if !self.is_lmtp && reply.is_permanent() {
            reply = client.command(&format!("HELO {hostname}"))?;
        }
        if reply.is_positive() { Ok(()) } else { Err(unwelcome(reply)) }
    }

    #[cfg(feature = "auth")]
    fn log_in(&self, client: &mut Client) -> Result<(), ClientError> {
        let Some(credentials) = &self.credentials else { return Ok(()) };
        let may_show = self.clear_text_auth || client.tls.is_some() || client.is_local();
        let offered = client.offer("AUTH").unwrap_or_default().to_owned();
        let insecure = |why: &str| ClientError::Insecure(why.to_owned());
        let mut exchange = ClientExchange::choose(&offered, may_show, credentials)
            .ok_or_else(|| insecure("no way to log in is offered that may be used here"))?;
        let not_proven = |_| ClientError::Insecure("the server does not know the password either".to_owned());
        let initial = exchange.initial().map_err(not_proven)?;
        let mechanism = exchange.mechanism();
        let mut reply = match initial {
            Some(initial) => client.secret(&format!("AUTH {mechanism} {}", encode(&initial)))?,
            None => client.secret(&format!("AUTH {mechanism}"))?,
        };
        while reply.code() == 334 {
            let challenge = decode(reply.text().as_bytes()).map_err(|_| ClientError::Unintelligible)?;
            let answer = exchange.answer(&challenge).map_err(not_proven)?;
            reply = client.secret(&encode(&answer))?;
        }
        match reply {
            reply if !reply.is_positive() => Err(unwelcome(reply)),
            _ if !exchange.is_done() => Err(insecure("the server did not prove itself")),
            _ => Ok(()),
        }
    }
}

impl Client {
    /// The banner.
    pub(super) fn welcome(&mut self) -> Result<(), ClientError> {
        let banner = self.read_reply(self.patience.command)?;
        if banner.code() == 220 { Ok(()) } else { Err(unwelcome(banner)) }
    }

    /// As [`command`](Client::command), for what shall not be in a log.
    #[cfg(feature = "auth")]
    fn secret(&mut self, line: &str) -> Result<Reply, ClientError> {
        let line = zeroize::Zeroizing::new(format!("{line}\r\n"));
        self.send(line.as_bytes())?;
        self.read_reply(self.patience.command)
    }

    /// Whether the server is on this machine.
    #[cfg(feature = "auth")]
    fn is_local(&mut self) -> bool {
        self.input.stream_mut().transport().is_local()
    }
}

impl From<&str> for Upstream {
    fn from(text: &str) -> Upstream {
        if let Some(rest) = text.strip_prefix("lmtp:") {
            return Upstream::from(rest).lmtp();
        }
        #[cfg(unix)]
        if let Some(path) = text.strip_prefix("unix:") {
            return Upstream::unix(path);
        }
        if let Ok(address) = text.parse() {
            return Upstream::new(Target::Address(address));
        }
        let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
        if let Ok(ip) = bare.parse() {
            return Upstream::new(Target::Address(SocketAddr::new(ip, SMTP_PORT)));
        }
        let with_port = text.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse().ok()?)));
        let (host, port) = with_port.unwrap_or((text, SMTP_PORT));
        Upstream::new(Target::Name(host.to_owned(), port))
    }
}

impl From<&String> for Upstream {
    fn from(text: &String) -> Upstream {
        Upstream::from(text.as_str())
    }
}

impl From<String> for Upstream {
    fn from(text: String) -> Upstream {
        Upstream::from(text.as_str())
    }
}

impl From<SocketAddr> for Upstream {
    fn from(address: SocketAddr) -> Upstream {
        Upstream::new(Target::Address(address))
    }
}

impl From<(&str, u16)> for Upstream {
    fn from((host, port): (&str, u16)) -> Upstream {
        match host.parse() {
            Ok(ip) => Upstream::from(SocketAddr::new(ip, port)),
            Err(_) => Upstream::new(Target::Name(host.to_owned(), port)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let name = |text: &str| (Upstream::from(text).name(), Upstream::from(text).is_lmtp);
        assert_eq!(name("mail.example.org:587"), ("mail.example.org:587".into(), false));
        assert_eq!(name("mail.example.org"), ("mail.example.org:25".into(), false));
        assert_eq!(name("192.0.2.1"), ("192.0.2.1:25".into(), false));
        assert_eq!(name("[::1]:2525"), ("[::1]:2525".into(), false));
        assert_eq!(name("[::1]"), ("[::1]:25".into(), false));
        assert_eq!(name("lmtp:localhost:24"), ("localhost:24".into(), true));
        #[cfg(unix)]
        assert_eq!(name("lmtp:unix:/run/lmtp"), ("unix:/run/lmtp".into(), true));
    }
}
