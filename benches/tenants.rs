//! What hundreds of tenants cost one daemon: 300 of them at the default cadence, each with a sandbox, a sign-in and a quota of its
//! own. The sandboxes live in this process and are not counted.

mod measured;

use std::process::ExitCode;
use std::time::{Duration, Instant};
use std::{fs, io, thread};

use measured::{Daemon, Figures, Usage};
use xdrelay::sandbox::calls::Endpoint;
use xdrelay::sandbox::knobs::Knobs;
use xdrelay::sandbox::server::Sandbox;
use xdrelay::sandbox::settings::Settings;
use xdrelay::sandbox::world::World;

const TENANTS: u32 = 300;
/// Incidents of each tenant: a page of a megabyte.
const INCIDENTS: u32 = 40;
const INCIDENT_BYTES: usize = 25_000;
/// The way back of all of them has to be over by then.
const STARTING_MAX: Duration = Duration::from_secs(600);
/// The first sweeps, and the two that a cursor takes to move.
const SETTLING: Duration = Duration::from_secs(150);
const MEASURED: Duration = Duration::from_secs(120);
/// Percent of one core.
const CPU_BAR: f64 = 100.0;
/// MiB.
const RESIDENT_BAR: f64 = 300.0;
/// Calls of a tenant in a minute, at least: a tail page every three seconds and the sweeps.
const CALLS_BAR: f64 = 15.0;

/// What was seen.
struct Seen {
    before: Usage,
    after: Usage,
    wall: Duration,
    calls: u64,
    /// Until everything of all tenants was delivered.
    started: Duration,
}

fn main() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let sandboxes = runtime.block_on(sandboxes()).expect("sandboxes on loopback");
    let Seen { before, after, wall, calls, started } = many(&sandboxes).expect("a daemon at work");

    let cpu = after.cpu.saturating_sub(before.cpu).as_secs_f64() / wall.as_secs_f64() * 100.0;
    let each = calls as f64 / f64::from(TENANTS) / wall.as_secs_f64() * 60.0;
    let mut figures = Figures::default();
    figures.below("daemon with 300 tenants, resident set", after.resident, RESIDENT_BAR, "MiB");
    figures.below("daemon with 300 tenants, the most it ever had resident", after.resident_peak, RESIDENT_BAR, "MiB");
    figures.below("daemon with 300 tenants, CPU", cpu, CPU_BAR, "% of one core");
    figures.at_least("calls of the API for each of them meanwhile", each, CALLS_BAR, "per minute");
    figures.plain("until all 12000 incidents of the start are delivered", started.as_secs_f64(), "s");
    figures.plain("CPU for that", before.cpu.as_secs_f64(), "s");
    figures.exit_code()
}

async fn sandboxes() -> io::Result<Vec<Sandbox>> {
    let day = Duration::from_secs(86_400);
    let mut sandboxes = Vec::new();
    for number in 0..TENANTS {
        let tenant_id = format!("5a11d0b0-7e57-4000-8000-{number:012}");
        let knobs = Knobs { tenant_id, ..Knobs::still(u64::from(number)) };
        let sandbox = measured::sandbox(World::new(knobs), Settings::default()).await?;
        let now = sandbox.now();
        sandbox.world().create_many(INCIDENTS, INCIDENT_BYTES, now.earlier(day), now.earlier(day / 24));
        sandboxes.push(sandbox);
    }
    Ok(sandboxes)
}

fn calls(sandboxes: &[Sandbox]) -> u64 {
    sandboxes.iter().map(|sandbox| sandbox.calls().arrived(Endpoint::List)).sum()
}

fn many(sandboxes: &[Sandbox]) -> io::Result<Seen> {
    let begun = Instant::now();
    let daemon = Daemon::of_all(&sandboxes.iter().collect::<Vec<_>>(), &[], "start = \"2d\"", "")?;
    let usage = || daemon.usage().ok_or_else(|| io::Error::other("the daemon ended"));
    let wanted = (TENANTS * INCIDENTS) as usize;
    while lines(&daemon) < wanted {
        usage()?;
        assert!(begun.elapsed() < STARTING_MAX, "{} of {wanted} incidents in {STARTING_MAX:?}", lines(&daemon));
        thread::sleep(Duration::from_secs(1));
    }
    let started = begun.elapsed();
    thread::sleep(SETTLING);
    let (before, start, calls_before) = (usage()?, Instant::now(), calls(sandboxes));
    thread::sleep(MEASURED);
    let (after, wall) = (usage()?, start.elapsed());
    assert_eq!(lines(&daemon), wanted, "each once");
    Ok(Seen { before, after, wall, calls: calls(sandboxes) - calls_before, started })
}

fn lines(daemon: &Daemon) -> usize {
    fs::read(daemon.events()).map_or(0, |bytes| bytes.iter().filter(|byte| **byte == b'\n').count())
}
