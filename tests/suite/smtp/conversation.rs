//! What is said and answered: the commands of RFC 5321 and of the extensions, one after the other.

use std::time::Duration;

use crate::support::client::{Client, PATIENCE};
use pillarbox::{Builder, Hold, Inbox, LineEnds, Notify, Ret, Server};

fn builder() -> Builder {
    Server::builder().hostname("mx.example").max_errors(None)
}

fn inbox(builder: Builder) -> Inbox {
    builder.inbox("127.0.0.1:0").expect("a free port")
}

/// A command, and what its reply begins with.
fn converse(client: &mut Client, lines: &[(&str, &str)]) {
    for (line, reply) in lines {
        client.expect(line, reply);
    }
}

#[test]
fn banner_greetings_and_keywords() {
    let inbox = inbox(builder());
    let mut client = Client::raw(inbox.local_addr());
    assert_eq!(client.reply(), "220 mx.example ESMTP pillarbox");
    assert_eq!(client.say("HELO client.example"), "250 mx.example");
    assert_eq!(
        client.say("EHLO client.example"),
        "250-mx.example\n250-PIPELINING\n250-SIZE 33554432\n250-8BITMIME\n250-ENHANCEDSTATUSCODES\n250-CHUNKING\n\
         250-BINARYMIME\n250-DSN\n250-LIMITS RCPTMAX=1000\n250 HELP"
    );
    assert_eq!(client.say("QUIT"), "221 2.0.0 Bye");
    client.expect_close();
}

#[test]
fn keywords_follow_the_settings() {
    let inbox = inbox(builder().smtputf8(true).data_size_limit(0).max_recipients(100));
    let reply = Client::connect(inbox.local_addr()).say("EHLO client.example");
    for line in ["250-SIZE 0\n", "250-8BITMIME\n250-SMTPUTF8\n", "RCPTMAX=100\n"] {
        assert!(reply.contains(line), "{reply}");
    }
    let inbox = self::inbox(builder().decode_data(true));
    let reply = Client::connect(inbox.local_addr()).say("EHLO client.example");
    assert!(!reply.contains("8BITMIME") && !reply.contains("SMTPUTF8"), "{reply}");
}

#[test]
fn what_is_not_offered() {
    let inbox = inbox(builder());
    let mut client = Client::ehlo(inbox.local_addr());
    converse(
        &mut client,
        &[
            ("STARTTLS", "502 5.5.1"),
            ("AUTH PLAIN", "502 5.5.1"),
            ("LHLO client.example", "502 5.5.1"),
            ("EXPN list", "502 5.5.1"),
            ("TURN", "500 5.5.2"),
            ("MAIL FROM:<a@b.example> SMTPUTF8", "555 5.5.4"),
            ("MAIL FROM:<a@b.example> REQUIRETLS", "555 5.5.4"),
            ("MAIL FROM:<a@b.example> BY=120;R", "555 5.5.4"),
            ("MAIL FROM:<a@b.example> PRDR", "555 5.5.4"),
        ],
    );
}

#[test]
fn order() {
    let inbox = inbox(builder());
    let mut client = Client::connect(inbox.local_addr());
    converse(
        &mut client,
        &[
            ("MAIL FROM:<a@b.example>", "503 5.5.1"),
            ("RCPT TO:<a@b.example>", "503 5.5.1"),
            ("DATA", "503 5.5.1"),
            ("NOOP", "250 2.0.0"),
            ("EHLO client.example", "250"),
            ("RCPT TO:<a@b.example>", "503 5.5.1"),
            ("MAIL FROM:<a@b.example>", "250 2.0.0"),
            ("MAIL FROM:<a@b.example>", "503 5.5.1"),
            ("DATA", "503 5.5.1"),
            ("RCPT TO:<nonsense", "501 5.1.3"),
            // A refused recipient leaves the transaction as it was; with none it takes no data.
            ("DATA", "503 5.5.1"),
            ("RCPT TO:<a@b.example>", "250 2.0.0"),
            ("RSET", "250 2.0.0"),
            ("RCPT TO:<a@b.example>", "503 5.5.1"),
            ("MAIL FROM:<a@b.example>", "250 2.0.0"),
            // Greeting again ends the transaction.
            ("EHLO client.example", "250"),
            ("RCPT TO:<a@b.example>", "503 5.5.1"),
            ("MAIL FROM:<a@b.example>", "250 2.0.0"),
            ("HELO client.example", "250"),
            ("DATA", "503 5.5.1"),
        ],
    );
}

#[test]
fn small_commands() {
    let inbox = inbox(builder());
    let mut client = Client::connect(inbox.local_addr());
    converse(
        &mut client,
        &[
            ("HELO", "501 5.5.4"),
            ("EHLO  ", "501 5.5.4"),
            ("NOOP whatever it says", "250 2.0.0"),
            ("noop", "250 2.0.0"),
            ("RSET", "250 2.0.0"),
            ("RSET now", "501 5.5.4"),
            ("DATA now", "501 5.5.4"),
            ("QUIT now", "501 5.5.4"),
            ("VRFY", "501 5.5.4"),
            ("VRFY bob", "252 2.5.2"),
            ("EXPN", "502 5.5.1"),
            ("HELP", "214 2.0.0 Commands:"),
            ("HELP rcpt", "214 2.0.0 RCPT TO:"),
            ("HELP STARTTLS", "504 5.5.4"),
            ("NONSENSE", "500 5.5.2"),
            ("", "500 5.5.2"),
            ("NOOP\u{0}", "500 5.5.2"),
            ("MAIL", "501 5.5.4"),
        ],
    );
    client.expect(b"\xff\xfe", "500 5.5.2");
}

#[test]
fn addresses() {
    let inbox = inbox(builder());
    let mut client = Client::ehlo(inbox.local_addr());
    let mail = [
        ("<>", "250"),
        ("<a@b.example>", "250"),
        ("<\"a b\"@b.example>", "250"),
        ("<\"a\\\"b>\"@b.example>", "250"),
        ("<a@[192.0.2.1]>", "250"),
        ("<a@[IPv6:2001:db8::1]>", "250"),
        ("<a@[tag:content]>", "250"),
        ("<@one.example,@two.example:a@b.example>", "250"),
        // What smtpd let pass.
        (" <a@b.example>", "250"),
        ("a@b.example", "250"),
        ("<Postmaster>", "250"),
        ("<root>", "250"),
        ("root", "250"),
        ("<a..b@c.example>", "250"),
        ("<.a.@c.example>", "250"),
        ("<a@my_host>", "250"),
        ("<a@b@c.example>", "501 5.1.7"),
        ("<@>", "501 5.1.7"),
        ("<a@>", "501 5.1.7"),
        ("<@b.example>", "501 5.1.7"),
        ("<@one.example:>", "501 5.1.7"),
        ("", "501 5.1.7"),
        ("<a@b.example", "501 5.1.7"),
        ("a@b.example>", "501 5.1.7"),
        ("<a", "501 5.1.7 Bad address syntax: missing angle bracket"),
        ("<a@b/c>", "501 5.1.7 Bad address syntax: bad domain"),
        ("<a@b:25>", "501 5.1.7 Bad address syntax: bad domain"),
        ("<@one.example:a>", "501 5.1.7"),
        ("<a@-b.example>", "501 5.1.7"),
        ("<a@b.example.>", "501 5.1.7"),
        ("<a@[300.0.0.1]>", "501 5.1.7"),
        ("<a@[IPv6:nonsense]>", "501 5.1.7"),
        ("<a b@c.example>", "501 5.1.7"),
        ("<a@b.example>SIZE=1", "501 5.1.7"),
        ("<\u{fc}@b.example>", "553 5.6.7"),
    ];
    for (path, reply) in mail {
        client.expect(format!("MAIL FROM:{path}"), reply);
        client.expect("RSET", "250");
    }
    // Octets that are not UTF-8: overlong, a surrogate, a bare continuation.
    for bad in [&b"\xc0\xaf"[..], b"\xed\xa0\x80", b"\x80"] {
        client.expect([b"MAIL FROM:<", bad, b"@b.example>"].concat(), "501 5.1.7");
    }
    client.begin();
    for (path, reply) in [
        ("<Postmaster>", "250"),
        ("<postMASTER>", "250"),
        ("<>", "501 5.1.3"),
        ("<a@b", "501 5.1.3"),
        ("@", "501 5.1.3"),
    ] {
        client.expect(format!("RCPT TO:{path}"), reply);
    }
}

#[test]
fn lengths() {
    let inbox = inbox(builder());
    let mut client = Client::ehlo(inbox.local_addr());
    let local = |n: usize| format!("<{}@b.example>", "a".repeat(n));
    client.expect(format!("MAIL FROM:{}", local(64)), "250");
    client.expect(format!("RCPT TO:{}", local(65)), "250");
    client.expect(format!("RCPT TO:{}", local(244)), "250");
    client.expect(format!("RCPT TO:{}", local(245)), "501 5.1.3 Bad address syntax: path too long");
    let label = "d".repeat(63);
    let path = |last: usize| format!("<aa@{label}.{label}.{label}.{}>", "d".repeat(last));
    assert_eq!((path(59).len(), path(60).len()), (256, 257));
    client.expect(format!("RCPT TO:{}", path(59)), "250");
    client.expect(format!("RCPT TO:{}", path(60)), "501 5.1.3");
    client.expect(format!("RCPT TO:<a@{}.example>", "d".repeat(64)), "501 5.1.3");
}

#[test]
fn strict_syntax() {
    let inbox = inbox(builder().strict_syntax(true));
    let mut client = Client::connect(inbox.local_addr());
    converse(
        &mut client,
        &[
            ("EHLO not_a_domain", "501 5.5.4"),
            ("EHLO [127.0.0.1]", "250"),
            ("MAIL FROM: <a@b.example>", "501 5.1.7"),
            ("MAIL FROM:a@b.example", "501 5.1.7"),
            ("MAIL FROM:<root>", "501 5.1.7"),
            ("MAIL FROM:<a..b@c.example>", "501 5.1.7"),
            ("MAIL FROM:<a@b_c>", "501 5.1.7 Bad address syntax: bad domain"),
            ("MAIL FROM:<a@b.example>", "250"),
            ("RCPT TO:<root>", "501 5.1.3"),
            ("RCPT TO:<Postmaster>", "250"),
        ],
    );
    client
        .expect(format!("RCPT TO:<{}@b.example>", "a".repeat(65)), "501 5.1.3 Bad address syntax: local part too long");
}

#[test]
fn parameters() {
    let inbox = inbox(builder().data_size_limit(1000).smtputf8(true));
    let mut client = Client::connect(inbox.local_addr());
    converse(
        &mut client,
        &[("HELO client.example", "250"), ("MAIL FROM:<> SIZE=1", "555 5.5.4"), ("EHLO client.example", "250")],
    );
    for (parameters, reply) in [
        ("SIZE=1000", "250"),
        ("SIZE=1001", "552 5.3.4"),
        ("SIZE=4294967300", "552 5.3.4"),
        ("SIZE=99999999999999999999", "552 5.3.4"),
        ("SIZE=", "501 5.5.4"),
        ("SIZE=-1", "501 5.5.4"),
        ("SIZE=1 SIZE=1", "501 5.5.4"),
        ("BODY=8BITMIME SMTPUTF8", "250"),
        ("body=7bit", "250"),
        ("BODY=9BIT", "501 5.5.4"),
        ("SMTPUTF8=yes", "501 5.5.4"),
        ("X-UNKNOWN", "555 5.5.4"),
    ] {
        client.expect(format!("MAIL FROM:<a@b.example> {parameters}"), reply);
        client.expect("RSET", "250");
    }
    converse(
        &mut client,
        &[
            ("MAIL FROM:<\u{fc}@b\u{fc}cher.example> SMTPUTF8", "250"),
            ("RCPT TO:<\u{65e5}@b.example>", "250"),
            ("RCPT TO:<a@b.example> X-UNKNOWN=1", "555 5.5.4"),
        ],
    );
}

#[test]
fn an_envelope_has_what_was_said() {
    let inbox = inbox(builder().smtputf8(true));
    let mut client = Client::connect(inbox.local_addr());
    converse(
        &mut client,
        &[
            ("EHLO client.example", "250"),
            ("mail from:<Sender@Client.Example> size=100 body=8bitmime smtputf8", "250"),
            ("RCPT TO:<one@example.org>", "250"),
            ("RCPT TO:<\"t wo\"@example.org>", "250"),
            ("RCPT TO:<one@example.org>", "250"),
            ("DATA", "354"),
        ],
    );
    let reply = client.say("Subject: x\r\n\r\n..dot\r\n\u{fc}\r\n.");
    let mail = inbox.recv_timeout(PATIENCE).unwrap();
    assert_eq!(reply, format!("250 2.0.0 OK {}", mail.id()));
    assert_eq!(mail.mail_from(), "Sender@client.example");
    assert_eq!(mail.mail_from().as_str(), "Sender@Client.Example");
    assert_eq!(mail.mail_options(), ["SIZE=100", "BODY=8BITMIME", "SMTPUTF8"]);
    assert_eq!(mail.recipients(), ["one@example.org", "\"t wo\"@example.org", "one@example.org"]);
    assert_eq!(mail.bytes().unwrap(), "Subject: x\r\n\r\n.dot\r\n\u{fc}\r\n".as_bytes());
    assert_eq!(mail.text().unwrap(), "Subject: x\n\n.dot\n\u{fc}\n");
    assert_eq!(
        (mail.helo(), mail.hostname(), mail.protocol().to_string().as_str()),
        ("client.example", "mx.example", "UTF8SMTP")
    );
    assert_eq!(mail.peer().socket_addr(), Some(client.local_addr()));
    assert_eq!(mail.local().socket_addr(), Some(inbox.local_addr()));
    let header = mail.received_header();
    assert!(
        header.starts_with("Received: from client.example ([127.0.0.1])\r\n\tby mx.example with UTF8SMTP id "),
        "{header}"
    );

    client.expect("HELO client.example", "250");
    client.begin();
    client.expect("DATA", "354");
    client.expect(".", "250");
    let second = inbox.recv_timeout(PATIENCE).unwrap();
    assert!(second.content().is_empty() && second.id() != mail.id());
    assert_eq!(second.protocol().to_string(), "SMTP");
    assert!(second.mail_options().is_empty());
}

#[test]
fn every_octet_survives() {
    let inbox = inbox(builder().line_ends(LineEnds::Keep));
    let mut client = Client::envelope(inbox.local_addr());
    client.expect("DATA", "354");
    let all: Vec<u8> = (0..=255).collect();
    client.expect([&all[..], b"\r\n."].concat(), "250");
    assert_eq!(inbox.recv_timeout(PATIENCE).unwrap().bytes().unwrap(), [&all[..], b"\r\n"].concat());
}

#[test]
fn text_only() {
    let inbox = inbox(builder().decode_data(true));
    let mut client = Client::envelope(inbox.local_addr());
    client.expect("DATA", "354");
    client.expect(b"caf\xe9\r\n.", "554 5.6.0");
    client.begin();
    client.expect("DATA", "354");
    client.expect("caf\u{e9}\r\n.", "250");
    assert_eq!(inbox.recv_timeout(PATIENCE).unwrap().text().unwrap(), "caf\u{e9}\n");
    assert!(inbox.is_empty());
    let both = builder().decode_data(true).smtputf8(true).inbox("127.0.0.1:0");
    assert!(matches!(both, Err(pillarbox::Error::Setting(_))));
}

#[test]
fn the_last_dot_and_the_end_of_the_stream_together() {
    let inbox = inbox(builder());
    let mut client = Client::envelope(inbox.local_addr());
    client.expect("DATA", "354");
    client.send("hello\r\n.\r\n");
    client.close_writing();
    client.expect_reply("250 2.0.0 OK");
    client.expect_close();
    assert_eq!(inbox.recv_timeout(PATIENCE).unwrap().bytes().unwrap(), &b"hello\r\n"[..]);
}

#[test]
fn pipelined() {
    let inbox = inbox(builder());
    let mut client = Client::connect(inbox.local_addr());
    client.send("EHLO c.example\r\nMAIL FROM:<>\r\nRCPT TO:<bad\r\nRCPT TO:<a@b.example>\r\nDATA\r\n");
    for reply in ["250-", "250 ", "501 ", "250 ", "354 "] {
        client.expect_reply(reply);
    }
    client.send("content\r\n.\r\nMAIL FROM:<>\r\nRCPT TO:<bad\r\nDATA\r\n");
    for reply in ["250 ", "250 ", "501 ", "503 "] {
        client.expect_reply(reply);
    }
    // No data was asked for, so none is taken.
    client.expect_in_step();
    // A complete command is answered, though half of the next one came with it.
    client.send("NOOP\r\nNOO");
    client.expect_reply("250");
    client.expect("P", "250");
    assert_eq!(inbox.len(), 1);
}

#[test]
fn chunks() {
    let inbox = inbox(builder());
    let mut client = Client::envelope(inbox.local_addr());
    client.send("BDAT 7\r\nhello\r\n");
    client.expect_reply("250 2.0.0 7 octets received");
    client.expect("RCPT TO:<late@example.org>", "503 5.5.1");
    client.expect("DATA", "503 5.5.1");
    client.send("BDAT 0\r\nBDAT 3\r\n.\r\nBDAT 0 LAST\r\n");
    client.expect_reply("250 2.0.0 0 octets received");
    client.expect_reply("250 2.0.0 3 octets received");
    client.expect_reply("250 2.0.0 OK");
    assert_eq!(inbox.recv_timeout(PATIENCE).unwrap().bytes().unwrap(), &b"hello\r\n.\r\n"[..]);
    // Refused chunks are read off.
    client.send("BDAT 12 LAST\r\nMAIL FROM:<>NOOP\r\n");
    client.expect_reply("503 5.5.1");
    client.expect_reply("250 2.0.0 OK");
    client.begin();
    client.send("BDAT 6 LAST\r\nab");
    client.close_writing();
    client.expect_close();
    // Where this chunk ends, nobody can tell.
    let mut client = Client::envelope(inbox.local_addr());
    client.expect("BDAT x", "501 5.5.4");
    client.expect_close();
    assert!(inbox.is_empty());
}

#[test]
fn notices_priorities_and_times() {
    let builder = builder().prdr(true).mt_priority(true).deliver_by(Duration::from_secs(60));
    let inbox = inbox(builder.future_release(Duration::from_secs(3600)));
    let mut client = Client::connect(inbox.local_addr());
    let reply = client.say("EHLO client.example");
    assert!(reply.contains("250-PRDR\n250-MT-PRIORITY\n250-DELIVERBY 60\n250-FUTURERELEASE 3600 20"), "{reply}");
    converse(
        &mut client,
        &[
            ("MAIL FROM:<a@b.example> HOLDFOR=3601", "501 5.5.4"),
            ("MAIL FROM:<a@b.example> BY=59;R", "501 5.5.4"),
            ("MAIL FROM:<a@b.example> RET=HDRS ENVID=QQ+2Bx BY=120;RT MT-PRIORITY=3 HOLDFOR=60", "250"),
            ("RCPT TO:<one@example.org> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;Bob+2Bx@example.org", "250"),
            ("RCPT TO:<two@example.org> NOTIFY=NEVER,DELAY", "501 5.5.4"),
            ("RCPT TO:<two@example.org> NOTIFY=NEVER", "250"),
            ("DATA", "354"),
            (".", "250"),
        ],
    );
    let mail = inbox.recv_timeout(PATIENCE).unwrap();
    let parameters = mail.mail_parameters();
    assert_eq!(
        (parameters.ret(), parameters.envid(), parameters.priority()),
        (Some(Ret::Headers), Some("QQ+x"), Some(3))
    );
    assert_eq!(parameters.hold(), Some(Hold::For(Duration::from_secs(60))));
    assert!(parameters.deliver_by().is_some_and(|by| by.seconds == 120 && by.trace));
    let [one, two] = mail.recipients() else { panic!("{:?}", mail.recipients()) };
    assert_eq!(one.parameters().orcpt().unwrap().address(), "Bob+x@example.org");
    assert_eq!(two.parameters().notify(), Some(Notify::NEVER));
}

#[test]
fn a_reply_for_each_recipient_where_it_is_asked_for() {
    let answer = |_: pillarbox::Envelope| {
        pillarbox::Response::each([Ok(()), Err(pillarbox::Reply::new(550, "5.1.1", "no such user"))])
    };
    let server = builder().prdr(true).serve("127.0.0.1:0", answer).expect("a free port");
    let mut client = Client::ehlo(server.local_addr());
    let rcpts = [("RCPT TO:<a@b.example>", "250"), ("RCPT TO:<c@d.example>", "250"), ("DATA", "354")];
    client.expect("MAIL FROM:<> PRDR", "250");
    converse(&mut client, &rcpts);
    client.expect(".", "353 ");
    client.expect_reply("250 2.0.0 OK");
    client.expect_reply("550 5.1.1");
    client.expect_reply("250 2.0.0 OK");
    client.expect_in_step();
    client.expect("MAIL FROM:<>", "250");
    converse(&mut client, &rcpts);
    client.expect(".", "550 5.1.1");
    client.expect_in_step();
}

#[test]
fn binary_content_comes_in_chunks_only() {
    let inbox = inbox(builder());
    let mut client = Client::ehlo(inbox.local_addr());
    client.expect("MAIL FROM:<> BODY=BINARYMIME", "250");
    client.expect("RCPT TO:<a@b.example>", "250");
    client.expect("DATA", "503 5.5.1");
    client.send(b"BDAT 6\r\n\n\r\0\xff\r.BDAT 1 LAST\r\n\n");
    client.expect_reply("250 2.0.0 6 octets");
    client.expect_reply("250 2.0.0 OK");
    assert_eq!(inbox.recv_timeout(PATIENCE).unwrap().bytes().unwrap(), &b"\n\r\0\xff\r.\n"[..]);
}

#[test]
fn lmtp() {
    let answer = |mail: pillarbox::Envelope| {
        pillarbox::Response::each(mail.recipients().iter().map(|to| match to.as_str().starts_with("bad") {
            true => Err(pillarbox::Reply::new(550, "5.1.1", "no such user")),
            false => Ok(()),
        }))
    };
    let server = builder().lmtp(true).serve("127.0.0.1:0", answer).expect("a free port");
    let mut client = Client::raw(server.local_addr());
    assert_eq!(client.reply(), "220 mx.example LMTP pillarbox");
    converse(
        &mut client,
        &[
            ("EHLO client.example", "500 5.5.1"),
            ("HELO client.example", "500 5.5.1"),
            ("LHLO client.example", "250-"),
            ("MAIL FROM:<>", "250"),
            ("DATA", "503 5.5.1"),
            ("RCPT TO:<good@example.org>", "250"),
            ("RCPT TO:<nonsense", "501"),
            ("RCPT TO:<bad@example.org>", "250"),
            ("RCPT TO:<good@example.org>", "250"),
            ("DATA", "354"),
        ],
    );
    client.expect("content\r\n.", "250 2.0.0 OK ");
    client.expect_reply("550 5.1.1 no such user");
    client.expect_reply("250 2.0.0 OK ");
    client.expect_in_step();
}

/// The content of a message in chunks of these sizes, as BDAT commands.
fn in_chunks(content: &[u8], sizes: &[usize]) -> Vec<u8> {
    let mut commands = Vec::new();
    let mut rest = content;
    for size in sizes {
        let (chunk, behind) = rest.split_at((*size).min(rest.len()));
        rest = behind;
        commands.extend_from_slice(format!("BDAT {}\r\n", chunk.len()).as_bytes());
        commands.extend_from_slice(chunk);
    }
    commands.extend_from_slice(format!("BDAT {} LAST\r\n", rest.len()).as_bytes());
    [commands, rest.to_vec()].concat()
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(40))]

    #[test]
    fn any_split_into_chunks_is_the_message_that_data_brings(
        lines in proptest::collection::vec("[a-z.]{0,6}|\\.{1,3}|[\r\n]{1,2}", 0..12),
        sizes in proptest::collection::vec(0usize..12, 0..8),
    ) {
        let content: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
        let stuffed: String = content.split_inclusive("\r\n").map(|line| match line.starts_with('.') {
            true => format!(".{line}"),
            false => line.to_owned(),
        }).collect();
        let inbox = inbox(builder());
        let mut client = Client::envelope(inbox.local_addr());
        client.expect("DATA", "354");
        client.expect(format!("{stuffed}."), "250 2.0.0 OK");
        client.begin();
        client.send(in_chunks(content.as_bytes(), &sizes));
        for _ in &sizes {
            client.expect_reply("250 2.0.0 ");
        }
        client.expect_reply("250 2.0.0 OK");
        let (data, bdat) = (inbox.recv_timeout(PATIENCE).unwrap(), inbox.recv_timeout(PATIENCE).unwrap());
        proptest::prop_assert_eq!(data.bytes().unwrap(), bdat.bytes().unwrap());
    }
}
