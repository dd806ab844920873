//! What each item of a bulk answer asks for, and how far its events then count.

use serde_json::{Value, json};
use xdrelay::model::names::{Seq, SinkName};
use xdrelay::sink::{Config, Outgoing};

use crate::cluster::{Cluster, failed};
use crate::outgoing::{outgoing, several};
use crate::why::why;
use crate::{courier, id, parts, sink};

#[tokio::test]
async fn each_item_asks_for_what_helps() {
    let cluster = Cluster::start().await;
    let check = async |item: Value, expected: &str, word: &str| {
        let mut sink = sink(cluster.origin(), "");
        cluster.item(&id(2), 1, item.clone());
        // The event before it counts first; then it is told without another request.
        assert_eq!(sink.deliver(&several(1..=3, 20)).await, Ok(Some(Seq(1))), "{item}");
        assert_eq!(cluster.take().len(), 1);
        let (found, why) = why(sink.deliver(&several(2..=3, 20)).await.expect_err("told"));
        assert!(found == expected && why.contains(word), "{item}: {found} {why}");
        assert!(why.starts_with(&format!("{} answered ", cluster.origin())) && why.len() < 600, "{why}");
        assert!(cluster.take().is_empty());
        assert_eq!(sink.deliver(&several(2..=3, 20)).await, Ok(Some(Seq(3))), "told once, then tried again");
        cluster.take();
    };
    check(failed(429, "es_rejected_execution_exception", "rejected execution"), "retry", "429 es_rejected_execution")
        .await;
    check(failed(429, "cluster_block_exception", "index read-only / allow delete"), "retry", "allow delete").await;
    check(failed(503, "unavailable_shards_exception", "primary shard is not active"), "retry", "primary").await;
    check(failed(500, "exception", "x\u{7}\n"), "retry", "x\\u{7}\\n").await;
    check(json!({ "status": 201, "error": { "type": "strange" } }), "retry", "201 strange").await;
    check(failed(409, "something_else", "x"), "retry", "409").await;
    check(failed(404, "index_not_found_exception", "no such index [x]"), "pause", "create the index").await;
    check(json!({ "status": 404 }), "pause", "404").await;
    check(failed(403, "security_exception", "action is unauthorized"), "pause", "create_doc").await;
    check(json!({ "status": 403, "error": "no" }), "pause", "403 no").await;
    check(failed(403, "cluster_block_exception", "index write (api)"), "pause", "block").await;
    check(failed(400, "index_closed_exception", "closed"), "pause", "open the index").await;
    check(failed(400, "invalid_index_name_exception", "x"), "pause", "correct `index`").await;
    let why = "pipeline with id [x] does not exist";
    check(failed(400, "illegal_argument_exception", why), "pause", "correct `pipeline`").await;
    let preview =
        "failed to parse field [a] of type [long] in document with id '1'. Preview of field's value: 'CANARY'";
    check(failed(400, "document_parsing_exception", preview), "refused", "field [a] of type [long]").await;
    check(failed(400, "mapper_parsing_exception", &"long ".repeat(1000)), "refused", "mapper").await;
    check(failed(500, "fail_processor_exception", "unwanted"), "refused", "unwanted").await;
    check(failed(413, "x", "too large"), "refused", "413").await;
    cluster.item(&id(1), 1, failed(400, "document_parsing_exception", preview));
    let error = sink(cluster.origin(), "").deliver(&several(1..=1, 20)).await.expect_err("refused");
    assert!(!self::why(error).1.contains("CANARY"), "no content of an incident goes into the log");
}

#[tokio::test]
async fn a_data_stream_pauses_what_would_replace() {
    let cluster = Cluster::start().await;
    let settings = format!("url = {:?}\nindex = 'logs-xdrelay-default'\nmode = 'current'", cluster.origin());
    let config = Config::Elasticsearch(toml::from_str(&settings).expect("a config"));
    let (key, warning) = config.settings().warnings().pop().expect("a warning");
    assert!(key == "index" && warning.contains("data streams"), "{warning}");
    let mut sink = config.open(&SinkName::new("search")).expect("opened");
    let (found, why) = why(sink.deliver(&several(1..=1, 20)).await.expect_err("a data stream"));
    assert!(found == "pause" && why.contains("mode = \"history\""), "{why}");
}

#[tokio::test]
async fn what_the_failure_store_keeps_counts() {
    let cluster = Cluster::start().await;
    cluster.item_of_taken(&id(2), json!({ "_index": ".fs-defender-1", "status": 201, "failure_store": "used" }));
    assert_eq!(sink(cluster.origin(), "").deliver(&several(1..=3, 20)).await, Ok(Some(Seq(3))));
    assert_eq!(cluster.documents().len(), 3);
    let mut lost = failed(400, "document_parsing_exception", "x");
    lost["failure_store"] = "failed".into();
    cluster.item(&id(4), 1, lost);
    let error = sink(cluster.origin(), "").deliver(&several(4..=4, 20)).await.expect_err("not kept");
    assert_eq!(why(error).0, "refused");
}

#[tokio::test]
async fn whatever_the_items_say_nothing_is_lost_and_nothing_is_twice() {
    for (mode, batch, limit) in [("history", 10, 40), ("history", 7, 7), ("current", 10, 40), ("current", 100, 100)] {
        let cluster = Cluster::start().await;
        let mut sink = sink(cluster.origin(), &format!("mode = '{mode}'\nbatch_events = {batch}"));
        let events = several(1..=40, 20);
        let id = |n: u64| if mode == "history" { id(n) } else { format!("contoso:{n}") };
        for n in [3, 4, 20, 33] {
            cluster.item(&id(n), 2, failed(429, "es_rejected_execution_exception", "rejected"));
        }
        for n in [2, 4, 21, 40] {
            cluster.item(&id(n), usize::MAX, failed(400, "document_parsing_exception", "failed to parse"));
        }
        cluster.item(&id(12), 1, failed(403, "security_exception", "unauthorized"));
        cluster.item_of_taken(&id(13), failed(503, "unavailable_shards_exception", "timed out, though it is there"));
        let mut refused: Vec<u64> = courier(&mut *sink, &events, limit).await.into_iter().map(|r| r.seq.0).collect();
        refused.sort_unstable();
        assert_eq!(refused, [2, 4, 21, 40], "{mode} {batch}");
        let expected: Vec<String> =
            (1..=40).filter(|n| !refused.contains(n)).map(|n| format!("defender/{}", id(n))).collect();
        let documents = cluster.documents();
        assert_eq!(documents.len(), expected.len());
        assert!(expected.iter().all(|key| documents.contains_key(key)), "{mode} {batch}");
        if mode == "history" {
            assert!(documents.values().all(|document| document.writes == 1));
        }
        // First deliveries are in order.
        let mut first = Vec::new();
        for id in cluster.take().into_iter().flat_map(|request| request.ids) {
            if !first.contains(&id) {
                first.push(id);
            }
        }
        assert_eq!(first, (1..=40).map(id).collect::<Vec<_>>(), "{mode} {batch}");
    }
}

#[tokio::test]
async fn an_event_in_parts_counts_with_its_last() {
    let cluster = Cluster::start().await;
    let events: Vec<Outgoing> =
        [outgoing(1, 20)].into_iter().chain(parts(2, &["a1", "a2", "a3"])).chain(parts(3, &["b1"])).collect();
    assert_eq!(events.len(), 5);
    let part = |mode: &str, alert: &str| match mode {
        "history" => format!("{}#{alert}", id(2)),
        _ => format!("contoso:2#{alert}"),
    };
    for mode in ["history", "current"] {
        let mut sink = sink(cluster.origin(), &format!("mode = '{mode}'\nbatch_events = 2"));
        // The first request has the first part, the second the others: nothing between them can be told.
        cluster.item(&part(mode, "a3"), 1, failed(429, "es_rejected_execution_exception", "rejected"));
        assert_eq!(sink.deliver(&events).await, Ok(Some(Seq(1))), "{mode}");
        assert_eq!(why(sink.deliver(&events[1..]).await.expect_err("told")).0, "retry");
        cluster.item(&part(mode, "a3"), 1, failed(429, "es_rejected_execution_exception", "rejected"));
        assert_eq!(why(sink.deliver(&events[1..]).await.expect_err("no progress is no success")).0, "retry");
        assert_eq!(sink.deliver(&events[1..]).await, Ok(Some(Seq(3))), "{mode}");
        cluster.item(&part(mode, "a2"), usize::MAX, failed(400, "document_parsing_exception", "no"));
        cluster.item(&part(mode, "a3"), usize::MAX, failed(400, "document_parsing_exception", "no"));
        let refused = courier(&mut *sink, &events, 100).await;
        assert_eq!(refused.iter().map(|refusal| refusal.seq.0).collect::<Vec<_>>(), [2], "the whole event, once");
    }
    let keys: Vec<String> = cluster.documents().into_keys().filter(|key| key.contains(":2")).collect();
    assert_eq!(keys, ["defender/contoso:2#a1", "defender/contoso:2#a2", "defender/contoso:2#a3"]);
}

#[tokio::test]
async fn an_event_of_many_parts_is_gone_on_with_where_it_ended() {
    let cluster = Cluster::start().await;
    let mut sink = sink(cluster.origin(), "batch_events = 1");
    let events = parts(2, &["a1", "a2", "a3"]);
    let part = |alert: &str| format!("{}#{alert}", id(2));
    cluster.item(&part("a3"), 1, failed(429, "es_rejected_execution_exception", "rejected"));
    assert_eq!(why(sink.deliver(&events).await.expect_err("no progress that could be told")).0, "retry");
    cluster.take();
    assert_eq!(sink.deliver(&events).await, Ok(Some(Seq(2))));
    let sent: Vec<String> = cluster.take().into_iter().flat_map(|request| request.ids).collect();
    assert_eq!(sent, [part("a3")]);
}
