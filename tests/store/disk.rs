//! Disks that are full, and disks that cannot be written to: real ones, small enough to fill. Needs the right to mount.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;
use xdrelay::store::error::{OpenError, StoreError};
use xdrelay::store::tally::Room;
use xdrelay::store::{Settings, Store};

use crate::life::{Known, Life, lived, rows};
use crate::skipped::say;
use crate::{acknowledge, directory, open, page, seqs, settings, sink, skip, until};

const MIB: u64 = 1 << 20;
/// A small disk that is filled by more than this is broken.
const PAGES_MAX: u64 = 2000;

/// A file system of its own, unmounted at the end.
struct Disk {
    at: PathBuf,
    _dir: TempDir,
}

impl Disk {
    /// In memory. None where we may not mount.
    fn in_memory(bytes: u64) -> Option<Self> {
        let dir = directory();
        let at = dir.path().join("disk");
        fs::create_dir(&at).expect("made");
        run(Command::new("mount").args(["-t", "tmpfs", "-o", &format!("size={bytes}"), "xdrelay-test"]).arg(&at))
            .then_some(Self { at, _dir: dir })
    }

    /// An ext4 in a file. None where there are no loop devices, or none for us.
    fn in_a_file(bytes: u64) -> Option<Self> {
        let dir = directory();
        let (at, image) = (dir.path().join("disk"), dir.path().join("image"));
        fs::create_dir(&at).expect("made");
        fs::File::create(&image).and_then(|file| file.set_len(bytes)).expect("an image");
        let made = run(Command::new("mkfs.ext4").args(["-q", "-F", "-m", "0"]).arg(&image));
        (made && run(Command::new("mount").args(["-o", "loop"]).arg(&image).arg(&at))).then_some(Self { at, _dir: dir })
    }

    fn read_only(&self) {
        assert!(run(Command::new("mount").args(["-o", "remount,ro"]).arg(&self.at)), "not made read-only");
    }

    fn state(&self) -> PathBuf {
        self.at.join("state")
    }

    /// Takes room away, down to so many bytes that are left.
    fn fill(&self, left: u64) {
        let free = rustix::fs::statvfs(&self.at).map(|disk| disk.f_bavail * disk.f_frsize).expect("its numbers");
        fs::write(self.at.join("filler"), vec![1; usize::try_from(free.saturating_sub(left)).expect("small")])
            .expect("it fits");
    }

    fn free(&self) {
        fs::remove_file(self.at.join("filler")).expect("removed");
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // The store lets go of its files only a moment after it was closed.
        let _ = run(Command::new("umount").arg("-l").arg(&self.at));
    }
}

fn run(command: &mut Command) -> bool {
    command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

/// Commits pages from here on until the disk is full. Returns the first page that did not go in.
async fn fill_up(store: &Store, known: &mut Known, from: u64) -> u64 {
    for n in from..from + PAGES_MAX {
        match store.commit_page(page(rows(n))).await {
            Ok(_) => known.note("events", store.newest().borrow().0),
            Err(StoreError::Full { .. }) => return n,
            Err(error) => panic!("{error}"),
        }
    }
    panic!("the disk is never full");
}

async fn a_full_disk_is_waited_for(disk: Disk, what: &str) {
    disk.fill(3 * MIB);
    let store = open(&disk.state());
    store.register_sinks(&[sink("siem")]).await.expect("registered");
    let mut known = Known::default();
    let first = fill_up(&store, &mut known, 0).await;
    assert!(matches!(store.room(), Room::DiskFull { .. }), "{what}: {:?}", store.room());
    assert!(10 < known.events, "{what}: {first} pages went in");
    for _ in 0..3 {
        // Still full: whoever tries is told so, and nothing goes wrong by trying.
        let again = store.commit_page(page(rows(first))).await;
        assert!(matches!(again, Ok(_) | Err(StoreError::Full { .. })), "{what}: {again:?}");
        known.note("events", store.newest().borrow().0);
    }
    // As a kill would leave it now.
    let (copy, said) = (directory(), known.clone());
    copy_all(&disk.state(), copy.path());
    disk.free();
    until("the store is open again", || store.state().is_ok()).await;
    let lived = Life::new(&store, &mut |word, number| known.note(word, number)).live(first + 5).await;
    lived.unwrap_or_else(|error| panic!("{what}: {error}"));
    known.check(&store).unwrap_or_else(|why| panic!("{what}: {why}"));
    known.check_marks(&store).await;
    store.close().await.expect("closed");
    let store = open(&disk.state());
    known.check(&store).unwrap_or_else(|why| panic!("{what}, after a restart: {why}"));
    store.close().await.expect("closed");
    // What was on the full disk at that time would have done as well.
    let store = open(copy.path());
    let mut known = said;
    known.check(&store).unwrap_or_else(|why| panic!("{what}, killed while it was full: {why}"));
    println!("{what}: full after {first} pages, went on by itself when freed");
}

#[tokio::test]
async fn a_full_disk_of_8_mb_loses_nothing_and_the_store_goes_on_when_it_is_freed() {
    match Disk::in_a_file(8 * MIB) {
        Some(disk) => a_full_disk_is_waited_for(disk, "ext4 on a loop device").await,
        // Not every container has loop devices; the other one has to do there, in CI too.
        None => say("a full ext4: no loop device can be mounted here"),
    }
    match Disk::in_memory(8 * MIB) {
        Some(disk) => a_full_disk_is_waited_for(disk, "tmpfs").await,
        None => drop(skip("a full disk: nothing can be mounted here")),
    }
}

#[tokio::test]
async fn with_its_ballast_the_store_goes_on_delivering_from_a_disk_that_stays_full() {
    let Some(disk) = Disk::in_memory(64 * MIB) else {
        skip("a full disk and the ballast: no tmpfs can be mounted here");
        return;
    };
    let store = open(&disk.state());
    store.register_sinks(&[sink("siem")]).await.expect("registered");
    assert!(disk.state().join("ballast").exists());
    disk.fill(2 * MIB);
    let mut known = Known::default();
    fill_up(&store, &mut known, 0).await;
    until("the ballast is given back", || !disk.state().join("ballast").exists()).await;
    until("the store is open again", || store.state().is_ok()).await;
    assert!(matches!(store.room(), Room::DiskFull { .. }), "polling pauses: {:?}", store.room());
    known.note("events", store.newest().borrow().0);
    let end = known.events;
    acknowledge(&store, "siem", end, &[]).await;
    until("everything is delivered and cut", || store.tally().is_ok_and(|tally| tally.outbox_events == 0)).await;
    store.close().await.expect("closed");
    let store = open(&disk.state());
    assert_eq!((store.newest().borrow().0, seqs(&store)), (end, vec![]));
    store.close().await.expect("closed");
}

#[tokio::test]
async fn a_start_on_a_full_disk_stops_with_a_sentence_and_never_begins_anew() {
    let Some(disk) = Disk::in_memory(8 * MIB) else {
        skip("a start on a full disk: no tmpfs can be mounted here");
        return;
    };
    let mut known = lived(&disk.state(), 8).await;
    disk.fill(0);
    match crate::opened(settings(&disk.state())) {
        // It needed no room.
        Ok(opened) => {
            assert_eq!(opened.recovery, None);
            known.check(&opened.store).expect("all is there");
            drop(opened);
        }
        Err(error) => assert!(matches!(error, OpenError::Full { .. }), "{error}"),
    }
    disk.free();
    let store = reopened(&disk.state()).await;
    known.check(&store).expect("all is there");
}

#[tokio::test]
async fn a_disk_that_is_read_only_stops_the_start_with_a_sentence() {
    let Some(disk) = Disk::in_memory(32 * MIB) else {
        skip("a read-only mount: no tmpfs can be mounted here");
        return;
    };
    let mut known = lived(&disk.state(), 8).await;
    // The database is let go of only a moment after it was closed.
    until("it is let go of", || run(Command::new("mount").args(["-o", "remount,ro"]).arg(&disk.at))).await;
    disk.read_only();
    for dir in [disk.state(), disk.at.join("fresh")] {
        let error = crate::opened(settings(&dir)).expect_err("read-only");
        assert!(error.to_string().contains("Read-only file system"), "{error}");
    }
    assert!(run(Command::new("mount").args(["-o", "remount,rw"]).arg(&disk.at)));
    let store = open(&disk.state());
    known.check(&store).expect("all is there");
}

/// Where the child below finds its directory.
const CHILD: &str = "XDRELAY_STORE_TEST_READ_ONLY";

/// Not a test by itself: what the test below runs as a user without rights.
#[test]
fn the_child_that_may_not_write() {
    let Some(dir) = std::env::var_os(CHILD) else { return };
    let error = crate::opened(settings(Path::new(&dir))).expect_err("no rights");
    assert!(matches!(error, OpenError::Io { .. }), "{error}");
    println!("\n:{error}");
}

#[tokio::test]
async fn a_directory_that_may_not_be_written_to_stops_the_start_with_a_sentence() {
    let dir = directory();
    let mode = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("set");
    mode(dir.path(), 0o755);
    let state = dir.path().join("state");
    let mut known = lived(&state, 8).await;
    mode(&state, 0o555);
    // Root may write everywhere, so it is another user who tries, with a copy of this program that he may run.
    let program = dir.path().join("tests");
    // Not by ourselves: what another thread starts meanwhile would have the copy open for writing, and nobody could run it.
    let copied = Command::new("cp").arg(std::env::current_exe().expect("this program")).arg(&program).status();
    assert!(copied.expect("cp").success());
    let mut child = Command::new(program);
    child.args(["--exact", "disk::the_child_that_may_not_write", "--nocapture"]).env(CHILD, &state).current_dir("/");
    if fs::metadata(dir.path()).expect("metadata").uid() == 0 {
        child.uid(65_534).gid(65_534);
    }
    let said = String::from_utf8(child.output().expect("it ran").stdout).expect("text");
    let expected = format!(":{}/lock: Permission denied", state.display());
    assert!(said.contains(&expected) && said.contains("must be one that this user can write to"), "{said}");
    mode(&state, 0o700);
    let store = open(&state);
    known.check(&store).expect("all is there");
}

fn copy_all(from: &Path, to: &Path) {
    assert!(run(Command::new("cp").arg("-a").arg(from.join(".")).arg(to)), "not copied");
}

/// Opens a directory that a store in this process may still be letting go of.
async fn reopened(dir: &Path) -> Store {
    for _ in 0..500 {
        match crate::opened(Settings { ..settings(dir) }) {
            Ok(opened) => return opened.store,
            Err(OpenError::Held { .. } | OpenError::Full { .. }) => tokio::task::yield_now().await,
            Err(error) => panic!("{error}"),
        }
    }
    panic!("it never opens again");
}
