//! Slow links: content is read, and replies are sent, no faster than a script says.

use std::time::{Duration, Instant};

use crate::support::client::{Client, PATIENCE};
use pillarbox::testing::{Do, Faults, On};
use pillarbox::{Inbox, Server, Verb};

fn inbox(faults: &Faults) -> Inbox {
    Server::builder().faults(faults.clone()).inbox("127.0.0.1:0").expect("a free port")
}

/// As if an hour went by for a message.
const CRAWL: u64 = 1;

#[test]
fn content_takes_its_time() {
    let faults = Faults::new()
        .when(On::verb(Verb::Data), Do::Bandwidth(20_000))
        .when(On::verb(Verb::Bdat), Do::Bandwidth(20_000));
    let inbox = inbox(&faults);
    let content = "x".repeat(78) + "\r\n";
    let content = content.repeat(50);
    let time = Duration::from_secs_f64(content.len() as f64 / 20_000.0);
    let mut client = Client::envelope(inbox.local_addr());
    client.expect("DATA", "354");
    let begun = Instant::now();
    client.send(format!("{content}.\r\n"));
    client.expect_reply("250 2.0.0 OK");
    assert!(begun.elapsed() >= time, "{:?}", begun.elapsed());
    client.begin();
    let begun = Instant::now();
    for last in ["", " LAST"] {
        client.send(format!("BDAT {}{last}\r\n{content}", content.len()));
        client.expect_reply("250");
    }
    assert!(begun.elapsed() >= 2 * time, "{:?}", begun.elapsed());
    let mails = inbox.recv_n(2, PATIENCE).expect("both");
    let lengths: Vec<usize> = mails.iter().map(|mail| mail.bytes().expect("in memory").len()).collect();
    assert_eq!(lengths, [content.len(), 2 * content.len()]);
}

#[test]
fn replies_take_their_time() {
    let inbox = inbox(&Faults::new().bandwidth(2000));
    let mut client = Client::connect(inbox.local_addr());
    let begun = Instant::now();
    let offer = client.expect("EHLO client.example", "250");
    // All but the last slice has to be paid for before it is there.
    let least = Duration::from_secs_f64((offer.len() - 100) as f64 / 2000.0);
    assert!(begun.elapsed() >= least, "{:?} for {} octets", begun.elapsed(), offer.len());
    client.expect_in_step();
}

/// A message that would take an hour is there as soon as nothing goes wrong any more, and so is the next one.
#[test]
fn it_ends_with_its_rule() {
    type Change = fn(&Faults);
    let ends: [Change; 2] =
        [|faults| faults.clear(), |faults| faults.replace(&Faults::new().when(On::verb(Verb::Help), Do::Stall))];
    for end in ends {
        let faults = Faults::new().when(On::verb(Verb::Data), Do::Bandwidth(CRAWL));
        let inbox = inbox(&faults);
        let mut client = Client::envelope(inbox.local_addr());
        client.send("DATA\r\n");
        while faults.fired().is_empty() {
            std::thread::yield_now();
        }
        end(&faults);
        client.expect_reply("354");
        client.send("x\r\n".repeat(3600) + ".\r\n");
        client.expect_reply("250 2.0.0 OK");
        assert_eq!(inbox.len(), 1);
    }
}

#[test]
fn a_shutdown_does_not_wait_for_it_and_the_message_is_kept() {
    let faults = Faults::new().when(On::content_after(1), Do::Bandwidth(CRAWL));
    let inbox = inbox(&faults);
    let mut client = Client::envelope(inbox.local_addr());
    client.expect("DATA", "354");
    client.send("x\r\n".repeat(3600) + ".\r\n");
    while faults.fired().is_empty() {
        std::thread::yield_now();
    }
    let report = inbox.server().shutdown(PATIENCE);
    assert_eq!((report.cut, report.joined), (0, true));
    client.expect_reply("250 2.0.0 OK");
    assert_eq!(inbox.len(), 1);
}

/// What the server takes its time for is not the client's delay.
#[test]
fn it_is_not_the_client_that_is_late() {
    let timeout = Duration::from_secs(3);
    let faults = Faults::new().when(On::content_after(5), Do::Delay(timeout + timeout / 4));
    let builder = Server::builder().data_timeout(timeout).faults(faults);
    let inbox = builder.inbox("127.0.0.1:0").expect("a free port");
    let mut client = Client::envelope(inbox.local_addr());
    client.expect("DATA", "354");
    client.send("hello\r\n.\r\n");
    client.expect_reply("250 2.0.0 OK");
    assert_eq!(inbox.len(), 1);
}

#[test]
fn the_last_one_counts() {
    let faults = Faults::new().bandwidth(CRAWL).when(On::connect(), Do::Bandwidth(u64::MAX));
    let inbox = inbox(&faults);
    let mut client = Client::envelope(inbox.local_addr());
    client.expect("DATA", "354");
    client.send("x\r\n".repeat(3600) + ".\r\n");
    client.expect_reply("250 2.0.0 OK");
    assert_eq!(faults.times(), [1, 1]);
}

#[cfg(feature = "tls")]
#[test]
fn within_tls() {
    use crate::support::tls::{Certificate, TlsClient};
    let certificate = Certificate::new();
    let faults = Faults::new().when(On::content_after(0), Do::Bandwidth(20_000));
    let builder = Server::builder().lmtp(true).tls(certificate.tls()).faults(faults.clone());
    let inbox = builder.inbox("127.0.0.1:0").expect("a free port");
    let mut client = TlsClient::connect(inbox.local_addr());
    client.expect_reply("220 ");
    client.expect("LHLO client.example", "250");
    client.expect("STARTTLS", "220");
    let mut client = client.handshake(&certificate);
    client.expect("LHLO client.example", "250");
    client.expect("MAIL FROM:<>", "250");
    client.expect("RCPT TO:<bob@example.org>", "250");
    client.expect("DATA", "354");
    let begun = Instant::now();
    client.send("x\r\n".repeat(1000) + ".\r\n");
    client.expect_reply("250 2.0.0 OK");
    assert!(begun.elapsed() >= Duration::from_millis(150), "{:?}", begun.elapsed());
}
