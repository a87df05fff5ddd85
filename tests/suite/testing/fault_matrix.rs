//! Every fault at every place of a conversation, in SMTP and LMTP, step by step and pipelined: it happens once, a message
//! arrives if it should, and the conversation is in step or over.

use std::thread;
use std::time::{Duration, Instant};

use crate::support::client::{Client, PATIENCE};
use pillarbox::testing::{Do, Faults, Moment, On};
use pillarbox::{Reply, Server, Verb};

/// The places, in their order.
const PLACES: [&str; 11] =
    ["connect", "hello", "noop", "mail", "rcpt", "data", "within", "content", "verdict", "accepted", "quit"];

/// The last of them, and those whose reply is the one to the content.
const QUIT: usize = 10;
const BEHIND_CONTENT: std::ops::Range<usize> = 6..QUIT;

fn on(place: &str, lmtp: bool) -> On {
    match place {
        "connect" => On::connect(),
        "hello" => On::verb(if lmtp { Verb::Lhlo } else { Verb::Ehlo }),
        "noop" => On::verb(Verb::Noop).first(1),
        "mail" => On::verb(Verb::Mail),
        "rcpt" => On::verb(Verb::Rcpt),
        "data" => On::verb(Verb::Data),
        "within" => On::content_after(10),
        "content" => On::content(),
        "verdict" => On::verdict(),
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
        (Do::Bandwidth(1_000_000), Kind::Slow),
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
        (_, Kind::Slow)
        | ("verdict" | "accepted" | "quit", _)
        | ("content", Kind::EndAfter)
        | ("noop", Kind::Other) => true,
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
        if BEHIND_CONTENT.contains(&stall) {
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
    if stall == QUIT {
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
        for (place, name) in PLACES.iter().enumerate() {
            scope.spawn(move || {
                for (what, kind) in faults() {
                    for (lmtp, pipelined) in [(false, false), (false, true), (true, false), (true, true)] {
                        // Only LMTP has a reply for each recipient.
                        if lmtp || *name != "verdict" {
                            check(place, &what, kind, lmtp, pipelined);
                        }
                    }
                }
            });
        }
    });
}

/// Faults within content: at each number of octets, however the content comes.
#[cfg(feature = "tls")]
mod within_content {
    use std::io::{Read, Write};

    use super::*;
    use crate::support::tls::{Certificate, TlsClient};
    use native_tls::TlsConnector;
    use pillarbox::{Inbox, Tls};

    /// Without the final dot; the first half ends within a line.
    const CONTENT: &str = "Subject: x\r\n\r\n..\r\nNOOP\r\nQUIT\r\nthe last line\r\n";
    const HALF: usize = CONTENT.len() / 2;

    /// How a message comes.
    #[derive(Clone, Copy, Debug)]
    struct Way {
        lmtp: bool,
        tls: bool,
        /// None is DATA.
        chunks: Option<usize>,
        /// Each octet for itself, and sent at once.
        by_octet: bool,
    }

    impl Way {
        /// What comes behind MAIL and RCPT, in the pieces that each get a reply, with the octets of content in each.
        fn pieces(self) -> Vec<(String, usize)> {
            match self.chunks {
                None => vec![("DATA\r\n".to_owned(), 0), (format!("{CONTENT}.\r\n"), CONTENT.len() + 3)],
                Some(1) => vec![(format!("BDAT {} LAST\r\n{CONTENT}", CONTENT.len()), CONTENT.len())],
                Some(_) => {
                    let (first, last) = CONTENT.split_at(HALF);
                    let chunk =
                        |octets: &str, last: &str| (format!("BDAT {}{last}\r\n{octets}", octets.len()), octets.len());
                    vec![chunk(first, ""), chunk(last, " LAST")]
                }
            }
        }

        fn total(self) -> usize {
            self.pieces().iter().map(|(_, octets)| octets).sum()
        }
    }

    fn check(way: Way, mark: usize, what: &Do, kind: Kind, connector: &TlsConnector, tls: &Tls) {
        let name = format!("{what} after {mark}, {way:?}");
        let script = Faults::new().when(On::content_after(mark as u64), what.clone());
        let builder = Server::builder().lmtp(way.lmtp).tls(tls.clone()).faults(script.clone());
        let inbox = builder.inbox("127.0.0.1:0").expect("a free port");
        let mut client = TlsClient::connect(inbox.local_addr());
        client.stream.set_nodelay(true).expect("a TCP socket");
        client.expect_reply("220 ");
        let hello = if way.lmtp { "LHLO client.example" } else { "EHLO client.example" };
        client.expect(hello, "250");
        if way.tls {
            client.expect("STARTTLS", "220 2.0.0");
            let mut client = client.handshake_by(connector);
            client.expect(hello, "250");
            talk(client, way, mark, kind, &script, inbox, &name);
        } else {
            talk(client, way, mark, kind, &script, inbox, &name);
        }
    }

    fn talk<S: Read + Write>(
        mut client: TlsClient<S>,
        way: Way,
        mark: usize,
        kind: Kind,
        script: &Faults,
        inbox: Inbox,
        name: &str,
    ) {
        client.expect("MAIL FROM:<a@b.example>", "250");
        client.expect("RCPT TO:<c@d.example>", "250");
        let is_due = mark <= way.total();
        let mut sent = 0;
        for (piece, octets) in way.pieces() {
            send(&mut client.stream, &piece, way.by_octet);
            // DATA has come to its content when its 354 is said.
            let is_reached = is_due && mark <= sent + octets && (octets > 0 || mark == 0);
            // A fault within content is one for all of it that is still to come.
            let is_first = is_reached && (sent < mark || sent == 0);
            let is_data = octets == 0;
            sent += octets;
            match kind {
                Kind::Stall | Kind::EndBefore if is_reached => return ended(client, kind, mark, script, &inbox, name),
                Kind::Other if is_data => assert!(client.reply().starts_with("354"), "{name}"),
                Kind::Other if is_reached && is_first => assert_eq!(client.reply(), "450 4.2.1 busy", "{name}"),
                Kind::Other if is_reached => assert!(client.reply().starts_with("503"), "{name}"),
                _ => {
                    let reply = client.reply();
                    assert!(reply.starts_with(if is_data { "354" } else { "250" }), "{name}: {reply}");
                }
            }
        }
        client.expect("VRFY step", "252 2.5.2");
        client.expect("NOOP", "250 2.0.0 OK");
        assert_eq!(inbox.len(), usize::from(!is_due || kind == Kind::Slow), "{name}");
        assert_eq!(script.times(), [u64::from(is_due)], "{name}");
    }

    /// The connection has ended where it should, and nothing of the message is left.
    fn ended<S: Read + Write>(
        mut client: TlsClient<S>,
        kind: Kind,
        mark: usize,
        script: &Faults,
        inbox: &Inbox,
        name: &str,
    ) {
        if kind == Kind::EndBefore {
            while !client.reply().ends_with("<closed>") {}
            drop(client);
            inbox.wait_until_idle(PATIENCE).expect("the connection ends");
        }
        let deadline = Instant::now() + PATIENCE;
        while script.times() != [1] {
            assert!(Instant::now() < deadline, "{name}");
            thread::yield_now();
        }
        assert!(inbox.is_empty(), "{name}");
        let transcript = &inbox.transcripts()[0];
        let content = transcript.entries().iter().filter(|entry| entry.is_content);
        let octets: u64 = content.map(|entry| entry.octets.len() as u64 + entry.omitted).sum();
        assert_eq!(octets, mark as u64, "{name}:\n{transcript}");
    }

    /// To a server that may have closed.
    fn send(stream: &mut impl Write, octets: &str, each: bool) {
        let size = if each { 1 } else { octets.len() };
        let _ = octets.as_bytes().chunks(size).try_for_each(|piece| stream.write_all(piece));
    }

    #[test]
    fn each_at_each_octet_that_matters() {
        let certificate = Certificate::new();
        let (connector, tls) = (certificate.connector(), certificate.tls());
        let faults = [
            (Do::Delay(Duration::from_millis(1)), Kind::Slow),
            (Do::Bandwidth(1_000_000), Kind::Slow),
            (Do::Reply(Reply::new(450, "4.2.1", "busy")), Kind::Other),
            (Do::Reply(Reply::new(421, "4.3.2", "bye")), Kind::EndBefore),
            (Do::HangUp(Moment::Before), Kind::EndBefore),
            (Do::Reset(Moment::After), Kind::EndBefore),
            (Do::Stall, Kind::Stall),
        ];
        let ways = [None, Some(1), Some(2)].into_iter().flat_map(|chunks| {
            let all = [(false, false, false), (false, true, true), (true, false, true), (true, true, false)];
            all.map(|(lmtp, tls, by_octet)| Way { lmtp, tls, chunks, by_octet })
        });
        thread::scope(|scope| {
            for way in ways {
                let (faults, connector, tls) = (&faults, &connector, &tls);
                scope.spawn(move || {
                    let total = way.total();
                    for mark in [0, 1, HALF, HALF + 1, total - 1, total, total + 1] {
                        faults.iter().for_each(|(what, kind)| check(way, mark, what, *kind, connector, tls));
                    }
                });
            }
        });
    }
}
