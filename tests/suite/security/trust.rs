//! Clients that speak for others: the PROXY protocol, XCLIENT and XFORWARD.

use crate::support::client::{Client, PATIENCE};
use pillarbox::{Context, Endpoint, Inbox, Network, Reply, Server, Session, Xforward, XforwardSource};

const V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x01\xc6\x33\x64\x02\x04\xd2\0\x19";

fn proxied() -> Inbox {
    Server::builder().proxy_protocol(Network::loopback()).inbox("127.0.0.1:0").expect("a free port")
}

fn send(client: &mut Client) {
    client.begin();
    client.expect("DATA", "354");
    client.expect(".", "250");
}

#[test]
fn the_peer_is_whom_the_proxy_names() {
    let inbox = proxied();
    for header in [&b"PROXY TCP4 192.0.2.1 198.51.100.2 1234 25\r\n"[..], V2] {
        // With the first command behind it, and octet by octet.
        for pieces in [vec![header], header.chunks(1).collect()] {
            let mut client = Client::raw(inbox.local_addr());
            pieces.iter().for_each(|piece| client.send(piece));
            client.send("EHLO client.example\r\n");
            client.expect_reply("220 ");
            client.expect_reply("250-");
            send(&mut client);
            let mail = inbox.recv_timeout(PATIENCE).unwrap();
            assert_eq!(mail.peer().to_string(), "192.0.2.1:1234");
            assert_eq!(mail.local().to_string(), "198.51.100.2:25");
            assert!(mail.received_header().contains("([192.0.2.1])"));
        }
    }
}

/// The proxy's own address may be trusted, as it is here: that is not its clients' affair.
#[test]
fn whom_the_proxy_does_not_name_is_nobody() {
    let inbox = proxied();
    let v2 = |command: u8, family: u8, rest: &[u8]| {
        [&V2[..12], &[0x20 | command, family], &u16::try_from(rest.len()).unwrap().to_be_bytes(), rest].concat()
    };
    for header in [
        b"PROXY UNKNOWN\r\n".to_vec(),
        b"PROXY UNKNOWN 127.0.0.1 127.0.0.1 1 25\r\n".to_vec(),
        b"PROXY TCP4 0.0.0.0 127.0.0.1 1 25\r\n".to_vec(),
        v2(0, 0, b""),
        v2(0, 0x11, &[127, 0, 0, 1, 127, 0, 0, 1, 0, 1, 0, 25]),
        v2(1, 0, b""),
        v2(1, 0x31, &[0; 216]),
        v2(1, 0x21, &[0; 36]),
    ] {
        let mut client = Client::raw(inbox.local_addr());
        client.send(&header);
        client.expect_reply("220 ");
        client.expect("EHLO client.example", "250");
        send(&mut client);
        let mail = inbox.recv_timeout(PATIENCE).unwrap();
        assert_eq!(mail.peer(), &Endpoint::Unknown, "{}", header.escape_ascii());
        assert!(!mail.peer().is_loopback() && mail.peer().ip().is_none());
        assert_eq!(mail.peer().to_string(), "unknown");
        assert!(mail.received_header().starts_with("Received: from client.example (unknown)\r\n\tby "));
    }
}

#[test]
fn whom_the_proxy_does_not_name_may_not_speak_for_others() {
    let builder = Server::builder().proxy_protocol(Network::loopback()).xclient(Network::loopback());
    let inbox = builder.inbox("127.0.0.1:0").expect("a free port");
    let mut client = Client::raw(inbox.local_addr());
    client.send("PROXY UNKNOWN\r\n");
    client.expect_reply("220 ");
    assert!(!client.say("EHLO client.example").contains("XCLIENT"));
    client.expect("XCLIENT ADDR=192.0.2.1", "502 5.5.1");
}

#[test]
fn a_proxy_that_sends_no_header_is_closed_without_a_word() {
    let inbox = proxied();
    for junk in ["EHLO client.example\r\n", "PROXY TCP4 nonsense\r\n"] {
        let mut client = Client::raw(inbox.local_addr());
        client.send(junk);
        client.expect_close();
    }
}

#[test]
fn others_send_no_header() {
    let networks = ["192.0.2.0/24".parse().unwrap()];
    let inbox = Server::builder().proxy_protocol(networks).inbox("127.0.0.1:0").expect("a free port");
    let mut client = Client::connect(inbox.local_addr());
    client.expect("PROXY TCP4 192.0.2.1 198.51.100.2 1234 25", "500 5.5.2");
    client.expect("XCLIENT ADDR=192.0.2.1", "502 5.5.1");
}

#[test]
fn connections_are_counted_as_their_clients() {
    let builder = Server::builder().proxy_protocol(Network::loopback()).max_connections_per_address(1);
    let inbox = builder.inbox("127.0.0.1:0").expect("a free port");
    let connect = |from: &str| {
        let mut client = Client::raw(inbox.local_addr());
        client.send(format!("PROXY TCP4 {from} 198.51.100.2 1234 25\r\n"));
        client
    };
    let mut first = connect("192.0.2.1");
    first.expect_reply("220 ");
    connect("192.0.2.1").expect_reply("421 4.7.0");
    connect("192.0.2.2").expect_reply("220 ");
}

#[test]
fn xclient() {
    let inbox = Server::builder().xclient(Network::loopback()).inbox("127.0.0.1:0").expect("a free port");
    let mut client = Client::connect(inbox.local_addr());
    let reply = client.say("EHLO filter.example");
    assert!(reply.contains("\n250-XCLIENT NAME ADDR "), "{reply}");
    client.expect("XCLIENT", "501 5.5.4");
    client.expect("XCLIENT FOO=bar", "501 5.5.4");
    client.begin();
    client.expect("XCLIENT ADDR=192.0.2.1", "503 5.5.1");
    client.expect("RSET", "250");
    client.expect("XCLIENT ADDR=192.0.2.1 PORT=99 HELO=client.example LOGIN=bob+40example.org PROTO=ESMTP", "220 ");
    // The session begins anew.
    client.expect("MAIL FROM:<>", "503 5.5.1");
    client.expect("EHLO filter.example", "250");
    send(&mut client);
    let mail = inbox.recv_timeout(PATIENCE).unwrap();
    assert_eq!((mail.peer().to_string().as_str(), mail.helo()), ("192.0.2.1:99", "client.example"));
    assert_eq!((mail.identity(), mail.protocol().to_string().as_str()), (Some("bob@example.org"), "ESMTPA"));
}

#[test]
fn nothing_of_one_client_is_the_next_ones() {
    let inbox = Server::builder().xclient(Network::loopback()).inbox("127.0.0.1:0").expect("a free port");
    let mut client = Client::connect(inbox.local_addr());
    client.expect(
        "XCLIENT ADDR=192.0.2.1 PORT=99 HELO=first.example LOGIN=bob DESTADDR=198.51.100.2 DESTPORT=25",
        "220 ",
    );
    let gone = "[UNAVAILABLE]";
    client.expect(format!("XCLIENT ADDR={gone} PORT={gone} HELO={gone} LOGIN={gone} NAME={gone}"), "220 ");
    client.expect("EHLO filter.example", "250");
    send(&mut client);
    let mail = inbox.recv_timeout(PATIENCE).unwrap();
    assert_eq!((mail.peer(), mail.helo(), mail.identity()), (&Endpoint::Unknown, "filter.example", None));
    // Of the server's end nothing else was said.
    assert_eq!(mail.local().to_string(), "198.51.100.2:25");
}

#[test]
fn an_empty_login_is_none() {
    let inbox = Server::builder().xclient(Network::loopback()).inbox("127.0.0.1:0").expect("a free port");
    let mut client = Client::connect(inbox.local_addr());
    client.expect("XCLIENT ADDR=192.0.2.1 LOGIN=", "501 5.5.4");
    client.expect("EHLO filter.example", "250");
    send(&mut client);
    assert_eq!(inbox.recv_timeout(PATIENCE).unwrap().identity(), None);
}

#[test]
fn what_others_say_of_a_client_cannot_pose_as_a_header() {
    let inbox = Server::builder().xclient(Network::loopback()).inbox("127.0.0.1:0").expect("a free port");
    let mut client = Client::connect(inbox.local_addr());
    for line_end in ["+0D+0A", "+0A", "+0D", "+00", "+7F", "+C2+85", "+E2+80", "+0"] {
        for attribute in ["HELO", "LOGIN", "NAME"] {
            let said = client.say(format!("XCLIENT {attribute}=a{line_end}X-Forged:+20yes"));
            assert!(said.starts_with("501 5.5.4"), "{attribute} {line_end}: {said}");
        }
        client.expect("RSET", "250");
        if line_end == "+0D" {
            // Errors are counted, up to a message.
            client.expect("EHLO filter.example", "250");
            send(&mut client);
            inbox.recv_timeout(PATIENCE).unwrap();
        }
    }
    // Text, but no name: it stays out of the line, and so does who has logged in.
    client
        .expect("XCLIENT ADDR=192.0.2.1 HELO=x+29+20by+20evil.example+20+28y LOGIN=bob+29+20by+20evil.example", "220 ");
    client.expect("EHLO filter.example", "250");
    send(&mut client);
    let mail = inbox.recv_timeout(PATIENCE).unwrap();
    assert_eq!((mail.helo(), mail.identity()), ("x) by evil.example (y", Some("bob) by evil.example")));
    let received = mail.received_header();
    assert!(received.starts_with("Received: from [192.0.2.1]\r\n\tby "), "{received}");
    assert!(!received.contains("evil"), "{received}");
}

/// A header with an addition: whom the client asked for.
const V2_WITH_AUTHORITY: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x19\xc0\0\x02\x01\xc6\x33\x64\x02\x04\xd2\0\x19\
    \x02\0\x0amx.example";

struct Asked;

impl Session for Asked {
    fn connect(&mut self, context: &Context) -> Result<(), Reply> {
        let said = context.proxy().and_then(|proxy| proxy.authority.clone());
        context.connection_values().insert(said);
        Ok(())
    }
}

#[test]
fn what_a_proxy_says_is_of_its_client_alone() {
    let inbox = Server::builder()
        .proxy_protocol(Network::loopback())
        .xclient("192.0.2.1".parse::<Network>())
        .session(|_| Asked)
        .inbox("127.0.0.1:0")
        .expect("a free port");
    for (header, asked) in [(V2_WITH_AUTHORITY, Some("mx.example")), (V2, None)] {
        let mut client = Client::raw(inbox.local_addr());
        client.send(header);
        client.expect_reply("220 ");
        client.expect("EHLO client.example", "250");
        send(&mut client);
        let mail = inbox.recv_timeout(PATIENCE).unwrap();
        let said = mail.connection_values().take::<Option<String>>().unwrap();
        assert_eq!(said.as_deref(), asked);
        // Whom XCLIENT names has asked nobody.
        client.expect("XCLIENT ADDR=192.0.2.9", "220 ");
        client.expect("EHLO client.example", "250");
        send(&mut client);
        let mail = inbox.recv_timeout(PATIENCE).unwrap();
        assert_eq!(mail.connection_values().take::<Option<String>>().unwrap(), None);
    }
    // A length that leads beyond the header.
    let mut bad = V2_WITH_AUTHORITY.to_vec();
    bad[30] += 1;
    let mut client = Client::raw(inbox.local_addr());
    client.send(&bad);
    client.expect_close();
}

fn forwarding() -> Inbox {
    Server::builder().xforward(Network::loopback()).inbox("127.0.0.1:0").expect("a free port")
}

#[test]
fn xforward() {
    let inbox = forwarding();
    let mut client = Client::connect(inbox.local_addr());
    let reply = client.say("EHLO mx.example");
    assert!(reply.contains("\n250-XFORWARD NAME ADDR PORT PROTO HELO IDENT SOURCE\n"), "{reply}");
    client.expect("XFORWARD", "501 5.5.4");
    client.expect("XFORWARD ADDR=nowhere", "501 5.5.4");
    client.expect("XFORWARD NAME=spike.example ADDR=IPV6:2001:db8::1 PORT=4000", "250 2.0.0");
    client.expect("xforward proto=ESMTPS helo=spike+20(x) ident=3CF6B2AAE8 source=remote", "250 2.0.0");
    client.begin();
    client.expect("XFORWARD NAME=late.example", "503 5.5.1");
    client.expect("DATA", "354");
    client.expect(".", "250");
    let mail = inbox.recv_timeout(PATIENCE).unwrap();
    let told = mail.xforward().expect("it was said");
    assert_eq!(told.name.as_deref(), Some("spike.example"));
    assert_eq!((told.address, told.port), ("2001:db8::1".parse().ok(), Some(4000)));
    assert_eq!((told.protocol.as_deref(), told.helo.as_deref()), (Some("ESMTPS"), Some("spike??x?")));
    assert_eq!((told.ident.as_deref(), told.source), (Some("3CF6B2AAE8"), Some(XforwardSource::Remote)));
    // The client itself is whom it was.
    assert!(mail.peer().is_loopback() && mail.helo() == "mx.example");
    assert!(!mail.received_header().contains("spike"));
}

#[test]
fn xforward_is_of_one_message_only() {
    let inbox = forwarding();
    let mut client = Client::ehlo(inbox.local_addr());
    let say = |client: &mut Client| client.expect("XFORWARD ADDR=192.0.2.1 HELO=first.example", "250");
    for end in ["RSET", "EHLO client.example", "HELO client.example"] {
        say(&mut client);
        client.expect(end, "250");
        send(&mut client);
        assert_eq!(inbox.recv_timeout(PATIENCE).unwrap().xforward(), None, "after {end}");
    }
    say(&mut client);
    send(&mut client);
    assert!(inbox.recv_timeout(PATIENCE).unwrap().xforward().is_some());
    send(&mut client);
    assert_eq!(inbox.recv_timeout(PATIENCE).unwrap().xforward(), None);
    // What is not told of the next one is unknown, and not as it was for the one before.
    say(&mut client);
    client.begin();
    client.expect("RSET", "250");
    client.expect("XFORWARD PORT=9", "250");
    send(&mut client);
    let mail = inbox.recv_timeout(PATIENCE).unwrap();
    let told = mail.xforward().unwrap();
    assert_eq!((told.port, told.address, told.helo.as_deref()), (Some(9), None, None));
    let mut unavailable = told.clone();
    unavailable.port = None;
    assert_eq!(unavailable, Xforward::default());
    // However often: it comes with every message.
    for _ in 0..150 {
        say(&mut client);
    }
    client.expect_in_step();
}

#[test]
fn xforward_is_for_those_who_are_listed() {
    let inbox = Server::builder().xclient(Network::loopback()).inbox("127.0.0.1:0").expect("a free port");
    let mut client = Client::ehlo(inbox.local_addr());
    assert!(!client.say("EHLO client.example").contains("XFORWARD"));
    client.expect("XFORWARD ADDR=192.0.2.1", "502 5.5.1");
    // A proxy that passes on what its client says: that client is not listed.
    let builder = Server::builder().xclient(Network::loopback()).xforward(Network::loopback());
    let inbox = builder.inbox("127.0.0.1:0").expect("a free port");
    let mut client = Client::ehlo(inbox.local_addr());
    client.expect("XFORWARD HELO=x.example", "250");
    client.expect("XCLIENT ADDR=192.0.2.1", "220 ");
    assert!(!client.say("EHLO client.example").contains("XFORWARD"));
    client.expect("XFORWARD ADDR=192.0.2.1", "502 5.5.1");
    send(&mut client);
    assert_eq!(inbox.recv_timeout(PATIENCE).unwrap().xforward(), None);
}
