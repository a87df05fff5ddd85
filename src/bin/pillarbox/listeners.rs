//! The listeners that the command line asks for, each with its policy and certificate.

use clap::error::ErrorKind;
use pillarbox::{Listener, Tls};

use crate::causes::explain;
use crate::certificate::{Certificate, Clients, Source};
use crate::listen::{Listen, PASSED_IN};
use crate::options::{Arguments, usage};
use crate::passed_in::PassedIn;
use crate::self_signed::SelfSigned;

/// Sockets that listen, and the certificates that came from files.
pub struct Listeners {
    pub listeners: Vec<Listener>,
    /// That of all listeners which have none of their own.
    pub tls: Option<Tls>,
    /// All, to be renewed.
    pub certificates: Vec<Certificate>,
    /// The authority of a certificate that was made now, in PEM.
    pub authority: Option<String>,
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
    let has_certificate = |listen: &Listen| listen.cert.is_some() || arguments.tls.has_certificate();
    if arguments.logins.client_ca.is_some() && !asked.iter().any(has_certificate) {
        usage(
            ErrorKind::MissingRequiredArgument,
            "--client-ca needs a certificate: --tls-cert and --tls-key, or --self-signed",
        );
    }
    if arguments.tls.tls_cert.len() != arguments.tls.tls_key.len() {
        usage(ErrorKind::WrongNumberOfValues, "each --tls-cert needs its --tls-key, in the same order");
    }
    let pairs: Vec<_> = arguments.tls.tls_cert.iter().cloned().zip(arguments.tls.tls_key.iter().cloned()).collect();
    let mut source = (!pairs.is_empty()).then_some(Source::Files(pairs));
    let mut authority = None;
    if let Some(file) = &arguments.tls.self_signed {
        let made = SelfSigned::make(arguments.hostname.as_deref())?;
        if let Some(file) = file {
            made.write_authority(file)?;
        }
        let (cert, key) = made.certificate;
        (source, authority) = (Some(Source::Made(cert, key)), Some(made.authority));
    }
    let clients = arguments.logins.client_ca.clone().map(|ca| Clients { ca, crl: arguments.logins.client_crl.clone() });
    let tls = source.clone().map(|source| read(source, clients.clone(), &mut certificates)).transpose()?;
    let mut passed_in = PassedIn::from_env();
    let mut listeners = Vec::new();
    for listen in &asked {
        let listener = listener(listen, arguments, &mut passed_in)?;
        // Clients that cannot authenticate are not asked who they are: other servers come with certificates of anybody's.
        let own_clients = clients.clone().filter(|_| !listen.no_auth);
        let own = listen.cert.clone().zip(listen.key.clone()).map(|pair| Source::Files(vec![pair]));
        let own = own.or_else(|| source.clone().filter(|_| own_clients != clients));
        let listener = match own {
            Some(own) => listener.tls(read(own, own_clients, &mut certificates)?),
            None => listener,
        };
        listeners.push(listener.bind().map_err(|e| explain(&e))?);
    }
    Ok(Listeners { listeners, tls, certificates, authority })
}

/// LOCALADDR first, or its default if there is nothing else.
fn asked(arguments: &Arguments) -> Vec<Listen> {
    let default = || arguments.listen.is_empty().then(Listen::usual);
    arguments.local.clone().or_else(default).into_iter().chain(arguments.listen.iter().cloned()).collect()
}

/// What cannot be, with the words of the command line.
fn check(listen: &Listen, arguments: &Arguments) {
    let refuse = |problem: &str| usage(ErrorKind::ArgumentConflict, &format!("{}: {problem}", listen.address));
    let has_certificate = listen.cert.is_some() || arguments.tls.has_certificate();
    let tls = [
        (listen.tls, "tls"),
        (listen.require_tls, "require-tls"),
        (arguments.tls.smtps, "--smtps"),
        (arguments.tls.require_tls, "--require-tls"),
    ];
    if let Some((_, word)) = tls.into_iter().find(|(is_given, _)| *is_given && !has_certificate) {
        let problem = "needs a certificate: --tls-cert and --tls-key or --self-signed for all listeners, or cert= and key= for one";
        refuse(&format!("{word} {problem}"));
    }
    if listen.require_auth && !arguments.logins.are_any() {
        refuse("require-auth needs --users, --client-ca or --accept-any-login");
    }
    if (listen.lmtp || arguments.lmtp) && listen.address.ends_with(":25") && !listen.address.starts_with("unix:") {
        refuse(
            "LMTP must not be spoken at port 25 (RFC 2033 section 5): servers that send mail there speak SMTP; choose another port, such as 24",
        );
    }
}

fn read(source: Source, clients: Option<Clients>, certificates: &mut Vec<Certificate>) -> Result<Tls, String> {
    let certificate = Certificate::read(source, clients)?;
    let tls = certificate.tls.clone();
    certificates.push(certificate);
    Ok(tls)
}

fn listener(listen: &Listen, arguments: &Arguments, passed_in: &mut PassedIn) -> Result<Listener, String> {
    let mut listener = match listen.address.strip_prefix(PASSED_IN) {
        Some(name) => passed_in.take(name)?,
        None => Listener::from(&*listen.address),
    };
    if arguments.reuse_port {
        listener = listener.reuse_port(true);
    }
    if listen.tls || arguments.tls.smtps {
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
