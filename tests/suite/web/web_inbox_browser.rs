//! The web inbox in a browser: messages come, are read, found and stored.

use crate::support::browser::{Browser, DOWN, END, ESCAPE};
use crate::support::page::{TITLE, WELCOME, expect_contrast, named, show, visit, wait_for_rows, wait_for_subject};
use crate::support::web::{Inbox, deliver, deliver_all};
use serde_json::json;

#[test]
fn mail_shows_as_it_comes() {
    let inbox = Inbox::start();
    let Some(browser) = show(&inbox) else { return };
    browser.wait("document.getElementById('empty').checkVisibility()");
    let said = browser.said();
    assert!(said.contains("No mail yet") && said.contains(&inbox.server.endpoint), "{said}");
    browser.run("window.isSamePage = true;");

    inbox.receive(WELCOME);
    wait_for_rows(&browser, 1);
    for part in [TITLE, "Acme", "→ recipient@example.org", "confirm your address: https"] {
        browser.wait(&format!("document.querySelector('.row').innerText.includes({})", json!(part)));
    }
    browser.wait("document.title === '(1) Inbox – pillarbox'");
    inbox.receive(named("b@example.org", "the second"));
    // The newest is first.
    browser.wait("document.querySelector('.row').innerText.includes('the second')");

    browser.click("#mail-1");
    wait_for_subject(&browser, TITLE);
    // As a reader of mail knows it; how it came is folded away.
    let facts = browser.text("#facts");
    assert!(facts.contains("Acme <hello@acme.example>") && facts.contains("Zoe <zoe@example.org>"), "{facts}");
    assert!(facts.contains("2026") && !facts.contains("sender@client.example"), "{facts}");
    browser.click("#delivery summary");
    let delivery = browser.text("#delivery-facts");
    for part in ["<sender@client.example> to <recipient@example.org>", "as client.example", "<1@acme.example>"] {
        assert!(delivery.contains(part.trim_matches(['<', '>'])), "{delivery}");
    }
    browser.wait("document.title === '(1) Inbox – pillarbox' && document.getElementById('panel').className === 'html'");
    browser.enter(Some("#panel iframe"));
    browser.wait("document.body && document.body.innerText.includes('One thing is left to do')");
    browser.enter(None);
    browser.click("#tab-links");
    browser.wait("document.querySelector('#panel.links a')?.href === 'https://acme.example/confirm?t=8Hq2'");
    browser.click("#tab-markup");
    assert!(browser.text("#panel").contains("<h1 style=\"margin-top:0\">Welcome, Zo&euml;</h1>"));

    browser.click("#tab-text");
    assert!(browser.text("#panel").contains("Hello Zoë,\n\nconfirm your address: https://acme.example/confirm?t=8Hq2"));
    browser.click("#tab-headers");
    let headers = browser.text("#panel");
    assert!(headers.contains("Message-ID") && headers.contains("<1@acme.example>"), "{headers}");
    browser.click("#tab-source");
    browser.wait("document.getElementById('panel').innerText.includes('=?utf-8?q?Welcome=2C_Zo=C3=AB=3A?=')");
    browser.click("#tab-conversation");
    let conversation = browser.text("#panel");
    for part in ["EHLO client.example", "RCPT TO:<recipient@example.org>", "250 2.0.0 OK"] {
        assert!(conversation.contains(part), "{conversation}");
    }
    assert_eq!(browser.run("return window.isSamePage;"), true);
}

#[test]
fn attachments_and_messages_are_stored_as_they_came() {
    let inbox = Inbox::start();
    let Some(browser) = show(&inbox) else { return };
    inbox.receive(WELCOME);
    wait_for_rows(&browser, 1);
    browser.click(".row");
    wait_for_subject(&browser, TITLE);
    browser.click("#tab-attachments");
    for (nth, name, octets) in
        [(1, "terms of use.pdf", &b"%PDF-1.7\n\x00\x01\x02\xfd\xfe\xff\r\n\n"[..]), (2, "grün.csv", b"a,b")]
    {
        browser.click(&format!("#panel li:nth-child({nth}) a"));
        assert_eq!(browser.downloaded(), (name.to_owned(), octets.to_vec()));
    }
    browser.click("#download");
    assert_eq!(browser.downloaded(), ("message-1.eml".to_owned(), WELCOME.as_bytes().to_vec()));
}

#[test]
fn a_search_and_an_end_to_messages() {
    let inbox = Inbox::start();
    let Some(browser) = show(&inbox) else { return };
    for (from, subject) in
        [("ann@example.org", "red apples"), ("bob@example.org", "green apples"), ("ann@example.org", "pears")]
    {
        inbox.receive(named(from, subject));
    }
    wait_for_rows(&browser, 3);
    browser.write("#search", "ANN apples");
    wait_for_rows(&browser, 1);
    browser.wait("document.querySelector('.row:not([hidden])').innerText.includes('red apples')");
    browser.wait("document.getElementById('count').textContent === '1 of 3'");
    // What comes while it is searched shows if it is found.
    inbox.receive(named("ann@example.org", "other apples"));
    wait_for_rows(&browser, 2);
    inbox.receive(named("ann@example.org", "plums"));
    browser.wait("document.getElementById('count').textContent === '2 of 5'");
    browser.write("#search", "bananas");
    wait_for_rows(&browser, 0);
    browser.wait("document.getElementById('none').innerText === 'Nothing matches.'");
    browser.press(ESCAPE);
    wait_for_rows(&browser, 5);

    browser.click("#mail-2");
    wait_for_subject(&browser, "green apples");
    // It can be taken back for some seconds, until when the server has it.
    browser.click("#delete");
    wait_for_rows(&browser, 4);
    browser.wait("document.getElementById('undo').innerText.includes('Deleted: green apples')");
    assert_eq!(inbox.ids().len(), 5);
    browser.click("#undo-do");
    wait_for_rows(&browser, 5);
    wait_for_subject(&browser, "green apples");
    browser.click("#delete");
    wait_for_rows(&browser, 4);
    // Whoever leaves means it.
    browser.open("about:blank");
    inbox.wait_for_ids(&["5", "4", "3", "1"]);
    visit(&browser, &inbox);
    wait_for_rows(&browser, 4);
    browser.click("#delete-all");
    assert!(browser.text("#confirm").contains("4 messages"));
    browser.click("#confirm-yes");
    wait_for_rows(&browser, 0);
    browser.wait("!document.getElementById('empty').hidden");
    inbox.wait_for_ids(&[]);
}

#[test]
fn some_hundred_messages_at_once() {
    const COUNT: usize = 600;
    let inbox = Inbox::start();
    let Some(browser) = show(&inbox) else { return };
    let mut client = inbox.client();
    deliver_all(&mut client, (0..COUNT).map(|n| named("burst@example.org", &format!("number {n}."))));
    let all = format!("document.getElementById('count').textContent === '{COUNT} messages, {COUNT} unread'");
    browser.wait(&all);
    // As many as there are places for at first, and all of them once somebody wants the last.
    browser.press(&format!("{DOWN}{END}"));
    wait_for_subject(&browser, "number 0.");
    wait_for_rows(&browser, COUNT);
    // Each in its place, once.
    let ids = browser.run("return [...document.querySelectorAll('.row')].map((row) => row.dataset.id);");
    assert_eq!(ids, json!((1..=COUNT).rev().map(|n| n.to_string()).collect::<Vec<_>>()));
    assert_eq!(
        browser.run("return document.querySelector('.row:last-child').getBoundingClientRect().bottom <= innerHeight;"),
        true
    );
    browser.write("#search", "number 300.");
    wait_for_rows(&browser, 1);
    browser.press(ESCAPE);
    browser.wait("document.querySelectorAll('.row').length >= 100");
}

#[test]
fn a_full_inbox() {
    let inbox = Inbox::start_with(&["--when-full", "refuse"]);
    let Some(browser) = Browser::start() else { return };
    let mut client = inbox.client();
    let large = vec![b'x'; 30 * 1024 * 1024];
    for _ in 0..8 {
        deliver(&mut client, &large);
    }
    client.begin();
    client.send(format!("BDAT {} LAST\r\n", large.len()));
    client.send(&large);
    client.expect_reply("452 4.3.1");
    for scheme in ["light", "dark"] {
        browser.prefer(scheme);
        visit(&browser, &inbox);
        let notice = "The inbox is full: 1 message was refused. Delete some to make room.";
        browser.wait(&format!("document.getElementById('full').innerText === '{notice}'"));
        expect_contrast(&browser, scheme);
    }
    // A message that large is shown in part, without a wait.
    browser.click("#mail-3");
    browser.wait("document.getElementById('panel').innerText.includes('Only the beginning is shown')");
    browser.click("#delete");
    wait_for_rows(&browser, 7);
    assert_eq!(inbox.request("DELETE", "/api/messages/3", "", "").status, 204);
    browser.wait("!document.getElementById('full').checkVisibility()");
    assert_eq!(browser.run("return document.getElementById('full').checkVisibility();"), false);
    deliver(&mut client, &large);
    wait_for_rows(&browser, 8);
}

#[test]
fn a_server_that_is_gone() {
    let inbox = Inbox::start();
    let Some(browser) = show(&inbox) else { return };
    inbox.receive(WELCOME);
    wait_for_rows(&browser, 1);
    drop(inbox);
    browser.wait("document.getElementById('state').innerText === 'Server gone'");
    browser.click(".row");
    browser.wait("document.getElementById('trouble').innerText === 'The server does not answer.'");
}
