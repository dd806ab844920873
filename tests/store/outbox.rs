//! From a page into the outbox and out of it again.

use std::time::Duration;

use xdrelay::core::position::Position;
use xdrelay::core::quarantine::{Quarantine, Quarantined, WINDOWS_MAX};
use xdrelay::core::quota::QuotaState;
use xdrelay::model::event::Kind;
use xdrelay::model::moment::Moment;
use xdrelay::model::names::{IncidentId, Seq, TenantKey, TenantName};
use xdrelay::store::Endpoint;
use xdrelay::store::chunk::ReadLimit;
use xdrelay::store::error::StoreError;
use xdrelay::store::page::PageBatch;

use crate::{
    EVERYTHING, acknowledge, commit, directory, ids, open, page, read, row, second, seqs, sink, tenant, until,
};

#[tokio::test]
async fn what_is_committed_is_there_after_a_restart_byte_for_byte() {
    let dir = directory();
    let store = open(dir.path());
    let committed = commit(&store, vec![row(2, 9, "é"), row(1, 5, "")]).await;
    assert_eq!((committed.unseen_rows, committed.oldest_unseen), (2, Some(second(5))));
    assert_eq!(*store.newest().borrow(), Seq(2));
    let before = read(&store, 0);
    store.close().await.expect("closed");

    let store = open(dir.path());
    let after = read(&store, 0);
    assert_eq!(format!("{before:?}"), format!("{after:?}"));
    let first = &after.events[0].1;
    assert_eq!(
        (first.incident_id.as_str(), first.sequence, first.kind),
        ("1", 1, Kind::Created),
        "the older one first"
    );
    assert_eq!(first.incident.get(), row(1, 5, "").raw.get());
    assert_eq!(committed.events.iter().map(|brief| brief.event_id.to_string()).collect::<Vec<_>>(), ids(&after.events));
    let next = commit(&store, vec![row(1, 6, "")]).await;
    assert_eq!(next.events.len(), 1);
    assert_eq!(read(&store, 2).events[0].1.sequence, 3, "sequences go on");
    assert_eq!(read(&store, 2).events[0].0, Seq(3), "positions go on");
}

#[tokio::test]
async fn the_same_page_twice_gives_no_event_whether_at_once_or_after_a_restart() {
    let dir = directory();
    let store = open(dir.path());
    let rows = || vec![row(1, 5, "a"), row(2, 5, "b"), row(1, 5, "a")];
    assert_eq!(commit(&store, rows()).await.events.len(), 2, "one of them twice in the page");
    assert_eq!(commit(&store, rows()).await, Default::default());
    store.close().await.expect("closed");
    let store = open(dir.path());
    assert_eq!(commit(&store, rows()).await, Default::default());
    assert_eq!(seqs(&store), [1, 2]);
}

#[tokio::test]
async fn revisions_of_one_incident_in_one_page_come_in_their_order() {
    let dir = directory();
    let store = open(dir.path());
    commit(&store, vec![row(1, 7, ""), row(1, 5, ""), row(1, 6, "")]).await;
    let times: Vec<_> = read(&store, 0).events.into_iter().map(|(_, event)| event.last_update).collect();
    assert_eq!(times, [Some(second(5)), Some(second(6)), Some(second(7))]);
}

#[tokio::test]
async fn a_large_incident_comes_back_byte_for_byte_and_spills_no_file() {
    let dir = directory();
    let store = open(dir.path());
    store.register_sinks(&[sink("siem")]).await.expect("registered");
    // Nothing that zstd could make small, so that there are many chunks.
    let noise = |seed: u64| {
        let mut state = seed;
        let mut letter = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            char::from(b'0' + (state >> 33) as u8 % 43)
        };
        (0..5 << 20).map(|_| letter()).collect::<String>()
    };
    for n in 1..=3 {
        let large = row(n, n, &noise(n));
        commit(&store, vec![row(10 + n, n, "small"), large.clone(), row(20 + n, n, "small")]).await;
        let events = read(&store, 3 * (n - 1)).events;
        assert_eq!(events.len(), 3);
        assert!(events[1].1.incident.get() == large.raw.get(), "not byte for byte");
        acknowledge(&store, "siem", 3 * n, &[]).await;
        until("the outbox is cut", || store.tally().expect("a tally").outbox_events == 0).await;
    }
    let tally = store.tally().expect("a tally");
    assert_eq!((tally.blobs, tally.outbox_bytes, tally.outbox_events, tally.seen), (0, 0, 0, 9));
    store.close().await.expect("closed");
    assert_eq!(std::fs::read_dir(dir.path().join("sled/blobs")).expect("sled's directory").count(), 0);
}

#[tokio::test]
async fn what_every_sink_is_past_is_cut_and_what_one_refused_stays() {
    let dir = directory();
    let store = open(dir.path());
    store.register_sinks(&[sink("fast"), sink("slow")]).await.expect("registered");
    commit(&store, (1..=10).map(|id| row(id, id, "")).collect()).await;
    acknowledge(&store, "fast", 10, &[2, 3]).await;
    acknowledge(&store, "slow", 4, &[3]).await;
    until("1 and 4 are cut", || seqs(&store) == [2, 3, 5, 6, 7, 8, 9, 10]).await;
    assert_eq!(store.refused(&sink("fast")).expect("read").len(), 2);

    store.drop_refused(&sink("fast"), vec![Seq(2), Seq(3)]).await.expect("dropped");
    assert_eq!(seqs(&store), [3, 5, 6, 7, 8, 9, 10], "3 is still refused by the other");
    acknowledge(&store, "fast", 10, &[7]).await;
    store.drop_refused(&sink("fast"), vec![Seq(7)]).await.expect("dropped");
    assert!(seqs(&store).contains(&7), "the slow one needs it");
    store.close().await.expect("closed");

    let store = open(dir.path());
    assert_eq!(store.progress(&sink("fast")).expect("read").acknowledged, Seq(10));
    acknowledge(&store, "slow", 10, &[]).await;
    until("only what was refused is left", || seqs(&store) == [3]).await;
    assert_eq!(store.register_sinks(&[sink("fast")]).await.expect("registered"), [sink("slow")]);
    assert!(seqs(&store).is_empty(), "nobody refused it any more");
    assert!(store.progress(&sink("slow")).is_err());
    assert_eq!(store.tally().expect("a tally").outbox_bytes, 0);
}

#[tokio::test]
async fn a_new_sink_starts_at_the_oldest_event_that_is_left() {
    let dir = directory();
    let store = open(dir.path());
    store.register_sinks(&[sink("first")]).await.expect("registered");
    commit(&store, (1..=4).map(|id| row(id, id, "")).collect()).await;
    acknowledge(&store, "first", 2, &[]).await;
    until("two are cut", || seqs(&store) == [3, 4]).await;
    store.register_sinks(&[sink("first"), sink("second")]).await.expect("registered");
    assert_eq!(store.progress(&sink("second")).expect("read").acknowledged, Seq(2));
    acknowledge(&store, "first", 4, &[]).await;
    acknowledge(&store, "second", 3, &[]).await;
    until("3 is cut", || seqs(&store) == [4]).await;
    let behind = store.tally().expect("a tally").sinks;
    assert_eq!((behind[&sink("first")].events, behind[&sink("second")].events), (0, 1));
    assert!(behind[&sink("first")].oldest.is_none() && behind[&sink("second")].oldest.is_some());
}

#[tokio::test]
async fn a_read_keeps_to_its_limits_and_says_how_far_it_looked() {
    let dir = directory();
    let store = open(dir.path());
    let of =
        |name: &str, rows| PageBatch { tenant: TenantName::new(name), key: TenantKey::of("gcc", name), ..page(rows) };
    store.commit_page(of("a", vec![row(1, 1, ""), row(2, 2, "")])).await.expect("committed");
    store.commit_page(of("b", vec![row(3, 3, ""), row(4, 4, "")])).await.expect("committed");
    let check = |after, name: &str, events, bytes, expected: &[u64], scanned_to| {
        let limit = ReadLimit { events, bytes };
        let chunk = store.read_after(Seq(after), &|tenant, _| tenant.as_str() == name, limit).expect("read");
        let found: Vec<_> = chunk.events.iter().map(|(seq, _)| seq.0).collect();
        assert_eq!((&found[..], chunk.scanned_to.0), (expected, scanned_to), "{after} {name} {events} {bytes}");
    };
    check(0, "a", usize::MAX, u64::MAX, &[1, 2], 4);
    check(0, "b", usize::MAX, u64::MAX, &[3, 4], 4);
    check(0, "b", 1, u64::MAX, &[3], 3);
    check(0, "a", usize::MAX, 1, &[1], 1);
    check(3, "b", usize::MAX, 1, &[4], 4);
    check(4, "b", usize::MAX, 1, &[], 4);
    check(0, "c", usize::MAX, 1, &[], 4);
}

#[tokio::test]
async fn positions_and_quotas_are_kept_and_a_cursor_never_goes_back_unasked() {
    let dir = directory();
    let store = open(dir.path());
    let at = |n| Position { floor: second(1), swept: Some(second(n)), ..Position::start(second(n)) };
    let quota = QuotaState { minute: Moment::from_nanos(5), hour: Moment::from_nanos(6) };
    assert_eq!(store.position(&tenant()).expect("read"), None);
    assert_eq!(store.quota(&tenant(), Endpoint::List).expect("read"), None);
    store.set_position(&tenant(), at(5)).await.expect("set");
    store.set_quota(&tenant(), Endpoint::List, quota).await.expect("set");
    let back = store.set_position(&tenant(), at(4)).await.expect_err("backwards");
    assert!(matches!(back, StoreError::Misused { .. }), "{back}");
    store.close().await.expect("closed");

    let store = open(dir.path());
    assert_eq!(store.tenants().expect("read"), [(tenant(), at(5))]);
    assert_eq!(store.quota(&tenant(), Endpoint::List).expect("read"), Some(quota));
    assert_eq!(store.quota(&tenant(), Endpoint::Get).expect("read"), None);
    store.reset_position(&tenant(), at(4)).await.expect("asked for");
    assert_eq!(store.position(&tenant()).expect("read"), Some(at(4)));
    let other = store.clone();
    store.close().await.expect("closed");
    assert_eq!(other.set_position(&tenant(), at(9)).await, Err(StoreError::Stopped));
    assert_eq!(other.position(&tenant()), Err(StoreError::Stopped));
}

#[tokio::test]
async fn what_no_correct_courier_says_is_turned_down_and_changes_nothing() {
    let dir = directory();
    let store = open(dir.path());
    store.register_sinks(&[sink("siem")]).await.expect("registered");
    commit(&store, vec![row(1, 1, "")]).await;
    let progress = |to| xdrelay::core::courier::Progress { acknowledged: Seq(to), counted: 0 };
    for (name, to) in [("siem", 2), ("other", 1)] {
        let error = store.acknowledge(&sink(name), progress(to), Vec::new()).await.expect_err(name);
        assert!(matches!(error, StoreError::Misused { .. }), "{error}");
    }
    acknowledge(&store, "siem", 1, &[]).await;
    acknowledge(&store, "siem", 0, &[]).await;
    assert_eq!(store.progress(&sink("siem")).expect("read"), progress(1));
}

#[tokio::test]
async fn marks_that_are_old_are_forgotten_and_no_others() {
    let dir = directory();
    let store = open(dir.path());
    let now = page(Vec::new()).now;
    let later = now + Duration::from_secs(10);
    let rows = |from: u64| (from..from + 1500).map(|id| row(id, 1, "")).collect::<Vec<_>>();
    commit(&store, rows(0)).await;
    store.commit_page(PageBatch { now: later, ..page(rows(1500)) }).await.expect("committed");
    assert_eq!(store.tally().expect("a tally").seen, 3000);
    assert_eq!(store.evict(later).await.expect("evicted"), 1500);
    assert_eq!(store.evict(later).await.expect("evicted"), 0);
    assert_eq!(store.tally().expect("a tally").seen, 1500);
    assert_eq!(commit(&store, vec![row(0, 1, ""), row(1500, 1, "")]).await.events.len(), 1);
}

#[tokio::test]
async fn a_quiet_round_writes_nothing() {
    let dir = directory();
    let store = open(dir.path());
    // Without a sink the events would be cut, when nobody waits for the writer.
    store.register_sinks(&[sink("siem")]).await.expect("registered");
    let rows = || (0..100).map(|id| row(id, id, "")).collect::<Vec<_>>();
    commit(&store, rows()).await;
    let size = || std::fs::metadata(dir.path().join("sled/db")).expect("sled's file").len();
    let modified = || std::fs::metadata(dir.path().join("sled/db")).expect("sled's file").modified().expect("a time");
    // sled's own thread may still be at what came before: only where every round writes, none is ever quiet.
    for attempt in 0.. {
        let before = (size(), modified());
        for _ in 0..10 {
            commit(&store, rows()).await;
        }
        if (size(), modified()) == before {
            break;
        }
        assert!(attempt < 100, "every round writes");
    }
}

#[tokio::test]
async fn texts_of_any_length_are_taken() {
    let dir = directory();
    let store = open(dir.path());
    let long = "\\u0001é".repeat(100_000);
    let json = format!(
        r#"{{"incidentId":"{}","lastUpdateTime":"2026-01-01T00:00:00Z","status":"{long}","severity":"{long}","assignedTo":"{long}","classification":"{long}","determination":"{long}"}}"#,
        "7".repeat(100_000)
    );
    let row =
        || xdrelay::model::incident::Row::new(serde_json::value::RawValue::from_string(json.clone()).expect("JSON"));
    assert_eq!(commit(&store, vec![row()]).await.events.len(), 1);
    assert_eq!(commit(&store, vec![row()]).await.events.len(), 0);
    assert!(read(&store, 0).events[0].1.incident.get() == json);
    assert_eq!(store.read_after(Seq(0), &|_, _| true, EVERYTHING).expect("read").scanned_to, Seq(1));
}

#[tokio::test]
async fn a_quarantine_that_is_as_full_as_it_can_be_is_kept_over_a_restart() {
    let dir = directory();
    let store = open(dir.path());
    let full = (0..WINDOWS_MAX as u64).fold(Quarantine::default(), |quarantine, n| {
        let id = Some(IncidentId::new("7".repeat(5_000)));
        let window = Quarantined::new((second(n), second(n + 1)), second(n), &"\"".repeat(500));
        quarantine.with(window.between(id.as_ref(), id.as_ref())).expect("room")
    });
    store.set_quarantine(&tenant(), full.clone()).await.expect("set");
    store.close().await.expect("closed");
    let store = open(dir.path());
    let kept = store.quarantine(&tenant()).expect("read");
    let bounds = |of: &Quarantine| of.windows().iter().map(|window| (window.from, window.to)).collect::<Vec<_>>();
    assert_eq!(bounds(&kept), bounds(&full));
}

#[tokio::test]
async fn names_as_long_as_the_configuration_lets_them_be_are_taken() {
    let dir = directory();
    let store = open(dir.path());
    // 64 bytes in the configuration, 253 for a domain.
    let (name, key) = ("n".repeat(64), TenantKey::of("china", &"d".repeat(253)));
    let sink = crate::sink(&name);
    store.register_sinks(std::slice::from_ref(&sink)).await.expect("registered");
    let page = PageBatch { key: key.clone(), tenant: TenantName::new(&name), ..page(vec![row(1, 1, "")]) };
    assert_eq!(store.commit_page(page).await.expect("committed").events.len(), 1);
    store.set_position(&key, Position::start(second(1))).await.expect("set");
    let quota = QuotaState { minute: Moment::from_nanos(u64::MAX), hour: Moment::from_nanos(u64::MAX) };
    store.set_quota(&key, Endpoint::Get, quota).await.expect("set");
    acknowledge(&store, &name, 1, &[1]).await;
    store.close().await.expect("closed");
    let store = open(dir.path());
    assert_eq!((seqs(&store), store.refused(&sink).expect("read").len()), (vec![1], 1));
}
