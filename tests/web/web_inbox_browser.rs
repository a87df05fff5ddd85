//! The web inbox in a browser: what a person sees, and what they do by mouse and by keyboard.
//!
//! With `PILLARBOX_SCREENSHOTS=FOLDER` the pictures of the README, which one of the tests takes, are written there.

use std::path::Path;

use crate::support::browser::{Browser, DELETE, DOWN, END, ENTER, ESCAPE, HOME, LEFT, RIGHT, SHIFT, TAB, UP};
use crate::support::web::{Inbox, deliver};
use serde_json::{Value, json};

/// Of all bodies and an attachment, which is to come out as it went in.
const WELCOME: &str = "From: Acme <hello@acme.example>\r\nTo: Zoe <zoe@example.org>\r\n\
    Subject: =?utf-8?q?Welcome=2C_Zo=C3=AB=3A?= confirm your address\r\nDate: Wed, 25 Nov 2026 10:00:00 +0000\r\n\
    Message-ID: <1@acme.example>\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=mixed\r\n\r\n\
    --mixed\r\nContent-Type: multipart/alternative; boundary=either\r\n\r\n\
    --either\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n\
    Hello Zoë,\r\n\r\nconfirm your address: https://acme.example/confirm?t=8Hq2\r\n\r\n\
    --either\r\nContent-Type: text/html; charset=utf-8\r\n\r\n\
    <body style=\"margin:0;background:#f4f4f7;font-family:sans-serif\"><div style=\"max-width:520px;margin:24px auto;\
    background:#fff;padding:28px;border-radius:8px\"><h1 style=\"margin-top:0\">Welcome, Zo&euml;</h1><p>Thank you for joining \
    Acme. One thing is left to do:</p><p><a href=\"https://acme.example/confirm?t=8Hq2\" style=\"display:inline-block;\
    padding:12px 22px;border-radius:6px;background:#2f6fed;color:#fff;text-decoration:none\">Confirm your address</a></p>\
    <p style=\"color:#555\">It is valid until <a href=\"#terms\">tomorrow</a>.</p></div>\r\n--either--\r\n\
    --mixed\r\nContent-Type: application/pdf\r\nContent-Disposition: attachment; filename=\"terms of use.pdf\"\r\n\
    Content-Transfer-Encoding: base64\r\n\r\nJVBERi0xLjcKAAEC/f7/DQoK\r\n\
    --mixed\r\nContent-Type: text/csv\r\nContent-Disposition: attachment; filename*=utf-8''gr%C3%BCn.csv\r\n\r\n\
    a,b\r\n--mixed--\r\n";

/// Its subject.
const TITLE: &str = "Welcome, Zoë: confirm your address";

const ROWS: &str = "document.querySelectorAll('.row:not([hidden])').length";

/// The page, once it follows the inbox.
fn show(inbox: &Inbox) -> Option<Browser> {
    let browser = Browser::start()?;
    visit(&browser, inbox);
    Some(browser)
}

fn visit(browser: &Browser, inbox: &Inbox) {
    browser.open(&format!("http://{}/", inbox.web));
    browser.wait("document.getElementById('state').dataset.state === 'live'");
}

/// Waits until so many messages are shown in the list.
#[track_caller]
fn wait_for_rows(browser: &Browser, count: usize) {
    browser.wait(&format!("{ROWS} === {count}"));
}

/// Waits until the message with this subject is open.
#[track_caller]
fn wait_for_subject(browser: &Browser, subject: &str) {
    let subject = json!(subject);
    browser.wait(&format!(
        "!document.getElementById('open').hidden && document.getElementById('subject').textContent === {subject}"
    ));
}

/// Opens the dialog for the faults, and waits until its rules can be changed.
#[track_caller]
fn open_faults(browser: &Browser) {
    browser.click("#open-faults");
    browser.wait("document.getElementById('faults').open && !document.getElementById('rules').readOnly");
}

/// Which element has the focus: its id, or else its name.
fn focus(browser: &Browser) -> String {
    let name = browser.run("const at = document.activeElement; return at.id || at.localName;");
    name.as_str().expect("text").to_owned()
}

fn named(from: &str, subject: &str) -> String {
    format!("From: {from}\r\nSubject: {subject}\r\n\r\n{subject}\r\n")
}

#[test]
fn mail_shows_as_it_comes() {
    let inbox = Inbox::start();
    let Some(browser) = show(&inbox) else { return };
    let said = browser.said();
    assert!(said.contains("No mail yet") && said.contains(&inbox.server.endpoint), "{said}");
    browser.run("window.isSamePage = true;");

    inbox.receive(WELCOME);
    wait_for_rows(&browser, 1);
    for part in [TITLE, "Acme <hello@acme.example>", "to recipient@example.org", "kB"] {
        browser.wait(&format!("document.querySelector('.row').innerText.includes({})", json!(part)));
    }
    browser.wait("document.title === '(1) Inbox – pillarbox'");
    inbox.receive(named("b@example.org", "the second"));
    // The newest is first.
    browser.wait("document.querySelector('.row').innerText.includes('the second')");

    browser.click("#mail-1");
    wait_for_subject(&browser, TITLE);
    let facts = browser.text("#facts");
    assert!(facts.contains("<sender@client.example>") && facts.contains("client.example"), "{facts}");
    browser.wait("document.title === '(1) Inbox – pillarbox' && document.getElementById('panel').className === 'html'");
    browser.enter(Some("#panel iframe"));
    browser.wait("document.body && document.body.innerText.includes('One thing is left to do')");
    browser.enter(None);
    browser.click(".links summary");
    browser.wait("document.querySelector('.links a')?.href === 'https://acme.example/confirm?t=8Hq2'");

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
    browser.click("#delete");
    assert!(browser.text("#confirm").contains("green apples"));
    browser.click("#confirm-no");
    assert_eq!(inbox.ids().len(), 5);
    browser.click("#delete");
    browser.click("#confirm-yes");
    wait_for_rows(&browser, 4);
    assert_eq!(inbox.ids(), ["5", "4", "3", "1"]);
    browser.click("#delete-all");
    assert!(browser.text("#confirm").contains("4 messages"));
    browser.click("#confirm-yes");
    wait_for_rows(&browser, 0);
    browser.wait("!document.getElementById('empty').hidden");
    assert!(inbox.ids().is_empty());
}

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
    for _ in 0..5 {
        browser.press(TAB);
        stops.push(focus(&browser));
        let outline = "const at = document.activeElement; return at.matches(':focus-visible') && at.id === 'list' \
            || getComputedStyle(at).outlineStyle !== 'none' && parseFloat(getComputedStyle(at).outlineWidth) >= 1;";
        assert_eq!(browser.run(outline), true, "{stops:?}");
    }
    assert_eq!(stops, ["search", "open-faults", "delete-all", "open-keys", "list"]);

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
    for (key, panel) in
        [("2", "text"), ("3", "headers"), ("4", "source"), ("5", "attachments"), ("6", "conversation"), ("1", "html")]
    {
        browser.press(key);
        browser.wait(&format!("document.getElementById('panel').className === '{panel}'"));
    }
    // From the message's title on: its buttons, its tabs, which arrows go through, and what they show.
    browser.press(TAB);
    assert_eq!(focus(&browser), "download");
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

    // A deletion asks first, and leads on to the next message.
    browser.press(DELETE);
    assert_eq!(focus(&browser), "confirm-yes");
    browser.press(ESCAPE);
    browser.wait("!document.querySelector('dialog[open]')");
    assert_eq!(inbox.ids().len(), 5);
    browser.press(&format!("#{ENTER}"));
    wait_for_rows(&browser, 4);
    wait_for_subject(&browser, "number 4");
    assert_eq!((inbox.ids(), focus(&browser).as_str()), (["4", "3", "2", "1"].map(String::from).to_vec(), "list"));

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

/// Whatever the page asks for from now on waits for [`RELEASE`]: a server that takes its time, however quick it is.
const HOLD: &str = "window.held = []; window.promptly = window.fetch; \
    window.fetch = (...all) => new Promise((go) => { held.push(go); }).then(() => promptly(...all));";
const RELEASE: &str = "window.fetch = promptly; held.forEach((go) => go());";

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
    held("j3");
    wait_for_subject(&browser, "number 5");
    browser.wait("document.getElementById('panel').className === 'headers'");
    // Each deletion is of another message, and the one behind it is shown.
    held(&format!("#{ENTER}#{ENTER}"));
    wait_for_rows(&browser, 4);
    wait_for_subject(&browser, "number 3");
    assert_eq!(inbox.ids(), ["6", "3", "2", "1"]);
    // Who goes on while a message is deleted is not led back.
    held(&format!("#{ENTER}{END}"));
    wait_for_rows(&browser, 3);
    wait_for_subject(&browser, "number 1");
    assert_eq!(inbox.ids(), ["6", "2", "1"]);
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
    browser.press("j");
    wait_for_subject(&browser, "number 3");
    // The browser tells of the end of the first when the second is there: a frame or two later.
    let both = "const ask = () => document.dispatchEvent(new KeyboardEvent('keydown', { key: '#' })); \
        ask(); document.getElementById('confirm').close(); ask(); \
        requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(() => { window.isLater = true; })));";
    browser.run(both);
    browser.wait("window.isLater");
    browser.press(ENTER);
    wait_for_rows(&browser, 2);
    // Or of both ends at once.
    let no_and_yes = "const ask = (key) => document.dispatchEvent(new KeyboardEvent('keydown', { key })); \
        ask('#'); document.getElementById('confirm').close(); ask('j'); ask('#'); document.getElementById('confirm-yes').click();";
    browser.run(no_and_yes);
    wait_for_rows(&browser, 1);
    assert_eq!(inbox.ids(), ["2"]);
    // As quickly as they can be pressed.
    browser.press(&format!("#{ESCAPE}#{ESCAPE}#{ENTER}"));
    wait_for_rows(&browser, 0);
}

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

/// Texts that are too faint, each with its contrast (WCAG 2: 4.5 at least). What is off may be faint.
const FAINT: &str = "
const numbers = (color) => color.match(/[\\d.]+/g).map(Number);
const luminance = (color) => color.slice(0, 3).map((c) => c / 255)
  .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)).reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
const over = ([r, g, b, a = 1], ground) => [r, g, b].map((c, i) => c * a + ground[i] * (1 - a));
const ground = (element) => {
  if (!element) return [255, 255, 255];
  const color = numbers(getComputedStyle(element).backgroundColor);
  return (color[3] ?? 1) === 1 ? color : over(color, ground(element.parentElement));
};
const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
const faint = [];
let count = 0;
while (texts.nextNode()) {
  const element = texts.currentNode.parentElement;
  if (!texts.currentNode.data.trim() || !element.checkVisibility() || element.closest('[aria-disabled=true], :disabled, .unseen')) continue;
  count += 1;
  const behind = ground(element);
  const [a, b] = [luminance(over(numbers(getComputedStyle(element).color), behind)), luminance(behind)];
  const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  if (contrast < 4.5) faint.push(`${texts.currentNode.data.trim()}: ${contrast}`);
}
return { count, faint };";

#[track_caller]
fn expect_contrast(browser: &Browser, what: &str) {
    let found = browser.run(FAINT);
    assert!(found["count"].as_u64().is_some_and(|count| count > 5), "{what}: {found}");
    assert_eq!(found["faint"], json!([]), "{what}");
}

#[test]
fn light_and_dark() {
    let inbox = Inbox::start();
    let Some(browser) = show(&inbox) else { return };
    let ground = "return getComputedStyle(document.body).backgroundColor;";
    let mut grounds = Vec::new();
    for scheme in ["light", "dark"] {
        browser.prefer(scheme);
        visit(&browser, &inbox);
        grounds.push(browser.run(ground));
        browser.wait("!document.getElementById('empty').hidden");
        expect_contrast(&browser, scheme);
        inbox.receive(named("a@example.org", "another"));
        inbox.receive(WELCOME);
        wait_for_rows(&browser, 2);
        browser.click(".row");
        wait_for_subject(&browser, TITLE);
        for panel in ["text", "headers", "source", "attachments", "conversation"] {
            browser.click(&format!("#tab-{panel}"));
            // What has just come shines for a moment.
            browser.wait("document.getAnimations().length === 0");
            expect_contrast(&browser, &format!("{scheme}, {panel}"));
        }
        for key in ["?", "f", "#"] {
            browser.press(key);
            browser.wait("document.querySelector('dialog[open]')");
            expect_contrast(&browser, &format!("{scheme}, the dialog at {key}"));
            browser.press(ESCAPE);
        }
        inbox.request("DELETE", "/api/messages", "", "");
    }
    assert_ne!(grounds[0], grounds[1]);
}

#[test]
fn a_narrow_window() {
    let inbox = Inbox::start();
    let Some(browser) = show(&inbox) else { return };
    browser.resize(400, 700);
    let fits = || {
        browser.run(
            "return document.documentElement.scrollWidth <= innerWidth && document.body.scrollWidth <= innerWidth;",
        )
    };
    browser.wait("!document.getElementById('empty').hidden");
    assert_eq!(fits(), true);
    inbox.receive(named("a@example.org", &"long".repeat(100)));
    inbox.receive(WELCOME);
    wait_for_rows(&browser, 2);
    assert_eq!(fits(), true);
    // The list or a message, and the way back is a button, a key, or the browser's own.
    for way in 0..3 {
        browser.click(".row");
        browser.wait("document.body.classList.contains('is-reading')");
        assert_eq!(browser.run("return document.getElementById('list').checkVisibility();"), false);
        for panel in ["html", "text", "headers", "source", "attachments", "conversation"] {
            browser.click(&format!("#tab-{panel}"));
            assert_eq!(fits(), true, "{panel}");
        }
        match way {
            0 => browser.click("#back"),
            1 => browser.press(ESCAPE),
            _ => drop(browser.run("history.back();")),
        }
        browser.wait("document.getElementById('list').checkVisibility()");
    }
    for (button, dialog) in [("open-faults", "faults"), ("open-keys", "keys"), ("delete-all", "confirm")] {
        browser.click(&format!("#{button}"));
        browser.wait(&format!("document.getElementById('{dialog}').open"));
        let within = format!(
            "const r = document.getElementById('{dialog}').getBoundingClientRect(); \
            return r.left >= 0 && r.right <= innerWidth && r.top >= 0 && r.bottom <= innerHeight;"
        );
        assert_eq!((browser.run(&within), fits()), (json!(true), json!(true)), "{dialog}");
        browser.press(ESCAPE);
    }
}

#[test]
fn who_listens_to_the_page() {
    let inbox = Inbox::start();
    let Some(browser) = show(&inbox) else { return };
    inbox.receive(WELCOME);
    wait_for_rows(&browser, 1);
    let news = browser.run("return document.getElementById('news').textContent;");
    assert_eq!(news, format!("New message from Acme <hello@acme.example>: {TITLE}"));
    browser.click(".row");
    wait_for_subject(&browser, TITLE);
    let tree = browser.devtools("Accessibility.getFullAXTree", &json!({}));
    let nodes = tree["nodes"].as_array().expect("a list");
    let value = |node: &Value, field: &str| node[field]["value"].as_str().unwrap_or_default().to_owned();
    let mut roles = Vec::new();
    for node in nodes.iter().filter(|node| node["ignored"] == false) {
        let role = value(node, "role");
        let is_focusable = node["properties"].as_array().is_some_and(|properties| {
            properties.iter().any(|property| property["name"] == "focusable" && property["value"]["value"] == true)
        });
        assert!(!is_focusable || !value(node, "name").is_empty(), "{role} without a name: {node}");
        roles.push(role);
    }
    for role in ["listbox", "option", "tablist", "tab", "tabpanel", "searchbox", "status", "heading", "main", "Iframe"]
    {
        assert!(roles.iter().any(|there| there == role), "{role}: {roles:?}");
    }
    let chosen = "document.querySelector('[role=option][aria-selected=true]')?.id \
        === document.getElementById('list').getAttribute('aria-activedescendant')";
    assert_eq!(browser.run(&format!("return {chosen};")), true);
}

#[test]
fn some_hundred_messages_at_once() {
    const COUNT: usize = 600;
    let inbox = Inbox::start();
    let Some(browser) = show(&inbox) else { return };
    let mut client = inbox.client();
    for n in 0..COUNT {
        deliver(&mut client, named("burst@example.org", &format!("number {n}.")).as_bytes());
    }
    wait_for_rows(&browser, COUNT);
    // Each in its place, once.
    let ids = browser.run("return [...document.querySelectorAll('.row')].map((row) => row.dataset.id);");
    assert_eq!(ids, json!((1..=COUNT).rev().map(|n| n.to_string()).collect::<Vec<_>>()));
    browser.click(".row");
    wait_for_subject(&browser, "number 599.");
    browser.press(END);
    wait_for_subject(&browser, "number 0.");
    assert_eq!(
        browser.run("return document.querySelector('.row:last-child').getBoundingClientRect().bottom <= innerHeight;"),
        true
    );
    browser.write("#search", "number 300.");
    wait_for_rows(&browser, 1);
    browser.press(ESCAPE);
    wait_for_rows(&browser, COUNT);
}

#[test]
fn a_full_inbox() {
    let inbox = Inbox::start();
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
    browser.click("#confirm-yes");
    wait_for_rows(&browser, 7);
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

/// Width and height of a picture in PNG.
fn size(picture: &[u8]) -> (u32, u32) {
    let number = |at: usize| u32::from_be_bytes(picture[at..at + 4].try_into().expect("four octets"));
    assert!(picture.starts_with(b"\x89PNG\r\n\x1a\n") && &picture[12..16] == b"IHDR");
    (number(16), number(20))
}

#[test]
fn the_pictures_of_the_readme_can_be_taken() {
    let inbox = Inbox::start_with(&["--hostname", "mx.example.org"]);
    let Some(browser) = show(&inbox) else { return };
    for (from, subject) in [
        ("Billing <billing@acme.example>", "Invoice 2026-1103"),
        ("=?utf-8?q?J=C3=BCrgen?= <juergen@example.org>", "=?utf-8?q?Gr=C3=BC=C3=9Fe_aus_M=C3=BCnchen?="),
        ("Nightly <ci@build.example>", "Build 4711 failed: tests::mail::retries_after_450"),
        ("Shop <shop@acme.example>", "Your order has shipped"),
        ("Acme <noreply@acme.example>", "Reset your password"),
    ] {
        inbox.receive(named(from, subject));
    }
    inbox.receive(WELCOME);
    wait_for_rows(&browser, 6);
    browser.click("#mail-6");
    wait_for_subject(&browser, TITLE);
    let take = |name: &str| {
        browser.wait("document.getAnimations().length === 0");
        let picture = browser.screenshot();
        assert_eq!(size(&picture), (1200, 640));
        if let Some(folder) = std::env::var_os("PILLARBOX_SCREENSHOTS") {
            std::fs::write(Path::new(&folder).join(name), &picture).expect("the folder is there");
        }
        picture
    };
    browser.resize(1200, 640);
    browser.prefer("light");
    let light = take("message-light.png");
    // All that the README says of the page is in sight.
    let within = "const r = document.querySelector(arguments[0]).getBoundingClientRect(); \
        return r.width > 0 && r.height > 0 && r.left >= 0 && r.right <= innerWidth && r.top >= 0 && r.bottom <= innerHeight;";
    for part in ["#search", "#open-faults", "#mail-1", "#subject", "#tabs", "#panel", "#panel iframe"] {
        assert_eq!(browser.run_with(within, &[json!(part)]), true, "{part}");
    }
    browser.prefer("dark");
    browser.press("6");
    let dark = take("conversation-dark.png");
    assert_eq!(browser.run("return document.getElementById('panel').className;"), "conversation");
    assert_ne!(light, dark);
}
