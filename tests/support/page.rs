//! The page of the web inbox in a browser: what tests of it do and wait for.

use serde_json::{Value, json};

use super::browser::Browser;
use super::web::Inbox;

/// Of all bodies and an attachment, which is to come out as it went in.
pub const WELCOME: &str = "From: Acme <hello@acme.example>\r\nTo: Zoe <zoe@example.org>\r\n\
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
pub const TITLE: &str = "Welcome, Zoë: confirm your address";

pub const ROWS: &str = "document.querySelectorAll('.row:not([hidden])').length";

/// The page, once it follows the inbox.
pub fn show(inbox: &Inbox) -> Option<Browser> {
    let browser = Browser::start()?;
    visit(&browser, inbox);
    Some(browser)
}

pub fn visit(browser: &Browser, inbox: &Inbox) {
    browser.open(&format!("http://{}/", inbox.web));
    browser.wait("document.getElementById('state').dataset.state === 'live'");
}

/// Waits until so many messages are shown in the list.
#[track_caller]
pub fn wait_for_rows(browser: &Browser, count: usize) {
    browser.wait(&format!("{ROWS} === {count}"));
}

/// Waits until the message with this subject is open.
#[track_caller]
pub fn wait_for_subject(browser: &Browser, subject: &str) {
    let subject = json!(subject);
    browser.wait(&format!(
        "!document.getElementById('open').hidden && document.getElementById('subject').textContent === {subject}"
    ));
}

/// Opens the dialog for the faults, and waits until its rules can be changed.
#[track_caller]
pub fn open_faults(browser: &Browser) {
    browser.click("#open-faults");
    browser.wait("document.getElementById('faults').open && !document.getElementById('rules').readOnly");
}

/// Which element has the focus: its id, or else its name.
pub fn focus(browser: &Browser) -> String {
    let name = browser.run("const at = document.activeElement; return at.id || at.localName;");
    name.as_str().expect("text").to_owned()
}

pub fn named(from: &str, subject: &str) -> String {
    format!("From: {from}\r\nSubject: {subject}\r\n\r\n{subject}\r\n")
}

/// Whatever the page asks for from now on waits for [`RELEASE`]: a server that takes its time, however quick it is.
pub const HOLD: &str = "window.held = []; window.promptly = window.fetch; \
    window.fetch = (...all) => new Promise((go) => { held.push(go); }).then(() => promptly(...all));";
pub const RELEASE: &str = "window.fetch = promptly; held.forEach((go) => go());";

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
pub fn expect_contrast(browser: &Browser, what: &str) {
    let found = browser.run(FAINT);
    assert!(found["count"].as_u64().is_some_and(|count| count > 5), "{what}: {found}");
    assert_eq!(found["faint"], json!([]), "{what}");
}
