//! The examples of the RFCs, as far as a server's side of them is fixed: what their clients say brings what they are told.
//!
//! The texts of replies are the server's own; the codes are the RFCs'.

use std::time::Duration;

use crate::support::client::{Client, PATIENCE};
use pillarbox::{
    AddressLiteral, Body, Builder, Context, DeliverByMode, Envelope, Inbox, Recipient, Reply, Response, Ret, Server,
    Session,
};

/// Refuses whom the examples refuse.
struct Refuses(&'static [&'static str]);

impl Session for Refuses {
    fn rcpt(&mut self, _: &Context, to: &Recipient) -> Result<(), Reply> {
        match self.0.iter().any(|name| to == name) {
            true => Err(Reply::new(550, "5.1.1", "no such user here")),
            false => Ok(()),
        }
    }
}

fn inbox(builder: Builder) -> Inbox {
    builder.inbox("127.0.0.1:0").expect("a free port")
}

fn converse(client: &mut Client, lines: &[(&str, &str)]) {
    for (line, reply) in lines {
        client.expect(line, reply);
    }
}

fn expect_replies(client: &mut Client, replies: &[&str]) {
    for reply in replies {
        client.expect_reply(reply);
    }
}

fn receive(inbox: &Inbox) -> Envelope {
    inbox.recv_timeout(PATIENCE).expect("a message")
}

#[test]
fn rfc5321_appendix_d() {
    let inbox = inbox(Server::builder().session(|_| Refuses(&["Green@foo.com"])));
    let mut client = Client::connect(inbox.local_addr());
    // D.1, a typical transaction.
    converse(
        &mut client,
        &[
            ("EHLO bar.com", "250"),
            ("MAIL FROM:<Smith@bar.com>", "250"),
            ("RCPT TO:<Jones@foo.com>", "250"),
            ("RCPT TO:<Green@foo.com>", "550"),
            ("RCPT TO:<Brown@foo.com>", "250"),
            ("DATA", "354"),
            ("Blah blah blah...\r\n...etc. etc. etc.\r\n.", "250"),
        ],
    );
    assert_eq!(receive(&inbox).recipients(), ["Jones@foo.com", "Brown@foo.com"]);
    // D.2, one that is given up.
    converse(
        &mut client,
        &[
            ("EHLO bar.com", "250"),
            ("MAIL FROM:<Smith@bar.com>", "250"),
            ("RCPT TO:<Jones@foo.com>", "250"),
            ("RCPT TO:<Green@foo.com>", "550"),
            ("RSET", "250"),
            ("QUIT", "221"),
        ],
    );
    assert!(inbox.is_empty());
}

#[test]
fn rfc2920_section_4() {
    let inbox =
        inbox(Server::builder().session(|_| Refuses(&["nsb@thumper.bellcore.com", "dcrocker@mordor.stanford.edu"])));
    let mut client = Client::ehlo(inbox.local_addr());
    client.send(
        "MAIL FROM:<mrose@dbc.mtview.ca.us>\r\nRCPT TO:<ned@innosoft.com>\r\nRCPT TO:<dan@innosoft.com>\r\n\
         RCPT TO:<kvc@innosoft.com>\r\nDATA\r\n",
    );
    expect_replies(&mut client, &["250", "250", "250", "250", "354"]);
    client.send("content\r\n.\r\nQUIT\r\n");
    expect_replies(&mut client, &["250", "221"]);
    assert_eq!(receive(&inbox).recipients().len(), 3);
    // No recipient is left.
    let mut client = Client::ehlo(inbox.local_addr());
    client.send(
        "MAIL FROM:<mrose@dbc.mtview.ca.us>\r\nRCPT TO:<nsb@thumper.bellcore.com>\r\n\
         RCPT TO:<dcrocker@mordor.stanford.edu>\r\nDATA\r\n",
    );
    expect_replies(&mut client, &["250", "550", "550", "503"]);
    client.expect("QUIT", "221");
}

#[test]
fn rfc1870_and_rfc6152() {
    let inbox = inbox(Server::builder().data_size_limit(1_000_000));
    let mut client = Client::connect(inbox.local_addr());
    assert!(client.say("EHLO ymir.claremont.edu").contains("\n250-SIZE 1000000\n"));
    converse(
        &mut client,
        &[
            ("MAIL FROM:<ned@thor.innosoft.com> SIZE=500000", "250"),
            ("RCPT TO:<ned@innosoft.com>", "250"),
            ("RSET", "250"),
            ("MAIL FROM:<ned@thor.innosoft.com> SIZE=1000001", "552"),
            ("MAIL FROM:<ned@ymir.claremont.edu> BODY=8BITMIME", "250"),
            ("RCPT TO:<mrose@dbc.mtview.ca.us>", "250"),
            ("DATA", "354"),
            (".", "250"),
        ],
    );
    assert_eq!(receive(&inbox).mail_parameters().body(), Some(Body::EightBitMime));
}

#[test]
fn rfc3030_section_4() {
    let inbox = inbox(Server::builder());
    let mut client = Client::connect(inbox.local_addr());
    // 4.1, a simple chunk.
    let message = "To: Susan@random.com\r\nFrom: Sam@random.com\r\nSubject: This is a bodyless test message\r\n";
    converse(
        &mut client,
        &[
            ("EHLO cnri.reston.va.us", "250"),
            ("MAIL FROM:<Sam@Random.com>", "250"),
            ("RCPT TO:<Susan@Random.com>", "250"),
        ],
    );
    client.send(format!("BDAT 86 LAST\r\n{message}"));
    client.expect_reply("250");
    assert_eq!(receive(&inbox).bytes().unwrap(), message.as_bytes());
    // 4.2, pipelined binary chunks.
    let (first, second) = (vec![0xff; 100_000], vec![b'\n'; 324]);
    client.send(
        "MAIL FROM:<ned@ymir.claremont.edu> BODY=BINARYMIME\r\nRCPT TO:<gvaudre@cnri.reston.va.us>\r\n\
         RCPT TO:<jstewart@cnri.reston.va.us>\r\n",
    );
    expect_replies(&mut client, &["250", "250", "250"]);
    client.send([b"BDAT 100000\r\n", &first[..], b"BDAT 324\r\n", &second[..], b"BDAT 0 LAST\r\n"].concat());
    client.expect_reply("250 2.0.0 100000 octets");
    client.expect_reply("250 2.0.0 324 octets");
    client.expect_reply("250");
    let mail = receive(&inbox);
    assert_eq!(mail.mail_parameters().body(), Some(Body::BinaryMime));
    assert_eq!(mail.bytes().unwrap(), [first, second].concat());
}

#[test]
fn rfc3461_section_10() {
    let inbox = inbox(Server::builder());
    let mut client = Client::ehlo(inbox.local_addr());
    converse(
        &mut client,
        &[
            ("MAIL FROM:<Alice@Example.ORG> RET=HDRS ENVID=QQ314159", "250"),
            ("RCPT TO:<Bob@Example.COM> NOTIFY=SUCCESS ORCPT=rfc822;Bob@Example.COM", "250"),
            ("RCPT TO:<Carol@Ivory.EDU> NOTIFY=FAILURE ORCPT=rfc822;Carol@Ivory.EDU", "250"),
            ("RCPT TO:<Dana@Ivory.EDU> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;Dana@Ivory.EDU", "250"),
            ("RCPT TO:<Fred@Bombs.AF.MIL> NOTIFY=NEVER", "250"),
            ("RCPT TO:<George@Tax-ME.GOV> NOTIFY=FAILURE ORCPT=rfc822;George@Tax-ME.GOV", "250"),
            ("DATA", "354"),
            (".", "250"),
        ],
    );
    let mail = receive(&inbox);
    assert_eq!((mail.mail_parameters().ret(), mail.mail_parameters().envid()), (Some(Ret::Headers), Some("QQ314159")));
    let asked: Vec<String> =
        mail.recipients().iter().map(|to| to.parameters().notify().expect("each says").to_string()).collect();
    assert_eq!(asked, ["SUCCESS", "FAILURE", "SUCCESS,FAILURE", "NEVER", "FAILURE"]);
    assert_eq!(mail.recipients()[4].parameters().orcpt().unwrap().to_string(), "rfc822;George@Tax-ME.GOV");
}

#[test]
fn rfc2033_section_4_2() {
    let handler = |mail: Envelope| {
        Response::each(mail.recipients().iter().map(|to| match *to == "green@foo.edu" {
            true => Err(Reply::new(452, "4.2.2", "temporarily over quota")),
            false => Ok(()),
        }))
    };
    let builder = Server::builder().lmtp(true).session(|_| Refuses(&["jones@foo.edu"]));
    let server = builder.serve("127.0.0.1:0", handler).expect("a free port");
    let mut client = Client::connect(server.local_addr());
    converse(
        &mut client,
        &[
            ("LHLO foo.edu", "250-"),
            ("MAIL FROM:<chris@bar.com>", "250"),
            ("RCPT TO:<pat@foo.edu>", "250"),
            ("RCPT TO:<jones@foo.edu>", "550"),
            ("RCPT TO:<green@foo.edu>", "250"),
            ("DATA", "354"),
            ("Blah blah blah...\r\n...etc. etc. etc.\r\n.", "250"),
        ],
    );
    client.expect_reply("452");
    client.expect("QUIT", "221");
}

#[test]
fn rfc2852_rfc4865_and_rfc6710() {
    let builder = Server::builder().deliver_by(Duration::from_secs(60)).mt_priority(true);
    let inbox = inbox(builder.future_release(Duration::from_secs(200_000)));
    let mut client = Client::ehlo(inbox.local_addr());
    converse(
        &mut client,
        &[
            ("MAIL FROM:<eljefe@bigbiz.com> BY=125;R", "250"),
            ("RSET", "250"),
            ("MAIL FROM:<eljefe@bigbiz.com> BY=-10;NT", "250"),
            ("RSET", "250"),
            ("MAIL FROM:<eljefe@bigbiz.com> BY=98;RT MT-PRIORITY=6 HOLDFOR=86400", "250"),
            ("RCPT TO:<topbanana@other.com>", "250"),
            ("DATA", "354"),
            (".", "250"),
        ],
    );
    let mail = receive(&inbox);
    let by = mail.mail_parameters().deliver_by().unwrap();
    assert_eq!((by.seconds, by.mode, by.trace), (98, DeliverByMode::Return, true));
    assert_eq!(mail.mail_parameters().priority(), Some(6));
}

#[cfg(feature = "auth")]
#[test]
fn rfc4954_sections_4_and_5() {
    let check = |user: &str, password: &str| (user, password) == ("test", "1234");
    let inbox = inbox(Server::builder().authenticator(check));
    for initial in [true, false] {
        let mut client = Client::ehlo(inbox.local_addr());
        if initial {
            client.expect("AUTH PLAIN dGVzdAB0ZXN0ADEyMzQ=", "235 2.7.0");
        } else {
            client.expect("AUTH PLAIN", "334 ");
            client.expect("dGVzdAB0ZXN0ADEyMzQ=", "235 2.7.0");
        }
        client.expect("MAIL FROM:<e=mc2@example.com> AUTH=e+3Dmc2@example.com", "250");
        client.expect("RCPT TO:<a@b.example>", "250");
        client.expect("DATA", "354");
        client.expect(".", "250");
        let mail = receive(&inbox);
        let author = pillarbox::AuthParameter::Identity("e=mc2@example.com".to_owned());
        assert_eq!((mail.identity(), mail.mail_parameters().auth()), (Some("test"), Some(&author)));
    }
}

#[test]
fn rfc5321_section_4_1_3() {
    let inbox = inbox(Server::builder());
    let mut client = Client::connect(inbox.local_addr());
    converse(
        &mut client,
        &[
            ("EHLO [123.255.37.2]", "250"),
            ("MAIL FROM:<a@[123.255.37.2]>", "250"),
            ("RCPT TO:<a@[IPv6:2001:db8::1]>", "250"),
            ("DATA", "354"),
            (".", "250"),
        ],
    );
    let literal = receive(&inbox).mail_from().mailbox().unwrap().domain_literal();
    assert_eq!(literal, Some(AddressLiteral::V4([123, 255, 37, 2].into())));
}
