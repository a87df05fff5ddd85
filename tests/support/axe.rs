//! axe-core, which looks for what keeps people from using a page.
//!
//! It is looked for in the folder that `TEST_PILLARBOX_AXE` names; then in `target/axe`, where .ci/run installs it.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::browser::Browser;
use crate::support;

/// What it finds, each with the elements that it is about.
const RUN: &str = "
return axe.run(document, { ...arguments[0], resultTypes: ['violations'], iframes: false }).then(({ violations }) => violations.map(
  ({ id, nodes }) => `${id}: ${nodes.slice(0, 3).map(({ html, failureSummary }) => `${html} ${failureSummary}`).join('; ')}`),
  (error) => [String(error)]);";

/// The script itself.
pub struct Axe(String);

impl Axe {
    /// None, and a word on stderr, if it is not here.
    pub fn find() -> Option<Axe> {
        let folder = env::var_os("TEST_PILLARBOX_AXE").map(PathBuf::from);
        let folder = folder.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("target/axe"));
        let script = fs::read_to_string(folder.join("node_modules/axe-core/axe.min.js")).ok();
        if script.is_none() {
            support::missing("the npm package axe-core is not installed");
        }
        script.map(Axe)
    }

    /// # Panics
    /// If it finds anything on the page as it is now.
    #[track_caller]
    pub fn expect_nothing(&self, browser: &Browser, state: &str) {
        self.run(browser, &json!({}), state);
    }

    /// As [`expect_nothing`](Axe::expect_nothing), of what depends on colours alone.
    #[track_caller]
    pub fn expect_no_bad_colours(&self, browser: &Browser, state: &str) {
        self.run(browser, &json!({ "runOnly": ["color-contrast", "link-in-text-block"] }), state);
    }

    #[track_caller]
    fn run(&self, browser: &Browser, options: &Value, state: &str) {
        // What has just come shines for a moment, and its colours are not yet its own.
        browser.wait("document.getAnimations().length === 0");
        if browser.run("return typeof axe;") == "undefined" {
            browser.run(&self.0);
        }
        assert_eq!(browser.run_long(RUN, std::slice::from_ref(options)), Value::Array(Vec::new()), "{state}");
    }
}
