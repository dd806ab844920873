//! `provider.mjs` as a child process: a certified OAuth server that says what it grants and why it refuses.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use serde_json::Value;
use url::Url;

use crate::harness::wait_for;
use crate::npm::installed;
use crate::skipped::skipped;

/// The directory that it plays.
pub(crate) const TENANT: &str = "11111111-2222-3333-4444-555555555555";
/// What tokens are for.
pub(crate) const AUDIENCE: &str = "https://api.security.microsoft.com";

/// A running server. It is killed when the test ends.
pub(crate) struct Provider {
    child: Child,
    said: Arc<Mutex<Vec<Value>>>,
    /// Outcomes that the test has heard of.
    heard: usize,
    pub(crate) url: Url,
}

impl Provider {
    /// Starts with these clients; tokens live so many seconds. None where it cannot be installed, and then somebody was told.
    pub(crate) fn start(life: u32, clients: Value) -> Option<Self> {
        let place = match installed("identity", &["provider.mjs"]) {
            Ok(place) => place,
            Err(why) => return skipped(&format!("the npm packages of tests/identity cannot be installed: {why}")),
        };
        let settings = serde_json::json!({ "tenant": TENANT, "audience": AUDIENCE, "life": life, "clients": clients });
        let (mut child, said) = spawn(&place, &settings.to_string());
        let mut url = None;
        wait_for("the provider to listen", || {
            if let Some(status) = child.try_wait().expect("its state") {
                panic!("the provider ended with {status}");
            }
            let said = said.lock().expect("no panic");
            url = said.iter().find_map(|what| what["listening"].as_str()?.parse().ok());
            url.is_some()
        });
        Some(Self { child, said, heard: 0, url: url.expect("just seen") })
    }

    /// What became of the next token request, in the order that they were made: `granted ID` or `refused WHY`. Its output may
    /// come a moment after its answer.
    pub(crate) fn next(&mut self) -> String {
        let place = self.heard;
        self.heard += 1;
        wait_for("the provider to say what it did", || place < self.outcomes().len());
        self.outcomes()[place].clone()
    }

    /// What became of all token requests so far.
    pub(crate) fn outcomes(&self) -> Vec<String> {
        let said = self.said.lock().expect("no panic");
        let outcome = |what: &Value, how: &str| Some(format!("{how} {}", what[how].as_str()?.trim()));
        said.iter().filter_map(|what| outcome(what, "granted").or_else(|| outcome(what, "refused"))).collect()
    }

    /// By which of the registered certificates assertions were signed, in turn.
    pub(crate) fn certificates(&self) -> Vec<u64> {
        let said = self.said.lock().expect("no panic");
        said.iter().filter_map(|what| what["certificate"].as_u64()).collect()
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(place: &Path, settings: &str) -> (Child, Arc<Mutex<Vec<Value>>>) {
    let mut child = Command::new("node")
        .args(["provider.mjs", settings])
        .current_dir(place)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("npm is here, and so is node");
    let output = BufReader::new(child.stdout.take().expect("it is piped"));
    let said = Arc::new(Mutex::new(Vec::new()));
    let copy = Arc::clone(&said);
    // Ends with the child.
    std::thread::spawn(move || {
        for line in output.lines().map_while(Result::ok) {
            copy.lock().expect("no panic").extend(serde_json::from_str(&line).ok());
        }
    });
    (child, said)
}
