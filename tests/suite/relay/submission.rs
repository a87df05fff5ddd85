//! The example of a submission server in front of a real Postfix: a sender is who has logged in, and the header that says so is
//! before the message.

/// The program's own tests.
#[path = "../../../examples/submission.rs"]
#[expect(dead_code, reason = "it is run as a program of its own")]
mod program;

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Stdio};

use crate::support::client::Client;
use crate::support::example;
use crate::support::postfix::Postfix;

/// bob@client.example, "builder".
const BOB: &str = "AGJvYkBjbGllbnQuZXhhbXBsZQBidWlsZGVy";

struct Submission(Child, SocketAddr);

impl Drop for Submission {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(upstream: SocketAddr, users: &std::path::Path) -> Option<Submission> {
    let mut command = example("submission")?;
    command.arg("127.0.0.1:0").arg(upstream.to_string()).arg(users).stdin(Stdio::null()).stderr(Stdio::piped());
    let mut process = command.spawn().expect("the example runs");
    let mut line = String::new();
    BufReader::new(process.stderr.take().expect("piped")).read_line(&mut line).expect("text");
    let address = line.trim_end().strip_prefix("listening on ").unwrap_or_else(|| panic!("{line}"));
    let address = address.parse().expect("an address");
    Some(Submission(process, address))
}

#[test]
fn a_submission_goes_on_to_postfix() {
    let Some(postfix) = Postfix::start("") else { return };
    let folder = tempfile::tempdir().unwrap();
    let users = folder.path().join("users");
    fs::write(&users, "bob@client.example:builder\n").unwrap();
    let Some(Submission(_, address)) = &start(postfix.smtp(), &users) else { return };
    let mut client = Client::ehlo(*address);
    client.expect("MAIL FROM:<bob@client.example>", "530 5.7.0");
    client.expect(format!("AUTH PLAIN {BOB}"), "235 2.7.0");
    client.expect("MAIL FROM:<carol@client.example>", "553 5.7.1");
    client.expect("MAIL FROM:<>", "553 5.7.1");
    client.expect("MAIL FROM:<bob@client.example> BODY=8BITMIME", "250");
    // Postfix's own words, while the client can still do without.
    client.expect("RCPT TO:<nobody@upstream.example>", "550 5.1.1");
    client.expect("RCPT TO:<a@upstream.example>", "250");
    client.expect("DATA", "354");
    client.expect("X-Submitted-By: eve@client.example\r\nSubject: x\r\n\r\ngr\u{fc}n\r\n..dot\r\n.", "250");
    let [message] = &postfix.delivered("a@upstream.example", 1)[..] else { panic!("more than one") };
    let message = String::from_utf8(message.clone()).unwrap();
    let ours = message.find("\nX-Submitted-By: bob@client.example\n").unwrap_or_else(|| panic!("{message}"));
    let received = message.find(" with ESMTPA id ").unwrap_or_else(|| panic!("{message}"));
    let theirs = message.find("\nX-Submitted-By: eve@client.example\n").unwrap_or_else(|| panic!("{message}"));
    assert!(received < ours && ours < theirs, "{message}");
    assert!(message.ends_with("\n\ngr\u{fc}n\n.dot\n"), "{message}");
}
