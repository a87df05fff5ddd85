//! Only CRLF.CRLF ends a message, nothing of a message is a command, and nothing unfinished is delivered.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::support::client::{Client, PATIENCE};
#[cfg(feature = "tls")]
use crate::support::tls;
use pillarbox::{Context, Envelope, Inbox, LineEnds, Reply, Server, Session};

fn inbox(line_ends: LineEnds) -> Inbox {
    Server::builder().line_ends(line_ends).inbox("127.0.0.1:0").expect("a free port")
}

/// What some server or other has taken for the end of a message.
const FALSE_ENDS: &[&[u8]] = &[
    b"\n.\n",
    b"\n.\r\n",
    b"\r\n.\n",
    b"\r.\r",
    b"\r.\r\n",
    b"\r\n.\r",
    b"\r\r\n.\r\r\n",
    b"\r\n.\r\r\n",
    b"\r\n.\0\r\n",
    b"\r\n\0.\r\n",
    b"\r\n.\n\r\n",
    b"\r\n. \r\n",
    b"\n\n.\n\n",
    b"\r\n.\x0b\r\n",
];

/// What an attacker would have the server run.
const SMUGGLED: &[u8] = b"MAIL FROM:<evil@example.net>\r\nRCPT TO:<victim@example.org>\r\nDATA\r\nsmuggled";

#[test]
fn false_ends_yield_one_message() {
    for line_ends in [LineEnds::Normalize, LineEnds::Keep] {
        let inbox = inbox(line_ends);
        let mut client = Client::ehlo(inbox.local_addr());
        for end in FALSE_ENDS {
            client.begin();
            client.expect("DATA", "354");
            client.expect([b"first", *end, SMUGGLED, b"\r\n."].concat(), "250 2.0.0 OK");
            client.expect_in_step();
            let mail = inbox.recv_timeout(PATIENCE).unwrap();
            assert_eq!(mail.mail_from(), "sender@client.example");
            assert!(mail.bytes().unwrap().ends_with(b"smuggled\r\n"), "{}", end.escape_ascii());
            if line_ends == LineEnds::Normalize {
                let text = mail.bytes().unwrap().into_owned();
                let pairs = text.windows(2).filter(|pair| *pair == b"\r\n").count();
                assert_eq!(text.iter().filter(|b| **b == b'\r').count(), pairs);
                assert_eq!(text.iter().filter(|b| **b == b'\n').count(), pairs);
            }
        }
        assert!(inbox.is_empty());
    }
}

#[test]
fn lone_line_ends_are_rejected_where_they_shall_be() {
    let inbox = inbox(LineEnds::Reject);
    let mut client = Client::ehlo(inbox.local_addr());
    for (content, reply) in
        [("fine\r\n", "250"), ("a\nb\r\n", "550 5.5.2"), ("a\rb\r\n", "550 5.5.2"), ("fine\r\n", "250")]
    {
        client.begin();
        client.expect("DATA", "354");
        client.expect(format!("{content}."), reply);
        client.expect_in_step();
    }
    assert_eq!(inbox.len(), 2);
}

#[test]
fn a_message_in_two_packets_or_octet_by_octet_is_the_same() {
    let inbox = inbox(LineEnds::Normalize);
    let content = b"..a\r\nb\n.\r\nc\r\r\n.\r\r\n.d\r\n.\r\n";
    let mut client = Client::ehlo(inbox.local_addr());
    let mut whole: Option<Vec<u8>> = None;
    let pieces = (0..content.len()).map(|at| vec![&content[..at], &content[at..]]);
    for pieces in pieces.chain([content.chunks(1).collect()]) {
        client.begin();
        client.expect("DATA", "354");
        for piece in pieces {
            client.send(piece);
        }
        client.expect_reply("250 2.0.0 OK");
        let received = inbox.recv_timeout(PATIENCE).unwrap().bytes().unwrap().into_owned();
        assert_eq!(*whole.get_or_insert(received.clone()), received);
    }
    client.expect_in_step();
}

#[test]
fn an_oversized_message_is_read_to_its_end() {
    let inbox = Server::builder().data_size_limit(1000).inbox("127.0.0.1:0").expect("a free port");
    let mut client = Client::ehlo(inbox.local_addr());
    for size in [998, 999, 100_000] {
        client.begin();
        client.expect("DATA", "354");
        let mut content = b"QUIT\r\nRSET\r\n".repeat(size / 12);
        content.resize(size, b'x');
        // With its CRLF, exactly the limit passes.
        client.expect([&content[..], b"\r\n."].concat(), if size <= 998 { "250" } else { "552 5.3.4" });
        client.expect_in_step();
    }
    assert_eq!(inbox.len(), 1);
}

#[test]
fn a_message_far_too_big_ends_the_connection() {
    let inbox = Server::builder().data_size_limit(1000).inbox("127.0.0.1:0").expect("a free port");
    let mut client = Client::envelope(inbox.local_addr());
    client.expect("DATA", "354");
    let block = b"NOOP\r\n".repeat(10_000);
    let mut sent = 0;
    while client.try_send(&block) && sent < 200_000_000 {
        sent += block.len();
    }
    assert!((16 << 20..200_000_000).contains(&sent), "{sent} octets were taken");
    // The 421 may be lost with the reset that all that was not read brings about; a 250 never comes.
    let reply = client.reply();
    assert!(reply.starts_with("421 4.7.0") || reply == "<closed>", "{reply}");
    assert!(inbox.is_empty());
}

#[test]
fn refused_data_leaves_nothing_to_run() {
    struct Refuses;
    impl Session for Refuses {
        fn data(&mut self, _: &Context) -> Result<(), Reply> {
            Err(Reply::new(550, "5.7.1", "no content, please"))
        }
    }
    let inbox = Server::builder().session(|_| Refuses).inbox("127.0.0.1:0").expect("a free port");
    // A client that waits goes on.
    let mut client = Client::envelope(inbox.local_addr());
    client.expect("DATA", "550 5.7.1");
    client.expect_in_step();
    // One that does not wait is cut off before its content runs.
    let mut client = Client::envelope(inbox.local_addr());
    client.send("DATA\r\nSubject: x\r\n\r\nVRFY bob\r\n.\r\n");
    client.expect_reply("550 5.7.1");
    client.expect_reply("421 4.7.0");
    client.expect_close();
    // Nor do commands that look harmless: whatever follows them comes out of the same content.
    let mut client = Client::envelope(inbox.local_addr());
    client.send("DATA\r\nRSET\r\nQUIT\r\n");
    client.expect_reply("550 5.7.1");
    client.expect_reply("421 4.7.0");
    client.expect_close();
}

/// Within TLS what follows DATA may have been decrypted with it, and waits neither in the server's buffer nor in the socket.
#[cfg(feature = "tls")]
#[test]
fn refused_data_leaves_nothing_to_run_within_tls() {
    let certificate = tls::Certificate::new();
    let inbox = Server::builder().tls(certificate.tls()).inbox("127.0.0.1:0").expect("a free port");
    let noop = |octets: usize| format!("NOOP {}\r\n", "x".repeat(octets - 7));
    for reads in [512, 1024, 2048, 4096] {
        // Where a read of so many octets ends, DATA does.
        let before = noop(100).repeat((reads - 6) / 100 - 1) + &noop((reads - 6) % 100 + 100);
        assert_eq!(before.len() + 6, reads);
        let record = [before.as_bytes(), b"DATA\r\n", SMUGGLED, b"\r\n.\r\n"].concat();
        let mut client = tls::TlsClient::start_tls(inbox.local_addr(), &certificate);
        client.expect("EHLO client.example", "250");
        client.send(&record);
        for _ in 0..(reads - 6) / 100 {
            client.expect_reply("250 2.0.0");
        }
        client.expect_reply("503 5.5.1");
        client.expect_reply("421 4.7.0 Content was not asked for");
        assert_eq!(client.reply(), "<closed>");
    }
    // Who waits goes on.
    let mut client = tls::TlsClient::start_tls(inbox.local_addr(), &certificate);
    client.expect("EHLO client.example", "250");
    client.expect("DATA", "503 5.5.1");
    client.expect("NOOP", "250 2.0.0");
    assert!(inbox.is_empty());
}

#[test]
fn whatever_the_handler_does_the_session_is_in_step() {
    let calls = AtomicUsize::new(0);
    let handler = move |_: Envelope| match calls.fetch_add(1, Ordering::Relaxed) {
        0 => Err(Reply::new(550, "5.7.1", "no")),
        1 => panic!("on purpose"),
        2 => Err(Reply::ok()),
        3 => Err(Reply::new(354, "", "go")),
        _ => Ok(()),
    };
    let server = Server::builder().serve("127.0.0.1:0", handler).expect("a free port");
    let mut client = Client::ehlo(server.local_addr());
    for reply in ["550 5.7.1 no", "451 4.3.0", "451 4.3.0", "451 4.3.0", "250 2.0.0 OK"] {
        client.begin();
        client.expect("DATA", "354");
        client.expect("QUIT\r\n.", reply);
        client.expect_in_step();
    }
    let stats = server.stats();
    assert_eq!((stats.accepted_messages, stats.refused_messages), (1, 4));
}

#[test]
fn a_late_answer_is_not_the_next_messages() {
    let timeout = Duration::from_millis(50);
    let builder = Server::builder().handler_timeout(timeout);
    let (server, deliveries) = builder.deliveries("127.0.0.1:0").expect("a free port");
    let mut client = Client::envelope(server.local_addr());
    client.expect("DATA", "354");
    client.expect("one\r\n.", "451 4.3.0");
    client.expect_in_step();
    let late = deliveries.recv_timeout(PATIENCE).unwrap();
    late.respond(Reply::new(250, "2.0.0", "for the first"));
    client.begin();
    client.expect("DATA", "354");
    client.expect("two\r\n.", "451 4.3.0");
    drop(deliveries);
    client.begin();
    client.expect("DATA", "354");
    client.expect("three\r\n.", "451 4.3.0");
    client.expect_in_step();
}

#[test]
fn a_dropped_delivery_is_a_451() {
    let (server, deliveries) = Server::builder().deliveries("127.0.0.1:0").expect("a free port");
    let mut client = Client::envelope(server.local_addr());
    client.expect("DATA", "354");
    client.send("one\r\n.\r\n");
    drop(deliveries.recv_timeout(PATIENCE).unwrap());
    client.expect_reply("451 4.3.0");
    client.begin();
    client.expect("DATA", "354");
    client.send("two\r\n.\r\n");
    deliveries.recv_timeout(PATIENCE).unwrap().accept();
    client.expect_reply("250 2.0.0 OK");
}

#[test]
fn nothing_that_is_cut_off_is_delivered() {
    let inbox = inbox(LineEnds::Normalize);
    let conversation: &[u8] =
        b"EHLO a.example\r\nMAIL FROM:<>\r\nRCPT TO:<a@b.example>\r\nDATA\r\nfirst\r\n.\r\nMAIL FROM:<>\r\n\
          RCPT TO:<a@b.example>\r\nBDAT 5 LAST\r\nsecond";
    let first_end = conversation.windows(5).position(|w| w == b"\r\n.\r\n").unwrap() + 5;
    let last_end = conversation.len() - 1;
    let mut expected = 0;
    for cut in 0..conversation.len() {
        let mut client = Client::connect(inbox.local_addr());
        client.send(&conversation[..cut]);
        client.close_writing();
        // Everything was read and answered once the server has closed as well.
        while !client.reply().ends_with("<closed>") {}
        expected += usize::from(cut >= first_end) + usize::from(cut >= last_end);
        if cut < first_end {
            let mut client = Client::connect(inbox.local_addr());
            client.send(&conversation[..cut]);
            client.reset();
        }
    }
    // A last connection that is served shows that the ones before were.
    let mut client = Client::envelope(inbox.local_addr());
    client.expect("DATA", "354");
    client.expect("last\r\n.", "250");
    let received: Vec<_> = inbox.try_iter().map(|mail| mail.bytes().unwrap().into_owned()).collect();
    assert_eq!(received.len(), expected + 1);
    assert!(received.iter().all(|m| [&b"first\r\n"[..], b"secon", b"last\r\n"].contains(&&m[..])));
}

#[test]
fn http_is_told_to_go_away() {
    let inbox = inbox(LineEnds::Normalize);
    for verb in ["GET", "POST", "PUT", "CONNECT"] {
        let mut client = Client::connect(inbox.local_addr());
        client.expect(format!("{verb} / HTTP/1.1\r\nMAIL FROM:<>"), "421 4.7.0");
        client.expect_close();
        // Whoever leads a browser here chooses how long the path is.
        for octets in [2_500, 20_000] {
            let mut client = Client::connect(inbox.local_addr());
            client.expect(format!("{verb} /{} HTTP/1.1\r\nNOOP", "x".repeat(octets)), "421 4.7.0 This is not");
            client.expect_close();
        }
    }
}
