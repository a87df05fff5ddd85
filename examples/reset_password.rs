//! A program that mails a link to a user who forgot the password, and a test that follows the link.
//!
//! cargo test --features mime --example reset_password

use std::collections::HashMap;

use lettre::{Message, SmtpTransport, Transport};

/// What a web framework would call.
struct Accounts {
    mailer: SmtpTransport,
    passwords: HashMap<String, String>,
    tokens: HashMap<String, String>,
}

impl Accounts {
    /// Somebody claims to have forgotten a password. The answer does not reveal whether the account exists.
    fn forgot(&mut self, email: &str) -> Result<(), Box<dyn std::error::Error>> {
        if !self.passwords.contains_key(email) {
            return Ok(());
        }
        // A real one is random.
        let token = format!("token-{}", self.tokens.len() + 1);
        let message = Message::builder()
            .from("Example <noreply@example.org>".parse()?)
            .to(email.parse()?)
            .subject("Reset your password")
            .body(format!(
                "Somebody, hopefully you, wants a new password.\n\nhttps://example.org/reset?token={token}\n"
            ))?;
        self.mailer.send(&message)?;
        self.tokens.insert(token, email.to_owned());
        Ok(())
    }

    /// The user followed the link and chose a password. A link works once.
    fn reset(&mut self, link: &str, password: &str) -> bool {
        let token = link.split_once("?token=").map_or("", |(_, token)| token);
        let Some(email) = self.tokens.remove(token) else { return false };
        self.passwords.insert(email, password.to_owned());
        true
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = std::env::args().nth(1).unwrap_or("127.0.0.1:8025".to_owned());
    let (host, port) = address.rsplit_once(':').ok_or("expected HOST:PORT")?;
    let mailer = SmtpTransport::builder_dangerous(host).port(port.parse()?).build();
    let passwords = HashMap::from([("bob@example.org".to_owned(), "old".to_owned())]);
    let mut accounts = Accounts { mailer, passwords, tokens: HashMap::new() };
    accounts.forgot("bob@example.org")?;
    println!("Bob has mail at {address}");
    accounts.reset("https://example.org/reset?token=token-1", "new");
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use pillarbox::testing::Expected;
    use pillarbox::{Inbox, Server};

    use super::*;

    fn accounts() -> (Accounts, Inbox) {
        let inbox = Server::builder().inbox("127.0.0.1:0").unwrap();
        let mailer = SmtpTransport::from_url(&inbox.url()).unwrap().build();
        let passwords = HashMap::from([("bob@example.org".to_owned(), "old".to_owned())]);
        (Accounts { mailer, passwords, tokens: HashMap::new() }, inbox)
    }

    #[test]
    fn a_password_is_reset_by_the_link_in_the_mail() {
        let (mut accounts, inbox) = accounts();
        accounts.forgot("bob@example.org").unwrap();

        let mail = inbox.recv_timeout(Duration::from_secs(5)).unwrap();
        Expected::mail()
            .from("noreply@example.org")
            .to(["bob@example.org"])
            .subject("Reset your password")
            .nowhere("old")
            .assert(&mail);
        let links = mail.parsed().unwrap().links();

        assert!(accounts.reset(&links[0], "new"));
        assert_eq!(accounts.passwords["bob@example.org"], "new");
        assert!(!accounts.reset(&links[0], "newer"), "a link works once");
    }

    #[test]
    fn strangers_get_no_mail() {
        let (mut accounts, inbox) = accounts();
        accounts.forgot("eve@example.org").unwrap();
        inbox.assert_empty(Duration::ZERO);
    }
}
