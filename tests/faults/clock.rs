//! Our own clock, set back and forward by libfaketime while the daemon runs and between two runs of it: the quota holds, and
//! the cursor, which is the source's time, stays where it is.

use std::path::Path;
use std::time::{Duration, Instant};

use xdrelay::model::timestamp::Timestamp;
use xdrelay::sandbox::calls::Endpoint;
use xdrelay::sandbox::knobs::{Knobs, Pace};
use xdrelay::sandbox::settings::{Limits, Quotas, Settings};

use crate::harness::{Daemon, Place, sandbox, small, wait_for};
use crate::skipped::skipped;
use crate::truth::{assert_once, missing};

/// The documented quota of the list.
const PER_MINUTE: usize = 50;
const PER_HOUR: u32 = 3_600;
/// Where our clock stands at each start, and what it is set to while the daemon runs.
const SETTINGS: [(&str, &str); 3] = [("+0", "-1d"), ("-1d", "+10y"), ("-10y", "+1d")];
/// Where the packages of the usual distributions put it.
const LIBRARIES: [&str; 4] = [
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib64/faketime/libfaketimeMT.so.1",
    "/usr/lib/faketime/libfaketimeMT.so.1",
];

/// The library, or a word about what is not tested.
pub(crate) fn library() -> Option<&'static str> {
    let found = LIBRARIES.into_iter().find(|path| Path::new(path).exists());
    found.or_else(|| skipped("libfaketime is not here, so nobody sets the clock; apt-get install faketime"))
}

/// A daemon whose wall clock is off by what the file says; its monotonic time goes on as it is, as when somebody sets a clock.
fn launch(place: &Place, library: &str) -> Daemon {
    let file = place.path("clock").display().to_string();
    let environment = [
        ("LD_PRELOAD", library),
        ("FAKETIME_TIMESTAMP_FILE", &file),
        ("FAKETIME_CACHE_DURATION", "1"),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
        ("FAKETIME_DONT_RESET", "1"),
    ];
    let mut daemon = Daemon::launch_in(place, &environment);
    daemon.wait_until_it_runs();
    daemon
}

fn cursor(place: &Place) -> Option<Timestamp> {
    let status = place.command(&["status", "--json"]).json();
    status["tenants"]["contoso"]["cursor"].as_str().and_then(|text| text.parse().ok())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_set_moves_neither_the_cursor_nor_the_quota() {
    let Some(library) = library() else { return };
    let every = Duration::from_millis;
    let knobs = Knobs { pace: Pace { create: every(2_500), update: every(3_500), ..Pace::default() }, ..small() };
    let place = Place::new();
    // The minute is what this is about: with the documented hour, what a lost record costs is minutes of waiting.
    let quotas =
        Quotas { list: Some(Limits { per_minute: PER_MINUTE as u32, per_hour: PER_HOUR }), ..Quotas::default() };
    let sandbox = sandbox(knobs, Settings { live: Some(every(50)), quotas, ..Settings::default() }).await;
    // So much to read that nearly every call is made which the quota allows.
    let now = sandbox.now();
    sandbox.world().create_many(40, 2_000, now.earlier(every(600_000)), now.earlier(every(10_000)));
    let poll = "[poll]\npage_size = 20\noverlap = \"1m\"\nsweep_every = \"5s\"\n\n[quota]\nlist_per_hour = 3600\n\n";
    place.configure(&[poll, &place.tenant("contoso", &sandbox), &place.file_sink("file")]);
    let asked = || sandbox.calls().arrived(Endpoint::List);
    let (start, mut skews) = (Instant::now(), Vec::new());
    for (at_start, later) in SETTINGS {
        place.write("clock", at_start);
        let daemon = launch(&place, library);
        let (before, events) = (asked(), place.arrivals("file").len());
        wait_for("calls", || before + 3 <= asked());
        place.write("clock", later);
        let before = asked();
        wait_for("calls on the new time", || before + 4 <= asked());
        wait_for("events", || events < place.arrivals("file").len());
        wait_for("a cursor", || cursor(&place).is_some());
        let cursor = cursor(&place).expect("just seen");
        assert!(cursor <= sandbox.now(), "{at_start} then {later}: the cursor is {cursor}");
        assert!(
            sandbox.now().earlier(Duration::from_secs(3_600)) <= cursor,
            "{at_start} then {later}: the cursor is {cursor}"
        );
        skews.push(
            place.command(&["status", "--json"]).json()["tenants"]["contoso"]["clock_skew_seconds"]
                .as_f64()
                .unwrap_or_default(),
        );
        if skews.len() == SETTINGS.len() {
            wait_for("everything", || missing(&sandbox, "contoso", &place.arrivals("file")).len() < 3);
            wait_for("a minute with enough calls to prove something", || {
                PER_MINUTE / 2 < sandbox.calls().list_peak().minute()
            });
        }
        assert_eq!(daemon.stop("TERM"), 0, "{}", place.text("daemon.log"));
    }
    let took = start.elapsed();
    assert_once(&place.arrivals("file"));
    let calls = sandbox.calls();
    let (peak, refused) = (calls.list_peak().minute(), calls.answered(Endpoint::List, 429));
    println!(
        "{} list calls in {} s, {peak} in the fullest minute, {refused} answered 429; skews {skews:?}",
        asked(),
        took.as_secs()
    );
    assert!(peak <= PER_MINUTE && refused == 0, "{peak} calls in one minute, {refused} answered 429");
    assert!(skews.iter().any(|skew| 3_600.0 < skew.abs()), "the clock was never off: {skews:?}");
}
