//! Messages that a program changes, splits or makes, and what the ready-made handlers do with them.

use std::io::{self, Read, Write};
use std::sync::Arc;

use crate::support::client::{Client, PATIENCE};
use parking_lot::Mutex;
use pillarbox::handlers::{Debugging, Proxy};
use pillarbox::{
    Delivery, Endpoint, Envelope, Handler, Inbox, Protocol, Recipient, Reply, Response, Server, SessionFactory,
};

fn inbox() -> Inbox {
    Server::builder().smtputf8(true).transcripts(true).inbox("127.0.0.1:0").unwrap()
}

fn send(server: &Server, content: &str, reply: &str) {
    let mut client = Client::ehlo(server.local_addr());
    client.begin();
    client.expect("DATA", "354");
    client.expect(format!("{content}\r\n."), reply);
}

/// What the upstream was told in MAIL.
fn mail_line(mail: &Envelope) -> String {
    let commands = mail.transcript().unwrap().commands().map(|line| line.into_owned());
    commands.filter(|line| line.starts_with("MAIL")).last().unwrap()
}

fn content(mail: &Envelope) -> String {
    String::from_utf8_lossy(&mail.bytes().unwrap()).into_owned()
}

/// The part of a relayed message that the relay did not add.
fn behind_received(mail: &Envelope) -> String {
    let content = content(mail);
    let (_, rest) = content.split_once("X-Peer: 127.0.0.1\r\n").unwrap_or_else(|| panic!("{content}"));
    rest.to_owned()
}

#[test]
fn a_header_in_front_is_relayed() {
    let upstream = inbox();
    let mut relay = Proxy::to(upstream.local_addr());
    let server = Server::builder().serve("127.0.0.1:0", move |mut mail: Envelope| {
        mail.prepend_header("X-Scanned", "yes")?;
        Ok(relay.process_message(mail))
    });
    send(&server.unwrap(), "Subject: x\r\n\r\n..dot", "250");
    let mail = upstream.recv_timeout(PATIENCE).unwrap();
    assert_eq!(behind_received(&mail), "X-Scanned: yes\r\nSubject: x\r\n\r\n.dot\r\n");
    assert_eq!(mail_line(&mail), format!("MAIL FROM:<sender@client.example> SIZE={}", mail.content().len()));
}

/// A handler that leaves everything else to the relay behind it, its hooks too.
struct Stamp(Proxy);

impl Handler for Stamp {
    fn process_message(&mut self, mail: Envelope) -> Response {
        self.0.process_message(mail)
    }

    fn process_delivery(&mut self, mut delivery: Delivery) {
        match delivery.envelope_mut().prepend_header("X-Stamp", &"word ".repeat(200)) {
            Ok(()) => self.0.process_delivery(delivery),
            Err(e) => delivery.respond(Reply::from(e)),
        }
    }

    fn session(&self) -> Option<SessionFactory> {
        self.0.session()
    }
}

#[test]
fn a_handler_changes_what_another_began() {
    let upstream = Server::builder().session(|_: &_| OnlyGood).inbox("127.0.0.1:0").unwrap();
    let server = Server::builder().serve("127.0.0.1:0", Stamp(Proxy::to(upstream.local_addr()))).unwrap();
    let mut client = Client::ehlo(server.local_addr());
    client.expect("MAIL FROM:<a@client.example> SIZE=10", "250");
    client.expect("RCPT TO:<bad@example.org>", "550 5.7.1 not here");
    client.expect("RCPT TO:<good@example.org>", "250");
    client.expect("DATA", "354");
    client.expect("Subject: x\r\n.", "250");
    let mail = upstream.recv_timeout(PATIENCE).unwrap();
    assert!(behind_received(&mail).starts_with("X-Stamp: word word"), "{}", content(&mail));
    assert!(content(&mail).lines().all(|line| line.len() <= 78) && content(&mail).ends_with("\r\nSubject: x\r\n"));
}

struct OnlyGood;

impl pillarbox::Session for OnlyGood {
    fn rcpt(&mut self, _: &pillarbox::Context, to: &Recipient) -> Result<(), Reply> {
        if *to == "good@example.org" { Ok(()) } else { Err(Reply::new(550, "5.7.1", "not here")) }
    }
}

/// A header before a message whose first line begins with a blank was continued by that line, and so said what the client
/// wanted.
#[test]
fn a_client_cannot_go_on_with_our_headers() {
    let upstream = inbox();
    let server = Server::builder().serve("127.0.0.1:0", Proxy::to(upstream.local_addr())).unwrap();
    for blank in [" ", "\t"] {
        send(&server, &format!("{blank}203.0.113.1\r\nSubject: x"), "250");
        let mail = upstream.recv_timeout(PATIENCE).unwrap();
        assert_eq!(behind_received(&mail), format!("\r\n{blank}203.0.113.1\r\nSubject: x\r\n"));
    }
}

#[test]
fn eight_bits_and_a_size_are_told_of_what_the_content_has_become() {
    let upstream = inbox();
    let mut relay = Proxy::to(upstream.local_addr());
    let server = Server::builder().serve("127.0.0.1:0", move |mail: Envelope| {
        let text = content(&mail).replace("gruen", "gr\u{fc}n") + &"x".repeat(100_000) + "\n";
        Ok(relay.process_message(mail.with_content(text.as_bytes())?))
    });
    let server = server.unwrap();
    let mut client = Client::ehlo(server.local_addr());
    client.expect("MAIL FROM:<a@client.example> SIZE=10 BODY=7BIT", "250");
    client.expect("RCPT TO:<b@example.org>", "250");
    client.expect("DATA", "354");
    client.expect("Subject: x\r\n\r\ngruen\r\n.", "250");
    let mail = upstream.recv_timeout(PATIENCE).unwrap();
    let expected = format!("MAIL FROM:<a@client.example> BODY=8BITMIME SIZE={}", mail.content().len());
    assert_eq!(mail_line(&mail), expected);
    assert!(content(&mail).contains("gr\u{fc}n\r\nxxx") && content(&mail).ends_with("xxx\r\n"));
}

#[test]
fn a_loop_is_seen_in_what_was_put_before_the_message() {
    let upstream = inbox();
    let mut relay = Proxy::to(upstream.local_addr());
    let server = Server::builder().serve("127.0.0.1:0", move |mut mail: Envelope| {
        (0..101).try_for_each(|_| mail.prepend_header("Received", "by here"))?;
        Ok(relay.process_message(mail))
    });
    send(&server.unwrap(), "Subject: x", "554 5.4.6");
}

#[test]
fn a_header_that_cannot_be_is_a_451() {
    let server = Server::builder().serve("127.0.0.1:0", |mut mail: Envelope| {
        let subject = content(&mail);
        mail.prepend_header("X-Copy", &subject)?;
        Ok(())
    });
    send(&server.unwrap(), "Subject: x", "451 4.3.0");
}

#[test]
fn one_message_goes_to_several_handlers() {
    let (local, remote) = (inbox(), inbox());
    let mut handlers = [Proxy::to(local.local_addr()), Proxy::to(remote.local_addr())];
    let server = Server::builder().serve("127.0.0.1:0", move |mut mail: Envelope| {
        let (ours, others): (Vec<Recipient>, Vec<_>) =
            mail.recipients().iter().cloned().partition(|to| to.domain() == Some("here.example"));
        for (handler, recipients) in handlers.iter_mut().zip([ours, others]) {
            if let Some(part) = mail.for_recipients(recipients) {
                handler.process_message(part);
            }
        }
    });
    let server = server.unwrap();
    let mut client = Client::ehlo(server.local_addr());
    client.expect("MAIL FROM:<a@client.example>", "250");
    for to in ["x@here.example", "y@there.example", "z@here.example"] {
        client.expect(format!("RCPT TO:<{to}>"), "250");
    }
    client.expect("DATA", "354");
    client.expect("Subject: x\r\n.", "250");
    let (local, remote) = (local.recv_timeout(PATIENCE).unwrap(), remote.recv_timeout(PATIENCE).unwrap());
    assert_eq!(local.recipients(), ["x@here.example", "z@here.example"]);
    assert_eq!(remote.recipients(), ["y@there.example"]);
    assert_eq!(behind_received(&local), behind_received(&remote));
}

#[test]
fn a_large_message_on_disk_is_changed_there() {
    let folder = tempfile::tempdir().unwrap();
    let inbox =
        Server::builder().memory_budget(0).spool_threshold(0).spool_folder(folder.path()).inbox("127.0.0.1:0").unwrap();
    let mut client = Client::ehlo(inbox.local_addr());
    client.begin();
    client.expect("DATA", "354");
    let body = "line\r\n".repeat(50_000);
    client.expect(format!("Subject: x\r\n\r\n{body}."), "250");
    let mut mail = inbox.recv_timeout(PATIENCE).unwrap();
    assert_eq!(mail.content().memory_octets(), 0);
    mail.prepend_header("A", "1").unwrap();
    assert!(mail.content().memory_octets() < 1000);
    let expected = format!("A: 1\r\nSubject: x\r\n\r\n{body}");
    assert!(content(&mail) == expected && mail.content().len() == expected.len() as u64);
    #[cfg(feature = "mime")]
    {
        let parsed = mail.parsed().unwrap();
        assert_eq!((parsed.header("A"), parsed.subject()), (Some("1"), Some("x")));
        assert_eq!(parsed.text().unwrap().lines().count(), 50_000);
    }
    mail.rewrite(|mut from, to| {
        io::copy(&mut from, to)?;
        to.write_all(b"last\n")
    })
    .unwrap();
    assert_eq!(mail.content().memory_octets(), 0, "the new content is in memory");
    assert!(content(&mail) == expected + "last\r\n");
    let part = mail.for_recipients([mail.recipients()[0].clone()]).unwrap();
    drop(mail);
    let mut read = Vec::new();
    part.content().reader().read_to_end(&mut read).unwrap();
    assert!(read.ends_with(b"line\r\nlast\r\n"));
}

#[test]
fn what_was_changed_counts_against_the_budgets() {
    let inbox = Server::builder().inbox("127.0.0.1:0").unwrap();
    let mut client = Client::ehlo(inbox.local_addr());
    client.begin();
    client.expect("DATA", "354");
    client.expect("Subject: x\r\n.", "250");
    let mut mail = inbox.recv_timeout(PATIENCE).unwrap();
    let before = inbox.server().stats().memory_octets;
    let mail_then = |mail: &mut Envelope| mail.prepend_header("A", &"x".repeat(900)).unwrap();
    mail_then(&mut mail);
    assert!(inbox.server().stats().memory_octets >= before + 900);
    let mail = mail.with_content(&[b'x'; 60_000][..]).unwrap();
    assert!(inbox.server().stats().memory_octets >= 60_000);
    drop(mail);
    assert!(inbox.server().stats().memory_octets < before);
}

#[test]
fn a_message_that_a_program_made_is_relayed() {
    let upstream = inbox();
    let mut relay = Proxy::to(upstream.local_addr());
    let mut mail = Envelope::builder()
        .hostname("mx.example")
        .mail_from("gr\u{fc}n@client.example")
        .recipient_with("b@example.org", "NOTIFY=NEVER")
        .content("Subject: made\n\n.dot\ngr\u{fc}n\n")
        .build()
        .unwrap();
    mail.prepend_header("X-Note", "gr\u{fc}n").unwrap();
    let id = mail.id();
    let response = relay.process_message(mail);
    let mail = upstream.recv_timeout(PATIENCE).unwrap();
    assert_eq!(response, Response::Each(vec![Reply::new(250, "2.0.0", format!("OK {}", mail.id()))]));
    let text = content(&mail);
    assert!(text.starts_with("Received: from localhost\r\n\tby mx.example with UTF8SMTP id "), "{text}");
    assert!(text.contains(&id.to_string()));
    assert!(text.ends_with("X-Note: gr\u{fc}n\r\nSubject: made\r\n\r\n.dot\r\ngr\u{fc}n\r\n"), "{text}");
    assert_eq!(
        mail_line(&mail),
        format!("MAIL FROM:<gr\u{fc}n@client.example> BODY=8BITMIME SMTPUTF8 SIZE={}", mail.content().len())
    );
}

#[test]
fn octets_without_lines_stay_as_they_are_behind_a_header() -> io::Result<()> {
    let upstream = inbox();
    let mut relay = Proxy::to(upstream.local_addr()).x_peer(false);
    for blank in ["", " "] {
        let octets = format!("{blank}Subject: x\r\n\r\n\0\n.\r\n.\r\r").into_bytes();
        let mail = Envelope::builder().recipient("b@example.org").mail_options("BODY=BINARYMIME").content(&octets);
        let mut mail = mail.build().unwrap();
        mail.prepend_header("A", "1")?;
        relay.process_message(mail);
        let mail = upstream.recv_timeout(PATIENCE).unwrap();
        let expected = [if blank.is_empty() { &b"\r\nA: 1\r\n"[..] } else { b"\r\nA: 1\r\n\r\n" }, &octets].concat();
        assert!(mail.bytes()?.ends_with(&expected), "{}", mail.bytes()?.escape_ascii());
        assert_eq!(mail_line(&mail), format!("MAIL FROM:<> BODY=BINARYMIME SIZE={}", mail.content().len()));
    }
    Ok(())
}

#[test]
fn a_program_may_speak_for_a_stranger() {
    let upstream = inbox();
    let mut relay = Proxy::to(upstream.local_addr());
    let mail = || Envelope::builder().recipient("b@example.org");
    let stranger = mail().peer(Endpoint::Tcp("192.0.2.1:9".parse().unwrap()));
    let refused = Response::Each(vec![Reply::new(550, "5.7.1", "Relaying denied")]);
    assert_eq!(relay.process_message(stranger.clone().build().unwrap()), refused);
    assert_ne!(relay.process_message(stranger.identity("bob").build().unwrap()), refused);
    let lmtp = mail().recipient("c@example.org").protocol(Protocol::Lmtp).build().unwrap();
    let Response::Each(replies) = relay.process_message(lmtp) else { panic!("one reply for all") };
    assert!(replies.len() == 2 && replies.iter().all(Reply::is_positive), "{replies:?}");
}

#[derive(Clone, Default)]
struct Screen(Arc<Mutex<Vec<u8>>>);

impl Write for Screen {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        self.0.lock().write(octets)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_message_that_a_program_made_is_printed() {
    let screen = Screen::default();
    let mut mail = Envelope::builder().recipient("b@example.org").content("Subject: x\n\nhello").build().unwrap();
    mail.prepend_header("A", "1").unwrap();
    assert_eq!(Debugging::new(screen.clone()).process_message(mail), Response::from(()));
    assert_eq!(
        String::from_utf8(screen.0.lock().clone()).unwrap(),
        "---------- MESSAGE FOLLOWS ----------\nA: 1\nSubject: x\nX-Peer: unix:\n\nhello\n\
         ------------ END MESSAGE ------------\n"
    );
}
