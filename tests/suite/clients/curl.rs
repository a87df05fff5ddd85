//! curl sends a file as it is: dots doubled after CRLF, CRLF added at the end of a last line without it, SIZE with MAIL.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use pillarbox::{Endpoint, Protocol};

use super::{CLIENT, RECIPIENT, SENDER, contents};
use super::{
    assert_mail, assert_nothing_received, assert_received, assert_received_from, choosy_inbox, file,
    hundred_recipients, inbox, inbox_on_ipv6, inbox_on_unix_socket, receive, utf8,
};
use crate::support::{self, Finished};

fn curl(server: &str) -> Option<Command> {
    let mut curl = Command::new(support::program("curl")?);
    // -q, which must come first: no ~/.curlrc.
    curl.args(["-q", "--silent", "--show-error", "--noproxy", "*", &format!("smtp://{server}/{CLIENT}")]);
    Some(curl)
}

fn curl_to(at: SocketAddr, from: &str, to: &[&str]) -> Option<Command> {
    let mut curl = curl(&at.to_string())?;
    curl.args(["--mail-from", from]);
    for to in to {
        curl.args(["--mail-rcpt", to]);
    }
    Some(curl)
}

fn upload(curl: &mut Command, content: &[u8]) -> Finished {
    let file = file(content);
    support::run(curl.arg("--upload-file").arg(file.path()), b"")
}

#[track_caller]
fn arrives(content: &[u8]) {
    arrives_as(content, &contents::terminated(content));
}

#[track_caller]
fn arrives_as(content: &[u8], expected: &[u8]) {
    let inbox = inbox();
    let Some(mut curl) = curl_to(inbox.local_addr(), SENDER, &[RECIPIENT]) else {
        return;
    };
    upload(&mut curl, content).succeeded();
    let mail = assert_received(&inbox, expected);
    assert_eq!(mail.protocol(), Protocol::Esmtp);
    // An empty file is announced with no SIZE at all.
    let announced = (!content.is_empty()).then_some(content.len() as u64);
    assert_eq!(mail.mail_parameters().size(), announced);
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

/// Without --crlf a file of Unix goes out with lone line feeds, and curl doubles no dot after them. The server makes them CRLF
/// and takes the dot away that RFC 5321 section 4.5.2 wants before each line that begins with one; a dot between two of them
/// ends nothing, and stays. The last is no CRLF for curl, which adds one.
#[test]
fn lone_line_feeds() {
    let sent = b"Subject: dots\n\n.\n..\n.one\n..two\nend\n";
    arrives_as(sent, b"Subject: dots\r\n\r\n.\r\n.\r\none\r\n.two\r\nend\r\n\r\n");
}

#[test]
fn line_feeds_made_crlf_by_curl() {
    let inbox = inbox();
    let Some(mut curl) = curl_to(inbox.local_addr(), SENDER, &[RECIPIENT]) else {
        return;
    };
    let content = contents::with_unix_line_ends(contents::DOTS);
    upload(curl.arg("--crlf"), &content).succeeded();
    let mail = assert_received(&inbox, contents::DOTS);
    // Announced before the conversion; SIZE is an estimate (RFC 1870 section 5).
    assert_eq!(mail.mail_parameters().size(), Some(content.len() as u64));
}

#[test]
fn null_reverse_path() {
    let inbox = inbox();
    let Some(mut curl) = curl_to(inbox.local_addr(), "", &[RECIPIENT]) else {
        return;
    };
    upload(&mut curl, contents::PLAIN).succeeded();
    assert_received_from(&inbox, "", &[RECIPIENT], contents::PLAIN);
}

#[test]
fn a_hundred_recipients() {
    let inbox = inbox();
    let to = hundred_recipients();
    let to: Vec<&str> = to.iter().map(String::as_str).collect();
    let Some(mut curl) = curl_to(inbox.local_addr(), SENDER, &to) else {
        return;
    };
    upload(&mut curl, contents::PLAIN).succeeded();
    assert_received_from(&inbox, SENDER, &to, contents::PLAIN);
}

#[test]
fn smtputf8() {
    let inbox = inbox();
    let (from, to) = ("\u{fc}ser@ex\u{e4}mple.org", "b\u{f6}b@ex\u{e4}mple.org");
    let Some(mut curl) = curl_to(inbox.local_addr(), from, &[to]) else {
        return;
    };
    upload(&mut curl, contents::UTF8).succeeded();
    // A curl that knows IDNA sends the domain in its ASCII form; the local part stays as it is.
    let sent = |address: &str| match knows_idna() {
        true => address.replace("ex\u{e4}mple", "xn--exmple-cua"),
        false => address.to_owned(),
    };
    let mail = assert_received_from(&inbox, &sent(from), &[&sent(to)], contents::UTF8);
    assert_eq!(mail.protocol(), Protocol::Utf8Smtp);
    assert_eq!(mail.mail_options(), [&format!("SIZE={}", contents::UTF8.len()), "SMTPUTF8"]);
}

fn knows_idna() -> bool {
    let curl = support::program("curl").expect("curl was there before");
    let version = support::run(Command::new(curl).args(["-q", "--version"]), b"").succeeded();
    version
        .stdout
        .lines()
        .filter_map(|line| line.strip_prefix("Features: "))
        .any(|line| line.split(' ').any(|f| f == "IDN"))
}

#[test]
fn attachment() {
    let inbox = inbox();
    let Some(mut curl) = curl_to(inbox.local_addr(), SENDER, &[RECIPIENT]) else {
        return;
    };
    let (text, attached) = (file(contents::DOTS), file(&contents::attachment()));
    curl.args(["--form", &format!("=<{};type=text/plain", utf8(text.path()))]);
    curl.args([
        "--form",
        &format!("a=@{};filename=all.bin;type=application/octet-stream;encoder=base64", utf8(attached.path())),
    ]);
    support::run(curl.args(["--header", "Subject: attached"]), b"").succeeded();

    let mail = receive(&inbox);
    // The boundary is random; all else is known.
    let text = String::from_utf8(mail.bytes().unwrap().into_owned()).expect("MIME in ASCII");
    let boundary = text.split_once("boundary=").and_then(|(_, rest)| rest.split_once("\r\n")).expect("a boundary").0;
    let expected = format!(
        "Content-Type: multipart/mixed; boundary={boundary}\r\nMime-Version: 1.0\r\nSubject: attached\r\n\r\n\
         --{boundary}\r\nContent-Type: text/plain\r\nContent-Transfer-Encoding: 8bit\r\n\r\n\
         {text}\r\n\
         --{boundary}\r\nContent-Disposition: attachment; name=\"a\"; filename=\"all.bin\"\r\n\
         Content-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n\r\n\
         {attached}\r\n\
         --{boundary}--\r\n",
        text = str::from_utf8(contents::DOTS).unwrap(),
        attached = contents::base64(&contents::attachment()),
    );
    assert_mail(&mail, SENDER, &[RECIPIENT], expected.as_bytes());
    assert_nothing_received(&inbox);
}

#[test]
fn two_messages_on_one_connection() {
    let inbox = inbox();
    let Some(mut curl) = curl_to(inbox.local_addr(), SENDER, &[RECIPIENT]) else {
        return;
    };
    let (first, second) = (file(contents::DOTS), file(contents::UTF8));
    curl.arg("--upload-file").arg(first.path()).arg("--upload-file").arg(second.path());
    support::run(curl.arg(format!("smtp://{}/{CLIENT}", inbox.local_addr())), b"").succeeded();
    let (first, second) = (receive(&inbox), receive(&inbox));
    assert_mail(&first, SENDER, &[RECIPIENT], contents::DOTS);
    assert_mail(&second, SENDER, &[RECIPIENT], contents::UTF8);
    assert_eq!(first.peer(), second.peer());
    assert_nothing_received(&inbox);
}

#[test]
fn refused_recipient() {
    let inbox = choosy_inbox();
    let to = ["no@refused.example", RECIPIENT];
    let Some(mut curl) = curl_to(inbox.local_addr(), SENDER, &to) else {
        return;
    };
    let refused = upload(&mut curl, contents::PLAIN);
    assert!(!refused.status.success() && refused.stderr.contains("RCPT failed: 550"), "{refused}");
    assert_nothing_received(&inbox);
}

#[test]
fn one_recipient_of_two_refused() {
    let inbox = choosy_inbox();
    let to = ["no@refused.example", RECIPIENT];
    let Some(mut curl) = curl_to(inbox.local_addr(), SENDER, &to) else {
        return;
    };
    upload(curl.arg("--mail-rcpt-allowfails"), contents::PLAIN).succeeded();
    assert_received(&inbox, contents::PLAIN);
}

#[test]
fn ipv6() {
    if !support::has_ipv6() {
        return;
    }
    let inbox = inbox_on_ipv6();
    let Some(mut curl) = curl_to(inbox.local_addr(), SENDER, &[RECIPIENT]) else {
        return;
    };
    upload(&mut curl, contents::DOTS).succeeded();
    let mail = assert_received(&inbox, contents::DOTS);
    assert!(mail.peer().ip().is_some_and(|ip| ip.is_ipv6()), "{}", mail.peer());
}

#[test]
fn unix_socket() {
    let server = inbox_on_unix_socket();
    let Some(mut curl) = curl("localhost") else { return };
    curl.arg("--unix-socket").arg::<&Path>(&server.path);
    upload(curl.args(["--mail-from", SENDER, "--mail-rcpt", RECIPIENT]), contents::DOTS).succeeded();
    let mail = assert_received(&server.inbox, contents::DOTS);
    assert!(matches!(mail.peer(), Endpoint::Unix(_)), "{}", mail.peer());
}
