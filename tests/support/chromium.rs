//! A headless Chromium as a process, with the session of its driver, and the contexts in it that tests are lent.

use std::cell::RefCell;
use std::fs;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::devtools::DevTools;
use super::driver::{Driver, PATIENCE};
use super::wait_for;
use crate::support;

/// How long a page itself looks for something, in milliseconds, before it is asked again. A script may take twice as long.
pub const TURN: u64 = 1000;

/// The names within this one lead to [`ASKED`], by a name that nothing else has.
pub const TRACKER: &str = "tracker.example";
pub const ASKED: &str = "asked.localhost";

/// The file of what the network is asked for.
const NOTES: &str = "net.json";

/// A process, and the session with its driver.
pub struct Chromium {
    session: String,
    devtools: RefCell<DevTools>,
    driver: Driver,
    /// The tab that it began with, which no test sees.
    home: String,
}

impl Chromium {
    /// None, and a word on stderr, if there is none here.
    pub fn start(is_noting: bool) -> Option<Chromium> {
        // The shell goes without all that Chromium has around its pages, and takes half of the processor time. But it looks up no name
        // before that is needed, so those who want to see such names have Chromium itself.
        let shell = if is_noting { None } else { support::find("chromium-headless-shell") };
        let chromium = shell.or_else(|| support::program("chromium"))?;
        let driver = Driver::start(&support::program("chromedriver")?);
        fs::create_dir(driver.folder().join("downloads")).expect("a folder");
        // No test asks others than this machine for anything.
        let names = format!(
            "--host-resolver-rules=MAP *.{TRACKER} {ASKED}, MAP rebound.example 127.0.0.1, MAP inbox.example 127.0.0.1, \
             MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost"
        );
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
            "--disable-extensions",
            "--in-process-gpu",
            // What moves is drawn again and again. Those who look at how something looks see it move, see `prefer`.
            "--force-prefers-reduced-motion",
            // The first two are pages of its own, which would be loaded beside each new window.
            "--disable-features=WebUIOmniboxPopup,WebUIOmniboxAimPopup,Translate,OptimizationHints,MediaRouter",
            "--window-size=1200,750",
        ];
        let notes = format!("--log-net-log={}", driver.folder().join(NOTES).display());
        let own = own.iter().copied().map(str::to_owned).chain([names]).chain(is_noting.then_some(notes));
        let capabilities = json!({
            "browserName": "chrome",
            "unhandledPromptBehavior": "ignore",
            "timeouts": { "script": 2 * TURN },
            "goog:chromeOptions": {
                "binary": chromium,
                "args": own.collect::<Vec<_>>(),
            },
        });
        let begun = driver.ask("POST", "/session", &json!({ "capabilities": { "alwaysMatch": capabilities } }));
        let begun = begun.unwrap_or_else(|problem| panic!("Chromium does not start: {problem}"));
        let session = format!("/session/{}", begun["sessionId"].as_str().expect("an id"));
        let profile = PathBuf::from(begun["capabilities"]["chrome"]["userDataDir"].as_str().expect("a folder"));
        let place = fs::read_to_string(profile.join("DevToolsActivePort")).expect("a port");
        let devtools = RefCell::new(DevTools::connect(&place).expect("a connection"));
        let mut chromium = Chromium { session, devtools, driver, home: String::new() };
        let home = chromium.ask("GET", "/window", &Value::Null).expect("a tab");
        chromium.home = home.as_str().expect("text").to_owned();
        Some(chromium)
    }

    /// What the driver answers to a command within the session, or what it says is wrong.
    pub fn ask(&self, method: &str, path: &str, body: &Value) -> Result<Value, String> {
        self.driver.ask(method, &format!("{}{path}", self.session), body)
    }

    /// A command of the DevTools protocol to the browser as a whole.
    fn command(&self, command: &str, parameters: &Value) -> Result<Value, String> {
        self.devtools.borrow_mut().ask(command, parameters).map_err(|e| format!("{command}: {e}"))
    }

    /// The folder for downloads.
    pub fn downloads(&self) -> PathBuf {
        self.driver.folder().join("downloads")
    }

    /// All tabs; where it is lent, not the one that it began with.
    pub fn tabs(&self, is_lent: bool) -> Result<Vec<String>, String> {
        let all = self.ask("GET", "/window/handles", &Value::Null)?;
        let all = all.as_array().into_iter().flatten().filter_map(Value::as_str);
        Ok(all.filter(|tab| !is_lent || *tab != self.home).map(str::to_owned).collect())
    }

    /// Opens a context, with a window to be in, and gives its id.
    pub fn lend(&self) -> Result<String, String> {
        let made = self.command("Target.createBrowserContext", &json!({}))?;
        let context = made["browserContextId"].as_str().ok_or("no context")?.to_owned();
        let behavior = json!({ "behavior": "allow", "downloadPath": self.downloads(), "browserContextId": context });
        self.command("Browser.setDownloadBehavior", &behavior)?;
        let window = self.open(Some(&context), true)?;
        self.ask("POST", "/window", &json!({ "handle": window }))?;
        Ok(context)
    }

    /// Opens a tab of a context, in the last window or in one of its own, and gives its name.
    pub fn open(&self, context: Option<&str>, is_window: bool) -> Result<String, String> {
        let mut tab = json!({ "url": "about:blank", "newWindow": is_window });
        if let Some(context) = context {
            tab["browserContextId"] = context.into();
        }
        let made = self.command("Target.createTarget", &tab)?;
        made["targetId"].as_str().map(str::to_owned).ok_or_else(|| "no tab".to_owned())
    }

    /// Ends it, and gives what it has noted down.
    pub fn noted(self) -> Value {
        let notes = self.driver.folder().join(NOTES);
        self.ask("DELETE", "", &Value::Null).expect("it ends");
        // It has written all of it before that is answered, or soon after.
        wait_for(|| serde_json::from_slice(&fs::read(&notes).expect("notes")))
    }

    /// Closes all there is in a context, and removes what it kept.
    pub fn take_back(&self, context: &str) -> Result<(), String> {
        // No key is held any more.
        let _ = self.ask("DELETE", "/actions", &Value::Null);
        self.ask("POST", "/window", &json!({ "handle": self.home }))?;
        self.command("Target.disposeBrowserContext", &json!({ "browserContextId": context }))?;
        let begun = Instant::now();
        while !self.tabs(true)?.is_empty() {
            if begun.elapsed() > PATIENCE {
                return Err("it does not end".to_owned());
            }
            thread::sleep(Duration::from_millis(10));
        }
        for file in fs::read_dir(self.downloads()).map_err(|e| e.to_string())? {
            file.and_then(|file| fs::remove_file(file.path())).map_err(|e| e.to_string())?;
        }
        Ok(())
    }
}
