//! A headless Chromium, driven as a person would: through ChromeDriver, by the W3C's WebDriver protocol.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use base64ct::{Base64, Encoding};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::web::Answer;
use crate::support;

/// How long anything may take. Only what does not happen gets there.
const PATIENCE: Duration = Duration::from_secs(60);

/// Between two looks at the page.
const LOOK: Duration = Duration::from_millis(20);

/// The name that the protocol has for an element's id.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// How many there may be at once: one takes a core and some hundred megabytes.
const MOST: usize = 2;

/// How many there are.
static THERE: Mutex<usize> = Mutex::new(0);

/// One of them has gone.
static GONE: Condvar = Condvar::new();

/// One of the [`MOST`].
struct Turn;

impl Turn {
    fn wait() -> Turn {
        let there = THERE.lock().unwrap_or_else(PoisonError::into_inner);
        let mut there = GONE.wait_while(there, |there| *there == MOST).unwrap_or_else(PoisonError::into_inner);
        *there += 1;
        Turn
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        *THERE.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        GONE.notify_one();
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
    // Ends before the driver, and that before its folder goes.
    session: String,
    driver: Driver,
    folder: TempDir,
    _turn: Turn,
}

struct Driver {
    process: Child,
    address: SocketAddr,
}

impl Browser {
    /// None, and a word on stderr, if there is none here.
    pub fn start() -> Option<Browser> {
        Browser::start_with(&[])
    }

    /// With further words of Chromium's command line.
    pub fn start_with(options: &[&str]) -> Option<Browser> {
        let chromium = support::program("chromium")?;
        let driver = support::program("chromedriver")?;
        let turn = Turn::wait();
        let folder = tempfile::tempdir().expect("a folder");
        // Whatever it writes goes with the folder, even if it is killed.
        let driver = Driver::start(Command::new(driver).env("HOME", folder.path()).env("TMPDIR", folder.path()));
        let own = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--disable-dev-shm-usage",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--window-size=1200,750",
        ];
        let profile = format!("--user-data-dir={}", folder.path().join("profile").display());
        let downloads = folder.path().join("downloads");
        fs::create_dir(&downloads).expect("a folder");
        let capabilities = json!({
            "browserName": "chrome",
            "unhandledPromptBehavior": "ignore",
            "goog:chromeOptions": {
                "binary": chromium,
                "args": own.iter().chain(options).map(|word| (*word).to_owned()).chain([profile]).collect::<Vec<_>>(),
                "prefs": { "download.default_directory": downloads, "download.prompt_for_download": false },
            },
        });
        let begun = driver.ask("POST", "/session", &json!({ "capabilities": { "alwaysMatch": capabilities } }));
        let begun = begun.unwrap_or_else(|problem| panic!("Chromium does not start: {problem}"));
        let session = format!("/session/{}", begun["sessionId"].as_str().expect("an id"));
        Some(Browser { session, driver, folder, _turn: turn })
    }

    /// What the driver answers to a command within the session, or what it says is wrong.
    pub fn ask(&self, method: &str, path: &str, body: &Value) -> Result<Value, String> {
        self.driver.ask(method, &format!("{}{path}", self.session), body)
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

    /// What a function in JavaScript gives to the callback that is its last argument.
    #[track_caller]
    pub fn run_later(&self, script: &str) -> Value {
        let _ = self.ask("POST", "/timeouts", &json!({ "script": PATIENCE.as_millis() as u64 }));
        self.command("/execute/async", &json!({ "script": script, "args": [] }))
    }

    /// Waits until an expression in JavaScript is true, and gives it.
    #[track_caller]
    pub fn wait(&self, expression: &str) -> Value {
        let begun = Instant::now();
        loop {
            let value = self.run(&format!("return {expression};"));
            if !matches!(&value, Value::Null | Value::Bool(false)) {
                return value;
            }
            assert!(begun.elapsed() < PATIENCE, "{expression} does not become true; the page says\n{}", self.said());
            thread::sleep(LOOK);
        }
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
    }

    /// The text of a dialog that a script has opened, such as by `alert`.
    pub fn alert(&self) -> Option<String> {
        self.ask("GET", "/alert/text", &Value::Null).ok().map(|text| text.as_str().unwrap_or_default().to_owned())
    }

    /// How many windows and tabs there are.
    pub fn windows(&self) -> usize {
        let handles = self.ask("GET", "/window/handles", &Value::Null).expect("a list");
        handles.as_array().expect("a list").len()
    }

    /// Opens another tab and goes there. Gives what leads back to this one, and to that one.
    pub fn open_tab(&self) -> (String, String) {
        let this = self.ask("GET", "/window", &Value::Null).expect("a tab").as_str().expect("text").to_owned();
        let other = self.command("/window/new", &json!({ "type": "tab" }))["handle"].as_str().expect("text").to_owned();
        self.go_to(&other);
        (this, other)
    }

    /// Goes to another tab.
    #[track_caller]
    pub fn go_to(&self, tab: &str) {
        self.command("/window", &json!({ "handle": tab }));
    }

    /// Goes to a tab that is not this one, once there is one.
    #[track_caller]
    pub fn go_to_other(&self) {
        let this = self.ask("GET", "/window", &Value::Null).expect("a tab");
        let begun = Instant::now();
        loop {
            let all = self.ask("GET", "/window/handles", &Value::Null).expect("a list");
            if let Some(other) = all.as_array().expect("a list").iter().find(|tab| **tab != this) {
                return self.go_to(other.as_str().expect("text"));
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
        let features = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
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
            let files = fs::read_dir(self.folder.path().join("downloads")).expect("a folder");
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
        // Chromium ends by that; if not, with the driver's processes.
        let _ = self.driver.ask("DELETE", &self.session, &Value::Null);
    }
}

impl Driver {
    /// Starts it at any free port, and waits until it listens.
    fn start(command: &mut Command) -> Driver {
        command.arg("--port=0").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut process = command.process_group(0).spawn().expect("a program");
        let stdout = BufReader::new(process.stdout.take().expect("piped"));
        // Killed with the value, also if it never says its port.
        let mut driver = Driver { process, address: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)) };
        let mut lines = stdout.lines().map_while(Result::ok);
        let port = lines.find_map(|line| line.split_once("successfully on port ").map(|(_, port)| port.to_owned()));
        let port = port.expect("ChromeDriver says where it listens");
        driver.address.set_port(port.trim_end_matches('.').parse().expect("a port"));
        // It must be able to write on.
        thread::spawn(move || lines.for_each(drop));
        driver
    }

    fn ask(&self, method: &str, path: &str, body: &Value) -> Result<Value, String> {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let fields = format!("Host: {}\r\nContent-Length: {}\r\n", self.address, body.len());
        let answer = self.answer(&format!("{method} {path} HTTP/1.1\r\n{fields}\r\n{body}"));
        let answer = answer.map_err(|e| format!("no answer: {e}"))?;
        let value: Value = serde_json::from_slice(&answer.body).map_err(|e| format!("no JSON: {e}"))?;
        match answer.status {
            200 => Ok(value["value"].clone()),
            _ => Err(format!("{}: {}", value["value"]["error"], value["value"]["message"])),
        }
    }

    fn answer(&self, request: &str) -> std::io::Result<Answer> {
        let mut stream = TcpStream::connect(self.address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(request.as_bytes())?;
        Answer::receive(stream)
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        // Whatever it has started and not ended yet is of its group.
        if let Ok(id) = i32::try_from(self.process.id()) {
            let _ = killpg(Pid::from_raw(id), Signal::SIGKILL);
        }
        let _ = self.process.wait();
    }
}
