//! How fast events get to a real rsyslog over TLS, by syslog and by RELP, from the rendered record to the line that rsyslog has
//! written. Needs rsyslog with its modules for TLS and RELP; says so where they are missing.

mod measured;
#[path = "../tests/outgoing/mod.rs"]
mod outgoing;
#[path = "../tests/receivers/rsyslog.rs"]
mod rsyslog;
#[path = "../tests/receivers/skipped.rs"]
mod skipped;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use measured::Figures;
use rsyslog::Rsyslog;
use xdrelay::model::names::{Seq, SinkName};
use xdrelay::sink::{Config, Sink};

const EVENTS: u64 = 20_000;
const INCIDENT_BYTES: usize = 4_000;
/// Events in one call, as the courier makes them.
const BATCH: usize = 100;
/// Events per second.
const BAR: f64 = 2_000.0;
/// How long everything may take at most.
const BOUND: Duration = Duration::from_secs(120);

fn main() -> ExitCode {
    let mut figures = Figures::default();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    for (name, has_relp) in [("syslog", false), ("RELP", true)] {
        let dir = tempfile::tempdir().expect("a directory");
        let started = if has_relp { Rsyslog::start_relp(dir.path()) } else { Rsyslog::start(dir.path()) };
        let Some(receiver) = started else { return ExitCode::FAILURE };
        let config = config(&receiver, has_relp);
        let sink = config.open(&SinkName::new("siem")).expect("a sink");
        let speed = runtime.block_on(speed(sink, &receiver));
        figures.at_least(&format!("events of 4 KB by {name} over TLS, written by rsyslog"), speed, BAR, "events/s");
    }
    figures.exit_code()
}

fn config(receiver: &Rsyslog, has_relp: bool) -> Config {
    let port = if has_relp { receiver.relp.expect("it was started with RELP").1 } else { receiver.tls };
    let (certificate, key) = &receiver.pki.client;
    let keys = format!(
        "address = 'tls://localhost:{port}'\n[tls]\nca_file = '{}'\ncertificate = '{}'\nprivate_key = '{}'",
        receiver.pki.ca.display(),
        certificate.display(),
        key.display()
    );
    match has_relp {
        true => Config::Relp(toml::from_str(&keys).expect("the keys of a relp sink")),
        false => Config::Syslog(toml::from_str(&keys).expect("the keys of a syslog sink")),
    }
}

/// Events per second, from the first that is handed over to the last that rsyslog has written.
async fn speed(mut sink: Box<dyn Sink>, receiver: &Rsyslog) -> f64 {
    let events = outgoing::several(1..=EVENTS, INCIDENT_BYTES);
    let least = events.iter().map(|event| event.body.len() as u64).sum::<u64>();
    let start = Instant::now();
    let mut confirmed = None;
    for batch in events.chunks(BATCH) {
        confirmed = sink.deliver(batch).await.expect("rsyslog takes them").max(confirmed);
    }
    // Its lines are longer than the records. Counting them while it writes would slow it down.
    while receiver.received_bytes() < least {
        assert!(start.elapsed() < BOUND, "rsyslog has written {} of {least} B", receiver.received_bytes());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let took = start.elapsed().as_secs_f64();
    while confirmed < Some(Seq(EVENTS)) {
        assert!(start.elapsed() < BOUND, "{confirmed:?} is confirmed");
        confirmed = sink.deliver(&[]).await.expect("it stays").max(confirmed);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let came = receiver.wait_for_received(events.len()).len();
    assert_eq!(came, events.len(), "each once");
    events.len() as f64 / took
}
