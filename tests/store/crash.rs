//! Killed at any moment, the ledger has everything it ever confirmed, and nothing torn.
//!
//! `STORE_KILLS=5000 cargo test --test store crash -- --nocapture` is the long run; `STORE_SEED` makes one again.

use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::life::{Known, Life, say};
use crate::{directory, in_lanes, number, open, opened, second, settings, tenant};

/// Where the child finds its state directory. Set for the child alone.
pub(crate) const CHILD: &str = "XDRELAY_STORE_TEST_CHILD";
/// How many steps it makes; without end where it is not set.
pub(crate) const STEPS: &str = "XDRELAY_STORE_TEST_STEPS";
/// The child, as the test runner knows it.
pub(crate) const NAME: &str = "crash::the_child_that_lives_until_it_is_killed";
/// After so many kills a new directory is begun, so that its making is killed too.
const KILLS_OF_ONE: u64 = 30;

/// Not a test by itself: what tests run in a process of its own, and kill.
#[tokio::test]
async fn the_child_that_lives_until_it_is_killed() {
    let Some(dir) = std::env::var_os(CHILD).map(PathBuf::from) else { return };
    let steps = number(STEPS, u64::MAX);
    let store = match opened(settings(&dir)) {
        Ok(opened) => opened.store,
        // Its disk fails: this start ends with a sentence, and says it in a line of its own.
        Err(error) => return println!("\nstopped: {error}"),
    };
    match Life::new(&store, &mut say).live(steps).await {
        Ok(()) => store.close().await.map_or_else(|error| println!("\nended: {error}"), |()| println!("\ndone")),
        Err(error) => {
            assert!(store.state().is_err(), "it goes on after {error}");
            println!("\nended: {error}");
        }
    }
}

fn child(dir: &Path) -> Child {
    Command::new(std::env::current_exe().expect("this program"))
        .args([NAME, "--exact", "--nocapture"])
        .env(CHILD, dir)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the child starts")
}

#[test]
fn nothing_confirmed_is_lost_and_nothing_is_torn_by_kill_9() {
    let (kills, seed) = (number("STORE_KILLS", 300), number("STORE_SEED", rand::random::<u32>().into()));
    let events = AtomicU64::new(0);
    in_lanes(seed..seed + kills.div_ceil(KILLS_OF_ONE), async |seed| {
        events.fetch_add(killed_again_and_again(seed).await, Ordering::Relaxed);
    });
    println!("{kills} kills, STORE_SEED={seed}: {} events", events.load(Ordering::Relaxed));
    assert!(kills < events.into_inner(), "too little happened to prove anything");
}

/// The life of one directory. Returns how many events it took.
async fn killed_again_and_again(seed: u64) -> u64 {
    let (mut rng, dir, mut known) = (StdRng::seed_from_u64(seed), directory(), Known::default());
    for round in 1..=KILLS_OF_ONE {
        kill_once(dir.path(), &mut rng, &mut known);
        let place = format!("kill {round} of STORE_SEED={seed}");
        let opened = opened(settings(dir.path())).unwrap_or_else(|error| panic!("{place}: {error}"));
        assert_eq!(opened.recovery, None, "{place}");
        let store = opened.store;
        let said = known.clone();
        known.check(&store).unwrap_or_else(|why| panic!("{place}: {why}; said was {said:?}"));
        if round == KILLS_OF_ONE {
            known.check_marks(&store).await;
        }
        store.close().await.expect("closed");
        if round % 10 == 0 {
            check_checkpoint(dir.path(), &known).await;
        }
    }
    known.events
}

/// Lets a child live for a while: from before it opens the store to well behind.
fn kill_once(dir: &Path, rng: &mut StdRng, known: &mut Known) {
    let mut child = child(dir);
    let mut out = BufReader::new(child.stdout.take().expect("its output"));
    let aimed = rng.random_bool(0.8);
    if aimed {
        // Its first word, so that opening and living get their share each, however slow the machine is.
        let mut first = [0; 1];
        while out.read(&mut first).expect("its output") == 1 && first != *b":" {}
        std::thread::sleep(Duration::from_micros(rng.random_range(0..60_000)));
        child.kill().expect("killed");
        known.hear(std::io::Cursor::new(b":").chain(out));
    } else {
        std::thread::sleep(Duration::from_micros(rng.random_range(0..60_000)));
        child.kill().expect("killed");
        known.hear(out);
    }
    child.wait().expect("ended");
}

/// The checkpoint that the last life left leads to a ledger that misses nothing undelivered.
async fn check_checkpoint(dir: &Path, known: &Known) {
    let copy = directory();
    let names = ["checkpoint.a", "checkpoint.b"];
    let copied = names.iter().filter(|name| std::fs::copy(dir.join(name), copy.path().join(name)).is_ok()).count();
    if copied == 0 {
        return;
    }
    let made = opened(settings(copy.path())).expect("made again");
    assert!(made.recovery.is_some(), "it says so");
    if let Some(position) = made.store.position(&tenant()).expect("read") {
        let undelivered = second(known.acknowledged / crate::life::ROWS + 1);
        let store = open(dir);
        let real = store.position(&tenant()).expect("read").expect("a position").cursor;
        assert!(position.cursor <= real && position.cursor <= undelivered, "{position:?} leaves something out");
        store.close().await.expect("closed");
    }
}
