//! Many seeds on all cores, and what came of them. It knows nothing of what a run is made of.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use crate::fault::Fault;
use crate::invariant::Invariant;
use crate::mistakes::{Mistake, Planted};
use crate::simulation::{Failure, Report, Simulation};

/// What came of many seeds.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Seeds that were run.
    pub seeds: u64,
    /// All of them together.
    pub total: Report,
    /// Those that broke an invariant.
    pub failures: BTreeMap<u64, Box<Failure>>,
}

/// Failures after which a campaign is given up.
const FAILURES_MAX: usize = 100;

/// Runs these seeds.
pub fn run(seeds: Range<u64>, mistake: &Mistake) -> Outcome {
    let (next, outcome) = (AtomicU64::new(seeds.start), Mutex::new(Outcome::default()));
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seeds.end <= seed {
                return;
            }
            let result = Simulation::of(seed, mistake).run();
            let mut outcome = outcome.lock().expect("nobody panics while it is locked");
            outcome.seeds += 1;
            match result {
                Ok(report) => outcome.total.add(&report),
                Err(failure) => {
                    outcome.total.add(&failure.report);
                    outcome.failures.insert(seed, failure);
                }
            }
            if FAILURES_MAX <= outcome.failures.len() {
                return;
            }
        }
    };
    std::thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(work))));
    outcome.into_inner().expect("nobody panics while it is locked")
}

/// How a mistake was found.
#[derive(Debug, Clone)]
pub struct Killed {
    /// Seeds that were needed.
    pub seeds: u64,
    /// What broke.
    pub invariant: Invariant,
    /// How.
    pub what: String,
}

/// Runs seeds from this one on until the mistake is found, so many at most. A seed that fails without it (with
/// the same layers left out) proves nothing.
pub fn kill(mistake: &Mistake, from: u64, seeds_max: u64) -> Option<Killed> {
    (from..from + seeds_max).find_map(|seed| {
        let failure = Simulation::of(seed, mistake).run().err()?;
        let sound = Mistake { core: None, model: Planted::Nothing, ..*mistake };
        Simulation::of(seed, &sound).run().ok()?;
        let violation = failure.violation;
        Some(Killed { seeds: seed - from + 1, invariant: violation.invariant, what: violation.what })
    })
}

/// The same for all of these, on all cores, in their order.
pub fn kill_all(
    mistakes: &[&Mistake],
    from: u64,
    seeds_max: u64,
    tell: impl Fn(&Mistake, Option<&Killed>) + Sync,
) -> usize {
    let (next, told) = (AtomicUsize::new(0), Mutex::new((0, BTreeMap::new(), 0)));
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let work = || {
        while let Some((n, mistake)) =
            Some(next.fetch_add(1, Ordering::Relaxed)).and_then(|n| Some((n, *mistakes.get(n)?)))
        {
            let killed = kill(mistake, from, seeds_max);
            let mut told = told.lock().expect("nobody panics while it is locked");
            let (shown, waiting, survivors) = &mut *told;
            *survivors += usize::from(killed.is_none() && !mistake.is_masked);
            waiting.insert(n, killed);
            while let Some(killed) = waiting.remove(shown) {
                tell(mistakes[*shown], killed.as_ref());
                *shown += 1;
            }
        }
    };
    std::thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(work))));
    told.into_inner().expect("nobody panics while it is locked").2
}

impl Outcome {
    /// Kinds of faults that never happened.
    pub fn unmet(&self) -> Vec<Fault> {
        Fault::ALL.iter().copied().filter(|&fault| self.total.counts.of(fault) == 0).collect()
    }
}
