//! rsyslog is killed again and again in the middle of a stream, over TCP, TLS, and RELP with TLS, and lacks nothing in the end.
//!
//! The promise is "at least once up to the receiver's memory". This rsyslog has no queue: what it has read it writes before
//! it reads on, so that its memory is the kernel's buffer of the connection, and `settle` is many times what that takes to be
//! read. What was not read goes with a kill, and so must be sent again. Over RELP the promise is "at least once": this
//! rsyslog answers what it has written, and no more comes again than was under way without an answer.
//!
//! `STREAM_EVENTS=20000 cargo test --test sinks rsyslog -- --nocapture` is the long run; it prints what happened.

use std::collections::HashMap;
use std::ops::Range;
use std::path::Path;
use std::time::{Duration, Instant};

use xdrelay::sandbox::server::Sandbox;

use crate::harness::{Daemon, Place, QUICK, still, unlimited};
use crate::rsyslog::Rsyslog;

/// Events of one stream where `STREAM_EVENTS` does not say otherwise.
const EVENTS: u32 = 5_000;
/// Bytes of one incident, at least.
const INCIDENT_BYTES: usize = 2_000;
/// How often rsyslog is killed.
const KILLS: u32 = 5;
/// The connection has to be alive for so long after an event. rsyslog reads what its kernel holds in a fraction of that.
const SYSLOG: &str = "kind = \"syslog\"\nsettle = \"4s\"\n";
/// How long the stream may stand still.
const STILL_MAX: Duration = Duration::from_secs(180);
/// How often the receiver is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(5);

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_over_tcp_however_often_rsyslog_is_killed() {
    let keys = |rsyslog: &Rsyslog| format!("{SYSLOG}address = \"tcp://127.0.0.1:{}\"\n", rsyslog.tcp);
    check("TCP", Rsyslog::start_direct, keys, 1..usize::MAX).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_over_tls_however_often_rsyslog_is_killed() {
    let keys = |rsyslog: &Rsyslog| format!("{SYSLOG}{}", secured(rsyslog, rsyslog.tls));
    check("TLS", Rsyslog::start_direct, keys, 1..usize::MAX).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_over_relp_however_often_rsyslog_is_killed() {
    let port = |rsyslog: &Rsyslog| rsyslog.relp.expect("an rsyslog with RELP").1;
    let keys = |rsyslog: &Rsyslog| format!("kind = \"relp\"\n{}", secured(rsyslog, port(rsyslog)));
    let windows = KILLS as usize * 128;
    check("RELP with TLS", Rsyslog::start_relp, keys, 0..windows + 1).await;
}

fn secured(rsyslog: &Rsyslog, port: u16) -> String {
    let (ca, (certificate, key)) = (rsyslog.pki.ca.display(), &rsyslog.pki.client);
    let (certificate, key) = (certificate.display(), key.display());
    let files = format!("ca_file = \"{ca}\", certificate = \"{certificate}\", private_key = \"{key}\"");
    format!("address = \"tls://localhost:{port}\"\ntls = {{ {files} }}\n")
}

/// `repeats`: how many events may come twice.
async fn check(
    transport: &str,
    started: fn(&Path) -> Option<Rsyslog>,
    keys: impl Fn(&Rsyslog) -> String,
    repeats: Range<usize>,
) {
    let count = std::env::var("STREAM_EVENTS").map_or(EVENTS, |text| text.parse().expect("a number"));
    let (place, sandbox) = (Place::new(), history(count).await);
    let Some(mut rsyslog) = started(&place.path("rsyslog")) else { return };
    let siem = format!("[sinks.siem]\n{}\n", keys(&rsyslog));
    let tenant = place.tenant("contoso", &sandbox).replace("start = \"20m\"", "start = \"30d\"");
    place.configure(&[QUICK, &tenant, &siem]);
    let (start, daemon, mut received) = (Instant::now(), Daemon::start(&place), Received::default());
    for _ in 0..KILLS {
        let enough = rsyslog.received_bytes() + u64::from(count) * INCIDENT_BYTES as u64 / u64::from(KILLS + 2);
        wait(&rsyslog, || enough <= rsyslog.received_bytes());
        rsyslog.kill();
        received.take(&rsyslog);
        assert!(received.events.len() < count as usize, "it was not in the middle of the stream");
        rsyslog.restart();
    }
    wait(&rsyslog, || {
        received.take(&rsyslog);
        received.events.len() == count as usize
    });
    let took = start.elapsed();
    assert_eq!(daemon.stop("TERM"), 0, "{}", place.text("daemon.log"));
    received.take(&rsyslog);
    println!(
        "rsyslog over {transport}, killed {KILLS} times: {} of {count} events, {} of them repeated, in {:.1} s",
        received.events.len(),
        received.repeats,
        took.as_secs_f64()
    );
    received.compare(&sandbox);
    let why = "too many came twice, or none: then no kill struck what was in the air, and this proves nothing";
    assert!(repeats.contains(&received.repeats), "{why}");
}

/// A tenant with so many incidents of the last weeks, in which nothing happens any more.
async fn history(count: u32) -> Sandbox {
    let sandbox = still(0, unlimited()).await;
    let (now, day) = (sandbox.now(), Duration::from_secs(86_400));
    sandbox.world().create_many(count, INCIDENT_BYTES, now.earlier(20 * day), now.earlier(day));
    sandbox
}

/// Waits until the condition is true, for as long as rsyslog gets anything at all.
fn wait(rsyslog: &Rsyslog, mut is_true: impl FnMut() -> bool) {
    let (mut bytes, mut since) = (rsyslog.received_bytes(), Instant::now());
    while !is_true() {
        if rsyslog.received_bytes() != bytes {
            (bytes, since) = (rsyslog.received_bytes(), Instant::now());
        }
        assert!(since.elapsed() < STILL_MAX, "rsyslog gets nothing any more, and lacks events; {}", rsyslog.log());
        std::thread::sleep(LOOK_EVERY);
    }
}

/// What rsyslog has written down.
#[derive(Default)]
struct Received {
    /// Where to read on in its file.
    byte: u64,
    /// By `event_id`.
    events: HashMap<String, String>,
    repeats: usize,
}

impl Received {
    /// What came since. What repeats is the same.
    fn take(&mut self, rsyslog: &Rsyslog) {
        for parsed in rsyslog.received_from(&mut self.byte) {
            let event: serde_json::Value = serde_json::from_str(&parsed.msg).expect("an event");
            let id = event["event_id"].as_str().expect("an id").to_owned();
            assert!(parsed.sd.contains(&format!("event_id=\"{id}\"")), "{}", parsed.sd);
            if let Some(before) = self.events.insert(id, parsed.msg.clone()) {
                assert_eq!(before, parsed.msg, "what repeats is the same");
                self.repeats += 1;
            }
        }
    }

    /// Every incident is there, as the API has it.
    fn compare(&self, sandbox: &Sandbox) {
        let there: Vec<&str> =
            self.events.values().map(|event| event.split_once("\"incident\":").expect("one").1).collect();
        let there: std::collections::HashSet<&str> =
            there.iter().map(|rest| rest.strip_suffix('}').expect("whole")).collect();
        let world = sandbox.world();
        let lost: Vec<_> =
            world.rows().by_number().filter(|row| !there.contains(&*row.json)).map(|row| row.number).collect();
        assert!(lost.is_empty(), "{} lost: {lost:?}", lost.len());
    }
}
