//! Listeners of one server that each have a policy of their own.

use std::net::{SocketAddr, TcpStream};

use crate::support::client::{Client, PATIENCE};
use crate::support::tls::{Certificate, TlsClient};
use pillarbox::testing::Faults;
use pillarbox::{
    Builder, Context, Envelope, Error, Inbox, Listener, Network, Recipient, Reply, Response, Server, Session,
    SettingError, Tls, Users, Verb,
};

/// bob, with the password "builder".
const BOB: &str = "AGJvYgBidWlsZGVy";

fn users() -> Users {
    Users::new().add("bob", "builder").expect("an entry")
}

fn port() -> Listener {
    Listener::from("127.0.0.1:0")
}

fn address(server: &Server, listener: usize) -> SocketAddr {
    server.local_endpoints()[listener].socket_addr().expect("a TCP listener")
}

/// The lines of a reply to EHLO or LHLO that some extension is announced in.
fn extensions(reply: &str) -> Vec<&str> {
    reply.lines().skip(1).map(|line| &line[4..]).collect()
}

/// Sends a message, and gives the replies to its content: in LMTP one for each recipient.
fn deliver(client: &mut Client, recipients: &[&str]) -> Vec<String> {
    client.expect("MAIL FROM:<a@client.example>", "250");
    for recipient in recipients {
        client.expect(format!("RCPT TO:<{recipient}>"), "250");
    }
    client.expect("DATA", "354");
    client.send("Subject: hello\r\n\r\nbody\r\n.\r\n");
    recipients.iter().map(|_| client.reply()).collect()
}

fn setting_error(builder: Builder, at: Listener) -> SettingError {
    match builder.inbox(at) {
        Err(Error::Setting(problem)) => problem,
        Err(other) => panic!("{other:?}"),
        Ok(_) => panic!("it starts"),
    }
}

/// 25, 465, 587 and LMTP, in this order.
fn four(certificate: &Certificate) -> Inbox {
    Server::builder()
        .hostname("mx.example.org")
        .tls(certificate.tls())
        .authenticator(users())
        .listen(port().name("submissions").implicit_tls().require_auth(true).smtputf8(true))
        .listen(port().name("submission").require_tls(true).require_auth(true).data_size_limit(100_000))
        .listen(port().name("lmtp").lmtp(true).offer_auth(false).data_size_limit(0))
        .inbox(port().name("mx").offer_auth(false).data_size_limit(50_000))
        .expect("free ports")
}

#[test]
fn ehlo_says_what_is_true_of_the_listener() {
    let certificate = Certificate::new();
    let inbox = four(&certificate);
    let server = inbox.server();

    let mut mx = Client::raw(address(server, 0));
    mx.expect_reply("220 mx.example.org ESMTP ");
    let reply = mx.expect("EHLO client.example", "250");
    let said = extensions(&reply);
    assert!(said.contains(&"SIZE 50000") && said.contains(&"STARTTLS"), "{said:?}");
    assert!(!said.iter().any(|line| line.starts_with("AUTH") || *line == "SMTPUTF8"), "{said:?}");
    mx.expect(format!("AUTH PLAIN {BOB}"), "502 5.5.1");
    assert!(!mx.say("HELP").contains("AUTH"));
    mx.expect("LHLO client.example", "502 5.5.1");

    let mut submissions = TlsClient::connect(address(server, 1)).handshake(&certificate);
    submissions.expect_reply("220 mx.example.org ESMTP ");
    let reply = submissions.expect("EHLO client.example", "250");
    let said = extensions(&reply);
    for keyword in ["SIZE 33554432", "SMTPUTF8", "REQUIRETLS", "AUTH SCRAM-SHA-256-PLUS SCRAM-SHA-256 PLAIN LOGIN"] {
        assert!(said.contains(&keyword), "{keyword}: {said:?}");
    }
    assert!(!said.contains(&"STARTTLS"), "{said:?}");
    submissions.expect("MAIL FROM:<a@client.example>", "530 5.7.0");
    submissions.expect(&format!("AUTH PLAIN {BOB}"), "235 2.7.0");
    submissions.expect("MAIL FROM:<a@client.example>", "250");

    let mut submission = Client::connect(address(server, 2));
    let reply = submission.expect("EHLO client.example", "250");
    let said = extensions(&reply);
    assert!(said.contains(&"SIZE 100000") && said.contains(&"STARTTLS"), "{said:?}");
    // Not even this machine's clients may show a password where TLS is required.
    assert!(said.contains(&"AUTH SCRAM-SHA-256") && !said.contains(&"SMTPUTF8"), "{said:?}");
    submission.expect("MAIL FROM:<a@client.example>", "530 5.7.0");
    let mut submission = TlsClient::start_tls(address(server, 2), &certificate);
    submission.expect("EHLO client.example", "250");
    submission.expect("MAIL FROM:<a@client.example>", "530 5.7.0");
    submission.expect(&format!("AUTH PLAIN {BOB}"), "235 2.7.0");
    submission.expect("MAIL FROM:<a@client.example> SIZE=100001", "552 5.3.4");
    submission.expect("MAIL FROM:<a@client.example> SIZE=100000", "250");

    let mut lmtp = Client::raw(address(server, 3));
    lmtp.expect_reply("220 mx.example.org LMTP ");
    lmtp.expect("EHLO client.example", "500 5.5.1");
    let reply = lmtp.expect("LHLO client.example", "250");
    let said = extensions(&reply);
    assert!(said.contains(&"SIZE 0") && said.contains(&"STARTTLS"), "{said:?}");
    assert!(!said.iter().any(|line| line.starts_with("AUTH")), "{said:?}");
    // What one listener's clients are told is not what those of another are told next.
    assert_eq!(mx.say("EHLO client.example"), Client::connect(address(server, 0)).say("EHLO client.example"));
    assert_eq!(lmtp.say("LHLO client.example"), reply);
}

#[test]
fn one_handler_has_the_mail_of_all_listeners() {
    let certificate = Certificate::new();
    let inbox = four(&certificate);
    let server = inbox.server();
    let take = |protocol: &str, identity: Option<&str>, listener: usize| {
        let mail = inbox.recv_timeout(PATIENCE).expect("mail");
        assert_eq!((mail.protocol().to_string().as_str(), mail.identity()), (protocol, identity));
        assert_eq!(mail.local().socket_addr(), Some(address(server, listener)));
        let received = mail.received_header();
        assert!(received.contains(&format!(" with {protocol} ")), "{received}");
    };
    let mut mx = Client::ehlo(address(server, 0));
    assert!(deliver(&mut mx, &["b@example.org"])[0].starts_with("250 2.0.0 OK"));
    take("ESMTP", None, 0);
    for (listener, is_implicit) in [(1, true), (2, false)] {
        let mut client = match is_implicit {
            true => TlsClient::connect(address(server, listener)).handshake(&certificate),
            false => TlsClient::start_tls(address(server, listener), &certificate),
        };
        if is_implicit {
            client.expect_reply("220 ");
        }
        client.expect("EHLO client.example", "250");
        client.expect(&format!("AUTH PLAIN {BOB}"), "235 2.7.0");
        client.expect("MAIL FROM:<bob@example.org>", "250");
        client.expect("RCPT TO:<b@elsewhere.example>", "250");
        client.expect("DATA", "354");
        client.expect("Subject: hello\r\n\r\nbody\r\n.", "250 2.0.0 OK");
        take("ESMTPSA", Some("bob"), listener);
    }
    let mut lmtp = Client::connect(address(server, 3));
    lmtp.expect("LHLO client.example", "250");
    for reply in deliver(&mut lmtp, &["b@example.org", "c@example.org"]) {
        assert!(reply.starts_with("250 2.0.0"), "{reply}");
    }
    take("LMTP", None, 3);
    let mut lmtp = TlsClient::connect(address(server, 3));
    lmtp.expect_reply("220 ");
    lmtp.expect("LHLO client.example", "250");
    lmtp.expect("STARTTLS", "220");
    let mut lmtp = lmtp.handshake(&certificate);
    lmtp.expect("LHLO client.example", "250");
    lmtp.expect("MAIL FROM:<>", "250");
    lmtp.expect("RCPT TO:<b@example.org>", "250");
    lmtp.expect("BDAT 0 LAST", "250");
    take("LMTPS", None, 3);
}

#[test]
fn what_is_not_set_on_a_listener_is_the_builders() {
    let certificate = Certificate::new();
    let inbox = Server::builder()
        .tls(certificate.tls())
        .authenticator(users())
        .require_tls(true)
        .require_auth(true)
        .smtputf8(true)
        .lmtp(true)
        .data_size_limit(1000)
        .listen(port().require_tls(false).require_auth(false).smtputf8(false).lmtp(false).data_size_limit(2000))
        .inbox(port())
        .expect("free ports");
    let mut client = Client::raw(address(inbox.server(), 0));
    client.expect_reply("220 ");
    let reply = client.expect("LHLO client.example", "250");
    assert!(reply.contains("SMTPUTF8") && reply.contains("SIZE 1000\n"), "{reply}");
    client.expect("MAIL FROM:<a@client.example>", "530 5.7.0");
    let mut client = Client::connect(address(inbox.server(), 1));
    let reply = client.expect("EHLO client.example", "250");
    assert!(!reply.contains("SMTPUTF8") && reply.contains("SIZE 2000\n"), "{reply}");
    assert!(reply.contains("AUTH SCRAM-SHA-256 PLAIN LOGIN"), "{reply}");
    assert!(deliver(&mut client, &["b@example.org"])[0].starts_with("250 2.0.0"));
    assert!(inbox.url().starts_with("lmtp://"), "{}", inbox.url());
}

#[test]
fn the_size_limit_is_the_listeners() {
    let inbox = Server::builder()
        .data_size_limit(10)
        .listen(port().data_size_limit(100))
        .listen(port().data_size_limit(0))
        .inbox(port())
        .expect("free ports");
    for (listener, limit) in [(0, 10), (1, 100), (2, 1_000_000)] {
        let server = address(inbox.server(), listener);
        for (octets, reply) in [(limit, "250 2.0.0"), (limit + 1, "552 5.3.4")] {
            let reply = if listener == 2 { "250 2.0.0" } else { reply };
            let line = "x".repeat(octets - 2) + "\r\n";
            let mut client = Client::envelope(server);
            client.expect("DATA", "354");
            client.send(&line);
            client.expect(".", reply);
            client.expect_in_step();
            client.begin();
            client.send(format!("BDAT {octets} LAST\r\n{line}"));
            client.expect_reply(reply);
            client.expect_in_step();
            client.expect(format!("MAIL FROM:<> SIZE={octets}"), reply);
        }
    }
}

#[test]
fn a_certificate_of_its_own() {
    let (general, own, next) = (Certificate::new(), Certificate::new(), Certificate::new());
    let own_tls: Tls = own.tls();
    let inbox = Server::builder()
        .tls(general.tls())
        .listen(port().tls(own_tls.clone()))
        .listen(port().tls(own_tls.clone()).implicit_tls())
        .inbox(port())
        .expect("free ports");
    let secure = |listener, certificate: &Certificate| {
        let mut client = match listener {
            2 => TlsClient::connect(address(inbox.server(), 2)).handshake(certificate),
            _ => TlsClient::start_tls(address(inbox.server(), listener), certificate),
        };
        client.send("NOOP\r\n");
        client.reply();
    };
    secure(0, &general);
    secure(1, &own);
    secure(2, &own);
    // A client that trusts another is not satisfied.
    let stream = TcpStream::connect(address(inbox.server(), 2)).expect("it listens");
    assert!(general.connector().connect("localhost", stream).is_err());
    own_tls.replace(next.tls());
    secure(0, &general);
    secure(1, &next);
    secure(2, &next);

    // One has TLS, and the rest of the server has none.
    let inbox =
        Server::builder().listen(port().tls(general.tls()).require_tls(true)).inbox(port()).expect("free ports");
    let mut clear = Client::connect(address(inbox.server(), 0));
    assert!(!clear.say("EHLO client.example").contains("STARTTLS"));
    clear.expect("STARTTLS", "502 5.5.1");
    assert!(deliver(&mut clear, &["b@example.org"])[0].starts_with("250"));
    Client::ehlo(address(inbox.server(), 1)).expect("MAIL FROM:<>", "530 5.7.0");
    TlsClient::start_tls(address(inbox.server(), 1), &general).expect("EHLO client.example", "250");
}

#[test]
fn what_cannot_be_on_a_listener() {
    let certificate = Certificate::new();
    let plain = Server::builder;
    let auth = || Server::builder().authenticator(users());
    for (builder, listener, problem) in [
        (plain(), port().require_tls(true), SettingError::RequireTlsWithoutTls),
        (plain().require_tls(true), port(), SettingError::RequireTlsWithoutTls),
        (plain(), port().implicit_tls(), SettingError::ImplicitTlsWithoutTls),
        (plain(), port().require_auth(true), SettingError::RequireAuthWithoutAuthenticator),
        (plain(), port().offer_auth(true), SettingError::OfferAuthWithoutAuthenticator),
        (auth(), port().require_auth(true).offer_auth(false), SettingError::RequireAuthWithoutOffer),
        (auth().require_auth(true), port().offer_auth(false), SettingError::RequireAuthWithoutOffer),
        (plain().decode_data(true), port().smtputf8(true), SettingError::DecodeDataWithSmtputf8),
    ] {
        assert_eq!(setting_error(builder, listener), problem);
    }
    // Whichever of the listeners it is, and nothing is bound then.
    let taken = Listener::from("127.0.0.1:0").bind().expect("a free port");
    let place = taken.local().cloned().expect("it is bound").socket_addr().expect("TCP");
    assert_eq!(setting_error(plain().listen(taken), port().require_tls(true)), SettingError::RequireTlsWithoutTls);
    drop(Server::builder().inbox(place).expect("a port that nobody has"));
    // What the builder cannot have, each listener may have or do without.
    drop(plain().require_tls(true).inbox(port().tls(certificate.tls())).expect("it has its own"));
    drop(plain().require_tls(true).inbox(port().require_tls(false)).expect("it is not required there"));
    drop(auth().require_auth(true).inbox(port().offer_auth(false).require_auth(false)).expect("neither"));
    drop(plain().decode_data(true).smtputf8(true).inbox(port().smtputf8(false)).expect("not both"));
    drop(plain().inbox(port().tls(certificate.tls()).implicit_tls().require_tls(true)).expect("it has its own"));
    assert_eq!(
        SettingError::RequireAuthWithoutOffer.to_string(),
        "a listener with require_auth must offer it: set require_auth(false) or offer_auth(true) there"
    );
}

#[test]
fn a_policy_outlives_an_early_bind() {
    let certificate = Certificate::new();
    let early = port().name("early").lmtp(true).tls(certificate.tls()).implicit_tls().bind().expect("a free port");
    let inbox = Server::builder().inbox(early).expect("it is bound");
    let mut client = TlsClient::connect(inbox.local_addr()).handshake(&certificate);
    let banner = client.reply();
    assert!(banner.contains(" LMTP "), "{banner}");
}

/// Says by a refusal which listener it is.
struct Tells;

impl Session for Tells {
    fn rcpt(&mut self, context: &Context, _: &Recipient) -> Result<(), Reply> {
        let name = context.listener_name().unwrap_or("no name");
        let text = format!("{} is {name}, lmtp {}", context.listener(), context.is_lmtp());
        Err(Reply::new(550, "5.7.1", text))
    }
}

#[test]
fn hooks_know_the_listener() {
    let inbox = Server::builder()
        .session(|_| Tells)
        .proxy_protocol(Network::loopback())
        .listen(port().lmtp(true).name("local delivery"))
        .inbox(port())
        .expect("free ports");
    for (listener, hello, told) in
        [(0, "EHLO", "550 5.7.1 0 is no name, lmtp false"), (1, "LHLO", "550 5.7.1 1 is local delivery, lmtp true")]
    {
        let mut client = Client::raw(address(inbox.server(), listener));
        // What a proxy says of the server's end has no influence.
        client.send("PROXY TCP4 192.0.2.1 192.0.2.2 1000 25\r\n");
        client.expect_reply("220 ");
        client.expect(format!("{hello} client.example"), "250");
        client.expect("MAIL FROM:<>", "250");
        client.expect("RCPT TO:<b@example.org>", told);
    }
}

#[test]
fn limits_count_and_numbers_run_over_all_listeners() {
    let server = Server::builder()
        .max_connections_per_address(2)
        .transcripts(true)
        .listen(port())
        .listen(port().lmtp(true))
        .serve(port(), |_: Envelope| ())
        .expect("free ports");
    let first = Client::connect(address(&server, 0));
    let _second = Client::connect(address(&server, 1));
    Client::raw(address(&server, 2)).expect_reply("421 4.7.0");
    assert_eq!(server.stats().open_connections, 2);
    let ids: Vec<_> = server.transcripts().iter().map(|transcript| transcript.connection_id()).collect();
    assert_eq!(ids, [1, 2]);
    drop(first);
}

#[test]
fn faults_and_replies_for_each_recipient_are_as_the_listener_speaks() {
    let faults = Faults::new().reply(Verb::Rcpt, 1, Reply::new(450, "4.2.1", "busy"));
    let server = Server::builder()
        .faults(faults)
        .listen(port().lmtp(true))
        .serve(port(), |mail: Envelope| {
            Response::each(mail.recipients().iter().map(|to| match to.to_string().starts_with("full") {
                true => Reply::new(552, "5.2.2", "mailbox full"),
                false => Reply::ok(),
            }))
        })
        .expect("free ports");
    let mut lmtp = Client::connect(address(&server, 1));
    lmtp.expect("LHLO client.example", "250");
    lmtp.expect("MAIL FROM:<>", "250");
    lmtp.expect("RCPT TO:<b@example.org>", "450 4.2.1");
    lmtp.expect("RSET", "250");
    let replies = deliver(&mut lmtp, &["b@example.org", "full@example.org"]);
    assert!(replies[0].starts_with("250 ") && replies[1].starts_with("552 5.2.2"), "{replies:?}");
    // In SMTP there is one reply.
    let mut smtp = Client::ehlo(address(&server, 0));
    smtp.expect("MAIL FROM:<>", "250");
    smtp.expect("RCPT TO:<full@example.org>", "250");
    smtp.expect("DATA", "354");
    smtp.expect(".", "552 5.2.2");
    smtp.expect_in_step();
}

#[test]
fn lmtp_with_a_login_beside_smtp_without_one() {
    let inbox = Server::builder()
        .authenticator(users())
        .listen(port().lmtp(true).require_auth(true))
        .inbox(port().offer_auth(false))
        .expect("free ports");
    let mut lmtp = Client::connect(address(inbox.server(), 1));
    lmtp.expect(format!("AUTH PLAIN {BOB}"), "503 5.5.1 Send LHLO");
    lmtp.expect("LHLO client.example", "250");
    lmtp.expect("MAIL FROM:<>", "530 5.7.0");
    lmtp.expect(format!("AUTH PLAIN {BOB}"), "235 2.7.0");
    assert!(deliver(&mut lmtp, &["b@example.org"])[0].starts_with("250 2.0.0"));
    let mail = inbox.recv_timeout(PATIENCE).expect("mail");
    assert_eq!((mail.protocol().to_string().as_str(), mail.identity()), ("LMTPA", Some("bob")));
    // Nobody has logged in there, so the parameter of AUTH is one that the server does not know.
    Client::ehlo(address(inbox.server(), 0)).expect("MAIL FROM:<> AUTH=bob", "555 5.5.4");
}

#[cfg(unix)]
#[test]
fn lmtp_at_a_unix_socket_beside_smtp() {
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("lmtp");
    let inbox =
        Server::builder().listen(port()).inbox(Listener::unix(&path).lmtp(true).mode(0o600)).expect("a new path");
    let mut client = UnixStream::connect(&path).expect("it listens");
    client
        .write_all(b"LHLO a\r\nMAIL FROM:<>\r\nRCPT TO:<a@b.example>\r\nRCPT TO:<c@b.example>\r\nDATA\r\n.\r\nQUIT\r\n")
        .expect("it reads");
    let mut replies = String::new();
    client.read_to_string(&mut replies).expect("text");
    assert!(replies.starts_with("220 ") && replies.contains(" LMTP "), "{replies}");
    let end: Vec<_> = replies.lines().rev().take(4).map(|line| &line[..4]).collect();
    assert_eq!(end, ["221 ", "250 ", "250 ", "354 "], "{replies}");
    assert_eq!(inbox.recv_timeout(PATIENCE).expect("mail").protocol().to_string(), "LMTP");
    // The URL is that of the TCP listener, which speaks SMTP.
    assert!(inbox.url().starts_with("smtp://"), "{}", inbox.url());
}
