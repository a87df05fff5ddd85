//! What comes over the wire: addresses, content, and where either of them ends.

use std::time::Duration;

use pillarbox::{Builder, Context, Inbox, Network, Reply, Server, Session, handlers};

use crate::support::client::{Client, PATIENCE};

fn inbox(builder: Builder) -> Inbox {
    builder.hostname("mx.example").max_errors(None).inbox("127.0.0.1:0").expect("a free port")
}

/// The content of a message that is sent by DATA.
fn received(client: &mut Client, inbox: &Inbox, wire: &[u8]) -> String {
    client.begin();
    client.expect("DATA", "354");
    client.send(wire);
    client.expect_reply("250 2.0.0 OK");
    client.expect_in_step();
    let mail = inbox.recv_timeout(PATIENCE).expect("it was acknowledged");
    String::from_utf8(mail.bytes().expect("it is in memory").into_owned()).expect("ASCII")
}

/// MAIL and RCPT with an address, and what becomes of it in the envelope.
fn takes(client: &mut Client, inbox: &Inbox, address: &str) {
    client.expect(format!("MAIL FROM:<{address}>"), "250 2.0.0");
    client.expect(format!("RCPT TO:<{address}>"), "250 2.0.0");
    client.expect("DATA", "354");
    client.expect(".", "250 2.0.0 OK");
    let mail = inbox.recv_timeout(PATIENCE).expect("it was acknowledged");
    assert_eq!(mail.mail_from().as_str(), address);
    assert_eq!(mail.recipients(), [address]);
    let header = mail.received_header();
    assert!(header.contains(&format!("for <{address}>;")), "{header}");
}

/// Refused in MAIL and in RCPT.
fn refuses(client: &mut Client, address: &str, why: &str) {
    client.expect("RSET", "250");
    client.expect(format!("MAIL FROM:<{address}>"), &format!("501 5.1.7 Bad address syntax: {why}"));
    client.expect("MAIL FROM:<>", "250");
    client.expect(format!("RCPT TO:<{address}>"), &format!("501 5.1.3 Bad address syntax: {why}"));
}

const LENIENT: &[(&str, &str)] = &[
    ("root@my_host", "bad domain"),
    ("a@web_1.project_default", "bad domain"),
    ("a@_dmarc.example", "bad domain"),
    ("x.@example.com", "bad local part"),
    (".x@example.com", "bad local part"),
    ("..a..@example.jp", "bad local part"),
    ("..a..@example.jp", "bad local part"),
    ("root", "bad local part"),
    ("www-data", "bad local part"),
    ("\"with blank\"", "bad local part"),
];

/// Reported of other parsers: bounces and confirmations that name the recipient in their own local part (VERP, SRS) have
/// more than 64 octets, which RFC 5321 section 4.5.3.1 has servers bear; names of containers have underscores; a telephone
/// company gave out addresses with dots in a row; cron writes to `root`. Python's smtpd took them all.
#[test]
fn addresses_that_real_programs_send_are_taken() {
    for lmtp in [false, true] {
        let inbox = inbox(Server::builder().lmtp(lmtp));
        let mut client = Client::connect(inbox.local_addr());
        client.expect(if lmtp { "LHLO client.example" } else { "EHLO client.example" }, "250");
        for (address, _) in LENIENT {
            takes(&mut client, &inbox, address);
        }
        let verp = "list-bounces+0123456789abcdef-user=some.subdomain.example.org-confirmed";
        assert_eq!(verp.len(), 71);
        takes(&mut client, &inbox, &format!("{verp}@lists.example"));
        takes(&mut client, &inbox, &format!("{}@b.example", "x".repeat(244)));
    }
    // Without angle brackets, and after HELO.
    let inbox = inbox(Server::builder());
    let mut client = Client::connect(inbox.local_addr());
    client.expect("HELO client.example", "250");
    client.expect("MAIL FROM:root", "250");
    client.expect("RCPT TO: www-data", "250");
    client.expect("RCPT TO:a..b@c_d", "250");
    client.expect("DATA", "354");
    client.expect(".", "250");
    let mail = inbox.recv_timeout(PATIENCE).expect("it was acknowledged");
    assert_eq!(mail.recipients(), ["www-data", "a..b@c_d"]);
    let domains: Vec<_> = mail.recipients().iter().map(|to| to.domain()).collect();
    assert_eq!((mail.mail_from().domain(), domains), (None, vec![None, Some("c_d")]));
}

/// Who asks for the grammar of RFC 5321 gets it.
#[test]
fn strict_syntax_refuses_them_and_says_why() {
    let inbox = inbox(Server::builder().strict_syntax(true));
    let mut client = Client::ehlo(inbox.local_addr());
    for (address, why) in LENIENT {
        refuses(&mut client, address, why);
    }
    refuses(&mut client, &format!("{}@b.example", "x".repeat(65)), "local part too long");
    client.expect("RCPT TO:<Postmaster>", "250");
}

/// What no domain has was called a missing bracket, or was taken up to there.
#[test]
fn what_is_no_domain_is_called_one_that_is_bad() {
    for strict in [false, true] {
        let inbox = inbox(Server::builder().strict_syntax(strict));
        let mut client = Client::ehlo(inbox.local_addr());
        for address in
            ["a@b/c", "a@b:25", "a@b@c", "a@[192.0.2.1]:25", "a@b,c@d", "a@", "a@b..c", "a@-b", "a@b.", "a@b!c"]
        {
            refuses(&mut client, address, "bad domain");
        }
        for control in ["a\x01@b", "a@b\x7f", "root\x1b"] {
            client.expect(format!("RCPT TO:<{control}>"), "500 5.5.2 Control character");
        }
        // Its local part ends where the line does; so it was the local part that was blamed.
        for path in ["<b", "<b@c", "<root NOTIFY=NEVER", "<\"b"] {
            client.expect(format!("RCPT TO:{path}"), "501 5.1.3 Bad address syntax: missing angle bracket");
        }
        client.expect("RCPT TO:<a b@c>", "501 5.1.3 Bad address syntax: bad local part");
    }
}

/// The hint in LMTP was to send what LMTP does not have.
#[test]
fn lmtp_names_its_own_greeting() {
    let inbox = inbox(Server::builder().lmtp(true));
    let mut client = Client::connect(inbox.local_addr());
    client.expect("MAIL FROM:<>", "503 5.5.1 Send LHLO first");
    client.expect("EHLO client.example", "500 5.5.1");
    client.expect("MAIL FROM:<>", "503 5.5.1 Send LHLO first");
    client.expect("LHLO client.example", "250");
    client.expect("MAIL FROM:<>", "250");
    let inbox = self::inbox(Server::builder());
    Client::connect(inbox.local_addr()).expect("MAIL FROM:<>", "503 5.5.1 Send HELO or EHLO first");
}

/// As above, of AUTH.
#[cfg(feature = "auth")]
#[test]
fn lmtp_names_its_own_greeting_before_auth_too() {
    let users = pillarbox::Users::parse("bob:builder\n").expect("a list of users");
    let inbox = inbox(Server::builder().lmtp(true).authenticator(users));
    Client::connect(inbox.local_addr()).expect("AUTH PLAIN", "503 5.5.1 Send LHLO first");
}

/// Reported of Python's smtplib: content that is given as bytes keeps its lone LFs, and a dot behind each is doubled. It
/// arrived with one dot too many.
#[test]
fn dots_behind_lone_line_ends_are_undone() {
    let inbox = inbox(Server::builder());
    let mut client = Client::ehlo(inbox.local_addr());
    for (wire, content) in [
        ("a\n..b\n\r\n.\r\n", "a\r\n.b\r\n\r\n"),
        ("..a\n..\n...\nb\r\n.\r\n", ".a\r\n.\r\n..\r\nb\r\n"),
        ("\n..\r\n.\r\n", "\r\n.\r\n"),
        ("a\r..b\r\n.\r\n", "a\r\n.b\r\n"),
        ("a\n.b\r\n.\r\n", "a\r\nb\r\n"),
        // A dot by itself stays, since it ends nothing.
        ("a\n.\r\nb\r\n.\r\n", "a\r\n.\r\nb\r\n"),
        ("a\n.\nb\r\n.\r\n", "a\r\n.\r\nb\r\n"),
        ("a\r.\rb\r\n.\r\n", "a\r\n.\r\nb\r\n"),
        ("a\r\n.\nb\r\n.\r\n", "a\r\n.\r\nb\r\n"),
        ("\n.\r\n.\r\n", "\r\n.\r\n"),
    ] {
        assert_eq!(received(&mut client, &inbox, wire.as_bytes()), content, "{}", wire.escape_debug());
    }
    // The same in packets that end anywhere.
    let wire = b"a\n..b\r\n..c\n.\r\n.d\n..\n\r\n.\r\n";
    let whole = received(&mut client, &inbox, wire);
    assert_eq!(whole, "a\r\n.b\r\n.c\r\n.\r\nd\r\n.\r\n\r\n");
    for cut in 0..wire.len() {
        client.begin();
        client.expect("DATA", "354");
        client.send(&wire[..cut]);
        client.send(&wire[cut..]);
        client.expect_reply("250 2.0.0 OK");
        assert_eq!(inbox.recv_timeout(PATIENCE).unwrap().bytes().unwrap(), whole.as_bytes(), "cut at {cut}");
    }
    // A chunk has no dots to undo.
    client.begin();
    client.send("BDAT 5 LAST\r\na\n..b");
    client.expect_reply("250 2.0.0 OK");
    assert_eq!(inbox.recv_timeout(PATIENCE).unwrap().bytes().unwrap(), &b"a\r\n..b"[..]);
}

/// Where octets stay as they are, nothing but CRLF begins a line.
#[test]
fn dots_behind_lone_line_ends_stay_where_line_ends_do() {
    let inbox = inbox(Server::builder().line_ends(pillarbox::LineEnds::Keep));
    let mut client = Client::ehlo(inbox.local_addr());
    let wire = b"a\n..b\r..c\n.\n\r\n..\r\n.\r\n";
    assert_eq!(received(&mut client, &inbox, wire), "a\n..b\r..c\n.\n\r\n.\r\n");
}

/// Refuses everything that DATA could be refused for by a hook.
struct NoData;

impl Session for NoData {
    fn data(&mut self, _: &Context) -> Result<(), Reply> {
        Err(Reply::new(550, "5.7.1", "no content, please"))
    }
}

/// Answers DATA itself.
struct OwnData;

impl Session for OwnData {
    fn command(&mut self, _: &Context, verb: &[u8], _: &[u8]) -> Option<Reply> {
        verb.eq_ignore_ascii_case(b"DATA").then(|| Reply::new(451, "4.3.0", "not now"))
    }
}

/// Four lines of this and what follows them fill more than one read.
fn long_noop() -> String {
    format!("NOOP {}\r\n", "x".repeat(598))
}

/// DATA, refused, and in the same packet four long NOOPs, RSET and a whole message: the server looked at what it had read of
/// it, let harmless commands run, and so came to the message, which was delivered.
#[test]
fn nothing_behind_refused_data_is_run() {
    let message =
        "RSET\r\nMAIL FROM:<evil@client.example>\r\nRCPT TO:<victim@example.org>\r\nDATA\r\nsmuggled\r\n.\r\n";
    let tails = [
        long_noop().repeat(4) + message,
        message.to_owned(),
        "NOOP\r\n".to_owned() + message,
        "QUIT\r\n".to_owned(),
        "R".to_owned(),
        ".\r\n".to_owned(),
        long_noop().repeat(40) + message,
    ];
    let inboxes = [
        inbox(Server::builder()),
        inbox(Server::builder().session(|_| NoData)),
        inbox(Server::builder().session(|_| OwnData)),
        inbox(Server::builder().buffer_budget(1)),
        inbox(Server::builder().lmtp(true)),
    ];
    for (n, inbox) in inboxes.iter().enumerate() {
        // All that is sent before DATA, to whose replies nobody listens: a hook, a budget or a missing recipient refuses it.
        let recipient = if n == 0 || n == 4 { "" } else { "RCPT TO:<recipient@example.org>\r\n" };
        for data in ["DATA", "DATA now", "data\t", "DATA\0", "DATA\r", "DATA \x0b"] {
            for tail in &tails {
                let mut client = Client::connect(inbox.local_addr());
                client.expect(if n == 4 { "LHLO client.example" } else { "EHLO client.example" }, "250");
                client.send(format!("MAIL FROM:<a@client.example> SIZE=5\r\n{recipient}"));
                client.expect_reply("250");
                if !recipient.is_empty() {
                    client.expect_reply("250");
                }
                client.send(format!("{data}\r\n{tail}"));
                let refusal = client.reply();
                assert!(refusal.starts_with(['4', '5']), "{data}: {refusal}");
                client.expect_reply("421 4.7.0 Content was not asked for");
                client.expect_close();
            }
        }
        // Who waits for the reply goes on, whatever it is, and however DATA was cut.
        let mut client = Client::connect(inbox.local_addr());
        client.expect(if n == 4 { "LHLO client.example" } else { "EHLO client.example" }, "250");
        client.send(format!("MAIL FROM:<a@client.example> SIZE=5\r\n{recipient}DA"));
        client.expect_reply("250");
        if !recipient.is_empty() {
            client.expect_reply("250");
        }
        let refusal = client.say("TA");
        assert!(refusal.starts_with(['4', '5']), "{refusal}");
        client.expect_in_step();
        assert!(inbox.is_empty());
    }
}

/// As above: what was not in the server's buffer stood in the socket's, since DATA ended where a read did.
#[test]
fn what_waits_in_the_socket_behind_refused_data_counts() {
    let inbox = inbox(Server::builder());
    // However much a read brings at most, for one of these DATA ends there.
    for octets in [512, 1024, 2048, 4096, 8192, 16_384, 32_768, 65_536] {
        let mut client = Client::ehlo(inbox.local_addr());
        let mut packet = "NOOP\r\n".repeat((octets - 6) / 600);
        while packet.len() + 6 < octets {
            let left = (octets - 6 - packet.len()).min(1200);
            packet += &match left {
                0..12 => "x".repeat(left - left.min(2)) + &"\r\n"[..left.min(2)],
                _ if left >= 1200 => format!("NOOP {}\r\n", "x".repeat(600 - 7)),
                _ => format!("NOOP {}\r\n", "x".repeat(left - 7)),
            };
        }
        assert_eq!(packet.len() + 6, octets);
        packet +=
            "DATA\r\nMAIL FROM:<evil@client.example>\r\nRCPT TO:<victim@example.org>\r\nDATA\r\nsmuggled\r\n.\r\n";
        client.send(packet);
        let all = String::from_utf8(client.closed()).expect("replies are ASCII");
        assert!(all.contains("\r\n503 5.5.1") && all.ends_with("421 4.7.0 Content was not asked for\r\n"), "{all}");
    }
    assert!(inbox.is_empty());
}

/// RFC 2920 section 3.1: DATA is the last of a group, and its client waits.
#[test]
fn a_group_that_ends_with_data_stays_in_step_whatever_is_refused() {
    let inbox = inbox(Server::builder().max_recipients(1));
    let mut client = Client::ehlo(inbox.local_addr());
    for _ in 0..20 {
        client.send("MAIL FROM:<>\r\nRCPT TO:<>\r\nRCPT TO:<b\r\nDATA\r\n");
        for reply in ["250", "501", "501", "503"] {
            client.expect_reply(reply);
        }
        client.send("RSET\r\nMAIL FROM:<a@b@c>\r\nRCPT TO:<a@b.example>\r\nDATA\r\n");
        for reply in ["250", "501", "503", "503"] {
            client.expect_reply(reply);
        }
    }
    client.expect_in_step();
}

/// Lines that announce a chunk without saying how long it is: what follows them ran as commands, though it may be content.
#[test]
fn a_chunk_of_unknown_length_ends_the_connection() {
    let inbox = inbox(Server::builder());
    let long = format!("BDAT 1{}", " ".repeat(3_000));
    let longer = format!("bdat 1{}", "0".repeat(20_000));
    let data = format!("DATA {}", "x".repeat(20_000));
    for (line, reply) in [
        ("BDAT 99999999999999999999999 LAST", "501 5.5.4"),
        ("BDAT 18446744073709551616", "501 5.5.4"),
        ("BDAT +100", "501 5.5.4"),
        ("BDAT -100", "501 5.5.4"),
        ("BDAT 12x", "501 5.5.4"),
        ("BDAT 0x10 LAST", "501 5.5.4"),
        ("BDAT 1e3", "501 5.5.4"),
        ("BDAT 10,000", "501 5.5.4"),
        ("BDAT 10 LASTX", "501 5.5.4"),
        ("BDAT 10 FOO", "501 5.5.4"),
        ("BDAT 10 LAST 10", "501 5.5.4"),
        ("bdat ten", "501 5.5.4"),
        ("BDAT LAST", "501 5.5.4"),
        ("BDAT", "501 5.5.4"),
        ("BDAT \t", "501 5.5.4"),
        ("BDAT10 LAST", "500 5.5.2"),
        ("bdat+10", "500 5.5.2"),
        ("BDAT\0 10", "500 5.5.2"),
        ("BDAT\x0b10", "500 5.5.2"),
        ("BDAT 10\x0bLAST", "500 5.5.2"),
        ("BDAT 10\0", "500 5.5.2"),
        (&long, "500 5.5.2 Line too long"),
        (&longer, "500 5.5.2 Line too long"),
        (&data, "500 5.5.2 Line too long"),
    ] {
        let open: [fn(std::net::SocketAddr) -> Client; 2] = [Client::ehlo, Client::envelope];
        for open in open {
            // In the same packet, and by a client that goes on later.
            for at_once in [true, false] {
                let mut client = open(inbox.local_addr());
                let smuggled = "MAIL FROM:<evil@client.example>\r\nRSET\r\nNOOP\r\n";
                client.send(format!("{line}\r\n{}", if at_once { smuggled } else { "" }));
                client.expect_reply(reply);
                if !at_once {
                    client.try_send(smuggled);
                }
                assert_eq!(client.closed(), b"", "{}", &line[..line.len().min(40)]);
            }
        }
    }
    // Another word is none of these.
    let mut client = Client::envelope(inbox.local_addr());
    client.expect("BDATA 10", "500 5.5.2");
    client.expect_in_step();
    assert!(inbox.is_empty());
}

/// A page's script chooses the method. PATCH, DELETE and the others of which browsers send some unasked were answered as
/// unknown commands, and mail in the request's body was delivered.
#[test]
fn http_of_any_method_ends_the_connection() {
    let inbox = inbox(Server::builder());
    let body = "MAIL FROM:<evil@client.example>\r\nRCPT TO:<victim@example.org>\r\nDATA\r\nsmuggled\r\n.\r\n";
    let long = format!("PATCH /{} HTTP/1.1", "x".repeat(3_000));
    let longer = format!("DELETE /{} HTTP/1.1", "x".repeat(20_000));
    for line in [
        "PATCH / HTTP/1.1",
        "DELETE /x HTTP/1.0",
        "HEAD / HTTP/1.1",
        "OPTIONS * HTTP/1.1",
        "REPORT /calendar?a=b%20c HTTP/1.1",
        "M-SEARCH * HTTP/1.1",
        "PRI * HTTP/2.0",
        "patch / http/1.1",
        "PATCH\t/\tHTTP/1.1\t",
        // A method may also be named as a command is.
        "EHLO / HTTP/1.1",
        "HELO / HTTP/1.1",
        "NOOP / HTTP/1.1",
        "HELP / HTTP/1.1",
        "DATA / HTTP/1.1",
        "BDAT / HTTP/1.1",
        "AUTH / HTTP/1.1",
        "GET",
        "POST /x",
        &long,
        &longer,
    ] {
        for greeted in [false, true] {
            for packets in [1, 2] {
                let mut client = match greeted {
                    true => Client::ehlo(inbox.local_addr()),
                    false => Client::connect(inbox.local_addr()),
                };
                let request = format!("{line}\r\nHost: localhost\r\n\r\nEHLO client.example\r\n{body}");
                let (first, second) = request.split_at(if packets == 1 { request.len() } else { line.len() / 2 });
                client.send(first);
                client.try_send(second);
                client.expect_reply("421 4.7.0 This is not an HTTP server");
                assert_eq!(client.closed(), b"", "{}", &line[..line.len().min(40)]);
            }
        }
    }
    // What only looks like it.
    let mut client = Client::ehlo(inbox.local_addr());
    client.expect("NOOP the path of HTTP/1.1 messages", "250");
    client.expect("NOOP xHTTP/1.1", "250");
    client.expect("VRFY HTTP/2", "252");
    assert!(inbox.is_empty());
}

/// Reported of servers that count NOOPs as errors: pools of connections ask with them whether a connection still lives, and
/// lost each at the hundredth.
#[test]
fn a_pool_that_keeps_a_connection_alive_keeps_it() {
    let inbox = Server::builder().max_error_rate(1, Duration::from_secs(3600));
    let inbox = inbox.inbox("127.0.0.1:0").expect("a free port");
    let mut client = Client::connect(inbox.local_addr());
    for _ in 0..119 {
        client.expect("NOOP", "250 2.0.0");
    }
    client.expect("NOOP", "250 2.0.0");
    client.expect_reply("421 4.7.0 Too many commands without mail");
    client.expect_close();
    // It was no error of the client's network, and a message makes all good.
    let mut client = Client::ehlo(inbox.local_addr());
    for _ in 0..5 {
        for _ in 0..110 {
            client.expect("NOOP", "250 2.0.0");
        }
        client.begin();
        client.expect("DATA", "354");
        client.expect(".", "250 2.0.0 OK");
    }
    client.expect_in_step();
}

/// What the handlers make of such addresses: a relay passes them on for those whom it trusts, and takes none of them from
/// strangers; a Maildir names them.
#[test]
fn handlers_cope_with_addresses_that_real_programs_send() {
    let upstream = inbox(Server::builder());
    let relay = handlers::Proxy::to(upstream.local_addr()).to_domains(["example.org"]);
    let relay = Server::builder().xclient(Network::loopback()).serve("127.0.0.1:0", relay).expect("a free port");
    let long = format!("{}@host_1.example", "x".repeat(80));
    let addresses = ["root", "a..b@example.jp", "\"with blank\"", &long];
    let mut client = Client::ehlo(relay.local_addr());
    for address in addresses {
        client.expect(format!("MAIL FROM:<{address}>"), "250");
        client.expect(format!("RCPT TO:<{address}>"), "250");
        client.expect("DATA", "354");
        client.expect(".", "250 2.0.0 OK");
        let mail = upstream.recv_timeout(PATIENCE).expect("it was acknowledged");
        assert_eq!((mail.mail_from().as_str(), mail.recipients()[0].as_str()), (address, address));
    }
    client.expect("XCLIENT ADDR=192.0.2.1", "220");
    client.expect("EHLO stranger.example", "250");
    for address in addresses {
        client.expect(format!("MAIL FROM:<{address}>"), "250");
        client.expect(format!("RCPT TO:<{address}>"), "550 5.7.1");
        client.expect("RSET", "250");
    }

    let folder = tempfile::tempdir().expect("a folder");
    let maildir = handlers::Maildir::create(folder.path()).expect("it can be made");
    let server = Server::builder().serve("127.0.0.1:0", maildir).expect("a free port");
    let mut client = Client::ehlo(server.local_addr());
    client.expect("MAIL FROM:<root>", "250");
    client.expect(format!("RCPT TO:<{long}>"), "250");
    client.expect("DATA", "354");
    client.expect(".", "250");
    let file = std::fs::read_dir(folder.path().join("new")).expect("a folder").next().expect("a message");
    let text = std::fs::read_to_string(file.expect("an entry").path()).expect("ASCII");
    assert!(text.starts_with(&format!("Return-Path: <root>\nDelivered-To: {long}\nReceived: ")), "{text}");
}
