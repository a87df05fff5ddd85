//! The list of messages in a browser: several at once, several tabs, thousands of messages.

use std::time::{Duration, Instant};

use crate::support::browser::{Browser, CONTROL, DOWN, ESCAPE, SHIFT};
use crate::support::page::{named, show, visit, wait_for_rows, wait_for_subject};
use crate::support::wait_until;
use crate::support::web::{Inbox, deliver_all};
use serde_json::json;

#[test]
fn several_messages_at_once() {
    let inbox = Inbox::start();
    let Some(browser) = show(&inbox) else { return };
    for n in 1..=6 {
        inbox.receive(named("a@example.org", &format!("number {n}")));
    }
    wait_for_rows(&browser, 6);
    browser.click("#mail-6");
    wait_for_subject(&browser, "number 6");
    browser.wait("document.getElementById('count').textContent === '6 messages, 5 unread'");
    // From the one that is open to this one, and one more.
    browser.click_with(SHIFT, "#mail-4");
    browser.wait("document.getElementById('selected').innerText === '3 selected'");
    browser.click_with(CONTROL, "#mail-2");
    browser.wait("document.getElementById('selected').innerText === '4 selected'");
    let selected =
        "return [...document.querySelectorAll('.row[aria-selected=true]')].map((row) => row.dataset.id).join();";
    assert_eq!(browser.run(selected), "6,5,4,2");
    browser.click("#selection-read");
    browser.wait("document.getElementById('count').textContent === '6 messages, 2 unread'");
    browser.wait("!document.getElementById('selection').checkVisibility()");
    // By the mark, and by keys.
    browser.click("#mail-3 .mark");
    browser.press(&format!("{ESCAPE}jx"));
    browser.wait("document.getElementById('selected').innerText === '1 selected'");
    // What is opened is read.
    wait_for_subject(&browser, "number 3");
    browser.wait("document.getElementById('count').textContent === '6 messages, 1 unread'");
    browser.run("document.getElementById('list').focus();");
    browser.press_with(SHIFT, DOWN);
    browser.wait("document.getElementById('selected').innerText === '2 selected'");
    browser.press("u");
    browser.wait("document.getElementById('count').textContent === '6 messages, 3 unread'");
    browser.run("document.getElementById('list').focus();");
    browser.press_with(CONTROL, "a");
    browser.wait("document.getElementById('selected').innerText === '6 selected'");
    browser.click_with(CONTROL, "#mail-1");
    browser.press("#");
    browser.wait("document.getElementById('confirm').open");
    assert_eq!(browser.text("#confirm-question"), "Delete 5 messages?");
    browser.click("#confirm-yes");
    wait_for_rows(&browser, 1);
    inbox.wait_for_ids(&["1"]);
    browser.wait("document.getElementById('selection').hidden");
}

#[test]
fn what_others_do_shows_at_once() {
    let inbox = Inbox::start();
    let Some(browser) = show(&inbox) else { return };
    for n in 1..=3 {
        inbox.receive(named("a@example.org", &format!("number {n}")));
    }
    wait_for_rows(&browser, 3);
    browser.click("#mail-2");
    wait_for_subject(&browser, "number 2");
    wait_until("it is read for all who look", || inbox.message("2")["read"] == true);
    assert_eq!(inbox.request("PUT", "/api/messages/3/read", "", "").status, 204);
    browser.wait("document.querySelector('#mail-3 .dot').hidden");
    assert_eq!(inbox.request("DELETE", "/api/messages/3/read", "", "").status, 204);
    browser.wait("!document.querySelector('#mail-3 .dot').hidden");
    assert_eq!(inbox.request("DELETE", "/api/messages/2", "", "").status, 204);
    wait_for_rows(&browser, 2);
    browser.wait("document.getElementById('open').hidden");
    assert_eq!(inbox.request("DELETE", "/api/messages?subject=number", "", "").status, 204);
    browser.wait("!document.getElementById('empty').hidden");
    // A message that is about to be deleted, and is by somebody else.
    inbox.receive(named("a@example.org", "number 4"));
    inbox.receive(named("a@example.org", "number 5"));
    wait_for_rows(&browser, 2);
    browser.click("#mail-5");
    wait_for_subject(&browser, "number 5");
    browser.press("#");
    wait_for_rows(&browser, 1);
    assert_eq!(inbox.request("DELETE", "/api/messages/5", "", "").status, 204);
    browser.wait("document.getElementById('undo').hidden");
    browser.wait("document.getElementById('count').textContent.startsWith('1 message')");
}

#[test]
fn more_tabs_than_a_browser_has_connections() {
    const TABS: usize = 8;
    let inbox = Inbox::start();
    let Some(browser) = show(&inbox) else { return };
    let mut tabs = Vec::new();
    for _ in 1..TABS {
        let (before, this) = browser.open_tab();
        visit(&browser, &inbox);
        tabs.extend([before, this]);
    }
    tabs.sort();
    tabs.dedup();
    assert_eq!(tabs.len(), TABS);
    inbox.receive(named("a@example.org", "number 1"));
    for tab in &tabs {
        browser.go_to(tab);
        wait_for_rows(&browser, 1);
    }
    // The tab that waits for all is closed, whichever it is.
    for tab in tabs.drain(..TABS - 2) {
        browser.go_to(&tab);
        browser.ask("DELETE", "/window", &serde_json::Value::Null).expect("it is closed");
    }
    inbox.receive(named("a@example.org", "number 2"));
    for tab in &tabs {
        browser.go_to(tab);
        wait_for_rows(&browser, 2);
    }
}

#[test]
fn a_page_that_came_from_another_host_without_tls() {
    let inbox = Inbox::start_with(&["--http-host", "inbox.example"]);
    let Some(browser) = Browser::start() else { return };
    browser.open(&format!("http://inbox.example:{}/", inbox.web.port()));
    browser.wait("document.getElementById('state').dataset.state === 'live'");
    // Browsers have no locks there.
    assert_eq!(browser.run("return [isSecureContext, typeof navigator.locks];"), json!([false, "undefined"]));
    inbox.receive(named("a@example.org", "number 1"));
    wait_for_rows(&browser, 1);
    inbox.receive(named("a@example.org", "number 2"));
    wait_for_rows(&browser, 2);
}

#[test]
fn a_search_by_field() {
    let inbox = Inbox::start();
    let Some(browser) = show(&inbox) else { return };
    inbox.receive(named("Ann <ann@example.org>", "red apples"));
    inbox.receive(named("Bob <bob@example.org>", "ann and red pears"));
    wait_for_rows(&browser, 2);
    browser.click("#search");
    browser.wait("document.getElementById('search-hint').checkVisibility()");
    assert!(browser.text("#search-hint").contains("has:attachment"));
    for (search, found) in [("from:ann", "1"), ("subject:\"red pears\"", "2"), ("to:recipient is:unread bob", "2")] {
        browser.write("#search", search);
        wait_for_rows(&browser, 1);
        browser.wait(&format!("document.querySelector('.row').dataset.id === '{found}'"));
    }
    browser.write("#search", "has:attachment");
    wait_for_rows(&browser, 0);
    // What is wrong with it is said.
    browser.write("#search", "is:odd");
    browser.wait("document.getElementById('trouble').checkVisibility()");
}

#[test]
fn ten_thousand_messages() {
    const COUNT: usize = 10_000;
    let inbox = Inbox::start();
    let mut client = inbox.client();
    deliver_all(&mut client, (0..COUNT).map(|n| named("burst@example.org", &format!("number {n}."))));
    let Some(browser) = show(&inbox) else { return };
    // Not all of them are there, and what is there is usable.
    let begun = Instant::now();
    visit(&browser, &inbox);
    browser.wait(&format!("document.getElementById('count').textContent.replaceAll(/[,.\u{a0}\u{202f} ]/g, '') === '{COUNT}messages{COUNT}unread'"));
    let rows = browser.run("return document.querySelectorAll('.row').length;").as_u64().expect("a number");
    assert!((50..1000).contains(&rows), "{rows}");
    let took = begun.elapsed();
    let begun = Instant::now();
    browser.write("#search", "number 4321.");
    wait_for_rows(&browser, 1);
    // How long depends on the machine; something that grows with all messages would take far longer.
    let search = begun.elapsed();
    assert!(took < Duration::from_secs(30) && search < Duration::from_secs(30), "{took:?}, {search:?}");
    browser.press(ESCAPE);
    // More come when the list is scrolled.
    browser.wait("document.querySelectorAll('.row').length >= 100");
    browser.run("document.getElementById('list').scrollTo(0, 1e6);");
    browser.wait("document.querySelectorAll('.row').length >= 200");
}
