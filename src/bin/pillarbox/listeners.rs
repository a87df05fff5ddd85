//! The listeners that the command line asks for, each with its policy and certificate.

use std::path::Path;

use clap::error::ErrorKind;
use pillarbox::{Listener, Tls};

use crate::causes::explain;
use crate::certificate::Certificate;
use crate::listen::{Listen, PASSED_IN};
use crate::options::{Arguments, usage};
use crate::passed_in::PassedIn;

/// Sockets that listen, and the certificates that came from files.
pub struct Listeners {
    pub listeners: Vec<Listener>,
    /// That of all listeners which have none of their own.
    pub tls: Option<Tls>,
    /// All, to be renewed.
    pub certificates: Vec<Certificate>,
}

/// Reads the certificates and opens the sockets, both of which may be for root only. Ends the process if the words of the
/// command line contradict each other.
pub fn open(arguments: &Arguments) -> Result<Listeners, String> {
    let asked = asked(arguments);
    for listen in &asked {
        check(listen, arguments);
    }
    #[cfg(unix)]
    if arguments.socket_mode.is_some() && !asked.iter().any(Listen::is_unix) {
        usage(ErrorKind::ArgumentConflict, "--socket-mode is for unix:PATH");
    }
    let mut certificates = Vec::new();
    let tls = read(arguments.tls_cert.as_deref(), arguments.tls_key.as_deref(), &mut certificates)?;
    let mut passed_in = PassedIn::from_env();
    let mut listeners = Vec::new();
    for listen in &asked {
        let listener = listener(listen, arguments, &mut passed_in)?;
        let own = read(listen.cert.as_deref(), listen.key.as_deref(), &mut certificates)?;
        let listener = match own {
            Some(own) => listener.tls(own),
            None => listener,
        };
        listeners.push(listener.bind().map_err(|e| explain(&e))?);
    }
    Ok(Listeners { listeners, tls, certificates })
}

/// LOCALADDR first, or its default if there is nothing else.
fn asked(arguments: &Arguments) -> Vec<Listen> {
    let default = || arguments.listen.is_empty().then(Listen::usual);
    arguments.local.clone().or_else(default).into_iter().chain(arguments.listen.iter().cloned()).collect()
}

/// What cannot be, with the words of the command line.
fn check(listen: &Listen, arguments: &Arguments) {
    let refuse = |problem: &str| usage(ErrorKind::ArgumentConflict, &format!("{}: {problem}", listen.address));
    let has_certificate = listen.cert.is_some() || arguments.tls_cert.is_some();
    let tls = [
        (listen.tls, "tls"),
        (listen.require_tls, "require-tls"),
        (arguments.smtps, "--smtps"),
        (arguments.require_tls, "--require-tls"),
    ];
    if let Some((_, word)) = tls.into_iter().find(|(is_given, _)| *is_given && !has_certificate) {
        let problem = "needs a certificate: --tls-cert and --tls-key for all listeners, or cert= and key= for one";
        refuse(&format!("{word} {problem}"));
    }
    if listen.require_auth && arguments.users.is_none() {
        refuse("require-auth needs --users");
    }
}

fn read(cert: Option<&Path>, key: Option<&Path>, certificates: &mut Vec<Certificate>) -> Result<Option<Tls>, String> {
    let (Some(cert), Some(key)) = (cert, key) else { return Ok(None) };
    let certificate = Certificate::read(cert, key)?;
    let tls = certificate.tls.clone();
    certificates.push(certificate);
    Ok(Some(tls))
}

fn listener(listen: &Listen, arguments: &Arguments, passed_in: &mut PassedIn) -> Result<Listener, String> {
    let mut listener = match listen.address.strip_prefix(PASSED_IN) {
        Some(name) => passed_in.take(name)?,
        None => Listener::from(&*listen.address),
    };
    if listen.tls || arguments.smtps {
        listener = listener.implicit_tls();
    }
    if listen.require_tls {
        listener = listener.require_tls(true);
    }
    if listen.require_auth {
        listener = listener.require_auth(true);
    }
    if listen.no_auth {
        listener = listener.offer_auth(false).require_auth(false);
    }
    if listen.lmtp {
        listener = listener.lmtp(true);
    }
    if listen.smtputf8 {
        listener = listener.smtputf8(true);
    }
    if let Some(size) = listen.size {
        listener = listener.data_size_limit(size);
    }
    #[cfg(unix)]
    if let Some(mode) = listen.mode.or(arguments.socket_mode).filter(|_| listen.is_unix()) {
        listener = listener.mode(mode);
    }
    Ok(listener)
}
