//! The first simulation: the real poller, courier, quota and judgement against a hostile model of everything else. Time is
//! simulated; the same seed gives the same trace. A failure prints its seed: `SEED=n cargo test --test sim`.

mod ledger;
mod server;
mod simulation;

use simulation::{Report, Simulation};

/// Seeds in the ordinary run; `SEEDS=100000 cargo test --release --test sim` for more.
const SEEDS: u64 = 40;

fn seeds() -> std::ops::Range<u64> {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    match (number("SEED"), number("SEEDS")) {
        (Some(seed), _) => seed..seed + 1,
        (None, seeds) => 0..seeds.unwrap_or(SEEDS),
    }
}

#[test]
fn nothing_is_lost_repeated_or_out_of_order_in_any_seed() {
    let mut total = Report::default();
    for seed in seeds() {
        match Simulation::new(seed).run() {
            Ok(report) => total.add(&report),
            Err(violation) => panic!("SEED={seed}: {violation}"),
        }
    }
    println!("{total}");
    assert!(0 < total.crashes && 0 < total.late_rows && 0 < total.failed_calls && 0 < total.moved_cursors);
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    for seed in [3, 77] {
        let trace = || Simulation::new(seed).run().map(|report| report.trace);
        assert_eq!(trace(), trace());
    }
}
