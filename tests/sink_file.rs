//! The file sink against real files: rotation, torn lines, others that move its file, full disks, kills.

mod outgoing;
#[path = "receivers/skipped.rs"]
mod skipped;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use outgoing::{outgoing, several};
use skipped::skipped;
use xdrelay::core::courier::DeliverError;
use xdrelay::model::names::{Seq, SinkName};
use xdrelay::sink::{Config, OpenError, Sink};

fn open(path: &Path, more: &str) -> Result<Box<dyn Sink>, OpenError> {
    let config = toml::from_str(&format!("path = {:?}\n{more}", path.to_str().expect("UTF-8"))).expect("a config");
    Config::File(config).open(&SinkName::new("archive"))
}

/// Opened. A child that another test is just starting holds every lock of this process until it has become another program, that
/// of a sink too that was dropped; that passes at once.
fn opened(path: &Path, more: &str) -> Box<dyn Sink> {
    for _ in 0..200 {
        match open(path, more) {
            Err(error) if error.why.contains("locked") => std::thread::sleep(Duration::from_millis(10)),
            result => return result.expect("opened"),
        }
    }
    open(path, more).expect("opened")
}

/// The numbers of the events in a file, each line of which must be whole.
fn numbers(path: &Path) -> Vec<u64> {
    let text = fs::read_to_string(path).expect("readable");
    assert!(text.is_empty() || text.ends_with('\n'), "{} ends in a torn line", path.display());
    text.lines()
        .map(|line| {
            let event: serde_json::Value = serde_json::from_str(line).expect("a whole line");
            assert_eq!(event["sequence"], event["incident"]["incidentId"]);
            event["sequence"].as_u64().expect("a number")
        })
        .collect()
}

fn numbered(path: &Path, n: u32) -> PathBuf {
    PathBuf::from(format!("{}.{n}", path.display()))
}

async fn deliver(sink: &mut Box<dyn Sink>, numbers: impl IntoIterator<Item = u64>) {
    let events = several(numbers, 20);
    let last = events.last().map(|event| event.seq);
    assert_eq!(sink.deliver(&events).await, Ok(last));
}

#[tokio::test]
async fn every_event_is_one_line_for_its_owner_and_group() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("x.ndjson");
    let mut sink = opened(&path, "");
    deliver(&mut sink, 1..=100).await;
    deliver(&mut sink, []).await;
    deliver(&mut sink, [101]).await;
    assert_eq!(sink.close().await, Ok(None));
    assert_eq!(numbers(&path), (1..=101).collect::<Vec<_>>());
    assert_eq!(fs::metadata(&path).expect("metadata").permissions().mode() & 0o137, 0);
    let mut sink = opened(&path, "");
    deliver(&mut sink, [102]).await;
    assert_eq!(numbers(&path), (1..=102).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_file_that_would_become_too_large_makes_room_for_a_new_one() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("x.ndjson");
    let line = outgoing(10, 20).body.len() + 1;
    let mut sink = opened(&path, &format!("rotate_size = '{} B'\nkeep = 3", line * 3));
    deliver(&mut sink, 10..=11).await;
    deliver(&mut sink, 12..=19).await;
    deliver(&mut sink, [20]).await;
    assert_eq!(numbers(&path), [19, 20]);
    assert_eq!(numbers(&numbered(&path, 1)), [16, 17, 18]);
    assert_eq!(numbers(&numbered(&path, 2)), [13, 14, 15]);
    assert_eq!(numbers(&numbered(&path, 3)), [10, 11, 12]);
    deliver(&mut sink, 21..=22).await;
    assert_eq!(numbers(&path), [22]);
    assert_eq!(numbers(&numbered(&path, 3)), [13, 14, 15], "beyond `keep` the oldest goes");
    assert!(!numbered(&path, 4).exists());
    let huge = several(30..=31, 5000);
    assert_eq!(sink.deliver(&huge).await, Ok(Some(Seq(31))));
    assert_eq!(
        (numbers(&numbered(&path, 1)), numbers(&path)),
        (vec![30], vec![31]),
        "an event over the size goes alone"
    );
}

#[tokio::test]
async fn a_file_that_is_too_old_makes_room_for_a_new_one() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("x.ndjson");
    let mut sink = opened(&path, "rotate_every = '1ns'");
    deliver(&mut sink, 1..=2).await;
    deliver(&mut sink, 3..=4).await;
    assert_eq!((numbers(&numbered(&path, 1)), numbers(&path)), (vec![1, 2], vec![3, 4]));
    drop(sink);
    let mut sink = opened(&path, "rotate_every = '1h'");
    deliver(&mut sink, [5]).await;
    assert_eq!(numbers(&path), [3, 4, 5]);
}

#[tokio::test]
async fn a_rotation_that_was_cut_short_costs_no_file() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("x.ndjson");
    for n in [1, 3] {
        fs::write(numbered(&path, n), format!("old {n}\n")).expect("written");
    }
    let mut sink = opened(&path, "rotate_every = '1ns'\nkeep = 3");
    deliver(&mut sink, [1]).await;
    deliver(&mut sink, [2]).await;
    assert_eq!((numbers(&numbered(&path, 1)), numbers(&path)), (vec![1], vec![2]));
    assert_eq!(fs::read_to_string(numbered(&path, 2)).expect("read"), "old 1\n");
    assert_eq!(fs::read_to_string(numbered(&path, 3)).expect("read"), "old 3\n");
}

#[tokio::test]
async fn a_torn_line_is_cut_off_when_the_file_is_opened() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("x.ndjson");
    let mut sink = opened(&path, "");
    deliver(&mut sink, 1..=3).await;
    drop(sink);
    let torn = outgoing(4, 200_000).body;
    let mut file = fs::OpenOptions::new().append(true).open(&path).expect("opened");
    file.write_all(&torn[..150_000]).expect("written");
    let mut sink = opened(&path, "");
    assert_eq!(numbers(&path), [1, 2, 3]);
    deliver(&mut sink, [4]).await;
    assert_eq!(numbers(&path), [1, 2, 3, 4]);
}

#[tokio::test]
async fn a_file_that_others_move_delete_or_empty_is_begun_anew() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("x.ndjson");
    let moved = dir.path().join("x.ndjson-20261121");
    let mut sink = opened(&path, "");
    deliver(&mut sink, [1]).await;
    fs::rename(&path, &moved).expect("moved");
    deliver(&mut sink, [2]).await;
    assert_eq!((numbers(&moved), numbers(&path)), (vec![1], vec![2]));
    fs::remove_file(&path).expect("deleted");
    deliver(&mut sink, [3]).await;
    assert_eq!(numbers(&path), [3]);
    fs::write(&moved, "").expect("written");
    fs::rename(&moved, &path).expect("replaced");
    deliver(&mut sink, [4]).await;
    assert_eq!(numbers(&path), [4]);
    fs::OpenOptions::new().write(true).truncate(true).open(&path).expect("emptied");
    deliver(&mut sink, [5]).await;
    assert_eq!(numbers(&path), [5], "no hole where the old content was");
    drop(sink);
    let mut sink = opened(&path, &format!("rotate_size = '{} B'", outgoing(5, 20).body.len() * 3));
    deliver(&mut sink, [6]).await;
    fs::OpenOptions::new().write(true).truncate(true).open(&path).expect("emptied");
    deliver(&mut sink, [7, 8]).await;
    assert_eq!(numbers(&path), [7, 8]);
    assert!(!numbered(&path, 1).exists(), "what others took away does not count for the size");
}

#[tokio::test]
async fn two_sinks_never_share_a_file() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("x.ndjson");
    let mut first = opened(&path, "rotate_every = '1ns'");
    deliver(&mut first, [1]).await;
    let locked = |why: OpenError| assert!(why.to_string().contains("archive: ") && why.why.contains("locked"), "{why}");
    locked(open(&path, "").err().expect("locked"));
    deliver(&mut first, [2]).await;
    locked(open(&path, "").err().expect("locked after the rotation too"));
    assert_eq!(first.close().await, Ok(None));
    let mut second = opened(&path, "");
    match first.deliver(&[]).await {
        Err(DeliverError::Pause { why }) => assert!(why.contains("locked"), "{why}"),
        other => panic!("{other:?}"),
    }
    deliver(&mut second, [3]).await;
    assert_eq!(numbers(&path), [2, 3]);
}

#[test]
fn what_is_no_regular_file_is_refused_at_once() {
    let dir = tempfile::tempdir().expect("a directory");
    let check = |name: &str, word: &str| {
        let error = open(&dir.path().join(name), "").err().expect(word);
        assert!(error.why.contains(word), "{error}");
    };
    fs::create_dir(dir.path().join("directory")).expect("made");
    fs::write(dir.path().join("target"), "whole\ntorn").expect("written");
    std::os::unix::fs::symlink(dir.path().join("target"), dir.path().join("link")).expect("linked");
    assert!(Command::new("mkfifo").arg(dir.path().join("fifo")).status().expect("mkfifo").success());
    check("directory", "is a directory");
    check("link", "symbolic link");
    check("fifo", "no regular file");
    check("directory/", "sinks.archive.path");
    assert_eq!(fs::read_to_string(dir.path().join("target")).expect("read"), "whole\ntorn");
}

#[tokio::test]
async fn a_missing_directory_pauses_until_it_is_there() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("later/x.ndjson");
    let mut sink = opened(&path, "");
    for _ in 0..2 {
        match sink.deliver(&several([1], 20)).await {
            Err(DeliverError::Pause { why }) => assert!(why.contains("later does not exist; create it"), "{why}"),
            other => panic!("{other:?}"),
        }
    }
    fs::create_dir(dir.path().join("later")).expect("made");
    deliver(&mut sink, [1]).await;
    assert_eq!(numbers(&path), [1]);
}

/// Run by the test below as a user without rights; alone it does nothing.
#[tokio::test]
async fn the_writer_without_rights() {
    let Ok(path) = std::env::var("XDRELAY_TEST_WITHOUT_RIGHTS") else { return };
    let mut sink = opened(Path::new(&path), "");
    match sink.deliver(&several([1], 20)).await {
        Err(DeliverError::Pause { why }) => {
            assert!(why.contains("permission denied") && why.contains("let the daemon's user write"), "{why}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn missing_rights_pause_and_name_the_remedy() {
    let dir = tempfile::tempdir().expect("a directory");
    let mode = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("set");
    mode(dir.path(), 0o755);
    let logs = dir.path().join("logs");
    fs::create_dir(&logs).expect("made");
    mode(&logs, 0o555);
    // Root may write everywhere, so there it is another user who tries, with a copy of this program that he may read.
    let program = dir.path().join("tests");
    // Not by ourselves: what another thread starts meanwhile would have the copy open for writing, and nobody could run it.
    let copied = Command::new("cp").arg(std::env::current_exe().expect("this program")).arg(&program).status();
    assert!(copied.expect("cp").success());
    let mut child = Command::new(program);
    child.args(["--exact", "the_writer_without_rights"]).env("XDRELAY_TEST_WITHOUT_RIGHTS", logs.join("x.ndjson"));
    if fs::metadata(dir.path()).expect("metadata").uid() == 0 {
        child.uid(65_534).gid(65_534);
    }
    let output = child.current_dir("/").output().expect("run");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    assert!(String::from_utf8_lossy(&output.stdout).contains("1 passed"));
}

/// A small file system in memory, unmounted at the end.
struct Tmpfs(tempfile::TempDir);

impl Tmpfs {
    /// None where we may not mount.
    fn mount(size: &str) -> Option<Self> {
        let dir = tempfile::tempdir().expect("a directory");
        let options = format!("size={size}");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &options, "xdrelay-test"]).arg(dir.path()).stderr(Stdio::null());
        mount.status().is_ok_and(|status| status.success()).then(|| Self(dir))
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0.path()).status();
    }
}

#[tokio::test]
async fn a_full_disk_leaves_whole_lines_and_goes_on_when_there_is_room() {
    let Some(disk) = Tmpfs::mount("1m") else {
        skipped::<()>("a full disk needs the right to mount a tmpfs (run as root)");
        return;
    };
    let path = disk.0.path().join("x.ndjson");
    let ballast = disk.0.path().join("ballast");
    fs::write(&ballast, vec![0; 500_000]).expect("written");
    let mut sink = opened(&path, "");
    let events = several(1..=40, 20_000);
    let mut done = 0;
    let why = loop {
        match sink.deliver(&events[done..done + 10]).await {
            Ok(Some(seq)) => done = seq.0 as usize,
            Err(DeliverError::Retry { why, after: None }) => break why,
            other => panic!("{other:?}"),
        }
    };
    assert!(why.contains("the disk is full; delivery goes on by itself"), "{why}");
    assert!((10..=30).contains(&done), "{done}");
    assert!(sink.deliver(&events[done..]).await.is_err(), "still full");
    assert_eq!(numbers(&path), (1..=done as u64).collect::<Vec<_>>(), "what was not acknowledged is gone again");
    fs::remove_file(ballast).expect("deleted");
    assert_eq!(sink.deliver(&events[done..]).await, Ok(Some(Seq(40))));
    assert_eq!(numbers(&path), (1..=40).collect::<Vec<_>>());
}

/// Run by the test below with a disk that fails now and then; alone it does nothing.
#[tokio::test]
async fn the_writer_whose_fsync_fails() {
    let Ok(path) = std::env::var("XDRELAY_TEST_FSYNC_FAILS") else { return };
    let path = Path::new(&path);
    let mut sink = opened(path, "");
    let events = several(1..=40, 20);
    let (mut done, mut failures) = (0, 0);
    while done < 40 {
        match sink.deliver(&events[done..done + 4]).await {
            Ok(Some(seq)) => done = seq.0 as usize,
            Err(DeliverError::Retry { why, after: None }) => {
                assert!(why.contains("cannot write") && why.contains("os error 5"), "{why}");
                failures += 1;
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(numbers(path), (1..=done as u64).collect::<Vec<_>>());
    }
    assert!(0 < failures, "no fsync failed");
}

#[test]
fn what_could_not_be_synced_is_cut_off_and_written_again() {
    let strace = |more: &[&str]| {
        let mut strace = Command::new("strace");
        strace.args(["-f", "-o", "/dev/null"]).args(more);
        strace
    };
    if !strace(&["true"]).stderr(Stdio::null()).status().is_ok_and(|status| status.success()) {
        skipped::<()>("a failing fsync needs strace and the right to trace");
        return;
    }
    let dir = tempfile::tempdir().expect("a directory");
    let output = strace(&["-e", "trace=fdatasync", "-e", "inject=fdatasync:error=EIO:when=2+3"])
        .arg(std::env::current_exe().expect("this program"))
        .args(["--exact", "the_writer_whose_fsync_fails"])
        .env("XDRELAY_TEST_FSYNC_FAILS", dir.path().join("x.ndjson"))
        .output()
        .expect("run");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

/// Run by the test below, and killed; alone it does nothing.
#[tokio::test]
async fn the_writer_that_is_killed() {
    let Ok(path) = std::env::var("XDRELAY_TEST_KILLED") else { return };
    let mut sink = opened(Path::new(&path), "rotate_size = '4 MiB'\nkeep = 1000");
    let first = std::env::var("XDRELAY_TEST_FIRST").ok().and_then(|text| text.parse::<u64>().ok()).expect("a number");
    for from in (first..).step_by(10) {
        let events = several(from..from + 10, 100_000);
        assert_eq!(sink.deliver(&events).await, Ok(Some(Seq(from + 9))));
        println!("\nacknowledged {}", from + 9);
    }
}

#[tokio::test]
async fn a_kill_at_any_time_leaves_whole_lines_and_loses_nothing_acknowledged() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("x.ndjson");
    let mut written = 0;
    for round in 0..6 {
        let mut child = Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", "the_writer_that_is_killed", "--nocapture"])
            .env("XDRELAY_TEST_KILLED", &path)
            .env("XDRELAY_TEST_FIRST", (written + 1).to_string())
            .stdout(Stdio::piped())
            .spawn()
            .expect("started");
        let mut acknowledged = 0;
        let stdout = BufReader::new(child.stdout.take().expect("piped"));
        let marks =
            stdout.lines().map_while(Result::ok).filter_map(|line| line.strip_prefix("acknowledged ")?.parse().ok());
        for mark in marks.take(1 + round) {
            acknowledged = mark;
        }
        child.kill().expect("killed");
        child.wait().expect("gone");
        assert!(written < acknowledged, "the writer got nowhere");
        drop(opened(&path, ""));
        let files: Vec<_> = (1..=1000).map(|n| numbered(&path, n)).take_while(|path| path.exists()).collect();
        let all: Vec<_> = files.iter().rev().chain([&path]).flat_map(|path| numbers(path)).collect();
        written = *all.last().expect("lines");
        assert_eq!(all, (1..=written).collect::<Vec<_>>(), "round {round}");
        assert!(acknowledged <= written, "round {round}: {acknowledged} acknowledged, {written} there");
    }
}
