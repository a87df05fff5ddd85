//! The example that examines a server, on this one and on one that keeps no promise.

#[expect(dead_code, reason = "its main is for the command line")]
#[path = "../../../examples/smtp_check/main.rs"]
mod smtp_check;

use std::net::{SocketAddr, TcpListener};
use std::thread;

use crate::support::nonconforming;
use crate::support::nonconforming::Flaws;
use crate::support::tls::Certificate;
use pillarbox::{Builder, Inbox, LineEnds, Server, Users};

fn inbox(builder: Builder) -> Inbox {
    builder.inbox("127.0.0.1:0").expect("a free port")
}

/// What it says of a server, and its exit code.
fn examine(server: SocketAddr, arguments: &[&str]) -> (u8, String) {
    let server = server.to_string();
    let arguments = [&server[..]].into_iter().chain(arguments.iter().copied()).map(str::to_owned);
    let mut out = Vec::new();
    let code = smtp_check::run(arguments, &mut out).expect("memory takes it");
    (code, String::from_utf8(out).expect("text"))
}

/// The checks with this verdict.
fn with<'a>(verdict: &str, report: &'a str) -> Vec<&'a str> {
    let names = report.lines().filter_map(|line| line.strip_prefix(verdict)?.strip_prefix("  "));
    names.map(|line| line.split("  ").next().expect("a name")).collect()
}

fn count(areas: &[&str]) -> usize {
    smtp_check::checks().iter().filter(|check| areas.iter().any(|area| check.name.starts_with(area))).count()
}

const TO_BOB: &[&str] = &["--rcpt", "bob@example.org"];

#[test]
fn a_server_with_everything_keeps_every_promise() {
    let users = Users::new().add("bob", "builder").expect("an entry");
    let builder = Server::builder().tls(Certificate::new().tls()).authenticator(users).data_size_limit(10_000);
    let inbox = inbox(builder.smtputf8(true));
    let (code, report) = examine(inbox.local_addr(), TO_BOB);
    assert_eq!((code, with("FAIL", &report), with("skip", &report)), (0, vec![], vec![]), "{report}");
    assert_eq!(with("pass", &report).len(), smtp_check::checks().len());
    assert!(inbox.try_iter().all(|mail| mail.recipients() == ["bob@example.org"] && mail.mail_from() == ""));
}

#[test]
fn what_a_plain_server_does_not_offer_is_skipped() {
    for line_ends in [LineEnds::Normalize, LineEnds::Reject] {
        let inbox = inbox(Server::builder().line_ends(line_ends));
        let (code, report) = examine(inbox.local_addr(), TO_BOB);
        let skipped = with("skip", &report);
        assert_eq!((code, skipped.len()), (0, count(&["starttls:", "auth:"])), "{report}");
        assert!(skipped.iter().all(|name| name.starts_with("starttls:") || name.starts_with("auth:")), "{report}");
        let summary = format!("\n{} passed, 0 failed, {} skipped\n", with("pass", &report).len(), skipped.len());
        assert!(report.ends_with(&summary), "{report}");
    }
}

#[test]
fn nobody_gets_a_message_unasked() {
    let inbox = inbox(Server::builder());
    let (code, report) = examine(inbox.local_addr(), &["--from", "probe@client.example"]);
    assert_eq!((code, with("FAIL", &report)), (0, vec![]), "{report}");
    assert!(report.contains("No message is sent") && report.contains("  needs --rcpt\n"), "{report}");
    let skipped = with("skip", &report);
    assert_eq!(skipped.iter().filter(|name| name.starts_with("smuggling:")).count(), count(&["smuggling:"]));
    assert!(inbox.is_empty());
}

#[test]
fn who_must_identify_first_is_no_reason_to_blame_the_server() {
    let users = Users::new().add("bob", "builder").expect("an entry");
    let certificate = Certificate::new();
    for builder in [
        Server::builder().authenticator(users).require_auth(true),
        Server::builder().tls(certificate.tls()).require_tls(true),
    ] {
        let inbox = inbox(builder);
        let (code, report) = examine(inbox.local_addr(), TO_BOB);
        assert_eq!((code, with("FAIL", &report)), (0, vec![]), "{report}");
        let skipped = report.lines().filter(|line| line.starts_with("skip") && line.contains(" 530 5.7.0 "));
        assert!(skipped.count() > count(&["smuggling:"]), "{report}");
        assert!(inbox.is_empty());
    }
}

#[test]
fn what_it_cannot_begin_with_is_told_apart() {
    let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port");
    for arguments in [
        &[][..],
        &["--rcpt"],
        &["localhost"],
        &["localhost:25", "localhost:26"],
        &["--nonsense"],
        &["localhost:25", "--rcpt", "a@b.example\r\nQUIT"],
        &[&free.to_string()],
    ] {
        let mut out = Vec::new();
        let code = smtp_check::run(arguments.iter().map(|argument| argument.to_string()), &mut out).expect("memory");
        assert_eq!((code, out.is_empty()), (2, false), "{arguments:?}");
    }
}

#[test]
fn each_check_finds_some_careless_server_out() {
    let certificate = Certificate::new();
    let examinations = [Flaws::EASY, Flaws::WILD, Flaws::CHATTY, Flaws::SULKY].map(|flaws| {
        let server = nonconforming::serve(&certificate, flaws);
        thread::spawn(move || examine(server, TO_BOB))
    });
    let reports = examinations.map(|examination| examination.join().expect("no panic"));
    assert_eq!(reports.each_ref().map(|(code, _)| *code), [1; 4]);
    let reports = reports.map(|(_, report)| report);
    let easy = with("FAIL", &reports[0]);
    for name in [
        "smuggling: LF.LF does not end data",
        "smuggling: LF.CRLF does not end data",
        "smuggling: CRLF.LF does not end data",
        "refusals: a message over the SIZE announced is read to its end",
        "chunks: BDAT before MAIL is read off",
        "chunks: 4294967300 octets are not a few",
        "starttls: a command injected is not run within TLS",
    ] {
        assert!(easy.contains(&name), "{name}\n{}", reports[0]);
    }
    let found = reports.each_ref().map(|report| with("FAIL", report)).concat();
    let names = smtp_check::checks().into_iter().map(|check| check.name);
    let rest: Vec<String> = names.filter(|name| !found.contains(&&name[..])).collect();
    assert_eq!(rest, [""; 0], "{}", reports.join("\n"));
}
