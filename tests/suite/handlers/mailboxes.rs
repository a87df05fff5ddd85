//! A Maildir for each recipient: whose mail goes where, and what becomes of it when one of them is full.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;

use crate::support::client::Client;
use pillarbox::handlers::{Mailboxes, Maildir, Quota};
use pillarbox::{Envelope, Handler, Reply, Response, Server};

const DOMAIN: &str = "example.org";

/// A root with a mailbox for each of these.
fn root(users: &[&str]) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    users.iter().for_each(|user| fs::create_dir_all(root.path().join(DOMAIN).join(user)).unwrap());
    root
}

fn new(root: &Path, user: &str) -> Vec<PathBuf> {
    let folder = root.join(DOMAIN).join(user).join("new");
    fs::read_dir(folder).map_or(Vec::new(), |files| files.map(|file| file.unwrap().path()).collect())
}

fn only(root: &Path, user: &str) -> String {
    let [file] = &new(root, user)[..] else { panic!("{user} has {} messages", new(root, user).len()) };
    fs::read_to_string(file).unwrap()
}

fn lmtp(mailboxes: Mailboxes) -> (Server, Client) {
    let server = Server::builder().lmtp(true).serve("127.0.0.1:0", mailboxes).unwrap();
    let mut client = Client::connect(server.local_addr());
    client.expect("LHLO client.example", "250");
    (server, client)
}

fn begin(client: &mut Client, recipients: &[(&str, &str)]) {
    client.expect("MAIL FROM:<sender@client.example>", "250");
    for (to, reply) in recipients {
        client.expect(format!("RCPT TO:<{to}>"), reply);
    }
    client.expect("DATA", "354");
}

#[test]
fn each_recipient_has_a_copy_and_a_verdict() {
    let root = root(&["bob", "carol", "full"]);
    let full = root.path().join("example.org/full");
    // As Courier leaves it: nine octets are left.
    fs::write(full.join("maildirsize"), "1000S\n991 3\n").unwrap();
    let (_server, mut client) = lmtp(Mailboxes::below(root.path()).unwrap());
    begin(
        &mut client,
        &[
            ("Bob@Example.org", "250"),
            ("nobody@example.org", "550 5.1.1"),
            ("full@example.org", "250"),
            ("carol@example.org", "250"),
        ],
    );
    client.send("Subject: x\r\n\r\nhello\r\n.\r\n");
    for reply in ["250 2.0.0", "452 4.2.2", "250 2.0.0"] {
        client.expect_reply(reply);
    }
    client.expect_in_step();
    let bob = only(root.path(), "bob");
    assert!(
        bob.starts_with("Return-Path: <sender@client.example>\nDelivered-To: Bob@Example.org\nReceived: "),
        "{bob}"
    );
    assert!(bob.ends_with("\nSubject: x\n\nhello\n") && !bob.contains("carol"), "{bob}");
    assert!(only(root.path(), "carol").contains("\nDelivered-To: carol@example.org\nReceived: "));
    assert_eq!(new(root.path(), "full").len(), 0);
    // One that is larger than all of the mailbox is not to be tried again.
    begin(&mut client, &[("full@example.org", "250"), ("bob@example.org", "250")]);
    client.send(format!("{}\r\n.\r\n", "x".repeat(1000)));
    client.expect_reply("552 5.2.2");
    client.expect_reply("250 2.0.0");
}

#[test]
fn who_has_no_room_is_refused_in_rcpt_over_smtp() {
    let root = root(&["bob", "carol"]);
    let mailboxes = Mailboxes::below(root.path()).unwrap().quota(Quota::messages(1));
    let server = Server::builder().serve("127.0.0.1:0", mailboxes).unwrap();
    let mut client = Client::ehlo(server.local_addr());
    begin(&mut client, &[("bob@example.org", "250")]);
    client.expect("Subject: first\r\n.", "250");
    begin(&mut client, &[("bob@example.org", "452 4.2.2"), ("carol@example.org", "250")]);
    client.expect("Subject: second\r\n.", "250");
    assert!(only(root.path(), "bob").ends_with("\nSubject: first\n"));
    assert!(only(root.path(), "carol").ends_with("\nSubject: second\n"));
    // Who reads and deletes has room again; the mailbox is then counted anew, as its account is older than its emptiness.
    fs::remove_file(&new(root.path(), "bob")[0]).unwrap();
    let account = fs::File::options().append(true).open(root.path().join("example.org/bob/maildirsize")).unwrap();
    std::io::Write::write_all(&mut &account, b"-100 -1\n").unwrap();
    begin(&mut client, &[("bob@example.org", "250")]);
    client.expect("Subject: third\r\n.", "250");
    assert!(only(root.path(), "bob").ends_with("\nSubject: third\n"));
}

#[test]
fn extensions_and_mailboxes_that_come_and_go() {
    let root = root(&["bob", "bob+own"]);
    let mailboxes = Mailboxes::below(root.path()).unwrap().extension('+');
    let (_server, mut client) = lmtp(mailboxes);
    begin(
        &mut client,
        &[("bob+lists@example.org", "250"), ("bob+own@example.org", "250"), ("\"../bob\"@example.org", "550 5.1.1")],
    );
    client.send("Subject: x\r\n.\r\n");
    client.expect_reply("250");
    client.expect_reply("250");
    assert!(only(root.path(), "bob").contains("Delivered-To: bob+lists@example.org\n"));
    assert!(only(root.path(), "bob+own").contains("Delivered-To: bob+own@example.org\n"));
    // It is removed, and made anew without the folders of a Maildir: at the latest the second try succeeds.
    fs::remove_dir_all(root.path().join("example.org/bob")).unwrap();
    client.expect("MAIL FROM:<>", "250");
    client.expect("RCPT TO:<bob@example.org>", "550 5.1.1");
    fs::create_dir(root.path().join("example.org/bob")).unwrap();
    client.expect("RCPT TO:<bob@example.org>", "250");
    client.expect("DATA", "354");
    if client.say("Subject: y\r\n.").starts_with("451") {
        begin(&mut client, &[("bob@example.org", "250")]);
        client.expect("Subject: y\r\n.", "250");
    }
    assert!(only(root.path(), "bob").ends_with("\nSubject: y\n"));
    // The postmaster of no domain is whose folder that is.
    client.expect("MAIL FROM:<>", "250");
    client.expect("RCPT TO:<Postmaster>", "550 5.1.1");
    fs::create_dir(root.path().join("postmaster")).unwrap();
    client.expect("RCPT TO:<Postmaster>", "250");
}

#[test]
fn many_at_once_stay_within_the_quota() {
    const EACH: usize = 4;
    let users = ["a", "b", "c"];
    let root = root(&users);
    let mailboxes = Mailboxes::below(root.path()).unwrap().quota(Quota::messages(10));
    let server = Server::builder().lmtp(true).serve("127.0.0.1:0", mailboxes).unwrap();
    let addr = server.local_addr();
    let accepted: usize = thread::scope(|scope| {
        let clients: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(move || {
                    let mut client = Client::connect(addr);
                    client.expect("LHLO client.example", "250");
                    let mut accepted = 0;
                    for _ in 0..EACH {
                        client.expect("MAIL FROM:<>", "250");
                        let named = users
                            .iter()
                            .filter(|user| client.say(format!("RCPT TO:<{user}@example.org>")).starts_with("250"));
                        let named = named.count();
                        if named == 0 {
                            client.expect("RSET", "250");
                            continue;
                        }
                        client.expect("DATA", "354");
                        client.send("Subject: x\r\n.\r\n");
                        accepted += (0..named).filter(|_| client.reply().starts_with("250")).count();
                    }
                    accepted
                })
            })
            .collect();
        clients.into_iter().map(|client| client.join().unwrap()).sum()
    });
    assert_eq!(accepted, 30, "8 clients with {EACH} messages each for 3 mailboxes of 10");
    for user in users {
        assert_eq!(new(root.path(), user).len(), 10);
        let account = fs::read_to_string(root.path().join(DOMAIN).join(user).join("maildirsize")).unwrap();
        let octets: u64 = new(root.path(), user).iter().map(|file| fs::metadata(file).unwrap().len()).sum();
        let lines = account.lines().skip(1).map(|line| line.split_once(' ').unwrap());
        let sums = lines.fold((0, 0), |sums, (octets, messages)| {
            (sums.0 + octets.parse::<u64>().unwrap(), sums.1 + messages.parse::<u64>().unwrap())
        });
        assert_eq!(sums, (octets, 10), "{account}");
    }
}

#[test]
fn more_recipients_than_threads() {
    let users: Vec<String> = (0..100).map(|n| format!("user{n}")).collect();
    let users: Vec<&str> = users.iter().map(String::as_str).collect();
    let root = root(&users);
    let (_server, mut client) = lmtp(Mailboxes::below(root.path()).unwrap());
    let addresses: Vec<String> = users.iter().map(|user| format!("{user}@example.org")).collect();
    begin(&mut client, &addresses.iter().map(|to| (&**to, "250")).collect::<Vec<_>>());
    client.send("Subject: x\r\n.\r\n");
    users.iter().for_each(|_| _ = client.expect_reply("250"));
    for user in users {
        assert!(only(root.path(), user).contains(&format!("Delivered-To: {user}@example.org\n")));
    }
}

#[test]
fn a_mailbox_that_is_a_link_is_not_followed() {
    let root = root(&["bob"]);
    std::os::unix::fs::symlink(root.path().join("example.org/bob"), root.path().join("example.org/eve")).unwrap();
    let (_server, mut client) = lmtp(Mailboxes::below(root.path()).unwrap());
    client.expect("MAIL FROM:<>", "250");
    client.expect("RCPT TO:<eve@example.org>", "451 4.3.0");
    client.expect("RCPT TO:<bob@example.org>", "250");
}

#[test]
fn a_handler_of_ones_own_chooses_the_mailbox() {
    let root = root(&["bob"]);
    let mailboxes = Mailboxes::below(root.path()).unwrap();
    let mut handler = move |mut mail: Envelope| {
        mail.prepend_header("X-Scanned", "yes")?;
        Ok::<_, Reply>(Response::each(mail.recipients().iter().map(|to| mailboxes.maildir(to)?.deliver(&mail, to))))
    };
    let mail = Envelope::builder().recipients(["bob@example.org", "eve@example.org"]).content("Subject: x\n").build();
    let Response::Each(replies) = handler.process_message(mail.unwrap()) else { panic!("one reply for all") };
    assert_eq!((replies[0].code(), replies[1].code()), (250, 550));
    assert!(only(root.path(), "bob").ends_with(" +0000\nX-Scanned: yes\nSubject: x\n"));
}

#[test]
fn a_single_maildir_has_a_quota_too() {
    let folder = tempfile::tempdir().unwrap();
    let mut maildir = Maildir::create(folder.path()).unwrap().quota(Quota::octets(2000).and_messages(2));
    let mut store = |octets: usize| {
        let mail = Envelope::builder().recipients(["a@example.org", "b@example.org"]).content("x".repeat(octets));
        let Response::All(reply) = maildir.process_message(mail.build().unwrap()) else { panic!("for each") };
        reply.to_string()
    };
    assert!(store(2001).starts_with("552 5.2.2"));
    assert!(store(1000).starts_with("250"));
    assert!(store(900).starts_with("452 4.2.2"));
    assert!(store(10).starts_with("250") && store(1).starts_with("452 4.2.2"));
    let names = fs::read_dir(folder.path().join("new")).unwrap().map(|file| file.unwrap());
    for file in names {
        let (name, octets) = (file.file_name().into_string().unwrap(), file.metadata().unwrap().len());
        assert!(name.ends_with(&format!(",S={octets}")), "{name}");
    }
}
