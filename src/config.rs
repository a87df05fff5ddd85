//! Every setting, its default and its reason.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::syntax::network::Network;
use crate::syntax::parameter::Extensions;

/// How to treat a lone line feed or carriage return in a message. RFC 5321 section 2.3.8 forbids both.
///
/// Whichever is chosen, only CRLF.CRLF ends a message. A server that also takes LF.LF or LF.CRLF lets a sender smuggle
/// a second message inside the first.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub enum LineEnds {
    /// Each becomes CRLF, so that whoever reads the message later sees the same lines as everybody else. The dot that a client
    /// puts before a line that begins with one (RFC 5321 section 4.5.2) is taken away in the lines that this makes as well,
    /// since clients that leave a lone LF in a message (Python's smtplib, with bytes) double the dot behind it; a line of
    /// nothing but a dot, which ends nothing here, stays. The default.
    #[default]
    Normalize,
    /// The message is read to its end and refused with `550 5.5.2`.
    Reject,
    /// The octets stay as they are.
    Keep,
}

/// How often something may happen: so many times in so much time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rate {
    pub max: usize,
    pub per: Duration,
}

#[derive(Clone, Debug)]
pub(crate) struct Config {
    /// The name in the banner, in replies to EHLO and in Received lines.
    pub hostname: Arc<str>,
    /// In octets; 0 is no limit. 32 MiB as Python's smtpd had it: room for what mail providers let through.
    pub data_size_limit: u64,
    /// RFC 5321 section 4.5.3.1.8 asks for at least 100; lists send to more.
    pub max_recipients: usize,
    /// Each takes a thread.
    pub max_connections: usize,
    /// None unless asked for: a test suite connects from one address.
    pub max_connections_per_address: Option<usize>,
    /// None unless asked for, as the next two.
    pub max_connections_per_network: Option<usize>,
    pub max_connection_rate: Option<Rate>,
    pub max_error_rate: Option<Rate>,
    /// What becomes of the command timeout when nearly all connections are in use. Postfix's 10 s is short for clients far
    /// away.
    pub stress_timeout: Option<Duration>,
    /// RFC 5321 section 4.5.3.2.7: at least five minutes. From the wait for a command to its CRLF.
    pub command_timeout: Duration,
    /// RFC 5321 section 4.5.3.2.5 asks three minutes between reads of the content.
    pub data_timeout: Duration,
    /// Content slower than this, in octets a second, runs into the data timeout in the end.
    pub data_rate: u64,
    /// RFC 5321 section 4.5.3.2.6: clients wait ten minutes for the reply to the final dot.
    pub handler_timeout: Duration,
    /// Refused commands of one connection, until a message is accepted.
    pub max_errors: usize,
    /// Commands that bring no message forward, until a message is accepted.
    pub max_junk: usize,
    /// Octets of content, of all connections and of envelopes not yet dropped, in memory or on disk: room for fifty of the
    /// largest messages at once.
    pub buffer_budget: u64,
    /// Those of them that may be in memory before larger content goes to disk. A few large messages at a time are not
    /// written and read once more, which costs twice the processor's time; many do not take more than a small machine has.
    pub memory_budget: u64,
    /// Content up to so many octets never goes to disk: a file costs more than it saves.
    pub spool_threshold: u64,
    /// None is the system's folder for temporary files.
    pub spool_folder: Option<PathBuf>,
    /// Off as in smtpd: a program that never saw a UTF-8 address need not expect one.
    pub smtputf8: bool,
    pub decode_data: bool,
    pub line_ends: LineEnds,
    pub strict_syntax: bool,
    pub inbox_capacity: usize,
    pub consumers: usize,
    /// Envelopes that wait for a consumer before connections wait instead.
    pub queue_capacity: usize,
    /// In octets. A session's hooks run on it. Only what was touched is resident, so idle connections cost the same with any
    /// size; but with 2 MiB the kernel may back a whole stack with one huge page.
    pub worker_stack: usize,
    pub reuse_port: bool,
    /// LMTP in SMTP's place.
    pub lmtp: bool,
    /// On: clients send it, and whoever does not care can ignore what it asks for.
    pub dsn: bool,
    pub prdr: bool,
    pub mt_priority: bool,
    pub deliver_by: Option<Duration>,
    pub future_release: Option<Duration>,
    /// The program's own.
    pub extensions: Arc<Extensions>,
    /// Off: who uses what was not offered counts on something that is not done.
    pub ignore_unknown_parameters: bool,
    /// Whose connections begin with a PROXY header.
    pub proxies: Vec<Network>,
    /// Who may say XCLIENT.
    pub xclient: Vec<Network>,
    /// Who may say XFORWARD.
    pub xforward: Vec<Network>,
    pub require_tls: bool,
    pub require_auth: bool,
    #[cfg(feature = "auth")]
    /// Whether mechanisms that show the secret may be used without TLS, and not only from this machine.
    pub clear_text_auth: bool,
    #[cfg(feature = "auth")]
    /// RFC 4954 leaves the number to servers; each try costs a guesser time.
    pub max_auth_failures: usize,
}

/// The longest command line, CRLF included: RFC 5321 section 4.5.3.1.4 has 512 octets, and each extension adds to it.
pub(crate) const MAX_COMMAND_LINE: usize = 2048;

/// The longest line of an AUTH command or of a response within it: RFC 4954 section 4.
pub(crate) const MAX_AUTH_LINE: usize = 12_288;

/// The errors that end a connection under stress, if fewer would not do so anyway. Postfix has one: but a recipient whom
/// nobody knows is soon named.
pub(crate) const STRESS_ERRORS: usize = 3;

/// The commands without mail that end a connection under stress, if fewer would not do so anyway: a client with STARTTLS and
/// AUTH needs four.
pub(crate) const STRESS_JUNK: usize = 10;

/// How long a PROXY header may take.
pub(crate) const PROXY_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a TLS handshake may take, if the command timeout is not shorter.
pub(crate) const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(60);

/// How much of an overlong line is skipped before the connection is closed instead.
pub(crate) const MAX_SKIPPED: usize = 64 * 1024;

/// Recipients beyond the limit that are not yet counted as errors: the client could not know.
pub(crate) const RECIPIENT_OVERSHOOT: usize = 1000;

/// A timeout longer than this is as good as none, and adding it to the clock cannot overflow.
pub(crate) const FOREVER: Duration = Duration::from_secs(365 * 24 * 3600);

impl Default for Config {
    fn default() -> Config {
        Config {
            hostname: Arc::from("localhost"),
            data_size_limit: 32 * 1024 * 1024,
            max_recipients: 1000,
            max_connections: 1000,
            max_connections_per_address: None,
            max_connections_per_network: None,
            max_connection_rate: None,
            max_error_rate: None,
            stress_timeout: Some(Duration::from_secs(30)),
            command_timeout: Duration::from_secs(300),
            data_timeout: Duration::from_secs(180),
            data_rate: 500,
            handler_timeout: Duration::from_secs(600),
            max_errors: 20,
            max_junk: 100,
            buffer_budget: 2 * 1024 * 1024 * 1024,
            memory_budget: 64 * 1024 * 1024,
            spool_threshold: 64 * 1024,
            spool_folder: None,
            smtputf8: false,
            decode_data: false,
            line_ends: LineEnds::Normalize,
            strict_syntax: false,
            inbox_capacity: 10_000,
            consumers: 1,
            queue_capacity: 1024,
            worker_stack: 1024 * 1024,
            reuse_port: false,
            lmtp: false,
            dsn: true,
            prdr: false,
            mt_priority: false,
            deliver_by: None,
            future_release: None,
            extensions: Arc::default(),
            ignore_unknown_parameters: false,
            proxies: Vec::new(),
            xclient: Vec::new(),
            xforward: Vec::new(),
            require_tls: false,
            require_auth: false,
            #[cfg(feature = "auth")]
            clear_text_auth: false,
            #[cfg(feature = "auth")]
            max_auth_failures: 3,
        }
    }
}

impl Config {
    /// In octets, CRLF included.
    pub fn max_command_line(&self) -> usize {
        MAX_COMMAND_LINE + self.extensions.octets()
    }

    /// How far beyond the size limit content is still read, to answer 552 at its end, before the connection is closed.
    pub fn swallow_limit(&self) -> u64 {
        self.data_size_limit.saturating_mul(4).max(16 * 1024 * 1024)
    }

    /// Whether a size passes the limit.
    pub fn is_too_big(&self, octets: u64) -> bool {
        self.data_size_limit != 0 && octets > self.data_size_limit
    }
}
