//! Many seeds on all cores, and what came of them. It knows nothing of what a run is made of.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::fault::Fault;
use crate::invariant::Invariant;
use crate::mistakes::Mistake;
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

/// Runs seeds from this one on until the mistake is found, so many at most.
pub fn kill(mistake: &Mistake, from: u64, seeds_max: u64) -> Option<Killed> {
    (from..from + seeds_max).find_map(|seed| {
        let failure = Simulation::of(seed, mistake).run().err()?;
        let violation = failure.violation;
        Some(Killed { seeds: seed - from + 1, invariant: violation.invariant, what: violation.what })
    })
}

impl Outcome {
    /// Kinds of faults that never happened.
    pub fn unmet(&self) -> Vec<Fault> {
        Fault::ALL.iter().copied().filter(|&fault| self.total.counts.of(fault) == 0).collect()
    }
}
