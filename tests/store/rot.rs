//! A directory of which a part has rotted: any bit of any file, any file cut anywhere, a copy made while it was written. It goes on
//! exactly, or is made again from its checkpoint without loss, or stops with a sentence; never does it begin anew.
//!
//! `STORE_ROT=5000 cargo test --test store rot -- --nocapture` tries more places; `STORE_SEED` makes one run again.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tempfile::TempDir;
use xdrelay::model::names::Seq;
use xdrelay::store::error::{OpenError, StoreError};
use xdrelay::store::{Opened, Store};

use crate::crash::{CHILD, NAME};
use crate::life::{BEHIND, Known, Life, ROWS, lived, nth, rows};
use crate::{directory, directory_in_memory, in_lanes, number, opened, page, second, settings, sink, tenant};

/// Steps of the life whose directory rots: enough for cuts, refusals, drops and more than one segment.
const STEPS: u64 = 12;
/// Nothing that damage does may take longer.
const BOUND: Duration = Duration::from_secs(120);

/// What rots.
#[derive(Debug, Clone)]
enum Rot {
    Flip { file: PathBuf, byte: u64, bit: u8 },
    Cut { file: PathBuf, to: u64 },
}

impl Rot {
    fn strike(&self, dir: &Path) {
        match self {
            Self::Flip { file, byte, bit } => {
                let mut bytes = fs::read(dir.join(file)).expect("read");
                bytes[usize::try_from(*byte).expect("small")] ^= 1 << bit;
                fs::write(dir.join(file), bytes).expect("written");
            }
            Self::Cut { file, to } => {
                fs::File::options().write(true).open(dir.join(file)).and_then(|file| file.set_len(*to)).expect("cut");
            }
        }
    }
}

/// What became of a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    Exact,
    /// Its last writes are gone and nothing else, as if it had been killed before them: it goes on from there.
    Earlier,
    /// It opened, and damage was found when it was read; the next start made it again.
    RebuiltLater,
    Rebuilt,
    Stopped,
}

/// Opens a directory in which something rotted and goes on living in it, for two lives.
async fn outcome(dir: &Path, known: &Known) -> Result<Outcome, String> {
    let Opened { store, recovery } = match opened(settings(dir)) {
        Ok(opened) => opened,
        Err(error @ OpenError::Corrupt { .. }) if 60 < error.to_string().len() => return Ok(Outcome::Stopped),
        Err(error) => return Err(format!("it stops with {error:?}")),
    };
    if recovery.is_some() {
        check_rebuilt(store, known).await?;
        return Ok(Outcome::Rebuilt);
    }
    let mut same = known.clone();
    let checked = same.check(&store);
    // What a start does not look at is found when it is read again.
    let read = same.read_marks(&store).await;
    match (checked, read, store.state()) {
        (Ok(()), Ok(()), Ok(())) => {
            store.close().await.map_err(|error| error.to_string())?;
            Ok(Outcome::Exact)
        }
        (_, _, Err(StoreError::Corrupt { .. })) => {
            drop(store);
            let Opened { store, recovery } = reopened(dir)?;
            recovery.ok_or("damage was found, and the next start does not make it again")?;
            check_rebuilt(store, known).await?;
            Ok(Outcome::RebuiltLater)
        }
        (Err(_), Ok(()), Ok(())) => {
            goes_on_from_earlier(&store, known).await?;
            store.close().await.map_err(|error| error.to_string())?;
            Ok(Outcome::Earlier)
        }
        (checked, read, state) => Err(format!("{checked:?} {read:?}, and the store says {state:?}")),
    }
}

/// What is there fits together, is not ahead of what was known, and becomes the same again.
async fn goes_on_from_earlier(store: &Store, known: &Known) -> Result<(), String> {
    let failed = |error: StoreError| error.to_string();
    let mut found = Known::found(store).map_err(failed)?;
    found.check(store)?;
    if !found.is_before(known) {
        return Err(format!("{found:?} is no earlier state of {known:?}"));
    }
    Life::new(store, &mut |word, number| found.note(word, number)).live(known.cursor).await.map_err(failed)?;
    known.clone().check(store)
}

/// What was made again misses nothing that the sink lacks: it is read again from the restored cursor on.
async fn check_rebuilt(store: Store, known: &Known) -> Result<(), String> {
    let failed = |error: StoreError| error.to_string();
    let position = store.position(&tenant()).map_err(failed)?.ok_or("a rebuilt store without its tenant")?;
    if second(known.acknowledged / ROWS) < position.cursor {
        return Err(format!("{} events are delivered, and the cursor is at {position:?}", known.acknowledged));
    }
    if store.quarantine(&tenant()).map_err(failed)?.is_empty() {
        return Err("the quarantine is lost".into());
    }
    store.register_sinks(&[sink("siem")]).await.map_err(failed)?;
    for n in position.cursor.since(second(0)).as_secs()..known.cursor {
        store.commit_page(page(rows(n))).await.map_err(failed)?;
    }
    let chunk = store.read_after(Seq(0), &|_, _| true, crate::EVERYTHING).map_err(failed)?;
    let there: BTreeSet<&str> = chunk.events.iter().map(|(_, event)| event.incident.get()).collect();
    match (known.acknowledged..known.events).find(|k| !there.contains(nth(*k).raw.get())) {
        Some(k) => Err(format!("event number {k} is lost")),
        None => store.close().await.map_err(failed),
    }
}

fn reopened(dir: &Path) -> Result<Opened, String> {
    opened(settings(dir)).map_err(|error| error.to_string())
}

/// Runs something that has to end, on a thread of its own.
fn bounded<T: Send + 'static>(what: &str, run: impl AsyncFnOnce() -> T + Send + 'static) -> T {
    let (tell, told) = sync_channel(1);
    let body = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let _ = tell.send(runtime.block_on(run()));
    };
    let thread = std::thread::spawn(body);
    match told.recv_timeout(BOUND) {
        Ok(value) => value,
        Err(_) if thread.is_finished() => panic!("{what}: it panics"),
        Err(_) => panic!("{what}: nothing happens for {BOUND:?}"),
    }
}

fn a_life() -> (TempDir, Known) {
    let dir = directory();
    let path = dir.path().to_owned();
    let known = bounded("a life", async move || lived(&path, STEPS).await);
    // It would be most of what every copy copies.
    fs::remove_file(dir.path().join("ballast")).expect("removed");
    (dir, known)
}

fn files(dir: &Path) -> Vec<(PathBuf, u64)> {
    let entries = fs::read_dir(dir.join("sled")).expect("sled's directory").map(|entry| entry.expect("an entry"));
    let file = |entry: fs::DirEntry| (Path::new("sled").join(entry.file_name()), entry.metadata().expect("its size"));
    let files = entries.map(file).filter(|(_, metadata)| metadata.is_file());
    files.map(|(path, metadata)| (path, metadata.len())).collect()
}

fn copy_all(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-a").arg(from.join(".")).arg(to).stderr(Stdio::null()).status();
    // A file may vanish while it is copied.
    copied.expect("cp runs");
}

/// Where it rots: everywhere in small files, at random places of large ones.
fn places(files: &[(PathBuf, u64)], tries: u64, rng: &mut StdRng) -> Vec<Rot> {
    let mut places = Vec::new();
    for (file, length) in files {
        let share = if *length < 200 { tries / 5 } else { tries };
        for _ in 0..share {
            let byte = rng.random_range(0..*length);
            places.push(Rot::Flip { file: file.clone(), byte, bit: rng.random_range(0..8) });
        }
        for _ in 0..share / 5 {
            places.push(Rot::Cut { file: file.clone(), to: rng.random_range(0..*length) });
        }
        places.push(Rot::Cut { file: file.clone(), to: 0 });
    }
    places
}

#[test]
fn whatever_bit_of_the_database_rots_nothing_is_lost_without_a_word() {
    let (tries, seed) = (number("STORE_ROT", 150), number("STORE_SEED", rand::random::<u32>().into()));
    let mut rng = StdRng::seed_from_u64(seed);
    let (dir, known) = a_life();
    let files = files(dir.path());
    let places = places(&files, tries, &mut rng);
    println!("{} places in {files:?}, STORE_SEED={seed}", places.len());
    let outcomes = Mutex::new(BTreeMap::<Outcome, u32>::new());
    in_lanes(places, async |rot| {
        let copy = directory_in_memory();
        copy_all(dir.path(), copy.path());
        rot.strike(copy.path());
        let (path, known) = (copy.path().to_owned(), known.clone());
        let what = format!("{rot:?} of STORE_SEED={seed}");
        let outcome = bounded(&what, async move || outcome(&path, &known).await);
        let outcome = outcome.unwrap_or_else(|why| panic!("{what}: {why}"));
        assert_ne!(outcome, Outcome::Stopped, "{what}: with its checkpoint it can be made again");
        *outcomes.lock().expect("counted").entry(outcome).or_default() += 1;
    });
    println!("{:?}", outcomes.into_inner().expect("counted"));
}

/// Turns over every bit of a file.
fn spoil(file: &Path) {
    let bytes = fs::read(file).expect("read");
    fs::write(file, bytes.iter().map(|byte| !byte).collect::<Vec<_>>()).expect("written");
}

/// Runs the daemon itself there, under a tracer where one is given. Its exit code, and what it said.
pub(crate) fn daemon(state: &Path, tracer: &[&str]) -> (Option<i32>, String) {
    let place = directory();
    let secret = place.path().join("secret");
    fs::write(&secret, "not asked for").expect("written");
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).expect("its own");
    let config = place.path().join("xdrelay.toml");
    let text = format!(
        "state_dir = {state:?}\n[tenants.contoso]\ntenant_id = \"11111111-2222-3333-4444-555555555555\"\n\
         client_id = \"11111111-2222-3333-4444-555555555556\"\n\
         credential = {{ kind = \"client_secret\", file = {secret:?} }}\napi_url = \"http://127.0.0.1:9\"\n\
         login_url = \"http://127.0.0.1:9\"\n[sinks.siem]\nkind = \"file\"\npath = {:?}\n",
        place.path().join("siem.ndjson")
    );
    fs::write(&config, text).expect("written");
    let line = [tracer, &[env!("CARGO_BIN_EXE_xdrelay"), "run", "--config"]].concat();
    let mut command = Command::new(line[0]);
    command.args(&line[1..]).arg(config).stdin(Stdio::null());
    let output = bounded("a daemon that has to end", async move || command.output().expect("it ran"));
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn without_database_and_checkpoints_the_daemon_stops_with_a_sentence_and_code_73() {
    let (dir, _) = a_life();
    let check = |ruin: &[&str], words: &[&str]| {
        let copy = directory_in_memory();
        copy_all(dir.path(), copy.path());
        for name in ruin {
            spoil(&copy.path().join(name));
        }
        let before: BTreeSet<_> = names(copy.path());
        let (code, said) = daemon(copy.path(), &[]);
        assert_eq!(code, Some(73), "{ruin:?}: {said}");
        for word in words {
            assert!(said.contains(word), "{word:?} is not said: {said}");
        }
        assert!(before.is_subset(&names(copy.path())), "something was taken away");
    };
    let all = ["sled/db", "checkpoint.a", "checkpoint.b"];
    check(&all, &["is damaged", "no checkpoint beside it can be read", "restore the directory"]);
}

fn names(dir: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(dir).expect("the directory").map(|entry| entry.expect("an entry").file_name());
    entries.map(|name| name.to_string_lossy().into_owned()).collect()
}

#[test]
fn either_generation_of_the_checkpoint_is_enough_and_is_never_ahead() {
    let (dir, known) = a_life();
    for ruined in ["checkpoint.a", "checkpoint.b"] {
        let copy = directory_in_memory();
        copy_all(dir.path(), copy.path());
        spoil(&copy.path().join(ruined));
        spoil(&copy.path().join("sled/db"));
        let (path, known) = (copy.path().to_owned(), known.clone());
        let outcome = bounded(ruined, async move || outcome(&path, &known).await);
        // The older of the two may be from before the quarantine was known: it then leads further back still.
        match outcome {
            Ok(outcome) => assert_eq!(outcome, Outcome::Rebuilt, "{ruined}"),
            Err(why) => assert_eq!(why, "the quarantine is lost", "{ruined}"),
        }
    }
}

#[test]
fn a_copy_made_while_a_life_goes_on_is_a_state_of_it_or_is_made_again() {
    let (dir, mut known) = (directory(), Known::default());
    let mut child = Command::new(std::env::current_exe().expect("this program"))
        .args([NAME, "--exact", "--nocapture"])
        .env(CHILD, dir.path())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the child starts");
    let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines();
    let mut copies = Vec::new();
    while copies.len() < 12 {
        let heard = known.cursor;
        while known.cursor < heard + 3 {
            known.hear_line(&lines.next().expect("it lives").expect("its output"));
        }
        let copy = directory_in_memory();
        copy_all(dir.path(), copy.path());
        copies.push((known.clone(), copy));
    }
    child.kill().expect("killed");
    child.wait().expect("ended");
    let mut outcomes = BTreeMap::<Outcome, u32>::new();
    for (known, copy) in copies {
        let path = copy.path().to_owned();
        let outcome = bounded("a copy", async move || copied(&path, &known).await);
        *outcomes.entry(outcome.unwrap_or_else(|why| panic!("{why}"))).or_default() += 1;
    }
    println!("copies: {outcomes:?}");
}

/// What became of a copy that was begun when this was known.
async fn copied(dir: &Path, known: &Known) -> Result<Outcome, String> {
    let failed = |error: StoreError| error.to_string();
    let Opened { store, recovery } = reopened(dir)?;
    if recovery.is_some() {
        // When its checkpoint was written, more may have been delivered than was known.
        let (end, position) = (store.newest().borrow().0, store.position(&tenant()).map_err(failed)?);
        let cursor = position.ok_or("a rebuilt store without its tenant")?.cursor;
        let undelivered = second(end.saturating_sub(BEHIND) / ROWS);
        return if cursor <= undelivered { Ok(Outcome::Rebuilt) } else { Err(format!("the cursor is at {cursor}")) };
    }
    let mut found = Known::found(&store).map_err(failed)?;
    found.check(&store)?;
    if !known.is_before(&found) {
        return Err(format!("{found:?} is less than what was known, {known:?}"));
    }
    found.read_marks(&store).await?;
    store.close().await.map_err(failed)?;
    Ok(Outcome::Exact)
}
