//! A program that tries again when a server is busy, and the tests in which one is: `cargo test --example retries`.

use std::thread;
use std::time::Duration;

use lettre::transport::smtp::Error;
use lettre::{Message, SmtpTransport, Transport};

/// Sends, and tries again after a wait where that may help: after a 4xx, or when the connection broke. A 5xx is final.
struct Retrying {
    transport: SmtpTransport,
    tries: u32,
    /// Doubles with each try. Greylisting usually lasts some minutes.
    pause: Duration,
}

impl Retrying {
    /// Returns the number of the successful try.
    fn send(&self, message: &Message) -> Result<u32, Error> {
        let mut pause = self.pause;
        for number in 1.. {
            match self.transport.send(message) {
                Ok(_) => return Ok(number),
                Err(e) if e.is_permanent() || number >= self.tries => return Err(e),
                Err(_) => thread::sleep(pause),
            }
            pause *= 2;
        }
        unreachable!("the last try returns")
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let url = std::env::args().nth(1).unwrap_or("smtp://127.0.0.1:8025".to_owned());
    let mailer =
        Retrying { transport: SmtpTransport::from_url(&url)?.build(), tries: 5, pause: Duration::from_secs(60) };
    let message = Message::builder().from("noreply@example.org".parse()?).to("bob@example.org".parse()?);
    println!("sent at try {}", mailer.send(&message.subject("Hello").body("Hello Bob\n".to_owned())?)?);
    Ok(())
}

#[cfg(test)]
mod tests {
    use pillarbox::testing::{Do, Faults, Moment, On};
    use pillarbox::{Inbox, Reply, Server, Verb};

    use super::*;

    fn send(inbox: &Inbox) -> Result<u32, Error> {
        let transport = SmtpTransport::from_url(&inbox.url()).unwrap().build();
        let mailer = Retrying { transport, tries: 3, pause: Duration::from_millis(1) };
        let message = Message::builder().from("a@example.org".parse().unwrap()).to("bob@example.org".parse().unwrap());
        mailer.send(&message.subject("Hello").body("Hello Bob\n".to_owned()).unwrap())
    }

    #[test]
    fn greylisting_takes_a_second_try() {
        let inbox = Server::builder().faults(Faults::new().greylist()).inbox("127.0.0.1:0").unwrap();
        assert_eq!(send(&inbox).unwrap(), 2);
        assert_eq!(send(&inbox).unwrap(), 1, "the server knows us now");
        assert_eq!(inbox.len(), 2);
    }

    #[test]
    fn a_refusal_for_good_is_not_tried_again() {
        let faults = Faults::new().when(On::verb(Verb::Rcpt), Do::Reply(Reply::new(550, "5.1.1", "no such user")));
        let inbox = Server::builder().faults(faults.clone()).inbox("127.0.0.1:0").unwrap();
        assert!(send(&inbox).unwrap_err().is_permanent());
        assert_eq!(faults.fired()[0].times, 1);
    }

    #[test]
    fn a_server_that_stays_busy_is_given_up() {
        let faults = Faults::new().when(On::connect(), Do::Reply(Reply::new(421, "4.3.2", "too busy")));
        let inbox = Server::builder().faults(faults.clone()).inbox("127.0.0.1:0").unwrap();
        assert!(send(&inbox).unwrap_err().is_transient());
        assert_eq!(faults.fired()[0].times, 3);
        assert!(inbox.is_empty());
    }

    /// The server has the message, but the client cannot know: better twice than never.
    #[test]
    fn a_lost_reply_brings_the_message_twice() {
        let inbox = Server::builder().faults(Faults::new().accept_then_hang_up(1)).inbox("127.0.0.1:0").unwrap();
        assert_eq!(send(&inbox).unwrap(), 2);
        assert_eq!(inbox.len(), 2);
    }

    /// Half of a message is none: it comes once, and whole.
    #[test]
    fn a_connection_that_breaks_within_the_content_takes_a_second_try() {
        let faults = Faults::new().when(On::content_after(20).nth(1), Do::Reset(Moment::Before));
        let inbox = Server::builder().faults(faults.clone()).inbox("127.0.0.1:0").unwrap();
        assert_eq!(send(&inbox).unwrap(), 2);
        assert_eq!(inbox.len(), 1);
        faults.assert_all_fired();
    }
}
