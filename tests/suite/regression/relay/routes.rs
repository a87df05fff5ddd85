//! Recipients whose local part names the way on, after the relay has looked at the domain alone.

use pillarbox::handlers::{Mailman, Proxy};
use pillarbox::{Builder, Inbox, Network, Server};

use super::client::{Client, PATIENCE};
use super::{STRANGER, behind_proxy};

const DENIED: &str = "550 5.7.1 Relaying denied";

/// What a server that trusts the relay may send on to `victim.example`.
const ROUTES: [&str; 22] = [
    "victim%victim.example@listed.example",
    "\"u@victim.example\"@listed.example",
    "victim.example!u@listed.example",
    "\"@victim.example:u@x.example\"@listed.example",
    // The same said otherwise.
    "\"u\\@victim.example\"@listed.example",
    "\"u\\\\@victim.example\"@listed.example",
    "\"\\\"u@victim.example\\\"\"@listed.example",
    "\"victim%victim.example\"@listed.example",
    "\"victim\\%victim.example\"@LISTED.Example",
    "victim%victim.example%x.example@listed.example",
    "victim%25victim.example@listed.example",
    "u%40victim.example@listed.example",
    "x.example!victim.example!u@listed.example",
    "\"victim.example!u\"@listed.example",
    "\"victim.example\\!u\"@listed.example",
    "victim.example!u%x.example@listed.example",
    "\"victim.example::u\"@listed.example",
    "\"u victim\\@victim.example\"@listed.example",
    "+u%victim.example@listed.example",
    "u+tag%victim.example@listed.example",
    "%victim.example@listed.example",
    "victim.example!@listed.example",
];

/// The same in characters that some programs make the ASCII ones of.
const LOOKALIKES: [&str; 6] = [
    "u\u{ff05}victim.example@listed.example",
    "u\u{ff20}victim.example@listed.example",
    "u\u{fe6b}victim.example@listed.example",
    "u\u{fe6a}victim.example@listed.example",
    "victim.example\u{ff01}u@listed.example",
    "\"\u{ff20}victim.example\u{ff1a}u\"@listed.example",
];

fn inbox() -> Inbox {
    Server::builder().smtputf8(true).inbox("127.0.0.1:0").expect("a free port")
}

fn builder() -> Builder {
    Server::builder().smtputf8(true).proxy_protocol(Network::loopback())
}

fn begun(server: &Server, header: &str) -> Client {
    let mut client = behind_proxy(server.local_addr(), header);
    client.expect("MAIL FROM:<sender@client.example> SMTPUTF8", "250");
    client
}

fn finish(client: &mut Client) {
    client.expect("DATA", "354");
    client.expect("Subject: x\r\n\r\nbody\r\n.", "250");
}

/// A relay that listed one domain was open to the world by this: Postfix, Sendmail and Exim follow such local parts for
/// whoever may relay through them.
#[test]
fn a_strangers_local_part_with_a_route_is_not_relayed() {
    let upstream = inbox();
    let proxy = Proxy::to(upstream.local_addr()).to_domains(["listed.example"]);
    let server = builder().serve("127.0.0.1:0", proxy).unwrap();
    let mut client = begun(&server, STRANGER);
    for (n, to) in ROUTES.iter().chain(&LOOKALIKES).enumerate() {
        assert_eq!(client.say(format!("RCPT TO:<{to}>")), DENIED, "{to}");
        // Errors are counted, up to a message.
        if n % 10 == 9 {
            client = begun(&server, STRANGER);
        }
    }
    // Local parts that only look odd are nobody's but the listed domain's.
    let plain = [
        "u@listed.example",
        "u+tag@listed.example",
        "u/dept/c=de@listed.example",
        "|u@listed.example",
        "u=victim.example@listed.example",
        "\"u v\"@listed.example",
        "\"u\\+v\"@listed.example",
        "gr\u{fc}n@Listed.EXAMPLE",
        "<@a.example,@b.example:u@listed.example>",
        "<Postmaster>",
    ];
    for to in plain {
        let to = if to.starts_with('<') { to.to_owned() } else { format!("<{to}>") };
        client.expect(format!("RCPT TO:{to}"), "250");
    }
    finish(&mut client);
    let mail = upstream.recv_timeout(PATIENCE).unwrap();
    assert_eq!(mail.recipients().len(), plain.len());
}

/// Who may send to anybody may name any way there.
#[test]
fn a_trusted_clients_local_part_is_the_upstreams_affair() {
    let upstream = inbox();
    let network: Network = "203.0.113.0/24".parse().unwrap();
    for proxy in
        [Proxy::to(upstream.local_addr()).from_networks([network]), Proxy::to(upstream.local_addr()).open_relay(true)]
    {
        let server = builder().serve("127.0.0.1:0", proxy).unwrap();
        let mut client = begun(&server, STRANGER);
        for to in ROUTES.iter().chain(&LOOKALIKES) {
            client.expect(format!("RCPT TO:<{to}>"), "250");
        }
        finish(&mut client);
        assert_eq!(upstream.recv_timeout(PATIENCE).unwrap().recipients().len(), ROUTES.len() + LOOKALIKES.len());
    }
}

#[cfg(feature = "auth")]
#[test]
fn an_authenticated_client_is_trusted() {
    use base64ct::{Base64, Encoding};
    let upstream = inbox();
    let check = |user: &str, password: &str| user == "bob" && password == "secret";
    let server = builder()
        .authenticator(check)
        .clear_text_auth(true)
        .serve("127.0.0.1:0", Proxy::to(upstream.local_addr()).to_domains(["listed.example"]))
        .unwrap();
    let mut client = behind_proxy(server.local_addr(), STRANGER);
    client.expect(format!("AUTH PLAIN {}", Base64::encode_string(b"\0bob\0secret")), "235");
    client.expect("MAIL FROM:<sender@client.example>", "250");
    client.expect("RCPT TO:<victim%victim.example@listed.example>", "250");
    client.expect("RCPT TO:<victim@victim.example>", "250");
}

/// Lists are open to all, and the server that has them may be one that follows routes.
#[test]
fn nor_is_it_given_to_mailman() {
    let (lists, others) = (Server::builder().lmtp(true).inbox("127.0.0.1:0").unwrap(), inbox());
    let handler = Mailman::at(lists.local_addr(), Proxy::to(others.local_addr()).to_domains(["listed.example"]));
    let server = builder().serve("127.0.0.1:0", handler).unwrap();
    let mut client = begun(&server, STRANGER);
    for to in
        ["victim%victim.example@lists.example", "\"u@victim.example\"@lists.example", "victim.example!u@lists.example"]
    {
        assert_eq!(client.say(format!("RCPT TO:<{to}>")), DENIED, "{to}");
    }
    client.expect("RCPT TO:<ant-bounces+user=victim.example@lists.example>", "250");
    finish(&mut client);
    assert_eq!(lists.recv_timeout(PATIENCE).unwrap().recipients(), ["ant-bounces+user=victim.example@lists.example"]);
}

/// Relay testers of old try these; a server of this decade still took some of them.
#[test]
fn what_relay_testers_try() {
    let upstream = inbox();
    let server = builder()
        .serve("127.0.0.1:0", Proxy::to(upstream.local_addr()).to_domains(["listed.example", "", " Dotted.example. "]))
        .unwrap();
    let from = [
        "",
        "sender@listed.example",
        "sender@localhost",
        "sender@[127.0.0.1]",
        "victim@victim.example",
        "Postmaster@listed.example",
    ];
    for from in from {
        let mut client = behind_proxy(server.local_addr(), STRANGER);
        client.expect(format!("MAIL FROM:<{from}>"), "250");
        for to in [
            "victim@victim.example",
            "victim@victim.example@listed.example",
            "victim@listed.example@victim.example",
            "victim@victim.example@",
            "\"victim%victim.example\"",
            "\"victim@victim.example\"",
            "victim%victim.example",
            "victim.example!victim",
            "victim",
            "root",
            "@listed.example:victim@victim.example",
            "@listed.example,@x.example:victim@victim.example",
            "victim%victim.example@[127.0.0.1]",
            "victim@[127.0.0.1]",
            "victim@[203.0.113.9]",
        ] {
            let said = client.say(format!("RCPT TO:<{to}>"));
            assert!(said.starts_with("55") || said.starts_with("501 "), "from {from} to {to}: {said}");
        }
    }
}

/// Names that are nearly a listed one.
#[test]
fn domains_are_listed_whole() {
    let upstream = inbox();
    let listed = ["listed.example", "", " Dotted.example. ", "b\u{fc}cher.example", "[192.0.2.7]"];
    let server = builder().serve("127.0.0.1:0", Proxy::to(upstream.local_addr()).to_domains(listed)).unwrap();
    let mut client = begun(&server, STRANGER);
    for taken in ["LISTED.EXAMPLE", "dotted.example", "b\u{fc}cher.EXAMPLE", "[192.0.2.7]"] {
        client.expect(format!("RCPT TO:<u@{taken}>"), "250");
    }
    for refused in [
        "sub.listed.example",
        "notlisted.example",
        "listed.example.victim.example",
        "isted.example",
        "example",
        "[192.0.2.8]",
        "[IPv6:::ffff:192.0.2.7]",
        "xn--bcher-kva.example",
        "b\u{dc}cher.example",
        // A Kelvin sign, a long s and a fullwidth letter, which become ASCII letters in another case or form.
        "li\u{17f}ted.example",
        "\u{ff4c}isted.example",
    ] {
        assert_eq!(client.say(format!("RCPT TO:<u@{refused}>")), DENIED, "{refused}");
    }
    // Where it is an address at all, the dot for the root changes nothing of whose it is.
    let said = client.say("RCPT TO:<victim@victim.example.>");
    assert!(said.starts_with("550 5.7.1") || said.starts_with("501 5.1.3"), "{said}");
}

/// The fault itself: a Postfix that trusts the relay sends on what such a local part names.
#[cfg(unix)]
#[test]
fn a_postfix_behind_follows_routes_of_whom_it_trusts() {
    use crate::support::postfix::Postfix;
    let settings = "mydestination = listed.example\nmynetworks = 127.0.0.0/8\n\
                    smtpd_relay_restrictions = permit_mynetworks, reject_unauth_destination\n\
                    local_recipient_maps =\nlocal_transport = discard";
    let Some(postfix) = Postfix::start(settings) else { return };
    let server = Server::builder()
        .proxy_protocol(Network::loopback())
        .serve("127.0.0.1:0", Proxy::to(postfix.smtp()).to_domains(["listed.example"]))
        .unwrap();
    let followed = [
        "a%upstream.example@listed.example",
        "\"b@upstream.example\"@listed.example",
        "upstream.example!c@listed.example",
    ];
    let mut stranger = behind_proxy(server.local_addr(), STRANGER);
    stranger.expect("MAIL FROM:<sender@client.example>", "250");
    for to in followed {
        assert_eq!(stranger.say(format!("RCPT TO:<{to}>")), DENIED, "{to}");
    }
    stranger.expect("RCPT TO:<u@listed.example>", "250");
    finish(&mut stranger);
    // From this machine it goes where it says.
    let mut trusted = behind_proxy(server.local_addr(), "PROXY TCP4 127.0.0.1 127.0.0.1 40000 25\r\n");
    trusted.expect("MAIL FROM:<sender@client.example>", "250");
    for to in followed {
        trusted.expect(format!("RCPT TO:<{to}>"), "250");
    }
    finish(&mut trusted);
    for to in ["a@upstream.example", "b@upstream.example", "c@upstream.example"] {
        assert_eq!(postfix.delivered(to, 1).len(), 1, "{to}\n{}", postfix.log());
    }
}
