//! What goes wrong with Redis, and what to do about it.

use std::fmt::{self, Display, Formatter};
use std::io::{self, ErrorKind};

use redis::RedisError;

/// Why Redis does not do what it is asked.
#[derive(Debug)]
pub(super) enum Fault {
    /// Redis said no: nothing was done.
    Refused(RedisError),
    /// Redis does not let this client in: nothing was done.
    Rejected(RedisError),
    /// There was no connection: nothing was done.
    Unconnected(io::Error),
    /// There is no TLS with it: nothing was done.
    #[cfg(feature = "_tls")]
    Insecure(io::Error),
    /// There was no answer that can be understood. It may have been done.
    Unanswered(io::Error),
}

const NO_PASSWORD: &str = "Redis wants a password: the URL has to have it, redis://user:password@host";
const BAD_PASSWORD: &str = "Redis does not know the user and password of the URL";

impl Fault {
    /// An answer that no such command has.
    pub fn odd(what: &'static str) -> Fault {
        Fault::Unanswered(io::Error::new(ErrorKind::InvalidData, what))
    }

    /// What Redis's errors say by their first word, or in the middle of what a script's failure says.
    pub fn says(&self, code: &str) -> bool {
        let (Fault::Refused(e) | Fault::Rejected(e)) = self else { return false };
        e.code() == Some(code) || e.detail().is_some_and(|detail| detail.contains(code))
    }

    /// Whether this server is the wrong one: after a failover an old connection still leads to it.
    pub fn leads_elsewhere(&self) -> bool {
        ["READONLY", "MASTERDOWN", "MOVED", "CLUSTERDOWN"].iter().any(|code| self.says(code))
    }

    /// Whether the next answer on the same connection will be the next question's. Behind a protocol error Redis closes.
    pub fn leaves_in_step(&self) -> bool {
        matches!(self, Fault::Refused(_)) && !self.leads_elsewhere() && !self.says("Protocol error")
    }

    /// What makes it another outage than the one before, to the log: Redis has one from its end until it has loaded its data.
    pub fn cause(&self) -> &'static str {
        match self {
            Fault::Unconnected(_) | Fault::Unanswered(_) => "away",
            _ if self.says("LOADING") => "away",
            _ => self.advice(),
        }
    }

    /// What whoever runs it can do about it. Different troubles have different advice.
    pub fn advice(&self) -> &'static str {
        let by_code = [
            ("OOM", "Redis is at its maxmemory: workers have to take messages off, or it has to be raised"),
            ("READONLY", "this Redis is a replica: the URL has to lead to the primary"),
            ("MISCONF", "Redis cannot write to its disk: its log says why"),
            ("LOADING", "Redis has started and loads its data: this passes"),
            ("NOREPLICAS", "Redis misses the replicas that its min-replicas-to-write asks for"),
            ("MASTERDOWN", "this Redis is a replica without its primary"),
            ("NOPERM", "the user of the URL misses a right: ACL SETUSER gives it what the line above names"),
            // Of a command within a script, which Redis does not name.
            (
                "user executing the script",
                "the user of the URL misses a right that scripts need: guide::scaling_out of the documentation has the list",
            ),
            ("NOAUTH", NO_PASSWORD),
            // Whom it does not know it lets have ten arguments.
            ("unauthenticated", NO_PASSWORD),
            ("WRONGPASS", BAD_PASSWORD),
            ("invalid password", BAD_PASSWORD),
            (
                "DB index",
                "Redis has no database of the URL's number: 'databases' in its configuration says how many it has",
            ),
            ("SELECT is not allowed", "a Redis Cluster has no databases: the URL must not name one"),
            (
                "MOVED",
                "this node of a Redis Cluster does not have the stream: the URL has to lead to the one that does",
            ),
            ("CROSSSLOT", "in a Redis Cluster the keys need a hash tag in common, as {mail} and {mail}:dead have"),
            ("CLUSTERDOWN", "the Redis Cluster does not serve this stream now"),
            ("WRONGTYPE", "the key holds something else: the stream has to have another"),
            ("DENIED", "Redis runs in protected mode: it needs a password, or a 'bind' to its own machine alone"),
            ("max number of clients", "Redis has as many connections as its maxclients allows"),
            ("unknown command", "this Redis is too old, or has the command renamed: 6.2 or later is needed"),
        ];
        if let Some((_, advice)) = by_code.into_iter().find(|(code, _)| self.says(code)) {
            return advice;
        }
        match self {
            Fault::Refused(_) => "Redis refuses it",
            Fault::Rejected(_) => "Redis does not let this client in",
            Fault::Unconnected(e) => unconnected(e),
            #[cfg(feature = "_tls")]
            Fault::Insecure(e) => insecure(e),
            Fault::Unanswered(e) if e.kind() == ErrorKind::InvalidData => {
                "what listens there is not Redis, or speaks TLS: then the URL begins with rediss://"
            }
            Fault::Unanswered(_) => "Redis does not answer: it hangs, is overloaded, or was stopped",
        }
    }
}

fn unconnected(e: &io::Error) -> &'static str {
    match e.kind() {
        ErrorKind::ConnectionRefused => "there is no connection to Redis: it has to run, and to listen there",
        ErrorKind::NotFound => {
            "there is no such socket, or no address of that name: Redis has to run there, or the URL is wrong"
        }
        ErrorKind::PermissionDenied => "this user may not use the socket of Redis: 'unixsocketperm' says who may",
        ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset => {
            "Redis ends the connection at once: it may want TLS there (rediss://), or there is nothing behind a proxy"
        }
        ErrorKind::TimedOut => {
            "Redis cannot be reached in time: it hangs, the network drops what is sent, or the machine is down"
        }
        ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => "no way leads to Redis's machine",
        _ => "there is no connection to Redis: its name may not resolve, or the network may be down",
    }
}

#[cfg(feature = "_tls")]
fn insecure(e: &io::Error) -> &'static str {
    let text = e.to_string().to_ascii_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| text.contains(word));
    if e.kind() == ErrorKind::TimedOut || says(&["timed out"]) {
        "the TLS handshake takes too long: Redis hangs, or does not speak TLS there"
    } else if says(&[
        "unknownissuer",
        "self-signed",
        "self signed",
        "unable to get",
        "verify failed",
        "causedasendentity",
        "not trusted",
    ]) && !says(&["hostname mismatch", "ip address mismatch", "expired"])
    {
        "nobody who is trusted vouches for Redis's certificate: give the certificate of its authority"
    } else if says(&["not valid for name", "notvalidforname", "hostname mismatch", "ip address mismatch"]) {
        "Redis's certificate is for another name than the URL's"
    } else if says(&["expired"]) {
        "Redis's certificate has expired"
    } else if says(&["notvalidyet", "not valid yet", "not yet valid"]) {
        "Redis's certificate is not valid yet: or is the clock wrong?"
    } else if says(&[
        "certificate required",
        "certificaterequired",
        "handshake failure",
        "handshakefailure",
        "after the handshake",
        "bad certificate",
    ]) {
        "Redis asks for a certificate of this client, or does not take the one that it gets"
    } else if says(&["wrong version number", "invalidcontenttype", "corrupt message", "packet length"])
        || e.kind() == ErrorKind::UnexpectedEof
    {
        "there is no TLS at that port: the URL has to begin with redis://, or lead to Redis's tls-port"
    } else {
        "there is no TLS with Redis"
    }
}

impl Display for Fault {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Refused(e) | Fault::Rejected(e) => Display::fmt(e, f),
            Fault::Unconnected(e) | Fault::Unanswered(e) => Display::fmt(e, f),
            #[cfg(feature = "_tls")]
            Fault::Insecure(e) => Display::fmt(e, f),
        }
    }
}

/// Why a message is not, or may not be, in the stream.
#[derive(Debug)]
pub(super) enum AddError {
    /// The stream has as many entries as it may.
    Full,
    Redis(Fault),
    /// Not enough replicas have it. It was taken out again, and no worker has seen it.
    Unreplicated {
        got: usize,
        wanted: usize,
    },
    /// The message could not be read.
    Unreadable(io::Error),
}

impl From<Fault> for AddError {
    fn from(fault: Fault) -> AddError {
        AddError::Redis(fault)
    }
}

impl AddError {
    /// Whether there is no room, where another connection would not help.
    pub fn is_lack_of_room(&self) -> bool {
        matches!(self, AddError::Full) || matches!(self, AddError::Redis(fault) if fault.says("OOM"))
    }

    pub fn leads_elsewhere(&self) -> bool {
        matches!(self, AddError::Redis(fault) if fault.leads_elsewhere())
    }

    /// Whether the next answer on the same connection will be the next question's.
    pub fn leaves_in_step(&self) -> bool {
        match self {
            AddError::Full | AddError::Unreplicated { .. } => true,
            AddError::Redis(fault) => fault.leaves_in_step(),
            AddError::Unreadable(_) => false,
        }
    }

    /// As [`Fault::cause`].
    pub fn cause(&self) -> &'static str {
        if let AddError::Redis(fault) = self { fault.cause() } else { self.advice() }
    }

    /// What whoever runs it can do about it. Different troubles have different advice.
    pub fn advice(&self) -> &'static str {
        match self {
            AddError::Full => "the stream is full: workers have to take messages off, or its capacity has to be raised",
            AddError::Redis(fault) => fault.advice(),
            AddError::Unreplicated { .. } => "replicas are down or slow",
            AddError::Unreadable(_) => "what was spooled cannot be read",
        }
    }
}

impl Display for AddError {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            AddError::Full => f.write_str("no room"),
            AddError::Redis(fault) => Display::fmt(fault, f),
            AddError::Unreplicated { got, wanted } => write!(f, "{got} of {wanted} replicas have it"),
            AddError::Unreadable(e) => Display::fmt(e, f),
        }
    }
}

/// Why Redis cannot be used at the moment, with [advice](RedisFault::advice).
#[derive(Debug)]
pub struct RedisFault(pub(super) AddError);

impl RedisFault {
    /// What an operator can do about it, in a few words.
    pub fn advice(&self) -> &str {
        self.0.advice()
    }
}

impl Display for RedisFault {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        Display::fmt(&self.0, f)
    }
}

impl std::error::Error for RedisFault {}
