//! What an inbox gives out, and what it says when it has nothing to give.

use std::net::SocketAddr;
use std::panic::catch_unwind;
use std::thread;
use std::time::{Duration, Instant};

use crate::support::client::{Client, PATIENCE};
use pillarbox::testing::Direction;
use pillarbox::{Envelope, Inbox, RecvError, Reply, Server};

/// Short, for what is not to come.
const SHORT: Duration = Duration::from_millis(20);

fn inbox() -> Inbox {
    Server::builder().hostname("mx.example").inbox("127.0.0.1:0").expect("a free port")
}

/// One message on the client's connection.
fn send(client: &mut Client, to: &str, content: &str) {
    client.expect("MAIL FROM:<sender@client.example>", "250");
    client.expect(format!("RCPT TO:<{to}>"), "250");
    client.expect("DATA", "354");
    client.expect(format!("{content}\r\n."), "250");
}

/// An inbox with three messages, to ann, bob and carol.
fn with_three() -> (Inbox, Client) {
    let inbox = inbox();
    let mut client = Client::ehlo(inbox.local_addr());
    for name in ["ann", "bob", "carol"] {
        send(&mut client, &format!("{name}@example.org"), &format!("Subject: for {name}\r\n\r\nhello"));
    }
    (inbox, client)
}

fn recipients<'a>(mails: impl IntoIterator<Item = &'a Envelope>) -> Vec<String> {
    mails.into_iter().map(|mail| mail.recipients()[0].to_string()).collect()
}

#[test]
fn a_message_that_matches_leaves_the_others_in_order() {
    let (inbox, _client) = with_three();
    let mut seen = 0;
    let mail = inbox.recv_matching(
        |mail| {
            seen += 1;
            mail.recipients() == ["bob@example.org"]
        },
        PATIENCE,
    );
    assert_eq!(recipients(&[mail.unwrap()]), ["bob@example.org"]);
    assert_eq!(seen, 2);
    assert_eq!(recipients(&inbox.recv_n(2, PATIENCE).unwrap()), ["ann@example.org", "carol@example.org"]);
    assert!(inbox.is_empty());
}

#[test]
fn each_message_is_looked_at_once_as_it_comes() {
    let inbox = inbox();
    thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            let mut seen = 0;
            let matches = |mail: &Envelope| {
                seen += 1;
                mail.recipients() == ["r4@example.org"]
            };
            inbox.recv_matching(matches, PATIENCE).map(|_| seen)
        });
        let mut client = Client::ehlo(inbox.local_addr());
        for n in 0..5 {
            send(&mut client, &format!("r{n}@example.org"), "");
        }
        assert_eq!(waiting.join().expect("no panic").expect("a message"), 5);
    });
}

#[test]
fn each_of_several_waiters_gets_the_one_it_waits_for() {
    let inbox = inbox();
    let begun = Instant::now();
    thread::scope(|scope| {
        let waiting: Vec<_> = (0..8)
            .map(|n| {
                let (inbox, to) = (&inbox, format!("r{n}@example.org"));
                scope.spawn(move || inbox.recv_matching(|mail| mail.recipients() == [to.as_str()], PATIENCE))
            })
            .collect();
        let mut client = Client::ehlo(inbox.local_addr());
        for n in (0..8).rev() {
            send(&mut client, &format!("r{n}@example.org"), "");
        }
        for (n, waiting) in waiting.into_iter().enumerate() {
            let mail = waiting.join().expect("no panic").expect("its message");
            assert_eq!(mail.recipients(), [format!("r{n}@example.org").as_str()]);
        }
    });
    // None was found at the deadline only.
    assert!(begun.elapsed() < PATIENCE);
    assert!(inbox.is_empty());
}

#[test]
fn several_messages_come_all_or_none() {
    let (inbox, _client) = with_three();
    let error = inbox.recv_n(4, SHORT).unwrap_err();
    let RecvError::Timeout(SHORT, report) = &error else { panic!("{error}") };
    assert_eq!(report.messages().len(), 3);
    assert_eq!(inbox.len(), 3);
    assert_eq!(inbox.recv_n(3, SHORT).unwrap().len(), 3);
    assert_eq!(inbox.recv_n(0, SHORT).unwrap().len(), 0);
}

#[test]
fn iteration_ends_with_the_server() {
    let (inbox, _client) = with_three();
    inbox.server().shutdown(PATIENCE);
    let mut tos = Vec::new();
    for mail in &inbox {
        tos.push(mail.recipients()[0].to_string());
    }
    assert_eq!(tos, ["ann@example.org", "bob@example.org", "carol@example.org"]);
    assert!(matches!(inbox.recv(), Err(RecvError::Closed(_))));
    assert!(matches!(inbox.try_recv(), Err(RecvError::Closed(_))));
}

#[test]
fn nothing_is_there_yet() {
    let inbox = inbox();
    assert!(matches!(inbox.try_recv(), Err(RecvError::Empty)));
    let begun = Instant::now();
    let error = inbox.recv_timeout(SHORT).unwrap_err();
    assert!(begun.elapsed() >= SHORT);
    assert!(error.to_string().contains("\nnobody has connected to 127.0.0.1:"), "{error}");
}

#[test]
fn an_error_tells_what_came_instead_and_what_was_said() {
    let (inbox, mut client) = with_three();
    client.expect("RCPT TO:<dora@example.org>", "503");
    let error = inbox.recv_matching(|mail| mail.recipients() == ["dora@example.org"], SHORT).unwrap_err();
    let text = error.to_string();
    for part in [
        "a message that matches did not come within 20ms\n",
        "messages in the inbox: 3\n",
        "    from <sender@client.example> to <bob@example.org>, Subject: for bob\n",
        " C: EHLO client.example\n",
        " C: RCPT TO:<dora@example.org>\n",
        " S: 503 5.5.1 Send MAIL first\n",
    ] {
        assert!(text.contains(part), "no {part:?} in\n{text}");
    }
    // What unwrap prints is the same.
    assert_eq!(format!("{error:?}"), text);
    assert_eq!(inbox.len(), 3);
}

#[test]
fn empty_and_stays_so() {
    let inbox = inbox();
    inbox.assert_empty(Duration::ZERO);
    inbox.assert_empty(SHORT);
    send(&mut Client::ehlo(inbox.local_addr()), "bob@example.org", "Subject: surprise\r\n");
    let begun = Instant::now();
    let inbox = std::panic::AssertUnwindSafe(&inbox);
    let panic = catch_unwind(|| inbox.assert_empty(PATIENCE)).unwrap_err();
    assert!(begun.elapsed() < PATIENCE);
    let text = panic.downcast_ref::<String>().expect("a text");
    assert!(text.contains("to <bob@example.org>, Subject: surprise\n"), "{text}");
    assert_eq!(inbox.len(), 1);
}

#[test]
fn idle_once_the_last_client_has_gone() {
    let inbox = inbox();
    inbox.wait_until_idle(Duration::ZERO).expect("nobody has connected");
    let mut client = Client::ehlo(inbox.local_addr());
    let error = inbox.wait_until_idle(SHORT).unwrap_err();
    assert!(matches!(&error, RecvError::Busy(SHORT, _)), "{error}");
    assert!(error.to_string().contains("C: EHLO client.example"), "{error}");
    thread::scope(|scope| {
        let waiting = scope.spawn(|| inbox.wait_until_idle(PATIENCE));
        client.begin();
        client.expect("DATA", "354");
        client.send(".\r\nQUIT\r\n");
        waiting.join().expect("no panic").expect("it ends");
    });
    assert_eq!((inbox.len(), inbox.server().stats().open_connections), (1, 0));
}

#[test]
fn a_message_knows_how_it_came() {
    let (inbox, _client) = with_three();
    let mails = inbox.recv_n(3, PATIENCE).unwrap();
    let of = |n: usize| mails[n].transcript().expect("an inbox records").to_string();
    // Without the times.
    let lines: Vec<String> = of(0).lines().map(|line| line[10..].into()).collect();
    let expected = [
        "S: 220 mx.example ESMTP pillarbox",
        "C: EHLO client.example",
        "S: 250-mx.example",
        "C: MAIL FROM:<sender@client.example>",
        "C: RCPT TO:<ann@example.org>",
        "S: 354 End data with <CR><LF>.<CR><LF>",
        "C: Subject: for ann",
        "C: hello",
        "C: .",
    ];
    let mut found = lines.iter();
    for line in expected {
        assert!(found.any(|found| found == line), "no {line:?} in its place in\n{}", of(0));
    }
    // The second begins where the first and its reply have ended.
    let second: Vec<String> = of(1).lines().skip(1).map(|line| line[10..].into()).collect();
    assert_eq!(second[0], "C: MAIL FROM:<sender@client.example>");
    assert!(!of(1).contains("EHLO") && !of(1).contains("S: 250 2.0.0 OK ") && of(1).contains("<bob@"), "{}", of(1));
    let entries = mails[0].transcript().unwrap().entries();
    assert!(entries.windows(2).all(|pair| pair[0].at <= pair[1].at));
    assert_eq!(entries[1].direction, Direction::Client);
    assert_eq!(entries[1].octets, b"EHLO client.example");
}

#[test]
fn every_connection_has_a_transcript() {
    let inbox = inbox();
    for verb in ["NOOP", "RSET"] {
        let mut client = Client::connect(inbox.local_addr());
        client.expect(verb, "250");
        client.expect("QUIT", "221");
        client.expect_close();
        inbox.wait_until_idle(PATIENCE).unwrap();
    }
    let mut client = Client::envelope(inbox.local_addr());
    client.expect("BDAT 3\r\nx", "250");
    client.expect("DATA", "503");
    client.close_writing();
    client.expect_close();
    inbox.wait_until_idle(PATIENCE).unwrap();
    let [first, second, third] = &inbox.transcripts()[..] else { panic!("three connections") };
    assert!(first.to_string().contains("C: NOOP\n"), "{first}");
    assert!(second.to_string().contains("C: RSET\n") && second.connection_id() == 2, "{second}");
    for part in ["C: BDAT 3\n", "C: x\n", "S: 250 2.0.0 3 octets received\n", "-- the client says no more\n"] {
        assert!(third.to_string().contains(part), "no {part:?} in\n{third}");
    }
    assert!(third.to_string().ends_with("-- connection closed\n"), "{third}");
}

#[cfg(feature = "auth")]
#[test]
fn secrets_stay_out_of_transcripts() {
    let users = pillarbox::Users::new().add("bob", "builder").expect("an entry");
    let inbox = Server::builder().authenticator(users).inbox("127.0.0.1:0").expect("a free port");
    let mut client = Client::ehlo(inbox.local_addr());
    client.expect("AUTH PLAIN AGJvYgB3cm9uZw==", "535");
    client.expect("AUTH LOGIN", "334 VXNlcm5hbWU6");
    client.expect("Ym9i", "334 UGFzc3dvcmQ6");
    client.expect("YnVpbGRlcg==", "235");
    client.begin();
    client.expect("DATA", "354");
    client.expect(".", "250");
    let mail = inbox.recv_timeout(PATIENCE).unwrap();
    for text in [mail.transcript().unwrap().to_string(), inbox.transcripts()[0].to_string()] {
        assert!(!["AGJv", "VXNl", "Ym9i", "UGFz", "YnVp"].iter().any(|secret| text.contains(secret)), "{text}");
        for part in ["C: AUTH PLAIN ...\n", "C: AUTH LOGIN\n", "S: 334 ...\n", "C: ...\n", "S: 235 2.7.0"] {
            assert!(text.contains(part), "no {part:?} in\n{text}");
        }
    }
}

/// A client that was misled goes on with its secrets where the server takes them for commands.
#[cfg(feature = "auth")]
#[test]
fn secrets_in_the_wrong_place_stay_out_too() {
    use pillarbox::Verb;
    use pillarbox::testing::{Do, Faults, On};

    let misled = Do::Garbage(b"334 VXNlcm5hbWU6\r\n".to_vec());
    let inbox = Server::builder()
        .authenticator(|_: &str, _: &str| false)
        .faults(Faults::new().when(On::verb(Verb::Auth), misled))
        .inbox("127.0.0.1:0")
        .expect("a free port");
    let mut client = Client::ehlo(inbox.local_addr());
    client.expect("AUTH LOGIN", "334");
    client.expect("Ym9i", "500");
    client.expect("YnVpbGRlcg==", "500");
    client.expect("NOOP", "250");
    client.expect("NONSENSE", "500");
    let text = inbox.transcripts()[0].to_string();
    assert!(!text.contains("Ym9i") && !text.contains("YnVp"), "{text}");
    assert!(text.contains("C: ...\n") && text.contains("C: NOOP\n") && text.contains("C: NONSENSE\n"), "{text}");
}

#[test]
fn nothing_is_recorded_unless_it_is_asked_for() {
    let quiet = Server::builder().transcripts(false).inbox("127.0.0.1:0").expect("a free port");
    send(&mut Client::ehlo(quiet.local_addr()), "bob@example.org", "");
    assert!(quiet.recv_timeout(PATIENCE).unwrap().transcript().is_none());
    assert!(quiet.transcripts().is_empty());
    let error = quiet.recv_timeout(SHORT).unwrap_err().to_string();
    assert!(error.ends_with("connections: 1, of which no transcript was made"), "{error}");

    let (mails, received) = std::sync::mpsc::channel();
    let handler = move |mail: Envelope| drop(mails.send(mail));
    let server = Server::builder().serve("127.0.0.1:0", handler).expect("a free port");
    send(&mut Client::ehlo(server.local_addr()), "bob@example.org", "");
    assert!(received.recv_timeout(PATIENCE).unwrap().transcript().is_none());
}

#[test]
fn a_full_inbox_and_one_that_has_room_again() {
    let inbox = Server::builder().inbox_capacity(1).inbox("127.0.0.1:0").expect("a free port");
    let mut client = Client::ehlo(inbox.local_addr());
    send(&mut client, "bob@example.org", "");
    client.begin();
    client.expect("DATA", "354");
    client.expect(".", "452 4.3.1");
    inbox.recv().unwrap();
    send(&mut client, "bob@example.org", "");
    assert_eq!(inbox.try_iter().count(), 1);
}

#[test]
fn the_test_answers() {
    let inbox = Server::builder().manual_inbox("127.0.0.1:0").expect("a free port");
    let mut clients: Vec<Client> = (0..3).map(|_| Client::ehlo(inbox.local_addr())).collect();
    for (n, client) in clients.iter_mut().enumerate() {
        client.expect("MAIL FROM:<sender@client.example>", "250");
        client.expect(format!("RCPT TO:<r{n}@example.org>"), "250");
        client.expect("DATA", "354");
        client.send(".\r\n");
    }
    let last = inbox.recv_matching(|mail| mail.recipients() == ["r2@example.org"], PATIENCE).unwrap();
    last.respond(Reply::new(552, "5.2.2", "mailbox full"));
    clients[2].expect_reply("552 5.2.2");
    for delivery in inbox.recv_n(2, PATIENCE).unwrap() {
        let n = usize::from(delivery.envelope().recipients() == ["r1@example.org"]);
        delivery.accept();
        clients[n].expect_reply("250 2.0.0 OK");
    }
    assert!(matches!(inbox.wait_until_idle(SHORT), Err(RecvError::Busy(SHORT, _))));
    inbox.assert_empty(Duration::ZERO);
}

#[test]
fn what_nobody_answered_is_answered_at_the_end() {
    let inbox = Server::builder().manual_inbox("127.0.0.1:0").expect("a free port");
    let mut client = Client::envelope(inbox.local_addr());
    client.expect("DATA", "354");
    client.send(".\r\n");
    while inbox.is_empty() {
        thread::yield_now();
    }
    drop(inbox);
    client.expect_reply("451 4.3.0");
    client.expect_reply("421 4.3.2");
}

#[test]
fn what_is_there_can_be_thrown_away() {
    let (inbox, mut client) = with_three();
    inbox.clear();
    inbox.assert_empty(Duration::ZERO);
    send(&mut client, "dora@example.org", "");
    assert_eq!(recipients(&inbox.recv_n(1, PATIENCE).unwrap()), ["dora@example.org"]);

    let manual = Server::builder().manual_inbox("127.0.0.1:0").expect("a free port");
    let mut client = Client::envelope(manual.local_addr());
    client.expect("DATA", "354");
    client.send(".\r\n");
    while manual.is_empty() {
        thread::yield_now();
    }
    manual.clear();
    client.expect_reply("451 4.3.0");
}

#[test]
fn where_it_is_as_a_url() {
    let port = |inbox: &Inbox| inbox.local_addr().port();
    let plain = inbox();
    assert_eq!(plain.url(), format!("smtp://127.0.0.1:{}", port(&plain)));
    let lmtp = Server::builder().lmtp(true).inbox("[::1]:0").expect("a free port");
    assert_eq!(lmtp.url(), format!("lmtp://[::1]:{}", port(&lmtp)));
    assert_eq!(lmtp.server().url(), lmtp.url());
}

#[cfg(feature = "testing-tls")]
#[test]
fn where_it_is_as_a_url_of_tls() {
    let tls = pillarbox::testing::Authority::new().and_then(|authority| authority.server()).expect("a certificate");
    let listener = pillarbox::Listener::from("127.0.0.1:0").implicit_tls();
    let inbox = Server::builder().tls(tls).inbox(listener).expect("a free port");
    assert_eq!(inbox.url(), format!("smtps://{}", inbox.local_addr()));
}

#[test]
fn nobody_came_to_where_it_listens() {
    let inbox = inbox();
    let error = inbox.recv_timeout(SHORT).unwrap_err();
    assert!(error.to_string().ends_with(&format!("nobody has connected to {}", inbox.local_addr())), "{error}");
    assert!(error.report().is_some_and(|report| report.messages().is_empty() && report.transcripts().is_empty()));
    assert!(inbox.try_recv().unwrap_err().report().is_none());
}

/// Nothing that such a client sends could still be looked at. A server that hands its messages on waits a moment for it.
#[test]
fn dropping_one_waits_for_no_client() {
    fn time<S>(server: S, address: SocketAddr) -> Duration {
        let mut client = Client::envelope(address);
        client.expect("DATA", "354");
        client.send("half a mess");
        let begun = Instant::now();
        drop(server);
        let time = begun.elapsed();
        client.expect_reply("421 4.3.2");
        time
    }
    let median = |one: &dyn Fn() -> Duration| {
        let mut times: Vec<Duration> = (0..5).map(|_| one()).collect();
        times.sort_unstable();
        times[2]
    };
    let of_inbox = median(&|| {
        let inbox = inbox();
        let address = inbox.local_addr();
        time(inbox, address)
    });
    let of_server = median(&|| {
        let server = Server::builder().serve("127.0.0.1:0", pillarbox::handlers::Sink).expect("a free port");
        let address = server.local_addr();
        time(server, address)
    });
    // What else the machine does takes both as long; the wait is added to one only.
    assert!(of_inbox < of_server, "{of_inbox:?}, and {of_server:?} with a wait");
}

/// What the test has seen is accepted for the client as well, however soon the inbox goes.
#[test]
fn a_message_that_was_taken_is_accepted() {
    for _ in 0..200 {
        let inbox = inbox();
        let mut client = Client::envelope(inbox.local_addr());
        client.expect("DATA", "354");
        client.send(".\r\n");
        inbox.recv_timeout(PATIENCE).unwrap();
        drop(inbox);
        client.expect_reply("250 2.0.0");
    }
}
