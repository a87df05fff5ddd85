//! Clients that a proxy speaks for without saying who they are.

use pillarbox::handlers::Proxy;
use pillarbox::{Endpoint, Inbox, Network, Server};

use super::behind_proxy;
use super::client::{Client, PATIENCE};

/// PROXY version 2: a command (0 LOCAL, 1 PROXY), a family and what follows.
fn v2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
    [&b"\r\n\r\n\0\r\nQUIT\n"[..], &[0x20 | command, family], &length, rest].concat()
}

/// Headers that name nobody.
fn anonymous() -> Vec<Vec<u8>> {
    let loopback = [127, 0, 0, 1, 127, 0, 0, 1, 0, 1, 0, 25];
    let mut path = [0; 216];
    path[..14].copy_from_slice(b"/run/smtp.sock");
    vec![
        b"PROXY UNKNOWN\r\n".to_vec(),
        b"PROXY UNKNOWN 127.0.0.1 127.0.0.1 1 25\r\n".to_vec(),
        v2(1, 0, b""),
        v2(1, 0, &loopback),
        v2(1, 0x31, &path),
        v2(0, 0, b""),
        v2(0, 0x11, &loopback),
        // An address that is no client's.
        b"PROXY TCP4 0.0.0.0 127.0.0.1 1 25\r\n".to_vec(),
        b"PROXY TCP6 :: ::1 1 25\r\n".to_vec(),
        b"PROXY TCP6 ::ffff:0.0.0.0 ::1 1 25\r\n".to_vec(),
    ]
}

fn inbox() -> Inbox {
    Server::builder().inbox("127.0.0.1:0").expect("a free port")
}

/// They counted as this machine, since the proxy is on it: a relay sent on for them to anybody.
#[test]
fn nobody_in_particular_is_trusted_by_no_list() {
    let upstream = inbox();
    // Lists that everybody is on who has an address, and where the proxy is.
    let networks = ["127.0.0.0/8", "0.0.0.0/0", "::/0"].map(|network| network.parse::<Network>().unwrap());
    let proxy = Proxy::to(upstream.local_addr()).from_networks(networks).to_domains(["listed.example"]);
    let server = Server::builder().proxy_protocol(Network::loopback()).serve("127.0.0.1:0", proxy).unwrap();
    for header in anonymous() {
        let shown = header.escape_ascii();
        let mut client = behind_proxy(server.local_addr(), &header);
        client.expect("MAIL FROM:<sender@client.example>", "250");
        assert_eq!(client.say("RCPT TO:<victim@victim.example>"), "550 5.7.1 Relaying denied", "{shown}");
        client.expect("RCPT TO:<u%victim.example@listed.example>", "550 5.7.1");
        client.expect("RCPT TO:<u@listed.example>", "250");
        client.expect("DATA", "354");
        client.expect("Subject: x\r\n\r\nbody\r\n.", "250");
        let text = upstream.recv_timeout(PATIENCE).unwrap().text().unwrap();
        // Nothing of the proxy's own is told as the client's.
        assert!(text.starts_with("Received: from client.example (unknown)\n\tby "), "{shown}: {text}");
        assert!(text.contains("\nX-Peer: unknown\nSubject: x\n"), "{shown}: {text}");
    }
    // Whom it names is on the lists.
    let mut client = behind_proxy(server.local_addr(), "PROXY TCP4 203.0.113.9 127.0.0.1 1 25\r\n");
    client.expect("MAIL FROM:<sender@client.example>", "250");
    client.expect("RCPT TO:<victim@victim.example>", "250");
}

/// On this machine a password may be shown in clear; who is nobody is not on it.
#[cfg(feature = "auth")]
#[test]
fn nobody_in_particular_shows_no_password_in_clear() {
    let check = |user: &str, password: &str| user == "bob" && password == "secret";
    let builder = Server::builder().proxy_protocol(Network::loopback()).xclient(Network::loopback());
    let inbox = builder.authenticator(check).inbox("127.0.0.1:0").unwrap();
    for header in anonymous() {
        let mut client = Client::raw(inbox.local_addr());
        client.send(&header);
        client.expect_reply("220 ");
        let said = client.say("EHLO client.example");
        assert!(!said.contains("AUTH") && !said.contains("XCLIENT"), "{}: {said}", header.escape_ascii());
        client.expect("AUTH PLAIN AGJvYgBzZWNyZXQ=", "538 5.7.11");
        client.expect("XCLIENT ADDR=127.0.0.1", "502 5.5.1");
    }
    let mut client = Client::raw(inbox.local_addr());
    client.send("PROXY TCP4 127.0.0.1 127.0.0.1 1 25\r\n");
    client.expect_reply("220 ");
    assert!(client.say("EHLO client.example").contains("AUTH PLAIN"));
}

/// A limit for each address is none for all who have none.
#[test]
fn nobody_in_particular_is_not_one_address() {
    let builder = Server::builder().proxy_protocol(Network::loopback());
    let inbox = builder.max_connections_per_address(1).max_connections_per_network(1).inbox("127.0.0.1:0").unwrap();
    let clients: Vec<Client> = anonymous().iter().map(|header| behind_proxy(inbox.local_addr(), header)).collect();
    assert_eq!(clients.len(), anonymous().len());
}

/// XCLIENT says of a client that its address is not known: it was 0.0.0.0, which `0.0.0.0/0` trusts.
#[test]
fn whose_address_a_filter_does_not_know_is_nobody() {
    let upstream = inbox();
    let networks = ["0.0.0.0/0", "::/0"].map(|network| network.parse::<Network>().unwrap());
    let proxy = Proxy::to(upstream.local_addr()).from_networks(networks);
    let server = Server::builder().xclient(Network::loopback()).serve("127.0.0.1:0", proxy).unwrap();
    for told in [
        "ADDR=[UNAVAILABLE]",
        "ADDR=[TEMPUNAVAIL] PORT=25",
        "addr=[unavailable] HELO=a.example",
        "ADDR=0.0.0.0",
        "ADDR=IPV6:::",
    ] {
        let mut client = Client::ehlo(server.local_addr());
        client.expect(format!("XCLIENT {told}"), "220 ");
        client.expect("EHLO filter.example", "250");
        client.expect("MAIL FROM:<sender@client.example>", "250");
        client.expect("RCPT TO:<victim@victim.example>", "550 5.7.1");
        // A port alone does not make it somebody.
        client.expect("RSET", "250");
        client.expect("XCLIENT PORT=99", "220 ");
        client.expect("EHLO filter.example", "250");
        client.expect("MAIL FROM:<sender@client.example>", "250");
        client.expect("RCPT TO:<victim@victim.example>", "550 5.7.1");
    }
}

/// HAProxy says UNKNOWN, or AF_UNIX, of clients that reach it by a Unix socket.
#[cfg(unix)]
#[test]
fn haproxys_clients_by_a_unix_socket_are_nobody() {
    use crate::support::wait_for;
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;
    use std::process::{Child, Command, Stdio};

    struct Killed(Child);
    impl Drop for Killed {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    let Some(program) = crate::support::program("haproxy") else { return };
    for send in ["send-proxy", "send-proxy-v2"] {
        let inbox = Server::builder().proxy_protocol(Network::loopback()).inbox("127.0.0.1:0").unwrap();
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("smtp.sock");
        let config = format!(
            "defaults\n mode tcp\n timeout connect 10s\n timeout client 30s\n timeout server 30s\n\
             listen smtp\n bind unix@{}\n server pillarbox {} {send}\n",
            socket.display(),
            inbox.local_addr()
        );
        let mut command = Command::new(&program);
        command.args(["-db", "-f", "/dev/stdin"]).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut haproxy = Killed(command.spawn().expect("haproxy starts"));
        haproxy.0.stdin.take().expect("piped").write_all(config.as_bytes()).expect("haproxy reads");
        let mut client = wait_for(|| UnixStream::connect(&socket));
        let commands =
            "EHLO client.example\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nDATA\r\nx\r\n.\r\nQUIT\r\n";
        client.write_all(commands.as_bytes()).expect("haproxy reads");
        let mut said = String::new();
        client.read_to_string(&mut said).expect("text");
        assert!(said.ends_with("221 2.0.0 Bye\r\n"), "{send}: {said}");
        assert_eq!(*inbox.recv_timeout(PATIENCE).unwrap().peer(), Endpoint::Unknown, "{send}");
    }
}
