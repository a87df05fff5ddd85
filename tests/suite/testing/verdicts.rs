//! Faults in the replies for single recipients: over LMTP, and with PRDR.

use std::time::Duration;

use crate::support::client::{Client, PATIENCE};
use pillarbox::testing::{Do, Faults, Moment, On};
use pillarbox::{Inbox, Reply, Response, Server, Verb};

fn full() -> Do {
    Do::Reply(Reply::new(452, "4.2.2", "mailbox full"))
}

fn bob() -> On {
    On::verdict().to("bob@example.org")
}

fn lmtp(faults: &Faults) -> Inbox {
    Server::builder().lmtp(true).faults(faults.clone()).inbox("127.0.0.1:0").expect("a free port")
}

/// A client that has named ann, bob and carol.
fn named(inbox: &Inbox, hello: &str, parameters: &str) -> Client {
    let mut client = Client::connect(inbox.local_addr());
    client.expect(hello, "250");
    name(&mut client, parameters);
    client
}

fn name(client: &mut Client, parameters: &str) {
    client.expect(format!("MAIL FROM:<a@client.example>{parameters}"), "250");
    for to in ["ann", "bob", "carol"] {
        client.expect(format!("RCPT TO:<{to}@example.org>"), "250");
    }
}

fn replies(client: &mut Client, expected: &[&str]) {
    for reply in expected {
        client.expect_reply(reply);
    }
    client.expect_in_step();
}

#[test]
fn one_of_several_over_lmtp() {
    let faults = Faults::new().when(bob(), full());
    let inbox = lmtp(&faults);
    let mut client = named(&inbox, "LHLO client.example", "");
    client.expect("DATA", "354");
    client.send("hello\r\n.\r\n");
    replies(&mut client, &["250 2.0.0 OK", "452 4.2.2 mailbox full", "250 2.0.0 OK"]);
    name(&mut client, "");
    client.send("BDAT 7 LAST\r\nhello\r\n");
    replies(&mut client, &["250 2.0.0 OK", "452 4.2.2 mailbox full", "250 2.0.0 OK"]);
    // The handler had it for all of them.
    let mails = inbox.recv_n(2, PATIENCE).expect("both");
    assert!(mails.iter().all(|mail| mail.recipients().len() == 3));
    assert_eq!(faults.times(), [2]);
}

#[test]
fn each_recipient_is_an_occasion_and_those_named_twice_are_two() {
    let faults = Faults::new().when(On::verdict().nth(2).from("@client.example"), full());
    let inbox = lmtp(&faults);
    let mut client = Client::connect(inbox.local_addr());
    client.expect("LHLO client.example", "250");
    client.expect("MAIL FROM:<a@client.example>", "250");
    for _ in 0..3 {
        client.expect("RCPT TO:<bob@example.org>", "250");
    }
    client.expect("DATA", "354");
    client.send(".\r\n");
    replies(&mut client, &["250", "452 4.2.2", "250"]);
}

#[test]
fn a_reply_that_asks_for_something_is_a_refusal() {
    let inbox = lmtp(&Faults::new().when(bob(), Do::Reply(Reply::new(354, "", "send"))));
    let mut client = named(&inbox, "LHLO client.example", "");
    client.expect("DATA", "354");
    client.send(".\r\n");
    replies(&mut client, &["250", "451", "250"]);
}

/// The client knows of ann, and of nobody else.
#[test]
fn the_connection_may_end_between_two() {
    for (what, last) in [
        (Do::HangUp(Moment::Before), "<closed>"),
        (Do::HangUp(Moment::Within), "250 2.0.0 OK"),
        (Do::HangUp(Moment::After), "250 2.0.0 OK"),
        (Do::Reply(Reply::new(421, "4.3.2", "bye")), "421 4.3.2 bye"),
    ] {
        let inbox = lmtp(&Faults::new().when(bob(), what.clone()));
        let mut client = named(&inbox, "LHLO client.example", "");
        client.expect("DATA", "354");
        client.send(".\r\n");
        client.expect_reply("250 2.0.0 OK");
        let rest = String::from_utf8(client.closed()).expect("text");
        match what {
            Do::HangUp(Moment::Before) => assert_eq!(rest, ""),
            Do::HangUp(Moment::Within) => assert!(rest.starts_with("250 ") && !rest.contains('\r'), "{rest}"),
            _ => assert!(rest.starts_with(last) && rest.matches("\r\n").count() == 1, "{what}: {rest}"),
        }
        assert_eq!(inbox.recv_timeout(PATIENCE).expect("it was delivered").recipients().len(), 3);
    }
}

#[test]
fn a_stall_between_two_holds_up_no_shutdown() {
    let faults = Faults::new().when(bob(), Do::Stall);
    let inbox = lmtp(&faults);
    let mut client = named(&inbox, "LHLO client.example", "");
    client.expect("DATA", "354");
    client.send(".\r\n");
    client.expect_reply("250 2.0.0 OK");
    while faults.times() != [1] {
        std::thread::yield_now();
    }
    let report = inbox.server().shutdown(PATIENCE);
    assert_eq!((report.cut, report.joined), (0, true));
    client.expect_close();
}

#[test]
fn with_prdr_and_for_nobody_else() {
    let faults = Faults::new().when(bob(), full());
    let inbox = Server::builder().prdr(true).faults(faults.clone()).inbox("127.0.0.1:0").expect("a free port");
    let mut client = named(&inbox, "EHLO client.example", " PRDR");
    client.expect("DATA", "354");
    client.send(".\r\n");
    replies(&mut client, &["353", "250 2.0.0 OK", "452 4.2.2", "250 2.0.0 OK", "250 2.0.0 OK"]);
    name(&mut client, "");
    client.expect("DATA", "354");
    client.send(".\r\n");
    replies(&mut client, &["250 2.0.0 OK"]);
    assert_eq!((faults.times(), inbox.len()), (vec![1], 2));
    // All are refused, and so the last reply is a refusal.
    faults.replace(&Faults::new().when(On::verdict(), full()));
    name(&mut client, " PRDR");
    client.expect("DATA", "354");
    client.send(".\r\n");
    replies(&mut client, &["353", "452 4.2.2", "452 4.2.2", "452 4.2.2", "452 4.2.2"]);
}

#[test]
fn beside_what_the_handler_says() {
    let no = |_: pillarbox::Envelope| Response::each([Err(Reply::permanent("no")), Ok(()), Ok(())]);
    let faults =
        Faults::new().when(bob(), full()).when(On::verdict().to("carol@example.org"), Do::Delay(Duration::ZERO));
    let server = Server::builder().lmtp(true).faults(faults.clone()).serve("127.0.0.1:0", no).expect("a free port");
    let mut client = Client::connect(server.local_addr());
    client.expect("LHLO client.example", "250");
    name(&mut client, "");
    client.expect("DATA", "354");
    client.send(".\r\n");
    replies(&mut client, &["554 5.0.0 no", "452 4.2.2", "250 2.0.0 OK"]);
    faults.assert_all_fired();
}

/// Recipients are looked at before the message is delivered, and only if somebody may want to know them.
#[test]
fn many_recipients() {
    let faults = Faults::new()
        .when(On::verdict().to("r999@example.org"), full())
        .when(On::verb(Verb::Rcpt).every(2), Do::Reply(Reply::new(550, "5.1.1", "no such user")));
    let inbox = lmtp(&faults);
    let mut client = Client::connect(inbox.local_addr());
    client.expect("LHLO client.example", "250");
    client.expect("MAIL FROM:<>", "250");
    // Fewer errors in a row than end a connection.
    for n in 985..1000 {
        client.send(format!("RCPT TO:<r{n}@example.org>\r\n"));
        client.expect_reply(if n % 2 == 0 { "550" } else { "250" });
    }
    client.expect("DATA", "354");
    client.send(".\r\n");
    for _ in 0..7 {
        client.expect_reply("250");
    }
    replies(&mut client, &["452 4.2.2"]);
}
