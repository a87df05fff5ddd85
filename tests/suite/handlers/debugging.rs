//! The handlers that print and throw away, and handlers that a program makes.

use std::io::{self, Write};
use std::sync::Arc;

use crate::support::client::Client;
use crate::support::skip;
use parking_lot::Mutex;
use pillarbox::handlers::{Debugging, Sink};
use pillarbox::{Envelope, Handler, Reply, Response, Server};

/// What was printed, and whether printing fails.
#[derive(Clone, Default)]
struct Screen(Arc<Mutex<(Vec<u8>, bool)>>);

impl Write for Screen {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        let mut screen = self.0.lock();
        if screen.1 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        screen.0.extend_from_slice(octets);
        Ok(octets.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Screen {
    fn take(&self) -> String {
        String::from_utf8(std::mem::take(&mut self.0.lock().0)).expect("only text is printed")
    }
}

fn debugging() -> (Server, Screen) {
    let screen = Screen::default();
    let server = Server::builder().smtputf8(true).serve("127.0.0.1:0", Debugging::new(screen.clone()));
    (server.expect("a free port"), screen)
}

fn send(client: &mut Client, content: impl AsRef<[u8]>, reply: &str) {
    client.begin();
    client.expect("DATA", "354");
    client.expect([content.as_ref(), b"."].concat(), reply);
}

#[test]
fn printed_as_smtpd_did() {
    let (server, screen) = debugging();
    let mut client = Client::ehlo(server.local_addr());
    client.expect("MAIL FROM:<a@b.example> body=8bitmime SMTPUTF8", "250");
    client.expect("RCPT TO:<c@d.example>", "250");
    client.expect("DATA", "354");
    client.expect("Subject: Gr\u{fc}\u{df}e\r\nTo: x\r\n\r\nfirst\r\n\r\nlast\r\n.", "250");
    assert_eq!(
        screen.take(),
        "---------- MESSAGE FOLLOWS ----------\nmail options: ['BODY=8BITMIME', 'SMTPUTF8']\nSubject: Gr\u{fc}\u{df}e\n\
         To: x\nX-Peer: 127.0.0.1\n\nfirst\n\nlast\n------------ END MESSAGE ------------\n"
    );
    send(&mut client, "Subject: no body\r\n", "250");
    assert_eq!(
        screen.take(),
        "---------- MESSAGE FOLLOWS ----------\nSubject: no body\nX-Peer: 127.0.0.1\n\
         ------------ END MESSAGE ------------\n"
    );
}

#[test]
fn the_size_that_a_client_declares_is_printed_unless_that_is_not_wanted() {
    for (shown, parameters, line) in [
        (true, "size=5", "mail options: ['SIZE=5']\n"),
        (true, "SIZE=5 BODY=8BITMIME", "mail options: ['SIZE=5', 'BODY=8BITMIME']\n"),
        (false, "size=5", ""),
        (false, "SIZE=5 BODY=8BITMIME", "mail options: ['BODY=8BITMIME']\n"),
    ] {
        let screen = Screen::default();
        let handler = Debugging::new(screen.clone()).size_option(shown);
        let server = Server::builder().serve("127.0.0.1:0", handler).expect("a free port");
        let mut client = Client::ehlo(server.local_addr());
        client.expect(format!("MAIL FROM:<a@b.example> {parameters}"), "250");
        client.expect("RCPT TO:<c@d.example>", "250");
        client.expect("DATA", "354");
        client.expect("S: x\r\n.", "250");
        let printed = screen.take();
        assert!(printed.starts_with(&format!("---------- MESSAGE FOLLOWS ----------\n{line}S: x\n")), "{printed}");
    }
}

#[test]
fn the_peer_is_an_address_without_a_port() {
    let screen = Screen::default();
    match Server::builder().serve("[::1]:0", Debugging::new(screen.clone())) {
        Ok(server) => {
            send(&mut Client::ehlo(server.local_addr()), "X-Peer: forged\r\n\r\n", "250");
            assert!(screen.take().contains("\nX-Peer: ::1\nX-Peer: forged\n\n-"));
        }
        Err(e) => skip::missing(&format!("no IPv6 here: {e}")),
    }
}

#[test]
fn a_last_line_that_does_not_end() {
    let (server, screen) = debugging();
    let mut client = Client::ehlo(server.local_addr());
    for (content, printed) in [("Subject: x", "Subject: x\nX-Peer: 127.0.0.1\n"), ("\r\nx", "X-Peer: 127.0.0.1\n\nx\n")]
    {
        client.begin();
        client.send(format!("BDAT {} LAST\r\n{content}", content.len()));
        client.expect_reply("250");
        let expected =
            format!("---------- MESSAGE FOLLOWS ----------\n{printed}------------ END MESSAGE ------------\n");
        assert_eq!(screen.take(), expected);
    }
}

#[test]
fn nothing_can_be_forged() {
    let (server, screen) = debugging();
    let mut client = Client::ehlo(server.local_addr());
    let frames = "---------- MESSAGE FOLLOWS ----------\r\n------------ END MESSAGE ------------\n\
                  ---------- MESSAGE FOLLOWS ----------\r\n";
    send(&mut client, format!("{frames}\r\n\x1b[2J\0\x07\x7f\u{9b}\u{202e}\r\n"), "250");
    let printed = screen.take();
    let lines: Vec<&str> = printed.lines().collect();
    assert_eq!(
        lines,
        [
            "---------- MESSAGE FOLLOWS ----------",
            "\\x2d--------- MESSAGE FOLLOWS ----------",
            "\\x2d----------- END MESSAGE ------------",
            "\\x2d--------- MESSAGE FOLLOWS ----------",
            "X-Peer: 127.0.0.1",
            "",
            "\\x1b[2J\\x00\\x07\\x7f\\u{9b}\\u{202e}",
            "------------ END MESSAGE ------------",
        ]
    );
    client.begin();
    client.send("BDAT 39 LAST\r\n\r\n------------ END MESSAGE ------------");
    client.expect_reply("250");
    assert!(screen.take().contains("\n\n\\x2d----------- END MESSAGE ------------\n-"));
    send(&mut client, b"\xff\xfe\r\n", "250");
    assert!(screen.take().contains("\n\\xff\\xfe\n"));
}

#[test]
fn what_cannot_be_printed_is_not_accepted() {
    let (server, screen) = debugging();
    let mut client = Client::ehlo(server.local_addr());
    screen.0.lock().1 = true;
    send(&mut client, "lost\r\n", "451 4.3.0");
    client.expect_in_step();
    screen.0.lock().1 = false;
    send(&mut client, "kept\r\n", "250");
    let printed = screen.take();
    assert!(printed.contains("kept") && !printed.contains("lost"), "{printed}");
}

#[test]
fn sink() {
    let server = Server::builder().serve("127.0.0.1:0", Sink).expect("a free port");
    send(&mut Client::ehlo(server.local_addr()), "x\r\n", "250 2.0.0 OK");
    assert_eq!(server.stats().accepted_octets, 3);
}

#[test]
fn closures_return_what_is_at_hand() {
    let check = |handler: Box<dyn Handler>, reply: &str| {
        struct Boxed(Box<dyn Handler>);
        impl Handler for Boxed {
            fn process_message(&mut self, mail: Envelope) -> Response {
                self.0.process_message(mail)
            }
        }
        let server = Server::builder().serve("127.0.0.1:0", Boxed(handler)).expect("a free port");
        send(&mut Client::ehlo(server.local_addr()), "x\r\n", reply);
    };
    check(Box::new(|_: Envelope| ()), "250 2.0.0 OK ");
    check(Box::new(|_: Envelope| None::<Reply>), "250 2.0.0 OK ");
    check(Box::new(|_: Envelope| Some(Reply::new(250, "2.6.0", "thanks"))), "250 2.6.0 thanks");
    check(Box::new(|_: Envelope| Reply::permanent("no")), "554 5.0.0 no");
    check(Box::new(|_: Envelope| Err::<(), _>(Reply::temporary("later"))), "451 4.3.0 later");
    let mixed = || vec![Reply::ok(), Reply::new(550, "5.1.1", "no such user")];
    check(Box::new(move |_: Envelope| Response::each(mixed())), "550 5.1.1 no such user");
}

#[test]
fn a_handler_keeps_its_state_without_a_lock() {
    let mut count = 0;
    let handler = move |_: Envelope| {
        count += 1;
        Reply::new(250, "2.0.0", format!("number {count}"))
    };
    let server = Server::builder().serve("127.0.0.1:0", handler).expect("a free port");
    let mut client = Client::ehlo(server.local_addr());
    for n in 1..4 {
        send(&mut client, "x\r\n", &format!("250 2.0.0 number {n}"));
    }
}
