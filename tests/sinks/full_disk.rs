//! The disk of a file sink is full: the others go on, readiness says what is up, and once there is room it goes on by itself.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::harness::{BOUND, Daemon, Place, QUICK, arrivals, assert_whole_lines, lively, wait_for, web};
use crate::ledger::status;
use crate::skipped::skipped;

/// A small file system in memory, unmounted at the end.
struct Disk {
    dir: PathBuf,
}

impl Disk {
    /// None where we may not mount and this is not CI: then the test says so and ends.
    fn mount(dir: PathBuf) -> Option<Self> {
        fs::create_dir(&dir).expect("a directory");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=16m", "xdrelay-test"]).arg(&dir).stderr(Stdio::null());
        if mount.status().is_ok_and(|status| status.success()) {
            return Some(Self { dir });
        }
        skipped("a full disk needs the right to mount a tmpfs (run as root)")
    }

    fn events(&self) -> PathBuf {
        self.dir.join("events.ndjson")
    }

    /// Takes the last byte of it.
    fn fill(&self) {
        let mut ballast = fs::File::create(self.dir.join("ballast")).expect("a file");
        while ballast.write_all(&[0; 4096]).is_ok() {}
    }

    fn free(&self) {
        fs::remove_file(self.dir.join("ballast")).expect("it was there");
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.dir).status();
    }
}

fn sink(name: &str, path: &Path) -> String {
    format!("[sinks.{name}]\nkind = \"file\"\npath = \"{}\"\n\n", path.display())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_stops_its_own_sink_alone_and_only_while_it_is_full() {
    let (place, sandbox) = (Place::new(), lively().await);
    let (Some(first), Some(second)) = (Disk::mount(place.path("first")), Disk::mount(place.path("second"))) else {
        return;
    };
    let (admin, tenant) = ("[admin]\nlisten = \"127.0.0.1:0\"\n\n", place.tenant("contoso", &sandbox));
    place.configure(&[QUICK, &tenant, &sink("first", &first.events()), &sink("second", &second.events()), admin]);
    let daemon = Daemon::start(&place);
    let (url, client) = (format!("{}/readyz", daemon.origin()), web());
    let readiness = async |expected: u16| {
        let start = Instant::now();
        loop {
            let answer = client.get(&url).send().await.expect("an answer");
            if answer.status().as_u16() == expected {
                let text = answer.text().await.expect("a text");
                return serde_json::from_str::<serde_json::Value>(&text).expect("JSON");
            }
            assert!(start.elapsed() < BOUND, "readyz does not answer {expected}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let is_full = |name: &str| {
        let status = status(&place, name);
        status["state"] == "retrying" && status["error"].as_str().is_some_and(|why| why.contains("the disk is full"))
    };
    wait_for("both to deliver", || [&first, &second].iter().all(|disk| 5 <= arrivals(&disk.events()).len()));

    first.fill();
    wait_for("the first to be full", || is_full("first"));
    let (stuck, before) = (arrivals(&first.events()).len(), arrivals(&second.events()).len());
    wait_for("the second to go on", || before + 20 <= arrivals(&second.events()).len());
    assert!(is_full("first") && !is_full("second"));
    assert_eq!(bounded(readiness(200)).await["a_sink_delivers"], true, "one is enough");

    second.fill();
    wait_for("the second to be full", || is_full("second"));
    let said = bounded(readiness(503)).await;
    assert_eq!((&said["a_sink_delivers"], &said["store"]), (&false.into(), &serde_json::Value::Null), "{said}");

    first.free();
    second.free();
    bounded(readiness(200)).await;
    let all = arrivals(&second.events()).len() + 20;
    wait_for("both to go on by themselves", || {
        stuck < arrivals(&first.events()).len()
            && [&first, &second].iter().all(|disk| all <= arrivals(&disk.events()).len())
    });
    assert_eq!(daemon.stop("TERM"), 0, "{}", place.text("daemon.log"));
    for disk in [&first, &second] {
        assert_whole_lines(&disk.events());
        let sequences: Vec<u64> = arrivals(&disk.events()).iter().map(|arrival| arrival.sequence).collect();
        assert_eq!(sequences, (1..=sequences.len() as u64).collect::<Vec<_>>(), "each once, in order");
    }
}

async fn bounded<T>(waiting: impl Future<Output = T>) -> T {
    tokio::time::timeout(crate::harness::BOUND, waiting).await.expect("in time")
}
