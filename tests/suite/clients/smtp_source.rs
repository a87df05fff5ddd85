//! Postfix's smtp-source makes load: many connections at a time, HELO only, no PIPELINING. It makes up its messages, or
//! sends the lines of a file, with CRLF after each and an empty line at the end.

use std::collections::BTreeSet;
use std::process::Command;

use pillarbox::{Endpoint, Envelope, Inbox, Protocol};

use super::{CLIENT, RECIPIENT, SENDER, contents};
use super::{
    assert_mail, assert_nothing_received, assert_received, assert_received_from, file, inbox, inbox_on_ipv6,
    inbox_on_unix_socket, receive, utf8,
};
use crate::support;

fn smtp_source() -> Option<Command> {
    let mut source = Command::new(support::program("smtp-source")?);
    source.args(["-M", CLIENT, "-f", SENDER, "-t", RECIPIENT]);
    Some(source)
}

/// Takes apart what it makes up: the headers, of which some tell the time, and the body.
#[track_caller]
fn assert_made_up(mail: &Envelope, body: &[u8]) {
    let content = mail.bytes().expect("readable content");
    let content = str::from_utf8(&content).expect("ASCII");
    let (headers, rest) = content.split_once("\r\n\r\n").expect("an empty line");
    let headers: Vec<&str> = headers.split("\r\n").collect();
    let [from, to, date, id] = headers[..] else { panic!("other headers: {headers:?}") };
    assert_eq!([from, to], [format!("From: <{SENDER}>"), format!("To: <{RECIPIENT}>")]);
    assert!(date.starts_with("Date: ") && date.ends_with(" +0000 (UTC)"), "{date}");
    assert!(id.starts_with("Message-Id: <") && id.ends_with("@client.example>"), "{id}");
    support::assert_same_bytes(rest.as_bytes(), body);
}

/// Every message is there once: smtp-source numbers the recipients.
#[track_caller]
fn assert_numbered(inbox: &Inbox, count: usize, body: &[u8]) -> Vec<Envelope> {
    let mails: Vec<Envelope> = (0..count).map(|_| receive(inbox)).collect();
    let mut seen = BTreeSet::new();
    for mail in &mails {
        assert_eq!(mail.helo(), CLIENT);
        assert_eq!(mail.protocol(), Protocol::Smtp);
        assert_eq!(mail.mail_from(), SENDER);
        let [to] = mail.recipients() else { panic!("more than one recipient: {:?}", mail.recipients()) };
        let number = to.as_str().strip_suffix(RECIPIENT).and_then(|number| number.parse::<usize>().ok());
        seen.insert(number.expect("a numbered recipient"));
        assert_made_up(mail, body);
    }
    assert_eq!(seen, (1..=count).collect());
    assert_nothing_received(inbox);
    mails
}

fn peers(mails: &[Envelope]) -> usize {
    mails.iter().map(|mail| mail.peer().to_string()).collect::<BTreeSet<_>>().len()
}

#[test]
fn many_connections() {
    let inbox = inbox();
    let Some(mut source) = smtp_source() else { return };
    source.args(["-4", "-c", "-N", "-m", "200", "-s", "8", "-l", "70", &inbox.local_addr().to_string()]);
    support::run(&mut source, b"").succeeded();
    assert_numbered(&inbox, 200, &[&b"X".repeat(70)[..], b"\r\n"].concat());
}

#[test]
fn many_messages_on_each_connection() {
    let inbox = inbox();
    let Some(mut source) = smtp_source() else { return };
    source.args(["-4", "-c", "-d", "-N", "-m", "200", "-s", "8", "-l", "20000", &inbox.local_addr().to_string()]);
    support::run(&mut source, b"").succeeded();
    // Lines of 80 octets, each with the last digit of its number in front, and what is left as a line without.
    let mut body: String = (1..=249).map(|n| format!("{}{}\r\n", n % 10, "X".repeat(77))).collect();
    body += &format!("{}\r\n", "X".repeat(20000 - 249 * 80));
    let mails = assert_numbered(&inbox, 200, body.as_bytes());
    assert_eq!(peers(&mails), 8);
}

#[test]
fn a_hundred_recipients() {
    let inbox = inbox();
    let Some(mut source) = smtp_source() else { return };
    source.args(["-4", "-r", "100", "-l", "10", &inbox.local_addr().to_string()]);
    support::run(&mut source, b"").succeeded();
    let mail = receive(&inbox);
    // It counts down, and leaves the 1 out.
    let mut to: Vec<String> = (2..=100).rev().map(|n| format!("{n}{RECIPIENT}")).collect();
    to.push(RECIPIENT.to_owned());
    let to: Vec<&str> = to.iter().map(String::as_str).collect();
    assert_eq!(mail.recipients(), to);
    assert_made_up(&mail, b"XXXXXXXXXX\r\n");
    assert_nothing_received(&inbox);
}

#[track_caller]
fn arrives(content: &[u8]) {
    let inbox = inbox();
    let Some(mut source) = smtp_source() else { return };
    let file = file(&contents::with_unix_line_ends(content));
    support::run(source.args(["-4", "-F", utf8(file.path()), &inbox.local_addr().to_string()]), b"").succeeded();
    let mail = assert_received(&inbox, &contents::with_crlf(&contents::terminated(content)));
    assert_eq!(mail.protocol(), Protocol::Smtp);
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
fn a_long_line() {
    arrives(&contents::long_line());
}

/// Two connections at once with the same 30 MiB.
#[test]
fn thirty_mebibytes() {
    let inbox = inbox();
    let Some(mut source) = smtp_source() else { return };
    let content = contents::large();
    let file = file(&contents::with_unix_line_ends(&content));
    source.args(["-4", "-m", "2", "-s", "2", "-F", utf8(file.path()), &inbox.local_addr().to_string()]);
    support::run(&mut source, b"").succeeded();
    let mails = [receive(&inbox), receive(&inbox)];
    assert_eq!(peers(&mails), 2);
    for mail in &mails {
        assert_mail(mail, SENDER, &[RECIPIENT], &contents::with_crlf(&content));
    }
    assert_nothing_received(&inbox);
}

#[test]
fn null_reverse_path() {
    let inbox = inbox();
    let Some(mut source) = smtp_source() else { return };
    let file = file(&contents::with_unix_line_ends(contents::PLAIN));
    // The last -f counts.
    source.args(["-4", "-f", "", "-F", utf8(file.path()), &inbox.local_addr().to_string()]);
    support::run(&mut source, b"").succeeded();
    assert_received_from(&inbox, "", &[RECIPIENT], &contents::with_crlf(contents::PLAIN));
}

#[test]
fn ipv6() {
    if !support::has_ipv6() {
        return;
    }
    let inbox = inbox_on_ipv6();
    let Some(mut source) = smtp_source() else { return };
    source.args(["-6", "-N", "-m", "20", "-s", "4", "-l", "10", &inbox.local_addr().to_string()]);
    support::run(&mut source, b"").succeeded();
    let mails = assert_numbered(&inbox, 20, b"XXXXXXXXXX\r\n");
    assert!(mails.iter().all(|mail| mail.peer().ip().is_some_and(|ip| ip.is_ipv6())));
}

#[test]
fn unix_socket() {
    let server = inbox_on_unix_socket();
    let Some(mut source) = smtp_source() else { return };
    source.args(["-N", "-m", "20", "-s", "4", "-l", "10", &format!("unix:{}", utf8(&server.path))]);
    support::run(&mut source, b"").succeeded();
    let mails = assert_numbered(&server.inbox, 20, b"XXXXXXXXXX\r\n");
    assert!(mails.iter().all(|mail| matches!(mail.peer(), Endpoint::Unix(_))));
}
