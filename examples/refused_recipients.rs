//! A program that writes to many people, some of whom cannot be reached, and its test:
//! `cargo test --example refused_recipients`.

use lettre::{Message, SmtpTransport, Transport};

type Error = Box<dyn std::error::Error>;

/// What became of a newsletter.
#[derive(Default, PartialEq, Debug)]
struct Report {
    sent: usize,
    /// Refused for good: to be removed from the list.
    gone: Vec<String>,
    /// To be tried again later.
    later: Vec<String>,
}

/// Sends to each recipient separately, so that a refusal does not affect the others.
fn send_newsletter(mailer: &SmtpTransport, subscribers: &[&str]) -> Result<Report, Error> {
    let mut report = Report::default();
    for subscriber in subscribers {
        let message = Message::builder().from("news@example.org".parse()?).to(subscriber.parse()?);
        match mailer.send(&message.subject("News").body("There is none.\n".to_owned())?) {
            Ok(_) => report.sent += 1,
            Err(e) if e.is_permanent() => report.gone.push((*subscriber).to_owned()),
            Err(_) => report.later.push((*subscriber).to_owned()),
        }
    }
    Ok(report)
}

fn main() -> Result<(), Error> {
    let url = std::env::args().nth(1).unwrap_or("smtp://127.0.0.1:8025".to_owned());
    let report = send_newsletter(&SmtpTransport::from_url(&url)?.build(), &["ann@example.org", "bob@example.org"])?;
    println!("{report:?}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use pillarbox::testing::{Do, Faults, On};
    use pillarbox::{Recipient, Reply, Server, Verb};

    use super::*;

    #[test]
    fn some_are_refused_and_all_others_get_it() {
        let faults = Faults::new()
            .when(On::verb(Verb::Rcpt).to("bob@example.org"), Do::Reply(Reply::new(550, "5.1.1", "no such user")))
            .when(On::verb(Verb::Rcpt).to("@busy.example"), Do::Reply(Reply::new(450, "4.2.1", "busy")))
            // This server says so only when it has seen the message.
            .when(On::content().to("dora@example.org"), Do::Reply(Reply::new(552, "5.2.2", "mailbox full")));
        let inbox = Server::builder().faults(faults).inbox("127.0.0.1:0").unwrap();
        let mailer = SmtpTransport::from_url(&inbox.url()).unwrap().build();

        let subscribers =
            ["ann@example.org", "bob@example.org", "carol@busy.example", "dora@example.org", "eve@example.org"];
        let report = send_newsletter(&mailer, &subscribers).unwrap();

        let gone = vec!["bob@example.org".to_owned(), "dora@example.org".to_owned()];
        assert_eq!(report, Report { sent: 2, gone, later: vec!["carol@busy.example".to_owned()] });
        let mails = inbox.recv_n(2, Duration::from_secs(5)).unwrap();
        let reached: Vec<&Recipient> = mails.iter().flat_map(|mail| mail.recipients()).collect();
        assert_eq!(reached, ["ann@example.org", "eve@example.org"]);
    }
}
