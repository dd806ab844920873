//! The short run of the fuzz targets, on any toolchain: everything that is kept in `fuzz/`, and inputs made of that from a
//! seed. What is checked is `fuzz/src/`; the long run, which coverage guides, is `fuzz/run`.
//!
//! The same inputs every time. `FUZZ_INPUTS=1000000 FUZZ_SEED=7 cargo test --release --test fuzz` for more and for others.

#![expect(unreachable_pub, reason = "these files are a library of their own in fuzz/")]

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

#[path = "../fuzz/src/answer.rs"]
mod answer;
#[path = "../fuzz/src/config.rs"]
mod config;
#[path = "../fuzz/src/filter.rs"]
mod filter;
#[path = "../fuzz/src/input.rs"]
mod input;
#[path = "../fuzz/src/page.rs"]
mod page;
#[path = "../fuzz/src/record.rs"]
mod record;
#[path = "../fuzz/src/source.rs"]
mod source;
#[path = "../fuzz/src/steps.rs"]
mod steps;
#[path = "../fuzz/src/store.rs"]
mod store;
#[path = "../fuzz/src/targets.rs"]
mod targets;
#[path = "../fuzz/src/timestamp.rs"]
mod timestamp;

/// Made-up inputs of each target in the ordinary run; two that work with files or a whole world get a tenth.
const INPUTS: u64 = 20_000;
/// Bytes of a made-up input at most.
const SIZE_MAX: usize = 4096;

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz").join(name)
}

/// What is kept for a target, in a fixed order. A target may have none.
fn kept(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(folder).into_iter().flatten().map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    files.into_iter().map(|path| (path.clone(), std::fs::read(path).expect("a file of ours"))).collect()
}

/// `"\x00 and so on"`, one a line, as libFuzzer takes them.
fn dictionary(name: &str) -> Vec<Vec<u8>> {
    let text = std::fs::read_to_string(folder("dictionaries").join(name)).unwrap_or_default();
    text.lines().filter_map(|line| line.strip_prefix('"')?.strip_suffix('"')).map(unescaped).collect()
}

fn unescaped(text: &str) -> Vec<u8> {
    let (mut bytes, mut rest) = (Vec::new(), text);
    while let Some((before, after)) = rest.split_once("\\x") {
        let (hex, after) = after.split_at(2);
        bytes.extend_from_slice(before.as_bytes());
        bytes.push(u8::from_str_radix(hex, 16).expect("two hex digits"));
        rest = after;
    }
    bytes.extend_from_slice(rest.as_bytes());
    bytes
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

/// One input out of what there is: a few changes to one of them, such as a fuzzer makes.
fn made_up(rng: &mut StdRng, seeds: &[Vec<u8>], words: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = seeds[rng.random_range(0..seeds.len())].clone();
    for _ in 0..rng.random_range(1..=6) {
        let at = rng.random_range(0..=bytes.len());
        let to = rng.random_range(at..=bytes.len().min(at + 32));
        match rng.random_range(0..8) {
            0 if at < bytes.len() => bytes[at] ^= 1 << rng.random_range(0..8),
            1 if at < bytes.len() => bytes[at] = rng.random(),
            2 => _ = bytes.drain(at..to),
            3 => _ = bytes.splice(at..at, bytes[at..to].to_vec()),
            4 => {
                let other = &seeds[rng.random_range(0..seeds.len())];
                let from = rng.random_range(0..=other.len());
                bytes.truncate(at);
                bytes.extend_from_slice(&other[from..]);
            }
            5 if !words.is_empty() => {
                _ = bytes.splice(at..to, words[rng.random_range(0..words.len())].iter().copied());
            }
            6 if !words.is_empty() => {
                _ = bytes.splice(at..at, words[rng.random_range(0..words.len())].iter().copied());
            }
            _ => bytes.insert(at, rng.random()),
        }
    }
    bytes.truncate(SIZE_MAX);
    bytes
}

/// Panics with what is needed to see it again. The input is kept where tests may write.
fn try_input(name: &str, check: fn(&[u8]), bytes: &[u8], what: &str) {
    if catch_unwind(AssertUnwindSafe(|| check(bytes))).is_err() {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("fuzz-{name}"));
        let kept = std::fs::write(&path, bytes).map_or_else(|error| error.to_string(), |()| path.display().to_string());
        panic!("{name}: {what} fails, see above; the input is in {kept}, it begins with {}", shown(bytes));
    }
}

fn shown(bytes: &[u8]) -> String {
    bytes.iter().take(300).flat_map(|byte| std::ascii::escape_default(*byte)).map(char::from).collect()
}

fn run(name: &str, share: u64) {
    let (name, check) = *targets::ALL.iter().find(|(target, _)| *target == name).expect("a target");
    let corpus = [kept(&folder("corpus").join(name)), kept(&folder("regressions").join(name))].concat();
    assert!(!corpus.is_empty(), "fuzz/corpus/{name} is empty");
    for (path, bytes) in &corpus {
        try_input(name, check, bytes, &path.display().to_string());
    }
    let (inputs, seed) = (number("FUZZ_INPUTS").unwrap_or(INPUTS / share), number("FUZZ_SEED").unwrap_or(0));
    let seeds: Vec<Vec<u8>> = corpus.into_iter().map(|(_, bytes)| bytes).collect();
    let (mut rng, words) = (StdRng::seed_from_u64(seed), dictionary(name));
    for input in 0..inputs {
        let bytes = made_up(&mut rng, &seeds, &words);
        try_input(name, check, &bytes, &format!("input {input} of seed {seed}"));
    }
}

#[test]
fn pages_and_incidents_are_taken_as_they_are() {
    run("page", 1);
}

#[test]
fn times_are_exact_to_the_tick() {
    run("timestamp", 1);
}

#[test]
fn every_answer_is_a_decision() {
    run("answer", 1);
}

#[test]
fn what_is_on_the_disk_is_read_whole_or_not_at_all() {
    run("store", 1);
}

#[test]
fn any_text_is_a_configuration_or_a_list_of_its_mistakes() {
    run("config", 10);
}

#[test]
fn no_order_of_steps_moves_the_cursor_too_far() {
    run("steps", 10);
}

#[test]
fn one_event_is_one_record() {
    run("record", 1);
}

#[test]
fn a_filter_takes_nothing_outside_its_bounds() {
    run("filter", 1);
}

#[test]
fn every_target_is_run_here_and_every_kept_case_is_told_of() {
    let names: BTreeSet<String> = targets::ALL.iter().map(|(name, _)| (*name).to_owned()).collect();
    let code = include_str!("fuzz.rs");
    let readme = std::fs::read_to_string(folder("README.md")).expect("fuzz/README.md");
    for name in &names {
        assert!(code.contains(&format!("    run({name:?}, ")), "{name} is not run here");
        assert!(folder("targets").join(format!("{name}.rs")).exists(), "fuzz/targets/{name}.rs is missing");
        assert!(readme.contains(&format!("| `{name}` |")), "fuzz/README.md: does not say what `{name}` is");
        for (path, _) in kept(&folder("regressions").join(name)) {
            let case = path.strip_prefix(folder("regressions")).expect("below").display().to_string();
            assert!(readme.contains(&format!("`{case}`")), "fuzz/README.md: does not say what `{case}` was");
        }
    }
    for place in ["corpus", "regressions"] {
        for entry in std::fs::read_dir(folder(place)).into_iter().flatten() {
            let name = entry.expect("an entry").file_name().into_string().expect("UTF-8");
            assert!(names.contains(&name), "fuzz/{place}/{name}: there is no such target");
        }
    }
}
