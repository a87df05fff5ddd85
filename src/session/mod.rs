//! Hooks for each command of a connection, and the state that they see.

pub(crate) mod extension;
pub(crate) mod observer;
pub(crate) mod transaction;

use std::fmt::{self, Debug, Formatter};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::config::Config;
use crate::envelope::tls_info::TlsInfo;
use crate::envelope::transcript::{Record, Transcript};
use crate::envelope::values::Values;
use crate::envelope::{Endpoint, Protocol, Recipient};
use crate::session::transaction::{Greeting, SessionState};
use crate::syntax::address::ReversePath;
use crate::syntax::command::Verb;
use crate::syntax::parameter::MailParameters;
use crate::syntax::proxy_info::ProxyInfo;
use crate::syntax::reply::Reply;
use crate::syntax::xforward::Xforward;

mod chain;
mod factory;

pub(crate) use factory::chained;
pub use factory::{IntoSession, SessionFactory};

/// Where a conversation stands.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Phase {
    /// Commands are read.
    Command,
    /// The content of a message is read.
    Data,
}

/// A listener among those of its server.
#[derive(Clone, Default, Debug)]
pub(crate) struct ListenerId {
    pub index: usize,
    pub name: Option<Arc<str>>,
}

/// The state of a connection and its transaction: what smtpd's `SMTPChannel` had as attributes.
///
/// The hooks of a [`Session`] see the state before their command takes effect.
pub struct Context {
    pub(crate) config: Arc<Config>,
    pub(crate) listener: ListenerId,
    pub(crate) connection: u64,
    pub(crate) peer: Endpoint,
    pub(crate) local: Endpoint,
    pub(crate) phase: Phase,
    // Of the command whose hooks run.
    pub(crate) verb: Option<Verb>,
    pub(crate) state: SessionState,
    pub(crate) tls: Option<Arc<TlsInfo>>,
    pub(crate) identity: Option<Arc<str>>,
    pub(crate) values: Values,
    pub(crate) connection_values: Arc<Values>,
    // What a hook has its client told, while it runs.
    pub(crate) acceptance: Mutex<Option<Reply>>,
    pub(crate) proxy: Option<Box<ProxyInfo>>,
    // Who a hook says that the client is, while it runs.
    pub(crate) granted: Mutex<Option<Arc<str>>>,
    pub(crate) record: Record,
}

/// In octets: what fits in the field of an entry, or in a line of a log.
const MAX_IDENTITY: usize = 16 * 1024;

/// Whether an identity can stand in a header or a log as it is.
pub(crate) fn is_identity(text: &str) -> bool {
    !text.is_empty() && text.len() <= MAX_IDENTITY && !text.chars().any(char::is_control)
}

impl Context {
    /// The connection's number on this server, as in the log.
    pub fn connection_id(&self) -> u64 {
        self.connection
    }

    /// The client's end of the connection; behind a proxy what that says of it, [`Endpoint::Unknown`] if it says nothing.
    pub fn peer(&self) -> &Endpoint {
        &self.peer
    }

    /// The server's end of the connection.
    pub fn local(&self) -> &Endpoint {
        &self.local
    }

    /// Which of the server's listeners the client connected to: an index into
    /// [`Server::local_endpoints`](crate::Server::local_endpoints). 0 is the one that the server was started with; those of
    /// [`Builder::listen`](crate::Builder::listen) follow.
    ///
    /// Tell listeners apart by this or by their [name](Context::listener_name), not by [`local`](Context::local): a PROXY
    /// header or XCLIENT may say something else there.
    pub fn listener(&self) -> usize {
        self.listener.index
    }

    /// The [name](crate::Listener::name) of the listener that the client connected to, if it was given one.
    ///
    /// ```
    /// use pillarbox::{Context, Recipient, Reply, Session};
    ///
    /// /// Users may send anywhere, and everybody else to us.
    /// struct Policy;
    ///
    /// impl Session for Policy {
    ///     fn rcpt(&mut self, context: &Context, to: &Recipient) -> Result<(), Reply> {
    ///         match context.listener_name() {
    ///             Some("submission") => Ok(()),
    ///             _ if to.domain() == Some("example.org") => Ok(()),
    ///             _ => Err(Reply::new(550, "5.7.1", "relaying denied")),
    ///         }
    ///     }
    /// }
    /// ```
    pub fn listener_name(&self) -> Option<&str> {
        self.listener.name.as_deref()
    }

    /// Whether the listener speaks LMTP.
    pub fn is_lmtp(&self) -> bool {
        self.config.lmtp
    }

    /// The server's name, in the banner and in Received lines: smtpd's `fqdn`.
    pub fn hostname(&self) -> &str {
        &self.config.hostname
    }

    /// Whether commands or content are read: smtpd's `smtp_state`.
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// The verb of the command whose hook is running: tells EHLO from HELO in [`Session::helo`], and BDAT from DATA in
    /// [`Session::data`]. `None` in [`Session::connect`] and [`Session::disconnect`], and for a verb that the server does
    /// not know in [`Session::command`].
    pub fn verb(&self) -> Option<Verb> {
        self.verb
    }

    /// The name that the client gave in HELO or EHLO, once it has: smtpd's `seen_greeting`.
    pub fn helo(&self) -> Option<&str> {
        self.state.greeting.as_ref().map(|greeting| &*greeting.name)
    }

    /// Whether the client said EHLO (in LMTP, LHLO) when it last named itself: smtpd's `extended_smtp`. In
    /// [`Session::helo`], which runs before the command takes effect, [`verb`](Context::verb) tells what it says now.
    pub fn is_extended(&self) -> bool {
        self.state.greeting.as_ref().is_some_and(|greeting| greeting.extended)
    }

    /// The reverse-path of the transaction, once there is one: smtpd's `mailfrom`.
    pub fn mail_from(&self) -> Option<&ReversePath> {
        self.state.transaction.as_ref().map(|transaction| &transaction.reverse_path)
    }

    /// The parameters of the transaction's MAIL.
    pub fn mail_parameters(&self) -> Option<&MailParameters> {
        self.state.transaction.as_ref().map(|transaction| &transaction.parameters)
    }

    /// The recipients accepted so far: smtpd's `rcpttos`.
    pub fn recipients(&self) -> &[Recipient] {
        self.state.transaction.as_ref().map_or(&[], |transaction| &transaction.recipients)
    }

    /// The TLS session, if the connection is encrypted.
    pub fn tls(&self) -> Option<&TlsInfo> {
        self.tls.as_deref()
    }

    /// What [the proxy](crate::Builder::proxy_protocol) says of the client's connection to it, if it says more than the
    /// addresses: its TLS session, the name that the client asked for, an identifier. Known from [`Session::connect`] on, and
    /// no more once XCLIENT names another client.
    pub fn proxy(&self) -> Option<&ProxyInfo> {
        self.proxy.as_deref()
    }

    /// The user, once the client has authenticated (RFC 4954), or once a hook has said who it is
    /// ([`authenticate`](Context::authenticate)).
    pub fn identity(&self) -> Option<&str> {
        self.identity.as_deref()
    }

    /// Where the message came from before the client, if the client is [one that may say so](crate::Builder::xforward) and
    /// has: from XFORWARD, which comes before MAIL, to the end of the transaction.
    pub fn xforward(&self) -> Option<&Xforward> {
        self.state.xforward.as_deref()
    }

    /// What both sides have said on this connection so far, if [`transcripts`](crate::Builder::transcripts) are recorded: a copy
    /// of up to 64 KiB. An [`Observer`](crate::Observer) that is told of a connection's end gets the whole conversation,
    /// also one that brought no message.
    ///
    /// ```
    /// use std::time::Duration;
    /// use pillarbox::{Context, Observer};
    ///
    /// /// Prints the conversations in which something was refused.
    /// struct Refusals;
    ///
    /// impl Observer for Refusals {
    ///     fn disconnected(&self, context: &Context, _: Duration) {
    ///         let Some(said) = context.transcript() else { return };
    ///         if said.entries().iter().any(|entry| entry.octets.starts_with(b"5")) {
    ///             eprint!("{said}");
    ///         }
    ///     }
    /// }
    /// ```
    pub fn transcript(&self) -> Option<Transcript> {
        self.record.whole()
    }

    /// Values that go to the handler with the transaction's envelope, or are dropped if the transaction ends without one.
    pub fn values(&self) -> &Values {
        &self.values
    }

    /// Values of the whole connection; every envelope of the connection has them.
    pub fn connection_values(&self) -> &Values {
        &self.connection_values
    }

    /// Replaces `250 2.0.0 OK` as the reply to the command whose hook is running, if the hook then accepts it.
    ///
    /// It applies to MAIL and RCPT: call it in [`Session::mail`] or [`Session::rcpt`]. In any other hook it has no
    /// effect, neither on that command nor on a later one. The last call of a hook counts. A reply that is not a 2xx, or
    /// that would end the connection (221), is ignored.
    pub fn accept_with(&self, reply: Reply) {
        if reply.is_positive() && !reply.is_closing() {
            *self.acceptance.lock() = Some(reply);
        }
    }

    /// Says who the client is, for a program that knows it without AUTH: by a client certificate, by the peer's address, or by a
    /// verb of its own.
    ///
    /// Call it in [`Session::connect`], [`Session::helo`] or [`Session::command`]. It takes effect when the hook returns without
    /// refusing: [`identity`](Context::identity) and the envelopes have the identity from then on, `require_auth` is
    /// satisfied, the protocol in the Received line is ESMTPA or ESMTPSA, and AUTH is answered with `503 5.5.1`, as after
    /// AUTH itself. STARTTLS forgets it, as RFC 3207 section 4.2 has it; the EHLO that follows is the time to say it again. XCLIENT forgets it
    /// too, since it names another client, and calls [`Session::connect`] again. In
    /// [`Session::authenticated`] it takes the place of the identity that AUTH has found. In other hooks it has no effect.
    /// The last call of a hook counts.
    ///
    /// An identity that is empty, longer than 16,384 octets, or has control characters has no effect either; an error is
    /// logged.
    ///
    /// ```
    /// use pillarbox::{Context, Reply, Session};
    ///
    /// /// Who came with this certificate is our other server.
    /// struct Certified(Vec<u8>);
    ///
    /// impl Session for Certified {
    ///     fn helo(&mut self, context: &Context, _name: &str) -> Result<(), Reply> {
    ///         if context.tls().is_some_and(|tls| tls.client_certificate.as_ref() == Some(&self.0)) {
    ///             context.authenticate("mx2.example.org");
    ///         }
    ///         Ok(())
    ///     }
    /// }
    /// ```
    pub fn authenticate(&self, identity: impl Into<String>) {
        let identity = identity.into();
        if is_identity(&identity) {
            *self.granted.lock() = Some(identity.into());
        } else {
            let shown = crate::syntax::escaped::Escaped::new(&identity);
            log::error!("[{}] not an identity, and ignored: {shown}", self.connection);
        }
    }

    /// The context of a connection that nobody has made, for the units below it.
    #[cfg(all(feature = "auth", any(test, feature = "internals")))]
    pub(crate) fn of_nobody() -> Context {
        let ends = (Endpoint::Unknown, Endpoint::Unknown);
        Context::new(Arc::default(), ListenerId::default(), 0, ends, Record::default())
    }

    /// The context of a connection that has just begun.
    pub(crate) fn new(
        config: Arc<Config>,
        listener: ListenerId,
        connection: u64,
        (peer, local): (Endpoint, Endpoint),
        record: Record,
    ) -> Context {
        Context {
            config,
            listener,
            connection,
            peer,
            local,
            phase: Phase::Command,
            verb: None,
            state: SessionState::default(),
            tls: None,
            identity: None,
            values: Values::default(),
            connection_values: Arc::default(),
            acceptance: Mutex::default(),
            granted: Mutex::default(),
            proxy: None,
            record,
        }
    }
}

impl Context {
    /// The protocol of a message that comes with these parameters from a client that has greeted so.
    pub(crate) fn protocol(&self, greeting: &Greeting, parameters: &MailParameters) -> Protocol {
        let is_utf8 = parameters.smtputf8();
        let is_authenticated = self.identity.is_some();
        Protocol::of(self.config.lmtp, greeting.extended, is_utf8, self.tls.is_some(), is_authenticated)
    }
}

impl Debug for Context {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("connection", &self.connection)
            .field("peer", &self.peer)
            .field("local", &self.local)
            .field("phase", &self.phase)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

/// The hooks and the state of one connection: what smtpd's `channel_class` was.
///
/// [`Builder::session`](crate::Builder::session) makes one for each connection. A hook is called when its command is valid
/// and before the command takes effect; `Err` refuses the command with a 4xx or 5xx reply. The default of each hook accepts.
/// Hooks run on the connection's own thread, so one that waits delays only its own client. A reply of 421 or 221 from any of
/// them ends the connection; a panic ends it with a 421, but for [`content`](Session::content), and other connections go on. To stop the server from a hook, call
/// [`ServerHandle::begin_shutdown`](crate::ServerHandle::begin_shutdown).
///
/// The stack of that thread is 1 MiB by default: see [`worker_stack`](crate::Builder::worker_stack). A hook that needs more,
/// by recursion or large arrays, ends the process: a stack overflow is not a panic.
///
/// ```
/// use pillarbox::{Context, Recipient, Reply, Server, Session};
///
/// /// Accepts mail for one domain.
/// struct Local;
///
/// impl Session for Local {
///     fn rcpt(&mut self, _: &Context, to: &Recipient) -> Result<(), Reply> {
///         match to.domain() {
///             Some("example.org") => Ok(()),
///             _ => Err(Reply::new(550, "5.7.1", "relaying denied")),
///         }
///     }
/// }
///
/// let inbox = Server::builder().session(|_peer| Local).inbox("127.0.0.1:0")?;
/// # Ok::<(), pillarbox::Error>(())
/// ```
#[expect(unused_variables, reason = "the defaults let things be, and the names are the documentation")]
pub trait Session {
    /// A client has connected. On `Err`, it gets this reply instead of the banner, and is disconnected.
    fn connect(&mut self, context: &Context) -> Result<(), Reply> {
        Ok(())
    }

    /// HELO or EHLO, in LMTP LHLO: the client gives its name. It may do so several times, and does after STARTTLS.
    /// [`Context::verb`] tells which of them this is.
    ///
    /// ```
    /// use pillarbox::{Context, Reply, Session, Verb};
    ///
    /// struct Modern;
    ///
    /// impl Session for Modern {
    ///     fn helo(&mut self, context: &Context, _name: &str) -> Result<(), Reply> {
    ///         match context.verb() {
    ///             Some(Verb::Helo) => Err(Reply::new(504, "5.5.4", "Send EHLO")),
    ///             _ => Ok(()),
    ///         }
    ///     }
    /// }
    /// ```
    fn helo(&mut self, context: &Context, name: &str) -> Result<(), Reply> {
        Ok(())
    }

    /// AUTH succeeded: the client has proven that it is `identity`. On `Err` the client gets that reply instead of
    /// `235 2.7.0`, such as `535 5.7.8`, and stays unauthenticated.
    ///
    /// [`Context::identity`] is still empty here; [`Context::authenticate`] gives the client another identity than this. A refusal does not count towards
    /// [`max_auth_failures`](crate::Builder::max_auth_failures), since the credentials were right, but it counts as an
    /// error, as any refused command does. An identity that XCLIENT hands on is not asked about.
    fn authenticated(&mut self, context: &Context, identity: &str) -> Result<(), Reply> {
        Ok(())
    }

    /// MAIL: a transaction begins.
    fn mail(&mut self, context: &Context, from: &ReversePath, parameters: &MailParameters) -> Result<(), Reply> {
        Ok(())
    }

    /// RCPT: a recipient is named.
    fn rcpt(&mut self, context: &Context, to: &Recipient) -> Result<(), Reply> {
        Ok(())
    }

    /// DATA, or a message's first BDAT (RFC 3030): the content shall follow. Refused, the client sends none, or what comes
    /// with BDAT is read off, and the transaction goes on. A client that has sent more behind DATA without waiting for the
    /// reply is disconnected.
    fn data(&mut self, context: &Context) -> Result<(), Reply> {
        Ok(())
    }

    /// Some octets of the content have come, by DATA or BDAT: exactly those of the envelope, in their order, with dots
    /// unstuffed and line ends as [`line_ends`](crate::Builder::line_ends) says. A call has any number of them, and at least
    /// one; where one call ends and the next begins means nothing.
    ///
    /// On `Err` there are no further calls for this message. The server reads the rest of it off and then sends the reply, in
    /// LMTP for each recipient, so that client and server stay in step; where the content comes in chunks, at the end of
    /// the chunk. Only a 421 is sent at once, and ends the connection. A panic refuses the message with `451 4.3.0`, and the
    /// connection goes on.
    ///
    /// The content also goes whole to the handler. A message that the server itself refuses is not shown to its end: one over
    /// the [size limit](crate::Builder::data_size_limit), of which no more than so many octets are shown, or over the
    /// [budget](crate::Builder::buffer_budget), or with a lone CR or LF where [these are refused](crate::LineEnds::Reject).
    /// Nor is [`content_end`](Session::content_end) called for it, or for a message that is not UTF-8 where
    /// [it must be](crate::Builder::decode_data).
    ///
    /// Content that was begun is not always finished. The client may hang up, or give the message up between two chunks by
    /// RSET or EHLO. So begin anew in [`data`](Session::data), which comes first for every message, or keep what belongs to
    /// a message in [`Context::values`]: it is dropped as soon as the message is given up, and otherwise goes to the handler.
    ///
    /// The time that this takes is not counted against the client's [`data_timeout`](crate::Builder::data_timeout).
    ///
    /// ```
    /// use pillarbox::{Context, Reply, Session};
    ///
    /// /// Refuses messages of more than so many lines, and tells the handler how many there are.
    /// struct Short(usize);
    ///
    /// #[derive(Default)]
    /// struct Lines(usize);
    ///
    /// impl Session for Short {
    ///     fn data(&mut self, context: &Context) -> Result<(), Reply> {
    ///         context.values().insert(Lines::default());
    ///         Ok(())
    ///     }
    ///
    ///     fn content(&mut self, context: &Context, octets: &[u8]) -> Result<(), Reply> {
    ///         let more = octets.iter().filter(|octet| **octet == b'\n').count();
    ///         let lines = context.values().with(|lines: &mut Lines| {
    ///             lines.0 += more;
    ///             lines.0
    ///         });
    ///         if lines > Some(self.0) { Err(Reply::new(552, "5.3.4", "Too many lines")) } else { Ok(()) }
    ///     }
    /// }
    /// ```
    fn content(&mut self, context: &Context, octets: &[u8]) -> Result<(), Reply> {
        Ok(())
    }

    /// The content is complete, and nothing speaks against it so far. On `Err` the message is refused with this reply, in LMTP
    /// for each recipient, and does not go to the handler. A panic refuses it with `451 4.3.0`.
    fn content_end(&mut self, context: &Context) -> Result<(), Reply> {
        Ok(())
    }

    /// RSET: the client abandons the transaction.
    fn rset(&mut self, context: &Context) {}

    /// VRFY: `None` answers `252 2.5.2`, which says neither yes nor no. The argument is as the client sent it.
    fn vrfy(&mut self, context: &Context, argument: &[u8]) -> Option<Reply> {
        None
    }

    /// EXPN: `None` answers `502 5.5.1`. The argument is as the client sent it.
    fn expn(&mut self, context: &Context, argument: &[u8]) -> Option<Reply> {
        None
    }

    /// HELP: `None` answers with the commands, or the syntax of the one asked for. The argument is as the client sent it.
    fn help(&mut self, context: &Context, argument: &[u8]) -> Option<Reply> {
        None
    }

    /// Sees each command line first, and may answer it. Use it to add, replace or forbid verbs.
    ///
    /// `verb` is the first word as sent, `argument` what follows it; both may be any octets but CRLF. A line that is
    /// answered here has no other effect but what [`Context::authenticate`] says, and content that comes with it (BDAT's chunk) is read off, or the connection closed
    /// where its end cannot be known. The reply may not be a 3xx, since nothing would read what the client sends next.
    fn command(&mut self, context: &Context, verb: &[u8], argument: &[u8]) -> Option<Reply> {
        None
    }

    /// The connection has ended, for whatever reason. Called once, if [`connect`](Session::connect) was called.
    fn disconnect(&mut self, context: &Context) {}
}

/// The session of a server that was given none.
impl Session for () {}

// A hook that is missing here would be forgotten silently.
#[warn(clippy::missing_trait_methods)]
impl<S: Session + ?Sized> Session for Box<S> {
    fn connect(&mut self, context: &Context) -> Result<(), Reply> {
        (**self).connect(context)
    }

    fn helo(&mut self, context: &Context, name: &str) -> Result<(), Reply> {
        (**self).helo(context, name)
    }

    fn authenticated(&mut self, context: &Context, identity: &str) -> Result<(), Reply> {
        (**self).authenticated(context, identity)
    }

    fn mail(&mut self, context: &Context, from: &ReversePath, parameters: &MailParameters) -> Result<(), Reply> {
        (**self).mail(context, from, parameters)
    }

    fn rcpt(&mut self, context: &Context, to: &Recipient) -> Result<(), Reply> {
        (**self).rcpt(context, to)
    }

    fn data(&mut self, context: &Context) -> Result<(), Reply> {
        (**self).data(context)
    }

    fn content(&mut self, context: &Context, octets: &[u8]) -> Result<(), Reply> {
        (**self).content(context, octets)
    }

    fn content_end(&mut self, context: &Context) -> Result<(), Reply> {
        (**self).content_end(context)
    }

    fn rset(&mut self, context: &Context) {
        (**self).rset(context);
    }

    fn vrfy(&mut self, context: &Context, argument: &[u8]) -> Option<Reply> {
        (**self).vrfy(context, argument)
    }

    fn expn(&mut self, context: &Context, argument: &[u8]) -> Option<Reply> {
        (**self).expn(context, argument)
    }

    fn help(&mut self, context: &Context, argument: &[u8]) -> Option<Reply> {
        (**self).help(context, argument)
    }

    fn command(&mut self, context: &Context, verb: &[u8], argument: &[u8]) -> Option<Reply> {
        (**self).command(context, verb, argument)
    }

    fn disconnect(&mut self, context: &Context) {
        (**self).disconnect(context);
    }
}
