//! A program that sends nothing in clear, and tests that try to make it do so.
//!
//! cargo test --features testing-tls --example require_tls

use lettre::transport::smtp::client::{Certificate, Tls, TlsParameters};
use lettre::{Message, SmtpTransport, Transport};

type Error = Box<dyn std::error::Error>;

/// Sends by STARTTLS or not at all. `root` is trusted in addition to the system's certificates; in production it is `None`.
fn send_secret(host: &str, port: u16, root: Option<&str>) -> Result<(), Error> {
    let mut parameters = TlsParameters::builder(host.to_owned());
    if let Some(pem) = root {
        parameters = parameters.add_root_certificate(Certificate::from_pem(pem.as_bytes())?);
    }
    let tls = Tls::Required(parameters.build()?);
    let message = Message::builder().from("noreply@example.org".parse()?).to("bob@example.org".parse()?);
    let message = message.subject("Your code").body("The code is 8315\n".to_owned())?;
    SmtpTransport::builder_dangerous(host).port(port).tls(tls).build().send(&message)?;
    Ok(())
}

fn main() -> Result<(), Error> {
    let host = std::env::args().nth(1).ok_or("usage: require_tls HOST")?;
    send_secret(&host, 587, None)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use pillarbox::testing::{Authority, Do, Faults, On};
    use pillarbox::{Inbox, Server};

    use super::*;

    fn inbox(authority: &Authority, faults: Faults) -> Inbox {
        let tls = authority.server().unwrap();
        Server::builder().tls(tls).require_tls(true).faults(faults).inbox("127.0.0.1:0").unwrap()
    }

    fn send(inbox: &Inbox, authority: &Authority) -> Result<(), Error> {
        send_secret("localhost", inbox.local_addr().port(), Some(authority.pem()))
    }

    #[test]
    fn the_code_arrives_by_tls() {
        let authority = Authority::new().unwrap();
        let inbox = inbox(&authority, Faults::new());
        send(&inbox, &authority).unwrap();
        let mail = inbox.recv_timeout(Duration::from_secs(5)).unwrap();
        assert!(mail.tls().is_some());
        assert!(mail.text().unwrap().contains("8315"));
    }

    /// What an attacker in between would do.
    #[test]
    fn nothing_is_sent_if_starttls_is_taken_away() {
        let authority = Authority::new().unwrap();
        let inbox = inbox(&authority, Faults::new().without(["STARTTLS"]));
        send(&inbox, &authority).unwrap_err();
        inbox.wait_until_idle(Duration::from_secs(5)).unwrap();
        let said = inbox.transcripts()[0].to_string();
        assert!(!said.contains("MAIL FROM"), "{said}");
    }

    #[test]
    fn nothing_is_sent_to_whom_the_certificate_is_not_for() {
        let authority = Authority::new().unwrap();
        let stranger = Authority::new().unwrap();
        let wrong = [
            authority.expired().unwrap(),
            authority.server_for(["mail.example.net"]).unwrap(),
            stranger.server().unwrap(),
        ];
        for certificate in wrong {
            let inbox = inbox(&authority, Faults::new().when(On::handshake(), Do::Certificate(certificate)));
            send(&inbox, &authority).unwrap_err();
            inbox.assert_empty(Duration::ZERO);
        }
    }
}
