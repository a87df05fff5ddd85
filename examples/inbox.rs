//! A test that sees the mail its code sent: `cargo test --example inbox`.

use std::io::{self, Write};
use std::net::{SocketAddr, TcpStream};

/// The code under test: greets a new user by mail.
fn send_welcome_mail(server: SocketAddr, to: &str) -> io::Result<()> {
    let mut server = TcpStream::connect(server)?;
    write!(
        server,
        "HELO app.example\r\nMAIL FROM:<noreply@example.org>\r\nRCPT TO:<{to}>\r\nDATA\r\n\
         Subject: Welcome\r\n\r\nWelcome to the club!\r\n.\r\nQUIT\r\n"
    )?;
    // A better program would read the replies.
    io::copy(&mut server, &mut io::sink()).map(drop)
}

fn main() -> io::Result<()> {
    let server = std::env::args().nth(1).and_then(|address| address.parse().ok());
    match server {
        Some(server) => send_welcome_mail(server, "bob@example.org"),
        None => {
            eprintln!("usage: inbox ADDRESS:PORT (or run its test: cargo test --example inbox)");
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    #[test]
    fn a_new_user_is_welcomed() -> Result<(), Box<dyn std::error::Error>> {
        let inbox = pillarbox::Server::builder().inbox("127.0.0.1:0")?;
        super::send_welcome_mail(inbox.local_addr(), "bob@example.org")?;
        let mail = inbox.recv_timeout(Duration::from_secs(5))?;
        assert_eq!(mail.mail_from(), "noreply@example.org");
        assert_eq!(mail.recipients(), ["bob@example.org"]);
        assert!(mail.text()?.contains("Welcome"));
        assert!(inbox.is_empty());
        Ok(())
    }
}
