//! A mail server for one domain: port 25 for other servers, 465 and 587 for users, and a Unix socket where programs on this
//! machine deliver by LMTP. One handler takes the mail of all four: what is for the domain goes into a Maildir, and what users
//! send elsewhere goes to an upstream server.
//!
//! `cargo run --example mail_server FOLDER [UPSTREAM]`, where the folder has `cert.pem`, `key.pem`, and `users` with lines of
//! `USER:SECRET`. It listens on ports 8025, 8465 and 8587 of this machine, and at `lmtp` in the folder; the Maildir is `mail`
//! there.

use std::error::Error;
use std::fs;
use std::path::Path;

use pillarbox::handlers::{Maildir, Proxy};
use pillarbox::{
    Context, Envelope, Handler, Listener, MailParameters, Recipient, Reply, Response, ReversePath, Server, Session,
    Tls, Users,
};

const DOMAIN: &str = "example.org";

fn is_local(domain: Option<&str>) -> bool {
    // Only "postmaster" has no domain, and it is always ours.
    domain.is_none_or(|domain| domain.eq_ignore_ascii_case(DOMAIN))
}

/// Who may send to whom, on which listener.
struct Policy;

impl Session for Policy {
    fn mail(&mut self, context: &Context, from: &ReversePath, _: &MailParameters) -> Result<(), Reply> {
        // On the listeners that require a login there is one; on the others there is none.
        match context.identity() {
            Some(user) if from != format!("{user}@{DOMAIN}").as_str() => {
                Err(Reply::new(550, "5.7.1", "send from your own address"))
            }
            _ => Ok(()),
        }
    }

    fn rcpt(&mut self, context: &Context, to: &Recipient) -> Result<(), Reply> {
        let is_submission = context.listener_name() == Some("submission");
        let others = context.recipients().first();
        match is_local(to.domain()) {
            false if !is_submission => Err(Reply::new(550, "5.7.1", "relaying denied")),
            // The handler takes a message either way: the client sends it once more for the rest.
            is_local_too if others.is_some_and(|other| is_local(other.domain()) != is_local_too) => {
                Err(Reply::new(452, "4.5.3", "in a separate message, please"))
            }
            _ => Ok(()),
        }
    }
}

/// Stores what is for us, and relays the rest.
struct Route {
    mailbox: Maildir,
    upstream: Proxy,
}

impl Handler for Route {
    fn process_message(&mut self, mail: Envelope) -> Response {
        if mail.recipients().iter().all(|to| is_local(to.domain())) {
            self.mailbox.process_message(mail)
        } else {
            self.upstream.process_message(mail)
        }
    }
}

/// The addresses of the three ports, and where everything else is.
pub struct Places<'a> {
    pub smtp: &'a str,
    pub submissions: &'a str,
    pub submission: &'a str,
    pub folder: &'a Path,
    pub upstream: &'a str,
}

pub fn start(at: Places<'_>) -> Result<Server, Box<dyn Error>> {
    let file = |name: &str| at.folder.join(name);
    let tls = Tls::from_pem(&fs::read(file("cert.pem"))?, &fs::read(file("key.pem"))?)?;
    let handler = Route { mailbox: Maildir::create(file("mail"))?, upstream: Proxy::to(at.upstream).x_peer(false) };
    let user = |address| Listener::from(address).name("submission").require_auth(true).smtputf8(true);
    let server = Server::builder()
        .hostname(format!("mx.{DOMAIN}"))
        .tls(tls)
        .authenticator(Users::from_file(file("users"))?)
        .session(|_peer| Policy)
        .listen(user(at.submissions).implicit_tls())
        .listen(user(at.submission).require_tls(true))
        .listen(Listener::unix(file("lmtp")).lmtp(true).mode(0o660).offer_auth(false).data_size_limit(0))
        // Nobody needs a login to send us mail, so that nobody gets to guess passwords here.
        .serve(Listener::from(at.smtp).offer_auth(false), handler)?;
    Ok(server)
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.next().ok_or("which folder?")?;
    let upstream = arguments.next().unwrap_or_else(|| "localhost:25".to_owned());
    let server = start(Places {
        smtp: "localhost:8025",
        submissions: "localhost:8465",
        submission: "localhost:8587",
        folder: Path::new(&folder),
        upstream: &upstream,
    })?;
    for endpoint in server.local_endpoints() {
        eprintln!("listening on {endpoint}");
    }
    server.join();
    Ok(())
}
