//! What is delivered once more: refused events that are retried, known rows that are read again; and what an inspection and
//! an export say of the whole.

use xdrelay::core::courier::Progress;
use xdrelay::model::event::Kind;
use xdrelay::model::names::{IncidentId, Seq, SinkName};
use xdrelay::store::error::{OpenError, StoreError};
use xdrelay::store::page::{Again, PageBatch};
use xdrelay::store::verify::{self, Findings};
use xdrelay::store::{Store, open};

use crate::{
    EVERYTHING, acknowledge, commit, directory, ids, open as opened, page, read, row, second, seqs, sink, tenant,
};

/// What one sink is to get behind a position.
fn read_for(store: &Store, name: &str, after: u64) -> Vec<(u64, String)> {
    let wanted = |only: Option<&SinkName>| only.is_none_or(|only| only.as_str() == name);
    let chunk = store.read_after(Seq(after), &|_, only| wanted(only), EVERYTHING).expect("read");
    chunk.events.iter().map(|(seq, event)| (seq.0, event.event_id.to_string())).collect()
}

fn again(sink: Option<&str>) -> Option<Again> {
    Some(Again { sink: sink.map(SinkName::new) })
}

fn verified(dir: &std::path::Path) -> Findings {
    let found = verify::verify(dir).expect("it can be looked at").expect("something is there");
    assert_eq!(found.problems, Vec::<String>::new());
    found
}

#[tokio::test]
async fn what_a_sink_refused_is_handed_to_it_once_more_and_to_nobody_else() {
    let dir = directory();
    let store = opened(dir.path());
    store.register_sinks(&[sink("siem"), sink("file")]).await.expect("registered");
    commit(&store, (1..=5).map(|id| row(id, id, &"x".repeat(20_000 * usize::from(id == 4)))).collect()).await;
    let before = ids(&read(&store, 0).events);
    acknowledge(&store, "siem", 5, &[2, 4]).await;
    acknowledge(&store, "file", 5, &[4]).await;

    let retried = store.retry_refused(&sink("siem"), vec![Seq(4), Seq(1), Seq(2), Seq(4), Seq(99)]).await;
    assert_eq!(retried.expect("retried"), [Seq(2), Seq(4)], "in their order, and only what was refused");
    assert_eq!(read_for(&store, "siem", 5), [(6, before[1].clone()), (7, before[3].clone())]);
    assert_eq!(read_for(&store, "file", 5), []);
    assert_eq!(store.refused_count(&sink("siem")).expect("read"), 0);
    assert_eq!(store.refused_after(&sink("file"), Seq(0), 9).expect("read").len(), 1, "the other one still refuses it");
    let again = store.event(Seq(7)).expect("read").expect("it is there");
    assert_eq!(again.incident.get(), row(4, 4, &"x".repeat(20_000)).raw.get());
    assert_eq!(again.sequence, 4, "it is the same event");
    store.close().await.expect("closed");
    assert_eq!(verified(dir.path()).events, 3);

    let store = opened(dir.path());
    assert_eq!(read_for(&store, "siem", 5).len(), 2, "after a restart as well");
    acknowledge(&store, "siem", 7, &[6]).await;
    assert_eq!(store.refused_after(&sink("siem"), Seq(0), 9).expect("read")[0].seq, Seq(6), "refused once more");
    let unknown = store.retry_refused(&sink("hook"), vec![Seq(6)]).await.expect_err("no such sink");
    assert!(matches!(unknown, StoreError::Misused { .. }), "{unknown}");
}

#[tokio::test]
async fn what_was_refused_alone_may_be_dropped_after_any_restart() {
    let dir = directory();
    let store = opened(dir.path());
    store.register_sinks(&[sink("siem")]).await.expect("registered");
    commit(&store, vec![row(1, 1, ""), row(2, 2, "")]).await;
    let acknowledged = store.clone();
    let (_, closed) = tokio::join!(acknowledge(&acknowledged, "siem", 2, &[1, 2]), store.close());
    closed.expect("closed");
    let store = opened(dir.path());
    store.drop_refused(&sink("siem"), vec![Seq(1), Seq(2)]).await.expect("dropped");
    store.close().await.expect("closed");
    verified(dir.path());
    assert!(seqs(&opened(dir.path())).is_empty());
}

#[tokio::test]
async fn refusals_are_listed_page_by_page() {
    let dir = directory();
    let store = opened(dir.path());
    store.register_sinks(&[sink("a"), sink("b")]).await.expect("registered");
    commit(&store, (1..=9).map(|id| row(id, id, "")).collect()).await;
    acknowledge(&store, "a", 9, &[1, 3, 5, 7, 9]).await;
    acknowledge(&store, "b", 9, &[2]).await;
    let page = |after, limit| -> Vec<u64> {
        let refused = store.refused_after(&sink("a"), Seq(after), limit).expect("read");
        refused.iter().map(|refusal| refusal.seq.0).collect()
    };
    assert_eq!((page(0, 2), page(3, 2), page(7, 2), page(9, 2)), (vec![1, 3], vec![5, 7], vec![9], vec![]));
    assert_eq!(store.refused_count(&sink("a")).expect("read"), 5);
    assert_eq!(store.refusal(&sink("b"), Seq(2)).expect("read").expect("refused").why, "too odd");
    assert_eq!(store.refusal(&sink("b"), Seq(3)).expect("read"), None);
    assert_eq!(store.sinks().expect("read"), [sink("a"), sink("b")]);
}

#[tokio::test]
async fn known_rows_are_events_once_more_with_the_same_id_and_change_no_memory() {
    let dir = directory();
    let store = opened(dir.path());
    commit(&store, vec![row(1, 1, ""), row(2, 2, ""), row(3, 3, "")]).await;
    commit(&store, vec![row(1, 8, "")]).await;
    let before = ids(&read(&store, 0).events);
    let mark = |id: &str| store.mark(&tenant(), &IncidentId::new(id)).expect("read");
    let marks = [mark("1"), mark("2"), mark("3")];

    let rows = || vec![row(1, 1, ""), row(1, 8, ""), row(2, 2, ""), row(3, 3, "changed in place"), row(4, 4, "")];
    let batch = PageBatch { again: again(None), ..page(rows()) };
    let committed = store.commit_page(batch).await.expect("committed");
    assert_eq!((committed.events.len(), committed.unseen_rows), (4, 2), "the stale one is none, 3 and 4 are new");
    assert_eq!(committed.oldest_unseen, Some(second(4)));
    let events = read(&store, 4).events;
    assert_eq!(ids(&events)[0], before[1], "2, oldest first");
    assert_eq!(ids(&events)[3], before[3], "1 as it is now");
    assert_eq!((events[3].1.kind, events[3].1.notes.first_seen), (Kind::Created, false), "as at a first sight");
    assert_eq!(events.iter().map(|(_, event)| event.sequence).collect::<Vec<_>>(), [5, 6, 7, 8]);
    assert_eq!([mark("1"), mark("2")], marks[..2], "remembered as before");
    assert_ne!(mark("3"), marks[2], "this one was really new");

    let committed = store.commit_page(page(rows())).await.expect("committed");
    assert_eq!(committed.events.len(), 0, "and all of it is known");
    store.close().await.expect("closed");
    verified(dir.path());
}

#[tokio::test]
async fn once_more_for_one_sink_is_for_that_one_and_what_is_new_for_all() {
    let dir = directory();
    let store = opened(dir.path());
    commit(&store, vec![row(1, 1, ""), row(2, 2, "")]).await;
    let batch = PageBatch { again: again(Some("hook")), ..page(vec![row(1, 1, ""), row(2, 2, ""), row(3, 3, "")]) };
    store.commit_page(batch).await.expect("committed");
    assert_eq!(read_for(&store, "hook", 2).len(), 3);
    assert_eq!(read_for(&store, "siem", 2).iter().map(|(seq, _)| *seq).collect::<Vec<_>>(), [5]);
    assert_eq!(read(&store, 4).events[0].1.sequence, 3, "nobody misses a number");
    store.close().await.expect("closed");
    let store = opened(dir.path());
    assert_eq!(read_for(&store, "siem", 2).len(), 1, "after a restart as well");
}

#[tokio::test]
async fn a_look_at_everything_finds_nothing_wrong_with_what_is_right_and_what_is_wrong() {
    let dir = directory();
    assert_eq!(verify::verify(&dir.path().join("none")).expect("looked"), None);
    let store = opened(dir.path());
    assert!(matches!(verify::verify(dir.path()), Err(OpenError::Held { pid: Some(_), .. })));
    store.register_sinks(&[sink("siem")]).await.expect("registered");
    commit(&store, (1..=300).map(|id| row(id, id, &"y".repeat(3_000))).collect()).await;
    acknowledge(&store, "siem", 100, &[7]).await;
    store.close().await.expect("closed");
    let found = verified(dir.path());
    assert_eq!(found.marks, 300);
    assert!(300 + 201 + 201 <= found.values, "{found:?}");
    let whole = verify::checkpoint(dir.path()).expect("a checkpoint");
    assert_eq!(whole.end, Seq(300));
    for name in ["checkpoint.a", "checkpoint.b"] {
        std::fs::write(dir.path().join(name), "xdrelay checkpoint 1 00000000\n{}").expect("written");
    }
    let found = verify::verify(dir.path()).expect("looked").expect("something");
    assert!(found.problems.iter().any(|problem| problem.contains("checkpoint.a")), "{found:?}");
    assert!(found.problems.iter().any(|problem| problem.contains("no checkpoint can be read")), "{found:?}");
}

#[tokio::test]
async fn an_export_has_a_line_for_everything_and_every_byte_of_the_incidents() {
    let dir = directory();
    let store = opened(dir.path());
    store.register_sinks(&[sink("siem")]).await.expect("registered");
    commit(&store, vec![row(1, 1, "é"), row(2, 2, "")]).await;
    store
        .acknowledge(&sink("siem"), Progress { acknowledged: Seq(1), counted: 0 }, vec![])
        .await
        .expect("acknowledged");
    acknowledge(&store, "siem", 2, &[2]).await;
    let mut bytes = Vec::new();
    let lines = store.export(&mut bytes).expect("exported");
    let text = String::from_utf8(bytes).expect("UTF-8");
    let records: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).expect("one object a line")).collect();
    assert_eq!(records.len() as u64, lines);
    let of = |record: &str| records.iter().filter(|line| line["record"] == record).collect::<Vec<_>>();
    assert_eq!((of("version").len(), of("totals").len(), of("mark").len(), of("progress").len()), (1, 1, 2, 1));
    assert_eq!(of("refused")[0]["value"]["why"], "too odd");
    assert_eq!(of("sequence")[0]["value"], 2);
    let events = of("event");
    assert_eq!(events.last().expect("the refused one")["event"]["incident"]["incidentId"], 2);
    assert!(text.contains(row(2, 2, "").raw.get()), "byte for byte");
}

#[tokio::test]
async fn a_ledger_that_is_made_again_knows_its_cursors_and_not_its_events() {
    let dir = directory();
    assert_eq!(open::rebuild(&dir.path().join("none"), "asked to").expect("nothing to do"), None);
    let store = opened(dir.path());
    let position = xdrelay::core::position::Position::start(second(3));
    store.set_position(&tenant(), position).await.expect("written");
    commit(&store, vec![row(1, 5, "")]).await;
    store.close().await.expect("closed");
    let recovery = open::rebuild(dir.path(), "asked to").expect("made again").expect("something was there");
    assert!(recovery.set_aside.is_some_and(|aside| aside.is_dir()));
    assert_eq!(recovery.tenants, [tenant()]);
    let store = opened(dir.path());
    assert_eq!(store.position(&tenant()).expect("read"), Some(position));
    assert_eq!(commit(&store, vec![row(1, 5, "")]).await.events.len(), 1, "it is not known any more");
    assert_eq!(seqs(&store), [2], "positions are never given out twice");
}
