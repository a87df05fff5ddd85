//! lettre sends bytes as they are: dots doubled after CRLF, CRLF added at the end whether there is one or not. It says
//! BODY=8BITMIME with MAIL if the content needs it, and SMTPUTF8 if an address does.

use std::time::SystemTime;

use lettre::address::Envelope;
use lettre::message::{Attachment, Message, MultiPart, SinglePart, header::ContentType};
use lettre::transport::smtp::PoolConfig;
use lettre::transport::smtp::extension::ClientId;
use lettre::{SmtpTransport, Transport};
use pillarbox::{Protocol, Reply};

use super::{CLIENT, RECIPIENT, SENDER, contents};
use super::{
    assert_mail, assert_nothing_received, assert_received, assert_received_from, builder, choosy_inbox,
    hundred_recipients, inbox, inbox_on_ipv6, receive,
};
use crate::support;

/// Keeps one connection open and sends all messages on it.
fn transport(at: std::net::SocketAddr) -> SmtpTransport {
    SmtpTransport::builder_dangerous(at.ip().to_string())
        .port(at.port())
        .hello_name(ClientId::Domain(CLIENT.to_owned()))
        .pool_config(PoolConfig::new().max_size(1))
        .build()
}

fn envelope(from: &str, to: &[&str]) -> Envelope {
    let from = (!from.is_empty()).then(|| from.parse().expect("an address"));
    Envelope::new(from, to.iter().map(|to| to.parse().expect("an address")).collect()).expect("recipients")
}

#[track_caller]
fn arrives(content: &[u8]) {
    let inbox = inbox();
    transport(inbox.local_addr()).send_raw(&envelope(SENDER, &[RECIPIENT]), content).unwrap();
    let mail = assert_received(&inbox, &contents::with_crlf(content));
    assert_eq!(mail.protocol(), Protocol::Esmtp);
    let options: &[&str] = if content.is_ascii() { &[] } else { &["BODY=8BITMIME"] };
    assert_eq!(mail.mail_options(), options);
}

#[test]
fn plain() {
    arrives(contents::PLAIN);
}

#[test]
fn lines_beginning_with_dots() {
    arrives(contents::DOTS);
}

#[test]
fn only_dots() {
    arrives(contents::ONLY_DOTS);
}

#[test]
fn utf8_body() {
    arrives(contents::UTF8);
}

#[test]
fn every_octet() {
    arrives(&contents::octets());
}

#[test]
fn no_final_line_end() {
    arrives(contents::UNTERMINATED);
}

#[test]
fn empty() {
    arrives(contents::EMPTY);
}

#[test]
fn a_long_line() {
    arrives(&contents::long_line());
}

#[test]
fn thirty_mebibytes() {
    arrives(&contents::large());
}

#[test]
fn attachment() {
    let inbox = inbox();
    let attached = Attachment::new("all.bin".to_owned());
    let mail = Message::builder()
        .from(SENDER.parse().unwrap())
        .to(RECIPIENT.parse().unwrap())
        .subject("attached")
        .date(SystemTime::UNIX_EPOCH)
        .multipart(
            MultiPart::mixed()
                .boundary("frontier")
                .singlepart(SinglePart::plain("Gr\u{fc}\u{df}e from here to there\r\n.one\r\n..two\r\n".to_owned()))
                .singlepart(SinglePart::html("<p>\r\n.</p>".to_owned()))
                .singlepart(
                    attached.body(contents::attachment(), ContentType::parse("application/octet-stream").unwrap()),
                ),
        )
        .unwrap();
    transport(inbox.local_addr()).send(&mail).unwrap();
    let expected = format!(
        "From: {SENDER}\r\nTo: {RECIPIENT}\r\nSubject: attached\r\nDate: Thu, 01 Jan 1970 00:00:00 +0000\r\n\
         MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=\"frontier\"\r\n\r\n\
         --frontier\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n\
         Gr=C3=BC=C3=9Fe from here to there\r\n.one\r\n..two\r\n\r\n\
         --frontier\r\nContent-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: 7bit\r\n\r\n<p>\r\n.</p>\r\n\
         --frontier\r\nContent-Disposition: attachment; filename=\"all.bin\"\r\n\
         Content-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n\r\n\
         {}\r\n--frontier--\r\n\r\n",
        contents::base64(&contents::attachment())
    );
    assert_received(&inbox, expected.as_bytes());
}

#[test]
fn smtputf8() {
    let inbox = inbox();
    let (from, to) = ("\u{fc}ser@ex\u{e4}mple.org", "b\u{f6}b@ex\u{e4}mple.org");
    transport(inbox.local_addr()).send_raw(&envelope(from, &[to]), contents::UTF8).unwrap();
    let mail = assert_received_from(&inbox, from, &[to], &contents::with_crlf(contents::UTF8));
    assert_eq!(mail.protocol(), Protocol::Utf8Smtp);
    assert_eq!(mail.mail_options(), ["SMTPUTF8", "BODY=8BITMIME"]);
}

#[test]
fn null_reverse_path() {
    let inbox = inbox();
    transport(inbox.local_addr()).send_raw(&envelope("", &[RECIPIENT]), contents::PLAIN).unwrap();
    assert_received_from(&inbox, "", &[RECIPIENT], &contents::with_crlf(contents::PLAIN));
}

#[test]
fn a_hundred_recipients() {
    let inbox = inbox();
    let to = hundred_recipients();
    let to: Vec<&str> = to.iter().map(String::as_str).collect();
    transport(inbox.local_addr()).send_raw(&envelope(SENDER, &to), contents::PLAIN).unwrap();
    assert_received_from(&inbox, SENDER, &to, &contents::with_crlf(contents::PLAIN));
}

/// More messages than a client may send commands that bring no mail forward: the NOOP by which lettre tries whether the
/// connection still stands must not add up over the messages.
#[test]
fn many_messages_on_one_connection() {
    const MESSAGES: usize = 250;
    let inbox = inbox();
    let transport = transport(inbox.local_addr());
    for n in 0..MESSAGES {
        transport.send_raw(&envelope(SENDER, &[RECIPIENT]), format!("{n}\r\n.").as_bytes()).unwrap();
    }
    let mails: Vec<_> = (0..MESSAGES).map(|_| receive(&inbox)).collect();
    for (n, mail) in mails.iter().enumerate() {
        assert_mail(mail, SENDER, &[RECIPIENT], format!("{n}\r\n.\r\n").as_bytes());
        assert_eq!(mail.peer(), mails[0].peer());
    }
    assert_nothing_received(&inbox);
}

/// A refusal leaves the connection usable, or lettre finds out and makes another: no message is lost or sent twice.
#[test]
fn refused_recipient() {
    let inbox = choosy_inbox();
    let transport = transport(inbox.local_addr());
    for _ in 0..3 {
        let error =
            transport.send_raw(&envelope(SENDER, &[RECIPIENT, "no@refused.example"]), contents::DOTS).unwrap_err();
        assert!(error.is_permanent() && error.status().is_some_and(|code| code.to_string() == "550"), "{error:?}");
        transport.send_raw(&envelope(SENDER, &[RECIPIENT]), contents::DOTS).unwrap();
    }
    for _ in 0..3 {
        assert_mail(&receive(&inbox), SENDER, &[RECIPIENT], &contents::with_crlf(contents::DOTS));
    }
    assert_nothing_received(&inbox);
}

#[test]
fn the_handlers_refusal() {
    let refuse = |_: pillarbox::Envelope| Reply::temporary("the disk is full");
    let server = builder().serve("127.0.0.1:0", refuse).expect("a free port");
    let error = transport(server.local_addr()).send_raw(&envelope(SENDER, &[RECIPIENT]), contents::PLAIN).unwrap_err();
    assert!(error.is_transient() && error.status().is_some_and(|code| code.to_string() == "451"), "{error:?}");
}

#[test]
fn ipv6() {
    if !support::has_ipv6() {
        return;
    }
    let inbox = inbox_on_ipv6();
    transport(inbox.local_addr()).send_raw(&envelope(SENDER, &[RECIPIENT]), contents::DOTS).unwrap();
    let mail = assert_received(&inbox, &contents::with_crlf(contents::DOTS));
    assert!(mail.peer().ip().is_some_and(|ip| ip.is_ipv6()), "{}", mail.peer());
}
