//! `./test simulation`: runs seeds, or plants the mistakes, and prints what came of it.

use std::process::ExitCode;
use std::time::Instant;

use xdrelay_simulation::campaign::{self, Killed};
use xdrelay_simulation::fault::Fault;
use xdrelay_simulation::mistakes::{self, Mistake};
use xdrelay_simulation::plan::Plan;
use xdrelay_simulation::shrink::shrink;
use xdrelay_simulation::simulation::Simulation;

/// Seeds of an ordinary run, and the most that a mistake may need.
const SEEDS: u64 = 3000;
const SEEDS_OF_MISTAKE: u64 = 400;
/// Lines of a minimised trace that are printed.
const LINES: usize = 60;

const USAGE: &str = "usage: simulation [seeds] [--seeds N] [--from SEED] | mistakes [--seeds N] [--from SEED] [NAME] | seed SEED [LINES] | trace SEED";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(why) => {
            eprintln!("{why}\n{USAGE}");
            ExitCode::from(64)
        }
    }
}

fn run(arguments: &[String]) -> Result<bool, String> {
    let (mut seeds, mut from, mut words) = (None, 0, Vec::new());
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        let mut number = || {
            let text = rest.next().ok_or_else(|| format!("{argument} wants a number"))?;
            text.parse::<u64>().map_err(|error| format!("{text}: {error}"))
        };
        match argument.as_str() {
            "--seeds" => seeds = Some(number()?),
            "--from" => from = number()?,
            option if option.starts_with('-') => return Err(format!("there is no option {option}")),
            word => words.push(word),
        }
    }
    match words.as_slice() {
        [] | ["seeds"] => Ok(run_seeds(from, seeds.unwrap_or(SEEDS))),
        ["mistakes"] => Ok(plant(from, seeds.unwrap_or(SEEDS_OF_MISTAKE), None)),
        ["mistakes", name] => Ok(plant(from, seeds.unwrap_or(SEEDS_OF_MISTAKE), Some(name))),
        ["seed", seed] => show(seed, LINES),
        ["seed", seed, lines] => show(seed, lines.parse().map_err(|error| format!("{lines}: {error}"))?),
        ["trace", seed] => trace(seed),
        [other, ..] => Err(format!("what is {other:?}?")),
    }
}

fn run_seeds(from: u64, seeds: u64) -> bool {
    let start = Instant::now();
    let outcome = campaign::run(from..from + seeds, &Mistake::NONE);
    let (total, took) = (&outcome.total, start.elapsed().as_secs_f64());
    println!("faults by kind:");
    for &fault in Fault::ALL {
        println!("  {:32} {:>9}", fault.name(), total.counts.of(fault));
    }
    println!("{} seeds from {from}: {total}", outcome.seeds);
    let simulated = total.simulated as f64 / 1e9;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    println!("{took:.1} s on {cores} cores, {:.0} times real time per core", simulated / took / cores as f64);
    println!("violations: {}", outcome.failures.len());
    for (seed, failure) in &outcome.failures {
        println!("  seed {seed}: {}", failure.violation);
    }
    if let Some((&seed, _)) = outcome.failures.first_key_value() {
        minimise(seed, &Mistake::NONE, LINES);
    }
    let unmet = outcome.unmet();
    if !unmet.is_empty() && 1000 <= seeds {
        println!("faults that never happened: {unmet:?}");
        return false;
    }
    outcome.failures.is_empty()
}

/// Runs one seed, and makes it small where it fails.
fn show(seed: &str, lines: usize) -> Result<bool, String> {
    let seed = seed.parse().map_err(|error| format!("{seed}: {error}"))?;
    match Simulation::of(seed, &Mistake::NONE).run() {
        Ok(report) => {
            println!("seed {seed}: {report}\ntrace {:016x}", report.trace);
            Ok(true)
        }
        Err(failure) => {
            println!("seed {seed}: {}", failure.violation);
            minimise(seed, &Mistake::NONE, lines);
            Ok(false)
        }
    }
}

/// Runs one seed as it is and prints what it can of where it fails.
fn trace(seed: &str) -> Result<bool, String> {
    let seed = seed.parse().map_err(|error| format!("{seed}: {error}"))?;
    match Simulation::of(seed, &Mistake::NONE).kept(100_000).run() {
        Ok(report) => println!("{report}"),
        Err(failure) => {
            failure.lines.iter().for_each(|line| println!("{line}"));
            println!("{}", failure.violation);
        }
    }
    Ok(true)
}

fn minimise(seed: u64, mistake: &Mistake, lines: usize) {
    let plan = Plan::of(seed);
    println!("seed {seed} has: {}", plan.faults);
    let Some((small, failure)) = shrink(&plan, mistake, lines) else { return };
    println!("what is needed of it: {}", small.faults);
    println!("{small:?}");
    for line in &failure.lines {
        println!("  {line}");
    }
    println!("seed {seed}, minimised: {}", failure.violation);
}

/// Plants each mistake, and says how soon it was found.
fn plant(from: u64, seeds: u64, name: Option<&&str>) -> bool {
    let start = Instant::now();
    let wanted: Vec<_> = mistakes::ALL.iter().filter(|mistake| name.is_none_or(|name| *name == mistake.name)).collect();
    println!("| mistake | left out | seeds | found by | what it does |\n|---|---|---|---|---|");
    let survivors = campaign::kill_all(&wanted, from, seeds, |mistake, killed| {
        let (name, left_out, what) = (mistake.name, mistake.layers_off(), mistake.what);
        match killed {
            Some(Killed { seeds, invariant, .. }) => {
                println!("| {name} | {left_out} | {seeds} | {invariant:?} | {what} |")
            }
            None if mistake.is_masked => println!("| {name} | {left_out} | masked | | {what} |"),
            None => println!("| {name} | {left_out} | NOT FOUND in {seeds} | | {what} |"),
        }
        if let (Some(killed), 1) = (killed, wanted.len()) {
            println!("{}", killed.what);
        }
    });
    println!("{} mistakes, {survivors} not found, {:.1} s", wanted.len(), start.elapsed().as_secs_f64());
    survivors == 0
}
