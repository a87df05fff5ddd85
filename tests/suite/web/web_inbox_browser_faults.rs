//! The dialog for faults in a browser.

use crate::support::browser::ESCAPE;
use crate::support::page::{open_faults, show, visit};
use crate::support::web::Inbox;

#[test]
fn faults_are_set_and_cleared() {
    let inbox = Inbox::start();
    let Some(browser) = show(&inbox) else { return };
    let reply = || {
        let mut client = inbox.client();
        client.expect("MAIL FROM:<a@client.example>", "250");
        client.say("RCPT TO:<bob@example.org>")
    };
    open_faults(&browser);
    browser.write("#rules", r#"[{"on":{"verb":"RCPT"},"do":{"reply":"450 4.2.1 busy"}}]"#);
    browser.click("#set-faults");
    browser.wait("!document.getElementById('faults').open");
    assert_eq!(browser.text("#fault-count"), "1");
    // How often it has happened is shown while one looks, and is no part of the rule.
    open_faults(&browser);
    browser.wait("document.getElementById('rules-fired').innerText === 'Happened: rule 1 not yet.'");
    assert_eq!(reply(), "450 4.2.1 busy");
    browser.wait("document.getElementById('rules-fired').innerText === 'Happened: rule 1 once.'");
    assert_eq!(
        browser.run("return document.getElementById('rules').value;"),
        "[\n  {\"on\":{\"verb\":\"RCPT\"},\"do\":{\"reply\":\"450 4.2.1 busy\"}}\n]"
    );
    browser.click("#close-faults");
    // They are the server's, not the page's.
    visit(&browser, &inbox);
    browser.wait("document.getElementById('fault-count').innerText === '1'");

    open_faults(&browser);
    browser.write("#rules", r#"[{"on":{"verb":"RCTP"},"do":{"stall":true}}]"#);
    browser.click("#set-faults");
    browser.wait("document.getElementById('rules-error').textContent === 'rule 1: on.verb: there is no verb \"RCTP\"'");
    assert_eq!(browser.run("return document.getElementById('rules').ariaInvalid;"), "true");
    assert_eq!(reply(), "450 4.2.1 busy");
    browser.click("#clear-faults");
    browser.wait("document.getElementById('fault-count').hidden");
    assert!(reply().starts_with("250 "));

    browser.run("document.getElementById('example').selectedIndex = 1;");
    browser.click("#insert");
    browser.click("#set-faults");
    browser.wait("!document.getElementById('faults').open");
    assert_eq!(reply(), "550 5.1.1 No such user");
    // Whatever the page offers as an example is what the server takes.
    let examples = browser.run("return document.getElementById('example').length;").as_u64().expect("a number");
    open_faults(&browser);
    browser.write("#rules", "[]");
    for nth in 0..examples {
        browser.run(&format!("document.getElementById('example').selectedIndex = {nth};"));
        browser.click("#insert");
    }
    browser.click("#set-faults");
    browser.wait("!document.getElementById('faults').open");
    assert_eq!(inbox.get("/api/faults").json().as_array().map(Vec::len), usize::try_from(examples).ok());
}

#[test]
fn rules_that_are_not_set_yet_are_kept() {
    let inbox = Inbox::start();
    let Some(browser) = show(&inbox) else { return };
    open_faults(&browser);
    browser.write("#rules", "[{\"on\":");
    browser.wait("document.getElementById('rules-draft').checkVisibility()");
    browser.press(ESCAPE);
    browser.wait("!document.getElementById('faults').open");
    open_faults(&browser);
    browser.wait("document.getElementById('rules').value === '[{\"on\":' && document.getElementById('rules-draft').checkVisibility()");
    browser.click("#discard");
    browser.wait(
        "document.getElementById('rules').value === '[]' && !document.getElementById('rules-draft').checkVisibility()",
    );
    browser.press(ESCAPE);
    open_faults(&browser);
    browser.wait("document.getElementById('rules').value === '[]'");
}
