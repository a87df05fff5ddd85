//! Content seen by a session's hooks while it comes.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use crate::support::client::{Client, PATIENCE};
use crate::support::wait_until;
use parking_lot::Mutex;
use pillarbox::crossbeam_channel::{Receiver, Sender, unbounded};
use pillarbox::{Builder, Context, Handler, Inbox, LineEnds, Reply, Response, Server, Session, SessionFactory, Verb};
use proptest::prelude::*;

/// Collects what it sees, for the envelope.
struct Seeing;

/// What was seen of one message, and whether its end was.
#[derive(Default)]
struct Seen {
    content: Vec<u8>,
    is_complete: bool,
}

impl Session for Seeing {
    fn data(&mut self, context: &Context) -> Result<(), Reply> {
        assert!(context.values().insert(Seen::default()).is_none(), "one of another message");
        Ok(())
    }

    fn content(&mut self, context: &Context, octets: &[u8]) -> Result<(), Reply> {
        assert!(!octets.is_empty());
        context.values().with(|seen: &mut Seen| seen.content.extend_from_slice(octets)).expect("after data");
        Ok(())
    }

    fn content_end(&mut self, context: &Context) -> Result<(), Reply> {
        context.values().with(|seen: &mut Seen| seen.is_complete = true).expect("after data");
        Ok(())
    }
}

/// What a hook was called with, and the end of a message's values.
#[derive(PartialEq, Eq, Debug)]
enum Call {
    Data,
    Content(Vec<u8>),
    End,
    Dropped,
    Disconnect,
}

/// Tells of each call, and refuses content in which there is `no`, or that ends with `bad end`.
struct Telling(Sender<Call>, Vec<u8>);

struct Dropped(Sender<Call>);

impl Drop for Dropped {
    fn drop(&mut self) {
        // The test may have ended.
        let _ = self.0.send(Call::Dropped);
    }
}

impl Session for Telling {
    fn data(&mut self, context: &Context) -> Result<(), Reply> {
        self.1.clear();
        self.0.send(Call::Data).expect("the test looks");
        context.values().insert(Dropped(self.0.clone()));
        Ok(())
    }

    fn content(&mut self, context: &Context, octets: &[u8]) -> Result<(), Reply> {
        assert!(matches!(context.verb(), Some(Verb::Data | Verb::Bdat)));
        self.1.extend_from_slice(octets);
        self.0.send(Call::Content(octets.to_vec())).expect("the test looks");
        let has = |word: &str| self.1.windows(word.len()).any(|octets| octets == word.as_bytes());
        match () {
            () if has("panic") => panic!("on purpose"),
            () if has("farewell") => Err(Reply::new(421, "4.7.1", "no more of this")),
            () if has("no") => Err(Reply::new(554, "5.7.1", "not with these words")),
            () if has("yes") => Err(Reply::ok()),
            () => Ok(()),
        }
    }

    fn content_end(&mut self, context: &Context) -> Result<(), Reply> {
        self.0.send(Call::End).expect("the test looks");
        assert!(context.values().contains::<Dropped>());
        match &self.1[..] {
            b"late failure\r\n" => panic!("on purpose"),
            b"bad end\r\n" => Err(Reply::new(550, "5.7.2", "not with this end")),
            _ => Ok(()),
        }
    }

    fn disconnect(&mut self, _: &Context) {
        // The test may have ended.
        let _ = self.0.send(Call::Disconnect);
    }
}

fn telling(builder: Builder) -> (Inbox, Receiver<Call>) {
    let (tell, calls) = unbounded();
    let inbox = builder.session(move |_| Telling(tell.clone(), Vec::new())).inbox("127.0.0.1:0").expect("a free port");
    (inbox, calls)
}

/// The calls up to and with this one, content in one piece.
#[track_caller]
fn up_to(calls: &Receiver<Call>, last: Call) -> Vec<Call> {
    let mut all: Vec<Call> = Vec::new();
    loop {
        let call = calls.recv_timeout(PATIENCE).unwrap_or_else(|e| panic!("{e} after {all:?}"));
        let is_last = call == last;
        match (all.last_mut(), call) {
            (Some(Call::Content(before)), Call::Content(more)) => before.extend(more),
            (_, call) => all.push(call),
        }
        if is_last {
            return all;
        }
    }
}

fn content(text: &str) -> Call {
    Call::Content(text.as_bytes().to_vec())
}

#[track_caller]
fn chunk(client: &mut Client, last: &str, content: &str, reply: &str) {
    client.send(format!("BDAT {}{last}\r\n{content}", content.len()));
    client.expect_reply(reply);
}

#[test]
fn a_refusal_is_said_at_the_end_and_nothing_more_is_seen() {
    let (inbox, calls) = telling(Server::builder());
    let mut client = Client::envelope(inbox.local_addr());
    client.expect("DATA", "354");
    client.send("one\r\n");
    let begun = calls.iter().take(2).collect::<Vec<_>>();
    assert_eq!(begun, [Call::Data, content("one\r\n")]);
    client.send("no\r\n");
    assert_eq!(up_to(&calls, content("no\r\n")), [content("no\r\n")]);
    client.send("RSET\r\nVRFY a\r\n..\r\nstill content\r\n.\r\nVRFY step\r\n");
    client.expect_reply("554 5.7.1 not with these words");
    client.expect_reply("252");
    // The hook, for one of the next message, is as good as new.
    client.begin();
    client.expect("DATA", "354");
    client.expect("fine\r\n.", "250 2.0.0 OK");
    assert_eq!(up_to(&calls, Call::End), [Call::Dropped, Call::Data, content("fine\r\n"), Call::End]);
    assert_eq!(inbox.recv_timeout(PATIENCE).unwrap().bytes().unwrap(), &b"fine\r\n"[..]);
    assert_eq!(inbox.server().stats().refused_messages, 1);
    assert_eq!(inbox.len(), 0);
}

#[test]
fn what_is_refused_takes_no_memory_and_is_read_off_up_to_a_bound() {
    let (inbox, calls) = telling(Server::builder().data_size_limit(4_000_000));
    let mut client = Client::envelope(inbox.local_addr());
    client.expect("DATA", "354");
    let line = [vec![b'x'; 998], b"\r\n".to_vec()].concat();
    client.send(line.repeat(1000));
    let buffered = || inbox.server().stats().buffered_octets;
    wait_until("the content does not arrive", || buffered() >= 1_000_000);
    client.send("no\r\n");
    wait_until("refused content is kept", || buffered() == 0);
    drop(calls);
    // More than four times the size limit, and more than 16 MiB.
    for _ in 0..18 {
        if !client.try_send(line.repeat(1000)) {
            break;
        }
    }
    assert!(String::from_utf8_lossy(&client.closed()).starts_with("421 4.7.0"));
}

#[test]
fn refused_in_chunks() {
    let (inbox, calls) = telling(Server::builder());
    let mut client = Client::envelope(inbox.local_addr());
    chunk(&mut client, "", "one", "250");
    client.send("BDAT 6\r\nno twoBDAT 3\r\nonoBDAT 3 LAST\r\nonoNOOP\r\n");
    client.expect_reply("554 5.7.1");
    // The transaction is over, and its other chunks are read off.
    client.expect_reply("503 5.5.1");
    client.expect_reply("503 5.5.1");
    client.expect_reply("250 2.0.0 OK");
    client.expect_in_step();
    assert_eq!(up_to(&calls, Call::Dropped), [Call::Data, content("oneno two"), Call::Dropped]);
    client.begin();
    client.send("BDAT 8 LAST\r\nno");
    assert_eq!(calls.iter().find(|call| *call == content("no")), Some(content("no")));
    client.send(" twoxx");
    client.expect_reply("554 5.7.1");
    assert_eq!(up_to(&calls, Call::Dropped), [Call::Dropped], "nothing more was seen");
}

#[test]
fn refused_when_it_is_complete() {
    let (inbox, calls) = telling(Server::builder());
    let mut client = Client::envelope(inbox.local_addr());
    client.expect("DATA", "354");
    client.expect("bad end\r\n.", "550 5.7.2 not with this end");
    client.expect_in_step();
    client.begin();
    chunk(&mut client, " LAST", "bad end\r\n", "550 5.7.2");
    client.expect_in_step();
    assert_eq!(up_to(&calls, Call::Dropped), [Call::Data, content("bad end\r\n"), Call::End, Call::Dropped]);
    assert_eq!((inbox.server().stats().refused_messages, inbox.len()), (2, 0));
}

#[test]
fn a_panic_is_a_451_and_the_connection_goes_on() {
    let (inbox, _calls) = telling(Server::builder());
    let mut client = Client::envelope(inbox.local_addr());
    client.expect("DATA", "354");
    client.expect("panic\r\nmore\r\n.", "451 4.3.0");
    client.begin();
    chunk(&mut client, "", "panic", "451 4.3.0");
    client.begin();
    chunk(&mut client, " LAST", "late failure\r\n", "451 4.3.0");
    client.begin();
    client.expect("DATA", "354");
    client.expect("fine\r\n.", "250 2.0.0 OK");
    assert_eq!((inbox.server().stats().panics, inbox.len()), (3, 1));
    // A hook that means no refusal refuses all the same, as any hook.
    client.begin();
    client.expect("DATA", "354");
    client.expect("yes\r\n.", "451 4.3.0");
    client.expect_in_step();
}

#[test]
fn a_421_is_said_at_once() {
    let (inbox, calls) = telling(Server::builder());
    for verb in ["DATA\r\n", "BDAT 100000\r\n"] {
        let mut client = Client::envelope(inbox.local_addr());
        client.send(verb);
        client.send("farewell\r\nmore\r\n");
        if verb.starts_with("DATA") {
            client.expect_reply("354");
        }
        client.expect_reply("421 4.7.1 no more of this");
        client.expect_close();
        let last = up_to(&calls, Call::Disconnect);
        assert!(last.contains(&Call::Dropped) || up_to(&calls, Call::Dropped) == [Call::Dropped]);
    }
}

#[test]
fn each_recipient_of_lmtp_hears_of_it() {
    let (inbox, _calls) = telling(Server::builder().lmtp(true));
    for refused in ["no\r\n.", "bad end\r\n."] {
        let mut client = Client::connect(inbox.local_addr());
        client.expect("LHLO client.example", "250");
        client.begin();
        client.expect("RCPT TO:<other@example.org>", "250");
        client.expect("DATA", "354");
        client.expect(refused, "55");
        client.expect_reply("55");
        client.expect_in_step();
    }
}

#[test]
fn prdr_has_one_reply_for_what_nobody_was_asked_about() {
    let (inbox, _calls) = telling(Server::builder().prdr(true));
    let mut client = Client::ehlo(inbox.local_addr());
    client.expect("MAIL FROM:<a@client.example> PRDR", "250");
    client.expect("RCPT TO:<a@example.org>", "250");
    client.expect("RCPT TO:<b@example.org>", "250");
    client.expect("DATA", "354");
    client.expect("no\r\n.", "554 5.7.1");
    client.expect_in_step();
}

#[test]
fn what_the_server_refuses_is_not_seen_to_its_end() {
    for (builder, octets, refusal, most) in [
        (Server::builder().data_size_limit(1000), vec![b'x'; 1001], "552 5.3.4", 1000),
        (Server::builder().buffer_budget(1000), vec![b'x'; 50_000], "452 4.3.1", 1000),
        (Server::builder().line_ends(LineEnds::Reject), b"lone\nline end".to_vec(), "550 5.5.2", 1000),
        (Server::builder().decode_data(true), b"\xff".to_vec(), "554 5.6.0", 3),
    ] {
        let (inbox, calls) = telling(builder);
        let mut client = Client::envelope(inbox.local_addr());
        client.expect("DATA", "354");
        client.send(&octets);
        client.expect("\r\n.", refusal);
        let seen = up_to(&calls, Call::Dropped);
        let octets = seen.iter().map(|call| if let Call::Content(octets) = call { octets.len() } else { 0 });
        assert!(octets.sum::<usize>() <= most, "{refusal}");
        assert!(!seen.contains(&Call::End), "{refusal}");
        client.begin();
        client.expect("DATA", "354");
        client.expect("fine\r\n.", "250 2.0.0 OK");
        assert_eq!(up_to(&calls, Call::End), [Call::Data, content("fine\r\n"), Call::End]);
    }
}

#[test]
fn what_is_given_up_drops_its_values() {
    let (inbox, calls) = telling(Server::builder());
    let mut client = Client::envelope(inbox.local_addr());
    for abandon in ["RSET", "EHLO client.example"] {
        chunk(&mut client, "", "one", "250");
        client.expect(abandon, "250");
        assert_eq!(up_to(&calls, Call::Dropped), [Call::Data, content("one"), Call::Dropped]);
        client.begin();
    }
    client.expect("DATA", "354");
    client.send("cut");
    assert_eq!(up_to(&calls, content("cut")), [Call::Data, content("cut")]);
    client.reset();
    let ended = [calls.recv_timeout(PATIENCE).unwrap(), calls.recv_timeout(PATIENCE).unwrap()];
    assert!(ended.contains(&Call::Dropped) && ended.contains(&Call::Disconnect), "{ended:?}");
    assert_eq!(inbox.len(), 0);
}

/// A handler that brings its own session.
struct Counting(Arc<AtomicUsize>);

struct Counted(Arc<AtomicUsize>);

impl Session for Counted {
    fn content(&mut self, _: &Context, octets: &[u8]) -> Result<(), Reply> {
        self.0.fetch_add(octets.len(), Ordering::Relaxed);
        Ok(())
    }

    fn content_end(&mut self, _: &Context) -> Result<(), Reply> {
        self.0.fetch_add(1000, Ordering::Relaxed);
        Ok(())
    }
}

impl Handler for Counting {
    fn process_message(&mut self, _: pillarbox::Envelope) -> Response {
        ().into()
    }

    fn session(&self) -> Option<SessionFactory> {
        let count = self.0.clone();
        Some(SessionFactory::new(move |_| Counted(count.clone())))
    }
}

#[test]
fn a_handlers_own_session_sees_what_the_first_lets_pass() {
    let count = Arc::new(AtomicUsize::new(0));
    let (tell, _calls) = unbounded();
    let make = move |_: &_| Box::new(Telling(tell.clone(), Vec::new())) as Box<dyn Session>;
    let server = Server::builder().session(make).serve("127.0.0.1:0", Counting(count.clone())).expect("a free port");
    let mut client = Client::envelope(server.local_addr());
    client.expect("DATA", "354");
    client.expect("fine\r\n.", "250 2.0.0");
    assert_eq!(count.load(Ordering::Relaxed), 1006);
    for refused in ["no\r\n.", "bad end\r\n."] {
        count.store(0, Ordering::Relaxed);
        client.begin();
        client.expect("DATA", "354");
        client.expect(refused, "55");
        assert!(count.load(Ordering::Relaxed) < 1000);
    }
}

/// Takes its time, more than a client may.
struct Slow;

impl Session for Slow {
    fn content(&mut self, _: &Context, octets: &[u8]) -> Result<(), Reply> {
        if octets.starts_with(b"slow") {
            thread::sleep(Duration::from_secs(4));
        }
        Ok(())
    }
}

#[test]
fn a_hooks_time_is_not_the_clients() {
    let timeout = Duration::from_secs(3);
    let inbox = Server::builder().data_timeout(timeout).session(|_| Slow).inbox("127.0.0.1:0").expect("a free port");
    let mut client = Client::envelope(inbox.local_addr());
    client.expect("DATA", "354");
    client.send("slow\r\n");
    client.expect("slow again\r\n.", "250 2.0.0 OK");
    client.begin();
    chunk(&mut client, "", "slow", "250 2.0.0");
    chunk(&mut client, "", "fast", "250 2.0.0");
    chunk(&mut client, " LAST", "fast", "250 2.0.0 OK");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    /// However the content is cut into packets and chunks, and whatever its line ends are.
    #[test]
    fn what_is_seen_is_what_the_envelope_has(
        lines in prop::collection::vec("[a-z.]{0,6}|\\.{1,3}|[\r\n]{1,3}|\r", 0..14),
        cuts in prop::collection::vec(1usize..9, 0..30),
        policy in prop::sample::select(vec![LineEnds::Normalize, LineEnds::Keep, LineEnds::Reject]),
        chunked in any::<bool>(),
    ) {
        let text: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
        let content = text.replace("\r\n.", "\r\n..");
        let content = if content.starts_with('.') { format!(".{content}") } else { content };
        let inbox = Server::builder().line_ends(policy).session(|_| Seeing).inbox("127.0.0.1:0").expect("a free port");
        let mut client = Client::envelope(inbox.local_addr());
        let mut rest = if chunked { text.as_bytes() } else { content.as_bytes() };
        if !chunked {
            client.expect("DATA", "354");
        }
        for cut in cuts {
            let (now, later) = rest.split_at(cut.min(rest.len()));
            rest = later;
            if chunked {
                client.send(format!("BDAT {}\r\n", now.len()));
            }
            client.send(now);
            if chunked {
                client.expect_reply("250");
            }
        }
        if chunked {
            client.send(format!("BDAT {} LAST\r\n", rest.len()));
        }
        client.send(rest);
        if !chunked {
            client.send(".\r\n");
        }
        let reply = client.reply();
        if reply.starts_with("250") {
            let mail = inbox.recv_timeout(PATIENCE).unwrap();
            let seen = mail.values().take::<Seen>().expect("it was seen");
            prop_assert!(seen.is_complete);
            prop_assert_eq!(&mail.bytes().unwrap()[..], &seen.content[..]);
        } else {
            prop_assert!(policy == LineEnds::Reject && reply.starts_with("550 5.5.2"), "{}", reply);
        }
        client.expect_in_step();
    }
}

#[test]
fn large_content_on_disk_is_seen_as_well() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let seen = Arc::new(Mutex::new(Vec::new()));
    struct All(Arc<Mutex<Vec<u8>>>);
    impl Session for All {
        fn content(&mut self, _: &Context, octets: &[u8]) -> Result<(), Reply> {
            self.0.lock().extend_from_slice(octets);
            Ok(())
        }
    }
    let all = seen.clone();
    let inbox = Server::builder()
        .memory_budget(1)
        .spool_threshold(1000)
        .spool_folder(folder.path())
        .session(move |_| All(all.clone()))
        .inbox("127.0.0.1:0")
        .expect("a free port");
    let mut client = Client::envelope(inbox.local_addr());
    let text: String = (0..100_000).map(|n| format!("{n}\n")).collect();
    client.expect("DATA", "354");
    client.send(&text);
    client.expect("end\r\n.", "250 2.0.0 OK");
    let mail = inbox.recv_timeout(PATIENCE).unwrap();
    assert_eq!(mail.bytes().unwrap(), format!("{text}end\n").replace('\n', "\r\n").as_bytes());
    assert_eq!(*seen.lock(), *mail.bytes().unwrap());
}
