//! Who is told of each connection, reply, login, handshake and message.

use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use crate::support::client::Client;
use crate::support::{wait_for, wait_until};
use pillarbox::{Context, Envelope, ObservedMessage, Observer, Reply, Server};

/// Keeps a line for each call.
#[derive(Clone, Default)]
struct Notes(Arc<Mutex<Vec<String>>>);

impl Notes {
    fn note(&self, context: &Context, line: String) {
        let id = context.connection_id();
        self.0.lock().expect("no panic").push(format!("{id} {line}"));
    }

    /// The lines once the last of them is that.
    #[track_caller]
    fn up_to(&self, last: &str) -> Vec<String> {
        wait_for(|| {
            let lines = self.0.lock().expect("no panic").clone();
            if lines.last().is_some_and(|line| line == last) { Ok(lines) } else { Err(format!("{lines:#?}")) }
        })
    }
}

impl Observer for Notes {
    fn connected(&self, context: &Context) {
        self.note(context, format!("connected {}", context.peer().is_loopback()));
    }

    fn disconnected(&self, context: &Context, duration: Duration) {
        self.note(context, format!("disconnected {}", duration > Duration::ZERO));
    }

    fn handshake(&self, context: &Context, failure: Option<&std::io::Error>, duration: Duration) {
        let tls = context.tls().is_some();
        self.note(context, format!("handshake {tls} {} {}", failure.is_some(), duration > Duration::ZERO));
    }

    fn login(&self, context: &Context, reply: &Reply, duration: Duration) {
        let identity = context.identity().unwrap_or("nobody");
        self.note(context, format!("login {identity} {} {}", reply.code(), duration > Duration::ZERO));
    }

    fn reply(&self, context: &Context, reply: &Reply, _: Duration) {
        let verb = context.verb().map_or("none", |verb| verb.as_str());
        self.note(context, format!("reply {verb} {}", reply.code()));
    }

    fn message(&self, context: &Context, message: &ObservedMessage) {
        let ObservedMessage { id, octets, recipients, outcome, .. } = message;
        let code = outcome.as_ref().map_or(0, Reply::code);
        self.note(context, format!("message {} {octets} {recipients} {code}", id.is_some()));
    }
}

#[test]
fn a_conversation_with_a_message() {
    let notes = Notes::default();
    let server = Server::builder()
        .data_size_limit(100)
        .observer(notes.clone())
        .serve("127.0.0.1:0", |_: Envelope| ())
        .expect("a free port");
    let mut client = Client::envelope(server.local_addr());
    client.expect("BOGUS", "500");
    client.expect("DATA", "354");
    client.expect("hello\r\n.", "250");
    client.begin();
    client.expect("DATA", "354");
    client.expect(format!("{}\r\n.", "x".repeat(200)), "552");
    client.begin();
    client.send("BDAT 4\r\nhalf");
    client.expect_reply("250");
    drop(client);
    let expected = [
        "connected true",
        "reply none 220",
        "reply EHLO 250",
        "reply MAIL 250",
        "reply RCPT 250",
        "reply none 500",
        "reply DATA 354",
        "message true 7 1 250",
        "reply DATA 250",
        "reply MAIL 250",
        "reply RCPT 250",
        "reply DATA 354",
        "message false 202 1 552",
        "reply DATA 552",
        "reply MAIL 250",
        "reply RCPT 250",
        "reply BDAT 250",
        "message false 4 1 0",
        "disconnected true",
    ];
    let lines = notes.up_to("1 disconnected true");
    assert_eq!(lines, expected.map(|line| format!("1 {line}")));
    assert_eq!(server.stats().panics, 0);
}

#[test]
fn how_long_it_takes() {
    const PAUSE: Duration = Duration::from_millis(20);

    #[derive(Clone, Default)]
    struct Times(Arc<Mutex<Vec<(u16, Duration)>>>, Arc<Mutex<Option<ObservedMessage>>>);
    impl Observer for Times {
        fn reply(&self, _: &Context, reply: &Reply, duration: Duration) {
            self.0.lock().expect("no panic").push((reply.code(), duration));
        }

        fn message(&self, _: &Context, message: &ObservedMessage) {
            *self.1.lock().expect("no panic") = Some(message.clone());
        }
    }
    let times = Times::default();
    let slow = |_: Envelope| thread::sleep(PAUSE);
    let server = Server::builder().observer(times.clone()).serve("127.0.0.1:0", slow).expect("a free port");
    let mut client = Client::envelope(server.local_addr());
    client.expect("DATA", "354");
    thread::sleep(PAUSE);
    client.expect(".", "250");
    let message = times.1.lock().expect("no panic").clone().expect("it was told");
    assert!(message.receiving >= PAUSE && message.handling >= PAUSE, "{message:?}");
    let replies = times.0.lock().expect("no panic").clone();
    let (code, duration) = *replies.last().expect("replies");
    assert!(code == 250 && duration >= PAUSE, "{replies:?}");
}

#[test]
fn one_that_panics_is_counted_and_changes_nothing() {
    struct Panics;
    impl Observer for Panics {
        fn connected(&self, _: &Context) {
            panic!("at the beginning");
        }

        fn reply(&self, _: &Context, _: &Reply, _: Duration) {
            panic!("at a reply");
        }

        fn message(&self, _: &Context, _: &ObservedMessage) {
            panic!("at a message");
        }

        fn disconnected(&self, _: &Context, _: Duration) {
            panic!("at the end");
        }
    }
    let inbox = Server::builder().observer(Panics).inbox("127.0.0.1:0").expect("a free port");
    let mut client = Client::envelope(inbox.local_addr());
    client.expect("DATA", "354");
    client.expect(".", "250");
    client.expect("QUIT", "221");
    client.expect_close();
    // Banner, EHLO, MAIL, RCPT, DATA, its end, QUIT, the message, and both ends of the connection.
    wait_until("not each panics", || inbox.server().stats().panics == 10);
    assert_eq!(inbox.server().stats().accepted_messages, 1);
}

#[cfg(all(feature = "auth", feature = "tls"))]
#[test]
fn handshakes_and_logins() {
    use crate::support::tls::{Certificate, TlsClient};
    use pillarbox::Users;

    let notes = Arc::new(Notes::default());
    let certificate = Certificate::new();
    let users = Users::new().add("bob", "builder").expect("an entry");
    let builder = Server::builder().tls(certificate.tls()).authenticator(users).observer(notes.clone());
    let server = builder.serve("127.0.0.1:0", |_: Envelope| ()).expect("a free port");
    let mut client = TlsClient::start_tls(server.local_addr(), &certificate);
    client.expect("EHLO client.example", "250");
    client.expect("AUTH PLAIN", "334");
    client.expect("AGJvYgB3cm9uZw==", "535");
    client.expect("AUTH PLAIN AGJvYgBidWlsZGVy", "235");
    client.expect("QUIT", "221");
    let expected = [
        "connected true",
        "reply none 220",
        "reply EHLO 250",
        "reply STARTTLS 220",
        "handshake true false true",
        "reply EHLO 250",
        "reply AUTH 334",
        "login nobody 535 true",
        "reply AUTH 535",
        "login bob 235 true",
        "reply AUTH 235",
        "reply QUIT 221",
        "disconnected true",
    ];
    assert_eq!(notes.up_to("1 disconnected true"), expected.map(|line| format!("1 {line}")));
}

/// Keeps what was said on each connection, at its end.
#[derive(Clone, Default)]
struct Conversations(Arc<Mutex<Vec<Option<String>>>>);

impl Observer for Conversations {
    fn disconnected(&self, context: &Context, _: Duration) {
        let said = context.transcript().map(|transcript| transcript.to_string());
        self.0.lock().expect("no panic").push(said);
    }
}

#[test]
fn the_end_of_a_connection_has_its_conversation() {
    for recorded in [true, false] {
        let conversations = Conversations::default();
        let builder = Server::builder().transcripts(recorded).observer(conversations.clone());
        let server = builder.serve("127.0.0.1:0", |_: Envelope| {}).expect("a free port");
        let mut client = Client::ehlo(server.local_addr());
        client.expect("RCPT TO:<b@example.org>", "503");
        // While it goes on, the server's handle has it.
        let open = server.handle().transcripts();
        assert_eq!(open.iter().any(|said| said.to_string().contains("RCPT TO")), recorded);
        client.expect("QUIT", "221");
        let said = wait_for(|| match &conversations.0.lock().expect("no panic")[..] {
            [said] => Ok(said.clone()),
            others => Err(format!("{others:?}")),
        });
        let is_whole =
            said.as_ref().map(|said| said.contains("C: RCPT TO:<b@example.org>") && said.contains("S: 221 "));
        assert_eq!(is_whole, recorded.then_some(true), "{said:?}");
    }
}
