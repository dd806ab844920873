//! Killed at any moment, the ledger has everything it ever confirmed, and nothing torn.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use xdrelay::core::poller::Position;
use xdrelay::model::names::Seq;

use crate::{acknowledge, commit, directory, open, read, row, second, sink, tenant};

/// Where the child finds its state directory. Set for the child alone.
const CHILD: &str = "XDRELAY_STORE_TEST_CHILD";
/// Rows of a page: small ones, and one that takes many chunks.
const ROWS: u64 = 20;

/// Not a test by itself: what the test below runs in a process of its own, until it is killed.
#[tokio::test]
async fn the_child_that_commits_until_it_is_killed() {
    let Some(dir) = std::env::var_os(CHILD).map(PathBuf::from) else { return };
    let store = open(&dir);
    store.register_sinks(&[sink("siem")]).await.expect("registered");
    let first =
        store.position(&tenant()).expect("read").map_or(0, |position| position.cursor.since(second(0)).as_secs());
    for n in first.. {
        let rows = (0..ROWS).map(|id| row(n * ROWS + id, n, &text(n, id))).collect();
        commit(&store, rows).await;
        let end = *store.newest().borrow();
        say(&format!("events {end}"));
        let position = Position { floor: second(0), ..Position::start(second(n + 1)) };
        store.set_position(&tenant(), position).await.expect("set");
        say(&format!("cursor {}", n + 1));
        // Some way behind, so that the cut and the kill meet too.
        let acknowledged = end.0.saturating_sub(100);
        acknowledge(&store, "siem", acknowledged, &[]).await;
        say(&format!("acknowledged {acknowledged}"));
    }
}

fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "\n:{line}").and_then(|()| out.flush()).expect("the parent listens");
}

fn text(n: u64, id: u64) -> String {
    let length = if id == 7 { 150_000 } else { 500 };
    let mut state = n * 1000 + id + 1;
    let mut digit = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        char::from(b'a' + (state >> 40) as u8 % 26)
    };
    (0..length).map(|_| digit()).collect()
}

#[tokio::test]
async fn nothing_confirmed_is_lost_and_nothing_is_torn_by_kill_9() {
    let dir = directory();
    let mut known = Confirmed::default();
    for round in 0..25 {
        let mut child = Command::new(std::env::current_exe().expect("this program"))
            .args(["crash::the_child_that_commits_until_it_is_killed", "--exact", "--nocapture"])
            .env(CHILD, dir.path())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the child starts");
        let lines = BufReader::new(child.stdout.take().expect("its output"));
        // Another number of lines each round: the kill falls into another step.
        let wanted = 5 + round * 7 % 11;
        let mut heard = 0;
        for line in lines.lines() {
            let line = line.expect("its output");
            heard += usize::from(known.hear(&line));
            if heard == wanted {
                child.kill().expect("killed");
            }
        }
        child.wait().expect("ended");
        assert!(wanted <= heard, "the child of round {round} ended by itself");
        known.check(dir.path()).await;
    }
    assert!(100 < known.end, "the rounds did something");
}

/// What the child said is durable.
#[derive(Debug, Default)]
struct Confirmed {
    end: u64,
    cursor: u64,
    acknowledged: u64,
}

impl Confirmed {
    fn hear(&mut self, line: &str) -> bool {
        let Some((word, number)) = line.strip_prefix(':').and_then(|line| line.split_once(' ')) else { return false };
        let number = number.parse().expect("a number");
        match word {
            "events" => self.end = number,
            "cursor" => self.cursor = number,
            "acknowledged" => self.acknowledged = number,
            other => panic!("the child says {other}"),
        }
        true
    }

    async fn check(&self, dir: &std::path::Path) {
        let store = open(dir);
        assert!(self.end <= store.newest().borrow().0);
        let position = store.position(&tenant()).expect("read").expect("a position");
        assert!(second(self.cursor) <= position.cursor);
        let progress = store.progress(&sink("siem")).expect("read").acknowledged;
        assert!(Seq(self.acknowledged) <= progress);

        let chunk = read(&store, progress.0);
        let seqs: Vec<u64> = chunk.events.iter().map(|(seq, _)| seq.0).collect();
        assert_eq!(seqs, (progress.0 + 1..=store.newest().borrow().0).collect::<Vec<_>>(), "no gap");
        let mut incidents = BTreeSet::new();
        for (seq, event) in &chunk.events {
            let number: u64 = event.incident_id.as_str().parse().expect("a number");
            let (n, id) = (number / ROWS, number % ROWS);
            assert_eq!(event.incident.get(), row(number, n, &text(n, id)).raw.get(), "event {seq} is whole");
            assert_eq!(event.sequence, seq.0, "one tenant: as many events as positions");
            assert!(incidents.insert(number), "{number} is there twice");
        }
        // The page at the cursor may be there in part; given again, it is completed and nothing comes twice.
        assert_eq!(store.tally().expect("a tally").blobs, 0);
        store.close().await.expect("closed");
    }
}
