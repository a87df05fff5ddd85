//! SASL mechanisms of a program's own, identities that hooks give, and authenticators that see the connection.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use base64ct::{Base64, Encoding};
use pillarbox::{
    AuthFailure, Authenticator, Builder, Context, Error, Inbox, Listener, Mechanism, Reply, SaslExchange,
    SaslMechanism, SaslStep, Server, Session, SettingError, Users,
};

use crate::support::client::{Client, PATIENCE};
use crate::support::tls::{Certificate, TlsClient};

/// bob, with the password "builder".
const BOB: &str = "AGJvYgBidWlsZGVy";

type Step = fn(usize, &[u8]) -> Result<SaslStep, AuthFailure>;

/// A mechanism whose exchange is one function of the step's number and the response.
#[derive(Clone)]
struct Own {
    name: &'static str,
    clear_text: bool,
    client_first: bool,
    offered: Arc<AtomicBool>,
    dropped: Arc<AtomicUsize>,
    step: Step,
}

impl Own {
    fn new(name: &'static str, step: Step) -> Own {
        let offered = Arc::new(AtomicBool::new(true));
        Own { name, clear_text: false, client_first: true, offered, dropped: Arc::default(), step }
    }
}

impl SaslMechanism for Own {
    fn name(&self) -> &str {
        self.name
    }

    fn is_clear_text(&self) -> bool {
        self.clear_text
    }

    fn is_client_first(&self) -> bool {
        self.client_first
    }

    fn is_offered(&self, _: &Context) -> bool {
        self.offered.load(Ordering::Relaxed)
    }

    fn start(&self, _: &Context) -> Box<dyn SaslExchange> {
        Box::new(OwnExchange { step: self.step, steps: 0, dropped: self.dropped.clone() })
    }
}

struct OwnExchange {
    step: Step,
    steps: usize,
    dropped: Arc<AtomicUsize>,
}

impl SaslExchange for OwnExchange {
    fn step(&mut self, context: &Context, response: &[u8]) -> Result<SaslStep, AuthFailure> {
        assert_eq!(context.helo(), Some("client.example"));
        self.steps += 1;
        (self.step)(self.steps, response)
    }
}

impl Drop for OwnExchange {
    fn drop(&mut self) {
        self.dropped.fetch_add(1, Ordering::Relaxed);
    }
}

fn inbox(builder: Builder) -> Inbox {
    builder.inbox("127.0.0.1:0").expect("a free port")
}

fn authenticated(name: &str) -> Result<SaslStep, AuthFailure> {
    Ok(SaslStep::Authenticated(name.to_owned()))
}

/// One message of the client.
fn ticket(_: usize, response: &[u8]) -> Result<SaslStep, AuthFailure> {
    match response {
        b"one for bob" => authenticated("bob"),
        b"" => Err(AuthFailure::Malformed),
        b"later" => Err(AuthFailure::temporary("the office is closed")),
        _ => Err(AuthFailure::Credentials),
    }
}

fn encode(text: impl AsRef<[u8]>) -> String {
    Base64::encode_string(text.as_ref())
}

#[test]
fn a_mechanism_in_which_the_client_speaks_first() {
    let inbox = inbox(Server::builder().sasl_mechanism(Own::new("X-TICKET", ticket)).require_auth(true));
    let mut client = Client::connect(inbox.local_addr());
    let reply = client.say("EHLO client.example");
    assert!(reply.contains("\n250-AUTH X-TICKET\n"), "{reply}");
    client.expect("MAIL FROM:<>", "530 5.7.0");
    client.expect("AUTH PLAIN", "504 5.5.4");
    client.expect(format!("AUTH X-TICKET {}", encode("one for eve")), "535 5.7.8");
    client.expect(format!("AUTH X-TICKET {}", encode("later")), "454 4.7.0");
    client.expect("AUTH X-TICKET =", "501 5.5.2");
    // Without an initial response it is asked for; and its name is not case-sensitive.
    client.expect("AUTH x-ticket", "334 ");
    client.expect(encode("one for bob"), "235 2.7.0");
    client.expect("AUTH X-TICKET", "503 5.5.1");
    client.begin();
    client.expect("DATA", "354");
    client.expect(".", "250");
    let mail = inbox.recv_timeout(PATIENCE).unwrap();
    assert_eq!((mail.identity(), mail.protocol().to_string().as_str()), (Some("bob"), "ESMTPA"));
    // It is in no transcript.
    let transcript = mail.transcript().unwrap().to_string();
    assert!(transcript.contains("AUTH X-TICKET ..."), "{transcript}");
    assert!(
        !transcript.contains(&encode("one for bob")) && !transcript.contains(&encode("one for eve")),
        "{transcript}"
    );
}

#[test]
fn a_mechanism_in_which_the_server_speaks_first() {
    let step: Step = |step, response| match (step, response) {
        (1, b"") => Ok(SaslStep::Challenge(b"who goes there?".to_vec())),
        (2, b"friend") => Ok(SaslStep::Challenge(b"pass".to_vec())),
        (3, b"") => authenticated("friend"),
        _ => Err(AuthFailure::Credentials),
    };
    let own = Own { client_first: false, ..Own::new("X_ASK", step) };
    let dropped = own.dropped.clone();
    let inbox = inbox(Server::builder().sasl_mechanism(own).max_auth_failures(None));
    let mut client = Client::ehlo(inbox.local_addr());
    // RFC 4954 section 4: there can be no initial response.
    client.expect(format!("AUTH X_ASK {}", encode("friend")), "501 5.5.2");
    client.expect("AUTH X_ASK =", "501 5.5.2");
    client.expect("AUTH X_ASK", &format!("334 {}", encode("who goes there?")));
    client.expect("*", "501 5.7.0");
    client.expect("AUTH X_ASK", "334 ");
    client.expect("not base64!", "501 5.5.2");
    client.expect("AUTH X_ASK", "334 ");
    client.expect("A".repeat(20_000), "500 5.5.2");
    client.expect("AUTH X_ASK", "334 ");
    client.expect(encode("friend"), "334 cGFzcw==");
    client.expect("", "235 2.7.0");
    client.expect_in_step();
    assert_eq!(dropped.load(Ordering::Relaxed), 6);
    drop(client);
    let mut client = Client::ehlo(inbox.local_addr());
    client.expect("AUTH X_ASK", "334 ");
    drop(client);
    inbox.wait_until_idle(PATIENCE).unwrap();
    assert_eq!(dropped.load(Ordering::Relaxed), 7);
}

#[test]
fn a_refusal_that_the_client_acknowledges() {
    let step: Step = |step, _| match step {
        1 => Ok(SaslStep::Refusal(b"expired".to_vec())),
        _ => authenticated("nobody"),
    };
    let inbox = inbox(Server::builder().sasl_mechanism(Own::new("X-TICKET", step)).max_auth_failures(3));
    let mut client = Client::ehlo(inbox.local_addr());
    client.expect("AUTH X-TICKET =", &format!("334 {}", encode("expired")));
    client.expect("", "535 5.7.8");
    client.expect("AUTH X-TICKET =", "334 ");
    // Giving up does not make it no guess.
    client.expect("*", "535 5.7.8");
    client.expect("AUTH X-TICKET =", "334 ");
    client.expect("=", "535 5.7.8");
    client.expect_reply("421 4.7.0");
    client.expect_close();
}

#[test]
fn bounds() {
    let endless = Own::new("X-ENDLESS", |_, _| Ok(SaslStep::Challenge(Vec::new())));
    let long = Own::new("X-LONG", |step, _| Ok(SaslStep::Challenge(vec![b'x'; if step == 1 { 9210 } else { 9211 }])));
    let nobody = Own::new("X-NOBODY", |_, response| authenticated(str::from_utf8(response).unwrap()));
    let builder = Server::builder().sasl_mechanism(endless).sasl_mechanism(long).sasl_mechanism(nobody);
    let inbox = inbox(builder.max_auth_failures(None).max_errors(None));
    let mut client = Client::ehlo(inbox.local_addr());
    client.expect("AUTH X-ENDLESS =", "334 ");
    for _ in 1..32 {
        client.expect("=", "334 ");
    }
    client.expect("=", "501 5.5.2");
    client.expect_in_step();
    let reply = client.expect("AUTH X-LONG =", "334 ");
    // One line, with its CRLF no longer than RFC 4954 section 4 has it.
    assert_eq!((reply.len(), reply.lines().count()), (12_284, 1));
    client.expect("=", "454 4.7.0");
    for identity in ["", "a\nb", "\u{7f}", &"x".repeat(9216)] {
        let reply = if identity.len() > 9000 { "235" } else { "454" };
        let argument = if identity.is_empty() { "=".to_owned() } else { encode(identity) };
        client.expect("AUTH X-NOBODY", "334 ");
        if argument.len() + 2 <= 12_288 {
            client.expect(argument, reply);
        } else {
            client.expect(argument, "500");
        }
    }
}

#[test]
fn a_panic_costs_its_own_connection() {
    let step: Step = |step, _| if step == 1 { Ok(SaslStep::Challenge(Vec::new())) } else { panic!("on purpose") };
    let own = Own::new("X-PANIC", step);
    let dropped = own.dropped.clone();
    let inbox = inbox(Server::builder().sasl_mechanism(own));
    let mut client = Client::ehlo(inbox.local_addr());
    client.expect("AUTH X-PANIC =", "334 ");
    client.expect("=", "421 4.3.0");
    client.expect_close();
    Client::ehlo(inbox.local_addr()).expect_in_step();
    assert_eq!((inbox.server().stats().panics, dropped.load(Ordering::Relaxed)), (1, 1));
}

#[test]
fn secrets_are_withheld_without_tls() {
    let certificate = Certificate::new();
    let own = Own { clear_text: true, ..Own::new("X-TICKET", ticket) };
    let inbox = inbox(Server::builder().tls(certificate.tls()).require_tls(true).sasl_mechanism(own));
    let mut client = TlsClient::connect(inbox.local_addr());
    client.expect_reply("220 ");
    assert!(!client.expect("EHLO client.example", "250").contains("AUTH"));
    client.expect(&format!("AUTH X-TICKET {}", encode("one for bob")), "530 5.7.0");
    client.expect("STARTTLS", "220");
    let mut client = client.handshake(&certificate);
    assert!(client.expect("EHLO client.example", "250").contains("AUTH X-TICKET\n"));
    client.expect(&format!("AUTH X-TICKET {}", encode("one for bob")), "235 2.7.0");
    // A client from elsewhere.
    let own = Own { clear_text: true, ..Own::new("X-TICKET", ticket) };
    let builder = Server::builder().sasl_mechanism(own).sasl_mechanism(Own::new("X-OTHER", ticket));
    let inbox = self::inbox(builder.proxy_protocol(pillarbox::Network::loopback()));
    let mut client = Client::raw(inbox.local_addr());
    client.send("PROXY TCP4 192.0.2.1 198.51.100.2 1234 25\r\n");
    client.expect_reply("220 ");
    assert!(client.say("EHLO client.example").contains("AUTH X-OTHER\n"));
    client.expect(format!("AUTH X-TICKET {}", encode("one for bob")), "538 5.7.11");
    client.expect(format!("AUTH X-OTHER {}", encode("one for bob")), "235 2.7.0");
}

#[test]
fn own_mechanisms_beside_ours_and_in_their_place() {
    let plain = Own { clear_text: true, ..Own::new("PLAIN", |_, _| authenticated("replaced")) };
    let ticket = Own::new("X-TICKET", ticket);
    let offered = ticket.offered.clone();
    let users = Users::new().add("bob", "builder").unwrap();
    let inbox = inbox(Server::builder().authenticator(users).sasl_mechanism(plain).sasl_mechanism(ticket));
    let mut client = Client::connect(inbox.local_addr());
    let reply = client.say("EHLO client.example");
    assert!(reply.contains("\n250-AUTH SCRAM-SHA-256 PLAIN X-TICKET LOGIN\n"), "{reply}");
    // What EHLO says follows.
    offered.store(false, Ordering::Relaxed);
    let reply = client.say("EHLO client.example");
    assert!(reply.contains("\n250-AUTH SCRAM-SHA-256 PLAIN LOGIN\n"), "{reply}");
    client.expect(format!("AUTH X-TICKET {}", encode("one for bob")), "504 5.5.4");
    client.expect("AUTH PLAIN AGJvYgB3cm9uZw==", "235 2.7.0");
    client.begin();
    client.expect("DATA", "354");
    client.expect(".", "250");
    assert_eq!(inbox.recv_timeout(PATIENCE).unwrap().identity(), Some("replaced"));
}

#[test]
fn names_are_checked() {
    for name in ["", "x-ticket", "X TICKET", "X-TICKET\r\n250-STARTTLS", "X-THIS-ONE-IS-TOO-LONG", "\u{c4}"] {
        let error = Server::builder().sasl_mechanism(Own::new(name, ticket)).inbox("127.0.0.1:0").unwrap_err();
        assert!(matches!(error, Error::Setting(SettingError::SaslMechanism)), "{name}: {error}");
    }
    let twice = Server::builder().sasl_mechanism(Own::new("X", ticket)).sasl_mechanism(Own::new("X", ticket));
    assert!(matches!(twice.inbox("127.0.0.1:0").unwrap_err(), Error::Setting(SettingError::SaslMechanism)));
    assert!(Server::builder().sasl_mechanism(Own::new("A-_0123456789BCDEFGH", ticket)).inbox("127.0.0.1:0").is_ok());
}

/// Offers PLAIN to one network alone, and lets in who names it in EHLO.
struct Placed;

impl Authenticator for Placed {
    fn mechanisms(&self, context: &Context) -> Vec<Mechanism> {
        match context.peer().ip() {
            Some(ip) if ip.to_string().starts_with("192.0.2.") => vec![Mechanism::Plain],
            _ => Vec::new(),
        }
    }

    fn password(&self, context: &Context, user: &str, _: &str) -> Result<String, AuthFailure> {
        // An authenticator is no hook: this has no effect.
        context.authenticate("root");
        let place = context.helo().ok_or(AuthFailure::Credentials)?;
        if place == "client.example" { Ok(format!("{user} at {place}")) } else { Err(AuthFailure::Credentials) }
    }
}

#[test]
fn an_authenticator_sees_the_connection() {
    let builder = Server::builder().authenticator(Placed).clear_text_auth(true);
    let inbox = inbox(builder.proxy_protocol(pillarbox::Network::loopback()));
    for (address, name, reply) in [
        ("192.0.2.1", "client.example", "235 2.7.0"),
        ("192.0.2.1", "other.example", "535 5.7.8"),
        ("203.0.113.1", "client.example", "504 5.5.4"),
    ] {
        let mut client = Client::raw(inbox.local_addr());
        client.send(format!("PROXY TCP4 {address} 198.51.100.2 1234 25\r\n"));
        client.expect_reply("220 ");
        let is_offered = client.say(format!("EHLO {name}")).contains("AUTH PLAIN");
        assert_eq!(is_offered, !reply.starts_with("504"));
        client.expect(format!("AUTH PLAIN {BOB}"), reply);
        client.begin();
        client.expect("DATA", "354");
        client.expect(".", "250");
        let identity = reply.starts_with('2').then_some("bob at client.example");
        assert_eq!(inbox.recv_timeout(PATIENCE).unwrap().identity(), identity);
    }
}

#[test]
fn users_are_replaced_while_the_server_runs() {
    let users = Users::new().add("bob", "builder").unwrap();
    let inbox = inbox(Server::builder().authenticator(users.clone()));
    let mut client = Client::connect(inbox.local_addr());
    assert!(client.say("EHLO client.example").contains("AUTH SCRAM-SHA-256 PLAIN LOGIN\n"));
    client.expect("AUTH LOGIN", "334 ");
    // With an argon2 hash SCRAM is offered no more.
    let hash = "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4";
    users.replace(Users::new().add("alice", hash).unwrap());
    client.expect(encode("bob"), "334 ");
    client.expect(encode("builder"), "535 5.7.8");
    assert!(client.say("EHLO client.example").contains("AUTH PLAIN LOGIN\n"));
    client.expect("AUTH SCRAM-SHA-256", "504 5.5.4");
    client.expect(format!("AUTH PLAIN {}", encode("\0alice\0password")), "235 2.7.0");
}

/// Gives identities in each of its hooks.
#[derive(Default)]
struct Knows;

impl Session for Knows {
    fn helo(&mut self, context: &Context, name: &str) -> Result<(), Reply> {
        context.authenticate(name);
        match name {
            "refused.example" => Err(Reply::new(550, "5.7.1", "not you")),
            "client.example" => {
                context.authenticate("");
                context.authenticate("a\r\nb");
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn mail(
        &mut self,
        context: &Context,
        _: &pillarbox::ReversePath,
        _: &pillarbox::MailParameters,
    ) -> Result<(), Reply> {
        // Too late.
        context.authenticate("somebody else");
        Ok(())
    }

    fn command(&mut self, context: &Context, verb: &[u8], argument: &[u8]) -> Option<Reply> {
        if verb != b"XLOGIN" {
            return None;
        }
        context.authenticate(String::from_utf8_lossy(argument));
        Some(if argument == b"bob" { Reply::new(235, "2.7.0", "welcome") } else { Reply::new(535, "5.7.8", "no") })
    }
}

#[test]
fn a_hook_says_who_the_client_is() {
    let certificate = Certificate::new();
    let builder = Server::builder().tls(certificate.tls()).session(|_| Knows).require_auth(true);
    let inbox = inbox(builder.authenticator(Users::new().add("bob", "builder").unwrap()));
    let mut client = TlsClient::connect(inbox.local_addr());
    client.expect_reply("220 ");
    client.expect("EHLO refused.example", "550");
    client.expect("MAIL FROM:<>", "530 5.7.0");
    client.expect("XLOGIN eve", "535");
    client.expect("MAIL FROM:<>", "530 5.7.0");
    client.expect("EHLO mx.example", "250");
    client.expect(&format!("AUTH PLAIN {BOB}"), "503 5.5.1");
    for line in ["MAIL FROM:<a@b.example>", "RCPT TO:<c@d.example>", "DATA", "."] {
        client.expect(line, if line == "DATA" { "354" } else { "250" });
    }
    let mail = inbox.recv_timeout(PATIENCE).unwrap();
    assert_eq!((mail.identity(), mail.protocol().to_string().as_str()), (Some("mx.example"), "ESMTPA"));
    assert!(mail.received_header().contains("with ESMTPA"), "{}", mail.received_header());
    // What MAIL's hook said had no effect, then or later.
    client.expect("NOOP", "250");
    client.expect("MAIL FROM:<a@b.example>", "250");
    client.expect("RSET", "250");
    client.expect("STARTTLS", "220");
    let mut client = client.handshake(&certificate);
    client.expect("MAIL FROM:<>", "530 5.7.0");
    client.expect("XLOGIN bob", "235");
    client.expect("MAIL FROM:<>", "503 5.5.1");
    client.expect("EHLO client.example", "250");
    for line in ["MAIL FROM:<a@b.example>", "RCPT TO:<c@d.example>", "DATA", "."] {
        client.expect(line, if line == "DATA" { "354" } else { "250" });
    }
    let mail = inbox.recv_timeout(PATIENCE).unwrap();
    assert_eq!((mail.identity(), mail.protocol().to_string().as_str()), (Some("client.example"), "ESMTPSA"));
}

/// Knows its client from the start, and users by other names.
struct Renames;

impl Session for Renames {
    fn connect(&mut self, context: &Context) -> Result<(), Reply> {
        if !context.peer().is_loopback() {
            context.authenticate("neighbour");
        }
        Ok(())
    }

    fn authenticated(&mut self, context: &Context, identity: &str) -> Result<(), Reply> {
        context.authenticate(format!("{identity}@example.org"));
        Ok(())
    }
}

#[test]
fn a_session_alone_can_authenticate() {
    // Without a session nobody could.
    let nobody = Server::builder().require_auth(true).inbox("127.0.0.1:0").unwrap_err();
    assert!(matches!(nobody, Error::Setting(SettingError::RequireAuthWithoutAuthenticator)));
    let inbox =
        inbox(Server::builder().session(|_| Renames).require_auth(true).proxy_protocol(pillarbox::Network::loopback()));
    for (address, reply) in [("192.0.2.1", "250"), ("127.0.0.1", "530 5.7.0")] {
        let mut client = Client::raw(inbox.local_addr());
        client.send(format!("PROXY TCP4 {address} 127.0.0.1 1234 25\r\n"));
        client.expect_reply("220 ");
        client.expect("HELO client.example", "250");
        client.expect("AUTH PLAIN", "502 5.5.1");
        client.expect("MAIL FROM:<>", reply);
    }
}

#[test]
fn a_listener_may_do_without_auth() {
    let port = || Listener::from("127.0.0.1:0");
    let own = || Server::builder().sasl_mechanism(Own::new("X-TICKET", ticket));
    let inbox = inbox(own().listen(port().offer_auth(false)).listen(port().require_auth(true)));
    let mut replies = inbox.server().local_endpoints().iter().map(|endpoint| {
        let mut client = Client::raw(endpoint.socket_addr().expect("TCP"));
        client.expect_reply("220 ");
        let offered = client.say("EHLO client.example").contains("AUTH X-TICKET");
        (offered, client.say("AUTH X-OTHER")[..9].to_owned(), client.say("MAIL FROM:<>")[..3].to_owned())
    });
    let mut next = || replies.next().expect("three listeners");
    assert_eq!(next(), (true, "504 5.5.4".to_owned(), "250".to_owned()));
    assert_eq!(next(), (false, "502 5.5.1".to_owned(), "250".to_owned()));
    assert_eq!(next(), (true, "504 5.5.4".to_owned(), "530".to_owned()));
    // A session can know who the client is where AUTH is not offered.
    let closed = || port().offer_auth(false).require_auth(true);
    let nobody = own().inbox(closed()).unwrap_err();
    assert!(matches!(nobody, Error::Setting(SettingError::RequireAuthWithoutOffer)));
    let known = own().session(|_| Neighbours).inbox(closed()).unwrap();
    Client::ehlo(known.local_addr()).expect("MAIL FROM:<>", "250");
}

/// Trusts this machine.
struct Neighbours;

impl Session for Neighbours {
    fn connect(&mut self, context: &Context) -> Result<(), Reply> {
        if context.peer().is_loopback() {
            context.authenticate("neighbour");
        }
        Ok(())
    }
}

#[test]
fn what_a_hook_knows_of_a_proxy_is_not_true_of_its_clients() {
    let builder = Server::builder().session(|_| Neighbours).require_auth(true);
    let inbox = inbox(builder.xclient(pillarbox::Network::loopback()));
    let mut client = Client::ehlo(inbox.local_addr());
    client.expect("MAIL FROM:<>", "250");
    client.expect("RSET", "250");
    client.expect("XCLIENT ADDR=192.0.2.1", "220");
    client.expect("EHLO client.example", "250");
    client.expect("MAIL FROM:<>", "530 5.7.0");
    // What XCLIENT says itself stays, as before.
    client.expect("XCLIENT LOGIN=bob", "220");
    client.expect("XCLIENT NAME=client.example", "220");
    client.expect("EHLO client.example", "250");
    client.expect("MAIL FROM:<>", "250");
    client.expect("RSET", "250");
    client.expect("XCLIENT ADDR=127.0.0.2 LOGIN=[UNAVAILABLE]", "220");
    client.expect("EHLO client.example", "250");
    client.expect("MAIL FROM:<>", "250");
}

#[test]
fn the_hook_behind_auth_may_give_another_name() {
    let builder = Server::builder().session(|_| Renames).authenticator(Users::new().add("bob", "builder").unwrap());
    let inbox = inbox(builder.lmtp(true));
    let mut client = Client::connect(inbox.local_addr());
    client.expect("LHLO client.example", "250");
    client.expect(format!("AUTH PLAIN {BOB}"), "235 2.7.0");
    client.begin();
    client.expect("DATA", "354");
    client.expect(".", "250");
    let mail = inbox.recv_timeout(PATIENCE).unwrap();
    assert_eq!((mail.identity(), mail.protocol().to_string().as_str()), (Some("bob@example.org"), "LMTPA"));
}
