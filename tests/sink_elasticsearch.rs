//! The sink for Elasticsearch and OpenSearch. Neither can be had from packages, so the counterparts are Tenzir's `_bulk` input,
//! which nobody here wrote and which never refuses a single document, and a stand-in of our own for what items can say.

#[path = "receivers/cluster.rs"]
mod cluster;
mod outgoing;
#[path = "receivers/skipped.rs"]
mod skipped;
#[path = "receivers/tenzir.rs"]
mod tenzir;
#[path = "outgoing/why.rs"]
mod why;

use std::time::Duration;

use cluster::{Cluster, Request, error_body, failed};
use outgoing::{outgoing, several};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tenzir::Tenzir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use why::why;
use xdrelay::core::courier::{Courier, DeliverError, Handed, Progress, Refusal, Todo};
use xdrelay::format::split::{Split, split};
use xdrelay::format::{Format, Style};
use xdrelay::model::moment::Moment;
use xdrelay::model::names::{EventId, IncidentId, Seq, SinkName};
use xdrelay::model::timestamp::Timestamp;
use xdrelay::sink::{Config, OpenError, Outgoing, Sink};

fn config(url: &str, more: &str) -> Config {
    Config::Elasticsearch(toml::from_str(&format!("url = {url:?}\nindex = 'defender'\n{more}")).expect("a config"))
}

fn open(url: &str, more: &str) -> Result<Box<dyn Sink>, OpenError> {
    config(url, more).open(&SinkName::new("search"))
}

fn sink(url: &str, more: &str) -> Box<dyn Sink> {
    open(url, more).expect("opened")
}

/// The `_id` of event number `n` in mode history.
fn id(n: u64) -> String {
    format!("contoso/{n}/15994036172900000/9f3c01ab")
}

/// Revision of incident `n` at these ticks, as event number `seq`.
fn revision(seq: u64, n: u64, ticks: Option<u64>, word: &str) -> Outgoing {
    let mut revision = outgoing(seq, 20);
    revision.event.incident_id = IncidentId::new(n.to_string());
    revision.event.event_id = EventId::new(format!("contoso/{n}/{}/{word}", ticks.unwrap_or_default()));
    revision.event.last_update = ticks.map(Timestamp::from_ticks);
    revision.body = Style::of(Format::Json).render(&revision.event);
    revision
}

/// Event number `seq` in as many parts as it has alerts.
fn parts(seq: u64, alerts: &[&str]) -> Vec<Outgoing> {
    let mut event = outgoing(seq, 20).event;
    let alerts: Vec<Value> = alerts.iter().map(|id| json!({ "alertId": id })).collect();
    let incident = json!({ "incidentId": seq, "alerts": alerts }).to_string();
    event.incident = RawValue::from_string(incident).expect("JSON");
    let parts = split(event, Split::Alerts).into_iter();
    parts.map(|event| Outgoing { seq: Seq(seq), body: Style::of(Format::Json).render(&event), event }).collect()
}

/// What a courier makes of a sink that gets these events, numbered from 1, until none is left: the refusals.
async fn courier(sink: &mut dyn Sink, events: &[Outgoing], limit: usize) -> Vec<Refusal> {
    let newest = events.last().expect("an event").seq;
    let mut courier = Courier::new(&Progress::default(), [], limit, false, 1);
    let (mut now, mut refused) = (Moment::default(), Vec::new());
    for _ in 0..1000 {
        match courier.todo(now, newest) {
            Todo::Idle => {
                assert_eq!(courier.acknowledged(), newest);
                return refused;
            }
            Todo::Wait(until) => now = until,
            Todo::Settle => courier.settled(sink.deliver(&[]).await, now),
            Todo::Commit(_, refusals) => refused.extend(refusals),
            Todo::Send { after, limit } => {
                let to = Seq(after.0.saturating_add(limit as u64)).min(newest);
                let handed = events.iter().filter(|event| after < event.seq && event.seq <= to);
                let handed: Vec<Outgoing> = handed.filter(|event| !courier.is_refused(event.seq)).cloned().collect();
                let result = if handed.is_empty() { Ok(None) } else { sink.deliver(&handed).await };
                let mut seqs: Vec<Seq> = handed.iter().map(|event| event.seq).collect();
                seqs.dedup();
                let handed = Handed { scanned_to: to, last: seqs.last().copied(), count: seqs.len() };
                courier.sent(handed, result, now);
            }
        }
    }
    panic!("no end: {:?}", courier.state());
}

#[tokio::test]
async fn a_request_is_what_the_bulk_api_asks_for() {
    let cluster = Cluster::start().await;
    let check = async |path: &str, more: &str, expected: &str, encoding: Option<&str>| {
        let url = format!("{}{path}", cluster.origin());
        assert_eq!(sink(&url, more).deliver(&several(1..=2, 20)).await, Ok(Some(Seq(2))), "{more}");
        let [Request { method, path, headers, text, .. }] = &cluster.take()[..] else { panic!("one request") };
        let header = |name: &str| headers.get(name).map(|value| value.to_str().expect("text"));
        assert_eq!((method.as_str(), path.as_str()), ("POST", expected));
        assert_eq!((header("content-type"), header("content-encoding")), (Some("application/x-ndjson"), encoding));
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!((lines.len(), text.ends_with('\n')), (4, true));
        assert_eq!(lines[0], format!(r#"{{"create":{{"_index":"defender","_id":"{}"}}}}"#, id(1)));
        let body = String::from_utf8(outgoing(2, 20).body).expect("UTF-8");
        assert_eq!(
            lines[3],
            format!(r#"{{"@timestamp":"2020-09-06T14:46:57.2900000Z",{}"#, &body[1..]),
            "byte for byte"
        );
    };
    check("", "", "/_bulk", Some("gzip")).await;
    check("/", "gzip = false", "/_bulk", None).await;
    check(
        "/behind/a/proxy/",
        "pipeline = 'my pipe&x=1'",
        "/behind/a/proxy/_bulk?pipeline=my+pipe%26x%3D1",
        Some("gzip"),
    )
    .await;
    assert_eq!(sink(cluster.origin(), "").deliver(&[]).await, Ok(None));
    assert!(cluster.take().is_empty(), "nothing to send, no request");
}

#[tokio::test]
async fn every_json_format_gives_documents_that_a_data_stream_takes() {
    let cluster = Cluster::start().await;
    for format in Format::ALL.iter().filter(|format| format.is_json()) {
        let mut event = outgoing(1, 20);
        event.body = Style::of(*format).render(&event.event);
        event.event.event_id = EventId::new(format.as_str());
        let settings = format!("url = {:?}\nindex = 'logs-xdrelay-{{tenant}}'", cluster.origin());
        let config = Config::Elasticsearch(toml::from_str(&settings).expect("a config"));
        let mut sink = config.open(&SinkName::new("search")).expect("opened");
        assert_eq!(sink.deliver(&[event]).await, Ok(Some(Seq(1))), "{format}");
        assert!(cluster.documents().contains_key(&format!("logs-xdrelay-contoso/{format}")));
        let text = &cluster.take()[0].text;
        assert_eq!(text.matches("\"@timestamp\":").count(), 1, "{text}");
    }
}

#[tokio::test]
async fn what_is_sent_again_is_the_same_document() {
    let cluster = Cluster::start().await;
    for mode in ["history", "current"] {
        let mut sink = sink(cluster.origin(), &format!("mode = '{mode}'"));
        let events = several(1..=5, 20);
        assert_eq!(sink.deliver(&events[..3]).await, Ok(Some(Seq(3))));
        let before = cluster.documents();
        assert_eq!(sink.deliver(&events).await, Ok(Some(Seq(5))), "409 is what was wanted");
        let after = cluster.documents();
        for (key, document) in before {
            assert_eq!(after[&key].source, document.source, "{mode} {key}");
        }
    }
    assert_eq!(cluster.documents().len(), 10);
    let rewritten = cluster.documents().into_iter().filter(|(_, document)| 1 < document.writes);
    assert!(rewritten.into_iter().all(|(key, _)| key.starts_with("defender/contoso:")), "history is written once");
}

#[tokio::test]
async fn the_newest_revision_stays_whatever_comes_after_it() {
    let cluster = Cluster::start().await;
    let mut sink = sink(cluster.origin(), "mode = 'current'");
    let check = |expected: &str| {
        let document = cluster.documents()["defender/contoso:7"].clone();
        assert_eq!(document.source["event_id"], expected);
    };
    assert_eq!(sink.deliver(&[revision(1, 7, Some(20), "b")]).await, Ok(Some(Seq(1))));
    assert_eq!(sink.deliver(&[revision(2, 7, Some(10), "a")]).await, Ok(Some(Seq(2))), "a stale one counts");
    check("contoso/7/20/b");
    assert_eq!(sink.deliver(&[revision(3, 7, Some(20), "c")]).await, Ok(Some(Seq(3))));
    check("contoso/7/20/c");
    let more = [revision(4, 7, Some(30), "d"), revision(5, 7, Some(40), "e"), revision(6, 7, None, "odd")];
    assert_eq!(sink.deliver(&more).await, Ok(Some(Seq(6))));
    check("contoso/7/40/e");
    assert_eq!(cluster.documents().len(), 2, "what has no time is a document of its own");
    assert_eq!(cluster.documents()["defender/contoso/7/0/odd"].source["event_id"], "contoso/7/0/odd");
}

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

#[tokio::test]
async fn an_answer_that_is_no_proof_never_counts() {
    let cluster = Cluster::start().await;
    let mut sink = sink(cluster.origin(), "");
    let good = r#"{"create":{"status":201}}"#;
    let two = format!(r#"{{"errors":false,"items":[{good},{good}]}}"#);
    let mut check = async |body: &str, expected: &str, word: &str| {
        cluster.answer(200, &[], body);
        let (found, why) = why(sink.deliver(&several(1..=2, 20)).await.expect_err(body));
        assert!(found == expected && why.contains(word), "{body}: {found} {why}");
    };
    check(&format!(r#"{{"errors":false,"items":[{good}]}}"#), "retry", "1 items for 2 documents").await;
    check(&format!(r#"{{"errors":false,"items":[{good},{good},{good}]}}"#), "retry", "3 items for 2 documents").await;
    check(r#"{"errors":false,"items":[]}"#, "retry", "0 items").await;
    check(&two.replace("false", "true"), "retry", "errors and shows none").await;
    check(r#"{"errors":false,"items":[{"create":{"status":201},"index":{"status":201}},{}]}"#, "retry", "one document")
        .await;
    for end in 1..two.len() {
        check(&two[..end], "retry", "breaks off").await;
    }
    check("", "pause", "no bulk answer").await;
    check("<html>Please sign in</html>", "pause", "Please sign in").await;
    check(r#"{"took":3,"errors":false}"#, "pause", "proxy or a login page").await;
    check(r#"{"ok":true}"#, "pause", "no bulk answer").await;
    check(r#"{"errors":false,"items":[{"create":{}},{"create":{}}]}"#, "pause", "status").await;
    check(r#"{"errors":false,"items":[{"create":{"status":"201"}},{"create":{"status":201}}]}"#, "pause", "status")
        .await;
    check("[]", "pause", "no bulk answer").await;
    check(&format!("{two} and more"), "pause", "no bulk answer").await;
    let contradicts = r#"{"errors":false,"items":[{"create":{"status":400}},{"create":{"status":201}}]}"#;
    check(contradicts, "refused", "400").await;
    cluster.answer(200, &[], &two);
    assert_eq!(sink.deliver(&several(1..=2, 20)).await, Ok(Some(Seq(2))), "this one is");
    assert!(cluster.documents().is_empty());
}

#[tokio::test]
async fn an_answer_that_breaks_off_or_never_comes_does_not_count() {
    let check = async |answer: &'static str, word: &str| {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            let mut read = vec![0; 64 * 1024];
            let _ = stream.read(&mut read).await.expect("a request");
            stream.write_all(answer.as_bytes()).await.expect("written");
            // Closed at once, or kept open for as long as the test runs.
            if answer.is_empty() { Some(stream) } else { None }
        });
        let (found, why) = why(sink(&url, "timeout = '300ms'").deliver(&several(1..=1, 20)).await.expect_err(word));
        assert!(found == "retry" && why.contains(word), "{found} {why}");
        drop(server.await.expect("served"));
    };
    check("", "did not answer within 300ms").await;
    let body = "{\"errors\":false,\"items\":[{\"create\":{\"status\":201}}]}";
    assert_eq!(body.len(), 52);
    check(
        "HTTP/1.1 200 OK\r\ncontent-length: 53\r\n\r\n{\"errors\":false,\"items\":[{\"create\":{\"status\":201}}]}",
        "broke off",
    )
    .await;
    check("HTTP/1.1 200 OK\r\ncontent-length: 99999999\r\n\r\n{\"errors\":false", "larger than the limit").await;
    let nobody = TcpListener::bind("127.0.0.1:0").await.expect("bound").local_addr().expect("an address");
    let error = sink(&format!("http://{nobody}"), "").deliver(&several(1..=1, 20)).await.expect_err("nobody");
    assert!(why(error).1.contains("cannot be reached"));
}

#[tokio::test]
async fn each_answer_to_the_whole_request_asks_for_what_helps() {
    let cluster = Cluster::start().await;
    let mut sink = sink(cluster.origin(), "");
    let mut check = async |status: u16, body: &str, one: &str, several_of: &str, word: &str| {
        for (events, expected) in [(several(1..=1, 20), one), (several(1..=2, 20), several_of)] {
            cluster.answer(status, &[("location", "https://elsewhere.example/x?token=1")], body);
            let (found, why) = why(sink.deliver(&events).await.expect_err("a failure"));
            assert!(found == expected && why.contains(word), "{status} {found} {why}");
            assert!(why.starts_with(&format!("{} answered {status}", cluster.origin())), "{why}");
        }
    };
    for status in [408, 429, 500, 502, 503, 504] {
        let body = error_body(status, "circuit_breaking_exception", "[parent] Data too large");
        check(status, &body, "retry", "retry", "circuit_breaking_exception: [parent] Data too large").await;
    }
    let no = |status, kind| error_body(status, kind, "the reason");
    check(401, &no(401, "security_exception"), "pause", "pause", "put it right under `auth`").await;
    check(403, &no(403, "security_exception"), "pause", "pause", "create_doc").await;
    check(403, "forbidden", "pause", "pause", "forbidden").await;
    check(404, &no(404, "index_not_found_exception"), "pause", "pause", "create the index").await;
    check(404, "<html>", "pause", "pause", "correct the url").await;
    check(400, &no(400, "index_closed_exception"), "pause", "pause", "open the index").await;
    check(
        400,
        &error_body(400, "illegal_argument_exception", "pipeline with id [x] does not exist"),
        "pause",
        "pause",
        "correct",
    )
    .await;
    check(503, &no(503, "cluster_block_exception"), "retry", "retry", "the reason").await;
    check(400, &no(400, "parse_exception"), "refused", "refused batch", "parse_exception: the reason").await;
    check(302, "", "pause", "pause", "elsewhere.example").await;
    check(407, "", "pause", "pause", "proxy").await;
}

#[tokio::test]
async fn retry_after_is_handed_on() {
    let cluster = Cluster::start().await;
    let mut sink = sink(cluster.origin(), "");
    let mut check = async |status: u16, body: &str| {
        cluster.answer(status, &[("retry-after", "7")], body);
        let error = sink.deliver(&several(1..=1, 20)).await.expect_err("later");
        let DeliverError::Retry { after, .. } = error else { panic!("{error}") };
        assert_eq!(after, Some(Duration::from_secs(7)));
    };
    check(503, "").await;
    check(200, &json!({ "errors": true, "items": [{ "create": failed(429, "x", "y") }] }).to_string()).await;
}

#[tokio::test]
async fn a_request_that_is_too_large_is_made_smaller() {
    let cluster = Cluster::start().await;
    let one = outgoing(10, 2000);
    cluster.limit(3 * (one.body.len() + 150));
    let mut sink = sink(cluster.origin(), "");
    let mut events = several(10..=29, 2000);
    assert_eq!(sink.deliver(&events).await, Ok(Some(Seq(29))));
    assert_eq!(cluster.documents().len(), 20);
    let sizes: Vec<usize> = cluster.take().iter().map(|request| request.ids.len()).collect();
    assert_eq!(&sizes[..4], [20, 10, 5, 2], "halved until it fits, and not again from the top: {sizes:?}");
    assert!(sizes[4..].iter().all(|size| *size <= 2), "{sizes:?}");
    events = several(30..=31, 2000);
    assert_eq!(sink.deliver(&events).await, Ok(Some(Seq(31))));
    assert_eq!(cluster.take().len(), 1, "it is remembered");
    // Parts of one event alike, and a single document that is too large is refused.
    let mut large = outgoing(32, 20_000);
    large.event.event_id = EventId::new("large");
    let refused = sink.deliver(&[outgoing(31, 20), large]).await;
    assert_eq!(refused, Ok(Some(Seq(31))));
    let error = sink.deliver(&several(32..=33, 20)).await.expect_err("told");
    let DeliverError::Refused(refusals) = error else { panic!("{error}") };
    assert_eq!(refusals.iter().map(|refusal| refusal.seq).collect::<Vec<_>>(), [Seq(32)]);
}

#[tokio::test]
async fn a_batch_that_is_refused_as_a_whole_costs_only_its_guilty_event() {
    let cluster = Cluster::start().await;
    let mut sink = sink(cluster.origin(), "batch_events = 4");
    // Nobody says which of the first four; the next calls have fewer.
    cluster.answer(400, &[], &error_body(400, "parse_exception", "malformed"));
    cluster.answer(400, &[], &error_body(400, "parse_exception", "malformed"));
    cluster.answer(400, &[], &error_body(400, "parse_exception", "malformed"));
    let refused = courier(&mut *sink, &several(1..=8, 20), 4).await;
    assert_eq!(refused.iter().map(|refusal| refusal.seq.0).collect::<Vec<_>>(), [1]);
    assert_eq!(cluster.documents().len(), 7);
    // Behind a request that was taken nobody is blamed: the next call may have other events.
    let mut sink = self::sink(cluster.origin(), "batch_events = 2");
    let taken = json!({ "create": { "status": 201 } });
    cluster.answer(200, &[], &json!({ "errors": false, "items": [taken, taken] }).to_string());
    cluster.answer(400, &[], &error_body(400, "parse_exception", "malformed"));
    assert_eq!(sink.deliver(&several(11..=14, 20)).await, Ok(Some(Seq(12))));
    assert_eq!(sink.deliver(&several(13..=13, 20)).await, Ok(Some(Seq(13))));
}

#[tokio::test]
async fn a_secret_goes_where_it_belongs_and_nowhere_else() {
    let cluster = Cluster::start().await;
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("secret");
    let check = async |auth: &str, secret: &str, header: &str| {
        std::fs::write(&path, secret).expect("written");
        let auth = auth.replace('@', &format!("{{ file = {:?} }}", path.display().to_string()));
        let mut sink = sink(cluster.origin(), &format!("auth = {auth}"));
        assert_eq!(sink.deliver(&several(1..=1, 20)).await, Ok(Some(Seq(1))));
        let request = &cluster.take()[0];
        assert_eq!(request.headers["authorization"], header);
        for (status, body) in [
            (401, format!("you sent {header} and {secret}")),
            (200, format!("you sent {header} and {secret}")),
            (400, error_body(400, "strange", &format!("you sent {header} and {secret}"))),
            (
                200,
                json!({ "errors": true, "items": [{ "create": failed(400, "x", &format!("{header} {secret}")) }] })
                    .to_string(),
            ),
        ] {
            cluster.answer(status, &[], &body);
            let why = why(sink.deliver(&several(1..=1, 20)).await.expect_err("a failure")).1;
            let sent = header.split_once(' ').expect("two").1;
            assert!(why.contains("***") && !why.contains(sent) && !why.contains(secret.trim()), "{why}");
        }
        cluster.take();
    };
    check("{ kind = 'api_key', key = @ }", "id:k3y", "ApiKey aWQ6azN5").await;
    check("{ kind = 'api_key', key = @ }", "aWQ6azN5\n", "ApiKey aWQ6azN5").await;
    check("{ kind = 'basic', user = 'kim', password = @ }", "s3cret", "Basic a2ltOnMzY3JldA==").await;
    check("{ kind = 'bearer', token = @ }", "t0ken", "Bearer t0ken").await;
    let mut empty = sink(cluster.origin(), "auth = { kind = 'bearer', token = { file = '/dev/null' } }");
    let (found, why) = why(empty.deliver(&several(1..=1, 20)).await.expect_err("no secret"));
    assert!(found == "pause" && why.contains("is empty") && cluster.take().is_empty(), "{why}");
}

#[test]
fn settings_that_cannot_work_are_named_at_once() {
    let check = |text: &str, expected: &[&str]| {
        let config = Config::Elasticsearch(toml::from_str(text).expect("a config"));
        let keys: Vec<_> = config.settings().validate().into_iter().map(|(key, _)| key).collect();
        assert_eq!(keys, expected, "{text}");
        assert_eq!(config.open(&SinkName::new("search")).is_err(), !expected.is_empty());
    };
    // example.net$abc$def
    let cloud = "cloud_id = 'prod:ZXhhbXBsZS5uZXQkYWJjJGRlZg=='\n";
    let good = "url = 'https://elastic.example.net:9200/es'\n";
    check(&format!("{good}index = 'x'"), &[]);
    check(&format!("{cloud}index = 'x-{{tenant}}'"), &[]);
    check("index = 'x'", &["url"]);
    check(&format!("{good}{cloud}index = 'x'"), &["cloud_id"]);
    check(&format!("{good}index = 'X*'"), &["index"]);
    check("url = 'ftp://x/'\nindex = 'x'", &["url"]);
    check("url = 'https://kim:s3cret@x/?a=b'\nindex = 'x'", &["url", "url"]);
    check("url = 'https://x/_bulk'\nindex = 'x'", &["url"]);
    check("url = 'http://x/'\nindex = 'x'\ntls = { ca_file = 'x' }", &["tls"]);
    check(&format!("{good}index = 'x'\nproxy_url = 'ftp://x'"), &["proxy_url"]);
    check(
        &format!("{good}index = 'x'\nbatch_events = 0\nbatch_size = '101 MB'\ntimeout = '2h'"),
        &["batch_events", "batch_size", "timeout"],
    );
    check(&format!("{good}index = 'x'\npipeline = ''\ntls = {{ certificate = 'x' }}"), &["tls", "pipeline"]);
    check(&format!("{good}index = 'x'\nauth = {{ kind = 'api_key', key = {{}} }}"), &["auth.key"]);
    check(
        &format!("{good}index = 'x'\nauth = {{ kind = 'basic', user = 'a:b', password = {{}} }}"),
        &["auth.user", "auth.password"],
    );
    assert!(toml::from_str::<xdrelay::sink::elasticsearch::Config>("cloud_id = 'x:y'\nindex = 'x'").is_err());
}

#[test]
fn settings_tell_where_events_go_and_in_which_form() {
    let config = |text: &str| Config::Elasticsearch(toml::from_str(text).expect("a config"));
    let cloud = config(
        "cloud_id = 'prod:ZXhhbXBsZS5uZXQkYWJjJGRlZg=='\nindex = 'x'\nauth = { kind = 'api_key', key = { env = 'K' } }",
    );
    let settings = cloud.settings();
    assert_eq!(settings.authority().as_deref(), Some("abc.example.net:443"));
    assert_eq!(settings.destination(), Some(("index", "https://abc.example.net/x".into())));
    let names = settings.names();
    assert_eq!((names.urls[0].0, names.secrets[0].0.as_str()), ("cloud_id", "auth.key"));
    assert_eq!(settings.format_default(), Format::Ecs);
    let taken: Vec<Format> = Format::ALL.iter().copied().filter(|format| settings.takes(*format).is_ok()).collect();
    assert_eq!(taken, [Format::Json, Format::Ecs, Format::Ocsf]);
    let open = config("url = 'http://elastic.example.net'\nindex = 'x'");
    assert!(open.settings().warnings()[0].1.contains("prefer https"));
    assert!(config("url = 'http://127.0.0.1:9200'\nindex = 'x'").settings().warnings().is_empty());
}

/// Tenzir answers one item for each request, however many documents there were: proof for a single one, and none for several.
/// What it read is whole in either case.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tenzir_understands_every_document() {
    let dir = tempfile::tempdir().expect("a directory");
    let Some(tenzir) = Tenzir::start(dir.path(), "accept_opensearch \"127.0.0.1:@PORT@\", keep_actions=true") else {
        return;
    };
    let url = format!("http://127.0.0.1:{}", tenzir.port);
    let special = "\"\\/\u{8}\u{c}\n\r\t\u{0}\u{1f}\u{7f}\u{85}\u{2028}\u{202e}é€𝄞{}[]:, ' <&> %s $(x)";
    let mut events = several(1..=6, 50_000);
    for (event, n) in events.iter_mut().zip(1..) {
        let incident = json!({ "incidentId": n, "title": special, "pad": "x".repeat(20_000), "tags": ["a", special] });
        event.event.incident = RawValue::from_string(incident.to_string()).expect("JSON");
        event.body = Style::of(Format::Json).render(&event.event);
    }
    let mut expected = Vec::new();
    let mut expect = |events: &[Outgoing], mode: &str| {
        for Outgoing { event, body, .. } in events {
            expected.push(match mode {
                "history" => json!({ "create": { "_index": "defender", "_id": event.event_id.as_str() } }),
                _ => json!({ "index": { "_index": "defender", "_id": format!("contoso:{}", event.incident_id),
                    "version": 15_994_036_172_900_000_u64, "version_type": "external_gte" } }),
            });
            expected.push(serde_json::from_slice(body).expect("our own event"));
        }
    };
    for (mode, gzip) in [("history", true), ("history", false), ("current", true)] {
        let mut single = sink(&url, &format!("mode = '{mode}'\ngzip = {gzip}\nbatch_events = 1"));
        assert_eq!(single.deliver(&events).await, Ok(Some(Seq(6))), "{mode} {gzip}");
        expect(&events, mode);
    }
    let mut batch = sink(&url, "");
    let (found, why) = why(batch.deliver(&events).await.expect_err("one item for six documents"));
    assert!(found == "retry" && why.contains("1 items for 6 documents"), "{found} {why}");
    expect(&events, "history");
    let mut received = tenzir.wait_for(expected.len());
    assert_eq!(received.len(), expected.len());
    for (received, expected) in received.iter_mut().zip(expected.iter_mut()) {
        if let Some(document) = received.as_object_mut().filter(|object| object.contains_key("event_id")) {
            let time = document.remove("@timestamp").expect("a time");
            assert_eq!(time.as_str().expect("a text").parse(), Ok(Timestamp::from_ticks(15_994_036_172_900_000)));
        }
        same_time(received);
        same_time(expected);
        assert_eq!(received, expected);
    }
}

/// Tenzir reads every text that is a time as one, and writes it in its own way.
fn same_time(event: &mut Value) {
    if let Some(time) = event["observed_at"].as_str() {
        event["observed_at"] = time.parse::<Timestamp>().expect("a time").to_string().into();
    }
}
