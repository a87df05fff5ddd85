//! A headless Chromium, driven as a person would: through ChromeDriver, by the W3C's WebDriver protocol.
//!
//! A start costs as much as a test, so browsers are lent: each test has a context of its own, as a private window is one, and
//! whatever it did there is gone with it.

use std::cell::Cell;
use std::fs;
use std::path::PathBuf;
use std::sync::{Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use base64ct::{Base64, Encoding};
use serde_json::{Value, json};

use super::chromium::{Chromium, TURN};
use super::driver::PATIENCE;
use crate::support;

/// Between two looks at the page from outside.
const LOOK: Duration = Duration::from_millis(50);

/// The name that the protocol has for an element's id.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// How many tests may have one at once: one takes a core and some hundred megabytes.
const MOST: usize = 2;

/// How many tests have one.
static LENT: Mutex<usize> = Mutex::new(0);

/// One of them has been given back.
static BACK: Condvar = Condvar::new();

/// Those that nobody has at the moment, which take memory alone. They end with the tests, see [`super::driver`].
static IDLE: Mutex<Vec<Chromium>> = Mutex::new(Vec::new());

/// One of the [`MOST`].
struct Turn;

impl Turn {
    fn wait() -> Turn {
        let lent = LENT.lock().unwrap_or_else(PoisonError::into_inner);
        let mut lent = BACK.wait_while(lent, |lent| *lent == MOST).unwrap_or_else(PoisonError::into_inner);
        *lent += 1;
        Turn
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        *LENT.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        BACK.notify_one();
    }
}

/// Keys as the protocol writes them.
pub const ENTER: &str = "\u{e007}";
pub const ESCAPE: &str = "\u{e00c}";
pub const TAB: &str = "\u{e004}";
pub const SHIFT: &str = "\u{e008}";
pub const CONTROL: &str = "\u{e009}";
pub const END: &str = "\u{e010}";
pub const HOME: &str = "\u{e011}";
pub const LEFT: &str = "\u{e012}";
pub const UP: &str = "\u{e013}";
pub const RIGHT: &str = "\u{e014}";
pub const DOWN: &str = "\u{e015}";
pub const DELETE: &str = "\u{e017}";

pub struct Browser {
    /// None once it was given back.
    chromium: Option<Chromium>,
    /// None in one that is not lent.
    context: Option<String>,
    /// Where scripts may be off.
    is_in_frame: Cell<bool>,
    // Given back last.
    _turn: Turn,
}

impl Browser {
    /// None, and a word on stderr, if there is none here.
    pub fn start() -> Option<Browser> {
        let turn = Turn::wait();
        // Whatever cannot be lent any more has ended.
        let idle = || IDLE.lock().unwrap_or_else(PoisonError::into_inner).pop();
        while let Some(chromium) = idle() {
            if let Ok(context) = chromium.lend() {
                return Some(Browser::new(chromium, Some(context), turn));
            }
        }
        let chromium = Chromium::start(false)?;
        let context = chromium.lend().unwrap_or_else(|problem| panic!("Chromium does not start: {problem}"));
        Some(Browser::new(chromium, Some(context), turn))
    }

    /// One that is not lent, and notes down what its network is asked for. Private windows do not look up names before they
    /// are needed, and this one does.
    pub fn start_noting() -> Option<Browser> {
        let turn = Turn::wait();
        Chromium::start(true).map(|chromium| Browser::new(chromium, None, turn))
    }

    fn new(chromium: Chromium, context: Option<String>, turn: Turn) -> Browser {
        Browser { chromium: Some(chromium), context, is_in_frame: Cell::new(false), _turn: turn }
    }

    /// Ends it, and gives what it has noted down.
    pub fn noted(mut self) -> Value {
        self.chromium.take().expect("it is there").noted()
    }

    fn chromium(&self) -> &Chromium {
        self.chromium.as_ref().expect("it is lent")
    }

    /// What the driver answers to a command within the session, or what it says is wrong.
    pub fn ask(&self, method: &str, path: &str, body: &Value) -> Result<Value, String> {
        self.chromium().ask(method, path, body)
    }

    #[track_caller]
    fn command(&self, path: &str, body: &Value) -> Value {
        self.ask("POST", path, body).unwrap_or_else(|problem| panic!("{path}: {problem}"))
    }

    /// Opens an address, and waits until the page is loaded.
    #[track_caller]
    pub fn open(&self, url: &str) {
        self.command("/url", &json!({ "url": url }));
    }

    /// What the body of a function in JavaScript returns.
    #[track_caller]
    pub fn run(&self, script: &str) -> Value {
        self.run_with(script, &[])
    }

    /// As [`run`](Browser::run), with `arguments`.
    #[track_caller]
    pub fn run_with(&self, script: &str, arguments: &[Value]) -> Value {
        self.command("/execute/sync", &json!({ "script": script, "args": arguments }))
    }

    /// What a promise in JavaScript comes to, which may take its time.
    #[track_caller]
    pub fn run_long(&self, script: &str, arguments: &[Value]) -> Value {
        self.command("/timeouts", &json!({ "script": PATIENCE.as_millis() as u64 }));
        let value = self.run_with(script, arguments);
        self.command("/timeouts", &json!({ "script": 2 * TURN }));
        value
    }

    /// Waits until an expression in JavaScript is true, and gives it.
    #[track_caller]
    pub fn wait(&self, expression: &str) -> Value {
        let begun = Instant::now();
        loop {
            let value = self.look(expression);
            if !matches!(&value, Value::Null | Value::Bool(false)) {
                return value;
            }
            assert!(begun.elapsed() < PATIENCE, "{expression} does not become true; the page says\n{}", self.said());
        }
    }

    /// The value of an expression once it is true, or as it is after some time.
    #[track_caller]
    fn look(&self, expression: &str) -> Value {
        if !self.is_in_frame.get() {
            let script = format!(
                "return new Promise((done, fail) => {{
                  const end = Date.now() + {TURN};
                  const look = () => {{
                    try {{
                      const value = {expression};
                      if ((value ?? false) !== false || Date.now() > end) done(value);
                      else setTimeout(look, 10);
                    }} catch (error) {{ fail(error); }}
                  }};
                  look();
                }});"
            );
            // If not, then the page was left, or is one without scripts.
            if let Ok(value) = self.ask("POST", "/execute/sync", &json!({ "script": script, "args": [] })) {
                return value;
            }
        }
        let value = self.run(&format!("return {expression};"));
        if matches!(&value, Value::Null | Value::Bool(false)) {
            thread::sleep(LOOK);
        }
        value
    }

    /// All that can be read on the page.
    pub fn said(&self) -> String {
        self.run("return document.body.innerText;").as_str().expect("text").to_owned()
    }

    /// What can be read within an element.
    #[track_caller]
    pub fn text(&self, selector: &str) -> String {
        let script = "return document.querySelector(arguments[0]).innerText;";
        self.run_with(script, &[json!(selector)]).as_str().expect("text").to_owned()
    }

    #[track_caller]
    fn element(&self, selector: &str) -> String {
        let found = self.command("/element", &json!({ "using": "css selector", "value": selector }));
        found[ELEMENT].as_str().expect("an element").to_owned()
    }

    /// Clicks into the middle of an element, which must be in sight and not behind another.
    #[track_caller]
    pub fn click(&self, selector: &str) {
        self.command(&format!("/element/{}/click", self.element(selector)), &json!({}));
    }

    /// Clicks into the middle of an element while a key is held.
    #[track_caller]
    pub fn click_with(&self, held: &str, selector: &str) {
        let (key, click) = ([("keyDown", held), ("keyUp", held)], ["pointerDown", "pointerUp"]);
        let origin = json!({ ELEMENT: self.element(selector) });
        let keys: Vec<_> = key.iter().map(|(what, key)| json!({ "type": what, "value": key })).collect();
        let pause = json!({ "type": "pause" });
        let actions = json!([
            { "type": "key", "id": "keyboard", "actions": [keys[0], pause, pause, pause, keys[1]] },
            { "type": "pointer", "id": "mouse", "actions": [
                pause, { "type": "pointerMove", "origin": origin, "x": 0, "y": 0 },
                { "type": click[0], "button": 0 }, { "type": click[1], "button": 0 }, pause,
            ] },
        ]);
        self.command("/actions", &json!({ "actions": actions }));
    }

    /// Clicks there, in CSS pixels from the page's upper left corner.
    #[track_caller]
    pub fn click_at(&self, x: i64, y: i64) {
        let actions = json!([
            { "type": "pointerMove", "x": x, "y": y },
            { "type": "pointerDown", "button": 0 },
            { "type": "pointerUp", "button": 0 },
        ]);
        self.command("/actions", &json!({ "actions": [{ "type": "pointer", "id": "mouse", "actions": actions }] }));
    }

    /// Clicks into an element and writes, in the place of what was there.
    #[track_caller]
    pub fn write(&self, selector: &str, text: &str) {
        let path = format!("/element/{}", self.element(selector));
        self.command(&format!("{path}/clear"), &json!({}));
        self.command(&format!("{path}/value"), &json!({ "text": text }));
    }

    /// Presses keys one after the other, wherever the focus is.
    #[track_caller]
    pub fn press(&self, keys: &str) {
        let mut actions = Vec::new();
        for key in keys.chars() {
            actions.push(json!({ "type": "keyDown", "value": key.to_string() }));
            actions.push(json!({ "type": "keyUp", "value": key.to_string() }));
        }
        self.command("/actions", &json!({ "actions": [{ "type": "key", "id": "keyboard", "actions": actions }] }));
    }

    /// Presses a key while another is held.
    #[track_caller]
    pub fn press_with(&self, held: &str, key: &str) {
        let strokes = [("keyDown", held), ("keyDown", key), ("keyUp", key), ("keyUp", held)];
        let actions: Vec<_> = strokes.iter().map(|(what, key)| json!({ "type": what, "value": key })).collect();
        self.command("/actions", &json!({ "actions": [{ "type": "key", "id": "keyboard", "actions": actions }] }));
    }

    /// Goes into a frame of the page; none is back to the page.
    #[track_caller]
    pub fn enter(&self, frame: Option<&str>) {
        let id = frame.map_or(Value::Null, |selector| json!({ ELEMENT: self.element(selector) }));
        self.command("/frame", &json!({ "id": id }));
        self.is_in_frame.set(frame.is_some());
    }

    /// The text of a dialog that a script has opened, such as by `alert`.
    pub fn alert(&self) -> Option<String> {
        self.ask("GET", "/alert/text", &Value::Null).ok().map(|text| text.as_str().unwrap_or_default().to_owned())
    }

    /// How many windows and tabs there are.
    pub fn windows(&self) -> usize {
        self.tabs().len()
    }

    fn tabs(&self) -> Vec<String> {
        self.chromium().tabs(self.context.is_some()).expect("a list")
    }

    /// Opens another tab and goes there. Gives what leads back to this one, and to that one.
    pub fn open_tab(&self) -> (String, String) {
        self.open_beside(false)
    }

    /// As [`open_tab`](Browser::open_tab), where both are in sight.
    pub fn open_window(&self) -> (String, String) {
        self.open_beside(true)
    }

    fn open_beside(&self, is_window: bool) -> (String, String) {
        let this = self.ask("GET", "/window", &Value::Null).expect("a tab").as_str().expect("text").to_owned();
        let other = self.chromium().open(self.context.as_deref(), is_window).expect("another tab");
        self.go_to(&other);
        (this, other)
    }

    /// Goes to another tab.
    #[track_caller]
    pub fn go_to(&self, tab: &str) {
        self.command("/window", &json!({ "handle": tab }));
        self.is_in_frame.set(false);
    }

    /// Goes to a tab that is not this one, once there is one.
    #[track_caller]
    pub fn go_to_other(&self) {
        let this = self.ask("GET", "/window", &Value::Null).expect("a tab");
        let begun = Instant::now();
        loop {
            let all = self.tabs();
            if let Some(other) = all.iter().find(|tab| this != **tab) {
                return self.go_to(other);
            }
            assert!(begun.elapsed() < PATIENCE, "no tab is opened");
            thread::sleep(LOOK);
        }
    }

    /// A command of the Chrome DevTools Protocol.
    #[track_caller]
    pub fn devtools(&self, command: &str, parameters: &Value) -> Value {
        self.command("/goog/cdp/execute", &json!({ "cmd": command, "params": parameters }))
    }

    /// What the user prefers: `light` or `dark`.
    pub fn prefer(&self, scheme: &str) {
        let motion = json!({ "name": "prefers-reduced-motion", "value": "no-preference" });
        let features = json!([{ "name": "prefers-color-scheme", "value": scheme }, motion]);
        self.devtools("Emulation.setEmulatedMedia", &json!({ "features": features }));
    }

    /// Makes the page so large, in CSS pixels.
    pub fn resize(&self, width: u32, height: u32) {
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.devtools("Emulation.setDeviceMetricsOverride", &size);
    }

    /// The page as a picture in PNG.
    pub fn screenshot(&self) -> Vec<u8> {
        let picture = self.ask("GET", "/screenshot", &Value::Null).expect("a picture");
        Base64::decode_vec(picture.as_str().expect("text")).expect("base64")
    }

    /// Waits until a file has been downloaded, and gives its name and its octets. Then it is gone.
    #[track_caller]
    pub fn downloaded(&self) -> (String, Vec<u8>) {
        let begun = Instant::now();
        loop {
            let files = fs::read_dir(self.chromium().downloads()).expect("a folder");
            let names: Vec<PathBuf> = files.map(|file| file.expect("a file").path()).collect();
            // Until it is complete it has another name, or is beside one.
            if let [file] = &names[..]
                && file.extension().is_none_or(|extension| extension != "crdownload" && extension != "tmp")
                && !file.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'))
            {
                let octets = fs::read(file).expect("a file");
                fs::remove_file(file).expect("a file");
                return (file.file_name().expect("a name").to_string_lossy().into_owned(), octets);
            }
            assert!(begun.elapsed() < PATIENCE, "nothing is downloaded: {names:?}");
            thread::sleep(LOOK);
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // After a failure nothing is known of it.
        if let Some(chromium) = self.chromium.take()
            && let Some(context) = &self.context
            && !thread::panicking()
            && chromium.take_back(context).is_ok()
        {
            IDLE.lock().unwrap_or_else(PoisonError::into_inner).push(chromium);
        }
    }
}
