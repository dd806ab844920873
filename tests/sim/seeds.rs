//! The ordinary run: a few hundred seeds hold every invariant, and the simulation is what it says it is. `./test simulation` runs as
//! many as one likes.

use xdrelay_simulation::campaign;
use xdrelay_simulation::fault::Fault;
use xdrelay_simulation::mistakes::{self, Mistake};
use xdrelay_simulation::plan::Plan;
use xdrelay_simulation::shrink::shrink;
use xdrelay_simulation::simulation::Simulation;

/// Seeds; `./test simulation` takes more.
const SEEDS: u64 = 300;
/// Seeds in which each mistake has to be found.
const SEEDS_OF_MISTAKE: u64 = 400;

#[test]
fn nothing_is_lost_repeated_or_out_of_order_in_any_seed() {
    let outcome = campaign::run(0..SEEDS, &Mistake::NONE);
    println!("{} seeds: {}", outcome.seeds, outcome.total);
    if let Some((seed, failure)) = outcome.failures.first_key_value() {
        panic!("./test simulation seed {seed}: {}", failure.violation);
    }
    // Fewer would be no reason to be calm.
    let often = Fault::ALL.iter().filter(|&&fault| 0 < outcome.total.counts.of(fault)).count();
    assert!(Fault::ALL.len() - 2 <= often, "{:?} never happened", outcome.unmet());
}

#[test]
fn the_same_seed_gives_the_same_trace_and_another_one_another() {
    let trace = |seed| Simulation::of(seed, &Mistake::NONE).run().map(|report| report.trace).ok();
    for seed in [3, 7, 77, 1001] {
        assert_eq!(trace(seed), trace(seed), "seed {seed}");
        assert_ne!(trace(seed), trace(seed + 1), "seed {seed}");
    }
}

#[test]
fn keeping_lines_changes_nothing() {
    let plain = Simulation::of(5, &Mistake::NONE).run().expect("seed 5 holds");
    let kept = Simulation::of(5, &Mistake::NONE).kept(100).run().expect("seed 5 holds");
    assert_eq!(plain, kept);
}

#[test]
fn every_mistake_is_found() {
    let all: Vec<_> = mistakes::ALL.iter().collect();
    let survivors = campaign::kill_all(&all, 0, SEEDS_OF_MISTAKE, |mistake, killed| {
        if killed.is_none() && !mistake.is_masked {
            println!("not found: {}", mistake.name);
        }
    });
    assert_eq!(survivors, 0);
}

#[test]
fn what_another_layer_makes_good_is_found_without_that_layer() {
    for masked in mistakes::ALL.iter().filter(|mistake| mistake.is_masked) {
        let alone = |other: &&Mistake| other.name == masked.name && other.without.is_some();
        assert!(mistakes::ALL.iter().any(|other| alone(&other)), "{}", masked.name);
    }
}

#[test]
fn a_failure_is_made_small_and_told() {
    let mistake = mistakes::ALL.iter().find(|mistake| mistake.name == "no overlap").expect("it is in the list");
    let found = (0..SEEDS_OF_MISTAKE).map(Plan::of).find_map(|plan| Some((shrink(&plan, mistake, 50)?, plan)));
    let ((small, failure), plan) = found.expect("a seed finds it");
    assert!(small.faults.iter().count() < plan.faults.iter().count() && small.faulty <= plan.faulty);
    assert!(!failure.lines.is_empty() && failure.lines.len() <= 50);
    assert!(failure.lines.iter().any(|line| line.contains("POSITION")), "{:?}", failure.lines);
}
