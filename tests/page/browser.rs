//! Chromium without a screen, driven by playwright-core (npm) in a process of its own. No test is in here.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, channel};

use serde_json::{Value, json};

use crate::harness::BOUND;
use crate::npm;
use crate::skipped::skipped;

/// The names that Chromium goes by.
const NAMES: [&str; 4] = ["chromium-headless-shell", "chromium", "chromium-browser", "google-chrome"];

/// A browser with one page.
pub(crate) struct Browser {
    driver: Child,
    input: ChildStdin,
    answers: Receiver<String>,
}

impl Browser {
    /// Starts one; none where there is none here, and then somebody was told.
    pub(crate) fn start() -> Option<Self> {
        match Self::try_start() {
            Ok(browser) => Some(browser),
            Err(why) => skipped(&format!("nobody looked at the status page with a browser: {why}")),
        }
    }

    fn try_start() -> Result<Self, String> {
        let chromium = chromium().ok_or("there is no Chromium; apt-get install -y chromium-headless-shell")?;
        let place = npm::installed("page", &["drive.mjs"])?;
        let mut driver = Command::new("node")
            .args(["drive.mjs", &chromium.display().to_string()])
            .current_dir(&place)
            .env("FONTCONFIG_FILE", fonts(&place)?)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("node cannot be run: {error}; install Node.js 20 or newer"))?;
        let (input, output) = (driver.stdin.take().expect("it is piped"), driver.stdout.take().expect("it is piped"));
        let (said, answers) = channel();
        // It ends with the driver.
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                let _ = said.send(line);
            }
        });
        Ok(Self { driver, input, answers })
    }

    /// Does one thing, see `drive.mjs`.
    pub(crate) fn does(&mut self, what: &str, mut with: Value) -> Value {
        with["do"] = what.into();
        writeln!(self.input, "{with}").expect("the driver listens");
        let answer = self.answers.recv_timeout(BOUND).unwrap_or_else(|error| panic!("{with}: {error}"));
        let mut answer: Value = serde_json::from_str(&answer).expect("JSON");
        assert!(answer.get("error").is_none(), "{with}: {answer:#}");
        answer["ok"].take()
    }

    pub(crate) fn open(&mut self, url: &str) {
        self.open_as(url, json!({}));
    }

    /// As [`open`](Self::open), with another screen or taste.
    pub(crate) fn open_as(&mut self, url: &str, mut how: Value) -> u64 {
        how["url"] = url.into();
        self.does("open", how)["status"].as_u64().expect("a status")
    }

    /// Waits until something is there that says this.
    pub(crate) fn see(&mut self, selector: &str, text: &str) {
        self.does("see", json!({ "selector": selector, "text": text }));
    }

    /// Waits until nothing says this any more.
    pub(crate) fn miss(&mut self, selector: &str, text: &str) {
        self.does("miss", json!({ "selector": selector, "text": text }));
    }

    pub(crate) fn click(&mut self, selector: &str, text: &str) {
        self.does("click", json!({ "selector": selector, "text": text }));
    }

    pub(crate) fn write(&mut self, selector: &str, text: &str) {
        self.does("type", json!({ "selector": selector, "text": text }));
    }

    pub(crate) fn press(&mut self, key: &str) {
        self.does("press", json!({ "key": key }));
    }

    /// What everything says that can be seen.
    pub(crate) fn texts(&mut self, selector: &str) -> Vec<String> {
        serde_json::from_value(self.does("texts", json!({ "selector": selector }))).expect("texts")
    }

    pub(crate) fn evaluate(&mut self, script: &str) -> Value {
        self.does("evaluate", json!({ "script": script }))
    }

    /// A picture of the page, in `target/tmp/page` or elsewhere.
    pub(crate) fn shot(&mut self, path: &Path, whole: bool) {
        self.does("shot", json!({ "path": path, "whole": whole }));
    }

    /// The console is silent, nothing failed, and nobody else was asked for anything since the page was opened.
    pub(crate) fn assert_quiet(&mut self, origin: &str) {
        let noted = self.does("noted", json!({}));
        assert_eq!((&noted["console"], &noted["errors"]), (&json!([]), &json!([])), "{noted:#}");
        for url in noted["requests"].as_array().expect("a list") {
            let url = url.as_str().expect("a text");
            assert!(url.starts_with(&format!("{origin}/")) || url.starts_with("data:"), "{url} was asked for");
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Chromium ends with its driver.
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

fn chromium() -> Option<PathBuf> {
    if let Some(path) = std::env::var_os("CHROMIUM") {
        return Some(path.into());
    }
    let path = std::env::var_os("PATH")?;
    let places: Vec<PathBuf> = std::env::split_paths(&path).collect();
    NAMES.iter().flat_map(|name| places.iter().map(move |place| place.join(name))).find(|path| path.is_file())
}

/// Inter in the place of a system's own typeface, where it is here: a server has none worth a picture. Written once, however
/// many tests of this process start a browser at the same time.
fn fonts(place: &Path) -> Result<PathBuf, String> {
    static WRITTEN: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    WRITTEN.get_or_init(|| write_fonts(place)).clone()
}

fn write_fonts(place: &Path) -> Result<PathBuf, String> {
    let prefer = |family: &str| {
        format!(
            "<match target=\"pattern\"><test name=\"family\"><string>{family}</string></test><edit name=\"family\" \
             mode=\"prepend\" binding=\"strong\"><string>Inter</string></edit></match>"
        )
    };
    let text = format!(
        "<?xml version=\"1.0\"?><!DOCTYPE fontconfig SYSTEM \"fonts.dtd\"><fontconfig>\
         <include ignore_missing=\"yes\">/etc/fonts/fonts.conf</include>{}{}</fontconfig>",
        prefer("system-ui"),
        prefer("sans-serif")
    );
    let path = place.join("fonts.conf");
    // Whoever reads it reads all of it.
    let fresh = place.join("fonts.fresh");
    std::fs::write(&fresh, text)
        .and_then(|()| std::fs::rename(&fresh, &path))
        .map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(path)
}
