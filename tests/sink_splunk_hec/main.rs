//! The sink for Splunk's HTTP Event Collector: what a request is, what each answer asks for, what indexer acknowledgement
//! confirms. Tenzir is a real receiver that nobody here wrote; what it never does is shown by a fake of our own.

mod acks;
mod codes;
mod daemon;
#[path = "../daemon/harness.rs"]
mod harness;
#[path = "../receivers/hec.rs"]
mod hec;
#[path = "../sinks/ledger.rs"]
#[allow(dead_code, reason = "one part of it is used")]
mod ledger;
#[path = "../outgoing/mod.rs"]
mod outgoing;
mod requests;
mod settings;
#[path = "../receivers/skipped.rs"]
mod skipped;
#[path = "../receivers/tenzir.rs"]
mod tenzir;
mod understood;
#[path = "../outgoing/why.rs"]
mod why;

use std::time::{Duration, Instant};

use tempfile::TempDir;
use why::why;
use xdrelay::core::courier::DeliverError;
use xdrelay::model::names::{Seq, SinkName};
use xdrelay::sink::{Config, OpenError, Sink};

/// How long anything may take that should happen.
const BOUND: Duration = Duration::from_secs(90);

/// A token in a file, which lasts as long as this.
struct Token {
    dir: TempDir,
}

impl Token {
    fn new(text: &str) -> Self {
        let token = Self { dir: tempfile::tempdir().expect("a directory") };
        token.become_(text);
        token
    }

    fn become_(&self, text: &str) {
        std::fs::write(self.dir.path().join("token"), text).expect("written");
    }

    fn open(&self, url: &str, more: &str) -> Result<Box<dyn Sink>, OpenError> {
        let path = self.dir.path().join("token");
        let config = toml::from_str(&format!("url = {url:?}\ntoken = {{ file = {path:?} }}\n{more}"));
        Config::SplunkHec(config.expect("a config")).open(&SinkName::new("splunk"))
    }

    fn sink(&self, url: &str, more: &str) -> Box<dyn Sink> {
        self.open(url, more).expect("opened")
    }
}

/// Asks the sink how far it got until it says something.
async fn asked(sink: &mut dyn Sink) -> Result<Seq, DeliverError> {
    let start = Instant::now();
    loop {
        match sink.deliver(&[]).await {
            Ok(None) if start.elapsed() < BOUND => tokio::time::sleep(Duration::from_millis(20)).await,
            Ok(None) => panic!("nothing is confirmed within {BOUND:?}"),
            Ok(Some(seq)) => return Ok(seq),
            Err(error) => return Err(error),
        }
    }
}
