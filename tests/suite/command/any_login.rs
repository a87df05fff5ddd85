//! `--accept-any-login` and `--clear-text-auth`.

use base64ct::{Base64, Encoding};

use crate::support::client::Client;
use crate::support::command::Running;

const FROM_ELSEWHERE: &str = "PROXY TCP4 203.0.113.9 198.51.100.2 40000 25\r\n";

/// A client of another host, past EHLO; and what the server offered it.
fn elsewhere(server: &Running) -> (Client, String) {
    let mut client = Client::raw(server.address());
    client.send(FROM_ELSEWHERE);
    client.expect_reply("220 ");
    let offered = client.say("EHLO client.example");
    (client, offered)
}

fn start(options: &[&str]) -> Running {
    Running::start(&[&["-n", "--proxy-protocol"], options, &["127.0.0.1:0"]].concat())
}

fn encoded(octets: impl AsRef<[u8]>) -> String {
    Base64::encode_string(octets.as_ref())
}

#[test]
fn every_mechanism_that_needs_no_password_of_ours_takes_anybody() {
    let server = start(&["--accept-any-login", "--require-auth", "-c", "Sink"]);
    let (mut client, offered) = elsewhere(&server);
    assert!(offered.contains("AUTH PLAIN LOGIN CRAM-MD5 XOAUTH2 OAUTHBEARER\n"), "{offered}");
    client.expect("MAIL FROM:<>", "530 5.7.0");
    client.expect("AUTH SCRAM-SHA-256", "504 5.5.4");
    let long = "x".repeat(9000);
    for (begin, answers) in [
        (format!("AUTH PLAIN {}", encoded("\0bob\0builder")), vec![]),
        (format!("AUTH PLAIN {}", encoded("\0bob\0")), vec![]),
        (format!("AUTH PLAIN {}", encoded("\0\0")), vec![]),
        (format!("AUTH PLAIN {}", encoded(b"alice\0\xff\r\n\x07\0\xfe")), vec![]),
        ("AUTH PLAIN".to_owned(), vec![encoded(format!("\0bob\0{}", &long[..8000]))]),
        ("AUTH LOGIN".to_owned(), vec![encoded("bob"), encoded("builder")]),
        ("AUTH LOGIN".to_owned(), vec![encoded(""), encoded("")]),
        (format!("AUTH LOGIN {}", encoded("bob")), vec![encoded(&long)]),
        ("AUTH CRAM-MD5".to_owned(), vec![encoded("bob 0123456789abcdef0123456789abcdef")]),
        ("AUTH CRAM-MD5".to_owned(), vec![encoded("bob the builder x")]),
        (format!("AUTH XOAUTH2 {}", encoded("user=bob\x01auth=Bearer x\x01\x01")), vec![]),
        (format!("AUTH OAUTHBEARER {}", encoded("n,a=bob,\x01auth=Bearer x\x01\x01")), vec![]),
        (format!("AUTH OAUTHBEARER {}", encoded("n,,\x01auth=Bearer x\x01\x01")), vec![]),
    ] {
        let (mut client, _) = elsewhere(&server);
        let mut reply = client.say(&begin);
        for answer in answers {
            assert!(reply.starts_with("334 "), "{begin}: {reply}");
            reply = client.say(answer);
        }
        assert!(reply.starts_with("235 2.7.0"), "{begin}: {reply}");
        client.expect("MAIL FROM:<>", "250");
    }
    // What is no message of the mechanism at all is a fault of the client that its author wants to know.
    for wrong in ["AUTH PLAIN Ym9i", "AUTH XOAUTH2 Ym9i", "AUTH PLAIN ???"] {
        elsewhere(&server).0.expect(wrong, "501 5.5.2");
    }
    // As clients expect it who look at what they are asked.
    let (mut client, _) = elsewhere(&server);
    assert_eq!(client.say("AUTH LOGIN").trim_end(), format!("334 {}", encoded("Username:")));
    assert_eq!(client.say(encoded("bob")).trim_end(), format!("334 {}", encoded("Password:")));
}

#[test]
fn a_listener_without_logins_stays_so() {
    let server = Running::start(&["-n", "-c", "Sink", "--accept-any-login", "127.0.0.1:0,no-auth"]);
    let mut client = Client::ehlo(server.address());
    client.expect("AUTH PLAIN AGJvYgBidWlsZGVy", "502 5.5.1");
}

#[test]
fn users_may_log_in_in_clear_if_that_is_allowed() {
    let users = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(users.path(), "bob:builder\n").expect("room");
    let file = users.path().to_str().expect("text");
    let server = start(&["-c", "Sink", "--users", file]);
    let (mut client, offered) = elsewhere(&server);
    assert!(offered.contains("AUTH SCRAM-SHA-256\n"), "{offered}");
    client.expect("AUTH PLAIN AGJvYgBidWlsZGVy", "538 5.7.11");
    let server = start(&["-c", "Sink", "--users", file, "--clear-text-auth"]);
    let (mut client, offered) = elsewhere(&server);
    assert!(offered.contains("AUTH SCRAM-SHA-256 PLAIN LOGIN\n"), "{offered}");
    client.expect(format!("AUTH PLAIN {}", encoded("\0bob\0wrong")), "535 5.7.8");
    client.expect("AUTH PLAIN AGJvYgBidWlsZGVy", "235 2.7.0");
}
