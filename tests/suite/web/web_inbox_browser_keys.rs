//! The web inbox in a browser, by keyboard alone.

use crate::support::browser::{DELETE, DOWN, END, ENTER, ESCAPE, HOME, LEFT, RIGHT, SHIFT, TAB, UP};
use crate::support::page::{HOLD, RELEASE, TITLE, WELCOME, focus, named, show, wait_for_rows, wait_for_subject};
use crate::support::web::Inbox;

#[test]
fn a_keyboard_is_enough() {
    let inbox = Inbox::start();
    let Some(browser) = show(&inbox) else { return };
    for n in 1..=4 {
        inbox.receive(named("a@example.org", &format!("number {n}")));
    }
    inbox.receive(WELCOME);
    wait_for_rows(&browser, 5);
    // By Tab to all that there is, and it is seen where one is.
    let mut stops = Vec::new();
    for _ in 0..6 {
        browser.press(TAB);
        stops.push(focus(&browser));
        let outline = "const at = document.activeElement; return at.matches(':focus-visible') && at.id === 'list' \
            || getComputedStyle(at).outlineStyle !== 'none' && parseFloat(getComputedStyle(at).outlineWidth) >= 1;";
        assert_eq!(browser.run(outline), true, "{stops:?}");
    }
    assert_eq!(stops, ["search", "open-connections", "open-faults", "delete-all", "open-keys", "list"]);

    browser.press(DOWN);
    wait_for_subject(&browser, TITLE);
    browser.press(DOWN);
    wait_for_subject(&browser, "number 4");
    browser.press("jj");
    wait_for_subject(&browser, "number 2");
    browser.press(UP);
    wait_for_subject(&browser, "number 3");
    browser.press(END);
    wait_for_subject(&browser, "number 1");
    browser.press(HOME);
    wait_for_subject(&browser, TITLE);
    browser.press(ENTER);
    browser.wait("document.activeElement.id === 'subject'");
    for (key, panel) in [
        ("2", "text"),
        ("3", "links"),
        ("4", "markup"),
        ("5", "headers"),
        ("6", "source"),
        ("7", "attachments"),
        ("8", "conversation"),
        ("1", "html"),
    ] {
        browser.press(key);
        browser.wait(&format!("document.getElementById('panel').className === '{panel}'"));
    }
    // From the message's title on: its buttons, its tabs, which arrows go through, and what they show.
    browser.press(TAB);
    assert_eq!(focus(&browser), "unread");
    browser.press(&format!("{TAB}{TAB}"));
    assert_eq!(focus(&browser), "delete");
    browser.press(&format!("{TAB}{TAB}"));
    assert_eq!(focus(&browser), "tab-html");
    browser.press(RIGHT);
    assert_eq!((focus(&browser).as_str(), browser.text("#panel").contains("Hello Zoë")), ("tab-text", true));
    browser.press(&format!("{LEFT}{LEFT}"));
    assert_eq!(focus(&browser), "tab-conversation");
    browser.press(TAB);
    assert_eq!(focus(&browser), "panel");
    browser.press_with(SHIFT, TAB);
    assert_eq!(focus(&browser), "tab-conversation");
    browser.press(ESCAPE);
    assert_eq!(focus(&browser), "list");

    // A deletion leads on to the next message, and is taken back by a key.
    browser.press(DELETE);
    wait_for_rows(&browser, 4);
    wait_for_subject(&browser, "number 4");
    assert_eq!((inbox.ids().len(), focus(&browser).as_str()), (5, "list"));
    browser.press("z");
    wait_for_rows(&browser, 5);
    wait_for_subject(&browser, TITLE);
    browser.press("#");
    wait_for_subject(&browser, "number 4");
    // Unread again, by a key.
    browser.wait("document.getElementById('count').textContent === '4 messages'");
    browser.press("u");
    browser.wait("document.getElementById('count').textContent === '4 messages, 1 unread'");

    browser.press("/3");
    wait_for_rows(&browser, 1);
    browser.press(ENTER);
    wait_for_subject(&browser, "number 3");
    // Who writes there means letters, whatever keys they are elsewhere.
    browser.press("/f?#j");
    assert_eq!(browser.run("return document.getElementById('search').value;"), "f?#j");
    browser.press(ESCAPE);
    assert_eq!(focus(&browser), "list");
    browser.press("f");
    browser.wait("document.getElementById('faults').open && document.activeElement.id === 'rules'");
    browser.press("jf?#");
    assert_eq!(browser.run("return document.querySelectorAll('dialog[open]').length;"), 1);
    browser.press(ESCAPE);
    browser.wait("!document.querySelector('dialog[open]')");
    browser.press("?");
    browser.wait("document.getElementById('keys').open");
    browser.press(ENTER);
    browser.wait("!document.querySelector('dialog[open]')");
}

#[test]
fn keys_that_are_pressed_before_the_server_has_answered() {
    let inbox = Inbox::start();
    let Some(browser) = show(&inbox) else { return };
    for n in 1..=6 {
        inbox.receive(named("a@example.org", &format!("number {n}")));
    }
    wait_for_rows(&browser, 6);
    let held = |keys: &str| {
        browser.run(HOLD);
        browser.press(keys);
        browser.run(RELEASE);
    };
    // Of a message that is not shown yet.
    held("j2");
    wait_for_subject(&browser, "number 6");
    browser.wait("document.getElementById('panel').className === 'text'");
    held("j5");
    wait_for_subject(&browser, "number 5");
    browser.wait("document.getElementById('panel').className === 'headers'");
    // Each deletion is of another message, and the one behind it is shown.
    held("##");
    wait_for_rows(&browser, 4);
    wait_for_subject(&browser, "number 3");
    // The one before can no longer be taken back.
    inbox.wait_for_ids(&["6", "4", "3", "2", "1"]);
    // Who goes on while a message is deleted is not led back.
    held(&format!("#{END}"));
    wait_for_rows(&browser, 3);
    wait_for_subject(&browser, "number 1");
    inbox.wait_for_ids(&["6", "3", "2", "1"]);
    // Below the first that is found.
    held(&format!("/number{ENTER}j"));
    wait_for_subject(&browser, "number 2");
    browser.press(&format!("/{ESCAPE}"));
    // Not for the list, which is behind the dialog.
    held("fj#");
    browser.wait("document.getElementById('rules').value === '[]'");
    assert_eq!(browser.run("return document.querySelectorAll('dialog[open]').length;"), 1);
    assert_eq!(focus(&browser), "rules");
    browser.press(ESCAPE);
    browser.press(ENTER);
    wait_for_subject(&browser, "number 2");
}

#[test]
fn each_question_has_its_own_answer() {
    let inbox = Inbox::start();
    let Some(browser) = show(&inbox) else { return };
    for n in 1..=3 {
        inbox.receive(named("a@example.org", &format!("number {n}")));
    }
    wait_for_rows(&browser, 3);
    // The browser tells of the end of the first when the second is there: a frame or two later.
    let both = "const ask = () => document.getElementById('delete-all').click(); \
        ask(); document.getElementById('confirm').close(); ask(); \
        requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(() => { window.isLater = true; })));";
    browser.run(both);
    browser.wait("window.isLater");
    browser.press(ESCAPE);
    browser.wait("!document.querySelector('dialog[open]')");
    assert_eq!(inbox.ids().len(), 3);
    // Or of both ends at once.
    let no_and_yes = "const ask = () => document.getElementById('delete-all').click(); \
        ask(); document.getElementById('confirm').close(); ask(); document.getElementById('confirm-yes').click();";
    browser.run(no_and_yes);
    wait_for_rows(&browser, 0);
    inbox.wait_for_ids(&[]);
}
