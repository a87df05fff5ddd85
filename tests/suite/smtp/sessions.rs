//! A program's hooks: when they are called, what they see, and what they can do.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::support::client::{Client, PATIENCE};
use parking_lot::Mutex;
use pillarbox::{
    Context, Endpoint, Envelope, Handler, Inbox, IntoSession, MailParameters, Recipient, Reply, Response, ReversePath,
    Server, Session, SessionFactory, Verb, handlers,
};

fn inbox<S: IntoSession>(make: impl Fn(&Endpoint) -> S + Send + Sync + 'static) -> Inbox {
    Server::builder().session(make).inbox("127.0.0.1:0").expect("a free port")
}

/// Writes down what is called, with what the context shows.
struct Recorder(Arc<Mutex<Vec<String>>>);

impl Recorder {
    fn note(&self, what: &str, context: &Context) {
        let from = context.mail_from().map_or("-".into(), |from| format!("<{from}>"));
        let line = format!("{what} {} {from} {}", context.helo().unwrap_or("-"), context.recipients().len());
        self.0.lock().push(line);
    }
}

impl Session for Recorder {
    fn connect(&mut self, context: &Context) -> Result<(), Reply> {
        self.note("connect", context);
        Ok(())
    }

    fn helo(&mut self, context: &Context, name: &str) -> Result<(), Reply> {
        self.note(&format!("helo={name}"), context);
        Ok(())
    }

    fn mail(&mut self, context: &Context, from: &ReversePath, parameters: &MailParameters) -> Result<(), Reply> {
        self.note(&format!("mail={from},{:?}", parameters.size()), context);
        Ok(())
    }

    fn rcpt(&mut self, context: &Context, to: &Recipient) -> Result<(), Reply> {
        self.note(&format!("rcpt={to}"), context);
        Ok(())
    }

    fn data(&mut self, context: &Context) -> Result<(), Reply> {
        self.note("data", context);
        Ok(())
    }

    fn rset(&mut self, context: &Context) {
        self.note("rset", context);
    }

    fn disconnect(&mut self, context: &Context) {
        self.note("disconnect", context);
    }
}

#[test]
fn hooks_are_called_before_their_command_takes_effect() {
    let notes = Arc::new(Mutex::new(Vec::new()));
    let inbox = inbox({
        let notes = notes.clone();
        move |_| Recorder(notes.clone())
    });
    let mut client = Client::ehlo(inbox.local_addr());
    client.expect("MAIL FROM:<a@b.example> SIZE=7", "250");
    client.expect("RCPT TO:<nonsense", "501");
    client.expect("RCPT TO:<c@d.example>", "250");
    client.expect("DATA", "354");
    client.expect(".", "250");
    client.expect("RSET", "250");
    client.expect("QUIT", "221");
    client.expect_close();
    // Ended, since no thread of it is left.
    inbox.server().shutdown(PATIENCE);
    assert_eq!(
        *notes.lock(),
        [
            "connect - - 0",
            "helo=client.example - - 0",
            "mail=a@b.example,Some(7) client.example - 0",
            "rcpt=c@d.example client.example <a@b.example> 0",
            "data client.example <a@b.example> 1",
            "rset client.example - 0",
            "disconnect client.example - 0",
        ]
    );
}

/// Refuses wherever it is told to.
struct Refuses(&'static str, fn() -> Reply);

impl Refuses {
    fn check(&self, hook: &str) -> Result<(), Reply> {
        if self.0 == hook { Err((self.1)()) } else { Ok(()) }
    }
}

impl Session for Refuses {
    fn connect(&mut self, _: &Context) -> Result<(), Reply> {
        self.check("connect")
    }

    fn helo(&mut self, _: &Context, _: &str) -> Result<(), Reply> {
        self.check("helo")
    }

    fn mail(&mut self, context: &Context, _: &ReversePath, _: &MailParameters) -> Result<(), Reply> {
        context.values().insert("left behind by a refused MAIL");
        self.check("mail")
    }

    fn rcpt(&mut self, _: &Context, _: &Recipient) -> Result<(), Reply> {
        self.check("rcpt")
    }
}

#[test]
fn refusals() {
    let no = || Reply::new(550, "5.7.1", "no");
    let inbox = self::inbox(move |_| Refuses("connect", no));
    let mut client = Client::raw(inbox.local_addr());
    assert_eq!(client.reply(), "550 5.7.1 no");
    client.expect_close();
    for (hook, line) in [("helo", "EHLO a"), ("mail", "MAIL FROM:<>"), ("rcpt", "RCPT TO:<a@b.example>")] {
        let inbox = self::inbox(move |_| Refuses(hook, no));
        let mut client = Client::connect(inbox.local_addr());
        for command in ["EHLO a", "MAIL FROM:<>", "RCPT TO:<a@b.example>"] {
            if command == line {
                assert_eq!(client.say(command), "550 5.7.1 no");
                break;
            }
            client.expect(command, "250");
        }
        client.expect_in_step();
    }
}

#[test]
fn what_is_no_refusal_becomes_one() {
    for reply in [|| Reply::ok(), || Reply::new(354, "", "go")] {
        let inbox = inbox(move |_| Refuses("mail", reply));
        let mut client = Client::ehlo(inbox.local_addr());
        client.expect("MAIL FROM:<>", "451 4.3.0");
        client.expect("RCPT TO:<a@b.example>", "503");
    }
}

#[test]
fn a_421_ends_the_connection() {
    let inbox = inbox(|_| Refuses("mail", || Reply::new(421, "4.7.0", "go away")));
    let mut client = Client::ehlo(inbox.local_addr());
    assert_eq!(client.say("MAIL FROM:<>"), "421 4.7.0 go away");
    client.expect_close();
}

struct Verbs;

impl Session for Verbs {
    fn command(&mut self, _: &Context, verb: &[u8], argument: &[u8]) -> Option<Reply> {
        match verb {
            b"XADD" => Some(Reply::new(250, "2.0.0", format!("{} octets", argument.len()))),
            b"NOOP" => Some(Reply::new(502, "5.5.1", "not here")),
            b"XGO" => Some(Reply::new(354, "", "go")),
            _ => None,
        }
    }

    fn vrfy(&mut self, _: &Context, argument: &[u8]) -> Option<Reply> {
        (argument == b"bob").then(|| Reply::new(250, "2.1.5", "bob@example.org"))
    }

    fn expn(&mut self, _: &Context, _: &[u8]) -> Option<Reply> {
        Some(Reply::new(250, "2.1.5", "a@example.org\nb@example.org"))
    }

    fn help(&mut self, _: &Context, _: &[u8]) -> Option<Reply> {
        Some(Reply::new(214, "2.0.0", "help yourself"))
    }
}

#[test]
fn verbs_are_added_and_replaced() {
    let inbox = inbox(|_| Verbs);
    let mut client = Client::connect(inbox.local_addr());
    assert_eq!(client.say("XADD  a b "), "250 2.0.0 3 octets");
    assert_eq!(client.say("NOOP"), "502 5.5.1 not here");
    client.expect("XGO", "451 4.3.0");
    assert_eq!(client.say("VRFY bob"), "250 2.1.5 bob@example.org");
    client.expect("VRFY eve", "252 2.5.2");
    assert_eq!(client.say("EXPN list"), "250-2.1.5 a@example.org\n250 2.1.5 b@example.org");
    assert_eq!(client.say("HELP"), "214 2.0.0 help yourself");
}

/// Answers for the commands that content comes with.
struct NoContent;

impl Session for NoContent {
    fn command(&mut self, _: &Context, verb: &[u8], _: &[u8]) -> Option<Reply> {
        [&b"BDAT"[..], b"DATA"].contains(&verb).then(|| Reply::new(502, "5.5.1", "not here"))
    }
}

#[test]
fn content_behind_a_command_that_a_hook_answered_does_not_run() {
    let inbox = inbox(|_| NoContent);
    let mut client = Client::envelope(inbox.local_addr());
    client.send("BDAT 10 LAST\r\nVRFY bob\r\nVRFY end\r\n");
    client.expect_reply("502 5.5.1 not here");
    client.expect_reply("252 2.5.2");
    client.expect_in_step();
    // How much would be content, nobody can tell.
    client.send("BDAT some\r\nVRFY bob\r\n");
    client.expect_reply("502 5.5.1 not here");
    client.expect_close();
    let mut client = Client::envelope(inbox.local_addr());
    client.send("DATA\r\nVRFY bob\r\n.\r\n");
    client.expect_reply("502 5.5.1 not here");
    client.expect_reply("421 4.7.0");
    client.expect_close();
}

struct Panics;

impl Session for Panics {
    fn mail(&mut self, _: &Context, _: &ReversePath, _: &MailParameters) -> Result<(), Reply> {
        panic!("on purpose");
    }
}

#[test]
fn a_panic_costs_its_own_connection() {
    let inbox = inbox(|_| Panics);
    let mut client = Client::ehlo(inbox.local_addr());
    client.expect("MAIL FROM:<>", "421 4.3.0");
    client.expect_close();
    Client::ehlo(inbox.local_addr()).expect_in_step();
}

struct Customer(u32);
struct Visits(u32);

/// Attaches a value to each transaction, and one to the connection.
struct Attaches;

impl Session for Attaches {
    fn connect(&mut self, context: &Context) -> Result<(), Reply> {
        context.connection_values().insert(Visits(0));
        Ok(())
    }

    fn mail(&mut self, context: &Context, from: &ReversePath, _: &MailParameters) -> Result<(), Reply> {
        context.connection_values().with(|visits: &mut Visits| visits.0 += 1);
        context.values().insert(Customer(from.as_str().len() as u32));
        if *from == "refused@b.example" { Err(Reply::permanent("no")) } else { Ok(()) }
    }

    fn rcpt(&mut self, context: &Context, _: &Recipient) -> Result<(), Reply> {
        assert!(context.values().contains::<Customer>());
        Ok(())
    }
}

#[test]
fn values_travel_with_the_envelope() {
    let inbox = inbox(|_| Attaches);
    let mut client = Client::ehlo(inbox.local_addr());
    client.expect("MAIL FROM:<refused@b.example>", "554");
    for from in ["a@b.example", "ab@b.example"] {
        client.expect(format!("MAIL FROM:<{from}>"), "250");
        client.expect("RCPT TO:<c@d.example>", "250");
        client.expect("DATA", "354");
        client.expect(".", "250");
    }
    let first = inbox.recv_timeout(PATIENCE).unwrap();
    let second = inbox.recv_timeout(PATIENCE).unwrap();
    assert_eq!(first.values().take::<Customer>().map(|c| c.0), Some(11));
    assert_eq!(second.values().take::<Customer>().map(|c| c.0), Some(12));
    // One and the same for the whole connection.
    assert_eq!(first.connection_values().with(|v: &mut Visits| v.0), Some(3));
    assert_eq!(second.connection_values().with(|v: &mut Visits| v.0), Some(3));
}

#[test]
fn a_factory_may_refuse() {
    let count = Arc::new(AtomicU32::new(0));
    let counter = count.clone();
    let inbox = inbox(move |peer| {
        assert!(peer.is_loopback());
        match counter.fetch_add(1, Ordering::SeqCst) {
            0 => Err(Reply::new(554, "5.7.1", "not you")),
            // As anywhere, what is no refusal becomes one.
            1 => Err(Reply::ok()),
            _ => Ok(Verbs),
        }
    });
    for reply in ["554 5.7.1 not you", "451 4.3.0"] {
        let mut client = Client::raw(inbox.local_addr());
        client.expect_reply(reply);
        client.expect_close();
    }
    Client::connect(inbox.local_addr()).expect("XADD", "250 2.0.0 0 octets");
    assert_eq!(inbox.transcripts().len(), 3);
    assert!(inbox.transcripts()[0].to_string().contains("554 5.7.1 not you"));
}

type Told = Vec<(&'static str, Option<Verb>)>;

/// Says which verb its hooks are about.
struct Tells(Arc<Mutex<Told>>);

impl Tells {
    fn note(&self, hook: &'static str, context: &Context) {
        self.0.lock().push((hook, context.verb()));
    }
}

impl Session for Tells {
    fn connect(&mut self, context: &Context) -> Result<(), Reply> {
        self.note("connect", context);
        Ok(())
    }

    fn helo(&mut self, context: &Context, _: &str) -> Result<(), Reply> {
        self.note("helo", context);
        Ok(())
    }

    fn data(&mut self, context: &Context) -> Result<(), Reply> {
        self.note("data", context);
        Ok(())
    }

    fn command(&mut self, context: &Context, verb: &[u8], _: &[u8]) -> Option<Reply> {
        if verb == b"XYZZY" {
            self.note("command", context);
        }
        None
    }

    fn disconnect(&mut self, context: &Context) {
        self.note("disconnect", context);
    }
}

#[test]
fn hooks_know_their_verb() {
    let notes: Arc<Mutex<Told>> = Arc::default();
    let inbox = inbox({
        let notes = notes.clone();
        move |_| Tells(notes.clone())
    });
    let mut client = Client::connect(inbox.local_addr());
    client.expect("HELO a", "250");
    client.expect("ehlo a", "250");
    client.begin();
    client.expect("DATA", "354");
    client.expect(".", "250");
    client.begin();
    client.expect("BDAT 0 LAST", "250");
    client.expect("XYZZY", "500");
    client.expect("QUIT", "221");
    client.expect_close();
    inbox.server().shutdown(PATIENCE);
    assert_eq!(
        *notes.lock(),
        [
            ("connect", None),
            ("helo", Some(Verb::Helo)),
            ("helo", Some(Verb::Ehlo)),
            ("data", Some(Verb::Data)),
            ("data", Some(Verb::Bdat)),
            ("command", None),
            ("disconnect", None),
        ]
    );
}

#[cfg(feature = "auth")]
mod authentication {
    use super::*;

    /// Lets in whom it likes.
    struct Bouncer;

    impl Session for Bouncer {
        fn authenticated(&mut self, context: &Context, identity: &str) -> Result<(), Reply> {
            assert_eq!(context.identity(), None);
            match identity {
                "bob" => Ok(()),
                "eve" => Err(Reply::new(421, "4.7.0", "never again")),
                _ => Err(Reply::new(535, "5.7.8", "account disabled")),
            }
        }
    }

    #[test]
    fn a_hook_behind_auth() {
        let users =
            ["ann", "bob", "eve"].into_iter().try_fold(pillarbox::Users::new(), |all, name| all.add(name, "secret"));
        let builder = Server::builder().authenticator(users.expect("entries")).require_auth(true);
        let inbox = builder.session(|_| Bouncer).max_auth_failures(1).inbox("127.0.0.1:0").expect("a free port");
        let mut client = Client::ehlo(inbox.local_addr());
        // ann, bob and eve, each with the password "secret".
        assert_eq!(client.say("AUTH PLAIN AGFubgBzZWNyZXQ="), "535 5.7.8 account disabled");
        // She is not in, and may be somebody else: nobody has guessed.
        client.expect("MAIL FROM:<>", "530 5.7.0");
        client.expect("AUTH PLAIN AGJvYgBzZWNyZXQ=", "235 2.7.0");
        client.begin();
        client.expect("DATA", "354");
        client.expect(".", "250");
        assert_eq!(inbox.recv_timeout(PATIENCE).unwrap().identity(), Some("bob"));
        let mut client = Client::ehlo(inbox.local_addr());
        assert_eq!(client.say("AUTH PLAIN AGV2ZQBzZWNyZXQ="), "421 4.7.0 never again");
        client.expect_close();
    }
}

/// A handler that has hooks, and counts what it is asked.
struct Counts(u32);

impl Handler for Counts {
    fn process_message(&mut self, mail: Envelope) -> Response {
        self.0 += 1;
        assert!(mail.recipients() != ["panic@example.org"], "on purpose");
        Reply::new(250, "2.0.0", format!("number {}", self.0)).into()
    }

    fn session(&self) -> Option<SessionFactory> {
        Some(SessionFactory::new(|_| Verbs))
    }
}

/// Sends a message, and gives the reply to it.
fn send(client: &mut Client, to: &str) -> String {
    client.expect("MAIL FROM:<>", "250");
    client.expect(format!("RCPT TO:<{to}>"), "250");
    client.expect("DATA", "354");
    client.say(".")
}

#[test]
fn handlers_that_are_boxed_or_shared() {
    let boxed: Box<dyn Handler> = Box::new(Counts(0));
    let shared = Arc::new(std::sync::Mutex::new(Counts(0)));
    let both: Box<dyn Handler> = Box::new(shared.clone());
    for handler in [boxed, Box::new(shared.clone()), both] {
        let before = shared.lock().unwrap_or_else(std::sync::PoisonError::into_inner).0;
        let server = Server::builder().serve("127.0.0.1:0", handler).expect("a free port");
        let mut client = Client::ehlo(server.local_addr());
        // Its hooks are asked.
        client.expect("XADD", "250 2.0.0 0 octets");
        let first = send(&mut client, "a@example.org");
        assert_eq!(send(&mut client, "panic@example.org"), "451 4.3.0 Local error in processing");
        let third = send(&mut client, "a@example.org");
        if shared.lock().unwrap_or_else(std::sync::PoisonError::into_inner).0 > before {
            assert_eq!([first, third], [before + 1, before + 3].map(|n| format!("250 2.0.0 number {n}")));
        } else {
            assert_eq!([&*first, &*third], ["250 2.0.0 number 1", "250 2.0.0 number 3"]);
        }
    }
    let consumers = Server::builder().consumers(3).serve_with("127.0.0.1:0", || shared.clone()).expect("a free port");
    let mut client = Client::ehlo(consumers.local_addr());
    assert_eq!(send(&mut client, "a@example.org"), "250 2.0.0 number 7");
    assert_eq!(send(&mut client, "a@example.org"), "250 2.0.0 number 8");
    // One that answers later is asked as such.
    let relay: Box<dyn Handler> = Box::new(handlers::Proxy::to("127.0.0.1:1"));
    let server = Server::builder().serve("127.0.0.1:0", relay).expect("a free port");
    Client::ehlo(server.local_addr()).expect("MAIL FROM:<>", "4");
}

/// A handler whose sessions write down what they are told.
struct Recording(Arc<Mutex<Vec<String>>>);

impl Handler for Recording {
    fn process_message(&mut self, _: Envelope) -> Response {
        ().into()
    }

    fn session(&self) -> Option<SessionFactory> {
        let notes = self.0.clone();
        Some(SessionFactory::new(move |_| Recorder(notes.clone())))
    }
}

struct Leaves(&'static str);

impl Session for Leaves {
    fn connect(&mut self, _: &Context) -> Result<(), Reply> {
        if self.0 == "refuses" { Err(Reply::permanent("no")) } else { Ok(()) }
    }

    fn disconnect(&mut self, _: &Context) {
        assert!(self.0 != "panics", "on purpose");
    }
}

#[test]
fn the_sessions_of_program_and_handler_end_apart() {
    for (how, heard) in [("stays", true), ("panics", true), ("refuses", false)] {
        let notes = Arc::<Mutex<Vec<String>>>::default();
        let builder = Server::builder().session(move |_| Leaves(how));
        let server = builder.serve("127.0.0.1:0", Recording(notes.clone())).expect("a free port");
        let mut client = Client::raw(server.local_addr());
        client.expect_reply(if heard { "220" } else { "554" });
        client.close_writing();
        client.expect_close();
        assert!(server.shutdown(PATIENCE).joined);
        let expected: &[&str] = if heard { &["connect - - 0", "disconnect - - 0"] } else { &[] };
        assert_eq!(*notes.lock(), expected, "{how}");
    }
}

#[test]
fn errors_of_the_system_in_a_handler() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("there").join("last");
    let file = path.clone();
    let handler = move |mail: Envelope| {
        std::fs::write(&file, mail.bytes()?)?;
        if mail.text()?.contains("two answers") {
            return Ok(Response::each([Reply::ok(), Reply::permanent("no")]));
        }
        Ok("250 2.6.0 written".parse::<Reply>().expect("a reply").into())
    };
    let server = Server::builder().lmtp(true).serve("127.0.0.1:0", handler).expect("a free port");
    let mut client = Client::connect(server.local_addr());
    client.expect("LHLO a", "250");
    let reply = send(&mut client, "a@example.org");
    assert_eq!(reply, "451 4.3.0 Local error in processing");
    std::fs::create_dir(path.parent().expect("a folder")).expect("a new folder");
    assert_eq!(send(&mut client, "a@example.org"), "250 2.6.0 written");
    client.begin();
    client.expect("RCPT TO:<b@example.org>", "250");
    client.expect("DATA", "354");
    client.expect("two answers\r\n.", "250");
    client.expect_reply("554");
    client.begin();
    client.expect("DATA", "354");
    client.send(b"\xff\r\n.\r\n");
    client.expect_reply("554 5.6.0");
}
