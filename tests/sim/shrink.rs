//! Makes a failure small: takes kinds of faults out of its plan and shortens it while an invariant still breaks.

use crate::fault::Fault;
use crate::mistakes::{Mistake, Planted};
use crate::plan::{Plan, SECOND};
use crate::simulation::{Failure, Simulation};

/// The smallest plan that still fails, and how it fails, with the last lines of its trace.
pub fn shrink(plan: &Plan, mistake: &Mistake, lines: usize) -> Option<(Plan, Box<Failure>)> {
    mistake.plant();
    let mut plan = plan.clone();
    let mut failure = fails(&plan, mistake.model)?;
    loop {
        let before = (plan.faults, plan.faulty, plan.source.incidents, plan.sinks.len());
        for &fault in Fault::ALL {
            if plan.faults.has(fault) {
                attempt(&mut plan, &mut failure, mistake.model, |plan| plan.faults = plan.faults.without(fault));
            }
        }
        attempt(&mut plan, &mut failure, mistake.model, |plan| plan.sinks.truncate(1));
        attempt(&mut plan, &mut failure, mistake.model, |plan| plan.neighbours = 0);
        for part in [2, 5, 8] {
            attempt(&mut plan, &mut failure, mistake.model, |plan| {
                plan.source.incidents = plan.source.incidents * part / 10
            });
            attempt(&mut plan, &mut failure, mistake.model, |plan| {
                plan.faulty = (plan.faulty * part / 10 / SECOND).max(1) * SECOND;
            });
        }
        if before == (plan.faults, plan.faulty, plan.source.incidents, plan.sinks.len()) {
            break;
        }
    }
    let failure = Simulation::new(plan.clone(), mistake.model).kept(lines).run().err()?;
    Some((plan, failure))
}

/// A change is kept where the run still breaks the same invariant.
fn attempt(plan: &mut Plan, failure: &mut Box<Failure>, planted: Planted, change: impl Fn(&mut Plan)) {
    let mut smaller = plan.clone();
    change(&mut smaller);
    smaller.derive();
    if let Some(other) = fails(&smaller, planted)
        && other.violation.invariant == failure.violation.invariant
    {
        (*plan, *failure) = (smaller, other);
    }
}

fn fails(plan: &Plan, planted: Planted) -> Option<Box<Failure>> {
    Simulation::new(plan.clone(), planted).run().err()
}
