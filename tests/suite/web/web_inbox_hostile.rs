//! The web inbox in a browser, under attack: by what messages say, and by pages of others.
//!
//! Chromium knows no name but those of this machine, and can note down whatever its network is asked for, lookups of names and
//! connections without a request among them. A page that protects nothing shows that the attacks are ones.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use crate::support::browser::{Browser, ENTER, ESCAPE, TAB};
use crate::support::chromium::{ASKED, TRACKER};
use crate::support::wait_until;
use crate::support::web::Inbox;
use serde_json::{Value, json};

/// Somebody else's server: it counts who connects, notes what they ask for, and answers everything with the same page.
struct Other {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Other {
    fn serve(page: impl FnOnce(SocketAddr) -> String) -> Other {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("a socket");
        let connections = Arc::new(AtomicUsize::new(0));
        let page: Arc<str> = page(address).into();
        let requests: Arc<Mutex<Vec<String>>> = Arc::default();
        let (counted, noted) = (connections.clone(), requests.clone());
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (Ok(stream), page, noted) = (stream, page.clone(), noted.clone()) else { return };
                counted.fetch_add(1, Ordering::SeqCst);
                // A connection that asks for nothing must not keep others from being answered.
                thread::spawn(move || answer(stream, &page, &noted));
            }
        });
        Other { address, connections, requests }
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// The paths that were asked for; none of the requests says where it comes from.
    #[track_caller]
    fn paths(&self) -> Vec<String> {
        let requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        assert!(!requests.iter().any(|request| request.to_ascii_lowercase().contains("referer:")), "{requests:?}");
        requests.iter().filter_map(|request| request.split(' ').nth(1).map(str::to_owned)).collect()
    }

    fn url(&self) -> String {
        format!("http://{}/", self.address)
    }
}

fn answer(mut stream: TcpStream, page: &str, noted: &Mutex<Vec<String>>) {
    let _ = stream.set_read_timeout(Some(Duration::from_secs(10)));
    let mut request = [0; 8192];
    let read = stream.read(&mut request).unwrap_or_default();
    noted.lock().unwrap_or_else(PoisonError::into_inner).push(String::from_utf8_lossy(&request[..read]).into_owned());
    let head =
        format!("Content-Type: text/html; charset=utf-8\r\nContent-Length: {}\r\nConnection: close\r\n", page.len());
    let _ = stream.write_all(format!("HTTP/1.1 200 OK\r\n{head}\r\n{page}").as_bytes());
}

/// What is tried by the HTML of a message; `T` stands for the tracker. Each can be seen to work where nothing is protected, but
/// for a few that browsers no longer do.
const ATTACKS: [&str; 11] = [
    // Scripts.
    "<script>document.title = 'ran'; top.document.title = 'ran'; parent.postMessage('ran', '*'); alert(1)</script>\
     <script src='T/script.js'></script><script type=module>import 'T/module.js'</script>\
     <script type=speculationrules>{\"prefetch\":[{\"source\":\"list\",\"urls\":[\"T/s\"],\"eagerness\":\"immediate\"}]}</script>\
     <img src=x onerror=\"document.title='ran';fetch('T/onerror')\"><body onload=\"document.title='ran'\">\
     <svg onload=\"document.title='ran'\"><script>document.title='ran'</script></svg>\
     <details open ontoggle=\"document.title='ran'\"><summary>x</summary></details>\
     <input autofocus onfocus=\"document.title='ran'\"><video onerror=\"document.title='ran'\"><source></video>\
     <iframe src=\"javascript:top.document.title='ran'\"></iframe><iframe srcdoc=\"<script>top.document.title='ran'</script>\">\
     </iframe><object data=\"javascript:document.title='ran'\"></object><embed src=\"javascript:document.title='ran'\">\
     <math><mi xlink:href=\"javascript:document.title='ran'\">x</mi></math>",
    // Elements that fetch.
    "<img src=T/img><img srcset='T/srcset 1x, T/srcset2 2x'><picture><source srcset=T/source><img></picture>\
     <input type=image src=T/input><video src=T/video poster=T/poster autoplay preload=auto></video><audio src=T/audio autoplay>\
     </audio><video><source src=T/vsource><track default src=T/track></video><body background=T/background>\
     <table background=T/table><td background=T/cell>x</table><bgsound src=T/bgsound>",
    "<iframe src=T/frame></iframe><iframe srcdoc='<img src=T/srcdoc>'></iframe><object data=T/object></object>\
     <embed src=T/embed><applet code=T/applet archive=T/archive></applet><object type=text/html data=T/object2></object>\
     <fencedframe src=T/fenced></fencedframe><portal src=T/portal></portal>",
    "<frameset cols='50%,50%'><frame src=T/frame1><frame src=T/frame2></frameset>",
    // Links of the head.
    "<meta http-equiv=x-dns-prefetch-control content=on><link rel=stylesheet href=T/css><link rel=preload as=image href=T/preload><link rel=prefetch href=T/prefetch>\
     <link rel=modulepreload href=T/modulepreload><link rel=preconnect href=T><link rel=dns-prefetch href=//looked-up.NAME>\
     <link rel=preconnect href=http://pre.NAME><link rel=icon href=T/icon><link rel=manifest href=T/manifest>\
     <link rel=prerender href=T/prerender><LiNk/rel=stylesheet/href=T/odd><a href=//anchor.NAME>a name to look up</a>",
    "<meta http-equiv=refresh content='0;url=T/refresh'>",
    "<base href=T/><img src=relative><a href=based>x</a><form action=based><button autofocus>x</button></form>",
    // Styles.
    "<style>@import 'T/import'; @import url(T/import2); @font-face { font-family: f; src: url(T/font) } \
     body { background: url(T/bg); cursor: url(T/cursor), auto; font-family: f } p { list-style-image: url(T/list) } \
     p::before { content: url(T/content) } p { background-image: image-set(url(T/set) 1x); mask: url(T/mask) } \
     p { filter: url(T/filter#f); clip-path: url(T/clip#c); border-image: url(T/border) 1 }</style><p>styled \
     <b style='background:url(T/inline)'>x</b><b style=\"background:\\75rl(T/escaped)\">x</b>",
    // Elements of SVG and MathML.
    "<svg width=90 height=90><image href=T/image width=9 height=9 /><image xlink:href=T/ximage width=9 height=9 />\
     <use href=T/use#x /><feImage href=T/feimage /><filter id=f><feImage href=T/feimage2 /></filter>\
     <rect width=9 height=9 filter=url(#f) fill=url(T/fill#f) /><foreignObject width=50 height=50><img src=T/foreign>\
     <iframe src=T/foreignframe></iframe></foreignObject><style>@import 'T/svgimport';</style></svg>\
     <math><mtext><img src=T/math></mtext></math>",
    // Shadow trees and templates.
    "<div><template shadowrootmode=open><link rel=stylesheet href=T/shadow><img src=T/shadowimg><iframe src=T/shadowframe></iframe>\
     </template></div><noscript><img src=T/noscript><link rel=preconnect href=T></noscript>",
    // Something that is no HTML of any time.
    "<!--[if true]><img src=T/conditional><![endif]--><img src=T/unclosed <iframe src=T/unclosed2 <link rel=preconnect href=T\n\
     ><img\u{0}src=T/nul><iframe\u{c}src=T/ff></iframe><![CDATA[<iframe src=T/cdata>]]><plaintext>",
];

fn attacks(tracker: &str) -> impl Iterator<Item = String> {
    ATTACKS
        .iter()
        .map(move |html| html.replace("T/", tracker).replace("=T>", &format!("={tracker}>")).replace("NAME", TRACKER))
}

/// Ends the browser, and gives what its network was asked of names in attacks.
fn asked(browser: Browser) -> Vec<String> {
    let notes = browser.noted();
    let events = notes["events"].as_array().expect("a list").iter().map(Value::to_string);
    let (ours, asked): (Vec<_>, Vec<_>) = events.partition(|event| !event.contains(TRACKER) && !event.contains(ASKED));
    assert!(ours.iter().any(|event| event.contains("127.0.0.1")), "it has noted nothing");
    asked
}

/// The page, once it follows the inbox, with a mark on it.
fn visit(browser: &Browser, inbox: &Inbox) {
    browser.open(&format!("http://{}/", inbox.web));
    browser.wait("document.getElementById('state').dataset.state === 'live'");
    browser.run("window.heard = []; addEventListener('message', (event) => heard.push(event.data));");
}

/// # Panics
/// If anything of a message has run on the page, or has led away from it.
#[track_caller]
fn expect_untouched(browser: &Browser, inbox: &Inbox, windows: usize, what: &str) {
    assert_eq!((browser.alert(), browser.windows()), (None, windows), "{what}");
    let state = browser.run(
        "return [location.origin, document.title.endsWith('Inbox – pillarbox'), window.heard, typeof window.ran];",
    );
    assert_eq!(state, json!([format!("http://{}", inbox.web), true, [], "undefined"]), "{what}");
}

fn html(body: &str) -> String {
    format!("Subject: hostile\r\nContent-Type: text/html; charset=utf-8\r\n\r\n{body}")
}

/// Opens the newest message, and waits until its HTML is in the frame.
#[track_caller]
fn open_html(browser: &Browser, id: &str) {
    browser.wait(&format!("document.getElementById('mail-{id}')"));
    browser.run(&format!("document.getElementById('mail-{id}').click();"));
    // By a path, as no name in a message can hide a document's location.
    let inner = "document.querySelector('#panel iframe')?.contentDocument";
    browser.wait(&format!(
        "{inner}?.location.pathname.endsWith('/{id}/html') && {inner}.readyState === 'complete' && !!{inner}.body"
    ));
}

#[test]
fn the_html_of_a_message() {
    let tracker = Other::serve(|_| String::new());
    let Some(browser) = Browser::start_noting() else { return };
    let inbox = Inbox::start();
    visit(&browser, &inbox);
    let (page, by_itself) = browser.open_window();
    for (nth, body) in attacks(&tracker.url()).enumerate() {
        let id = inbox.receive(html(&body));
        browser.go_to(&page);
        open_html(&browser, &id);
        expect_untouched(&browser, &inbox, 2, &body);
        assert_eq!(tracker.connections(), 0, "attack {nth}: {body}");
        // By itself too, as somebody may open it in another tab.
        browser.go_to(&by_itself);
        for (view, origin) in [("", "null"), ("?frame=page&scheme=dark", &format!("http://{}", inbox.web))] {
            browser.open(&format!("http://{}/api/messages/{id}/html{view}", inbox.web));
            assert_eq!((browser.alert(), browser.windows()), (None, 2), "{body}");
            assert_eq!(browser.run("return [document.title === 'ran', origin];"), json!([false, origin]), "{body}");
            assert_eq!(tracker.connections(), 0, "by itself: {body}");
        }
        browser.go_to(&page);
        expect_untouched(&browser, &inbox, 2, &body);
    }
    assert_eq!(tracker.connections(), 0);
    assert_eq!(asked(browser), [] as [&str; 0]);
}

/// What of the attacks is a picture, which may be loaded once that was asked for.
const PICTURES: [&str; 28] = [
    "img",
    "srcset",
    "srcset2",
    "source",
    "input",
    "poster",
    "background",
    "table",
    "cell",
    "bg",
    "cursor",
    "list",
    "content",
    "set",
    "border",
    "inline",
    "escaped",
    "image",
    "ximage",
    "foreign",
    "math",
    "shadowimg",
    "noscript",
    "unclosed",
    "mask",
    "clip",
    "fill",
    "filter",
];

#[test]
fn the_html_of_a_message_whose_pictures_are_loaded() {
    let tracker = Other::serve(|_| String::new());
    let Some(browser) = Browser::start_noting() else { return };
    let inbox = Inbox::start();
    visit(&browser, &inbox);
    for body in attacks(&tracker.url()) {
        let id = inbox.receive(html(&body));
        open_html(&browser, &id);
        browser.run("document.querySelector('.blocked button')?.click();");
        browser.wait("!document.querySelector('.blocked').checkVisibility()");
        browser.enter(Some("#panel iframe"));
        browser.wait("document.readyState === 'complete' && !!document.body");
        browser.enter(None);
        expect_untouched(&browser, &inbox, 1, &body);
    }
    let others = |path: &String| !PICTURES.iter().any(|picture| *path == format!("/{picture}"));
    let paths = tracker.paths();
    assert!(paths.iter().any(|path| path == "/img"), "{paths:?}");
    assert_eq!(paths.into_iter().filter(others).collect::<Vec<_>>(), [] as [&str; 0]);
}

#[test]
fn the_attacks_are_ones() {
    let Some(browser) = Browser::start_noting() else { return };
    for body in attacks("http://T/") {
        let tracker = Other::serve(|_| String::new());
        // A dialog that is open would keep the driver waiting.
        let body = body.replace("http://T/", &tracker.url()).replace("alert(1)", "");
        let page = Other::serve(|_| format!("<!doctype html>{body}"));
        let _ = browser.ask("POST", "/url", &json!({ "url": page.url() }));
        wait_until(&format!("something comes of {body}"), || tracker.connections() > 0);
    }
    assert!(asked(browser).iter().any(|event| event.contains(ASKED)));
}

/// The middle of what is to be clicked in the frame, as far as it is in sight.
const MIDDLE: &str = "
const frame = document.querySelector('#panel iframe');
const around = frame.getBoundingClientRect();
const r = frame.contentDocument.getElementById('x').getBoundingClientRect();
const { innerWidth, innerHeight } = frame.contentWindow;
return [around.x + Math.max(5, Math.min(r.x + r.width / 2, innerWidth - 5)),
  around.y + Math.max(5, Math.min(r.y + r.height / 2, innerHeight - 5))];";

/// Whether that is still there; and what would get a click onto one of the tabs.
const IN_PLACE: &str = "
const r = document.getElementById('tab-headers').getBoundingClientRect();
return [document.querySelector('#panel iframe').contentDocument.getElementById('x') !== null,
  document.elementFromPoint(r.x + r.width / 2, r.y + r.height / 2)?.closest('[role=tab]')?.id];";

#[test]
fn links_and_forms_that_are_clicked() {
    let tracker = Other::serve(|_| String::new());
    let Some(browser) = Browser::start_noting() else { return };
    let inbox = Inbox::start();
    visit(&browser, &inbox);
    for body in [
        "<a id=x href=T/self>x</a>",
        "<a id=x href=T/top target=_top>x</a>",
        "<a id=x href=T/parent target=_parent>x</a>",
        "<a id=x href=T/blank target=_blank>x</a>",
        "<a id=x href=T/file download ping=T/ping>x</a>",
        "<a id=x href=//clicked.NAME>x</a>",
        "<a id=x href=\"javascript:top.document.title='ran'\">x</a>",
        "<a id=x href='data:text/html,<script>top.document.title=1</script>' target=_top>x</a>",
        "<a id=x href=/ target=_top>x</a>",
        "<base href=T/ target=_top><a id=x href=based>x</a>",
        "<svg width=50 height=50><a id=x href=T/svg><text y=20>x</text></a></svg>",
        "<svg width=50 height=50><a id=x xlink:href=T/xlink><text y=20>x</text></a></svg>",
        "<svg width=50 height=50><a id=x><set attributeName=&#104;ref to=T/set /><text y=20>x</text></a></svg>",
        "<math><mi id=x href=T/math>x</mi></math>",
        "<map name=m><area id=x shape=rect coords=0,0,50,50 href=T/area alt=x></map><img usemap=#m width=50 height=50 \
         src=data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7>",
        "<form action=T/form><button id=x>x</button></form>",
        "<form action=T/form target=_top method=post><input id=x type=submit value=x></form>",
        "<form><button id=x formaction=T/formaction>x</button></form>",
        "<label for=y id=x>x</label><form action=T/label><input type=submit id=y></form>",
        // Out of the frame by a tab of its own.
        "<form action=T/pop target=_blank><button id=x>x</button></form>",
        "<a id=x href='#y' target=_blank>x</a>",
        "<a id=x href=T/opener target=other rel=opener>x</a>",
        "<a id=x HREF=T/first href=T/second/>x</a>",
        "<a id='x'/href=T/slash\n=\"y\">x</a>",
        "<a id=x href='&#106;avascript:top.document.title=1'>x</a>",
        "<a id=x href=' &#9;T/blank'>x</a>",
        "<noscript><a id=x href=T/noscript>x</a></noscript>",
        "<script type=application/json>{\"<a href=T/json>\": 1}</script><a id=x href=T/script>x</a>",
        // Names that hide what the page asks of a document.
        "<img name=documentElement><img name=querySelectorAll><img name=URL><form name=defaultView id=addEventListener>\
         <input name=localName></form><a id=x href=T/clobber>x</a>",
        // Over all of the page, as far as a frame lets it.
        "<a id=x href=T/overlay style='position:fixed;inset:-9999px;z-index:2147483647;background:red'>x</a>",
    ] {
        let id = inbox.receive(html(&body.replace("T/", &tracker.url()).replace("NAME", TRACKER)));
        open_html(&browser, &id);
        let middle = browser.run(MIDDLE);
        let at = |axis: usize| middle[axis].as_f64().expect("a number") as i64;
        browser.click_at(at(0), at(1));
        expect_untouched(&browser, &inbox, 1, body);
        // Where it may lead somewhere, that is asked.
        browser.press(ESCAPE);
        browser.wait("!document.querySelector('dialog[open]')");
        // And by the keyboard.
        browser.press(&format!("{TAB}{ENTER}"));
        expect_untouched(&browser, &inbox, 1, body);
        browser.press(ESCAPE);
        browser.wait("!document.querySelector('dialog[open]')");
        // It is where it was, and over nothing but its own place.
        assert_eq!(browser.run(IN_PLACE), json!([true, "tab-headers"]), "{body}");
        assert_eq!(tracker.connections(), 0, "{body}");
    }
    browser.click("#tab-headers");
    assert_eq!(browser.run("return document.getElementById('panel').className;"), "headers");
    assert_eq!(tracker.connections(), 0);
    assert_eq!(asked(browser), [] as [&str; 0]);
}

#[test]
fn what_is_not_html_is_text() {
    let tracker = Other::serve(|_| String::new());
    let Some(browser) = Browser::start_noting() else { return };
    let inbox = Inbox::start();
    visit(&browser, &inbox);
    let tag = format!(
        "<img src={0}x onerror=window.ran=1><script>window.ran=1</script><link rel=preconnect href={0}>",
        tracker.url()
    );
    let attribute = "x\\\" onmouseover=window.ran=1 x='";
    let message = format!(
        "Subject: {tag}\r\nFrom: \"{attribute}\" <{tag}@example.org>\r\nTo: {tag}\r\nX-Odd: {tag}\r\n\
         X-<script>window.ran=1</script>: {tag}\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\n{tag} http://text.{TRACKER}/ javascript:window.ran=1\r\n\
         --b\r\nContent-Type: {tag}; name=\"{tag}\"\r\nContent-Disposition: attachment; filename=\"{tag}\"\r\n\r\nx\r\n\
         --b\r\nContent-Type: text/html; name=\"../../{attribute}.html\"\r\nContent-Disposition: attachment\r\n\r\n{tag}\r\n--b--\r\n"
    );
    let id = inbox.receive(&message);
    browser.wait(&format!("document.getElementById('mail-{id}')?.innerText.includes('onerror=window.ran')"));
    browser.click(&format!("#mail-{id}"));
    browser.wait("document.getElementById('subject').innerText.includes('<script>window.ran=1</script>')");
    for panel in ["text", "headers", "source", "attachments", "conversation"] {
        browser.click(&format!("#tab-{panel}"));
        browser.wait("document.getElementById('panel').innerText.includes('window.ran=1')");
        let made = "return document.querySelectorAll('#mail img, #mail script, .row img, .row script, [onmouseover], [onerror]').length;";
        assert_eq!(browser.run(made), 0, "{panel}");
    }
    browser.click("#delete");
    browser.wait("document.getElementById('undo-what').innerText.includes('<script>')");
    browser.click("#undo-do");
    browser.write("#search", "<script>window.ran=1</script>");
    browser.wait("document.getElementById('count').textContent === '1 of 1'");
    expect_untouched(&browser, &inbox, 1, "the page");
    assert_eq!(tracker.connections(), 0);
    assert_eq!(asked(browser), [] as [&str; 0]);
}

#[test]
fn attachments_are_stored_and_never_shown() {
    let tracker = Other::serve(|_| String::new());
    let Some(browser) = Browser::start() else { return };
    let inbox = Inbox::start();
    visit(&browser, &inbox);
    let script = format!(
        "<script xmlns='http://www.w3.org/1999/xhtml'>document.title='ran';fetch('{}')</script>",
        tracker.url()
    );
    for (kind, name, content) in [
        ("text/html", "page.html", format!("<title>page</title>{script}")),
        ("image/svg+xml", "picture.svg", format!("<svg xmlns='http://www.w3.org/2000/svg'>{script}</svg>")),
        ("application/xhtml+xml", "page.xhtml", format!("<html xmlns='http://www.w3.org/1999/xhtml'>{script}</html>")),
        ("text/xml", "page.xml", format!("<x>{script}</x>")),
        ("text/javascript", "code.js", "document.title='ran'".to_owned()),
        ("multipart/x-mixed-replace", "mixed.html", format!("--x\r\n\r\n{script}")),
        ("message/rfc822", "mail.eml", format!("Content-Type: text/html\r\n\r\n{script}")),
    ] {
        let id = inbox.receive(format!(
            "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: {kind}\r\n\
             Content-Disposition: attachment; filename={name}\r\n\r\n{content}\r\n--b--\r\n"
        ));
        for url in [format!("/api/messages/{id}/attachments/0"), format!("/api/messages/{id}/source")] {
            // The driver may or may not say that no page came of it.
            let _ = browser.ask("POST", "/url", &json!({ "url": format!("http://{}{url}", inbox.web) }));
            let (stored, octets) = browser.downloaded();
            if url.ends_with('0') {
                assert_eq!((stored.as_str(), String::from_utf8_lossy(&octets).trim_end()), (name, content.as_str()));
            }
            expect_untouched(&browser, &inbox, 1, kind);
            assert_eq!(browser.run("return location.pathname;"), "/", "{kind}");
        }
    }
    assert_eq!(tracker.connections(), 0);
}

#[test]
fn what_is_shown_of_attachments_runs_nothing() {
    let tracker = Other::serve(|_| String::new());
    let Some(browser) = Browser::start_noting() else { return };
    let inbox = Inbox::start();
    visit(&browser, &inbox);
    let script = format!(
        "<script xmlns='http://www.w3.org/1999/xhtml'>top.document.title='ran';fetch('{0}')</script><image href='{0}x'/>",
        tracker.url()
    );
    let id = inbox.receive(format!(
        "Content-Type: multipart/mixed; boundary=b\r\n\r\n\
         --b\r\nContent-Type: image/svg+xml; name=a.svg\r\n\r\n\
         <svg xmlns='http://www.w3.org/2000/svg' width='9' height='9' onload=\"top.document.title='ran'\">{script}</svg>\r\n\
         --b\r\nContent-Type: text/calendar\r\n\r\nBEGIN:VEVENT\r\nSUMMARY:{script}\r\nLOCATION:{script}\r\nEND:VEVENT\r\n\
         --b\r\nContent-Type: text/html; name=a.html\r\nContent-Disposition: attachment\r\n\r\n{script}\r\n\
         --b\r\nContent-Type: message/rfc822\r\n\r\nSubject: {script}\r\nContent-Type: text/html\r\n\r\n{script}<p>inner\r\n--b--\r\n"
    ));
    browser.wait(&format!("!!document.getElementById('mail-{id}')"));
    browser.click(&format!("#mail-{id}"));
    browser.wait("!document.getElementById('open').hidden");
    browser.click("#tab-attachments");
    browser.wait("document.querySelector('.attached img')?.naturalWidth === 9");
    browser.wait("document.querySelector('.calendar')?.innerText.includes('<script')");
    browser.wait("document.querySelector('.nested iframe')?.contentDocument?.body?.innerText.includes('inner')");
    browser.wait("[...document.querySelectorAll('.attached pre')].some((pre) => pre.innerText.includes('<script'))");
    expect_untouched(&browser, &inbox, 1, "attachments");
    assert_eq!(tracker.connections(), 0);
    assert_eq!(asked(browser), [] as [&str; 0]);
}

/// A page that does to the inbox all that another site's page can do, and then tells what it came to know.
fn foreign_page(inbox: SocketAddr) -> String {
    format!(
        "<!doctype html><title>foreign</title><img id=i src=http://{inbox}/icon.svg><script src=http://{inbox}/app.js></script>\
         <link rel=stylesheet href=http://{inbox}/app.css><iframe id=f src=http://{inbox}/ name=f></iframe>\
         <iframe src=http://{inbox}/api/messages></iframe><form id=p method=post enctype=text/plain target=f \
         action=http://{inbox}/api/faults><input name='[{{\"on\":{{\"verb\":\"RCPT\"}},\"do\":{{\"stall\":true}}}}]' value=''></form>\
         <script>window.told = []; const base = 'http://{inbox}';\
         const attempt = (what, path, options) => fetch(base + path, options).then((r) => r.text()).then((t) => told.push(what + ': ' + t), () => told.push(what));\
         Promise.allSettled([attempt('list', '/api/messages'), attempt('opaque', '/api/messages', {{ mode: 'no-cors' }}),\
           attempt('source', '/api/messages/1/source'), attempt('delete', '/api/messages', {{ method: 'DELETE' }}),\
           attempt('put', '/api/faults', {{ method: 'PUT', body: '[]' }}),\
           attempt('post', '/api/faults', {{ method: 'POST', body: '[]', mode: 'no-cors' }})]).then(() => {{\
           document.getElementById('p').submit(); window.done = true; }});</script>"
    )
}

#[test]
fn pages_of_others() {
    let inbox = Inbox::start();
    inbox.receive("Subject: secret\r\n\r\nsecret");
    let faults = "[{\"on\":{\"verb\":\"NOOP\"},\"do\":{\"delay\":0}}]";
    assert_eq!(inbox.request("PUT", "/api/faults", "", faults).status, 204);
    let other = Other::serve(|_| foreign_page(inbox.web));
    // Its own name, and one that leads to the inbox though it is not the inbox's.
    let Some(browser) = Browser::start() else { return };
    browser.open(&other.url());
    browser.wait("window.done");
    let told = browser.run("return told.toSorted();");
    assert_eq!(told, json!(["delete", "list", "opaque", "post", "put", "source"]));
    assert_eq!(browser.run("return document.getElementById('i').naturalWidth;"), 0);
    browser.enter(Some("#f"));
    let framed = browser.run("return document.documentElement.innerText;");
    assert!(!framed.as_str().expect("text").contains("pillarbox"), "{framed}");
    browser.enter(None);

    browser.open(&format!("http://rebound.example:{}/", inbox.web.port()));
    let said = browser.said();
    assert!(said.contains("not known by this name"), "{said}");
    for options in ["{}", "{ method: 'DELETE' }", "{ method: 'DELETE', mode: 'no-cors' }"] {
        let attempt = format!("return fetch('/api/messages', {options}).then((r) => r.status, () => 'failed');");
        let came = browser.run(&attempt);
        assert!(came == "failed" || came == 421, "{came}");
    }

    // Nothing has changed, and a link to the inbox is followed.
    assert_eq!(inbox.ids(), ["1"]);
    assert_eq!(inbox.get("/api/faults").text(), faults.replace("}}]", "},\"fired\":0}]"));
    browser.open(&other.url());
    browser.run(&format!("location.href = 'http://{}/';", inbox.web));
    browser.wait("document.getElementById('state')?.dataset.state === 'live'");
}
