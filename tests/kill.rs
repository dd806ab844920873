//! `kill -9` at random under a world that lives, and what is left of the promises afterwards: nothing is lost, what repeats is
//! the same, no line is torn, no quota is broken.
//!
//! `KILL_FOR=2m QUOTA_CYCLES=100 cargo test --release --test kill -- --nocapture` is the long run; it prints what happened.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use rand::RngExt;
use xdrelay::model::timestamp::Timestamp;
use xdrelay::sandbox::calls::Endpoint;
use xdrelay::sandbox::knobs::{Knobs, Pace};
use xdrelay::sandbox::server::Sandbox;
use xdrelay::sandbox::settings::Settings;
use xdrelay::sandbox::world::Truth;

use crate::harness::{Arrival, BOUND, Daemon, Place, QUICK, assert_whole_lines, duration, sandbox, unlimited};

#[path = "daemon/harness.rs"]
mod harness;

/// How long to kill.
const KILL_FOR: Duration = Duration::from_secs(12);
/// How often to kill at least, however slow the machine is.
const KILLS_MIN: u32 = 8;
/// That of [`QUICK`].
const OVERLAP: Duration = Duration::from_secs(60);
/// How late a change becomes visible at most; well within the overlap.
const LATE_MAX: Duration = Duration::from_secs(10);
/// How often the world goes on.
const STEP: Duration = Duration::from_millis(1);
/// How long a good moment to kill is waited for.
const AIM_MAX: Duration = Duration::from_secs(5);
/// The documented quota of the list.
const PER_MINUTE: usize = 50;

fn wild() -> Knobs {
    let every = Duration::from_millis;
    let wild = Knobs::wild(rand::random());
    let pace = Pace { create: every(120), update: every(60), vanish: every(3_000), ..wild.pace };
    Knobs { pace, size_max: 60_000, late_max: LATE_MAX, ..wild }
}

/// Lets the world live for a while, or until something happens; it stands still in between.
fn live_on(sandbox: &Sandbox, span: Duration, has_happened: impl Fn() -> bool) {
    let start = Instant::now();
    while start.elapsed() < span && !has_happened() {
        let now = sandbox.now();
        sandbox.world().advance(now);
        std::thread::sleep(STEP);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_however_often_it_is_killed() {
    let (place, sandbox) = (Place::new(), sandbox(wild(), unlimited()).await);
    let tenant = place.tenant("contoso", &sandbox).replace("start = \"20m\"", "start = \"7h\"");
    place.configure(&[QUICK, &tenant, &place.file_sink("file")]);
    let (start, file) = (Instant::now(), place.path("file.ndjson"));
    let (mut kills, span) = (0, duration("KILL_FOR", KILL_FOR));
    while start.elapsed() < span || kills < KILLS_MIN {
        let daemon = Daemon::launch(&place);
        aim(&place, &sandbox);
        daemon.kill();
        kills += 1;
    }
    let daemon = Daemon::start(&place);
    let due = due(&sandbox);
    let start = Instant::now();
    while !lost(&due, &place.arrivals("file")).is_empty() && start.elapsed() < BOUND {
        std::thread::sleep(STEP);
    }
    assert_eq!(daemon.stop("TERM"), 0, "{}", place.text("daemon.log"));
    assert_whole_lines(&file);
    let arrivals = place.arrivals("file");
    let repeats = assert_honest(&arrivals, &sandbox);
    let lost = lost(&due, &arrivals);
    println!(
        "{kills} kills in {} s: {} revisions due, {} events, {repeats} repeats, lost {}",
        span.as_secs(),
        due.len(),
        arrivals.len() - repeats,
        lost.len()
    );
    assert!(lost.is_empty(), "lost: {lost:#?}\n{}", place.text("daemon.log"));
    assert!(50 < due.len(), "too little happened to prove anything");
}

/// Waits for the moment to kill: any, from before the ledger is open; right behind a write to the file, before it is
/// acknowledged; or right behind one of the writes to the ledger.
fn aim(place: &Place, sandbox: &Sandbox) {
    let (file, ledger) = (place.path("file.ndjson"), place.state().join("sled/db"));
    let mut rng = rand::rng();
    let any = Duration::from_millis(rng.random_range(20..1_500));
    match rng.random_range(0..3) {
        0 => live_on(sandbox, any, || false),
        1 => {
            let before = written(&file);
            live_on(sandbox, AIM_MAX, || written(&file) != before);
        }
        _ => {
            for _ in 0..rng.random_range(1..20) {
                let before = written(&ledger);
                live_on(sandbox, AIM_MAX / 10, || written(&ledger) != before);
            }
        }
    }
}

fn written(file: &Path) -> Option<SystemTime> {
    std::fs::metadata(file).and_then(|metadata| metadata.modified()).ok()
}

/// What is current, once everything that is late has become visible; and what was current for as long as a sweep looks back.
fn due(sandbox: &Sandbox) -> Vec<Truth> {
    let end = sandbox.now().later(LATE_MAX + Duration::from_secs(1));
    let is_due = |truth: &Truth| match truth.until {
        Some(until) => end < until || OVERLAP <= until.since(truth.from),
        None => true,
    };
    let truth = sandbox.world().truth();
    truth.into_iter().filter(|truth| truth.from <= end && is_due(truth)).collect()
}

/// What is due and has not arrived, by incident and time; [`assert_honest`] looks at the contents.
///
/// A content that changes without `lastUpdateTime` is found only while a sweep reads that far back, and is held back for ten
/// minutes where it changes again: there any content of that time will do.
fn lost(due: &[Truth], arrivals: &[Arrival]) -> Vec<String> {
    let mut times = BTreeSet::new();
    for arrival in arrivals {
        let header = arrival.header();
        times.insert((header.id.as_str().to_owned(), header.last_update));
    }
    let key = |truth: &Truth| (truth.revision.number.to_string(), truth.revision.last_update);
    let missing = due.iter().filter(|truth| !times.contains(&key(truth)));
    missing.map(|truth| format!("{} of {}", truth.revision.number, truth.revision.last_update)).collect()
}

/// What arrived is what the API had, what repeats is the same, and first deliveries of an incident are in the order of
/// their times. Returns how many repeat.
fn assert_honest(arrivals: &[Arrival], sandbox: &Sandbox) -> usize {
    let truth = sandbox.world().truth();
    let mut contents: HashMap<(u64, Timestamp), BTreeSet<String>> = HashMap::new();
    for Truth { revision, .. } in &truth {
        let of = contents.entry((revision.number.0, revision.last_update)).or_default();
        of.insert(revision.json.to_string());
    }
    let (mut first, mut latest) = (HashMap::new(), BTreeMap::new());
    for arrival in arrivals {
        let header = arrival.header();
        let incident = arrival.incident.get();
        let number = header.id.as_str().parse().expect("a number");
        let known = contents.get(&(number, header.last_update));
        assert!(known.is_some_and(|known| known.contains(incident)), "the API never had this: {incident}");
        match first.insert(arrival.event_id.as_str(), (arrival.sequence, incident)) {
            Some(before) => assert_eq!(before, (arrival.sequence, incident), "{} changed", arrival.event_id),
            None => {
                let before = latest.insert(number, header.last_update).unwrap_or_default();
                assert!(before <= header.last_update, "{} came behind a later revision", arrival.event_id);
            }
        }
    }
    arrivals.len() - first.len()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_quota_holds_however_often_it_is_killed() {
    let cycles: u32 = std::env::var("QUOTA_CYCLES").map_or(25, |text| text.parse().expect("a number"));
    let settings = Settings { live: Some(Duration::from_millis(50)), ..Settings::default() };
    let (place, sandbox) = (Place::new(), sandbox(wild(), settings).await);
    place.configure(&[&place.tenant("contoso", &sandbox), &place.file_sink("file")]);
    let start = Instant::now();
    for _ in 0..cycles {
        let daemon = Daemon::launch(&place);
        std::thread::sleep(Duration::from_millis(rand::rng().random_range(100..1_000)));
        daemon.kill();
    }
    let took = start.elapsed();
    let calls = sandbox.calls();
    let (peak, refused) = (calls.list_peak().minute(), calls.answered(Endpoint::List, 429));
    let asked = calls.arrived(Endpoint::List);
    println!(
        "{cycles} kills in {} s: {asked} list calls, {peak} in the fullest minute, {refused} answered 429",
        took.as_secs()
    );
    assert!(peak <= PER_MINUTE, "{peak} calls in one minute");
    assert_eq!(refused, 0);
    // A quota that is forgotten at each kill would be broken only by many kills; this shows with few.
    let paced = 3 + (took.as_secs_f64() * PER_MINUTE as f64 / 60.0).ceil() as u64;
    assert!(asked <= paced, "{asked} calls in {took:?}, where the pace allows {paced}");
    assert!(cycles / 10 <= u32::try_from(asked).expect("few"), "too few calls to prove anything");
}
