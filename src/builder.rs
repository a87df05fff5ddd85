//! The settings of a server to be, and the ways to start it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::Receiver;

use crate::config::{Config, FOREVER, LineEnds, Rate};
use crate::consumer::Handler;
use crate::delivery::Delivery;
use crate::envelope::{Endpoint, Envelope};
use crate::error::Error;
use crate::faults::Faults;
use crate::inbox::{Inbox, Keep, Store};
use crate::listener::Listener;
use crate::network::Network;
use crate::server::Server;
use crate::session::{Session, SessionFactory};
use crate::tls::Tls;

mod start;

impl Server {
    /// The settings of a server to be, all at their defaults.
    pub fn builder() -> Builder {
        Builder::default()
    }
}

/// The settings of a server to be: see [`Server::builder`].
///
/// Each method sets what it is named after and says its default. What cannot be true together is found out when the server
/// is started, by one of [`serve`](Builder::serve), [`serve_with`](Builder::serve_with),
/// [`deliveries`](Builder::deliveries), [`inbox`](Builder::inbox) and [`manual_inbox`](Builder::manual_inbox): an
/// [`Error::Setting`]. So are a limit of 0, unless it is said that 0 is no limit, and a timeout below a millisecond.
///
/// ```
/// use std::time::Duration;
/// use pillarbox::{Server, handlers};
///
/// let server = Server::builder()
///     .hostname("mx.example.org")
///     .data_size_limit(10 * 1024 * 1024)
///     .command_timeout(Duration::from_secs(60))
///     .listen("[::1]:0")
///     .serve("127.0.0.1:0", handlers::Sink)?;
/// assert_eq!(server.local_endpoints().len(), 2);
/// # Ok::<(), pillarbox::Error>(())
/// ```
#[derive(Default)]
#[must_use = "it does nothing until a server is started with it"]
pub struct Builder {
    config: Config,
    hostname: Option<String>,
    session: Option<SessionFactory>,
    tls: Option<Tls>,
    #[cfg(feature = "auth")]
    authenticator: Option<Arc<dyn crate::auth::Authenticator>>,
    listeners: Vec<Listener>,
    // An inbox wants them and a server does not, unless it was said.
    transcripts: Option<bool>,
    faults: Option<Faults>,
}

impl Builder {
    /// The server's name: in the banner, in the reply to HELO and EHLO, and in Received lines. A domain or an address
    /// literal. Default: the machine's own name, or `localhost` if that is no domain.
    pub fn hostname(mut self, name: impl Into<String>) -> Builder {
        self.hostname = Some(name.into());
        self
    }

    /// The largest message, in octets; 0 is no limit. Announced by SIZE (RFC 1870); a larger one is refused with
    /// `552 5.3.4`. Default: 33,554,432.
    pub fn data_size_limit(mut self, octets: u64) -> Builder {
        self.config.data_size_limit = octets;
        self
    }

    /// The most recipients of a message; those beyond are refused with `452 4.5.3`, so that the client sends them the
    /// message in a second transaction. Announced by LIMITS (RFC 9422). RFC 5321 section 4.5.3.1.8 wants at least 100.
    /// Default: 1,000.
    pub fn max_recipients(mut self, recipients: usize) -> Builder {
        self.config.max_recipients = recipients;
        self
    }

    /// The most connections at once, each of which takes a thread; one more is refused with `421 4.3.2`. When nearly as
    /// many are in use clients have to hurry: see [`stress_timeout`](Builder::stress_timeout). Default: 1,000.
    pub fn max_connections(mut self, connections: usize) -> Builder {
        self.config.max_connections = connections;
        self
    }

    /// What takes the place of a longer [`command_timeout`](Builder::command_timeout) under stress: while over 90 % of
    /// [`max_connections`](Builder::max_connections) are in use, and then until fewer than 75 % have been for twice this
    /// time. Clients that have waited for longer when a further one connects are sent away as if they were late. Under stress
    /// 3 errors or 10 commands that bring no mail forward also end a connection, however many
    /// [`max_errors`](Builder::max_errors) and [`max_junk`](Builder::max_junk) allow. `None` is no such thing. Default:
    /// 30 s.
    pub fn stress_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Builder {
        self.config.stress_timeout = timeout.into().map(|timeout| timeout.min(FOREVER));
        self
    }

    /// The most connections at once from one IP address; one more is refused with `421 4.7.0`. Default: none.
    pub fn max_connections_per_address(mut self, connections: impl Into<Option<usize>>) -> Builder {
        self.config.max_connections_per_address = connections.into();
        self
    }

    /// The most connections at once from one network; one more is refused with `421 4.7.0`. A network is what one client
    /// usually has: an IPv4 address or, since a machine with IPv6 chooses half of its address as it likes, the IPv6
    /// addresses that have the first 64 bits in common. Default: none.
    pub fn max_connections_per_network(mut self, connections: impl Into<Option<usize>>) -> Builder {
        self.config.max_connections_per_network = connections.into();
        self
    }

    /// The most connections from one [network](Builder::max_connections_per_network) within a time that begins with the
    /// first of them, those that are refused included; one more is refused with `421 4.7.0`. So many networks are
    /// remembered as come in that time, but not more than some ten thousand. Default: none.
    pub fn max_connection_rate(mut self, connections: usize, per: Duration) -> Builder {
        self.config.max_connection_rate = Some(Rate { max: connections, per });
        self
    }

    /// The most refused commands, failed authentications among them, from one
    /// [network](Builder::max_connections_per_network) within a time that begins with the first of them, over all of its
    /// connections. The connection that comes to so many is ended with `421 4.7.0`, and so is each new one for the rest of
    /// that time. Remembered as for [`max_connection_rate`](Builder::max_connection_rate). Default: none.
    pub fn max_error_rate(mut self, errors: usize, per: Duration) -> Builder {
        self.config.max_error_rate = Some(Rate { max: errors, per });
        self
    }

    /// How long a client may take for a command, from the moment that the server waits for it to its last octet, and for
    /// taking replies. Past it, it reads `421 4.4.2` and is gone. Default: 300 s, as RFC 5321 section 4.5.3.2.7 asks.
    pub fn command_timeout(mut self, timeout: Duration) -> Builder {
        self.config.command_timeout = timeout;
        self
    }

    /// How long a client may pause within the content of a message. Content that drips slower than 500 octets a second
    /// may not take much longer in all. Default: 180 s, as RFC 5321 section 4.5.3.2.5 asks.
    pub fn data_timeout(mut self, timeout: Duration) -> Builder {
        self.config.data_timeout = timeout;
        self
    }

    /// How long a client waits for the handler; past it, it reads `451 4.3.0`. Default: 600 s, the time that RFC 5321
    /// section 4.5.3.2.6 has clients wait.
    pub fn handler_timeout(mut self, timeout: Duration) -> Builder {
        self.config.handler_timeout = timeout;
        self
    }

    /// How many refused commands end a connection with `421 4.7.0`; an accepted message sets the count back. 0 is no limit.
    /// Default: 20.
    pub fn max_errors(mut self, errors: usize) -> Builder {
        self.config.max_errors = errors;
        self
    }

    /// How many commands that bring no message forward (NOOP, RSET, VRFY, EHLO, an empty BDAT ...) end a connection with
    /// `421 4.7.0`; an accepted message sets the count back. 0 is no limit. Default: 100.
    pub fn max_junk(mut self, commands: usize) -> Builder {
        self.config.max_junk = commands;
        self
    }

    /// The most octets of content held at once, in memory and on disk, counted over all connections and all envelopes not
    /// dropped yet; past it messages are refused with `452 4.3.1`: before their content is sent if none is left by then, or
    /// less than the client announces by SIZE. Default: 2 GiB.
    pub fn buffer_budget(mut self, octets: u64) -> Builder {
        self.config.buffer_budget = octets;
        self
    }

    /// The octets of messages in memory: those of content, counted as for [`buffer_budget`](Builder::buffer_budget), past which messages larger
    /// than the [`spool_threshold`](Builder::spool_threshold) go to disk: a message that grows on takes with it what of it
    /// was in memory. 0 sends all of them there, and `u64::MAX` none. Default: 64 MiB.
    ///
    /// A message that goes to disk costs more of the processor's time than one that does not, since it is written and read
    /// once more. So as long as there are few at a time, all of them are spared that, large ones too; and when there are
    /// many, memory stays within this limit and one threshold for each message.
    ///
    /// Recipients cannot go to disk. With their parameters, and with the envelope and its transcript once there is a message,
    /// they count here by what they take in memory, until the envelope is dropped. One message may have a quarter of the
    /// budget for that, and all together the whole of it, of which the last quarter is for those that need no more than
    /// 16 KiB; past it RCPT is refused with `452 4.3.1`, and the recipients before stay. Messages that need no more than
    /// 16 KiB, some hundred recipients, are taken up to 16 MiB beyond the budget, so that nobody is kept from sending a small
    /// message, and also where the budget is 0. [`Envelope::leave_budgets`](crate::Envelope::leave_budgets) is for programs
    /// that keep envelopes within a limit of their own.
    pub fn memory_budget(mut self, octets: u64) -> Builder {
        self.config.memory_budget = octets;
        self
    }

    /// The size, in octets, up to which a message is kept in memory in any case; a larger one goes to disk while the
    /// [`memory_budget`](Builder::memory_budget) is used up. Default: 65,536.
    ///
    /// There it is in a file without a name, which nobody else can find and which is gone with the envelope, or with the
    /// process however that ends. Handlers do not see a difference: see [`Content`](crate::Content). An envelope takes a
    /// file descriptor as long as its content is on disk. If the disk is full, or there are no descriptors, the message is
    /// refused with `452 4.3.1`; if it fails otherwise, with `451 4.3.0`.
    pub fn spool_threshold(mut self, octets: u64) -> Builder {
        self.config.spool_threshold = octets;
        self
    }

    /// The folder for messages that go to disk: see [`spool_threshold`](Builder::spool_threshold). It has to be there when
    /// the server starts. Default: the system's for temporary files, [`std::env::temp_dir`]; where that is in memory, as
    /// `/tmp` is on some Linux systems, choose another one.
    pub fn spool_folder(mut self, folder: impl Into<PathBuf>) -> Builder {
        self.config.spool_folder = Some(folder.into());
        self
    }

    /// Whether SMTPUTF8 (RFC 6531) is offered: addresses may then hold UTF-8. Not together with
    /// [`decode_data`](Builder::decode_data). Default: false.
    pub fn smtputf8(mut self, offered: bool) -> Builder {
        self.config.smtputf8 = offered;
        self
    }

    /// Whether content is text: then 8BITMIME is not offered, and a message that is not UTF-8 is refused with `554 5.6.0`,
    /// so that [`Envelope::text`](crate::Envelope::text) cannot fail. Default: false.
    pub fn decode_data(mut self, decoded: bool) -> Builder {
        self.config.decode_data = decoded;
        self
    }

    /// What becomes of CRs and LFs that stand alone in a message. Default: [`LineEnds::Normalize`].
    pub fn line_ends(mut self, policy: LineEnds) -> Builder {
        self.config.line_ends = policy;
        self
    }

    /// Whether what smtpd let pass is refused: a path without angle brackets, a blank behind `FROM:` or `TO:`, and a name
    /// in HELO and EHLO that is neither domain nor address literal. Default: false.
    pub fn strict_syntax(mut self, strict: bool) -> Builder {
        self.config.strict_syntax = strict;
        self
    }

    /// The most messages that an [`Inbox`] holds; past it messages are refused with `452 4.3.1`. Default: 10,000.
    ///
    /// They count against [`memory_budget`](Builder::memory_budget) and [`buffer_budget`](Builder::buffer_budget) too, so
    /// that an inbox which nobody empties may be full before: with the default budgets at some 20,000 small messages, or at
    /// 1,000 with long conversations or many recipients each.
    pub fn inbox_capacity(mut self, messages: usize) -> Builder {
        self.config.inbox_capacity = messages;
        self
    }

    /// How many consumer threads there are, each with a handler of its own: see [`serve_with`](Builder::serve_with).
    /// Default: 1.
    pub fn consumers(mut self, threads: usize) -> Builder {
        self.config.consumers = threads;
        self
    }

    /// How many messages may wait for a consumer; connections with a further one wait until there is room. 0 hands each
    /// over directly. Default: 1,024.
    pub fn queue_capacity(mut self, messages: usize) -> Builder {
        self.config.queue_capacity = messages;
        self
    }

    /// The stack of a worker thread, in octets. The hooks of a [`Session`] run on it; handlers do not. Memory is only
    /// taken for what is used. Default: 256 KiB.
    pub fn worker_stack(mut self, octets: usize) -> Builder {
        self.config.worker_stack = octets;
        self
    }

    /// Whether TCP listeners are bound with SO_REUSEPORT, so that several processes can share a port. Default: false.
    pub fn reuse_port(mut self, reuse: bool) -> Builder {
        self.config.reuse_port = reuse;
        self
    }

    /// Speaks LMTP (RFC 2033) in SMTP's place: clients say LHLO, and after a message they read a reply for each of its
    /// recipients. Meant for a mail system's own machines; not for port 25. Default: false.
    pub fn lmtp(mut self, lmtp: bool) -> Builder {
        self.config.lmtp = lmtp;
        self
    }

    /// Whether DSN (RFC 3461) is offered: clients may say of which recipients they want to hear what. The handler sees
    /// it, and whoever relays or delivers has to act on it. Default: true.
    pub fn dsn(mut self, offered: bool) -> Builder {
        self.config.dsn = offered;
        self
    }

    /// Whether PRDR is offered, of which there is an expired draft and no RFC: a client that asks for it reads a reply for each recipient, if the handler's
    /// [`Response`](crate::Response) has one, and then one for all. Default: false.
    pub fn prdr(mut self, offered: bool) -> Builder {
        self.config.prdr = offered;
        self
    }

    /// Whether MT-PRIORITY (RFC 6710) is offered: clients may say how urgent a message is. Default: false.
    pub fn mt_priority(mut self, offered: bool) -> Builder {
        self.config.mt_priority = offered;
        self
    }

    /// Offers DELIVERBY (RFC 2852) with the least time, in whole seconds, after which a message may be asked back.
    /// Default: not offered.
    pub fn deliver_by(mut self, min: impl Into<Option<Duration>>) -> Builder {
        self.config.deliver_by = min.into();
        self
    }

    /// Offers FUTURERELEASE (RFC 4865): clients may ask that a message be held back, at most for so long. Default: not
    /// offered.
    pub fn future_release(mut self, max: impl Into<Option<Duration>>) -> Builder {
        self.config.future_release = max.into().map(|max| max.min(FOREVER));
        self
    }

    /// The proxies whose connections begin with a PROXY protocol header, of version 1 or 2: the client that it names is
    /// then the peer. A proxy that sends none within ten seconds is disconnected; other clients send none, and if they do it
    /// is a bad command. Default: nobody.
    pub fn proxy_protocol(mut self, proxies: impl IntoIterator<Item = Network>) -> Builder {
        self.config.proxies = proxies.into_iter().collect();
        self
    }

    /// The clients that may say, with Postfix's XCLIENT, for whom they speak: limits for an address or a network are those of
    /// whom they name, and not their own. A client whose address they say is unavailable shows as `0.0.0.0`, which no list of
    /// networks trusts by accident, and has no such limits. Default: nobody.
    pub fn xclient(mut self, clients: impl IntoIterator<Item = Network>) -> Builder {
        self.config.xclient = clients.into_iter().collect();
        self
    }

    /// The certificate: STARTTLS (RFC 3207) is offered, and listeners can be of
    /// [implicit TLS](Listener::implicit_tls). Default: none.
    pub fn tls(mut self, tls: impl Into<Tls>) -> Builder {
        self.tls = Some(tls.into());
        self
    }

    /// Whether commands are refused with `530 5.7.0` until TLS is in use, but for those that bring it about. Default: false.
    pub fn require_tls(mut self, required: bool) -> Builder {
        self.config.require_tls = required;
        self
    }

    /// Who may authenticate, and how: AUTH (RFC 4954) is offered. Mechanisms that show the secret are offered within TLS,
    /// to clients on this machine while TLS is not required, and where [`clear_text_auth`](Builder::clear_text_auth) says
    /// so. Default: none.
    #[cfg(feature = "auth")]
    pub fn authenticator(mut self, authenticator: impl crate::auth::Authenticator + 'static) -> Builder {
        self.authenticator = Some(Arc::new(authenticator));
        self
    }

    /// Whether mail is refused with `530 5.7.0` until the client has authenticated itself. Default: false.
    #[cfg(feature = "auth")]
    pub fn require_auth(mut self, required: bool) -> Builder {
        self.config.require_auth = required;
        self
    }

    /// Whether mechanisms that show the secret (PLAIN, LOGIN and the bearer ones) may be used without TLS by anybody.
    /// Default: false.
    #[cfg(feature = "auth")]
    pub fn clear_text_auth(mut self, allowed: bool) -> Builder {
        self.config.clear_text_auth = allowed;
        self
    }

    /// How many failed authentications end a connection with `421 4.7.0`; 0 is no limit. Each failure is also answered
    /// half a second later than the one before. Default: 3.
    #[cfg(feature = "auth")]
    pub fn max_auth_failures(mut self, failures: usize) -> Builder {
        self.config.max_auth_failures = failures;
        self
    }

    /// Makes a [`Session`] for each connection, on its own thread, from the client's address: hooks for every command. A
    /// handler that has hooks itself ([`Handler::session`]) is asked after them. Default: none.
    pub fn session<S, F>(mut self, make: F) -> Builder
    where
        S: Session + 'static,
        F: Fn(&Endpoint) -> S + Send + Sync + 'static,
    {
        self.session = Some(Arc::new(move |peer| Box::new(make(peer))));
        self
    }

    /// Whether what is said on each connection is recorded: for [`Envelope::transcript`](crate::Envelope::transcript) and
    /// [`Server::transcripts`]. Default: true for an [`Inbox`], else false.
    pub fn transcripts(mut self, recorded: bool) -> Builder {
        self.transcripts = Some(recorded);
        self
    }

    /// What the server does wrong on purpose: for tests of its clients. Default: nothing.
    pub fn faults(mut self, faults: Faults) -> Builder {
        self.faults = Some(faults);
        self
    }

    /// A further place to listen at, beside the one that the server is started with; any number of them. Default: none.
    pub fn listen(mut self, at: impl Into<Listener>) -> Builder {
        self.listeners.push(at.into());
        self
    }

    /// Starts the server, with one handler on one consumer thread.
    ///
    /// # Errors
    /// [`Error::Resolve`] and [`Error::Bind`] for a place that cannot be listened at, [`Error::Setting`] for settings
    /// that cannot be, among them more than one consumer, and [`Error::Thread`].
    pub fn serve(self, at: impl Into<Listener>, handler: impl Handler + 'static) -> Result<Server, Error> {
        if self.config.consumers != 1 {
            return Err(Error::Setting("consumers other than 1 need serve_with, which makes a handler for each"));
        }
        self.start(at.into(), vec![Box::new(handler)]).map(|(server, _)| server)
    }

    /// Starts the server, with as many handlers as there are [`consumers`](Builder::consumers), each made by `make` and
    /// on a thread of its own. Which of them gets a message is chance.
    ///
    /// # Errors
    /// As [`serve`](Builder::serve).
    pub fn serve_with<H: Handler + 'static>(
        self,
        at: impl Into<Listener>,
        mut make: impl FnMut() -> H,
    ) -> Result<Server, Error> {
        let handlers = (0..self.config.consumers).map(|_| Box::new(make()) as Box<dyn Handler>).collect();
        self.start(at.into(), handlers).map(|(server, _)| server)
    }

    /// Starts the server without a handler: messages come out of the channel that is given back, to whatever loop reads
    /// it. They wait there, and their clients with them, up to the [`handler_timeout`](Builder::handler_timeout). The
    /// channel ends when the server does; without a receiver messages are answered `451 4.3.0`.
    ///
    /// # Errors
    /// As [`serve`](Builder::serve).
    pub fn deliveries(self, at: impl Into<Listener>) -> Result<(Server, Receiver<Delivery>), Error> {
        self.start(at.into(), Vec::new())
    }

    /// Starts the server with an [`Inbox`], which accepts each message and keeps it for a test to look at.
    ///
    /// # Errors
    /// As [`serve`](Builder::serve).
    pub fn inbox(self, at: impl Into<Listener>) -> Result<Inbox, Error> {
        self.keep(at)
    }

    /// Starts the server with an [`Inbox`] that accepts nothing by itself: the test takes each [`Delivery`], looks, and
    /// answers it, while the client waits, up to the [`handler_timeout`](Builder::handler_timeout). What is left unanswered
    /// when the inbox is dropped is answered `451 4.3.0`.
    ///
    /// ```
    /// # use std::io::{Read, Write};
    /// # use std::time::Duration;
    /// use pillarbox::Reply;
    ///
    /// let inbox = pillarbox::Server::builder().manual_inbox("127.0.0.1:0")?;
    /// # let mut client = std::net::TcpStream::connect(inbox.local_addr())?;
    /// # client.write_all(b"HELO a\r\nMAIL FROM:<>\r\nRCPT TO:<b@example.org>\r\nDATA\r\n.\r\n")?;
    /// // ... the code under test sends, on a thread of its own
    /// let delivery = inbox.recv_timeout(Duration::from_secs(5))?;
    /// assert_eq!(delivery.envelope().recipients(), ["b@example.org"]);
    /// delivery.respond(Reply::new(552, "5.2.2", "mailbox full"));
    /// # client.write_all(b"QUIT\r\n")?;
    /// # let mut replies = String::new();
    /// # client.read_to_string(&mut replies)?;
    /// # assert!(replies.contains("552 5.2.2 mailbox full"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`serve`](Builder::serve).
    pub fn manual_inbox(self, at: impl Into<Listener>) -> Result<Inbox<Delivery>, Error> {
        self.keep(at)
    }

    fn keep<M: AsRef<Envelope>>(self, at: impl Into<Listener>) -> Result<Inbox<M>, Error>
    where
        Keep<M>: Handler + 'static,
    {
        if self.config.inbox_capacity == 0 {
            return Err(Error::Setting("an inbox needs an inbox_capacity of at least 1"));
        }
        let store = Store::new(self.config.inbox_capacity);
        let builder = Builder { transcripts: self.transcripts.or(Some(true)), ..self };
        builder.serve(at, Keep(store.clone())).map(|server| Inbox::new(server, store))
    }
}

impl std::fmt::Debug for Builder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Builder")
            .field("config", &self.config)
            .field("listeners", &self.listeners)
            .finish_non_exhaustive()
    }
}
