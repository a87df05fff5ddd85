//! Upstreams that stop, and ones that have much to say.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use pillarbox::handlers::{Mailman, Proxy};
use pillarbox::{Network, Server, Upstream};

use super::client::{Client, PATIENCE};
use super::{STRANGER, behind_proxy};
use crate::support::scripted::{Act, Scripted, say};
use crate::support::wait_until;

/// Much less than a test's patience, which is less than what a relay waits if nothing is said.
const SHORT: Duration = Duration::from_millis(300);

fn proxy(upstream: impl Into<Upstream>) -> Server {
    Server::builder().serve("127.0.0.1:0", Proxy::to(upstream)).unwrap()
}

/// Sends a message as far as it is let, and gives the last reply.
fn send(server: SocketAddr, content: &str) -> String {
    let mut client = Client::ehlo(server);
    for line in ["MAIL FROM:<a@client.example>", "RCPT TO:<b@example.org>", "DATA"] {
        let said = client.say(line);
        if !said.starts_with(['2', '3']) {
            return said;
        }
    }
    client.say(format!("{content}\r\n."))
}

/// `--timeout` is about clients alone: they waited for minutes behind an upstream that had stopped, at each of these steps.
#[test]
fn an_upstream_that_stops_is_a_4xx_at_whichever_step() {
    for stage in ["CONNECT", "EHLO", "STARTTLS", "MAIL", "RCPT", "DATA", "."] {
        if stage == "STARTTLS" && !cfg!(feature = "tls") {
            continue;
        }
        let upstream = Scripted::start(move |line| match line {
            _ if line.starts_with(stage) => Some(Act::Silence),
            _ if line.starts_with("EHLO") && stage == "STARTTLS" => Some(say("250-upstream.example\r\n250 STARTTLS")),
            _ => None,
        });
        let server = proxy(Upstream::from(upstream.address).timeout(SHORT));
        let said = send(server.local_addr(), "Subject: x\r\n\r\nbody");
        assert!(said.starts_with("451 4.4."), "{stage}: {said}");
        Client::ehlo(server.local_addr()).expect_in_step();
    }
}

#[cfg(feature = "tls")]
#[test]
fn so_it_is_within_a_handshake() {
    use pillarbox::UpstreamTls;
    let upstream = Scripted::start(|line| match line {
        _ if line.starts_with("EHLO") => Some(say("250-upstream.example\r\n250 STARTTLS")),
        "STARTTLS" => Some(Act::SayAndStop("220 go ahead\r\n".to_owned())),
        _ => None,
    });
    for tls in [UpstreamTls::WhenOffered, UpstreamTls::Required] {
        let server = proxy(Upstream::from(upstream.address).tls(tls).timeout(SHORT));
        let said = send(server.local_addr(), "Subject: x");
        assert!(said.starts_with("451 4."), "{said}");
    }
    assert!(!upstream.lines().iter().any(|line| line.starts_with("MAIL")));
}

#[test]
fn so_it_is_if_content_is_not_read() {
    let upstream = Scripted::start(|line| (line == "DATA").then(|| Act::SayAndStop("354 go ahead\r\n".to_owned())));
    let server = proxy(Upstream::from(upstream.address).timeout(SHORT));
    // More than any socket holds.
    let said = send(server.local_addr(), &format!("{}\r\n", "x".repeat(998)).repeat(20_000));
    assert!(said.starts_with("451 4.4.2"), "{said}");
}

#[test]
fn so_it_is_for_the_rest_of_an_lmtp_servers_verdicts() {
    let upstream = Scripted::start(|line| match line {
        "DATA" => Some(say("354 go ahead")),
        "." => Some(say("250 2.0.0 for the first")),
        _ => None,
    });
    let to = Upstream::from(upstream.address).lmtp().timeout(SHORT);
    let server = Server::builder().lmtp(true).serve("127.0.0.1:0", Proxy::to(to)).unwrap();
    let mut client = Client::connect(server.local_addr());
    client.expect("LHLO client.example", "250");
    client.expect("MAIL FROM:<a@client.example>", "250");
    client.expect("RCPT TO:<b@example.org>", "250");
    client.expect("RCPT TO:<c@example.org>", "250");
    client.expect("DATA", "354");
    client.expect("Subject: x\r\n.", "250 2.0.0 for the first");
    client.expect_reply("451 4.4.2");
}

/// Where nothing even takes a connection: its queue is full, and the network answers for nobody.
#[cfg(target_os = "linux")]
#[test]
fn so_it_is_if_no_connection_is_taken() {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    socket.listen(0).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    let connect = || std::net::TcpStream::connect_timeout(&address, Duration::from_millis(100));
    let taken: Vec<_> = std::iter::from_fn(|| connect().ok()).collect();
    assert!(!taken.is_empty());
    let server = proxy(Upstream::from(address).timeout(SHORT));
    assert_eq!(send(server.local_addr(), ""), "451 4.4.1 The next mail server does not answer");
}

/// One consumer serves all messages, but a message that waits for an upstream must not hold up the next.
#[test]
fn nobody_waits_behind_a_client_whose_upstream_has_stopped() {
    for stage in ["MAIL", "RCPT", "DATA", "."] {
        let is_first = AtomicBool::new(true);
        let upstream = Scripted::start(move |line| {
            (line.starts_with(stage) && is_first.swap(false, Ordering::Relaxed)).then_some(Act::Silence)
        });
        // Longer than this test may take.
        let server = proxy(Upstream::from(upstream.address).timeout(10 * PATIENCE));
        let mut first = Client::ehlo(server.local_addr());
        let lines = ["MAIL FROM:<a@client.example>", "RCPT TO:<b@example.org>", "DATA", "Subject: x\r\n."];
        let waits_at = match stage {
            "MAIL" => 0,
            "RCPT" => 1,
            _ => 3,
        };
        for line in &lines[..waits_at] {
            let said = first.say(line);
            assert!(said.starts_with(['2', '3']), "{said}");
        }
        first.send(format!("{}\r\n", lines[waits_at]));
        upstream.wait_for(stage);
        for _ in 0..3 {
            assert!(send(server.local_addr(), "Subject: y").starts_with("250"), "{stage}");
        }
    }
}

/// An upstream that does not answer has one client wait for it, and not all that come meanwhile.
#[test]
fn while_one_waits_for_a_silent_upstream_the_others_are_told_at_once() {
    let is_silent = Arc::new(AtomicBool::new(true));
    let silent = is_silent.clone();
    let upstream = Scripted::start(move |_| silent.load(Ordering::Relaxed).then_some(Act::Silence));
    let server = proxy(Upstream::from(upstream.address).timeout(Duration::from_secs(2)));
    let address = server.local_addr();
    assert!(send(address, "").starts_with("451 4.4."));
    // On a machine that is busy, the one may be done before the others come.
    let others_did_not_wait = || {
        let before = upstream.connections();
        let probe = thread::spawn(move || send(address, ""));
        wait_until("the upstream is not asked", || upstream.connections() > before);
        let said: Vec<String> = (0..20).map(|_| send(address, "")).collect();
        let asked = upstream.connections() - before;
        assert!(said.iter().all(|said| said.starts_with("451 4.4.")), "{said:?}");
        assert!(probe.join().unwrap().starts_with("451 4.4."));
        asked == 1
    };
    assert!((0..5).any(|_| others_did_not_wait()));
    // It is known to be back at once.
    is_silent.store(false, Ordering::Relaxed);
    assert!(send(address, "Subject: x").starts_with("250"));
}

/// Each of many recipients waited by itself for an upstream that never answered the first.
#[test]
fn a_client_waits_once_for_a_silent_upstream_however_many_recipients_it_names() {
    let upstream = Scripted::start(|_| Some(Act::Silence));
    let handler = Proxy::to(Upstream::from(upstream.address).timeout(SHORT)).to_domains(["listed.example"]);
    let server = Server::builder().proxy_protocol(Network::loopback()).max_errors(None).serve("127.0.0.1:0", handler);
    let server = server.unwrap();
    let mut client = behind_proxy(server.local_addr(), STRANGER);
    client.expect("MAIL FROM:<a@client.example>", "250");
    client.send("RCPT TO:<u@listed.example>\r\n".repeat(500));
    for _ in 0..500 {
        client.expect_reply("451 4.4.");
    }
    assert_eq!(upstream.connections(), 1);
}

#[test]
fn so_it_does_for_a_silent_mailman() {
    let (lists, others) = (Scripted::start(|_| Some(Act::Silence)), Scripted::start(|_| None));
    let handler = Mailman::at(Upstream::from(lists.address).timeout(SHORT), Proxy::to(others.address));
    let server = Server::builder().max_errors(None).serve("127.0.0.1:0", handler).unwrap();
    let mut client = Client::ehlo(server.local_addr());
    client.expect("MAIL FROM:<a@client.example>", "250");
    client.send("RCPT TO:<u@lists.example>\r\n".repeat(500));
    for _ in 0..500 {
        client.expect_reply("451 4.4.");
    }
    assert_eq!((lists.connections(), others.connections()), (1, 0));
}

/// Of connections that were kept, each was tried in turn, and each for the whole time.
#[test]
fn of_kept_connections_one_is_waited_for() {
    let is_silent = Arc::new(AtomicBool::new(false));
    let silent = is_silent.clone();
    let upstream = Scripted::start(move |_| silent.load(Ordering::Relaxed).then_some(Act::Silence));
    let server = proxy(Upstream::from(upstream.address).timeout(SHORT));
    let begun = || {
        let mut client = Client::ehlo(server.local_addr());
        client.expect("MAIL FROM:<a@client.example>", "250");
        client
    };
    let mut clients: Vec<Client> = (0..8).map(|_| begun()).collect();
    assert_eq!(upstream.connections(), 8);
    clients.iter_mut().for_each(|client| drop(client.expect("RSET", "250")));
    is_silent.store(true, Ordering::Relaxed);
    assert!(send(server.local_addr(), "").starts_with("451 4.4.2"));
    assert_eq!(upstream.lines().iter().filter(|line| *line == "RSET").count(), 1);
    is_silent.store(false, Ordering::Relaxed);
    assert!(send(server.local_addr(), "Subject: x").starts_with("250"));
}

/// A real server that is stopped takes connections all the same, by its kernel.
#[cfg(all(unix, feature = "cli"))]
#[test]
fn a_postfix_that_is_stopped_and_goes_on() {
    use super::command::Running;
    use crate::support::postfix::Postfix;
    use nix::sys::signal::Signal;
    let Some(postfix) = Postfix::start("") else { return };
    let upstream = postfix.smtp().to_string();
    let relay = Running::start(&["-n", "-c", "PureProxy", "--upstream-timeout", "1", "127.0.0.1:0", &upstream]);
    let send = || {
        let mut client = Client::ehlo(relay.address());
        for line in ["MAIL FROM:<sender@client.example>", "RCPT TO:<a@upstream.example>", "DATA"] {
            let said = client.say(line);
            if said.starts_with('4') {
                return said;
            }
        }
        client.say("Subject: x\r\n\r\nbody\r\n.")
    };
    assert!(send().starts_with("250 "));
    postfix.signal(Signal::SIGSTOP);
    // Once over the connection that was kept, then over new ones.
    for _ in 0..3 {
        let said = send();
        assert!(said.starts_with("451 4.4."), "{said}");
    }
    postfix.signal(Signal::SIGCONT);
    assert!(send().starts_with("250 "));
    assert_eq!(postfix.delivered("a@upstream.example", 2).len(), 2);
}

/// A reply of 64 KiB was kept for each of a thousand recipients.
#[cfg(all(target_os = "linux", feature = "cli"))]
#[test]
fn a_long_reply_is_kept_once() {
    use super::command::Running;
    const RECIPIENTS: usize = 500;
    let text = format!("550-{}\r\n", "x".repeat(4000)).repeat(15) + "550 no\r\n";
    let octets = text.len() * RECIPIENTS;
    let upstream = Scripted::start(move |line| (line == ".").then(|| Act::Say(text.clone())));
    let address = upstream.address.to_string();
    // By LMTP it is said for each.
    let relay = Running::start(&["-n", "--lmtp", "-c", "PureProxy", "127.0.0.1:0", &address]);
    let peak = || 1024 * crate::support::process::status(relay.process.0.id(), "VmHWM");
    let mut client = Client::connect(relay.address());
    client.expect("LHLO client.example", "250");
    client.expect("MAIL FROM:<a@client.example>", "250");
    for _ in 0..RECIPIENTS {
        client.expect("RCPT TO:<b@example.org>", "250");
    }
    client.expect("DATA", "354");
    let before = peak();
    client.send("Subject: x\r\n.\r\n");
    let replies = (0..RECIPIENTS).map(|_| client.reply()).filter(|reply| reply.ends_with("\n550 5.0.0 no")).count();
    assert_eq!(replies, RECIPIENTS);
    let grown = peak() - before;
    assert!(grown < octets as u64 / 4, "{grown} of {octets}");
}

/// X-Peer tells the world the address of whoever submitted a message.
#[test]
fn a_relay_need_not_tell_the_submitters_address() {
    let upstream = Server::builder().inbox("127.0.0.1:0").unwrap();
    let lists = Server::builder().lmtp(true).inbox("127.0.0.1:0").unwrap();
    let silent = Proxy::to(upstream.local_addr()).x_peer(false);
    let server = Server::builder().serve("127.0.0.1:0", silent.clone()).unwrap();
    send(server.local_addr(), "Subject: x");
    let text = upstream.recv_timeout(PATIENCE).unwrap().text().unwrap();
    assert!(text.starts_with("Received: ") && text.ends_with("\nSubject: x\n") && !text.contains("X-Peer"), "{text}");
    let server = Server::builder().serve("127.0.0.1:0", Mailman::at(lists.local_addr(), silent)).unwrap();
    send(server.local_addr(), "Subject: x");
    let text = lists.recv_timeout(PATIENCE).unwrap().text().unwrap();
    assert!(text.starts_with("Received: ") && !text.contains("X-Peer"), "{text}");
}

#[cfg(feature = "cli")]
#[test]
fn nor_need_the_command() {
    use super::command::Running;
    let upstream = Server::builder().inbox("127.0.0.1:0").unwrap();
    let address = upstream.local_addr().to_string();
    for (options, is_told) in [(&["--no-x-peer"][..], false), (&[], true)] {
        let relay = Running::start(&[&["-n", "-c", "PureProxy"], options, &["127.0.0.1:0", &address]].concat());
        send(relay.address(), "Subject: x");
        let text = upstream.recv_timeout(PATIENCE).unwrap().text().unwrap();
        assert_eq!(text.contains("\nX-Peer: 127.0.0.1\n"), is_told, "{text}");
    }
}
