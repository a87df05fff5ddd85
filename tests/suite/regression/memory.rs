//! What one client, or many, may make the server hold or do.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use pillarbox::{Builder, Context, Inbox, Recipient, Reply, Server, Session};

use crate::support::client::{Client, PATIENCE};
#[cfg(feature = "cli")]
use crate::support::process;
use crate::support::wait_until;

const MIB: u64 = 1024 * 1024;

/// RCPT with a path of 250 octets, an ORCPT of 480 and NOTIFY, as long as they may be said at once.
fn long_rcpt(n: usize) -> String {
    let to = format!("{n:0>60}@{}.{}.{}", "d".repeat(60), "e".repeat(60), "f".repeat(60));
    format!("RCPT TO:<{to:.250}> ORCPT=rfc822;{} NOTIFY=SUCCESS,FAILURE,DELAY\r\n", "o".repeat(473))
}

/// Begins a message to many, and says how many of them were taken; the others have to be refused for want of memory.
fn name_recipients(client: &mut Client, recipients: impl Iterator<Item = String>) -> usize {
    client.expect("MAIL FROM:<sender@client.example>", "250");
    let recipients: Vec<String> = recipients.collect();
    let mut taken = 0;
    // So few that neither side waits for the other to read.
    for some in recipients.chunks(100) {
        client.send(some.concat());
        for _ in some {
            let reply = client.reply();
            let is_taken = reply.starts_with("250 ");
            assert!(is_taken || reply.starts_with("452 4.3.1 "), "{reply}");
            taken += usize::from(is_taken);
        }
    }
    taken
}

fn memory_of(inbox: &Inbox) -> u64 {
    inbox.server().stats().memory_octets
}

fn inbox(builder: Builder) -> Inbox {
    builder.inbox("127.0.0.1:0").expect("a free port")
}

/// Three hundred clients with a thousand such recipients each took 586 MB: only content was counted, and nothing else of a
/// message. A hundred and twenty would take 230, and take 70.
#[cfg(all(feature = "cli", target_os = "linux"))]
#[test]
fn recipients_of_many_clients_stay_within_the_budget() {
    let server = crate::support::command::Running::start(&["-n", "-c", "Sink", "127.0.0.1:0"]);
    let address = server.address();
    let recipients: Vec<String> = (0..1000).map(long_rcpt).collect();
    let connect = || {
        let some = || {
            let mut client = Client::ehlo(address);
            let taken = name_recipients(&mut client, recipients.iter().cloned());
            (client, taken)
        };
        (0..30).map(|_| some()).collect::<Vec<_>>()
    };
    let mut clients: Vec<(Client, usize)> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(connect)).collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("its clients are answered")).collect()
    });
    let taken: usize = clients.iter().map(|(_, taken)| taken).sum();
    assert!((10_000..100_000).contains(&taken), "{taken}");
    // Each may name a few all the same, as nearly all messages do.
    assert!(clients.iter().all(|(_, taken)| *taken > 5));
    let peak = 1024 * process::status(server.process.0.id(), "VmHWM");
    assert!(peak < 170 * MIB, "{} MiB", peak / MIB);
    // Nobody was sent away, and what was given back is there again.
    for (client, _) in &mut clients {
        client.expect("RSET", "250");
    }
    let (client, _) = &mut clients[0];
    assert_eq!(name_recipients(client, recipients.iter().cloned()), 1000);
    client.expect("DATA", "354");
    client.expect(".", "250");
}

/// The same by the library, with every way in which a message ends: none of them may leave anything counted.
#[test]
fn recipients_are_counted_until_nobody_has_them() {
    let inbox = inbox(Server::builder().transcripts(false).memory_budget(4 * MIB));
    let mut client = Client::ehlo(inbox.local_addr());
    let all = || (0..1000).map(long_rcpt);
    let mut last = 0;
    for end in ["RSET", "EHLO client.example", "NOOP", "QUIT"] {
        let taken = name_recipients(&mut client, all());
        // A quarter of all for one message, at about 1,300 octets for each recipient.
        assert!((500..1000).contains(&taken), "{taken}");
        assert!(last == 0 || taken == last, "{taken} as {last} before");
        last = taken;
        let counted = memory_of(&inbox);
        assert!(counted > taken as u64 * 1000 && counted <= MIB, "{counted}");
        if end == "NOOP" {
            // An end that no command says.
            client.reset();
            inbox.wait_until_idle(PATIENCE).expect("it has gone");
            client = Client::ehlo(inbox.local_addr());
        } else {
            client.expect(end, "2");
        }
        if end == "QUIT" {
            inbox.wait_until_idle(PATIENCE).expect("it has gone");
        }
        assert_eq!(memory_of(&inbox), 0, "{end}");
    }
    // A message that is delivered counts until it is dropped, on either way in.
    for content in ["DATA", "BDAT"] {
        let mut client = Client::ehlo(inbox.local_addr());
        let taken = name_recipients(&mut client, all());
        match content {
            "DATA" => {
                client.expect("DATA", "354");
                client.expect(".", "250");
            }
            _ => {
                client.send("BDAT 3\r\nabc");
                client.expect_reply("250");
                client.expect("RCPT TO:<late@example.org>", "503");
                client.expect("BDAT 0 LAST", "250");
            }
        }
        client.expect("MAIL FROM:<>", "250");
        client.expect("RSET", "250");
        let mail = inbox.recv_timeout(PATIENCE).expect("its 250 was read");
        assert_eq!(mail.recipients().len(), taken);
        let counted = memory_of(&inbox);
        assert!(counted > taken as u64 * 1000 && mail.memory_octets().abs_diff(counted) < 1000, "{counted}");
        drop(mail);
        assert_eq!(memory_of(&inbox), 0);
    }
}

/// Messages that wait for a slow handler are held as well, however many there are of them.
#[test]
fn messages_in_the_queue_count() {
    let (server, deliveries) = Server::builder().memory_budget(4 * MIB).deliveries("127.0.0.1:0").expect("a free port");
    let mut clients: Vec<Client> = (0..6)
        .map(|_| {
            let mut client = Client::ehlo(server.local_addr());
            assert!(name_recipients(&mut client, (0..500).map(long_rcpt)) > 5);
            client.expect("DATA", "354");
            client.send(".\r\n");
            client
        })
        .collect();
    let held: Vec<_> = (0..6).map(|_| deliveries.recv_timeout(PATIENCE).expect("each was sent")).collect();
    let counted = server.stats().memory_octets;
    assert!((2 * MIB..=4 * MIB).contains(&counted), "{counted}");
    for delivery in held {
        let before = server.stats().memory_octets;
        delivery.accept();
        wait_until("its worker has freed it", || server.stats().memory_octets < before);
    }
    clients.iter_mut().for_each(|client| _ = client.expect_reply("250"));
    assert_eq!(server.stats().memory_octets, 0);
}

/// Nobody waits for the answer any more, and so nobody frees the message but whoever has it.
#[test]
fn a_message_that_is_answered_too_late_is_freed() {
    let builder = Server::builder().handler_timeout(std::time::Duration::from_millis(20));
    let (server, deliveries) = builder.deliveries("127.0.0.1:0").expect("a free port");
    let mut client = Client::ehlo(server.local_addr());
    assert!(name_recipients(&mut client, (0..500).map(long_rcpt)) > 5);
    client.expect("DATA", "354");
    client.send(".\r\n");
    let late = deliveries.recv_timeout(PATIENCE).expect("it was sent");
    client.expect_reply("451");
    assert!(server.stats().memory_octets > 0);
    late.accept();
    assert_eq!(server.stats().memory_octets, 0);
    client.expect("NOOP", "250");
}

/// What large messages hold keeps nobody from sending small ones, not even where no memory is to be used at all.
#[test]
fn a_few_recipients_are_always_taken() {
    let inbox = inbox(Server::builder().transcripts(false).memory_budget(MIB));
    let mut greedy: Vec<Client> = (0..6)
        .map(|_| {
            let mut client = Client::ehlo(inbox.local_addr());
            name_recipients(&mut client, (0..500).map(long_rcpt));
            client
        })
        .collect();
    assert!((MIB / 2..=MIB).contains(&memory_of(&inbox)), "{}", memory_of(&inbox));
    let few = || (0..50).map(|n| format!("RCPT TO:<recipient-{n}@example.org>\r\n"));
    assert_eq!(name_recipients(&mut Client::ehlo(inbox.local_addr()), few()), 50);
    greedy[0].expect("RSET", "250");
    assert!(name_recipients(&mut greedy[0], (0..500).map(long_rcpt)) > 100);
    let none = self::inbox(Server::builder().memory_budget(0));
    let mut client = Client::ehlo(none.local_addr());
    assert_eq!(name_recipients(&mut client, few()), 50);
    client.expect("DATA", "354");
    client.expect(".", "250");
    assert!(name_recipients(&mut client, (0..1000).map(long_rcpt)) < 100);
}

/// A hook that has accepted a recipient may have done something for it: so it is not asked about one that is refused.
#[test]
fn no_hook_is_asked_about_a_recipient_without_memory() {
    struct Counting(Arc<AtomicUsize>);
    impl Session for Counting {
        fn rcpt(&mut self, _: &Context, _: &Recipient) -> Result<(), Reply> {
            self.0.fetch_add(1, Ordering::Relaxed);
            Ok(())
        }
    }
    for lmtp in [false, true] {
        let asked = Arc::new(AtomicUsize::new(0));
        let count = asked.clone();
        let builder = Server::builder().lmtp(lmtp).memory_budget(100_000);
        let inbox = inbox(builder.session(move |_: &_| Counting(count.clone())));
        let mut client = Client::connect(inbox.local_addr());
        client.expect(if lmtp { "LHLO client.example" } else { "EHLO client.example" }, "250");
        let taken = name_recipients(&mut client, (0..200).map(long_rcpt));
        assert!((10..100).contains(&taken), "{taken}");
        assert_eq!(asked.load(Ordering::Relaxed), taken);
        client.expect("DATA", "354");
        client.send(".\r\n");
        for _ in 0..if lmtp { taken } else { 1 } {
            client.expect_reply("250");
        }
        client.expect_in_step();
    }
}

/// An inbox that nobody empties holds its messages' conversations too.
#[test]
fn conversations_count_as_well() {
    let inbox = inbox(Server::builder().max_junk(None));
    let mut client = Client::ehlo(inbox.local_addr());
    for _ in 0..5 {
        client.send("NOOP\r\n".repeat(100));
        (0..100).for_each(|_| _ = client.expect_reply("250"));
    }
    client.begin();
    client.expect("DATA", "354");
    client.expect(".", "250");
    let mail = inbox.recv_timeout(PATIENCE).expect("its 250 was read");
    let said = mail.transcript().expect("an inbox records").entries().len();
    assert!(said > 500, "{said}");
    assert!(memory_of(&inbox) > 40_000 && memory_of(&inbox) < 200_000, "{}", memory_of(&inbox));
    let mut kept = mail;
    kept.leave_budgets();
    assert_eq!(memory_of(&inbox), 0);
    assert_eq!(kept.recipients(), ["recipient@example.org"]);
}

/// Each command of a message with 20,000 recipients copied all of them, for faults that there were none of: an inbox in the
/// browser always has a script of faults.
#[cfg(all(feature = "cli", target_os = "linux"))]
#[test]
fn a_command_costs_the_same_however_many_recipients_there_are() {
    let inbox = crate::support::web::Inbox::start_with(&["--max-recipients", "20000"]);
    let rules = r#"[{"on": {"verb": "RCPT", "to": "nobody@example.com"}, "do": {"stall": true}},
                    {"on": {"event": "accepted", "to": "@example.com"}, "do": {"delay": 1}}]"#;
    for rules in ["[]", rules] {
        assert_eq!(inbox.request("PUT", "/api/faults", "", rules).status, 204);
        let cost = |recipients: usize| {
            let mut client = inbox.client();
            let before = process::processor_time(inbox.server.process.0.id());
            let all = (0..recipients).map(|n| format!("RCPT TO:<recipient-{n}@example.org>\r\n"));
            assert_eq!(name_recipients(&mut client, all), recipients);
            client.expect("DATA", "354");
            client.expect(".", "250");
            process::processor_time(inbox.server.process.0.id()) - before
        };
        cost(100);
        let (few, many) = (cost(5_000), cost(20_000));
        // Four times as many; with a copy for each it was sixteen times the time.
        assert!(many < 9 * few, "{rules}: {many} ns and {few} ns");
    }
}
