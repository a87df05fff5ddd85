//! The proxy handler, between raw clients and an upstream that is a pillarbox itself, or scripted.

use std::net::SocketAddr;
use std::sync::mpsc;
use std::time::Duration;

use crate::support::client::{Client, PATIENCE};
use crate::support::scripted;
use crate::support::scripted::{Act, Scripted, say};
use pillarbox::handlers::Proxy;
use pillarbox::{Builder, Envelope, Inbox, LineEnds, Network, Reply, Response, Server, Upstream, XforwardSource};

fn proxy(upstream: impl Into<Upstream>) -> Server {
    proxy_with(Server::builder(), upstream)
}

fn proxy_with(builder: Builder, upstream: impl Into<Upstream>) -> Server {
    builder.hostname("relay.example").serve("127.0.0.1:0", Proxy::to(upstream)).unwrap()
}

/// With little patience, for upstreams that say nothing.
fn impatient(upstream: SocketAddr) -> Upstream {
    let short = Duration::from_millis(300);
    Upstream::from(upstream).connect_timeout(short).command_timeout(short).data_timeout(short)
}

fn inbox() -> Inbox {
    Server::builder().smtputf8(true).inbox("127.0.0.1:0").unwrap()
}

/// Sends a message by single steps as far as it is let, and gives the replies.
fn send(proxy: SocketAddr, recipients: &[&str]) -> Vec<String> {
    let mut client = Client::ehlo(proxy);
    let mut replies = vec![client.say("MAIL FROM:<sender@client.example>")];
    if replies[0].starts_with('2') {
        replies.extend(recipients.iter().map(|to| client.say(format!("RCPT TO:<{to}>"))));
    }
    if replies[1..].iter().any(|reply| reply.starts_with('2')) {
        replies.push(client.say("DATA"));
        if replies.last().unwrap().starts_with("354") {
            replies.push(client.say("Subject: relayed\r\n\r\nHello.\r\n."));
        }
    }
    client.say("QUIT");
    replies
}

#[test]
fn a_message_goes_on_with_its_envelope_and_two_headers() {
    let upstream = inbox();
    let proxy = proxy_with(Server::builder().smtputf8(true), upstream.local_addr());
    let mut client = Client::ehlo(proxy.local_addr());
    client
        .expect("MAIL FROM:<a@client.example> SIZE=100 BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=QQ314159", "250 2.0.0 OK");
    client.expect("RCPT TO:<gr\u{fc}n@example.org> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;gr@example.org", "250 2.0.0 OK");
    client.expect("RCPT TO:<\"b c\"@example.org>", "250 2.0.0 OK");
    client.expect("DATA", "354");
    let reply = client.expect("Subject: gr\u{fc}n\r\n\r\n..dot\r\n.", "250 2.0.0 OK ");
    let mail = upstream.recv_timeout(PATIENCE).unwrap();
    assert_eq!(reply, format!("250 2.0.0 OK {}", mail.id()), "the reply is not the upstream's");
    assert_eq!(mail.mail_from(), "a@client.example");
    assert_eq!(mail.mail_options(), ["BODY=8BITMIME", "SMTPUTF8", "SIZE=612", "RET=HDRS", "ENVID=QQ314159"]);
    assert_eq!(mail.recipients(), ["gr\u{fc}n@example.org", "\"b c\"@example.org"]);
    let options: Vec<&str> = mail.recipients()[0].parameters().options().collect();
    assert_eq!(options, ["NOTIFY=SUCCESS,FAILURE", "ORCPT=rfc822;gr@example.org"]);
    assert_eq!(mail.helo(), "relay.example");
    let text = mail.text().unwrap();
    assert!(
        text.starts_with("Received: from client.example ([127.0.0.1])\n\tby relay.example with UTF8SMTP id "),
        "{text}"
    );
    assert!(text.ends_with("\nX-Peer: 127.0.0.1\nSubject: gr\u{fc}n\n\n.dot\n"), "{text}");
}

#[test]
fn every_verdict_is_the_upstreams_word_for_word() {
    let upstream = scripted::Scripted::start(|line| match line {
        "RCPT TO:<b@example.org>" => {
            Some(say("550-5.1.1 <b@example.org>: no such user\r\n550 5.1.1 see https://example.org/"))
        }
        "RCPT TO:<c@example.org>" => Some(say("251 2.1.5 c has moved")),
        "." => Some(say("250 queued as 4711")),
        _ => None,
    });
    let proxy = proxy(upstream.address);
    let replies = send(proxy.local_addr(), &["a@example.org", "b@example.org", "c@example.org"]);
    assert_eq!(
        replies,
        [
            "250 2.0.0 fine",
            "250 2.0.0 fine",
            "550-5.1.1 <b@example.org>: no such user\n550 5.1.1 see https://example.org/",
            "251 2.1.5 c has moved",
            "354 End data with <CR><LF>.<CR><LF>",
            "250 2.0.0 queued as 4711",
        ]
    );
    assert_eq!(upstream.contents().len(), 1);
}

/// The faults of an upstream at each stage, and what the client may hear at best.
#[test]
fn what_the_client_hears_is_never_better_than_what_is_true() {
    const STAGES: [&str; 6] = ["CONNECT", "EHLO", "MAIL", "RCPT", "DATA", "."];
    let acts: [(&str, Act, char); 9] = [
        ("4xx", say("451 4.3.2 not now"), '4'),
        ("421", Act::SayAndClose("421 4.3.2 shutting down\r\n".to_owned()), '4'),
        ("close", Act::Close, '4'),
        ("silence", Act::Silence, '4'),
        ("endless", Act::Endless("250-more\r\n".to_owned()), '4'),
        ("one endless line", Act::Endless("250 ".to_owned()), '4'),
        ("drip", Act::Drip("250 ".to_owned() + &"x".repeat(500)), '4'),
        ("no reply", say("hello"), '4'),
        ("3xx", say("334 what?"), '4'),
    ];
    for stage in STAGES {
        for (name, act, class) in &acts {
            let act = act.clone();
            let upstream = scripted::Scripted::start(move |line| line.starts_with(stage).then(|| act.clone()));
            let proxy = proxy(impatient(upstream.address));
            let replies = send(proxy.local_addr(), &["a@example.org"]);
            let last = replies.last().unwrap();
            assert!(last.starts_with(*class), "{name} at {stage}: {replies:?}");
            // The proxy itself is well, and in step.
            Client::ehlo(proxy.local_addr()).expect_in_step();
        }
    }
}

#[test]
fn refusals_for_good_are_passed_on_where_they_are_about_the_message() {
    for (stage, sent) in [("MAIL", 1), ("RCPT", 2), ("DATA", 4), (".", 4)] {
        let upstream = scripted::Scripted::start(move |line| line.starts_with(stage).then(|| say("554 5.7.1 never")));
        let proxy = proxy(upstream.address);
        let replies = send(proxy.local_addr(), &["a@example.org"]);
        assert_eq!(replies.last().unwrap(), "554 5.7.1 never");
        assert!(replies.len() <= sent + 1, "{replies:?}");
    }
    // Those that are about us are not: another try may find a mended configuration.
    for stage in ["CONNECT", "HELO"] {
        let upstream = scripted::Scripted::start(move |line| {
            (line.starts_with(stage) || (stage == "HELO" && line.starts_with("EHLO"))).then(|| say("554 5.7.1 never"))
        });
        let proxy = proxy(upstream.address);
        assert!(send(proxy.local_addr(), &["a@example.org"])[0].starts_with("451 4.4.1 "));
    }
}

#[test]
fn an_upstream_that_is_away() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let proxy_of_nobody = proxy(nobody);
    assert!(send(proxy_of_nobody.local_addr(), &["a@example.org"])[0].starts_with("451 4.4.1 "));
    let proxy_of_nowhere = proxy("no-such-host.invalid:25");
    assert!(send(proxy_of_nowhere.local_addr(), &["a@example.org"])[0].starts_with("451 4.4.1 "));
}

#[test]
fn replies_that_were_not_asked_for_are_not_believed() {
    // Each of these would have a mere line counter take an early 250 for the acceptance of the message.
    type Script = fn(&str) -> Option<Act>;
    let scripts: [Script; 4] = [
        |line| (line == "DATA").then(|| say("354 go\r\n250 2.0.0 accepted")),
        |line| line.starts_with("RCPT").then(|| say("250 ok\r\n354 go\r\n250 accepted")),
        |line| line.starts_with("MAIL").then(|| say("250 ok\r\n250 ok\r\n354 go\r\n250 accepted")),
        |line| line.starts_with("EHLO").then(|| say("250 ok\r\n250 ok\r\n250 ok\r\n354 go\r\n250 accepted")),
    ];
    for (number, script) in scripts.into_iter().enumerate() {
        let upstream = scripted::Scripted::start(move |line| match line {
            "." => Some(Act::Close),
            _ => script(line),
        });
        let proxy = proxy(impatient(upstream.address));
        let replies = send(proxy.local_addr(), &["a@example.org"]);
        assert!(replies.last().unwrap().starts_with("45"), "script {number}: {replies:?}");
    }
}

#[test]
fn an_upstream_that_lies_about_pipelining() {
    // It offers it, and drops what comes with a command: the connection that is kept gets RSET and MAIL in one.
    let upstream = scripted::Scripted::start(|line| match line {
        _ if line.starts_with("EHLO") => Some(say("250-upstream.example\r\n250 PIPELINING")),
        "RSET" => Some(Act::SayAndClose("250 fine\r\n".to_owned())),
        _ => None,
    });
    let proxy = proxy(upstream.address);
    for _ in 0..3 {
        assert_eq!(send(proxy.local_addr(), &["a@example.org"]).last().unwrap(), "250 2.0.0 fine");
    }
    assert_eq!(upstream.contents().len(), 3);
    assert_eq!(upstream.connections(), 3);
}

#[test]
fn connections_are_kept_for_the_next_message() {
    let upstream = scripted::Scripted::start(|_| None);
    let proxy = proxy(upstream.address);
    for _ in 0..3 {
        assert_eq!(send(proxy.local_addr(), &["a@example.org"]).last().unwrap(), "250 2.0.0 fine");
    }
    // A transaction that was given up does not show in the next.
    let mut client = Client::envelope(proxy.local_addr());
    client.expect("RSET", "250");
    client.expect("QUIT", "221");
    assert_eq!(send(proxy.local_addr(), &["z@example.org"]).last().unwrap(), "250 2.0.0 fine");
    assert_eq!(upstream.connections(), 1);
    let lines = upstream.lines();
    let last = lines.iter().rposition(|line| line.starts_with("MAIL")).unwrap();
    assert_eq!(lines[last - 1], "RSET");
    assert_eq!(lines[last + 1], "RCPT TO:<z@example.org>");
}

#[test]
fn a_kept_connection_that_died_costs_no_message() {
    // The upstream closes behind each message, as one does that is restarted.
    let upstream =
        scripted::Scripted::start(|line| (line == ".").then(|| Act::SayAndClose("250 taken\r\n".to_owned())));
    let proxy = proxy(upstream.address);
    for _ in 0..3 {
        assert_eq!(send(proxy.local_addr(), &["a@example.org"]).last().unwrap(), "250 2.0.0 taken");
    }
    assert_eq!((upstream.connections(), upstream.contents().len()), (3, 3));
}

#[test]
fn a_slow_upstream_holds_up_nobody_else() {
    // The first message is answered only after the second was.
    let (release, gate) = mpsc::channel::<()>();
    let gate = std::sync::Mutex::new(gate);
    let handler = move |mail: Envelope| {
        if mail.mail_from() == "slow@client.example" {
            gate.lock().unwrap().recv_timeout(PATIENCE).unwrap();
        }
    };
    let handler = std::sync::Arc::new(handler);
    let upstream = Server::builder()
        .consumers(2)
        .serve_with("127.0.0.1:0", || {
            let handler = handler.clone();
            move |mail: Envelope| handler(mail)
        })
        .unwrap();
    let proxy = proxy(upstream.local_addr());
    let mut first = Client::ehlo(proxy.local_addr());
    first.expect("MAIL FROM:<slow@client.example>", "250");
    first.expect("RCPT TO:<a@example.org>", "250");
    first.expect("DATA", "354");
    first.send("slow\r\n.\r\n");
    let replies = send(proxy.local_addr(), &["a@example.org"]);
    assert!(replies.last().unwrap().starts_with("250 2.0.0 OK"), "{replies:?}");
    release.send(()).unwrap();
    first.expect_reply("250 2.0.0 OK");
}

#[test]
fn what_the_upstream_cannot_carry_is_refused() {
    let upstream = scripted::Scripted::start(|_| None);
    let proxy = proxy_with(Server::builder().smtputf8(true), upstream.address);
    let mut client = Client::ehlo(proxy.local_addr());
    client.expect("MAIL FROM:<gr\u{fc}n@client.example> SMTPUTF8", "553 5.6.7");
    client.expect("MAIL FROM:<a@client.example> SMTPUTF8", "250");
    client.expect("RCPT TO:<gr\u{fc}n@example.org>", "553 5.6.7");
    client.expect("RCPT TO:<a@example.org>", "250");
    client.expect("DATA", "354");
    client.expect("Subject: gr\u{fc}n\r\n\r\nx\r\n.", "554 5.6.9");
    client.begin();
    client.expect("DATA", "354");
    client.expect("Subject: x\r\n\r\ngr\u{fc}n\r\n.", "554 5.6.3");
    client.expect("MAIL FROM:<a@client.example> BODY=BINARYMIME", "554 5.6.3");
    // What is declared and not there does no harm.
    client.expect("MAIL FROM:<a@client.example> BODY=8BITMIME SMTPUTF8 SIZE=9 RET=FULL", "250");
    client.expect("RCPT TO:<a@example.org> NOTIFY=NEVER", "250");
    client.expect("DATA", "354");
    client.expect("Subject: x\r\n\r\nx\r\n.", "250 2.0.0 fine");
    let lines = upstream.lines();
    let mail = lines.iter().rfind(|line| line.starts_with("MAIL")).unwrap();
    assert_eq!(mail, "MAIL FROM:<a@client.example>");
    assert_eq!(upstream.contents().len(), 1);
}

#[test]
fn binary_content_goes_on_in_a_chunk() {
    let upstream = inbox();
    let proxy = proxy(upstream.local_addr());
    let mut client = Client::ehlo(proxy.local_addr());
    client.expect("MAIL FROM:<a@client.example> BODY=BINARYMIME", "250");
    client.expect("RCPT TO:<a@example.org>", "250");
    client.send("BDAT 7 LAST\r\na\nb\0\r.\r");
    client.expect_reply("250 2.0.0 OK");
    let mail = upstream.recv_timeout(PATIENCE).unwrap();
    assert_eq!(mail.mail_options(), ["BODY=BINARYMIME"]);
    assert!(mail.bytes().unwrap().ends_with(b"\r\na\nb\0\r.\r"));
}

#[test]
fn lone_line_ends_do_not_go_out() {
    let upstream = scripted::Scripted::start(|_| None);
    let proxy = proxy_with(Server::builder().line_ends(LineEnds::Keep), upstream.address);
    let mut client = Client::envelope(proxy.local_addr());
    client.expect("DATA", "354");
    client.expect("a\n.\nMAIL FROM:<evil@client.example>\r.\rb\r\n.", "250 2.0.0 fine");
    let content = upstream.contents().remove(0);
    assert!(content.ends_with("\r\na\r\n..\r\nMAIL FROM:<evil@client.example>\r\n..\r\nb\r\n"), "{content:?}");
    assert_eq!(upstream.lines().iter().filter(|line| line.starts_with("MAIL")).count(), 1);
}

#[test]
fn a_message_that_goes_round_in_circles_is_stopped() {
    let upstream = inbox();
    let proxy = proxy(upstream.local_addr());
    for (hops, reply) in [(100, "250 2.0.0"), (101, "554 5.4.6")] {
        let mut client = Client::envelope(proxy.local_addr());
        client.expect("DATA", "354");
        client.expect(format!("{}\r\nbody\r\n.", "Received: from a\r\n\tby b\r\n".repeat(hops)), reply);
    }
    // A relay that relays to itself, until it finds out.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let circle = listener.local_addr().unwrap();
    let _circle = Server::builder().serve(listener, Proxy::to(circle)).unwrap();
    let mut client = Client::ehlo(circle);
    client.send("MAIL FROM:<a@client.example>\r\n");
    assert!(client.reply().starts_with('4'), "a circle of transactions ends by itself");
}

/// A client somewhere on the Internet, as a load balancer says.
fn stranger(server: SocketAddr) -> Client {
    let mut client = Client::raw(server);
    client.send("PROXY TCP4 203.0.113.9 127.0.0.1 40000 25\r\n");
    client.expect_reply("220 ");
    client.expect("EHLO client.example", "250");
    client
}

#[test]
fn it_relays_for_those_it_should() {
    let upstream = inbox();
    let proxy =
        |handler: Proxy| Server::builder().proxy_protocol(Network::loopback()).serve("127.0.0.1:0", handler).unwrap();
    let to = || Proxy::to(upstream.local_addr());
    let denied = |server: &Server, recipient: &str| {
        let mut client = stranger(server.local_addr());
        client.expect("MAIL FROM:<a@client.example>", "250");
        client.say(format!("RCPT TO:<{recipient}>")).starts_with("550 5.7.1 ")
    };
    let plain = proxy(to());
    assert!(denied(&plain, "a@example.org") && denied(&plain, "a%example.org@[127.0.0.1]"));
    assert!(!denied(&plain, "Postmaster"));
    let domains = proxy(to().to_domains(["example.org"]));
    assert!(!denied(&domains, "a@EXAMPLE.org") && denied(&domains, "a@example.com"));
    let networks = proxy(to().from_networks(["203.0.113.0/24".parse().unwrap()]));
    assert!(!denied(&networks, "a@example.com"));
    let open = proxy(to().open_relay(true));
    assert!(!denied(&open, "a@example.com"));
    // A stranger who is refused costs the upstream nothing.
    let quiet = scripted::Scripted::start(|_| None);
    assert!(denied(&proxy(Proxy::to(quiet.address)), "a@example.com"));
    assert_eq!(quiet.connections(), 0);
}

/// A mail store that has a word for each recipient.
fn store() -> Server {
    let handler = |mail: Envelope| {
        Response::each(mail.recipients().iter().map(|to| match to.as_str() {
            "full@example.org" => Err(Reply::new(452, "4.2.2", "mailbox full")),
            "gone@example.org" => Err(Reply::new(550, "5.2.1", "mailbox closed")),
            _ => Ok(()),
        }))
    };
    Server::builder().lmtp(true).serve("127.0.0.1:0", handler).unwrap()
}

#[test]
fn lmtp_upstreams_answer_for_each_recipient() {
    let store = store();
    let upstream = || Upstream::from(store.local_addr()).lmtp();
    let smtp = proxy(upstream());
    let said = |recipients: &[&str]| send(smtp.local_addr(), recipients).pop().unwrap();
    assert!(said(&["a@example.org", "b@example.org"]).starts_with("250 2.0.0 OK "));
    assert_eq!(said(&["a@example.org", "gone@example.org"]), "550 5.2.1 mailbox closed");
    assert_eq!(said(&["gone@example.org", "full@example.org", "a@example.org"]), "452 4.2.2 mailbox full");
    let lmtp = proxy_with(Server::builder().lmtp(true), upstream());
    let mut client = Client::connect(lmtp.local_addr());
    client.expect("LHLO client.example", "250");
    client.expect("MAIL FROM:<a@client.example>", "250");
    for to in ["gone", "a", "full", "a"] {
        client.expect(format!("RCPT TO:<{to}@example.org>"), "250");
    }
    client.expect("DATA", "354");
    client.expect("x\r\n.", "550 5.2.1 mailbox closed");
    client.expect_reply("250 2.0.0 OK ");
    client.expect_reply("452 4.2.2 mailbox full");
    client.expect_reply("250 2.0.0 OK ");
    client.expect_in_step();
}

#[test]
fn an_lmtp_upstream_that_answers_too_few() {
    for (last, expected) in [
        ("250 2.1.5 one", ["250 2.1.5 one", "451 4.4.2 ", "451 4.4.2 "]),
        // One that is about the message as a whole, as Mailman says it, and not about its first recipient.
        ("501 Message has defects", ["501 5.0.0 Message has defects"; 3]),
        ("552 Error: Too much mail data", ["552 5.0.0 Error: Too much mail data"; 3]),
        ("451 4.3.0 later", ["451 4.3.0 later"; 3]),
        ("550 5.2.1 a\r\n250 2.1.5 b", ["550 5.2.1 a", "250 2.1.5 b", "451 4.4.2 "]),
        ("550 5.2.1 a\r\n250 2.1.5 b\r\n452 4.2.2 c", ["550 5.2.1 a", "250 2.1.5 b", "452 4.2.2 c"]),
    ] {
        let upstream = scripted::Scripted::start(move |line| (line == ".").then(|| say(last)));
        // Only what does not come is waited for.
        let to = Upstream::from(upstream.address).lmtp().data_timeout(Duration::from_secs(1));
        let proxy = proxy_with(Server::builder().lmtp(true), to);
        let mut client = Client::connect(proxy.local_addr());
        client.expect("LHLO client.example", "250");
        client.expect("MAIL FROM:<a@client.example>", "250");
        for _ in 0..3 {
            client.expect("RCPT TO:<a@example.org>", "250");
        }
        client.expect("DATA", "354");
        client.send("x\r\n.\r\n");
        for reply in expected {
            client.expect_reply(reply);
        }
        client.expect_in_step();
    }
}

#[test]
fn a_unix_socket_upstream() {
    let folder = tempfile::tempdir().unwrap();
    let path = format!("unix:{}", folder.path().join("lmtp.sock").display());
    let _store = Server::builder().lmtp(true).serve(&path, pillarbox::handlers::Sink).unwrap();
    let proxy = proxy(format!("lmtp:{path}"));
    assert!(send(proxy.local_addr(), &["a@example.org"]).last().unwrap().starts_with("250 2.0.0 OK "));
}

#[test]
fn messages_of_another_loop_are_relayed_whole_or_not_at_all() {
    // As a handler without its session: the upstream is asked about all recipients at the end.
    use pillarbox::Handler;
    let upstream = scripted::Scripted::start(|line| line.starts_with("RCPT TO:<no").then(|| say("550 5.1.1 nobody")));
    let mut handler = Proxy::to(upstream.address);
    let server = Server::builder().serve("127.0.0.1:0", move |mail: Envelope| handler.process_message(mail)).unwrap();
    let said = |recipients: &[&str]| send(server.local_addr(), recipients).pop().unwrap();
    assert_eq!(said(&["a@example.org", "b@example.org"]), "250 2.0.0 fine");
    assert_eq!(said(&["a@example.org", "no@example.org"]), "451 4.5.3 Not sent, since others were refused");
    assert_eq!(said(&["no@example.org"]), "550 5.1.1 nobody");
    assert_eq!(upstream.contents().len(), 1);
}

#[test]
fn a_programs_own_session_is_asked_first() {
    struct Own;
    impl pillarbox::Session for Own {
        fn rcpt(&mut self, _: &pillarbox::Context, to: &pillarbox::Recipient) -> Result<(), Reply> {
            if to.domain() == Some("example.com") { Err(Reply::new(550, "5.7.1", "not those")) } else { Ok(()) }
        }
    }
    let upstream = scripted::Scripted::start(|_| None);
    let proxy = proxy_with(Server::builder().session(|_| Own), upstream.address);
    let replies = send(proxy.local_addr(), &["a@example.com", "a@example.org"]);
    assert_eq!(replies[1..3], ["550 5.7.1 not those", "250 2.0.0 fine"]);
    assert!(!upstream.lines().iter().any(|line| line.contains("example.com")));
}

#[test]
fn every_address_of_a_name_is_tried() {
    // localhost is ::1 and 127.0.0.1 on most machines, and the server is at one of them only.
    let upstream = inbox();
    let proxy = proxy(("localhost", upstream.local_addr().port()));
    assert!(send(proxy.local_addr(), &["a@example.org"]).last().unwrap().starts_with("250 2.0.0 OK"));
}

#[test]
fn a_server_that_knows_no_ehlo() {
    let upstream = scripted::Scripted::start(|line| line.starts_with("EHLO").then(|| say("502 what?")));
    let proxy = proxy(upstream.address);
    assert_eq!(send(proxy.local_addr(), &["a@example.org"]).last().unwrap(), "250 2.0.0 fine");
    assert_eq!(upstream.lines()[..2], ["EHLO relay.example", "HELO relay.example"]);
    // LMTP has nothing to fall back to.
    let upstream = scripted::Scripted::start(|line| line.starts_with("LHLO").then(|| say("502 what?")));
    let proxy = proxy_with(Server::builder(), Upstream::from(upstream.address).lmtp());
    assert!(send(proxy.local_addr(), &["a@example.org"])[0].starts_with("451 4.4.1"));
}

#[test]
fn what_an_upstream_says_early_refuses_at_most() {
    // It has seen enough: it refuses in the midst of the content, and closes.
    let upstream = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = upstream.local_addr().unwrap();
    for (early, expected) in [("552 5.3.4 too big", "552 5.3.4 too big"), ("250 2.0.0 all of it", "451 4.4.2")] {
        let proxy = proxy(Upstream::from(address));
        let upstream = upstream.try_clone().unwrap();
        let serving = std::thread::spawn(move || {
            use std::io::{BufRead, BufReader, Write};
            let (mut stream, _) = upstream.accept().unwrap();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            stream.write_all(b"220 upstream.example\r\n").unwrap();
            let mut line = String::new();
            loop {
                line.clear();
                reader.read_line(&mut line).unwrap();
                if line.starts_with("DATA") {
                    stream.write_all(b"354 go\r\n").unwrap();
                    break;
                }
                stream.write_all(b"250 fine\r\n").unwrap();
            }
            // All that is read before the early word, and not to the end.
            reader.read_line(&mut line).unwrap();
            stream.write_all(format!("{early}\r\n").as_bytes()).unwrap();
            while reader.read_line(&mut line).is_ok_and(|n| n > 0) && !line.ends_with("\r\n.\r\n") {}
            line.ends_with("\r\n.\r\n")
        });
        let mut client = Client::envelope(proxy.local_addr());
        client.expect("DATA", "354");
        client.send("x\r\n".repeat(1_000_000));
        client.expect(".", expected);
        drop(proxy);
        assert!(!serving.join().unwrap(), "the content was ended all the same");
    }
}

#[test]
fn the_upstream_is_told_where_a_message_comes_from() {
    let inbox = Server::builder().xforward(Network::loopback()).inbox("127.0.0.1:0").expect("a free port");
    let proxy = Proxy::to(inbox.local_addr()).xforward(true);
    let proxy = Server::builder().xforward(Network::loopback()).serve("127.0.0.1:0", proxy).expect("a free port");
    let mut client = Client::ehlo(proxy.local_addr());
    let port = client.local_addr().port();
    let send = |client: &mut Client| {
        client.begin();
        client.expect("DATA", "354");
        client.expect(".", "250");
        inbox.recv_timeout(PATIENCE).unwrap()
    };
    // By a new connection to the upstream, and by one that was kept.
    for _ in 0..2 {
        let mail = send(&mut client);
        let told = mail.xforward().expect("it was said");
        assert_eq!((told.address, told.port), ("127.0.0.1".parse().ok(), Some(port)));
        assert_eq!((told.helo.as_deref(), told.protocol.as_deref()), (Some("client.example"), Some("ESMTP")));
        assert_eq!((told.source, &told.name, &told.ident), (Some(XforwardSource::Local), &None, &None));
    }
    // What the client hands on goes before what is known of itself, with which it is not mixed.
    client.expect("XFORWARD HELO=a+2Bb.example IDENT=3CF6B2AAE8", "250");
    let mail = send(&mut client);
    let told = mail.xforward().unwrap();
    assert_eq!((told.helo.as_deref(), told.ident.as_deref()), (Some("a+b.example"), Some("3CF6B2AAE8")));
    assert_eq!((told.address, &told.protocol), (None, &None));
    assert!(send(&mut client).xforward().unwrap().ident.is_none());
}

#[test]
fn an_upstream_is_told_nothing_that_it_does_not_offer() {
    for (offer, said) in [("", ""), ("250-XFORWARD ADDR\r\n", "XFORWARD ADDR=127.0.0.1")] {
        let upstream = Scripted::start(move |line| {
            line.starts_with("EHLO").then(|| Act::Say(format!("250-upstream.example\r\n{offer}250 HELP\r\n")))
        });
        let proxy = Server::builder().serve("127.0.0.1:0", Proxy::to(upstream.address).xforward(true)).unwrap();
        send(proxy.local_addr(), &["a@example.org"]);
        let lines = upstream.lines();
        let told: Vec<&String> = lines.iter().filter(|line| line.starts_with("XFORWARD")).collect();
        assert_eq!(told, Vec::from_iter(Some(said).filter(|said| !said.is_empty())), "{lines:?}");
        assert!(lines.iter().any(|line| line.starts_with("MAIL")), "{lines:?}");
    }
}

#[test]
fn an_upstream_that_refuses_xforward_gets_the_message() {
    let upstream = Scripted::start(|line| match line {
        line if line.starts_with("EHLO") => {
            Some(Act::Say("250-upstream.example\r\n250-PIPELINING\r\n250 XFORWARD ADDR HELO\r\n".to_owned()))
        }
        line if line.starts_with("XFORWARD") => Some(say("550 5.7.0 insufficient authorization")),
        _ => None,
    });
    let proxy = Server::builder().serve("127.0.0.1:0", Proxy::to(upstream.address).xforward(true)).unwrap();
    for _ in 0..2 {
        let replies = send(proxy.local_addr(), &["a@example.org"]);
        assert!(replies.last().unwrap().starts_with("250"), "{replies:?}");
    }
}
