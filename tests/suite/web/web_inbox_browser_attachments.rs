//! What is attached to messages, shown in a browser.

use crate::support::browser::Browser;
use crate::support::page::{show, wait_for_rows};
use crate::support::web::Inbox;

/// Opens the only message, and what is attached to it.
fn open(browser: &Browser) {
    wait_for_rows(browser, 1);
    browser.click(".row");
    browser.wait("!document.getElementById('open').hidden");
    browser.click("#tab-attachments");
    browser.wait("document.querySelector('.attached')");
}

#[test]
fn pictures_dates_texts_and_messages_are_shown() {
    let inbox = Inbox::start();
    let Some(browser) = show(&inbox) else { return };
    inbox.receive(
        "Subject: outer\r\nContent-Type: multipart/mixed; boundary=a\r\n\r\n\
         --a\r\nContent-Type: image/jpg; name=dot.jpg\r\nContent-Transfer-Encoding: base64\r\n\r\n\
         R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7\r\n\
         --a\r\nContent-Type: text/calendar; method=REQUEST\r\n\r\n\
         BEGIN:VCALENDAR\r\nMETHOD:REQUEST\r\nBEGIN:VTIMEZONE\r\nTZID:Europe/Berlin\r\nEND:VTIMEZONE\r\nBEGIN:VEVENT\r\n\
         SUMMARY:Lunch\\, or\r\n  tea\r\nDTSTART;TZID=Europe/Berlin:20261201T100000\r\nDTEND;VALUE=DATE:20261202\r\n\
         LOCATION:Room 5\r\nORGANIZER;CN=\"Bob: B\":mailto:bob@example.org\r\n\
         ATTENDEE;PARTSTAT=ACCEPTED:mailto:zoe@example.org\r\nBEGIN:VALARM\r\nDESCRIPTION:alarm\r\nEND:VALARM\r\n\
         DESCRIPTION:<b>one</b>\\ntwo\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n\
         --a\r\nContent-Type: text/csv; name=table.csv\r\n\r\n1,<i>2</i>\r\n\
         --a\r\nContent-Type: application/pdf; name=terms.pdf\r\n\r\n%PDF-1.7\r\n\
         --a\r\nContent-Type: message/rfc822\r\n\r\n\
         Subject: inner\r\nFrom: Ann <ann@example.org>\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n\
         --b\r\nContent-Type: text/html\r\n\r\n<p>inner <b>text</b> <a id=x href=https://inner.example/>x</a>\
         <img src=https://inner.example/picture>\r\n\
         --b\r\nContent-Type: text/plain; name=note.txt\r\nContent-Disposition: attachment\r\n\r\ninner note\r\n\
         --b\r\nContent-Type: message/rfc822\r\n\r\nSubject: innermost\r\n\r\nthe end\r\n--b--\r\n--a--\r\n",
    );
    open(&browser);
    browser.wait("document.querySelector('.attached img')?.naturalWidth === 1");
    browser.wait("document.querySelector('.calendar')");
    let calendar = browser.text(".calendar");
    for part in [
        "Invitation: Lunch, or tea",
        "2026",
        "(Europe/Berlin)",
        "Room 5",
        "Bob: B <bob@example.org>",
        "zoe@example.org, accepted",
        "<b>one</b>\ntwo",
    ] {
        assert!(calendar.contains(part), "{part}: {calendar}");
    }
    assert!(!calendar.contains("alarm"), "{calendar}");
    browser.wait("document.getElementById('panel').innerText.includes('1,<i>2</i>')");
    assert!(browser.text("#panel").contains("terms.pdf") && browser.text("#panel").contains("only to be downloaded"));
    // A message within, and one within that, by the same means.
    browser.wait("document.querySelector('.nested iframe')?.contentDocument?.body?.innerText.includes('inner text')");
    browser.wait("document.querySelector('.nested .blocked').innerText.startsWith('1 remote image blocked')");
    browser.wait("document.querySelector('.nested .nested')?.innerText.includes('the end')");
    browser.wait("document.querySelector('.nested').innerText.includes('inner note')");
    let nested = browser.text(".nested");
    assert!(nested.contains("Ann <ann@example.org>") && nested.contains("innermost"), "{nested}");
    browser.run("document.querySelector('.nested iframe').scrollIntoView();");
    browser.enter(Some(".nested iframe"));
    browser.click("#x");
    browser.enter(None);
    browser.wait("document.getElementById('leave-address').innerText === 'https://inner.example/'");
    browser.click("#leave-no");
    // What is hidden is gone, and comes again.
    browser.run("document.querySelector('.attached button').click();");
    browser.wait("!document.querySelector('.attached img').checkVisibility()");
    browser.run("document.querySelector('.attached button').click();");
    browser.wait("document.querySelector('.attached img').checkVisibility()");
    // As they came, by the paths that the page uses.
    assert_eq!(inbox.get("/api/messages/1/attachments/4.0").text(), "inner note");
    assert_eq!(inbox.get("/api/messages/1/attachments/4.1/message").json()["text"], "the end");
    for path in [
        "9",
        "4.9",
        "0.0",
        "4.",
        ".",
        "4.1.0",
        "x",
        "4..0",
        "99999999999999999999",
        "4.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1",
    ] {
        assert_eq!(inbox.request("GET", &format!("/api/messages/1/attachments/{path}"), "", "").status, 404, "{path}");
    }
    for path in ["0/html", "0/message", "4.1/html"] {
        assert_eq!(inbox.request("GET", &format!("/api/messages/1/attachments/{path}"), "", "").status, 404, "{path}");
    }
}

#[test]
fn invitations_without_an_end() {
    let inbox = Inbox::start();
    let Some(browser) = show(&inbox) else { return };
    let part = "--b\r\nContent-Type: text/calendar\r\n\r\n";
    inbox.receive(format!(
        "Subject: cut\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n\
         {part}BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\nSUMMARY:first\r\nEND:VEVENT\r\nBEGIN:VTODO\r\nSUMMARY:second\r\nBEGIN:VALARM\r\nLOCATION:inside\r\n\
         {part}BEGIN:VCALENDAR\r\nEND:VCALENDAR\r\n--b--\r\n"
    ));
    open(&browser);
    browser.wait("document.querySelectorAll('.calendar section').length === 2");
    let said = browser.text(".calendar");
    assert!(said.contains("first") && said.contains("second") && !said.contains("inside"), "{said}");
    browser.wait("document.getElementById('panel').innerText.includes('There is no event in it.')");
}

#[test]
fn texts_that_are_made_to_be_slow() {
    let inbox = Inbox::start();
    let Some(browser) = show(&inbox) else { return };
    let style: String =
        ["url(", "@font-face{", "url(\"", "@import ", "image-set("].map(|piece| piece.repeat(100_000)).concat();
    let sources = "a ".repeat(200_000);
    let parameters = ",".repeat(4000);
    let mut nested = String::new();
    for level in 0..8 {
        nested += &format!(
            "Content-Type: multipart/mixed; boundary=n{level}\r\n\r\n--n{level}\r\nContent-Type: message/rfc822\r\n\r\n"
        );
    }
    inbox.receive(format!(
        "Subject: slow\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n\
         --b\r\nContent-Type: text/html\r\n\r\n<style>{style}</style><img src=https://a.example/x><img srcset='{sources}'>\
         <p style='{style}'>the end\r\n\
         --b\r\nContent-Type: text/calendar\r\n\r\nBEGIN:VEVENT\r\nSUMMARY;A={parameters}\r\nLOCATION:here\r\n{lines}END:VEVENT\r\n\
         --b\r\nContent-Type: message/rfc822\r\n\r\n{nested}innermost\r\n--b--\r\n",
        lines = format!("ATTENDEE;CN=\"{}\r\n", "x\",\"".repeat(1000)).repeat(60),
    ));
    wait_for_rows(&browser, 1);
    browser.click(".row");
    browser.wait("document.querySelector('.blocked')?.innerText.startsWith('1 remote image blocked')");
    browser.click("#tab-attachments");
    // An event whose end is beyond what is shown.
    browser.wait("document.querySelector('.calendar')?.innerText.includes('here')");
    browser.wait("document.querySelector('.calendar + .note')?.innerText.startsWith('Only the beginning is shown')");
    // Messages in messages are opened one by one.
    browser.wait("document.querySelectorAll('.nested').length === 2");
    assert_eq!(browser.run("return document.querySelectorAll('.nested').length;"), 2);
}
