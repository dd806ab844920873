//! Python's HTTP server, which takes, refuses, hangs, closes and loses answers as it is told (`http_faulty.py`).
#![allow(dead_code, reason = "each test uses its own part")]

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde::Deserialize;

use crate::skipped::skipped;

/// The server. It ends with the test.
pub(crate) struct Faulty {
    process: Child,
    requests: PathBuf,
    port: u16,
}

/// One request, and what was done with it.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Request {
    /// As `http_faulty.py` calls it.
    pub(crate) what: String,
    /// Its events are at the far side, whatever was answered.
    pub(crate) kept: bool,
    /// `Idempotency-Key`.
    pub(crate) key: String,
    /// Its events, where all of it was read.
    pub(crate) lines: Vec<String>,
}

impl Faulty {
    /// Starts one that takes everything, and writes down its requests in this file. `None` where Python is not installed and
    /// this is not CI: then the test says so and ends.
    pub(crate) fn start(requests: &Path) -> Option<Self> {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/receivers/http_faulty.py");
        let mut python = Command::new("python3");
        python.arg(script).arg(requests).stdin(Stdio::piped()).stdout(Stdio::piped());
        let Ok(mut process) = python.spawn() else {
            return skipped("python3 is missing: apt-get install python3");
        };
        let mut port = String::new();
        let mut said = BufReader::new(process.stdout.take().expect("piped"));
        said.read_line(&mut port).expect("a port");
        let port = port.trim().parse().expect("a port");
        Some(Self { process, requests: requests.to_owned(), port })
    }

    /// Where to post to.
    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}/ingest", self.port)
    }

    /// Gives an order, as `http_faulty.py` describes them.
    pub(crate) fn order(&self, order: &serde_json::Value) {
        let mut stdin = self.process.stdin.as_ref().expect("piped");
        stdin.write_all(format!("{order}\n").as_bytes()).expect("it listens");
    }

    /// The requests up to now.
    pub(crate) fn requests(&self) -> Vec<Request> {
        let text = String::from_utf8_lossy(&std::fs::read(&self.requests).unwrap_or_default()).into_owned();
        let lines = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
        lines.map(|line| serde_json::from_str(line).expect("a request")).collect()
    }
}

impl Drop for Faulty {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
