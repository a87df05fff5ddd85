//! The HTML of messages in a browser: links that ask, pictures from elsewhere that wait, widths and colours.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use crate::support::browser::{Browser, CONTROL, ENTER, ESCAPE, TAB};
use crate::support::page::{focus, show, visit, wait_for_rows, wait_for_subject};
use crate::support::wait_until;
use crate::support::web::Inbox;
use base64ct::{Base64, Encoding};
use serde_json::json;

/// A picture of ten by ten pixels.
const PICTURE: &str =
    "iVBORw0KGgoAAAANSUhEUgAAAAoAAAAKCAIAAAACUFjqAAAAEklEQVR4nGP4z8CAB+GTG8HSALfKY52fTcuYAAAAAElFTkSuQmCC";

/// Somebody else's server: it notes the path of each request, and where it says it comes from.
struct Elsewhere {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
}

/// A path, and the referrer.
type Asked = (String, Option<String>);

impl Elsewhere {
    fn serve() -> Elsewhere {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("a socket");
        let asked: Arc<Mutex<Vec<Asked>>> = Arc::default();
        let notes = asked.clone();
        thread::spawn(move || {
            for mut stream in listener.incoming().map_while(Result::ok) {
                let notes = notes.clone();
                thread::spawn(move || {
                    let _ = stream.set_read_timeout(Some(Duration::from_secs(10)));
                    let mut request = Vec::new();
                    let mut piece = [0; 4096];
                    while !request.ends_with(b"\r\n\r\n") {
                        match stream.read(&mut piece) {
                            Ok(0) | Err(_) => return,
                            Ok(read) => request.extend_from_slice(&piece[..read]),
                        }
                    }
                    let request = String::from_utf8_lossy(&request).into_owned();
                    let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
                    let referrer = request.lines().find_map(|line| line.strip_prefix("Referer: ")).map(str::to_owned);
                    notes.lock().unwrap_or_else(PoisonError::into_inner).push((path.clone(), referrer));
                    let (kind, body) = match path.contains("picture") {
                        true => ("image/png", Base64::decode_vec(PICTURE).expect("base64")),
                        false => ("text/html", b"<title>elsewhere</title>".to_vec()),
                    };
                    let head = format!("Content-Type: {kind}\r\nContent-Length: {}\r\nConnection: close", body.len());
                    let _ =
                        stream.write_all(&[format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n").as_bytes(), &body].concat());
                });
            }
        });
        Elsewhere { address, asked }
    }

    fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn html(&self, html: &str) -> String {
        let html = html.replace("T/", &format!("http://{}/", self.address));
        format!("Subject: page\r\nContent-Type: text/html; charset=utf-8\r\n\r\n{html}")
    }
}

/// Opens the only message, and waits until its HTML is in the frame.
fn open(browser: &Browser) {
    wait_for_rows(browser, 1);
    browser.click(".row");
    browser.wait(
        "document.querySelector('#panel iframe')?.contentDocument?.readyState === 'complete' \
        && document.querySelector('#panel iframe').contentDocument.URL.includes('/html')",
    );
}

fn click_in_frame(browser: &Browser, selector: &str) {
    browser.enter(Some("#panel iframe"));
    browser.click(selector);
    browser.enter(None);
}

#[test]
fn a_link_asks_and_opens_a_tab_that_knows_nothing() {
    let elsewhere = Elsewhere::serve();
    let inbox = Inbox::start();
    let Some(browser) = show(&inbox) else { return };
    inbox.receive(elsewhere.html(
        "<p><a id=x href='T/page?a=1&amp;b=2#c' ping=T/ping>x</a> <a id=in href=#there>in</a> \
        <a id=app href=app://open>app</a><p style='height:3000px'><p id=there>there",
    ));
    open(&browser);
    let url = format!("http://{}/page?a=1&b=2#c", elsewhere.address);
    let asks = format!(
        "document.getElementById('leave').open && document.getElementById('leave-yes').href === {}",
        json!(url)
    );
    click_in_frame(&browser, "#x");
    browser.wait(&asks);
    assert_eq!(browser.text("#leave-address"), url);
    browser.press(ESCAPE);
    browser.wait("!document.getElementById('leave').open");
    // By the keyboard as well.
    browser.enter(Some("#panel iframe"));
    browser.run("document.getElementById('x').focus();");
    browser.enter(None);
    browser.press(ENTER);
    browser.wait(&asks);
    assert_eq!((elsewhere.asked(), browser.windows()), (vec![], 1));
    browser.press(ENTER);
    browser.go_to_other();
    browser.wait("document.title === 'elsewhere'");
    assert_eq!(browser.run("return [document.referrer, opener, location.hash];"), json!(["", null, "#c"]));
    let asked: Vec<_> = elsewhere.asked().into_iter().filter(|(path, _)| path != "/favicon.ico").collect();
    assert_eq!(asked, [("/page?a=1&b=2".to_owned(), None)]);
    browser.go_to_other();
    browser.wait("!document.getElementById('leave').open");

    // Within the message, and to nowhere.
    click_in_frame(&browser, "#in");
    browser.enter(Some("#panel iframe"));
    browser.wait("document.getElementById('there').getBoundingClientRect().top < innerHeight");
    browser.enter(None);
    assert_eq!(browser.run("return document.getElementById('leave').open;"), false);
}

#[test]
fn a_link_that_opens_a_tab_at_once_leads_to_a_page_that_asks() {
    let elsewhere = Elsewhere::serve();
    let inbox = Inbox::start();
    let Some(browser) = show(&inbox) else { return };
    inbox.receive(elsewhere.html("<p><a id=x href='T/page?q=\"<b>'>x</a>"));
    open(&browser);
    browser.enter(Some("#panel iframe"));
    browser.click_with(CONTROL, "#x");
    browser.enter(None);
    browser.go_to_other();
    browser.wait("location.pathname === '/away' && !!document.getElementById('follow')");
    let url = format!("http://{}/page?q=\"<b>", elsewhere.address);
    assert_eq!(browser.text(".address"), url);
    assert_eq!(
        browser.run("return [document.scripts.length, document.querySelectorAll('b').length, opener];"),
        json!([0, 0, null])
    );
    assert!(elsewhere.asked().is_empty());
    browser.click("#follow");
    browser.wait("document.title === 'elsewhere'");
    assert_eq!(browser.run("return document.referrer;"), "");
}

#[test]
fn pictures_from_elsewhere_wait_until_they_are_asked_for() {
    let elsewhere = Elsewhere::serve();
    let inbox = Inbox::start();
    let Some(browser) = show(&inbox) else { return };
    inbox.receive(elsewhere.html(
        "<style>@import 'T/import'; @font-face { font-family: f; src: url(T/font) } .c { background: url('T/picture-css'); \
         font-family: f }</style><img id=i src=T/picture-1 referrerpolicy=unsafe-url><img src=T/picture-1><img \
         srcset='T/picture-2 1x, T/picture-3 2x'><picture><source srcset=T/picture-4><img src=T/picture-5></picture>\
         <table background=T/picture-6><td>x</table><p class=c>x<p style=\"background:url(T/picture-7)\">x\
         <input type=image src=T/picture-8><video poster=T/picture-9></video><link rel=stylesheet href=T/sheet>\
         <iframe src=T/frame></iframe><object data=T/object></object><script src=T/script></script>\
         <audio src=T/audio autoplay></audio><img src=data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7>",
    ));
    open(&browser);
    browser.wait("document.querySelector('.blocked').innerText.startsWith('8 remote images blocked:')");
    assert!(elsewhere.asked().is_empty());
    browser.click(".blocked button");
    browser.wait("!document.querySelector('.blocked').checkVisibility()");
    browser.enter(Some("#panel iframe"));
    browser.wait("document.readyState === 'complete' && document.getElementById('i')?.naturalWidth === 10");
    browser.enter(None);
    // Those of styles may come later than the page's own.
    wait_until("styles ask for their pictures", || {
        ["/picture-css", "/picture-7"].iter().all(|path| elsewhere.asked().iter().any(|(asked, _)| asked == path))
    });
    let mut asked = elsewhere.asked();
    asked.sort();
    let expected = ["1", "2", "4", "6", "7", "8", "9", "css"].map(|name| (format!("/picture-{name}"), None));
    assert_eq!(asked, expected);
    // Only in this message, and nothing of it has run.
    inbox.receive(elsewhere.html("<img src=T/picture-other>"));
    wait_for_rows(&browser, 2);
    browser.click("#mail-2");
    browser.wait("document.querySelector('.blocked')?.innerText.startsWith('1 remote image blocked:')");
    assert_eq!(elsewhere.asked().len(), expected.len());
}

#[test]
fn a_frame_with_pictures_from_elsewhere_is_of_nobody() {
    let elsewhere = Elsewhere::serve();
    let inbox = Inbox::start();
    // Chromium's shell has no windows, and does not tell the page that another has had the focus.
    let Some(browser) = Browser::start_noting() else { return };
    visit(&browser, &inbox);
    inbox.receive(elsewhere.html("<p><a id=x href=T/page>x</a><img src=T/picture><p>some text"));
    inbox.receive("Subject: another\r\n\r\nx");
    wait_for_rows(&browser, 2);
    browser.click("#mail-1");
    browser.wait("document.querySelector('.blocked')?.innerText.startsWith('1 remote image blocked:')");
    browser.click(".blocked button");
    browser.wait("document.querySelector('#panel iframe').contentDocument === null");
    browser.enter(Some("#panel iframe"));
    browser.wait("document.readyState === 'complete' && !!document.getElementById('x')");
    assert_eq!(browser.run("return origin;"), "null");
    browser.enter(None);
    // Its links lead to the page that asks.
    click_in_frame(&browser, "#x");
    browser.go_to_other();
    browser.wait("location.pathname === '/away' && !!document.getElementById('follow')");
    assert_eq!(browser.run("return opener;"), json!(null));
    browser.go_to_other();
    // And keys are the page's own again.
    click_in_frame(&browser, "p:last-child");
    browser.wait("document.activeElement.localName !== 'iframe'");
    browser.press("k");
    wait_for_subject(&browser, "another");
}

/// Whether the message with a field is in the frame.
const HAS_FIELD: &str = "!!document.querySelector('#panel iframe')?.contentDocument?.getElementById('y')";

#[test]
fn keys_work_after_a_click_into_the_frame() {
    let inbox = Inbox::start();
    let Some(browser) = show(&inbox) else { return };
    inbox.receive("Subject: older\r\n\r\nx");
    inbox.receive("Subject: newer\r\nContent-Type: text/html\r\n\r\n<p id=x>some text<input id=y>");
    wait_for_rows(&browser, 2);
    browser.click("#mail-2");
    browser.wait(HAS_FIELD);
    click_in_frame(&browser, "#x");
    browser.press("j");
    wait_for_subject(&browser, "older");
    browser.press("k");
    wait_for_subject(&browser, "newer");
    browser.wait(HAS_FIELD);
    click_in_frame(&browser, "#x");
    browser.press("5");
    browser.wait("document.getElementById('panel').className === 'headers'");
    browser.press("1");
    browser.wait(HAS_FIELD);
    // What is written into the message is written there.
    click_in_frame(&browser, "#y");
    browser.press("jf");
    assert_eq!(
        browser.run("return document.querySelector('#panel iframe').contentDocument.getElementById('y').value;"),
        "jf"
    );
    browser.press(TAB);
    click_in_frame(&browser, "#x");
    browser.press(ESCAPE);
    browser.wait("document.activeElement.id === 'list'");
    assert_eq!(focus(&browser), "list");
}

#[test]
fn a_message_in_other_widths_and_colours() {
    let inbox = Inbox::start();
    let Some(browser) = show(&inbox) else { return };
    browser.prefer("light");
    inbox.receive(
        "Content-Type: text/html\r\n\r\n<meta name=color-scheme content='light dark'><style>p { color: rgb(1, 1, 1) } \
         @media (prefers-color-scheme: dark) { p { color: rgb(2, 2, 2) } } \
         @media (max-width: 500px) { p { width: 100px } }</style><p id=x>text",
    );
    open(&browser);
    let of = |what: &str| {
        format!(
            "getComputedStyle(document.querySelector('#panel iframe').contentDocument?.getElementById('x') ?? document.body).{what}"
        )
    };
    let color = |color: &str| browser.wait(&format!("{} === '{color}'", of("color")));
    color("rgb(1, 1, 1)");
    browser.click("[data-choice=dark]");
    color("rgb(2, 2, 2)");
    browser.click("[data-choice=phone]");
    browser.wait(&format!("{} === '100px'", of("width")));
    browser.wait("document.querySelector('#panel iframe').clientWidth === 375");
    browser.click("[data-choice=light]");
    color("rgb(1, 1, 1)");
    browser.click("[data-choice=desktop]");
    browser.wait("document.querySelector('#panel iframe').clientWidth > 375");
}

#[test]
fn pictures_of_the_message_itself_whatever_their_type_is_called() {
    let inbox = Inbox::start();
    let Some(browser) = show(&inbox) else { return };
    let kinds = [
        ("image/png", ""),
        ("image/jpg", ""),
        ("image/x-png", ""),
        ("application/octet-stream", "; name=\"a picture.PNG\""),
        ("image/svg+xml", ""),
    ];
    let html: String = (0..kinds.len()).map(|n| format!("<img src=\"cid:{n}@a.example\">")).collect();
    let mut message =
        format!("Content-Type: multipart/related; boundary=b\r\n\r\n--b\r\nContent-Type: text/html\r\n\r\n{html}\r\n");
    for (n, (kind, name)) in kinds.iter().enumerate() {
        let picture = match *kind {
            "image/svg+xml" => Base64::encode_string(
                b"<svg xmlns='http://www.w3.org/2000/svg' width='10' height='10'><rect width='10' height='10'/></svg>",
            ),
            _ => PICTURE.to_owned(),
        };
        message += &format!(
            "--b\r\nContent-Type: {kind}{name}\r\nContent-ID: <{n}@a.example>\r\nContent-Transfer-Encoding: base64\r\n\r\n{picture}\r\n"
        );
    }
    inbox.receive(message + "--b--\r\n");
    open(&browser);
    browser.wait(
        "[...document.querySelector('#panel iframe').contentDocument.images].map((i) => i.naturalWidth).join() === '10,10,10,10,10'",
    );
}

#[test]
fn every_part_of_a_body_is_shown() {
    let inbox = Inbox::start();
    let Some(browser) = show(&inbox) else { return };
    inbox.receive(
        "Subject: =?utf-8?q?=F0=9F=91=A9=E2=80=8D=F0=9F=92=BB_=D9=85=DB=8C=E2=80=8C=D8=AE?=\r\n\
         Content-Type: multipart/mixed; boundary=b\r\n\r\n\
         --b\r\nContent-Type: text/html; name=first.html\r\n\r\n<html><body><p>first</p></body></html><!-- open\r\n\
         --b\r\nContent-Type: text/html\r\nContent-Disposition: inline; filename=second.html\r\n\r\n<p>second<style>p {\r\n\
         --b\r\nContent-Type: text/html\r\n\r\n<p>third<a href=\"\r\n\
         --b\r\nContent-Type: text/html\r\n\r\n<p>fourth\r\n--b--\r\n",
    );
    open(&browser);
    let text = "document.querySelector('#panel iframe').contentDocument.body.innerText";
    browser.wait(&format!("['first', 'second', 'third', 'fourth'].every((part) => {text}.includes(part))"));
    // What joins letters, and pictures made of several, stays.
    let subject = "\u{1f469}\u{200d}\u{1f4bb} \u{645}\u{6cc}\u{200c}\u{62e}";
    wait_for_subject(&browser, subject);
    assert_eq!(browser.run("return document.querySelector('.row .subject').textContent;"), subject);
}
