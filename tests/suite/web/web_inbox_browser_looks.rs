//! How the web inbox looks: light and dark, wide and narrow, to eyes and to those who listen.
//!
//! With `TEST_PILLARBOX_SCREENSHOTS=FOLDER` the pictures of the README, which one of the tests takes, are written there.

use std::path::Path;

use crate::support::axe::Axe;
use crate::support::browser::{Browser, ESCAPE};
use crate::support::page::{TITLE, WELCOME, expect_contrast, named, show, visit, wait_for_rows, wait_for_subject};
use crate::support::web::Inbox;
use serde_json::{Value, json};

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
        for panel in ["text", "links", "markup", "headers", "source", "attachments", "conversation", "html"] {
            browser.click(&format!("#tab-{panel}"));
            // What has just come shines for a moment.
            browser.wait("document.getAnimations().length === 0");
            expect_contrast(&browser, &format!("{scheme}, {panel}"));
        }
        for key in ["?", "f"] {
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
        for panel in ["html", "text", "links", "markup", "headers", "source", "attachments", "conversation"] {
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
    // A list that was loaded anew tells how many there are.
    assert!(news == format!("New message from hello@acme.example: {TITLE}") || news == "1 new message", "{news}");
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
        if let Some(folder) = std::env::var_os("TEST_PILLARBOX_SCREENSHOTS") {
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
    browser.press("8");
    let dark = take("conversation-dark.png");
    assert_eq!(browser.run("return document.getElementById('panel').className;"), "conversation");
    assert_ne!(light, dark);
}

/// All texts and controls that are not within the window.
const OUTSIDE: &str = "
const found = [];
if (document.documentElement.scrollWidth > innerWidth) found.push('the page');
for (const element of document.querySelectorAll('button, a, h2, dd, label, summary, input, select, .count *, .bar *')) {
  const { left, right, width } = element.getBoundingClientRect();
  if (!element.checkVisibility() || width === 0 || element.closest('.unseen, pre') || getComputedStyle(element).clipPath !== 'none') continue;
  if (left < -1 || right > innerWidth + 1) found.push(`${element.id || element.className || element.localName} ${left} ${right}`);
  if (element.localName === 'button' && element.scrollWidth > element.clientWidth + 1) found.push(`${element.id} is cut`);
}
return found;";

/// What fingers cannot hit: controls that are less than 44 pixels high. Those within a text are as high as its lines.
const SMALL: &str = "
return [...document.querySelectorAll('button, a, select, textarea, input:not([type=checkbox]), [role=tab], summary, label:has(input)')]
  .filter((element) => element.checkVisibility() && !element.closest('pre') && element.getBoundingClientRect().height < 44)
  .map((element) => `${element.id || element.className || element.textContent} ${element.getBoundingClientRect().height}`);";

/// Goes through all states of the page, each by its name.
fn each_state(browser: &Browser, is_narrow: bool, look: &dyn Fn(&str)) {
    let wait_for = |id: &str| browser.wait(&format!("document.getElementById('{id}').checkVisibility()"));
    look("list");
    browser.click("#search");
    wait_for("search-hint");
    look("search");
    browser.click("#mail-2");
    wait_for_subject(browser, TITLE);
    browser.wait("document.querySelector('#panel iframe')?.contentDocument?.body?.innerText");
    look("message");
    for panel in ["text", "links", "markup", "headers", "source", "attachments", "conversation"] {
        browser.click(&format!("#tab-{panel}"));
        browser.wait("document.getElementById('panel').innerText.length > 20");
        look(panel);
    }
    browser.click("#delivery summary");
    look("delivery");
    browser.click("#delivery summary");
    if is_narrow {
        browser.click("#back");
        wait_for("list");
    }
    for (button, dialog) in [("open-faults", "faults"), ("open-keys", "keys"), ("delete-all", "confirm")] {
        browser.click(&format!("#{button}"));
        wait_for(dialog);
        look(dialog);
        browser.press(ESCAPE);
        browser.wait("!document.querySelector('dialog[open]')");
    }
    browser.click("#open-connections");
    browser.wait("document.querySelector('.connection')");
    look("connections");
    browser.click(".connection");
    browser.wait("document.querySelector('#connection .said')");
    look("connection");
    if is_narrow {
        browser.click("#connection .back");
    }
    browser.click("#open-connections");
    wait_for("list");
    browser.click("#mail-1 .mark");
    wait_for("selection");
    look("selection");
    browser.click("#selection-none");
}

fn filled() -> Inbox {
    let inbox = Inbox::start();
    inbox.receive(named(&format!("{}@example.org", "long".repeat(15)), &"long ".repeat(100)));
    inbox.receive(WELCOME);
    inbox
}

#[test]
fn nothing_keeps_people_from_using_the_page() {
    let Some(axe) = Axe::find() else { return };
    let empty = Inbox::start();
    let Some(browser) = show(&empty) else { return };
    for scheme in ["light", "dark"] {
        browser.prefer(scheme);
        browser.resize(1200, 750);
        visit(&browser, &empty);
        browser.wait("document.getElementById('empty').checkVisibility()");
        axe.expect_nothing(&browser, &format!("{scheme}, empty"));
    }
    let inbox = filled();
    for (scheme, width) in [("light", 1200), ("dark", 1200), ("light", 400)] {
        browser.prefer(scheme);
        browser.resize(width, 750);
        visit(&browser, &inbox);
        wait_for_rows(&browser, 2);
        each_state(&browser, width < 760, &|state| {
            let what = format!("{scheme}, {width}, {state}");
            // In the dark all is the same but the colours.
            match scheme {
                "dark" => axe.expect_no_bad_colours(&browser, &what),
                _ => axe.expect_nothing(&browser, &what),
            }
        });
    }
}

#[test]
fn nothing_is_cut_off_in_any_width() {
    let inbox = filled();
    let Some(browser) = show(&inbox) else { return };
    for width in [400, 770, 1000] {
        browser.resize(width, 700);
        visit(&browser, &inbox);
        wait_for_rows(&browser, 2);
        each_state(&browser, width < 760, &|state| {
            assert_eq!(browser.run(OUTSIDE), json!([]), "{width}, {state}");
            if width < 760 {
                assert_eq!(browser.run(SMALL), json!([]), "{width}, {state}");
            }
        });
    }
}

#[test]
fn colours_that_the_system_forces() {
    let inbox = filled();
    let Some(browser) = show(&inbox) else { return };
    let features = json!([{ "name": "forced-colors", "value": "active" }]);
    browser.devtools("Emulation.setEmulatedMedia", &json!({ "features": features }));
    wait_for_rows(&browser, 2);
    browser.click("#mail-2");
    wait_for_subject(&browser, TITLE);
    // What colour alone says otherwise is a line or a filled shape.
    let style = |selector: &str, property: &str| {
        let script = format!("return getComputedStyle(document.querySelector('{selector}')).{property};");
        browser.run(&script).as_str().expect("text").to_owned()
    };
    assert_eq!(style(".is-current", "outlineStyle"), "solid");
    assert_eq!(style("[role=tab][aria-selected=true]", "borderBottomStyle"), "solid");
    assert_ne!(style("#mail-1 .dot", "backgroundColor"), style("#mail-1", "backgroundColor"));
}

#[test]
fn an_empty_inbox_says_where_to_send() {
    let inbox = Inbox::start_with(&["--hostname", "mx.example.org"]);
    let Some(browser) = show(&inbox) else { return };
    browser.wait("document.getElementById('command').checkVisibility()");
    assert_eq!(browser.text("#address"), inbox.server.endpoint);
    assert!(!browser.said().contains("Only programs on the machine"));
    assert!(browser.text("#command").contains(&format!("smtp://{}", inbox.server.endpoint)));
    // A server that takes mail from everywhere does so under the name by which it was reached.
    let inbox = Inbox::start_at("0.0.0.0:0", &[]);
    browser.open(&format!("http://localhost:{}/", inbox.web.port()));
    browser.wait("document.getElementById('command').checkVisibility()");
    let port = inbox.server.endpoint.rsplit(':').next().expect("a port");
    assert_eq!(browser.text("#address"), format!("localhost:{port}"));
    assert!(browser.text("#command").contains(&format!("smtp://localhost:{port}")));
}
