//! A submission server: users log in, send under their own address alone, and their mail goes on to a mail server with a header
//! that says who it was.
//!
//! `cargo run --example submission -- 127.0.0.1:8587 mail.example.org:25 users.txt`

use pillarbox::handlers::Proxy;
use pillarbox::{
    Builder, Context, Delivery, Envelope, Handler, MailParameters, Reply, Response, ReversePath, Server, Session,
    SessionFactory, Upstream, Users,
};

/// Takes mail from its author only.
struct OwnAddress;

impl Session for OwnAddress {
    fn mail(&mut self, context: &Context, from: &ReversePath, _: &MailParameters) -> Result<(), Reply> {
        // A user's name is an address here; a name of another kind needs a table.
        match context.identity() {
            Some(user) if *from == user => Ok(()),
            _ => Err(Reply::new(553, "5.7.1", "not your address")),
        }
    }
}

/// Adds the header, and leaves everything else to the relay, which asks the next server about each recipient in RCPT.
struct Submission(Proxy);

fn say_who(mail: &mut Envelope) -> Result<(), Reply> {
    let user = mail.identity().unwrap_or_default().to_owned();
    Ok(mail.prepend_header("X-Submitted-By", &user)?)
}

impl Handler for Submission {
    fn process_message(&mut self, mut mail: Envelope) -> Response {
        say_who(&mut mail).map(|()| self.0.process_message(mail)).into()
    }

    fn process_delivery(&mut self, mut delivery: Delivery) {
        match say_who(delivery.envelope_mut()) {
            Ok(()) => self.0.process_delivery(delivery),
            Err(reply) => delivery.respond(reply),
        }
    }

    fn session(&self) -> Option<SessionFactory> {
        self.0.session()
    }
}

fn submission(users: Users) -> Builder {
    // In production, add .tls(...).require_tls(true): passwords in clear are taken from this machine alone.
    Server::builder().authenticator(users).require_auth(true).session(|_peer| OwnAddress)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, upstream, users] = &arguments[..] else {
        return Err("usage: submission ADDRESS UPSTREAM USERS".into());
    };
    let relay = Submission(Proxy::to(Upstream::from(upstream.as_str())).x_peer(false));
    let server = submission(Users::from_file(users)?).serve(address, relay)?;
    eprintln!("listening on {}", server.local_addr());
    server.join();
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::time::Duration;

    use lettre::transport::smtp::authentication::Credentials;
    use lettre::{Message, SmtpTransport, Transport};

    use super::*;

    fn send(server: SocketAddr, from: &str, to: &str) -> Result<(), lettre::transport::smtp::Error> {
        let message = Message::builder().from(from.parse().unwrap()).to(to.parse().unwrap()).subject("hello");
        let bob = Credentials::new("bob@example.org".to_owned(), "open sesame".to_owned());
        let transport = SmtpTransport::builder_dangerous("127.0.0.1").port(server.port()).credentials(bob).build();
        transport.send(&message.body("Hello!\n".to_owned()).unwrap()).map(drop)
    }

    fn server(upstream: SocketAddr) -> Server {
        let users = Users::new().add("bob@example.org", "open sesame").unwrap();
        submission(users).serve("127.0.0.1:0", Submission(Proxy::to(upstream))).unwrap()
    }

    #[test]
    fn mail_of_ones_own_goes_on() {
        let upstream = Server::builder().inbox("127.0.0.1:0").unwrap();
        let server = server(upstream.local_addr());
        send(server.local_addr(), "bob@example.org", "carol@elsewhere.example").unwrap();
        let mail = upstream.recv_timeout(Duration::from_secs(5)).unwrap();
        let text = mail.text().unwrap();
        assert!(text.starts_with("Received: ") && text.contains(" with ESMTPA id "), "{text}");
        assert!(text.contains("\nX-Submitted-By: bob@example.org\nFrom: bob@example.org\n"), "{text}");
        assert_eq!(mail.recipients(), ["carol@elsewhere.example"]);
    }

    #[test]
    fn nobody_else_s_does() {
        let upstream = Server::builder().inbox("127.0.0.1:0").unwrap();
        let server = server(upstream.local_addr());
        let error = send(server.local_addr(), "carol@example.org", "dave@elsewhere.example").unwrap_err();
        assert_eq!(error.status().map(u16::from), Some(553), "{error}");
        assert!(upstream.try_recv().is_err());
    }
}
