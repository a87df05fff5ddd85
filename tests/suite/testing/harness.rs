//! The test harness in use: a program that sends mail by lettre, and the tests that its author would write.

use std::collections::HashSet;
use std::thread;
use std::time::Duration;

use crate::support::tls::Certificate;
use lettre::message::Mailbox;
use lettre::transport::smtp::client as smtp;
use lettre::{Message, SmtpTransport, Transport};
use pillarbox::testing::{Do, Faults, On};
use pillarbox::{Envelope, Inbox, Reply, Server, Verb};

const PATIENCE: Duration = Duration::from_secs(30);

/// The program under test.
mod app {
    use super::*;

    pub struct Mailer {
        pub transport: SmtpTransport,
        pub tries: usize,
        /// Between two tries; an hour would be usual.
        pub pause: Duration,
    }

    /// What became of a mail.
    #[derive(PartialEq, Debug)]
    pub enum Outcome {
        Sent { tries: usize },
        Refused,
        GivenUp,
    }

    impl Mailer {
        /// Sends one mail. Refusals for now and lost connections are no reason to give up at once.
        pub fn send(&self, to: &str, subject: &str, text: &str) -> Outcome {
            let to: Mailbox = to.parse().expect("an address");
            let message = Message::builder()
                .from("Example <noreply@example.org>".parse().expect("an address"))
                .message_id(Some(format!("<{subject}.{}@example.org>", to.email).replace(' ', "-")))
                .to(to)
                .subject(subject)
                .body(text.to_owned())
                .expect("a message");
            for tries in 1..=self.tries {
                match self.transport.send(&message) {
                    Ok(_) => return Outcome::Sent { tries },
                    Err(e) if e.is_permanent() => return Outcome::Refused,
                    Err(_) => thread::sleep(self.pause),
                }
            }
            Outcome::GivenUp
        }

        /// A link by which a user may choose a new password.
        pub fn reset_password(&self, user: &str, token: &str) -> Outcome {
            let text = format!("Hello,\n\nto choose a new password, go to\nhttps://example.org/reset?token={token}\n");
            self.send(user, "Your password", &text)
        }

        /// To each by itself; gives those who cannot be reached.
        pub fn newsletter<'a>(&self, to: &[&'a str]) -> Vec<&'a str> {
            to.iter().copied().filter(|to| self.send(to, "News", "none\n") == Outcome::Refused).collect()
        }
    }
}

use app::{Mailer, Outcome};

fn mailer(inbox: &Inbox, tls: smtp::Tls) -> Mailer {
    let port = inbox.local_addr().port();
    let transport = SmtpTransport::builder_dangerous("localhost").port(port).tls(tls).timeout(Some(PATIENCE)).build();
    Mailer { transport, tries: 3, pause: Duration::from_millis(1) }
}

fn inbox(faults: Faults) -> Inbox {
    Server::builder().faults(faults).inbox("localhost:0").expect("a free port")
}

/// The header field of a message, which stands on one line.
fn header(mail: &Envelope, name: &str) -> String {
    let text = mail.text().expect("UTF-8");
    let prefix = format!("{name}: ");
    text.lines().find_map(|line| line.strip_prefix(&prefix)).expect("the field").to_owned()
}

#[test]
fn a_user_who_forgot_the_password() {
    let inbox = inbox(Faults::new());
    assert_eq!(mailer(&inbox, smtp::Tls::None).reset_password("bob@example.org", "s3cr3t"), Outcome::Sent { tries: 1 });
    let mail = inbox.recv_matching(|mail| mail.recipients() == ["bob@example.org"], PATIENCE).unwrap();
    assert_eq!(mail.mail_from(), "noreply@example.org");
    assert_eq!(header(&mail, "Subject"), "Your password");
    let text = mail.text().unwrap();
    let link = text.lines().find(|line| line.starts_with("https://")).expect("a link");
    assert_eq!(link, "https://example.org/reset?token=s3cr3t");
    inbox.assert_empty(Duration::ZERO);
}

#[test]
fn greylisting_is_waited_for() {
    let faults = Faults::new().greylist();
    let inbox = inbox(faults.clone());
    let mailer = mailer(&inbox, smtp::Tls::None);
    for (user, tries) in [("ann@example.org", 2), ("bob@example.org", 2), ("ann@example.org", 1)] {
        assert_eq!(mailer.reset_password(user, "x"), Outcome::Sent { tries });
    }
    assert_eq!(inbox.recv_n(3, PATIENCE).unwrap()[1].recipients(), ["bob@example.org"]);
    assert_eq!(faults.fired()[0].times, 2);
}

#[test]
fn a_server_that_stays_busy_is_given_up() {
    let busy = Reply::new(450, "4.2.1", "busy");
    let faults = Faults::new().when(On::verb(Verb::Mail), Do::Reply(busy));
    let inbox = inbox(faults.clone());
    assert_eq!(mailer(&inbox, smtp::Tls::None).reset_password("bob@example.org", "x"), Outcome::GivenUp);
    assert_eq!(faults.fired()[0].times, 3);
    inbox.assert_empty(Duration::ZERO);
}

#[test]
fn those_who_cannot_be_reached_do_not_keep_it_from_the_others() {
    let unknown = Reply::new(550, "5.1.1", "no such user");
    let full = Reply::new(552, "5.2.2", "mailbox full");
    let faults = Faults::new()
        .when(On::verb(Verb::Rcpt).to("bob@example.org"), Do::Reply(unknown))
        .when(On::content().to("dora@example.org"), Do::Reply(full));
    let inbox = inbox(faults);
    let to = ["ann@example.org", "bob@example.org", "carol@example.org", "dora@example.org"];
    assert_eq!(mailer(&inbox, smtp::Tls::None).newsletter(&to), ["bob@example.org", "dora@example.org"]);
    let mails = inbox.recv_n(2, PATIENCE).unwrap();
    assert_eq!(mails.iter().map(|mail| mail.recipients()[0].as_str()).collect::<Vec<_>>(), [to[0], to[2]]);
}

#[test]
fn accepted_but_the_reply_was_lost() {
    let inbox = inbox(Faults::new().accept_then_hang_up(1));
    assert_eq!(mailer(&inbox, smtp::Tls::None).reset_password("bob@example.org", "x"), Outcome::Sent { tries: 2 });
    // It cannot be avoided that it comes twice, but whoever reads mail can tell that it is the same.
    let mails = inbox.recv_n(2, PATIENCE).unwrap();
    let ids: HashSet<_> = mails.iter().map(|mail| header(mail, "Message-ID")).collect();
    assert_eq!(ids.len(), 1);
    assert_ne!(mails[0].id(), mails[1].id());
}

#[test]
fn nothing_is_sent_in_clear() {
    let certificate = Certificate::new();
    let faults = Faults::new().when(On::verb(Verb::Ehlo).nth(1), Do::Without(vec!["STARTTLS".into()]));
    let builder = Server::builder().tls(certificate.tls()).require_tls(true).faults(faults);
    let inbox = builder.inbox("localhost:0").expect("a free port");
    let root = smtp::Certificate::from_pem(certificate.cert.as_bytes()).expect("PEM");
    let parameters = smtp::TlsParameters::builder("localhost".into()).add_root_certificate(root).build();
    let mailer = mailer(&inbox, smtp::Tls::Required(parameters.expect("parameters")));
    // Somebody between the two has taken STARTTLS away; the second try goes undisturbed.
    assert_eq!(mailer.reset_password("bob@example.org", "s3cr3t"), Outcome::Sent { tries: 2 });
    let mail = inbox.recv_timeout(PATIENCE).unwrap();
    assert!(mail.tls().is_some());
    let first = inbox.transcripts()[0].to_string();
    assert!(!first.contains("MAIL FROM") && !first.contains("s3cr3t"), "{first}");
}

#[test]
fn a_certificate_of_somebody_else_is_not_trusted() {
    let (own, other) = (Certificate::new(), Certificate::new());
    let faults = Faults::new().when(On::handshake(), Do::Certificate(other.tls()));
    let inbox = Server::builder().tls(own.tls()).faults(faults).inbox("localhost:0").expect("a free port");
    let root = smtp::Certificate::from_pem(own.cert.as_bytes()).expect("PEM");
    let parameters = smtp::TlsParameters::builder("localhost".into()).add_root_certificate(root).build();
    let mailer = mailer(&inbox, smtp::Tls::Required(parameters.expect("parameters")));
    assert_eq!(mailer.reset_password("bob@example.org", "x"), Outcome::GivenUp);
    inbox.assert_empty(Duration::ZERO);
}

#[test]
fn the_test_decides_when_it_has_seen_the_mail() {
    let inbox = Server::builder().manual_inbox("localhost:0").expect("a free port");
    let port = inbox.local_addr().port();
    let transport = SmtpTransport::builder_dangerous("localhost").port(port).timeout(Some(PATIENCE)).build();
    let mailer = Mailer { transport, tries: 2, pause: Duration::ZERO };
    thread::scope(|scope| {
        let sending = scope.spawn(|| mailer.reset_password("bob@example.org", "x"));
        let delivery = inbox.recv_timeout(PATIENCE).unwrap();
        assert_eq!(header(delivery.envelope(), "Subject"), "Your password");
        delivery.respond(Reply::temporary("not yet"));
        let again = inbox.recv_timeout(PATIENCE).unwrap();
        assert!(!sending.is_finished());
        again.accept();
        assert_eq!(sending.join().expect("no panic"), Outcome::Sent { tries: 2 });
    });
}
