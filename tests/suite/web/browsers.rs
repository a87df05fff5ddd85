//! What one test leaves behind in a browser is not there for the next.

use crate::support::browser::Browser;
use crate::support::page::visit;
use crate::support::web::Inbox;
use serde_json::json;

#[test]
fn a_browser_is_lent_as_if_it_were_new() {
    let inbox = Inbox::start();
    // The one that was given back last is lent first.
    for _ in 0..2 {
        let Some(browser) = Browser::start() else { return };
        assert_eq!(browser.windows(), 1);
        visit(&browser, &inbox);
        let left = "return [document.cookie, localStorage.length, history.length, innerWidth,
            matchMedia('(prefers-color-scheme: dark)').matches, document.visibilityState, document.hasFocus()];";
        assert_eq!(browser.run(left), json!(["", 0, 2, 1200, false, "visible", true]));
        browser.run("document.cookie = 'a=b'; localStorage.setItem('a', 'b');");
        browser.prefer("dark");
        browser.resize(400, 700);
        assert_eq!(browser.run("return [document.cookie, localStorage.length];"), json!(["a=b", 1]));
        browser.open_tab();
        assert_eq!(browser.windows(), 2);
    }
}
