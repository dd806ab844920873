//! The process itself, ended in good order while it has its hands full. State directories that are not ours or are too new
//! are in `tests/daemon/lifecycle.rs` and `tests/store/damage.rs`.

use std::time::{Duration, Instant};

use rand::RngExt;
use xdrelay::sandbox::calls::Endpoint;
use xdrelay::sandbox::faults::Fault;

use crate::IMPATIENT;
use crate::harness::{Daemon, Place, assert_whole_lines, in_both_dialects, lively, wait_for};
use crate::truth::{assert_once, missing_in};

/// `grace` of the harness.
const GRACE: Duration = Duration::from_secs(10);
/// Stops under load.
const STOPS: usize = 4;

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_under_load_ends_within_the_grace_and_repeats_nothing() {
    in_both_dialects(|dialect| async move {
        let (place, sandbox) = (Place::speaking(dialect), lively().await);
        let now = sandbox.now();
        sandbox.world().create_many(
            1_000,
            2_000,
            now.earlier(Duration::from_secs(900)),
            now.earlier(Duration::from_secs(10)),
        );
        // Some calls hang, and some answers take their time: there is always something in the air.
        sandbox.faults().often(Endpoint::list(dialect), 0.1, Fault::Stall);
        sandbox.faults().often(
            Endpoint::list(dialect),
            0.3,
            Fault::Slow { pieces: 5, pause: Duration::from_millis(50) },
        );
        let slow = "[sinks.slow]\nkind = \"http\"\nurl = \"http://127.0.0.1:9/\"\n\n";
        place.configure(&[IMPATIENT, &place.tenant("contoso", &sandbox), &place.file_sink("file"), slow]);
        let mut slowest = Duration::ZERO;
        for _ in 0..STOPS {
            let before = place.arrivals("file").len();
            let daemon = Daemon::start(&place);
            wait_for("events", || before + 20 <= place.arrivals("file").len());
            let wait = Duration::from_millis(rand::rng().random_range(0..400));
            let start = Instant::now();
            while start.elapsed() < wait {
                std::thread::yield_now();
            }
            let told = Instant::now();
            assert_eq!(daemon.stop("TERM"), 0, "{}", place.text("daemon.log"));
            slowest = slowest.max(told.elapsed());
            assert_whole_lines(&place.path("file.ndjson"));
        }
        assert!(!place.text("daemon.log").contains("the grace period is over"), "{}", place.text("daemon.log"));
        sandbox.faults().clear();
        let daemon = Daemon::start(&place);
        // What is there now, as long as nothing takes its place.
        let due = missing_in(dialect, &sandbox, "contoso", &[]);
        wait_for("everything", || {
            let missing = missing_in(dialect, &sandbox, "contoso", &place.arrivals("file"));
            !due.iter().any(|row| missing.contains(row))
        });
        assert_eq!(daemon.stop("TERM"), 0);
        assert_once(&place.arrivals("file"));
        println!(
            "{STOPS} stops under load, the slowest took {slowest:?} of {GRACE:?}; {} events, none twice",
            place.arrivals("file").len()
        );
    });
}
