//! Where Redis is, and how a connection to it is made.

use std::fmt::{self, Display, Formatter};
#[cfg(feature = "_tls")]
use std::io;
use std::io::ErrorKind;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use redis::{ConnectionAddr, IntoConnectionInfo, cmd};

use super::connection::Connection;
use super::fault::Fault;
#[cfg(feature = "_tls")]
use super::tls::RedisTls;
use crate::io::stream::ConnectionStream;
use crate::io::transport::Transport;
use crate::syntax::escaped::Escaped;
use crate::upstream::{Resolver, Target};

/// A Redis: its address, who logs in, and how long it may take.
#[derive(Clone)]
pub(super) struct RedisServer {
    target: Target,
    #[cfg(feature = "_tls")]
    host: String,
    place: String,
    user: Option<String>,
    password: Option<String>,
    database: i64,
    #[cfg(feature = "_tls")]
    security: Option<Security>,
    resolver: Arc<Resolver>,
    pub connect_timeout: Duration,
    pub response_timeout: Duration,
}

/// TLS, and what is trusted.
#[cfg(feature = "_tls")]
#[derive(Clone)]
enum Security {
    Verified(RedisTls),
    Unverified,
}

impl RedisServer {
    pub fn new(url: &str) -> Result<RedisServer, RedisUrlError> {
        let invalid = |why: &str| RedisUrlError(why.to_owned());
        // The redis crate reads such URLs only where it does TLS itself.
        let plain = [("rediss://", "redis://"), ("valkeys://", "valkey://")]
            .iter()
            .find_map(|(secure, plain)| Some(format!("{plain}{}", url.strip_prefix(secure)?)));
        let (plain, is_insecure) = match plain {
            None => (None, false),
            Some(_) if cfg!(not(feature = "_tls")) => {
                return Err(invalid("rediss:// needs the feature tls or rustls"));
            }
            Some(plain) => match plain.split_once('#') {
                None => (Some(plain), false),
                Some((plain, "insecure")) => (Some(plain.to_owned()), true),
                Some(_) => return Err(invalid("after # there may only be 'insecure'")),
            },
        };
        let is_secure = plain.is_some();
        let info = plain.as_deref().unwrap_or(url).into_connection_info().map_err(|e| RedisUrlError(e.to_string()))?;
        let target = match info.addr() {
            ConnectionAddr::Tcp(host, port) => match host.parse::<IpAddr>() {
                Ok(ip) => Target::Address((ip, *port).into()),
                Err(_) => Target::Name(host.clone(), *port),
            },
            #[cfg(unix)]
            ConnectionAddr::Unix(path) => Target::Path(path.clone()),
            _ => return Err(invalid("the URL leads to nothing that can be connected to")),
        };
        #[cfg(feature = "_tls")]
        let host = if let ConnectionAddr::Tcp(host, _) = info.addr() { host.clone() } else { String::new() };
        let login = info.redis_settings();
        #[cfg(not(feature = "_tls"))]
        let _ = (is_secure, is_insecure);
        Ok(RedisServer {
            target,
            #[cfg(feature = "_tls")]
            host,
            place: info.addr().to_string(),
            user: login.username().map(str::to_owned),
            password: login.password().map(str::to_owned),
            database: login.db(),
            #[cfg(feature = "_tls")]
            security: is_secure.then(|| match is_insecure {
                true => Security::Unverified,
                false => Security::Verified(RedisTls::new()),
            }),
            resolver: Arc::default(),
            connect_timeout: Duration::from_secs(5),
            response_timeout: Duration::from_secs(30),
        })
    }

    /// Trusts and shows this; nothing where the URL asks for no TLS, or for no verification.
    #[cfg(feature = "_tls")]
    pub fn set_tls(&mut self, tls: RedisTls) {
        if let Some(Security::Verified(current)) = &mut self.security {
            *current = tls;
        }
    }

    /// Its address, without user and password.
    pub fn place(&self) -> &str {
        &self.place
    }

    /// A connection that has logged in.
    pub fn connect(&self) -> Result<Connection, Fault> {
        let deadline = Instant::now() + self.connect_timeout;
        let socket = self.target.connect(&self.resolver, deadline).map_err(Fault::Unconnected)?;
        let timeout = self.connect_timeout.max(Duration::from_millis(1));
        let transport = Transport::new(socket, timeout, timeout).map_err(Fault::Unconnected)?;
        #[allow(unused_mut, reason = "without TLS nothing changes")]
        let mut stream = ConnectionStream::new(transport);
        #[cfg(feature = "_tls")]
        if let Some(security) = &self.security {
            let client = match security {
                Security::Verified(tls) => tls.client(),
                Security::Unverified => RedisTls::unverifying(),
            };
            let client = client.map_err(|e| Fault::Insecure(io::Error::other(e)))?;
            stream.transport().set_read_deadline(deadline);
            stream.transport().set_write_deadline(deadline);
            let tls = client.connect(&self.host, stream.transport().clone());
            stream.set_tls(tls.map_err(Fault::Insecure)?);
        }
        let mut connection = Connection::new(stream);
        self.log_in(&mut connection, deadline)?;
        Ok(connection)
    }

    /// Logs in, and has Redis answer once: one that hangs is known by that, and one that asks for a certificate within TLS 1.3.
    fn log_in(&self, connection: &mut Connection, deadline: Instant) -> Result<(), Fault> {
        let mut commands = Vec::new();
        if let Some(password) = &self.password {
            let mut auth = cmd("AUTH");
            if let Some(user) = &self.user {
                auth.arg(user);
            }
            auth.arg(password);
            commands.push(auth);
        }
        if self.database != 0 {
            let mut select = cmd("SELECT");
            select.arg(self.database);
            commands.push(select);
        }
        commands.push(cmd("PING"));
        let left = deadline.saturating_duration_since(Instant::now());
        let answers = connection.ask_all(&commands, left).map_err(|fault| self.at_login(fault))?;
        for answer in answers {
            match answer.extract_error().map_err(Fault::Rejected) {
                // It is let in, and may not do this.
                Err(fault) if fault.says("NOPERM") && fault.to_string().contains("ping") => {}
                answer => drop(answer?),
            }
        }
        Ok(())
    }

    /// What it means that there is no answer so early.
    fn at_login(&self, fault: Fault) -> Fault {
        match fault {
            #[cfg(feature = "_tls")]
            Fault::Unanswered(e) if self.security.is_some() && is_alert(&e) => Fault::Insecure(e),
            // Its alert may be lost with the connection.
            #[cfg(feature = "_tls")]
            Fault::Unanswered(e) if self.security.is_some() && is_end(&e) => {
                Fault::Insecure(io::Error::new(e.kind(), "Redis ended the connection after the handshake"))
            }
            Fault::Unanswered(e) if e.kind() == ErrorKind::InvalidData => Fault::Unanswered(e),
            Fault::Unanswered(e) => Fault::Unconnected(e),
            fault => fault,
        }
    }
}

#[cfg(feature = "_tls")]
fn is_end(e: &io::Error) -> bool {
    matches!(
        e.kind(),
        ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe | ErrorKind::ConnectionAborted
    )
}

/// Whether it comes from TLS itself.
#[cfg(feature = "_tls")]
fn is_alert(e: &io::Error) -> bool {
    let text = e.to_string().to_ascii_lowercase();
    text.contains("alert") || text.contains("ssl")
}

impl Display for RedisServer {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        Display::fmt(&Escaped::new(self.place.as_bytes()), f)
    }
}

/// Why a URL of Redis is invalid. It does not repeat the URL, which may contain a password.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RedisUrlError(String);

impl Display for RedisUrlError {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for RedisUrlError {}
