//! swaks sends a file with its line ends made CRLF, dots doubled (but on the very first line), and CRLF added at the end
//! whether there is one or not. It knows no SIZE, BODY or SMTPUTF8.

use std::process::Command;

use pillarbox::{Endpoint, Protocol};

use super::{CLIENT, RECIPIENT, SENDER, contents};
use super::{
    assert_mail, assert_nothing_received, assert_received, assert_received_from, builder, choosy_inbox, file,
    hundred_recipients, inbox, inbox_on_ipv6, inbox_on_unix_socket, receive, utf8,
};
use crate::support::{self, Finished};

fn swaks(from: &str, to: &str) -> Option<Command> {
    let mut swaks = Command::new(support::program("swaks")?);
    // --config without a file: no ~/.swaksrc.
    swaks.args(["--config", "--ehlo", CLIENT, "--from", from, "--to", to, "--timeout", "60"]);
    Some(swaks)
}

fn data(swaks: &mut Command, content: &[u8]) -> Finished {
    let file = file(content);
    support::run(swaks.args(["--data", &format!("@{}", utf8(file.path()))]), b"")
}

#[track_caller]
fn arrives(content: &[u8]) {
    let inbox = inbox();
    let Some(mut swaks) = swaks(SENDER, RECIPIENT) else {
        return;
    };
    data(swaks.args(["--server", &inbox.local_addr().to_string()]), content).succeeded();
    let mail = assert_received(&inbox, &contents::with_crlf(content));
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

/// An empty line is the least that swaks can be brought to send: as it is, the file is the whole of what follows the 354.
#[test]
fn empty_line() {
    let inbox = inbox();
    let Some(mut swaks) = swaks(SENDER, RECIPIENT) else {
        return;
    };
    swaks.args(["--server", &inbox.local_addr().to_string(), "--no-data-fixup"]);
    data(&mut swaks, b"\r\n.").succeeded();
    assert_received(&inbox, b"\r\n");
}

/// The commands up to DATA go out in one go, and the answers come back in one.
#[test]
fn pipelining() {
    let inbox = inbox();
    let (first, second) = (RECIPIENT, "another@example.org");
    let Some(mut swaks) = swaks(SENDER, &format!("{first},{second}")) else {
        return;
    };
    swaks.args(["--server", &inbox.local_addr().to_string(), "--pipeline"]);
    let said = data(&mut swaks, contents::DOTS).succeeded().stdout;
    let commands =
        format!(" -> MAIL FROM:<{SENDER}>\n -> RCPT TO:<{first}>\n -> RCPT TO:<{second}>\n -> DATA\n<-  250 ");
    assert!(said.contains(&commands), "{said}");
    assert_received_from(&inbox, SENDER, &[first, second], &contents::with_crlf(contents::DOTS));
}

#[test]
fn pipelining_with_a_refused_recipient() {
    let inbox = choosy_inbox();
    let Some(mut swaks) = swaks(SENDER, &format!("no@refused.example,{RECIPIENT}")) else {
        return;
    };
    swaks.args(["--server", &inbox.local_addr().to_string(), "--pipeline"]);
    let said = data(&mut swaks, contents::DOTS).succeeded().stdout;
    assert!(said.contains("<** 550 5.7.1 relaying denied\n"), "{said}");
    assert_received(&inbox, &contents::with_crlf(contents::DOTS));
}

/// With nobody to receive it, the DATA that was sent along is refused, and the QUIT after it is a command, not a message.
#[test]
fn pipelining_with_no_recipient_left() {
    let inbox = choosy_inbox();
    let Some(mut swaks) = swaks(SENDER, "no@refused.example,nor@refused.example") else {
        return;
    };
    swaks.args(["--server", &inbox.local_addr().to_string(), "--pipeline"]);
    let said = data(&mut swaks, contents::DOTS).exited(24).stdout;
    assert!(said.contains("<** 503 5.5.1 ") && said.contains(" -> QUIT\n<-  221 2.0.0 "), "{said}");
    assert_nothing_received(&inbox);
}

/// Without SIZE the server finds out at the end of the content, and the conversation goes on in step.
#[test]
fn too_big() {
    let inbox = builder().data_size_limit(1000).inbox("127.0.0.1:0").expect("a free port");
    let Some(mut swaks) = swaks(SENDER, RECIPIENT) else {
        return;
    };
    swaks.args(["--server", &inbox.local_addr().to_string()]);
    let said = data(&mut swaks, &contents::long_line()).exited(26).stdout;
    assert!(said.contains("<** 552 5.3.4 ") && said.contains(" -> QUIT\n<-  221 2.0.0 "), "{said}");
    assert_nothing_received(&inbox);
}

/// swaks sends UTF-8 addresses without asking for SMTPUTF8, which RFC 6531 section 3.4 does not allow.
#[test]
fn utf8_address_without_smtputf8() {
    let inbox = inbox();
    let Some(mut swaks) = swaks("\u{fc}ser@example.org", RECIPIENT) else {
        return;
    };
    swaks.args(["--server", &inbox.local_addr().to_string()]);
    let said = data(&mut swaks, contents::PLAIN).exited(23).stdout;
    assert!(said.contains("<** 553 5.6.7 "), "{said}");
    assert_nothing_received(&inbox);
}

#[test]
fn helo() {
    let inbox = inbox();
    let Some(mut swaks) = swaks(SENDER, RECIPIENT) else {
        return;
    };
    swaks.args(["--server", &inbox.local_addr().to_string(), "--protocol", "SMTP"]);
    data(&mut swaks, contents::DOTS).succeeded();
    let mail = assert_received(&inbox, &contents::with_crlf(contents::DOTS));
    assert_eq!(mail.protocol(), Protocol::Smtp);
}

#[test]
fn null_reverse_path() {
    let inbox = inbox();
    let Some(mut swaks) = swaks("<>", RECIPIENT) else {
        return;
    };
    data(swaks.args(["--server", &inbox.local_addr().to_string()]), contents::PLAIN).succeeded();
    assert_received_from(&inbox, "", &[RECIPIENT], &contents::with_crlf(contents::PLAIN));
}

#[test]
fn a_hundred_recipients() {
    let inbox = inbox();
    let to = hundred_recipients();
    let Some(mut swaks) = swaks(SENDER, &to.join(",")) else {
        return;
    };
    data(swaks.args(["--server", &inbox.local_addr().to_string(), "--pipeline"]), contents::PLAIN).succeeded();
    let to: Vec<&str> = to.iter().map(String::as_str).collect();
    assert_received_from(&inbox, SENDER, &to, &contents::with_crlf(contents::PLAIN));
}

#[test]
fn attachment() {
    let inbox = inbox();
    let Some(mut swaks) = swaks(SENDER, RECIPIENT) else {
        return;
    };
    let attached = file(&contents::attachment());
    swaks.args(["--server", &inbox.local_addr().to_string(), "--pipeline"]);
    for header in ["Date: Thu, 01 Jan 1970 00:00:00 +0000", "Subject: attached", "Message-Id: <1@x>", "X-Mailer: swaks"]
    {
        swaks.args(["--header", header]);
    }
    swaks.args(["--attach-type", "text/plain", "--attach-body", ".one\r\n\r\n..two"]);
    swaks.args(["--attach-name", "all.bin", "--attach", &format!("@{}", utf8(attached.path()))]);
    support::run(&mut swaks, b"").succeeded();

    let mail = receive(&inbox);
    // The boundary has the process's number in it; all else is known.
    let text = String::from_utf8(mail.bytes().unwrap().into_owned()).expect("MIME in ASCII");
    let boundary = text.split_once("boundary=\"").and_then(|(_, rest)| rest.split_once('"')).expect("a boundary").0;
    let expected = format!(
        "Date: Thu, 01 Jan 1970 00:00:00 +0000\r\nTo: {RECIPIENT}\r\nFrom: {SENDER}\r\nSubject: attached\r\n\
         Message-Id: <1@x>\r\nX-Mailer: swaks\r\nMIME-Version: 1.0\r\n\
         Content-Type: multipart/mixed; boundary=\"{boundary}\"\r\n\r\n\
         --{boundary}\r\nContent-Type: text/plain\r\n\r\n.one\r\n\r\n..two\r\n\
         --{boundary}\r\nContent-Type: application/octet-stream; name=\"all.bin\"\r\n\
         Content-Description: all.bin\r\nContent-Disposition: attachment; filename=\"all.bin\"\r\n\
         Content-Transfer-Encoding: BASE64\r\n\r\n{attached}\r\n\r\n\
         --{boundary}--\r\n\r\n\r\n",
        attached = contents::base64(&contents::attachment()),
    );
    assert_mail(&mail, SENDER, &[RECIPIENT], expected.as_bytes());
    assert_nothing_received(&inbox);
}

#[test]
fn ipv6() {
    if !support::has_ipv6() {
        return;
    }
    let inbox = inbox_on_ipv6();
    let Some(mut swaks) = swaks(SENDER, RECIPIENT) else {
        return;
    };
    let able = support::run(Command::new(swaks.get_program()).arg("--support"), b"");
    if !able.stdout.contains("=== IPv6 supported") {
        return support::missing("swaks lacks the Perl module IO::Socket::INET6");
    }
    data(swaks.args(["--server", &inbox.local_addr().to_string()]), contents::DOTS).succeeded();
    let mail = assert_received(&inbox, &contents::with_crlf(contents::DOTS));
    assert!(mail.peer().ip().is_some_and(|ip| ip.is_ipv6()), "{}", mail.peer());
}

#[test]
fn unix_socket() {
    let server = inbox_on_unix_socket();
    let Some(mut swaks) = swaks(SENDER, RECIPIENT) else {
        return;
    };
    data(swaks.arg("--socket").arg(&server.path), contents::DOTS).succeeded();
    let mail = assert_received(&server.inbox, &contents::with_crlf(contents::DOTS));
    assert!(matches!(mail.peer(), Endpoint::Unix(_)), "{}", mail.peer());
}
