//! What a daemon costs while nothing happens: one tenant at the default cadence, a sandbox that is quiet. The sandbox lives in
//! this process and is not counted.

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

const INCIDENTS: u32 = 200;
const INCIDENT_BYTES: usize = 10_000;
/// Start, the way back and the first sweeps are over by then.
const SETTLING: Duration = Duration::from_secs(45);
const MEASURED: Duration = Duration::from_secs(90);
/// Percent of one core.
const CPU_BAR: f64 = 0.5;
/// MiB.
const RESIDENT_BAR: f64 = 30.0;

fn main() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let sandbox = runtime.block_on(sandbox()).expect("a sandbox on loopback");
    let (before, after, wall, calls) = idle(&sandbox).expect("an idle daemon");
    runtime.block_on(sandbox.stop());

    let cpu = after.cpu.saturating_sub(before.cpu).as_secs_f64() / wall.as_secs_f64() * 100.0;
    let mut figures = Figures::default();
    figures.below("idle daemon with one tenant, resident set", after.resident, RESIDENT_BAR, "MiB");
    figures.below("idle daemon with one tenant, CPU", cpu, CPU_BAR, "% of one core");
    figures.plain("calls of the API meanwhile", calls as f64 / wall.as_secs_f64() * 60.0, "per minute");
    figures.exit_code()
}

async fn sandbox() -> io::Result<Sandbox> {
    let sandbox = measured::sandbox(World::new(Knobs::still(1)), Settings::default()).await?;
    let now = sandbox.now();
    let day = Duration::from_secs(86_400);
    sandbox.world().create_many(INCIDENTS, INCIDENT_BYTES, now.earlier(day), now.earlier(day / 24));
    Ok(sandbox)
}

/// Before, after, the time between, and the calls in it.
fn idle(sandbox: &Sandbox) -> io::Result<(Usage, Usage, Duration, u64)> {
    let daemon = Daemon::start(sandbox, &[], "start = \"2d\"", "")?;
    thread::sleep(SETTLING);
    let alive = || daemon.usage().ok_or_else(|| io::Error::other("the daemon ended"));
    let (before, start, calls) = (alive()?, Instant::now(), sandbox.calls().arrived(Endpoint::List));
    assert_eq!(fs::read_to_string(daemon.events())?.lines().count(), INCIDENTS as usize, "it had work and did it");
    thread::sleep(MEASURED);
    let calls = sandbox.calls().arrived(Endpoint::List) - calls;
    assert!(0 < calls, "it is at work still");
    Ok((before, alive()?, start.elapsed(), calls))
}
