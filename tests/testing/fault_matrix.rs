//! Every fault at every place of a conversation, in SMTP and LMTP, step by step and pipelined: it happens once, a message
//! arrives if it should, and the conversation is in step or over.

use std::thread;
use std::time::{Duration, Instant};

use crate::support::client::{Client, PATIENCE};
use pillarbox::testing::{Do, Faults, Moment, On};
use pillarbox::{Reply, Server, Verb};

/// The places, in their order.
const PLACES: [&str; 9] = ["connect", "hello", "noop", "mail", "rcpt", "data", "content", "accepted", "quit"];

fn on(place: &str, lmtp: bool) -> On {
    match place {
        "connect" => On::connect(),
        "hello" => On::verb(if lmtp { Verb::Lhlo } else { Verb::Ehlo }),
        "noop" => On::verb(Verb::Noop).first(1),
        "mail" => On::verb(Verb::Mail),
        "rcpt" => On::verb(Verb::Rcpt),
        "data" => On::verb(Verb::Data),
        "content" => On::content(),
        "accepted" => On::accepted(),
        _ => On::verb(Verb::Quit),
    }
}

/// What a fault means for the one who talks.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    /// Nothing but time.
    Slow,
    /// The reply is another one.
    Other,
    /// The connection ends in the place of the reply.
    EndBefore,
    /// It ends within or behind the reply, to a command that took effect.
    EndAfter,
    /// The reply never comes.
    Stall,
}

fn faults() -> Vec<(Do, Kind)> {
    let mut faults = vec![
        (Do::Delay(Duration::from_millis(1)), Kind::Slow),
        (Do::Drip(Duration::from_micros(10)), Kind::Slow),
        (Do::Reply(Reply::new(450, "4.2.1", "busy")), Kind::Other),
        (Do::Reply(Reply::new(451, "4.0.0", "one\ntwo")), Kind::Other),
        (Do::Garbage(b"%%%\r\n".to_vec()), Kind::Other),
        (Do::Reply(Reply::new(421, "4.3.2", "bye")), Kind::EndBefore),
        (Do::Stall, Kind::Stall),
    ];
    for (moment, kind) in
        [(Moment::Before, Kind::EndBefore), (Moment::Within, Kind::EndAfter), (Moment::After, Kind::EndAfter)]
    {
        faults.extend([(Do::HangUp(moment), kind), (Do::Reset(moment), kind)]);
    }
    faults
}

/// Whether the message arrives.
fn arrives(place: &str, what: &Do, kind: Kind) -> bool {
    match (place, kind) {
        (_, Kind::Slow) | ("accepted" | "quit", _) | ("content", Kind::EndAfter) | ("noop", Kind::Other) => true,
        // A banner that refuses is a refusal; one that is none is taken for what it is not.
        ("connect", Kind::Other) => matches!(what, Do::Garbage(_)),
        _ => false,
    }
}

/// Talks until the connection ends, or to the end; whether it ended. Of a stall it hears nothing, so it stops before.
fn talk(client: &mut Client, lmtp: bool, pipelined: bool, stall: Option<usize>) -> bool {
    let hello = if lmtp { "LHLO client.example\r\n" } else { "EHLO client.example\r\n" };
    let steps = ["", hello, "NOOP\r\n", "MAIL FROM:<a@b.example>\r\n", "RCPT TO:<c@d.example>\r\n", "DATA\r\n"];
    let stall = stall.unwrap_or(PLACES.len());
    if pipelined {
        client.try_send(steps.concat());
    }
    let mut reply = String::new();
    for (at, step) in steps.iter().enumerate() {
        if !pipelined {
            client.try_send(step);
        }
        if at == stall {
            return false;
        }
        reply = client.reply();
        if reply.ends_with("<closed>") {
            return true;
        }
    }
    if reply.starts_with("354") {
        client.try_send("Subject: x\r\n\r\nNOOP\r\n.\r\n");
        if (6..8).contains(&stall) {
            return false;
        }
        if client.reply().ends_with("<closed>") {
            return true;
        }
    }
    // A 421, or a fault behind the reply, ends it here.
    if !client.try_send("VRFY step\r\n") {
        return true;
    }
    let reply = client.reply();
    if reply.ends_with("<closed>") {
        return true;
    }
    assert!(reply.starts_with("252 2.5.2"), "out of step: {reply}");
    client.try_send("QUIT\r\n");
    if stall == 8 {
        return false;
    }
    let reply = client.reply();
    // A QUIT that got another reply has no effect.
    let ended = reply.ends_with("<closed>") || reply.starts_with("221") || reply.starts_with("421");
    if ended {
        client.closed();
    }
    ended
}

fn check(place: usize, what: &Do, kind: Kind, lmtp: bool, pipelined: bool) {
    let name = format!("{what} at {}, lmtp {lmtp}, pipelined {pipelined}", PLACES[place]);
    let script = Faults::new().when(on(PLACES[place], lmtp), what.clone());
    let inbox = Server::builder().lmtp(lmtp).faults(script.clone()).inbox("127.0.0.1:0").expect("a free port");
    let mut client = Client::raw(inbox.local_addr());
    let ended = talk(&mut client, lmtp, pipelined, (kind == Kind::Stall).then_some(place));
    let deadline = Instant::now() + PATIENCE;
    while script.fired().iter().map(|fired| fired.times).sum::<u64>() != 1 {
        assert!(Instant::now() < deadline, "{name}: {:?}", script.fired());
        thread::yield_now();
    }
    assert_eq!(inbox.len(), usize::from(arrives(PLACES[place], what, kind)), "{name}");
    if kind == Kind::Other && (PLACES[place] == "quit") {
        assert!(!ended, "{name}");
        client.expect_in_step();
    } else {
        assert_eq!(ended, kind != Kind::Stall, "{name}");
    }
    // Whatever happened to that one, the next is served, and a server that is dropped lets go of it.
    script.clear();
    let mut next = Client::connect(inbox.local_addr());
    next.expect("NOOP", "250");
    drop(inbox);
    client.closed();
}

#[test]
fn each_at_each_place() {
    thread::scope(|scope| {
        for place in 0..PLACES.len() {
            scope.spawn(move || {
                for (what, kind) in faults() {
                    for (lmtp, pipelined) in [(false, false), (false, true), (true, false), (true, true)] {
                        check(place, &what, kind, lmtp, pipelined);
                    }
                }
            });
        }
    });
}
