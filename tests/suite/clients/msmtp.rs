//! msmtp reads a message from its standard input, makes its line ends CRLF, doubles dots, and adds CRLF at the end of a
//! last line without it. It would add headers that are missing, and is told not to. It knows no SIZE, BODY or SMTPUTF8.

use std::net::SocketAddr;
use std::process::Command;

use pillarbox::{Endpoint, Envelope, Protocol, Reply};

use super::{CLIENT, RECIPIENT, SENDER, contents};
use super::{
    assert_nothing_received, assert_received, assert_received_from, builder, choosy_inbox, hundred_recipients, inbox,
    inbox_on_ipv6, inbox_on_unix_socket, port,
};
use crate::support;

/// sysexits.h
const EX_DATAERR: i32 = 65;
const EX_UNAVAILABLE: i32 = 69;

fn msmtp(from: &str) -> Option<Command> {
    let mut msmtp = Command::new(support::program("msmtp")?);
    // With --host no configuration file is read.
    msmtp.args(["--host=localhost", "--tls=off", "--auth=off"]);
    msmtp.args([&format!("--domain={CLIENT}"), &format!("--from={from}")]);
    msmtp.args(["--set-from-header=off", "--set-date-header=off", "--set-msgid-header=off"]);
    Some(msmtp)
}

fn msmtp_at(at: SocketAddr, from: &str) -> Option<Command> {
    let mut msmtp = msmtp(from)?;
    msmtp.args([&format!("--host={}", at.ip()), &format!("--port={}", port(at))]);
    Some(msmtp)
}

#[track_caller]
fn arrives(content: &[u8]) {
    arrives_as(content, &contents::terminated(content));
}

#[track_caller]
fn arrives_as(content: &[u8], expected: &[u8]) {
    let inbox = inbox();
    let Some(mut msmtp) = msmtp_at(inbox.local_addr(), SENDER) else {
        return;
    };
    support::run(msmtp.args(["--", RECIPIENT]), content).succeeded();
    let mail = assert_received(&inbox, expected);
    assert_eq!(mail.protocol(), Protocol::Esmtp);
    assert!(mail.mail_options().is_empty());
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
fn unix_line_ends() {
    arrives_as(&contents::with_unix_line_ends(contents::DOTS), contents::DOTS);
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
    arrives_as(contents::EMPTY, b"");
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
fn null_reverse_path() {
    let inbox = inbox();
    let Some(mut msmtp) = msmtp_at(inbox.local_addr(), "") else {
        return;
    };
    support::run(msmtp.args(["--", RECIPIENT]), contents::PLAIN).succeeded();
    assert_received_from(&inbox, "", &[RECIPIENT], contents::PLAIN);
}

/// As the sendmail command of old: recipients are taken from the message, and who got a blind copy is taken out of it.
#[test]
fn recipients_from_the_message() {
    let inbox = inbox();
    let Some(mut msmtp) = msmtp_at(inbox.local_addr(), SENDER) else {
        return;
    };
    let message = b"To: One <one@example.org>, two@example.org\nBcc: three@example.org\nSubject: x\n\nbody\n";
    support::run(msmtp.arg("--read-recipients"), message).succeeded();
    let expected = b"To: One <one@example.org>, two@example.org\r\nSubject: x\r\n\r\nbody\r\n";
    let mail = super::receive(&inbox);
    let mut to: Vec<&str> = mail.recipients().iter().map(|to| to.as_str()).collect();
    to.sort_unstable();
    assert_eq!(to, ["one@example.org", "three@example.org", "two@example.org"]);
    support::assert_same_bytes(&mail.bytes().unwrap(), expected);
    assert_nothing_received(&inbox);
}

#[test]
fn a_hundred_recipients() {
    let inbox = inbox();
    let Some(mut msmtp) = msmtp_at(inbox.local_addr(), SENDER) else {
        return;
    };
    let to = hundred_recipients();
    support::run(msmtp.arg("--").args(&to), contents::PLAIN).succeeded();
    let to: Vec<&str> = to.iter().map(String::as_str).collect();
    assert_received_from(&inbox, SENDER, &to, contents::PLAIN);
}

#[test]
fn attachment() {
    let message = format!(
        "Subject: attached\r\nMIME-Version: 1.0\r\nContent-Type: application/octet-stream\r\n\
         Content-Transfer-Encoding: base64\r\n\r\n{}\r\n",
        contents::base64(&contents::attachment())
    );
    arrives(message.as_bytes());
}

#[test]
fn refused_recipient() {
    let inbox = choosy_inbox();
    let Some(mut msmtp) = msmtp_at(inbox.local_addr(), SENDER) else {
        return;
    };
    let refused = support::run(msmtp.args(["--", RECIPIENT, "no@refused.example"]), contents::PLAIN).exited(EX_DATAERR);
    assert!(refused.stderr.contains("server message: 550 5.7.1 relaying denied\n"), "{refused}");
    assert_nothing_received(&inbox);
}

/// msmtp sends UTF-8 addresses without asking for SMTPUTF8, which RFC 6531 section 3.4 does not allow.
#[test]
fn utf8_address_without_smtputf8() {
    let inbox = inbox();
    let Some(mut msmtp) = msmtp_at(inbox.local_addr(), SENDER) else {
        return;
    };
    let refused = support::run(msmtp.args(["--", "b\u{f6}b@example.org"]), contents::PLAIN).exited(EX_DATAERR);
    assert!(refused.stderr.contains("server message: 553 5.6.7 "), "{refused}");
    assert_nothing_received(&inbox);
}

#[test]
fn the_handlers_refusal() {
    let refuse = |_: Envelope| Reply::temporary("the disk is full");
    let server = builder().serve("127.0.0.1:0", refuse).expect("a free port");
    let Some(mut msmtp) = msmtp_at(server.local_addr(), SENDER) else {
        return;
    };
    let refused = support::run(msmtp.args(["--", RECIPIENT]), contents::PLAIN).exited(EX_UNAVAILABLE);
    assert!(refused.stderr.contains("server message: 451 4.3.0 the disk is full\n"), "{refused}");
}

#[test]
fn ipv6() {
    if !support::has_ipv6() {
        return;
    }
    let inbox = inbox_on_ipv6();
    let Some(mut msmtp) = msmtp_at(inbox.local_addr(), SENDER) else {
        return;
    };
    support::run(msmtp.args(["--", RECIPIENT]), contents::DOTS).succeeded();
    let mail = assert_received(&inbox, contents::DOTS);
    assert!(mail.peer().ip().is_some_and(|ip| ip.is_ipv6()), "{}", mail.peer());
}

#[test]
fn unix_socket() {
    let server = inbox_on_unix_socket();
    let Some(mut msmtp) = msmtp(SENDER) else { return };
    msmtp.arg(format!("--socket={}", super::utf8(&server.path)));
    support::run(msmtp.args(["--", RECIPIENT]), contents::DOTS).succeeded();
    let mail = assert_received(&server.inbox, contents::DOTS);
    assert!(matches!(mail.peer(), Endpoint::Unix(_)), "{}", mail.peer());
}
