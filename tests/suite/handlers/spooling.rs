//! Content on disk: read the same way as in memory, bounded, and gone without a trace.

use std::fs;
use std::io::{self, BufRead, Read, Write};
use std::path::Path;
use std::sync::Arc;

use crate::support::client::{Client, PATIENCE};
use crate::support::disk::SmallDisk;
use crate::support::logged;
use crate::support::wait_until;
use parking_lot::Mutex;
use pillarbox::handlers::{Debugging, Maildir};
use pillarbox::{Builder, Envelope, Inbox, Server};

/// Over one piece of memory, and under two.
const THRESHOLD: usize = 100_000;

/// A server that keeps nothing over the threshold in memory.
fn spooling(folder: &Path) -> Builder {
    Server::builder().memory_budget(0).spool_threshold(THRESHOLD as u64).spool_folder(folder)
}

/// Lines of all lengths, with dots, letters of two and three octets and a last line end.
fn content(octets: usize) -> String {
    let mut text = String::from("Subject: large\r\n\r\n");
    for n in (0..150).cycle() {
        let line = format!("{}{}\u{fc}\u{20ac}\r\n", ".".repeat(n % 3), "x".repeat(n));
        if text.len() + line.len() + 2 > octets {
            break;
        }
        text += &line;
    }
    text += &"y".repeat(octets - 2 - text.len());
    text += "\r\n";
    text
}

fn stuffed(content: &str) -> String {
    content
        .split_inclusive("\r\n")
        .map(|line| if line.starts_with('.') { format!(".{line}") } else { line.into() })
        .collect()
}

fn send(client: &mut Client, content: &str, reply: &str) {
    client.begin();
    client.expect("DATA", "354");
    client.expect(stuffed(content) + ".", reply);
}

fn recv(inbox: &Inbox) -> Envelope {
    inbox.recv_timeout(PATIENCE).expect("its 250 was read")
}

/// How many files this process has open that were in the folder.
#[cfg(target_os = "linux")]
fn open_files(folder: &Path) -> usize {
    let open = fs::read_dir("/proc/self/fd").expect("Linux").filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
    open.filter(|file| file.starts_with(folder)).count()
}

#[test]
fn around_the_threshold_by_the_inbox() {
    let folder = tempfile::tempdir().unwrap();
    let inbox = spooling(folder.path()).inbox("127.0.0.1:0").unwrap();
    let mut client = Client::ehlo(inbox.local_addr());
    for (octets, is_on_disk) in
        [(THRESHOLD - 1, false), (THRESHOLD, false), (THRESHOLD + 1, true), (THRESHOLD + 2, true), (1_000_000, true)]
    {
        let content = content(octets);
        assert_eq!(content.len(), octets);
        send(&mut client, &content, "250 2.0.0 OK");
        let mail = recv(&inbox);
        let stats = inbox.server().stats();
        assert_eq!(stats.memory_octets < octets as u64, is_on_disk, "{octets}: {stats:?}");
        assert_eq!(mail.content().memory_octets() == 0, is_on_disk);
        if is_on_disk {
            assert_eq!(stats.buffered_octets, octets as u64);
        }
        assert_eq!(mail.content().len(), octets as u64);
        assert!(mail.bytes().unwrap() == content.as_bytes() && mail.text().unwrap() == content.replace("\r\n", "\n"));
        // Two at once, each from the start.
        let (mut one, mut two) = (mail.content().reader(), mail.content().reader());
        for reader in [&mut one, &mut two] {
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            assert_eq!(line, "Subject: large\r\n");
        }
        for reader in [&mut one, &mut two] {
            let mut rest = String::new();
            reader.read_to_string(&mut rest).unwrap();
            assert!(rest == content["Subject: large\r\n".len()..]);
        }
        // It has no name there, and no content either when it is gone.
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        #[cfg(target_os = "linux")]
        assert_eq!(open_files(folder.path()), usize::from(is_on_disk));
        drop(mail);
        #[cfg(target_os = "linux")]
        assert_eq!(open_files(folder.path()), 0);
        let stats = inbox.server().stats();
        assert_eq!((stats.buffered_octets, stats.memory_octets), (0, 0));
    }
}

#[test]
fn around_the_threshold_by_the_maildir() {
    let (folder, mail) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let server = spooling(folder.path()).serve("127.0.0.1:0", Maildir::create(mail.path()).unwrap()).unwrap();
    let mut client = Client::ehlo(server.local_addr());
    for octets in [THRESHOLD, THRESHOLD + 1, 1_000_000] {
        let content = content(octets);
        send(&mut client, &content, "250 2.0.0 OK");
        let path = fs::read_dir(mail.path().join("new")).unwrap().next().expect("it was accepted").unwrap().path();
        let stored = fs::read_to_string(&path).unwrap();
        let (head, body) = stored.split_once("\nSubject: ").expect("headers");
        assert!(head.starts_with("Return-Path: ") && content.replace("\r\n", "\n") == format!("Subject: {body}"));
        fs::remove_file(path).unwrap();
    }
}

#[test]
fn around_the_threshold_by_debugging() {
    #[derive(Clone, Default)]
    struct Screen(Arc<Mutex<Vec<u8>>>);
    impl Write for Screen {
        fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
            self.0.lock().write(octets)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let (folder, screen) = (tempfile::tempdir().unwrap(), Screen::default());
    let server = spooling(folder.path()).serve("127.0.0.1:0", Debugging::new(screen.clone())).unwrap();
    let mut client = Client::ehlo(server.local_addr());
    let frame = "------------ END MESSAGE ------------";
    for octets in [THRESHOLD, THRESHOLD + 1, 1_000_000] {
        let (start, end) = (content(octets / 2), content(octets - octets / 2 - frame.len() - 2));
        send(&mut client, &format!("{start}{frame}\r\n{end}"), "250 2.0.0 OK");
        let expected = format!(
            "---------- MESSAGE FOLLOWS ----------\n{}\\x2d{}\n{}{frame}\n",
            start.replace("\r\n", "\n").replacen("\n\n", "\nX-Peer: 127.0.0.1\n\n", 1),
            &frame[1..],
            end.replace("\r\n", "\n")
        );
        assert!(std::mem::take(&mut *screen.0.lock()) == expected.as_bytes(), "{octets}");
    }
}

#[test]
fn chunks_and_binary_content() {
    let folder = tempfile::tempdir().unwrap();
    let inbox = spooling(folder.path()).inbox("127.0.0.1:0").unwrap();
    let mut client = Client::ehlo(inbox.local_addr());
    client.expect("MAIL FROM:<sender@client.example> BODY=BINARYMIME", "250");
    client.expect("RCPT TO:<recipient@example.org>", "250");
    let content: Vec<u8> = (0..300_000_u32).map(|n| (n % 253) as u8).collect();
    for chunk in [&content[..70_000], &content[70_000..200_000]] {
        client.send(format!("BDAT {}\r\n", chunk.len()));
        client.send(chunk);
        client.expect_reply("250 2.0.0");
    }
    client.send("BDAT 100000 LAST\r\n");
    client.send(&content[200_000..]);
    client.expect_reply("250 2.0.0 OK");
    let mail = recv(&inbox);
    assert_eq!(mail.content().memory_octets(), 0);
    assert!(mail.bytes().unwrap() == content);
}

#[test]
fn text_is_checked_on_disk_as_well() {
    let folder = tempfile::tempdir().unwrap();
    let inbox = spooling(folder.path()).decode_data(true).inbox("127.0.0.1:0").unwrap();
    let mut client = Client::ehlo(inbox.local_addr());
    let text = "\u{20ac}".repeat(200_000) + "\r\n";
    send(&mut client, &text, "250");
    assert!(recv(&inbox).bytes().unwrap() == text.as_bytes());
    client.begin();
    client.expect("DATA", "354");
    client.send(&text);
    client.expect(b"\xe2\x82\r\n.", "554 5.6.0");
    client.expect_in_step();
}

#[test]
fn memory_is_used_as_long_as_there_is_some() {
    let folder = tempfile::tempdir().unwrap();
    let inbox = spooling(folder.path()).memory_budget(1_000_000).inbox("127.0.0.1:0").unwrap();
    let mut client = Client::ehlo(inbox.local_addr());
    let large = content(800_000);
    send(&mut client, &large, "250");
    assert!(inbox.server().stats().memory_octets >= 800_000);
    // This one begins in memory, and goes to disk when it has outgrown what is left of it.
    send(&mut client, &large, "250");
    let stats = inbox.server().stats();
    assert!(stats.memory_octets < 1_000_000 && stats.buffered_octets >= 1_600_000, "{stats:?}");
    let (first, second) = (recv(&inbox), recv(&inbox));
    assert!(first.bytes().unwrap() == large.as_bytes() && second.bytes().unwrap() == large.as_bytes());
    drop(first);
    send(&mut client, &large, "250");
    assert!(inbox.server().stats().memory_octets >= 800_000);
}

#[test]
fn the_budget_is_for_what_is_on_disk_too() {
    let folder = tempfile::tempdir().unwrap();
    let inbox = spooling(folder.path()).buffer_budget(200_000).inbox("127.0.0.1:0").unwrap();
    let mut client = Client::ehlo(inbox.local_addr());
    send(&mut client, &content(150_000), "250");
    // Announced, it is refused before it is sent.
    client.expect("MAIL FROM:<sender@client.example> SIZE=50001", "250");
    client.expect("RCPT TO:<recipient@example.org>", "250");
    client.expect("DATA", "452 4.3.1");
    client.expect("RSET", "250");
    send(&mut client, &content(150_000), "452 4.3.1");
    client.expect_in_step();
    send(&mut client, &content(50_000), "250");
    client.begin();
    client.expect("DATA", "452 4.3.1");
    client.expect("RSET", "250");
    drop((recv(&inbox), recv(&inbox)));
    send(&mut client, &content(200_000), "250");
}

#[test]
fn a_full_disk() {
    let Some(disk) = SmallDisk::mount() else { return };
    let inbox = spooling(disk.path()).inbox("127.0.0.1:0").unwrap();
    let mut client = Client::ehlo(inbox.local_addr());
    for _ in 0..2 {
        send(&mut client, &content(2_000_000), "452 4.3.1");
        client.expect_in_step();
        assert_eq!(inbox.server().stats().buffered_octets, 0);
        send(&mut client, "small\r\n", "250");
        // What was written of the large one is gone: there is room again.
        send(&mut client, &content(700_000), "250");
        assert_eq!(recv(&inbox).text().unwrap(), "small\n");
        assert!(recv(&inbox).bytes().unwrap() == content(700_000).as_bytes());
    }
}

#[test]
fn a_folder_that_goes_away_and_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("spool");
    fs::create_dir(&path).unwrap();
    let inbox = spooling(&path).inbox("127.0.0.1:0").unwrap();
    let mut client = Client::ehlo(inbox.local_addr());
    let large = content(1_000_000);
    fs::remove_dir(&path).unwrap();
    client.begin();
    client.expect("DATA", "354");
    let refused = client.expect(stuffed(&large) + ".", "451 4.3.0");
    assert!(!refused.contains("spool") && !refused.contains("os error"), "{refused}");
    client.expect_in_step();
    send(&mut client, "small\r\n", "250");
    // In chunks it is known before the last, and what is left is no message.
    client.begin();
    client.send(format!("BDAT {}\r\n{large}", large.len()));
    client.expect_reply("451 4.3.0");
    client.send(format!("BDAT {} LAST\r\n{large}", large.len()));
    client.expect_reply("503 5.5.1");
    client.expect_in_step();
    fs::create_dir(&path).unwrap();
    send(&mut client, &large, "250");
    assert_eq!(recv(&inbox).text().unwrap(), "small\n");
    assert!(recv(&inbox).bytes().unwrap() == large.as_bytes());
}

#[test]
fn a_folder_that_is_not_there() {
    let folder = tempfile::tempdir().unwrap();
    let started = spooling(&folder.path().join("nowhere")).inbox("127.0.0.1:0");
    assert!(matches!(started, Err(pillarbox::Error::Setting(_))));
}

#[test]
fn a_client_that_leaves_half_a_message_on_disk() {
    let folder = tempfile::tempdir().unwrap();
    let inbox = spooling(folder.path()).inbox("127.0.0.1:0").unwrap();
    let mut client = Client::envelope(inbox.local_addr());
    client.expect("DATA", "354");
    client.send(content(1_000_000));
    let stats = || inbox.server().stats();
    wait_until("the content does not arrive", || stats().buffered_octets >= 900_000);
    #[cfg(target_os = "linux")]
    assert_eq!(open_files(folder.path()), 1);
    drop(client);
    wait_until("the client's end is not seen", || stats().lost_messages == 1 && stats().buffered_octets == 0);
    #[cfg(target_os = "linux")]
    wait_until("its file stays open", || open_files(folder.path()) == 0);
}

#[test]
fn a_failure_is_logged_once_and_so_is_its_end() {
    logged::listen(log::LevelFilter::Warn);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("spool");
    fs::create_dir(&path).unwrap();
    let inbox = spooling(&path).inbox("127.0.0.1:0").unwrap();
    let mut client = Client::ehlo(inbox.local_addr());
    let large = content(150_000);
    send(&mut client, &large, "250");
    for _ in 0..2 {
        fs::remove_dir(&path).unwrap();
        send(&mut client, &large, "451 4.3.0");
        send(&mut client, &large, "451 4.3.0");
        fs::create_dir(&path).unwrap();
        send(&mut client, &large, "250");
        send(&mut client, &large, "250");
    }
    let name = path.display().to_string();
    let logged = logged::lines(&name);
    assert_eq!(logged.len(), 4, "{logged:?}");
    for pair in logged.chunks(2) {
        assert!(pair[0].starts_with(&format!("ERROR cannot spool messages to {name}: ")), "{logged:?}");
        assert_eq!(pair[1], format!("WARN messages can be spooled to {name} again"));
    }
}

/// Fifty messages of 30 MiB, all of them there before the first is finished.
#[cfg(all(feature = "cli", target_os = "linux"))]
#[test]
fn fifty_large_messages_at_once() {
    use std::process::{Child, Command, Stdio};
    use std::sync::Barrier;
    use std::thread;

    struct Process(Child);
    impl Drop for Process {
        fn drop(&mut self) {
            // It may have ended already.
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    const MESSAGES: usize = 50;
    let mut command = Command::new(env!("CARGO_BIN_EXE_pillarbox"));
    command.args(["-n", "-c", "Sink", "127.0.0.1:0"]).env_remove("RUST_LOG");
    crate::support::command::without_options(&mut command);
    let mut server = Process(command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().expect("it was built"));
    let mut line = String::new();
    io::BufReader::new(server.0.stderr.take().expect("piped")).read_line(&mut line).unwrap();
    let address = line.trim_end().strip_prefix("pillarbox: listening on ").expect(&line).parse().unwrap();
    let chunk = vec![b'x'; 1024 * 1024];
    let all_there = Barrier::new(MESSAGES);
    thread::scope(|scope| {
        for _ in 0..MESSAGES {
            scope.spawn(|| {
                let mut client = Client::ehlo(address);
                client.expect("MAIL FROM:<> BODY=BINARYMIME SIZE=31457280", "250");
                client.expect("RCPT TO:<recipient@example.org>", "250");
                let mut replies = Vec::new();
                for _ in 0..30 {
                    client.send(format!("BDAT {}\r\n", chunk.len()));
                    client.send(&chunk);
                    replies.push(client.reply());
                }
                // Whatever was said, the others must not wait for ever.
                all_there.wait();
                assert!(replies.iter().all(|reply| reply.starts_with("250")), "{replies:?}");
                client.expect("BDAT 0 LAST", "250 2.0.0 OK");
            });
        }
    });
    let peak = crate::support::process::status(server.0.id(), "VmHWM");
    assert!(peak < 200 * 1024, "{peak} KiB");
}
