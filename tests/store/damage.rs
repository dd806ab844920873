//! Damaged, foreign, newer and held directories.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;
use xdrelay::core::position::Position;
use xdrelay::core::quarantine::{Quarantine, Quarantined};
use xdrelay::core::quota::QuotaState;
use xdrelay::model::moment::Moment;
use xdrelay::model::names::Seq;
use xdrelay::store::error::{OpenError, StoreError};
use xdrelay::store::{Endpoint, OnCorrupt, Opened, Settings};

use crate::{acknowledge, commit, directory, ids, open, read, row, second, seqs, settings, sink, tenant, until};

const CHILD: &str = "XDRELAY_STORE_TEST_SECOND";
const QUOTA: QuotaState = QuotaState { minute: Moment::from_nanos(77), hour: Moment::from_nanos(88) };

fn position(at: u64) -> Position {
    Position { floor: second(0), swept: Some(second(at)), ..Position::start(second(at)) }
}

/// A closed store whose sink has the first of three events, with its cursor behind all of them.
async fn made() -> TempDir {
    let dir = directory();
    let store = open(dir.path());
    store.register_sinks(&[sink("siem")]).await.expect("registered");
    commit(&store, vec![row(1, 10, "a"), row(2, 20, "b"), row(3, 30, "c")]).await;
    acknowledge(&store, "siem", 1, &[]).await;
    store.set_position(&tenant(), position(100)).await.expect("set");
    store.set_quota(&tenant(), Endpoint::List, QUOTA).await.expect("set");
    let window = Quarantined::new((second(40), second(41)), second(50), "500");
    let quarantine = Quarantine::default().with(window).expect("room");
    store.set_quarantine(&tenant(), quarantine).await.expect("set");
    until("the first is cut", || seqs(&store) == [2, 3]).await;
    store.close().await.expect("closed");
    dir
}

/// Turns every bit of the database over.
fn spoil(dir: &Path) {
    let file = dir.join("sled/db");
    let mut bytes = fs::read(&file).expect("sled's file");
    for byte in bytes.iter_mut().skip(64) {
        *byte = !*byte;
    }
    fs::write(file, bytes).expect("written");
}

fn error_of(settings: Settings) -> OpenError {
    match crate::opened(settings) {
        Ok(opened) => panic!("it opened: {opened:?}"),
        Err(error) => error,
    }
}

fn set_aside(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).expect("the directory").map(|entry| entry.expect("an entry").path());
    entries.filter(|path| path.to_string_lossy().contains("sled.damaged-")).collect()
}

#[tokio::test]
async fn a_damaged_ledger_is_made_again_from_its_checkpoint_and_nothing_is_lost() {
    for ruin in [
        spoil,
        |dir: &Path| fs::remove_dir_all(dir.join("sled")).expect("removed"),
        |dir: &Path| fs::File::create(dir.join("sled/db")).map(drop).expect("emptied"),
    ] {
        let dir = made().await;
        let before = {
            let store = open(dir.path());
            let before = ids(&read(&store, 0).events);
            store.close().await.expect("closed");
            before
        };
        ruin(dir.path());
        let Opened { store, recovery } = crate::opened(settings(dir.path())).expect("made again");
        let recovery = recovery.expect("it says so");
        assert_eq!(recovery.tenants, [tenant()], "{recovery:?}");
        assert_eq!(recovery.set_aside.into_iter().collect::<Vec<_>>(), set_aside(dir.path()));
        let restored = store.position(&tenant()).expect("read").expect("a position");
        assert!(
            second(0) < restored.cursor && restored.cursor <= second(20),
            "{restored:?} is before what is undelivered"
        );
        assert_eq!((restored.floor, restored.swept), (second(0), None));
        assert_eq!(store.quota(&tenant(), Endpoint::List).expect("read"), Some(QUOTA));
        // What the source gives again has the same ids and higher positions.
        store.register_sinks(&[sink("siem")]).await.expect("registered");
        commit(&store, vec![row(2, 20, "b"), row(3, 30, "c")]).await;
        let again = read(&store, 0);
        assert_eq!(ids(&again.events), before);
        assert_eq!((again.events[0].0, again.events[0].1.sequence), (Seq(4), 4));
        store.close().await.expect("closed");
        open(dir.path()).close().await.expect("closed");
    }
}

#[tokio::test]
async fn with_everything_delivered_a_rebuilt_tenant_goes_on_from_its_cursor() {
    let dir = made().await;
    let store = open(dir.path());
    acknowledge(&store, "siem", 3, &[3]).await;
    store.close().await.expect("closed");
    spoil(dir.path());
    let Opened { store, .. } = crate::opened(settings(dir.path())).expect("made again");
    assert_eq!(store.position(&tenant()).expect("read"), Some(Position { swept: None, ..position(100) }));
}

#[tokio::test]
async fn damage_is_never_taken_for_a_first_run() {
    let dir = made().await;
    spoil(dir.path());
    let stop = Settings { on_corrupt: OnCorrupt::Stop, ..settings(dir.path()) };
    assert!(matches!(error_of(stop), OpenError::Corrupt { .. }));
    assert!(set_aside(dir.path()).is_empty());
    for name in ["checkpoint.a", "checkpoint.b"] {
        let _ = fs::remove_file(dir.path().join(name));
    }
    assert!(matches!(error_of(settings(dir.path())), OpenError::Corrupt { .. }));
    fs::File::create(dir.path().join("sled/db")).expect("emptied");
    assert!(matches!(error_of(settings(dir.path())), OpenError::Corrupt { .. }));
    fs::rename(dir.path().join("sled"), dir.path().join("sled.damaged-1")).expect("moved");
    assert!(matches!(error_of(settings(dir.path())), OpenError::Corrupt { .. }));
}

#[tokio::test]
async fn a_directory_that_is_damaged_again_and_again_is_left_for_somebody_to_look_at() {
    let dir = made().await;
    for _ in 0..3 {
        spoil(dir.path());
        crate::opened(settings(dir.path())).expect("made again").store.close().await.expect("closed");
    }
    spoil(dir.path());
    let error = error_of(settings(dir.path()));
    assert!(matches!(error, OpenError::Corrupt { .. }), "{error}");
    assert_eq!(set_aside(dir.path()).len(), 3);
}

#[tokio::test]
async fn a_tenant_is_in_the_checkpoint_from_its_first_position_on() {
    let dir = directory();
    let store = open(dir.path());
    store.set_position(&tenant(), position(5)).await.expect("set");
    // As a kill would leave them: the files of this moment, without a close.
    let copy = directory();
    for name in ["checkpoint.a", "checkpoint.b"] {
        let _ = fs::copy(dir.path().join(name), copy.path().join(name));
    }
    let Opened { store, recovery } = crate::opened(settings(copy.path())).expect("made");
    assert!(recovery.is_some());
    assert_eq!(store.position(&tenant()).expect("read").map(|position| position.cursor), Some(second(5)));
}

#[tokio::test]
async fn a_chunk_that_rots_is_found_when_it_is_read_and_the_next_start_rebuilds() {
    let dir = made().await;
    rewrite(dir.path(), |db| {
        let (key, mut value) = db.scan_prefix([0x31]).next().expect("a chunk").expect("read");
        value[10] ^= 1;
        db.insert(key, value).expect("written");
    });
    let store = open(dir.path());
    let error = store.read_after(Seq(0), &|_, _| true, crate::EVERYTHING).expect_err("rotten");
    assert!(matches!(error, StoreError::Corrupt { .. }), "{error}");
    assert_eq!(store.set_position(&tenant(), position(200)).await, Err(error.clone()), "nothing goes on after that");
    assert_eq!(store.state(), Err(error));
    drop(store);
    let Opened { recovery, .. } = reopened(dir.path()).await;
    assert!(recovery.expect("it says so").why.contains("checksum"));
}

#[tokio::test]
async fn what_the_database_forgot_is_found_out() {
    /// Takes out the nth of the keys that begin so.
    fn forget(db: &sled::Db, kind: u8, n: usize) {
        let (key, _) = db.scan_prefix([kind]).nth(n).expect("a key").expect("read");
        db.remove(key).expect("removed");
    }
    let check = async |what: &str, change: &dyn Fn(&sled::Db)| {
        let dir = made().await;
        rewrite(dir.path(), change);
        let Opened { store, recovery } = crate::opened(settings(dir.path())).expect(what);
        assert!(recovery.is_some(), "{what} was not found out");
        let cursor = store.position(&tenant()).expect("read").expect("a position").cursor;
        assert!(cursor <= second(20), "{what}: what is undelivered is read again");
    };
    check("the version", &|db| forget(db, 0x01, 0)).await;
    check("the totals", &|db| forget(db, 0x02, 0)).await;
    check("a position", &|db| forget(db, 0x10, 0)).await;
    check("a quarantine", &|db| forget(db, 0x13, 0)).await;
    check("a sequence", &|db| forget(db, 0x11, 0)).await;
    check("an event in the middle", &|db| forget(db, 0x30, 0)).await;
    check("the newest event", &|db| forget(db, 0x30, 1)).await;
    check("everything", &|db| db.clear().expect("cleared")).await;
}

#[tokio::test]
async fn a_quota_that_the_database_forgot_is_the_checkpoints_again() {
    let dir = made().await;
    rewrite(dir.path(), |db| drop(db.remove(db.scan_prefix([0x12]).keys().next().expect("a quota").expect("read"))));
    let store = open(dir.path());
    assert_eq!(store.quota(&tenant(), Endpoint::List).expect("read"), Some(QUOTA));
}

#[tokio::test]
async fn a_mark_whose_event_was_forgotten_is_found_out_when_its_incident_is_read_again() {
    let dir = made().await;
    rewrite(dir.path(), |db| {
        let key = db.scan_prefix([0x20]).keys().next().expect("a mark").expect("read");
        let value = db.get(&key).expect("read").expect("a mark");
        let body = String::from_utf8_lossy(&value[4..]).replace("\"seq\":1", "\"seq\":9");
        db.insert(&key, sealed(&key, body.as_bytes())).expect("written");
    });
    let store = open(dir.path());
    let error = store.commit_page(crate::page(vec![row(1, 10, "a")])).await.expect_err("found out");
    assert!(matches!(error, StoreError::Corrupt { .. }), "{error}");
}

#[tokio::test]
async fn chunks_without_an_event_are_cleared() {
    let dir = made().await;
    rewrite(dir.path(), |db| {
        for n in 0..5000_u32 {
            let key = [&[0x31][..], &4_u64.to_be_bytes(), &n.to_be_bytes()].concat();
            db.insert(key, b"half an event").expect("written");
        }
    });
    let store = open(dir.path());
    assert_eq!(commit(&store, vec![row(4, 40, "d")]).await.events.len(), 1);
    assert_eq!(seqs(&store), [2, 3, 4]);
    store.close().await.expect("closed");
    let mut chunks = 0;
    rewrite(dir.path(), |db| chunks = db.scan_prefix([0x31]).count());
    assert_eq!(chunks, 3);
}

#[tokio::test]
async fn a_snapshot_that_sled_was_killed_in_is_not_taken_for_damage() {
    let dir = made().await;
    let unfinished = dir.path().join("sled/snap.FFFFFFFFFFFFFFFF.generating");
    for bytes in [&b""[..], b"half a snapshot of the table of pages"] {
        fs::write(&unfinished, bytes).expect("written");
        let store = open(dir.path());
        assert_eq!(seqs(&store), [2, 3]);
        store.close().await.expect("closed");
        assert!(!unfinished.exists());
    }
}

#[tokio::test]
async fn a_newer_format_is_left_alone_and_so_is_one_that_never_was() {
    for (format, remedy) in [(2, "use the newer xdrelay again"), (0, "restore the directory")] {
        let dir = made().await;
        rewrite(dir.path(), |db| {
            let body = format!(r#"{{"ledger":"xdrelay ledger","format":{format},"made":1,"more":true}}"#);
            db.insert([0x01], sealed(&[0x01], body.as_bytes())).expect("written");
        });
        let error = error_of(settings(dir.path()));
        assert!(matches!(error, OpenError::OtherFormat { found, known: 1, .. } if found == format), "{error}");
        assert!(error.to_string().contains(remedy), "{error}");
        assert!(set_aside(dir.path()).is_empty());
    }
}

#[test]
fn a_directory_of_something_else_is_left_alone() {
    let check = |fill: &dyn Fn(&Path)| {
        let dir = directory();
        fill(dir.path());
        let error = error_of(settings(dir.path()));
        assert!(matches!(error, OpenError::Foreign { .. }), "{error}");
        assert!(!dir.path().join("lock").exists() || dir.path().join("sled").exists());
    };
    check(&|dir| fs::write(dir.join("letter.txt"), "dear").expect("written"));
    check(&|dir| fs::create_dir(dir.join("etc")).expect("made"));
    check(&|dir| fs::create_dir(dir.join("sled")).expect("made"));
    check(&|dir| rewrite(dir, |db| drop(db.insert("a", "b").expect("written"))));
}

#[test]
fn what_a_fresh_volume_has_in_it_does_not_matter() {
    let dir = directory();
    fs::create_dir(dir.path().join("lost+found")).expect("made");
    fs::create_dir(dir.path().join("sled.new")).expect("made");
    let _listener = std::os::unix::net::UnixListener::bind(dir.path().join("control.sock")).expect("bound");
    open(dir.path());
}

#[test]
fn a_new_directory_is_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let dir = directory();
    let path = dir.path().join("var/lib");
    open(&path);
    assert_eq!(fs::metadata(&path).expect("made").permissions().mode() & 0o777, 0o700);
    let error = error_of(settings(&path.join("lock")));
    assert!(matches!(error, OpenError::Io { .. }), "{error}");
}

/// Not a test by itself: what the test below runs in a second process.
#[test]
fn the_second_process() {
    let Some(dir) = std::env::var_os(CHILD) else { return };
    print!("\n:{}\n", error_of(settings(Path::new(&dir))));
}

#[tokio::test]
async fn a_second_process_is_told_so_by_name() {
    let dir = directory();
    let store = open(dir.path());
    let output = Command::new(std::env::current_exe().expect("this program"))
        .args(["damage::the_second_process", "--exact", "--nocapture"])
        .env(CHILD, dir.path())
        .stderr(Stdio::inherit())
        .output()
        .expect("it ran");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let expected = format!("{} is held by another xdrelay (process {})", dir.path().display(), std::process::id());
    assert!(text.contains(&expected), "{text}");
    assert!(matches!(error_of(settings(dir.path())), OpenError::Held { .. }), "in the same process too");
    store.close().await.expect("closed");
    open(dir.path());
}

/// A value with the checksum that makes it count.
pub(crate) fn sealed(key: &[u8], body: &[u8]) -> Vec<u8> {
    let sum = crc32fast::hash(&[key, body].concat());
    [&sum.to_be_bytes()[..], body].concat()
}

/// Opens the database behind the store's back.
pub(crate) fn rewrite(dir: &Path, change: impl FnOnce(&sled::Db)) {
    let db = loop {
        match sled::open(dir.join("sled")) {
            Ok(db) => break db,
            // Let go of only a moment after it was closed.
            Err(error) => assert!(error.to_string().contains("could not acquire lock"), "{error}"),
        }
        std::thread::yield_now();
    };
    change(&db);
    db.flush().expect("written");
}

/// Opens a directory that a store in this process may still be letting go of.
async fn reopened(dir: &Path) -> Opened {
    for _ in 0..2000 {
        match crate::opened(settings(dir)) {
            Ok(opened) => return opened,
            Err(OpenError::Held { .. }) => tokio::time::sleep(std::time::Duration::from_millis(5)).await,
            Err(error) => panic!("{error}"),
        }
    }
    panic!("not within ten seconds");
}
