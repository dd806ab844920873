//! State directories that earlier programs left behind, as they are in `testdata/store`: each opens and has in it what was put
//! there. A released format is never made again; how the first was made stands beside it, and here.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use xdrelay::core::position::{Audited, Position};
use xdrelay::core::quarantine::{Quarantine, Quarantined};
use xdrelay::core::quota::QuotaState;
use xdrelay::model::event::Kind;
use xdrelay::model::moment::Moment;
use xdrelay::model::names::{Seq, TenantKey, TenantName};
use xdrelay::store::page::PageBatch;
use xdrelay::store::{Endpoint, OnCorrupt, Opened, Settings};

use crate::damage::{rewrite, sealed};
use crate::{acknowledge, directory, ids, opened, page, read, row, second, seqs, settings, sink, until};

/// Names the directory to make. Not set in tests.
const MAKE: &str = "XDRELAY_STORE_FIXTURE";
/// What belongs to it; the rest is made again by whoever opens it.
const KEPT: [&str; 4] = ["sled/conf", "sled/db", "checkpoint.a", "checkpoint.b"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/store")
}

/// Two tenants: one whose position was written before there were audits, one with everything.
fn keys() -> [TenantKey; 2] {
    [TenantKey::of("global", "contoso.example"), TenantKey::of("china", "22222222-2222-2222-2222-222222222222")]
}

fn positions() -> [Position; 2] {
    let audited = Audited { near: Some(second(40)), deep: Some(second(41)) };
    [
        Position { floor: second(1), swept: Some(second(31)), ..Position::start(second(30)) },
        Position { floor: second(2), swept: None, audited, ..Position::start(second(42)) },
    ]
}

fn quota(n: u64) -> QuotaState {
    QuotaState { minute: Moment::from_nanos(n), hour: Moment::from_nanos(n + 1) }
}

fn quarantine() -> Quarantine {
    // As it was written then, quotes and all.
    let why = "500: \"cannot be read\"".to_owned();
    let window = Quarantined { why, ..Quarantined::new((second(50), second(51)), second(52), "") };
    Quarantine::default().with(window).expect("room")
}

/// Not a test by itself: `XDRELAY_STORE_FIXTURE=DIR cargo test --test store formats` makes such a directory.
#[tokio::test]
async fn the_directory_is_made_where_it_is_asked_for() {
    let Some(dir) = std::env::var_os(MAKE).map(PathBuf::from) else { return };
    assert!(!dir.exists(), "what is there already is for ever");
    let store = opened(settings(&dir)).expect("made").store;
    store.register_sinks(&[sink("siem"), sink("archive")]).await.expect("registered");
    let [contoso, fabrikam] = keys();
    store.commit_page(first_page(&contoso)).await.expect("committed");
    let later =
        PageBatch { key: fabrikam.clone(), tenant: TenantName::new("fabrikam"), ..page(vec![row(7, 33, "ö")]) };
    store.commit_page(later).await.expect("committed");
    acknowledge(&store, "siem", 3, &[1]).await;
    acknowledge(&store, "archive", 2, &[]).await;
    until("the second is cut", || seqs(&store) == [1, 3, 4, 5]).await;
    for (n, (key, position)) in keys().iter().zip(positions()).enumerate() {
        store.set_position(key, position).await.expect("set");
        store.set_quota(key, Endpoint::List, quota(100 * n as u64)).await.expect("set");
    }
    store.set_quota(&fabrikam, Endpoint::Get, quota(700)).await.expect("set");
    store.set_quarantine(&fabrikam, quarantine()).await.expect("set");
    store.close().await.expect("closed");
    rewrite(&dir, |db| {
        let (key, value) = db
            .scan_prefix([0x10])
            .find_map(|pair| pair.ok().filter(|(_, v)| v.ends_with(b"{}},\"end\":5}")))
            .unwrap_or_else(|| panic!("{:?}", db.scan_prefix([0x10]).collect::<Vec<_>>()));
        let body = String::from_utf8_lossy(&value[4..]).replace(",\"audited\":{}", "");
        db.insert(&key, sealed(&key, body.as_bytes())).expect("written");
    });
    for name in ["lock", "ballast"] {
        fs::remove_file(dir.join(name)).expect("removed");
    }
}

fn first_page(key: &TenantKey) -> PageBatch {
    let rows = vec![row(1, 10, "refused"), row(2, 11, "cut"), row(3, 12, "the archive lacks it"), row(1, 13, "again")];
    PageBatch { key: key.clone(), ..page(rows) }
}

#[tokio::test]
async fn every_format_that_was_released_opens_and_has_everything_in_it() {
    let released: BTreeSet<_> =
        fs::read_dir(root()).expect("the directory").map(|entry| entry.expect("an entry").file_name()).collect();
    assert_eq!(released, BTreeSet::from(["v1".into()]), "a format that no test opens");
    let dir = copied("v1");
    let Opened { store, recovery } = opened(settings(dir.path())).expect("it opens");
    assert_eq!(recovery, None);
    check_delivered_state(&store);

    let events = read(&store, 0).events;
    let found: Vec<_> =
        events.iter().map(|(seq, event)| (seq.0, event.sequence, event.kind, event.tenant.as_str())).collect();
    let expected = [
        (1, 1, Kind::Created, "contoso"),
        (3, 3, Kind::Created, "contoso"),
        (4, 4, Kind::Updated, "contoso"),
        (5, 1, Kind::Created, "fabrikam"),
    ];
    assert_eq!(found, expected);
    assert_eq!(events[3].1.incident.get(), row(7, 33, "ö").raw.get());
    assert_eq!(events[3].1.last_update, Some(second(33)));
    let page = store.commit_page(first_page(&keys()[0])).await.expect("committed");
    assert_eq!(page.events, [], "the marks are known");
    assert_eq!(store.tally().expect("a tally").seen, 4);
    store.close().await.expect("closed");
}

fn check_delivered_state(store: &xdrelay::store::Store) {
    for (n, (key, position)) in keys().iter().zip(positions()).enumerate() {
        assert_eq!(store.position(key).expect("read"), Some(position), "{key}");
        assert_eq!(store.quota(key, Endpoint::List).expect("read"), Some(quota(100 * n as u64)));
    }
    let [contoso, fabrikam] = keys();
    assert_eq!(store.quota(&contoso, Endpoint::Get).expect("read"), None);
    assert_eq!(store.quota(&fabrikam, Endpoint::Get).expect("read"), Some(quota(700)));
    assert_eq!(store.quarantine(&contoso).expect("read"), Quarantine::default());
    assert_eq!(store.quarantine(&fabrikam).expect("read"), quarantine());
    let progress = |name: &str| store.progress(&sink(name)).expect("registered").acknowledged;
    assert_eq!((progress("siem"), progress("archive")), (Seq(3), Seq(2)));
    let refused = store.refused(&sink("siem")).expect("read");
    assert_eq!(refused.iter().map(|refusal| (refusal.seq, &*refusal.why)).collect::<Vec<_>>(), [(Seq(1), "too odd")]);
    assert_eq!(store.refused(&sink("archive")).expect("read"), []);
}

#[tokio::test]
async fn the_checkpoint_of_every_format_that_was_released_makes_a_store_again() {
    let dir = copied("v1");
    let before = {
        let store = opened(settings(dir.path())).expect("it opens").store;
        let before = ids(&read(&store, 4).events);
        store.close().await.expect("closed");
        before
    };
    fs::remove_dir_all(dir.path().join("sled")).expect("removed");
    let rebuild = Settings { on_corrupt: OnCorrupt::Rebuild, ..settings(dir.path()) };
    let Opened { store, recovery } = opened(rebuild).expect("made again");
    assert_eq!(recovery.expect("it says so").tenants.len(), 2);
    let [contoso, fabrikam] = keys();
    let cursor = |key| store.position(key).expect("read").expect("a position").cursor;
    // The oldest that the archive lacks, and the only one of the other.
    assert!(cursor(&contoso) <= second(12) && cursor(&fabrikam) <= second(33));
    assert_eq!(store.quarantine(&fabrikam).expect("read"), quarantine());
    let again = PageBatch { key: fabrikam, tenant: TenantName::new("fabrikam"), ..page(vec![row(7, 33, "ö")]) };
    store.commit_page(again).await.expect("committed");
    assert_eq!(ids(&read(&store, 0).events), before, "the same ids");
}

fn copied(version: &str) -> tempfile::TempDir {
    let dir = directory();
    fs::create_dir(dir.path().join("sled")).expect("made");
    for name in KEPT {
        fs::copy(root().join(version).join(name), dir.path().join(name)).expect("copied");
    }
    dir
}
