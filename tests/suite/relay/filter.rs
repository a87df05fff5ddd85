//! The example `filter` between two instances of Postfix: the first gives it each message before it has taken it
//! (SMTPD_PROXY_README), the second takes what comes through.
//!
//! Where Postfix or the right to start it is missing the tests say so and pass; with `TEST_PILLARBOX_REQUIRE_CLIENTS=1` in the
//! environment they fail instead.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crate::support::client::Client;
use crate::support::postfix::Postfix;
use crate::support::wait_until;

const EICAR: &str = r"X5O!P%@AP[4\PZX54(P^)7CC)7}$EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*";

struct Filter {
    process: Child,
    address: SocketAddr,
}

impl Filter {
    /// None if the example is not built.
    fn start(address: &str, next: SocketAddr) -> Option<Filter> {
        let mut command = crate::support::example("filter")?;
        command.args([address, &next.to_string()]).stdin(Stdio::null()).stderr(Stdio::piped());
        let mut process = command.spawn().expect("the example runs");
        let mut line = String::new();
        BufReader::new(process.stderr.take().expect("it is piped"))
            .read_line(&mut line)
            .expect("it says where it listens");
        let address = line.trim().strip_prefix("listening on ").and_then(|address| address.parse().ok());
        Some(Filter { process, address: address.unwrap_or_else(|| panic!("{line}")) })
    }

    /// SIGKILL, and another one in its place.
    fn replace(&mut self, next: SocketAddr) {
        self.process.kill().expect("it runs");
        self.process.wait().expect("our own child");
        let another = Filter::start(&self.address.to_string(), next).expect("it was there");
        // What is dropped is the one that is gone.
        drop(std::mem::replace(self, another));
    }
}

impl Drop for Filter {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

struct Setup {
    before: Postfix,
    filter: Filter,
    after: Postfix,
}

fn setup() -> Option<Setup> {
    let after = Postfix::start("smtpd_authorized_xforward_hosts = 127.0.0.0/8")?;
    let filter = Filter::start("127.0.0.1:0", after.smtp())?;
    let before = Postfix::start(&format!(
        "smtpd_proxy_filter = {}\nsmtpd_authorized_xclient_hosts = 127.0.0.0/8\nsmtpd_client_connection_count_limit = 0",
        filter.address
    ))?;
    Some(Setup { before, filter, after })
}

fn logs(setup: &Setup) -> String {
    format!("before:\n{}\nafter:\n{}", setup.before.log(), setup.after.log())
}

#[test]
fn a_header_is_added_and_the_log_behind_it_names_the_client() {
    let Some(setup) = setup() else { return };
    let mut client = Client::ehlo(setup.before.smtp());
    client.expect("XCLIENT NAME=spike.example ADDR=192.0.2.7 PORT=4025", "220 ");
    client.expect("EHLO client.example", "250");
    for subject in ["first", "second"] {
        client.expect("MAIL FROM:<sender@client.example> BODY=8BITMIME", "250");
        client.expect("RCPT TO:<a@upstream.example>", "250");
        client.expect("RCPT TO:<nobody@upstream.example>", "550");
        client.expect("DATA", "354");
        client.expect(format!("Subject: {subject}\r\n\r\nb\u{f6}dy\r\n..dot\r\n."), "250 2.0.0 Ok: queued as ");
    }
    let delivered = setup.after.delivered("a@upstream.example", 2);
    for message in delivered {
        let text = String::from_utf8_lossy(&message);
        let (head, body) = text.split_once("\n\n").expect("a head and a body");
        assert_eq!(head.matches("\nX-Filtered: clean\n").count(), 1, "{head}");
        assert_eq!(body, "b\u{f6}dy\n.dot\n");
    }
    setup.after.await_log(|log| log.matches("orig_client=spike.example[192.0.2.7]").count() == 2);
    assert!(!setup.before.log().contains("warning: "), "{}", logs(&setup));
}

#[test]
fn a_refusal_reaches_the_client_while_it_waits() {
    let Some(setup) = setup() else { return };
    let mut client = Client::ehlo(setup.before.smtp());
    // The client hears it from the filter, by single steps and pipelined, and goes on.
    for _ in 0..2 {
        client.expect("MAIL FROM:<sender@client.example>", "250");
        client.expect("RCPT TO:<a@upstream.example>", "250");
        client.expect("DATA", "354");
        let filler = "a line of no interest\r\n".repeat(5_000);
        client.expect(format!("Subject: a virus\r\n\r\n{filler}{EICAR}\r\n{filler}."), "554 5.7.1");
    }
    client.send("MAIL FROM:<sender@client.example>\r\nRCPT TO:<a@upstream.example>\r\nDATA\r\n");
    for reply in ["250", "250", "354"] {
        client.expect_reply(reply);
    }
    client.expect("Subject: clean\r\n\r\nbody\r\n.", "250");
    let delivered = setup.after.delivered("a@upstream.example", 1);
    assert!(String::from_utf8_lossy(&delivered[0]).contains("Subject: clean\n"));
    setup.before.await_log(|log| {
        let refused = log.lines().filter(|line| line.contains("proxy-reject: END-OF-MESSAGE: 554 5.7.1"));
        refused.filter(|line| line.contains("the message contains a virus")).count() == 2
            && log.matches("NOQUEUE: client=").count() == 3
    });
    // Nothing of it was queued, so there is nothing to be sent back.
    assert_eq!(setup.after.delivered("a@upstream.example", 1).len(), 1);
    assert!(!setup.after.log().contains("a virus"));
}

#[test]
fn nothing_is_lost_when_the_filter_is_killed() {
    const CLIENTS: usize = 4;
    const EACH: usize = 15;
    let Some(mut setup) = setup() else { return };
    let (smtp, next) = (setup.before.smtp(), setup.after.smtp());
    let accepted = AtomicUsize::new(0);
    let refused = AtomicUsize::new(0);
    thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|client| {
                let (accepted, refused) = (&accepted, &refused);
                scope.spawn(move || {
                    for n in 0..EACH {
                        while !try_send(smtp, &format!("{client}-{n}")) {
                            refused.fetch_add(1, Ordering::Relaxed);
                        }
                        accepted.fetch_add(1, Ordering::Relaxed);
                    }
                })
            })
            .collect();
        for at in [5, 20, 35] {
            wait_until("no message is accepted", || {
                accepted.load(Ordering::Relaxed) >= at || clients.iter().all(|client| client.is_finished())
            });
            setup.filter.replace(next);
        }
    });
    let sent: BTreeSet<String> =
        (0..CLIENTS).flat_map(|client| (0..EACH).map(move |n| format!("{client}-{n}"))).collect();
    // A message may come twice, if its acceptance was lost on the way.
    let mut wanted = sent.len();
    loop {
        let messages = setup.after.delivered("a@upstream.example", wanted);
        let arrived: BTreeSet<String> = messages.iter().map(|message| subject(message)).collect();
        if arrived == sent {
            break;
        }
        wanted = messages.len() + 1;
    }
    println!("{} refusals meanwhile", refused.load(Ordering::Relaxed));
}

fn subject(message: &[u8]) -> String {
    let text = String::from_utf8_lossy(message);
    let line = text.lines().find_map(|line| line.strip_prefix("Subject: "));
    assert!(text.contains("\nX-Filtered: clean\n") && text.ends_with("\nthe end\n"), "it is whole: {text}");
    line.expect("a subject").to_owned()
}

/// Whether a message was accepted: as a client does that comes again after a 4xx, or a connection that broke.
fn try_send(server: SocketAddr, subject: &str) -> bool {
    let mut client = Client::ehlo(server);
    for (line, reply) in [
        ("MAIL FROM:<sender@client.example>", "250"),
        ("RCPT TO:<a@upstream.example>", "250"),
        ("DATA", "354"),
        (&format!("Subject: {subject}\r\n\r\n{}the end\r\n.", "a line\r\n".repeat(200)), "250"),
    ] {
        let said = client.say(line);
        if !said.starts_with(reply) {
            assert!(!said.starts_with('5'), "a refusal for good: {said}");
            return false;
        }
    }
    true
}
