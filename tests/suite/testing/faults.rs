//! Faults on purpose: each comes where the script says, does what it says, and leaves the conversation in step.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::client::{Client, PATIENCE};
use pillarbox::testing::{Do, Event, Faults, Moment, On};
use pillarbox::{Context, Inbox, Reply, Server, Session, Verb};

/// Long enough to be noticed.
const PAUSE: Duration = Duration::from_millis(60);

fn inbox(faults: &Faults) -> Inbox {
    Server::builder().hostname("mx.example").faults(faults.clone()).inbox("127.0.0.1:0").expect("a free port")
}

fn busy() -> Reply {
    Reply::new(450, "4.2.1", "busy")
}

/// What came of one attempt to send a message, until the first refusal: the reply to it.
fn send(client: &mut Client, from: &str, to: &str) -> String {
    for line in [format!("MAIL FROM:<{from}>"), format!("RCPT TO:<{to}>"), "DATA".into(), "hello\r\n.".into()] {
        let reply = client.say(&line);
        if !reply.starts_with('2') && !reply.starts_with('3') {
            client.send("RSET\r\n");
            let _ = client.reply();
            return reply;
        }
        if line.ends_with('.') {
            return reply;
        }
    }
    unreachable!("the last line ends with a dot")
}

/// What the client gets of the rest, and how it ends.
fn rest(server: SocketAddr, text: &str) -> (String, std::io::Result<()>) {
    let mut stream = TcpStream::connect(server).expect("the server listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a TCP socket");
    // A server that has reset the connection already takes no more.
    let _ = stream.write_all(text.as_bytes());
    let (mut octets, mut buf) = (Vec::new(), [0; 512]);
    let ended = loop {
        match stream.read(&mut buf) {
            Ok(0) => break Ok(()),
            Ok(n) => octets.extend_from_slice(&buf[..n]),
            Err(e) => break Err(e),
        }
    };
    (String::from_utf8_lossy(&octets).into_owned(), ended)
}

#[test]
fn by_verb_and_number() {
    let faults = Faults::new().reply(Verb::Rcpt, 1, busy()).hang_up_after(Verb::Data, 2);
    let inbox = inbox(&faults);
    let mut client = Client::ehlo(inbox.local_addr());
    assert_eq!(send(&mut client, "a@b.example", "c@d.example"), "450 4.2.1 busy");
    assert!(send(&mut client, "a@b.example", "c@d.example").starts_with("250"));
    // On another connection: the count is the server's.
    let mut client = Client::envelope(inbox.local_addr());
    client.expect("DATA", "354");
    client.expect_close();
    assert!(send(&mut Client::ehlo(inbox.local_addr()), "a@b.example", "c@d.example").starts_with("250"));
    inbox.recv_n(2, PATIENCE).unwrap();
    assert!(inbox.is_empty());
    let fired: Vec<_> = faults.fired().iter().map(|fired| (fired.on.event, fired.times)).collect();
    assert_eq!(fired, [(Event::Verb(Verb::Rcpt), 1), (Event::Verb(Verb::Data), 1)]);
}

#[test]
fn by_sender_recipient_and_message() {
    let no = |text: &'static str| Do::Reply(Reply::new(550, "5.1.1", text));
    let faults = Faults::new()
        .when(On::verb(Verb::Rcpt).to("bob@example.org"), no("bob"))
        .when(On::verb(Verb::Mail).from("@spam.example"), no("spam"))
        .when(On::content().to("carol@example.org"), no("content"))
        .when(On::verb(Verb::Rcpt).message(5), no("fifth"));
    let inbox = inbox(&faults);
    let mut client = Client::ehlo(inbox.local_addr());
    assert_eq!(send(&mut client, "a@b.example", "bob@Example.org"), "550 5.1.1 bob");
    assert_eq!(send(&mut client, "a@spam.example", "ann@example.org"), "550 5.1.1 spam");
    assert_eq!(send(&mut client, "a@b.example", "carol@example.org"), "550 5.1.1 content");
    assert!(send(&mut client, "a@b.example", "ann@example.org").starts_with("250"));
    assert_eq!(send(&mut client, "a@b.example", "ann@example.org"), "550 5.1.1 fifth");
    assert!(send(&mut client, "a@b.example", "ann@example.org").starts_with("250"));
    assert_eq!(inbox.len(), 2);
}

#[test]
fn a_script_can_be_changed_while_it_runs() {
    let faults = Faults::new();
    let inbox = inbox(&faults);
    let mut client = Client::connect(inbox.local_addr());
    client.expect("NOOP", "250");
    faults.add(On::verb(Verb::Noop), Do::Reply(Reply::new(250, "2.0.0", "one\ntwo")));
    assert_eq!(client.say("NOOP"), "250-2.0.0 one\n250 2.0.0 two");
    faults.clear();
    assert_eq!(client.say("NOOP"), "250 2.0.0 OK");
    assert!(faults.fired().is_empty());
}

#[test]
fn a_reply_in_the_place_of_a_commands_own_leaves_it_undone() {
    let faults = Faults::new()
        .when(On::verb(Verb::Mail).nth(1), Do::Reply(Reply::ok()))
        .when(On::verb(Verb::Noop).nth(1), Do::Reply(Reply::new(354, "", "send")))
        .when(On::command().nth(6), Do::Reply(Reply::new(421, "4.3.2", "going down")));
    let inbox = inbox(&faults);
    let mut client = Client::ehlo(inbox.local_addr());
    client.expect("MAIL FROM:<a@b.example>", "250");
    client.expect("RCPT TO:<c@d.example>", "503");
    // Nothing would read what it asks for.
    client.expect("NOOP", "451");
    client.expect("NOOP", "250");
    client.expect("NONSENSE", "421 4.3.2 going down");
    client.expect_close();
}

#[test]
fn content_behind_a_scripted_reply_does_not_run() {
    let smuggled = "MAIL FROM:<evil@example.net>\r\n";
    let faults = Faults::new()
        .when(On::verb(Verb::Bdat).first(2), Do::Reply(busy()))
        .when(On::verb(Verb::Data).nth(1), Do::Garbage(b"nonsense\r\n".to_vec()));
    let inbox = inbox(&faults);
    let mut client = Client::envelope(inbox.local_addr());
    client.send(format!("BDAT {}\r\n{smuggled}", smuggled.len()));
    client.expect_reply("450 4.2.1");
    client.send(format!("BDAT {} LAST\r\n{smuggled}", smuggled.len()));
    client.expect_reply("450 4.2.1");
    client.expect_in_step();
    client.send(format!("DATA\r\n{smuggled}.\r\n"));
    client.expect_reply("nonsense");
    client.expect_reply("421 4.7.0");
    client.expect_close();
    assert!(inbox.is_empty());
}

#[test]
fn delays_and_drips() {
    let faults = Faults::new()
        .when(On::verb(Verb::Noop), Do::Delay(PAUSE))
        .when(On::verb(Verb::Rset), Do::Drip(PAUSE / 10))
        .when(On::connect(), Do::Delay(PAUSE));
    let inbox = inbox(&faults);
    let timed = |work: &mut dyn FnMut()| {
        let begun = Instant::now();
        work();
        begun.elapsed()
    };
    let mut client = None;
    assert!(timed(&mut || drop(client.insert(Client::raw(inbox.local_addr())).expect_reply("220 "))) >= PAUSE);
    let mut client = client.expect("it was made");
    assert!(timed(&mut || drop(client.expect("NOOP", "250 2.0.0 OK"))) >= PAUSE);
    assert!(timed(&mut || drop(client.expect("RSET", "250 2.0.0 OK"))) >= PAUSE / 10 * "250 2.0.0 OK\r\n".len() as u32);
}

#[test]
fn a_delay_holds_up_nothing_before_it_and_no_shutdown() {
    let inbox = inbox(&Faults::new().when(On::verb(Verb::Noop), Do::Delay(Duration::from_secs(3600))));
    let mut client = Client::connect(inbox.local_addr());
    client.send("VRFY a\r\nNOOP\r\n");
    client.expect_reply("252");
    let report = inbox.server().shutdown(PATIENCE);
    assert_eq!((report.cut, report.joined), (0, true));
    client.expect_reply("250");
    client.expect_reply("421 4.3.2");
}

#[test]
fn hanging_up_at_each_moment() {
    for (moment, expected) in [
        (Moment::Before, "220 mx.example ESMTP pillarbox\r\n"),
        (Moment::Within, "220 mx.example ESMTP pillarbox\r\n250 2.0"),
        (Moment::After, "220 mx.example ESMTP pillarbox\r\n250 2.0.0 OK\r\n"),
    ] {
        let inbox = inbox(&Faults::new().when(On::verb(Verb::Noop), Do::HangUp(moment)));
        let (said, ended) = rest(inbox.local_addr(), "NOOP\r\nNOOP\r\n");
        assert_eq!(said, expected);
        ended.expect("no reset");
    }
    let inbox = inbox(&Faults::new().hang_up_before(Verb::Noop, 1));
    assert_eq!(rest(inbox.local_addr(), "NOOP\r\n").0, "220 mx.example ESMTP pillarbox\r\n");
    let inbox = self::inbox(&Faults::new().hang_up_within(Verb::Noop, 1));
    assert!(rest(inbox.local_addr(), "NOOP\r\n").0.ends_with("\r\n250 2.0"));
}

#[test]
fn a_reset_is_one() {
    for moment in [Moment::Before, Moment::Within, Moment::After] {
        let inbox = inbox(&Faults::new().when(On::verb(Verb::Noop), Do::Reset(moment)));
        let (_, ended) = rest(inbox.local_addr(), "NOOP\r\n");
        assert_eq!(ended.unwrap_err().kind(), ErrorKind::ConnectionReset);
    }
}

#[test]
fn a_stall_ends_with_the_client_and_with_the_server() {
    let faults = Faults::new().when(On::verb(Verb::Noop), Do::Stall).when(On::content(), Do::Stall);
    let inbox = inbox(&faults);
    let mut client = Client::ehlo(inbox.local_addr());
    client.send("NOOP\r\nQUIT\r\n");
    client.close_writing();
    client.expect_close();
    inbox.wait_until_idle(PATIENCE).unwrap();

    let mut client = Client::ehlo(inbox.local_addr());
    client.send("VRFY a\r\nNOOP\r\n");
    client.expect_reply("252");
    let mut other = Client::envelope(inbox.local_addr());
    other.expect("DATA", "354");
    other.send(".\r\n");
    while faults.fired().len() < 2 {
        thread::yield_now();
    }
    let report = inbox.server().shutdown(PATIENCE);
    assert_eq!((report.cut, report.joined), (0, true));
    client.expect_close();
    other.expect_close();
}

#[test]
fn garbage_and_then_as_if_nothing_were() {
    let faults = Faults::new()
        .when(On::connect(), Do::Garbage(b"\0\xff\r\n".to_vec()))
        .when(On::verb(Verb::Noop), Do::Garbage(b"what?\r\n".to_vec()));
    let inbox = inbox(&faults);
    let (said, ended) = rest(inbox.local_addr(), "NOOP\r\nVRFY a\r\nQUIT\r\n");
    assert_eq!(said, "\0\u{fffd}\r\nwhat?\r\n252 2.5.2 Cannot verify, but mail for it is taken\r\n221 2.0.0 Bye\r\n");
    ended.unwrap();
}

#[test]
fn another_banner_and_none() {
    let reply = |code, text: &'static str| Do::Reply(Reply::new(code, "", text));
    let faults = Faults::new()
        .when(On::connect().nth(1), reply(554, "no service"))
        .when(On::connect().nth(2), reply(220, "hello\nthere"));
    let inbox = inbox(&faults);
    assert_eq!(rest(inbox.local_addr(), "NOOP\r\n").0, "554 5.0.0 no service\r\n");
    let mut client = Client::raw(inbox.local_addr());
    client.expect_reply("220-2.0.0 hello\n220 2.0.0 there");
    client.expect("NOOP", "250");
}

#[test]
fn extensions_that_are_not_offered() {
    let without = Do::Without(vec!["pipelining".into(), "SIZE".into(), "HELP".into()]);
    let inbox = inbox(&Faults::new().when(On::verb(Verb::Ehlo).nth(1), without));
    let mut client = Client::connect(inbox.local_addr());
    let reply = client.expect("EHLO client.example", "250-mx.example\n250-8BITMIME\n");
    assert!(!["PIPELINING", "SIZE", "HELP"].iter().any(|word| reply.contains(word)), "{reply}");
    let reply = client.expect("EHLO client.example", "250-mx.example\n250-PIPELINING\n250-SIZE ");
    assert!(reply.ends_with("\n250 HELP"), "{reply}");
}

#[test]
fn greylisting_tells_clients_apart() {
    let inbox = Server::builder()
        .proxy_protocol(pillarbox::Network::loopback())
        .faults(Faults::new().greylist())
        .inbox("127.0.0.1:0")
        .expect("a free port");
    let first_from = |client: &str| {
        let mut connection = Client::raw(inbox.local_addr());
        connection.send(format!("PROXY TCP4 {client} 192.0.2.25 1024 25\r\n"));
        connection.expect_reply("220");
        connection.expect("EHLO client.example", "250");
        send(&mut connection, "a@b.example", "c@d.example")
    };
    assert!(first_from("192.0.2.1").starts_with("450 4.7.1"));
    assert!(first_from("192.0.2.2").starts_with("450 4.7.1"));
    assert!(first_from("192.0.2.1").starts_with("250"));
}

#[test]
fn extensions_that_neither_smtp_nor_lmtp_offers() {
    let faults = Faults::new().without(["PIPELINING", "size"]);
    for (lmtp, hello) in [(false, "EHLO"), (true, "LHLO")] {
        let inbox = Server::builder().lmtp(lmtp).faults(faults.clone()).inbox("127.0.0.1:0").expect("a free port");
        let offer = Client::connect(inbox.local_addr()).say(format!("{hello} client.example"));
        assert!(!offer.contains("PIPELINING") && !offer.contains("SIZE") && offer.contains("8BITMIME"), "{offer}");
    }
}

#[test]
fn greylisting() {
    let inbox = inbox(&Faults::new().greylist());
    let mut client = Client::ehlo(inbox.local_addr());
    assert!(send(&mut client, "a@b.example", "c@d.example").starts_with("450 4.7.1"));
    assert!(send(&mut client, "a@b.example", "c@d.example").starts_with("250"));
    assert!(send(&mut client, "x@b.example", "c@d.example").starts_with("450 4.7.1"));
    assert!(send(&mut client, "a@b.example", "c@d.example").starts_with("250"));
    assert_eq!(inbox.len(), 2);
}

#[test]
fn a_rate_limit() {
    let faults = Faults::new().rate_limit(2, Duration::from_secs(3600));
    let inbox = inbox(&faults);
    let mut client = Client::ehlo(inbox.local_addr());
    let replies: Vec<_> = (0..4).map(|_| send(&mut client, "a@b.example", "c@d.example")[..9].to_owned()).collect();
    assert_eq!(replies, ["250 2.0.0", "250 2.0.0", "450 4.7.1", "450 4.7.1"]);
    assert_eq!(faults.fired()[0].times, 2);
}

#[test]
fn accepted_and_then_dropped() {
    let faults = Faults::new().accept_then_hang_up(1);
    let inbox = inbox(&faults);
    assert_eq!(send(&mut Client::ehlo(inbox.local_addr()), "a@b.example", "c@d.example"), "<closed>");
    assert!(send(&mut Client::ehlo(inbox.local_addr()), "a@b.example", "c@d.example").starts_with("250"));
    let [first, again] = &inbox.recv_n(2, PATIENCE).unwrap()[..] else { panic!("two") };
    assert_eq!(first.bytes().unwrap(), again.bytes().unwrap());
    inbox.wait_until_idle(PATIENCE).unwrap();
    let text = inbox.transcripts()[0].to_string();
    assert!(text.contains("C: .\n") && text.contains("-- fault: hang up before the reply\n"), "{text}");
}

#[test]
fn verdicts_on_content() {
    let faults = Faults::new()
        .when(On::content().nth(1), Do::Reply(busy()))
        .when(On::content().nth(2), Do::Reply(Reply::new(250, "2.0.0", "thrown away")))
        .when(On::accepted().nth(1), Do::Reply(Reply::new(451, "4.3.0", "kept all the same")))
        .when(On::accepted().nth(2), Do::HangUp(Moment::Within));
    let inbox = inbox(&faults);
    let mut client = Client::ehlo(inbox.local_addr());
    assert_eq!(send(&mut client, "a@b.example", "c@d.example"), "450 4.2.1 busy");
    assert_eq!(send(&mut client, "a@b.example", "c@d.example"), "250 2.0.0 thrown away");
    assert!(inbox.is_empty());
    assert_eq!(send(&mut client, "a@b.example", "c@d.example"), "451 4.3.0 kept all the same");
    assert_eq!(inbox.len(), 1);
    client.expect_in_step();
    let said = send(&mut client, "a@b.example", "c@d.example");
    assert_eq!((said.as_str(), inbox.len()), ("<closed>", 2));
}

#[test]
fn what_the_handler_refuses_was_not_accepted() {
    let faults = Faults::new().accept_then_hang_up(1);
    let refuse = |_: pillarbox::Envelope| Reply::permanent("no");
    let server = Server::builder().faults(faults.clone()).serve("127.0.0.1:0", refuse).expect("a free port");
    assert_eq!(send(&mut Client::ehlo(server.local_addr()), "a@b.example", "c@d.example"), "554 5.0.0 no");
    assert!(faults.fired().is_empty());
}

#[test]
fn lmtp_has_a_scripted_reply_for_each_recipient() {
    let faults = Faults::new().when(On::content(), Do::Reply(busy()));
    let inbox = Server::builder().lmtp(true).faults(faults).inbox("127.0.0.1:0").expect("a free port");
    let mut client = Client::connect(inbox.local_addr());
    client.expect("LHLO client.example", "250");
    client.begin();
    client.expect("RCPT TO:<other@example.org>", "250");
    client.expect("DATA", "354");
    client.expect(".", "450 4.2.1 busy");
    client.expect_reply("450 4.2.1 busy");
    client.expect_in_step();
}

#[test]
fn within_content_of_one_sender_to_one_recipient() {
    let no = Do::Reply(Reply::new(552, "5.2.2", "no more of this"));
    let faults = Faults::new()
        .when(On::content_after(5).from("a@b.example").to("@d.example").nth(2), no.clone())
        .when(On::content_after(5).message(4), no)
        .when(On::content_after(1000), Do::Stall);
    let inbox = inbox(&faults);
    let mut client = Client::ehlo(inbox.local_addr());
    let sent = |client: &mut Client, from, to| send(client, from, to)[..9].to_owned();
    assert_eq!(sent(&mut client, "a@b.example", "c@d.example"), "250 2.0.0");
    assert_eq!(sent(&mut client, "x@b.example", "c@d.example"), "250 2.0.0");
    assert_eq!(sent(&mut client, "a@b.example", "c@d.example"), "552 5.2.2");
    assert_eq!(sent(&mut client, "a@b.example", "c@e.example"), "552 5.2.2");
    assert_eq!(sent(&mut client, "a@b.example", "c@d.example"), "250 2.0.0");
    assert_eq!((inbox.len(), faults.times()), (3, vec![1, 1, 0]));
}

#[test]
fn a_reply_within_content_comes_before_its_end_and_in_lmtp_for_each_recipient() {
    for (lmtp, replies) in [(false, 1), (true, 3)] {
        let faults = Faults::new().when(On::content_after(20_000), Do::Reply(busy()));
        let inbox = Server::builder().lmtp(lmtp).faults(faults).inbox("127.0.0.1:0").expect("a free port");
        let mut client = Client::connect(inbox.local_addr());
        client.expect(if lmtp { "LHLO client.example" } else { "EHLO client.example" }, "250");
        client.expect("MAIL FROM:<a@b.example>", "250");
        for to in ["a", "b", "c"] {
            client.expect(format!("RCPT TO:<{to}@d.example>"), "250");
        }
        client.expect("DATA", "354");
        client.send("x".repeat(20_000));
        for _ in 0..replies {
            client.expect_reply("450 4.2.1 busy");
        }
        // All that is still to come is content, and is for nothing.
        client.send("\r\nNOOP\r\n".repeat(20_000) + ".\r\n");
        client.expect_in_step();
        client.begin();
        assert!(inbox.is_empty());
    }
}

/// A session's hook sees no content of a message that was answered already, and a message that the hook has refused is answered
/// once as well.
#[test]
fn a_reply_within_content_that_a_hook_sees() {
    struct Seeing(Arc<AtomicUsize>);

    impl Session for Seeing {
        fn content(&mut self, _: &Context, octets: &[u8]) -> Result<(), Reply> {
            self.0.fetch_add(octets.len(), Ordering::SeqCst);
            if octets.contains(&b'!') { Err(Reply::new(554, "5.7.1", "not this")) } else { Ok(()) }
        }

        fn content_end(&mut self, _: &Context) -> Result<(), Reply> {
            Err(Reply::new(554, "5.7.1", "not so"))
        }
    }

    let faults = Faults::new().when(On::content_after(20_000), Do::Reply(busy()));
    let seen = Arc::new(AtomicUsize::new(0));
    let sessions = seen.clone();
    let builder = Server::builder().faults(faults).session(move |_| Seeing(sessions.clone()));
    let inbox = builder.inbox("127.0.0.1:0").expect("a free port");
    let mut client = Client::envelope(inbox.local_addr());
    client.expect("DATA", "354");
    client.send("x".repeat(20_000));
    client.expect_reply("450 4.2.1 busy");
    client.send("\r\nNOOP\r\n".repeat(20_000) + ".\r\n");
    client.expect_in_step();
    assert_eq!(seen.load(Ordering::SeqCst), 20_000);
    client.begin();
    client.expect("DATA", "354");
    client.send("!".repeat(20_000));
    client.expect_reply("450 4.2.1 busy");
    client.send("\r\nNOOP\r\n".repeat(20_000) + ".\r\n");
    client.expect_in_step();
    assert!(seen.load(Ordering::SeqCst) <= 40_000);
    for (content, reply) in [("!", "554 5.7.1 not this"), ("x", "554 5.7.1 not so")] {
        client.begin();
        client.expect("DATA", "354");
        client.expect(format!("{content}\r\n."), reply);
    }
    client.expect_in_step();
    assert!(inbox.is_empty());
}

/// Who goes on without an end is not read for ever.
#[test]
fn what_comes_behind_a_reply_within_content_has_a_limit() {
    let faults = Faults::new().when(On::content_after(1), Do::Reply(busy()));
    let builder = Server::builder().data_size_limit(100_000).faults(faults);
    let inbox = builder.inbox("127.0.0.1:0").expect("a free port");
    let mut client = Client::envelope(inbox.local_addr());
    client.expect("DATA", "354");
    client.send("x");
    client.expect_reply("450 4.2.1 busy");
    while client.try_send("x".repeat(10_000)) {}
    let rest = String::from_utf8(client.closed()).expect("text");
    assert!(rest.is_empty() || rest.starts_with("421 4.7.0"), "{rest}");
}

#[test]
fn what_a_rule_that_came_later_has_missed_it_does_not_make_up_for() {
    let faults = Faults::new().when(On::content_after(3), Do::Delay(Duration::ZERO));
    let inbox = inbox(&faults);
    let mut client = Client::envelope(inbox.local_addr());
    client.expect("DATA", "354");
    client.send("123456\r\n");
    while faults.times() != [1] {
        thread::yield_now();
    }
    // Read, as soon as what is at its end has happened.
    faults.add(On::content_after(8), Do::Delay(Duration::ZERO));
    faults.add(On::content_after(2), Do::Stall);
    faults.add(On::content_after(10), Do::Reply(busy()));
    client.send("..\r\n.\r\n");
    client.expect_reply("450 4.2.1 busy");
    assert_eq!((faults.times()[0], faults.times()[2], faults.times()[3]), (1, 0, 1));
}

#[cfg(feature = "tls")]
mod handshakes {
    use super::*;
    use crate::support::tls::{Certificate, TlsClient};
    use native_tls::{Error, HandshakeError};
    use pillarbox::Tls;

    fn inbox(certificate: &Certificate, faults: &Faults) -> Inbox {
        Server::builder().tls(certificate.tls()).faults(faults.clone()).inbox("127.0.0.1:0").expect("a free port")
    }

    fn start_tls(server: SocketAddr, certificate: &Certificate) -> Result<(), HandshakeError<TcpStream>> {
        let mut client = TlsClient::connect(server);
        client.expect_reply("220 ");
        client.expect("EHLO client.example", "250");
        client.expect("STARTTLS", "220 2.0.0");
        certificate.connector().connect("localhost", client.stream).map(drop)
    }

    fn text(failed: Result<(), HandshakeError<TcpStream>>) -> String {
        let error: Error = match failed {
            Err(HandshakeError::Failure(e)) => e,
            other => panic!("{other:?}"),
        };
        error.to_string()
    }

    #[test]
    fn one_that_fails_and_others_that_do_not() {
        let certificate = Certificate::new();
        let faults = Faults::new()
            .when(On::handshake().nth(1), Do::FailHandshake)
            .when(On::handshake().nth(2), Do::Reply(Reply::new(454, "4.7.0", "no TLS")))
            .when(On::handshake().nth(3), Do::HangUp(Moment::After));
        let inbox = inbox(&certificate, &faults);
        let failure = text(start_tls(inbox.local_addr(), &certificate));
        assert!(failure.contains("handshake failure"), "{failure}");
        assert!(start_tls(inbox.local_addr(), &certificate).is_err());
        assert!(start_tls(inbox.local_addr(), &certificate).is_err());
        start_tls(inbox.local_addr(), &certificate).expect("the fourth");
    }

    #[test]
    fn a_failure_comes_when_the_client_has_begun() {
        let certificate = Certificate::new();
        let faults = Faults::new().when(On::handshake(), Do::FailHandshake);
        let inbox = inbox(&certificate, &faults);
        let mut stream = TcpStream::connect(inbox.local_addr()).expect("the server listens");
        stream.write_all(b"EHLO a\r\n").unwrap();
        let mut octets = Vec::new();
        read_up_to(&mut stream, &mut octets, "250 HELP\r\n");
        stream.write_all(b"STARTTLS\r\n").unwrap();
        read_up_to(&mut stream, &mut octets, "start TLS\r\n");
        stream.set_read_timeout(Some(PAUSE)).unwrap();
        assert!(stream.read(&mut [0; 1]).is_err());
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(b"\x16\x03\x01").unwrap();
        octets.clear();
        stream.read_to_end(&mut octets).unwrap();
        assert_eq!(octets, b"\x15\x03\x03\x00\x02\x02\x28");
    }

    fn read_up_to(stream: &mut TcpStream, octets: &mut Vec<u8>, end: &str) {
        while !octets.ends_with(end.as_bytes()) {
            let mut octet = [0];
            stream.read_exact(&mut octet).expect("a reply");
            octets.extend(octet);
        }
    }

    #[test]
    fn a_certificate_that_has_expired() {
        let mut parameters = rcgen::CertificateParams::new(["localhost".to_owned()]).expect("a name");
        parameters.not_after = rcgen::date_time_ymd(2001, 1, 1);
        let key = rcgen::KeyPair::generate().expect("a key");
        let expired = parameters.self_signed(&key).expect("a certificate").pem();
        let mut with_expired = Certificate::new();
        (with_expired.cert, with_expired.key) = (expired, key.serialize_pem());
        let certificate = Certificate::new();
        let faults = Faults::new().when(On::handshake().nth(1), Do::Certificate(with_expired.tls()));
        let inbox = inbox(&certificate, &faults);
        assert!(text(start_tls(inbox.local_addr(), &with_expired)).contains("expired"));
        start_tls(inbox.local_addr(), &certificate).expect("its own");
    }

    #[test]
    fn another_certificate_is_for_one_handshake() {
        let (one, other): (Certificate, Certificate) = (Certificate::new(), Certificate::new());
        let tls: Tls = other.tls();
        let inbox = inbox(&one, &Faults::new().when(On::handshake().nth(2), Do::Certificate(tls)));
        start_tls(inbox.local_addr(), &one).expect("the first");
        start_tls(inbox.local_addr(), &other).expect("the second");
        start_tls(inbox.local_addr(), &one).expect("the third");
    }
}
