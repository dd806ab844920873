//! Faults at chosen system calls of one short life: killed at the nth of each kind, and told by the nth that the disk fails or
//! is full. Needs strace and the right to trace.
//!
//! `STORE_INJECT=all cargo test --test store inject -- --nocapture` takes every n instead of a few of each kind.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Mutex;

use xdrelay::store::Opened;

use crate::crash::{CHILD, NAME, STEPS};
use crate::life::{Known, Life, lived};
use crate::rot::daemon;
use crate::{directory, in_lanes, opened, settings, skip};

/// Steps of the life: the first and the last have a body that is written ahead.
const LIFE: u64 = 5;
/// So many of each kind of system call, where not all are asked for.
const FEW: usize = 16;
/// What changes files, and what makes that durable.
const CALLS: [&str; 11] = [
    "openat",
    "pwrite64",
    "write",
    "sync_file_range",
    "fsync",
    "fdatasync",
    "rename",
    "unlink",
    "ftruncate",
    "fallocate",
    "mkdir",
];

/// How a life under strace ended.
#[derive(Debug, PartialEq, Eq)]
enum End {
    /// It was killed.
    Killed,
    /// It lived all of its steps.
    Done,
    /// It stopped with these words.
    Stopped(String),
}

fn strace(dir: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new("strace");
    command.args(["-f", "-qq"]).args(arguments).arg(std::env::current_exe().expect("this program"));
    command.args([NAME, "--exact", "--nocapture"]).env(CHILD, dir).env(STEPS, LIFE.to_string());
    command.stdout(Stdio::piped()).stderr(Stdio::null());
    command
}

/// Lives under a fault, and hears what it says is durable.
fn suffer(dir: &Path, fault: &str, paths: &[&str], known: &mut Known) -> End {
    let mut arguments = vec!["-o", "/dev/null", "-e", fault];
    let places: Vec<_> = paths.iter().map(|name| dir.join(name).display().to_string()).collect();
    for place in &places {
        arguments.extend(["-P", place]);
    }
    let output = strace(dir, &arguments).output().expect("it ran");
    let said = String::from_utf8(output.stdout).expect("text");
    known.hear(said.as_bytes());
    let words = said.lines().find_map(|line| line.strip_prefix("stopped: ").or_else(|| line.strip_prefix("ended: ")));
    match words {
        Some(words) => End::Stopped(words.to_owned()),
        None if said.lines().any(|line| line == "done") => End::Done,
        None => End::Killed,
    }
}

/// The most that one thread does of each kind of call in a life: that is how strace counts.
fn counted(paths: &[&str]) -> BTreeMap<String, usize> {
    let dir = directory();
    let (log, state) = (dir.path().join("log"), dir.path().join("state"));
    let (trace, log_name) = (format!("trace={}", CALLS.join(",")), log.display().to_string());
    let mut arguments = vec!["-o", &log_name, "-e", &trace];
    let places: Vec<_> = paths.iter().map(|name| state.join(name).display().to_string()).collect();
    for place in &places {
        arguments.extend(["-P", place]);
    }
    assert!(strace(&state, &arguments).output().expect("it ran").status.success());
    let mut counts = BTreeMap::<(String, String), usize>::new();
    for line in fs::read_to_string(log).expect("a log").lines() {
        let Some((thread, call)) = line.split_once(' ') else { continue };
        // The second half of a call that another thread interrupted has no name in front.
        if let Some((name, _)) = call.trim_start().split_once('(').filter(|(name, _)| CALLS.contains(name)) {
            *counts.entry((thread.to_owned(), name.to_owned())).or_default() += 1;
        }
    }
    let mut most = BTreeMap::new();
    for ((_, name), count) in counts {
        let known = most.entry(name).or_default();
        *known = count.max(*known);
    }
    most
}

/// Every n, or a few that are far apart, the first and the last among them.
fn chosen(count: usize) -> BTreeSet<usize> {
    match std::env::var_os("STORE_INJECT") {
        Some(_) => (1..=count).collect(),
        None => (0..FEW).map(|i| 1 + i * count.saturating_sub(1) / (FEW - 1)).filter(|_| 0 < count).collect(),
    }
}

fn can_trace() -> bool {
    let works = Command::new("strace").args(["-f", "-o", "/dev/null", "true"]).stderr(Stdio::null()).status();
    works.is_ok_and(|status| status.success()) || skip("faults at system calls need strace and the right to trace")
}

/// Everything that was said is there, and the life goes on to its end as if nothing had been.
async fn recovers(dir: &Path, mut known: Known, place: &str) {
    let Opened { store, recovery } = opened(settings(dir)).unwrap_or_else(|error| panic!("{place}: {error}"));
    assert_eq!(recovery, None, "{place}");
    known.check(&store).unwrap_or_else(|why| panic!("{place}: {why}; said was {known:?}"));
    let lived = Life::new(&store, &mut |word, number| known.note(word, number)).live(LIFE).await;
    lived.unwrap_or_else(|error| panic!("{place}: {error}"));
    known.check(&store).unwrap_or_else(|why| panic!("{place}, later: {why}"));
    known.check_marks(&store).await;
    store.close().await.expect("closed");
}

#[test]
fn a_life_killed_at_any_system_call_loses_nothing_that_it_confirmed() {
    if !can_trace() {
        return;
    }
    let counts = counted(&[]);
    println!("a life of {LIFE} steps: {counts:?}");
    let cases = counts.iter().flat_map(|(call, count)| chosen(*count).into_iter().map(move |n| (call, n)));
    let cases: Vec<_> = cases.collect();
    println!("killed at {} of them", cases.len());
    in_lanes(cases, async |(call, n)| {
        let dir = directory();
        // Every other one starts on what is there already.
        let mut known = if n % 2 == 0 { lived(dir.path(), 2).await } else { Known::default() };
        let fault = format!("inject={call}:signal=SIGKILL:when={n}");
        // Threads share the work as it comes, so that the last ones may not come to be.
        let end = suffer(dir.path(), &fault, &[], &mut known);
        assert!(matches!(end, End::Killed | End::Done), "{fault}: {end:?}");
        recovers(dir.path(), known, &fault).await;
    });
}

/// What a life writes by `write`. Without these names the fault would hit the pipe and the runtime's own wake-ups.
const WRITTEN: [&str; 5] = ["checkpoint.new", "lock", "damaged", "ballast", "sled/db"];

/// Every chosen nth call of these kinds fails so; what was said is there afterwards.
fn failing(calls: &[&str], error: &str, paths: &[&str], is_expected: fn(&End) -> bool) {
    if !can_trace() {
        return;
    }
    let counts = counted(paths);
    let cases = counts.iter().filter(|(call, _)| calls.contains(&call.as_str()));
    let cases: Vec<_> = cases.flat_map(|(call, count)| chosen(*count).into_iter().map(move |n| (call, n))).collect();
    assert!(!cases.is_empty(), "none of {calls:?} is called");
    println!("{error} at {} calls of {calls:?}", cases.len());
    in_lanes(cases, async |(call, n)| {
        let (dir, mut known) = (directory(), Known::default());
        let fault = format!("inject={call}:error={error}:when={n}");
        let end = suffer(dir.path(), &fault, paths, &mut known);
        println!("{fault}: {end:?}");
        assert!(is_expected(&end), "{fault}: {end:?}");
        recovers(dir.path(), known, &fault).await;
    });
}

/// It says which system call failed, or it did not matter: the last ones of a life may not come to be.
fn fails(end: &End) -> bool {
    match end {
        End::Stopped(words) => words.contains("Input/output error"),
        End::Done => true,
        End::Killed => false,
    }
}

#[test]
fn a_disk_that_fails_ends_the_process_and_the_next_start_goes_on() {
    failing(&["fsync", "fdatasync"], "EIO", &[], fails);
    failing(&["pwrite64", "sync_file_range", "rename"], "EIO", &[], fails);
    failing(&["write"], "EIO", &WRITTEN, fails);
}

#[test]
fn the_daemon_itself_ends_with_73_at_its_start_and_with_74_later() {
    if !can_trace() {
        return;
    }
    let ended = Mutex::new(BTreeSet::new());
    in_lanes(1..=10, async |n| {
        let dir = directory();
        let fault = format!("inject=fsync:error=EIO:when={n}+");
        let (code, said) = daemon(&dir.path().join("state"), &["strace", "-f", "-qq", "-o", "/dev/null", "-e", &fault]);
        assert!(matches!(code, Some(73 | 74)) && said.contains("Input/output error"), "{fault}: {code:?} {said}");
        ended.lock().expect("no lane panics here").insert(code);
    });
    assert_eq!(ended.into_inner().expect("told"), BTreeSet::from([Some(73), Some(74)]));
}

#[test]
fn who_waits_for_a_write_that_fails_late_is_told_so() {
    // With the delay somebody waits for the write in most of the cases, and sled does not wake everybody.
    failing(&["pwrite64"], "EIO:delay_enter=100000", &[], fails);
}

#[test]
fn a_disk_that_is_full_for_a_moment_stops_nothing() {
    // Where it cannot even be made, it says so and stops; so does one that is told to close just then. And every thread
    // that writes meets the fault once: where ever new ones do, the disk stays full for as long as anybody waits here.
    let goes_on = |end: &End| match end {
        End::Stopped(words) => words.contains("free some space") || words.contains("the disk of the store is full"),
        End::Done => true,
        End::Killed => false,
    };
    failing(&["pwrite64", "ftruncate", "rename"], "ENOSPC", &[], goes_on);
    failing(&["write"], "ENOSPC", &WRITTEN, goes_on);
}
