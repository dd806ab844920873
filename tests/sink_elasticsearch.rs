//! The sink for Elasticsearch and OpenSearch. Neither can be had from packages, so the counterparts are Tenzir's `_bulk` input,
//! which nobody here wrote and which never refuses a single document, and a stand-in of our own for what items can say.

#[path = "sink_elasticsearch/answers.rs"]
mod answers;
#[path = "receivers/cluster.rs"]
mod cluster;
#[path = "sink_elasticsearch/items.rs"]
mod items;
mod outgoing;
#[path = "sink_elasticsearch/settings.rs"]
mod settings;
#[path = "receivers/skipped.rs"]
mod skipped;
#[path = "receivers/tenzir.rs"]
mod tenzir;
#[path = "sink_elasticsearch/understood.rs"]
mod understood;
#[path = "outgoing/why.rs"]
mod why;

use cluster::{Cluster, Request, error_body, failed};
use outgoing::{outgoing, several};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use why::why;
use xdrelay::core::courier::{Courier, Handed, Progress, Refusal, Todo};
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
    let mut none = sink(cluster.origin(), "auth = { kind = 'bearer', token = { file = '/dev/null' } }");
    let (found, why) = why(none.deliver(&several(1..=1, 20)).await.expect_err("no secret"));
    assert!(found == "pause" && why.contains("no regular file") && cluster.take().is_empty(), "{why}");
}
