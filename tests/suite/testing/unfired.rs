//! Rules that never act are known, and why.

use std::panic::{self, AssertUnwindSafe};
use std::time::Duration;

use crate::support::client::Client;
use pillarbox::testing::{Do, Event, Faults, Moment, On};
use pillarbox::{Inbox, Reply, Server, Verb};

fn inbox(faults: &Faults) -> Inbox {
    Server::builder().faults(faults.clone()).inbox("127.0.0.1:0").expect("a free port")
}

fn busy() -> Do {
    Do::Reply(Reply::new(450, "4.2.1", "busy"))
}

fn say(inbox: &Inbox) {
    let mut client = Client::ehlo(inbox.local_addr());
    client.expect("MAIL FROM:<a@client.example>", "250");
    client.expect("RCPT TO:<ann@example.org>", "250");
    client.expect("RCPT TO:<ann@example.org>", "250");
    client.expect("DATA", "354");
    client.send("hello\r\n.\r\n");
    client.expect_reply("250");
    client.expect("QUIT", "221");
    client.expect_close();
}

/// What is said of the one rule of a script, for a message from a@client.example to ann, who is named twice.
fn reason(on: On, what: Do) -> String {
    let faults = Faults::new().when(on, what);
    say(&inbox(&faults));
    let [unfired] = &faults.unfired()[..] else { panic!("{:?}", faults.fired()) };
    unfired.to_string()
}

#[test]
fn each_reason_is_told() {
    for (on, expected) in [
        (On::verb(Verb::Vrfy), "VRFY: reply \"450 4.2.1 busy\" (no VRFY came)"),
        (On::handshake(), "TLS handshake: reply \"450 4.2.1 busy\" (no TLS handshake came)"),
        (
            On::verb(Verb::Rcpt).to("bob@example.org"),
            "RCPT to bob@example.org: reply \"450 4.2.1 busy\" (RCPT came 2 times, but never to bob@example.org)",
        ),
        (
            On::verb(Verb::Mail).from("").message(1),
            "MAIL from <> in message 1: reply \"450 4.2.1 busy\" (MAIL came once, but never from <> in message 1)",
        ),
        (On::verb(Verb::Rcpt).nth(3), "RCPT, only time 3: reply \"450 4.2.1 busy\" (its occasion came only 2 times)"),
        (
            On::verb(Verb::Rcpt).to("ann@example.org").since(3),
            "RCPT to ann@example.org, from time 3 on: reply \"450 4.2.1 busy\" (its occasion came only 2 times)",
        ),
        (
            On::verb(Verb::Rcpt).chance(0.0, 1),
            "RCPT, with a probability of 0: reply \"450 4.2.1 busy\" (its occasion came 2 times, and chance spared it)",
        ),
        (
            On::content_after(11),
            "content of 11 octets or more: reply \"450 4.2.1 busy\" (no content of 11 octets or more came)",
        ),
        (
            On::accepted().to("bob@example.org"),
            "accepted message to bob@example.org: reply \"450 4.2.1 busy\" \
             (accepted message came once, but never to bob@example.org)",
        ),
    ] {
        assert_eq!(reason(on, busy()), expected);
    }
    let limit = Do::Limit { times: 5, per: Duration::from_secs(60), reply: Reply::temporary("later") };
    let text = reason(On::verb(Verb::Mail), limit);
    assert_eq!(text, "MAIL: limit of 5 in 60s (its occasion came once, and all were let pass)");
}

#[test]
fn numbers_tell_them_apart() {
    let faults = Faults::new()
        .when(On::command().to("ann@example.org").nth(2), Do::Delay(Duration::ZERO))
        .when(On::command().to("ann@example.org").nth(99), busy())
        .when(On::verb(Verb::Quit), Do::HangUp(Moment::Before))
        .when(On::verb(Verb::Quit), busy());
    let inbox = inbox(&faults);
    let mut client = Client::envelope(inbox.local_addr());
    client.expect("RCPT TO:<ann@example.org>", "250");
    client.expect("RSET", "250");
    client.send("QUIT\r\n");
    client.expect_close();
    assert_eq!(faults.times(), [1, 0, 1, 0]);
    let unfired: Vec<_> = faults.unfired().iter().map(|one| (one.on.event, one.events, one.counted, one.due)).collect();
    // EHLO, MAIL, two RCPT, RSET, QUIT. RSET still knows the recipients, QUIT does not.
    assert_eq!(unfired, [(Event::Command, 6, 2, 0), (Event::Verb(Verb::Quit), 1, 1, 1)]);
    let text = faults.unfired()[1].to_string();
    assert!(text.ends_with("(it was due once, but another fault decided over the reply)"), "{text}");
}

#[test]
fn a_test_fails_with_them() {
    let faults =
        Faults::new().when(On::verb(Verb::Rcpt).first(1), Do::Delay(Duration::ZERO)).when(On::verb(Verb::Vrfy), busy());
    say(&inbox(&faults));
    let failed = panic::catch_unwind(AssertUnwindSafe(|| faults.assert_all_fired())).expect_err("one did not");
    let text = failed.downcast_ref::<String>().expect("a text");
    assert_eq!(text, "1 of 2 faults have not happened:\n  VRFY: reply \"450 4.2.1 busy\" (no VRFY came)");
    faults.clear();
    faults.assert_all_fired();
}

#[test]
fn a_script_takes_the_place_of_another() {
    let faults = Faults::new().when(On::verb(Verb::Noop), busy());
    let inbox = inbox(&faults);
    let mut client = Client::connect(inbox.local_addr());
    client.expect("NOOP", "450 4.2.1 busy");
    let other = Faults::new().when(On::verb(Verb::Noop), Do::Reply(Reply::temporary("other")));
    faults.replace(&other);
    assert_eq!(faults.times(), [0]);
    client.expect("NOOP", "451 4.3.0 other");
    assert_eq!((faults.times(), other.times()), (vec![1], vec![0]));
    // By itself: its counts begin anew.
    faults.replace(&faults);
    assert_eq!(faults.times(), [0]);
    client.expect("NOOP", "451");
}

/// The rules were taken back before the new ones were there, and a command between them met none.
#[test]
fn no_command_comes_between_two_scripts() {
    let faults = Faults::new().when(On::verb(Verb::Noop), busy());
    let inbox = inbox(&faults);
    let busy = Faults::new().when(On::verb(Verb::Noop), busy());
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    // Their errors end a connection after a while.
                    for _ in 0..20 {
                        let mut client = Client::connect(inbox.local_addr());
                        for _ in 0..10 {
                            client.expect("NOOP", "450 4.2.1 busy");
                        }
                    }
                })
            })
            .collect();
        while !clients.iter().all(|client| client.is_finished()) {
            faults.replace(&busy);
        }
    });
}
