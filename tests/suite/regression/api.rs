//! What programs found that they could not do or rely on.

use crate::support::client;

use std::error::Error as _;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use client::{Client, PATIENCE};
use pillarbox::testing::{Do, Faults, Moment, On};
use pillarbox::{
    AddressProblem, Builder, Context, Envelope, Error, Handler, Inbox, Listener, MailParameters, Recipient, Reply,
    Response, ReversePath, Server, ServerHandle, Session, SessionFactory, Verb, handlers::Sink,
};

/// A grace time that no test can sit out.
const AN_HOUR: Duration = Duration::from_secs(3600);

fn inbox(builder: Builder) -> Inbox {
    builder.inbox("127.0.0.1:0").expect("a free port")
}

/// A client that is served from banner to 250: the server lives on.
#[track_caller]
fn expect_service(server: SocketAddr) {
    let mut client = Client::envelope(server);
    client.expect("DATA", "354");
    client.expect("hello\r\n.", "250 2.0.0 OK");
    client.expect("QUIT", "221");
    client.expect_close();
}

/// Says with which reply to accept in a single hook, wherever that is.
struct SaysIn(&'static str);

impl SaysIn {
    fn say(&self, hook: &str, context: &Context) {
        if self.0 == hook {
            context.accept_with(Reply::new(250, "2.1.0", "said in a hook"));
        }
    }
}

impl Session for SaysIn {
    fn connect(&mut self, context: &Context) -> Result<(), Reply> {
        self.say("connect", context);
        Ok(())
    }

    fn helo(&mut self, context: &Context, _: &str) -> Result<(), Reply> {
        self.say("helo", context);
        Ok(())
    }

    fn mail(&mut self, context: &Context, from: &ReversePath, _: &MailParameters) -> Result<(), Reply> {
        self.say("mail", context);
        if *from == "refused@b.example" { Err(Reply::permanent("no")) } else { Ok(()) }
    }

    fn rcpt(&mut self, context: &Context, _: &Recipient) -> Result<(), Reply> {
        self.say("rcpt", context);
        Ok(())
    }

    fn data(&mut self, context: &Context) -> Result<(), Reply> {
        self.say("data", context);
        Ok(())
    }

    fn rset(&mut self, context: &Context) {
        self.say("rset", context);
    }

    fn vrfy(&mut self, context: &Context, _: &[u8]) -> Option<Reply> {
        self.say("vrfy", context);
        None
    }

    fn expn(&mut self, context: &Context, _: &[u8]) -> Option<Reply> {
        self.say("expn", context);
        None
    }

    fn help(&mut self, context: &Context, _: &[u8]) -> Option<Reply> {
        self.say("help", context);
        None
    }

    fn command(&mut self, context: &Context, _: &[u8], _: &[u8]) -> Option<Reply> {
        self.say("command", context);
        None
    }
}

/// A hook that said in `connect`, `helo`, `command`, `data`, `rset` or `vrfy` with what to accept had that as the reply to a
/// later MAIL.
#[test]
fn an_acceptance_holds_for_its_own_command_alone() {
    let usual = Reply::ok().to_string();
    let own = "250 2.1.0 said in a hook";
    for hook in ["connect", "helo", "command", "data", "rset", "vrfy", "expn", "help", "mail", "rcpt"] {
        let inbox = inbox(Server::builder().session(move |_| SaysIn(hook)));
        let mut client = Client::connect(inbox.local_addr());
        for line in ["EHLO a", "VRFY a", "EXPN a", "HELP", "RSET", "MAIL FROM:<refused@b.example>"] {
            client.say(line);
        }
        for _ in 0..2 {
            let mail = if hook == "mail" { own } else { &usual };
            assert_eq!(client.say("MAIL FROM:<>"), mail, "{hook}");
            for _ in 0..2 {
                let rcpt = if hook == "rcpt" { own } else { &usual };
                assert_eq!(client.say("RCPT TO:<a@b.example>"), rcpt, "{hook}");
            }
            client.expect("DATA", "354");
            client.expect(".", "250 2.0.0 OK");
            assert_eq!(client.say("RSET"), usual, "{hook}");
            assert_eq!(client.say("NOOP"), usual, "{hook}");
        }
    }
}

/// Panics in a session factory reset the connection before the banner.
#[test]
fn a_factory_that_panics_costs_its_own_connection() {
    let first = AssertUnwindSafe(std::sync::atomic::AtomicBool::new(true));
    let inbox = inbox(Server::builder().session(move |_| {
        assert!(!first.swap(false, std::sync::atomic::Ordering::SeqCst), "on purpose");
    }));
    let mut client = Client::raw(inbox.local_addr());
    assert_eq!(client.reply(), "421 4.3.0 Local error in processing");
    client.expect_close();
    assert_eq!(inbox.server().stats().panics, 1);
    expect_service(inbox.local_addr());
    assert_eq!(inbox.server().stats().panics, 1);
}

/// Panics wherever it is told to.
struct PanicsIn(&'static str);

impl PanicsIn {
    fn check(&self, place: &str) {
        assert!(self.0 != place, "on purpose");
    }
}

impl Session for PanicsIn {
    fn connect(&mut self, context: &Context) -> Result<(), Reply> {
        match self.0 {
            "values" => drop(context.values().insert(PanicsIn("drop"))),
            "connection values" => drop(context.connection_values().insert(PanicsIn("drop"))),
            _ => self.check("connect"),
        }
        Ok(())
    }

    fn disconnect(&mut self, _: &Context) {
        self.check("disconnect");
    }
}

impl Drop for PanicsIn {
    fn drop(&mut self) {
        self.check("drop");
    }
}

/// What ran behind the last reply could end the thread, and two panics at once the process.
#[test]
fn panics_at_the_end_of_a_connection_stay_with_it() {
    for place in ["connect", "disconnect", "drop", "values", "connection values"] {
        let turn = std::sync::atomic::AtomicUsize::new(0);
        let inbox = inbox(Server::builder().session(move |_| {
            let is_first = turn.fetch_add(1, std::sync::atomic::Ordering::SeqCst) == 0;
            PanicsIn(if is_first { place } else { "nowhere" })
        }));
        let mut client = Client::raw(inbox.local_addr());
        if place == "connect" {
            client.expect_reply("421 4.3.0");
        } else {
            client.expect_reply("220");
            client.expect("QUIT", "221");
        }
        client.expect_close();
        inbox.wait_until_idle(PATIENCE).expect("the connection ends");
        assert_eq!(inbox.server().stats().panics, 1, "{place}");
        expect_service(inbox.local_addr());
        assert!(inbox.server().shutdown(PATIENCE).joined, "{place}");
    }
}

/// A handler whose own parts panic.
struct Careless(&'static str);

impl Handler for Careless {
    fn process_message(&mut self, _: Envelope) -> Response {
        assert!(self.0 != "process_message", "on purpose");
        ().into()
    }

    fn session(&self) -> Option<SessionFactory> {
        assert!(self.0 != "session", "on purpose");
        let place = self.0;
        Some(SessionFactory::new(move |_| assert!(place != "the session's factory", "on purpose")))
    }
}

/// Panics in a handler's own session factory, in its messages, and in what is asked before there is a server: these reach
/// whoever starts it.
#[test]
fn a_handler_that_panics() {
    let serve = |place| Server::builder().serve("127.0.0.1:0", Careless(place)).expect("a free port");
    let server = serve("the session's factory");
    Client::raw(server.local_addr()).expect_reply("421 4.3.0");
    assert_eq!(server.stats().panics, 1);
    let server = serve("process_message");
    let mut client = Client::envelope(server.local_addr());
    client.expect("DATA", "354");
    client.expect(".", "451 4.3.0");
    client.expect_in_step();
    assert_eq!(server.stats().panics, 1);

    let port = TcpListener::bind("127.0.0.1:0").expect("a free port").local_addr().expect("a TCP socket");
    assert!(catch_unwind(|| Server::builder().serve(port, Careless("session"))).is_err());
    let make = || -> Careless { panic!("on purpose") };
    assert!(catch_unwind(|| Server::builder().serve_with(port, make)).is_err());
    // Nothing was left at the port.
    assert!(TcpStream::connect(port).is_err());
}

#[cfg(feature = "auth")]
mod authentication {
    use pillarbox::{AuthFailure, Authenticator};

    use super::*;

    /// Knows nobody and says so loudly.
    struct Loud;

    impl Authenticator for Loud {
        fn password(&self, _: &pillarbox::Context, _: &str, _: &str) -> Result<String, AuthFailure> {
            panic!("on purpose")
        }
    }

    /// Panics in an authenticator.
    #[test]
    fn an_authenticator_that_panics_lets_nobody_in() {
        let inbox = inbox(Server::builder().authenticator(Loud).require_auth(true));
        let mut client = Client::ehlo(inbox.local_addr());
        client.expect("AUTH PLAIN AGJvYgBidWlsZGVy", "421 4.3.0");
        client.expect_close();
        assert_eq!(inbox.server().stats().panics, 1);
        Client::ehlo(inbox.local_addr()).expect("MAIL FROM:<>", "530 5.7.0");
    }
}

/// Panics in a TLS library.
#[test]
fn a_tls_acceptor_that_panics_costs_its_own_connection() {
    struct Broken;

    impl pillarbox::TlsAcceptor for Broken {
        fn accept(&self, _: pillarbox::Transport) -> std::io::Result<Box<dyn pillarbox::TlsStream>> {
            panic!("on purpose")
        }
    }

    let inbox = inbox(Server::builder().tls(pillarbox::Tls::new(Broken)));
    let mut client = Client::ehlo(inbox.local_addr());
    client.expect("STARTTLS", "220");
    // In the middle of a handshake there is nothing that could be said.
    client.expect_close();
    inbox.wait_until_idle(PATIENCE).expect("the connection ends");
    assert_eq!(inbox.server().stats().panics, 1);
    expect_service(inbox.local_addr());
}

/// As the acceptor, but later: what panicked is what the last reply would be written to, and what is dropped at the end.
#[test]
fn a_tls_stream_that_panics_costs_its_own_connection() {
    struct Acceptor;
    struct Stream;

    impl pillarbox::TlsAcceptor for Acceptor {
        fn accept(&self, _: pillarbox::Transport) -> std::io::Result<Box<dyn pillarbox::TlsStream>> {
            Ok(Box::new(Stream))
        }
    }

    impl pillarbox::TlsStream for Stream {
        fn info(&self) -> pillarbox::TlsInfo {
            pillarbox::TlsInfo::default()
        }

        fn close(&mut self) -> std::io::Result<()> {
            panic!("on purpose")
        }
    }

    impl std::io::Read for Stream {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            panic!("on purpose")
        }
    }

    impl std::io::Write for Stream {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            panic!("on purpose")
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    impl Drop for Stream {
        fn drop(&mut self) {
            panic!("on purpose");
        }
    }

    let inbox = inbox(Server::builder().tls(pillarbox::Tls::new(Acceptor)));
    let mut client = Client::ehlo(inbox.local_addr());
    client.expect("STARTTLS", "220");
    client.expect_close();
    inbox.wait_until_idle(PATIENCE).expect("the connection ends");
    // Reading, writing, and the end.
    assert_eq!(inbox.server().stats().panics, 3);
    assert_eq!(inbox.server().stats().open_connections, 0);
    expect_service(inbox.local_addr());
    assert!(inbox.server().shutdown(PATIENCE).joined);
}

/// What wants its server to end, once it has the server's handle.
#[derive(Clone, Default)]
struct Ending(Arc<OnceLock<ServerHandle>>);

impl Ending {
    fn of(self, server: &Server) {
        self.0.set(server.handle()).expect("one server");
    }

    fn begin(&self) {
        self.0.get().expect("a server").begin_shutdown(AN_HOUR);
    }

    /// Would wait for an hour if it waited.
    fn shut_down(&self) {
        assert!(!self.0.get().expect("a server").shutdown(AN_HOUR).joined);
    }
}

/// A handler that ended its own server waited for itself, as long as the grace time.
#[test]
fn a_handler_ends_its_server() {
    for end in [Ending::begin, Ending::shut_down] {
        let ending = Ending::default();
        let own = ending.clone();
        let server = Server::builder().serve("127.0.0.1:0", move |_: Envelope| end(&own)).expect("a free port");
        ending.of(&server);
        let mut idle = Client::connect(server.local_addr());
        let mut client = Client::envelope(server.local_addr());
        client.expect("DATA", "354");
        client.expect(".", "250 2.0.0 OK");
        client.expect_reply("421 4.3.2");
        client.expect_close();
        idle.expect_reply("421 4.3.2");
        let report = server.join();
        assert_eq!((report.cut, report.joined), (0, true));
    }
}

/// As the handler: a hook's own connection was what the shutdown waited for.
#[test]
fn a_hook_ends_its_server() {
    struct Stop(Ending, fn(&Ending));

    impl Session for Stop {
        fn command(&mut self, _: &Context, verb: &[u8], _: &[u8]) -> Option<Reply> {
            (verb == b"XSTOP").then(|| {
                self.1(&self.0);
                Reply::new(250, "2.0.0", "as you wish")
            })
        }
    }

    for end in [Ending::begin, Ending::shut_down] {
        let ending = Ending::default();
        let own = ending.clone();
        let make = move |_: &pillarbox::Endpoint| Stop(own.clone(), end);
        let server = Server::builder().session(make).serve("127.0.0.1:0", Sink).expect("a free port");
        ending.of(&server);
        let mut client = Client::connect(server.local_addr());
        // Often: it is begun once.
        client.send("XSTOP\r\nXSTOP\r\n");
        client.expect_reply("250 2.0.0 as you wish");
        let report = server.join();
        assert_eq!((report.cut, report.joined), (0, true));
    }
}

/// A server that its own handler drops ends as one that anybody else drops.
#[test]
fn a_handler_drops_its_server() {
    let kept: Arc<Mutex<Option<Server>>> = Arc::default();
    let own = kept.clone();
    let handler = move |_: Envelope| drop(own.lock().unwrap().take());
    let server = Server::builder().serve("127.0.0.1:0", handler).expect("a free port");
    let (address, handle) = (server.local_addr(), server.handle());
    *kept.lock().unwrap() = Some(server);
    let mut client = Client::envelope(address);
    client.expect("DATA", "354");
    client.expect(".", "250 2.0.0 OK");
    client.expect_reply("421 4.3.2");
    assert!(handle.shutdown(AN_HOUR).joined);
}

/// Another server's handler is a stranger: it waits for the end, as anybody else.
#[test]
fn a_handler_ends_another_server() {
    let other = inbox(Server::builder());
    let (handle, (sender, reports)) = (other.server().handle(), mpsc::channel());
    let handler = move |_: Envelope| sender.send(handle.shutdown(AN_HOUR)).expect("the test waits");
    let server = Server::builder().serve("127.0.0.1:0", handler).expect("a free port");
    expect_service(server.local_addr());
    assert!(reports.recv_timeout(PATIENCE).expect("a report").joined);
    assert!(Client::try_raw(other.local_addr()).is_err());
}

/// Of a reply and a hang-up for the same command, the one that was written first decided whether the other was heeded.
#[test]
fn a_reply_and_a_hang_up_in_either_order() {
    let busy = || Do::Reply(Reply::new(450, "4.2.1", "busy"));
    let garbage = || Do::Garbage(b"#!@\r\n".to_vec());
    let on = || On::verb(Verb::Rcpt);
    for (reply, moment, said) in [
        (busy(), Moment::After, "450 4.2.1 busy\r\n"),
        (busy(), Moment::Within, "450 4.2."),
        (busy(), Moment::Before, ""),
        (garbage(), Moment::After, "#!@\r\n"),
    ] {
        let hang_up = Do::HangUp(moment);
        for faults in [
            Faults::new().when(on(), reply.clone()).when(on(), hang_up.clone()),
            Faults::new().when(on(), hang_up).when(on(), reply),
        ] {
            let inbox = inbox(Server::builder().faults(faults));
            let mut client = Client::ehlo(inbox.local_addr());
            client.expect("MAIL FROM:<>", "250");
            client.send("RCPT TO:<a@b.example>\r\n");
            assert_eq!(String::from_utf8_lossy(&client.closed()), said, "{moment:?}");
        }
    }
    // So it is with what only delays or drips, and with events that are no command.
    for (first, second) in [(busy(), Do::Drip(Duration::ZERO)), (garbage(), Do::Delay(Duration::from_millis(1)))] {
        let faults = Faults::new().when(on(), first).when(on(), second).when(on(), Do::Reset(Moment::Before));
        let inbox = inbox(Server::builder().faults(faults.clone()));
        let mut client = Client::ehlo(inbox.local_addr());
        client.expect("MAIL FROM:<>", "250");
        client.send("RCPT TO:<a@b.example>\r\n");
        assert_eq!(client.closed(), b"");
        let fired: Vec<String> = faults.fired().iter().map(|fired| fired.what.to_string()).collect();
        assert_eq!(fired.len(), 2, "{fired:?}");
    }
    let faults = Faults::new().when(On::connect(), garbage()).when(On::connect(), Do::HangUp(Moment::After));
    let inbox = inbox(Server::builder().faults(faults));
    assert_eq!(Client::raw(inbox.local_addr()).closed(), b"#!@\r\n");
}

/// An error and its causes, as a program prints them.
fn chain(error: &Error) -> Vec<String> {
    let mut texts = vec![error.to_string()];
    let mut source = error.source();
    while let Some(error) = source {
        texts.push(error.to_string());
        source = error.source();
    }
    texts
}

fn error(at: impl Into<Listener>) -> Error {
    Server::builder().serve(at, Sink).map(drop).expect_err("this cannot be listened at")
}

/// Whoever printed an error with its causes read the last one two or three times.
#[test]
fn an_error_does_not_repeat_its_source() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("a TCP socket").to_string();
    let taken = chain(&error(&*address));
    assert_eq!(taken[0], format!("cannot listen on {address}"));
    for error in [error(&*address), error("host.invalid:25"), error("127.0.0.1"), error("192.0.2.1:0")] {
        let texts = chain(&error);
        for (at, text) in texts.iter().enumerate() {
            assert!(!texts[at + 1..].iter().any(|cause| text.contains(&**cause)), "{texts:?}");
        }
    }
    assert_eq!(error(&*address).hint(), Some("another server is there: stop it, or choose another port"));
}

/// An address without a port was an "invalid socket address".
#[test]
fn an_address_says_what_it_lacks() {
    for (address, wanted, text) in [
        ("127.0.0.1", AddressProblem::NoPort, "no port"),
        ("localhost", AddressProblem::NoPort, "no port"),
        ("[::1]", AddressProblem::NoPort, "no port"),
        ("::1", AddressProblem::NoBrackets, "square brackets"),
        ("::1:25", AddressProblem::NoBrackets, "square brackets"),
        ("localhost:smtp", AddressProblem::BadPort, "bad port"),
        ("127.0.0.1:65536", AddressProblem::BadPort, "bad port"),
        (":25", AddressProblem::NoHost, "no host"),
    ] {
        let error = error(address);
        assert!(matches!(&error, Error::Address { problem, .. } if *problem == wanted), "{address}: {error:?}");
        let shown = error.to_string();
        assert!(shown.contains(text) && shown.contains(&format!("{address:?}")), "{shown}");
    }
}

/// A server on Unix sockets alone said that it listens at `0.0.0.0:0`.
#[cfg(unix)]
#[test]
fn there_is_no_address_where_there_is_no_tcp() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("mail.sock");
    let inbox = Server::builder().inbox(Listener::unix(&path)).expect("a new socket");
    assert_eq!(inbox.server().try_local_addr(), None);
    for ask in [|inbox: &Inbox| inbox.local_addr().to_string(), Inbox::url] {
        let panic = catch_unwind(AssertUnwindSafe(|| ask(&inbox))).expect_err("there is none");
        let text = panic.downcast_ref::<String>().expect("a text");
        assert_eq!(*text, format!("this server has no TCP address: it listens on unix:{}", path.display()));
    }
    // One beside it is found, whichever came first.
    let both = Server::builder().listen("127.0.0.1:0").inbox(Listener::unix(folder.path().join("2"))).expect("both");
    assert_eq!(both.server().try_local_addr(), Some(both.local_addr()));
    Client::connect(both.local_addr()).expect("NOOP", "250");
}

/// The URL of a listener at all addresses named `0.0.0.0`, where not every system can connect to.
#[test]
fn the_url_of_a_wildcard_can_be_reached() {
    let inbox = Server::builder().inbox("0.0.0.0:0").expect("a free port");
    let port = inbox.local_addr().port();
    assert_eq!(inbox.url(), format!("smtp://127.0.0.1:{port}"));
    assert_eq!(inbox.local_addr(), SocketAddr::from(([0, 0, 0, 0], port)));
    expect_service(inbox.url().strip_prefix("smtp://").unwrap().parse().unwrap());
    if let Ok(inbox) = Server::builder().lmtp(true).inbox("[::]:0") {
        assert_eq!(inbox.url(), format!("lmtp://[::1]:{}", inbox.local_addr().port()));
    }
}
