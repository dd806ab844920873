//! How fast a long way back is read, kept and delivered, and how much memory that takes: a sandbox in this process, the
//! daemon in its own, a file on this disk. Nothing counts before the daemon says that it is durable.

mod measured;

use std::collections::HashSet;
use std::process::ExitCode;
use std::time::{Duration, Instant};
use std::{fs, io};

use measured::{Daemon, Figures, Usage};
use serde::Deserialize;
use xdrelay::sandbox::knobs::Knobs;
use xdrelay::sandbox::server::Sandbox;
use xdrelay::sandbox::settings::{Quotas, Settings};
use xdrelay::sandbox::world::World;

const INCIDENTS: u32 = 20_000;
const INCIDENT_BYTES: usize = 10_000;
const DAY: Duration = Duration::from_secs(86_400);
/// The best of so many runs counts: the others say how busy the machine was.
const RUNS: u32 = 3;
/// A run that takes longer has failed.
const RUN_MAX: Duration = Duration::from_secs(300);
/// How often the daemon is looked at. Its peak is missed by as much as it grows in this time before its end.
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// Incidents per second.
const RATE_BAR: f64 = 2000.0;
/// MiB.
const RESIDENT_BAR: f64 = 100.0;

/// One catch-up.
struct Run {
    wall: Duration,
    usage: Usage,
}

fn main() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let sandbox = runtime.block_on(sandbox()).expect("a sandbox on loopback");
    let runs: Vec<Run> = (0..RUNS).map(|_| catch_up(&sandbox).expect("a catch-up")).collect();
    runtime.block_on(sandbox.stop());

    let rate = |time: Duration| f64::from(INCIDENTS) / time.as_secs_f64();
    let fastest = runs.iter().map(|run| run.wall).min().unwrap_or(RUN_MAX);
    let cpu = runs.iter().map(|run| run.usage.cpu).min().unwrap_or(RUN_MAX);
    let peak = runs.iter().map(|run| run.usage.resident_peak).fold(0.0, f64::max);
    let mut figures = Figures::default();
    figures.at_least("catch-up of 20000 incidents of 10 KB, durable", rate(fastest), RATE_BAR, "incidents/s");
    figures.below("resident set of the daemon meanwhile, peak", peak, RESIDENT_BAR, "MiB");
    figures.plain("CPU time of the daemon for it", cpu.as_secs_f64(), "s");
    figures.exit_code()
}

async fn sandbox() -> io::Result<Sandbox> {
    let settings = Settings { quotas: Quotas::lifted(), ..Settings::default() };
    let sandbox = measured::sandbox(World::new(Knobs::still(1)), settings).await?;
    let now = sandbox.now();
    sandbox.world().create_many(INCIDENTS, INCIDENT_BYTES, now.earlier(DAY * 21), now.earlier(DAY));
    Ok(sandbox)
}

/// From the start of the process to its end in good order, which comes after the last event was durable in the file and that
/// was durable in the ledger.
fn catch_up(sandbox: &Sandbox) -> io::Result<Run> {
    let quota = "[quota]\nlist_per_minute = 60000000\nlist_per_hour = 1000000000";
    let start = Instant::now();
    let mut daemon = Daemon::start(sandbox, &["--once"], "start = \"30d\"", quota)?;
    let mut last = None;
    let ended_well = loop {
        last = daemon.usage().or(last);
        if let Some(ended_well) = daemon.ended()? {
            break ended_well;
        }
        assert!(start.elapsed() < RUN_MAX, "the catch-up does not end");
        std::thread::sleep(LOOK_EVERY);
    };
    let wall = start.elapsed();
    assert!(ended_well, "the daemon ended badly");
    assert_eq!(distinct(&fs::read_to_string(daemon.events())?), INCIDENTS as usize, "every incident arrived");
    Ok(Run { wall, usage: last.expect("it was alive for a while") })
}

/// How many different events a file holds.
fn distinct(events: &str) -> usize {
    #[derive(Deserialize)]
    struct Event<'a> {
        event_id: &'a str,
    }
    let id = |line| serde_json::from_str::<Event<'_>>(line).expect("an event").event_id;
    events.lines().map(id).collect::<HashSet<_>>().len()
}
