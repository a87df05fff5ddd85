//! The Maildir: whole or not at all, and on disk before its 250.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, SystemTime};

use crate::support::client::Client;
use crate::support::disk::SmallDisk;
use crate::support::logged;
use pillarbox::Server;
use pillarbox::handlers::Maildir;

fn files(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path()).collect()
}

fn serve(folder: &Path) -> Server {
    Server::builder()
        .hostname("mx.example")
        .serve("127.0.0.1:0", Maildir::create(folder).expect("a folder of its own"))
        .expect("a free port")
}

fn send(client: &mut Client, content: &str, reply: &str) {
    client.begin();
    client.expect("DATA", "354");
    client.expect(format!("{content}\r\n."), reply);
}

#[test]
fn what_is_stored() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("not/there/yet");
    let server = serve(&path);
    let mut client = Client::ehlo(server.local_addr());
    client.expect("MAIL FROM:<sender@client.example>", "250");
    client.expect("RCPT TO:<one@example.org>", "250");
    client.expect("RCPT TO:<two@example.org>", "250");
    client.expect("DATA", "354");
    client.expect(b"Subject: x\r\n\r\nb\xe9\r\n..dot\r\n.", "250");
    let stored = files(&path.join("new"));
    assert_eq!((stored.len(), files(&path.join("tmp")).len(), files(&path.join("cur")).len()), (1, 0, 0));
    assert_eq!(fs::metadata(&stored[0]).unwrap().permissions().mode() & 0o777, 0o600);
    let text = fs::read(&stored[0]).unwrap();
    let head = "Return-Path: <sender@client.example>\nDelivered-To: one@example.org\nDelivered-To: two@example.org\n\
                Received: from client.example ([127.0.0.1])\n\tby mx.example with ESMTP id ";
    assert!(text.starts_with(head.as_bytes()), "{}", text.escape_ascii());
    assert!(text.ends_with(b" +0000\nSubject: x\n\nb\xe9\n.dot\n"), "{}", text.escape_ascii());
    assert!(!text.contains(&b'\r'));
}

#[test]
fn addresses_of_all_kinds() {
    let folder = tempfile::tempdir().unwrap();
    let maildir = Maildir::create(folder.path()).unwrap();
    let server = Server::builder().smtputf8(true).serve("127.0.0.1:0", maildir).unwrap();
    let mut client = Client::ehlo(server.local_addr());
    client.expect("MAIL FROM:<> SMTPUTF8", "250");
    client.expect("RCPT TO:<Postmaster>", "250");
    client.expect("RCPT TO:<\"a\\\" >: b\"@example.org>", "250");
    client.expect("RCPT TO:<gr\u{fc}\u{df}e@b\u{fc}cher.example>", "250");
    // Neither a line end nor what is left of one gets into a header.
    client.expect(b"RCPT TO:<\"a\rX-Forged: b\"@example.org>", "5");
    client.expect(b"RCPT TO:<\"a\nX-Forged: b\"@example.org>", "5");
    client.expect("DATA", "354");
    client.expect("Return-Path: <forged@client.example>\r\n\r\nx\r\n.", "250");
    let text = fs::read_to_string(&files(&folder.path().join("new"))[0]).unwrap();
    let head = "Return-Path: <>\nDelivered-To: Postmaster\nDelivered-To: \"a\\\" >: b\"@example.org\n\
                Delivered-To: gr\u{fc}\u{df}e@b\u{fc}cher.example\nReceived: ";
    assert!(text.starts_with(head), "{text}");
    assert!(text.ends_with("\nReturn-Path: <forged@client.example>\n\nx\n") && !text.contains("X-Forged"), "{text}");
}

#[test]
fn octets_without_lines_stay_as_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let server = serve(folder.path());
    let mut client = Client::ehlo(server.local_addr());
    client.expect("MAIL FROM:<sender@client.example> BODY=BINARYMIME", "250");
    client.expect("RCPT TO:<recipient@example.org>", "250");
    client.send(b"BDAT 9 LAST\r\na\r\n\0\xff\n\rb\r");
    client.expect_reply("250");
    let text = fs::read(&files(&folder.path().join("new"))[0]).unwrap();
    assert!(text.ends_with(b" +0000\na\r\n\0\xff\n\rb\r"), "{}", text.escape_ascii());
}

#[test]
fn only_its_owner_can_look_in() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mail");
    let server = serve(&path);
    send(&mut Client::ehlo(server.local_addr()), "x", "250");
    for folder in [path.clone(), path.join("tmp"), path.join("new"), path.join("cur")] {
        assert_eq!(fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o700, "{}", folder.display());
    }
    // A colon begins the flags that a reader adds.
    let name = files(&path.join("new"))[0].file_name().unwrap().to_str().unwrap().to_owned();
    assert!(!name.contains(':') && !name.starts_with('.'), "{name}");
}

#[test]
fn what_cannot_be_a_maildir() {
    for file in ["mail", "mail/tmp", "mail/new", "mail/cur"] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        File::create(path).unwrap();
        assert!(Maildir::create(folder.path().join("mail")).is_err(), "{file} is a file");
    }
}

#[test]
fn as_received_with_crlf() {
    let folder = tempfile::tempdir().unwrap();
    let maildir = Maildir::create(folder.path()).unwrap().crlf(true);
    let server = Server::builder().serve("127.0.0.1:0", maildir).unwrap();
    send(&mut Client::ehlo(server.local_addr()), "a\r\nb", "250");
    let text = fs::read(&files(&folder.path().join("new"))[0]).unwrap();
    assert!(text.starts_with(b"Return-Path: <sender@client.example>\r\n") && text.ends_with(b"\r\na\r\nb\r\n"));
}

#[test]
fn a_large_message_is_whole() {
    let folder = tempfile::tempdir().unwrap();
    let server = serve(folder.path());
    let content: String = (0..200_000).map(|n| format!("line {n}\r\n")).collect();
    send(&mut Client::ehlo(server.local_addr()), &content, "250");
    let text = fs::read_to_string(&files(&folder.path().join("new"))[0]).unwrap();
    assert!(text.ends_with(&format!("{}\n", content.replace("\r\n", "\n"))));
}

#[test]
fn a_folder_that_goes_away_and_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mail");
    let server = serve(&path);
    let mut client = Client::ehlo(server.local_addr());
    send(&mut client, "first", "250");
    fs::rename(path.join("new"), path.join("away")).unwrap();
    send(&mut client, "second", "451 4.3.0");
    assert!(files(&path.join("tmp")).is_empty());
    File::create(path.join("new")).unwrap();
    send(&mut client, "third", "451 4.3.0");
    fs::remove_file(path.join("new")).unwrap();
    fs::rename(&path, folder.path().join("elsewhere")).unwrap();
    let refused = {
        client.begin();
        client.expect("DATA", "354");
        client.expect("fourth\r\n.", "451 4.3.0")
    };
    assert!(!refused.contains("mail") && !refused.contains("os error"), "{refused}");
    fs::rename(folder.path().join("elsewhere"), &path).unwrap();
    fs::rename(path.join("away"), path.join("new")).unwrap();
    send(&mut client, "fifth", "250");
    assert_eq!((files(&path.join("new")).len(), files(&path.join("tmp")).len()), (2, 0));
}

#[test]
fn a_failure_is_logged_once_and_so_is_its_end() {
    logged::listen(log::LevelFilter::Warn);
    let folder = tempfile::tempdir().unwrap();
    let server = serve(folder.path());
    let mut client = Client::ehlo(server.local_addr());
    let (new, away) = (folder.path().join("new"), folder.path().join("away"));
    send(&mut client, "before", "250");
    for _ in 0..2 {
        fs::rename(&new, &away).unwrap();
        send(&mut client, "lost", "451 4.3.0");
        send(&mut client, "lost as well", "451 4.3.0");
        fs::rename(&away, &new).unwrap();
        send(&mut client, "after", "250");
        send(&mut client, "after that", "250");
    }
    let name = folder.path().display().to_string();
    let logged = logged::lines(&name);
    let failing = format!("ERROR cannot store messages in {name}: ");
    let well_again = format!("WARN {name} can be written to again");
    assert_eq!(logged.len(), 4, "{logged:?}");
    for pair in logged.chunks(2) {
        assert!(pair[0].starts_with(&failing) && pair[1] == well_again, "{logged:?}");
    }
}

#[test]
fn a_full_disk() {
    let Some(disk) = SmallDisk::mount() else { return };
    let server = serve(disk.path());
    let mut client = Client::ehlo(server.local_addr());
    send(&mut client, "small", "250");
    send(&mut client, &"x".repeat(2_000_000), "452 4.3.1");
    client.expect_in_step();
    assert_eq!((files(&disk.path().join("new")).len(), files(&disk.path().join("tmp")).len()), (1, 0));
    send(&mut client, "small again", "250");
    assert_eq!(files(&disk.path().join("new")).len(), 2);
}

#[test]
fn many_at_once_have_names_of_their_own() {
    let folder = tempfile::tempdir().unwrap();
    let servers: Vec<Server> = (0..2)
        .map(|_| {
            let make = || Maildir::create(folder.path()).expect("a folder of its own");
            Server::builder().consumers(4).serve_with("127.0.0.1:0", make).expect("a free port")
        })
        .collect();
    thread::scope(|scope| {
        for (n, server) in servers.iter().cycle().take(8).enumerate() {
            scope.spawn(move || {
                let mut client = Client::ehlo(server.local_addr());
                for m in 0..25 {
                    send(&mut client, &format!("message {n}-{m}."), "250");
                }
            });
        }
    });
    let stored = files(&folder.path().join("new"));
    let mut texts: Vec<String> =
        stored.iter().map(|path| fs::read_to_string(path).unwrap().lines().last().unwrap().to_owned()).collect();
    texts.sort_unstable();
    texts.dedup();
    assert_eq!((stored.len(), texts.len()), (200, 200));
}

// As a Maildir calls what it writes.
const OLD: &str = "1700000000.M000001P4711Q1R0123456789abcdef.mx.example";
const YOUNG: &str = "1700000000.M000001P4711Q2R0123456789abcdef.mx.example";

#[test]
fn what_a_crash_left_behind_is_removed_in_time() {
    let folder = tempfile::tempdir().unwrap();
    drop(Maildir::create(folder.path()).unwrap());
    for (name, hours) in [(OLD, 37), (YOUNG, 35)] {
        let file = File::create(folder.path().join("tmp").join(name)).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(hours * 3600)).unwrap();
    }
    drop(Maildir::create(folder.path()).unwrap());
    assert_eq!(files(&folder.path().join("tmp")), [folder.path().join("tmp").join(YOUNG)]);
}
