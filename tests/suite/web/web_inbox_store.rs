//! The web inbox: what it keeps, and for how long.

use std::fs;
use std::io::{Read, Write};
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

use crate::support::client::Client;
use crate::support::command::{Running, command};
use crate::support::disk::SmallDisk;
use crate::support::process;
use crate::support::wait_until;
use crate::support::web::{Answer, Inbox, deliver};
use serde_json::{Value, json};

/// An inbox that keeps its messages in a folder.
fn inbox_in(folder: &Path, options: &[&str]) -> Inbox {
    Inbox::start_with(&[&["--inbox-dir", folder.to_str().expect("UTF-8")], options].concat())
}

fn subject(text: &str) -> String {
    format!("Subject: {text}\r\n\r\n{text}\r\n")
}

/// What is told of all messages.
fn counts(inbox: &Inbox) -> Value {
    inbox.get("/api/changes").json()
}

/// The names of the files in a folder, in order.
fn files(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(folder)
        .expect("a folder")
        .map(|file| file.expect("a file").file_name().into_string().expect("UTF-8"))
        .collect();
    names.sort();
    names
}

/// Ends it at once.
fn kill(inbox: Inbox) {
    inbox.server.signal("KILL");
    let _ = inbox.server.finish();
}

/// Ends it as a service manager does.
fn stop(inbox: Inbox) {
    inbox.server.signal("TERM");
    let (status, _, errors) = inbox.server.finish();
    assert!(status.success(), "{errors}");
}

#[test]
fn the_oldest_messages_make_room() {
    let inbox = Inbox::start_with(&["--keep", "3"]);
    let mut client = inbox.client();
    for n in 1..=5 {
        deliver(&mut client, subject(&n.to_string()).as_bytes());
    }
    assert_eq!(inbox.ids(), ["5", "4", "3"]);
    let told = counts(&inbox);
    assert_eq!((&told["dropped"], &told["refused"], &told["total"]), (&json!(2), &json!(0), &json!(3)));
    assert_eq!(inbox.request("GET", "/api/messages/1", "", "").status, 404);
}

#[test]
fn octets_are_limited() {
    let inbox = Inbox::start_with(&["--keep-octets", "100000"]);
    let message = format!("Subject: x\r\nContent-Type: application/octet-stream\r\n\r\n{}\r\n", "x".repeat(40_000));
    let mut client = inbox.client();
    for _ in 0..3 {
        deliver(&mut client, message.as_bytes());
    }
    let kept = inbox.ids();
    assert!(kept[0] == "3" && kept.len() < 3, "{kept:?}");
    // One that is larger than all of the room is there alone: a client that is refused would only try again.
    client.begin();
    client.send(format!("BDAT 200000 LAST\r\n{}", "x".repeat(200_000)));
    client.expect_reply("250 2.0.0");
    assert_eq!((inbox.ids(), &counts(&inbox)["refused"]), (vec!["4".to_owned()], &json!(0)));
    deliver(&mut client, message.as_bytes());
    assert_eq!(inbox.ids(), ["5"]);
}

#[test]
fn the_largest_messages_make_room_too() {
    // A tenth of what both are by default.
    let inbox = Inbox::start_with(&["-s", "3355443", "--keep-octets", "26843546"]);
    let message = [b"Subject: large\r\n\r\n".to_vec(), vec![b'x'; 3 * 1024 * 1024], b"\r\n".to_vec()].concat();
    let mut client = inbox.client();
    for _ in 0..9 {
        deliver(&mut client, &message);
    }
    assert_eq!(inbox.ids(), ["9", "8", "7", "6", "5", "4", "3", "2"]);
    assert!(inbox.get("/api/messages/9/source").body == message);
}

#[test]
fn a_full_inbox_refuses_if_that_is_asked_for() {
    let inbox = Inbox::start_with(&["--keep", "10", "--when-full", "refuse"]);
    let mut client = inbox.client();
    for n in 1..=12 {
        client.begin();
        client.send("BDAT 1 LAST\r\nx");
        client.expect_reply(if n <= 10 { "250 2.0.0" } else { "452 4.3.1 The inbox is full" });
    }
    let refused = || counts(&inbox)["refused"].clone();
    assert_eq!((inbox.ids().len(), refused()), (10, json!(2)));
    assert_eq!(inbox.request("DELETE", "/api/messages/7", "", "").status, 204);
    assert_eq!(refused(), json!(0));
    assert_eq!(inbox.receive(subject("there was room")), "11");
    client.begin();
    client.send("BDAT 1 LAST\r\nx");
    client.expect_reply("452 4.3.1");
    client.expect_in_step();
    assert_eq!(inbox.request("DELETE", "/api/messages", "", "").status, 204);
    assert_eq!(inbox.receive(subject("and now there is")), "12");
}

#[test]
fn messages_go_after_their_time() {
    let folder = tempfile::tempdir().expect("a folder");
    for inbox in [Inbox::start_with(&["--keep-for", "1s"]), inbox_in(folder.path(), &["--keep-for", "1s"])] {
        let change = counts(&inbox)["change"].clone();
        deliver(&mut inbox.client(), subject("short").as_bytes());
        wait_until("its time is over", || {
            let told = counts(&inbox);
            told["total"] == 0 && told["dropped"] == 1
        });
        let told = inbox.get(&format!("/api/changes?after={change}")).json();
        assert_eq!(told["deleted"], json!(["1"]));
        // The files go after that.
        wait_until("the files are gone", || {
            files(folder.path()).iter().all(|name| name == "last-id" || name == "lock")
        });
    }
    // Also those whose time is over while nobody is there.
    let inbox = inbox_in(folder.path(), &[]);
    assert_eq!(inbox.receive(subject("old")), "2");
    stop(inbox);
    thread::sleep(Duration::from_millis(1100));
    let inbox = inbox_in(folder.path(), &["--keep-for", "1s"]);
    assert_eq!((inbox.ids().len(), &counts(&inbox)["dropped"]), (0, &json!(1)));
}

#[test]
fn a_message_that_went_can_be_read_to_its_end() {
    let inbox = Inbox::start_with(&["--keep", "1"]);
    let message = [b"Subject: large\r\n\r\n".to_vec(), vec![b'x'; 20_000_000]].concat();
    inbox.receive(&message);
    let mut reader = inbox.connect();
    write!(reader, "GET /api/messages/1/source HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", inbox.web).unwrap();
    let mut first = [0; 1];
    reader.read_exact(&mut first).expect("it begins");
    for n in 2..=9 {
        assert_eq!(inbox.receive(subject("next")), n.to_string());
    }
    assert_eq!((inbox.ids(), &counts(&inbox)["refused"]), (vec!["9".to_owned()], &json!(0)));
    let mut octets = first.to_vec();
    reader.read_to_end(&mut octets).expect("all of it");
    assert!(Answer::parse(&octets).body == message);
}

#[test]
fn what_cannot_be_asked_for() {
    for (arguments, problem) in [
        (&["--keep", "0"][..], "above 0"),
        (&["--keep", "-1"], "'-1'"),
        (&["--keep-octets", "0"], "above 0"),
        (&["--keep-octets", "1G"], "in digits only"),
        (&["--keep-for", "0s"], "such as 12h"),
        (&["--keep-for", "tomorrow"], "such as 12h"),
        (&["--keep-for", "-1s"], "such as 12h"),
        (&["--when-full", "panic"], "expected drop-oldest or refuse"),
    ] {
        let output = command(&[&["-n", "-c", "Inbox", "--http", "127.0.0.1:0", "127.0.0.1:0"], arguments].concat())
            .output()
            .expect("the command was built");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(2) && errors.contains(problem), "{arguments:?}: {errors}");
    }
}

/// All that is told of each message.
fn all(inbox: &Inbox) -> Vec<(Value, Vec<u8>)> {
    let ids = inbox.ids();
    ids.iter().map(|id| (inbox.message(id), inbox.get(&format!("/api/messages/{id}/source")).body)).collect()
}

#[test]
fn messages_in_a_folder_are_there_after_a_restart() {
    let above = tempfile::tempdir().expect("a folder");
    let folder = above.path().join("mail/inbox");
    let options = ["-u", "--xforward", "127.0.0.1", "--self-signed"];
    let inbox = inbox_in(&folder, &options);
    inbox.receive("From: a@b.example\r\nTo: c@d.example\r\nSubject: =?utf-8?q?Gr=C3=BCn?=\r\n\r\nHello\r\n");
    let octets: Vec<u8> = (0..=255).cycle().take(2_000_000).collect();
    let mut client = inbox.client();
    client.expect("XFORWARD NAME=host.example ADDR=192.0.2.7 HELO=host.example", "250");
    client.expect("MAIL FROM:<\"a b\"@grün.example> SMTPUTF8 BODY=BINARYMIME RET=HDRS ENVID=x+2By", "250");
    client.expect("RCPT TO:<jürgen@example.org> NOTIFY=NEVER", "250");
    client.expect("RCPT TO:<Postmaster>", "250");
    client.expect("RCPT TO:<nobody>x", "501");
    client.send(format!("BDAT {} LAST\r\n", octets.len()));
    client.send(&octets);
    client.expect_reply("250 2.0.0");
    client.begin();
    client.send("BDAT 0 LAST\r\n");
    client.expect_reply("250 2.0.0");
    inbox.receive(
        "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\ntext\r\n--b\r\nContent-Type: x/y\r\n\
        Content-Disposition: attachment; filename=f.bin\r\n\r\noctets\r\n--b--\r\n",
    );
    assert_eq!(inbox.request("PUT", "/api/messages/2/read", "", "").status, 204);
    assert_eq!(inbox.request("PUT", "/api/messages/3/read", "", "").status, 204);
    assert_eq!(inbox.request("DELETE", "/api/messages/3/read", "", "").status, 204);
    let before = all(&inbox);
    assert_eq!(before.len(), 4);
    stop(inbox);
    assert_eq!(files(&folder), ["1.mail", "2.mail", "2.read", "3.mail", "4.mail", "lock"]);
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        let mode = |path: &Path| fs::metadata(path).expect("it is there").mode() & 0o777;
        assert_eq!((mode(&folder), mode(&folder.join("1.mail")), mode(&folder.join("lock"))), (0o700, 0o600, 0o600));
    }
    let inbox = inbox_in(&folder, &options);
    let after = all(&inbox);
    for (before, after) in before.iter().zip(&after) {
        assert_eq!(before.0, after.0);
        assert!(before.1 == after.1, "{}", before.0);
    }
    assert_eq!(after.len(), 4);
    let told = counts(&inbox);
    assert_eq!((&told["total"], &told["unread_total"]), (&json!(4), &json!(3)));
    // Ids go on, also where the newest are gone.
    assert_eq!(inbox.receive(subject("five")), "5");
    for id in [5, 4, 1] {
        assert_eq!(inbox.request("DELETE", &format!("/api/messages/{id}"), "", "").status, 204);
    }
    assert_eq!(files(&folder), ["2.mail", "2.read", "3.mail", "last-id", "lock"]);
    kill(inbox);
    let inbox = inbox_in(&folder, &["--keep", "1"]);
    assert_eq!((inbox.ids(), &counts(&inbox)["dropped"]), (vec!["3".to_owned()], &json!(1)));
    assert_eq!(files(&folder), ["3.mail", "last-id", "lock"]);
    assert_eq!(inbox.receive(subject("six")), "6");
    assert_eq!(inbox.request("DELETE", "/api/messages", "", "").status, 204);
    kill(inbox);
    let inbox = inbox_in(&folder, &[]);
    assert_eq!(inbox.receive(subject("seven")), "7");
}

#[test]
fn a_folder_is_for_one_process() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().to_str().expect("UTF-8");
    let inbox = inbox_in(folder.path(), &[]);
    let second = ["-n", "-c", "Inbox", "--http", "127.0.0.1:0", "--inbox-dir", path, "127.0.0.1:0"];
    let output = command(&second).output().expect("the command was built");
    let expected = format!("pillarbox: cannot keep messages in {path}: another process uses it\n");
    assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stderr).as_ref()), (Some(1), &*expected));
    assert_eq!(inbox.receive(subject("hello")), "1");
    kill(inbox);
    assert_eq!(inbox_in(folder.path(), &[]).ids(), ["1"]);
    let file = folder.path().join("1.mail");
    let output =
        command(&["-n", "-c", "Inbox", "--http", "127.0.0.1:0", "--inbox-dir", file.to_str().unwrap(), "127.0.0.1:0"])
            .output()
            .expect("the command was built");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
}

#[test]
fn what_is_no_message_is_left_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let inbox = inbox_in(folder.path(), &[]);
    for n in 1..=6 {
        inbox.receive(subject(&n.to_string()));
    }
    stop(inbox);
    let at = |name: &str| folder.path().join(name);
    let whole = fs::read(at("1.mail")).expect("it is there");
    fs::write(at("1.mail"), &whole[..whole.len() - 1]).unwrap();
    fs::write(at("2.mail"), [&whole[..], b"x"].concat()).unwrap();
    fs::write(at("3.mail"), "").unwrap();
    let mut bad = whole.clone();
    let brace = bad.iter().position(|b| *b == b'{').expect("JSON");
    bad[brace] = b'[';
    fs::write(at("4.mail"), &bad).unwrap();
    fs::write(at("5.mail"), b"pillarbox-message 1 99999999999 1 1\n{}").unwrap();
    let foreign = ["007.mail", "7.mail~", "README", "0.mail", "18446744073709551615.mail", "draft-x", "\u{1b}.mail"];
    for name in foreign {
        fs::write(at(name), &whole).unwrap();
    }
    fs::create_dir(at("9.mail")).unwrap();
    std::os::unix::fs::symlink(at("6.mail"), at("8.mail")).unwrap();
    // Of a process that was killed; and of a message that is gone.
    fs::write(at("draft-12"), &whole[..50]).unwrap();
    fs::write(at("77.read"), "").unwrap();
    let path = folder.path().to_str().expect("UTF-8");
    let start = || {
        let arguments = ["-n", "-c", "Inbox", "--http", "127.0.0.1:0", "--inbox-dir", path, "127.0.0.1:0"];
        let mut server = Running::start_command(command(&arguments));
        let mut line = String::new();
        std::io::BufRead::read_line(&mut server.stderr, &mut line).expect("text");
        let address = line.trim_end().strip_prefix("pillarbox: inbox at http://").and_then(|url| url.strip_suffix('/'));
        let web = address.unwrap_or_else(|| panic!("{line}")).parse().expect("an address");
        Inbox { server, web }
    };
    let inbox = start();
    for id in 1..=5 {
        let said = format!("message {id} cannot be read, and is left alone: ");
        assert!(inbox.server.before.contains(&said), "{}", inbox.server.before);
    }
    assert_eq!(inbox.server.before.matches("is no message, and is left alone").count(), foreign.len() + 2);
    assert!(inbox.server.before.contains("\\x1b.mail"), "{}", inbox.server.before);
    assert_eq!(inbox.ids(), ["6"]);
    assert_eq!(inbox.receive(subject("seven")), "7");
    assert_eq!(inbox.request("DELETE", "/api/messages", "", "").status, 204);
    stop(inbox);
    let left = files(folder.path());
    for name in foreign.iter().chain(&["1.mail", "2.mail", "3.mail", "4.mail", "5.mail", "8.mail", "9.mail"]) {
        assert!(left.iter().any(|file| file == name), "{name}: {left:?}");
    }
    assert!(!left.iter().any(|file| ["6.mail", "7.mail", "draft-12", "77.read"].contains(&&**file)), "{left:?}");
    // Whose room it would be.
    let arguments = ["-n", "-c", "Inbox", "--http", "127.0.0.1:0", "--inbox-dir", path, "--keep", "1", "127.0.0.1:0"];
    drop(Running::start_command(command(&arguments)));
    assert_eq!(files(folder.path()), left);
}

/// Sends messages until the server is gone, but not for ever, each with a text of its own; which of them were accepted.
fn send_until_killed(client: &mut Client, sender: usize, round: usize) -> Vec<String> {
    let mut accepted = Vec::new();
    for n in 0..2000 {
        let text = format!("round {round} sender {sender} message {n} {}", "x".repeat(n * 997 % 20_000));
        let message = subject(&text);
        let command = format!("MAIL FROM:<>\r\nRCPT TO:<a@b.example>\r\nBDAT {} LAST\r\n{message}", message.len());
        if !client.try_send(command) {
            break;
        }
        let replies = [client.reply(), client.reply(), client.reply()];
        if !replies[2].starts_with("250 ") {
            break;
        }
        accepted.push(message);
    }
    accepted
}

#[test]
fn nothing_that_was_accepted_is_lost_when_it_is_killed() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut accepted: Vec<String> = Vec::new();
    for round in 0..4 {
        let inbox = inbox_in(folder.path(), &[]);
        let before = counts(&inbox)["total"].as_u64().expect("a number");
        let taken = thread::scope(|scope| {
            let senders: Vec<_> = (0..6)
                .map(|sender| {
                    let mut client = inbox.client();
                    scope.spawn(move || send_until_killed(&mut client, sender, round))
                })
                .collect();
            wait_until("enough are there", || counts(&inbox)["total"].as_u64().expect("a number") >= before + 60);
            inbox.server.signal("KILL");
            senders.into_iter().flat_map(|sender| sender.join().expect("a sender")).collect::<Vec<_>>()
        });
        assert!(taken.len() >= 50, "{}", taken.len());
        accepted.extend(taken);
        let _ = inbox.server.finish();
        // Without a word of anything that is damaged.
        let inbox = inbox_in(folder.path(), &[]);
        let total = counts(&inbox)["total"].as_u64().expect("a number");
        let source = |id: u64| inbox.get(&format!("/api/messages/{id}/source")).body;
        let mut sources: Vec<_> = (1..=total).map(|id| String::from_utf8(source(id)).expect("text")).collect();
        sources.sort();
        for message in &accepted {
            assert!(sources.binary_search(message).is_ok(), "lost: {}", &message[..60]);
        }
        // Some may be there whose acceptance did not reach the client, but each only once, and whole.
        sources.dedup();
        assert_eq!(sources.len() as u64, total);
        let is_whole = |message: &String| message.starts_with("Subject: round ") && message.ends_with("\r\n");
        assert!(sources.iter().all(is_whole));
        stop(inbox);
    }
}

#[test]
fn a_full_disk_refuses_for_now() {
    let Some(disk) = SmallDisk::mount() else { return };
    let folder = disk.path().join("inbox");
    let path = folder.to_str().expect("UTF-8");
    let inbox = inbox_in(&folder, &[]);
    assert_eq!(inbox.receive(subject("small")), "1");
    let mut client = inbox.client();
    let large = vec![b'x'; 2_000_000];
    client.begin();
    client.send(format!("BDAT {} LAST\r\n", large.len()));
    client.send(&large);
    client.expect_reply("452 4.3.1");
    disk.fill("filler");
    client.begin();
    client.send("BDAT 1 LAST\r\nx");
    client.expect_reply("452 4.3.1");
    assert_eq!(inbox.ids(), ["1"]);
    // It can be read and deleted all the same.
    assert_eq!(inbox.message("1")["subject"], "small");
    assert_eq!(inbox.request("PUT", "/api/messages/1/read", "", "").status, 204);
    fs::remove_file(disk.path().join("filler")).expect("it is there");
    assert!(files(&folder).iter().all(|name| !name.starts_with("draft")), "{path}: {:?}", files(&folder));
    let id: u64 = inbox.receive(subject("there is room")).parse().expect("a number");
    assert!(id > 1);
    stop(inbox);
    assert_eq!(inbox_in(&folder, &[]).ids().len(), 2);
}

#[test]
fn memory_and_disk_stay_flat() {
    let folder = tempfile::tempdir().expect("a folder");
    let inboxes = [
        (Inbox::start_with(&["--keep", "50"]), None),
        (inbox_in(folder.path(), &["--keep", "50"]), Some(folder.path())),
    ];
    for (inbox, folder) in inboxes {
        let mut client = inbox.client();
        // Also with a folder its text is in memory, to be searched.
        let message = format!("Subject: flat\r\n\r\n{}", "a text that is searched\r\n".repeat(2000));
        let one = format!("MAIL FROM:<>\r\nRCPT TO:<a@b.example>\r\nBDAT {} LAST\r\n{message}", message.len());
        let mut send = |tens: usize| {
            for _ in 0..tens {
                client.send(one.repeat(10));
                for _ in 0..10 {
                    let replies = [client.reply(), client.reply(), client.reply()];
                    assert!(replies[2].starts_with("250 "), "{replies:?}");
                }
            }
        };
        send(10);
        let memory = || process::status(inbox.server.process.0.id(), "VmRSS");
        let before = memory();
        send(20);
        let more = memory().saturating_sub(before);
        // The texts of all of them would be twice as much.
        assert!(more < 5000, "{more} KiB more");
        assert_eq!(counts(&inbox)["dropped"], 250);
        if let Some(folder) = folder {
            assert_eq!(files(folder).len(), 51);
        }
    }
}

#[test]
fn root_becomes_nobody_before_the_folder_is_made() {
    if !nix::unistd::geteuid().is_root() {
        return;
    }
    let above = tempfile::tempdir().expect("a folder");
    assert!(Command::new("chmod").arg("777").arg(above.path()).status().expect("chmod is there").success());
    let folder = above.path().join("inbox");
    let path = folder.to_str().expect("UTF-8");
    let arguments = ["-c", "Inbox", "--http", "127.0.0.1:0", "--inbox-dir", path, "127.0.0.1:0"];
    let server = Running::start_command(command(&arguments));
    deliver(&mut Client::ehlo(server.address()), subject("hello").as_bytes());
    use std::os::unix::fs::MetadataExt;
    assert_ne!(fs::metadata(folder.join("1.mail")).expect("it is there").uid(), 0);
}
